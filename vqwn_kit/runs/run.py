"""The run folder. Loading the model of a run needs no training code.

config.json                  preset, speakers, corpus, and the runs that parts were loaded from
.lock                        the process that trains in it now
history.jsonl                one line per logging interval
weights-STEP.weights.h5      weights for generation: the moving average, where the run has one
weights-STEP.state.npz       everything that training needs to resume exactly; newest step only
embedding_STEP.npy           codebook (K, D); of Q codebooks (Q K, D), one after the other
speaker_embedding_STEP.npy   vectors of the speakers (S, speaker_dim)
voices/NAME.npz              voices that were added afterwards; see added_voices.py
familiarity.json             how far held-out speech lies from the codes, see evaluation/familiarity
"""

import json
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vqwn_kit.data.arrays import load_array, save_array
from vqwn_kit.errors import InputError, one_of
from vqwn_kit.files import make_folder, read_json, results, write_bytes
from vqwn_kit.presets.build import build_model
from vqwn_kit.presets.preset import Preset, from_dict
from vqwn_kit.runs.added_voices import AddedVoice, read_voice, voice_files
from vqwn_kit.runs.history import read_history
from vqwn_kit.runs.weights import load_weights, save_weights

if TYPE_CHECKING:
    from vqwn_kit.models.vqvae import VQVAE

DEFAULT_PREFIX = "weights"
CONFIG = "the config of a run, as `vqwn train` writes it"


