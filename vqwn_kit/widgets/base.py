"""What all widgets share: one self-contained ES module each, a static figure, and an HTML page."""

import base64
import html
import json
import uuid
from pathlib import Path
from typing import Any

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.files import replacing

try:
    import anywidget
    import traitlets as t
except ModuleNotFoundError as error:
    raise InputError(
        f"widgets need the package {error.name}, which is not installed: pip install -e .[lab]"
    ) from error

HERE = Path(__file__).parent
EXPORT = "export default { render };"  # the last line of each widget's .js
# Of traits that the page sets: the echo that Jupyter sends to it by default comes late where the
# kernel is busy, and would undo later changes.
BY_PAGE: dict[str, Any] = {"sync": True, "echo_update": False}


def module_of(name: str, *within: str) -> str:
    """Return a widget's ES module as one string: the shared code, then its own.

    The widgets `within` it come between, each as a constant: `player` has its `render`.
    """
    source = {file: (HERE / f"{file}.js").read_text("utf-8") for file in ("common", *within, name)}
    for file in within:
        inner = source[file].replace(EXPORT, "return { render };")
        source[file] = f"const {file} = (() => {{\n{inner}\n}})();"
    return "\n".join(source.values())


class Widget(anywidget.AnyWidget):
    """A widget with a static figure and a page of its own.

    A subclass sets `_esm = module_of("its_name")` and writes `figure`; `_receive` gets what its
    page sends.

    Raises:
        InputError: a trait that the widget does not have.
    """

    _esm: str
    _css = (HERE / "style.css").read_text(encoding="utf-8")

    title = t.Unicode("").tag(sync=True)
    key = t.Unicode().tag(sync=True)  # by which all views of a widget find its sound

    def __init__(self, **traits):
        for name in traits:
            if not self.has_trait(name):
                own = set(self.trait_names()) - set(anywidget.AnyWidget.class_trait_names())
                raise one_of(f"setting of {type(self).__name__}", name, sorted(own))
        super().__init__(**traits)
        self.on_msg(self._receive)

    @t.default("key")
    def _new_key(self) -> str:
        return uuid.uuid4().hex

    def __repr__(self) -> str:
        """Describe the widget where neither it nor its figure is shown."""
        return f"<{type(self).__name__} {self.title!r}>"

    def open(self) -> None:
        """Open the connection to the page, which works while a cell runs, too.

        JupyterLab sends messages of widgets to a subshell of the kernel, past the running cell.
        ipykernel 7.4 then sends the replies to the cell that last used the connection.
        """
        super().open()
        if self.comm is not None:
            keep = lambda data, default: default  # noqa: E731
            self.comm._reply_subshell_for = keep  # pyright: ignore[reportAttributeAccessIssue]

    def figure(self):
        """Return a figure (`figures.Still`) of what the widget shows, where there is no browser."""
        raise NotImplementedError

    def _receive(self, _, message: dict, buffers) -> None:
        """Handle a message from the page."""

    def _has_figure(self) -> bool:
        """Return whether the figure may accompany the widget in a notebook."""
        return True

    def _repr_mimebundle_(self, **kwargs) -> tuple[dict, dict] | None:
        """Show the widget; where no widget can be shown, such as on GitHub, its figure."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None or not self._has_figure():
            return bundle
        picture = base64.b64encode(self.figure()._repr_png_()).decode()
        return {**bundle[0], "image/png": picture}, bundle[1]

    def _page_state(self) -> dict[str, Any]:
        """Return the traits that a page needs, without those of Jupyter."""
        names = set(self.keys) - set(anywidget.AnyWidget.class_trait_names(sync=True))
        own = {name: getattr(self, name) for name in names if not name.startswith("_")}
        return {**own, "playing": False, "page": True}

    def save_html(self, path: str | Path) -> Path:
        """Write a page that shows and plays the same without Jupyter, Python or a network.

        Args:
            path: the file, such as `results/mini/player.html`; replaced where it exists.

        Returns:
            The path.
        """
        path = Path(path)
        if path.suffix.lower() not in (".html", ".htm"):
            raise InputError(f"{path}: cannot write a page: give a name that ends in .html")
        state = json.dumps(packed(self._page_state()), allow_nan=False).replace("<", "\\u003c")
        module = str(self._esm)
        if EXPORT not in module or "</script" in module.lower():
            raise AssertionError(f"the module of {type(self).__name__} cannot be part of a page")
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
    """Make traits ready for JSON: bytes become {"base64": ...}, which `pageModel` unpacks."""
    if isinstance(value, bytes | memoryview):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {str(key): packed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [packed(item) for item in value]
    return value
