"""One WaveNet step in NumPy, for where there is no compiler: the same levels, ten times slower.

It computes in float64, so that rounding never decides a level. The compiled step in float64 draws
the very same ones; in float32 about one in ten thousand differs, and the streams part from there.
"""

import numpy as np
from keras import ops
from scipy.special import expit, softmax

from vqwn_kit.models.distributions import LEAST_LOG_SCALE


class PlainEngine:
    """Steps through blocks of samples in NumPy; see `sampler.CompiledEngine`.

    Args:
        wavenet: a built decoder.
        precision: of the sampler; the weights here are exact, whatever it is.
    """

    def __init__(self, decoder, precision: str):
        wavenet = decoder.network

        def copy(variable) -> np.ndarray:
            return np.asarray(ops.convert_to_numpy(variable), np.float64)

        self.levels = decoder.codec.num_levels
        self.mixtures = getattr(decoder.distribution, "num_components", 0)
        self.dilations = wavenet.dilations
        self.taps = wavenet.kernel_size
        self.one_hot = decoder.codec.one_hot
        self.work = 0
        self.first = copy(wavenet.input_conv.kernel), copy(wavenet.input_conv.bias)
        self.first_skip = copy(wavenet.input_skip.kernel), copy(wavenet.input_skip.bias)
        self.told = copy(wavenet.block_conditions.kernel), copy(wavenet.hidden_condition.kernel)
        self.blocks = [
            tuple(copy(v) for v in (b.conv.kernel, b.conv.bias, b.out.kernel, b.out.bias))
            for b in wavenet.blocks
        ]
        self.post = copy(wavenet.hidden.kernel), copy(wavenet.hidden.bias)
        self.final = copy(wavenet.out.kernel), copy(wavenet.out.bias)

    def memory(self, batch: int) -> dict:
        """Return the past before the first sample of `batch` streams."""
        channels = self.first[0].shape[2]
        return {
            "rings": [np.zeros(((self.taps - 1) * d, batch, channels)) for d in self.dilations],
            "recent": np.full((batch, self.first[0].shape[0]), -1, np.int64),
        }

    def run(
        self, team, memory, frames, lines, hop_length, clock, uniform, known, greedy, temperature,
        top_k, levels, outputs,
    ):  # fmt: skip
        """Fill `levels`, and `outputs` where the levels are `known`; see `kernels.run`."""
        told = [frames.astype(np.float64) @ kernel for kernel in self.told]
        for t in range(levels.shape[1]):
            row, sample = divmod(t, hop_length)
            between = lines[sample] if len(lines) else np.array([0.0, 1.0, 0.0])
            here = [between @ part[:, row : row + 3] for part in told]
            score = self._step(memory, *here, clock + t)
            if known.shape[1]:
                outputs[:, t] = score
                levels[:, t] = known[:, t]
            else:
                masses = self._masses(score, 1.0 if greedy else temperature, top_k)
                levels[:, t] = _choose(masses, greedy, uniform[:, t])
            memory["recent"] = np.roll(memory["recent"], -1, axis=1)
            memory["recent"][:, -1] = levels[:, t]

    def _step(self, memory, conditions, after, now) -> np.ndarray:
        kernel, bias = self.first
        recent = memory["recent"]
        if self.one_hot:
            rows = kernel[np.arange(recent.shape[1]), recent]
            x = bias + np.where(recent[:, :, None] < 0, 0, rows).sum(axis=1)
        else:
            scalars = np.where(recent < 0, 0, recent * (2 / (self.levels - 1)) - 1)
            x = bias + scalars @ kernel[:, 0]
        total = x @ self.first_skip[0] + self.first_skip[1]
        channels = x.shape[1]
        heard = np.split(conditions, len(self.blocks), axis=1)
        for block, (conv, conv_bias, out, out_bias) in enumerate(self.blocks):
            ring, dilation = memory["rings"][block], self.dilations[block]
            mixed = x @ conv[-1] + conv_bias + heard[block]
            for tap in range(self.taps - 1):
                mixed += ring[(now + tap * dilation) % len(ring)] @ conv[tap]
            ring[now % len(ring)] = x
            f, s = np.split(mixed, 2, axis=1)
            branch = np.tanh(f) / (1 + np.exp(-s)) @ out + out_bias
            x = x + branch[:, :channels]
            total = total + branch[:, channels:]
        hidden = np.maximum(total, 0) @ self.post[0] + self.post[1] + after
        return np.maximum(hidden, 0) @ self.final[0] + self.final[1]

    def _masses(self, score, temperature, top_k) -> np.ndarray:
        """Return what is in proportion to the levels' probabilities, (B, levels)."""
        if self.mixtures:
            return _mixture_masses(score, temperature, self.levels)
        mass = np.exp((score - score.max(axis=1, keepdims=True)) / temperature)
        if top_k:
            mass[score < np.sort(score, axis=1)[:, -top_k, None]] = 0
        return mass


def _mixture_masses(score, temperature, levels) -> np.ndarray:
    """Return the probability of each level's bin, (B, levels); see `logistics`."""
    logits, means, log_scales = np.split(score, 3, axis=1)
    weights = softmax(logits / temperature, axis=1)
    scales = np.exp(np.maximum(log_scales, LEAST_LOG_SCALE)) * temperature
    edges = (2 * np.arange(levels) + 1) / (levels - 1) - 1
    below = expit((edges[None, :, None] - means[:, None]) / scales[:, None])
    up_to = (weights[:, None] * below).sum(axis=2)
    up_to[:, -1] = 1
    return np.diff(up_to, axis=1, prepend=0)


def _choose(masses, greedy, uniform) -> np.ndarray:
    if greedy:
        return masses.argmax(axis=1)
    reached = masses.cumsum(axis=1)
    return (reached <= uniform[:, None] * reached[:, -1:]).sum(axis=1).clip(max=masses.shape[1] - 1)
