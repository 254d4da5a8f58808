"""Runs whose decoder is conditioned on pitch: training, resuming, stages, parts, iterables."""

import numpy as np
import pytest

from tests.conftest import tones
from tests.training.test_stages import equal
from tests.training.test_train import assert_same_end, copy_at
from vqwn_kit import InputError, Run, compare, convert_voice, load_preset, train
from vqwn_kit.training.train import as_source
from vqwn_kit.training.validate import validate

pytestmark = pytest.mark.usefixtures("estimator")
PITCH = {"conditioner": {"pitch_levels": 50}}


def test_a_run_with_pitch_is_restored_and_depends_on_it(pitch_run, store):
    run = Run(pitch_run.folder)
    assert run.model.pitch_levels == 50
    start = load_preset(run.preset).change(steps=1)
    assert start.pitch_hop == 64
    last = run.history[-1]
    assert last["held_out/bits"] == pytest.approx(validate(run.model, store)["bits"], rel=1e-5)
    table = run.model.decoder.conditioner.pitches.table
    before, whole = table.numpy(), validate(run.model, store)["bits"]
    table.assign(np.roll(before, 7, axis=0))
    assert abs(validate(run.model, store)["bits"] - whole) > 1e-3
    table.assign(before)
    wave = store.waveform(0)
    sound = convert_voice(run.model, wave, ["ann", "bob"])
    assert sound.shape == (2, len(wave))


def test_a_run_with_pitch_that_was_stopped_ends_with_the_same_weights(store, tmp_path):
    settings = {"steps": 12, "save_every": 8, "decoder": PITCH, "shift": 400, "progress": False}
    copy = copy_at(5, tmp_path / "copy")
    whole = train(store, "tiny", save=tmp_path / "run/weights", after_step=copy, **settings)
    assert_same_end(whole, train(store, restore=tmp_path / "copy", progress=False))


@pytest.mark.parametrize("lpc_order", [0, 8])
@pytest.mark.traced
def test_a_second_stage_takes_pitch_with_the_conditioner_of_the_first(store, tmp_path, lpc_order):
    conditioner = {"pitch_levels": 50, "local_channels": 16, "local_layers": 1}
    decoder = {"conditioner": conditioner, "codec": {"lpc_order": lpc_order}}
    settings = {"steps": 2, "first_stage_steps": 3, "decoder": decoder, "progress": False}
    run = train(store, "tiny", save=tmp_path / "w", **settings)
    first = Run(tmp_path / "first_stage")
    assert first.model.pitch_levels == run.model.pitch_levels == 50
    tables = [r.model.decoder.conditioner.pitches for r in (first, run)]
    assert equal(*tables) == bool(lpc_order)  # then it is frozen
    assert equal(*tables, atol=0.02)
    assert convert_voice(first.model, store.waveform(0), ["ann"]).shape == (1, store.lengths[0])


def test_parts_fit_only_with_the_same_levels(store, run, pitch_run, tmp_path):
    settings = {"steps": 1, "progress": False, "decoder": PITCH}
    parts = {"encoder": run, "bottleneck": run}
    train(store, "tiny", save=tmp_path / "a/w", parts={**parts, "decoder": pitch_run}, **settings)
    with pytest.raises(InputError, match="pitch_levels: 0 there, 50 here"):
        train(store, "tiny", save=tmp_path / "b/w", parts={"decoder": run}, **settings)


def test_batches_without_pitch_are_those_of_before(store):
    plain, tracked = (
        as_source(store, load_preset("tiny").change(decoder=change, shift=300, gain_db=3.0))
        for change in ({}, PITCH)
    )
    for one, two in zip(plain.batches(2), tracked.batches(2), strict=True):
        assert (len(one), len(two)) == (2, 3)
        assert np.array_equal(one[0], two[0])
        assert np.array_equal(one[1], two[1])
        break


def test_an_iterable_must_yield_pitch(tmp_path):
    wave = tones(0.2, 200.0)
    settings = {"speakers": ["ann"], "steps": 2, "progress": False, "decoder": PITCH}
    run = train([(wave, 0, np.zeros(50))], "tiny", save=tmp_path / "a/w", **settings)
    assert run.newest == 2
    with pytest.raises(InputError, match=r"expected \(waveform, speaker, pitch\)"):
        train([(wave, 0)], "tiny", save=tmp_path / "b/w", **settings)


def test_variants_with_and_without_pitch_are_compared_with_its_rate(store, tmp_path):
    settings = {"base": "tiny", "steps": 1, "save": tmp_path, "progress": False}
    comparison = compare({"codes": {}, "and pitch": {"decoder": PITCH}}, store, **settings)
    assert comparison.measured("codes", "pitch_rate") == {}
    assert comparison.measured("and pitch", "pitch_rate") == {0: pytest.approx(250 * np.log2(50))}
    assert "bits/s of pitch, nominal" in comparison.table()
