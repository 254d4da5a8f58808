"""Praat's TextGrid files: named tiers of labelled spans of time; read and written without Praat.

Read are the long and the short text format, in UTF-8 or UTF-16, as Praat, the Montreal Forced
Aligner and others write them: of a text file Praat reads free-standing numbers, quoted strings and
flags alone, in which quotes are doubled, so that both formats are the same sequence of values
(https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html).
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from vqwn_kit.errors import InputError
from vqwn_kit.files import read_text, replacing

Span = tuple[float, float, str]  # start and end in seconds, label

VALUE = re.compile(
    r'(?<!\S)(?:"((?:[^"]|"")*)"|(<exists>)|([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)|![^\n]*)(?!\S)'
)


class Tier(NamedTuple):
    """One tier of a TextGrid.

    Attributes:
        name: such as `phones`.
        spans: start and end in seconds, and label, in the order of time. The spans of a tier of
            points have no length; those of a tier of intervals are neither empty nor overlap.
        points: whether it is a tier of points.
    """

    name: str
    spans: list[Span]
    points: bool = False


def read_textgrid(path: str | Path) -> list[Tier]:
    """Return the tiers of a TextGrid, intervals without a label included.

    Args:
        path: a file in the long or the short text format, in UTF-8 or UTF-16.

    Raises:
        InputError: no such file, or no TextGrid in one of these formats.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no such TextGrid: {path}. Give the path of a TextGrid file")
    values = _values(read_text(path))
    try:
        if [next(values), next(values)] != ["ooTextFile", "TextGrid"]:
            raise ValueError
        _skip_times(values)
        tiers = []
        if next(values) is True:
            tiers = [_tier(values) for _ in range(int(_number(values)))]
    except (StopIteration, ValueError) as error:
        raise InputError(
            f"{path} is no TextGrid that can be read, or is cut off; expected the long or the "
            "short text format: save it again in Praat ('Save as text file')"
        ) from error
    return tiers


def _values(text: str) -> Iterator[str | float | bool]:
    """Yield the values of a text file of Praat: strings, numbers, and True for `<exists>`."""
    for match in VALUE.finditer(text):
        string, exists, number = match.groups()
        if string is not None:
            yield string.replace('""', '"')
        elif exists:
            yield True
        elif number:
            yield float(number)


def _number(values: Iterator) -> float:
    value = next(values)
    if not isinstance(value, float):
        raise ValueError(value)
    return value


def _skip_times(values: Iterator) -> None:
    """Skip where a TextGrid or a tier begins and ends."""
    for _ in range(2):
        _number(values)


def _string(values: Iterator) -> str:
    value = next(values)
    if not isinstance(value, str):
        raise ValueError(value)
    return value


def _tier(values: Iterator) -> Tier:
    kind, name = _string(values), _string(values)
    if kind not in ("IntervalTier", "TextTier"):
        raise ValueError(kind)
    _skip_times(values)
    spans: list[Span] = []
    for _ in range(int(_number(values))):
        start = _number(values)
        end = start if kind == "TextTier" else _number(values)
        spans.append((start, end, _string(values)))
    return Tier(name, spans, kind == "TextTier")


def write_textgrid(path: str | Path, tiers: Sequence[Tier], seconds: float) -> Path:
    """Write tiers as a TextGrid, in the long format and UTF-8; return the path.

    Between spans of a tier of intervals, where Praat expects one after the other, unlabelled ones
    are added; spans are cut at the end of the recording.

    Args:
        path: of the file.
        tiers: the tiers.
        seconds: length of the recording.
    """
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0"]
    lines += [f"xmax = {_decimal(seconds)}", "tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, tier in enumerate(tiers, 1):
        spans = tier.spans if tier.points else _without_gaps(tier.spans, seconds)
        kind, unit = ("TextTier", "points") if tier.points else ("IntervalTier", "intervals")
        lines += [f"    item [{number}]:", f'        class = "{kind}"']
        lines += [f"        name = {_quoted(tier.name)}", "        xmin = 0"]
        lines += [f"        xmax = {_decimal(seconds)}", f"        {unit}: size = {len(spans)}"]
        for place, (start, end, label) in enumerate(spans, 1):
            times = {"number": start} if tier.points else {"xmin": start, "xmax": end}
            lines.append(f"        {unit} [{place}]:")
            lines += [f"            {name} = {_decimal(time)}" for name, time in times.items()]
            lines.append(f"            {'mark' if tier.points else 'text'} = {_quoted(label)}")
    path = Path(path)
    with replacing(path) as scratch:
        scratch.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _without_gaps(spans: Sequence[Span], seconds: float) -> list[Span]:
    """Return spans from 0 to the end, one after the other, the gaps unlabelled."""
    filled, last = [], 0.0
    for start, end, label in spans:
        start, end = max(last, start), min(end, seconds)
        if _decimal(start) == _decimal(end) or start > end:
            continue
        if _decimal(last) != _decimal(start):
            filled.append((last, start, ""))
        filled.append((start, end, label))
        last = end
    if _decimal(last) != _decimal(seconds):
        filled.append((last, seconds, ""))
    return filled


def _decimal(time: float) -> str:
    """Return a time in seconds, rounded to a tenth of a microsecond."""
    return f"{time:.7f}".rstrip("0").rstrip(".")


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
