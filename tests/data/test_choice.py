"""Choices of utterances: different sentences first, and speakers alike."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from vqwn_kit import example_corpus
from vqwn_kit.data.choice import choose_utterances
from vqwn_kit.data.corpus import sentence_of


@pytest.fixture(scope="module")
def corpus():
    return example_corpus()


@pytest.fixture(scope="module")
def held_out(corpus):
    return np.flatnonzero([utterance.split == "held_out" for utterance in corpus])


def counts(corpus, numbers) -> tuple[Counter, Counter]:
    chosen = [corpus.utterances[number] for number in numbers]
    return Counter(map(sentence_of, chosen)), Counter(u.speaker for u in chosen)


@pytest.mark.parametrize("most", [1, 6, 8, 10, 25, 30, 60, 75, 149])
def test_sentences_and_speakers_are_chosen_equally_often(corpus, held_out, most):
    numbers = choose_utterances(corpus, held_out, most)
    assert len(set(numbers)) == most
    assert set(numbers) <= set(held_out)
    for times, of in zip(counts(corpus, numbers), (25, 6), strict=True):
        assert len(times) == min(of, most)
        assert max(times.values()) - min(times.values()) <= 1


def test_thirty_of_the_bundled_corpus_are_all_sentences_and_five_by_each_voice(corpus, held_out):
    sentences, speakers = counts(corpus, choose_utterances(corpus, held_out, 30))
    assert len(sentences) == 25
    assert set(speakers.values()) == {5}


def test_a_choice_is_part_of_every_larger_one(corpus, held_out):
    smaller = set()
    for most in (3, 10, 30, 100, 150, 1000):
        larger = set(choose_utterances(corpus, held_out, most))
        assert smaller <= larger
        smaller = larger
    assert smaller == set(held_out)


def test_the_order_in_which_utterances_are_given_does_not_matter(corpus, held_out):
    chosen = choose_utterances(corpus, held_out, 12)
    np.testing.assert_array_equal(choose_utterances(corpus, held_out[::-1], 12), chosen)
    assert (np.diff(chosen) > 0).all()


def test_utterances_without_texts_are_sentences_of_their_own(corpus, held_out):
    silent = replace(corpus, utterances=tuple(replace(u, text="") for u in corpus))
    sentences, speakers = counts(silent, choose_utterances(silent, held_out, 60))
    assert len(sentences) == 60
    assert set(speakers.values()) == {10}


def test_a_sentence_of_many_speakers_does_not_displace_those_of_one(corpus, held_out):
    """Of 35 utterances with one text and 5 others, the first six are of six texts."""
    first = corpus.utterances[held_out[0]].text
    alone = set(held_out[::30])
    utterances = tuple(
        u if number in alone else replace(u, text=first) for number, u in enumerate(corpus)
    )
    sentences, _ = counts(corpus, held_out[::30])
    uneven = replace(corpus, utterances=utterances)
    chosen, _ = counts(uneven, choose_utterances(uneven, held_out, len(sentences)))
    assert len(chosen) == len(sentences)
