"""Measures on cases whose answer is known."""

import numpy as np
import pytest

from tests.conftest import tones
from vqwn_kit.data.audio import mu_law_decode, mu_law_encode
from vqwn_kit.evaluation import external as hearing
from vqwn_kit.evaluation.metrics import measures as ev


def test_uniform_codes_and_one_code():
    uniform, one = np.full(512, 7), np.eye(512)[3] * 40
    assert ev.perplexity(uniform) == pytest.approx(512)
    assert ev.entropy(uniform) == pytest.approx(9.0)
    assert ev.perplexity(one) == 1.0
    assert ev.entropy(one) == 0.0


def test_a_mean_has_students_interval(rng):
    values = rng.normal(5.0, 2.0, 12)
    mean = ev.ratio(values)
    half = 2.200985 * values.std(ddof=1) / np.sqrt(12)  # t(0.975, 11)
    assert mean.n == 12
    np.testing.assert_allclose(mean[:3], [values.mean(), mean.value - half, mean.value + half])
    assert ev.ratio([3.0]) == (3.0, None, None, 1)


def test_intervals_hold_the_truth_19_times_of_20(rng):
    inside = {"ratio": 0, "proportion": 0}
    for _ in range(2000):
        phones = rng.integers(10, 40, 15)
        found = ev.ratio(rng.binomial(phones, 0.3), phones)
        inside["ratio"] += found.low <= 0.3 <= found.high
        found = ev.proportion(rng.random(30) < 0.8)
        inside["proportion"] += found.low <= 0.8 <= found.high
    assert all(0.92 < count / 2000 < 0.98 for count in inside.values()), inside


def test_a_ratio_weighs_utterances_by_their_length():
    assert ev.ratio([1, 9], [10, 30]).value == pytest.approx(0.25)
    constant = ev.ratio([1, 2, 3], [10, 20, 30])
    assert constant.low == pytest.approx(0.1)
    assert constant.high == pytest.approx(0.1)
    with pytest.raises(ev.NotMeasured, match="nothing"):
        ev.ratio([], [])


def test_all_hits_of_few_are_no_certainty():
    found = ev.proportion([True] * 6)
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.6097, abs=1e-3)  # Wilson's, 6 of 6


def test_the_jackknife_of_a_mean_is_its_t_interval(rng):
    """Of counts of two codes with equal totals, the share is a mean, whose interval is known."""
    ones = rng.integers(0, 20, 25)
    counts = np.stack([ones, 20 - ones], axis=1)
    share = ev.jackknife(counts, lambda total: total[0] / total.sum())
    np.testing.assert_allclose(share[:3], ev.ratio(ones / 20)[:3], rtol=1e-9)


def test_phones_of_codes_with_a_perfect_map_a_shuffled_one_and_one_code(rng):
    phones, own = rng.integers(0, 8, 20_000), rng.permutation(32)
    perfect = own[phones + 8 * rng.integers(0, 4, len(phones))]  # four codes a phone
    seen, held_out = slice(0, 15_000), slice(15_000, None)

    def accuracy_and_bits(codes):
        table = ev.code_phone_table(codes[seen], phones[seen], 32, 8)
        right = ev.phone_of_code(table)[codes[held_out]] == phones[held_out]
        return right.mean(), ev.phone_information(table, codes[held_out], phones[held_out]).mean()

    accuracy, bits = accuracy_and_bits(perfect)
    assert accuracy == 1.0
    assert bits == pytest.approx(3.0, abs=0.03)  # H(phone) = log2 8
    accuracy, bits = accuracy_and_bits(rng.permutation(perfect))
    assert accuracy == pytest.approx(1 / 8, abs=0.03)
    assert -0.05 < bits < 0.01
    accuracy, bits = accuracy_and_bits(np.zeros_like(perfect))
    assert accuracy == pytest.approx(1 / 8, abs=0.03)
    assert bits == pytest.approx(0.0, abs=1e-3)


def test_half_the_information_where_a_code_tells_one_of_two_bits(rng):
    phones = rng.integers(0, 4, 20_000)
    table = ev.code_phone_table(phones // 2, phones, 2, 4)
    assert ev.phone_information(table, phones // 2, phones).mean() == pytest.approx(1, abs=0.01)


def test_silence_is_left_out_and_unseen_codes_take_the_commonest_phone():
    codes, phones = np.array([0, 0, 1, 1, 1, 2]), np.array([1, 1, 0, 0, 0, -1])
    table = ev.code_phone_table(codes, phones, 4, 2)
    assert table.tolist() == [[0, 2], [3, 0], [0, 0], [0, 0]]
    assert ev.phone_of_code(table).tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("kitten", "sitting", 3), ("abc", "abc", 0), ("", "abc", 3), ("abc", "", 3), ("ab", "ba", 2)],
)
def test_edit_distance(one, other, distance):
    assert ev.edit_distance(one, other) == distance


