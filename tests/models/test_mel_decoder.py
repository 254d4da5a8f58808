"""The light decoder's contrast."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from tests.conftest import small_decoder
from vqwn_kit.models.mel_decoder import DECIBELS, SMOOTHING
from vqwn_kit.presets.preset import load_preset

LPC = {"local_layers": 1, "lpc_order": 4, "hop_length": 160}


def frames_of(decoder, rng) -> np.ndarray:
    return rng.normal(size=(1, 3, decoder.conditioner.channels)).astype("float32")


def test_contrast_multiplies_the_difference_from_the_outline_and_keeps_the_power(rng):
    decoder = small_decoder(**LPC, contrast=0.5)
    mel, frames = decoder.get_mel_decoder(), frames_of(decoder, rng)
    plain, made = DECIBELS * np.array(mel(frames)), np.array(mel.bands(frames))
    outline = gaussian_filter1d(plain, SMOOTHING, axis=-1, truncate=12)
    change = (made - plain) - 0.5 * (plain - outline)
    inner = change[..., 30:50]  # far from both ends; what is left is the level of the frame
    np.testing.assert_allclose(inner - inner.mean(axis=-1, keepdims=True), 0.0, atol=0.02)
    power = [np.sum(10 ** (bands / 10), axis=-1) for bands in (plain, made)]
    np.testing.assert_allclose(power[1], power[0], rtol=1e-3)
    mel.contrast = 0.0
    np.testing.assert_array_equal(mel.bands(frames), plain)


def test_neither_a_loss_nor_filters_have_the_contrast(rng):
    decoder = small_decoder(**LPC, contrast=2.0)
    mel, frames = decoder.get_mel_decoder(), frames_of(decoder, rng)
    wave = 0.1 * rng.normal(size=(1, 480, 1)).astype("float32")
    loss, filters = float(mel.loss(wave, frames)), decoder.filters(frames)
    mel.contrast = 0.0
    assert float(mel.loss(wave, frames)) == loss
    for one, other in zip(filters, decoder.filters(frames), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_first_stage_has_the_contrast_of_its_decoder():
    preset = load_preset("reference")
    assert preset.first_stage().decoder["config"]["contrast"] == 0.3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"contrast": 3.0}, "contrast is 3.0; expected 0"),
        ({"contrast": -1.0}, "contrast is -1.0; expected 0"),
        ({"match_bands": 1.5}, "match_bands is 1.5; expected 0"),
        ({"pitch_postfilter": -0.1}, "pitch_postfilter is -0.1; expected 0"),
        ({"match_bands": 1.0, "lpc_order": 0}, "match_bands is 1.0 and contrast 0.0 with an lpc_o"),
        ({"contrast": 0.3, "lpc_order": 0}, "match_bands is 0.0 and contrast 0.3 with an lpc_o"),
        ({"match_bands": 1.0, "hop_length": 400}, "with 400 samples per frame; expected fewer"),
    ],
)
def test_a_setting_out_of_range_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        small_decoder(**LPC | changes)
