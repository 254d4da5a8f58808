"""Training: the history, the average, stopping, going on exactly, and full disks."""

import json
import resource
import signal

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import ctrl_c_at, tones
from vqwn_kit import InputError, Run, Segments, build_model, load_preset, load_run, train
from vqwn_kit.sampling.generate import audio_log
from vqwn_kit.training.optimizer import WeightAverage, make_optimizer
from vqwn_kit.training.trainer import Trainer
from vqwn_kit.training.validate import validate


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def weights(path) -> list[np.ndarray]:
    return load_run(path).model.get_weights()


def test_a_run_folder_holds_what_it_should(run, store):
    assert run.steps == [10, 20]
    names = {path.name for path in run.folder.iterdir()}
    assert names == {
        "config.json", "history.jsonl", "weights-10.weights.h5", "weights-20.weights.h5",
        "weights-20.state.npz", "embedding_10.npy", "embedding_20.npy",
        "speaker_embedding_10.npy", "speaker_embedding_20.npy",
    }  # fmt: skip
    assert [record["step"] for record in run.history] == [5, 10, 15, 20]
    assert run.history[-1]["samples"] == 20 * 4 * 1024
    assert {"bits", "vq/codes_used", "vq/perplexity", "held_out/bits"} <= set(run.history[-1])
    assert list(run.speakers) == list(store.corpus.speakers)
    assert np.array_equal(
        np.load(run.folder / "embedding_20.npy"), run.model.bottleneck.codebook.numpy()
    )
    assert np.load(run.folder / "speaker_embedding_20.npy").shape == (2, 4)


def test_training_makes_the_corpus_likelier(run, store):
    untrained = build_model(run.preset, list(run.speakers))
    assert validate(run.model, store)["bits"] < validate(untrained, store)["bits"] - 0.3


def test_validation_is_the_mean_over_samples_of_whole_utterances(run, store):
    import keras

    result = validate(run.model, store, "train", utterances=100)
    nats, count = 0.0, 0
    for number in store.numbers("train"):
        wave = store.waveform(number)
        wave = wave[: len(wave) // 64 * 64][None, :, None]
        from vqwn_kit.models.codec import mu_law_encode

        targets = mu_law_encode(wave[..., 0])
        logits = run.model((wave, store.speaker_ids[[number]]))
        loss = keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True)
        nats, count = nats + float(tf.reduce_sum(loss)), count + wave.shape[1]
    assert result["bits"] == pytest.approx(nats / count / np.log(2), rel=1e-4)
    assert result["frames"] == count // 64


RICH = {  # everything that draws numbers, counts steps or keeps averages
    "bottleneck": {"class_name": "ema", "batch_norm": True, "commitment_warm_up": 12},
    "decoder": {"conditioner": {"jitter": 0.2, "speaker_dropout": 0.3, "learned_no_speaker": True}},
}


@pytest.mark.parametrize(
    ("stop_at", "jit", "changes"),
    [(10, False, {}), (20, True, {}), (13, False, RICH), (0, False, {})],
    ids=["plain", "compiled", "rich, between two logs", "before the first step"],
)
def test_a_run_that_was_stopped_ends_with_the_very_weights_of_one_that_was_not(
    store, tmp_path, stop_at, jit, changes
):
    settings = {"save_every": 10, "reset_dead_every": 7, "jit_compile": jit, "progress": False}
    settings |= changes
    whole = train(store, "tiny", save=tmp_path / "whole/weights", steps=30, **settings)
    limit = {"steps": stop_at} if stop_at else {"minutes": 0, "steps": 30}
    train(store, "tiny", save=tmp_path / "parts/weights", **limit, **settings)
    parts = train(store, restore=tmp_path / "parts", steps=30, progress=False)
    for one, two in zip(weights(whole.folder), weights(parts.folder), strict=True):
        assert np.array_equal(one, two)
    first, second = (dict(np.load(r.state_file(30), allow_pickle=False)) for r in (whole, parts))
    assert set(first) == set(second)
    counted = [name for name in first if name.startswith("metrics/") and stop_at not in (10, 20)]
    for name in set(first) - {"seconds", *counted}:
        assert np.array_equal(first[name], second[name], equal_nan=True), name
    steps = [[r["step"] for r in run.history if r["step"] != stop_at] for run in (whole, parts)]
    assert set(steps[0]) <= {stop_at, *steps[1]}
    if stop_at in (10, 20):  # where the whole run logs too
        assert [r["bits"] for r in whole.history] == [r["bits"] for r in parts.history]


