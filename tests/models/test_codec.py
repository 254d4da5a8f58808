"""Linear prediction: filters that follow from codes, what they leave of a sound, and it again."""

import numpy as np
import pytest
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from tests.conftest import small_wavenet, tones
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
from vqwn_kit.models.layers import mu_law_encode, mu_law_step
from vqwn_kit.models.lpc import FLOOR, LEAST_POWER, RANGE, Synthesis, filters, remainder
from vqwn_kit.models.mel import LogMel
from vqwn_kit.sampling.generate import as_sounds, conditioning_for, in_levels
from vqwn_kit.training.validate import validate

PREDICTS = {"prediction_order": 12, "local_channels": 6, "local_layers": 1}


@pytest.fixture
def spectrum() -> LogMel:
    layer = LogMel(160)
    layer.build()
    return layer


def mean_bands(spectrum: LogMel, sound: np.ndarray) -> np.ndarray:
    """Return the bands (1, 1, M) of the mean power of a sound (T,), without its ends."""
    power = 10 ** (np.array(spectrum(sound[None, :, None]))[0, 5:-5] / 10)
    return 10 * np.log10(power.mean(axis=0))[None, None]


def speaking_model(**changes):
    preset = load_preset("tiny").change(decoder={**PREDICTS, **changes})
    return build_model(preset, ["ann", "bob"])


# filters


def test_filters_are_the_best_predictors_of_the_power_between_the_bands(spectrum, rng):
    bands = rng.uniform(-60, 20, (2, 3, 80))
    coefficients, scale = filters(bands, 9, spectrum, 0.85)
    import librosa

    mel = librosa.filters.mel(sr=16_000, n_fft=512, n_mels=80, fmin=20.0, fmax=8000.0)
    centres = librosa.mel_frequencies(82, fmin=20.0, fmax=8000.0)[1:-1]
    hertz = np.fft.rfftfreq(512, 1 / 16_000)
    window = np.hanning(401)[:400]
    for row in np.ndindex(2, 3):
        decibels = np.interp(hertz, centres, bands[row] - 10 * np.log10(mel.sum(axis=1)))
        response = np.abs(1 - 0.85 * np.exp(-2j * np.pi * hertz / 16_000)) ** 2
        r = np.fft.irfft(10 ** (decibels / 10) * response)[:10] / np.sum(window**2)
        floor = r[0] * FLOOR + LEAST_POWER
        told = solve_toeplitz(r[:9] + np.eye(9)[0] * floor, r[1:])
        np.testing.assert_allclose(coefficients[row], told, atol=1e-4)
        error = r[0] + floor - told @ r[1:]
        assert float(scale[row]) == pytest.approx(np.sqrt(error), rel=1e-4)


def test_noise_has_nothing_to_predict_and_its_own_scale(spectrum, rng):
    bands = mean_bands(spectrum, rng.normal(0, 0.1, 160 * 400).astype(np.float32))
    coefficients, scale = filters(bands, 10, spectrum)
    assert np.abs(coefficients).max() < 0.15
    assert float(scale[0, 0]) == pytest.approx(0.1, rel=0.1)


def test_of_a_resonance_little_more_than_the_noise_that_drives_it_is_left(spectrum, rng):
    poles = np.poly(0.95 * np.exp(1j * np.array([0.6, -0.6]))).real
    sound = lfilter([1.0], poles, rng.normal(0, 0.01, 160 * 400)).astype(np.float32)
    coefficients, scale = filters(mean_bands(spectrum, sound), 16, spectrum)
    wide = [np.repeat(part, 400, axis=1) for part in (np.array(coefficients), np.array(scale))]
    left = RANGE * np.array(remainder(sound[None], *wide)) * wide[1][0, 0]
    assert np.std(sound) > 0.035
    assert np.std(left) == pytest.approx(0.01, rel=0.1)
    assert float(scale[0, 0]) == pytest.approx(0.01, rel=0.2)


def test_no_filter_rings_for_ever(spectrum, rng):
    bands = rng.choice([-100.0, 40.0], (1, 50, 80))
    for told in np.array(filters(bands, 32, spectrum, 0.85)[0])[0]:
        assert np.abs(np.roots(np.append(1.0, -told))).max() < 1


