"""Facts about a code, and speech that has it -> a page; other codes are a click away."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import traitlets as t
from ipywidgets import widget_serialization

from vqwn_kit.errors import InputError
from vqwn_kit.widgets.arrays import from_pcm
from vqwn_kit.widgets.base import Widget, module_of
from vqwn_kit.widgets.player import Player

MOST_SECONDS = 30.0  # of a recording in which a code is looked for
COLUMNS = ("share", "lift", "count", "distance", "phone")  # of `table`, beside panel and name
SHOWN = {  # panel: what its first rows are called in the text of a page, and how many
    "Phones": ("phones", 5),
    "Voices": ("voices", 5),
    "Codes before": ("codes before", 3),
    "Codes after": ("codes after", 3),
    "Neighbours in the codebook": ("nearest codes, by distance", 3),
}


@dataclass(frozen=True)
class Row:
    """A row of a panel: a name, the length of its bar, texts beside it, and a code to open.

    Bars are drawn relative to the longest of the panel. `numbers` are those of the texts, by the
    columns of `CodePage.table`.
    """

    name: str
    share: float
    texts: tuple[str, ...] = ()
    token: int = -1
    numbers: dict[str, float | int | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Panel:
    """A table of rows with bars, or a histogram.

    Attributes:
        name: the heading.
        rows: of a table.
        bars: heights 0 to 1 of a histogram.
        behind: heights of another one behind it, such as that of all codes; or none.
        ticks: (position 0 to 1, text) below a histogram.
        note: what the numbers are.
    """

    name: str
    rows: Sequence[Row] = ()
    bars: Sequence[float] = ()
    behind: Sequence[float] = ()
    ticks: Sequence[tuple[float, str]] = ()
    note: str = ""


@dataclass(frozen=True)
class CodeFacts:
    """What a page shows of a code.

    Attributes:
        token: of the code.
        name: of the code.
        tiles: (name, value, remark) of what is said first.
        panels: the rest.
        tracks: speech that has the code, (T,) by name; none for a code without a frame.
        strips: `codes`, `phones` and `marks` of the tracks, each by the name of the track.
        note: a remark on the tracks.
    """

    token: int
    name: str
    tiles: Sequence[tuple[str, str, str]]
    panels: Sequence[Panel]
    tracks: dict[str, np.ndarray]
    strips: dict[str, dict] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Moments:
    """Where a recording takes a code.

    Attributes:
        waveform: float32 (T,), the recording at the model's rate.
        codes: int (N,) or (N, Q), of all its frames.
        spans: (start, end) in seconds of each run of the code.
        distances: of each run, from its nearest frame to the code.
        nearest: names of the recording's codes that are nearest to this one, where no frame has it.
    """

    waveform: np.ndarray
    codes: np.ndarray
    spans: list[tuple[float, float]]
    distances: list[float]
    nearest: Sequence[str] = ()


# A recording, its rate in Hz (of a waveform; None for the model's), and a token.
Find = Callable[[np.ndarray | str | Path, int | None, int], Moments]


class CodePage(Widget):
    """The page of a code: speech that has it, and what is known about it.

    Args:
        facts: of a code, by its token; called for each code that is opened.
        token: of the first code.
        find: where a recording takes the code with a token; None without a model.
        sample_rate: of the tracks, in Hz.
        hop_length: samples per frame.
        palette: colours of the codes, as of a `Player`.
        **settings: `title`, and any trait below.

    Attributes:
        token: of the code that is shown; `show_code` shows another one.
        player: of speech that has the code, or None for a code without a frame.
        trial: a player of the recording that was tried last, the code's frames marked; or None.
        hrefs: the file beside the saved page that each token links to; {} for none.

    Raises:
        InputError: no such code.
    """

    _esm = module_of("code_page", "player")

    token = t.Int(-1).tag(sync=True)
    name = t.Unicode("").tag(sync=True)
    tiles = t.List(t.List()).tag(sync=True)
    panels = t.List(t.Dict()).tag(sync=True)
    note = t.Unicode("").tag(sync=True)
    history = t.List(t.List()).tag(sync=True)  # (token, name) of the codes before
    about = t.Dict().tag(sync=True)
    result = t.Dict().tag(sync=True)  # of the recording that was tried
    problem = t.Unicode("").tag(sync=True)
    hrefs = t.Dict().tag(sync=True)
    player: Player | None = t.Instance(Player, allow_none=True).tag(  # pyright: ignore[reportAssignmentType]
        sync=True, **widget_serialization
    )
    trial: Player | None = t.Instance(Player, allow_none=True).tag(  # pyright: ignore[reportAssignmentType]
        sync=True, **widget_serialization
    )

    def __init__(
        self,
        facts: Callable[[int], CodeFacts],
        token: int,
        *,
        find: Find | None = None,
        sample_rate: int = 16_000,
        hop_length: int,
        palette: np.ndarray | None = None,
        **settings,
    ):
        self._facts_of, self._find = facts, find
        self.sample_rate, self.hop_length, self.palette = sample_rate, hop_length, palette
        about = {"tries": find is not None, "rate": sample_rate, "most": MOST_SECONDS}
        super().__init__(about=about, **self._content(token), **settings)

    def show_code(self, token: int) -> "CodePage":
        """Show the code with a token instead; return the page.

        Raises:
            InputError: no such code.
        """
        before, player = [self.token, self.name], self.player
        content = self._content(token)
        with self.hold_sync():
            self.history = [*self.history, before][-20:]
            for name, value in content.items():
                setattr(self, name, value)
            self.trial, self.result, self.problem = None, {}, ""
        if player is not None:
            player.close()
        return self

    def _content(self, token: int) -> dict[str, Any]:
        """Return the facts about a code as traits."""
        self.facts = facts = self._facts_of(token)
        player = None
        if facts.tracks:
            player = self._player(facts.tracks, **facts.strips)
        return {
            "token": facts.token,
            "name": facts.name,
            "tiles": [list(tile) for tile in facts.tiles],
            "panels": [_packed(panel) for panel in facts.panels],
            "note": facts.note,
            "player": player,
        }

    def _player(self, tracks: dict[str, np.ndarray], **strips) -> Player:
        settings = {"hop_length": self.hop_length, "palette": self.palette}
        return Player(tracks, self.sample_rate, **settings, **strips)

    def try_on(
        self, recording: np.ndarray | str | Path, sample_rate: int | None = None
    ) -> list[tuple[float, float]]:
        """Return the moments of a recording that take this code, (start, end) in seconds.

        The recording is then shown on the page, the moments marked. Where no frame has the code, a
        warning names the nearest codes that the recording has.

        Args:
            recording: a waveform (T,), a sound file, or the key of an utterance of the corpus. Only
                its first 30 s are used.
            sample_rate: of a waveform, in Hz; the model's by default.

        Raises:
            InputError: no waveform, a file that cannot be read, or a page without a model.
        """
        if self._find is None:
            raise InputError("this page has no model to encode a recording with")
        file = isinstance(recording, str | Path)
        found = self._try(recording, sample_rate, Path(recording).name if file else "recording")
        if self.problem:
            warnings.warn(self.problem, stacklevel=2)
        return found

    def _try(self, recording, rate: int | None, name: str) -> list[tuple[float, float]]:
        assert self._find is not None
        found = self._find(recording, rate, self.token)
        problem = "" if found.spans else f"no frame of {name} has code {self.name}"
        if problem and found.nearest:
            problem += f"; the nearest codes that it has are {', '.join(found.nearest)}"
        with self.hold_sync():
            self.problem = problem
            self.trial = self._player({name: found.waveform}, codes=found.codes, marks=found.spans)
            pairs = zip(found.spans, found.distances, strict=True)
            self.result = {"name": name, "moments": [[*span, far] for span, far in pairs]}
        return found.spans

    def _receive(self, _, message: dict, buffers) -> None:
        """Do what the page asks."""
        try:
            if message.get("do") == "open":
                self.show_code(int(message["number"]))
            elif message.get("do") == "try":
                rate = int(message["rate"])
                self._try(from_pcm(buffers[0]), rate, str(message["name"]))
        except InputError as error:
            self.problem = str(error)

    def __repr__(self) -> str:
        """Return the facts as text: frames, phones, voices, and codes before, after and near."""
        tiles = {name: f"{value} ({remark})" for name, value, remark in self.facts.tiles}
        lines = [f"{self._figure_title()}: frames {tiles.pop('frames', 'unknown')}"]
        lines += [f"  {name}: {text}" for name, text in tiles.items() if name == "duration"]
        panels = {panel.name: panel for panel in self.facts.panels}
        for name, (words, most) in SHOWN.items():
            if name not in panels:
                continue
            rows = [" ".join([row.name, *row.texts[:1]]) for row in panels[name].rows[:most]]
            lines.append(f"  {words}: {', '.join(rows) or panels[name].note}")
        return "\n".join(lines)

    def table(self) -> dict[str, list]:
        """Return the rows of all panels as a table, a list per column; `pandas.DataFrame` takes it.

        Columns are the panel and the name of a row, its `share` of the code's frames or changes, 0
        to 1, the `lift` over the share among all, the `count` of frames or changes, the `distance`
        of a neighbour, and the most frequent `phone` of another code; None where a row has none.

        Example:
            pandas.DataFrame(page.table())
        """
        rows = [(panel.name, row) for panel in self.facts.panels for row in panel.rows]
        columns = {"panel": [name for name, _ in rows], "name": [row.name for _, row in rows]}
        return columns | {key: [row.numbers.get(key) for _, row in rows] for key in COLUMNS}

    def _page_state(self) -> dict:
        players = {name: getattr(self, name) for name in ("player", "trial")}
        packed = {name: player and player._page_state() for name, player in players.items()}
        about = {**self.about, "tries": False}
        return super()._page_state() | packed | {"about": about, "history": [], "problem": ""}

    def figure(self):
        """Return the first panels, and a spectrogram of the first track, as a matplotlib figure."""
        from vqwn_kit.widgets.figures import plot_panels

        first = next(iter(self.facts.tracks.items()), None)
        return plot_panels(self.facts.panels, first, self.sample_rate, self._figure_title())

    def _figure_title(self) -> str:
        return f"{self.title}: code {self.name}" if self.title else f"code {self.name}"


def _packed(panel: Panel) -> dict:
    """Return a panel as a trait."""
    rows = [[row.name, float(row.share), list(row.texts), int(row.token)] for row in panel.rows]
    return {
        "name": panel.name,
        "note": panel.note,
        "rows": rows,
        "bars": [float(height) for height in panel.bars],
        "behind": [float(height) for height in panel.behind],
        "ticks": [[float(place), text] for place, text in panel.ticks],
    }
