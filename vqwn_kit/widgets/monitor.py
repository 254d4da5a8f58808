"""A training as a callback -> a thread with buttons, curves and what the model says by now."""

import atexit
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import traitlets as t
from ipywidgets import widget_serialization

from vqwn_kit.errors import InputError
from vqwn_kit.widgets.base import Widget, module_of
from vqwn_kit.widgets.player import Player

CURVES = {
    "loss": ("bits", "mel/mse"),
    "held_out": ("held_out/bits", "held_out/mse"),
    "codes": ("vq/codes_used",),
    "perplexity": ("vq/perplexity",),
    "dead": ("vq/codes_dead",),
}
GOING = ("starting", "running", "pausing", "paused")  # states in which it may be stopped
MOST_POINTS = 300  # of a curve in the browser
TELL_EVERY = 0.25  # seconds between two messages to the browser
RECENT = 15.0  # seconds of training over which the speed is measured
MOST_HEARD = 5  # reconstructions beside the original
AT_EXIT = 60.0  # seconds that the last step and its checkpoint get when Python ends


class TrainingMonitor(Widget):
    """Starts, pauses, stops a training in a thread, and shows how it goes.

    The training is a callback `train(monitor)`. It runs in a thread of its own, so that the kernel
    stays free, and tells the monitor by `begin`, `add`, `hear` and, after each step, `tell` and
    `goes_on`. What it returns is what `wait` returns.

    Args:
        train: the training; called again when it shall go on after a stop.
        step: that is done, where a run is gone on with.
        steps: in all.
        records: lines of the history so far, as `Run.history` has them.
        player: what `hear` puts reconstructions into.
        num_embeddings: K, or 0 where there is no codebook.
        title: of the widget.

    Attributes:
        state: `ready`, `starting`, `running`, `pausing`, `paused`, `stopping`, `stopped`,
            `finished` or `failed`.
        run: the run that is trained, as soon as its first step is done; else None.
        records: all lines of the history.
        progress: step, steps, seconds of training, samples a second, seconds left (-1: unknown).
        problem: what went wrong, or "".
        asked: an event that is set while a pause or a stop is wanted.
    """

    _esm = module_of("monitor", "player")

    state = t.Unicode("ready").tag(sync=True)
    progress = t.Dict().tag(sync=True)
    curves = t.Dict().tag(sync=True)
    about = t.Dict().tag(sync=True)
    problem = t.Unicode("").tag(sync=True)
    player = t.Instance(Player, allow_none=True).tag(sync=True, **widget_serialization)

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
        **settings,
    ):
        self.run, self.records, self.asked = None, list(records), threading.Event()
        self._train, self._error = train, None
        self._ended = threading.Event()  # an interrupted Thread.join() takes the thread for dead
        self._ended.set()
        self._wanted, self._changed = "run", threading.Condition()
        self._recent: deque = deque()
        self._heard: dict[int, np.ndarray] = {}
        self._codes, self._fresh, self._told = None, False, 0.0
        self._originals = dict(player.tracks) if player else {}
        super().__init__(
            title=title, player=player, curves=_curves(self.records),
            progress=_progress(step, steps, self.records[-1]["seconds"] if records else 0.0),
            about=_about(num_embeddings, self.records), **settings,
        )  # fmt: skip
        self._latest = self.progress
        self.on_msg(self._asked)

    # ---- what the user does

    def start(self) -> "TrainingMonitor":
        """Start the training, or go on with it after a pause or a stop; return the monitor."""
        if self.state not in GOING:
            self._ended.wait()  # it ends with its step
        with self._changed:
            self._wanted = "run"
            self.asked.clear()
            self._changed.notify_all()
            if not self._ended.is_set():
                if self.state in ("pausing", "paused"):
                    self.state = "running"
                return self
            self._error, self.problem, self.state = None, "", "starting"
            self._ended.clear()
            atexit.register(self._at_exit)
            threading.Thread(target=self._body, name="training", daemon=True).start()
        return self

    def resume(self) -> "TrainingMonitor":
        """Go on after a pause or a stop, as `start` does; return the monitor."""
        return self.start()

    def pause(self) -> None:
        """Pause after this step, with a checkpoint; the model stays in memory."""
        self._want("pause", "pausing", ("starting", "running"))

    def stop(self) -> None:
        """Stop after this step, with a checkpoint; `resume` goes on from it."""
        self._want("stop", "stopping", GOING)

    def wait(self, timeout: float | None = None):
        """Wait until the training has ended, or pauses; return its run.

        Args:
            timeout: seconds after which the wait ends, and the training goes on.

        Raises:
            KeyboardInterrupt: by the toolbar's stop button or Ctrl-C: the training was stopped
                after its step, with a checkpoint, and `resume` goes on from there.
            BaseException: what the training raised.
        """
        until = math.inf if timeout is None else time.monotonic() + timeout
        try:
            while self.state != "paused" and time.monotonic() < until:
                if self._ended.wait(0.1):
                    break
        except KeyboardInterrupt as interrupt:
            self.stop()
            self._ended.wait()
            where = f" at step {self.progress['step']} of {self.progress['steps']}"
            raise KeyboardInterrupt(f"stopped{where} and saved; resume() goes on") from interrupt
        if self._error is not None:
            raise self._error
        return self.run

    # ---- what the training tells, in its thread

    def begin(self, run, records: Sequence[dict], **about) -> None:
        """Begin to show a run; its lines so far replace those that are shown.

        Args:
            run: kept as `run`.
            records: lines of its history so far.
            **about: what to show, as text: `where`, `stage`.
        """
        self.run, self.records = run, list(records)
        self._recent.clear()
        self.about = {**self.about, **_about(self.about["codes"], self.records), **about}
        self.curves = _curves(self.records)
        if self.state == "starting":
            self.state = "running"

    def add(self, record: dict) -> None:
        """Add a line of the history."""
        self.records.append(record)
        self.about = {**self.about, "unit": _unit(self.records)}
        self.curves = _curves(self.records)

    def tell(
        self, step: int, steps: int, seconds: float, samples: int, most: float = math.inf
    ) -> None:
        """Tell how far the training is.

        Args:
            step: that is done.
            steps: in all.
            seconds: of training until now.
            samples: that were trained on until now.
            most: seconds that are left at most.
        """
        self._recent.append((step, seconds, samples))
        while seconds - self._recent[0][1] > RECENT and len(self._recent) > 2:
            self._recent.popleft()
        step0, seconds0, samples0 = self._recent[0]
        took, speed, left = seconds - seconds0, 0.0, -1.0
        if took > 0:
            speed = (samples - samples0) / took
            left = min(most, (steps - step) * took / (step - step0))
        self._latest = _progress(step, steps, seconds, speed, left)
        if time.monotonic() - self._told >= TELL_EVERY:
            self._told = time.monotonic()
            self.progress = self._latest
            self._show_heard()

    def goes_on(self, save: Callable[[], None]) -> bool:
        """Return whether to take another step; during a pause, save and wait for its end."""
        if self._wanted == "pause":
            save()
            self.progress = self._latest
            with self._changed:
                if self._wanted == "pause":
                    self.state = "paused"
                self._changed.wait_for(lambda: self._wanted != "pause")
        return self._wanted != "stop"

    def hear(self, step: int, waveform: np.ndarray, codes: np.ndarray | None = None) -> None:
        """Give the player what the model says now, float (T,), and its codes (N,)."""
        self._heard[step] = waveform
        steps = sorted(self._heard)
        if len(steps) > MOST_HEARD:  # a time-lapse: evenly spread over the logarithm of the step
            near = {b: (c + 1) / (a + 1) for a, b, c in zip(steps, steps[1:], steps[2:])}  # noqa: B905
            del self._heard[min(near, key=near.get)]
        self._codes, self._fresh = codes, True
        self._show_heard()

    # ---- within

    def _want(self, what: str, state: str, states: Sequence[str]) -> None:
        with self._changed:
            if self.state not in states:
                return
            self._wanted, self.state = what, state
            self.asked.set()
            self._changed.notify_all()

    def _body(self) -> None:
        """Train; keep what is raised for `wait`."""
        try:
            self.run = self._train(self)
            end = "finished" if self._latest["step"] >= self._latest["steps"] else "stopped"
        except BaseException as error:  # raised again by `wait`, in the caller's thread
            self._error, end = error, "failed"
            name = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
            self.problem = f"{name}{error}"
        finally:
            atexit.unregister(self._at_exit)
            self.progress = self._latest  # the last steps may not have been told
        self._show_heard(even_if_heard=True)
        with self._changed:
            self.state = end
            self._ended.set()

    def _at_exit(self) -> None:
        self.stop()
        self._ended.wait(AT_EXIT)

    def _show_heard(self, even_if_heard: bool = False) -> None:
        """Load the reconstructions, but not under the ears of who listens."""
        player = self.player
        if not self._fresh or player is None or player.blind_test is not None:
            return
        if player.playing and not even_if_heard:
            return
        self._fresh = False
        newest = {f"step {n:,}": self._heard[n] for n in sorted(self._heard, reverse=True)}
        player.load({**self._originals, **newest}, codes=self._codes)

    def _asked(self, _, message: dict, buffers) -> None:
        """Do what a button in the browser says."""
        what = message.get("do")
        if what in ("start", "pause", "stop"):
            getattr(self, what)()

    def _static(self) -> bool:
        return bool(self.records)

    def _page_state(self) -> dict:
        return super()._page_state() | {"player": self.player and self.player._page_state()}

    def figure(self):
        """Return loss and codes over the steps as a matplotlib figure."""
        from vqwn_kit.plots.training import plot_code_history, plot_history
        from vqwn_kit.widgets.figures import Still

        codes = self.about["codes"]
        still = Still((8.0 if codes else 5.0, 3.0), layout="constrained")
        axes = still.subplots(1, 2 if codes else 1, squeeze=False)[0]
        plot_history(self.records, axes[0]).set_ylabel(_unit(self.records))
        if codes:
            plot_code_history(self.records, codes, axes[1])
        still.suptitle(self.title, fontsize=11, parse_math=False)
        return still


def _progress(step: int, steps: int, seconds: float, speed: float = 0.0, left: float = -1.0):
    return {"step": step, "steps": steps, "seconds": seconds, "speed": speed, "left": left}


def _about(codes: int, records: Sequence[dict]) -> dict:
    return {"codes": codes, "unit": _unit(records), "where": "", "stage": ""}


def _unit(records: Sequence[dict]) -> str:
    bands = records and "bits" not in records[-1]
    return "error of bands, (20 dB)²" if bands else "bits a sample"


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
