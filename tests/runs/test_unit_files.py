"""Files of units: each format gives back what was written; damage is named."""

import importlib.util
import json

import numpy as np
import pytest

from vqwn_kit import InputError
from vqwn_kit.runs.unit_files import (
    FILES,
    LINES,
    check_form,
    finished_lines,
    line_of,
    read_units,
    settings_file,
    write_units,
)
from vqwn_kit.runs.units import Units

HAS_PYARROW = importlib.util.find_spec("pyarrow") is not None


@pytest.fixture(params=[(), (3,)], ids=["one", "three"])
def units(rng, request):
    codes = np.repeat(rng.integers(0, 512, (20, *request.param), dtype=np.int32), 3, axis=0)
    return Units("speech/ann/1 ü.wav", codes, 0.01, 0.593, "0123456789ab")


def same(found: Units, expected: Units) -> bool:
    assert found.source == expected.source
    assert found.codes.dtype == np.int32
    np.testing.assert_array_equal(found.codes, expected.codes)
    return (found.period, found.seconds, found.model) == (
        expected.period,
        expected.seconds,
        expected.model,
    )


@pytest.mark.parametrize("collapse", [False, True])
@pytest.mark.parametrize("form", LINES)
def test_lines_give_back_the_codes(tmp_path, units, form, collapse):
    path = tmp_path / "units"
    line = line_of(units, form, collapse)
    path.write_text(f"{line}\n{line}\n", encoding="utf-8")
    if form == "text":
        settings_file(path).write_text(json.dumps({"period": 0.01, "model": units.model}))
    for found in read_units(path):
        assert same(found, units) == (form == "jsonl")  # text has whole frames
        assert found.period == 0.01
    assert len(list(read_units(path))) == 2
    assert finished_lines(path, form) == ({units.source}, 0)


def test_a_line_names_runs_and_times():
    units = Units("a.wav", np.array([7, 7, 9], np.int32), 0.01, 0.028, "m")
    assert line_of(units, "text") == "a.wav\t7 7 9"
    assert line_of(units, "text", collapse=True) == "a.wav\t7:2 9:1"
    fields = json.loads(line_of(units, "jsonl", collapse=True, times=True))
    assert fields == {
        **{"source": "a.wav", "model": "m", "seconds": 0.028, "period": 0.01, "offset": 0.0},
        **{"codes": [7, 9], "durations": [2, 1], "starts": [0.0, 0.02], "ends": [0.02, 0.028]},
    }
    frames = Units("a.wav", np.array([[7, 1], [7, 2]], np.int32), 0.01, 0.02)
    assert line_of(frames, "text", collapse=True) == "a.wav\t7,1:1 7,2:1"


@pytest.mark.parametrize("collapse", [False, True])
def test_arrays_give_back_codes_and_vectors(tmp_path, units, rng, collapse):
    vectors = rng.normal(size=(60, 4)).astype(np.float32)
    given = Units(units.source, units.codes, units.period, units.seconds, units.model, vectors)
    write_units(tmp_path / "ann" / "1.npz", given, "npz", collapse, times=True)
    (found,) = read_units(tmp_path)
    assert same(found, units)
    np.testing.assert_array_equal(found.vectors, vectors)
    (tmp_path / "ann" / ".123-0.tmp.npz").write_bytes(b"PK half")  # of a process that was killed
    assert len(list(read_units(tmp_path))) == 1
    with np.load(tmp_path / "ann" / "1.npz") as content:
        np.testing.assert_allclose(content["ends"], given.spans(collapse)[2])


@pytest.mark.skipif(not HAS_PYARROW, reason="pyarrow is not installed")
@pytest.mark.parametrize("collapse", [False, True])
def test_tables_give_back_codes_and_vectors(tmp_path, units, rng, collapse, monkeypatch):
    monkeypatch.setattr("vqwn_kit.runs.unit_files.ROWS", 17)  # several groups of rows
    vectors = None if collapse else rng.normal(size=(60, 4)).astype(np.float32)
    given = Units(units.source, units.codes, units.period, units.seconds, units.model, vectors)
    write_units(tmp_path / "1.parquet", given, "parquet", collapse)
    (found,) = read_units(tmp_path)
    assert same(found, units)
    if vectors is not None:
        np.testing.assert_array_equal(found.vectors, vectors)


@pytest.mark.skipif(HAS_PYARROW, reason="pyarrow is installed")
def test_without_pyarrow_its_format_is_refused():
    with pytest.raises(InputError, match="pip install pyarrow, or choose --format npz"):
        check_form("parquet")


def test_an_unknown_format_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'jsonl'"):
        check_form("json")


@pytest.mark.parametrize("form", LINES)
def test_a_cut_last_line_is_counted_and_a_damaged_one_named(tmp_path, units, form):
    path, line = tmp_path / "units", line_of(units, form)
    path.write_text(f"{line}\n{line[: len(line) // 2]}", encoding="utf-8")
    cut = len(line[: len(line) // 2].encode())
    assert finished_lines(path, form) == ({units.source}, cut)
    with pytest.raises(InputError, match="line 2 of .*units is no record of units, or is cut"):
        list(read_units(path))
    if form == "jsonl":
        path.write_text(f"{line[:40]}\n{line}\n", encoding="utf-8")
        with pytest.raises(InputError, match="line 1 of .*units is damaged"):
            finished_lines(path, form)


def test_what_holds_no_units_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file of units"):
        list(read_units(tmp_path / "a.jsonl"))
    with pytest.raises(InputError, match=r"holds no .npz or .parquet files"):
        list(read_units(tmp_path))
    (tmp_path / "a.npz").write_bytes(b"PK no")
    with pytest.raises(InputError, match=r"a.npz is no file of units"):
        list(read_units(tmp_path))
    assert set(FILES) == {"npz", "parquet"}
