"""The training loop of a model and of a prior. It can be stopped and resumed at any step."""

import math
import signal
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vqwn_kit.data.arrays import load_arrays, save_arrays
from vqwn_kit.errors import InputError
from vqwn_kit.models.tensorflow import tf
from vqwn_kit.models.workers import LOST, WorkerLost, current
from vqwn_kit.presets.training_config import check_warm_up
from vqwn_kit.runs.history import append_history
from vqwn_kit.training.optimizer import WeightAverage, scheduled_rate
from vqwn_kit.training.workers import lost_worker

Callback = Callable[[dict, object], None]
SHOWN = {  # measure: format in the progress bar
    "bits": "{:.2f} bits",
    "mel/mse": "error {:.3f}",
    "vq/codes_used": "{:.0f} codes",
    "vq/perplexity": "ppl {:.0f}",
    "held_out/bits": "held out {:.2f}",
    "left_out/bits": "left out {:.2f}",
}
BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
ENDS = {  # why a training ended: what is printed
    "steps": "all {steps:,} steps are taken",
    "time": "its time of {minutes:.1f} min is spent, after {step:,} of {steps:,} steps; the "
    "learning rate followed the time",
    "request": "you stopped it at step {step:,} of {steps:,}; it can be resumed",
    "diverged": "its loss was not finite at step {step:,} of {steps:,}",
}
SETTLE = 2.0  # seconds in which workers of one machine that die with it cease to answer
PATIENCE = 2  # steps in a row whose loss is not finite, where the weights still are


