"""The command line: parses and calls. TensorFlow is imported by the commands that need it.

The predecessor's options work as they were, single dashes included.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import vqwn_kit as vq
from vqwn_kit.config import parse_changes
from vqwn_kit.data_cli import (
    add_bench,
    add_check,
    add_download,
    add_prepare,
    add_reading,
    add_storing,
    choices_of,
    name_losses,
    open_with,
    storing_of,
)
from vqwn_kit.data_cli import add_command as _command
from vqwn_kit.errors import InputError
from vqwn_kit.files import unused


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status.

    0, 1 where a file system or the network failed or `check` found nothing usable, 2 for bad
    input, 130 after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):  # a name in any script can be printed on any terminal
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    try:
        return options.call(options) or 0
    except InputError as error:
        print(f"vqwn: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"vqwn: {error}. What was saved before is as it was.", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print(f"\nvqwn: {stop}" if str(stop) else "\nvqwn: stopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vqwn", description="A workbench for VQ-VAE speech models with a WaveNet decoder."
    )
    parser.add_argument("--version", action="version", version=f"vqwn_kit {vq.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands)
    add_check(commands)
    add_prepare(commands)
    add_download(commands)
    _add_train(commands)
    _add_compare(commands)
    _add_generate(commands)
    _add_evaluate(commands)
    _add_visualise(commands)
    _add_info(commands)
    add_bench(commands)
    return parser


def _add_run(commands) -> None:
    add = _command(
        commands, "run", _run, "train, speak, draw and report: the whole of it, in minutes"
    ).add_argument
    add("--data", metavar="FOLDER", help="a corpus (default: the bundled one)")
    add_reading(add)
    add("--preset", default="mini", help="a preset, or a .json file (default: mini)")
    add("--steps", type=int, help="training steps, instead of the preset's")
    add("--minutes", type=float, default=4.0, help="most minutes of training (default: 4)")
    add("--fresh", action="store_true", help="train anew even if a finished run is there")


def _run(options) -> None:
    corpus = vq.open_corpus(options.data, **choices_of(options)) if options.data else None
    changes = {"steps": options.steps} if options.steps is not None else {}
    try:
        vq.run_main_job(
            corpus, options.preset, fresh=options.fresh, minutes=options.minutes, **changes
        )
    except KeyboardInterrupt as stop:
        again = "the same command, without --fresh (FRESH=1), goes on from there"
        raise KeyboardInterrupt(f"{str(stop) or 'stopped'}; {again}") from None


def _add_train(commands) -> None:
    add = _command(commands, "train", _train, "train a model on a corpus").add_argument
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
    add(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="exchange parts or settings, such as encoder=2019, bottleneck.joint=true",
    )
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
    _one_of_two(options, "steps", "epochs")
    _one_of_two(options, "save", "run")
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


def _add_compare(commands) -> None:
    add = _command(
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
    add(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="changes to all variants",
    )
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
    return [vq.audio_log(options.log, {utterance.key: waveform}, utterance.speaker)]


def _part_and_run(text: str) -> tuple[str, str]:
    part, _, run = text.partition("=")
    if not run:
        raise InputError(f"--parts {text}: expected PART=RUN, such as encoder=results/mini")
    return part, run


def _one_of_two(options, one: str, other: str) -> None:
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


def _add_generate(commands) -> None:
    add = _command(
        commands, "generate", _generate, "speak recordings again, in the voices of speakers"
    ).add_argument
    add(
        "--restore",
        "--run",
        "-restore",
        required=True,
        metavar="P-STEP",
        help="a run or checkpoint",
    )
    add("--audio", "-audio", nargs="+", required=True, metavar="FILE", help="recordings to speak")
    add("--speakers", "-speakers", nargs="+", required=True, metavar="NAME", help="whose voices")
    add("--mode", "-mode", default="sample", choices=("sample", "greedy"))
    add("--temperature", type=float, default=1.0, help="below 1 is less noisy (default: 1)")
    add("--seed", type=int, default=0, help="the same seed gives the same sound")
    add(
        "--save",
        "-save",
        default="generated",
        metavar="FOLDER",
        help="(default: generated); what is there is never overwritten",
    )


def _generate(options) -> None:
    waves = [vq.load(path) for path in options.audio]
    run = vq.Run(options.restore)
    model = run.model
    model.speaker_ids(options.speakers)
    spoken = vq.convert_many(
        model,
        waves,
        [options.speakers] * len(waves),
        mode=options.mode,
        temperature=options.temperature,
        seed=options.seed,
        progress=True,
    )
    for path, sounds in zip(options.audio, spoken, strict=True):
        stem = f"_{Path(path).stem}" if len(waves) > 1 else ""
        for name, sound in zip(options.speakers, sounds, strict=True):
            file = Path(options.save) / f"{run.newest}{stem}_{name.replace('/', '_')}.wav"
            print(vq.save(unused(file), sound))


def _add_evaluate(commands) -> None:
    parser = _command(commands, "evaluate", _evaluate, "measure a run on speech it never heard")
    add = parser.add_argument
    add("run", metavar="RUN", help="a run folder or a checkpoint, P-STEP")
    add("--data", metavar="FOLDER", help="the corpus (default: the one that it was trained on)")
    add("--spoken", type=int, default=6, help="held-out utterances to sample (default: 6; 0: none)")
    add("--targets", type=int, default=2, help="voices that each is converted to (default: 2)")
    add("--utterances", type=int, help="held-out utterances for all else (default: all)")
    add("--temperature", type=float, default=1.0, help="of sampling (default: 1)")
    add("--seed", type=int, default=0, help="the same seed gives the same card")
    add("--save", metavar="FOLDER", help="where to write the card (default: the run's folder)")


def _evaluate(options) -> None:
    names = ("spoken", "targets", "utterances", "temperature", "seed")
    run = vq.Run(options.run)
    card = vq.score_card(run, options.data, **{name: getattr(options, name) for name in names})
    print(card)
    for path in card.save(options.save or run.folder):
        print(path)


def _add_visualise(commands) -> None:
    parser = _command(
        commands,
        "visualise",
        _visualise,
        "write a codebook and speakers for projector.tensorflow.org",
        aliases=["visualize"],
    )
    add = parser.add_argument
    add("--embedding", "-embedding", metavar="FILE", help="a codebook, embedding_STEP.npy")
    add("--speaker", "-speaker", metavar="FILE", help="speakers, speaker_embedding_STEP.npy")
    add("--run", metavar="RUN", help="both from a run, instead of the two files")
    add("--save", "-save", default="embeddings", metavar="FOLDER", help="(default: embeddings)")


def _visualise(options) -> None:
    _one_of_two(options, "run", "embedding")
    _one_of_two(options, "run", "speaker")
    if options.run:
        written = vq.export_projector(options.run, options.save)
    else:
        written = vq.visualise(options.save, options.embedding, options.speaker)
    for path in written:
        print(path)


def _add_info(commands) -> None:
    add = _command(
        commands, "info", _info, "what a run, a checkpoint, a preset or a corpus is"
    ).add_argument
    add("what", help="a run folder, P-STEP, the name of a preset, or a folder of speech")


def _info(options) -> None:
    for name, value in vq.describe(options.what).items():
        print(f"{name:24} {value}")
