"""Figures of a codebook on a plane: arrays of `toy` -> matplotlib axes; see `views`."""

import numpy as np

from vqwn_kit.plots.style import BLUE, GREY, ORANGE, axes_or_new


def plot_plane(
    points: np.ndarray,
    codebooks: np.ndarray,
    codes: np.ndarray,
    title: str = "",
    limit: float | None = None,
    ax=None,
):
    """Draw points of a plane, the codes among them, and the ways that the codes went.

    Args:
        points: (M, 2).
        codebooks: (K, 2), or (S, K, 2) over time, of which the last is marked.
        codes: the last nearest code of each point, (M,); its cell is shaded.
        title: of the figure.
        limit: of both axes; as far as points and codes reach by default.
        ax: to draw on.
    """
    ax = axes_or_new(ax, (4.2, 4.2))
    ways = np.asarray(codebooks).reshape(-1, *np.shape(codebooks)[-2:])
    last = ways[-1]
    reach = 1.08 * max(np.abs(points).max(), np.abs(ways).max()) if limit is None else limit
    grid = np.linspace(-reach, reach, 300)
    plane = np.stack(np.meshgrid(grid, grid), axis=-1)[..., None, :]
    cells = ((plane - last) ** 2).sum(axis=-1).argmin(axis=-1)
    for code in range(len(last)):
        if (cells == code).any():
            ax.contour(grid, grid, cells == code, [0.5], colors="0.75", linewidths=0.8)
    ax.scatter(*points.T, s=8, color=GREY, alpha=0.45, linewidth=0, label="points")
    for way in ways.transpose(1, 0, 2):
        ax.plot(*way.T, color=BLUE, linewidth=0.9, alpha=0.7)
    used = np.isin(np.arange(len(last)), codes)
    ax.scatter(*last[used].T, s=60, color=ORANGE, edgecolor="white", zorder=4, label="codes")
    if not used.all():
        style = {"marker": "X", "s": 60, "edgecolor": "white", "zorder": 4}
        ax.scatter(*last[~used].T, color="black", label="unused codes", **style)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="dimension 1", ylabel="dimension 2")
    ax.set_aspect("equal")
    ax.set_title(title, parse_math=False)
    return ax


def plot_planes(planes: dict[str, tuple], limit: float | None = None, figure=None):
    """Draw `plot_plane` for (points, codebooks, codes) by title, side by side; return the figure.

    Under them stands one legend for all.
    """
    figure, axes = _beside(len(planes), figure)
    for ax, (title, plane) in zip(axes, planes.items(), strict=True):
        plot_plane(*plane, title=title, limit=limit, ax=ax)
    return _one_legend(figure, axes)


def plot_pulls(
    points: np.ndarray,
    codebook: np.ndarray,
    at_points: np.ndarray,
    at_codes: np.ndarray,
    title: str = "",
    ax=None,
):
    """Draw points (M, 2) and codes (K, 2), and the pulls at both as arrows; see `toy`."""
    ax = axes_or_new(ax, (4.2, 4.2))
    arrows = {"angles": "xy", "scale_units": "xy", "scale": 1.0}
    ax.scatter(*points.T, s=8, color=GREY, linewidth=0)
    ax.quiver(*points.T, *at_points.T, color=BLUE, width=0.004, label="pull at a frame", **arrows)
    ax.scatter(*codebook.T, s=60, color=ORANGE, edgecolor="white", zorder=3)
    arrows |= {"width": 0.009, "zorder": 4, "label": "pull at a code"}
    ax.quiver(*codebook.T, *at_codes.T, color=ORANGE, **arrows)
    ax.set(xlabel="dimension 1", ylabel="dimension 2")
    ax.set_aspect("equal")
    ax.set_title(title, parse_math=False)
    return ax


def plot_pulls_beside(pictures: dict[str, tuple], figure=None):
    """Draw `plot_pulls` for its first four arguments by title, side by side; return the figure."""
    figure, axes = _beside(len(pictures), figure)
    for ax, (title, picture) in zip(axes, pictures.items(), strict=True):
        plot_pulls(*picture, title=title, ax=ax)
    return _one_legend(figure, axes)


def _beside(count: int, figure):
    if figure is None:
        import matplotlib.pyplot as plt

        figure = plt.figure()
    side = min(3.6, 8.0 / count)  # inches; a notebook would shrink what is wider, and its text
    figure.set_size_inches(count * side + 0.4, side + 0.9)
    figure.set_layout_engine("constrained")
    return figure, np.atleast_1d(figure.subplots(1, count, sharex=True, sharey=True))


def _one_legend(figure, axes):
    marks = {}
    for ax in axes:
        ax.label_outer()
        ax.locator_params(axis="x", nbins=5, prune="both")  # else the ends of neighbours meet
        marks |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    figure.legend(marks.values(), marks, loc="outside lower center", ncols=3, frameon=False)
    return figure
