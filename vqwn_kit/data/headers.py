"""What sound files and their headers say: opened whatever it is; whole or cut off; unreadable."""

import mmap
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import soundfile

from vqwn_kit.errors import InputError

EXTENSIONS = set(
    ".wav .wave .bwf .rf64 .w64 .flac .ogg .oga .opus .mp3 .mp2 .aiff .aif .aifc .au .snd .caf "
    ".sph .nist .voc .ircam .sf .pvf .paf .htk .svx".split()
)
UNKNOWN_SIZE = 0x7FFFFFFF - 4096  # bytes; from here on, the header was written before the end


class Sequential(soundfile.SoundFile):
    """A file that is read from its beginning to its end, without a seek after each block.

    Formats that cannot seek (GSM, FLAC of unknown length) are so read to their end.
    """

    def seekable(self) -> bool:
        """Return False, so that soundfile does not seek after each block."""
        return False


def _refuse_what_is_no_file(path: Path) -> None:
    if path.is_file():
        return
    if path.exists():  # opening a pipe would block forever
        raise InputError(f"{path} is a folder, a pipe or a device. Give a sound file")
    raise InputError(f"no such recording: {path}. Give the path of a sound file")


@contextmanager
def opened(path: Path, remarks: dict[str, str]) -> Iterator[soundfile.SoundFile]:
    """Open a sound file; add to the remarks what its header gets wrong.

    A WAV file whose header says that it holds nothing is read to its end.

    Raises:
        InputError: it is no sound file, cannot be read here or later, or is too long.
    """
    _refuse_what_is_no_file(path)
    try:
        with _opened(path, remarks) as file:
            yield file
    except soundfile.LibsndfileError as error:
        raise InputError(_unreadable(path, error)) from error
    except MemoryError as error:
        raise InputError(f"{path} is too long for the memory; cut it into parts") from error


@contextmanager
def _opened(path: Path, remarks: dict[str, str]) -> Iterator[soundfile.SoundFile]:
    if path.suffix.lower() == ".raw":
        raise InputError(f"{path} has no header (.raw): convert it to .wav or .flac")
    # in bytes: names that this locale cannot express are opened too
    name: Any = str(path) if os.name == "nt" else os.fsencode(path)
    with Sequential(name) as file:
        data = _data_of_size_0(path) if file.format in ("WAV", "WAVEX") and not file.frames else 0
        if not data:
            yield file
            return
    with path.open("rb") as raw, mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        content: Any = mapped
        length = min(len(content) - data, 0xFFFFFFFE)
        content[data - 4 : data] = length.to_bytes(4, "little")
        remarks["length of 0"] = f"{length} bytes of samples follow"
        with Sequential(content) as file:
            yield file


def _data_of_size_0(path: Path) -> int:
    """Return where the samples of a WAV file begin whose header gives them no bytes, else 0."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    place = head.find(b"data\0\0\0\0", 12) + 8
    return place if place > 8 and path.stat().st_size > place else 0


def share_kept(file: soundfile.SoundFile, path: Path, frames: int) -> float:
    """Return the share of a file that is there; NaN where its end is missing."""
    if file.format == "OGG":
        return 1.0 if _ends_an_ogg_stream(path) else float("nan")
    with path.open("rb") as content:
        head = content.read(1 << 12)
    if file.format == "MP3":
        counted = any(tag in head for tag in (b"Xing", b"Info", b"VBRI"))  # else it is estimated
        return frames / file.frames if counted and 0 < frames < 0.99 * file.frames else 1.0
    nist = re.search(rb"sample_count -i (\d+)", head[:1024]) if file.format == "NIST" else None
    if nist:
        return min(1.0, frames / max(1, int(nist[1])))
    # from libsndfile's log
    match = re.search(r"(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)", file.extra_info)
    promised, present = (int(match[1]), int(match[2])) if match else (1, 1)
    return present / promised if present < promised < UNKNOWN_SIZE else 1.0


def _ends_an_ogg_stream(path: Path) -> bool:
    """Return whether the last page of an Ogg file is whole, and marked as the last."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - (1 << 16) - 300))
        tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27 or not page.startswith(b"OggS"):
        return False
    segments = page[26]
    return bool(page[5] & 4) and len(page) >= 27 + segments + sum(page[27 : 27 + segments])


def _unreadable(path: Path, error: soundfile.LibsndfileError) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(1024)
    except OSError as refused:
        return f"{path} cannot be opened ({refused.strerror}); change its permissions"
    if not head:
        return f"{path} is empty (no sound, 0 bytes); record it again or leave it out"
    if head.startswith(b"NIST_1A") and b"shorten" in head:
        return (
            f"{path} is compressed with shorten, and so no sound file that can be read: convert it "
            "(sph2pipe -f wav)"
        )
    return (
        f"{path} is no sound file that can be read ({error.error_string.rstrip('.')}); "
        f"expected one of {', '.join(sorted(EXTENSIONS))}"
    )
