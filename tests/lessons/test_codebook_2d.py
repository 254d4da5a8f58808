"""A codebook on a plane, and its figures."""

import numpy as np
import pytest

from vqwn_kit.lessons import plots as toy_views
from vqwn_kit.lessons.codebook_2d import codebook_pulls, follow_codebook, point_clouds
from vqwn_kit.models.bottlenecks import VectorQuantizer, VectorQuantizerEMA


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    return point_clouds(clouds=4, points=200, spread=0.1)


def test_clouds_stand_on_a_ring():
    points = point_clouds(clouds=4, points=4000, spread=0.1)
    assert points.dtype == np.float32
    right = points[(points[:, 0] > 0.5)]
    assert np.allclose(right.mean(axis=0), [1, 0], atol=0.02)
    assert np.allclose(right.std(axis=0), 0.1, atol=0.01)
    assert not np.array_equal(points, point_clouds(4, 4000, 0.1, seed=1))


def test_codes_are_the_nearest_and_errors_their_distance(points):
    start = np.array([[1, 0], [-1, 0], [9, 9]], np.float32)
    motion = follow_codebook(VectorQuantizer(3, 2), points, steps=0, start=start)
    distances = np.linalg.norm(points[:, None] - start, axis=-1)
    assert np.array_equal(motion.codes[0], distances.argmin(axis=1))
    assert np.isclose(motion.errors[0], (distances.min(axis=1) ** 2).mean())
    assert motion.codes_used.tolist() == [2]
    assert np.array_equal(motion.codebooks[0], start)


@pytest.mark.parametrize("known", [VectorQuantizer, VectorQuantizerEMA])
def test_a_codebook_finds_the_clouds(known, points):
    keywords = {"decay": 0.9} if known is VectorQuantizerEMA else {}
    start = 0.3 * np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], np.float32)
    motion = follow_codebook(known(4, 2, **keywords), points, 60, start=start)
    assert motion.codebooks.shape == (61, 4, 2)
    assert np.allclose(motion.codebooks[-1], start / 0.3, atol=0.1)
    assert motion.errors[-1] < 0.1 * motion.errors[0]


def test_what_collapsed_is_revived(points):
    start = (5.0 + 0.1 * np.arange(8)[:, None] + np.zeros((8, 2))).astype(np.float32)
    alone = follow_codebook(VectorQuantizer(8, 2), points, 30, start=start)
    revived = follow_codebook(VectorQuantizer(8, 2), points, 30, start=start, reset_dead_every=10)
    assert alone.codes_used[-1] == 1
    assert np.array_equal(alone.codebooks[-1, 7], start[7])
    assert revived.codes_used[9] == 1
    assert revived.codes_used[10] == 7  # those that had none; now the one that had all has none


def test_pulls_are_those_of_the_losses(points):
    """Frames by the commitment's share of the way, codes all the way to their points' mean."""
    start = np.array([[1, 0.5], [-1, 0], [9, 9]], np.float32)
    for joint, share in ((False, 0.25), (True, 1.0)):
        quantizer = VectorQuantizer(3, 2, commitment_cost=0.25, joint=joint)
        motion = follow_codebook(quantizer, points, steps=0, start=start)
        at_codes, at_points = codebook_pulls(quantizer, points)
        codes = motion.codes[0]
        assert np.allclose(at_points, share * (start[codes] - points), atol=1e-5)
        means = np.array([points[codes == code].mean(axis=0) for code in (0, 1)])
        assert np.allclose(at_codes[:2], means - start[:2], atol=1e-4)
        assert np.array_equal(at_codes[2], [0, 0])


def test_a_decoders_wish_reaches_frames_alone(points):
    for known in (VectorQuantizer, VectorQuantizerEMA):
        quantizer = known(3, 2)
        follow_codebook(quantizer, points, steps=0)
        before, without = codebook_pulls(quantizer, points)
        wish = np.tile([0.0, 0.5], (len(points), 1))
        after, wished = codebook_pulls(quantizer, points, wish)
        assert np.allclose(wished - without, wish, atol=1e-5)
        assert np.array_equal(after, before)


def test_figures_of_the_plane(points):
    start = np.array([[1, 0], [-1, 0], [9, 9]], np.float32)
    quantizer = VectorQuantizer(3, 2)
    motion = follow_codebook(quantizer, points, 3, start=start)
    plane = (points, motion.codebooks, motion.codes[-1])
    figure = toy_views.plot_planes({"one": plane, "two": plane}, limit=2.0)
    assert [ax.get_title() for ax in figure.axes] == ["one", "two"]
    assert figure.axes[0].get_xlim() == (-2.0, 2.0)
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["points", "codes", "unused codes"]
    at_codes, at_points = codebook_pulls(quantizer, points)
    picture = (points, motion.codebooks[-1], at_points, at_codes)
    figure = toy_views.plot_pulls_beside({"pulls": picture})
    frames, codes = figure.axes[0].collections[1], figure.axes[0].collections[3]
    assert np.allclose(np.stack([frames.U, frames.V], axis=1), at_points)
    assert np.allclose(np.stack([codes.U, codes.V], axis=1), at_codes)
