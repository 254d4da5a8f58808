"""Corpora that are described by a table: ours, Common Voice, Kaldi, STM files, manifests."""

import csv
import json
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

from vqwn_kit.data.declared import OWN_TABLE, SEX
from vqwn_kit.data.part_names import is_part, split_of
from vqwn_kit.data.scan import (
    FACTS,
    Choices,
    Facts,
    Listing,
    Tree,
    Utterance,
    composed,
    stem,
)
from vqwn_kit.errors import InputError, one_of
from vqwn_kit.files import read_text

SPLITS = ("train", "held_out")
TABLES = ("utterances.tsv", "utterances.csv")
HEADER = {
    "speaker": ("speaker", "speaker_name", "speaker_id", "spk"),
    "text": ("text", "transcription"),
}
Row = tuple[int, dict[str, str]]  # line number, cells by column


def rows_of(table: Path, needed: set[str]) -> list[Row]:
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


def left_out_of(tree: Tree, used: set[str], table: str) -> dict[str, str]:
    """Return the recordings that are not used, with this reason."""
    return {name: f"it is not in {table}" for name in tree.sounds if name not in used}


# our own table


def read_table(tree: Tree, choices: Choices) -> Listing:
    """Read `utterances.tsv` or `.csv`.

    Raises:
        InputError: there is none, a column is missing, or a row has no path or no speaker.
    """
    tables = [tree.folder / name for name in TABLES if (tree.folder / name).is_file()]
    if not tables:
        raise InputError(f"{tree.folder} has no recordings in a table: there is no {TABLES[0]}")
    table, listing, used = tables[0], Listing(), set()
    rows = rows_of(table, {"path", "speaker"})
    keys = _keys(rows)
    for number, row in rows:
        line = f"{table}, line {number}"
        speaker = composed(row["speaker"])
        if not row["path"] or not speaker:
            raise InputError(f"{line}: path or speaker is empty")
        path, name = _file_of(tree, row["path"])
        used.add(name)
        facts = {fact: row[fact] for fact in FACTS if row.get(fact)}
        listing.speakers.setdefault(speaker, {}).update(facts)
        key, split = row.get("utterance") or keys[number], _split(row.get("split", ""), line)
        utterance = Utterance(composed(key), speaker, path, row.get("text", ""), split)
        listing.utterances.append(utterance)
    listing.left_out = left_out_of(tree, used, table.name)
    return listing


def _file_of(tree: Tree, given: str) -> tuple[Path, str]:
    """Return the path of a file as a table gives it, and its name in the tree if it is there.

    It may be absolute, have backslashes, and be in composed or decomposed letters.
    """
    for text in (given, given.replace("\\", "/")):
        path = tree.path(text)
        if os.path.isabs(text):
            name = os.path.relpath(os.path.realpath(path), os.path.realpath(tree.folder))
        else:
            name = os.path.normpath(text)
        found = tree.find(name.replace(os.sep, "/"))
        if found is not None and not os.path.isabs(text):
            return tree.path(found), found
        if found is not None or os.path.exists(path):
            return path, found or ""
    return path, ""


def _keys(rows: list[Row]) -> dict[int, str]:
    """Name recordings by their files, and by folder and file where several have that name."""
    paths = {number: row["path"].replace("\\", "/") for number, row in rows}
    count = Counter(map(stem, paths.values()))
    whole = {number: os.path.splitext(os.path.normpath(path))[0] for number, path in paths.items()}
    return {
        number: stem(path) if count[stem(path)] == 1 else whole[number].replace(os.sep, "/")
        for number, path in paths.items()
    }


def _split(name: str, line: str) -> str:
    """Return `train`, `held_out` or "" for a table's name of a split."""
    names = {"": "", "train": "train", "held_out": "held_out"}
    names |= dict.fromkeys(("test", "dev", "valid", "validation", "eval"), "held_out")
    if name.lower() not in names:
        raise InputError(f"{line}: {one_of('split', name, [name for name in names if name])}")
    return names[name.lower()]


def add_speaker_table(folder: Path, speakers: Facts, ours: bool) -> None:
    """Add the facts in `speakers.tsv` or `speakers.csv`: speaker, and any of `FACTS`.

    Of a published corpus (not `ours`), one without a column `speaker` is another table.
    """
    for name in ("speakers.tsv", "speakers.csv"):
        needed = {"speaker"} if ours else set()
        for _, row in rows_of(folder / name, needed) if (folder / name).is_file() else ():
            speaker = composed(row.get("speaker", ""))
            if speaker in speakers:
                speakers[speaker] |= {fact: row[fact] for fact in FACTS if row.get(fact)}


# Common Voice: clips/, validated.tsv with client_id, path, sentence, age, gender, accents


