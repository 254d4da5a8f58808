"""The memory that converting a recording takes, by its length.

A recording of one minute and one of five, of 48 kHz in stereo, made of the bundled sentences, are
converted as `vqwn generate` does; what the second takes more is what a longer one takes more.
Without a run, the model is the preset `reference` with a small WaveNet, which is fast: what is kept
of a recording does not depend on it.
"""

import tempfile
import time
import tracemalloc
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
import soundfile

import vqwn_kit as vq
from vqwn_kit.data.audio import SAMPLE_RATE, resample
from vqwn_kit.data.long_audio import survey
from vqwn_kit.files import unused
from vqwn_kit.sampling.files import convert_files
from vqwn_kit.workbench.cost import process_memory, restart_peak

RATE = 48_000  # Hz, of the recordings
MEBIBYTE = 2**20


SMALL = {"num_cycles": 1, "num_cycle_layers": 3, "residual_channels": 8, "gate_channels": 8}


def bench_long(run: str | Path | None = None, minutes: Sequence[float] = (1.0, 5.0)) -> dict:
    """Measure the memory and the time that conversions of recordings of some lengths take.

    Args:
        run: a trained run, instead of the small model.
        minutes: lengths of the recordings; a shorter one before them warms up.

    Returns:
        For each length the peaks of the resident memory, above what is in use before it (Linux),
        and of what Python and NumPy allocate, in MiB, and the seconds; and the growth of both
        peaks from the first to the last, in MiB per hour of sound.
    """
    small = vq.load_preset("reference").change(decoder={"network": SMALL | {"skip_channels": 8}})
    model = vq.load_run(run).model if run else vq.build_model(small, ["joe"])
    figures, peaks = {}, []
    speakers = model.speaker_names[:1]
    with tempfile.TemporaryDirectory() as scratch:
        for length in (0.5, *minutes):
            recording = survey(_record(Path(scratch) / "recording.wav", length))
            file = unused(Path(scratch) / "made.wav")
            before = restart_peak()
            tracemalloc.start()
            start = time.perf_counter()
            convert_files(model, [recording], speakers, [[file]], rate="input", level="input")
            seconds = time.perf_counter() - start
            resident = float("nan") if before is None else process_memory("VmHWM") - before
            peaks.append((resident / MEBIBYTE, tracemalloc.get_traced_memory()[1] / MEBIBYTE))
            tracemalloc.stop()
            if length in minutes:
                names = ("resident_mib", "allocated_mib", "seconds")
                values = (*peaks[-1], seconds)
                figures |= {
                    f"{name}_{length:g}_min": value
                    for name, value in zip(names, values, strict=True)
                }
    hours = (minutes[-1] - minutes[0]) / 60
    for place, name in enumerate(("resident", "allocated")):
        growth = (peaks[-1][place] - peaks[1][place]) / hours
        figures[f"{name}_growth_mib_per_hour"] = growth
    return figures


def _record(path: Path, minutes: float) -> Path:
    """Write a recording of some minutes, of the bundled sentences one after the other."""
    wanted = round(60 * minutes * RATE)
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16") as file:
        for utterance in cycle(vq.example_corpus()):
            wave = resample(utterance.load(), SAMPLE_RATE, RATE)[: wanted - file.tell()]
            file.write(np.stack([wave, wave], axis=1))
            if file.tell() == wanted:
                return path