# what is left of a sound


def test_a_remainder_is_spoken_again_in_whatever_parts(rng):
    coefficients = rng.uniform(-0.15, 0.15, (2, 5, 4)).astype(np.float32)
    scale = rng.uniform(0.01, 0.1, (2, 5)).astype(np.float32)
    sound = rng.normal(size=(2, 40)).astype(np.float32)
    left = np.array(remainder(sound, coefficients, scale))
    for stream_, t in [(0, 0), (0, 2), (1, 8), (1, 39)]:
        past = [sound[stream_, t - k] if t >= k else 0 for k in (1, 2, 3, 4)]
        told = sound[stream_, t] - coefficients[stream_, t // 8] @ past
        assert left[stream_, t] == pytest.approx(told / RANGE / scale[stream_, t // 8], abs=1e-5)
    synthesis = Synthesis(coefficients, scale, 8)
    parts = np.split(left, [1, 3, 8, 8, 29], axis=1)
    again = np.concatenate([synthesis(part) for part in parts], axis=1)
    np.testing.assert_allclose(again, sound, atol=1e-5)


def test_a_postfilter_raises_peaks_and_keeps_the_loudness(rng):
    """A resonance over noise: the peak stands out by what the two shrunk filters give there."""
    told = -np.poly(0.95 * np.exp(1j * np.array([0.6, -0.6]))).real[1:]
    coefficients = np.tile(told, (1, 200, 1)).astype(np.float32)
    scale, left = np.ones((1, 200), np.float32), rng.normal(0, 1 / RANGE, (1, 200 * 160))
    plain, raised = [Synthesis(coefficients, scale, 160, b)(left)[0] for b in (0.0, 0.8)]
    assert np.std(raised) == pytest.approx(np.std(plain), rel=0.05)
    power = [np.abs(np.fft.rfft(sound.reshape(-1, 640) * np.hanning(640))) ** 2
             for sound in (plain, raised)]  # fmt: skip
    ratio = 10 * np.log10(power[1].mean(axis=0) / power[0].mean(axis=0))
    angle = np.exp(-1j * np.pi * np.arange(321) / 320)
    lags = np.arange(3)
    response = [np.polyval((np.append(1, -told) * b**lags)[::-1], angle) for b in (0.5, 0.8)]
    expected = 20 * np.log10(np.abs(response[0] / response[1]))
    peak, valley = 61, 250  # 0.6 / pi of 320 bins
    assert ratio[peak] - ratio[valley] > 6
    found = ratio[peak] - ratio[valley - 20 : valley + 20].mean()
    assert found == pytest.approx(expected[peak] - expected[valley], abs=1)
    synthesis = Synthesis(coefficients, scale, 160, 0.8)
    parts = [synthesis(part) for part in np.split(left, [1, 100, 161, 3000], axis=1)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1)[0], raised, atol=1e-4)


@pytest.mark.parametrize(
    "changes", [{"postfilter": 1.0, "prediction_order": 4}, {"postfilter": 0.5}]
)
def test_a_postfilter_without_filters_is_refused(changes):
    with pytest.raises(ValueError, match="postfilter is .*; expected 0, none"):
        small_wavenet(**changes)


@pytest.mark.parametrize("levels", [256, 1024])
def test_a_mu_law_step_is_as_wide_as_its_level(levels):
    fine = np.linspace(-1, 1, 2_000_001)
    borders = fine[1:][np.diff(np.array(mu_law_encode(fine, levels))) > 0]
    widths, middles = np.diff(borders), (borders[1:] + borders[:-1]) / 2
    np.testing.assert_allclose(np.array(mu_law_step(middles, levels)), widths, rtol=0.02, atol=2e-6)


# the decoder


def test_filters_that_do_nothing_change_no_likelihood(rng):
    """With flat bands of the right loudness the remainder is the sound: so are levels and bits."""
    plain = small_wavenet(local_layers=1)
    predicts = small_wavenet(local_layers=1, prediction_order=6, hop_length=160)
    for mine, theirs in zip(
        [predicts.frames, *predicts.blocks], [plain.frames, *plain.blocks], strict=True
    ):
        mine.set_weights(theirs.get_weights())
    for name in ("first", "first_skip", "conditions", "post", "post_condition", "out"):
        getattr(predicts, name).set_weights(getattr(plain, name).get_weights())
    spectrum = predicts.envelope.spectrum
    flat = 10 * np.log10(spectrum.mel.sum(axis=0) * 150 / RANGE**2) / 20
    kernel, _ = predicts.envelope.out.get_weights()
    predicts.envelope.out.set_weights([0 * kernel, flat])
    wave = 0.1 * rng.normal(size=(2, 480, 1)).astype("float32")
    z_q, speaker = rng.normal(size=(2, 3, 4)).astype("float32"), np.array([0, 2], "int32")
    frames = plain.frames(z_q, speaker)
    told = np.array(predicts.targets(wave, frames))
    assert np.mean(told == np.array(plain.targets(wave))) > 0.99
    losses = [of.losses_of(wave, z_q, speaker, False)["wavenet/nll"] for of in (plain, predicts)]
    assert float(losses[0]) == pytest.approx(float(losses[1]), abs=2e-3)


def test_wider_steps_cost_what_they_hide(rng):
    """The likelihood of the same sound: louder filters make coarser levels, and more of them."""
    wavenet = small_wavenet(local_layers=1, prediction_order=6, hop_length=160, levels=4096)
    wavenet.out.set_weights([0 * weight for weight in wavenet.out.get_weights()])
    spectrum = wavenet.envelope.spectrum
    kernel, _ = wavenet.envelope.out.get_weights()
    wave = 0.01 * rng.normal(size=(1, 480, 1)).astype("float32")
    z_q, speaker = rng.normal(size=(1, 3, 4)).astype("float32"), np.array([0], "int32")
    losses = []
    for loudness in (0.0, 20.0):
        flat = (10 * np.log10(spectrum.mel.sum(axis=0) * 150 / RANGE**2) + loudness) / 20
        wavenet.envelope.out.set_weights([0 * kernel, flat])
        wider = np.array(wavenet.losses_of(wave, z_q, speaker, False)["wavenet/nll"])
        left = wave[0, :, 0] / 10 ** (loudness / 20)
        steps = np.array(mu_law_step(left, 4096)) / np.array(mu_law_step(wave[0, :, 0], 4096))
        losses.append(wider)
        expected = np.log(4096) + np.mean(np.log(steps)) + np.log(10) * loudness / 20
        assert float(wider) == pytest.approx(expected, abs=5e-3)
    assert losses[1] > losses[0]


def test_in_training_the_filters_are_those_of_the_recording(rng):
    """Whatever bands are told, what is left of a recording has the scale of its own frames then."""
    wavenet = small_wavenet(local_layers=1, prediction_order=6, hop_length=160)
    loudness = np.repeat(np.float32([0.01, 0.1]), 160 * 50)
    wave = (loudness * rng.normal(size=160 * 100)).astype("float32")[None, :, None]
    frames = wavenet.frames(np.zeros((1, 100, 4), "float32"), np.array([0], "int32"))
    for training, equal in ((True, True), (False, False)):
        _, scale, left = wavenet._told(wave, frames, training)
        spread = [np.std(np.array(left)[0, a : a + 6400]) * RANGE for a in (800, 8800)]
        assert (np.abs(np.log(spread)) < 0.2).all() == equal
    low, high = [float(np.array(wavenet.filters(frames, wave)[1])[0, n]) for n in (25, 75)]
    assert high / low == pytest.approx(10, rel=0.5)


def test_levels_of_a_remainder_need_frames():
    with pytest.raises(ValueError, match="targets without frames"):
        small_wavenet(local_layers=1, prediction_order=6).targets(np.zeros((1, 160, 1), "float32"))


@pytest.mark.parametrize("order", [-1, 64])
def test_an_order_that_makes_no_sense_is_refused(order):
    with pytest.raises(ValueError, match="prediction_order is .*; expected 0, none, to 32"):
        small_wavenet(prediction_order=order)


def test_what_is_left_is_spoken_through_the_filters_of_its_frames():
    model = speaking_model(emphasis=0.85, postfilter=0.9)
    sound = tones(0.2, 200.0)
    heard = in_levels(model, sound, "ann")
    assert heard.shape == sound.shape
    np.testing.assert_allclose(heard, sound, atol=0.05)
    frames = conditioning_for(model, np.array(model.quantize(sound).z_q), ["ann", None])
    levels = np.array(model.decoder.targets(np.stack([sound, sound])[..., None], frames))
    assert not np.array_equal(*levels)
    (whole,) = as_sounds(model.decoder, [levels], frames)
    assert not np.allclose(whole[0, : len(heard)], heard, atol=1e-3)  # without the postfilter
    parts = list(as_sounds(model.decoder, np.split(levels, [1, 700], axis=1), frames))
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"emphasis": 0.85, "postfilter": 0.9, "mixtures": 3}])
def test_a_model_that_predicts_streams_what_it_generates(changes):
    model, codes = speaking_model(**changes), np.arange(30) % 32
    parts = list(stream(model, codes, ["ann", "bob"]))
    assert len(parts) > 1
    whole = generate(model, codes, ["ann", "bob"])
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-5)
    assert np.abs(whole).max() <= 1