def test_classes_apart_are_found_and_mixed_ones_are_not(rng):
    labels = ["F"] * 20 + ["M"] * 20
    apart = rng.normal(size=(40, 5)) + np.repeat([[0], [9]], 20, axis=0)
    assert ev.nearest_class_hits(apart, labels).all()
    assert ev.nearest_class_hits(rng.normal(size=(40, 5)), labels).mean() < 0.75
    with pytest.raises(ev.NotMeasured, match="two of each"):
        ev.nearest_class_hits(apart[:21], labels[:21])


def test_leaving_one_out_does_not_let_a_vector_vote_for_itself():
    """With itself in its class's mean, each corner of this rectangle would be right."""
    vectors = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 6.0], [10.0, 6.0]])
    assert not ev.nearest_class_hits(vectors, ["F", "F", "M", "M"]).any()


def test_a_probe_finds_what_is_linear_and_not_what_is_noise(rng):
    labels = rng.integers(0, 3, 600)
    linear = rng.normal(size=(600, 6)) + 4 * np.eye(3, 6)[labels]
    for features, expected in ((linear, (0.93, 1.0)), (rng.normal(size=(600, 6)), (0.2, 0.47))):
        probe = ev.linear_probe(features[:400], labels[:400])
        right = np.mean(probe.predict(features[400:]) == labels[400:])
        assert expected[0] <= right <= expected[1]
    with pytest.raises(ev.NotMeasured, match="one speaker"):
        ev.linear_probe(linear, np.zeros(600))


def test_pooling_takes_means_of_equal_windows():
    features = np.arange(10.0)[:, None]
    assert ev.pool(features, 5).ravel().tolist() == [2.0, 7.0]
    assert ev.pool(features, 50).ravel().tolist() == [4.5]


def test_a_ripple_in_the_spectrum_is_as_far_as_its_root_mean_square():
    bands = (np.arange(80) + 0.5) / 80
    ripple = 6.0 * np.cos(np.pi * 3 * bands)[:, None]  # dB; rms 6 / sqrt 2
    flat = np.full((80, 1), -30.0)
    distance = np.linalg.norm(ev.mel_cepstra(flat + ripple) - ev.mel_cepstra(flat))
    assert distance == pytest.approx(6 / np.sqrt(2))
    louder = np.linalg.norm(ev.mel_cepstra(flat + 12.0) - ev.mel_cepstra(flat))
    assert louder == pytest.approx(0.0, abs=1e-9)


def test_a_clip_is_near_itself_and_far_from_noise(rng):
    clip = tones(0.8, 140.0)
    assert ev.mel_cepstral_distance(clip, clip) == 0.0
    assert ev.mel_cepstral_distance(clip, 0.25 * clip) < 0.05
    companded = ev.mel_cepstral_distance(clip, mu_law_decode(mu_law_encode(clip)))
    noise = ev.mel_cepstral_distance(clip, rng.normal(0, 0.1, len(clip)))
    assert companded < 0.5 * noise


def test_warping_finds_the_same_sounds_at_another_pace():
    parts = [tones(0.3, pitch) for pitch in (120.0, 300.0, 700.0)]
    slow = [tones(0.5, pitch) for pitch in (120.0, 300.0, 700.0)]
    quick, late = np.concatenate(parts), np.concatenate(slow)
    warped = ev.mel_cepstral_distance(quick, late, align=True)
    assert warped < 0.4 * ev.mel_cepstral_distance(quick, late)


def test_pitch_errors_in_semitones_and_in_voicing():
    track = np.array([100.0, 200.0, np.nan, 150.0])
    assert hearing.pitch_errors(track, track) == (0.0, 0.0)
    distance, wrong = hearing.pitch_errors(track, np.array([200.0, 100.0, 90.0, np.nan]))
    assert (distance, wrong) == (12.0, 0.5)
    assert np.isnan(hearing.pitch_errors(track, np.full(4, np.nan))[0])


def test_pitch_of_a_tone():
    pytest.importorskip("swift_f0")
    found = hearing.pitch(tones(1.0, 150.0))
    assert np.nanmedian(found) == pytest.approx(150.0, rel=0.02)
    assert np.isnan(hearing.pitch(np.zeros(16_000))).all()


def test_stoi_of_a_clip_against_itself_and_noise(rng):
    pytest.importorskip("pystoi")
    clip = tones(1.5, 150.0) * rng.uniform(0.2, 1.0, 24_000)
    assert hearing.stoi(clip, clip) == pytest.approx(1.0)
    assert hearing.stoi(clip, rng.normal(0, 0.1, len(clip))) < 0.5
    assert np.isnan(hearing.stoi(clip[:2000], clip[:2000]))


def test_a_missing_package_is_named_with_what_to_do():
    with pytest.raises(ev.NotMeasured, match=r"no_such_package isn't installed.*\[eval\]"):
        hearing.need("no_such_package")


def test_punctuation_and_case_are_left_out_of_texts():
    assert hearing.words_of("“Don’t,” she said -- TWICE.") == ["don't", "she", "said", "twice"]
    assert hearing.words_of("你好") == []
