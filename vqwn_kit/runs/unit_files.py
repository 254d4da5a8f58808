r"""Files of units, in four formats; each can be read again.

jsonl    one line per recording: {"source", "model", "seconds", "period", "offset", "codes"}; with
         `collapse` also "durations", in frames; with `times` also "starts" and "ends", in seconds.
text     one line per recording: its name, a tab, its codes; those of several codebooks joined by
         commas, `12,5,7`; with `collapse` each with its duration in frames, `12:3`.
npz      one file per recording, with the entries of jsonl as arrays, and "vectors" (N, D).
parquet  one file per recording, with a row per unit: source, unit, start, end, duration in frames,
         code, vector. `pandas.read_parquet(FOLDER)` reads all. Needs pyarrow.

"offset" is the start of the first unit, 0: unit n begins at offset + n period.
"""

import importlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.files import replacing
from vqwn_kit.runs.units import Units

LINES = ("jsonl", "text")  # a line per recording, in one file
FILES = ("npz", "parquet")  # a file per recording, in a folder
ROWS = 65_536  # of a group of rows of a Parquet file


def settings_file(save: Path) -> Path:
    """Return where the settings of files of units are kept, beside them."""
    return save.with_name(f"{save.name}.settings.json")


def fields_of(units: Units, collapse: bool = False, times: bool = False) -> dict:
    """Return the entries of a record, codes and times as arrays."""
    codes, starts, ends = units.spans(collapse)
    facts = {"source": units.source, "model": units.model, "seconds": round(units.seconds, 7)}
    facts |= {"period": units.period, "offset": 0.0, "codes": codes}
    if collapse:
        facts["durations"] = units.runs[1]
    if times:
        facts |= {"starts": starts.round(7), "ends": ends.round(7)}
    return facts


def line_of(units: Units, form: str, collapse: bool = False, times: bool = False) -> str:
    """Return the line of a recording in `jsonl` or `text`, without its end."""
    if form == "jsonl":
        fields = fields_of(units, collapse, times)
        content = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in fields.items()}
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    codes, lengths = units.runs if collapse else (units.codes, None)
    words = [",".join(map(str, row)) for row in codes.reshape(len(codes), -1).tolist()]
    if lengths is not None:
        words = [f"{word}:{length}" for word, length in zip(words, lengths, strict=True)]
    return f"{units.source}\t{' '.join(words)}"


def write_units(
    path: Path, units: Units, form: str, collapse: bool = False, times: bool = False
) -> None:
    """Write the units of a recording as `npz` or `parquet`, whole or not at all."""
    with replacing(path) as scratch:
        if form == "npz":
            fields = fields_of(units, collapse, times)
            fields |= {} if units.vectors is None else {"vectors": units.vectors}
            with scratch.open("wb") as output:
                np.savez(output, **fields)
        else:
            _write_parquet(scratch, units, collapse)


def import_pyarrow(instead: str = "--format npz"):
    """Return pyarrow with its module `parquet`; InputError where it is not installed."""
    try:
        importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError as error:
        raise InputError(
            "Parquet needs the package pyarrow, which is not installed: pip install pyarrow, or "
            f"choose {instead}"
        ) from error
    return importlib.import_module("pyarrow")


def _write_parquet(path: Path, units: Units, collapse: bool) -> None:
    pa = import_pyarrow()
    codes, starts, ends = units.spans(collapse)
    lengths = units.runs[1] if collapse else np.ones(len(codes), int)
    count = 1 if codes.ndim == 1 else codes.shape[1]
    columns = [("source", pa.string()), ("unit", pa.int32()), ("start", pa.float64())]
    columns += [("end", pa.float64()), ("duration", pa.int32())]
    columns.append(("code", pa.int32() if codes.ndim == 1 else pa.list_(pa.int32(), count)))
    if units.vectors is not None:
        columns.append(("vector", pa.list_(pa.float32(), units.vectors.shape[1])))
    facts = {"model": units.model, "period": units.period, "seconds": units.seconds}
    schema = pa.schema(columns, metadata={key: str(value) for key, value in facts.items()})
    with pa.parquet.ParquetWriter(path, schema) as writer:
        for first in range(0, len(codes), ROWS):
            rows = slice(first, first + ROWS)
            size = len(codes[rows])
            arrays = [
                [units.source] * size,
                np.arange(first, first + size),
                starts[rows],
                ends[rows],
            ]
            arrays += [lengths[rows], codes[rows]]
            arrays += [] if units.vectors is None else [units.vectors[rows]]
            cells = [_column(pa, a, kind) for a, (_, kind) in zip(arrays, columns, strict=True)]
            writer.write_table(pa.Table.from_arrays(cells, schema=schema))


def _column(pa, values, kind):
    """Return an Arrow array of values (M,), or of lists of one length, (M, C)."""
    if np.ndim(values) == 1:
        return pa.array(values, kind)
    flat = pa.array(np.ravel(values), kind.value_type)
    return pa.FixedSizeListArray.from_arrays(flat, kind.list_size)


