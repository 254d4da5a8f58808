"""The training loop on a toy: when it ends, what it saves, what counts as time."""

import os
import signal
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from vqwn_kit import InputError, monitor, train, train_prior
from vqwn_kit.data.arrays import load_arrays, save_arrays
from vqwn_kit.models import workers
from vqwn_kit.models.workers import Workers
from vqwn_kit.presets.training_config import TrainingConfig
from vqwn_kit.prior.config import PriorConfig
from vqwn_kit.runs.history import read_history
from vqwn_kit.training.loop import TrainingLoop
from vqwn_kit.training.optimizer import extended, scheduled_rate
from vqwn_kit.workbench.pipeline import run_pipeline

SCHEDULE = {"peak": 1.0, "warm_up": 2, "end": 0.1}


class _Toy(TrainingLoop):
    """Adds 1 to the only weight at each step; a batch is its own number."""

    name = "toy"

    def __init__(self, folder, batches=99):
        intervals = {"steps": 6, "log_every": 2, "validate_every": 3, "save_every": 4}
        model = keras.Sequential([keras.layers.Dense(1, use_bias=False)])
        model.build((None, 1))
        self.weight, self.folder, self.available = model.weights[0], folder, batches
        self.weight.assign([[0.0]])
        optimizer = keras.optimizers.SGD()
        optimizer.build(model.trainable_variables)
        super().__init__(
            model, optimizer, SimpleNamespace(**intervals, average_decay=0.5, schedule=SCHEDULE)
        )
        self.seen, self.before, self.saved, self.losses = [], [], [], {}

    def batches(self):
        yield from range(self.step, self.available)
        raise InputError("no more batches")

    def train_step(self, batch):
        self.seen.append(batch)
        self.weight.assign_add([[1.0]])
        self.average.update(self.step + 1)
        return self.losses.get(self.step + 1, 1.0)

    def last_good(self):
        return f"The last good step is {self.saved[-1] if self.saved else 'none'}."

    def metrics(self, longer=False):
        return {"bits": float(len(self.seen + self.before if longer else self.seen))}

    def reset_metrics(self):
        self.before, self.seen = self.seen, []

    def validate(self):
        return {"held_out/bits": float(self.weight[0, 0])}

    def save(self):
        self.saved.append(self.step)
        self.save_state(self.folder / "state.npz")


def test_history_validation_and_checkpoints_come_at_their_intervals_and_at_the_end(tmp_path):
    toy, logged = _Toy(tmp_path), []
    toy.fit(progress=False, callbacks=[lambda *args: logged.append(args)])
    history = read_history(tmp_path)
    assert [record["step"] for record in history] == [2, 3, 4, 6]
    assert [record["bits"] for record in history] == [2, 3, 2, 2]  # of `log_every` steps or more
    assert [record["step"] for record in history if "held_out/bits" in record] == [3, 6]
    assert history[1]["held_out/bits"] < 3  # averaged weights lag behind
    assert float(toy.weight[0, 0]) == 6
    assert logged == [(record, toy.model) for record in history]
    assert toy.saved == [4, 6, 6]


def test_a_restored_loop_continues_with_the_next_batch_and_the_same_variables(tmp_path):
    whole, stopped = _Toy(tmp_path / "a"), _Toy(tmp_path / "b")
    for toy in (whole, stopped):
        toy.folder.mkdir()
    whole.fit(progress=False)
    stopped.fit(progress=False, after_step=lambda t: t.step == 3 and t.stop_requested.set())
    assert stopped.saved == [3]
    resumed = _Toy(tmp_path / "b")
    resumed.load_state(tmp_path / "b" / "state.npz")
    assert resumed.seconds == stopped.seconds
    assert next(resumed.batches()) == 3
    resumed.fit(progress=False)
    for name in ("weight", "step"):
        assert getattr(resumed, name) == getattr(whole, name)
    np.testing.assert_array_equal(resumed.average.variables[0], whole.average.variables[0])


def test_ctrl_c_stops_after_the_step_and_gives_the_handler_back(tmp_path):
    toy, handler = _Toy(tmp_path), signal.getsignal(signal.SIGINT)

    def press(loop):
        if loop.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="stopped at step [34] of 6 and saved in"):
        toy.fit(progress=False, after_step=press)
    assert toy.saved[-1] == toy.step
    assert signal.getsignal(signal.SIGINT) is handler


def test_in_another_thread_signals_stay_as_they_are(tmp_path):
    toy, handlers = _Toy(tmp_path), []
    handler = signal.getsignal(signal.SIGINT)
    note = {"after_step": lambda _: handlers.append(signal.getsignal(signal.SIGINT))}
    thread = threading.Thread(target=toy.fit, kwargs={"progress": False, **note})
    thread.start()
    thread.join()
    assert handlers == [handler] * 6


