"""Presets, and what is refused in them."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import declare
from vqwn_kit import InputError, build_model, load_preset
from vqwn_kit.presets.preset import PRESETS, Preset, from_dict, parse_changes, preset_names
from vqwn_kit.presets.training_config import TrainingConfig, multiplies_bfloat16
from vqwn_kit.training.optimizer import make_optimizer


def narrow(preset: Preset) -> Preset:
    """Return a preset with 16 channels per layer: the same wiring, hop, crops and training."""

    def shrink(content):
        if not isinstance(content, dict):
            return content
        wide = {"filters", "residual_channels", "gate_channels", "skip_channels", "local_channels"}
        return {key: 16 if key in wide else shrink(value) for key, value in content.items()}

    return load_preset(shrink(preset.to_dict()))


def test_the_preset_original_is_what_the_original_files_say():
    shipped = load_preset("original")
    read = load_preset(PRESETS / "model_parameters.json").change(precision="auto")
    assert shipped.bottleneck == read.bottleneck
    assert shipped.training == read.training
    models = declare(shipped), declare(read)
    assert models[0].decoder.get_config() == models[1].decoder.get_config()
    built = models[1].encoder.get_config()
    assert built == models[0].encoder.get_config()
    assert (built["filters"], built["kernel_size"], built["num_layers"]) == (768, 5, 6)


# Trainable weights; hop length; receptive field: each layer of dilation d and kernel size k adds
# (k - 1) d samples, the first one its kernel size. 10 layers of kernel size 2 add 1023.
SIZES = {
    "chorowski2019": (28_787_038, 320, 2 + 2 * 1023),
    "magenta": (32_622_624, 64, 2 + 5 * 1023),
    "magenta_gated": (21_523_328, 64, 32 + 3 * 2 * 1023),
    "paper": (1_148_048, 64, 32 + 2 * 511),
    "mini": (1_432_014, 160, 2 + 511),
    "nsynth": (63_755_600, 512, 3 + 3 * 2 * 1023),
    "original": (35_144_192, 64, 32 + 3 * 2 * 1023),
    "reference": (1_813_326, 160, 2 + 1023),
    "tiny": (19_052, 64, 8 + 15),
}


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_has_its_size_and_goes_through_json_unchanged(name):
    preset = load_preset(name)
    assert from_dict(json.loads(json.dumps(preset.to_dict()))) == preset
    model = declare(preset)
    weights = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    assert (weights, model.hop_length, model.decoder.receptive_field) == SIZES[name]
    assert preset.training.segment_length % model.hop_length == 0


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_takes_a_step(name, rng):
    preset = narrow(load_preset(name))
    model = build_model(preset, ["ann", "bob"])
    model.compile(make_optimizer(preset.training))
    length = max(2 * model.hop_length, 640)
    wave = tf.constant(rng.uniform(-0.5, 0.5, (1, length, 1)), "float32")
    before = model.decoder.network.out.kernel.numpy().copy()
    losses = model.train_step((wave, tf.constant([1])))
    assert 3 < float(losses["wavenet/nll"]) < 8  # nats; ln 256 is 5.5
    assert not np.array_equal(model.decoder.network.out.kernel, before)


def test_a_missing_original_file_falls_back_on_the_shipped_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_preset("model_parameters.json").bottleneck["config"]["num_embeddings"] == 512


def original(folder: Path, model: dict, wavenet: dict | None = None) -> Preset:
    """Return the preset in the two JSON files of the original project, with changes."""
    for name, changes in (("model_parameters", model), ("wavenet_parameters", wavenet or {})):
        content = json.loads((PRESETS / f"{name}.json").read_text()) | changes
        (folder / f"{name}.json").write_text(json.dumps(content))
    return load_preset(folder / "model_parameters.json")


def test_files_of_the_original_project_are_read(tmp_path):
    rates = {"0": 1e-3, "10": 1e-4}
    preset = original(tmp_path, {"k": 64, "use_vq": False, "learning_rate_schedule": rates})
    assert preset.bottleneck == {"class_name": "Identity", "config": {"embedding_dim": 64}}
    assert preset.training.learning_rate == {0: 1e-3, 10: 1e-4}


def test_an_unknown_encoder_of_the_original_is_named(tmp_path):
    with pytest.raises(InputError, match="did you mean '64'"):
        original(tmp_path, {"encoder": "65"})


@pytest.mark.parametrize("name", ["64", "Magenta", "2019"])
def test_the_originals_three_encoders_are_read(tmp_path, name):
    preset = original(tmp_path, {"encoder": name})
    assert declare(preset).hop_length == (320 if name == "2019" else 64)
    gated = load_preset("magenta_gated")
    assert (preset.encoder["class_name"] == gated.encoder["class_name"]) == (name == "Magenta")


def test_other_dilations_are_read_from_the_original_file(tmp_path):
    dilations = {"num_cycles": 1, "num_cycle_layers": 3, "dilation_rates": [1, 3, 9]}
    assert declare(original(tmp_path, {}, dilations)).decoder.network.dilations == [1, 3, 9]


def tiny(**changes) -> dict:
    return json.loads(json.dumps(load_preset("tiny").to_dict())) | changes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.update(encodr={}), "did you mean 'encoder'"),
        (lambda p: p["encoder"]["config"].update(filterz=3), "did you mean 'filters'"),
        (lambda p: p["training"].update(batchsize=3), "did you mean 'batch_size'"),
        (lambda p: p["decoder"].update(class_name="WaveNett"), "did you mean 'wavenet'"),
        (lambda p: p["decoder"].pop("class_name"), "names no class"),
        (lambda p: p["encoder"]["config"].update(embedding_dim=9), "differ in D"),
        (lambda p: p["decoder"]["config"].update(jitter=1), "give decoder.conditioner.jitter"),
        (
            lambda p: p["decoder"]["config"]["network"]["config"].update(kernel_size=1),
            "at least 2 taps",
        ),
        (lambda p: p["encoder"]["config"].update(num_layers="six"), "encoder .* cannot be built"),
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
    with pytest.raises(InputError, match="is not a preset"):
        load_preset(tmp_path / "p.json")


def test_training_settings_are_changed_by_name():
    assert load_preset("tiny").change(steps=7).training.steps == 7
    with pytest.raises(InputError, match="did you mean 'steps'"):
        load_preset("tiny").change(step=7)
    assert TrainingConfig(learning_rate={"10": 1, "0": 2}).learning_rate == {0: 2.0, 10: 1.0}


def test_parts_are_exchanged_by_one_word_and_keep_their_sizes():
    paper = load_preset("paper")
    ema = paper.change(bottleneck="ema").bottleneck
    kept = {key: paper.bottleneck["config"][key] for key in ("num_embeddings", "embedding_dim")}
    assert ema["class_name"] == "VectorQuantizerEMA"
    assert kept.items() <= ema["config"].items()
    joint = paper.change(bottleneck={"joint": True}).bottleneck
    assert joint == {**paper.bottleneck, "config": {**paper.bottleneck["config"], "joint": True}}
    other = paper.change(encoder="2019", bottleneck={"batch_norm": True}, steps=7)
    assert other.encoder["config"]["filters"] == paper.encoder["config"]["filters"]
    assert other.training.steps == 7
    assert paper.encoder["class_name"] == "StridedConvEncoder"  # a change is a copy


def test_short_names_in_a_preset_are_the_classes_they_name():
    ema = {"class_name": "ema", "config": {"decay": 0.5, "num_embeddings": 9, "embedding_dim": 8}}
    preset = load_preset(load_preset("tiny").to_dict() | {"bottleneck": ema})
    changed = preset.change(bottleneck={"kl_mean": 0.1}).bottleneck
    assert changed["config"] == {**ema["config"], "kl_mean": 0.1}
    assert declare(preset.change(encoder=2019)).hop_length == 320


def test_a_crop_follows_the_hop_of_another_encoder():
    paper = load_preset("paper")
    assert paper.change(encoder="2019").training.segment_length == 1920
    assert paper.change(encoder="2019", segment_length=640).training.segment_length == 640
    assert paper.change(bottleneck="ema").training.segment_length == 2048


def test_changes_are_read_from_the_command_line():
    texts = "steps=7 encoder=2019 bottleneck.joint=true bottleneck=vq".split()
    texts.append("decoder.codec.one_hot=true")
    assert parse_changes(texts) == {
        "steps": 7,
        "encoder": {"class_name": "2019"},
        "decoder": {"codec": {"one_hot": True}},
        "bottleneck": {"joint": True, "class_name": "vq"},
    }
    with pytest.raises(InputError, match="NAME=VALUE"):
        parse_changes(["steps"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freeze": ["encodr"]}, "did you mean 'encoder'"),
        ({"freeze": ["encoder", "bottleneck", "decoder"]}, "nothing is left"),
        ({"learning_rate": {"peak": 1e-3, "warmup": 3}}, "did you mean 'warm_up'"),
        ({"learning_rate": {"first": 1e-3}}, "expected .step: rate."),
        ({"codebook_rate": -1}, "codebook_rate is -1"),
        ({"weight_decay": "much"}, "weight_decay is 'much'"),
        ({"first_stage_steps": -1}, "first_stage_steps is -1"),
        ({"encoder": "65"}, "did you mean '64'"),
        ({"bottleneck": None}, "no codebook is 'ae'"),
        ({"bottleneck": {"num_embeddings": 0}}, "num_embeddings is 0"),
        ({"bottleneck": {"initializer": "kmeans"}}, "cannot be built"),
        ({"average_decay": "high"}, "average_decay is 'high'"),
        ({"clip_norm": "1"}, "clip_norm is '1'"),
        ({"learning_rate": {"peak": 0}}, "a peak above 0"),
        ({"sampling": "duratoin"}, "did you mean 'duration'"),
        ({"encoder": {"filter": 3}}, "did you mean 'filters'"),
    ],
)
def test_what_is_wrong_in_a_change_is_named(changes, message):
    with pytest.raises(InputError, match=message):
        build_model(load_preset("tiny").change(**changes), ["ann"])


@pytest.mark.parametrize(
    ("flags", "precision"),
    [("fpu avx512_bf16 avx2", "mixed_bfloat16"), ("amx_bf16", "mixed_bfloat16"), ("avx2", None)],
)
def test_auto_is_bfloat16_where_the_processor_multiplies_it(flags, precision, tmp_path):
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags : {flags}\n")
    assert multiplies_bfloat16(tmp_path / "cpuinfo") == (precision is not None)
    assert not multiplies_bfloat16(tmp_path / "none")


def test_auto_is_settled_when_it_is_read():
    settled = TrainingConfig(precision="auto").precision
    assert settled == ("mixed_bfloat16" if multiplies_bfloat16() else "float32")


def test_more_weights_than_memory_are_refused_before_they_are_made():
    with pytest.raises(InputError, match="take .* GiB; this machine has .* GiB of memory"):
        build_model(load_preset("tiny").change(K=2**24, D=2**16), ["ann"])
    assert (
        build_model(load_preset("tiny").change(K=2**13), ["ann"]).bottleneck.num_embeddings == 8192
    )


@pytest.mark.parametrize(
    ("model", "wavenet"),
    [
        ({"k": "x"}, {}),
        ({"k": -5}, {}),
        ({"k": 1e12}, {}),
        ({"encoder": ["64"]}, {}),
        ({"beta": "much"}, {}),
        ({"wavenet_parameters": 5}, {}),
        ({"learning_rate_schedule": {"0": "fast"}}, {}),
        ({}, {"dilation_rates": 5}),
        ({}, {"num_cycles": "3"}),
        ({}, {"preprocess": None}),
        ({}, {"preprocess": {"filters": 256}}),
    ],
)
def test_values_of_another_type_in_the_originals_files_are_named(tmp_path, model, wavenet):
    with pytest.raises(InputError, match="expected|lacks"):
        original(tmp_path, model, wavenet)


def test_other_steps_take_the_schedule_along():
    mini, paper = load_preset("mini"), load_preset("paper")
    first = mini.first_stage()
    assert first.training.learning_rate["warm_up"] == 100  # of 800 steps
    assert first.change(steps=60).training.learning_rate == {
        **first.training.learning_rate,
        "warm_up": 7,
    }
    assert mini.change(steps=2400).training.learning_rate["warm_up"] == 200
    assert list(paper.change(steps=60).training.learning_rate) == [0, 35, 47, 55]
    both = mini.change(first_stage_steps=80, steps=120)
    assert both.training.learning_rate["warm_up"] == 10
    assert both.first_stage().training.learning_rate["warm_up"] == 10
    assert mini.training.first_stage["learning_rate"]["warm_up"] == 100  # is as it was
    for steps in (1, 2, 7, 99, 100, 101):
        for stage in (first.change(steps=steps), mini.change(steps=steps)):
            stage.check_warm_ups()


def test_a_schedule_that_is_given_is_kept_and_must_fit():
    rate = {"peak": 1e-3, "warm_up": 50, "end": 0.0}
    preset = load_preset("mini").change(steps=60, learning_rate=rate)
    assert preset.training.learning_rate == rate
    preset.check_warm_ups()
    for short in (
        preset.change(steps=50, learning_rate=rate),
        preset.change(first_stage_steps=50, first_stage={"learning_rate": rate}),
    ):
        with pytest.raises(InputError, match="warm-up of 50 steps is not over .* training of 50"):
            short.check_warm_ups()
