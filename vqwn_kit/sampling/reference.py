"""One WaveNet step in NumPy: the specification of `compiled`, and the engine without Numba.

It computes in float64, some ten times slower than the compiled engine. Shapes: B streams, L gated
blocks, K taps, C residual channels, G gate channels, S skip channels, O outputs, D channels that
condition a frame, P coefficients of linear prediction. @ is the matrix product.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import expit, softmax

from vqwn_kit.models.codec import mu_law_decode
from vqwn_kit.models.distributions import LEAST_LOG_SCALE
from vqwn_kit.sampling.weights import (
    PAST,
    PITCH_LAGS,
    PITCH_WINDOW,
    RARE,
    Block,
    NetworkWeights,
    Settings,
)


class Memory(NamedTuple):
    """What is kept from sample to sample, for B streams."""

    clock: np.ndarray  # (1,): samples since the beginning
    recent: np.ndarray  # (B, first taps): levels, the newest last; -1 before the first
    sound: np.ndarray  # (B, PAST): the sound before de-emphasis, the newest last
    known: np.ndarray  # (B, first taps, 2): companded past sound and prediction, beside `recent`
    inputs: list[np.ndarray]  # ((K - 1) dilation, B, C) of each block, a ring: time t is at t % len


def new_memory(weights: NetworkWeights, streams: int) -> Memory:
    """Return the memory of some streams before their first sample."""
    _, taps, channels, _ = weights.conv_kernel.shape
    inputs = [np.zeros(((taps - 1) * d, streams, channels)) for d in weights.dilations]
    recent = np.full((streams, len(weights.first_kernel)), -1, np.int64)
    sound, known = np.zeros((streams, PAST)), np.zeros((*recent.shape, 2))
    return Memory(np.zeros(1, np.int64), recent, sound, known, inputs)


def run(weights: NetworkWeights, memory: Memory, settings: Settings, block: Block) -> None:
    """Step through a block of samples, and fill in its levels, and outputs if levels are forced."""
    length, sound = block.levels.shape[1], memory.sound
    hop_length = length // (block.frames.shape[1] - 2)
    values = mu_law_decode(np.arange(weights.num_levels), weights.num_levels).astype(np.float64)
    sharpness = np.ones(len(sound))
    for t in range(length):
        frame, sample = divmod(t, hop_length)
        if sample == 0 and settings.voiced:
            sharpness = 1 + np.maximum(0, 1.5 * pitch_correlation(sound) - 0.5)  # (B,)
        filters = block.filters[:, frame]
        predicted = (sound[:, : -filters.shape[1] - 1 : -1] * filters).sum(axis=1)
        push(memory.known, compand(np.stack([sound[:, -1], predicted], axis=1), weights))
        shares = block.interpolation[sample] if weights.interpolate else np.array([0.0, 1.0, 0.0])
        score = step(weights, memory, shares @ block.frames[:, frame : frame + 3])
        if block.forced.shape[1]:
            block.outputs[:, t], block.levels[:, t] = score, block.forced[:, t]
        else:
            block.levels[:, t] = choose(weights, settings, score, block.uniform[:, t], sharpness)
        push(memory.recent, block.levels[:, t])
        push(sound, predicted + block.scale[:, frame] * values[block.levels[:, t]])
        memory.clock[0] += 1


def push(last: np.ndarray, value: np.ndarray) -> None:
    """Drop the oldest of the last values (B, n, …), and append a new one (B, …)."""
    last[:, :-1], last[:, -1] = last[:, 1:], value


def compand(sound: np.ndarray, weights: NetworkWeights) -> np.ndarray:
    """Return the mu-law companded sound, any shape; see `mu_law_compand`."""
    mu, clipped = weights.num_levels - 1, sound.clip(-1, 1)
    return np.sign(clipped) * np.log1p(mu * np.abs(clipped)) / np.log1p(mu)


def pitch_correlation(sound: np.ndarray) -> np.ndarray:
    """Return how periodic the newest PITCH_WINDOW samples of a sound (B, PAST) are, 0 to 1, (B,).

    It is the greatest normalised correlation with the same window earlier by one of the lags.
    """
    window = sound[:, -PITCH_WINDOW:]
    first, last = PITCH_LAGS
    earlier = np.stack(
        [sound[:, PAST - PITCH_WINDOW - d : PAST - d] for d in range(first, last + 1)]
    )
    energy = (earlier**2).sum(axis=2) * (window**2).sum(axis=1)
    return ((earlier * window).sum(axis=2) / np.sqrt(energy + 1e-16)).max(axis=0).clip(0, 1)


def step(weights: NetworkWeights, memory: Memory, frame: np.ndarray) -> np.ndarray:
    """Return the outputs (B, O) of one sample, given what conditions it, (B, D)."""
    # x = b + sum over taps of W[tap] h[tap], where h is one-hot or a number in [-1, 1], and beside
    # it the past sound and its prediction in a closed loop, (B, C); before the first sample it is 0
    recent, begun = memory.recent, (memory.recent >= 0)[..., None]
    if weights.one_hot:
        terms = weights.first_kernel[np.arange(recent.shape[1]), recent]  # (B, first taps, C)
    else:
        terms = (recent * (2 / (weights.num_levels - 1)) - 1)[..., None] * weights.first_kernel[
            :, 0
        ]
    x = weights.first_bias + (begun * terms).sum(axis=1)
    if weights.closed_loop:
        x = x + np.einsum("btf,tfc->bc", memory.known, weights.first_kernel[:, -2:])
    total = x @ weights.first_skip_kernel + weights.skip_bias  # (B, S)
    for layer, dilation in enumerate(weights.dilations):
        # f, g = V h + b + sum over taps k of x[t - (K - 1 - k) dilation] W[k], each (B, G)
        mixed = frame @ weights.condition_kernel[layer] + weights.conv_bias[layer]
        ring, now = memory.inputs[layer], memory.clock[0]
        for tap, kernel in enumerate(weights.conv_kernel[layer, :-1]):
            mixed = mixed + ring[(now + tap * dilation) % len(ring)] @ kernel
        ring[now % len(ring)] = x
        f, g = np.split(mixed + x @ weights.conv_kernel[layer, -1], 2, axis=1)
        # residual, skip = tanh(f) sigmoid(g) W, (B, C) and (B, S)
        out = np.tanh(f) * expit(g) @ weights.out_kernel[layer]
        residual, skip = np.split(out, [x.shape[1]], axis=1)
        x, total = x + residual + weights.residual_bias[layer], total + skip
    # two layers more, after ReLUs; the frame conditions the first one, too
    hidden = np.maximum(total, 0) @ weights.post_kernel + weights.post_bias
    hidden = hidden + frame @ weights.post_condition_kernel  # (B, S)
    return np.maximum(hidden, 0) @ weights.final_kernel + weights.final_bias


def choose(
    weights: NetworkWeights, settings: Settings, score: np.ndarray, uniform, sharpness
) -> np.ndarray:
    """Return levels (B,) given outputs (B, O), random numbers in [0, 1) and sharpness, both (B,).

    By voicing the temperature is divided by the sharpness, and rare levels are left out, as in
    [LPCNet](https://arxiv.org/abs/1810.11846), section 3.3.
    """
    sharpness = sharpness[:, None] if settings.voiced else 1.0
    temperature = 1.0 if settings.greedy else settings.temperature / sharpness
    mass = probabilities(weights, score, temperature)
    if settings.voiced and not weights.num_components:
        mass = np.maximum(mass - RARE / weights.num_levels, 0)
    if settings.top_k:
        mass[score < np.sort(score, axis=1)[:, -settings.top_k, None]] = 0
    if settings.greedy:
        return mass.argmax(axis=1)
    reached = mass.cumsum(axis=1)
    chosen = (reached <= uniform[:, None] * reached[:, -1:]).sum(axis=1)
    return chosen.clip(max=weights.num_levels - 1)


def probabilities(weights: NetworkWeights, score: np.ndarray, temperature) -> np.ndarray:
    """Return the probabilities (B, levels) of outputs (B, O): softmax, or mixture of logistics.

    P(level <= l) = sum over components m of w_m sigmoid((edge_l - mean_m) / scale_m), where edge_l
    is the middle between levels l and l + 1 on the scale [-1, 1], and infinite for the last level.
    """
    if not weights.num_components:
        return softmax(score / temperature, axis=1)
    temperature = np.reshape(temperature, (-1, 1, 1))
    logits, means, log_scales = np.split(score[:, None], 3, axis=2)  # (B, 1, M)
    scales = np.exp(np.maximum(log_scales, LEAST_LOG_SCALE)) * temperature
    edges = (2 * np.arange(weights.num_levels)[:, None] + 1) / (weights.num_levels - 1) - 1
    up_to = (softmax(logits / temperature, axis=2) * expit((edges - means) / scales)).sum(axis=2)
    up_to[:, -1] = 1
    return np.diff(up_to, axis=1, prepend=0)
