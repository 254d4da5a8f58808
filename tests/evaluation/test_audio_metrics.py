"""Measures of sampled sounds, on sounds whose answer is known."""

import re
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

import vqwn_kit as vq
from tests.conftest import ROOT
from tests.evaluation.conftest import untrained
from vqwn_kit.evaluation import audio_metrics, external
from vqwn_kit.evaluation.audio_metrics import (
    FLOOR,
    Sound,
    mel_windows,
    sample_sounds,
    score_content,
    score_naturalness,
    score_quality,
    score_targets,
    score_voices,
)
from vqwn_kit.evaluation.context import evaluation_context
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.presets.preset import load_preset


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


def test_thirty_sampled_utterances_are_all_sentences_and_five_by_each_voice(monkeypatch, tmp_path):
    def unchanged(model, waves, voices, **settings):
        return [np.stack([wave] * len(names)) for wave, names in zip(waves, voices, strict=True)]

    monkeypatch.setattr(audio_metrics, "convert_many", unchanged)
    store = vq.prepare(vq.example_corpus(), progress=False)
    context = evaluation_context(untrained(tmp_path, store), store, progress=False)
    for sampled, by_voice in ((30, {5}), (8, {1, 2})):
        sounds = sample_sounds(ScoreCard({}), context, sampled, 1, 1.0)
        numbers = [sound.number for sound in sounds if sound.kind == "original"]
        assert len(set(context.sentences(numbers))) == min(sampled, 25)
        assert set(Counter(map(context.speaker, numbers)).values()) == by_voice


def mean_spectrum(waveform: np.ndarray) -> np.ndarray:
    """Return a fast speaker embedding: the mean log-mel spectrum, of norm 1."""
    spectrum = (mel_windows(waveform, 16_000) - FLOOR).mean(axis=0)
    return spectrum / np.linalg.norm(spectrum)


def test_probe_and_embedding_classify_recordings_and_recordings_with_noise(
    voices, rng, monkeypatch
):
    """Noise is 15 dB below the speech; unconverted recordings are classified as the source."""
    monkeypatch.setattr(audio_metrics, "voice_embedding", mean_spectrum)
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
    row = card["speaker-probe accuracy, conversion"]
    assert (row.value, row.n, row.of) == (0, 2, "sentences, 6 sounds")  # three speakers read both
    assert list(row.sentences.values()) == [0, 0]
    embedding = "{} nearest the target, independent embedding"
    assert card[embedding.format("original")].value == 100
    assert card[embedding.format("conversion")].value == 0


def test_of_one_speaker_there_is_no_nearest(voices, original, monkeypatch):
    speaker = voices.speaker(voices.train[0])
    alone = [number for number in voices.train if voices.speaker(number) == speaker]
    monkeypatch.setattr(voices, "train", np.array(alone))
    card = scored(score_voices, voices, original)
    name = "original nearest the target, independent embedding"
    assert "only one speaker" in card.skipped[name]


def test_a_recording_is_at_distance_0_from_itself(voices, original, noise):
    name = "mel-cepstral distance, reconstruction"
    assert scored(score_quality, voices, original, again(original))[name].value == 0.0
    worst = scored(score_quality, voices, original, noise)
    assert worst[name].value > 5.0
    contrast = worst["spectral contrast error, reconstruction"]
    assert contrast.value > 1.0
    assert f"{-contrast.value:+.2f} dB with its sign" in contrast.note  # noise is flatter
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


@pytest.mark.eval
def test_noise_sounds_worse_than_the_recording_and_levels_hardly_do(voices, original, noise):
    best = scored(score_naturalness, voices, original, again(original))
    worst = scored(score_naturalness, voices, original, noise)
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


@pytest.mark.eval
@pytest.mark.slow
def test_the_script_that_chooses_settings_of_synthesis(full, parallel, tmp_path):
    script = [sys.executable, ROOT / "scripts" / "choose_sampling.py", full[0].folder, "--data"]
    command = [*script, parallel.corpus.folder, "--sentences", "2", "--temperature", "1", "0.5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[2:]]
    assert [row[:5] for row in rows] == [["0"] * 4 + ["1"], ["0"] * 4 + ["0.5"]]
    for row in rows:
        measured = list(map(float, row[5:]))
        assert len(measured) == 8
        for error, opinion, voicing, level in (measured[:4], measured[4:]):
            assert error > 0
            assert 1 < opinion < 5
            assert 0 <= voicing <= 100
            assert -60 < level < 40
    of_bands = untrained(tmp_path, parallel, **load_preset("tiny").change(decoder="mel").to_dict())
    refused = [
        (of_bands.folder, "predicts mel bands: expected a run whose decoder is a WaveNet"),
        ("/no/run", "no run at /no/run: expected a folder with config.json"),
    ]
    for folder, why in refused:
        command = [*script[:2], folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == 2
        assert why in " ".join(done.stderr.split())


def test_the_measures_of_the_guide_are_right(voices, original, noise):
    """The two examples, as they stand there."""
    guide = (ROOT / "site/guides/evaluation.md").read_text("utf-8").partition("## To add a mea")[2]
    names = vars(audio_metrics) | {"metrics": SimpleNamespace(), "ScoreCard": ScoreCard}
    for block in re.findall(r"```py\n(.*?)```", guide, flags=re.DOTALL):
        exec(block, names)
    for name in ("repeats", "zero_crossing_rate"):
        setattr(names["metrics"], name, names[name])
    assert names["repeats"](np.array([1, 1, 1, 2, 2])) == 0.75
    sine = np.sin(2 * np.pi * 100 * np.arange(16_000) / 16_000 + 0.1)
    assert names["zero_crossing_rate"](sine) == pytest.approx(200, abs=1)
    card = ScoreCard({})
    names["score_repeats"](card, voices)
    shares = [names["repeats"](voices.codes[number]) for number in voices.held_out]
    assert card["repeats"].value == pytest.approx(100 * np.mean(shares))
    name = "zero-crossing error, reconstruction"
    assert scored(names["score_crossings"], voices, original, again(original))[name].value == 0.0
    assert scored(names["score_crossings"], voices, original, noise)[name].value > 1000.0
