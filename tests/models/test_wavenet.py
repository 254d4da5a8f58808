"""The decoders: causality, conditions, and the distribution of a level."""

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import small_wavenet
from vqwn_kit import build_model, load_preset
from vqwn_kit.models.distributions import log_probabilities, log_probability
from vqwn_kit.models.layers import mu_law_encode
from vqwn_kit.models.mel import LogMel
from vqwn_kit.models.mel_decoder import MelDecoder
from vqwn_kit.models.wavenet import WaveNet


def inputs(rng, batch: int = 1, length: int = 64, frames: int = 4) -> tuple:
    """Return levels, local conditions and speakers."""
    local = rng.normal(size=(batch, frames, 4)).astype("float32")
    return rng.integers(0, 256, (batch, length)), local, np.ones(batch, "int32")


def moved(wavenet: WaveNet, one: tuple, other: tuple) -> np.ndarray:
    """Return which of the T outputs differ between two inputs."""
    return np.abs(np.array(wavenet(*one)) - np.array(wavenet(*other))).max(-1)[0] > 0


def moved_by_frame(rng, wavenet: WaveNet, frame: int, **sizes) -> tuple:
    """Return codes (1, N, D), speaker, and which of the T outputs a change of one frame moves."""
    levels, local, speaker = inputs(rng, **sizes)
    other = local.copy()
    other[0, frame] += 1.0
    return local, speaker, moved(wavenet, (levels, local, speaker), (levels, other, speaker))


@pytest.mark.parametrize("one_hot", [False, True])
def test_wavenet_is_causal_and_its_receptive_field_is_the_formula(rng, one_hot):
    sizes = {"residual_channels": 16, "gate_channels": 16, "skip_channels": 16}
    wavenet = small_wavenet(one_hot=one_hot, **sizes)
    levels, local, speaker = inputs(rng)
    touched = []
    for place in range(64):
        other = levels.copy()
        other[0, place] = (other[0, place] + 128) % 256
        touched.append(moved(wavenet, (levels, local, speaker), (other, local, speaker))[50])
    places = np.flatnonzero(touched)
    assert places[-1] == 49  # a level is told from those before it
    assert places[-1] - places[0] + 1 == wavenet.receptive_field == 4 + 2 * 7


def test_published_receptive_field_and_parameter_count():
    """Facts of the predecessor: 6170 samples; 35,151,105 with its step counter of 1."""
    model = build_model(load_preset("seed"), [f"p{number}" for number in range(109)])
    assert model.decoder.receptive_field == 6170
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == 35_151_105 - 1


def test_cycles_are_dilations_that_double():
    wavenet = small_wavenet(dilations=None, num_cycles=2, num_cycle_layers=3)
    assert wavenet.dilations == [1, 2, 4, 1, 2, 4]
    assert wavenet.receptive_field == 4 + 2 * 14


def test_each_frame_conditions_its_own_samples_and_no_earlier_ones(rng):
    wavenet = small_wavenet()
    *_, changed = moved_by_frame(rng, wavenet, 2, length=32)
    assert not changed[:16].any()
    assert changed[16:24].all()


def test_interpolated_conditions_begin_at_the_middle_of_the_frame_before(rng):
    wavenet = small_wavenet(interpolate=True)
    *_, changed = moved_by_frame(rng, wavenet, 2, length=32)
    assert not changed[:12].any()
    assert changed[12:28].all()


def test_a_convolution_over_frames_reaches_one_frame_to_either_side(rng):
    wavenet = small_wavenet(local_channels=6)
    *_, changed = moved_by_frame(rng, wavenet, 4, length=64, frames=8)
    assert not changed[:24].any()
    assert changed[24:48].all()


def test_layers_over_frames_reach_one_frame_further_each_and_mix_codes_with_the_speaker(rng):
    wavenet = small_wavenet(local_channels=6, local_layers=2)
    local, speaker, changed = moved_by_frame(rng, wavenet, 5, length=80, frames=10)
    assert not changed[:16].any()
    assert changed[16:72].all()
    conditions = wavenet.frames
    x = conv(local[0], conditions.conv)
    x = np.concatenate([x, np.tile(conditions.speakers.table.numpy()[speaker[0]], (10, 1))], axis=1)
    x = x @ conditions.widen.kernel.numpy() + conditions.widen.bias.numpy()
    for layer in conditions.residuals:
        x = x + np.maximum(conv(x, layer), 0)
    assert np.allclose(conditions(local, speaker)[0], x, atol=1e-5)
    with pytest.raises(ValueError, match="'own' with local_layers"):
        small_wavenet(local_layers=1, speaker_projection="own")


def conv(x: np.ndarray, layer) -> np.ndarray:
    """A convolution of width 3 over (N, C), in plain NumPy."""
    kernel, bias = (weight.numpy() for weight in layer.weights)
    padded = np.pad(x, ((1, 1), (0, 0)))
    return sum(padded[tap : tap + len(x)] @ kernel[tap] for tap in range(3)) + bias


