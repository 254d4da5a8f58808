"""Adam with its schedule, and the moving average of the weights that generation uses."""

import math
import warnings
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from vqwn_kit.errors import InputError
from vqwn_kit.models.tensorflow import keras, tf
from vqwn_kit.presets.training_config import TrainingConfig

UNPENALISED = ("bias", "gamma", "beta", "codebook", "speakers", "pitches", "nobody")


def name_of(variable) -> str:
    """Return the own name of a variable: `codebook` of `vqvae/codebook:0`."""
    return variable.name.partition(":")[0].rpartition("/")[2]


@keras.saving.register_keras_serializable("vqwn_kit")
class Adam(keras.optimizers.Adam):
    """Adam with an L2 penalty, and with other learning rates for some variables, all float32.

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

    def apply(self, grads, trainable_variables=None) -> None:
        """Update variables by their gradients; that of the penalty is clipped with them."""
        if self.penalty:
            variables = trainable_variables or self._trainable_variables
            grads = [
                g if g is None or name_of(v) in UNPENALISED else g + self.penalty * v
                for g, v in zip(grads, variables, strict=True)
            ]
        super().apply(grads, trainable_variables)

    def update_step(self, gradient, variable, learning_rate) -> None:
        """Update a variable by its gradient, in one fused operation."""
        index, step = self._get_variable_index(variable), tf.cast(self.iterations + 1, tf.float32)
        moments = (state[index].value.handle for state in (self._momentums, self._velocities))
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            **dict(zip("mv", moments, strict=True)),
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=tf.cast(learning_rate, tf.float32) * self.multiples.get(name_of(variable), 1.0),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )

    def get_config(self) -> dict:
        """Return the keywords of the constructor."""
        return {**super().get_config(), "multiples": self.multiples, "penalty": self.penalty}


def make_optimizer(config: TrainingConfig) -> keras.optimizers.Optimizer:
    """Return Adam with the gradient clipping, weight decay and codebook rate of a config.

    Its learning rate is the highest of the schedule; `TrainingLoop` sets it before each step.
    """
    schedule = config.schedule
    if isinstance(schedule, dict):
        schedule = schedule["peak"] if "peak" in schedule else max(schedule.values())
    return Adam(
        schedule,
        {"codebook": config.codebook_rate},
        config.weight_decay,
        global_clipnorm=config.clip_norm,
    )


def scheduled_rate(schedule: float | dict, steps: int, position: float) -> float:
    """Return the learning rate at a position in a schedule.

    Args:
        schedule: see `TrainingConfig.learning_rate`.
        steps: of the whole training.
        position: steps taken so far; more where the time runs out before the steps, see
            `TrainingLoop`. 0 to `steps`.
    """
    if not isinstance(schedule, dict):
        return schedule
    if "peak" not in schedule:
        return schedule[max(step for step in schedule if step <= position)]
    peak, warm_up, end = (schedule[name] for name in ("peak", "warm_up", "end"))
    if position < warm_up:
        return peak * position / warm_up
    share = min(1.0, (position - warm_up) / max(1, steps - warm_up))
    return end + (peak - end) * (1.0 + math.cos(math.pi * share)) / 2.0


def extended(config, begun, position: float):
    """Return the config of a training that takes more steps than it had; warn of its rate.

    A cosine that was at its end is not begun again: the rate at its end is kept. One that was not
    becomes longer.

    Args:
        config: the new one.
        begun: that of the training so far.
        position: in the schedule so far, see `scheduled_rate`.

    Raises:
        InputError: the rate at the end was 0.
    """
    before, after = begun.schedule, config.schedule
    cosine = isinstance(before, dict) and "peak" in before
    if not cosine or config.steps <= begun.steps or config.learning_rate != begun.learning_rate:
        return config
    if position >= begun.steps:
        if not before["end"]:
            raise InputError(
                f"the learning rate of {begun.steps} steps ended at 0: give that of more steps, "
                "such as learning_rate=1e-4 (--set)"
            )
        config = replace(config, learning_rate=before["end"])
        what = f"was at its end; more steps are taken at its last rate, {before['end']:g}"
    else:
        rates = (scheduled_rate(before, begun.steps, position),)
        rates += (scheduled_rate(after, config.steps, position),)
        what = f"becomes longer: the rate is {rates[1]:.3g} from here; it was {rates[0]:.3g}"
    warnings.warn(
        f"the schedule of the learning rate over {begun.steps} steps {what}. For another, give "
        "learning_rate (--set learning_rate=...)",
        stacklevel=3,
    )
    return config


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
