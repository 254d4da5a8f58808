"""A sound file -> int16 samples at the store's rate, trimmed; or why it cannot be used."""

import hashlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from vqwn_kit.data import audio
from vqwn_kit.data.scan import Utterance
from vqwn_kit.data.sound_file import Span
from vqwn_kit.errors import InputError

SILENCE = 10 ** (-60 / 20)  # an utterance with a peak under -60 dBFS is silent
SHORTEST = 0.05  # seconds; a shorter one, once trimmed, is a click


@dataclass(frozen=True)
class Settings:
    """How recordings are converted; the same for all of a store.

    Attributes:
        sample_rate: in Hz.
        trim_db: see `trim_silence`; None keeps the silence at both ends.
        level_db: RMS of each recording after scaling, in dBFS; None keeps its level.
    """

    sample_rate: int = audio.SAMPLE_RATE
    trim_db: float | None = audio.TRIM_DB
    level_db: float | None = None

    def __post_init__(self):
        """Refuse values out of range."""
        if not 1000 <= self.sample_rate <= 192_000:
            raise InputError(f"sample_rate is {self.sample_rate}; expected 1000 to 192000 Hz")
        if self.trim_db is not None and not 0 < self.trim_db <= 120:
            raise InputError(f"trim_db is {self.trim_db:g}; expected above 0, at most 120 dB")
        if self.level_db is not None and not -60 <= self.level_db <= 0:
            raise InputError(f"level_db is {self.level_db:g}; expected -60 to 0 dBFS")


@dataclass(frozen=True)
class Converted:
    """A recording as the store holds it.

    Attributes:
        samples: int16 (T,); empty where there is a problem.
        offset: samples that were trimmed from the front, at the store's rate.
        problem: why the recording cannot be used, or "".
        recording: facts about the file, without its waveform, which may be long; None where the
            file cannot be read.
        temporary: the problem may go without a change of the file, such as missing permissions.
        digest: a hash of the file's content, and what was mended in it; "" where it cannot be read.
    """

    samples: np.ndarray
    offset: int = 0
    problem: str = ""
    recording: audio.Recording | None = None
    temporary: bool = False
    digest: str = ""


def convert(path: Path, settings: Settings, span: Span | None = None) -> Converted:
    """Read, resample, trim and scale one recording, or the span of it from begin to end in seconds.

    Faults of the file are returned, not raised.
    """
    rate = settings.sample_rate
    try:
        recording = audio.read(path, rate, span)
    except (InputError, OSError) as error:
        return _unusable(str(error), temporary=not _is_readable(path))
    waveform = np.clip(recording.waveform, -1.0, 1.0, out=recording.waveform)
    recording = replace(recording, waveform=np.zeros(0, np.float32))
    offset, shortest = 0, int(SHORTEST * rate)
    if len(waveform) < shortest:
        return _unusable(_too_short(path, len(waveform), rate), recording)
    if max(waveform.max(), -waveform.min()) < SILENCE:
        remarks = "".join(f", {kind} of {what}" for kind, what in recording.remarks.items())
        return _unusable(f"{path} is silent (peak under -60 dBFS{remarks})", recording)
    if settings.trim_db is not None:
        waveform, offset = audio.trim_silence(waveform, settings.trim_db)
        if len(waveform) < shortest:
            return _unusable(_too_short(path, len(waveform), rate), recording)
    if settings.level_db is not None:
        waveform = audio.set_level(waveform, settings.level_db)
    return Converted(_to_int16(waveform), offset, recording=recording)


def _to_int16(waveform: np.ndarray) -> np.ndarray:
    """Round (T,) in [-1, 1] to int16, by blocks: a recording may last for hours."""
    samples = np.empty(len(waveform), np.int16)
    for first in range(0, len(waveform), 1 << 20):
        block = np.round(waveform[first : first + (1 << 20)] * 32768.0)
        samples[first : first + len(block)] = np.clip(block, -32768, 32767)
    return samples


def _unusable(problem: str, recording=None, temporary: bool = False) -> Converted:
    return Converted(np.zeros(0, np.int16), 0, problem, recording, temporary)


def _too_short(path: Path, length: int, rate: int) -> str:
    return (
        f"{path} holds {length} samples of sound ({1000 * length / rate:g} ms); "
        f"at least {1000 * SHORTEST:g} ms are needed"
    )


def _is_readable(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb"):
            return True
    except OSError:
        return False


def digest_of(path: Path, span: Span | None = None) -> str:
    """Return a hash of a file's content, with the span if any; "" where it cannot be read."""
    try:
        if not path.is_file():
            return ""
        if span is None:
            return _content_hash(path)
        facts = path.stat()  # a file of many parts is read once
        return f"{_known_hash(path, facts.st_size, facts.st_mtime_ns)} {span[0]} {span[1]}"
    except OSError:
        return ""


def _content_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=12)).hexdigest()


@lru_cache(maxsize=256)
def _known_hash(path: Path, size: int, time: int) -> str:
    return _content_hash(path)


def convert_all(
    utterances: Sequence[Utterance],
    settings: Settings,
    progress: bool = True,
    workers: int | None = None,
    title: str = "prepare",
) -> Iterator[Converted]:
    """Yield the conversions of recordings, in order, with the hashes of their files.

    Threads decode a few files ahead: libsndfile, soxr and NumPy release the interpreter's lock,
    and no more than those few files are in memory.

    Raises:
        InputError: less than one worker.
    """
    from tqdm.auto import tqdm

    workers = (os.cpu_count() or 1) if workers is None else workers
    if workers < 1:
        raise InputError(f"workers is {workers}; expected 1 or more threads for decoding")
    bar = tqdm(total=len(utterances), desc=title, unit="file", disable=not progress)
    with ThreadPoolExecutor(workers) as pool, bar:
        waiting = deque()
        for utterance in utterances:
            waiting.append(pool.submit(_hashed, utterance, settings))
            if len(waiting) > 4 * workers:
                yield waiting.popleft().result()
                bar.update()
        for future in waiting:
            yield future.result()
            bar.update()


def _hashed(utterance: Utterance, settings: Settings) -> Converted:
    path, span = utterance.path, utterance.span
    digest = digest_of(path, span)  # first: a change while it is read is noticed the next time
    converted = convert(path, settings, span)
    mended = converted.recording.remarks if converted.recording and digest else ()
    return replace(converted, digest=" ".join([digest, *mended]))
