"""Measures of sampled sounds, on sounds whose answer is known."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tests.conftest import ROOT, tones
from vqwn_kit.evaluation import external
from vqwn_kit.evaluation.audio_metrics import (
    Sound,
    griffin_lim,
    score_content,
    score_quality,
    score_targets,
    score_voices,
)
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.models.mel import LogMel


def scored(score, context, *sounds) -> ScoreCard:
    card = ScoreCard({})
    score(card, context, list(sounds))
    return card


@pytest.fixture
def original(voices) -> Sound:
    """The first held-out recording."""
    number = voices.held_out[0]
    return Sound(number, "original", voices.speaker(number), voices.store.waveform(number))


@pytest.fixture
def noise(original, rng) -> Sound:
    wave = rng.normal(0, 0.1, len(original.waveform)).astype(np.float32)
    return Sound(original.number, "reconstruction", original.voice, wave)


def again(sound: Sound) -> Sound:
    return Sound(sound.number, "reconstruction", sound.voice, sound.waveform)


def test_the_probe_classifies_recordings_and_recordings_with_noise(voices, rng):
    """Noise is 15 dB below the speech; unconverted recordings are classified as the source."""
    sounds = []
    for number in voices.held_out:
        wave, voice = voices.store.waveform(number), voices.speaker(number)
        noise = 10 ** (-15 / 20) * wave.std() * rng.normal(size=len(wave))
        target = "joe" if voice != "joe" else "alpha"
        sounds.append(Sound(number, "original", voice, wave))
        sounds.append(Sound(number, "reconstruction", voice, wave + noise))
        sounds.append(Sound(number, "conversion", target, wave))
    card = scored(score_voices, voices, *sounds)
    assert card["speaker-probe accuracy, original"].value == 100
    assert card["speaker-probe accuracy, reconstruction"].value >= 80
    assert card["conversion classified as source speaker"].value == 100
    assert card["speaker-probe accuracy, conversion"].value == 0


def test_a_recording_is_at_distance_0_from_itself(voices, original, noise):
    name = "mel-cepstral distance, reconstruction"
    assert scored(score_quality, voices, original, again(original))[name].value == 0.0
    assert scored(score_quality, voices, original, noise)[name].value > 5.0
    skipped = scored(score_targets, voices, original, noise).skipped
    assert "no conversion" in skipped["mel-cepstral distance, conversion"]


@pytest.mark.eval
def test_a_recording_is_its_own_best_reconstruction(voices, original, noise):
    best = scored(score_quality, voices, original, again(original))
    worst = scored(score_quality, voices, original, noise)
    assert best["pitch error, reconstruction"].value == 0.0
    assert best["voicing error, reconstruction"].value == 0.0
    assert best["STOI, reconstruction"].value == pytest.approx(1.0)
    assert worst["STOI, reconstruction"].value < 0.5
    quality, real = "DNSMOS P.808, reconstruction", best["DNSMOS P.808, original"].value
    assert best[quality].value == real > worst[quality].value
    rounded = best["DNSMOS P.808, original in levels"].value
    assert worst[quality].value < rounded < real + 0.05


@pytest.mark.eval
def test_phone_errors_of_a_recording_of_noise_and_of_another_sentence(voices, rng):
    first, second = [n for n in voices.held_out if voices.speaker(n) == "kumo"]
    wave = voices.store.waveform(first)
    original = Sound(first, "original", "kumo", wave)
    wrong = Sound(first, "conversion", "joe", voices.store.waveform(second))
    card = scored(score_content, voices, original, again(original), wrong)
    assert card["phone error, reconstruction"].value < 0.25
    assert card["phone error to original, reconstruction"].value == 0.0
    assert card["phone error, conversion"].value > 0.6
    assert card["phone error to original, conversion"].value > 0.6
    noise = Sound(first, "reconstruction", "kumo", rng.normal(0, 0.1, len(wave)))
    card = scored(score_content, voices, original, noise)
    assert card["phone error, reconstruction"].value > 0.8


def test_conversions_are_compared_with_the_targets_own_reading(voices):
    """The target's own reading, taken for a conversion, is at distance 0; the source is not."""
    number = next(n for n in voices.held_out if voices.speaker(n) == "kumo")
    utterances, waveform = voices.store.corpus.utterances, voices.store.waveform
    same = (u.speaker == "joe" and u.text == utterances[number].text for u in utterances)
    reading = list(same).index(True)
    original = Sound(number, "original", "kumo", waveform(number))
    conversion = Sound(number, "conversion", "joe", waveform(reading))
    card = scored(score_targets, voices, original, conversion)
    assert card["mel-cepstral distance, conversion"].value == 0.0
    assert card["mel-cepstral distance, source to target"].value > 2.0


def test_a_missing_package_is_named_and_the_card_continues(voices, original, monkeypatch):
    monkeypatch.setitem(sys.modules, "hama", None)
    monkeypatch.setitem(sys.modules, "pystoi", None)
    external._hama.cache_clear()
    content = scored(score_content, voices, original, again(original))
    quality = scored(score_quality, voices, original, again(original))
    external._hama.cache_clear()
    assert "hama is not installed" in content.skipped["phone error, reconstruction"]
    assert "pip install" in quality.skipped["STOI, reconstruction"]
    assert quality["mel-cepstral distance, reconstruction"].value == 0.0


def test_griffin_and_lims_method_synthesises_the_given_bands():
    """Of a first stage that predicts the true bands of a waveform."""
    wave, spectrum = tones(1.0, 220.0), LogMel(160)
    bands = np.array(spectrum(wave[None, :, None]))
    decoder = SimpleNamespace(
        spectrum=spectrum, conditioner=lambda z_q, speakers: z_q, bands=lambda z_q: z_q
    )
    model = SimpleNamespace(
        hop_length=160,
        decoder=decoder,
        speaker_ids=lambda voices: np.arange(len(voices)),
        vector_quantize=lambda batch: SimpleNamespace(z_q=bands),
    )
    waves = griffin_lim(model, wave, ["a", "b"], seed=3)
    assert waves.shape == (2, 16_000)
    np.testing.assert_array_equal(*waves)
    assert np.std(waves[0]) == pytest.approx(np.std(wave), rel=0.1)
    true, made = (np.array(spectrum(w[None, :, None]))[0, 3:-3] for w in (wave, waves[0]))
    loud = true > true.max() - 30
    assert np.abs(made - true)[loud].mean() < 1.5  # dB
    np.testing.assert_array_equal(waves, griffin_lim(model, wave, ["a", "b"], seed=3))


@pytest.mark.eval
def test_the_script_that_chooses_postfilter_and_temperature(full, parallel):
    script = [sys.executable, ROOT / "scripts" / "choose_sampling.py", full[0].folder, "--data"]
    command = [*script, parallel.corpus.folder, "--sentences", "2", "--temperature", "1", "0.5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == ["0, 1", "0, 0.5"]  # without LPC there is one postfilter
    assert all(float(row[1]) > 0 and 1 < float(row[2]) < 5 for row in rows)
