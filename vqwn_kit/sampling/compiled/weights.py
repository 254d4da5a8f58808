"""A decoder's weights -> what the kernels read: panels of columns, padded with zeros."""

import math

import ml_dtypes
import numpy as np
from keras import ops

from vqwn_kit.sampling.compiled.kernels import GATES, PANEL, Network

LOOK_BACK = 16  # most samples whose past taps are one product


def pack(decoder, precision: str = "float32") -> Network:
    """Return the weights of a built decoder, packed.

    A panel holds PANEL columns of a matrix, row by row, so that a product reads memory in order.
    A panel of gates holds GATES filters and their openings.

    Args:
        wavenet: the decoder.
        precision: of the blocks' matrices: float32, bfloat16, int8 or float64; the others are
            float32, or float64 with it.
    """
    wavenet = decoder.network
    dtype = np.dtype("float64" if precision == "float64" else "float32")

    def get(variable) -> np.ndarray:
        return np.asarray(ops.convert_to_numpy(variable), dtype)

    def stack(name: str, part: str) -> np.ndarray:
        return np.stack([get(getattr(getattr(block, name), part)) for block in wavenet.blocks])

    c, s, f = (
        _padded(width, PANEL)
        for width in (wavenet.residual_channels, wavenet.skip_channels, wavenet.out.units)
    )
    g = _padded(wavenet.gate_channels, GATES)
    blocks, taps = len(wavenet.blocks), wavenet.kernel_size
    conv = _pair(_fill(stack("conv", "kernel"), -2, c), g)  # (L, K, C, 2 G)
    out = _fill(stack("out", "kernel"), -2, g)
    residual = wavenet.residual_channels
    out, out_bias = (
        np.concatenate([_fill(a[..., :residual], -1, c), _fill(a[..., residual:], -1, s)], axis=-1)
        for a in (out, stack("out", "bias"))
    )
    told = get(wavenet.block_conditions.kernel)
    told = _pair(told.reshape(len(told), blocks, -1), g).reshape(len(told), -1)
    told = np.concatenate([told, _fill(get(wavenet.hidden_condition.kernel), -1, s)], axis=-1)
    told_bias = [_pair(stack("conv", "bias"), g).ravel(), _fill(get(wavenet.hidden.bias), -1, s)]
    first = _fill(get(wavenet.input_conv.kernel), -1, c)
    past = conv[:, :-1].reshape(blocks, (taps - 1) * c, 2 * g)
    past, past_scale = _in_precision(_panels(past), precision)
    last, conv_scale = _in_precision(_panels(conv[:, -1]), precision)
    out, out_scale = _in_precision(_panels(out), precision)
    first_skip = _fill(_fill(get(wavenet.input_skip.kernel), -1, s), -2, c)
    post = _fill(_fill(get(wavenet.hidden.kernel), -1, s), -2, s)
    final = _fill(_fill(get(wavenet.out.kernel), -1, f), -2, s)
    return Network(
        channels=c,
        gates=g,
        skips=s,
        scores=f,
        levels=decoder.codec.num_levels,
        mixtures=getattr(decoder.distribution, "num_components", 0),
        heard=first.shape[1],
        taps=taps,
        first_taps=len(first),
        dilations=np.array(wavenet.dilations, np.int64),
        steps=np.array([math.gcd(d, LOOK_BACK) for d in wavenet.dilations], np.int64),
        first=(first if decoder.codec.one_hot else _panels(first[:, 0])).ravel(),
        first_bias=_fill(get(wavenet.input_conv.bias), -1, c),
        first_skip=_panels(first_skip).ravel(),
        first_skip_bias=_fill(get(wavenet.input_skip.bias), -1, s),
        told=_panels(told).ravel(),
        told_bias=np.concatenate(told_bias),
        past=past,
        past_scale=past_scale,
        conv=last,
        conv_scale=conv_scale,
        out=out,
        out_scale=out_scale,
        out_bias=out_bias.ravel(),
        post=_panels(post).ravel(),
        final=_panels(final).ravel(),
        final_bias=_fill(get(wavenet.out.bias), -1, f),
        nothing=np.zeros(max(told.shape[1], f), dtype),
    )


def _padded(width: int, multiple: int) -> int:
    return -(-width // multiple) * multiple


def _fill(array: np.ndarray, axis: int, width: int) -> np.ndarray:
    """Return an array with zeros after its end along an axis."""
    room = [(0, 0)] * array.ndim
    room[axis] = (0, width - array.shape[axis])
    return np.pad(array, room)


def _pair(array: np.ndarray, gates: int) -> np.ndarray:
    """Return columns (…, filters then openings) as (…, 2 gates): panels with both of each gate."""
    halves = np.stack(np.split(array, 2, axis=-1), axis=-2)
    halves = _fill(halves, -1, gates)
    halves = halves.reshape(*halves.shape[:-1], gates // GATES, GATES)
    return np.swapaxes(halves, -2, -3).reshape(*array.shape[:-1], 2 * gates)


def _panels(array: np.ndarray) -> np.ndarray:
    """Return (…, rows, columns) as (…, panels, rows, PANEL)."""
    array = array.reshape(*array.shape[:-1], -1, PANEL)
    return np.ascontiguousarray(np.swapaxes(array, -2, -3))


def _in_precision(array: np.ndarray, precision: str) -> tuple[np.ndarray, np.ndarray]:
    """Return panels (L, panels, rows, PANEL) and the columns' scales, both flat."""
    scale = np.ones((*array.shape[:2], 1, PANEL), array.dtype)
    if precision == "int8":
        scale = np.abs(array).max(axis=2, keepdims=True) / array.dtype.type(127)
        scale[scale == 0] = 1
        array = np.rint(array / scale).astype(np.int8)
    elif precision == "bfloat16":
        array = array.astype(ml_dtypes.bfloat16).view(np.uint16)
    return array.ravel(), scale.ravel()
