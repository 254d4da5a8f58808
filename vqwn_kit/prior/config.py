"""How a prior is made and trained: settings as plain values, each checked."""

from dataclasses import dataclass

from vqwn_kit.errors import InputError
from vqwn_kit.presets.training_config import TrainingConfig, checked_rate


@dataclass(frozen=True)
class PriorConfig:
    """How a prior is made and trained.

    Attributes:
        units, channels, dropout, speaker_dropout: see `CodePrior`.
        speaker: whether the prior is told who speaks.
        encodings: of each utterance, each begun some samples later; see `codes_of`.
        steps: batches in all.
        batch_size: crops a batch.
        segment_length: codes a crop.
        learning_rate: of Adam, or a schedule; see `TrainingConfig`, like the three that follow.
            By default a short rise to 3e-3 and a cosine until the last step.
        weight_decay: weight of half the sum of squares of all kernels.
        average_decay: of the moving average of all weights.
        clip_norm: largest norm of the gradient.
        left_out: share of the training sentences that choose the best step instead of teaching.
        validate_every: steps between two looks at them, and between two checkpoints.
        seed: of the weights, the order and the crops.
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
        counts = ("steps", "batch_size", "segment_length", "validate_every")
        for name in (*counts, "seed"):
            value, least = getattr(self, name), int(name in counts)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"{name} is {value!r}; expected a whole number from {least} on")
        for name in ("left_out", "average_decay"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
                raise InputError(f"{name} is {value!r}; expected a number from 0 to below 1")
        if isinstance(self.weight_decay, bool) or not self.weight_decay >= 0:
            raise InputError(f"weight_decay is {self.weight_decay!r}; expected 0 or more")
        if self.learning_rate is not None:
            object.__setattr__(self, "learning_rate", checked_rate(self.learning_rate))

    def rate(self) -> TrainingConfig:
        """Return the learning rate and the steps as `learning_rate` takes them."""
        usual = {"peak": 3e-3, "warm_up": min(50, self.steps // 4), "end": 6e-5}
        rate = usual if self.learning_rate is None else self.learning_rate
        return TrainingConfig(steps=self.steps, learning_rate=rate)
