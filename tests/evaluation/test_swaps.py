"""Swaps of codes: what is replaced, how far the change reaches, and tables of many."""

import numpy as np
import pytest

from tests.evaluation.conftest import untrained
from vqwn_kit import InputError
from vqwn_kit.evaluation import many_swaps
from vqwn_kit.evaluation.many_swaps import NEAREST, RANDOM, SAME_PHONE, swap_effects
from vqwn_kit.evaluation.metrics import NotMeasured
from vqwn_kit.evaluation.swaps import (
    around,
    band_change,
    decoder_bands,
    reach_of,
    replace_code,
    swap,
)

LAYERS = {"speaker_dim": 4, "local_channels": 8, "local_layers": 2}  # a context of 3 frames
LIGHT = {"class_name": "MelDecoder", "config": {"conditioner": {"config": LAYERS}}}


@pytest.fixture(scope="module")
def light(parallel, tmp_path_factory):
    """An untrained first stage, whose decoder is deterministic; its codes are frames of speech."""
    run = untrained(tmp_path_factory.mktemp("light"), parallel, decoder=LIGHT)
    model = run.model
    waves = [parallel.waveform(number) for number in range(0, len(parallel.lengths), 3)]
    z_e = np.concatenate([model.vector_quantize(wave).z_e[0] for wave in waves])
    chosen = np.linspace(0, len(z_e) - 1, 32).astype(int)  # so that several codes are used
    model.bottleneck.codebook.assign(z_e[chosen])
    return run


def test_all_frames_with_a_code_are_replaced_or_one_run():
    codes = np.array([5, 5, 2, 5, 3])
    replaced, changes = replace_code(codes, 5, 9)
    assert replaced.tolist() == [9, 9, 2, 9, 3]
    assert changes.tolist() == [True, True, False, True, False]
    replaced, changes = replace_code(codes, 5, 9, at=1)
    assert replaced.tolist() == [9, 9, 2, 5, 3]
    assert changes.sum() == 2
    assert codes.tolist() == [5, 5, 2, 5, 3]


def test_codes_of_one_codebook_of_several_are_replaced():
    codes = np.array([[5, 5], [2, 5], [5, 1]])
    replaced, changes = replace_code(codes, 5, 9, codebook=1)
    assert replaced.tolist() == [[5, 9], [2, 9], [5, 1]]
    assert changes.tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("code", "at", "match"),
    [
        (7, None, "no frame of this utterance has code 7; there are 2, 3, 5"),
        (5, 2, "frame 2 has code 2, not 5; frames with it: 0, 1, 3"),
        (5, 9, "frame 9 is not in the utterance"),
    ],
)
def test_codes_that_are_not_there_are_refused(code, at, match):
    with pytest.raises(InputError, match=match):
        replace_code(np.array([5, 5, 2, 5, 3]), code, 0, at)


def test_the_reach_is_the_context_around_each_changed_frame():
    changes = np.zeros(12, bool)
    changes[[0, 6]] = True
    assert np.flatnonzero(reach_of(changes, 2)).tolist() == [0, 1, 2, 4, 5, 6, 7, 8]
    assert np.array_equal(reach_of(changes, 0), changes)
    assert reach_of(np.array([True, False, False, False]), 2).tolist() == [True, True, True, False]


def test_bands_of_the_light_decoder_change_within_the_reach_only_and_there_to_its_edge(light, rng):
    """Exact: a frame of the bands depends on `context` codes on either side."""
    model = light.model
    context = model.decoder.conditioner.context
    codes = rng.integers(0, 32, 40)
    codes[20], by = 7, 8
    codes[codes == 7] = np.where(np.flatnonzero(codes == 7) == 20, 7, 6)
    swapped = swap(model, codes, "ann", 7, by)
    assert context == 3
    assert np.flatnonzero(swapped.changed).tolist() == [20]
    assert repr(swapped) == "Swap of the code of 1 of 40 frames; 7 can change"
    different = (swapped.bands[0] != swapped.bands[1]).any(axis=1)
    assert swapped.by_decoder
    assert not different[~swapped.reach].any()  # to the last bit
    assert different[swapped.reach].all()


def test_a_part_around_the_swap_gives_the_same_change(light, rng):
    model = light.model
    context = model.decoder.conditioner.context
    codes = rng.integers(0, 32, 50)
    replaced, changes = replace_code(codes, int(codes[24]), 31 - int(codes[24]), at=24)
    whole = decoder_bands(model, [codes, replaced], "bea")
    part = around(changes, context)
    within = decoder_bands(model, [codes[part], replaced[part]], "bea")
    reach = reach_of(changes, context)
    np.testing.assert_allclose(within[:, reach[part]], whole[:, reach], atol=1e-4)


