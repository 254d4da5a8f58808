"""A run -> the colours of its codes, the same in every widget: of phone classes, or of places."""

import csv
from collections.abc import Sequence

import numpy as np

from vqwn_kit.evaluation.phones import KIND_OF, KINDS
from vqwn_kit.plots.projection import project_2d
from vqwn_kit.plots.style import GREY, GROUP_COLOURS
from vqwn_kit.runs.codes import code_vectors
from vqwn_kit.runs.run import Run

TABLES = "projector"  # folder of a run, which `export_projector` writes


def code_palette(run: Run) -> np.ndarray:
    """Return the colours of a run's codes, uint8 (Q K, 3), codebook by codebook.

    A code has the colour of the class of its most frequent phone, as on the map, where the run's
    folder says it (`projector/codebook_meta.tsv`); grey where it is never used. Else its colour is
    that of its place on the map, see `place_colours`. Without a codebook there are none, (0, 3).
    """
    if not run.model.bottleneck.num_embeddings:
        return np.zeros((0, 3), np.uint8)
    phones = saved_phones(run)
    if phones is None:
        return place_colours(project_2d(code_vectors(run.model.bottleneck), "pca"))
    return phone_colours(phones)


def phone_colours(phones: Sequence[str]) -> np.ndarray:
    """Return the colours of the classes of phones (M,), uint8 (M, 3); grey for other texts."""
    kinds = list(KINDS)
    colours = [_rgb(GROUP_COLOURS[number]) for number in range(len(kinds))]
    numbers = [kinds.index(KIND_OF[phone]) if phone in KIND_OF else -1 for phone in phones]
    return np.array([*colours, _rgb(GREY)], np.uint8)[numbers]


def place_colours(points: np.ndarray) -> np.ndarray:
    """Return colours of points (M, 2), uint8 (M, 3): neighbours have similar ones.

    The direction from the centre is the hue, and the distance, by rank, the saturation.
    """
    from matplotlib.colors import hsv_to_rgb

    x, y = (points - points.mean(axis=0)).T
    hue = (np.arctan2(y, x) / (2 * np.pi)) % 1.0
    rank = np.hypot(x, y).argsort().argsort() / max(1, len(points) - 1)
    colours = np.stack([hue, 0.25 + 0.6 * rank, np.full(len(points), 0.88)], axis=1)
    return np.round(255 * hsv_to_rgb(colours)).astype(np.uint8)


def saved_phones(run: Run) -> list[str] | None:
    """Return the most frequent phone of each code, "-" where it has none, from the run's folder.

    None where there is no such table, where it has no phones, or is of other weights.
    """
    folder = run.folder / TABLES
    meta, vectors = folder / "codebook_meta.tsv", folder / "codebook_vecs.tsv"
    if not (meta.is_file() and vectors.is_file()):
        return None
    with meta.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    saved, current = np.loadtxt(vectors, ndmin=2), code_vectors(run.model.bottleneck)
    same = saved.shape == current.shape and np.allclose(saved, current, rtol=1e-4, atol=1e-4)
    return [row["phone"] for row in rows] if same and rows and "phone" in rows[0] else None


def _rgb(colour: str) -> list[int]:
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
