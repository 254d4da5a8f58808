"""Bottlenecks: z_e (B, N, D) -> z_q (B, N, D), codes (B, N) and their losses.

The codebook is (K, D); row k is code k.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from vqwn_kit.models.codebook import Codebook, uniform_losses
from vqwn_kit.models.layers import Layer


class Quantized(NamedTuple):
    """What a bottleneck returns.

    Attributes:
        z_q: float32 (B, N, D), input of the decoder.
        codes: int32 (B, N), 0..K-1; None without a codebook.
        losses: scalars by name, to be summed with the decoder's.
        z_e: float32 (B, N, D), the encoder's output as the codebook sees it: normalised, where
            the bottleneck normalises.
    """

    z_q: Any
    codes: Any
    losses: dict[str, Any]
    z_e: Any


@keras.saving.register_keras_serializable("vqwn_kit")
class VectorQuantizer(Codebook):
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
        commitment_cost: weight of the second term; 0.1 to 2.0 work equally in the paper. Without
            effect where the loss is joint.
        initializer: see `codebook_initializer`; `data` is k-means over the encoder's outputs for
            the first batches, which training computes.
        joint: one loss without stop-gradient, instead of the two.
        commitment_warm_up: steps over which the commitment's weight rises from 0.
        batch_norm: normalise z_e over the batch first, [Lancucki
            2020](https://arxiv.org/abs/2005.08520).
        unit_norm: put z_e and the codes on the unit sphere, so that the nearest code is that of
            the smallest angle.
        kl_frame: weight of the divergence of each frame's q(z|x) from the uniform prior, where
            q(z|x) = softmax(-|z_e - e|^2); see `uniform_losses`.
        kl_mean: weight of the divergence of the batch's mean q(z|x).
        batch_norm_momentum: of the moving statistics that are used outside training.

    Input shape: (B, N, D). Output: `Quantized`.
    """

    short_name = "vq"
    learns_by_gradient = True

    def __init__(
        self,
        num_embeddings: int = 512,
        embedding_dim: int = 64,
        commitment_cost: float = 0.25,
        initializer: str | dict = "random_normal",
        joint: bool = False,
        commitment_warm_up: int = 0,
        batch_norm: bool = False,
        unit_norm: bool = False,
        kl_frame: float = 0.0,
        kl_mean: float = 0.0,
        batch_norm_momentum: float = 0.99,
        **kwargs,
    ):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.commitment_cost = commitment_cost
        self.initializer = initializer
        self.joint = joint
        self.commitment_warm_up = commitment_warm_up
        self.batch_norm = batch_norm
        self.unit_norm = unit_norm
        self.kl_frame = kl_frame
        self.kl_mean = kl_mean
        self.batch_norm_momentum = batch_norm_momentum
        if batch_norm:
            self.norm = keras.layers.BatchNormalization(
                momentum=batch_norm_momentum, dtype="float32", name="norm"
            )

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Names of the losses."""
        main = ("vq/joint",) if self.joint else ("vq/codebook", "vq/commitment")
        extra = {"vq/kl_frame": self.kl_frame, "vq/kl_mean": self.kl_mean}
        return (*main, *(name for name, weight in extra.items() if weight))

    def build(self, input_shape=None):
        """Create the codebook."""
        self.add_codebook(trainable=self.learns_by_gradient)
        if self.batch_norm:
            self.norm.build((None, None, self.embedding_dim))
        if self.commitment_warm_up:
            self.steps = self.add_weight(
                shape=(), initializer="zeros", trainable=False, name="steps"
            )

    def vectors(self):
        """Return the vector that the decoder receives for each code, (K, D)."""
        codebook = super().vectors()
        return _on_sphere(codebook) if self.unit_norm else codebook

    def normalise(self, z_e, training: bool | None = None):
        """Return z_e (B, N, D) as the codebook sees it."""
        z_e = super().normalise(z_e)
        if self.batch_norm:
            z_e = self.norm(z_e, training=training)
        return _on_sphere(z_e) if self.unit_norm else z_e

    def distances(self, z_e):
        """Return |z_e - e|^2 - |z_e|^2, (B, N, K), of normalised frames (B, N, D) to all codes."""
        vectors = self.vectors()
        return ops.sum(vectors**2, axis=1) - 2.0 * ops.matmul(z_e, ops.transpose(vectors))

    def call(self, z_e, training: bool | None = None) -> Quantized:
        """Return z_q, codes and losses of z_e (B, N, D)."""
        z_e = self.normalise(z_e, training)
        distances = self.distances(z_e)
        codes = ops.cast(ops.argmin(distances, axis=-1), "int32")
        e = self.embed(codes)
        if self.joint:
            losses = {"vq/joint": ops.mean((z_e - e) ** 2)}
        else:
            losses = {
                "vq/codebook": ops.mean((ops.stop_gradient(z_e) - e) ** 2),
                "vq/commitment": self._commitment(training)
                * ops.mean((z_e - ops.stop_gradient(e)) ** 2),
            }
        if self.kl_frame or self.kl_mean:
            losses |= uniform_losses(ops.softmax(-distances), self.kl_frame, self.kl_mean)
        return Quantized(z_e + ops.stop_gradient(e - z_e), codes, losses, z_e)

    def _commitment(self, training: bool | None):
        """Return the weight of the commitment at this step of training."""
        if not self.commitment_warm_up:
            return self.commitment_cost
        if training:
            self.steps.assign_add(1.0)
        return self.commitment_cost * ops.minimum(self.steps / self.commitment_warm_up, 1.0)


def _on_sphere(x):
    """Return x (..., D) divided by its length."""
    return x / ops.sqrt(ops.maximum(ops.sum(x**2, axis=-1, keepdims=True), 1e-12))


@keras.saving.register_keras_serializable("vqwn_kit")
class VectorQuantizerEMA(VectorQuantizer):
    """A `VectorQuantizer` whose codebook is a moving average of the frames, without gradients.

    [van den Oord 2017](https://arxiv.org/abs/1711.00937), appendix A.1: of each code, the count n
    and the sum m of the frames that took it decay by `decay` a step, and e = m / n. Counts start
    at 1 and sums at the codebook, and a code that no frame takes stays where it is; `epsilon`
    smooths the counts in the division only. Moves in training alone; its one loss is the
    commitment.

    Args:
        num_embeddings: K.
        embedding_dim: D.
        commitment_cost: weight of the commitment.
        initializer: see `codebook_initializer`.
        decay: of the moving averages, 0 to 1.
        epsilon: Laplace smoothing of the counts.
        commitment_warm_up: steps over which the commitment's weight rises from 0.
        batch_norm: normalise z_e over the batch first.
        unit_norm: put z_e and the codes on the unit sphere.
        kl_frame: weight of the divergence of each frame's q(z|x) from the uniform prior.
        kl_mean: weight of the divergence of the batch's mean q(z|x).
        batch_norm_momentum: of the moving statistics that are used outside training.

    Input shape: (B, N, D). Output: `Quantized`.
    """

    short_name = "ema"
    learns_by_gradient = False

    def __init__(
        self,
        num_embeddings: int = 512,
        embedding_dim: int = 64,
        commitment_cost: float = 0.25,
        initializer: str | dict = "random_normal",
        decay: float = 0.99,
        epsilon: float = 1e-5,
        commitment_warm_up: int = 0,
        batch_norm: bool = False,
        unit_norm: bool = False,
        kl_frame: float = 0.0,
        kl_mean: float = 0.0,
        batch_norm_momentum: float = 0.99,
        **kwargs,
    ):
        options = (commitment_warm_up, batch_norm, unit_norm, kl_frame, kl_mean)
        options += (batch_norm_momentum,)
        super().__init__(
            num_embeddings, embedding_dim, commitment_cost, initializer, False, *options, **kwargs
        )
        self.decay = decay
        self.epsilon = epsilon

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Names of the losses."""
        return tuple(name for name in super().loss_names if name != "vq/codebook")

    def build(self, input_shape=None):
        """Create the codebook, the counts (K,) and the sums (K, D)."""
        super().build(input_shape)
        shape = (self.num_embeddings, self.embedding_dim)
        self.counts = self.add_weight(
            shape=shape[:1], initializer="ones", trainable=False, name="counts"
        )
        self.sums = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="sums")
        self.sums.assign(self.codebook)

    def call(self, z_e, training: bool | None = None) -> Quantized:
        """Return z_q, codes and losses of z_e (B, N, D); in training, update the codebook."""
        quantized = super().call(z_e, training)
        if training:
            self.ema_update(ops.stop_gradient(quantized.z_e), quantized.codes)
        losses = {name: quantized.losses[name] for name in self.loss_names}
        return quantized._replace(losses=losses)

    @property
    def per_code_weights(self) -> list[tuple]:
        """Weights that have an entry for each code, each with the axis of the codes."""
        return [(self.codebook, 0), (self.counts, 0), (self.sums, 0)]

    def ema_update(self, z_e, codes) -> None:
        """Move counts, sums and codebook towards frames (B, N, D) and their codes (B, N)."""
        hits = ops.one_hot(ops.reshape(codes, (-1,)), self.num_embeddings)
        frames = ops.reshape(z_e, (-1, self.embedding_dim))
        new_sums = ops.matmul(ops.transpose(hits), frames)
        self.counts.assign(self.decay * self.counts + (1 - self.decay) * ops.sum(hits, axis=0))
        self.sums.assign(self.decay * self.sums + (1 - self.decay) * new_sums)
        total = ops.sum(self.counts)
        smooth = (self.counts + self.epsilon) / (total + self.num_embeddings * self.epsilon) * total
        taken = (self.counts > 100 * self.epsilon)[:, None]  # else epsilon would shrink the code
        self.codebook.assign(ops.where(taken, self.sums / smooth[:, None], self.codebook))

    def set_codes(self, rows: np.ndarray, vectors: np.ndarray) -> None:
        """Set the rows (K,) bool of the codebook to vectors (count, D), each with a count of 1."""
        super().set_codes(rows, vectors)
        counts, sums = self.counts.numpy().copy(), self.sums.numpy().copy()
        counts[rows], sums[rows] = 1.0, vectors
        self.counts.assign(counts)
        self.sums.assign(sums)


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
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.initializer = initializer
        self.straight_through = straight_through
        self.kl_frame = kl_frame
        self.kl_mean = kl_mean
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
        return Quantized(ops.matmul(weights, self.vectors()), codes, losses, z_e)

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


@keras.saving.register_keras_serializable("vqwn_kit")
class Identity(Layer):
    """No quantization: an autoencoder, whose decoder receives z_e.

    Args:
        embedding_dim: D.
    """

    short_name = "ae"
    loss_names = ()
    num_embeddings = 0

    def __init__(self, embedding_dim: int = 64, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.embedding_dim = embedding_dim

    @property
    def provides(self) -> dict[str, int]:
        """What a decoder is built with."""
        return {"condition_dim": self.embedding_dim}

    def call(self, z_e, training: bool | None = None) -> Quantized:
        """Return z_e (B, N, D) as it is, without codes and without a loss."""
        return Quantized(z_e, None, {}, z_e)
