"""The list of benchmarks, and their figures beside the machine's limits."""

import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from vqwn_kit.errors import InputError, one_of

BENCHMARKS = ("machine", "training", "sampling", "data", "encode", "import", "precision")


def run_benchmarks(
    names: Iterable[str] = (), folder: str | Path | None = None, run: str | Path | None = None
) -> dict[str, dict[str, float]]:
    """Run benchmarks, all of them where none is named; return their figures by name.

    Args:
        names: of `BENCHMARKS`; `precision` needs a run.
        folder: a corpus to measure on; the bundled one by default.
        run: a trained run, for `precision`, and for `encode` instead of `results/mini`.

    Raises:
        InputError: an unknown benchmark, or no run for `precision`.
    """
    names = list(names)
    for name in names:
        if name not in BENCHMARKS:
            raise one_of("benchmark", name, BENCHMARKS)
    if "precision" in names and run is None:
        raise InputError("the benchmark precision needs a trained run: give one with --run")
    names = names or [name for name in BENCHMARKS if run is not None or name != "precision"]
    return {name: _measure(name, folder, run) for name in names}


def _measure(name: str, folder: str | Path | None, run: str | Path | None) -> dict[str, float]:
    """Run one benchmark; only the ones that need TensorFlow import it."""
    if name == "import":
        return bench_import()
    if name == "training":
        from benchmarks.training import bench_training

        return bench_training()
    if name == "data":
        from benchmarks.data import bench_data

        return bench_data(folder)
    if name == "encode":
        from benchmarks.encode import bench_encode

        return bench_encode(run, folder)
    from benchmarks import sampling

    if name == "precision":
        return sampling.bench_precision(run, folder)
    return sampling.bench_machine() if name == "machine" else sampling.bench_sampling()


def shares(figures: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return figures as fractions of the machine's limit, by "benchmark name", where one applies.

    Products in bfloat16 have a limit of their own.
    """
    limits = figures.get("machine", {})
    fractions = {}
    for benchmark, values in figures.items():
        for name, value in values.items():
            bfloat16 = benchmark == "training" and name == "original_gflops"
            limit = "bfloat16_gflops" if bfloat16 else "float32_gflops"
            limit = "reading_gb_per_second" if name.endswith("gb_per_second") else limit
            limited = name.endswith(("gflops", "gb_per_second")) and benchmark != "machine"
            if limited and limit in limits:
                fractions[f"{benchmark} {name}"] = value / limits[limit]
    return fractions


def bench_import() -> dict[str, float]:
    """Measure the seconds until the package, the command line and the models are imported."""
    commands = {
        "import_seconds": ["-c", "import vqwn_kit"],
        "help_seconds": ["-m", "vqwn_kit", "--help"],
        "model_seconds": ["-c", "import vqwn_kit; vqwn_kit.VQVAE"],
    }
    seconds = {}
    for name, arguments in commands.items():
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
        seconds[name] = time.perf_counter() - start
    return seconds
