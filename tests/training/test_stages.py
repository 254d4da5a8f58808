"""Parts of other runs, frozen parts, and training in two stages."""

import numpy as np
import pytest

from tests.conftest import ctrl_c_at, tones
from tests.training.test_train import assert_same_end, copy_at
from vqwn_kit import InputError, Run, load_preset, train
from vqwn_kit.training.train import stages

TWO = ("encoder", "bottleneck")


def equal(one, two, atol: float = 0.0) -> bool:
    """Return whether two layers have the same weights, counters of steps aside."""
    pairs = zip(one.weights, two.weights, strict=True)
    pairs = [(a, b) for a, b in pairs if not a.path.endswith("steps")]
    return all(np.allclose(a.numpy(), b.numpy(), rtol=0, atol=atol) for a, b in pairs)


@pytest.fixture(scope="module")
def sources(store, run, tmp_path_factory):
    """Runs to load parts from, by bottleneck."""
    ema = {"class_name": "ema", "batch_norm": True, "commitment_warm_up": 3}
    runs = {"vq": ("vq", run)}
    for name, bottleneck in {"ema": ema, "softmax": "softmax"}.items():
        settings = {"steps": 4, "bottleneck": bottleneck, "progress": False}
        save = tmp_path_factory.mktemp(name) / "w"
        runs[name] = (bottleneck, train(store, "tiny", save=save, **settings))
    return runs


@pytest.mark.parametrize(
    ("name", "frozen"), [("vq", TWO), ("vq", ("decoder",)), ("ema", TWO), ("softmax", TWO)]
)
def test_frozen_parts_stay_to_the_bit_and_the_others_are_trained(
    sources, store, tmp_path, name, frozen
):
    bottleneck, source = sources[name]
    parts = dict.fromkeys(("encoder", "bottleneck", "decoder"), source)
    settings = {"steps": 4, "reset_dead_every": 2, "average_decay": 0.0, "progress": False}
    settings |= {"parts": parts, "freeze": frozen, "bottleneck": bottleneck}
    run = train(store, "tiny", save=tmp_path / "w", **settings)
    for part in parts:
        same = equal(getattr(source.model, part), getattr(run.model, part))
        assert same == (part in frozen), part
    assert set(run.config["parts"]) == set(parts)


@pytest.mark.parametrize("name", ["vq", "ema", "softmax"])
def test_sizes_and_code_usage_are_measured_in_training_and_on_held_out_speech(sources, store, name):
    run = sources[name][1]
    last = run.history[-1]
    for measure in ("codes_used", "codes_dead", "perplexity", "z_e_rms", "code_rms"):
        assert last[f"vq/{measure}"] >= 0
        assert last[f"held_out/{measure}"] >= 0
    assert last["vq/codes_used"] + last["vq/codes_dead"] == 32
    (number,) = store.numbers("held_out")
    z_e = np.array(run.model.vector_quantize(store.waveform(number)).z_e)
    assert last["held_out/z_e_rms"] == pytest.approx(np.sqrt(np.mean(z_e**2)), rel=0.02)


def test_a_run_with_frozen_parts_is_resumed_exactly(store, run, tmp_path):
    settings = {"parts": dict.fromkeys(TWO, run), "freeze": TWO, "progress": False, "steps": 6}
    copy = copy_at(3, tmp_path / "copy")
    whole = train(store, "tiny", save=tmp_path / "run/w", after_step=copy, **settings)
    assert_same_end(whole, train(store, restore=tmp_path / "copy", progress=False))


def test_frozen_parts_stay_where_a_run_stopped_before_its_first_step(store, run, tmp_path):
    settings = {"parts": dict.fromkeys(TWO, run), "freeze": TWO, "progress": False, "steps": 2}
    train(store, "tiny", save=tmp_path / "w", minutes=0, **settings)
    resumed = train(store, restore=tmp_path, progress=False)
    assert all(equal(getattr(run.model, part), getattr(resumed.model, part)) for part in TWO)


