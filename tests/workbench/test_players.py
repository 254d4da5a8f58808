"""Players of a run: they contain what the model encodes and generates."""

import numpy as np
import pytest

from vqwn_kit import InputError, convert_voice, play, time_lapse
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


def test_play_shows_phones_where_they_are_known(run, store, monkeypatch):
    phones = [(0.0, 0.1, "W"), (0.1, 0.2, "IY")]
    times = {1: phones, 2: [(0.0, 0.2, "S")]}
    monkeypatch.setattr(players, "phone_times", lambda _, numbers: {n: times[n] for n in numbers})
    player = play(run, store.corpus.utterances[1].key, [], data=store, mode="greedy")
    assert player.phones == [list(phone) for phone in phones]
    shown = player.figure().axes[-1].texts
    assert [text.get_text() for text in shown] == ["W", "IY"]


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
