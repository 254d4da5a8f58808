"""Where the units of recordings go: what is given, how it is written, TextGrids beside it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vqwn_kit.data.alignment import aligned_spans, read_phones, textgrid_beside
from vqwn_kit.data.corpus import open_corpus
from vqwn_kit.data.scan import walk
from vqwn_kit.data.textgrid import Span, Tier, read_textgrid, write_textgrid
from vqwn_kit.errors import InputError
from vqwn_kit.runs.unit_encoder import UnitEncoder
from vqwn_kit.runs.unit_files import FILES, LINES, check_form, line_of, write_units
from vqwn_kit.runs.units import Units

SAVES = {"jsonl": "units.jsonl", "text": "units.txt", "npz": "units", "parquet": "units"}


class Recording(NamedTuple):
    """A recording to encode.

    Attributes:
        path: the sound file.
        inside: its path in a folder of outputs, without an ending.
        phones: its phones in the corpus's `phones.tsv`, if there is one.
    """

    path: Path
    inside: str
    phones: list[Span] | None = None


@dataclass(frozen=True)
class Output:
    """How units are written.

    Attributes:
        save: a file for `jsonl` and `text`, a folder for `npz` and `parquet`.
        form: the format.
        collapse: write runs of equal codes with their durations.
        times: write start and end of each unit.
        vectors: z_e or z_q of each frame, or None.
        textgrid: a folder for TextGrids, or None.
    """

    save: Path
    form: str = "jsonl"
    collapse: bool = False
    times: bool = False
    vectors: str | None = None
    textgrid: Path | None = None

    def __post_init__(self):
        """Refuse what cannot be written together."""
        check_form(self.form)
        if self.vectors and self.form in LINES:
            raise InputError(
                f"--vectors {self.vectors} with the format {self.form}: vectors are written as npz "
                "or parquet only; give --format npz"
            )
        if self.vectors and self.collapse:
            raise InputError("--vectors with --collapse: vectors are of frames, not of runs")
        if self.times and self.form == "text":
            raise InputError("--times with the format text, which has none: give --format jsonl")
        if self.form in LINES and self.save.is_dir():
            raise InputError(
                f"--save {self.save} is a folder: the format {self.form} is one file; give its name"
            )
        if self.form in FILES and self.save.suffix in (".npz", ".parquet", ".jsonl", ".txt"):
            raise InputError(
                f"--save {self.save}: the format {self.form} is one file per recording, in a "
                "folder; give the name of a folder"
            )

    def check_names(self, recordings: Sequence[Recording]) -> None:
        """Refuse names with tabs, and files that would replace another or a given TextGrid."""
        names: dict[str, Path] = {}
        for recording in recordings:
            if self.textgrid and self._replaces(recording):
                raise InputError(
                    f"--textgrid {self.textgrid} is the folder of the recordings, whose own "
                    "TextGrids would be replaced: give another folder"
                )
            if self.form == "text" and any(mark in str(recording.path) for mark in "\t\n\r"):
                raise InputError(
                    f"{str(recording.path)!r} has a tab or an end of line in its name, which the "
                    "format text cannot hold: give --format jsonl"
                )
            first = names.setdefault(recording.inside, recording.path)
            if first != recording.path and (self.form in FILES or self.textgrid):
                raise InputError(
                    f"{first} and {recording.path} have the same name, {recording.inside}: give "
                    "the folder above both, or encode them with one --save each"
                )

    def textgrid_of(self, recording: Recording) -> Path:
        """Return the TextGrid of a recording, in the folder of TextGrids."""
        return (self.textgrid or Path()) / f"{recording.inside}.TextGrid"

    def _replaces(self, recording: Recording) -> bool:
        """Return whether the TextGrid of a recording is to be written beside it."""
        beside = recording.path.with_suffix(".TextGrid")
        return self.textgrid_of(recording).resolve() == beside.resolve()

    @property
    def facts(self) -> dict:
        """The settings that every recording in a file or folder must share."""
        names = ("form", "collapse", "times", "vectors")
        folder = None if self.textgrid is None else str(self.textgrid)
        return {name: getattr(self, name) for name in names} | {"textgrid": folder}


def find_recordings(
    given: Sequence[str | Path], left_out: dict[str, str], phones: bool = False
) -> list[Recording]:
    """Return the sound files that are given by name or by folder, each once, in order.

    Args:
        given: files and folders.
        left_out: takes the reason by path, for files of the folders that cannot be read.
        phones: look for their phones in a `phones.tsv` of the folders.

    Raises:
        InputError: there is none.
    """
    found: dict[Path, Recording] = {}
    for place in map(Path, given):
        if place.is_dir():
            tree = walk(place)
            left_out |= {str(place / name): reason for name, reason in tree.left_out.items()}
            spans = _phones_of(place) if phones else {}
            for name in tree.sounds:
                path = tree.path(name)
                inside = str(path.relative_to(place).with_suffix(""))
                found.setdefault(path, Recording(path, inside, spans.get(path)))
        elif place.exists():
            found.setdefault(place, Recording(place, place.stem))
        else:
            raise InputError(f"no such recording or folder: {place}")
    if not found:
        raise InputError(f"no sound files in {', '.join(map(str, given))}: give recordings")
    return list(found.values())


def _phones_of(folder: Path) -> dict[Path, list[Span]]:
    """Return the phones of recordings by path, of a corpus with a `phones.tsv`."""
    if not (folder / "phones.tsv").is_file():
        return {}
    table = read_phones(folder / "phones.tsv")
    return {u.path: table[u.key] for u in open_corpus(folder) if u.key in table}


@contextmanager
def appended(output: Output) -> Iterator[Callable[[str], None]]:
    """Yield a function that appends a line to the output, if it is one of lines."""
    if output.form in FILES:
        yield lambda line: None
        return
    existed = output.save.exists()
    with output.save.open("a", encoding="utf-8", newline="\n") as file:

        def append(line: str) -> None:
            file.write(f"{line}\n")
            file.flush()

        try:
            yield append
        finally:
            if not existed and not file.tell():  # nothing could be encoded
                output.save.unlink()


class Written(NamedTuple):
    """What was written of a recording: its line, "" for a file of its own; its seconds."""

    line: str
    seconds: float


def write_recording(
    encoder: UnitEncoder, output: Output, recording: Recording, tick: Callable[[float], object]
) -> Written | str:
    """Encode a recording, and write its units where they have a file of their own.

    Returns:
        What was written, or why the recording cannot be encoded.
    """
    scratch = output.save if output.vectors else None
    try:
        units = encoder.encode(recording.path, scratch, tick)
        if output.textgrid is not None:
            tiers = textgrid_tiers(units, recording)
            write_textgrid(output.textgrid_of(recording), tiers, units.seconds)
    except InputError as error:
        return str(error)
    line = ""
    if output.form in LINES:
        line = line_of(units, output.form, output.collapse, output.times)
    else:
        file = output.save / f"{recording.inside}.{output.form}"
        write_units(file, units, output.form, output.collapse, output.times)
    return Written(line, units.seconds)


def textgrid_tiers(units: Units, recording: Recording) -> list[Tier]:
    """Return the tiers of a recording: words and phones, where known, and the runs of its codes.

    Codes are in the tier `codes`; those of several codebooks in `codes 0`, `codes 1` and so on.
    """
    beside = textgrid_beside(recording.path)
    given = read_textgrid(beside) if beside else []
    spans = {name: aligned_spans(given, name) for name in ("words", "phones")}
    spans["phones"] = spans["phones"] or recording.phones or []
    tiers = [Tier(name, times) for name, times in spans.items() if times]
    columns = units.codes.reshape(len(units.codes), -1).T
    for number, column in enumerate(columns):
        one = Units(units.source, column, units.period, units.seconds)
        codes, starts, ends = one.spans(collapse=True)
        name = "codes" if len(columns) == 1 else f"codes {number}"
        labels = map(str, codes.tolist())
        tiers.append(Tier(name, list(zip(starts.tolist(), ends.tolist(), labels, strict=True))))
    return tiers
