"""A corpus as one int16 memory map and an index, made once: random crops without any decoding.

`audio.int16` holds all utterances end to end at one sample rate; `index.json` says where each
begins. The folder's name carries a hash of the settings and of each file's path, size and time of
change, so that a changed corpus makes a new store.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from vqwn_kit import audio
from vqwn_kit.corpus import Corpus, Utterance
from vqwn_kit.errors import InputError
from vqwn_kit.files import replacing, stores

CHUNK = 64  # recordings that are decoded before the first of them is written
SILENCE = 10 ** (-60 / 20)  # an utterance whose loudest sample is under -60 dBFS is silent


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
    """

    def __init__(self, corpus: Corpus, folder: Path, in_memory: bool = False):
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        self.folder = folder
        self.sample_rate = index["sample_rate"]
        self.skipped = dict(index["skipped"])
        kept = tuple(u for u in corpus.utterances if u.key not in self.skipped)
        self.corpus = Corpus(**{**_fields(corpus), "utterances": kept})
        rows = [index["utterances"][utterance.key] for utterance in kept]
        self.starts, self.lengths, self.offsets = np.array(rows, np.int64).reshape(-1, 3).T
        numbers = {name: number for number, name in enumerate(corpus.speakers)}
        self.speaker_ids = np.array([numbers[u.speaker] for u in kept], np.int32)
        self.samples = np.memmap(folder / "audio.int16", np.int16, "r")
        if in_memory:
            self.samples = np.array(self.samples)

    def __len__(self) -> int:
        """Return the number of utterances."""
        return len(self.starts)

    def waveform(self, number: int) -> np.ndarray:
        """Return utterance `number` as float32 (T,) in [-1, 1]."""
        start = self.starts[number]
        return to_float(self.samples[start : start + self.lengths[number]])

    def numbers(self, split: str) -> np.ndarray:
        """Return the numbers of the utterances of a split, `train` or `held_out`."""
        members = [number for number, u in enumerate(self.corpus) if u.split == split]
        return np.array(members, np.int64)

    def seconds(self, split: str) -> float:
        """Return how many seconds of sound a split holds."""
        return float(self.lengths[self.numbers(split)].sum() / self.sample_rate)


def to_float(samples: np.ndarray) -> np.ndarray:
    """Turn int16 into float32 in [-1, 1)."""
    return samples.astype(np.float32) / 32768.0


def _fields(corpus: Corpus) -> dict:
    names = ("name", "folder", "layout", "reason", "utterances", "speakers")
    return {name: getattr(corpus, name) for name in names}


def prepare(
    corpus: Corpus,
    sample_rate: int = audio.SAMPLE_RATE,
    trim_db: float | None = 40.0,
    in_memory: bool = False,
    progress: bool = True,
) -> Store:
    """Return the store of a corpus, making it where it isn't made yet.

    Args:
        corpus: see `open_corpus`.
        sample_rate: rate of the store in Hz.
        trim_db: see `trim_silence`; None keeps the silence at both ends.
        in_memory: hold the samples in memory instead of mapping the file.
        progress: show a progress bar.

    Raises:
        InputError: no recording of the corpus can be used; the message names the reasons.
        OSError: the disk is full or can't be written; no half store is left behind.
    """
    settings = {"sample_rate": sample_rate, "trim_db": trim_db, "format": 1}
    folder = stores() / f"{corpus.name}-{_fingerprint(corpus, settings)}"
    if not (folder / "index.json").is_file():
        scratch = folder.with_name(f".making-{os.getpid()}-{folder.name}")
        scratch.mkdir(parents=True)
        try:
            _write(corpus, scratch, settings, progress)
            _move(scratch, folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return Store(corpus, folder, in_memory)


def _move(scratch: Path, folder: Path) -> None:
    """Rename the finished store; where another process was first, its store is as good."""
    try:
        scratch.rename(folder)
    except OSError:
        if not (folder / "index.json").is_file():
            raise


def _fingerprint(corpus: Corpus, settings: dict) -> str:
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(str(corpus.folder.resolve()).encode())
    for utterance in corpus:
        there = utterance.path.is_file()
        facts = utterance.path.stat() if there else None
        state = f"{facts.st_size} {facts.st_mtime_ns}" if there else "missing"
        digest.update(f"{utterance.key}\0{os.path.abspath(utterance.path)}\0{state}\n".encode())
    return digest.hexdigest()[:12]


def _write(corpus: Corpus, folder: Path, settings: dict, progress: bool) -> None:
    index, skipped, position = {}, {}, 0
    with (folder / "audio.int16").open("wb") as file:
        for utterance, (samples, offset, problem) in _converted(corpus, settings, progress):
            if problem:
                skipped[utterance.key] = problem
                continue
            index[utterance.key] = [position, len(samples), offset]
            position += len(samples)
            file.write(samples.tobytes())
        file.flush()
        os.fsync(file.fileno())
    if not index:
        reasons = "; ".join(f"{key}: {reason}" for key, reason in list(skipped.items())[:5])
        raise InputError(f"no recording in {corpus.folder} can be used. {reasons}")
    content = {**settings, "utterances": index, "skipped": skipped}
    with replacing(folder / "index.json") as scratch:
        scratch.write_text(json.dumps(content), encoding="utf-8")


def _converted(
    corpus: Corpus, settings: dict, progress: bool
) -> Iterator[tuple[Utterance, tuple[np.ndarray, int, str]]]:
    from tqdm.auto import tqdm

    def convert(utterance: Utterance) -> tuple[np.ndarray, int, str]:
        return _convert(utterance, settings["sample_rate"], settings["trim_db"])

    bar = tqdm(total=len(corpus), desc="prepare", unit="file", disable=not progress)
    with ThreadPoolExecutor(os.cpu_count()) as pool, bar:
        for first in range(0, len(corpus), CHUNK):
            chunk = corpus.utterances[first : first + CHUNK]
            for utterance, converted in zip(chunk, pool.map(convert, chunk), strict=True):
                yield utterance, converted
                bar.update()


def _convert(
    utterance: Utterance, sample_rate: int, trim_db: float | None
) -> tuple[np.ndarray, int, str]:
    """Return int16 samples, the trimmed samples at the front, and what is wrong, or ""."""
    offset = 0
    try:
        waveform = utterance.load(sample_rate)
    except InputError as error:
        return np.zeros(0, np.int16), 0, str(error)
    if np.abs(waveform).max() < SILENCE:
        return np.zeros(0, np.int16), 0, f"{utterance.path} is silent (peak under -60 dBFS)"
    if trim_db is not None:
        waveform, offset = audio.trim_silence(waveform, trim_db)
    samples = np.clip(np.round(waveform * 32768.0), -32768, 32767).astype(np.int16)
    return samples, offset, ""
