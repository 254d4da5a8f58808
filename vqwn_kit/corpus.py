"""A corpus: the utterances of a folder, its speakers, and which sentences are held out."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.files import project_root
from vqwn_kit.readers import Utterance, read_folder

HELD_OUT_SHARE = 0.05  # of the sentences, where the corpus names no split of its own
SPLITS = ("train", "held_out")


def example_corpus() -> "Corpus":
    """Open the bundled corpus, `data/mini`.

    Raises:
        InputError: where only the package is installed, without the project around it.
    """
    folder = project_root() / "data" / "mini"
    if not folder.is_dir():
        raise InputError(
            f"the bundled corpus isn't at {folder}: run inside a checkout of the project, "
            "or open a corpus of your own with open_corpus(folder)"
        )
    return open_corpus(folder)


@dataclass(frozen=True)
class Corpus:
    """Utterances by key, and the speakers by number.

    Attributes:
        name: short name, used in the names of runs.
        folder: where it was read from.
        layout: the layout that was recognised, and `reason`: why.
        utterances: sorted by key; each has a split.
        speakers: facts by speaker, sorted by name; the position is the speaker's number, 0..S-1.

    Example:
        corpus = open_corpus("data/mini")
        waveform = corpus["kumo_012"].load()      # (T,) float32
        corpus.split("held_out")                  # the same speakers, other utterances
    """

    name: str
    folder: Path
    layout: str
    reason: str
    utterances: tuple[Utterance, ...]
    speakers: dict[str, dict[str, str]]

    def __len__(self) -> int:
        """Return the number of utterances."""
        return len(self.utterances)

    def __iter__(self) -> Iterator[Utterance]:
        """Iterate over the utterances in the order of their keys."""
        return iter(self.utterances)

    @cached_property
    def _by_key(self) -> dict[str, Utterance]:
        return {utterance.key: utterance for utterance in self.utterances}

    def __getitem__(self, key: str) -> Utterance:
        """Return the utterance with this key; the error for another names the nearest."""
        if key not in self._by_key:
            raise one_of("utterance", key, self._by_key)
        return self._by_key[key]

    def split(self, name: str) -> "Corpus":
        """Return the corpus with the utterances of one split, `train` or `held_out`."""
        if name not in SPLITS:
            raise one_of("split", name, SPLITS)
        chosen = tuple(utterance for utterance in self.utterances if utterance.split == name)
        return replace(self, utterances=chosen)


def open_corpus(folder: str | Path, layout: str | None = None) -> Corpus:
    """Open a folder of speech.

    Args:
        folder: see `read_folder`. `VCTK` and `LibriSpeech` stand for `data/VCTK-Corpus` and
            `data/LibriSpeech` where no folder of that name is.
        layout: overrides the recognised layout.

    Returns:
        The corpus. Where it names no split for an utterance, about 5 % of the sentences are held
        out: by a hash of the text (of the key where there is none), so that a held-out sentence
        is held out for every speaker, and stays so when recordings are added. In a corpus so
        small that the hash takes none, one sentence is held out all the same. A speaker always
        keeps something to train on.

    Raises:
        InputError: no such folder, or no sound in it.
    """
    folder = _resolve(Path(folder))
    listing = read_folder(folder, layout)
    _refuse_double_keys(listing.utterances)
    utterances = _hold_out(listing.utterances)
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "corpus"
    speakers = {speaker: listing.speakers.get(speaker, {}) for speaker in _names(utterances)}
    return Corpus(name, folder, listing.layout, listing.reason, utterances, speakers)


def _names(utterances: tuple[Utterance, ...]) -> list[str]:
    return sorted({utterance.speaker for utterance in utterances})


def _resolve(folder: Path) -> Path:
    """Let `VCTK` and `LibriSpeech` name the folders that those corpora unpack to."""
    known = {"VCTK": "VCTK-Corpus", "LibriSpeech": "LibriSpeech", "mini": "mini"}
    if folder.is_dir() or str(folder) not in known:
        return folder
    data = Path("data") if Path("data").is_dir() else project_root() / "data"
    unpacked = data / known[str(folder)]
    if not unpacked.is_dir():
        raise InputError(
            f"{folder} isn't at {unpacked}: download it and put its unpacked folder "
            f"{unpacked.name} into {data}, or give the folder where it is"
        )
    return unpacked


def _refuse_double_keys(utterances: tuple[Utterance, ...]) -> None:
    for one, next_one in zip(utterances, utterances[1:], strict=False):
        if one.key == next_one.key:
            raise InputError(
                f"two recordings are named {one.key!r}: {one.path} and {next_one.path}; rename one"
            )


def _hold_out(utterances: tuple[Utterance, ...]) -> tuple[Utterance, ...]:
    """Give each utterance without a split one, by a hash of its sentence."""
    open_ones = [utterance for utterance in utterances if not utterance.split]
    draws = {_sentence(utterance): _draw(_sentence(utterance)) for utterance in open_ones}
    held = {sentence for sentence, draw in draws.items() if draw < HELD_OUT_SHARE}
    if not held and len(open_ones) == len(utterances):
        held = set(sorted(draws, key=draws.get)[:1])
    for speaker in {utterance.speaker for utterance in open_ones}:
        own = [utterance for utterance in utterances if utterance.speaker == speaker]
        if all(u.split == "held_out" or (not u.split and _sentence(u) in held) for u in own):
            held -= {_sentence(u) for u in own}  # else this voice would have nothing to train on
    return tuple(
        utterance
        if utterance.split
        else replace(utterance, split="held_out" if _sentence(utterance) in held else "train")
        for utterance in utterances
    )


def _draw(sentence: str) -> float:
    return int.from_bytes(hashlib.sha256(sentence.encode()).digest()[:8], "big") / 2**64


def _sentence(utterance: Utterance) -> str:
    words = re.sub(r"[^\w]+", " ", utterance.text.lower()).strip()
    return words or utterance.key
