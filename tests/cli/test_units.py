"""`vqwn encode` and `vqwn decode`."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import tones
from vqwn_kit import load_audio, save_audio
from vqwn_kit.cli.main import main


@pytest.fixture
def speech(tmp_path, monkeypatch):
    """Work in a folder with two recordings and one that is broken."""
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        save_audio(tmp_path / "speech" / f"{number}.wav", tones(0.3, 100.0 + 50 * number))
    (tmp_path / "speech" / "broken.wav").write_bytes(b"no")
    return tmp_path / "speech"


def test_encode_writes_lines_and_continues_them(run, speech, capsys):
    command = ["encode", str(run.folder), "speech", "--times"]
    assert main(command) == 0
    text, errors = capsys.readouterr()
    assert text.startswith("units.jsonl: 2 recordings encoded")
    assert "skipped speech/broken.wav: speech/broken.wav is no sound file" in errors
    with open("units.jsonl") as file:
        lines = [json.loads(line) for line in file]
    for line in lines:
        np.testing.assert_array_equal(
            line["codes"], run.model.encode(load_audio(line["source"]))[0]
        )
        np.testing.assert_allclose(line["starts"], line["period"] * np.arange(len(line["codes"])))
    with open("units.jsonl", "a") as file:
        file.write('{"source": "speech/3')
    assert main(command) == 0
    text, errors = capsys.readouterr()
    assert "0 recordings encoded; 2 were finished before" in text
    assert "dropped a cut last line of units.jsonl (20 bytes)" in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "speech"], "no run at nowhere"),
        (["RUN"], "no recordings: give sound files or folders"),
        (["RUN", "speech/broken.wav"], "1 recording could not be encoded, see above"),
        (["RUN", "speech", "--export", "a.npz"], "leave the recordings out"),
        (["RUN", "speech", "--vectors", "z_e"], "vectors are written as npz"),
    ],
)
def test_bad_input_ends_with_status_2(run, speech, capsys, arguments, message):
    arguments = [str(run.folder) if name == "RUN" else name for name in arguments]
    assert main(["encode", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not Path("units.jsonl").exists()


def test_files_without_units_are_refused(run, tmp_path, capsys):
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    command = ["decode", str(run.folder), str(empty), "--speaker", "ann"]
    assert main([*command, "--save", str(tmp_path / "decoded")]) == 2
    assert f"no units in {empty}" in capsys.readouterr().err
    assert not (tmp_path / "decoded").exists()


def test_export_and_decode(run, speech, capsys, monkeypatch):
    assert main(["encode", str(run.folder), "--export", "encoder.npz"]) == 0
    assert capsys.readouterr().out.split() == ["encoder.npz", "encoder.py"]
    calls = []

    def stream(model, codes, speakers, **settings):
        calls.append(settings)
        return iter([np.zeros((len(speakers), len(codes) * model.hop_length), np.float32)])

    monkeypatch.setattr("vqwn_kit.sampling.generate.stream", stream)
    assert main(["encode", str(run.folder), "speech/1.wav", "--format", "npz"]) == 0
    decode = ["decode", str(run.folder), "units", "--speaker", "ann", "bob", "--temperature", "0.7"]
    assert main([*decode, "--mode", "greedy", "--codebooks", "1"]) == 0
    assert capsys.readouterr().out.split()[-2:] == ["decoded/1_as_ann.wav", "decoded/1_as_bob.wav"]
    expected = {"temperature": 0.7, "mode": "greedy", "codebooks": 1}
    assert expected.items() <= calls[0].items()
