"""Figures of training runs: one over its steps, and several beside each other."""

from collections.abc import Sequence

import numpy as np

from vqwn_kit.plots.style import BLUE, GREY, LEGEND, ORANGE, axes_or_new, literal, sized_figure


def plot_history(history: Sequence[dict], ax=None, signal: str = "", lpc: bool = False):
    """Draw the loss over training: the mean of each logging interval, and held-out utterances.

    Args:
        history: records of a `Run.history`.
        ax: to draw on; new axes by default.
        signal: what bits are of, see `SampleCodec.signal`.
        lpc: whether the decoder models an LPC residual: in training the filters are those of the
            recording, on held-out speech predicted ones, so that the two cannot be compared.
    """
    ax = axes_or_new(ax)
    if any("bits" in record for record in history):
        names, label = ("bits", "held_out/bits"), "negative log-likelihood (bits per sample)"
        label += f"\nof {signal}" if signal else ""
    else:
        names, label = ("mel/mse", "held_out/mse"), "error of the mel bands ((20 dB)²)"
    labels = ("training", "held-out utterances")
    if lpc:
        labels = ("training, filters of the recording", "held-out utterances, predicted filters")
    styles = ({"color": BLUE}, {"color": ORANGE, "marker": "o"})
    for name, title, style in zip(names, labels, styles, strict=True):
        records = [record for record in history if name in record]
        points = ([r["step"] for r in records], [r[name] for r in records])
        ax.plot(*points, label=title, **style)
    ax.set(xlabel="training step", ylabel=label)
    ax.legend(**LEGEND)
    return ax


def plot_code_history(history: Sequence[dict], num_embeddings: int, ax=None):
    """Draw how many of K codes each logging interval used, and their perplexity.

    A point counts the crops of all steps of its interval, in which the codes move; of the codes as
    they are at the end, on held-out speech, see `plot_code_usage`.

    Of Q codebooks give the number of all codes, Q K; the perplexity is that of one codebook.
    """
    ax = axes_or_new(ax)
    records = [record for record in history if "vq/codes_used" in record]
    steps = [record["step"] for record in records]
    used = [record["vq/codes_used"] for record in records]
    perplexities = [record["vq/perplexity"] for record in records]
    ax.plot(steps, used, color=BLUE, label="codes in use since the point before")
    ax.plot(steps, perplexities, "--", color=ORANGE, label="their perplexity")
    limit = {"color": GREY, "linewidth": 0.8, "linestyle": ":"}
    ax.axhline(num_embeddings, label=f"{num_embeddings} codes", **limit)
    ax.set(
        xlabel="training step",
        ylabel="codes, in crops of training speech",
        ylim=(0, 1.08 * num_embeddings),
    )
    ax.legend(**LEGEND)
    return ax


def plot_comparison(names: Sequence[str], measures: dict[str, Sequence[np.ndarray]], figure=None):
    """Draw measures of several models beside each other, one dot per seed; return the figure.

    Args:
        names: of the models.
        measures: by label, for each model the values of its seeds; empty where it has none.
        figure: to draw on; a new one by default.
    """
    figure = sized_figure(figure, 3.0 + 2.2 * len(measures), 1.2 + 0.32 * len(names))
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
    axes[0].set_yticks(rows, list(map(literal, names)))
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
