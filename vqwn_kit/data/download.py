"""Published corpora: downloads with resume, mirrors and checksums, unpacked safely."""

import errno
import gzip
import hashlib
import http.client
import lzma
import shutil
import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from vqwn_kit.data.archives import ARCHIVES, Archive
from vqwn_kit.errors import InputError, one_of
from vqwn_kit.files import project_root

TIMEOUT = 60  # seconds without a byte
DAMAGED = (zipfile.BadZipFile, tarfile.ReadError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)
DAMAGED += (EOFError,)


def download_corpus(
    name: str,
    folder: str | Path | None = None,
    progress: bool = True,
    archive: Archive | None = None,
) -> Path:
    """Download a published corpus and unpack it; an interrupted download is resumed.

    Args:
        name: a key of `ARCHIVES`, such as `vctk` or `librispeech-dev-clean`.
        folder: where to unpack it; `data/` of the project by default.
        progress: show progress bars.
        archive: another archive, instead of the one called `name`.

    Returns:
        The corpus's folder. The archive stays beside it, and may be deleted.

    Raises:
        InputError: no such name, or an archive with paths that lead out of the folder.
        OSError: no internet, a wrong checksum, no room on the disk.
    """
    if archive is None and name not in ARCHIVES:
        raise one_of("corpus to download", name, ARCHIVES)
    archive = archive or ARCHIVES[name]
    folder = Path(folder) if folder else project_root() / "data"
    corpus = folder / PurePosixPath(archive.unpacks_to).parts[0]
    if (folder / archive.unpacks_to).is_dir():
        return corpus
    file = folder / archive.name
    if not file.is_file():
        _fetch(archive, file, progress)
    elif archive.md5 and (md5 := _md5(file)) != archive.md5:
        raise InputError(
            f"{file} is not what was published (checksum {md5}, expected {archive.md5}): delete "
            "it, and run the same command again"
        )
    _unpack(file, folder / archive.inside if archive.inside else folder, progress)
    for packed in sorted((folder / archive.unpacks_to).glob("*.tar.gz")):
        _unpack(packed, packed.parent, progress)  # Aishell has an archive per speaker inside
    return corpus


def _fetch(archive: Archive, file: Path, progress: bool) -> None:
    """Download an archive to `file`, by way of `file.part`, and compare its checksum."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part, reasons = file.with_name(f"{file.name}.part"), []
    for url in archive.urls:
        try:
            _resume(url, part, progress)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise
            reasons.append(f"{url}: {getattr(error, 'reason', error)}")
            continue
        md5 = _md5(part) if archive.md5 else ""
        if md5 == archive.md5 and (zipfile.is_zipfile(part) or tarfile.is_tarfile(part)):
            part.replace(file)
            return
        part.unlink()  # resuming a file with an error somewhere in it is of no use
        what = f"checksum {md5}, expected {archive.md5}" if archive.md5 else "it is no archive"
        reasons.append(f"{url}: the file is not what was published ({what}); it was deleted")
    kept = f" {part.stat().st_size / 1e6:.0f} MB are kept in {part}." if part.is_file() else ""
    raise OSError(
        f"cannot download {file.name}: {'; '.join(reasons)}.{kept} Run the same command again to "
        f"resume; or download it elsewhere and put it at {file}"
    )


def _resume(url: str, part: Path, progress: bool) -> None:
    """Download what `part` lacks of a file; all of it where the server cannot send a range."""
    from tqdm.auto import tqdm

    done = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and done:  # the range is empty: `part` is whole
            return
        raise
    with response:
        done = done if response.status == 206 else 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else None
        bar = {"total": total, "initial": done, "desc": part.stem, "disable": not progress}
        with part.open("ab" if done else "wb") as file, tqdm.wrapattr(response, "read", **bar) as r:
            shutil.copyfileobj(r, file, 1 << 20)
    if total is not None and part.stat().st_size < total:
        raise ConnectionError(f"the connection broke after {part.stat().st_size} of {total} bytes")


def _md5(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "md5").hexdigest()


def _unpack(file: Path, folder: Path, progress: bool) -> None:
    """Unpack an archive into `folder`, by way of a scratch folder: whole or not at all.

    Raises:
        InputError: it would write outside of the folder, or it is damaged.
    """
    scratch = folder / f".unpacking-{file.name}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        _extract(file, scratch, progress)
        for item in sorted(scratch.iterdir()):
            _merge(item, folder / item.name)
    except DAMAGED as error:
        raise InputError(
            f"{file} is damaged ({error}): delete it, and download it again"
        ) from error
    except (NotImplementedError, RuntimeError) as error:  # another method, or encrypted
        raise InputError(
            f"{file} cannot be unpacked here ({error}): unpack it by another program, into {folder}"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _extract(file: Path, scratch: Path, progress: bool) -> None:
    from tqdm.auto import tqdm

    bar = {"desc": "unpack", "unit": "file", "disable": not progress}
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            for name in tqdm(archive.namelist(), **bar):
                _refuse_escape(file, name)
                archive.extract(name, scratch)
        return
    with tarfile.open(file) as archive:
        for member in tqdm(archive, **bar):
            _refuse_escape(file, member.name)
            try:
                archive.extract(member, scratch, filter="data")
            except tarfile.FilterError as error:  # a device, or a link that leads out
                raise InputError(f"{file}: {error}. Nothing was unpacked") from error
        while archive.fileobj.read(1 << 20):  # to the end, where the checksum of gzip is compared
            pass


def _refuse_escape(file: Path, name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in "".join(path.parts[:1]):
        raise InputError(f"{file} would write to {name!r}: nothing was unpacked")


def _merge(item: Path, target: Path) -> None:
    """Move a file or folder to `target`; existing files stay."""
    if not target.exists():
        item.rename(target)
    elif item.is_dir() and target.is_dir():
        for inner in item.iterdir():
            _merge(inner, target / inner.name)
