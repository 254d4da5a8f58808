"""A layout in a few lines: what identifies it, and how speaker, utterance and text follow."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from vqwn_kit.data.part_names import is_part, split_of, versions_in
from vqwn_kit.data.scan import FACTS, Choices, Facts, Listing, Tree, composed, stem
from vqwn_kit.errors import InputError
from vqwn_kit.files import read_text

FOLLOWED = 0.6  # share of the recordings whose paths follow a layout without marks
OWN_TABLE = "write utterances.tsv with the columns path, speaker and text"
ANY = r"(?:.*/)?"  # folders above
SEX = {"female": "F", "f": "F", "woman": "F", "male": "M", "m": "M", "man": "M"}


def expression(text: str, flags: int = 0) -> re.Pattern:
    r"""Compile a regular expression in which `{name}` is a group of any characters but `/`.

    `{name:\d+}` is a group of what follows the colon.
    """
    named = r"\{([a-z]+)(?::((?:[^{}]|\{\d[\d,]*\})*))?\}"
    return re.compile(
        re.sub(named, lambda m: f"(?P<{m[1]}>{m[2] or '[^/]+'})", text), flags | re.IGNORECASE
    )


@dataclass(frozen=True)
class Lines:
    """A table of texts or of speakers: which files it is in, and what a line holds.

    Attributes:
        files: expression of their paths in the corpus.
        line: expression of a line, from its beginning: `key` (or `speaker`) and `text` or facts.
        drop: expression of what is removed from texts.
        beyond: paths outside the corpus's folder where it may be too; the first one is read.
        prefix: of speakers, which the table may lack.
    """

    files: str
    line: str
    drop: str = ""
    beyond: tuple[str, ...] = ()
    prefix: str = ""

    def rows(self, tree: Tree) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield the file and the groups of each line that follows the expression."""
        line, files = expression(self.line), expression(self.files)
        names = [name for name in tree.names if files.fullmatch(name)]
        texts = [(name, tree.text(name)) for name in names]
        paths = (tree.folder.resolve() / name for name in self.beyond)
        for path in [path for path in paths if path.is_file()][: 0 if texts else 1]:
            texts.append((path.name, read_text(path)))
        for name, text in texts:
            for match in map(line.match, text.splitlines()):
                if match:
                    cells = match.groupdict("")
                    yield name, {key: composed(cell.strip()) for key, cell in cells.items()}


