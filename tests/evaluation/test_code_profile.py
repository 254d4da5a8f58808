"""Facts about codes against naive counts; frames like a vector against a search."""

import numpy as np
import pytest
from keras import ops

from tests.evaluation.conftest import untrained
from tests.evaluation.test_links import changed
from vqwn_kit import InputError, train
from vqwn_kit.data.textgrid import Tier, write_textgrid
from vqwn_kit.evaluation.code_profile import CodeProfiles
from vqwn_kit.evaluation.context import evaluation_context
from vqwn_kit.evaluation.frames import frame_index
from vqwn_kit.evaluation.metrics import NotMeasured
from vqwn_kit.evaluation.phones import SOUNDS


@pytest.fixture(scope="module")
def profiles(parallel, tmp_path_factory):
    save = tmp_path_factory.mktemp("profiles") / "weights"
    run = train(parallel, "tiny", steps=2, save_every=2, save=save, progress=False)
    return CodeProfiles(frame_index(evaluation_context(run, parallel, progress=False)))


def utterances(profiles) -> dict[int, np.ndarray]:
    """Return the codes of the utterances, one by one, as the model gives them."""
    context = profiles.index.context
    store = context.store
    return {n: context.model.encode(store.waveform(n))[0] for n in profiles.index.bounds}


def test_every_frame_is_indexed_with_its_code_and_distance(profiles):
    index, model = profiles.index, profiles.index.context.model
    number = int(index.context.held_out[1])
    part = index.bounds[number]
    quantized = model.vector_quantize(index.context.store.waveform(number))
    codes = ops.convert_to_numpy(quantized.codes)[0]
    assert np.array_equal(index.frames.codes[part, 0], codes)
    assert set(index.numbers[part]) == {number}
    z_e = ops.convert_to_numpy(quantized.z_e)[0]
    codewords = ops.convert_to_numpy(model.bottleneck.codewords())
    np.testing.assert_allclose(index.frames.z_e[part], z_e, atol=1e-5)
    expected = np.linalg.norm(z_e - codewords[codes], axis=1)
    np.testing.assert_allclose(index.frames.distances[part, 0], expected, atol=1e-5)
    everywhere = np.linalg.norm(z_e[:, None] - codewords, axis=2)
    np.testing.assert_allclose(expected, everywhere.min(axis=1), atol=1e-4)


def test_phones_and_voices_are_counted_with_their_lifts(profiles):
    context, codes = profiles.index.context, utterances(profiles)
    token = int(profiles.counts.argmax())
    profile = profiles[token]
    assert profile.count == sum((row == token).sum() for row in codes.values())
    pairs = []
    for n, row in codes.items():
        pairs += zip(row, context.phones[n], strict=True)
    sounds = [SOUNDS[phone] for _, phone in pairs]
    own = [sound for (code, _), sound in zip(pairs, sounds, strict=True) if code == token]
    for row in profile.phones:
        assert row.count == own.count(row.name)
        share = own.count(row.name) / len(own)
        assert row.share == pytest.approx(share)
        assert row.lift == pytest.approx(share / (sounds.count(row.name) / len(sounds)))
    assert sum(row.count for row in profile.voices) == profile.count
    assert profile.phones == sorted(profile.phones, key=lambda row: -row.count)


def test_codes_before_and_after_and_durations_are_those_of_the_sequences(profiles):
    codes = utterances(profiles)
    token = int(profiles.counts.argmax())
    profile, pairs, lengths = profiles[token], [], []
    for row in codes.values():
        edges = np.flatnonzero(np.diff(row)) + 1
        runs = np.split(row, edges)
        pairs += [(a[0], b[0]) for a, b in zip(runs[:-1], runs[1:], strict=True)]
        lengths += [len(run) for run in runs if run[0] == token]
    assert profile.lengths.tolist() == lengths
    after = [b for a, b in pairs if a == token]
    for row in profile.after:
        share = after.count(row.token) / len(after)
        assert row.share == pytest.approx(share)
        everywhere = sum(b == row.token for _, b in pairs) / len(pairs)
        assert row.lift == pytest.approx(share / everywhere)
    before = [a for a, b in pairs if b == token]
    assert {row.token: row.count for row in profile.before}.items() <= {
        code: before.count(code) for code in before
    }.items()


