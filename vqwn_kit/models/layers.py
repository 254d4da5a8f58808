"""What the parts of the model share: mu-law, frames, shifts, jitter and speakers."""

import inspect
import math

import keras
from keras import ops


class Layer(keras.layers.Layer):
    """A layer whose config is its constructor's keywords, each kept under its own name."""

    def get_config(self) -> dict:
        """Return the constructor's keywords."""
        names = [name for name in inspect.signature(type(self).__init__).parameters]
        own = {name: getattr(self, name) for name in names if name not in ("self", "kwargs")}
        return {**super().get_config(), **own}


def mu_law_encode(waveform, levels: int = 256):
    """Compand float32 in [-1, 1] to int32 levels 0..`levels` - 1, any shape; see `audio`."""
    mu = levels - 1
    clipped = ops.clip(ops.cast(waveform, "float32"), -1.0, 1.0)
    companded = ops.sign(clipped) * ops.log1p(mu * ops.abs(clipped)) / math.log1p(mu)
    return ops.cast(ops.floor((companded + 1.0) / 2.0 * mu + 0.5), "int32")


def mu_law_step(waveform, levels: int = 256):
    """Return how wide a level is, float32, where it stands for a value of a waveform."""
    mu = levels - 1
    return (ops.abs(ops.clip(waveform, -1.0, 1.0)) + 1.0 / mu) * (2.0 * math.log1p(mu) / mu)


def level_to_scalar(level, levels: int = 256):
    """Turn integer levels into the companded value in [-1, 1] that a WaveNet hears."""
    return ops.cast(level, "float32") * (2.0 / (levels - 1)) - 1.0


def shift_right(x, samples: int = 1):
    """Delay x (B, T, C) by some samples; zeros come first."""
    return ops.pad(x, ((0, 0), (samples, 0), (0, 0)))[:, : ops.shape(x)[1]]


def shift_left(x, samples: int = 1):
    """Bring x (B, T, C) forward by some samples; zeros come last."""
    return ops.pad(x, ((0, 0), (0, samples), (0, 0)))[:, samples:]


def interpolation_weights(hop_length, dtype: str = "float32"):
    """Return the weights (hop, 3) of the frame before, this one and the next, for its samples.

    Linear between the frames' middles: sample j stands at (j + 1/2) / hop - 1/2 from its frame's.
    """
    samples = ops.arange(hop_length, dtype="float32")
    place = (samples + 0.5) / ops.cast(hop_length, "float32") - 0.5
    weights = [ops.relu(-place), 1.0 - ops.abs(place), ops.relu(place)]
    return ops.cast(ops.stack(weights, axis=1), dtype)


def add_frames(samples, frames, interpolate: bool = False):
    """Add row n of `frames` (B, N, C) to each of the T / N rows of `samples` (B, T, C) under it.

    The same as repeating the frames T / N times, without making the repeated tensor; or, with
    `interpolate`, as drawing a line between the middles of neighbouring frames.
    """
    batch, num_frames, channels = ops.shape(frames)
    length = ops.shape(samples)[1]
    hop = length // num_frames
    grouped = ops.reshape(samples, (batch, num_frames, hop, channels))
    if interpolate:
        before, here, after = ops.split(interpolation_weights(hop, frames.dtype), 3, axis=1)
        earlier = ops.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
        later = ops.concatenate([frames[:, 1:], frames[:, -1:]], axis=1)
        grouped = grouped + before * earlier[:, :, None] + after * later[:, :, None]
        grouped = grouped + here * frames[:, :, None]
    else:
        grouped = grouped + frames[:, :, None]
    return ops.reshape(grouped, (batch, length, channels))


@keras.saving.register_keras_serializable("vqwn_kit")
class TimeJitter(Layer):
    """In training, let frames take their neighbour's code, so that each code must last.

    [Chorowski 2019](https://arxiv.org/abs/1901.08810), section III-C, with 0.12. That number is
    read in two ways: as the probability in all that a frame is replaced, half of it by either
    neighbour, which is what `probability` means here; or as the probability for each side, which
    is `probability=0.24`. Each utterance draws its own; the ends of an utterance have one neighbour
    and keep their own code where the other would be needed.

    Args:
        probability: that a frame takes a neighbour's code, 0 to 1.

    Input and output shape: (B, N, D).
    """

    def __init__(self, probability: float = 0.12, **kwargs):
        super().__init__(**kwargs)
        self.probability = probability
        self.generator = keras.random.SeedGenerator()

    def call(self, frames, training: bool | None = None):
        """Return the frames, some of them replaced by a neighbour where `training`."""
        if not training or not self.probability:
            return frames
        batch, num_frames, _ = ops.shape(frames)
        drawn = keras.random.uniform((batch, num_frames), seed=self.generator)
        shift = ops.cast(drawn < self.probability, "int32")
        shift = ops.where(drawn < self.probability / 2, -1, shift)
        place = ops.clip(ops.arange(num_frames) + shift, 0, num_frames - 1)
        return ops.take_along_axis(frames, place[..., None], axis=1)


@keras.saving.register_keras_serializable("vqwn_kit")
class Speakers(Layer):
    """A learned vector for each speaker, and one for 'no speaker', which is number -1.

    Args:
        num_speakers: S.
        speaker_dim: channels of a vector.
        learned_no_speaker: learn the vector of -1 too, instead of zeros. It learns from batches
            with speaker -1 and from `dropout`.
        dropout: probability, in training, that an utterance's speaker is taken as -1.

    Input shape: (B,) int32, -1..S-1. Output shape: (B, speaker_dim).
    """

    def __init__(
        self,
        num_speakers: int,
        speaker_dim: int = 64,
        learned_no_speaker: bool = False,
        dropout: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_speakers = num_speakers
        self.speaker_dim = speaker_dim
        self.learned_no_speaker = learned_no_speaker
        self.dropout = dropout
        self.generator = keras.random.SeedGenerator()

    def build(self, input_shape=None):
        """Create the table (S, speaker_dim), and the vector of 'no speaker' if it is learned."""
        normal = keras.initializers.RandomNormal(stddev=1.0)
        shape = (self.num_speakers, self.speaker_dim)
        self.table = self.add_weight(shape=shape, initializer=normal, name="speakers")
        if self.learned_no_speaker:
            self.nobody = self.add_weight(
                shape=(self.speaker_dim,), initializer="zeros", name="nobody"
            )

    def call(self, speaker, training: bool | None = None):
        """Return the vectors of speakers."""
        if training and self.dropout:
            drawn = keras.random.uniform(ops.shape(speaker), seed=self.generator)
            speaker = ops.where(drawn < self.dropout, -1, speaker)
        vectors = ops.take(self.table, ops.maximum(speaker, 0), axis=0)
        nobody = self.nobody if self.learned_no_speaker else ops.zeros_like(vectors)
        return ops.where(speaker[:, None] >= 0, vectors, nobody)
