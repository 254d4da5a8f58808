"""Calibration of predicted probabilities, the longest run of a code, the bias of an entropy."""

import numpy as np
import pytest

from vqwn_kit.evaluation.metrics.codes import (
    bigram_bits,
    calibration,
    calibration_error,
    entropy,
    longest_run,
    miller_madow,
)


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


def test_miller_and_madows_entropy_is_nearer_to_the_truth_on_average(rng):
    """Of 64 codes that are equally frequent, 6 bits, in samples of 200."""
    samples = rng.multinomial(200, np.full(64, 1 / 64), size=400)
    plain, corrected = (np.mean([f(counts) for counts in samples]) for f in (entropy, miller_madow))
    assert plain < 5.8
    assert abs(corrected - 6.0) < 0.2 * (6.0 - plain)


def test_miller_and_madows_correction_by_hand():
    """Two codes of three are used, on four frames: 1 / 8 nats more than 1 bit."""
    assert miller_madow(np.array([2, 0, 2])) == pytest.approx(1.0 + 1 / 8 / np.log(2))
    assert miller_madow(np.array([7, 0])) == 0.0  # a single code


def test_bits_under_a_bigram_are_those_of_its_probabilities():
    """After 0 comes 1 twice and 0 once: two followers, whose weight goes to the unigram."""
    (bits,) = bigram_bits([np.array([0, 1, 0, 1]), np.array([0, 0])], [np.array([0, 1, 2, 2])], 3)
    unigram = np.array([5, 3, 1]) / 9
    after_0 = (np.array([1, 2, 0]) + 2 * unigram) / 5
    after_1 = (np.array([1, 0, 0]) + 1 * unigram) / 2
    expected = [unigram[0], after_0[1], after_1[2], unigram[2]]  # nothing follows 2
    np.testing.assert_allclose(bits, -np.log2(expected))


def test_bits_under_a_bigram_come_near_the_entropy_of_a_markov_chain(rng):
    """It stays with 0.9, or else goes to one of the four others."""
    moves = np.where(rng.random(200_000) < 0.1, rng.integers(1, 5, 200_000), 0)
    chain = np.cumsum(moves) % 5
    (bits,) = bigram_bits([chain[:150_000]], [chain[150_000:]], 5)
    entropy_rate = -0.9 * np.log2(0.9) - 0.1 * np.log2(0.025)
    assert bits.mean() == pytest.approx(entropy_rate, rel=0.03)
