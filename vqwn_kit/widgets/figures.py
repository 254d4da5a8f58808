"""The static figures of the widgets: arrays -> matplotlib figures, never through pyplot."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from vqwn_kit.plots.signals import plot_spectrogram
from vqwn_kit.plots.style import BLUE, GREY, group_style, literal
from vqwn_kit.widgets.arrays import paint_codes
from vqwn_kit.widgets.points import areas

DPI = 100  # as Jupyter shows any other figure
SHORTEST = 1024  # samples; the window of `plot_spectrogram`
INK = "#767676"  # has a contrast of 4.5 on white, and of 4 on the darkest pages
ON_ANY_PAGE: dict[Any, str] = {f"{name}.color": INK for name in ("text", "xtick", "ytick")} | {
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
}


class Still(Figure):
    """A figure that a notebook shows, without pyplot and whatever matplotlib's backend is.

    It has no background, so that it fits light and dark pages: draw it within
    `rc_context(ON_ANY_PAGE)`.
    """

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, dpi=DPI, **settings)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=DPI, transparent=True)
        return buffer.getvalue()


@rc_context(ON_ANY_PAGE)
def plot_tracks(
    tracks: dict[str, np.ndarray],
    sample_rate: int,
    codes: Sequence[int] = (),
    hop_length: float = 1.0,
    phones: Sequence[Sequence] = (),
    title: str = "",
    palette: np.ndarray | None = None,
):
    """Draw the spectrogram of each track, and codes and phones below; return the figure.

    Args:
        tracks: waveforms (T,) by name.
        sample_rate: in Hz.
        codes: int (N,), or (N, Q) of Q codebooks.
        hop_length: samples per frame.
        phones: (start, end, phone) in seconds.
        title: of the figure.
        palette: colours of the codes, see `paint_codes`.
    """
    strip = 0.12 + 0.06 * (np.shape(codes)[1] if np.ndim(codes) > 1 else 1)
    heights = [1.0] * len(tracks) + [strip] * bool(len(codes)) + [0.22] * bool(len(phones))
    figure = Still((6.6, sum(heights) + 0.27 * len(tracks) + 0.75), layout="constrained")
    axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    longest = max(SHORTEST, *map(len, tracks.values()))
    seconds = longest / sample_rate
    for ax, (name, waveform) in zip(axes, tracks.items(), strict=False):
        whole = np.pad(waveform, (0, longest - len(waveform)))
        plot_spectrogram(whole, sample_rate, name, ax)
        ax.set(xlabel="", ylabel="Hz", xlim=(0, seconds))
        ax.title.set_fontsize(9)
    rest = list(axes[len(tracks) :])
    if len(codes):
        _plot_strip(rest.pop(0), paint_codes(codes, palette), hop_length / sample_rate)
    if len(phones):
        _plot_phones(rest.pop(0), phones, seconds)
    for ax in axes:
        ax.label_outer()
        ax.tick_params(labelsize=8)
    axes[-1].set_xlabel("time (s)")
    if title:
        figure.suptitle(title, fontsize=11, parse_math=False)
    return figure


def _plot_strip(ax, colours: np.ndarray, seconds: float) -> None:
    """Draw colours (N, 3) or (N, Q, 3) of codes as the player's strip, a row per codebook."""
    extent = (0, len(colours) * seconds, 0, 1)
    rows = colours.reshape(len(colours), -1, 3).transpose(1, 0, 2)
    ax.imshow(rows, aspect="auto", extent=extent, interpolation="nearest")
    ax.set_yticks([0.5], ["codes"])


def _plot_phones(ax, phones: Sequence[Sequence], seconds: float) -> None:
    """Draw phones as labels between lines, leaving out those that would overlap."""
    last = -1.0
    for start, end, phone in phones:
        ax.axvline(start, color=GREY, linewidth=0.5)
        middle, width = (start + end) / 2, 0.012 * seconds * len(phone)
        if phone != "SIL" and middle - width / 2 > last:
            ax.text(middle, 0.5, phone, ha="center", va="center", fontsize=7, parse_math=False)
            last = middle + width / 2
    ax.set_yticks([0.5], ["phones"])
    ax.set_ylim(0, 1)


