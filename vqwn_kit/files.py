"""Folders of the project; reading and writing files; one writer at a time in a folder."""

import codecs
import hashlib
import importlib.metadata
import itertools
import json
import math
import os
import re
import socket
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from vqwn_kit.errors import InputError, one_of

try:
    import fcntl
except ImportError:  # Windows: nothing keeps two processes from writing into one folder
    fcntl = None

LONGEST_NAME = 200  # bytes; file systems take 255, and endings are added
SCRATCH = re.compile(r"\.\d+-\d+\.tmp(\..*)?")  # names of `replacing`
FIRST_STAGE = "first_stage"  # folder in that of a run, of the first of two stages of training
SWEEP = 60.0  # seconds between two searches of a folder for what killed processes left
_scratch_numbers = itertools.count()
_swept: dict[str, float] = {}  # folder: when it was searched, time.monotonic()


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


def shipped() -> Path:
    """Return the folder that holds the shipped `data/mini` and `results/mini`.

    The project's, or where the package was installed from a wheel, `share/vqwn_kit` beside it.
    """
    root, table = project_root(), Path("data") / "mini" / "utterances.tsv"
    files = importlib.metadata.files("vqwn_kit") or []
    installed = [Path(str(file.locate())) for file in files if file.parts[-3:] == table.parts]
    places = [root, Path(__file__).resolve().parents[1] / "share" / "vqwn_kit"]
    places += [path.resolve().parents[2] for path in installed]
    return next((place for place in places if (place / table).is_file()), root)


def results(name: str | None = None) -> Path:
    """Return the folder of run folders: $VQWN_RESULTS, or `results` in the project.

    Args:
        name: of a run; its folder is returned, in $VQWN_RESULTS or else among the shipped runs.

    Raises:
        InputError: no such run.
    """
    folder = Path(os.environ.get("VQWN_RESULTS") or project_root() / "results")
    if name is None:
        return folder
    parents = (folder, shipped() / "results")
    for parent in parents:
        if (parent / name).is_dir():
            return parent / name
    names = {run.name for parent in parents for run in parent.glob("*/")}
    raise one_of("run", name, names)


def bundled(path: str | Path) -> Path:
    """Return a path; where nothing is there, `data/mini` or what is in it, as it is shipped."""
    path = Path(path)
    if path.parts[:2] == ("data", "mini") and not path.exists():
        return shipped() / path
    return path


def stores() -> Path:
    """Return the folder of stores: $VQWN_STORES, `data/stores` in a checkout, or a cache folder.

    The cache folder serves where there is no checkout, or one that cannot be written to.

    Raises:
        InputError: none of them can be written to.
    """
    if os.environ.get("VQWN_STORES"):
        return Path(os.environ["VQWN_STORES"])
    data, cache = project_root() / "data", Path("~/.cache/vqwn_kit").expanduser()
    usual = [data / "stores"] if (data / "mini").is_dir() else []
    for folder in (*usual, cache / "stores"):
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if os.access(existing, os.W_OK):
            return folder
    raise InputError(
        f"prepared recordings can be written neither to {data / 'stores'} nor to {cache}: set "
        f"VQWN_STORES to a folder that can be written to, such as {tempfile.gettempdir()}/stores"
    )


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a scratch path with the ending of `path`, and rename it to `path` at the end.

    On any error, such as a full disk, the scratch file is removed and `path` is left as it was.
    What processes that were killed left in the folder is removed, too.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path.parent)
    scratch, file = _scratch_for(path)
    try:
        yield scratch
        os.fsync(file.fileno())
        if fcntl is None:
            file.close()  # Windows renames no open file
        os.replace(scratch, path)  # while it is locked, so that nobody takes it for abandoned
    except BaseException:
        if fcntl is None:
            file.close()
        scratch.unlink(missing_ok=True)
        raise
    finally:
        file.close()