def test_another_decoder_can_be_trained_on_a_frozen_codebook(store, run, tmp_path):
    decoder = {"distribution": "logistic-mixture", "network": {"residual_channels": 8}}
    settings = {"parts": dict.fromkeys(TWO, run), "freeze": TWO, "steps": 2, "progress": False}
    other = train(store, "tiny", save=tmp_path / "w", decoder=decoder, **settings)
    wave = store.waveform(0)
    assert np.array_equal(other.model.encode(wave), run.model.encode(wave))


def test_speaker_vectors_of_a_decoder_are_loaded_by_name(run, tmp_path):
    waves = [(tones(0.2, 120.0), "bob"), (tones(0.2, 300.0), "eve")]
    settings = {"parts": {"decoder": run}, "freeze": ["decoder"], "minutes": 0, "progress": False}
    other = train(waves, "tiny", speakers=["eve", "bob"], save=tmp_path / "w", **settings)
    table, known = (r.model.decoder.speakers.numpy() for r in (other, run))
    assert np.array_equal(table[1], known[list(run.speakers).index("bob")])
    assert not any(np.array_equal(table[0], row) for row in known)


def test_a_quantizer_can_be_loaded_and_trained_in_another_way(store, run, tmp_path):
    settings = {"parts": {"bottleneck": run}, "minutes": 0, "progress": False}
    warm = {"commitment_warm_up": 5}
    other = train(store, "tiny", save=tmp_path / "w", bottleneck=warm, **settings)
    codebooks = [r.model.bottleneck.codebook.numpy() for r in (other, run)]
    assert np.array_equal(*codebooks)
    assert float(other.model.bottleneck.steps) == 0


@pytest.mark.parametrize(
    ("changes", "part", "message"),
    [
        ({"encoder": {"filters": 8}}, "encoder", "filters: 16 there, 8 here"),
        ({"encoder": {"kernel_size": 5}}, "encoder", "kernel_size: 4 there, 5 here"),
        ({"bottleneck": "ema"}, "bottleneck", "is a VectorQuantizer, here a VectorQuantizerEMA"),
        (
            {"decoder": {"network": {"num_cycle_layers": 3}}},
            "decoder",
            "dilations|num_cycle_layers: 4 there",
        ),
        ({}, "encodr", "did you mean 'encoder'"),
    ],
)
def test_parts_that_do_not_fit_are_named(store, run, tmp_path, changes, part, message):
    with pytest.raises(InputError, match=message):
        train(store, "tiny", save=tmp_path / "w", parts={part: run}, **changes)
    assert not list(tmp_path.iterdir())


# Two stages


FIRST = {"batch_size": 3, "segment_length": 640, "learning_rate": 1e-2}
DECODER = {"conditioner": {"local_channels": 6, "local_layers": 2}}


@pytest.fixture(scope="module")
def staged(store, tmp_path_factory):
    """The first and the second stage of a run, whose second hardly moves the weights."""
    folder = tmp_path_factory.mktemp("stages")
    settings = {"steps": 1, "first_stage_steps": 10, "learning_rate": 1e-9, "progress": False}
    settings |= {"first_stage": FIRST, "decoder": DECODER}
    second = train(store, "tiny", save=folder / "w", **settings)
    return Run(folder / "first_stage"), second


def test_the_first_stage_trains_the_codes_with_its_own_settings(staged):
    first, second = staged
    assert (first.newest, second.newest) == (10, 1)
    assert type(first.model.decoder).__name__ == "MelDecoder"
    assert {name: getattr(first.preset.training, name) for name in FIRST} == FIRST
    assert second.preset.training.batch_size == load_preset("tiny").training.batch_size
    errors = [record["mel/mse"] for record in first.history]
    assert errors[-1] < errors[0]
    assert first.history[-1]["held_out/mse"] > 0
    assert all("bits" not in record for record in first.history)


def test_the_second_stage_keeps_the_codes_and_starts_from_the_conditioner(staged):
    first, second = staged
    for part in TWO:
        assert equal(getattr(first.model, part), getattr(second.model, part))
    conditioners = [run.model.decoder.conditioner for run in staged]
    assert equal(*conditioners, atol=1e-6)
    assert str(first.folder) in second.config["parts"]["conditioner"]


