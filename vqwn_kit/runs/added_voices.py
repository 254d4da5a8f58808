"""Voices that were added to a trained run: a small file for each, in `voices/` of its folder.

NAME.npz holds `vector`, float32 (speaker_dim,) or with the biases of `Conditioner.offset_channels`,
and `about`, JSON as uint8: the step whose weights it was fitted to, and how.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vqwn_kit.data.arrays import load_arrays, save_arrays
from vqwn_kit.errors import InputError, one_of

FOLDER = "voices"
LARGEST = 1e9  # magnitude of a number in such a file
NAME = re.compile(r"\w[\w .+-]{0,39}")
RESERVED = ("no speaker", "original")  # what the voice lab calls other things


@dataclass(frozen=True)
class AddedVoice:
    """A voice that was added to a run; see `vqwn_kit.add_voice`.

    Attributes:
        name: of the voice.
        vector: float32 (speaker_dim,), or (speaker_dim + offset_channels,).
        step: of the weights that it was fitted to, and fits.
        about: seconds of speech, losses and others, by name.
    """

    name: str
    vector: np.ndarray
    step: int
    about: dict = field(default_factory=dict)

    @property
    def facts(self) -> dict[str, str]:
        """What is shown beside its name, as the facts of trained speakers are."""
        return {"added": f"added from {self.about.get('seconds', 0.0):.0f} s of speech"}

    def __str__(self) -> str:
        """Say in one line what it was fitted on, and how well it fits."""
        parts = [f"{self.name}: {self.about.get('seconds', 0.0):.1f} s of speech"]
        for measure, (before, start, error) in self.about.get("errors", {}).items():
            parts.append(f"{measure} {error:.3f} ({start}: {before:.3f})")
        if "hertz" in self.about:
            parts.append(f"mean pitch {self.about['hertz']:.0f} Hz")
        return ", ".join(parts)


def voice_file(folder: Path, name: str) -> Path:
    """Return the path of the file of a voice.

    Raises:
        InputError: a name that cannot be that of a file on every system.
    """
    if not NAME.fullmatch(name) or name.strip(" .") != name or name.lower() in RESERVED:
        raise InputError(
            f"a voice cannot have the name {name!r}; expected 1 to 40 letters, digits, spaces and "
            "_ . + -, such as ann"
        )
    return folder / FOLDER / f"{name}.npz"


def save_voice(folder: Path, voice: AddedVoice) -> Path:
    """Write a voice into the folder of a run, whole or not at all; return the path."""
    file = voice_file(folder, voice.name)
    about = json.dumps({"step": voice.step, **voice.about}).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    vector = voice.vector.astype(np.float32)
    save_arrays(file, {"vector": vector, "about": np.frombuffer(about, np.uint8)})
    return file


def read_voice(file: Path) -> AddedVoice:
    """Read what `save_voice` wrote.

    Raises:
        InputError: the file is damaged, or no voice.
    """
    try:
        content = load_arrays(file)
        vector, about = content["vector"], json.loads(content["about"].tobytes())
        if vector.ndim != 1 or vector.dtype.kind != "f" or not (np.abs(vector) < LARGEST).all():
            raise ValueError(f"a vector of shape {vector.shape} of {vector.dtype}")
        step = _checked(about).pop("step")
    except (InputError, ValueError, KeyError, RecursionError) as error:
        again = f"remove it (vqwn add-voice {file.parent.parent} --remove {file.stem!r})"
        raise InputError(
            f"{file} is damaged, or no voice of a run ({error}): {again}, and add the voice again"
        ) from error
    return AddedVoice(file.stem, vector.astype(np.float32), step, about)


def _checked(about) -> dict:
    """Return what a file says about a voice.

    Raises:
        ValueError: something in it is missing, or of another type.
    """
    if not isinstance(about, dict) or type(about.get("step")) is not int:
        raise ValueError("it says no step")
    errors = about.get("errors", {})
    if not isinstance(errors, dict) or not all(map(_is_comparison, errors.values())):
        raise ValueError("its errors are no numbers")
    if not all(_is_number(about.get(name, 0.0)) for name in ("seconds", "hertz")):
        raise ValueError("its seconds or hertz are no number")
    return about


def _is_comparison(value) -> bool:
    return (
        isinstance(value, list)
        and [isinstance(x, str) for x in value] == [False, True, False]
        and _is_number(value[0])
        and _is_number(value[2])
    )


def _is_number(value) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < LARGEST)


def voice_files(folder: Path) -> list[Path]:
    """Return the files of the voices that were added to a run, by name."""
    files = (folder / FOLDER).glob("*.npz")
    return sorted(file for file in files if not file.name.startswith("."))


def remove_voice(folder: Path, name: str) -> Path:
    """Remove a voice that was added to a run, even if its file is damaged; return the path.

    Raises:
        InputError: there is none of this name.
    """
    names = [file.stem for file in voice_files(folder)]
    if name not in names:
        if not names:
            raise InputError(f"no voice was added to {folder}; given --remove {name}")
        raise one_of("added voice", name, names)
    file = folder / FOLDER / f"{name}.npz"
    file.unlink()
    return file
