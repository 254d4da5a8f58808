"""Measures of phones: what codes say about them, and errors of a recogniser."""

from collections.abc import Sequence

import numpy as np


def code_phone_table(
    codes: np.ndarray, phones: np.ndarray, num_embeddings: int, num_phones: int
) -> np.ndarray:
    """Return how often each code coincides with each phone, int64 (K, P).

    Args:
        codes: int (M,), 0..K-1, one per frame.
        phones: int (M,), 0..P-1; -1 for frames without a phone, which are left out.
        num_embeddings: K.
        num_phones: P.
    """
    labelled = phones >= 0
    pairs = codes[labelled].astype(np.int64) * num_phones + phones[labelled]
    flat = np.bincount(pairs, minlength=num_embeddings * num_phones)
    return flat.reshape(num_embeddings, num_phones)


def phone_of_code(table: np.ndarray) -> np.ndarray:
    """Return each code's most frequent phone, int (K,), from counts (K, P).

    The map of [van den Oord 2017](https://arxiv.org/abs/1711.00937), section 4.3. A code without a
    phone gets the most frequent phone of all.
    """
    majority = np.argmax(table.sum(axis=0))
    return np.where(table.sum(axis=1) > 0, np.argmax(table, axis=1), majority)


def phone_information(table: np.ndarray, codes: np.ndarray, phones: np.ndarray) -> np.ndarray:
    """Return log2 p(phone | code) / p(phone) of each frame in bits, float64 (M,).

    The mean over frames that `table` was not counted on is a lower bound of the mutual information
    of code and phone, up to the difference between the phone frequencies of the two sets: H(phone)
    if the code determines the phone, 0 if it is independent of it. An estimate from the counts of
    one set alone is too high by about K P / (2 M ln 2) bits (Miller 1955).

    Args:
        table: counts (K, P) that the probabilities are estimated from.
        codes: int (M,) of other frames.
        phones: int (M,) of those, 0..P-1.
    """
    prior = (table.sum(axis=0) + 1.0) / (table.sum() + table.shape[1])
    strength = 1.0  # frames that the prior counts for, so that no p(phone | code) is 0
    given = (table + strength * prior) / (table.sum(axis=1, keepdims=True) + strength)
    return np.log2(given[codes, phones]) - np.log2(prior[phones])


def edit_distance(first: Sequence, second: Sequence) -> int:
    """Return the least insertions, deletions and substitutions between two sequences.

    Divided by the length of the reference it is the phone error rate (Levenshtein 1966).
    """
    row = list(range(len(second) + 1))
    for i, x in enumerate(first, start=1):
        corner, row[0] = row[0], i
        for j, y in enumerate(second, start=1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (x != y))
    return row[-1]
