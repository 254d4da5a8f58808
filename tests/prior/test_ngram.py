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


def test_a_discount_above_one_removes_no_more_than_a_count():
    """Code 0 comes three times after 0, and 1 once: 1.5 frees 1.5 of the one, 1 of the other."""
    bigram = NGram([np.array([0, 0, 0, 0, 1])], 2, 2, (np.inf, 1.5))
    np.testing.assert_allclose(probabilities(bigram, [0]), [(1.5 + 2.5 / 2) / 4, (2.5 / 2) / 4])


def test_an_infinite_discount_falls_back_to_the_lower_order(rng):
    sequences = [rng.integers(0, 5, 40) for _ in range(3)]
    trigram = NGram(sequences, 5, 3, (0.5, 0.8, np.inf), "absolute")
    bigram = NGram(sequences, 5, 2, (0.5, 0.8), "absolute")
    np.testing.assert_allclose(trigram.bits(sequences[0]), bigram.bits(sequences[0]))


def test_a_fitted_trigram_is_no_worse_than_a_bigram_where_a_third_code_says_nothing(rng):
    """Codes of a first-order chain; eight encodings that repeat most triples of their utterance."""
    steps, sequences = rng.dirichlet(np.full(30, 0.1), 30).cumsum(axis=1), []
    for _ in range(40):
        codes = [0]
        for draw in rng.random(80):
            codes.append(int(np.searchsorted(steps[codes[-1]], draw)))
        rows = np.tile(codes, (8, 1))
        changed = rng.random(rows.shape) < 0.1
        sequences.append(np.where(changed, rng.integers(0, 30, rows.shape), rows))
    train, held_out = sequences[:20], [rows[0] for rows in sequences[20:]]
    bigram, trigram = (NGram.fitted(train, 30, order) for order in (2, 3))
    bits = [np.mean(np.concatenate(list(map(model.bits, held_out)))) for model in (bigram, trigram)]
    assert bits[1] < bits[0] + 0.01
    short = NGram(train, 30, 3, (*trigram.discounts[:2], 0.99), trigram.smoothing)
    assert np.mean(np.concatenate(list(map(short.bits, held_out)))) > bits[0] + 0.1


@pytest.mark.parametrize("order", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("discount", [0.7, 2.5, np.inf])
@pytest.mark.parametrize("smoothing", ["kneser_ney", "absolute"])
def test_probabilities_after_any_context_are_positive_and_sum_to_one(
    rng, order, smoothing, discount
):
    sequences = [rng.integers(0, 4, 30) for _ in range(3)]  # code 4 never comes
    ngram = NGram(sequences, 5, order, (discount,) * order, smoothing)
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
    with pytest.raises(InputError, match="expected 2 numbers of 0 or more"):
        NGram([np.array([0])], 4, 2, (0.5,))
    with pytest.raises(InputError, match="expected 0 to 6 with 512"):
        NGram([np.array([0])], 512, 7, (0.5,) * 7)
    with pytest.raises(InputError, match="did you mean 'kneser_ney'"):
        NGram([np.array([0])], 4, 1, (0.5,), "kneser")


@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("smoothing", ["kneser_ney", "absolute"])
def test_tokens_share_the_probability_within_their_codebook(rng, order, smoothing):
    """Three codebooks of four codes: at each place the four tokens of its codebook sum to one."""
    codes = rng.integers(0, 4, (9, 6, 3))
    sequences = [(row + 4 * np.arange(3)).ravel() for row in codes]
    ngram = NGram(sequences, 4, order, (0.6,) * order, smoothing, num_codebooks=3)
    for place in range(7):
        tokens = 4 * (place % 3) + np.arange(4)
        before = sequences[0][:place]
        share = [2 ** -ngram.bits([*before, token])[-1] for token in tokens]
        assert min(share) > 0
        assert sum(share) == pytest.approx(1.0)


def test_the_unigram_of_several_codebooks_is_one_per_codebook(rng):
    codes = rng.integers(0, 4, (9, 6, 2))
    sequences = [(row + 4 * np.arange(2)).ravel() for row in codes]
    joint = NGram(sequences, 4, 1, (0.5,), "absolute", num_codebooks=2)
    bits = joint.bits(sequences[3]).reshape(-1, 2)
    for codebook in range(2):
        alone = NGram(list(codes[..., codebook]), 4, 1, (0.5,), "absolute")
        np.testing.assert_allclose(bits[:, codebook], alone.bits(codes[3, :, codebook]))
    fitted = NGram.fitted(sequences, 4, 2, num_codebooks=2)
    assert np.mean(fitted.bits(sequences[0])) < 2.2  # 2 for uniform codes, 3 for uniform tokens
