"""The layouts of published corpora, as they unpack: VCTK 0.80 and 0.92, LibriSpeech, Aishell-1."""

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from vqwn_kit.data.scan import Choices, Facts, Found, Layout, Tree, Utterance, parent, stem
from vqwn_kit.errors import one_of
from vqwn_kit.files import read_text

MICROPHONES = ("mic1", "mic2")


def _has(tree: Tree, top: str) -> bool:
    return (tree.folder / top).is_dir()


# VCTK: wav48/p225/p225_001.wav; 0.92: wav48_silence_trimmed/p225/p225_001_mic1.flac


def _recognise_vctk(tree: Tree, choices: Choices) -> str:
    return "it has wav48/, as VCTK 0.80" if _has(tree, "wav48") else ""


def _read_vctk(tree: Tree, choices: Choices) -> Found:
    names = [name for name in tree.sounds if name.startswith("wav48/") and name.count("/") > 1]
    found = Found(left_out=_outside(tree, "wav48/", set(names)))
    texts = set(tree.names)
    for name in names:
        _add_vctk(found, tree, texts, name, stem(name))
    found.speakers = _vctk_speakers(tree.folder / "speaker-info.txt", found.utterances)
    return found


def _recognise_vctk_092(tree: Tree, choices: Choices) -> str:
    top = "wav48_silence_trimmed"
    return f"it has {top}/, as VCTK 0.92" if _has(tree, top) else ""


def _read_vctk_092(tree: Tree, choices: Choices) -> Found:
    if choices.microphone not in MICROPHONES:
        raise one_of("microphone", choices.microphone, MICROPHONES)
    takes = defaultdict(dict)
    for name in tree.sounds:
        match = re.fullmatch(r"wav48_silence_trimmed/[^/]+/(.+)_(mic[12])\.\w+", name)
        if match:
            takes[match[1]][match[2]] = name
    found = Found(left_out=_outside(tree, "wav48_silence_trimmed/", _all(takes)))
    texts, others = set(tree.names), set()
    for key, ways in takes.items():
        name = ways.get(choices.microphone)
        if name is None:
            (name,) = ways.values()
            others.add(parent(name))
        _add_vctk(found, tree, texts, name, key)
    found.note = f"microphone {choices.microphone}"
    if others:
        (other,) = set(MICROPHONES) - {choices.microphone}
        found.note += f", {other} where there is no other: {', '.join(sorted(others)[:6])}"
    found.speakers = _vctk_speakers(tree.folder / "speaker-info.txt", found.utterances)
    return found


def _all(takes: dict[str, dict[str, str]]) -> set[str]:
    return {name for ways in takes.values() for name in ways.values()}


def _outside(tree: Tree, top: str, used: set[str]) -> dict[str, str]:
    """Name the sounds that aren't where the layout has its recordings."""
    where = f"it isn't where this layout has its recordings ({top}SPEAKER/…)"
    return {name: where for name in tree.sounds if name not in used}


def _add_vctk(found: Found, tree: Tree, texts: set[str], name: str, key: str) -> None:
    speaker = parent(name)
    text = f"txt/{speaker}/{key}.txt"
    words = tree.text(text) if text in texts else ""
    found.utterances.append(Utterance(key, speaker, tree.folder / name, words))


def _vctk_speakers(path: Path, utterances: Iterable[Utterance]) -> Facts:
    """Read `225  23  F    English    Southern  England` for each speaker of the utterances.

    0.92 has `p225` in the first column, and remarks in brackets at the end.
    """
    names = sorted({utterance.speaker for utterance in utterances})
    facts = {name: {} for name in names}
    for line in read_text(path).splitlines() if path.is_file() else ():
        number, *values = re.sub(r"\(.*", "", line).split() or [""]
        name = number if number in facts else f"p{number}"
        if name in facts and values:
            age, sex, accent, *region = [*values, "", "", ""][: max(4, len(values))]
            known = {"age": age, "sex": sex, "accent": accent, "region": " ".join(region).strip()}
            facts[name] = {fact: value for fact, value in known.items() if value}
    return facts


# LibriSpeech: SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NUMBER.flac


_LIBRI_FILE = re.compile(r"\d+-\d+-\d+")


def _transcripts(tree: Tree) -> list[str]:
    return [name for name in tree.names if name.endswith(".trans.txt")]


