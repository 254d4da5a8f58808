"""The score card: rows of measures with their intervals -> text, Markdown, HTML, JSON, figures."""

import html
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import ClassVar

import numpy as np

from vqwn_kit.data import audio
from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.metrics import Estimate, NotMeasured, group_means, proportion, ratio
from vqwn_kit.evaluation.metrics.tables import Shown, align_columns, html_table, markdown_table
from vqwn_kit.files import counted, read_json, replacing

DIGITS = {"": 2, "%": 1, "% fewer": 1, "dB": 2, "semitones": 2, "of 5": 2, "of 1": 2}
INTERVALS = (
    "Intervals are 95 %, for other sentences and the same speakers: what several voices read, or "
    "what one recording is converted to, is one sentence. Student's t over sentences (of a ratio, "
    "or by leaving out one sentence where the measure is of all frames); Wilson's for proportions, "
    "with the effective sample size. Counts have none."
)
HEAD, ALIGN = ("measure", "value", "95 % interval", "on", ""), "lrrll"


@dataclass(frozen=True)
class Row:
    """A measure: its value, its 95 % interval or None, the number and kind of observations.

    `sentences` has the value of each sentence, where it is kept for paired comparisons.
    """

    section: str
    name: str
    value: float
    low: float | None
    high: float | None
    n: int
    of: str
    unit: str
    note: str = ""
    sentences: dict[str, float] = field(default_factory=dict, repr=False)

    def cells(self) -> tuple[str, str, str, str, str]:
        """Return name, value, interval, count and note as text."""
        limits = [self.number(limit) for limit in (self.low, self.high) if limit is not None]
        value = f"{self.number(self.value)} {self.unit}".strip()
        return self.name, value, " to ".join(limits), self.observed, self.note

    @property
    def observed(self) -> str:
        """The number and kind of observations."""
        return counted(self.n, self.of)

    def number(self, value: float, sign: str = "") -> str:
        """Return a number with the digits of the row's unit; with `sign="+"`, with its sign."""
        digits = 3 if re.match(r"bits\b(?!/)", self.unit) else DIGITS.get(self.unit, 0)
        return f"{value:{sign},.{digits}f}"


def _checked_row(row: Row) -> Row:
    """Return a row; raise TypeError where a value of it is of another type."""
    numbers = [row.value, row.n, *(x for x in (row.low, row.high) if x is not None)]
    numbers += row.sentences.values()
    texts = (row.section, row.name, row.of, row.unit, row.note)
    if not all(map(is_numeric, numbers)) or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"the row {row.name!r} holds something of another type")
    return row


