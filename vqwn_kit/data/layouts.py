"""What a folder of speech is: its layout, its utterances, and facts about its speakers."""

import csv
import os
import re
from collections import Counter
from pathlib import Path

from vqwn_kit.data import audio
from vqwn_kit.data.published import PUBLISHED
from vqwn_kit.data.scan import (
    FACTS,
    Choices,
    Facts,
    Found,
    Layout,
    Listing,
    Tree,
    Utterance,
    stem,
    walk,
)
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
    _refuse_our_own(tree)
    if layout is None:
        _refuse_insides(tree)
        _refuse_corpora(tree)
    for name in [layout] if layout else LAYOUTS:
        reason = LAYOUTS[name].recognise(tree, choices)
        if reason or layout:
            found = LAYOUTS[name].read(tree, choices)
            if found.utterances or found.left_out:
                return _listing(name, reason or "as you asked", found, tree)
    raise _nothing(tree, tree.left_out)


def _listing(layout: str, reason: str, found: Found, tree: Tree) -> Listing:
    left_out = {**tree.left_out, **found.left_out}
    kept = {}
    for utterance in found.utterances:
        first = kept.setdefault(utterance.key, utterance)
        if first is not utterance:
            if layout == "table":
                raise InputError(
                    f"two recordings are named {utterance.key!r}: {first.path} and "
                    f"{utterance.path}; rename one"
                )
            name = utterance.path.relative_to(tree.folder).as_posix()
            left_out[name] = f"{first.path.name} has the same name"
    if not kept:
        raise _nothing(tree, left_out)
    ordered = tuple(sorted(kept.values(), key=lambda utterance: utterance.key))
    speakers = _speaker_table(tree.folder, found.speakers)
    reason = f"{reason}; {found.note}" if found.note else reason
    return Listing(layout, reason, ordered, speakers, dict(sorted(left_out.items())))


def _nothing(tree: Tree, left_out: dict[str, str]) -> InputError:
    folder, hint = tree.folder, ""
    if left_out:
        name, reason = next(iter(left_out.items()))
        hint = f" {name}: {reason}." if len(left_out) == 1 else (
            f" {len(left_out)} files can't be used as they are, such as {name}: {reason}."
        )  # fmt: skip
    if any("/" not in name for name in tree.sounds):
        given = _guess(tree)
        hint += f" Its recordings lie flat: give the pattern of their names (--pattern {given!r})."
    return InputError(
        f"{folder} holds no recordings in a layout I know ({', '.join(LAYOUTS)}).{hint} "
        f"Put one subfolder a speaker into it, with {', '.join(sorted(audio.EXTENSIONS))} files"
    )


def _guess(tree: Tree) -> str:
    """Return the pattern that the names of recordings in one flat folder seem to follow."""
    stems = [stem(name) for name in tree.sounds]
    for mark in "_-. ":
        heads = {name.partition(mark)[0] for name in stems}
        if all(mark in name for name in stems) and len(heads) < len(stems):
            return "{speaker}" + mark + "{}"
    return "{speaker}_{}"


def _refuse_our_own(tree: Tree) -> None:
    """Refuse what this workbench wrote: a run, a folder of runs, a store."""
    tops = {name.partition("/")[0] for name in tree.names if name.count("/") == 1}
    for place in ["", *sorted(f"{top}/" for top in tops)]:
        inside = tree.folder / place
        if (inside / "audio.int16").is_file():
            raise InputError(
                f"{inside} is a prepared store, no folder of recordings: give the corpus itself"
            )
        if (inside / "config.json").is_file() and any(inside.glob("*.weights.h5")):
            raise InputError(
                f"{inside} is the folder of a run, no corpus: give a folder of recordings "
                "(a run is continued with train --restore, and described by info)"
            )


def _refuse_corpora(tree: Tree) -> None:
    """Refuse a folder of corpora: their names would pass for speakers, or all but one be lost."""
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


