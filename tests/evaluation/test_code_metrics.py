"""Likelihood, codebook and probes of a run."""

import numpy as np
import pytest

from tests.conftest import several_codebooks
from tests.evaluation.conftest import untrained
from vqwn_kit.evaluation.audio_metrics import sample_sounds
from vqwn_kit.evaluation.code_metrics import (
    score_codebook,
    score_likelihood,
    score_phones,
    score_speakers,
    verdict,
)
from vqwn_kit.evaluation.context import evaluation_context
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.presets.preset import load_preset


def test_the_same_seed_gives_the_same_card(full, parallel):
    run, _ = full

    def measure(seed):
        card, context = ScoreCard({}), evaluation_context(run, parallel, None, seed, progress=False)
        score_likelihood(card, context)
        sounds = sample_sounds(card, context, 1, 1, 1.0)
        values = {row.name: row.value for row in card.rows if row.name != "generating"}
        return values, np.concatenate([sound.waveform for sound in sounds[1:]])

    (values, waves), (again, same_waves), (by_seed_1, other_waves) = map(measure, (0, 0, 1))
    assert again == values
    np.testing.assert_array_equal(same_waves, waves)
    assert by_seed_1["bits per sample"] == values["bits per sample"]
    assert by_seed_1["extra bits, codes shuffled"] != values["extra bits, codes shuffled"]
    assert not np.array_equal(other_waves, waves)


def test_a_decoder_without_conditioning_is_said_to_ignore_it(parallel, tmp_path):
    run = untrained(tmp_path, parallel)
    for variable in run.model.decoder.variables:
        if "condition" in variable.path:
            variable.assign(np.zeros(variable.shape))
    card = ScoreCard({})
    score_likelihood(card, evaluation_context(run, parallel, 2, progress=False))
    assert [row.value for row in card.rows if row.name.startswith("extra bits")] == [0.0] * 4
    assert card.verdicts[0].startswith("The decoder ignores the codes")
    assert card.verdicts[1].startswith("The decoder ignores the speaker")


@pytest.mark.parametrize(
    ("extra", "words"), [(-0.2, "ignores"), (0.1, "hardly depends on"), (0.3, "decoder depends on")]
)
def test_a_verdict_follows_from_the_extra_bits(extra, words):
    assert f"{words} the codes: {extra:+.3f} bits per sample" in verdict(extra, "codes shuffled")


def test_an_autoencoder_has_no_codes_to_measure(parallel, tmp_path):
    identity = {"class_name": "Identity", "config": {"embedding_dim": 8}}
    run = untrained(tmp_path, parallel, bottleneck=identity)
    context, card = evaluation_context(run, parallel, 2, progress=False), ScoreCard({})
    for score in (score_codebook, score_phones, score_speakers):
        score(card, context)
    for name in ("perplexity", "phone accuracy of codes", "speaker from codes"):
        assert "no codebook" in card.skipped[name]
    assert card["speaker from z_e"].unit == "%"
    assert card.code_phones is None


def test_the_measures_of_several_codebooks_are_sums_and_means_over_them(parallel, tmp_path):
    preset = load_preset("tiny").change(bottleneck=several_codebooks("residual"))
    context = evaluation_context(
        untrained(tmp_path, parallel, bottleneck=preset.bottleneck), parallel, progress=False
    )
    card = ScoreCard({})
    for score in (score_codebook, score_phones, score_speakers):
        score(card, context)
    rows = {row.name: row for row in card.rows}
    codes = np.concatenate([context.codes[n] for n in context.held_out])
    counts = np.stack([np.bincount(column, minlength=8) for column in codes.T])
    share = counts / len(codes)
    entropies = -np.sum(share * np.log2(np.maximum(share, 1e-12)), axis=1)
    assert rows["codes used"].value == np.count_nonzero(counts)
    used = ", ".join(str(np.count_nonzero(row)) for row in counts)
    assert rows["codes used"].note.endswith(f"; by codebook: {used}")
    assert rows["bit rate, nominal"].value == pytest.approx(250 * 3 * 3)
    assert rows["bit rate, by entropy"].value == pytest.approx(250 * entropies.sum())
    assert rows["perplexity"].value == pytest.approx(2 ** entropies.mean())
    assert "first codebook, K = 8" in rows["phone accuracy of codes"].note
    known = [n for n in context.train if n in context.phones]
    table = np.zeros((8, len(card.phones)), int)
    for n in known:
        heard = context.phones[n] >= 0
        np.add.at(table, (context.codes[n][heard, 0], context.phones[n][heard]), 1)
    np.testing.assert_array_equal(card.code_phones, table)
    assert 0 <= rows["speaker from codes"].value <= 100
