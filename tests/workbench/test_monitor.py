"""The training monitor without a browser: a training in a thread that obeys and is not lost."""

import os
import signal
import threading
import time

import numpy as np
import pytest

import vqwn_kit as vq
from tests.conftest import tones
from vqwn_kit import InputError, convert_voice, load_run
from vqwn_kit.widgets import monitor as module
from vqwn_kit.widgets.monitor import TrainingMonitor, thinned
from vqwn_kit.widgets.player import Player

PATIENCE = 300.0  # seconds, for a machine that has much else to do


@pytest.fixture(autouse=True)
def tell_each_step(monkeypatch):
    monkeypatch.setattr(module, "TELL_EVERY", 0.0)


@pytest.fixture
def _ctrl_c_is_heard():
    """A shell's background job has Ctrl-C ignored from its start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def at_step(monitor, step: int, do) -> None:
    """Do something when a step is told, once; in the thread of the training."""

    def look(change):
        if change.new["step"] == step:
            monitor.unobserve(look, "progress")
            do()

    monitor.observe(look, "progress")


def until(monitor, *states: str) -> None:
    end = time.monotonic() + PATIENCE
    while monitor.state not in states:
        assert time.monotonic() < end, monitor.state
        time.sleep(0.01)


def weights(run) -> list[np.ndarray]:
    return [value.numpy() for value in run.model.weights]


def test_a_training_that_was_paused_stopped_and_restored_is_as_if_it_was_not(store, run, tmp_path):
    monitor = vq.monitor(store, "tiny", steps=8, save=tmp_path / "w", hear_every=0)
    assert monitor.state == "ready"
    at_step(monitor, 3, monitor.pause)
    paused = monitor.start().wait(PATIENCE)
    assert monitor.state == "paused"
    assert (paused.steps, monitor.progress["step"]) == ([3], 3)  # a checkpoint whatever comes
    before = monitor.progress["seconds"]
    time.sleep(1.5)
    assert paused.steps == [3]
    at_step(monitor, 6, monitor.stop)
    assert monitor.resume().wait(PATIENCE).newest == 6
    assert monitor.state == "stopped"
    assert monitor.progress["seconds"] - before < 1.4  # a pause is no training
    another_day = vq.monitor(
        store, restore=tmp_path, steps=20, hear="bob/bob_000", hear_every=10, seconds=0.1
    )
    assert (another_day.progress["step"], another_day.progress["steps"]) == (6, 20)
    assert another_day.player.names == ["original"]
    mine = another_day.start().wait(PATIENCE)
    assert (another_day.state, mine.folder, mine.newest) == ("finished", tmp_path, 20)
    for one, other in zip(weights(mine), weights(run), strict=True):
        np.testing.assert_array_equal(one, other)
    untimed = [[(r["step"], r["bits"]) for r in which.history] for which in (mine, run)]
    assert untimed[0] == untimed[1]
    assert another_day.records == mine.history
    assert [point[1] for point in another_day.curves["loss"]] == [r["bits"] for r in run.history]
    assert len(another_day.curves["held_out"]) == 2
    assert another_day.figure().axes
    _check_what_was_heard(another_day.player, mine)
    page = another_day.save_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert '"names": ["original", "step 20"' in page
    assert page.count("export default") == 0


def _check_what_was_heard(player: Player, run) -> None:
    assert player.names == ["original", "step 20", "step 10"]
    assert {len(wave) for wave in player.tracks.values()} == {1600}
    codes = run.model.encode(player.tracks["original"])[0]
    assert player.codes == codes.tolist()
    again = convert_voice(run.model, player.tracks["original"], ["bob"])[0]
    np.testing.assert_array_equal(player.tracks["step 20"], again)


@pytest.mark.usefixtures("_ctrl_c_is_heard")
def test_both_of_two_stages_go_on_after_a_stop_and_after_ctrl_c(store, tmp_path):
    sizes = {
        "steps": 4,
        "first_stage_steps": 3,
        "log_every": 1,
        "decoder": {"network": {"num_cycle_layers": 1}},
    }
    monitor = vq.monitor(store, "tiny", save=tmp_path / "w", hear_every=0, **sizes)
    at_step(monitor, 2, monitor.stop)
    run = monitor.start().wait(PATIENCE)
    assert (run.folder.name, run.newest) == ("first_stage", 2)
    assert monitor.about["stage"] == "the first of two stages"
    assert monitor.about["unit"].startswith("error")
    stages = []
    monitor.observe(lambda change: stages.append(change.new["stage"]), "about")
    ctrl_c = lambda: os.kill(os.getpid(), signal.SIGINT) or time.sleep(0.3)  # noqa: E731
    at_step(monitor, 3, lambda: at_step(monitor, 2, ctrl_c))
    with pytest.raises(KeyboardInterrupt, match=r"stopped at step . of 4 and saved"):
        monitor.resume().wait(PATIENCE)
    assert (monitor.state, monitor.about["unit"]) == ("stopped", "bits a sample")
    assert load_run(tmp_path).newest in (2, 3)
    assert stages[-1] == "the second of two stages"
    assert monitor.resume().wait(PATIENCE).newest == 4
    assert monitor.state == "finished"


def test_what_the_training_raises_is_raised_by_wait(tmp_path):
    def speech():
        for number in range(12):
            yield tones(0.2, 150.0, number), "ann"
        raise RuntimeError("the disk is gone")

    monitor = vq.monitor(
        speech(), "tiny", speakers=["ann"], steps=9, save=tmp_path / "w", warm_start_batches=9
    )
    assert monitor.player is None  # there is no utterance to speak again
    monitor.start()
    with pytest.raises(RuntimeError, match="the disk is gone"):
        monitor.wait(PATIENCE)
    assert monitor.state == "failed"
    assert monitor.problem == "RuntimeError: the disk is gone"


def test_bad_input_is_refused_before_anything_starts(store, tmp_path, run):
    with pytest.raises(InputError, match="did you mean 'tiny'"):
        vq.monitor(store, "tyny")
    with pytest.raises(InputError, match="already has checkpoints"):
        vq.monitor(store, "tiny", save=run.folder / "weights")
    with pytest.raises(InputError, match="no data to train on"):
        vq.monitor()
    with pytest.raises(InputError, match="utterance"):
        vq.monitor(store, "tiny", save=tmp_path / "w", hear="nobody_007")


# ---- the widget alone: its training is any callback


def steps_of(count: int, gate: threading.Semaphore | None = None, saved: list | None = None):
    """Return a training that does nothing `count` times, from where it was stopped."""
    done = [0]

    def training(monitor):
        monitor.begin("run", [])
        while done[0] < count:
            if gate is not None:
                assert gate.acquire(timeout=PATIENCE)
            done[0] += 1
            monitor.tell(done[0], count, 0.5 * done[0], 100 * done[0])
            if not monitor.goes_on(lambda: (saved or []).append(done[0])):
                break
        return "run"

    return training


def test_buttons_of_the_browser_work_and_wrong_ones_do_nothing():
    gate, saved = threading.Semaphore(0), [0]
    monitor = TrainingMonitor(steps_of(5, gate, saved))
    press = lambda what: monitor._asked(None, {"do": what}, [])  # noqa: E731
    press("pause")
    press("stop")
    press("wait")
    assert monitor.state == "ready"
    press("start")
    gate.release()
    until(monitor, "running")
    press("start")  # twice is once
    press("pause")
    gate.release()
    until(monitor, "paused")
    assert saved[-1] == monitor.progress["step"]
    press("start")
    until(monitor, "running")
    press("pause")
    press("start")  # thought better of it
    assert monitor.state == "running"
    press("stop")
    assert monitor.asked.is_set()
    gate.release()
    assert monitor.wait(PATIENCE) == "run"
    assert monitor.state == "stopped"
    press("start")
    gate.release(5)
    monitor.wait(PATIENCE)
    assert (monitor.state, monitor.progress["step"]) == ("finished", 5)
    assert threading.active_count() < 20


def test_speed_and_time_left():
    monitor = TrainingMonitor(steps_of(9))
    monitor.begin("run", [])
    for step in range(1, 5):  # the first took long: it compiled
        monitor.tell(step, 20, 30.0 + 0.5 * step, 1000 * step)
    assert monitor.progress["speed"] == pytest.approx(2000)
    assert monitor.progress["left"] == pytest.approx(8.0)
    monitor.tell(5, 20, 32.5, 5000, most=3.0)
    assert monitor.progress["left"] == 3.0


def test_numbers_that_are_none_are_left_out_and_long_curves_thinned(rng):
    monitor = TrainingMonitor(steps_of(1), records=[{"step": 1, "seconds": 1.0, "bits": np.nan}])
    monitor.add({"step": 2, "seconds": 1.0, "bits": 3.0})
    assert monitor.curves["loss"] == [[2.0, 3.0]]
    points = [(float(x), float(y)) for x, y in enumerate(rng.standard_normal(5000))]
    few = thinned(points)
    assert len(few) == module.MOST_POINTS
    assert few[-1] == list(points[-1])
    assert np.mean([y for _, y in few[:-1]]) == pytest.approx(
        np.mean([y for _, y in points[:-1]]), abs=0.01
    )


def test_a_time_lapse_is_kept_and_nothing_is_loaded_under_the_ears():
    player = Player({"original": np.ones(100)})
    monitor = TrainingMonitor(steps_of(1), player=player)
    player.playing = True
    for step in range(0, 1001, 50):
        monitor.hear(step, np.full(100, step / 1000), [step % 7])
    assert player.names == ["original"]
    player.playing = False
    monitor.tell(1, 2, 1.0, 1)
    assert len(player.names) == 1 + module.MOST_HEARD
    steps = [int(name[5:].replace(",", "")) for name in player.names[1:]]
    assert steps[0] == 1000
    assert steps[-1] == 0
    assert steps == sorted(steps, reverse=True)
    player.blind("abx", "unused.csv")
    monitor.hear(2000, np.ones(100))
    assert "step 2,000" not in player.names  # the test goes on
