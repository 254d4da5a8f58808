"""The autoregressive sampler: conditions of frames -> mu-law levels, one sample after another.

The past of each block is kept in a ring buffer, so that a sample costs one step through the
network instead of a pass over the receptive field
([Paine 2016](https://arxiv.org/abs/1611.09482)). The loop is compiled by Numba and holds no
interpreter lock; the streams of a batch are spread over threads of our own.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
from keras import ops
from threadpoolctl import threadpool_limits

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.layers import interpolation_weights
from vqwn_kit.logistics import LEAST_LOG_SCALE
from vqwn_kit.wavenet import WaveNet

MODES = ("sample", "greedy")
NOTHING = -1  # stands in the past before the first level
BLOCK_SECONDS = 0.1  # of sound between two looks at the progress bar and the stop button


class Sampler:
    """Draws mu-law levels from a `WaveNet`.

    Args:
        wavenet: a built decoder; its weights are copied.
        dtype: `float32`, or `float64` for levels that don't depend on how streams are batched.

    Example:
        levels = Sampler(model.decoder)(frames, hop_length=64, temperature=0.9)    # (B, T) int32
    """

    def __init__(self, wavenet: WaveNet, dtype: str = "float32"):
        self.levels = wavenet.levels
        self.interpolate = wavenet.interpolate
        self.mixtures = wavenet.mixtures
        self.dtype = np.dtype(dtype)
        self.weights = _weights(wavenet, self.dtype)

    def __call__(
        self,
        frames: np.ndarray,
        hop_length: int,
        mode: str = "sample",
        temperature: float = 1.0,
        seed: int = 0,
        forced: np.ndarray | None = None,
        progress: Callable[[int], None] | None = None,
        threads: int | None = None,
    ) -> np.ndarray:
        """Return levels, int32 (B, N * hop_length).

        Args:
            frames: what conditions each frame, (B, N, C), as `WaveNet.frames` gives.
            hop_length: samples a frame.
            mode: `sample` draws from the distribution, `greedy` takes the likeliest level.
            temperature: divides the logits before the softmax; below 1 is less noisy. Of a mixture
                it divides the components' logits and multiplies their scales.
            seed: draws the random numbers, for each stream its own.
            forced: levels (B, T) to feed back instead of those drawn; the network's outputs are
                returned then.
            progress: called with the number of samples of each block that is done, per stream.
            threads: over which the streams are spread; by default one a core.

        Returns:
            The levels, or with `forced` what `WaveNet` gives for them, float (B, T, levels) or
            (B, T, 3 mixtures).

        Raises:
            InputError: an unknown mode, or a temperature that isn't above 0.
        """
        if mode not in MODES:
            raise one_of("mode", mode, MODES)
        if not temperature > 0:
            raise InputError(f"temperature is {temperature}; expected a number above 0")
        frames = np.ascontiguousarray(frames, self.dtype)
        groups = np.array_split(np.arange(len(frames)), min(threads or _cores(), len(frames)))
        stop = threading.Event()
        settings = (hop_length, mode, temperature, seed, stop)

        def work(rows: np.ndarray, report: Callable | None) -> np.ndarray:
            past = None if forced is None else np.ascontiguousarray(forced[rows], np.int32)
            return self._run(frames[rows], rows, past, report, *settings)

        # Each group is a matrix product of few rows: threads inside BLAS would only get in the way.
        with _one_blas_thread, ThreadPoolExecutor(len(groups)) as pool:
            reports = [progress] + [None] * (len(groups) - 1)
            futures = [pool.submit(work, *job) for job in zip(groups, reports, strict=True)]
            try:
                parts = [future.result() for future in futures]
            except BaseException:
                stop.set()
                raise
        return np.concatenate(parts)

    def _run(
        self,
        frames: np.ndarray,
        rows: np.ndarray,
        forced: np.ndarray | None,
        progress: Callable[[int], None] | None,
        hop_length: int,
        mode: str,
        temperature: float,
        seed: int,
        stop: threading.Event,
    ) -> np.ndarray:
        batch, num_frames, _ = frames.shape
        dtype, weights = self.dtype, self.weights
        channels = weights["first"].shape[2]
        taps = weights["conv"].shape[1] // channels
        span = (taps - 1) * weights["dilations"]
        rings = np.zeros((int(span.sum()), batch, channels), dtype)
        recent = np.full((batch, weights["first"].shape[0]), NOTHING, np.int64)
        draws = [np.random.default_rng([seed, row]) for row in rows]
        lines = np.zeros((0, 3), dtype)
        if self.interpolate:
            lines = np.array(interpolation_weights(hop_length), dtype)
        around = np.pad(frames, ((0, 0), (1, 1), (0, 0)), mode="edge")
        block = max(1, round(BLOCK_SECONDS * 16_000 / hop_length))
        parts = []
        for start in range(0, num_frames, block):
            if stop.is_set():
                break
            part = np.ascontiguousarray(around[:, start : start + block + 2])
            length = (part.shape[1] - 2) * hop_length
            uniform = np.stack([rng.random(length) for rng in draws])
            first = start * hop_length
            known = np.zeros((batch, 0), np.int32)
            if forced is not None:
                known = np.ascontiguousarray(forced[:, first : first + length])
            levels = np.zeros((batch, length), np.int32)
            shape = (batch, length if forced is not None else 0, weights["final"].shape[1])
            outputs = np.zeros(shape, dtype)
            _sample(
                *weights.values(), self.levels, self.mixtures, part, lines, hop_length, first,
                rings, recent, uniform, known, mode == "greedy", dtype.type(temperature), levels,
                outputs,
            )  # fmt: skip
            parts.append(levels if forced is None else outputs)
            if progress is not None:
                progress(length)
        return np.concatenate(parts, axis=1)


class _OneBlasThread:
    """Keep BLAS at one thread while anyone samples, then give it back what it had."""

    def __init__(self):
        self.lock = threading.Lock()
        self.users = 0
        self.limits = None

    def __enter__(self):
        with self.lock:
            self.users += 1
            if self.users == 1:
                self.limits = threadpool_limits(1, user_api="blas")

    def __exit__(self, *error):
        with self.lock:
            self.users -= 1
            if not self.users:
                self.limits.restore_original_limits()


_one_blas_thread = _OneBlasThread()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _weights(wavenet: WaveNet, dtype: np.dtype) -> dict[str, np.ndarray]:
    """Copy a decoder's weights as the matrices that one step multiplies with, in their order."""

    def copy(variable) -> np.ndarray:
        return np.ascontiguousarray(ops.convert_to_numpy(variable), dtype)

    def stack(variables) -> np.ndarray:
        return np.stack([copy(variable) for variable in variables])

    blocks = wavenet.blocks
    conv = stack(block.conv.kernel for block in blocks)
    return {
        "first": copy(wavenet.first.kernel),
        "first_bias": copy(wavenet.first.bias),
        "first_skip": copy(wavenet.first_skip.kernel),
        "first_skip_bias": copy(wavenet.first_skip.bias),
        "conditions": copy(wavenet.conditions.kernel),
        "dilations": np.array(wavenet.dilations, np.int64),
        "conv": np.ascontiguousarray(conv.reshape(len(blocks), -1, conv.shape[-1])),
        "conv_bias": stack(block.conv.bias for block in blocks),
        "out": stack(block.out.kernel for block in blocks),
        "out_bias": stack(block.out.bias for block in blocks),
        "post": copy(wavenet.post.kernel),
        "post_bias": copy(wavenet.post.bias),
        "post_condition": copy(wavenet.post_condition.kernel),
        "final": copy(wavenet.out.kernel),
        "final_bias": copy(wavenet.out.bias),
    }


