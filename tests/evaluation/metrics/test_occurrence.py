"""Lifts, transitions, runs, neighbours and places, on arrays whose answer is known."""

import numpy as np
import pytest

from vqwn_kit.evaluation.metrics import (
    code_runs,
    lifts,
    nearest_vectors,
    place_in_span,
    transition_table,
)


def test_lifts_are_shares_over_the_shares_among_all():
    table = np.array([[6, 2, 0], [2, 10, 0], [0, 0, 0]])
    lift = lifts(table)
    assert lift[0, 0] == pytest.approx((6 / 8) / (8 / 20))
    assert lift[1, 1] == pytest.approx((10 / 12) / (12 / 20))
    assert np.isnan(lift[2]).all()  # a code without a frame
    assert np.isnan(lift[:, 2]).all()  # a label without one


def test_lifts_of_independent_labels_are_1_and_their_mean_over_the_labels_is_1(rng):
    codes, labels = rng.integers(1, 9, 5), rng.integers(1, 9, 4)
    np.testing.assert_allclose(lifts(np.outer(codes, labels)), 1.0)
    table = rng.integers(1, 30, (5, 4))
    shares = table.sum(axis=0) / table.sum()
    np.testing.assert_allclose(lifts(table) @ shares, 1.0)


def test_lifts_are_the_exponential_of_the_pointwise_mutual_information(rng):
    table = rng.integers(1, 30, (5, 4))
    joint = table / table.sum()
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
    np.testing.assert_allclose(lifts(table), np.exp(np.log(joint) - np.log(independent)))


def test_transitions_skip_repetitions_and_the_borders_of_utterances():
    table = transition_table([np.array([0, 0, 1, 1, 1, 0]), np.array([2, 1])], 3)
    expected = np.zeros((3, 3), int)
    expected[0, 1] = expected[1, 0] = expected[2, 1] = 1
    assert np.array_equal(table, expected)


def test_runs_of_codes_are_counted_to_the_end():
    codes, starts, lengths = code_runs(np.array([7, 7, 3, 7, 7, 7]))
    assert codes.tolist() == [7, 3, 7]
    assert starts.tolist() == [0, 2, 3]
    assert lengths.tolist() == [2, 1, 3]
    assert [len(part) for part in code_runs(np.zeros(0, int))] == [0, 0, 0]


def test_nearest_vectors_are_those_of_a_search(rng):
    vectors, among = rng.normal(size=(20, 3)), rng.random(20) > 0.3
    to, far = nearest_vectors(vectors, 4, among)
    for n, vector in enumerate(vectors):
        others = [k for k in np.flatnonzero(among) if k != n]
        order = sorted(others, key=lambda k: np.linalg.norm(vectors[k] - vector))
        assert to[n].tolist() == order[:4]
        expected = [np.linalg.norm(vectors[k] - vector) for k in order[:4]]
        np.testing.assert_allclose(far[n], expected)


def test_places_go_from_0_to_1_in_a_span_and_are_unknown_outside():
    spans = [(0.0, 0.02, "SIL"), (0.02, 0.06, "we"), (0.06, 0.08, "")]
    places = place_in_span(spans, 9, 100.0)
    np.testing.assert_allclose(places[2:6], [0.125, 0.375, 0.625, 0.875])
    assert np.isnan(np.delete(places, [2, 3, 4, 5])).all()
