"""The signal path: mu-law, pre-emphasis and linear prediction, each with its inverse."""

import numpy as np
import pytest
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from tests.conftest import decoder_settings, small_decoder, tones
from tests.training.test_train import assert_same_end, copy_at
from vqwn_kit import (
    VQVAE,
    InputError,
    Run,
    build_model,
    generate,
    load_preset,
    score_card,
    stream,
    train,
)
from vqwn_kit.models.codec import (
    SampleCodec,
    Signal,
    mu_law_decode,
    mu_law_encode,
    mu_law_step,
)
from vqwn_kit.models.lpc import (
    LEAST_POWER,
    NOISE_FLOOR,
    RESIDUAL_RANGE,
    LPCSynthesis,
    lpc_filters,
    lpc_predict,
)
from vqwn_kit.models.mel import LogMel
from vqwn_kit.models.mel_decoder import DECIBELS
from vqwn_kit.sampling.generate import conditioning_for, round_to_levels
from vqwn_kit.training.validate import validate

LPC = {"lpc_order": 12, "local_channels": 6, "local_layers": 1}
LPC_DECODER = decoder_settings(**LPC)


@pytest.fixture
def spectrum() -> LogMel:
    layer = LogMel(160)
    layer.build()
    return layer


def mean_bands(spectrum: LogMel, sound: np.ndarray) -> np.ndarray:
    """Return the bands (1, 1, M) of the mean power of a sound (T,), without its ends."""
    power = 10 ** (np.array(spectrum(sound[None, :, None]))[0, 5:-5] / 10)
    return 10 * np.log10(power.mean(axis=0))[None, None]


def lpc_model(**changes):
    """Return an untrained model whose mel decoder predicts loud bands, near 0 dB."""
    preset = load_preset("tiny").change(decoder=decoder_settings(**LPC, **changes))
    model = build_model(preset, ["ann", "bob"])
    bias = model.decoder.mel_decoder.head.bias
    bias.assign(np.zeros(bias.shape))
    return model


# filters


def test_filters_are_the_best_predictors_of_the_power_between_the_bands(spectrum, rng):
    bands = rng.uniform(-60, 20, (2, 3, 80))
    coefficients, scale = lpc_filters(bands, 9, spectrum, 0.85)
    import librosa

    mel = librosa.filters.mel(sr=16_000, n_fft=512, n_mels=80, fmin=20.0, fmax=8000.0)
    centres = librosa.mel_frequencies(82, fmin=20.0, fmax=8000.0)[1:-1]
    hertz = np.fft.rfftfreq(512, 1 / 16_000)
    window = np.hanning(401)[:400]
    for row in np.ndindex(2, 3):
        decibels = np.interp(hertz, centres, bands[row] - 10 * np.log10(mel.sum(axis=1)))
        response = np.abs(1 - 0.85 * np.exp(-2j * np.pi * hertz / 16_000)) ** 2
        r = np.fft.irfft(10 ** (decibels / 10) * response)[:10] / np.sum(window**2)
        floor = r[0] * NOISE_FLOOR + LEAST_POWER
        expected = solve_toeplitz(r[:9] + np.eye(9)[0] * floor, r[1:])
        np.testing.assert_allclose(coefficients[row], expected, atol=1e-4)
        error = r[0] + floor - expected @ r[1:]
        assert float(scale[row]) == pytest.approx(np.sqrt(error), rel=1e-4)


def test_noise_has_nothing_to_predict_and_its_own_scale(spectrum, rng):
    bands = mean_bands(spectrum, rng.normal(0, 0.1, 160 * 400).astype(np.float32))
    coefficients, scale = lpc_filters(bands, 10, spectrum)
    assert np.abs(coefficients).max() < 0.15
    assert float(scale[0, 0]) == pytest.approx(0.1, rel=0.1)


