"""The figure of a swap of codes."""

from typing import Any

import numpy as np

from vqwn_kit.plots.style import GREY, sized_figure

DEPTH = 80.0  # dB below the loudest cell that are drawn


def plot_swap(
    before: np.ndarray,
    after: np.ndarray,
    seconds: float,
    changed: np.ndarray | None = None,
    reach: np.ndarray | None = None,
    names: tuple[str, str] = ("before", "after"),
    figure=None,
):
    """Draw mel bands before and after a swap, and their difference; return the figure.

    Args:
        before: in dB, (F, n_mels).
        after: the same of the other version.
        seconds: of all frames.
        changed: bool (N,), frames whose code was replaced; drawn as a bar above the difference.
        reach: bool (N,), frames that can change, between dotted lines.
        names: of the two.
        figure: to draw on; a new one by default.
    """
    figure = sized_figure(figure, 7.6, 4.8)
    axes = figure.subplots(3, 1, sharex=True)
    top = max(before.max(), after.max())
    drawing: dict[str, Any] = {"origin": "lower", "aspect": "auto", "interpolation": "nearest"}
    drawing["extent"] = (0.0, seconds, 0, before.shape[1])
    for ax, bands, name in zip(axes[:2], (before, after), names, strict=True):
        image = ax.imshow(bands.T, vmin=top - DEPTH, vmax=top, cmap="magma", **drawing)
        ax.set_title(name, fontsize=9, parse_math=False)
    figure.colorbar(image, ax=axes[:2], label="dB")
    change = after - before
    most = float(np.abs(change).max()) or 1.0
    image = axes[2].imshow(change.T, vmin=-most, vmax=most, cmap="RdBu_r", **drawing)
    figure.colorbar(image, ax=axes[2], label="dB")
    axes[2].set_title("difference", fontsize=9)
    for ax in axes:
        ax.set_ylabel("mel band")
        ax.tick_params(labelsize=8)
    if changed is not None:
        at = np.flatnonzero(changed) * seconds / len(changed)
        axes[2].plot(
            at + seconds / len(changed) / 2, np.full(len(at), 0.97 * before.shape[1]), "k|"
        )
    if reach is not None:
        edges = np.flatnonzero(np.diff([0, *np.asarray(reach, int), 0]))
        for edge in edges * seconds / len(reach):
            axes[2].axvline(edge, color=GREY, linestyle=":", linewidth=1)
    axes[2].set_xlabel("time (s)")
    return figure