@rc_context(ON_ANY_PAGE)
def plot_points(
    positions: np.ndarray,
    sizes: np.ndarray,
    crosses: np.ndarray,
    colour: dict | None = None,
    labels: Sequence[str] = (),
    title: str = "",
):
    """Draw a map of points as the explorer does; return the figure.

    Args:
        positions: (M, 2).
        sizes: (M,); see `areas`.
        crosses: bool (M,), points that are drawn as crosses.
        colour: what to colour by, as `Colour.packed` returns it.
        labels: M names to write beside the points, or none.
        title: of the map.
    """
    figure = Still((6.6, 4.4), layout="constrained")
    ax = figure.add_subplot()
    dense = len(positions) > 700 and np.ptp(sizes) == 0
    area = (3 if dense else 6) + (10 if dense else 80) * areas(sizes)
    dots = np.flatnonzero(~np.asarray(crosses))
    dots = dots[np.argsort(-area[dots], kind="stable")]  # the small ones on top
    if colour is None:
        ax.scatter(*positions[dots].T, s=area[dots], color=BLUE, alpha=0.85)
    elif colour["kind"] == "rgb":
        paint = np.frombuffer(colour["values"], np.uint8).reshape(-1, 3) / 255
        ax.scatter(*positions[dots].T, s=area[dots], c=paint[dots], linewidth=0)
    elif colour["kind"] == "number":
        _scatter_numbers(ax, positions, area, dots, colour)
    else:
        _scatter_groups(ax, positions, area, dots, colour)
    ax.scatter(*positions[np.asarray(crosses)].T, marker="x", s=12, color=INK, linewidth=0.7)
    beside = {"xytext": (5, 4), "textcoords": "offset points", "fontsize": 9, "parse_math": False}
    for position, label in zip(positions, labels, strict=False):
        ax.annotate(label, position, **beside)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.margins(0.12 if labels else 0.06)  # a name beside a point takes room
    ax.set_title(title, parse_math=False, fontsize=10)
    return figure


def plot_panels(panels: Sequence, track: tuple | None, sample_rate: int, title: str = ""):
    """Draw the panels of a code's page, and the spectrogram of a track; return the figure.

    Args:
        panels: see `code_page.Panel`.
        track: a name and a waveform (T,), or None.
        sample_rate: in Hz.
        title: of the figure.
    """
    columns = 3
    lines = -(-(len(panels) + bool(track)) // columns)
    figure = Still((7.6, 0.5 + 1.75 * lines), layout="constrained")
    axes = list(figure.subplots(lines, columns, squeeze=False).ravel())
    if track:
        name, waveform = track
        ax = axes.pop(0)
        padded = np.pad(waveform, (0, max(0, SHORTEST - len(waveform))))
        plot_spectrogram(padded, sample_rate, name, ax)
        ax.set(xlabel="s", ylabel="Hz")
    for ax, panel in zip(axes, panels, strict=False):
        _plot_panel(ax, panel)
    for ax in axes[len(panels) :]:
        ax.set_axis_off()
    for ax in figure.axes:
        ax.tick_params(labelsize=8)
        ax.title.set_fontsize(9)
    figure.suptitle(title, fontsize=11, parse_math=False)
    return figure


def _plot_panel(ax, panel) -> None:
    """Draw a table as bars with its names, or a histogram."""
    ax.set_title(panel.name, parse_math=False)
    if panel.rows:
        rows = panel.rows[:6]
        ax.barh(range(len(rows)), [row.share for row in rows], color=BLUE)
        ax.set_yticks(range(len(rows)), [literal(row.name) for row in rows])
        for line, row in enumerate(rows):
            text = "  " + " ".join(row.texts[:2])
            ax.text(row.share, line, text, va="center", fontsize=8, parse_math=False)
        ax.set(xticks=[], xlim=(0, 1.8 * max(1e-9, *(row.share for row in rows), 1e-9)))
        ax.invert_yaxis()
    elif panel.bars:
        places = (np.arange(len(panel.bars)) + 0.5) / len(panel.bars)
        if panel.behind:
            ax.step(places, panel.behind, where="mid", color=GREY, linewidth=1)
        ax.bar(places, panel.bars, width=0.9 / len(panel.bars), color=BLUE, alpha=0.85)
        ax.set_xticks([place for place, _ in panel.ticks], [text for _, text in panel.ticks])
        ax.set(yticks=[], xlim=(0, 1))


def _scatter_numbers(ax, positions, area, dots, colour: dict) -> None:
    """Draw dots coloured by numbers, with a colour bar; unknown ones are grey."""
    values = np.frombuffer(colour["values"], np.float32)
    known, unknown = dots[np.isfinite(values[dots])], dots[~np.isfinite(values[dots])]
    ax.scatter(*positions[unknown].T, s=area[unknown], color=GREY)
    style = {"c": values[known], "cmap": "viridis", "norm": "log" if colour["log"] else None}
    shown = ax.scatter(*positions[known].T, s=area[known], **style)
    unit = f" ({colour['unit']})" if colour["unit"] else ""
    ax.figure.colorbar(shown, ax=ax, label=colour["name"] + unit)


def _scatter_groups(ax, positions, area, dots, colour: dict) -> None:
    """Draw dots coloured and shaped by groups, with a legend."""
    numbers = np.frombuffer(colour["values"], np.int32)
    styles = [group_style(number) for number in numbers]
    for marker in dict.fromkeys(marker for _, marker in styles):
        group = [n for n in dots if styles[n][1] == marker]
        paint = [styles[n][0] for n in group]
        ax.scatter(*positions[group].T, s=area[group], c=paint, marker=marker, linewidth=0)
    for number in np.unique(numbers[numbers >= 0]):
        paint, marker = group_style(number)
        name = literal(colour["groups"][number])
        ax.scatter([], [], color=paint, marker=marker, label=name)
    position = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}
    ax.legend(title=colour["name"], fontsize=8, title_fontsize=9, frameon=False, **position)
