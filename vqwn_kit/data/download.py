"""Published corpora from the internet: fetched with resume and checksum, unpacked with care."""

import errno
import hashlib
import http.client
import shutil
import tarfile
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.files import project_root

BLOCK = 1 << 20  # bytes
TIMEOUT = 60  # seconds without a byte


@dataclass(frozen=True)
class Archive:
    """A published archive.

    Attributes:
        urls: where it is; the later ones are tried when the former fail.
        md5: checksum that its publisher gives; "" where none could be found.
        gigabytes: size of the archive, for people.
        unpacks_to: folder below `data/` that tells that it is unpacked.
        inside: folder below `data/` to unpack into; "" where the archive brings its own.
        licence: of the corpus.
        title: what it is.
    """

    urls: tuple[str, ...]
    md5: str
    gigabytes: float
    unpacks_to: str
    licence: str
    title: str
    inside: str = ""

    @property
    def name(self) -> str:
        """Name of the file; that of the last address, since the first may be an opaque one."""
        return self.urls[-1].rpartition("/")[2]


def _libri(subset: str, md5: str, gigabytes: float, title: str) -> Archive:
    # openslr.org/12 lists the archives, and openslr.org/resources/12/md5sum.txt their checksums;
    # the same sums stand in PaddleSpeech (examples/dataset/librispeech/librispeech.py).
    urls = tuple(
        f"https://{host}/resources/12/{subset}.tar.gz"
        for host in ("www.openslr.org", "us.openslr.org", "openslr.elda.org")
    )
    return Archive(urls, md5, gigabytes, f"LibriSpeech/{subset}", "CC BY 4.0", title)


ARCHIVES = {
    # Edinburgh DataShare, doi.org/10.7488/ds/2645. The old address answers with a page that sends
    # browsers on, so the one that it sends them to stands first. The repository's record gives the
    # checksum, and so did torchaudio.datasets.VCTK_092 (0.10). There is no folder in this archive.
    "vctk": Archive(
        (
            "https://datashare.ed.ac.uk/server/api/core/bitstreams/"
            "535f4286-e54c-4038-838c-a02285e32cb2/content",
            "https://datashare.ed.ac.uk/bitstream/handle/10283/3443/VCTK-Corpus-0.92.zip",
        ),
        "8a6ba2946b36fcbef0212cad601f4bfa",
        11.7,
        "VCTK-Corpus-0.92/wav48_silence_trimmed",
        "CC BY 4.0",
        "VCTK 0.92: 110 English speakers, 44 hours",
        inside="VCTK-Corpus-0.92",
    ),
    # Edinburgh DataShare, handle 10283/2651. No published checksum was found for it.
    "vctk-0.80": Archive(
        ("https://datashare.ed.ac.uk/bitstream/handle/10283/2651/VCTK-Corpus.zip",),
        "",
        11,
        "VCTK-Corpus/wav48",
        "ODC-By 1.0",
        "VCTK 0.80: 109 English speakers, 44 hours",
    ),
    "librispeech-dev-clean": _libri(
        "dev-clean", "42e2234ba48799c1f50f24a7926300a1", 0.34, "LibriSpeech: 40 speakers, 5.4 hours"
    ),
    "librispeech-dev-other": _libri(
        "dev-other", "c8d0bcc9cca99d4f8b62fcc847357931", 0.31, "LibriSpeech: 33 speakers, 5.3 hours"
    ),
    "librispeech-test-clean": _libri(
        "test-clean",
        "32fa31d27d2e1cad72775fee3f4849a9",
        0.35,
        "LibriSpeech: 40 speakers, 5.4 hours",
    ),
    "librispeech-test-other": _libri(
        "test-other",
        "fb5a50374b501bb3bac4815ee91d3135",
        0.33,
        "LibriSpeech: 33 speakers, 5.1 hours",
    ),
    "librispeech-train-clean-100": _libri(
        "train-clean-100", "2a93770f6d5c6c964bc36631d331a522", 6.4, "LibriSpeech: 251 speakers"
    ),
    "librispeech-train-clean-360": _libri(
        "train-clean-360", "c0e676e450a7ff2f54aeade5171606fa", 23.0, "LibriSpeech: 921 speakers"
    ),
    "librispeech-train-other-500": _libri(
        "train-other-500", "d1a0fd59409feb2c614ce4d30c387708", 30.0, "LibriSpeech: 1166 speakers"
    ),
    # openslr.org/33; the checksum is the one in PaddleSpeech (examples/dataset/aishell/aishell.py).
    "aishell": Archive(
        (
            "https://www.openslr.org/resources/33/data_aishell.tgz",
            "https://openslr.elda.org/resources/33/data_aishell.tgz",
        ),
        "2f494334227864a8a8fec932999db9d8",
        15,
        "data_aishell/wav",
        "Apache 2.0",
        "Aishell-1: 400 Mandarin speakers, 178 hours",
    ),
}


