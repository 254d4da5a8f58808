"""The history of a training: what a full disk leaves is dropped and said."""

import csv
import errno
import json
import os

import pytest

from vqwn_kit import InputError
from vqwn_kit.runs.history import (
    append_history,
    export_history,
    read_history,
    write_history,
)

RECORDS = [{"step": step, "seconds": 0.5, "bits": 3.0} for step in (1, 2, 3)]


def test_records_are_read_as_they_were_written(tmp_path):
    assert read_history(tmp_path) == []
    write_history(tmp_path, RECORDS[:2])
    append_history(tmp_path, RECORDS[2])
    assert read_history(tmp_path) == RECORDS


@pytest.mark.parametrize("cut", range(1, 39))
def test_a_cut_last_line_is_dropped_and_said(tmp_path, cut):
    write_history(tmp_path, RECORDS)
    content = (tmp_path / "history.jsonl").read_bytes()
    (tmp_path / "history.jsonl").write_bytes(content[:-cut])
    if cut == 1:  # the line feed alone
        assert read_history(tmp_path) == RECORDS
        return
    with pytest.warns(UserWarning, match=r"history\.jsonl is damaged in line 3 of 3"):
        assert read_history(tmp_path) == RECORDS[:2]


@pytest.mark.parametrize(
    "damage",
    [
        b"\0" * 100,
        b"\xff\xfe\n",
        b"[1]\n",
        b'{"step": "3"}\n',
        b'{"step": 3}\n',
        b'{"step": 3, "seconds": {}}\n',
        b'{"step": 3, "seconds": 1, "ended": "never"}\n',
        b"9" * 5000 + b"\n",
        b"[" * 100_000 + b"\n",
    ],
)
def test_what_is_no_record_is_dropped_and_said(tmp_path, damage):
    write_history(tmp_path, RECORDS)
    with (tmp_path / "history.jsonl").open("ab") as file:
        file.write(damage)
    with pytest.warns(UserWarning, match="line 4 of"):
        assert read_history(tmp_path) == RECORDS


def test_a_line_that_fits_on_the_disk_in_part_is_taken_back(tmp_path, monkeypatch):
    write_history(tmp_path, RECORDS[:2])
    whole = (tmp_path / "history.jsonl").read_bytes()

    class Full:
        """A file on a disk that takes ten bytes more."""

        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, content):
            return self.file.write(content[:10])

    opened = type(tmp_path).open
    monkeypatch.setattr(type(tmp_path), "open", lambda *a, **k: Full(opened(*a, **k)))
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        append_history(tmp_path, RECORDS[2])
    monkeypatch.undo()
    assert (tmp_path / "history.jsonl").read_bytes() == whole


def test_a_diverged_training_says_so_in_its_history(tmp_path):
    record = {"step": 4, "seconds": 1.0, "loss": float("nan"), "ended": "diverged"}
    append_history(tmp_path, record)
    (read,) = read_history(tmp_path)
    assert json.dumps(read) == json.dumps(record)


def test_a_history_is_exported_with_a_column_per_measure(tmp_path):
    records = [
        {"step": 5, "seconds": 1.5, "bits": 4.25},
        {"step": 10, "seconds": 3.0, "bits": 4.0, "held_out/bits": 4.5, "ended": "steps"},
    ]
    write_history(tmp_path, records)
    file = export_history(tmp_path, tmp_path / "h.csv")
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["step"] for row in rows] == ["5", "10"]
    assert [row["held_out/bits"] for row in rows] == ["", "4.5"]
    with pytest.raises(InputError, match=r"expected a name in \.csv or \.parquet"):
        export_history(tmp_path, tmp_path / "h.xlsx")
    with pytest.raises(InputError, match="has no history"):
        export_history(tmp_path / "none", tmp_path / "h.csv")


def test_a_history_is_exported_as_parquet(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_history(tmp_path, [{"step": 5, "seconds": 1.0}, {"step": 6, "seconds": 2.0, "bits": 4.0}])
    table = parquet.read_table(export_history(tmp_path, tmp_path / "h.parquet"))
    assert table.to_pydict() == {"step": [5, 6], "seconds": [1.0, 2.0], "bits": [None, 4.0]}
