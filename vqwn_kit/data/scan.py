"""A folder -> the files in it; and what a layout makes of them: utterances, speakers, the rest."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vqwn_kit.data import audio
from vqwn_kit.files import read_text

FACTS = ("age", "sex", "accent", "region")
Facts = dict[str, dict[str, str]]  # of each speaker, by name

# Common formats that libsndfile does not read
OTHER_SOUNDS = {".m4a", ".aac", ".mp4", ".wma", ".amr", ".webm", ".3gp", ".ape", ".wv", ".mka"}


@dataclass(frozen=True)
class Utterance:
    """One recording of one speaker.

    Attributes:
        key: a name that is unique in its corpus, such as `p225_001`.
        speaker: name of the speaker.
        path: the sound file.
        text: the transcript, or "".
        split: `train`, `held_out`, or "" where the corpus does not say.
    """

    key: str
    speaker: str
    path: Path
    text: str = ""
    split: str = ""

    def load(self, sample_rate: int = audio.SAMPLE_RATE) -> np.ndarray:
        """Return the waveform, float32 (T,) in [-1, 1]."""
        return audio.load_audio(self.path, sample_rate)


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

    def text(self, name: str) -> str:
        """Return the text of a file of the tree, stripped.

        A file that cannot be read is added to `left_out`, and gives "".
        """
        path, reason = self.folder / name, "it is no file"
        try:
            if path.is_file():  # not a dead link, nor a pipe, which would block forever
                return read_text(path).strip()
        except OSError as error:
            reason = error.strerror
        self.left_out[printable(name)] = f"{reason}, so its recordings have no text: replace it"
        return ""

    def utterance(self, name: str, key: str, speaker: str, text_name: str) -> Utterance:
        """Return the utterance in the sound file `name`, with the text in `text_name` if any."""
        text = self.text(text_name) if text_name in self._name_set else ""
        return Utterance(key, speaker, self.folder / name, text)

    @cached_property
    def _name_set(self) -> set[str]:
        return set(self.names)


class Layout(NamedTuple):
    """How to recognise a layout (the reason, or "") and how to read it."""

    recognise: Callable[[Tree, Choices], str]
    read: Callable[[Tree, Choices], Listing]


def walk(folder: Path) -> Tree:
    """List the files below a folder; a link that leads back up is followed once."""
    names, seen, left_out = [], set(), {}

    def refused(error: OSError) -> None:
        name = printable(os.path.relpath(error.filename, folder).replace(os.sep, "/"))
        left_out[name] = f"{error.strerror}: the content of this folder cannot be listed"

    for directory, folders, files in os.walk(folder, onerror=refused, followlinks=True):
        real_path = os.path.realpath(directory)
        if real_path in seen:
            folders.clear()
            continue
        seen.add(real_path)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = os.path.relpath(directory, folder).replace(os.sep, "/")
        prefix = "" if inside == "." else f"{inside}/"
        names += [prefix + name for name in files if not name.startswith(".")]
    names.sort()
    sounds = []
    for name in names:
        extension = os.path.splitext(name)[1].lower()
        if extension in OTHER_SOUNDS:
            left_out[printable(name)] = f"{extension} cannot be read: convert it to .wav or .flac"
        elif extension in audio.EXTENSIONS:
            if printable(name) != name:
                left_out[printable(name)] = "its name is not valid UTF-8: rename it"
            else:
                sounds.append(name)
    return Tree(folder, tuple(names), tuple(sounds), left_out)


def printable(name: str) -> str:
    """Return a file's name with escapes for bytes that are no UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def stem(name: str) -> str:
    """Return `001` for `ann/001.wav`."""
    return name.rpartition("/")[2].rpartition(".")[0]


def parent(name: str) -> str:
    """Return `ann` for `speech/ann/001.wav`, "" for a file at the top."""
    return name.rpartition("/")[0].rpartition("/")[2]