def _refuse_insides(tree: Tree) -> None:
    """Refuse the inside of a corpus, where takes or parts would pass for utterances and speakers.

    VCTK 0.92 would have each sentence twice, perhaps once to train on and once held out.
    """
    here = tree.folder.resolve()
    parts = any(re.match(r"(train|dev|test)/S\d{4}/", name) for name in tree.names)
    if here.name == "wav48_silence_trimmed" or (here.name == "wav" and parts):
        raise InputError(
            f"{here} is the inside of a corpus ({'Aishell-1' if parts else 'VCTK 0.92'}): give "
            f"{here.parent}; or choose how to read it (--layout folders)"
        )


# one folder a speaker


def _recognise_folders(tree: Tree, choices: Choices) -> str:
    return "it has one subfolder a speaker" if any("/" in n for n in tree.sounds) else ""


def _read_folders(tree: Tree, choices: Choices) -> Found:
    homes = {tuple(name.split("/")[:-1][:2]) for name in tree.sounds} - {()}
    if len({home[0] for home in homes}) == 1 and len(homes) > 1 and all(len(h) == 2 for h in homes):
        (only,) = {home[0] for home in homes}
        raise InputError(
            f"{tree.folder} has the one subfolder {only}, which has subfolders of its own: if "
            f"those are the speakers, give {tree.folder / only}"
        )
    found, texts = Found(), set(tree.names)
    for name in tree.sounds:
        if "/" in name:
            _add(found, tree, texts, name, name.partition("/")[0])
        else:
            found.left_out[name] = "it lies beside the speakers' folders: put it into one"
    found.speakers = {name: {} for name in sorted({u.speaker for u in found.utterances})}
    return found


def _add(found: Found, tree: Tree, texts: set[str], name: str, speaker: str) -> None:
    key = name.rpartition(".")[0]
    words = tree.text(f"{key}.txt") if f"{key}.txt" in texts else ""
    found.utterances.append(Utterance(key, speaker, tree.folder / name, words))


# names by a pattern


def _recognise_pattern(tree: Tree, choices: Choices) -> str:
    return f"its names follow {choices.pattern!r}" if choices.pattern else ""


def _read_pattern(tree: Tree, choices: Choices) -> Found:
    if choices.pattern is None:
        raise InputError(f"the layout 'pattern' needs a pattern, such as {_guess(tree)!r}")
    expression, whole = compile_pattern(choices.pattern), "/" in choices.pattern
    found, texts = Found(), set(tree.names)
    for name in tree.sounds:
        match = expression.fullmatch(name.rpartition(".")[0] if whole else stem(name))
        if not match:
            found.left_out[name] = f"its name doesn't follow {choices.pattern!r}"
            continue
        facts = match.groupdict()
        speaker = facts.pop("speaker")
        _add(found, tree, texts, name, speaker)
        found.speakers.setdefault(speaker, {}).update(facts)
    return found


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
        if not re.fullmatch(r"\{[^{}]*\}", piece):
            expression += re.escape(piece)
        elif piece == "{}":
            expression += "[^/]+?"
        else:
            word = piece[1:-1]
            if word not in ("speaker", *FACTS) or word in words:
                raise one_of("part of a pattern", word, ["speaker", *FACTS])
            words.append(word)
            expression += f"(?P<{word}>[^/]+?)"
    if "speaker" not in words:
        raise InputError(f"the pattern {pattern!r} has no {{speaker}} in it, as '{{speaker}}_{{}}'")
    return re.compile(expression)


# a table


def _recognise_table(tree: Tree, choices: Choices) -> str:
    return next((f"it has {name}" for name in TABLES if (tree.folder / name).is_file()), "")