def test_of_a_resonance_little_more_than_the_noise_that_drives_it_is_left(spectrum, rng):
    poles = np.poly(0.95 * np.exp(1j * np.array([0.6, -0.6]))).real
    sound = lfilter([1.0], poles, rng.normal(0, 0.01, 160 * 400)).astype(np.float32)
    coefficients, scale = lpc_filters(mean_bands(spectrum, sound), 16, spectrum)
    wide = [np.repeat(part, 400, axis=1) for part in (np.array(coefficients), np.array(scale))]
    left = sound - np.array(lpc_predict(sound[None], wide[0]))[0]
    assert np.std(sound) > 0.035
    assert np.std(left) == pytest.approx(0.01, rel=0.1)
    assert float(scale[0, 0]) == pytest.approx(0.01, rel=0.2)


def test_no_filter_rings_for_ever(spectrum, rng):
    bands = rng.choice([-100.0, 40.0], (1, 50, 80))
    for row in np.array(lpc_filters(bands, 32, spectrum, 0.85)[0])[0]:
        assert np.abs(np.roots(np.append(1.0, -row))).max() < 1


# what is left of a sound


def test_a_remainder_is_spoken_again_in_whatever_parts(rng):
    coefficients = rng.uniform(-0.15, 0.15, (2, 5, 4)).astype(np.float32)
    scale = rng.uniform(0.01, 0.1, (2, 5)).astype(np.float32)
    sound = rng.normal(size=(2, 40)).astype(np.float32)
    left = sound - np.array(lpc_predict(sound, coefficients))
    left = left / RESIDUAL_RANGE / np.repeat(scale, 8, axis=1)
    for stream_, t in [(0, 0), (0, 2), (1, 8), (1, 39)]:
        past = [sound[stream_, t - k] if t >= k else 0 for k in (1, 2, 3, 4)]
        error = sound[stream_, t] - coefficients[stream_, t // 8] @ past
        assert left[stream_, t] == pytest.approx(
            error / RESIDUAL_RANGE / scale[stream_, t // 8], abs=1e-5
        )
    synthesis = LPCSynthesis(coefficients, scale, 8)
    parts = np.split(left, [1, 3, 8, 8, 29], axis=1)
    again = np.concatenate([synthesis(part) for part in parts], axis=1)
    np.testing.assert_allclose(again, sound, atol=1e-5)


def test_a_postfilter_raises_peaks_and_keeps_the_loudness(rng):
    """A resonance over noise: the peak stands out by what the two shrunk filters give there."""
    predictor = -np.poly(0.95 * np.exp(1j * np.array([0.6, -0.6]))).real[1:]
    coefficients = np.tile(predictor, (1, 200, 1)).astype(np.float32)
    scale, left = np.ones((1, 200), np.float32), rng.normal(0, 1 / RESIDUAL_RANGE, (1, 200 * 160))
    plain, raised = [LPCSynthesis(coefficients, scale, 160, b)(left)[0] for b in (0.0, 0.8)]
    assert np.std(raised) == pytest.approx(np.std(plain), rel=0.05)
    power = [
        np.abs(np.fft.rfft(sound.reshape(-1, 640) * np.hanning(640))) ** 2
        for sound in (plain, raised)
    ]
    ratio = 10 * np.log10(power[1].mean(axis=0) / power[0].mean(axis=0))
    angle = np.exp(-1j * np.pi * np.arange(321) / 320)
    lags = np.arange(3)
    response = [np.polyval((np.append(1, -predictor) * b**lags)[::-1], angle) for b in (0.5, 0.8)]
    expected = 20 * np.log10(np.abs(response[0] / response[1]))
    peak, valley = 61, 250  # 0.6 / pi of 320 bins
    assert ratio[peak] - ratio[valley] > 6
    found = ratio[peak] - ratio[valley - 20 : valley + 20].mean()
    assert found == pytest.approx(expected[peak] - expected[valley], abs=1)
    synthesis = LPCSynthesis(coefficients, scale, 160, 0.8)
    parts = [synthesis(part) for part in np.split(left, [1, 100, 161, 3000], axis=1)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1)[0], raised, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"postfilter": 1.0, "lpc_order": 4}, "postfilter is .*; expected 0, none"),
        ({"postfilter": 0.5}, "postfilter is .*; expected 0, none"),
        ({"closed_loop": True}, "closed_loop needs linear prediction"),
        ({"input_noise": 0.1, "lpc_order": 4}, "input_noise is 0.1 with closed_loop=False"),
        ({"lpc_order": -1}, "lpc_order is -1; expected 0, none, to 32"),
        ({"lpc_order": 64}, "lpc_order is 64; expected 0, none, to 32"),
        ({"pre_emphasis": -0.1}, "pre_emphasis is -0.1; expected 0, none, up to less than 1"),
        ({"pre_emphasis": 1.0}, "pre_emphasis is 1.0; expected 0, none, up to less than 1"),
    ],
)
def test_impossible_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        SampleCodec(**settings)


