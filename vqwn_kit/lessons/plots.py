"""Figures of a codebook in two dimensions: arrays of `codebook_2d` -> matplotlib axes."""

import numpy as np

from vqwn_kit.plots.style import BLUE, GREY, ORANGE, axes_or_new, sized_figure


def plot_plane(
    points: np.ndarray,
    codebooks: np.ndarray,
    codes: np.ndarray,
    title: str = "",
    limit: float | None = None,
    ax=None,
):
    """Draw points, the codes with their Voronoi cells, and the paths of the codes in training.

    Args:
        points: (M, 2).
        codebooks: (K, 2), or (S, K, 2) over time; the last one is marked.
        codes: (M,), the nearest code of each point in the last codebook.
        title: of the figure.
        limit: of both axes; as far as points and codes extend by default.
        ax: to draw on.
    """
    ax = axes_or_new(ax, (4.2, 4.2))
    history = np.asarray(codebooks).reshape(-1, *np.shape(codebooks)[-2:])
    last = history[-1]
    extent = 1.08 * max(np.abs(points).max(), np.abs(history).max()) if limit is None else limit
    grid = np.linspace(-extent, extent, 300)
    plane = np.stack(np.meshgrid(grid, grid), axis=-1)[..., None, :]
    cells = ((plane - last) ** 2).sum(axis=-1).argmin(axis=-1)
    for code in range(len(last)):
        if (cells == code).any():
            ax.contour(grid, grid, cells == code, [0.5], colors="0.75", linewidths=0.8)
    ax.scatter(*points.T, s=8, color=GREY, alpha=0.45, linewidth=0, label="points")
    for path in history.transpose(1, 0, 2):
        ax.plot(*path.T, color=BLUE, linewidth=0.9, alpha=0.7)
    used = np.isin(np.arange(len(last)), codes)
    ax.scatter(*last[used].T, s=60, color=ORANGE, edgecolor="white", zorder=4, label="codes")
    if not used.all():
        style = {"marker": "X", "s": 60, "edgecolor": "white", "zorder": 4}
        ax.scatter(*last[~used].T, color="black", label="unused codes", **style)
    ax.set(xlim=(-extent, extent), ylim=(-extent, extent))
    return _labelled(ax, title)


def plot_gradients(
    points: np.ndarray,
    codebook: np.ndarray,
    at_points: np.ndarray,
    at_codes: np.ndarray,
    title: str = "",
    ax=None,
):
    """Draw points (M, 2) and codes (K, 2), and the negative gradients at both as arrows."""
    ax = axes_or_new(ax, (4.2, 4.2))
    arrows = {"angles": "xy", "scale_units": "xy", "scale": 1.0}
    ax.scatter(*points.T, s=8, color=GREY, linewidth=0)
    style = {"color": BLUE, "width": 0.004, "label": "\N{MINUS SIGN}gradient at a point"}
    ax.quiver(*points.T, *at_points.T, **style, **arrows)
    ax.scatter(*codebook.T, s=60, color=ORANGE, edgecolor="white", zorder=3)
    style = {"color": ORANGE, "width": 0.009, "label": "\N{MINUS SIGN}gradient at a code"}
    ax.quiver(*codebook.T, *at_codes.T, zorder=4, **style, **arrows)
    return _labelled(ax, title)


def _labelled(ax, title: str):
    ax.set(xlabel="dimension 1", ylabel="dimension 2")
    ax.set_aspect("equal")
    ax.set_title(title, parse_math=False)
    return ax


def plot_planes(panels: dict[str, tuple], limit: float | None = None, figure=None):
    """Draw `plot_plane` of (points, codebooks, codes) by title, side by side; return the figure."""
    return _side_by_side(plot_plane, panels, figure, limit=limit)


def plot_gradient_planes(panels: dict[str, tuple], figure=None):
    """Draw `plot_gradients` of its first four arguments by title, side by side."""
    return _side_by_side(plot_gradients, panels, figure)


def _side_by_side(plot, panels: dict[str, tuple], figure, **settings):
    """Draw panels in one row, with one legend below; return the figure."""
    side = min(3.6, 8.0 / len(panels))  # inches; a notebook would shrink a wider figure
    figure = sized_figure(figure, len(panels) * side + 0.4, side + 0.9)
    axes = np.atleast_1d(figure.subplots(1, len(panels), sharex=True, sharey=True))
    marks = {}
    for ax, (title, arrays) in zip(axes, panels.items(), strict=True):
        plot(*arrays, title=title, ax=ax, **settings)
        ax.label_outer()
        ax.locator_params(axis="x", nbins=5, prune="both")  # labels at shared edges would overlap
        marks |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    figure.legend(marks.values(), marks, loc="outside lower center", ncols=3, frameon=False)
    return figure
