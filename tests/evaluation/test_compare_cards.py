"""Score cards side by side: differences are paired by sentence, bits only of one signal."""

import numpy as np
import pytest

from vqwn_kit import InputError, ScoreCard
from vqwn_kit.evaluation import CardComparison
from vqwn_kit.evaluation.metrics import Estimate, NotMeasured, ratio

WAVE, FINER = "the waveform in 256 levels", "the pre-emphasised waveform (0.85) in 256 levels"


def card(errors, signal: str = WAVE, **about) -> ScoreCard:
    """Return a card of some bits, a count, and an error of each sentence `s0`, `s1`, ..."""
    made = ScoreCard(
        {"run": "r", "step": 1, "corpus": "c", "seed": 0, "bits are of": signal} | about
    )
    made.add("likelihood", "bits per sample", Estimate(3.5, 3.4, 3.6, 9), "bits", "utterances")
    made.add("codebook", "codes used", 12, "codes", "utterances")
    sentences = {f"s{number}": error for number, error in enumerate(errors)}
    if sentences:
        made.add("content", "phone error", ratio(list(errors)), "", "sounds", sentences=sentences)
    made.add("units: rate", "units per second", 20, "units/s", "utterances")
    return made


def test_a_difference_is_the_mean_of_the_pairs_with_its_interval():
    first, second = [0.1, 0.5, 0.2, 0.9], [0.2, 0.6, 0.35, 1.0]
    compared = CardComparison({"a": card(first), "b": card(second)})
    difference = compared.difference("b", "phone error")
    assert difference == pytest.approx(ratio(np.subtract(second, first)))
    assert difference.low > 0  # though the intervals of the two means overlap widely
    (line,) = dict(compared.sections())["content"]
    assert line[0] == "phone error"
    assert line[3] == "+0.11 (+0.07 to +0.15)"
    assert compared.head == ["measure", "a", "b", "b - a", "on"]


def test_a_difference_that_may_be_zero_is_called_not_distinguishable():
    compared = CardComparison({"a": card([0.1, 0.5, 0.3]), "b": card([0.3, 0.2, 0.4])})
    (line,) = dict(compared.sections())["content"]
    low, high = compared.difference("b", "phone error")[1:3]
    assert low < 0 < high
    assert line[3] == f"not distinguishable ({low:+.2f} to {high:+.2f})"


def test_a_difference_that_is_zero_throughout_is_called_the_same():
    errors = [0.1, 0.5, 0.3]
    compared = CardComparison({"a": card(errors), "b": card(errors)})
    (line,) = dict(compared.sections())["content"]
    assert line[3] == "the same in all 3 sentences"
    assert "each sentence counts the same" in str(compared)


def test_measures_of_different_numbers_of_observations_have_no_difference():
    """As many sentences, but other sounds: one card has a conversion more of each."""
    errors, cards = [0.1, 0.5, 0.3], {}
    for name, voices in (("a", 1), ("b", 2)):
        cards[name] = card([], targets=voices)
        cards[name].add_ratio(
            "content", "phone error", "", ["s0", "s1", "s2"] * voices, errors * voices
        )
    compared = CardComparison(cards)
    with pytest.raises(NotMeasured, match="3 sounds in a, 3 sentences, 6 sounds in b"):
        compared.difference("b", "phone error")
    (line,) = dict(compared.sections())["content"]
    assert line[3:] == ["-", "3 sounds / 3 sentences, 6 sounds"]
    assert compared.notes == ["The cards differ in 'targets': 1 (a); 2 (b)."]


def test_sentences_that_only_one_card_has_are_left_out_and_counted():
    compared = CardComparison({"a": card([0.1, 0.5, 0.2]), "b": card([0.2, 0.6, 0.35])})
    row = compared.cards["b"]["phone error"]
    row.sentences["s9"] = row.sentences.pop("s0")
    (line,) = dict(compared.sections())["content"]
    assert line[3].endswith(", 2 sentences)")


def test_judges_that_disagree_are_noted():
    cards = {}
    for name, (opinion, distance) in {"a": (3.0, 5.0), "b": (3.5, 6.0), "c": (3.5, 4.0)}.items():
        cards[name], sentences = card([0.1, 0.2]), ["s0", "s1", "s2"]
        for measure, value in (("DNSMOS P.808", opinion), ("mel-cepstral distance", distance)):
            values = np.add([0.0, 0.3, 0.1], value)
            row = f"{measure}, reconstruction"
            cards[name].add_ratio("sound", row, "", sentences, values)
    (note,) = CardComparison(cards).notes
    assert note.startswith("b: The judges disagree on the quality of reconstructions against a: ")
    assert "better by DNSMOS P.808 (+0.5" in note
    cards["b"].about["corpus"] = "another"
    assert not any("judges" in note for note in CardComparison(cards).notes)


def test_bits_of_different_signals_have_rows_of_their_own_and_a_reason():
    errors = [0.1, 0.2]
    compared = CardComparison({"a": card(errors), "b": card(errors, FINER)})
    lines = dict(compared.sections())["likelihood"]
    assert [line[0] for line in lines] == [
        f"bits per sample, of {WAVE}",
        f"bits per sample, of {FINER}",
    ]
    assert [line[1:4] for line in lines] == [
        ["3.500 bits (3.400 to 3.600)", "-", "-"],
        ["-", "3.500 bits (3.400 to 3.600)", "-"],
    ]
    assert "cannot be compared" in str(compared)
    assert f"{FINER} (b)" in str(compared)
    with pytest.raises(NotMeasured, match="different signals"):
        compared.difference("b", "bits per sample")
    same = CardComparison({"a": card(errors), "b": card(errors)})
    assert [line[:3] for line in dict(same.sections())["likelihood"]] == [
        ["bits per sample", *["3.500 bits (3.400 to 3.600)"] * 2]
    ]
    assert same.notes == []


def test_what_cannot_be_paired_has_no_difference():
    errors = [0.1, 0.2]
    other = CardComparison({"a": card(errors), "b": card(errors, corpus="d", seed=3)})
    with pytest.raises(NotMeasured, match="of the corpora c and d"):
        other.difference("b", "phone error")
    assert [line[3] for _, lines in other.sections() for line in lines] == ["-"] * 3
    assert other.notes == [
        "The cards differ in 'corpus': c (a); d (b).",
        "The cards differ in 'seed': 0 (a); 3 (b).",
    ]
    with pytest.raises(NotMeasured, match="a has no row 'STOI'"):
        other.difference("b", "STOI")
    with pytest.raises(InputError, match="no score card 'c'"):
        other.difference("c", "STOI")


def test_the_table_is_text_and_html_and_leaves_units_out():
    errors, missing = [0.1, 0.2], {"c": "it was not measured"}
    compared = CardComparison({"a<b": card(errors), "b": card(errors)}, missing)
    text, page = str(compared), compared._repr_html_()
    assert "No score card of c: it was not measured." in text
    assert "CODEBOOK" in text
    assert "units per second" not in text
    assert ">a&lt;b</th>" in page
    assert "a<b" not in page
    assert "No score card" in str(CardComparison({}, missing))
