"""The light decoder of a first stage: codes' vectors and a speaker -> log-mel frames."""

import keras
import numpy as np
from keras import ops

from vqwn_kit.models.conditioning import Conditioner
from vqwn_kit.models.decoder import Decoder
from vqwn_kit.models.mel import LogMel

DECIBELS = 20.0  # a unit of what is predicted; speech then spreads over about 1
LEVEL = -46.0  # dB, the mean of the bands of the bundled corpus, from which training starts
SMOOTHING = 6.0  # bands: the standard deviation of the Gaussian that gives a spectrum's outline


def smoothing(n_mels: int) -> np.ndarray:
    """Return the matrix that smooths bands along frequency, float32; its columns sum to 1."""
    distance = np.subtract.outer(np.arange(n_mels), np.arange(n_mels)) / SMOOTHING
    weights = np.exp(-0.5 * distance**2)
    return (weights / weights.sum(axis=0)).astype(np.float32)


def _level(bands):
    """Return the power of all bands (B, N, n_mels) together, in dB, (B, N, 1)."""
    return ops.logsumexp(bands * (np.log(10) / 10), axis=-1, keepdims=True) * (10 / np.log(10))


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
        contrast: how much `bands` raises peaks and deepens valleys, 0 not at all: a mean over all
            that a code may stand for is flatter than speech. The difference of a spectrum from its
            outline is multiplied by 1 + `contrast`, and the sum of the bands' power stays. The
            loss is of what is predicted without it.

    Raises:
        ValueError: a `contrast` below 0 or above 2.

    Input shape: conditioning (B, N, C). Output shape: (B, N, n_mels), in units of 20 dB.
    """

    short_name = "mel"
    loss_name = "mel/mse"
    part_defaults = {"conditioner": {"local_channels": 256, "local_layers": 3}}

    def __init__(
        self,
        conditioner: Conditioner,
        hop_length: int,
        n_mels: int = 80,
        contrast: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not 0.0 <= contrast <= 2.0:
            raise ValueError(f"contrast is {contrast}; expected 0, none, to 2, such as 0.3")
        self.contrast = contrast
        self.conditioner = conditioner
        self.hop_length = hop_length
        self.n_mels = n_mels
        start = keras.initializers.Constant(LEVEL / DECIBELS)
        self.head = keras.layers.Dense(n_mels, bias_initializer=start, dtype="float32", name="head")
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

    def plain_bands(self, conditioning):
        """Return the bands of each frame in dB, (B, N, n_mels), as they are predicted."""
        return DECIBELS * self.head(conditioning)

    def bands(self, conditioning):
        """Return the bands of each frame in dB, (B, N, n_mels), with the `contrast`."""
        bands = self.plain_bands(conditioning)
        if not self.contrast:
            return bands
        outline = ops.matmul(bands, ops.convert_to_tensor(smoothing(self.n_mels)))
        raised = bands + self.contrast * (bands - outline)
        return raised + _level(bands) - _level(raised)

    def loss(self, waveform, conditioning, training: bool | None = None):
        """Return the mean squared error of the bands of a waveform (B, T, 1)."""
        return ops.mean((self(conditioning) - self.spectrum(waveform) / DECIBELS) ** 2)
