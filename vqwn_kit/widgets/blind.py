"""A blind listening test as a state machine: shuffled tracks, answers -> rows of listening.csv."""

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
    """One session of one listener.

    `rating`: all tracks, shuffled and named A, B, C, ..., each rated from 1 (bad) to 5 (excellent).
    `abx`: X is A or B, drawn again for each trial. The number of trials is fixed before, and the
    results are shown at the end only: stopping at a favourable moment would invalidate the p-value.

    Args:
        names: of the tracks.
        mode: `rating` or `abx`.
        save: the CSV that answers are added to.
        item: what is played, such as the utterance's key.
        listener: name of the listener.
        trials: of an ABX test.
        pair: the two tracks of an ABX test; the first two by default.
        seed: of the shuffling; random by default.

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
        """Names of the tracks during the test, in the order that they are shown in."""
        count = len(self.order)
        if self.mode == "abx":
            return ["A", "B", "X"]
        return [chr(65 + n) if count <= 26 else f"T{n + 1}" for n in range(count)]

    @property
    def state(self) -> dict:
        """What the browser needs: the track that each label plays, and the progress of the test."""
        names = ("mode", "labels", "order", "trial", "trials", "done", "results")
        revealed = [self.names[number] for number in self.order] if self.done else []
        ratings = [self.ratings.get(n, 0) for n in range(len(self.order))]
        state = {name: getattr(self, name) for name in names}
        return state | {"revealed": revealed, "ratings": ratings}

    def rate(self, label: int, value: int) -> None:
        """Note a rating, 1 to 5, of the track with a label; it may be changed until `finish`."""
        self._expect("rating")
        if value not in RATINGS or not 0 <= label < len(self.order):
            raise InputError(f"rating {value!r} of track {label!r}; expected 1 to 5")
        self.ratings[label] = value

    def finish(self, matched: bool = False) -> None:
        """Save the ratings and reveal the names.

        Raises:
            InputError: some tracks are not rated yet.
        """
        self._expect("rating")
        missing = [label for n, label in enumerate(self.labels) if n not in self.ratings]
        if missing:
            raise InputError(f"no rating for {', '.join(missing)} yet; rate all, then save")
        rows = [
            {"label": label, "track": self.names[self.order[n]], "answer": self.ratings[n]}
            for n, label in enumerate(self.labels)
        ]
        self._append(matched, rows)
        self._end()

    def answer(self, choice: str, matched: bool = False) -> None:
        """Save the answer to an ABX trial, that X is `A` or `B`, and continue with the next."""
        self._expect("abx")
        if choice not in ("A", "B"):
            raise one_of("answer", choice, ("A", "B"))
        x = self.order[2]
        correct = x == self.order["AB".index(choice)]
        (other,) = (number for number in self.order[:2] if number != x)
        row = {"label": "X", "track": self.names[x], "other": self.names[other], "answer": choice}
        self._append(matched, [row | {"correct": int(correct)}])
        self.right += correct
        if self.trial == self.trials:
            self._end()
        else:
            self.trial += 1
            self.order = [*self.order[:2], self._draw()]

    def _expect(self, mode: str) -> None:
        if self.done:
            raise InputError("this test is over; start another")
        if self.mode != mode:
            raise InputError(f"this is a test of mode {self.mode!r}")

    def _append(self, matched: bool, rows: list[dict]) -> None:
        names = ("listener", "item", "mode", "test", "trial")
        shared = {name: getattr(self, name) for name in names}
        shared |= {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "levels_matched": int(matched)}
        append_answers(self.save, [shared | row for row in rows])

    def _end(self) -> None:
        self.done = True
        saved = read_answers(self.save)
        session = [row for row in saved if row["test"] == self.test]
        lines = [f"This test. {finding}." for finding in findings(session) if self.mode == "abx"]
        every = [row for row in saved if row["mode"] == self.mode and row["item"] == self.item]
        if self.mode == "rating" or len(every) > len(session):
            count = len({row["test"] for row in every})
            of = f" of {self.item}" if self.item else ""
            heading = f"All {count} tests{of}. " if count > 1 else ""
            for finding in findings(every):
                if self.mode == "abx" or self.names[0] in finding.tracks:
                    lines.append(f"{heading}{finding}.")
        self.results = "\n".join([*lines, f"Saved in {self.save}."])
