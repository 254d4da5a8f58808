"""Validation: the mean over samples of whole utterances, and no side effect on the model."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from vqwn_kit import Segments, build_model, example_corpus, prepare
from vqwn_kit.data.corpus import sentence_of
from vqwn_kit.data.store import Store
from vqwn_kit.models.codec import mu_law_encode
from vqwn_kit.presets.preset import load_preset
from vqwn_kit.training.optimizer import make_optimizer
from vqwn_kit.training.validate import validate


@pytest.mark.traced
def test_bits_are_the_mean_over_the_samples_of_whole_utterances(run, store):
    result = validate(run.model, store, "train", utterances=100)
    nats, squares, codes = [], [], []
    for number in store.numbers("train"):
        wave = store.waveform(number)
        wave = wave[None, : len(wave) // 64 * 64, None]
        logits = run.model((wave, store.speaker_ids[[number]]))
        levels = mu_law_encode(wave[..., 0])
        loss = keras.losses.sparse_categorical_crossentropy(levels, logits, from_logits=True)
        nats.append(np.array(loss)[0])
        quantized = run.model.vector_quantize(wave)
        squares.append(np.mean(np.square(quantized.z_e), axis=-1)[0])
        codes.append(np.array(quantized.codes)[0])
    nats, squares = np.concatenate(nats).mean(), np.concatenate(squares).mean()
    assert result["bits"] == pytest.approx(nats / np.log(2), rel=1e-4)
    assert result["z_e_rms"] == pytest.approx(np.sqrt(squares), rel=1e-4)
    share = np.bincount(np.concatenate(codes)) / result["frames"]
    share = share[share > 0]
    assert (result["codes_used"], result["codes_dead"]) == (len(share), 32 - len(share))
    assert result["perplexity"] == pytest.approx(np.exp(-np.sum(share * np.log(share))), rel=1e-4)
    assert result["frames"] == len(np.concatenate(codes))


def test_training_makes_held_out_speech_more_likely(run, store):
    untrained = build_model(run.preset, list(run.speakers))
    assert validate(run.model, store)["bits"] < validate(untrained, store)["bits"] - 0.3


def test_validation_leaves_metrics_code_usage_and_weights_as_they_were(run, store):
    model = build_model(run.preset, list(run.speakers))
    model.compile(make_optimizer(run.preset.training))
    model.train_step(tuple(map(tf.constant, Segments(store, 1024, 4).batch(0))))
    variables = [*model.variables, *model.metrics_variables, *model.recent.variables]
    variables += model.optimizer.variables
    before = [variable.numpy() for variable in variables]
    assert model.code_usage.counts.numpy().sum() == 4 * 16
    assert float(model.trackers["loss"].count) == 1
    first = validate(model, store)
    for variable, value in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, variable.path)
    assert validate(model, store) == first


def test_ten_utterances_are_ten_sentences_by_all_speakers(monkeypatch):
    bundled, measured = prepare(example_corpus(), progress=False), []
    monkeypatch.setattr(Store, "waveform", lambda _, n: measured.append(n) or np.zeros(64, "f4"))
    validate(build_model(load_preset("tiny"), list(bundled.corpus.speakers)), bundled)
    utterances = [bundled.corpus.utterances[number] for number in measured]
    assert len({sentence_of(utterance) for utterance in utterances}) == len(utterances) == 10
    assert {utterance.speaker for utterance in utterances} == set(bundled.corpus.speakers)
