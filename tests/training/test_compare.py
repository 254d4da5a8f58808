"""Variants on the same speech: one table, intervals, and runs that are kept."""

import json
import math

import numpy as np
import pytest
from scipy.stats import ttest_rel

from tests.conftest import ctrl_c_at
from vqwn_kit import InputError, compare, load_preset, load_run
from vqwn_kit.cli.main import main
from vqwn_kit.presets.build import build_model
from vqwn_kit.training.compare import Comparison
from vqwn_kit.training.validate import validate
from vqwn_kit.training.variants import FAMILIES

VARIANTS = {"VQ": {}, "no VQ": {"bottleneck": "ae", "encoder": "2019"}}
SETTINGS = {"base": "tiny", "steps": 2, "seeds": 2, "progress": False}


@pytest.fixture(scope="module")
def compared(store, tmp_path_factory):
    """Two variants of two seeds each, and their folder."""
    folder = tmp_path_factory.mktemp("compared")
    return compare(VARIANTS, store, save=folder, **SETTINGS), folder


def test_every_variant_and_seed_is_a_run_with_the_same_crops(compared):
    comparison, folder = compared
    assert comparison.variants == list(VARIANTS)
    assert comparison.seeds == [0, 1]
    presets = [load_run(folder / row["run"]).preset for row in comparison.rows]
    assert {preset.training.segment_length for preset in presets} == {960}  # of hops 64 and 320
    assert {preset.training.steps for preset in presets} == {2}
    assert [preset.training.seed for preset in presets] == [0, 0, 1, 1]  # a seed is complete first


