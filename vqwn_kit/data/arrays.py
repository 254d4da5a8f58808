"""Arrays <-> `.npy` and `.npz` files, written whole, and checked before memory is taken for them.

Nothing is unpickled. An array that claims more bytes than its file has is refused.
"""

import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np

from vqwn_kit.errors import InputError
from vqwn_kit.files import reason, write_bytes


def save_arrays(file: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name into an `.npz` file.

    Raises:
        OSError: the disk is full; the file is as it was before.
    """
    memory = io.BytesIO()
    np.savez(memory, **arrays)  # pyright: ignore[reportArgumentType]
    write_bytes(file, memory.getbuffer())


def save_array(file: Path, array: np.ndarray) -> None:
    """Write an `.npy` file.

    Raises:
        OSError: the disk is full; the file is as it was before.
    """
    memory = io.BytesIO()
    np.save(memory, array, allow_pickle=False)
    write_bytes(file, memory.getbuffer())


def load_arrays(file: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an `.npz` file by name.

    Raises:
        InputError: it is missing, or damaged.
        OSError: it cannot be read.
    """
    size = _size(file)
    try:
        with zipfile.ZipFile(file) as content:
            members = content.infolist()
            if sum(member.file_size for member in members) > size:
                raise ValueError("it claims more than it holds")  # it is never compressed
            arrays = {}
            for member in members:
                with content.open(member) as opened:
                    arrays[member.filename.removesuffix(".npy")] = _read(opened, size)
        return arrays
    except OSError:
        raise
    except Exception as error:  # zipfile and NumPy raise a dozen kinds on damaged files
        raise InputError(f"{file} is damaged: {reason(error)}") from error


def load_array(file: Path) -> np.ndarray:
    """Return the array of an `.npy` file.

    Raises:
        InputError: it is missing, or no such file.
        OSError: it cannot be read.
    """
    size = _size(file)
    try:
        with file.open("rb") as opened:
            return _read(opened, size)
    except OSError:
        raise
    except Exception as error:  # as above
        raise InputError(f"{file} is no .npy table, or is damaged: {reason(error)}") from error


def _size(file: Path) -> int:
    if not file.is_file():
        raise InputError(f"no such file: {file}; expected arrays, as training saves them")
    return file.stat().st_size


def _read(opened: IO[bytes], size: int) -> np.ndarray:
    """Read an array of at most `size` bytes."""
    version = np.lib.format.read_magic(opened)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the format")
    major = version[0]
    header = (
        np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = header(opened)
    if dtype.hasobject or dtype.kind not in "biuf":
        raise ValueError(f"numbers were expected, not {dtype}")
    count = math.prod(shape)
    if min(shape, default=0) < 0 or count * dtype.itemsize > size:
        raise ValueError(f"an array of the shape {shape} is not in the file")
    content = opened.read(count * dtype.itemsize)
    if len(content) < count * dtype.itemsize:
        raise ValueError("it is cut off")
    array = np.frombuffer(content, dtype).copy()
    return array.reshape(shape, order="F" if fortran else "C")
