"""Parts of other runs, freezing, and training in two stages."""

import numpy as np
import pytest

from tests.conftest import ctrl_c_at, tones
from vqwn_kit import InputError, Run, load_preset, train


def arrays_of(layer) -> list[np.ndarray]:
    return [weight.numpy().copy() for weight in layer.weights]


def same(one: list[np.ndarray], two: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("frozen", [["encoder", "bottleneck"], ["decoder"]])
@pytest.mark.parametrize("bottleneck", ["vq", "ema"])
def test_freezing_freezes_to_the_bit_and_the_rest_learns(store, tmp_path, frozen, bottleneck):
    settings = {"steps": 6, "reset_dead_every": 2, "progress": False, "bottleneck": bottleneck}
    first = train(store, "tiny", save=tmp_path / "one/w", **settings)
    parts = dict.fromkeys(("encoder", "bottleneck", "decoder"), first)
    second = train(
        store, "tiny", save=tmp_path / "two/w", parts=parts, freeze=frozen, average_decay=0.0,
        **settings,
    )  # fmt: skip
    for part in parts:
        before, after = (arrays_of(getattr(run.model, part)) for run in (first, second))
        assert same(before, after) == (part in frozen), part
    assert set(second.config["parts"]) == set(parts)


def test_a_frozen_run_that_was_stopped_goes_on_exactly(store, run, tmp_path):
    settings = {
        "parts": {"encoder": run.folder, "bottleneck": run.folder},
        "freeze": ["encoder", "bottleneck"], "progress": False,
    }  # fmt: skip
    whole = train(store, "tiny", save=tmp_path / "whole/w", steps=12, **settings)
    train(store, "tiny", save=tmp_path / "parts/w", steps=6, **settings)
    parts = train(store, restore=tmp_path / "parts", steps=12, progress=False)
    assert same(arrays_of(whole.model), arrays_of(parts.model))


def test_the_decoder_can_be_exchanged_on_a_frozen_codebook(store, run, tmp_path):
    parts = {"encoder": run.folder, "bottleneck": run.folder}
    changed = {"mixtures": 3, "residual_channels": 8}
    mixed = train(
        store, "tiny", save=tmp_path / "w", parts=parts, freeze=list(parts), decoder=changed,
        steps=4, progress=False,
    )  # fmt: skip
    wave = store.waveform(0)
    assert np.array_equal(mixed.model.encode(wave), run.model.encode(wave))


def test_voices_of_a_decoder_are_taken_by_their_names(run, tmp_path):
    waves = [(tones(0.2, 120.0), "bob"), (tones(0.2, 300.0), "eve")]
    taken = train(
        waves, "tiny", speakers=["eve", "bob"], save=tmp_path / "w", parts={"decoder": run},
        freeze=["decoder"], steps=2, progress=False,
    )  # fmt: skip
    mine, theirs = (r.model.decoder.speakers.numpy() for r in (taken, run))
    assert np.array_equal(mine[1], theirs[list(run.speakers).index("bob")])
    assert not any(np.array_equal(mine[0], row) for row in theirs)


@pytest.mark.parametrize(
    ("changes", "parts", "message"),
    [
        ({"encoder": {"filters": 8}}, ["encoder"], "filters: 16 there, 8 here"),
        ({"encoder": {"kernel_size": 5}}, ["encoder"], "kernel_size: 4 there, 5 here"),
        ({"bottleneck": "ema"}, ["bottleneck"], "is a VectorQuantizer, here a VectorQuantizerEMA"),
        (
            {"decoder": {"network": {"num_cycle_layers": 3}}},
            ["decoder"],
            r"dilations|num_cycle_layers: 4 there",
        ),
        ({}, ["encodr"], "did you mean 'encoder'"),
    ],
)
def test_parts_that_do_not_fit_are_named(store, run, tmp_path, changes, parts, message):
    with pytest.raises(InputError, match=message):
        train(store, "tiny", save=tmp_path / "w", parts=dict.fromkeys(parts, run), **changes)
    assert not list(tmp_path.iterdir())


def test_restore_and_parts_are_not_both_given(store, run):
    with pytest.raises(InputError, match="either restore or parts"):
        train(store, restore=run.folder, parts={"encoder": run})


def test_two_stages_train_the_codes_first_and_then_the_decoder_on_them(store, tmp_path):
    settings = {"steps": 8, "first_stage_steps": 12, "progress": False}
    run = train(store, "tiny", save=tmp_path / "weights", **settings)
    first = Run(tmp_path / "first_stage")
    assert (first.steps[-1], run.newest) == (12, 8)
    assert type(first.model.decoder).__name__ == "MelDecoder"
    for part in ("encoder", "bottleneck"):
        assert same(arrays_of(getattr(first.model, part)), arrays_of(getattr(run.model, part)))
    errors = [record["mel/mse"] for record in first.history]
    assert errors[-1] < errors[0]
    assert first.history[-1]["held_out/mse"] > 0
    assert all("bits" not in record for record in first.history)
    assert run.history[-1]["bits"] < 8


def test_a_decoder_starts_from_what_the_first_stages_conditions_have_learnt(store, tmp_path):
    settings = {"steps": 1, "first_stage_steps": 3, "learning_rate": 1e-9, "progress": False}
    own = {"learning_rate": 1e-2}
    decoder = {"local_channels": 6, "local_layers": 2}
    run = train(
        store, "tiny", save=tmp_path / "w", decoder=decoder, first_stage=own, **settings
    )  # fmt: skip
    first = Run(tmp_path / "first_stage").model.decoder.conditioner
    assert all(
        np.allclose(one, two, atol=1e-6)
        for one, two in zip(first.weights, run.model.decoder.conditioner.weights, strict=True)
    )
    assert str(tmp_path / "first_stage") in run.config["parts"]["conditioner"]
    again = train(
        store, "tiny", save=tmp_path / "z" / "w", decoder=decoder, first_stage=own, seed=1,
        parts={"decoder": run}, **settings,
    )  # fmt: skip
    first = Run(tmp_path / "z" / "first_stage").model.decoder.conditioner
    for one, two in ((first.join, again.model.decoder.conditioner.join),
                     (run.model.decoder.post, again.model.decoder.post)):  # fmt: skip
        assert np.allclose(one.kernel, two.kernel, atol=1e-6)
    other = train(store, "tiny", save=tmp_path / "x" / "w", **settings)
    assert "conditioner" not in other.config["parts"]
    with pytest.raises(InputError, match="local_channels: 6 there, None here"):
        train(store, "tiny", save=tmp_path / "y" / "w", parts={"conditioner": run}, **settings)


def test_the_first_stage_may_have_settings_of_its_own(store, tmp_path):
    own = {"batch_size": 3, "segment_length": 640, "learning_rate": 5e-3}
    settings = {"steps": 1, "first_stage_steps": 2, "progress": False}
    run = train(store, "tiny", save=tmp_path / "w", first_stage=own, **settings)
    first = Run(tmp_path / "first_stage").preset.training
    assert {name: getattr(first, name) for name in own} == own
    assert run.preset.training.batch_size == load_preset("tiny").training.batch_size
    with pytest.raises(InputError, match="did you mean 'batch_size'"):
        train(store, "tiny", save=tmp_path / "x", first_stage={"batch": 3}, **settings)
    own = {"segment_length": 641}
    with pytest.raises(InputError, match="multiple"):
        train(store, "tiny", save=tmp_path / "new" / "w", first_stage=own, **settings)
    assert not (tmp_path / "new").exists()


def test_a_first_stage_that_was_stopped_is_gone_on_with(store, tmp_path):
    settings = {"steps": 4, "first_stage_steps": 9, "progress": False}
    with pytest.raises(KeyboardInterrupt, match="first of two stages.*save="):
        train(store, "tiny", save=tmp_path / "w", callbacks=[ctrl_c_at(5)], **settings)
    assert Run(tmp_path / "first_stage").newest in (5, 6)
    for other in ({"bottleneck": "ema"}, {"seed": 3}):
        with pytest.raises(InputError, match="first stage of other settings"):
            train(store, "tiny", save=tmp_path / "w", **settings, **other)
    run = train(store, "tiny", save=tmp_path / "w", **settings)
    assert (Run(tmp_path / "first_stage").newest, run.newest) == (9, 4)


def test_time_that_is_over_in_the_first_stage_returns_it(store, tmp_path):
    first = train(
        store, "tiny", save=tmp_path / "w", first_stage_steps=6, minutes=0, progress=False
    )
    assert first.folder.name == "first_stage"
    assert not (tmp_path / "config.json").is_file()


@pytest.mark.parametrize("bottleneck", ["vq", "ema", "softmax"])
def test_the_sizes_and_dead_codes_are_told_in_training_and_of_held_out_speech(
    store, tmp_path, bottleneck
):
    run = train(store, "tiny", save=tmp_path / "w", bottleneck=bottleneck, progress=False)
    last = run.history[-1]
    for name in ("codes_used", "codes_dead", "perplexity", "z_e_rms", "code_rms"):
        assert last[f"vq/{name}"] >= 0
        assert last[f"held_out/{name}"] >= 0
    assert last["vq/codes_used"] + last["vq/codes_dead"] == 32
    held_out = store.numbers("held_out")
    assert len(held_out) == 1
    z_e = np.array(run.model.vector_quantize(store.waveform(held_out[0])).z_e)
    assert last["held_out/z_e_rms"] == pytest.approx(np.sqrt(np.mean(z_e**2)), rel=0.02)


def test_the_exported_codebook_is_what_the_decoder_hears(store, tmp_path):
    on_sphere = {"unit_norm": True}
    run = train(store, "tiny", save=tmp_path / "w", steps=2, bottleneck=on_sphere, progress=False)
    exported = np.load(tmp_path / "embedding_2.npy")
    assert np.allclose(np.linalg.norm(exported, axis=1), 1, atol=1e-5)
    codes = np.arange(32)[None]
    assert np.allclose(run.model.bottleneck.embed(codes)[0], exported, atol=1e-6)


def test_what_is_wrong_in_the_second_stage_is_named_before_the_first(store, run, tmp_path):
    settings = {"save": tmp_path / "w", "first_stage_steps": 3, "progress": False}
    for changes, message in [
        ({"decoder": {"network": {"kernel_sze": 2}}}, "did you mean 'kernel_size'"),
        (
            {"parts": {"decoder": run}, "decoder": {"network": {"gate_channels": 5}}},
            "gate_channels",
        ),
        ({"freeze": ["encoder"]}, "freezes encoder and bottleneck itself"),
    ]:
        with pytest.raises(InputError, match=message):
            train(store, "tiny", **settings, **changes)
    assert not list(tmp_path.iterdir())


def test_the_first_stage_may_start_from_parts(store, run, tmp_path):
    new = train(
        store, "tiny", save=tmp_path / "w", steps=2, first_stage_steps=2, progress=False,
        parts={"encoder": run, "decoder": run}, learning_rate=1e-9,
    )  # fmt: skip
    for part in ("encoder", "decoder"):
        kernels = [getattr(r.model, part).trainable_weights for r in (run, new)]
        for one, two in zip(*kernels, strict=True):
            assert np.allclose(one.numpy(), two.numpy(), atol=1e-6)


def test_a_frozen_codebook_stays_frozen_when_a_run_that_never_began_goes_on(store, run, tmp_path):
    settings = {"parts": dict.fromkeys(("encoder", "bottleneck"), run), "progress": False}
    train(
        store, "tiny", save=tmp_path / "w", minutes=0, freeze=["encoder", "bottleneck"], **settings
    )
    again = train(store, restore=tmp_path, progress=False)
    for part in ("encoder", "bottleneck"):
        assert same(*(arrays_of(getattr(r.model, part)) for r in (run, again)))


@pytest.mark.parametrize("bottleneck", ["softmax", "ema"])
def test_counters_and_statistics_of_frozen_parts_stay_too(store, tmp_path, bottleneck):
    changed = {"class_name": bottleneck}
    changed |= {"batch_norm": True, "commitment_warm_up": 3} if bottleneck == "ema" else {}
    settings = {"bottleneck": changed, "steps": 6, "reset_dead_every": 2, "progress": False}
    first = train(store, "tiny", save=tmp_path / "one/w", **settings)
    frozen = ["encoder", "bottleneck"]
    second = train(
        store, "tiny", save=tmp_path / "two/w", parts=dict.fromkeys(frozen, first), freeze=frozen,
        **settings,
    )  # fmt: skip
    for part in frozen:
        before, after = (getattr(r.model, part).weights for r in (first, second))
        for one, two in zip(before, after, strict=True):
            assert one.path.endswith("steps") or np.array_equal(one, two), one.path


def test_a_quantizer_may_be_taken_over_with_another_way_to_train_it(store, run, tmp_path):
    warm = {"commitment_warm_up": 5}
    new = train(
        store, "tiny", save=tmp_path / "w", parts={"bottleneck": run}, bottleneck=warm, minutes=0,
        progress=False,
    )  # fmt: skip
    taken, given = (r.model.bottleneck.codebook.numpy() for r in (new, run))
    assert np.array_equal(taken, given)
    assert float(new.model.bottleneck.steps) == 0