def test_levels_are_those_of_the_pre_emphasised_sound_and_synthesis_inverts_it(rng):
    wave = rng.uniform(-0.3, 0.3, (2, 50, 1)).astype("float32")
    plain, emphasised = SampleCodec(), SampleCodec(num_levels=2**14, pre_emphasis=0.85)
    assert np.array_equal(plain.encode(wave), mu_law_encode(wave[..., 0]))
    expected = [[x[t] - 0.85 * (x[t - 1] if t else 0) for t in range(50)] for x in wave[..., 0]]
    levels = np.array(emphasised.encode(wave))
    assert np.array_equal(levels, mu_law_encode(np.float32(expected), 2**14))
    synthesis = emphasised.synthesis()
    parts = [synthesis(part) for part in np.split(levels, [1, 7, 7, 40], axis=1)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), wave[..., 0], atol=2e-3)


@pytest.mark.parametrize("one_hot", [False, True])
def test_a_network_reads_each_level_one_sample_late(one_hot):
    codec, levels = SampleCodec(8, one_hot), np.array([[3, 7, 0]])
    late = np.array(codec.inputs(levels))
    assert late.shape == (1, 3, codec.num_inputs)
    if one_hot:
        assert np.array_equal(late[0], [np.zeros(8), np.eye(8)[3], np.eye(8)[7]])
    else:
        assert np.allclose(late[0, :, 0], [0, 2 * 3 / 7 - 1, 1])


@pytest.mark.parametrize("levels", [256, 1024])
def test_a_mu_law_step_is_as_wide_as_its_level(levels):
    fine = np.linspace(-1, 1, 2_000_001)
    borders = fine[1:][np.diff(np.array(mu_law_encode(fine, levels))) > 0]
    widths, middles = np.diff(borders), (borders[1:] + borders[:-1]) / 2
    np.testing.assert_allclose(np.array(mu_law_step(middles, levels)), widths, rtol=0.02, atol=2e-6)


# the decoder


def set_bands(decoder, decibels) -> None:
    """Let the mel decoder predict the same bands for all frames, given in dB."""
    kernel, _ = decoder.mel_decoder.head.get_weights()
    bias = np.broadcast_to(decibels / DECIBELS, kernel.shape[1:])
    decoder.mel_decoder.head.set_weights([0 * kernel, bias])


def flat_bands(decoder, loudness: float = 0.0) -> np.ndarray:
    """Return bands in dB whose filters do nothing, and whose scale is 1 / RESIDUAL_RANGE."""
    areas = decoder.mel_decoder.spectrum.mel.sum(axis=0)
    return 10 * np.log10(areas * 150 / RESIDUAL_RANGE**2) + loudness


def lpc_decoder(**changes):
    return small_decoder(local_layers=1, lpc_order=6, hop_length=160, **changes)


