"""The sampler against the full pass, and what people hear."""

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from tests.conftest import tones
from vqwn_kit import (
    VQVAE,
    InputError,
    Sampler,
    WaveNet,
    build_model,
    convert_voice,
    generate,
    load_preset,
    reconstruct,
)
from vqwn_kit.generation import convert_many
from vqwn_kit.layers import mu_law_encode
from vqwn_kit.logistics import log_probabilities
from vqwn_kit.sampler import _draw, _draw_from_mixture


def random_wavenet(rng, **changes) -> WaveNet:
    keywords = {
        "num_speakers": 3, "condition_dim": 4, "dilations": (1, 2, 4, 8), "kernel_size": 3,
        "residual_channels": 6, "gate_channels": 5, "skip_channels": 7, "first_kernel_size": 5,
        "speaker_dim": 3,
    }  # fmt: skip
    wavenet = WaveNet(**keywords | changes)
    wavenet.build()
    wavenet.built = True
    wavenet.set_weights([0.5 * rng.normal(size=w.shape) for w in wavenet.get_weights()])
    return wavenet


def full_pass(wavenet: WaveNet, levels, local, speaker) -> np.ndarray:
    return np.array(wavenet(levels, local, speaker))


DECODERS = {
    "plain": {},
    "kernel 2": {"kernel_size": 2},
    "first kernel 1": {"first_kernel_size": 1},
    "cycles": {"dilations": None, "num_cycles": 2, "num_cycle_layers": 3},
    "one-hot": {"one_hot": True, "first_kernel_size": 2},
    "interpolated": {"interpolate": True},
    "own projections": {"speaker_projection": "own", "learned_no_speaker": True},
    "convolved codes": {"local_channels": 6, "jitter": 0.5},
    "mixture": {"mixtures": 3},
    "all": {"mixtures": 2, "one_hot": True, "interpolate": True, "local_channels": 3},
}


