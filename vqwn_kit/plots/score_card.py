"""The figure of a score card."""

from collections.abc import Sequence

from vqwn_kit.plots.style import BLUE, GREY, ORANGE, literal, sized_figure

LABELS = {"": "errors per phone", "of 5": "of 5, predicted opinion", "bits": "bits per sample"}
DOTS = {"conversion": ORANGE, "original": GREY, "source to target": GREY}


def plot_score_card(rows: Sequence[dict], divergence: Sequence[tuple] = (), figure=None):
    """Draw a score card: one panel per section and unit, one dot and 95 % interval per row.

    Args:
        rows: dicts with section, name, value, low, high and unit. At least two rows of a section
            with the same unit make a panel. Those of units are left out, see
            `plot_unit_robustness`.
        divergence: (step, bits) of the codes' divergence from uniform usage, a panel of its own.
        figure: a matplotlib figure to draw on.

    Returns:
        The figure.
    """
    groups: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        left_out = row["section"] in ("cost", "codebook") or row["section"].startswith("units")
        if not left_out and not row["name"].startswith("bits "):
            groups.setdefault((row["section"], row["unit"]), []).append(row)
    panels = [(name, group) for name, group in groups.items() if len(group) > 1]
    panels.sort(key=lambda panel: len(panel[1]))
    count = len(panels) + bool(divergence)
    lines = -(-max(1, count) // 2)
    sizes = [4] * (count - len(panels)) + [len(group) for _, group in panels]
    heights = [1.0 + 0.33 * max(sizes[2 * line : 2 * line + 2], default=1) for line in range(lines)]
    figure = sized_figure(figure, 13.0, sum(heights))
    figure.set_layout_engine("constrained", h_pad=0.06, w_pad=0.06)
    axes = figure.subplots(lines, 2, squeeze=False, height_ratios=heights).ravel()
    if divergence:
        axes[0].plot(*zip(*divergence, strict=True), color=BLUE)
        axes[0].set(xlabel="training step", ylabel="bits", ylim=(0, None))
        axes[0].set_title("codebook: divergence from uniform usage", fontsize=10, loc="left")
    for ax, ((section, unit), group) in zip(axes[count - len(panels) :], panels, strict=False):
        _plot_rows(ax, section, unit, group)
    for ax in axes[count:]:
        ax.set_axis_off()
    return figure


def _plot_rows(ax, section: str, unit: str, group: Sequence[dict]) -> None:
    for line, row in enumerate(group):
        colour = DOTS.get(row["name"].split(", ")[-1], BLUE)
        if row["low"] is not None:
            limits = (row["low"], row["high"])
            ax.plot(limits, (line, line), color=colour, linewidth=2, alpha=0.6)
        ax.plot(row["value"], line, "o", color=colour, markersize=5)
        text = f"{row['value']:{',.0f' if row['value'] >= 1000 else '.3g'}}"
        style = {"textcoords": "offset points", "ha": "center", "fontsize": 8}
        ax.annotate(text, (row["value"], line), xytext=(0, 5), **style)
    ax.set_yticks(range(len(group)), [literal(row["name"]) for row in group], fontsize=9)
    ax.set_ylim(len(group) - 0.5, -0.9)
    low, high = ax.get_xlim()
    if unit == "%":
        ax.set_xlim(-4, 104)
    elif unit != "of 5":
        ax.set_xlim(min(0.0, low), high + 0.05 * (high - low))
    ax.set_xlabel(LABELS.get(unit, unit))
    ax.grid(axis="x", color="#dddddd", linewidth=0.6)
    ax.set_title(section, fontsize=10, loc="left")
