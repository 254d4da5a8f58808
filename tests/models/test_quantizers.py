"""The quantizers, forward and backward, against NumPy in float64."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from vqwn_kit.models.gradients import GRADIENTS, pass_gradient
from vqwn_kit.models.scalar_quantizers import (
    BinarySphericalQuantizer,
    FiniteScalarQuantizer,
    LookupFreeQuantizer,
)
from vqwn_kit.models.stacked_quantizers import ProductQuantizer, ResidualQuantizer
from vqwn_kit.models.vector_quantizers import (
    ClusteringQuantizer,
    SimVQ,
    VectorQuantizer,
    VectorQuantizerEMA,
)

SHAPE = (2, 5, 4)


def drawn(rng, *shape) -> np.ndarray:
    return rng.normal(size=shape or SHAPE).astype("float32")


def built(quantizer, dim: int = 4):
    quantizer.build((None, None, dim))
    return quantizer


def gradient_at(z_e, weights, output, *more):
    """Return the gradients of sum(weights * output(z_e)) at z_e and at `more`."""
    z_e = tf.constant(z_e)
    with tf.GradientTape() as tape:
        tape.watch(z_e)
        value = tf.reduce_sum(weights * output(z_e))
    return [np.array(tf.convert_to_tensor(g)) for g in tape.gradient(value, [z_e, *more])]


def nearest(z_e, codebook) -> np.ndarray:
    return ((z_e[..., None, :] - codebook) ** 2).sum(-1).argmin(-1)


def test_the_rotation_leads_to_the_code_and_turns_the_gradient_back(rng):
    z_e, e, g = (rng.normal(size=4) for _ in range(3))
    start, end = z_e / np.linalg.norm(z_e), e / np.linalg.norm(e)
    r = (start + end) / np.linalg.norm(start + end)
    rotation = np.eye(4) - 2 * np.outer(r, r) + 2 * np.outer(end, start)
    scale = np.linalg.norm(e) / np.linalg.norm(z_e)
    assert np.allclose(rotation @ rotation.T, np.eye(4), atol=1e-12)
    assert np.allclose(scale * rotation @ z_e, e, atol=1e-12)

    z_e, e, g = (x.astype("float32")[None] for x in (z_e, e, g))
    z_q = pass_gradient(z_e, e, "rotation")
    assert np.allclose(z_q, e, atol=1e-5)
    (gradient,) = gradient_at(z_e, g, lambda z: pass_gradient(z, e, "rotation"))
    assert np.allclose(gradient[0], scale * rotation.T @ g[0], atol=1e-5)
    angle = lambda x, y: x @ y / np.linalg.norm(x) / np.linalg.norm(y)  # noqa: E731
    assert angle(gradient[0], z_e[0]) == pytest.approx(angle(g[0], e[0]), abs=1e-5)


def test_the_rotation_is_finite_where_it_has_no_plane():
    z_e = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 0.0], [2.0, 0.0]], "float32")
    e = np.array([[-1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]], "float32")
    (gradient,) = gradient_at(z_e, np.float32(1), lambda z: pass_gradient(z, e, "rotation"))
    assert np.isfinite(gradient).all()
    assert np.allclose(
        np.array(pass_gradient(z_e, e, "rotation"))[[0, 2, 3]], e[[0, 2, 3]], atol=1e-5
    )


def test_diveq_gives_the_gradient_of_the_length_of_the_error_to_both_sides(rng):
    z_e, e, g = (drawn(rng, 3, 4) for _ in range(3))
    codes = tf.Variable(e)
    assert np.allclose(pass_gradient(z_e, e, "diveq"), e, atol=1e-6)
    output = lambda z: pass_gradient(z, tf.convert_to_tensor(codes), "diveq")  # noqa: E731
    at_z_e, at_e = gradient_at(z_e, g, output, codes)
    direction = (e - z_e) / np.linalg.norm(e - z_e, axis=1, keepdims=True)
    along = (direction * g).sum(1, keepdims=True) * direction
    assert np.allclose(at_z_e, g - along, atol=1e-5)  # what is across the error passes
    assert np.allclose(at_e, along, atol=1e-5)
    noisy = pass_gradient(z_e, e, "diveq", noise=drawn(rng, 3, 4))
    lengths = [np.linalg.norm(x - z_e, axis=1) for x in (noisy, e)]
    assert np.allclose(*lengths, rtol=1e-5)


def test_diveq_trains_its_codes_by_the_decoder_alone(rng):
    quantizer = built(VectorQuantizer(16, 4, gradient="diveq"))
    z_e, g = drawn(rng), drawn(rng)
    quantized = quantizer(z_e)
    assert quantized.losses == {}
    assert quantizer.loss_names == ()
    assert np.allclose(quantized.z_q, quantizer.vectors().numpy()[quantized.codes], atol=1e-6)
    output = lambda z: quantizer(z).z_q  # noqa: E731
    _, at_codes = gradient_at(z_e, g, output, quantizer.codebook.value)
    moved = np.abs(at_codes).sum(1) > 0
    assert np.array_equal(np.flatnonzero(moved), np.unique(quantized.codes))
    first, second = (quantizer(z_e, training=True).z_q for _ in range(2))
    assert not np.array_equal(first, second)  # noise on the direction
    assert np.allclose(first, second, atol=0.05)


@pytest.mark.parametrize("name", GRADIENTS)
def test_every_gradient_gives_the_same_codes_and_vectors(name, rng):
    start = {"class_name": "RandomNormal", "config": {"seed": 3, "stddev": 1.0}}
    z_e = drawn(rng)
    plain, other = (
        built(VectorQuantizer(16, 4, initializer=start, gradient=gradient))(z_e)
        for gradient in ("straight_through", name)
    )
    assert np.array_equal(plain.codes, other.codes)
    assert np.allclose(plain.z_q, other.z_q, atol=1e-5)


def test_codes_of_few_dimensions_are_looked_up_after_a_projection(rng):
    quantizer = built(VectorQuantizer(16, 6, 2, unit_norm=True), 6)
    z_e = drawn(rng, 2, 5, 6)
    quantized = quantizer(z_e)
    kernel, bias = quantizer.project_in.get_weights()
    back, offset = quantizer.project_out.get_weights()
    low = z_e @ kernel + bias
    low /= np.linalg.norm(low, axis=-1, keepdims=True)
    codebook = quantizer.codebook.numpy()
    codebook = codebook / np.linalg.norm(codebook, axis=-1, keepdims=True)
    codes = nearest(low, codebook)
    assert np.array_equal(quantized.codes, codes)
    assert np.allclose(quantized.z_q, codebook[codes] @ back + offset, atol=1e-5)
    assert np.allclose(quantizer.embed(codes), quantized.z_q, atol=1e-5)
    assert quantized.z_e.shape == (2, 5, 2)
    assert quantizer.vectors().shape == (16, 6)


def test_a_projection_from_data_keeps_the_principal_components(rng):
    frames = (drawn(rng, 500, 2) * [5.0, 3.0]) @ np.linalg.qr(rng.normal(size=(6, 6)))[0][:2]
    frames = (frames + rng.normal(size=6) + 1e-3 * rng.normal(size=(500, 6))).astype("float32")
    quantizer = built(VectorQuantizer(64, 6, 2, initializer="data"), 6)
    quantizer.init_from_data(frames)
    again = quantizer.expand(quantizer.project(frames)).numpy()
    assert np.abs(again - frames).max() < 0.02  # the plane in which they lie
    error = np.linalg.norm(quantizer(frames[None]).z_q[0] - frames, axis=1)
    assert error.mean() < 1.0  # 64 codes on a plane of deviations 5 and 3


def test_simvq_moves_every_code_by_one_matrix(rng):
    quantizer = built(SimVQ(16, 4))
    z_e = drawn(rng)
    assert quantizer.codebook.numpy().std() == pytest.approx(4**-0.5, rel=0.3)
    quantizer.matrix.assign(drawn(rng, 4, 4))
    codewords = quantizer.codebook.numpy() @ quantizer.matrix.numpy()
    quantized = quantizer(z_e)
    codes = nearest(z_e, codewords)
    assert np.array_equal(quantized.codes, codes)
    assert [weight.name for weight in quantizer.trainable_variables] == ["matrix"]
    losses = quantized.losses
    error = np.mean((z_e - codewords[codes]) ** 2)
    assert float(losses["vq/codebook"]) == pytest.approx(error, rel=1e-4)
    assert float(losses["vq/commitment"]) == pytest.approx(0.25 * error, rel=1e-4)
    output = lambda z: quantizer(z).losses["vq/codebook"]  # noqa: E731
    with tf.GradientTape() as tape:
        loss = output(z_e)
    frozen = quantizer.codebook.numpy()[codes].reshape(-1, 4)
    rest = (codewords[codes] - z_e).reshape(-1, 4)
    expected = 2.0 * frozen.T @ rest / rest.size
    assert np.allclose(tape.gradient(loss, quantizer.matrix.value), expected, atol=1e-5)
    rows = np.arange(16) == 5
    quantizer.set_codes(rows, np.full((1, 4), 2.0, "float32"))
    assert np.allclose(quantizer.codewords().numpy()[5], 2.0, atol=1e-4)


def test_online_clustering_moves_rare_codes_to_frames_and_leaves_frequent_ones(rng):
    quantizer = built(ClusteringQuantizer(8, 4, decay=0.9))
    far = np.full((8, 4), 100.0, "float32") + np.arange(8)[:, None]
    far[0] = 0.0
    quantizer.set_codes(np.ones(8, bool), far)
    frames = 0.1 * drawn(rng, 1, 50, 4)  # all of them take code 0
    shares, moved = np.full(8, 1 / 8), []
    for _ in range(60):
        used = np.bincount(np.ravel(quantizer(frames, training=True).codes), minlength=8)
        shares = 0.9 * shares + 0.1 * used / 50
        moved.append(np.abs(quantizer.codebook.numpy()).max())
    assert np.allclose(quantizer.shares.numpy(), shares, atol=1e-5)
    assert moved[0] > 90  # codes of the mean share stay at first
    assert moved[-1] < 1  # codes without frames have come to the frames
    assert np.unique(quantizer(frames).codes).size > 1


def finite_scalar_reference(z, levels):
    last = np.array(levels) - 1.0
    digits = np.round(last * (np.tanh(z.astype(np.float64)) + 1) / 2)
    return digits.astype(int), 2 * digits / last - 1


@pytest.mark.parametrize("levels", [[8, 5, 3], [2], [7, 7]])
def test_finite_scalars_equal_numpy(levels, rng):
    quantizer = built(FiniteScalarQuantizer(levels, 4))
    z_e, g = drawn(rng), drawn(rng)
    quantized = quantizer(z_e)
    (kernel, bias), (back, offset) = (
        layer.get_weights() for layer in (quantizer.project_in, quantizer.project_out)
    )
    scale = 0.85 / np.sqrt(1 + quantizer.norm.epsilon)  # moving statistics of a new one: 0 and 1
    z = scale * (z_e @ kernel + bias)
    digits, q = finite_scalar_reference(z, levels)
    steps = np.cumprod([1, *levels[:-1]])
    assert np.array_equal(quantized.codes, digits @ steps)
    assert np.allclose(quantized.z_q, q @ back + offset, atol=1e-5)
    assert np.allclose(quantizer.embed(quantized.codes), quantized.z_q, atol=1e-5)
    (gradient,) = gradient_at(z_e, g, lambda z: quantizer(z).z_q)
    slope = 1 - np.tanh(z.astype(np.float64)) ** 2
    assert np.allclose(gradient, scale * (g @ back.T * slope) @ kernel.T, atol=1e-4)
    points = list(itertools.product(*(np.linspace(-1, 1, level) for level in levels)))
    assert sorted(map(tuple, quantizer.grid().round(5))) == sorted(
        tuple(np.float32(point).round(5)) for point in points
    )
    assert quantizer.num_embeddings == np.prod(levels)


GRIDS = {
    "fsq": lambda: FiniteScalarQuantizer([4, 4, 4], 6),
    "lfq": lambda: LookupFreeQuantizer(6, 6),
    "bsq": lambda: BinarySphericalQuantizer(6, 6),
}


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_a_grid_is_used_evenly_whatever_the_scale_and_where_the_frames_move(name, scale, rng):
    frames = scale * drawn(rng, 4000, 6) @ drawn(rng, 6, 6)
    quantizer = built(GRIDS[name](), 6)

    def perplexity(frames) -> float:
        share = np.bincount(np.ravel(quantizer(frames[None]).codes), minlength=64) / len(frames)
        return np.exp(-np.sum(share * np.log(np.maximum(share, 1e-12))))

    assert perplexity(frames) < 40  # a new one: all in the middle, or on the ends
    quantizer.init_from_data(frames)
    assert perplexity(frames) > 50
    moved = 3.0 * frames + scale
    for _ in range(100):  # in training the normalisation follows
        quantizer(moved[None], training=True)
    assert perplexity(moved) > 50


@pytest.mark.parametrize(
    "make",
    [
        lambda: LookupFreeQuantizer(3, 4, 0.5, 0.2, 0.7, 0.8),
        lambda: BinarySphericalQuantizer(
            3, 4, temperature=0.3, commitment_cost=0.5, entropy_weight=0.2, diversity=0.7
        ),
    ],
)
def test_binary_codes_and_their_entropies_equal_numpy(make, rng):
    quantizer = built(make())
    spherical = isinstance(quantizer, BinarySphericalQuantizer)
    z_e, g = drawn(rng), drawn(rng)
    quantized = quantizer(z_e)
    (kernel, bias), (back, offset) = (
        layer.get_weights() for layer in (quantizer.project_in, quantizer.project_out)
    )
    scale = 1 / np.sqrt(1 + quantizer.norm.epsilon)  # moving statistics of a new one: 0 and 1
    z = scale * (z_e @ kernel + bias).astype(np.float64)
    if spherical:
        z /= np.linalg.norm(z, axis=-1, keepdims=True)
    q = np.sign(z) * (3**-0.5 if spherical else 1.0)
    codes = (z > 0) @ [1, 2, 4]
    assert np.array_equal(quantized.codes, codes)
    assert np.allclose(quantized.z_q, q @ back + offset, atol=1e-5)
    assert np.allclose(quantizer.embed(codes), quantized.z_q, atol=1e-5)
    commitment = 0.5 * np.mean((z - q) ** 2)
    assert float(quantized.losses["vq/commitment"]) == pytest.approx(commitment, rel=1e-4)

    grid = quantizer.grid().astype(np.float64)
    if spherical:
        logits = z @ grid.T / 0.3
    else:
        logits = -((z[..., None, :] - grid) ** 2).sum(-1) / 0.8
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    sure, mean = -(p * np.log(p)).sum(-1).mean(), p.mean((0, 1))
    even = -(mean * np.log(mean)).sum()
    entropy = 0.2 * (sure - 0.7 * even)
    assert float(quantized.losses["vq/entropy"]) == pytest.approx(entropy, rel=1e-4)
    if not spherical:
        (gradient,) = gradient_at(z_e, g, lambda z: quantizer(z).z_q)
        assert np.allclose(gradient, scale * g @ back.T @ kernel.T, atol=1e-5)


def test_the_entropy_of_many_bits_is_bounded_by_that_of_each(rng):
    few, many = built(LookupFreeQuantizer(12, 4)), built(LookupFreeQuantizer(13, 4))
    z_e = tf.constant(drawn(rng, 2, 5, 13))
    exact = few.entropies(z_e[..., :12])[1]
    share = (1 / (1 + np.exp(-4 * np.float64(z_e)))).mean((0, 1))
    each = -share * np.log(share) - (1 - share) * np.log(1 - share)
    assert float(many.entropies(z_e)[1]) == pytest.approx(each.sum(), rel=1e-4)
    assert float(exact) <= each[:12].sum()


def test_residual_codes_quantize_what_is_left(rng):
    quantizer = built(ResidualQuantizer(3, 4, quantizer=VectorQuantizer(16)))
    z_e, g = drawn(rng), drawn(rng)
    quantized = quantizer(z_e)
    rest, codes = z_e.astype(np.float64), []
    tables = [part.codebook.numpy() for part in quantizer.quantizers]
    for table in tables:
        codes.append(nearest(rest, table))
        rest = rest - table[codes[-1]]
    codes = np.stack(codes, axis=-1)
    assert np.array_equal(quantized.codes, codes)
    assert quantized.codes.shape == (2, 5, 3)
    for used in (1, 2, 3):
        vectors = sum(tables[i][codes[..., i]] for i in range(used))
        assert np.allclose(quantizer.embed(codes[..., :used]), vectors, atol=1e-5)
    assert np.allclose(quantized.z_q, vectors, atol=1e-5)
    assert np.array_equal(quantizer.vectors(), np.stack(tables))
    (gradient,) = gradient_at(z_e, g, lambda z: quantizer(z).z_q)
    assert np.allclose(gradient, g, atol=1e-6)  # once, not once for each codebook
    names = {"vq/codebook", "vq/commitment"}
    assert set(quantized.losses) == names
    commitments = [
        0.25 * np.mean((part.z_e - part.z_q) ** 2)
        for part in (
            quantizer.quantizers[0](z_e),
            quantizer.quantizers[1](z_e - tables[0][codes[..., 0]]),
            quantizer.quantizers[2](z_e - vectors + tables[2][codes[..., 2]]),
        )
    ]
    assert float(quantized.losses["vq/commitment"]) == pytest.approx(sum(commitments), rel=1e-4)


def test_dropout_leaves_out_the_last_codebooks_of_some_utterances(rng):
    quantizer = built(ResidualQuantizer(3, 4, 0.5, quantizer=VectorQuantizer(16)))
    z_e = np.repeat(drawn(rng, 1, 5, 4), 3000, axis=0)
    full = quantizer(z_e[:1])
    partial = [quantizer.embed(full.codes[..., :used])[0].numpy() for used in (1, 2, 3)]
    heard = quantizer(z_e, training=True).z_q.numpy()
    shares = [(np.abs(heard - part).max((1, 2)) < 1e-5).mean() for part in partial]
    assert sum(shares) == pytest.approx(1.0)
    assert np.allclose(shares, [1 / 6, 1 / 6, 2 / 3], atol=0.03)
    assert np.allclose(quantizer(z_e[:1]).z_q, partial[2], atol=1e-5)


def test_residual_codes_from_data_halve_what_is_left(rng):
    frames = drawn(rng, 3000, 4)
    quantizer = built(ResidualQuantizer(3, 4, quantizer=VectorQuantizerEMA(32, initializer="data")))
    assert quantizer.starts_from_data
    quantizer.init_from_data(frames)
    codes = quantizer(frames[None]).codes
    errors = [np.mean((quantizer.embed(codes[..., :used])[0] - frames) ** 2) for used in (1, 2, 3)]
    assert errors[0] < 0.5
    assert errors[1] < 0.6 * errors[0]
    assert errors[2] < 0.6 * errors[1]


def test_dead_codes_of_each_codebook_move_onto_what_it_quantized(rng):
    quantizer = built(ResidualQuantizer(2, 4, quantizer=VectorQuantizer(8)))
    z_e = drawn(rng)
    seen = quantizer(z_e).inputs.numpy().reshape(-1, 2, 4)
    unused = np.arange(8) < 2
    for number, codebook in enumerate(quantizer.get_codebooks()):
        moved = codebook.reset_dead_codes(seen[:, number], unused, rng)
        rows = codebook.codebook.numpy()[moved]
        assert all((np.abs(seen[:, number] - row).max(1) < 1e-6).any() for row in rows)


def test_product_codes_quantize_groups_of_channels(rng):
    quantizer = built(ProductQuantizer(2, 4, quantizer=VectorQuantizer(16)))
    z_e, g = drawn(rng), drawn(rng)
    quantized = quantizer(z_e)
    tables = [part.codebook.numpy() for part in quantizer.quantizers]
    codes = [nearest(z_e[..., 2 * i : 2 * i + 2], tables[i]) for i in range(2)]
    assert np.array_equal(quantized.codes, np.stack(codes, -1))
    vectors = np.concatenate([tables[i][codes[i]] for i in range(2)], -1)
    assert np.allclose(quantized.z_q, vectors, atol=1e-6)
    assert np.allclose(quantizer.embed(quantized.codes), vectors, atol=1e-6)
    parts = quantizer.vectors().numpy()
    assert np.allclose(parts[0][codes[0]] + parts[1][codes[1]], vectors, atol=1e-6)
    (gradient,) = gradient_at(z_e, g, lambda z: quantizer(z).z_q)
    assert np.allclose(gradient, g, atol=1e-6)
    quantizer.init_from_data(drawn(rng, 200, 4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VectorQuantizer(gradient="rotate"), "gradient is 'rotate'; expected one of"),
        (
            lambda: VectorQuantizer(gradient="diveq", joint=True),
            "joint, with VectorQuantizer and the gradient 'diveq'",
        ),
        (lambda: VectorQuantizerEMA(joint=True), "joint, with VectorQuantizerEMA"),
        (lambda: VectorQuantizerEMA(gradient="diveq"), "EMA codes learn without"),
        (lambda: FiniteScalarQuantizer([8, 1]), "at least 2 for each channel"),
        (lambda: FiniteScalarQuantizer([]), "at least 2 for each channel"),
        (lambda: FiniteScalarQuantizer([64, 64, 64]), "262,144 codes; expected at most 65,536"),
        (lambda: LookupFreeQuantizer(0), "num_bits is 0"),
        (lambda: ResidualQuantizer(0, quantizer=VectorQuantizer()), "num_codebooks is 0"),
        (lambda: ResidualQuantizer(dropout=2, quantizer=VectorQuantizer()), "dropout is 2"),
        (lambda: ProductQuantizer(3, 64, quantizer=VectorQuantizer()), "expected a divisor"),
        (
            lambda: ResidualQuantizer(quantizer=ResidualQuantizer(quantizer=VectorQuantizer())),
            "single codebook",
        ),
    ],
)
def test_settings_without_a_meaning_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
