"""Figures of what the parts of a model do: arrays -> matplotlib axes; see `views`."""

from collections.abc import Sequence

import numpy as np

from vqwn_kit.plots.core import BLUE, GREEN, GREY, LEGEND, ORANGE, _axes

COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#000000")  # Okabe and Ito's
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))  # readable without colours too


def plot_curves(
    x: Sequence[float],
    curves: dict[str, Sequence[float]],
    xlabel: str,
    ylabel: str,
    title: str = "",
    ax=None,
    **settings,
):
    """Draw named curves over the same x (M,); `settings` are those of the axes, such as `ylim`."""
    ax = _axes(ax)
    for number, (name, y) in enumerate(curves.items()):
        style = {"color": COLOURS[number % 6], "linestyle": DASHES[number % 6]}
        ax.plot(x, y, label=name, linewidth=1.4, **style)
    ax.set(xlabel=xlabel, ylabel=ylabel, **settings)
    ax.set_title(title, parse_math=False)
    if len(curves) > 1:
        ax.legend(**LEGEND)
    return ax


def plot_mu_law(inputs: np.ndarray, levels: dict[str, np.ndarray], ax=None):
    """Draw which level stands for an amplitude.

    Args:
        inputs: amplitudes in [-1, 1], rising, (M,).
        levels: by the name of a scale, the level that it gives to each of them, (M,).
        ax: to draw on.
    """
    ax = _axes(ax)
    for number, (name, level) in enumerate(levels.items()):
        style = {"color": COLOURS[number], "linestyle": DASHES[number]}
        ax.step(inputs, level, where="mid", label=name, **style)
    ax.set(xlabel="amplitude", ylabel="level", xlim=(inputs[0], inputs[-1]))
    ax.legend(frameon=False)
    return ax


def plot_level_use(counts: dict[str, np.ndarray], ax=None):
    """Draw how often each level is used, from counts (levels,) by the name of a scale."""
    ax = _axes(ax)
    for number, (name, count) in enumerate(counts.items()):
        share = 100.0 * np.asarray(count) / max(1, np.sum(count))
        style = {"color": COLOURS[number], "linestyle": DASHES[number], "linewidth": 1}
        ax.step(np.arange(len(share)), np.where(share > 0, share, np.nan), label=name, **style)
    ax.set(xlabel="level", ylabel="share of samples (%)", yscale="log")
    ax.set_xlim(0, len(share) - 1)
    ax.legend(frameon=False)
    return ax


def plot_batch(waveform: np.ndarray, names: Sequence[str], sample_rate: int = 16_000, figure=None):
    """Draw the crops of a batch (B, T, 1) below each other, with their names; return the figure."""
    if figure is None:
        import matplotlib.pyplot as plt

        figure = plt.figure()
    figure.set_size_inches(8.0, 0.5 + 0.9 * len(waveform))
    figure.set_layout_engine("constrained")
    axes = np.atleast_1d(figure.subplots(len(waveform), 1, sharex=True, sharey=True))
    time = 1000 * np.arange(waveform.shape[1]) / sample_rate
    for ax, crop, name in zip(axes, waveform[..., 0], names, strict=True):
        ax.plot(time, crop, color=BLUE, linewidth=0.6)
        ax.set_ylabel(name, rotation=0, ha="right", va="center")
        ax.set_xlim(0, 1000 * len(crop) / sample_rate)
    axes[-1].set_xlabel("time (ms)")
    figure.supylabel("amplitude", fontsize=10)
    return figure


def plot_spans(
    spans: dict[str, tuple[float, float]], own: dict[str, float], xlabel: str = "ms", ax=None
):
    """Draw what each of several things reaches to, as bars around what is their own.

    Args:
        spans: first and last place by name.
        own: by name, where its own part ends, which begins at 0.
        xlabel: of the places.
        ax: to draw on.
    """
    ax = _axes(ax, (7.0, 0.9 + 0.42 * len(spans)))
    for row, (name, (first, last)) in enumerate(spans.items()):
        label = {"label": "hears"} if row == 0 else {}
        ax.barh(row, last - first, left=first, height=0.55, color=BLUE, alpha=0.45, **label)
        label = {"label": "stands for"} if row == 0 else {}
        ax.barh(row, own[name], height=0.55, color=ORANGE, **label)
    ax.axvline(0, color=GREY, linewidth=0.8)
    ends = np.array([*spans.values()])
    beside = 0.04 * np.ptp(ends)
    ax.set_xlim(ends.min() - beside, ends.max() + beside)
    ax.set_yticks(range(len(spans)), list(spans))
    ax.invert_yaxis()
    ax.set_xlabel(xlabel)
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax


def plot_frames(
    frames: dict[str, np.ndarray], seconds: float, ylabel: str = "channel", figure=None
):
    """Draw frames (N, D) as pictures below each other, over the same seconds; return the figure.

    Each is drawn on its own scale, the same for both signs.
    """
    if figure is None:
        import matplotlib.pyplot as plt

        figure = plt.figure()
    figure.set_size_inches(8.0, 0.5 + 1.6 * len(frames))
    figure.set_layout_engine("constrained")
    axes = np.atleast_1d(figure.subplots(len(frames), 1, sharex=True))
    for ax, (name, picture) in zip(axes, frames.items(), strict=True):
        size = np.percentile(np.abs(picture), 99)
        drawn = ax.imshow(
            np.asarray(picture).T, origin="lower", aspect="auto", cmap="PuOr", vmin=-size,
            vmax=size, extent=(0, seconds, 0, picture.shape[1]), interpolation="nearest",
        )  # fmt: skip
        figure.colorbar(drawn, ax=ax, pad=0.01)
        ax.set_title(name, fontsize=10, loc="left", parse_math=False)
        ax.set_ylabel(ylabel)
    axes[-1].set_xlabel("time (s)")
    return figure


def plot_dilations(kernel_size: int, dilations: Sequence[int], ax=None):
    """Draw a stack of causal dilated convolutions: which past samples the last output depends on.

    Orange lines lead to the output, the last place of the top row; grey ones are all the others.
    """
    ax = _axes(ax, (8.0, 0.9 + 0.75 * len(dilations)))
    width = 1 + (kernel_size - 1) * sum(dilations)
    reached = {width - 1}
    for layer in range(len(dilations), 0, -1):
        taps = np.arange(kernel_size) * dilations[layer - 1]
        for place in range(width):
            used = place in reached
            for below in place - taps[place >= taps]:
                colour, size, order = (ORANGE, 1.4, 2) if used else ("0.85", 0.6, 1)
                ends = ((below, place), (layer - 1, layer))
                ax.plot(*ends, color=colour, linewidth=size, zorder=order)
        ax.scatter(range(width), [layer] * width, s=14, color="0.7", zorder=3)
        ax.scatter(list(reached), [layer] * len(reached), s=22, color=ORANGE, zorder=4)
        reached = {place - tap for place in reached for tap in taps}
    ax.scatter(range(width), [0] * width, s=22, color=BLUE, zorder=4)
    names = ["input", *(f"dilation {dilation}" for dilation in dilations)]
    ax.set_yticks(range(len(names)), names)
    ax.set_xlabel("samples before the output")
    ax.set_xticks(range(width - 1, -1, -max(1, width // 8)))
    ax.set_xticklabels([str(width - 1 - place) for place in ax.get_xticks().astype(int)])
    ax.spines[["top", "right", "left"]].set_visible(False)
    return ax


def plot_next_sample(
    probabilities: np.ndarray,
    levels: np.ndarray,
    sample_rate: int = 16_000,
    start: float = 0.0,
    ax=None,
):
    """Draw the distribution of each next level (T, levels), and the levels (T,) that came.

    The colours are logarithmic, from one in ten thousand to certainty.
    """
    from matplotlib.colors import LogNorm

    ax = _axes(ax, (8.0, 3.6))
    begin, end = 1000 * start, 1000 * (start + len(levels) / sample_rate)
    drawn = ax.imshow(
        np.maximum(probabilities.T, 1e-9), origin="lower", aspect="auto", cmap="Greys",
        norm=LogNorm(1e-4, 1.0), extent=(begin, end, 0, probabilities.shape[1]),
        interpolation="nearest",
    )  # fmt: skip
    time = begin + 1000 * (np.arange(len(levels)) + 0.5) / sample_rate
    ax.plot(time, np.asarray(levels) + 0.5, ".", color=ORANGE, markersize=3, label="what came")
    ax.set(xlabel="time (ms)", ylabel="level of the next sample")
    ax.legend(loc="upper right", fontsize=8)
    ax.figure.colorbar(drawn, ax=ax, label="predicted probability")
    return ax


def plot_trade(
    names: Sequence[str],
    x: Sequence[float],
    y: Sequence[float],
    xlabel: str,
    ylabel: str,
    named: Sequence[str],
    ax=None,
):
    """Draw models as points of two measures; those `named` are marked and have their names."""
    ax = _axes(ax, (7.0, 4.5))
    edge = min(x) + 0.8 * (max(x) - min(x))  # beyond it a name would leave the figure
    for name, left, up in zip(names, x, y, strict=True):
        marked = name in named
        ax.scatter(left, up, s=45 if marked else 25, color=ORANGE if marked else BLUE, alpha=0.85)
        if marked:
            outside = left > edge
            ax.annotate(
                name, (left, up), xytext=(-6 if outside else 6, -13), textcoords="offset points",
                ha="right" if outside else "left", fontsize=9, parse_math=False,
            )  # fmt: skip
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.margins(0.12)
    return ax