def download_corpus(
    name: str,
    folder: str | Path | None = None,
    progress: bool = True,
    archive: Archive | None = None,
) -> Path:
    """Fetch a published corpus and unpack it; what was fetched before a break isn't fetched again.

    Args:
        name: a key of `ARCHIVES`, such as `vctk` or `librispeech-dev-clean`.
        folder: where to unpack it; `data/` of the project by default.
        progress: show a progress bar.
        archive: another archive, instead of the one that `name` stands for.

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
    elif archive.md5 and (found := _md5(file, progress)) != archive.md5:
        raise InputError(
            f"{file} isn't what was published (checksum {found}, expected {archive.md5}): delete "
            "it, and it is fetched anew"
        )
    _unpack(file, folder / archive.inside if archive.inside else folder, progress)
    for packed in sorted((folder / archive.unpacks_to).glob("*.tar.gz")):
        _unpack(packed, packed.parent, progress)  # Aishell packs each speaker once more
    return corpus


def _fetch(archive: Archive, file: Path, progress: bool) -> None:
    """Fetch an archive to `file`, going on from `file.part`, and compare its checksum."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    reasons = []
    for url in archive.urls:
        try:
            _fetch_from(url, part, progress)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise
            reasons.append(f"{url}: {getattr(error, 'reason', error)}")
            continue
        found = _md5(part, progress) if archive.md5 else ""
        if found == archive.md5 and (zipfile.is_zipfile(part) or tarfile.is_tarfile(part)):
            part.replace(file)
            return
        what = f"checksum {found}, expected {archive.md5}" if archive.md5 else "it is no archive"
        part.unlink()  # whatever is wrong in it can't be found, so going on from it is no use
        reasons.append(f"{url}: what came isn't what was published ({what}); it was deleted")
    kept = f" {part.stat().st_size / 1e6:.0f} MB are kept in {part}." if part.is_file() else ""
    raise OSError(
        f"can't fetch {file.name}: {'; '.join(reasons)}.{kept} With the internet at hand the same "
        f"command goes on; or fetch it elsewhere and put it at {file}"
    )


def _fetch_from(url: str, part: Path, progress: bool) -> None:
    from tqdm.auto import tqdm

    done = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and done:  # nothing is left to send
            return
        raise
    with answer:
        if answer.status != 206:
            done = 0  # this server sends all of it, whatever was asked for
        length = answer.headers.get("Content-Length")
        total = done + int(length) if length else None
        bar = tqdm(
            total=total, initial=done, desc=part.stem, unit="B", unit_scale=True,
            disable=not progress,
        )  # fmt: skip
        with part.open("ab" if done else "wb") as file, bar:
            while block := answer.read(BLOCK):
                file.write(block)
                bar.update(len(block))
    if total is not None and part.stat().st_size < total:
        raise ConnectionError(f"the connection broke after {part.stat().st_size} of {total} bytes")


def _md5(file: Path, progress: bool) -> str:
    from tqdm.auto import tqdm

    digest = hashlib.md5(usedforsecurity=False)
    bar = tqdm(
        total=file.stat().st_size, desc="checksum", unit="B", unit_scale=True, disable=not progress
    )
    with file.open("rb") as content, bar:
        while block := content.read(BLOCK):
            digest.update(block)
            bar.update(len(block))
    return digest.hexdigest()


def _unpack(file: Path, folder: Path, progress: bool) -> None:
    """Unpack an archive into `folder`: into a scratch folder first, so never by half.

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
    except (zipfile.BadZipFile, tarfile.ReadError, EOFError) as error:
        raise InputError(f"{file} is damaged ({error}): delete it, and download it anew") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _extract(file: Path, scratch: Path, progress: bool) -> None:
    from tqdm.auto import tqdm

    zipped = zipfile.is_zipfile(file)
    safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # not in 3.11.3
    with zipfile.ZipFile(file) if zipped else tarfile.open(file) as archive:
        members = archive.infolist() if zipped else archive
        for member in tqdm(members, desc="unpack", unit="file", disable=not progress):
            name = member.filename if zipped else member.name
            if not zipped and not (member.isfile() or member.isdir()):
                raise InputError(f"{file} holds a link or a device, {name!r}: nothing was unpacked")
            path = PurePosixPath(name.replace("\\", "/"))
            if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
                raise InputError(f"{file} would write to {name!r}: nothing was unpacked")
            if zipped:
                archive.extract(member, scratch)
            else:
                archive.extract(member, scratch, **safely)


def _merge(item: Path, target: Path) -> None:
    """Move a file or folder to `target`; what is there already stays."""
    if not target.exists():
        item.rename(target)
    elif item.is_dir() and target.is_dir():
        for inner in item.iterdir():
            _merge(inner, target / inner.name)
