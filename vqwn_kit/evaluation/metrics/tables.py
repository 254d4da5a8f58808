"""Rows of text as an aligned table: plain text, Markdown or HTML; what is shown as either.

`align` has one letter per column: `l` for text on the left, `r` for numbers on the right.
"""

import csv
import html
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vqwn_kit.files import replacing

Rows = Sequence[Sequence[str]]
NO_BREAK = "\N{NO-BREAK SPACE}"


def align_columns(rows: Rows, align: str, least: int = 0) -> list[list[str]]:
    """Pad all cells of a column to one width; a last column on the left is not padded.

    Args:
        rows: the cells.
        align: `l` or `r` per column.
        least: width of the narrowest column.
    """
    widths = [max(least, *map(len, column)) for column in zip(*rows, strict=True)]
    widths[-1:] = [0] if align.endswith("l") else widths[-1:]
    return [
        [f"{text:{'>' if side == 'r' else '<'}{width}}" for text, side, width in cells]
        for cells in (zip(row, align, widths, strict=True) for row in rows)
    ]


def markdown_table(head: Sequence[str], rows: Rows, align: str) -> str:
    """Return a Markdown table; `|` in a cell becomes `/`."""
    cells = [[text.replace("|", "/") for text in row] for row in (head, *rows)]
    head, *rows = align_columns(cells, align, least=3)
    rule = ["-" * max(3, len(text)) for text in head]
    rule = [f"{line[1:]}:" if side == "r" else line for line, side in zip(rule, align, strict=True)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def html_table(head: Sequence[str], sections: Iterable[tuple[str, Rows]], align: str) -> str:
    """Return an HTML table with a heading before each section of rows.

    Lines are broken in the first and the last column only.
    """
    left = ' style="text-align:left"'  # JupyterLab aligns every cell to the right

    def line(tag: str, row: Sequence[str]) -> str:
        cells = [row[0], *(text.replace(" ", NO_BREAK) for text in row[1:-1]), row[-1]]
        styles = [left if side == "l" else "" for side in align]
        pairs = zip(cells, styles, strict=True)
        made = [f"<{tag}{style}>{html.escape(text)}</{tag}>" for text, style in pairs]
        return f"<tr>{''.join(made)}</tr>"

    parts = [line("th", head)]
    for name, rows in sections:
        parts.append(f'<tr><th colspan="{len(head)}"{left}>{html.escape(name)}</th></tr>')
        parts += [line("td", row) for row in rows]
    return f"<table>{''.join(parts)}</table>"


def write_csv(path: str | Path, columns: Mapping[str, Sequence]) -> Path:
    """Write columns of equal length by name as a CSV file, replaced where it exists; its path."""
    path = Path(path)
    with replacing(path) as scratch, scratch.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows(zip(*columns.values(), strict=True))
    return path


class Shown:
    """Base class of what is text (`__str__`) in a terminal, and `_repr_html_` in a notebook."""

    def __repr__(self) -> str:
        """Return it as text."""
        return str(self)

    def show(self) -> None:
        """Show it: as HTML in a notebook, else as text."""
        ipython = sys.modules.get("IPython")  # it is imported wherever a notebook is
        if ipython is None or ipython.get_ipython() is None:
            print(self)
        else:
            from IPython.display import display

            display(self)
