"""The bottlenecks, by their mathematics."""

import numpy as np
import pytest
import tensorflow as tf

from vqwn_kit import VectorQuantizer, VectorQuantizerEMA
from vqwn_kit.codebook import (
    CodeUsage,
)
from vqwn_kit.evaluation import perplexity


@pytest.fixture
def quantizer():
    quantizer = VectorQuantizer(16, 4, 0.25, {"class_name": "RandomNormal", "config": {"seed": 3}})
    quantizer.build((None, None, 4))
    return quantizer


def test_codes_equal_numpy_argmin(quantizer, rng):
    z_e = rng.normal(size=(3, 10, 4)).astype("float32")
    codebook = quantizer.codebook.numpy()
    distance = ((z_e[:, :, None] - codebook) ** 2).sum(-1)
    quantized = quantizer(z_e)
    assert np.array_equal(quantized.codes, distance.argmin(-1))
    assert quantized.codes.dtype == "int32"
    assert np.allclose(quantized.z_q, codebook[distance.argmin(-1)], atol=1e-6)


def test_straight_through_gradient_is_the_identity(quantizer, rng):
    z_e = tf.constant(rng.normal(size=(2, 5, 4)), "float32")
    weights = tf.constant(rng.normal(size=(2, 5, 4)), "float32")
    with tf.GradientTape() as tape:
        tape.watch(z_e)
        value = tf.reduce_sum(weights * quantizer(z_e).z_q)
    assert np.array_equal(tape.gradient(value, z_e), weights)


@pytest.mark.parametrize(("loss", "moves"), [("vq/codebook", "codebook"), ("vq/commitment", "z_e")])
def test_each_loss_moves_only_its_side(quantizer, rng, loss, moves):
    z_e = tf.constant(rng.normal(size=(2, 5, 4)), "float32")
    with tf.GradientTape() as tape:
        tape.watch(z_e)
        value = quantizer(z_e).losses[loss]
    sides = {"codebook": quantizer.codebook.value, "z_e": z_e}
    for side, gradient in tape.gradient(value, sides).items():
        assert (gradient is not None) == (side == moves)


def test_the_joint_loss_moves_both_sides(rng):
    quantizer = VectorQuantizer(16, 4, joint=True)
    quantizer.build((None, None, 4))
    z_e = tf.constant(rng.normal(size=(2, 5, 4)), "float32")
    with tf.GradientTape() as tape:
        tape.watch(z_e)
        (loss,) = quantizer(z_e).losses.values()
    gradients = tape.gradient(loss, {"codebook": quantizer.codebook.value, "z_e": z_e})
    assert all(np.abs(tf.convert_to_tensor(g)).max() > 0 for g in gradients.values())
    assert quantizer.loss_names == ("vq/joint",)


@pytest.fixture
def ema():
    start = {"class_name": "RandomNormal", "config": {"seed": 3, "stddev": 1.0}}
    quantizer = VectorQuantizerEMA(16, 4, 0.25, start, decay=0.9, epsilon=1e-3)
    quantizer.build((None, None, 4))
    return quantizer


def test_ema_codebook_equals_a_numpy_reference(ema, rng):
    codebook = ema.codebook.numpy().copy()
    counts, sums = np.ones(16), codebook.copy()
    for _ in range(5):
        z_e = rng.normal(size=(3, 10, 4)).astype("float32")
        codes = ((z_e[:, :, None] - codebook) ** 2).sum(-1).argmin(-1)
        assert np.array_equal(ema(z_e, training=True).codes, codes)
        hits = np.eye(16)[codes.ravel()]
        counts = 0.9 * counts + 0.1 * hits.sum(0)
        sums = 0.9 * sums + 0.1 * hits.T @ z_e.reshape(-1, 4)
        smooth = (counts + 1e-3) / (counts.sum() + 16e-3) * counts.sum()
        codebook = sums / smooth[:, None]
        assert np.allclose(ema.codebook.numpy(), codebook, atol=1e-4)


