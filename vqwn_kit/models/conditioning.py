"""Conditioning: codes' vectors (B, N, D), a speaker (B,), and pitch (B, N) -> frames (B, N, C)."""

import keras
import numpy as np
from keras import ops

from vqwn_kit.models import workers
from vqwn_kit.models.layers import Layer, TimeJitter
from vqwn_kit.models.pitch import PitchEmbedding

PITCH_DIM = 32  # channels of the vector of a level of the pitch


@keras.saving.register_keras_serializable("vqwn_kit")
class SpeakerEmbedding(Layer):
    """A learned vector for each speaker, and one for 'no speaker', which is number -1.

    Args:
        num_speakers: S.
        speaker_dim: channels of a vector.
        learned_no_speaker: learn the vector of -1 too, instead of zeros. It learns from batches
            with speaker -1 and from `dropout`.
        dropout: probability, in training, that an utterance's speaker is replaced by -1.

    Input shape: (B,) int32, -1..S-1, and the numbers of added voices. Output shape: (B,
        speaker_dim), or with added voices the channels of theirs.
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
        self.added = np.zeros((0, speaker_dim), np.float32)

    def set_added(self, vectors: np.ndarray) -> None:
        """Give the numbers S, S + 1, ... to vectors that are no weights, (A, channels).

        Channels beyond `speaker_dim`, see `Conditioner`, are 0 of all other speakers.
        """
        self.added = np.asarray(vectors, np.float32)

    def build(self, input_shape=None):
        """Create the table (S, speaker_dim), and the vector of 'no speaker' if it is learned."""
        normal = keras.initializers.RandomNormal(stddev=1.0)
        shape = (self.num_speakers, self.speaker_dim)
        self.table = self.add_weight(shape=shape, initializer=normal, name="speakers")
        if self.learned_no_speaker:
            self.no_speaker = self.add_weight(
                shape=(self.speaker_dim,), initializer="zeros", name="no_speaker"
            )

    def call(self, speaker, training: bool | None = None):
        """Return the vectors of speakers."""
        if training and self.dropout:
            drawn = workers.draw(keras.random.uniform, ops.shape(speaker), seed=self.generator)
            speaker = ops.where(drawn < self.dropout, -1, speaker)
        table = self.table
        if len(self.added):
            table = ops.concatenate([self._widened(table), ops.cast(self.added, table.dtype)])
        vectors = ops.take(table, ops.maximum(speaker, 0), axis=0)
        no_speaker = ops.zeros_like(vectors)
        if self.learned_no_speaker:
            no_speaker = self._widened(self.no_speaker[None])
        return ops.where(speaker[:, None] >= 0, vectors, no_speaker)

    def _widened(self, vectors):
        """Return vectors (M, speaker_dim) with zeros up to the channels of the added ones."""
        return ops.pad(vectors, ((0, 0), (0, self.added.shape[1] - self.speaker_dim)))


@keras.saving.register_keras_serializable("vqwn_kit")
class Conditioner(Layer):
    """Joins the local condition and the speaker to the conditioning of each frame.

    The codes may be jittered in training and pass through a convolution of width 3, as in
    [Chorowski 2019](https://arxiv.org/abs/1901.08810), section III-C; the speaker's vector is
    set beside each frame, and so is that of the frame's pitch where there are `pitch_levels`.
    Where there are `local_layers`, all are then joined by a linear layer and pass through residual
    convolutions of width 3 with ReLU, so that what a code means may depend on its neighbours and
    on the speaker.

    Args:
        num_speakers: S.
        condition_dim: D, channels of the local condition.
        speaker_dim: channels of the vector of a speaker.
        local_channels: channels of the convolution over frames; None for no convolution.
        local_layers: residual convolutions over the frames.
        jitter: probability that a frame takes a neighbour's code; see `TimeJitter`.
        learned_no_speaker: learn the vector of 'no speaker', which is zeros otherwise.
        speaker_dropout: probability, in training, that the speaker is replaced by 'no speaker'.
        speaker_projection: "shared": a network projects codes, speaker and pitch by one matrix;
            "own": by one matrix each, whose products are added. The same functions, initialised
            differently.
        pitch_levels: levels of the pitch, see `pitch_to_levels`, such as 50, which may be given
            or not, see `PitchEmbedding`; 0 for no pitch.

    Raises:
        ValueError: another `speaker_projection`, "own" with `local_layers`, which mix codes and
            speaker, or 1 level of pitch.

    The vector of a voice may have `offset_channels` more than a speaker's: biases that are added to
    the outputs of the join and of each residual layer, or without `local_layers` to the local
    condition. A voice that was added to a trained model can have them.

    Input shape: (B, N, D); (B,) int32, -1..S-1, or vectors of voices, (B, speaker_dim) or (B,
        speaker_dim + offset_channels); and with `pitch_levels` (B, N) int32.
    Output shape: (B, N, C): C is `local_channels` or D, and without layers the channels of the
        other vectors more.
    """

    short_name = "conditioner"

    def __init__(
        self,
        num_speakers: int,
        condition_dim: int = 64,
        speaker_dim: int = 64,
        local_channels: int | None = None,
        local_layers: int = 0,
        jitter: float = 0.0,
        learned_no_speaker: bool = False,
        speaker_dropout: float = 0.0,
        speaker_projection: str = "shared",
        pitch_levels: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if speaker_projection not in ("shared", "own"):
            raise ValueError(
                f"speaker_projection is {speaker_projection!r}; expected 'shared' or 'own'"
            )
        if local_layers and speaker_projection == "own":
            raise ValueError(
                "speaker_projection is 'own' with local_layers, which mix speaker and codes; "
                "expected 'shared', or local_layers=0"
            )
        self.num_speakers = num_speakers
        self.condition_dim = condition_dim
        self.speaker_dim = speaker_dim
        self.local_channels = local_channels
        self.local_layers = local_layers
        self.jitter = jitter
        self.learned_no_speaker = learned_no_speaker
        self.speaker_dropout = speaker_dropout
        self.speaker_projection = speaker_projection
        self.pitch_levels = pitch_levels
        self.local_width = local_channels or condition_dim
        policy = {"dtype": self.dtype_policy}
        self.speakers = SpeakerEmbedding(
            num_speakers,
            speaker_dim,
            learned_no_speaker,
            speaker_dropout,
            name="speakers",
            **policy,
        )
        self.time_jitter = TimeJitter(jitter, name="time_jitter", **policy)
        if pitch_levels:
            self.pitches = PitchEmbedding(pitch_levels, PITCH_DIM, name="pitches", **policy)
        conv = {"kernel_size": 3, "padding": "same", **policy}
        if local_channels:
            self.conv = keras.layers.Conv1D(local_channels, name="conv", **conv)
        if local_layers:
            self.join = keras.layers.Dense(self.local_width, name="join", **policy)
        self.residuals = [
            keras.layers.Conv1D(
                self.local_width, activation="relu", name=f"residual_{number:02d}", **conv
            )
            for number in range(local_layers)
        ]

    @property
    def groups(self) -> list[int]:
        """Channels of the parts of a frame that a network projects by matrices of their own."""
        if self.local_layers:
            return [self.local_width]
        return self._widths if self.speaker_projection == "own" else [sum(self._widths)]

    @property
    def offset_channels(self) -> int:
        """Channels of the biases that the vector of a voice may have."""
        return self.local_width * (1 + len(self.residuals))

    @property
    def context(self) -> int:
        """Frames on either side that the conditioning of a frame depends on."""
        return bool(self.local_channels) + len(self.residuals)

    @property
    def _widths(self) -> list[int]:
        """Channels of codes, speaker and pitch."""
        return [self.local_width, self.speaker_dim, *([PITCH_DIM] if self.pitch_levels else [])]

    @property
    def channels(self) -> int:
        """C, channels of a frame."""
        return sum(self.groups)

    def build(self, local_condition_shape=None, speaker_shape=None):
        """Build the tables of speakers and pitches, and the convolutions."""
        self.speakers.build()
        if self.pitch_levels:
            self.pitches.build()
        if self.local_channels:
            self.conv.build((None, None, self.condition_dim))
        if self.local_layers:
            self.join.build((None, None, sum(self._widths)))
        for layer in self.residuals:
            layer.build((None, None, self.local_width))

    def call(self, local_condition, speaker, pitch=None, training: bool | None = None):
        """Return the conditioning (B, N, C).

        Args:
            local_condition: (B, N, D).
            speaker: (B,), or vectors of voices.
            pitch: with `pitch_levels`, the levels of the pitch, int32 (B, N), or None: not given.
            training: whether in training.

        Raises:
            ValueError: pitch without `pitch_levels`.
        """
        if pitch is not None and not self.pitch_levels:
            raise ValueError("pitch_levels is 0, but the levels of a pitch are given")
        local = self.time_jitter(local_condition, training=training)
        if self.local_channels:
            local = self.conv(local)
        is_vector = ops.ndim(speaker) == 2
        vectors = speaker if is_vector else self.speakers(speaker, training=training)
        vectors, offsets = self._split(ops.cast(vectors, local.dtype))
        if not self.local_layers:
            local = local + offsets[0]
        repeated = ops.repeat(vectors[:, None], ops.shape(local)[1], axis=1)
        parts = [local, repeated]
        if self.pitch_levels:
            if pitch is None:
                pitch = ops.full_like(local[..., 0], self.pitches.not_given, dtype="int32")
            parts.append(self.pitches(pitch, training=training))
        x = ops.concatenate(parts, axis=-1)
        if self.local_layers:
            x = self.join(x) + offsets[0]
        for layer, offset in zip(self.residuals, offsets[1:], strict=True):
            x = x + layer(x) + offset
        return x

    def _split(self, vectors):
        """Return the vectors (B, speaker_dim) of speakers, and the biases (B, 1, W) of layers."""
        count = 1 + len(self.residuals)
        if vectors.shape[1] == self.speaker_dim:
            return vectors, [0.0] * count
        offsets = ops.split(vectors[:, None, self.speaker_dim :], count, axis=-1)
        return vectors[:, : self.speaker_dim], offsets
