"""Colours of a run's codes: of phone classes where the run's folder says them, else of places."""

import csv
import shutil

import numpy as np
import pytest

from vqwn_kit import Run, explore, play, voice_lab
from vqwn_kit.evaluation.phones import KIND_OF, KINDS
from vqwn_kit.plots.projection import project_2d
from vqwn_kit.plots.style import GREY, GROUP_COLOURS
from vqwn_kit.runs.codes import code_vectors
from vqwn_kit.workbench.code_palette import code_palette, phone_colours, place_colours


def hexadecimal(colours) -> list[str]:
    return ["#" + bytes(colour).hex().upper() for colour in np.asarray(colours, np.uint8)]


@pytest.fixture
def named_run(run, tmp_path) -> Run:
    """A copy of the run whose folder says the phone of each code."""
    shutil.copytree(run.folder, tmp_path / "run")
    copy = Run(tmp_path / "run" / f"weights-{run.newest}")
    vectors, phones = code_vectors(copy.model.bottleneck), ["AE", "S", "SIL", "-"] * 8
    folder = tmp_path / "run" / "projector"
    folder.mkdir()
    np.savetxt(folder / "codebook_vecs.tsv", vectors, fmt="%.6g", delimiter="\t")
    with (folder / "codebook_meta.tsv").open("w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows([["phone"], *([phone] for phone in phones)])
    return copy


def test_classes_of_phones_have_the_colours_of_the_map():
    kinds = [KIND_OF[phone] for phone in ("AE", "S", "SIL")]
    expected = [GROUP_COLOURS[list(KINDS).index(kind)].upper() for kind in kinds]
    assert hexadecimal(phone_colours(["AE", "S", "SIL"])) == expected
    assert hexadecimal(phone_colours(["-"])) == [GREY.upper()]


def test_neighbours_on_the_map_have_similar_colours(rng):
    points = rng.normal(size=(200, 2))
    colours = place_colours(points).astype(int)
    distance = np.linalg.norm(points[:, None] - points, axis=-1)
    near = np.argsort(distance, axis=1)[:, 1]
    apart = np.abs(colours[:, None] - colours).sum(axis=-1)
    assert apart[np.arange(200), near].mean() < 0.4 * apart.mean()


def test_the_colours_are_those_of_the_folder_while_its_weights_are_the_same(named_run):
    expected = phone_colours(["AE", "S", "SIL", "-"] * 8)
    np.testing.assert_array_equal(code_palette(named_run), expected)
    vectors = code_vectors(named_run.model.bottleneck)
    np.savetxt(named_run.folder / "projector/codebook_vecs.tsv", vectors + 1, delimiter="\t")
    places = place_colours(project_2d(vectors, "pca"))
    np.testing.assert_array_equal(code_palette(named_run), places)


def test_player_lab_and_map_show_the_same_colours(run, named_run, store):
    key = store.corpus.utterances[int(store.numbers("held_out")[0])].key
    for each in (run, named_run):
        palette = code_palette(each)
        player = play(each, key, [], data=store)
        shown = np.frombuffer(player.code_colours, np.uint8).reshape(-1, 3)
        np.testing.assert_array_equal(shown, palette[player.codes])
        lab = voice_lab(each, store)
        np.testing.assert_array_equal(np.frombuffer(lab.palette, np.uint8).reshape(-1, 3), palette)
    colours = explore(run, "codebook", store, methods=("pca",), progress=False).colours
    (place,) = [colour for colour in colours if colour["name"] == "place on the map"]
    assert (place["kind"], place["values"]) == ("rgb", code_palette(run).tobytes())
