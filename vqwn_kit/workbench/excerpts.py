"""The utterances of a store -> short pieces of speech to play."""

from typing import TYPE_CHECKING

import numpy as np

from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError

if TYPE_CHECKING:  # imports TensorFlow
    from vqwn_kit.evaluation.context import EvaluationContext

AROUND = 0.18  # seconds of speech around a frame: one frame of 4 ms is a click
GAP = 0.12  # seconds of silence between examples
EXAMPLES = 5


def find_utterance(store: Store, key: str | None) -> int:
    """Return the number of the utterance with a key; of the first held-out one without a key."""
    if key is None:
        return int([*store.numbers("held_out"), 0][0])
    return store.corpus.utterances.index(store.corpus[key])


def faded(wave: np.ndarray, samples: int = 160) -> np.ndarray:
    """Return a waveform (T,) that begins and ends without a click."""
    samples = min(samples, len(wave) // 2)
    ramp = np.linspace(0.0, 1.0, samples, dtype=np.float32)
    result = np.array(wave, np.float32)
    result[:samples] *= ramp
    result[len(result) - samples :] *= ramp[::-1]
    return result


def excerpt(context: "EvaluationContext", number: int, frame: int) -> np.ndarray:
    """Return the speech around a frame of an utterance."""
    wave, rate = context.store.waveform(number), context.store.sample_rate
    middle, half = (frame + 0.5) * context.model.hop_length, AROUND * rate / 2
    return faded(wave[max(0, round(middle - half)) : round(middle + half)])


def examples(
    context: "EvaluationContext", code: int | np.ndarray, codebook: int | None = None
) -> np.ndarray:
    """Return speech around frames that have a code, from as many utterances as possible.

    Args:
        context: the run and its utterances.
        code: its number; or all Q codes of a frame, (Q,).
        codebook: of the code; None where the model has only one, or for all Q codes.

    Raises:
        InputError: no frame has it.
    """
    frames = {}
    for n, codes in context.codes.items():
        same = codes == code if codebook is None else codes[:, codebook] == code
        frames[n] = np.flatnonzero(same.reshape(len(codes), -1).all(axis=1))
    numbers = sorted(frames, key=lambda n: -len(frames[n]))[:EXAMPLES]
    gap = np.zeros(round(GAP * context.store.sample_rate), np.float32)
    parts = []
    for n in numbers:
        if len(frames[n]):
            parts += [excerpt(context, n, frames[n][len(frames[n]) // 2]), gap]
    if not parts:
        name = code if codebook is None else f"{codebook}:{code}"
        raise InputError(f"no frame of {len(context.codes)} utterances has code {name}")
    return np.concatenate(parts[:-1])
