"""What a decoder is told: codes' vectors (B, N, D) and a speaker (B,) -> frames (B, N, C)."""

import keras
from keras import ops

from vqwn_kit.models.layers import Layer, Speakers, TimeJitter


@keras.saving.register_keras_serializable("vqwn_kit")
class Conditioner(Layer):
    """Joins the local condition and the speaker to what conditions each frame.

    The codes may be jittered in training and pass through a convolution of width 3, as in
    [Chorowski 2019](https://arxiv.org/abs/1901.08810), section III-C; the speaker's vector is
    set beside each frame. Where there are `local_layers`, both are then joined by a linear layer
    and pass through residual convolutions of width 3 with ReLU, so that what a code means may
    depend on its neighbours and on who speaks.

    Args:
        num_speakers: S.
        condition_dim: D, channels of the local condition.
        speaker_dim: channels of the vector of a speaker.
        local_channels: channels of the convolution over frames; None for no convolution.
        jitter: probability that a frame takes a neighbour's code; see `TimeJitter`.
        learned_no_speaker: learn the vector of 'no speaker'; see `Speakers`.
        speaker_dropout: probability, in training, that the speaker isn't told; see `Speakers`.
        local_layers: residual convolutions over the frames.

    Input shape: (B, N, D), and (B,) int32, -1..S-1, or vectors of voices, (B, speaker_dim).
    Output shape: (B, N, local_channels or D), with `speaker_dim` more if there are no layers.
    """

    def __init__(
        self,
        num_speakers: int,
        condition_dim: int = 64,
        speaker_dim: int = 64,
        local_channels: int | None = None,
        jitter: float = 0.0,
        learned_no_speaker: bool = False,
        speaker_dropout: float = 0.0,
        local_layers: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_speakers = num_speakers
        self.condition_dim = condition_dim
        self.speaker_dim = speaker_dim
        self.local_channels = local_channels
        self.jitter = jitter
        self.learned_no_speaker = learned_no_speaker
        self.speaker_dropout = speaker_dropout
        self.local_layers = local_layers
        policy = self.dtype_policy
        self.speakers = Speakers(
            num_speakers,
            speaker_dim,
            learned_no_speaker,
            speaker_dropout,
            dtype=policy,
            name="speakers",
        )
        self.time_jitter = TimeJitter(jitter, dtype=policy, name="time_jitter")
        conv = {"kernel_size": 3, "padding": "same", "dtype": policy}
        if local_channels:
            self.conv = keras.layers.Conv1D(local_channels, name="conv", **conv)
        width = local_channels or condition_dim
        if local_layers:
            self.widen = keras.layers.Dense(width, dtype=policy, name="widen")
        self.residuals = [
            keras.layers.Conv1D(width, activation="relu", name=f"residual_{number:02d}", **conv)
            for number in range(local_layers)
        ]

    @property
    def channels(self) -> int:
        """Channels of a frame."""
        width = self.local_channels or self.condition_dim
        return width if self.local_layers else width + self.speaker_dim

    def build(self, local_condition_shape=None, speaker_shape=None):
        """Build the table of speakers and the convolution."""
        self.speakers.build()
        if self.local_channels:
            self.conv.build((None, None, self.condition_dim))
        width = self.local_channels or self.condition_dim
        if self.local_layers:
            self.widen.build((None, None, width + self.speaker_dim))
        for layer in self.residuals:
            layer.build((None, None, width))

    def call(self, local_condition, speaker, training: bool | None = None):
        """Return the frames."""
        local = self.time_jitter(local_condition, training=training)
        if self.local_channels:
            local = self.conv(local)
        told = ops.ndim(speaker) == 2
        vectors = speaker if told else self.speakers(speaker, training=training)
        vectors = ops.cast(vectors, local.dtype)
        repeated = ops.repeat(vectors[:, None], ops.shape(local)[1], axis=1)
        x = ops.concatenate([local, repeated], axis=-1)
        if self.local_layers:
            x = self.widen(x)
        for layer in self.residuals:
            x = x + layer(x)
        return x
