"""The score card: rows of measures with their intervals -> a table, JSON, Markdown and figures."""

import html
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from vqwn_kit.data import audio
from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.metrics.measures import Estimate, NotMeasured
from vqwn_kit.files import replacing

DIGITS = {
    "bits": 3,
    "bits a code": 3,
    "": 2,
    "%": 1,
    "% fewer": 1,
    "dB": 2,
    "semitones": 2,
    "of 5": 2,
    "s": 0,
}
INTERVALS = (
    "Intervals are 95 %: Student's t over utterances (of a ratio, or by leaving out one utterance "
    "where the measure is of all frames), Wilson's for shares of yes and no. Counts have none."
)

LEFT = ' style="text-align:left"'  # JupyterLab sets every cell to the right


@dataclass(frozen=True)
class Row:
    """A measure: its value, its 95 % interval (or None), on how many of what, and a remark."""

    section: str
    name: str
    value: float
    low: float | None
    high: float | None
    n: int
    of: str
    unit: str
    note: str = ""

    def words(self) -> tuple[str, str, str]:
        """Return value, interval and count as people read them."""
        interval = "" if self.low is None else f"{self._number(self.low)} to "
        interval += "" if self.high is None else self._number(self.high)
        unit = f" {self.unit}" if self.unit else ""
        return f"{self._number(self.value)}{unit}", interval, f"{self.n} {self.of}".strip()

    def _number(self, value: float) -> str:
        return f"{value:,.{DIGITS.get(self.unit, 0)}f}"


