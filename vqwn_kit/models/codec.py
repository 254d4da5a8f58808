"""The signal path: waveform <-> levels, each step beside its inverse.

    waveform -> pre-emphasis -> LPC residual -> mu-law levels        `SampleCodec.encode`, Keras
    waveform <- de-emphasis <- LPC synthesis <- mu-law expansion     `Synthesis`, NumPy, in parts

Linear prediction: each sample is predicted from the P before it by a filter that fits the spectrum
of its frame. The residual has no spectral colour; passed through the filter again it has the
frame's spectrum whatever it is, and so have the errors made in it
([Atal and Hanauer 1971](https://doi.org/10.1121/1.1912679)).
"""

import math
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from vqwn_kit.models.layers import Layer, shift_right
from vqwn_kit.models.mel import LogMel

NOISE_FLOOR = 1e-5  # of a frame's power, added as white noise so that no filter rings for long
LEAST_POWER = 1e-9
RESIDUAL_RANGE = 16.0  # the greatest residual, in units of its expected standard deviation


# mu-law


def mu_law_encode(waveform, num_levels: int = 256):
    """Compand float32 in [-1, 1] to int32 levels 0..L-1, any shape (ITU-T G.711, as a formula).

    y = sign(x) ln(1 + mu |x|) / ln(1 + mu), level = floor((y + 1) / 2 * mu + 0.5), mu = L - 1.
    """
    mu = num_levels - 1
    clipped = ops.clip(ops.cast(waveform, "float32"), -1.0, 1.0)
    companded = ops.sign(clipped) * ops.log1p(mu * ops.abs(clipped)) / math.log1p(mu)
    return ops.cast(ops.floor((companded + 1.0) / 2.0 * mu + 0.5), "int32")


def mu_law_decode(levels: np.ndarray, num_levels: int = 256) -> np.ndarray:
    """Expand integer levels 0..L-1, any shape, to float32 in [-1, 1]; in NumPy."""
    mu = num_levels - 1
    companded = 2.0 * np.asarray(levels, np.float64) / mu - 1.0
    waveform = np.sign(companded) * np.expm1(np.abs(companded) * np.log1p(mu)) / mu
    return waveform.astype(np.float32)


def mu_law_step(waveform, num_levels: int = 256):
    """Return the width of the level that stands for a value of a waveform, float32, any shape."""
    mu = num_levels - 1
    return (ops.abs(ops.clip(waveform, -1.0, 1.0)) + 1.0 / mu) * (2.0 * math.log1p(mu) / mu)


def level_to_scalar(levels, num_levels: int = 256):
    """Map integer levels to the companded value in [-1, 1]."""
    return ops.cast(levels, "float32") * (2.0 / (num_levels - 1)) - 1.0


# linear prediction


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
    lines, areas = _bands_to_bins(spectrum)
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


