"""The figure of a link table."""

from collections.abc import Mapping, Sequence

from vqwn_kit.plots.style import BLUE, GREY, ORANGE, sized_figure


def plot_links(links: Sequence[str], values: Mapping, changes: Mapping, figure=None):
    """Draw what each link of a model loses as a waterfall; return the figure.

    Dots are values with their 95 % intervals. Bars lead from the value of the link before, with the
    mean difference; those whose interval includes 0 are grey.

    Args:
        links: their names.
        values: by measure for each link (value, low, high), or None.
        changes: the same of the differences of each link from the one before.
        figure: to draw on; a new one by default.
    """
    figure = sized_figure(figure, 3.0 + 4.0 * len(values), 1.2 + 0.55 * len(links))
    figure.suptitle("Bars from the link before; grey within the 95 % interval", fontsize=10)
    axes = figure.subplots(1, len(values), squeeze=False, sharey=True)[0]
    for ax, (measure, rows) in zip(axes, values.items(), strict=True):
        for line, (row, change) in enumerate(zip(rows, changes[measure], strict=True)):
            if change is not None:
                colour = GREY if change[1] <= 0 <= change[2] else ORANGE
                start, end = rows[line - 1][0], row[0]
                ax.barh(line, end - start, 0.4, start, color=colour, alpha=0.45)
                style = {"textcoords": "offset points", "ha": "center", "fontsize": 8}
                ax.annotate(f"{change[0]:+.2f}", ((start + end) / 2, line), (0, 11), **style)
            if row is not None:
                ax.plot(row[0], line, "o", color=BLUE, markersize=5)
                if row[1] is not None:
                    ax.plot(row[1:], (line, line), color=BLUE, linewidth=1.5)
        ax.set_yticks(range(len(links)), links)
        ax.set(xlabel=measure, ylim=(len(links) - 0.5, -0.6))
        ax.grid(axis="x", color="#dddddd", linewidth=0.6)
        ax.spines[["top", "right"]].set_visible(False)
    return figure