class TrainingLoop:
    """Steps, lines of the history and checkpoints, until all steps are taken or a stop.

    A restored training ends with the very weights of one that was not stopped, since the batches
    follow from the step alone, and `save_state` keeps everything that training changes.

    Of several workers each takes every step, see `vqwn_kit.models.workers`; the first one alone
    writes, and its `counters` are those of all.

    A subclass has a `folder` for its history, names its data in `data_identity`, and defines
        batches()           an iterator of batches from the current step on
        train_step(batch)   takes a step, updates the average, and returns the loss
        metrics(longer)     measures of the logging interval, longer: and of the one before;
                            `reset_metrics()` begins the next
        validate()          measures outside training; the model has its averaged weights
        save()              writes a checkpoint, with `save_state`
        last_good()         names the newest checkpoint, for messages

    Args:
        model: the Keras model.
        optimizer: its optimizer.
        config: has `steps`, `log_every`, `validate_every`, `save_every` and `average_decay`.

    Raises:
        InputError: the warm-up of the learning rate is not over at the end.

    Attributes:
        average: the moving average of the weights.
        step: steps taken so far.
        position: of the schedule of the learning rate, 0 to `config.steps`: the steps, or where
            there is a time limit the share of it that is spent, whichever is ahead.
        seconds: of training, over all sessions, with what comes between steps, such as `validate`,
            and without the first step of each, which compiles.
        workers: those that train together, by default this process alone.
        ended: why the last `fit` ended: `steps`, `time`, `request` or `diverged`; "" before.
        stop_requested: an event; set it to end after the current step, with a checkpoint.
    """

    name = "train"
    data_identity = ""
    how_to_continue = "restore it (restore=, --restore)"
    counters = ("step", "position", "seconds")  # numbers that are saved beside the variables

    def __init__(self, model, optimizer, config):
        check_warm_up(config.schedule, config.steps)
        self.model, self.optimizer, self.config = model, optimizer, config
        self.average = WeightAverage(model, config.average_decay)
        self.step, self.position, self.seconds = 0, 0.0, 0.0
        self.ended, self.spent = "", 0.0  # the share of its time that `fit` has spent
        self.bad_steps = 0  # in a row, whose loss was not finite
        self.workers = current()
        self._before: list | None = None  # the variables before a step that is being taken
        self._copies = tf.function(lambda: [tf.identity(v) for v in self._all_variables()])
        self.stop_requested = threading.Event()

    def fit(
        self,
        minutes: float | None = None,
        callbacks: Iterable[Callback] = (),
        progress: bool = True,
        after_step: Callable[["TrainingLoop"], None] | None = None,
    ) -> None:
        """Train until all steps are taken, the time is over or a stop is requested; see `train`.

        The minutes are those that `check_minutes` lets pass.

        Raises:
            InputError: the loss or the weights are not finite any more; the checkpoints, which are,
                stay as they are.
            KeyboardInterrupt: after Ctrl-C, once the step is done and its checkpoint written.
            WorkerLost: another worker is gone; the state before the step is saved.
        """
        steps = self.config.steps
        limit = math.inf if minutes is None else 60.0 * minutes
        self.ended, self.spent = "", float(limit <= 0.0)
        title = self.name if minutes is None else f"{self.name} (at most {minutes:.3g} min)"
        shown = progress and self.workers.is_first
        look = {"bar_format": BAR, "mininterval": 1.0, "disable": not shown}
        bar = tqdm(total=steps, initial=self.position, desc=title, **look)
        with interruptible(self.stop_requested) as interrupted, bar:
            bar.set_postfix_str("compiling")
            self._check_same()
            batches = self.batches()
            self.workers.set_as_first(self._all_variables())
            try:
                self._take_steps(batches, limit, bar, callbacks, after_step)
                self.checkpoint()
                self.workers.wait()  # until it is written
            except (*LOST, WorkerLost) as error:
                if self.workers.count == 1:
                    raise
                raise self._without_worker(error) from error
        if interrupted.is_set():
            raise KeyboardInterrupt(
                f"{self.name}: stopped at step {self.step} of {steps} and saved in {self.folder}; "
                f"to continue, {self.how_to_continue}"
            )

    def _take_steps(self, batches: Iterator, limit: float, bar, callbacks, after_step) -> None:
        """Take steps until the end, within a limit in seconds; see `fit`."""
        steps, before, first = self.config.steps, self.seconds, (self.step, self.position)
        start = time.perf_counter()
        while not self._end():
            try:
                batch = next(batches)
            except InputError:  # such as an iterable that ends too early
                self.checkpoint()
                raise
            rate = scheduled_rate(self.config.schedule, steps, self.position)
            self.optimizer.learning_rate.assign(rate)
            self._before = self._copies() if self.workers.count > 1 else None
            loss = self.train_step(batch)
            self._before = None
            self.step += 1
            if self.step == first[0] + 1:  # it compiled, which says nothing of the time left
                start = time.perf_counter()
                bar.unpause()
                bar.set_postfix_str("", refresh=False)
            self.seconds = before + time.perf_counter() - start
            self.spent = (self.seconds - before) / limit
            self.position = self._schedule_position(*first)
            self._stop_where_diverged(float(loss))
            bar.update(self.position - bar.n)
            if self.is_due(self.config.log_every) or self.is_due(self.config.validate_every):
                self._need_finite()  # before `validate`, which may keep the weights
                if self.is_due(self.config.validate_every):
                    bar.set_postfix_str(f"step {self.step:,}: validating")
                text = f"step {self.step:,}: {self.log(callbacks)}"
                bar.set_postfix_str(text, refresh=False)  # at most a line per second in a file
            if self.is_due(self.config.save_every):
                self.checkpoint()
            if after_step is not None:
                paused = time.perf_counter()
                after_step(self)
                start += time.perf_counter() - paused

    def _all_variables(self) -> list:
        return [variable for group in self.variables().values() for variable in group]

    def _check_same(self) -> None:
        """Raise InputError, on all workers, where one of them would train something else."""
        shapes = [tuple(variable.shape) for variable in self._all_variables()]
        facts = {
            "settings": (self.config, getattr(self, "preset", None), shapes),
            "data": self.data_identity,
            "version of vqwn_kit or TensorFlow": (metadata.version("vqwn_kit"), tf.__version__),
            "checkpoint": self.step,
        }
        table = self.workers.collect([zlib.crc32(repr(f).encode()) for f in facts.values()])
        for index in np.flatnonzero((table != table[0]).any(axis=1)):
            other = np.array(list(facts))[table[index] != table[0]]
            raise InputError(
                f"worker {index} ({self.workers.addresses[index]}) has other {' and '.join(other)} "
                f"than worker 0; this is worker {self.workers.index}, with the data "
                f"{self.data_identity}, at step {self.step}: start all workers with the same "
                "command but for --index"
            )

    def _agree(self) -> None:
        """Take the counters of the first worker; stop where a stop of any worker is requested."""
        if self.workers.count == 1:
            return
        names = (*self.counters, "spent")
        stop = self.stop_requested.is_set()
        table = self.workers.collect([*(getattr(self, name) for name in names), stop])
        for name, value in zip(names, table[0], strict=False):
            setattr(self, name, type(getattr(self, name))(value))
        if table[:, -1].any():
            self.stop_requested.set()

    def _without_worker(self, error: Exception) -> WorkerLost:
        """Return the error for a worker that is gone; the first one left saves the last state."""
        if self._before is not None:  # the step may be taken in part
            for variable, value in zip(self._all_variables(), self._before, strict=True):
                variable.assign(value)
            self._before = None
        time.sleep(SETTLE)
        addresses, own = self.workers.addresses, self.workers.index
        lost, is_first_left = lost_worker(addresses, own, str(error.__cause__ or error))
        if is_first_left:
            self._need_finite()
            self.save()
        name = f"worker {lost} ({addresses[lost]})" if lost is not None else "a worker"
        return WorkerLost(
            f"{self.name}: {name} does not answer any more, so the training ended after step "
            f"{self.step} of {self.config.steps} and was saved in {self.folder}; to continue, "
            f"start all workers again, also another number of them, and {self.how_to_continue}"
        )

    def checkpoint(self) -> None:
        """Write a checkpoint, unless a weight is not finite: those before it stay then.

        Raises:
            InputError: see `fit`.
            OSError: the disk is full.
        """
        self._need_finite()
        if self.workers.is_first:
            self.save()

    def _need_finite(self) -> None:
        """Raise InputError where a weight is not finite."""
        bad = self._not_finite()
        if bad is not None:
            self._raise_diverged(f"{bad} holds NaN")

    def _not_finite(self) -> str | None:
        """Return the name of the first variable that is not finite."""
        groups = self.variables()
        for variable in (v for name in ("model", "optimizer", "average") for v in groups[name]):
            if not np.isfinite(np.asarray(variable.numpy(), np.float32)).all():
                return str(getattr(variable, "path", variable.name))
        return None

    def _stop_where_diverged(self, loss: float) -> None:
        """Raise InputError after a loss that is not finite, at once if the weights are lost."""
        if math.isfinite(loss):
            self.bad_steps = 0
            return
        self.bad_steps += 1
        if self.bad_steps >= PATIENCE or self._not_finite() is not None:
            self._raise_diverged(f"the loss is {loss:g}")

    def _raise_diverged(self, what: str) -> None:
        self.ended = "diverged"
        record = {"step": self.step, "seconds": round(self.seconds, 2), **self.metrics()}
        if self.workers.is_first:
            append_history(self.folder, {**record, "ended": self.ended})
        rate = float(self.optimizer.learning_rate)
        raise InputError(
            f"{self.name}: the training diverged at step {self.step}: {what}. {self.last_good()} "
            f"Train with a lower learning_rate (it was {rate:.3g}) or with clip_norm=1"
        )

    def _end(self) -> bool:
        """Return whether to end, on all workers; note why."""
        self._agree()
        if self.step >= self.config.steps:
            self.ended = "steps"
        elif self.stop_requested.is_set():
            self.ended = "request"
        elif self.spent >= 1.0:
            self.ended = "time"
        return bool(self.ended)

    def _schedule_position(self, step: int, position: float) -> float:
        """Return the position in the schedule after a start at a step and a position.

        Where no time limit was ever ahead of the steps, it is the step, exactly.
        """
        steps = self.config.steps
        by_steps = self.step + (position - step) * (steps - self.step) / max(1, steps - step)
        by_time = position + (steps - position) * self.spent
        return min(float(steps), max(by_steps, by_time))

    @property
    def finished(self) -> bool:
        """Whether the schedule is at its end: all steps are taken, or the time was spent."""
        return self.position >= self.config.steps

    def end_text(self) -> str:
        """Return why the last `fit` ended, as a sentence without its beginning."""
        numbers = {"step": self.step, "steps": self.config.steps, "minutes": self.seconds / 60}
        return ENDS[self.ended].format(**numbers)

    def is_due(self, every: int) -> bool:
        """Return whether something that is done every so many steps is due; at the end it is."""
        return self.step % every == 0 or self._at_end()

    def _at_end(self) -> bool:
        return self.step >= self.config.steps or self.spent >= 1.0

    def log(self, callbacks: Iterable[Callback]) -> str:
        """Append a line to the history, call the callbacks; return it for the progress bar.

        Its measures are of the last `log_every` steps, or where it comes between two intervals, of
        up to twice as many: few steps use few codes.
        The model has its averaged weights meanwhile where the line includes `validate`. Of several
        workers the first one does so.
        """
        between = self.step % self.config.log_every != 0
        record = {}
        if self.workers.is_first:
            record = self._line(self.metrics(longer=between), callbacks)
        if not between:
            self.reset_metrics()
        return ", ".join(
            form.format(record[name]) for name, form in SHOWN.items() if name in record
        )

    def _line(self, measures: dict[str, float], callbacks: Iterable[Callback]) -> dict:
        """Append a line to the history, call the callbacks, and return it."""
        record = {"step": self.step, "seconds": round(self.seconds, 2), **measures}
        if self._at_end():
            record["ended"] = "steps" if self.step >= self.config.steps else "time"
        with ExitStack() as stack:
            if self.is_due(self.config.validate_every):
                stack.enter_context(self.average.applied())
                record |= self.validate()
            append_history(self.folder, record)
            for callback in callbacks:
                callback(record, self.model)
        return record

    def variables(self) -> dict[str, list]:
        """Return everything that training changes, by group."""
        return {
            "model": self.model.variables,
            "optimizer": [v for v in self.optimizer.variables if v.name != "learning_rate"],
            "average": self.average.variables,
        }

    def save_state(self, file: Path) -> None:
        """Write everything that training needs to resume exactly."""
        arrays = {name: np.array(getattr(self, name)) for name in self.counters}
        for group, variables in self.variables().items():
            arrays |= {f"{group}/{i}": value.numpy() for i, value in enumerate(variables)}
        save_arrays(file, arrays)

    def load_state(self, file: Path) -> None:
        """Restore what `save_state` wrote.

        Raises:
            InputError: the file is missing, damaged, or belongs to another model.
        """
        if not file.is_file():
            kept = sorted(path.name for path in file.parent.glob("*state.npz"))
            raise InputError(f"{file} is missing, and training cannot resume without; kept: {kept}")
        try:
            arrays = load_arrays(file)
        except InputError as error:
            raise InputError(f"{error}; the weights beside it can be loaded") from error
        for group, variables in self.variables().items():
            for number, variable in enumerate(variables):
                value = arrays.get(f"{group}/{number}")
                if value is None or value.shape != tuple(variable.shape):
                    shape = None if value is None else value.shape
                    raise InputError(
                        f"{file} does not fit its config.json: {getattr(variable, 'path', group)} "
                        f"has the shape {shape} there; expected {tuple(variable.shape)}"
                    )
                variable.assign(value)
        for name in self.counters:
            if name not in arrays or arrays[name].shape != ():
                raise InputError(f"{file} is damaged: it has no number {name!r}")
            setattr(self, name, arrays[name].item())
        if not 0 <= self.step < 1e15 or not 0 <= self.position < 1e15 or not self.seconds >= 0:
            raise InputError(
                f"{file} is damaged: step {self.step}, position {self.position}, seconds "
                f"{self.seconds}"
            )


def check_minutes(minutes: float | None) -> None:
    """Raise InputError where a time limit is none; called before anything is written."""
    if minutes is not None and not minutes >= 0:
        raise InputError(f"minutes is {minutes:g}; expected 0 or more, or none for no limit")


@contextmanager
def interruptible(stop: threading.Event) -> Iterator[threading.Event]:
    """Turn Ctrl-C into a request to stop after the current step; yield an event that it sets too.

    A second Ctrl-C interrupts at once. In a thread other than the main one, which receives no
    signals, nothing is changed.
    """
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    before = signal.getsignal(signal.SIGINT)

    def handle(signum, frame):
        interrupted.set()
        stop.set()
        signal.signal(signal.SIGINT, before)
        print("\nstopping after this step; once more stops at once", file=sys.stderr, flush=True)

    signal.signal(signal.SIGINT, handle)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)
