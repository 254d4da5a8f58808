"""Where codes occur: with which labels, in which order, for how long, where in a span."""

from collections.abc import Iterable, Sequence

import numpy as np

Span = tuple[float, float, str]  # start and end in seconds, name


def lifts(table: np.ndarray) -> np.ndarray:
    """Return p(label | code) / p(label), float (K, P), from counts (K, P).

    1 where code and label are independent, above 1 where the label is more frequent with the code
    than in all frames; the lift of association rules ([Brin
    1997](https://doi.org/10.1145/253260.253325)), whose logarithm is the pointwise mutual
    information. NaN for a code or a label that never occurs. From few frames it is extreme by
    chance: read it beside the count.
    """
    table = np.asarray(table, np.float64)
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0)
    return np.divide(
        table * table.sum(), expected, out=np.full(table.shape, np.nan), where=expected > 0
    )


def transition_table(codes: Iterable[np.ndarray], size: int) -> np.ndarray:
    """Return how often code b follows code a, int64 (K, K), row a and column b; 0 for a = b.

    Repetitions are skipped: of 7 7 7 9 one change, from 7 to 9, is counted.

    Args:
        codes: int (N,) of each utterance.
        size: K.
    """
    table = np.zeros((size, size), np.int64)
    for row in map(np.asarray, codes):
        changes = row[:-1] != row[1:]
        np.add.at(table, (row[:-1][changes], row[1:][changes]), 1)
    return table


def code_runs(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return code, first frame and number of frames, int (R,) each, of the runs of codes (N,)."""
    codes = np.asarray(codes)
    starts = np.flatnonzero(np.concatenate([[True], codes[1:] != codes[:-1]]))[: len(codes)]
    return codes[starts], starts, np.diff([*starts, len(codes)])


def nearest_vectors(
    vectors: np.ndarray, count: int, among: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each vector (M, D) the `count` nearest others, and their Euclidean distances.

    Args:
        vectors: (M, D).
        count: how many at most.
        among: bool (M,), which may be neighbours; all by default.

    Returns:
        Numbers int (M, n), -1 where there are no more, and distances float (M, n), 0 there.
    """
    vectors = np.asarray(vectors, np.float64)
    square = (vectors**2).sum(axis=1)
    distance = np.sqrt(np.maximum(0.0, square[:, None] + square - 2.0 * vectors @ vectors.T))
    np.fill_diagonal(distance, np.inf)
    if among is not None:
        distance[:, ~np.asarray(among)] = np.inf
    to = np.argsort(distance, axis=1, kind="stable")[:, : min(count, len(vectors) - 1)]
    near = np.take_along_axis(distance, to, axis=1)
    finite = np.isfinite(near)
    return np.where(finite, to, -1), np.where(finite, near, 0)


def place_in_span(spans: Sequence[Span], num_frames: int, frame_rate: float) -> np.ndarray:
    """Return where the middle of each frame lies in its span, float (N,), 0 start to 1 end.

    Args:
        spans: such as words; those without a name, and `SIL`, are left out.
        num_frames: N.
        frame_rate: frames per second.

    Returns:
        NaN outside of all spans.
    """
    places = np.full(num_frames, np.nan)
    middles = (np.arange(num_frames) + 0.5) / frame_rate
    for start, end, name in spans:
        if name.strip() and name != "SIL":
            inside = (middles >= start) & (middles < end)
            places[inside] = (middles[inside] - start) / (end - start)
    return places
