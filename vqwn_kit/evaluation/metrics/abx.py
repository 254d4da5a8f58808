"""ABX error: are two tokens of one phone nearer to each other than to a token of another phone.

The definition of ZeroSpeech 2021 (Nguyen 2020, arXiv 2011.11588) as fastabx computes it (Poli 2025,
arXiv 2505.02692), without subsampling.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numba
import numpy as np

from vqwn_kit.evaluation.metrics.intervals import Estimate, Groups, NotMeasured, jackknife

BLOCK = 16  # tokens whose distances to all others are computed at once
DECIMALS = 12  # of cosines: rounding errors must not decide between tokens of equal frames


def compiled(function):
    """Compile a function by Numba, and cache it where a folder can be written."""
    try:
        return numba.njit(cache=True)(function)
    except RuntimeError:
        return numba.njit(function)


@dataclass(frozen=True)
class AbxTask:
    """The cells of a task: tokens A and X of one phone, B of another, in one context.

    Attributes:
        cells: int (C, 3), numbers of the groups of tokens A, B and X.
        order: int (M,), the tokens, group after group, ascending in each.
        starts: int (G + 1,), where each group begins in `order`.
        speaker_pairs: int (C,), the number of each cell's ordered pair of phones and speaker of A.
        pairs: int (P,), the ordered pair of phones of each of those numbers.
    """

    cells: np.ndarray
    order: np.ndarray
    starts: np.ndarray
    speaker_pairs: np.ndarray
    pairs: np.ndarray


def abx_task(
    phones: np.ndarray, contexts: np.ndarray, speakers: np.ndarray, across: bool
) -> AbxTask:
    """Return the cells of an ABX task.

    Args:
        phones: int (M,), the (centre) phone of each token.
        contexts: int (M,), such as the number of the pair of neighbouring phones; all equal for
            phones in any context.
        speakers: int (M,).
        across: X is of another speaker than A and B; else all three are of one.

    Raises:
        NotMeasured: there is no cell.
    """
    labels = np.stack([contexts, speakers, phones], axis=1)
    groups, inverse, sizes = np.unique(labels, axis=0, return_inverse=True, return_counts=True)
    of_phone: dict[tuple, list[int]] = {}
    of_speaker: dict[tuple, list[int]] = {}
    for number, (context, speaker, phone) in enumerate(groups.tolist()):
        of_phone.setdefault((context, phone), []).append(number)
        of_speaker.setdefault((context, speaker), []).append(number)
    cells = []
    for members in of_speaker.values():
        for a, b in permutations(members, 2):
            if across:
                same = of_phone[groups[a, 0], groups[a, 2]]
                cells += [(a, b, x) for x in same if x != a]
            elif sizes[a] > 1:
                cells.append((a, b, a))
    if not cells:
        raise NotMeasured(
            "no phone pair occurs in one context, with "
            + ("two speakers" if across else "the phone twice by a speaker")
        )
    a, b, _ = (table := np.array(cells)).T
    keys = np.stack([groups[a, 2], groups[b, 2], groups[a, 1]], axis=1)
    keys, speaker_pairs = np.unique(keys, axis=0, return_inverse=True)
    pairs = np.unique(keys[:, :2], axis=0, return_inverse=True)[1]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    order = np.argsort(inverse.ravel(), kind="stable")
    return AbxTask(table, order, starts, speaker_pairs.ravel(), pairs.ravel())


def token_distances(tokens: Sequence[np.ndarray], contexts: np.ndarray) -> np.ndarray:
    """Return the distances of tokens of equal context, float64 (M, M), NaN for the others.

    The mean along the path of dynamic time warping of the distances of frames: the angle over pi,
    0 to 1, of vectors; 0 or 1 of codes that are equal or not. Where paths cost the same, their
    lengths may differ, so the order of the two matters: X is the first.

    Args:
        tokens: M arrays of one or more frames, float (n, D), or int (n,) for codes.
        contexts: int (M,).
    """
    contexts = np.asarray(contexts)
    if np.ndim(tokens[0]) > 1:
        tokens = [_unit_vectors(token) for token in tokens]
    distances = np.full((len(tokens), len(tokens)), np.nan)
    for context in np.unique(contexts):
        members = np.flatnonzero(contexts == context)
        parts = [tokens[member] for member in members.tolist()]
        starts = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
        frames = np.concatenate(parts)
        for first in range(0, len(members), BLOCK):
            rows = starts[first : first + BLOCK + 1]
            lattice = _frame_distances(frames[rows[0] : rows[-1]], frames)
            block = np.ix_(members[first : first + BLOCK], members)
            distances[block] = _warped(lattice, rows - rows[0], starts)
    np.fill_diagonal(distances, np.nan)
    return distances


def _unit_vectors(token: np.ndarray) -> np.ndarray:
    """Return frames (n, D) at length 1, (n, D + 1); zeros have a direction of their own."""
    extended = np.pad(np.asarray(token, np.float64), ((0, 0), (0, 1)), constant_values=1e-12)
    return extended / np.linalg.norm(extended, axis=1, keepdims=True)


def _frame_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the distances of frames (n, ...) and (m, ...), float64 (n, m)."""
    if first.ndim == 1:
        return (first[:, None] != second).astype(np.float64)
    cosines = np.round(first @ second.T, DECIMALS)
    return np.arccos(np.clip(cosines, -1.0, 1.0, out=cosines)) / np.pi


