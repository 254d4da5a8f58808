"""Where runs are looked for; files that are written whole or not at all; one writer in a folder."""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from vqwn_kit import InputError, files, results
from vqwn_kit.files import (
    FIRST_STAGE,
    LONGEST_NAME,
    SCRATCH,
    counted,
    file_name,
    only_writer,
    read_json,
    replacing,
    short_name,
    stores,
    write_bytes,
)


def test_results_are_found_in_scratch_first_and_else_among_those_shipped(tmp_path, monkeypatch):
    monkeypatch.setenv("VQWN_RESULTS", str(tmp_path / "scratch"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "mini").mkdir(parents=True)
    (tmp_path / "data" / "mini" / "utterances.tsv").touch()
    shipped = tmp_path / "results" / "mini"
    shipped.mkdir(parents=True)
    assert results() == tmp_path / "scratch"
    assert results("mini") == shipped
    own = tmp_path / "scratch" / "mini"
    own.mkdir(parents=True)
    assert results("mini") == own
    with pytest.raises(InputError, match="no run 'mimi': did you mean 'mini'"):
        results("mimi")


def test_stores_are_kept_where_they_can_be_written(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "mini").mkdir(parents=True)
    (tmp_path / "data" / "mini" / "utterances.tsv").touch()
    assert stores() == Path(os.environ["VQWN_STORES"])
    monkeypatch.delenv("VQWN_STORES")
    assert stores() == tmp_path / "data" / "stores"
    read_only = {tmp_path / "data"}
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) not in read_only)
    assert stores() == tmp_path / "home" / ".cache" / "vqwn_kit" / "stores"
    read_only.add(tmp_path)  # the nearest folder that exists above the missing home
    with pytest.raises(InputError, match="set VQWN_STORES to a folder"):
        stores()


# Writing


def python(code: str, *arguments) -> subprocess.Popen:
    """Start a process that runs code, with the end of its `ready` line as a signal."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


WRITER = """
import sys, time, pathlib
from vqwn_kit.files import replacing
with replacing(pathlib.Path(sys.argv[1])) as scratch:
    scratch.write_bytes(b"half")
    print(scratch.name, flush=True)
    time.sleep(60)
"""


def test_a_writer_that_is_killed_leaves_the_file_and_its_scratch_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "SWEEP", 0.0)
    file = tmp_path / "weights-3.weights.h5"
    file.write_bytes(b"whole")
    with python(WRITER, file) as writer:
        name = writer.stdout.readline().strip()
        assert SCRATCH.fullmatch(name)
        assert not Path(name).match("*.weights.h5")
        write_bytes(tmp_path / "other", b"1")
        assert (tmp_path / name).is_file()  # its writer lives
        writer.kill()
    assert (tmp_path / name).read_bytes() == b"half"
    assert file.read_bytes() == b"whole"
    write_bytes(tmp_path / "other", b"2")
    assert {path.name for path in tmp_path.iterdir()} == {file.name, "other"}


def test_a_folder_is_listed_once_however_many_files_are_written(tmp_path, monkeypatch):
    listed, iterdir = [], Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: listed.append(path) or iterdir(path))
    for number in range(5):
        write_bytes(tmp_path / str(number), b"1")
    assert listed == [tmp_path]


def test_a_file_is_locked_until_it_has_its_name(tmp_path, monkeypatch):
    """Another process that looks for what was left takes a file that is being renamed for none."""
    monkeypatch.setattr(files, "SWEEP", 0.0)
    replace = os.replace

    def search_before(scratch, path):
        files._remove_abandoned(tmp_path)
        replace(scratch, path)

    monkeypatch.setattr(os, "replace", search_before)
    write_bytes(tmp_path / "a.npz", b"a")
    assert (tmp_path / "a.npz").read_bytes() == b"a"


def test_a_file_that_is_taken_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    """Another process unlinks the first, and holds the second, between `open` and the lock."""
    lock, taken = files._lock, []

    def lock_late(file):
        if len(taken) < 2:
            taken.append(Path(file.name))
            if len(taken) == 1:
                taken[0].unlink()
            else:
                return False
        return lock(file)

    monkeypatch.setattr(files, "_lock", lock_late)
    write_bytes(tmp_path / "a.npz", b"a")
    assert (tmp_path / "a.npz").read_bytes() == b"a"
    assert len(taken) == 2


def test_a_file_that_took_the_name_of_an_abandoned_one_is_left_alone(tmp_path, monkeypatch):
    scratch, lock = tmp_path / ".1-0.tmp.npz", files._lock
    scratch.touch()

    def lock_late(file):
        os.replace(scratch, tmp_path / "a.npz")  # its writer ends, and another one begins
        scratch.touch()
        return lock(file)

    monkeypatch.setattr(files, "_lock", lock_late)
    files._remove_abandoned(tmp_path)
    assert scratch.is_file()


@pytest.mark.parametrize("locks", [True, False], ids=["locks", "no locks"])
def test_processes_of_one_number_on_two_machines_write_two_files(tmp_path, monkeypatch, locks):
    if not locks:
        monkeypatch.setattr(files, "_lock", lambda file: None)
    with replacing(tmp_path / "a.npz") as one:
        one.write_bytes(b"a")
        monkeypatch.setattr(
            files, "_scratch_numbers", itertools.count(int(one.name.split("-")[1].split(".")[0]))
        )
        with replacing(tmp_path / "b.npz") as two:
            assert one != two
            two.write_bytes(b"b")
    assert (tmp_path / "a.npz").read_bytes() + (tmp_path / "b.npz").read_bytes() == b"ab"


def test_an_error_while_writing_leaves_the_file_as_it_was(tmp_path):
    file = tmp_path / "table.tsv"
    write_bytes(file, b"before")
    with pytest.raises(IsADirectoryError), replacing(file) as scratch:
        scratch.write_bytes(b"after") and tmp_path.write_bytes(b"")
    assert file.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [file]


def test_a_name_of_255_bytes_can_be_written(tmp_path):
    file = tmp_path / (80 * "中" + 11 * "a" + ".wav")
    assert len(file.name.encode()) == 255
    write_bytes(file, b"sound")
    assert list(tmp_path.iterdir()) == [file]


# One writer

HOLDER = """
import sys, time, pathlib
from vqwn_kit.files import only_writer
with only_writer(pathlib.Path(sys.argv[1])):
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_second_writer_is_refused_until_the_first_ends_or_dies(tmp_path):
    folder = tmp_path / "new" / "run"
    with python(HOLDER, folder) as holder:
        assert holder.stdout.readline() == "ready\n"
        with pytest.raises(InputError, match=f"process {holder.pid} on .* is training"):
            with only_writer(folder, "adding a voice"):
                pass
        holder.kill()
    assert (folder / ".lock").is_file()  # of a dead process
    with only_writer(folder, "comparing"):
        with pytest.raises(InputError, match=f"process {os.getpid()} on .* is comparing in it"):
            with only_writer(folder):
                pass
    assert list(folder.iterdir()) == []


