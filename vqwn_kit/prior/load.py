"""The folder of a prior, in the folder of its run.

config.json                  keywords of the network, settings, store and step of the codes
weights.weights.h5           averaged weights of the step that was best on left-out sentences
state.npz                    everything that training needs to resume exactly
history.jsonl                one line per validation; bits per code, times in seconds
score_card.*, figures/       measures on held-out utterances; see `score_prior`
"""

import json
from pathlib import Path

import keras
import numpy as np

from vqwn_kit.errors import InputError
from vqwn_kit.files import read_text
from vqwn_kit.prior.model import CodePrior
from vqwn_kit.runs.codes import need_codebook
from vqwn_kit.runs.run import Run, load_run

WEIGHTS, STATE = "weights.weights.h5", "state.npz"


def load_prior(run: Run | str | Path, name: str = "prior") -> CodePrior:
    """Open the prior that was trained on the codes of a run.

    Args:
        run: the run, its folder, or a checkpoint.
        name: of the prior's folder in the folder of the run.

    Raises:
        InputError: the run has no codebook, no prior, or a codebook other than that of the prior;
            or a file is damaged.

    Example:
        prior = vq.load_prior("results/mini")
        codes = prior.sample(750, ["joe"], seed=1)              # (1, 750), 3 s
    """
    run = load_run(run)
    need_codebook(run)
    config = read_config(run, name)
    file = run.folder / name / WEIGHTS
    try:
        prior = CodePrior(**config["prior"], name="prior")
        prior.build()
        prior.load_weights(file)
    except (ValueError, KeyError, OSError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{file} does not fit its config.json, or is damaged: {reason}") from error
    codebook = keras.ops.convert_to_numpy(run.model.bottleneck.vectors())
    if codebook.shape != prior.codebook.shape or not np.allclose(codebook, prior.codebook):
        raise InputError(
            f"{file} was trained on the codes of step {config['step']}, and {run.folder} has "
            f"another codebook at step {run.newest}: name that step (RUN/{run.prefix}-"
            f"{config['step']}), or train another prior (vqwn prior --name)"
        )
    return prior


def read_config(run: Run, name: str = "prior") -> dict:
    """Return the content of the `config.json` of a prior.

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
        raise InputError(
            f"{file} is not the config of a prior, or is damaged ({error!r})"
        ) from error
