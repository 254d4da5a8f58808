"""An exported encoder, read with NumPy alone, equals Keras's; its codes are the same."""

import ast
import runpy
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from tests.conftest import ROOT, tones
from tests.runs.test_unit_encoder import ENCODERS, run_of, whole
from vqwn_kit import InputError, load_audio, load_run, save_audio
from vqwn_kit.models import (
    ClusteringQuantizer,
    FiniteScalarQuantizer,
    ProductQuantizer,
    ResidualQuantizer,
    SimVQ,
    VectorQuantizer,
    VectorQuantizerEMA,
)
from vqwn_kit.runs import numpy_encoder
from vqwn_kit.runs.export_encoder import codebook_arrays, encoder_arrays, export_encoder
from vqwn_kit.runs.numpy_encoder import encode

EXPORTED = {"64", "64-even", "mfcc", "log-mel", "floor"}
QUANTIZERS = {
    "vq": lambda: VectorQuantizer(16, 4, code_dim=2, batch_norm=True, unit_norm=True),
    "ema": lambda: VectorQuantizerEMA(16, 4),
    "simvq": lambda: SimVQ(16, 4),
    "cvq": lambda: ClusteringQuantizer(16, 4, unit_norm=True),
    "residual": lambda: ResidualQuantizer(3, 4, quantizer=VectorQuantizer(8, 4, batch_norm=True)),
    "product": lambda: ProductQuantizer(2, 4, quantizer=VectorQuantizer(8, 2, code_dim=1)),
}


def compare(run, wave) -> None:
    arrays = encoder_arrays(run.model) | codebook_arrays(run.model)
    hop = run.model.hop_length
    padded = np.pad(wave, (0, -len(wave) % hop))[None, :, None]
    expected = np.array(run.model.encoder(padded, training=False))[0]
    z_e, codes = encode(wave, arrays)
    np.testing.assert_allclose(z_e, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_array_equal(codes, whole(run, wave)[0])


@pytest.mark.parametrize("name", sorted(EXPORTED))
def test_encoders_equal_keras(rng, name):
    run = run_of(ENCODERS[name]())
    wave = tones(0.7, 150.0)[:-33] + rng.normal(0, 0.02, 11_167).astype(np.float32)
    compare(run, wave)
    compare(run, wave[:500])  # fewer frames than a parabola of the deltas


@pytest.mark.parametrize("name", QUANTIZERS)
def test_codes_of_quantizers_equal_keras(rng, name):
    run = run_of(ENCODERS["64"](), QUANTIZERS[name]())
    for weight in run.model.bottleneck.weights:
        if "moving" in weight.path:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    compare(run, tones(0.7, 150.0) + rng.normal(0, 0.1, 11_200).astype(np.float32))


def test_the_shipped_run_is_exported_with_a_reader_that_needs_numpy_alone(tmp_path):
    run = load_run(ROOT / "results" / "mini")
    files = export_encoder(run, tmp_path / "encoder.npz")
    assert [file.name for file in files] == ["encoder.npz", "encoder.py"]
    reader, source = runpy.run_path(str(files[1])), files[1].read_text()
    nodes = list(ast.walk(ast.parse(source)))
    imports = [alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names]
    imports += [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)]
    assert set(imports) == {"numpy", "sys", "wave"}
    assert len(source.splitlines()) < 70  # some sixty, says the guide
    with np.load(files[0], allow_pickle=False) as content:
        arrays = dict(content)
    wave = load_audio(ROOT / "data" / "mini" / "kumo" / "kumo_036.flac")
    quantized = run.model.vector_quantize(wave)
    z_e, codes = reader["encode"](wave, arrays)
    np.testing.assert_allclose(z_e, quantized.z_e[0], atol=1e-5 * np.abs(z_e).max())
    np.testing.assert_array_equal(codes, quantized.codes[0])


def test_the_reader_prints_the_codes_of_a_recording_and_refuses_other_forms(
    tmp_path, monkeypatch, capsys
):
    run = run_of(ENCODERS["64"]())
    np.savez(tmp_path / "e.npz", **encoder_arrays(run.model), **codebook_arrays(run.model))
    wave, path = tones(0.2, 150.0), str(tmp_path / "a.wav")

    def read():
        monkeypatch.setattr("sys.argv", ["encoder.py", str(tmp_path / "e.npz"), path])
        runpy.run_path(numpy_encoder.__file__, run_name="__main__")

    save_audio(path, wave)
    read()
    expected = whole(run, load_audio(path))[0].tolist()
    assert capsys.readouterr().out.split() == list(map(str, expected))
    for rate, channels, kind in (
        (48_000, 1, "PCM_16"),
        (16_000, 2, "PCM_16"),
        (16_000, 1, "FLOAT"),
    ):
        soundfile.write(path, np.stack(channels * [wave], axis=1), rate, kind)
        with pytest.raises(SystemExit, match="16 bits, one channel, 16000 Hz"):
            read()


def test_other_encoders_quantizers_and_files_are_refused_by_name():
    for name in set(ENCODERS) - EXPORTED:
        with pytest.raises(InputError, match=r"the encoder Magenta.* cannot be exported; expected"):
            encoder_arrays(SimpleNamespace(encoder=ENCODERS[name]()))
    grid = FiniteScalarQuantizer((4, 4), 4)
    with pytest.raises(InputError, match="the quantizer fsq"):
        codebook_arrays(SimpleNamespace(bottleneck=grid))
    with pytest.raises(InputError, match=r"a name that ends in .npz"):
        export_encoder("no run is opened", "encoder.onnx")
