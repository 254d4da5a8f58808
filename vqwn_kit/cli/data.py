"""The commands on data: check, prepare, download; and the options that others share with them."""

from argparse import ArgumentTypeError
from pathlib import Path

import vqwn_kit as vq
from vqwn_kit.data.archives import ARCHIVES
from vqwn_kit.data.audio import TRIM_DB
from vqwn_kit.data.corpus import HOLD_OUT, Corpus, open_corpus
from vqwn_kit.data.published import MICROPHONES
from vqwn_kit.data.store import Store, prepare
from vqwn_kit.errors import InputError
from vqwn_kit.files import counted, replacing

FIGURES = ("png", "svg", "pdf")
LISTED = 12  # recordings that are listed by name before the rest are counted


def corpus_options(add) -> None:
    """Add the options that say how a folder of speech is read."""
    listed = "table, folders, single or a corpus, such as vctk; see the guide to data"
    add("--layout", f"instead of the recognised one: {listed}")
    add("--pattern", "of the file names, such as '{speaker}_{}'; {} matches anything")
    add("--microphone", "of VCTK 0.92 (default: mic1)", choices=MICROPHONES, default="mic1")
    held_out = "what is held out for evaluation (default: sentences)"
    add("--hold-out", held_out, choices=HOLD_OUT, default="sentences")


def corpus_settings(options) -> dict:
    """Return the values of those options, as keywords of `open_corpus`."""
    return given(options, "layout", "microphone", "pattern", "hold_out")


def given(options, *names: str) -> dict:
    """Return those options that were given or have a default, by name."""
    values = {name: getattr(options, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def number_or_word(text: str) -> float | str:
    """Return what was typed as a number, or as a word that is checked later."""
    try:
        return float(text)
    except ValueError:
        return text


def seed(text: str) -> int:
    """Return a seed as it was typed.

    Raises:
        ArgumentTypeError: no whole number from 0 on.
    """
    if not text.isdecimal() or len(text) > 18:
        raise ArgumentTypeError(f"{text!r}: expected a whole number from 0 on")
    return int(text)


def store_options(add) -> None:
    """Add the options that say how recordings are converted; each choice has its own store."""
    add("--level", "scale each recording to this RMS, such as -26", type=float, metavar="DB")
    trim = "threshold of silence at the ends, below the loudest part (default: 40)"
    add("--trim", trim, type=float, metavar="DB", default=TRIM_DB)


def store_settings(options) -> dict:
    """Return the values of those options, as keywords of `prepare`."""
    return {"level_db": options.level, "trim_db": options.trim}


def worker_options(add) -> None:
    """Add the options of a training in several processes."""
    workers = (
        "train in N processes on this machine; or, given to each process, the addresses of all"
    )
    add("--workers", f"{workers} (default: TF_CONFIG)", metavar="N|HOST:PORT,...")
    add("--index", "number of this process among them, from 0", type=int, metavar="N")


def open_with(options, folder: str) -> Corpus:
    """Open a corpus as the options say, and print its layout."""
    corpus = open_corpus(folder, **corpus_settings(options))
    print(f"{corpus.folder}: {corpus.layout} ({corpus.reason}), {len(corpus.speakers)} speakers")
    return corpus


def print_losses(store: Store, length: int | None = None) -> None:
    """Print what is not used, and what is shorter than a crop of `length` samples."""
    if store.silent_speakers:
        names = ", ".join(store.silent_speakers)
        print(f"speakers left out, since none of their recordings can be used: {names}")
    for what, losses in (("left out", store.corpus.left_out), ("skipped", store.skipped)):
        for name, reason in list(losses.items())[:LISTED]:
            print(f"{what} {name}: {reason}")
        if len(losses) > LISTED:
            print(f"{what} {len(losses) - LISTED} more; vqwn check --all lists every one")
    length = length or store.sample_rate
    short = store.shorter_than(length)
    if short:
        names = ", ".join(short[:LISTED])
        names += f" and {len(short) - LISTED} more" if len(short) > LISTED else ""
        print(f"shorter than {length / store.sample_rate:g} s, padded with zeros in crops: {names}")


def _check_options(add) -> None:
    add("data", "a corpus", metavar="FOLDER")
    corpus_options(add)
    add("--figure", "draw minutes, lengths, levels and rates into a .png", metavar="FILE")
    add("--all", "list every name, however many there are", action="store_true")


def _check(options) -> int:
    """Report what is in a folder of speech, its problems, and how each is handled."""
    form = Path(options.figure or ".png").suffix.lower().removeprefix(".") or "png"
    if form not in FIGURES:
        raise InputError(f"cannot draw {options.figure}: give a name that ends in .{FIGURES[0]}")
    report = vq.check_corpus(options.data, **corpus_settings(options))
    print(report.text(None) if options.all else report)
    if options.figure and report.usable:
        try:
            with replacing(Path(options.figure)) as scratch:
                report.plot().savefig(scratch, format=form, dpi=120)
        except OSError as error:  # status 1 means that nothing is usable
            raise InputError(f"cannot draw {options.figure}: {error.strerror}") from error
        print(f"figure: {options.figure}")
    return 0 if report.usable else 1


def _prepare_options(add) -> None:
    add("data", "a corpus, or VCTK, LibriSpeech ... for its folder in data/", metavar="FOLDER")
    corpus_options(add)
    store_options(add)
    add("--workers", "threads that decode (default: one per core)", type=int)


def _prepare(options) -> None:
    """Decode a corpus once, so that training reads it fast."""
    corpus = open_with(options, options.data)
    store = prepare(corpus, workers=options.workers, **store_settings(options))
    print_losses(store)
    for split in ("train", "held_out"):
        minutes = store.seconds(split) / 60
        print(f"{split}: {counted(len(store.numbers(split)), 'utterances')}, {minutes:.1f} min")
    print(f"{len(store.corpus.speakers)} speakers; store: {store.folder}")


def _download_options(add) -> None:
    add("name", "of the corpus; without it, they are listed", nargs="?")
    add("--folder", "where to unpack it (default: data)")


def _download(options) -> None:
    """Download a published corpus and unpack it; an interrupted download is resumed."""
    if options.name is None:
        for name, archive in ARCHIVES.items():
            print(f"{name:30} {archive.gigabytes:5g} GB  {archive.licence:10} {archive.title}")
        return
    folder = vq.download_corpus(options.name, options.folder)
    print(f"{folder}: next, vqwn check {folder}")


COMMANDS = {
    "check": (_check_options, _check),
    "prepare": (_prepare_options, _prepare),
    "download": (_download_options, _download),
}
