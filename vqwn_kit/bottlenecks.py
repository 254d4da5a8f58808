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

    and z_q = z_e + sg(e - z_e), so that the decoder's gradient passes straight through. The
    first term moves only the codebook, the second only the encoder. Always computed in float32.

    Args:
        num_embeddings: K.
        embedding_dim: D.
        commitment_cost: weight of the second term; 0.1 to 2.0 work alike in the paper.
        initializer: a Keras initializer of the codebook, or `data`: k-means over the encoder's
            outputs for the first batches, which training computes.

    Input shape: (B, N, D). Output: `Quantized`.
    """

    short_name = "vq"
    loss_names = ("vq/codebook", "vq/commitment")

    def __init__(
        self,
        num_embeddings: int = 512,
        embedding_dim: int = 64,
        commitment_cost: float = 0.25,
        initializer: str | dict = "random_normal",
        **kwargs,
    ):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.commitment_cost = commitment_cost
        self.initializer = initializer

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
        self.codebook.assign(means.fit(z_e).cluster_centers_)

    def revive(self, z_e: np.ndarray, unused: np.ndarray, rng: np.random.Generator) -> None:
        """Move unused codes onto frames drawn from z_e (M, D).

        Args:
            z_e: recent outputs of the encoder.
            unused: bool (K,), which codes to move.
            rng: draws the frames.
        """
        count = int(unused.sum())
        codebook = self.codebook.numpy()
        codebook[unused] = z_e[rng.choice(len(z_e), count, replace=count > len(z_e))]
        self.codebook.assign(codebook)

    def get_config(self) -> dict:
        """Return the constructor's keywords."""
        return {
            **super().get_config(),
            "num_embeddings": self.num_embeddings,
            "embedding_dim": self.embedding_dim,
            "commitment_cost": self.commitment_cost,
            "initializer": self.initializer,
        }


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
