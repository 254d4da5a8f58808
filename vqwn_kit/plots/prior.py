"""Figures of a prior over codes."""

from collections.abc import Sequence

import numpy as np

from vqwn_kit.evaluation.metrics.codes import calibration, calibration_error
from vqwn_kit.plots.style import BLUE, GREEN, GREY, LEGEND, ORANGE, axes_or_new


def plot_calibration(predicted: np.ndarray, correct: np.ndarray, bins: int = 15, ax=None):
    """Draw predicted probabilities (M,) against the observed share of `correct`, bool (M,)."""
    ax = axes_or_new(ax, (5.0, 4.0))
    means, shares, counts = calibration(predicted, correct, bins)
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":", label="perfect calibration")
    sizes = 15 + 150 * counts / counts.max()
    ax.plot(means, shares, color=BLUE, linewidth=1)
    ax.scatter(means, shares, sizes, color=BLUE, label="frames; area is their number")
    error = calibration_error(predicted, correct, bins)
    ax.set(xlabel="predicted probability", ylabel="observed share", xlim=(0, 1), ylim=(0, 1))
    ax.set_title(f"expected calibration error {100 * error:.1f} %")
    ax.legend(frameon=False, loc="upper left")
    return ax


def plot_surprisal(
    bits: np.ndarray,
    frame_rate: float,
    silent: np.ndarray | None = None,
    title: str = "",
    unit: str = "bits per code",
    ax=None,
):
    """Draw the surprisal of each code, or of each frame of several codes, over time.

    Args:
        bits: (N,).
        frame_rate: frames per second.
        silent: bool (N,), shaded where True.
        title: of the figure.
        unit: of `bits`.
        ax: to draw on.
    """
    ax = axes_or_new(ax, (8.0, 2.6))
    seconds = np.arange(len(bits)) / frame_rate
    ax.step(
        seconds,
        bits,
        where="post",
        color=BLUE,
        linewidth=0.5,
        label=unit.replace("bits per", "each"),
    )
    width = max(1, round(0.1 * frame_rate))
    smooth = np.convolve(bits, np.ones(width) / width, mode="same")
    smooth *= width / np.convolve(np.ones(len(bits)), np.ones(width), mode="same")
    ax.plot(seconds, smooth, color=ORANGE, label="mean over 0.1 s")
    if silent is not None and np.any(silent):
        style = {"color": GREY, "alpha": 0.25, "linewidth": 0, "label": "silence", "step": "post"}
        style["transform"] = ax.get_xaxis_transform()
        ax.fill_between(seconds, 0, 1, where=silent, **style)
    ax.set(xlabel="time (s)", ylabel=unit, xlim=(0, len(bits) / frame_rate))
    ax.set_ylim(0, None)
    ax.set_title(title, parse_math=False)
    ax.legend(ncols=3, loc="upper right", fontsize=8, **LEGEND)
    return ax


def plot_next_codes(
    codes: Sequence[int], probabilities: np.ndarray, after: str = "the codes so far", ax=None
):
    """Draw the likeliest next codes and their probabilities (M,), falling."""
    ax = axes_or_new(ax, (6.0, 2.6))
    ax.bar(range(len(codes)), 100 * np.asarray(probabilities), color=GREEN)
    ax.set_xticks(range(len(codes)), [str(code) for code in codes])
    ax.set(xlabel="next code", ylabel="probability (%)", title=f"next code after {after}")
    return ax


def plot_longest_repeats(seconds: np.ndarray, limit: float, ax=None):
    """Draw the longest time that each sample repeats one code, in s (M,), and the limit for it."""
    ax = axes_or_new(ax, (6.0, 3.0))
    edges = np.linspace(0, max(1.1 * limit, float(np.max(seconds)) * 1.05), 30)
    ax.hist(seconds, edges, color=BLUE)
    share = float(np.mean(np.asarray(seconds) > limit))
    ax.axvline(limit, color=ORANGE, linestyle="--", label=f"{100 * share:.1f} % above the limit")
    ax.set(xlabel="longest repeat of one code outside silence (s)", ylabel="samples")
    ax.legend(**LEGEND)
    return ax
