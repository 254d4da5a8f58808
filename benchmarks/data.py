"""Speed of the data: preparing a corpus, drawing crops, opening a corpus as large as VCTK."""

import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.memory import PEAK
from vqwn_kit.data import audio
from vqwn_kit.data.corpus import example_corpus, open_corpus
from vqwn_kit.data.segments import Segments
from vqwn_kit.data.store import Store, prepare

LENGTH = 5120  # samples per crop
BATCH_SIZE = 4
SECONDS = 2.0  # for which a rate is measured


def bench_data(folder: str | Path | None = None, utterances: int = 44_000) -> dict[str, float]:
    """Measure preparing a corpus, drawing crops, and opening a corpus as large as VCTK.

    Args:
        folder: a corpus to measure on; the bundled one by default.
        utterances: size of the simulated VCTK.

    Returns:
        `prepare_minutes_per_second` with 1 thread and with one thread per core; `crops_per_second`
        from the store, and `decoding_crops_per_second` where every crop decodes and resamples its
        whole file; for the simulated corpus, the seconds until the first batch is there and the
        mebibytes that this adds to the imports.
    """
    corpus = open_corpus(folder) if folder else example_corpus()
    corpus.utterances[0].load()
    cores = os.cpu_count() or 1
    figures = {"recordings": len(corpus), "cores": cores}
    with _scratch_stores() as scratch:
        _warm_up()
        for workers in sorted({1, cores}):
            os.environ["VQWN_STORES"] = str(scratch / f"stores-{workers}")
            start = time.perf_counter()
            store = prepare(corpus, progress=False, workers=workers)
            seconds = time.perf_counter() - start
            minutes = store.lengths.sum() / store.sample_rate / 60
            figures[f"prepare_minutes_per_second_{workers}"] = minutes / seconds
        figures |= _bench_crops(store)
        figures |= _bench_large(scratch, utterances)
    return figures


def _warm_up() -> None:
    """Import what preparing the first recording imports."""
    audio.trim_silence(np.ones(4096, np.float32))


def _bench_crops(store: Store) -> dict[str, float]:
    segments = Segments(store, LENGTH, BATCH_SIZE)
    numbers = iter(range(10**9))
    rate = _rate(lambda: segments.batch(next(numbers)))
    rng = np.random.default_rng(0)
    paths = [utterance.path for utterance in store.corpus]

    def decode() -> np.ndarray:
        wave = audio.load_audio(paths[rng.integers(len(paths))])
        first = rng.integers(0, max(1, len(wave) - LENGTH))
        return wave[first : first + LENGTH]

    decode()
    decoding = _rate(decode)
    return {
        "crops_per_second": BATCH_SIZE * rate,
        "decoding_crops_per_second": decoding,
        "crops_ratio": BATCH_SIZE * rate / decoding,
    }


def _rate(call: Callable[[], object]) -> float:
    """Return calls per second."""
    count, start = 0, time.perf_counter()
    while (seconds := time.perf_counter() - start) < SECONDS:
        call()
        count += 1
    return count / seconds


_MEASURE_OPENING = (
    PEAK
    + """
import vqwn_kit as vq

vq.open_corpus, vq.prepare, vq.Segments
from tqdm.auto import tqdm
before = peak()
times = [time.perf_counter()]
corpus = vq.open_corpus(sys.argv[1]); times.append(time.perf_counter())
store = vq.prepare(corpus, progress=False); times.append(time.perf_counter())
segments = vq.Segments(store, 5120, 4); segments.batch(0); times.append(time.perf_counter())
grown = peak() - before
steps = [end - start for start, end in zip(times, times[1:])]
print(json.dumps([*steps, times[-1] - times[0], grown]))
"""
)


def _bench_large(scratch: Path, utterances: int) -> dict[str, float]:
    """Measure a simulated VCTK in a fresh process: without a store, then with the store there."""
    folder = scratch / "VCTK-Corpus"
    _simulate_vctk(folder, utterances)
    figures = {"simulated_utterances": utterances}
    for name in ("preparing", "opening"):
        done = subprocess.run(
            [sys.executable, "-c", _MEASURE_OPENING, str(folder)],
            capture_output=True,
            text=True,
            check=True,
        )
        open_seconds, store_seconds, batch_seconds, total, mebibytes = json.loads(done.stdout)
        figures[f"{name}_seconds"] = total
        figures[f"{name}_mebibytes"] = mebibytes
    figures |= {
        "opening_corpus_seconds": open_seconds,
        "opening_store_seconds": store_seconds,
        "opening_first_batch_seconds": batch_seconds,
    }
    return figures


def _simulate_vctk(folder: Path, utterances: int, speakers: int = 109) -> None:
    """Write a corpus in the layout of VCTK 0.80 with recordings of 0.1 s at 16 kHz."""
    noise = np.random.default_rng(0).integers(-8000, 8000, 1600, np.int16).tobytes()
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", 36 + len(noise), b"WAVE"),
        *(b"fmt ", 16, 1, 1, 16_000, 32_000, 2, 16),
        *(b"data", len(noise)),
    )
    names = [f"p{225 + number}" for number in range(speakers)]
    for name in names:
        (folder / "wav48" / name).mkdir(parents=True)
        (folder / "txt" / name).mkdir(parents=True)
    for number in range(utterances):
        name, place = names[number % speakers], number // speakers
        stem = f"{name}_{place:03d}"
        (folder / "wav48" / name / f"{stem}.wav").write_bytes(head + noise)
        text = f"This is sentence {place} as {'all' if place < 24 else name} will read it.\n"
        (folder / "txt" / name / f"{stem}.txt").write_text(text, encoding="utf-8")


@contextmanager
def _scratch_stores() -> Iterator[Path]:
    """Yield a scratch folder; VQWN_STORES points into it until the end."""
    before = os.environ.get("VQWN_STORES")
    with tempfile.TemporaryDirectory(prefix="vqwn-bench-") as scratch:
        try:
            os.environ["VQWN_STORES"] = str(Path(scratch) / "stores")
            yield Path(scratch)
        finally:
            os.environ.pop("VQWN_STORES")
            if before is not None:
                os.environ["VQWN_STORES"] = before