def codes_of(rng, frames: int = 3, batch: int = 1) -> tuple:
    """Return codes' vectors and speakers."""
    return rng.normal(size=(batch, frames, 4)).astype("float32"), np.zeros(batch, "int32")


def test_filters_that_do_nothing_change_no_likelihood(rng):
    """With flat bands of the right loudness the residual is the sound: so are levels and bits."""
    plain, lpc = small_decoder(local_layers=1, hop_length=160), lpc_decoder()
    for name in ("conditioner", "network"):
        getattr(lpc, name).set_weights(getattr(plain, name).get_weights())
    set_bands(lpc, flat_bands(lpc))
    wave = 0.1 * rng.normal(size=(2, 480, 1)).astype("float32")
    conditioning = plain.conditioner(*codes_of(rng, batch=2))
    same = np.array(lpc.levels_of(wave, conditioning)) == plain.levels_of(wave, conditioning)
    assert np.mean(same) > 0.99
    losses = [float(decoder.loss(wave, conditioning)) for decoder in (plain, lpc)]
    assert losses[0] == pytest.approx(losses[1], abs=2e-3)


def test_wider_steps_cost_what_they_hide(rng):
    """The likelihood of the same sound: louder filters make coarser levels, and more of them."""
    decoder = lpc_decoder(num_levels=4096)
    decoder.network.out.set_weights([0 * w for w in decoder.network.out.get_weights()])
    wave = 0.01 * rng.normal(size=(1, 480, 1)).astype("float32")
    conditioning, losses = decoder.conditioner(*codes_of(rng)), []
    for loudness in (0.0, 20.0):
        set_bands(decoder, flat_bands(decoder, loudness))
        losses.append(float(decoder.loss(wave, conditioning)))
        residual = wave[0, :, 0] / 10 ** (loudness / 20)
        steps = np.array(mu_law_step(residual, 4096)) / np.array(mu_law_step(wave[0, :, 0], 4096))
        expected = np.log(4096) + np.mean(np.log(steps)) + np.log(10) * loudness / 20
        assert losses[-1] == pytest.approx(expected, abs=5e-3)
    assert losses[1] > losses[0]


@pytest.mark.parametrize(("predicted", "scale"), [(0.1, 0.5), (-0.9, 4.0), (0.02, 0.003)])
def test_probabilities_of_all_levels_of_the_sound_sum_to_1(rng, predicted, scale):
    """Also where the filter is far off; and each is the integral of the residual's density."""
    codec, probs = SampleCodec(64, lpc_order=4), rng.dirichlet(np.full(64, 0.3)).astype("float32")
    sound = mu_law_decode(np.arange(64), 64)[None]
    signal = Signal(sound, sound, np.float32(predicted), np.float32(scale), None)
    mass = np.exp(codec.sound_log_prob(np.log(probs)[None, None].repeat(64, axis=1), signal))[0]
    assert mass.sum() == pytest.approx(1, abs=1e-5)
    edges = np.append(-np.inf, (sound[0, 1:] + sound[0, :-1]) / 2)  # nearly those of the levels
    fine = np.linspace(-1, 1, 400_001)[:-1] + 0.25e-5
    residual = predicted + scale * fine
    density = probs[np.array(mu_law_encode(fine, 64))] / np.array(mu_law_step(fine, 64))
    near = np.bincount(np.searchsorted(edges, residual) - 1, density * 0.5e-5, 64)
    inside = slice(1, -1)  # the last levels of the residual reach further
    assert np.abs(near[inside] - mass[inside]).max() < 0.1 * mass.max()


