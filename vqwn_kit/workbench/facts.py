"""Facts as texts by name: aligned text in a terminal, a table in a notebook."""

import html
from collections.abc import Iterable, Mapping

from vqwn_kit.evaluation.metrics.tables import Shown, align_columns, html_table

WIDTH = 24  # of the names, where none is longer


class Facts(Shown, dict[str, str]):
    """Facts by name, and the problems that were found in what they describe.

    Args:
        facts: texts by name.
        problems: what cannot work or is doubtful, a sentence each.

    Example:
        facts = vq.describe("paper"); facts["hop length"]; facts.problems
    """

    def __init__(self, facts: Mapping[str, str], problems: Iterable[str] = ()):
        super().__init__(facts)
        self.problems = list(problems)

    def _sections(self) -> list[tuple[str, list[tuple[str, str]]]]:
        problems = [("problem", text) for text in self.problems]
        return [("facts", list(self.items())), ("problems", problems)]

    def __str__(self) -> str:
        """Return the facts as aligned lines."""
        width = max([WIDTH, *map(len, self)])
        rows = [row for _, section in self._sections() for row in section]
        return "\n".join(f"{name:{width}} {text}" for name, text in rows)

    def _repr_html_(self) -> str:
        sections = [section for section in self._sections() if section[1]]
        return html_table((next(iter(self.values()), ""), ""), sections, "ll")


class FactTable(Shown, dict[str, Facts]):
    """Facts side by side: a row each, by name.

    Args:
        title: what the rows are of.
        rows: facts by name of the row; all have the same columns.
        caption: what the numbers are of.
    """

    def __init__(self, title: str, rows: Mapping[str, Facts], caption: str):
        super().__init__(rows)
        self.title, self.caption = title, caption

    def _cells(self) -> list[list[str]]:
        """Return the head and the rows, the name first."""
        head = [self.title, *next(iter(self.values()), {})]
        return [head, *([name, *facts.values()] for name, facts in self.items())]

    @property
    def problems(self) -> dict[str, list[str]]:
        """The problems of each row that has any, by name."""
        return {name: facts.problems for name, facts in self.items() if facts.problems}

    def _notes(self) -> list[str]:
        """Return the caption and the problems, a line each."""
        found = [f"{name}: {text}" for name, texts in self.problems.items() for text in texts]
        return [self.caption, *found]

    def __str__(self) -> str:
        """Return the table as aligned lines, with its caption and the problems below."""
        cells = self._cells()
        lines = map("  ".join, align_columns(cells, "l" + "r" * (len(cells[0]) - 1)))
        return "\n".join([*lines, "", *self._notes()])

    def _repr_html_(self) -> str:
        head, *rows = self._cells()
        notes = [f"<p><small>{html.escape(note)}</small></p>" for note in self._notes()]
        return html_table(head, [("", rows)], "l" + "r" * (len(head) - 1)) + "".join(notes)
