"""Facts about presets, their cost, and the problems that are named before training."""

import math
import re

import pytest

import vqwn_kit as vq
from tests.conftest import declare
from vqwn_kit import InputError, describe, load_preset
from vqwn_kit.cli.main import main
from vqwn_kit.presets.preset import preset_names
from vqwn_kit.workbench import cost
from vqwn_kit.workbench.describe import _measured
from vqwn_kit.workbench.facts import Facts, FactTable
from vqwn_kit.workbench.problems import find_problems

DEEP = {"network": {"num_cycle_layers": 6}}  # 8 + 63 past samples: more than the hop of 64
LAYERS = {"local_channels": 256, "local_layers": 3}


@pytest.fixture(autouse=True)
def _large_machine(monkeypatch):
    """Problems do not depend on the memory of the machine that runs the tests."""
    monkeypatch.setattr("vqwn_kit.workbench.problems.machine_memory", lambda: 64 * 10**9)


def healthy(**changes):
    """Return the preset `tiny` with a decoder that sees a whole code, and with changes."""
    return load_preset("tiny").change(decoder=DEEP).change(**changes)


def problems_of(preset, sources=()):
    return find_problems(preset, declare(preset), sources)


@pytest.mark.parametrize("name", preset_names())
def test_shipped_presets_have_no_problem(name):
    """But for `tiny`, made for tests, whose decoder depends on 23 past samples."""
    found = problems_of(load_preset(name))
    if name == "tiny":
        (problem,) = found
        assert "receptive field is 23 samples, and a code lasts 64" in problem
    else:
        assert not found


PROVOKING = [
    (
        {"segment_length": 64, "bottleneck": {"num_embeddings": 16}},
        "is 64 samples, and a frame of z_e depends on 190.*; give 192",
    ),
    ({"encoder": {"num_layers": 5}}, "500 codes per second are 33 per phone"),
    ({"bottleneck": {"num_embeddings": 257}}, "4, which is 256 frames for 257 codes"),
    (
        {"reset_dead_every": 1, "bottleneck": {"num_embeddings": 100}},
        "there are 64 frames for 100 codes, so at least 36 count",
    ),
    ({"reset_dead_every": 5, "bottleneck": "fsq"}, "FiniteScalarQuantizer has no codes that move"),
    ({"reset_dead_every": 5, "bottleneck": "ae"}, "Identity has no codes that move"),
    ({"codebook_rate": 2.0, "bottleneck": "ema"}, "codebook_rate is 2, without effect"),
    ({"codebook_rate": 2.0, "bottleneck": "lfq"}, "codebook_rate is 2, without effect"),
    ({"bottleneck": {"commitment_cost": 0.0}}, "can grow without a limit"),
    ({"bottleneck": {"joint": True, "commitment_cost": 1.0}}, "commitment_cost is 1 .* is joint"),
    (
        {"bottleneck": {"gradient": "diveq", "commitment_warm_up": 9}},
        "commitment_warm_up 9, without effect: the gradient is 'diveq'",
    ),
    ({"bottleneck": {"class_name": "ema", "kl_mean": 0.1}}, "kl_mean 0.1 with a codebook by"),
    (
        {"bottleneck": {"class_name": "residual", "quantizer": {"commitment_cost": 0.0}}},
        "can grow without a limit",
    ),
    ({"freeze": ("encoder", "decoder")}, "encoder and decoder would keep random weights"),
    ({"decoder": {"codec": {"lpc_order": 16}}}, "lpc_order is 16 without a first stage"),
    ({"first_stage_steps": 2, "bottleneck": "ae"}, "first stage without a codebook"),
    ({"first_stage_steps": 2, "freeze": ("encoder",)}, "refuses: the second stage freezes"),
    (
        {"first_stage_steps": 2, "decoder": {"conditioner": {"local_layers": 3}}},
        "refuses the two stages: .*local_channels: 256 there, None here",
    ),
    ({"batch_size": 200_000}, r"needs about [\d.]+ GB of memory"),
]


@pytest.mark.parametrize(("changes", "message"), PROVOKING)
def test_a_problem_is_named(changes, message):
    (problem,) = problems_of(healthy(**changes))
    assert re.search(message, problem)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"segment_length": 128},  # more than half of 190 samples
        {"bottleneck": {"num_embeddings": 256}},  # as many as frames of the start
        {"reset_dead_every": 1, "bottleneck": {"num_embeddings": 64}},
        {"codebook_rate": 2.0},
        {"bottleneck": {"commitment_cost": 0.0, "unit_norm": True}},
        {"bottleneck": {"joint": True}},
        {"bottleneck": {"kl_mean": 0.1}},
        {"bottleneck": "residual"},
        {"bottleneck": "ae"},
        {"first_stage_steps": 2, "decoder": {"conditioner": LAYERS, "codec": {"lpc_order": 16}}},
        {"decoder": {"network": {"num_cycle_layers": 4, "interpolate": True}}},
    ],
)
def test_what_works_has_no_problem(changes):
    assert not problems_of(healthy(**changes))


