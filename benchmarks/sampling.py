"""How fast this machine multiplies and reads, how much of it sampling uses, what rounding costs."""

import os
import subprocess
import sys
import tempfile
import time

import numpy as np

from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError
from vqwn_kit.models.wavenet import WaveNet
from vqwn_kit.presets.preset import load_preset
from vqwn_kit.runs.run import Run
from vqwn_kit.sampling.sampler import Sampler

SECONDS = 2.0  # that a rate is measured for
SIZES = {"original": (1, 3, 8), "mini": (1, 8)}  # presets, and numbers of streams
ROUGH = ("bfloat16", "int8")
PLENTY = 2048  # rows of a square matrix, and mebibytes / 8 of what is copied


def bench_machine() -> dict[str, float]:
    """Measure what limits all else: matrix products and copying, in GFLOP/s and GB/s."""
    import tensorflow as tf

    found = {}
    square = np.random.default_rng(0).random((PLENTY, PLENTY), np.float32)
    for name in ("float32", "bfloat16"):
        matrix = tf.cast(square, name)
        seconds = _least(lambda matrix=matrix: tf.matmul(matrix, matrix).numpy())
        found[f"{name}_gflops"] = 2e-9 * PLENTY**3 / seconds
    source = np.ones(PLENTY * 2**15, np.float32)
    target = np.empty_like(source)
    found["copying_gb_a_second"] = 2e-9 * source.nbytes / _least(lambda: np.copyto(target, source))
    found["reading_gb_a_second"] = 1e-9 * source.nbytes / _least(source.max)
    return found


def _least(call) -> float:
    """Return the fewest seconds that a call took."""
    times, began = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - began < SECONDS / 2:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def bench_sampling() -> dict[str, float]:
    """Measure samples a second, of all streams together, with fresh weights; by size and streams.

    Returns:
        The seconds of compiling at the first use ever; the rates, exact and with rough weights; for
        the most streams the products a second in GFLOP/s, and for one the weights read a second in
        GB/s, which `bench_machine`'s figures limit; and what a sample costs in the 60th second of
        sound, against the second one.
    """
    found = {"first_use_seconds": _first_use()}
    for size, batches in SIZES.items():
        preset = load_preset(size)
        wavenet = WaveNet(**{**preset.decoder["config"], "num_speakers": 1})
        wavenet.build()
        hop = 64
        rates = {(b, "float32"): _rate(wavenet, b, "float32", hop) for b in batches}
        rates |= {(1, precision): _rate(wavenet, 1, precision, hop) for precision in ROUGH}
        for (batch, precision), rate in rates.items():
            rough = "" if precision == "float32" else f"_{precision}"
            found[f"{size}_{batch}{rough}_samples_a_second"] = rate
        work = Sampler(wavenet).engine.work
        found[f"{size}_{batches[-1]}_gflops"] = 2e-9 * work * rates[batches[-1], "float32"]
        net = Sampler(wavenet).engine.net
        read = 4e-9 * (work - net.past.size * (1 - (1 / net.steps).mean()))
        found[f"{size}_1_gb_a_second"] = read * rates[1, "float32"]
    found["mini_cost_at_60_s"] = _flatness(wavenet, hop)
    return found


_MEASURE_FIRST_USE = """
import time
import numpy as np
from vqwn_kit import Sampler, WaveNet
wavenet = WaveNet(1, dilations=[1])
wavenet.build()
times = []
for _ in range(2):
    began = time.perf_counter()
    Sampler(wavenet)(np.zeros((1, 1, wavenet.frames.channels)), 8)
    times.append(time.perf_counter() - began)
print(times[0] - times[1])
"""


def _first_use() -> float:
    """Return the seconds that the first use ever spends on compiling."""
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run(
            [sys.executable, "-c", _MEASURE_FIRST_USE],
            capture_output=True,
            check=True,
            env={**os.environ, "NUMBA_CACHE_DIR": cache},
        )
    return float(done.stdout)


def _rate(wavenet: WaveNet, batch: int, precision: str, hop: int) -> float:
    """Return samples a second of all streams together."""
    told = np.random.default_rng(0).normal(size=(batch, 2000, wavenet.frames.channels))
    sampler = Sampler(wavenet, precision)
    sampler(told[:, :2], hop)
    done, began = 0, time.perf_counter()
    for part in sampler.stream(told, hop):
        done += part.size
        if time.perf_counter() - began > SECONDS:
            break
    return done / (time.perf_counter() - began)


def _flatness(wavenet: WaveNet, hop: int) -> float:
    """Return what a sample costs in the 60th second of sound, against the second."""
    told = np.zeros((1, 60 * 16_000 // hop, wavenet.frames.channels), np.float32)
    costs, start = [], time.perf_counter()
    for part in Sampler(wavenet).stream(told, hop):
        now = time.perf_counter()
        costs.append(((now - start) / part.shape[1], part.shape[1]))
        start = time.perf_counter()
    seconds, counts = zip(*costs, strict=True)
    each = np.repeat(seconds, counts)
    return float(np.median(each[-16_000:]) / np.median(each[16_000:32_000]))


def bench_precision(run: Run, store: Store, utterances: int = 8) -> dict[str, float]:
    """Measure what rough weights cost a trained model on held-out speech, in bits a sample.

    Args:
        run: the run.
        store: the corpus that it was trained on.
        utterances: held-out utterances, at most 5 seconds of each.

    Returns:
        How many bits a sample the others need more than the exact weights, and of how many samples.

    Raises:
        InputError: nothing is held out, or other speakers than the run's.
    """
    model = run.model
    held_out = store.numbers("held_out")
    if not len(held_out):
        raise InputError(f"{store.corpus.folder} holds nothing out: give a corpus that does")
    picked = held_out[np.linspace(0, len(held_out) - 1, utterances).round().astype(int)]
    told, levels = [], []
    length = 5 * store.sample_rate // model.hop_length * model.hop_length
    for number in picked:
        wave = store.waveform(number)[:length]
        wave = wave[: len(wave) // model.hop_length * model.hop_length]
        speaker = model.speaker_ids([store.corpus.utterances[number].speaker])
        told.append(np.array(model.decoder.conditioner(model.vector_quantize(wave).z_q, speaker)))
        levels.append(np.array(model.decoder.levels_of(wave[None, :, None], told[-1])))
    bits = {}
    for precision in ("float32", *ROUGH):
        sampler = Sampler(model.decoder, precision)
        nats = [
            -np.array(
                model.decoder.distribution.log_prob(
                    sampler(frames, model.hop_length, forced=known), known
                )
            )
            for frames, known in zip(told, levels, strict=True)
        ]
        bits[precision] = float(np.concatenate(nats, axis=1).mean() / np.log(2))
    exact = bits.pop("float32")
    costs = {f"{precision}_costs_bits": value - exact for precision, value in bits.items()}
    return {"samples": sum(known.size for known in levels), **costs}
