"""The autoregressive sampler: conditions of frames -> mu-law levels, one sample after another.

The past of each block is kept in a ring buffer, so that a sample costs one step through the
network instead of a pass over the receptive field
([Paine 2016](https://arxiv.org/abs/1611.09482)). The step itself is compiled code in `kernels`,
or where there is no compiler NumPy in `plain_sampler`.
"""

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.models.layers import interpolation_weights

MODES = ("sample", "greedy")
PRECISIONS = ("float32", "bfloat16", "int8", "float64")
NOTHING = -1  # stands in the past before the first level
BLOCK_SECONDS = 0.2  # between two looks at the progress bar and the stop button
MOST_THREADS = 4
EVERYBODY_IS_THERE = 2**62  # a mark that ends all waiting for a thread that couldn't be started
WORTH_A_TEAM = 1_500_000  # products a sample, below which threads wait more than they work


class Sampler:
    """Draws mu-law levels from a `WaveNet`.

    Every number is computed in the same order whatever the batch and the threads, so a stream
    sounds the same alone, in company, on one core and on many.

    Args:
        wavenet: a built decoder; its weights are copied.
        precision: of the blocks' weights, which are most of what a step reads. "float32" is exact
            to rounding. "bfloat16" and "int8" (a scale for each column) read a half and a
            quarter of it; `vqwn bench` prints what they cost in bits a sample. All sums are
            float32. "float64" computes everything in it, for comparisons.
        compiled: step in compiled code; False is NumPy, some ten times slower.

    Raises:
        InputError: an unknown precision.

    Example:
        levels = Sampler(model.decoder)(frames, hop_length=64, temperature=0.9)    # (B, T) int32
    """

    def __init__(self, decoder, precision: str = "float32", compiled: bool = True):
        if precision not in PRECISIONS:
            raise one_of("precision", precision, PRECISIONS)
        self.interpolate = decoder.network.interpolate
        self.levels = (
            0 if hasattr(decoder.distribution, "num_components") else decoder.codec.num_levels
        )
        self.outputs = decoder.distribution.num_outputs
        self.engine = _engine(compiled)(decoder, precision)
        self.dtype = np.dtype("float64" if precision == "float64" else "float32")

    def stream(
        self,
        frames: np.ndarray,
        hop_length: int,
        mode: str = "sample",
        temperature: float = 1.0,
        top_k: int | None = None,
        seed: int = 0,
        forced: np.ndarray | None = None,
        threads: int | None = None,
    ) -> Iterator[np.ndarray]:
        """Yield levels, int32 (B, t), block after block of about 0.2 seconds of work.

        What is kept between blocks doesn't grow with their number.

        Args:
            frames: what conditions each frame, (B, N, C), as `WaveNet.frames` gives.
            hop_length: samples a frame.
            mode: `sample` draws from the distribution, `greedy` takes the likeliest level.
            temperature: divides the logits before the softmax; below 1 is less noisy. Of a mixture
                it divides the components' logits and multiplies their scales.
            top_k: draw from the likeliest so many levels only; None draws from all.
            seed: draws the random numbers, for each stream its own.
            forced: levels (B, T) to feed back instead of those drawn; the network's outputs are
                yielded then.
            threads: that share the work; by default one a core, at most 4.

        Yields:
            The levels, or with `forced` what `WaveNet` gives for them, (B, t, levels) or
            (B, t, 3 mixtures).

        Raises:
            InputError: an unknown mode, a temperature that isn't above 0, or a `top_k` outside
                1..levels or for a mixture.
        """
        if mode not in MODES:
            raise one_of("mode", mode, MODES)
        if not temperature > 0:
            raise InputError(f"temperature is {temperature}; expected a number above 0")
        if top_k is not None and not self.levels:
            raise InputError("top_k needs a softmax over levels; this decoder gives a mixture")
        if top_k is not None and not 1 <= top_k <= self.levels:
            raise InputError(f"top_k={top_k}: expected 1..{self.levels}, or None for all levels")
        if threads is not None and threads < 1:
            raise InputError(f"threads={threads}: expected 1 or more, or None for one a core")
        return self._blocks(frames, hop_length, mode, temperature, top_k, seed, forced, threads)

    def _blocks(self, frames, hop_length, mode, temperature, top_k, seed, forced, threads):
        batch, num_frames, _ = frames.shape
        around = np.pad(frames, ((0, 0), (1, 1), (0, 0)), mode="edge").astype(self.dtype)
        lines = np.zeros((0, 3), self.dtype)
        if self.interpolate:
            lines = np.array(interpolation_weights(hop_length), self.dtype)
        draws = [np.random.default_rng([seed, stream]) for stream in range(batch)]
        memory = self.engine.memory(batch)
        start, count = 0, 1
        if threads is None and self.engine.work * batch < WORTH_A_TEAM:
            threads = 1
        with _Team(threads) as team:
            while start < num_frames:
                began = time.perf_counter()
                part = np.ascontiguousarray(around[:, start : start + count + 2])
                length = (part.shape[1] - 2) * hop_length
                clock = start * hop_length
                uniform = np.stack([rng.random(length) for rng in draws])
                known = np.zeros((batch, 0), np.int32)
                if forced is not None:
                    known = np.ascontiguousarray(forced[:, clock : clock + length], np.int32)
                levels = np.zeros((batch, length), np.int32)
                shape = (batch, known.shape[1], self.outputs)
                outputs = np.zeros(shape, self.dtype)
                self.engine.run(
                    team, memory, part, lines, hop_length, clock, uniform, known, mode == "greedy",
                    temperature, top_k or 0, levels, outputs,
                )  # fmt: skip
                start += count
                seconds = time.perf_counter() - began
                count = max(1, min(2 * count, int(count * BLOCK_SECONDS / seconds)))
                yield levels if forced is None else outputs

    def __call__(self, frames: np.ndarray, hop_length: int, *args, **settings) -> np.ndarray:
        """Return as one array all that `stream` yields for the same arguments."""
        return np.concatenate(list(self.stream(frames, hop_length, *args, **settings)), axis=1)


