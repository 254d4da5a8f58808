"""Figures of codes and of a prior over them: arrays -> matplotlib axes; see `views`."""

from collections.abc import Sequence

import numpy as np

from vqwn_kit.evaluation.metrics.codes import calibration, calibration_error
from vqwn_kit.plots.core import BLUE, GREEN, GREY, LEGEND, ORANGE, _axes


def plot_calibration(predicted: np.ndarray, happened: np.ndarray, bins: int = 15, ax=None):
    """Draw probabilities (M,) against how often what they foretold happened, bool (M,)."""
    ax = _axes(ax, (5.0, 4.0))
    foretold, shares, counts = calibration(predicted, happened, bins)
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":", label="as often as foretold")
    sizes = 15 + 150 * counts / counts.max()
    ax.plot(foretold, shares, color=BLUE, linewidth=1)
    ax.scatter(foretold, shares, sizes, color=BLUE, label="frames; area is their number")
    error = calibration_error(predicted, happened, bins)
    ax.set(xlabel="predicted probability", ylabel="share that came", xlim=(0, 1), ylim=(0, 1))
    ax.set_title(f"expected calibration error {100 * error:.1f} %")
    ax.legend(frameon=False, loc="upper left")
    return ax


def plot_surprise(
    bits: np.ndarray,
    frame_rate: float,
    silent: np.ndarray | None = None,
    title: str = "",
    ax=None,
):
    """Draw the bits of each code (N,) over time.

    Args:
        bits: bits a code.
        frame_rate: codes a second.
        silent: bool (N,), shaded where True.
        title: of the figure.
        ax: to draw on.
    """
    ax = _axes(ax, (8.0, 2.6))
    seconds = np.arange(len(bits)) / frame_rate
    ax.step(seconds, bits, where="post", color=BLUE, linewidth=0.5, label="a code")
    width = max(1, round(0.1 * frame_rate))
    smooth = np.convolve(bits, np.ones(width) / width, mode="same")
    smooth *= width / np.convolve(np.ones(len(bits)), np.ones(width), mode="same")
    ax.plot(seconds, smooth, color=ORANGE, label="mean over 0.1 s")
    if silent is not None and np.any(silent):
        ax.fill_between(
            seconds, 0, 1, where=silent, step="post", transform=ax.get_xaxis_transform(),
            color=GREY, alpha=0.25, linewidth=0, label="silence",
        )  # fmt: skip
    ax.set(xlabel="time (s)", ylabel="bits a code", xlim=(0, len(bits) / frame_rate))
    ax.set_ylim(0, None)
    ax.set_title(title, parse_math=False)
    ax.legend(ncols=3, loc="upper right", fontsize=8, **LEGEND)
    return ax


def plot_successors(codes: Sequence[int], shares: np.ndarray, after: str = "", ax=None):
    """Draw the likeliest next codes and their probabilities (M,), falling."""
    ax = _axes(ax, (6.0, 2.6))
    places = np.arange(len(codes))
    ax.bar(places, 100 * np.asarray(shares), color=GREEN)
    ax.set_xticks(places, [str(code) for code in codes])
    title = f"what follows {after}".strip() if after else "what follows"
    ax.set(xlabel="next code", ylabel="probability (%)", title=title)
    return ax


def plot_held(seconds: np.ndarray, limit: float, ax=None):
    """Draw how long samples hold one code at the longest, s (M,), and the limit of what is well."""
    ax = _axes(ax, (6.0, 3.0))
    edges = np.linspace(0, max(1.1 * limit, float(np.max(seconds)) * 1.05), 30)
    ax.hist(seconds, edges, color=BLUE)
    share = float(np.mean(np.asarray(seconds) > limit))
    ax.axvline(limit, color=ORANGE, linestyle="--", label=f"{100 * share:.1f} % hold one longer")
    ax.set(xlabel="longest time on one code outside silence (s)", ylabel="samples")
    ax.legend(**LEGEND)
    return ax