@numba.njit(nogil=True, cache=True)
def _sample(
    first, first_bias, first_skip, first_skip_bias, conditions, dilations, conv, conv_bias,
    out, out_bias, post, post_bias, post_condition, final, final_bias, num_levels, mixtures,
    frames, lines, hop_length, clock, rings, recent, uniform, known, greedy, temperature, levels,
    outputs,
):  # fmt: skip
    """Fill `levels` (B, T), and `outputs` (B, T, final's) where the levels are `known` (B, T).

    `frames` (B, N + 2, C) has a neighbour at either end; `lines` (hop, 3) are the weights between
    frames, or empty. `rings` (sum of spans, B, C) and the levels in `recent` (B, first taps) hold
    the past and are left as the next block needs them; `clock` counts the samples before it.
    """
    batch, num_frames, _ = frames.shape
    num_blocks, fan_in, double_gate = conv.shape
    gate = double_gate // 2
    first_taps, heard, channels = first.shape
    taps = fan_in // channels
    scalars = np.where(recent < 0, 0.0, recent * (2.0 / (num_levels - 1)) - 1.0)
    scalars = scalars.astype(first.dtype)
    scalar_kernel = np.ascontiguousarray(first[:, 0])
    gathered = np.empty((batch, fan_in), first.dtype)
    mixed = np.empty((batch, double_gate), first.dtype)
    gated = np.empty((batch, gate), first.dtype)
    branch = np.empty((batch, out.shape[2]), first.dtype)
    x = np.empty((batch, channels), first.dtype)
    total = np.empty((batch, post.shape[0]), first.dtype)
    hidden = np.empty((batch, post.shape[1]), first.dtype)
    score = np.empty((batch, final.shape[1]), first.dtype)
    told = np.empty((3, batch, conditions.shape[1]), first.dtype)  # before, here, after
    told_after = np.empty((3, batch, post_condition.shape[1]), first.dtype)
    for place in range(2):
        row = np.ascontiguousarray(frames[:, place])
        np.dot(row, conditions, told[place + 1])
        np.dot(row, post_condition, told_after[place + 1])
    condition, post_frame = told[1].copy(), told_after[1].copy()
    for frame in range(num_frames - 2):
        row = np.ascontiguousarray(frames[:, frame + 2])
        for place in range(2):
            told[place] = told[place + 1]
            told_after[place] = told_after[place + 1]
        np.dot(row, conditions, told[2])
        np.dot(row, post_condition, told_after[2])
        condition[:] = told[1]
        post_frame[:] = told_after[1]
        for sample in range(hop_length):
            t = frame * hop_length + sample
            if len(lines):
                w = lines[sample]
                condition[:] = w[0] * told[0] + w[1] * told[1] + w[2] * told[2]
                post_frame[:] = w[0] * told_after[0] + w[1] * told_after[1] + w[2] * told_after[2]
            if heard == 1:
                np.dot(scalars, scalar_kernel, x)
            else:
                x[:] = 0
                for b in range(batch):
                    for tap in range(first_taps):
                        if recent[b, tap] >= 0:
                            x[b] += first[tap, recent[b, tap]]
            x += first_bias
            np.dot(x, first_skip, total)
            total += first_skip_bias
            base = 0
            for block in range(num_blocks):
                dilation = dilations[block]
                span = (taps - 1) * dilation
                for tap in range(taps - 1):
                    slot = base + (clock + t + tap * dilation) % span
                    for b in range(batch):
                        for c in range(channels):
                            gathered[b, tap * channels + c] = rings[slot, b, c]
                slot = base + (clock + t) % span
                for b in range(batch):
                    for c in range(channels):
                        gathered[b, (taps - 1) * channels + c] = x[b, c]
                        rings[slot, b, c] = x[b, c]
                base += span
                np.dot(gathered, conv[block], mixed)
                shift = block * double_gate
                for b in range(batch):
                    for g in range(gate):
                        f = mixed[b, g] + conv_bias[block, g] + condition[b, shift + g]
                        s = mixed[b, gate + g] + conv_bias[block, gate + g]
                        s += condition[b, shift + gate + g]
                        gated[b, g] = np.tanh(f) / (1 + np.exp(-s))
                np.dot(gated, out[block], branch)
                for b in range(batch):
                    for c in range(channels):
                        x[b, c] += branch[b, c] + out_bias[block, c]
                    for c in range(total.shape[1]):
                        total[b, c] += branch[b, channels + c] + out_bias[block, channels + c]
            np.dot(np.maximum(total, 0), post, hidden)
            hidden += post_bias
            hidden += post_frame
            np.dot(np.maximum(hidden, 0), final, score)
            score += final_bias
            for b in range(batch):
                if known.shape[1]:
                    level = known[b, t]
                    outputs[b, t] = score[b]
                elif mixtures and greedy:
                    level = _likeliest_of_mixture(score[b], mixtures, num_levels)
                elif mixtures:
                    level = _draw_from_mixture(
                        score[b], mixtures, num_levels, temperature, uniform[b, t]
                    )
                elif greedy:
                    level = np.argmax(score[b])
                else:
                    level = _draw(score[b], 1 / temperature, uniform[b, t])
                levels[b, t] = level
                for i in range(first_taps - 1):
                    recent[b, i] = recent[b, i + 1]
                    scalars[b, i] = scalars[b, i + 1]
                recent[b, first_taps - 1] = level
                scalars[b, first_taps - 1] = level * (2.0 / (num_levels - 1)) - 1.0


