"""The commands that train: train and compare."""

import math
import sys
from pathlib import Path

import vqwn_kit as vq
from vqwn_kit.cli.data import (
    corpus_options,
    given,
    open_with,
    print_losses,
    seed,
    store_options,
    store_settings,
    worker_options,
)
from vqwn_kit.errors import InputError
from vqwn_kit.presets.preset import Preset, parse_changes
from vqwn_kit.runs.corpus_of import store_of
from vqwn_kit.training.variants import presets_of
from vqwn_kit.training.workers import join

MANY = {"nargs": "+", "action": "extend"}


def _train_options(add) -> None:
    dataset = "VCTK, LibriSpeech, mini, or a folder (default with --restore: that of the run)"
    add("dataset", dataset, nargs="?", metavar="DATASET")
    add("--data", "the same, as an option", metavar="FOLDER")
    corpus_options(add)
    store_options(add)
    add("--preset --params -params", "a preset, or a .json file (default: mini)")
    in_memory = {"type": int, "choices": (0, 1), "default": 0}
    add("--in-memory -m", "1 loads the corpus into memory", **in_memory)
    add("--length -l", "samples per crop", type=int, dest="segment_length", metavar="N")
    add("--batch-size -b", "crops per batch", type=int)
    epochs = "visits of each utterance, with one crop each; with --restore, additional ones"
    add("--epochs -e", epochs, type=float)
    steps = "training steps, after those of a first stage, instead of epochs; with --restore, "
    steps += "additional ones"
    add("--steps -step -steps", steps, type=int)
    add("--minutes", "most minutes of training", type=float)
    add("--restore -restore", "continue a run, or its checkpoint of a step", metavar="P-STEP")
    add("--log -log", "write scalars for TensorBoard there", metavar="FOLDER")
    log_audio = "with --log: also a held-out sentence, whenever held-out speech is measured"
    add("--log-audio", log_audio, action="store_true")
    interval = {"type": int, "dest": "log_every", "metavar": "N"}
    add("--interval -interval", "steps between two log records", **interval)
    add("--seed", "of weights, order and crops", type=seed)
    save = "write checkpoints P-STEP.weights.h5 (default: results/)"
    add("--save -save", save, metavar="P")
    add("--run", "write checkpoints into this run folder", metavar="FOLDER")
    changes = "change parts or settings, such as encoder=2019, bottleneck.joint=true, K=256, D=32"
    add("--set", changes, metavar="NAME=VALUE", default=[], **MANY)
    parts = "load parts from other runs, such as encoder=results/mini"
    add("--parts", parts, metavar="PART=RUN", default=[], **MANY)
    add("--freeze", "parts that are not trained", metavar="PART", **MANY)
    worker_options(add)


def _train(options) -> None:
    """Train a model on a corpus."""
    name = options.data or options.dataset
    if name is None and not options.restore:
        raise InputError("no DATASET: give VCTK, LibriSpeech, mini, or a folder of speech")
    epochs = options.epochs
    if epochs is not None and not 0 < epochs < math.inf:
        raise InputError(f"--epochs {epochs:g}: expected a number above 0")
    refuse_both(options, "steps", "epochs")
    refuse_both(options, "save", "run")
    index = join(options.workers, options.index)[1]
    restored = vq.load_run(options.restore) if options.restore else None
    preset = restored.preset if restored else vq.load_preset(options.preset or "mini")
    if restored and options.preset:
        _refuse_another_model(preset, vq.load_preset(options.preset))
    names = ("segment_length", "batch_size", "log_every", "seed", "freeze")
    changes = parse_changes(options.set) | given(options, *names)
    parts = dict(_part_and_run(text) for text in options.parts)
    training = preset.change(**changes).training
    if name is None and restored is not None:
        store = store_of(restored)
        print(f"{store.corpus.folder}: the corpus of {restored.folder}")
    else:
        corpus = open_with(options, name)
        store = vq.prepare(corpus, in_memory=bool(options.in_memory), **store_settings(options))
    print_losses(store, training.segment_length)
    done = restored.newest if restored else 0
    if options.steps is not None:
        changes["steps"] = done + options.steps
    elif epochs is not None:
        segments = vq.Segments(store, training.segment_length, training.batch_size)
        changes["steps"] = done + segments.steps_per_epoch(epochs)
    if not restored and not index:  # the first worker prints and logs
        _print_problems(preset.change(**changes), parts)
    run = vq.train(
        store,
        preset,
        save=options.save or (Path(options.run) / "weights" if options.run else None),
        restore=restored and restored.weights_file(restored.newest),
        parts=parts,
        minutes=options.minutes,
        log_dir=options.log,
        callbacks=[] if index else _audio_log(options, store),
        **changes,
    )
    if index:
        return
    print(_end_of(run))
    print(f"saved {run.weights_file(run.newest)}")
    if run.folder.name == "first_stage" and preset.change(**changes).training.first_stage_steps:
        again = f"--save {run.folder.parent / 'weights'}"
        print(f"Stopped in the first of two stages; the same command with {again} resumes it.")