def test_time_after_a_step_is_not_training_and_minutes_end_it(tmp_path):
    toy = _Toy(tmp_path)
    toy.fit(minutes=0, progress=False)
    assert (toy.step, toy.saved) == (0, [0])
    toy.fit(minutes=0.02, progress=False, after_step=lambda _: time.sleep(0.3))
    assert toy.step == 6  # 1.8 s of waiting do not count against 1.2 s
    assert toy.seconds < 1.2


@pytest.mark.parametrize("minutes", [-1, float("nan")])
def test_minutes_that_are_no_time_are_refused_before_anything_is_read_or_written(tmp_path, minutes):
    for begin in (
        lambda: train("nothing", save=tmp_path / "run" / "weights", minutes=minutes),
        lambda: train_prior(tmp_path / "no run", minutes=minutes),
        lambda: run_pipeline("nothing", minutes=minutes),
        lambda: monitor("nothing", minutes=minutes),
    ):
        with pytest.raises(InputError, match=f"minutes is {minutes}; expected 0 or more"):
            begin()
    assert list(tmp_path.iterdir()) == []


def test_data_that_ends_too_early_leaves_a_checkpoint(tmp_path):
    toy = _Toy(tmp_path, batches=3)
    with pytest.raises(InputError, match="no more batches"):
        toy.fit(progress=False)
    assert toy.saved == [3]


def test_a_missing_damaged_or_foreign_state_is_named(tmp_path):
    toy, file = _Toy(tmp_path), tmp_path / "state.npz"
    with pytest.raises(InputError, match=r"state.npz is missing.*kept: \[\]"):
        toy.load_state(file)
    toy.save()
    toy.average.variables.append(keras.Variable([1.0, 2.0]))
    with pytest.raises(InputError, match=r"the shape None there; expected \(2,\)"):
        toy.load_state(file)
    file.write_bytes(b"half of it")
    with pytest.raises(InputError, match="is damaged.*can be loaded"):
        toy.load_state(file)


