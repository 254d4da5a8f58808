"""A mixture of logistic distributions over mu-law levels, as in PixelCNN++.

[Salimans 2017](https://arxiv.org/abs/1701.05517), section 2.1. The density lives on the companded
scale [-1, 1] and is integrated over the bin of each level; the outermost bins reach to infinity.
So its likelihood is that of a level, and its bits compare with a softmax's. Parameters are (..., 3
M): the logits of M components, their means, and the logarithms of their scales.
"""

import keras
from keras import ops

from vqwn_kit.models.layers import level_to_scalar

LEAST_LOG_SCALE = -7.0


def split_parameters(parameters):
    """Return log weights, means and log scales, each (..., M), of parameters (..., 3 M)."""
    logits, means, log_scales = ops.split(ops.cast(parameters, "float32"), 3, axis=-1)
    return ops.log_softmax(logits), means, ops.maximum(log_scales, LEAST_LOG_SCALE)


def log_probability(parameters, level, levels: int = 256):
    """Return log P(level) in nats, (...,), for parameters (..., 3 M) and int levels (...,)."""
    log_weights, means, log_scales = split_parameters(parameters)
    value, half_bin = level_to_scalar(level, levels)[..., None], 1.0 / (levels - 1)
    upper = (value + half_bin - means) / ops.exp(log_scales)
    lower = (value - half_bin - means) / ops.exp(log_scales)
    # log(s(a) - s(b)) = log s(a) + log s(-b) + log(1 - exp(b - a)), exact also far from the mean
    under_upper, over_lower = ops.log_sigmoid(upper), ops.log_sigmoid(-lower)
    inside = under_upper + over_lower + ops.log(-ops.expm1(lower - upper))
    first, last = level[..., None] == 0, level[..., None] == levels - 1
    inside = ops.where(first, under_upper, ops.where(last, over_lower, inside))
    return ops.logsumexp(log_weights + inside, axis=-1)


def log_probabilities(parameters, levels: int = 256):
    """Return log P of all levels in nats, (..., levels), for parameters (..., 3 M)."""
    shape = [1] * (len(parameters.shape) - 1)
    every = ops.reshape(ops.arange(levels), (*shape, levels))
    return log_probability(parameters[..., None, :], every, levels)


def start_bias(mixtures: int) -> list[float]:
    """Return a bias (3 M,) that spreads the means evenly over [-1, 1], with scales to match."""
    means = [(2 * m + 1) / mixtures - 1 for m in range(mixtures)]
    return [0.0] * mixtures + means + [-2.0] * mixtures


@keras.saving.register_keras_serializable("vqwn_kit")
class SpreadMeans(keras.initializers.Initializer):
    """The initializer of a bias that `start_bias` gives."""

    def __call__(self, shape, dtype=None):
        """Return the bias (3 M,)."""
        return ops.convert_to_tensor(start_bias(shape[0] // 3), dtype)
