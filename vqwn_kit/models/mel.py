"""Spectral features as layers: a waveform (B, T, 1) -> frames (B, T / hop_length, features).

Frame n is centred on sample n * hop_length, as librosa's, and there are exactly T / hop_length of
them: librosa's last one, centred on the end of the clip, is left out. No clip depends on others of
its batch.
"""

import keras
import numpy as np
from keras import ops

from vqwn_kit.models import workers
from vqwn_kit.models.layers import Layer

DELTA_WIDTH = 9  # frames, librosa's default
CURVES = 4  # cosines of the spectral tilt


@keras.saving.register_keras_serializable("vqwn_kit")
class LogMel(Layer):
    """Mel power in dB, equal to librosa's `power_to_db(melspectrogram(...), top_db=top_db)`.

    Args:
        hop_length: samples between two frames.
        n_mels: mel bands.
        sample_rate: of the waveform, in Hz.
        window_length: samples of the Hann window; 400 are 25 ms. The transform has the next power
            of two.
        fmin: lower end of the bands, in Hz.
        fmax: upper end, in Hz.
        top_db: floor of a clip, in dB under its own loudest cell, as librosa's default of 80. By
            default there is none but -100 dB, so that a frame depends on its own window alone.
        warp: in training, each clip's frequencies are stretched by a factor of its own, whose
            logarithm is drawn from -warp to warp: vocal-tract-length perturbation.
        tilt: in training, spectral-tilt augmentation: the standard deviation, in dB, of the heights
            of the `CURVES` slowest cosines over the bands, drawn for each clip and added to all
            its frames.

    Input shape: (B, T, 1), T a multiple of `hop_length`. Output shape: (B, N, n_mels) float32.
    """

    def __init__(
        self,
        hop_length: int = 160,
        n_mels: int = 80,
        sample_rate: int = 16_000,
        window_length: int = 400,
        fmin: float = 20.0,
        fmax: float = 8000.0,
        top_db: float | None = None,
        warp: float = 0.0,
        tilt: float = 0.0,
        **kwargs,
    ):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.hop_length = hop_length
        self.n_mels = n_mels
        self.sample_rate = sample_rate
        self.window_length = window_length
        self.n_fft = 1 << (window_length - 1).bit_length()  # samples of the transform
        self.fmin = fmin
        self.fmax = fmax
        self.top_db = top_db
        self.warp = warp
        self.tilt = tilt
        self.generator = keras.random.SeedGenerator()

    @property
    def channels(self) -> int:
        """Features per frame."""
        return self.n_mels

    def build(self, input_shape=None):
        """Make the windowed Fourier basis (window, 1, 2 bins) and the mel filters."""
        import librosa

        window = librosa.filters.get_window("hann", self.window_length)
        time = np.arange(self.window_length)[:, None]
        angle = 2 * np.pi * time * np.arange(self.n_fft // 2 + 1) / self.n_fft
        basis = np.concatenate([np.cos(angle), np.sin(angle)], axis=1) * window[:, None]
        self.basis = basis[:, None]
        self.mel = librosa.filters.mel(
            sr=self.sample_rate,
            n_fft=self.n_fft,
            n_mels=self.n_mels,
            fmin=self.fmin,
            fmax=self.fmax,
            dtype=np.float64,
        ).T

    def decibels(self, waveform):
        """Return the bands in dB; computed in float64, since quiet bands lie beside loud ones."""
        half = self.window_length // 2
        num_frames = ops.shape(waveform)[1] // self.hop_length
        padded = ops.pad(ops.cast(waveform, "float64"), ((0, 0), (half, half), (0, 0)))
        parts = ops.conv(padded, ops.convert_to_tensor(self.basis), self.hop_length)[:, :num_frames]
        real, imaginary = ops.split(parts, 2, axis=-1)
        power = ops.matmul(real**2 + imaginary**2, ops.convert_to_tensor(self.mel))
        return ops.cast(10.0 * ops.log10(ops.maximum(power, 1e-10)), "float32")

    def call(self, waveform, training: bool | None = None, loudest=None):
        """Return the bands in dB.

        Where there is a `top_db` and the waveform is a part of a recording, `loudest` is the
        level in dB of the recording's loudest cell.
        """
        decibels = self.decibels(waveform)
        if self.top_db is not None:
            if loudest is None:
                loudest = ops.max(decibels, axis=(1, 2), keepdims=True)
            decibels = ops.maximum(decibels, loudest - self.top_db)
        if training and self.warp:
            decibels = self.warped(decibels)
        if training and self.tilt:
            decibels = self.tilted(decibels)
        return decibels

    def warped(self, decibels):
        """Return bands (B, N, n_mels) of clips whose frequencies are stretched at random."""
        import librosa

        edges = librosa.mel_frequencies(self.n_mels + 2, fmin=self.fmin, fmax=self.fmax)
        draws = (ops.shape(decibels)[0], 1)
        limits = (-self.warp, self.warp)
        drawn = workers.draw(keras.random.uniform, draws, *limits, seed=self.generator)
        stretch = ops.exp(drawn)
        hertz = ops.convert_to_tensor(edges[1:-1], "float32") * stretch
        lowest, step = librosa.hz_to_mel(edges[1]), np.diff(librosa.hz_to_mel(edges[:2]))[0]
        place = ops.clip((hz_to_mel(hertz) - lowest) / step, 0.0, self.n_mels - 1.0)
        band = ops.arange(self.n_mels, dtype="float32")[:, None]
        shares = ops.relu(1.0 - ops.abs(band - place[:, None]))  # (B, n_mels, n_mels)
        return ops.matmul(decibels, shares)

    def tilted(self, decibels):
        """Return bands (B, N, n_mels) of clips whose spectra are coloured at random."""
        angle = np.pi * (np.arange(self.n_mels) + 0.5) / self.n_mels
        curves = np.cos(np.arange(1, CURVES + 1)[:, None] * angle)
        draws = (ops.shape(decibels)[0], CURVES)
        heights = workers.draw(keras.random.normal, draws, 0.0, self.tilt, seed=self.generator)
        return decibels + ops.matmul(heights, ops.convert_to_tensor(curves, "float32"))[:, None]

    def compute_output_shape(self, input_shape):
        """Return (B, N, channels)."""
        length = input_shape[1]
        frames = None if length is None else length // self.hop_length
        return (input_shape[0], frames, self.channels)


@keras.saving.register_keras_serializable("vqwn_kit")
class Mfcc(LogMel):
    """Mel-frequency cepstrum with its first and second deltas, equal to librosa's.

    The orthonormal DCT-II of `LogMel`, and the slopes and curvatures of parabolas fitted to nine
    frames, as `librosa.feature.mfcc` and `librosa.feature.delta`. Clips of fewer than nine frames,
    which librosa refuses, are continued with their last one.

    Args:
        n_mfcc: coefficients; three times as many features.
        hop_length: samples between two frames.
        n_mels: mel bands.
        sample_rate: of the waveform, in Hz.
        window_length: samples of the Hann window.
        fmin: lower end of the bands, in Hz.
        fmax: upper end, in Hz.
        top_db: floor of a clip, in dB under its own loudest cell; see `LogMel`.
        warp: vocal-tract-length perturbation; see `LogMel`.
        tilt: spectral-tilt augmentation; see `LogMel`.

    Output shape: (B, N, 3 n_mfcc) float32.
    """

    def __init__(
        self,
        n_mfcc: int = 13,
        hop_length: int = 160,
        n_mels: int = 80,
        sample_rate: int = 16_000,
        window_length: int = 400,
        fmin: float = 20.0,
        fmax: float = 8000.0,
        top_db: float | None = None,
        warp: float = 0.0,
        tilt: float = 0.0,
        **kwargs,
    ):
        spectrum = (n_mels, sample_rate, window_length, fmin, fmax, top_db, warp, tilt)
        super().__init__(hop_length, *spectrum, **kwargs)
        self.n_mfcc = n_mfcc

    @property
    def channels(self) -> int:
        """Features per frame."""
        return 3 * self.n_mfcc

    def build(self, input_shape=None):
        """Make the DCT (n_mels, n_mfcc) and the two filters of the deltas (9, 1, 2)."""
        from scipy.fft import dct
        from scipy.signal import savgol_coeffs

        super().build(input_shape)
        self.dct = dct(np.eye(self.n_mels), axis=0, norm="ortho")[: self.n_mfcc].T
        filters = [
            savgol_coeffs(DELTA_WIDTH, order, deriv=order, use="dot").astype(np.float32)
            for order in (1, 2)
        ]
        self.filters = np.stack(filters, axis=1)[:, None]

    def call(self, waveform, training: bool | None = None, loudest=None):
        """Return coefficients, slopes and curvatures, in this order; see `LogMel.call`."""
        decibels = ops.cast(super().call(waveform, training, loudest), "float64")
        cepstrum = ops.cast(ops.matmul(decibels, ops.convert_to_tensor(self.dct)), "float32")
        num_frames = ops.shape(cepstrum)[1]
        batch = ops.shape(cepstrum)[0]
        within = ops.minimum(ops.arange(ops.maximum(num_frames, DELTA_WIDTH)), num_frames - 1)
        rows = ops.transpose(ops.take(cepstrum, within, axis=1), (0, 2, 1))
        rows = ops.reshape(rows, (batch * self.n_mfcc, -1, 1))
        deltas = ops.conv(rows, ops.convert_to_tensor(self.filters))  # where the nine frames are
        fits = ops.shape(deltas)[1]
        nearest = ops.clip(ops.arange(num_frames) - DELTA_WIDTH // 2, 0, fits - 1)
        deltas = ops.reshape(ops.take(deltas, nearest, axis=1), (batch, self.n_mfcc, num_frames, 2))
        slopes, curvatures = deltas[..., 0], deltas[..., 1]
        turned = [ops.transpose(one, (0, 2, 1)) for one in (slopes, curvatures)]
        return ops.concatenate([cepstrum, *turned], axis=-1)


def hz_to_mel(hertz):
    """Return frequencies as librosa's mel: in a line up to 1 kHz, logarithmic above."""
    linear, knee = 3.0 / 200.0, 1000.0
    above = ops.log(ops.maximum(hertz, knee) / knee) * (27.0 / np.log(6.4))
    return linear * ops.minimum(hertz, knee) + above
