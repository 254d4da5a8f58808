"""What a voice lab is told by a model (`Voice`), and what was spoken in it (`Takes`)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

NOBODY = "no voice"  # the decoder isn't told who speaks
MOST_TAKES = 8  # beside the original: the player has nine keys for tracks

Blend = tuple[str, str, float]  # a point between two voices: first, second, share of the second


class Voice(Protocol):
    """What the lab needs to be told by a model.

    Attributes:
        sample_rate: in Hz.
        hop_length: samples a code.
        num_embeddings: K; 0 where there is no codebook.
        speakers: what is known of each, by name.
        utterances: recordings to choose from, their texts by key.
    """

    sample_rate: int
    hop_length: int
    num_embeddings: int
    speakers: Mapping[str, str]
    utterances: Mapping[str, str]

    def prepare(self, waveform: np.ndarray, sample_rate: int) -> np.ndarray:
        """Return a recording (T',) at the model's rate, without silence at its ends."""

    def fetch(self, key: str) -> tuple[np.ndarray, str]:
        """Return an utterance (T,) and the name of its speaker."""

    def encode(self, waveform: np.ndarray) -> np.ndarray:
        """Return codes (N,) of a waveform (T,); called only where there is a codebook."""

    def stream(
        self, told: np.ndarray, voices: Sequence[str | Blend | None], temperature: float, seed: int
    ) -> Iterator[np.ndarray]:
        """Yield what voices say, (S', t), of codes (N,), or without a codebook of a waveform."""


class Takes:
    """What was spoken of one original, each take with the codes that it says.

    Args:
        original: its codes (N,), empty where there is no codebook.
        speaker: who says the original, or "".

    Attributes:
        sounds: waveforms (T,) by name, oldest first; at most eight.
    """

    def __init__(self, original: Sequence[int] = (), speaker: str = ""):
        self.original, self.speaker = tuple(original), speaker
        self.sounds: dict[str, np.ndarray] = {}
        self.codes: dict[str, tuple[int, ...]] = {}
        self.edits: list[tuple[int, ...]] = []  # edited codes that were spoken, in that order

    def name(
        self, voice: str | Blend | None, codes: tuple[int, ...], temperature: float, seed: int
    ) -> str:
        """Return what a take is called: who speaks, and what sets it apart."""
        if isinstance(voice, tuple):
            first, second, share = voice
            who = f"{100 - round(100 * share)} % {first}, {round(100 * share)} % {second}"
        elif voice is None:
            who = NOBODY
        else:
            who = f"reconstruction ({voice})" if voice == self.speaker else f"as {voice}"
        parts = [who]
        if temperature != 1.0:
            parts.append(f"T {temperature:g}")
        if seed:
            parts.append(f"seed {seed}")
        if codes != self.original:
            if codes not in self.edits:
                self.edits.append(codes)
            parts.append(f"edit {self.edits.index(codes) + 1}")
        return ", ".join(parts)

    def add(self, names: Sequence[str], sounds: np.ndarray, codes: tuple[int, ...]) -> None:
        """Add sounds (S', T) that say the same codes; the oldest takes make room."""
        for name, sound in zip(names, sounds, strict=True):
            self.sounds.pop(name, None)
            self.sounds[name], self.codes[name] = sound, codes
        while len(self.sounds) > MOST_TAKES:
            del self.sounds[next(iter(self.sounds))]

    def alike(self, codes: tuple[int, ...]) -> list[str]:
        """Return the names of those tracks, the original among them, that say just these codes."""
        said = {"original": self.original, **{name: self.codes[name] for name in self.sounds}}
        return [name for name, own in said.items() if own == codes]
