"""Receptive fields and occlusion sensitivity, measured from outside."""

import numpy as np
import pytest

from vqwn_kit import InputError
from vqwn_kit.lessons.receptive_field import measure_receptive_field, occlusion_sensitivity
from vqwn_kit.models.encoders import (
    DilatedConvEncoder,
    GatedConvEncoder,
    ResidualConvEncoder,
    StridedConvEncoder,
)

MAGENTA = {"filters": 8, "num_cycles": 1, "num_cycle_layers": 4, "hop_length": 32}
ENCODERS = {
    "64": (StridedConvEncoder, {"filters": 8, "kernel_size": 4}),
    "five taps": (StridedConvEncoder, {"filters": 8, "kernel_size": 5, "num_layers": 4}),
    "Magenta": (DilatedConvEncoder, MAGENTA),
    "2019": (ResidualConvEncoder, {"filters": 8, "features": "log_mel"}),
    "causal": (GatedConvEncoder, {"filters": 8, "dilations": (1, 2)}),
}


def built(name: str):
    encoder_class, keywords = ENCODERS[name]
    encoder = encoder_class(embedding_dim=4, **keywords)
    encoder(np.zeros((1, 4 * encoder.hop_length, 1), np.float32))
    return encoder


@pytest.mark.parametrize("name", ENCODERS)
def test_the_measured_receptive_field_is_the_computed_one(name):
    encoder = built(name)
    first, last = measure_receptive_field(encoder)
    assert last - first + 1 == encoder.receptive_field
    assert (last < 0) == (name == "causal")


def test_sensitivity_is_zero_outside_the_receptive_field_only(rng):
    encoder = built("64")
    wave = rng.uniform(-0.5, 0.5, 32 * 64).astype(np.float32)
    sensitivity = occlusion_sensitivity(encoder, wave, frame=16, block=64)
    first, last = (16 * 64 + end for end in measure_receptive_field(encoder))
    inside = (np.arange(32) * 64 + 63 >= first) & (np.arange(32) * 64 <= last)
    assert sensitivity.shape == (32,)
    assert np.array_equal(sensitivity > 0, inside)


def test_the_unit_of_sensitivity_is_the_spread_of_the_frames(rng):
    """With all of a frame's 64 samples zero, a linear encoder's change is the frame itself."""

    class Blocks:
        hop_length = 64

        def __call__(self, waveform, training):
            return waveform.reshape(len(waveform), -1, 64)

    wave = rng.normal(size=4 * 64).astype(np.float32)
    frames = wave.reshape(4, 64)
    spread = np.sqrt(((frames - frames.mean(axis=0)) ** 2).sum(axis=1).mean())
    expected = [0, 0, np.linalg.norm(frames[2]) / spread, 0]
    assert np.allclose(occlusion_sensitivity(Blocks(), wave, 2, 64), expected)


def test_a_frame_outside_the_waveform_is_refused():
    with pytest.raises(InputError, match="frame 9 of 128 samples; expected one of 2 frames"):
        occlusion_sensitivity(built("64"), np.zeros(150, np.float32), 9, 64)
