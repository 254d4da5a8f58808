"""Times of phones and words of recordings: a corpus's `phones.tsv`, or TextGrids beside the sound.

Praat and forced aligners write a TextGrid per recording; that of `p225_001.wav` is
`p225_001.TextGrid` in the same folder.
"""

import csv
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from vqwn_kit.data.textgrid import Span, Tier, read_textgrid
from vqwn_kit.errors import InputError
from vqwn_kit.files import reason

NAMES = {"phones": ("phones", "phone", "phonemes"), "words": ("words", "word")}


def read_phones(path: Path) -> dict[str, list[Span]]:
    """Return the spans in a `phones.tsv` by key of the utterance.

    Raises:
        InputError: the table is damaged, or is another one.
    """
    table = defaultdict(list)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        try:
            for row in rows:
                start, end, phone = float(row["start"]), float(row["end"]), row["phone"]
                if not 0 <= start <= end < math.inf or not phone or not row["utterance"]:
                    raise ValueError(f"{start:g} to {end:g}, phone {phone!r}")
                table[row["utterance"]].append((start, end, phone))
        except (csv.Error, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{path} is no table of phones, or is damaged, in line {rows.line_num}: "
                f"{reason(error)}; expected utterance, start, end and phone with tabs between them "
                "(a table that was made here is made again once it is deleted)"
            ) from error
    return dict(table)


def textgrid_beside(recording: Path) -> Path | None:
    """Return the TextGrid beside a recording, of the same name, or None where there is none."""
    endings = (recording.with_suffix(ending) for ending in (".TextGrid", ".textgrid"))
    return next((path for path in endings if path.is_file()), None)


def spans_beside(recording: Path, kind: str) -> list[Span]:
    """Return the spans of `phones` or `words` in the TextGrid beside a recording.

    Empty where there is no TextGrid, or no such tier in it. Times are those of the recording.

    Raises:
        InputError: the TextGrid cannot be read.
    """
    path = textgrid_beside(recording)
    return aligned_spans(read_textgrid(path), kind) if path else []


def aligned_spans(tiers: Sequence[Tier], kind: str) -> list[Span]:
    """Return the spans of the tier of `phones` or `words`; empty where there is none.

    A name such as `ann - phones`, which the Montreal Forced Aligner gives the tier of a speaker, is
    accepted; if several speakers have one, the spans of all are returned, in the order of time,
    without the empty ones, in which another speaker may have phones.
    """
    named = [tier for tier in tiers if tier.name.lower().split(" - ")[-1] in NAMES[kind]]
    spans = (span for tier in named for span in tier.spans)
    return sorted(span for span in spans if len(named) == 1 or span[2].strip())
