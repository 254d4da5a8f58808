"""Spectral measures of waveforms."""

import numpy as np

CONTRAST_RANGE = 40.0  # dB below the loudest cell, within which a frame has speech


def mel_power(
    waveform: np.ndarray, sample_rate: int, window: int, hop: int, bands: int
) -> np.ndarray:
    """Return the mel spectrogram of a waveform (T,), power, float32 (bands, T // hop + 1).

    That of `librosa.feature.melspectrogram`, whose import compiles for half a minute on first use.

    Args:
        waveform: float (T,).
        sample_rate: in Hz; the bands reach to half of it.
        window: of Hann, in samples.
        hop: samples per column.
        bands: how many.
    """
    import librosa

    hann = np.hanning(window + 1)[:-1].astype(np.float32)
    padded = np.pad(np.asarray(waveform, np.float32), window // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    power = np.abs(np.fft.rfft(frames * hann)).astype(np.float32) ** 2
    return librosa.filters.mel(sr=sample_rate, n_fft=window, n_mels=bands) @ power.T


def log_mel(waveform: np.ndarray, sample_rate: int = 16_000) -> np.ndarray:
    """Return an 80-band mel spectrogram in dB relative to its maximum, float32 (80, frames).

    Windows of 1024 samples every 256 (64 and 16 ms at 16 kHz), bands from 0 Hz to half the sample
    rate; -80 to 0 dB.
    """
    power = np.maximum(mel_power(waveform, sample_rate, 1024, 256, 80), 1e-10)
    return np.maximum(10.0 * np.log10(power / power.max()), -80.0).astype(np.float32)


def mel_cepstra(mel: np.ndarray) -> np.ndarray:
    """Return cepstral coefficients 1 to 13, (13, frames), of a mel spectrogram in dB (M, frames).

    Scaled so that the distance of two columns is the root mean square difference in dB of the two
    smoothed spectra without their level: 10 / ln 10 sqrt(2 sum(difference^2)) for coefficients of
    the natural logarithm (Kubichek 1993, https://doi.org/10.1109/PACRIM.1993.407206).
    """
    from scipy.fft import dct

    return dct(mel, axis=0, norm="ortho")[1:14] / np.sqrt(len(mel))


def spectral_contrast(waveform: np.ndarray, sample_rate: int = 16_000) -> float:
    """Return how far spectral peaks stand out from the valleys of a waveform (T,): dB, 0 or more.

    The root mean square of the smoothed mel spectrum without its level and tilt (coefficients 2 to
    13 of `mel_cepstra`), the mean over frames at most 40 dB below the loudest cell. Smoothing by a
    model lowers it below that of a recording, a postfilter raises it, perhaps above; compare
    [Jiang 2002](https://doi.org/10.1109/ICME.2002.1035731), who take it by octaves.
    """
    mel = log_mel(waveform, sample_rate)
    cepstra = mel_cepstra(mel)[1:, mel.max(axis=0) > -CONTRAST_RANGE]
    return float(np.linalg.norm(cepstra, axis=0).mean())


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
