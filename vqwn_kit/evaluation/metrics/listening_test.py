"""Blind listening tests: answers, one line of `listening.csv` each, and their significance.

Exact tests only: an ABX test counts right answers against guessing (binomial, one-sided), ratings
count how often one track was rated above another (sign test, two-sided).
"""

import csv
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from vqwn_kit.errors import InputError

COLUMNS = tuple(
    "time listener item mode test trial label track other answer correct levels_matched".split()
)
RATINGS = (1, 2, 3, 4, 5)


def append_answers(path: str | Path, rows: Iterable[dict]) -> Path:
    """Append answers to a table.

    Args:
        path: the CSV; created with its header if it is missing.
        rows: dicts with the keys COLUMNS; a missing value is left empty.

    Raises:
        InputError: the file is not a table of answers.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.is_file() or not path.stat().st_size
    if not is_new:
        _check_header(path)
    is_cut = not is_new and path.read_bytes()[-1:] not in (b"\n", b"\r")
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write("\r\n" if is_cut else "")
        writer = csv.DictWriter(file, COLUMNS)
        if is_new:
            writer.writeheader()
        writer.writerows(rows)
        file.flush()
        os.fsync(file.fileno())
    return path


def read_answers(path: str | Path) -> list[dict[str, str]]:
    """Return the lines of a table of answers.

    Raises:
        InputError: there is no such file, or it is not a table of answers.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no answers at {path}: take a blind test first, with save={str(path)!r}")
    _check_header(path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        try:
            answers = list(rows)
            for row in answers:
                if None in row or None in row.values():
                    raise ValueError(f"{row} has more or fewer cells than the header")
                float(row["correct"] if row["mode"] == "abx" else row["answer"])
        except (csv.Error, ValueError) as error:
            raise InputError(
                f"{path} is damaged, up to line {rows.line_num} ({error!s:.200}): correct or "
                "remove that line"
            ) from error
    return answers


def _check_header(path: Path) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        try:
            header = next(csv.reader(file), [])
        except (csv.Error, UnicodeDecodeError) as error:
            raise InputError(f"{path} is not a table of answers ({error}): give another") from error
    if tuple(header) != COLUMNS:
        raise InputError(
            f"{path} is not a table of answers: its first line is {','.join(header)[:80]!r}, "
            f"expected {','.join(COLUMNS)!r}. Give another file"
        )


def binomial_p(right: int, trials: int, two_sided: bool = False) -> float:
    """Return the exact probability, 0 to 1, of `right` or more of `trials` by guessing with 1/2.

    With `two_sided`, of a count at least as far from the half.
    """
    from scipy.stats import binomtest

    if not 0 <= right <= trials:
        raise InputError(f"{right} right of {trials}; expected 0 to {trials}")
    alternative = "two-sided" if two_sided else "greater"
    return float(binomtest(right, trials, 0.5, alternative).pvalue) if trials else 1.0


@dataclass(frozen=True)
class Finding:
    """The result of a test of two tracks.

    Attributes:
        mode: `abx` or `rating`.
        tracks: the two names.
        count: right answers, or how often the first was rated above the second.
        trials: answers, or pairs of unequal ratings.
        p: the exact p-value.
        means: mean ratings of the two, if they were rated.
    """

    mode: str
    tracks: tuple[str, str]
    count: int
    trials: int
    p: float
    means: tuple[float, float] | None = None

    def __str__(self) -> str:
        """Return the result in one sentence."""
        first, second = self.tracks
        count, verdict = f"{self.count} of {self.trials}", "no difference is shown"
        if self.means is None:
            verdict = "the difference is audible" if self.p < 0.05 else verdict
            test = f"{first} / {second}: {count} right; p = {self.p:.3g} (exact binomial, against "
            return f"{test}guessing): {verdict}"
        verdict = "they are rated differently" if self.p < 0.05 else verdict
        test = f"{first} is above in {count} unequal ratings; p = {self.p:.3g} (sign test)"
        return f"{first} {self.means[0]:.1f}, {second} {self.means[1]:.1f}: {test}: {verdict}"


def findings(answers: Iterable[dict[str, str]]) -> list[Finding]:
    """Return a result for each pair of tracks of an ABX test, and for each pair of rated tracks.

    Example:
        for finding in findings(read_answers("results/mini/listening.csv")):
            print(finding)
    """
    right: dict[tuple[str, str], list[int]] = defaultdict(list)
    sheets: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    order: dict[str, None] = {}
    for row in answers:
        if row["mode"] == "abx":
            first, second = sorted((row["track"], row["other"]))
            right[first, second].append(int(row["correct"]))
        else:
            sheets[row["test"], row["item"]][row["track"]] = float(row["answer"])
            order.setdefault(row["track"])
    results = [
        Finding("abx", pair, sum(hits), len(hits), binomial_p(sum(hits), len(hits)))
        for pair, hits in right.items()
    ]
    for pair in combinations(order, 2):
        both = [[sheet[name] for name in pair] for sheet in sheets.values() if {*pair} <= {*sheet}]
        if both:
            results.append(_sign_test(pair, np.array(both)))
    return results


def _sign_test(tracks: tuple[str, str], ratings: np.ndarray) -> Finding:
    above = int((ratings[:, 0] > ratings[:, 1]).sum())
    unequal = int((ratings[:, 0] != ratings[:, 1]).sum())
    first, second = ratings.mean(axis=0)
    p = binomial_p(above, unequal, two_sided=True)
    return Finding("rating", tracks, above, unequal, p, (float(first), float(second)))
