"""Points on maps, facts about each, and a sound of each -> a map to click on."""

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import traitlets as t

from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.metrics.tables import write_csv
from vqwn_kit.plots.style import GROUP_COLOURS
from vqwn_kit.waveforms import as_waveform
from vqwn_kit.widgets.arrays import colour_map, from_pcm, to_pcm
from vqwn_kit.widgets.base import BY_PAGE, Open, OpeningWidget, module_of
from vqwn_kit.widgets.points import NARROW, Colour, Link, areas

Hear = Callable[[int], np.ndarray]  # number of a point -> waveform (T,)
PAGE_SOUNDS = 40  # points whose sounds a page contains by default


class Explorer(OpeningWidget):
    """A map of points that play a sound when they are clicked: codes, speakers, frames.

    Args:
        maps: positions (M, 2) by name, such as {"PCA": ..., "UMAP": ...}.
        names: of the M points, such as `code 12`.
        sizes: (M,), 0 or more; areas of the dots are in proportion, see `areas`.
        colours: quantities to colour the dots by; the first is shown first.
        facts: by name, M texts about the points; "" is left out.
        links: other points that each leads to.
        hear: by name, the sound of a click: a function of a point's number that returns a waveform
            (T,). It is called when it is needed, and its sounds are kept.
        crosses: bool (M,), points that are drawn as crosses, such as unused codes.
        numbers: int (M,), what a search by number finds; 0 to M - 1 by default.
        open: a function of a point's number that returns a widget to show below the map, such as
            the page of a code; `opens` is what its button says.
        **settings: `title`, `sample_rate` of the sounds (16,000), `size_name` and `cross_name` for
            the legend, and any trait below.

    Attributes:
        selected: number of the selected point, or -1.
        chosen: numbers of the points that were chosen by a drag with Shift; see `table`.
        partners: maps in which points are marked for those that are selected or chosen here, in a
            page of its own, too: `key` of the other explorer, `from`, the name of this one there,
            `count` and `to` of a `Link` to its points, how often each point of this map is counted
            (`every`), how often with a marked one (`covered`), and the `rule` of what is marked.
        map, colour, sound: numbers of the map, of the colour and of the sound of a click; set them
            to change what is shown. `map_name` and `colour_name` are their names.

    Raises:
        InputError: arrays that do not fit each other, or no such setting.

    Example:
        Explorer({"PCA": positions}, names=["alpha", "joe"], hear={"voice": lambda n: voices[n]})
    """

    _esm = module_of("explorer")

    names = t.List(t.Unicode()).tag(sync=True)
    numbers = t.Bytes().tag(sync=True)
    maps = t.List(t.Dict()).tag(sync=True)
    sizes = t.Bytes().tag(sync=True)
    size_name = t.Unicode("").tag(sync=True)
    cross_name = t.Unicode("never used").tag(sync=True)
    crosses = t.Bytes().tag(sync=True)
    colours = t.List(t.Dict()).tag(sync=True)
    facts = t.List(t.Dict()).tag(sync=True)
    links = t.List(t.Dict()).tag(sync=True)
    sounds = t.List(t.Unicode()).tag(sync=True)
    viridis = t.Bytes().tag(sync=True)
    palette = t.List(t.Unicode(), list(GROUP_COLOURS)).tag(sync=True)
    sample_rate = t.Int(16_000).tag(sync=True)
    selected = t.Int(-1).tag(**BY_PAGE)
    chosen = t.List(t.Int()).tag(**BY_PAGE)
    partners = t.List(t.Dict()).tag(sync=True)
    map = t.Int(0).tag(**BY_PAGE)
    colour = t.Int(0).tag(**BY_PAGE)
    sound = t.Int(0).tag(**BY_PAGE)
    view = t.List(t.Float()).tag(**BY_PAGE)

    def __init__(
        self,
        maps: dict[str, np.ndarray],
        names: Sequence[str],
        *,
        sizes: np.ndarray | Sequence[float] | None = None,
        colours: Sequence[Colour] = (),
        facts: dict[str, Sequence[str]] | None = None,
        links: Sequence[Link] = (),
        hear: dict[str, Hear] | Hear | None = None,
        crosses: np.ndarray | None = None,
        numbers: Sequence[int] | None = None,
        open: Open | None = None,
        **settings,
    ):
        names, facts = [str(name) for name in names], facts or {}
        count = len(names)
        if not count or not maps:
            raise InputError("nothing to show; expected maps (M, 2) by name, and M names")
        sounds = {"sound": hear} if callable(hear) else dict(hear or {})
        self._hear = list(sounds.values())
        self._played: dict[tuple[int, int], bytes] = {}
        self._synthesis = threading.Lock()
        self._arrays: dict[str, Any] = {
            "maps": {str(key): np.asarray(rows, np.float64) for key, rows in maps.items()},
            "sizes": np.ones(count) if sizes is None else np.asarray(sizes, np.float64),
            "crosses": np.zeros(count, bool) if crosses is None else np.asarray(crosses, bool),
            "colours": list(colours),
            "facts": {key: list(map(str, values)) for key, values in facts.items()},
        }
        _check(count, self._arrays, facts, links)
        super().__init__(
            names=names,
            numbers=np.array(range(count) if numbers is None else numbers, np.int32).tobytes(),
            maps=[
                {"name": key, "xy": positions.astype(np.float32).tobytes()}
                for key, positions in self._arrays["maps"].items()
            ],
            sizes=areas(self._arrays["sizes"]).astype(np.float32).tobytes(),
            crosses=self._arrays["crosses"].astype(np.uint8).tobytes(),
            colours=[colour.packed() for colour in colours],
            facts=[{"name": key, "values": own} for key, own in self._arrays["facts"].items()],
            links=[link.packed() for link in links],
            sounds=list(sounds),
            viridis=colour_map("viridis"),
            open=open,
            **settings,
        )

    @property
    def map_name(self) -> str:
        """Name of the map that is shown."""
        return self.maps[self.map]["name"]

    @property
    def colour_name(self) -> str:
        """Name of the quantity that the points are coloured by."""
        return self.colours[self.colour]["name"] if self.colours else ""

    def table(self, points: Iterable[int] | None = None) -> dict[str, list]:
        """Return points as a table, a list per column; `pandas.DataFrame` takes it as it is.

        Columns are the point, its name, its position on each map, its size, what the map can be
        coloured by, and the facts, in plain Python values. `save_csv` writes it; in the page a
        button does.

        Args:
            points: their numbers; by default those that are `chosen`, or all where none is.

        Raises:
            InputError: no such point.

        Example:
            pandas.DataFrame(explorer.table())
        """
        count = len(self.names)
        rows = list(map(int, (self.chosen or range(count)) if points is None else points))
        for point in rows:
            if not 0 <= point < count:
                raise InputError(f"no point {point}; there are 0 to {count - 1}")
        columns: dict[str, Sequence] = {"point": range(count), "name": self.names}
        for name, positions in self._arrays["maps"].items():
            columns |= {f"{name} {axis + 1}": positions[:, axis].tolist() for axis in (0, 1)}
        columns[self.size_name or "size"] = self._arrays["sizes"].tolist()
        for colour in self._arrays["colours"]:
            columns[f"{colour.name} ({colour.unit})" if colour.unit else colour.name] = list(
                colour.values
            )
        columns |= self._arrays["facts"]
        return {name: [_plain(values[row]) for row in rows] for name, values in columns.items()}

    def save_csv(self, path: str | Path, points: Iterable[int] | None = None) -> Path:
        """Write `table` as a CSV file; return its path."""
        return write_csv(path, self.table(points))

    @t.validate("chosen")
    def _valid_chosen(self, proposal) -> list[int]:
        for point in proposal["value"]:
            if not 0 <= point < max(1, len(self.names)):
                raise InputError(f"chosen point {point}; expected 0 to {len(self.names) - 1}")
        return proposal["value"]

    @t.validate("selected")
    def _valid_selected(self, proposal) -> int:
        if not -1 <= proposal["value"] < max(1, len(self.names)):
            raise InputError(f"selected={proposal['value']}; expected -1 to {len(self.names) - 1}")
        return proposal["value"]

    def hear(self, point: int, sound: int | str = 0) -> np.ndarray:
        """Return what a click on a point plays, float32 (T,) in [-1, 1].

        Args:
            point: its number.
            sound: which of the sounds, by number or name.
        """
        number = self.sounds.index(sound) if isinstance(sound, str) else sound
        return from_pcm(self._sound(point, number))

    def _sound(self, point: int, sound: int) -> bytes:
        if not 0 <= point < len(self.names) or not 0 <= sound < len(self._hear):
            raise InputError(f"no sound {sound} of point {point}; there are {self.sounds}")
        if (point, sound) not in self._played:
            wave = as_waveform(self._hear[sound](point), self.names[point], clip=False)
            self._played[point, sound] = to_pcm(wave)
        return self._played[point, sound]

    def _receive(self, _, message: dict, buffers) -> None:
        """Open the page, or send the sound, that the browser asks for.

        The sound is synthesised in a thread, so that the kernel stays free.
        """
        if self._receive_open(message) or message.get("do") != "hear":
            return
        numbers = int(message["point"]), int(message["sound"])
        threading.Thread(target=self._send_sound, args=numbers, daemon=True).start()

    def _send_sound(self, point: int, sound: int) -> None:
        reply = {"do": "sound", "point": point, "sound": sound}
        try:
            with self._synthesis:
                pcm = self._sound(point, sound)
            self.send(reply, [pcm])
        except Exception as error:
            self.send({**reply, "do": "failed", "why": str(error) or repr(error)})
            if not isinstance(error, InputError):
                raise

    def save_html(self, path: str | Path, points: Iterable[int] | None = None) -> Path:
        """Write a page that shows and plays the same without Jupyter; see `Widget`.

        Args:
            path: the file.
            points: whose sounds the page contains; by default the 40 largest and all that were
                played. A second of sound takes about 30 kB.
        """
        self.keep_sounds(points)
        return super().save_html(path)

    def keep_sounds(self, points: Iterable[int] | None = None, sounds: int | None = None) -> None:
        """Make the sounds that a page of its own contains.

        Args:
            points: whose; the 40 largest by default.
            sounds: how many of each, all by default.
        """
        if points is None:
            largest = np.argsort(-self._arrays["sizes"], kind="stable")[:PAGE_SOUNDS].tolist()
            chosen = [n for n in largest if not self._arrays["crosses"][n]]
        else:
            chosen = list(map(int, points))
        for point, sound in itertools.product(chosen, range(len(self._hear))[:sounds]):
            # by default a point may have no sound, which the page will say
            with contextlib.suppress(*[InputError] if points is None else []):
                self._sound(point, sound)

    def _page_state(self) -> dict:
        played = {f"{point} {sound}": pcm for (point, sound), pcm in self._played.items()}
        return super()._page_state() | {"played": played}

    def figure(self):
        """Return the map that is shown, in its colours, as a matplotlib figure."""
        from vqwn_kit.widgets.figures import plot_points

        arrays = self._arrays
        colour = arrays["colours"][self.colour].packed() if arrays["colours"] else None
        positions = arrays["maps"][self.map_name]
        labels = self.names if len(self.names) <= 40 else []
        title = f"{self.title} · {self.map_name}" if self.title else self.map_name
        return plot_points(positions, arrays["sizes"], arrays["crosses"], colour, labels, title)