def is_numeric(value) -> bool:
    """Return whether a value is a number, be it infinite, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(repr=False)
class ScoreCard(Shown):
    """The measures of a run, and the reasons of those that could not be made.

    Attributes:
        about: facts by name: run, step, corpus, split, seed and so on.
        rows: the measures, in sections.
        skipped: reason by name of a measure that was not made.
        verdicts: what the numbers mean, in one sentence each.
        code_phones: how often code and phone coincide in training, int (K, P), or None.
        phones: names of the P phones.
        divergence: (step, bits): KL divergence of the codes from uniform use during training.
        tracks: `utterance`, `text`, `split`, `label` and `file` of each sampled sound and of each
            original.
        sounds: their waveforms (T,) by file.

    Example:
        card = vq.score_card("results/mini")
        card.show(); card["phone error, reconstruction"].value
    """

    file: ClassVar[str] = "score_card"  # name of what `save` writes

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
        """Read what `save` wrote into a folder; `code_phones` and `sounds` are not restored.

        Raises:
            InputError: there is no score card, or a file that is none.
        """
        path = Path(folder) / f"{cls.file}.json"
        if not path.is_file():
            raise InputError(
                f"{folder} has no {path.name}: measure the run first, with score_card(run) and "
                f"save(run.folder), or `vqwn evaluate {folder}`"
            )
        saved = read_json(path, "a score card")
        try:
            rows = [_checked_row(Row(**row)) for row in saved["rows"]]
            points = [(int(step), float(bits)) for step, bits in saved["divergence"]]
            kinds = {"about": dict, "skipped": dict, "verdicts": list, "tracks": list}
            rest = {name: saved[name] for name in kinds}
            wrong = [name for name, kind in kinds.items() if not isinstance(rest[name], kind)]
            texts = [*rest["verdicts"], *rest["skipped"].values()]
            keys = {"utterance", "label", "file"}
            tracks = [t for t in rest["tracks"] if not isinstance(t, dict) or not keys <= t.keys()]
            if wrong or tracks or not all(isinstance(text, str) for text in texts):
                raise TypeError(f"{wrong or tracks or 'a verdict'} is of another type")
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} is no score card ({error!r:.200}): measure again") from error
        return cls(rows=rows, divergence=points, **rest)

    def __getitem__(self, name: str) -> Row:
        """Return the row of this name."""
        rows = {row.name: row for row in self.rows}
        if name not in rows:
            reason = f": {self.skipped[name]}" if name in self.skipped else ""
            raise KeyError(f"{name!r} was not measured{reason}; there are {', '.join(rows)}")
        return rows[name]

    def add(
        self,
        section: str,
        name: str,
        estimate: Estimate | float,
        unit: str,
        of: str,
        note: str = "",
        observations: int = 0,
        sentences: dict[str, float] | None = None,
    ) -> Row:
        """Add a row and return it; a plain number is a count.

        Args:
            section: of the card.
            name: of the measure.
            estimate: its value and interval; with the unit %, as shares, 1 for 100 %.
            unit: its unit.
            of: what was observed, such as "sounds".
            note: shown beside it.
            observations: how many there are; where `estimate.n` is less, it counts sentences.
            sentences: the value of each sentence, for `disagreements`.
        """
        if not isinstance(estimate, Estimate):
            estimate = Estimate(float(estimate), None, None, 1)
        scale = 100.0 if unit.startswith("%") else 1.0
        limits = [None if x is None else x * scale for x in (estimate.low, estimate.high)]
        signed = ("bits", "% fewer", "of 1")  # only differences and information can be negative
        if limits[0] is not None and unit not in signed:
            limits[0] = max(0.0, limits[0])
        if limits[1] is not None and unit == "%" and estimate.value <= 1.0:  # an error may exceed
            limits[1] = min(100.0, limits[1])
        if estimate.n < observations:
            of = f"sentences, {observations} {of}"
        values = {label: round(value * scale, 6) for label, value in (sentences or {}).items()}
        value, n = estimate.value * scale, estimate.n
        row = Row(section, name, value, *limits, n, of, unit, note, values)
        self.rows.append(row)
        return row

    def add_ratio(
        self,
        section: str,
        name: str,
        unit: str,
        sentences: Sequence[str],
        tops: Sequence[float],
        weights: Sequence[float] | None = None,
        note: str = "",
        share: bool = False,
    ) -> Row:
        """Add sum(tops) / sum(weights) over the sentences of sounds, and that of each sentence.

        With `share`, tops are hits, of weight 1; see `proportion`, otherwise `ratio`.
        """
        weights = np.ones(len(tops)) if weights is None else weights
        estimate = proportion(tops, sentences) if share else ratio(tops, weights, sentences)
        each = group_means(tops, weights, sentences)
        return self.add(section, name, estimate, unit, "sounds", note, len(tops), each)

    @contextmanager
    def measuring(self, *names: str) -> Iterator[None]:
        """Record the reason of `NotMeasured` for those of the measures that have no row yet."""
        try:
            yield
        except NotMeasured as reason:
            known = {row.name for row in self.rows} | set(self.skipped)
            self.skipped |= {name: str(reason) for name in names if name not in known}

    def to_dict(self) -> dict:
        """Return the card as plain numbers, lists and strings."""
        return {
            "about": self.about,
            "verdicts": self.verdicts,
            "rows": [asdict(row) for row in self.rows],
            "skipped": self.skipped,
            "intervals": INTERVALS,
            "divergence": [[step, round(bits, 4)] for step, bits in self.divergence],
            "tracks": self.tracks,
        }

    def _facts(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.about.items())

    def _sections(self) -> list[tuple[str, list[tuple[str, ...]]]]:
        groups = groupby(self.rows, key=lambda row: row.section)
        return [(section, [row.cells() for row in rows]) for section, rows in groups]

    def __str__(self) -> str:
        """Return the card for a terminal."""
        lines = [self._facts()]
        aligned = iter(align_columns([row.cells() for row in self.rows], ALIGN))
        for section, rows in self._sections():
            lines += ["", section.upper()]
            lines += [f"  {'  '.join(next(aligned))}".rstrip() for _ in rows]
        if self.skipped:
            lines += ["", "NOT MEASURED"]
            lines += [f"  {name}: {reason}" for name, reason in self.skipped.items()]
        return "\n".join([*lines, "", *self.verdicts, INTERVALS])

    def to_markdown(self) -> str:
        """Return the card as a Markdown page."""
        parts = ["# Score card", self._facts(), *(f"**{verdict}**" for verdict in self.verdicts)]
        for section, rows in self._sections():
            parts += [f"## {section.capitalize()}", markdown_table(HEAD, rows, ALIGN)]
        if self.skipped:
            rows = list(self.skipped.items())
            parts += ["## Not measured", markdown_table(("measure", "reason"), rows, "ll")]
        return "\n\n".join([*parts, INTERVALS]) + "\n"

    def _repr_html_(self) -> str:
        """Return the card as a table for a notebook."""
        skipped = [f"not measured: {name}: {reason}" for name, reason in self.skipped.items()]
        above = [html.escape(self._facts())]
        above += [f"<b>{html.escape(verdict)}</b>" for verdict in self.verdicts]
        below = [*map(html.escape, skipped), f"<small>{INTERVALS}</small>"]
        above, below = ("".join(f"<p>{text}</p>" for text in part) for part in (above, below))
        return above + html_table(HEAD, self._sections(), ALIGN) + below

    def figures(self) -> dict:
        """Return the figures that `save` writes, by name."""
        from matplotlib.figure import Figure

        from vqwn_kit import plots

        rows = [asdict(row) for row in self.rows]
        figures = {"score_card": plots.plot_score_card(rows, self.divergence, figure=Figure())}
        if self.code_phones is not None:
            ax = Figure(figsize=(8.0, 6.5), layout="constrained").add_subplot()
            plots.plot_code_phones(self.code_phones, self.phones, ax=ax)
            figures["code_phones"] = ax.figure
        return figures

    def save(self, folder: str | Path) -> list[Path]:
        """Write the card into a folder, such as the run's, and return the paths.

        `score_card.json`, `score_card.md`, `figures/score_card.png`, and `figures/code_phones.png`
        where codes were compared with phones; and the sounds as `audio/*.flac`.
        """
        folder = Path(folder)
        texts = {f"{self.file}.json": json.dumps(self.to_dict(), indent=1) + "\n"}
        texts[f"{self.file}.md"] = self.to_markdown()
        for name, text in texts.items():
            with replacing(folder / name) as scratch:
                scratch.write_text(text, encoding="utf-8")
        written = [folder / name for name in texts]
        for name, figure in self.figures().items():
            written.append(folder / "figures" / f"{name}.png")
            with replacing(written[-1]) as scratch:
                figure.savefig(scratch, dpi=110)
        return written + [audio.save_audio(folder / name, w) for name, w in self.sounds.items()]