def test_parts_of_other_runs_are_no_problem():
    preset = healthy(freeze=("encoder", "bottleneck"), decoder={"codec": {"lpc_order": 16}})
    assert len(problems_of(preset)) == len(problems_of(preset, {"encoder", "bottleneck"})) + 1 == 2
    assert not problems_of(preset, {"encoder", "bottleneck", "conditioner"})


def test_a_preset_is_described_by_facts_that_follow_from_it():
    facts = describe("tiny")
    assert facts["hop length"] == "64 samples (4 ms), 250 frames per second"
    # Six layers of 4 taps and stride 2; 8 taps and dilations 1, 2, 4, 8 of 2 taps.
    assert facts["receptive field"] == "encoder 190 samples (12 ms), decoder 23 samples (1 ms)"
    assert facts["bit rate"] == "1250 bits per second, nominal"
    seconds = 20 * 4 * 1024 / 16_000
    assert facts["training"].startswith("20 steps of 4 x 1024 samples")
    assert f"{seconds:.2g} seconds of speech" in facts["training"]
    longer = describe("tiny", steps=100_000)  # 409.6 million samples
    assert "7.1 hours of speech" in longer["training"]
    several = describe("tiny", bottleneck={"class_name": "residual", "num_codebooks": 3})
    assert several["bit rate"] == "3750 bits per second, nominal"


def test_multiply_adds_are_those_of_the_matrices():
    """Of a sample: first taps, skip, four blocks, two layers; of a frame, two projections."""
    sample = 8 * 16 + 16 * 16 + 4 * (2 * 16 * 32 + 16 * 32) + 16 * 16 + 16 * 256
    frame = 12 * (4 * 32) + 12 * 16  # of 8 channels of the codes and 4 of the speaker
    model = declare(load_preset("tiny"))
    assert cost.multiply_adds(model) == sample + frame // 64
    layers = load_preset("tiny").change(decoder={"conditioner": LAYERS})
    conditioner = 3 * 8 * 256 + 260 * 256 + 3 * 3 * 256 * 256
    frame = 256 * (4 * 32) + 256 * 16 + conditioner
    assert cost.multiply_adds(declare(layers)) == sample + round(frame / 64)


def test_the_estimate_of_memory_counts_weights_and_activations():
    preset = load_preset("tiny")
    model = declare(preset)
    learned = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    fixed = sum(math.prod(weight.shape) for weight in model.non_trainable_weights)
    channels = 16 + 16 + 4 * (32 + 32) + 16 + 256
    weights, activations = cost.estimated_memory(preset, model)
    assert weights == 4 * (5 * learned + 2 * fixed)
    assert activations == 4 * cost.KEPT * channels * 4 * 1024
    assert cost.estimated_memory(preset.change(average_decay=0), model)[0] == 4 * (
        4 * learned + fixed
    )


def test_stages_are_those_of_training():
    (only,) = cost.stages_of(load_preset("tiny")).items()
    assert only == ("training", load_preset("tiny"))
    first, second = cost.stages_of(load_preset("mini")).values()
    assert first.decoder["class_name"] == "MelDecoder"
    assert second.training.freeze == ("encoder", "bottleneck")
    assert cost.minutes_of_speech(first) == pytest.approx(800 * 16 * 12800 / 960_000)


def test_measuring_takes_steps_of_each_stage(monkeypatch):
    monkeypatch.setattr(cost, "SECONDS", 0.0)
    preset = load_preset("tiny").change(batch_size=2, segment_length=512)
    step = cost.measure_step(preset)
    assert step.rate == pytest.approx(2 * 512 / step.seconds)
    assert step.minutes == pytest.approx(20 * step.seconds / 60)
    assert step.memory is None or step.memory >= 0  # 0 where what was freed before is enough
    described = {"training": cost.StepCost(0.5, 1000, 600, 2_500_000_000)}
    facts = _measured(described)
    assert "2 steps and 2,000 samples per second: 5 minutes for 600" in facts["training, measured"]
    assert facts["memory, measured"].startswith("2.50 GB")


