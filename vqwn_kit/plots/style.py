"""What all figures share: colours, line styles, legends, sizes."""

from typing import Any

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"
COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#000000")  # Okabe and Ito: colour-blind safe
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))  # readable in black and white too
LEGEND = {"framealpha": 0.8, "edgecolor": "none"}  # keeps text readable over curves
# Colours of groups, here and in the explorer: Okabe and Ito's, neighbours far apart.
GROUP_COLOURS = "#0072B2 #E69F00 #009E73 #CC79A7 #56B4E9 #D55E00 #B8A800 #8C6BB1".split()

SEXES = ("F", "M")  # as corpora say them; each has the same colour everywhere


def literal(text: str) -> str:
    """Return a text in which matplotlib takes no `$` for the beginning of a formula."""
    return str(text).replace("$", r"\$")


def curve_style(number: int) -> dict:
    """Return colour and dashes of the curve with this number, 0 for the first."""
    return {"color": COLOURS[number % 6], "linestyle": DASHES[number % 6]}


def group_style(number: int) -> tuple[str, str]:
    """Return colour and marker of a group: eight colours, then the same with other markers.

    Groups are numbered in the order of their names; -1 is a point whose group is not known.
    """
    if number < 0:
        return GREY, "o"
    return GROUP_COLOURS[number % 8], "os^D"[number // 8 % 4]


def axes_or_new(ax, figsize: tuple[float, float] = (6.0, 3.5)) -> Any:
    """Return `ax`, or the axes of a new pyplot figure of this size in inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=figsize, layout="constrained")[1]


def sized_figure(figure, width: float, height: float) -> Any:
    """Return `figure`, or a new pyplot figure, set to this size in inches."""
    if figure is None:
        import matplotlib.pyplot as plt

        figure = plt.figure()
    figure.set_size_inches(width, height)
    figure.set_layout_engine("constrained")
    return figure
