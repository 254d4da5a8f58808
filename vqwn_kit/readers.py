"""What a folder of speech is: its layout, its utterances, and facts about its speakers."""

import csv
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vqwn_kit import audio
from vqwn_kit.errors import InputError, one_of
from vqwn_kit.files import read_text

FACTS = ("age", "sex", "accent", "region")


@dataclass(frozen=True)
class Utterance:
    """One recording of one speaker.

    Attributes:
        key: a name that is unique in its corpus, such as `p225_001`.
        speaker: name of the speaker.
        path: the sound file.
        text: what is said, or "".
        split: `train`, `held_out`, or "" where the corpus doesn't say.
    """

    key: str
    speaker: str
    path: Path
    text: str = ""
    split: str = ""

    def load(self, sample_rate: int = audio.SAMPLE_RATE) -> np.ndarray:
        """Return the waveform, float32 (T,) in [-1, 1]."""
        return audio.load(self.path, sample_rate)


@dataclass(frozen=True)
class Listing:
    """What was found in a folder, before anything is decoded.

    Attributes:
        layout: name of the layout, a key of `LAYOUTS`.
        reason: why the folder was taken for that layout.
        utterances: in the order of their keys.
        speakers: facts by speaker, each a dict with some of age, sex, accent, region, name.
    """

    layout: str
    reason: str
    utterances: tuple[Utterance, ...]
    speakers: dict[str, dict[str, str]] = field(default_factory=dict)


