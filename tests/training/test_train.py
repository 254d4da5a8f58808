"""Training: exact resume, history, refusals, full disks, an iterable, logs for TensorBoard."""

import os
import resource
import shutil
import signal

import numpy as np
import pytest

from tests.conftest import ctrl_c_at, make_folders, tones
from vqwn_kit import InputError, Run, load_preset, load_run, open_corpus, prepare, train
from vqwn_kit.files import only_writer
from vqwn_kit.training.tensorboard import audio_log
from vqwn_kit.training.train import as_source, refuse_checkpoints, start_run


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def copy_at(step: int, folder):
    """Return an `after_step` that copies the run folder with a checkpoint of this step."""

    def copy(trainer):
        if trainer.step == step:
            trainer.save()
            shutil.copytree(trainer.folder, folder)

    return copy


def assert_same_end(whole: Run, resumed: Run) -> None:
    """Check weights, training state and history; times aside."""
    for one, two in zip(whole.model.get_weights(), resumed.model.get_weights(), strict=True):
        assert np.array_equal(one, two)
    states = [dict(np.load(r.state_file(r.newest), allow_pickle=False)) for r in (whole, resumed)]
    assert set(states[0]) == set(states[1])
    for name in set(states[0]) - {"seconds"}:
        assert np.array_equal(states[0][name], states[1][name], equal_nan=True), name
    histories = [[{**r, "seconds": 0} for r in run.history] for run in (whole, resumed)]
    assert histories[0] == histories[1]


SETTINGS = {"steps": 12, "save_every": 8, "reset_dead_every": 3, "progress": False}
RATES = {0: 1e-2, 6: 1e-3, 9: 1e-4}
COSINE = {"peak": 1e-2, "warm_up": 5, "end": 1e-4}
RICH = {  # everything that draws numbers, counts steps or keeps averages
    "bottleneck": {"class_name": "ema", "batch_norm": True, "commitment_warm_up": 12},
    "decoder": {"conditioner": {"jitter": 0.2, "speaker_dropout": 0.3, "learned_no_speaker": True}},
}
SMALL = {"decoder": {"network": {"num_cycle_layers": 1}}, "encoder": {"filters": 4}}  # for XLA


@pytest.fixture(scope="module")
def whole(store, tmp_path_factory):
    """A run that was not stopped, and a copy of it at step 4."""
    folder = tmp_path_factory.mktemp("whole")
    copy = copy_at(4, folder / "copy")
    settings = {**SETTINGS, "learning_rate": RATES}
    return train(store, "tiny", save=folder / "run/weights", after_step=copy, **settings)


def test_a_run_that_was_stopped_ends_with_the_weights_of_one_that_was_not(whole, store):
    copy = whole.folder.with_name("copy")
    assert load_run(copy).newest == 4
    assert_same_end(whole, train(store, restore=copy, progress=False))


@pytest.mark.parametrize(
    ("stop_at", "changes"),
    [
        pytest.param(7, {**RICH, "learning_rate": COSINE}, marks=pytest.mark.traced),
        pytest.param(4, {**SMALL, "jit_compile": True}, marks=pytest.mark.slow),
    ],
    ids=["everything random", "compiled"],
)
def test_exact_resume_with_all_options_and_between_two_logs(store, tmp_path, stop_at, changes):
    settings = {**SETTINGS, **changes, "after_step": copy_at(stop_at, tmp_path / "copy")}
    whole = train(store, "tiny", save=tmp_path / "run/weights", **settings)
    assert_same_end(whole, train(store, restore=tmp_path / "copy", progress=False))


def test_a_run_that_was_stopped_before_its_first_step_ends_with_the_same_weights(
    whole, store, tmp_path
):
    settings = {**SETTINGS, "learning_rate": RATES}
    run = train(store, "tiny", save=tmp_path / "weights", minutes=0, **settings)
    assert run.steps == [0]
    assert run.model.encode(np.zeros(640)).shape == (1, 10)
    assert_same_end(whole, train(store, restore=tmp_path, progress=False))


