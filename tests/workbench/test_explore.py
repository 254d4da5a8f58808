"""Maps of a run: their facts are the model's, and their sounds play what they name."""

import numpy as np
import pytest
from keras import ops

from tests.conftest import zero_crossings
from vqwn_kit import InputError, Run, build_model, explore, generate, load_preset, train
from vqwn_kit.evaluation.code_usage import most_frequent, sample_frames
from vqwn_kit.evaluation.phones import KIND_OF, PHONES, SOUNDS
from vqwn_kit.workbench.codebook_map import companions
from vqwn_kit.workbench.examine import examine_codes
from vqwn_kit.workbench.excerpts import excerpt, faded

PCA = {"methods": ("pca",), "progress": False}


def test_every_phone_has_a_kind():
    assert set(KIND_OF) == set(SOUNDS) == {*PHONES, "SIL"}


def texts(explorer, name: str) -> list[str]:
    (values,) = [fact["values"] for fact in explorer.facts if fact["name"] == name]
    return values


def test_the_codebook_map_counts_frames_and_plays_speech_with_a_code(run, store):
    explorer = explore(run, "codebook", store, **PCA)
    context = examine_codes(run, store, False, None)
    counts = np.bincount(np.concatenate(list(context.codes.values())), minlength=32)
    frames = [int(text.split(" ")[0].replace(",", "")) for text in texts(explorer, "frames")]
    assert frames == counts.tolist()
    assert np.array_equal(np.frombuffer(explorer.crosses, np.uint8) == 1, counts == 0)
    code = int(counts.argmax())
    sound = explorer.hear(code)
    number, codes = max(context.codes.items(), key=lambda item: (item[1] == code).sum())
    positions = np.flatnonzero(codes == code)
    expected = excerpt(context, number, positions[len(positions) // 2])
    assert np.abs(sound[: len(expected)] - expected).max() < 1e-4
    assert len(explorer.hear(code, 1)) == round(0.4 * 16_000 / 64) * 64
    if (counts == 0).any():
        with pytest.raises(InputError, match="no frame of"):
            explorer.hear(int(np.flatnonzero(counts == 0)[0]))
    assert "not known" in texts(explorer, "phones")[0]


def test_the_map_of_several_codebooks_has_a_point_per_code_of_each(residual_run, store):
    explorer = explore(residual_run, "codebook", store, **PCA)
    context = examine_codes(residual_run, store, False, None)
    codes = np.concatenate(list(context.codes.values()))
    counts = np.stack([np.bincount(column, minlength=8) for column in codes.T])
    assert explorer.names == [f"code {q}:{code}" for q in range(3) for code in range(8)]
    frames = [int(text.split(" ")[0].replace(",", "")) for text in texts(explorer, "frames")]
    assert frames == counts.ravel().tolist()
    shares = [text.split("(")[1] for text in texts(explorer, "frames")]
    assert shares[0] == f"{100 * counts[0, 0] / len(codes):.2g} %)"
    assert explorer.colour_name == "codebook"
    for link in explorer.links:  # neighbours and followers are of the same codebook
        to = np.frombuffer(link["to"], np.int32).reshape(24, -1)
        assert ((to < 0) | (to // 8 == np.arange(24)[:, None] // 8)).all()
    follower = np.frombuffer(explorer.links[1]["to"], np.int32).reshape(24, -1)
    pairs = np.zeros((8, 8), int)
    for row in context.codes.values():
        changes = np.flatnonzero(row[:-1, 2] != row[1:, 2])
        np.add.at(pairs, (row[changes, 2], row[changes + 1, 2]), 1)
    for code in np.flatnonzero(pairs.any(axis=1)):
        assert follower[16 + code, 0] == 16 + pairs[code].argmax()


def test_codes_of_several_codebooks_play_speech_and_the_decoder_with_companions(
    residual_run, store
):
    explorer = explore(residual_run, "codebook", store, **PCA)
    context = examine_codes(residual_run, store, False, None)
    codes = np.concatenate(list(context.codes.values()))
    code = int(np.bincount(codes[:, 1]).argmax())
    rows = {n: np.flatnonzero(each[:, 1] == code) for n, each in context.codes.items()}
    number = max(rows, key=lambda n: len(rows[n]))
    expected = excerpt(context, number, rows[number][len(rows[number]) // 2])
    assert np.abs(explorer.hear(8 + code)[: len(expected)] - expected).max() < 1e-4
    frame = companions(codes, 1, code)
    held = faded(generate(residual_run.model, np.tile(frame, (100, 1)), ["ann"])[0])
    assert np.abs(explorer.hear(8 + code, 1) - held).max() < 1e-4


def test_companions_are_the_most_frequent_codes_beside_a_code():
    codes = np.array([[0, 5, 1], [0, 5, 2], [0, 6, 2], [1, 7, 3], [1, 7, 3], [1, 7, 3]])
    assert companions(codes, 0, 0).tolist() == [0, 5, 2]
    assert companions(codes, 2, 1).tolist() == [0, 5, 1]
    assert companions(codes, 1, 4).tolist() == [0, 4, 3]  # never used: of all frames


def test_the_frame_map_of_several_codebooks_links_frames_to_all_of_their_codes(residual_run, store):
    explorer = explore(residual_run, "frames", store, frames=20, **PCA)
    to = np.frombuffer(explorer.links[0]["to"], "<i4")
    names = [f"code {text}" for text in texts(explorer, "code")[:20]]
    assert [explorer.names[point] for point in to[:20]] == names
    assert len(names[0].split(" ")) == 4
    assert len(explorer.hear(int(to[0]))) > 1000


@pytest.mark.parametrize(
    "bottleneck", [{"class_name": "fsq", "levels": [3, 3]}, {"class_name": "vq", "code_dim": 3}]
)
def test_frames_and_codes_share_a_map_where_they_are_quantised_in_few_dimensions(
    store, tmp_path, bottleneck
):
    """z_e is (N, 2) or (N, 3) then, and the decoder's vectors have 8 channels."""
    preset, names = load_preset("tiny").change(bottleneck=bottleneck), dict(store.corpus.speakers)
    untrained = Run.create(tmp_path / "weights", preset, store.corpus.name, names)
    untrained.save_weights(build_model(preset, list(names)), 0)
    frames = explore(untrained, "frames", store, frames=20, utterances=1, **PCA)
    distances = np.frombuffer(frames.colours[1]["values"], np.float32)[:20]
    context = examine_codes(untrained, store, False, 1)
    number, facts = context.held_out[0], sample_frames(context, 20)
    codewords = ops.convert_to_numpy(untrained.model.bottleneck.codewords())
    chosen = codewords[context.codes[number][facts.places]]
    np.testing.assert_allclose(distances, np.linalg.norm(facts.z_e - chosen, axis=1), rtol=1e-4)
    codes = explore(untrained, "codebook", store, utterances=1, **PCA)
    assert len(codes.names) == untrained.model.bottleneck.num_embeddings


def test_the_speaker_map_plays_recordings_and_conversions(run, store):
    explorer = explore(run, "speakers", store, seconds=0.2, progress=False)
    assert explorer.names == ["ann", "bob"]
    assert len(explorer.hear(1, 1)) == 3200
    assert explorer.links[0]["count"] == 1


def test_the_frame_map_links_frames_to_their_codes(run, store):
    explorer = explore(run, "frames", store, frames=20, **PCA)
    context = examine_codes(run, store, False, None)
    to = np.frombuffer(explorer.links[0]["to"], "<i4")
    numbers = np.frombuffer(explorer.numbers, "<i4")
    assert (numbers[:20] == -1).all()
    assert [str(numbers[point]) for point in to[:20]] == texts(explorer, "code")[:20]
    assert len(explorer.hear(0)) > 1000
    assert explorer.names[0].startswith(store.corpus.utterances[context.held_out[0]].key)


@pytest.mark.parametrize(
    ("what", "settings", "match"),
    [
        ("codes", {}, "no map 'codes': did you mean 'codebook'"),
        ("codebook", {"frames": 9}, r"no setting of explore\(run, 'codebook'\) 'frames'"),
        ("codebook", {"methods": ("tsne",)}, "no method 'tsne'"),
        ("codebook", {"speaker": "anne"}, "no speaker 'anne': did you mean 'ann'"),
        ("speakers", {"utterance": "x"}, "no utterance 'x'"),
    ],
)
def test_invalid_maps_and_settings_are_refused(run, store, what, settings, match):
    with pytest.raises(InputError, match=match):
        explore(run, what, store, progress=False, **settings)


def test_a_model_without_a_codebook_has_no_map_of_codes(store, tmp_path):
    settings = {"bottleneck": "ae", "steps": 1, "save": tmp_path / "weights", "progress": False}
    autoencoder = train(store, "tiny", **settings)
    with pytest.raises(InputError, match="has no codebook"):
        explore(autoencoder, "codebook", store, progress=False)


def test_the_most_frequent_of_no_counts_is_unknown():
    names, share = most_frequent(np.array([[1, 3], [0, 0]]), ["a", "b"])
    assert names == ["b", ""]
    assert share[0] == 75.0
    assert np.isnan(share[1])


def test_faded_sounds_begin_and_end_at_zero():
    sound = faded(np.ones(1000, np.float32))
    assert sound[0] == sound[-1] == 0.0
    assert (sound[160:-160] == 1.0).all()
    assert len(faded(np.ones(1, np.float32))) == 1


def test_a_held_code_has_the_pitch_that_the_decoder_chooses(pitch_run, store):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vqwn_kit.data.pitch.pitch_of", zero_crossings)
        explorer = explore(pitch_run, "codebook", store, **PCA)
    frames = round(0.4 * 250)
    expected = generate(pitch_run.model, np.full(frames, 3), ["ann"])[0]
    np.testing.assert_allclose(explorer.hear(3, 1), faded(expected), atol=1e-4)
