"""Benchmarks: what the workbench does in a second on this machine, as figures by name.

A benchmark is a function in `BENCHES` that returns a dict of numbers; `vqwn bench` prints them.
"""

import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from vqwn_kit.data import audio
from vqwn_kit.data.corpus import example_corpus, open_corpus
from vqwn_kit.data.segments import Segments
from vqwn_kit.data.store import prepare
from vqwn_kit.errors import InputError, one_of

LENGTH = 5120  # samples a crop
BATCH_SIZE = 4
SECONDS = 2.0  # that a rate is measured for


def run_benches(
    names: Iterable[str] = (), folder: str | Path | None = None, run: str | Path | None = None
) -> dict[str, dict]:
    """Run benchmarks, all of them where none is named; return their figures by name.

    Args:
        names: keys of `BENCHES`, or "precision", which needs a run.
        folder: a corpus to measure on; the bundled one by default.
        run: a trained run, to tell what sampling with rough weights costs it.

    Raises:
        InputError: no such benchmark, or no run for "precision".
    """
    names = list(names)
    for name in names:
        if name not in (*BENCHES, "precision"):
            raise one_of("benchmark", name, (*BENCHES, "precision"))
    if "precision" in names and run is None:
        raise InputError("the benchmark precision needs a trained run: give one (--run)")
    benches = dict(BENCHES)
    if run is not None:
        benches["precision"] = lambda folder: _precision(run, folder)
    return {name: benches[name](folder) for name in names or benches}


def shares(found: dict[str, dict]) -> dict[str, float]:
    """Return how much of the machine's limit a figure is, by "bench name", where one limits it.

    Products of bfloat16 have a limit of their own.
    """
    limits = found.get("machine", {})
    told = {}
    for bench, figures in found.items():
        for name, value in figures.items():
            rough = bench == "training" and name == "original_gflops"
            key = "bfloat16_gflops" if rough else "float32_gflops"
            key = "reading_gb_a_second" if name.endswith("gb_a_second") else key
            if name.endswith(("gflops", "gb_a_second")) and bench != "machine" and key in limits:
                told[f"{bench} {name}"] = value / limits[key]
    return told


def bench_import(folder: str | Path | None = None) -> dict[str, float]:
    """Measure the seconds until the package is imported, the command answers, a model can be built.

    Args:
        folder: not used.
    """
    wanted = {
        "import_seconds": ["-c", "import vqwn_kit"],
        "help_seconds": ["-m", "vqwn_kit", "--help"],
        "model_seconds": ["-c", "import vqwn_kit; vqwn_kit.VQVAE"],
    }
    found = {}
    for name, arguments in wanted.items():
        began = time.perf_counter()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
        found[name] = time.perf_counter() - began
    return found


def bench_data(folder: str | Path | None = None, utterances: int = 44_000) -> dict[str, float]:
    """Measure the data's way: preparing, drawing crops, and opening a corpus as large as VCTK.

    Args:
        folder: a corpus to measure on; the bundled one by default.
        utterances: size of the simulated VCTK.

    Returns:
        `prepare_minutes_a_second` with 1 thread and with as many as there are cores;
        `crops_a_second` from the store, and
        `decoding_crops_a_second` where every crop decodes and resamples its whole file; and for the
        simulated corpus seconds and mebibytes beyond the imports until the first batch is there.
    """
    corpus = open_corpus(folder) if folder else example_corpus()
    corpus.utterances[0].load()
    cores = os.cpu_count() or 1
    found = {"recordings": len(corpus), "cores": cores}
    with _scratch_stores() as scratch:
        _warm_up()
        for workers in sorted({1, cores}):
            os.environ["VQWN_STORES"] = str(scratch / f"stores-{workers}")
            began = time.perf_counter()
            store = prepare(corpus, progress=False, workers=workers)
            seconds = time.perf_counter() - began
            minutes = store.lengths.sum() / store.sample_rate / 60
            found[f"prepare_minutes_a_second_{workers}"] = minutes / seconds
        found |= _bench_crops(store)
        found |= _bench_large(scratch, utterances)
    return found


