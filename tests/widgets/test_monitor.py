"""The training monitor without a browser; its training is a callback."""

import threading
import time

import numpy as np
import pytest

from vqwn_kit.widgets import monitor as module
from vqwn_kit.widgets.monitor import TrainingMonitor, thinned
from vqwn_kit.widgets.player import Player

PATIENCE = 300.0  # seconds, for a busy machine


@pytest.fixture(autouse=True)
def _update_each_step(monkeypatch):
    monkeypatch.setattr(module, "UPDATE_EVERY", 0.0)


def wait_for(monitor, state: str) -> None:
    end = time.monotonic() + PATIENCE
    while monitor.state != state:
        assert time.monotonic() < end, monitor.state
        time.sleep(0.01)


def training_of(count: int, gate: threading.Semaphore | None = None, saved: list | None = None):
    """Return a training of `count` steps that do nothing, which resumes where it was stopped."""
    done = [0]

    def training(monitor):
        monitor.begin("run", [])
        while done[0] < count:
            if gate is not None:
                assert gate.acquire(timeout=PATIENCE)
            done[0] += 1
            monitor.update(done[0], count, 0.5 * done[0], 100 * done[0])
            if not monitor.should_continue(lambda: (saved or []).append(done[0])):
                break
        monitor.end(f"{done[0]} of {count} steps", finished=done[0] == count)
        return "run"

    return training


def test_buttons_of_the_page_work_in_the_states_that_allow_them():
    gate, saved = threading.Semaphore(0), [0]
    monitor = TrainingMonitor(training_of(5, gate, saved))

    def press(what: str) -> None:
        monitor._receive(None, {"do": what}, [])

    for what in ("pause", "stop", "wait"):
        press(what)
    assert monitor.state == "ready"
    press("start")
    gate.release()
    wait_for(monitor, "running")
    press("start")  # has no effect while it runs
    press("pause")
    gate.release()
    wait_for(monitor, "paused")
    assert saved[-1] == monitor.progress["step"]
    press("start")
    wait_for(monitor, "running")
    press("pause")
    press("start")  # cancels the pause
    assert monitor.state == "running"
    press("stop")
    assert monitor.interrupt.is_set()
    gate.release()
    assert monitor.wait(PATIENCE) == "run"
    assert monitor.state == "stopped"
    assert monitor.reason == f"{monitor.progress['step']} of 5 steps"
    press("start")
    assert monitor.reason == ""
    gate.release(5)
    monitor.wait(PATIENCE)
    assert (monitor.state, monitor.progress["step"]) == ("finished", 5)
    assert monitor.reason == "5 of 5 steps"
    assert threading.active_count() < 20


def paused_at_step_1() -> tuple[TrainingMonitor, threading.Semaphore]:
    """Return a monitor of three steps that pauses, and the gate of its steps."""
    gate = threading.Semaphore(0)
    monitor = TrainingMonitor(training_of(3, gate)).start()
    monitor.pause()
    gate.release()
    wait_for(monitor, "paused")
    return monitor, gate


def test_wait_goes_through_a_pause_to_the_end():
    monitor, gate = paused_at_step_1()
    waited = []
    waiting = threading.Thread(target=lambda: waited.append(monitor.wait(PATIENCE)))
    waiting.start()
    before = time.monotonic()
    assert monitor.wait(timeout=0.5) == "run"  # the training is not over
    assert time.monotonic() - before >= 0.5
    assert (monitor.state, waited) == ("paused", [])
    monitor.resume()
    gate.release(3)
    waiting.join(PATIENCE)
    assert (monitor.state, waited) == ("finished", ["run"])


def test_stop_ends_a_wait_during_a_pause():
    monitor, _ = paused_at_step_1()
    threading.Timer(0.2, monitor.stop).start()
    monitor.wait(PATIENCE)
    assert (monitor.state, monitor.progress["step"]) == ("stopped", 1)


