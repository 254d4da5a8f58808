"""Every quantizer through training, a checkpoint and back."""

import numpy as np
import pytest
import tensorflow as tf

from tests.training.test_train import copy_at
from vqwn_kit import build_model, load_preset, load_run, train

BOTTLENECKS = {
    "rotation": {"gradient": "rotation", "code_dim": 4, "initializer": "data"},
    "diveq": {"gradient": "diveq"},
    "simvq": {"class_name": "simvq"},
    "cvq": {"class_name": "cvq"},
    "fsq": {"class_name": "fsq", "levels": [4, 4, 2]},
    "lfq": {"class_name": "lfq", "num_bits": 5},
    "bsq": {"class_name": "bsq", "num_bits": 5},
    "residual": {"class_name": "residual", "num_codebooks": 3, "quantizer": {"class_name": "ema"}},
    "product": {"class_name": "product", "num_codebooks": 2, "quantizer": {"class_name": "simvq"}},
    "residual fsq": {"class_name": "residual", "quantizer": {"class_name": "fsq", "levels": [3]}},
}


@pytest.mark.parametrize("name", BOTTLENECKS)
def test_a_run_of_any_quantizer_learns_resumes_and_is_loaded(store, tmp_path, name):
    settings = {"decoder": "mel", "progress": False, "reset_dead_every": 2, "seed": 3}
    settings |= {"bottleneck": BOTTLENECKS[name], "log_every": 1}
    settings |= {"steps": 5, "after_step": copy_at(3, tmp_path / "copy")}
    whole = train(store, "tiny", save=tmp_path / "whole" / "w", **settings)
    resumed = train(store, restore=tmp_path / "copy", progress=False)
    waveform = store.waveform(0)
    codes = whole.model.encode(waveform)
    bottleneck = whole.model.bottleneck
    several = bottleneck.num_codebooks > 1
    assert codes.shape[2:] == ((bottleneck.num_codebooks,) if several else ())
    assert codes.min() >= 0
    assert codes.max() < bottleneck.num_embeddings
    for run in (load_run(tmp_path / "whole"), resumed):
        assert np.array_equal(run.model.encode(waveform), codes)
    z_q = whole.model.vector_quantize(waveform).z_q
    assert np.allclose(bottleneck.embed(codes), z_q, atol=1e-5)
    losses = [record["mel/mse"] for record in whole.history]
    assert losses[-1] < losses[0]
    record = whole.history[-1]
    assert set(bottleneck.loss_names) <= set(record)
    size = bottleneck.num_codebooks * bottleneck.num_embeddings
    assert record["vq/codes_used"] + record["vq/codes_dead"] == size


@pytest.mark.traced
@pytest.mark.parametrize("name", BOTTLENECKS)
def test_any_quantizer_gives_the_same_traced(name, rng):
    preset = load_preset("tiny").change(bottleneck=BOTTLENECKS[name], decoder="mel")
    bottleneck = build_model(preset, ["ann"]).bottleneck
    z_e = tf.constant(rng.normal(size=(2, 5, bottleneck.embedding_dim)), "float32")

    def quantized(z_e, training):
        with tf.GradientTape() as tape:
            tape.watch(z_e)
            output = bottleneck(z_e, training=training)
            loss = tf.reduce_sum(output.z_q**2) + sum(output.losses.values())
        return output.codes, output.z_q, tape.gradient(loss, z_e)

    eager, traced = (call(z_e, False) for call in (quantized, tf.function(quantized)))
    for one, two in zip(eager, traced, strict=True):
        assert np.allclose(one, two, atol=1e-5)
    *_, gradient = tf.function(quantized)(z_e, True)
    assert np.isfinite(gradient).all()
