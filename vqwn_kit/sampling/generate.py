"""Synthesis: codes or a recording, and speakers -> waveforms."""

import threading
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from vqwn_kit.data.audio import SAMPLE_RATE
from vqwn_kit.errors import InputError
from vqwn_kit.models.vqvae import VQVAE, as_batch
from vqwn_kit.sampling.codes import checked_codes, quantize
from vqwn_kit.sampling.files import synthesising
from vqwn_kit.sampling.parts import (
    Speaker,
    condition_codes,
    condition_waveform,
    conditioning_for,
    side_by_side,
    sound_of,
)
from vqwn_kit.sampling.pitch import checked_pitch, waveform_pitch
from vqwn_kit.waveforms import as_waveform


def generate(
    model: VQVAE,
    codes: np.ndarray,
    speakers: Iterable[Speaker],
    *,
    pitch: np.ndarray | None = None,
    codebooks: int | None = None,
    mode: str = "sample",
    temperature: float | str = 1.0,
    top_k: int | None = None,
    seed: int = 0,
    precision: str = "float32",
    threads: int | None = None,
    progress: bool = False,
    stop: threading.Event | None = None,
) -> np.ndarray:
    """Synthesise codes in the voices of speakers; all are sampled as one batch.

    A first stage has no WaveNet: its mel bands are synthesised by `griffin_lim`, for which of the
    settings only `seed` and `progress` matter.

    Args:
        model: a trained model.
        codes: int (N,), (1, N): the same for all speakers, or (S', N), one row per speaker. Of a
            model with Q codebooks (N, Q), (1, N, Q) or (S', N, Q).
        speakers: names or numbers of S' speakers; None for no speaker; or vectors of voices, such
            as `interpolate_voices` returns.
        pitch: of each frame, (N,), (1, N) or (S', N), in semitones relative to the speaker's mean,
            NaN where unvoiced; for models with `pitch_levels` only, which choose one by default.
        codebooks: use only the first so many of the Q codes of each frame, which lowers the bit
            rate; all by default. Only residual codes can be decoded from fewer.
        mode: `sample` or `greedy`.
        temperature: below 1 is less noisy; "voiced" is so in vowels only, see `Sampler.stream`.
        top_k: draw from the most likely so many levels only.
        seed: the same seed gives the same sound.
        precision: of the weights; see `Sampler`.
        threads: that share the streams; by default one per core. The sound does not depend on it.
        progress: show a progress bar with the time left.
        stop: set it to end early; what is done is returned.

    Returns:
        float32 (S', N * hop_length) in [-1, 1]; shorter if stopped.

    Raises:
        InputError: no such speaker, codes of another shape or out of range, no codebook, a number
            of codebooks that cannot be decoded, or pitch that is not an input.
        Interrupted: by the keyboard; it holds the waveforms up to then.

    Example:
        generate(model, model.encode(waveform), ["alpha", "joe"], temperature=0.9)    # (2, T)
    """
    codes = checked_codes(model, codes)
    parts = condition_codes(model, codes, speakers, pitch, codebooks)
    settings = {"mode": mode, "temperature": temperature, "top_k": top_k, "seed": seed}
    settings |= {"precision": precision, "threads": threads, "progress": progress, "stop": stop}
    return synthesise(model, parts, codes.shape[1], **settings)


def stream(
    model: VQVAE,
    codes: np.ndarray,
    speakers: Iterable[Speaker],
    precision: str = "float32",
    codebooks: int | None = None,
    pitch: np.ndarray | None = None,
    **settings,
) -> Iterator[np.ndarray]:
    """Synthesise codes as `generate` does, but yield the sound in parts: float32 (S', t).

    The first part comes within a fraction of a second; to cancel, stop iterating.

    Args:
        model: a trained model.
        codes: see `generate`.
        speakers: see `generate`.
        precision: of the weights.
        codebooks: see `generate`.
        pitch: see `generate`.
        **settings: mode, temperature, top_k, seed and threads of `generate`.

    Raises:
        InputError: see `generate`.
    """
    parts = condition_codes(model, codes, speakers, pitch, codebooks)
    return sound_of(model, parts, precision, **settings)


def stream_waveform(
    model: VQVAE,
    waveform: np.ndarray,
    speakers: Sequence[Speaker],
    precision: str = "float32",
    **settings,
) -> Iterator[np.ndarray]:
    """Convert a waveform (T,) as `convert_voice` does, but yield the sound in parts, as `stream`.

    The last part reaches to the end of the last frame.
    """
    waveform = as_waveform(waveform)
    pitch = waveform_pitch(model, waveform) if model.pitch_levels else None
    parts = condition_waveform(model, [waveform], speakers, pitch)
    return sound_of(model, parts, precision, **settings)


def reconstruct(model: VQVAE, waveform: np.ndarray, speaker: Speaker, **settings) -> np.ndarray:
    """Encode a waveform (T,) and synthesise it in the voice of a speaker; return float32 (T,).

    The settings are those of `generate`; for the pitch see `convert_voice`.
    """
    return convert_voice(model, waveform, [speaker], **settings)[0]


def convert_voice(
    model: VQVAE,
    waveform: np.ndarray,
    speakers: Iterable[Speaker],
    *,
    pitch: np.ndarray | None = None,
    **settings,
) -> np.ndarray:
    """Encode a waveform (T,) and synthesise it in the voices of S' speakers; float32 (S', T).

    Other forms of a waveform are those of `as_waveform`. The settings are those of `generate`.
    Where the model is conditioned on pitch, it is by default that of the waveform, relative to its
    mean; see `waveform_pitch`.
    """
    speakers = [speakers] if isinstance(speakers, str) else list(speakers)
    tracks = None if pitch is None else [pitch]
    return convert_many(model, [waveform], [speakers], pitch=tracks, **settings)[0]


