"""Measures on arrays, NumPy only."""

import numpy as np


def code_counts(codes: np.ndarray, num_embeddings: int) -> np.ndarray:
    """Return how often each code occurs, int64 (K,), in codes of any shape."""
    return np.bincount(np.ravel(codes), minlength=num_embeddings)


def perplexity(counts: np.ndarray) -> float:
    """Return exp of the entropy of the distribution that counts (K,) describe, 1 to K.

    K where all codes are equally frequent, 1 where a single one is used.
    """
    share = np.asarray(counts, np.float64) / np.sum(counts)
    share = share[share > 0]
    return float(np.exp(-np.sum(share * np.log(share))))


def log_mel(waveform: np.ndarray, sample_rate: int = 16_000) -> np.ndarray:
    """Return an 80-band mel spectrogram in dB under its loudest cell, float32 (80, frames).

    Windows of 64 ms every 16 ms, bands from 0 Hz to half the sample rate; floor at -80 dB.
    """
    import librosa

    power = librosa.feature.melspectrogram(
        y=np.asarray(waveform, np.float32), sr=sample_rate, n_fft=1024, hop_length=256, n_mels=80
    )
    return librosa.power_to_db(power, ref=np.max).astype(np.float32)
