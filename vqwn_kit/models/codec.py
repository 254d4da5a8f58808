"""The signal path: waveform <-> levels, each step beside its inverse.

    waveform -> pre-emphasis -> LPC residual -> mu-law levels        `SampleCodec.encode`, Keras
    waveform <- de-emphasis <- LPC synthesis <- mu-law expansion     `Synthesis`, NumPy, in parts

Linear prediction is in `lpc`.
"""

import math
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from vqwn_kit.models import workers
from vqwn_kit.models.layers import Layer, shift_right
from vqwn_kit.models.lpc import RESIDUAL_RANGE, LPCSynthesis, lpc_filters, lpc_predict
from vqwn_kit.models.mel import LogMel

SAMPLE_RATE = 16_000  # Hz
LEAST_MASS = 1e-30  # of a level, against the logarithm of 0


# mu-law


def mu_law_compand(waveform, num_levels: int = 256):
    """Compand floats, clipped to [-1, 1], to [-1, 1], any shape (ITU-T G.711, as a formula).

    y = sign(x) ln(1 + mu |x|) / ln(1 + mu), mu = L - 1.
    """
    mu = num_levels - 1
    clipped = ops.clip(waveform, -1.0, 1.0)
    return ops.sign(clipped) * ops.log1p(mu * ops.abs(clipped)) / math.log1p(mu)


def mu_law_encode(waveform, num_levels: int = 256):
    """Return int32 levels 0..L-1 of float32 in [-1, 1], any shape.

    level = floor((y + 1) / 2 * mu + 0.5) of the companded value y, mu = L - 1.
    """
    companded = mu_law_compand(ops.cast(waveform, "float32"), num_levels)
    return ops.cast(ops.floor((companded + 1.0) / 2.0 * (num_levels - 1) + 0.5), "int32")


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


def _mu_law_edge(number, num_levels: int):
    """Return the lower edges, float64, of levels by their numbers."""
    mu = num_levels - 1
    companded = (2.0 * ops.cast(number, "float64") - 1.0) / mu - 1.0
    return ops.sign(companded) * ops.expm1(ops.abs(companded) * math.log1p(mu)) / mu


def _place(residual, num_levels: int):
    """Map residuals, float64, to 0..L, so that level l has l..l + 1; the last reach to infinity.

    Beyond 1 the last half of a level is left, on which the distance d goes as d / (1 + d), with
    the slope of the companded scale at 1.
    """
    mu = num_levels - 1
    inside = 0.5 + mu * (mu_law_compand(residual, num_levels) + 1.0) / 2.0
    slope = mu**2 / (2.0 * (1.0 + mu) * math.log1p(mu))
    beyond = 2.0 * slope * ops.maximum(0.0, ops.abs(residual) - 1.0)
    return inside + ops.sign(residual) * 0.5 * beyond / (1.0 + beyond)


# all of it


