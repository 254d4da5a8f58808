"""The light decoder of a first stage: codes' vectors and a speaker -> log-mel frames."""

import keras
from keras import ops

from vqwn_kit.models.conditioning import Conditioner
from vqwn_kit.models.layers import Layer
from vqwn_kit.models.mel import LogMel

DECIBELS = 20.0  # a unit of what is predicted; speech then spreads over about 1


@keras.saving.register_keras_serializable("vqwn_kit")
class MelDecoder(Layer):
    """Tells the mel bands of each frame, so that encoder and codebook learn without a WaveNet.

    A linear layer leads from the frames of `Conditioner` to the bands. It is trained on the mean
    squared error of the bands, in units of 20 dB, and can't speak. A `WaveNet` with conditions of
    the same sizes can start from its own.

    Args:
        num_speakers: S.
        hop_length: samples a frame.
        condition_dim: D, channels of the local condition.
        speaker_dim: channels of the vector of a speaker.
        local_channels: as in `Conditioner`, like the four that follow.
        jitter: probability that a frame takes a neighbour's code, in training.
        learned_no_speaker: learn the vector of 'no speaker', which is zeros otherwise.
        speaker_dropout: probability that the speaker isn't told, in training.
        local_layers: residual convolutions over the frames.
        n_mels: bands.

    Input shape: local condition (B, N, D), speaker (B,) int32, -1..S-1.
    Output shape: (B, N, n_mels), dB / 20.
    """

    short_name = "frames"
    loss_names = ("mel/mse",)
    receptive_field = 0  # of past samples: it hears none
    prediction_order = 0  # and filters none

    def __init__(
        self,
        num_speakers: int,
        hop_length: int,
        condition_dim: int = 64,
        speaker_dim: int = 64,
        local_channels: int | None = 256,
        jitter: float = 0.0,
        learned_no_speaker: bool = False,
        speaker_dropout: float = 0.0,
        local_layers: int = 3,
        n_mels: int = 80,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_speakers = num_speakers
        self.hop_length = hop_length
        self.condition_dim = condition_dim
        self.speaker_dim = speaker_dim
        self.local_channels = local_channels
        self.jitter = jitter
        self.learned_no_speaker = learned_no_speaker
        self.speaker_dropout = speaker_dropout
        self.local_layers = local_layers
        self.n_mels = n_mels
        self.frames = Conditioner(
            num_speakers, condition_dim, speaker_dim, local_channels, jitter, learned_no_speaker,
            speaker_dropout, local_layers, dtype=self.dtype_policy, name="frames",
        )  # fmt: skip
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
        self.out.build((None, None, self.frames.channels))

    def call(self, local_condition, speaker, training: bool | None = None):
        """Return the bands of each frame."""
        return self.out(self.frames(local_condition, speaker, training=training))

    def losses_of(self, waveform, z_q, speaker, training: bool) -> dict:
        """Return the mean squared error of the bands of waveform (B, T, 1), by its name."""
        told = self(z_q, speaker, training=training)
        return {"mel/mse": ops.mean((told - self.spectrum(waveform) / DECIBELS) ** 2)}
