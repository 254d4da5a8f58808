"""Linear prediction, forward and inverse: sound -> residual, and residual -> sound.

Each sample is predicted from the P before it by a filter that fits the spectrum of its frame. The
residual has no spectral colour; passed through the filter again it has the frame's spectrum
whatever it is, and so have the errors made in it
([Atal and Hanauer 1971](https://doi.org/10.1121/1.1912679)).
"""

import numpy as np
from keras import ops

from vqwn_kit.models.layers import shift_right
from vqwn_kit.models.mel import LogMel

NOISE_FLOOR = 1e-5  # of a frame's power, added as white noise so that no filter rings for long
LEAST_POWER = 1e-9
RESIDUAL_RANGE = 16.0  # the greatest residual, in units of its expected standard deviation


def lpc_filters(bands, order: int, spectrum: LogMel, pre_emphasis: float = 0.0):
    """Return the linear predictors of frames from their mel bands.

    Power at the bands' centres, lines drawn between them in dB, becomes an autocorrelation and
    that, by the recursion of Levinson and Durbin, the best predictor.

    Args:
        bands: (B, N, M), in dB, as `spectrum` gives them.
        order: P, how many past samples are read.
        spectrum: the layer whose bands these are, built.
        pre_emphasis: of the waveform that is predicted; see `SampleCodec`.

    Returns:
        Coefficients, float32 (B, N, P), of the samples 1 to P before; and the expected standard
        deviation of the residual, float32 (B, N).
    """
    lines, areas = bands_to_bins(spectrum)
    decibels = ops.cast(bands, "float64") - 10.0 * np.log10(areas)
    power = 10.0 ** (ops.matmul(decibels, ops.convert_to_tensor(lines)) / 10.0)
    bins = np.arange(lines.shape[1])
    angle = np.pi * bins / bins[-1]
    twice = np.where((bins == 0) | (bins == bins[-1]), 1.0, 2.0)
    response = np.abs(1.0 - pre_emphasis * np.exp(-1j * angle)) ** 2
    window = spectrum.basis[:, 0, 0]  # of cos(0 t)
    energy = 2 * bins[-1] * np.sum(window**2)
    cosines = np.cos(angle[:, None] * np.arange(order + 1)) / energy
    waves = (twice * response)[:, None] * cosines
    r = ops.matmul(power, ops.convert_to_tensor(waves))  # autocorrelation, (B, N, P + 1)
    error = r[..., :1] * (1.0 + NOISE_FLOOR) + LEAST_POWER
    coefficients = r[..., :0]
    for step in range(1, order + 1):
        past = ops.flip(r[..., 1:step], axis=-1)
        unexplained = r[..., step : step + 1] - ops.sum(coefficients * past, -1, keepdims=True)
        reflection = unexplained / error
        coefficients = coefficients - reflection * ops.flip(coefficients, axis=-1)
        coefficients = ops.concatenate([coefficients, reflection], axis=-1)
        error = error * (1.0 - reflection**2)
    return ops.cast(coefficients, "float32"), ops.cast(ops.sqrt(error[..., 0]), "float32")