@dataclass(frozen=True)
class Layout:
    """A layout.

    Attributes:
        title: the corpus, for messages.
        shape: where its recordings are, for messages.
        sounds: expression of their whole paths without ending, see `expression`. Its groups are the
            speaker, facts about the speaker, and others for `key`, `beside` and `one_of`.
        marks: expressions of the beginnings of paths; each must be there. Without any, most
            recordings must follow `sounds`.
        speaker: of all recordings, where there is no group of that name; `{voice}` is the name of
            the nearest folder that is no part of a corpus.
        key: of an utterance, by the groups and `stem`, the file's name without ending.
        beside: path of its text, by the groups, `stem`, `dir` (its folder), `up` (the one above
            that) and `base`, the path without ending.
        text_line: expression of that text, with a group `text`.
        text: of an utterance, by the groups.
        texts: tables of the texts; of several that have a key, the one that lies nearest.
        facts: tables of the speakers.
        known: facts about speakers that are in no file, by name.
        refusal: why no such corpus can be read, with what to do.
        rename: the name of a speaker, by the groups.
        when: recognises it, or returns "", where marks do not suffice.
        read: a reader of its own, for what a table describes.
        choose: which of the files of one key is used, and a remark.
        inside: name of a folder, and an expression of a path in it, that are a part of a corpus.
    """

    title: str
    shape: str
    sounds: str = ""
    marks: tuple[str, ...] = ()
    speaker: str = ""
    key: str = "{stem}"
    beside: str = "{base}.txt"
    text_line: str = ""
    text: str = ""
    texts: tuple[Lines, ...] = ()
    facts: tuple[Lines, ...] = ()
    known: Facts = field(default_factory=dict)
    refusal: str = ""
    rename: Callable[[dict[str, str]], str] | None = None
    when: Callable[[Tree], str] | None = None
    read: Callable[[Tree, Choices], Listing] | None = None
    choose: Callable[[dict[str, list], Choices], tuple[dict[str, str], str]] | None = None
    inside: tuple[str, str] = ("", "")

    def recognised(self, tree: Tree) -> str:
        """Return why a folder is taken for this layout, "" where it is not."""
        if self.when:
            return self.when(tree)
        tree, found = tree.sketch, []
        for mark in self.marks:
            matches = map(expression(mark).match, tree.names)
            found.append(next((match[0] for match in matches if match), ""))
        follow = self._follow(tree) if self.sounds else []
        if self.marks:
            known = all(found) and (follow or not self.sounds or not tree.sounds)
            title = f", as {self.title}" if self.title else ""
            return f"it has {found[0]}{title}" if known else ""
        if not follow or len(follow) < FOLLOWED * len(tree.sounds):
            return ""
        return f"its files are named like {follow[0]}, as in {self.title}"

    def is_inside(self, folder: str, tree: Tree) -> bool:
        """Return whether a folder, by its name and a sketch of its files, is a part of a corpus."""
        name, mark = self.inside
        return folder == name and any(map(expression(mark).match, tree.sketch.names))

    def _follow(self, tree: Tree) -> list[str]:
        """Return the recordings that follow `sounds`, whose speakers are no parts of a corpus."""
        matches = [(name, self._match(name)) for name in tree.sounds]
        return [n for n, m in matches if m and not is_part(m.groupdict().get("speaker") or "")]

    @cached_property
    def _sounds(self) -> re.Pattern:
        return expression(self.sounds)

    def _match(self, name: str) -> re.Match | None:
        return self._sounds.fullmatch(name.rpartition(".")[0])

    def listing(self, tree: Tree, choices: Choices) -> Listing:
        """Return the recordings of a folder in this layout.

        Raises:
            InputError: it cannot be read.
        """
        if self.refusal:
            raise InputError(f"{tree.folder} is {self.title}: {self.refusal}")
        listing = self.read(tree, choices) if self.read else self._listing(tree, choices)
        self._add_facts(listing, tree)
        return listing

    def _listing(self, tree: Tree, choices: Choices) -> Listing:
        listing, files, subsets = Listing(), defaultdict(list), set()
        whole = {"folder": tree.folder.resolve().name, "voice": folder_name(tree.folder)}
        for name in tree.sounds:
            match = self._match(name)
            groups = {k: v for k, v in match.groupdict().items() if v} if match else {}
            if not match or is_part(groups.get("speaker", "")):
                where = f"it is not where {self.title} has its recordings ({self.shape})"
                listing.left_out[name] = where
                continue
            places = _Empty(whole | _places(name) | groups)
            groups["speaker"] = places["speaker"] = self._speaker(places)
            files[self.key.format_map(places)].append((name, groups))
            subsets |= {groups["subset"]} if "subset" in groups else set()
        chosen = {key: min(names_of(takes), key=_originality) for key, takes in files.items()}
        if self.choose:
            chosen, listing.reason = self.choose(files, choices)
        elif subsets:
            listing.reason = f"subsets {', '.join(sorted(subsets))}"
        texts, parts = _texts(self.texts, tree), {}
        for key, name in chosen.items():
            groups = dict(files[key])[name]
            utterance = tree.utterance(name, key, groups["speaker"])
            text = _nearest(texts, stem(name), name) or self._beside(tree, name, groups, key)
            listing.utterances.append(replace(utterance, text=text))
            parts[utterance.key] = groups.get("part") or name.rpartition("/")[0]
            facts = {fact: groups[fact] for fact in FACTS if fact in groups}
            listing.speakers.setdefault(utterance.speaker, {}).update(facts)
            if not self.choose:
                same = f"the same utterance as {name}, which is used"
                listing.left_out |= {n: same for n in names_of(files[key]) if n != name}
        _add_splits(listing, parts)
        return listing

    def _speaker(self, groups: dict[str, str]) -> str:
        if self.rename:
            return self.rename(groups)
        return groups.get("speaker") or self.speaker.format_map(groups)

    def _beside(self, tree: Tree, name: str, groups: dict[str, str], key: str) -> str:
        groups = _Empty(_places(name) | groups | {"key": key})
        if self.text:
            return self.text.format_map(groups)
        beside = tree.find(self.beside.format_map(groups))
        text = tree.text(beside) if beside else ""
        if text and self.text_line:
            match = expression(self.text_line, re.DOTALL).match(text)
            text = match["text"].strip() if match else ""
        return text

    def _add_facts(self, listing: Listing, tree: Tree) -> None:
        for table in self.facts:
            for _, row in table.rows(tree):
                name = row.pop("speaker")
                name = name if name in listing.speakers else table.prefix + name
                if name in listing.speakers:
                    listing.speakers[name] |= {k: " ".join(v.split()) for k, v in row.items() if v}
        for name, facts in listing.speakers.items():
            facts |= self.known.get(name, {})
            if "sex" in facts:
                facts["sex"] = SEX.get(facts["sex"].lower(), facts["sex"])


