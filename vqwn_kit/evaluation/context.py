"""A run and the utterances that it is examined on: what it makes of them, computed once."""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from keras import ops

from vqwn_kit.data.store import Store
from vqwn_kit.evaluation.metrics.measures import NotMeasured
from vqwn_kit.evaluation.phones import frame_phones, phone_times
from vqwn_kit.models.vqvae import VQVAE, as_batch
from vqwn_kit.runs.run import Run

BITS_PER_NAT = 1.0 / np.log(2.0)


class Encoded(NamedTuple):
    """Every few frames of z_e, float32 (N', D), and all codes, int32 (N,), or None."""

    z_e: np.ndarray
    codes: np.ndarray | None


@dataclass
class EvaluationContext:
    """A run and the utterances that it is examined on.

    Attributes:
        run: the run.
        store: the prepared corpus.
        held_out: numbers of the utterances that it is judged by.
        train: numbers of training utterances, at most MOST_TRAIN, evenly spread.
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
        """Frames a second."""
        return self.store.sample_rate / self.model.hop_length

    def rng(self, *more: int) -> np.random.Generator:
        """Return random numbers that follow from the seed and `more` alone."""
        return np.random.default_rng([self.seed, *more])

    def speaker(self, number: int) -> str:
        """Return the name of an utterance's speaker."""
        return self.store.corpus.utterances[number].speaker

    def speaker_ids(self, numbers: np.ndarray) -> np.ndarray:
        """Return the speakers' numbers in the model, int32."""
        return self.model.speaker_ids([self.speaker(number) for number in numbers])

    def bar(self, numbers, what: str):
        """Return the numbers in a progress bar with the time left."""
        from tqdm import tqdm

        return tqdm(numbers, desc=what, unit="utterance", disable=not self.progress)

    @property
    def probe_every(self) -> int:
        """Frames from one that a probe hears to the next, so that they come at about 60 Hz."""
        return max(1, round(self.frame_rate / 60.0))

    @cached_property
    def bits(self):
        """`bits_per_sample` as a graph: (1, T, 1), (1,), (1, N, D) -> a scalar."""
        width = self.model.bottleneck.embedding_dim
        signature = [
            tf.TensorSpec((1, None, 1)),
            tf.TensorSpec((1,), tf.int32),
            tf.TensorSpec((1, None, width)),
        ]
        return tf.function(partial(bits_per_sample, self.model), input_signature=signature)

    @cached_property
    def encoded(self) -> dict[int, "Encoded"]:
        """What encoder and bottleneck make of the held-out and training utterances, by number."""
        numbers = [*self.held_out, *self.train]
        return {number: self._encode(number) for number in self.bar(numbers, "encode")}

    @cached_property
    def _compress(self):
        """`compress` as a graph: (1, T, 1) -> z_e (1, N, D) and codes (1, N) or None."""

        def compress(waveform):
            quantized = self.model.quantized(waveform, training=False)
            return quantized.z_e, quantized.codes

        return tf.function(compress, input_signature=[tf.TensorSpec((1, None, 1))])

    def _encode(self, number: int) -> "Encoded":
        waveform = as_batch(self.store.waveform(number), self.model.hop_length)
        z_e, codes = self._compress(waveform)
        codes = None if codes is None else ops.convert_to_numpy(codes)[0]
        z_e = ops.convert_to_numpy(ops.cast(z_e, "float32"))[0]
        return Encoded(z_e[:: self.probe_every], codes)

    @property
    def codes(self) -> dict[int, np.ndarray]:
        """Codes (N,) by number, of the held-out and the training utterances."""
        if not self.model.bottleneck.num_embeddings:
            raise NotMeasured("the model has no codebook")
        return {number: encoded.codes for number, encoded in self.encoded.items()}

    @cached_property
    def phones(self) -> dict[int, np.ndarray]:
        """Phone of each frame, int (N,), -1 for silence, by number; where times are known."""
        times = phone_times(self.store, [*self.held_out, *self.train], self.progress)
        lengths = {
            number: -(-self.store.lengths[number] // self.model.hop_length) for number in times
        }
        return {
            number: frame_phones(spans, lengths[number], self.frame_rate)
            for number, spans in times.items()
        }


def bits_per_sample(model: VQVAE, waveform, speaker, z_q):
    """Return how many bits a sample of a waveform costs, each given the true ones before it.

    Args:
        model: the model.
        waveform: (1, T, 1), T a multiple of `hop_length`.
        speaker: int32 (1,), whom the decoder takes it to be.
        z_q: (1, T / hop_length, D), what the decoder hears.
    """
    conditioning = model.decoder.conditioner(z_q, speaker)
    return model.decoder.loss(waveform, conditioning, training=False) * BITS_PER_NAT
