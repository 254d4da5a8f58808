"""Names of folders that are never speakers: parts of a corpus, containers, formats, sexes, moods.

A name is one if each of its words is, as in `train-clean-100` or `wav48_silence_trimmed`.
"""

import re
from functools import lru_cache

TRAIN = set("train training trainset traindata trn".split())
HELD_OUT = set(
    "dev devel development devset test testing testset testdata tst valid validation validset "
    "validate val valset eval evaluation evalset heldout holdout reference unseen".split()
)
SEXES = {"female": "F", "females": "F", "woman": "F", "women": "F", "girls": "F"}
SEXES |= {"male": "M", "males": "M", "man": "M", "men": "M", "boys": "M"}
# Of two folders that hold the same utterances, the one with fewer of these words is used
VERSIONS = set(
    "orig original originals raw noisy noise reverb reverberant mix mixed mixture downsampled mp3 "
    "ogg opus unprocessed untrimmed unnormalised lowquality phone telephone far egg "
    "laryngograph backup old copy".split()
)
CONTAINERS = set(
    "wav wavs wave waves clip clips audio audios sound sounds data dataset datasets corpus corpora "
    "speech recording recordings record records files file flac aiff sph pcm m4a aac segments "
    "segment segmented utterance utterances sentences samples voices speakers all source src "
    "target tgt clean processed trimmed silence normalised resampled output outputs "
    "input inputs results mono stereo left right mic microphone channel split splits subset other "
    "full small medium large unlabeled unlabelled labeled labelled validated invalidated parallel "
    "nonparallel read reading spontaneous conversational transcript transcripts text txt task "
    "seen pool main archive download downloads media content tmp temp misc new final".split()
)
MOODS = set(
    "angry anger happy happiness sad sadness neutral surprise surprised disgust disgusted fear "
    "fearful calm amused amusement sleepy sleepiness excited bored boredom whisper whispered "
    "shouted normal".split()
)
LANGUAGES = set(
    "english german french spanish italian portuguese dutch polish russian mandarin chinese "
    "japanese korean hindi arabic turkish finnish swedish".split()
)
SECTIONS = set("session sessions chapter chapters disc disk part parts day take takes dr".split())
WEAK = set("k khz hz bit bits s h set v spk ch of and the".split())  # beside another word only
AMERICAN = {"normalized", "unnormalized"}
STRONG = TRAIN | HELD_OUT | set(SEXES) | VERSIONS | CONTAINERS | MOODS | LANGUAGES | SECTIONS
STRONG |= AMERICAN
LOCALE = re.compile(r"[a-z]{2}[-_][A-Z]{2}")


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", name.lower())


@lru_cache(maxsize=1 << 14)
def is_part(name: str) -> bool:
    """Return whether a folder's name is that of a part of a corpus, and so no speaker's.

    `male1` and `male2` are speakers, `male` is none.
    """
    words = _words(name)
    if len(words) == 1 and words[0] in SEXES and words[0] != name.lower():
        return False
    strong = any(word in STRONG for word in words)
    known = strong and all(word in STRONG or word in WEAK for word in words)
    return known or bool(LOCALE.fullmatch(name))


def split_of(names: list[str]) -> str:
    """Return `train`, `held_out` or "" for the folders that a recording lies in."""
    for name in filter(is_part, names):
        for word in _words(name):
            if word in TRAIN or word in HELD_OUT:
                return "train" if word in TRAIN else "held_out"
    return ""


def sex_of(names: list[str]) -> str:
    """Return F, M or "" for the folders that a recording lies in."""
    words = [word for name in filter(is_part, names) for word in _words(name)]
    return next((SEXES[word] for word in words if word in SEXES), "")


def versions_in(names: list[str]) -> int:
    """Return how many words of folders say that it is another version of a recording."""
    return sum(word in VERSIONS for name in filter(is_part, names) for word in _words(name))
