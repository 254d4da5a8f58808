"""Figures of the parts of a model: receptive fields, frames, next-sample distributions."""

from collections.abc import Sequence

import numpy as np

from vqwn_kit.plots.style import BLUE, GREY, ORANGE, axes_or_new, sized_figure

IMAGE = {"origin": "lower", "aspect": "auto", "interpolation": "nearest"}


def plot_receptive_fields(
    fields: dict[str, tuple[float, float]],
    frames: dict[str, float],
    xlabel: str = "time (ms)",
    ax=None,
):
    """Draw receptive fields as bars, around the frames that they belong to.

    Args:
        fields: begin and end of each receptive field, by name; the frame begins at 0.
        frames: by name, where the frame ends.
        xlabel: label and unit of the times.
        ax: to draw on.
    """
    ax = axes_or_new(ax, (7.0, 0.9 + 0.42 * len(fields)))
    for row, (name, (begin, end)) in enumerate(fields.items()):
        labels = ("receptive field", "frame") if row == 0 else (None, None)
        bar = {"height": 0.55, "color": BLUE, "alpha": 0.45, "label": labels[0]}
        ax.barh(row, end - begin, left=begin, **bar)
        ax.barh(row, frames[name], height=0.55, color=ORANGE, label=labels[1])
    ax.axvline(0, color=GREY, linewidth=0.8)
    ends = np.array([*fields.values()])
    margin = 0.04 * np.ptp(ends)
    ax.set_xlim(ends.min() - margin, ends.max() + margin)
    ax.set_yticks(range(len(fields)), list(fields))
    ax.invert_yaxis()
    ax.set_xlabel(xlabel)
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def plot_frames(
    frames: dict[str, np.ndarray], seconds: float, ylabel: str = "channel", figure=None
):
    """Draw frames (N, D) as images below each other, over the same seconds; return the figure.

    Each has its own scale, symmetric around 0.
    """
    figure = sized_figure(figure, 8.0, 0.5 + 1.6 * len(frames))
    axes = np.atleast_1d(figure.subplots(len(frames), 1, sharex=True))
    for ax, (name, values) in zip(axes, frames.items(), strict=True):
        limit = np.percentile(np.abs(values), 99)
        extent = (0, seconds, 0, values.shape[1])
        scale = {"cmap": "PuOr", "vmin": -limit, "vmax": limit}
        image = ax.imshow(np.asarray(values).T, extent=extent, **scale, **IMAGE)
        figure.colorbar(image, ax=ax, pad=0.01)
        ax.set_title(name, fontsize=10, loc="left", parse_math=False)
        ax.set_ylabel(ylabel)
    axes[-1].set_xlabel("time (s)")
    return figure


def plot_dilations(kernel_size: int, dilations: Sequence[int], ax=None):
    """Draw a stack of causal dilated convolutions: which past samples the last output depends on.

    Orange lines lead to the output, at the right of the top row; the others are grey.
    """
    ax = axes_or_new(ax, (8.0, 0.9 + 0.75 * len(dilations)))
    width = 1 + (kernel_size - 1) * sum(dilations)
    reached = {width - 1}
    for layer in range(len(dilations), 0, -1):
        taps = np.arange(kernel_size) * dilations[layer - 1]
        for position in range(width):
            used = position in reached
            for below in position - taps[position >= taps]:
                colour, size, order = (ORANGE, 1.4, 2) if used else ("0.85", 0.6, 1)
                ends = ((below, position), (layer - 1, layer))
                ax.plot(*ends, color=colour, linewidth=size, zorder=order)
        ax.scatter(range(width), [layer] * width, s=14, color="0.7", zorder=3)
        ax.scatter(list(reached), [layer] * len(reached), s=22, color=ORANGE, zorder=4)
        reached = {position - tap for position in reached for tap in taps}
    ax.scatter(range(width), [0] * width, s=22, color=BLUE, zorder=4)
    names = ["input", *(f"dilation {dilation}" for dilation in dilations)]
    ax.set_yticks(range(len(names)), names)
    ax.set_xlabel("samples before the output")
    ticks = np.arange(width - 1, -1, -max(1, width // 8))
    ax.set_xticks(ticks, [str(width - 1 - tick) for tick in ticks])
    ax.spines[["top", "right", "left"]].set_visible(False)
    return ax


def plot_next_sample(
    probabilities: np.ndarray,
    levels: np.ndarray,
    sample_rate: int = 16_000,
    start: float = 0.0,
    ax=None,
):
    """Draw the predicted distribution (T, L) of each next level, and the true levels (T,).

    Colours are logarithmic, from a probability of 0.0001 to 1. `start` is in seconds.
    """
    from matplotlib.colors import LogNorm

    ax = axes_or_new(ax, (8.0, 3.6))
    begin, end = 1000 * start, 1000 * (start + len(levels) / sample_rate)
    extent = (begin, end, 0, probabilities.shape[1])
    scale = {"cmap": "Greys", "norm": LogNorm(1e-4, 1.0), "extent": extent}
    image = ax.imshow(np.maximum(probabilities.T, 1e-9), **scale, **IMAGE)
    time = begin + 1000 * (np.arange(len(levels)) + 0.5) / sample_rate
    ax.plot(time, np.asarray(levels) + 0.5, ".", color=ORANGE, markersize=3, label="true level")
    ax.set(xlabel="time (ms)", ylabel="level of the next sample")
    ax.legend(loc="upper right", fontsize=8)
    ax.figure.colorbar(image, ax=ax, label="predicted probability")
    return ax
