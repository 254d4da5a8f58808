"""The network of a prior: causality, one code at a time, sampling, wrong input."""

import json

import numpy as np
import pytest
from scipy.special import log_softmax

from vqwn_kit import InputError
from vqwn_kit.prior.model import CodePrior
from vqwn_kit.prior.step import Recurrence, draw_codes


def small_prior(size: int = 7, names=("ann", "bob"), **changes) -> CodePrior:
    """Return a prior of random weights that are large enough to matter."""
    prior = CodePrior(size, 4, names, **{"units": 10, "channels": 6} | changes)
    prior.build()
    rng = np.random.default_rng(5)
    for weight in prior.weights:
        if weight.dtype == "float32":
            weight.assign(rng.normal(0, 0.7, weight.shape))
    return prior


def test_a_prediction_depends_on_earlier_codes_only(rng):
    prior = small_prior()
    codes = rng.integers(0, 7, 20)
    log_probs = prior.log_probs(codes, "bob")
    for place in (0, 7, 19):
        changed_codes = codes.copy()
        changed_codes[place] = (codes[place] + 3) % 7
        changed = prior.log_probs(changed_codes, "bob")
        np.testing.assert_array_equal(changed[: place + 1], log_probs[: place + 1])
        if place < 19:
            assert np.abs(changed[place + 1] - log_probs[place + 1]).max() > 1e-3


@pytest.mark.parametrize("speaker", [None, "ann", "bob"])
def test_one_code_at_a_time_equals_the_full_pass(rng, speaker):
    prior = small_prior()
    codes = rng.integers(0, 7, 25)
    full = prior.log_probs(codes, speaker)
    recurrence, state = Recurrence(prior, prior.speaker_ids([speaker])), None
    for place, code in enumerate([prior.start, *codes[:-1]]):
        logits, state = recurrence.step(np.array([code]), state)
        np.testing.assert_allclose(log_softmax(logits[0]), full[place], atol=1e-5)
    piece = prior.log_probs(codes[:3], speaker, from_start=False)
    order, share = prior.successors(codes[:3], None, speaker)
    np.testing.assert_allclose(np.exp(piece[2])[order], share, atol=1e-5)


def test_the_prediction_depends_on_the_speaker(rng):
    codes = rng.integers(0, 7, 10)
    prior = small_prior()
    bits = [prior.surprise(codes, speaker) for speaker in ("ann", "bob", None)]
    assert all(np.abs(bits[i] - bits[j]).max() > 1e-3 for i, j in ((0, 1), (1, 2), (0, 2)))
    with pytest.raises(InputError, match="no speaker conditioning"):
        small_prior(names=()).surprise(codes, "ann")
    with pytest.raises(InputError, match="did you mean 'ann'"):
        prior.surprise(codes, "anna")


def test_uniform_numbers_draw_codes_by_their_probabilities():
    share = np.array([0.5, 0.25, 0.25])
    logits = np.log(share)[None]
    draws = (np.arange(1000) + 0.5) / 1000
    counts = np.bincount([draw_codes(logits, np.array([draw]))[0] for draw in draws], minlength=3)
    np.testing.assert_array_equal(counts, 1000 * share)
    assert draw_codes(logits, np.array([1.0 - 1e-16]))[0] == 2


def test_sampled_codes_are_as_frequent_as_predicted():
    prior, rows = small_prior(size=5), 4000
    codes = prior.sample(2, ["ann"] * rows, seed=3)
    first = np.exp(prior.log_probs(np.array([0]), "ann")[0])
    counts = np.bincount(codes[:, 0], minlength=5)
    deviation = np.sqrt(rows * first * (1 - first))
    assert np.all(np.abs(counts - rows * first) < 4 * deviation + 1)
    common = int(np.argmax(counts))
    after = codes[codes[:, 0] == common, 1]
    second = np.exp(prior.log_probs(np.array([common, 0]), "ann")[1])
    deviation = np.sqrt(len(after) * second * (1 - second))
    assert np.all(np.abs(np.bincount(after, minlength=5) - len(after) * second) < 4 * deviation + 1)


def test_a_prompt_is_continued_unaltered_and_a_seed_repeats():
    prior, prompt = small_prior(), np.array([1, 2, 3, 3])
    one = prior.sample(30, ["ann", None], prompt=prompt, seed=4)
    assert one.shape == (2, 34)
    np.testing.assert_array_equal(one[:, :4], [prompt, prompt])
    np.testing.assert_array_equal(one, prior.sample(30, ["ann", None], prompt=prompt, seed=4))
    np.testing.assert_array_equal(one[:1], prior.sample(30, ["ann"], prompt=prompt, seed=4))
    assert np.any(one != prior.sample(30, ["ann", None], prompt=prompt, seed=5))
    cold = prior.sample(30, ["ann"], prompt=prompt, temperature=1e-6)[0]
    log_probs = prior.log_probs(cold, "ann")
    np.testing.assert_array_equal(cold[4:], log_probs.argmax(axis=1)[4:])