def _read_table(tree: Tree, choices: Choices) -> Found:
    tables = [tree.folder / name for name in TABLES if (tree.folder / name).is_file()]
    if not tables:
        raise InputError(f"{tree.folder} has no recordings in a table: there is no {TABLES[0]}")
    table, found, used = tables[0], Found(), set()
    rows = _rows(table, {"path", "speaker"})
    keys = _keys(rows)
    for number, row in rows:
        if not row["path"] or not row["speaker"]:
            raise InputError(f"{table}, line {number}: path or speaker is empty")
        if not os.path.exists(tree.folder / row["path"]):  # as a table from Windows has them
            row["path"] = row["path"].replace("\\", "/")
        facts = found.speakers.setdefault(row["speaker"], {})
        facts |= {fact: row[fact] for fact in FACTS if row.get(fact)}
        used.add(os.path.normpath(row["path"]).replace(os.sep, "/"))
        found.utterances.append(
            Utterance(
                key=row.get("utterance") or keys[number],
                speaker=row["speaker"],
                path=tree.folder / row["path"],
                text=row.get("text", ""),
                split=_split(row.get("split", ""), f"{table}, line {number}"),
            )
        )
    absent = f"it isn't in {table.name}"
    found.left_out = {name: absent for name in tree.sounds if name not in used}
    return found


def _keys(rows: list[tuple[int, dict[str, str]]]) -> dict[int, str]:
    """Name recordings by their files, and with the folders too where that name isn't the only."""
    paths = {number: row["path"].replace("\\", "/") for number, row in rows}
    count = Counter(map(stem, paths.values()))
    whole = {number: os.path.splitext(os.path.normpath(path))[0] for number, path in paths.items()}
    return {
        number: stem(path) if count[stem(path)] == 1 else whole[number].replace(os.sep, "/")
        for number, path in paths.items()
    }


def _rows(table: Path, needed: set[str]) -> list[tuple[int, dict[str, str]]]:
    """Return the rows of a table with their line numbers; .tsv by tabs, .csv as sheets save it."""
    text = read_text(table)
    if "\0" in text:
        raise InputError(
            f"{table} is no table in text (it has zero bytes): save it as .tsv or .csv"
        )
    lines = text.splitlines(keepends=True)
    if table.suffix == ".tsv":
        style = {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
    else:
        head = lines[0] if lines else ""
        style = {"delimiter": ";" if head.count(";") > head.count(",") else ","}
    reader = csv.DictReader(lines, restval="", **style)
    reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or ()]
    missing = needed - set(reader.fieldnames)
    if missing:
        wanted = " and ".join(sorted(needed))
        raise InputError(f"{table} needs the columns {wanted}; missing: {sorted(missing)}")
    try:
        return [
            (reader.line_num, {name: row[name].strip() for name in reader.fieldnames})
            for row in reader
        ]
    except csv.Error as error:
        raise InputError(
            f"{table}, line {reader.line_num}: {error}; is a quotation mark left open?"
        ) from error


def _split(given: str, where: str) -> str:
    """Return `train`, `held_out` or "" for what a table calls a split."""
    names = {"": "", "train": "train", "held_out": "held_out"}
    names |= dict.fromkeys(("test", "dev", "valid", "validation", "eval"), "held_out")
    if given.strip().lower() not in names:
        raise InputError(f"{where}: {one_of('split', given, [name for name in names if name])}")
    return names[given.strip().lower()]


def _speaker_table(folder: Path, speakers: Facts) -> Facts:
    """Add what `speakers.tsv` or `speakers.csv` says: speaker, and any of `FACTS`."""
    for name in ("speakers.tsv", "speakers.csv"):
        if (folder / name).is_file():
            for _, row in _rows(folder / name, {"speaker"}):
                if row["speaker"] in speakers:
                    speakers[row["speaker"]] |= {fact: row[fact] for fact in FACTS if row.get(fact)}
    return speakers


LAYOUTS = {
    "table": Layout(_recognise_table, _read_table),
    **PUBLISHED,
    "pattern": Layout(_recognise_pattern, _read_pattern),
    "folders": Layout(_recognise_folders, _read_folders),
}
