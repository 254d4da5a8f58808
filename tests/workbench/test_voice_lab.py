"""The voice lab of a run."""

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


def test_a_first_stage_has_no_lab(run, tmp_path):
    untrained(tmp_path, run, decoder="MelDecoder")
    with pytest.raises(InputError, match="first stage, without a WaveNet"):
        voice_lab(tmp_path)
