"""The layouts of published corpora, as they unpack: VCTK 0.80 and 0.92, LibriSpeech, Aishell-1."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from vqwn_kit.data.scan import Choices, Facts, Layout, Listing, Tree, Utterance, parent, stem
from vqwn_kit.errors import one_of
from vqwn_kit.files import read_text

MICROPHONES = ("mic1", "mic2")


def _outside(tree: Tree, top: str, used: Iterable[str]) -> dict[str, str]:
    """Return the sounds that are not where the layout has its recordings, with this reason."""
    used, where = set(used), f"it is not where this layout has its recordings ({top}SPEAKER/…)"
    return {name: where for name in tree.sounds if name not in used}


def _texts(tree: Tree, names: Iterable[str]) -> dict[str, str]:
    """Read `KEY the words` lines: the text by key."""
    lines = (line.partition(" ") for name in names for line in tree.text(name).splitlines())
    return {key: words.strip() for key, _, words in lines}


def _facts(
    paths: Iterable[Path],
    names: Iterable[str],
    parse: Callable[[str], tuple[str, dict[str, str]]],
    prefix: str = "",
) -> Facts:
    """Read the first file of `paths` that exists, one line per speaker.

    `parse` returns the speaker of a line, perhaps without `prefix`, and what is known of them.
    """
    facts = {name: {} for name in names}
    path = next((path for path in paths if path.is_file()), None)
    for line in read_text(path).splitlines() if path else ():
        name, known = parse(line)
        name = name if name in facts else prefix + name
        if name in facts and known:
            facts[name] = known
    return facts


# VCTK: wav48/p225/p225_001.wav; 0.92: wav48_silence_trimmed/p225/p225_001_mic1.flac


def _recognise_vctk(tree: Tree, choices: Choices) -> str:
    return "it has wav48/, as VCTK 0.80" if (tree.folder / "wav48").is_dir() else ""


def _read_vctk(tree: Tree, choices: Choices) -> Listing:
    names = [name for name in tree.sounds if name.startswith("wav48/") and name.count("/") > 1]
    left_out = _outside(tree, "wav48/", names)
    return _vctk_listing(tree, [(stem(name), name) for name in names], left_out)


def _recognise_vctk_092(tree: Tree, choices: Choices) -> str:
    top = "wav48_silence_trimmed"
    return f"it has {top}/, as VCTK 0.92" if (tree.folder / top).is_dir() else ""


def _read_vctk_092(tree: Tree, choices: Choices) -> Listing:
    microphone = choices.microphone
    if microphone not in MICROPHONES:
        raise one_of("microphone", microphone, MICROPHONES)
    takes = defaultdict(dict)  # by key: the file of each microphone
    for name in tree.sounds:
        match = re.fullmatch(r"wav48_silence_trimmed/[^/]+/(.+)_(mic[12])\.\w+", name)
        if match:
            takes[match[1]][match[2]] = name
    used = [name for files in takes.values() for name in files.values()]
    chosen = [
        (key, files.get(microphone) or next(iter(files.values()))) for key, files in takes.items()
    ]
    listing = _vctk_listing(tree, chosen, _outside(tree, "wav48_silence_trimmed/", used))
    listing.reason = f"microphone {microphone}"
    lacking = {parent(name) for key, name in chosen if microphone not in takes[key]}
    if lacking:
        (other,) = set(MICROPHONES) - {microphone}
        listing.reason += f", {other} where there is no other: {', '.join(sorted(lacking)[:6])}"
    return listing


def _vctk_listing(tree: Tree, chosen: list[tuple[str, str]], left_out: dict) -> Listing:
    """Return the listing of (key, name of the sound file) pairs, with texts and facts."""
    utterances = [
        tree.utterance(name, key, parent(name), f"txt/{parent(name)}/{key}.txt")
        for key, name in chosen
    ]
    listing = Listing(utterances, left_out=left_out)
    table = tree.folder / "speaker-info.txt"
    listing.speakers = _facts([table], listing.speaker_names, _parse_vctk, "p")
    return listing


def _parse_vctk(line: str) -> tuple[str, dict[str, str]]:
    """Parse `225  23  F    English    Southern  England`; 0.92 has `p225`, and remarks in ()."""
    number, *values = re.sub(r"\(.*", "", line).split() or [""]
    age, sex, accent, *region = [*values, "", "", ""]
    known = {"age": age, "sex": sex, "accent": accent, "region": " ".join(region).strip()}
    return number, {fact: value for fact, value in known.items() if value}


# LibriSpeech: SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NUMBER.flac


def _transcripts(tree: Tree) -> list[str]:
    return [name for name in tree.names if name.endswith(".trans.txt")]


def _recognise_libri(tree: Tree, choices: Choices) -> str:
    for name in _transcripts(tree):
        return f"it has transcripts such as {name.rpartition('/')[2]}, as LibriSpeech"
    return ""


def _read_libri(tree: Tree, choices: Choices) -> Listing:
    texts, listing, subsets = _texts(tree, _transcripts(tree)), Listing(), set()
    for name in tree.sounds:
        key = stem(name)
        if not re.fullmatch(r"\d+-\d+-\d+", key):
            listing.left_out[name] = "its name is not SPEAKER-CHAPTER-NUMBER, as in LibriSpeech"
            continue
        if name.count("/") == 3:
            subsets.add(name.partition("/")[0])
        speaker, path = key.partition("-")[0], tree.folder / name
        listing.utterances.append(Utterance(key, speaker, path, texts.get(key, "")))
    listing.reason = f"subsets {', '.join(sorted(subsets))}" if subsets else ""
    tables = [folder / "SPEAKERS.TXT" for folder in (tree.folder, tree.folder.resolve().parent)]
    listing.speakers = _facts(tables, listing.speaker_names, _parse_libri)
    return listing


def _parse_libri(line: str) -> tuple[str, dict[str, str]]:
    """Parse `14   | F | train-clean-360  | 25.03 | Kristin LeMoine`."""
    cells = [cell.strip() for cell in line.split("|", 4)]
    return cells[0], {"sex": cells[1], "name": cells[4]} if len(cells) == 5 else {}


# Aishell-1: wav/train/S0002/BAC009S0002W0122.wav, transcript/aishell_transcript_v0.8.txt


def _recognise_aishell(tree: Tree, choices: Choices) -> str:
    if not (tree.folder / "wav").is_dir():
        return ""
    for name in tree.names:
        if re.match(r"wav/((train|dev|test)/S\d{4}/|S\d{4}\.tar)", name):
            return f"it has {name.rpartition('/')[0]}/, as Aishell-1"
        if name.startswith("transcript/aishell"):
            return f"it has {name}, as Aishell-1"
    return ""


def _read_aishell(tree: Tree, choices: Choices) -> Listing:
    names, listing = tree.names, Listing()
    texts = _texts(tree, [n for n in names if n.startswith("transcript/") and n.endswith(".txt")])
    packed = "it is packed: unpack it where it lies (tar xzf, in wav/)"
    listing.left_out = {name: packed for name in names if re.match(r"wav/S\d{4}\.tar", name)}
    for name in tree.sounds:
        match = re.fullmatch(r"wav/(?:(?:train|dev|test)/)?(S\d{4})/[^/]+", name)
        if not match:
            listing.left_out[name] = "it is not in wav/train, wav/dev or wav/test, SPEAKER"
            continue
        key, path = stem(name), tree.folder / name
        listing.utterances.append(Utterance(key, match[1], path, texts.get(key, "")))
    beside = ("speaker.info", "resource_aishell/speaker.info", "../resource_aishell/speaker.info")
    tables = [tree.folder.resolve() / name for name in beside]  # it comes in a second archive
    listing.speakers = _facts(tables, listing.speaker_names, _parse_aishell, "S")
    return listing


def _parse_aishell(line: str) -> tuple[str, dict[str, str]]:
    """Parse `0002 F` or `S0002 F`."""
    number, sex, *_ = [*line.split(), "", ""]
    return number, {"sex": sex} if sex else {}


PUBLISHED = {
    "vctk-0.92": Layout(_recognise_vctk_092, _read_vctk_092),
    "vctk": Layout(_recognise_vctk, _read_vctk),
    "librispeech": Layout(_recognise_libri, _read_libri),
    "aishell": Layout(_recognise_aishell, _read_aishell),
}