def _scratch_for(path: Path) -> tuple[Path, IO]:
    """Make a scratch file beside `path`; return it, and it opened: its lock says that we live."""
    while True:
        name = f".{os.getpid()}-{next(_scratch_numbers)}.tmp{path.suffix}"
        try:
            file = path.with_name(name).open("xb")
        except FileExistsError:  # of a process with the same number, dead or on another machine
            continue
        locked = _lock(file)
        if locked is None or (locked and _is_at(file, path.with_name(name))):
            return path.with_name(name), file
        file.close()  # another process has just removed it, or is about to


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a file, whole or, on any error, not at all; see `replacing`.

    Libraries that write a file piece by piece are given memory instead, and this writes it: some
    end the process, or raise no OSError, where the disk is full.
    """
    with replacing(path) as scratch:
        scratch.write_bytes(content)


def _remove_abandoned(folder: Path) -> None:
    """Remove scratch files in a folder that no living process holds, once in `SWEEP` seconds."""
    now, key = time.monotonic(), os.path.abspath(folder)
    if now - _swept.get(key, -math.inf) < SWEEP:
        return
    _swept[key] = now
    for path in folder.iterdir():
        if not SCRATCH.fullmatch(path.name) or not path.is_file():
            continue
        try:
            with path.open("r+b") as file:
                if _lock(file) and _is_at(file, path):
                    path.unlink()
        except (FileNotFoundError, PermissionError):  # renamed just now, or another user's
            continue


def _is_at(file: IO, path: Path) -> bool:
    """Return whether an open file is still the one at a path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _lock(file: IO) -> bool | None:
    """Lock an open file until it is closed; return False where it is locked already.

    None where the system or the file system has no locks.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


@contextmanager
def only_writer(folder: Path, task: str = "training") -> Iterator[None]:
    """Make a folder and keep it for this caller, until the end or the death of its process.

    A folder that is still empty at the end is removed.

    Args:
        folder: the folder; in place of a first stage of training the folder of the whole run.
        task: what is done in it, for the message to others.

    Raises:
        InputError: another process, or another caller in this one, has it; or it cannot be made.
    """
    if folder.absolute().name == FIRST_STAGE:
        folder = folder.absolute().parent
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    make_folder(folder)
    path = folder / ".lock"
    try:
        with path.open("a+", encoding="utf-8") as file:
            if _lock(file) is False:
                file.seek(0)
                raise InputError(
                    f"{folder} is in use: {file.read().strip() or 'another process is writing'} in "
                    "it. Wait for its end, or give another folder; nothing was changed"
                )
            if not _is_at(file, path):
                raise InputError(f"{folder} was in use until now: run this once more")
            try:
                file.truncate(0)
                file.write(f"process {os.getpid()} on {socket.gethostname()} is {task}\n")
                file.flush()
                yield
            finally:
                path.unlink(missing_ok=True)  # while it is locked, so that nobody else has it
    finally:
        for made in missing:
            if made.is_dir() and not any(made.iterdir()):
                made.rmdir()


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        InputError: it cannot be made, or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(13, "it is read-only")
    except OSError as error:
        if folder.is_dir():
            raise InputError(
                f"cannot write into the folder {folder} ({error.strerror}): make it writable, or "
                "copy it to where you may write"
            ) from error
        raise InputError(
            f"cannot create the folder {folder} ({error.strerror}): give another, or set "
            "VQWN_RESULTS to a folder for all runs"
        ) from error


def unused(path: Path, taken: Collection[Path] = ()) -> Path:
    """Return the path, or with -2, -3, … after its name if it exists or is taken."""
    number, candidate = 1, path
    while candidate.exists() or candidate in taken:
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, in UTF-16 with a byte order mark, or else in Windows-1252.

    Raises:
        InputError: it is a pipe or a device, which might never end.
    """
    if not path.is_file() and path.exists():
        raise InputError(f"{path} is a folder, a pipe or a device: replace it by a text file")
    content = path.read_bytes()
    try:
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return content.decode("utf-16")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def read_json(path: Path, what: str) -> dict:
    """Read an object from a JSON file.

    Args:
        path: the file.
        what: what it holds, for the message, such as `the config of a run`.

    Raises:
        InputError: there is none, or it holds something else.
        OSError: it cannot be read.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing, or no file; expected {what}")
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:  # such as a number of 5,000 digits
        raise InputError(f"{path} is damaged, or is not {what}: {reason(error)}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is not {what}: expected an object, {{...}}")
    return content


def reason(error: BaseException) -> str:
    """Return what an error of a library says, in one short line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}..."


def counted(number: int, what: str) -> str:
    """Return a number and what it counts, given in the plural: `1 held-out utterance`."""
    singular = re.sub(r"s\b", "", what, count=1)
    return f"{number} {singular if number == 1 else what}".strip()


def file_name(text: str, most: int = 80) -> str:
    """Return a name for a file: letters and digits of any script and underscores.

    A name that is too long ends with a hash of the text, so that no two become the same.

    Args:
        text: what it says.
        most: characters; in any case at most `LONGEST_NAME` bytes.
    """
    return short_name(re.sub(r"\W+", "_", text).strip("_"), most)


def short_name(name: str, most: int = LONGEST_NAME) -> str:
    """Return a name; one that is longer than file systems take ends with a hash of it instead."""
    cut = name.encode("utf-8", "surrogateescape")[:LONGEST_NAME].decode("utf-8", "ignore")[:most]
    if cut == name:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{cut[: len(cut) - 9]}_{digest}"
