"""Measures on arrays: codes, phones, vectors -> numbers with their 95 % intervals."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """A number, its 95 % interval and how many independent pieces it rests on.

    `low` and `high` are None where the number is a plain count, or rests on a single piece.
    """

    value: float
    low: float | None
    high: float | None
    n: int


class NotMeasured(Exception):  # noqa: N818 - no error: the card goes on and says why
    """A measure can't be made here; the message says why, and what would help."""


def ratio(numerators: Sequence[float], denominators: Sequence[float] | None = None) -> Estimate:
    """Return sum(numerators) / sum(denominators) over utterances, with a t interval.

    Args:
        numerators: (U,), one an utterance: its errors, say, or its bits.
        denominators: (U,), its weight: phones, or samples. All 1 by default: then it is the mean.

    The interval is Student's t over utterances, with the standard error of a ratio estimator
    (Cochran, Sampling Techniques, 2.11): sd(numerator - ratio denominator) / mean(denominator).
    """
    from scipy.stats import t

    tops = np.asarray(numerators, np.float64)
    weights = np.ones_like(tops) if denominators is None else np.asarray(denominators, np.float64)
    if not len(tops) or not weights.sum():
        raise NotMeasured("there is nothing to measure it on")
    value, n = tops.sum() / weights.sum(), len(tops)
    if n < 2:
        return Estimate(float(value), None, None, n)
    error = np.std(tops - value * weights, ddof=1) / weights.mean() / np.sqrt(n)
    half = t.ppf(0.975, n - 1) * error
    return Estimate(float(value), float(value - half), float(value + half), n)


def proportion(hits: Sequence[bool]) -> Estimate:
    """Return the share of hits (n,) with Wilson's interval, which is honest at 0 and 1 too."""
    hits = np.asarray(hits, bool)
    if not len(hits):
        raise NotMeasured("there is nothing to measure it on")
    n, share, z = len(hits), hits.mean(), 1.959964
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Estimate(float(share), float(low), float(high), n)


def jackknife(counts: np.ndarray, statistic: Callable[[np.ndarray], float]) -> Estimate:
    """Return a statistic of summed counts (U, K) -> (K,), with a t interval by leaving out rows.

    Args:
        counts: how often each utterance has each code.
        statistic: of counts (K,), such as `perplexity`.
    """
    from scipy.stats import t

    total, n = counts.sum(axis=0), len(counts)
    value = float(statistic(total))
    if n < 2:
        return Estimate(value, None, None, n)
    without = np.array([statistic(total - row) for row in counts])
    half = t.ppf(0.975, n - 1) * np.sqrt((n - 1) / n * np.sum((without - without.mean()) ** 2))
    return Estimate(value, float(value - half), float(value + half), n)


def code_counts(codes: np.ndarray, num_embeddings: int) -> np.ndarray:
    """Return how often each code occurs, int64 (K,), in codes of any shape."""
    return np.bincount(np.ravel(codes), minlength=num_embeddings)


def entropy(counts: np.ndarray) -> float:
    """Return the entropy in bits of the distribution that counts (K,) describe, 0 to log2 K."""
    share = np.asarray(counts, np.float64) / np.sum(counts)
    share = share[share > 0]
    return float(np.sum(share * -np.log2(share)))


def perplexity(counts: np.ndarray) -> float:
    """Return 2 to the entropy of the distribution that counts (K,) describe, 1 to K.

    K where all codes are equally frequent, 1 where a single one is used.
    """
    return float(2.0 ** entropy(counts))


