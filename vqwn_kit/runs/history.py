"""The history of a training, `history.jsonl`: one JSON object per logging interval."""

import csv
import json
import os
import warnings
from collections.abc import Iterable
from pathlib import Path

from vqwn_kit.errors import InputError
from vqwn_kit.files import replacing, write_bytes
from vqwn_kit.runs.unit_files import import_pyarrow

FILE = "history.jsonl"
ENDS = (None, "steps", "time", "diverged")  # of a training, in its last record


def read_history(folder: Path) -> list[dict]:
    """Return the records of the history in a folder, oldest first; none where there is no file.

    A line that a full disk or a kill left cut or damaged is dropped, with a warning.
    """
    file = folder / FILE
    lines = file.read_bytes().split(b"\n") if file.is_file() else []
    records = [_record(line) for line in lines]
    broken = [n + 1 for n, line in enumerate(lines) if line.strip() and records[n] is None]
    if broken:
        listed = ", ".join(map(str, broken[:5])) + (", ..." if len(broken) > 5 else "")
        warnings.warn(
            f"{file} is damaged in line {listed} of {len(lines)}, as a full disk leaves it: "
            f"{'this line is' if len(broken) == 1 else 'these lines are'} left out",
            stacklevel=2,
        )
    return [record for record in records if record is not None]


def _record(line: bytes) -> dict | None:
    """Return a line of the history, or None where it is none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or type(record.get("step")) is not int:
        return None
    numbers = (value for name, value in record.items() if name != "ended")
    measured = all(isinstance(value, int | float) for value in numbers) and "seconds" in record
    return record if measured and record.get("ended") in ENDS else None


def append_history(folder: Path, record: dict) -> None:
    """Append a record to the history in a folder.

    Raises:
        OSError: the disk is full; the history is as it was before.
    """
    line = f"{json.dumps(record)}\n".encode()
    with (folder / FILE).open("ab", buffering=0) as file:
        before = file.tell()
        if file.write(line) != len(line):  # a part fitted
            file.truncate(before)
            raise OSError(28, os.strerror(28), str(folder / FILE))


def write_history(folder: Path, records: Iterable[dict]) -> None:
    """Replace the history in a folder by these records."""
    write_bytes(folder / FILE, "".join(json.dumps(record) + "\n" for record in records).encode())


def export_history(folder: Path, path: str | Path) -> Path:
    """Write the history in a folder as a table, a row per record and a column per measure.

    Where a record lacks a measure, such as held-out bits between two validations, it is empty.

    Args:
        folder: of a run or a prior.
        path: a file in .csv, or in .parquet, which needs pyarrow.

    Raises:
        InputError: another ending, pyarrow is missing, or there is no history.
        OSError: the file cannot be written.
    """
    path, records = Path(path), read_history(folder)
    if path.suffix not in (".csv", ".parquet"):
        raise InputError(f"a history in {path.name}: expected a name in .csv or .parquet")
    if not records:
        raise InputError(f"{folder} has no history: expected a line or more in {FILE}")
    names = list(dict.fromkeys(name for record in records for name in record))
    with replacing(path) as scratch:
        if path.suffix == ".csv":
            with scratch.open("w", encoding="utf-8", newline="") as file:
                table = csv.DictWriter(file, names)
                table.writeheader()
                table.writerows(records)
        else:
            pyarrow = import_pyarrow("a name in .csv")
            columns = {name: [record.get(name) for record in records] for name in names}
            pyarrow.parquet.write_table(pyarrow.table(columns), scratch)
    return path
