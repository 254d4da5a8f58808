"""ABX error: fastabx's numbers, counting triples by hand, and known answers."""

from itertools import product

import numba
import numpy as np
import pytest

from vqwn_kit.evaluation.metrics import NotMeasured
from vqwn_kit.evaluation.metrics.abx import (
    abx_error,
    abx_estimate,
    abx_task,
    compiled,
    token_distances,
)

FASTABX = {  # computed once with fastabx 0.9 (torchdtw 0.4.2) on the tokens of `sixty_tokens`
    ("vectors", "triphones", False): 0.14795524658,
    ("vectors", "triphones", True): 0.20381392802,
    ("vectors", "any", False): 0.19364711518,
    ("vectors", "any", True): 0.20101268589,
    ("codes", "triphones", False): 0.51932228356,
    ("codes", "triphones", True): 0.52821870148,
    ("codes", "any", False): 0.53817386428,
    ("codes", "any", True): 0.50615844130,
}


def sixty_tokens():
    """Return labels of 60 tokens of 3 phones, 2 x 2 contexts, 3 speakers; vectors and codes."""
    rng, count = np.random.default_rng(0), 60
    phones, before, after = (rng.integers(0, high, count) for high in (3, 2, 2))
    speakers, lengths = rng.integers(0, 3, count), rng.integers(1, 9, count)
    centres = rng.normal(size=(3, 4))
    pairs = list(zip(phones, lengths, strict=True))
    vectors = [centres[phone] + rng.normal(size=(n, 4)) for phone, n in pairs]
    codes = [rng.integers(0, 3, n) * (rng.random(n) < 0.7) for _, n in pairs]
    contexts = {"triphones": 2 * before + after, "any": np.zeros(count, int)}
    return phones, speakers, contexts, {"vectors": vectors, "codes": codes}


@pytest.mark.parametrize("condition", FASTABX, ids=str)
def test_the_error_is_that_of_fastabx(condition):
    features, context, across = condition
    phones, speakers, contexts, tokens = sixty_tokens()
    distances = token_distances(tokens[features], contexts[context])
    task = abx_task(phones, contexts[context], speakers, across)
    assert abx_error(distances, task) == pytest.approx(FASTABX[condition], abs=1e-6)


@pytest.mark.parametrize("across", [False, True])
def test_the_error_is_the_mean_over_triples_then_contexts_speakers_and_pairs(across):
    phones, speakers, contexts, tokens = sixty_tokens()
    context, everyone = contexts["triphones"], np.arange(60)
    distances = token_distances(tokens["codes"], context)
    cells = {}
    for a, b, x in product(everyone, everyone, everyone):
        same = context[a] == context[b] == context[x] and speakers[a] == speakers[b]
        if same and phones[a] == phones[x] != phones[b] and a != x:
            if (speakers[x] != speakers[a]) == across:
                key = (phones[a], phones[b], speakers[a], context[a], speakers[x])
                difference = distances[x, a] - distances[x, b]
                cells.setdefault(key, []).append(0.5 + 0.5 * np.sign(difference))
    level = {key: np.mean(errors) for key, errors in cells.items()}
    for length in (3, 2, 0):
        above = {}
        for key, error in level.items():
            above.setdefault(key[:length], []).append(error)
        level = {key: np.mean(errors) for key, errors in above.items()}
    task = abx_task(phones, context, speakers, across)
    assert abx_error(distances, task) == pytest.approx(level[()], abs=1e-12)


def test_distances_are_means_along_the_cheapest_path():
    tokens = [np.array([1, 1, 2]), np.array([1, 2]), np.array([3])]
    distances = token_distances(tokens, np.zeros(3, int))
    assert np.isnan(np.diag(distances)).all()
    assert distances[0, 1] == 0.0  # 1-1, 1-1, 2-2
    assert distances[0, 2] == 1.0
    vectors = [np.array([[2.0, 0.0]]), np.array([[0.0, 3.0], [5.0, 0.0]]), np.array([[-1.0, 0.0]])]
    distances = token_distances(vectors, np.array([0, 0, 0]))
    assert distances[0, 1] == pytest.approx((0.5 + 0.0) / 2)
    assert distances[0, 2] == pytest.approx(1.0)
    assert np.isnan(token_distances(vectors, np.array([0, 1, 2]))).all()


def test_equal_frames_have_distance_0_whatever_is_rounded(rng):
    frame = rng.normal(size=(1, 64))
    distances = token_distances([frame, 3.0 * frame, np.zeros((2, 64)), np.zeros((1, 64))], [0] * 4)
    assert distances[0, 1] == 0.0
    assert distances[2, 3] == 0.0
    assert distances[0, 2] == pytest.approx(0.5)


def test_perfect_units_have_no_error_and_equal_ones_are_at_chance():
    phones, speakers = np.array([0, 0, 1, 1] * 2), np.array([0] * 4 + [1] * 4)
    contexts = np.zeros(8, int)
    for across in (False, True):
        task = abx_task(phones, contexts, speakers, across)
        perfect = token_distances([np.array([phone]) for phone in phones], contexts)
        assert abx_error(perfect, task) == 0.0
        assert abx_error(np.zeros((8, 8)), task) == 0.5
        assert abx_error(1.0 - perfect, task) == 1.0


def test_the_interval_is_by_leaving_out_groups():
    phones, speakers, contexts, tokens = sixty_tokens()
    distances = token_distances(tokens["vectors"], contexts["any"])
    task = abx_task(phones, contexts["any"], speakers, True)
    groups = np.arange(60) % 5
    estimate = abx_estimate(distances, task, groups)
    without = []
    for group in range(5):
        kept = groups != group
        parts = phones[kept], contexts["any"][kept], speakers[kept]
        rest = abx_task(*parts, True)
        without.append(abx_error(distances[np.ix_(kept, kept)], rest))
    error = np.sqrt(4 / 5 * np.sum((np.array(without) - np.mean(without)) ** 2))
    assert estimate.high - estimate.value == pytest.approx(2.7764451 * error)
    assert estimate.n == 5
    whole = abx_estimate(distances, task, np.zeros(60))
    assert (whole.low, whole.high) == (None, None)


def test_without_cells_there_is_no_error():
    labels = np.arange(4), np.zeros(4, int), np.zeros(4, int)
    for across in (False, True):
        with pytest.raises(NotMeasured, match="no phone pair occurs"):
            abx_task(*labels, across)


def double(x):
    return 2 * x


def test_functions_are_compiled_where_nothing_can_be_cached(monkeypatch):
    """As where the package and the home folder cannot be written to."""
    monkeypatch.setattr(numba.core.caching.CacheImpl, "_locator_classes", [])
    with pytest.raises(RuntimeError, match="cannot cache function"):
        numba.njit(cache=True)(double)
    assert compiled(double)(3) == 6
