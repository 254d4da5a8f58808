"""Codes as a strip that is cut, repeated, stretched and spliced; and the editor of it."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import traitlets as t

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.widgets.base import BY_PAGE, OpeningWidget

MOST_CODES = 10_000
MOST_TIMES = 50
MOST_UNDO = 200

Frame = int | tuple[int, ...]  # a code, or a code of each codebook
Cell = tuple[Frame, str]  # a frame and its phone, which an edit moves together


class CodeStrip:
    """Codes that are edited like text; every edit can be undone.

    Positions are between codes, 0 to N; an edit applies to the codes between `start` and `end`, and
    returns the span of what it inserted, which is empty after a cut. Of several codebooks a
    position holds a frame, one code of each; edits move whole frames. Where the decoder is
    conditioned on pitch, the last code of a frame is its level: 0 where unvoiced, else a step of
    half a semitone, of which L // 2 is the speaker's mean.

    Args:
        codes: N whole numbers, or (N, Q) of Q codebooks.
        pitch_levels: L; 0 without pitch.

    Attributes:
        codes: the current ones, a tuple of N numbers, or of N tuples of Q.
        phones: the phone of each, N texts, "" where it is not known; edits move them with it.
        original: the initial codes.
        held: what was cut or copied last; a `load` of other codes keeps it.

    Raises:
        InputError: a span outside the strip or without a code in it, nothing to insert, or a strip
            that would be empty or longer than 10,000 codes.

    Example:
        strip = CodeStrip([7, 7, 3, 9])
        strip.repeat(2, 3, times=3)          # (2, 5): 7 7 3 3 3 9
        strip.undo()                         # True: 7 7 3 9
    """

    def __init__(self, codes: Iterable = (), pitch_levels: int = 0):
        self.pitch_levels = pitch_levels
        self._held: tuple[Cell, ...] = ()
        self.load(codes)

    def load(self, codes: Iterable, phones: Sequence[str] = ()) -> None:
        """Replace the codes, their phones (N,) and their history; what is held stays."""
        frames = [tuple(map(int, code)) if np.ndim(code) else int(code) for code in codes]
        self._cells = self._first = tuple(zip(frames, phones or [""] * len(frames), strict=True))
        self.past: list[tuple[Cell, ...]] = []
        self.future: list[tuple[Cell, ...]] = []

    @property
    def codes(self) -> tuple[Frame, ...]:
        """The current codes, N numbers or N tuples of Q."""
        return _frames(self._cells)

    @property
    def phones(self) -> list[str]:
        """The phone of each code, "" where it is not known."""
        return [phone for _, phone in self._cells]

    @property
    def original(self) -> tuple[Frame, ...]:
        """The initial codes."""
        return _frames(self._first)

    @property
    def held(self) -> tuple[Frame, ...]:
        """The codes that were cut or copied last."""
        return _frames(self._held)

    def __len__(self) -> int:
        """Return the number of codes."""
        return len(self._cells)

    @property
    def edited(self) -> bool:
        """Whether the codes differ from the original."""
        return self.codes != self.original

    def copy(self, start: int, end: int) -> tuple[int, int]:
        """Copy codes, for `splice`."""
        self._held = self._between(start, end)
        return start, end

    def cut(self, start: int, end: int) -> tuple[int, int]:
        """Remove codes, for `splice`."""
        removed = self._between(start, end)
        span = self._replace(start, end, ())
        self._held = removed
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

    def transpose(self, start: int, end: int, semitones: float = 1.0) -> tuple[int, int]:
        """Raise the pitch of frames by semitones, rounded to half ones; unvoiced ones stay so."""
        raised = [frame[-1] + round(2 * semitones) for frame, _ in self._pitched(start, end)]
        return self.draw_pitch(start, end, np.clip(raised, 1, self.pitch_levels - 1).tolist())

    def draw_pitch(self, start: int, end: int, levels: Sequence[int]) -> tuple[int, int]:
        """Set the levels of the pitch of frames; unvoiced ones stay unvoiced."""
        cells, top = self._pitched(start, end), self.pitch_levels - 1
        if len(levels) != end - start or not all(0 < level <= top for level in levels):
            raise InputError(f"levels={levels}; expected {end - start} of 1 to {top}")
        drawn = [
            ((*frame[:-1], int(level) if frame[-1] else 0), phone)
            for (frame, phone), level in zip(cells, levels, strict=True)
        ]
        return self._replace(start, end, tuple(drawn))

    def _pitched(self, start: int, end: int) -> list[tuple[tuple[int, ...], str]]:
        if not self.pitch_levels:
            raise InputError("these codes have no pitch: their decoder is not conditioned on it")
        cells = self._between(start, end)
        return [(frame, phone) for frame, phone in cells if isinstance(frame, tuple)]

    def splice(self, start: int, end: int | None = None) -> tuple[int, int]:
        """Insert what is held at a position, or instead of a span."""
        if not self._held:
            raise InputError("nothing to insert: cut or copy some codes first")
        return self._replace(start, start if end is None else end, self._held)

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
            self._cells = self._first

    def _between(self, start: int, end: int) -> tuple[Cell, ...]:
        if not 0 <= start < end <= len(self):
            raise InputError(
                f"codes {start} to {end} of {len(self)}; expected 0 <= start < end <= N"
            )
        return self._cells[start:end]

    def _replace(self, start: int, end: int, cells: tuple[Cell, ...]) -> tuple[int, int]:
        if not 0 <= start <= end <= len(self):
            raise InputError(f"position {start} to {end}; expected 0 <= start <= end <= N")
        new = self._cells[:start] + cells + self._cells[end:]
        if not 0 < len(new) <= MOST_CODES:
            raise InputError(f"that would leave {len(new)} codes; expected 1 to {MOST_CODES}")
        self._remember()
        self._cells = new
        return start, start + len(cells)

    def _remember(self) -> None:
        self.past = [*self.past[-MOST_UNDO + 1 :], self._cells]
        self.future = []

    def _move(self, source: list, target: list) -> bool:
        if not source:
            return False
        target.append(self._cells)
        self._cells = source.pop()
        return True


def _frames(cells: tuple[Cell, ...]) -> tuple[Frame, ...]:
    return tuple(frame for frame, _ in cells)


EDITS: dict[str, Callable[..., tuple[int, int]]] = {
    name: getattr(CodeStrip, name)
    for name in ("copy", "cut", "repeat", "stretch", "transpose", "draw_pitch", "splice")
}
WITH_AMOUNT = ("repeat", "stretch", "transpose", "draw_pitch")


class CodeEditor(OpeningWidget):
    """The part of a widget that edits codes; its page is `strip.js`.

    Attributes:
        strip: the codes, see `CodeStrip`; change them by `edit`, which updates the page.
        selection: [start, end] of the selected codes.
        matching_tracks: names of the player's tracks that have exactly these codes.
    """

    codes = t.List().tag(sync=True)  # N codes, or N lists of Q
    phones = t.List(t.Unicode()).tag(sync=True)  # of the codes, N
    selection = t.List(t.Int(), default_value=[0, 0]).tag(**BY_PAGE)
    strip_state = t.Dict().tag(sync=True)  # what can be undone, and so on
    matching_tracks = t.List(t.Unicode()).tag(sync=True)
    palette = t.Bytes().tag(sync=True)

    def __init__(self, palette: np.ndarray, pitch_levels: int = 0, **traits):
        self.strip = CodeStrip(pitch_levels=pitch_levels)
        super().__init__(palette=palette.tobytes(), strip_state=self._strip_state(), **traits)

    def edit(self, what: str, start: int = 0, end: int | None = None, amount: Any = None):
        """Edit the codes; see `CodeStrip`.

        Args:
            what: `cut`, `copy`, `repeat`, `stretch`, `transpose`, `draw_pitch`, `splice`, `undo`,
                `redo` or `reset`.
            start: position before the first code.
            end: position after the last one; the end of the strip by default, for `splice` `start`.
            amount: times of `repeat`, factor of `stretch`, semitones of `transpose`; or the levels
                of `draw_pitch`, one per frame.

        Raises:
            InputError: see `CodeStrip`.
        """
        if what in EDITS:
            if end is None and what != "splice":
                end = len(self.strip)
            more = () if amount is None or what not in WITH_AMOUNT else (amount,)
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
            self.codes, self.selection = np.array(self.strip.codes).tolist(), list(span)
            self.phones = self.strip.phones
            self.matching_tracks = self._tracks_with(self.strip.codes)
        self.strip_state = self._strip_state()  # the page must have the rest by then

    def _strip_state(self) -> dict[str, Any]:
        strip, answer = self.strip, self.strip_state.get("answer", 0) + 1
        counts = {"undo": len(strip.past), "redo": len(strip.future), "held": len(strip.held)}
        return {"answer": answer, "edited": strip.edited, **counts}

    def _tracks_with(self, codes: tuple[Frame, ...]) -> list[str]:
        """Return the names of the tracks that have exactly these codes."""
        raise NotImplementedError
