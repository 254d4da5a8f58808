"""A k-way softmax over the codes: z_e (B, N, D) -> q(z|x) -> z_q."""

import keras
import numpy as np
from keras import ops

from vqwn_kit.models.bottleneck import Quantized
from vqwn_kit.models.codebook import Codebook, uniform_losses


@keras.saving.register_keras_serializable("vqwn_kit")
class SoftmaxBottleneck(Codebook):
    """A k-way softmax instead of the nearest neighbour: the network gives q(z|x).

    A last linear layer gives K logits per frame; q(z|x) is their softmax. The decoder receives the
    mean of the codebook's rows under q(z|x), or with `straight_through` the row of the most likely
    code, whose gradient is taken as the mean's. Only the likelihood trains the codebook. Codes are
    the most likely ones; a decoder trained on means receives single rows when codes are decoded.

    The divergence from the uniform prior is the KL term of the variational bound. For a frame it is
    log K - H(q(z|x)): a large weight empties the codes. That of the batch's mean keeps all codes in
    use.

    Args:
        num_embeddings: K.
        embedding_dim: D.
        initializer: see `codebook_initializer`. With `data` the codes start at k-means centres and
            the logits at -|z_e - e|^2 / D, a soft quantizer.
        straight_through: give the decoder the most likely code alone.
        kl_frame: weight of the divergence of each frame; see `uniform_losses`.
        kl_mean: weight of the divergence of the batch's mean.

    Input shape: (B, N, D). Output: `Quantized`.
    """

    short_name = "softmax"

    def __init__(
        self,
        num_embeddings: int = 512,
        embedding_dim: int = 64,
        initializer: str | dict = "random_normal",
        straight_through: bool = False,
        kl_frame: float = 0.0,
        kl_mean: float = 0.1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.initializer = initializer
        self.straight_through = straight_through
        self.kl_frame = kl_frame
        self.kl_mean = kl_mean
        self.add_projection(None)
        self.logits = keras.layers.Dense(num_embeddings, dtype="float32", name="logits")

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Names of the losses."""
        weights = {"vq/kl_frame": self.kl_frame, "vq/kl_mean": self.kl_mean}
        return tuple(name for name, weight in weights.items() if weight)

    def build(self, input_shape=None):
        """Create the codebook and the last layer."""
        self.add_codebook()
        self.logits.build((None, None, self.embedding_dim))

    def call(self, z_e, training: bool | None = None) -> Quantized:
        """Return z_q, codes and losses of z_e (B, N, D)."""
        z_e = self.normalise(z_e)
        logits = self.logits(z_e)
        probabilities = ops.softmax(logits)
        codes = ops.cast(ops.argmax(logits, axis=-1), "int32")
        weights = probabilities
        if self.straight_through:
            chosen = ops.one_hot(codes, self.num_embeddings)
            weights = probabilities + ops.stop_gradient(chosen - probabilities)
        losses = uniform_losses(probabilities, self.kl_frame, self.kl_mean)
        return Quantized(ops.matmul(weights, self.vectors()), codes, losses, z_e, z_e[:, :, None])

    @property
    def per_code_weights(self) -> list[tuple]:
        """Weights that have an entry for each code, each with the axis of the codes."""
        return [(self.codebook, 0), (self.logits.kernel, 1), (self.logits.bias, 0)]

    def set_codes(self, rows: np.ndarray, vectors: np.ndarray) -> None:
        """Set the rows (K,) bool of the codebook to vectors (count, D), and their logits with them.

        Those become -|z_e - e|^2 / D, but for what is the same for all codes.
        """
        super().set_codes(rows, vectors)
        kernel, bias = (weight.numpy().copy() for weight in self.logits.weights)
        kernel[:, rows] = 2.0 / self.embedding_dim * vectors.T
        bias[rows] = -(vectors**2).mean(axis=1)
        self.logits.set_weights([kernel, bias])
