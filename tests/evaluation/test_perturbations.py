"""Perturbations do what their names say, measured on the waveforms."""

import numpy as np
import pytest
from scipy.signal import welch

from vqwn_kit.evaluation.perturbations import (
    PERTURBATIONS,
    add_noise,
    change_level,
    limit_band,
    reverberate,
    shift_pitch,
    start_later,
    stretch_time,
)

RATE = 16_000
TIME = np.arange(RATE) / RATE


def sine(hertz):
    return (0.3 * np.sin(2 * np.pi * hertz * TIME)).astype(np.float32)


def loudest(waveform):
    """Return the frequency in Hz with the most power."""
    frequencies, power = welch(waveform, RATE, nperseg=4096)
    return frequencies[np.argmax(power)]


@pytest.mark.parametrize("name", PERTURBATIONS)
@pytest.mark.parametrize("length", [700, 4000])
def test_all_are_float32_finite_repeatable_and_leave_their_input(name, length, rng):
    waveform = rng.uniform(-0.5, 0.5, length).astype(np.float32)
    before = waveform.copy()
    first, second = (PERTURBATIONS[name](waveform, RATE) for _ in range(2))
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(waveform, before)
    if "faster" not in name:
        assert len(first) == length
    assert not np.allclose(first[:500], waveform[:500], atol=1e-3)


@pytest.mark.parametrize("rate", [0.9, 1.1])
def test_stretched_speech_has_another_length_and_the_same_pitch(rate):
    stretched = stretch_time(sine(500), RATE, rate)
    assert len(stretched) == pytest.approx(RATE / rate, abs=1)
    assert loudest(stretched) == pytest.approx(500, abs=4)


def test_shifted_speech_has_another_pitch_and_the_same_length():
    shifted = shift_pitch(sine(500), RATE)
    assert len(shifted) == RATE
    assert loudest(shifted) == pytest.approx(500 * 2 ** (2 / 12), abs=4)


@pytest.mark.parametrize("snr", [0.0, 20.0])
def test_noise_is_white_at_its_signal_to_noise_ratio(snr):
    noise = add_noise(sine(500), RATE, snr).astype(np.float64) - sine(500)
    assert 10 * np.log10(np.mean(sine(500) ** 2.0) / np.mean(noise**2)) == pytest.approx(
        snr, abs=1e-3
    )
    lag_1 = np.corrcoef(noise[1:], noise[:-1])[0, 1]
    assert abs(lag_1) < 0.03
    assert not add_noise(np.zeros(100), RATE).any()


def test_a_room_adds_a_tail_that_falls_by_60_db_in_its_time():
    click = np.zeros(RATE // 2, np.float32)
    click[0] = 1.0
    response = reverberate(click, RATE, 0.3).astype(np.float64)
    assert np.argmax(np.abs(response)) == 0
    assert response[0] ** 2 == pytest.approx(np.sum(response[1:] ** 2), rel=1e-3)
    places = np.array([0.05, 0.1, 0.15, 0.2, 0.25])
    levels = [
        10 * np.log10(np.mean(response[round((p - 0.02) * RATE) : round((p + 0.02) * RATE)] ** 2))
        for p in places
    ]
    assert np.polyfit(places, levels, 1)[0] == pytest.approx(-60 / 0.3, rel=0.1)
    assert np.abs(response[round(0.31 * RATE) :]).max() < 1e-4


def test_a_quieter_recording_is_the_same_times_a_factor():
    np.testing.assert_allclose(change_level(sine(500), RATE), sine(500) * 10**-0.5, rtol=1e-6)


def test_a_telephone_passes_its_band_only_and_delays_nothing():
    middle = slice(RATE // 4, -RATE // 4)

    def gain(hertz):
        passed = limit_band(sine(hertz), RATE)[middle]
        return 10 * np.log10(np.mean(passed**2.0) / np.mean(sine(hertz)[middle] ** 2.0))

    assert gain(1000) == pytest.approx(0.0, abs=0.1)
    assert gain(300) == pytest.approx(-6.0, abs=0.5)  # twice the 3 dB of one pass
    assert max(gain(100), gain(7000)) < -40
    np.testing.assert_allclose(limit_band(sine(1000), RATE)[middle], sine(1000)[middle], atol=2e-3)


def test_a_later_start_cuts_eighths_of_a_hop():
    np.testing.assert_array_equal(start_later(np.arange(1000), 160, 3), np.arange(60, 1000))