def read_units(path: str | Path) -> Iterator[Units]:
    """Yield the units of recordings in a file of any format, or in a folder of such files.

    Runs of equal codes are repeated again, so that each frame has its code.

    Args:
        path: what `encode_files` wrote: a `.jsonl` or text file, a `.npz` or `.parquet` file, or a
            folder of these.

    Raises:
        InputError: no such file, no units in it, or a damaged one.
    """
    path = Path(path)
    if path.is_dir():
        found = sorted(file for form in FILES for file in path.rglob(f"*.{form}"))
        files = [file for file in found if not file.name.startswith(".")]  # those are unfinished
        if not files:
            raise InputError(f"{path} holds no .npz or .parquet files of units: vqwn encode writes")
        for file in files:
            yield from read_units(file)
    elif not path.is_file():
        raise InputError(f"no such file of units: {path}. Write it with vqwn encode")
    elif path.suffix in (".npz", ".parquet"):
        yield _read_npz(path) if path.suffix == ".npz" else _read_parquet(path)
    else:
        yield from _read_lines(path)


def _units(fields: dict) -> Units:
    """Return the units of a record, whose codes may be those of runs."""
    codes = np.array(fields["codes"], np.int32)
    if codes.ndim not in (1, 2) or not len(codes):
        raise ValueError(f"codes of shape {codes.shape}")
    if "durations" in fields:
        codes = np.repeat(codes, np.asarray(fields["durations"]), axis=0)
    period = float(fields.get("period", np.nan))
    seconds = float(fields.get("seconds", period * len(codes)))
    vectors = fields.get("vectors")
    return Units(
        str(fields["source"]), codes, period, seconds, str(fields.get("model", "")), vectors
    )


def _read_lines(path: Path) -> Iterator[Units]:
    settings = read_settings(path) if settings_file(path).is_file() else {}
    known = {name: settings[name] for name in ("period", "model") if name in settings}
    with path.open(encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(lines, 1):
            try:
                if line.startswith("{"):
                    yield _units(json.loads(line))
                else:
                    yield _units(known | _of_text(line))
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"line {number} of {path} is no record of units, or is cut ({error}); expected "
                    "lines as vqwn encode writes them: run it again, which continues there"
                ) from error


def _of_text(line: str) -> dict:
    name, tab, content = line.rstrip("\n").partition("\t")
    if not tab or not line.endswith("\n"):
        raise ValueError("no tab after the name, or no end of the line")
    words = [word.partition(":") for word in content.split()]
    if len({colon for _, colon, _ in words}) != 1:
        raise ValueError("no codes, or some with and some without a duration")
    codes = [[int(code) for code in word.split(",")] for word, _, _ in words]
    fields = {"source": name, "codes": [c[0] for c in codes] if len(codes[0]) == 1 else codes}
    if words[0][1]:
        fields["durations"] = [int(length) for _, _, length in words]
    return fields


def _read_npz(path: Path) -> Units:
    try:
        with np.load(path, allow_pickle=False) as content:
            return _units({name: content[name] for name in content.files})
    except (zipfile.BadZipFile, ValueError, EOFError, KeyError) as error:
        raise InputError(
            f"{path} is no file of units, or is damaged ({error}); expected one as vqwn encode "
            "writes it"
        ) from error


def _read_parquet(path: Path) -> Units:
    pa = import_pyarrow()
    try:
        table = pa.parquet.read_table(path)
        facts = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
        fields = facts | {"source": table["source"][0].as_py(), "codes": table["code"].to_pylist()}
        fields["durations"] = table["duration"].to_numpy()
        if "vector" in table.column_names:
            flat = table["vector"].combine_chunks().flatten().to_numpy()
            fields["vectors"] = flat.reshape(len(table), -1)
        return _units(fields)
    except (pa.ArrowInvalid, KeyError, IndexError, AttributeError) as error:
        raise InputError(f"{path} is no file of units, or is damaged ({error})") from error


def read_settings(save: Path) -> dict:
    """Return the settings that are kept beside files of units.

    Raises:
        InputError: they are missing or damaged.
    """
    file = settings_file(save)
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        return {**settings}
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{save} exists, but its settings, {file.name} beside it, cannot be read ({error}): "
            "give another --save"
        ) from error


def finished_lines(save: Path, form: str) -> tuple[set[str], int]:
    """Return the recordings that a file of lines holds, and the bytes of a cut last line.

    Raises:
        InputError: a line before the last is no record.
    """
    finished, cut = set(), 0
    if not save.is_file():
        return finished, cut
    with save.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                return finished, len(line)
            try:
                text = line.decode("utf-8")
                name, tab, _ = text.partition("\t")
                finished.add(json.loads(text)["source"] if form == "jsonl" else tab and name)
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"line {number} of {save} is damaged ({error}): give another --save, or remove "
                    "that line"
                ) from error
    return finished, cut


def check_form(form: str) -> None:
    """Refuse a format that does not exist, or whose package is not installed."""
    if form not in (*LINES, *FILES):
        raise one_of("format", form, (*LINES, *FILES))
    if form == "parquet":
        import_pyarrow()