def _plain(value):
    """Return a value of a table without NumPy's types, and without spaces of another kind."""
    value = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
    return value.replace(NARROW, " ") if isinstance(value, str) else value


def _check(count: int, arrays: dict, facts: dict, links: Sequence[Link]) -> None:
    """Raise InputError for arrays that do not describe `count` points."""
    for name, positions in arrays["maps"].items():
        if positions.shape != (count, 2) or not np.isfinite(positions).all():
            raise InputError(
                f"map {name!r} of shape {positions.shape}; expected finite ({count}, 2), one "
                "position for each name"
            )
    sizes = arrays["sizes"]
    if sizes.shape != (count,) or not (np.isfinite(sizes).all() and sizes.min() >= 0):
        raise InputError(f"sizes of shape {sizes.shape}; expected ({count},), 0 or more")
    lengths = {"crosses": len(arrays["crosses"])}
    lengths |= {f"colour {colour.name!r}": len(colour.values) for colour in arrays["colours"]}
    lengths |= {f"fact {name!r}": len(values) for name, values in facts.items()}
    lengths |= {f"link {link.name!r}": len(link.to) for link in links}
    for name, length in lengths.items():
        if length != count:
            raise InputError(f"{name} has {length} entries; expected {count}, one for each point")
    for link in links:
        to = np.asarray(link.to)
        if to.ndim != 2 or (to.size and not (-1 <= to.min() and to.max() < count)):
            raise InputError(f"link {link.name!r}; expected int ({count}, n) of -1 to {count - 1}")
        if link.weights is not None and np.shape(link.weights) != to.shape:
            raise InputError(f"link {link.name!r}: {np.shape(link.weights)} weights for {to.shape}")
