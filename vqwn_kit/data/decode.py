"""A sound file -> int16 samples at the store's rate, trimmed, or why it can't be used."""

import hashlib
import itertools
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from vqwn_kit.data import audio
from vqwn_kit.errors import InputError

SILENCE = 10 ** (-60 / 20)  # an utterance whose loudest sample is under -60 dBFS is silent
SHORTEST = 0.05  # seconds; what is shorter, once trimmed, is a click and no speech


@dataclass(frozen=True)
class Settings:
    """How recordings are converted; a store holds one setting.

    Attributes:
        sample_rate: in Hz.
        trim_db: see `trim_silence`; None keeps the silence at both ends.
        level_db: RMS in dBFS that each recording is brought to; None leaves its level alone.
    """

    sample_rate: int = audio.SAMPLE_RATE
    trim_db: float | None = audio.TRIM_DB
    level_db: float | None = None

    def __post_init__(self):
        """Refuse what can't be."""
        if not 1000 <= self.sample_rate <= 192_000:
            raise InputError(f"sample_rate is {self.sample_rate}; expected 1000 to 192000 Hz")
        if self.trim_db is not None and not 0 < self.trim_db <= 120:
            raise InputError(f"trim_db is {self.trim_db:g}; expected above 0, at most 120 dB")
        if self.level_db is not None and not -60 <= self.level_db <= 0:
            raise InputError(f"level_db is {self.level_db:g}; expected -60 to 0 dBFS")

    def to_dict(self) -> dict:
        """Return the settings as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Converted:
    """A recording as the store holds it.

    Attributes:
        samples: int16 (T,); empty where there is a problem.
        offset: samples that were trimmed from the front, at the store's rate.
        problem: why the recording can't be used, or "".
        recording: what there is to say about the file, its waveform left out, since some that
            are long would fill the memory; None where it couldn't be read.
        passing: the problem may be gone without the file being changed, such as a missing right.
        digest: a hash of the file's content; "" where it can't be read.
    """

    samples: np.ndarray
    offset: int = 0
    problem: str = ""
    recording: audio.Recording | None = None
    passing: bool = False
    digest: str = ""


def convert(path: Path, settings: Settings) -> Converted:
    """Read, resample, trim and level one recording; never raises for what is wrong with a file."""
    try:
        recording = audio.read(path)
    except (InputError, OSError) as error:
        return _unusable(str(error), passing=_passing(path))
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


def _unusable(problem: str, recording=None, passing: bool = False) -> Converted:
    return Converted(np.zeros(0, np.int16), 0, problem, recording, passing)


def _too_short(path: Path, length: int, rate: int) -> str:
    return (
        f"{path} holds {length} samples of sound ({1000 * length / rate:g} ms); "
        f"at least {1000 * SHORTEST:g} ms are needed"
    )


def _passing(path: Path) -> bool:
    try:
        if not path.is_file():
            return True
        with path.open("rb"):
            return False
    except OSError:
        return True


def digest_of(path: Path) -> str:
    """Return a hash of a file's content; "" where it can't be read."""
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
    what: str = "prepare",
) -> Iterator[Converted]:
    """Return the conversions of files, in order, with their hashes.

    Threads decode a few files ahead: libsndfile, soxr and NumPy do their work without the
    interpreter's lock, and memory holds those few files only.

    Raises:
        InputError: less than one worker.
    """
    if workers is not None and workers < 1:
        raise InputError(f"workers is {workers}; expected 1 or more threads that decode")
    return _convert_all(paths, settings, progress, workers or os.cpu_count() or 1, what)


def _convert_all(
    paths: Sequence[Path], settings: Settings, progress: bool, workers: int, what: str
) -> Iterator[Converted]:
    from tqdm.auto import tqdm

    bar = tqdm(total=len(paths), desc=what, unit="file", disable=not progress)
    with ThreadPoolExecutor(workers) as pool, bar:
        ahead = deque()
        for path in itertools.chain(paths, itertools.repeat(None)):
            if path is not None:
                ahead.append(pool.submit(_hashed, path, settings))
            if len(ahead) > 4 * workers or (path is None and ahead):
                yield ahead.popleft().result()
                bar.update()
            elif path is None:
                return


def _hashed(path: Path, settings: Settings) -> Converted:
    digest = digest_of(path)  # before it is read: a change between the two shows next time
    return replace(convert(path, settings), digest=digest)
