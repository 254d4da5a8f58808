"""The settings of a prior and of its training, each checked."""

from dataclasses import dataclass

from vqwn_kit.presets.training_config import (
    check_number,
    check_share,
    check_whole,
    checked_rate,
)


@dataclass(frozen=True)
class PriorConfig:
    """The settings of a prior and of its training.

    Attributes:
        units, channels, dropout, speaker_dropout: see `CodePrior`.
        speaker: whether the prior is conditioned on the speaker.
        pitch: whether the pitch is one more codebook; see `codes_of`.
        encodings: per utterance, each with a later start; see `codes_of`.
        steps: batches in all.
        batch_size: crops per batch.
        segment_length: codes per crop, of all codebooks.
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
    pitch: bool = False
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
        check_whole("seed", self.seed, 0, 2**32 - 1)
        check_share("left_out", self.left_out)
        check_share("average_decay", self.average_decay)
        check_number("weight_decay", self.weight_decay)
        if self.learning_rate is not None:
            object.__setattr__(self, "learning_rate", checked_rate(self.learning_rate))

    @property
    def log_every(self) -> int:
        """Steps between two lines of the history, and between two checkpoints."""
        return self.validate_every

    save_every = log_every

    @property
    def schedule(self) -> float | dict:
        """The learning rate over the steps, for `scheduled_rate`."""
        default = {"peak": 3e-3, "warm_up": min(50, self.steps // 4), "end": 6e-5}
        return default if self.learning_rate is None else self.learning_rate