class CompiledEngine:
    """Steps through blocks of samples in compiled code, by a team of threads.

    Args:
        wavenet: a built decoder.
        precision: see `Sampler`.
    """

    def __init__(self, decoder, precision: str):
        from vqwn_kit.sampling.compiled import kernels
        from vqwn_kit.sampling.compiled.weights import pack

        self.kernels = kernels
        self.dtype = np.dtype("float64" if precision == "float64" else "float32")
        self.net = pack(decoder, precision)
        matrices = ("past", "conv", "out", "first_skip", "post", "final")
        self.work = sum(getattr(self.net, name).size for name in matrices)

    def memory(self, batch: int):
        """Return the past before the first sample of `batch` streams."""
        net = self.net
        gates, blocks = 2 * net.gates, len(net.dilations)
        sizes = {
            "rings": int((net.taps - 1) * net.dilations.sum()) * batch * net.channels,
            "past": blocks * int(net.steps.max()) * batch * gates,
            "told": 4 * batch * (blocks * gates + net.skips),
            "x": batch * net.channels,
            "mixed": batch * gates,
            "gated": batch * net.gates,
            "total": batch * net.skips,
            "hidden": batch * net.skips,
            "score": batch * net.scores,
            "mass": batch * net.scores,
            "scalars": batch * net.first_taps,
            "zeros": 1,
        }
        return self.kernels.Memory(
            **{name: np.zeros(size, self.dtype) for name, size in sizes.items()},
            recent=np.full((batch, net.first_taps), NOTHING, np.int64),
            marks=np.zeros(MOST_THREADS * self.kernels.LINE, np.int64),
        )

    def run(
        self, team, memory, frames, lines, hop_length, clock, uniform, known, greedy, temperature,
        top_k, levels, outputs,
    ):  # fmt: skip
        """Fill `levels`, and `outputs` where the levels are `known`; see `kernels.run`."""
        memory.marks[:] = 0
        settings = (
            self.net, memory, frames.shape[1], frames.ravel(), lines, hop_length, clock, uniform,
            known, greedy, float(temperature), top_k, levels, outputs,
        )  # fmt: skip
        size = team.size()
        try:
            team.wait(self.kernels.run, [(me, size, *settings) for me in range(size)])
        except BaseException:
            memory.marks[:] = EVERYBODY_IS_THERE
            raise


def _engine(compiled: bool) -> type:
    if compiled:
        try:
            from vqwn_kit.sampling.compiled import kernels  # noqa: F401
        except ImportError as error:
            warnings.warn(
                f"no compiled sampler ({error}); NumPy steps instead, some ten times slower: "
                "install numba",
                stacklevel=3,
            )
        else:
            return CompiledEngine
    from vqwn_kit.sampling.reference import PlainEngine

    return PlainEngine


class _Team:
    """Threads that work at one stretch of samples together.

    The kernels wait for each other in a loop, so there should be a core for each thread: while
    somebody else samples, too, a team is as small as it gets. The sound doesn't depend on it.
    """

    busy = 0
    lock = threading.Lock()

    def __init__(self, threads: int | None):
        self.most = min(threads or _cores(), MOST_THREADS)
        self.pool = ThreadPoolExecutor(self.most)

    def size(self) -> int:
        """Return how many threads the next stretch gets."""
        return self.most if _Team.busy == 1 else 1

    def wait(self, function: Callable, jobs: list[tuple]) -> None:
        """Run a function for each job at once; return when all have ended."""
        for future in [self.pool.submit(function, *job) for job in jobs]:
            future.result()

    def __enter__(self):
        with _Team.lock:
            _Team.busy += 1
        return self

    def __exit__(self, *error):
        with _Team.lock:
            _Team.busy -= 1
        self.pool.shutdown()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
