"""Likelihood, codebook and probes of a run."""

import numpy as np
import pytest

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


def test_the_same_seed_gives_the_same_card(full, parallel):
    run, _ = full

    def measure(seed):
        card, context = ScoreCard({}), evaluation_context(run, parallel, 2, seed, progress=False)
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