def test_a_closed_loop_reads_the_past_sound_and_its_prediction(rng):
    codec = SampleCodec(lpc_order=3, closed_loop=True, pre_emphasis=0.5)
    wave = 0.1 * rng.normal(size=(2, 40, 1)).astype("float32")
    filters = rng.uniform(-0.3, 0.3, (2, 5, 3)), rng.uniform(0.01, 0.1, (2, 5))
    filters = [part.astype("float32") for part in filters]
    signal = codec.analyse(wave, filters)
    levels = np.array(codec.encode(wave, filters))
    inputs = np.array(codec.inputs(levels, signal))
    sound = lfilter([1, -0.5], [1], wave[..., 0])
    past = np.pad(sound, ((0, 0), (3, 0)))
    for row, t in [(0, 0), (0, 7), (1, 8), (1, 39)]:
        predicted = past[row, t : t + 3][::-1] @ filters[0][row, t // 8]
        before = levels[row, t - 1] * 2 / 255 - 1 if t else 0
        known = [
            np.sign(x) * np.log1p(255 * abs(x)) / np.log(256) for x in (past[row, t + 2], predicted)
        ]
        np.testing.assert_allclose(inputs[row, t], [before, *known], atol=1e-5)
    again = codec.signal_of(levels, filters)
    step = 16 * filters[1].repeat(8, axis=1) * np.array(mu_law_step(signal.residual))
    assert np.abs(again.sound[:, 0] - sound[:, 0]).max() <= step[:, 0].max()
    np.testing.assert_array_equal(codec.to_levels(again.residual), levels)
    expected = np.array(lpc_predict(again.sound, filters[0]))
    np.testing.assert_allclose(again.sound - expected, again.residual * again.scale, atol=1e-6)


def test_noise_of_a_closed_loop_is_corrected_by_the_residual(rng):
    """The residual leads from the noisy prediction to the true sound; outside training none."""
    codec = SampleCodec(lpc_order=3, closed_loop=True, input_noise=0.5)
    wave = 0.1 * rng.normal(size=(2, 4000, 1)).astype("float32")
    filters = np.full((2, 5, 3), 0.2, "float32"), np.full((2, 5), 0.02, "float32")
    noisy, plain = codec.analyse(wave, filters, training=True), codec.analyse(wave, filters)
    added = np.array(noisy.past) - wave[..., 0]
    assert np.std(added) == pytest.approx(0.01, rel=0.05)
    np.testing.assert_array_equal(plain.past, wave[..., 0])
    np.testing.assert_allclose(noisy.predicted, lpc_predict(noisy.past, filters[0]), atol=1e-6)
    np.testing.assert_allclose(
        noisy.predicted + noisy.residual * noisy.scale, wave[..., 0], atol=1e-6
    )


def test_filters_of_training_can_be_those_of_synthesis(rng):
    decoder = lpc_decoder(trained_filters="predicted")
    wave = 0.1 * rng.normal(size=(1, 480, 1)).astype("float32")
    conditioning = decoder.conditioner(*codes_of(rng))
    residual = decoder.codec.analyse(wave, decoder.filters(conditioning)).residual
    for training in (True, False):
        found = decoder.outputs_for(wave, conditioning, training)[2].residual
        np.testing.assert_array_equal(found, residual)
    own = lpc_decoder().outputs_for(wave, conditioning, True)[2].residual
    assert not np.allclose(own, residual)


def test_in_training_the_filters_are_those_of_the_recording(rng):
    """Whatever bands are predicted, the residual of a recording has the scale of its own frames."""
    decoder = lpc_decoder()
    loudness = np.repeat(np.float32([0.01, 0.1]), 160 * 50)
    wave = (loudness * rng.normal(size=160 * 100)).astype("float32")[None, :, None]
    conditioning = decoder.conditioner(np.zeros((1, 100, 4), "float32"), np.array([0], "int32"))
    own, predicted = decoder.filters(conditioning, wave), decoder.filters(conditioning)
    for filters, equal in ((own, True), (predicted, False)):
        residual = np.array(decoder.codec.analyse(wave, filters).residual)
        spread = [np.std(residual[0, a : a + 6400]) * RESIDUAL_RANGE for a in (800, 8800)]
        assert (np.abs(np.log(spread)) < 0.2).all() == equal
    low, high = np.array(own[1])[0, [25, 75]]
    assert high / low == pytest.approx(10, rel=0.5)
    nll = [np.array(decoder.nll(wave, conditioning, training)) for training in (True, False)]
    signal = decoder.codec.analyse(wave, own)
    levels = decoder.codec.to_levels(signal.residual)
    log_prob = decoder.distribution.log_prob(decoder(levels, conditioning), levels)
    ratio = np.array(decoder.codec.log_step_ratio(signal))
    np.testing.assert_allclose(nll[0], ratio - np.array(log_prob), atol=1e-4)
    assert not np.allclose(*nll)


def test_a_codec_with_lpc_needs_filters():
    with pytest.raises(ValueError, match="lpc_order is 6; expected the filters of the frames"):
        SampleCodec(lpc_order=6).encode(np.zeros((1, 160, 1), "float32"))


def test_synthesis_inverts_the_levels_of_the_frames_filters():
    model = lpc_model(pre_emphasis=0.85, postfilter=0.9)
    sound = tones(0.2, 200.0)
    rounded = round_to_levels(model, sound, "ann")
    assert rounded.shape == sound.shape
    np.testing.assert_allclose(rounded, sound, atol=0.05)
    decoder, z_q = model.decoder, np.array(model.vector_quantize(sound).z_q)
    conditioning = conditioning_for(model, z_q, ["ann", None])
    levels = np.array(decoder.levels_of(np.stack([sound, sound])[..., None], conditioning))
    assert not np.array_equal(*levels)

    def synthesis():
        return decoder.codec.synthesis(decoder.filters(conditioning), model.hop_length)

    whole = synthesis()(levels)
    assert not np.allclose(whole[0, : len(rounded)], rounded, atol=1e-3)  # without the postfilter
    parts = list(map(synthesis(), np.split(levels, [1, 700], axis=1)))
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-5)


