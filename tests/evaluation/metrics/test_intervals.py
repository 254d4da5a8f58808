"""Intervals of observations in groups: by hand, and how often they contain the true value."""

import numpy as np
import pytest
from scipy.stats import binomtest, t

from vqwn_kit.evaluation.metrics import NotMeasured, entropy
from vqwn_kit.evaluation.metrics.intervals import (
    Estimate,
    group_means,
    group_sums,
    jackknife,
    paired_difference,
    proportion,
    ratio,
)

SENTENCES, VOICES = 5, 6  # as in data/mini
LABELS = np.repeat(np.arange(SENTENCES), VOICES)


def test_a_group_of_one_each_changes_nothing(rng):
    tops, weights = rng.random(9), rng.integers(1, 5, 9)
    counts, hits = rng.integers(0, 9, (9, 4)), rng.random(9) < 0.7
    names = [f"sentence {number}" for number in range(9)]
    assert ratio(tops, weights, names) == ratio(tops, weights)
    assert proportion(hits, names) == proportion(hits)
    assert jackknife(counts, entropy, names) == jackknife(counts, entropy)
    wilson = binomtest(int(hits.sum()), 9).proportion_ci(method="wilson")
    assert proportion(hits)[1:3] == pytest.approx((wilson.low, wilson.high))


def test_a_grouped_ratio_is_that_of_the_groups_sums(rng):
    """Two errors of 10 and 2 of 10 in one sentence, 5 of 10 in another: 4 of 20, and 5 of 10."""
    estimate = ratio([2, 5, 2], [10, 10, 10], ["a", "b", "a"])
    assert estimate == ratio([4, 5], [20, 10])
    deviations = np.array([4 - 0.3 * 20, 5 - 0.3 * 10])
    half = t.ppf(0.975, 1) * deviations.std(ddof=1) / 15 / np.sqrt(2)
    assert estimate == pytest.approx((0.3, 0.3 - half, 0.3 + half, 2))
    mean = ratio([1.0, 2.0, 6.0], groups=["a", "a", "b"])
    assert (mean.value, mean.n) == (3.0, 2)  # each observation weighs the same


def test_a_grouped_proportion_is_wilsons_of_the_effective_sample_size():
    """Of 4 sentences by 2 voices, three always hit, one never: each pair is worth one."""
    hits, sentences = [1, 1, 1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 2, 2, 3, 3]
    variance = np.var([1, 1, 1, 0], ddof=1) / 4
    effect = variance / (0.75 * 0.25 / 7)
    effective = 8 / effect * (t.ppf(0.975, 7) / t.ppf(0.975, 3)) ** 2
    z = 1.959963984540054
    roots = np.roots([1 + z**2 / effective, -(2 * 0.75 + z**2 / effective), 0.75**2])
    estimate = proportion(hits, sentences)
    assert estimate == pytest.approx((0.75, roots.min(), roots.max(), 4))
    assert effect == pytest.approx(7 / 3)


def test_spread_hits_are_not_taken_for_more_observations_than_there_are():
    """Each sentence has one hit and one miss: the design effect is 1, not 0."""
    spread = proportion([1, 0] * 4, np.repeat(range(4), 2))
    assert spread.low < proportion([1, 0] * 4).low


def test_all_hits_of_few_sentences_say_less_than_all_hits_of_many():
    grouped, single = proportion([True] * 30, LABELS), proportion([True] * 30)
    assert (grouped.value, grouped.high, grouped.n) == (1.0, 1.0, 5)
    assert 0.5 < grouped.low < single.low


def test_the_grouped_jackknife_leaves_out_a_group():
    counts = np.array([[4, 0], [1, 3], [2, 2], [0, 5]])
    share = jackknife(counts, lambda total: total[1] / total.sum(), ["a", "a", "b", "c"])
    without = np.array([7 / 9, 8 / 13, 5 / 12])
    error = np.sqrt(2 / 3 * np.sum((without - without.mean()) ** 2))
    half = t.ppf(0.975, 2) * error
    assert share == pytest.approx((10 / 17, 10 / 17 - half, 10 / 17 + half, 3))


def test_intervals_of_clustered_values_contain_the_true_mean_only_by_sentence(rng):
    """Intraclass correlation 0.5, as phone errors have: 6 voices are worth 1.7 sentences."""
    inside = {"grouped": 0, "single": 0}
    for _ in range(600):
        values = rng.normal(size=SENTENCES)[LABELS] + rng.normal(size=LABELS.size)
        for name, labels in (("grouped", LABELS), ("single", None)):
            _, low, high, _ = ratio(values, groups=labels)
            inside[name] += low <= 0.0 <= high
    assert 0.92 < inside["grouped"] / 600 < 0.98
    assert inside["single"] / 600 < 0.78


def test_intervals_of_clustered_hits_contain_the_true_share_only_by_sentence(rng):
    """The chance of a hit is Beta(0.4, 0.4) of each sentence: intraclass correlation 0.56."""
    inside = {"grouped": 0, "single": 0}
    for _ in range(600):
        hits = rng.random(LABELS.size) < rng.beta(0.4, 0.4, SENTENCES)[LABELS]
        for name, labels in (("grouped", LABELS), ("single", None)):
            _, low, high, _ = proportion(hits, labels)
            inside[name] += low <= 0.5 <= high
    assert 0.92 < inside["grouped"] / 600
    assert inside["single"] / 600 < 0.78


def test_of_one_group_there_is_no_interval():
    assert ratio([1, 2], groups=["a", "a"]) == Estimate(1.5, None, None, 1)
    assert proportion([1, 0], ["a", "a"]) == Estimate(0.5, None, None, 1)
    assert jackknife(np.ones((2, 2)), entropy, ["a", "a"]) == Estimate(1.0, None, None, 1)


def test_groups_must_be_as_many_as_values():
    with pytest.raises(ValueError, match="2 groups; expected one for each of 3 values"):
        ratio([1, 2, 3], groups=["a", "b"])


def test_sums_and_means_of_groups():
    assert group_sums([1.0, 2.0, 4.0], ["b", "a", "b"]).tolist() == [5.0, 2.0]
    assert group_sums(np.eye(3), ["b", "a", "b"]).tolist() == [[1, 0, 1], [0, 1, 0]]
    means = group_means([1.0, 2.0, 4.0], [1.0, 4.0, 1.0], ["b", "a", "b"])
    assert means == {"b": 2.5, "a": 0.5}
    assert group_means([0.0, 1.0], [0.0, 1.0], ["a", "b"]) == {"b": 1.0}


def test_a_paired_difference_is_of_the_sentences_that_both_have():
    first, second = {"a": 1.0, "b": 5.0, "c": 9.0}, {"c": 9.5, "a": 1.1, "d": 7.0}
    assert paired_difference(first, second) == pytest.approx(ratio([0.1, 0.5]))
    with pytest.raises(NotMeasured, match="1 sentences in both"):
        paired_difference(first, {"a": 2.0})
