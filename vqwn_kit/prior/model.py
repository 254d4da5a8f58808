"""An autoregressive prior over codes, [van den Oord 2017](https://arxiv.org/abs/1711.00937), 3.3.

A recurrent network (GRU) predicts each code from all codes before it, and from the speaker:
p(codes | speaker) = prod p(code n | codes before n, speaker).

Of several codebooks the codes are one sequence of tokens, frame by frame, codebook by codebook; see
`flatten_codes`. The place of a token says its codebook, so only that codebook's K codes share the
probability.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from scipy.special import softmax
from threadpoolctl import threadpool_limits

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.models import workers
from vqwn_kit.models.tensorflow import graph_of, keras, ops, tf
from vqwn_kit.prior.config import check_share, check_whole
from vqwn_kit.prior.ngram import as_codes
from vqwn_kit.prior.step import Recurrence, draw_codes
from vqwn_kit.runs.codes import flatten_codes, unflatten_codes

MAX_LENGTH = 200_000  # codes of one full pass, whose logits take 4 K bytes each


@keras.saving.register_keras_serializable("vqwn_kit")
class CodePrior(keras.Model):
    """A prior over the codes of a run.

    The vector of a code is learned, plus a projection of its row of the codebook. Logits are the
    products of the network's output with these vectors, so that codes of similar sound share what
    is learned of them. Methods take codes (N,), or (N, Q) of several codebooks.

    Args:
        num_embeddings: K.
        embedding_dim: D, width of the codebook.
        speaker_names: names of the S speakers; empty for a prior without speaker conditioning.
        units: of the recurrent network.
        channels: width of the vectors of codes and speakers.
        dropout: share of units that are dropped in training.
        speaker_dropout: share of training crops without a speaker, so that None can be given.
        num_codebooks: Q.

    Example:
        prior = vq.load_prior("results/mini")
        bits = prior.surprise(codes, "joe")                     # (N,), surprisal
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
        num_codebooks: int = 1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_whole("units", units)
        check_whole("num_codebooks", num_codebooks)
        check_whole("channels", channels)
        check_share("dropout", dropout)
        check_share("speaker_dropout", speaker_dropout)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.num_codebooks = num_codebooks
        following = (np.arange(num_codebooks) + 1) % num_codebooks
        self.codebook_after = np.append(following.repeat(num_embeddings), 0)  # of each token
        self.speaker_names = [str(name) for name in speaker_names]
        self.units, self.channels = units, channels
        self.dropout, self.speaker_dropout = dropout, speaker_dropout
        self.recurrent = keras.layers.GRU(units, return_sequences=True, name="recurrent")
        self.head = keras.layers.Dense(channels, name="head")
        self.into = keras.layers.Dense(channels, use_bias=False, name="into")
        self.out_of = keras.layers.Dense(channels, use_bias=False, name="out_of")
        self.drop = keras.layers.Dropout(dropout, name="drop")
        self.speaker_seeds = keras.random.SeedGenerator()

    def build(self, input_shape=None):
        """Create the weights; their shapes follow from the keywords alone."""
        small = keras.initializers.RandomNormal(stddev=0.05)
        rows = self.start + 1  # the last is the beginning of an utterance
        self.vectors = self.add_weight(shape=(rows, self.channels), initializer=small, name="codes")
        self.bias = self.add_weight(shape=(rows - 1,), initializer="zeros", name="bias")
        if self.speaker_names:
            shape = (len(self.speaker_names), self.channels)
            self.speakers = self.add_weight(shape=shape, initializer=small, name="speakers")
        self.codebook = self.add_weight(
            shape=(rows - 1, self.embedding_dim),
            initializer="zeros",
            trainable=False,
            name="codebook",
        )
        for layer in (self.into, self.out_of):
            layer.build((None, self.embedding_dim))
        self.recurrent.build((None, None, self.channels))
        self.head.build((None, self.units))
        self.built = True

    @property
    def start(self) -> int:
        """The input before the first token of an utterance: Q K."""
        return self.num_codebooks * self.num_embeddings

    def tables(self):
        """Return the vectors of tokens at the input, (Q K + 1, C), and at the output, (Q K, C)."""
        centred = self.codebook - ops.mean(self.codebook, axis=0)
        rows = centred / (ops.std(self.codebook) + 1e-6)
        inputs_table = ops.pad(self.into(rows), ((0, 1), (0, 0))) + self.vectors
        return inputs_table, self.vectors[:-1] + self.out_of(rows)

    def call(self, inputs, training: bool | None = None):
        """Return logits (B, N, K) of each next code, over the codes of its own codebook.

        Args:
            inputs: the token before each predicted code, int (B, N), Q K at the beginning; and
                speakers, int (B,), -1 for none.
            training: whether to drop units and speakers.
        """
        previous, speaker = inputs
        inputs_table, outputs_table = self.tables()
        x = ops.take(inputs_table, previous, axis=0)
        if self.speaker_names:
            if training and self.speaker_dropout:
                shape = ops.shape(speaker)
                draws = workers.draw(keras.random.uniform, shape, seed=self.speaker_seeds)
                speaker = ops.where(draws < self.speaker_dropout, -1, speaker)
            vectors = ops.take(self.speakers, ops.maximum(speaker, 0), axis=0)
            known = ops.cast(speaker >= 0, vectors.dtype)
            x = x + (vectors * known[:, None])[:, None]
        x = workers.drop(self.drop, self.recurrent(x), training)
        x = workers.drop(self.drop, self.head(x), training)
        logits = ops.matmul(x, ops.transpose(outputs_table)) + self.bias
        if self.num_codebooks == 1:
            return logits
        sizes = (self.num_codebooks, self.num_embeddings)
        logits = ops.reshape(logits, (*ops.shape(previous), *sizes))
        chosen = ops.one_hot(ops.take(self.codebook_after, previous), sizes[0])
        return ops.einsum("bnqk,bnq->bnk", logits, chosen)

    def log_probs(
        self, codes: np.ndarray, speaker: str | int | None = None, from_start: bool = True
    ) -> np.ndarray:
        """Return log-probabilities of all K codes at each place, in nats.

        Args:
            codes: int (N,) or (N, Q).
            speaker: name or number of the speaker; None for no speaker.
            from_start: whether `codes` begin an utterance; row n is then the prediction of code n
                from those before it. Of a piece from within, row n is that of the code after n.

        Returns:
            float32 (N, K), or (N, Q, K) of several codebooks; over K the probabilities sum to 1.

        Raises:
            InputError: codes out of range, none of them, or no such speaker.
        """
        tokens = self._tokens(codes)
        number = self.speaker_ids([speaker])
        previous = np.append(self.start, tokens[:-1]) if from_start else tokens
        if len(previous) > MAX_LENGTH:
            raise InputError(f"{len(previous)} codes at once; expected at most {MAX_LENGTH}")
        rows = self.compiled_log_probs(previous[None].astype(np.int32), number).numpy()[0]
        sizes = (self.num_codebooks, self.num_embeddings)
        return rows if self.num_codebooks == 1 else rows.reshape(-1, *sizes)

    @cached_property
    def compiled_log_probs(self):
        """The graph of log-probabilities: tokens (B, N) and speakers (B,) -> (B, N, K)."""
        signature = [tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None,), tf.int32)]
        return graph_of(lambda *inputs: ops.log_softmax(self(inputs, training=False)), signature)

    def surprise(self, codes: np.ndarray, speaker: str | int | None = None) -> np.ndarray:
        """Return the surprisal of each code of an utterance in bits, float64 (N,) or (N, Q).

        It is the negative log-probability given the codes before; see `log_probs`.
        """
        log_probs = self.log_probs(codes, speaker)
        codes = unflatten_codes(self._tokens(codes), self.num_embeddings, self.num_codebooks)
        nats = np.take_along_axis(log_probs, codes[..., None], axis=-1)[..., 0]
        return -nats.astype(np.float64) / np.log(2.0)

    def successors(
        self,
        codes: int | Sequence[int],
        count: int | None = 8,
        speaker: str | int | None = None,
        from_start: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the likeliest next codes, int (M,), and their probabilities (M,), descending.

        Of several codebooks they are codes of the first one, with which the next frame begins.

        Args:
            codes: the codes before: one, or several (N,); of several codebooks frames (N, Q).
            count: M; None for all K.
            speaker: name or number of the speaker; None for no speaker.
            from_start: whether `codes` begin an utterance.
        """
        tokens = self._tokens(np.atleast_1d(codes))
        previous = np.append(self.start, tokens) if from_start else tokens
        recurrence, state = Recurrence(self, self.speaker_ids([speaker])), None
        for token in previous:
            logits, state = recurrence.step(np.array([token]), state)
        probabilities = softmax(logits[0])
        order = np.argsort(-probabilities, kind="stable")[:count]
        return order, probabilities[order]

    def sample(
        self,
        length: int,
        speakers: Iterable[str | int | None] = (None,),
        *,
        prompt: np.ndarray | None = None,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> np.ndarray:
        """Draw codes, one row per speaker; a prompt begins each row.

        Args:
            length: how many frames to draw, of one code, or of Q codes.
            speakers: names or numbers of the S' speakers; None for no speaker.
            prompt: int (P,) or (P, Q), the beginning of an utterance.
            temperature: divides the logits.
            seed: the same seed draws the same codes; each row has random numbers of its own.

        Returns:
            int32 (S', P + length), or (S', P + length, Q) of several codebooks.

        Raises:
            InputError: codes out of range, no such speaker, or nothing to draw.
        """
        check_whole("length", length)
        check_whole("seed", seed, 0, 2**64 - 1)
        if not temperature > 0:
            raise InputError(f"temperature is {temperature}; expected more than 0")
        prompt = self._tokens(prompt) if prompt is not None else np.zeros(0, np.int64)
        length *= self.num_codebooks
        numbers = self.speaker_ids([speakers] if isinstance(speakers, str) else speakers)
        if not len(numbers):
            raise InputError("no speakers given; give [None] for codes of no speaker")
        rows = range(len(numbers))
        draws = np.array([np.random.default_rng([seed, row]).random(length) for row in rows])
        tokens = np.empty((len(numbers), len(prompt) + length), np.int32)
        tokens[:, : len(prompt)] = prompt
        with threadpool_limits(1):  # the products are small: two threads took five times as long
            recurrence, state = Recurrence(self, numbers), None
            previous = np.full(len(numbers), self.start)
            for place in range(tokens.shape[1]):
                logits, state = recurrence.step(previous, state)
                if place >= len(prompt):
                    codes = draw_codes(logits / temperature, draws[:, place - len(prompt)])
                    first = place % self.num_codebooks * self.num_embeddings
                    tokens[:, place] = first + codes
                previous = tokens[:, place]
        return unflatten_codes(tokens, self.num_embeddings, self.num_codebooks)

    def _tokens(self, codes: np.ndarray) -> np.ndarray:
        """Return the tokens, int64 (N Q,), of codes (N,) or (N, Q)."""
        codes = as_codes(codes, self.num_embeddings, self.num_codebooks)
        if not len(codes):
            raise InputError("no codes given; expected at least one")
        return flatten_codes(codes, self.num_embeddings, self.num_codebooks)

    def speaker_ids(self, speakers: Iterable[str | int | None]) -> np.ndarray:
        """Return numbers, int32 (S',), for names or numbers of speakers; None is -1.

        Raises:
            InputError: no such speaker, or one for a prior without speaker conditioning.
        """
        names, numbers = self.speaker_names, []
        for speaker in speakers:
            if isinstance(speaker, str) and names:
                if speaker not in names:
                    raise one_of("speaker", speaker, names)
                speaker = names.index(speaker)
            elif speaker is None:
                speaker = -1
            if not names and speaker != -1:
                raise InputError(
                    f"this prior has no speaker conditioning; given the speaker {speaker}: leave "
                    "it out, or train a prior with speakers (without --no-speaker)"
                )
            if not -1 <= int(speaker) < len(names):
                raise InputError(f"no speaker {speaker}: the numbers are 0..{len(names) - 1}")
            numbers.append(int(speaker))
        return np.array(numbers, np.int32)

    def get_config(self) -> dict:
        """Return the keywords of the constructor."""
        names = "num_embeddings embedding_dim speaker_names units channels dropout speaker_dropout"
        names += " num_codebooks"
        return {**super().get_config(), **{name: getattr(self, name) for name in names.split()}}
