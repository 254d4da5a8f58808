"""Some utterances for many: as many different sentences as possible, and all speakers alike."""

import numpy as np

from vqwn_kit.data.corpus import Corpus, hash_of, sentence_of


def choose_utterances(corpus: Corpus, numbers: np.ndarray, most: int) -> np.ndarray:
    """Return at most `most` of some utterances, ascending, int (M,).

    A sentence is chosen twice only once all others were chosen, and the next speaker is one of
    those who were chosen least often. What is still equal is decided by a hash of sentence and
    speaker. So the choice depends on the corpus alone, and that of fewer is a part of that of more.

    Args:
        corpus: the corpus.
        numbers: places in `corpus.utterances` to choose from, int (U,).
        most: how many.

    Example:
        choose_utterances(store.corpus, store.numbers("held_out"), 10)
    """
    numbers = np.sort(np.asarray(numbers, int))
    if most >= len(numbers):
        return numbers
    utterances = [corpus.utterances[number] for number in numbers]
    texts, names = [sentence_of(u) for u in utterances], [u.speaker for u in utterances]
    hashes = [hash_of(f"{text} {name}") for text, name in zip(texts, names, strict=True)]
    order = np.argsort(hashes, kind="stable")
    sentences, speakers = (
        np.unique(labels, return_inverse=True)[1][order] for labels in (texts, names)
    )
    of_sentence, of_speaker = (np.zeros(len(numbers), int) for _ in range(2))  # times chosen
    chosen, last = np.zeros(len(numbers), bool), len(numbers) + 1
    for _ in range(most):
        rank = of_sentence[sentences] * last + of_speaker[speakers]
        place = np.argmin(np.where(chosen, last**2, rank))
        chosen[place] = True
        of_sentence[sentences[place]] += 1
        of_speaker[speakers[place]] += 1
    return np.sort(numbers[order[chosen]])
