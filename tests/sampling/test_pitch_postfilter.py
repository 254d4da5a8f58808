"""Noise between the harmonics of a voice is reduced, whatever parts a sound comes in."""

import numpy as np
import pytest

from tests.conftest import tones
from vqwn_kit.data.audio import SAMPLE_RATE
from vqwn_kit.sampling.pitch_postfilter import HOP, LONGEST, PitchPostfilter

SOUND = 0.1 * np.stack([tones(0.4, hertz, seed) for seed, hertz in enumerate((150, 240))])


def filtered(sound, strength=1.0, cuts=()) -> np.ndarray:
    """Return a sound (S', T), followed by its beginning, after the filter."""
    postfilter = PitchPostfilter(len(sound), strength)
    longer = np.concatenate([sound, sound[:, : postfilter.AFTER]], axis=1)
    made = [postfilter(part) for part in np.split(longer, cuts, axis=1)]
    return np.concatenate(made, axis=1)[:, : sound.shape[1]]


def voice(hertz: float, seconds: float = 0.5) -> np.ndarray:
    """Return pulses of a constant period through a resonance, (1, T)."""
    time = np.arange(round(seconds * SAMPLE_RATE))
    pulses = (np.diff(np.floor(time * hertz / SAMPLE_RATE), prepend=0.0) > 0).astype(float)
    decay = np.arange(200)
    resonance = np.exp(-decay / 30.0) * np.sin(2 * np.pi * 700.0 * decay / SAMPLE_RATE)
    return 0.3 * np.convolve(pulses, resonance)[: len(time)][None]


def power(sound) -> float:
    return float(np.mean(np.square(sound[:, 2 * LONGEST : -2 * LONGEST])))


@pytest.mark.parametrize("hertz", [80.0, 160.0, 320.0])
def test_a_voice_keeps_its_sound_and_loses_noise(hertz, rng):
    """The mean of three periods with weights 1/4, 1/2, 1/4 has 3/8 of the power of their noise."""
    clean = voice(hertz)
    noise = 0.25 * np.sqrt(power(clean)) * rng.normal(size=clean.shape)
    inside = slice(2 * LONGEST, -2 * LONGEST)  # periods are whole samples: nothing changes
    np.testing.assert_allclose(filtered(clean)[:, inside], clean[:, inside], atol=1e-6)
    left = power(filtered(clean + noise) - clean) / power(noise)
    assert 0.33 < left < 0.45


def test_a_gain_grows_with_the_strength(rng):
    clean = voice(160.0)
    noise = 0.25 * np.sqrt(power(clean)) * rng.normal(size=clean.shape)
    left = [power(filtered(clean + noise, s) - clean) / power(noise) for s in (0.0, 0.5, 1.0)]
    assert left[0] == pytest.approx(1.0, abs=1e-6)
    assert left[1] == pytest.approx((1 + 0.5 * 0.5**2) / 1.5**2, abs=0.06)
    assert left[2] < left[1] - 0.08


def test_the_gain_falls_with_the_correlation(rng):
    """Noise of 1.6 times the power of a voice leaves a correlation of 0.38, and a gain of 0.6."""
    clean = voice(160.0)
    noise = np.sqrt(1.6 * power(clean)) * rng.normal(size=clean.shape)
    left = power(filtered(clean + noise) - clean) / power(noise)
    assert left == pytest.approx((1 + 0.5 * 0.6**2) / 1.6**2, abs=0.07)


@pytest.mark.parametrize("hertz", [160.0, 320.0])
def test_periods_are_followed_in_noise_as_loud_as_the_voice(hertz, rng):
    """Neither doubled, nor another one in each frame."""
    clean = voice(hertz, 1.0)
    sound = clean + np.sqrt(power(clean)) * rng.normal(size=clean.shape)
    postfilter, periods = PitchPostfilter(1, 1.0), []
    for part in np.split(sound, range(HOP, sound.shape[1], HOP), axis=1):
        postfilter(part)
        periods += [*postfilter.periods[postfilter.periods > 0]]
    assert len(periods) > 100
    assert np.mean(np.abs(np.array(periods) * hertz / SAMPLE_RATE - 1) < 0.03) > 0.95


def test_of_periods_that_correlate_alike_the_shortest_is_taken(rng):
    """Where no period is known yet: one and five periods of a noisy voice differ by chance."""
    clean = voice(320.0, 1.0)
    sound = (clean + np.sqrt(0.5 * power(clean)) * rng.normal(size=clean.shape))[0]
    postfilter = PitchPostfilter(1, 1.0)
    starts = range(0, len(sound) - 2 * postfilter.REACH, HOP)
    found = [postfilter._period(sound[n:][: 2 * postfilter.REACH], 0)[0] for n in starts]
    assert np.mean(np.array(found) == 50) > 0.5


def test_noise_and_silence_stay_as_they_are(rng):
    """Of noise, correlations of 30 ms that exceed 0.2 in the mean of both sides are rare."""
    noise = rng.normal(0.0, 0.1, (1, 8000))
    assert power(filtered(noise) - noise) < 0.02 * power(noise)
    np.testing.assert_array_equal(filtered(np.zeros((1, 3000))), 0.0)


def test_a_gliding_pitch_is_followed():
    """From 120 to 200 Hz in half a second."""
    time = np.arange(8000) / SAMPLE_RATE
    cycles = 120.0 * time + 80.0 * time**2
    sound = sum(np.sin(2 * np.pi * k * cycles) / k for k in range(1, 6))[None]
    assert power(filtered(sound) - sound) < 0.02 * power(sound)


def test_parts_and_streams_do_not_matter():
    whole = filtered(SOUND, 0.7)
    assert whole.dtype == np.float32
    assert np.abs(whole - SOUND).max() > 1e-3
    np.testing.assert_array_equal(filtered(SOUND, 0.7, [0, 1, 80, 81, 900, 3000]), whole)
    np.testing.assert_array_equal(filtered(SOUND[1:], 0.7), whole[1:])


@pytest.mark.parametrize("length", [1, 79, 80, 81, 160, 1000])
def test_what_follows_a_sound_suffices_to_give_all_of_it_back(length, rng):
    postfilter = PitchPostfilter(2, 1.0)
    made = postfilter(rng.normal(size=(2, length + postfilter.AFTER)))
    assert length <= made.shape[1] <= length + postfilter.AFTER