def test_a_run_that_ctrl_c_stopped_ends_with_the_same_weights(whole, store, tmp_path):
    settings = {**SETTINGS, "learning_rate": RATES, "callbacks": [ctrl_c_at(5)]}
    with pytest.raises(KeyboardInterrupt, match="to continue, restore"):
        train(store, "tiny", save=tmp_path / "weights", **settings)
    assert Run(tmp_path).newest in (5, 6)
    assert_same_end(whole, train(store, restore=tmp_path, progress=False))


def test_the_history_has_the_learning_rate_of_each_step(whole):
    rates = {record["step"]: record["learning_rate"] for record in whole.history}
    assert rates == pytest.approx({5: 1e-2, 10: 1e-4, 12: 1e-4}, rel=1e-4)


def test_the_learning_rate_can_change_and_the_folder_too(store, run, tmp_path):
    before = contents(run.folder)
    save = tmp_path / "copy/weights"
    settings = {"save": save, "steps": 22, "minutes": 5, "progress": False}
    copy = train(store, restore=run.folder, learning_rate=1e-5, **settings)
    assert contents(run.folder) == before
    assert [record["step"] for record in copy.history] == [5, 10, 15, 20, 22]
    assert copy.history[-1]["learning_rate"] == pytest.approx(1e-5)
    settings = {"steps": 24, "learning_rate": {0: 1e-4}, "progress": False}
    longer = train(store, restore=tmp_path / "copy", **settings)
    assert longer.newest == 24
    assert longer.history[-1]["learning_rate"] == pytest.approx(1e-4)


def test_dead_codes_are_reset_at_their_interval(store, tmp_path):
    bottleneck = {"initializer": "random_normal"}
    codebooks = []

    def note(trainer):
        unused = trainer.model.recent.counts.numpy()[0] == 0
        codebooks.append((trainer.model.bottleneck.codebook.numpy().copy(), unused))

    settings = {"steps": 8, "log_every": 4, "learning_rate": 1e-6, "progress": False}
    run = train(
        store,
        "tiny",
        save=tmp_path / "weights",
        bottleneck=bottleneck,
        reset_dead_every=4,
        after_step=note,
        **settings,
    )
    dead = codebooks[2][1]
    moved = np.abs(codebooks[3][0] - codebooks[2][0]).max(axis=1) > 1e-3
    assert 0 < moved.sum() <= dead.sum()
    assert not moved[~dead].any()
    used = [record["vq/codes_used"] for record in run.history]
    assert used[1] > used[0]


# What a call refuses


def test_a_new_run_is_not_mixed_into_an_old_one(store, run):
    before = contents(run.folder)
    with pytest.raises(InputError, match="already has checkpoints"):
        train(store, "tiny", save=run.folder / "weights", progress=False)
    assert contents(run.folder) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"segment_length": 1000}, "multiple of"),
        ({"seed": 5}, "seed cannot change"),
        ({"average_decay": 0.5}, "average_decay cannot change"),
        ({"encoder": {"filters": 8}}, "encoder cannot change"),
        ({"save": "weights"}, "already has checkpoints"),
        ({"parts": {"encoder": "results/mini"}}, "either restore or parts"),
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


def test_a_checkpoint_without_a_training_state_is_not_resumed(store, run):
    with pytest.raises(InputError, match=r"kept: \['weights-20.state.npz'\]"):
        train(store, restore=run.folder / "weights-10", progress=False)


def test_resuming_needs_the_same_speakers(run):
    with pytest.raises(InputError, match="trained on the speakers ann, bob"):
        train([(tones(0.2, 99.0), 0)], restore=run.folder, speakers=["eve"], progress=False)


# Checkpoints


def test_old_checkpoints_are_removed_and_intervals_are_independent(store, tmp_path):
    intervals = {"log_every": 7, "validate_every": 4, "save_every": 2, "keep": 3, "steps": 9}
    run = train(store, "tiny", save=tmp_path / "weights", progress=False, **intervals)
    assert run.steps == [6, 8, 9]
    assert not (tmp_path / "embedding_4.npy").exists()
    assert [path.name for path in tmp_path.glob("*.npz")] == ["weights-9.state.npz"]
    assert [record["step"] for record in run.history] == [4, 7, 8, 9]
    assert [r["step"] for r in run.history if "held_out/bits" in r] == [4, 8, 9]