def read_common_voice(tree: Tree, choices: Choices) -> Listing:
    """Read Common Voice: a speaker is the first letters of a `client_id` that are its own."""
    tables = [name for name in tree.names if name == "validated.tsv"]
    tables = tables or [n for n in tree.names if n in ("train.tsv", "dev.tsv", "test.tsv")]
    rows = [row for t in tables for _, row in rows_of(tree.path(t), {"client_id", "path"})]
    short = _short_names({row["client_id"] for row in rows})
    listing, used = Listing(), set()
    for row in rows:
        name = tree.find(f"clips/{row['path']}") or f"clips/{row['path']}"
        used.add(name)
        speaker, text = short[row["client_id"]], row.get("sentence", "")
        listing.utterances.append(Utterance(stem(name), speaker, tree.path(name), text))
        facts = {"age": row.get("age", ""), "sex": _sex(row.get("gender", "").partition("_")[0])}
        facts["accent"] = row.get("accents") or row.get("accent", "")
        listing.speakers.setdefault(speaker, {}).update({k: v for k, v in facts.items() if v})
    listing.left_out = left_out_of(tree, used, " or ".join(tables))
    return listing


def _sex(name: str) -> str:
    return SEX.get(name.lower(), name)


def _short_names(names: set[str]) -> dict[str, str]:
    """Return the first eight letters of each name, or as many as make it unique."""
    ordered = sorted(names)
    short = {}
    for place, name in enumerate(ordered):
        beside = ordered[max(0, place - 1) : place] + ordered[place + 1 : place + 2]
        shared = max((len(os.path.commonprefix([name, other])) for other in beside), default=0)
        short[name] = name[: max(8, shared + 1)]
    return short


# Kaldi: wav.scp, utt2spk, text, spk2gender, segments


def read_kaldi(tree: Tree, choices: Choices) -> Listing:
    """Read folders of Kaldi: all that have a `wav.scp`, but for copies at other speeds."""
    listing, used = Listing(), set()
    for table in [name for name in tree.names if re.fullmatch(r"(.*/)?wav\.scp", name)]:
        inside = table.removesuffix("wav.scp")
        if re.search(r"_(sp|hires|vp|reverb|aug)\w*/$", inside):
            continue
        files = {k: _kaldi_file(tree, inside, v) for k, v in _pairs(tree, table).items()}
        speakers = _pairs(tree, f"{inside}utt2spk")
        if not speakers:
            raise InputError(f"{tree.folder / inside} has wav.scp, but no utt2spk with speakers")
        texts, sexes = _pairs(tree, f"{inside}text"), _pairs(tree, f"{inside}spk2gender")
        parts = {key: [*value.split()] for key, value in _pairs(tree, f"{inside}segments").items()}
        split = split_of(inside.split("/")[:-1])
        for key, speaker in speakers.items():
            record, *times = parts.get(key, [key])
            file = files.get(record)
            if file is None:
                why = "no file" if record not in files else "a command whose file is not here"
                listing.left_out[f"{inside}{key}"] = f"wav.scp has {why} for it"
                continue
            span = _span(f"{tree.folder / inside}segments: {key}", *times) if times else None
            used.add(_file_of(tree, str(file))[1])
            given = (texts.get(key, ""), split, span)
            listing.utterances.append(Utterance(key, speaker, file, *given))
            listing.speakers[speaker] = {"sex": _sex(sexes[speaker])} if speaker in sexes else {}
    _pool_splits(listing)
    listing.left_out |= left_out_of(tree, used, "wav.scp")
    return listing


def _span(
    where: str, begin: str | float = "", end: str | float = "", *_: str
) -> tuple[float, float]:
    """Return begin and end in seconds.

    Raises:
        InputError: they are no such numbers.
    """
    try:
        span = (float(begin), float(end))
    except ValueError as error:
        raise InputError(f"{where}: {error}; expected begin and end in seconds") from error
    if not 0 <= span[0] < span[1] < float("inf"):
        raise InputError(f"{where}: from {begin} to {end} s; expected a begin before the end")
    return span


def _pairs(tree: Tree, name: str) -> dict[str, str]:
    """Return the lines `KEY the rest` of a file, if it is there."""
    text = tree.text(name) if tree.find(name) else ""
    cells = (line.split(maxsplit=1) for line in text.splitlines() if line.strip())
    return {composed(key): composed(" ".join(rest).strip()) for key, *rest in cells}


def _kaldi_file(tree: Tree, inside: str, given: str) -> Path | None:
    """Return the sound file of a line of wav.scp; of a command only where it merely converts."""
    words = given.split()
    if given.endswith("|"):
        files = [w for w in words if re.search(r"\.(flac|sph|wav|wv1|mp3|ogg|opus)$", w, re.I)]
        plain = os.path.basename(words[0]) in ("flac", "sph2pipe", "cat", "ffmpeg", "mpg123")
        if not plain or len(files) != 1:
            return None
        given = files[0]
    tried = [tree.folder / given, tree.folder / inside / given, *_above(tree.folder, given)]
    return next((path for path in tried if path.is_file()), tried[0])


def _above(folder: Path, given: str) -> list[Path]:
    """Return where a path leads from the folders above: Kaldi's are relative to its recipe."""
    return [above / given for above in folder.resolve().parents[:4]]


