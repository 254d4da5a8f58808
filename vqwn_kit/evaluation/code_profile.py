"""All frames of a run -> what is known about each code: the facts of a code's page."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vqwn_kit.evaluation.frames import FrameIndex
from vqwn_kit.evaluation.metrics import (
    NotMeasured,
    code_phone_table,
    code_runs,
    lifts,
    nearest_vectors,
    transition_table,
)
from vqwn_kit.evaluation.phones import SOUNDS
from vqwn_kit.runs.codes import check_code, code_names, code_vectors

THIRDS = ("first third", "middle third", "last third")
BINS = 24  # of the histogram of distances
MOST = 8  # rows of phones, voices, codes before and after, and neighbours


@dataclass(frozen=True)
class Share:
    """A row of a code's table.

    Attributes:
        name: of the phone, voice, place or code.
        count: frames, or changes of the code.
        share: of the code's frames or changes, 0 to 1.
        lift: that share over the share among all frames or changes; see `lifts`.
        token: of the code, or -1.
    """

    name: str
    count: int
    share: float
    lift: float
    token: int = -1


@dataclass(frozen=True)
class Neighbour:
    """A near code: its token, name, distance and most frequent phone, "" where it is unknown."""

    token: int
    name: str
    distance: float
    phone: str


@dataclass(frozen=True)
class CodeProfile:
    """What is known about a code, in the utterances of an index.

    Attributes:
        token: q K + k of code k of codebook q.
        name: `k`, or `q:k` of several codebooks.
        count: its frames.
        percent: of all frames.
        phones, voices: its frames by phone and by voice, the most frequent first; phones are empty
            where they are not known.
        places: its frames by thirds of the `word` and of the `phone`, where these are known.
        before, after: the codes that it follows, and that follow it, repetitions skipped.
        lengths: int (R,), frames of each of its runs, in order.
        neighbours: the nearest codes of its codebook that are in use.
        distances: float (n,), from each of its frames to its vector.
        strongest: frames of the index nearest to its vector, one per utterance at most.
    """

    token: int
    name: str
    count: int
    percent: float
    phones: list[Share]
    voices: list[Share]
    places: dict[str, list[Share]]
    before: list[Share]
    after: list[Share]
    lengths: np.ndarray
    neighbours: list[Neighbour]
    distances: np.ndarray
    strongest: np.ndarray


class CodeProfiles:
    """The facts about all codes of an index, counted once.

    Args:
        index: all frames.

    Example:
        profiles = CodeProfiles(frame_index(evaluation_context(run, store)))
        profiles[17].phones[0].lift
    """

    def __init__(self, index: FrameIndex):
        self.index = index
        bottleneck = index.context.model.bottleneck
        self.size, self.num_codebooks = bottleneck.num_embeddings, bottleneck.num_codebooks
        self.names = code_names(self.size, self.num_codebooks)
        self.vectors = code_vectors(bottleneck)
        self.tokens = index.frames.codes + self.size * np.arange(self.num_codebooks)
        self.counts = np.bincount(self.tokens.ravel(), minlength=len(self.names))

    def token(self, code: int, codebook: int = 0) -> int:
        """Return the token of a code.

        Raises:
            InputError: no such code or codebook.
        """
        check_code(self.index.context.model.bottleneck, code, codebook)
        return int(codebook) * self.size + int(code)

    @cached_property
    def phones(self) -> np.ndarray | None:
        """Frames by code and phone, int (Q K, len(SOUNDS)), None where phones are not known."""
        known = self.index.phones
        return None if isinstance(known, NotMeasured) else self._count(known, len(SOUNDS))

    @cached_property
    def voices(self) -> np.ndarray:
        """Frames by code and voice, int (Q K, S)."""
        return self._count(self.index.voices, len(self.index.context.run.speakers))

    @cached_property
    def places(self) -> dict[str, np.ndarray]:
        """Frames by code and third of a `word` or `phone`, int (Q K, 3), where they are known."""
        tables = {}
        for kind in ("word", "phone"):
            within = self.index.places_in(kind)
            if np.isfinite(within).any():
                thirds = np.where(np.isfinite(within), np.nan_to_num(within) * 3, -1).astype(int)
                tables[kind] = self._count(np.minimum(thirds, 2), 3)
        return tables

    @cached_property
    def transitions(self) -> list[np.ndarray]:
        """Of each codebook how often a code follows another, int (K, K); `transition_table`."""
        columns = self.index.frames.codes.T
        parts = self.index.bounds.values()
        return [transition_table([col[part] for part in parts], self.size) for col in columns]

    @cached_property
    def runs(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Code and number of frames of each run, int (R,) each, of each codebook."""
        parts, found = self.index.bounds.values(), []
        for column in self.index.frames.codes.T:
            codes, _, lengths = zip(*(code_runs(column[part]) for part in parts), strict=True)
            found.append((np.concatenate(codes), np.concatenate(lengths)))
        return found

    @cached_property
    def neighbours(self) -> tuple[np.ndarray, np.ndarray]:
        """Tokens and distances, (Q K, MOST), of the nearest codes in use of the same codebook."""
        found = []
        for first in range(0, len(self.names), self.size):
            own = slice(first, first + self.size)
            to, far = nearest_vectors(self.vectors[own], MOST, self.counts[own] > 0)
            found.append((np.where(to < 0, -1, to + first), far))
        to, far = zip(*found, strict=True)
        return np.concatenate(to), np.concatenate(far)

    @cached_property
    def edges(self) -> np.ndarray:
        """Edges of the bins of all histograms of distances, float (BINS + 1,)."""
        top = float(np.quantile(self.index.frames.distances, 0.995))
        return np.linspace(0.0, top or 1.0, BINS + 1)

    def most_frequent_phone(self, token: int) -> str:
        """Return the most frequent phone of a code, "" where it is unknown or has no frame."""
        known = self.phones is not None and self.phones[token].sum()
        return SOUNDS[int(self.phones[token].argmax())] if known else ""

    def __getitem__(self, token: int) -> CodeProfile:
        """Return the facts about the code with a token."""
        codebook, code = divmod(token, self.size)
        frames = np.flatnonzero(self.index.frames.codes[:, codebook] == code)
        distances = self.index.frames.distances[frames, codebook]
        nearest_first = frames[np.argsort(distances, kind="stable")]
        changes = self.transitions[codebook]
        codes, lengths = self.runs[codebook]
        first, names = codebook * self.size, self.names[codebook * self.size :][: self.size]
        sounds = [] if self.phones is None else _shares(self.phones, token, SOUNDS)
        return CodeProfile(
            token,
            self.names[token],
            len(frames),
            100.0 * len(frames) / len(self.index),
            sounds,
            _shares(self.voices, token, list(self.index.context.run.speakers)),
            {kind: _shares(table, token, THIRDS, False) for kind, table in self.places.items()},
            _shares(changes.T, code, names, first=first),
            _shares(changes, code, names, first=first),
            lengths[codes == code],
            self._neighbours(token),
            distances,
            self.index.one_per_utterance(nearest_first, len(nearest_first)),
        )

    def _neighbours(self, token: int) -> list[Neighbour]:
        pairs = zip(*(part[token] for part in self.neighbours), strict=True)
        return [
            Neighbour(int(to), self.names[to], float(far), self.most_frequent_phone(to))
            for to, far in pairs
            if to >= 0
        ]

    def _count(self, labels: np.ndarray, size: int) -> np.ndarray:
        """Return how often code and label coincide, int (Q K, size); labels (M,), -1 left out."""
        repeated = np.repeat(labels, self.num_codebooks)
        return code_phone_table(self.tokens.ravel(), repeated, len(self.names), size)


def _shares(
    table: np.ndarray,
    row: int,
    names: Sequence[str],
    by_count: bool = True,
    first: int | None = None,
) -> list[Share]:
    """Return the rows of one code, the most frequent first, at most MOST; or all in order.

    `first` is the token of the first column where the columns are codes.
    """
    counts, total = table[row], table[row].sum()
    if not total:
        return []
    lift = lifts(np.stack([counts, table.sum(axis=0) - counts]))[0]
    columns = np.arange(len(names))
    if by_count:
        columns = np.argsort(-counts, kind="stable")[:MOST]
        columns = columns[counts[columns] > 0]
    return [
        Share(
            names[n],
            int(counts[n]),
            float(counts[n] / total),
            float(lift[n]),
            -1 if first is None else first + n,
        )
        for n in columns.tolist()
    ]