def read_folder(folder: str | Path, layout: str | None = None) -> Listing:
    """List the speech in a folder.

    Args:
        folder: a corpus: the bundled one, VCTK 0.80, LibriSpeech, or one subfolder a speaker.
        layout: a key of `LAYOUTS`; None recognises it.

    Raises:
        InputError: no such folder, an unknown layout, or no sound in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"no such folder: {folder}. Give a folder with recordings in it")
    if layout is not None and layout not in LAYOUTS:
        raise one_of("layout", layout, LAYOUTS)
    for name in [layout] if layout else LAYOUTS:
        reason = LAYOUTS[name].recognise(folder)
        if reason or layout:
            utterances, speakers = LAYOUTS[name].read(folder)
            if utterances:
                ordered = tuple(sorted(utterances, key=lambda utterance: utterance.key))
                return Listing(name, reason or "as you asked", ordered, speakers)
    raise InputError(
        f"{folder} holds no recordings in a layout I know ({', '.join(LAYOUTS)}). "
        f"Put one subfolder a speaker into it, with {', '.join(sorted(audio.EXTENSIONS))} files"
    )


def sound_files(folder: Path) -> list[Path]:
    """Return the sound files below a folder, sorted; hidden ones left out, links followed once."""
    found, seen = [], set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        here = os.path.realpath(parent)
        if here in seen:
            folders.clear()
            continue
        seen.add(here)
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    return sorted(path for path in found if path.suffix.lower() in audio.EXTENSIONS)


@dataclass(frozen=True)
class Layout:
    """How to recognise a layout (the reason, or "") and how to read it."""

    recognise: Callable[[Path], str]
    read: Callable[[Path], tuple[list[Utterance], dict[str, dict[str, str]]]]


def _recognise_table(folder: Path) -> str:
    return "it has utterances.tsv" if (folder / "utterances.tsv").is_file() else ""


def _read_table(folder: Path) -> tuple[list[Utterance], dict[str, dict[str, str]]]:
    table = folder / "utterances.tsv"
    lines = read_text(table).splitlines()
    reader = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE, restval="")
    missing = {"path", "speaker"} - set(reader.fieldnames or ())
    if missing:
        raise InputError(f"{table} needs the columns path and speaker; missing: {sorted(missing)}")
    utterances, speakers = [], {}
    for number, row in enumerate(reader, 2):
        if not row["path"] or not row["speaker"]:
            raise InputError(f"{table}, line {number}: path or speaker is empty")
        facts = speakers.setdefault(row["speaker"], {})
        facts |= {fact: row[fact] for fact in FACTS if row.get(fact)}
        utterances.append(
            Utterance(
                key=row.get("utterance") or Path(row["path"]).stem,
                speaker=row["speaker"],
                path=folder / row["path"],
                text=row.get("text", ""),
                split=_split(row.get("split", ""), f"{table}, line {number}"),
            )
        )
    return utterances, speakers


def _split(given: str, where: str) -> str:
    """Return `train`, `held_out` or "" for what a table calls a split."""
    names = {"": "", "train": "train", "held_out": "held_out"}
    names |= dict.fromkeys(("test", "dev", "valid", "validation", "eval"), "held_out")
    if given.strip().lower() not in names:
        raise InputError(f"{where}: {one_of('split', given, [name for name in names if name])}")
    return names[given.strip().lower()]


def _recognise_vctk(folder: Path) -> str:
    return "it has wav48/, as VCTK 0.80" if (folder / "wav48").is_dir() else ""


def _read_vctk(folder: Path) -> tuple[list[Utterance], dict[str, dict[str, str]]]:
    utterances = []
    for path in sound_files(folder / "wav48"):
        speaker = path.parent.name
        text = folder / "txt" / speaker / f"{path.stem}.txt"
        words = read_text(text).strip() if text.is_file() else ""
        utterances.append(Utterance(path.stem, speaker, path, words))
    return utterances, _vctk_speakers(folder / "speaker-info.txt", utterances)


def _vctk_speakers(path: Path, utterances: Iterable[Utterance]) -> dict[str, dict[str, str]]:
    """Read `225  23  F    English    Southern  England` for each speaker of the utterances."""
    names = sorted({utterance.speaker for utterance in utterances})
    facts = {name: {} for name in names}
    for line in read_text(path).splitlines() if path.is_file() else ():
        number, *values = line.split()
        name = number if number in facts else f"p{number}"
        if name in facts and values:
            age, sex, accent, *region = [*values, "", "", ""][: max(4, len(values))]
            known = {"age": age, "sex": sex, "accent": accent, "region": " ".join(region).strip()}
            facts[name] = {fact: value for fact, value in known.items() if value}
    return facts


_LIBRI_FILE = re.compile(r"(\d+)-(\d+)-(\d+)$")


def _recognise_libri(folder: Path) -> str:
    for transcript in folder.rglob("*.trans.txt"):
        return f"it has transcripts such as {transcript.name}, as LibriSpeech"
    return ""


def _read_libri(folder: Path) -> tuple[list[Utterance], dict[str, dict[str, str]]]:
    texts = {}
    for transcript in folder.rglob("*.trans.txt"):
        for line in read_text(transcript).splitlines():
            key, _, words = line.partition(" ")
            texts[key] = words.strip()
    utterances = [
        Utterance(path.stem, path.stem.split("-")[0], path, texts.get(path.stem, ""))
        for path in sound_files(folder)
        if _LIBRI_FILE.match(path.stem)
    ]
    return utterances, _libri_speakers(folder, {utterance.speaker for utterance in utterances})


def _libri_speakers(folder: Path, names: set[str]) -> dict[str, dict[str, str]]:
    """Read `14   | F | train-clean-360  | 25.03 | Kristin LeMoine` for the speakers in `names`."""
    facts = {name: {} for name in sorted(names)}
    for parent in (folder, folder.parent):
        if (parent / "SPEAKERS.TXT").is_file():
            for line in read_text(parent / "SPEAKERS.TXT").splitlines():
                cells = [cell.strip() for cell in line.split("|")]
                if len(cells) >= 5 and cells[0] in facts:
                    facts[cells[0]] = {"sex": cells[1], "name": cells[4]}
            break
    return facts


def _recognise_folders(folder: Path) -> str:
    for path in sound_files(folder):
        if path.parent != folder:
            return "it has one subfolder a speaker"
    return ""


def _read_folders(folder: Path) -> tuple[list[Utterance], dict[str, dict[str, str]]]:
    utterances, files = [], sound_files(folder)
    homes = {path.relative_to(folder).parts[:-1][:2] for path in files} - {()}
    if len({home[0] for home in homes}) == 1 and len(homes) > 1 and all(len(h) == 2 for h in homes):
        (only,) = {home[0] for home in homes}
        raise InputError(
            f"{folder} has the one subfolder {only}, which has subfolders of its own: if those are "
            f"the speakers, give {folder / only}"
        )
    for path in files:
        inside = path.relative_to(folder)
        if len(inside.parts) > 1:
            text = path.with_suffix(".txt")
            words = read_text(text).strip() if text.is_file() else ""
            key = inside.with_suffix("").as_posix()
            utterances.append(Utterance(key, inside.parts[0], path, words))
    return utterances, {name: {} for name in sorted({u.speaker for u in utterances})}


LAYOUTS = {
    "table": Layout(_recognise_table, _read_table),
    "vctk": Layout(_recognise_vctk, _read_vctk),
    "librispeech": Layout(_recognise_libri, _read_libri),
    "folders": Layout(_recognise_folders, _read_folders),
}