def test_the_strongest_frames_are_the_nearest_to_the_code_one_per_utterance(profiles):
    token = int(profiles.counts.argmax())
    index, strongest = profiles.index, profiles[token].strongest
    assert (index.frames.codes[strongest, 0] == token).all()
    assert len(set(index.numbers[strongest])) == len(strongest)
    far = index.frames.distances[strongest, 0]
    assert (np.diff(far) >= 0).all()
    for frame, distance in zip(strongest, far, strict=True):
        part = index.bounds[int(index.numbers[frame])]
        own = index.frames.codes[part, 0] == token
        assert distance == index.frames.distances[part, 0][own].min()


def test_neighbours_are_the_nearest_codes_in_use(profiles):
    token = int(profiles.counts.argmax())
    used = [n for n in np.flatnonzero(profiles.counts) if n != token]
    far = {n: np.linalg.norm(profiles.vectors[n] - profiles.vectors[token]) for n in used}
    expected = sorted(used, key=far.get)[:8]
    assert [other.token for other in profiles[token].neighbours] == expected
    distances = [other.distance for other in profiles[token].neighbours]
    np.testing.assert_allclose(distances, [far[n] for n in expected])


def test_places_in_phones_are_thirds(profiles):
    index = profiles.index
    places = index.places_in("phone")
    assert np.isnan(places[index.phones == SOUNDS.index("SIL")]).all()
    assert profiles.places.keys() == {"phone"}
    table = profiles.places["phone"]
    assert table.sum() == np.isfinite(places).sum()
    first = (places < 1 / 3).sum()
    assert table[:, 0].sum() == first


def test_places_in_words_are_read_from_textgrids(store, run):
    tiers = [Tier("words", [(0.0, 0.1, "we"), (0.1, 0.2, "see")])]
    path = store.corpus.utterances[0].path.with_suffix(".TextGrid")
    write_textgrid(path, tiers, 0.25)
    try:
        profiles = CodeProfiles(frame_index(evaluation_context(run, store, progress=False)))
        assert profiles.places.keys() == {"word"}
        assert np.isfinite(profiles.index.places_in("word")).sum() <= 0.2 * 250 + 1
        assert profiles.phones is None
        assert isinstance(profiles.index.phones, NotMeasured)
        assert profiles[int(profiles.counts.argmax())].phones == []
    finally:
        path.unlink()


def test_frames_like_a_vector_are_the_nearest_of_all(profiles):
    index = profiles.index
    vector = index.frames.z_e[5] + 0.01
    found, distances = index.nearest(vector, 3)
    everywhere = np.linalg.norm(index.frames.z_e - vector, axis=1)
    best = {n: everywhere[part].min() for n, part in index.bounds.items()}
    np.testing.assert_allclose(distances, sorted(best.values())[:3])
    np.testing.assert_allclose(everywhere[found], distances)
    assert len(set(index.numbers[found])) == 3


def test_codes_of_several_codebooks_are_told_apart_by_tokens(residual_run, store):
    profiles = CodeProfiles(frame_index(evaluation_context(residual_run, store, progress=False)))
    codes = np.concatenate(list(utterances(profiles).values()))
    token = 8 + int(np.bincount(codes[:, 1]).argmax())
    profile = profiles[token]
    assert profile.name == f"1:{token - 8}"
    assert profile.count == (codes[:, 1] == token - 8).sum()
    assert {row.token // 8 for row in (*profile.before, *profile.after)} == {1}
    assert {other.token // 8 for other in profile.neighbours} == {1}
    assert profiles.token(3, codebook=2) == 19
    with pytest.raises(InputError, match="no codebook 3; there are 0 to 2"):
        profiles.token(0, codebook=3)


def test_distances_of_several_codebooks_are_of_what_each_looks_up(residual_run, store):
    index = frame_index(evaluation_context(residual_run, store, progress=False))
    number = next(iter(index.bounds))
    inputs = residual_run.model.vector_quantize(store.waveform(number)).inputs.numpy()[0]
    frames = index.bounds[number]
    vectors = ops.convert_to_numpy(residual_run.model.bottleneck.vectors())
    codes = index.frames.codes[frames]
    for q in range(3):
        expected = np.linalg.norm(inputs[:, q] - vectors[q][codes[:, q]], axis=1)
        np.testing.assert_allclose(index.frames.distances[frames, q], expected, atol=1e-5)


def test_a_model_without_a_codebook_and_unknown_codes_are_refused(parallel, profiles, tmp_path):
    autoencoder = untrained(tmp_path, parallel, **changed(bottleneck="ae"))
    with pytest.raises(InputError, match="no codebook"):
        frame_index(evaluation_context(autoencoder, parallel, progress=False))
    with pytest.raises(InputError, match="no code 32; there are 0 to 31"):
        profiles.token(32)
    with pytest.raises(InputError, match="no code True"):
        profiles.token(True)
