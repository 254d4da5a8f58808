"""Waveforms from mel bands."""

import numpy as np
import pytest

from tests.conftest import tones
from vqwn_kit import build_model, load_preset
from vqwn_kit.models.mel import LogMel
from vqwn_kit.sampling.generate import convert_many, generate, stream
from vqwn_kit.sampling.griffin_lim import griffin_lim


def test_the_bands_of_the_waveform_are_those_that_were_given():
    wave, spectrum = tones(1.0, 220.0), LogMel(160)
    bands = np.array(spectrum(wave[None, :, None]))[0]
    made = griffin_lim(bands, spectrum, seed=3)
    assert made.shape == (16_000,)
    assert np.std(made) == pytest.approx(np.std(wave), rel=0.1)
    true, again = (np.array(spectrum(w[None, :, None]))[0, 3:-3] for w in (wave, made))
    loud = true > true.max() - 30
    assert np.abs(again - true)[loud].mean() < 1.5  # dB
    np.testing.assert_array_equal(made, griffin_lim(bands, spectrum, seed=3))


@pytest.mark.parametrize("frames", [1, 3, 4, 5])
def test_short_sounds_have_their_length(frames):
    spectrum = LogMel(160)
    spectrum.build()
    made = griffin_lim(np.full((frames, 80), -10.0), spectrum)
    assert made.shape == (160 * frames,)
    assert np.isfinite(made).all()


def test_bands_of_an_untrained_decoder_give_a_finite_sound():
    spectrum = LogMel(160)
    spectrum.build()
    made = griffin_lim(np.full((20, 80), 500.0), spectrum)
    assert np.abs(made).max() <= 1.0


@pytest.fixture(scope="module")
def first_stage():
    return build_model(load_preset("tiny").change(decoder="mel"), ["ann", "bob"])


def test_a_first_stage_speaks_by_the_same_functions_as_a_wavenet(first_stage, rng):
    waves = [rng.uniform(-0.5, 0.5, size).astype("float32") for size in (3200, 1600)]
    one, two = convert_many(first_stage, waves, [["ann", "bob"], ["bob"]])
    assert (one.shape, two.shape) == ((2, 3200), (1, 1600))
    codes = first_stage.encode(waves[0])
    sound = first_stage.decode(codes, ["ann"])
    np.testing.assert_array_equal(sound, generate(first_stage, codes, ["ann"]))
    (part,) = stream(first_stage, codes, ["ann"], temperature=0.5)
    np.testing.assert_array_equal(sound, part)
    decoder = first_stage.decoder
    frames = decoder.conditioner(first_stage.bottleneck.embed(codes), first_stage.speaker_ids([0]))
    expected = griffin_lim(np.array(decoder.bands(frames))[0], decoder.spectrum)
    np.testing.assert_allclose(sound[0], expected, atol=1e-5)
