"""Codes (N,) as a strip that is cut, repeated, stretched and spliced; and the editor of it."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import traitlets as t

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.widgets.arrays import code_colours
from vqwn_kit.widgets.base import BY_PAGE, Widget

MOST_CODES = 10_000
MOST_TIMES = 50
MOST_UNDO = 200


class CodeStrip:
    """Codes that are edited like text; every edit can be undone.

    Positions are between codes, 0 to N; an edit applies to the codes between `start` and `end`, and
    returns the span of what it inserted, which is empty after a cut.

    Args:
        codes: N whole numbers.

    Attributes:
        codes: the current ones, a tuple.
        original: the initial ones.
        held: what was cut or copied last; a `load` of other codes keeps it.

    Raises:
        InputError: a span outside the strip or without a code in it, nothing to insert, or a strip
            that would be empty or longer than 10,000 codes.

    Example:
        strip = CodeStrip([7, 7, 3, 9])
        strip.repeat(2, 3, times=3)          # (2, 5): 7 7 3 3 3 9
        strip.undo()                         # True: 7 7 3 9
    """

    def __init__(self, codes: Iterable[int] = ()):
        self.held: tuple[int, ...] = ()
        self.load(codes)

    def load(self, codes: Iterable[int]) -> None:
        """Replace the codes and their history; what is held stays."""
        self.codes = self.original = tuple(int(code) for code in codes)
        self.past: list[tuple[int, ...]] = []
        self.future: list[tuple[int, ...]] = []

    def __len__(self) -> int:
        """Return the number of codes."""
        return len(self.codes)

    @property
    def edited(self) -> bool:
        """Whether the codes differ from the original."""
        return self.codes != self.original

    def copy(self, start: int, end: int) -> tuple[int, int]:
        """Copy codes, for `splice`."""
        self.held = self._between(start, end)
        return start, end

    def cut(self, start: int, end: int) -> tuple[int, int]:
        """Remove codes, for `splice`."""
        removed = self._between(start, end)
        span = self._replace(start, end, ())
        self.held = removed
        return span

    def repeat(self, start: int, end: int, times: int = 2) -> tuple[int, int]:
        """Repeat codes, so that they occur 2 to 50 times in a row."""
        if times != int(times) or not 2 <= times <= MOST_TIMES:
            raise InputError(f"times={times}; expected a whole number, 2 to {MOST_TIMES}")
        return self._replace(start, end, self._between(start, end) * int(times))

    def stretch(self, start: int, end: int, factor: float = 2.0) -> tuple[int, int]:
        """Change the duration of codes by a factor: each is repeated, or some are left out."""
        if not (math.isfinite(factor) and 1 / MOST_TIMES <= factor <= MOST_TIMES):
            raise InputError(f"factor={factor}; expected 1/{MOST_TIMES} to {MOST_TIMES}")
        codes = self._between(start, end)
        length = max(1, round(len(codes) * factor))
        nearest = (int((n + 0.5) / length * len(codes)) for n in range(length))
        return self._replace(start, end, tuple(codes[n] for n in nearest))

    def splice(self, start: int, end: int | None = None) -> tuple[int, int]:
        """Insert what is held at a position, or instead of a span."""
        if not self.held:
            raise InputError("nothing to insert: cut or copy some codes first")
        return self._replace(start, start if end is None else end, self.held)

    def undo(self) -> bool:
        """Undo the last edit; return whether there was one."""
        return self._move(self.past, self.future)

    def redo(self) -> bool:
        """Repeat an edit that was undone; return whether there was one."""
        return self._move(self.future, self.past)

    def reset(self) -> None:
        """Restore the original; this can be undone, too."""
        if self.edited:
            self._remember()
            self.codes = self.original

    def _between(self, start: int, end: int) -> tuple[int, ...]:
        if not 0 <= start < end <= len(self.codes):
            raise InputError(
                f"codes {start} to {end} of {len(self.codes)}; expected 0 <= start < end <= N"
            )
        return self.codes[start:end]

    def _replace(self, start: int, end: int, codes: tuple[int, ...]) -> tuple[int, int]:
        if not 0 <= start <= end <= len(self.codes):
            raise InputError(f"position {start} to {end}; expected 0 <= start <= end <= N")
        new = self.codes[:start] + codes + self.codes[end:]
        if not 0 < len(new) <= MOST_CODES:
            raise InputError(f"that would leave {len(new)} codes; expected 1 to {MOST_CODES}")
        self._remember()
        self.codes = new
        return start, start + len(codes)

    def _remember(self) -> None:
        self.past = [*self.past[-MOST_UNDO + 1 :], self.codes]
        self.future = []

    def _move(self, source: list, target: list) -> bool:
        if not source:
            return False
        target.append(self.codes)
        self.codes = source.pop()
        return True


EDITS: dict[str, Callable[..., tuple[int, int]]] = {
    name: getattr(CodeStrip, name) for name in ("copy", "cut", "repeat", "stretch", "splice")
}


class CodeEditor(Widget):
    """The part of a widget that edits codes; its page is `strip.js`.

    Attributes:
        strip: the codes, see `CodeStrip`; change them by `edit`, which updates the page.
        selection: [start, end] of the selected codes.
        matching_tracks: names of the player's tracks that have exactly these codes.
    """

    codes = t.List(t.Int()).tag(sync=True)
    selection = t.List(t.Int(), default_value=[0, 0]).tag(**BY_PAGE)
    strip_state = t.Dict().tag(sync=True)  # what can be undone, and so on
    matching_tracks = t.List(t.Unicode()).tag(sync=True)
    palette = t.Bytes().tag(sync=True)

    def __init__(self, num_embeddings: int, **traits):
        self.strip = CodeStrip()
        palette = code_colours(np.arange(num_embeddings)).tobytes() if num_embeddings else b""
        super().__init__(palette=palette, strip_state=self._strip_state(), **traits)

    def edit(self, what: str, start: int = 0, end: int | None = None, amount: float | None = None):
        """Edit the codes; see `CodeStrip`.

        Args:
            what: `cut`, `copy`, `repeat`, `stretch`, `splice`, `undo`, `redo` or `reset`.
            start: position before the first code.
            end: position after the last one; the end of the strip by default, for `splice` `start`.
            amount: times of `repeat` or factor of `stretch`; 2 by default.

        Raises:
            InputError: see `CodeStrip`.
        """
        if what in EDITS:
            if end is None and what != "splice":
                end = len(self.strip)
            more = () if amount is None or what not in ("repeat", "stretch") else (amount,)
            span = EDITS[what](self.strip, start, end, *more)
        elif what in ("undo", "redo", "reset"):
            getattr(self.strip, what)()
            span = [min(position, len(self.strip)) for position in self.selection]
        else:
            raise one_of("edit", what, [*EDITS, "undo", "redo", "reset"])
        self._show_strip(span)

    def _receive_edit(self, message: dict) -> None:
        """Edit as the page asks."""
        span = [int(message[name]) for name in ("start", "end")]
        try:
            self.edit(str(message["what"]), *span, amount=message.get("amount"))
        except InputError:
            self.strip_state = self._strip_state()  # the page waits for an answer
            raise

    def _show_strip(self, span: Sequence[int]) -> None:
        with self.hold_sync():
            self.codes, self.selection = list(self.strip.codes), list(span)
            self.matching_tracks = self._tracks_with(self.strip.codes)
        self.strip_state = self._strip_state()  # the page must have the rest by then

    def _strip_state(self) -> dict[str, Any]:
        strip, answer = self.strip, self.strip_state.get("answer", 0) + 1
        counts = {"undo": len(strip.past), "redo": len(strip.future), "held": len(strip.held)}
        return {"answer": answer, "edited": strip.edited, **counts}

    def _tracks_with(self, codes: tuple[int, ...]) -> list[str]:
        """Return the names of the tracks that have exactly these codes."""
        raise NotImplementedError