def convert_many(
    model: VQVAE,
    waveforms: Sequence[np.ndarray],
    speakers: Sequence[Sequence[Speaker]],
    codebooks: int | None = None,
    *,
    pitch: Sequence[np.ndarray | None] | None = None,
    **settings,
) -> list[np.ndarray]:
    """Convert several waveforms, each to the voices of its own speakers, as one batch.

    Args:
        model: a trained model.
        waveforms: U waveforms, (T_u,) each.
        speakers: for each waveform its S_u speakers.
        codebooks: see `generate`.
        pitch: of each waveform, see `generate`; where it is None and the model is conditioned on
            pitch, that of the waveform, see `waveform_pitch`.
        **settings: those of `generate`: mode, temperature, seed, threads and the others.

    Returns:
        For each waveform float32 (S_u, T_u); shorter if stopped.

    Raises:
        Interrupted: by the keyboard; it holds the waveforms up to then, in the same form.
    """
    waveforms = [as_waveform(waveform) for waveform in waveforms]
    speakers = [[names] if isinstance(names, str) else list(names) for names in speakers]
    tracks, parts, frames = [None] * len(waveforms) if pitch is None else pitch, [], []
    for waveform, names, track in zip(waveforms, speakers, tracks, strict=True):
        if model.pitch_levels and track is None:
            track = waveform_pitch(model, waveform)
        frames.append(-(-len(waveform) // model.hop_length))
        track = checked_pitch(model, track, len(names), frames[-1])
        parts.append(condition_waveform(model, [waveform], names, track, codebooks))

    def split(converted: np.ndarray) -> list[np.ndarray]:
        rows = np.split(converted, np.cumsum([len(names) for names in speakers])[:-1])
        return [row[:, : len(wave)] for row, wave in zip(rows, waveforms, strict=True)]

    try:
        return split(synthesise(model, side_by_side(parts), max(frames), **settings))
    except Interrupted as interrupt:
        raise Interrupted(str(interrupt), split(interrupt.waveforms)) from None


def interpolate_voices(model: VQVAE, first: Speaker, second: Speaker, share: float) -> np.ndarray:
    """Return a point between two voices, float32 (speaker_dim,), to be given as a speaker.

    Args:
        model: a trained model.
        first: the voice at a share of 0, to the last bit.
        second: the voice at a share of 1, to the last bit.
        share: how far from the first to the second, 0 to 1.

    Raises:
        InputError: no such speaker, or a share outside 0..1.

    Example:
        generate(model, codes, ["alpha", interpolate_voices(model, "alpha", "joe", 0.5), "joe"])
    """
    if not 0.0 <= share <= 1.0:
        raise InputError(f"share={share}; expected 0, the first voice, to 1, the second")
    start, end = model.speaker_vectors([first, second])
    return np.float32(1.0 - share) * start + np.float32(share) * end


class Interrupted(KeyboardInterrupt):
    """Synthesis was interrupted; `waveforms` is what was done until then."""

    def __init__(self, message: str, waveforms):
        super().__init__(message)
        self.waveforms = waveforms


def synthesise(
    model: VQVAE,
    parts: Iterable[np.ndarray],
    frames: int,
    *,
    precision: str = "float32",
    progress: bool = False,
    stop: threading.Event | None = None,
    **settings,
) -> np.ndarray:
    """Return the sound of conditioning that comes in parts, float32 (S', T) in [-1, 1].

    Args:
        model: a trained model.
        parts: (S', n, C), see `sound_of`.
        frames: the sum of all n.
        precision: see `generate`.
        progress: show a progress bar with the time left.
        stop: see `generate`.
        **settings: mode, temperature, top_k, seed and threads of `generate`.

    Raises:
        Interrupted: by the keyboard; it holds the waveforms up to then.
    """
    total, done, waveforms = frames * model.hop_length, 0, np.zeros((0, 0), np.float32)
    try:
        with synthesising(total, progress) as advance:
            for part in sound_of(model, parts, precision, **settings):
                if not waveforms.size:
                    waveforms = np.zeros((len(part), total), np.float32)
                waveforms[:, done : done + part.shape[1]] = part
                done += part.shape[1]
                advance(part.shape[1])
                if stop is not None and stop.is_set():
                    break
    except KeyboardInterrupt:
        message = f"stopped after {done / SAMPLE_RATE:.2f} s of {total / SAMPLE_RATE:.2f} s"
        raise Interrupted(message, waveforms[:, :done]) from None
    return waveforms[:, :done]


def round_to_levels(
    model: VQVAE, waveform: np.ndarray, speaker: Speaker, pitch: np.ndarray | None = None
) -> np.ndarray:
    """Return a waveform (T,) rounded to a decoder's levels, float32 (T,).

    With an `lpc_order` the levels depend on its codes, its pitch and the speaker.
    """
    padded = as_batch(waveform, model.hop_length)
    if pitch is None and model.pitch_levels:
        pitch = waveform_pitch(model, waveform)
    conditioning = conditioning_for(model, quantize(model, waveform), [speaker], pitch)
    levels = np.array(model.decoder.levels_of(padded, conditioning))
    filters = model.decoder.filters(conditioning)
    synthesis = model.decoder.codec.synthesis(filters, model.hop_length, postfilter=0.0)
    return synthesis(levels)[0, : len(waveform)].clip(-1.0, 1.0)