def calibration(
    predicted: np.ndarray, happened: np.ndarray, bins: int = 15
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compare predicted probabilities with how often what they foretold happened.

    Args:
        predicted: (M,), 0 to 1.
        happened: bool (M,).
        bins: how many equal parts 0 to 1 is cut into.

    Returns:
        Of each part that any fell into: the mean probability, the share that happened, how many.
    """
    places = np.minimum((np.asarray(predicted) * bins).astype(int), bins - 1)
    counts = np.bincount(places, minlength=bins)
    met = counts > 0
    sums = [np.bincount(places, values, bins)[met] for values in (predicted, happened)]
    return sums[0] / counts[met], sums[1] / counts[met], counts[met]


def calibration_error(predicted: np.ndarray, happened: np.ndarray, bins: int = 15) -> float:
    """Return the expected calibration error, 0 to 1 (Guo 2017, arXiv 1706.04599)."""
    foretold, shares, counts = calibration(predicted, happened, bins)
    return float(np.sum(counts * np.abs(foretold - shares)) / counts.sum())


def longest_held(codes: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    """Return the most frames for which a row holds one code, int (M,).

    Args:
        codes: int (M, N).
        ignored: bool (K,), codes that don't count, such as those of silence.
    """
    held, longest = np.zeros(len(codes), int), np.zeros(len(codes), int)
    last = np.full(len(codes), -1)
    for column in np.asarray(codes).T:
        held = np.where(column == last, held + 1, 1)
        longest = np.maximum(longest, np.where(ignored[column], 0, held))
        last = column
    return longest


def code_phone_table(
    codes: np.ndarray, phones: np.ndarray, num_embeddings: int, num_phones: int
) -> np.ndarray:
    """Return how often code and phone meet, int64 (K, P).

    Args:
        codes: int (M,), 0..K-1, one a frame.
        phones: int (M,), 0..P-1; frames with -1 have no phone and are left out.
        num_embeddings: K.
        num_phones: P.
    """
    labelled = phones >= 0
    pairs = codes[labelled].astype(np.int64) * num_phones + phones[labelled]
    flat = np.bincount(pairs, minlength=num_embeddings * num_phones)
    return flat.reshape(num_embeddings, num_phones)


def phone_of_code(table: np.ndarray) -> np.ndarray:
    """Return each code's commonest phone, int (K,), from counts (K, P).

    A code that never met a phone gets the phone that is commonest of all.
    """
    commonest = np.argmax(table.sum(axis=0))
    return np.where(table.sum(axis=1) > 0, np.argmax(table, axis=1), commonest)


def phone_information(table: np.ndarray, codes: np.ndarray, phones: np.ndarray) -> np.ndarray:
    """Return for each frame log2 p(phone | code) / p(phone), float64 (M,), p learnt elsewhere.

    The mean over frames that `table` didn't see bounds the mutual information of code and phone,
    up to the difference between the two splits' phones, from below: H(phone) in bits where the
    code tells the phone, 0 where it says nothing. The estimate from the counts of one set would
    be too high by about K P / (2 M ln 2) bits.

    Args:
        table: counts (K, P) of the frames that it is learnt from.
        codes: int (M,) of other frames.
        phones: int (M,) of those, 0..P-1.
    """
    prior = (table.sum(axis=0) + 1.0) / (table.sum() + table.shape[1])
    strength = 1.0  # frames that the prior counts for, so that no p(phone | code) is 0
    given = (table + strength * prior) / (table.sum(axis=1, keepdims=True) + strength)
    return np.log2(given[codes, phones]) - np.log2(prior[phones])


def edit_distance(one: Sequence, other: Sequence) -> int:
    """Return the least number of symbols to insert, delete or replace to make one the other."""
    row = list(range(len(other) + 1))
    for i, x in enumerate(one, start=1):
        corner, row[0] = row[0], i
        for j, y in enumerate(other, start=1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (x != y))
    return row[-1]


def nearest_class_hits(vectors: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Say for each vector whether the nearest class mean, itself left out, is its own; bool (M,).

    Args:
        vectors: (M, C).
        labels: M labels, each of at least two classes twice.

    Raises:
        NotMeasured: there are too few for it.
    """
    labels = np.asarray(labels)
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2 or counts.min() < 2:
        raise NotMeasured(f"it needs two of each class; there are {dict(zip(classes, counts))}")  # noqa: B905
    hits = []
    for number, vector in enumerate(vectors):
        rest = np.arange(len(labels)) != number
        means = np.array([vectors[rest & (labels == name)].mean(axis=0) for name in classes])
        nearest = np.argmin(((means - vector) ** 2).sum(axis=1))
        hits.append(classes[nearest] == labels[number])
    return np.array(hits)


def pool(features: np.ndarray, window: float) -> np.ndarray:
    """Return the means of features (N, F) over windows of about `window` frames, (W, F), W >= 1."""
    parts = max(1, int(len(features) / window))
    return np.array([part.mean(axis=0) for part in np.array_split(features, parts)])


def linear_probe(features: np.ndarray, labels: np.ndarray):
    """Fit a linear classifier (logistic regression on standardised features).

    Args:
        features: (M, F).
        labels: int (M,).

    Returns:
        A scikit-learn pipeline with `predict` and `predict_log_proba`.

    Raises:
        NotMeasured: all labels are the same.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len(np.unique(labels)) < 2:
        raise NotMeasured("there is one speaker only, so nothing to tell apart")
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=5000))
    return probe.fit(features, labels)


def log_mel(waveform: np.ndarray, sample_rate: int = 16_000) -> np.ndarray:
    """Return an 80-band mel spectrogram in dB under its loudest cell, float32 (80, frames).

    Windows of 64 ms every 16 ms, bands from 0 Hz to half the sample rate; floor at -80 dB.
    """
    import librosa

    power = librosa.feature.melspectrogram(
        y=np.asarray(waveform, np.float32), sr=sample_rate, n_fft=1024, hop_length=256, n_mels=80
    )
    return librosa.power_to_db(power, ref=np.max).astype(np.float32)


def mel_cepstra(mel: np.ndarray) -> np.ndarray:
    """Return cepstral coefficients 1 to 13, (13, frames), of a mel spectrogram (bands, frames).

    Scaled so that the distance of two columns is the root mean square difference in dB of the two
    smoothed spectra, their level left out. That is what 10 / ln 10 sqrt(2 sum(difference^2)) is
    (Kubichek 1993) for coefficients of the natural logarithm.
    """
    from scipy.fft import dct

    return dct(mel, axis=0, norm="ortho")[1:14] / np.sqrt(len(mel))


def mel_cepstral_distance(
    one: np.ndarray, other: np.ndarray, sample_rate: int = 16_000, align: bool = False
) -> float:
    """Return the mel-cepstral distance of two waveforms (T,), (T',) in dB, mean over frames.

    Args:
        one: a waveform.
        other: another; cut to the same number of frames unless `align`.
        sample_rate: of both, in Hz.
        align: stretch both by dynamic time warping first, for two readings of a sentence.
    """
    cepstra, others = (mel_cepstra(log_mel(wave, sample_rate)) for wave in (one, other))
    if align:
        import librosa

        path = librosa.sequence.dtw(cepstra, others)[1]
        cepstra, others = cepstra[:, path[:, 0]], others[:, path[:, 1]]
    frames = min(cepstra.shape[1], others.shape[1])
    return float(np.linalg.norm(cepstra[:, :frames] - others[:, :frames], axis=0).mean())
