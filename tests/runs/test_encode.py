"""Recordings become files of units: all of them, once, and again after an interruption."""

import io
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile

from tests.conftest import tones
from vqwn_kit import InputError, encode_files, load_audio, save_audio
from vqwn_kit.data.textgrid import Tier, read_textgrid, write_textgrid
from vqwn_kit.runs import encode
from vqwn_kit.runs.unit_files import read_units, settings_file
from vqwn_kit.runs.unit_output import find_recordings


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Four recordings of two speakers, one of them at another rate, and what is no sound."""
    folder = tmp_path_factory.mktemp("speech")
    for number, name in enumerate(("ann/1.wav", "ann/2.wav", "bob/1.wav")):
        save_audio(folder / name, tones(0.31 + 0.1 * number, 150.0, number))
    save_audio(folder / "bob" / "2.flac", tones(0.5, 150.0), 22_050)
    (folder / "bob" / "broken.wav").write_bytes(b"RIFF no")
    (folder / "bob" / "video.m4a").write_bytes(b"no")
    return folder


def codes_by_file(path) -> dict:
    return {units.source: units.codes for units in read_units(path)}


def expected_of(run, speech) -> dict:
    names = ("ann/1.wav", "ann/2.wav", "bob/1.wav", "bob/2.flac")
    paths = [speech / name for name in names]
    return {str(path): run.model.encode(load_audio(path))[0] for path in paths}


def check(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for name, codes in expected.items():
        np.testing.assert_array_equal(found[name], codes)


@pytest.mark.parametrize("form", ["jsonl", "text", "npz"])
def test_the_units_of_a_folder_are_those_of_its_recordings(run, speech, tmp_path, form):
    done = encode_files(run, speech, tmp_path / "units", form, collapse=form != "npz")
    check(codes_by_file(tmp_path / "units"), expected_of(run, speech))
    assert (done.recordings, done.before) == (4, 0)
    assert done.skipped.keys() == {
        str(speech / "bob" / name) for name in ("broken.wav", "video.m4a")
    }
    assert "is no sound file that can be read" in done.skipped[str(speech / "bob" / "broken.wav")]
    again = encode_files(run, speech, tmp_path / "units", form, collapse=form != "npz")
    assert (again.recordings, again.before) == (0, 4)
    if form == "npz":
        assert (tmp_path / "units" / "bob" / "2.npz").is_file()


def test_a_second_call_continues_after_a_kill(run, speech, tmp_path, monkeypatch):
    save = tmp_path / "units.jsonl"
    encode_files(run, speech, save)
    lines = save.read_bytes().splitlines(keepends=True)
    save.write_bytes(lines[0] + lines[1][:50])
    done = encode_files(run, speech, save)
    assert (done.recordings, done.before, done.cut) == (3, 1, 50)
    assert save.read_bytes().splitlines(keepends=True) == lines
    save.write_bytes(lines[0])

    def press(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr("vqwn_kit.runs.unit_output.line_of", press)
    with pytest.raises(KeyboardInterrupt):
        encode_files(run, speech, save)
    assert save.read_bytes() == lines[0]


def test_other_settings_or_another_encoder_need_another_file(run, residual_run, speech, tmp_path):
    save = tmp_path / "units.jsonl"
    encode_files(run, speech / "ann", save)
    with pytest.raises(InputError, match="has units with collapse=False, not True: give another"):
        encode_files(run, speech / "ann", save, collapse=True)
    with pytest.raises(InputError, match="has units with model="):
        encode_files(residual_run, speech / "ann", save)
    settings_file(save).unlink()
    with pytest.raises(InputError, match=r"its settings, units.jsonl.settings.json beside it"):
        encode_files(run, speech / "ann", save)


def test_vectors_and_several_codebooks_are_written(residual_run, speech, tmp_path):
    encode_files(residual_run, speech / "ann", tmp_path / "npz", "npz", vectors="z_q")
    encode_files(residual_run, speech / "ann", tmp_path / "a.txt", "text")
    frames = codes_by_file(tmp_path / "a.txt")
    model = residual_run.model
    for units in read_units(tmp_path / "npz"):
        assert units.codes.shape[1] == 3
        np.testing.assert_array_equal(units.codes, frames[units.source])
        quantized = model.vector_quantize(load_audio(units.source))
        np.testing.assert_allclose(units.vectors, quantized.z_q[0], atol=1e-5)


def test_textgrids_have_the_codes_beside_words_and_phones(run, speech, tmp_path):
    for name in ("1", "2"):
        save_audio(tmp_path / "in" / "ann" / f"ann_{name}.wav", tones(0.31, 150.0))
    words = [Tier("words", [(0.1, 0.2, "a")]), Tier("phones", [(0.1, 0.2, "AH")])]
    write_textgrid(tmp_path / "in" / "ann" / "ann_1.TextGrid", words, 0.31)
    table = "utterance\tstart\tend\tphone\nann_2\t0.05\t0.25\tIY\n"
    (tmp_path / "in" / "phones.tsv").write_text(table)
    (tmp_path / "in" / "utterances.tsv").write_text(
        "path\tspeaker\nann/ann_1.wav\tann\nann/ann_2.wav\tann\n"
    )
    out = tmp_path / "out"
    done = encode_files(run, tmp_path / "in", tmp_path / "u.jsonl", textgrid=out)
    first, second = [read_textgrid(out / "ann" / f"ann_{n}.TextGrid") for n in (1, 2)]
    assert [tier.name for tier in first] == ["words", "phones", "codes"]
    assert [tier.name for tier in second] == ["phones", "codes"]
    assert second[0].spans[1] == (0.05, 0.25, "IY")
    codes, starts, ends = next(iter(done)).spans(collapse=True)
    assert [label for *_, label in first[2].spans] == list(map(str, codes))
    times = [time for *span, _ in first[2].spans for time in span]
    np.testing.assert_allclose(times, np.stack([starts, ends], axis=1).ravel(), atol=1e-7)


def test_processes_give_the_same_units(run, speech, tmp_path, monkeypatch):
    """With threads in their place, which take no seconds to start."""

    def pool(workers, context, initializer, arguments):
        assert (workers, context.get_start_method()) == (2, "spawn")
        return ThreadPoolExecutor(1, initializer=initializer, initargs=arguments)

    monkeypatch.setattr(encode, "ProcessPoolExecutor", pool)
    monkeypatch.setattr("signal.signal", lambda *given: None)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    done = encode_files(run, speech, tmp_path / "units.jsonl", jobs=2)
    assert (done.recordings, len(done.skipped)) == (4, 2)
    check(codes_by_file(tmp_path / "units.jsonl"), expected_of(run, speech))


def test_a_second_writer_of_an_output_is_refused_and_nothing_of_it_is_left(
    run, speech, tmp_path, monkeypatch
):
    given, save = speech / "ann" / "1.wav", tmp_path / "units.jsonl"
    original = encode.write_recording

    def meanwhile(*arguments):
        with pytest.raises(InputError, match=r"is in use: process .* is writing units.jsonl"):
            encode_files(run, given, save)
        return original(*arguments)

    monkeypatch.setattr(encode, "write_recording", meanwhile)
    (tmp_path / "units.jsonl.busy").mkdir()  # of a process that was killed
    (tmp_path / "units.jsonl.busy" / ".lock").touch()
    assert encode_files(run, given, save).recordings == 1
    assert len(save.read_text().splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {save.name, settings_file(save).name}


def test_the_working_folder_may_be_the_output(run, speech, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    done = encode_files(run, speech / "ann", ".", "npz")
    assert {path.name for path in (tmp_path / "here").iterdir()} == {"1.npz", "2.npz"}
    assert {path.name for path in tmp_path.iterdir()} == {"here", "here.settings.json"}
    assert len(list(done)) == 2
    with pytest.raises(InputError, match=r"--save .*here is a folder: the format jsonl"):
        encode_files(run, speech, ".")
    with pytest.raises(InputError, match="--save / has no name"):
        encode_files(run, speech, "/", "npz")


def test_recordings_of_any_name_are_encoded_once_and_the_other_ones_skipped(run, tmp_path):
    folder = tmp_path / "in"
    odd = save_audio(folder / "a.wav", tones(0.3, 150.0)).rename(folder / os.fsdecode(b"\xff.wav"))
    soundfile.write(folder / "click.wav", np.full(1, 0.5), 48_000)  # no sample of 16 kHz
    given, save = [odd, folder / "click.wav"], tmp_path / "units.jsonl"
    done = encode_files(run, given, save)
    assert [units.source for units in done] == [str(folder / "\\udcff.wav")]
    assert "too short" in done.skipped[str(folder / "click.wav")]
    assert encode_files(run, given, save).before == 1


def test_paths_are_those_of_the_locale(tmp_path, monkeypatch):
    save_audio(tmp_path / "ann" / "é.wav", tones(0.1, 150.0))
    monkeypatch.setattr("os.fsdecode", lambda name: name.decode("latin-1"))
    (recording,) = find_recordings([tmp_path], {})
    name = "é".encode().decode("latin-1")
    assert recording.path == tmp_path / "ann" / f"{name}.wav"
    assert recording.inside == f"ann/{name}"


def test_headers_are_read_for_a_bar_that_is_shown_only(tmp_path, monkeypatch):
    path = save_audio(tmp_path / "a.wav", tones(0.5, 150.0))
    os.mkfifo(tmp_path / "pipe.wav")  # would never be opened
    (tmp_path / "b.wav").write_bytes(b"no")
    assert [encode._seconds(tmp_path / name) for name in ("pipe.wav", "b.wav")] == [0.0, 0.0]
    waiting, read, original = [encode.Recording(path, "a")], [], encode._seconds
    monkeypatch.setattr(encode, "_seconds", lambda path: read.append(path) or original(path))
    for terminal in (False, True):
        monkeypatch.setattr("sys.stderr", io.StringIO())
        sys.stderr.isatty = lambda terminal=terminal: terminal
        with encode._bar(waiting, True) as bar:
            assert read == [path] * terminal
            assert bar.total == (0.5 if terminal else 0) or not terminal
    assert encode._bar(waiting, False).disable
    assert len(read) == 1


@pytest.mark.slow
def test_two_processes_write_each_recording_once(run, speech, tmp_path):
    done = encode_files(run, speech, tmp_path / "units.jsonl", jobs=2)
    assert done.recordings == 4
    check(codes_by_file(tmp_path / "units.jsonl"), expected_of(run, speech))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"form": "jsonl", "vectors": "z_e"}, "written as npz or parquet only"),
        ({"form": "npz", "vectors": "z_e", "collapse": True}, "vectors are of frames, not of runs"),
        ({"form": "text", "times": True}, "give --format jsonl"),
        ({"form": "npz", "save": "units.npz"}, "give the name of a folder"),
        ({"jobs": 0}, "jobs is 0; expected 1 or more"),
        ({"form": "mp3"}, "no format 'mp3'"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(speech, settings, message):
    with pytest.raises(InputError, match=message):
        encode_files("no run is opened", speech, **settings)


def test_recordings_that_are_missing_or_have_one_name_are_refused(run, speech, tmp_path):
    with pytest.raises(InputError, match="no such recording or folder: nowhere"):
        encode_files(run, "nowhere")
    with pytest.raises(InputError, match="no sound files in"):
        encode_files(run, tmp_path)
    with pytest.raises(InputError, match="is the folder of the recordings, whose own TextGrids"):
        encode_files(run, speech, tmp_path / "units.jsonl", textgrid=speech / "ann" / "..")
    both = [speech / "ann" / "1.wav", speech / "bob" / "1.wav"]
    with pytest.raises(InputError, match="have the same name, 1: give the folder above both"):
        encode_files(run, both, tmp_path / "units", "npz")
    save = tmp_path / "units.jsonl"
    assert encode_files(run, [*both, both[0]], save).recordings == 2
    assert json.loads(settings_file(save).read_text())["form"] == "jsonl"
