"""Quantizers without a codebook to learn: each channel is rounded, the codes are a grid."""

import keras
import numpy as np
from keras import ops

from vqwn_kit.models import workers
from vqwn_kit.models.bottleneck import BATCH_NORM_MOMENTUM, Projected, Quantized
from vqwn_kit.models.codebook import divergence_from_uniform
from vqwn_kit.models.gradients import straight_through, unit

MAX_GRID = 2**16  # codes whose vectors are listed
MAX_EXACT = 12  # bits up to which the entropy of the mean is computed over all codes
# Deviation of a channel at which tanh spreads a normal distribution evenly: 2 Phi(x) - 1 is near
# tanh(0.85 x).
EVEN = 0.85


class GridQuantizer(Projected):
    """Base class: D -> d channels, each rounded to a few values; code k is a point of the grid.

    A grid is used evenly only where the channels have its size and are not correlated: channels
    that are too small all fall into its middle, those that are too large onto its ends, and the
    encoder moves them while it learns. So they are normalised over the batch, to mean 0 and
    deviation 1, and start at the principal components of the first batches.
    """

    starts_from_data = True

    def add_channels(self, count: int) -> None:
        """Create the projection to `count` channels and their normalisation."""
        self.add_projection(count)
        self.norm = workers.BatchNormalization(
            momentum=BATCH_NORM_MOMENTUM, center=False, scale=False, dtype="float32", name="norm"
        )
        if self.num_embeddings > MAX_GRID:
            raise ValueError(
                f"{self.num_embeddings:,} codes; expected at most {MAX_GRID:,}: use fewer channels "
                "or levels, or a residual quantizer of smaller grids"
            )

    def build(self, input_shape=None):
        """Build the projection and the normalisation."""
        self.build_projection()
        self.norm.build((None, None, self.lookup_dim))

    def init_from_data(self, z_e: np.ndarray, seed: int = 0) -> None:
        """Set the projection to principal components of frames (M, D), and the statistics to 1."""
        self.project_by_components(z_e, 1.0)

    def channels(self, z_e, training: bool | None = None):
        """Return z_e (B, N, D) as channels of mean 0 and deviation 1, (B, N, d)."""
        return self.norm(self.project(z_e), training=training)

    def grid(self) -> np.ndarray:
        """Return the points of the grid, float32 (K, d)."""
        raise NotImplementedError

    def vectors(self):
        """Return the vector that the decoder receives for each code, (K, D)."""
        return self.expand(ops.convert_to_tensor(self.grid()))

    def codewords(self):
        """Return the points of the grid, (K, d)."""
        return ops.convert_to_tensor(self.grid())

    def embed(self, codes):
        """Return the vectors of codes (B, N), (B, N, D)."""
        return ops.take(self.vectors(), codes, axis=0)


