"""A codebook in two dimensions, and its figures."""

import numpy as np
import pytest

from vqwn_kit.lessons.codebook_2d import codebook_gradients, gaussian_clusters, train_codebook_2d
from vqwn_kit.lessons.plots import plot_gradient_planes, plot_planes
from vqwn_kit.models.vector_quantizers import VectorQuantizer, VectorQuantizerEMA

FAR = np.array([[1, 0.5], [-1, 0], [9, 9]], np.float32)  # the last code is nearest to no point


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    return gaussian_clusters(clusters=4, points=200, spread=0.1)


def test_cluster_means_lie_on_the_unit_circle():
    points = gaussian_clusters(clusters=4, points=4000, spread=0.1)
    assert points.dtype == np.float32
    right = points[(points[:, 0] > 0.5)]
    assert np.allclose(right.mean(axis=0), [1, 0], atol=0.02)
    assert np.allclose(right.std(axis=0), 0.1, atol=0.01)
    assert not np.array_equal(points, gaussian_clusters(4, 4000, 0.1, seed=1))


def test_codes_are_the_nearest_and_errors_their_squared_distances(points):
    history = train_codebook_2d(VectorQuantizer(3, 2), points, steps=0, start=FAR)
    distances = np.linalg.norm(points[:, None] - FAR, axis=-1)
    assert np.array_equal(history.codes[0], distances.argmin(axis=1))
    assert np.isclose(history.errors[0], (distances.min(axis=1) ** 2).mean())
    assert history.codes_used.tolist() == [2]
    assert np.array_equal(history.codebooks[0], FAR)


@pytest.mark.parametrize("quantizer", [VectorQuantizer, VectorQuantizerEMA])
def test_a_codebook_converges_to_the_cluster_means(quantizer, points):
    keywords = {"decay": 0.9} if quantizer is VectorQuantizerEMA else {}
    start = 0.3 * np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], np.float32)
    history = train_codebook_2d(quantizer(4, 2, **keywords), points, 60, start=start)
    assert history.codebooks.shape == (61, 4, 2)
    assert np.allclose(history.codebooks[-1], start / 0.3, atol=0.1)
    assert history.errors[-1] < 0.1 * history.errors[0]


def test_a_collapsed_codebook_recovers_when_dead_codes_are_reset(points):
    start = (5.0 + 0.1 * np.arange(8)[:, None] + np.zeros((8, 2))).astype(np.float32)
    kept = train_codebook_2d(VectorQuantizer(8, 2), points, 30, start=start)
    reset = train_codebook_2d(VectorQuantizer(8, 2), points, 30, start=start, reset_dead_every=10)
    assert kept.codes_used[-1] == 1
    assert np.array_equal(kept.codebooks[-1, 7], start[7])
    assert reset.codes_used[9] == 1
    assert reset.codes_used[10] == 7  # all that were unused; the code that had every point has none


def test_gradients_are_those_of_the_losses(points):
    """At points the commitment's share of e - z, at codes the way to the mean of their points."""
    for joint, share in ((False, 0.25), (True, 1.0)):
        quantizer = VectorQuantizer(3, 2, commitment_cost=0.25, joint=joint)
        codes = train_codebook_2d(quantizer, points, steps=0, start=FAR).codes[0]
        at_codes, at_points = codebook_gradients(quantizer, points)
        assert np.allclose(at_points, share * (FAR[codes] - points), atol=1e-5)
        means = np.array([points[codes == code].mean(axis=0) for code in (0, 1)])
        assert np.allclose(at_codes[:2], means - FAR[:2], atol=1e-4)
        assert np.array_equal(at_codes[2], [0, 0])


def test_the_decoders_gradient_passes_to_points_and_not_to_codes(points):
    for quantizer in (VectorQuantizer(3, 2), VectorQuantizerEMA(3, 2)):
        train_codebook_2d(quantizer, points, steps=0)
        codes_before, points_before = codebook_gradients(quantizer, points)
        at_z_q = np.tile([0.0, 0.5], (len(points), 1))
        codes_after, points_after = codebook_gradients(quantizer, points, at_z_q)
        assert np.allclose(points_after - points_before, at_z_q, atol=1e-5)
        assert np.array_equal(codes_after, codes_before)


def test_figures_show_codes_paths_and_gradients(points):
    quantizer = VectorQuantizer(3, 2)
    history = train_codebook_2d(quantizer, points, 3, start=FAR)
    panel = (points, history.codebooks, history.codes[-1])
    figure = plot_planes({"left": panel, "right": panel}, limit=2.0)
    assert [ax.get_title() for ax in figure.axes] == ["left", "right"]
    assert figure.axes[0].get_xlim() == (-2.0, 2.0)
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["points", "codes", "unused codes"]
    at_codes, at_points = codebook_gradients(quantizer, points)
    panel = (points, history.codebooks[-1], at_points, at_codes)
    figure = plot_gradient_planes({"gradients": panel})
    point_arrows, code_arrows = figure.axes[0].collections[1], figure.axes[0].collections[3]
    assert np.allclose(np.stack([point_arrows.U, point_arrows.V], axis=1), at_points)
    assert np.allclose(np.stack([code_arrows.U, code_arrows.V], axis=1), at_codes)
