"""Spectral measures of waveforms."""

import numpy as np


def log_mel(waveform: np.ndarray, sample_rate: int = 16_000) -> np.ndarray:
    """Return an 80-band mel spectrogram in dB relative to its maximum, float32 (80, frames).

    Windows of 1024 samples every 256 (64 and 16 ms at 16 kHz), bands from 0 Hz to half the sample
    rate; -80 to 0 dB.
    """
    import librosa

    power = librosa.feature.melspectrogram(
        y=np.asarray(waveform, np.float32), sr=sample_rate, n_fft=1024, hop_length=256, n_mels=80
    )
    return librosa.power_to_db(power, ref=np.max).astype(np.float32)


def mel_cepstra(mel: np.ndarray) -> np.ndarray:
    """Return cepstral coefficients 1 to 13, (13, frames), of a mel spectrogram in dB (M, frames).

    Scaled so that the distance of two columns is the root mean square difference in dB of the two
    smoothed spectra without their level: 10 / ln 10 sqrt(2 sum(difference^2)) for coefficients of
    the natural logarithm (Kubichek 1993, https://doi.org/10.1109/PACRIM.1993.407206).
    """
    from scipy.fft import dct

    return dct(mel, axis=0, norm="ortho")[1:14] / np.sqrt(len(mel))


def mel_cepstral_distance(
    first: np.ndarray, second: np.ndarray, sample_rate: int = 16_000, align: bool = False
) -> float:
    """Return the mel-cepstral distance of two waveforms in dB, 0 or more, the mean over frames.

    Args:
        first: a waveform (T,).
        second: a waveform (T',); the longer one is cut unless `align`.
        sample_rate: of both, in Hz.
        align: align the two by dynamic time warping first, for two readings of one sentence.
    """
    cepstra, others = (mel_cepstra(log_mel(wave, sample_rate)) for wave in (first, second))
    if align:
        import librosa

        path = librosa.sequence.dtw(cepstra, others)[1]
        cepstra, others = cepstra[:, path[:, 0]], others[:, path[:, 1]]
    frames = min(cepstra.shape[1], others.shape[1])
    return float(np.linalg.norm(cepstra[:, :frames] - others[:, :frames], axis=0).mean())
