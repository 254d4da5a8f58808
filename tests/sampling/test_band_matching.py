"""The spectrum of a sound is brought to given bands, whatever parts the sound comes in."""

import librosa
import numpy as np
import pytest

from tests.conftest import tones
from vqwn_kit.models.mel import LogMel
from vqwn_kit.sampling.band_matching import MOST_DOWN, MOST_UP, BandMatching

HOP, FRAMES = 160, 40
SOUND = 0.1 * np.stack([tones(0.4, hertz, seed) for seed, hertz in enumerate((150, 240))])


@pytest.fixture(scope="module")
def spectrum() -> LogMel:
    layer = LogMel(HOP)
    layer.build()
    return layer


def bands_of(spectrum: LogMel, sound: np.ndarray) -> np.ndarray:
    return np.array(spectrum(sound[..., None]))


def matched(spectrum, sound, change, share, cuts=()) -> np.ndarray:
    """Return a sound whose own bands, plus a change in dB, are given; it comes in parts."""
    after = BandMatching(spectrum, np.zeros((1, 1, 80)), share).frames_after
    longer = np.concatenate([sound, sound[:, : after * HOP]], axis=1)  # what follows it
    matching = BandMatching(spectrum, bands_of(spectrum, longer) + change, share)
    made = [matching(part) for part in np.split(longer, cuts, axis=1)]
    return np.concatenate(made, axis=1)[:, : sound.shape[1]]


def test_a_sound_that_has_its_bands_stays_as_it_is(spectrum):
    made = matched(spectrum, SOUND, 0.0, 1.0)
    assert made.shape == SOUND.shape
    np.testing.assert_allclose(made, SOUND, atol=1e-5)
    np.testing.assert_allclose(matched(spectrum, SOUND, 6.0, 0.0), SOUND, atol=1e-6)


@pytest.mark.parametrize("hop", [64, 160, 320])
def test_what_follows_a_sound_suffices_to_give_all_of_it_back(hop, rng):
    layer = LogMel(hop)
    layer.build()
    noise = rng.normal(0.0, 0.1, (1, 20 * hop))
    matching = BandMatching(layer, bands_of(layer, noise), 1.0)
    frames = 20 - matching.frames_after
    made = matching(noise)
    assert made.shape[1] >= frames * hop
    np.testing.assert_allclose(made[:, : frames * hop], noise[:, : frames * hop], atol=1e-5)


@pytest.mark.parametrize(("share", "change"), [(1.0, 6.0), (0.5, 6.0), (1.0, -9.0)])
def test_a_level_changes_by_its_share(spectrum, share, change):
    made = matched(spectrum, SOUND, change, share)
    np.testing.assert_allclose(made, SOUND * 10 ** (share * change / 20), atol=1e-4)


def test_changes_have_limits(spectrum):
    for change, most in ((40.0, MOST_UP), (-90.0, -MOST_DOWN)):
        made = matched(spectrum, SOUND, change, 1.0)
        np.testing.assert_allclose(made, SOUND * 10 ** (most / 20), rtol=1e-3, atol=1e-4)


def test_noise_gets_the_bands_of_another_sound(spectrum, rng):
    """Its error falls to a third, and that of a level or tilt alone would not."""
    noise = 0.03 * rng.normal(size=(1, FRAMES * HOP))
    target = bands_of(spectrum, librosa.effects.preemphasis(0.1 * rng.normal(size=noise.shape)))
    target[..., 20:30] -= 15.0
    made = BandMatching(spectrum, target, 1.0)(noise)
    inner = slice(2, made.shape[1] // HOP - 2)
    made = np.pad(made, ((0, 0), (0, noise.shape[1] - made.shape[1])))
    before, after = (
        np.sqrt(np.mean((bands_of(spectrum, x) - target)[:, inner] ** 2)) for x in (noise, made)
    )
    assert after < before / 3


def test_parts_and_streams_do_not_matter(spectrum, rng):
    change = rng.normal(0.0, 5.0, (1, 1, 80))
    whole = matched(spectrum, SOUND, change, 0.7)
    cut = matched(spectrum, SOUND, change, 0.7, [0, 1, 160, 161, 900, 3000])
    np.testing.assert_array_equal(cut, whole)
    alone = matched(spectrum, SOUND[1:], change, 0.7)
    np.testing.assert_array_equal(alone, whole[1:])


def test_bands_come_in_parts_and_those_of_past_frames_are_dropped(spectrum, rng):
    bands = bands_of(spectrum, SOUND) + rng.normal(0.0, 5.0, (2, FRAMES, 80))
    whole = BandMatching(spectrum, bands, 0.7)(SOUND)
    matching, made = BandMatching(spectrum, bands[:, :12], 0.7), []
    for start in range(0, FRAMES, 10):
        if start and start + 2 < FRAMES:
            matching.extend(bands[:, start + 2 :][:, :10])
        made.append(matching(SOUND[:, start * HOP : (start + 10) * HOP]))
        assert matching.bands.shape[1] <= 24
    np.testing.assert_array_equal(np.concatenate(made, axis=1), whole)
