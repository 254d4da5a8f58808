"""A run and the utterances that it is evaluated on, encoded once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np

from vqwn_kit.data.choice import choose_utterances
from vqwn_kit.data.corpus import sentence_of
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.metrics import NotMeasured
from vqwn_kit.evaluation.phones import frame_phones, phone_times
from vqwn_kit.models.tensorflow import graph_of, ops, tf
from vqwn_kit.models.vqvae import VQVAE, as_batch
from vqwn_kit.runs.codes import flatten_codes
from vqwn_kit.runs.run import Run
from vqwn_kit.sampling.pitch import utterance_pitch

BITS_PER_NAT = 1.0 / np.log(2.0)
MOST_SECONDS = 40.0  # of an utterance: the memory of a pass over it grows with its length
MAX_TRAIN = 240  # training utterances that probes and the map of codes to phones are fitted on


class Encoded(NamedTuple):
    """Every `probe_every`-th frame of z_e, float32 (N', d), and all codes, int32, or None.

    Codes are (N,), or (N, Q) of several codebooks. z_e is in the space in which it is quantised.
    """

    z_e: np.ndarray
    codes: np.ndarray | None


@dataclass
class EvaluationContext:
    """A run and the utterances that it is evaluated on; see `evaluation_context`.

    Attributes:
        run: the run.
        store: the prepared corpus.
        held_out: numbers of the utterances that measures are of.
        train: numbers of the training utterances that probes are fitted on.
        seed: of all choices.
        progress: show progress bars.
    """

    run: Run
    store: Store
    held_out: np.ndarray
    train: np.ndarray
    seed: int = 0
    progress: bool = True

    @property
    def model(self) -> VQVAE:
        """The model of the run."""
        return self.run.model

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.store.sample_rate / self.model.hop_length

    def rng(self, *more: int) -> np.random.Generator:
        """Return random numbers that depend on the seed and `more` only."""
        return np.random.default_rng([self.seed, *more])

    def speaker(self, number: int) -> str:
        """Return the name of an utterance's speaker."""
        return self.store.corpus.utterances[number].speaker

    def sentences(self, numbers: Iterable[int]) -> list[str]:
        """Return the sentence of each utterance; see `sentence_of`."""
        return [sentence_of(self.store.corpus.utterances[number]) for number in numbers]

    def chosen(self, numbers: np.ndarray, most: int) -> np.ndarray:
        """Return at most `most` of some utterances; see `choose_utterances`."""
        return choose_utterances(self.store.corpus, numbers, most)

    def other_speakers(self, number: int) -> list[str]:
        """Return the names of the run's other speakers, of added voices, too.

        Those who have recordings in the corpus, since judges of voices know no other; where none
        has, all that the run was trained on.
        """
        corpus, own = self.store.corpus.speakers, self.speaker(number)
        voices = [*self.run.trained_speakers, *self.run.added_voices]
        known = [name for name in voices if name in corpus and name != own]
        return known or [name for name in self.run.trained_speakers if name != own]

    def speaker_ids(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the numbers of the utterances' speakers in the model, int32."""
        return self.model.speaker_ids([self.speaker(number) for number in numbers])

    def bar(self, numbers, task: str):
        """Return the numbers in a progress bar with the time left."""
        from tqdm import tqdm

        shown = self.progress and len(numbers) > 0
        return tqdm(numbers, desc=task, unit="utterance", disable=not shown)

    @property
    def probe_every(self) -> int:
        """Frames from one input of a probe to the next, for a rate of about 60 Hz."""
        return max(1, round(self.frame_rate / 60.0))

    @cached_property
    def bits(self):
        """`bits_per_sample` as a graph: (1, T, 1), (1,), (1, N, D)[, (1, N)] -> a scalar."""
        z_q = tf.TensorSpec((1, None, self.model.bottleneck.embedding_dim))
        signature = [tf.TensorSpec((1, None, 1)), tf.TensorSpec((1,), tf.int32), z_q]
        signature += [tf.TensorSpec((1, None))] if self.model.pitch_levels else []
        return tf.function(partial(bits_per_sample, self.model), input_signature=signature)

    def pitch(self, number: int, frames: int | None = None) -> np.ndarray | None:
        """Return the pitch of an utterance, (1, N), if it is an input; see `utterance_pitch`."""
        return utterance_pitch(self.model, self.store, int(number), frames, self.progress)

    @cached_property
    def encoded(self) -> dict[int, Encoded]:
        """z_e and codes of the held-out and training utterances, by number."""
        numbers = [*self.held_out, *self.train]
        return {number: self._encode(number) for number in self.bar(numbers, "encode")}

    @cached_property
    def _quantize(self):
        """Encoder and bottleneck as a graph: (1, T, 1) -> z_e (1, N, d), codes or None."""

        def quantize(waveform):
            quantized = self.model.quantized(waveform, training=False)
            return quantized.z_e, quantized.codes

        return graph_of(quantize, [tf.TensorSpec((1, None, 1))])

    def _encode(self, number: int) -> Encoded:
        waveform = as_batch(self.store.waveform(number), self.model.hop_length)
        z_e, codes = self._quantize(waveform)
        codes = None if codes is None else ops.convert_to_numpy(codes)[0]
        z_e = ops.convert_to_numpy(ops.cast(z_e, "float32"))[0]
        return Encoded(z_e[:: self.probe_every], codes)

    @property
    def codes(self) -> dict[int, np.ndarray]:
        """Codes (N,) or (N, Q) of the same utterances; NotMeasured where there is no codebook."""
        if not self.model.bottleneck.num_embeddings:
            raise NotMeasured("the model has no codebook")
        return {number: encoded.codes for number, encoded in self.encoded.items()}

    @property
    def tokens(self) -> dict[int, np.ndarray]:
        """Codes of the same utterances as tokens, int32 (N Q,); see `flatten_codes`."""
        bottleneck = self.model.bottleneck
        sizes = (bottleneck.num_embeddings, bottleneck.num_codebooks)
        return {number: flatten_codes(codes, *sizes) for number, codes in self.codes.items()}

    @cached_property
    def phones(self) -> dict[int, np.ndarray]:
        """Phone of each frame, int (N,), -1 for silence, of those whose times are known."""
        times = phone_times(self.store, [*self.held_out, *self.train], self.progress)
        lengths = {n: -(-self.store.lengths[n] // self.model.hop_length) for n in times}
        return {n: frame_phones(spans, lengths[n], self.frame_rate) for n, spans in times.items()}


def evaluation_context(
    run: Run, store: Store, utterances: int | None = None, seed: int = 0, progress: bool = True
) -> EvaluationContext:
    """Return a run with the utterances that it is evaluated on.

    `utterances` is the number of held-out ones at most, see `choose_utterances`; all by default.
    At most `MAX_TRAIN` of training are added. Of one of more than `MOST_SECONDS` only the beginning
    is measured, without its text.

    Raises:
        InputError: a split has no utterance, or none by a speaker of the run.

    Example:
        context = evaluation_context(vq.load_run("mini"), store)
        context.codes[context.held_out[0]]      # (N,)
    """
    store = store.cut(MOST_SECONDS)
    held_out = select_utterances(run, store, "held_out", utterances)
    train = select_utterances(run, store, "train", MAX_TRAIN)
    return EvaluationContext(run, store, held_out, train, seed, progress)


def select_utterances(run: Run, store: Store, split: str, most: int | None = None) -> np.ndarray:
    """Return at most `most` utterances of a split by speakers of a run, int (U,).

    See `choose_utterances`; all by default.

    Raises:
        InputError: there are none.
    """
    numbers = store.numbers(split)
    if not len(numbers):
        raise InputError(
            f"{store.corpus.folder} has no utterance in the split {split!r}; a score card "
            "needs both: name the split of each in an utterances.tsv"
        )
    known = [n for n in numbers if store.corpus.utterances[n].speaker in run.speakers]
    if not known:
        raise InputError(
            f"none of the speakers of {store.corpus.folder} is in {run.folder}, which has "
            f"{', '.join(list(run.speakers)[:8])}: give the corpus that it was trained on"
        )
    return choose_utterances(store.corpus, np.array(known), most or len(known))


def bits_per_sample(model: VQVAE, waveform, speaker, z_q, pitch=None):
    """Return the negative log-likelihood of a waveform in bits per sample, teacher-forced.

    Args:
        model: the model.
        waveform: (1, T, 1), T a multiple of `hop_length`.
        speaker: int32 (1,), that the decoder is conditioned on, and `z_q`.
        z_q: (1, T / hop_length, D).
        pitch: (1, T / hop_length), see `VQVAE.condition`.
    """
    conditioning = model.condition(z_q, speaker, pitch)
    return model.decoder.loss(waveform, conditioning, training=False) * BITS_PER_NAT
