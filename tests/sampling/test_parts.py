"""Conversion in parts: what the whole gives, whatever the parts and the blocks."""

from itertools import pairwise

import numpy as np
import pytest

from tests.conftest import decoder_settings, tones
from vqwn_kit import InputError, build_model, convert_voice, generate, load_preset, stream
from vqwn_kit.models import ResidualConvEncoder, StridedConvEncoder
from vqwn_kit.models.lpc import LPCSynthesis
from vqwn_kit.models.mel import LogMel
from vqwn_kit.sampling import parts
from vqwn_kit.sampling.codes import embed_codes, loudest_cell, quantize
from vqwn_kit.sampling.generate import convert_many, stream_waveform
from vqwn_kit.sampling.griffin_lim import OVERLAP, griffin_lim, griffin_lim_parts
from vqwn_kit.sampling.parts import condition_codes, condition_waveform, conditioning_for
from vqwn_kit.sampling.sampler import Sampler

WAVE = np.concatenate([tones(0.11, hertz, seed) for seed, hertz in enumerate((200, 110, 160, 90))])
RISING = (np.tile(WAVE, 3) * np.geomspace(0.01, 1.0, 3 * len(WAVE))).astype(np.float32)
KINDS = {
    "64": {},
    "2019": {
        "encoder": {"class_name": "2019", "filters": 8},
        "decoder": decoder_settings(local_channels=6, local_layers=2, lpc_order=8, pre_emphasis=0.8)
        | {"network": {"interpolate": True}},
    },
    "Magenta": {"encoder": {"class_name": "Magenta", "num_cycle_layers": 4, "hop_length": 64}},
    "Magenta-gated": {"encoder": {"class_name": "Magenta-gated"}},
    "closed loop": {"decoder": decoder_settings(lpc_order=6, closed_loop=True, postfilter=0.7)},
    "matched": {
        "encoder": {"class_name": "2019", "filters": 8},
        "decoder": decoder_settings(
            local_channels=6, local_layers=1, lpc_order=6, contrast=0.3, match_bands=0.8
        ),
    },
    "postfiltered": {"decoder": decoder_settings(pitch_postfilter=0.9)},
    "all filters": {
        "decoder": decoder_settings(
            local_channels=6, local_layers=1, lpc_order=6, match_bands=0.8, pitch_postfilter=0.9
        ),
    },
    "floor": {"encoder": {"class_name": "2019", "filters": 8, "top_db": 20.0}},
    "first stage": {"decoder": {"class_name": "MelDecoder"}},
}


@pytest.fixture(params=KINDS)
def kind(request):
    """An untrained model, whose encoder's batch normalisation has statistics of its own."""
    model = build_model(load_preset("tiny").change(**KINDS[request.param]), ["ann", "bob"])
    rng = np.random.default_rng(0)
    for weight in model.encoder.weights:
        if "moving_mean" in weight.path:
            weight.assign(rng.normal(0.0, 0.1, weight.shape))
        elif "bias" in weight.path or "beta" in weight.path:
            weight.assign(rng.normal(0.0, 0.3, weight.shape))
    return model


@pytest.fixture
def short(monkeypatch):
    """Parts are a hundredth as long."""
    monkeypatch.setattr(parts, "PART_SECONDS", 0.1)


