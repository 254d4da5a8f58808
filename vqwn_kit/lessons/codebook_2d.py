"""A codebook on a plane: points and a bottleneck -> where each code went, step by step.

The points stand for an encoder's outputs that hold still, so that nothing moves but the codebook.
"""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from vqwn_kit.models.bottlenecks import VectorQuantizer


class Motion(NamedTuple):
    """What a codebook did in S steps.

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
        away = self.points - self.codebooks[steps, self.codes]
        return (away**2).sum(axis=-1).mean(axis=-1)

    @property
    def codes_used(self) -> np.ndarray:
        """How many codes are the nearest of some point, (S + 1,)."""
        return np.array([len(np.unique(codes)) for codes in self.codes])


def point_clouds(
    clouds: int = 6, points: int = 600, spread: float = 0.18, seed: int = 0
) -> np.ndarray:
    """Return points (M, 2) float32 in round clouds, whose middles stand on a ring of radius 1.

    Args:
        clouds: how many.
        points: M, drawn from all clouds alike.
        spread: standard deviation of a cloud.
        seed: draws the points.
    """
    rng = np.random.default_rng(seed)
    angles = 2 * np.pi * rng.integers(clouds, size=points) / clouds
    middles = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return (middles + rng.normal(0.0, spread, (points, 2))).astype(np.float32)


def follow_codebook(
    bottleneck: VectorQuantizer,
    points: np.ndarray,
    steps: int = 150,
    *,
    start: np.ndarray | None = None,
    learning_rate: float = 0.03,
    batch_size: int = 64,
    reset_dead_every: int | None = None,
    seed: int = 0,
) -> Motion:
    """Train a codebook alone on points of a plane, and watch it.

    Args:
        bottleneck: a `VectorQuantizer` or `VectorQuantizerEMA` of two dimensions; it is trained.
        points: (M, 2).
        steps: S, a batch each.
        start: (K, 2) where the codes start; where the bottleneck starts them by default.
        learning_rate: of Adam, for codebooks that learn by gradients.
        batch_size: points a step.
        reset_dead_every: steps after which codes that no point took are moved
        seed: draws the batches.
    """
    rng = np.random.default_rng(seed)
    points = np.asarray(points, np.float32)
    if not bottleneck.built:
        bottleneck.build((None, None, 2))
        bottleneck.built = True
    if start is not None:
        bottleneck.set_codes(
            np.ones(bottleneck.num_embeddings, bool), np.asarray(start, np.float32)
        )
    optimizer = keras.optimizers.Adam(learning_rate)
    codebooks, codes = [bottleneck.codebook.numpy()], [_nearest(bottleneck, points)]
    taken = np.zeros(bottleneck.num_embeddings, bool)
    for step in range(1, steps + 1):
        batch = points[rng.choice(len(points), batch_size)]
        taken[_step(bottleneck, batch, optimizer)] = True
        if reset_dead_every and step % reset_dead_every == 0:
            bottleneck.reset_dead_codes(batch, ~taken, rng)
            taken[:] = False
        codebooks.append(bottleneck.codebook.numpy())
        codes.append(_nearest(bottleneck, points))
    return Motion(points, np.array(codebooks), np.array(codes))


def _step(bottleneck: VectorQuantizer, batch: np.ndarray, optimizer) -> np.ndarray:
    """Train on a batch (B, 2); return the codes that were taken."""
    with tf.GradientTape() as tape:
        quantized = bottleneck(batch[None], training=True)
        loss = sum(quantized.losses.values())
    if bottleneck.learns_by_gradient:
        gradient = tf.convert_to_tensor(tape.gradient(loss, bottleneck.codebook))
        optimizer.apply([gradient], [bottleneck.codebook])
    return np.unique(quantized.codes)


def _nearest(bottleneck: VectorQuantizer, points: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(bottleneck(points[None], training=False).codes)[0]


def codebook_pulls(
    bottleneck: VectorQuantizer, points: np.ndarray, wish: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return how the losses pull at a codebook, (K, 2), and at points, (M, 2).

    That is the loss's gradient downhill, in units in which a pull of e - z on a point z would bring
    it onto its code e, and a pull on a code would bring it to the mean of the points that have it.
    Gradients alone are seen: the codebook of a `VectorQuantizerEMA` isn't pulled, it follows.

    Args:
        bottleneck: a `VectorQuantizer` of two dimensions, built.
        points: (M, 2).
        wish: where a decoder would like to have each z_q moved, (M, 2); nowhere by default.
    """
    z_e = tf.constant(np.asarray(points, np.float32)[None])
    with tf.GradientTape() as tape:
        tape.watch(z_e)
        quantized = bottleneck(z_e, training=False)
        loss = sum(quantized.losses.values())
        if wish is not None:
            loss -= tf.reduce_mean(quantized.z_q * np.asarray(wish, np.float32)[None]) * 2.0
    at_codes, at_points = tape.gradient(loss, [bottleneck.codebook.value, z_e])
    unit = -z_e.shape[1] * z_e.shape[2] / 2.0  # the losses are means over points and dimensions
    size = bottleneck.num_embeddings
    counts = np.bincount(np.ravel(quantized.codes), minlength=size)[:, None]
    none = np.zeros((size, 2), np.float32)
    at_codes = none if at_codes is None else unit * np.array(tf.convert_to_tensor(at_codes))
    return at_codes / np.maximum(counts, 1), unit * np.array(at_points[0])
