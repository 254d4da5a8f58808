"""Rows about units: of a run, of units that are the phones themselves, of tuples, without codes."""

import numpy as np
import pytest

from tests.evaluation.conftest import untrained
from vqwn_kit.evaluation import unit_metrics
from vqwn_kit.evaluation.context import evaluation_context
from vqwn_kit.evaluation.perturbations import PERTURBATIONS
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.evaluation.unit_metrics import (
    REPRESENTATIONS,
    SHIFTS,
    score_units,
    unit_robustness,
    unit_verdict,
)
from vqwn_kit.evaluation.unit_study import CODES, KINDS, RANDOM, UnitStudy


@pytest.fixture(scope="module")
def context(full, parallel):
    return evaluation_context(full[0], parallel, progress=False)


@pytest.fixture(scope="module")
def card(context):
    card = ScoreCard({})
    score_units(card, context)
    return card


def test_there_is_a_row_for_each_measure_of_each_kind_of_units(card):
    for kind in KINDS:
        for measure in ("PNMI", "phone purity", "boundary recall", "changes per second"):
            assert np.isfinite(card[f"{measure}, {kind}"].value)
        for perturbation in (*PERTURBATIONS, SHIFTS):
            assert 0 <= card[f"edit distance, {perturbation}, {kind}"].value < 150
        assert 0 <= card[f"speaker of the utterance, {kind}"].value <= 100
    for part in REPRESENTATIONS:
        assert 0 <= card[f"ABX in any context, across speakers, {part}"].value <= 100
        assert "no triphones with times" in card.skipped[f"ABX, within speaker, {part}"]
    assert card["PNMI, codes"].of == "sentences, 16 utterances"
    names = [row.name for row in card.rows]
    assert len(set(names)) == len(names)
    first = names.index("phone purity, codes")
    assert names[first : first + 4] == [f"phone purity, {kind}" for kind in KINDS]
    assert card.verdicts[-1].startswith("Beside k-means on MFCC of the same K and rate, the codes")


def test_random_codes_change_every_time_and_know_nothing_of_the_clean_recording(card):
    rate = 16_000 / 64
    changes = card[f"changes per second, {RANDOM}"].value
    assert changes == pytest.approx(rate * 31 / 32, rel=0.05)
    assert card[f"edit distance, noise 20 dB, {RANDOM}"].value > 80
    assert card[f"boundary precision, {RANDOM}"].value < 20


def test_measures_are_the_rows_and_robustness_is_among_them(card, context, monkeypatch):
    monkeypatch.setattr(
        unit_metrics,
        "score_units",
        lambda new, given: new.rows.extend(card.rows) if given is context else None,
    )
    measures = unit_metrics.unit_measures(context)
    assert measures == {row.name: row.value for row in card.rows}
    table = unit_robustness(measures)
    assert list(table) == list(KINDS)
    assert list(table[CODES]) == [*PERTURBATIONS, SHIFTS]
    assert table[CODES]["room 0.3 s"] == card["edit distance, room 0.3 s, codes"].value
    assert unit_robustness({}) == {}


def test_units_that_are_the_phones_are_perfect(context):
    study, card = UnitStudy(context), ScoreCard({})
    phones = [context.phones[number] for number in study.numbers]  # IY, S and -1 for silence
    phones = [np.append(part[:-1], part[-2]) for part in phones]  # the last frame is padding
    study._codes[CODES] = [np.searchsorted(np.unique(phones[0]), part) for part in phones]
    study._all_codes[CODES] = dict(zip(study.numbers, study._codes[CODES], strict=True))
    for part in ("_information", "_abx", "_boundaries"):
        getattr(unit_metrics, part)(card, study)
    for measure in ("PNMI", "phone purity", "cluster purity", "boundary precision"):
        assert card[f"{measure}, {CODES}"].value == pytest.approx(100.0), measure
    assert card[f"boundary R-value, {CODES}"].value == pytest.approx(1.0)
    assert card[f"ABX in any context, across speakers, {CODES}"].value == 0.0
    random = card[f"ABX in any context, across speakers, {RANDOM}"]
    assert random.low < 50.0 < random.high  # chance


