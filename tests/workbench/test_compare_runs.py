"""Several runs side by side: what is under the playhead, in the table and in the blind test."""

import shutil

import numpy as np
import pytest

from vqwn_kit import InputError, ScoreCard, compare_runs, convert_voice
from vqwn_kit.evaluation.metrics import Estimate
from vqwn_kit.evaluation.metrics.listening_test import read_answers

QUICK = {"progress": False, "maps": False, "mode": "greedy"}


@pytest.fixture(scope="module")
def pair(run, residual_run):
    """Two runs by name, of one codebook and of three."""
    return {"one": run, "three": residual_run}


@pytest.fixture
def compared(pair, store):
    """The two runs on one utterance."""
    return compare_runs(pair, [store.corpus.utterances[1].key], data=store, **QUICK)


def test_a_player_has_the_recording_and_each_run_with_its_codes(compared, pair, store):
    (player,) = compared.players.values()
    wave = store.waveform(1)
    assert player.names == ["recording", "one", "three"]
    np.testing.assert_array_equal(player.tracks["recording"], wave)
    for number, (name, run) in enumerate(pair.items(), 1):
        sound = convert_voice(run.model, wave, ["ann"], mode="greedy")[0]
        np.testing.assert_array_equal(player.tracks[name], sound)
        assert player.own[number]["codes"] == run.model.encode(wave)[0].tolist()
    assert player.own[0]["codes"] == []
    assert player.title == f"{store.corpus.utterances[1].key}, reconstructed (ann)"


def test_a_code_is_opened_in_the_run_that_is_audible(compared):
    (player,) = compared.players.values()
    with pytest.raises(InputError, match="recording has no codes"):
        player.open_page(0)
    for name, size in (("one", 1), ("three", 3)):
        player.track = name
        code = np.ravel(player.own[player.active]["codes"])[0]
        assert len(np.shape(player.open_page(int(code)).player.own[0]["codes"])) == min(size, 2)


def test_utterances_are_held_out_and_of_speakers_that_all_runs_have(pair, store):
    held_out = [store.corpus.utterances[n].key for n in store.numbers("held_out")]
    assert list(compare_runs(pair, 1, data=store, **QUICK).players) == held_out[:1]
    as_bob = compare_runs(pair, 1, data=store, speaker="bob", **QUICK)
    (player,) = as_bob.players.values()
    assert ", as bob" in player.title
    with pytest.raises(InputError, match="no speaker of one 'bo': did you mean 'bob'"):
        compare_runs(pair, 1, data=store, speaker="bo", **QUICK)
    with pytest.raises(InputError, match="no utterance 'ann_9'"):
        compare_runs(pair, "ann_9", data=store, **QUICK)
    with pytest.raises(InputError, match="no utterances"):
        compare_runs(pair, [], data=store, **QUICK)
    with pytest.raises(InputError, match="0 of .* held-out"):
        compare_runs(pair, 0, data=store, **QUICK)


def test_cards_are_those_given_or_of_the_folder_at_that_step(pair, store, tmp_path):
    def card(step):
        made = ScoreCard({"run": "r", "step": step, "corpus": store.corpus.name})
        made.add("content", "phone error", Estimate(0.5, 0.4, 0.6, 4), "", "sounds")
        return made

    key, folder = store.corpus.utterances[1].key, tmp_path / "one"
    shutil.copytree(pair["one"].folder, folder)
    step, runs = pair["one"].newest, pair | {"one": folder}
    given = {"cards": {"three": card(1)}, "data": store, **QUICK}
    card(step + 1).save(folder)
    old = compare_runs(runs, key, **given).cards
    card(step).save(folder)
    both = compare_runs(runs, key, **given).cards
    assert list(old.cards) == ["three"]
    assert f"is of step {step + 1}" in old.missing["one"]
    assert list(both.cards) == ["one", "three"]
    with pytest.raises(InputError, match="no run with the card 'two'"):
        compare_runs(pair, key, cards={"two": card(1)}, data=store, **QUICK)


def test_a_blind_test_has_the_runs_as_systems_and_one_result_over_all_utterances(
    pair, store, tmp_path
):
    keys = [store.corpus.utterances[n].key for n in (0, 1)]
    compared = compare_runs(pair, keys, data=store, **QUICK)
    compared.blind("abx", tmp_path / "answers.csv", listener="ann", trials=3, seed=0)
    for player in compared.players.values():
        test = player.blind_test
        assert {test.names[n] for n in test.order} == {"one", "three"}
        while not test.done:
            test.answer("AB"[test.order[:2].index(test.order[2])])
    (finding,) = compared.findings()
    assert (finding.tracks, finding.count, finding.trials) == (("one", "three"), 6, 6)
    rows = read_answers(tmp_path / "answers.csv")
    assert {row["item"] for row in rows} == {*compared.players}
    assert "image/png" not in compared._repr_mimebundle_()  # it would name the tracks
    compared.reveal()
    assert "image/png" in compared._repr_mimebundle_()
    compared.blind(seed=0)
    assert all(len(p.blind_test.order) == 3 for p in compared.players.values())


def test_the_page_has_players_maps_and_tables(pair, store, tmp_path):
    key = store.corpus.utterances[1].key
    compared = compare_runs(pair, key, data=store, progress=False, mode="greedy")
    assert list(compared.maps) == ["one", "three"]
    page = compared.save_html(tmp_path / "page.html").read_text()
    assert page.count('<div id="widget-') == 3
    assert "bottleneck.class_name" in page
    assert "No score card of one" in page