def _pool_splits(listing: Listing) -> None:
    """Drop the split where no speaker of the held-out part is in the training part."""
    of = {split: {u.speaker for u in listing.utterances if u.split == split} for split in SPLITS}
    if not of["train"] & of["held_out"]:
        listing.utterances = [replace(u, split="") for u in listing.utterances]


# TED-LIUM: sph/TALK.sph, stm/TALK.stm with file, channel, speaker, begin, end, <labels>, text


def read_stm(tree: Tree, choices: Choices) -> Listing:
    """Read talks with STM files: each line is an utterance, a span of the talk."""
    sounds = {stem(name): name for name in tree.sounds if not name.startswith("legacy/")}
    sounds = {stem(name): name for name in tree.sounds} | sounds
    listing, used = Listing(), set()
    for name in [name for name in tree.names if name.lower().endswith(".stm")]:
        for line in tree.text(name).splitlines():
            cells = line.split(maxsplit=6)
            if len(cells) < 6 or line.startswith(";;") or "ignore_time_segment" in line:
                continue
            talk, _, speaker, begin, end, label, *words = cells
            if not label.startswith("<"):
                label, words = "", [" ".join([label, *words])]
            sound = sounds.get(talk)
            if sound is None:
                listing.left_out[f"{name}: {talk}"] = "there is no sound file of this name"
                continue
            used.add(sound)
            span, text = _span(f"{tree.folder / name}: {line[:40]}", begin, end), " ".join(words)
            key = f"{talk}-{round(100 * span[0]):07d}-{round(100 * span[1]):07d}"
            listing.utterances.append(Utterance(key, speaker, tree.path(sound), text, "", span))
            sex = re.search(r"\b(fe)?male\b", label)
            listing.speakers[speaker] = {"sex": _sex(sex[0])} if sex else {}
    listing.left_out |= left_out_of(tree, used, "an .stm file")
    return listing


# Hi-Fi TTS and others: JSON lines with audio_filepath and text


MANIFEST = re.compile(r"(.*/)?([^/]*manifest[^/]*|metadata)\.jsonl?")


def has_manifests(tree: Tree) -> str:
    """Return why a folder is taken for one with manifests, or ""."""
    names = [name for name in tree.names if MANIFEST.fullmatch(name)]
    words = ('"audio_filepath"', '"file_name"')
    found = [n for n in names if any(w in tree.text(n).partition("\n")[0] for w in words)]
    return f"it has {', '.join(found[:3])}, a manifest in JSON lines" if found else ""


def read_manifests(tree: Tree, choices: Choices) -> Listing:
    """Read manifests of NeMo or `metadata.jsonl`; the speaker is a field, or in the path."""
    listing, used, rows = Listing(), set(), []
    for name in [name for name in tree.names if MANIFEST.fullmatch(name)]:
        for number, line in enumerate(tree.text(name).splitlines(), 1):
            where = f"{tree.folder / name}, line {number}"
            rows.append((name, where, _manifest_row(where, line)))
    in_parts = {row["audio_filepath"] for _, _, row in rows if row["offset"]}
    for name, where, row in rows:
        given, speaker = row["audio_filepath"], row["speaker"]
        path, found = _file_of(tree, given)
        used.add(found)
        split = split_of([p for p in re.split(r"[_.]", stem(name)) if is_part(p)][-1:])
        key, span = os.path.splitext(given)[0].removeprefix("audio/"), None
        if given in in_parts:  # the first part of a recording has the offset 0
            span = _span(where, row["offset"], row["offset"] + row["duration"])
            key += f"-{round(100 * span[0]):07d}"
        listing.utterances.append(Utterance(key, speaker, path, row["text"], split, span))
        listing.speakers.setdefault(speaker, {})
    _pool_splits(listing)
    listing.left_out = left_out_of(tree, used, "a manifest")
    return listing


def _manifest_row(where: str, line: str) -> dict:
    """Return a line of a manifest with `audio_filepath`, `text` and `speaker`.

    Raises:
        InputError: one of them is missing, or a number is none.
    """
    try:
        row = json.loads(line)
        given = row["audio_filepath"] = str(row.get("audio_filepath") or row["file_name"])
        texts = [row[n] for n in ("text_normalized", "text", "transcription") if row.get(n)]
        row["text"] = str((texts or [""])[0])
        row |= {name: float(row.get(name) or 0) for name in ("offset", "duration")}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{where}: {error!r}; expected JSON with audio_filepath") from error
    numbered = re.search(r"(?:^|/)(\d+)_(?:clean|other)/", given)
    known = [row[n] for n in HEADER["speaker"] if row.get(n) not in (None, "")]
    own = [part for part in given.split("/")[:-1] if not is_part(part) and given[0] != "/"]
    speaker = known[0] if known else numbered[1] if numbered else own[0] if own else None
    if speaker is None:
        raise InputError(f"{where}: it names no speaker: {OWN_TABLE}")
    return row | {"speaker": composed(str(speaker))}