def test_a_wavenet_samples_the_same_up_to_the_first_frame_that_can_change(model, rng):
    """The same random numbers: equal to the last bit before, another draw after it."""
    codes = rng.integers(0, 32, 30)
    codes[codes == 7] = 6
    codes[15] = 7
    swapped = swap(model, codes, "ann", 7, 8, seed=3)
    # the conditioning is interpolated, so that the frame before the reach can change too
    first = (15 - model.decoder.conditioner.context - 1) * model.hop_length
    before, after = swapped.waveforms
    assert np.array_equal(before[:first], after[:first])
    assert not np.array_equal(before[first:], after[first:])
    assert not swapped.by_decoder
    same = swap(model, codes, "ann", 7, 8, seed=3)
    assert np.array_equal(same.waveforms, swapped.waveforms)


def test_a_swap_by_the_same_code_changes_nothing(light, rng):
    swapped = swap(light.model, rng.integers(0, 3, 20), "ann", 1, 1)
    assert np.array_equal(*swapped.waveforms)
    assert band_change(*swapped.bands) == 0.0


def test_the_change_of_bands_is_a_root_mean_square():
    assert band_change(np.zeros((2, 2)), np.array([[1.0, -1.0], [3.0, 3.0]])) == np.sqrt(5.0)


def test_unknown_codes_are_refused(light):
    with pytest.raises(InputError, match="no code 32; there are 0 to 31"):
        swap(light.model, np.zeros(4, int), "ann", 0, 32)


def test_effects_are_of_every_kind_at_the_same_places(light, parallel, monkeypatch):
    phones = iter(["abcd", "abcd", "abce", "xbce"] * 9)
    monkeypatch.setattr(many_swaps, "recognise_phones", lambda waveform: next(phones))
    effects = swap_effects(light, parallel, swaps=6, recognised=2, progress=False)
    kinds = [NEAREST, SAME_PHONE, RANDOM]
    assert set(effects.kinds) <= set(kinds)
    columns = effects.columns
    places = {}
    for kind, key, frame in zip(
        columns["put there"], columns["utterance"], columns["frame"], strict=True
    ):
        places.setdefault(kind, []).append((key, frame))
    assert places[NEAREST] == places[RANDOM]
    assert len(set(places[RANDOM])) == 6  # each run once
    assert (np.array(columns["code"]) != np.array(columns["by"])).all()
    near, far = (effects.estimate("distance", kind).value for kind in (NEAREST, RANDOM))
    assert near < far
    assert np.isfinite(columns["phones"]).sum() <= 2 * len(kinds)
    assert effects.estimate("bands (dB)", RANDOM).value > 0
    assert "a random code" in str(effects)
    assert "<table>" in effects._repr_html_()


def test_the_effect_of_one_swap_is_that_of_its_arrays(light, parallel, monkeypatch):
    effects = swap_effects(light, parallel, swaps=1, recognised=0, progress=False)
    columns = effects.columns
    row = columns["put there"].index(RANDOM)
    number = [u.key for u in parallel.corpus].index(columns["utterance"][row])
    codes = light.model.encode(parallel.waveform(number))[0]
    code, by, frame = (columns[name][row] for name in ("code", "by", "frame"))
    speaker = parallel.corpus.utterances[number].speaker
    swapped = swap(light.model, codes, speaker, code, by, at=frame)
    expected = band_change(*swapped.bands[:, swapped.reach])
    assert columns["bands (dB)"][row] == pytest.approx(expected, rel=1e-3)
    assert np.isnan(columns["phones"]).all()


def test_one_code_for_one_other_stands_beside_random_ones(light, parallel, tmp_path):
    codes = light.model.encode(parallel.waveform(int(parallel.numbers("held_out")[0])))[0]
    code = int(np.bincount(codes).argmax())
    by = (code + 1) % 32
    settings = {"swaps": 3, "recognised": 0, "progress": False}
    effects = swap_effects(light, parallel, code=code, by=by, **settings)
    assert set(effects.kinds) == {f"code {by}", RANDOM}
    assert set(effects.columns["code"]) == {code}
    lines = effects.save_csv(tmp_path / "swaps.csv").read_text().splitlines()
    assert lines[0].startswith("utterance,frame,code,put there,by,distance")
    assert len(lines) == 1 + len(effects.columns["by"])


def test_a_missing_recogniser_is_a_reason(light, parallel, monkeypatch):
    def missing(waveform):
        raise NotMeasured("the package hama is not installed")

    monkeypatch.setattr(many_swaps, "recognise_phones", missing)
    effects = swap_effects(light, parallel, swaps=2, recognised=2, progress=False)
    assert effects.skipped == {"phones": "the package hama is not installed"}
    assert "Not measured: phones" in str(effects)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"by": 3}, "by=3 without a code"),
        ({"swaps": 0}, "swaps=0"),
        ({"code": 40}, "no code 40"),
    ],
)
def test_invalid_swaps_are_refused(light, parallel, settings, match):
    with pytest.raises(InputError, match=match):
        swap_effects(light, parallel, progress=False, **settings)


def test_a_run_without_a_light_decoder_has_no_effects(run, store):
    with pytest.raises(InputError, match="has no light decoder"):
        swap_effects(run, store, progress=False)
