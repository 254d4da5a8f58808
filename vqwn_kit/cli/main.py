"""The parser of the command line, and the commands that no other file has."""

import argparse
import os
import subprocess
import sys
import webbrowser
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import vqwn_kit as vq
from vqwn_kit.cli import data, prior, train
from vqwn_kit.errors import InputError
from vqwn_kit.files import project_root, unused


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status, see the folder."""
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
        print(f"vqwn: {error}. Files that were saved before are unchanged.", file=sys.stderr)
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
    for name, (add_options, call) in COMMANDS.items():
        summary = call.__doc__.rstrip(".")
        settings = {"help": summary[0].lower() + summary[1:], "description": call.__doc__}
        settings |= FORMS.get(name, {})
        command = commands.add_parser(name, allow_abbrev=False, **settings)
        command.set_defaults(call=call)
        add_options(partial(_add, command))
    return parser


def _add(parser: argparse.ArgumentParser, names: str, summary: str, **settings) -> None:
    """Add an option with one or more names, or a positional argument."""
    parser.add_argument(*names.split(), help=summary, **settings)


def _run_options(add) -> None:
    add("--data", "a corpus (default: the bundled one)", metavar="FOLDER")
    data.corpus_options(add)
    add("--preset", "a preset, or a .json file (default: mini)", default="mini")
    add("--steps", "training steps, instead of the preset's", type=int)
    add("--minutes", "most minutes of training (default: 4)", type=float, default=4.0)
    add("--fresh", "start a new run even if a finished one exists", action="store_true")


def _run(options) -> None:
    """Train a model, synthesise speech, draw figures and write a report, in minutes."""
    from vqwn_kit.workbench.pipeline import run_pipeline

    settings = data.corpus_settings(options)
    corpus = vq.open_corpus(options.data, **settings) if options.data else None
    try:
        run_pipeline(corpus, options.preset, **data.given(options, "fresh", "minutes", "steps"))
    except KeyboardInterrupt as stop:
        again = "the same command, without --fresh (FRESH=1), resumes"
        raise KeyboardInterrupt(f"{str(stop) or 'stopped'}; {again}") from None


def _generate_options(add) -> None:
    add("--restore --run -restore", "a run or checkpoint", required=True, metavar="P-STEP")
    add("--audio -audio", "recordings to convert", nargs="+", metavar="FILE")
    prior.add_prior_sampling(add)
    voices = {"nargs": "+", "required": True, "metavar": "NAME"}
    add("--speakers -speakers", "target voices", **voices)
    add("--mode -mode", "(default: sample)", default="sample", choices=("sample", "greedy"))
    add("--temperature", "below 1 is less noisy (default: 1)", type=float, default=1.0)
    add("--top-k", "sample from the K most probable levels only", type=int, metavar="K")
    add("--seed", "the same seed gives the same sound (default: 0)", type=int, default=0)
    precision = "of the weights; `vqwn bench precision --run RUN` measures the cost of bfloat16"
    add("--precision", precision, default="float32", choices=("float32", "bfloat16"))
    add("--threads", "threads of the sampler (default: one per core)", type=int, metavar="N")
    save = "(default: generated); existing files are never overwritten"
    add("--save -save", save, default="generated", metavar="FOLDER")


def _generate(options) -> None:
    """Convert recordings to the voices of speakers, or sample speech from a prior."""
    prior.check_prior_sampling(options)
    from vqwn_kit.sampling.generate import Interrupted, convert_many

    if options.from_prior:
        prior.generate_from_prior(options)
        return
    waves = [vq.load_audio(path) for path in options.audio]
    run = vq.Run(options.restore)
    run.model.speaker_ids(options.speakers)
    names = ("mode", "temperature", "top_k", "seed", "precision", "threads")
    settings = {"progress": True, **data.given(options, *names)}
    try:
        sounds = convert_many(run.model, waves, [options.speakers] * len(waves), **settings)
    except Interrupted as interrupt:
        _save_sounds(options, run.newest, interrupt.waveforms)
        raise
    _save_sounds(options, run.newest, sounds)


def _save_sounds(options, step: int, converted: list) -> None:
    for path, sounds in zip(options.audio, converted, strict=True):
        stem = f"_{Path(path).stem}" if len(options.audio) > 1 else ""
        for name, sound in zip(options.speakers, sounds, strict=True):
            file = Path(options.save) / f"{step}{stem}_{name.replace('/', '_')}.wav"
            print(vq.save_audio(unused(file), sound))


def _evaluate_options(add) -> None:
    add("run", "a run folder or a checkpoint, P-STEP", metavar="RUN")
    add("--data", "the corpus (default: that of the run)", metavar="FOLDER")
    add("--sampled", "held-out utterances to sample, or 0 (default: 6)", type=int, default=6)
    add("--targets", "voices that each is converted to (default: 2)", type=int, default=2)
    add("--utterances", "held-out utterances for all else (default: all)", type=int)
    add("--temperature", "of sampling (default: 1)", type=float, default=1.0)
    optional = {"action": argparse.BooleanOptionalAction, "default": True}
    add("--originals", "keep the recordings among the card's sounds", **optional)
    add("--seed", "the same seed gives the same card (default: 0)", type=int, default=0)
    add("--save", "where to write the card (default: the run's folder)", metavar="FOLDER")


def _evaluate(options) -> None:
    """Measure a run on held-out speech."""
    names = ("sampled", "targets", "utterances", "temperature", "originals", "seed")
    run = vq.Run(options.run)
    card = vq.score_card(run, options.data, **data.given(options, *names))
    print(card)
    for path in card.save(options.save or run.folder):
        print(path)


def _visualise_options(add) -> None:
    add("--embedding -embedding", "a codebook, embedding_STEP.npy", metavar="FILE")
    add("--speaker -speaker", "speakers, speaker_embedding_STEP.npy", metavar="FILE")
    add("--run", "all from a run or a checkpoint, instead of the two files", metavar="RUN")
    add("--data", "with --run: its corpus (default: its own, if available)", metavar="FOLDER")
    add("--frames", "with --run: frames at most (default: 2000)", type=int, metavar="N")
    add("--save -save", "(default: embeddings)", default="embeddings", metavar="FOLDER")
    add("--open", "show them in a browser; alone: those in --save FOLDER", action="store_true")


def _visualise(options) -> None:
    """Write codebook, speakers and frames for the Embedding Projector, and open it offline."""
    from vqwn_kit.projector.tables import visualise

    train.refuse_both(options, "run", "embedding")
    train.refuse_both(options, "run", "speaker")
    if not options.run and (options.data or options.frames is not None):
        raise InputError("--data and --frames need a run: give --run RUN")
    written = []
    if options.run:
        frames = data.given(options, "frames")
        written = vq.export_projector(options.run, options.save, options.data, **frames)
    elif options.embedding or options.speaker or not options.open:
        written = visualise(options.save, options.embedding, options.speaker)
    for path in written:
        print(path)
    if options.run and options.frames != 0 and not any("frames" in path.stem for path in written):
        missing = f"the corpus of {options.run} is not available, so frames and the use of codes"
        print(f"{missing} are left out: give --data FOLDER", file=sys.stderr)
    if options.open:
        with vq.open_projector(options.save) as page:
            print(f"{page.url} shows them until Ctrl-C", flush=True)
            webbrowser.open(page.url)
            try:
                page.wait()
            except KeyboardInterrupt:
                print("closed")


def _info_options(add) -> None:
    add("what", "a run folder, P-STEP, the name of a preset, or a folder of speech")


def _info(options) -> None:
    """Describe a run, a checkpoint, a preset or a corpus."""
    for name, value in vq.describe(options.what).items():
        print(f"{name:24} {value}")


def _bench_options(add) -> None:
    add("arguments", "names and options of benchmarks", nargs=argparse.REMAINDER)


def _bench(options) -> int:
    """Measure the speed of the workbench on this machine."""
    root = project_root()
    if not (root / "benchmarks" / "__init__.py").is_file():
        raise InputError(
            f"no folder benchmarks/ in {root}: the benchmarks are part of the repository, not of "
            "the installed package; run this command in a checkout"
        )
    path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-P", "-m", "benchmarks", *options.arguments]
    return subprocess.run(command, env=os.environ | {"PYTHONPATH": path}).returncode


COMMANDS = {
    "run": (_run_options, _run),
    **data.COMMANDS,
    **train.COMMANDS,
    **prior.COMMANDS,
    "generate": (_generate_options, _generate),
    "evaluate": (_evaluate_options, _evaluate),
    "visualise": (_visualise_options, _visualise),
    "info": (_info_options, _info),
    "bench": (_bench_options, _bench),
}
FORMS = {
    "visualise": {"aliases": ["visualize"]},
    "bench": {"prefix_chars": "\0", "add_help": False},  # all arguments belong to the benchmarks
}
