"""Codes, of all codebooks or of the first ones only -> z_q, each shape checked."""

from collections.abc import Iterable

import numpy as np

from vqwn_kit.data.long_audio import windows
from vqwn_kit.errors import InputError
from vqwn_kit.models.encoders import Encoder
from vqwn_kit.models.stacked_quantizers import ResidualQuantizer
from vqwn_kit.models.vqvae import VQVAE


def fewest_codebooks(model: VQVAE) -> int:
    """Return the least number of codebooks, counted from the first, that a model can decode.

    1 for residual codes; all Q for others, whose frames have no vector without one of them.
    """
    bottleneck = model.bottleneck
    return 1 if isinstance(bottleneck, ResidualQuantizer) else bottleneck.num_codebooks


def checked_codebooks(model: VQVAE, codebooks: int | None) -> int:
    """Return how many codebooks to decode, 1 to Q; all with None.

    Raises:
        InputError: a number that the model cannot decode.
    """
    fewest, most = fewest_codebooks(model), model.bottleneck.num_codebooks
    if codebooks is None:
        return most
    whole = isinstance(codebooks, int | np.integer) and not isinstance(codebooks, bool)
    if not whole or not fewest <= codebooks <= most:
        expected = f"a whole number from {fewest} to {most}"
        if fewest == most:
            expected = f"{most}: only residual codes can be decoded from fewer codebooks"
        raise InputError(f"codebooks={codebooks!r}; expected {expected}")
    return int(codebooks)


def checked_codes(model: VQVAE, codes: np.ndarray) -> np.ndarray:
    """Return codes of one utterance or of S', as (S', N), or (S', N, Q) of several codebooks.

    Raises:
        InputError: no codebook, another shape, or codes out of range.
    """
    size, count = model.bottleneck.num_embeddings, model.bottleneck.num_codebooks
    if not size:
        raise InputError("this model has no codebook (an autoencoder): use reconstruct()")
    codes = _whole_numbers(codes)
    shape, frame, of = codes.shape, (), f"0..{size - 1}"
    expected = f"(N,) or (S', N) of {of}"
    if count > 1:
        frame = (count,)
        expected = f"(N, {count}) or (S', N, {count}), {count} codebooks of {of}"
    if codes.ndim == 1 + len(frame):
        codes = codes[None]
    fits = codes.ndim == 2 + len(frame) and codes.shape[2:] == frame and codes.size
    if not fits or codes.min() < 0 or codes.max() >= size:
        raise InputError(f"codes of shape {shape}; expected {expected}")
    return codes


def embed_codes(model: VQVAE, codes: np.ndarray, codebooks: int | None = None) -> np.ndarray:
    """Return z_q of codes, float32 (S', N, D); S' is 1 for codes of one utterance.

    Args:
        model: a model with a codebook.
        codes: int (N,) or (S', N); of several codebooks (N, Q) or (S', N, Q).
        codebooks: decode the first so many of each frame's Q codes; all by default.

    Raises:
        InputError: see `checked_codes`; or a number of codebooks that the model cannot decode.
    """
    codes, used = checked_codes(model, codes), checked_codebooks(model, codebooks)
    one = model.bottleneck.num_codebooks == 1
    return np.array(model.bottleneck.embed(codes if one else codes[..., :used]))


def _whole_numbers(codes) -> np.ndarray:
    try:
        codes = np.asarray(codes)
    except ValueError as error:  # rows of different lengths
        raise InputError("codes of rows of different lengths; expected (N,) or (S', N)") from error
    if codes.dtype.kind not in "iu":
        raise InputError(f"codes of {codes.dtype}; expected whole numbers, as encode returns them")
    return codes


def loudest_cell(encoder: Encoder, blocks: Iterable[np.ndarray], frames: int) -> float | None:
    """Return the level in dB of a recording's loudest cell, which `quantize` takes for its parts.

    Args:
        encoder: one without a floor needs none: nothing is read, and the answer is None.
        blocks: the recording, (t,) at 16 kHz, block by block.
        frames: of the encoder that are in memory at once.
    """
    if not encoder.has_floor:
        return None
    hop, spectrum = encoder.hop_length, encoder.spectrum
    cells, loudest = hop // spectrum.hop_length, -np.inf
    margin = -(-spectrum.window_length // hop) * hop
    for waveform, begin, end in windows(blocks, frames * hop, margin):
        padded = np.pad(waveform, (0, -len(waveform) % hop))[None, :, None]
        own = slice(begin // hop * cells, -(-end // hop) * cells)
        loudest = max(loudest, float(np.max(spectrum.decibels(padded)[0, own])))
    return loudest


def quantize(
    model: VQVAE,
    waveform: np.ndarray,
    codebooks: int | None = None,
    loudest: float | None = None,
) -> np.ndarray:
    """Return z_q of a waveform (T,), float32 (1, N, D), of the first codebooks; all by default.

    Of a part of a recording, `loudest` is what `loudest_cell` returns for the recording.

    Raises:
        InputError: a number of codebooks that the model cannot decode.
    """
    used = checked_codebooks(model, codebooks)
    quantized = model.vector_quantize(waveform, loudest)
    if used == model.bottleneck.num_codebooks:
        return np.array(quantized.z_q)
    return np.array(model.bottleneck.embed(quantized.codes[..., :used]))
