"""The WaveNet step of `reference`, compiled by Numba: the same function, some ten times faster.

Three things make it fast. `_add_product` is written so that LLVM turns its inner loop into vector
instructions, and reads each weight once for four streams. The convolutions' past taps are computed
for up to 16 coming samples at once (`_look_back`). And `_exp` is a polynomial that becomes vector
instructions, too. Every sum has the same order whatever the number of streams.

All compiled functions are in this one file, because Numba looks at the file of `run` alone to see
whether what it has cached is out of date.
"""

import math
from typing import NamedTuple

import numba
import numpy as np

from vqwn_kit.models.codec import mu_law_decode
from vqwn_kit.models.distributions import LEAST_LOG_SCALE
from vqwn_kit.sampling.weights import PAST, PITCH_LAGS, PITCH_WINDOW, RARE, NetworkWeights

ROWS = 4  # streams that are computed together
LOOK_AHEAD = 16  # the most coming samples whose past taps are computed at once
LOG2_E, LN_2, HALF_UP = np.float32(1 / math.log(2)), np.float32(math.log(2)), np.float32(127.5)
LEAST_EXPONENT, GREATEST_EXPONENT = np.float32(-80.0), np.float32(40.0)
ONE, TWO = np.float32(1.0), np.float32(2.0)
TAYLOR = tuple(np.float32(1 / math.factorial(n)) for n in range(8))
OPTIONS = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract"},  # a product and a sum may be rounded once; sums keep their order
    "_nrt": False,  # no array is made here, so their users are not counted, which takes time
}
compiled = numba.njit(**OPTIONS)


class Memory(NamedTuple):
    """What is kept from sample to sample, for R rows: the streams, filled up to whole groups.

    The rest are places for intermediate results of a step.
    """

    clock: np.ndarray  # (1,) int64: samples since the beginning
    steps: np.ndarray  # (L,) int64: coming samples whose past taps are computed at once
    values: np.ndarray  # (levels,) float64: the residuals that they stand for
    recent: np.ndarray  # (R, first taps) int64: levels, the newest last; -1 before the first
    sound: np.ndarray  # (R, PAST) float64: the sound before de-emphasis, the newest last
    sharpness: np.ndarray  # (R,) float64: by which the temperature is divided, by voicing
    predicted: np.ndarray  # (R,) float64: what linear prediction expects of this sample
    known: np.ndarray  # (R, first taps, 2): companded past sound and prediction, beside `recent`
    inputs: np.ndarray  # (sum over blocks of (K - 1) dilation, R, C): ring buffers of the inputs
    past: np.ndarray  # (L, LOOK_AHEAD, R, 2G): what past taps add to coming samples
    state: np.ndarray  # (R, C + S): a block's input x, and the sum of the skip outputs
    mixed: np.ndarray  # (R, 2G): filter and gate before their nonlinearities
    gated: np.ndarray  # (R, G)
    condition: np.ndarray  # (R, L 2G + S): what conditions this sample
    hidden: np.ndarray  # (2, R, S): the inputs of the last two layers
    score: np.ndarray  # (R, O): the outputs
    frame: np.ndarray  # (R, D): what conditions a frame
    projected: np.ndarray  # (3, R, L 2G + S): what the frames before, here and after add
    mass: np.ndarray  # (O,): what is in proportion to the probabilities of the levels
    components: np.ndarray  # (3, M) float64: their probabilities, means and scales


