"""Waveforms and codes -> the bytes, gains and colours that the browser plays and draws."""

import math
from collections.abc import Sequence

import numpy as np

from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.metrics.spectral import mel_power

SILENT = -70.0  # dBFS; a track below this has no level to match
BANDS, FRAME, WINDOW = 64, 128, 512  # of the spectrogram: mel bands, samples per column, samples


def checked_codes(codes) -> list:
    """Return codes (N,) or (1, N) as a list; of Q codebooks, (N, Q) or (1, N, Q), as N lists.

    None gives an empty list. A single frame of Q codes must be (1, 1, Q): (1, Q) are Q frames.
    """
    array = np.asarray([] if codes is None else codes)
    if array.ndim > 1 and len(array) == 1:
        array = array[0]
    if array.size and (array.ndim > 2 or array.dtype.kind not in "iu" or array.min() < 0):
        raise InputError(
            f"codes {array.dtype} {array.shape}; expected whole numbers (N,), or (N, Q) of Q "
            "codebooks, from 0"
        )
    return array.tolist()


def to_pcm(waveform: np.ndarray) -> bytes:
    """Return a waveform (T,) in [-1, 1] as 16-bit little-endian samples; larger values clip."""
    return np.round(np.clip(waveform, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()


def from_pcm(samples: bytes | memoryview) -> np.ndarray:
    """Return 16-bit little-endian samples as a waveform, float32 (T,) in [-1, 1]."""
    return np.frombuffer(samples, "<i2").astype(np.float32) / 32767.0


def level_db(waveform: np.ndarray) -> float:
    """Return the RMS level of a waveform (T,) in dB relative to full scale; -inf for silence."""
    power = float(np.mean(np.square(waveform, dtype=np.float64)))
    return 10.0 * math.log10(power) if power else -math.inf


def matching_gains(waveforms: Sequence[np.ndarray]) -> list[float]:
    """Return gains in dB that bring waveforms (T,) to one RMS level; 0 for silent ones.

    That level is the highest at which no sample clips, but not above that of the loudest.
    """
    levels = [level_db(wave) for wave in waveforms]
    peaks = [np.abs(wave).max() for wave in waveforms]
    pairs = [pair for pair in zip(levels, peaks, strict=True) if pair[0] > SILENT]
    if not pairs:
        return [0.0] * len(levels)
    target = min(max(pairs)[0], *(level - 20.0 * np.log10(peak) for level, peak in pairs))
    return [float(target - level) if level > SILENT else 0.0 for level in levels]


def mel_picture(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return a mel spectrogram of a waveform (T,) as uint8 (64, T / 128 + 1).

    255 is the loudest cell and 0 is 80 dB below it. Windows of 512 samples, every 128. It is made
    here, not in the browser: this adds a quarter to what is sent, and figure and page agree.
    """
    whole = np.pad(waveform, (0, max(0, WINDOW - len(waveform))))
    power = mel_power(whole, sample_rate, WINDOW, FRAME, BANDS)
    loudest = max(1e-8, float(power.max()))  # digital silence stays black
    level = 10.0 * np.log10(np.maximum(power, 1e-16) / loudest)
    return np.round(255 * np.clip(1 + level / 80, 0, 1)).astype(np.uint8)


def frequency_marks(sample_rate: int) -> list[list]:
    """Return labels of frequencies and their heights in `mel_picture`, 0 to 1."""
    import librosa

    top = float(librosa.hz_to_mel(sample_rate / 2))
    marks = [hz for hz in (250, 1000, 2000, 4000) if hz < 0.45 * sample_rate]
    names = [f"{hz // 1000} kHz" if hz >= 1000 else f"{hz} Hz" for hz in marks]
    return [
        [name, float(librosa.hz_to_mel(hz)) / top] for name, hz in zip(names, marks, strict=True)
    ]


def colour_map(name: str, count: int = 256) -> bytes:
    """Return a matplotlib colour map as RGB bytes (count x 3), for the browser."""
    import matplotlib

    table = matplotlib.colormaps[name](np.linspace(0.0, 1.0, count))[:, :3]
    return np.round(255 * table).astype(np.uint8).tobytes()


def paint_codes(codes: np.ndarray | Sequence, palette: np.ndarray | None = None) -> np.ndarray:
    """Return colours of codes (N,) or (N, Q), uint8 (N, 3) or (N, Q, 3).

    Args:
        codes: whole numbers from 0.
        palette: uint8 (Q K, 3), the colours of all codes, codebook by codebook; by default those of
            `code_colours`, which mean nothing.

    Raises:
        InputError: a code that the palette does not have.
    """
    codes = np.asarray(codes)
    if palette is None:
        return code_colours(codes)
    codebooks = codes.shape[1] if codes.ndim > 1 else 1
    size = len(palette) // codebooks
    if codes.max(initial=0) >= size:
        raise InputError(
            f"a palette of {len(palette)} colours and {codebooks} codebooks; expected more than "
            f"{codes.max()} of each codebook, one for each code"
        )
    first = size * np.arange(codebooks) if codes.ndim > 1 else 0
    return np.asarray(palette, np.uint8)[codes + first]


def code_colours(codes: np.ndarray | Sequence[int]) -> np.ndarray:
    """Return colours of codes, uint8 (..., 3): the same code always has the same colour.

    Consecutive codes differ by 137.5 degrees of hue, in four lightnesses, so that they can be
    distinguished on light and dark pages.
    """
    from matplotlib.colors import hsv_to_rgb

    codes = np.asarray(codes)
    hue = (codes * 0.381966) % 1.0
    value = np.array([0.88, 0.62, 0.98, 0.75])[codes % 4]
    saturation = np.array([0.60, 0.75, 0.38, 0.85])[(codes // 4) % 4]
    return np.round(255 * hsv_to_rgb(np.stack([hue, saturation, value], axis=-1))).astype(np.uint8)
