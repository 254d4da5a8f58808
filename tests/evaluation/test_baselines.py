"""Units without training: frames like librosa's, k-means, random projection, codes by chance."""

import librosa
import numpy as np
import pytest

from tests.conftest import tones
from vqwn_kit.evaluation.baselines import (
    Normalised,
    Units,
    kmeans_units,
    mel_frames,
    mfcc_frames,
    projected_units,
    random_units,
)
from vqwn_kit.evaluation.metrics import NotMeasured

RATE, HOP = 16_000, 160
SPEECH = [tones(0.6, pitch, seed) for seed, pitch in enumerate((110.0, 150.0, 200.0, 260.0))]


def mfcc(waveform):
    return mfcc_frames(waveform, RATE, HOP)


def test_frames_are_centred_on_their_middles_and_equal_librosa():
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 2000).astype(np.float32)
    mel = mel_frames(wave, RATE, HOP)
    assert mel.shape == (13, 40)  # 2000 / 160, up
    settings = {"sr": RATE, "n_fft": 512, "hop_length": HOP, "n_mels": 40}
    padded = np.pad(wave, (0, 80))[HOP // 2 :]
    power = librosa.feature.melspectrogram(y=padded, **settings, pad_mode="constant")
    expected = librosa.power_to_db(power, top_db=None).T[:13]
    np.testing.assert_allclose(mel, expected, atol=1e-2)
    features = mfcc(wave)
    assert features.shape == (13, 39)
    cepstra = librosa.feature.mfcc(S=expected.T, n_mfcc=13)
    np.testing.assert_allclose(features[:, :13], cepstra.T, atol=1e-2)
    slopes = librosa.feature.delta(cepstra, mode="nearest")
    np.testing.assert_allclose(features[:, 13:26], slopes.T, atol=1e-2)


def test_a_click_is_in_the_frame_that_it_falls_into():
    click = np.zeros(3200, np.float32)
    click[7 * HOP + HOP // 2] = 1.0
    assert np.argmax(mel_frames(click, RATE, HOP).sum(axis=1)) == 7


def test_short_and_odd_lengths_have_a_frame_per_hop():
    for length in (1, HOP, HOP + 1, 5 * HOP - 3):
        assert mfcc(np.ones(length, np.float32)).shape == (-(-length // HOP), 39)


def test_features_are_normalised_over_the_training_speech():
    features = Normalised.fit(mfcc, SPEECH)
    frames = np.concatenate([features(wave) for wave in SPEECH])
    np.testing.assert_allclose(frames.mean(axis=0), 0.0, atol=1e-3)
    np.testing.assert_allclose(frames.std(axis=0), 1.0, atol=1e-3)


def test_kmeans_gives_the_nearest_centre_and_uses_its_codes():
    features = Normalised.fit(mfcc, SPEECH)
    units = kmeans_units(features, SPEECH, RATE / HOP, 8, seed=3)
    codes = [units.encode(wave) for wave in SPEECH]
    assert [len(part) for part in codes] == [60] * 4
    assert len(np.unique(np.concatenate(codes))) == 8
    frames, labels = np.concatenate([features(w) for w in SPEECH]), np.concatenate(codes)
    within = sum(
        ((part := frames[labels == k]) - part.mean(axis=0)).ravel()
        @ (part - part.mean(axis=0)).ravel()
        for k in range(8)
    )
    assert within < 0.6 * np.sum((frames - frames.mean(axis=0)) ** 2)
    again = kmeans_units(features, SPEECH, RATE / HOP, 8, seed=3)
    np.testing.assert_array_equal(again.encode(SPEECH[0]), codes[0])
    with pytest.raises(NotMeasured, match="K = 500 needs as many frames; training has 240"):
        kmeans_units(features, SPEECH, RATE / HOP, 500)


def test_a_random_projection_depends_on_its_seed_and_on_the_sound_only():
    first, second, other = (projected_units(SPEECH, RATE, HOP, 64, seed) for seed in (0, 0, 1))
    codes = first.encode(SPEECH[1])
    np.testing.assert_array_equal(codes, second.encode(SPEECH[1]))
    assert (codes != other.encode(SPEECH[1])).mean() > 0.5
    assert 0 <= codes.min()
    assert 4 < len(np.unique(np.concatenate([first.encode(wave) for wave in SPEECH]))) <= 64


def test_random_codes_are_uniform_and_the_same_for_the_same_sound():
    units = random_units(RATE, HOP, 4)
    long = np.zeros(4000 * HOP, np.float32)
    codes = units.encode(long)
    np.testing.assert_array_equal(codes, units.encode(long))
    assert np.bincount(codes, minlength=4) == pytest.approx(1000, abs=120)
    assert (units.encode(long + 1e-3) == codes).mean() == pytest.approx(0.25, abs=0.05)


def test_the_bit_rate_is_that_of_all_codebooks():
    assert Units("codes", lambda wave: wave, 50.0, 256, 3).bit_rate == pytest.approx(50 * 3 * 8)
