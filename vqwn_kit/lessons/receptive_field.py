"""What an encoder's frame depends on, measured from outside: a waveform is changed, z_e compared.

So receptive fields are found as facts about the function, not read from its settings.
"""

import numpy as np
from keras import ops

from vqwn_kit.errors import InputError


def reach(encoder, draws: int = 8, seed: int = 0) -> tuple[int, int]:
    """Return the first and the last sample that a frame depends on, counted from its own first.

    A frame in the middle of noise is watched, while all samples before, or after, some place are
    drawn anew; the places where it begins to change are found by halving.

    Args:
        encoder: waveform (B, T, 1) -> z_e (B, N, D), built.
        draws: noises that are tried, since a ReLU may stay silent for one of them.
        seed: draws the noise.

    Returns:
        For example (-93, 96): it hears from 93 samples before its first to 96 after.
    """
    hop = encoder.hop_length
    side = -(-encoder.receptive_field // hop) + 1  # frames on either side that suffice
    length, start = (2 * side + 1) * hop, side * hop
    rng = np.random.default_rng(seed)
    one, other = rng.uniform(-0.5, 0.5, (2, draws, length, 1)).astype(np.float32)
    watched = _frame(encoder, one, side)

    def changes(first: int, end: int) -> bool:
        """Say whether the frame changes when samples first..end-1 are drawn anew."""
        mixed = one.copy()
        mixed[:, first:end] = other[:, first:end]
        return bool(np.any(_frame(encoder, mixed, side) != watched))

    first = _halve(0, start + hop, lambda place: changes(0, place + 1))
    last = _halve(0, length, lambda back: changes(length - 1 - back, length))
    return first - start, length - 1 - last - start


def _frame(encoder, waveform: np.ndarray, number: int) -> np.ndarray:
    return ops.convert_to_numpy(encoder(waveform, training=False))[:, number]


def _halve(low: int, high: int, holds) -> int:
    """Return the smallest number in low..high-1 for which `holds`, as for all greater ones."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def listening_profile(encoder, waveform: np.ndarray, frame: int, block: int) -> np.ndarray:
    """Return how much a frame changes when each block of samples falls silent, (T / block,).

    In units of how much the waveform's frames vary: the length of the difference over the root
    mean square distance of all frames from their mean.

    Args:
        encoder: waveform (B, T, 1) -> z_e (B, N, D), built.
        waveform: (T,); what is no multiple of `hop_length` and `block` is left out at its end.
        frame: number of the frame, 0..N-1.
        block: samples that fall silent together.

    Raises:
        InputError: the waveform has no such frame.
    """
    common = int(np.lcm(encoder.hop_length, block))
    waveform = np.asarray(waveform, np.float32)[: len(waveform) // common * common]
    if not 0 <= frame < len(waveform) // encoder.hop_length:
        raise InputError(
            f"frame {frame} of {len(waveform)} samples; expected one of "
            f"{len(waveform) // encoder.hop_length} frames"
        )
    frames = ops.convert_to_numpy(encoder(waveform[None, :, None], training=False))[0]
    spread = np.sqrt(((frames - frames.mean(axis=0)) ** 2).sum(axis=1).mean())
    changed = []
    for begin in range(0, len(waveform), block):
        silenced = waveform.copy()
        silenced[begin : begin + block] = 0.0
        changed.append(_frame(encoder, silenced[None, :, None], frame) - frames[frame])
    return np.linalg.norm(np.concatenate(changed), axis=1) / spread
