"""The training loop of a model and of a prior. It can be stopped and resumed at any step."""

import signal
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vqwn_kit.errors import InputError
from vqwn_kit.files import replacing
from vqwn_kit.runs.history import append_history
from vqwn_kit.training.optimizer import WeightAverage

Callback = Callable[[dict, object], None]
SHOWN = {  # measure: format in the progress bar
    "bits": "{:.2f} bits",
    "mel/mse": "error {:.3f}",
    "vq/codes_used": "{:.0f} codes",
    "vq/perplexity": "ppl {:.0f}",
    "held_out/bits": "held out {:.2f}",
    "left_out/bits": "left out {:.2f}",
}


class TrainingLoop:
    """Steps, lines of the history and checkpoints, until all steps are taken or a stop.

    A restored training ends with the very weights of one that was not stopped, since the batches
    follow from the step alone, and `save_state` keeps everything that training changes.

    A subclass has a `folder` for its history, and defines
        batches()           an iterator of batches from the current step on
        train_step(batch)   takes a step, and updates the average
        metrics()           measures of the logging interval; `reset_metrics()` begins the next
        validate()          measures outside training; the model has its averaged weights
        save()              writes a checkpoint, with `save_state`

    Args:
        model: the Keras model.
        optimizer: its optimizer.
        config: has `steps`, `log_every`, `validate_every`, `save_every` and `average_decay`.

    Attributes:
        average: the moving average of the weights.
        step: steps taken so far.
        seconds: of training, over all sessions.
        stop_requested: an event; set it to end after the current step, with a checkpoint.
    """

    name = "train"
    counters = ("step", "seconds")  # numbers that are saved beside the variables

    def __init__(self, model, optimizer, config):
        self.model, self.optimizer, self.config = model, optimizer, config
        self.average = WeightAverage(model, config.average_decay)
        self.step, self.seconds = 0, 0.0
        self.stop_requested = threading.Event()

    def fit(
        self,
        minutes: float | None = None,
        callbacks: Iterable[Callback] = (),
        progress: bool = True,
        after_step: Callable[["TrainingLoop"], None] | None = None,
    ) -> None:
        """Train until all steps are taken, the time is over or a stop is requested; see `train`.

        Raises:
            KeyboardInterrupt: after Ctrl-C, once the step is done and its checkpoint written.
        """
        if minutes is not None and not minutes >= 0:
            raise InputError(f"minutes is {minutes:g}; expected 0 or more, or none for no limit")
        start, before, steps = time.perf_counter(), self.seconds, self.config.steps
        title = self.name if minutes is None else f"{self.name} ({minutes:g} min)"
        look = {"unit": "step", "mininterval": 1.0, "disable": not progress}
        bar = tqdm(total=steps, initial=self.step, desc=title, **look)
        with interruptible(self.stop_requested) as interrupted, bar:
            batches = self.batches()
            while self.step < steps and not self.stop_requested.is_set():
                if minutes is not None and time.perf_counter() - start > 60.0 * minutes:
                    break
                try:
                    batch = next(batches)
                except InputError:  # such as an iterable that ends too early
                    self.save()
                    raise
                self.train_step(batch)
                self.step += 1
                self.seconds = before + time.perf_counter() - start
                bar.update()
                if self.is_due(self.config.log_every) or self.is_due(self.config.validate_every):
                    bar.set_postfix_str(self.log(callbacks))
                if self.is_due(self.config.save_every):
                    self.save()
                if after_step is not None:
                    paused = time.perf_counter()
                    after_step(self)
                    start += time.perf_counter() - paused
            self.save()
        if interrupted.is_set():
            raise KeyboardInterrupt(
                f"stopped at step {self.step} of {steps} and saved in {self.folder}; to continue, "
                "restore it (restore=, --restore)"
            )

    def is_due(self, every: int) -> bool:
        """Return whether something that is done every so many steps is due; the last step is."""
        return self.step % every == 0 or self.step == self.config.steps

    def log(self, callbacks: Iterable[Callback]) -> str:
        """Append a line to the history, call the callbacks; return it for the progress bar.

        The model has its averaged weights meanwhile where the line includes `validate`.
        """
        record = {"step": self.step, "seconds": round(self.seconds, 2), **self.metrics()}
        with ExitStack() as stack:
            if self.is_due(self.config.validate_every):
                stack.enter_context(self.average.applied())
                record |= self.validate()
            append_history(self.folder, record)
            for callback in callbacks:
                callback(record, self.model)
        self.reset_metrics()
        return ", ".join(
            form.format(record[name]) for name, form in SHOWN.items() if name in record
        )

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
        with replacing(file) as scratch, scratch.open("wb") as output:
            np.savez(output, **arrays)

    def load_state(self, file: Path) -> None:
        """Restore what `save_state` wrote.

        Raises:
            InputError: the file is missing, damaged, or belongs to another model.
        """
        if not file.is_file():
            kept = sorted(path.name for path in file.parent.glob("*state.npz"))
            raise InputError(f"{file} is missing, and training cannot resume without; kept: {kept}")
        try:
            with np.load(file, allow_pickle=False) as content:
                arrays = dict(content)
        except (zipfile.BadZipFile, ValueError, EOFError) as error:
            raise InputError(f"{file} is damaged; the weights beside it can be loaded") from error
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
            setattr(self, name, arrays[name].item())


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
