"""Facts about points -> the colours, links and texts of an explorer."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vqwn_kit.evaluation.metrics.occurrence import nearest_vectors, transition_table

NARROW = "\u00a0"  # a space at which no line is broken
MOST_GROUPS = 16  # with a colour and marker of their own; the rarest are merged


@dataclass(frozen=True)
class Colour:
    """A quantity or category to colour points by.

    Attributes:
        name: of the quantity.
        values: M numbers, NaN where unknown; or M names, "" where unknown; or colours, uint8
            (M, 3).
        unit: of the numbers, such as `%`.
        log: whether the scale of the numbers is logarithmic; they are above 0 then.
        groups: for names: the group that a name is coloured by, where there are too many names
            for colours. The name itself is then written beside the point.
        order: for names: those that have the first colours, whether they occur or not, such as
            `SEXES`. So do the values of `groups`.
    """

    name: str
    values: Sequence
    unit: str = ""
    log: bool = False
    groups: dict[str, str] | None = None
    order: Sequence[str] = ()

    def packed(self) -> dict:
        """Return it as a trait: numbers as float32, or the number of each point's group."""
        if np.ndim(self.values) == 2:
            colours = np.asarray(self.values, np.uint8)
            return {"name": self.name, "values": colours.tobytes(), "kind": "rgb"}
        values = list(self.values)
        if not any(isinstance(value, str) for value in values):
            numbers = np.array(values, np.float32).tobytes()
            kind = {"kind": "number", "unit": self.unit, "log": self.log}
            return {"name": self.name, "values": numbers, **kind}
        names = [str(value) for value in values]
        groups = [(self.groups or {}).get(name, name) for name in names]
        counts = Counter(group for group in groups if group)
        if len(counts) > MOST_GROUPS:
            kept = {name for name, _ in counts.most_common(MOST_GROUPS - 1)}
            groups = [group if group in kept or not group else "others" for group in groups]
        fixed = [*(self.groups or {}).values(), *self.order]
        known = [group for group in dict.fromkeys([*fixed, *sorted(set(groups))]) if group]
        numbers = {group: number for number, group in enumerate(known)}
        chosen = np.array([numbers.get(group, -1) for group in groups], np.int32).tobytes()
        kind = {"kind": "name", "groups": known, "labels": names if self.groups else []}
        return {"name": self.name, "values": chosen, **kind}


@dataclass(frozen=True)
class Link:
    """For each point, other points that it leads to, such as its nearest neighbours.

    Attributes:
        name: of the relation.
        to: int (M, n), numbers of points, -1 for none.
        weights: float (M, n), shown beside each, or None.
        unit: of the weights.
    """

    name: str
    to: np.ndarray
    weights: np.ndarray | None = None
    unit: str = ""

    def packed(self) -> dict:
        """Return it as a trait."""
        to = np.asarray(self.to, np.int32)
        weights = np.asarray([] if self.weights is None else self.weights, np.float32)
        sizes = {"name": self.name, "count": to.shape[1], "unit": self.unit}
        return {**sizes, "to": to.tobytes(), "weights": weights.tobytes()}


def nearest(vectors: np.ndarray, count: int = 5, among: np.ndarray | None = None) -> Link:
    """Return for each vector (M, D) the `count` nearest others, with their distances.

    Args:
        vectors: (M, D).
        count: how many at most.
        among: bool (M,), which may be neighbours; all by default.
    """
    return Link("nearest", *nearest_vectors(vectors, count, among))


def followers(codes: Sequence[np.ndarray], size: int, count: int = 5) -> Link:
    """Return for each of `size` codes the codes that most often come next, with their shares in %.

    Repetitions of a code are skipped: the code after its last repetition counts.

    Args:
        codes: codes (N,) of each utterance.
        size: K.
        count: how many at most.
    """
    table = transition_table(codes, size)
    to = np.argsort(-table, axis=1, kind="stable")[:, : min(count, size)]
    counts = np.take_along_axis(table, to, axis=1)
    share = 100.0 * counts / np.maximum(1, table.sum(axis=1, keepdims=True))
    return Link("next", np.where(counts > 0, to, -1), share, "%")


def shares(
    table: np.ndarray, names: Sequence[str], most: int = 3, least: float = 0.05, each: int = 1
) -> list[str]:
    """Return for each row of counts (M, P) the commonest names as text: `AE 41 %, EH 22 %`.

    Where an observation has `each` names, as a frame has a code of each codebook, shares are of
    the observations.
    """
    table = np.asarray(table)
    total = np.maximum(1, table.sum(axis=1, keepdims=True) / each)
    texts = []
    for row in table / total:
        order = np.argsort(-row, kind="stable")[:most]
        parts = [f"{names[p]} {100 * row[p]:.0f} %" for p in order if row[p] >= least]
        texts.append(", ".join(part.replace(" ", NARROW) for part in parts))
    return texts


def areas(sizes: np.ndarray) -> np.ndarray:
    """Return areas of dots, (M,) from 0 to 1, in proportion to sizes (M,).

    The largest 2 % have the same area: a code for silence would make all others tiny.
    """
    sizes = np.asarray(sizes, np.float64)
    positive = sizes[sizes > 0]
    return np.minimum(1.0, sizes / np.percentile(positive, 98)) if len(positive) else sizes
