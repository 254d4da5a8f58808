"""The codebook (K, D), row k is code k: its initial values, its usage, dead codes."""

import keras
import numpy as np
from keras import ops

from vqwn_kit.models.layers import Layer


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
        mean = ops.mean(probabilities, axis=(0, 1))
        losses["vq/kl_mean"] = mean_weight * divergence_from_uniform(mean)
    return losses


class Codebook(Layer):
    """Base class of bottlenecks with a codebook."""

    def add_codebook(self, trainable: bool = True) -> None:
        """Create the codebook (K, D) from `self.initializer`."""
        if self.num_embeddings < 1:
            raise ValueError(f"num_embeddings is {self.num_embeddings}; expected at least one code")
        self.codebook = self.add_weight(
            trainable=trainable,
            shape=(self.num_embeddings, self.embedding_dim),
            initializer=codebook_initializer(self.initializer),
            name="codebook",
        )

    @property
    def provides(self) -> dict[str, int]:
        """What a decoder is built with."""
        return {"condition_dim": self.embedding_dim}

    def vectors(self):
        """Return the vector that the decoder receives for each code, (K, D)."""
        return ops.convert_to_tensor(self.codebook)

    @property
    def per_code_weights(self) -> list[tuple]:
        """Weights that have an entry for each code, each with the axis of the codes."""
        return [(self.codebook, 0)]

    def embed(self, codes):
        """Return the vectors of codes (B, N), (B, N, D)."""
        return ops.take(self.vectors(), codes, axis=0)

    def normalise(self, z_e, training: bool | None = None):
        """Return z_e (B, N, D) as the codebook sees it."""
        return ops.cast(z_e, "float32")

    def init_from_data(self, z_e: np.ndarray, seed: int = 0) -> None:
        """Set the codebook to the k-means centres of frames (M, D) as it sees them, M >= K."""
        from sklearn.cluster import MiniBatchKMeans

        means = MiniBatchKMeans(
            self.num_embeddings, init="random", n_init=1, batch_size=4096, random_state=seed
        )
        self.set_codes(np.ones(self.num_embeddings, bool), means.fit(z_e).cluster_centers_)

    def set_codes(self, rows: np.ndarray, vectors: np.ndarray) -> None:
        """Set the rows (K,) bool of the codebook to vectors (count, D)."""
        codebook = self.codebook.numpy().copy()
        codebook[rows] = vectors
        self.codebook.assign(codebook)

    def reset_dead_codes(
        self, z_e: np.ndarray, unused: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Move unused codes onto frames drawn from z_e (M, D), as the codebook sees them.

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
        """Return `vq/codes_used` (0..K), `vq/codes_dead` (the rest) and `vq/perplexity` (1..K)."""
        share = self.counts / ops.maximum(ops.sum(self.counts), 1.0)
        entropy = -ops.sum(share * ops.log(ops.maximum(share, 1e-12)))
        used = ops.sum(ops.cast(self.counts > 0, "float32"))
        return {
            "vq/codes_used": used,
            "vq/codes_dead": self.num_embeddings - used,
            "vq/perplexity": ops.exp(entropy),
        }


class RecentFrames(keras.metrics.Metric):
    """The last frames that a codebook saw in training, and how often each code took one.

    Args:
        num_embeddings: K.
        embedding_dim: D.
        size: frames that are kept.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, size: int = 2048):
        super().__init__(name="recent")
        self.num_embeddings = num_embeddings
        self.size = size
        self.frames = self.add_variable(
            (size, embedding_dim), keras.initializers.Constant(np.nan), name="frames"
        )
        self.counts = self.add_variable((num_embeddings,), "zeros", name="counts")

    def update(self, z_e, codes) -> None:
        """Take frames (B, N, D) and their codes (B, N); the oldest frames are forgotten."""
        new = ops.reshape(ops.stop_gradient(z_e), (-1, self.frames.shape[1]))[-self.size :]
        kept = self.frames[ops.shape(new)[0] :]
        self.frames.assign(ops.concatenate([kept, new]))
        hits = ops.one_hot(ops.reshape(codes, (-1,)), self.num_embeddings)
        self.counts.assign(self.counts + ops.sum(hits, axis=0))

    def seen(self) -> np.ndarray:
        """Return the frames that are kept, float32 (M, D), oldest first."""
        frames = self.frames.numpy()
        return frames[~np.isnan(frames).any(axis=1)]

    def reset_counts(self) -> None:
        """Restart the counts; the frames stay."""
        self.counts.assign(np.zeros(self.num_embeddings, np.float32))

    def result(self):
        """Return how many frames were counted."""
        return ops.sum(self.counts)
