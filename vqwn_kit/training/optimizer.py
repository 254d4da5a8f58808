"""Adam with its schedule, and the moving average of the weights that generation uses."""

from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf

from vqwn_kit.presets.training_config import TrainingConfig

UNPENALISED = ("bias", "gamma", "beta", "codebook", "speakers", "nobody")


@keras.saving.register_keras_serializable("vqwn_kit")
class Adam(keras.optimizers.Adam):
    """Adam with an L2 penalty, and with other learning rates for some variables.

    Args:
        learning_rate: a number or a schedule.
        multiples: {name of a variable: multiple of the learning rate}.
        penalty: weight of half the sum of squares of the kernels, added to the loss; variables of
            `UNPENALISED` names are left out. (The `weight_decay` of Keras is decoupled: it shrinks
            weights by the learning rate times it, which at 1e-6 is less than float32 resolves.)
        **kwargs: as in the Adam of Keras.
    """

    def __init__(
        self,
        learning_rate=1e-3,
        multiples: dict[str, float] | None = None,
        penalty: float = 0.0,
        **kwargs,
    ):
        super().__init__(learning_rate, **kwargs)
        self.multiples = multiples or {}
        self.penalty = penalty

    def update_step(self, gradient, variable, learning_rate):
        """Update a variable by its gradient."""
        name = variable.name.partition(":")[0].rpartition("/")[2]  # codebook of codebook:0
        if self.penalty and name not in UNPENALISED:
            gradient = gradient + self.penalty * variable
        multiple = self.multiples.get(name, 1.0)
        super().update_step(gradient, variable, learning_rate * multiple)

    def get_config(self) -> dict:
        """Return the keywords of the constructor."""
        return {**super().get_config(), "multiples": self.multiples, "penalty": self.penalty}


def make_optimizer(config: TrainingConfig) -> keras.optimizers.Optimizer:
    """Return Adam with the learning rates, gradient clipping and weight decay of a config."""
    return Adam(
        learning_rate(config),
        {"codebook": config.codebook_rate},
        config.weight_decay,
        global_clipnorm=config.clip_norm,
    )


def learning_rate(config: TrainingConfig):
    """Return the learning rate of a config: a number, or a schedule of the step from 0 on."""
    rate = config.learning_rate
    if not isinstance(rate, dict):
        return rate
    if "peak" in rate:
        return keras.optimizers.schedules.CosineDecay(
            0.0 if rate["warm_up"] else rate["peak"],
            max(1, config.steps - rate["warm_up"]),
            alpha=rate["end"] / rate["peak"],
            warmup_target=rate["peak"] if rate["warm_up"] else None,
            warmup_steps=rate["warm_up"],
        )
    if len(rate) == 1:
        return rate[0]
    boundaries = [step - 1 for step in rate if step > 0]
    return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, list(rate.values()))


class WeightAverage:
    """An exponential moving average of all weights, batch statistics and codebook included.

    The decay at step n is min(decay, (1 + n) / (10 + n)): that warm-up keeps the random start out
    of the average of a short run.

    Args:
        model: the Keras model.
        decay: 0 for no average.
    """

    def __init__(self, model: keras.Model, decay: float):
        self.decay = decay
        self.weights = list(model.weights) if decay else []
        self.variables = [
            tf.Variable(weight.value, trainable=False, name=f"average_{number}")
            for number, weight in enumerate(self.weights)
        ]

    def update(self, step) -> None:
        """Update the average after a step; `step` counts from 1."""
        n = tf.cast(step, tf.float32)
        decay = tf.minimum(self.decay, (1.0 + n) / (10.0 + n))
        for average, weight in zip(self.variables, self.weights, strict=True):
            value = tf.cast(weight.value, average.dtype)
            average.assign_sub((1.0 - decay) * (average - value))

    def restart(self) -> None:
        """Set the average to the current weights."""
        for average, weight in zip(self.variables, self.weights, strict=True):
            average.assign(weight.value)

    def restart_codes(self, per_code_weights: list[tuple], codes: np.ndarray) -> None:
        """Set the average of some codes to their current weights.

        Args:
            per_code_weights: weights with an entry per code, and the axis of the codes of each.
            codes: bool (K,).
        """
        averages = {id(w): average for w, average in zip(self.weights, self.variables, strict=True)}
        for weight, axis in per_code_weights if self.variables else []:
            average = averages[id(weight)]
            chosen = codes.reshape([-1 if i == axis else 1 for i in range(len(weight.shape))])
            average.assign(np.where(chosen, weight.numpy(), average.numpy()))

    @contextmanager
    def applied(self):
        """Give the model the averaged weights within a `with` block, then its own, to the bit."""
        current = [weight.numpy().copy() for weight in self.weights]
        try:
            for average, weight in zip(self.variables, self.weights, strict=True):
                weight.assign(average)
            yield
        finally:
            for value, weight in zip(current, self.weights, strict=True):
                weight.assign(value)
