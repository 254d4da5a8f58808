"""Units: the codes of one recording with their times; runs of equal codes."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Units:
    """The units of a recording, one per frame.

    Attributes:
        source: the recording, as it was given.
        codes: int32 (N,), or (N, Q) of Q codebooks.
        period: seconds per frame; NaN where it is not known (text without its settings).
        seconds: length of the recording.
        model: a hash of the encoder and the codebook, see `encoder_digest`; "" if not known.
        vectors: float32 (N, D), z_e or z_q of each frame, where they were asked for.
    """

    source: str
    codes: np.ndarray
    period: float
    seconds: float
    model: str = ""
    vectors: np.ndarray | None = None

    @property
    def starts(self) -> np.ndarray:
        """Where each frame begins, in seconds, float64 (N,): n times the period."""
        return np.arange(len(self.codes)) * self.period

    @property
    def ends(self) -> np.ndarray:
        """Where each frame ends, float64 (N,); the last one at the end of the recording."""
        return np.minimum(self.starts + self.period, self.seconds)

    @cached_property
    def runs(self) -> tuple[np.ndarray, np.ndarray]:
        """Runs of equal codes: the codes (R,) or (R, Q), and their lengths in frames, (R,)."""
        lengths = run_lengths(self.codes)
        return self.codes[np.cumsum(lengths) - lengths], lengths

    def spans(self, collapse: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return codes, starts and ends in seconds, of the frames, or of the runs."""
        if not collapse:
            return self.codes, self.starts, self.ends
        codes, lengths = self.runs
        last = np.cumsum(lengths) - 1
        return codes, self.starts[last - lengths + 1], self.ends[last]


def run_lengths(codes: np.ndarray) -> np.ndarray:
    """Return the lengths of the runs of equal codes (N,) or frames (N, Q), int (R,)."""
    changed = np.any(codes[1:] != codes[:-1], axis=tuple(range(1, codes.ndim)))
    borders = np.flatnonzero(changed) + 1
    return np.diff(np.concatenate([[0], borders, [len(codes)]]))