@numba.njit(nogil=True, cache=True)
def _draw(score, sharpness, uniform):
    """Return the level at which the cumulative softmax of sharpness * score passes `uniform`."""
    top = score.max()
    mass = 0.0
    for value in score:
        mass += np.exp((value - top) * sharpness)
    target, reached = uniform * mass, 0.0
    for level in range(len(score) - 1):
        reached += np.exp((score[level] - top) * sharpness)
        if reached > target:
            return level
    return len(score) - 1


@numba.njit(nogil=True, cache=True)
def _mass_up_to(level, weights, means, scales, num_levels):
    """Return the mixture's probability of all levels up to `level`; 1 from the last one on."""
    if level >= num_levels - 1:
        return 1.0
    edge = (2.0 * level + 1.0) / (num_levels - 1) - 1.0
    mass = 0.0
    for m in range(len(weights)):
        mass += weights[m] / (1.0 + np.exp((means[m] - edge) / scales[m]))
    return mass


@numba.njit(nogil=True, cache=True)
def _components(score, mixtures, temperature):
    """Return weights, means and scales, (M,) each, of a mixture's parameters (3 M,)."""
    logits = score[:mixtures] / temperature
    weights = np.exp((logits - logits.max()).astype(np.float64))
    log_scales = np.maximum(score[2 * mixtures :], LEAST_LOG_SCALE).astype(np.float64)
    return weights / weights.sum(), score[mixtures : 2 * mixtures], np.exp(log_scales) * temperature


@numba.njit(nogil=True, cache=True)
def _draw_from_mixture(score, mixtures, num_levels, temperature, uniform):
    """Return the first level whose cumulative probability passes `uniform`, by halving."""
    weights, means, scales = _components(score, mixtures, temperature)
    low, high = 0, num_levels - 1
    while low < high:
        middle = (low + high) // 2
        if _mass_up_to(middle, weights, means, scales, num_levels) > uniform:
            high = middle
        else:
            low = middle + 1
    return low


@numba.njit(nogil=True, cache=True)
def _likeliest_of_mixture(score, mixtures, num_levels):
    """Return the level of the greatest probability."""
    weights, means, scales = _components(score, mixtures, 1.0)
    best, most, below = 0, -1.0, 0.0
    for level in range(num_levels):
        mass = _mass_up_to(level, weights, means, scales, num_levels)
        if mass - below > most:
            best, most = level, mass - below
        below = mass
    return best
