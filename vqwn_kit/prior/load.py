"""The folder of a trained prior, in the folder of its run: what is in it, and how it is opened."""

import json
from pathlib import Path

import keras
import numpy as np

from vqwn_kit.errors import InputError
from vqwn_kit.files import read_text
from vqwn_kit.prior.model import CodePrior
from vqwn_kit.runs.codes import need_codebook
from vqwn_kit.runs.run import Run, load_run


def load_prior(run: Run | str | Path, name: str = "prior") -> CodePrior:
    """Open the prior that was trained over the codes of a run.

    Args:
        run: the run, its folder, or a checkpoint.
        name: of the prior's folder in the run's.

    Raises:
        InputError: the run has no codebook, no prior yet, or another codebook than the prior
            learnt; or a file is damaged.

    Example:
        prior = vq.load_prior("results/mini")
        codes = prior.sample(750, ["joe"], seed=1)              # (1, 750), 3 s
    """
    run = load_run(run)
    need_codebook(run)
    config = read_config(run, name)
    file = run.folder / name / "weights.weights.h5"
    try:
        prior = CodePrior(**config["prior"], name="prior")
        prior.build()
        prior.load_weights(file)
    except (ValueError, KeyError, OSError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{file} doesn't fit its config.json, or is damaged: {reason}") from error
    codebook = keras.ops.convert_to_numpy(run.model.bottleneck.vectors())
    if codebook.shape != prior.codebook.shape or not np.allclose(codebook, prior.codebook):
        raise InputError(
            f"{file} was trained over the codes of step {config['step']}, and {run.folder} has "
            f"another codebook at step {run.newest}: name that step (RUN/{run.prefix}-"
            f"{config['step']}), or train a prior anew (vqwn prior --name)"
        )
    return prior


def read_config(run: Run, name: str = "prior") -> dict:
    """Return what the `config.json` of a run's prior says.

    Raises:
        InputError: there is none, or it is damaged.
    """
    file = run.folder / name / "config.json"
    if not file.is_file():
        raise InputError(
            f"{run.folder} has no prior {name!r} yet: train one with `vqwn prior {run.folder}`, or "
            "train_prior(run)"
        )
    try:
        content = json.loads(read_text(file))
        return {key: content[key] for key in ("prior", "training", "store", "step", "frame_rate")}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{file} is no prior's config, or is damaged ({error!r})") from error


def history_of(folder: Path) -> list[dict]:
    """Return the lines of a prior's history; likelihoods in bits a code, times in seconds."""
    file = folder / "history.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return [json.loads(line) for line in lines]