@pytest.fixture(scope="module")
def trainer(store, tmp_path_factory):
    """A trainer that has finished, with a checkpoint of step 4."""
    preset = load_preset("tiny").change(steps=4)
    save = tmp_path_factory.mktemp("trainer") / "weights"
    trainer = start_run(as_source(store, preset), preset, save)
    trainer.fit(progress=False)
    return trainer


def test_the_saved_weights_are_the_averaged_ones(trainer):
    saved = trainer.run.model.get_weights()
    for average, value in zip(trainer.average.variables, saved, strict=True):
        assert np.array_equal(average.numpy(), value)
    current = trainer.model.get_weights()
    assert any(not np.array_equal(a, b) for a, b in zip(current, saved, strict=True))


def test_a_full_disk_leaves_the_previous_checkpoint(trainer, monkeypatch):
    before = contents(trainer.folder)
    monkeypatch.setattr(trainer, "step", 5)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        with pytest.raises(OSError, match="File too large"):
            trainer.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert contents(trainer.folder) == before


def test_a_disk_that_fills_while_weights_are_written_leaves_no_orphans(trainer, monkeypatch):
    before = contents(trainer.folder)

    def full(self, content):
        with self.open("wb") as file:
            file.write(b"half of it")
        if self.name.endswith(".h5"):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(trainer.folder), "write_bytes", full)
    monkeypatch.setattr(trainer, "step", 5)
    with pytest.raises(OSError, match="No space left"):
        trainer.save()
    assert contents(trainer.folder) == before


def test_a_training_that_diverges_keeps_its_checkpoints_and_names_the_last(store, tmp_path):
    rates = {0: 1e-3, 5: 1e30}
    settings = {"steps": 12, "save_every": 2, "log_every": 2, "keep": 1, "learning_rate": rates}
    with pytest.raises(
        InputError, match=r"diverged at step \d+: .*last good step is (4|6).*1e\+30"
    ):
        train(store, "tiny", save=tmp_path / "w", progress=False, **settings)
    run = Run(tmp_path)
    assert run.steps in ([4], [6])
    assert np.isfinite(run.model.decoder.speakers.numpy()).all()  # which load_model checks
    assert run.history[-1]["ended"] == "diverged"
    assert run.history[-1]["step"] > run.newest


# Two at once, and what a kill leaves


def test_a_second_training_in_a_folder_is_refused(store, run, tmp_path):
    before = contents(run.folder)
    with only_writer(run.folder):
        with pytest.raises(InputError, match=f"process {os.getpid()} .* is training in it"):
            train(store, restore=run.folder, progress=False)
    assert contents(run.folder) == before
    with only_writer(tmp_path), pytest.raises(InputError, match="is training in it"):
        train(store, "tiny", save=tmp_path / "first_stage" / "weights", progress=False)


def test_scratch_of_a_first_checkpoint_is_no_checkpoint(store, tmp_path):
    preset = load_preset("tiny").change(steps=2)
    (tmp_path / ".1-0.tmp.h5").write_bytes(b"half")
    (tmp_path / ".1-1.tmp.npz").write_bytes(b"half")
    refuse_checkpoints(tmp_path / "weights")
    trainer = start_run(as_source(store, preset), preset, tmp_path / "weights")
    assert trainer.run.steps == []
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "history.jsonl"}


def test_checkpoints_in_a_folder_with_signs_of_patterns_are_pruned(trainer, tmp_path):
    folder = tmp_path / "we[i]ghts*"
    run = Run.create(folder / "we[i]ghts", trainer.preset, "speech", trainer.run.speakers)
    for step in (1, 2, 3):
        for file in (run.weights_file(step), run.state_file(step)):
            file.touch()
    run.prune(2)
    names = {"we[i]ghts-2.weights.h5", "we[i]ghts-3.weights.h5", "we[i]ghts-3.state.npz"}
    assert {path.name for path in folder.iterdir()} == names | {"config.json"}