@compiled
def _warped(lattice, rows, columns):
    """Return the mean distance along the cheapest path through each block of rows and columns.

    Ties go diagonally, then left.
    """
    means = np.empty((len(rows) - 1, len(columns) - 1))
    for row in range(len(rows) - 1):
        for column in range(len(columns) - 1):
            first, width = columns[column], columns[column + 1] - columns[column]
            cost, length = np.full(width, np.inf), np.zeros(width, np.int64)
            for i in range(rows[row], rows[row + 1]):
                diagonal, diagonal_steps = (0.0, 0) if i == rows[row] else (np.inf, 0)
                left, left_steps = np.inf, 0
                for j in range(width):
                    up, up_steps = cost[j], length[j]
                    if diagonal <= left and diagonal <= up:
                        best, steps = diagonal, diagonal_steps
                    elif left <= up:
                        best, steps = left, left_steps
                    else:
                        best, steps = up, up_steps
                    left, left_steps = best + lattice[i, first + j], steps + 1
                    diagonal, diagonal_steps = up, up_steps
                    cost[j], length[j] = left, left_steps
            means[row, column] = cost[-1] / length[-1]
    return means


@compiled
def _cell_errors(distances, cells, order, starts, groups, count):
    """Return the error of each cell without each group, and last with all, (C, count + 1).

    NaN where no triple is left. groups (M,) are numbers below count.
    """
    errors = np.full((len(cells), count + 1), np.nan)
    for number in range(len(cells)):
        a, b, x = cells[number]
        wrong, triples = np.zeros(count + 1), np.zeros(count + 1)  # with a token of each group
        for i in order[starts[x] : starts[x + 1]]:
            for j in order[starts[a] : starts[a + 1]]:
                if i == j:
                    continue
                near, g, h = distances[i, j], groups[i], groups[j]
                for k in order[starts[b] : starts[b + 1]]:
                    far, f = distances[i, k], groups[k]
                    error = 1.0 if near > far else 0.5 if near == far else 0.0
                    wrong[count] += error
                    triples[count] += 1
                    wrong[g] += error
                    triples[g] += 1
                    if h != g:
                        wrong[h] += error
                        triples[h] += 1
                    if f not in (g, h):
                        wrong[f] += error
                        triples[f] += 1
        for group in range(count):
            if triples[group] < triples[count]:
                rest = triples[count] - triples[group]
                errors[number, group] = (wrong[count] - wrong[group]) / rest
        if triples[count]:
            errors[number, count] = wrong[count] / triples[count]
    return errors


def abx_error(distances: np.ndarray, task: AbxTask) -> float:
    """Return the ABX error, 0 to 1, 0.5 at chance.

    The share of triples in which X is farther from A than from B, ties count one half; the mean
    over contexts (and speakers of X), then over speakers, then over ordered pairs of phones.

    Args:
        distances: (M, M), see `token_distances`.
        task: the cells.
    """
    return abx_estimate(distances, task, np.zeros(len(distances), int)).value


def abx_estimate(distances: np.ndarray, task: AbxTask, groups: Groups) -> Estimate:
    """Return the ABX error with a t interval by leaving out groups; see `abx_error`.

    There is no interval where one group is in all triples.

    Args:
        distances: (M, M), see `token_distances`.
        task: the cells.
        groups: M labels, such as the sentence of each token.
    """
    labels, numbers = np.unique(np.asarray(groups), return_inverse=True)
    count = len(labels)
    cells = _cell_errors(distances, task.cells, task.order, task.starts, numbers.ravel(), count)
    errors = [_collapsed(column, task) for column in cells.T]

    def error(kept: np.ndarray) -> float:
        return errors[-1] if kept.all() else errors[int(np.argmin(kept))]

    estimate = jackknife(np.eye(count), error)
    known = np.isfinite(errors).all() and estimate.low is not None
    return estimate if known else estimate._replace(low=None, high=None)


def _collapsed(errors: np.ndarray, task: AbxTask) -> float:
    """Return the mean of errors (C,) over contexts, then speakers, then pairs of phones."""
    of_pairs = _means(_means(errors, task.speaker_pairs), task.pairs)
    known = of_pairs[~np.isnan(of_pairs)]
    return float(known.mean()) if len(known) else float("nan")


def _means(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean of the values (M,) of each label that are not NaN; NaN if all are."""
    known, count = ~np.isnan(values), labels.max() + 1
    sums = np.bincount(labels[known], values[known], count)
    counts = np.bincount(labels[known], minlength=count)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
