"""Estimates and their 95 % intervals.

Observations that share a cause are one group: a sentence that several speakers read, or a recording
that is converted to several voices. An interval that takes them for independent is too narrow; with
`groups`, sums are taken per group first and n is the number of groups (cluster-robust; Cochran,
Sampling Techniques, 9).
"""

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np

Numbers = Sequence[float] | np.ndarray
Groups = Sequence[Hashable] | np.ndarray


class Estimate(NamedTuple):
    """A value, its 95 % interval and the number of independent observations.

    `low` and `high` are None where the value is a plain count, or rests on one observation.
    """

    value: float
    low: float | None
    high: float | None
    n: int


class NotMeasured(Exception):  # noqa: N818 - no error: the card continues and gives the reason
    """A measure cannot be made; the message gives the reason and, if there is one, the cure."""


def group_sums(values: Numbers, groups: Groups | None) -> np.ndarray:
    """Return the sums of values (U, ...) over each group, float64 (G, ...), in order of first use.

    Args:
        values: one per observation, or one row.
        groups: the label of each observation, U of them; None makes each a group of its own.

    Raises:
        ValueError: another number of labels.
    """
    values = np.asarray(values, np.float64)
    if groups is None:
        return values
    numbers = {label: number for number, label in enumerate(dict.fromkeys(groups))}
    places = [numbers[label] for label in groups]
    if len(places) != len(values):
        raise ValueError(f"{len(places)} groups; expected one for each of {len(values)} values")
    sums = np.zeros((len(numbers), *values.shape[1:]))
    np.add.at(sums, places, values)
    return sums


def ratio(
    numerators: Numbers, denominators: Numbers | None = None, groups: Groups | None = None
) -> Estimate:
    """Return sum(numerators) / sum(denominators) over utterances, with a t interval.

    Student's t with G - 1 degrees of freedom and the standard error of a ratio estimator
    (Cochran, Sampling Techniques, 2.11): sd(numerator - ratio denominator) / mean(denominator),
    both summed over each of G groups.

    Args:
        numerators: (U,), one per utterance, such as its errors or its bits.
        denominators: (U,), its weight: phones, or samples. All 1 by default: then it is the mean.
        groups: labels (U,), such as the sentence of each utterance; by default all are independent.

    Raises:
        NotMeasured: there are no utterances, or all weights are 0.
    """
    tops = np.asarray(numerators, np.float64)
    weights = np.ones_like(tops) if denominators is None else denominators
    tops, weights = group_sums(tops, groups), group_sums(weights, groups)
    if not len(tops) or not weights.sum():
        raise NotMeasured("there is nothing to measure it on")
    value, n = tops.sum() / weights.sum(), len(tops)
    if n < 2:
        return Estimate(float(value), None, None, n)
    error = np.std(tops - value * weights, ddof=1) / weights.mean() / np.sqrt(n)
    return _t_interval(value, error, n)


def proportion(hits: Numbers, groups: Groups | None = None) -> Estimate:
    """Return the share of hits (n,), 0 to 1, with Wilson's interval (1927), valid at 0 and 1 too.

    With groups, n is divided by the design effect: the variance of the share by `ratio` over that
    of independent observations, at least 1; and by (t / t')^2, quantiles of Student's t for the
    degrees of freedom of groups and of observations
    ([Korn and Graubard 1998](https://www150.statcan.gc.ca/n1/pub/12-001-x/1998002/article/4356-eng.pdf)).
    All or no hits show no variance: the design effect is 1 there.

    Args:
        hits: one per observation.
        groups: labels (n,), such as the sentence of each; by default all are independent.

    Raises:
        NotMeasured: there are no observations.
    """
    from scipy.stats import norm, t

    share, total = ratio(hits, groups=groups), len(hits)
    value, n, effective = share.value, share.n, float(total)
    if n < total:
        if share.high is None:
            return share
        quantiles = t.ppf(0.975, total - 1), t.ppf(0.975, n - 1)
        variance, independent = ((share.high - value) / quantiles[1]) ** 2, value * (1.0 - value)
        effect = max(1.0, variance * (total - 1) / independent) if independent else 1.0
        effective *= (quantiles[0] / quantiles[1]) ** 2 / effect
    z = norm.ppf(0.975)
    centre, scale = value + z**2 / (2.0 * effective), 1.0 + z**2 / effective
    half = z * np.sqrt(value * (1.0 - value) / effective + (z / (2.0 * effective)) ** 2)
    low, high = max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)
    return Estimate(value, float(low), float(high), n)


def jackknife(
    counts: np.ndarray, statistic: Callable[[np.ndarray], float], groups: Groups | None = None
) -> Estimate:
    """Return a statistic of summed counts (U, K) -> (K,), with a t interval by leaving out groups.

    Args:
        counts: how often each utterance has each code.
        statistic: of counts (K,), such as `perplexity`.
        groups: labels (U,), such as the sentence of each utterance; by default all are independent.

    Raises:
        NotMeasured: there are no utterances.
    """
    counts = group_sums(counts, groups)
    if not counts.size:
        raise NotMeasured("there is nothing to measure it on")
    total, n = counts.sum(axis=0), len(counts)
    value = float(statistic(total))
    if n < 2:
        return Estimate(value, None, None, n)
    without = np.array([statistic(total - row) for row in counts])
    return _t_interval(value, np.sqrt((n - 1) / n * np.sum((without - without.mean()) ** 2)), n)


def group_means(values: Numbers, weights: Numbers, groups: Groups) -> dict[Hashable, float]:
    """Return sum(values) / sum(weights) of each group by its label, of those with a weight."""
    tops, bottoms = group_sums(values, groups), group_sums(weights, groups)
    labels = dict.fromkeys(groups)
    pairs = zip(labels, tops, bottoms, strict=True)
    return {label: float(top / bottom) for label, top, bottom in pairs if bottom}


def paired_difference(first: dict[Hashable, float], second: dict[Hashable, float]) -> Estimate:
    """Return the mean of second - first over the groups that both have, with a t interval.

    Raises:
        NotMeasured: they share fewer than two groups.
    """
    shared = [label for label in first if label in second]
    if len(shared) < 2:
        raise NotMeasured(f"{len(shared)} sentences in both; a paired comparison needs two or more")
    return ratio([second[label] - first[label] for label in shared])


def _t_interval(value: float, error: float, n: int) -> Estimate:
    """Return value ± t(0.975, n - 1) times its standard error."""
    from scipy.stats import t

    half = t.ppf(0.975, n - 1) * error
    return Estimate(float(value), float(value - half), float(value + half), n)
