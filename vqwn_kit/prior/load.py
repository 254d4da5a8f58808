"""The folder of a prior, in the folder of its run.

config.json                  keywords of the network, settings, store and step of the codes
weights.weights.h5           averaged weights of the step that was best on left-out sentences
state.npz                    everything that training needs to resume exactly
history.jsonl                one line per validation; bits per code, times in seconds
score_card.*, figures/       measures on held-out utterances; see `score_prior`
"""

from dataclasses import fields
from pathlib import Path

import numpy as np

from vqwn_kit.errors import InputError
from vqwn_kit.files import read_json, reason
from vqwn_kit.presets.training_config import check_keys
from vqwn_kit.prior.config import PriorConfig
from vqwn_kit.prior.model import CodePrior
from vqwn_kit.runs.codes import need_codebook, token_vectors
from vqwn_kit.runs.run import Run, load_run
from vqwn_kit.runs.weights import load_weights

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
    except (ArithmeticError, ValueError, TypeError) as error:
        raise InputError(
            f"{file.with_name('config.json')} describes no prior: {reason(error)}"
        ) from error
    load_weights(prior, file)
    codebook = token_vectors(run.model, PriorConfig(**config["training"]).pitch)
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
    content = read_json(file, "the config of a prior, as `vqwn prior` writes it")
    kinds = {"prior": dict, "training": dict, "store": str, "step": int, "frame_rate": float | int}
    for key, kind in kinds.items():
        if not isinstance(content.get(key), kind):
            raise InputError(
                f"{file} is not the config of a prior, or is damaged: {key!r} is "
                f"{content.get(key)!r:.60}"
            )
    known = [entry.name for entry in fields(PriorConfig)]
    check_keys(content["training"], known, f"setting in {file}")
    PriorConfig(**content["training"])
    return {key: content[key] for key in kinds}
