"""Statistics of a run's codes, and of frames of speech, for the explorers and the projector."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.context import EvaluationContext
from vqwn_kit.evaluation.metrics import NotMeasured, code_counts, code_phone_table
from vqwn_kit.evaluation.phones import SOUNDS
from vqwn_kit.models.tensorflow import ops
from vqwn_kit.runs.codes import code_names, code_vectors


@dataclass(frozen=True)
class CodeStatistics:
    """What the codes of a run are used for.

    The rows are the M = Q K codes of all codebooks, in the order of their tokens.

    Attributes:
        vectors: float32 (M, D), what each code adds to z_q.
        counts: int (M,), uses of each code.
        phones: int (M, len(SOUNDS)), its frames by phone; or the reason why it is unknown.
        voices: int (M, S), its frames by speaker.
        num_codebooks: Q.
    """

    vectors: np.ndarray
    counts: np.ndarray
    phones: np.ndarray | NotMeasured
    voices: np.ndarray
    num_codebooks: int = 1

    @property
    def num_embeddings(self) -> int:
        """K, codes of each codebook."""
        return len(self.counts) // self.num_codebooks

    @property
    def names(self) -> list[str]:
        """Names of the codes: `code`, or `codebook:code` of several codebooks."""
        return code_names(self.num_embeddings, self.num_codebooks)

    @property
    def codebooks(self) -> np.ndarray:
        """Number of each code's codebook, int (M,)."""
        return np.arange(len(self.counts)) // self.num_embeddings

    @property
    def percent(self) -> np.ndarray:
        """Share of all frames in %, float (M,)."""
        return 100.0 * self.num_codebooks * self.counts / max(1, self.counts.sum())


@dataclass(frozen=True)
class FrameSample:
    """M frames of speech with their metadata.

    Attributes:
        z_e: float32 (M, d), the encoder's output in the space in which it is quantised.
        utterances: int (M,), numbers in the store.
        places: int (M,), index of the frame in its utterance.
        keys: M keys of utterances.
        speakers: M names.
        seconds: float (M,), start of the frame.
        codes: int (M,), or (M, Q) of several codebooks; None where the model has no codebook.
        distance: float (M,), from z_e to the vector of its codes; None where there is no codebook.
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


def quantized_vectors(context: EvaluationContext, codes: np.ndarray) -> np.ndarray:
    """Return what z_e of frames was replaced by, float32 (M, d), from codes (M,) or (M, Q)."""
    bottleneck = context.model.bottleneck
    if bottleneck.num_codebooks == 1:
        return ops.convert_to_numpy(bottleneck.codewords())[codes]
    return ops.convert_to_numpy(bottleneck.embed(codes[None]))[0]


def code_statistics(context: EvaluationContext) -> CodeStatistics:
    """Count the uses of each code, by phone and by speaker, in the utterances of a context.

    Raises:
        NotMeasured: the model has no codebook.
    """
    bottleneck, codes = context.model.bottleneck, context.tokens
    size, codebooks = bottleneck.num_embeddings * bottleneck.num_codebooks, bottleneck.num_codebooks
    names = list(context.run.speakers)
    speakers = {n: np.full(len(codes[n]), names.index(context.speaker(n))) for n in codes}
    try:
        known = context.phones.items()
        labels = {n: (phones % len(SOUNDS)).repeat(codebooks) for n, phones in known}  # -1 is SIL
        phones = _count_pairs(codes, labels, size, len(SOUNDS))
    except NotMeasured as reason:
        phones = reason
    counts = code_counts(np.concatenate(list(codes.values())), size)
    by_speaker = _count_pairs(codes, speakers, size, len(names))
    return CodeStatistics(code_vectors(bottleneck), counts, phones, by_speaker, codebooks)


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
        distance = np.linalg.norm(z_e - quantized_vectors(context, codes), axis=1)
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
