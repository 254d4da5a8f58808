"""A sound file -> int16 samples at the store's rate, trimmed; or why it cannot be used."""

import hashlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vqwn_kit.data import audio
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
        digest: a hash of the file's content; "" where it cannot be read.
    """

    samples: np.ndarray
    offset: int = 0
    problem: str = ""
    recording: audio.Recording | None = None
    temporary: bool = False
    digest: str = ""


def convert(path: Path, settings: Settings) -> Converted:
    """Read, resample, trim and scale one recording; faults of the file are returned, not raised."""
    try:
        recording = audio.read(path)
    except (InputError, OSError) as error:
        return _unusable(str(error), temporary=not _is_readable(path))
    rate, waveform = settings.sample_rate, recording.waveform
    recording = replace(recording, waveform=np.zeros(0, np.float32))
    waveform = np.clip(audio.resample(waveform, recording.sample_rate, rate), -1.0, 1.0)
    offset, shortest = 0, int(SHORTEST * rate)
    if len(waveform) < shortest:
        return _unusable(_too_short(path, len(waveform), rate), recording)
    if np.abs(waveform).max() < SILENCE:
        return _unusable(f"{path} is silent (peak under -60 dBFS)", recording)
    if settings.trim_db is not None:
        waveform, offset = audio.trim_silence(waveform, settings.trim_db)
        if len(waveform) < shortest:
            return _unusable(_too_short(path, len(waveform), rate), recording)
    if settings.level_db is not None:
        waveform = audio.set_level(waveform, settings.level_db)
    samples = np.clip(np.round(waveform * 32768.0), -32768, 32767).astype(np.int16)
    return Converted(samples, offset, recording=recording)


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


def digest_of(path: Path) -> str:
    """Return a hash of a file's content; "" where it cannot be read."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=12)).hexdigest()
    except OSError:
        return ""


def convert_all(
    paths: Sequence[Path],
    settings: Settings,
    progress: bool = True,
    workers: int | None = None,
    title: str = "prepare",
) -> Iterator[Converted]:
    """Yield the conversions of files, in order, with their hashes.

    Threads decode a few files ahead: libsndfile, soxr and NumPy release the interpreter's lock,
    and no more than those few files are in memory.

    Raises:
        InputError: less than one worker.
    """
    from tqdm.auto import tqdm

    workers = (os.cpu_count() or 1) if workers is None else workers
    if workers < 1:
        raise InputError(f"workers is {workers}; expected 1 or more threads for decoding")
    bar = tqdm(total=len(paths), desc=title, unit="file", disable=not progress)
    with ThreadPoolExecutor(workers) as pool, bar:
        waiting = deque()
        for path in paths:
            waiting.append(pool.submit(_hashed, path, settings))
            if len(waiting) > 4 * workers:
                yield waiting.popleft().result()
                bar.update()
        for future in waiting:
            yield future.result()
            bar.update()


def _hashed(path: Path, settings: Settings) -> Converted:
    digest = digest_of(path)  # first: a change while it is read is noticed the next time
    return replace(convert(path, settings), digest=digest)
