"""Sequences of codes -> smoothed n-gram models, the baselines of a prior.

The counts of each order are discounted by a constant, or to 0 where they are smaller, and the freed
probability goes to the next lower order, down to the uniform distribution over K codes. Where lower
orders count the contexts of a code, this is interpolated Kneser-Ney smoothing; where they count its
occurrences, interpolated absolute discounting (Chen and Goodman 1999, An empirical study of
smoothing techniques). The constant may exceed 1, because V encodings of an utterance repeat its
n-grams up to V times; with an infinite one the order falls back to the lower one.

Of several codebooks the sequences are tokens, see `flatten_codes`. The place of a token says its
codebook, so the unigram's context is the codebook, and only its K codes share the probability.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from vqwn_kit.errors import InputError, one_of

DISCOUNTS = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0, np.inf)
SMOOTHING = ("kneser_ney", "absolute")


class NGram:
    """A smoothed n-gram model of codes.

    Args:
        sequences: int (N_u,), 0..K-1, one per utterance, or (V, N_u), several encodings of it.
            Before the first code stands a symbol of its own. Of several codebooks tokens (N_u Q,).
        num_embeddings: K.
        order: 1 for a unigram, 2 for a bigram, and so on; 0 for the uniform distribution.
        discounts: subtracted from each count, 0 or more, (order,), that of the unigram first.
        smoothing: `kneser_ney` or `absolute`.
        num_codebooks: Q.

    Raises:
        InputError: codes out of range, or an order that is too high to be counted.

    Example:
        bigram = NGram.fitted(sequences, 512, order=2)
        bigram.bits(codes)                                      # (N,), bits of each code
    """

    def __init__(
        self,
        sequences: Sequence[np.ndarray],
        num_embeddings: int,
        order: int,
        discounts: Sequence[float],
        smoothing: str = "kneser_ney",
        num_codebooks: int = 1,
    ):
        if smoothing not in SMOOTHING:
            raise one_of("smoothing", smoothing, SMOOTHING)
        self.num_embeddings, self.size = num_embeddings, num_codebooks * num_embeddings
        highest = int(62 / np.log2(self.size + 1))
        if not 0 <= order <= highest:
            raise InputError(f"order is {order}; expected 0 to {highest} with {self.size} codes")
        if len(discounts) != order or not all(d >= 0 for d in discounts):
            raise InputError(f"discounts are {discounts}; expected {order} numbers of 0 or more")
        self.order = order
        self.discounts, self.smoothing = tuple(discounts), smoothing
        rows = [row for codes in sequences for row in np.atleast_2d(codes)]
        self._tables = self._counted([as_codes(row, self.size) for row in rows])

    @classmethod
    def fitted(
        cls,
        sequences: Sequence[np.ndarray],
        num_embeddings: int,
        order: int,
        folds: int = 5,
        num_codebooks: int = 1,
    ) -> "NGram":
        """Return the model with the best smoothing by cross-validation over utterances.

        The discounts are selected one order after the other, the lowest first, for either kind of
        smoothing: by the bits of the orders up to it, then again by those of the whole model. All
        encodings of an utterance are counted; the first one is validated on.
        """
        folds = min(folds, len(sequences))
        if folds < 2 or not order:
            half = (0.5,) * order
            return cls(sequences, num_embeddings, order, half, num_codebooks=num_codebooks)
        first = [
            as_codes(np.atleast_2d(codes)[0], num_codebooks * num_embeddings) for codes in sequences
        ]
        tests = [first[f::folds] for f in range(folds)]
        trains = [[s for i, s in enumerate(sequences) if i % folds != f] for f in range(folds)]
        results = []
        for smoothing in SMOOTHING:
            models = [
                cls(fold, num_embeddings, order, (0.5,) * order, smoothing, num_codebooks)
                for fold in trains
            ]
            passes = [(place, place + 1) for place in range(order)]
            passes += [(place, order) for place in range(order)]
            for place, highest in passes:
                costs = [
                    sum(
                        model.discounted(place, discount)._bits(fold, highest).sum()
                        for model, fold in zip(models, tests, strict=True)
                    )
                    for discount in DISCOUNTS
                ]
                best = DISCOUNTS[int(np.argmin(costs))]
                models = [model.discounted(place, best) for model in models]
            results.append((min(costs), smoothing, models[0].discounts))
        _, smoothing, discounts = min(results)
        return cls(sequences, num_embeddings, order, discounts, smoothing, num_codebooks)

    def discounted(self, place: int, discount: float) -> "NGram":
        """Return the same counts with another discount of order `place` + 1."""
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.discounts = (*self.discounts[:place], discount, *self.discounts[place + 1 :])
        return other

    def _counted(self, sequences: list[np.ndarray]) -> list["_Counts"]:
        """Return the counts of each order, the unigram's first."""
        size = self.size
        keys = np.concatenate([self._keys(codes, self.order) for codes in sequences] or [[]])
        grams, counts = np.unique(keys.astype(np.int64), return_counts=True)
        tables: list[_Counts] = []
        for length in range(self.order, 0, -1):
            tables.insert(0, _Counts(grams, counts, size if length > 1 else self.num_embeddings))
            shorter = grams % ((size + 1) ** max(0, length - 2) * size)
            weights = np.ones_like(counts) if self.smoothing == "kneser_ney" else counts
            grams, places = np.unique(shorter, return_inverse=True)
            counts = np.bincount(places, weights).astype(np.int64)
        return tables

    def _keys(self, codes: np.ndarray, length: int) -> np.ndarray:
        """Return the key of the n-gram that ends at each code, int64 (N,)."""
        size = self.size
        padded = np.concatenate([np.full(max(0, length - 1), size), codes]).astype(np.int64)
        keys = np.zeros(len(codes), np.int64)
        for place in range(length - 1):
            keys = keys * (size + 1) + padded[place : place + len(codes)]
        return keys * size + codes

    def bits(self, codes: np.ndarray, order: int | None = None) -> np.ndarray:
        """Return the bits of each code given those before it, float64 (N,).

        Args:
            codes: int (N,), the beginning of an utterance.
            order: of the model by default, or a lower one.
        """
        order = self.order if order is None else order
        return self._bits([as_codes(codes, self.size)], order)

    def _bits(self, sequences: list[np.ndarray], order: int) -> np.ndarray:
        """Return the bits of each code of sequences int64 (N_u,), one after the other, (M,)."""
        share = np.full(sum(map(len, sequences)), 1.0 / self.num_embeddings)
        for length in range(1, order + 1):
            table, discount = self._tables[length - 1], self.discounts[length - 1]
            keys = np.concatenate([self._keys(codes, length) for codes in sequences])
            share = table.interpolated(keys, share, discount)
        return -np.log2(share)