def test_encoders_stand_side_by_side(monkeypatch):
    steps = iter([cost.StepCost(1.0, 1920, 60, None), cost.StepCost(3.0, 1920, 60, None)])
    monkeypatch.setattr(cost, "measure_step", lambda preset: next(steps))
    monkeypatch.setattr(cost, "measure_encoding", lambda model: 0.25)
    other = {"class_name": "2019", "filters": 16}
    table = describe("tiny", decoder=DEEP, batch_size=2, encoder=["64", other], measure=True)
    assert list(table) == ["64", "2019, filters=16"]
    assert [row["hop"] for row in table.values()] == ["64", "320"]
    assert [row["bits per second"] for row in table.values()] == ["1250", "250"]
    assert [row["training, relative"] for row in table.values()] == ["1.00", "3.00"]
    assert table["64"]["encoding (ms per s)"] == "250.0"
    assert "crops of 960 samples" in table.caption  # a multiple of both hops
    assert "960 samples, and a frame of z_e depends on" in str(table)
    assert "<table>" in table._repr_html_()


def test_facts_print_aligned_and_as_a_table():
    facts = Facts({"preset": "a<b", "hop length": "64"}, ["it cannot work"])
    first, second, third = str(facts).splitlines()
    assert (first, second) == (f"{'preset':24} a<b", f"{'hop length':24} 64")
    assert third == f"{'problem':24} it cannot work"
    assert facts == {"preset": "a<b", "hop length": "64"}
    html = facts._repr_html_()
    assert "a&lt;b" in html
    assert "it cannot work" in html
    rows = {"x": Facts({"hop": "64"}, ["slow"]), "long": Facts({"hop": "5120"})}
    table = FactTable("encoder", rows, "measured")
    assert str(table).splitlines() == [
        "encoder   hop",
        "x          64",
        "long     5120",
        "",
        "measured",
        "x: slow",
    ]
    assert table.problems == {"x": ["slow"]}


def test_what_cannot_be_described_is_refused(folder):
    with pytest.raises(InputError, match="with changes .steps.; expected a preset"):
        describe(folder, steps=3)
    with pytest.raises(InputError, match="a list for one part"):
        describe("tiny", encoder=["64"], bottleneck=["vq", "ema"])
    with pytest.raises(InputError, match="lists one twice: 64, 64"):
        describe("tiny", encoder=["64", "64"])
    with pytest.raises(InputError, match="multiple of the encoder's hop"):
        describe("tiny", segment_length=1000)


def test_commands_print_problems_before_training(folder, monkeypatch, capsys):
    assert main(["info", "tiny", "--set", "bottleneck=ema", "codebook_rate=2"]) == 0
    assert "codebook_rate is 2, without effect" in capsys.readouterr().out

    def stop(*arguments, **settings):
        raise InputError("training begins")

    monkeypatch.setattr(vq, "train", stop)
    line = f"train {folder} --preset tiny --steps 2 --freeze encoder"
    assert main(line.split()) == 2
    *notes, last = capsys.readouterr().err.splitlines()
    assert any("note: training.freeze is ['encoder']" in note for note in notes)
    assert last == "vqwn: training begins"


def test_pitch_is_described_with_its_rate_and_costs_no_time():
    pitch = {"conditioner": {"pitch_levels": 50}}
    facts = describe("tiny", decoder=pitch)
    assert facts["pitch"] == "50 levels: 1411 bits per second more, nominal"
    assert "pitch" not in describe("tiny")
    models = [declare(load_preset("tiny").change(decoder=change)) for change in ({}, pitch)]
    plain, more = map(cost.multiply_adds, models)
    assert 0 < more - plain < 200  # the projections of 32 channels, once per frame
    preset = load_preset("tiny").change(decoder=pitch, batch_size=1, segment_length=128)
    assert cost.measure_step(preset).seconds > 0


def test_a_run_is_described_by_the_steps_it_took():
    facts = describe("mini")
    assert "trained for" not in facts  # a preset
    facts = describe(vq.results("mini"))
    assert facts["trained for"] == "first stage 2,000 of 2,000 steps, then 4,000 of 4,000 steps"
    assert "learning rate rises to 0.003 in 100 steps and falls to 5e-05" in facts["second stage"]
    flat = describe("tiny", learning_rate=0.01)
    assert any(text.endswith("learning rate 0.01") for text in flat.values())
    stairs = describe("tiny", learning_rate={0: 0.01, 5: 0.001})
    assert any(text.endswith("0.01 from step 0, 0.001 from step 5") for text in stairs.values())


def test_a_name_of_a_preset_is_one_of_its_first_stage_too():
    """As in `vqwn compare --base mini/first_stage`; the run of that name is a path."""
    assert describe("mini/first_stage")["preset"] == "mini"
    assert "run" not in describe("mini/first_stage")
    assert "run" in describe(vq.results("mini") / "first_stage")
