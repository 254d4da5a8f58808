"""A widget that runs jobs in a thread, so that the kernel stays free, and contains a player."""

import math
import sys
import threading
import time
from collections.abc import Callable

import traitlets as t
from ipywidgets import widget_serialization

from vqwn_kit.errors import InputError
from vqwn_kit.widgets.base import Widget
from vqwn_kit.widgets.player import Player


class JobWidget(Widget):
    """Runs one job at a time in a thread, and keeps what it raises.

    Attributes:
        state: what the widget is doing; `ready` before the first job.
        progress, about: what its page shows, by name.
        problem: the last error, or "".
        player: of the job's sounds, or None.
    """

    state = t.Unicode("ready").tag(sync=True)
    progress = t.Dict().tag(sync=True)
    about = t.Dict().tag(sync=True)
    problem = t.Unicode("").tag(sync=True)
    player: Player | None = t.Instance(Player, allow_none=True).tag(  # pyright: ignore[reportAssignmentType]
        sync=True, **widget_serialization
    )

    def __init__(self, **traits):
        self._error: BaseException | None = None
        self._changed = threading.Condition()  # of `state`, which both threads set
        self._ended = threading.Event()  # Thread.join() does not survive a KeyboardInterrupt
        self._ended.set()
        super().__init__(**traits)

    def _start_job(self, state: str, job: Callable[[], object], end: Callable[[], None]) -> None:
        """Run a job in a thread, and `end` after it, whatever it raises; hold `_changed` here."""
        self._error, self.problem, self.state = None, "", state
        self._ended.clear()
        # the threads of marimo know its page, which others do not
        Thread = getattr(sys.modules.get("marimo"), "Thread", threading.Thread)
        Thread(target=self._run, args=(job, end), name=state, daemon=True).start()

    def _run(self, job: Callable[[], object], end: Callable[[], None]) -> None:
        try:
            with self._cell():
                job()
        except BaseException as error:  # raised again by `_wait`, in the caller's thread
            self._error = error
            name = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
            self.problem = f"{name}{error}"
        with self._changed:
            try:
                end()
            finally:
                self._ended.set()

    def _wait(self, timeout: float | None, stop: Callable[[], None]) -> None:
        """Wait for the end of the job, for `timeout` seconds at most; raise the job's error.

        Ctrl-C calls `stop`, waits for the end and is raised again.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        try:
            while time.monotonic() < deadline:
                if self._ended.wait(0.1):
                    break
        except KeyboardInterrupt:
            stop()
            self._ended.wait()
            raise
        if self._ended.is_set() and self._error is not None:
            raise self._error

    def _page_state(self) -> dict:
        page = self.player and self.player._page_state()
        return super()._page_state() | {"player": page}
