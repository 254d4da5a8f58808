"""Bottlenecks: z_e (B, N, D) -> z_q (B, N, D), codes (B, N) and their losses.

The codebook is (K, D); row k is code k.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops


class Quantized(NamedTuple):
    """What a bottleneck returns.

    Attributes:
        z_q: float32 (B, N, D), what the decoder hears.
        codes: int32 (B, N), 0..K-1; None without a codebook.
        losses: scalars by name, to be summed with the likelihood.
    """

    z_q: Any
    codes: Any
    losses: dict[str, Any]


@keras.saving.register_keras_serializable("vqwn_kit")
class VectorQuantizer(keras.layers.Layer):
    """Replace each frame by the nearest row of a codebook.

    [van den Oord 2017](https://arxiv.org/abs/1711.00937), equation 3, with separate losses:

        loss = mean((sg(z_e) - e)^2) + commitment_cost * mean((z_e - sg(e))^2)

    The first term moves only the codebook, the second only the encoder. Jointly, both move
    together, towards each other:

        loss = mean((z_e - e)^2)

    In either case z_q = z_e + sg(e - z_e), so that the decoder's gradient passes straight through
    to the encoder. Always computed in float32.

    Args:
        num_embeddings: K.
        embedding_dim: D.
        commitment_cost: weight of the second term; 0.1 to 2.0 work alike in the paper. Without
            effect where the loss is joint.
        initializer: a Keras initializer of the codebook, or `data`: k-means over the encoder's
            outputs for the first batches, which training computes.
        joint: one loss without stop-gradient, instead of the two.

    Input shape: (B, N, D). Output: `Quantized`.
    """

    short_name = "vq"

    def __init__(
        self,
        num_embeddings: int = 512,
        embedding_dim: int = 64,
        commitment_cost: float = 0.25,
        initializer: str | dict = "random_normal",
        joint: bool = False,
        **kwargs,
    ):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.commitment_cost = commitment_cost
        self.initializer = initializer
        self.joint = joint

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Names of the losses."""
        return ("vq/joint",) if self.joint else ("vq/codebook", "vq/commitment")

    def build(self, input_shape):
        """Create the codebook."""
        start = "random_normal" if self.initializer == "data" else self.initializer
        self.codebook = self.add_weight(
            shape=(self.num_embeddings, self.embedding_dim),
            initializer=keras.initializers.get(start),
            name="codebook",
        )

    def nearest(self, z_e):
        """Return the index of the nearest row for each frame, int32 (B, N)."""
        distances = ops.sum(self.codebook**2, axis=1) - 2.0 * ops.matmul(
            z_e, ops.transpose(self.codebook)
        )
        return ops.cast(ops.argmin(distances, axis=-1), "int32")

    def embed(self, codes):
        """Return the codebook's rows for codes (B, N), as (B, N, D)."""
        return ops.take(self.codebook, codes, axis=0)

    def call(self, z_e, training: bool | None = None) -> Quantized:
        """Quantize z_e (B, N, D)."""
        codes = self.nearest(z_e)
        e = self.embed(codes)
        if self.joint:
            losses = {"vq/joint": ops.mean((z_e - e) ** 2)}
        else:
            losses = {
                "vq/codebook": ops.mean((ops.stop_gradient(z_e) - e) ** 2),
                "vq/commitment": self.commitment_cost * ops.mean((z_e - ops.stop_gradient(e)) ** 2),
            }
        return Quantized(z_e + ops.stop_gradient(e - z_e), codes, losses)

    def start_from(self, z_e: np.ndarray, seed: int = 0) -> None:
        """Set the codebook to the k-means centres of frames z_e (M, D), M >= K."""
        from sklearn.cluster import MiniBatchKMeans

        means = MiniBatchKMeans(
            self.num_embeddings, init="random", n_init=1, batch_size=4096, random_state=seed
        )
        self.place(np.ones(self.num_embeddings, bool), means.fit(z_e).cluster_centers_)

    def place(self, rows: np.ndarray, vectors: np.ndarray) -> None:
        """Set the rows (K,) bool of the codebook to vectors (count, D)."""
        codebook = self.codebook.numpy().copy()
        codebook[rows] = vectors
        self.codebook.assign(codebook)

    def revive(self, z_e: np.ndarray, unused: np.ndarray, rng: np.random.Generator) -> None:
        """Move unused codes onto frames drawn from z_e (M, D).

        Args:
            z_e: recent outputs of the encoder.
            unused: bool (K,), which codes to move.
            rng: draws the frames.
        """
        count = int(unused.sum())
        self.place(unused, z_e[rng.choice(len(z_e), count, replace=count > len(z_e))])

    def get_config(self) -> dict:
        """Return the constructor's keywords."""
        return {
            **super().get_config(),
            "num_embeddings": self.num_embeddings,
            "embedding_dim": self.embedding_dim,
            "commitment_cost": self.commitment_cost,
            "initializer": self.initializer,
            "joint": self.joint,
        }


@keras.saving.register_keras_serializable("vqwn_kit")
class VectorQuantizerEMA(VectorQuantizer):
    """A `VectorQuantizer` whose codebook follows the frames by moving averages, not by gradients.

    [van den Oord 2017](https://arxiv.org/abs/1711.00937), appendix A.1: of each code, the count n
    and the sum m of the frames that took it decay by `decay` a step, and e = m / n. Counts start
    at 1 and sums at the codebook, so that a code that was never taken stays where it is; `epsilon`
    smooths the counts in the division only. Moves in training alone; its one loss is the
    commitment.

    Args:
        num_embeddings: K.
        embedding_dim: D.
        commitment_cost: weight of the commitment.
        initializer: as in `VectorQuantizer`.
        decay: of the moving averages, 0 to 1.
        epsilon: Laplace smoothing of the counts.

    Input shape: (B, N, D). Output: `Quantized`.
    """

    short_name = "ema"
    loss_names = ("vq/commitment",)

    def __init__(
        self,
        num_embeddings: int = 512,
        embedding_dim: int = 64,
        commitment_cost: float = 0.25,
        initializer: str | dict = "random_normal",
        decay: float = 0.99,
        epsilon: float = 1e-5,
        **kwargs,
    ):
        super().__init__(num_embeddings, embedding_dim, commitment_cost, initializer, **kwargs)
        self.decay = decay
        self.epsilon = epsilon

    def build(self, input_shape):
        """Create the codebook, the counts (K,) and the sums (K, D)."""
        super().build(input_shape)
        self.codebook.trainable = False
        shape = (self.num_embeddings, self.embedding_dim)
        self.counts = self.add_weight(
            shape=shape[:1], initializer="ones", trainable=False, name="counts"
        )
        self.sums = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="sums")
        self.sums.assign(self.codebook)

    def call(self, z_e, training: bool | None = None) -> Quantized:
        """Quantize z_e (B, N, D); in training, move the codebook after it."""
        quantized = super().call(z_e)
        if training:
            self.follow(ops.stop_gradient(z_e), quantized.codes)
        losses = {"vq/commitment": quantized.losses["vq/commitment"]}
        return Quantized(quantized.z_q, quantized.codes, losses)

    def follow(self, z_e, codes) -> None:
        """Move counts, sums and codebook towards frames z_e (B, N, D) and their codes (B, N)."""
        hits = ops.one_hot(ops.reshape(codes, (-1,)), self.num_embeddings)
        frames = ops.reshape(z_e, (-1, self.embedding_dim))
        new_sums = ops.matmul(ops.transpose(hits), frames)
        self.counts.assign(self.decay * self.counts + (1 - self.decay) * ops.sum(hits, axis=0))
        self.sums.assign(self.decay * self.sums + (1 - self.decay) * new_sums)
        total = ops.sum(self.counts)
        smooth = (self.counts + self.epsilon) / (total + self.num_embeddings * self.epsilon) * total
        self.codebook.assign(self.sums / smooth[:, None])

    def place(self, rows: np.ndarray, vectors: np.ndarray) -> None:
        """Set the rows (K,) bool of the codebook to vectors (count, D), each with a count of 1."""
        super().place(rows, vectors)
        counts, sums = self.counts.numpy().copy(), self.sums.numpy().copy()
        counts[rows], sums[rows] = 1.0, vectors
        self.counts.assign(counts)
        self.sums.assign(sums)

    def get_config(self) -> dict:
        """Return the constructor's keywords."""
        config = {**super().get_config(), "decay": self.decay, "epsilon": self.epsilon}
        del config["joint"]
        return config


