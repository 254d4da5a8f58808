"""Score cards of several runs -> one table, a column per run, differences paired by sentence."""

import html
from collections.abc import Iterator
from dataclasses import dataclass, field

from vqwn_kit.errors import one_of
from vqwn_kit.evaluation.judges import disagreements
from vqwn_kit.evaluation.metrics import Estimate, NotMeasured, paired_difference
from vqwn_kit.evaluation.metrics.tables import NO_BREAK, Shown, align_columns, html_table
from vqwn_kit.evaluation.score_card import INTERVALS, Row, ScoreCard

BITS = "bits are of"  # the fact of a card that says which signal its likelihood is of
OWN = ("run", "step", BITS)  # facts in which cards of different runs differ anyway
NONE = "-"  # what was not measured, or cannot be compared
PAIRED = (
    "Differences are from {first}: the mean over the sentences that both cards have, in pairs; "
    "each sentence counts the same, however long it is. The 95 % interval includes 0 where they "
    "are not distinguishable. Of twenty differences that are 0, one is distinguishable by chance. "
    "Measures that keep no value of each sentence, or are of other observations, have none."
)
Key = tuple[str, str, str]  # section, name, and the signal of bits that cannot be compared


@dataclass(repr=False)
class CardComparison(Shown):
    """Score cards side by side: a terminal shows them as text, a notebook as a table.

    Rows of codes as units of speech are left out.

    Attributes:
        cards: the cards by name of the run; the first is the reference of all differences.
        missing: why a run has no card, by name.

    Example:
        cards = {name: vq.ScoreCard.load(f"results/{name}") for name in ("mini", "vctk-libri")}
        CardComparison(cards).show()
    """

    cards: dict[str, ScoreCard]
    missing: dict[str, str] = field(default_factory=dict)

    def difference(self, name: str, measure: str) -> Estimate:
        """Return how much a run is above the first in a measure, paired by sentence.

        Raises:
            InputError: no card of this name.
            NotMeasured: the two cannot be compared; the message says why.
        """
        if name not in self.cards:
            raise one_of("score card", name, self.cards)
        first = next(iter(self.cards))
        rows = [{row.name: row for row in self.cards[run].rows} for run in (first, name)]
        corpora = [self.cards[run].about.get("corpus") for run in (first, name)]
        for run, known in zip((first, name), rows, strict=True):
            if measure not in known:
                raise NotMeasured(f"{run} has no row {measure!r}")
        signals = [_signal(self.cards[run], rows[0][measure]) for run in (first, name)]
        if signals[0] != signals[1]:
            raise NotMeasured(self._about_bits())
        if corpora[0] != corpora[1]:
            raise NotMeasured(f"the cards are of the corpora {corpora[0]} and {corpora[1]}")
        pair = [known[measure] for known in rows]
        if pair[0].observed != pair[1].observed:
            of = f"{pair[0].observed} in {first}, {pair[1].observed} in {name}"
            raise NotMeasured(f"{measure} is of different observations: {of}")
        return paired_difference(pair[0].sentences, pair[1].sentences)

    @property
    def notes(self) -> list[str]:
        """What must be known to compare the columns, in one sentence each."""
        notes = [f"No score card of {name}: {why}." for name, why in self.missing.items()]
        facts = dict.fromkeys(fact for card in self.cards.values() for fact in card.about)
        for fact in facts:
            values = {name: card.about.get(fact, "not noted") for name, card in self.cards.items()}
            if fact not in OWN and len(set(values.values())) > 1:
                listed = "; ".join(f"{value} ({name})" for name, value in values.items())
                notes.append(f"The cards differ in {fact!r}: {listed}.")
        first, *others = self.cards or [NONE]
        for name in others:
            pair = self.cards[first], self.cards[name]
            if pair[0].about.get("corpus") == pair[1].about.get("corpus"):
                notes += [f"{name}: {sentence}" for sentence in disagreements(*pair, first)]
        return notes + ([self._about_bits()] if self._bits_differ() else [])

    def _bits_differ(self) -> bool:
        signals = {card.about[BITS] for card in self.cards.values() if BITS in card.about}
        return len(signals) > 1

    def _about_bits(self) -> str:
        listed = (f"{card.about.get(BITS, 'none')} ({name})" for name, card in self.cards.items())
        return (
            f"Bits per sample of different signals cannot be compared: {'; '.join(listed)}. Finer "
            "levels take more bits, whatever the model. So each signal has a row of its own."
        )

    def _table(self) -> dict[Key, dict[str, Row]]:
        """Return the rows by key, and of each by name of the run."""
        table: dict[Key, dict[str, Row]] = {}
        apart = self._bits_differ()
        for name, card in self.cards.items():
            for row in card.rows:
                if not row.section.startswith("units"):
                    signal = _signal(card, row) if apart else ""
                    table.setdefault((row.section, row.name, signal), {})[name] = row
        order = list(dict.fromkeys(section for section, *_ in table))
        return dict(sorted(table.items(), key=lambda item: order.index(item[0][0])))

    def sections(self) -> Iterator[tuple[str, list[list[str]]]]:
        """Yield each section with its lines: measure, a cell per run, differences, what is seen."""
        lines: dict[str, list[list[str]]] = {}
        for (section, measure, signal), rows in self._table().items():
            cells = [
                _cell(*rows[name].cells()[1:3]) if name in rows else NONE for name in self.cards
            ]
            changes = [self._change(name, measure, rows) for name in list(self.cards)[1:]]
            observed = " / ".join(dict.fromkeys(row.observed for row in rows.values()))
            shown = f"{measure}, of {signal}" if signal else measure
            lines.setdefault(section, []).append([shown, *cells, *changes, observed])
        yield from lines.items()

    def _change(self, name: str, measure: str, rows: dict[str, Row]) -> str:
        """Return the difference of a run from the first as text."""
        if name not in rows:
            return NONE
        try:
            value, low, high, n = self.difference(name, measure)
        except NotMeasured:
            return NONE
        row, of = rows[name], f"{n} sentences"
        if value == low == high == 0:
            return f"the same in all {of}"
        number, *limits = (row.number(limit, "+") for limit in (value, low, high))
        interval = " to ".join(limits) + (f", {of}" if n < len(row.sentences) else "")
        if low <= 0 <= high:
            return _cell("not distinguishable", interval)
        return _cell(f"{number} {row.unit}".strip(), interval)

    @property
    def head(self) -> list[str]:
        """The heads of the columns."""
        first, *others = self.cards or [NONE]
        changes = [f"{name} - {first}" for name in others]
        return ["measure", *self.cards, *changes, "on"]

    def _caption(self) -> list[str]:
        several = [PAIRED.format(first=next(iter(self.cards)))] if len(self.cards) > 1 else []
        return [*several, INTERVALS] if self.cards else []

    def __str__(self) -> str:
        """Return the table for a terminal."""
        sections = list(self.sections())
        rows = [self.head, *(line for _, lines in sections for line in lines)]
        aligned = iter(align_columns(rows, "l" + "r" * (len(self.head) - 2) + "l"))
        text = [*self.notes, "", f"  {'  '.join(next(aligned))}"]
        for section, lines in sections:
            text += ["", section.upper()]
            text += [f"  {'  '.join(next(aligned))}".rstrip() for _ in lines]
        return "\n".join([*text, "", *self._caption()])

    def _repr_html_(self) -> str:
        """Return the table for a notebook."""
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        caption = "".join(f"<p><small>{html.escape(line)}</small></p>" for line in self._caption())
        if not self.cards:
            return notes
        align = "l" + "r" * (len(self.head) - 2) + "l"
        sections = [
            (section, [[*cells, observed.replace(" ", NO_BREAK)] for *cells, observed in lines])
            for section, lines in self.sections()
        ]
        return f"{notes}{html_table(self.head, sections, align)}{caption}"


def _signal(card: ScoreCard, row: Row) -> str:
    """Return what the bits of a row are of, or nothing for a row of anything else."""
    return str(card.about.get(BITS, "")) if row.section == "likelihood" else ""


def _cell(value: str, interval: str) -> str:
    return f"{value} ({interval})" if interval else value
