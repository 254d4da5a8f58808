"""Codes (N,) as a strip of tape: cut, repeat, stretch, splice, and take it back."""

import math
from collections.abc import Callable, Sequence

from vqwn_kit.errors import InputError

MOST_CODES = 10_000
MOST_TIMES = 50
STEPS_BACK = 200


class CodeStrip:
    """Codes that are edited like tape; every edit can be undone.

    Places are between codes, 0 to N; what is edited lies between `start` and `end`. Each edit
    returns the span of what it put in, which is empty after a cut.

    Args:
        codes: N whole numbers.

    Attributes:
        codes: as they are now, a tuple.
        original: as they were.
        held: what was cut or copied last; it outlives a `load` of other codes.

    Raises:
        InputError: a span outside the strip or without a code in it, nothing held, or a strip
            that would be empty or longer than 10,000 codes.

    Example:
        strip = CodeStrip([7, 7, 3, 9])
        strip.repeat(2, 3, times=3)          # (2, 5): 7 7 3 3 3 9
        strip.undo()                         # True: 7 7 3 9
    """

    def __init__(self, codes: Sequence[int] = ()):
        self.held: tuple[int, ...] = ()
        self.load(codes)

    def load(self, codes: Sequence[int]) -> None:
        """Begin with other codes; what is held stays."""
        self.codes = self.original = tuple(int(code) for code in codes)
        self.past: list[tuple[int, ...]] = []
        self.future: list[tuple[int, ...]] = []

    def __len__(self) -> int:
        """Return how many codes there are now."""
        return len(self.codes)

    @property
    def edited(self) -> bool:
        """Whether the codes differ from the original."""
        return self.codes != self.original

    def copy(self, start: int, end: int) -> tuple[int, int]:
        """Hold codes, for `splice`."""
        self.held = self._between(start, end)
        return start, end

    def cut(self, start: int, end: int) -> tuple[int, int]:
        """Take codes out, and hold them."""
        taken = self._between(start, end)
        span = self._put(start, end, ())
        self.held = taken
        return span

    def repeat(self, start: int, end: int, times: int = 2) -> tuple[int, int]:
        """Say codes so many times one after another, 2 to 50."""
        if times != int(times) or not 2 <= times <= MOST_TIMES:
            raise InputError(f"times={times}; expected a whole number, 2 to {MOST_TIMES}")
        return self._put(start, end, self._between(start, end) * int(times))

    def stretch(self, start: int, end: int, factor: float = 2.0) -> tuple[int, int]:
        """Make codes last so many times as long: each is held longer, or some are left out."""
        if not (math.isfinite(factor) and 1 / MOST_TIMES <= factor <= MOST_TIMES):
            raise InputError(f"factor={factor}; expected 1/{MOST_TIMES} to {MOST_TIMES}")
        codes = self._between(start, end)
        length = max(1, round(len(codes) * factor))
        nearest = (int((n + 0.5) / length * len(codes)) for n in range(length))
        return self._put(start, end, tuple(codes[n] for n in nearest))

    def splice(self, start: int, end: int | None = None) -> tuple[int, int]:
        """Put what is held at a place, or in place of a span."""
        if not self.held:
            raise InputError("nothing is held: cut or copy some codes first")
        return self._put(start, start if end is None else end, self.held)

    def undo(self) -> bool:
        """Take the last edit back; return whether there was one."""
        return self._move(self.past, self.future)

    def redo(self) -> bool:
        """Do again what was undone; return whether there was something."""
        return self._move(self.future, self.past)

    def reset(self) -> None:
        """Bring the original back; this can be undone, too."""
        if self.edited:
            self._remember()
            self.codes = self.original

    def _between(self, start: int, end: int) -> tuple[int, ...]:
        if not 0 <= start < end <= len(self.codes):
            raise InputError(
                f"codes {start} to {end} of {len(self.codes)}; expected 0 <= start < end <= N"
            )
        return self.codes[start:end]

    def _put(self, start: int, end: int, codes: tuple[int, ...]) -> tuple[int, int]:
        if not 0 <= start <= end <= len(self.codes):
            raise InputError(f"place {start} to {end}; expected 0 <= start <= end <= N")
        new = self.codes[:start] + codes + self.codes[end:]
        if not 0 < len(new) <= MOST_CODES:
            raise InputError(f"that would leave {len(new)} codes; expected 1 to {MOST_CODES}")
        self._remember()
        self.codes = new
        return start, start + len(codes)

    def _remember(self) -> None:
        self.past = [*self.past[-STEPS_BACK + 1 :], self.codes]
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
