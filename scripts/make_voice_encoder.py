"""Resemblyzer's weights -> `data/voice-encoder/weights.npz`, without PyTorch.

    pip download --no-deps resemblyzer==0.1.4
    unzip Resemblyzer-0.1.4-py3-none-any.whl resemblyzer/pretrained.pt
    python scripts/make_voice_encoder.py resemblyzer/pretrained.pt

The file has the form of PyTorch before 1.6: pickles of the structure, then the numbers. The reader
below makes arrays and nothing else; it refuses every other class.
"""

import pickle
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np

TARGET = Path(__file__).resolve().parents[1] / "data" / "voice-encoder" / "weights.npz"


class _Reader(pickle.Unpickler):
    """Reads the structure: a tensor becomes (name of its storage, offset, shape, strides)."""

    def find_class(self, module: str, name: str):
        known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch", "FloatStorage"): str,
            ("torch._utils", "_rebuild_tensor_v2"): lambda storage, *form: (storage, *form[:3]),
        }
        return known[module, name]

    def persistent_load(self, entry: tuple) -> str:
        return entry[2]


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a checkpoint by name."""
    with path.open("rb") as file:
        for _ in range(3):  # magic number, version, facts about the system
            pickle.load(file)
        tensors, storages = _Reader(file).load()["model_state"], {}
        for name in pickle.load(file):
            count = int(np.frombuffer(file.read(8), "<i8")[0])
            storages[name] = np.frombuffer(file.read(4 * count), "<f4")
    weights = {}
    for name, (storage, offset, shape, strides) in tensors.items():
        start = storages[storage][offset:]
        steps = [4 * stride for stride in strides]
        weights[name] = np.lib.stride_tricks.as_strided(start, shape, steps).copy()
    return weights


if __name__ == "__main__":
    kept = {
        name.removeprefix("lstm."): array.astype(np.float16)
        for name, array in read_weights(Path(sys.argv[1])).items()
        if not name.startswith("similarity")
    }
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(TARGET, **kept)
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")
