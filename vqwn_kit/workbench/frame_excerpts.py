"""Frames of a run -> speech around them, with codes and phones; recordings of one's own."""

from pathlib import Path

import numpy as np

from vqwn_kit.data.audio import load_audio, resample
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.frames import FrameIndex
from vqwn_kit.evaluation.metrics import code_runs
from vqwn_kit.waveforms import as_waveform
from vqwn_kit.widgets.code_page import MOST_SECONDS
from vqwn_kit.workbench.excerpts import faded

AROUND = 0.6  # seconds of speech around a frame, so that a word can be recognised


def recording_of(store: Store, recording, sample_rate: int | None) -> tuple[np.ndarray, int, str]:
    """Return the waveform (T,) of a recording, its number in a store or -1, and its name.

    Only its first 30 s, at the rate of the store.

    Args:
        store: the prepared corpus.
        recording: the key of an utterance of the corpus, a sound file, or a waveform (T,).
        sample_rate: of a waveform, in Hz; that of the store by default.

    Raises:
        InputError: no waveform, or neither a key nor a file that can be read.
    """
    keys, rate = [member.key for member in store.corpus.utterances], store.sample_rate
    most = round(MOST_SECONDS * rate)
    if isinstance(recording, str) and recording in keys:
        number = keys.index(recording)
        return store.waveform(number)[:most], number, recording
    if isinstance(recording, str | Path):
        if not Path(recording).exists():
            raise InputError(
                f"{str(recording)!r} is neither an utterance of {store.corpus.folder} nor a file; "
                f"expected a key such as {keys[0]}, a sound file, or a waveform (T,)"
            )
        return load_audio(recording, rate)[:most], -1, Path(recording).name
    own = sample_rate or rate
    waveform = as_waveform(recording, "the recording")[: round(MOST_SECONDS * own)]
    if own != rate:
        waveform = resample(waveform, own, rate).clip(-1.0, 1.0)
    return waveform, -1, "recording"


def excerpt_with_codes(
    index: FrameIndex, frame: int, token: int | None = None, seconds: float = AROUND
) -> tuple[np.ndarray, np.ndarray, list, list]:
    """Return speech around a frame: waveform (T,), codes, phones, and what is marked.

    Marked is the run of the code with a token that the frame is in; without one the frame.
    """
    number, place = int(index.numbers[frame]), int(index.places[frame])
    part, rate = index.bounds[number], index.context.frame_rate
    half, hop = max(1, round(seconds * rate / 2)), index.context.model.hop_length
    first, last = max(0, place - half), min(part.stop - part.start, place + half + 1)
    waveform = index.context.store.waveform(number)[first * hop : last * hop]
    codes = index.frames.codes[part][first:last]
    start, end = place - first, place - first + 1
    if token is not None:
        column = codes[:, token // index.context.model.bottleneck.num_embeddings]
        _, starts, lengths = code_runs(column)
        run = np.searchsorted(starts, start, side="right") - 1
        start, end = int(starts[run]), int(starts[run] + lengths[run])
    shift, length = first / rate, (last - first) / rate
    spans = ((a - shift, b - shift, x) for a, b, x in index.spans["phone"].get(number, []))
    phones = [(max(0.0, a), min(length, b), x) for a, b, x in spans if b > 0 and a < length]
    return faded(waveform), squeezed(codes), phones, [(start / rate, end / rate)]


def squeezed(codes: np.ndarray) -> np.ndarray:
    """Return codes (N, 1) as (N,); (N, Q) as they are."""
    return codes[:, 0] if codes.shape[1] == 1 else codes
