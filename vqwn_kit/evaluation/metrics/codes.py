"""Measures of codes and of the probabilities that a model gives them."""

from collections.abc import Sequence

import numpy as np


def code_counts(codes: np.ndarray, num_embeddings: int) -> np.ndarray:
    """Return how often each code occurs, int64 (K,), in codes of any shape."""
    return np.bincount(np.ravel(codes), minlength=num_embeddings)


def entropy(counts: np.ndarray) -> float:
    """Return the entropy in bits, 0 to log2 K, of the distribution with counts (K,)."""
    share = np.asarray(counts, np.float64) / np.sum(counts)
    share = share[share > 0]
    return float(np.sum(share * -np.log2(share)))


def miller_madow(counts: np.ndarray) -> float:
    """Return the entropy in bits of the distribution that counts (K,) are a sample of.

    The entropy of a sample's own shares is too low by about (codes used - 1) / (2 M) nats for M
    independent draws; that is added (Miller 1955, Note on the bias of information estimates; see
    [Paninski 2003](https://doi.org/10.1162/089976603321780272)). Neighbouring frames are not
    independent, so the correction is too small for codes of speech.
    """
    counts = np.asarray(counts)
    return entropy(counts) + (np.count_nonzero(counts) - 1) / (2.0 * np.log(2.0) * counts.sum())


def perplexity(counts: np.ndarray) -> float:
    """Return 2 to the entropy of counts (K,): K if all codes are equally frequent, 1 if one is."""
    return float(2.0 ** entropy(counts))


def mean_perplexity(counts: np.ndarray) -> float:
    """Return the geometric mean of the perplexities of codebooks with counts (Q, K), 1 to K."""
    return float(2.0 ** np.mean([entropy(row) for row in counts]))


def bigram_bits(
    training: Sequence[np.ndarray], sequences: Sequence[np.ndarray], size: int
) -> list[np.ndarray]:
    """Return the bits of each symbol of sequences under a bigram model of other sequences.

    Interpolated with the unigram by Witten and Bell's method (1991): the more symbols follow a
    symbol in training, the more probability goes to those that never did. It is the length of a
    code that can be decoded, an upper bound of the entropy per symbol.

    Args:
        training: int (N_u,), 0..L-1, that the model is of.
        sequences: int (N_u,), whose bits are returned; the first of each is under the unigram.
        size: L.
    """
    pairs = np.zeros((size, size))
    for symbols in training:
        np.add.at(pairs, (symbols[:-1], symbols[1:]), 1)
    unigram = 1.0 + code_counts(np.concatenate(training), size)
    unigram /= unigram.sum()
    followers = np.maximum(1, np.count_nonzero(pairs, axis=1, keepdims=True))
    bigram = (pairs + followers * unigram) / (pairs.sum(axis=1, keepdims=True) + followers)
    return [
        -np.log2(np.concatenate([unigram[symbols[:1]], bigram[symbols[:-1], symbols[1:]]]))
        for symbols in sequences
    ]


def calibration(
    predicted: np.ndarray, happened: np.ndarray, bins: int = 15
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compare predicted probabilities with the frequency of the predicted events.

    Args:
        predicted: (M,), 0 to 1.
        happened: bool (M,).
        bins: number of equal bins between 0 and 1.

    Returns:
        For each bin that is not empty: mean probability, share that happened, and number.
    """
    places = np.minimum((np.asarray(predicted) * bins).astype(int), bins - 1)
    counts = np.bincount(places, minlength=bins)
    filled = counts > 0
    sums = [np.bincount(places, values, bins)[filled] for values in (predicted, happened)]
    return sums[0] / counts[filled], sums[1] / counts[filled], counts[filled]


def calibration_error(predicted: np.ndarray, happened: np.ndarray, bins: int = 15) -> float:
    """Return the expected calibration error, 0 to 1 (Guo 2017, arXiv 1706.04599)."""
    means, shares, counts = calibration(predicted, happened, bins)
    return float(np.sum(counts * np.abs(means - shares)) / counts.sum())


def longest_run(codes: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    """Return the longest run of one code in each row, in frames, int (M,).

    Args:
        codes: int (M, N).
        ignored: bool (K,), codes that do not count, such as those of silence.
    """
    current, longest = np.zeros(len(codes), int), np.zeros(len(codes), int)
    last = np.full(len(codes), -1)
    for column in np.asarray(codes).T:
        current = np.where(column == last, current + 1, 1)
        longest = np.maximum(longest, np.where(ignored[column], 0, current))
        last = column
    return longest