def _bands_to_bins(spectrum: LogMel) -> tuple[np.ndarray, np.ndarray]:
    """Return M bands' shares in the dB of each Fourier bin, (M, bins), and their areas, (M,)."""
    import librosa

    edges = librosa.mel_frequencies(spectrum.n_mels + 2, fmin=spectrum.fmin, fmax=spectrum.fmax)
    hertz = np.arange(spectrum.n_fft // 2 + 1) * spectrum.sample_rate / spectrum.n_fft
    rows = np.eye(spectrum.n_mels)
    lines = np.stack([np.interp(hertz, edges[1:-1], row) for row in rows])
    return lines, spectrum.mel.sum(axis=0)


def lpc_residual(sound, coefficients, scale):
    """Return the residual of a sound, (B, T), in units of RESIDUAL_RANGE times its scale.

    Args:
        sound: float32 (B, T), T a multiple of N.
        coefficients: (B, N, P).
        scale: (B, N).
    """
    batch, frames, order = ops.shape(coefficients)
    past = [shift_right(sound[..., None], lag) for lag in range(1, order + 1)]
    past = ops.reshape(ops.concatenate(past, axis=-1), (batch, frames, -1, order))
    predicted = ops.matmul(past, coefficients[..., None])[..., 0]
    residual = ops.reshape(sound, ops.shape(predicted)) - predicted
    return ops.reshape(residual / (RESIDUAL_RANGE * scale[..., None]), ops.shape(sound))


class LPCSynthesis:
    """Residuals -> sound through the filters of frames, part after part: `lpc_residual` inverted.

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
        self.poles = np.pad(-coefficients, ((0, 0), (0, 0), (1, 0)), constant_values=1.0)
        self.scale = scale
        self.hop_length = hop_length
        self.postfilter = postfilter
        lags = np.arange(order + 1)
        self.shrunk = [self.poles * b**lags for b in (max(0.0, postfilter - 0.3), postfilter)]
        self.past = np.zeros((2, streams, order))  # of the synthesis filter, and the postfilter
        self.loudness = [np.zeros((streams, 1)), np.zeros((streams, 1))]  # of the same
        self.clock = 0

    def __call__(self, residual: np.ndarray) -> np.ndarray:
        """Return the sound, float32 (S', t), of residuals (S', t) that follow those before."""
        order, length = self.past.shape[2], residual.shape[1]
        plain, sharpened = np.concatenate([self.past, np.zeros((2, *residual.shape))], axis=2)
        done = 0
        while done < length:
            frame, begun = divmod(self.clock, self.hop_length)
            end = min(done + self.hop_length - begun, length)
            now, before = slice(order + done, order + end), slice(done, order + done)
            for stream, part in enumerate(residual[:, done:end]):
                poles = self.poles[stream, frame]
                part = part * (RESIDUAL_RANGE * self.scale[stream, frame])
                plain[stream, now] = _filtered([1.0], poles, part, plain[stream, before], [0.0])
                if self.postfilter:
                    zeros, poles = [shrunk[stream, frame] for shrunk in self.shrunk]
                    part, past = plain[stream, now], plain[stream, before]
                    sharpened[stream, now] = _filtered(
                        zeros, poles, part, sharpened[stream, before], past
                    )
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


def _filtered(zeros, poles, sound, past_outputs, past_inputs) -> np.ndarray:
    """Return a sound (t,) through a filter, given its outputs and inputs before."""
    from scipy.signal import lfilter, lfiltic

    state = lfiltic(zeros, poles, past_outputs[::-1], past_inputs[::-1])
    return lfilter(zeros, poles, sound, zi=state)[0]


# all of it


class Signal(NamedTuple):
    """What a codec makes of a waveform before it is rounded to levels.

    Attributes:
        sound: the pre-emphasised waveform, float32 (B, T).
        scale: float32 (B, T), or 1: what the residual was divided by.
        residual: float32 (B, T) in [-1, 1] but for outliers; the sound itself without LPC.
    """

    sound: Any
    scale: Any
    residual: Any


@keras.saving.register_keras_serializable("vqwn_kit")
class SampleCodec(Layer):
    """Waveform (B, T, 1) <-> levels (B, T), and levels -> what a network reads.

    Args:
        num_levels: L, mu-law levels.
        one_hot: give the network each past level as one of L channels, instead of as one number.
        pre_emphasis: a of x[t] - a x[t - 1], 0 to less than 1. It lifts high frequencies over the
            noise of rounding and of sampling; synthesis inverts it. 0.85 in
            [LPCNet](https://arxiv.org/abs/1810.11846).
        lpc_order: P of linear prediction; 0 for none, 20 to 32 are usual. The levels are those of
            the residual then.
        postfilter: how much synthesis raises spectral peaks; see `LPCSynthesis`.

    Raises:
        ValueError: `pre_emphasis`, `lpc_order` or `postfilter` out of range, or a postfilter
            without LPC.
    """

    short_name = "codec"

    def __init__(
        self,
        num_levels: int = 256,
        one_hot: bool = False,
        pre_emphasis: float = 0.0,
        lpc_order: int = 0,
        postfilter: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not 0.0 <= pre_emphasis < 1.0:
            raise ValueError(
                f"pre_emphasis is {pre_emphasis}; expected 0, none, up to less than 1, such as 0.85"
            )
        if not 0 <= lpc_order <= 32:
            raise ValueError(
                f"lpc_order is {lpc_order}; expected 0, none, to 32 past samples, such as 20"
            )
        if not 0.0 <= postfilter < 1.0 or postfilter and not lpc_order:
            raise ValueError(
                f"postfilter is {postfilter} with an lpc_order of {lpc_order}; expected 0, none, "
                "up to less than 1, such as 0.8, and an lpc_order above 0"
            )
        self.num_levels = num_levels
        self.one_hot = one_hot
        self.pre_emphasis = pre_emphasis
        self.lpc_order = lpc_order
        self.postfilter = postfilter

    @property
    def provides(self) -> dict[str, int]:
        """What a distribution is built with."""
        return {"num_levels": self.num_levels}

    @property
    def num_inputs(self) -> int:
        """F, channels of what a network reads."""
        return self.num_levels if self.one_hot else 1

    def inputs(self, levels, dtype: str = "float32"):
        """Return what a network reads, (B, T, F): each level one sample late.

        Before the first level stands silence: 0, or none of the channels.
        """
        if self.one_hot:
            return shift_right(ops.one_hot(levels, self.num_levels, dtype=dtype))
        return shift_right(level_to_scalar(levels, self.num_levels)[..., None])

    def filters(self, bands, spectrum: LogMel):
        """Return the LPC filters of mel bands (B, N, M); see `lpc_filters`."""
        return lpc_filters(bands, self.lpc_order, spectrum, self.pre_emphasis)

    def analyse(self, waveform, filters=None) -> Signal:
        """Return pre-emphasised sound, scale and LPC residual of a waveform (B, T, 1).

        Args:
            waveform: (B, T, 1).
            filters: coefficients (B, N, P) and scale (B, N), where there is an `lpc_order`.

        Raises:
            ValueError: there is one, and no filters.
        """
        sound = (waveform - self.pre_emphasis * shift_right(waveform))[..., 0]
        if not self.lpc_order:
            return Signal(sound, 1.0, sound)
        if filters is None:
            raise ValueError(f"lpc_order is {self.lpc_order}; expected the filters of the frames")
        coefficients, scale = filters
        residual = lpc_residual(sound, coefficients, scale)
        hop = ops.shape(sound)[1] // ops.shape(scale)[1]
        return Signal(sound, RESIDUAL_RANGE * ops.repeat(scale, hop, axis=1), residual)

    def to_levels(self, residual):
        """Return the levels, int32 (B, T), of a residual."""
        return mu_law_encode(residual, self.num_levels)

    def encode(self, waveform, filters=None):
        """Return the levels, int32 (B, T), of a waveform (B, T, 1); the rest is as in `analyse`."""
        return self.to_levels(self.analyse(waveform, filters).residual)

    def log_step_ratio(self, signal: Signal):
        """Return the width of a residual's levels over that of the sound's, in nats, (B, T).

        Beyond the last level the steps grow with the square of the distance.
        """
        scale = signal.scale * mu_law_step(signal.residual, self.num_levels)
        wider = scale / mu_law_step(signal.sound, self.num_levels)
        return ops.log(wider) + 2.0 * ops.log(ops.maximum(1.0, ops.abs(signal.residual)))

    def synthesis(self, filters=None, hop_length: int = 0, postfilter: float | None = None):
        """Return a `Synthesis` of this codec: the inverse of `encode`, part after part."""
        postfilter = self.postfilter if postfilter is None else postfilter
        lpc = None
        if self.lpc_order:
            lpc = LPCSynthesis(*map(np.array, filters), hop_length, postfilter)
        return Synthesis(self.num_levels, self.pre_emphasis, lpc)


class Synthesis:
    """Levels -> waveform, part after part: mu-law expansion, LPC synthesis, de-emphasis.

    Args:
        num_levels: L.
        pre_emphasis: that is inverted.
        lpc: None without linear prediction.

    Example:
        synthesis = codec.synthesis(filters, hop_length=160)
        waveform = np.concatenate([synthesis(part) for part in parts], axis=1)
    """

    def __init__(self, num_levels: int, pre_emphasis: float, lpc: LPCSynthesis | None = None):
        self.num_levels = num_levels
        self.poles = np.float32([1.0, -pre_emphasis])
        self.lpc = lpc
        self.state = np.float32([[0.0]])

    def __call__(self, levels: np.ndarray) -> np.ndarray:
        """Return the waveform, float32 (S', t) in [-1, 1], of levels that follow those before."""
        from scipy.signal import lfilter

        if not levels.shape[1]:  # an empty part would lose the state of the filters
            return np.zeros(levels.shape, np.float32)
        sound = mu_law_decode(levels, self.num_levels)
        if self.lpc is not None:
            sound = self.lpc(sound)
        state = np.broadcast_to(self.state, (len(sound), 1))
        waveform, self.state = lfilter(self.poles[:1], self.poles, sound, axis=1, zi=state)
        return waveform.clip(-1.0, 1.0)
