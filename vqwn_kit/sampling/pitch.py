"""The pitch that a model takes as an input: of a recording, of a store's utterance, or given."""

from collections.abc import Iterable

import numpy as np

from vqwn_kit.data.pitch import relative_pitch, tracks_of
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError
from vqwn_kit.models.pitch import levels_to_pitch, pitch_to_levels
from vqwn_kit.models.vqvae import VQVAE
from vqwn_kit.waveforms import as_waveform

FURTHEST = 60.0  # semitones from a speaker's mean: five octaves


def waveform_pitch(model: VQVAE, waveform: np.ndarray) -> np.ndarray:
    """Return the pitch of each frame of a waveform (T,), float32 (N,), for `pitch` of `generate`.

    In semitones relative to its own mean, NaN where unvoiced; to transpose it, add semitones.

    Args:
        model: a model with `pitch_levels`.
        waveform: (T,) at 16 kHz.

    Raises:
        InputError: the model takes no pitch.

    Example:
        pitch = waveform_pitch(model, waveform) + 3
        convert_voice(model, waveform, ["joe"], pitch=pitch)
    """
    return recording_pitch(model, [as_waveform(waveform)])


def recording_pitch(model: VQVAE, blocks: Iterable[np.ndarray]) -> np.ndarray:
    """Return the pitch of each frame of a recording that comes in blocks; see `waveform_pitch`."""
    if not model.pitch_levels:
        raise InputError(
            "this model is not conditioned on pitch: train one with "
            "decoder.conditioner.pitch_levels=50"
        )
    return relative_pitch(blocks, model.hop_length)


def utterance_pitch(
    model: VQVAE,
    store: Store,
    number: int,
    frames: int | None = None,
    progress: bool = True,
) -> np.ndarray | None:
    """Return the pitch of a store's utterance as in training, float32 (1, N); see `PitchTracks`.

    Args:
        model: the model; of one that takes no pitch the answer is None.
        store: the prepared corpus.
        number: of the utterance.
        frames: N, from the first one; by default all.
        progress: show a progress bar while the pitch of the store is estimated.
    """
    if not model.pitch_levels:
        return None
    return tracks_of(store, progress).frames(number, model.hop_length, frames)[None]


def checked_pitch(model: VQVAE, pitch, rows: int, frames: int) -> np.ndarray | None:
    """Return pitch as float32 (S', N); None where the model takes none and none is given.

    Args:
        model: the model.
        pitch: (N,), (1, N) or (S', N), in semitones relative to the speaker's mean, NaN where
            unvoiced; or None.
        rows: S'.
        frames: N.

    Raises:
        InputError: another shape, values of no such unit, or see `VQVAE.condition`.
    """
    if pitch is None or not model.pitch_levels:
        return pitch  # of which `VQVAE.condition` says what is wrong, if anything is
    given = np.asarray(pitch, np.float32)
    track = given[None] if given.ndim == 1 else given
    if track.ndim != 2 or len(track) not in (1, rows) or track.shape[1] != frames:
        raise InputError(
            f"pitch of shape {given.shape}; expected ({frames},) or ({rows}, {frames}), one value "
            "per frame"
        )
    furthest = np.max(np.abs(track), initial=0.0, where=~np.isnan(track))
    if furthest > FURTHEST:
        raise InputError(
            f"a pitch of {furthest:g}; expected semitones relative to the speaker's mean, such as "
            "-5 to 5, not Hz"
        )
    return np.repeat(track, rows, axis=0) if len(track) == 1 else track


def join_pitch(model: VQVAE, codes: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    """Return codes (..., N) or (..., N, Q) and the levels of a pitch (..., N) as (..., N, Q + 1).

    So a prior has the pitch as one more codebook, the last of each frame; see `split_pitch`.
    """
    levels = np.array(pitch_to_levels(pitch, model.pitch_levels))[..., None]
    return np.concatenate([codes.reshape(*pitch.shape, -1), levels], axis=-1)


def split_pitch(model: VQVAE, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the codes of frames as `join_pitch` returns them, and their pitch (..., N).

    Of a model that takes no pitch, the frames are the codes, and the pitch is None.
    """
    if not model.pitch_levels:
        return frames, None
    codes = frames[..., 0] if frames.shape[-1] == 2 else frames[..., :-1]
    return codes, levels_to_pitch(frames[..., -1], model.pitch_levels)
