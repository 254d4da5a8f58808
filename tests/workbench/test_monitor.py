"""A run in a training monitor: pauses, stops and errors leave a run as if there had been none."""

import os
import signal
import time

import numpy as np
import pytest

import vqwn_kit as vq
from tests.conftest import several_codebooks, tones
from vqwn_kit import InputError, convert_voice, load_run
from vqwn_kit.widgets import monitor as module
from vqwn_kit.widgets.player import Player

PATIENCE = 300.0  # seconds, for a busy machine


@pytest.fixture(autouse=True)
def _update_each_step(monkeypatch):
    monkeypatch.setattr(module, "UPDATE_EVERY", 0.0)


@pytest.fixture
def _ctrl_c_interrupts():
    """A shell's background job ignores Ctrl-C from its start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def wait_for(monitor, state: str) -> None:
    end = time.monotonic() + PATIENCE
    while monitor.state != state:
        assert time.monotonic() < end, monitor.state
        time.sleep(0.01)


def at_step(monitor, step: int, do) -> None:
    """Do something once when a step is reported, in the thread of the training."""

    def look(change):
        if change.new["step"] == step:
            monitor.unobserve(look, "progress")
            do()

    monitor.observe(look, "progress")


def test_a_run_that_was_paused_stopped_and_restored_equals_one_that_was_not(store, run, tmp_path):
    monitor = vq.monitor(store, "tiny", steps=8, save=tmp_path / "w", reconstruct_every=0)
    assert monitor.state == "ready"
    at_step(monitor, 3, monitor.pause)
    monitor.start()
    wait_for(monitor, "paused")
    paused = monitor.wait(0.1)  # still in training
    assert (paused.steps, monitor.progress["step"]) == ([3], 3)  # a pause writes a checkpoint
    before, began = monitor.progress["seconds"], time.monotonic()
    assert monitor.wait(timeout=1.5) is paused
    assert (monitor.state, monitor.reason, paused.steps) == ("paused", "", [3])
    at_step(monitor, 6, monitor.stop)
    assert monitor.resume().wait(PATIENCE).newest == 6
    assert monitor.state == "stopped"
    assert monitor.reason == "you stopped it at step 6 of 8; it can be resumed"
    passed = time.monotonic() - began  # on however busy a machine
    assert monitor.progress["seconds"] - before < passed - 1.4  # without the pause
    settings = {"utterance": "bob/bob_000", "reconstruct_every": 10, "seconds": 0.1}
    restored = vq.monitor(store, restore=tmp_path, steps=20, **settings)
    assert (restored.progress["step"], restored.progress["steps"]) == (6, 20)
    assert restored.player.names == ["original"]
    result = restored.start().wait(PATIENCE)
    assert (restored.state, result.folder, result.newest) == ("finished", tmp_path, 20)
    assert restored.reason == "all 20 steps are taken"
    for resumed, expected in zip(result.model.weights, run.model.weights, strict=True):
        np.testing.assert_array_equal(resumed.numpy(), expected.numpy())
    bits = [record["bits"] for record in run.history]
    assert [record["bits"] for record in result.history] == bits
    assert [record["step"] for record in result.history] == [r["step"] for r in run.history]
    assert restored.records == result.history
    assert [point[1] for point in restored.curves["loss"]] == bits
    assert len(restored.curves["held_out"]) == 2
    assert restored.figure().axes
    ((outlook, nothing_to_copy),) = (line.values() for line in restored.diagnosis)
    assert "Its schedule is at its end" in outlook
    assert nothing_to_copy == ""
    _check_reconstructions(restored.player, result)
    page = restored.save_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert '"names": ["original", "step 20"' in page
    assert page.count("export default") == 0


def _check_reconstructions(player: Player, run) -> None:
    assert player.names == ["original", "step 20", "step 10"]
    assert {len(wave) for wave in player.tracks.values()} == {1600}
    codes = run.model.encode(player.tracks["original"])[0]
    assert player.codes == codes.tolist()
    expected = convert_voice(run.model, player.tracks["original"], ["bob"])[0]
    np.testing.assert_array_equal(player.tracks["step 20"], expected)


@pytest.mark.usefixtures("_ctrl_c_interrupts")
def test_both_of_two_stages_resume_after_a_stop_and_after_ctrl_c(store, tmp_path):
    decoder = {"network": {"num_cycle_layers": 1}}
    sizes = {"steps": 4, "first_stage_steps": 3, "log_every": 1, "decoder": decoder}
    monitor = vq.monitor(store, "tiny", save=tmp_path / "w", reconstruct_every=0, **sizes)
    at_step(monitor, 2, monitor.stop)
    run = monitor.start().wait(PATIENCE)
    assert (run.folder.name, run.newest) == ("first_stage", 2)
    assert monitor.about["stage"].startswith("stage 1 of 2")
    assert monitor.about["unit"].startswith("mel error")
    stages = []
    monitor.observe(lambda change: stages.append(change.new["stage"]), "about")
    ctrl_c = lambda: os.kill(os.getpid(), signal.SIGINT) or time.sleep(0.3)  # noqa: E731
    at_step(monitor, 3, lambda: at_step(monitor, 2, ctrl_c))
    with pytest.raises(KeyboardInterrupt, match=r"stopped at step . of 4 and saved"):
        monitor.resume().wait(PATIENCE)
    assert (monitor.state, monitor.about["unit"]) == ("stopped", "bits per sample")
    assert load_run(tmp_path).newest in (2, 3)
    assert stages[-1].startswith("stage 2 of 2")
    assert monitor.resume().wait(PATIENCE).newest == 4
    assert monitor.state == "finished"


def test_with_a_time_limit_both_stages_finish_and_are_reconstructed(store, tmp_path):
    sizes = {"steps": 100_000, "first_stage_steps": 100_000, "first_stage_share": 0.25}
    sizes |= {"decoder": {"network": {"num_cycle_layers": 1}}, "validate_every": 100_000}
    settings = {"utterance": "bob/bob_000", "seconds": 0.1, "minutes": 4 / 60, **sizes}
    monitor = vq.monitor(store, "tiny", save=tmp_path / "w", **settings)
    left = {}  # seconds that are left, in each stage

    def look(change):
        if change.new["left"] >= 0:
            left.setdefault(monitor.about["stage"][:7], []).append(change.new["left"])

    monitor.observe(look, "progress")
    run = monitor.start().wait(PATIENCE)
    assert (run.folder, monitor.state) == (tmp_path, "finished")
    assert 0 < run.newest < 100_000
    assert monitor.reason.startswith("its time of 0.")
    assert "is spent, after" in monitor.reason
    assert monitor.progress["share"] == 1.0
    first, second = left["stage 1"], left["stage 2"]
    assert first == sorted(first, reverse=True)
    assert second == sorted(second, reverse=True)
    assert first[0] <= 1.0  # a quarter of four seconds, less the first step
    assert second[0] <= 3.1
    assert max(first[-1], second[-1]) < 0.2
    assert all(name.startswith("step") for name in monitor.player.names[1:-1])
    assert monitor.player.names[-1].startswith("codes only, step")
    assert len(monitor.player.names) == 4  # of the second stage its first and its last step


def test_wait_raises_what_the_training_raised(tmp_path):
    def speech():
        for number in range(12):
            yield tones(0.2, 150.0, number), "ann"
        raise RuntimeError("the disk failed")

    settings = {"steps": 9, "save": tmp_path / "w", "warm_start_batches": 9}
    monitor = vq.monitor(speech(), "tiny", speakers=["ann"], **settings)
    assert monitor.player is None  # an iterable has no utterance to reconstruct
    monitor.start()
    with pytest.raises(RuntimeError, match="the disk failed"):
        monitor.wait(PATIENCE)
    assert monitor.state == "failed"
    assert monitor.problem == "RuntimeError: the disk failed"


def test_the_curves_of_several_codebooks_have_all_codes_as_their_limit(store, tmp_path):
    settings = {"save": tmp_path / "weights", "reconstruct_every": 0, "progress": False}
    shown = vq.monitor(store, "tiny", bottleneck=several_codebooks("residual"), **settings)
    assert shown.about["codes"] == 3 * 8


def test_the_doctor_speaks_up_while_a_training_diverges(store, tmp_path):
    """At the first line of the history that shows it, with a remedy to copy."""
    settings = {"steps": 8, "log_every": 1, "learning_rate": 10.0, "reconstruct_every": 0}
    monitor = vq.monitor(store, "tiny", save=tmp_path / "w", **settings)
    shown = {}
    monitor.observe(lambda change: shown.setdefault(len(monitor.records), change.new), "diagnosis")
    monitor.start().wait(PATIENCE)
    early = [lines for count, lines in shown.items() if count < 4]
    assert early
    assert all(len(lines) == 1 for lines in early)  # no finding yet
    outlook, finding = shown[4]
    assert outlook["text"].startswith("Stop: ")
    assert "worse than guessing" in finding["text"]
    assert finding["copied"] == "--set learning_rate=0.001 clip_norm=1.0"


def test_invalid_input_is_refused_before_the_start(store, tmp_path, run):
    with pytest.raises(InputError, match="did you mean 'tiny'"):
        vq.monitor(store, "tyny")
    with pytest.raises(InputError, match="already has checkpoints"):
        vq.monitor(store, "tiny", save=run.folder / "weights")
    with pytest.raises(InputError, match="no data to train on"):
        vq.monitor()
    with pytest.raises(InputError, match="utterance"):
        vq.monitor(store, "tiny", save=tmp_path / "w", utterance="nobody_007")
