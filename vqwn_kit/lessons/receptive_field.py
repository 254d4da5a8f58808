"""Receptive fields of encoders, measured from outside: change the waveform, compare z_e."""

import numpy as np

from vqwn_kit.errors import InputError
from vqwn_kit.models.tensorflow import ops


def measure_receptive_field(encoder, draws: int = 8, seed: int = 0) -> tuple[int, int]:
    """Return the first and last sample that a frame depends on, relative to its own first sample.

    The input is noise. All samples before, or after, some position are replaced by other noise; a
    binary search finds the position at which the middle frame starts to change.

    Args:
        encoder: waveform (B, T, 1) -> z_e (B, N, D), built.
        draws: noise signals per comparison, since a ReLU may be inactive for one of them.
        seed: of the noise.

    Returns:
        For example (-93, 96): from 93 samples before the frame's first one to 96 after it.
    """
    hop = encoder.hop_length
    side = -(-encoder.receptive_field // hop) + 1  # frames on either side that suffice
    length, start = (2 * side + 1) * hop, side * hop
    rng = np.random.default_rng(seed)
    noise, other_noise = rng.uniform(-0.5, 0.5, (2, draws, length, 1)).astype(np.float32)
    reference = _frame(encoder, noise, side)

    def changes(first: int, end: int) -> bool:
        """Say whether the frame changes when samples first..end-1 are replaced."""
        mixed = noise.copy()
        mixed[:, first:end] = other_noise[:, first:end]
        return bool(np.any(_frame(encoder, mixed, side) != reference))

    first = _smallest(0, start + hop, lambda position: changes(0, position + 1))
    last = _smallest(0, length, lambda back: changes(length - 1 - back, length))
    return first - start, length - 1 - last - start


def _frame(encoder, waveform: np.ndarray, number: int) -> np.ndarray:
    return ops.convert_to_numpy(encoder(waveform, training=False))[:, number]


def _smallest(low: int, high: int, holds) -> int:
    """Return the smallest number in low..high-1 for which `holds`, as for all greater ones."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def occlusion_sensitivity(encoder, waveform: np.ndarray, frame: int, block: int) -> np.ndarray:
    """Return how much a frame changes when each block of samples is set to zero, (T / block,).

    The unit is the spread of the waveform's frames: the length of the difference divided by the
    root mean square distance of all frames from their mean. Zeiler and Fergus, arXiv 1311.2901.

    Args:
        encoder: waveform (B, T, 1) -> z_e (B, N, D), built.
        waveform: (T,); cut at its end to a multiple of `hop_length` and `block`.
        frame: number of the frame, 0..N-1.
        block: samples that are set to zero together.

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
    changes = []
    for begin in range(0, len(waveform), block):
        occluded = waveform.copy()
        occluded[begin : begin + block] = 0.0
        changes.append(_frame(encoder, occluded[None, :, None], frame) - frames[frame])
    return np.linalg.norm(np.concatenate(changes), axis=1) / spread
