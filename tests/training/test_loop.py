"""The training loop on a toy: when it ends, what it saves, what counts as time."""

import os
import signal
import threading
import time
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from vqwn_kit import InputError
from vqwn_kit.runs.history import read_history
from vqwn_kit.training.loop import TrainingLoop


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
        super().__init__(model, optimizer, SimpleNamespace(**intervals, average_decay=0.5))
        self.seen, self.saved = [], []

    def batches(self):
        yield from range(self.step, self.available)
        raise InputError("no more batches")

    def train_step(self, batch):
        self.seen.append(batch)
        self.weight.assign_add([[1.0]])
        self.average.update(self.step + 1)

    def metrics(self):
        return {"bits": float(len(self.seen))}

    def reset_metrics(self):
        self.seen = []

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
    assert [record["bits"] for record in history] == [2, 1, 1, 2]  # since the line before
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
    with pytest.raises(InputError, match="minutes is -1"):
        toy.fit(minutes=-1)


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
    with pytest.raises(InputError, match="is damaged"):
        toy.load_state(file)
