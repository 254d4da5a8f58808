"""A training as a callback -> a thread with buttons, curves and the model's reconstructions."""

import atexit
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import traitlets as t

from vqwn_kit.widgets.base import module_of
from vqwn_kit.widgets.jobs import JobWidget
from vqwn_kit.widgets.player import Player

CURVES = {
    "loss": ("bits", "mel/mse"),
    "held_out": ("held_out/bits", "held_out/mse"),
    "codes": ("vq/codes_used",),
    "perplexity": ("vq/perplexity",),
    "dead": ("vq/codes_dead",),
}
ACTIVE = ("starting", "running", "pausing", "paused")  # states in which it may be stopped
MOST_POINTS = 300  # of a curve in the browser
UPDATE_EVERY = 0.25  # seconds between two messages to the browser
RECENT = 15.0  # seconds of training over which the speed is measured
MOST_RECONSTRUCTIONS = 5  # beside the original
AT_EXIT = 60.0  # seconds for the last step and its checkpoint when Python ends


class TrainingMonitor(JobWidget):
    """Starts, pauses and stops a training in a thread, and shows its progress.

    The training is a callback `train(monitor)`. It runs in a thread, so that the kernel stays free,
    and reports to the monitor by `begin`, `add_record`, `add_reconstruction`, after each step by
    `update` and `should_continue`, and by `end`. What it returns is what `wait` returns.

    Args:
        train: the training; called again to resume after a stop.
        step: that is done, where a run is resumed.
        steps: in all.
        records: records of the history so far, as in `Run.history`.
        player: of the reconstructions.
        num_embeddings: number of codes, Q K, or 0 where there is no codebook.
        title: of the widget.

    Attributes:
        state: `ready`, `starting`, `running`, `pausing`, `paused`, `stopping`, `stopped`,
            `finished` or `failed`. A training is finished when all its steps are taken or its time
            is spent; it is stopped when that was requested.
        reason: why the training ended, such as "all 300 steps are taken"; "" before its end.
        run: the run in training, as soon as its first step is done; else None.
        records: all records of the history.
        progress: step, steps, share that is done (0 to 1), seconds of training, samples per second,
            seconds left (-1: unknown). Of two stages they are those of the present one.
        problem: the last error, or "".
        diagnosis: what is said of the training, each `text` and what its button copies, `copied`.
        interrupt: an event that is set while a pause or a stop is requested.
    """

    _esm = module_of("monitor", "player")

    curves = t.Dict().tag(sync=True)
    reason = t.Unicode("").tag(sync=True)
    diagnosis = t.List().tag(sync=True)

    def __init__(
        self,
        train: Callable[["TrainingMonitor"], object],
        *,
        step: int = 0,
        steps: int = 0,
        records: Sequence[dict] = (),
        player: Player | None = None,
        num_embeddings: int = 0,
        title: str = "training",
    ):
        self.run, self.records, self.interrupt = None, list(records), threading.Event()
        self._train, self._request, self._num_embeddings = train, "run", num_embeddings
        self._recent: deque = deque()
        self._reconstructions: dict[tuple[str, int], np.ndarray] = {}  # by stage and step
        self._stage, self._finished = "", False
        self._codes, self._not_shown, self._updated = None, False, 0.0
        self._originals = dict(player.tracks) if player else {}
        self._rate = player.sample_rate if player else 0
        self._latest = _progress(step, steps, self.records[-1]["seconds"] if records else 0.0)
        super().__init__(
            title=title,
            player=player,
            curves=_curves(self.records),
            progress=self._latest,
            about=_about(num_embeddings, self.records, self._rate),
        )

    # ---- what the user does

    def start(self) -> "TrainingMonitor":
        """Start the training, or resume it after a pause or a stop; return the monitor."""
        if self.state not in ACTIVE:
            self._ended.wait()  # it ends after its step
        with self._changed:
            self._request = "run"
            self.interrupt.clear()
            self._changed.notify_all()
            if self._ended.is_set():
                self.reason, self._finished = "", False
                atexit.register(self._at_exit)
                self._start_job("starting", self._run_training, self._end)
            elif self.state in ("pausing", "paused"):
                self.state = "running"
        return self

    resume = start

    def pause(self) -> None:
        """Pause after this step, with a checkpoint; the model stays in memory, `wait` waits."""
        self._ask("pause", "pausing", ("starting", "running"))

    def stop(self) -> None:
        """Stop after this step, with a checkpoint, from which `resume` continues."""
        self._ask("stop", "stopping", ACTIVE)

    def wait(self, timeout: float | None = None):
        """Wait until the training is over; return its run.

        It is over when it is finished, stopped or failed. A pause does not end it: Resume, in the
        page or by `resume`, continues the training, and this waits on.

        Args:
            timeout: seconds after which the wait ends, and the training continues.

        Raises:
            KeyboardInterrupt: by the toolbar's stop button or Ctrl-C: the training was stopped
                after its step, with a checkpoint, from which `resume` continues.
            BaseException: what the training raised.
        """
        try:
            self._wait(timeout, self.stop)
        except KeyboardInterrupt as interrupt:
            where = f" at step {self.progress['step']} of {self.progress['steps']}"
            message = f"stopped{where} and saved; resume() continues"
            raise KeyboardInterrupt(message) from interrupt
        return self.run

    # ---- what the training reports, in its thread

    def begin(self, run, records: Sequence[dict], **about: Any) -> None:
        """Start to show a run and its records so far.

        Args:
            run: the run.
            records: of its history.
            **about: texts `where` and `stage`; and `lpc`, whether bits in training and on held-out
                utterances cannot be compared, see `plot_history`.
        """
        self.run, self.records = run, list(records)
        self._recent.clear()
        self.about = _about(self._num_embeddings, self.records, self._rate) | about
        self.curves = _curves(self.records)
        if self.state == "starting":
            self.state = "running"

    def add_record(self, record: dict) -> None:
        """Add a record of the history."""
        self.records.append(record)
        self.about = dict(self.about) | {"unit": _unit(self.records)}
        self.curves = _curves(self.records)

    def show_diagnosis(self, lines: Sequence[tuple[str, str]]) -> None:
        """Show what is said of the training: sentences, each with a remedy to copy, or ""."""
        self.diagnosis = [{"text": text, "copied": copied} for text, copied in lines]

    def update(
        self,
        step: int,
        steps: int,
        seconds: float,
        samples: int,
        *,
        most: float = math.inf,
        share: float | None = None,
    ) -> None:
        """Report a step that is done.

        Args:
            step: its number.
            steps: in all.
            seconds: of training so far.
            samples: trained on so far.
            most: seconds that are left of a time limit.
            share: that is done, 0 to 1; by default that of the steps.
        """
        self._recent.append((step, seconds, samples))
        while seconds - self._recent[0][1] > RECENT and len(self._recent) > 2:
            self._recent.popleft()
        step0, seconds0, samples0 = self._recent[0]
        took, speed, left = seconds - seconds0, 0.0, -1.0
        if took > 0:
            speed = (samples - samples0) / took
            left = min(most, (steps - step) * took / (step - step0))
        self._latest = _progress(step, steps, seconds, speed, left, share)
        if time.monotonic() - self._updated >= UPDATE_EVERY:
            self._updated = time.monotonic()
            self.progress = self._latest
            self._show_reconstructions()

    def should_continue(self, save: Callable[[], None]) -> bool:
        """Return whether to take another step; during a pause, save and wait for its end."""
        if self._request == "pause":
            save()
            self.progress = self._latest
            with self._changed:
                if self._request == "pause":
                    self.state = "paused"
                self._changed.wait_for(lambda: self._request != "pause")
        return self._request != "stop"

    def end(self, reason: str, finished: bool) -> None:
        """Report why the training has ended, and whether it is finished or can be resumed."""
        self.reason, self._finished = reason, finished

    def add_reconstruction(
        self, step: int, waveform: np.ndarray, codes: np.ndarray | None = None, stage: str = ""
    ) -> None:
        """Add a reconstruction to the player; of an earlier stage only the last one stays.

        Args:
            step: of the stage.
            waveform: float (T,).
            codes: its codes, as in `Player`.
            stage: what the name of the track begins with, such as "codes only"; "" for nothing.
        """
        kept = self._reconstructions
        for key in [key for key in kept if key[0] != stage][:-1]:
            del kept[key]
        kept[stage, step] = waveform
        steps = sorted(number for name, number in kept if name == stage)
        if len(kept) > MOST_RECONSTRUCTIONS:  # keep them evenly spread over log(step)
            triples = zip(steps[:-2], steps[1:-1], steps[2:], strict=True)
            _, closest = min(((after + 1) / (before + 1), b) for before, b, after in triples)
            del kept[stage, closest]
        self._codes, self._not_shown, self._stage = codes, True, stage
        self._show_reconstructions()

    # ---- within

    def _ask(self, request: str, state: str, states: Sequence[str]) -> None:
        with self._changed:
            if self.state in states:
                self._request, self.state = request, state
                self.interrupt.set()
                self._changed.notify_all()

    def _run_training(self) -> None:
        self.run = self._train(self)

    def _end(self) -> None:
        atexit.unregister(self._at_exit)
        self.progress = self._latest  # the last steps may not have been shown
        self._show_reconstructions(even_if_playing=True)
        self.state = "failed" if self._error else "finished" if self._finished else "stopped"

    def _at_exit(self) -> None:
        self.stop()
        self._ended.wait(AT_EXIT)

    def _show_reconstructions(self, even_if_playing: bool = False) -> None:
        """Load the reconstructions, but not while the player plays or runs a blind test."""
        player = self.player
        if not self._not_shown or player is None or player.blind_test is not None:
            return
        if player.playing and not even_if_playing:
            return
        self._not_shown = False
        newest = sorted(self._reconstructions, key=lambda key: (key[0] == self._stage, key[1]))
        tracks = {_track(*key): self._reconstructions[key] for key in reversed(newest)}
        player.load({**self._originals, **tracks}, codes=self._codes)

    def _receive(self, _, message: dict, buffers) -> None:
        """Press a button of the page."""
        what = message.get("do")
        if what in ("start", "pause", "stop"):
            getattr(self, what)()

    def _has_figure(self) -> bool:
        return bool(self.records)

    def figure(self):
        """Return loss and codes over the steps as a matplotlib figure."""
        from matplotlib import rc_context

        from vqwn_kit.widgets.figures import ON_ANY_PAGE

        with rc_context(ON_ANY_PAGE):
            return self._still()

    def _still(self):
        from vqwn_kit.plots.training import plot_code_history, plot_history
        from vqwn_kit.widgets.figures import Still

        codes = self._num_embeddings
        still = Still((8.0 if codes else 5.0, 3.0), layout="constrained")
        axes = still.subplots(1, 2 if codes else 1, squeeze=False)[0]
        lpc = bool(self.about["lpc"])
        plot_history(self.records, axes[0], lpc=lpc).set_ylabel(_unit(self.records))
        if codes:
            plot_code_history(self.records, codes, axes[1])
        lines = [self.title, f"{self.state}: {self.reason}" if self.reason else ""]
        still.suptitle("\n".join(lines).strip(), fontsize=10, parse_math=False)
        return still


