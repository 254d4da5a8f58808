"""The codebook (K, d), row k is code k: its initial values, its usage, dead codes."""

import keras
import numpy as np
from keras import ops

from vqwn_kit.models import workers
from vqwn_kit.models.bottleneck import Projected


@keras.saving.register_keras_serializable("vqwn_kit")
class StackedOrthogonal(keras.initializers.Initializer):
    """Orthogonal initial values of a codebook (K, D), also where K > D.

    At most D vectors of D dimensions can be orthogonal, so the rows come in blocks of D: each block
    is a random orthonormal basis, a rotation of the others. All rows have length 1 and their mean
    is near 0. (Keras's `Orthogonal` would make the D columns orthogonal instead, with rows of
    length sqrt(D / K).)

    Args:
        seed: of the rotations; None for the global one.
    """

    def __init__(self, seed: int | None = None):
        self.seed = seed
        self.basis = keras.initializers.Orthogonal(seed=keras.random.SeedGenerator(seed))

    def __call__(self, shape, dtype=None):
        """Return a codebook of shape (K, D)."""
        rows, dim = shape
        bases = [self.basis((dim, dim), dtype) for _ in range(-(-rows // dim))]
        return ops.concatenate(bases)[:rows]

    def get_config(self) -> dict:
        """Return the constructor's keyword."""
        return {"seed": self.seed}


def codebook_initializer(name: str | dict):
    """Return the initializer of a codebook.

    Args:
        name: `random_normal` (deviation 0.05), `uniform_unit_scaling` (uniform within 1.7 sqrt(3 /
            K), of the original VQ-VAE-WaveNet), `orthogonal` (see `StackedOrthogonal`), `data`
            (random until training computes k-means), or another Keras initializer.
    """
    own = {
        "data": lambda: keras.initializers.RandomNormal(),
        "orthogonal": StackedOrthogonal,
        "uniform_unit_scaling": lambda: keras.initializers.VarianceScaling(
            1.7**2, "fan_in", "uniform"
        ),
    }
    if isinstance(name, str) and name in own:
        return own[name]()
    return keras.initializers.get(name)


def divergence_from_uniform(probabilities):
    """Return KL(q || uniform) = log K - H(q) in nats, (...,), of probabilities (..., K)."""
    size = probabilities.shape[-1]
    logs = ops.log(ops.maximum(probabilities, 1e-12))
    return float(np.log(size)) + ops.sum(probabilities * logs, axis=-1)


def uniform_losses(probabilities, frame_weight: float, mean_weight: float) -> dict:
    """Return the weighted divergences of q(z|x) from the uniform prior, those that have a weight.

    `vq/kl_frame` is the mean over frames of KL(q(z|x) || uniform): it makes each frame undecided.
    `vq/kl_mean` is KL(mean of q(z|x) || uniform): it makes all codes equally frequent, and lets
    each frame be sure.

    Args:
        probabilities: q(z|x), (B, N, K).
        frame_weight: of the first.
        mean_weight: of the second, whose mean is over the batch.
    """
    losses = {}
    if frame_weight:
        losses["vq/kl_frame"] = frame_weight * ops.mean(divergence_from_uniform(probabilities))
    if mean_weight:
        mean = workers.mean(ops.mean(probabilities, axis=(0, 1)))
        losses["vq/kl_mean"] = mean_weight * divergence_from_uniform(mean)
    return losses


class Codebook(Projected):
    """Base class of bottlenecks with a codebook (K, d) of vectors that move.

    `normalise` leads to the space of the codes, in which `codewords` stand; `vectors` are what the
    decoder receives for them.
    """

    def get_codebooks(self) -> list["Codebook"]:
        """Return itself."""
        return [self]

    @property
    def starts_from_data(self) -> bool:
        """Whether the codes start at k-means centres."""
        return self.initializer == "data"

    def add_codebook(self, trainable: bool = True) -> None:
        """Create the codebook (K, d) from `self.initializer`."""
        if self.num_embeddings < 1:
            raise ValueError(f"num_embeddings is {self.num_embeddings}; expected at least one code")
        self.build_projection()
        self.codebook = self.add_weight(
            trainable=trainable,
            shape=(self.num_embeddings, self.lookup_dim),
            initializer=codebook_initializer(self.initializer),
            name="codebook",
        )

    def codewords(self):
        """Return the codes in the space in which z_e is compared with them, (K, d)."""
        return ops.convert_to_tensor(self.codebook.value)

    def vectors(self):
        """Return the vector that the decoder receives for each code, (K, D)."""
        return self.expand(self.codewords())

    @property
    def per_code_weights(self) -> list[tuple]:
        """Weights that have an entry for each code, each with the axis of the codes."""
        return [(self.codebook, 0)]

    def embed(self, codes):
        """Return the vectors of codes (B, N), (B, N, D)."""
        return ops.take(self.vectors(), codes, axis=0)

    def normalise(self, z_e, training: bool | None = None):
        """Return z_e (B, N, D) as the codebook sees it, (B, N, d)."""
        return self.project(z_e)

    def init_from_data(self, z_e: np.ndarray, seed: int = 0) -> None:
        """Set a projection to principal components, and the codes to k-means centres.

        Args:
            z_e: frames (M, D) of the encoder, M >= K.
            seed: of k-means.
        """
        from sklearn.cluster import MiniBatchKMeans

        self.project_by_components(z_e)
        z_e = ops.convert_to_numpy(self.normalise(z_e[None], training=True))[0]
        means = MiniBatchKMeans(
            self.num_embeddings, init="random", n_init=1, batch_size=4096, random_state=seed
        )
        self.set_codes(np.ones(self.num_embeddings, bool), means.fit(z_e).cluster_centers_)

    def set_codes(self, rows: np.ndarray, vectors: np.ndarray) -> None:
        """Set the rows (K,) bool of the codebook to vectors (count, d)."""
        codebook = self.codebook.numpy().copy()
        codebook[rows] = vectors
        self.codebook.assign(codebook)

    def reset_dead_codes(
        self, z_e: np.ndarray, unused: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Move unused codes onto frames drawn from z_e (M, d), as the codebook sees them.

        No frame is given to two codes, of which one would stay dead: where there are fewer frames
        than unused codes, some of the codes stay where they are.

        Args:
            z_e: recent frames.
            unused: bool (K,), which codes to move.
            rng: draws the frames.

        Returns:
            bool (K,), which codes were moved.
        """
        rows = np.flatnonzero(unused)
        count = min(len(rows), len(z_e))
        moved = np.zeros(len(unused), bool)
        moved[rng.permutation(rows)[:count]] = True
        self.set_codes(moved, z_e[rng.choice(len(z_e), count, replace=False)])
        return moved


class CodeUsage(keras.metrics.Metric):
    """Counts codes until it is reset: how many of Q K were used, and their perplexity.

    Reset it once an epoch or a logging interval, not once a batch: the perplexity of few frames is
    bounded by their number.

    Args:
        num_embeddings: K.
        num_codebooks: Q.
    """

    def __init__(self, num_embeddings: int, num_codebooks: int = 1, name: str = "codes"):
        super().__init__(name=name)
        shape = (num_codebooks, num_embeddings)
        self.counts = self.add_variable(shape, "zeros", name="counts")

    def update_state(self, codes):
        """Count codes (B, N), or (B, N, Q)."""
        self.counts.assign(self.counts + count_codes(codes, *self.counts.shape))

    def result(self) -> dict:
        """Return `vq/codes_used` (0..Q K), `vq/codes_dead` (the rest) and `vq/perplexity` (1..K).

        The perplexity of several codebooks is their geometric mean.
        """
        share = self.counts / ops.maximum(ops.sum(self.counts, axis=1, keepdims=True), 1.0)
        entropy = -ops.sum(share * ops.log(ops.maximum(share, 1e-12)), axis=1)
        used = ops.sum(ops.cast(self.counts > 0, "float32"))
        return {
            "vq/codes_used": used,
            "vq/codes_dead": float(np.prod(self.counts.shape)) - used,
            "vq/perplexity": ops.exp(ops.mean(entropy)),
        }


def count_codes(codes, num_codebooks: int, num_embeddings: int):
    """Return how often each code of each codebook occurs in codes (B, N), (B, N, Q), (Q, K)."""
    hits = ops.one_hot(ops.reshape(codes, (-1, num_codebooks)), num_embeddings)
    return workers.total(ops.sum(hits, axis=0))


class RecentFrames(keras.metrics.Metric):
    """The last vectors that each codebook looked up in training, and how often each code was taken.

    Args:
        num_codebooks: Q.
        num_embeddings: K.
        code_dim: d.
        size: frames that are kept.
    """

    def __init__(self, num_codebooks: int, num_embeddings: int, code_dim: int, size: int = 2048):
        super().__init__(name="recent")
        self.size = size
        shape = (size, num_codebooks, code_dim)
        self.frames = self.add_variable(shape, keras.initializers.Constant(np.nan), name="frames")
        self.counts = self.add_variable((num_codebooks, num_embeddings), "zeros", name="counts")

    def update(self, vectors, codes) -> None:
        """Take vectors (B, N, Q, d) and their codes; the oldest vectors are forgotten."""
        vectors = workers.gather(ops.stop_gradient(vectors))
        new = ops.reshape(vectors, (-1, *self.frames.shape[1:]))[-self.size :]
        kept = self.frames[ops.shape(new)[0] :]
        self.frames.assign(ops.concatenate([kept, new]))
        self.counts.assign(self.counts + count_codes(codes, *self.counts.shape))

    def seen(self) -> np.ndarray:
        """Return the vectors that are kept, float32 (M, Q, d), oldest first."""
        frames = self.frames.numpy()
        return frames[~np.isnan(frames).any(axis=(1, 2))]

    def reset_counts(self) -> None:
        """Restart the counts; the vectors stay."""
        self.counts.assign(np.zeros(self.counts.shape, np.float32))

    def result(self):
        """Return how many codes were counted."""
        return ops.sum(self.counts)