def test_a_folder_that_stays_empty_is_removed_and_one_that_does_not_is_kept(tmp_path):
    with pytest.raises(InputError, match="refused"), only_writer(tmp_path / "a" / "b"):
        raise InputError("refused")
    assert list(tmp_path.iterdir()) == []
    with only_writer(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "config.json").touch()
    assert (tmp_path / "a" / "b" / "config.json").is_file()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot create the folder .*VQWN_RESULTS"):
        with only_writer(tmp_path / "file" / "run"):
            pass


def test_a_first_stage_is_locked_with_the_whole_run(tmp_path, monkeypatch):
    run, stage = tmp_path / "run", tmp_path / "run" / FIRST_STAGE
    for one, other in ((run, stage), (stage, run), (stage, stage)):
        with only_writer(one), pytest.raises(InputError, match=f"{run} is in use"):
            with only_writer(other):
                pass
    stage.mkdir(parents=True)
    monkeypatch.chdir(stage)
    with only_writer(Path("weights").parent), pytest.raises(InputError, match=f"{run} is in use"):
        with only_writer(run):
            pass


def test_a_folder_that_is_read_only_is_named_and_no_option(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(InputError, match="make it writable, or copy it") as caught:
        with only_writer(tmp_path, "adding a voice"):
            pass
    assert "--" not in str(caught.value)


# Reading and naming


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "5", '{"a": ' + 5000 * "9" + "}", 100_000 * "[", '{"a": 1} {"b": 2}', "\0"],
    ids=["open", "a list", "a number", "5,000 digits", "deep", "two", "NUL"],
)
def test_what_is_no_json_object_is_named(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=r"config\.json .*is not the config of a run"):
        read_json(tmp_path / "config.json", "the config of a run")


def test_a_pipe_in_place_of_a_file_is_named_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(InputError, match="no file"):
        read_json(tmp_path / "config.json", "the config of a run")


def test_long_names_are_cut_to_what_file_systems_take_and_stay_different():
    long = [200 * "中" + end for end in "ab"]
    for make in (file_name, short_name):
        names = [make(text) for text in long]
        assert all(len(name.encode()) <= LONGEST_NAME for name in names)
        assert len(set(names)) == 2
        assert make("short_name") == "short_name"
    assert file_name("a b/c: d") == "a_b_c_d"
    assert re.fullmatch(r"\w{1,80}", file_name(300 * "a"))


def test_scratch_files_of_two_threads_have_different_names(tmp_path):
    with replacing(tmp_path / "a.tsv") as one, replacing(tmp_path / "b.tsv") as two:
        assert one != two
        one.write_text("1")
        two.write_text("2")
    assert (tmp_path / "a.tsv").read_text() + (tmp_path / "b.tsv").read_text() == "12"


def test_one_is_counted_in_the_singular():
    assert [counted(n, "held-out utterances") for n in (0, 1, 2)] == [
        "0 held-out utterances",
        "1 held-out utterance",
        "2 held-out utterances",
    ]
    assert counted(1, "runs of any code") == "1 run of any code"
    assert counted(1, "") == "1"
