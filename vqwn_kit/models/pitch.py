"""Pitch as a stream of its own: semitones (B, N) -> levels (B, N) -> vectors (B, N, C)."""

import keras
import numpy as np
from keras import ops

from vqwn_kit.models import workers
from vqwn_kit.models.layers import Layer

STEPS = 2  # levels per semitone
LEFT_OUT = 0.2  # share of the utterances in training whose pitch is not given


def pitch_to_levels(pitch, num_levels: int):
    """Return the levels of a pitch, int32, any shape: 0 where it is unvoiced, else 1..L-1.

    Level L // 2 is the speaker's mean pitch, its neighbours are half a semitone away, and the two
    outer levels stand for all that lies beyond them: 50 levels reach 12 semitones up and down.

    Args:
        pitch: float32, in semitones relative to the speaker's mean; NaN where unvoiced.
        num_levels: L.
    """
    pitch = ops.cast(pitch, "float32")
    unvoiced = ops.isnan(pitch)
    step = ops.floor(ops.where(unvoiced, 0.0, pitch) * STEPS + 0.5)
    levels = ops.clip(step + num_levels // 2, 1.0, num_levels - 1.0)
    return ops.cast(ops.where(unvoiced, 0.0, levels), "int32")


def levels_to_pitch(levels: np.ndarray, num_levels: int) -> np.ndarray:
    """Return the pitch that levels (any shape) stand for, float32, NaN for 0; in NumPy."""
    semitones = (np.asarray(levels) - num_levels // 2) / STEPS
    return np.where(np.equal(levels, 0), np.nan, semitones).astype(np.float32)


@keras.saving.register_keras_serializable("vqwn_kit")
class PitchEmbedding(Layer):
    """A learned vector for each level of the pitch, and one for a pitch that is not given.

    The vectors start as cosines over the levels, so that neighbours are similar and levels that
    are rare in training start between the common ones; those of level 0 and of no pitch, which is
    number L, start as zeros. In training the pitch of `LEFT_OUT` of the utterances counts as not
    given, so that a model synthesises with it and without it.

    Args:
        num_levels: L, see `pitch_to_levels`.
        channels: C, of a vector.

    Raises:
        ValueError: fewer than 2 levels: one for unvoiced frames, one for voiced ones.

    Input shape: (B, N) int32, 0..L. Output shape: (B, N, C).
    """

    def __init__(self, num_levels: int, channels: int, **kwargs):
        super().__init__(**kwargs)
        if isinstance(num_levels, bool) or not isinstance(num_levels, int) or num_levels < 2:
            raise ValueError(
                f"pitch_levels is {num_levels!r}; expected 0, or a whole number from 2 on, as 50"
            )
        self.num_levels = num_levels
        self.channels = channels
        self.generator = keras.random.SeedGenerator()

    @property
    def not_given(self) -> int:
        """The number that stands for a pitch that is not given, L."""
        return self.num_levels

    def build(self, input_shape=None):
        """Create the table (L + 1, C)."""
        place = (np.arange(self.num_levels - 1) + 0.5) / (self.num_levels - 1)
        cosines = np.cos(np.pi * place[:, None] * np.arange(self.channels))
        start = ops.convert_to_tensor(np.pad(cosines, ((1, 1), (0, 0))), "float32")
        shape = (self.num_levels + 1, self.channels)
        self.table = self.add_weight(
            shape=shape, initializer=lambda *_, **__: start, name="pitches"
        )

    def call(self, levels, training: bool | None = None):
        """Return the vectors of levels."""
        if training:
            draws = (ops.shape(levels)[0], 1)
            drawn = workers.draw(keras.random.uniform, draws, seed=self.generator)
            levels = ops.where(drawn < LEFT_OUT, self.not_given, levels)
        return ops.take(self.table, levels, axis=0)
