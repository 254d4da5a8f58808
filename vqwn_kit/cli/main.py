"""The command line: parses and calls. TensorFlow is imported by the commands that need it.

The predecessor's options work as they were, single dashes included.
"""

import argparse
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path

import vqwn_kit as vq
from vqwn_kit.cli.data import (
    add_bench,
    add_check,
    add_command as _command,
    add_download,
    add_prepare,
    add_reading,
    choices_of,
)
from vqwn_kit.cli.prior import add_dreaming, add_prior, check_dreaming, dream_with
from vqwn_kit.cli.train import add_compare, add_train, one_of_two
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
    add_train(commands)
    add_compare(commands)
    add_prior(commands)
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
    from vqwn_kit.workbench.pipeline import run_main_job

    corpus = vq.open_corpus(options.data, **choices_of(options)) if options.data else None
    changes = {"steps": options.steps} if options.steps is not None else {}
    try:
        run_main_job(
            corpus, options.preset, fresh=options.fresh, minutes=options.minutes, **changes
        )
    except KeyboardInterrupt as stop:
        again = "the same command, without --fresh (FRESH=1), goes on from there"
        raise KeyboardInterrupt(f"{str(stop) or 'stopped'}; {again}") from None


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
    add("--audio", "-audio", nargs="+", metavar="FILE", help="recordings to speak")
    add_dreaming(add)
    add("--speakers", "-speakers", nargs="+", required=True, metavar="NAME", help="whose voices")
    add("--mode", "-mode", default="sample", choices=("sample", "greedy"))
    add("--temperature", type=float, default=1.0, help="below 1 is less noisy (default: 1)")
    add("--top-k", type=int, metavar="K", help="draw from the likeliest K levels only")
    add("--seed", type=int, default=0, help="the same seed gives the same sound")
    add(
        "--precision",
        default="float32",
        choices=("float32", "bfloat16"),
        help="of the weights; the rough ones are faster (`vqwn bench --run` tells their cost)",
    )
    add(
        "--save",
        "-save",
        default="generated",
        metavar="FOLDER",
        help="(default: generated); what is there is never overwritten",
    )


def _generate(options) -> None:
    check_dreaming(options)
    from vqwn_kit.sampling.generate import Interrupted, convert_many

    if options.from_prior:
        dream_with(options)
        return
    waves = [vq.load_audio(path) for path in options.audio]
    run = vq.Run(options.restore)
    model = run.model
    model.speaker_ids(options.speakers)
    settings = {"mode": options.mode, "temperature": options.temperature, "top_k": options.top_k}
    settings |= {"seed": options.seed, "precision": options.precision, "progress": True}
    try:
        spoken = convert_many(model, waves, [options.speakers] * len(waves), **settings)
    except Interrupted as interrupt:
        _save_spoken(options, run.newest, interrupt.waveforms)
        raise
    _save_spoken(options, run.newest, spoken)


def _save_spoken(options, step: int, spoken: list) -> None:
    for path, sounds in zip(options.audio, spoken, strict=True):
        stem = f"_{Path(path).stem}" if len(options.audio) > 1 else ""
        for name, sound in zip(options.speakers, sounds, strict=True):
            file = Path(options.save) / f"{step}{stem}_{name.replace('/', '_')}.wav"
            print(vq.save_audio(unused(file), sound))


def _add_evaluate(commands) -> None:
    parser = _command(commands, "evaluate", _evaluate, "measure a run on speech it never heard")
    add = parser.add_argument
    add("run", metavar="RUN", help="a run folder or a checkpoint, P-STEP")
    add("--data", metavar="FOLDER", help="the corpus (default: the one that it was trained on)")
    add("--sampled", type=int, default=6, help="held-out utterances to sample, or 0 (default: 6)")
    add("--targets", type=int, default=2, help="voices that each is converted to (default: 2)")
    add("--utterances", type=int, help="held-out utterances for all else (default: all)")
    add("--temperature", type=float, default=1.0, help="of sampling (default: 1)")
    optional = {"action": argparse.BooleanOptionalAction, "default": True}
    add("--originals", **optional, help="keep the recordings beside what was made of them")
    add("--seed", type=int, default=0, help="the same seed gives the same card")
    add("--save", metavar="FOLDER", help="where to write the card (default: the run's folder)")


def _evaluate(options) -> None:
    names = ("sampled", "targets", "utterances", "temperature", "originals", "seed")
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
        "write codebook, speakers and frames for the Embedding Projector, and open it offline",
        aliases=["visualize"],
    )
    add = parser.add_argument
    add("--embedding", "-embedding", metavar="FILE", help="a codebook, embedding_STEP.npy")
    add("--speaker", "-speaker", metavar="FILE", help="speakers, speaker_embedding_STEP.npy")
    add("--run", metavar="RUN", help="all from a run or a checkpoint, instead of the two files")
    add("--data", metavar="FOLDER", help="with --run: its corpus (default: its own, if at hand)")
    add("--frames", type=int, metavar="N", help="with --run: frames at most (default: 2000)")
    add("--save", "-save", default="embeddings", metavar="FOLDER", help="(default: embeddings)")
    add("--open", action="store_true", help="show it in a browser; alone: what --save FOLDER holds")


def _visualise(options) -> None:
    from vqwn_kit.projector.tables import visualise

    one_of_two(options, "run", "embedding")
    one_of_two(options, "run", "speaker")
    if not options.run and (options.data or options.frames is not None):
        raise InputError("--data and --frames belong to a run: give --run RUN")
    if options.run:
        frames = {} if options.frames is None else {"frames": options.frames}
        written = vq.export_projector(options.run, options.save, options.data, **frames)
    elif options.open and not (options.embedding or options.speaker):
        written = []
    else:
        written = visualise(options.save, options.embedding, options.speaker)
    for path in written:
        print(path)
    if options.run and options.frames != 0 and not any("frames" in path.stem for path in written):
        print(
            f"the corpus of {options.run} isn't at hand, so there are no frames, and the use of "
            "codes isn't told: give --data FOLDER",
            file=sys.stderr,
        )
    if options.open:
        _show(vq.open_projector(options.save))


def _show(page) -> None:
    """Open a page in a browser, and serve it until Ctrl-C."""
    with page:
        print(f"{page.url} shows them until Ctrl-C", flush=True)
        webbrowser.open(page.url)
        try:
            page.wait()
        except KeyboardInterrupt:
            print("closed")


def _add_info(commands) -> None:
    add = _command(
        commands, "info", _info, "what a run, a checkpoint, a preset or a corpus is"
    ).add_argument
    add("what", help="a run folder, P-STEP, the name of a preset, or a folder of speech")


def _info(options) -> None:
    for name, value in vq.describe(options.what).items():
        print(f"{name:24} {value}")
