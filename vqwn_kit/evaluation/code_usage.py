"""Statistics of a run's codes, and of frames of speech, for the explorers and the projector."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from keras import ops

from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.context import EvaluationContext
from vqwn_kit.evaluation.metrics import NotMeasured, code_counts, code_phone_table
from vqwn_kit.evaluation.phones import SOUNDS


@dataclass(frozen=True)
class CodeStatistics:
    """What the codes of a run are used for.

    Attributes:
        vectors: float32 (K, D), the codebook.
        counts: int (K,), uses of each code.
        phones: int (K, len(SOUNDS)), its frames by phone; or the reason why it is unknown.
        voices: int (K, S), its frames by speaker.
    """

    vectors: np.ndarray
    counts: np.ndarray
    phones: np.ndarray | NotMeasured
    voices: np.ndarray

    @property
    def percent(self) -> np.ndarray:
        """Share of all frames in %, float (K,)."""
        return 100.0 * self.counts / max(1, self.counts.sum())


@dataclass(frozen=True)
class FrameSample:
    """M frames of speech with their metadata.

    Attributes:
        z_e: float32 (M, D), the encoder's output.
        utterances: int (M,), numbers in the store.
        places: int (M,), index of the frame in its utterance.
        keys: M keys of utterances.
        speakers: M names.
        seconds: float (M,), start of the frame.
        codes: int (M,); None where the model has no codebook.
        distance: float (M,), from z_e to the vector of its code; None where there is no codebook.
        phones: M names of SOUNDS, "" where it is unknown; or the reason why all are.
    """

    z_e: np.ndarray
    utterances: np.ndarray
    places: np.ndarray
    keys: list[str]
    speakers: list[str]
    seconds: np.ndarray
    codes: np.ndarray | None
    distance: np.ndarray | None
    phones: list[str] | NotMeasured


def codebook_vectors(context: EvaluationContext) -> np.ndarray:
    """Return the vectors of the codes, float32 (K, D)."""
    return ops.convert_to_numpy(context.model.bottleneck.vectors())


def code_statistics(context: EvaluationContext) -> CodeStatistics:
    """Count the uses of each code, by phone and by speaker, in the utterances of a context.

    Raises:
        NotMeasured: the model has no codebook.
    """
    codes, size = context.codes, context.model.bottleneck.num_embeddings
    names = list(context.run.speakers)
    speakers = {n: np.full(len(codes[n]), names.index(context.speaker(n))) for n in codes}
    try:
        labels = {n: phones % len(SOUNDS) for n, phones in context.phones.items()}  # -1 is SIL
        phones = _count_pairs(codes, labels, size, len(SOUNDS))
    except NotMeasured as reason:
        phones = reason
    counts = code_counts(np.concatenate(list(codes.values())), size)
    by_speaker = _count_pairs(codes, speakers, size, len(names))
    return CodeStatistics(codebook_vectors(context), counts, phones, by_speaker)


def sample_frames(context: EvaluationContext, count: int) -> FrameSample:
    """Draw frames of the held-out utterances, one from each of `count` equal stretches.

    Raises:
        InputError: `count` is less than 1.
    """
    if count < 1:
        raise InputError(f"frames={count}: expected 1 or more")
    encoded = [context.encoded[n].z_e for n in context.held_out]
    numbers = np.repeat(context.held_out, [len(rows) for rows in encoded])
    places = np.concatenate([np.arange(len(rows)) for rows in encoded]) * context.probe_every
    edges = np.linspace(0, len(places), min(count, len(places)) + 1).round().astype(int)
    chosen = context.rng().integers(edges[:-1], edges[1:])
    numbers, places = numbers[chosen], places[chosen]
    z_e = np.concatenate(encoded)[chosen]
    pairs = list(zip(numbers.tolist(), places.tolist(), strict=True))
    codes = distance = None
    if context.model.bottleneck.num_embeddings:
        codes = np.array([context.codes[n][place] for n, place in pairs])
        distance = np.linalg.norm(z_e - codebook_vectors(context)[codes], axis=1)
    try:
        known = context.phones
        phones = [SOUNDS[known[n][place]] if n in known else "" for n, place in pairs]  # -1 is SIL
    except NotMeasured as reason:
        phones = reason
    keys = [context.store.corpus.utterances[n].key for n in numbers]
    speakers, seconds = [context.speaker(n) for n in numbers], places / context.frame_rate
    return FrameSample(z_e, numbers, places, keys, speakers, seconds, codes, distance, phones)


def _count_pairs(codes: dict, labels: dict, size: int, count: int) -> np.ndarray:
    """Return how often code and label coincide, (size, count), in utterances that have both."""
    both = [n for n in codes if n in labels]
    if not both:
        raise NotMeasured("no phone times for these utterances")
    rows = [np.concatenate([part[n] for n in both]) for part in (codes, labels)]
    return code_phone_table(*rows, size, count)


def most_frequent(table: np.ndarray, names: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Return the most frequent name of each row of counts and its share in %; "", NaN if none."""
    total, best = table.sum(axis=1), table.argmax(axis=1)
    frequent = [names[b] if n else "" for b, n in zip(best, total, strict=True)]
    share = 100.0 * table.max(axis=1) / np.maximum(1, total)
    return frequent, np.where(total > 0, share, np.nan)
