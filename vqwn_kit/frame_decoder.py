"""The light decoder of a first stage: codes' vectors and a speaker -> log-mel frames."""

import keras
from keras import ops

from vqwn_kit.conditions import Conditions
from vqwn_kit.features import LogMel
from vqwn_kit.layers import Part

DECIBELS = 20.0  # a unit of what is predicted; speech then spreads over about 1


@keras.saving.register_keras_serializable("vqwn_kit")
class FrameDecoder(Part):
    """Tells the mel bands of each frame, so that encoder and codebook learn without a WaveNet.

    Convolutions of width 3 over the frames, each with ReLU and residual, and a linear layer to the
    bands. It is trained on the mean squared error of the bands, in units of 20 dB, and can't speak.

    Args:
        num_speakers: S.
        hop_length: samples a frame.
        condition_dim: D, channels of the local condition.
        speaker_dim: channels of the vector of a speaker.
        channels: of the convolutions.
        num_layers: convolutions.
        n_mels: bands.
        levels: mu-law levels of the waveform; kept for the decoder that follows.

    Input shape: local condition (B, N, D), speaker (B,) int32, -1..S-1.
    Output shape: (B, N, n_mels), dB / 20.
    """

    short_name = "frames"
    loss_names = ("frames/mse",)
    receptive_field = 0  # of past samples: it hears none

    def __init__(
        self,
        num_speakers: int,
        hop_length: int,
        condition_dim: int = 64,
        speaker_dim: int = 64,
        channels: int = 256,
        num_layers: int = 3,
        n_mels: int = 80,
        levels: int = 256,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_speakers = num_speakers
        self.hop_length = hop_length
        self.condition_dim = condition_dim
        self.speaker_dim = speaker_dim
        self.channels = channels
        self.num_layers = num_layers
        self.n_mels = n_mels
        self.levels = levels
        policy = self.dtype_policy
        self.frames = Conditions(
            num_speakers, condition_dim, speaker_dim, channels, dtype=policy, name="frames"
        )
        self.convs = [
            keras.layers.Conv1D(
                channels,
                3,
                padding="same",
                activation="relu",
                dtype=policy,
                name=f"conv_{number:02d}",
            )
            for number in range(num_layers)
        ]
        self.widen = keras.layers.Dense(channels, dtype=policy, name="widen")
        self.out = keras.layers.Dense(n_mels, dtype="float32", name="out")
        self.spectrum = LogMel(hop_length, n_mels, name="spectrum")

    @property
    def speakers(self):
        """The table of the speakers' vectors, (S, speaker_dim)."""
        return self.frames.speakers.table

    def build(self, local_condition_shape=None, speaker_shape=None):
        """Build all layers."""
        self.frames.build()
        self.spectrum.build()
        self.widen.build((None, None, self.frames.channels))
        for layer in (*self.convs, self.out):
            layer.build((None, None, self.channels))

    def call(self, local_condition, speaker, training: bool | None = None):
        """Return the bands of each frame."""
        x = self.widen(self.frames(local_condition, speaker, training=training))
        for conv in self.convs:
            x = x + conv(x)
        return self.out(x)

    def losses_of(self, waveform, levels, z_q, speaker, training: bool) -> dict:
        """Return the mean squared error of the bands of waveform (B, T, 1), by its name."""
        told = self(z_q, speaker, training=training)
        return {"frames/mse": ops.mean((told - self.spectrum(waveform) / DECIBELS) ** 2)}
