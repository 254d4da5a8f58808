"""A folder of speech -> its layout, its utterances, and facts about its speakers."""

import csv
import os
import re
from collections import Counter
from pathlib import Path

from vqwn_kit.data import audio
from vqwn_kit.data.published import PUBLISHED
from vqwn_kit.data.scan import FACTS, Choices, Facts, Layout, Listing, Tree, Utterance, stem, walk
from vqwn_kit.errors import InputError, one_of
from vqwn_kit.files import read_text

TABLES = ("utterances.tsv", "utterances.csv")


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
    if layout is not None and layout not in LAYOUTS:
        raise one_of("layout", layout, LAYOUTS)
    if pattern is not None:
        if layout not in (None, "pattern"):
            raise InputError(f"pattern belongs to the layout 'pattern'; you gave {layout!r}")
        layout = "pattern"
    tree, choices = walk(folder), Choices(microphone, pattern)
    _refuse_outputs(tree)
    if layout is None:
        _refuse_inside_of_corpus(tree)
        _refuse_several_corpora(tree)
    for name in [layout] if layout else LAYOUTS:
        reason = LAYOUTS[name].recognise(tree, choices)
        if reason or layout:
            listing = LAYOUTS[name].read(tree, choices)
            if listing.utterances or listing.left_out:
                remark = f"; {listing.reason}" if listing.reason else ""
                listing.layout, listing.reason = name, (reason or "as you asked") + remark
                return _finished(listing, tree)
    raise _nothing_found(tree, tree.left_out)


def _finished(listing: Listing, tree: Tree) -> Listing:
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
        name = utterance.path.relative_to(tree.folder).as_posix()
        left_out[name] = f"{first.path.name} has the same name"
    if not kept:
        raise _nothing_found(tree, left_out)
    listing.utterances = [kept[key] for key in sorted(kept)]
    listing.left_out = dict(sorted(left_out.items()))
    _add_speaker_table(tree.folder, listing.speakers)
    return listing


def _nothing_found(tree: Tree, left_out: dict[str, str]) -> InputError:
    folder, hint = tree.folder, ""
    if left_out:
        name, reason = next(iter(left_out.items()))
        several = f"{len(left_out)} files cannot be used as they are, such as "
        hint = f" {several if len(left_out) > 1 else ''}{name}: {reason}."
    if any("/" not in name for name in tree.sounds):
        hint += " Some recordings are in no subfolder: give the pattern of their names "
        hint += f"(--pattern {_guess_pattern(tree)!r})."
    return InputError(
        f"{folder} holds no recordings in a known layout ({', '.join(LAYOUTS)}).{hint} "
        f"Put one subfolder per speaker into it, with {', '.join(sorted(audio.EXTENSIONS))} files"
    )


def _guess_pattern(tree: Tree) -> str:
    """Return the pattern that the names of recordings in one flat folder seem to follow."""
    stems = [stem(name) for name in tree.sounds]
    for mark in "_-. ":
        heads = {name.partition(mark)[0] for name in stems}
        if all(mark in name for name in stems) and len(heads) < len(stems):
            return "{speaker}" + mark + "{}"
    return "{speaker}_{}"


def _refuse_outputs(tree: Tree) -> None:
    """Refuse what this package wrote: a run, a folder of runs, a store."""
    tops = {name.partition("/")[0] for name in tree.names if name.count("/") == 1}
    for folder in [tree.folder, *(tree.folder / top for top in sorted(tops))]:
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
    marks = ("wav48", "wav48_silence_trimmed", "wav/train", "SPEAKERS.TXT", *TABLES)
    if any((tree.folder / mark).exists() for mark in marks):
        return
    tops = sorted({name.partition("/")[0] for name in tree.names if "/" in name})
    inside = [top for top in tops if any((tree.folder / top / mark).exists() for mark in marks)]
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
    parts = any(re.match(r"(train|dev|test)/S\d{4}/", name) for name in tree.names)
    if folder.name == "wav48_silence_trimmed" or (folder.name == "wav" and parts):
        raise InputError(
            f"{folder} is the inside of a corpus ({'Aishell-1' if parts else 'VCTK 0.92'}): give "
            f"{folder.parent}; or choose how to read it (--layout folders)"
        )


