"""What the parts of the model share: mu-law as tensor operations, and WaveNet's gated block."""

import math

import keras
from keras import ops


def mu_law_encode(waveform, levels: int = 256):
    """Compand float32 in [-1, 1] to int32 levels 0..`levels` - 1, any shape; see `audio`."""
    mu = levels - 1
    clipped = ops.clip(ops.cast(waveform, "float32"), -1.0, 1.0)
    companded = ops.sign(clipped) * ops.log1p(mu * ops.abs(clipped)) / math.log1p(mu)
    return ops.cast(ops.floor((companded + 1.0) / 2.0 * mu + 0.5), "int32")


def level_to_scalar(level, levels: int = 256):
    """Turn integer levels into the companded value in [-1, 1] that a WaveNet hears."""
    return ops.cast(level, "float32") * (2.0 / (levels - 1)) - 1.0


def add_frames(samples, frames):
    """Add row n of `frames` (B, N, C) to each of the T / N rows of `samples` (B, T, C) under it.

    The same as repeating the frames T / N times, without making the repeated tensor.
    """
    batch, num_frames, channels = ops.shape(frames)
    length = ops.shape(samples)[1]
    grouped = ops.reshape(samples, (batch, num_frames, length // num_frames, channels))
    return ops.reshape(grouped + frames[:, :, None], (batch, length, channels))


@keras.saving.register_keras_serializable("vqwn_kit")
class GatedBlock(keras.layers.Layer):
    """One residual block of a WaveNet: dilated causal convolution, gate, residual and skip.

    z = tanh(W_f * x + V_f h) sigmoid(W_g * x + V_g h); the two 1x1 convolutions that follow are
    one matrix product. [van den Oord 2016](https://arxiv.org/abs/1609.03499), section 2.3.

    Args:
        residual_channels: channels of x, C.
        gate_channels: channels of each half of the gate, G; the tanh half comes first.
        skip_channels: channels of the skip output.
        kernel_size: taps of the dilated convolution.
        dilation: samples between two taps.

    Input shape: x (B, T, C) and the projected condition V h, (B, N, 2 G), N a divisor of T.
    Output shape: x + residual, (B, T, C), and skip, (B, T, skip_channels).
    """

    def __init__(
        self,
        residual_channels: int,
        gate_channels: int,
        skip_channels: int,
        kernel_size: int = 2,
        dilation: int = 1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.residual_channels = residual_channels
        self.gate_channels = gate_channels
        self.skip_channels = skip_channels
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.conv = keras.layers.Conv1D(
            2 * gate_channels,
            kernel_size,
            dilation_rate=dilation,
            padding="causal",
            dtype=self.dtype_policy,
            name="conv",
        )
        self.out = keras.layers.Dense(
            residual_channels + skip_channels, dtype=self.dtype_policy, name="out"
        )

    def build(self, x_shape, condition_shape=None):
        """Build the two convolutions for x of shape (B, T, C)."""
        self.conv.build(x_shape)
        self.out.build((None, None, self.gate_channels))

    def call(self, x, condition):
        """Return x + residual and skip."""
        mixed = add_frames(self.conv(x), condition)
        gate = ops.tanh(mixed[..., : self.gate_channels]) * ops.sigmoid(
            mixed[..., self.gate_channels :]
        )
        out = self.out(gate)
        return x + out[..., : self.residual_channels], out[..., self.residual_channels :]

    def compute_output_shape(self, x_shape, condition_shape=None):
        """Return the shapes of the two outputs."""
        return tuple(x_shape), (*x_shape[:2], self.skip_channels)

    def get_config(self) -> dict:
        """Return the constructor's keywords."""
        return {
            **super().get_config(),
            "residual_channels": self.residual_channels,
            "gate_channels": self.gate_channels,
            "skip_channels": self.skip_channels,
            "kernel_size": self.kernel_size,
            "dilation": self.dilation,
        }
