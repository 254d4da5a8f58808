"""Figures of training runs: one over its steps, and several beside each other."""

from collections.abc import Sequence

import numpy as np

from vqwn_kit.plots.style import BLUE, GREY, LEGEND, ORANGE, axes_or_new, sized_figure


def plot_history(history: Sequence[dict], ax=None):
    """Draw the loss over training: the mean of each logging interval, and held-out utterances."""
    ax = axes_or_new(ax)
    if any("bits" in record for record in history):
        names, label = ("bits", "held_out/bits"), "negative log-likelihood (bits per sample)"
    else:
        names, label = ("mel/mse", "held_out/mse"), "error of the mel bands ((20 dB)²)"
    styles = (
        {"color": BLUE, "label": "training"},
        {"color": ORANGE, "label": "held-out utterances", "marker": "o"},
    )
    for name, style in zip(names, styles, strict=True):
        records = [record for record in history if name in record]
        ax.plot([r["step"] for r in records], [r[name] for r in records], **style)
    ax.set(xlabel="training step", ylabel=label)
    ax.legend(**LEGEND)
    return ax


def plot_code_history(history: Sequence[dict], num_embeddings: int, ax=None):
    """Draw how many of K codes each logging interval used, and their perplexity."""
    ax = axes_or_new(ax)
    records = [record for record in history if "vq/codes_used" in record]
    steps = [record["step"] for record in records]
    used = [record["vq/codes_used"] for record in records]
    perplexities = [record["vq/perplexity"] for record in records]
    ax.plot(steps, used, color=BLUE, label="codes in use")
    ax.plot(steps, perplexities, "--", color=ORANGE, label="perplexity")
    limit = {"color": GREY, "linewidth": 0.8, "linestyle": ":"}
    ax.axhline(num_embeddings, label=f"K = {num_embeddings}", **limit)
    ax.set(xlabel="training step", ylabel="codes", ylim=(0, 1.08 * num_embeddings))
    ax.legend(**LEGEND)
    return ax


def plot_comparison(names: Sequence[str], measures: dict[str, Sequence[np.ndarray]], figure=None):
    """Draw measures of several models beside each other, one dot per seed; return the figure.

    Args:
        names: of the models.
        measures: by label, for each model the values of its seeds; empty where it has none.
        figure: to draw on; a new one by default.
    """
    figure = sized_figure(figure, 10.0, 1.2 + 0.32 * len(names))
    axes = np.atleast_1d(figure.subplots(1, len(measures), sharey=True))
    rows = np.arange(len(names))[::-1]
    for ax, (label, values) in zip(axes, measures.items(), strict=True):
        for row, seeds in zip(rows, values, strict=True):
            if len(seeds):
                ax.plot([np.mean(seeds)], [row], "|", color=ORANGE, markersize=14, mew=2)
                ax.plot(seeds, [row] * len(seeds), "o", color=BLUE, markersize=5, alpha=0.8)
            else:
                style = {"va": "center", "color": GREY, "bbox": {"color": "white", "pad": 1}}
                ax.annotate("none", (0.03, row), xycoords=("axes fraction", "data"), **style)
        ax.set(xlabel=label, ylim=(-0.7, len(names) - 0.3))
        ax.grid(axis="y", color="0.9")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(rows, names)
    return figure


def plot_tradeoff(
    names: Sequence[str],
    x: Sequence[float],
    y: Sequence[float],
    xlabel: str,
    ylabel: str,
    marked: Sequence[str],
    ax=None,
):
    """Draw models as points of two measures; those in `marked` are orange and have their names."""
    ax = axes_or_new(ax, (7.0, 4.5))
    edge = min(x) + 0.8 * (max(x) - min(x))  # right of it, a name would leave the figure
    for name, point in zip(names, zip(x, y, strict=True), strict=True):
        if name not in marked:
            ax.scatter(*point, s=25, color=BLUE, alpha=0.85)
            continue
        ax.scatter(*point, s=45, color=ORANGE, alpha=0.85)
        place = {"xytext": (-6, -13), "ha": "right"} if point[0] > edge else {"xytext": (6, -13)}
        ax.annotate(name, point, textcoords="offset points", fontsize=9, parse_math=False, **place)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.margins(0.12)
    return ax