# one folder per speaker


def _recognise_folders(tree: Tree, choices: Choices) -> str:
    return "it has one subfolder per speaker" if any("/" in n for n in tree.sounds) else ""


def _read_folders(tree: Tree, choices: Choices) -> Listing:
    tops = {tuple(name.split("/")[:-1][:2]) for name in tree.sounds} - {()}
    if len({top[0] for top in tops}) == 1 and len(tops) > 1 and all(len(top) == 2 for top in tops):
        only = next(iter(tops))[0]
        raise InputError(
            f"{tree.folder} has the one subfolder {only}, which has subfolders of its own: if "
            f"those are the speakers, give {tree.folder / only}"
        )
    listing = Listing()
    for name in tree.sounds:
        key = name.rpartition(".")[0]
        if "/" in name:
            speaker = name.partition("/")[0]
            listing.utterances.append(tree.utterance(name, key, speaker, f"{key}.txt"))
        else:
            listing.left_out[name] = "it lies beside the speakers' folders: put it into one"
    listing.speakers = {name: {} for name in listing.speaker_names}
    return listing


# names by a pattern


def _recognise_pattern(tree: Tree, choices: Choices) -> str:
    return f"its names follow {choices.pattern!r}" if choices.pattern else ""


def _read_pattern(tree: Tree, choices: Choices) -> Listing:
    if choices.pattern is None:
        raise InputError(f"the layout 'pattern' needs a pattern, such as {_guess_pattern(tree)!r}")
    expression, listing = compile_pattern(choices.pattern), Listing()
    for name in tree.sounds:
        key = name.rpartition(".")[0]
        match = expression.fullmatch(key if "/" in choices.pattern else stem(name))
        if not match:
            listing.left_out[name] = f"its name does not follow {choices.pattern!r}"
            continue
        facts = match.groupdict()
        speaker = facts.pop("speaker")
        listing.utterances.append(tree.utterance(name, key, speaker, f"{key}.txt"))
        listing.speakers.setdefault(speaker, {}).update(facts)
    return listing


def compile_pattern(pattern: str) -> re.Pattern:
    """Turn `{speaker}_{}` into a regular expression.

    `{speaker}` is the speaker's name, `{sex}`, `{age}`, `{accent}` and `{region}` are facts about
    the speaker, `{}` is anything; each takes as little as it can, and no `/`. All else stands for
    itself. A pattern with `/` is compared with the whole path below the folder, else with the
    file's name; without its extension in both cases.

    Raises:
        InputError: `{speaker}` is missing or another word is in braces.
    """
    expression, words = "", []
    for piece in re.split(r"(\{[^{}]*\})", pattern):
        word = piece[1:-1]
        if not re.fullmatch(r"\{[^{}]*\}", piece):
            expression += re.escape(piece)
        elif not word:
            expression += "[^/]+?"
        elif word not in ("speaker", *FACTS) or word in words:
            raise one_of("part of a pattern", word, ["speaker", *FACTS])
        else:
            words.append(word)
            expression += f"(?P<{word}>[^/]+?)"
    if "speaker" not in words:
        raise InputError(f"the pattern {pattern!r} has no {{speaker}} in it, as '{{speaker}}_{{}}'")
    return re.compile(expression)


# a table


def _recognise_table(tree: Tree, choices: Choices) -> str:
    return next((f"it has {name}" for name in TABLES if (tree.folder / name).is_file()), "")


