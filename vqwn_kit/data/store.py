"""A corpus, decoded once: one int16 memory map and an index, for random crops without decoding.

A store is a folder, one for each corpus folder and setting:

    settings.json   how its recordings were converted
    audio.int16     their samples, end to end; it only ever grows
    index.jsonl     one line per recording: path, state and hash of the file, first sample

Recordings are added in groups: samples first, then their lines. So a kill at any moment leaves a
store that is complete up to some recording, and the next run converts what is missing: the rest,
new files, and those whose size or time, and content, differ from their line. Samples never move,
so other processes may read the store while one writes.
"""

import copy
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from vqwn_kit.data import audio
from vqwn_kit.data.corpus import Corpus
from vqwn_kit.data.decode import Settings, convert_all, digest_of
from vqwn_kit.data.scan import text_of
from vqwn_kit.errors import InputError
from vqwn_kit.files import replacing, stores

GROUP = 64  # recordings that are written together, and may be lost by a kill
GROUP_SAMPLES = 1 << 24  # most samples of a group, 17 minutes at 16 kHz
FORMAT = 3  # of what a recording becomes, and how it is written
# Identities are those of this format: ordinary recordings have been converted alike since then, and
# what was mended in others stands in their digests
IDENTITY_FORMAT = 2

try:
    import fcntl
