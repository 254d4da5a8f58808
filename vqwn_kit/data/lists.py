"""File lists, as of LJSpeech: path|text, path|text|speaker or path|speaker|text."""

import csv
import re
from collections import Counter
from dataclasses import replace

from vqwn_kit.data.declared import OWN_TABLE, folder_name, follow_split
from vqwn_kit.data.part_names import is_part, split_of
from vqwn_kit.data.scan import Choices, Listing, Tree, composed, stem
from vqwn_kit.data.tables import HEADER, left_out_of
from vqwn_kit.errors import InputError

LIST = re.compile(
    r"(filelists?/|metadata/)?(metadata|\w*(train|val|valid|dev|test|eval)\w*|filelist|list|"
    r"transcripts?|esd|text)[\w.-]*\.(csv|txt|list|tsv)"
)
SOUND_ENDINGS = (".wav", ".flac", ".mp3", ".ogg", ".opus")
CODES = {"de", "en", "es", "fr", "it", "ja", "jp", "ko", "nl", "pl", "pt", "ru", "yue", "zh"}
HEADED = {"audio_file", "wav", "path", "file", "id", "filename", "file_name", "audio"}


def has_lists(tree: Tree) -> str:
    """Return why a folder is taken for one with file lists, or ""."""
    names = file_lists(tree)
    return f"it has {', '.join(names[:3])}, as LJSpeech and others with lists" if names else ""


def file_lists(tree: Tree) -> list[str]:
    """Return the files that list recordings of the tree; those of a split come first."""
    names = [name for name in tree.names if LIST.fullmatch(name) and _list_rows(tree, name)[1]]
    return sorted(names, key=lambda name: not _split_of_list(name))


def _split_of_list(name: str) -> str:
    return split_of(re.split(r"[_.-]", stem(name)))


def _list_rows(tree: Tree, name: str) -> tuple[list[str], list[list[str]]]:
    """Return the header, if any, and the cells of each line; the first one is the recording.

    Empty where fewer than half of the first fifty are recordings of the tree.
    """
    lines = [line.strip() for line in tree.text(name).splitlines() if line.strip()]
    first = lines[0] if lines else ""
    mark = next((mark for mark in "|\t" if mark in first), ",")
    if mark == "," and not set(first.lower().split(",")) & HEADED:
        return [], []  # commas without a header may be those of sentences
    quoting = csv.QUOTE_MINIMAL if mark == "," else csv.QUOTE_NONE
    try:
        rows = list(csv.reader(lines, delimiter=mark, quoting=quoting))
    except csv.Error as error:
        raise InputError(f"{tree.folder / name}: {error}: {OWN_TABLE}") from error
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    place = next((n for n, cell in enumerate(header) if cell in HEADED), None)
    rows = rows[place is not None :]
    place, header = place or 0, header if place is not None else []
    rows = [[cell.strip() for cell in row] for row in rows if len(row) > max(1, place)]
    rows = [[row.pop(place), *row] for row in rows]
    header = [header.pop(place), *header] if header else []
    known = [row for row in rows[:50] if _listed_sound(tree, row[0])]
    return header, rows if len(known) > len(rows[:50]) / 2 else []


def _listed_sound(tree: Tree, cell: str) -> str | None:
    """Return the recording that a cell names: by a path or its end, or by the stem alone."""
    cell = composed(cell.replace("\\", "/"))
    name = tree.find(cell) or tree.ends.get("/".join(cell.split("/")[-2:]))
    return name or tree.ends.get(stem(cell) if cell.lower().endswith(SOUND_ENDINGS) else cell)


def read_lists(tree: Tree, choices: Choices) -> Listing:
    """Read file lists; a column whose words recur is the speaker, else there is one speaker.

    Raises:
        InputError: it is not clear which column the speaker is.
    """
    listing, used, names = Listing(), set(), file_lists(tree)
    if not names:
        raise InputError(f"{tree.folder} has no recordings in lists such as metadata.csv")
    read = [(name, *_list_rows(tree, name)) for name in names]
    roles = _roles(tree, read[0][1], [row for _, _, rows in read for row in rows])
    for name, _, rows in read:
        split = _split_of_list(name)
        for row in rows:
            sound = _listed_sound(tree, row[0])
            if sound is None:
                listing.left_out[f"{name}: {row[0]}"] = "there is no such recording"
                continue
            text, speaker = (row[n] if n is not None and n < len(row) else "" for n in roles)
            speaker = composed(speaker) or _only_speaker(tree, sound)
            if sound not in used:
                key = stem(sound) if stem(sound) in tree.ends else sound.rpartition(".")[0]
                utterance = tree.utterance(sound, key, speaker, split=split)
                listing.utterances.append(replace(utterance, text=text))
            used.add(sound)
            listing.speakers.setdefault(speaker, {})
    follow_split(listing, "lists")
    listing.left_out |= left_out_of(tree, used, ", ".join(names))
    return listing


def _only_speaker(tree: Tree, sound: str) -> str:
    if re.fullmatch(r"LJ\d{3}-\d{4}", stem(sound)):
        return "LJ"
    own = [name for name in sound.split("/")[:-1] if not is_part(name)]
    return own[0] if own else folder_name(tree.folder)


def _roles(tree: Tree, header: list[str], rows: list[list[str]]) -> tuple[int | None, int | None]:
    """Return the columns of text and speaker, None where there is none."""
    named = {r: next((header.index(n) for n in HEADER[r] if n in header), None) for r in HEADER}
    if set(named.values()) != {None}:
        return named["text"], named["speaker"]
    width = Counter(map(len, rows)).most_common(1)[0][0]
    columns = {n: [row[n] for row in rows if len(row) == width] for n in range(1, width)}
    texts = [n for n, cells in columns.items() if any(" " in c or len(c) > 40 for c in cells)]
    speakers = [n for n, cells in columns.items() if n not in texts and _recur(cells)]
    if len(columns) == 1:  # of words that are a sentence each
        texts, speakers = [1], []
    if len(speakers) > 1 or not texts:
        shown = "|".join(rows[0])
        raise InputError(
            f"{tree.folder}: which column of its lists is the speaker is not clear ({shown}): "
            f"{OWN_TABLE}"
        )
    return texts[1] if len(texts) == 2 else texts[0], speakers[0] if speakers else None


def _recur(cells: list[str]) -> bool:
    """Return whether cells name speakers: single words that recur, no durations or languages."""
    values = set(cells)
    numbers = all(re.fullmatch(r"\d+\.\d+", value) for value in values)
    few = len(values) <= max(1, len(cells) / 2) or len(cells) < 4
    return few and "" not in values and not numbers and not {v.lower() for v in values} <= CODES