def _print_problems(preset: Preset, parts: dict) -> None:
    """Print what in a preset is doubtful, before it is trained."""
    from vqwn_kit.workbench.problems import find_problems

    for problem in find_problems(preset, vq.build_model(preset, []), parts):
        print(f"note: {problem}", file=sys.stderr)


def _end_of(run: vq.Run) -> str:
    """Return why a training ended, as the last line of its history says."""
    from vqwn_kit.training.loop import ENDS

    record = run.history[-1] if run.history else {"seconds": 0.0}
    numbers = {"step": run.newest, "steps": run.preset.training.steps}
    end = ENDS[record.get("ended", "request")]
    return end.format(**numbers, minutes=record["seconds"] / 60)


def _audio_log(options, store) -> list:
    """Return the callback of `--log-audio`."""
    if not options.log_audio:
        return []
    if not options.log:
        raise InputError("--log-audio needs a folder of logs: give --log FOLDER too")
    numbers = store.numbers("held_out")
    if not len(numbers):
        raise InputError("--log-audio needs a held-out sentence, and this corpus holds none out")
    from vqwn_kit.training.tensorboard import audio_log

    utterance = store.corpus.utterances[numbers[0]]
    waveform = store.waveform(numbers[0])[: 3 * store.sample_rate]
    return [audio_log(options.log, {utterance.key: waveform}, utterance.speaker)]


def _part_and_run(text: str) -> tuple[str, str]:
    part, _, run = text.partition("=")
    if not run:
        raise InputError(f"--parts {text}: expected PART=RUN, such as encoder=results/mini")
    return part, run


def refuse_both(options, first: str, second: str) -> None:
    """Raise InputError where two options that mean the same are given."""
    if getattr(options, first) is not None and getattr(options, second) is not None:
        raise InputError(f"--{first} and --{second} exclude each other: give one of them")


def _refuse_another_model(restored, given) -> None:
    """Accept `-params` beside `-restore` where it names the model that is restored."""
    for part in ("encoder", "bottleneck", "decoder"):
        if getattr(restored, part) != getattr(given, part):
            raise InputError(
                f"--restore uses the run's own preset ({restored.name}), whose {part} differs from "
                f"that of {given.name}: leave --preset (-params) out, or train a new run"
            )


def _compare_options(add) -> None:
    add("dataset", "VCTK, LibriSpeech, mini, or a folder", metavar="DATASET")
    corpus_options(add)
    variants = (
        "[NAME:]CHANGE,... such as bottleneck=ema or 'two stages:first_stage_steps=200'; or a "
        "preset. The others are compared with the first; 'base:' changes nothing. Or a family: "
        "wavenet (the default), every encoder, bottleneck and way to train; units, every quantizer"
    )
    add("variants", variants, nargs="*", metavar="VARIANT")
    add("--base", "the preset that is changed (default: paper)", default="paper")
    steps = "training steps of each; `vqwn info PRESET --measure` says how long one takes"
    add("--steps", steps, type=int)
    add("--seeds", "runs of each; two or more give intervals (default: 1)", type=int, default=1)
    add("--set", "changes to all variants", metavar="NAME=VALUE", default=[], **MANY)
    add("--save", "(default: compare-CORPUS in results/)", metavar="FOLDER")
    add("--units", "measure the codes as speech units, too", action="store_true")


def _compare(options) -> None:
    """Train several variants on the same crops and measure them in one table."""
    changes = parse_changes(options.set) | given(options, "steps")
    variants = options.variants or ["wavenet"]
    if len(variants) == 1 and not {"=", ":"} & set(variants[0]):
        variants = variants[0]  # a family, or a preset
    else:
        variants = dict(map(_named, variants))
        if len(variants) < len(options.variants):
            raise InputError("two variants have the same name: give them names, NAME:CHANGE")
    presets_of(variants, vq.load_preset(options.base), changes)  # refused before TensorFlow
    corpus = open_with(options, options.dataset)
    settings = given(options, "base", "seeds", "save")
    score = vq.evaluation.unit_scores if options.units else None
    print(vq.compare(variants, corpus, score=score, **settings, **changes))


def _named(text: str) -> tuple[str, str | dict]:
    """Return the name of a variant and its changes or preset."""
    name, colon, changes = text.partition(":")
    if not colon or "=" in name:
        return text, text
    return name.strip(), changes.strip() or {}


COMMANDS = {"train": (_train_options, _train), "compare": (_compare_options, _compare)}
