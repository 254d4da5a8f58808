"""The run folder. Loading the model of a run needs no training code.

config.json                  preset, speakers, corpus, and the runs that parts were loaded from
history.jsonl                one line per logging interval
weights-STEP.weights.h5      weights for generation: the moving average, where the run has one
weights-STEP.state.npz       everything that training needs to resume exactly; newest step only
embedding_STEP.npy           codebook (K, D)
speaker_embedding_STEP.npy   vectors of the speakers (S, speaker_dim)
"""

import json
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.files import read_text, replacing, results
from vqwn_kit.presets.build import build_model
from vqwn_kit.presets.parts import part_class
from vqwn_kit.presets.preset import Preset, from_dict
from vqwn_kit.runs.history import read_history

if TYPE_CHECKING:
    from vqwn_kit.models.vqvae import VQVAE

DEFAULT_PREFIX = "weights"


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

    def __init__(self, path: str | Path):
        path = Path(path)
        _refuse_tensorflow_1(path)
        match = re.fullmatch(r"(.+)-(\d+)", path.name.removesuffix(".weights.h5"))
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
        try:
            config = json.loads(read_text(file))
            from_dict(config["preset"])
            return {**config, "speakers": dict(config["speakers"]), "corpus": str(config["corpus"])}
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{file} is not the config of a run, or is damaged ({error!r}); expected the keys "
                "preset, speakers and corpus, as `vqwn train` writes them"
            ) from error

    @classmethod
    def create(
        cls,
        path: str | Path,
        preset: Preset,
        corpus_name: str,
        speakers: dict,
        parts: dict[str, str] | None = None,
    ) -> "Run":
        """Create a run folder, or reuse one, and write its `config.json`.

        Args:
            path: folder and prefix of the checkpoints, such as `results/mini/weights`.
            preset: the preset.
            corpus_name: name of the corpus.
            speakers: facts by speaker, in the order of their numbers.
            parts: checkpoints that parts of the model were loaded from, by part.

        Raises:
            InputError: the folder cannot be created.
        """
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"cannot create the folder {path.parent} ({error.strerror}): give another (--save)"
            ) from error
        run = cls.__new__(cls)
        run.folder, run.prefix, run.step = path.parent, path.name, None
        run.config = {
            "preset": preset.to_dict(),
            "prefix": path.name,
            "corpus": corpus_name,
            "speakers": speakers,
            "parts": parts or {},
        }
        with replacing(run.folder / "config.json") as scratch:
            scratch.write_text(json.dumps(run.config, indent=1), encoding="utf-8")
        return run

    def __repr__(self) -> str:
        """Show the folder and the steps of the checkpoints."""
        return f"Run({str(self.folder)!r}, steps={self.steps})"

    @property
    def preset(self) -> Preset:
        """The preset that was trained."""
        return from_dict(self.config["preset"])

    @property
    def speakers(self) -> dict[str, dict[str, str]]:
        """Facts by speaker, in the order of their numbers."""
        return self.config["speakers"]

    @property
    def steps(self) -> list[int]:
        """Steps of the checkpoints, oldest first."""
        pattern = re.compile(re.escape(self.prefix) + r"-(\d+)\.weights\.h5")
        matches = [pattern.fullmatch(path.name) for path in self.folder.glob("*.weights.h5")]
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
        """The model with the weights of `newest`."""
        return self.load_model()

    def load_model(self, step: int | None = None) -> "VQVAE":
        """Return the model with the weights of a checkpoint.

        Raises:
            InputError: no such checkpoint, or one whose shapes differ from the config.
        """
        step = self.newest if step is None else step
        if step not in self.steps:
            raise one_of("checkpoint of step", str(step), [str(number) for number in self.steps])
        model = build_model(self.preset, list(self.speakers))
        load_weights(model, self.weights_file(step))
        return model

    def save_weights(self, model: "VQVAE", step: int) -> None:
        """Write the two embeddings and the weights of a step; the weights last.

        Raises:
            OSError: the disk is full. Files of this step are removed, earlier ones stay.
        """
        tables = {"speaker_embedding": model.decoder.speakers.numpy()}
        if model.bottleneck.num_embeddings:
            from vqwn_kit.models.tensorflow import keras

            tables["embedding"] = keras.ops.convert_to_numpy(model.bottleneck.vectors())
        files = [self.folder / f"{name}_{step}.npy" for name in tables]
        try:
            for file, table in zip(files, tables.values(), strict=True):
                with replacing(file) as scratch:
                    np.save(scratch, table)
            with replacing(self.weights_file(step)) as scratch:
                _save_without_optimizer(model, scratch)
        except OSError:
            for file in (*files, self.state_file(step)):
                file.unlink(missing_ok=True)
            raise

    def prune(self, keep: int) -> None:
        """Remove all training states but the newest, and all weights but the `keep` newest."""
        newest = self.state_file(self.steps[-1])
        for file in self.folder.glob(f"{self.prefix}-*.state.npz"):
            if file != newest:
                file.unlink()
        for step in self.steps[:-keep]:
            for name in ("embedding", "speaker_embedding"):
                (self.folder / f"{name}_{step}.npy").unlink(missing_ok=True)
            self.weights_file(step).unlink(missing_ok=True)


def _save_without_optimizer(model: "VQVAE", file: Path) -> None:
    """Save the weights alone; the variables of the optimizer belong to the training state."""
    optimizer = getattr(model, "optimizer", None)
    model.optimizer = None
    try:
        model.save_weights(file)
    finally:
        model.optimizer = optimizer


def _refuse_tensorflow_1(path: Path) -> None:
    if any(Path(f"{path}{ending}").is_file() for ending in (".index", ".meta")):
        raise InputError(
            f"{path} is a TensorFlow 1 checkpoint, whose weights cannot be read: train a new run "
            "with the preset `original`, which has the same parts and sizes"
        )


def load_weights(model: "VQVAE", file: Path) -> None:
    """Load a `.weights.h5` file into a model.

    Raises:
        InputError: the file holds other shapes, or is damaged.
    """
    try:
        model.load_weights(file)
    except (ValueError, KeyError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"{file} does not fit the model of the config.json beside it, or is damaged: {reason}"
        ) from error


def load_run(run: Run | str | Path) -> Run:
    """Open a run: its folder, a checkpoint of it, or the name of a run in `results()`.

    Args:
        run: `results/mini`, `saved_model/weights-110640`, `mini`; a `Run` is returned as it is.

    Raises:
        InputError: no such run.

    Example:
        model = load_run("mini").model
    """
    if isinstance(run, Run):
        return run
    path = Path(run)
    if path.name == str(run) and re.fullmatch(r"[\w-]+", path.name) and not path.exists():
        try:
            return Run(results(path.name))
        except InputError:  # it may be a checkpoint in this folder, such as weights-100
            pass
    return Run(path)


def run_name(preset: Preset, corpus_name: str, stamp: str) -> str:
    """Return a name made of the parts and the date, such as `64-vq512-mini-20261122-1403`.

    Args:
        preset: the preset.
        corpus_name: name of the corpus.
        stamp: the date, `%Y%m%d-%H%M`.
    """
    encoder = part_class("encoder", str(preset.encoder["class_name"])).short_name
    bottleneck = part_class("bottleneck", str(preset.bottleneck["class_name"])).short_name
    size = preset.bottleneck["config"].get("num_embeddings", "")
    return f"{encoder}-{bottleneck}{size}-{corpus_name}-{stamp}"
