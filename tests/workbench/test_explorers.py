"""A run -> player and maps: what they say is what the model does."""

import numpy as np
import pytest

from vqwn_kit import InputError, train
from vqwn_kit.evaluation.code_usage import most_frequent
from vqwn_kit.evaluation.phones import KIND_OF, PHONES, SOUNDS
from vqwn_kit.workbench import explorers as explore
from vqwn_kit.workbench.explorers import (
    _excerpt,
    _faded,
    _subject,
    explore_codebook,
    explore_frames,
    explore_speakers,
    play,
)


def test_every_phone_has_a_kind():
    assert set(KIND_OF) == set(SOUNDS) == {*PHONES, "SIL"}


def test_player_plays_the_utterance_its_reconstruction_and_conversions(run, store):
    key = store.corpus.utterances[1].key
    player = play(run, key, ["bob"], data=store, mode="greedy")
    assert player.names == ["original (ann)", "reconstruction (ann)", "as bob"]
    assert np.array_equal(player.tracks["original (ann)"], store.waveform(1))
    assert player.codes == run.model.encode(store.waveform(1))[0].tolist()
    assert player.hop_length == run.model.hop_length
    assert player.phones == []  # nobody knows them here
    assert player.answers == run.folder / "listening.csv"
    with pytest.raises(InputError, match="no utterance 'ann_01'"):
        play(run, "ann_01", data=store)


def test_player_shows_phones_where_they_are_known(run, store, monkeypatch):
    said = [(0.0, 0.1, "W"), (0.1, 0.2, "IY")]
    times = {1: said, 2: [(0.0, 0.2, "S")]}
    monkeypatch.setattr(explore, "phone_times", lambda _, numbers: {n: times[n] for n in numbers})
    player = play(run, store.corpus.utterances[1].key, [], data=store, mode="greedy")
    assert player.phones == [list(one) for one in said]
    shown = player.figure().axes[-1].texts
    assert [text.get_text() for text in shown] == ["W", "IY"]


def test_codebook_map_tells_use_and_plays_frames_that_have_the_code(run, store):
    explorer = explore_codebook(run, store, methods=("pca",), progress=False)
    subject = _subject(run, store, None, False)
    counts = np.bincount(np.concatenate(list(subject.codes.values())), minlength=32)
    frames = [fact["values"] for fact in explorer.facts if fact["name"] == "frames"][0]
    assert [int(text.split(" ")[0].replace(",", "")) for text in frames] == counts.tolist()
    crosses = np.frombuffer(explorer.crosses, np.uint8)
    assert np.array_equal(crosses == 1, counts == 0)
    commonest = int(counts.argmax())
    heard = explorer.hear(commonest)
    number, codes = max(subject.codes.items(), key=lambda item: (item[1] == commonest).sum())
    places = np.flatnonzero(codes == commonest)
    piece = _excerpt(subject, number, places[len(places) // 2])
    assert np.abs(heard[: len(piece)] - piece).max() < 1e-4
    spoken = explorer.hear(commonest, 1)
    assert len(spoken) == round(0.4 * 16_000 / 64) * 64
    if (counts == 0).any():
        with pytest.raises(InputError, match="no frame of"):
            explorer.hear(int(np.flatnonzero(counts == 0)[0]))
    assert "not known" in [f["values"][0] for f in explorer.facts if f["name"] == "phones"][0]


def test_speakers_are_heard(run, store):
    explorer = explore_speakers(run, store, seconds=0.2, progress=False)
    assert explorer.names == ["ann", "bob"]
    first = next(n for n, member in enumerate(store.corpus) if member.speaker == "bob")
    assert np.abs(explorer.hear(1) - _faded(store.waveform(first)[:3200])).max() < 1e-4
    assert len(explorer.hear(1, 1)) == 3200
    assert explorer.links[0]["count"] == 1


def test_frames_lead_to_their_codes(run, store):
    explorer = explore_frames(run, store, frames=20, methods=("pca",), progress=False)
    subject = _subject(run, store, None, False)
    to = np.frombuffer(explorer.links[0]["to"], "<i4")
    numbers = np.frombuffer(explorer.numbers, "<i4")
    told = [fact["values"] for fact in explorer.facts if fact["name"] == "code"][0]
    assert (numbers[:20] == -1).all()
    assert [str(numbers[place]) for place in to[:20]] == told[:20]
    assert len(explorer.hear(0)) > 1000
    assert explorer.names[0].startswith(subject.store.corpus.utterances[subject.held_out[0]].key)


def test_a_model_without_codes_and_unknown_maps_are_refused(store, run, tmp_path):
    plain = train(
        store, "tiny", bottleneck="ae", steps=1, save=tmp_path / "weights", progress=False
    )
    with pytest.raises(InputError, match="has no codebook"):
        explore_codebook(plain, store, progress=False)
    with pytest.raises(InputError, match="no method 'tsne'"):
        explore_codebook(run, store, methods=("tsne",), progress=False)


def test_commonest_of_nothing_is_unknown():
    names, share = most_frequent(np.array([[1, 3], [0, 0]]), ["a", "b"])
    assert names == ["b", ""]
    assert share[0] == 75.0
    assert np.isnan(share[1])


def test_faded_sounds_begin_and_end_at_zero():
    faded = _faded(np.ones(1000, np.float32))
    assert faded[0] == faded[-1] == 0.0
    assert (faded[160:-160] == 1.0).all()
    assert len(_faded(np.ones(1, np.float32))) == 1