@keras.saving.register_keras_serializable("vqwn_kit")
class Identity(keras.layers.Layer):
    """No quantization: an autoencoder, whose decoder hears z_e itself.

    Args:
        embedding_dim: D.
    """

    short_name = "ae"
    loss_names = ()
    num_embeddings = 0

    def __init__(self, embedding_dim: int = 64, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.embedding_dim = embedding_dim

    def call(self, z_e, training: bool | None = None) -> Quantized:
        """Return z_e (B, N, D) as it is, without codes and without a loss."""
        return Quantized(z_e, None, {})

    def get_config(self) -> dict:
        """Return the constructor's keywords."""
        return {**super().get_config(), "embedding_dim": self.embedding_dim}


class CodeUsage(keras.metrics.Metric):
    """Counts codes until it is reset: how many of K were used, and their perplexity.

    Reset it once an epoch or a logging interval, not once a batch: the perplexity of few frames is
    bounded by their number.

    Args:
        num_embeddings: K.
    """

    def __init__(self, num_embeddings: int, name: str = "codes"):
        super().__init__(name=name)
        self.num_embeddings = num_embeddings
        self.counts = self.add_variable((num_embeddings,), "zeros", name="counts")

    def update_state(self, codes):
        """Count codes (B, N)."""
        hits = ops.one_hot(ops.reshape(codes, (-1,)), self.num_embeddings)
        self.counts.assign(self.counts + ops.sum(hits, axis=0))

    def result(self) -> dict:
        """Return `vq/codes_used` (0..K) and `vq/perplexity` (1..K)."""
        share = self.counts / ops.maximum(ops.sum(self.counts), 1.0)
        entropy = -ops.sum(share * ops.log(ops.maximum(share, 1e-12)))
        used = ops.sum(ops.cast(self.counts > 0, "float32"))
        return {"vq/codes_used": used, "vq/perplexity": ops.exp(entropy)}
