"""What all widgets share: one self-contained ES module each, a figure, and a page to share."""

import base64
import html
import json
import math
import uuid
from pathlib import Path
from typing import Any

import numpy as np

from vqwn_kit.errors import InputError
from vqwn_kit.files import replacing

try:
    import anywidget
    import traitlets as t
except ModuleNotFoundError as error:
    raise InputError(
        f"widgets need the package {error.name}, which isn't installed: pip install -e .[lab]"
    ) from error

HERE = Path(__file__).parent
EXPORT = "export default { render };"  # the last line of each widget's .js
# Of traits that the page sets: the echo that Jupyter sends to it by default comes late where the
# kernel is busy, and would undo what has been done since.
BY_PAGE = {"sync": True, "echo_update": False}
# Okabe and Ito's, safe for colour-blind eyes, in an order that tells neighbours apart.
GROUP_COLOURS = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#B8A800", "#8C6BB1",
)  # fmt: skip


def module_of(name: str, *within: str) -> str:
    """Return a widget's ES module as one string: what all share, then its own.

    Widgets that it has `within` it stand between, each as a constant: `player` has its `render`.
    """
    source = {file: (HERE / f"{file}.js").read_text("utf-8") for file in ("common", *within, name)}
    for file in within:
        inner = source[file].replace(EXPORT, "return { render };")
        source[file] = f"const {file} = (() => {{\n{inner}\n}})();"
    return "\n".join(source.values())


class Widget(anywidget.AnyWidget):
    """A widget with a static figure and a page of its own.

    A subclass sets `_esm = module_of("its_name")` and writes `figure`.
    """

    _css = (HERE / "style.css").read_text(encoding="utf-8")

    title = t.Unicode("").tag(sync=True)
    key = t.Unicode().tag(sync=True)  # by which all views of a widget find its sound

    @t.default("key")
    def _new_key(self) -> str:
        return uuid.uuid4().hex

    def __repr__(self) -> str:
        """Say what it is, where neither the widget nor its figure is shown."""
        return f"<{type(self).__name__} {self.title!r}>"

    def open(self) -> None:
        """Open the line to the page, on which a button is heard while a cell runs, too.

        JupyterLab sends what widgets say past the running cell, to a subshell of the kernel.
        ipykernel 7.4 hands it on to whoever spoke to the page last, which is that cell.
        """
        super().open()
        if self.comm is not None:
            self.comm._reply_subshell_for = lambda data, subshell: subshell

    def figure(self):
        """Return a figure (`figures.Still`) of what the widget shows, where there is no browser."""
        raise NotImplementedError

    def _static(self) -> bool:
        """Say whether the figure may stand beside the widget in a notebook."""
        return True

    def _repr_mimebundle_(self, **kwargs) -> tuple[dict, dict]:
        """Show the widget; where no widget can be shown, on GitHub say, its figure."""
        data, about = super()._repr_mimebundle_(**kwargs)
        if not self._static():
            return data, about
        picture = base64.b64encode(self.figure()._repr_png_()).decode()
        return {**data, "image/png": picture}, about

    def _page_state(self) -> dict[str, Any]:
        """Return the traits that a page needs, without those of Jupyter."""
        names = set(self.keys) - set(anywidget.AnyWidget.class_trait_names(sync=True))
        own = {name: getattr(self, name) for name in names if not name.startswith("_")}
        return {**own, "playing": False, "page": True}

    def save_html(self, path: str | Path) -> Path:
        """Write one page that shows and plays the same without Jupyter, Python or a network.

        Args:
            path: the file, such as `results/mini/player.html`; replaced where it exists.

        Returns:
            The path.
        """
        path = Path(path)
        if path.suffix.lower() not in (".html", ".htm"):
            raise InputError(f"{path}: a page is written; give a name that ends in .html")
        state = json.dumps(packed(self._page_state()), allow_nan=False).replace("<", "\\u003c")
        module = str(self._esm)
        if EXPORT not in module or "</script" in module.lower():
            raise AssertionError(f"the module of {type(self).__name__} can't stand in a page")
        page = (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<meta name="color-scheme" content="light dark">'
            f"<title>{html.escape(self.title or type(self).__name__)}</title>"
            f"<style>{self._css}</style></head><body class='vq-page'><div id='widget'></div>\n"
            f'<script type="application/json" id="state">{state}</script>\n'
            f'<script type="module">\n{module.replace(EXPORT, "")}\n'
            "render({ model: pageModel(document.getElementById('state').textContent),"
            " el: document.getElementById('widget') });\n</script></body></html>\n"
        )
        with replacing(path) as scratch:
            scratch.write_text(page, encoding="utf-8")
        return path


def packed(value: Any) -> Any:
    """Make traits ready for JSON: bytes become {"base64": …}, which `pageModel` unpacks."""
    if isinstance(value, bytes | memoryview):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {str(key): packed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [packed(item) for item in value]
    return value


def checked_waveform(name: str, waveform: np.ndarray) -> np.ndarray:
    """Return a waveform (T,) as float32; (1, T) and (1, T, 1) are taken too.

    Raises:
        InputError: another shape, nothing in it, whole numbers, or values that aren't finite.
    """
    array = np.asarray(waveform)
    if array.dtype.kind != "f":
        raise InputError(
            f"{name}: an array of {array.dtype}; expected floats in [-1, 1]: divide by 32768 if "
            "they are 16-bit samples"
        )
    if array.ndim > 1 and array.size == max(array.shape):
        array = array.reshape(-1)
    if array.ndim != 1 or not array.size:
        raise InputError(f"{name}: a waveform of shape {array.shape}; expected (T,) with T > 0")
    if not np.isfinite(array).all():
        raise InputError(f"{name}: some samples aren't finite; expected floats in [-1, 1]")
    return array.astype(np.float32)


def to_pcm(waveform: np.ndarray) -> bytes:
    """Return a waveform (T,) in [-1, 1] as 16-bit little-endian samples; what is beyond is cut."""
    return np.round(np.clip(waveform, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()


def level_db(waveform: np.ndarray) -> float:
    """Return the level (RMS) of a waveform (T,) in dB under full scale; -inf for silence."""
    power = float(np.mean(np.square(waveform, dtype=np.float64)))
    return 10.0 * math.log10(power) if power else -math.inf


def colour_map(name: str, count: int = 256) -> bytes:
    """Return a matplotlib colour map as RGB bytes (count x 3), so that both sides draw alike."""
    import matplotlib

    table = matplotlib.colormaps[name](np.linspace(0.0, 1.0, count))[:, :3]
    return np.round(255 * table).astype(np.uint8).tobytes()


def code_colours(codes: np.ndarray) -> np.ndarray:
    """Return colours of codes, uint8 (…, 3): the same code is always the same colour.

    Neighbouring numbers lie 137.5 degrees of hue apart, in four lightnesses, so that codes that
    differ look different beside each other on light and dark pages.
    """
    from matplotlib.colors import hsv_to_rgb

    codes = np.asarray(codes)
    hue = (codes * 0.381966) % 1.0
    value = np.array([0.88, 0.62, 0.98, 0.75])[codes % 4]
    saturation = np.array([0.60, 0.75, 0.38, 0.85])[(codes // 4) % 4]
    return np.round(255 * hsv_to_rgb(np.stack([hue, saturation, value], axis=-1))).astype(np.uint8)
