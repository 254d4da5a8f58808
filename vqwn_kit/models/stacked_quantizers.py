"""Several codebooks per frame: z_e (B, N, D) -> codes (B, N, Q)."""

import keras
import numpy as np
from keras import ops

from vqwn_kit.models import workers
from vqwn_kit.models.bottleneck import Bottleneck, Quantized


class StackedQuantizer(Bottleneck):
    """Base class: Q quantizers of the same settings, with weights of their own.

    Args:
        num_codebooks: Q.
        embedding_dim: D.
        quantizer: a quantizer with a single codebook, whose settings all Q take; their
            `embedding_dim` follows from D.
    """

    part_names = ("quantizer",)

    def __init__(self, num_codebooks: int, embedding_dim: int, quantizer: Bottleneck, **kwargs):
        super().__init__(**kwargs)
        if num_codebooks < 2:
            raise ValueError(f"num_codebooks is {num_codebooks}; expected 2 or more")
        if quantizer.num_codebooks != 1 or not quantizer.num_embeddings:
            raise ValueError(
                f"its quantizer is {type(quantizer).__name__}; expected one with a single codebook"
            )
        self.num_codebooks = num_codebooks
        self.embedding_dim = embedding_dim
        self.quantizer = quantizer
        config = {**quantizer.get_config(), "embedding_dim": self.part_dim}
        self.quantizers = [
            type(quantizer).from_config({**config, "name": f"codebook_{number}"})
            for number in range(num_codebooks)
        ]

    @property
    def part_dim(self) -> int:
        """Channels of z_e that each quantizer receives."""
        return self.embedding_dim

    @property
    def num_embeddings(self) -> int:
        """K, of each codebook."""
        return self.quantizer.num_embeddings

    @property
    def lookup_dim(self) -> int:
        """Channels of the space in which each quantizer looks up its codes (d)."""
        return self.quantizers[0].lookup_dim

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Names of the losses."""
        return self.quantizer.loss_names

    @property
    def starts_from_data(self) -> bool:
        """Whether the quantizers start from data."""
        return self.quantizer.starts_from_data

    def get_codebooks(self) -> list:
        """Return the codebooks whose codes can be set and reset."""
        return [codebook for part in self.quantizers for codebook in part.get_codebooks()]

    def build(self, input_shape=None):
        """Build all quantizers."""
        for part in self.quantizers:
            part.build((None, None, self.part_dim))

    def joined(self, parts: list[Quantized], z_q, z_e) -> Quantized:
        """Return the outputs of the quantizers as one; each loss is the sum of theirs."""
        codes = ops.stack([part.codes for part in parts], axis=-1)
        losses = {name: sum(part.losses[name] for part in parts) for name in self.loss_names}
        inputs = None
        if self.get_codebooks():
            inputs = ops.concatenate([part.inputs for part in parts], axis=2)
        return Quantized(z_q, codes, losses, z_e, inputs)


@keras.saving.register_keras_serializable("vqwn_kit")
class ResidualQuantizer(StackedQuantizer):
    """Each codebook encodes what the codebooks before it left.

    Residual vector quantization with quantizer dropout, [Zeghidour
    2021](https://arxiv.org/abs/2107.03312), sections III-C and III-D:

        r_1 = z_e,   z_q = q_1(r_1) + ... + q_n(r_n),   r_(i+1) = r_i - q_i(r_i)

    with n = Q; in training, with the probability `dropout`, n is drawn from 1..Q for each
    utterance, so that one model decodes the first n codebooks, for every n: every bit rate.

    Args:
        num_codebooks: Q.
        embedding_dim: D.
        dropout: probability that the last codebooks are left out, 0 to 1.
        quantizer: of each codebook, with settings of its own.

    Input shape: (B, N, D). Output: `Quantized`, codes (B, N, Q).
    """

    short_name = "residual"

    def __init__(
        self,
        num_codebooks: int = 4,
        embedding_dim: int = 64,
        dropout: float = 0.5,
        *,
        quantizer: Bottleneck,
        **kwargs,
    ):
        super().__init__(num_codebooks, embedding_dim, quantizer, **kwargs)
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout is {dropout}; expected 0 to 1")
        self.dropout = dropout
        self.generator = keras.random.SeedGenerator()

    def call(self, z_e, training: bool | None = None) -> Quantized:
        """Return z_q, codes and losses of z_e (B, N, D)."""
        z_e = residual = ops.cast(z_e, "float32")
        parts = []
        for quantizer in self.quantizers:
            parts.append(quantizer(residual, training=training))
            residual = residual - parts[-1].z_q
        heard = ops.ones((1, self.num_codebooks))
        if training and self.dropout:
            heard = self._drawn(ops.shape(z_e)[0])
        vectors = ops.stack([part.z_q for part in parts], axis=2)
        z_q = ops.sum(heard[:, None, :, None] * vectors, axis=2)
        return self.joined(parts, z_q, z_e)

    def _drawn(self, batch):
        """Return which codebooks each utterance keeps, 1.0 or 0.0, (B, Q)."""
        size = self.num_codebooks
        drawn = workers.draw(keras.random.randint, (batch,), 1, size + 1, seed=self.generator)
        chance = workers.draw(keras.random.uniform, (batch,), seed=self.generator)
        kept = ops.where(chance < self.dropout, drawn, size)
        return ops.cast(ops.arange(size) < kept[:, None], "float32")

    def embed(self, codes):
        """Return the vectors of codes (B, N, q), of the first q of Q codebooks, (B, N, D)."""
        parts = zip(self.quantizers, ops.unstack(codes, axis=-1), strict=False)
        return sum(part.embed(column) for part, column in parts)

    def vectors(self):
        """Return the vector that each code of each codebook adds to z_q, (Q, K, D)."""
        return ops.stack([part.vectors() for part in self.quantizers])

    def init_from_data(self, z_e: np.ndarray, seed: int = 0) -> None:
        """Fit each quantizer to what the ones before it leave of frames (M, D)."""
        residual = np.asarray(z_e, np.float32)
        for number, part in enumerate(self.quantizers):
            part.init_from_data(residual, seed + number)
            residual = residual - ops.convert_to_numpy(part(residual[None]).z_q)[0]


@keras.saving.register_keras_serializable("vqwn_kit")
class ProductQuantizer(StackedQuantizer):
    """Each codebook encodes a group of channels of its own.

    Product quantization [Jegou 2011](https://doi.org/10.1109/TPAMI.2010.57), as grouped codes of
    speech [Yang 2023](https://arxiv.org/abs/2305.02765): z_e is cut into Q groups of D / Q
    channels, z_q joins their codes. All codebooks are needed to decode.

    Args:
        num_codebooks: Q, which divides D.
        embedding_dim: D.
        quantizer: of each group, with settings of its own.

    Input shape: (B, N, D). Output: `Quantized`, codes (B, N, Q).
    """

    short_name = "product"

    def __init__(
        self, num_codebooks: int = 4, embedding_dim: int = 64, *, quantizer: Bottleneck, **kwargs
    ):
        if num_codebooks < 1 or embedding_dim % num_codebooks:
            raise ValueError(
                f"num_codebooks is {num_codebooks} with an embedding_dim of {embedding_dim}; "
                "expected a divisor of it"
            )
        self._groups = num_codebooks
        super().__init__(num_codebooks, embedding_dim, quantizer, **kwargs)

    @property
    def part_dim(self) -> int:
        """Channels of z_e that each quantizer receives."""
        return self.embedding_dim // self._groups

    def call(self, z_e, training: bool | None = None) -> Quantized:
        """Return z_q, codes and losses of z_e (B, N, D)."""
        z_e = ops.cast(z_e, "float32")
        groups = ops.split(z_e, self.num_codebooks, axis=-1)
        pairs = zip(self.quantizers, groups, strict=True)
        parts = [quantizer(group, training=training) for quantizer, group in pairs]
        return self.joined(parts, ops.concatenate([part.z_q for part in parts], axis=-1), z_e)

    def embed(self, codes):
        """Return the vectors of codes (B, N, Q), (B, N, D)."""
        parts = zip(self.quantizers, ops.unstack(codes, axis=-1), strict=True)
        return ops.concatenate([part.embed(column) for part, column in parts], axis=-1)

    def vectors(self):
        """Return what each code of each codebook adds to z_q, with 0 in other groups, (Q, K, D)."""
        rows = []
        for number, part in enumerate(self.quantizers):
            before = number * self.part_dim
            after = self.embedding_dim - before - self.part_dim
            rows.append(ops.pad(part.vectors(), ((0, 0), (before, after))))
        return ops.stack(rows)

    def init_from_data(self, z_e: np.ndarray, seed: int = 0) -> None:
        """Fit each quantizer to its channels of frames (M, D)."""
        groups = np.split(np.asarray(z_e, np.float32), self.num_codebooks, axis=1)
        for number, (part, group) in enumerate(zip(self.quantizers, groups, strict=True)):
            part.init_from_data(group, seed + number)