except ImportError:  # Windows: nothing keeps two processes from preparing one corpus at once
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
        corpus: the corpus without what was skipped; its order is that of all arrays below.
        folder: the store's folder.
        sample_rate: in Hz.
        samples: int16 (sum of all T,), memory-mapped, or in memory.
        starts: int64 (U,), first sample of each utterance.
        lengths: int64 (U,), in samples.
        offsets: int64 (U,), samples that were trimmed from the front of each recording.
        speaker_ids: int32 (U,), 0..S-1.
        skipped: reason by key, for recordings that cannot be used.
        shortened: utterances that were cut, see `cut`.
        silent_speakers: those who are left out, since none of their recordings can be used.
        identity: name and a hash of settings, splits, and the content of all that is used.
    """

    def __init__(self, corpus: Corpus, folder: Path, entries: list[Entry], in_memory: bool = False):
        settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
        self.folder, self.shortened = folder, 0
        self.sample_rate = settings["sample_rate"]
        pairs = list(zip(corpus.utterances, entries, strict=True))
        self.skipped = {u.key: entry.problem for u, entry in pairs if entry.problem}
        kept = [(u, entry) for u, entry in pairs if not entry.problem]
        usable = {u.speaker for u, _ in kept}
        self.silent_speakers = sorted({u.speaker for u in corpus} - usable)
        speakers = {s: f for s, f in corpus.speakers.items() if s not in self.silent_speakers}
        self.corpus = replace(corpus, utterances=tuple(u for u, _ in kept), speakers=speakers)
        rows = [(entry.start, entry.length, entry.offset) for _, entry in kept]
        self.starts, self.lengths, self.offsets = np.array(rows, np.int64).reshape(-1, 3).T
        numbers = {name: number for number, name in enumerate(speakers)}
        self.speaker_ids = np.array([numbers[u.speaker] for u, _ in kept], np.int32)
        settings["format"] = IDENTITY_FORMAT
        hashed = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for utterance, entry in kept:
            hashed.update(f"{utterance.key}\0{entry.digest}\0{utterance.split}\n".encode())
        self.identity = f"{corpus.name}-{hashed.hexdigest()[:12]}"
        self.samples = np.memmap(folder / "audio.int16", np.int16, "r")
        if in_memory:
            self._hold()

    def _hold(self) -> None:
        """Copy the samples of these utterances, and no others, into memory."""
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

    def cut(self, seconds: float) -> "Store":
        """Return this store with the first seconds of longer utterances, without their texts."""
        most = round(seconds * self.sample_rate)
        longer = self.lengths > most
        if not longer.any():
            return self
        store, pairs = copy.copy(self), zip(self.corpus.utterances, longer, strict=True)
        utterances = tuple(replace(u, text="") if cut else u for u, cut in pairs)
        store.corpus = replace(self.corpus, utterances=utterances)
        store.lengths, store.shortened = np.minimum(self.lengths, most), int(longer.sum())
        store.identity = f"{self.identity}-{seconds:g}s"
        return store

    @cached_property
    def _splits(self) -> np.ndarray:
        return np.array([utterance.split for utterance in self.corpus])

    def numbers(self, split: str) -> np.ndarray:
        """Return the numbers of the utterances of a split, `train` or `held_out`."""
        return np.flatnonzero(self._splits == split)

    def seconds(self, split: str) -> float:
        """Return the seconds of sound in a split."""
        return float(self.lengths[self.numbers(split)].sum() / self.sample_rate)

    def shorter_than(self, length: int) -> list[str]:
        """Return the keys of the utterances with less than `length` samples."""
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
    """Return the store of a corpus; recordings that are not in it yet are converted.

    Args:
        corpus: see `open_corpus`.
        sample_rate: rate of the store in Hz.
        trim_db: see `trim_silence`; None keeps the silence at both ends.
        in_memory: hold the samples in memory instead of mapping the file.
        progress: show a progress bar.
        level_db: scale each recording to this RMS, in dBFS; None keeps its level.
        workers: threads for decoding; one per core by default.

    Raises:
        InputError: no recording of the corpus can be used; the message names the reasons.
        OSError: the disk is full or cannot be written to; what was written before stays valid.
    """
    settings = Settings(sample_rate, trim_db, level_db)
    folder, files, known, changed = _find(corpus, settings)
    if changed:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):  # and read once more, since another process may have been first
            known, _ = _look_up(corpus, files, _read_index(folder))
            _report_change(corpus, known, folder)
            entries = _write(corpus, files, known, folder, settings, progress, workers)
    else:
        entries = [entry for entry in known if entry is not None]  # none is missing
    if all(entry.problem for entry in entries):
        pairs = zip(corpus, entries, strict=True)
        reasons = "; ".join(f"{u.key}: {entry.problem}" for u, entry in list(pairs)[:5])
        raise InputError(f"no recording in {corpus.folder} can be used. {reasons}")
    return Store(corpus, folder, entries, in_memory)


def _report_change(corpus: Corpus, known: list[Entry | None], folder: Path) -> None:
    """Print how many recordings a store lacks that has others of the corpus already."""
    missing = sum(entry is None for entry in known)
    if 0 < missing < len(known):
        print(
            f"{corpus.name}: {missing} of {len(known)} recordings are not in its store yet, or "
            f"have changed, and are added to it ({folder})",
            file=sys.stderr,
            flush=True,
        )


def is_prepared(
    corpus: Corpus,
    sample_rate: int = audio.SAMPLE_RATE,
    trim_db: float | None = audio.TRIM_DB,
    level_db: float | None = None,
) -> bool:
    """Return whether `prepare` with these settings has nothing to convert."""
    *_, changed = _find(corpus, Settings(sample_rate, trim_db, level_db))
    return not changed


def _find(
    corpus: Corpus, settings: Settings
) -> tuple[Path, list[tuple[str, str]], list[Entry | None], bool]:
    """Return the folder, the files, their entries as far as there are any; and if any is to do."""
    folder, files = _folder(corpus, settings), _files(corpus)
    known, changed = _look_up(corpus, files, _read_index(folder))
    return folder, files, known, changed or not _settings_are_written(folder, settings)


def _content(settings: Settings) -> dict:
    return {**asdict(settings), "format": FORMAT}


def _settings_are_written(folder: Path, settings: Settings) -> bool:
    try:
        written = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return written == _content(settings)


def _folder(corpus: Corpus, settings: Settings) -> Path:
    """Return the store's folder: its name carries a hash of the settings and the corpus's path."""
    facts = {**_content(settings), "folder": str(corpus.folder.resolve())}
    hashed = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return stores() / f"{corpus.name}-{hashed[:12]}"


def _files(corpus: Corpus) -> list[tuple[str, str]]:
    """Return path (below the corpus's folder where it is) and state of each recording.

    The path of a part of a file ends in its seconds, `#t=1.5,4`, as a media fragment does.
    """
    top, files = os.path.abspath(corpus.folder) + os.sep, []
    for utterance in corpus:
        path, span = os.path.abspath(utterance.path), utterance.span
        part = f"#t={span[0]},{span[1]}" if span else ""
        files.append((text_of(path.removeprefix(top)) + part, _state(path)))
    return files


def _state(path: str) -> str:
    try:
        facts = os.stat(path)
    except OSError:
        return ""  # missing
    return f"{facts.st_size} {facts.st_mtime_ns}"


def _read_index(folder: Path) -> dict[str, Entry]:
    """Return the last line of each path; a line that a kill cut off is ignored."""
    try:
        lines = (folder / "index.jsonl").read_bytes().split(b"\n")[:-1]
        size = (folder / "audio.int16").stat().st_size // 2
    except FileNotFoundError:
        return {}
    try:
        entries = [Entry(*json.loads(line)) for line in lines]
        return {entry.path: entry for entry in entries if entry.start + entry.length <= size}
    except (ValueError, TypeError) as error:
        raise InputError(f"the store {folder} is damaged ({error}): delete it") from error


def _look_up(
    corpus: Corpus, files: list[tuple[str, str]], index: dict[str, Entry]
) -> tuple[list[Entry | None], bool]:
    """Return the entry of each utterance, None if it has to be converted; and if any has changed.

    A file whose time alone has changed is recognised by its hash; its entry has the new state.
    """
    known, changed = [], False
    for utterance, (path, state) in zip(corpus, files, strict=True):
        entry = index.get(path)
        if entry is not None and entry.state != state:
            same_size = entry.state.partition(" ")[0] == state.partition(" ")[0]
            digest = digest_of(utterance.path, utterance.span) if same_size else ""
            same = bool(digest) and entry.digest.startswith(digest)
            entry, changed = replace(entry, state=state) if same else None, True
        changed = changed or entry is None
        known.append(entry)
    return known, changed


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time write; the lock ends when the process ends."""
    with (folder / "lock").open("w") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(
    corpus: Corpus,
    files: list[tuple[str, str]],
    known: list[Entry | None],
    folder: Path,
    settings: Settings,
    progress: bool,
    workers: int | None,
) -> list[Entry]:
    """Convert and write the missing recordings, and return the entries of all."""
    with replacing(folder / "settings.json") as scratch:
        scratch.write_text(json.dumps(_content(settings)), encoding="utf-8")
    index = _read_index(folder)
    position = max((entry.start + entry.length for entry in index.values()), default=0)
    missing = [number for number, entry in enumerate(known) if entry is None]
    utterances = [corpus.utterances[number] for number in missing]
    entries = {number: entry for number, entry in enumerate(known) if entry is not None}
    with (folder / "audio.int16").open("ab") as sound, (folder / "index.jsonl").open("ab") as lines:
        _drop_incomplete(sound, lines, folder, position)
        _write_lines(lines, [e for e in entries.values() if e != index.get(e.path)])
        group, waiting = [], 0
        conversions = convert_all(utterances, settings, progress, workers)
        for number, converted in zip(missing, conversions, strict=True):
            (path, state), length = files[number], len(converted.samples)
            place = (position, length, converted.offset)
            entry = Entry(path, state, converted.digest, *place, converted.problem)
            entries[number] = entry
            sound.write(converted.samples.tobytes())
            position, waiting = position + length, waiting + length
            if state and converted.digest and not converted.temporary:
                group.append(entry)
            if len(group) == GROUP or waiting >= GROUP_SAMPLES or number == missing[-1]:
                _flush(sound)
                _write_lines(lines, group)
                group, waiting = [], 0
    return [entries[number] for number in range(len(known))]


def _drop_incomplete(sound, lines, folder: Path, position: int) -> None:
    """Cut off an incomplete line, and samples that are in no line, as a kill leaves them."""
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
