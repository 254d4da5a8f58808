"""Files of units become sounds that are named by source and voice."""

import json

import numpy as np
import pytest

from tests.conftest import tones
from vqwn_kit import InputError, encode_files, load_audio, save_audio
from vqwn_kit.runs.decode import decode_files
from vqwn_kit.runs.unit_files import read_units
from vqwn_kit.sampling.generate import generate


@pytest.fixture
def generated(monkeypatch):
    """Calls of `stream`, which gives silence here, in two parts."""
    calls = []

    def stream(model, codes, speakers, **settings):
        calls.append((codes, list(speakers), settings))
        sound = np.zeros((len(speakers), len(codes) * model.hop_length), np.float32)
        return iter(np.array_split(sound, 2, axis=1))

    monkeypatch.setattr("vqwn_kit.sampling.generate.stream", stream)
    return calls


@pytest.fixture(scope="module")
def units(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("units")
    for name in ("one", "two"):
        save_audio(folder / f"{name}.wav", tones(0.333, 150.0 if name == "one" else 210.0))
    encode_files(run, folder, folder / "units.jsonl", collapse=True)
    return folder / "units.jsonl"


def test_each_recording_is_decoded_in_each_voice(run, units, tmp_path, generated):
    settings = {"temperature": 0.5, "codebooks": 1}
    saved = []
    paths = decode_files(run, units, ["ann", "bob"], tmp_path, saved.append, **settings)
    names = [f"{source}_as_{voice}.wav" for source in ("one", "two") for voice in ("ann", "bob")]
    assert [path.name for path in paths] == names
    assert saved == paths
    assert len(load_audio(paths[0])) == round(0.333 * 16_000)  # not a whole number of frames
    for (codes, voices, given), name in zip(generated, ("one", "two"), strict=True):
        expected = run.model.encode(load_audio(units.parent / f"{name}.wav"))[0]
        np.testing.assert_array_equal(codes, expected)
        assert (voices, given) == (["ann", "bob"], settings)
    again = decode_files(run, units, ["ann"], tmp_path)
    assert [path.name for path in again] == ["one_as_ann-2.wav", "two_as_ann-2.wav"]


def test_ctrl_c_keeps_what_is_spoken(run, units, tmp_path, monkeypatch):
    expected = generate(run.model, next(iter(read_units(units))).codes, ["ann", "bob"], seed=1)

    def stopped(*given, **settings):
        yield expected[:, :1000]
        raise KeyboardInterrupt

    monkeypatch.setattr("vqwn_kit.sampling.generate.stream", stopped)
    saved = []
    with pytest.raises(
        KeyboardInterrupt, match=r"stopped after 0\.1 s of 0\.7 s; the sound so far"
    ):
        decode_files(run, units, ["ann", "bob"], tmp_path, saved.append)
    assert [path.name for path in saved] == ["one_as_ann.wav", "one_as_bob.wav"]
    for path, sound in zip(saved, expected, strict=True):
        np.testing.assert_allclose(load_audio(path), sound[:1000], atol=1 / 32_000)


def test_the_sound_is_that_of_generate_and_sources_of_one_name_are_distinguished(run, tmp_path):
    codes = [[1, 2, 3, 4, 5], [5, 4, 3]]
    rows = [{"source": f"{n}/a.wav", "codes": row} for n, row in zip("xy", codes, strict=True)]
    (tmp_path / "own.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    paths = decode_files(run, tmp_path / "own.jsonl", ["ann", "bob"], tmp_path / "out", seed=3)
    assert [path.name for path in paths[::2]] == ["x_a_as_ann.wav", "y_a_as_ann.wav"]
    for row, files in zip(codes, (paths[:2], paths[2:]), strict=True):
        expected = generate(run.model, np.array(row), ["ann", "bob"], seed=3)
        for path, sound in zip(files, expected, strict=True):
            np.testing.assert_allclose(load_audio(path), sound, atol=1 / 32_000)


def test_nothing_is_written_where_the_last_utterance_cannot_be_decoded(run, tmp_path):
    own, out = tmp_path / "own.jsonl", tmp_path / "out"
    lines = [
        json.dumps({"source": f"{n}.wav", "codes": [1, c]}) + "\n" for n, c in (("a", 2), ("b", 99))
    ]
    for count, settings, message in ((2, {}, r"b.wav in .*own.jsonl: "), (1, {"mode": "x"}, "'x'")):
        own.write_text("".join(lines[:count]))
        with pytest.raises(InputError, match=message):
            decode_files(run, own, ["ann"], out, **settings)
        assert not list(tmp_path.glob("out/*"))


def test_units_of_another_encoder_and_unknown_voices_are_refused(
    run, residual_run, units, tmp_path, generated
):
    with pytest.raises(InputError, match=r"one.wav in .*units.jsonl has units of another encoder"):
        decode_files(residual_run, units, ["ann"], tmp_path)
    with pytest.raises(InputError, match="did you mean 'ann'"):
        decode_files(run, units, ["anna"], tmp_path)
    own = tmp_path / "own.jsonl"
    own.write_text(json.dumps({"source": "mine.wav", "codes": [1, 99]}) + "\n")
    with pytest.raises(InputError, match=r"mine.wav in .*own.jsonl: codes of shape"):
        decode_files(run, own, ["ann"], tmp_path)
    for line in ("mine\t1 2:3\n", "mine\t\n", "mine\t1 2", "mine 1 2\n", "mine\t1 a\n"):
        own.write_text(line)
        with pytest.raises(InputError, match="line 1 of .*own.jsonl"):
            decode_files(run, own, ["ann"], tmp_path)
    own.write_text("mine\t1 2 3\n")  # text of any origin
    (path,) = decode_files(run, own, ["ann"], tmp_path)
    assert len(load_audio(path)) == 3 * run.model.hop_length


def test_a_file_that_another_program_made_meanwhile_is_not_overwritten(
    run, units, tmp_path, monkeypatch
):
    taken = [[tmp_path / f"{name}_as_ann.wav"] for name in ("one", "two")]
    monkeypatch.setattr("vqwn_kit.sampling.files.name_files", lambda *_: taken)
    taken[1][0].write_bytes(b"of another program")
    with pytest.raises(InputError, match="two_as_ann.wav exists, and nothing is overwritten"):
        decode_files(run, units, ["ann"], tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"of another program"]