def new_memory(weights: NetworkWeights, streams: int) -> Memory:
    """Return the memory of some streams before their first sample."""
    rows = 1 if streams == 1 else -(-streams // ROWS) * ROWS
    blocks, taps, channels, mixed = weights.conv_kernel.shape
    skips, outputs = weights.final_kernel.shape
    width = blocks * mixed + skips
    dtype = weights.first_bias.dtype
    shapes = {
        "known": (rows, len(weights.first_kernel), 2),
        "inputs": ((taps - 1) * int(weights.dilations.sum()), rows, channels),
        "past": (blocks, LOOK_AHEAD, rows, mixed),
        "state": (rows, channels + skips),
        "mixed": (rows, mixed),
        "gated": (rows, mixed // 2),
        "condition": (rows, width),
        "hidden": (2, rows, skips),
        "score": (rows, outputs),
        "mass": (outputs,),
        "frame": (rows, weights.condition_kernel.shape[1]),
        "projected": (3, rows, width),
    }
    return Memory(
        clock=np.zeros(1, np.int64),
        steps=np.gcd(weights.dilations, LOOK_AHEAD),
        components=np.zeros((3, weights.num_components)),
        values=mu_law_decode(np.arange(weights.num_levels), weights.num_levels).astype("float64"),
        sound=np.zeros((rows, PAST)),
        sharpness=np.ones(rows),
        predicted=np.zeros(rows),
        recent=np.full((rows, len(weights.first_kernel)), -1, np.int64),
        **{name: np.zeros(shape, dtype) for name, shape in shapes.items()},
    )


@compiled
def _copy(source, out):
    for i in range(len(out)):
        out[i] = source[i]


@compiled
def _add(a, b, out):
    for i in range(len(out)):
        out[i] = a[i] + b[i]


@compiled
def _rectify(source, out):
    for i in range(len(out)):
        out[i] = max(source[i], 0)


@compiled
def _number(kernel, i, j):
    """Return kernel[i, j] as a float; bfloat16, kept as uint16, is the upper half of a float32."""
    if kernel.itemsize == 2:  # known when it is compiled
        return np.uint32(np.uint32(kernel[i, j]) << np.uint32(16)).view(np.float32)
    return kernel[i, j]


@compiled
def _add_row(x, kernel, out, first):
    """Add x[first:I] @ kernel[first:] to out: x (I or more,), kernel (I, J), out (J,)."""
    whole = len(kernel) - (len(kernel) - first) % 4
    for i in range(first, whole, 4):
        xa, xb, xc, xd = x[i], x[i + 1], x[i + 2], x[i + 3]
        for j in range(len(out)):
            a, b = _number(kernel, i, j), _number(kernel, i + 1, j)
            c, d = _number(kernel, i + 2, j), _number(kernel, i + 3, j)
            out[j] = out[j] + xa * a + xb * b + xc * c + xd * d
    for i in range(whole, len(kernel)):
        for j in range(len(out)):
            out[j] += x[i] * _number(kernel, i, j)


@compiled
def _add_four_rows(x, kernel, out, start):
    """Add x[:, :I] @ kernel to out[:, start:] for four rows: kernel (I, J), I a multiple of 4.

    The inner loop reads four rows of the kernel and uses each number of them four times.
    """
    stop = start + kernel.shape[1]
    out0, out1 = out[0, start:stop], out[1, start:stop]
    out2, out3 = out[2, start:stop], out[3, start:stop]
    for i in range(0, len(kernel) - len(kernel) % 4, 4):
        a0, b0, c0, d0 = x[0, i], x[0, i + 1], x[0, i + 2], x[0, i + 3]
        a1, b1, c1, d1 = x[1, i], x[1, i + 1], x[1, i + 2], x[1, i + 3]
        a2, b2, c2, d2 = x[2, i], x[2, i + 1], x[2, i + 2], x[2, i + 3]
        a3, b3, c3, d3 = x[3, i], x[3, i + 1], x[3, i + 2], x[3, i + 3]
        for j in range(stop - start):
            a, b = _number(kernel, i, j), _number(kernel, i + 1, j)
            c, d = _number(kernel, i + 2, j), _number(kernel, i + 3, j)
            out0[j] = out0[j] + a0 * a + b0 * b + c0 * c + d0 * d
            out1[j] = out1[j] + a1 * a + b1 * b + c1 * c + d1 * d
            out2[j] = out2[j] + a2 * a + b2 * b + c2 * c + d2 * d
            out3[j] = out3[j] + a3 * a + b3 * b + c3 * c + d3 * d


@compiled
def _add_product(x, kernel, out, start):
    """Add x[:, :I] @ kernel to out[:, start : start + J], in one order for any number of rows.

    x (R, I or more), kernel (I, J), out (R, start + J or more).
    """
    fours, stop = len(x) - len(x) % 4, start + kernel.shape[1]
    for row in range(0, fours, 4):
        _add_four_rows(x[row : row + 4], kernel, out[row : row + 4], start)
    for row in range(len(x)):
        first = len(kernel) - len(kernel) % 4 if row < fours else 0
        if first < len(kernel):
            _add_row(x[row], kernel, out[row, start:stop], first)


@compiled
def _exp(x):
    """Return exp of a float32 to its precision: a power of two, times a Taylor series.

    It has no branches and calls nothing, so that a loop over it becomes vector instructions.
    """
    x = min(max(x, LEAST_EXPONENT), GREATEST_EXPONENT)
    exponent = np.int32(x * LOG2_E + HALF_UP)  # of a float32, which adds 127 to its exponents
    rest = x - np.float32(exponent - np.int32(127)) * LN_2
    series = TAYLOR[7]
    series = series * rest + TAYLOR[6]
    series = series * rest + TAYLOR[5]
    series = series * rest + TAYLOR[4]
    series = series * rest + TAYLOR[3]
    series = series * rest + TAYLOR[2]
    series = series * rest + TAYLOR[1]
    series = series * rest + TAYLOR[0]
    return series * np.int32(exponent << 23).view(np.float32)


@compiled
def _gate(mixed, gated):
    """Write tanh(filter) sigmoid(gate) to gated (G,), given mixed (2G,): filters, then gates."""
    gates = len(gated)
    if mixed.itemsize == 8:  # known when it is compiled
        for g in range(gates):
            gated[g] = math.tanh(mixed[g]) / (1.0 + math.exp(-mixed[gates + g]))
    else:
        for g in range(gates):
            e = _exp(-TWO * np.float32(mixed[g]))
            gated[g] = (ONE - e) / ((ONE + e) * (ONE + _exp(-np.float32(mixed[gates + g]))))


@compiled
def _first(weights, memory):
    """Write the first convolution's output and its skip output to memory.state."""
    channels = len(weights.first_bias)
    taps = len(weights.first_kernel)
    for row in range(len(memory.state)):
        x = memory.state[row, :channels]
        _copy(weights.first_bias, x)
        _copy(weights.skip_bias, memory.state[row, channels:])
        for tap in range(taps):
            level = memory.recent[row, tap]
            if level >= 0 and weights.one_hot:
                kernel = weights.first_kernel[tap, level]
                for c in range(channels):
                    x[c] += kernel[c]
            elif level >= 0:
                kernel = weights.first_kernel[tap, 0]
                scalar = x.dtype.type(level * (2.0 / (weights.num_levels - 1)) - 1.0)
                for c in range(channels):
                    x[c] += scalar * kernel[c]
            if weights.closed_loop:
                both = weights.first_kernel[tap, len(weights.first_kernel[tap]) - 2 :]
                sound, predicted = memory.known[row, tap, 0], memory.known[row, tap, 1]
                for c in range(channels):
                    x[c] += sound * both[0, c] + predicted * both[1, c]
    _add_product(memory.state, weights.first_skip_kernel, memory.state, channels)


@compiled
def _look_back(weights, memory, block, ring, steps):
    """Write to memory.past what the past taps of a block add in the next `steps` samples.

    `ring` (span, R, C) are the block's inputs of the past `span` samples. `steps` divides the
    dilation, so that all that is read is in it already, side by side.
    """
    span, rows, channels = ring.shape
    past = memory.past[block, :steps].reshape(steps * rows, memory.past.shape[3])
    past[:] = 0
    for tap in range(weights.conv_kernel.shape[1] - 1):
        slot = (memory.clock[0] + tap * weights.dilations[block]) % span
        x = ring[slot : slot + steps].reshape(steps * rows, channels)
        _add_product(x, weights.conv_kernel[block, tap], past, 0)


@compiled
def _gated_block(weights, memory, block, ring, condition):
    """Run one gated block: memory.state becomes x + residual, and the sum of skips with its own."""
    now = memory.clock[0]
    channels, mixed = weights.conv_kernel.shape[2:]
    steps = memory.steps[block]
    if now % steps == 0:
        _look_back(weights, memory, block, ring, steps)
    for row in range(len(condition)):
        past, condition_row = memory.past[block, now % steps, row], condition[row, block * mixed :]
        _add(past, condition_row, memory.mixed[row])
        _copy(memory.state[row], ring[now % len(ring), row])
    _add_product(memory.state, weights.conv_kernel[block, -1], memory.mixed, 0)
    for row in range(len(condition)):
        x = memory.state[row, :channels]
        _gate(memory.mixed[row], memory.gated[row])
        _add(x, weights.residual_bias[block], x)
    _add_product(memory.gated, weights.out_kernel[block], memory.state, 0)


@compiled
def _step(weights, memory, condition):
    """Write the outputs of one sample to memory.score, given its condition (R, L 2G + S)."""
    blocks, taps, channels, mixed = weights.conv_kernel.shape
    _first(weights, memory)
    start = 0
    for block in range(blocks):
        span = (taps - 1) * weights.dilations[block]
        ring = memory.inputs[start : start + span]
        _gated_block(weights, memory, block, ring, condition)
        start += span
    total, after = memory.hidden[0], memory.hidden[1]
    for row in range(len(condition)):
        _rectify(memory.state[row, channels:], total[row])
        _copy(condition[row, blocks * mixed :], after[row])
        _copy(weights.final_bias, memory.score[row])
    _add_product(total, weights.post_kernel, after, 0)
    for row in range(len(condition)):
        _rectify(after[row], after[row])
    _add_product(after, weights.final_kernel, memory.score, 0)


@compiled
def _most_likely(score):
    """Return the first of the greatest scores."""
    best = 0
    for level in range(len(score)):
        if score[level] > score[best]:
            best = level
    return best


@compiled
def _masses(score, mass, temperature, settings):
    """Write to mass what is in proportion to the probabilities of the levels, given logits."""
    top = score[_most_likely(score)]
    if score.itemsize == 8:
        for level in range(len(score)):
            mass[level] = math.exp((score[level] - top) / temperature)
    else:
        for level in range(len(score)):
            mass[level] = _exp(np.float32((score[level] - top) / np.float32(temperature)))
    if settings.voiced:
        total = 0.0
        for level in range(len(score)):
            total += mass[level]
        rare = mass.dtype.type(total * RARE / len(score))
        for level in range(len(score)):
            mass[level] = max(mass[level] - rare, 0)
    if settings.top_k:
        for level in range(len(score)):
            greater = 0
            for other in range(len(score)):
                greater += score[other] > score[level]
            if greater >= settings.top_k:
                mass[level] = 0


@compiled
def _choose(score, memory, weights, temperature, settings, uniform):
    """Return the most likely level, or the first whose cumulative probability passes `uniform`."""
    if weights.num_components:
        temperature = 1.0 if settings.greedy else temperature
        return _choose_of_mixture(score, memory.components, weights, temperature, settings, uniform)
    if settings.greedy:
        return _most_likely(score)
    mass = memory.mass
    _masses(score, mass, temperature, settings)
    total = 0.0
    for level in range(len(mass)):
        total += mass[level]
    reached, chosen = 0.0, 0
    for level in range(len(mass)):
        if mass[level] > 0:
            chosen = level
            reached += mass[level]
            if reached > uniform * total:
                break
    return chosen


@compiled
def _cumulative(level, components, weights):
    """Return a mixture's probability of all levels up to this one, which is 1 for the last.

    `components` (3, M) float64: probabilities, means and scales.
    """
    if level >= weights.num_levels - 1:
        return 1.0
    edge = (2.0 * level + 1.0) / (weights.num_levels - 1) - 1.0
    reached = 0.0
    for m in range(weights.num_components):
        distance = (components[1, m] - edge) / components[2, m]
        reached += components[0, m] / (1.0 + math.exp(distance))
    return reached


@compiled
def _choose_of_mixture(score, components, weights, temperature, settings, uniform):
    """Return a level as `_choose` does, given the parameters (3M,) of a mixture.

    Writes to components (3, M) their probabilities, means and scales.
    """
    count, levels = weights.num_components, weights.num_levels
    top, total = score[_most_likely(score[:count])], 0.0
    for m in range(count):
        components[0, m] = math.exp((score[m] - top) / temperature)
        components[1, m] = score[count + m]
        log_scale = max(np.float64(score[2 * count + m]), LEAST_LOG_SCALE)
        components[2, m] = math.exp(log_scale) * temperature
        total += components[0, m]
    for m in range(count):
        components[0, m] /= total
    low, high = 0, levels - 1
    if settings.greedy:
        most, below = -1.0, 0.0
        for level in range(levels):
            reached = _cumulative(level, components, weights)
            if reached - below > most:
                low, most = level, reached - below
            below = reached
        return low
    while low < high:
        middle = (low + high) // 2
        if _cumulative(middle, components, weights) > uniform:
            high = middle
        else:
            low = middle + 1
    return low


@compiled
def _project(weights, memory, frames, n):
    """Write to memory.projected what frame n adds in each block and after `post`."""
    projected, streams = memory.projected[n % 3], len(frames)
    blocks, _, mixed = weights.condition_kernel.shape
    for row in range(len(projected)):
        _copy(frames[min(row, streams - 1), n], memory.frame[row])
        for block in range(blocks):
            _copy(weights.conv_bias[block], projected[row, block * mixed : (block + 1) * mixed])
        _copy(weights.post_bias, projected[row, blocks * mixed :])
    for block in range(blocks):
        _add_product(memory.frame, weights.condition_kernel[block], projected, block * mixed)
    _add_product(memory.frame, weights.post_condition_kernel, projected, blocks * mixed)


@compiled
def _interpolate(memory, n, line):
    """Write to memory.condition the mean of frames n - 1, n and n + 1, weighted by line (3,)."""
    before, here, after = line[0], line[1], line[2]
    for row in range(len(memory.condition)):
        earlier, now = memory.projected[(n - 1) % 3, row], memory.projected[n % 3, row]
        later, condition = memory.projected[(n + 1) % 3, row], memory.condition[row]
        for j in range(len(condition)):
            condition[j] = before * earlier[j] + here * now[j] + after * later[j]


@compiled
def _push(line, value):
    """Drop the oldest of the last values (n,), and append a new one."""
    last = len(line) - 1
    for n in range(last):
        line[n] = line[n + 1]
    line[last] = value


@compiled
def _compand(sound, num_levels):
    """Return the mu-law companded value of a sample."""
    mu, size = num_levels - 1, min(abs(sound), 1.0)
    return math.copysign(math.log1p(mu * size) / math.log1p(mu), sound)


@compiled
def _predict(weights, memory, row, filters):
    """Write what linear prediction (P,) expects of this sample, and what a closed loop reads."""
    past, predicted = memory.sound[row], 0.0
    for lag in range(len(filters)):
        predicted += past[PAST - 1 - lag] * filters[lag]
    memory.predicted[row] = predicted
    if weights.closed_loop:
        kind = memory.known.dtype.type
        _push(memory.known[row, :, 0], kind(_compand(past[PAST - 1], weights.num_levels)))
        _push(memory.known[row, :, 1], kind(_compand(predicted, weights.num_levels)))


@compiled
def _pitch_correlation(past):
    """Return how periodic a sound (PAST,) is; see `reference.pitch_correlation`."""
    window, most = past[PAST - PITCH_WINDOW :], 0.0
    for lag in range(PITCH_LAGS[0], PITCH_LAGS[1] + 1):
        earlier = past[PAST - PITCH_WINDOW - lag : PAST - lag]
        product, energy, earlier_energy = 0.0, 0.0, 0.0
        for n in range(PITCH_WINDOW):
            product += window[n] * earlier[n]
            energy += window[n] * window[n]
            earlier_energy += earlier[n] * earlier[n]
        most = max(most, product / math.sqrt(energy * earlier_energy + 1e-16))
    return min(most, 1.0)


def _run(weights, memory, settings, block):
    """Step through a block of samples; see `reference.run`.

    Args:
        weights: `NetworkWeights`, all of one float type.
        memory: the `Memory` of the streams, left as the next block needs it.
        settings: `Settings`, how levels are chosen.
        block: the `Block`; its levels, and outputs, are filled in.
    """
    streams, length = block.levels.shape
    hop_length = length // (block.frames.shape[1] - 2)
    _project(weights, memory, block.frames, 0)
    _project(weights, memory, block.frames, 1)
    for t in range(length):
        n, sample = 1 + t // hop_length, t % hop_length
        if sample == 0:
            _project(weights, memory, block.frames, n + 1)
        for row in range(streams):
            _predict(weights, memory, row, block.filters[row, n - 1])
            if sample == 0 and settings.voiced:
                periodic = _pitch_correlation(memory.sound[row])
                memory.sharpness[row] = 1.0 + max(0.0, 1.5 * periodic - 0.5)
        condition = memory.projected[n % 3]
        if weights.interpolate:
            _interpolate(memory, n, block.interpolation[sample])
            condition = memory.condition
        _step(weights, memory, condition)
        for row in range(streams):
            score = memory.score[row]
            if block.forced.shape[1]:
                level = block.forced[row, t]
                _copy(score, block.outputs[row, t])
            else:
                temperature = settings.temperature / memory.sharpness[row]
                uniform = block.uniform[row, t]
                level = _choose(score, memory, weights, temperature, settings, uniform)
            block.levels[row, t] = level
            _push(memory.recent[row], level)
            sound = memory.predicted[row] + block.scale[row, n - 1] * memory.values[level]
            _push(memory.sound[row], sound)
        memory.clock[0] += 1


try:
    run = numba.njit(_run, cache=True, **OPTIONS)
except RuntimeError:  # there is no folder to cache it in
    run = numba.njit(_run, **OPTIONS)
