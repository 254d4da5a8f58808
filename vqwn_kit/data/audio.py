"""Sound files <-> mono float32 waveforms in [-1, 1], shape (T,); mu-law, silence, level."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from vqwn_kit.data.headers import EXTENSIONS as EXTENSIONS
from vqwn_kit.data.sound_file import (
    Recording as Recording,
    Span,
    read,
    resample as resample,
    stream,
)
from vqwn_kit.errors import InputError
from vqwn_kit.files import bundled, replacing
from vqwn_kit.waveforms import as_waveform

SAMPLE_RATE = 16_000  # Hz; of every model
TRIM_DB = 40.0  # silence at the ends lies this far below the loudest frame


def load_audio(
    path: str | Path, sample_rate: int = SAMPLE_RATE, span: Span | None = None
) -> np.ndarray:
    """Read a recording as a mono waveform.

    Args:
        path: any file that libsndfile reads, at any rate and with any number of channels.
        sample_rate: rate of the result in Hz; other rates are resampled with soxr (HQ).
        span: begin and end in seconds of the part to read.

    Returns:
        float32 (T,), clipped to [-1, 1]; channels are averaged, an offset is removed.

    Raises:
        InputError: the file is missing, unreadable or empty, or has samples that are not finite.
    """
    return np.clip(read(path, sample_rate, span).waveform, -1.0, 1.0)


def stream_audio(
    path: str | Path, sample_rate: int = SAMPLE_RATE, seconds: float = 30.0
) -> Iterator[np.ndarray]:
    """Yield a recording in blocks, which joined are what `load_audio` returns, to the last bit.

    The memory that is needed does not depend on the length of the recording, which is decoded
    twice: what has to be mended is known at its end.

    Args:
        path: see `load_audio`.
        sample_rate: rate of the result in Hz.
        seconds: length of a block before it is resampled.

    Raises:
        InputError: see `load_audio`; before the first block.
    """
    for block in stream(bundled(path), sample_rate, seconds):
        yield np.clip(block, -1.0, 1.0)


def save_audio(path: str | Path, waveform: np.ndarray, sample_rate: int = SAMPLE_RATE) -> Path:
    """Write a waveform (T,) as 16-bit .wav or .flac, and return the path.

    Values outside [-1, 1] are clipped; the level is kept. On an error no file is left. Other forms
    of a waveform are those of `as_waveform`.

    Raises:
        InputError: another extension, or no waveform.
        OSError: the disk is full, or the folder cannot be written to.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("wav", "flac"):
        raise InputError(f"cannot save sound as {path.name}: give a name in .wav or .flac")
    samples = as_waveform(waveform, path.name) if np.size(waveform) else np.zeros(0)
    with replacing(path) as scratch:
        try:
            soundfile.write(scratch, samples, sample_rate, "PCM_16", format=kind.upper())
        except soundfile.LibsndfileError as error:
            raise OSError(f"cannot write {path}: {error.error_string}") from error
    return path


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
    zeros nothing is left. As `librosa.effects.trim`, which compiles for half a minute when it is
    first imported.
    """
    if not np.any(waveform):
        return waveform[:0], 0
    hop = 256
    body, rest = np.split(waveform, [len(waveform) // hop * hop])
    body = body.reshape(-1, hop)
    energy = np.einsum("ij,ij->i", body, body, dtype=np.float64)
    last = np.einsum("j,j->", rest, rest, dtype=np.float64)
    energy = np.concatenate([np.zeros(2), energy, [last, 0.0]])
    power = np.convolve(energy, np.ones(4), "valid")  # of frames of four blocks
    loud = np.flatnonzero(power > power.max() * 10 ** (-top_db / 10))
    start, end = hop * loud[0], hop * (loud[-1] + 1)
    return waveform[start:end], int(start)


def set_level(waveform: np.ndarray, level_db: float) -> np.ndarray:
    """Scale (T,) to an RMS of `level_db` dBFS; to less where a sample would leave [-1, 1]."""
    rms, peak = np.sqrt(np.mean(np.square(waveform, dtype=np.float64))), np.abs(waveform).max()
    return waveform * np.float32(min(10 ** (level_db / 20) / max(rms, 1e-9), 1.0 / max(peak, 1e-9)))
