"""Where things lie, and how files are written: whole or not at all."""

import codecs
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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


def results() -> Path:
    """Return the folder of run folders: $VQWN_RESULTS, or `results` in the project."""
    return Path(os.environ.get("VQWN_RESULTS") or project_root() / "results")


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