class Signal(NamedTuple):
    """What a codec makes of a waveform before it is rounded to levels.

    Attributes:
        sound: the pre-emphasised waveform, float32 (B, T).
        past: float32 (B, T): the sound that predictions are made from; in training with noise.
        predicted: float32 (B, T), or 0: each sample, as linear prediction expects it.
        scale: float32 (B, T), or 1: what the residual was divided by.
        residual: float32 (B, T) in [-1, 1] but for outliers; the sound itself without LPC.
    """

    sound: Any
    past: Any
    predicted: Any
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
        high_pass: in Hz; synthesis removes what lies below, 0 for nothing. De-emphasis amplifies
            the noise of sampling most at 0 Hz, by 16 dB at 0.85; few voices have their pitch below
            60 Hz. A Butterworth filter of order 4.
        closed_loop: the network reads, beside the past residual, the past sound and the prediction
            of the coming sample, as in [LPCNet](https://arxiv.org/abs/1810.11846), so that it can
            correct what the filter makes of its own errors.
        input_noise: of a closed loop, in training: white noise on the past sound, before the
            filter, in units of the residual's expected standard deviation. 0.15 is about 3 levels
            of 256 at a usual residual, the noise of LPCNet.

    Raises:
        ValueError: `pre_emphasis`, `lpc_order`, `postfilter`, `high_pass` or `input_noise` out of
            range, a postfilter or a closed loop without LPC, or noise without a closed loop.
    """

    short_name = "codec"

    def __init__(
        self,
        num_levels: int = 256,
        one_hot: bool = False,
        pre_emphasis: float = 0.0,
        lpc_order: int = 0,
        postfilter: float = 0.0,
        high_pass: float = 0.0,
        closed_loop: bool = False,
        input_noise: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not 0.0 <= high_pass <= 300.0:
            raise ValueError(f"high_pass is {high_pass}; expected 0, none, to 300 Hz, such as 60")
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
        if closed_loop and not lpc_order:
            raise ValueError("closed_loop needs linear prediction; expected an lpc_order above 0")
        if not 0.0 <= input_noise <= 2.0 or input_noise and not closed_loop:
            raise ValueError(
                f"input_noise is {input_noise} with closed_loop={closed_loop}; expected 0, none, "
                "to 2, such as 0.15, and closed_loop=True"
            )
        self.num_levels = num_levels
        self.one_hot = one_hot
        self.pre_emphasis = pre_emphasis
        self.lpc_order = lpc_order
        self.postfilter = postfilter
        self.high_pass = high_pass
        self.closed_loop = closed_loop
        self.input_noise = input_noise
        self.generator = keras.random.SeedGenerator() if input_noise else None

    @property
    def provides(self) -> dict[str, int]:
        """What a distribution is built with."""
        return {"num_levels": self.num_levels}

    @property
    def signal(self) -> str:
        """What bits per sample are of; those of different signals cannot be compared.

        LPC does not change it: the likelihood is that of the sound, see `WaveNetDecoder.nll`.
        """
        what = f"the pre-emphasised waveform ({self.pre_emphasis:g})"
        if not self.pre_emphasis:
            what = "the waveform"
        return f"{what} in {self.num_levels} levels"

    @property
    def num_inputs(self) -> int:
        """F, channels of what a network reads."""
        return (self.num_levels if self.one_hot else 1) + 2 * self.closed_loop

    def inputs(self, levels, signal: Signal | None = None, dtype: str = "float32"):
        """Return what a network reads, (B, T, F): what is known before each level.

        That is the level before, and of a closed loop the companded sound before and the companded
        prediction. Before the first level stands silence: 0, or none of the channels.

        Args:
            levels: int (B, T).
            signal: of the same sounds; only a closed loop needs it.
            dtype: of the result.
        """
        if self.one_hot:
            past = shift_right(ops.one_hot(levels, self.num_levels, dtype=dtype))
        else:
            past = shift_right(level_to_scalar(levels, self.num_levels)[..., None])
        if not self.closed_loop:
            return past
        known = ops.stack([shift_right(signal.past[..., None])[..., 0], signal.predicted], axis=-1)
        return ops.concatenate(
            [past, ops.cast(mu_law_compand(known, self.num_levels), past.dtype)], axis=-1
        )

    def filters(self, bands, spectrum: LogMel):
        """Return the LPC filters of mel bands (B, N, M); see `lpc_filters`."""
        return lpc_filters(bands, self.lpc_order, spectrum, self.pre_emphasis)

    def analyse(self, waveform, filters=None, training: bool | None = None) -> Signal:
        """Return the signal of a waveform (B, T, 1).

        Args:
            waveform: (B, T, 1).
            filters: coefficients (B, N, P) and scale (B, N), where there is an `lpc_order`.
            training: add the `input_noise`. Residuals are then those of the true sound, given
                predictions from the noisy one.

        Raises:
            ValueError: there is one, and no filters.
        """
        sound = (waveform - self.pre_emphasis * shift_right(waveform))[..., 0]
        if not self.lpc_order:
            return Signal(sound, sound, 0.0, 1.0, sound)
        if filters is None:
            raise ValueError(f"lpc_order is {self.lpc_order}; expected the filters of the frames")
        coefficients, scale = filters
        hop = ops.shape(sound)[1] // ops.shape(scale)[1]
        scale, past = ops.repeat(scale, hop, axis=1), sound
        if training and self.input_noise:
            noise = workers.draw(keras.random.normal, ops.shape(sound), seed=self.generator)
            past = sound + self.input_noise * scale * noise
        predicted = lpc_predict(past, coefficients)
        scale = RESIDUAL_RANGE * scale
        return Signal(sound, past, predicted, scale, (sound - predicted) / scale)

    def signal_of(self, levels, filters) -> Signal:
        """Return the signal of the sound that levels (B, T) synthesise, before de-emphasis."""
        levels, (coefficients, scale) = np.array(levels), map(np.array, filters)
        hop = levels.shape[1] // scale.shape[1]
        residual = mu_law_decode(levels, self.num_levels)
        sound = LPCSynthesis(coefficients, scale, hop)(residual)
        scale = RESIDUAL_RANGE * np.repeat(scale, hop, axis=1)
        return Signal(sound, sound, lpc_predict(sound, coefficients), scale, residual)

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

    def sound_log_prob(self, log_probs, signal: Signal):
        """Return the log-probability in nats, (B, T), of the level of each sample of the sound.

        The residual's density is constant over each of its levels, on the companded scale; the last
        levels reach to infinity, where it falls with the square of the distance. Its integral over
        a level of the sound is that level's probability, and the levels' probabilities sum to 1.

        Args:
            log_probs: of the levels of the residual, (B, T, L), in nats.
            signal: of the sound.
        """
        last, level = self.num_levels - 1, self.to_levels(signal.sound)
        predicted, scale = (ops.cast(x, "float64") for x in (signal.predicted, signal.scale))
        low, high = (
            _place((_mu_law_edge(level + step, self.num_levels) - predicted) / scale, last + 1)
            for step in (0, 1)
        )  # (B, T) on the scale 0..L, where level l has l..l + 1
        low = ops.where(level == 0, ops.zeros_like(low), low)
        high = ops.where(level == last, ops.full_like(high, last + 1), high)
        first, final = (ops.clip(ops.cast(ops.floor(x), "int32"), 0, last) for x in (low, high))
        probs, every = ops.exp(log_probs), ops.arange(self.num_levels)
        between = (every > first[..., None]) & (every < final[..., None])
        mass = ops.sum(ops.where(between, probs, 0.0), axis=-1)

        def share(number, width):
            chosen = ops.take_along_axis(probs, number[..., None], axis=-1)[..., 0]
            return chosen * ops.cast(width, probs.dtype)

        mass = mass + share(first, ops.minimum(high, ops.cast(first + 1, "float64")) - low)
        rest = high - ops.cast(final, "float64")
        mass = mass + ops.where(final > first, share(final, rest), 0.0)
        return ops.log(ops.maximum(mass, LEAST_MASS))

    def synthesis(self, filters=None, hop_length: int = 0, postfilter: float | None = None):
        """Return a `Synthesis` of this codec: the inverse of `encode`, part after part."""
        postfilter = self.postfilter if postfilter is None else postfilter
        lpc = None
        if self.lpc_order:
            lpc = LPCSynthesis(*map(np.array, filters), hop_length, postfilter)
        return Synthesis(self.num_levels, self.pre_emphasis, lpc, self.high_pass)


class Synthesis:
    """Levels -> waveform, part after part: mu-law, LPC synthesis, de-emphasis, high-pass.

    Args:
        num_levels: L.
        pre_emphasis: that is inverted.
        lpc: None without linear prediction.
        high_pass: see `SampleCodec`.

    Example:
        synthesis = codec.synthesis(filters, hop_length=160)
        waveform = np.concatenate([synthesis(part) for part in parts], axis=1)
    """

    def __init__(
        self,
        num_levels: int,
        pre_emphasis: float,
        lpc: LPCSynthesis | None = None,
        high_pass: float = 0.0,
    ):
        from scipy.signal import butter

        self.num_levels = num_levels
        self.poles = np.float32([1.0, -pre_emphasis])
        self.lpc = lpc
        self.state = np.float32([[0.0]])
        self.sections = None
        if high_pass:
            self.sections = butter(4, high_pass, "highpass", fs=SAMPLE_RATE, output="sos")
            self.section_state = np.zeros((len(self.sections), 1, 2))

    def extend(self, filters) -> None:
        """Add the LPC filters of the frames that come next; without an `lpc_order` there are none.

        Those of past frames are dropped, so that the memory does not grow.
        """
        if self.lpc is not None:
            self.lpc.extend(*map(np.array, filters))

    def __call__(self, levels: np.ndarray) -> np.ndarray:
        """Return the waveform, float32 (S', t), not clipped, of levels that follow those before."""
        from scipy.signal import lfilter, sosfilt

        if not levels.shape[1]:  # an empty part would lose the state of the filters
            return np.zeros(levels.shape, np.float32)
        sound = mu_law_decode(levels, self.num_levels)
        if self.lpc is not None:
            sound = self.lpc(sound)
        state = np.broadcast_to(self.state, (len(sound), 1))
        waveform, self.state = lfilter(self.poles[:1], self.poles, sound, axis=1, zi=state)
        if self.sections is not None:
            state = np.broadcast_to(self.section_state, (len(self.sections), len(waveform), 2))
            waveform, self.section_state = sosfilt(self.sections, waveform, axis=1, zi=state)
        return waveform.astype(np.float32)
