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

LOADABLE = (*PARTS, "conditioner")
# Settings that may differ between the two runs: they say how a part is trained, or what a codec
# does to the signal before its levels, to which the network adapts.
NOT_COMPARED = set(
    "name dtype trainable num_speakers jitter speaker_dropout commitment_cost commitment_warm_up "
    "initializer joint gradient kl_frame kl_mean decay batch_norm_momentum warp tilt noise "
    "lpc_order postfilter input_noise trained_filters contrast match_bands pitch_postfilter "
    "hop_length".split()
)


def matching_parts(model: "VQVAE", part: str, other: "VQVAE", source: str | Path) -> tuple:
    """Return a part of a model and the part of another model whose weights fit it.

    Args:
        model: the model.
        part: one of `LOADABLE`; see `load_part`.
        other: the other model.
        source: where the other comes from, for the message.

    Raises:
        InputError: no such part, or the two differ in class or settings.
    """
    if part not in LOADABLE:
        raise one_of("part", part, LOADABLE)
    if part != "conditioner":
        target, given = getattr(model, part), getattr(other, part)
    elif model.decoder.get_mel_decoder() is not None:
        target = model.decoder.get_mel_decoder()
        given = other.decoder.get_mel_decoder() or other.decoder
    else:
        target, given = model.decoder.conditioner, other.decoder.conditioner
    if type(target) is not type(given):
        raise InputError(
            f"the {part} of {source} is a {type(given).__name__}, here a {type(target).__name__}; "
            "expected the same class"
        )
    differences = _differences(target.get_config(), given.get_config())
    if differences:
        settings = [
            f"{k}: {there!r} there, {here!r} here" for k, (there, here) in differences.items()
        ]
        raise InputError(
            f"the {part} of {source} has other settings ({'; '.join(settings)}); expected the same"
        )
    return target, given


def _differences(wanted: dict, given: dict, prefix: str = "") -> dict[str, tuple]:
    """Return (given, wanted) of each setting that differs, parts of parts included."""
    found = {}
    for key, value in wanted.items():
        other = given.get(key, value)
        if isinstance(value, dict) and isinstance(other, dict) and "config" in value:
            if value["class_name"] != other["class_name"]:
                found[prefix + key] = (other["class_name"], value["class_name"])
            found |= _differences(value["config"], other["config"], f"{prefix}{key}.")
        elif key not in NOT_COMPARED and value != other:
            found[prefix + key] = (other, value)
    return found


def load_part(model: "VQVAE", part: str, run: Run) -> None:
    """Load the weights of a part of another run.

    Of decoders, the vectors of the speakers that both know by name are loaded. A warm-up of the
    commitment starts again.

    Args:
        model: the model.
        part: `encoder`, `bottleneck` or `decoder`; or `conditioner`, that of the decoder, which a
            `WaveNetDecoder` and the `MelDecoder` of a first stage may share; and with it the whole
            `MelDecoder` from which a `WaveNetDecoder` makes its LPC filters.
        run: the other run.

    Raises:
        InputError: the two parts differ in class or settings.
    """
    target, given = matching_parts(model, part, run.model, run.folder)
    if part == "decoder":
        _copy(target.conditioner, given.conditioner, model, run)
        bands, given_bands = target.get_mel_decoder(), given.get_mel_decoder()
        if bands is not None and given_bands is not None:
            bands.head.set_weights(given_bands.head.get_weights())
        if target.is_autoregressive:
            target.network.set_weights(given.network.get_weights())
    else:
        _copy(target, given, model, run)


def _copy(target, given, model: "VQVAE", run: Run) -> None:
    """Assign weights of the same order; of the table of speakers the rows of the same names."""
    pairs = [[w for w in part.weights if w.name != "steps"] for part in (target, given)]
    for weight, source in zip(*pairs, strict=True):  # without counters of a warm-up
        if weight is model.decoder.speakers:
            rows = {speaker: row for row, speaker in enumerate(run.trained_speakers)}
            table, known = weight.numpy().copy(), source.numpy()
            for row, speaker in enumerate(model.speaker_names):
                if speaker in rows:
                    table[row] = known[rows[speaker]]
            weight.assign(table)
        else:
            weight.assign(source)


def load_parts(model: "VQVAE", parts: dict[str, str | Path | Run]) -> dict[str, Run]:
    """Load parts of other runs; return the runs by part.

    The conditioner comes last: a decoder of another run brings one that does not know these codes.
    """
    runs = {part: load_run(run) for part, run in parts.items()}
    for part in sorted(runs, key=lambda part: part == "conditioner"):
        load_part(model, part, runs[part])
    return runs


def check_lpc_sources(model: "VQVAE", frozen: Iterable[str], runs: dict[str, Run]) -> None:
    """Raise InputError where a decoder's LPC filters would not follow from its codes.

    They do where mel decoder, codebook and encoder come from one run and stay as they are, and
    where the mel decoder knows all speakers.

    Args:
        model: the model, with its parts loaded.
        frozen: parts that are not trained.
        runs: the runs of loaded parts.
    """
    if model.decoder.get_mel_decoder() is None or not model.is_autoregressive:
        return
    other = runs.get("conditioner", runs.get("decoder"))
    if (
        other is None
        or ("conditioner" not in runs and other.model.decoder.get_mel_decoder() is None)
        or not {"encoder", "bottleneck"} <= set(frozen) & runs.keys()
    ):
        order = model.decoder.codec.lpc_order
        raise InputError(
            f"lpc_order is {order}, and the LPC filters follow from mel bands that a first "
            "stage predicts: give first_stage_steps=2000, with local_channels=256 and "
            "local_layers=3 of the decoder's conditioner; or a first stage as "
            "parts={'encoder': run, 'bottleneck': run, 'conditioner': run}, and "
            "freeze=['encoder', 'bottleneck']"
        )
    unknown = sorted(set(model.speaker_names) - set(other.trained_speakers))
    if unknown:
        raise InputError(
            f"{other.folder} does not know {', '.join(unknown)}, and its mel decoder, of which the "
            "LPC filters are made, needs all speakers: train a first stage (first_stage_steps)"
        )
    for part in ("encoder", "bottleneck"):
        if not _same_weights(getattr(model, part), getattr(other.model, part)):
            raise InputError(
                f"the mel decoder of {other.folder} was trained on codes of another {part} than "
                f"that of {runs[part].folder}: take encoder, bottleneck and conditioner from the "
                "same run"
            )


def _same_weights(part, other) -> bool:
    """Return whether two parts hold the same numbers, warm-ups aside."""
    values = [
        [weight.numpy() for weight in layer.weights if weight.name != "steps"]
        for layer in (part, other)
    ]
    return len(values[0]) == len(values[1]) and all(map(np.array_equal, *values))
