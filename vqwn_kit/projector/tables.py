"""Vectors and metadata -> files that the Embedding Projector reads.

Each table is `NAME_vecs.tsv` and `NAME_meta.tsv`; `projector_config.json` lists those of the last
call. The projector expects no header in a file of vectors, and a header in a file of metadata only
if it has two columns or more. It colours by columns of numbers, and by others with at most 50
different values. What it would misread is refused before anything is written.
"""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vqwn_kit.data.arrays import load_array
from vqwn_kit.data.scan import FACTS
from vqwn_kit.errors import InputError
from vqwn_kit.files import read_json, replacing
from vqwn_kit.runs.run import CONFIG as CONFIG_OF_RUN, checked_config

CONFIG = "projector_config.json"
MOST_POINTS = 100_000  # TensorBoard's projector reads no more


class Table(NamedTuple):
    """Vectors (M, D), names of the columns of metadata, and M rows of them.

    The first column is the label of a point in the projector, unless it has numbers only.
    """

    vectors: np.ndarray
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def visualise(
    save: str | Path,
    embedding: str | Path | None = None,
    speaker: str | Path | None = None,
) -> list[Path]:
    """Write saved embeddings for the Embedding Projector, named after their files.

    Args:
        save: the folder to write to.
        embedding: a codebook, `embedding_STEP.npy`; its metadata are the numbers of the codes.
        speaker: the speakers' vectors, `speaker_embedding_STEP.npy`; its metadata are the facts
            about each speaker in the run's `config.json` beside it, if any.

    Returns:
        The paths that were written.

    Raises:
        InputError: neither file was given, or one is no table of vectors that can be shown.
    """
    if embedding is None and speaker is None:
        raise InputError("nothing to visualise: give an embedding_STEP.npy, or one of speakers")
    tables = {}
    for path in (embedding, speaker):
        if path is None:
            continue
        vectors = _load_vectors(Path(path))
        columns, rows = ["code"], [[str(number)] for number in range(len(vectors))]
        if path is speaker:
            columns, rows = _known_speakers(Path(path).parent / "config.json", len(vectors))
        if Path(path).stem in tables:
            raise InputError(f"two files are named {Path(path).stem}: export one after the other")
        tables[Path(path).stem] = Table(vectors, columns, rows)
    return write_tables(save, tables)


def _load_vectors(path: Path) -> np.ndarray:
    return np.atleast_1d(load_array(path))


def _known_speakers(config: Path, count: int) -> tuple[list[str], list[list[str]]]:
    if config.is_file():
        speakers = checked_config(read_json(config, CONFIG_OF_RUN), config)["speakers"]
        if len(speakers) == count:
            return speaker_rows(speakers)
    return ["speaker"], [[str(number)] for number in range(count)]


def speaker_rows(speakers: dict[str, dict[str, str]]) -> tuple[list[str], list[list[str]]]:
    """Return columns and rows about speakers.

    The first column joins the facts, `23#F#English#Southern#England`: searching `#F#` selects
    female speakers. Unknown facts are `-`.
    """
    columns = ["facts", "speaker", *FACTS]
    rows = []
    for name, facts in speakers.items():
        known = [plain(facts.get(fact, "")) for fact in FACTS]
        joined = "#".join([*known[:3], *known[3].split()])
        rows.append([joined, plain(name), *known])
    return columns, rows


def plain(text: str) -> str:
    """Return a text that fits into a cell: one line, without tabs; `-` for an empty one."""
    return " ".join(str(text).split()) or "-"


def write_tables(folder: str | Path, tables: dict[str, Table]) -> list[Path]:
    """Write tables by the projector's rules: all, or, on any error, none.

    Args:
        folder: created if it is missing.
        tables: by the names of their files; the first is shown first.

    Returns:
        The paths: vectors and metadata of each table, then the config.

    Raises:
        InputError: what the projector would misread; the folder is left as it was.
    """
    folder = Path(folder)
    if not tables:
        raise InputError("no table to write: give one or more")
    for name, table in tables.items():
        check_table(name, table)
    files = {name: [folder / f"{name}_{kind}.tsv" for kind in ("vecs", "meta")] for name in tables}
    entries = [
        {
            "tensorName": name,
            "tensorShape": list(np.shape(table.vectors)),
            "tensorPath": files[name][0].name,
            "metadataPath": files[name][1].name,
        }
        for name, table in tables.items()
    ]
    with ExitStack() as written:  # renames when all are complete, the config last
        config = written.enter_context(replacing(folder / CONFIG))
        config.write_text(json.dumps({"embeddings": entries}, indent=1), encoding="utf-8")
        for name, (vectors, columns, rows) in tables.items():
            vecs, meta = (written.enter_context(replacing(path)) for path in files[name])
            np.savetxt(vecs, vectors, fmt="%.6g", delimiter="\t")
            header = [columns] if len(columns) > 1 else []
            lines = ("\t".join(row) + "\n" for row in [*header, *rows])
            meta.write_text("".join(lines), encoding="utf-8", newline="\n")
    return [*(path for pair in files.values() for path in pair), folder / CONFIG]


def check_table(name: str, table: Table) -> None:
    """Raise InputError if the projector would misread a table, or could not show it."""
    vectors, columns, rows = np.asarray(table.vectors), table.columns, table.rows
    if vectors.ndim != 2 or vectors.shape[0] < 2 or vectors.shape[1] < 2:
        raise InputError(
            f"{name}: vectors {vectors.shape}; expected (M, D), at least 2 vectors of at least 2 "
            "dimensions"
        )
    if len(vectors) > MOST_POINTS:
        raise InputError(f"{name}: {len(vectors):,} vectors; at most {MOST_POINTS:,} can be shown")
    if vectors.dtype.kind not in "fiu":
        raise InputError(f"{name}: vectors of {vectors.dtype}; expected numbers")
    with np.errstate(over="ignore"):
        finite = np.isfinite(vectors.astype(np.float32))  # what the projector holds them as
    if not finite.all():
        bad = np.flatnonzero(~finite.all(axis=1))
        raise InputError(
            f"{name}: {len(bad)} of {len(vectors)} vectors are not finite, such as {bad[0]}; the "
            "run has diverged: export an earlier checkpoint, RUN/weights-STEP"
        )
    if not columns or len(set(columns)) < len(columns):
        raise InputError(f"{name}: columns {list(columns)}; expected one or more, each once")
    if len(rows) != len(vectors):
        raise InputError(
            f"{name}: {len(rows)} labels for {len(vectors)} vectors; expected one row for each, "
            "without a header"
        )
    for number, row in enumerate([columns, *rows]):
        where = f"{name}, row {number - 1}" if number else f"{name}, names of the columns"
        if len(row) != len(columns):
            raise InputError(f"{where}: {len(row)} cells for {len(columns)} columns")
        for cell in row:
            if not isinstance(cell, str) or not cell.strip():
                raise InputError(
                    f"{where}: an empty label ({cell!r}) would shift all labels after it, and stop "
                    "a search; write '-' for an unknown one"
                )
            if any(mark in cell for mark in "\t\n\r"):
                raise InputError(
                    f"{where}: {cell!r} has a tab or a line break, which separate cells"
                )
