"""The names of run folders say what differs."""

import re

import pytest

from tests.conftest import several_codebooks
from vqwn_kit import load_preset
from vqwn_kit.runs.naming import differing_settings, run_name


@pytest.mark.parametrize(
    ("bottleneck", "name"),
    [
        ({}, "64-vq32-mini-now"),
        ({"class_name": "ae"}, "64-ae-mini-now"),
        (several_codebooks("residual"), "64-residual3x8-mini-now"),
    ],
)
def test_the_name_of_a_run_says_its_bottleneck_and_codes(bottleneck, name):
    assert run_name(load_preset("tiny").change(bottleneck=bottleneck), "mini", "now") == name


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"seed": 3}, "64-vq32-mini-seed3-now"),
        ({"steps": 500, "seed": 3}, "64-vq32-mini-steps500-seed3-now"),
        ({"K": 9}, "64-vq9-mini-now"),
        ({"decoder": {"codec": {"pre_emphasis": 0.85}}}, "64-vq32-mini-pre_emphasis0_85-now"),
    ],
)
def test_the_name_of_a_run_says_how_it_differs_from_its_preset(changes, name):
    assert run_name(load_preset("tiny").change(**changes), "mini", "now") == name


def test_many_differences_are_a_hash_and_long_names_are_cut():
    many = {"steps": 5, "seed": 3, "batch_size": 2, "log_every": 1}
    names = [
        run_name(load_preset("tiny").change(**many | {"seed": n}), "mini", "now") for n in (3, 4)
    ]
    assert all(re.fullmatch(r"64-vq32-mini-changed[0-9a-f]{6}-now", name) for name in names)
    assert len(set(names)) == 2
    long = run_name(load_preset("tiny"), 100 * "中", "now")
    assert len(long.encode()) < 200


def test_settings_that_differ_are_listed_without_those_of_another_class():
    tiny = load_preset("tiny")
    rows = differing_settings([tiny, tiny.change(bottleneck="ema", steps=77), tiny])
    assert rows["training.steps"] == [tiny.training.steps, 77, tiny.training.steps]
    assert {name for name in rows if name.startswith("bottleneck")} == {"bottleneck.class_name"}
    assert differing_settings([tiny, tiny]) == {}


def test_a_preset_of_ones_own_is_named():
    own = load_preset(load_preset("tiny").to_dict() | {"name": "my preset"})
    assert run_name(own, "mini", "now") == "64-vq32-mini-my_preset-now"
