"""Generation: codes and recordings, decoded in voices of speakers."""

import threading

import numpy as np
import pytest

from tests.conftest import decoder_settings, tones
from vqwn_kit import (
    VQVAE,
    InputError,
    build_model,
    convert_voice,
    generate,
    interpolate_voices,
    load_preset,
    reconstruct,
    stream,
)
from vqwn_kit.models.codec import mu_law_encode
from vqwn_kit.sampling.generate import (
    Interrupted,
    conditioning_for,
    convert_many,
    round_to_levels,
)

# the verbs


def test_generate_speaks_codes_in_several_voices(model):
    codes = model.encode(tones(0.1, 200.0))
    sound = generate(model, codes, ["ann", "bob", None])
    assert sound.shape == (3, codes.shape[1] * 64)
    assert sound.dtype == np.float32
    assert np.abs(sound).max() <= 1
    assert not np.array_equal(sound[0], sound[1])
    again = generate(model, codes, ["ann", "bob", None])
    assert np.array_equal(sound, again)


def test_a_stream_is_what_generate_returns_in_parts(model):
    codes = np.arange(30) % 32
    parts = list(stream(model, codes, ["ann", "bob"], temperature=0.8, seed=3))
    assert len(parts) > 1
    whole = generate(model, codes, ["ann", "bob"], temperature=0.8, seed=3)
    assert np.array_equal(np.concatenate(parts, axis=1), whole)


# emphasis


def test_a_model_with_emphasis_streams_what_it_generates():
    changes = decoder_settings(pre_emphasis=0.85)
    model = build_model(load_preset("tiny").change(decoder=changes), ["ann", "bob"])
    codes = np.arange(30) % 32
    parts = list(stream(model, codes, ["ann", "bob"]))
    assert len(parts) > 1
    whole = generate(model, codes, ["ann", "bob"])
    assert np.array_equal(np.concatenate(parts, axis=1), whole)
    assert np.abs(whole).max() <= 1


def test_with_emphasis_the_noise_of_few_levels_is_weaker_in_high_frequencies():
    """Undoing it is 1 / (1 - 0.85 z): 22 dB more at 0 Hz than at 8 kHz, and 5 dB less there."""
    time = np.arange(16_000) / 16_000
    wave = np.float32(0.2 * np.sin(400 * np.pi * time) + 0.1 * np.sin(1240 * np.pi * time))
    noise = {}
    for emphasis in (0.0, 0.85):
        preset = load_preset("tiny").change(decoder={"codec": {"pre_emphasis": emphasis}})
        rounded = round_to_levels(build_model(preset, ["ann"]), wave, "ann")
        power = np.abs(np.fft.rfft(rounded - wave)) ** 2
        noise[emphasis] = [10 * np.log10(power[a:b].mean()) for a, b in ((0, 800), (6000, 8000))]
    assert abs(noise[0.0][0] - noise[0.0][1]) < 4
    assert 12 < noise[0.85][0] - noise[0.85][1] < 24
    assert noise[0.85][1] < noise[0.0][1] - 5


def test_a_point_between_two_voices_is_each_of_them_at_its_ends(model):
    codes = np.arange(12) % 32
    ends = [interpolate_voices(model, "ann", "bob", share) for share in (0.0, 1.0)]
    sound = generate(model, codes, ends)
    assert np.array_equal(sound, generate(model, codes, ["ann", "bob"]))
    assert not np.array_equal(sound[0], sound[1])
    table = model.decoder.speakers.numpy()
    assert np.array_equal(ends, table)
    quarter = interpolate_voices(model, "ann", "bob", 0.25)
    np.testing.assert_allclose(quarter, 0.75 * table[0] + 0.25 * table[1], rtol=1e-6)
    z_q = np.array(model.bottleneck.embed(codes[None]))
    conditioning = conditioning_for(model, z_q, [quarter, "ann", "bob", None])
    assert np.array_equal(conditioning[0, :, -4:], np.tile(quarter, (12, 1)))
    by_number = model.decoder.conditioner(np.repeat(z_q, 2, axis=0), np.array([0, 1], np.int32))
    assert np.array_equal(conditioning[1:2], np.array(by_number)[:1])
    assert not conditioning[3, :, -4:].any()
    nobody = interpolate_voices(model, None, "bob", 0.5)
    np.testing.assert_allclose(nobody, table[1] / 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("speaker", "match"),
    [
        (np.zeros(3), r"a voice of shape \(3,\); expected a name, a number, or a vector of 4"),
        (np.full(4, np.nan), "4 finite numbers"),
        (0.5, "no speaker 0.5; expected a name or a whole number"),
        ("an", "did you mean 'ann'"),
    ],
)
def test_voices_that_are_none_are_refused(model, speaker, match):
    with pytest.raises(InputError, match=match):
        generate(model, np.zeros(2, int), [speaker])
    with pytest.raises(InputError, match="share=1.5"):
        interpolate_voices(model, "ann", "bob", 1.5)


