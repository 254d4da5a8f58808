"""A folder of speech -> its layout, its utterances, and facts about its speakers."""

import os
from pathlib import Path

from vqwn_kit.data import audio
from vqwn_kit.data.declared import Layout
from vqwn_kit.data.folders import (
    guess_pattern,
    has_speaker_folders,
    own_folders,
    read_folders,
    read_pattern,
    read_single,
)
from vqwn_kit.data.published import PUBLISHED
from vqwn_kit.data.scan import Choices, Listing, Tree, text_of, walk
from vqwn_kit.data.tables import add_speaker_table, read_table
from vqwn_kit.errors import InputError, one_of

DEEPEST = 4  # folders that hold nothing but the next one, and are passed through

LAYOUTS = {
    "table": Layout(
        "",
        "utterances.tsv",
        marks=(r"utterances\.(tsv|csv)$",),
        read=read_table,
    ),
    **PUBLISHED,
    "pattern": Layout("names by a pattern", "anywhere", read=read_pattern),
    "single": Layout("one speaker", "anywhere", read=read_single),
    "folders": Layout(
        "one subfolder per speaker", "SPEAKER/…", when=has_speaker_folders, read=read_folders
    ),
}


def read_folder(
    folder: str | Path,
    layout: str | None = None,
    microphone: str = "mic1",
    pattern: str | None = None,
) -> Listing:
    """List the speech in a folder; see `open_corpus`.

    Raises:
        InputError: no such folder, an unknown layout, no sound in it, or a run's folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"no such folder: {folder}. Give a folder with recordings in it")
    readable = [name for name, layout in LAYOUTS.items() if not layout.refusal]
    if layout is not None and layout not in readable:
        raise one_of("layout", layout, readable)
    if pattern is not None:
        if layout not in (None, "pattern"):
            raise InputError(f"pattern belongs to the layout 'pattern'; you gave {layout!r}")
        layout = "pattern"
    tree, choices = walk(folder), Choices(microphone, pattern)
    _refuse_outputs(tree)
    if layout is not None:
        reason = f"its names follow {pattern!r}" if pattern else LAYOUTS[layout].recognised(tree)
        listing = LAYOUTS[layout].listing(tree, choices)
    else:
        _refuse_inside_of_corpus(tree)
        layout, reason, tree = _recognise(tree)
        listing = LAYOUTS[layout].listing(tree, choices)
        inside = os.path.relpath(tree.folder, folder).replace(os.sep, "/")
        prefix = "" if inside == "." else f"{inside}/"
        listing.left_out = {prefix + name: why for name, why in listing.left_out.items()}
    remark = f"; {listing.reason}" if listing.reason else ""
    listing.layout, listing.reason = layout, (reason or "as you asked") + remark
    return _finished(listing, tree, folder)


def _recognise(tree: Tree) -> tuple[str, str, Tree]:
    """Return name, reason and tree of the layout of a folder, or of the only one it holds.

    Raises:
        InputError: it holds several corpora, or recordings in no layout.
    """
    inside, whole = "", tree
    for _ in range(DEEPEST):
        for name, layout in LAYOUTS.items():
            reason = layout.recognised(tree) if name != "folders" else ""
            if reason:
                return name, reason + (f", in {inside}" if inside else ""), tree
        if len(tree.tops) != 1 or any("/" not in name for name in tree.sounds):
            break
        inside, tree = f"{inside}{tree.tops[0]}/", tree.below(f"{tree.tops[0]}/")
    _refuse_several_corpora(whole)
    reason = LAYOUTS["folders"].recognised(whole)
    if not reason:
        raise _nothing_found(whole, whole.left_out)
    return "folders", reason, whole


def _finished(listing: Listing, tree: Tree, folder: Path) -> Listing:
    """Return the listing in order, each key once, with the facts of a table of speakers."""
    left_out, kept = {**tree.left_out, **listing.left_out}, {}
    for utterance in listing.utterances:
        first = kept.setdefault(utterance.key, utterance)
        if first is utterance:
            continue
        if listing.layout == "table":
            raise InputError(
                f"two recordings are named {utterance.key!r}: {first.path} and "
                f"{utterance.path}; rename one"
            )
        name = os.path.relpath(text_of(str(utterance.path)), text_of(str(folder)))
        left_out[name.replace(os.sep, "/")] = f"{text_of(first.path.name)} has the same name"
    if not kept:
        raise _nothing_found(tree, left_out)
    listing.utterances = [kept[key] for key in sorted(kept)]
    listing.left_out = dict(sorted(left_out.items()))
    for place in {folder, tree.folder}:
        add_speaker_table(place, listing.speakers, listing.layout not in PUBLISHED)
    return listing


def _nothing_found(tree: Tree, left_out: dict[str, str]) -> InputError:
    folder, hint = tree.folder, ""
    if left_out:
        name, reason = next(iter(left_out.items()))
        several = f"{len(left_out)} files cannot be used as they are, such as "
        hint = f" {several if len(left_out) > 1 else ''}{name}: {reason}."
    loose = [name for name in tree.sounds if not own_folders(name)]
    if loose:
        parts = sorted({name.partition("/")[0] for name in loose if "/" in name})
        where = f"no subfolder but {', '.join(parts[:6])}" if parts else "no subfolder"
        hint += f" Some recordings are in {where}: give the pattern of their names (--pattern "
        hint += f"{guess_pattern(tree)!r}), or --layout single if all are of one speaker "
        hint += "(in Python pattern=... or layout='single')."
    return InputError(
        f"{folder} holds no recordings in a known layout; site/guides/your-data.md lists them."
        f"{hint} Put one subfolder per speaker into it, with "
        f"{', '.join(sorted(audio.EXTENSIONS))} files"
    )


def _refuse_outputs(tree: Tree) -> None:
    """Refuse what this package wrote: a run, a folder of runs, a store."""
    for folder in [tree.folder, *(tree.folder / top for top in tree.tops)]:
        if (folder / "audio.int16").is_file():
            raise InputError(
                f"{folder} is a prepared store, no folder of recordings: give the corpus itself"
            )
        if (folder / "config.json").is_file() and any(folder.glob("*.weights.h5")):
            raise InputError(
                f"{folder} is the folder of a run, no corpus: give a folder of recordings "
                "(a run is continued with train --restore, and described by info)"
            )


def _refuse_several_corpora(tree: Tree) -> None:
    """Refuse a folder of corpora: their names would be taken for speakers, or all but one lost."""
    own = ("table", *PUBLISHED)
    inside = [
        top
        for top in tree.tops
        if any(LAYOUTS[name].recognised(tree.below(f"{top}/")) for name in own)
    ]
    if inside:
        raise InputError(
            f"{tree.folder} holds whole corpora ({', '.join(inside)}): give one of them, such as "
            f"{tree.folder / inside[0]}"
        )


def _refuse_inside_of_corpus(tree: Tree) -> None:
    """Refuse a subfolder of a corpus, where takes or splits would be taken for speakers.

    VCTK 0.92 would have each sentence twice, perhaps in both splits.
    """
    folder = tree.folder.resolve()
    for layout in PUBLISHED.values():
        if layout.is_inside(folder.name, tree):
            raise InputError(
                f"{folder} is the inside of a corpus ({layout.title}): give {folder.parent}; or "
                "choose how to read it (--layout folders)"
            )
