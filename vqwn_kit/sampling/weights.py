"""The numbers of a WaveNet that its sampler reads, as plain arrays, and what a sampler is given."""

from typing import NamedTuple

import ml_dtypes
import numpy as np

from vqwn_kit.errors import InputError
from vqwn_kit.models.tensorflow import ops
from vqwn_kit.models.wavenet_decoder import WaveNetDecoder

PITCH_LAGS = 40, 266  # samples at 16 kHz: 400 to 60 Hz
PITCH_WINDOW = 320  # samples
PAST = PITCH_WINDOW + PITCH_LAGS[1]  # samples of the sound that are kept
RARE = 0.512  # over the number of levels: a probability under which no level is drawn by voicing


class NetworkWeights(NamedTuple):
    """Weights and settings of a WaveNet, in the layouts of its layers.

    `first_kernel` is that of its `input_conv`, `first_skip_kernel` of `input_skip`, `post_kernel`
    of `hidden`, `post_condition_kernel` of `hidden_condition` and `final_kernel` of `out`;
    `conv_kernel` and `out_kernel` are those of the blocks.

    L gated blocks, K taps, C residual channels, G gate channels, S skip channels, D channels that
    condition a frame, O outputs: the levels, or 3 parameters of each mixture component.
    """

    num_levels: int  # mu-law levels
    num_components: int  # logistic components of the output; 0 is a softmax over the levels
    one_hot: bool  # a past level is one of `num_levels` input channels, not one number
    closed_loop: bool  # two input channels more: the companded past sound, and its prediction
    interpolate: bool  # the conditioning of frames is interpolated, instead of repeated
    dilations: np.ndarray  # (L,) int64
    first_kernel: np.ndarray  # (first taps, levels or 1, + 2, C), the oldest sample first
    first_bias: np.ndarray  # (C,)
    first_skip_kernel: np.ndarray  # (C, S)
    skip_bias: np.ndarray  # (S,): the sum of the biases of all skip outputs
    conv_kernel: np.ndarray  # (L, K, C, 2G), the oldest tap first; filter and gate side by side
    conv_bias: np.ndarray  # (L, 2G)
    condition_kernel: np.ndarray  # (L, D, 2G)
    out_kernel: np.ndarray  # (L, G, C + S): residual and skip output side by side
    residual_bias: np.ndarray  # (L, C)
    post_kernel: np.ndarray  # (S, S)
    post_bias: np.ndarray  # (S,)
    post_condition_kernel: np.ndarray  # (D, S)
    final_kernel: np.ndarray  # (S, O)
    final_bias: np.ndarray  # (O,)

    @property
    def outputs(self) -> int:
        """O, the numbers that the network gives for a sample."""
        return len(self.final_bias)

    def in_precision(self, precision: str) -> "NetworkWeights":
        """Return a copy whose weights are contiguous arrays of float32 or float64.

        With "bfloat16" the two kernels of the blocks are bfloat16, kept as uint16.
        """
        dtype = np.dtype("float64" if precision == "float64" else "float32")
        copy = self._make(
            _aligned(value, dtype)
            if isinstance(value, np.ndarray) and value.dtype.kind == "f"
            else value
            for value in self
        )
        if precision != "bfloat16":
            return copy
        rounded = {
            name: _aligned(
                getattr(copy, name).astype(ml_dtypes.bfloat16).view(np.uint16), np.uint16
            )
            for name in ("conv_kernel", "out_kernel")
        }
        return copy._replace(**rounded)


def _aligned(array: np.ndarray, dtype) -> np.ndarray:
    """Return a contiguous copy that begins at a cache line, since that is read faster."""
    size = array.size * np.dtype(dtype).itemsize
    room = np.empty(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    copy = room[start : start + size].view(dtype).reshape(array.shape)
    copy[...] = array
    return copy


def network_weights(decoder: WaveNetDecoder) -> NetworkWeights:
    """Return the weights of a built decoder, float32. All that is read of it is read here.

    Raises:
        InputError: they are not finite.
    """
    wavenet, codec = decoder.network, decoder.codec

    def array(variable) -> np.ndarray:
        values = np.asarray(ops.convert_to_numpy(variable), np.float32)
        if not np.isfinite(values).all():
            raise InputError(
                f"the weights {variable.path} are not finite (NaN): the training diverged, and "
                "nothing can be sampled; use an earlier checkpoint"
            )
        return values

    blocks, channels = wavenet.blocks, wavenet.residual_channels
    out_bias = np.stack([array(block.out.bias) for block in blocks])
    condition_kernel = np.split(array(wavenet.block_conditions.kernel), len(blocks), axis=1)
    return NetworkWeights(
        num_levels=codec.num_levels,
        num_components=decoder.distribution.num_components,
        one_hot=codec.one_hot,
        closed_loop=codec.closed_loop,
        interpolate=wavenet.interpolate,
        dilations=np.array(wavenet.dilations, np.int64),
        first_kernel=array(wavenet.input_conv.kernel),
        first_bias=array(wavenet.input_conv.bias),
        first_skip_kernel=array(wavenet.input_skip.kernel),
        skip_bias=array(wavenet.input_skip.bias) + out_bias[:, channels:].sum(axis=0),
        conv_kernel=np.stack([array(block.conv.kernel) for block in blocks]),
        conv_bias=np.stack([array(block.conv.bias) for block in blocks]),
        condition_kernel=np.stack(condition_kernel),
        out_kernel=np.stack([array(block.out.kernel) for block in blocks]),
        residual_bias=out_bias[:, :channels],
        post_kernel=array(wavenet.hidden.kernel),
        post_bias=array(wavenet.hidden.bias),
        post_condition_kernel=array(wavenet.hidden_condition.kernel),
        final_kernel=array(wavenet.out.kernel),
        final_bias=array(wavenet.out.bias),
    )


class Settings(NamedTuple):
    """How levels are chosen from the outputs of the network."""

    greedy: bool = False  # take the most likely level
    temperature: float = 1.0  # divides the logits, and multiplies the scales of a mixture
    top_k: int = 0  # draw from so many of the most likely levels; 0 for all
    voiced: bool = False  # temperature falls, and rare levels are left out, by voicing


class Block(NamedTuple):
    """A stretch of T = N hop_length samples of B streams: what is given, and what is filled in."""

    frames: np.ndarray  # (B, N + 2, D): what conditions each frame, with a neighbour at either end
    interpolation: np.ndarray  # (hop_length, 3): weights of the frame before, this one, the next
    uniform: np.ndarray  # (B, T) float64 random numbers in [0, 1)
    forced: np.ndarray  # (B, T) int32 levels that are fed back instead of drawn ones, or (B, 0)
    levels: np.ndarray  # (B, T) int32, filled in
    outputs: np.ndarray  # (B, T, O), filled in where levels are forced, or (B, 0, O)
    filters: np.ndarray  # (B, N, P) float64, of linear prediction; P = 0 for none
    # What a value of 1 is in the sound: `RESIDUAL_RANGE` times the deviation, 1 without filters.
    scale: np.ndarray  # (B, N) float64

    def share(self, streams: slice) -> "Block":
        """Return the block of some of the streams; what is filled in is filled in here, too."""
        frames, interpolation, *others = self
        return Block(frames[streams], interpolation, *(other[streams] for other in others))
