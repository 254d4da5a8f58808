"""Estimates and their 95 % intervals."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

Numbers = Sequence[float] | np.ndarray


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


def ratio(numerators: Numbers, denominators: Numbers | None = None) -> Estimate:
    """Return sum(numerators) / sum(denominators) over utterances, with a t interval.

    Student's t with U - 1 degrees of freedom and the standard error of a ratio estimator
    (Cochran, Sampling Techniques, 2.11): sd(numerator - ratio denominator) / mean(denominator).

    Args:
        numerators: (U,), one per utterance, such as its errors or its bits.
        denominators: (U,), its weight: phones, or samples. All 1 by default: then it is the mean.

    Raises:
        NotMeasured: there are no utterances, or all weights are 0.
    """
    tops = np.asarray(numerators, np.float64)
    weights = np.ones_like(tops) if denominators is None else np.asarray(denominators, np.float64)
    if not len(tops) or not weights.sum():
        raise NotMeasured("there is nothing to measure it on")
    value, n = tops.sum() / weights.sum(), len(tops)
    if n < 2:
        return Estimate(float(value), None, None, n)
    error = np.std(tops - value * weights, ddof=1) / weights.mean() / np.sqrt(n)
    return _t_interval(value, error, n)


def proportion(hits: Numbers) -> Estimate:
    """Return the share of hits (n,), 0 to 1, with Wilson's interval (1927), valid at 0 and 1 too.

    Raises:
        NotMeasured: there are no observations.
    """
    from scipy.stats import binomtest

    count, n = int(np.sum(hits)), len(hits)
    if not n:
        raise NotMeasured("there is nothing to measure it on")
    limits = binomtest(count, n).proportion_ci(method="wilson")
    return Estimate(count / n, float(limits.low), float(limits.high), n)


def jackknife(counts: np.ndarray, statistic: Callable[[np.ndarray], float]) -> Estimate:
    """Return a statistic of summed counts (U, K) -> (K,), with a t interval by leaving out rows.

    Args:
        counts: how often each utterance has each code.
        statistic: of counts (K,), such as `perplexity`.
    """
    total, n = counts.sum(axis=0), len(counts)
    value = float(statistic(total))
    if n < 2:
        return Estimate(value, None, None, n)
    without = np.array([statistic(total - row) for row in counts])
    return _t_interval(value, np.sqrt((n - 1) / n * np.sum((without - without.mean()) ** 2)), n)


def _t_interval(value: float, error: float, n: int) -> Estimate:
    """Return value ± t(0.975, n - 1) times its standard error."""
    from scipy.stats import t

    half = t.ppf(0.975, n - 1) * error
    return Estimate(float(value), float(value - half), float(value + half), n)
