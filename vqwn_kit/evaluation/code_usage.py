"""A run and its utterances -> what is known of each code, and of some frames of speech.

What the explorer shows and the projector's files tell: use, phones and voices by code; code, phone,
voice and time by frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from keras import ops

from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.context import EvaluationContext
from vqwn_kit.evaluation.metrics.measures import NotMeasured, code_counts, code_phone_table
from vqwn_kit.evaluation.phones import PHONES, SOUNDS


@dataclass(frozen=True)
class CodeFacts:
    """What is known of the codes of a run.

    Attributes:
        vectors: float32 (K, D), the codebook.
        counts: int (K,), how often each was used.
        phones: int (K, len(SOUNDS)), how often it met each phone; or why that isn't known.
        voices: int (K, S), how often each speaker said it.
    """

    vectors: np.ndarray
    counts: np.ndarray
    phones: np.ndarray | NotMeasured
    voices: np.ndarray

    @property
    def percent(self) -> np.ndarray:
        """Share of all frames, float (K,)."""
        return 100.0 * self.counts / max(1, self.counts.sum())


@dataclass(frozen=True)
class FrameFacts:
    """What is known of M frames.

    Attributes:
        z_e: float32 (M, D), what the encoder makes of them.
        utterances: int (M,), numbers in the store.
        places: int (M,), which frame of its utterance each is.
        keys: M keys of utterances, and `speakers`: who speaks.
        seconds: float (M,), when each begins.
        codes: int (M,), and `distance`: float (M,), how far z_e lies from its code; None where the
            model has no codebook.
        phones: M names of SOUNDS, "" where it isn't known; or why none is.
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


def codebook_of(subject: EvaluationContext) -> np.ndarray:
    """Return the vectors of the codes, float32 (K, D)."""
    return ops.convert_to_numpy(subject.model.bottleneck.vectors())


def facts_of_codes(subject: EvaluationContext) -> CodeFacts:
    """Count what each code is used for in the subject's utterances."""
    codes, size = subject.codes, subject.model.bottleneck.num_embeddings
    names = list(subject.run.speakers)
    heard_from = {n: np.full(len(codes[n]), names.index(subject.speaker(n))) for n in codes}
    try:
        phones = _meetings(codes, _labels(subject), size, len(SOUNDS))
    except NotMeasured as reason:
        phones = reason
    return CodeFacts(
        codebook_of(subject),
        code_counts(np.concatenate(list(codes.values())), size),
        phones,
        _meetings(codes, heard_from, size, len(names)),
    )


def facts_of_frames(subject: EvaluationContext, count: int) -> FrameFacts:
    """Choose frames of the held-out utterances, evenly spread, and tell what is known of them.

    Args:
        subject: the run and its utterances.
        count: M at most. One frame is drawn from each of M stretches of equal length, by the
            subject's seed.

    Raises:
        InputError: less than one frame is asked for.
    """
    if count < 1:
        raise InputError(f"frames={count}: expected 1 or more")
    every = subject.probe_every
    encoded = [subject.encoded[n].z_e for n in subject.held_out]
    numbers = np.repeat(subject.held_out, [len(rows) for rows in encoded])
    places = np.concatenate([np.arange(len(rows)) for rows in encoded]) * every
    edges = np.linspace(0, len(places), min(count, len(places)) + 1).round().astype(int)
    chosen = subject.rng().integers(edges[:-1], edges[1:])
    numbers, places = numbers[chosen], places[chosen]
    z_e = np.concatenate(encoded)[chosen]
    pairs = list(zip(numbers.tolist(), places.tolist(), strict=True))
    codes = distance = None
    if subject.model.bottleneck.num_embeddings:
        codes = np.array([subject.codes[n][place] for n, place in pairs])
        distance = np.linalg.norm(z_e - codebook_of(subject)[codes], axis=1)
    try:
        labels = _labels(subject)
        phones = [SOUNDS[labels[n][place]] if n in labels else "" for n, place in pairs]
    except NotMeasured as reason:
        phones = reason
    return FrameFacts(
        z_e=z_e,
        utterances=numbers,
        places=places,
        keys=[subject.store.corpus.utterances[n].key for n in numbers],
        speakers=[subject.speaker(n) for n in numbers],
        seconds=places / subject.frame_rate,
        codes=codes,
        distance=distance,
        phones=phones,
    )


def _labels(subject: EvaluationContext) -> dict[int, np.ndarray]:
    """Return the place in SOUNDS of each frame, (N,) by utterance; silence is the last."""
    phones = subject.phones
    return {n: np.where(labels < 0, len(PHONES), labels) for n, labels in phones.items()}


def _meetings(codes: dict, labels: dict, size: int, count: int) -> np.ndarray:
    """Return how often code and label meet, (size, count), in utterances that have both."""
    both = [n for n in codes if n in labels]
    if not both:
        raise NotMeasured("no phone times for these utterances")
    rows = [np.concatenate([part[n] for n in both]) for part in (codes, labels)]
    return code_phone_table(*rows, size, count)


def commonest(table: np.ndarray, names: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Return the commonest name of each row of counts, "" for none, and its share in %, NaN."""
    total, best = table.sum(axis=1), table.argmax(axis=1)
    found = [names[b] if n else "" for b, n in zip(best, total, strict=True)]
    share = 100.0 * table.max(axis=1) / np.maximum(1, total)
    return found, np.where(total > 0, share, np.nan)