def test_a_resumed_run_goes_on_in_its_schedule(store, tmp_path):
    schedule = {0: 1e-2, 10: 1e-3, 15: 1e-4}
    save = tmp_path / "weights"
    train(store, "tiny", save=save, steps=12, learning_rate=schedule, progress=False)
    run = train(store, restore=tmp_path, steps=20, progress=False)
    rates = {record["step"]: record["learning_rate"] for record in run.history}
    assert rates == pytest.approx({5: 1e-2, 10: 1e-3, 12: 1e-3, 15: 1e-4, 20: 1e-4}, rel=1e-4)


def test_a_schedule_holds_from_its_step_on():
    rate = make_optimizer(load_preset("original").training)._learning_rate
    assert float(rate(0)) == pytest.approx(8e-5)
    assert float(rate(79_999)) == pytest.approx(8e-5)
    assert float(rate(80_000)) == pytest.approx(6e-5)
    assert float(rate(400_000)) == pytest.approx(8e-6)


def test_interrupting_saves_this_step_and_going_on_gives_the_same_weights(store, tmp_path):
    save = tmp_path / "a/weights"
    whole = train(store, "tiny", save=tmp_path / "b/weights", steps=20, progress=False)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(store, "tiny", save=save, callbacks=[ctrl_c_at(5)], progress=False)
    assert signal.getsignal(signal.SIGINT) is handler
    assert Run(tmp_path / "a").steps[-1] in (5, 6)
    train(store, restore=tmp_path / "a", progress=False)
    for one, two in zip(weights(whole.folder), weights(tmp_path / "a"), strict=True):
        assert np.array_equal(one, two)


def test_training_ends_when_its_time_is_over(store, tmp_path):
    run = train(store, "tiny", save=tmp_path / "weights", minutes=0, progress=False)
    assert run.steps == [0]
    assert run.model.encode(np.zeros(640)).shape == (1, 10)


def test_a_new_run_is_not_mixed_into_an_old_one(store, run):
    before = {path.name for path in run.folder.iterdir()}
    with pytest.raises(InputError, match="already has checkpoints"):
        train(store, "tiny", save=run.folder / "weights", progress=False)
    assert {path.name for path in run.folder.iterdir()} == before


def test_own_iterable_is_trained_on_and_its_speakers_are_kept(tmp_path):
    waves = [(tones(0.2, 200.0), "cleo"), (tones(0.2, 100.0), "dan")]
    settings = {"save": tmp_path / "weights", "steps": 4, "progress": False}
    run = train(waves, "tiny", speakers=["cleo", "dan"], **settings)
    assert list(run.speakers) == ["cleo", "dan"]
    with pytest.raises(InputError, match="needs speakers"):
        train(waves, "tiny", **settings)