@dataclass(repr=False)
class ScoreCard:
    """What was measured of a run, and what wasn't and why.

    Attributes:
        about: facts by name: run, step, corpus, split, seed and so on.
        rows: the measures, in sections.
        skipped: reason by measure that wasn't made.
        verdicts: what the numbers say, in plain words.
        code_phones: how often code and phone met in training, int (K, P), or None, and `phones`:
            the names of the P.
        divergence: (step, bits) of the codes' distance from uniform while training.
        tracks: what was sampled, and its originals: `utterance`, `text`, `split`, `label` and
            `file` of each; and `sounds`: the waveform (T,) by file.

    Example:
        card = vq.score_card("results/mini")
        card.show(); card["phone error, reconstruction"].value
    """

    about: dict[str, str | int | float]
    rows: list[Row] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    verdicts: list[str] = field(default_factory=list)
    code_phones: np.ndarray | None = None
    phones: tuple[str, ...] = ()
    divergence: list[tuple[int, float]] = field(default_factory=list)
    tracks: list[dict[str, str]] = field(default_factory=list)
    sounds: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: str | Path) -> "ScoreCard":
        """Read what `save` wrote into a folder, such as a run's; tables of codes aren't kept.

        Raises:
            InputError: there is no card, or something else of its name.
        """
        path = Path(folder) / "score_card.json"
        if not path.is_file():
            raise InputError(
                f"{folder} has no score_card.json: measure the run first, with score_card(run) and "
                "save(run.folder), or `vqwn evaluate`"
            )
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            rows = [Row(**row) for row in told["rows"]]
            points = [tuple(point) for point in told["divergence"]]
            more = {name: told[name] for name in ("about", "skipped", "verdicts", "tracks")}
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is no score card ({error!r}): measure again") from error
        return cls(rows=rows, divergence=points, **more)

    def __getitem__(self, name: str) -> Row:
        """Return the row of this name."""
        found = {row.name: row for row in self.rows}
        if name not in found:
            reason = f": {self.skipped[name]}" if name in self.skipped else ""
            raise KeyError(f"{name!r} wasn't measured{reason}; there are {', '.join(found)}")
        return found[name]

    def add(
        self,
        section: str,
        name: str,
        estimate: Estimate | float,
        unit: str,
        of: str,
        note: str = "",
    ) -> Row:
        """Add a row; a plain number is a count without an interval. Return it."""
        if not isinstance(estimate, Estimate):
            estimate = Estimate(float(estimate), None, None, 1)
        scale = 100.0 if unit.startswith("%") else 1.0
        limits = [None if x is None else x * scale for x in (estimate.low, estimate.high)]
        signed = ("bits", "% fewer")  # only gaps, gains and information can be negative
        if limits[0] is not None and unit not in signed:
            limits[0] = max(0.0, limits[0])
        if limits[1] is not None and unit == "%":
            limits[1] = min(100.0, limits[1])
        row = Row(section, name, estimate.value * scale, *limits, estimate.n, of, unit, note)
        self.rows.append(row)
        return row

    @contextmanager
    def measuring(self, *names: str) -> Iterator[None]:
        """Note why the measures of these names are missing where they can't be made."""
        try:
            yield
        except NotMeasured as reason:
            known = {row.name for row in self.rows} | set(self.skipped)
            self.skipped |= {name: str(reason) for name in names if name not in known}

    def to_dict(self) -> dict:
        """Return all of it as plain numbers, lists and words."""
        return {
            "about": self.about,
            "verdicts": self.verdicts,
            "rows": [asdict(row) for row in self.rows],
            "skipped": self.skipped,
            "intervals": INTERVALS,
            "divergence": [[step, round(bits, 4)] for step, bits in self.divergence],
            "tracks": self.tracks,
        }

    def _table(self) -> list[tuple[str, str, str, str, str]]:
        return [(row.name, *row.words(), row.note) for row in self.rows]

    def __str__(self) -> str:
        """Return the table for a terminal."""
        table = self._table()
        widths = [max((len(cells[i]) for cells in table), default=0) for i in range(4)]
        lines = [", ".join(f"{name} {value}" for name, value in self.about.items())]
        section = None
        for row, cells in zip(self.rows, table, strict=True):
            if row.section != section:
                section = row.section
                lines += ["", section.upper()]
            name, value, interval, count, note = cells
            line = f"  {name:{widths[0]}}  {value:>{widths[1]}}  {interval:{widths[2]}}  "
            lines.append(f"{line}{count:{widths[3]}}  {note}".rstrip())
        if self.skipped:
            lines += ["", "NOT MEASURED"]
            lines += [f"  {name}: {reason}" for name, reason in self.skipped.items()]
        return "\n".join([*lines, "", *self.verdicts, INTERVALS])

    __repr__ = __str__

    def to_markdown(self) -> str:
        """Return the card as a Markdown page."""
        facts = ", ".join(f"{name} {value}" for name, value in self.about.items())
        lines = ["# Score card", "", facts, "", *(f"**{said}**\n" for said in self.verdicts)]
        section = None
        for row, cells in zip(self.rows, self._table(), strict=True):
            if row.section != section:
                section = row.section
                lines += ["", f"## {section.capitalize()}", ""]
                lines += [
                    "| measure | value | 95 % interval | on | |",
                    "| --- | ---: | --- | --- | --- |",
                ]
            lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
        if self.skipped:
            lines += ["", "## Not measured", "", "| measure | why |", "| --- | --- |"]
            lines += [f"| {name} | {reason} |" for name, reason in self.skipped.items()]
        return "\n".join([*lines, "", INTERVALS, ""])

    def _repr_html_(self) -> str:
        """Return the card as a table for a notebook."""
        facts = ", ".join(f"{name} {value}" for name, value in self.about.items())
        parts = [f"<p>{html.escape(facts)}</p>"]
        parts += [f"<p><b>{html.escape(said)}</b></p>" for said in self.verdicts]
        parts.append("<table>")
        parts.append(_html_row("th", "measure", "value", "95 % interval", "on", ""))
        section = None
        for row, cells in zip(self.rows, self._table(), strict=True):
            if row.section != section:
                section = row.section
                parts.append(f'<tr><th colspan="5"{LEFT}>{html.escape(section)}</th></tr>')
            parts.append(_html_row("td", *cells))
        parts.append("</table>")
        parts += [
            f"<p>not measured: {html.escape(name)}: {html.escape(reason)}</p>"
            for name, reason in self.skipped.items()
        ]
        return "".join([*parts, f"<p><small>{INTERVALS}</small></p>"])

    def show(self) -> None:
        """Show the card: as a table in a notebook, else as text."""
        from IPython import get_ipython
        from IPython.display import display

        if get_ipython() is None:
            print(self)
        else:
            display(self)

    def save(self, folder: str | Path) -> list[Path]:
        """Write the card into a folder, such as the run's, and return the paths.

        `score_card.json`, `score_card.md`, `figures/score_card.png`, and `figures/code_phones.png`
        where the codes were compared with phones; and what was sampled as `audio/*.flac`.
        """
        from matplotlib.figure import Figure

        from vqwn_kit import plots

        folder = Path(folder)
        texts = {"score_card.json": json.dumps(self.to_dict(), indent=1) + "\n"}
        texts["score_card.md"] = self.to_markdown()
        written = []
        for name, text in texts.items():
            with replacing(folder / name) as scratch:
                scratch.write_text(text, encoding="utf-8")
            written.append(folder / name)
        rows = [asdict(row) for row in self.rows]
        figures = {"score_card": plots.plot_score_card(rows, self.divergence, figure=Figure())}
        if self.code_phones is not None:
            ax = Figure(figsize=(8.0, 6.5), layout="constrained").add_subplot()
            figures["code_phones"] = plots.plot_code_phones(
                self.code_phones, self.phones, ax=ax
            ).figure
        for name, figure in figures.items():
            with replacing(folder / "figures" / f"{name}.png") as scratch:
                figure.savefig(scratch, dpi=110)
            written.append(folder / "figures" / f"{name}.png")
        written += [audio.save_audio(folder / name, sound) for name, sound in self.sounds.items()]
        return written


def _html_row(tag: str, name: str, value: str, interval: str, count: str, note: str) -> str:
    """Return a row of a table: words to the left, numbers to the right and never broken."""
    cells = []
    for text, style in zip((name, value, interval, count), (LEFT, "", "", LEFT), strict=True):
        whole = text if text == name else text.replace(" ", "\N{NO-BREAK SPACE}")
        cells.append(f"<{tag}{style}>{html.escape(whole)}</{tag}>")
    return f"<tr>{''.join(cells)}<{tag}{LEFT * bool(note)}>{html.escape(note)}</{tag}></tr>"
