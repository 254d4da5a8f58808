"""Figures of codes and of the vectors of codes and speakers."""

from collections.abc import Sequence

import numpy as np

from vqwn_kit.evaluation.metrics.codes import mean_perplexity
from vqwn_kit.files import counted
from vqwn_kit.plots.projection import project_2d
from vqwn_kit.plots.style import BLUE, GREY, SEXES, axes_or_new, group_style, literal


def plot_code_usage(counts: np.ndarray, ax=None):
    """Draw how often each code is used, the commonest first; logarithmic.

    Args:
        counts: (K,), or (Q, K) of several codebooks, which get a line each, the first one darkest.
        ax: to draw on; new axes by default.
    """
    ax, rows = axes_or_new(ax), np.atleast_2d(counts)
    for number, row in enumerate(rows):
        share = 100.0 * np.sort(row)[::-1] / max(1, row.sum())
        style = {"color": BLUE, "alpha": 1.0 - 0.7 * number / len(rows)}
        ax.semilogy(np.arange(1, len(share) + 1), np.where(share > 0, share, np.nan), **style)
    uniform = {"color": GREY, "linestyle": ":", "linewidth": 0.8, "label": "uniform usage"}
    ax.axhline(100 / len(share), **uniform)
    title = f"{np.count_nonzero(rows)} of {rows.size} codes in use in {rows[0].sum():,} frames"
    if rows.any(axis=1).all():
        title += f", perplexity {mean_perplexity(rows):.0f}"
    ax.set(xlabel="rank of the code", ylabel="share of frames (%)", title=title)
    ax.set(xlim=(0, len(share) + 1))
    ax.legend(frameon=False)
    return ax


def plot_codebook(codebook: np.ndarray, counts: np.ndarray, method: str = "pca", ax=None):
    """Draw the codebook (K, D) as a map: size and colour by usage, unused codes as crosses."""
    ax = axes_or_new(ax, (6.0, 4.5))
    points = project_2d(codebook, method)
    used = counts > 0
    ax.scatter(*points[~used].T, marker="x", s=12, color=GREY, linewidth=0.8, label="unused")
    share = 100.0 * counts[used] / max(1, counts.sum())
    size = 8 + 120 * share / max(1e-9, share.max(initial=0))
    norm = "log" if used.any() else None  # few codes have most frames; the others would look equal
    dots = ax.scatter(*points[used].T, s=size, c=share, cmap="viridis", norm=norm, alpha=0.85)
    ax.figure.colorbar(dots, ax=ax, label="share of frames (%)")
    if not used.all():
        ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.0, frameon=False)
    _label_map(ax, method, f"codebook, {len(codebook)} codes")
    return ax


def plot_speakers(vectors: np.ndarray, speakers: dict[str, dict[str, str]], ax=None):
    """Draw the speakers' vectors (S, C) as a map (PCA), with names, marked by sex."""
    ax = axes_or_new(ax, (6.0, 4.5))
    sexes = [facts.get("sex", "") for facts in speakers.values()]
    known = list(dict.fromkeys([*SEXES, *sorted(set(sexes) - {""})]))
    for point, name, sex in zip(project_2d(vectors), speakers, sexes, strict=True):
        colour, marker = group_style(known.index(sex) if sex else -1)
        ax.scatter(*point, color=colour, marker=marker, s=40)
        if len(speakers) <= 40:
            style = {"textcoords": "offset points", "fontsize": 9, "parse_math": False}
            ax.annotate(name, point, xytext=(5, 4), **style)
    for sex in sorted(set(sexes) - {""}):
        colour, marker = group_style(known.index(sex))
        ax.scatter([], [], color=colour, marker=marker, s=40, label=literal(sex))
    if any(sexes):
        ax.legend(title="sex", frameon=False)
    ax.margins(0.15)
    _label_map(ax, "pca", counted(len(speakers), "speakers"))
    return ax


def _label_map(ax, method: str, title: str) -> None:
    name = {"pca": "principal component", "umap": "UMAP axis"}[method]
    ax.set(xlabel=f"{name} 1", ylabel=f"{name} 2", title=title)


def plot_code_phones(table: np.ndarray, phones: Sequence[str], ax=None):
    """Draw which phones each code occurs with: p(phone | code), from counts (K, P).

    Codes are sorted by their most frequent phone and its share; codes without a phone are left out.
    """
    from matplotlib.colors import PowerNorm

    ax = axes_or_new(ax, (8.0, 6.5))
    counts = np.asarray(table)[np.asarray(table).sum(axis=1) > 0]
    share = counts / counts.sum(axis=1, keepdims=True)
    order = np.lexsort((-share.max(axis=1), share.argmax(axis=1)))
    drawing = {"aspect": "auto", "interpolation": "nearest", "cmap": "viridis"}
    image = ax.imshow(share[order].T, norm=PowerNorm(0.5, 0, 1), **drawing)
    ax.set_yticks(range(len(phones)), list(map(literal, phones)), fontsize=7)
    ax.set_xlabel(f"{len(counts)} of {len(table)} codes, by their most frequent phone")
    ax.set(ylabel="phone", title="Phones of the frames with each code")
    ax.figure.colorbar(image, ax=ax, label="share of the code's frames")
    return ax
