"""Presets, and what is refused in them."""

import json
import shutil

import pytest

from vqwn_kit import InputError, TrainingConfig, build_model, load_preset
from vqwn_kit.config import PRESETS, from_dict, preset_names


def test_seed_is_exactly_the_predecessors_parameters():
    ours, theirs = load_preset("seed"), load_preset(PRESETS / "model_parameters.json")
    assert ours.bottleneck == theirs.bottleneck
    assert ours.decoder == theirs.decoder
    assert ours.training == theirs.training
    built = build_model(theirs, ["a"]).encoder.get_config()
    assert built == {**built, **ours.encoder["config"]}
    assert (built["filters"], built["kernel_size"], built["num_layers"]) == (768, 5, 6)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_builds_and_goes_through_json_unchanged(name):
    preset = load_preset(name)
    assert from_dict(json.loads(json.dumps(preset.to_dict()))) == preset
    model = build_model(preset, ["ann", "bob"])
    assert preset.training.segment_length % model.hop_length == 0
    assert model.speaker_names == ["ann", "bob"]


def test_a_missing_predecessor_file_falls_back_on_the_shipped_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_preset("model_parameters.json").bottleneck["config"]["num_embeddings"] == 512


def test_predecessor_files_of_ones_own_are_read(tmp_path):
    for name in ("model_parameters.json", "wavenet_parameters.json"):
        shutil.copy(PRESETS / name, tmp_path / name)
    content = json.loads((tmp_path / "model_parameters.json").read_text())
    content |= {"k": 64, "use_vq": False, "learning_rate_schedule": {"0": 1e-3, "10": 1e-4}}
    (tmp_path / "model_parameters.json").write_text(json.dumps(content))
    preset = load_preset(tmp_path / "model_parameters.json")
    assert preset.bottleneck == {"class_name": "Identity", "config": {"embedding_dim": 64}}
    assert preset.training.learning_rate == {0: 1e-3, 10: 1e-4}


def tiny(**changes) -> dict:
    return json.loads(json.dumps(load_preset("tiny").to_dict())) | changes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.update(encodr={}), "did you mean 'encoder'"),
        (lambda p: p["encoder"]["config"].update(filterz=3), "did you mean 'filters'"),
        (lambda p: p["training"].update(batchsize=3), "did you mean 'batch_size'"),
        (lambda p: p["decoder"].update(class_name="WaveNett"), "did you mean 'WaveNet'"),
        (lambda p: p["decoder"].pop("class_name"), "names no class"),
        (lambda p: p["decoder"]["config"].update(condition_dim=9), "differ in D"),
        (lambda p: p["decoder"]["config"].update(kernel_size=1), "at least 2 taps"),
        (lambda p: p["encoder"]["config"].update(num_layers="six"), "encoder .* can't be made"),
        (lambda p: p["training"].update(segment_length=1000), r"multiple.*64.*such as 1024"),
        (lambda p: p["training"].update(steps=0), "steps is 0"),
        (lambda p: p["training"].update(average_decay=1.0), "average_decay"),
        (lambda p: p["training"].update(learning_rate={"5": 1e-3}), "step 0"),
        (lambda p: p["training"].update(precision="float16"), "precision"),
    ],
)
def test_what_is_wrong_in_a_preset_is_named(change, message):
    content = tiny()
    change(content)
    with pytest.raises(InputError, match=message):
        build_model(load_preset(content), ["ann"])


def test_unknown_presets_and_broken_files_are_named(tmp_path):
    with pytest.raises(InputError, match="did you mean 'mini'"):
        load_preset("minni")
    (tmp_path / "p.json").write_text("{")
    with pytest.raises(InputError, match="no JSON"):
        load_preset(tmp_path / "p.json")


def test_an_unknown_encoder_of_the_predecessor_is_named(tmp_path):
    shutil.copy(PRESETS / "wavenet_parameters.json", tmp_path)
    content = json.loads((PRESETS / "model_parameters.json").read_text()) | {"encoder": "65"}
    (tmp_path / "model_parameters.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="did you mean '64'"):
        load_preset(tmp_path / "model_parameters.json")


def test_training_settings_are_changed_by_name():
    assert load_preset("tiny").change(steps=7).training.steps == 7
    with pytest.raises(InputError, match="did you mean 'steps'"):
        load_preset("tiny").change(step=7)
    assert TrainingConfig(learning_rate={"10": 1, "0": 2}).learning_rate == {0: 2.0, 10: 1.0}
