"""What is known about points -> what an explorer colours them by, leads to and tells."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NARROW = "\u00a0"  # a space that no line is broken at
MOST_GROUPS = 16  # that have a colour and marker of their own; the rarest are joined


@dataclass(frozen=True)
class Colour:
    """Something to colour points by.

    Attributes:
        name: what it is.
        values: M numbers, NaN where unknown; or M names, "" where unknown.
        unit: of the numbers, such as `%`.
        log: whether the scale of the numbers is logarithmic; they are above 0 then.
        groups: for names: the group that a name is coloured by, where there are too many names
            for colours. The name itself is then written beside the point.
    """

    name: str
    values: Sequence
    unit: str = ""
    log: bool = False
    groups: dict[str, str] | None = None

    def packed(self) -> dict:
        """Return it as a trait: numbers as float32, or the number of each point's group."""
        values = list(self.values)
        if not any(isinstance(value, str) for value in values):
            numbers = np.array(values, np.float32)
            return {"name": self.name, "kind": "number", "unit": self.unit, "log": self.log,
                    "values": numbers.tobytes()}  # fmt: skip
        names = [str(value) for value in values]
        groups = [(self.groups or {}).get(name, name) for name in names]
        counts = Counter(group for group in groups if group)
        if len(counts) > MOST_GROUPS:
            kept = {name for name, _ in counts.most_common(MOST_GROUPS - 1)}
            groups = [group if group in kept or not group else "others" for group in groups]
        order = dict.fromkeys([*(self.groups or {}).values(), *sorted(set(groups))])
        known = [group for group in order if group and group in groups]
        numbers = {group: number for number, group in enumerate(known)}
        chosen = np.array([numbers.get(group, -1) for group in groups], np.int32)
        return {"name": self.name, "kind": "name", "groups": known, "values": chosen.tobytes(),
                "labels": names if self.groups else []}  # fmt: skip


@dataclass(frozen=True)
class Link:
    """For each point, other points that it leads to, such as its nearest neighbours.

    Attributes:
        name: what they are.
        to: int (M, n), numbers of points, -1 for none.
        weights: float (M, n), said beside each, or None.
        unit: of the weights.
    """

    name: str
    to: np.ndarray
    weights: np.ndarray | None = None
    unit: str = ""

    def packed(self) -> dict:
        """Return it as a trait."""
        to = np.asarray(self.to, np.int32)
        weights = np.zeros(0) if self.weights is None else np.asarray(self.weights)
        return {"name": self.name, "count": to.shape[1], "to": to.tobytes(), "unit": self.unit,
                "weights": weights.astype(np.float32).tobytes()}  # fmt: skip


def nearest(vectors: np.ndarray, count: int = 5, among: np.ndarray | None = None) -> Link:
    """Return for each vector (M, D) the `count` nearest others, with their distances.

    Args:
        vectors: (M, D).
        count: how many at most.
        among: bool (M,), which may be neighbours; all by default.
    """
    vectors = np.asarray(vectors, np.float64)
    square = (vectors**2).sum(axis=1)
    distance = np.sqrt(np.maximum(0.0, square[:, None] + square - 2.0 * vectors @ vectors.T))
    np.fill_diagonal(distance, np.inf)
    if among is not None:
        distance[:, ~np.asarray(among)] = np.inf
    to = np.argsort(distance, axis=1, kind="stable")[:, : min(count, len(vectors) - 1)]
    near = np.take_along_axis(distance, to, axis=1)
    return Link(
        "nearest", np.where(np.isfinite(near), to, -1), np.where(np.isfinite(near), near, 0)
    )


def followers(codes: Sequence[np.ndarray], size: int, count: int = 5) -> Link:
    """Return for each of `size` codes which others most often come next, with their shares in %.

    A code that lasts isn't its own follower: what comes after it ends is counted.

    Args:
        codes: rows of codes (N,), one an utterance.
        size: K.
        count: how many at most.
    """
    table = np.zeros((size, size), np.int64)
    for row in codes:
        row = np.asarray(row)
        changes = row[:-1] != row[1:]
        np.add.at(table, (row[:-1][changes], row[1:][changes]), 1)
    to = np.argsort(-table, axis=1, kind="stable")[:, : min(count, size)]
    met = np.take_along_axis(table, to, axis=1)
    share = 100.0 * met / np.maximum(1, table.sum(axis=1, keepdims=True))
    return Link("next", np.where(met > 0, to, -1), share, "%")


def shares(
    table: np.ndarray, names: Sequence[str], most: int = 3, least: float = 0.05
) -> list[str]:
    """Say for each row of counts (M, P) which names are commonest: `AE 41 %, EH 22 %`."""
    table = np.asarray(table)
    total = np.maximum(1, table.sum(axis=1, keepdims=True))
    said = []
    for row in table / total:
        order = np.argsort(-row, kind="stable")[:most]
        told = [f"{names[p]} {100 * row[p]:.0f} %" for p in order if row[p] >= least]
        said.append(", ".join(told).replace(" ", NARROW).replace("," + NARROW, ", "))
    return said


def areas(sizes: np.ndarray) -> np.ndarray:
    """Return areas of dots, (M,) from 0 to 1, in proportion to sizes (M,).

    The largest 2 % are drawn alike: a code for silence would leave all others as specks.
    """
    sizes = np.asarray(sizes, np.float64)
    some = sizes[sizes > 0]
    return np.minimum(1.0, sizes / np.percentile(some, 98)) if len(some) else sizes