@keras.saving.register_keras_serializable("vqwn_kit")
class FiniteScalarQuantizer(GridQuantizer):
    """Finite scalar quantization: each of few channels is rounded to one of its levels.

    FSQ, [Mentzer 2023](https://arxiv.org/abs/2309.15505). Of a channel with L levels

        i = round((L - 1) (tanh(z) + 1) / 2) in 0..L-1,    q = 2 i / (L - 1) - 1 in [-1, 1]

    with dq / dtanh(z) taken as 1; the paper's function, made symmetric for even L too. Here z is
    0.85 times a channel of `GridQuantizer`, of mean 0 and deviation 1: at this size normally
    distributed channels use all levels equally. The code is the number whose digits are the
    channels' i, the first one the lowest. There are no losses, and no codebook that could move away
    from the data; but channels that depend on each other leave points of the grid unused.

    Args:
        levels: of each channel, 2 or more; K is their product. [8, 8, 8] makes 512, [8, 5, 5, 5]
            1000.
        embedding_dim: D.

    Raises:
        ValueError: fewer than 2 levels, or more than 65,536 codes.

    Input shape: (B, N, D). Output: `Quantized`.
    """

    short_name = "fsq"

    def __init__(
        self,
        levels: tuple[int, ...] | list[int] = (8, 8, 8),
        embedding_dim: int = 64,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._levels = np.array(levels, int).reshape(-1)
        if not len(self._levels) or self._levels.min() < 2:
            raise ValueError(f"levels are {levels}; expected at least 2 for each channel")
        self._steps = np.cumprod([1, *self._levels[:-1]])
        self.levels, self.embedding_dim = self._levels.tolist(), embedding_dim
        self.add_channels(len(self._levels))

    @property
    def num_embeddings(self) -> int:
        """K."""
        return int(np.prod(self._levels))

    def grid(self) -> np.ndarray:
        """Return the points of the grid, float32 (K, d), -1 to 1."""
        digits = np.arange(self.num_embeddings)[:, None] // self._steps % self._levels
        return (2.0 * digits / (self._levels - 1) - 1.0).astype(np.float32)

    def call(self, z_e, training: bool | None = None) -> Quantized:
        """Return z_q and codes of z_e (B, N, D)."""
        z_e = EVEN * self.channels(z_e, training)
        bounded = ops.tanh(z_e)
        last = np.float32(self._levels - 1)
        digits = ops.round(last * (bounded + 1.0) / 2.0)
        q = straight_through(bounded, 2.0 * digits / last - 1.0)
        codes = ops.sum(ops.cast(digits, "int32") * np.int32(self._steps), axis=-1)
        return Quantized(self.expand(q), codes, {}, z_e)

    def unquantized(self, z_e):
        """Return z_e (B, N, d), bounded, in the space of z_q, (B, N, D)."""
        return self.expand(ops.tanh(z_e))


@keras.saving.register_keras_serializable("vqwn_kit")
class LookupFreeQuantizer(GridQuantizer):
    """Lookup-free quantization: the signs of few channels are the code.

    LFQ, [Yu 2023](https://arxiv.org/abs/2310.05737): q = sign(z) in {-1, 1}^d, K = 2^d, passed
    straight through. With q(c|z) = softmax(-|z - c|^2 / temperature) over all codes, the losses are

        commitment_cost mean((z - sg(q))^2),
        entropy_weight (mean of H(q(c|z)) - diversity H(mean of q(c|z)))

    The first entropy makes each frame sure, the second all codes equally frequent (in nats).

    Args:
        num_bits: d; K = 2^d.
        embedding_dim: D.
        commitment_cost: weight of the commitment.
        entropy_weight: of both entropies.
        diversity: weight of the second entropy against the first.
        temperature: of q(c|z).

    Input shape: (B, N, D). Output: `Quantized`.
    """

    short_name = "lfq"
    loss_names = ("vq/commitment", "vq/entropy")

    def __init__(
        self,
        num_bits: int = 9,
        embedding_dim: int = 64,
        commitment_cost: float = 0.25,
        entropy_weight: float = 0.1,
        diversity: float = 1.0,
        temperature: float = 1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if num_bits < 1:
            raise ValueError(f"num_bits is {num_bits}; expected 1 or more")
        self.num_bits = num_bits
        self.embedding_dim = embedding_dim
        self.commitment_cost = commitment_cost
        self.entropy_weight = entropy_weight
        self.diversity = diversity
        self.temperature = temperature
        self.add_channels(num_bits)

    @property
    def num_embeddings(self) -> int:
        """K."""
        return 2**self.num_bits

    @property
    def size(self) -> float:
        """The absolute value of each channel of a code."""
        return 1.0

    def grid(self) -> np.ndarray:
        """Return the points of the grid, float32 (K, d); bit j of a code is channel j."""
        bits = np.arange(self.num_embeddings)[:, None] >> np.arange(self.num_bits) & 1
        return self.size * (2.0 * bits - 1.0).astype(np.float32)

    def call(self, z_e, training: bool | None = None) -> Quantized:
        """Return z_q, codes and losses of z_e (B, N, D)."""
        z_e = self.place(self.channels(z_e, training))
        bits = z_e > 0
        q = self.size * (2.0 * ops.cast(bits, "float32") - 1.0)
        codes = ops.sum(ops.cast(bits, "int32") * np.int32(1 << np.arange(self.num_bits)), axis=-1)
        sure, even = self.entropies(z_e)
        losses = {
            "vq/commitment": self.commitment_cost * ops.mean((z_e - ops.stop_gradient(q)) ** 2),
            "vq/entropy": self.entropy_weight * (sure - self.diversity * even),
        }
        return Quantized(self.expand(straight_through(z_e, q)), codes, losses, z_e)

    def place(self, z_e):
        """Return channels (B, N, d) where their signs are taken."""
        return z_e

    @property
    def sharpness(self) -> float:
        """Factor of z c in the logits of q(c|z)."""
        return 2.0 / self.temperature

    def entropies(self, z_e):
        """Return the mean of H(q(c|z)) over frames, and H of the mean of q(c|z), in nats.

        q(c|z) is a product over the bits. Of more than 12 bits the second is the sum of the
        entropies of the mean bits, an upper bound, which does not see that bits are correlated.
        """
        bits = ops.sigmoid(2.0 * self.sharpness * self.size * z_e)
        sure = ops.mean(ops.sum(bit_entropy(bits), axis=-1))
        if self.num_bits > MAX_EXACT:
            return sure, ops.sum(bit_entropy(workers.mean(ops.mean(bits, axis=(0, 1)))))
        logits = self.sharpness * ops.matmul(z_e, ops.transpose(self.grid()))
        mean = workers.mean(ops.mean(ops.softmax(logits), axis=(0, 1)))
        return sure, float(np.log(self.num_embeddings)) - divergence_from_uniform(mean)


@keras.saving.register_keras_serializable("vqwn_kit")
class BinarySphericalQuantizer(LookupFreeQuantizer):
    """Binary spherical quantization: signs of a vector on the unit sphere.

    BSQ, [Zhao 2024](https://arxiv.org/abs/2406.07548): u = z / |z|, q = sign(u) / sqrt(d), so that
    |q| = 1 and the error is bounded; q(c|u) = softmax(u c / temperature). Losses and arguments are
    those of `LookupFreeQuantizer`.

    Args:
        num_bits: d; K = 2^d.
        embedding_dim: D.
        temperature: of q(c|u).

    Input shape: (B, N, D). Output: `Quantized`.
    """

    short_name = "bsq"

    def __init__(
        self, num_bits: int = 9, embedding_dim: int = 64, *, temperature: float = 0.05, **kwargs
    ):
        super().__init__(num_bits, embedding_dim, temperature=temperature, **kwargs)

    @property
    def size(self) -> float:
        """The absolute value of each channel of a code."""
        return float(self.num_bits**-0.5)

    @property
    def sharpness(self) -> float:
        """Factor of u c in the logits of q(c|u)."""
        return 1.0 / self.temperature

    def place(self, z_e):
        """Return channels (B, N, d) on the unit sphere."""
        return unit(z_e)


def bit_entropy(share):
    """Return the entropy in nats of bits that are 1 with probabilities `share`."""
    share = ops.clip(share, 1e-7, 1.0 - 1e-7)
    return -share * ops.log(share) - (1.0 - share) * ops.log(1.0 - share)
