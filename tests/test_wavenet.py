"""The decoders: causality, conditions, and the distribution of a level."""

import numpy as np

from tests.conftest import small_wavenet
from vqwn_kit import build_model, load_preset


def test_wavenet_is_causal_and_its_receptive_field_is_the_formula(rng):
    wavenet = small_wavenet(residual_channels=16, gate_channels=16, skip_channels=16)
    length = 64
    previous = rng.uniform(-1, 1, (1, length, 1)).astype("float32")
    local, speaker = rng.normal(size=(1, 4, 4)).astype("float32"), np.array([1])
    out = np.array(wavenet(previous, local, speaker))[0, 50]
    touched = []
    for place in range(length):
        other = previous.copy()
        other[0, place] += 0.5
        touched.append(not np.array_equal(out, np.array(wavenet(other, local, speaker))[0, 50]))
    places = np.flatnonzero(touched)
    assert places[-1] == 50
    assert places[-1] - places[0] + 1 == wavenet.receptive_field == 4 + 2 * 7


def test_published_receptive_field_and_parameter_count():
    """Facts of the predecessor: 6170 samples; 35,151,105 with its step counter of 1."""
    model = build_model(load_preset("seed"), [f"p{number}" for number in range(109)])
    assert model.decoder.receptive_field == 6170
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == 35_151_105 - 1


def test_each_frame_conditions_its_own_samples_and_no_earlier_ones(rng):
    wavenet = small_wavenet()
    previous = rng.uniform(-1, 1, (1, 32, 1)).astype("float32")
    local, speaker = rng.normal(size=(1, 4, 4)).astype("float32"), np.array([0])
    before = np.array(wavenet(previous, local, speaker))
    local[0, 2] += 1.0
    changed = np.abs(np.array(wavenet(previous, local, speaker)) - before).max(-1)[0] > 0
    assert not changed[:16].any()
    assert changed[16:24].all()


def test_no_speaker_is_neither_the_first_nor_the_last(rng):
    wavenet = small_wavenet()
    inputs = rng.uniform(-1, 1, (4, 8, 1)).astype("float32"), np.zeros((4, 2, 4), "float32")
    inputs = (np.repeat(inputs[0][:1], 4, 0), inputs[1])
    out = np.array(wavenet(*inputs, np.array([-1, 0, 1, 2])))
    assert all(np.abs(out[0] - out[other]).max() > 1e-4 for other in (1, 2, 3))
    assert not np.array(wavenet.speaker_vectors(np.array([-1]))).any()
