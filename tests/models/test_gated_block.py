"""The gated block: its outputs and its gradients are those of the plain formulation."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from vqwn_kit.models.gated_block import GatedBlock, gated_convolution
from vqwn_kit.models.layers import add_frames

LENGTH, FRAMES, CHANNELS, GATE = 24, 4, 5, 3


def plainly(x, condition, kernel, dilation: int, interpolate: bool):
    """Return the gate as the formula has it, a sum over taps that are looked up one by one."""
    size, length = kernel.shape[0], x.shape[1]
    mixed = 0.0
    for tap in range(size):
        delay = (size - 1 - tap) * dilation
        past = [x[:, t - delay] if t >= delay else 0 * x[:, 0] for t in range(length)]
        mixed += tf.einsum("tbc,cg->btg", tf.stack(past), kernel[tap])
    hop = length // condition.shape[1]
    if interpolate:
        places = np.clip((np.arange(length) + 0.5) / hop - 0.5, 0, condition.shape[1] - 1)
        under = np.floor(places).astype(int)
        share = (places - under)[:, None]
        above = np.minimum(under + 1, condition.shape[1] - 1)
        conditioned = (1 - share) * tf.gather(condition, under, axis=1)
        conditioned += share * tf.gather(condition, above, axis=1)
    else:
        conditioned = tf.repeat(condition, hop, axis=1)
    filtered, gate = tf.split(mixed + conditioned, 2, axis=-1)
    return tf.tanh(filtered) * tf.sigmoid(gate)


def with_gradients(function, *inputs):
    """Return what a function returns, and the gradients of a sum that weighs all of it."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        output = function(*inputs)
        weights = np.random.default_rng(7).normal(size=output.shape)
        total = tf.reduce_sum(tf.cast(output, "float64") * weights)
    return output, *tape.gradient(total, inputs)


def block_inputs(rng, size: int, dtype: str) -> list:
    shapes = (2, LENGTH, CHANNELS), (2, FRAMES, 2 * GATE), (size, CHANNELS, 2 * GATE)
    return [tf.constant(rng.normal(size=shape), dtype) for shape in shapes]


@pytest.mark.parametrize("interpolate", [False, True])
@pytest.mark.parametrize("dilation", [1, 2, 7, 16, 40])  # the last is longer than the sequence
@pytest.mark.parametrize("size", [2, 3])
def test_the_gate_and_its_gradients_equal_the_formula(rng, size, dilation, interpolate):
    inputs = block_inputs(rng, size, "float64")
    if interpolate:  # whose weights are float32
        tolerance = 1e-6
    else:
        tolerance = 1e-12
    fast = with_gradients(lambda *a: gated_convolution(*a, dilation, interpolate), *inputs)
    plain = with_gradients(lambda *a: plainly(*a, dilation, interpolate), *inputs)
    for one, two in zip(fast, plain, strict=True):
        assert one.shape == two.shape
        assert np.abs(one - two).max() <= tolerance * max(1.0, np.abs(two).max())


@pytest.mark.traced
@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-6), ("bfloat16", 3e-2)])
def test_the_gradients_in_other_precisions_are_near_those_in_float64(rng, dtype, tolerance, jit):
    inputs = [tf.cast(tensor, dtype) for tensor in block_inputs(rng, 3, "float64")]
    fast = tf.function(lambda *a: gated_convolution(*a, 4), jit_compile=jit)
    exact = [tf.cast(tensor, "float64") for tensor in inputs]
    pairs = zip(
        with_gradients(fast, *inputs),
        with_gradients(lambda *a: plainly(*a, 4, False), *exact),
        strict=True,
    )
    for one, two in pairs:
        assert one.dtype == dtype
        assert np.abs(tf.cast(one, "float64") - two).max() < tolerance * np.abs(two).max()


@pytest.mark.parametrize(("size", "dilation", "interpolate"), [(2, 8, True), (3, 2, False)])
def test_a_block_equals_layers_of_keras_in_outputs_and_gradients(rng, size, dilation, interpolate):
    block = GatedBlock(CHANNELS, GATE, 4, size, dilation, interpolate)
    block.build((None, None, CHANNELS))
    conv = keras.layers.Conv1D(2 * GATE, size, dilation_rate=dilation, padding="causal")
    conv.build((None, None, CHANNELS))
    out = keras.layers.Dense(CHANNELS + 4)
    out.build((None, None, GATE))
    for weight in block.weights:
        weight.assign(rng.normal(size=weight.shape))
    for weight, keras_weight in zip(block.weights, conv.weights + out.weights, strict=True):
        keras_weight.assign(weight)

    def plain(x, condition):
        filtered, gate = tf.split(add_frames(conv(x), condition, interpolate), 2, axis=-1)
        residual, skip = tf.split(out(tf.tanh(filtered) * tf.sigmoid(gate)), [CHANNELS, 4], axis=-1)
        return x + residual, skip

    data = block_inputs(rng, size, "float32")[:2]
    results = []
    for function, layers in ((block, [block]), (plain, [conv, out])):
        variables = [weight.value for layer in layers for weight in layer.trainable_weights]
        with tf.GradientTape() as tape:
            tape.watch(data)
            x, skip = function(*data)
            total = tf.reduce_sum(tf.sin(x)) + tf.reduce_sum(tf.cos(skip))
        results.append([x, skip, *tape.gradient(total, data + variables)])
    for one, two in zip(*results, strict=True):
        assert np.allclose(one, two, rtol=1e-5, atol=1e-5 * np.abs(two).max())
