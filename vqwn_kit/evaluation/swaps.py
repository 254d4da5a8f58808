"""Causal swaps: one code is put for another, and what the decoder makes of it is compared.

The light decoder of mel bands is deterministic, and a frame of its bands depends on `context` codes
on either side: beyond them nothing changes, to the last bit. A WaveNet samples, and each sample
depends on all before: with the same random numbers its sound is the same up to the first frame that
can change, and another draw afterwards.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.metrics import code_runs, log_mel
from vqwn_kit.models.vqvae import VQVAE
from vqwn_kit.runs.codes import check_code
from vqwn_kit.sampling.codes import checked_codes, embed_codes
from vqwn_kit.sampling.generate import Speaker, conditioning_for, synthesise


@dataclass(frozen=True, repr=False)
class Swap:
    """An utterance as it is, and with one code put for another: row 0 and row 1.

    Attributes:
        codes: int (2, N), or (2, N, Q) of several codebooks.
        changed: bool (N,), the frames whose code was replaced.
        reach: bool (N,), the frames whose conditioning can change.
        bands: float32 (2, F, n_mels) in dB: of the light decoder, F = N; without one of the
            sounds, relative to their loudest cell.
        waveforms: float32 (2, N * hop_length).
        by_decoder: whether `bands` are those of the light decoder.
    """

    codes: np.ndarray
    changed: np.ndarray
    reach: np.ndarray
    bands: np.ndarray
    waveforms: np.ndarray
    by_decoder: bool

    def __repr__(self) -> str:
        """Return it in a line; its arrays are long."""
        changed, all_, reach = self.changed.sum(), len(self.changed), self.reach.sum()
        return f"Swap of the code of {changed} of {all_} frames; {reach} can change"


def replace_code(
    codes: np.ndarray, code: int, by: int, at: int | None = None, codebook: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return codes with one put for another, and which frames were changed, bool (N,).

    Args:
        codes: int (N,), or (N, Q) of several codebooks.
        code: that is replaced.
        by: what is put there.
        at: a frame of the run that is replaced; by default all frames with the code are.
        codebook: of both.

    Raises:
        InputError: no frame has the code, or that frame has another one.
    """
    result = np.array(codes)
    column = result if result.ndim == 1 else result[:, codebook]
    changed = column == code
    if at is not None:
        if not 0 <= at < len(column) or column[at] != code:
            has = f"has code {column[at]}" if 0 <= at < len(column) else "is not in the utterance"
            raise InputError(
                f"frame {at} {has}, not {code}; frames with it: {_listed(np.flatnonzero(changed))}"
            )
        _, starts, lengths = code_runs(column)
        run = np.searchsorted(starts, at, side="right") - 1
        changed = np.zeros(len(column), bool)
        changed[starts[run] : starts[run] + lengths[run]] = True
    if not changed.any():
        present = ", ".join(map(str, np.unique(column)[:12]))
        raise InputError(f"no frame of this utterance has code {code}; there are {present} ...")
    column[changed] = by
    return result, changed


def _listed(frames: np.ndarray) -> str:
    return ", ".join(map(str, frames[:12])) or "none"


def reach_of(changed: np.ndarray, context: int) -> np.ndarray:
    """Return the frames that lie at most `context` from a changed one, bool (N,)."""
    spread = np.convolve(changed, np.ones(2 * context + 1))
    return spread[context : context + len(changed)] > 0.5


def decoder_bands(
    model: VQVAE, rows: Iterable[np.ndarray], speaker: Speaker, pitch: np.ndarray | None = None
) -> np.ndarray | None:
    """Return the bands that the light decoder predicts from codes, in dB, (R, N, n_mels).

    Each row is computed alone, so that equal codes give equal bits, and without the decoder's
    contrast. None without a light decoder.

    Args:
        model: a trained model.
        rows: R times codes (N,) or (N, Q).
        speaker: whose voice.
        pitch: (1, N), where the model is conditioned on it.
    """
    mel = model.decoder.get_mel_decoder()
    if mel is None:
        return None
    frames = (conditioning_for(model, embed_codes(model, row), [speaker], pitch) for row in rows)
    return np.concatenate([np.array(mel.plain_bands(part)) for part in frames])


def swap(
    model: VQVAE,
    codes: np.ndarray,
    speaker: Speaker,
    code: int,
    by: int,
    *,
    at: int | None = None,
    codebook: int = 0,
    pitch: np.ndarray | None = None,
    **settings,
) -> Swap:
    """Put a code for another one in an utterance; return both versions.

    Both are synthesised with the same random numbers.

    Args:
        model: a trained model.
        codes: int (N,), or (N, Q) of several codebooks.
        speaker: whose voice.
        code: that is replaced, 0..K-1.
        by: what is put there, 0..K-1.
        at: see `replace_code`.
        codebook: of both.
        pitch: (1, N), where the model is conditioned on it.
        **settings: as in `generate`: mode, temperature, top_k, seed, precision and progress.

    Raises:
        InputError: see `replace_code`; or no such code, codebook or speaker.
    """
    whole = checked_codes(model, codes)[0]
    check_code(model.bottleneck, code, codebook)
    check_code(model.bottleneck, by, codebook)
    replaced, changed = replace_code(whole, code, by, at, codebook)
    rows = np.stack([whole, replaced])
    parts = [conditioning_for(model, embed_codes(model, row), [speaker], pitch) for row in rows]
    both = np.concatenate(parts)
    numbers = {"numbers": (0, 0)} if model.is_autoregressive else {}
    waveforms = synthesise(model, [both], len(whole), **numbers, **settings)
    bands = decoder_bands(model, rows, speaker, pitch)
    by_decoder = bands is not None
    if bands is None:
        bands = np.stack([log_mel(waveform).T for waveform in waveforms])
    reach = reach_of(changed, model.decoder.conditioner.context)
    return Swap(rows, changed, reach, bands, waveforms, by_decoder)


def band_change(before: np.ndarray, after: np.ndarray) -> float:
    """Return the root mean square difference in dB of bands (F, n_mels), 0 or more."""
    return float(np.sqrt(np.mean((np.asarray(before) - np.asarray(after)) ** 2)))


def around(changed: np.ndarray, context: int) -> slice:
    """Return the frames that suffice to compute the reach of changed frames exactly."""
    places = np.flatnonzero(changed)
    return slice(max(0, int(places[0]) - 2 * context), int(places[-1]) + 2 * context + 1)
