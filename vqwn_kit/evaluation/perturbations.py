"""Perturbations that leave what is said as it is: waveform -> waveform.

All take a waveform (T,) in [-1, 1] and its sample rate in Hz, and return float32; none clips.
"""

from collections.abc import Callable

import numpy as np

FFT = 1024  # samples of the phase vocoder's window, or the length of a shorter waveform
BAND = (300.0, 3400.0)  # Hz, of a telephone
DIRECT = 0.5  # share of the energy of the room response that comes straight from the source


def stretch_time(waveform: np.ndarray, sample_rate: int, rate: float = 1.1) -> np.ndarray:
    """Return speech that is `rate` times as fast, float32 (T / rate,), by a phase vocoder."""
    import librosa

    sound = _long_enough(waveform)
    with np.errstate(invalid="ignore"):  # Numba's code for librosa 1 warns of casts without cause
        faster = librosa.phase_vocoder(librosa.stft(sound, n_fft=FFT), rate=rate)
    return librosa.istft(faster, n_fft=FFT, length=round(len(sound) / rate), dtype=np.float32)


def shift_pitch(waveform: np.ndarray, sample_rate: int, semitones: float = 2.0) -> np.ndarray:
    """Return speech whose frequencies are `semitones` higher, formants included, float32 (T,)."""
    import librosa

    rate = 2.0 ** (-semitones / 12)
    slower = stretch_time(waveform, sample_rate, rate)
    higher = librosa.resample(slower, orig_sr=sample_rate / rate, target_sr=sample_rate)
    return librosa.util.fix_length(higher, size=len(waveform))


def add_noise(
    waveform: np.ndarray, sample_rate: int, snr: float = 20.0, seed: int = 0
) -> np.ndarray:
    """Return speech in white noise at a signal-to-noise ratio in dB, float32 (T,)."""
    noise = np.random.default_rng(seed).normal(size=len(waveform))
    power = np.mean(np.square(waveform, dtype=np.float64)) / np.mean(noise**2)
    return (waveform + noise * np.sqrt(power) * 10 ** (-snr / 20)).astype(np.float32)


def reverberate(
    waveform: np.ndarray, sample_rate: int, seconds: float = 0.3, seed: int = 0
) -> np.ndarray:
    """Return speech in a room, float32 (T,): noise that decays by 60 dB in `seconds`.

    The direct sound is not delayed, and half of the energy of the response.
    """
    from scipy.signal import fftconvolve

    time = np.arange(1, round(seconds * sample_rate)) / sample_rate
    tail = np.random.default_rng(seed).normal(size=len(time)) * 10 ** (-3.0 * time / seconds)
    tail *= np.sqrt((1.0 - DIRECT) / np.sum(tail**2))
    response = np.concatenate([[np.sqrt(DIRECT)], tail])
    return fftconvolve(waveform, response)[: len(waveform)].astype(np.float32)


def change_level(waveform: np.ndarray, sample_rate: int, decibels: float = -10.0) -> np.ndarray:
    """Return speech that is `decibels` louder, float32 (T,)."""
    return (np.asarray(waveform) * 10 ** (decibels / 20)).astype(np.float32)


def limit_band(
    waveform: np.ndarray, sample_rate: int, band: tuple[float, float] = BAND
) -> np.ndarray:
    """Return speech without what is below or above a band in Hz, float32 (T,).

    A Butterworth filter of order 4, forwards and backwards, so that nothing is delayed.
    """
    from scipy.signal import butter, sosfilt

    upper = min(band[1], 0.45 * sample_rate)
    sections = butter(4, (band[0], upper), "bandpass", fs=sample_rate, output="sos")
    forwards = sosfilt(sections, np.asarray(waveform, np.float64))
    return sosfilt(sections, forwards[::-1])[::-1].astype(np.float32)


def start_later(waveform: np.ndarray, hop_length: int, eighths: int) -> np.ndarray:
    """Return a waveform without its first `eighths` eighths of a hop: other frame borders."""
    return waveform[eighths * hop_length // 8 :]


def _long_enough(waveform: np.ndarray) -> np.ndarray:
    """Return a waveform (T,) of one window of the phase vocoder at least, zeros at its end."""
    return np.pad(np.asarray(waveform, np.float32), (0, max(0, FFT - len(waveform))))


PERTURBATIONS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "10 % faster": stretch_time,
    "2 semitones higher": shift_pitch,
    "noise 20 dB": add_noise,
    "room 0.3 s": reverberate,
    "10 dB quieter": change_level,
    "telephone band": limit_band,
}
