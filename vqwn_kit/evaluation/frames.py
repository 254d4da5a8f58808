"""A run and a corpus -> every frame, with its vector, its codes and what is known about it.

Facts about codes (`code_profile.py`) and searches for frames like another one are made from it.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vqwn_kit.data.alignment import spans_beside
from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.context import EvaluationContext
from vqwn_kit.evaluation.metrics import NotMeasured, place_in_span
from vqwn_kit.evaluation.phones import SOUNDS, in_store, phone_times
from vqwn_kit.models.tensorflow import graph_of, ops, tf
from vqwn_kit.models.vqvae import VQVAE, as_batch


@dataclass(frozen=True)
class Frames:
    """Frames of a recording.

    Attributes:
        z_e: float32 (N, d), the encoder's output in the space in which it is quantised.
        codes: int32 (N, Q).
        distances: float32 (N, Q), from what a codebook looks up to the vector of its code.
    """

    z_e: np.ndarray
    codes: np.ndarray
    distances: np.ndarray


class FrameEncoder:
    """A model's encoder and bottleneck as a graph: waveform (T,) -> `Frames`.

    Args:
        model: with a codebook.
    """

    def __init__(self, model: VQVAE):
        self.model = model
        bottleneck = model.bottleneck
        parts = getattr(bottleneck, "quantizers", [bottleneck])
        self.codewords = np.stack([ops.convert_to_numpy(part.codewords()) for part in parts])
        signature = [tf.TensorSpec((1, None, 1))]
        self._quantize = graph_of(self._quantized, signature)

    def _quantized(self, waveform):
        """Return z_e (1, N, d), codes (1, N, Q), and inputs (1, N, Q, d) or z_q where none are."""
        quantized, bottleneck = (
            self.model.quantized(waveform, training=False),
            self.model.bottleneck,
        )
        codes = quantized.codes
        if bottleneck.num_codebooks == 1:
            return quantized.z_e, codes[..., None], quantized.z_e[:, :, None]
        if quantized.inputs is None:  # codes on a grid
            return quantized.z_e, codes, quantized.z_q
        return quantized.z_e, codes, quantized.inputs

    def __call__(self, waveform: np.ndarray) -> Frames:
        """Return the frames of a waveform (T,) at the model's rate."""
        parts = self._quantize(as_batch(waveform, self.model.hop_length))
        z_e, codes, inputs = (part.numpy()[0] for part in parts)
        if inputs.ndim == 2:  # of stacked grids only the distance of the whole frame is known
            whole = np.linalg.norm(z_e - inputs, axis=1)
            return Frames(z_e, codes, np.repeat(whole[:, None], codes.shape[1], axis=1))
        chosen = self.codewords[np.arange(codes.shape[1]), codes]
        return Frames(z_e, codes, np.linalg.norm(inputs - chosen, axis=2))