def test_ema_moves_in_training_only_and_by_no_gradient(ema, rng):
    z_e = rng.normal(size=(2, 10, 4)).astype("float32")
    before = ema.codebook.numpy().copy()
    ema(z_e)
    ema(z_e, training=False)
    assert np.array_equal(ema.codebook.numpy(), before)
    ema(z_e, training=True)
    assert not np.array_equal(ema.codebook.numpy(), before)
    assert ema.trainable_variables == []


def test_unused_ema_codes_stay_bounded_over_100_steps(ema, rng):
    start = np.linalg.norm(ema.codebook.numpy(), axis=1).max()
    frame = ema.codebook.numpy()[:1].copy()
    for _ in range(100):
        codes = ema(np.repeat(frame[None], 50, axis=1), training=True).codes
    assert np.unique(codes).size == 1
    assert np.linalg.norm(ema.codebook.numpy(), axis=1).max() <= 1.01 * start


def test_placed_ema_codes_stay_where_they_were_placed(ema, rng):
    rows = np.arange(16) == 5
    ema.place(rows, np.full((1, 4), 9.0, "float32"))
    ema(rng.normal(size=(2, 10, 4)).astype("float32"), training=True)
    assert np.allclose(ema.codebook.numpy()[5], 9.0, rtol=1e-2)


def test_losses_have_the_values_of_the_paper(quantizer, rng):
    z_e = rng.normal(size=(2, 5, 4)).astype("float32")
    quantized = quantizer(z_e)
    error = np.mean((z_e - np.array(quantized.z_q)) ** 2)
    assert float(quantized.losses["vq/codebook"]) == pytest.approx(error, rel=1e-5)
    assert float(quantized.losses["vq/commitment"]) == pytest.approx(0.25 * error, rel=1e-5)


def test_codebook_is_searched_in_float32_under_mixed_precision():
    quantizer = VectorQuantizer(2, 2, dtype="mixed_bfloat16")
    quantizer.build((None, None, 2))
    quantizer.codebook.assign([[1.0, 1.0], [1.0, 1.002]])  # equal in bfloat16
    codes = quantizer(np.array([[[1.0, 1.0005], [1.0, 1.0015]]], "float32")).codes
    assert np.array(codes).tolist() == [[0, 1]]


def test_data_dependent_start_finds_the_clusters(rng):
    centres = rng.normal(size=(8, 4)) * 10
    z_e = (centres[rng.integers(0, 8, 4000)] + rng.normal(size=(4000, 4)) * 0.01).astype("float32")
    quantizer = VectorQuantizer(64, 4, initializer="data")
    quantizer.build((None, None, 4))
    quantizer.start_from(z_e)
    error = np.linalg.norm(np.array(quantizer(z_e[None]).z_q)[0] - z_e, axis=1)
    assert np.quantile(error, 0.95) < 0.1


def test_revival_moves_unused_codes_onto_frames_and_no_others(quantizer, rng):
    z_e = rng.normal(size=(50, 4)).astype("float32")
    before = quantizer.codebook.numpy()
    unused = np.arange(16) % 3 == 0
    quantizer.revive(z_e, unused, rng)
    after = quantizer.codebook.numpy()
    assert np.array_equal(before[~unused], after[~unused])
    assert all(any(np.array_equal(row, frame) for frame in z_e) for row in after[unused])


def test_code_usage_counts_over_batches_until_it_is_reset():
    usage = CodeUsage(4)
    usage.update_state(np.array([[0, 0], [1, 1]]))
    usage.update_state(np.array([[2, 2]]))
    result = usage.result()
    assert float(result["vq/codes_used"]) == 3
    assert float(result["vq/perplexity"]) == pytest.approx(3, rel=1e-5)
    usage.reset_state()
    assert float(usage.result()["vq/codes_used"]) == 0


def test_perplexity_of_known_distributions():
    assert perplexity(np.full(512, 7)) == pytest.approx(512)
    assert perplexity(np.array([9, 0, 0])) == pytest.approx(1)