RICH = {"pre_emphasis": 0.85, "postfilter": 0.9, "num_components": 3}


@pytest.mark.parametrize("changes", [{}, RICH])
def test_a_model_with_lpc_streams_what_it_generates(changes):
    model, codes = lpc_model(**changes), np.arange(30) % 32
    parts = list(stream(model, codes, ["ann", "bob"]))
    assert len(parts) > 1
    whole = generate(model, codes, ["ann", "bob"])
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-5)
    assert np.abs(whole).max() <= 1


# training


def test_the_bands_of_the_first_stage_make_the_filters_and_stay(store, tmp_path):
    settings = {"steps": 6, "first_stage_steps": 6, "decoder": LPC_DECODER, "progress": False}
    run = train(store, "tiny", save=tmp_path / "w", **settings)
    first = Run(tmp_path / "first_stage").model.decoder
    for one, two in zip(first.weights, run.model.decoder.mel_decoder.weights, strict=True):
        assert np.array_equal(one.numpy(), two.numpy())
    z_q, speaker = run.model.vector_quantize(store.waveform(0)).z_q, np.array([0], "int32")
    decoders = [run.model.decoder, Run(tmp_path).model.decoder]
    filters = [np.array(d.filters(d.conditioner(z_q, speaker))[0]) for d in decoders]
    assert np.array_equal(*filters)
    assert Run(tmp_path).history[-1]["held_out/bits"] > 0


@pytest.fixture(scope="module")
def lpc_runs(store, tmp_path_factory):
    """Runs: without LPC; with LPC; on the frozen codes and bands of that; of another seed."""
    folder = tmp_path_factory.mktemp("lpc_runs")
    short = {"first_stage_steps": 4, "steps": 2, "progress": False}
    plain = decoder_settings(**{**LPC, "lpc_order": 0})
    first = train(store, "tiny", save=folder / "plain/w", decoder=plain, **short)
    changes = {"decoder": LPC_DECODER, "parts": {"decoder": first}}
    second = train(store, "tiny", save=folder / "lpc/w", **changes, **short)
    third = on_frozen_codes(store, folder / "frozen/w", second, conditioner=second)
    other = train(store, "tiny", save=folder / "other/w", decoder=LPC_DECODER, seed=1, **short)
    return first, second, third, other


