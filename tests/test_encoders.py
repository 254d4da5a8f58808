"""The encoders: frames exactly, receptive fields, and what each of them does."""

import numpy as np
import pytest

from vqwn_kit import (
    StridedConvEncoder,
)


@pytest.mark.parametrize(("kernel_size", "num_layers"), [(4, 6), (5, 6), (4, 3)])
def test_encoder_gives_exactly_one_frame_a_hop(kernel_size, num_layers):
    encoder = StridedConvEncoder(4, 3, kernel_size, num_layers)
    for frames in (1, 2, 7):
        wave = np.zeros((1, frames * encoder.hop_length, 1), "float32")
        assert encoder(wave).shape == (1, frames, 4)


def test_encoder_receptive_field_by_perturbation(rng):
    encoder = StridedConvEncoder(4, 3, 4, 4, batch_norm=False)
    wave = rng.uniform(0, 1, (1, 40 * 16, 1)).astype("float32")
    encoder(wave)
    encoder.set_weights([np.abs(weight) + 0.1 for weight in encoder.get_weights()])  # no ReLU off
    before = np.array(encoder(wave))[0, 20]
    touched = []
    for place in range(wave.shape[1]):
        other = wave.copy()
        other[0, place] += 1.0
        touched.append(not np.array_equal(before, np.array(encoder(other))[0, 20]))
    places = np.flatnonzero(touched)
    assert places[-1] - places[0] + 1 == encoder.receptive_field


def test_batch_normalisation_learns_its_statistics(rng):
    encoder = StridedConvEncoder(4, 3, 4, 2, batch_norm_momentum=0.5)
    wave = rng.uniform(-1, 1, (4, 256, 1)).astype("float32")
    encoder(wave)
    start = [norm.moving_variance.numpy() for norm in encoder.norms]
    for _ in range(30):
        trained = encoder(wave, training=True)
    moved = [norm.moving_variance.numpy() for norm in encoder.norms]
    assert all(np.abs(one - two).max() > 1e-4 for one, two in zip(start, moved, strict=True))
    assert np.allclose(trained, encoder(wave, training=False), atol=2e-2)
