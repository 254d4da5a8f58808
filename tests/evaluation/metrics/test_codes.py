"""Calibration of predicted probabilities, and the longest run of a code."""

import numpy as np
import pytest

from vqwn_kit.evaluation.metrics.codes import calibration, calibration_error, longest_run


def test_calibration_and_its_error_by_hand():
    predicted = np.array([0.05, 0.05, 0.95, 0.95, 0.95, 0.95])
    happened = np.array([False, False, True, True, True, False])
    means, shares, counts = calibration(predicted, happened, 10)
    np.testing.assert_allclose(means, [0.05, 0.95])
    np.testing.assert_allclose(shares, [0.0, 0.75])
    np.testing.assert_array_equal(counts, [2, 4])
    assert calibration_error(predicted, happened, 10) == pytest.approx((2 * 0.05 + 4 * 0.2) / 6)
    assert calibration(np.array([1.0]), np.array([True]))[1] == 1.0


def test_the_longest_run_of_a_code_leaves_silence_out():
    codes = np.array([[0, 0, 0, 1, 1, 2], [1, 2, 2, 2, 2, 0], [0, 1, 0, 1, 0, 1]])
    np.testing.assert_array_equal(longest_run(codes, np.array([True, False, False])), [2, 4, 1])
    np.testing.assert_array_equal(longest_run(codes, np.array([False] * 3)), [3, 4, 1])