def test_the_probabilities_of_each_place_sum_to_one_over_its_codebook(rng):
    """The network's outputs are over all Q K tokens; those of other codebooks do not count."""
    prior = small_prior(size=5, num_codebooks=3)
    codes = rng.integers(0, 5, (6, 3))
    log_probs = prior.log_probs(codes, "ann")
    assert log_probs.shape == (6, 3, 5)
    np.testing.assert_allclose(np.exp(log_probs).sum(axis=-1), 1.0, atol=1e-5)
    tokens = (codes + 5 * np.arange(3)).ravel()
    previous, recurrence, state = [15, *tokens[:-1]], Recurrence(prior, np.array([0])), None
    recurrence.codebook_after = np.zeros(16, int)
    recurrence.sizes = (1, 15)  # the unmasked outputs
    for place, token in enumerate(previous):
        logits, state = recurrence.step(np.array([token]), state)
        own = logits[0, 5 * (place % 3) : 5 * (place % 3) + 5]
        np.testing.assert_allclose(log_softmax(own), log_probs[place // 3, place % 3], atol=1e-5)
    bits = prior.surprise(codes, "ann")
    taken = np.take_along_axis(log_probs, codes[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(bits, -taken / np.log(2.0), rtol=1e-6)


def test_a_code_depends_on_the_codebooks_before_it(rng):
    prior = small_prior(size=5, num_codebooks=2)
    codes = rng.integers(0, 5, (8, 2))
    log_probs, changed = prior.log_probs(codes), codes.copy()
    changed[3, 0] = (codes[3, 0] + 2) % 5
    after = prior.log_probs(changed)
    np.testing.assert_array_equal(after[:3], log_probs[:3])
    np.testing.assert_array_equal(after[3, 0], log_probs[3, 0])
    assert np.abs(after[3, 1] - log_probs[3, 1]).max() > 1e-3
    piece = prior.log_probs(codes[2:4], from_start=False)
    order, share = prior.successors(codes[2:4], None)
    np.testing.assert_allclose(np.exp(piece[1, 1])[order], share, atol=1e-5)  # the next frame


def test_sampled_frames_continue_a_prompt_in_every_codebook():
    prior, prompt = small_prior(size=5, num_codebooks=3), np.array([[0, 4, 2], [1, 1, 3]])
    codes = prior.sample(20, ["ann", None], prompt=prompt, seed=4)
    assert codes.shape == (2, 22, 3)
    assert (codes.min(), codes.max()) == (0, 4)
    np.testing.assert_array_equal(codes[:, :2], [prompt, prompt])
    np.testing.assert_array_equal(codes, prior.sample(20, ["ann", None], prompt=prompt, seed=4))
    cold = prior.sample(20, ["ann"], prompt=prompt, temperature=1e-6)[0]
    np.testing.assert_array_equal(cold[2:], prior.log_probs(cold, "ann").argmax(axis=-1)[2:])
    again = CodePrior.from_config(prior.get_config())
    assert (again.num_codebooks, again.start) == (3, 15)


def test_frames_of_another_number_of_codebooks_are_refused():
    prior = small_prior(size=5, num_codebooks=3)
    for codes in (np.zeros(3, int), np.zeros((4, 2), int), np.zeros((2, 4, 3), int)):
        with pytest.raises(InputError, match=r"expected whole numbers \(N, 3\)"):
            prior.surprise(codes)
    assert prior.surprise(np.zeros((1, 4, 3), int)).shape == (4, 3)


def test_wrong_input_of_a_prior_is_named():
    prior = small_prior()
    for call, message in {
        lambda: prior.surprise(np.array([7])): "expected 0..6",
        lambda: prior.surprise(np.array([0.5])): "expected whole numbers",
        lambda: prior.surprise(np.zeros(0, int)): "no codes",
        lambda: prior.sample(0): "from 1 on",
        lambda: prior.sample(3, []): "no speakers",
        lambda: prior.sample(3, temperature=0.0): "more than 0",
        lambda: prior.surprise(np.array([0]), 2): "numbers are 0..1",
        lambda: CodePrior(7, 4, dropout=1.0): "below 1",
        lambda: CodePrior(7, 4, units=0): "from 1 on",
    }.items():
        with pytest.raises(InputError, match=message):
            call()


def test_a_config_round_trip_keeps_other_values_than_the_defaults():
    prior = small_prior(dropout=0.1, speaker_dropout=0.4)
    again = CodePrior.from_config(prior.get_config())
    assert again.get_config() == prior.get_config()
    assert json.loads(json.dumps(prior.get_config())) == prior.get_config()
