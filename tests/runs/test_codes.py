"""Codes of a run: encoded once, shifted encodings, and which frames are silence."""

import numpy as np

from vqwn_kit.runs.codes import codes_of, silent_frames


def test_codes_are_those_of_the_model_and_computed_once(run, store, monkeypatch):
    codes = codes_of(run, store, 2, progress=False)
    for number in (0, len(store) - 1):
        expected = run.model.encode(store.waveform(number))[0]
        np.testing.assert_array_equal(codes.codes[number][0], expected)
    shifted = store.waveform(0)[run.model.hop_length // 2 :]
    missing = codes.codes[0].shape[1] * run.model.hop_length - len(shifted)
    expected = run.model.encode(np.pad(shifted, (0, missing)))[0]
    np.testing.assert_array_equal(codes.codes[0][1], expected)
    monkeypatch.setattr("vqwn_kit.runs.codes._encode", None)  # would fail if it were called
    again = codes_of(run, store, 2, progress=False)
    assert again.codes.keys() == codes.codes.keys() == set(range(len(store)))
    for number, table in codes.codes.items():
        np.testing.assert_array_equal(table, again.codes[number])


def test_silent_frames_lie_40_db_under_the_loudest():
    waveform = np.concatenate([np.zeros(6400), np.ones(6400), np.full(6400, 0.02)])
    silent = silent_frames(waveform, 64, 16_000, below=40.0)
    assert len(silent) == 300
    assert silent[:97].all()
    assert not silent[100:300].any()  # 0.02 is 34 dB below
    assert silent_frames(waveform, 64, 16_000, below=30.0)[203:].all()
