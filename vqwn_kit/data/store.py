"""A corpus as one int16 memory map and an index, made once: random crops without any decoding.

A store is a folder, one for each corpus folder and setting:

    settings.json   how its recordings were converted
    audio.int16     their samples, end to end; it only ever grows
    index.jsonl     a line a recording: path, state and hash of the file, where its samples begin

Recordings are added in groups: samples first, then their lines. So a kill at any moment leaves a
store that is whole up to some recording, and the next run converts what is missing: the rest, a
file that is new, or one whose size, time of change and content aren't those of its line. What is
there never moves, so other processes may read the store while one writes.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from vqwn_kit.data import audio
from vqwn_kit.data.corpus import Corpus
from vqwn_kit.data.decode import Settings, convert_all, digest_of
from vqwn_kit.errors import InputError
from vqwn_kit.files import replacing, stores

GROUP = 64  # recordings that are written together; what a kill may cost, or
GROUP_SAMPLES = 1 << 24  # samples, 17 minutes at 16 kHz, where they are long
FORMAT = 2

try:
    import fcntl
except ImportError:  # Windows: two processes that prepare one corpus at once aren't kept apart
    fcntl = None


@dataclass(frozen=True)
class Entry:
    """A line of the index. `start` and `length` are in samples; `state` is size and time."""

    path: str
    state: str
    digest: str
    start: int
    length: int
    offset: int
    problem: str


class Store:
    """Prepared utterances of a corpus.

    Attributes:
        corpus: the corpus, less what was skipped; its order is the index of all arrays here.
        folder: where the store lies.
        samples: int16 (sum of all T,), memory-mapped, or in memory.
        starts, lengths: int64 (U,), in samples.
        offsets: int64 (U,), samples that were trimmed from the front of each recording.
        speaker_ids: int32 (U,), 0..S-1.
        skipped: reason by key, for recordings that couldn't be used.
        identity: name and a hash of settings, splits, and the content of all that is used.
    """

    def __init__(self, corpus: Corpus, folder: Path, entries: list[Entry], in_memory: bool = False):
        settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
        self.folder = folder
        self.sample_rate = settings["sample_rate"]
        pairs = list(zip(corpus.utterances, entries, strict=True))
        self.skipped = {u.key: entry.problem for u, entry in pairs if entry.problem}
        kept = [(u, entry) for u, entry in pairs if not entry.problem]
        self.corpus = replace(corpus, utterances=tuple(u for u, _ in kept))
        rows = [(entry.start, entry.length, entry.offset) for _, entry in kept]
        self.starts, self.lengths, self.offsets = np.array(rows, np.int64).reshape(-1, 3).T
        numbers = {name: number for number, name in enumerate(corpus.speakers)}
        self.speaker_ids = np.array([numbers[u.speaker] for u, _ in kept], np.int32)
        hashed = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for utterance, entry in kept:
            hashed.update(f"{utterance.key}\0{entry.digest}\0{utterance.split}\n".encode())
        self.identity = f"{corpus.name}-{hashed.hexdigest()[:12]}"
        self.samples = np.memmap(folder / "audio.int16", np.int16, "r")
        if in_memory:
            self._hold()

    def _hold(self) -> None:
        """Copy the samples of these utterances into memory, without what others are."""
        mapped, ends = self.samples, np.cumsum(self.lengths)
        self.samples = np.empty(ends[-1], np.int16)
        for start, length, end in zip(self.starts, self.lengths, ends, strict=True):
            self.samples[end - length : end] = mapped[start : start + length]
        self.starts = ends - self.lengths

    def __len__(self) -> int:
        """Return the number of utterances."""
        return len(self.starts)

    def waveform(self, number: int) -> np.ndarray:
        """Return utterance `number` as float32 (T,) in [-1, 1]."""
        start = self.starts[number]
        return to_float(self.samples[start : start + self.lengths[number]])

    @cached_property
    def _splits(self) -> np.ndarray:
        return np.array([utterance.split for utterance in self.corpus])

    def numbers(self, split: str) -> np.ndarray:
        """Return the numbers of the utterances of a split, `train` or `held_out`."""
        return np.flatnonzero(self._splits == split)

    def seconds(self, split: str) -> float:
        """Return how many seconds of sound a split holds."""
        return float(self.lengths[self.numbers(split)].sum() / self.sample_rate)

    def shorter_than(self, length: int) -> list[str]:
        """Return the keys of the utterances of less than `length` samples."""
        short = np.flatnonzero(self.lengths < length)
        return [self.corpus.utterances[number].key for number in short]


def to_float(samples: np.ndarray) -> np.ndarray:
    """Turn int16 into float32 in [-1, 1)."""
    return samples.astype(np.float32) / 32768.0


def prepare(
    corpus: Corpus,
    sample_rate: int = audio.SAMPLE_RATE,
    trim_db: float | None = audio.TRIM_DB,
    in_memory: bool = False,
    progress: bool = True,
    *,
    level_db: float | None = None,
    workers: int | None = None,
) -> Store:
    """Return the store of a corpus, converting those recordings that aren't in it yet.

    Args:
        corpus: see `open_corpus`.
        sample_rate: rate of the store in Hz.
        trim_db: see `trim_silence`; None keeps the silence at both ends.
        in_memory: hold the samples in memory instead of mapping the file.
        progress: show a progress bar.
        level_db: bring each recording to this RMS, in dBFS; None leaves its level alone.
        workers: threads that decode; as many as there are cores by default.

    Raises:
        InputError: no recording of the corpus can be used; the message names the reasons.
        OSError: the disk is full or can't be written; what was written stays good.
    """
    settings = Settings(sample_rate, trim_db, level_db)
    folder = _folder(corpus, settings)
    files = _files(corpus)
    entries, news = _look_up(corpus, files, _read_index(folder))
    if news or not _settings_hold(folder, settings):
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            index = _read_index(folder)  # anew, since another process may have been first
            entries, news = _look_up(corpus, files, index)
            _write(corpus, files, entries, folder, settings, progress, workers)
    if all(entry.problem for entry in entries):
        pairs = zip(corpus, entries, strict=True)
        reasons = "; ".join(f"{u.key}: {entry.problem}" for u, entry in list(pairs)[:5])
        raise InputError(f"no recording in {corpus.folder} can be used. {reasons}")
    return Store(corpus, folder, entries, in_memory)


def _content(settings: Settings) -> dict:
    return {**settings.to_dict(), "format": FORMAT}


def _settings_hold(folder: Path, settings: Settings) -> bool:
    """Whether `settings.json` is there and whole."""
    try:
        found = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return found == _content(settings)


def _folder(corpus: Corpus, settings: Settings) -> Path:
    """Return the store's folder: its name carries a hash of the settings and the corpus's path."""
    facts = {**_content(settings), "folder": str(corpus.folder.resolve())}
    hashed = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return stores() / f"{corpus.name}-{hashed[:12]}"


def _files(corpus: Corpus) -> list[tuple[str, str]]:
    """Return path (below the corpus's folder where it is) and state of each recording."""
    top = os.path.abspath(corpus.folder) + os.sep
    paths = [os.path.abspath(utterance.path) for utterance in corpus]
    return [(path.removeprefix(top), _state(path)) for path in paths]


def _state(path: str) -> str:
    try:
        facts = os.stat(path)
    except OSError:
        return ""  # missing
    return f"{facts.st_size} {facts.st_mtime_ns}"


def _read_index(folder: Path) -> dict[str, Entry]:
    """Return the newest line of each path; a line that was cut off by a kill counts for nothing."""
    try:
        lines = (folder / "index.jsonl").read_bytes().split(b"\n")[:-1]
        there = (folder / "audio.int16").stat().st_size // 2
    except FileNotFoundError:
        return {}
    try:
        entries = [Entry(*json.loads(line)) for line in lines]
        return {entry.path: entry for entry in entries if entry.start + entry.length <= there}
    except (ValueError, TypeError) as error:
        raise InputError(f"the store {folder} is damaged ({error}): delete it") from error


def _look_up(
    corpus: Corpus, files: list[tuple[str, str]], index: dict[str, Entry]
) -> tuple[list[Entry | None], bool]:
    """Return the entry of each utterance, None where it has to be converted, and if any is new.

    A file whose time alone has changed is known by its content; its entry has the new state.
    """
    found, news = [], False
    for utterance, (path, state) in zip(corpus, files, strict=True):
        entry = index.get(path)
        if entry is not None and entry.state != state:
            same_size = entry.state.partition(" ")[0] == state.partition(" ")[0]
            same = same_size and digest_of(utterance.path) == entry.digest
            entry, news = replace(entry, state=state) if same else None, True
        news = news or entry is None
        found.append(entry)
    return found, news


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time write; the lock ends with the process, however it ends."""
    with (folder / "lock").open("w") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(
    corpus: Corpus,
    files: list[tuple[str, str]],
    entries: list[Entry | None],
    folder: Path,
    settings: Settings,
    progress: bool,
    workers: int | None,
) -> None:
    """Convert what `entries` lacks, fill them, and write all that isn't in the index."""
    with replacing(folder / "settings.json") as scratch:
        scratch.write_text(json.dumps(_content(settings)), encoding="utf-8")
    index = _read_index(folder)
    position = max((entry.start + entry.length for entry in index.values()), default=0)
    with (folder / "audio.int16").open("ab") as sound, (folder / "index.jsonl").open("ab") as lines:
        _drop_what_a_kill_left(sound, lines, folder, position)
        _write_lines(lines, [e for e in entries if e is not None and e != index.get(e.path)])
        missing = [number for number, entry in enumerate(entries) if entry is None]
        group, waiting = [], 0
        paths = [corpus.utterances[number].path for number in missing]
        conversions = convert_all(paths, settings, progress, workers)
        for number, converted in zip(missing, conversions, strict=True):
            path, state = files[number]
            entries[number] = Entry(
                path, state, converted.digest, position, len(converted.samples), converted.offset,
                converted.problem,
            )  # fmt: skip
            position += len(converted.samples)
            sound.write(converted.samples.tobytes())
            if state and converted.digest and not converted.passing:
                group.append(entries[number])
            waiting += len(converted.samples)
            if len(group) == GROUP or waiting >= GROUP_SAMPLES or number == missing[-1]:
                _flush(sound)
                _write_lines(lines, group)
                group, waiting = [], 0


def _drop_what_a_kill_left(sound, lines, folder: Path, position: int) -> None:
    """Cut off half a line, and samples that no line knows of."""
    whole = (folder / "index.jsonl").read_bytes()
    lines.truncate(whole.rfind(b"\n") + 1)
    sound.truncate(2 * position)


def _write_lines(file, entries: list[Entry]) -> None:
    rows = (json.dumps(list(vars(entry).values())) for entry in entries)
    file.write("".join(f"{row}\n" for row in rows).encode())
    _flush(file)


def _flush(file) -> None:
    file.flush()
    os.fsync(file.fileno())
