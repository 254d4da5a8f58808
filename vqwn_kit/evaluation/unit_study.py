"""What the measures of units share: the model's codes beside units without training, and tokens."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from vqwn_kit.evaluation import metrics
from vqwn_kit.evaluation.baselines import (
    Normalised,
    Units,
    kmeans_units,
    mfcc_frames,
    projected_units,
    random_units,
)
from vqwn_kit.evaluation.context import EvaluationContext
from vqwn_kit.evaluation.metrics import NotMeasured
from vqwn_kit.evaluation.phones import PHONES, phone_times
from vqwn_kit.models.tensorflow import graph_of, ops, tf
from vqwn_kit.models.vqvae import as_batch

CODES, KMEANS, PROJECTION, RANDOM = "codes", "k-means MFCC", "random projection", "random codes"
KINDS = (CODES, KMEANS, PROJECTION, RANDOM)
MAX_UTTERANCES = 150  # held-out ones; see `choose_utterances`
MAX_PERTURBED = 30  # of those: each is encoded fourteen times
MAX_TOKENS = {True: 2000, False: 1000}  # of ABX, triphones or phones, by a seeded choice
DEFAULT_SIZE = 512  # K of the other units where the model has no codebook


class Encoded(NamedTuple):
    """z_e (N, d), z_q (N, D), both float32, and codes, int32 (N,) or (N, Q), or None."""

    z_e: np.ndarray
    z_q: np.ndarray
    codes: np.ndarray | None


class Tokens(NamedTuple):
    """M pieces of speech that ABX compares.

    `utterances` (M,) are places in `UnitStudy.numbers`, `spans` (M, 2) their first frame and the
    one after their last; `phones`, `contexts`, `speakers` are int (M,); `found` is the number of
    tokens before MAX_TOKENS were chosen.
    """

    utterances: np.ndarray
    spans: np.ndarray
    phones: np.ndarray
    contexts: np.ndarray
    speakers: np.ndarray
    found: int

    def of(self, frames: list[np.ndarray]) -> list[np.ndarray]:
        """Return the frames of each token, of frames (N, ...) by utterance."""
        rows = zip(self.utterances, self.spans, strict=True)
        return [frames[utterance][first:last] for utterance, (first, last) in rows]


@dataclass
class UnitStudy:
    """The model's codes and other units on some held-out utterances, each computed once."""

    context: EvaluationContext

    @cached_property
    def numbers(self) -> np.ndarray:
        """The held-out utterances, at most MAX_UTTERANCES."""
        return self.context.chosen(self.context.held_out, MAX_UTTERANCES)

    @cached_property
    def perturbed(self) -> np.ndarray:
        """Places in `numbers` of the utterances that are perturbed, at most MAX_PERTURBED."""
        return np.searchsorted(self.numbers, self.context.chosen(self.numbers, MAX_PERTURBED))

    @cached_property
    def waveforms(self) -> list[np.ndarray]:
        """Their waveforms, (T,) each."""
        return [self.context.store.waveform(number) for number in self.numbers]

    @cached_property
    def sentences(self) -> np.ndarray:
        """Their sentences, (U,)."""
        return np.array(self.context.sentences(self.numbers))

    @cached_property
    def _graph(self):
        def encode(waveform):
            quantized = self.context.model.quantized(waveform, training=False)
            return quantized.z_e, quantized.z_q, quantized.codes

        return graph_of(encode, [tf.TensorSpec((1, None, 1))])

    def encode(self, waveform: np.ndarray) -> Encoded:
        """Return what the model makes of a waveform (T,), at the full frame rate."""
        parts = self._graph(as_batch(waveform, self.context.model.hop_length))
        return Encoded(*(None if x is None else ops.convert_to_numpy(x)[0] for x in parts))

    @cached_property
    def encoded(self) -> list[Encoded]:
        """What the model makes of the utterances."""
        return [self.encode(waveform) for waveform in self.waveforms]

    @cached_property
    def _training(self) -> list[np.ndarray]:
        return [self.context.store.waveform(number) for number in self.context.train]

    @cached_property
    def _settings(self) -> tuple[int, int, int]:
        """Sample rate, hop length and K of the other units."""
        model = self.context.model
        size = model.bottleneck.num_embeddings or DEFAULT_SIZE
        return self.context.store.sample_rate, model.hop_length, size

    @cached_property
    def features(self) -> Normalised:
        """Normalised MFCC."""
        rate, hop, _ = self._settings
        return Normalised.fit(lambda w: mfcc_frames(w, rate, hop), self._training)

    @cached_property
    def _units(self) -> dict[str, Units | NotMeasured]:
        bottleneck, seed = self.context.model.bottleneck, self.context.seed
        rate, hop, size = self._settings
        units: dict[str, Units | NotMeasured] = {}
        if bottleneck.num_embeddings:
            count = bottleneck.num_codebooks
            codes = Units(CODES, lambda w: self.encode(w).codes, rate / hop, size, count)
            units[CODES] = codes
        else:
            units[CODES] = NotMeasured("the model has no codebook")
        try:
            units[KMEANS] = kmeans_units(self.features, self._training, rate / hop, size, seed)
        except NotMeasured as reason:
            units[KMEANS] = reason
        units[PROJECTION] = projected_units(self._training, rate, hop, size, seed)
        units[RANDOM] = random_units(rate, hop, size, seed)
        return units

    def units(self, kind: str) -> Units:
        """Return the units of a kind, one of KINDS.

        Raises:
            NotMeasured: there are none.
        """
        units = self._units[kind]
        if isinstance(units, NotMeasured):
            raise units
        return units

    @cached_property
    def _codes(self) -> dict[str, list[np.ndarray]]:
        return {}

    @cached_property
    def _all_codes(self) -> dict[str, dict[int, np.ndarray]]:
        return {}

    def codes(self, kind: str) -> list[np.ndarray]:
        """Return the codes of the utterances, (N,) or (N, Q) each."""
        if kind not in self._codes:
            encode = self.units(kind).encode
            made = [part.codes for part in self.encoded] if kind == CODES else None
            self._codes[kind] = made or [encode(waveform) for waveform in self.waveforms]
        return self._codes[kind]

    def symbols(self, kind: str) -> tuple[list[np.ndarray], int]:
        """Return the codes as symbols, (N,) each, and how many there are; see `as_symbols`."""
        symbols, count = metrics.as_symbols(self.codes(kind))
        units = self.units(kind)
        return symbols, count if units.codebooks > 1 else units.size

    def all_codes(self, kind: str) -> dict[int, np.ndarray]:
        """Return the codes of all utterances of the context by number, (N,) or (N, Q) each."""
        if kind not in self._all_codes:
            encode, store = self.units(kind).encode, self.context.store
            numbers = [*self.context.train, *self.context.held_out]
            self._all_codes[kind] = (
                self.context.codes
                if kind == CODES
                else {number: encode(store.waveform(number)) for number in numbers}
            )
        return self._all_codes[kind]

    def all_symbols(self, kind: str) -> tuple[dict[int, np.ndarray], int]:
        """Return `all_codes` as symbols, (N,) each, and how many there are."""
        codes = self.all_codes(kind)
        symbols, count = metrics.as_symbols(list(codes.values()))
        units = self.units(kind)
        count = count if units.codebooks > 1 else units.size
        return dict(zip(codes, symbols, strict=True)), count

    def representation(self, name: str) -> list[np.ndarray]:
        """Return frames by utterance: `MFCC`, `z_e`, `z_q` (N, F), or symbols of KINDS (N,)."""
        if name == "MFCC":
            return [self.features(waveform) for waveform in self.waveforms]
        if name in ("z_e", "z_q"):
            return [getattr(part, name) for part in self.encoded]
        return self.symbols(name)[0]

    @cached_property
    def spans(self) -> dict[int, list]:
        """Phones with their times, by place in `numbers`, of utterances whose times are known."""
        times = phone_times(self.context.store, self.numbers, self.context.progress)
        places = {int(number): place for place, number in enumerate(self.numbers)}
        return {places[number]: spans for number, spans in times.items()}

    def tokens(self, triphones: bool) -> Tokens:
        """Return the tokens of ABX: triphones in their context, or phones in any context.

        Of utterances with phone times; none with silence or without a frame. Of more than
        MAX_TOKENS those come first in whose context another phone occurs: ABX compares no others.

        Raises:
            NotMeasured: there are none.
        """
        rate, rows = self.context.frame_rate, []
        speakers = self.context.speaker_ids(self.numbers)
        for place, spans in self.spans.items():
            count = -(-len(self.waveforms[place]) // self.context.model.hop_length)
            for parts in (
                zip(spans, spans[1:], spans[2:], strict=False) if triphones else zip(spans)
            ):
                names = [PHONES.index(name) if name in PHONES else -1 for _, _, name in parts]
                edges = np.array([parts[0][0], parts[-1][1]]) * rate - 0.5  # middles of frames
                first, last = np.clip(np.ceil(edges), 0, count).astype(int)
                if min(names) >= 0 and first < last:
                    before, centre, after = names if triphones else (0, names[0], 0)
                    context = before * len(PHONES) + after
                    rows.append((place, first, last, centre, context, speakers[place]))
        if not rows:
            what = "triphones" if triphones else "phones"
            raise NotMeasured(f"these utterances have no {what} with times, without silence")
        table, found = np.array(rows), len(rows)
        drawn = self.context.rng(7).permutation(found)
        alone = number_of_phones(table[:, 3], table[:, 4]) == 1
        chosen = drawn[np.argsort(alone[drawn], kind="stable")][: MAX_TOKENS[triphones]]
        place, first, last, *labels = table[np.sort(chosen)].T
        return Tokens(place, np.stack([first, last], axis=1), *labels, found)


def number_of_phones(phones: np.ndarray, contexts: np.ndarray) -> np.ndarray:
    """Return for each token how many different phones occur in its context, int (M,)."""
    pairs = np.unique(np.stack([contexts, phones], axis=1), axis=0)
    different, counts = np.unique(pairs[:, 0], return_counts=True)
    return counts[np.searchsorted(different, contexts)]