def test_what_was_generated_is_kept_when_it_is_stopped(model, monkeypatch):
    codes = np.arange(30) % 32
    whole = generate(model, codes, ["ann"])
    stop = threading.Event()
    stop.set()
    early = generate(model, codes, ["ann"], stop=stop)
    assert 0 < early.shape[1] < whole.shape[1]
    assert np.array_equal(early, whole[:, : early.shape[1]])
    first = next(stream(model, codes, ["ann"]))

    def interrupted(self, *args, **settings):
        yield np.zeros((2, 100), np.int32)
        raise KeyboardInterrupt

    monkeypatch.setattr("vqwn_kit.sampling.sampler.Sampler.stream", interrupted)
    with pytest.raises(Interrupted, match="stopped after 0.01 s of") as caught:
        convert_many(model, [tones(0.05, 200.0)] * 2, [["ann"], ["bob"]])
    assert [part.shape for part in caught.value.waveforms] == [(1, 100), (1, 100)]
    assert first.dtype == np.float32


def test_reconstruction_is_generation_from_the_codes(model):
    wave = tones(0.1, 200.0)[:1500]
    sound = reconstruct(model, wave, "bob", mode="greedy")
    assert sound.shape == (1500,)
    assert np.array_equal(sound, reconstruct(model, wave[None], "bob", mode="greedy"))
    generated = generate(model, model.encode(wave), ["bob"], mode="greedy")
    assert np.array_equal(sound, generated[0, :1500])


def test_many_utterances_are_decoded_as_one_batch_and_cut_to_their_lengths(model):
    waves = [tones(0.1, 200.0), tones(0.06, 110.0)]
    parts = convert_many(model, waves, [["ann", "bob"], ["bob"]], mode="greedy")
    assert [part.shape for part in parts] == [(2, 1600), (1, 960)]
    alone = convert_voice(model, waves[1], ["bob"], mode="greedy")
    assert np.abs(parts[1] - alone).mean() < 1e-3


@pytest.mark.parametrize("changes", [{}, {"interpolate": True}, {"local_channels": 5}])
def test_an_utterance_sounds_the_same_beside_a_longer_one(rng, changes):
    preset = load_preset("tiny").change(decoder=decoder_settings(**changes))
    model = build_model(preset, ["ann"])
    short, long = (rng.uniform(-0.5, 0.5, length) for length in (320, 640))
    alone = convert_many(model, [short], [["ann"]], mode="greedy")[0]
    beside = convert_many(model, [short, long], [["ann"], ["ann"]], mode="greedy")[0]
    assert np.array_equal(alone, beside)


def test_what_cannot_be_decoded_is_refused(model):
    with pytest.raises(InputError, match=r"0\.\.31"):
        generate(model, np.array([32]), ["ann"])
    with pytest.raises(InputError, match="no speaker 'eve'"):
        generate(model, np.array([1]), ["eve"])
    with pytest.raises(InputError, match="no speakers given"):
        generate(model, np.array([1]), [])
    with pytest.raises(InputError, match="convert_many"):
        reconstruct(model, np.zeros((2, 100)), "ann")
    with pytest.raises(InputError, match="2 rows of codes for 3 speakers"):
        generate(model, np.zeros((2, 4), int), ["ann", "bob", "ann"])


def test_an_autoencoder_reconstructs_and_has_no_codes():
    preset = load_preset("tiny").to_dict()
    preset["bottleneck"] = {"class_name": "Identity", "config": {"embedding_dim": 8}}
    model: VQVAE = build_model(load_preset(preset), ["ann"])
    wave = tones(0.05, 200.0)
    assert reconstruct(model, wave, "ann").shape == wave.shape
    with pytest.raises(InputError, match="no codebook"):
        model.encode(wave)
    with pytest.raises(InputError, match="no codebook"):
        generate(model, np.array([0]), ["ann"])
    assert np.array(mu_law_encode(np.zeros(1)))[0] == 128


def test_what_is_no_waveform_is_refused_by_name(model):
    with pytest.raises(InputError, match="not finite"):
        reconstruct(model, np.full(640, np.nan), "ann")
    with pytest.raises(InputError, match=r"shape \(2, 640\)"):
        reconstruct(model, np.zeros((2, 640)), "ann")


def test_a_first_stage_has_no_likelihood_of_samples(rng):
    model = build_model(load_preset("tiny").change(decoder="mel"), ["ann"])
    sound = rng.uniform(-0.5, 0.5, 640).astype("float32")
    with pytest.raises(InputError, match="first-stage model"):
        model.bits(sound[None, :, None])


def test_one_name_is_one_speaker(model):
    codes = np.zeros(2, int)
    assert np.array_equal(generate(model, codes, "ann"), generate(model, codes, ["ann"]))


def test_every_decoder_speaks_in_a_voice_and_in_none(rng):
    changes = {"one_hot": True, "num_components": 3, "interpolate": True}
    changes = decoder_settings(**changes, learned_no_speaker=True)
    model = build_model(load_preset("tiny").change(decoder=changes), ["ann", "bob"])
    generated = convert_voice(model, rng.uniform(-0.5, 0.5, 640), ["ann", "bob", None])
    assert generated.shape == (3, 640)
    assert not np.array_equal(generated[0], generated[1])
    assert np.abs(generated).max() <= 1
