"""Recordings and codes of any length -> conditioning, and that -> sound, part after part.

A part is converted with as much of its surroundings as encoder and conditioner can reach, and the
sampler keeps its state from part to part: the sound has no seam, and is that of the whole. Parts
begin at the same places whatever a recording comes in, so an array and a file give the same bits.

An encoder with a `top_db` has its floor under the loudest cell of the recording, which is read
twice for it: a conversion has the codes that `encode` returns.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from vqwn_kit.data.audio import SAMPLE_RATE
from vqwn_kit.data.long_audio import windows
from vqwn_kit.errors import InputError
from vqwn_kit.models.vqvae import VQVAE
from vqwn_kit.sampling.band_matching import BandMatching
from vqwn_kit.sampling.codes import (
    checked_codebooks,
    checked_codes,
    embed_codes,
    loudest_cell,
    quantize,
)
from vqwn_kit.sampling.griffin_lim import griffin_lim_parts
from vqwn_kit.sampling.pitch import checked_pitch
from vqwn_kit.sampling.pitch_postfilter import PitchPostfilter
from vqwn_kit.sampling.sampler import Sampler

PART_SECONDS = 10.0

# A name, a number, None for 'no speaker', or a voice's vector (speaker_dim,).
Speaker = str | int | None | np.ndarray


def conditioning_for(
    model: VQVAE,
    z_q: np.ndarray,
    speakers: Iterable[Speaker],
    pitch: np.ndarray | None = None,
) -> np.ndarray:
    """Return the conditioning of the decoder, float32 (S', N, C).

    Args:
        model: a trained model.
        z_q: (1, N, D): the same for all speakers, or (S', N, D).
        speakers: S' of them.
        pitch: see `generate`.

    Raises:
        InputError: no such speaker, or pitch that is not an input of the model.
    """
    voices = model.speaker_vectors([speakers] if isinstance(speakers, str) else list(speakers))
    if not len(voices):
        raise InputError(f"no speakers given; there are {', '.join(model.voice_names)}")
    rows = np.repeat(z_q, len(voices), axis=0) if len(z_q) == 1 else z_q
    if len(rows) != len(voices):
        raise InputError(f"{len(rows)} rows of codes for {len(voices)} speakers; expected one each")
    track = checked_pitch(model, pitch, len(voices), z_q.shape[1])
    return np.array(model.condition(rows, voices, track), np.float32)


def condition_waveform(
    model: VQVAE,
    blocks: Iterable[np.ndarray],
    speakers: Sequence[Speaker],
    pitch: np.ndarray | None = None,
    codebooks: int | None = None,
) -> Iterator[np.ndarray]:
    """Yield the conditioning of a recording in voices, part by part: float32 (S', n, C).

    Args:
        model: a trained model.
        blocks: the recording, (t,) at 16 kHz, block by block; `[waveform]` for one at hand. They
            are gone through twice where the encoder has a floor.
        speakers: S' of them.
        pitch: of all frames, see `generate`.
        codebooks: see `generate`.
    """
    hop_length = model.hop_length
    reach = -(-model.encoder.receptive_field // hop_length) + model.decoder.conditioner.context
    size, first = _frames_of_a_part(model), 0
    pitch = None if pitch is None else np.asarray(pitch)
    loudest = loudest_cell(model.encoder, blocks, size)
    for waveform, begin, end in windows(blocks, size * hop_length, reach * hop_length):
        z_q = quantize(model, waveform, codebooks, loudest)
        own = slice(begin // hop_length, -(-end // hop_length))
        first -= own.start
        track = None if pitch is None else pitch[..., first : first + z_q.shape[1]]
        yield conditioning_for(model, z_q, speakers, track)[:, own]
        first += own.stop


def condition_codes(
    model: VQVAE,
    codes: np.ndarray,
    speakers: Sequence[Speaker],
    pitch: np.ndarray | None = None,
    codebooks: int | None = None,
) -> Iterator[np.ndarray]:
    """Return an iterator over the conditioning of codes, part by part; see `generate`."""
    codes = checked_codes(model, codes)
    checked_codebooks(model, codebooks)
    voices = model.speaker_vectors([speakers] if isinstance(speakers, str) else list(speakers))
    pitch = checked_pitch(model, pitch, len(voices), codes.shape[1])
    context, size = model.decoder.conditioner.context, _frames_of_a_part(model)

    def parts() -> Iterator[np.ndarray]:
        for start in range(0, codes.shape[1], size):
            window = slice(max(0, start - context), start + size + context)
            z_q = embed_codes(model, codes[:, window], codebooks)
            track = None if pitch is None else np.asarray(pitch)[..., window]
            conditioning = conditioning_for(model, z_q, voices, track)
            yield conditioning[:, start - window.start :][:, :size]

    return parts()


def _frames_of_a_part(model: VQVAE) -> int:
    return max(1, round(PART_SECONDS * SAMPLE_RATE / model.hop_length))


def side_by_side(recordings: Sequence[Iterator[np.ndarray]]) -> Iterator[np.ndarray]:
    """Yield the conditioning of several recordings as one batch; all have parts of one size.

    A recording that has ended repeats its last frame.
    """
    last = [np.zeros((0, 0, 0))] * len(recordings)
    while True:
        parts = [next(recording, None) for recording in recordings]
        length = max((part.shape[1] for part in parts if part is not None), default=0)
        if not length:
            return
        rows = [before if part is None else part for part, before in zip(parts, last, strict=True)]
        last = [row[:, -1:] for row in rows]
        missing = [((0, 0), (0, length - row.shape[1]), (0, 0)) for row in rows]
        yield np.concatenate(
            [np.pad(row, more, mode="edge") for row, more in zip(rows, missing, strict=True)]
        )


def sound_of(
    model: VQVAE, parts: Iterable[np.ndarray], precision: str = "float32", **settings
) -> Iterator[np.ndarray]:
    """Return an iterator over the sound, float32 (S', t), of conditioning that comes in parts.

    Args:
        model: a trained model; of a first stage the mel bands are synthesised by Griffin-Lim.
        parts: (S', n, C), the first of which is read at once.
        precision: of the weights; see `Sampler`.
        **settings: those of `Sampler.stream`.

    Raises:
        InputError: see `Sampler.stream`.
    """
    if not model.is_autoregressive:
        bands = (np.array(model.decoder.bands(part)) for part in parts)
        return griffin_lim_parts(bands, model.decoder.spectrum, settings.get("seed", 0))
    return _sampled(model, iter(parts), Sampler(model.decoder, precision), settings)


def _sampled(model: VQVAE, parts: Iterator[np.ndarray], sampler: Sampler, settings: dict):
    decoder, hop_length, first = model.decoder, model.hop_length, next(parts)
    filters, mel, matching = decoder.filters(first), decoder.get_mel_decoder(), None
    synthesis = decoder.codec.synthesis(filters, hop_length)
    steps, after = [synthesis], 0  # from levels to sound, and the frames that must follow it
    if decoder.pitch_postfilter:
        steps.append(PitchPostfilter(len(first), decoder.pitch_postfilter))
        after += -(-PitchPostfilter.AFTER // hop_length)
    if decoder.match_bands:
        matching = BandMatching(mel.spectrum, np.array(mel.bands(first)), decoder.match_bands)
        steps.append(matching)
        after += matching.frames_after
    frames = first.shape[1]  # that were read

    def others() -> Iterator[np.ndarray]:
        nonlocal frames
        last = first
        for part in parts:
            frames += part.shape[1]
            last = part if part.shape[1] else last
            yield part
        if after:  # as in a batch where others are longer, see `side_by_side`
            yield np.repeat(last[:, -1:], after, axis=1)

    def filtered() -> Iterator[tuple]:
        yield first, filters
        for part in others():
            more = decoder.filters(part)
            synthesis.extend(more)
            if matching is not None:
                matching.extend(np.array(mel.bands(part)))
            yield part, more

    blocks = sampler.stream(filtered(), hop_length, **settings)  # refuses wrong settings at once

    def sounds() -> Iterator[np.ndarray]:
        given = 0
        for sound in blocks:
            for step in steps:
                sound = step(sound)
            sound = sound[:, : frames * hop_length - given]
            given += sound.shape[1]
            if sound.shape[1]:
                yield sound.clip(-1.0, 1.0)

    return sounds()
