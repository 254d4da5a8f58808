"""Waveforms and codes -> the bytes, gains and colours that the browser plays and draws."""

import math
from collections.abc import Sequence

import numpy as np

from vqwn_kit.errors import InputError

SILENT = -70.0  # dBFS; a track below this has no level to match
BANDS, FRAME, WINDOW = 64, 128, 512  # of the spectrogram: mel bands, samples per column, samples
# Okabe and Ito's colours, safe for colour-blind readers, neighbours far apart.
GROUP_COLOURS = "#0072B2 #E69F00 #009E73 #CC79A7 #56B4E9 #D55E00 #B8A800 #8C6BB1".split()


def checked_waveform(name: str, waveform: np.ndarray) -> np.ndarray:
    """Return a waveform (T,) as float32; (1, T) and (1, T, 1) are accepted too.

    Raises:
        InputError: another shape, no samples, integers, or values that are not finite.
    """
    array = np.asarray(waveform)
    if array.dtype.kind != "f":
        raise InputError(
            f"{name}: an array of {array.dtype}; expected floats in [-1, 1]: divide 16-bit samples "
            "by 32768"
        )
    if array.ndim > 1 and array.size == max(array.shape):
        array = array.reshape(-1)
    if array.ndim != 1 or not array.size:
        raise InputError(f"{name}: a waveform of shape {array.shape}; expected (T,) with T > 0")
    if not np.isfinite(array).all():
        raise InputError(f"{name}: some samples are not finite; expected floats in [-1, 1]")
    return array.astype(np.float32)


def checked_codes(codes) -> list[int]:
    """Return codes (N,) or (1, N) as a list; an empty one for None."""
    array = np.asarray([] if codes is None else codes)
    if array.ndim == 2 and len(array) == 1:
        array = array[0]
    if array.size and (array.ndim != 1 or array.dtype.kind not in "iu" or array.min() < 0):
        raise InputError(f"codes {array.dtype} {array.shape}; expected whole numbers (N,) from 0")
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
    import librosa

    short = max(0, WINDOW - len(waveform))
    power = librosa.feature.melspectrogram(
        y=np.pad(waveform, (0, short)), sr=sample_rate, n_fft=WINDOW, hop_length=FRAME, n_mels=BANDS
    )
    loudest = max(1e-8, float(power.max()))  # digital silence stays black
    level = librosa.power_to_db(power, ref=loudest, amin=1e-16, top_db=None)
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
