"""Files of arrays: full disks, and damage that is named before memory is taken."""

import io
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from tests.conftest import ROOT
from vqwn_kit import InputError
from vqwn_kit.data.arrays import load_array, load_arrays, save_array, save_arrays

ARRAYS = {"step": np.array(3), "model/0": np.arange(6.0).reshape(2, 3), "empty": np.zeros((0, 2))}


def test_arrays_are_read_as_they_were_written(tmp_path):
    save_arrays(tmp_path / "a.npz", ARRAYS)
    read = load_arrays(tmp_path / "a.npz")
    assert read.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(read[name], array)
    fortran = np.asfortranarray(ARRAYS["model/0"])
    save_array(tmp_path / "a.npy", fortran)
    np.testing.assert_array_equal(load_array(tmp_path / "a.npy"), fortran)


def npy(shape: tuple, dtype: str = "<f4") -> bytes:
    """Return the header of an array that claims a shape, and four bytes."""
    memory = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(memory, header)
    return memory.getvalue() + b"1234"


@pytest.mark.parametrize(
    "content",
    [
        npy((10**12,)),
        npy((2**40, 2**40)),
        npy((-1,)),
        npy((2,)),
        npy((1,), "|O"),
        b"",
        b"\x93NUMPY",
    ],
    ids=["1e12 numbers", "overflow", "negative", "cut off", "objects", "empty", "magic"],
)
def test_a_damaged_array_is_named_and_takes_no_memory(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npy is no \.npy table, or is damaged"):
        load_array(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("model/0.npy", content)
    with pytest.raises(InputError, match=r"a\.npz is damaged"):
        load_arrays(tmp_path / "a.npz")


def test_a_zip_bomb_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("model/0.npy", npy((10**6,)) + bytes(4 * 10**6))
    with pytest.raises(InputError, match="claims more than it holds"):
        load_arrays(tmp_path / "a.npz")


# Each file of a run is written at every size of a disk that is too small. The process has no
# TensorFlow; its model writes weights as Keras does, with h5py.
FULL = """
import pathlib, resource, sys
import h5py, numpy as np
from vqwn_kit.data.arrays import save_array, save_arrays
from vqwn_kit.runs.history import append_history, write_history
from vqwn_kit.runs.weights import read_weights, save_weights

class Model:
    def __init__(self, value):
        self.value = value

    def save_weights(self, file):
        with h5py.File(file, "w") as opened:
            opened["layers/dense/vars/0"] = np.full((4, 8), self.value, np.float32)
            opened["layers/dense/vars/1"] = np.full(8, self.value, np.float32)

folder, value = pathlib.Path(sys.argv[1]), np.arange(9.0)
writers = {
    "w.weights.h5": lambda file, v: save_weights(Model(v), file),
    "s.state.npz": lambda file, v: save_arrays(file, {"step": np.array(v), "model/0": value * v}),
    "e.npy": lambda file, v: save_array(file, value * v),
    "history.jsonl": lambda file, v: write_history(folder, [{"step": v, "seconds": 1.0}]),
}
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
for name, write in writers.items():
    file = folder / name
    write(file, 1)
    before, names = file.read_bytes(), sorted(folder.iterdir())
    for size in range(0, len(before), 7 if len(before) > 1000 else 1):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            write(file, 2)
            sys.exit(f"{name}: {len(before)} bytes written where {size} fit")
        except OSError as error:
            assert error.strerror, error
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert file.read_bytes() == before, f"{name}: changed at {size}"
        assert sorted(folder.iterdir()) == names, f"{name}: a scratch file is left at {size}"
    print(name, len(before))
read_weights(folder / "w.weights.h5")
history = (folder / "history.jsonl").read_bytes()
line = 34  # bytes
for size in range(len(history), len(history) + line):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        append_history(folder, {"step": 3, "seconds": 1.0, "a": 5})
        sys.exit(f"a line was written where {size} bytes fit")
    except OSError as error:
        assert error.strerror, error
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (folder / "history.jsonl").read_bytes() == history
"""


def test_a_disk_that_is_full_at_any_byte_keeps_the_last_files_and_leaves_no_scratch(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 4


def test_a_file_system_that_fills_up_keeps_the_last_weights(tmp_path):
    """On a real file system of 96 KiB, filled to each KiB."""
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", "size=96k", "tmpfs", str(tmp_path)]
    if mount is None or subprocess.run([mount, *options], capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        file, array = tmp_path / "e.npy", np.arange(4000.0)  # 32 KiB
        save_array(file, array)
        for kib in range(33, 64):
            (tmp_path / "other").write_bytes(bytes(1024 * kib))
            with pytest.raises(OSError, match="No space left"):
                save_array(file, 2 * array)
            np.testing.assert_array_equal(load_array(file), array)
            assert {path.name for path in tmp_path.iterdir()} == {"e.npy", "other"}
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
