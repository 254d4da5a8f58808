"""Where things lie, and how files are written: whole or not at all."""

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

    The nearest folder above the working one with `data/mini` in it, else the checkout that this
    package runs from, else the working folder: notebooks and commands agree on it.
    """
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[1]):
        if (folder / "data" / "mini" / "utterances.tsv").is_file():
            return folder
    return here


def results(name: str | None = None) -> Path:
    """Return the folder of run folders: $VQWN_RESULTS, or `results` in the project.

    Args:
        name: of a run in it, whose folder is returned then; one that isn't there is looked for
            among those shipped with the project, so that scratch results can lie elsewhere.

    Raises:
        InputError: there is no such run.
    """
    shipped = project_root() / "results"
    folder = Path(os.environ.get("VQWN_RESULTS") or shipped)
    if name is None:
        return folder
    for place in (folder, shipped):
        if (place / name).is_dir():
            return place / name
    there = {path.name for place in (folder, shipped) for path in place.glob("*/")}
    raise one_of("run", name, there)


def stores() -> Path:
    """Return the folder of stores: $VQWN_STORES, `data/stores` in a checkout, or a cache folder."""
    root = project_root()
    home = Path.home() / ".cache" / "vqwn_kit" / "stores"
    usual = root / "data" / "stores" if (root / "data" / "mini").is_dir() else home
    return Path(os.environ.get("VQWN_STORES") or usual)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file whole or not at all: yield a scratch path, then rename it to `path`.

    On any error, a full disk for example, the scratch file goes and `path` stays as it was.
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
    """Return the path, or with -2, -3, … behind its name where it exists."""
    number, candidate = 1, path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def read_text(path: Path) -> str:
    """Read a text file that people made: UTF-8, UTF-16 with its mark, else Windows-1252."""
    content = path.read_bytes()
    try:
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return content.decode("utf-16")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def file_name(text: str) -> str:
    """Return a name for a file: letters, digits and underscores of any script, at most 80."""
    return re.sub(r"\W+", "_", text).strip("_")[:80]