CODES = ["encoder", "bottleneck"]


@pytest.mark.traced
def test_a_closed_loop_with_noise_is_trained_resumed_exactly_and_generates(
    store, tmp_path, lpc_runs
):
    loop = {"closed_loop": True, "input_noise": 0.2, "trained_filters": "predicted"}
    settings = {"decoder": decoder_settings(**LPC, **loop), "steps": 5, "log_every": 1}
    settings |= {
        "progress": False,
        "parts": dict.fromkeys([*CODES, "conditioner"], lpc_runs[1]),
        "freeze": CODES,
    }
    copy = copy_at(3, tmp_path / "copy")
    whole = train(store, "tiny", save=tmp_path / "run/w", after_step=copy, **settings)
    resumed = train(store, restore=tmp_path / "copy", progress=False)
    assert_same_end(whole, resumed)
    bits = [record["bits"] for record in whole.history]
    assert bits[-1] < bits[0]
    sounds = [run.model.decode(np.arange(20) % 32, ["ann", "bob"]) for run in (whole, resumed)]
    np.testing.assert_array_equal(*sounds)


def on_frozen_codes(store, save, codes_of, speakers=None, **parts):
    """Two steps of a decoder with LPC on the codes of a run, other parts from `parts`."""
    parts = {**dict.fromkeys(CODES, codes_of), **parts}
    settings = {"decoder": LPC_DECODER, "steps": 2, "progress": False, "freeze": CODES}
    return train(store, "tiny", save=save, parts=parts, speakers=speakers, **settings)


def bands_of(run) -> list:
    return run.model.decoder.mel_decoder.get_weights()


def same_weights(one, two) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_mel_decoder_comes_with_the_conditioner(lpc_runs):
    _, second, third, _ = lpc_runs
    assert same_weights(bands_of(second), bands_of(third))


def test_codes_and_bands_of_different_runs_are_refused(store, tmp_path, lpc_runs):
    first, second, *_ = lpc_runs
    with pytest.raises(InputError, match="lpc_order is 12"):
        on_frozen_codes(store, tmp_path / "w", first, decoder=first)
    settings = {"decoder": LPC_DECODER, "parts": {"conditioner": second}, "progress": False}
    with pytest.raises(InputError, match="lpc_order is 12"):
        train(store, "tiny", save=tmp_path / "w", **settings)


def test_mel_decoder_is_the_one_of_the_codes_not_of_another_decoder(store, tmp_path, lpc_runs):
    _, second, _, other = lpc_runs
    assert not same_weights(bands_of(other), bands_of(second))
    made = on_frozen_codes(store, tmp_path / "w", second, conditioner=second, decoder=other)
    assert same_weights(bands_of(made), bands_of(second))


def test_a_codebook_or_speakers_of_another_run_are_refused(store, tmp_path, lpc_runs):
    _, second, _, other = lpc_runs
    with pytest.raises(InputError, match="codes of another bottleneck"):
        on_frozen_codes(
            store, tmp_path / "w", second, conditioner=second, decoder=other, bottleneck=other
        )
    waves = [(store.waveform(0), "eve")]
    with pytest.raises(InputError, match="does not know eve"):
        on_frozen_codes(waves, tmp_path / "w", second, conditioner=second, speakers=["eve"])
    assert not list(tmp_path.iterdir())


