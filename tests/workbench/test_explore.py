"""Maps of a run: their facts are the model's, and their sounds play what they name."""

import numpy as np
import pytest

from vqwn_kit import InputError, explore, train
from vqwn_kit.evaluation.code_usage import most_frequent
from vqwn_kit.evaluation.phones import KIND_OF, PHONES, SOUNDS
from vqwn_kit.workbench.codebook_map import examine_codes
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
