"""Vector quantizers: z_e (B, N, D) -> the nearest row of a codebook (K, d); row k is code k."""

import keras
import numpy as np
from keras import ops

from vqwn_kit.models import workers
from vqwn_kit.models.bottleneck import BATCH_NORM_MOMENTUM, Quantized
from vqwn_kit.models.codebook import Codebook, uniform_losses
from vqwn_kit.models.gradients import GRADIENTS, noise_like, pass_gradient, unit

EPSILON = 1e-5  # Laplace smoothing of the counts of an EMA codebook
DIVEQ_NOISE = 1e-3  # deviation of the noise on the direction of the error


@keras.saving.register_keras_serializable("vqwn_kit")
class VectorQuantizer(Codebook):
    """Replace each frame by the nearest row of a codebook.

    [van den Oord 2017](https://arxiv.org/abs/1711.00937), equation 3, with separate losses:

        loss = mean((sg(z_e) - e)^2) + commitment_cost * mean((z_e - sg(e))^2)

    The first term moves only the codebook, the second only the encoder. Jointly, both move
    together, towards each other:

        loss = mean((z_e - e)^2)

    In the forward pass z_q = e. The gradient of the decoder passes by one of `GRADIENTS`:
    `straight_through` (dz_q / dz_e is the identity), `rotation` or `diveq`, see gradients.py. With
    `diveq` the decoder's loss trains the codes and the encoder alike: there is no other.

    Args:
        num_embeddings: K.
        embedding_dim: D.
        code_dim: d, where codes are looked up in fewer dimensions, see `Projected`; None for D.
        commitment_cost: weight of the second term; 0.1 to 2.0 work equally in the paper. Without
            effect where the loss is joint.
        initializer: see `codebook_initializer`; `data` is k-means over the encoder's outputs for
            the first batches, which training computes.
        joint: one loss without stop-gradient, instead of the two.
        gradient: a key of `GRADIENTS`.
        commitment_warm_up: steps over which the commitment's weight rises from 0.
        batch_norm: normalise z_e over the batch first, [Lancucki
            2020](https://arxiv.org/abs/2005.08520).
        unit_norm: put z_e and the codes on the unit sphere, so that the nearest code is that of
            the smallest angle.
        kl_frame: weight of the divergence of each frame's q(z|x) from the uniform prior, where
            q(z|x) = softmax(-|z_e - e|^2); see `uniform_losses`.
        kl_mean: weight of the divergence of the batch's mean q(z|x).

    Input shape: (B, N, D). Output: `Quantized`.
    """

    short_name = "vq"
    learns_by_gradient = True

    def __init__(
        self,
        num_embeddings: int = 512,
        embedding_dim: int = 64,
        code_dim: int | None = None,
        commitment_cost: float = 0.25,
        initializer: str | dict = "random_normal",
        joint: bool = False,
        gradient: str = "straight_through",
        commitment_warm_up: int = 0,
        batch_norm: bool = False,
        unit_norm: bool = False,
        kl_frame: float = 0.0,
        kl_mean: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if gradient not in GRADIENTS:
            expected = ", ".join(GRADIENTS)
            raise ValueError(f"gradient is {gradient!r}; expected one of {expected}")
        if joint and ("joint" in self.fixed or gradient == "diveq"):
            raise ValueError(f"joint, with {type(self).__name__} and the gradient {gradient!r}")
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.commitment_cost = commitment_cost
        self.initializer = initializer
        self.joint = joint
        self.gradient = gradient
        self.commitment_warm_up = commitment_warm_up
        self.batch_norm = batch_norm
        self.unit_norm = unit_norm
        self.kl_frame = kl_frame
        self.kl_mean = kl_mean
        self.code_dim = code_dim
        self.add_projection(code_dim)
        if gradient == "diveq":
            self.generator = keras.random.SeedGenerator()
        if batch_norm:
            self.norm = workers.BatchNormalization(
                momentum=BATCH_NORM_MOMENTUM, dtype="float32", name="norm"
            )

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Names of the losses."""
        main = ("vq/joint",) if self.joint else ("vq/codebook", "vq/commitment")
        extra = {"vq/kl_frame": self.kl_frame, "vq/kl_mean": self.kl_mean}
        main = () if self.gradient == "diveq" else main
        return (*main, *(name for name, weight in extra.items() if weight))

    def build(self, input_shape=None):
        """Create the codebook."""
        self.add_codebook(trainable=self.learns_by_gradient)
        if self.batch_norm:
            self.norm.build((None, None, self.lookup_dim))
        if self.commitment_warm_up:
            self.steps = self.add_weight(
                shape=(), initializer="zeros", trainable=False, name="steps"
            )

    def codewords(self):
        """Return the codes in the space in which z_e is compared with them, (K, d)."""
        codebook = super().codewords()
        return unit(codebook) if self.unit_norm else codebook

    def normalise(self, z_e, training: bool | None = None):
        """Return z_e (B, N, D) as the codebook sees it, (B, N, d)."""
        z_e = self.project(z_e)
        if self.batch_norm:
            z_e = self.norm(z_e, training=training)
        return unit(z_e) if self.unit_norm else z_e

    def distances(self, z_e):
        """Return |z_e - e|^2 - |z_e|^2, (B, N, K), of normalised frames (B, N, d) to all codes."""
        codewords = self.codewords()
        return ops.sum(codewords**2, axis=1) - 2.0 * ops.matmul(z_e, ops.transpose(codewords))

    def call(self, z_e, training: bool | None = None) -> Quantized:
        """Return z_q, codes and losses of z_e (B, N, D)."""
        z_e = self.normalise(z_e, training)
        distances = self.distances(z_e)
        codes = ops.cast(ops.argmin(distances, axis=-1), "int32")
        e = ops.take(self.codewords(), codes, axis=0)
        losses = self._vector_losses(z_e, e, training)
        if self.kl_frame or self.kl_mean:
            losses |= uniform_losses(ops.softmax(-distances), self.kl_frame, self.kl_mean)
        noise = None
        if training and self.gradient == "diveq":
            noise = noise_like(z_e, DIVEQ_NOISE, self.generator)
        z_q = self.expand(pass_gradient(z_e, e, self.gradient, noise))
        return Quantized(z_q, codes, losses, z_e, z_e[:, :, None])

    def _vector_losses(self, z_e, e, training: bool | None) -> dict:
        losses = {
            "vq/joint": lambda: ops.mean((z_e - e) ** 2),
            "vq/codebook": lambda: ops.mean((ops.stop_gradient(z_e) - e) ** 2),
            "vq/commitment": lambda: (
                self._commitment(training) * ops.mean((z_e - ops.stop_gradient(e)) ** 2)
            ),
        }
        return {name: losses[name]() for name in self.loss_names if name in losses}

    def _commitment(self, training: bool | None):
        """Return the weight of the commitment at this step of training."""
        if not self.commitment_warm_up:
            return self.commitment_cost
        if training:
            self.steps.assign_add(1.0)
        return self.commitment_cost * ops.minimum(self.steps / self.commitment_warm_up, 1.0)


@keras.saving.register_keras_serializable("vqwn_kit")
class VectorQuantizerEMA(VectorQuantizer):
    """A `VectorQuantizer` whose codebook is a moving average of the frames, without gradients.

    [van den Oord 2017](https://arxiv.org/abs/1711.00937), appendix A.1: of each code, the count n
    and the sum m of the frames that took it decay by `decay` a step, and e = m / n. Counts start
    at 1 and sums at the codebook, and a code that no frame takes stays where it is; counts are
    smoothed in the division only. Moves in training alone; its one loss is the commitment.

    Args:
        decay: of the moving averages, 0 to 1.
        **kwargs: settings of `VectorQuantizer`, but for `joint`; `gradient` cannot be `diveq`.

    Input shape: (B, N, D). Output: `Quantized`.
    """

    short_name = "ema"
    learns_by_gradient = False
    fixed = ("joint",)

    def __init__(self, *args, decay: float = 0.99, **kwargs):
        super().__init__(*args, **kwargs)
        if self.gradient == "diveq":
            raise ValueError("gradient is 'diveq', by which codes learn; EMA codes learn without")
        self.decay = decay

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Names of the losses."""
        return tuple(name for name in super().loss_names if name != "vq/codebook")

    def build(self, input_shape=None):
        """Create the codebook, the counts (K,) and the sums (K, d)."""
        super().build(input_shape)
        shape = (self.num_embeddings, self.lookup_dim)
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
        return quantized

    @property
    def per_code_weights(self) -> list[tuple]:
        """Weights that have an entry for each code, each with the axis of the codes."""
        return [(self.codebook, 0), (self.counts, 0), (self.sums, 0)]

    def ema_update(self, z_e, codes) -> None:
        """Move counts, sums and codebook towards frames (B, N, d) and their codes (B, N)."""
        hits = ops.one_hot(ops.reshape(codes, (-1,)), self.num_embeddings)
        frames = ops.reshape(z_e, (-1, self.lookup_dim))
        new_sums = workers.total(ops.matmul(ops.transpose(hits), frames))
        new_counts = workers.total(ops.sum(hits, axis=0))
        self.counts.assign(self.decay * self.counts + (1 - self.decay) * new_counts)
        self.sums.assign(self.decay * self.sums + (1 - self.decay) * new_sums)
        total = ops.sum(self.counts)
        smooth = (self.counts + EPSILON) / (total + self.num_embeddings * EPSILON) * total
        taken = (self.counts > 100 * EPSILON)[:, None]  # else smoothing would shrink the code
        self.codebook.assign(ops.where(taken, self.sums / smooth[:, None], self.codebook))

    def set_codes(self, rows: np.ndarray, vectors: np.ndarray) -> None:
        """Set the rows (K,) bool of the codebook to vectors (count, d), each with a count of 1."""
        super().set_codes(rows, vectors)
        counts, sums = self.counts.numpy().copy(), self.sums.numpy().copy()
        counts[rows], sums[rows] = 1.0, vectors
        self.counts.assign(counts)
        self.sums.assign(sums)


@keras.saving.register_keras_serializable("vqwn_kit")
class SimVQ(VectorQuantizer):
    """A `VectorQuantizer` whose codes are a frozen random codebook times a learned matrix.

    [Zhu 2024](https://arxiv.org/abs/2411.02038): e = c W, c (K, d) frozen, W (d, d) learned from
    the identity on. A gradient at W moves all codes, also those that no frame takes. Both losses
    are needed: where the codebook's own is left out, only the commitment holds the two together,
    and it grows; its weight belongs to the encoder's term, which implementations have exchanged.
    The random start has the deviation d ** -0.5 of the paper.

    Args:
        **kwargs: settings of `VectorQuantizer`, but for `joint`.

    Input shape: (B, N, D). Output: `Quantized`.
    """

    short_name = "simvq"
    learns_by_gradient = False  # the codebook; the matrix does
    fixed = ("joint",)

    def build(self, input_shape=None):
        """Create the frozen codebook (K, d) and the matrix (d, d)."""
        super().build(input_shape)
        if self.initializer in ("data", "random_normal"):
            deviation = self.lookup_dim**-0.5
            start = keras.initializers.RandomNormal(stddev=deviation)
            self.codebook.assign(start(self.codebook.shape))
        self.matrix = self.add_weight(
            shape=(self.lookup_dim, self.lookup_dim), initializer="identity", name="matrix"
        )

    def codewords(self):
        """Return the codes in the space in which z_e is compared with them, (K, d)."""
        codewords = ops.matmul(self.codebook, self.matrix)
        return unit(codewords) if self.unit_norm else codewords

    def set_codes(self, rows: np.ndarray, vectors: np.ndarray) -> None:
        """Set rows (K,) bool of the frozen codebook so that their codes are vectors (count, d)."""
        super().set_codes(rows, vectors @ np.linalg.pinv(self.matrix.numpy()))


@keras.saving.register_keras_serializable("vqwn_kit")
class ClusteringQuantizer(VectorQuantizer):
    """A `VectorQuantizer` whose rarely used codes move to frames at each step.

    Online clustering, CVQ-VAE, [Zheng 2023](https://arxiv.org/abs/2307.15139), equations 4 to 7: n
    is the moving average of each code's share of the frames, and a code moves to an anchor, a
    frame drawn with the probability softmax(-|z_e - e|^2), by

        e <- (1 - a) e + a anchor,    a = exp(-10 n K / (1 - decay) - 0.001)

    A code of the mean share 1 / K hardly moves, one that no frame takes is set to its anchor. It
    replaces resetting dead codes every so many steps.

    Args:
        decay: of the shares. A code that no frame takes any more is halfway to its anchor after 48
            steps with 0.9, 724 with 0.99, and 9574 with 0.999.
        **kwargs: settings of `VectorQuantizer`.

    Input shape: (B, N, D). Output: `Quantized`.
    """

    short_name = "cvq"

    def __init__(self, *args, decay: float = 0.99, **kwargs):
        super().__init__(*args, **kwargs)
        self.decay = decay
        self.anchors = keras.random.SeedGenerator()

    def build(self, input_shape=None):
        """Create the codebook and the shares (K,), which start at 1 / K."""
        super().build(input_shape)
        even = keras.initializers.Constant(1.0 / self.num_embeddings)
        self.shares = self.add_weight(
            shape=(self.num_embeddings,), initializer=even, trainable=False, name="shares"
        )

    def call(self, z_e, training: bool | None = None) -> Quantized:
        """Return z_q, codes and losses of z_e (B, N, D); in training, move rarely used codes."""
        quantized = super().call(z_e, training)
        if training:
            self.move_rare_codes(ops.stop_gradient(quantized.z_e), quantized.codes)
        return quantized

    def move_rare_codes(self, z_e, codes) -> None:
        """Update the shares, and move codes towards frames (B, N, d) by their shares."""
        hits = ops.one_hot(ops.reshape(codes, (-1,)), self.num_embeddings)
        share = workers.mean(ops.mean(hits, axis=0))
        self.shares.assign(self.decay * self.shares + (1 - self.decay) * share)
        frames = ops.reshape(workers.gather(z_e), (-1, self.lookup_dim))
        nearness = -ops.transpose(self.distances(frames) + ops.sum(frames**2, axis=1)[:, None])
        drawn = keras.random.categorical(nearness, 1, seed=self.anchors)[:, 0]
        rate = 10.0 * self.num_embeddings / (1.0 - self.decay)
        weight = ops.exp(-self.shares * rate - 1e-3)[:, None]
        anchors = ops.take(frames, drawn, axis=0)
        self.codebook.assign((1.0 - weight) * self.codebook + weight * anchors)
