"""The parts of the model, by their mathematics."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from vqwn_kit import (
    VQVAE,
    Identity,
    InputError,
    StridedConvEncoder,
    VectorQuantizer,
    VectorQuantizerEMA,
    WaveNet,
    audio,
)
from vqwn_kit.bottlenecks import CodeUsage
from vqwn_kit.config import build_model, load_preset
from vqwn_kit.evaluation import perplexity
from vqwn_kit.layers import GatedBlock, add_frames, level_to_scalar, mu_law_encode


def small_wavenet(**changes) -> WaveNet:
    keywords = {
        "num_speakers": 3, "condition_dim": 4, "dilations": (1, 2, 4), "kernel_size": 3,
        "residual_channels": 6, "gate_channels": 5, "skip_channels": 7, "first_kernel_size": 4,
        "speaker_dim": 3,
    }  # fmt: skip
    wavenet = WaveNet(**keywords | changes)
    wavenet.build()
    wavenet.built = True
    return wavenet


LAYERS = {
    "encoder": (
        lambda **k: StridedConvEncoder(6, 5, 4, 3, batch_norm_momentum=0.7, **k),
        lambda rng: (rng.uniform(-1, 1, (2, 64, 1)).astype("float32"),),
    ),
    "encoder without normalisation": (
        lambda **k: StridedConvEncoder(6, 5, 3, 2, batch_norm=False, **k),
        lambda rng: (rng.uniform(-1, 1, (2, 64, 1)).astype("float32"),),
    ),
    "vector quantizer": (
        lambda **k: VectorQuantizer(7, 6, 0.5, "orthogonal", **k),
        lambda rng: (rng.normal(size=(2, 8, 6)).astype("float32"),),
    ),
    "joint vector quantizer": (
        lambda **k: VectorQuantizer(7, 6, 0.5, "orthogonal", joint=True, **k),
        lambda rng: (rng.normal(size=(2, 8, 6)).astype("float32"),),
    ),
    "EMA vector quantizer": (
        lambda **k: VectorQuantizerEMA(7, 6, 0.5, "orthogonal", decay=0.8, epsilon=1e-3, **k),
        lambda rng: (rng.normal(size=(2, 8, 6)).astype("float32"),),
    ),
    "identity": (
        lambda **k: Identity(6, **k),
        lambda rng: (rng.normal(size=(2, 8, 6)).astype("float32"),),
    ),
    "gated block": (
        lambda **k: GatedBlock(6, 5, 7, kernel_size=3, dilation=2, **k),
        lambda rng: (
            rng.normal(size=(2, 16, 6)).astype("float32"),
            rng.normal(size=(2, 4, 10)).astype("float32"),
        ),
    ),
    "wavenet": (
        lambda **k: small_wavenet(**k),
        lambda rng: (
            rng.uniform(-1, 1, (2, 16, 1)).astype("float32"),
            rng.normal(size=(2, 4, 4)).astype("float32"),
            np.array([2, -1], "int32"),
        ),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer_is_rebuilt_from_its_config_with_the_same_weights(name, rng):
    make, inputs = LAYERS[name]
    layer, data = make(), inputs(rng)
    first = tf.nest.flatten(layer(*data))
    config = keras.saving.serialize_keras_object(layer)
    twin = keras.saving.deserialize_keras_object(config)
    twin(*data)
    twin.set_weights(layer.get_weights())
    for one, two in zip(first, tf.nest.flatten(twin(*data)), strict=True):
        if one is not None:
            assert np.array_equal(one, two)


@pytest.mark.parametrize("name", LAYERS)
def test_layer_runs_in_mixed_precision_and_its_weights_get_a_gradient(name, rng):
    make, inputs = LAYERS[name]
    layer, data = make(dtype="mixed_bfloat16"), inputs(rng)
    with tf.GradientTape() as tape:
        outputs = [
            o for o in tf.nest.flatten(layer(*data)) if o is not None and o.dtype.is_floating
        ]
        loss = sum(tf.reduce_mean(tf.cast(output, "float32") ** 2) for output in outputs)
    assert np.isfinite(loss)
    variables = [variable.value for variable in layer.trainable_variables]
    gradients = tape.gradient(loss, variables)
    assert all(gradient is not None for gradient in gradients)
    assert all(variable.dtype == "float32" for variable in layer.trainable_variables)


# layers


def test_mu_law_in_the_graph_equals_numpy(rng):
    wave = np.concatenate([rng.uniform(-1, 1, 5000), audio.mu_law_decode(np.arange(256))])
    wave = wave.astype("float32")
    apart = np.array(mu_law_encode(wave)) != audio.mu_law_encode(wave)
    assert apart.mean() < 1e-3
    assert np.array_equal(mu_law_encode(audio.mu_law_decode(np.arange(256))), np.arange(256))


def test_level_scalars_span_minus_one_to_one():
    scalars = np.array(level_to_scalar(np.arange(256)))
    assert np.allclose(scalars, np.arange(256) / 127.5 - 1, atol=1e-6)


def test_adding_frames_equals_repeating_them(rng):
    samples, frames = rng.normal(size=(2, 12, 3)), rng.normal(size=(2, 4, 3))
    assert np.allclose(add_frames(samples, frames), samples + np.repeat(frames, 3, axis=1))


def test_gated_block_equals_numpy(rng):
    block = GatedBlock(2, 3, 4, kernel_size=3, dilation=2)
    x, condition = rng.normal(size=(1, 8, 2)), rng.normal(size=(1, 8, 6))
    block(x.astype("float32"), condition.astype("float32"))
    block.set_weights([rng.normal(size=w.shape) for w in block.get_weights()])
    kernel, bias, out, out_bias = block.get_weights()
    padded = np.pad(x[0], ((4, 0), (0, 0)))
    mixed = (
        sum(padded[2 * tap : 2 * tap + 8] @ kernel[tap] for tap in range(3)) + bias + condition[0]
    )
    gate = np.tanh(mixed[:, :3]) / (1 + np.exp(-mixed[:, 3:]))
    branch = gate @ out + out_bias
    residual, skip = block(x.astype("float32"), condition.astype("float32"))
    assert np.allclose(residual[0], x[0] + branch[:, :2], atol=1e-5)
    assert np.allclose(skip[0], branch[:, 2:], atol=1e-5)


# encoder


@pytest.mark.parametrize(("kernel_size", "num_layers"), [(4, 6), (5, 6), (4, 3)])
def test_encoder_gives_exactly_one_frame_a_hop(kernel_size, num_layers):
    encoder = StridedConvEncoder(4, 3, kernel_size, num_layers)
    for frames in (1, 2, 7):
        wave = np.zeros((1, frames * encoder.hop_length, 1), "float32")
        assert encoder(wave).shape == (1, frames, 4)


def test_encoder_receptive_field_by_perturbation(rng):
    encoder = StridedConvEncoder(4, 3, 4, 4, batch_norm=False)
    wave = rng.uniform(0, 1, (1, 40 * 16, 1)).astype("float32")
    encoder(wave)
    encoder.set_weights([np.abs(weight) + 0.1 for weight in encoder.get_weights()])  # no ReLU off
    before = np.array(encoder(wave))[0, 20]
    touched = []
    for place in range(wave.shape[1]):
        other = wave.copy()
        other[0, place] += 1.0
        touched.append(not np.array_equal(before, np.array(encoder(other))[0, 20]))
    places = np.flatnonzero(touched)
    assert places[-1] - places[0] + 1 == encoder.receptive_field


def test_batch_normalisation_learns_its_statistics(rng):
    encoder = StridedConvEncoder(4, 3, 4, 2, batch_norm_momentum=0.5)
    wave = rng.uniform(-1, 1, (4, 256, 1)).astype("float32")
    encoder(wave)
    start = [norm.moving_variance.numpy() for norm in encoder.norms]
    for _ in range(30):
        trained = encoder(wave, training=True)
    moved = [norm.moving_variance.numpy() for norm in encoder.norms]
    assert all(np.abs(one - two).max() > 1e-4 for one, two in zip(start, moved, strict=True))
    assert np.allclose(trained, encoder(wave, training=False), atol=2e-2)


# bottleneck


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


# WaveNet


def test_wavenet_is_causal_and_its_receptive_field_is_the_formula(rng):
    wavenet = small_wavenet(residual_channels=16, gate_channels=16, skip_channels=16)
    length = 64
    previous = rng.uniform(-1, 1, (1, length, 1)).astype("float32")
    local, speaker = rng.normal(size=(1, 4, 4)).astype("float32"), np.array([1])
    out = np.array(wavenet(previous, local, speaker))[0, 50]
    touched = []
    for place in range(length):
        other = previous.copy()
        other[0, place] += 0.5
        touched.append(not np.array_equal(out, np.array(wavenet(other, local, speaker))[0, 50]))
    places = np.flatnonzero(touched)
    assert places[-1] == 50
    assert places[-1] - places[0] + 1 == wavenet.receptive_field == 4 + 2 * 7


def test_published_receptive_field_and_parameter_count():
    """Facts of the predecessor: 6170 samples; 35,151,105 with its step counter of 1."""
    model = build_model(load_preset("seed"), [f"p{number}" for number in range(109)])
    assert model.decoder.receptive_field == 6170
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == 35_151_105 - 1


def test_each_frame_conditions_its_own_samples_and_no_earlier_ones(rng):
    wavenet = small_wavenet()
    previous = rng.uniform(-1, 1, (1, 32, 1)).astype("float32")
    local, speaker = rng.normal(size=(1, 4, 4)).astype("float32"), np.array([0])
    before = np.array(wavenet(previous, local, speaker))
    local[0, 2] += 1.0
    changed = np.abs(np.array(wavenet(previous, local, speaker)) - before).max(-1)[0] > 0
    assert not changed[:16].any()
    assert changed[16:24].all()


def test_no_speaker_is_neither_the_first_nor_the_last(rng):
    wavenet = small_wavenet()
    inputs = rng.uniform(-1, 1, (4, 8, 1)).astype("float32"), np.zeros((4, 2, 4), "float32")
    inputs = (np.repeat(inputs[0][:1], 4, 0), inputs[1])
    out = np.array(wavenet(*inputs, np.array([-1, 0, 1, 2])))
    assert all(np.abs(out[0] - out[other]).max() > 1e-4 for other in (1, 2, 3))
    assert not np.array(wavenet.speaker_vectors(np.array([-1]))).any()


# the model


@pytest.fixture
def vqvae():
    return build_model(load_preset("tiny"), ["ann", "bob"])


def test_targets_never_leak_into_their_own_logits(vqvae, rng):
    targets = rng.integers(0, 256, (1, 128))
    z_q = np.zeros((1, 2, 8), "float32")
    before = np.array(vqvae.decode(z_q, np.array([0]), targets))
    targets[0, 40] = (targets[0, 40] + 100) % 256
    after = np.array(vqvae.decode(z_q, np.array([0]), targets))
    changed = np.abs(before - after).max(-1)[0] > 0
    assert not changed[:41].any()
    assert changed[41]


def test_waveforms_of_any_shape_and_length_are_encoded(vqvae, rng):
    wave = rng.uniform(-0.5, 0.5, 130).astype("float32")
    codes = vqvae.encode(wave)
    assert codes.shape == (1, 3)
    assert codes.dtype == np.int32
    assert np.array_equal(vqvae.encode(wave[None]), codes)
    assert np.array_equal(vqvae.encode(wave[None, :, None]), codes)
    with pytest.raises(InputError, match="expected"):
        vqvae.encode(np.zeros((2, 2, 2, 2)))
    with pytest.raises(InputError, match="T > 0"):
        vqvae.encode(np.zeros(0))


def test_unknown_speakers_name_the_nearest(vqvae):
    assert vqvae.speaker_ids(["bob", None, 0]).tolist() == [1, -1, 0]
    with pytest.raises(InputError, match="did you mean 'bob'"):
        vqvae.speaker_ids(["bobo"])
    with pytest.raises(InputError, match="no speaker 2"):
        vqvae.speaker_ids([2])


def test_model_is_saved_and_loaded_as_keras(vqvae, tmp_path, rng):
    wave = rng.uniform(-0.5, 0.5, (2, 256, 1)).astype("float32")
    speaker = np.array([0, 1])
    before = np.array(vqvae((wave, speaker)))
    vqvae.save(tmp_path / "model.keras")
    twin = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(twin, VQVAE)
    assert twin.speaker_names == ["ann", "bob"]
    assert twin.decoder.dilations == vqvae.decoder.dilations
    assert np.array_equal(np.array(twin((wave, speaker))), before)


def test_keras_fit_and_evaluate_report_the_codes(vqvae, store):
    from vqwn_kit import Segments

    waveform, speaker = Segments(store, 1024, 4).batch(0)
    vqvae.compile("adam", jit_compile=False)
    history = vqvae.fit(waveform, speaker, epochs=2, verbose=0).history
    result = vqvae.evaluate(waveform, speaker, verbose=0, return_dict=True)
    names = {
        "loss",
        "wavenet/nll",
        "vq/codebook",
        "vq/commitment",
        "vq/codes_used",
        "vq/perplexity",
    }
    assert names | {"vq/z_e_rms", "vq/code_rms"} <= set(history) & set(result)
    assert 1 <= result["vq/codes_used"] <= 32


def test_model_overfits_a_chord_of_three_tones():
    """The likelihood of a batch of pure tones falls tenfold within a bounded number of steps."""
    time = np.arange(1024) / 16_000
    wave = sum(0.2 * np.sin(2 * np.pi * pitch * time) for pitch in (250, 500, 1000))
    batch = tf.constant(np.repeat(wave[None, :, None], 2, 0), "float32"), tf.constant([0, 0])
    preset = load_preset("tiny").to_dict()
    preset["decoder"]["config"] |= {
        "residual_channels": 32,
        "gate_channels": 32,
        "skip_channels": 64,
    }
    model = build_model(load_preset(preset), ["ann"])
    model.compile(keras.optimizers.Adam(4e-3))
    step = tf.function(model.train_step)
    first = float(step(batch)["wavenet/nll"])
    for _ in range(600):
        model.reset_metrics()
        last = float(step(batch)["wavenet/nll"])
        if last < first / 10:
            break
    assert last < first / 10
