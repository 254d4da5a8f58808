"""The decoders: causality, conditions, and the distribution of a level."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import declare, small_decoder
from vqwn_kit import InputError, load_preset
from vqwn_kit.models.conditioning import Conditioner
from vqwn_kit.models.distributions import Categorical, LogisticMixture
from vqwn_kit.models.mel import LogMel
from vqwn_kit.models.mel_decoder import MelDecoder
from vqwn_kit.models.wavenet_decoder import WaveNetDecoder


def inputs(rng, batch: int = 1, length: int = 64, frames: int = 4) -> tuple:
    """Return levels, local conditions and speakers."""
    local = rng.normal(size=(batch, frames, 4)).astype("float32")
    return rng.integers(0, 256, (batch, length)), local, np.ones(batch, "int32")


def outputs(decoder: WaveNetDecoder, levels, local, speaker, training: bool = False):
    """Return the network's outputs for levels, codes' vectors and speakers."""
    return decoder(levels, decoder.conditioner(local, speaker, training=training))


def moved(decoder: WaveNetDecoder, one: tuple, other: tuple) -> np.ndarray:
    """Return which of the T outputs differ between two inputs."""
    difference = np.array(outputs(decoder, *one)) - np.array(outputs(decoder, *other))
    return np.abs(difference).max(-1)[0] > 0


def moved_by_frame(rng, decoder: WaveNetDecoder, frame: int, **sizes) -> tuple:
    """Return codes (1, N, D), speaker, and which of the T outputs a change of one frame moves."""
    levels, local, speaker = inputs(rng, **sizes)
    other = local.copy()
    other[0, frame] += 1.0
    return local, speaker, moved(decoder, (levels, local, speaker), (levels, other, speaker))


@pytest.mark.parametrize("one_hot", [False, True])
def test_wavenet_is_causal_and_its_receptive_field_is_the_formula(rng, one_hot):
    sizes = {"residual_channels": 16, "gate_channels": 16, "skip_channels": 16}
    decoder = small_decoder(one_hot=one_hot, **sizes)
    levels, local, speaker = inputs(rng)
    touched = []
    for place in range(64):
        other = levels.copy()
        other[0, place] = (other[0, place] + 128) % 256
        touched.append(moved(decoder, (levels, local, speaker), (other, local, speaker))[50])
    places = np.flatnonzero(touched)
    assert places[-1] == 49  # a level is predicted from those before it
    assert places[-1] - places[0] + 1 == decoder.receptive_field == 4 + 2 * 7


def test_published_receptive_field_and_parameter_count():
    """Facts of the original VQ-VAE-WaveNet: 6170 samples; 35,151,105 with its step counter of 1."""
    model = declare(load_preset("original"), [f"p{number}" for number in range(109)])
    assert model.decoder.receptive_field == 6170
    assert sum(math.prod(w.shape) for w in model.trainable_weights) == 35_151_105 - 1


def test_cycles_are_dilations_that_double():
    decoder = small_decoder(dilations=None, num_cycles=2, num_cycle_layers=3)
    assert decoder.network.dilations == [1, 2, 4, 1, 2, 4]
    assert decoder.receptive_field == 4 + 2 * 14


def test_each_frame_conditions_its_own_samples_and_no_earlier_ones(rng):
    decoder = small_decoder()
    *_, changed = moved_by_frame(rng, decoder, 2, length=32)
    assert not changed[:16].any()
    assert changed[16:24].all()


def test_interpolated_conditions_begin_at_the_middle_of_the_frame_before(rng):
    decoder = small_decoder(interpolate=True)
    *_, changed = moved_by_frame(rng, decoder, 2, length=32)
    assert not changed[:12].any()
    assert changed[12:28].all()


def test_a_convolution_over_frames_reaches_one_frame_to_either_side(rng):
    decoder = small_decoder(local_channels=6)
    *_, changed = moved_by_frame(rng, decoder, 4, length=64, frames=8)
    assert not changed[:24].any()
    assert changed[24:48].all()


def test_layers_over_frames_reach_one_frame_further_each_and_mix_codes_with_the_speaker(rng):
    decoder = small_decoder(local_channels=6, local_layers=2)
    local, speaker, changed = moved_by_frame(rng, decoder, 5, length=80, frames=10)
    assert not changed[:16].any()
    assert changed[16:72].all()
    conditioner = decoder.conditioner
    x = conv(local[0], conditioner.conv)
    x = np.concatenate(
        [x, np.tile(conditioner.speakers.table.numpy()[speaker[0]], (10, 1))], axis=1
    )
    x = x @ conditioner.join.kernel.numpy() + conditioner.join.bias.numpy()
    for layer in conditioner.residuals:
        x = x + np.maximum(conv(x, layer), 0)
    assert np.allclose(conditioner(local, speaker)[0], x, atol=1e-5)


def conv(x: np.ndarray, layer) -> np.ndarray:
    """A convolution of width 3 over (N, C), in plain NumPy."""
    kernel, bias = (weight.numpy() for weight in layer.weights)
    padded = np.pad(x, ((1, 1), (0, 0)))
    return sum(padded[tap : tap + len(x)] @ kernel[tap] for tap in range(3)) + bias


def test_jitter_acts_in_training_only(rng):
    decoder = small_decoder(jitter=0.5)
    data = inputs(rng, batch=4)
    assert np.array_equal(outputs(decoder, *data), outputs(decoder, *data))
    assert not np.array_equal(outputs(decoder, *data), outputs(decoder, *data, training=True))


def test_own_projections_equal_a_shared_one_of_the_same_weights(rng):
    own, shared = small_decoder(speaker_projection="own"), small_decoder()
    assert len(own.network.block_conditions.kernels) == 2
    for name in ("block_conditions", "hidden_condition"):
        getattr(shared.network, name).kernels[0].assign(getattr(own.network, name).kernel)
    names = ("input_conv", "input_skip", "hidden", "out")
    pairs = [(getattr(own.network, name), getattr(shared.network, name)) for name in names]
    pairs += [(own.conditioner, shared.conditioner)]
    pairs += zip(own.network.blocks, shared.network.blocks, strict=True)
    for source, target in pairs:
        target.set_weights(source.get_weights())
    data = inputs(rng)
    assert np.allclose(outputs(own, *data), outputs(shared, *data), atol=1e-5)


def test_no_speaker_is_neither_the_first_nor_the_last(rng):
    decoder = small_decoder()
    levels, local, _ = inputs(rng, length=8, frames=2)
    data = np.repeat(levels, 4, 0), np.repeat(local, 4, 0), np.array([-1, 0, 1, 2])
    out = np.array(outputs(decoder, *data))
    assert all(np.abs(out[0] - out[other]).max() > 1e-4 for other in (1, 2, 3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel_size": 1}, "2 taps"),
        ({"dilations": None, "num_cycles": 0}, "one dilation"),
        ({"speaker_projection": "none"}, "'shared' or 'own'"),
        ({"local_layers": 1, "speaker_projection": "own"}, "'own' with local_layers"),
    ],
)
def test_impossible_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        small_decoder(**settings)


# a mixture of logistics


def test_a_mixture_gives_all_levels_probabilities_that_sum_to_1(rng):
    parameters = rng.normal(size=(5, 7, 12)).astype("float32") * 2
    logs = np.array(LogisticMixture(num_components=4)(parameters))
    assert logs.shape == (5, 7, 256)
    assert np.allclose(np.exp(logs).sum(-1), 1, atol=1e-4)


def test_a_mixture_equals_differences_of_the_cumulative_logistic(rng):
    parameters = rng.normal(size=(20, 9)).astype("float32")
    logits, means, scales = np.split(parameters.astype(float), 3, axis=-1)
    weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    edges = (2 * np.arange(255) + 1) / 255 - 1
    inside = 1 / (1 + np.exp(-(edges[:, None, None] - means) / np.exp(scales)))
    cumulative = np.pad((weights * inside).sum(-1), ((1, 1), (0, 0)))
    cumulative[-1] = 1
    expected = np.log(np.diff(cumulative, axis=0).T)
    assert np.allclose(LogisticMixture(num_components=3)(parameters), expected, atol=1e-3)


def test_likelihoods_of_a_mixture_are_finite_far_from_its_means():
    mixture = LogisticMixture(num_components=1)
    parameters = tf.constant([[0.0, -1.0, -9.0]])  # a needle at level 0
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        log = mixture.log_prob(parameters, np.array([255]))
    assert np.isfinite(log).all()
    assert np.isfinite(tape.gradient(log, parameters)).all()
    assert float(mixture.log_prob(parameters, np.array([0]))[0]) == pytest.approx(
        np.log(1 - 0.0137), rel=0.1
    )


@pytest.mark.parametrize("distribution", [Categorical(), LogisticMixture(num_components=3)])
def test_the_probability_of_a_level_is_that_among_all_levels(distribution, rng):
    outputs = rng.normal(size=(2, 30, distribution.num_outputs)).astype("float32")
    levels = rng.integers(0, 256, (2, 30))
    every = np.array(distribution(outputs))
    assert np.allclose(np.exp(every).sum(-1), 1, atol=1e-4)
    chosen = np.take_along_axis(every, levels[..., None], axis=-1)[..., 0]
    assert np.allclose(distribution.log_prob(outputs, levels), chosen, atol=1e-4)


@pytest.mark.parametrize("distribution", [Categorical(8), LogisticMixture(8, num_components=2)])
def test_samples_come_as_often_as_their_probability_says(distribution, rng):
    outputs = rng.normal(size=distribution.num_outputs).astype("float32")
    drawn = distribution.sample(np.tile(outputs, (20_000, 1)), rng.random(20_000))
    share = np.bincount(drawn, minlength=8) / 20_000
    assert np.allclose(share, np.exp(distribution(outputs)), atol=0.02)
    ends = distribution.sample(np.tile(outputs, (2, 1)), np.array([0.0, np.nextafter(1, 0)]))
    assert np.array(ends).tolist() == [0, 7]


def test_a_mixture_starts_with_its_means_spread_over_the_scale():
    bias = small_decoder(num_components=4).network.out.bias.numpy()
    assert np.allclose(bias, [0] * 4 + [-0.75, -0.25, 0.25, 0.75] + [-2] * 4)


# the light decoder


def test_the_mel_decoder_is_measured_on_mel_bands(rng):
    decoder = MelDecoder(Conditioner(2, 4, local_channels=6, local_layers=1), 64)
    decoder.build()
    wave = (0.1 * rng.normal(size=(2, 640, 1))).astype("float32")
    z_q, speaker = rng.normal(size=(2, 10, 4)).astype("float32"), np.array([0, -1], "int32")
    conditioning = decoder.conditioner(z_q, speaker)
    bands = np.array(LogMel(64)(wave)) / 20
    expected = np.mean((np.array(decoder(conditioning)) - bands) ** 2)
    assert float(decoder.loss(wave, conditioning)) == pytest.approx(expected, rel=1e-4)
    assert np.allclose(decoder.bands(conditioning), 20 * np.array(decoder(conditioning)))
