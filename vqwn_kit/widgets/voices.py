"""What a voice lab needs from a model (`Voice`), and what it generated (`Takes`)."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

NO_SPEAKER = "no speaker"  # the decoder is not conditioned on a speaker
MOST_TAKES = 8  # beside the original: the player has nine keys for tracks

Blend = tuple[str, str, float]  # a point between two voices: first, second, share of the second
Speaker = str | Blend | None  # None for no speaker


class Voice(Protocol):
    """What the lab needs from a model.

    Attributes:
        sample_rate: in Hz.
        hop_length: samples per frame.
        num_embeddings: K; 0 where there is no codebook.
        num_codebooks: Q; 0 where there is no codebook.
        fewest_codebooks: least number of codebooks, counted from the first, that it can decode
            from; Q where it needs them all.
        pitch_levels: L; 0 where the decoder is not conditioned on pitch.
        speakers: a description of each, by name.
        adds_voices: whether `add` can add one.
        palette: colours of the codes, uint8 (Q K, 3).
        utterances: recordings to choose from, their texts by key.
    """

    sample_rate: int
    hop_length: int
    num_embeddings: int
    num_codebooks: int
    fewest_codebooks: int
    pitch_levels: int
    speakers: Mapping[str, str]
    adds_voices: bool
    palette: np.ndarray
    utterances: Mapping[str, str]

    def prepare(self, waveform: np.ndarray, sample_rate: int) -> np.ndarray:
        """Return a recording (T',) at the model's rate, without silence at its ends."""
        ...

    def fetch(self, key: str) -> tuple[np.ndarray, str]:
        """Return an utterance (T,) and the name of its speaker."""
        ...

    def phones(self, key: str) -> Sequence[tuple[float, float, str]]:
        """Return the phones of an utterance, (start, end, phone) in s; none where unknown."""
        ...

    def remark(self, waveform: np.ndarray) -> str:
        """Return what to know of a recording (T,) before it is converted, or ""."""
        ...

    def encode(self, waveform: np.ndarray) -> np.ndarray:
        """Return codes, (N,) or (N, Q), of a waveform (T,); called only with a codebook.

        With `pitch_levels` (N, Q + 1): the last ones are the levels of the pitch.
        """
        ...

    def add(
        self,
        name: str,
        waveform: np.ndarray,
        report: Callable[[float, str], None],
        stop: threading.Event,
    ) -> None:
        """Add the voice of a waveform (T,) to `speakers`, or nothing where it is stopped.

        `report` takes the share that is done, and a measure as text.
        """
        ...

    def stream(
        self,
        source: np.ndarray,
        voices: Sequence[Speaker],
        temperature: float | str,
        seed: int,
        codebooks: int | None,
    ) -> Iterator[np.ndarray]:
        """Yield sound (S', t) of codes in S' voices; without a codebook, of a waveform.

        Only the first `codebooks` of each frame are decoded; all with None.
        """
        ...


class Takes:
    """What was generated from one original, each take with its codes.

    Args:
        original: its N codes or frames of codes, empty where there is no codebook.
        speaker: of the original, or "".

    Attributes:
        sounds: waveforms (T,) by name, oldest first; at most eight.
    """

    def __init__(self, original: Sequence = (), speaker: str = ""):
        self.original, self.speaker = tuple(original), speaker
        self.sounds: dict[str, np.ndarray] = {}
        self.codes: dict[str, tuple] = {}
        self.edits: list[tuple] = []  # edited codes that were generated, in that order

    def name(
        self,
        voice: Speaker,
        codes: tuple,
        temperature: float | str,
        seed: int,
        codebooks: int | None = None,
    ) -> str:
        """Return the name of a take: its voice, and what distinguishes it."""
        if isinstance(voice, tuple):
            first, second, share = voice
            who = f"{100 - round(100 * share)} % {first}, {round(100 * share)} % {second}"
        elif voice is None:
            who = NO_SPEAKER
        else:
            who = f"reconstruction ({voice})" if voice == self.speaker else f"as {voice}"
        parts = [who]
        if temperature == "voiced":
            parts.append("by voicing")
        elif temperature != 1.0:
            parts.append(f"T {temperature:g}")
        if seed:
            parts.append(f"seed {seed}")
        if codebooks is not None:
            parts.append(f"{codebooks} codebook{'s' if codebooks > 1 else ''}")
        if codes != self.original:
            if codes not in self.edits:
                self.edits.append(codes)
            parts.append(f"edit {self.edits.index(codes) + 1}")
        return ", ".join(parts)

    def add(self, names: Sequence[str], sounds: np.ndarray, codes: tuple) -> None:
        """Add sounds (S', T) of the same codes; the oldest takes make room."""
        for name, sound in zip(names, sounds, strict=True):
            self.sounds.pop(name, None)
            self.sounds[name], self.codes[name] = sound, codes
        while len(self.sounds) > MOST_TAKES:
            del self.sounds[next(iter(self.sounds))]

    def with_codes(self, codes: tuple) -> list[str]:
        """Return the names of the tracks, the original included, that have exactly these codes."""
        tracks = {"original": self.original, **{name: self.codes[name] for name in self.sounds}}
        return [name for name, its_codes in tracks.items() if its_codes == codes]
