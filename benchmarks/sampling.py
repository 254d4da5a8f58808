"""Speed of the machine and of sampling; the likelihood that weights in bfloat16 cost."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vqwn_kit.data.choice import choose_utterances
from vqwn_kit.data.corpus import example_corpus, open_corpus
from vqwn_kit.data.store import prepare
from vqwn_kit.errors import InputError
from vqwn_kit.models.wavenet_decoder import WaveNetDecoder
from vqwn_kit.presets.build import build_model
from vqwn_kit.presets.preset import load_preset
from vqwn_kit.runs.run import Run
from vqwn_kit.sampling.compiled import new_memory
from vqwn_kit.sampling.pitch import utterance_pitch
from vqwn_kit.sampling.sampler import Sampler
from vqwn_kit.sampling.weights import network_weights

SECONDS = 2.0  # for which a rate is measured
STREAMS = {"original": (1, 3, 8), "paper": (1, 8)}  # by preset
HOP_LENGTH = 64
ROWS = 2048  # of a square matrix
COPIED = 2**26  # float32 numbers


def bench_machine() -> dict[str, float]:
    """Measure matrix products and copying, which limit all else, in GFLOP/s and GB/s."""
    import tensorflow as tf

    figures = {}
    square = np.random.default_rng(0).random((ROWS, ROWS), np.float32)
    for name in ("float32", "bfloat16"):
        matrix = tf.cast(square, name)
        seconds = _shortest(lambda matrix=matrix: tf.matmul(matrix, matrix).numpy())
        figures[f"{name}_gflops"] = 2e-9 * ROWS**3 / seconds
    source = np.ones(COPIED, np.float32)
    target = np.empty_like(source)
    copying = _shortest(lambda: np.copyto(target, source))
    figures["copying_gb_per_second"] = 2e-9 * source.nbytes / copying
    figures["reading_gb_per_second"] = 1e-9 * source.nbytes / _shortest(source.max)
    return figures


def _shortest(call: Callable[[], object]) -> float:
    """Return the seconds of the fastest of several calls."""
    times, first = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - first < SECONDS / 2:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def bench_sampling() -> dict[str, float]:
    """Measure samples per second of all streams together, with random weights.

    Returns:
        The seconds of compiling at the first use; the rates by preset, number of streams and
        precision; GFLOP/s for the most streams and GB/s of weights read for one stream, which
        `bench_machine`'s figures limit; and the time per sample in the 60th second of sound,
        divided by that in the 2nd.
    """
    figures = {"first_use_seconds": _first_use()}
    for name, streams in STREAMS.items():
        decoder = build_model(load_preset(name), ["speaker"]).decoder
        rates = {count: _rate(decoder, count) for count in streams}
        for count, rate in rates.items():
            figures[f"{name}_{count}_samples_per_second"] = rate
        figures[f"{name}_1_bfloat16_samples_per_second"] = _rate(decoder, 1, "bfloat16")
        products, weights_read = _cost(decoder)
        figures[f"{name}_{streams[-1]}_gflops"] = 2e-9 * products * rates[streams[-1]]
        figures[f"{name}_1_gb_per_second"] = 4e-9 * weights_read * rates[1]
    figures["paper_time_ratio_at_60_s"] = _time_ratio(decoder)
    return figures


_MEASURE_FIRST_USE = """
import time
import numpy as np
import vqwn_kit as vq
from vqwn_kit.sampling.sampler import Sampler
decoder = vq.build_model(vq.load_preset("tiny"), ["speaker"]).decoder
times = []
for _ in range(2):
    start = time.perf_counter()
    Sampler(decoder)(np.zeros((1, 1, decoder.conditioner.channels)), 8)
    times.append(time.perf_counter() - start)