@dataclass(frozen=True)
class FrameIndex:
    """M frames of the utterances of a context.

    Attributes:
        context: the run and its utterances.
        encoder: waveform -> frames, by the same model.
        numbers: int (M,), of the utterance in the store.
        places: int (M,), index of the frame in its utterance.
        frames: z_e (M, d), codes (M, Q) and distances (M, Q).
    """

    context: EvaluationContext
    encoder: FrameEncoder
    numbers: np.ndarray
    places: np.ndarray
    frames: Frames

    def __len__(self) -> int:
        """Return M."""
        return len(self.numbers)

    @cached_property
    def bounds(self) -> dict[int, slice]:
        """The frames of each utterance, by its number."""
        starts = np.flatnonzero(self.places == 0)
        ends = [*starts[1:], len(self)]
        pairs = zip(starts.tolist(), ends, strict=True)
        return {int(self.numbers[start]): slice(start, int(end)) for start, end in pairs}

    @cached_property
    def voices(self) -> np.ndarray:
        """Number of the speaker in the run, int (M,)."""
        names = list(self.context.run.speakers)
        return self._spread({n: names.index(self.context.speaker(n)) for n in self.bounds})

    @cached_property
    def phones(self) -> np.ndarray | NotMeasured:
        """Phone of each frame, int (M,), an index of SOUNDS, -1 unknown; or why all are."""
        try:
            known = self.context.phones
        except NotMeasured as reason:
            return reason
        rows = {n: known[n] % len(SOUNDS) for n in self.bounds if n in known}  # -1 is SIL
        return self._spread(rows, -1)

    @cached_property
    def spans(self) -> dict[str, dict[int, list]]:
        """Spans (start, end, name) by number of the utterance, of `word` and `phone`, if known."""
        words, store = {}, self.context.store
        for number in self.bounds:
            spans = spans_beside(store.corpus.utterances[number].path, "words")
            if spans:
                words[number] = in_store(spans, store, number)
        try:
            phones = phone_times(store, self.bounds, self.context.progress)
        except NotMeasured:
            phones = {}
        return {"word": words, "phone": phones}

    def places_in(self, kind: str) -> np.ndarray:
        """Return where each frame lies in its `word` or `phone`, float (M,), 0 to 1, or NaN."""
        rate = self.context.frame_rate
        rows = {
            n: place_in_span(spans, part.stop - part.start, rate)
            for n, part in self.bounds.items()
            if (spans := self.spans[kind].get(n))
        }
        return self._spread(rows, np.nan)

    def _spread(self, rows: dict, missing: float | None = None) -> np.ndarray:
        """Return a value, or row of values, by number of the utterance, as one array (M,)."""
        parts = [
            np.broadcast_to(rows.get(n, missing), (part.stop - part.start,))
            for n, part in self.bounds.items()
        ]
        return np.concatenate(parts)

    def name(self, frame: int) -> str:
        """Return the key of a frame's utterance and its time in seconds: `joe_053 at 0.96 s`."""
        seconds = (self.places[frame] + 0.5) / self.context.frame_rate
        return f"{self.context.store.corpus.utterances[self.numbers[frame]].key} at {seconds:.2f} s"

    def phone_name(self, frame: int) -> str:
        """Return the phone of a frame, "" where it is unknown."""
        known = not isinstance(self.phones, NotMeasured) and self.phones[frame] >= 0
        return SOUNDS[self.phones[frame]] if known else ""

    def one_per_utterance(self, frames: np.ndarray, count: int) -> np.ndarray:
        """Return the first `count` of frames int (n,) that are of different utterances."""
        _, first = np.unique(self.numbers[frames], return_index=True)
        return frames[np.sort(first)][:count]

    def nearest(self, vector: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the frames whose z_e is nearest to a vector (d,), one per utterance at most.

        Returns:
            Frames, int (n,), the nearest first, and their distances, float (n,).
        """
        distances = np.linalg.norm(self.frames.z_e - np.asarray(vector, np.float32), axis=1)
        chosen = self.one_per_utterance(np.argsort(distances, kind="stable"), count)
        return chosen, distances[chosen]


def frame_index(context: EvaluationContext) -> FrameIndex:
    """Return all frames of the held-out and training utterances of a context.

    z_e takes 4 d bytes per frame: 15 MB for ten minutes at 100 frames per second and d = 64.

    Raises:
        InputError: the model has no codebook.
    """
    if not context.model.bottleneck.num_embeddings:
        raise InputError(f"{context.run.folder} has no codebook (an autoencoder): no codes")
    encoder = FrameEncoder(context.model)
    numbers = list(dict.fromkeys(map(int, [*context.held_out, *context.train])))
    parts = [encoder(context.store.waveform(n)) for n in context.bar(numbers, "encode")]
    lengths = [len(part.codes) for part in parts]
    joined = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("z_e", "codes", "distances")
    )
    places = np.concatenate([np.arange(length) for length in lengths])
    return FrameIndex(context, encoder, np.repeat(numbers, lengths), places, Frames(*joined))
