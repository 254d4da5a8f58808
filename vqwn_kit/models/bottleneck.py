"""What a `VQVAE` asks of its bottleneck, and the projections to the space of the codes."""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from vqwn_kit.models.layers import Layer

BATCH_NORM_MOMENTUM = 0.95  # of the moving statistics of z_e that are used outside training


class Quantized(NamedTuple):
    """What a bottleneck returns.

    Attributes:
        z_q: float32 (B, N, D), input of the decoder.
        codes: int32 (B, N), 0..K-1, or (B, N, Q) of several codebooks; None without a codebook.
        losses: scalars by name, to be summed with the decoder's.
        z_e: float32 (B, N, d), the encoder's output in the space of the codes.
        inputs: float32 (B, N, Q, d), what each codebook looks up: of one codebook z_e, of residual
            codes the residuals. None without codes that can move.
    """

    z_q: Any
    codes: Any
    losses: dict[str, Any]
    z_e: Any
    inputs: Any = None


class Bottleneck(Layer):
    """Base class: z_e (B, N, D) -> `Quantized`. Always computed in float32.

    Attributes:
        embedding_dim: D, channels of z_e and z_q.
        num_embeddings: K, codes of a codebook; 0 without one.
        num_codebooks: Q, codes per frame.
        loss_names: names of the losses.
        starts_from_data: whether training calls `init_from_data` before the first step.
    """

    embedding_dim: int
    num_embeddings = 0
    num_codebooks = 1
    loss_names: tuple[str, ...] = ()
    starts_from_data = False

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def get_codebooks(self) -> list:
        """Return the codebooks whose codes can be set and reset."""
        return []

    @property
    def lookup_dim(self) -> int:
        """d, channels of the space of the codes."""
        return self.embedding_dim

    @property
    def provides(self) -> dict[str, int]:
        """What a decoder is built with."""
        return {"condition_dim": self.embedding_dim}

    def init_from_data(self, z_e: np.ndarray, seed: int = 0) -> None:
        """Fit what starts from data to the encoder's outputs (M, D)."""
        raise NotImplementedError

    def unquantized(self, z_e):
        """Return `Quantized.z_e` (B, N, d) in the space of z_q, (B, N, D)."""
        return z_e


class Projected(Bottleneck):
    """Base class of quantizers in a space of few dimensions: D -> d, codes, d -> D.

    [Yu 2021](https://arxiv.org/abs/2110.04627), section 3.2: codes of 8 dimensions are looked up
    among frames that spread over all of them, so that more codes are used. Two linear layers lead
    there and back. Without a projection d is D.
    """

    def add_projection(self, dim: int | None) -> None:
        """Create the layers to `dim` channels and back; none where `dim` is None."""
        self._dim = dim
        if dim is not None:
            self.project_in = keras.layers.Dense(dim, name="project_in", dtype="float32")
            self.project_out = keras.layers.Dense(
                self.embedding_dim, name="project_out", dtype="float32"
            )

    @property
    def lookup_dim(self) -> int:
        """d, channels of the space of the codes."""
        return self.embedding_dim if self._dim is None else self._dim

    def build_projection(self) -> None:
        """Build the two layers, if there are any."""
        if self._dim is not None:
            self.project_in.build((None, None, self.embedding_dim))
            self.project_out.build((None, None, self._dim))

    def project(self, z_e):
        """Return z_e (..., D) in the space of the codes, float32 (..., d)."""
        z_e = ops.cast(z_e, "float32")
        return z_e if self._dim is None else self.project_in(z_e)

    def expand(self, e):
        """Return vectors (..., d) of codes in the space of the decoder, (..., D)."""
        return e if self._dim is None else self.project_out(e)

    def unquantized(self, z_e):
        """Return z_e (B, N, d) in the space of z_q, (B, N, D)."""
        return self.expand(z_e)

    def project_by_components(self, z_e: np.ndarray, deviation: float | None = None) -> None:
        """Set the projection to the first d principal components of frames (M, D), and back.

        Args:
            z_e: frames.
            deviation: that each component has after the projection; by default its own.
        """
        if self._dim is None:
            return
        mean = z_e.mean(axis=0)
        _, sizes, directions = np.linalg.svd(z_e - mean, full_matrices=False)
        basis = np.zeros((self._dim, self.embedding_dim), np.float32)
        basis[: len(directions)] = directions[: self._dim]
        spread = np.ones(self._dim, np.float32)
        found = sizes[: self._dim] / np.sqrt(len(z_e))
        if deviation is not None:
            spread[: len(found)] = deviation / np.maximum(found, 1e-6)
        kernel = basis.T * spread
        self.project_in.set_weights([kernel, -mean @ kernel])
        self.project_out.set_weights([basis / spread[:, None], mean])


@keras.saving.register_keras_serializable("vqwn_kit")
class Identity(Bottleneck):
    """No quantization: an autoencoder, whose decoder receives z_e.

    Args:
        embedding_dim: D.
    """

    short_name = "ae"
    num_codebooks = 0

    def __init__(self, embedding_dim: int = 64, **kwargs):
        super().__init__(**kwargs)
        self.embedding_dim = embedding_dim

    def call(self, z_e, training: bool | None = None) -> Quantized:
        """Return z_e (B, N, D) as it is, without codes and without a loss."""
        return Quantized(z_e, None, {}, z_e)