def test_parts_of_a_waveform_have_the_conditioning_of_the_whole(kind, short):
    whole = conditioning_for(kind, quantize(kind, WAVE), ["ann", "bob"])
    made = list(condition_waveform(kind, np.array_split(WAVE, 13), ["ann", "bob"]))
    assert len(made) > 3
    np.testing.assert_allclose(np.concatenate(made, axis=1), whole, atol=1e-4)
    again = condition_waveform(kind, [WAVE], ["ann", "bob"])
    for one, other in zip(made, again, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", ["floor"], indirect=True)
def test_a_conversion_in_parts_has_the_codes_that_the_whole_is_encoded_to(kind, short):
    """Also where a floor depends on the end of the recording."""
    size = kind.bottleneck.num_embeddings
    z_e = np.array(kind.vector_quantize(RISING).z_e)[0]
    kind.bottleneck.codebook.assign(np.resize(z_e, (size, z_e.shape[1])))
    codes = kind.encode(RISING)
    assert len(np.unique(codes)) > 9
    whole = conditioning_for(kind, embed_codes(kind, codes), ["ann"])
    made = np.concatenate(list(condition_waveform(kind, [RISING], ["ann"])), axis=1)
    np.testing.assert_allclose(made, whole, atol=1e-4)


@pytest.mark.parametrize("stride", [1, 2])
def test_the_loudest_cell_is_that_of_the_whole_wherever_it_lies(rng, stride):
    encoder = ResidualConvEncoder(4, filters=8, stride=stride, top_db=20.0)
    encoder.build((None, None, 1))
    for place in (0, 4000, 3 * 320 * 4, 7039):
        wave = rng.normal(0.0, 1e-3, 7040 - 77).astype(np.float32)
        wave[min(place, len(wave) - 1)] = 1.0
        whole = np.pad(wave, (0, -len(wave) % encoder.hop_length))[None, :, None]
        expected = float(np.max(encoder.spectrum.decibels(whole)))
        assert loudest_cell(encoder, np.array_split(wave, 13), 4) == pytest.approx(expected)
    assert loudest_cell(StridedConvEncoder(4, filters=8), iter([]), 4) is None


def test_parts_of_codes_have_the_conditioning_of_the_whole(kind, short, rng):
    codes = rng.integers(0, 32, (2, 5000 // kind.hop_length))
    whole = conditioning_for(kind, embed_codes(kind, codes), ["ann", "bob"])
    made = list(condition_codes(kind, codes, ["ann", "bob"]))
    assert len(made) > 2
    np.testing.assert_allclose(np.concatenate(made, axis=1), whole, atol=1e-5)


def test_sound_in_parts_is_sound_of_the_whole_to_the_last_bit(kind, monkeypatch):
    """Of the same conditioning; it is cut anywhere, also into single frames."""
    if not kind.is_autoregressive:
        pytest.skip("parts of a first stage are cross-faded")
    conditioning = conditioning_for(kind, quantize(kind, WAVE[:4000]), ["ann", "bob"])
    ends = [0, 1, 2, 9, conditioning.shape[1] - 1, conditioning.shape[1]]
    cut = [conditioning[:, a:b] for a, b in pairwise(ends)]
    whole, pieces = (
        np.concatenate(list(parts.sound_of(kind, given, seed=4, temperature=0.9)), axis=1)
        for given in ([conditioning], cut)
    )
    np.testing.assert_array_equal(pieces, whole)


def test_a_conversion_in_parts_is_that_of_the_whole(model, monkeypatch):
    whole = convert_voice(model, WAVE, ["ann", "bob"], seed=2)
    codes = model.encode(WAVE)[0]
    monkeypatch.setattr(parts, "PART_SECONDS", 0.1)
    np.testing.assert_array_equal(convert_voice(model, WAVE, ["ann", "bob"], seed=2), whole)
    np.testing.assert_array_equal(generate(model, codes, ["ann", "bob"], seed=2)[:, :7040], whole)
    for streamed in (
        stream(model, codes, ["ann", "bob"], seed=2),
        stream_waveform(model, WAVE, ["ann", "bob"], seed=2),
    ):
        np.testing.assert_array_equal(np.concatenate(list(streamed), axis=1)[:, :7040], whole)


@pytest.mark.parametrize("kind", ["64", "postfiltered", "all filters"], indirect=True)
def test_recordings_of_different_lengths_end_one_by_one(kind, short):
    """To the last sample they are what they are alone, but for the rounding of bands in a batch."""
    waves = [WAVE, WAVE[:1000], WAVE[:3200]]
    together = convert_many(kind, waves, [["ann"], ["bob"], ["ann"]], mode="greedy")
    for wave, name, made in zip(waves, ("ann", "bob", "ann"), together, strict=True):
        assert made.shape == (1, len(wave))
        alone = convert_voice(kind, wave, [name], mode="greedy")
        np.testing.assert_allclose(made, alone, rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", ["matched"], indirect=True)
def test_sampled_sound_is_brought_to_the_predicted_bands(kind):
    """To those with the contrast; the error falls to less than half."""
    decoder = kind.decoder
    mel = decoder.get_mel_decoder()
    conditioning = conditioning_for(kind, quantize(kind, WAVE), ["ann"])
    target, plain = (np.array(f(conditioning)) for f in (mel.bands, mel.plain_bands))
    assert np.abs(target - plain).max() > 0.1

    def error(bands: np.ndarray) -> float:
        sound = np.concatenate(list(parts.sound_of(kind, [conditioning], seed=4)), axis=1)
        made = np.array(mel.spectrum(sound[..., None]))
        return float(np.sqrt(np.mean((made - bands)[:, 1:-2] ** 2)))

    matched = error(target)
    decoder.match_bands = 0.0
    assert matched < error(target) / 2


def test_a_pitch_goes_with_its_frames(pitch_run, short):
    model, frames = pitch_run.model, -(-len(WAVE) // pitch_run.model.hop_length)
    pitch = np.where(np.arange(frames) % 5, np.linspace(-5, 5, frames), np.nan)
    whole = conditioning_for(model, quantize(model, WAVE), ["bob"], pitch)
    made = condition_waveform(model, [WAVE], ["bob"], pitch)
    np.testing.assert_allclose(np.concatenate(list(made), axis=1), whole, atol=1e-5)
    with pytest.raises(InputError, match=rf"expected \({frames},\)"):
        convert_voice(model, WAVE, ["bob"], pitch=pitch[:-1])


def test_streams_have_the_random_numbers_of_their_numbers(model):
    conditioning = conditioning_for(model, quantize(model, WAVE[:640]), ["ann", "bob", "ann"])
    sampler = Sampler(model.decoder)
    levels = sampler(conditioning, model.hop_length, seed=3, numbers=[0, 1, 0])
    np.testing.assert_array_equal(levels[0], levels[2])
    np.testing.assert_array_equal(levels[:2], sampler(conditioning[:2], model.hop_length, seed=3))


def test_filters_of_past_frames_are_dropped(rng):
    coefficients, scale = rng.normal(0, 0.1, (2, 30, 4)), rng.uniform(0.01, 0.1, (2, 30))
    residual = rng.normal(size=(2, 30 * 8))
    whole = LPCSynthesis(coefficients, scale, 8, 0.5)(residual)
    synthesis, made = LPCSynthesis(coefficients[:, :10], scale[:, :10], 8, 0.5), []
    for frame in range(0, 30, 5):
        if frame in (5, 15):  # ahead of what has been synthesised
            synthesis.extend(coefficients[:, frame + 5 :][:, :10], scale[:, frame + 5 :][:, :10])
            assert synthesis.poles.shape[1] <= 15
        made.append(synthesis(residual[:, 8 * frame : 8 * frame + 37]))
        made.append(synthesis(residual[:, 8 * frame + 37 : 8 * frame + 40]))
    np.testing.assert_array_equal(np.concatenate(made, axis=1), whole)


def test_parts_of_a_first_stage_are_cross_faded():
    spectrum = LogMel(160)
    spectrum.build()
    bands = np.array(spectrum(tones(1.0, 200.0)[None, :, None]))
    (whole,) = griffin_lim(bands[0], spectrum)[None]
    one = np.concatenate(list(griffin_lim_parts([bands], spectrum)), axis=1)
    np.testing.assert_array_equal(one[0], whole)
    cut = [bands[:, :3], bands[:, 3:40], bands[:, 40:]]
    made = list(griffin_lim_parts(cut, spectrum))
    assert sum(part.shape[1] for part in made) == 16_000
    sound = np.concatenate(made, axis=1)[0]
    steps = np.abs(np.diff(sound))
    seam = slice(160 * (40 - OVERLAP), 160 * 40)
    assert steps[seam].max() < 1.5 * np.delete(steps, np.r_[seam]).max()