class Run:
    """A run on disk.

    Args:
        path: a run folder, or a checkpoint as in `saved_model/weights-110640`.

    Attributes:
        folder: the folder.
        prefix: what the file names of its checkpoints begin with.
        step: the step that the path names, or None for the newest.
        config: the content of `config.json`.

    Raises:
        InputError: no such run, a damaged config, or a TensorFlow 1 checkpoint.
    """

    _model_step: int | None = None

    def __init__(self, path: str | Path):
        path = Path(path)
        _refuse_tensorflow_1(path)
        match = re.fullmatch(r"(.+)-([0-9]{1,18})", path.name.removesuffix(".weights.h5"))
        self.folder = path if path.is_dir() else path.parent
        self.config = self._read_config(path)
        self.prefix = self.config.get("prefix", DEFAULT_PREFIX)
        self.step = None
        if not path.is_dir():
            self.prefix, self.step = (match[1], int(match[2])) if match else (path.name, None)
            if not self.steps or self.step not in (None, *self.steps):
                raise InputError(f"no checkpoint {path}: {self._checkpoints()}")

    def _checkpoints(self) -> str:
        files = sorted(file.name for file in self.folder.glob("*.weights.h5"))[:12]
        names = ", ".join(name.removesuffix(".weights.h5") for name in files)
        return f"{self.folder} has {names or 'no checkpoint yet; train it first'}"

    def _read_config(self, path: Path) -> dict:
        file = self.folder / "config.json"
        if not file.is_file():
            raise InputError(
                f"no run at {path}: expected a folder with config.json and checkpoints, as `vqwn "
                "train` writes it, or a checkpoint such as saved_model/weights-1000"
            )
        return checked_config(read_json(file, CONFIG), file)

    @classmethod
    def create(
        cls,
        path: str | Path,
        preset: Preset,
        corpus_name: str,
        speakers: dict,
        parts: dict[str, str] | None = None,
        *,
        write: bool = True,
        **more,
    ) -> "Run":
        """Create a run folder, or reuse one, and write its `config.json`.

        Args:
            path: folder and prefix of the checkpoints, such as `results/mini/weights`.
            preset: the preset.
            corpus_name: name of the corpus.
            speakers: facts by speaker, in the order of their numbers.
            parts: checkpoints that parts of the model were loaded from, by part.
            write: whether this process does so; False where another one writes it.
            **more: `data` and `earlier`, see `corpus_of.py`.

        Raises:
            InputError: the folder cannot be created.
        """
        path = Path(path)
        run = cls.__new__(cls)
        run.folder, run.prefix, run.step = path.parent, path.name, None
        run.config = {
            "preset": preset.to_dict(),
            "prefix": path.name,
            "corpus": corpus_name,
            "speakers": speakers,
            "parts": parts or {},
            **more,
        }
        if write:
            make_folder(path.parent)
            write_bytes(run.folder / "config.json", json.dumps(run.config, indent=1).encode())
        return run

    def __repr__(self) -> str:
        """Show the folder and the steps of the checkpoints."""
        return f"Run({str(self.folder)!r}, steps={self.steps})"

    @property
    def preset(self) -> Preset:
        """The preset that was trained."""
        return from_dict(self.config["preset"])

    @property
    def trained_speakers(self) -> dict[str, dict[str, str]]:
        """Facts by speaker of the corpus that it was trained on, in the order of their numbers."""
        return self.config["speakers"]

    @property
    def speakers(self) -> dict[str, dict[str, str]]:
        """The same, and then those of the voices that were added."""
        added = {name: voice.facts for name, voice in self.added_voices.items()}
        return self.trained_speakers | added

    @cached_property
    def added_voices(self) -> dict[str, AddedVoice]:
        """Voices that were added to the weights of `model_step`, by name; see `vqwn_kit.add_voice`.

        Raises:
            InputError: the file of one is damaged.
        """
        return self._voices_at(self.model_step) if self.steps else {}

    def _voices_at(self, step: int) -> dict[str, AddedVoice]:
        voices = map(read_voice, voice_files(self.folder))
        return {voice.name: voice for voice in voices if voice.step == step}

    def reload_voices(self) -> None:
        """Read the added voices again, also into the model if it was loaded."""
        self.__dict__.pop("added_voices", None)
        if "model" in self.__dict__:
            self._set_voices(self.model, self.added_voices)

    def _set_voices(self, model: "VQVAE", voices: dict[str, AddedVoice]) -> None:
        conditioner = model.decoder.conditioner
        sizes = (conditioner.speaker_dim, conditioner.speaker_dim + conditioner.offset_channels)
        for name, voice in voices.items():
            if len(voice.vector) not in sizes:
                raise InputError(
                    f"the added voice {name} of {self.folder} has {len(voice.vector)} numbers; "
                    f"expected {sizes[0]} or {sizes[1]}: remove it, and add it again"
                )
        model.set_added_voices({name: voice.vector for name, voice in voices.items()})

    @property
    def steps(self) -> list[int]:
        """Steps of the checkpoints, oldest first."""
        return self._steps_of("weights.h5")

    def _steps_of(self, ending: str) -> list[int]:
        pattern = re.compile(re.escape(self.prefix) + r"-([0-9]{1,18})\." + re.escape(ending))
        files = self.folder.iterdir() if self.folder.is_dir() else ()
        matches = [pattern.fullmatch(path.name) for path in files]
        return sorted(int(match[1]) for match in matches if match)

    @property
    def newest(self) -> int:
        """The step that the path names, else that of the newest checkpoint.

        Raises:
            InputError: no checkpoint was written yet.
        """
        if self.step is not None:
            return self.step
        if not self.steps:
            raise InputError(self._checkpoints())
        return self.steps[-1]

    @property
    def history(self) -> list[dict]:
        """One dict per logging interval; times in seconds, likelihoods in bits per sample."""
        return read_history(self.folder)

    def weights_file(self, step: int) -> Path:
        """Return the path of the weights of a step."""
        return self.folder / f"{self.prefix}-{step}.weights.h5"

    def state_file(self, step: int) -> Path:
        """Return the path of the training state of a step."""
        return self.folder / f"{self.prefix}-{step}.state.npz"

    @cached_property
    def model(self) -> "VQVAE":
        """The model with the weights of `newest`, at the first use."""
        step = self.newest
        model = self.load_model(step)
        self.__dict__.pop("added_voices", None)  # they may be of an earlier step
        self._model_step = step
        return model

    @property
    def model_step(self) -> int:
        """The step of `model`, which stays when training in the folder continues; or `newest`."""
        return self.newest if self._model_step is None else self._model_step

    @property
    def model_file(self) -> Path:
        """The path of the weights of `model`.

        Raises:
            InputError: they were removed after they were loaded.
        """
        if self.model_step not in self.steps:
            raise InputError(
                f"the weights of step {self.model_step} were loaded from {self.folder}, and have "
                "been removed from it since, by training in it: open the run again"
            )
        return self.weights_file(self.model_step)

    def load_model(self, step: int | None = None) -> "VQVAE":
        """Return the model with the weights of a checkpoint.

        Raises:
            InputError: no such checkpoint, or one whose shapes differ from the config.
        """
        step = self.newest if step is None else step
        if step not in self.steps:
            raise one_of("checkpoint of step", str(step), [str(number) for number in self.steps])
        model = build_model(self.preset, list(self.trained_speakers))
        load_weights(model, self.weights_file(step))
        self._set_voices(model, self._voices_at(step))
        return model

    def speaker_embedding(self) -> np.ndarray:
        """Return the vectors of `speakers` at `model_step`, float32 (S + A, speaker_dim).

        Of added voices without the biases that they may have.
        """
        if self._model_step is None:
            table = load_array(self.folder / f"speaker_embedding_{self.newest}.npy")
        else:
            table = self.model.decoder.speakers.numpy()
        added = [voice.vector[: table.shape[1]] for voice in self.added_voices.values()]
        return np.concatenate([table, np.reshape(added, (-1, table.shape[1]))]).astype(np.float32)

    def save_weights(self, model: "VQVAE", step: int) -> None:
        """Write the two embeddings and the weights of a step; the weights last.

        Raises:
            OSError: the disk is full. Files of this step are removed, earlier ones stay.
        """
        tables = {"speaker_embedding": model.decoder.speakers.numpy()}
        if model.bottleneck.num_embeddings:
            from vqwn_kit.models.tensorflow import keras

            vectors = np.asarray(keras.ops.convert_to_numpy(model.bottleneck.vectors()), np.float32)
            tables["embedding"] = vectors.reshape(-1, vectors.shape[-1])
        files = [self.folder / f"{name}_{step}.npy" for name in tables]
        try:
            for file, table in zip(files, tables.values(), strict=True):
                save_array(file, table)
            save_weights(model, self.weights_file(step))
        except OSError:
            for file in (*files, self.state_file(step)):
                file.unlink(missing_ok=True)
            raise

    def prune(self, keep: int) -> None:
        """Remove all training states but the newest, and all weights but the `keep` newest."""
        for step in self._steps_of("state.npz"):
            if step != self.steps[-1]:
                self.state_file(step).unlink()
        for step in self.steps[:-keep]:
            for name in ("embedding", "speaker_embedding"):
                (self.folder / f"{name}_{step}.npy").unlink(missing_ok=True)
            self.weights_file(step).unlink(missing_ok=True)


