"""Folders of one's own: one subfolder per speaker, in parts or not; names that follow a pattern."""

import re
from collections import Counter, defaultdict

from vqwn_kit.data.declared import folder_name, follow_split
from vqwn_kit.data.part_names import is_part, sex_of, split_of, versions_in
from vqwn_kit.data.scan import FACTS, Choices, Listing, Tree, composed, stem
from vqwn_kit.errors import InputError, one_of

LISTED = 6  # speakers that a reason names
# Folders called by languages hold speakers, and are none
LANGUAGES = set(
    "ar cs da de el en es fi fr hi hu it ja ko nl no pl pt ro ru sv tr uk vi zh".split()
)


def own_folders(name: str) -> list[str]:
    """Return the folders a recording lies in that are no parts of a corpus."""
    return [folder for folder in name.split("/")[:-1] if not is_part(folder)]


def has_speaker_folders(tree: Tree) -> str:
    """Return why a folder is taken for one of speakers' folders, or ""."""
    return "it has one subfolder per speaker" if any(map(own_folders, tree.sounds)) else ""


def read_folders(tree: Tree, choices: Choices) -> Listing:
    """Read one subfolder per speaker; `train`, `wavs` and other parts stand above or below them.

    Raises:
        InputError: the speakers' folders seem to be one level further down.
    """
    _refuse_other_levels(tree)
    listing = Listing()
    copies = _copies(tree.sounds)
    for name in tree.sounds:
        own = own_folders(name)
        if name in copies:
            listing.left_out[name] = f"the same utterance as {copies[name]}, which is used"
        elif own:
            key = name.rpartition(".")[0]
            split = split_of(name.split("/")[:-1])
            utterance = tree.utterance(name, key, own[0], f"{key}.txt", split)
            listing.utterances.append(utterance)
            facts = {"sex": sex_of(name.split("/")[:-1])}
            known = listing.speakers.setdefault(utterance.speaker, {})
            known.update({fact: value for fact, value in facts.items() if value})
        else:
            listing.left_out[name] = "it lies beside the speakers' folders: put it into one"
    names = listing.speaker_names
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    listing.reason = f"{', '.join(names[:LISTED])}{more}"
    follow_split(listing)
    return listing


def _refuse_other_levels(tree: Tree) -> None:
    """Refuse folders whose first level holds all speakers, languages or groups of speakers."""
    own = [(name, folders) for name in tree.sounds if (folders := own_folders(name))]
    first = {folders[0] for _, folders in own}
    deep = [(name, folders) for name, folders in own if len(folders) > 1]
    if not deep or len(deep) < len(own):
        return
    second = {folders[1] for _, folders in deep}
    only = next(iter(first))
    if len(first) == 1 and len(second) > 1:
        raise InputError(
            f"{tree.folder} has the one subfolder {only}, which has subfolders of its own: if "
            f"those are the speakers, give {tree.folder / only}; if all are of one speaker, give "
            "--layout single"
        )
    called = sum(stem(n).startswith(f[1]) and not stem(n).startswith(f[0]) for n, f in deep)
    if first <= LANGUAGES or called > 0.8 * len(deep):
        name = deep[0][0]
        levels = name.split("/")[:-1]
        pattern = "/".join("{speaker}" if f == deep[0][1][1] else "{}" for f in levels) + "/{}"
        raise InputError(
            f"{tree.folder}: the speakers of recordings such as {name} seem to be one level below "
            f"{only}: give --pattern {pattern!r}; or --layout folders after moving them up, if "
            f"{', '.join(sorted(first)[:LISTED])} are the speakers"
        )


def _copies(names: tuple[str, ...]) -> dict[str, str]:
    """Return, by recording, the other version of it that is used: `wav/1.wav` for `orig/1.wav`."""
    groups, copies = defaultdict(list), {}
    for name in names:
        folders = name.split("/")[:-1]
        if any(map(is_part, folders)):
            kept = [f for f in folders if not (is_part(f) and _is_version(f))]
            groups["/".join([*kept, stem(name)])].append(name)
    for same in groups.values():
        ranked = sorted(same, key=lambda name: (versions_in(name.split("/")[:-1]), name))
        rates = {re.sub(r"\d+", "", name.rpartition(".")[0]) for name in same}
        worst = versions_in(ranked[-1].split("/")[:-1])
        if len({name.rpartition("/")[0] for name in same}) == len(same) > 1:
            if worst > versions_in(ranked[0].split("/")[:-1]) or len(rates) == 1:
                copies |= dict.fromkeys(ranked[1:], ranked[0])
    return copies


def _is_version(folder: str) -> bool:
    """Return whether a folder says how its recordings were processed, not which they are."""
    is_format = re.fullmatch(
        r"(?i)(wavs?|audio|clips|clean|flac|data)?[-_ ]?"
        r"(\d+(k|hz|khz)|8|11|16|22|24|32|44|48|96|\d{4,6})?",  # a rate; others are sessions
        folder,
    )
    return bool(versions_in([folder]) or is_format)


# names by a pattern


def read_pattern(tree: Tree, choices: Choices) -> Listing:
    """Read recordings whose names follow a pattern.

    Raises:
        InputError: there is none, or it cannot be understood.
    """
    if choices.pattern is None:
        raise InputError(f"the layout 'pattern' needs a pattern, such as {guess_pattern(tree)!r}")
    pattern, listing = compile_pattern(choices.pattern), Listing()
    for name in tree.sounds:
        key = name.rpartition(".")[0]
        match = pattern.fullmatch(key if "/" in choices.pattern else stem(name))
        if not match:
            listing.left_out[name] = f"its name does not follow {choices.pattern!r}"
            continue
        facts = match.groupdict()
        speaker, split = facts.pop("speaker"), split_of(name.split("/")[:-1])
        listing.utterances.append(tree.utterance(name, key, speaker, f"{key}.txt", split))
        listing.speakers.setdefault(composed(speaker), {}).update(facts)
    follow_split(listing)
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


def guess_pattern(tree: Tree) -> str:
    """Return the pattern that the names of recordings seem to follow."""
    stems = [stem(name) for name in tree.sounds]
    for mark in "_-. ":
        if stems and all(mark in name for name in stems):
            heads = Counter(name.partition(mark)[0] for name in stems)
            tails = Counter(name.rpartition(mark)[2] for name in stems)
            if 1 < len(heads) < len(stems):
                return "{speaker}" + mark + "{}"
            if 1 < len(tails) < len(stems) and not any(tail.isdigit() for tail in tails):
                return "{}" + mark + "{speaker}"
    return "{speaker}_{}"


def read_single(tree: Tree, choices: Choices) -> Listing:
    """Read all recordings as those of one speaker, named after the folder."""
    listing, speaker = Listing(), folder_name(tree.folder)
    for name in tree.sounds:
        key = name.rpartition(".")[0]
        split = split_of(name.split("/")[:-1])
        listing.utterances.append(tree.utterance(name, key, speaker, f"{key}.txt", split))
    listing.speakers = {name: {} for name in listing.speaker_names}
    follow_split(listing)
    return listing