# training


def test_the_bands_of_the_first_stage_make_the_filters_and_stay(store, tmp_path):
    settings = {"steps": 6, "first_stage_steps": 6, "decoder": PREDICTS, "progress": False}
    run = train(store, "tiny", save=tmp_path / "w", **settings)
    first = Run(tmp_path / "first_stage").model.decoder
    for one, two in zip(first.weights, run.model.decoder.envelope.weights, strict=True):
        assert np.array_equal(one.numpy(), two.numpy())
    z_q, speaker = run.model.quantize(store.waveform(0)).z_q, np.array([0], "int32")
    decoders = [run.model.decoder, Run(tmp_path).model.decoder]
    one, two = [np.array(d.filters(d.frames(z_q, speaker))[0]) for d in decoders]
    assert np.array_equal(one, two)
    assert Run(tmp_path).history[-1]["held_out/bits"] > 0


def test_filters_are_taken_over_with_their_codes_also_by_a_plain_decoders_successor(
    store, tmp_path
):
    plain = {**PREDICTS, "prediction_order": 0}
    settings = {"steps": 2, "first_stage_steps": 4, "progress": False}
    first = train(store, "tiny", save=tmp_path / "a/w", decoder=plain, **settings)
    second = train(
        store, "tiny", save=tmp_path / "b/w", decoder=PREDICTS, parts={"decoder": first}, **settings
    )
    codes = ["encoder", "bottleneck"]
    third = train(
        store, "tiny", save=tmp_path / "c/w", decoder=PREDICTS, steps=2, progress=False,
        parts=dict.fromkeys([*codes, "conditions"], second), freeze=codes,
    )  # fmt: skip
    weights = [run.model.decoder.envelope.get_weights() for run in (second, third)]
    assert all(np.array_equal(one, two) for one, two in zip(*weights, strict=True))
    with pytest.raises(InputError, match="prediction_order is 12"):
        train(
            store, "tiny", save=tmp_path / "d/w", decoder=PREDICTS, progress=False,
            parts=dict.fromkeys([*codes, "decoder"], first), freeze=codes,
        )  # fmt: skip
    with pytest.raises(InputError, match="prediction_order is 12"):
        train(
            store, "tiny", save=tmp_path / "d/w", decoder=PREDICTS, progress=False,
            parts={"conditions": second},
        )  # fmt: skip
    parts = {**dict.fromkeys(codes, second), "conditions": second, "decoder": third}
    other = train(store, "tiny", save=tmp_path / "e/w", decoder=PREDICTS, seed=1, **settings)
    fourth = train(
        store, "tiny", save=tmp_path / "f/w", decoder=PREDICTS, steps=1, progress=False,
        parts=parts | {"decoder": other}, freeze=codes,
    )  # fmt: skip
    bands = fourth.model.decoder.envelope.get_weights()
    assert all(np.array_equal(one, two) for one, two in zip(bands, weights[0], strict=True))
    with pytest.raises(InputError, match="other codes than those of the bottleneck"):
        train(
            store, "tiny", save=tmp_path / "d/w", decoder=PREDICTS, progress=False,
            parts=parts | {"bottleneck": other}, freeze=codes,
        )  # fmt: skip
    waves = [(store.waveform(0), "eve")]
    with pytest.raises(InputError, match="doesn't know eve"):
        train(
            waves, "tiny", speakers=["eve"], save=tmp_path / "d/w", decoder=PREDICTS,
            parts=dict.fromkeys([*codes, "conditions"], second), freeze=codes, progress=False,
        )  # fmt: skip
    assert not (tmp_path / "d").exists()


