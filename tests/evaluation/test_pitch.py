"""The score card and the diagnosis of a run that is conditioned on pitch."""

import numpy as np
import pytest

import vqwn_kit as vq
from tests.evaluation.conftest import untrained
from vqwn_kit.evaluation import audio_metrics
from vqwn_kit.evaluation.conditioning_rules import mel_errors
from vqwn_kit.evaluation.context import evaluation_context
from vqwn_kit.evaluation.links import LINKS, Z_Q, link_bands, link_table
from vqwn_kit.models.pitch import pitch_to_levels
from vqwn_kit.presets.preset import load_preset
from vqwn_kit.sampling.generate import convert_voice
from vqwn_kit.sampling.pitch import utterance_pitch
from vqwn_kit.training.validate import validate

pytestmark = pytest.mark.usefixtures("estimator")
ONLY = ("likelihood", "codebook", "pitch", "naturalness")


@pytest.fixture(scope="module")
def card(pitch_run, store):
    settings = {"sampled": 1, "targets": 1, "only": ONLY, "progress": False}
    return vq.score_card(pitch_run, store, **settings)


def test_the_likelihood_is_that_of_validation_and_depends_on_pitch(card, pitch_run, store):
    bits = validate(pitch_run.model, store)["bits"]
    assert card["bits per sample"].value == pytest.approx(bits, rel=1e-5)
    assert abs(card["extra bits, pitch shuffled"].value) > 1e-4


def test_the_bits_of_the_pitch_stand_beside_those_of_the_codes(card, pitch_run, store):
    nominal, coded = (card[f"pitch rate, {kind}"] for kind in ("nominal", "by a bigram"))
    assert nominal.value == pytest.approx(250 * np.log2(50))
    assert nominal.unit == coded.unit == card["bit rate, nominal"].unit == "bits/s"
    (number,) = store.numbers("held_out")
    levels = np.array(pitch_to_levels(utterance_pitch(pitch_run.model, store, number), 50))[0]
    kept = np.mean(levels[1:] == levels[:-1])
    assert 0.5 < kept < 1  # neighbouring frames are mostly alike
    assert 0 < coded.value < 0.6 * nominal.value


def test_sounds_are_made_with_the_pitch_of_training(card, pitch_run, store):
    (number,) = store.numbers("held_out")
    model, name = pitch_run.model, store.corpus.utterances[number].speaker
    pitch = utterance_pitch(model, store, number)
    expected = convert_voice(model, store.waveform(number), [name], pitch=pitch)[0]
    (sound,) = [w for file, w in card.sounds.items() if "reconstruction" in file]
    np.testing.assert_array_equal(sound, expected)


def test_a_run_without_pitch_has_no_rows_of_it(run, store):
    plain = vq.score_card(run, store, only=("likelihood", "pitch"), progress=False)
    assert not [row.name for row in plain.rows if "pitch" in row.name]
    assert not [name for name in plain.skipped if "pitch" in name]


def test_the_mel_error_of_a_first_stage_depends_on_pitch(store, tmp_path, pitch_run):
    decoder = {"class_name": "MelDecoder", "config": {"conditioner": {"config": {}}}}
    conditioner = decoder["config"]["conditioner"]["config"]
    conditioner |= {"pitch_levels": 50, "local_channels": 16, "local_layers": 1}
    run = untrained(tmp_path, store, decoder=decoder)
    context = evaluation_context(run, store, progress=False)
    true = mel_errors(context)
    table = run.model.decoder.conditioner.pitches.table
    table.assign(table + 3.0)
    other = mel_errors(context)
    assert list(true) == list(other)
    assert all(abs(true[name] - other[name]) > 1e-3 for name in true)


def test_the_links_of_a_run_take_its_pitch(store, tmp_path, monkeypatch):
    monkeypatch.setattr(audio_metrics, "MEAN_OPINIONS", {})
    changes = {"conditioner": {"pitch_levels": 50}, "codec": {"lpc_order": 8}}
    parts = load_preset("tiny").change(decoder=changes).to_dict()
    run = untrained(tmp_path, store, **parts)
    table = link_table(run, store, sampled=1, progress=False)
    assert table.links == list(LINKS)[1:]  # without texts the recording has no row
    wave, mel = store.waveform(0), run.model.decoder.get_mel_decoder()
    pitch = utterance_pitch(run.model, store, 0)
    inputs = (run.model, mel.spectrum, Z_Q, wave, "ann")
    assert np.abs(link_bands(*inputs, pitch) - link_bands(*inputs, pitch + 3)).max() > 1e-3
