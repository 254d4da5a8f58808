"""The pitch of recordings, relative to their speaker's mean, frame by frame of a model's codes.

Everywhere but in this file a pitch is in semitones relative to the mean pitch of its speaker, and
NaN where unvoiced. The estimator is swift-f0.
"""

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np

from vqwn_kit.data.arrays import load_arrays, save_arrays
from vqwn_kit.data.audio import SAMPLE_RATE
from vqwn_kit.data.long_audio import windows
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError

PERIOD = 256  # samples between two values of a track, 16 ms; value k is centred on sample 256 k
VOICED = 0.5  # least confidence of a voiced value
HIGHEST = 600.0  # Hz
WINDOW = 1024 * PERIOD  # samples of a long recording that are estimated at once, 16 s
MARGIN = 64 * PERIOD  # samples around them that the estimator receives, too, 1 s


@cache
def _estimator():
    from swift_f0 import SwiftF0

    return SwiftF0(threads=1)


def pitch_of(waveform: np.ndarray) -> np.ndarray:
    """Return the pitch in Hz of a waveform (T,) at 16 kHz every 16 ms; NaN where unvoiced."""
    track = _estimator().detect(np.asarray(waveform, np.float32), SAMPLE_RATE, fmax=HIGHEST)
    return np.where(track.confidence >= VOICED, track.pitch_hz, np.nan)