def test_tokens_are_the_frames_within_their_times(context):
    study = UnitStudy(context)
    tokens, rate = study.tokens(triphones=False), 250.0
    assert tokens.found == len(tokens.phones) == 16  # IY and S of eight utterances
    first, last = tokens.spans[0]  # IY from 0.1 to 0.2 s
    assert 0.1 <= (first + 0.5) / rate < 0.1 + 1 / rate
    assert 0.2 - 1 / rate <= (last - 0.5) / rate < 0.2
    frames = [np.arange(200) for _ in study.numbers]
    np.testing.assert_array_equal(tokens.of(frames)[0], np.arange(first, last))


def test_a_tuple_of_codes_is_one_symbol(parallel, tmp_path):
    inner = {"class_name": "VectorQuantizer", "config": {"num_embeddings": 4}}
    config = {"num_codebooks": 2, "embedding_dim": 8, "quantizer": inner}
    residual = {"class_name": "ResidualQuantizer", "config": config}
    run = untrained(tmp_path, parallel, bottleneck=residual)
    study = UnitStudy(evaluation_context(run, parallel, 2, progress=False))
    card = ScoreCard({})
    unit_metrics._rates(card, study)
    unit_metrics._information(card, study)
    unit_metrics._edit_distances(card, study)
    unit_metrics._speakers(card, study)
    tuples = len({tuple(row) for codes in study.codes(CODES) for row in codes.tolist()})
    note = card["changes per second, codes"].note
    assert f"1,000 bits/s nominal, {tuples} distinct tuples" in note  # 250 frames of 2 x 2 bits
    parts = [card[f"PNMI, codes, codebook {q}"].value for q in (0, 1)]
    assert max(parts) <= card["PNMI, codes"].value + 1e-9
    assert card["edit distance, 10 dB quieter, codes"].value >= 0
    assert card["speaker of the utterance, codes"].unit == "%"


def test_an_autoencoder_has_other_units_beside_no_codes(parallel, tmp_path):
    identity = {"class_name": "Identity", "config": {"embedding_dim": 8}}
    run = untrained(tmp_path, parallel, bottleneck=identity)
    card = ScoreCard({})
    score_units(card, evaluation_context(run, parallel, 2, progress=False))
    for name in ("PNMI, codes", "edit distance, noise 20 dB, codes", "boundary F1, codes"):
        assert card.skipped[name] == "the model has no codebook"
    assert "ABX in any context, across speakers, z_e" in {row.name for row in card.rows}
    assert "PNMI, random projection" in {row.name for row in card.rows}
    assert not any("k-means" in verdict for verdict in card.verdicts)


def test_without_phones_the_rest_is_measured(full, store, tmp_path):
    run = untrained(tmp_path, store)
    card = ScoreCard({})
    score_units(card, evaluation_context(run, store, 2, progress=False))
    assert "no texts" in card.skipped["PNMI, codes"]
    assert "no texts" in card.skipped["ABX, across speakers, z_q"]
    assert "no texts" in card.skipped["boundary recall, random codes"]
    assert card["edit distance, telephone band, codes"].value >= 0


def test_the_verdict_follows_from_the_measures():
    measures = {
        "PNMI, codes": 40.0,
        "PNMI, k-means MFCC": 30.0,
        "ABX in any context, across speakers, codes": 12.0,
        "ABX in any context, across speakers, k-means MFCC": 10.0,
    }
    (sentence,) = unit_verdict(measures)
    assert "the codes are better in phone information, PNMI (40.0 against 30.0 %)" in sentence
    assert (
        "; not better in ABX error in any context, across speakers (12.0 against 10.0 %)."
        in sentence
    )
    assert unit_verdict({"PNMI, codes": 40.0}) == []
