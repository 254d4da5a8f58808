"""The light decoder of a first stage: codes' vectors and a speaker -> log-mel frames."""

import keras
from keras import ops

from vqwn_kit.models.conditioning import Conditioner
from vqwn_kit.models.decoder import Decoder
from vqwn_kit.models.mel import LogMel

DECIBELS = 20.0  # a unit of what is predicted; speech then spreads over about 1


@keras.saving.register_keras_serializable("vqwn_kit")
class MelDecoder(Decoder):
    """Predicts the mel bands of each frame, so that encoder and codebook learn without a WaveNet.

    A linear layer leads from the conditioning to the bands. It is trained on the mean squared
    error of the bands, in units of 20 dB. A `WaveNetDecoder` with a conditioner of the same sizes
    can start from its conditioner.

    Args:
        conditioner: codes' vectors and speaker -> conditioning (B, N, C).
        hop_length: samples per frame.
        n_mels: bands.

    Input shape: conditioning (B, N, C). Output shape: (B, N, n_mels), in units of 20 dB.
    """

    short_name = "mel"
    loss_name = "mel/mse"
    part_defaults = {"conditioner": {"local_channels": 256, "local_layers": 3}}

    def __init__(self, conditioner: Conditioner, hop_length: int, n_mels: int = 80, **kwargs):
        super().__init__(**kwargs)
        self.conditioner = conditioner
        self.hop_length = hop_length
        self.n_mels = n_mels
        self.head = keras.layers.Dense(n_mels, dtype="float32", name="head")
        self.spectrum = LogMel(hop_length, n_mels, name="spectrum")

    def get_mel_decoder(self) -> "MelDecoder":
        """Return itself."""
        return self

    def build(self, conditioning_shape=None):
        """Build all layers."""
        if not self.conditioner.built:
            self.conditioner.build()
        self.spectrum.build()
        self.head.build((None, None, self.conditioner.channels))

    def call(self, conditioning):
        """Return the bands of each frame, in units of 20 dB."""
        return self.head(conditioning)

    def bands(self, conditioning):
        """Return the bands of each frame in dB, (B, N, n_mels)."""
        return DECIBELS * self.head(conditioning)

    def loss(self, waveform, conditioning, training: bool | None = None):
        """Return the mean squared error of the bands of a waveform (B, T, 1)."""
        return ops.mean((self(conditioning) - self.spectrum(waveform) / DECIBELS) ** 2)
