"""Synthesis without a WaveNet: mel bands -> waveforms, with estimated phases."""

from collections.abc import Iterable, Iterator
from functools import cache

import numpy as np

from vqwn_kit.models.mel import LogMel

OVERLAP = 8  # frames over which parts are cross-faded
LOUDEST = 60.0  # dB; no band of a waveform in [-1, 1] is louder, but an untrained decoder's may be


def griffin_lim(bands: np.ndarray, spectrum: LogMel, seed: int = 0) -> np.ndarray:
    """Return a waveform whose mel bands are nearly these, float32 (N * hop_length,) in [-1, 1].

    Phases by the method of [Griffin and Lim 1984](https://doi.org/10.1109/TASSP.1984.1164317).

    Args:
        bands: in dB, (N, n_mels), as a `MelDecoder` predicts them.
        spectrum: the layer that they are bands of.
        seed: of the first phases.
    """
    import librosa

    sizes = (spectrum.n_mels, spectrum.sample_rate, spectrum.n_fft)
    inverse = _inverse(*sizes, spectrum.fmin, spectrum.fmax)
    # librosa has one frame more, at the very end, and transforms no less than a window
    more = max(1, 1 + -(-spectrum.n_fft // spectrum.hop_length) - len(bands))
    padded = np.pad(bands, ((0, more), (0, 0)), mode="edge")
    power = librosa.db_to_power(np.minimum(padded.T, LOUDEST).astype(np.float32))
    first_phases = {"rng" if librosa.__version__ >= "1" else "random_state": seed}
    waveform = librosa.griffinlim(
        np.sqrt(np.maximum(inverse @ power, 0.0)),
        n_fft=spectrum.n_fft,
        hop_length=spectrum.hop_length,
        win_length=spectrum.window_length,
        **first_phases,
    )
    length = len(bands) * spectrum.hop_length
    return waveform[:length].clip(-1.0, 1.0).astype(np.float32)


def griffin_lim_parts(
    parts: Iterable[np.ndarray], spectrum: LogMel, seed: int = 0
) -> Iterator[np.ndarray]:
    """Yield the waveforms, float32 (S', t), of mel bands (S', n, n_mels) that come in parts.

    Each part is synthesised with the end of the one before, and cross-faded with it. A single part
    is that of `griffin_lim`.
    """
    parts, before, held = iter(parts), None, None  # the last bands, and their sound
    bands = next(parts, None)
    while bands is not None:
        following = next(parts, None)
        window = bands if before is None else np.concatenate([before, bands], axis=1)
        sound = np.stack([griffin_lim(row, spectrum, seed) for row in window])
        if held is not None:
            size = held.shape[1]
            share = np.linspace(0.0, 1.0, size, dtype=np.float32)
            sound[:, :size] = held * (1 - share) + sound[:, :size] * share
        end = sound.shape[1]
        if following is not None:
            end = max(0, window.shape[1] - OVERLAP) * spectrum.hop_length
        yield sound[:, :end]
        before, held, bands = window[:, -OVERLAP:], sound[:, end:], following


@cache
def _inverse(n_mels: int, sample_rate: int, n_fft: int, fmin: float, fmax: float) -> np.ndarray:
    """Return the pseudo-inverse of the mel filters, float32 (1 + n_fft / 2, n_mels)."""
    import librosa

    filters = librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax)
    return np.linalg.pinv(filters.astype(np.float64)).astype(np.float32)