def _progress(
    step: int,
    steps: int,
    seconds: float,
    speed: float = 0.0,
    left: float = -1.0,
    share: float | None = None,
) -> dict[str, float]:
    share = step / max(1, steps) if share is None else share
    done = {"step": step, "steps": steps, "share": share}
    return {**done, "seconds": seconds, "speed": speed, "left": left}


def _track(stage: str, step: int) -> str:
    """Return the name of the track of a reconstruction."""
    return f"{stage}, step {step:,}" if stage else f"step {step:,}"


def _about(codes: int, records: Sequence[dict], rate: int) -> dict[str, Any]:
    of_run = {"where": "", "stage": "", "lpc": False}
    return {"codes": codes, "unit": _unit(records), "rate": rate, **of_run}


def _unit(records: Sequence[dict]) -> str:
    mel = records and "bits" not in records[-1]
    return "mel error, (20 dB)²" if mel else "bits per sample"


def _curves(records: Sequence[dict]) -> dict[str, list]:
    """Return the curves of a history, each a list of (step, value)."""
    curves = {}
    for name, keys in CURVES.items():
        pairs = [(r["step"], r[key]) for r in records for key in keys if key in r]
        curves[name] = thinned([pair for pair in pairs if math.isfinite(pair[1])])
    return curves


def thinned(points: Sequence[tuple[float, float]], most: int = MOST_POINTS) -> list[list[float]]:
    """Return at most `most` points (x, y): means of neighbours, and the last as it is."""
    if len(points) <= most:
        return [list(map(float, point)) for point in points]
    parts = np.array_split(np.array(points[:-1], float), most - 1)
    return [part.mean(axis=0).tolist() for part in parts] + [list(map(float, points[-1]))]
