"""Figures of speech units."""

from collections.abc import Mapping

import numpy as np

from vqwn_kit.plots.style import COLOURS, axes_or_new

HATCHES = ("", "//", "..", "xx")  # readable in black and white too
WIDTH = 0.8  # of the bars of one perturbation together


def plot_unit_robustness(distances: Mapping[str, Mapping[str, float]], ax=None):
    """Draw how many units change when the sound is perturbed; lower is steadier.

    Args:
        distances: unit edit distance in % by name of the units, then by perturbation; all have the
            perturbations of the first, those that one lacks are left out.
        ax: matplotlib axes.
    """
    ax = axes_or_new(ax, (8.0, 3.8))
    perturbations = list(next(iter(distances.values())))
    width = WIDTH / len(distances)
    for number, (name, row) in enumerate(distances.items()):
        heights = [row.get(perturbation, np.nan) for perturbation in perturbations]
        places = np.arange(len(perturbations)) + (number + 0.5) * width - WIDTH / 2
        style = {"color": COLOURS[number % 6], "hatch": HATCHES[number % 4], "edgecolor": "white"}
        bars = ax.bar(places, heights, width, label=name, linewidth=0.0, **style)
        ax.bar_label(bars, fmt="%.0f", fontsize=7, padding=1)
    ax.set_xticks(range(len(perturbations)), [_in_lines(name) for name in perturbations])
    ax.tick_params(axis="x", labelsize=8, length=0)
    ax.set(ylabel="unit edit distance (%)", title="Units of perturbed speech")
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, -0.36), ncols=len(distances), frameon=False)
    ax.margins(y=0.1)
    ax.grid(axis="y", color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    return ax


def _in_lines(name: str) -> str:
    """Return a name with a line break at the blank nearest to its middle."""
    blanks = [place for place, letter in enumerate(name) if letter == " "]
    if not blanks:
        return name
    middle = min(blanks, key=lambda place: abs(place - len(name) / 2))
    return f"{name[:middle]}\n{name[middle + 1 :]}"