def test_other_voices_go_on_from_a_decoder_that_predicts_with_a_first_stage_of_theirs(
    store, tmp_path
):
    settings = {"steps": 1, "first_stage_steps": 4, "decoder": PREDICTS, "progress": False}
    known = train(store, "tiny", save=tmp_path / "a/w", **settings)
    waves = [(store.waveform(number), "eve") for number in (0, 1)]
    rate = {"peak": 1e-9, "warm_up": 0, "end": 1e-9}
    own = train(
        waves, "tiny", speakers=["eve"], save=tmp_path / "b/w", parts={"decoder": known},
        learning_rate=rate, **settings,
    )  # fmt: skip
    assert own.model.decoder.speakers.shape[0] == 1
    kernels = [run.model.decoder.blocks[0].weights[0].numpy() for run in (known, own)]
    np.testing.assert_allclose(*kernels, atol=1e-6)
    first = Run(tmp_path / "b/first_stage").model.decoder
    for one, two in zip(first.weights, own.model.decoder.envelope.weights, strict=True):
        assert np.array_equal(one.numpy(), two.numpy())


def test_a_card_measures_the_same_sound_whatever_the_codes(store, tmp_path):
    settings = {"steps": 4, "first_stage_steps": 40, "decoder": PREDICTS, "progress": False}
    run = train(store, "tiny", save=tmp_path / "w", **settings)
    card = score_card(run, store, spoken=1, progress=False)
    held_out = validate(run.model, store)["bits"]
    assert card["bits a sample"].value == pytest.approx(held_out, rel=1e-4)
    assert abs(card["listening gap, codes zeroed"].value) > 1e-3


