"""A codebook in two dimensions: points and a bottleneck -> the codebook after each training step.

The points take the place of an encoder's outputs and stay fixed, so that only the codebook moves.
"""

from typing import NamedTuple

import numpy as np

from vqwn_kit.models.tensorflow import keras, tf
from vqwn_kit.models.vector_quantizers import VectorQuantizer


class CodebookHistory(NamedTuple):
    """A codebook during S training steps.

    Attributes:
        points: float32 (M, 2).
        codebooks: float32 (S + 1, K, 2), before the first step and after each.
        codes: int32 (S + 1, M), the nearest code of each point at that time.
    """

    points: np.ndarray
    codebooks: np.ndarray
    codes: np.ndarray

    @property
    def errors(self) -> np.ndarray:
        """The mean squared distance of the points to their codes, (S + 1,)."""
        steps = np.arange(len(self.codebooks))[:, None]
        differences = self.points - self.codebooks[steps, self.codes]
        return (differences**2).sum(axis=-1).mean(axis=-1)

    @property
    def codes_used(self) -> np.ndarray:
        """How many codes are the nearest of some point, (S + 1,)."""
        return np.array([len(np.unique(codes)) for codes in self.codes])


def gaussian_clusters(
    clusters: int = 6, points: int = 600, spread: float = 0.18, seed: int = 0
) -> np.ndarray:
    """Return points float32 (M, 2) in Gaussian clusters, whose means lie on the unit circle.

    Args:
        clusters: how many.
        points: M; each is drawn from a cluster chosen uniformly.
        spread: standard deviation of a cluster.
        seed: of the points.
    """
    rng = np.random.default_rng(seed)
    angles = 2 * np.pi * rng.integers(clusters, size=points) / clusters
    means = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return (means + rng.normal(0.0, spread, (points, 2))).astype(np.float32)


def train_codebook_2d(
    bottleneck: VectorQuantizer,
    points: np.ndarray,
    steps: int = 150,
    *,
    start: np.ndarray | None = None,
    learning_rate: float = 0.03,
    batch_size: int = 64,
    reset_dead_every: int | None = None,
    seed: int = 0,
) -> CodebookHistory:
    """Train a codebook on fixed points and record it after each step.

    Args:
        bottleneck: a `VectorQuantizer` or `VectorQuantizerEMA` of two dimensions; it is trained.
        points: (M, 2).
        steps: S, one batch each.
        start: initial codebook (K, 2); the bottleneck's own initialisation by default.
        learning_rate: of Adam, for codebooks trained by gradients.
        batch_size: points per step.
        reset_dead_every: reset the codes that no point selected in so many steps; never by default.
        seed: of the batches.
    """
    rng = np.random.default_rng(seed)
    points = np.asarray(points, np.float32)
    if not bottleneck.built:
        bottleneck.build((None, None, 2))
        bottleneck.built = True
    if start is not None:
        every = np.ones(bottleneck.num_embeddings, bool)
        bottleneck.set_codes(every, np.asarray(start, np.float32))
    optimizer = keras.optimizers.Adam(learning_rate)
    codebooks, codes = [bottleneck.codebook.numpy()], [_nearest(bottleneck, points)]
    used = np.zeros(bottleneck.num_embeddings, bool)
    for step in range(1, steps + 1):
        batch = points[rng.choice(len(points), batch_size)]
        used[_train_step(bottleneck, batch, optimizer)] = True
        if reset_dead_every and step % reset_dead_every == 0:
            bottleneck.reset_dead_codes(batch, ~used, rng)
            used[:] = False
        codebooks.append(bottleneck.codebook.numpy())
        codes.append(_nearest(bottleneck, points))
    return CodebookHistory(points, np.array(codebooks), np.array(codes))


def _train_step(bottleneck: VectorQuantizer, batch: np.ndarray, optimizer) -> np.ndarray:
    """Train on a batch (B, 2); return the codes that were selected."""
    with tf.GradientTape() as tape:
        quantized = bottleneck(batch[None], training=True)
        loss = sum(quantized.losses.values())
    if bottleneck.learns_by_gradient:
        gradient = tf.convert_to_tensor(tape.gradient(loss, bottleneck.codebook))
        optimizer.apply([gradient], [bottleneck.codebook])
    return np.unique(quantized.codes)


def _nearest(bottleneck: VectorQuantizer, points: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(bottleneck(points[None], training=False).codes)[0]


def codebook_gradients(
    bottleneck: VectorQuantizer, points: np.ndarray, at_z_q: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the negative gradients of the losses at the codes, (K, 2), and at the points, (M, 2).

    They are scaled so that e - z at a point z moves it onto its code e, and the gradient at a code
    moves it to the mean of its points. The codebook of a `VectorQuantizerEMA` has no gradient: it
    is updated by moving averages.

    Args:
        bottleneck: a `VectorQuantizer` of two dimensions, built.
        points: (M, 2).
        at_z_q: the decoder's negative gradient at each z_q, (M, 2), in that scale; 0 by default.
    """
    z_e = tf.constant(np.asarray(points, np.float32)[None])
    with tf.GradientTape() as tape:
        tape.watch(z_e)
        quantized = bottleneck(z_e, training=False)
        loss = sum(quantized.losses.values())
        if at_z_q is not None:
            loss -= tf.reduce_mean(quantized.z_q * np.asarray(at_z_q, np.float32)[None]) * 2.0
    at_codes, at_points = tape.gradient(loss, [bottleneck.codebook.value, z_e])
    scale = -z_e.shape[1] * z_e.shape[2] / 2.0  # the losses are means over points and dimensions
    size = bottleneck.num_embeddings
    counts = np.bincount(np.ravel(quantized.codes), minlength=size)[:, None]
    none = np.zeros((size, 2), np.float32)
    at_codes = none if at_codes is None else scale * np.array(tf.convert_to_tensor(at_codes))
    return at_codes / np.maximum(counts, 1), scale * np.array(at_points[0])
