"""The voice lab of a run."""

import json
import shutil

import numpy as np
import pytest

from tests.conftest import tones
from vqwn_kit import (
    InputError,
    Run,
    build_model,
    convert_voice,
    generate,
    interpolate_voices,
    load_preset,
    load_run,
    voice_lab,
)
from vqwn_kit.data import audio
from vqwn_kit.models.pitch import pitch_to_levels
from vqwn_kit.sampling.pitch import waveform_pitch
from vqwn_kit.training.add_voice import objective_of

PATIENCE = 120.0  # seconds, for a busy machine


def untrained(folder, run, **changes):
    """Return an untrained run of the preset `tiny` with changes."""
    preset = load_preset("tiny").change(**changes)
    created = Run.create(folder / "weights", preset, "speech", run.speakers)
    created.save_weights(build_model(preset, list(run.speakers)), 7)
    return created


def test_a_lab_generates_what_generate_returns(run, store):
    lab = voice_lab(run, store, voices=["bob"], temperature=0.9, blend={"share": 0.5})
    assert [name for name, _ in lab.speakers] == ["ann", "bob"]
    held_out = [store.corpus.utterances[n].key for n in store.numbers("held_out")]
    assert [key for key, _ in lab.utterances] == held_out
    lab.choose(held_out[0])
    model, codes = run.model, np.array(lab.codes)
    assert np.array_equal(codes, model.encode(lab.waveform)[0])
    lab.edit("stretch", 0, 4, 2)
    lab.blend = {"on": True}
    lab.generate().wait(PATIENCE)
    voices = ["bob", interpolate_voices(model, "ann", "bob", 0.5)]
    expected = generate(model, [*codes[:4].repeat(2), *codes[4:]], voices, temperature=0.9)
    np.testing.assert_array_equal(list(lab.takes.values()), expected)


def test_residual_codes_are_decoded_from_the_first_codebooks(residual_run, store):
    lab = voice_lab(residual_run, store, voices=["bob"], codebooks=2)
    lab.choose(lab.utterances[0][0])
    model, codes = residual_run.model, np.array(lab.codes)
    assert np.array_equal(codes, model.encode(lab.waveform)[0])
    lab.edit("stretch", 0, 4, 2)
    lab.generate().wait(PATIENCE)
    edited = np.concatenate([codes[:4].repeat(2, axis=0), codes[4:]])
    expected = generate(model, edited, ["bob"], codebooks=2)
    np.testing.assert_array_equal(list(lab.takes.values()), expected)
    assert lab.matching_tracks == ["as bob, 2 codebooks, edit 1"]


def test_a_recording_at_any_rate_is_resampled_and_trimmed(run, store):
    lab = voice_lab(run, store)
    sound, silence = tones(0.5, 200.0), np.zeros(8000, np.float32)
    recording = np.concatenate([silence, sound, silence])
    lab.take(audio.resample(recording, 16_000, 44_100), 44_100)
    assert lab.source["seconds"] == pytest.approx(0.5, abs=0.1)
    assert "0.9 s of silence" in lab.source["notes"][0] or "1.0 s of" in lab.source["notes"][0]
    middle = lab.waveform[2000:6000]
    best = max(np.corrcoef(middle, sound[n : n + 4000])[0, 1] for n in range(1000, 4000))
    assert best > 0.999
    with pytest.raises(InputError, match="no speech in these 1.0 s"):
        lab.take(np.full(16_000, 1e-4, np.float32))


def test_a_run_without_a_corpus_has_a_lab(run, tmp_path):
    copy = shutil.copytree(run.folder, tmp_path / "run")
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    config["data"]["folder"] = str(tmp_path / "gone")
    (copy / "config.json").write_text(json.dumps(config), encoding="utf-8")
    lab = voice_lab(copy)
    assert lab.utterances == []
    assert lab.about["note"].startswith("No utterances to choose from: ")
    with pytest.raises(InputError, match="did you mean 'voices'"):
        voice_lab(copy, voice=["ann"])


def test_a_run_without_a_codebook_has_a_lab(run, tmp_path):
    autoencoder = untrained(tmp_path, run, bottleneck="ae")
    lab = voice_lab(autoencoder.folder, voices=["ann"])
    lab.take(tones(0.2, 200.0))
    assert (lab.codes, lab.about["codes"]) == ([], 0)
    lab.generate().wait(PATIENCE)
    expected = convert_voice(load_run(autoencoder.folder).model, lab.waveform, ["ann"])
    np.testing.assert_array_equal(list(lab.takes.values()), expected)


def test_a_first_stage_has_a_lab_too(run, tmp_path):
    first = untrained(tmp_path, run, decoder="MelDecoder")
    lab = voice_lab(first.folder, voices=["ann"])
    lab.take(tones(0.2, 200.0))
    lab.generate().wait(PATIENCE)
    expected = load_run(first.folder).model.decode(lab.codes, ["ann"])
    np.testing.assert_array_equal(list(lab.takes.values()), expected)


def test_a_recording_becomes_a_voice_of_the_run(run, store, tmp_path, monkeypatch):
    def few(model):
        return objective_of(model)._replace(steps=2, crop=1024, batch=2)

    monkeypatch.setattr("vqwn_kit.training.add_voice.objective_of", few)
    copy = load_run(shutil.copytree(run.folder, tmp_path / "run"))
    lab = voice_lab(copy, store, voices=["ann"])
    lab.take(np.concatenate([tones(2.0, 100.0 + 20 * n, n) for n in range(6)]))
    lab.add_voice("eve").wait(PATIENCE)
    assert lab.speakers[-1] == ["eve", "added from 12 s of speech"]
    assert lab.voices == ["ann", "eve"]
    lab.choose(lab.utterances[0][0])
    lab.generate().wait(PATIENCE)
    vector = Run(copy.folder).added_voices["eve"].vector
    expected = generate(run.model, np.array(lab.codes), ["ann", vector])
    np.testing.assert_array_equal(list(lab.takes.values()), expected)
    with pytest.raises(InputError, match="has a voice 'eve' already"):
        lab.take(np.tile(tones(2.0, 99.0), 6)).add_voice("eve").wait(PATIENCE)


@pytest.mark.usefixtures("estimator")
def test_a_run_with_pitch_generates_the_pitch_that_was_edited(pitch_run, store):
    lab = voice_lab(pitch_run, store, voices=["bob"])
    lab.choose(lab.utterances[0][0])
    model = pitch_run.model
    codes, pitch = model.encode(lab.waveform)[0], waveform_pitch(model, lab.waveform)
    levels = np.array(pitch_to_levels(pitch, 50))
    assert np.array_equal(lab.codes, np.stack([codes, levels], axis=1))
    lab.edit("transpose", 0, len(codes), 3)
    lab.generate().wait(PATIENCE)
    expected = generate(model, codes, ["bob"], pitch=pitch + 3)
    np.testing.assert_array_equal(list(lab.takes.values()), expected)


@pytest.mark.usefixtures("estimator")
def test_a_run_without_a_codebook_takes_the_pitch_of_the_recording(run, store, tmp_path):
    identity = {"class_name": "Identity", "embedding_dim": 8}
    pitch = {"conditioner": {"pitch_levels": 50}}
    own = untrained(tmp_path, run, bottleneck=identity, decoder=pitch)
    lab = voice_lab(own, store, voices=["bob"])
    lab.choose(lab.utterances[0][0])
    assert lab.about["pitch"] == 0  # there is nothing to edit
    lab.generate().wait(PATIENCE)
    expected = convert_voice(own.model, lab.waveform, ["bob"])
    np.testing.assert_array_equal(list(lab.takes.values()), expected)
