"""The model as a whole."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import decoder_settings
from vqwn_kit import VQVAE, InputError
from vqwn_kit.presets.build import build_model
from vqwn_kit.presets.preset import load_preset


@pytest.fixture
def vqvae():
    return build_model(load_preset("tiny"), ["ann", "bob"])


def test_targets_never_leak_into_their_own_logits(vqvae, rng):
    targets = rng.integers(0, 256, (1, 128))
    z_q = np.zeros((1, 2, 8), "float32")
    before = np.array(vqvae.log_probs(targets, z_q, np.array([0])))
    targets[0, 40] = (targets[0, 40] + 100) % 256
    after = np.array(vqvae.log_probs(targets, z_q, np.array([0])))
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


def test_codes_are_those_of_the_sound_whatever_its_form(vqvae, rng):
    wave = rng.uniform(-0.5, 0.5, 640).astype("float32")
    codes = vqvae.encode(wave)
    sixteen = wave * 32768
    for given in (sixteen, np.stack([wave, wave], 1), np.stack([sixteen, sixteen], 1)):
        assert np.array_equal(vqvae.encode(given), codes)
    rounded = np.round(sixteen).astype(np.int16)
    assert np.array_equal(vqvae.encode(rounded), vqvae.encode(rounded / 32768))
    assert vqvae.bits(np.stack([wave, wave], 1)).shape == (1, 640)
    with pytest.raises(InputError, match="not finite"):
        vqvae.encode(np.full(640, np.nan))


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
    assert twin.decoder.network.dilations == vqvae.decoder.network.dilations
    assert np.array_equal(np.array(twin((wave, speaker))), before)


@pytest.mark.traced
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


WIDE = {"network": {"residual_channels": 32, "gate_channels": 32, "skip_channels": 64}}
VARIANTS = {
    "separate losses": {},
    "joint loss": {"bottleneck": {"joint": True}},
    "EMA": {"bottleneck": "ema"},
    "all options of a quantizer": {
        "bottleneck": {
            "unit_norm": True,
            "batch_norm": True,
            "commitment_warm_up": 9,
            "kl_mean": 0.01,
            "kl_frame": 0.01,
            "initializer": "orthogonal",
        },
    },
    "no VQ": {"bottleneck": "ae"},
    "softmax": {"bottleneck": {"class_name": "softmax", "kl_frame": 0.01}},
    "softmax, straight through": {
        "bottleneck": {"class_name": "softmax", "straight_through": True}
    },
    "Magenta": {
        "encoder": {
            "class_name": "Magenta",
            "num_cycles": 1,
            "num_cycle_layers": 4,
            "hop_length": 64,
        }
    },
    "Magenta-gated": {"encoder": {"class_name": "Magenta-gated", "dilations": [1, 2, 4]}},
    "2019 and its decoder's side": {
        "encoder": "2019",
        "bottleneck": {"batch_norm": True},
        "decoder": {"conditioner": {"jitter": 0.12, "local_channels": 16}},
    },
    "one-hot and interpolated": {"decoder": decoder_settings(one_hot=True, interpolate=True)},
    "conditions of their own": {
        "decoder": decoder_settings(
            speaker_projection="own", learned_no_speaker=True, speaker_dropout=0.1
        )
    },
    "mixture of logistics": {"decoder": decoder_settings(num_components=5)},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_saved_and_loaded_and_takes_a_step_in_mixed_precision(name, tmp_path, rng):
    changes = {"precision": "mixed_bfloat16", **VARIANTS[name]}
    model = build_model(load_preset("tiny").change(**changes), ["ann", "bob"])
    model.compile(keras.optimizers.Adam(1e-3))
    wave = rng.uniform(-0.5, 0.5, (2, 1280, 1)).astype("float32")
    speaker = np.array([0, -1], "int32")
    before = [weight.numpy().copy() for weight in model.trainable_weights]
    logs = model.train_step((tf.constant(wave), tf.constant(speaker)))
    assert all(np.isfinite(value) for value in logs.values())
    moved = [
        not np.array_equal(weight, start)
        for weight, start in zip(model.trainable_weights, before, strict=True)
    ]
    assert np.mean(moved) > 0.8  # a ReLU or a rare code may keep some still
    assert all(weight.dtype == "float32" for weight in model.weights)
    model.save(tmp_path / "model.keras")
    twin = keras.saving.load_model(tmp_path / "model.keras")
    assert np.array_equal(np.array(twin((wave, speaker))), np.array(model((wave, speaker))))


def test_a_length_that_is_no_multiple_of_the_hop_is_padded_for_2019_too(rng):
    model = build_model(load_preset("tiny").change(encoder="2019"), ["ann"])
    assert model.encode(rng.uniform(-0.5, 0.5, 1000)).shape == (1, 4)
    assert model.encode(rng.uniform(-0.5, 0.5, 1)).shape == (1, 1)


FAST = {"separate losses", "EMA", "softmax"}


@pytest.mark.traced
@pytest.mark.parametrize(
    "name",
    [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS],
)
def test_every_variant_overfits_a_chord_of_three_tones(name):
    """The likelihood of pure tones falls tenfold below its start within 1500 steps."""
    time = np.arange(640) / 16_000
    wave = sum(0.2 * np.sin(2 * np.pi * pitch * time) for pitch in (250, 500, 1000))
    batch = tf.constant(np.repeat(wave[None, :, None], 2, 0), "float32"), tf.constant([0, 0])
    preset = load_preset("tiny").change(decoder=WIDE, segment_length=640).change(**VARIANTS[name])
    model = build_model(preset, ["ann"])
    rate = keras.optimizers.schedules.CosineDecay(4e-3, 1500)
    model.compile(keras.optimizers.Adam(rate, global_clipnorm=1.0))
    step = tf.function(model.train_step)
    first = float(step(batch)["wavenet/nll"])
    for _ in range(1500):
        model.reset_metrics()
        last = float(step(batch)["wavenet/nll"])
        if last < first / 10:
            break
    assert last < first / 10


def test_looked_up_rows_take_one_step_of_adam_however_often_they_are_taken(vqvae):
    """A gradient for each lookup, squared one by one, would move common codes too far."""
    vqvae.compile(keras.optimizers.Adam(1e-3))
    rows = [vqvae.bottleneck.codebook, vqvae.decoder.speakers]
    before = [row.numpy().copy() for row in rows]
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 4096, 1)).astype("float32")
    vqvae.train_step((tf.constant(wave), tf.constant([0, 0])))
    for row, start in zip(rows, before, strict=True):
        assert np.abs(row.numpy() - start).max() == pytest.approx(1e-3, rel=0.01)


def test_bits_are_what_the_levels_of_a_waveform_cost(vqvae, rng):
    waveform = 0.1 * rng.normal(size=(2, 3 * vqvae.hop_length, 1)).astype("float32")
    speaker = np.array([0, 1], "int32")
    z_q = np.array(vqvae.quantized(waveform, training=False).z_q)
    levels = np.array(vqvae.levels_of(waveform))
    log_probs = np.array(vqvae.log_probs(levels, z_q, speaker))
    expected = -np.log2(np.exp(np.take_along_axis(log_probs, levels[..., None], axis=-1)[..., 0]))
    np.testing.assert_allclose(vqvae.bits(waveform, speaker=speaker), expected, rtol=1e-4)
    no_speaker = vqvae.bits(waveform)
    explicit = vqvae.bits(waveform, z_q, np.array([-1, -1], "int32"))
    np.testing.assert_allclose(no_speaker, explicit, rtol=1e-4)
    assert np.abs(no_speaker - vqvae.bits(waveform, z_q + 3.0)).max() > 1e-3
    short = vqvae.bits(waveform[0, :-5, 0])
    np.testing.assert_allclose(short, no_speaker[:1, :-5], rtol=1e-3)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pre_emphasis": 0.85, "num_components": 3},
        {"lpc_order": 12, "local_channels": 6, "local_layers": 1, "pre_emphasis": 0.85},
    ],
    ids=["plain", "mixture", "lpc"],
)
def test_bits_are_on_average_what_a_step_of_testing_measures(changes, rng):
    preset = load_preset("tiny").change(decoder=decoder_settings(**changes))
    model = build_model(preset, ["ann", "bob"])
    waveform = 0.1 * rng.normal(size=(1, 3 * model.hop_length, 1)).astype("float32")
    means = []
    for speaker in (np.array([0], "int32"), np.array([1], "int32")):
        model.reset_metrics()
        nll = model.test_step((waveform, speaker))["wavenet/nll"]
        means.append(float(np.mean(model.bits(waveform, speaker=speaker))))
        assert means[-1] == pytest.approx(float(nll) / np.log(2), rel=1e-4)
    assert abs(means[0] - means[1]) > 1e-4
