"""Blind tests: what a listener answered -> a line of `listening.csv` each, and what they prove.

Exact tests only: an ABX test counts right answers against guessing (binomial, one-sided), ratings
count how often one track was rated above another (sign test, two-sided).
"""

import csv
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vqwn_kit.errors import InputError

COLUMNS = (
    "time", "listener", "item", "mode", "test", "trial", "label", "track", "other", "answer",
    "correct", "levels_matched",
)  # fmt: skip
RATINGS = (1, 2, 3, 4, 5)


def append_answers(path: str | Path, rows: Iterable[dict]) -> Path:
    """Add answers to a table; what it holds stays.

    Args:
        path: the CSV; made with its header where it is missing.
        rows: dicts with the keys COLUMNS; a missing one is left empty.

    Raises:
        InputError: the file is another table.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = not path.is_file() or not path.stat().st_size
    if not fresh:
        _check_header(path)
    broken = not fresh and path.read_bytes()[-1:] not in (b"\n", b"\r")
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write("\r\n" if broken else "")
        writer = csv.DictWriter(file, COLUMNS)
        if fresh:
            writer.writeheader()
        writer.writerows(rows)
        file.flush()
        os.fsync(file.fileno())
    return path


def read_answers(path: str | Path) -> list[dict[str, str]]:
    """Return the lines of a table of answers; InputError where it is missing or another table."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no answers at {path}: take a blind test first, with save={str(path)!r}")
    _check_header(path)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _check_header(path: Path) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file), [])
    if tuple(header) != COLUMNS:
        raise InputError(
            f"{path} isn't a table of answers: its first line is {','.join(header)[:80]!r}, "
            f"expected {','.join(COLUMNS)!r}. Give another file"
        )


def binomial_p(right: int, trials: int, two_sided: bool = False) -> float:
    """Return how likely `right` or more of `trials` are by guessing, each right with 1/2; exact.

    With `two_sided`, how likely a count at least so far from the half is.
    """
    from scipy.stats import binomtest

    if not 0 <= right <= trials:
        raise InputError(f"{right} right of {trials}; expected 0 to {trials}")
    alternative = "two-sided" if two_sided else "greater"
    return float(binomtest(right, trials, 0.5, alternative).pvalue) if trials else 1.0


@dataclass(frozen=True)
class Finding:
    """What the answers say about two tracks.

    Attributes:
        mode: `abx` or `rating`.
        tracks: the two names.
        count: right answers, or how often the first was rated above the second.
        trials: answers, or ratings that weren't equal.
        p: the exact p-value.
        means: mean ratings of the two, where they were rated.
    """

    mode: str
    tracks: tuple[str, str]
    count: int
    trials: int
    p: float
    means: tuple[float, float] | None = None

    def __str__(self) -> str:
        """Say it in words."""
        one, other = self.tracks
        proof = f"p = {self.p:.3g}"
        if self.mode == "abx":
            verdict = "the difference is heard" if self.p < 0.05 else "no difference is shown"
            return (
                f"{one} / {other}: {self.count} of {self.trials} right; {proof} (exact binomial, "
                f"against guessing): {verdict}"
            )
        verdict = "they are rated differently" if self.p < 0.05 else "no difference is shown"
        return (
            f"{one} {self.means[0]:.1f}, {other} {self.means[1]:.1f}: {one} is above in "
            f"{self.count} of {self.trials} unequal ratings; {proof} (sign test): {verdict}"
        )


def findings(answers: Iterable[dict[str, str]]) -> list[Finding]:
    """Return what answers prove: for each pair of an ABX test, and each pair of rated tracks.

    Example:
        for finding in findings(read_answers("results/mini/listening.csv")):
            print(finding)
    """
    right: dict[tuple[str, str], list[int]] = defaultdict(list)
    sheets: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    order: dict[str, None] = {}
    for row in answers:
        if row["mode"] == "abx":
            pair = tuple(sorted((row["track"], row["other"])))
            right[pair].append(int(row["correct"]))
        else:
            sheets[row["test"], row["item"]][row["track"]] = float(row["answer"])
            order.setdefault(row["track"])
    found = [
        Finding("abx", pair, sum(hits), len(hits), binomial_p(sum(hits), len(hits)))
        for pair, hits in right.items()
    ]
    names = list(order)
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            both = [(s[one], s[other]) for s in sheets.values() if {one, other} <= s.keys()]
            if both:
                found.append(_sign_test(one, other, np.array(both)))
    return found


def _sign_test(one: str, other: str, ratings: np.ndarray) -> Finding:
    above = int((ratings[:, 0] > ratings[:, 1]).sum())
    unequal = int((ratings[:, 0] != ratings[:, 1]).sum())
    means = tuple(map(float, ratings.mean(axis=0)))
    p = binomial_p(above, unequal, two_sided=True)
    return Finding("rating", (one, other), above, unequal, p, means)