def test_speed_and_time_left_leave_out_the_first_step():
    monitor = TrainingMonitor(training_of(9))
    monitor.begin("run", [])
    for step in range(1, 5):  # the first one includes compilation
        monitor.update(step, 20, 30.0 + 0.5 * step, 1000 * step)
    assert monitor.progress["speed"] == pytest.approx(2000)
    assert monitor.progress["left"] == pytest.approx(8.0)
    assert monitor.progress["share"] == 0.2  # of the steps
    monitor.update(5, 20, 32.5, 5000, most=3.0, share=0.9)
    assert monitor.progress["left"] == 3.0
    assert monitor.progress["share"] == 0.9


def test_the_state_at_the_end_is_what_the_training_reports():
    def training(monitor):
        monitor.update(250, 400, 240.0, 1000, share=1.0)
        monitor.end("its time is spent, after 250 of 400 steps", finished=True)

    monitor = TrainingMonitor(training).start()
    monitor.wait(PATIENCE)
    assert (monitor.state, monitor.progress["share"]) == ("finished", 1.0)
    assert "its time is spent" in monitor.reason
    monitor = TrainingMonitor(lambda monitor: None).start()  # it ended and reported no reason
    monitor.wait(PATIENCE)
    assert (monitor.state, monitor.reason) == ("stopped", "")


def test_curves_leave_out_nan_and_are_thinned(rng):
    monitor = TrainingMonitor(training_of(1), records=[{"step": 1, "seconds": 1.0, "bits": np.nan}])
    monitor.add_record({"step": 2, "seconds": 1.0, "bits": 3.0})
    assert monitor.curves["loss"] == [[2.0, 3.0]]
    points = [(float(x), float(y)) for x, y in enumerate(rng.standard_normal(5000))]
    few = thinned(points)
    assert len(few) == module.MOST_POINTS
    assert few[-1] == list(points[-1])
    mean = np.mean([y for _, y in points[:-1]])
    assert np.mean([y for _, y in few[:-1]]) == pytest.approx(mean, abs=0.01)


def test_what_is_said_of_the_training_reaches_the_page_with_its_remedies(tmp_path):
    monitor = TrainingMonitor(training_of(1))
    assert monitor.diagnosis == []
    monitor.show_diagnosis([("Wait.", ""), ("Codes die.", "--set reset_dead_every=40")])
    assert [line["copied"] for line in monitor.diagnosis] == ["", "--set reset_dead_every=40"]
    page = monitor.save_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Codes die." in page
    assert "--set reset_dead_every=40" in page


def test_reconstructions_are_not_loaded_while_the_player_is_in_use():
    player = Player({"original": np.ones(100)})
    monitor = TrainingMonitor(training_of(1), player=player)
    player.playing = True
    for step in range(0, 1001, 50):
        monitor.add_reconstruction(step, np.full(100, step / 1000), [step % 7])
    assert player.names == ["original"]
    player.playing = False
    monitor.update(1, 2, 1.0, 1)
    assert len(player.names) == 1 + module.MOST_RECONSTRUCTIONS
    steps = [int(name[5:].replace(",", "")) for name in player.names[1:]]
    assert (steps[0], steps[-1]) == (1000, 0)
    assert steps == sorted(steps, reverse=True)
    player.blind("abx", "unused.csv")
    monitor.add_reconstruction(2000, np.ones(100))
    assert "step 2,000" not in player.names  # the blind test continues


def test_reconstructions_of_the_second_stage_come_before_the_last_one_of_the_first():
    player = Player({"original": np.ones(100)})
    monitor = TrainingMonitor(training_of(1), player=player)
    for step in (1, 200, 400):
        monitor.add_reconstruction(step, np.full(100, step / 1000), [1], "codes only")
    names = [f"codes only, step {step}" for step in (400, 200, 1)]
    assert player.names == ["original", *names]
    for step in (1, 100, 200, 300, 400, 1000):  # 1, 200 and 400 are steps of both stages
        monitor.add_reconstruction(step, np.full(100, step / 2000), [2])
    assert player.names[1] == "step 1,000"
    assert player.names[-1] == "codes only, step 400"
    assert len(player.names) == 1 + module.MOST_RECONSTRUCTIONS
    steps = [int(name[5:].replace(",", "")) for name in player.names[1:-1]]
    assert steps == sorted(steps, reverse=True)
    assert player.tracks["codes only, step 400"][0] == np.float32(0.4)
    assert player.codes == [2]
