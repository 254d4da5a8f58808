"""The score card: its rows, its pages and files, and bad input."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile

import vqwn_kit as vq
from vqwn_kit.cli.main import main
from vqwn_kit.evaluation.metrics import Estimate
from vqwn_kit.evaluation.phones import PHONES
from vqwn_kit.presets.preset import load_preset
from vqwn_kit.runs.run import Run
from vqwn_kit.training.train import train
from vqwn_kit.training.validate import validate


@pytest.fixture(scope="module")
def plain_card(run, store):
    """The card of the trained tiny run on recordings without texts."""
    return vq.score_card(run, store, sampled=1, targets=1, originals=False, progress=False)


def test_the_likelihood_is_that_of_validation(plain_card, model, store):
    measured = validate(model, store)
    row = plain_card["bits per sample"]
    assert row.value == pytest.approx(measured["bits"], rel=1e-5)
    assert row.n == len(store.numbers("held_out"))
    assert plain_card["codes used"].value == measured["codes_used"]
    assert plain_card["codes used"].value + plain_card["dead codes"].value == 32
    assert plain_card["perplexity"].value == pytest.approx(measured["perplexity"], rel=1e-5)


def test_recordings_may_stay_out_of_the_sounds_that_are_kept(plain_card, full):
    kinds = [track["label"].split()[0] for track in plain_card.tracks]
    assert kinds == ["reconstruction", "as"]
    assert len(plain_card.sounds) == 2
    assert plain_card["mel-cepstral distance, reconstruction"].n == 1  # but they are compared with
    assert [track["label"].split()[0] for track in full[1].tracks].count("original") == 2


def test_the_facts_say_how_many_utterances_were_sampled_for_how_many_voices(plain_card, full):
    names = ("sampled utterances", "targets per utterance")
    assert [full[1].about[name] for name in names] == [2, 1]
    assert "sampled utterances 1, targets per utterance 1" in str(plain_card)


def test_rates_and_distance_from_uniform_agree(plain_card, run):
    nominal, actual = (plain_card[f"bit rate, {kind}"].value for kind in ("nominal", "by entropy"))
    assert nominal == 250 * 5  # hop 64, K = 32
    distance = plain_card["distance from uniform"].value
    assert distance == pytest.approx(5 - np.log2(plain_card["perplexity"].value))
    assert actual == pytest.approx(250 * (5 - distance))
    assert [step for step, _ in plain_card.divergence] == [r["step"] for r in run.history]
    last = 5 - np.log2(run.history[-1]["vq/perplexity"])
    assert plain_card.divergence[-1][1] == pytest.approx(last)


def test_what_is_missing_is_named_with_its_reason(plain_card):
    reasons = plain_card.skipped
    assert "no texts" in reasons["phone error, reconstruction"]
    assert "no texts" in reasons["phone accuracy of codes"]
    assert "sex" in reasons["embedding separates the sexes"]
    assert "parallel" in reasons["mel-cepstral distance, conversion"]
    with pytest.raises(KeyError, match="was not measured.*no texts"):
        plain_card["phone error, reconstruction"]
    assert not {row.name for row in plain_card.rows} & set(reasons)


@pytest.mark.eval
def test_nothing_is_unmeasured_if_all_is_known(full):
    _, card = full
    missing = [name for name, reason in card.skipped.items() if "installed" in reason]
    assert not set(missing) - {"Distill-MOS"}  # of the extra mos
    for kind in ("original", "reconstruction", "conversion"):
        assert card[f"phone error, {kind}"].unit == ""
        assert 1.0 < card[f"DNSMOS P.808, {kind}"].value < 5.0


def test_what_several_speakers_read_is_one_sentence(full):
    """Eight held-out utterances are two sentences by four speakers."""
    _, card = full
    for name in ("bits per sample", "perplexity", "phone accuracy of codes", "speaker from z_e"):
        assert (card[name].n, card[name].of) == (2, "sentences, 8 utterances"), name
    assert card["codes used"].of == "utterances"  # a plain count
    assert card["perplexity, bias-corrected"].value > card["perplexity"].value


def test_texts_sexes_phones_and_parallel_sentences_are_used(full):
    _, card = full
    assert card["mel-cepstral distance, conversion"].value > 1.0
    assert "history" in card.skipped["training time"]
    assert card["speaker-probe accuracy, conversion"].n == 2
    assert card["embedding separates the sexes"].n == 4
    assert 0 < card["phone accuracy of the prior"].value <= 100
    assert card.code_phones.sum() > 0
    used = np.flatnonzero(card.code_phones.sum(axis=0))
    assert set(used) == {PHONES.index("IY"), PHONES.index("S")}


def test_without_sampling_the_card_gives_the_reason(full, parallel):
    card = vq.score_card(full[0], parallel, sampled=0, utterances=1, progress=False)
    assert "sampled = 0" in card.skipped["everything that is sampled"]
    assert card["bits per sample"].low is None  # of a single utterance
    assert "sampled utterances" not in card.about


def test_a_first_stage_is_evaluated_by_griffin_and_lims_method(store, tmp_path):
    settings = {"steps": 1, "first_stage_steps": 3, "progress": False}
    train(store, "tiny", save=tmp_path / "weights", **settings)
    run = tmp_path / "first_stage"
    card = vq.score_card(run, store, sampled=1, targets=1, progress=False)
    assert "bands" in card.skipped["likelihood"]
    assert "Griffin" in card.about["synthesised by"]
    assert card["codes used"].value >= 1
    assert card["conversion classified as source speaker"].n == 1
    assert [len(sound) % 64 for sound in list(card.sounds.values())[1:]] == [0, 0]
    assert card.save(tmp_path / "card")


def test_the_card_is_written_as_json_page_and_figures(full, tmp_path):
    _, card = full
    names = {str(path.relative_to(tmp_path)) for path in card.save(tmp_path)}
    figures = {"figures/score_card.png", "figures/code_phones.png"}
    assert names == {"score_card.json", "score_card.md", *figures, *card.sounds}
    saved = json.loads((tmp_path / "score_card.json").read_text())
    assert [track["file"] for track in saved["tracks"]] == list(card.sounds)
    kinds = [track["label"].split()[0] for track in saved["tracks"]]
    assert kinds.count("original") == kinds.count("reconstruction") > 0
    for file, wave in card.sounds.items():
        assert np.abs(soundfile.read(tmp_path / file)[0] - wave).max() <= 1 / 32768
    assert [row["name"] for row in saved["rows"]] == [row.name for row in card.rows]
    assert saved["about"]["step"] == 0
    pages = (tmp_path / "score_card.md").read_text(), card._repr_html_(), str(card)
    for name in [row.name for row in card.rows] + list(card.skipped):
        assert all(name in page for page in pages)
    assert all((tmp_path / name).stat().st_size > 1000 for name in figures)


def test_a_card_is_read_back_as_it_was_written(full, tmp_path):
    _, card = full
    card.save(tmp_path)
    again = vq.ScoreCard.load(tmp_path)
    assert again.rows == card.rows
    assert repr(card) == str(card)  # not all that it keeps, sounds and tables of codes
    assert (str(again), again._repr_html_()) == (str(card), card._repr_html_())
    again.save(tmp_path / "copy")
    texts = [(tmp_path / at / "score_card.json").read_text() for at in (".", "copy")]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("text", [None, "no json", "[]", "{}", '{"rows": [{"name": "alone"}]}'])
def test_a_file_that_is_no_card_is_refused(text, tmp_path):
    if text is not None:
        (tmp_path / "score_card.json").write_text(text)
    message = "has no score_card" if text is None else "is (not a|no) score card"
    with pytest.raises(vq.InputError, match=message):
        vq.ScoreCard.load(tmp_path)


def test_limits_are_cut_to_the_range_of_the_measure():
    card = vq.ScoreCard({})
    row = card.add("a", "share", Estimate(0.98, 0.9, 1.06, 9), "%", "utterances", "note")
    assert row.cells() == ("share", "98.0 %", "90.0 to 100.0", "9 utterances", "note")
    row = card.add("a", "errors", Estimate(0.1, -0.1, 1.2, 9), "", "sounds")
    assert row.cells()[1:3] == ("0.10", "0.00 to 1.20")
    row = card.add("a", "extra", Estimate(0.0, -0.1, 0.1, 9), "bits", "utterances")
    assert row.cells()[2] == "-0.100 to 0.100"
    assert card.add("a", "codes", 489, "codes", "").cells()[1:3] == ("489 codes", "")


def test_the_command_prints_and_writes_the_card(full, parallel, tmp_path, capsys):
    run, _ = full
    line = ["evaluate", str(run.folder), "--data", str(parallel.corpus.folder), "--sampled", "0"]
    assert main([*line, "--utterances", "2", "--save", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "bits per sample" in printed
    assert "2 utterances of split held_out" in printed
    assert (tmp_path / "score_card.md").is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sampled": -1}, "sampled=-1"),
        ({"targets": -2}, "targets=-2"),
        ({"utterances": 0}, "utterances=0"),
        ({"temperature": 0.0}, "temperature is 0"),
        ({"data": None}, "trained on the corpus 'parallel"),
    ],
)
def test_bad_arguments_are_refused(full, parallel, change, message):
    with pytest.raises(vq.InputError, match=message):
        vq.score_card(full[0], **{"data": parallel, "progress": False, **change})


def test_another_corpus_is_refused(parallel, tmp_path):
    run = Run.create(tmp_path / "weights", load_preset("tiny"), "other", {"zoe": {}})
    with pytest.raises(vq.InputError, match=r"none of the speakers.*zoe"):
        vq.score_card(run, parallel, progress=False)


def test_a_corpus_without_held_out_utterances_is_refused(full, parallel):
    utterances = parallel.corpus.split("train").utterances
    part = replace(parallel.corpus, name="part", utterances=utterances)
    with pytest.raises(vq.InputError, match="no utterance in the split 'held_out'"):
        vq.score_card(full[0], part, progress=False)


def test_shares_are_shown_in_percent_and_only_errors_exceed_100():
    card = vq.ScoreCard({})
    row = card.add("codebook", "repeats", Estimate(0.9, 0.7, 1.1, 9), "%", "frames")
    assert (row.value, row.low, row.high) == pytest.approx((90, 70, 100))
    row = card.add("units", "edit distance", Estimate(1.2, 0.9, 1.5, 9), "%", "codes")
    assert (row.value, row.low, row.high) == pytest.approx((120, 90, 150))
