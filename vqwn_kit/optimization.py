"""How weights move: Adam with its schedule, and the moving average that generation uses."""

from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf

from vqwn_kit.config import TrainingConfig
from vqwn_kit.vqvae import VQVAE


def make_optimizer(config: TrainingConfig) -> keras.optimizers.Optimizer:
    """Return Adam with the config's learning rate or schedule and its limit on the gradient."""
    rate = config.learning_rate
    if isinstance(rate, dict) and len(rate) == 1:
        (rate,) = rate.values()
    elif isinstance(rate, dict):
        boundaries = [step - 1 for step in rate if step > 0]
        rate = keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, list(rate.values()))
    return keras.optimizers.Adam(rate, global_clipnorm=config.clip_norm)


class WeightAverage:
    """A moving average of all weights, batch statistics and codebook included, with a warm-up.

    At step n it forgets with min(decay, (1 + n) / (10 + n)), so that the average of a short run
    isn't its random start.

    Args:
        model: whose weights are averaged.
        decay: 0 for none.
    """

    def __init__(self, model: VQVAE, decay: float):
        self.decay = decay
        self.weights = list(model.weights) if decay else []
        self.variables = [
            tf.Variable(weight.value, trainable=False, name=f"average_{number}")
            for number, weight in enumerate(self.weights)
        ]

    def update(self, step) -> None:
        """Move the average towards the weights; `step` counts from 1."""
        n = tf.cast(step, tf.float32)
        decay = tf.minimum(self.decay, (1.0 + n) / (10.0 + n))
        for average, weight in zip(self.variables, self.weights, strict=True):
            value = tf.cast(weight.value, average.dtype)
            average.assign_sub((1.0 - decay) * (average - value))

    def restart(self) -> None:
        """Set the average to the weights as they are."""
        for average, weight in zip(self.variables, self.weights, strict=True):
            average.assign(weight.value)

    def restart_rows(self, weight, rows: np.ndarray) -> None:
        """Set some rows of the average of one weight to the weight as it is."""
        for average, candidate in zip(self.variables, self.weights, strict=True):
            if candidate is weight:
                average.assign(np.where(rows[:, None], weight.numpy(), average.numpy()))

    @contextmanager
    def applied(self):
        """Give the model the averaged weights for a while; then its own, to the bit."""
        own = [weight.numpy().copy() for weight in self.weights]
        try:
            for average, weight in zip(self.variables, self.weights, strict=True):
                weight.assign(average)
            yield
        finally:
            for value, weight in zip(own, self.weights, strict=True):
                weight.assign(value)