def test_jitter_of_a_decoder_acts_in_training_alone(rng):
    wavenet = small_wavenet(jitter=0.5)
    data = inputs(rng, batch=4)
    assert np.array_equal(wavenet(*data), wavenet(*data, training=False))
    assert not np.array_equal(wavenet(*data), wavenet(*data, training=True))


def test_projections_of_their_own_add_to_the_shared_one_of_the_same_weights(rng):
    own, shared = small_wavenet(speaker_projection="own"), small_wavenet()
    assert len(own.conditions.kernels) == 2
    for one, two in (
        (own.conditions, shared.conditions),
        (own.post_condition, shared.post_condition),
    ):
        two.kernels[0].assign(one.kernel)
    rest = {id(w) for p in (own, shared) for w in p.conditions.weights + p.post_condition.weights}
    pairs = zip(
        [w for w in own.weights if id(w) not in rest],
        [w for w in shared.weights if id(w) not in rest],
        strict=True,
    )
    for one, two in pairs:
        two.assign(one)
    data = inputs(rng)
    assert np.allclose(own(*data), shared(*data), atol=1e-5)


def test_no_speaker_is_neither_the_first_nor_the_last(rng):
    wavenet = small_wavenet()
    levels, local, _ = inputs(rng, length=8, frames=2)
    data = np.repeat(levels, 4, 0), np.repeat(local, 4, 0), np.array([-1, 0, 1, 2])
    out = np.array(wavenet(*data))
    assert all(np.abs(out[0] - out[other]).max() > 1e-4 for other in (1, 2, 3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel_size": 1}, "2 taps"),
        ({"dilations": None, "num_cycles": 0}, "one dilation"),
        ({"speaker_projection": "none"}, "'shared' or 'own'"),
    ],
)
def test_impossible_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        small_wavenet(**settings)


# a mixture of logistics


def test_a_mixture_gives_all_levels_probabilities_that_sum_to_1(rng):
    parameters = rng.normal(size=(5, 7, 12)).astype("float32") * 2
    logs = np.array(log_probabilities(parameters))
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
    assert np.allclose(log_probabilities(parameters), expected, atol=1e-3)


def test_likelihoods_of_a_mixture_are_finite_far_from_its_means():
    parameters = tf.constant([[0.0, -1.0, -9.0]])  # a needle at level 0
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        log = log_probability(parameters, np.array([255]))
    assert np.isfinite(log).all()
    assert np.isfinite(tape.gradient(log, parameters)).all()
    assert float(log_probability(parameters, np.array([0]))[0]) == pytest.approx(
        np.log(1 - 0.0137), rel=0.1
    )


def test_the_nll_of_either_output_is_minus_the_log_of_its_probability(rng):
    for mixtures in (0, 3):
        wavenet = small_wavenet(mixtures=mixtures)
        levels, local, speaker = inputs(rng)
        outputs = wavenet(levels, local, speaker)
        assert outputs.shape[-1] == (9 if mixtures else 256)
        logs = np.array(wavenet.log_probabilities(outputs))
        chosen = np.take_along_axis(logs, levels[..., None], axis=-1)[..., 0]
        assert np.allclose(wavenet.nll(levels, outputs), -chosen, atol=1e-4)


# emphasis


def test_targets_are_levels_of_the_emphasised_sound(rng):
    wave = rng.uniform(-0.5, 0.5, (2, 50, 1)).astype("float32")
    plain, emphasised = [np.array(small_wavenet(emphasis=a).targets(wave)) for a in (0.0, 0.85)]
    assert np.array_equal(plain, mu_law_encode(wave[..., 0]))
    expected = [[x[t] - 0.85 * (x[t - 1] if t else 0) for t in range(50)] for x in wave[..., 0]]
    assert np.array_equal(emphasised, mu_law_encode(np.float32(expected)))


@pytest.mark.parametrize("emphasis", [-0.1, 1.0])
def test_an_emphasis_that_cannot_be_undone_is_refused(emphasis):
    with pytest.raises(ValueError, match="expected 0, none, up to less than 1"):
        small_wavenet(emphasis=emphasis)


# the light decoder


def test_the_frame_decoder_is_measured_on_mel_bands(rng):
    decoder = MelDecoder(2, 64, condition_dim=4, local_channels=6, local_layers=1)
    wave = (0.1 * rng.normal(size=(2, 640, 1))).astype("float32")
    z_q, speaker = rng.normal(size=(2, 10, 4)).astype("float32"), np.array([0, -1], "int32")
    (loss,) = decoder.losses_of(wave, z_q, speaker, training=False).values()
    bands = np.array(LogMel(64)(wave)) / 20
    expected = np.mean((np.array(decoder(z_q, speaker)) - bands) ** 2)
    assert float(loss) == pytest.approx(expected, rel=1e-4)
