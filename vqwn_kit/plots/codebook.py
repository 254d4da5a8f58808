"""Figures of codes and of the vectors of codes and speakers."""

from collections.abc import Sequence

import numpy as np

from vqwn_kit.evaluation.metrics.codes import perplexity
from vqwn_kit.plots.projection import project_2d
from vqwn_kit.plots.style import BLUE, GREY, OTHER_STYLE, SEX_STYLE, axes_or_new


def plot_code_usage(counts: np.ndarray, ax=None):
    """Draw how often each code is used, the commonest first, from counts (K,); logarithmic."""
    ax = axes_or_new(ax)
    share = 100.0 * np.sort(counts)[::-1] / max(1, counts.sum())
    ax.semilogy(np.arange(1, len(share) + 1), np.where(share > 0, share, np.nan), color=BLUE)
    uniform = {"color": GREY, "linestyle": ":", "linewidth": 0.8, "label": "uniform usage"}
    ax.axhline(100 / len(share), **uniform)
    title = f"{np.count_nonzero(counts)} of {len(counts)} codes in use"
    if counts.sum():
        title += f", perplexity {perplexity(counts):.0f}"
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
    labelled = set()
    for point, (name, facts) in zip(project_2d(vectors), speakers.items(), strict=True):
        sex = facts.get("sex", "")
        colour, marker = SEX_STYLE.get(sex, OTHER_STYLE)
        label = sex if sex in SEX_STYLE and sex not in labelled else None
        labelled.add(sex)
        ax.scatter(*point, color=colour, marker=marker, s=40, label=label)
        if len(speakers) <= 40:
            style = {"textcoords": "offset points", "fontsize": 9, "parse_math": False}
            ax.annotate(name, point, xytext=(5, 4), **style)
    if labelled & set(SEX_STYLE):
        ax.legend(title="sex", frameon=False)
    ax.margins(0.15)
    _label_map(ax, "pca", f"{len(speakers)} speakers")
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
    ax.set_yticks(range(len(phones)), phones, fontsize=7)
    ax.set_xlabel(f"{len(counts)} of {len(table)} codes, by their most frequent phone")
    ax.set(ylabel="phone", title="Phones of the frames with each code")
    ax.figure.colorbar(image, ax=ax, label="share of the code's frames")
    return ax
