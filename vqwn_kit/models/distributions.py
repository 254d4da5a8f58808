"""Distributions of a level: the network's outputs -> log-probabilities of levels."""

import keras
from keras import ops

from vqwn_kit.models.codec import level_to_scalar
from vqwn_kit.models.layers import Layer

LEAST_LOG_SCALE = -7.0


class Distribution(Layer):
    """A distribution over levels 0..L-1, given outputs (..., num_outputs) of a network.

    Attributes:
        num_outputs: channels that the network has to give.
        short_name: its name in presets.
    """

    num_outputs: int
    num_components = 0  # of a mixture

    def __init__(self, num_levels: int = 256, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.num_levels = num_levels

    @property
    def provides(self) -> dict[str, int]:
        """What a network is built with."""
        return {"num_outputs": self.num_outputs}

    def initial_bias(self) -> list[float]:
        """Return the bias (num_outputs,) with which the network's last layer starts."""
        return [0.0] * self.num_outputs

    def log_prob(self, outputs, levels):
        """Return log P(level) in nats, (...,), of int levels (...,)."""
        raise NotImplementedError

    def call(self, outputs):
        """Return log P of all levels in nats, (..., L)."""
        raise NotImplementedError

    def sample(self, outputs, uniform):
        """Return int32 levels (...,): the first whose cumulative probability passes `uniform`.

        Args:
            outputs: (..., num_outputs).
            uniform: (...,) random numbers in [0, 1).
        """
        cumulative = ops.cumsum(ops.exp(ops.cast(self(outputs), "float64")), axis=-1)
        passed = ops.cast(cumulative <= ops.cast(uniform, "float64")[..., None], "int32")
        return ops.minimum(ops.sum(passed, axis=-1), self.num_levels - 1)


@keras.saving.register_keras_serializable("vqwn_kit")
class Categorical(Distribution):
    """A softmax over the levels, whose logits are the outputs.

    Args:
        num_levels: L.
    """

    short_name = "categorical"

    @property
    def num_outputs(self) -> int:
        """One logit for each level."""
        return self.num_levels

    def log_prob(self, outputs, levels):
        """Return log P(level) in nats."""
        return -keras.losses.sparse_categorical_crossentropy(levels, outputs, from_logits=True)

    def call(self, outputs):
        """Return log P of all levels in nats."""
        return ops.log_softmax(outputs)


@keras.saving.register_keras_serializable("vqwn_kit")
class LogisticMixture(Distribution):
    """A mixture of logistic distributions over the levels, as in PixelCNN++.

    [Salimans 2017](https://arxiv.org/abs/1701.05517), section 2.1. The density lives on the
    companded scale [-1, 1] and is integrated over the bin of each level; the outermost bins reach
    to infinity. So its likelihood is that of a level, and its bits compare with a softmax's.
    Outputs are (..., 3 M): the logits of M components, their means, the logarithms of their scales.

    Args:
        num_levels: L.
        num_components: M.
    """

    short_name = "logistic-mixture"

    def __init__(self, num_levels: int = 256, num_components: int = 10, **kwargs):
        super().__init__(num_levels, **kwargs)
        self.num_components = num_components

    @property
    def num_outputs(self) -> int:
        """Logit, mean and scale of each component."""
        return 3 * self.num_components

    def initial_bias(self) -> list[float]:
        """Return a bias (3 M,) that spreads the means evenly over [-1, 1], with scales to match."""
        count = self.num_components
        means = [(2 * m + 1) / count - 1 for m in range(count)]
        return [0.0] * count + means + [-2.0] * count

    def log_prob(self, outputs, levels):
        """Return log P(level) in nats."""
        logits, means, log_scales = ops.split(ops.cast(outputs, "float32"), 3, axis=-1)
        log_weights, scales = (
            ops.log_softmax(logits),
            ops.exp(ops.maximum(log_scales, LEAST_LOG_SCALE)),
        )
        value = level_to_scalar(levels, self.num_levels)[..., None]
        half_bin = 1.0 / (self.num_levels - 1)
        upper = (value + half_bin - means) / scales
        lower = (value - half_bin - means) / scales
        # log(s(a) - s(b)) = log s(a) + log s(-b) + log(1 - exp(b - a)), exact far from the mean too
        below_upper, above_lower = ops.log_sigmoid(upper), ops.log_sigmoid(-lower)
        inside = below_upper + above_lower + ops.log(-ops.expm1(lower - upper))
        first, last = levels[..., None] == 0, levels[..., None] == self.num_levels - 1
        inside = ops.where(first, below_upper, ops.where(last, above_lower, inside))
        return ops.logsumexp(log_weights + inside, axis=-1)

    def call(self, outputs):
        """Return log P of all levels in nats."""
        shape = [1] * (len(outputs.shape) - 1)
        every = ops.reshape(ops.arange(self.num_levels), (*shape, self.num_levels))
        return self.log_prob(outputs[..., None, :], every)
