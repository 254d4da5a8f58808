"""Recordings of any length: surveyed, cut into windows, written as they are made.

What is kept of a recording is a window of it, so that an hour takes the memory of ten seconds.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from vqwn_kit.data.audio import SAMPLE_RATE, stream_audio
from vqwn_kit.data.headers import opened
from vqwn_kit.data.sound_file import resampling
from vqwn_kit.files import replacing

BLOCK = 1 << 16  # samples of a file that are copied at once
MOST_BYTES = 4_000_000_000  # of the samples of a WAV file, whose sizes have 32 bits


class Survey(NamedTuple):
    """What a first pass over a recording found.

    Attributes:
        path: of the file.
        length: in samples at 16 kHz.
        sample_rate: of the file, in Hz.
        rms: of what `load_audio` returns.
    """

    path: Path
    length: int
    sample_rate: int
    rms: float


def survey(path: str | Path) -> Survey:
    """Read a recording once, so that what is wrong with it is known before it is used.

    Raises:
        InputError: the file is missing, unreadable or empty, or has samples that are not finite.
    """
    length, energy = 0, 0.0
    for block in stream_audio(path):
        length, energy = length + len(block), energy + _energy(block)
    with opened(Path(path), {}) as file:
        return Survey(Path(path), length, file.samplerate, float(np.sqrt(energy / length)))


def _energy(samples: np.ndarray) -> float:
    return float(np.sum(np.square(samples, dtype=np.float64)))


def windows(
    blocks: Iterable[np.ndarray], size: int, margin: int
) -> Iterator[tuple[np.ndarray, int, int]]:
    """Cut what comes in blocks (t, ...) into parts of `size`, with their surroundings.

    The windows depend on `size` and `margin` only, not on the blocks.

    Args:
        blocks: parts of an array, along its first axis.
        size: of a part; the last one may be shorter.
        margin: elements on either side of a part that its window has too, as far as there are any.

    Yields:
        The window, and where in it the part begins and ends.
    """
    rest, begin, ended = None, 0, False  # what is kept, and where in it the next part begins
    blocks = iter(blocks)
    while not ended:
        block = next(blocks, None)
        ended = block is None
        if block is not None:
            rest = block if rest is None else np.concatenate([rest, block])
        while rest is not None and len(rest) - begin >= (1 if ended else size + margin):
            end = min(begin + size, len(rest))
            yield rest[: end + margin], begin, end
            dropped = max(0, end - margin)
            rest, begin = rest[dropped:], end - dropped


class AudioWriter:
    """Appends sound to a .wav file, which is whole after every part, whatever happens then.

    Beyond 4 GB, for which the sizes in a WAV file are too small, it becomes RF64 (EBU Tech 3306),
    which differs from WAV in these sizes.

    Args:
        path: of the file, which is replaced.
        sample_rate: of the file, in Hz; what is written at 16 kHz is resampled.
        rms: of the finished file; None keeps the level. It is reached by one factor, at the end,
            and less of it where a sample would leave [-1, 1].

    Raises:
        OSError: the disk is full, or the folder cannot be written to.

    Example:
        with AudioWriter("long.wav") as writer:
            for part in parts:
                writer.write(part)
    """

    def __init__(self, path: str | Path, sample_rate: int = SAMPLE_RATE, rms: float | None = None):
        self.path, self.sample_rate, self.rms = Path(path), sample_rate, rms
        self.length, self.energy, self.peak = 0, 0.0, 0.0
        self.resampler = None
        if sample_rate != SAMPLE_RATE:
            self.resampler = resampling(SAMPLE_RATE, sample_rate)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.subtype = "PCM_16" if rms is None else "FLOAT"  # rounded once only
        with _writing(self.path):
            soundfile.write(self.path, np.zeros(0), sample_rate, self.subtype, format="WAV")

    def write(self, waveform: np.ndarray) -> None:
        """Append a waveform (t,) at 16 kHz."""
        if self.resampler is not None:
            waveform = self.resampler.resample_chunk(waveform)
        self._append(waveform)

    def _append(self, waveform: np.ndarray) -> None:
        if not len(waveform):
            return
        before, self.length = self.length, self.length + len(waveform)
        if self._form(self.subtype, before) != self._form(self.subtype, self.length):
            dtype = "int16" if self.subtype == "PCM_16" else "float32"  # to the last bit
            self._rewrite(self.subtype, soundfile.blocks(self.path, BLOCK, dtype=dtype))
        self.energy += _energy(waveform)
        self.peak = max(self.peak, float(np.abs(waveform).max()))
        with _writing(self.path), soundfile.SoundFile(self.path, "r+") as file:
            file.seek(0, soundfile.SEEK_END)
            file.write(np.clip(waveform, -1.0, 1.0))

    def close(self) -> None:
        """Write what the resampler has kept, and set the level; a file without sound is removed."""
        if self.resampler is not None:
            self._append(self.resampler.resample_chunk(np.zeros(0, np.float32), last=True))
            self.resampler = None
        if not self.length:
            self.path.unlink(missing_ok=True)
        elif self.rms is not None:
            self._set_level(self.rms)

    def _set_level(self, rms: float) -> None:
        own = np.sqrt(self.energy / self.length)
        gain = np.float32(min(rms / max(own, 1e-9), 1.0 / max(self.peak, 1e-9)))
        blocks = soundfile.blocks(self.path, BLOCK, dtype="float32")
        self._rewrite("PCM_16", (np.clip(gain * block, -1.0, 1.0) for block in blocks))

    def _form(self, subtype: str, length: int) -> str:
        """Return the format of a file of so many samples."""
        return "RF64" if length * (2 if subtype == "PCM_16" else 4) > MOST_BYTES else "WAV"

    def _rewrite(self, subtype: str, blocks: Iterable[np.ndarray]) -> None:
        """Replace the file by one with these samples, in the format of its length."""
        form = self._form(subtype, self.length)
        with replacing(self.path) as scratch, _writing(self.path):
            with soundfile.SoundFile(
                scratch, "w", self.sample_rate, 1, subtype, format=form
            ) as file:
                for block in blocks:
                    file.write(block)

    def __enter__(self) -> "AudioWriter":
        """Return the writer."""
        return self

    def __exit__(self, *error) -> None:
        """Close the file, after an error too: what was written stays."""
        self.close()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except soundfile.LibsndfileError as error:
        raise OSError(f"cannot write {path}: {error.error_string}") from error
