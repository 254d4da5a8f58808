"""A prior of a run that is conditioned on pitch: its levels are one more codebook."""

import shutil

import numpy as np
import pytest

from vqwn_kit import InputError, generate, load_run, sample_speech, train_prior
from vqwn_kit.data.pitch import tracks_of
from vqwn_kit.models.pitch import levels_to_pitch, pitch_to_levels
from vqwn_kit.prior.evaluate import score_prior
from vqwn_kit.runs.codes import codes_of
from vqwn_kit.sampling.pitch import join_pitch, split_pitch, waveform_pitch

pytestmark = pytest.mark.usefixtures("estimator")
SMALL = {"units": 12, "channels": 8, "segment_length": 32, "batch_size": 4}


def test_levels_and_pitch_are_joined_and_split_again(pitch_run, model, rng):
    levels = rng.integers(0, 50, (2, 9))
    pitch = levels_to_pitch(levels, 50)
    assert np.array_equal(pitch_to_levels(pitch, 50), levels)
    codes = rng.integers(0, 32, (2, 9))
    frames = join_pitch(pitch_run.model, codes, pitch)
    assert np.array_equal(frames, np.stack([codes, levels], axis=-1))
    for part, expected in zip(split_pitch(pitch_run.model, frames), (codes, pitch), strict=True):
        np.testing.assert_array_equal(part, expected)
    several = rng.integers(0, 32, (9, 3))
    frames = join_pitch(pitch_run.model, several, pitch[0])
    assert np.array_equal(split_pitch(pitch_run.model, frames)[0], several)
    assert split_pitch(model, codes) == (codes, None)


def test_the_codes_of_a_run_have_the_pitch_of_each_encoding(pitch_run, store):
    codes = codes_of(pitch_run, store, 4, progress=False, pitch=True)
    assert (codes.num_codebooks, codes.num_embeddings, codes.sizes) == (2, 50, (32, 50))
    assert codes.bits_per_frame == pytest.approx(np.log2(32 * 50))
    rows = codes.codes[3]
    frames = -(-store.lengths[3] // 64)
    assert rows.shape == (4, frames, 2)
    assert np.array_equal(rows[0, :, 0], pitch_run.model.encode(store.waveform(3))[0])
    for row, begin in enumerate((0, 16, 32, 48)):
        pitch = tracks_of(store).frames(3, 64, frames, begin)
        assert np.array_equal(rows[row, :, 1], pitch_to_levels(pitch, 50))


def test_a_prior_is_trained_measured_and_sampled_with_pitch(pitch_run, store, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(pitch_run.folder, folder)
    settings = {**SMALL, "steps": 4, "validate_every": 2, "progress": False, "pitch": True}
    prior = train_prior(folder, store, **settings)
    card = score_prior(folder, store, samples=2, progress=False)
    assert card["uniform, all codes"].value == pytest.approx(np.log2(32 * 50))
    number = store.numbers("held_out")[0]
    frames = codes_of(pitch_run, store, 1, progress=False, pitch=True).codes[number][0]
    log_probs = prior.log_probs(frames)
    assert log_probs[:, 0, 32:].max() < -20  # codes that do not exist
    assert log_probs[:, 1, 32:].max() > -6
    bits = prior.surprise(frames, store.corpus.utterances[number].speaker)
    assert card["bit rate, prior, pitch"].value == pytest.approx(250 * bits[:, 1].mean(), rel=1e-4)
    assert card["bit rate, prior"].value == pytest.approx(250 * bits.sum(axis=1).mean(), rel=1e-4)
    drawn = prior.sample(500, [None])[0]
    assert drawn[:, 0].max() < 32 <= drawn[:, 1].max()
    prompt = store.waveform(0)[:1280]
    sampled = sample_speech(folder, ["ann"], seconds=0.1, prompt=prompt, prompt_seconds=0.08)
    assert (sampled.codes.shape, sampled.pitch.shape, sampled.prompt) == ((45,), (45,), 20)
    model = load_run(folder).model
    assert np.array_equal(sampled.codes[:20], model.encode(prompt)[0])
    levels = [pitch_to_levels(p, 50) for p in (waveform_pitch(model, prompt), sampled.pitch[:20])]
    assert np.array_equal(*levels)
    expected = generate(model, sampled.codes, ["ann"], pitch=sampled.pitch)
    np.testing.assert_array_equal(sampled.sounds, expected)


def test_a_prior_may_be_of_the_codes_alone(pitch_run, run, store, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(pitch_run.folder, folder)
    settings = {**SMALL, "steps": 2, "progress": False, "score": False}
    prior = train_prior(folder, store, **settings)
    codes = pitch_run.model.encode(store.waveform(0))[0]
    assert prior.surprise(codes).shape == codes.shape
    prompt = store.waveform(0)[:1280]
    sampled = sample_speech(folder, ["ann"], seconds=0.1, prompt=prompt, prompt_seconds=0.08)
    assert sampled.pitch is None
    assert sampled.codes.ndim == 1
    with pytest.raises(InputError, match="is not conditioned on pitch: leave pitch out"):
        train_prior(run, store, name="pitched", pitch=True, **settings)
