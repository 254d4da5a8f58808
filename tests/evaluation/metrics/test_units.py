"""What units say about phones, where they change, how far two sequences are apart."""

from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from vqwn_kit.evaluation.metrics import NotMeasured, edit_distance
from vqwn_kit.evaluation.metrics.units import (
    as_symbols,
    boundary_counts,
    boundary_scores,
    change_times,
    cluster_purity,
    phone_normalised_information,
    phone_purity,
    unit_edits,
    without_repeats,
)


def test_purities_and_information_by_hand():
    table = np.array([[8, 2], [0, 6], [4, 0]])
    assert phone_purity(table) == pytest.approx((8 + 6 + 4) / 20)
    assert cluster_purity(table) == pytest.approx((8 + 6) / 20)
    codes, phones = np.repeat(np.indices(table.shape).reshape(2, -1), table.ravel(), axis=1)
    share = table.sum(axis=0) / 20
    nats = mutual_info_score(codes, phones) / -np.sum(share * np.log(share))
    assert phone_normalised_information(table) == pytest.approx(nats)


def test_information_is_1_for_phones_themselves_and_0_for_independent_codes():
    phones = np.array([3, 5, 9])
    assert phone_normalised_information(np.diag(phones)) == pytest.approx(1.0)
    assert phone_normalised_information(np.outer([1, 2, 4, 8], phones)) == pytest.approx(0.0)
    with pytest.raises(NotMeasured, match="only one phone"):
        phone_normalised_information(np.array([[4], [2]]))


def test_each_tuple_of_codes_is_a_symbol():
    codes = [np.array([[0, 1], [1, 0], [0, 1]]), np.array([[1, 1], [1, 0]])]
    (first, second), count = as_symbols(codes)
    assert count == 3
    assert first[0] == first[2] != first[1] == second[1]
    assert second[0] not in first
    whole = [np.array([4, 2]), np.array([0])]
    assert as_symbols(whole) == (whole, 5)


def test_changes_are_at_the_start_of_the_new_code():
    np.testing.assert_allclose(change_times(np.array([7, 7, 2, 2, 7]), 50.0), [0.04, 0.08])
    assert len(change_times(np.array([3, 3]), 50.0)) == 0


def test_boundaries_are_matched_once_and_as_often_as_possible(rng):
    for _ in range(50):
        found, reference = (np.sort(rng.uniform(0, 0.2, n)) for n in rng.integers(1, 6, 2))
        near = np.abs(found[:, None] - reference) <= 0.02
        short, long = (near, near.T)[:: 1 if len(near) <= len(near.T) else -1]
        orders = permutations(range(len(long)), len(short))
        most = max(sum(short[i, j] for i, j in enumerate(order)) for order in orders)
        counts = boundary_counts(found, reference)
        np.testing.assert_array_equal(counts, [most, len(found), len(reference)])
    assert boundary_counts(np.array([0.12]), np.array([0.1]))[0] == 1  # 0.12 - 0.1 > 0.02


def test_boundary_scores_are_those_of_a_published_table():
    """VQ-VAE with penalised dynamic programming on Buckeye, in % (github.com/kamperh/vqwordseg)."""
    published = {"precision": 66.42, "recall": 75.77, "F1": 70.79, "over-segmentation": 14.08}
    scores = boundary_scores(np.array([75770, 114080, 100000]))
    for name, value in {**published, "R-value": 72.44}.items():
        assert 100 * scores[name] == pytest.approx(value, abs=0.01), name


def test_perfect_boundaries_no_boundaries_and_no_reference():
    assert boundary_scores(np.array([9, 9, 9])) == pytest.approx(
        {"precision": 1, "recall": 1, "F1": 1, "over-segmentation": 0, "R-value": 1}
    )
    assert boundary_scores(np.array([0, 0, 9]))["precision"] == 0.0
    assert boundary_scores(np.array([9, 90, 9]))["R-value"] < -6.0
    with pytest.raises(NotMeasured, match="no phone boundaries"):
        boundary_scores(np.array([0, 4, 0]))


def test_edits_are_counted_without_repeats(rng):
    np.testing.assert_array_equal(without_repeats(np.array([1, 1, 2, 2, 1])), [1, 2, 1])
    assert unit_edits(np.array([5, 5, 6]), np.array([5, 6, 6, 6])) == (0, 2)
    assert unit_edits(np.array([1, 2, 3]), np.array([], int)) == (3, 3)
    for _ in range(30):
        first, second = (rng.integers(0, 4, n) for n in rng.integers(1, 12, 2))
        shorter = [without_repeats(codes) for codes in (first, second)]
        assert unit_edits(first, second) == (edit_distance(*shorter), len(shorter[0]))
