"""A run in a training monitor: pauses, stops and errors leave a run as if there had been none."""

import os
import signal
import time

import numpy as np
import pytest

import vqwn_kit as vq
from tests.conftest import tones
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
    paused = monitor.start().wait(PATIENCE)
    assert monitor.state == "paused"
    assert (paused.steps, monitor.progress["step"]) == ([3], 3)  # a pause writes a checkpoint
    before = monitor.progress["seconds"]
    time.sleep(1.5)
    assert paused.steps == [3]
    at_step(monitor, 6, monitor.stop)
    assert monitor.resume().wait(PATIENCE).newest == 6
    assert monitor.state == "stopped"
    assert monitor.progress["seconds"] - before < 1.4  # without the pause
    settings = {"utterance": "bob/bob_000", "reconstruct_every": 10, "seconds": 0.1}
    restored = vq.monitor(store, restore=tmp_path, steps=20, **settings)
    assert (restored.progress["step"], restored.progress["steps"]) == (6, 20)
    assert restored.player.names == ["original"]
    result = restored.start().wait(PATIENCE)
    assert (restored.state, result.folder, result.newest) == ("finished", tmp_path, 20)
    for resumed, expected in zip(result.model.weights, run.model.weights, strict=True):
        np.testing.assert_array_equal(resumed.numpy(), expected.numpy())
    bits = [record["bits"] for record in run.history]
    assert [record["bits"] for record in result.history] == bits
    assert [record["step"] for record in result.history] == [r["step"] for r in run.history]
    assert restored.records == result.history
    assert [point[1] for point in restored.curves["loss"]] == bits
    assert len(restored.curves["held_out"]) == 2
    assert restored.figure().axes
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
    assert monitor.about["stage"] == "the first of two stages"
    assert monitor.about["unit"].startswith("mel error")
    stages = []
    monitor.observe(lambda change: stages.append(change.new["stage"]), "about")
    ctrl_c = lambda: os.kill(os.getpid(), signal.SIGINT) or time.sleep(0.3)  # noqa: E731
    at_step(monitor, 3, lambda: at_step(monitor, 2, ctrl_c))
    with pytest.raises(KeyboardInterrupt, match=r"stopped at step . of 4 and saved"):
        monitor.resume().wait(PATIENCE)
    assert (monitor.state, monitor.about["unit"]) == ("stopped", "bits per sample")
    assert load_run(tmp_path).newest in (2, 3)
    assert stages[-1] == "the second of two stages"
    assert monitor.resume().wait(PATIENCE).newest == 4
    assert monitor.state == "finished"


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


def test_invalid_input_is_refused_before_the_start(store, tmp_path, run):
    with pytest.raises(InputError, match="did you mean 'tiny'"):
        vq.monitor(store, "tyny")
    with pytest.raises(InputError, match="already has checkpoints"):
        vq.monitor(store, "tiny", save=run.folder / "weights")
    with pytest.raises(InputError, match="no data to train on"):
        vq.monitor()
    with pytest.raises(InputError, match="utterance"):
        vq.monitor(store, "tiny", save=tmp_path / "w", utterance="nobody_007")
