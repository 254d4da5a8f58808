"""A sound file -> its samples, mono float32 in [-1, 1], by blocks; and what is odd about it."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
import soxr

from vqwn_kit.data.headers import opened, share_kept
from vqwn_kit.errors import InputError
from vqwn_kit.files import bundled
from vqwn_kit.waveforms import divisor, used_channel

LOWEST_RATE = 1000  # Hz; a lower one is an error of the header, and resampling would take gigabytes
BLOCK = 1 << 21  # samples of all channels that are decoded at once: 22 s of 48 kHz stereo
FULL_SCALE = 0.9999
OFFSET = 1e-3  # of full scale; a larger one is removed. Speech without one has a tenth of it
PART = 20  # parts of a second; the offset is the median of their means, 0 where most are silent
CERTAIN = 4.0  # standard errors of independent samples that it differs from zero by
Span = tuple[float, float]  # begin and end in seconds


@dataclass(frozen=True)
class Recording:
    """The content of a sound file.

    Attributes:
        waveform: float32 (T,), mono, without offset, at the rate asked for; not clipped.
        seconds: its length.
        sample_rate: of the file, in Hz.
        channels: their number.
        kind: container and sample format, such as `WAV PCM_24`.
        kept: share of the size in the header that is there; below 1 the file was cut off; NaN where
            it was and its length is not known.
        clipped: share of the samples at full scale.
        remarks: what was mended, by kind, a key of `KINDS` in `check.py`.
    """

    waveform: np.ndarray
    seconds: float
    sample_rate: int
    channels: int
    kind: str
    kept: float
    clipped: float
    remarks: dict[str, str] = field(default_factory=dict)


@dataclass
class _Decoded:
    """What one pass over a file gives."""

    waveform: np.ndarray
    frames: int
    channel: int | None  # which is used where the channels cancel
    scale: float  # by which the samples have to be divided
    offset: float  # of full scale; 0 where there is none
    peak: float
    at_full_scale: tuple[int, int]  # samples, for full scales of 1 and of 32768


def read(path: str | Path, sample_rate: int | None = None, span: Span | None = None) -> Recording:
    """Read a sound file as mono, with facts about the file.

    It is decoded, mixed and resampled by blocks, so that an hour of 48 kHz stereo takes the memory
    of its 16 kHz samples.

    Args:
        path: any file that libsndfile reads.
        sample_rate: of the waveform in Hz; by default that of the file.
        span: begin and end in seconds of what is read.

    Raises:
        InputError: the file is missing, unreadable or empty, or has samples that are not finite.
    """
    path, remarks = bundled(path), {}
    with opened(path, remarks) as file:
        rate, channels, kind = file.samplerate, file.channels, f"{file.format} {file.subtype}"
        decoded = _decode(file, path, sample_rate or rate, span)
        kept = 1.0 if span else share_kept(file, path, decoded.frames)
    if decoded.channel is not None:
        remarks["channels cancel"] = f"in opposite phase; channel {decoded.channel + 1} is used"
        with opened(path, {}) as file:
            decoded = _decode(file, path, sample_rate or rate, span, decoded.channel)
    if decoded.scale != 1:
        scaled = f"up to {decoded.peak:g}; divided by {decoded.scale:g}"
        remarks["16-bit samples as floats"] = scaled
    if decoded.offset:
        remarks["offset"] = f"{decoded.offset:.3f} of full scale"
    clipped = decoded.at_full_scale[decoded.scale != 1] / (decoded.frames * channels)
    waveform = _mended(decoded.waveform, decoded)
    return Recording(waveform, decoded.frames / rate, rate, channels, kind, kept, clipped, remarks)


def stream(path: Path, sample_rate: int, seconds: float) -> Iterator[np.ndarray]:
    """Yield a recording in blocks, which joined are the waveform that `read` returns.

    Args:
        path: see `read`.
        sample_rate: of the blocks in Hz.
        seconds: length of a block before it is resampled.

    Raises:
        InputError: see `read`; before the first block.
    """
    with opened(path, {}) as file:
        facts = _decode(file, path, sample_rate, keep=False)
    if facts.channel is not None:
        with opened(path, {}) as file:
            facts = _decode(file, path, sample_rate, channel=facts.channel, keep=False)
    with opened(path, {}) as file:
        rate = file.samplerate
        resampler = resampling(rate, sample_rate)
        for block in _blocks(file, size=round(seconds * rate)):
            part = _mix(block, facts.channel)
            yield _mended(part if rate == sample_rate else resampler.resample_chunk(part), facts)
        if rate != sample_rate:
            yield _mended(resampler.resample_chunk(np.zeros(0, np.float32), last=True), facts)


def _mix(block: np.ndarray, channel: int | None) -> np.ndarray:
    if channel is None:
        return block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
    return block[:, channel].copy()


def _mended(waveform: np.ndarray, facts: "_Decoded") -> np.ndarray:
    """Scale a waveform and remove its offset, in place."""
    if facts.scale != 1:
        waveform /= np.float32(facts.scale)
    if facts.offset:
        waveform -= np.float32(facts.offset)
    return waveform


def _decode(
    file: soundfile.SoundFile,
    path: Path,
    rate: int,
    span: Span | None = None,
    channel: int | None = None,
    keep: bool = True,
) -> _Decoded:
    """Decode a file, mix its channels or take one of them, resample it, and measure it.

    Raises:
        InputError: it holds no samples, or some are not finite or of no known scale.
    """
    if file.samplerate < LOWEST_RATE and file.frames:
        raise InputError(f"{path} has a sample rate of {file.samplerate} Hz; export it again")
    energies, means, mean_energy = np.zeros(file.channels), [np.zeros(0)], 0.0
    frames, peak, whole, full, step = 0, 0.0, True, [0, 0], file.samplerate // PART

    def mixed() -> Iterator[np.ndarray]:
        nonlocal energies, mean_energy, frames, peak, whole
        for block in _blocks(file, span):
            if not np.isfinite(block).all():
                raise InputError(f"{path} holds samples that are NaN or infinite; export it again")
            energies = energies + np.einsum("tc,tc->c", block, block, dtype=np.float64)
            mean = _mix(block, None)
            mean_energy += float(np.einsum("t,t->", mean, mean, dtype=np.float64))
            part = mean if channel is None else _mix(block, channel)
            means.append(part[: len(part) // step * step].reshape(-1, step).mean(axis=1))
            frames += len(part)
            level = np.abs(block)
            peak = max(peak, float(level.max()))
            full[0] += int(np.count_nonzero(level >= FULL_SCALE))
            if peak > 1:
                full[1] += int(np.count_nonzero(level >= 32767 * FULL_SCALE))
                whole = whole and bool((level == np.round(level)).all())
            yield part

    parts = mixed()
    waveform = _resampled(parts, file.samplerate, rate) if keep else np.zeros(0, np.float32)
    deque(parts, maxlen=0)  # what is not kept is measured
    if not frames:
        where = f" from {span[0]:g} to {span[1]:g} s" if span else ""
        raise InputError(f"{path} holds no samples{where}; record it again or leave it out")
    if not int(frames * rate / file.samplerate + 0.5):
        raise InputError(
            f"{path} is too short: {frames} samples at {file.samplerate} Hz are none at {rate} Hz; "
            "record it again or leave it out"
        )
    chosen = used_channel(mean_energy, energies) if channel is None else channel
    scale = divisor(peak, whole, str(path)) if "PCM" not in file.subtype else 1.0
    energy = mean_energy if channel is None else float(energies[channel])
    offset = _offset(np.concatenate(means) / scale, energy**0.5 / frames / scale)
    return _Decoded(waveform, frames, chosen, scale, offset, peak, (full[0], full[1]))


def _offset(means: np.ndarray, error: float) -> float:
    """Return the median of the means of parts, 0 where it is no offset."""
    offset = float(np.median(means)) if len(means) else 0.0
    return offset if abs(offset) > max(OFFSET, CERTAIN * error) else 0.0


def _blocks(
    file: soundfile.SoundFile, span: Span | None = None, size: int | None = None
) -> Iterator[np.ndarray]:
    """Yield the samples of a file or of a span of it, float32 (t, C), t up to `size`."""
    step, left = file.samplerate // PART, float("inf")
    if size is None:
        size = step * max(1, BLOCK // file.channels // step)  # in whole parts, see PART
    if span is not None:
        first = round(span[0] * file.samplerate)
        left = round(span[1] * file.samplerate) - first
        if soundfile.SoundFile.seekable(file):
            file.seek(min(first, file.frames))
        else:
            file.read(first, dtype="float32", always_2d=True)
    elif 0 < file.frames < size:
        size = file.frames
    while left > 0:
        block = file.read(int(min(size, left)), dtype="float32", always_2d=True)
        if not len(block):
            return
        left -= len(block)
        yield block


def _resampled(parts: Iterator[np.ndarray], source_rate: int, rate: int) -> np.ndarray:
    """Resample and join parts (t,); a single one as `resample` does."""
    first = next(parts, np.zeros(0, np.float32))
    second = next(parts, None)
    if second is None:
        return resample(first, source_rate, rate)
    if source_rate == rate:
        return np.concatenate([first, second, *parts])
    resampler = resampling(source_rate, rate)
    done = [resampler.resample_chunk(part) for part in (first, second)]
    done += [resampler.resample_chunk(part) for part in parts]
    done.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    return np.concatenate(done)


def resampling(source_rate: int, target_rate: int) -> soxr.ResampleStream:
    """Return what resamples a waveform (T,), both rates in Hz, chunk by chunk."""
    return soxr.ResampleStream(source_rate, target_rate, 1, "float32", quality="HQ")


def resample(waveform: np.ndarray, source_rate: int, target_rate: int) -> np.ndarray:
    """Resample (T,) from `source_rate` to `target_rate`, both in Hz."""
    if source_rate == target_rate:
        return waveform
    return soxr.resample(waveform, source_rate, target_rate, quality="HQ")
