"""Weights of another run's parts -> a model: encoder, bottleneck, decoder or conditioner."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.presets.training_config import PARTS
from vqwn_kit.runs.run import Run, load_run

if TYPE_CHECKING:
    from vqwn_kit.models.vqvae import VQVAE

# May differ where a part is taken over: they tell how it is trained, not what it computes; or, of a
# WaveNet, what it makes of a sound before it tells its levels, to which it learns to keep.
NOT_COMPARED = set(
    "name dtype trainable num_speakers jitter speaker_dropout commitment_cost commitment_warm_up "
    "initializer joint kl_frame kl_mean decay epsilon batch_norm_momentum warp tilt "
    "prediction_order postfilter".split()
)


def matching_parts(model: "VQVAE", part: str, other: "VQVAE", whose: str | Path) -> tuple:
    """Return a part of a model and of another one, from which it can be taken over.

    Args:
        model: the model.
        part: as in `load_part`.
        other: the other model.
        whose: where the other is from, for the message.

    Raises:
        InputError: the two parts differ in class or settings.
    """
    if part not in (*PARTS, "conditions"):
        raise one_of("part", part, (*PARTS, "conditions"))
    if part != "conditions":
        mine, other = getattr(model, part), getattr(other, part)
    elif hasattr(model.decoder, "envelope"):
        mine, other = model.decoder.envelope, getattr(other.decoder, "envelope", other.decoder)
    else:
        mine, other = model.decoder.frames, other.decoder.frames
    free = NOT_COMPARED | ({"hop_length"} if part == "decoder" else set())
    theirs = other.get_config()
    for key, value in mine.get_config().items():
        differs = key not in free and theirs.get(key, value) != value
        if differs or type(mine) is not type(other):
            what = f"{key}: {theirs[key]!r} there, {value!r} here" if differs else ""
            raise InputError(
                f"the {part} of {whose} is a {type(other).__name__}, here a "
                f"{type(mine).__name__}; {what or 'a part is taken over by its own class alone'}"
            )
    return mine, other


def load_part(model: "VQVAE", part: str, run: "Run") -> None:
    """Give a part of a model the weights of another run's.

    Of decoders, the vectors of those speakers are taken that have the same name in both.

    Args:
        model: the model.
        part: `encoder`, `bottleneck` or `decoder`; or `conditions`, the `Conditioner` of the
            decoder, which a `WaveNet` and the `MelDecoder` of a first stage may have alike; and
            with them the whole `MelDecoder` that a `WaveNet` makes its filters of.
        run: the other run.

    Raises:
        InputError: the two parts differ in class or settings.
    """
    mine, other = matching_parts(model, part, run.model, run.folder)
    sources = {_name_within(other, weight): weight for weight in other.weights}
    for weight in mine.weights:
        name = _name_within(mine, weight)
        if name not in sources or name.endswith("steps"):  # a warm-up is the run's own
            continue
        if weight is model.decoder.speakers:
            rows = {speaker: row for row, speaker in enumerate(run.speakers)}
            table, theirs = weight.numpy().copy(), sources[name].numpy()
            for row, speaker in enumerate(model.speaker_names):
                if speaker in rows:
                    table[row] = theirs[rows[speaker]]
            weight.assign(table)
        else:
            weight.assign(sources[name])


def _name_within(part, weight) -> str:
    """Return the path of a weight within its part; a WaveNet's conditions have one path always."""
    return weight.path.partition(f"{part.name}/")[2].replace("envelope/frames/", "frames/")


def load_parts(model: "VQVAE", parts: dict[str, str | Path | Run]) -> dict[str, Run]:
    """Give parts of a model the weights of other runs; return the runs by part.

    Conditioner come last: a decoder of another run brings some, which don't know these codes.
    """
    runs = {part: load_run(one) for part, one in parts.items()}
    for part in sorted(runs, key=lambda part: part == "conditions"):
        load_part(model, part, runs[part])
    return runs


def check_lpc_sources(model: "VQVAE", frozen: Iterable[str], runs: dict[str, Run]) -> None:
    """Raise InputError where a decoder's filters don't follow from the codes that it is told.

    They do where bands, codebook and encoder come from one run and stay as they are, and where it
    knows all speakers.
    """
    if not model.decoder.prediction_order:
        return
    other = runs.get("conditions", runs.get("decoder"))
    tells = other is not None and ("conditions" in runs or hasattr(other.model.decoder, "envelope"))
    if not tells or not {"encoder", "bottleneck"} <= set(frozen) & runs.keys():
        raise InputError(
            f"decoder.prediction_order is {model.decoder.prediction_order}, and its filters follow "
            "from what a first stage tells of its codes: give first_stage_steps=2000, with "
            "decoder.local_channels=256 and decoder.local_layers=3; or a first stage as "
            "parts={'encoder': run, 'bottleneck': run, 'conditions': run}, and "
            "freeze=['encoder', 'bottleneck']"
        )
    strangers = sorted(set(model.speaker_names) - set(other.speakers))
    if strangers:
        raise InputError(
            f"{other.folder} doesn't know {', '.join(strangers)}, and what it knows of voices is "
            "what the filters are made of: train a first stage with them (first_stage_steps)"
        )
    for part in ("encoder", "bottleneck"):
        if not _same_weights(getattr(model, part), getattr(other.model, part)):
            raise InputError(
                f"{other.folder} has told its bands of other codes than those of the {part} from "
                f"{runs[part].folder}: take encoder, bottleneck and conditions from the same run"
            )


def _same_weights(one, other) -> bool:
    """Return whether two parts hold the same numbers, warm-ups aside."""
    values = [
        [weight.numpy() for weight in part.weights if not weight.path.endswith("steps")]
        for part in (one, other)
    ]
    return len(values[0]) == len(values[1]) and all(map(np.array_equal, *values))
