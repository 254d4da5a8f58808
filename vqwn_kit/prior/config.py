"""The settings of a prior and of its training, each checked."""

from dataclasses import dataclass

import numpy as np

from vqwn_kit.errors import InputError
from vqwn_kit.presets.training_config import TrainingConfig, checked_rate


@dataclass(frozen=True)
class PriorConfig:
    """The settings of a prior and of its training.

    Attributes:
        units, channels, dropout, speaker_dropout: see `CodePrior`.
        speaker: whether the prior is conditioned on the speaker.
        encodings: per utterance, each with a later start; see `codes_of`.
        steps: batches in all.
        batch_size: crops per batch.
        segment_length: codes per crop.
        learning_rate: of Adam, as in `TrainingConfig`; by default a short warm-up to 3e-3 and a
            cosine until the last step.
        weight_decay: weight of half the sum of squares of all kernels.
        average_decay: of the moving average of all weights.
        clip_norm: largest norm of the gradient.
        left_out: share of the training sentences that select the best step, left out of training.
        validate_every: steps between two validations on them, each with a checkpoint.
        seed: of weights, order and crops.
    """

    units: int = 256
    channels: int = 128
    dropout: float = 0.2
    speaker_dropout: float = 0.1
    speaker: bool = True
    encodings: int | None = None
    steps: int = 1200
    batch_size: int = 16
    segment_length: int = 192
    learning_rate: float | dict | None = None
    weight_decay: float = 0.0
    average_decay: float = 0.99
    clip_norm: float | None = 1.0
    left_out: float = 0.05
    validate_every: int = 100
    seed: int = 0

    def __post_init__(self):
        """Check the values."""
        for name in ("steps", "batch_size", "segment_length", "validate_every"):
            check_whole(name, getattr(self, name))
        check_whole("seed", self.seed, 0)
        check_share("left_out", self.left_out)
        check_share("average_decay", self.average_decay)
        if isinstance(self.weight_decay, bool) or not self.weight_decay >= 0:
            raise InputError(f"weight_decay is {self.weight_decay!r}; expected 0 or more")
        if self.learning_rate is not None:
            object.__setattr__(self, "learning_rate", checked_rate(self.learning_rate))

    @property
    def log_every(self) -> int:
        """Steps between two lines of the history, and between two checkpoints."""
        return self.validate_every

    save_every = log_every

    def rate(self) -> TrainingConfig:
        """Return the learning rate and the steps as `learning_rate` takes them."""
        default = {"peak": 3e-3, "warm_up": min(50, self.steps // 4), "end": 6e-5}
        rate = default if self.learning_rate is None else self.learning_rate
        return TrainingConfig(steps=self.steps, learning_rate=rate)


def check_whole(name: str, value, least: int = 1) -> None:
    """Raise InputError where a setting is not a whole number from `least` on."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name} is {value!r}; expected a whole number from {least} on")


def check_share(name: str, value) -> None:
    """Raise InputError where a setting is not a number from 0 to below 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise InputError(f"{name} is {value!r}; expected a number from 0 to below 1")
