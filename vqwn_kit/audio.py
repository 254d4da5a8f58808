"""Recordings in and out: a file <-> a mono float32 waveform in [-1, 1], shape (T,). NumPy only."""

from pathlib import Path

import numpy as np
import soundfile
import soxr

from vqwn_kit.errors import InputError
from vqwn_kit.files import replacing

SAMPLE_RATE = 16_000  # Hz; every model of the workbench hears and speaks at this rate
EXTENSIONS = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif"}


def load(path: str | Path, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Read a recording as a mono waveform.

    Args:
        path: any file that libsndfile reads, at any rate and with any number of channels.
        sample_rate: rate of the result in Hz; other rates are resampled with soxr (HQ).

    Returns:
        float32 (T,), clipped to [-1, 1]; channels are averaged.

    Raises:
        InputError: no such file, no sound in it, or samples that aren't finite.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no such recording: {path}. Give the path of a sound file")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise InputError(
            f"{path} is no sound that can be read ({error.error_string.rstrip('.')}); "
            f"expected one of {', '.join(sorted(EXTENSIONS))}"
        ) from error
    if not len(samples):
        raise InputError(f"{path} holds no samples; record it again or leave it out")
    if not np.isfinite(samples).all():
        raise InputError(f"{path} holds samples that are NaN or infinite; export it again")
    return np.clip(resample(samples.mean(axis=1), rate, sample_rate), -1.0, 1.0)


def save(path: str | Path, waveform: np.ndarray, sample_rate: int = SAMPLE_RATE) -> Path:
    """Write a waveform (T,) in [-1, 1] as 16-bit .wav or .flac, and return the path.

    Values outside [-1, 1] are clipped. The loudness isn't changed. The file is written whole or
    not at all.

    Raises:
        InputError: another extension.
        OSError: the disk is full, or the folder can't be written to.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("wav", "flac"):
        raise InputError(f"can't save sound as {path.name}: give a name that ends in .wav or .flac")
    samples = np.clip(waveform, -1.0, 1.0)
    with replacing(path) as scratch:
        try:
            soundfile.write(scratch, samples, sample_rate, "PCM_16", format=kind.upper())
        except soundfile.LibsndfileError as error:
            raise OSError(f"can't write {path}: {error.error_string}") from error
    return path


def resample(waveform: np.ndarray, source_rate: int, target_rate: int) -> np.ndarray:
    """Resample (T,) from `source_rate` to `target_rate`, both in Hz."""
    if source_rate == target_rate:
        return waveform
    return soxr.resample(waveform, source_rate, target_rate, quality="HQ")


def mu_law_encode(waveform: np.ndarray, levels: int = 256) -> np.ndarray:
    """Compand a waveform in [-1, 1] to integer levels 0..`levels` - 1 (ITU-T G.711, as a formula).

    y = sign(x) ln(1 + mu |x|) / ln(1 + mu), level = floor((y + 1) / 2 * mu + 0.5), mu = levels - 1.
    """
    mu = levels - 1
    clipped = np.clip(waveform, -1.0, 1.0)
    companded = np.sign(clipped) * np.log1p(mu * np.abs(clipped)) / np.log1p(mu)
    return np.floor((companded + 1.0) / 2.0 * mu + 0.5).astype(np.int32)


def mu_law_decode(level: np.ndarray, levels: int = 256) -> np.ndarray:
    """Expand integer levels 0..`levels` - 1 to a float32 waveform in [-1, 1]."""
    mu = levels - 1
    companded = 2.0 * np.asarray(level, np.float64) / mu - 1.0
    waveform = np.sign(companded) * np.expm1(np.abs(companded) * np.log1p(mu)) / mu
    return waveform.astype(np.float32)


def trim_silence(waveform: np.ndarray, top_db: float = 40.0) -> tuple[np.ndarray, int]:
    """Cut silence at both ends of (T,).

    Args:
        waveform: float32 (T,).
        top_db: what lies this far below the loudest frame (64 ms, by power) is silence.

    Returns:
        The remaining samples and how many were cut at the front. A waveform without any
        sound comes back empty.
    """
    from librosa.effects import trim

    if not np.any(waveform):
        return waveform[:0], 0
    trimmed, (start, _) = trim(waveform, top_db=top_db, frame_length=1024, hop_length=256)
    return trimmed, int(start)