def _places(name: str) -> dict[str, str]:
    """Return the parts of a recording's path, as the fields of a layout call them."""
    inside = name.rpartition("/")[0]
    up = inside.rpartition("/")[0]
    places = {"dir": inside and f"{inside}/", "up": up and f"{up}/"}
    return places | {"stem": stem(name), "base": name.rpartition(".")[0]}


def facts_of(fact: str, **names: str) -> Facts:
    """Return a fact of speakers whose names are given by its value, with blanks between."""
    return {name: {fact: value} for value, listed in names.items() for name in listed.split()}


class _Empty(dict):
    """Groups that are not there are empty."""

    def __missing__(self, name: str) -> str:
        return ""


def folder_name(folder: Path) -> str:
    """Return the name of the nearest folder, upwards, that is no part of a corpus."""
    folder = folder.resolve()
    names = (f.name for f in (folder, *folder.parents))
    return next((name for name in names if name and not is_part(name)), "speaker")


def _texts(tables: Iterable[Lines], tree: Tree) -> dict[str, list[tuple[str, str]]]:
    """Return by key the files that have its text, with the text."""
    texts = defaultdict(list)
    for table in tables:
        for name, row in table.rows(tree):
            text = re.sub(table.drop, "", row["text"]) if table.drop else row["text"]
            texts[row["key"].rpartition("/")[2]].append((name, text))
    return texts


def _nearest(texts: dict[str, list[tuple[str, str]]], key: str, name: str) -> str:
    """Return the text of a key from the table that shares the most folders with its recording."""
    parts = name.split("/")

    def shared(entry: tuple[str, str]) -> int:
        pairs = zip(entry[0].split("/"), parts, strict=False)
        return next((n for n, (a, b) in enumerate(pairs) if a != b), len(parts))

    return max(texts.get(composed(key), ()), key=shared, default=("", ""))[1]


def names_of(takes: list[tuple[str, dict[str, str]]]) -> list[str]:
    """Return the files of one utterance."""
    return [name for name, _ in takes]


def _originality(name: str) -> tuple[int, str]:
    """Return how files of one utterance are ordered: those as published first, raw ones last."""
    return versions_in(name.split("/")[:-1]), name


def follow_split(listing: Listing, by: str = "folders") -> None:
    """Keep one's own split where some recordings are held out and others are not."""
    splits = {utterance.split for utterance in listing.utterances}
    if {"train", "held_out"} <= splits:
        listing.reason += f"{'; ' if listing.reason else ''}its {by} give the split"
    else:
        listing.utterances = [replace(u, split="") for u in listing.utterances]


def _add_splits(listing: Listing, parts: dict[str, str]) -> None:
    """Follow the corpus's own held-out part, for the speakers who are in its training part too.

    Parts of other speakers are pooled: see `hold_out` of `open_corpus`.
    """
    known = {part: split_of(part.split("/")) for part in set(parts.values())}
    splits, both = {key: known[part] for key, part in parts.items()}, defaultdict(set)
    for utterance in listing.utterances:
        both[utterance.speaker].add(splits[utterance.key])
    listing.utterances = [
        replace(u, split=splits[u.key]) if {"train", "held_out"} <= both[u.speaker] else u
        for u in listing.utterances
    ]