def bands_to_bins(spectrum: LogMel) -> tuple[np.ndarray, np.ndarray]:
    """Return M bands' shares in the dB of each Fourier bin, (M, bins), and their areas, (M,)."""
    import librosa

    edges = librosa.mel_frequencies(spectrum.n_mels + 2, fmin=spectrum.fmin, fmax=spectrum.fmax)
    hertz = np.arange(spectrum.n_fft // 2 + 1) * spectrum.sample_rate / spectrum.n_fft
    rows = np.eye(spectrum.n_mels)
    lines = np.stack([np.interp(hertz, edges[1:-1], row) for row in rows])
    return lines, spectrum.mel.sum(axis=0)


def lpc_predict(past, coefficients):
    """Return the prediction of each sample from the P before it, (B, T).

    Args:
        past: float32 (B, T), T a multiple of N: the sound, whose samples before the first are 0.
        coefficients: (B, N, P).
    """
    batch, frames, order = ops.shape(coefficients)
    lagged = [shift_right(past[..., None], lag) for lag in range(1, order + 1)]
    lagged = ops.reshape(ops.concatenate(lagged, axis=-1), (batch, frames, -1, order))
    return ops.reshape(ops.matmul(lagged, coefficients[..., None]), ops.shape(past))


class LPCSynthesis:
    """Residuals -> sound through the filters of frames, part after part: the inverse of prediction.

    Args:
        coefficients: (S', N, P).
        scale: (S', N).
        hop_length: samples per frame.
        postfilter: how much the peaks of each frame's spectrum are raised over the valleys between
            them, as is usual in codecs, since predicted spectra are flatter than real ones: 0 not
            at all, up to less than 1. The sound passes A(z / (b - 0.3)) / A(z / b), where 1 / A is
            the frame's filter and b this number (the numerator is 1 under 0.3), and keeps its
            loudness: the short-term part of [Chen and Gersho
            1995](https://doi.org/10.1109/89.365380), who take 0.8.
    """

    def __init__(
        self, coefficients: np.ndarray, scale: np.ndarray, hop_length: int, postfilter: float = 0.0
    ):
        streams, _, order = coefficients.shape
        self.poles, self.scale = _poles(coefficients), scale
        self.hop_length = hop_length
        self.postfilter = postfilter
        self.past = np.zeros((2, streams, order))  # of the synthesis filter, and the postfilter
        self.loudness = [np.zeros((streams, 1)), np.zeros((streams, 1))]  # of the same
        self.clock = 0  # samples since the first of the frames that are kept

    def extend(self, coefficients: np.ndarray, scale: np.ndarray) -> None:
        """Add the filters of the frames that come next, and drop those of past frames."""
        past, self.clock = divmod(self.clock, self.hop_length)
        self.poles = np.concatenate([self.poles[:, past:], _poles(coefficients)], axis=1)
        self.scale = np.concatenate([self.scale[:, past:], scale], axis=1)

    def __call__(self, residual: np.ndarray) -> np.ndarray:
        """Return the sound, float32 (S', t), of residuals (S', t) that follow those before."""
        from scipy.signal import lfilter

        order, length = self.past.shape[2], residual.shape[1]
        lags, b = np.arange(order + 1), self.postfilter
        shrinking = [max(0.0, b - 0.3) ** lags, b**lags]
        plain, sharpened = np.concatenate([self.past, np.zeros((2, *residual.shape))], axis=2)
        done = 0
        while done < length:
            frame, begun = divmod(self.clock, self.hop_length)
            end = min(done + self.hop_length - begun, length)
            now, before = slice(order + done, order + end), slice(done, order + done)
            for stream, part in enumerate(residual[:, done:end]):
                poles = self.poles[stream, frame]
                part = part * (RESIDUAL_RANGE * self.scale[stream, frame])
                past = plain[stream, before]
                state = -_tail(poles, past)
                plain[stream, now] = lfilter([1.0], poles, part, zi=state)[0]
                if self.postfilter:
                    zeros, poles = [poles * shrunk for shrunk in shrinking]
                    state = _tail(zeros, past) - _tail(poles, sharpened[stream, before])
                    part = plain[stream, now]
                    sharpened[stream, now] = lfilter(zeros, poles, part, zi=state)[0]
            self.clock += end - done
            done = end
        self.past = np.stack([sound[:, sound.shape[1] - order :] for sound in (plain, sharpened)])
        if not self.postfilter:
            return plain[:, order:].astype(np.float32)
        return self._match_loudness(sharpened[:, order:], plain[:, order:]).astype(np.float32)

    def _match_loudness(self, sound: np.ndarray, model: np.ndarray) -> np.ndarray:
        """Return a sound (S', t) with the loudness, over some 10 ms, of another."""
        from scipy.signal import lfilter

        power = []
        for number, waveform in enumerate((sound, model)):
            smooth, state = lfilter([0.01], [1.0, -0.99], waveform**2, zi=self.loudness[number])
            self.loudness[number] = state
            power.append(smooth + LEAST_POWER)
        return sound * np.sqrt(power[1] / power[0])


def _poles(coefficients: np.ndarray) -> np.ndarray:
    """Return the denominators (S', N, P + 1) of filters of coefficients (S', N, P)."""
    return np.pad(-coefficients, ((0, 0), (0, 0), (1, 0)), constant_values=1.0)


def _tail(taps, past) -> np.ndarray:
    """Return what P samples before (P,), times taps (P + 1,), add to each of the P that follow."""
    return np.convolve(taps, past)[len(past) :]
