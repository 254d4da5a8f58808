"""Arrays that users give -> sound: mono float32 in [-1, 1]; or why they are none.

Training, encoding, synthesis, widgets and the readers of files all use these rules:

    whole numbers        scaled by the range of their type; 32- and 64-bit ones as 16-bit samples
                         where none is larger
    floats above 8       16-bit samples that were not scaled; so are whole numbers as floats
    floats of 1 to 8     too loud by up to 18 dB: clipped, where sound is used and not measured
    several channels     averaged; where they cancel each other, the loudest one is used
    NaN, infinity, other shapes, types and ranges: InputError
"""

import numpy as np

from vqwn_kit.errors import InputError

MOST_CHANNELS = 8  # a last axis of at most so many values is that of the channels
LOUDEST = 8.0  # times full scale; floats above it are 16-bit samples
SIXTEEN_BITS = 32768.0
CANCELLED = 0.01  # share of the channels' power that is left in their mean, -20 dB


def as_waveform(array, name: str = "the waveform", clip: bool = True) -> np.ndarray:
    """Return one recording as mono float32 (T,) in [-1, 1].

    Args:
        array: (T,), (1, T), (1, T, 1), or with channels (T, C), C at most 8.
        name: of the recording, for messages.
        clip: to full scale; else samples of up to 8 times full scale are kept.

    Raises:
        InputError: another shape, no samples, values that are not finite, or no sound by its type.
    """
    samples = as_waveforms(array, name)
    if len(samples) != 1:
        raise InputError(
            f"{name}: a waveform of shape {np.shape(array)}, that is {len(samples)}; expected "
            f"one, (T,), or with up to {MOST_CHANNELS} channels (T, C). Several go to convert_many"
        )
    return np.clip(samples[0], -1.0, 1.0) if clip else samples[0]


def as_waveforms(array, name: str = "the waveform") -> np.ndarray:
    """Return a batch of recordings as mono float32 (B, T), not clipped.

    Args:
        array: (B, T), (B, T, 1); or one recording, (T,), or with channels (T, C), C at most 8.
        name: of the recordings, for messages.

    Raises:
        InputError: see `as_waveform`.
    """
    samples = _scaled(array, name)
    if samples.ndim == 3 and samples.shape[2] == 1:
        samples = samples[..., 0]
    elif samples.ndim == 2 and samples.shape[1] <= min(MOST_CHANNELS, samples.shape[0] - 1):
        samples = mono(samples)[0]
    if samples.ndim == 1:
        samples = samples[None]
    if samples.ndim != 2 or not samples.size:
        raise InputError(
            f"{name}: a waveform of shape {np.shape(array)}; expected (T,), (B, T) or (B, T, 1) "
            f"with T > 0, or with up to {MOST_CHANNELS} channels (T, C)"
        )
    return samples


def mono(samples: np.ndarray) -> tuple[np.ndarray, int | None]:
    """Mix (T, C) to (T,): the mean, or where the channels cancel each other the loudest one.

    Returns:
        The samples, and the number of the channel that is used, None for their mean.
    """
    if samples.shape[1] == 1:
        return samples[:, 0], None
    mean = samples.mean(axis=1, dtype=np.float32)
    chosen = used_channel(np.vdot(mean, mean), np.einsum("tc,tc->c", samples, samples))
    return (mean, None) if chosen is None else (samples[:, chosen], chosen)


def used_channel(mean_energy: float, energies: np.ndarray) -> int | None:
    """Return the loudest channel where the mean has lost the energy of the channels, else None."""
    cancelled = mean_energy < CANCELLED * np.mean(energies)
    return int(np.argmax(energies)) if cancelled else None


def divisor(peak: float, whole: bool, name: str) -> float:
    """Return what floats have to be divided by: 1, or 32768 for 16-bit samples.

    Args:
        peak: the largest magnitude.
        whole: whether all of them are whole numbers.
        name: of the recording.

    Raises:
        InputError: they are larger than 16-bit samples.
    """
    if peak <= LOUDEST and not (whole and peak >= 2):
        return 1.0
    if peak <= 2 * SIXTEEN_BITS:  # resampling may exceed the range of the samples
        return SIXTEEN_BITS
    raise InputError(
        f"{name}: samples of up to {peak:g}; expected floats in [-1, 1]: divide them by the full "
        "scale of their format"
    )


def _scaled(array, name: str) -> np.ndarray:
    """Return an array of any shape as float32, at most 8 times full scale.

    Raises:
        InputError: no numbers of a known range, or some are not finite.
    """
    samples = np.asarray(array)
    kind, size = samples.dtype.kind, samples.dtype.itemsize
    if kind == "i" and size > 1:
        peak = max(abs(int(samples.min())), abs(int(samples.max()))) if samples.size else 0
        full = SIXTEEN_BITS if peak <= SIXTEEN_BITS else 2.0**31
        if size <= 4 or peak <= SIXTEEN_BITS:
            return (samples / full).astype(np.float32)
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128.0) / 128.0
    if kind != "f":
        raise InputError(
            f"{name}: an array of {samples.dtype}; expected floats in [-1, 1], or 16-bit samples"
        )
    samples = samples.astype(np.float32)
    if not np.isfinite(samples).all():
        raise InputError(f"{name}: some samples are not finite; expected floats in [-1, 1]")
    peak = float(np.abs(samples).max(initial=0.0))
    if peak < 2:
        return samples
    scale = divisor(peak, bool((samples == np.round(samples)).all()), name)
    return samples if scale == 1 else samples / np.float32(scale)
