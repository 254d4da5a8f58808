"""The figure of a diagnosis: a run's curves over the bands of runs that went well."""

from collections.abc import Mapping, Sequence

import numpy as np

from vqwn_kit.plots.style import BLUE, GREEN, GREY, LEGEND, ORANGE, sized_figure

LINE = {"color": BLUE, "linewidth": 1}
DASHED = {"color": ORANGE, "linestyle": "--", "linewidth": 1.2}
TRAINING = ("training", LINE)
HELD_OUT = ("held-out utterances", {"color": ORANGE, "marker": "o", "markersize": 4})
PANELS = {  # axis label of each panel: measures of the history, their labels and styles
    "bits per sample": {"bits": TRAINING, "held_out/bits": HELD_OUT},
    "mel error ((20 dB)²)": {"mel/mse": TRAINING, "held_out/mse": HELD_OUT},
    "codes": {"vq/codes_used": ("codes in use", LINE), "vq/perplexity": ("perplexity", DASHED)},
    "RMS": {"vq/z_e_rms": ("encoder's outputs", LINE), "vq/code_rms": ("codes", DASHED)},
}
OTHER = {"vq/commitment": "vq/z_e_rms"}  # a measure without a panel: where it is marked


def plot_diagnosis(
    history: Sequence[dict],
    bands: Mapping[str, tuple[np.ndarray, ...]],
    marks: Sequence[tuple[str, int, str]],
    title: str,
    figure=None,
):
    """Draw a run's curves over the bands of the reference, with the findings marked.

    Args:
        history: records of a `Run.history`.
        bands: steps, low and high, float (n,) each, by measure.
        marks: measure, step and text of each finding.
        title: of the figure.
        figure: to draw on; a new one by default.

    Returns:
        The figure: loss, codes, and sizes of the encoder's outputs and the codes, as far as they
        are in the history. Losses that span more than a factor of 5 have a logarithmic axis.
    """
    known = set().union(*history)
    shown = {label: lines for label, lines in PANELS.items() if known & lines.keys()}
    figure = sized_figure(figure, 5.0 * len(shown), 3.6)
    axes = figure.subplots(1, len(shown), squeeze=False)[0]
    for ax, (label, lines) in zip(axes, shown.items(), strict=True):
        _draw(ax, history, bands, lines)
        _mark(ax, history, [m for m in marks if OTHER.get(m[0], m[0]) in lines])
        ax.set(xlabel="training step", ylabel=label)
        ax.legend(fontsize=8, **LEGEND)
    figure.suptitle(title, fontsize=10, parse_math=False)
    return figure


def _draw(ax, history: Sequence[dict], bands: Mapping, lines: Mapping) -> None:
    """Draw the bands and the curves of a panel."""
    values = []
    for number, (name, (label, style)) in enumerate(lines.items()):
        pairs = [(r["step"], r[name]) for r in history if name in r and np.isfinite(r[name])]
        if not pairs:
            continue
        if name in bands:
            band = "reference" if not number else None
            ax.fill_between(*bands[name], color=style["color"], alpha=0.15, lw=0, label=band)
        ax.plot(*zip(*pairs, strict=True), label=label, **style)
        values += [value for _, value in pairs]
    if "vq/perplexity" in lines:
        ax.set_ylim(0, None)
    elif values and min(values) > 0 and max(values) > 5 * min(values):
        ax.set_yscale("log")


def _mark(ax, history: Sequence[dict], marks: Sequence[tuple[str, int, str]]) -> None:
    """Mark the step of each finding, and write what it is."""
    for place, (_, step, text) in enumerate(marks):
        colour = GREY if text == "stopped improving" else GREEN
        ax.axvline(step, color=colour, linewidth=1.2, linestyle=":")
        right = step > 0.6 * history[-1]["step"]
        where = {"ha": "right" if right else "left", "xytext": (-3 if right else 3, -2)}
        where |= {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        style = {"fontsize": 8, "color": colour, "parse_math": False, "va": "top"}
        ax.annotate(text, (step, 0.98 - 0.09 * place), **where, **style)
