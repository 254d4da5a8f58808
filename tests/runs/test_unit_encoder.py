"""A recording in parts has the units of the whole recording."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from tests.conftest import keras, tones
from vqwn_kit import InputError, save_audio
from vqwn_kit.models import (
    DilatedConvEncoder,
    GatedConvEncoder,
    ResidualConvEncoder,
    ResidualQuantizer,
    StridedConvEncoder,
    VectorQuantizer,
)
from vqwn_kit.models.vqvae import VQVAE
from vqwn_kit.runs.unit_encoder import UnitEncoder, encoder_digest

ENCODERS = {
    "64": lambda: StridedConvEncoder(4, filters=8),
    "64-even": lambda: StridedConvEncoder(4, filters=8, kernel_size=4),
    "Magenta": lambda: DilatedConvEncoder(
        4, filters=8, num_cycles=2, num_cycle_layers=6, hop_length=128
    ),
    "causal": lambda: GatedConvEncoder(4, filters=8),
    "pooled": lambda: GatedConvEncoder(4, filters=8, downsample="mean", causal=False),
    "mfcc": lambda: ResidualConvEncoder(4, filters=8, stride=1),
    "log-mel": lambda: ResidualConvEncoder(4, filters=8, features="log_mel"),
    "floor": lambda: ResidualConvEncoder(4, filters=8, top_db=30.0),
}


def run_of(encoder, bottleneck=None) -> SimpleNamespace:
    """Return what stands for a run: random weights and batch statistics, built parts."""
    bottleneck = bottleneck or VectorQuantizer(16, 4)
    encoder.build((None, None, 1))
    bottleneck.build((None, None, 4))
    for weight in encoder.weights:
        if "moving" in weight.path:
            weight.assign(np.random.default_rng(0).uniform(0.5, 1.5, weight.shape))
    model = SimpleNamespace(encoder=encoder, bottleneck=bottleneck, hop_length=encoder.hop_length)
    model.quantized = partial(VQVAE.quantized, model)
    preset = SimpleNamespace(encoder=encoder.get_config(), bottleneck={})
    return SimpleNamespace(model=model, folder="run", preset=preset)


def whole(run, wave) -> tuple[np.ndarray, np.ndarray]:
    """Return codes and z_e of a waveform, encoded at once."""
    hop = run.model.hop_length
    padded = np.pad(wave, (0, -len(wave) % hop))[None, :, None]
    z_e = run.model.encoder(padded, training=False)
    quantized = run.model.bottleneck(z_e, training=False)
    return np.array(quantized.codes[0]), np.array(quantized.z_e[0])


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Five seconds that grow louder, so that a floor depends on the end of the recording."""
    noise = np.random.default_rng(1).normal(0, 0.02, 5 * 16_000)
    wave = (tones(5.0, 130.0) + noise.astype(np.float32)) * np.linspace(0.01, 0.9, 5 * 16_000)
    path = tmp_path_factory.mktemp("recording") / "long.wav"
    save_audio(path, wave[: 5 * 16_000 - 77])
    return path


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.traced
def test_parts_have_the_units_of_the_whole(recording, name):
    from vqwn_kit import load_audio

    run = run_of(ENCODERS[name]())
    codes, z_e = whole(run, load_audio(recording))
    encoder = UnitEncoder(run, "z_e", part=0.01)  # as short as the receptive field allows
    assert encoder.frames * 4 < len(codes)
    units = encoder.encode(recording)
    np.testing.assert_allclose(units.vectors, z_e, rtol=1e-4, atol=1e-5 * np.abs(z_e).max())
    np.testing.assert_array_equal(units.codes, codes)
    assert units.seconds == pytest.approx(5 - 77 / 16_000)
    encoder.margin = 0  # what the overlap is for
    assert np.abs(encoder.encode(recording).vectors - z_e).max() > 1e-3


def test_several_codebooks_and_vectors_on_disk(recording, tmp_path):
    quantizer = ResidualQuantizer(3, 4, quantizer=VectorQuantizer(8, 4))
    run = run_of(ENCODERS["64"](), quantizer)
    units = UnitEncoder(run, "z_q", part=0.5).encode(recording, tmp_path)
    assert units.codes.shape == (1249, 3)
    assert isinstance(units.vectors, np.memmap)
    expected = np.array(quantizer.embed(units.codes[None]))[0]
    np.testing.assert_allclose(units.vectors, expected, atol=1e-5)
    assert not list(tmp_path.iterdir())  # the file has no name
    assert UnitEncoder(run).encode(recording).vectors is None


def test_the_digest_is_that_of_encoder_and_codebook():
    keras.utils.set_random_seed(1)
    run = run_of(ENCODERS["64"]())
    before = encoder_digest(run)
    assert before == encoder_digest(run)
    codebook = run.model.bottleneck.codebook
    codebook.assign(codebook + 1e-6)
    assert encoder_digest(run) != before


def test_other_settings_are_refused():
    run = run_of(ENCODERS["64"]())
    with pytest.raises(InputError, match="no kind of vectors 'z'"):
        UnitEncoder(run, "z")
    for part in (0, float("inf"), float("nan")):
        with pytest.raises(InputError, match=f"part is {part}; expected a positive number"):
            UnitEncoder(run, part=part)
