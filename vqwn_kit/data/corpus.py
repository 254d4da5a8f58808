"""A corpus: the utterances of a folder, its speakers, and the split into train and held out."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from vqwn_kit.data.layouts import read_folder
from vqwn_kit.data.scan import Utterance
from vqwn_kit.errors import InputError, one_of
from vqwn_kit.files import bundled, project_root, shipped

HELD_OUT_SENTENCES = 0.05  # share of them, where the corpus names no split
HELD_OUT_SPEAKERS = 0.1  # share of them, with hold_out="speakers"
HOLD_OUT = ("sentences", "speakers")
SPLITS = ("train", "held_out")
SHORT_NAMES = {
    "VCTK": ("VCTK-Corpus", "VCTK-Corpus-0.92"),
    "LibriSpeech": ("LibriSpeech",),
    "Aishell": ("data_aishell",),
    "mini": ("mini",),
}


def example_corpus() -> "Corpus":
    """Open the bundled corpus, `data/mini`.

    Raises:
        InputError: it is neither in the working folder nor installed.
    """
    return open_corpus(example_folder())


def example_folder() -> Path:
    """Return the folder of the bundled corpus; InputError where it is missing."""
    folder = shipped() / "data" / "mini"
    if not folder.is_dir():
        raise InputError(
            f"the bundled corpus is not at {folder}: it comes with a checkout of the project and "
            "with its wheel. Run inside a checkout, or give a folder of speech of your own"
        )
    return folder


@dataclass(frozen=True, repr=False)
class Corpus:
    """Utterances by key, and the speakers by number.

    Attributes:
        name: short name, used in the names of runs.
        folder: where it was read from.
        layout: name of the layout.
        reason: how the layout was recognised.
        utterances: sorted by key; each has a split.
        speakers: facts by speaker, sorted by name; the position is the speaker's number, 0..S-1.
        left_out: reason by path, for sound files of the folder that are no part of the corpus.
        choices: the keywords of `open_corpus` that it was opened with.

    Example:
        corpus = Corpus.open("data/mini")
        waveform = corpus["kumo_012"].load()      # (T,) float32
        corpus.split("held_out")                  # the same speakers, other utterances
    """

    name: str
    folder: Path
    layout: str
    reason: str
    utterances: tuple[Utterance, ...]
    speakers: dict[str, dict[str, str]]
    left_out: dict[str, str] = field(default_factory=dict)
    choices: dict[str, str | None] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: str | Path, layout: str | None = None, **choices) -> "Corpus":
        """Open a folder of speech; see `open_corpus`."""
        return open_corpus(folder, layout, **choices)

    def __repr__(self) -> str:
        """Describe it in one line."""
        return (
            f"<Corpus {self.folder}: {self.layout} ({self.reason}), {len(self)} utterances, "
            f"{len(self.speakers)} speakers>"
        )

    def __len__(self) -> int:
        """Return the number of utterances."""
        return len(self.utterances)

    def __iter__(self) -> Iterator[Utterance]:
        """Iterate over the utterances in the order of their keys."""
        return iter(self.utterances)

    @cached_property
    def _by_key(self) -> dict[str, Utterance]:
        return {utterance.key: utterance for utterance in self.utterances}

    def __getitem__(self, key: str) -> Utterance:
        """Return the utterance with this key; the error for another names the nearest."""
        if key not in self._by_key:
            raise one_of("utterance", key, self._by_key)
        return self._by_key[key]

    def split(self, name: str) -> "Corpus":
        """Return the corpus with the utterances of one split, `train` or `held_out`."""
        if name not in SPLITS:
            raise one_of("split", name, SPLITS)
        chosen = tuple(utterance for utterance in self.utterances if utterance.split == name)
        return replace(self, utterances=chosen)


def open_corpus(
    folder: str | Path,
    layout: str | None = None,
    *,
    microphone: str = "mic1",
    pattern: str | None = None,
    hold_out: str = "sentences",
) -> Corpus:
    """Open a folder of speech.

    Args:
        folder: a published corpus (`PUBLISHED` in `published.py`), a folder with `utterances.tsv`
            or `.csv` (columns path and speaker; utterance, text, split, age, sex, accent, region if
            known), one subfolder per speaker, in train and test or not, or files whose names follow
            a `pattern`. A `speakers.tsv` or `.csv` in it adds facts to the speakers. `VCTK`,
            `LibriSpeech`, `Aishell` and `mini` stand for the folders of those corpora in `data/`
            where no folder of that name is.
        layout: a key of `LAYOUTS`; overrides the recognised layout. `single` takes all recordings
            for those of one speaker.
        microphone: of VCTK 0.92: `mic1`, which all speakers have, or `mic2`. Where an utterance has
            only the other one, that is used, and `reason` names the speakers.
        pattern: of the files' names, such as `{speaker}_{}`; see `compile_pattern`.
        hold_out: `sentences`, to evaluate on the speakers of training, or `speakers`, on others.

    Returns:
        The corpus. The split of a table or of folders called train, valid, test and so on is kept;
        that of a published corpus for speakers who are in both parts. Else about 5 % of the
        sentences are held out, at least one, by a hash of the text (of the key if there is no
        text): so a sentence is held out for every speaker, and stays held out when recordings are
        added. Each speaker keeps some utterances to train on. With `hold_out="speakers"` all
        utterances of about 10 % of the speakers are held out, by a hash of their names, at least
        one and never all.

    Raises:
        InputError: no such folder, no sound in it, or an unknown choice.
    """
    folder = find_folder(folder)
    if hold_out not in HOLD_OUT:
        raise one_of("way to hold out", hold_out, HOLD_OUT)
    listing = read_folder(folder, layout, microphone, pattern)
    held_out = _held_out_speakers if hold_out == "speakers" else _held_out_sentences
    utterances = held_out(listing.utterances)
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "corpus"
    speakers = {speaker: listing.speakers.get(speaker, {}) for speaker in listing.speaker_names}
    about = (listing.layout, listing.reason)
    choices = {"layout": layout, "microphone": microphone, "pattern": pattern, "hold_out": hold_out}
    return Corpus(name, folder, *about, utterances, speakers, listing.left_out, choices)


def find_folder(folder: str | Path) -> Path:
    """Return the folder of a corpus; a short name stands for a corpus in `data/`.

    Raises:
        InputError: a short name whose corpus is not there.
    """
    folder = bundled(folder)
    if folder.is_dir() or str(folder) not in SHORT_NAMES:
        return folder
    if str(folder) == "mini":
        return example_folder()
    data = Path("data") if Path("data").is_dir() else project_root() / "data"
    usual = SHORT_NAMES[str(folder)]
    for name in usual:
        if (data / name).is_dir():
            return data / name
    raise InputError(
        f"{folder} is not in {data} as {' or '.join(usual)}: fetch it (vqwn download), put its "
        "unpacked folder there, or give the folder where it is"
    )


def _held_out_sentences(utterances: Sequence[Utterance]) -> tuple[Utterance, ...]:
    """Give each utterance without a split one, by a hash of its sentence."""
    sentence = {utterance.key: sentence_of(utterance) for utterance in utterances}
    unsplit = {sentence[utterance.key] for utterance in utterances if not utterance.split}
    held_out = {text for text in unsplit if hash_of(text) < HELD_OUT_SENTENCES}
    if unsplit and not held_out and not any(utterance.split for utterance in utterances):
        held_out = {min(unsplit, key=hash_of)}
    by_speaker = defaultdict(list)
    for utterance in utterances:
        by_speaker[utterance.speaker].append(utterance)
    for _, own in sorted(by_speaker.items()):  # in order, since a change affects later speakers
        if all(u.split == "held_out" or (not u.split and sentence[u.key] in held_out) for u in own):
            held_out -= {sentence[u.key] for u in own}  # else there would be nothing to train on
    return tuple(u if u.split else _with_split(u, sentence[u.key] in held_out) for u in utterances)


def _held_out_speakers(utterances: Sequence[Utterance]) -> tuple[Utterance, ...]:
    """Hold out whole speakers, by a hash of their names; splits of the corpus are ignored."""
    ordered = sorted({utterance.speaker for utterance in utterances}, key=hash_of)
    if len(ordered) < 2:
        raise InputError(f"there is one speaker, {ordered[0]}: hold out sentences, not speakers")
    first, *rest, _ = ordered
    held_out = {first, *(name for name in rest if hash_of(name) < HELD_OUT_SPEAKERS)}
    return tuple(_with_split(utterance, utterance.speaker in held_out) for utterance in utterances)


def by_sentence(utterances: Sequence[Utterance], share: float) -> list[bool]:
    """Choose about a share of the sentences, by their hash, the same for all speakers.

    At least one where `share` is not 0, and never all: of a single sentence none is chosen.
    """
    sentences = [sentence_of(utterance) for utterance in utterances]
    ordered = sorted(set(sentences), key=hash_of)
    count = min(max(1, round(share * len(ordered))), len(ordered) - 1) if share else 0
    chosen = set(ordered[:count])
    return [sentence in chosen for sentence in sentences]


def _with_split(utterance: Utterance, held_out: bool) -> Utterance:
    return replace(utterance, split="held_out" if held_out else "train")


def hash_of(text: str) -> float:
    """Return a number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def sentence_of(utterance: Utterance) -> str:
    """Return the words of the text, in small letters; the key where there are none.

    What several speakers read is one sentence, and one independent observation.
    """
    words = re.sub(r"[^\w]+", " ", utterance.text.lower()).strip()
    return words or utterance.key