def test_the_table_shows_the_measures_of_the_runs(compared, store):
    comparison, folder = compared
    row = comparison.rows[0]
    model = load_run(folder / row["run"]).model
    measured = validate(model, store, utterances=comparison.utterances)
    assert row["bits"] == measured["bits"]
    assert row["nominal_rate"] == 16_000 / 64 * 5
    assert row["entropy_rate"] == pytest.approx(250 * math.log2(measured["perplexity"]))
    assert row["parameters"] == sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert "perplexity" not in comparison.rows[1]
    text = str(comparison)
    lines = text.splitlines()
    assert len({len(line) for line in lines[:4]}) == 1  # columns are aligned
    assert "| no VQ" in text
    assert "seeds 0, 1;" in text
    assert "| no VQ" in (folder / "compare.md").read_text()
    assert (folder / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_finished_runs_are_neither_trained_nor_measured_again(compared, store, monkeypatch):
    comparison, folder = compared
    monkeypatch.setattr("vqwn_kit.training.compare.train", None)
    monkeypatch.setattr("vqwn_kit.training.compare._measure", None)
    assert compare(VARIANTS, store, save=folder, **SETTINGS).rows == comparison.rows
    with pytest.raises(InputError, match="other settings"):
        compare(VARIANTS, store, save=folder, **{**SETTINGS, "steps": 7})
    assert Comparison.load(folder).rows == comparison.rows


def test_a_stopped_comparison_is_resumed(store, tmp_path, monkeypatch):
    from vqwn_kit import train

    settings = {"base": "tiny", "steps": 7, "save": tmp_path, "progress": False}

    def stopping(*args, **kwargs):
        return train(*args, **kwargs, callbacks=[ctrl_c_at(5)])

    with monkeypatch.context() as patched:
        patched.setattr("vqwn_kit.training.compare.train", stopping)
        with pytest.raises(KeyboardInterrupt):
            compare([{}], store, **settings)
    stopped = load_run(tmp_path / "base-seed0").newest
    assert stopped < 7
    assert [row["variant"] for row in compare([{}], store, **settings).rows] == ["base"]
    assert load_run(tmp_path / "base-seed0").newest == 7


def of_bits(**bits) -> Comparison:
    rows = [
        {"variant": name, "seed": seed, "run": "", "bits": value}
        for name, values in bits.items()
        for seed, value in enumerate(values)
    ]
    return Comparison("none", 1, 1, rows)


def test_intervals_are_students_and_differences_are_paired():
    one, two = [3.0, 3.5, 4.1], [3.1, 3.62, 4.19]
    difference = of_bits(one=one, two=two).difference("two")
    interval = ttest_rel(two, one).confidence_interval(0.95)
    assert (difference.low, difference.high) == pytest.approx(tuple(interval))
    assert "3.533 ± 1.368 |" in of_bits(one=one, two=two).table()


def test_two_seeds_show_their_values_and_not_an_interval_of_one_degree_of_freedom():
    comparison = of_bits(one=[3.0, 3.5], two=[3.2, 3.6], three=[2.9, 3.6])
    for row in comparison.rows:
        row["samples_per_second"] = 1000.0 + 500 * row["seed"]
    rows = [[cell.strip() for cell in line.split("|")] for line in comparison.table().splitlines()]
    assert rows[2][2:5] == ["3.000 to 3.500", "-", "1,250"]
    assert rows[3][2:5] == ["3.200 to 3.600", "+0.100 to +0.200 (two seeds)", "1,250"]
    assert rows[4][3] == "-0.100 to +0.100 (two seeds)"


def test_the_caption_explains_every_column_and_no_stage_that_is_not_there(compared):
    comparison, _ = compared
    heads = [head.strip() for head in comparison.table().splitlines()[0].split("|")][2:-1]
    lines = [line for line in comparison.caption().splitlines() if line.startswith("- ")]
    assert [line[2:].partition(":")[0] for line in lines] == heads
    assert "first stage" not in comparison.caption()
    staged = Comparison("none", 1, 1, [{**of_bits(a=[1.0]).rows[0], "first_stage_seconds": 1.0}])
    assert "1 held-out utterance, " in staged.caption()
    assert "Steps of a first stage are additional." in staged.caption()
    units = Comparison("none", 1, 9, [{**staged.rows[0], "scores": {"k-means ABX": 1.0}}])
    assert "- k-means ABX: ABX of k-means on MFCC" in units.caption()


def test_variants_of_the_same_settings_are_trained_once(store, tmp_path, capsys):
    variants = {"base": {}, "VQ": {"bottleneck": "vq"}, "other": {"bottleneck": "ae"}}
    settings = {"base": "tiny", "steps": 1, "save": tmp_path, "progress": False}
    comparison = compare(variants, store, **settings)
    assert [row["run"] for row in comparison.rows] == ["base-seed0", "base-seed0", "other-seed0"]
    assert "VQ has the settings of base: it is not trained again" in capsys.readouterr().out
    assert "VQ has the settings of base: one training, shown twice." in comparison.caption()
    assert not (tmp_path / "vq-seed0").exists()


def test_a_warm_up_that_is_not_over_at_the_end_is_refused_before_training(store, tmp_path):
    rate = {"peak": 1e-3, "warm_up": 9, "end": 0.0}
    settings = {"base": "tiny", "steps": 9, "save": tmp_path, "learning_rate": rate}
    with pytest.raises(InputError, match="warm-up of 9 steps is not over"):
        compare([{}], store, **settings)
    assert not list(tmp_path.iterdir())


def test_only_seeds_that_both_variants_have_are_paired():
    comparison = of_bits(one=[3.0, 3.5, 4.1], two=[3.2, 3.6])
    difference = comparison.difference("two")
    assert (difference.value, difference.n) == (pytest.approx(0.15), 2)
    assert "two" in str(comparison)


def test_differences_inside_the_interval_are_called_not_distinguishable():
    comparison = of_bits(
        base=[3.0, 3.2, 3.1], same=[3.1, 3.1, 3.1], worse=[4.0, 4.21, 4.1], better=[2.9, 3.1, 3.0]
    )
    assert comparison.verdict("base") == "-"
    assert comparison.verdict("same") == "not distinguishable"
    assert "| not distinguishable (+0.000 ± 0.248) |" in str(comparison)
    assert "± is half the 95 % interval, over the seeds." in str(comparison)
    assert comparison.verdict("worse").startswith("+1.0")
    assert comparison.verdict("better").startswith("-0.1")
    assert "one seed" in of_bits(base=[3.0], other=[2.0]).verdict("other")


BASES = {"wavenet": "paper", "units": "mini/first_stage"}


@pytest.mark.parametrize(
    ("family", "name"), [(family, name) for family in FAMILIES for name in FAMILIES[family]]
)
def test_every_variant_of_a_family_builds_from_its_base(family, name):
    preset = load_preset(BASES[family]).change(**FAMILIES[family][name])
    assert build_model(preset, ["ann"]).hop_length in (64, 160, 320)


def test_first_stages_are_compared_by_their_bands_and_by_scores(store, tmp_path):
    variants = {"EMA": {"bottleneck": "ema"}, "two": {"bottleneck": "residual"}}
    settings = {"base": "tiny", "decoder": "mel", "steps": 2, "seeds": 2, "progress": False}

    def score(run, store):
        return {"minutes": 1.5 + run.preset.training.seed}

    comparison = compare(variants, store, save=tmp_path, score=score, **settings)
    row = comparison.rows[0]
    measured = validate(load_run(tmp_path / row["run"]).model, store, utterances=30)
    assert row["mse"] == measured["mse"]
    assert [row["seed"] for row in comparison.rows] == [0, 0, 1, 1]  # a seed is complete first
    assert (comparison.loss, comparison.scores) == ("mse", ["minutes"])
    assert comparison.measured("two", "minutes") == {0: 1.5, 1: 2.5}
    assert comparison.measured("two", "nominal_rate")[0] == 4 * 5 * 250  # 4 codebooks of 32 codes
    heads = [head.strip() for head in comparison.table().splitlines()[0].split("|")]
    assert heads[2:5] == ["mel error", "against the first", "minutes"]
    assert "bits per sample" not in heads
    assert Comparison.load(tmp_path).rows == comparison.rows
    assert {ax.get_xlabel() for ax in comparison.plot().axes} >= {"minutes", "perplexity (codes)"}


@pytest.mark.parametrize(
    ("variants", "settings", "message"),
    [
        ([{}, {}], {}, "same name"),
        ([], {}, "nothing to compare"),
        ([{}, {"steps": 3}], {}, r"\[3, 20\] steps"),
        (
            [{}, {"decoder": {"codec": {"pre_emphasis": 0.85}}}],
            {},
            r"the waveform in 256 levels; .*pre-emphasised waveform \(0.85\)",
        ),
        ([{}, {"decoder": {"codec": {"num_levels": 64}}}], {}, r"256 levels; .* 64 levels\)"),
        ([{}, {"seed": 3}], {}, "seed, which is the same for all"),
        (["batch_size=2"], {}, "batch_size, which is the same for all"),
        (["bottleneck=emma"], {}, "did you mean 'ema'"),
        ([{"botleneck": "ema"}], {}, "did you mean 'bottleneck'"),
        (["minni"], {}, "did you mean 'mini'"),
        ([{}, {"decoder": "mel"}], {"steps": 2}, "mel bands, not samples"),
        ("unit", {}, "did you mean 'units'"),
        ([{}, {"bottleneck": {"joints": True}}], {}, "did you mean 'joint'"),
        ({"a +": {}, "a -": {"bottleneck": "ae"}}, {}, "folders would have the same name"),
    ],
)
def test_variants_that_cannot_be_compared_are_named(store, tmp_path, variants, settings, message):
    with pytest.raises(InputError, match=message):
        compare(variants, store, base="tiny", save=tmp_path, progress=False, **settings)
    assert not list(tmp_path.iterdir())  # nothing was trained before


def test_one_seed_and_changes_with_commas(store, tmp_path):
    text = "decoder.network.dilations=[1,2,4],log_every=1"
    settings = {"base": "tiny", "steps": 1, "save": tmp_path, "progress": False}
    comparison = compare([text], store, seed=7, **settings)
    assert comparison.seeds == [7]
    preset = load_run(tmp_path / comparison.rows[0]["run"]).preset
    assert preset.training.seed == 7
    assert preset.training.log_every == 1
    assert preset.decoder["config"]["network"]["config"]["dilations"] == [1, 2, 4]


def test_only_a_corpus_can_be_compared_on(tmp_path):
    with pytest.raises(InputError, match="corpus or its store; given list"):
        compare([{}], [(np.zeros(99), 0)], base="tiny", save=tmp_path)


def test_the_command_line_compares_by_names_and_changes(folder, tmp_path, capsys):
    line = ["compare", str(folder), "VQ:", "bottleneck=ae"]
    options = ["--base", "tiny", "--steps", "1", "--set", "batch_size=2", "--save", str(tmp_path)]
    assert main([*line, *options]) == 0
    out = capsys.readouterr().out
    assert "| VQ " in out
    assert "| bottleneck=ae " in out
    rows = json.loads((tmp_path / "compare.json").read_text())["rows"]
    assert [row["variant"] for row in rows] == ["VQ", "bottleneck=ae"]
    assert main(["compare", str(folder), "a:", "a:steps=2", "--base", "tiny"]) == 2
