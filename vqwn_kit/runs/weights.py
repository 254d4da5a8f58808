"""The weights of a model <-> a `.weights.h5` file of Keras, written whole, and checked when read.

A SHA-256 of the content follows it, which HDF5 skips: a changed byte is found before HDF5, which
can end the process on damaged input, sees it. Files without one are read as well.
"""

import hashlib
import io
from pathlib import Path

import h5py
import numpy as np

from vqwn_kit.errors import InputError
from vqwn_kit.files import reason, write_bytes

MARK = b"vqwn sha256 "  # before the digest


class _Memory(io.BytesIO):
    """A file in memory that Keras takes for one of weights."""

    def __str__(self) -> str:
        return "memory.weights.h5"


def save_weights(model, file: Path, small: bool = False) -> None:
    """Write the weights of a Keras model, without the variables of its optimizer.

    Args:
        model: a built Keras model.
        file: ends in `.weights.h5`; replaced if it exists.
        small: round kernels to float16, in half of the bytes; codebooks stay as they are.

    Raises:
        ValueError: a number is too large for float16.
        OSError: the disk is full; the file is as it was before.
    """
    optimizer, memory = getattr(model, "optimizer", None), _Memory()
    model.optimizer = None
    try:
        model.save_weights(memory)
    finally:
        model.optimizer = optimizer
    content = _halved(memory.getvalue()) if small else memory.getvalue()
    write_bytes(file, content + MARK + hashlib.sha256(content).digest())


def _halved(content: bytes) -> bytes:
    """Return the content of a file of weights with its kernels as float16."""
    memory = io.BytesIO()
    with h5py.File(io.BytesIO(content), "r") as old, h5py.File(memory, "w") as new:

        def copy(name, item):
            if isinstance(item, h5py.Group):
                copied = new.create_group(name)
            else:
                values = item[()]
                if values.ndim > 1 and not name.startswith("bottleneck/"):
                    if np.abs(values).max() > np.finfo(np.float16).max:
                        raise ValueError(f"{name} has numbers that are too large for float16")
                    values = values.astype(np.float16)
                copied = new.create_dataset(name, data=values)
            for key, value in item.attrs.items():
                copied.attrs[key] = value

        old.visititems(copy)
        for key, value in old.attrs.items():
            new.attrs[key] = value
    return memory.getvalue()


def load_weights(model, file: Path) -> None:
    """Load a `.weights.h5` file into a Keras model.

    Raises:
        InputError: the file is missing, damaged, of other shapes, or holds NaN.
        OSError: it cannot be read.
    """
    content = read_weights(file)
    try:
        model.load_weights(_Memory(content))
    except Exception as error:  # whatever Keras and HDF5 raise on what they do not expect
        raise _damaged(file, reason(error)) from error
    for weight in model.weights:
        if not np.isfinite(np.asarray(weight.numpy(), np.float32)).all():
            raise InputError(
                f"{file} holds numbers that are not finite (NaN), in {weight.path}: its training "
                "diverged. Give an earlier checkpoint (P-STEP), or train again with a lower "
                "learning_rate"
            )


def read_weights(file: Path) -> bytes:
    """Return the content of a `.weights.h5` file, without its digest.

    Raises:
        InputError: the file is missing, damaged, no HDF5, or claims more memory than it has bytes.
        OSError: it cannot be read.
    """
    if not file.is_file():
        raise InputError(f"{file} is missing, or no file: expected weights, as training saves them")
    content = file.read_bytes()
    place = content.rfind(MARK, max(0, len(content) - len(MARK) - hashlib.sha256().digest_size))
    if place >= 0:
        content, digest = content[:place], content[place + len(MARK) :]
        if hashlib.sha256(content).digest() != digest:
            raise _damaged(file, "its content differs from its checksum")
    try:
        with h5py.File(io.BytesIO(content), "r") as opened:
            opened.visititems(lambda name, item: _check_item(item, len(content)))
    except InputError as error:
        raise _damaged(file, str(error)) from error
    except Exception as error:  # h5py has no error of its own
        raise _damaged(file, reason(error)) from error
    return content


def _check_item(item, size: int) -> None:
    if isinstance(item, h5py.Dataset) and (
        item.is_virtual or item.external is not None or item.nbytes > size
    ):
        raise InputError(f"{item.name} of the shape {item.shape} is not in the file")


def _damaged(file: Path, why: str) -> InputError:
    return InputError(
        f"{file} does not fit the model of the config.json beside it, or is damaged: {why}"
    )
