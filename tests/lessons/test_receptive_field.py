"""Receptive fields and sensitivity, measured from outside."""

import numpy as np
import pytest

from vqwn_kit import InputError
from vqwn_kit.lessons.receptive_field import listening_profile, reach
from vqwn_kit.models.encoders import (
    DilatedConvEncoder,
    GatedConvEncoder,
    ResidualConvEncoder,
    StridedConvEncoder,
)

ENCODERS = {
    "64": (StridedConvEncoder, {"filters": 8, "kernel_size": 4}),
    "five taps": (StridedConvEncoder, {"filters": 8, "kernel_size": 5, "num_layers": 4}),
    "Magenta": (
        DilatedConvEncoder,
        {"filters": 8, "num_cycles": 1, "num_cycle_layers": 4, "hop_length": 32},
    ),
    "2019": (ResidualConvEncoder, {"filters": 8, "features": "log_mel"}),
    "causal": (GatedConvEncoder, {"filters": 8, "dilations": (1, 2)}),
}


def built(name: str):
    known, keywords = ENCODERS[name]
    encoder = known(embedding_dim=4, **keywords)
    encoder(np.zeros((1, 4 * encoder.hop_length, 1), np.float32))
    return encoder


@pytest.mark.parametrize("name", ENCODERS)
def test_measured_reach_is_the_receptive_field(name):
    encoder = built(name)
    first, last = reach(encoder)
    assert last - first + 1 == encoder.receptive_field
    assert (last < 0) == (name == "causal")


def test_profile_is_zero_outside_the_reach_and_not_inside(rng):
    encoder = built("64")
    wave = rng.uniform(-0.5, 0.5, 32 * 64).astype(np.float32)
    profile = listening_profile(encoder, wave, frame=16, block=64)
    first, last = (16 * 64 + end for end in reach(encoder))
    inside = np.arange(32) * 64 + 63 >= first
    inside &= np.arange(32) * 64 <= last
    assert profile.shape == (32,)
    assert (profile[inside] > 0).all()
    assert (profile[~inside] == 0).all()


def test_profile_is_told_in_units_of_how_much_frames_vary(rng):
    """All of the frame's 64 samples silent: a linear encoder's change is its frame itself."""

    class Blocks:
        hop_length = 64

        def __call__(self, waveform, training):
            return waveform.reshape(len(waveform), -1, 64)

    wave = rng.normal(size=4 * 64).astype(np.float32)
    frames = wave.reshape(4, 64)
    spread = np.sqrt(((frames - frames.mean(axis=0)) ** 2).sum(axis=1).mean())
    expected = [0, 0, np.linalg.norm(frames[2]) / spread, 0]
    assert np.allclose(listening_profile(Blocks(), wave, 2, 64), expected)


def test_profile_of_a_frame_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="frame 9 of 128 samples; expected one of 2 frames"):
        listening_profile(built("64"), np.zeros(150, np.float32), 9, 64)