print(times[0] - times[1])
"""


def _first_use() -> float:
    """Return the seconds that the first use spends on compiling."""
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run(
            [sys.executable, "-c", _MEASURE_FIRST_USE],
            capture_output=True,
            check=True,
            env={**os.environ, "NUMBA_CACHE_DIR": cache},
        )
    return float(done.stdout)


def _cost(decoder: WaveNetDecoder) -> tuple[int, float]:
    """Return the products per sample, and the weights read per sample of a single stream.

    The past taps of a block are read once for as many coming samples as `new_memory` says.
    """
    weights = network_weights(decoder)
    kernels = [weights.first_skip_kernel, weights.conv_kernel, weights.out_kernel]
    kernels += [weights.post_kernel, weights.final_kernel]
    products = sum(kernel.size for kernel in kernels)
    steps = new_memory(weights, 1).steps
    saved = weights.conv_kernel[:, :-1].size * (1 - (1 / steps).mean())
    return products, products - saved


def _rate(decoder: WaveNetDecoder, batch: int, precision: str = "float32") -> float:
    """Return samples per second of all streams together."""
    conditioning = np.random.default_rng(0).normal(size=(batch, 2000, decoder.conditioner.channels))
    sampler = Sampler(decoder, precision)
    sampler(conditioning[:, :2], HOP_LENGTH)
    done, start = 0, time.perf_counter()
    for part in sampler.stream(conditioning, HOP_LENGTH):
        done += part.size
        if time.perf_counter() - start > SECONDS:
            break
    return done / (time.perf_counter() - start)


def _time_ratio(decoder: WaveNetDecoder) -> float:
    """Return the time per sample in the 60th second of sound, divided by that in the 2nd."""
    frames = 60 * 16_000 // HOP_LENGTH
    conditioning = np.zeros((1, frames, decoder.conditioner.channels), np.float32)
    times, start = [], time.perf_counter()  # one per sample
    for part in Sampler(decoder).stream(conditioning, HOP_LENGTH):
        times += [(time.perf_counter() - start) / part.shape[1]] * part.shape[1]
        start = time.perf_counter()
    return float(np.median(times[-16_000:]) / np.median(times[16_000:32_000]))


def bench_precision(
    run: str | Path, folder: str | Path | None = None, utterances: int = 8
) -> dict[str, float]:
    """Measure what weights in bfloat16 cost a trained model on held-out speech.

    Args:
        run: the run.
        folder: the corpus that it was trained on; the bundled one by default.
        utterances: held-out utterances, at most 5 seconds of each.

    Returns:
        The bits per sample above those of float32, and the number of samples.

    Raises:
        InputError: nothing is held out, or the corpus has other speakers than the run.
    """
    model = Run(run).model
    store = prepare(open_corpus(folder) if folder else example_corpus())
    held_out = store.numbers("held_out")
    if not len(held_out):
        raise InputError(f"{store.corpus.folder} holds nothing out: give a corpus that does")
    picked = choose_utterances(store.corpus, held_out, utterances)
    given, levels, decoder = [], [], model.decoder
    for number in picked:
        waveform = store.waveform(number)[: 5 * store.sample_rate]
        waveform = waveform[: len(waveform) // model.hop_length * model.hop_length]
        speaker = model.speaker_ids([store.corpus.utterances[number].speaker])
        z_q = model.vector_quantize(waveform).z_q
        pitch = utterance_pitch(model, store, int(number), z_q.shape[1])
        frames = np.array(model.condition(z_q, speaker, pitch))
        given.append((frames, decoder.filters(frames)))
        levels.append(np.array(decoder.levels_of(waveform[None, :, None], frames)))
    bits = {}
    for precision in ("float32", "bfloat16"):
        sampler = Sampler(decoder, precision)
        log_probs = [
            decoder.distribution.log_prob(
                sampler(frames, model.hop_length, forced=known, filters=filters), known
            )
            for (frames, filters), known in zip(given, levels, strict=True)
        ]
        bits[precision] = -float(np.concatenate(log_probs, axis=1).mean() / np.log(2))
    samples = sum(known.size for known in levels)
    return {"samples": samples, "bfloat16_bits_per_sample": bits["bfloat16"] - bits["float32"]}
