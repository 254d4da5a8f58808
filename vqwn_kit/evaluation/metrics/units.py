"""Measures of speech units: what they say about phones, where they change, how steady they are."""

from collections.abc import Sequence

import numpy as np

from vqwn_kit.evaluation.metrics.codes import entropy
from vqwn_kit.evaluation.metrics.intervals import NotMeasured

TOLERANCE = 0.020  # s between a change of the code and a phone boundary


def as_symbols(codes: Sequence[np.ndarray]) -> tuple[list[np.ndarray], int]:
    """Return utterances as symbols, int (N,) each, and how many symbols there are.

    Args:
        codes: int (N,) each, which stay as they are, or (N, Q): each distinct tuple is a symbol.
    """
    if codes[0].ndim == 1:
        return list(codes), 1 + max(int(part.max(initial=0)) for part in codes)
    rows, inverse = np.unique(np.concatenate(codes), axis=0, return_inverse=True)
    ends = np.cumsum([len(part) for part in codes])
    return np.split(inverse.ravel(), ends[:-1]), len(rows)


def phone_normalised_information(table: np.ndarray) -> float:
    """Return I(phone; code) / H(phone), 0 to 1, from counts (K, P): PNMI.

    The share of the uncertainty of a frame's phone that its code removes
    ([Hsu 2021](https://arxiv.org/abs/2106.07447), section 4). From few frames it is too high, the
    more so the more codes there are: compare with codes by chance of the same K.

    Raises:
        NotMeasured: all frames are of one phone.
    """
    phones = entropy(table.sum(axis=0))
    if not phones:
        raise NotMeasured("there is only one phone")
    return (phones + entropy(table.sum(axis=1)) - entropy(table.ravel())) / phones


def phone_purity(table: np.ndarray) -> float:
    """Return the share of frames, 0 to 1, with the most frequent phone of their code.

    From counts (K, P): the mean over frames of max_phone p(phone | code) (Hsu 2021, section 4);
    1 where each code has one phone.
    """
    return float(table.max(axis=1).sum() / table.sum())


def cluster_purity(table: np.ndarray) -> float:
    """Return the share of frames, 0 to 1, with the most frequent code of their phone.

    From counts (K, P): the mean over frames of max_code p(code | phone) (Hsu 2021, section 4); 1
    where each phone has one code.
    """
    return float(table.max(axis=0).sum() / table.sum())


def change_times(codes: np.ndarray, frame_rate: float) -> np.ndarray:
    """Return the times in seconds, float (J,), at which codes (N,) change to another."""
    return (np.flatnonzero(np.diff(codes) != 0) + 1) / frame_rate


def boundary_counts(
    found: np.ndarray, reference: np.ndarray, tolerance: float = TOLERANCE
) -> np.ndarray:
    """Return hits, found boundaries and reference boundaries, int (3,).

    Each boundary is matched once at most; the number of hits is the largest that there is.

    Args:
        found: times in seconds, ascending, (J,).
        reference: the true times, ascending, (J',).
        tolerance: between two that match, in seconds.
    """
    hits = i = j = 0
    while i < len(found) and j < len(reference):
        if abs(found[i] - reference[j]) <= tolerance + 1e-9:  # for times that are equal but rounded
            hits, i, j = hits + 1, i + 1, j + 1
        elif found[i] < reference[j]:
            i += 1
        else:
            j += 1
    return np.array([hits, len(found), len(reference)])


def boundary_scores(counts: np.ndarray) -> dict[str, float]:
    """Return the scores of boundaries from hits, found and reference boundaries (3,).

    `precision`, `recall` and `F1`, 0 to 1; `over-segmentation`, found / reference - 1; and
    `R-value`, at most 1: 1 - (|r1| + |r2|) / 2 with the distance r1 of (over-segmentation, recall)
    from (0, 1) and that from the line on which more boundaries find none, r2 = (recall - 1 -
    over-segmentation) / sqrt 2 (Räsänen 2009, An improved speech segmentation quality measure: the
    R-value). It cannot be raised by more boundaries at random.

    Raises:
        NotMeasured: there is no reference boundary.
    """
    hits, found, reference = (float(count) for count in counts)
    if not reference:
        raise NotMeasured("there are no phone boundaries")
    precision, recall = hits / found if found else 0.0, hits / reference
    excess = found / reference - 1.0
    r1, r2 = np.hypot(1.0 - recall, excess), (recall - 1.0 - excess) / np.sqrt(2.0)
    return {
        "precision": precision,
        "recall": recall,
        "F1": 2.0 * hits / (found + reference),
        "over-segmentation": excess,
        "R-value": float(1.0 - (abs(r1) + abs(r2)) / 2.0),
    }


def without_repeats(codes: np.ndarray) -> np.ndarray:
    """Return codes (N,) without those that equal the one before, (N',)."""
    return codes[np.concatenate([[True], np.diff(codes) != 0])] if len(codes) else codes


def unit_edits(clean: np.ndarray, perturbed: np.ndarray) -> tuple[int, int]:
    """Return the edits between two sequences of codes without repeats, and the length of the first.

    Insertions, deletions and substitutions (Levenshtein 1966). Their ratio over utterances is the
    unit edit distance ([Gat 2022](https://arxiv.org/abs/2209.15483)): 0 where the units stay as
    they are when the sound is perturbed. It can exceed 1.

    Args:
        clean: int (N,).
        perturbed: int (N',).
    """
    first, second = without_repeats(clean), without_repeats(perturbed)
    columns = np.arange(len(second) + 1)
    row = columns
    for number, code in enumerate(first, start=1):
        best = np.minimum(row[1:] + 1, row[:-1] + (second != code))
        best = np.concatenate([[number], best])
        row = np.minimum.accumulate(best - columns) + columns  # insertions, from left to right
    return int(row[-1]), len(first)
