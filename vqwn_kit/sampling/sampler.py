"""The autoregressive sampler: conditioning of frames -> levels, one sample after another.

The past inputs of each block are kept in a ring buffer, so that a sample costs one step through
the network instead of a pass over the receptive field
([Paine 2016](https://arxiv.org/abs/1611.09482)). `reference` is that step in NumPy, and `compiled`
the same compiled by Numba.
"""

import os
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.models.layers import interpolation_weights
from vqwn_kit.models.wavenet_decoder import WaveNetDecoder
from vqwn_kit.sampling import reference
from vqwn_kit.sampling.weights import Block, NetworkWeights, Settings, network_weights

MODES = ("sample", "greedy")
PRECISIONS = ("float32", "bfloat16", "float64")
PERIOD = 16  # blocks between two comparisons of threads with one thread
BLOCK_SECONDS = 0.2  # between two looks at the progress bar and the stop button
GROUP = 4  # streams that are computed together, in about the time of two


class Sampler:
    """Draws mu-law levels from a WaveNet.

    Every sum has the same order whatever the batch and the threads, so a stream has the same levels
    alone, in a batch, on one core and on many.

    Args:
        decoder: a built `WaveNetDecoder`, or its `NetworkWeights`; they are copied.
        precision: "float32" is exact to rounding. "bfloat16" rounds the weights of the blocks,
            half of what a step reads, which makes a single stream faster; all sums are float32.
            "float64" is slow, and for comparisons.
        compiled: use the compiled engine; False is NumPy in float64, some ten times slower.

    Raises:
        InputError: an unknown precision.

    Example:
        levels = Sampler(model.decoder)(frames, hop_length=64, temperature=0.9)    # (B, T) int32
    """

    def __init__(
        self,
        decoder: WaveNetDecoder | NetworkWeights,
        precision: str = "float32",
        compiled: bool = True,
    ):
        if precision not in PRECISIONS:
            raise one_of("precision", precision, PRECISIONS)
        weights = decoder if isinstance(decoder, NetworkWeights) else network_weights(decoder)
        self.engine = choose_engine(compiled)
        self.weights = weights.in_precision("float64" if self.engine is reference else precision)
        self.dtype = self.weights.first_bias.dtype

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

        What is kept between blocks does not grow with their number.

        Args:
            frames: conditioning (B, N, D), as the decoder's `conditioner` gives.
            hop_length: samples per frame.
            mode: `sample` draws from the distribution, `greedy` takes the most likely level.
            temperature: divides the logits before the softmax; below 1 is less noisy. Of a mixture
                it divides the components' logits and multiplies their scales.
            top_k: draw from the most likely so many levels only; None draws from all.
            seed: of the random numbers; each stream has its own.
            forced: levels (B, T) to feed back instead of those drawn; the network's outputs are
                yielded then.
            threads: the most that share the streams, in groups of 4, so that up to 4 streams have
                one thread; by default as many as there are cores.

        Yields:
            The levels, or with `forced` the network's outputs for them, (B, t, num_outputs).

        Raises:
            InputError: an unknown mode, a temperature that is not above 0, a `top_k` outside
                1..levels or for a mixture, or fewer than 1 thread.
        """
        levels = self.weights.num_levels
        if mode not in MODES:
            raise one_of("mode", mode, MODES)
        if not temperature > 0:
            raise InputError(f"temperature is {temperature}; expected a number above 0")
        if top_k is not None and self.weights.num_components:
            raise InputError("top_k needs a softmax over levels; this decoder gives a mixture")
        if top_k is not None and not 1 <= top_k <= levels:
            raise InputError(f"top_k={top_k}: expected 1..{levels}, or None for all levels")
        if threads is not None and threads < 1:
            raise InputError(f"threads={threads}: expected 1 or more, or None for one per core")
        settings = Settings(mode == "greedy", float(temperature), top_k or 0)
        return self._stream(frames, hop_length, settings, seed, forced, threads or _cores())

    def _stream(self, frames, hop_length, settings, seed, forced, threads):
        batch, num_frames, _ = frames.shape
        around = np.pad(frames, ((0, 0), (1, 1), (0, 0)), mode="edge").astype(self.dtype)
        interpolation = np.array(interpolation_weights(hop_length), self.dtype)
        generators = [np.random.default_rng([seed, stream]) for stream in range(batch)]
        size = GROUP * -(-batch // (GROUP * threads))  # streams of a thread, in whole groups
        shares = [slice(first, min(first + size, batch)) for first in range(0, batch, size)]
        memories = [self.engine.new_memory(self.weights, s.stop - s.start) for s in shares]
        start, count, pace = 0, 1, _Pace(len(shares))
        with ThreadPoolExecutor(len(shares)) as pool:
            while start < num_frames:
                began = time.perf_counter()
                part = np.ascontiguousarray(around[:, start : start + count + 2])
                first, length = start * hop_length, (part.shape[1] - 2) * hop_length
                known = np.zeros((batch, 0), np.int32)
                if forced is not None:
                    known = np.asarray(forced[:, first : first + length], np.int32)
                block = Block(
                    part,
                    interpolation,
                    np.stack([generator.random(length) for generator in generators]),
                    known,
                    np.zeros((batch, length), np.int32),
                    np.zeros((batch, known.shape[1], self.weights.outputs), self.dtype),
                )
                run_all = pool.map if pace.use_threads() else map
                parts = [block.share(streams) for streams in shares]
                list(run_all(partial(self._run, settings), memories, parts))
                start += count
                seconds = time.perf_counter() - began
                pace.note(length / seconds)
                count = max(1, min(2 * count, int(count * BLOCK_SECONDS / seconds)))
                yield block.levels if forced is None else block.outputs

    def _run(self, settings: Settings, memory, block: Block) -> None:
        self.engine.run(self.weights, memory, settings, block)

    def __call__(self, frames: np.ndarray, hop_length: int, *args, **settings) -> np.ndarray:
        """Return as one array all that `stream` yields for the same arguments."""
        return np.concatenate(list(self.stream(frames, hop_length, *args, **settings)), axis=1)


class _Pace:
    """Says for each block whether threads or one thread run it: whichever was faster lately.

    On a busy machine threads can be slower than one. Of every PERIOD blocks the first is run by
    threads and the second by one; both ways give the same levels.
    """

    def __init__(self, shares: int):
        self.shares, self.number, self.rates = shares, 0, {True: 0.0, False: 0.0}

    def use_threads(self) -> bool:
        """Return whether the next block is to be run by threads."""
        turn, self.number = self.number % PERIOD, self.number + 1
        faster = self.rates[True] >= self.rates[False]
        self.threaded = self.shares > 1 and (turn == 0 or turn > 1 and faster)
        return self.threaded

    def note(self, rate: float) -> None:
        """Take the speed of that block, in samples per second."""
        self.rates[self.threaded] = rate


def choose_engine(compiled: bool = True):
    """Return the module `compiled`, or `reference` where Numba is missing or switched off."""
    if not compiled:
        return reference
    try:
        from vqwn_kit.sampling import compiled as engine
    except ImportError as error:
        warnings.warn(
            f"no compiled sampler ({error}); NumPy steps instead, some ten times slower: "
            "install numba",
            stacklevel=3,
        )
        return reference
    return reference if engine.numba.config.DISABLE_JIT else engine


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
