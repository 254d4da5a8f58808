"""Synthesis with a pitch of one's own choice, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import tones
from vqwn_kit import (
    InputError,
    build_model,
    convert_voice,
    generate,
    load_preset,
    reconstruct,
    stream,
)
from vqwn_kit.sampling.generate import convert_many, round_to_levels
from vqwn_kit.sampling.pitch import utterance_pitch, waveform_pitch

pytestmark = pytest.mark.usefixtures("estimator")
WIDE = {
    "conditioner": {"pitch_levels": 50},
    "network": {"residual_channels": 32, "gate_channels": 32, "skip_channels": 64},
}
WAVE = np.concatenate([tones(0.2, 150.0), tones(0.2, 300.0)])[:6000]


def test_a_conversion_takes_the_pitch_of_its_waveform_and_follows_another(pitch_run):
    model = pitch_run.model
    pitch = waveform_pitch(model, WAVE)
    assert (pitch.shape, pitch.dtype) == ((94,), np.float32)
    assert np.nanmedian(pitch[:40]) == pytest.approx(-5, abs=1.5)
    plain = convert_voice(model, WAVE, ["ann", "bob"])
    assert np.array_equal(convert_voice(model, WAVE, ["ann", "bob"], pitch=pitch), plain)
    higher = convert_voice(model, WAVE, ["ann", "bob"], pitch=pitch + 3)
    assert not np.array_equal(higher, plain)
    rows = np.stack([pitch, pitch + 3])
    both = convert_voice(model, WAVE, ["ann", "bob"], pitch=rows)
    assert np.array_equal(both, [plain[0], higher[1]])
    assert np.array_equal(reconstruct(model, WAVE, "ann", pitch=pitch), plain[0])
    many = convert_many(model, [WAVE, WAVE[:640]], [["ann"], ["bob"]], pitch=[pitch, pitch[:10]])
    assert [sound.shape for sound in many] == [(1, 6000), (1, 640)]
    assert round_to_levels(model, WAVE, "ann").shape == WAVE.shape


def test_codes_are_decoded_with_a_pitch(pitch_run):
    model = pitch_run.model
    codes, pitch = np.arange(20) % 32, np.linspace(-2, 2, 20)
    sound = generate(model, codes, ["ann", "bob"], pitch=pitch)
    assert np.array_equal(model.decode(codes, ["ann", "bob"], pitch=pitch), sound)
    parts = list(stream(model, codes, ["ann", "bob"], pitch=pitch[None]))
    assert np.array_equal(np.concatenate(parts, axis=1), sound)
    whisper = generate(model, codes, ["ann", "bob"], pitch=np.full(20, np.nan))
    assert not np.array_equal(whisper, sound)


def test_the_pitch_of_an_utterance_is_relative_to_its_speaker(pitch_run, store):
    tracks = [utterance_pitch(pitch_run.model, store, n)[0] for n in store.numbers("train")]
    assert [len(t) for t in tracks] == [-(-store.lengths[n] // 64) for n in store.numbers("train")]
    ann = np.concatenate([t for t, n in zip(tracks, store.numbers("train"), strict=True) if n < 4])
    assert abs(np.nanmean(ann)) < 0.5
    assert max(abs(np.nanmean(t)) for t in tracks) > 1


def test_codes_alone_make_sound_too(pitch_run):
    """Without a pitch, which is neither the speaker's mean nor unvoiced."""
    codes = np.arange(20) % 32
    tracks = (None, np.zeros(20), np.full(20, np.nan))
    sounds = [generate(pitch_run.model, codes, ["ann"], pitch=track) for track in tracks]
    assert len({sound.tobytes() for sound in sounds}) == 3
    assert sounds[0].shape == sounds[1].shape


def test_what_cannot_be_a_pitch_is_refused(pitch_run, model):
    codes = np.arange(20) % 32
    with pytest.raises(InputError, match=r"shape \(19,\); expected \(20,\) or \(2, 20\)"):
        generate(pitch_run.model, codes, ["ann", "bob"], pitch=np.zeros(19))
    with pytest.raises(InputError, match="a pitch of 220; expected semitones"):
        generate(pitch_run.model, codes, ["ann"], pitch=np.full(20, 220.0))
    with pytest.raises(InputError, match="leave it out, or train a model with"):
        generate(model, codes, ["ann"], pitch=np.zeros(20))
    with pytest.raises(InputError, match="not conditioned on pitch: train one with"):
        waveform_pitch(model, WAVE)


@pytest.mark.slow
def test_a_decoder_that_knows_one_tone_per_pitch_follows_the_pitch_that_it_is_given():
    """Codes without information, a voice each of 300 and 600 Hz: errors under half a semitone."""
    preset = load_preset("tiny").change(decoder=WIDE, segment_length=1280, batch_size=8)
    preset = preset.change(bottleneck={"num_embeddings": 1, "initializer": "random_normal"})
    model = build_model(preset, ["low", "high"])
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(4e-3, 1100)))
    step, rng = tf.function(model.train_step), np.random.default_rng(0)
    time, means = np.arange(1280) / 16_000, np.array([300.0, 600.0])
    for _ in range(1100):
        speaker, pitch = rng.integers(0, 2, 8), rng.integers(-12, 13, 8) / 2
        hertz = means[speaker] * 2 ** (pitch / 12)
        phase = 2 * np.pi * (hertz[:, None] * time + rng.random((8, 1)))
        wave = (0.3 * np.sin(phase) + 0.01 * rng.normal(size=phase.shape)).astype("float32")
        tracks = np.repeat(pitch[:, None], 20, axis=1).astype("float32")
        step(tuple(map(tf.constant, (wave[..., None], speaker.astype("int32"), tracks))))
    for pitch in (-5.0, 0.0, 3.0):
        track = np.full(100, pitch)
        sounds = generate(model, np.zeros(100, int), ["low", "high"], pitch=track, temperature=0.5)
        for sound, mean in zip(sounds, means, strict=True):
            spectrum = np.abs(np.fft.rfft(sound[1600:] * np.hanning(4800), 2**16))
            peak = spectrum.argmax() * 16_000 / 2**16
            assert abs(12 * np.log2(peak / mean) - pitch) < 0.5, (pitch, mean, peak)
