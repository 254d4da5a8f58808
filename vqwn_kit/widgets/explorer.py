"""Points on maps, what is known about each, and how it sounds -> a map to look at and listen to."""

import contextlib
import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import traitlets as t

from vqwn_kit.errors import InputError
from vqwn_kit.widgets.base import (
    BY_PAGE,
    GROUP_COLOURS,
    Widget,
    checked_waveform,
    colour_map,
    module_of,
    to_pcm,
)
from vqwn_kit.widgets.points import Colour, Link, areas

Hear = Callable[[int], np.ndarray]  # number of a point -> waveform (T,)
PAGE_SOUNDS = 40  # points that a page of its own brings sounds of, unless told otherwise


class Explorer(Widget):
    """A map of points that are heard when they are clicked: codes, speakers, frames.

    Args:
        maps: places (M, 2) by name, such as {"PCA": …, "UMAP": …}.
        names: of the M points, such as `code 12`.
        sizes: (M,), 0 or more; areas of the dots are in proportion, see `areas`.
        colours: what the dots may be coloured by; the first is shown first.
        facts: by name, M texts: what is told about a point; "" says nothing.
        links: other points that each leads to.
        hear: by name, what a click plays: a function of a point's number that returns a waveform
            (T,). It is called when it is needed, and its sounds are kept.
        crosses: bool (M,), points that are drawn as crosses: codes that nobody uses, say.
        numbers: int (M,), what a search by number means; the place by default.
        size_name: what the sizes mean, and `cross_name` the crosses.
        sample_rate: of the sounds, in Hz.
        title: of the map.

    Attributes:
        selected: number of the selected point, or -1.
        map_name, colour_name: what is shown; set them to change it.
        sound: number of the sound that a click plays.

    Raises:
        InputError: arrays that don't fit each other.

    Example:
        Explorer({"PCA": places}, names=["alpha", "joe"], hear={"voice": lambda n: voices[n]})
    """

    _esm = module_of("explorer")

    names = t.List(t.Unicode()).tag(sync=True)
    numbers = t.Bytes().tag(sync=True)
    maps = t.List(t.Dict()).tag(sync=True)
    sizes = t.Bytes().tag(sync=True)
    size_name = t.Unicode("").tag(sync=True)
    cross_name = t.Unicode("").tag(sync=True)
    crosses = t.Bytes().tag(sync=True)
    colours = t.List(t.Dict()).tag(sync=True)
    facts = t.List(t.Dict()).tag(sync=True)
    links = t.List(t.Dict()).tag(sync=True)
    sounds = t.List(t.Unicode()).tag(sync=True)
    viridis = t.Bytes().tag(sync=True)
    palette = t.List(t.Unicode(), list(GROUP_COLOURS)).tag(sync=True)
    sample_rate = t.Int(16_000).tag(sync=True)
    selected = t.Int(-1).tag(**BY_PAGE)
    map = t.Int(0).tag(**BY_PAGE)
    colour = t.Int(0).tag(**BY_PAGE)
    sound = t.Int(0).tag(**BY_PAGE)
    view = t.List(t.Float()).tag(**BY_PAGE)

    def __init__(
        self,
        maps: dict[str, np.ndarray],
        names: Sequence[str],
        *,
        sizes: np.ndarray | None = None,
        colours: Sequence[Colour] = (),
        facts: dict[str, Sequence[str]] | None = None,
        links: Sequence[Link] = (),
        hear: dict[str, Hear] | Hear | None = None,
        crosses: np.ndarray | None = None,
        numbers: Sequence[int] | None = None,
        size_name: str = "",
        cross_name: str = "never used",
        sample_rate: int = 16_000,
        title: str = "",
        **settings,
    ):
        names = [str(name) for name in names]
        count = len(names)
        if not count or not maps:
            raise InputError("nothing to show; expected maps (M, 2) by name, and M names")
        hear = {"sound": hear} if callable(hear) else dict(hear or {})
        self._hear = list(hear.values())
        self._heard: dict[tuple[int, int], bytes] = {}
        self._arrays = {
            "maps": {key: np.asarray(places, np.float64) for key, places in maps.items()},
            "sizes": np.ones(count) if sizes is None else np.asarray(sizes, np.float64),
            "crosses": np.zeros(count, bool) if crosses is None else np.asarray(crosses, bool),
            "colours": list(colours),
        }
        _check(count, self._arrays, facts or {}, links)
        numbers = np.arange(count) if numbers is None else np.asarray(numbers)
        super().__init__(
            title=title,
            names=names,
            numbers=numbers.astype(np.int32).tobytes(),
            maps=[
                {"name": str(key), "xy": places.astype(np.float32).tobytes()}
                for key, places in self._arrays["maps"].items()
            ],
            sizes=areas(self._arrays["sizes"]).astype(np.float32).tobytes(),
            size_name=size_name,
            cross_name=cross_name,
            crosses=self._arrays["crosses"].astype(np.uint8).tobytes(),
            colours=[colour.packed() for colour in colours],
            facts=[
                {"name": key, "values": list(map(str, values))}
                for key, values in (facts or {}).items()
            ],
            links=[link.packed() for link in links],
            sounds=list(hear),
            viridis=colour_map("viridis"),
            sample_rate=int(sample_rate),
            **settings,
        )
        self.on_msg(self._answer)

    @property
    def map_name(self) -> str:
        """Name of the map that is shown."""
        return self.maps[self.map]["name"]

    @property
    def colour_name(self) -> str:
        """Name of what the points are coloured by."""
        return self.colours[self.colour]["name"] if self.colours else ""

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
        samples = np.frombuffer(self._sound(point, number), "<i2")
        return samples.astype(np.float32) / 32767.0

    def _sound(self, point: int, sound: int) -> bytes:
        if not 0 <= point < len(self.names) or not 0 <= sound < len(self._hear):
            raise InputError(f"no sound {sound} of point {point}; there are {self.sounds}")
        if (point, sound) not in self._heard:
            wave = checked_waveform(self.names[point], self._hear[sound](point))
            self._heard[point, sound] = to_pcm(wave)
        return self._heard[point, sound]

    def _answer(self, _, message: dict, buffers) -> None:
        """Send the sound that the browser asks for."""
        if message.get("do") != "hear":
            return
        point, sound = int(message["point"]), int(message["sound"])
        reply = {"do": "sound", "point": point, "sound": sound}
        try:
            self.send(reply, [self._sound(point, sound)])
        except Exception as error:
            self.send({**reply, "do": "failed", "why": str(error) or repr(error)})
            if not isinstance(error, InputError):
                raise

    def save_html(self, path: str | Path, points: Iterable[int] | None = None) -> Path:
        """Write one page that shows and plays the same without Jupyter; see `Widget`.

        Args:
            path: the file.
            points: whose sounds go along; by default the 40 largest and all that were heard. Each
                costs some 30 kB a second of sound.
        """
        largest = np.argsort(-self._arrays["sizes"], kind="stable")[:PAGE_SOUNDS].tolist()
        for point, sound in itertools.product(largest, range(len(self._hear))):
            if points is None and not self._arrays["crosses"][point]:
                with contextlib.suppress(InputError):  # it has no sound, which the page will say
                    self._sound(point, sound)
        for point, sound in itertools.product(points or (), range(len(self._hear))):
            self._sound(int(point), sound)
        return super().save_html(path)

    def _page_state(self) -> dict:
        heard = {f"{point} {sound}": pcm for (point, sound), pcm in self._heard.items()}
        return super()._page_state() | {"heard": heard}

    def figure(self):
        """Return the map that is shown, in its colours, as a matplotlib figure."""
        from vqwn_kit.widgets.figures import plot_points

        arrays = self._arrays
        colour = arrays["colours"][self.colour] if arrays["colours"] else None
        places = arrays["maps"][self.map_name]
        labels = self.names if len(self.names) <= 40 else []
        return plot_points(
            places, arrays["sizes"], arrays["crosses"], colour and colour.packed(), labels,
            f"{self.title} · {self.map_name}" if self.title else self.map_name,
        )  # fmt: skip


def _check(count: int, arrays: dict, facts: dict, links: Sequence[Link]) -> None:
    """Raise InputError for arrays that aren't about `count` points."""
    for name, places in arrays["maps"].items():
        if places.shape != (count, 2) or not np.isfinite(places).all():
            raise InputError(
                f"map {name!r} of shape {places.shape}; expected finite ({count}, 2), a place for "
                "each name"
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
            raise InputError(f"{name} tells about {length} points; there are {count}")
    for link in links:
        to = np.asarray(link.to)
        if to.ndim != 2 or (to.size and not (-1 <= to.min() and to.max() < count)):
            raise InputError(f"link {link.name!r}; expected int ({count}, n) of -1 to {count - 1}")
        if link.weights is not None and np.shape(link.weights) != to.shape:
            raise InputError(f"link {link.name!r}: {np.shape(link.weights)} weights for {to.shape}")