def _warm_up() -> None:
    """Import what preparing imports at its first recording."""
    audio.trim_silence(np.ones(4096, np.float32))


def _bench_crops(store) -> dict[str, float]:
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
        "crops_a_second": BATCH_SIZE * rate,
        "decoding_crops_a_second": decoding,
        "crops_ratio": BATCH_SIZE * rate / decoding,
    }


def _rate(call: Callable[[], object]) -> float:
    """Return how often a second a function can be called."""
    count, began = 0, time.perf_counter()
    while (seconds := time.perf_counter() - began) < SECONDS:
        call()
        count += 1
    return count / seconds


_MEASURE_OPENING = """
import json, pathlib, resource, sys, time
import vqwn_kit as vq

def peak():  # in mebibytes; getrusage counts on Linux what the parent process had, too
    status = pathlib.Path("/proc/self/status")
    if status.is_file():
        lines = dict(line.split(":") for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2

vq.open_corpus, vq.prepare, vq.Segments
from tqdm.auto import tqdm
before = peak()
times = [time.perf_counter()]
corpus = vq.open_corpus(sys.argv[1]); times.append(time.perf_counter())
store = vq.prepare(corpus, progress=False); times.append(time.perf_counter())
segments = vq.Segments(store, 5120, 4); segments.batch(0); times.append(time.perf_counter())
grown = peak() - before
steps = [later - one for one, later in zip(times, times[1:])]
print(json.dumps([*steps, times[-1] - times[0], grown]))
"""


def _bench_large(scratch: Path, utterances: int) -> dict[str, float]:
    """Measure a simulated VCTK in a process of its own; the second opening finds the store."""
    folder = scratch / "VCTK-Corpus"
    _simulate_vctk(folder, utterances)
    found = {"simulated_utterances": utterances}
    for name in ("preparing", "opening"):
        done = subprocess.run(
            [sys.executable, "-c", _MEASURE_OPENING, str(folder)],
            capture_output=True,
            text=True,
            check=True,
        )
        open_seconds, store_seconds, batch_seconds, total, mebibytes = json.loads(done.stdout)
        found[f"{name}_seconds"] = total
        found[f"{name}_mebibytes"] = mebibytes
    found |= {
        "opening_corpus_seconds": open_seconds,
        "opening_store_seconds": store_seconds,
        "opening_first_batch_seconds": batch_seconds,
    }
    return found


def _simulate_vctk(folder: Path, utterances: int, speakers: int = 109) -> None:
    """Write a corpus in the layout of VCTK 0.80 with recordings of 0.1 s at 16 kHz."""
    noise = np.random.default_rng(0).integers(-8000, 8000, 1600, np.int16).tobytes()
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(noise), b"WAVE", b"fmt ", 16, 1, 1, 16_000, 32_000,
        2, 16, b"data", len(noise),
    )  # fmt: skip
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
def _scratch_stores():
    """Yield a scratch folder; the user's stores are left alone and found again afterwards."""
    before = os.environ.get("VQWN_STORES")
    with tempfile.TemporaryDirectory(prefix="vqwn-bench-") as scratch:
        try:
            os.environ["VQWN_STORES"] = str(Path(scratch) / "stores")
            yield Path(scratch)
        finally:
            os.environ.pop("VQWN_STORES")
            if before is not None:
                os.environ["VQWN_STORES"] = before


def _precision(run: str | Path, folder: str | Path | None) -> dict[str, float]:
    from benchmarks.sampling import bench_precision
    from vqwn_kit.runs.run import Run

    corpus = open_corpus(folder) if folder else example_corpus()
    return bench_precision(Run(run), prepare(corpus))


def _machine(folder: str | Path | None) -> dict[str, float]:
    from benchmarks.sampling import bench_machine

    return bench_machine()


def _sampling(folder: str | Path | None) -> dict[str, float]:
    from benchmarks.sampling import bench_sampling

    return bench_sampling()


def _training(folder: str | Path | None) -> dict[str, float]:
    from benchmarks.training import bench_training

    return bench_training(folder)


BENCHES = {
    "machine": _machine,
    "training": _training,
    "sampling": _sampling,
    "data": bench_data,
    "import": bench_import,
}