class _Clock:
    """A clock that only `tick` moves, in place of the module `time`."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now

    def tick(self, seconds):
        self.now += seconds


class _Timed(_Toy):
    """Takes a second per step; the first of a session compiles for a minute more."""

    def __init__(self, folder, clock, **changes):
        super().__init__(folder)
        self.clock, self.sessions, self.rates = clock, 0, []
        self.config.__dict__.update(changes)

    def batches(self):
        self.compiling = 60.0
        return super().batches()

    def train_step(self, batch):
        self.rates.append(float(self.optimizer.learning_rate))
        self.clock.tick(1.0 + self.compiling)
        self.compiling = 0.0
        return super().train_step(batch)


@pytest.fixture
def clock(monkeypatch):
    """A clock of the training loop."""
    clock = _Clock()
    monkeypatch.setattr("vqwn_kit.training.loop.time", clock)
    return clock


def test_without_a_time_limit_the_schedule_follows_the_steps_exactly(tmp_path, clock):
    toy = _Timed(tmp_path, clock)
    toy.fit(progress=False)
    assert toy.rates == pytest.approx([scheduled_rate(SCHEDULE, 6, step) for step in range(6)])
    assert (toy.position, toy.ended, toy.finished) == (6, "steps", True)
    assert read_history(tmp_path)[-1]["ended"] == "steps"
    assert "all 6 steps" in toy.end_text()


def test_with_too_little_time_the_schedule_follows_the_time_to_its_end(tmp_path, clock):
    toy = _Timed(tmp_path, clock, steps=100, save_every=50)
    toy.fit(minutes=10 / 60, progress=False)
    assert toy.step == 11  # the first step, which compiled, is not counted
    assert toy.seconds == 10
    positions = [0, 1, *range(10, 100, 10)]  # after its first step no time is spent yet
    expected = [scheduled_rate(SCHEDULE, 100, position) for position in positions]
    assert toy.rates == pytest.approx(expected)
    last = read_history(tmp_path)[-1]
    assert (last["step"], last["ended"], toy.ended, toy.finished) == (11, "time", "time", True)
    assert "held_out/bits" in last  # measured at the end, whatever its interval
    assert "time of 0.2 min is spent, after 11 of 100 steps" in toy.end_text()


def test_a_time_limit_that_is_not_needed_changes_nothing(tmp_path, clock):
    toy = _Timed(tmp_path, clock)
    toy.fit(minutes=1, progress=False)
    assert toy.rates == pytest.approx([scheduled_rate(SCHEDULE, 6, step) for step in range(6)])
    assert toy.ended == "steps"


def test_a_schedule_that_was_ahead_of_its_steps_goes_on_to_its_end(tmp_path, clock):
    toy = _Timed(tmp_path, clock, steps=20, save_every=50)
    stop = {"after_step": lambda loop: loop.step == 6 and loop.stop_requested.set()}
    toy.fit(minutes=10 / 60, progress=False, **stop)
    assert (toy.position, toy.ended, toy.finished) == (10, "request", False)
    assert "you stopped it at step 6 of 20" in toy.end_text()
    resumed = _Timed(tmp_path, clock, steps=20)
    resumed.load_state(tmp_path / "state.npz")
    resumed.fit(progress=False)
    positions = [step + 4 * (20 - step) / 14 for step in range(6, 20)]
    assert resumed.rates == pytest.approx([scheduled_rate(SCHEDULE, 20, p) for p in positions])
    assert resumed.position == 20


# Numbers that are not finite


@pytest.mark.parametrize("step", [3, 4], ids=["validates", "saves"])
def test_a_training_stops_before_it_validates_or_saves_weights_that_are_lost(
    tmp_path, step, monkeypatch
):
    toy = _Toy(tmp_path)
    toy.losses[5] = float("nan")

    def lose(loop):  # the weights go with a step whose loss is still a number
        if loop.step == step - 1:
            loop.weight.assign([[float("nan")]])
            monkeypatch.setattr(loop, "validate", lambda: pytest.fail("it validated NaN"))

    with pytest.raises(
        InputError, match=rf"diverged at step {step}: .*holds NaN.*last good step is none"
    ):
        toy.fit(progress=False, after_step=lose)
    assert toy.saved == []
    assert toy.ended == "diverged"
    history = read_history(tmp_path)
    assert [record["step"] for record in history] == list(range(2, step + 1))
    assert history[-1]["ended"] == "diverged"
    assert history[-1]["bits"] == step - 2  # of the interval that ended


def test_a_loss_that_is_not_finite_ends_the_training_at_once_if_the_weights_are_lost(tmp_path):
    toy = _Toy(tmp_path)
    toy.losses[5] = float("inf")

    def lose(loop):
        if loop.step == 4:
            loop.average.variables[0].assign([[float("nan")]])

    with pytest.raises(
        InputError, match=r"diverged at step 5: the loss is inf.*step is 4.*clip_norm"
    ):
        toy.fit(progress=False, after_step=lose)
    assert toy.saved == [4]


@pytest.mark.parametrize(
    ("bad", "ended"), [([2], "steps"), ([2, 4], "steps"), ([2, 3], "diverged")]
)
def test_one_bad_step_in_a_row_is_survived_while_the_weights_are_finite(tmp_path, bad, ended):
    toy = _Toy(tmp_path)
    toy.losses = dict.fromkeys(bad, float("nan"))
    if ended == "diverged":
        with pytest.raises(InputError, match="diverged at step 3: the loss is nan"):
            toy.fit(progress=False)
    else:
        toy.fit(progress=False)
    assert toy.ended == ended


# More steps than a schedule had


def test_a_cosine_at_its_end_is_not_begun_again():
    begun = TrainingConfig(steps=20, learning_rate={"peak": 2e-3, "warm_up": 2, "end": 1e-5})
    longer = replace(begun, steps=40)
    with pytest.warns(UserWarning, match="was at its end; more steps .* last rate, 1e-05"):
        assert extended(longer, begun, 20.0) == replace(longer, learning_rate=1e-5)
    with pytest.warns(
        UserWarning, match=r"becomes longer: the rate is 0.00179 from here; it was 0.001"
    ):
        assert extended(longer, begun, 10.0) == longer
    other = replace(longer, learning_rate=1e-4)
    assert extended(other, begun, 20.0) == other  # as was asked for
    assert extended(begun, begun, 20.0) == begun
    steps = replace(longer, learning_rate={0: 1e-3, 10: 1e-4})
    assert extended(steps, replace(steps, steps=20), 20.0) == steps


def test_a_cosine_that_ended_at_zero_needs_a_rate_for_more_steps():
    begun = TrainingConfig(steps=20, learning_rate={"peak": 2e-3})
    with pytest.raises(InputError, match="ended at 0: give that of more steps"):
        extended(replace(begun, steps=40), begun, 20.0)


def test_a_prior_at_its_end_keeps_its_last_rate():
    begun = PriorConfig(steps=20)
    with pytest.warns(UserWarning, match="last rate, 6e-05"):
        longer = extended(replace(begun, steps=40), begun, 20.0)
    assert longer.schedule == 6e-5


def test_a_state_without_a_number_is_named(tmp_path):
    toy, file = _Toy(tmp_path), tmp_path / "state.npz"
    toy.save()
    arrays = load_arrays(file)
    for name, value in {"step": np.array(float("nan")), "position": np.zeros(2)}.items():
        save_arrays(file, arrays | {name: value})
        with pytest.raises(InputError, match=r"state\.npz is damaged"):
            toy.load_state(file)
    del arrays["seconds"]
    save_arrays(file, arrays)
    with pytest.raises(InputError, match="no number 'seconds'"):
        toy.load_state(file)


class _Others(Workers):
    """One of two workers; the other one gives `row`, or what this one does, to each exchange."""

    row = None

    def __init__(self, index):
        super().__init__(["host0:1", "host1:2"], index)

    def collect(self, numbers):
        numbers = np.asarray(numbers, float)
        other = numbers if self.row is None else np.asarray(self.row(numbers), float)
        return np.stack([numbers, other][:: -1 if self.index else 1])

    def set_as_first(self, variables):
        pass


@pytest.fixture
def pair(tmp_path, monkeypatch):
    """A function that returns a toy loop of one of two workers."""
    monkeypatch.setattr("vqwn_kit.training.loop.SETTLE", 0.0)

    def make(index):
        monkeypatch.setattr(workers, "_current", _Others(index))
        return _Toy(tmp_path)

    return make


def test_of_several_workers_the_first_one_alone_writes(pair, tmp_path):
    loop = pair(1)
    loop.fit(progress=False)
    assert (loop.step, loop.saved) == (6, [])
    assert not read_history(tmp_path)
    pair(0).fit(progress=False)
    assert [record["step"] for record in read_history(tmp_path)] == [2, 3, 4, 6]


def test_a_stop_of_one_worker_stops_all_and_time_is_that_of_the_first(pair):
    loop = pair(1)

    def row(numbers):
        if len(numbers) < 5:  # the comparison of settings, and the end
            return numbers
        return [*numbers[:2], 7.5, 0.0, loop.step == 3]

    loop.workers.row = row
    loop.fit(progress=False)
    assert (loop.ended, loop.step) == ("request", 3)
    assert loop.seconds == 7.5


@pytest.mark.parametrize(
    ("other", "named"),
    [([1, 0, 0, 0], "settings"), ([0, 1, 1, 0], "data and version of vqwn_kit or TensorFlow")],
)
def test_workers_that_would_train_something_else_are_refused(pair, other, named):
    loop = pair(0)
    loop.workers.row = lambda numbers: numbers + other
    loop.batches = lambda: pytest.fail("a start from data is computed by all workers together")
    with pytest.raises(InputError, match=rf"worker 1 \(host1:2\) has other {named} than worker 0"):
        loop.fit(progress=False)


@pytest.mark.parametrize(
    ("named", "attribute"),
    [("settings", "config"), ("data", "data_identity"), ("checkpoint", "step")],
)
def test_settings_data_and_checkpoint_are_compared_between_workers(pair, named, attribute):
    loop, sent = pair(0), []
    loop.workers.row = lambda numbers: sent.append(numbers) or sent[0]
    loop._check_same()
    setattr(loop, attribute, 5)
    with pytest.raises(InputError, match=f"has other {named} than worker 0"):
        loop._check_same()


def test_a_callback_that_fails_is_no_lost_worker(pair):
    def callback(record, model):
        raise BrokenPipeError("no reader")

    with pytest.raises(BrokenPipeError, match="no reader"):
        pair(0).fit(progress=False, callbacks=[callback])


@pytest.mark.parametrize(("index", "gone", "saved"), [(0, 1, True), (1, 0, True), (1, 1, False)])
def test_without_a_worker_the_state_before_the_step_is_saved(
    pair, tmp_path, monkeypatch, index, gone, saved
):
    loop = pair(index)
    monkeypatch.setattr(
        "vqwn_kit.training.workers.answers", lambda address: address[4] != str(gone)
    )
    take = loop.train_step

    def train_step(batch):
        loss = take(batch)
        if loop.step == 5:
            name = f"/job:worker/task:{gone} stopped"
            raise tf.errors.UnavailableError(None, None, name)
        return loss

    loop.train_step = train_step
    message = rf"worker {gone} \(host{gone}:\d\) does not answer any more.* after step 5 of 6"
    if gone == index:
        message = "toy: a worker does not answer any more"
    with pytest.raises(ConnectionError, match=message):
        loop.fit(progress=False)
    assert loop.weight[0, 0] == 5.0
    assert ((tmp_path / "state.npz").is_file() and loop.saved[-1] == 5) == saved
