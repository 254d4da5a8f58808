"""N-grams: Kneser-Ney and absolute discounting by hand, sums of probabilities, selection."""

import numpy as np
import pytest

from vqwn_kit import InputError
from vqwn_kit.prior.ngram import NGram


def probabilities(ngram: NGram, context) -> np.ndarray:
    """Return the probabilities of all codes after a context."""
    codes = range(ngram.num_embeddings)
    return np.array([2 ** -ngram.bits([*context, code])[-1] for code in codes])


def test_a_bigram_equals_kneser_ney_by_hand():
    # aab, ba: unigrams count in how many contexts a code came: a after <s>, a, b; b after <s>, a.
    bigram = NGram([np.array([0, 0, 1]), np.array([1, 0])], 2, 2, (0.5, 0.4))
    unigram = [(3 - 0.5 + 1.0 * 0.5) / 5, (2 - 0.5 + 1.0 * 0.5) / 5]
    after_a = [(1 - 0.4 + 0.8 * unigram[0]) / 2, (1 - 0.4 + 0.8 * unigram[1]) / 2]
    after_b = [(1 - 0.4 + 0.4 * unigram[0]) / 1, 0.4 * unigram[1]]
    np.testing.assert_allclose(probabilities(bigram, [0]), after_a)
    np.testing.assert_allclose(probabilities(bigram, [1]), after_b)
    np.testing.assert_allclose(bigram.bits([1, 1])[1], -np.log2(after_b[1]))


def test_absolute_discounting_counts_occurrences():
    bigram = NGram([np.array([0, 0, 0, 1])], 3, 2, (0.6, 0.5), "absolute")
    unigram = [(3 - 0.6 + 1.2 / 3) / 4, (1 - 0.6 + 1.2 / 3) / 4, (1.2 / 3) / 4]
    expected = [(2 - 0.5 + 1.0 * unigram[0]) / 3, (0.5 + unigram[1]) / 3, unigram[2] / 3]
    np.testing.assert_allclose(probabilities(bigram, [0]), expected)
    np.testing.assert_allclose(probabilities(bigram, [2]), unigram)  # never met: the lower order


@pytest.mark.parametrize("order", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("smoothing", ["kneser_ney", "absolute"])
def test_probabilities_after_any_context_are_positive_and_sum_to_one(rng, order, smoothing):
    sequences = [rng.integers(0, 4, 30) for _ in range(3)]  # code 4 never comes
    ngram = NGram(sequences, 5, order, (0.7,) * order, smoothing)
    for context in ([], [0], [1, 2], [4, 4], [0, 1, 2, 3]):
        share = probabilities(ngram, context)
        assert share.sum() == pytest.approx(1.0, abs=1e-12)
        assert share.min() > 0


def test_a_fitted_trigram_finds_that_two_codes_determine_the_next(rng):
    sequences = []
    for _ in range(12):
        codes = list(rng.integers(0, 4, 2))
        for _ in range(200):  # half of the codes are the sum of the two before
            codes.append(sum(codes[-2:]) % 4 if rng.random() < 0.5 else rng.integers(0, 4))
        sequences.append(np.array(codes))
    models = [NGram.fitted(sequences[:10], 4, order) for order in (0, 1, 2, 3)]
    mean = [np.mean([model.bits(codes) for codes in sequences[10:]]) for model in models]
    share = np.array([0.625, 0.125, 0.125, 0.125])
    assert mean[0] == 2.0
    assert mean[1] == pytest.approx(2.0, abs=0.03)
    assert mean[2] == pytest.approx(2.0, abs=0.05)
    assert mean[3] == pytest.approx(-np.sum(share * np.log2(share)), abs=0.08)


def test_wrong_input_of_ngrams_is_named():
    with pytest.raises(InputError, match="expected 0..3"):
        NGram([np.array([0, 4])], 4, 2, (0.5, 0.5))
    with pytest.raises(InputError, match="expected 2 numbers from 0 to 1"):
        NGram([np.array([0])], 4, 2, (0.5,))
    with pytest.raises(InputError, match="expected 0 to 6 with 512"):
        NGram([np.array([0])], 512, 7, (0.5,) * 7)
    with pytest.raises(InputError, match="did you mean 'kneser_ney'"):
        NGram([np.array([0])], 4, 1, (0.5,), "kneser")