def test_other_voices_start_from_a_decoder_with_a_first_stage_of_their_own(store, tmp_path):
    settings = {"steps": 1, "first_stage_steps": 4, "decoder": LPC_DECODER, "progress": False}
    known = train(store, "tiny", save=tmp_path / "a/w", **settings)
    waves = [(store.waveform(number), "eve") for number in (0, 1)]
    rate = {"peak": 1e-9, "warm_up": 0, "end": 1e-9}
    own = train(
        waves,
        "tiny",
        speakers=["eve"],
        save=tmp_path / "b/w",
        parts={"decoder": known},
        learning_rate=rate,
        **settings,
    )
    assert own.model.decoder.speakers.shape[0] == 1
    kernels = [run.model.decoder.network.blocks[0].weights[0].numpy() for run in (known, own)]
    np.testing.assert_allclose(*kernels, atol=1e-6)
    first = Run(tmp_path / "b/first_stage").model.decoder
    for one, two in zip(first.weights, own.model.decoder.mel_decoder.weights, strict=True):
        assert np.array_equal(one.numpy(), two.numpy())


def test_a_card_measures_the_same_sound_whatever_the_codes(store, tmp_path):
    settings = {"steps": 4, "first_stage_steps": 40, "decoder": LPC_DECODER, "progress": False}
    run = train(store, "tiny", save=tmp_path / "w", **settings)
    card = score_card(run, store, sampled=1, progress=False)
    held_out = validate(run.model, store)["bits"]
    assert card["bits per sample"].value == pytest.approx(held_out, rel=1e-4)
    assert abs(card["extra bits, codes zeroed"].value) > 1e-3


def test_outliers_cost_more_the_farther_they_are_and_silence_little(rng):
    """Silence is at the edge of two levels, so the side on which it counts costs about a bit."""
    decoder = lpc_decoder()
    set_bands(decoder, -100.0)  # silence is predicted
    conditioning = decoder.conditioner(np.zeros((1, 3, 4), "float32"), np.array([0], "int32"))
    loud = 0.05 * rng.normal(size=(1, 480, 1)).astype("float32")
    costs = [float(decoder.loss(gain * loud, conditioning)) for gain in (0, 1, 4)]
    assert 0 < costs[0] < np.log(4)
    assert costs[2] > costs[1] > np.log(256)


def test_a_decoder_of_another_hop_is_refused():
    model = lpc_model()
    with pytest.raises(ValueError, match="160 samples per frame, the encoder 64"):
        VQVAE(model.encoder, model.bottleneck, lpc_decoder())


def test_filters_without_a_first_stage_are_refused(store, tmp_path):
    with pytest.raises(InputError, match="lpc_order is 12.*first_stage_steps=2000"):
        train(store, "tiny", decoder=LPC_DECODER, save=tmp_path / "w", progress=False)
    assert not list(tmp_path.iterdir())


def test_a_conditioner_that_does_not_fit_are_named_before_the_first_stage(store, tmp_path):
    settings = {"first_stage_steps": 3, "save": tmp_path / "w", "progress": False}
    with pytest.raises(InputError, match="local_channels|local_layers"):
        train(store, "tiny", decoder={"codec": {"lpc_order": 12}}, **settings)
    assert not list(tmp_path.iterdir())


def test_high_pass_removes_rumble_and_keeps_speech_whatever_the_parts(rng):
    time = np.arange(16_000) / 16_000
    speech = 0.3 * np.sin(2 * np.pi * 200 * time)
    rumble = 0.3 * np.sin(2 * np.pi * 15 * time)
    codec = SampleCodec(pre_emphasis=0.85, high_pass=60.0)
    levels = np.array(codec.encode((speech + rumble)[None, :, None].astype("float32")))
    whole = codec.synthesis()(levels)
    made = np.abs(np.fft.rfft(whole[0], norm="forward"))  # one bin per Hz
    assert 2 * made[200] == pytest.approx(0.3, rel=0.05)
    assert 2 * made[15] < 0.01
    synthesis = codec.synthesis()
    parts = [synthesis(part) for part in np.split(levels, [1, 160, 9000], axis=1)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-6)
    with pytest.raises(ValueError, match="high_pass is -1"):
        SampleCodec(high_pass=-1)
