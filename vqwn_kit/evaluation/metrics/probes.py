"""Probes: what a simple classifier recovers from features."""

from collections.abc import Sequence

import numpy as np

from vqwn_kit.evaluation.metrics.intervals import NotMeasured


def nearest_class_hits(vectors: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Return whether each vector is nearest to the mean of its class without itself, bool (M,).

    Args:
        vectors: (M, C).
        labels: M labels, at least two classes with at least two vectors each.

    Raises:
        NotMeasured: there are fewer.
    """
    truth = np.asarray(labels)
    classes, counts = np.unique(truth, return_counts=True)
    if len(classes) < 2 or counts.min() < 2:
        given = ", ".join(f"{count} of {name}" for name, count in zip(classes, counts, strict=True))
        raise NotMeasured(f"it needs two classes with two members each; given {given}")
    hits = []
    for number, vector in enumerate(vectors):
        rest = np.arange(len(truth)) != number
        means = np.array([vectors[rest & (truth == name)].mean(axis=0) for name in classes])
        nearest = np.argmin(((means - vector) ** 2).sum(axis=1))
        hits.append(classes[nearest] == truth[number])
    return np.array(hits)


def pool(features: np.ndarray, window: float) -> np.ndarray:
    """Return the means of features (N, F) over windows of about `window` frames, (W, F), W >= 1."""
    parts = max(1, int(len(features) / window))
    return np.array([part.mean(axis=0) for part in np.array_split(features, parts)])


def linear_probe(features: np.ndarray, labels: np.ndarray):
    """Fit a linear probe: logistic regression on standardised features.

    [Alain and Bengio 2016](https://arxiv.org/abs/1610.01644).

    Args:
        features: (M, F).
        labels: int (M,).

    Returns:
        A scikit-learn pipeline with `predict` and `predict_proba`.

    Raises:
        NotMeasured: all labels are the same.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len(np.unique(labels)) < 2:
        raise NotMeasured("there is only one speaker, so there is nothing to classify")
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=5000))
    return probe.fit(features, labels)
