"""The conditioner: speakers, added voices and their biases."""

import numpy as np
import pytest
from keras import ops

from vqwn_kit.models import Conditioner


def made(**settings) -> Conditioner:
    """Return a small conditioner of three speakers, built."""
    sizes = {"num_speakers": 3, "condition_dim": 4, "speaker_dim": 2}
    conditioner = Conditioner(**sizes | settings)
    conditioner.build()
    return conditioner


@pytest.fixture
def z_q(rng) -> np.ndarray:
    return rng.normal(size=(1, 6, 4)).astype(np.float32)


LAYERS = [{}, {"local_channels": 5}, {"local_channels": 5, "local_layers": 2}]


@pytest.mark.parametrize("settings", LAYERS)
def test_zeros_are_no_biases(settings, z_q):
    conditioner = made(**settings)
    voice = np.array([[0.3, -0.7]], np.float32)
    wide = np.pad(voice, ((0, 0), (0, conditioner.offset_channels)))
    np.testing.assert_array_equal(conditioner(z_q, wide), conditioner(z_q, voice))


def test_biases_are_those_of_the_layers(z_q, rng):
    """That of the join moves its own bias; the last one is added to the result."""
    conditioner = made(local_channels=5, local_layers=2)
    assert conditioner.offset_channels == 3 * 5
    voice = rng.normal(size=(1, 2)).astype(np.float32)
    join, last = rng.normal(size=(2, 5)).astype(np.float32)
    plain = np.array(conditioner(z_q, voice))
    moved = np.concatenate([voice[0], np.zeros(10), last])[None]
    np.testing.assert_allclose(conditioner(z_q, moved), plain + last, rtol=1e-5, atol=1e-5)
    moved = np.concatenate([voice[0], join, np.zeros(10)])[None]
    found = np.array(conditioner(z_q, moved))
    conditioner.join.bias.assign_add(join)
    np.testing.assert_allclose(found, conditioner(z_q, voice), rtol=1e-5, atol=1e-5)


def test_without_layers_the_bias_is_of_the_codes(z_q, rng):
    conditioner, bias = made(), rng.normal(size=4).astype(np.float32)
    voice = np.array([[0.5, 2.0]], np.float32)
    found = conditioner(z_q, np.concatenate([voice[0], bias])[None])
    np.testing.assert_allclose(found, conditioner(z_q + bias, voice), rtol=1e-6)


@pytest.mark.parametrize("learned", [False, True])
def test_added_voices_have_the_numbers_after_the_speakers(z_q, rng, learned):
    conditioner = made(local_channels=5, local_layers=1, learned_no_speaker=learned)
    known = [np.array(conditioner(z_q, np.array([n]))) for n in (-1, 0, 2)]
    added = rng.normal(size=(2, 2 + conditioner.offset_channels)).astype(np.float32)
    conditioner.speakers.set_added(added)
    again = [np.array(conditioner(z_q, np.array([n]))) for n in (-1, 0, 2)]
    np.testing.assert_array_equal(again, known)
    for number, vector in enumerate(added, start=3):
        found = conditioner(z_q, np.array([number]))
        np.testing.assert_array_equal(found, conditioner(z_q, vector[None]))
    assert len(ops.convert_to_numpy(conditioner.speakers.table)) == 3  # they are no weights