def test_what_no_level_reaches_costs_more_the_farther_it_is_and_silence_costs_nothing(rng):
    wavenet = small_wavenet(local_layers=1, prediction_order=6, hop_length=160)
    kernel, bias = wavenet.envelope.out.get_weights()
    wavenet.envelope.out.set_weights([0 * kernel, 0 * bias - 5.0])  # -100 dB is told: silence
    frames = np.zeros((1, 3, 4), "float32"), np.array([0], "int32")
    loud = 0.05 * rng.normal(size=(1, 480, 1)).astype("float32")
    costs = [
        float(wavenet.losses_of(gain * loud, *frames, False)["wavenet/nll"]) for gain in (0, 1, 4)
    ]
    assert costs[0] == 0
    assert costs[2] > costs[1] > np.log(256)


def test_a_decoder_of_another_hop_is_refused():
    model = speaking_model()
    with pytest.raises(ValueError, match="160 samples a frame, the encoder 64"):
        VQVAE(model.encoder, model.bottleneck, small_wavenet(prediction_order=4, local_layers=1))


def test_filters_without_a_first_stage_are_refused(store, tmp_path):
    with pytest.raises(InputError, match="prediction_order is 12.*first_stage_steps=2000"):
        train(store, "tiny", decoder=PREDICTS, save=tmp_path / "w", progress=False)
    assert not list(tmp_path.iterdir())


def test_bands_that_do_not_fit_are_named_before_the_first_stage(store, tmp_path):
    settings = {"first_stage_steps": 3, "save": tmp_path / "w", "progress": False}
    with pytest.raises(InputError, match="local_channels|local_layers"):
        train(store, "tiny", decoder={"prediction_order": 12}, **settings)
    assert not list(tmp_path.iterdir())
