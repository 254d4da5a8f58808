"""The commands that train: train and compare."""

from pathlib import Path

import vqwn_kit as vq
from vqwn_kit.cli.data import (
    add_command,
    add_reading,
    add_storing,
    name_losses,
    open_with,
    storing_of,
)
from vqwn_kit.errors import InputError
from vqwn_kit.presets.preset import parse_changes


def add_train(commands) -> None:
    """Add the command `train`."""
    add = add_command(commands, "train", _train, "train a model on a corpus").add_argument
    add("dataset", nargs="?", metavar="DATASET", help="VCTK, LibriSpeech, mini, or a folder")
    add("--data", metavar="FOLDER", help="the same, as an option")
    add_reading(add)
    add_storing(add)
    add("--preset", "--params", "-params", help="a preset, or a .json file (default: mini)")
    add(
        "--in-memory",
        "-m",
        type=int,
        choices=(0, 1),
        default=0,
        help="1 loads the corpus into memory",
    )
    add("--length", "-l", type=int, help="samples a crop")
    add("--batch-size", "-b", type=int, help="crops a batch")
    add(
        "--epochs",
        "-e",
        type=float,
        help="how often to visit each utterance, with one crop; with --restore, that often again",
    )
    add(
        "--steps",
        "-step",
        "-steps",
        type=int,
        help="batches to take, instead of epochs; with --restore, that many more",
    )
    add("--minutes", type=float, help="most minutes of training")
    add("--restore", "-restore", metavar="P-STEP", help="go on from a run or a checkpoint")
    add("--log", "-log", metavar="FOLDER", help="write scalars for TensorBoard there")
    add(
        "--log-audio",
        action="store_true",
        help="with --log: and a held-out sentence, spoken whenever held-out speech is measured",
    )
    add("--interval", "-interval", type=int, help="steps between two log lines")
    add("--seed", type=int, help="of weights, order and crops")
    add(
        "--save",
        "-save",
        metavar="P",
        help="write checkpoints P-STEP.weights.h5 (default: results/)",
    )
    add("--run", metavar="FOLDER", help="write checkpoints into this run folder")
    _add_set(add, "exchange parts or settings, such as encoder=2019, bottleneck.joint=true")
    add(
        "--parts",
        nargs="+",
        action="extend",
        default=[],
        metavar="PART=RUN",
        help="start parts from other runs, such as encoder=results/mini",
    )
    add("--freeze", nargs="+", action="extend", metavar="PART", help="parts that don't learn")


def _train(options) -> None:
    name = options.data or options.dataset
    if name is None:
        raise InputError("train on what? Give VCTK, LibriSpeech, mini, or a folder of speech")
    one_of_two(options, "steps", "epochs")
    one_of_two(options, "save", "run")
    restored = vq.Run(options.restore) if options.restore else None
    preset = vq.load_preset(options.preset or "mini") if not restored else restored.preset
    if restored and options.preset:
        _refuse_another_model(preset, vq.load_preset(options.preset))
    changes = {
        "segment_length": options.length,
        "batch_size": options.batch_size,
        "log_every": options.interval,
        "seed": options.seed,
        "freeze": options.freeze,
    }
    changes = {key: value for key, value in changes.items() if value is not None}
    changes = parse_changes(options.set) | changes
    parts = dict(_part_and_run(text) for text in options.parts)
    training = preset.change(**changes).training
    store = vq.prepare(
        open_with(options, name), in_memory=bool(options.in_memory), **storing_of(options)
    )
    name_losses(store, training.segment_length)
    done = restored.newest if restored else 0
    if options.steps is not None:
        changes["steps"] = done + options.steps
    elif options.epochs is not None:
        segments = vq.Segments(store, training.segment_length, training.batch_size)
        changes["steps"] = done + segments.steps_per_epoch(options.epochs)
    run = vq.train(
        store,
        preset,
        save=options.save or (Path(options.run) / "weights" if options.run else None),
        restore=options.restore,
        parts=parts,
        minutes=options.minutes,
        log_dir=options.log,
        callbacks=_sound_log(options, store),
        **changes,
    )
    print(f"saved {run.weights_file(run.newest)}")
    if run.folder.name == "first_stage" and preset.change(**changes).training.first_stage_steps:
        print(
            "The time was over in the first of two stages; the same command with --save "
            f"{run.folder.parent / 'weights'} goes on."
        )


