"""The parser of the command line, and the commands that no other file has."""

import argparse
import os
import subprocess
import sys
import warnings
import webbrowser
from collections.abc import Sequence
from functools import partial

import vqwn_kit as vq
from vqwn_kit.cli import data, doctor, generate, prior, train, units, voices
from vqwn_kit.errors import InputError, one_of
from vqwn_kit.evaluation import SCORE_NAMES
from vqwn_kit.files import project_root
from vqwn_kit.presets.preset import parse_changes
from vqwn_kit.runs.history import export_history
from vqwn_kit.training.workers import leave


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status, see the folder."""
    status = _status(arguments)
    if status:
        leave(status)
    return status


def _status(arguments: Sequence[str] | None) -> int:
    for stream in (sys.stdout, sys.stderr):  # a name in any script can be printed on any terminal
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    warnings.formatwarning = lambda message, *_, **__: f"note: {message}\n"
    try:
        options = _parser().parse_args(arguments)
        status = options.call(options) or 0
        if sys.stdout is not None:
            sys.stdout.flush()  # so that a reader that is gone is noticed here
        return status
    except InputError as error:
        print(f"vqwn: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of the output has ended, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
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
    presets = "a preset, or a .json file (default: mini, in two stages; paper trains all at once)"
    add("--preset", presets, default="mini")
    add("--steps", "training steps of the decoder, instead of the preset's", type=int)
    minutes = "most minutes of training; schedules follow the time (default: 4)"
    add("--minutes", minutes, type=float, default=4.0)
    add("--seed", "of weights, order and crops", type=data.seed)
    add("--judged", "held-out utterances whose sounds are measured (default: 8)", type=int)
    add("--fresh", "start a new run even if a finished one exists", action="store_true")


def _run(options) -> None:
    """Train a model, synthesise speech, draw figures and write a report, in minutes."""
    from vqwn_kit.workbench.pipeline import run_pipeline

    settings = data.corpus_settings(options)
    corpus = vq.open_corpus(options.data, **settings) if options.data else None
    try:
        run_pipeline(
            corpus,
            options.preset,
            **data.given(options, "fresh", "minutes", "steps", "seed", "judged"),
        )
    except KeyboardInterrupt as stop:
        again = "the same command, without --fresh (FRESH=1), resumes"
        raise KeyboardInterrupt(f"{str(stop) or 'stopped'}; {again}") from None


def _evaluate_options(add) -> None:
    add("run", "a run folder or a checkpoint, RUN/weights-STEP", metavar="RUN")
    add("--data", "the corpus (default: that of the run)", metavar="FOLDER")
    links = "measure where quality is lost instead: bands, codes and WaveNet, link by link"
    add("--links", links, action="store_true", default=None)
    add("--sampled", "held-out utterances to sample, or 0 (default: 6; links: 12)", type=int)
    add("--targets", "voices that each is converted to (default: 2)", type=int)
    add("--utterances", "held-out utterances for all else (default: all)", type=int)
    add(
        "--temperature",
        "of sampling, or 'voiced' (default: 1)",
        type=data.number_or_word,
        default=1.0,
    )
    optional = {"action": argparse.BooleanOptionalAction}
    add("--originals", "keep the recordings among the card's sounds (default: yes)", **optional)
    add("--seed", "the same seed gives the same card (default: 0)", type=data.seed, default=0)
    only = f"make these scores only, of {', '.join(SCORE_NAMES)}"
    add("--only", only, nargs="+", metavar="SCORE")
    add("--save", "where to write the card (default: the run's folder)", metavar="FOLDER")


def _evaluate(options) -> None:
    """Measure a run on held-out speech."""
    of_card = ("targets", "utterances", "originals", "only")
    for name in of_card:
        train.refuse_both(options, "links", name)
    for name in options.only or ():  # before TensorFlow
        if name not in SCORE_NAMES:
            raise one_of("score", name, SCORE_NAMES)
    names = ["sampled", "temperature", "seed", *of_card]
    run, measure = vq.load_run(options.run), vq.score_card
    if options.links:
        from vqwn_kit.evaluation import link_table as measure
    card = measure(run, options.data, **data.given(options, *names))
    print(card)
    for path in card.save(options.save or run.folder):
        print(path)


def _compare_runs_options(add) -> None:
    add("runs", "run folders; a step is a checkpoint, RUN/weights-STEP", nargs="+", metavar="RUN")
    add("--utterances", "keys, or how many held-out ones (default: 3)", nargs="+", metavar="KEY|N")
    add("--data", "the corpus (default: that of the runs)", metavar="FOLDER")
    add("--speaker", "a voice to convert to (default: each utterance's own)", metavar="NAME")
    add("--maps", "draw the maps of the codes", action=argparse.BooleanOptionalAction)
    add("--temperature", "of sampling, or 'voiced' (default: 1)", type=data.number_or_word)
    add("--seed", "of sampling (default: 0)", type=data.seed)
    page = "the page to write (default: compared.html)"
    add("--save", page, default="compared.html", metavar="FILE.html")


def _compare_runs(options) -> None:
    """Compare runs or steps on one page: players, maps of codes and score cards side by side."""
    from vqwn_kit.widgets.page import page_path

    page = page_path(options.save)
    names = ("data", "speaker", "maps", "temperature", "seed")
    utterances = options.utterances or ["3"]
    if len(utterances) == 1 and utterances[0].isdecimal():
        utterances = int(utterances[0])
    compared = vq.compare_runs(options.runs, utterances, **data.given(options, *names))
    print(compared.cards)
    print(compared.save_html(page))


def _visualise_options(add) -> None:
    add("--embedding -embedding", "a codebook, embedding_STEP.npy", metavar="FILE")
    add("--speaker -speaker", "speakers, speaker_embedding_STEP.npy", metavar="FILE")
    add("--run", "all from a run or a checkpoint, instead of the two files", metavar="RUN")
    add("--data", "with --run: its corpus (default: its own, if available)", metavar="FOLDER")
    add("--frames", "with --run: frames at most (default: 2000)", type=int, metavar="N")
    add("--save -save", "(default: embeddings)", default="embeddings", metavar="FOLDER")
    pages = "with --run: write a page per code, that plays, and their index there instead"
    add("--codes", pages, metavar="FOLDER")
    add("--open", "show them in a browser; alone: those in --save FOLDER", action="store_true")


def _visualise_codes(options) -> None:
    """Write the pages of all codes of a run."""
    if not options.run:
        raise InputError("--codes needs a run: give --run RUN")
    for name in ("embedding", "speaker", "frames"):
        train.refuse_both(options, "codes", name)
    run = vq.load_run(options.run)  # before TensorFlow
    from vqwn_kit.workbench.code_page import save_code_pages

    index = save_code_pages(run, options.codes, options.data)[-1]
    print(index)
    if options.open:
        webbrowser.open(index.resolve().as_uri())


def _visualise(options) -> None:
    """Write codebook, speakers and frames for the Embedding Projector; or a page per code."""
    from vqwn_kit.projector.tables import visualise

    if options.codes:
        _visualise_codes(options)
        return

    train.refuse_both(options, "run", "embedding")
    train.refuse_both(options, "run", "speaker")
    if not options.run and (options.data or options.frames is not None):
        raise InputError("--data and --frames need a run: give --run RUN")
    written = []
    if options.run:
        frames, run = data.given(options, "frames"), vq.load_run(options.run)
        written = vq.export_projector(run, options.save, options.data, **frames)
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
    add("what", "a run folder, RUN/weights-STEP, the name of a preset, or a folder of speech")
    changes = "changes of a preset, such as encoder=2019, bottleneck.joint=true"
    add("--set", changes, metavar="NAME=VALUE", default=[], **train.MANY)
    calibrate = "measure again how far held-out speech of a run lies from its codes"
    add("--calibrate", calibrate, action="store_true")
    own = "with --calibrate: the run's corpus (default: its own, if there)"
    add("--data", own, metavar="FOLDER")
    history = "also write the history of a run as a table, .csv or .parquet"
    add("--history", history, metavar="FILE")
    add("--measure", "time training steps on noise, on this machine", action="store_true")


def _info(options) -> None:
    """Describe a run, a checkpoint, a preset or a corpus."""
    if options.data and not options.calibrate:
        raise InputError("--data is for --calibrate: give both, or neither")
    if options.calibrate:
        from vqwn_kit.evaluation.familiarity import calibrate

        calibrate(options.what, options.data)
    print(vq.describe(options.what, measure=options.measure, **parse_changes(options.set)))
    if options.history:
        print(export_history(vq.load_run(options.what).folder, options.history))


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
    **voices.COMMANDS,
    **generate.COMMANDS,
    **units.COMMANDS,
    "evaluate": (_evaluate_options, _evaluate),
    "compare-runs": (_compare_runs_options, _compare_runs),
    **doctor.COMMANDS,
    "visualise": (_visualise_options, _visualise),
    "info": (_info_options, _info),
    "bench": (_bench_options, _bench),
}
FORMS = {
    "visualise": {"aliases": ["visualize"]},
    "bench": {"prefix_chars": "\0", "add_help": False},  # all arguments belong to the benchmarks
}
