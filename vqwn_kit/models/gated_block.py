"""The gated residual block of a WaveNet, as matrix products: x (B, T, C) -> x and skip."""

import keras
from keras import ops

from vqwn_kit.models.layers import Layer, add_frames, interpolation_weights, shift_left, shift_right


def gated_convolution(x, condition, kernel, dilation: int, interpolate: bool = False):
    """Return tanh(F * x + condition) sigmoid(G * x + condition), (B, T, G), causal and dilated.

    The taps of a sample are set side by side, so that the convolution is one matrix product; and
    so are the gradients of its input and of its kernel, which automatic differentiation would
    take from convolutions that are several times slower.

    Args:
        x: (B, T, C).
        condition: of frames, (B, N, 2 G), N a divisor of T; the tanh half comes first.
        kernel: (taps, C, 2 G); the last tap is of the sample itself.
        dilation: samples between two taps.
        interpolate: see `add_frames`.
    """
    size, _, width = kernel.shape
    shifts = [(size - 1 - tap) * dilation for tap in range(size)]

    def tapped(x, shift):
        return ops.concatenate([shift(x, by) if by else x for by in shifts], axis=-1)

    def call(x, condition, matrix):
        taps = tapped(x, shift_right)
        mixed = add_frames(ops.matmul(taps, matrix), condition, interpolate)
        filtered = ops.tanh(mixed[..., : width // 2])
        opened = ops.sigmoid(mixed[..., width // 2 :])

        def gradient(after):
            to_filter = after * opened * (1.0 - filtered * filtered)
            to_gate = after * filtered * opened * (1.0 - opened)
            to_mixed = ops.concatenate([to_filter, to_gate], axis=-1)
            to_condition = add_frames_gradient(to_mixed, ops.shape(condition)[1], interpolate)
            to_matrix = ops.matmul(ops.transpose(rows(taps)), rows(to_mixed))
            turned = ops.transpose(ops.reshape(matrix, kernel.shape), (0, 2, 1))
            to_x = ops.matmul(tapped(to_mixed, shift_left), rows(turned))
            return to_x, to_condition, to_matrix

        return filtered * opened, gradient

    return ops.custom_gradient(call)(x, condition, rows(kernel))


def rows(x):
    """Return x (..., C) as a matrix of rows (-1, C)."""
    return ops.reshape(x, (-1, x.shape[-1]))


def add_frames_gradient(samples, num_frames, interpolate: bool = False):
    """Return the gradient (B, N, C) of frames, given that (B, T, C) of what `add_frames` returned.

    A product sums the samples of a frame, since it does so in float32 also for bfloat16.
    """
    batch, length, channels = ops.shape(samples)
    hop = length // num_frames
    grouped = ops.reshape(samples, (batch, num_frames, hop, channels))
    if not interpolate:
        return ops.matmul(ops.ones((1, hop), samples.dtype), grouped)[:, :, 0]
    weights = ops.transpose(interpolation_weights(hop, samples.dtype))
    before, here, after = ops.unstack(ops.matmul(weights, grouped), 3, axis=2)
    # The first frame stands in for the one before it, and the last for the one after it.
    first = ops.concatenate([before[:, :1], ops.zeros_like(before[:, 1:])], axis=1)
    last = ops.concatenate([ops.zeros_like(after[:, 1:]), after[:, -1:]], axis=1)
    return here + shift_left(before) + shift_right(after) + first + last


@keras.saving.register_keras_serializable("vqwn_kit")
class GatedBlock(Layer):
    """One residual block of a WaveNet: dilated causal convolution, gate, residual and skip.

    z = tanh(W_f * x + V_f h) sigmoid(W_g * x + V_g h); the two 1x1 convolutions that follow are
    one matrix product. [van den Oord 2016](https://arxiv.org/abs/1609.03499), section 2.3.

    Args:
        residual_channels: channels of x, C.
        gate_channels: channels of each half of the gate, G; the tanh half comes first.
        skip_channels: channels of the skip output.
        kernel_size: taps of the dilated convolution.
        dilation: samples between two taps.
        interpolate: draw lines between the conditioning of frames, instead of repeating it.

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
        interpolate: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.residual_channels = residual_channels
        self.gate_channels = gate_channels
        self.skip_channels = skip_channels
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.interpolate = interpolate
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
        kernel, bias = (ops.convert_to_tensor(weight) for weight in self.conv.weights)
        condition = condition + bias  # of frames, which are fewer than samples
        gate = gated_convolution(x, condition, kernel, self.dilation, self.interpolate)
        residual, skip = (
            ops.matmul(gate, kernel) + bias
            for kernel, bias in zip(*(self.halves(w) for w in self.out.weights), strict=True)
        )
        return x + residual, skip

    def halves(self, weight):
        """Return the parts of a weight of `out` for the residual and for the skip output."""
        weight = ops.convert_to_tensor(weight)
        return weight[..., : self.residual_channels], weight[..., self.residual_channels :]

    def compute_output_shape(self, x_shape, condition_shape=None):
        """Return the shapes of the two outputs."""
        return tuple(x_shape), (*x_shape[:2], self.skip_channels)
