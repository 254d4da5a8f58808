"""An autoregressive prior over codes: codes so far, and a speaker -> the next code, or a sample.

Each code is told by a recurrent network (GRU) from all before it: p(codes) = prod p(code n | codes
before n, speaker), as in [van den Oord 2017](https://arxiv.org/abs/1711.00937), section 3.3.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from threadpoolctl import threadpool_limits

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.prior.ngram import as_codes
from vqwn_kit.prior.step import Recurrence, drawn, log_softmax

MOST_AT_ONCE = 200_000  # codes that one full pass looks at; its logits take K times 4 bytes each


@keras.saving.register_keras_serializable("vqwn_kit")
class CodePrior(keras.Model):
    """A prior over the codes of a run.

    A code enters as a learned vector plus a projection of its codebook row, and is told by how
    well the network's output fits the same vectors: codes that sound alike are learnt together.

    Args:
        num_embeddings: K.
        embedding_dim: D, width of the codebook.
        speaker_names: names of the S speakers; empty for a prior that isn't told who speaks.
        units: of the recurrent network.
        channels: width of the codes' vectors.
        dropout: share of units that are left out in training.
        speaker_dropout: share of training crops that aren't told who speaks, so that the prior can
            do without.

    Example:
        prior = vq.load_prior("results/mini")
        bits = prior.surprise(codes, "joe")                     # (N,)
        codes = prior.sample(750, ["joe", None], seed=1)        # (2, 750)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        speaker_names: Sequence[str] = (),
        units: int = 256,
        channels: int = 128,
        dropout: float = 0.2,
        speaker_dropout: float = 0.1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        for name, value in {"units": units, "channels": channels}.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{name} is {value!r}; expected a whole number from 1 on")
        for name, value in {"dropout": dropout, "speaker_dropout": speaker_dropout}.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
                raise InputError(f"{name} is {value!r}; expected a number from 0 to below 1")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.speaker_names = [str(name) for name in speaker_names]
        self.units, self.channels = units, channels
        self.dropout, self.speaker_dropout = dropout, speaker_dropout
        self.recurrent = keras.layers.GRU(units, return_sequences=True, name="recurrent")
        self.head = keras.layers.Dense(channels, name="head")
        self.into = keras.layers.Dense(channels, use_bias=False, name="into")
        self.out_of = keras.layers.Dense(channels, use_bias=False, name="out_of")
        self.drop = keras.layers.Dropout(dropout)
        self.speaker_seeds = keras.random.SeedGenerator()

    def build(self, input_shape=None):
        """Make the weights; their shapes follow from the keywords alone."""
        near = keras.initializers.RandomNormal(stddev=0.05)
        rows = self.num_embeddings + 1  # the last stands for 'the beginning'
        self.vectors = self.add_weight(shape=(rows, self.channels), initializer=near, name="codes")
        self.bias = self.add_weight(shape=(rows - 1,), initializer="zeros", name="bias")
        if self.speaker_names:
            shape = (len(self.speaker_names), self.channels)
            self.speakers = self.add_weight(shape=shape, initializer=near, name="speakers")
        self.codebook = self.add_weight(
            shape=(rows - 1, self.embedding_dim), initializer="zeros", trainable=False,
            name="codebook",
        )  # fmt: skip
        for layer in (self.into, self.out_of):
            layer.build((None, self.embedding_dim))
        self.recurrent.build((None, None, self.channels))
        self.head.build((None, self.units))
        self.built = True

    @property
    def start(self) -> int:
        """What stands for 'the beginning' among the codes before a code: K."""
        return self.num_embeddings

    def tables(self):
        """Return the codes' vectors at the input, (K + 1, C), and at the output, (K, C)."""
        centred = self.codebook - ops.mean(self.codebook, axis=0)
        rows = centred / (ops.std(self.codebook) + 1e-6)
        entering = ops.pad(self.into(rows), ((0, 1), (0, 0))) + self.vectors
        return entering, self.vectors[:-1] + self.out_of(rows)

    def call(self, inputs, training: bool | None = None):
        """Return logits (B, N, K) of each next code.

        Args:
            inputs: codes so far, int (B, N), one before each that is told, K for the beginning;
                and speakers, int (B,), -1 for none.
            training: whether to leave units and speakers out.
        """
        before, speaker = inputs
        entering, leaving = self.tables()
        x = ops.take(entering, before, axis=0)
        if self.speaker_names:
            if training and self.speaker_dropout:
                draws = keras.random.uniform(ops.shape(speaker), seed=self.speaker_seeds)
                speaker = ops.where(draws < self.speaker_dropout, -1, speaker)
            vectors = ops.take(self.speakers, ops.maximum(speaker, 0), axis=0)
            known = ops.cast(speaker >= 0, vectors.dtype)
            x = x + (vectors * known[:, None])[:, None]
        x = self.drop(self.recurrent(x), training=training)
        x = self.drop(self.head(x), training=training)
        return ops.matmul(x, ops.transpose(leaving)) + self.bias

    def log_probabilities(
        self, codes: np.ndarray, speaker: str | int | None = None, from_start: bool = True
    ) -> np.ndarray:
        """Return log-probabilities of every code given those before it, float32 (N, K), in nats.

        Args:
            codes: int (N,).
            speaker: name or number of who speaks; None where that isn't told.
            from_start: `codes` are the beginning of an utterance. Where they are a piece of it, the
                first only tells the others, and row n is what follows code n.

        Raises:
            InputError: codes out of range, none of them, or no such speaker.
        """
        codes = self._codes(codes)
        number = self.speaker_ids([speaker])
        before = np.append(self.start, codes[:-1]) if from_start else codes
        if len(before) > MOST_AT_ONCE:
            raise InputError(f"{len(before)} codes at once; expected at most {MOST_AT_ONCE}")
        return self.measure(before[None].astype(np.int32), number).numpy()[0]

    @cached_property
    def measure(self):
        """Log-probabilities as a graph for any number of codes: (B, N), (B,) -> (B, N, K)."""
        signature = [tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None,), tf.int32)]
        return tf.function(
            lambda *inputs: ops.log_softmax(self(inputs, training=False)),
            input_signature=signature,
        )

    def surprise(self, codes: np.ndarray, speaker: str | int | None = None) -> np.ndarray:
        """Return the bits of each code of an utterance given those before it, float64 (N,).

        Args:
            codes: int (N,), from the beginning of an utterance.
            speaker: name or number of who speaks; None where that isn't told.

        Raises:
            InputError: codes out of range, none of them, or no such speaker.
        """
        codes = self._codes(codes)
        told = self.log_probabilities(codes, speaker)[np.arange(len(codes)), codes]
        return -told.astype(np.float64) / np.log(2.0)

    def successors(
        self,
        codes: int | Sequence[int],
        count: int | None = 8,
        speaker: str | int | None = None,
        from_start: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the likeliest next codes, int (M,), and their probabilities, (M,), falling.

        Args:
            codes: what came before: one code, or several (N,).
            count: M; None for all K.
            speaker: name or number of who speaks; None where that isn't told.
            from_start: `codes` are the beginning of an utterance, not a piece of one.

        Raises:
            InputError: codes out of range, or no such speaker.
        """
        codes = self._codes(np.atleast_1d(codes))
        before = np.append(self.start, codes) if from_start else codes
        state, told = None, None
        recurrence = Recurrence(self, self.speaker_ids([speaker]))
        for code in before:
            told, state = recurrence.step(np.array([code]), state)
        share = np.exp(log_softmax(told[0]))
        order = np.argsort(-share, kind="stable")[:count]
        return order, share[order]

    def sample(
        self,
        length: int,
        speakers: Iterable[str | int | None] = (None,),
        *,
        prompt: np.ndarray | None = None,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> np.ndarray:
        """Draw codes, one row a speaker, int32 (S', N); after a prompt, which begins each row.

        Args:
            length: how many to draw, N less the prompt's.
            speakers: names or numbers of whose codes to draw; None where that isn't told.
            prompt: int (P,), the beginning of an utterance.
            temperature: below 1 the likely becomes likelier.
            seed: the same seed draws the same codes; each row has numbers of its own.

        Raises:
            InputError: codes out of range, no such speaker, or nothing to draw.
        """
        if isinstance(length, bool) or not isinstance(length, int | np.integer) or length < 1:
            raise InputError(f"length is {length!r}; expected a whole number of codes from 1 on")
        if not temperature > 0:
            raise InputError(f"temperature is {temperature}; expected more than 0")
        prompt = self._codes(prompt) if prompt is not None else np.zeros(0, np.int64)
        numbers = self.speaker_ids([speakers] if isinstance(speakers, str) else speakers)
        if not len(numbers):
            raise InputError("no speakers given; give [None] for codes of nobody in particular")
        rows = range(len(numbers))
        draws = np.array([np.random.default_rng([seed, row]).random(length) for row in rows])
        codes = np.empty((len(numbers), len(prompt) + length), np.int32)
        codes[:, : len(prompt)] = prompt
        with threadpool_limits(1):  # the products are small: two threads took five times as long
            recurrence, state = Recurrence(self, numbers), None
            last = np.full(len(numbers), self.start)
            for place in range(codes.shape[1]):
                logits, state = recurrence.step(last, state)
                if place >= len(prompt):
                    draw = draws[:, place - len(prompt)]
                    codes[:, place] = drawn(logits / temperature, draw)
                last = codes[:, place]
        return codes

    def _codes(self, codes: np.ndarray) -> np.ndarray:
        codes = as_codes(codes, self.num_embeddings)
        if not len(codes):
            raise InputError("no codes given; expected at least one")
        return codes

    def speaker_ids(self, speakers: Iterable[str | int | None]) -> np.ndarray:
        """Return numbers, int32 (S',), for names or numbers of speakers; None is -1, 'not told'.

        Raises:
            InputError: no such speaker, or one for a prior that isn't told who speaks.
        """
        return np.array([self._speaker_id(speaker) for speaker in speakers], np.int32)

    def _speaker_id(self, speaker: str | int | None) -> int:
        names = self.speaker_names
        if speaker is None or (not isinstance(speaker, str) and speaker == -1):
            return -1
        if not names:
            raise InputError(
                f"this prior isn't told who speaks, so it can't draw codes of {speaker}: leave the "
                "speaker out, or train one that is (without --no-speaker)"
            )
        if isinstance(speaker, str):
            if speaker not in names:
                raise one_of("speaker", speaker, names)
            return names.index(speaker)
        if not 0 <= int(speaker) < len(names):
            raise InputError(f"no speaker {speaker}: the numbers are 0..{len(names) - 1}")
        return int(speaker)

    def get_config(self) -> dict:
        """Return the constructor's keywords."""
        names = "num_embeddings embedding_dim speaker_names units channels dropout speaker_dropout"
        return {**super().get_config(), **{name: getattr(self, name) for name in names.split()}}