def _recognise_libri(tree: Tree, choices: Choices) -> str:
    for name in _transcripts(tree):
        return f"it has transcripts such as {name.rpartition('/')[2]}, as LibriSpeech"
    return ""


def _read_libri(tree: Tree, choices: Choices) -> Found:
    texts = {}
    for transcript in _transcripts(tree):
        for line in tree.text(transcript).splitlines():
            key, _, words = line.partition(" ")
            texts[key] = words.strip()
    found, subsets = Found(), set()
    for name in tree.sounds:
        key = stem(name)
        if not _LIBRI_FILE.fullmatch(key):
            found.left_out[name] = "its name isn't SPEAKER-CHAPTER-NUMBER, as in LibriSpeech"
            continue
        if name.count("/") == 3:
            subsets.add(name.partition("/")[0])
        speaker = key.partition("-")[0]
        found.utterances.append(Utterance(key, speaker, tree.folder / name, texts.get(key, "")))
    found.note = f"subsets {', '.join(sorted(subsets))}" if subsets else ""
    found.speakers = _libri_speakers(tree.folder, {u.speaker for u in found.utterances})
    return found


def _libri_speakers(folder: Path, names: set[str]) -> Facts:
    """Read `14   | F | train-clean-360  | 25.03 | Kristin LeMoine` for the speakers in `names`."""
    facts = {name: {} for name in sorted(names)}
    for place in (folder, folder.resolve().parent):
        if (place / "SPEAKERS.TXT").is_file():
            for line in read_text(place / "SPEAKERS.TXT").splitlines():
                cells = [cell.strip() for cell in line.split("|", 4)]
                if len(cells) == 5 and cells[0] in facts:
                    facts[cells[0]] = {"sex": cells[1], "name": cells[4]}
            break
    return facts


# Aishell-1: wav/train/S0002/BAC009S0002W0122.wav, transcript/aishell_transcript_v0.8.txt


_AISHELL_FOLDER = re.compile(r"wav/(?:(?:train|dev|test)/)?(S\d{4})/[^/]+")


def _recognise_aishell(tree: Tree, choices: Choices) -> str:
    if not _has(tree, "wav"):
        return ""
    for name in tree.names:
        if re.match(r"wav/(train|dev|test)/S\d{4}/", name) or re.match(r"wav/S\d{4}\.tar", name):
            return f"it has {name.rpartition('/')[0]}/, as Aishell-1"
        if name.startswith("transcript/aishell"):
            return f"it has {name}, as Aishell-1"
    return ""


def _read_aishell(tree: Tree, choices: Choices) -> Found:
    texts, found = {}, Found()
    for name in tree.names:
        if name.startswith("transcript/") and name.endswith(".txt"):
            for line in tree.text(name).splitlines():
                key, _, words = line.partition(" ")
                texts[key] = words.strip()
        elif re.match(r"wav/S\d{4}\.tar", name):
            found.left_out[name] = "it is packed: unpack it where it lies (tar xzf, in wav/)"
    for name in tree.sounds:
        match = _AISHELL_FOLDER.fullmatch(name)
        if not match:
            found.left_out[name] = "it isn't in wav/train, wav/dev or wav/test, SPEAKER"
            continue
        key, path = stem(name), tree.folder / name
        found.utterances.append(Utterance(key, match[1], path, texts.get(key, "")))
    found.speakers = _aishell_speakers(tree.folder, {u.speaker for u in found.utterances})
    return found


def _aishell_speakers(folder: Path, names: set[str]) -> Facts:
    """Read `0002 F` (or `S0002 F`) from speaker.info, which comes in a second archive."""
    facts = {name: {} for name in sorted(names)}
    above = folder.resolve().parent
    for place in (folder, folder / "resource_aishell", above / "resource_aishell"):
        if (place / "speaker.info").is_file():
            for line in read_text(place / "speaker.info").splitlines():
                number, sex, *_ = [*line.split(), "", ""]
                name = f"S{number.removeprefix('S')}"
                if name in facts and sex:
                    facts[name] = {"sex": sex}
            break
    return facts


PUBLISHED = {
    "vctk-0.92": Layout(_recognise_vctk_092, _read_vctk_092),
    "vctk": Layout(_recognise_vctk, _read_vctk),
    "librispeech": Layout(_recognise_libri, _read_libri),
    "aishell": Layout(_recognise_aishell, _read_aishell),
}
