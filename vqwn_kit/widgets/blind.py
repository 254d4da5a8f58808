"""A blind test as a state machine: shuffled tracks, answers -> lines of `listening.csv`."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.evaluation.metrics.listening_test import (
    RATINGS,
    append_answers,
    findings,
    read_answers,
)

MODES = ("rating", "abx")


class BlindTest:
    """One sitting of one listener.

    `rating`: all tracks, shuffled and named A, B, C, …, each get 1 (bad) to 5 (excellent).
    `abx`: X is A or B, drawn anew for each trial; the number of trials is fixed before, and what
    was right is said at the end only, since stopping at a lucky moment would make the p-value void.

    Args:
        names: of the tracks.
        mode: `rating` or `abx`.
        save: the CSV that answers are added to.
        item: what is heard, such as the utterance's key.
        listener: who hears.
        trials: of an ABX test.
        pair: the two tracks of an ABX test; the first two by default.
        seed: of all shuffling; drawn anew by default.

    Raises:
        InputError: no such mode or track, too few tracks, or no trials.
    """

    def __init__(
        self,
        names: Sequence[str],
        mode: str,
        save: str | Path,
        *,
        item: str = "",
        listener: str = "",
        trials: int = 10,
        pair: Sequence[str] | None = None,
        seed: int | None = None,
    ):
        names = list(names)
        if mode not in MODES:
            raise one_of("blind mode", mode, MODES)
        if len(names) < 2:
            raise InputError(f"{len(names)} track; a blind test needs two or more")
        if trials < 1:
            raise InputError(f"trials={trials}; expected 1 or more")
        pair = names[:2] if pair is None else list(pair)
        for name in pair:
            if name not in names:
                raise one_of("track", name, names)
        if mode == "abx" and (len(pair) != 2 or pair[0] == pair[1]):
            raise InputError(f"pair={pair}; expected the names of two tracks")
        self.names, self.mode, self.save = names, mode, Path(save)
        self.item, self.listener = item, listener
        self.trials = trials if mode == "abx" else 1
        self.trial, self.right, self.done = 1, 0, False
        self.ratings: dict[int, int] = {}
        self.results = ""
        self._rng = np.random.default_rng(seed)
        self.test = f"{time.strftime('%Y%m%d-%H%M%S')}-{np.random.default_rng().integers(10**6):06}"
        if mode == "rating":
            self.order = self._rng.permutation(len(names)).tolist()
        else:
            self.order = self._rng.permutation([names.index(name) for name in pair]).tolist()
            self.order.append(self._draw())

    def _draw(self) -> int:
        """Draw which of the two tracks is X."""
        return self.order[int(self._rng.integers(2))]

    @property
    def labels(self) -> list[str]:
        """What the tracks are called, in the order that they are shown in."""
        count = len(self.order)
        if self.mode == "abx":
            return ["A", "B", "X"]
        return [chr(65 + n) if count <= 26 else f"T{n + 1}" for n in range(count)]

    @property
    def state(self) -> dict:
        """What the browser is told: which track each label plays, and how far the test is."""
        revealed = [self.names[number] for number in self.order] if self.done else []
        return {
            "mode": self.mode, "labels": self.labels, "order": self.order, "trial": self.trial,
            "trials": self.trials, "done": self.done, "revealed": revealed,
            "ratings": [self.ratings.get(n, 0) for n in range(len(self.order))],
            "results": self.results,
        }  # fmt: skip

    def rate(self, label: int, value: int) -> None:
        """Note a rating, 1 to 5, of the track with a label; it may be changed until `finish`."""
        self._expect("rating")
        if value not in RATINGS or not 0 <= label < len(self.order):
            raise InputError(f"rating {value!r} of track {label!r}; expected 1 to 5")
        self.ratings[label] = value

    def finish(self, matched: bool = False) -> None:
        """Save the ratings and tell the names.

        Raises:
            InputError: some tracks aren't rated yet.
        """
        self._expect("rating")
        missing = [label for n, label in enumerate(self.labels) if n not in self.ratings]
        if missing:
            raise InputError(f"no rating for {', '.join(missing)} yet; rate all, then save")
        self._append(
            {"label": label, "track": self.names[self.order[n]], "answer": self.ratings[n]}
            | {"levels_matched": int(matched)}
            for n, label in enumerate(self.labels)
        )
        self._end()

    def answer(self, choice: str, matched: bool = False) -> None:
        """Save the answer to an ABX trial, that X is `A` or `B`, and go to the next."""
        self._expect("abx")
        if choice not in ("A", "B"):
            raise one_of("answer", choice, ("A", "B"))
        correct = self.order[2] == self.order["AB".index(choice)]
        other = next(number for number in self.order[:2] if number != self.order[2])
        row = {
            "label": "X", "track": self.names[self.order[2]], "other": self.names[other],
            "answer": choice, "correct": int(correct), "levels_matched": int(matched),
        }  # fmt: skip
        self._append([row])
        self.right += correct
        if self.trial == self.trials:
            self._end()
        else:
            self.trial += 1
            self.order = [*self.order[:2], self._draw()]

    def _expect(self, mode: str) -> None:
        if self.mode != mode or self.done:
            what = "is over; start another" if self.done else f"is a test of mode {self.mode!r}"
            raise InputError(f"this {what}")

    def _append(self, rows) -> None:
        shared = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "listener": self.listener,
            "item": self.item, "mode": self.mode, "test": self.test, "trial": self.trial,
        }  # fmt: skip
        append_answers(self.save, [shared | row for row in rows])

    def _end(self) -> None:
        self.done = True
        saved = read_answers(self.save)
        mine = [row for row in saved if row["test"] == self.test]
        lines = [f"This test. {finding}." for finding in findings(mine) if self.mode == "abx"]
        every = [row for row in saved if row["mode"] == self.mode and row["item"] == self.item]
        if self.mode == "rating" or len(every) > len(mine):
            sittings = len({row["test"] for row in every})
            of = f" of {self.item}" if self.item else ""
            lines += [f"All {sittings} tests{of}. " * (sittings > 1) + f"{finding}."
                      for finding in findings(every)
                      if self.mode == "abx" or self.names[0] in finding.tracks]  # fmt: skip
        self.results = "\n".join([*lines, f"Saved in {self.save}."])
