"""Graphs of many models, one after the other, as a comparison measures them."""

import logging

import numpy as np
import pytest

from vqwn_kit import build_model, load_preset
from vqwn_kit.models.tensorflow import tf


@pytest.mark.traced
def test_models_that_are_each_measured_once_bring_no_warning_of_retracing(caplog, monkeypatch):
    waveform, speaker = np.zeros((1, 128, 1), np.float32), np.zeros(1, np.int32)
    monkeypatch.setattr(tf.get_logger(), "propagate", True)
    with caplog.at_level(logging.WARNING):
        for _ in range(7):
            model = build_model(load_preset("tiny").change(decoder="mel"), ["ann"])
            model.build()
            model.measure(waveform, speaker)
    assert "retracing" not in caplog.text
