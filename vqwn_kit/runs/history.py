"""The history of a training, `history.jsonl`: one JSON object per logging interval."""

import json
from collections.abc import Iterable
from pathlib import Path

from vqwn_kit.files import replacing

FILE = "history.jsonl"


def read_history(folder: Path) -> list[dict]:
    """Return the records of the history in a folder, oldest first; none where there is no file."""
    file = folder / FILE
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return [json.loads(line) for line in lines]


def append_history(folder: Path, record: dict) -> None:
    """Append a record to the history in a folder."""
    with (folder / FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def write_history(folder: Path, records: Iterable[dict]) -> None:
    """Replace the history in a folder by these records."""
    with replacing(folder / FILE) as scratch:
        scratch.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")
