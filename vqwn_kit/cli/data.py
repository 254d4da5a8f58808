"""The commands on data: check, prepare, download, bench; and the options that they share."""

import argparse
import json
from pathlib import Path

import vqwn_kit as vq
from vqwn_kit.data.archives import ARCHIVES
from vqwn_kit.data.audio import TRIM_DB
from vqwn_kit.data.corpus import HOLD_OUT, Corpus, open_corpus
from vqwn_kit.data.layouts import LAYOUTS
from vqwn_kit.data.published import MICROPHONES
from vqwn_kit.data.store import Store, prepare
from vqwn_kit.errors import InputError
from vqwn_kit.files import replacing

FIGURES = ("png", "svg", "pdf")
NAMED = 12  # recordings that are named before the rest are counted


def add_command(commands, name: str, call, summary: str, **kwargs) -> argparse.ArgumentParser:
    """Add a command that calls `call` with its options."""
    parser = commands.add_parser(
        name, help=summary, description=summary, allow_abbrev=False, **kwargs
    )
    parser.set_defaults(call=call)
    return parser


def add_reading(add) -> None:
    """Add the options that say how a folder of speech is to be read."""
    add("--layout", help=f"{', '.join(LAYOUTS)}, instead of what is recognised")
    add("--pattern", help="of the files' names, such as '{speaker}_{}'; {} is anything")
    add("--microphone", choices=MICROPHONES, default="mic1", help="of VCTK 0.92 (default: mic1)")
    add(
        "--hold-out",
        choices=HOLD_OUT,
        default="sentences",
        help="what is kept from training, for judging (default: sentences)",
    )


def choices_of(options) -> dict:
    """Return what those options say, as keywords of `open_corpus`."""
    names = ("layout", "microphone", "pattern", "hold_out")
    return {name: getattr(options, name) for name in names}


def add_storing(add) -> None:
    """Add the options that say how recordings are converted; each choice is a store of its own."""
    add("--level", type=float, metavar="DB", help="bring each recording to this RMS, such as -26")
    add("--trim", type=float, metavar="DB", default=TRIM_DB, help="silence at the ends, under the "
        "loudest (default: 40)")  # fmt: skip


def storing_of(options) -> dict:
    """Return what those options say, as keywords of `prepare`."""
    return {"level_db": options.level, "trim_db": options.trim}


def open_with(options, folder: str) -> Corpus:
    """Open a corpus as the options say, and print what it was taken for."""
    corpus = open_corpus(folder, **choices_of(options))
    print(f"{corpus.folder}: {corpus.layout} ({corpus.reason}), {len(corpus.speakers)} speakers")
    return corpus


def name_losses(store: Store, length: int | None = None) -> None:
    """Say what isn't used, and what is shorter than a crop of `length` samples."""
    for what, losses in (("left out", store.corpus.left_out), ("skipped", store.skipped)):
        for name, reason in list(losses.items())[:NAMED]:
            print(f"{what} {name}: {reason}")
        if len(losses) > NAMED:
            print(f"{what} {len(losses) - NAMED} more; vqwn check --all names every one")
    length = length or store.sample_rate
    short = store.shorter_than(length)
    if short:
        shown = ", ".join(short[:NAMED])
        shown += f" and {len(short) - NAMED} more" if len(short) > NAMED else ""
        print(f"shorter than {length / store.sample_rate:g} s, padded with zeros in crops: {shown}")


def add_check(commands) -> None:
    """Add the command `check`."""
    add = add_command(
        commands, "check", _check, "what is in a folder of speech, what is wrong, what will be done"
    ).add_argument
    add("data", metavar="FOLDER", help="a corpus")
    add_reading(add)
    add("--figure", metavar="FILE", help="draw minutes, lengths, levels and rates into a .png")
    add("--all", action="store_true", help="list every name, however many there are")


def _check(options) -> int:
    form = Path(options.figure or ".png").suffix.lower().removeprefix(".") or "png"
    if form not in FIGURES:
        raise InputError(f"can't draw {options.figure}: give a name that ends in .{FIGURES[0]}")
    found = vq.check_corpus(options.data, **choices_of(options))
    print(found.text(None) if options.all else found)
    if options.figure and found.usable:
        try:
            with replacing(Path(options.figure)) as scratch:
                found.plot().savefig(scratch, format=form, dpi=120)
        except OSError as error:  # status 1 says that nothing usable is left
            raise InputError(f"can't draw {options.figure}: {error.strerror}") from error
        print(f"figure: {options.figure}")
    return 0 if found.usable else 1


def add_prepare(commands) -> None:
    """Add the command `prepare`."""
    add = add_command(
        commands, "prepare", _prepare, "decode a corpus once, so that training reads it fast"
    ).add_argument
    add(
        "data", metavar="FOLDER", help="a corpus; VCTK and LibriSpeech stand for data/VCTK-Corpus …"
    )
    add_reading(add)
    add_storing(add)
    add("--workers", type=int, help="threads that decode (default: one a core)")


def _prepare(options) -> None:
    corpus = open_with(options, options.data)
    store = prepare(corpus, workers=options.workers, **storing_of(options))
    name_losses(store)
    for split in ("train", "held_out"):
        print(
            f"{split}: {len(store.numbers(split))} utterances, {store.seconds(split) / 60:.1f} min"
        )
    print(f"{len(corpus.speakers)} speakers; store: {store.folder}")


def add_download(commands) -> None:
    """Add the command `download`."""
    add = add_command(
        commands, "download", _download, "fetch a published corpus and unpack it; goes on if broken"
    ).add_argument
    add("name", nargs="?", help="which; without it, there is a list")
    add("--folder", help="where to unpack it (default: data)")


def _download(options) -> None:
    if options.name is None:
        for name, archive in ARCHIVES.items():
            print(f"{name:30} {archive.gigabytes:5g} GB  {archive.licence:10} {archive.title}")
        return
    folder = vq.download_corpus(options.name, options.folder)
    print(f"{folder}: next, vqwn check {folder}")


def add_bench(commands) -> None:
    """Add the command `bench`."""
    add = add_command(
        commands, "bench", _bench, "how fast the workbench is on this machine"
    ).add_argument
    add("names", nargs="*", metavar="NAME", help="machine, training, sampling, data, import …")
    add("--data", metavar="FOLDER", help="a corpus to measure on (default: the bundled one)")
    add("--run", metavar="RUN", help="a trained run: what do rough weights cost it?")
    add("--json", metavar="FILE", help="write the figures there, too")


def _bench(options) -> None:
    from benchmarks.run import run_benches, shares

    found = run_benches(options.names, options.data, options.run)
    limits = shares(found)
    for bench, figures in found.items():
        print(bench)
        for name, value in figures.items():
            share = limits.get(f"{bench} {name}")
            limit = "" if share is None else f"  {share:4.0%} of the machine's"
            print(f"  {name:34} {value:11.6g}{limit}")
    if options.json:
        with replacing(Path(options.json)) as file:
            file.write_text(json.dumps(found, indent=1), encoding="utf-8")
        print(options.json)
