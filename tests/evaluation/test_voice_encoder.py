"""The independent speaker embedding."""

import keras
import numpy as np
import pytest

from vqwn_kit import example_corpus
from vqwn_kit.evaluation import voice_encoder
from vqwn_kit.evaluation.metrics import NotMeasured
from vqwn_kit.evaluation.voice_encoder import _lstm, voice_embedding


def test_a_layer_equals_keras(rng):
    inputs = rng.normal(size=(3, 7, 5)).astype("float32")
    layer = keras.layers.LSTM(4, return_sequences=True)
    expected = layer(inputs)
    kernel, recurrent, bias = (weight.numpy() for weight in layer.weights)
    given = _lstm(inputs, kernel.T, recurrent.T, 0.25 * bias, 0.75 * bias)
    np.testing.assert_allclose(given, expected, atol=1e-6)


def test_recordings_are_nearest_to_their_own_speaker_whatever_their_level():
    corpus = example_corpus()
    voices = {name: voice_embedding(corpus[f"{name}_001"].load()) for name in corpus.speakers}
    for name in corpus.speakers:
        vector = voice_embedding(0.1 * corpus[f"{name}_036"].load())
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-6)
        assert max(voices, key=lambda voice: voices[voice] @ vector) == name


def test_a_short_sound_has_an_embedding_too():
    assert np.isfinite(voice_embedding(np.zeros(100))).all()


def test_missing_weights_are_named(monkeypatch, tmp_path):
    voice_encoder._weights.cache_clear()
    monkeypatch.setattr(voice_encoder, "FILE", tmp_path / "weights.npz")
    with pytest.raises(NotMeasured, match=r"weights.npz is missing"):
        voice_embedding(np.zeros(100))
    voice_encoder._weights.cache_clear()
