"""Adam with its schedules, multiples and penalty; the moving average of the weights."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from vqwn_kit import build_model, load_preset
from vqwn_kit.training.optimizer import Adam, WeightAverage, make_optimizer, scheduled_rate


def test_a_schedule_by_steps_holds_from_its_step_on():
    config = load_preset("original").training
    steps = (0, 79_999, 80_000, 400_000)
    rates = [scheduled_rate(config.schedule, config.steps, step) for step in steps]
    assert rates == pytest.approx([8e-5, 8e-5, 6e-5, 8e-6])


def test_a_cosine_schedule_rises_linearly_and_falls_along_the_cosine():
    schedule = {"peak": 1e-2, "warm_up": 5, "end": 1e-4}
    rates = [scheduled_rate(schedule, 20, position) for position in (0, 1, 2.5, 5)]
    assert rates == pytest.approx([0, 2e-3, 5e-3, 1e-2])
    for position in np.linspace(5, 20, 31):
        share = (1 + np.cos(np.pi * (position - 5) / 15)) / 2
        rate = scheduled_rate(schedule, 20, position)
        assert rate == pytest.approx(1e-4 + (1e-2 - 1e-4) * share, rel=1e-9)
    assert scheduled_rate(schedule, 20, 25) == 1e-4


def test_a_number_is_the_rate_of_every_step():
    assert [scheduled_rate(1e-3, 10, position) for position in (0, 5.5, 10)] == [1e-3] * 3


def after_steps(gradient: float, steps: int, names: tuple, start: np.ndarray, **changes) -> list:
    """Return the weights of these names after steps of the optimizer of a preset."""
    optimizer = make_optimizer(load_preset("tiny").change(learning_rate=1e-3, **changes).training)
    weights = [keras.Variable(start, name=name) for name in names]
    optimizer.build(weights)
    for _ in range(steps):
        optimizer.apply([tf.fill(start.shape, gradient) for _ in weights], weights)
    return [weight.numpy() for weight in weights]


def test_the_codebook_may_have_a_multiple_of_the_learning_rate():
    start = np.zeros(3, "float32")
    for multiple in (1.0, 10.0):
        names = ("codebook", "kernel")
        codebook, kernel = after_steps(0.1, 1, names, start, codebook_rate=multiple)
        np.testing.assert_allclose(codebook, -1e-3 * multiple, rtol=1e-3)
        np.testing.assert_allclose(kernel, -1e-3, rtol=1e-3)


def test_weight_decay_is_the_gradient_of_a_penalty_on_kernels_alone():
    """Also where it is 1e-6, as in `magenta`: decay scaled by the rate would vanish in float32."""
    start = np.linspace(-2, 2, 5).astype("float32")
    names = ("kernel", "bias", "gamma", "codebook", "speakers")
    kernel, *others = after_steps(0.0, 3, names, start, weight_decay=1e-6)
    expected, m, v = start.astype(float), 0.0, 0.0
    for step in range(1, 4):
        gradient = 1e-6 * expected
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        root = np.sqrt(v / (1 - 0.999**step)) + 1e-7 / np.sqrt(1 - 0.999**step)
        expected = expected - 1e-3 * m / (1 - 0.9**step) / root
    assert np.abs(expected - start).max() > 1e-3
    assert np.allclose(kernel, expected, atol=1e-5)
    assert all(np.array_equal(weight, start) for weight in others)


def apply_one(optimizer, variables, gradient) -> None:
    optimizer.apply([gradient], variables)


@pytest.mark.parametrize("traced", [False, True])
def test_steps_equal_those_of_the_adam_of_keras(traced):
    tf.config.run_functions_eagerly(not traced)
    kernels = []
    for kind in (Adam, keras.optimizers.Adam):
        optimizer = kind(1e-2, global_clipnorm=1.5)
        kernel = keras.Variable(np.ones((3, 2), "float32"), name="kernel")
        optimizer.build([kernel])
        step = tf.function(partial(apply_one, optimizer, [kernel]))
        for seed in range(5):
            step(tf.random.stateless_normal((3, 2), (seed, 0)))
        kernels.append(kernel.numpy())
    assert np.abs(kernels[1] - 1.0).max() > 0.01
    assert np.allclose(*kernels, atol=1e-6)


def test_the_gradient_of_the_penalty_is_clipped_with_the_others():
    optimizer = make_optimizer(
        load_preset("tiny").change(learning_rate=1e-3, weight_decay=10.0, clip_norm=1.0).training
    )
    weights = [keras.Variable([3.0, 4.0], name=name) for name in ("kernel", "bias")]
    optimizer.build(weights)
    optimizer.apply([tf.zeros(2), tf.constant([0.0, 50.0])], weights)
    moments = [m.numpy() / (1.0 - optimizer.beta_1) for m in optimizer._momentums]
    norm = np.hypot(50.0, 50.0)  # of the penalty's gradient, 10 times (3, 4), and the bias's
    assert np.allclose(moments, [[30.0 / norm, 40.0 / norm], [0.0, 50.0 / norm]], rtol=1e-5)


@pytest.fixture(scope="module")
def tiny():
    return build_model(load_preset("tiny"), ["ann"])


def test_the_average_has_a_warm_up_and_matches_its_formula(tiny, rng):
    average = WeightAverage(tiny, 0.999)
    weight = next(w for w in tiny.weights if "codebook" in w.path)
    place = [w is weight for w in tiny.weights].index(True)
    expected = weight.numpy()
    for step in range(1, 40):
        value = rng.normal(size=weight.shape)
        weight.assign(value)
        average.update(step)
        decay = min(0.999, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    assert np.allclose(average.variables[place].numpy(), expected, atol=1e-4)


def test_the_average_of_a_short_run_has_left_its_random_start():
    model = keras.Sequential([keras.layers.Dense(3)])
    model.build((None, 2))
    average = WeightAverage(model, 0.999)
    for weight in model.weights:
        weight.assign(np.ones(weight.shape))
    for step in range(1, 301):
        average.update(step)
    assert all(np.allclose(value.numpy(), 1, atol=1e-3) for value in average.variables)


def test_the_average_includes_batch_statistics_and_codebook_and_restores_the_weights(tiny, rng):
    average = WeightAverage(tiny, 0.9)
    paths = " ".join(weight.path for weight in average.weights)
    assert "moving_mean" in paths
    assert "codebook" in paths
    before = tiny.get_weights()
    for variable in average.variables:
        variable.assign(rng.normal(size=variable.shape))
    with average.applied():
        assert np.array_equal(tiny.get_weights()[0], average.variables[0].numpy())
    assert all(np.array_equal(a, b) for a, b in zip(before, tiny.get_weights(), strict=True))
