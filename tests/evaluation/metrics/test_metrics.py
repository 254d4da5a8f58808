"""Measures of arrays whose answer is known."""

import numpy as np
import pytest

from tests.conftest import tones
from vqwn_kit.data.audio import mu_law_decode, mu_law_encode
from vqwn_kit.evaluation import metrics
from vqwn_kit.evaluation.metrics import NotMeasured


def test_uniform_codes_and_one_code():
    uniform, single = np.full(512, 7), np.eye(512)[3] * 40
    assert metrics.perplexity(uniform) == pytest.approx(512)
    assert metrics.entropy(uniform) == pytest.approx(9.0)
    assert metrics.perplexity(single) == 1.0
    assert metrics.entropy(single) == 0.0


def test_a_mean_has_students_interval(rng):
    values = rng.normal(5.0, 2.0, 12)
    mean = metrics.ratio(values)
    half = 2.200985 * values.std(ddof=1) / np.sqrt(12)  # t(0.975, 11)
    assert mean.n == 12
    np.testing.assert_allclose(mean[:3], [values.mean(), mean.value - half, mean.value + half])
    assert metrics.ratio([3.0]) == (3.0, None, None, 1)


def test_intervals_contain_the_true_value_19_times_of_20(rng):
    inside = {"ratio": 0, "proportion": 0}
    for _ in range(2000):
        phones = rng.integers(10, 40, 15)
        estimate = metrics.ratio(rng.binomial(phones, 0.3), phones)
        inside["ratio"] += estimate.low <= 0.3 <= estimate.high
        estimate = metrics.proportion(rng.random(30) < 0.8)
        inside["proportion"] += estimate.low <= 0.8 <= estimate.high
    assert all(0.92 < count / 2000 < 0.98 for count in inside.values()), inside


def test_a_ratio_weighs_utterances_by_their_length():
    assert metrics.ratio([1, 9], [10, 30]).value == pytest.approx(0.25)
    constant = metrics.ratio([1, 2, 3], [10, 20, 30])
    assert constant[1:3] == pytest.approx((0.1, 0.1))
    with pytest.raises(NotMeasured, match="nothing"):
        metrics.ratio([], [])


def test_wilsons_interval_of_all_hits_does_not_shrink_to_a_point():
    estimate = metrics.proportion([True] * 6)
    assert (estimate.value, estimate.high) == (1.0, 1.0)
    assert estimate.low == pytest.approx(0.6097, abs=1e-3)


def test_the_jackknife_of_a_mean_is_its_t_interval(rng):
    """Of counts of two codes with equal totals, the share is a mean, whose interval is known."""
    first = rng.integers(0, 20, 25)
    counts = np.stack([first, 20 - first], axis=1)
    share = metrics.jackknife(counts, lambda total: total[0] / total.sum())
    np.testing.assert_allclose(share[:3], metrics.ratio(first / 20)[:3], rtol=1e-9)


def test_phones_of_codes_with_a_perfect_map_a_shuffled_one_and_one_code(rng):
    phones, order = rng.integers(0, 8, 20_000), rng.permutation(32)
    perfect = order[phones + 8 * rng.integers(0, 4, len(phones))]  # four codes per phone
    train, held_out = slice(0, 15_000), slice(15_000, None)

    def accuracy_and_bits(codes):
        table = metrics.code_phone_table(codes[train], phones[train], 32, 8)
        right = metrics.phone_of_code(table)[codes[held_out]] == phones[held_out]
        bits = metrics.phone_information(table, codes[held_out], phones[held_out])
        return right.mean(), bits.mean()

    accuracy, bits = accuracy_and_bits(perfect)
    assert accuracy == 1.0
    assert bits == pytest.approx(3.0, abs=0.03)  # H(phone) = log2 8
    accuracy, bits = accuracy_and_bits(rng.permutation(perfect))
    assert accuracy == pytest.approx(1 / 8, abs=0.03)
    assert -0.05 < bits < 0.01
    accuracy, bits = accuracy_and_bits(np.zeros_like(perfect))
    assert accuracy == pytest.approx(1 / 8, abs=0.03)
    assert bits == pytest.approx(0.0, abs=1e-3)


def test_half_the_information_if_a_code_determines_one_of_two_bits(rng):
    phones = rng.integers(0, 4, 20_000)
    table = metrics.code_phone_table(phones // 2, phones, 2, 4)
    bits = metrics.phone_information(table, phones // 2, phones)
    assert bits.mean() == pytest.approx(1, abs=0.01)


def test_silence_is_left_out_and_unseen_codes_take_the_most_frequent_phone():
    codes, phones = np.array([0, 0, 1, 1, 1, 2]), np.array([1, 1, 0, 0, 0, -1])
    table = metrics.code_phone_table(codes, phones, 4, 2)
    assert table.tolist() == [[0, 2], [3, 0], [0, 0], [0, 0]]
    assert metrics.phone_of_code(table).tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [("kitten", "sitting", 3), ("abc", "abc", 0), ("", "abc", 3), ("abc", "", 3), ("ab", "ba", 2)],
)
def test_edit_distance(first, second, distance):
    assert metrics.edit_distance(first, second) == distance


def test_classes_apart_are_separated_and_mixed_ones_are_not(rng):
    labels = ["F"] * 20 + ["M"] * 20
    apart = rng.normal(size=(40, 5)) + np.repeat([[0], [9]], 20, axis=0)
    assert metrics.nearest_class_hits(apart, labels).all()
    assert metrics.nearest_class_hits(rng.normal(size=(40, 5)), labels).mean() < 0.75
    with pytest.raises(NotMeasured, match="two members each; given 20 of F, 1 of M"):
        metrics.nearest_class_hits(apart[:21], labels[:21])


def test_leaving_one_out_excludes_a_vector_from_its_own_class_mean():
    """With itself in its class's mean, each corner of this rectangle would be right."""
    vectors = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 6.0], [10.0, 6.0]])
    assert not metrics.nearest_class_hits(vectors, ["F", "F", "M", "M"]).any()


