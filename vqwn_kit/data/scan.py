"""A folder -> what lies in it: sound files, utterances, facts about speakers, what is left out."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vqwn_kit.data import audio
from vqwn_kit.files import read_text

FACTS = ("age", "sex", "accent", "region")
Facts = dict[str, dict[str, str]]  # by speaker

# Sound that libsndfile can't read, and that people do put beside what it can.
OTHER_SOUNDS = {".m4a", ".aac", ".mp4", ".wma", ".amr", ".webm", ".3gp", ".ape", ".wv", ".mka"}


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
        return audio.load_audio(self.path, sample_rate)


@dataclass(frozen=True)
class Listing:
    """What was found in a folder, before anything is decoded.

    Attributes:
        layout: name of the layout, a key of `LAYOUTS`.
        reason: why the folder was taken for that layout.
        utterances: in the order of their keys.
        speakers: facts by speaker, each a dict with some of age, sex, accent, region, name.
        left_out: reason by path, for sound files that are no part of the corpus.
    """

    layout: str
    reason: str
    utterances: tuple[Utterance, ...]
    speakers: Facts = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Choices:
    """What a user may choose about reading a folder; see `open_corpus`."""

    microphone: str = "mic1"
    pattern: str | None = None


@dataclass
class Found:
    """What a layout's reader finds: as `Listing`; `note` is added to its reason."""

    utterances: list[Utterance] = field(default_factory=list)
    speakers: Facts = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Tree:
    """The files below a folder, each once, as relative paths with `/`, sorted.

    Attributes:
        folder: the folder.
        names: all files; hidden ones are left out, links are followed.
        sounds: those of them that libsndfile should read.
        left_out: reason by path, for what can't be used whatever the layout.
    """

    folder: Path
    names: tuple[str, ...]
    sounds: tuple[str, ...]
    left_out: dict[str, str]

    def text(self, name: str) -> str:
        """Return the text of a file of the tree without white space around it.

        One that can't be read is added to `left_out`, and is "".
        """
        path, reason = self.folder / name, "it is no file"
        try:
            if path.is_file():  # else it leads nowhere, or is a pipe, to wait at for ever
                return read_text(path).strip()
        except OSError as error:
            reason = error.strerror
        self.left_out[printable(name)] = f"{reason}, so its recordings have no text: mend it"
        return ""


@dataclass(frozen=True)
class Layout:
    """How to recognise a layout (the reason, or "") and how to read it."""

    recognise: Callable[[Tree, Choices], str]
    read: Callable[[Tree, Choices], Found]


def walk(folder: Path) -> Tree:
    """List the files below a folder; a link that leads back up is followed once."""
    names, seen, left_out = [], set(), {}

    def refused(error: OSError) -> None:
        name = printable(os.path.relpath(error.filename, folder).replace(os.sep, "/"))
        left_out[name] = f"{error.strerror}: what is in this folder can't be seen"

    for parent, folders, files in os.walk(folder, onerror=refused, followlinks=True):
        here = os.path.realpath(parent)
        if here in seen:
            folders.clear()
            continue
        seen.add(here)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = os.path.relpath(parent, folder).replace(os.sep, "/")
        prefix = "" if inside == "." else f"{inside}/"
        names += [prefix + name for name in files if not name.startswith(".")]
    names.sort()
    sounds = []
    for name in names:
        ending = os.path.splitext(name)[1].lower()
        if ending in OTHER_SOUNDS:
            left_out[printable(name)] = f"{ending} can't be read: convert it to .wav or .flac"
        elif ending in audio.EXTENSIONS:
            if printable(name) != name:
                left_out[printable(name)] = "its name isn't valid UTF-8: rename it"
            else:
                sounds.append(name)
    return Tree(folder, tuple(names), tuple(sounds), left_out)


def printable(name: str) -> str:
    """Return a file's name as it can be printed, whatever bytes it is made of."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def stem(name: str) -> str:
    """Return `001` for `ann/001.wav`."""
    return name.rpartition("/")[2].rpartition(".")[0]


def parent(name: str) -> str:
    """Return `ann` for `speech/ann/001.wav`, "" for a file at the top."""
    return name.rpartition("/")[0].rpartition("/")[2]
