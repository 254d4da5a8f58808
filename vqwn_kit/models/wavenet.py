"""The network of a WaveNet: past samples and conditioning -> outputs for the next sample."""

import keras
from keras import ops

from vqwn_kit.models.gated_block import GatedBlock
from vqwn_kit.models.layers import Layer, add_frames


@keras.saving.register_keras_serializable("vqwn_kit")
class WaveNet(Layer):
    """Dilated causal convolutions with gates, [van den Oord 2016](https://arxiv.org/abs/1609.03499).

    A causal convolution over the inputs; residual blocks, each adding to the sum of skip outputs;
    two layers over that sum. The conditioning is projected, without bias, once per frame and added
    in every block and after the first output layer.

    Args:
        num_outputs: channels of the output; the distribution says how many.
        num_cycles: how often the dilations 1, 2, 4 … are repeated.
        num_cycle_layers: gated blocks per cycle.
        dilations: of the blocks, in samples, instead of cycles.
        kernel_size: taps of each block's convolution, 2 or more.
        first_kernel_size: taps of the convolution over the inputs.
        residual_channels: channels between the blocks.
        gate_channels: channels of each half of the gate.
        skip_channels: channels of the sum that the output layers read.
        interpolate: draw lines between the conditioning of frames, instead of repeating it.

    Attributes:
        groups: channels of the conditioning that have projections of their own; see `Projection`.

    Raises:
        ValueError: fewer than 2 taps, or no dilations.

    Input shape: inputs (B, T, F), at each place only what precedes the sample to be predicted;
        conditioning (B, N, C), N a divisor of T.
    Output shape: (B, T, num_outputs) float32.
    """

    short_name = "wavenet"
    groups: list[int] | None = None

    def __init__(
        self,
        num_outputs: int = 256,
        num_cycles: int = 3,
        num_cycle_layers: int = 10,
        dilations: tuple[int, ...] | None = None,
        kernel_size: int = 3,
        first_kernel_size: int = 32,
        residual_channels: int = 256,
        gate_channels: int = 256,
        skip_channels: int = 512,
        interpolate: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if dilations is None:
            dilations = [2**layer for layer in range(num_cycle_layers)] * num_cycles
        if kernel_size < 2 or not dilations:
            raise ValueError(
                f"kernel_size is {kernel_size} with {len(dilations)} dilations; expected at least "
                "2 taps and one dilation, or the network does not see the past"
            )
        self.num_outputs = num_outputs
        self.num_cycles = num_cycles
        self.num_cycle_layers = num_cycle_layers
        self.dilations = list(dilations)
        self.kernel_size = kernel_size
        self.first_kernel_size = first_kernel_size
        self.residual_channels = residual_channels
        self.gate_channels = gate_channels
        self.skip_channels = skip_channels
        self.interpolate = interpolate
        policy = {"dtype": self.dtype_policy}
        self.input_conv = keras.layers.Conv1D(
            residual_channels, first_kernel_size, padding="causal", name="input_conv", **policy
        )
        self.input_skip = keras.layers.Dense(skip_channels, name="input_skip", **policy)
        self.block_conditions = Projection(
            2 * gate_channels * len(dilations), name="block_conditions", **policy
        )
        self.blocks = [
            GatedBlock(
                residual_channels,
                gate_channels,
                skip_channels,
                kernel_size,
                dilation,
                interpolate,
                name=f"block_{number:02d}",
                **policy,
            )
            for number, dilation in enumerate(dilations)
        ]
        self.hidden = keras.layers.Dense(skip_channels, name="hidden", **policy)
        self.hidden_condition = Projection(skip_channels, name="hidden_condition", **policy)
        self.out = keras.layers.Dense(num_outputs, dtype="float32", name="out")

    @property
    def receptive_field(self) -> int:
        """Past inputs that the next output can depend on.

        In a closed loop each holds the past sound, to which the filters bring earlier levels, too.
        """
        return self.first_kernel_size + (self.kernel_size - 1) * sum(self.dilations)

    def build(self, inputs_shape, conditioning_shape):
        """Build all layers for inputs (B, T, F) and conditioning (B, N, C)."""
        self.input_conv.build(inputs_shape)
        self.input_skip.build((None, None, self.residual_channels))
        for projection in (self.block_conditions, self.hidden_condition):
            projection.groups = self.groups
            projection.build(conditioning_shape)
        for block in self.blocks:
            block.build((None, None, self.residual_channels))
        self.hidden.build((None, None, self.skip_channels))
        self.out.build((None, None, self.skip_channels))

    def call(self, inputs, conditioning):
        """Return the outputs for each sample."""
        conditions = ops.split(self.block_conditions(conditioning), len(self.blocks), axis=-1)
        x = self.input_conv(inputs)  # (B, T, residual_channels)
        total = self.input_skip(x)  # (B, T, skip_channels)
        for block, condition in zip(self.blocks, conditions, strict=True):
            x, skip = block(x, condition)
            total = total + skip
        hidden = self.hidden(ops.relu(total))
        hidden = add_frames(hidden, self.hidden_condition(conditioning), self.interpolate)
        return self.out(ops.relu(hidden))

    def compute_output_shape(self, inputs_shape, conditioning_shape=None):
        """Return (B, T, num_outputs)."""
        return (*inputs_shape[:2], self.num_outputs)


@keras.saving.register_keras_serializable("vqwn_kit")
class Projection(Layer):
    """A linear map of frames (B, N, C) to (B, N, width), without bias.

    Args:
        width: channels of the output.

    Attributes:
        groups: channels that sum to C. Each has a kernel that is initialised for its own number of
            inputs, as if it were a layer of its own whose output is added. None: one group.
    """

    groups: list[int] | None = None

    def __init__(self, width: int, **kwargs):
        super().__init__(**kwargs)
        self.width = width

    def build(self, input_shape):
        """Create one kernel for each group."""
        self.kernels = [
            self.add_weight(
                shape=(channels, self.width), initializer="glorot_uniform", name=f"kernel_{number}"
            )
            for number, channels in enumerate(self.groups or [input_shape[-1]])
        ]

    @property
    def kernel(self):
        """The kernels of all groups as one, (C, width)."""
        return ops.concatenate([ops.convert_to_tensor(kernel) for kernel in self.kernels])

    def call(self, frames):
        """Return the projected frames."""
        return ops.matmul(frames, self.kernel)
