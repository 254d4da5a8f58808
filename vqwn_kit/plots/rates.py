"""Quality over bit rate."""

from collections.abc import Sequence

import numpy as np

from vqwn_kit.plots.style import BLUE, GREY, ORANGE, sized_figure

PANELS = {  # measure: label
    "phone_error": "phone error",
    "mos": "DNSMOS P.808",
    "pnmi": "PNMI",
}


def plot_rate_quality(points: Sequence[dict], figure=None):
    """Draw phone error, DNSMOS and PNMI of a residual model over its bit rate; return the figure.

    Blue stands at the nominal rate, with 95 % intervals, orange at the rate under a bigram model of
    the codes. Grey is the PNMI that the number of tuples alone gives.

    Args:
        points: for each number of codebooks `codebooks`, `nominal` and `coded` in bits per second,
            and by the names of `PANELS` a number, an `Estimate` (value, low, high, n) or None; and
            `pnmi_chance`.
        figure: to draw on; a new one by default.
    """
    figure = sized_figure(figure, 10.0, 3.4)
    known = [name for name in PANELS if any(point[name] is not None for point in points)]
    axes = np.atleast_1d(figure.subplots(1, max(1, len(known))))
    for ax, name in zip(axes, known, strict=False):
        chosen = [point for point in points if point[name] is not None]
        rows = np.array([_limits(point[name]) for point in chosen])
        value, low, high = rows.T
        nominal, coded = ([point[rate] for point in chosen] for rate in ("nominal", "coded"))
        bars = np.nan_to_num([value - low, high - value])
        ax.errorbar(nominal, value, bars, fmt="o-", color=BLUE, capsize=2, label="nominal")
        ax.plot(coded, value, "s--", color=ORANGE, markersize=4, label="under a bigram")
        if name == "pnmi":
            chance = [point["pnmi_chance"] for point in chosen]
            ax.plot(nominal, chance, ":", color=GREY, label="in random order")
        for point, height in zip(chosen, value, strict=True):
            place = {"xytext": (7, -12), "textcoords": "offset points", "fontsize": 9}
            ax.annotate(str(point["codebooks"]), (point["nominal"], height), **place)
        ax.set(xlabel="bits per second", ylabel=PANELS[name])
        ax.spines[["top", "right"]].set_visible(False)
    axes[-1].legend(frameon=False)
    return figure


def _limits(measure) -> tuple[float, float, float]:
    """Return value, low and high of a number or an `Estimate`; NaN where there is no interval."""
    if np.ndim(measure) == 0:
        return measure, np.nan, np.nan
    value, low, high = (np.nan if part is None else part for part in measure[:3])
    return value, low, high