def checked_config(content: dict, file: Path) -> dict:
    """Return the content of a `config.json`.

    Raises:
        InputError: something in it is missing, or of another type.
    """
    expected = {"preset": dict, "speakers": dict, "corpus": str}
    optional = {"prefix": str, "parts": dict, "data": dict | None, "earlier": list}
    for key, kind in (expected | optional).items():
        if (key in content or key in expected) and not isinstance(content.get(key), kind):
            raise InputError(
                f"{file} is damaged, or is not {CONFIG}: {key!r} is {content.get(key)!r:.60}, "
                f"expected {getattr(kind, '__name__', kind)}"
            )
    for name, facts in content["speakers"].items():
        if not isinstance(facts, dict) or not all(isinstance(v, str) for v in facts.values()):
            raise InputError(f"{file} is damaged: the facts of the speaker {name!r} are no texts")
    try:
        from_dict(content["preset"])
    except InputError as error:
        raise InputError(f"{file} is damaged: {error}") from error
    return content


def _refuse_tensorflow_1(path: Path) -> None:
    if any(Path(f"{path}{ending}").is_file() for ending in (".index", ".meta")):
        raise InputError(
            f"{path} is a TensorFlow 1 checkpoint, whose weights cannot be read: train a new run "
            "with the preset `original`, which has the same parts and sizes"
        )


def load_run(run: Run | str | Path) -> Run:
    """Open a run: its folder, a checkpoint of it, or either by the name of a run in `results()`.

    Args:
        run: `results/mini`, `saved_model/weights-110640`, `mini`, `mini/weights-4000`; a `Run` is
            returned as it is. What is not in the working folder's `results` is looked for by its
            name, too.

    Raises:
        InputError: no such run.

    Example:
        model = load_run("mini").model
    """
    if isinstance(run, Run):
        return run
    path = Path(run)
    first, *rest = path.parts or ("",)
    if first == "results" and rest and not Path(first, rest[0]).exists():
        first, *rest = rest
    if len(rest) < 2 and re.fullmatch(r"[\w-]+", first) and not Path(first).exists():
        try:
            path = results(first).joinpath(*rest)
        except InputError as unknown:
            if not Path("config.json").is_file():  # of which it may be a checkpoint: weights-100
                raise InputError(f"no run at {run}, and {unknown} (in {results()})") from None
    return Run(path)