def test_average_starts_quickly_and_matches_its_formula(rng):
    model = build_model(load_preset("tiny"), ["ann"])
    average = WeightAverage(model, 0.999)
    weight = next(w for w in model.weights if "codebook" in w.path)
    number = [w is weight for w in model.weights].index(True)
    expected = weight.numpy()
    for step in range(1, 40):
        value = rng.normal(size=weight.shape)
        weight.assign(value)
        average.update(step)
        decay = min(0.999, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    assert np.allclose(average.variables[number].numpy(), expected, atol=1e-4)


def test_average_of_a_short_run_has_left_its_start():
    model = build_model(load_preset("tiny"), ["ann"])
    average = WeightAverage(model, 0.999)
    for weight in model.weights:
        weight.assign(np.ones(weight.shape))
    for step in range(1, 301):
        average.update(step)
    assert all(np.allclose(value.numpy(), 1, atol=1e-3) for value in average.variables)


def test_average_takes_batch_statistics_and_codebook_along_and_gives_the_weights_back(rng):
    model = build_model(load_preset("tiny"), ["ann"])
    average = WeightAverage(model, 0.9)
    paths = " ".join(weight.path for weight in average.weights)
    assert "moving_mean" in paths
    assert "codebook" in paths
    before = model.get_weights()
    for variable in average.variables:
        variable.assign(rng.normal(size=variable.shape))
    with average.applied():
        assert np.array_equal(model.get_weights()[0], average.variables[0].numpy())
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_listening_uses_the_averaged_weights(store, tmp_path):
    trainer = Trainer.fresh(store, load_preset("tiny"), save=tmp_path / "weights")
    trainer.fit(progress=False)
    saved = trainer.run.model.get_weights()
    for average, value in zip(trainer.average.variables, saved, strict=True):
        assert np.array_equal(average.numpy(), value)
    own = trainer.model.get_weights()
    assert any(not np.array_equal(a, b) for a, b in zip(own, saved, strict=True))


def test_revival_keeps_more_codes_in_use(store, tmp_path):
    used = {}
    for every in (None, 5):
        settings = {"steps": 60, "log_every": 20, "learning_rate": 1e-2, "progress": False}
        run = train(
            store, "tiny", save=tmp_path / f"{every}/weights", reset_dead_every=every, **settings
        )
        used[every] = run.history[-1]["vq/codes_used"]
    assert used[5] > used[None]


def test_a_full_disk_leaves_the_last_good_checkpoint(store, tmp_path):
    trainer = Trainer.fresh(store, load_preset("tiny"), save=tmp_path / "weights")
    trainer.fit(progress=False)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    trainer.step = 21
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        with pytest.raises(OSError, match="File too large"):
            trainer.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert load_run(tmp_path).newest == 20


def test_a_disk_that_fills_while_the_weights_are_written_leaves_no_orphans(
    store, tmp_path, monkeypatch
):
    trainer = Trainer.fresh(store, load_preset("tiny"), save=tmp_path / "weights")
    trainer.fit(progress=False)
    before = contents(tmp_path)

    def full(path):
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trainer.model, "save_weights", full)
    trainer.step = 21
    with pytest.raises(OSError, match="No space left"):
        trainer.save()
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"segment_length": 1000}, "multiple of"),
        ({"seed": 5}, "seed can't be changed"),
        ({"average_decay": 0.5}, "average_decay can't be changed"),
        ({"save": "weights"}, "already has checkpoints"),
    ],
)
def test_a_refused_restore_leaves_the_run_as_it_was(store, run, tmp_path, changes, message):
    if "save" in changes:
        (tmp_path / "other-3.weights.h5").write_bytes(b"")
        changes = {"save": tmp_path / "weights"}
    before = contents(run.folder)
    with pytest.raises(InputError, match=message):
        train(store, restore=run.folder, progress=False, **changes)
    assert contents(run.folder) == before


def test_the_learning_rate_can_be_changed_when_going_on(store, tmp_path):
    train(store, "tiny", save=tmp_path / "weights", steps=5, progress=False)
    run = train(store, restore=tmp_path, steps=10, learning_rate=1e-5, progress=False)
    assert run.history[-1]["learning_rate"] == pytest.approx(1e-5)
    run = train(store, restore=tmp_path, steps=15, learning_rate={0: 1e-4}, progress=False)
    assert run.history[-1]["learning_rate"] == pytest.approx(1e-4)


def test_a_run_can_go_on_in_another_folder_and_for_some_minutes_from_now(store, run, tmp_path):
    before = contents(run.folder)
    save = tmp_path / "elsewhere/mine"
    other = train(store, restore=run.folder, save=save, steps=25, minutes=5, progress=False)
    assert contents(run.folder) == before
    assert [record["step"] for record in other.history] == [5, 10, 15, 20, 25]
    assert load_run(tmp_path / "elsewhere").newest == 25


def test_held_out_speech_is_heard_whatever_the_logging_interval(store, tmp_path):
    settings = {"log_every": 7, "validate_every": 4, "steps": 9, "progress": False}
    run = train(store, "tiny", save=tmp_path / "weights", **settings)
    heard = [record["step"] for record in run.history if "held_out/bits" in record]
    assert heard == [4, 8, 9]
    assert [record["step"] for record in run.history] == [4, 7, 8, 9]


def test_a_generator_that_lasts_exactly_is_enough_and_one_that_ends_leaves_a_checkpoint(tmp_path):
    preset = load_preset("tiny").change(steps=6, warm_start_batches=2, batch_size=2)
    waves = [(tones(0.2, 100.0 + number), number % 2) for number in range(12)]
    settings = {"speakers": ["a", "b"], "progress": False}
    run = train(iter(waves), preset, save=tmp_path / "one/w", **settings)
    assert run.newest == 6
    with pytest.raises(InputError, match="ended before"):
        train(iter(waves[:8]), preset, save=tmp_path / "two/w", **settings)
    assert load_run(tmp_path / "two").newest == 4