def _add_set(add, summary: str) -> None:
    more = {"nargs": "+", "action": "extend", "default": []}
    add("--set", metavar="NAME=VALUE", help=summary, **more)


def add_compare(commands) -> None:
    """Add the command `compare`."""
    add = add_command(
        commands, "compare", _compare, "train several variants alike and measure them in one table"
    ).add_argument
    add("dataset", metavar="DATASET", help="VCTK, LibriSpeech, mini, or a folder")
    add_reading(add)
    add(
        "variants",
        nargs="*",
        metavar="VARIANT",
        help="[NAME:]CHANGE,… such as bottleneck=ema or 'two stages:first_stage_steps=200'; or a "
        "preset. The first is what the others are compared with; 'base:' changes nothing. None "
        "given: every encoder, bottleneck and way to train",
    )
    add("--base", default="mini", help="the preset that is changed (default: mini)")
    add("--steps", type=int, help="training steps of each")
    add("--seeds", type=int, default=1, help="runs of each; from 2 on there are intervals")
    _add_set(add, "changes to all variants")
    add("--save", metavar="FOLDER", help="(default: compare-CORPUS in results/)")


def _compare(options) -> None:
    changes = parse_changes(options.set)
    changes |= {"steps": options.steps} if options.steps is not None else {}
    variants = dict(_named(text) for text in options.variants)
    if len(variants) < len(options.variants):
        raise InputError("two variants have the same name: give them names, NAME:CHANGE")
    comparison = vq.compare(
        variants or None,
        open_with(options, options.dataset),
        base=options.base,
        seeds=options.seeds,
        save=options.save,
        **changes,
    )
    print(comparison)


def _named(text: str) -> tuple[str, str | dict]:
    """Return the name of a variant and its changes or preset."""
    name, colon, changes = text.partition(":")
    if not colon or "=" in name:
        return text, text
    return name.strip(), changes.strip() or {}


def _sound_log(options, store) -> list:
    """Return the callback that `--log-audio` asks for."""
    if not options.log_audio:
        return []
    if not options.log:
        raise InputError("--log-audio needs a folder of logs: give --log FOLDER too")
    numbers = store.numbers("held_out")
    if not len(numbers):
        raise InputError("--log-audio speaks a held-out sentence, and this corpus holds none out")
    utterance = store.corpus.utterances[numbers[0]]
    waveform = store.waveform(numbers[0])[: 3 * store.sample_rate]
    from vqwn_kit.training.tensorboard import audio_log

    return [audio_log(options.log, {utterance.key: waveform}, utterance.speaker)]


def _part_and_run(text: str) -> tuple[str, str]:
    part, _, run = text.partition("=")
    if not run:
        raise InputError(f"--parts {text}: expected PART=RUN, such as encoder=results/mini")
    return part, run


def one_of_two(options, one: str, other: str) -> None:
    """Raise InputError where two options are given that say the same thing twice."""
    if getattr(options, one) is not None and getattr(options, other) is not None:
        raise InputError(f"--{one} and --{other} say the same thing twice: give one of them")


def _refuse_another_model(mine, given) -> None:
    """Let `-params` stand beside `-restore` where it names the model that is restored."""
    for part in ("encoder", "bottleneck", "decoder"):
        if getattr(mine, part) != getattr(given, part):
            raise InputError(
                f"--restore brings the run's own preset ({mine.name}), whose {part} differs from "
                f"that of {given.name}: leave --preset (-params) out, or train anew"
            )
