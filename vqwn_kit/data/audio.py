"""Sound files <-> mono float32 waveforms in [-1, 1], shape (T,). NumPy only."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from vqwn_kit.errors import InputError
from vqwn_kit.files import replacing

SAMPLE_RATE = 16_000  # Hz; of every model
EXTENSIONS = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".au", ".caf"}
LOWEST_RATE = 1000  # Hz; a lower one is an error of the header, and resampling would take gigabytes
TRIM_DB = 40.0  # silence at the ends lies this far below the loudest frame
UNKNOWN_SIZE = 0x7FFFFFFF - 4096  # bytes; from here on, the header was written before the end


@dataclass(frozen=True)
class Recording:
    """The content of a sound file.

    Attributes:
        waveform: float32 (T,), channels averaged, at the file's own rate; not clipped.
        seconds: its length.
        sample_rate: in Hz.
        channels: their number.
        kind: container and sample format, such as `WAV PCM_24`.
        kept: share of the size in the header that is there; below 1 the file was cut off.
        clipped: share of the samples at full scale.
    """

    waveform: np.ndarray
    seconds: float
    sample_rate: int
    channels: int
    kind: str
    kept: float
    clipped: float


def read(path: str | Path) -> Recording:
    """Read a sound file without resampling, with facts about the file.

    Raises:
        InputError: the file is missing, unreadable or empty, or has samples that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        if path.exists():  # opening a pipe would block forever
            raise InputError(f"{path} is a folder, a pipe or a device. Give a sound file")
        raise InputError(f"no such recording: {path}. Give the path of a sound file")
    try:
        with soundfile.SoundFile(path) as file:
            # `frames` is given since formats without seeking (GSM) are not read to the end else
            samples = file.read(file.frames, dtype="float32", always_2d=True)
            rate, kind, kept = file.samplerate, f"{file.format} {file.subtype}", _kept(file)
    except soundfile.LibsndfileError as error:
        raise InputError(_unreadable(path, error)) from error
    except MemoryError as error:
        raise InputError(f"{path} is too long for the memory; cut it into parts") from error
    if not len(samples):
        raise InputError(f"{path} holds no samples; record it again or leave it out")
    if rate < LOWEST_RATE:
        raise InputError(f"{path} has a sample rate of {rate} Hz in its header; export it again")
    if not np.isfinite(samples).all():
        raise InputError(f"{path} holds samples that are NaN or infinite; export it again")
    clipped = np.count_nonzero(np.abs(samples) >= 0.9999) / samples.size
    channels = samples.shape[1]
    waveform = samples[:, 0] if channels == 1 else samples.mean(axis=1)
    return Recording(waveform, len(waveform) / rate, rate, channels, kind, kept, clipped)


def _kept(file: soundfile.SoundFile) -> float:
    """Return the share of the bytes in the header that are there, from libsndfile's log."""
    match = re.search(r"(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)", file.extra_info)
    promised, present = (int(match[1]), int(match[2])) if match else (1, 1)
    return present / promised if present < promised < UNKNOWN_SIZE else 1.0


def _unreadable(path: Path, error: soundfile.LibsndfileError) -> str:
    try:
        with path.open("rb") as file:
            first_byte = file.read(1)
    except OSError as refused:
        return f"{path} cannot be opened ({refused.strerror}); change its permissions"
    if not first_byte:
        return f"{path} is empty (no sound, 0 bytes); record it again or leave it out"
    return (
        f"{path} is no sound file that can be read ({error.error_string.rstrip('.')}); "
        f"expected one of {', '.join(sorted(EXTENSIONS))}"
    )


def load_audio(path: str | Path, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Read a recording as a mono waveform.

    Args:
        path: any file that libsndfile reads, at any rate and with any number of channels.
        sample_rate: rate of the result in Hz; other rates are resampled with soxr (HQ).

    Returns:
        float32 (T,), clipped to [-1, 1]; channels are averaged.

    Raises:
        InputError: the file is missing, unreadable or empty, or has samples that are not finite.
    """
    recording = read(path)
    return np.clip(resample(recording.waveform, recording.sample_rate, sample_rate), -1.0, 1.0)


def save_audio(path: str | Path, waveform: np.ndarray, sample_rate: int = SAMPLE_RATE) -> Path:
    """Write a waveform (T,) as 16-bit .wav or .flac, and return the path.

    Values outside [-1, 1] are clipped; the level is kept. On an error no file is left.

    Raises:
        InputError: another extension.
        OSError: the disk is full, or the folder cannot be written to.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("wav", "flac"):
        raise InputError(f"cannot save sound as {path.name}: give a name in .wav or .flac")
    samples = np.clip(waveform, -1.0, 1.0)
    with replacing(path) as scratch:
        try:
            soundfile.write(scratch, samples, sample_rate, "PCM_16", format=kind.upper())
        except soundfile.LibsndfileError as error:
            raise OSError(f"cannot write {path}: {error.error_string}") from error
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


def trim_silence(waveform: np.ndarray, top_db: float = TRIM_DB) -> tuple[np.ndarray, int]:
    """Cut silence at both ends of (T,), and return the rest and the samples cut at the front.

    Frames of 64 ms whose power is `top_db` below the loudest frame are silence. Of a waveform of
    zeros nothing is left.
    """
    from librosa.effects import trim

    if not np.any(waveform):
        return waveform[:0], 0
    trimmed, (start, _) = trim(waveform, top_db=top_db, frame_length=1024, hop_length=256)
    return trimmed, int(start)


def set_level(waveform: np.ndarray, level_db: float) -> np.ndarray:
    """Scale (T,) to an RMS of `level_db` dBFS; to less where a sample would leave [-1, 1]."""
    rms, peak = np.sqrt(np.mean(np.square(waveform, dtype=np.float64))), np.abs(waveform).max()
    return waveform * np.float32(min(10 ** (level_db / 20) / max(rms, 1e-9), 1.0 / max(peak, 1e-9)))
