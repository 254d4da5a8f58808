"""Folders of the project; reading and writing files."""

import codecs
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vqwn_kit.errors import one_of


def project_root() -> Path:
    """Return the folder that holds `data/` and `results/`.

    The working folder or the nearest folder above it with `data/mini` in it, else the checkout of
    this package, else the working folder.
    """
    working = Path.cwd()
    for folder in (working, *working.parents, Path(__file__).resolve().parents[1]):
        if (folder / "data" / "mini" / "utterances.tsv").is_file():
            return folder
    return working


def results(name: str | None = None) -> Path:
    """Return the folder of run folders: $VQWN_RESULTS, or `results` in the project.

    Args:
        name: of a run; its folder is returned, in $VQWN_RESULTS or else among the shipped runs.

    Raises:
        InputError: no such run.
    """
    shipped = project_root() / "results"
    folder = Path(os.environ.get("VQWN_RESULTS") or shipped)
    if name is None:
        return folder
    for parent in (folder, shipped):
        if (parent / name).is_dir():
            return parent / name
    names = {run.name for parent in (folder, shipped) for run in parent.glob("*/")}
    raise one_of("run", name, names)


def stores() -> Path:
    """Return the folder of stores: $VQWN_STORES, `data/stores` in a checkout, or a cache folder."""
    data, cache = project_root() / "data", Path.home() / ".cache" / "vqwn_kit"
    usual = data if (data / "mini").is_dir() else cache
    return Path(os.environ.get("VQWN_STORES") or usual / "stores")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a scratch path, and rename it to `path` at the end.

    On any error, such as a full disk, the scratch file is removed and `path` is left as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{os.getpid()}-{threading.get_ident()}-{path.name}")
    try:
        yield scratch
        with scratch.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def unused(path: Path) -> Path:
    """Return the path; if it exists, the first free one with -2, -3, … after its name."""
    number, candidate = 1, path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, in UTF-16 with a byte order mark, or else in Windows-1252."""
    content = path.read_bytes()
    try:
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return content.decode("utf-16")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def file_name(text: str) -> str:
    """Return a name for a file: letters and digits of any script and underscores, at most 80."""
    return re.sub(r"\W+", "_", text).strip("_")[:80]
