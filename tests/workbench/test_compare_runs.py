"""Several runs side by side: what is under the playhead, in the table and in the blind test."""

import re
import shutil

import numpy as np
import pytest

from tests.conftest import make_folders
from vqwn_kit import (
    InputError,
    Run,
    ScoreCard,
    build_model,
    compare_runs,
    convert_voice,
    load_preset,
    open_corpus,
    prepare,
)
from vqwn_kit.evaluation.metrics import Estimate
from vqwn_kit.evaluation.metrics.listening_test import append_answers, read_answers
from vqwn_kit.files import results

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


def test_by_default_the_corpus_is_that_of_the_runs(pair, compared, store):
    key = store.corpus.utterances[1].key
    alone = compare_runs(pair, [key], **QUICK)
    np.testing.assert_array_equal(alone.players[key].tracks["recording"], store.waveform(1))
    assert alone.answers == compared.answers


def test_codes_are_shown_of_a_corpus_whose_speakers_no_run_has(pair, store, tmp_path):
    """The maps need speakers of the run: why there are none is said, in the notebook and a page."""
    strangers = prepare(open_corpus(make_folders(tmp_path / "eve", {"eve": 150.0})), progress=False)
    names = dict(store.corpus.speakers)
    preset = load_preset("tiny").change(bottleneck="ae")
    autoencoder = Run.create(tmp_path / "ae/weights", preset, store.corpus.name, names)
    autoencoder.save_weights(build_model(preset, list(names)), 1)
    runs = pair | {"none": autoencoder}
    settings = QUICK | {"data": strangers, "maps": True}
    key = strangers.corpus.utterances[0].key
    compared = compare_runs(runs, key, speaker="bob", **settings)
    (player,) = compared.players.values()
    for name, run in pair.items():
        codes = run.model.encode(strangers.waveform(0))[0].tolist()
        assert player.own[player.names.index(name)]["codes"] == codes
    assert player.own[player.names.index("none")]["codes"] == []
    assert compared.maps == {}
    assert "none of the speakers" in compared.without_map["one"]
    assert "has no codebook (an autoencoder)" in compared.without_map["none"]
    page = compared.save_html(tmp_path / "page.html").read_text()
    assert "No map of three: none of the speakers" in page
    assert any("No map of three" in getattr(part, "value", "") for part in compared.view.children)
    player.track = "one"
    with pytest.raises(InputError, match="none of the speakers"):
        player.open_page(0)


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
    none = compare_runs(runs, key, data=store, **QUICK).cards
    assert list(old.cards) == ["three"]
    said = (
        f"is of step {step + 1}: measure step {step} with `vqwn evaluate {folder}/weights-{step} "
    )
    assert said in old.missing["one"]
    assert f"or `vqwn evaluate {pair['three'].folder}`" in none.missing["three"]
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
    assert {row["item"] for row in rows} == {p.item for p in compared.players.values()}
    assert "image/png" not in compared._repr_mimebundle_()  # it would name the tracks
    compared.reveal()
    assert "image/png" in compared._repr_mimebundle_()
    compared.blind(seed=0)
    assert all(len(p.blind_test.order) == 3 for p in compared.players.values())


def test_answers_of_another_comparison_are_not_counted(pair, store, tmp_path):
    """The utterance and the names of the tracks are the same; the voice, or a setting, is not."""
    key, file = store.corpus.utterances[1].key, tmp_path / "answers.csv"
    given = {"data": store} | QUICK
    compared = compare_runs(pair, key, **given)
    others = [
        compare_runs(pair, key, speaker="bob", **given),
        compare_runs(pair, key, seed=7, **given),
        compare_runs(dict(zip(pair, reversed(pair.values()), strict=True)), key, **given),
    ]
    for each in (compared, *others):
        each.blind("abx", file, trials=1, seed=0)
        each.players[key].blind_test.answer("A")
    row = read_answers(file)[0]
    append_answers(file, [row | {"item": key}, row | {"item": "another", "track": "two"}])
    assert len(read_answers(file)) == 6
    for each in (compared, *others):
        (finding,) = each.findings()
        assert finding.trials == 1


def test_answers_have_a_file_for_each_set_of_runs_steps_and_settings(pair, store):
    key, given = store.corpus.utterances[1].key, {"data": store} | QUICK
    step = pair["one"].folder / f"weights-{pair['one'].steps[0]}"
    made = [
        compare_runs(runs, key, **given | more)
        for runs, more in (
            (pair, {}),
            (dict(reversed(pair.items())), {}),
            (pair | {"one": step}, {}),
            (pair, {"temperature": 0.5, "mode": "sample"}),
        )
    ]
    names = [comparison.answers.name for comparison in made]
    assert names[0] == names[1]
    assert len(set(names)) == 3
    assert re.fullmatch(r"compare-runs-[0-9a-f]{8}\.csv", names[0])
    assert made[0].answers.parent == results()
    assert made[0].players[key].answers == made[0].answers


def test_a_page_needs_a_name_that_ends_in_html(compared, monkeypatch):
    monkeypatch.setattr("vqwn_kit.workbench.compare_runs.write_page", pytest.fail)
    with pytest.raises(InputError, match="ends in .html"):
        compared.save_html("page.txt")


def test_the_page_has_players_maps_and_tables(pair, store, tmp_path):
    key = store.corpus.utterances[1].key
    compared = compare_runs(pair, key, data=store, progress=False, mode="greedy")
    assert list(compared.maps) == ["one", "three"]
    page = compared.save_html(tmp_path / "page.html").read_text()
    assert page.count('<div id="widget-') == 3
    assert "bottleneck.class_name" in page
    assert "training.save_every" not in compared.settings
    assert "No map of" not in page
    assert "No score card of one" in page
