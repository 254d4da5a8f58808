"""Players of a run: they contain what the model encodes and generates."""

import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import ROOT
from vqwn_kit import InputError, convert_voice, load_audio, play, time_lapse
from vqwn_kit.sampling.pitch import utterance_pitch
from vqwn_kit.workbench import players
from vqwn_kit.workbench.players import spread


def test_play_has_the_utterance_its_reconstruction_and_conversions(run, store):
    key = store.corpus.utterances[1].key
    player = play(run, key, ["bob"], data=store, mode="greedy")
    assert player.names == ["original (ann)", "reconstruction (ann)", "as bob"]
    assert np.array_equal(player.tracks["original (ann)"], store.waveform(1))
    assert player.codes == run.model.encode(store.waveform(1))[0].tolist()
    assert player.hop_length == run.model.hop_length
    assert player.phones == []  # unknown in this corpus
    assert player.answers == run.folder / "listening.csv"
    with pytest.raises(InputError, match="no utterance 'ann_01'"):
        play(run, "ann_01", data=store)


def test_play_shows_all_codebooks_and_converts_from_the_first_ones(residual_run, store):
    wave = store.waveform(1)
    player = play(residual_run, store.corpus.utterances[1].key, ["bob"], data=store, codebooks=1)
    assert player.codes == residual_run.model.encode(wave)[0].tolist()
    expected = convert_voice(residual_run.model, wave, ["ann", "bob"], codebooks=1)
    np.testing.assert_array_equal(player.tracks["as bob"], expected[1])


def test_play_shows_phones_where_they_are_known(run, store, monkeypatch):
    phones = [(0.0, 0.1, "W"), (0.1, 0.2, "IY")]
    times = {1: phones, 2: [(0.0, 0.2, "S")]}
    monkeypatch.setattr(players, "phone_times", lambda _, numbers: {n: times[n] for n in numbers})
    player = play(run, store.corpus.utterances[1].key, [], data=store, mode="greedy")
    assert player.phones == [list(phone) for phone in phones]
    shown = player.figure().axes[-1].texts
    assert [text.get_text() for text in shown] == ["W", "IY"]


def test_saved_sounds_are_played_without_a_model():
    code = (
        "import sys, vqwn_kit as vq\n"
        "vq.play('results/mini', 'kumo_036', saved=True).figure()._repr_png_()\n"
        "slow = {'tensorflow', 'librosa.core.pitch', 'librosa.core.audio'} & set(sys.modules)\n"
        "sys.exit(f'imported {slow}' if slow else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_saved_sounds_are_those_of_the_score_card():
    player = play(ROOT / "results/mini", "kumo_036", saved=True)
    names = ["original (kumo)", "reconstruction (kumo)", "as tebukuro", "as blend"]
    assert player.names == names
    sound = load_audio(ROOT / "results/mini/audio/kumo_036_as_blend.flac")
    np.testing.assert_array_equal(player.tracks["as blend"], sound)
    assert player.title == "kumo_036: We planned a casual party by the river."
    assert player.answers.parent == ROOT / "results/mini"
    chosen = play(ROOT / "results/mini", "kumo_036", ["blend"], saved=True)
    assert chosen.names == [*names[:2], "as blend"]
    with pytest.raises(InputError, match="no utterance with saved sounds 'kumo_001'"):
        play(ROOT / "results/mini", "kumo_001", saved=True)
    with pytest.raises(InputError, match="saved, to 'joe': there are tebukuro, blend"):
        play(ROOT / "results/mini", "kumo_036", ["joe"], saved=True)
    with pytest.raises(InputError, match="temperature has no effect"):
        play(ROOT / "results/mini", "kumo_036", saved=True, temperature=0.5)


def test_saved_sounds_have_phones_where_the_corpus_is_given(run, store, monkeypatch):
    with pytest.raises(InputError, match=r"no score_card\.json"):
        play(run, store.corpus.utterances[1].key, saved=True)
    shipped, phones = ROOT / "results/mini", [(0.0, 0.1, "W")]
    monkeypatch.setattr(players, "phone_times", lambda _, numbers: dict.fromkeys(numbers, phones))
    monkeypatch.setattr(players, "find_utterance", lambda *_: 1)
    assert play(shipped, "kumo_036", saved=True, data=store).phones == [[0.0, 0.1, "W"]]


def test_a_time_lapse_has_the_reconstruction_at_each_step(run, store):
    key = store.corpus.utterances[0].key
    player = time_lapse(run, key, data=store, seed=2)
    assert player.names == ["original", "step 10", "step 20"]
    wave = store.waveform(0)
    for step in (10, 20):
        speakers = [store.corpus[key].speaker]
        expected = convert_voice(run.load_model(step), wave, speakers, seed=2)[0]
        np.testing.assert_array_equal(player.tracks[f"step {step}"], expected)
    assert player.codes == run.load_model(20).encode(wave)[0].tolist()
    assert time_lapse(run, key, [20], data=store).names == ["original", "step 20"]
    with pytest.raises(InputError, match="no checkpoint of step '15'"):
        time_lapse(run, key, [15, 20], data=store)
    with pytest.raises(InputError, match="no utterance 'x'"):
        time_lapse(run, "x", data=store)


def test_steps_are_spread_over_their_logarithms():
    assert spread([20, 10]) == [10, 20]
    assert spread(range(0, 10_001, 100), 4) == [0, 100, 500, 10_000]
    assert spread([0, 1, 10, 100, 1000, 10_000], 3) == [0, 100, 10_000]
    assert spread([], 3) == []


@pytest.mark.usefixtures("estimator")
def test_play_takes_the_pitch_of_training_or_another(pitch_run, store):
    key, wave = store.corpus.utterances[1].key, store.waveform(1)
    pitch = utterance_pitch(pitch_run.model, store, 1)
    for given in ({}, {"pitch": pitch + 2}):
        player = play(pitch_run, key, ["bob"], data=store, **given)
        expected = convert_voice(pitch_run.model, wave, ["ann", "bob"], **{"pitch": pitch} | given)
        np.testing.assert_array_equal(player.tracks["as bob"], expected[1])
    player = time_lapse(pitch_run, key, [20], data=store)
    np.testing.assert_array_equal(
        player.tracks["step 20"], convert_voice(pitch_run.model, wave, ["ann"], pitch=pitch)[0]
    )
