"""A folder -> the files in it; and what a layout makes of them: utterances, speakers, the rest."""

import os
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vqwn_kit.data import audio
from vqwn_kit.data.sound_file import Span
from vqwn_kit.files import read_text

FACTS = ("age", "sex", "accent", "region")
Facts = dict[str, dict[str, str]]  # of each speaker, by name

# Common formats that libsndfile does not read, or not without facts that are in no header
OTHER_SOUNDS = set(
    ".m4a .m4b .aac .mp4 .mov .avi .mkv .mka .wma .asf .amr .webm .3gp .ape .wv .shn .tta .spx .ra "
    ".rm .dss .dsf .ac3 .adts .raw .pcm .vox .gsm .g722 .wv1 .wv2".split()
)


@dataclass(frozen=True)
class Utterance:
    """One recording of one speaker.

    Attributes:
        key: a name that is unique in its corpus, such as `p225_001`.
        speaker: name of the speaker.
        path: the sound file.
        text: the transcript, or "".
        split: `train`, `held_out`, or "" where the corpus does not say.
        span: begin and end in seconds, where it is a part of the sound file; None for all of it.
    """

    key: str
    speaker: str
    path: Path
    text: str = ""
    split: str = ""
    span: Span | None = None

    def load(self, sample_rate: int = audio.SAMPLE_RATE) -> np.ndarray:
        """Return the waveform, float32 (T,) in [-1, 1]."""
        return audio.load_audio(self.path, sample_rate, self.span)


@dataclass
class Listing:
    """The recordings of a folder, before anything is decoded.

    Attributes:
        utterances: in the order of their keys, once `read_folder` returns them.
        speakers: facts by speaker, each a dict with some of age, sex, accent, region, name.
        left_out: reason by path, for sound files that are no part of the corpus.
        layout: name of the layout, a key of `LAYOUTS`.
        reason: how the layout was recognised. A reader of a layout may leave a remark here.
    """

    utterances: list[Utterance] = field(default_factory=list)
    speakers: Facts = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    layout: str = ""
    reason: str = ""

    @property
    def speaker_names(self) -> list[str]:
        """The speakers of the utterances, sorted."""
        return sorted({utterance.speaker for utterance in self.utterances})


class Choices(NamedTuple):
    """How to read a folder; see `open_corpus`."""

    microphone: str = "mic1"
    pattern: str | None = None


PACKED = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip", ".rar", ".7z")
SKETCHED = 8  # files of an ending, and folders, of each folder below the first that a sketch has


@dataclass(frozen=True)
class Tree:
    """The files below a folder, each once, as relative paths with `/`, sorted.

    Attributes:
        folder: the folder.
        names: all files; hidden ones are left out, links are followed.
        sounds: those of them that libsndfile should read.
        left_out: reason by path, for what cannot be used in any layout.
    """

    folder: Path
    names: tuple[str, ...]
    sounds: tuple[str, ...]
    left_out: dict[str, str]

    def path(self, name: str) -> Path:
        """Return the path of a file of the tree, as this locale has to write it."""
        return self.folder / os.fsdecode(name.encode("utf-8", "surrogateescape"))

    def text(self, name: str) -> str:
        """Return the text of a file of the tree, stripped.

        A file that cannot be read is added to `left_out`, and gives "".
        """
        path, reason = self.path(name), "it is no file"
        try:
            if path.is_file():  # not a dead link, nor a pipe, which would block forever
                return read_text(path).strip()
        except OSError as error:
            reason = error.strerror
        self.left_out[printable(name)] = f"{reason}, so its recordings have no text: replace it"
        return ""

    def utterance(
        self, name: str, key: str, speaker: str, text_name: str = "", split: str = ""
    ) -> Utterance:
        """Return the utterance in the sound file `name`, with the text in `text_name` if any.

        In place of `.txt` it may be `.lab`, as for forced aligners.
        """
        names = (text_name, text_name.removesuffix(".txt") + ".lab") if text_name else ()
        found = next((found for found in map(self.find, names) if found is not None), None)
        text = self.text(found) if found is not None else ""
        text = "" if re.match(r"\d+\s+\d+\s", text) else text  # labels with times
        return Utterance(composed(key), composed(speaker), self.path(name), text, split)

    def find(self, name: str) -> str | None:
        """Return the file called `name`; letters may be decomposed, or of the other case."""
        name = composed(name)
        return self._by_name.get(name) or self._by_lower_name.get(name.lower())

    @cached_property
    def _by_name(self) -> dict[str, str]:
        return {composed(name): name for name in self.names}

    @cached_property
    def _by_lower_name(self) -> dict[str, str]:
        return {name.lower(): file for name, file in self._by_name.items()}

    @cached_property
    def ends(self) -> dict[str, str]:
        """The recordings by the end of their paths: stem, file, folder and file; unique ones."""
        ends = [(name, end) for name in self.sounds for end in _ends_of(composed(name))]
        count = Counter(end for _, end in ends)
        return {end: name for name, end in ends if count[end] == 1}

    def below(self, inside: str) -> "Tree":
        """Return the tree of a subfolder, `inside` ending in `/`."""

        def cut(names):
            return tuple(name.removeprefix(inside) for name in names if name.startswith(inside))

        return Tree(self.folder / inside, cut(self.names), cut(self.sounds), self.left_out)

    @cached_property
    def tops(self) -> list[str]:
        """The folders directly below that hold files, sorted."""
        return sorted({name.partition("/")[0] for name in self.names if "/" in name})

    @cached_property
    def sketch(self) -> "Tree":
        """The tree with a few files and folders of each folder below the first.

        It is enough to recognise a layout, whatever the size of the corpus.
        """
        count, kept, seen = Counter(), [], set()
        for name in self.names:
            folder, _, file = name.rpartition("/")
            if folder not in seen and not _is_sketched(folder, seen, count):
                continue
            ending = (folder, os.path.splitext(file)[1].lower())
            count[ending] += 1
            if count[ending] <= SKETCHED:
                kept.append(name)
        sounds = set(self.sounds)
        return Tree(self.folder, tuple(kept), tuple(n for n in kept if n in sounds), {})


