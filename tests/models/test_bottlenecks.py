"""The bottlenecks, by their mathematics."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from vqwn_kit.evaluation.metrics.codes import perplexity
from vqwn_kit.models.codebook import (
    CodeUsage,
    RecentFrames,
    StackedOrthogonal,
    codebook_initializer,
    divergence_from_uniform,
    uniform_losses,
)
from vqwn_kit.models.softmax import SoftmaxBottleneck
from vqwn_kit.models.vector_quantizers import VectorQuantizer, VectorQuantizerEMA


@pytest.fixture
def quantizer():
    quantizer = VectorQuantizer(
        16, 4, None, 0.25, {"class_name": "RandomNormal", "config": {"seed": 3}}
    )
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
    quantizer = VectorQuantizerEMA(16, 4, None, 0.25, start, decay=0.9)
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
        smooth = (counts + 1e-5) / (counts.sum() + 16e-5) * counts.sum()
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


@pytest.mark.traced
def test_ema_codes_that_nothing_takes_stay_over_3000_steps(ema):
    far = np.full((1, 4), 5.0, "float32")
    ema.set_codes(np.arange(16) == 7, far)
    step = tf.function(lambda frames: ema(frames, training=True).codes)
    frame = tf.constant(np.repeat(ema.codebook.numpy()[None, :1], 50, axis=1))
    for _ in range(3000):
        codes = step(frame)
    assert 7 not in np.array(codes)
    assert np.allclose(ema.codebook.numpy()[7], far, rtol=0.02)


def test_an_ema_codebook_gets_no_gradient_even_after_it_was_frozen(ema):
    ema.trainable = False
    ema.trainable = True
    assert ema.trainable_variables == []


def test_placed_ema_codes_stay_where_they_were_placed(ema, rng):
    rows = np.arange(16) == 5
    ema.set_codes(rows, np.full((1, 4), 9.0, "float32"))
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
    quantizer.init_from_data(z_e)
    error = np.linalg.norm(np.array(quantizer(z_e[None]).z_q)[0] - z_e, axis=1)
    assert np.quantile(error, 0.95) < 0.1


@pytest.mark.parametrize("frames", [50, 3])
def test_revival_moves_unused_codes_onto_frames_of_their_own_and_no_others(quantizer, rng, frames):
    z_e = rng.normal(size=(frames, 4)).astype("float32")
    before = quantizer.codebook.numpy()
    unused = np.arange(16) % 3 == 0  # six of them
    moved = quantizer.reset_dead_codes(z_e, unused, rng)
    after = quantizer.codebook.numpy()
    assert moved.sum() == min(6, frames)
    assert not (moved & ~unused).any()
    assert np.array_equal(before[~moved], after[~moved])
    places = [np.flatnonzero((z_e == row).all(axis=1)).tolist() for row in after[moved]]
    assert sorted(sum(places, [])) == sorted({place for (place,) in places})


def test_recent_frames_are_the_last_ones_and_their_codes_are_counted():
    recent = RecentFrames(1, 4, 2, size=5)
    assert recent.seen().shape == (0, 1, 2)
    for batch in range(3):
        frames = np.arange(4).reshape(1, 2, 1, 2) + 4 * batch
        recent.update(frames.astype("float32"), np.array([[batch, 3]]))
    assert recent.seen().ravel().tolist() == list(range(2, 12))
    assert recent.counts.numpy().tolist() == [[1, 1, 1, 3]]
    recent.reset_counts()
    assert not recent.counts.numpy().any()
    assert len(recent.seen()) == 5
    recent.update(np.zeros((1, 9, 1, 2), "float32"), np.zeros((1, 9), int))  # more than are kept
    assert not recent.seen().any()


def test_recent_frames_keep_those_of_each_codebook_apart():
    recent = RecentFrames(2, 4, 3, size=5)
    quantized = np.arange(2 * 2 * 3).reshape(1, 2, 2, 3).astype("float32")
    recent.update(quantized, np.array([[[0, 3], [1, 3]]]))
    assert np.array_equal(recent.seen(), quantized[0])
    assert recent.counts.numpy().tolist() == [[1, 1, 0, 0], [0, 0, 0, 2]]


def test_usage_of_several_codebooks_is_counted_in_each():
    usage = CodeUsage(4, 2)
    usage.update_state(np.array([[[0, 3], [1, 3], [2, 3], [3, 3]]]))
    result = usage.result()
    assert float(result["vq/codes_used"]) == 5
    assert float(result["vq/codes_dead"]) == 3
    assert float(result["vq/perplexity"]) == pytest.approx(2.0)  # geometric mean of 4 and 1


def test_code_usage_counts_over_batches_until_it_is_reset():
    usage = CodeUsage(4)
    usage.update_state(np.array([[0, 0], [1, 1]]))
    usage.update_state(np.array([[2, 2]]))
    result = usage.result()
    assert float(result["vq/codes_used"]) == 3
    assert float(result["vq/codes_dead"]) == 1
    assert float(result["vq/perplexity"]) == pytest.approx(3, rel=1e-5)
    usage.reset_state()
    assert float(usage.result()["vq/codes_used"]) == 0


def test_perplexity_of_known_distributions():
    assert perplexity(np.full(512, 7)) == pytest.approx(512)
    assert perplexity(np.array([9, 0, 0])) == pytest.approx(1)


# starts


@pytest.mark.parametrize(("size", "dim"), [(32, 8), (20, 8), (5, 8)])
def test_orthogonal_start_is_orthonormal_d_rows_at_a_time(size, dim):
    codebook = np.array(StackedOrthogonal(seed=1)((size, dim)))
    assert codebook.shape == (size, dim)
    groups = [codebook[start : start + dim] for start in range(0, size, dim)]
    for group in groups:
        assert np.allclose(group @ group.T, np.eye(len(group)), atol=1e-5)
    assert all(not np.allclose(groups[0][0], group[0]) for group in groups[1:])


def test_uniform_unit_scaling_is_the_predecessors():
    codebook = np.array(codebook_initializer("uniform_unit_scaling")((512, 64)))
    most = 1.7 * np.sqrt(3 / 512)
    assert 0.98 * most < np.abs(codebook).max() <= most
    assert codebook.std() == pytest.approx(most / np.sqrt(3), rel=0.02)


# the uniform prior


def test_divergence_from_the_uniform_prior_has_its_known_values():
    uniform, sure = np.full((2, 3, 8), 1 / 8), np.eye(8)[None]
    assert np.allclose(divergence_from_uniform(uniform.astype("float32")), 0, atol=1e-6)
    assert np.allclose(divergence_from_uniform(sure.astype("float32")), np.log(8), atol=1e-5)


def test_divergence_of_the_mean_lets_each_frame_be_sure():
    sure = np.eye(8, dtype="float32")[None]  # eight frames, each sure of another code
    losses = uniform_losses(sure, 1.0, 1.0)
    assert float(losses["vq/kl_mean"]) == pytest.approx(0, abs=1e-5)
    assert float(losses["vq/kl_frame"]) == pytest.approx(np.log(8), rel=1e-5)
    assert uniform_losses(sure, 0.0, 0.0) == {}


def test_the_divergence_can_be_added_to_the_losses_of_a_quantizer(rng):
    quantizer = VectorQuantizer(16, 4, kl_frame=0.5, kl_mean=2.0)
    z_e = rng.normal(size=(2, 10, 4)).astype("float32")
    losses = quantizer(z_e).losses
    assert tuple(losses) == quantizer.loss_names
    distance = ((z_e[:, :, None] - quantizer.codebook.numpy()) ** 2).sum(-1)
    q = np.exp(-distance) / np.exp(-distance).sum(-1, keepdims=True)
    frame = np.log(16) + (q * np.log(q)).sum(-1).mean()
    mean = np.log(16) + (q.mean((0, 1)) * np.log(q.mean((0, 1)))).sum()
    assert float(losses["vq/kl_frame"]) == pytest.approx(0.5 * frame, rel=1e-3)
    assert float(losses["vq/kl_mean"]) == pytest.approx(2.0 * mean, rel=1e-3)
    with tf.GradientTape() as tape:
        z_e = tf.constant(z_e)
        tape.watch(z_e)
        loss = quantizer(z_e).losses["vq/kl_frame"]
    gradients = tape.gradient(loss, [z_e, quantizer.codebook.value])
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)


# softmax


@pytest.fixture
def softmax():
    bottleneck = SoftmaxBottleneck(16, 4, kl_frame=0.01, kl_mean=0.1)
    bottleneck.build((None, None, 4))
    return bottleneck


def test_softmax_hears_the_mean_of_the_rows_and_tells_the_likeliest(softmax, rng):
    z_e = rng.normal(size=(2, 5, 4)).astype("float32")
    kernel, bias = softmax.logits.get_weights()
    logits = z_e @ kernel + bias
    q = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    quantized = softmax(z_e)
    assert np.allclose(quantized.z_q, q @ softmax.codebook.numpy(), atol=1e-5)
    assert np.array_equal(quantized.codes, logits.argmax(-1))


def test_even_logits_have_no_divergence_from_the_uniform_prior(softmax, rng):
    softmax.logits.set_weights([np.zeros((4, 16)), np.zeros(16)])
    losses = softmax(rng.normal(size=(2, 5, 4)).astype("float32")).losses
    assert set(losses) == {"vq/kl_frame", "vq/kl_mean"}
    assert all(float(loss) == pytest.approx(0, abs=1e-6) for loss in losses.values())


def test_straight_through_softmax_hears_one_row_and_learns_as_the_mean(rng):
    weights = rng.normal(size=(2, 5, 4)).astype("float32")
    z_e = tf.constant(rng.normal(size=(2, 5, 4)), "float32")
    gradients = []
    soft = SoftmaxBottleneck(16, 4)
    hard = SoftmaxBottleneck(16, 4, straight_through=True)
    for bottleneck in (soft, hard):
        bottleneck.build((None, None, 4))
        bottleneck.set_weights(soft.get_weights())
        with tf.GradientTape() as tape:
            tape.watch(z_e)
            value = tf.reduce_sum(weights * bottleneck(z_e).z_q)
        gradients.append(tape.gradient(value, z_e))
    quantized = hard(z_e)
    assert np.allclose(quantized.z_q, hard.embed(quantized.codes), atol=1e-6)
    assert np.allclose(*gradients, atol=1e-6)


def test_codes_of_a_trained_softmax_still_differ_by_input(softmax, rng):
    """A few hundred steps on both divergences and a reconstruction: the codes depend on inputs."""
    centres = rng.normal(size=(8, 4)).astype("float32") * 2
    kinds = rng.integers(0, 8, (4, 100))
    z_e = tf.constant(centres[kinds])
    optimizer = keras.optimizers.Adam(0.02)
    for _ in range(200):
        with tf.GradientTape() as tape:
            quantized = softmax(z_e, training=True)
            loss = tf.reduce_mean((quantized.z_q - z_e) ** 2) + sum(quantized.losses.values())
        weights = softmax.trainable_variables
        optimizer.apply(tape.gradient(loss, weights), weights)
    codes = np.array(softmax(z_e).codes)
    by_kind = [np.unique(codes[kinds == kind]) for kind in range(8)]
    assert all(len(codes) == 1 for codes in by_kind)
    assert len(np.unique(by_kind)) >= 6


def test_data_start_of_a_softmax_is_a_soft_quantizer(rng):
    z_e = (3 * rng.normal(size=(2000, 4))).astype("float32")
    softmax, hard = SoftmaxBottleneck(32, 4, "data"), VectorQuantizer(32, 4, initializer="data")
    for bottleneck in (softmax, hard):
        bottleneck.build((None, None, 4))
        bottleneck.init_from_data(z_e)
    assert np.array_equal(softmax(z_e[None]).codes, hard(z_e[None]).codes)
    unused = np.arange(32) == 5
    softmax.reset_dead_codes(z_e[:1], unused, rng)
    assert np.array(softmax(z_e[None, :1]).codes).tolist() == [[5]]


# against collapse


def test_unit_norm_compares_angles_and_speaks_unit_vectors(rng):
    quantizer = VectorQuantizer(16, 4, unit_norm=True)
    z_e = rng.normal(size=(2, 10, 4)).astype("float32") * 7
    quantized = quantizer(z_e)
    codebook = quantizer.codebook.numpy()
    cosine = (
        z_e
        @ codebook.T
        / np.linalg.norm(codebook, axis=1)
        / np.linalg.norm(z_e, axis=-1, keepdims=True)
    )
    assert np.array_equal(quantized.codes, cosine.argmax(-1))
    assert np.allclose(np.linalg.norm(quantized.z_q, axis=-1), 1, atol=1e-5)
    assert np.allclose(quantizer.embed(quantized.codes), quantized.z_q, atol=1e-5)
    assert np.allclose(np.linalg.norm(quantized.z_e, axis=-1), 1, atol=1e-5)


def test_batch_normalisation_before_the_codebook_learns_and_is_seen_by_it(rng):
    quantizer = VectorQuantizer(16, 4, batch_norm=True)
    z_e = (5 + 3 * rng.normal(size=(8, 100, 4))).astype("float32")
    seen = np.array(quantizer(z_e, training=True).z_e)
    assert np.allclose(seen.mean((0, 1)), 0, atol=1e-3)
    assert np.allclose(seen.std((0, 1)), 1, atol=1e-2)
    for _ in range(500):
        quantizer.normalise(z_e, training=True)
    assert np.allclose(quantizer(z_e, training=False).z_e, seen, atol=0.05)


def test_commitment_warms_up_over_its_steps_and_only_in_training(rng):
    quantizer = VectorQuantizer(16, 4, None, 0.5, commitment_warm_up=4)
    z_e = rng.normal(size=(2, 10, 4)).astype("float32")
    full = 0.5 * np.mean((z_e - np.array(quantizer(z_e).z_q)) ** 2)
    assert float(quantizer(z_e).losses["vq/commitment"]) == 0
    shares = [float(quantizer(z_e, training=True).losses["vq/commitment"]) / full for _ in range(6)]
    assert shares == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1], rel=1e-4)


def test_ema_on_the_unit_sphere_follows_unit_frames(rng):
    ema = VectorQuantizerEMA(4, 3, decay=0.5, unit_norm=True)
    ema.build((None, None, 3))
    frame = np.array([[[0.0, 30.0, 0.0]]], "float32")
    code = int(ema(frame).codes[0, 0])
    for _ in range(30):
        ema(np.repeat(frame, 20, axis=1), training=True)
    assert np.allclose(ema.vectors()[code], [0, 1, 0], atol=1e-3)
    assert tuple(ema(frame).losses) == ema.loss_names == ("vq/commitment",)