def test_a_probe_classifies_linear_features_and_not_noise(rng):
    labels = rng.integers(0, 3, 600)
    linear = rng.normal(size=(600, 6)) + 4 * np.eye(3, 6)[labels]
    for features, expected in ((linear, (0.93, 1.0)), (rng.normal(size=(600, 6)), (0.2, 0.47))):
        probe = metrics.linear_probe(features[:400], labels[:400])
        right = np.mean(probe.predict(features[400:]) == labels[400:])
        assert expected[0] <= right <= expected[1]
    with pytest.raises(NotMeasured, match="only one speaker"):
        metrics.linear_probe(linear, np.zeros(600))


def test_pooling_takes_means_of_equal_windows():
    features = np.arange(10.0)[:, None]
    assert metrics.pool(features, 5).ravel().tolist() == [2.0, 7.0]
    assert metrics.pool(features, 50).ravel().tolist() == [4.5]


def test_a_ripple_in_the_spectrum_is_as_far_as_its_root_mean_square():
    bands = (np.arange(80) + 0.5) / 80
    ripple = 6.0 * np.cos(np.pi * 3 * bands)[:, None]  # dB; rms 6 / sqrt 2
    flat = np.full((80, 1), -30.0)
    distance = np.linalg.norm(metrics.mel_cepstra(flat + ripple) - metrics.mel_cepstra(flat))
    assert distance == pytest.approx(6 / np.sqrt(2))
    louder = np.linalg.norm(metrics.mel_cepstra(flat + 12.0) - metrics.mel_cepstra(flat))
    assert louder == pytest.approx(0.0, abs=1e-9)


def test_deeper_valleys_have_more_contrast_at_any_loudness(rng):
    """An echo of 8 samples makes valleys every 2 kHz, the deeper the louder it is."""
    noise = rng.normal(0.0, 0.1, 16_000)
    echoes = [noise[8:] + level * noise[:-8] for level in (0.0, 0.4, 0.8)]
    flat, shallow, deep = map(metrics.spectral_contrast, echoes)
    assert flat < shallow - 1.0 < deep - 2.0
    assert metrics.spectral_contrast(0.1 * echoes[1]) == pytest.approx(shallow, abs=1e-3)


def test_a_clip_is_near_itself_and_far_from_noise(rng):
    clip = tones(0.8, 140.0)
    assert metrics.mel_cepstral_distance(clip, clip) == 0.0
    assert metrics.mel_cepstral_distance(clip, 0.25 * clip) < 0.05
    companded = metrics.mel_cepstral_distance(clip, mu_law_decode(mu_law_encode(clip)))
    noise = metrics.mel_cepstral_distance(clip, rng.normal(0, 0.1, len(clip)))
    assert companded < 0.5 * noise


def test_warping_aligns_the_same_sounds_at_another_tempo():
    quick, slow = (
        np.concatenate([tones(seconds, pitch) for pitch in (120.0, 300.0, 700.0)])
        for seconds in (0.3, 0.5)
    )
    warped = metrics.mel_cepstral_distance(quick, slow, align=True)
    assert warped < 0.4 * metrics.mel_cepstral_distance(quick, slow)


def test_tables_are_aligned_and_escaped():
    head, rows = ("name", "x"), [("a|b", "1.50 dB"), ("<c>", "10 dB")]
    assert metrics.markdown_table(head, rows, "lr").splitlines() == [
        "| name |       x |",
        "| ---- | ------: |",
        "| a/b  | 1.50 dB |",
        "| <c>  |   10 dB |",
    ]
    assert metrics.align_columns([], "lr") == []
    assert metrics.align_columns([["1", "a"], ["10", "b c"]], "rl") == [[" 1", "a"], ["10", "b c"]]
    shown = metrics.html_table(("name", "x", ""), [("<s>", [("<c>", "1.50 dB", "a b")])], "lrl")
    left = 'style="text-align:left"'
    assert f'<tr><th colspan="3" {left}>&lt;s&gt;</th></tr><tr><td {left}>&lt;c&gt;</td>' in shown
    assert f"<td>1.50\N{NO-BREAK SPACE}dB</td><td {left}>a b</td>" in shown


@pytest.mark.parametrize("sizes", [(1024, 256, 80), (512, 128, 64)])
def test_mel_power_equals_librosa(rng, sizes):
    import librosa

    window, hop, bands = sizes
    waveform = rng.normal(0.0, 0.1, 5000).astype(np.float32)
    power = metrics.mel_power(waveform, 16_000, *sizes)
    mel_of = {"n_fft": window, "hop_length": hop, "n_mels": bands}
    expected = librosa.feature.melspectrogram(y=waveform, sr=16_000, **mel_of)
    np.testing.assert_allclose(power, expected, rtol=1e-4, atol=1e-8)