class _Counts:
    """Counts of the n-grams of one order; `grams` are sorted keys, context times size plus code.

    Divided by K, the token of a unigram gives its codebook as the context.
    """

    def __init__(self, grams: np.ndarray, counts: np.ndarray, size: int):
        self.grams, self.counts, self.size = grams, counts, size

    @cached_property
    def contexts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Contexts, the place of each n-gram's among them, and the occurrences of each."""
        contexts, places = np.unique(self.grams // self.size, return_inverse=True)
        return contexts, places, np.bincount(places, self.counts)

    def interpolated(self, keys: np.ndarray, lower: np.ndarray, discount: float) -> np.ndarray:
        """Return probabilities (M,) of n-grams; those of `lower` order after unknown contexts."""
        contexts, places, totals = self.contexts
        if not len(contexts):
            return lower
        removed = np.minimum(self.counts, discount)
        freed = np.bincount(places, removed)
        gram, known = _look_up(self.grams, keys)
        kept = np.where(known, self.counts[gram] - removed[gram], 0.0)
        context, known = _look_up(contexts, keys // self.size)
        return np.where(known, (kept + freed[context] * lower) / totals[context], lower)


def _look_up(ordered: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of keys in an ordered array, and whether they are there."""
    places = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
    return places, ordered[places] == keys


def as_codes(codes: Sequence, num_embeddings: int, num_codebooks: int = 1) -> np.ndarray:
    """Return codes (N,), or (N, Q) of several codebooks, or those of a batch of one, as int64.

    Raises:
        InputError: another shape, or codes out of 0..K-1.
    """
    codes = np.asarray(codes)
    shape = () if num_codebooks == 1 else (num_codebooks,)
    codes = codes[0] if codes.ndim == 2 + len(shape) and len(codes) == 1 else codes
    whole = codes.dtype.kind in "iu" or not codes.size
    if codes.ndim != 1 + len(shape) or codes.shape[1:] != shape or not whole:
        expected = ", ".join(["N", *map(str, shape)]) if shape else "N,"
        raise InputError(
            f"codes of shape {codes.shape}, {codes.dtype}; expected whole numbers ({expected})"
        )
    if codes.size and (codes.min() < 0 or codes.max() >= num_embeddings):
        raise InputError(
            f"codes from {codes.min()} to {codes.max()}; expected 0..{num_embeddings - 1}"
        )
    return codes.astype(np.int64)
