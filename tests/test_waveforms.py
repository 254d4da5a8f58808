"""Arrays that users give: each is the sound that it holds, or is refused by name."""

import numpy as np
import pytest

from tests.conftest import tones
from vqwn_kit import InputError
from vqwn_kit.waveforms import as_waveform, as_waveforms, divisor, mono

WAVE = tones(0.1, 200.0)
SIXTEEN = np.round(WAVE * 32768).astype(np.int16)


@pytest.mark.parametrize(
    "given",
    [
        WAVE.astype(np.float64),
        WAVE.tolist(),
        SIXTEEN,
        SIXTEEN.astype(np.int32),
        SIXTEEN.astype(np.int64),
        SIXTEEN.astype(np.float32),
        SIXTEEN.astype(np.float64) + 0.25,  # resampled: no whole numbers
        np.round(WAVE * 2.0**31).astype(np.int32),
        WAVE[None],
        WAVE[:, None],
        WAVE[None, :, None],
        np.stack([WAVE, WAVE], 1),
        np.stack([SIXTEEN] * 6, 1),
        np.stack([WAVE, -WAVE], 1),
        np.stack([0.5 * WAVE, -WAVE, 0.5 * WAVE], 1) * [1, -1, 1],
    ],
    ids=str,
)
def test_every_form_of_a_recording_is_the_same_sound(given):
    wave = as_waveform(given)
    assert wave.dtype == np.float32
    expected = WAVE * (2 / 3 if np.shape(given)[-1:] == (3,) else 1)
    assert wave == pytest.approx(expected, abs=2 / 32768)


def test_eight_bits_are_centred_and_what_is_too_loud_is_clipped():
    assert as_waveform(np.array([0, 128, 255], np.uint8)).tolist() == [-1, 0, 127 / 128]
    loud = np.array([2.0, -3.0, 0.5])
    assert as_waveform(loud).tolist() == [1, -1, 0.5]
    assert as_waveform(loud, clip=False).tolist() == [2, -3, 0.5]
    assert as_waveforms(loud).tolist() == [[2, -3, 0.5]]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.array([0.1, np.nan]), "anna: some samples are not finite"),
        (np.array([0.1, -np.inf]), "anna: some samples are not finite"),
        (np.zeros(0), r"anna: a waveform of shape \(0,\)"),
        (np.zeros((2, 9)), r"anna: a waveform of shape \(2, 9\)"),
        (np.zeros((2, 2, 2)), "anna: a waveform of shape"),
        (np.zeros((100, 9)), "anna: a waveform of shape"),
        (np.float32(0.5), "anna: a waveform of shape"),
        (np.array([True, False]), "anna: an array of bool"),
        (np.array([1j, 0]), "anna: an array of complex128"),
        (np.array(["a"]), "anna: an array of <U1"),
        (np.array([1 << 40, 0]), "anna: an array of int64"),
        (np.array([1, 2], np.uint16), "anna: an array of uint16"),
        (np.array([0.5, 1e6]), r"anna: samples of up to 1e\+06"),
    ],
)
def test_what_is_no_recording_is_refused_by_name(given, message):
    with pytest.raises(InputError, match=message):
        as_waveform(given, "anna")


def test_a_batch_keeps_its_rows_and_channels_are_no_rows():
    batch = np.stack([WAVE, 0.5 * WAVE])
    assert np.array_equal(as_waveforms(batch), batch)
    assert np.array_equal(as_waveforms(batch[..., None]), batch)
    assert as_waveforms(batch.T).shape == (1, len(WAVE))
    with pytest.raises(InputError, match=r"\(B, T\) or \(B, T, 1\)"):
        as_waveforms(np.zeros((2, 9, 2)))


def test_channels_are_averaged_and_of_cancelling_ones_the_loudest_is_used(rng):
    noise = rng.normal(size=(1000, 2)).astype(np.float32)
    mean, channel = mono(noise)
    assert channel is None
    assert mean == pytest.approx(noise.mean(axis=1), abs=1e-6)
    wave, channel = mono(np.stack([-0.98 * WAVE, WAVE], 1))
    assert channel == 1
    assert np.array_equal(wave, WAVE)
    assert mono(np.zeros((9, 2), np.float32))[1] is None  # silence cancels nothing


def test_the_scale_of_floats_follows_from_their_largest_value():
    assert divisor(8.0, False, "x") == divisor(1.0, True, "x") == divisor(0.0, True, "x") == 1
    assert (
        divisor(2.0, True, "x") == divisor(8.5, False, "x") == divisor(40_000, False, "x") == 32768
    )
