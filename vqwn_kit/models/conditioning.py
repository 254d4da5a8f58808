"""Conditioning: codes' vectors (B, N, D) and a speaker (B,) -> frames (B, N, C)."""

import keras
from keras import ops

from vqwn_kit.models.layers import Layer, TimeJitter


@keras.saving.register_keras_serializable("vqwn_kit")
class SpeakerEmbedding(Layer):
    """A learned vector for each speaker, and one for 'no speaker', which is number -1.

    Args:
        num_speakers: S.
        speaker_dim: channels of a vector.
        learned_no_speaker: learn the vector of -1 too, instead of zeros. It learns from batches
            with speaker -1 and from `dropout`.
        dropout: probability, in training, that an utterance's speaker is replaced by -1.

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
            self.no_speaker = self.add_weight(
                shape=(self.speaker_dim,), initializer="zeros", name="no_speaker"
            )

    def call(self, speaker, training: bool | None = None):
        """Return the vectors of speakers."""
        if training and self.dropout:
            drawn = keras.random.uniform(ops.shape(speaker), seed=self.generator)
            speaker = ops.where(drawn < self.dropout, -1, speaker)
        vectors = ops.take(self.table, ops.maximum(speaker, 0), axis=0)
        no_speaker = self.no_speaker if self.learned_no_speaker else ops.zeros_like(vectors)
        return ops.where(speaker[:, None] >= 0, vectors, no_speaker)


@keras.saving.register_keras_serializable("vqwn_kit")
class Conditioner(Layer):
    """Joins the local condition and the speaker to the conditioning of each frame.

    The codes may be jittered in training and pass through a convolution of width 3, as in
    [Chorowski 2019](https://arxiv.org/abs/1901.08810), section III-C; the speaker's vector is
    set beside each frame. Where there are `local_layers`, both are then joined by a linear layer
    and pass through residual convolutions of width 3 with ReLU, so that what a code means may
    depend on its neighbours and on the speaker.

    Args:
        num_speakers: S.
        condition_dim: D, channels of the local condition.
        speaker_dim: channels of the vector of a speaker.
        local_channels: channels of the convolution over frames; None for no convolution.
        local_layers: residual convolutions over the frames.
        jitter: probability that a frame takes a neighbour's code; see `TimeJitter`.
        learned_no_speaker: learn the vector of 'no speaker', which is zeros otherwise.
        speaker_dropout: probability, in training, that the speaker is replaced by 'no speaker'.
        speaker_projection: "shared": a network projects codes and speaker by one matrix; "own": by
            one matrix each, whose products are added. The same functions, initialised differently.

    Raises:
        ValueError: another `speaker_projection`, or "own" with `local_layers`, which mix the two.

    Input shape: (B, N, D), and (B,) int32, -1..S-1, or vectors of voices, (B, speaker_dim).
    Output shape: (B, N, C): C is `local_channels` or D, and `speaker_dim` more without layers.
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
        widths = [self.local_width, self.speaker_dim]
        return widths if self.speaker_projection == "own" else [sum(widths)]

    @property
    def channels(self) -> int:
        """C, channels of a frame."""
        return sum(self.groups)

    def build(self, local_condition_shape=None, speaker_shape=None):
        """Build the table of speakers and the convolutions."""
        self.speakers.build()
        if self.local_channels:
            self.conv.build((None, None, self.condition_dim))
        if self.local_layers:
            self.join.build((None, None, self.local_width + self.speaker_dim))
        for layer in self.residuals:
            layer.build((None, None, self.local_width))

    def call(self, local_condition, speaker, training: bool | None = None):
        """Return the conditioning (B, N, C)."""
        local = self.time_jitter(local_condition, training=training)
        if self.local_channels:
            local = self.conv(local)
        is_vector = ops.ndim(speaker) == 2
        vectors = speaker if is_vector else self.speakers(speaker, training=training)
        vectors = ops.cast(vectors, local.dtype)
        repeated = ops.repeat(vectors[:, None], ops.shape(local)[1], axis=1)
        x = ops.concatenate([local, repeated], axis=-1)
        if self.local_layers:
            x = self.join(x)
        for layer in self.residuals:
            x = x + layer(x)
        return x