def _ends_of(name: str) -> set[str]:
    return {stem(name), name.rpartition("/")[2], "/".join(name.split("/")[-2:])}


def _is_sketched(folder: str, seen: set[str], count: Counter) -> bool:
    """Return whether a folder is among the first ones of the folder above, and note that it is."""
    above = folder.rpartition("/")[0]
    if folder and above not in seen and not _is_sketched(above, seen, count):
        return False
    count[above] += bool(folder)
    if above and count[above] > SKETCHED:
        return False
    seen.add(folder)
    return True


def walk(folder: Path) -> Tree:
    """List the files below a folder; a link that leads back up is followed once."""
    names, seen, left_out = [], set(), {}

    def refused(error: OSError) -> None:
        name = os.path.relpath(error.filename, folder).replace(os.sep, "/")
        left_out[printable(text_of(name))] = (
            f"{error.strerror}: the content of this folder cannot be listed"
        )

    for directory, folders, files in os.walk(folder, onerror=refused, followlinks=True):
        real_path = os.path.realpath(directory)
        if real_path in seen:
            folders.clear()
            continue
        seen.add(real_path)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = os.path.relpath(directory, folder).replace(os.sep, "/")
        prefix = "" if inside == "." else f"{inside}/"
        names += [text_of(prefix + name) for name in files if not name.startswith(".")]
    names.sort()
    sounds = []
    for name in names:
        extension = os.path.splitext(name)[1].lower()
        if name.lower().endswith(PACKED):
            left_out[printable(name)] = "it is packed: unpack it where it lies"
        elif extension in OTHER_SOUNDS:
            left_out[printable(name)] = f"{extension} cannot be read: convert it to .wav or .flac"
        elif extension in audio.EXTENSIONS:
            if printable(name) != name:
                left_out[printable(name)] = "its name is not valid UTF-8: rename it"
            else:
                sounds.append(name)
    return Tree(folder, tuple(names), tuple(sounds), left_out)


def text_of(name: str) -> str:
    """Return a name as UTF-8 has it, whatever the locale; bytes that are none stay escaped."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")


def printable(name: str) -> str:
    """Return a file's name with escapes for bytes that are no UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def composed(name: str) -> str:
    """Return a name in composed letters (NFC); some systems write files' names decomposed."""
    return unicodedata.normalize("NFC", name)


def stem(name: str) -> str:
    """Return `001` for `ann/001.wav`, and for `ann/001`."""
    return os.path.splitext(name.rpartition("/")[2])[0]


def parent(name: str) -> str:
    """Return `ann` for `speech/ann/001.wav`, "" for a file at the top."""
    return name.rpartition("/")[0].rpartition("/")[2]
