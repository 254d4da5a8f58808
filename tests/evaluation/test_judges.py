"""Judges of one claim that disagree: on stated numbers, and on speech that is sharpened."""

import numpy as np
import pytest

import vqwn_kit as vq
from vqwn_kit.evaluation import external, metrics
from vqwn_kit.evaluation.judges import disagreements
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.models.codec import SampleCodec
from vqwn_kit.models.mel import LogMel
from vqwn_kit.models.vqvae import as_batch

SENTENCES = [f"sentence {number}" for number in range(6)]
OPINION, ERROR = "DNSMOS P.808, reconstruction", "phone error, reconstruction"
DISTANCE = "mel-cepstral distance, reconstruction"


def card(**changes) -> ScoreCard:
    """Return a card whose judges see six sentences, each changed by about a number."""
    made, levels = ScoreCard({}), np.linspace(-0.5, 0.5, 6)
    noise = np.array([-2.0, 1.0, 1.0, 2.0, -1.0, -1.0]) / 100.0
    for name, change in changes.items():
        name = {"opinion": OPINION, "error": ERROR, "distance": DISTANCE}.get(name, name)
        made.add_ratio("sound", name, "", SENTENCES, 3.0 + levels + change + noise * (change != 0))
    return made


def test_opposite_judgements_are_flagged():
    before, after = card(opinion=0.0, distance=0.0), card(opinion=0.04, distance=0.3)
    (sentence,) = disagreements(before, after)
    assert sentence == (
        "The judges disagree on the quality of reconstructions against the first card: better by "
        "DNSMOS P.808 (+0.04, +0.024 to +0.056); worse by mel-cepstral distance (+0.3, +0.28 to "
        "+0.32)."
    )
    (back,) = disagreements(after, before)
    assert "better by mel-cepstral distance (-0.3, " in back


def test_a_change_that_only_one_judge_sees_is_flagged():
    """Unpaired, a change of 0.04 would vanish in the differences between sentences."""
    before, after = card(opinion=0.0, error=0.0), card(opinion=0.04, error=0.0)
    (sentence,) = disagreements(before, after)
    assert "better by DNSMOS P.808 (+0.04" in sentence
    assert "no change by phone error (+0, +0 to +0)" in sentence


@pytest.mark.parametrize(
    "changes",
    [
        {"opinion": 0.2, "error": -0.1},  # both better
        {"opinion": -0.2, "error": 0.1},  # both worse
        {"opinion": 0.001, "error": 0.001},  # neither moves beyond its interval
        {"opinion": 0.2},  # one judge alone
    ],
)
def test_judges_that_agree_are_not_flagged(changes):
    assert disagreements(card(**dict.fromkeys(changes, 0.0)), card(**changes)) == []


def test_sounds_of_one_card_are_compared_with_the_recordings_in_levels():
    names = ("DNSMOS P.808, original", "DNSMOS P.808, original in levels", "phone error, original")
    rows = dict(zip(names, (0.5, 0.0, 0.0), strict=True))
    (sentence,) = disagreements(card(**rows, opinion=0.0, error=0.3))
    assert "against the recordings: worse by phone error (+0.3" in sentence
    assert "no change by DNSMOS P.808 (+0," in sentence


def test_speaker_probe_and_embedding_are_judges_of_the_speaker():
    embedding = "conversion nearest the target, independent embedding"
    names = ("speaker-probe accuracy, conversion", embedding)
    before, after = (card(**dict(zip(names, row, strict=True))) for row in ((0, 0), (0.2, -0.2)))
    (sentence,) = disagreements(before, after)
    assert "speaker of conversions" in sentence
    assert "better by the speaker probe" in sentence
    assert "worse by an independent embedding" in sentence


def test_a_loaded_card_can_still_be_compared(tmp_path):
    before, after = card(opinion=0.0, distance=0.0), card(opinion=0.04, distance=0.3)
    after.save(tmp_path)
    assert disagreements(before, ScoreCard.load(tmp_path)) == disagreements(before, after)


def sharpened(waves: list[np.ndarray], postfilter: float) -> list[np.ndarray]:
    """Return waveforms (T,) as a codec of order 32 synthesises them with a postfilter."""
    codec = SampleCodec(lpc_order=32, pre_emphasis=0.85)
    spectrum, made = LogMel(), []
    for wave in waves:
        batch = as_batch(wave, 160)
        filters = codec.filters(spectrum(batch), spectrum)
        levels = np.array(codec.encode(batch, filters))
        made.append(codec.synthesis(filters, 160, postfilter)(levels)[0, : len(wave)])
    return made


@pytest.mark.eval
def test_sharpening_by_the_postfilter_is_flagged():
    """From 0.95 to 0.98 spectra leave those of the recordings, and DNSMOS does not fall."""
    keys = [f"kumo_{number:03d}" for number in (36, 37, 38, 39)]
    waves = [vq.example_corpus()[key].load() for key in keys]
    cards = []
    for postfilter in (0.95, 0.98):
        sounds = sharpened(waves, postfilter)
        pairs = list(zip(waves, sounds, strict=True))
        measured = {
            OPINION: list(map(external.dnsmos, sounds)),
            DISTANCE: [metrics.mel_cepstral_distance(*pair) for pair in pairs],
            "spectral contrast error, reconstruction": [
                abs(np.subtract(*map(metrics.spectral_contrast, pair))) for pair in pairs
            ],
        }
        cards.append(ScoreCard({}))
        for name, values in measured.items():
            cards[-1].add_ratio("sound", name, "", keys, values)
    (sentence,) = disagreements(*cards)
    better_or_same, worse = sentence.split("worse by ")
    assert "DNSMOS P.808" not in worse.split(";")[0]
    assert "spectral contrast error (+" in worse
    assert "mel-cepstral distance (+" in worse