def test_an_iterable_is_gone_on_with_exactly(tmp_path):
    preset = load_preset("tiny").change(steps=6, warm_start_batches=2, batch_size=2)
    waves = [(tones(0.2, 100.0 + 9 * number), number % 2) for number in range(5)]
    settings = {"speakers": ["a", "b"], "progress": False}
    whole = train(waves, preset, save=tmp_path / "whole/w", **settings)
    train(waves, preset, save=tmp_path / "parts/w", steps=3, **settings)
    parts = train(waves, restore=tmp_path / "parts", steps=6, **settings)
    for one, two in zip(weights(whole.folder), weights(parts.folder), strict=True):
        assert np.array_equal(one, two)


def test_tensorboard_logs_are_written(store, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util

    save = tmp_path / "weights"
    train(store, "tiny", save=save, log_dir=tmp_path / "logs", progress=False)
    events = EventAccumulator(str(tmp_path / "logs"), {"tensors": 100})
    events.Reload()
    steps = [event.step for event in events.Tensors("bits")]
    assert steps == [5, 10, 15, 20]
    histograms = [tensor_util.make_ndarray(e.tensor_proto) for e in events.Tensors("vq/codes")]
    frames = 5 * 4 * 16  # of five steps of four crops
    assert [histogram[:, 2].sum() for histogram in histograms] == [frames] * 4


def test_tensorboard_hears_the_averaged_model_whenever_it_is_validated(store, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    wave = tones(0.2, 150.0)
    train(
        store, "tiny", save=tmp_path / "weights", progress=False,
        callbacks=[audio_log(tmp_path / "logs", {"ann_000": wave}, "ann")],
    )  # fmt: skip
    events = EventAccumulator(str(tmp_path / "logs"), {"tensors": 100})
    events.Reload()
    assert [event.step for event in events.Tensors("ann_000")] == [10, 20]


def test_a_folder_of_logs_that_cannot_be_made_is_named_before_anything_is(store, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="for logs"):
        train(store, "tiny", save=tmp_path / "w", log_dir=tmp_path / "file/logs")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_cosine_schedule_rises_falls_and_goes_on_after_a_stop(store, tmp_path):
    schedule = {"peak": 1e-2, "warm_up": 5, "end": 1e-4}
    save = tmp_path / "weights"
    settings = {"learning_rate": schedule, "log_every": 1, "progress": False}
    with pytest.raises(KeyboardInterrupt):
        train(store, "tiny", save=save, steps=20, callbacks=[ctrl_c_at(9)], **settings)
    run = train(store, restore=tmp_path, progress=False)
    rates = {record["step"]: record["learning_rate"] for record in run.history}
    assert list(rates) == list(range(1, 21))
    assert [rates[step] for step in (1, 3, 5)] == pytest.approx([2e-3, 6e-3, 1e-2], rel=1e-4)
    for step in range(5, 21):  # after 5 steps of 20, along the cosine
        share = (1 + np.cos(np.pi * (step - 5) / 15)) / 2
        assert rates[step] == pytest.approx(1e-4 + (1e-2 - 1e-4) * share, rel=1e-4)


def test_the_codebook_may_learn_faster(store):
    """One step of Adam moves each weight by about the learning rate."""
    steps = {}
    for multiple in (1.0, 10.0):
        preset = load_preset("tiny").change(codebook_rate=multiple, learning_rate=1e-3)
        keras.utils.set_random_seed(0)
        model = build_model(preset, ["ann", "bob"])
        model.compile(make_optimizer(preset.training))
        before = [w.numpy().copy() for w in (model.bottleneck.codebook, model.decoder.out.kernel)]
        model.train_step(tuple(map(tf.constant, Segments(store, 1024, 4).batch(0))))
        after = [w.numpy() for w in (model.bottleneck.codebook, model.decoder.out.kernel)]
        steps[multiple] = [np.abs(b - a).max() for a, b in zip(before, after, strict=True)]
    assert steps[1.0] == pytest.approx([1e-3, 1e-3], rel=0.01)
    assert steps[10.0] == pytest.approx([1e-2, 1e-3], rel=0.01)


def test_weight_decay_of_a_preset_is_adam_on_the_gradient_of_a_penalty():
    """Also where it is 1e-6, as in `magenta`: decay that is scaled by the rate would do nothing."""
    config = load_preset("tiny").change(weight_decay=1e-6, learning_rate=1e-3).training
    names = ("kernel", "bias", "gamma", "codebook", "speakers")
    start = np.linspace(-2, 2, 5).astype("float32")
    weights = [keras.Variable(start, name=name) for name in names]
    optimizer = make_optimizer(config)
    optimizer.build(weights)
    for _ in range(3):
        optimizer.apply([tf.zeros(5) for _ in weights], weights)
    expected, m, v = start.astype(float), 0.0, 0.0
    for step in range(1, 4):
        gradient = 1e-6 * expected
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        root = np.sqrt(v / (1 - 0.999**step)) + 1e-7 / np.sqrt(1 - 0.999**step)
        expected = expected - 1e-3 * m / (1 - 0.9**step) / root
    assert np.abs(expected - start).max() > 1e-3
    assert np.allclose(weights[0].numpy(), expected, atol=1e-5)
    assert all(np.array_equal(weight.numpy(), start) for weight in weights[1:])


# run folders


def test_a_checkpoint_of_another_shape_is_refused(run, tmp_path):
    config = json.loads((run.folder / "config.json").read_text())
    config["preset"]["decoder"]["config"]["skip_channels"] = 24
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "weights-20.weights.h5").write_bytes(run.weights_file(20).read_bytes())
    with pytest.raises(InputError, match="doesn't fit"):
        load_run(tmp_path).load_model()


def test_a_damaged_checkpoint_is_refused(run, tmp_path):
    (tmp_path / "config.json").write_text((run.folder / "config.json").read_text())
    (tmp_path / "weights-20.weights.h5").write_bytes(run.weights_file(20).read_bytes()[:5000])
    with pytest.raises(InputError, match="damaged"):
        load_run(tmp_path).load_model()


def test_a_tensorflow_1_checkpoint_is_refused_clearly(tmp_path):
    for ending in (".index", ".meta", ".data-00000-of-00001"):
        (tmp_path / f"weights-110640{ending}").write_bytes(b"x")
    with pytest.raises(InputError, match="TensorFlow 1 checkpoint"):
        load_run(tmp_path / "weights-110640")


@pytest.mark.parametrize("content", ["{", "[]", '{"preset": {}}', '{"speakers": {}}'])
def test_a_damaged_or_foreign_config_is_named(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=r"config\.json|names no class"):
        load_run(tmp_path)


def test_missing_runs_and_steps_are_named(run, tmp_path):
    with pytest.raises(InputError, match="no run at"):
        load_run(tmp_path / "nothing")
    with pytest.raises(InputError, match="weights-10, weights-20"):
        load_run(run.folder / "weights-15")
    with pytest.raises(InputError, match=r"kept for the steps \[20\]"):
        run.load_state(10)


def test_going_on_needs_the_same_speakers(run, tmp_path):
    with pytest.raises(InputError, match="trained on the speakers ann, bob"):
        train([(tones(0.2, 99.0), 0)], restore=run.folder, speakers=["eve"], progress=False)


def test_older_checkpoints_are_pruned(store, tmp_path):
    settings = {"steps": 8, "save_every": 2, "keep": 3, "progress": False}
    run = train(store, "tiny", save=tmp_path / "weights", **settings)
    assert run.steps == [4, 6, 8]
    assert not (tmp_path / "embedding_2.npy").exists()
    assert [path.name for path in tmp_path.glob("*.npz")] == ["weights-8.state.npz"]


def test_optimizer_limits_the_gradient():
    assert make_optimizer(load_preset("mini").training).global_clipnorm == 1.0
    assert isinstance(make_optimizer(load_preset("tiny").training), keras.optimizers.Adam)


def test_a_damaged_training_state_is_named(run, tmp_path):
    for path in run.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "weights-20.state.npz").write_bytes(b"half of it")
    with pytest.raises(InputError, match="damaged"):
        load_run(tmp_path).load_state(20)


def test_the_file_of_weights_holds_the_model_alone(run):
    count = 0

    def add(name, found):
        nonlocal count
        count += found.size if isinstance(found, h5py.Dataset) else 0

    with h5py.File(run.weights_file(run.newest)) as file:
        file.visititems(add)
    assert 0 <= count - run.model.count_params() < 50  # and the seeds of what is drawn
