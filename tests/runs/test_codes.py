"""Codes of a run: encoded once, shifted encodings, and which frames are silence."""

import numpy as np
import pytest

from vqwn_kit.runs.codes import (
    RunCodes,
    code_names,
    code_vectors,
    codes_of,
    flatten_codes,
    silent_frames,
    unflatten_codes,
)


@pytest.mark.traced
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


@pytest.mark.parametrize("codebooks", [1, 2, 3])
def test_tokens_are_codes_in_one_sequence(rng, codebooks):
    shape = (2, 5) if codebooks == 1 else (2, 5, codebooks)
    codes = rng.integers(0, 7, shape, dtype=np.int32)
    tokens = flatten_codes(codes, 7, codebooks)
    assert tokens.shape == (2, 5 * codebooks)
    frames = codes.reshape(2, 5, codebooks)
    names = code_names(7, codebooks)
    for row, place, codebook in np.ndindex(2, 5, codebooks):
        token, code = tokens[row, place * codebooks + codebook], frames[row, place, codebook]
        assert token == 7 * codebook + code
        assert names[token] == (str(code) if codebooks == 1 else f"{codebook}:{code}")
    np.testing.assert_array_equal(unflatten_codes(tokens, 7, codebooks), codes)


def test_codes_of_several_codebooks_are_cached(residual_run, store, monkeypatch):
    codes = codes_of(residual_run, store, 2, progress=False)
    expected = residual_run.model.encode(store.waveform(1))[0]
    np.testing.assert_array_equal(codes.codes[1][0], expected)
    assert codes.num_codebooks == 3
    np.testing.assert_array_equal(codes.tokens(1)[0].reshape(-1, 3) % 8, expected)
    monkeypatch.setattr("vqwn_kit.runs.codes._encode", None)
    again = codes_of(residual_run, store, 2, progress=False)
    for number, table in codes.codes.items():
        np.testing.assert_array_equal(table, again.codes[number])


def test_each_codebook_has_its_own_codes_of_silence(store, monkeypatch):
    """Half of the frames are silent: with them code 0 of the first, and code 1 of the second."""
    lengths = {number: -(-int(store.lengths[number]) // 64) for number in range(len(store))}
    silent = {number: np.arange(length) % 2 == 0 for number, length in lengths.items()}
    codes = {
        n: np.stack([~rows, rows], axis=-1)[None].astype(np.int32) for n, rows in silent.items()
    }
    monkeypatch.setattr(RunCodes, "silent", lambda self, number: silent[number])
    run_codes = RunCodes(codes, store.speaker_ids, store, 2, 64, 2)
    assert run_codes.silence_codes().tolist() == [True, False, False, True]


def test_a_run_saves_the_vectors_of_all_codebooks(residual_run):
    saved = np.load(residual_run.folder / f"embedding_{residual_run.newest}.npy")
    vectors = np.array(residual_run.model.bottleneck.vectors())
    assert saved.shape == (24, 8)
    for codebook, code in np.ndindex(3, 8):
        np.testing.assert_allclose(saved[8 * codebook + code], vectors[codebook, code], atol=1e-6)
    np.testing.assert_allclose(code_vectors(residual_run.model.bottleneck), saved, atol=1e-6)