@pytest.mark.parametrize("changes", DECODERS.values(), ids=DECODERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sampler_equals_the_full_pass_over_more_than_the_receptive_field(rng, changes, dtype):
    wavenet = random_wavenet(rng, **changes)
    levels = rng.integers(0, 256, (3, 400))
    local = rng.normal(size=(3, 25, 4)).astype("float32")
    speaker = np.array([0, 2, -1])
    frames = np.array(wavenet.frames(local, speaker))
    logits = Sampler(wavenet, dtype)(frames, 16, forced=levels)
    expected = full_pass(wavenet, levels, local, speaker)
    assert np.abs(logits - expected).max() < 1e-4
    assert np.abs(expected).max() > 1


@pytest.mark.parametrize("name", ["plain", "one-hot", "interpolated", "mixture", "all"])
def test_sampled_levels_are_those_of_the_full_pass_for_the_same_random_numbers(rng, name):
    """Draws level by level with the full pass, in NumPy, and with the sampler in float64."""
    wavenet = random_wavenet(rng, **DECODERS[name])
    temperature = 1.0 if wavenet.mixtures else 0.7
    local, speaker = rng.normal(size=(1, 6, 4)).astype("float32"), np.array([1])
    frames = np.array(wavenet.frames(local, speaker))
    sampled = Sampler(wavenet, "float64")(frames, 8, temperature=temperature, seed=9)
    uniform = np.random.default_rng([9, 0]).random(48)
    levels = np.zeros((1, 48), int)
    for t in range(48):
        logs = np.array(wavenet.log_probabilities(full_pass(wavenet, levels, local, speaker)))
        mass = np.exp(logs[0, t].astype(float) / temperature)
        levels[0, t] = np.searchsorted(np.cumsum(mass) / mass.sum(), uniform[t], side="right")
    assert np.array_equal(sampled, levels)


@pytest.mark.parametrize("name", ["plain", "one-hot", "mixture"])
def test_greedy_takes_the_likeliest_level(rng, name):
    wavenet = random_wavenet(rng, **DECODERS[name])
    local, speaker = rng.normal(size=(1, 5, 4)).astype("float32"), np.array([0])
    levels = Sampler(wavenet)(np.array(wavenet.frames(local, speaker)), 8, mode="greedy")
    logs = np.array(wavenet.log_probabilities(full_pass(wavenet, levels, local, speaker)))
    assert np.array_equal(logs.argmax(-1), levels)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_draws_from_a_mixture_follow_it_and_never_leave_the_levels(rng, temperature):
    """Also where half of the density lies beyond the last level: never level 256."""
    logits, means, scales = np.array([0.0, 1.0]), np.array([1.0, -0.2]), np.array([0.3, 0.1])
    score = np.concatenate([logits, means, np.log(scales)])
    even = (np.arange(5000) + 0.5) / 5000
    drawn = [_draw_from_mixture(score, 2, 256, temperature, uniform) for uniform in even]
    assert min(drawn) >= 0
    assert max(drawn) == 255
    tempered = np.concatenate([logits / temperature, means, np.log(scales * temperature)])
    expected = np.exp(np.array(log_probabilities(tempered.astype("float32")[None]))[0])
    assert np.abs(np.bincount(drawn, minlength=256) / 5000 - expected).max() < 1e-3
    for uniform in (0.0, np.nextafter(1.0, 0.0)):
        assert 0 <= _draw_from_mixture(score, 2, 256, temperature, uniform) <= 255


def test_seeds_repeat_and_streams_differ(rng):
    wavenet = random_wavenet(rng)
    frames = np.array(wavenet.frames(np.zeros((2, 10, 4), "float32"), np.array([1, 1])))
    sampler = Sampler(wavenet)
    first = sampler(frames, 16, seed=4)
    assert np.array_equal(first, sampler(frames, 16, seed=4))
    assert not np.array_equal(first, sampler(frames, 16, seed=5))
    assert not np.array_equal(first[0], first[1])


def test_streams_do_not_depend_on_their_company_or_on_threads(rng):
    wavenet = random_wavenet(rng)
    local = rng.normal(size=(5, 6, 4)).astype("float32")
    frames = np.array(wavenet.frames(local, np.arange(5) % 3))
    sampler = Sampler(wavenet, "float64")
    together = sampler(frames, 16, threads=1)
    assert np.array_equal(together, sampler(frames, 16, threads=3))
    assert np.array_equal(together[:1], sampler(frames[:1], 16))


def test_draws_follow_the_softmax_and_never_leave_the_levels(rng):
    score = rng.normal(size=8)
    draws = [_draw(score, 1.0, uniform) for uniform in (np.arange(20_000) + 0.5) / 20_000]
    share = np.bincount(draws, minlength=8) / 20_000
    assert np.allclose(share, np.exp(score) / np.exp(score).sum(), atol=1e-3)
    assert _draw(np.zeros(256), 1.0, np.nextafter(1.0, 0.0)) == 255
    assert _draw(np.zeros(256), 1.0, 0.0) == 0


def test_low_temperature_is_greedy(rng):
    wavenet = random_wavenet(rng)
    frames = np.array(wavenet.frames(np.zeros((1, 10, 4), "float32"), np.array([0])))
    sampler = Sampler(wavenet)
    cold = sampler(frames, 16, temperature=1e-4)
    assert np.array_equal(cold, sampler(frames, 16, mode="greedy"))


def test_two_threads_may_sample_at_once(rng):
    wavenet = random_wavenet(rng)
    frames = np.array(wavenet.frames(np.zeros((3, 60, 4), "float32"), np.array([0, 1, 2])))
    sampler = Sampler(wavenet)
    limit = max(pool["num_threads"] for pool in threadpool_info())
    expected, found = sampler(frames, 64), []
    threads = [threading.Thread(target=lambda: found.append(sampler(frames, 64))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert max(pool["num_threads"] for pool in threadpool_info()) == limit
    assert all(np.array_equal(expected, levels) for levels in found)


def test_progress_is_reported_and_an_error_in_it_stops_the_sampling(rng):
    wavenet = random_wavenet(rng)
    frames = np.array(wavenet.frames(np.zeros((2, 100, 4), "float32"), np.array([0, 1])))
    seen = []
    Sampler(wavenet)(frames, 64, progress=seen.append)
    assert sum(seen) == 6400

    def stop(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Sampler(wavenet)(frames, 64, progress=stop)


@pytest.mark.parametrize(
    ("settings", "message"), [({"mode": "beam"}, "mode"), ({"temperature": 0}, "above 0")]
)
def test_settings_of_the_sampler_are_checked(rng, settings, message):
    wavenet = random_wavenet(rng)
    with pytest.raises(InputError, match=message):
        Sampler(wavenet)(np.zeros((1, 2, 7)), 4, **settings)


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


def test_reconstruction_is_generation_from_the_codes(model):
    wave = tones(0.1, 200.0)[:1500]
    sound = reconstruct(model, wave, "bob", mode="greedy")
    assert sound.shape == (1500,)
    assert np.array_equal(sound, reconstruct(model, wave[None], "bob", mode="greedy"))
    spoken = generate(model, model.encode(wave), ["bob"], mode="greedy")
    assert np.array_equal(sound, spoken[0, :1500])


def test_many_utterances_are_spoken_as_one_batch_and_cut_to_their_lengths(model):
    waves = [tones(0.1, 200.0), tones(0.06, 110.0)]
    parts = convert_many(model, waves, [["ann", "bob"], ["bob"]], mode="greedy")
    assert [part.shape for part in parts] == [(2, 1600), (1, 960)]
    alone = convert_voice(model, waves[1], ["bob"], mode="greedy")
    assert np.abs(parts[1] - alone).mean() < 1e-3


@pytest.mark.parametrize("changes", [{}, {"interpolate": True}, {"local_channels": 5}])
def test_an_utterance_sounds_the_same_beside_a_longer_one(rng, changes):
    model = build_model(load_preset("tiny").change(decoder=changes), ["ann"])
    short, long = (rng.uniform(-0.5, 0.5, length) for length in (320, 640))
    alone = convert_many(model, [short], [["ann"]], mode="greedy")[0]
    beside = convert_many(model, [short, long], [["ann"], ["ann"]], mode="greedy")[0]
    assert np.array_equal(alone, beside)


def test_what_cannot_be_spoken_is_refused(model):
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


def test_samples_of_16_bits_are_refused_with_what_to_do(model):
    with pytest.raises(InputError, match="divide by 32768"):
        reconstruct(model, np.zeros(640, np.int16), "ann")


def test_a_first_stage_is_told_that_it_cannot_speak(rng):
    model = build_model(load_preset("tiny").change(decoder="frames"), ["ann"])
    with pytest.raises(InputError, match="first stage, without a WaveNet"):
        reconstruct(model, rng.uniform(-0.5, 0.5, 640), "ann")


def test_one_name_is_one_speaker(model):
    codes = np.zeros(2, int)
    assert np.array_equal(generate(model, codes, "ann"), generate(model, codes, ["ann"]))


def test_every_decoder_speaks_in_a_voice_and_in_none(rng):
    changes = {"one_hot": True, "mixtures": 3, "interpolate": True, "learned_no_speaker": True}
    model = build_model(load_preset("tiny").change(decoder=changes), ["ann", "bob"])
    spoken = convert_voice(model, rng.uniform(-0.5, 0.5, 640), ["ann", "bob", None])
    assert spoken.shape == (3, 640)
    assert not np.array_equal(spoken[0], spoken[1])
    assert np.abs(spoken).max() <= 1
