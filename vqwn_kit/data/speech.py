"""A folder, files or arrays of one person's speech -> waveforms without silence at their ends."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from vqwn_kit.data import audio
from vqwn_kit.data.decode import SILENCE, Settings, convert
from vqwn_kit.errors import InputError
from vqwn_kit.waveforms import as_waveform

Sounds = str | Path | np.ndarray | Sequence[str | Path | np.ndarray]
FRAME = 320  # samples, 20 ms


def read_speech(sounds: Sounds, most: float) -> list[np.ndarray]:
    """Return waveforms, float32 (T,) at 16 kHz, up to `most` seconds in all.

    Args:
        sounds: a folder, whose sound files are read in the order of their names; a file; a
            waveform at 16 kHz, (T,) in [-1, 1] or another form of `as_waveform`, such as 16-bit
            samples (T, C); or a list of the last two.
        most: in seconds; the waveform that reaches it is cut, and the rest is not read.

    Raises:
        InputError: no such file or folder, one that cannot be read, a silent one, or no sounds. Of
            a folder, files that cannot be used are left out where others can.
    """
    is_folder = isinstance(sounds, str | Path) and Path(sounds).is_dir()
    given, waves, problems, left = _listed(sounds), [], [], round(most * audio.SAMPLE_RATE)
    for sound in given:
        if left <= 0:
            break
        waveform, problem = _waveform(sound)
        if problem and not is_folder:
            raise InputError(problem)
        if problem:
            problems.append(problem)
            continue
        waves.append(waveform[:left])
        left -= len(waveform)
    if not waves:
        reasons = "; ".join(problems[:3]) or "there is no sound file"
        raise InputError(f"no speech in {sounds}: {reasons}")
    return waves


def active_seconds(waveforms: Iterable[np.ndarray]) -> float:
    """Return the seconds of waveforms whose level is within 40 dB of the loudest 20 ms."""
    levels = [np.zeros(0)]
    for waveform in waveforms:
        frames = waveform[: len(waveform) // FRAME * FRAME].reshape(-1, FRAME)
        levels.append(np.sqrt(np.mean(np.square(frames, dtype=np.float64), axis=1)))
    level = np.concatenate(levels)
    loud = level > level.max(initial=0.0) * 10 ** (-audio.TRIM_DB / 20)
    return float(loud.sum() * FRAME / audio.SAMPLE_RATE)


def _listed(sounds: Sounds) -> list:
    if isinstance(sounds, str | Path):
        path = Path(sounds)
        if not path.is_dir():
            return [path]
        return sorted(f for f in path.rglob("*") if f.suffix.lower() in audio.EXTENSIONS)
    if isinstance(sounds, np.ndarray):
        return [sounds]
    sounds = list(sounds)
    if not sounds:
        raise InputError("no sounds given; expected a folder, files or waveforms of one speaker")
    return sounds


def _waveform(sound) -> tuple[np.ndarray, str]:
    """Return a waveform without silence at its ends, and why it cannot be used, or ""."""
    if isinstance(sound, str | Path):
        converted = convert(Path(sound), Settings())
        return converted.samples.astype(np.float32) / np.float32(32768.0), converted.problem
    waveform = as_waveform(sound, "the speech")
    if np.abs(waveform).max(initial=0.0) < SILENCE:
        return waveform[:0], "the waveform is silent (peak under -60 dBFS)"
    return audio.trim_silence(waveform)[0], ""
