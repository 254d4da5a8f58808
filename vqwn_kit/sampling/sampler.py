"""The autoregressive sampler: conditioning of frames -> levels, one sample after another.

The past inputs of each block are kept in a ring buffer, so that a sample costs one step through
the network instead of a pass over the receptive field
([Paine 2016](https://arxiv.org/abs/1611.09482)). `reference` is that step in NumPy, and `compiled`
the same compiled by Numba.
"""

import os
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.models.layers import interpolation_weights
from vqwn_kit.models.lpc import RESIDUAL_RANGE
from vqwn_kit.models.wavenet_decoder import WaveNetDecoder
from vqwn_kit.sampling import reference
from vqwn_kit.sampling.weights import Block, NetworkWeights, Settings, network_weights

MODES = ("sample", "greedy")
VOICED = "voiced"  # a temperature
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
        frames: np.ndarray | Iterable[tuple],
        hop_length: int,
        mode: str = "sample",
        temperature: float | str = 1.0,
        top_k: int | None = None,
        seed: int = 0,
        forced: np.ndarray | None = None,
        threads: int | None = None,
        filters: tuple[np.ndarray, np.ndarray] | None = None,
        numbers: Sequence[int] | None = None,
    ) -> Iterator[np.ndarray]:
        """Yield levels, int32 (B, t), block after block of about 0.2 seconds of work.

        What is kept between blocks does not grow with their number. Frames that come in parts give
        the levels of all frames at once, to the last bit.

        Args:
            frames: conditioning (B, N, D), as the decoder's `conditioner` gives; or parts of it,
                pairs of frames (B, n, D) and their filters (or None), read as they are needed.
            hop_length: samples per frame.
            mode: `sample` draws from the distribution, `greedy` takes the most likely level.
            temperature: divides the logits before the softmax; below 1 is less noisy. Of a mixture
                it divides the components' logits and multiplies their scales. "voiced" lowers it
                frame by frame from 1 towards 0.5, the more the last 20 ms of the sound repeat what
                was a pitch period earlier, and never draws levels of a probability below 0.002 (of
                256 levels), after [LPCNet](https://arxiv.org/abs/1810.11846).
            top_k: draw from the most likely so many levels only; None draws from all.
            seed: of the random numbers; each stream has its own.
            forced: levels (B, T) to feed back instead of those drawn; the network's outputs are
                yielded then.
            threads: the most that share the streams, in groups of 4; by default one per core.
            filters: of linear prediction, coefficients (B, N, P) and scale (B, N), if the levels
                are of its residual; see `WaveNetDecoder.filters`.
            numbers: of the streams, which their random numbers depend on; by default 0..B-1.

        Yields:
            The levels, or with `forced` the network's outputs for them, (B, t, num_outputs).

        Raises:
            InputError: an unknown mode, a seed below 0, a temperature of neither kind, a `top_k`
                that does not fit, fewer than 1 thread, or a closed loop without filters.
        """
        if mode not in MODES:
            raise one_of("mode", mode, MODES)
        check_temperature(temperature)
        check_seed(seed)
        if top_k is not None and self.weights.num_components:
            raise InputError("top_k needs a softmax over levels; this decoder gives a mixture")
        if top_k is not None and not 1 <= top_k <= self.weights.num_levels:
            most = self.weights.num_levels
            raise InputError(f"top_k={top_k}: expected 1..{most}, or None for all levels")
        if threads is not None and threads < 1:
            raise InputError(f"threads={threads}: expected 1 or more, or None for one per core")
        voiced = temperature == VOICED
        divisor = 1.0 if voiced else float(temperature)
        settings = Settings(mode == "greedy", divisor, top_k or 0, voiced)
        parts = [(frames, filters)] if isinstance(frames, np.ndarray) else frames
        return self._stream(parts, hop_length, settings, seed, forced, threads or _cores(), numbers)

    def _stream(self, parts, hop_length, settings, seed, forced, threads, numbers):
        frames = _Frames(parts, self.dtype, self.weights.closed_loop)
        batch, start = frames.batch, 0
        interpolation = np.array(interpolation_weights(hop_length), self.dtype)
        numbers = range(batch) if numbers is None else numbers
        generators = [np.random.default_rng([seed, number]) for number in numbers]
        size = GROUP * -(-batch // (GROUP * threads))  # streams of a thread, in whole groups
        shares = [slice(first, min(first + size, batch)) for first in range(0, batch, size)]
        memories = [self.engine.new_memory(self.weights, s.stop - s.start) for s in shares]
        count, pace = 1, _Pace(len(shares))
        with ThreadPoolExecutor(len(shares)) as pool:
            while (taken := frames.take(count)) is not None:
                began = time.perf_counter()
                around, coefficients, scale = taken
                length = scale.shape[1] * hop_length
                known = np.zeros((batch, 0), np.int32)
                if forced is not None:
                    known = np.asarray(forced[:, start : start + length], np.int32)
                block = Block(
                    around,
                    interpolation,
                    np.stack([generator.random(length) for generator in generators]),
                    known,
                    np.zeros((batch, length), np.int32),
                    np.zeros((batch, known.shape[1], self.weights.outputs), self.dtype),
                    coefficients,
                    scale,
                )
                run_all = pool.map if pace.use_threads() else map
                blocks = [block.share(streams) for streams in shares]
                list(run_all(partial(self._run, settings), memories, blocks))
                start += length
                seconds = time.perf_counter() - began
                pace.note(length / seconds)
                count = max(1, min(2 * count, int(count * BLOCK_SECONDS / seconds)))
                yield block.levels if forced is None else block.outputs

    def _run(self, settings: Settings, memory, block: Block) -> None:
        self.engine.run(self.weights, memory, settings, block)

    def __call__(self, frames: np.ndarray, hop_length: int, *args, **settings) -> np.ndarray:
        """Return as one array all that `stream` yields for the same arguments."""
        return np.concatenate(list(self.stream(frames, hop_length, *args, **settings)), axis=1)


class _Frames:
    """Frames that come in parts, and are taken in blocks of any size with a neighbour at each end.

    Args:
        parts: pairs of frames (B, n, D) and their filters, or None.
        dtype: of the frames that are taken.
        need_filters: raise an InputError where there are none.
    """

    def __init__(self, parts: Iterable[tuple], dtype: np.dtype, need_filters: bool):
        self.parts, self.dtype, self.need_filters = iter(parts), dtype, need_filters
        frames, *filters = self._read(next(self.parts))
        self.batch, self.ended = len(frames), False
        # the frame before the next one, and all that have come since; the filters begin one later
        self.kept = [np.concatenate([frames[:, :1], frames], axis=1), *filters]

    def _read(self, part: tuple) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        frames, filters = part
        if filters is None and self.need_filters:
            raise InputError("this decoder has a closed loop; expected the filters of the frames")
        if filters is None:
            size = frames.shape[:2]
            return frames.astype(self.dtype), np.zeros((*size, 0)), np.ones(size)
        coefficients, scale = (np.asarray(array, np.float64) for array in filters)
        return frames.astype(self.dtype), coefficients, scale * RESIDUAL_RANGE

    def take(self, count: int) -> tuple[np.ndarray, ...] | None:
        """Return frames (B, n + 2, D), coefficients (B, n, P) and scale (B, n); None at the end.

        n is `count`, or less at the end, where the first and the last frame are their own
        neighbours.
        """
        while not self.ended and self.kept[0].shape[1] < count + 2:
            part = next(self.parts, None)
            self.ended = part is None
            more = [self.kept[0][:, -1:]] if part is None else self._read(part)
            for place, array in enumerate(more):
                self.kept[place] = np.concatenate([self.kept[place], array], axis=1)
        count = min(count, self.kept[0].shape[1] - 2)
        if not count:
            return None
        sizes = (count + 2, count, count)
        taken = [x[:, :size] for x, size in zip(self.kept, sizes, strict=True)]
        self.kept = [array[:, count:] for array in self.kept]
        return tuple(np.ascontiguousarray(array) for array in taken)


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


def check_seed(seed) -> None:
    """Raise InputError where a seed is no whole number from 0 on."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"seed is {seed!r}; expected a whole number from 0 on")


def check_temperature(temperature: float | str) -> None:
    """Raise an InputError unless a temperature is a number above 0, or "voiced"."""
    if temperature != VOICED and (isinstance(temperature, str) or not temperature > 0):
        raise InputError(
            f"temperature is {temperature!r}; expected a number above 0, or {VOICED!r}"
        )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