def test_parts_are_given_to_the_stage_that_trains_them(staged, store, run, tmp_path):
    settings = {"steps": 1, "first_stage_steps": 1, "learning_rate": 1e-9, "progress": False}
    parts = {"encoder": run, "decoder": staged[1]}
    settings |= {"seed": 1, "decoder": DECODER, "parts": parts}
    second = train(store, "tiny", save=tmp_path / "w", **settings)
    first = Run(tmp_path / "first_stage").model
    assert equal(first.decoder.conditioner, second.model.decoder.conditioner, atol=1e-6)
    loaded = staged[1].model.decoder
    assert equal(loaded.network, second.model.decoder.network, atol=1e-6)
    kernels = [m.encoder.trainable_weights for m in (run.model, first, second.model)]
    for weights in zip(*kernels, strict=True):
        assert all(np.allclose(weights[0], weight, atol=1e-6) for weight in weights[1:])


def test_a_stopped_first_stage_is_resumed_by_the_same_call(store, tmp_path):
    settings = {"save": tmp_path / "w", "steps": 1, "first_stage_steps": 7, "progress": False}
    with pytest.raises(KeyboardInterrupt, match="stage 1 of 2, codes: stopped.*save="):
        train(store, "tiny", callbacks=[ctrl_c_at(5)], **settings)
    assert Run(tmp_path / "first_stage").newest in (5, 6)
    for other in ({"bottleneck": "ema"}, {"seed": 3}):
        with pytest.raises(InputError, match="first stage of other settings"):
            train(store, "tiny", **settings, **other)
    run = train(store, "tiny", **settings)
    assert (Run(tmp_path / "first_stage").newest, run.newest) == (7, 1)
    assert "conditioner" not in run.config["parts"]  # without local layers there is none to load


def test_time_is_shared_by_the_stages_and_ends_both(store, tmp_path):
    settings = {"steps": 100_000, "first_stage_steps": 100_000, "first_stage_share": 0.5}
    settings |= {"log_every": 1000, "progress": False}
    run = train(store, "tiny", save=tmp_path / "w", minutes=6 / 60, **settings)
    first, second = (stage.history[-1] for stage in (Run(tmp_path / "first_stage"), run))
    for last in (first, second):
        assert last["ended"] == "time"
        assert 0 < last["step"] < 100_000
    assert first["seconds"] >= 3.0
    assert first["seconds"] + second["seconds"] >= 5.99  # the second has what the first one left


def test_a_first_stage_that_time_ended_is_not_trained_again(store, tmp_path):
    changes = {"first_stage_steps": 100_000, "steps": 1, "first_stage_share": 0.9}
    preset = load_preset("tiny").change(**changes, log_every=1000)
    train(store, preset, save=tmp_path / "w", minutes=1 / 60, progress=False)
    first = Run(tmp_path / "first_stage").newest
    (trainer,) = stages(store, preset, tmp_path / "w")
    assert trainer.model.is_autoregressive
    assert Run(tmp_path / "first_stage").newest == first


def test_a_stop_in_the_first_stage_returns_its_run(store, tmp_path):
    settings = {"first_stage_steps": 6, "progress": False}
    stop = {"after_step": lambda trainer: trainer.stop_requested.set()}
    first = train(store, "tiny", save=tmp_path / "w", **settings, **stop)
    assert (first.folder.name, first.newest) == ("first_stage", 1)
    assert not (tmp_path / "config.json").is_file()


def test_errors_of_either_stage_are_raised_before_the_first(staged, store, tmp_path):
    settings = {"save": tmp_path / "w", "first_stage_steps": 3, "progress": False}
    second = staged[1]
    for changes, message in [
        ({"decoder": {"network": {"kernel_sze": 2}}}, "did you mean 'kernel_size'"),
        (
            {"parts": {"decoder": second}, "decoder": {"network": {"gate_channels": 5}}},
            "gate_channels|other settings",
        ),
        ({"parts": {"conditioner": second}}, "local_channels: 6 there, None here"),
        ({"freeze": ["encoder"]}, "freezes encoder and bottleneck itself"),
        ({"first_stage": {"batch": 3}}, "did you mean 'batch_size'"),
        ({"first_stage": {"segment_length": 641}}, "multiple"),
    ]:
        with pytest.raises(InputError, match=message):
            train(store, "tiny", **settings, **changes)
    assert not list(tmp_path.iterdir())