def frames_of(
    track: np.ndarray, length: int, hop_length: int, frames: int, begin: int = 0
) -> np.ndarray:
    """Return a track's value nearest to the middle of each frame, float32 (N,).

    Args:
        track: (F,), a value each `PERIOD` samples.
        length: samples of the utterance; outside of it a frame is NaN.
        hop_length: samples per frame.
        frames: N.
        begin: first sample of the first frame; may be negative.
    """
    middles = begin + hop_length * np.arange(frames) + hop_length // 2
    nearest = np.minimum((middles + PERIOD // 2) // PERIOD, len(track) - 1)
    inside = (middles >= 0) & (middles < length)
    return np.where(inside, track[np.maximum(nearest, 0)], np.nan).astype(np.float32)


def relative_pitch(blocks: Iterable[np.ndarray], hop_length: int) -> np.ndarray:
    """Return the pitch of each frame of a recording, float32 (N,), N = T / hop, rounded up.

    In semitones relative to the recording's own mean over voiced frames, NaN where unvoiced. A
    long recording is estimated in windows.

    Args:
        blocks: the recording, (t,) at 16 kHz, block by block; `[waveform]` for one at hand.
        hop_length: samples per frame.
    """
    octaves, length = _octaves(blocks)
    track = 12.0 * (octaves - _mean(octaves))
    return frames_of(track, length, hop_length, -(-length // hop_length))


def speaker_pitch(
    waveforms: Iterable[np.ndarray], hop_length: int
) -> tuple[np.ndarray, float | None]:
    """Return the pitch of each frame of recordings of one speaker, and the mean pitch in Hz.

    Args:
        waveforms: (T_u,) at 16 kHz.
        hop_length: samples per frame.

    Returns:
        The frames of one recording after another, float32 (N,), in semitones relative to the mean
        over all of them, NaN where unvoiced; and that mean, or None where nothing is voiced.
    """
    parts = [_octaves([waveform]) for waveform in waveforms]
    joined = np.concatenate([octaves for octaves, _ in parts])
    mean = _mean(joined)
    tracks = [
        frames_of(12.0 * (octaves - mean), length, hop_length, -(-length // hop_length))
        for octaves, length in parts
    ]
    return np.concatenate(tracks), None if np.isnan(joined).all() else 2.0**mean


def _octaves(blocks: Iterable[np.ndarray]) -> tuple[np.ndarray, int]:
    """Return log2 of the pitch in Hz of a recording, (F,), and its length in samples."""
    tracks, length = [], 0
    for waveform, begin, end in windows(blocks, WINDOW, MARGIN):
        last = end if end < len(waveform) else None
        tracks.append(pitch_of(waveform)[begin // PERIOD : last and last // PERIOD])
        length += end - begin
    return np.log2(np.concatenate(tracks)), length


def _mean(octaves: np.ndarray) -> float:
    """Return the mean over voiced values; 0 where there are none."""
    voiced = octaves[~np.isnan(octaves)]
    return float(voiced.mean()) if len(voiced) else 0.0


class PitchTracks:
    """The pitch of all utterances of a store.

    Args:
        octaves: of each utterance log2 of the pitch in Hz, (F_u,), NaN where unvoiced.
        store: the store.

    Attributes:
        means: by speaker number the mean of log2 of the pitch in Hz over voiced frames of their
            training utterances, for those who have any.
        tracks: of each utterance float32 (F_u,), a value each `PERIOD` samples, in semitones
            relative to the speaker's mean, or else to its own; NaN where unvoiced.
    """

    def __init__(self, octaves: list[np.ndarray], store: Store):
        speakers, self.means = store.speaker_ids.tolist(), {}
        self.lengths = store.lengths
        voiced = [track[~np.isnan(track)] for track in octaves]
        train = [n for n in store.numbers("train").tolist() if len(voiced[n])]
        for speaker in {speakers[n] for n in train}:
            own = [voiced[n] for n in train if speakers[n] == speaker]
            self.means[speaker] = float(np.concatenate(own).mean())
        means = [self.means.get(s, _mean(x)) for s, x in zip(speakers, octaves, strict=True)]
        self.tracks = [
            (12.0 * (track - mean)).astype(np.float32)
            for track, mean in zip(octaves, means, strict=True)
        ]

    def frames(
        self, number: int, hop_length: int, frames: int | None = None, begin: int = 0
    ) -> np.ndarray:
        """Return the pitch of frames of an utterance, float32 (N,), NaN outside of it.

        Args:
            number: of the utterance.
            hop_length: samples per frame.
            frames: N; by default those of the whole utterance, the last one padded.
            begin: first sample of the first frame; may be negative.
        """
        length = int(self.lengths[number])
        count = -(-length // hop_length) if frames is None else frames
        return frames_of(self.tracks[number], length, hop_length, count, begin)


_opened: WeakKeyDictionary[Store, PitchTracks] = WeakKeyDictionary()


def tracks_of(store: Store, progress: bool = True) -> PitchTracks:
    """Return the pitch of all utterances of a store, estimated once and cached in its folder.

    Args:
        store: the prepared corpus; one that has changed is estimated again.
        progress: show a progress bar while estimating.

    Raises:
        InputError: the store has another sample rate than 16 kHz.
    """
    if store in _opened:
        return _opened[store]
    if store.sample_rate != SAMPLE_RATE:
        raise InputError(
            f"pitch is estimated at {SAMPLE_RATE} Hz; this store has {store.sample_rate} Hz"
        )
    digest = hashlib.sha256(f"swift-f0 {VOICED} {HIGHEST} {store.identity}".encode())
    file = store.folder / f"pitch-{digest.hexdigest()[:12]}.npz"
    octaves = _read(file, len(store))
    if octaves is None:
        octaves = _estimate(store, progress)
        ends = np.cumsum([len(track) for track in octaves])
        save_arrays(file, {"octaves": np.concatenate(octaves), "ends": ends})
    _opened[store] = PitchTracks(octaves, store)
    return _opened[store]


def _estimate(store: Store, progress: bool) -> list[np.ndarray]:
    from tqdm.auto import tqdm

    numbers = tqdm(range(len(store)), desc="pitch", unit="utterance", disable=not progress)
    return [np.log2(pitch_of(store.waveform(n))).astype(np.float32) for n in numbers]


def _read(file: Path, utterances: int) -> list[np.ndarray] | None:
    """Return the tracks of a file, or None where it is missing or damaged."""
    try:
        content = load_arrays(file)
        octaves, ends = content["octaves"], content["ends"]
    except (InputError, KeyError):
        return None
    if octaves.ndim != 1 or ends.shape != (utterances,) or ends[-1] != len(octaves):
        return None
    return np.split(octaves, ends[:-1])