def _read_table(tree: Tree, choices: Choices) -> Listing:
    tables = [tree.folder / name for name in TABLES if (tree.folder / name).is_file()]
    if not tables:
        raise InputError(f"{tree.folder} has no recordings in a table: there is no {TABLES[0]}")
    table, listing, used = tables[0], Listing(), set()
    rows = _rows(table, {"path", "speaker"})
    keys = _keys(rows)
    for number, row in rows:
        line = f"{table}, line {number}"
        path, speaker = row["path"], row["speaker"]
        if not path or not speaker:
            raise InputError(f"{line}: path or speaker is empty")
        if not os.path.exists(tree.folder / path):  # backslashes of a table from Windows
            path = path.replace("\\", "/")
        used.add(os.path.normpath(path).replace(os.sep, "/"))
        facts = {fact: row[fact] for fact in FACTS if row.get(fact)}
        listing.speakers.setdefault(speaker, {}).update(facts)
        key, split = row.get("utterance") or keys[number], _split(row.get("split", ""), line)
        utterance = Utterance(key, speaker, tree.folder / path, row.get("text", ""), split)
        listing.utterances.append(utterance)
    reason = f"it is not in {table.name}"
    listing.left_out = {name: reason for name in tree.sounds if name not in used}
    return listing


def _keys(rows: list[tuple[int, dict[str, str]]]) -> dict[int, str]:
    """Name recordings by their files, and by folder and file where several have that name."""
    paths = {number: row["path"].replace("\\", "/") for number, row in rows}
    count = Counter(map(stem, paths.values()))
    whole = {number: os.path.splitext(os.path.normpath(path))[0] for number, path in paths.items()}
    return {
        number: stem(path) if count[stem(path)] == 1 else whole[number].replace(os.sep, "/")
        for number, path in paths.items()
    }


def _rows(table: Path, needed: set[str]) -> list[tuple[int, dict[str, str]]]:
    """Return the rows of a table with their line numbers: tabs in .tsv, commas or ; in .csv."""
    text = read_text(table)
    if "\0" in text:
        raise InputError(f"{table} is no text (it has zero bytes): save it as .tsv or .csv")
    lines = text.splitlines(keepends=True)
    if table.suffix == ".tsv":
        reader = csv.DictReader(lines, restval="", delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        semicolons = lines and lines[0].count(";") > lines[0].count(",")
        reader = csv.DictReader(lines, restval="", delimiter=";" if semicolons else ",")
    columns = [name.strip().lower() for name in reader.fieldnames or ()]
    reader.fieldnames = columns
    missing = needed - set(columns)
    if missing:
        wanted = " and ".join(sorted(needed))
        raise InputError(f"{table} needs the columns {wanted}; missing: {sorted(missing)}")
    try:
        return [(reader.line_num, {name: row[name].strip() for name in columns}) for row in reader]
    except csv.Error as error:
        raise InputError(
            f"{table}, line {reader.line_num}: {error}; is a quotation mark left open?"
        ) from error


def _split(name: str, line: str) -> str:
    """Return `train`, `held_out` or "" for a table's name of a split."""
    names = {"": "", "train": "train", "held_out": "held_out"}
    names |= dict.fromkeys(("test", "dev", "valid", "validation", "eval"), "held_out")
    if name.lower() not in names:
        raise InputError(f"{line}: {one_of('split', name, [name for name in names if name])}")
    return names[name.lower()]


def _add_speaker_table(folder: Path, speakers: Facts) -> None:
    """Add the facts in `speakers.tsv` or `speakers.csv`: speaker, and any of `FACTS`."""
    for name in ("speakers.tsv", "speakers.csv"):
        for _, row in _rows(folder / name, {"speaker"}) if (folder / name).is_file() else ():
            if row["speaker"] in speakers:
                speakers[row["speaker"]] |= {fact: row[fact] for fact in FACTS if row.get(fact)}


LAYOUTS = {
    "table": Layout(_recognise_table, _read_table),
    **PUBLISHED,
    "pattern": Layout(_recognise_pattern, _read_pattern),
    "folders": Layout(_recognise_folders, _read_folders),
}