# The corpus of a run


def test_a_run_knows_its_corpus_and_says_where_it_is_resumed_on_another(store, run, tmp_path):
    shutil.copytree(run.folder, tmp_path / "run")
    resumed = train(restore=tmp_path / "run", progress=False)
    assert resumed.newest == 20
    facts = resumed.config["data"]
    assert (facts["folder"], facts["store"]) == (str(store.corpus.folder), store.identity)
    assert "earlier" not in resumed.config
    other = make_folders(tmp_path / "other", {"ann": 210.0, "bob": 100.0}, 3)
    with pytest.warns(UserWarning, match="is resumed on other .*its config.json names both"):
        changed = train(prepare(open_corpus(other)), restore=tmp_path / "run", progress=False)
    assert changed.config["corpus"] == "other"
    (earlier,) = changed.config["earlier"]
    assert earlier == {"corpus": run.config["corpus"], "data": facts, "until": 20}
    shutil.rmtree(other)
    with pytest.raises(InputError, match=r"corpus 'other' \(.*other\), which is not there"):
        train(restore=tmp_path / "run", progress=False)
    with pytest.raises(InputError, match="nothing to train on"):
        train(progress=False)


# An iterable of waveforms

WAVES = [(tones(0.2, 100.0 + 9 * number), ("cleo", "dan")[number % 2]) for number in range(12)]
SHORT = {"steps": 6, "warm_start_batches": 2, "batch_size": 2, "progress": False}


def test_an_iterable_is_resumed_exactly_and_its_speakers_are_kept(tmp_path):
    settings = {"speakers": ["cleo", "dan"], "after_step": copy_at(3, tmp_path / "copy")}
    whole = train(WAVES[:5], "tiny", save=tmp_path / "run/w", **settings, **SHORT)
    assert list(whole.speakers) == ["cleo", "dan"]
    resumed = train(WAVES[:5], restore=tmp_path / "copy", speakers=["cleo", "dan"], progress=False)
    assert_same_end(whole, resumed)
    with pytest.raises(InputError, match="needs speakers"):
        train(WAVES, "tiny", save=tmp_path / "new/w", **SHORT)


def test_a_generator_may_last_exactly_and_leaves_a_checkpoint_where_it_ends(tmp_path):
    settings = {"speakers": ["cleo", "dan"], **SHORT}
    assert train(iter(WAVES), "tiny", save=tmp_path / "one/w", **settings).newest == 6
    with pytest.raises(InputError, match="ended before"):
        train(iter(WAVES[:8]), "tiny", save=tmp_path / "two/w", **settings)
    assert load_run(tmp_path / "two").newest == 4


# TensorBoard


def test_tensorboard_has_scalars_code_counts_and_audio(store, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util

    logs, audio = tmp_path / "logs", tmp_path / "audio"
    callbacks = [audio_log(audio, {"ann_000": tones(0.05, 150.0)}, "ann")]
    settings = {"log_dir": logs, "callbacks": callbacks, "progress": False, "validate_every": 10}
    train(store, "tiny", save=tmp_path / "weights", steps=10, **settings)
    scalars, sounds = (EventAccumulator(str(path), {"tensors": 100}) for path in (logs, audio))
    scalars.Reload(), sounds.Reload()
    assert [event.step for event in scalars.Tensors("bits")] == [5, 10]
    histograms = [tensor_util.make_ndarray(e.tensor_proto) for e in scalars.Tensors("vq/codes")]
    frames = 5 * 4 * 16  # of five steps of four crops
    assert [histogram[:, 2].sum() for histogram in histograms] == [frames] * 2
    assert [event.step for event in sounds.Tensors("ann_000")] == [10]  # where it is validated


def test_a_folder_of_logs_that_cannot_be_created_is_named_before_training(store, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="for logs"):
        train(store, "tiny", save=tmp_path / "w", log_dir=tmp_path / "file/logs")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
