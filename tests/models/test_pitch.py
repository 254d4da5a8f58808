"""Pitch as an input of the model: levels, vectors, and what the decoder is conditioned on."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from vqwn_kit import InputError, load_preset
from vqwn_kit.models import Conditioner
from vqwn_kit.models.conditioning import PITCH_DIM
from vqwn_kit.models.pitch import LEFT_OUT, PitchEmbedding, pitch_to_levels
from vqwn_kit.presets.build import build_model

PITCH = {"conditioner": {"pitch_levels": 50}}


@pytest.fixture
def vqvae():
    return build_model(load_preset("tiny").change(decoder=PITCH), ["ann", "bob"])


def test_levels_are_half_semitones_around_the_mean_and_0_is_unvoiced(rng):
    pitch = rng.normal(0, 8, (3, 40)).astype("float32")
    pitch[:, ::7] = np.nan
    for size in (2, 7, 50):
        expected = np.zeros(pitch.shape, int)
        for place in np.ndindex(pitch.shape):
            if np.isfinite(pitch[place]):  # the nearest of the steps that there are
                steps = np.arange(1, size) - size // 2
                expected[place] = 1 + np.abs(pitch[place] - steps / 2).argmin()
        levels = np.array(pitch_to_levels(pitch, size))
        assert np.array_equal(levels, expected)
        assert (levels[:, ::7] == 0).all()
    known = np.array([-99, -12, -0.3, -0.2, 0, 0.2, 0.3, 12, 99, np.nan], "float32")
    assert np.array(pitch_to_levels(known, 50)).tolist() == [1, 1, 24, 25, 25, 25, 26, 49, 49, 0]


def test_vectors_start_similar_where_levels_are_near():
    layer = PitchEmbedding(50, 16)
    layer.build()
    vectors = np.array(layer(np.arange(50)[None]))[0]
    assert not vectors[0].any()
    assert not layer(np.array([[50]])).numpy().any()
    assert (np.abs(vectors[1:]).max(axis=1) > 0.9).all()
    distances = np.linalg.norm(vectors[1:, None] - vectors[None, 1:], axis=-1)
    assert (np.diagonal(distances, 1) < 0.9 * np.diagonal(distances, 3)[:1]).all()
    with pytest.raises(ValueError, match="pitch_levels is 1; expected 0"):
        Conditioner(2, pitch_levels=1)


@pytest.mark.parametrize(
    ("settings", "groups"),
    [
        ({}, [4 + 3 + PITCH_DIM]),
        ({"speaker_projection": "own", "local_channels": 6}, [6, 3, PITCH_DIM]),
        ({"local_layers": 2, "local_channels": 6}, [6]),
    ],
)
def test_pitch_stands_beside_codes_and_speaker_or_is_joined_with_them(settings, groups, rng):
    layer = Conditioner(2, condition_dim=4, speaker_dim=3, pitch_levels=9, **settings)
    layer.build()
    codes, speaker = rng.normal(size=(2, 5, 4)).astype("float32"), np.array([0, -1], "int32")
    levels = rng.integers(0, 9, (2, 5))
    assert layer.groups == groups
    conditioning = np.array(layer(codes, speaker, levels))
    assert conditioning.shape == (2, 5, sum(groups))
    if "local_layers" not in settings:
        assert np.array_equal(conditioning[..., -PITCH_DIM:], layer.pitches.table.numpy()[levels])
    other = np.array(layer(codes, speaker, (levels + 1) % 9))
    assert np.abs(other - conditioning).max() > 1e-3
    not_given = np.full((2, 5), 9, "int32")
    assert np.array_equal(layer(codes, speaker), layer(codes, speaker, not_given))
    with pytest.raises(ValueError, match="levels of a pitch are given"):
        Conditioner(2)(np.zeros((2, 5, 64)), speaker, levels)


def test_transposing_changes_what_the_decoder_is_conditioned_on_and_nothing_else(vqvae, rng):
    waveform = rng.uniform(-0.5, 0.5, (2, 640, 1)).astype("float32")
    pitch = np.tile(np.linspace(-3, 3, 10, dtype="float32"), (2, 1))
    pitch[:, 4] = np.nan
    speaker = np.array([0, 1], "int32")
    z_q = np.array(vqvae.quantized(waveform).z_q)
    plain, higher = (np.array(vqvae.condition(z_q, speaker, pitch + t)) for t in (0.0, 3.0))
    assert np.array_equal(plain[..., :-PITCH_DIM], higher[..., :-PITCH_DIM])
    changed = np.abs(plain - higher)[..., -PITCH_DIM:].max(axis=-1) > 0.1
    assert np.array_equal(changed, ~np.isnan(pitch))
    outputs = [np.array(vqvae((waveform, speaker, pitch + t))) for t in (0.0, 3.0)]
    assert not np.array_equal(*outputs)
    bits = [vqvae.bits(waveform, speaker=speaker, pitch=pitch + t) for t in (0.0, 3.0)]
    assert not np.array_equal(*bits)
    assert np.array_equal(*(vqvae.levels_of(waveform, pitch=pitch + t) for t in (0.0, 3.0)))


def test_in_training_the_pitch_of_some_utterances_is_left_out():
    layer = PitchEmbedding(9, 4)
    layer.build()
    layer.table.assign(np.arange(10.0)[:, None] + np.zeros(4))
    vectors = np.array(layer(np.full((4000, 3), 2, "int32"), training=True))
    left_out = vectors[:, 0, 0] == 9
    assert np.array_equal(
        vectors, np.where(left_out[:, None, None], 9.0, 2.0) + np.zeros((1, 3, 4))
    )
    assert left_out.mean() == pytest.approx(LEFT_OUT, abs=0.03)


def test_pitch_that_is_misplaced_or_of_another_length_is_named(vqvae, rng):
    waveform = rng.uniform(-0.5, 0.5, (1, 640, 1)).astype("float32")
    with pytest.raises(InputError, match=r"shape \(1, 9\) for codes of 10 frames"):
        vqvae.bits(waveform, pitch=np.zeros((1, 9), "float32"))
    plain = build_model(load_preset("tiny"), ["ann"])
    with pytest.raises(InputError, match="not conditioned on it: leave it out, or train"):
        plain.bits(waveform, pitch=np.zeros((1, 10), "float32"))


@pytest.mark.parametrize("decoder", ["WaveNetDecoder", "MelDecoder"])
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_a_model_with_pitch_is_trained_saved_and_loaded(decoder, precision, tmp_path, rng):
    change = {"class_name": decoder, **PITCH}
    preset = load_preset("tiny").change(decoder=change, precision=precision)
    model = build_model(preset, ["ann", "bob"])
    model.compile(keras.optimizers.Adam(1e-2))
    batch = (
        rng.uniform(-0.5, 0.5, (2, 1280, 1)).astype("float32"),
        np.array([0, -1], "int32"),
        np.full((2, 20), 3.2, "float32"),
    )
    pitches = model.decoder.conditioner.pitches
    pitches.generator.state.assign([32, 0])  # leaves out the pitch of the second
    table, before = pitches.table, pitches.table.numpy()
    model.train_step(tuple(map(tf.constant, batch)))
    moved = np.abs(table.numpy() - before).max(axis=1) > 1e-3
    assert np.flatnonzero(moved).tolist() == [25 + 6, 50]  # those that were taken
    measured = model.test_step(batch)[model.decoder.loss_name]
    one = tuple(part[:1] for part in batch)
    assert np.isfinite(float(measured))
    assert np.isfinite(float(model.measure(*one)[0][model.decoder.loss_name]))
    model.save(tmp_path / "model.keras")
    twin = keras.saving.load_model(tmp_path / "model.keras")
    assert twin.pitch_levels == 50
    assert np.array_equal(np.array(twin(batch)), np.array(model(batch)))
