"""What all widgets share: one self-contained ES module each, a static figure, and an HTML page."""

import base64
import contextlib
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets as t
from ipywidgets import widget_serialization

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.widgets.page import EXPORT, write_page

HERE = Path(__file__).parent
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


def _cell_of_marimo() -> Callable[[], contextlib.AbstractContextManager]:
    """Return what makes the cell that runs now the current one again, if it is one of marimo.

    marimo refuses widgets that are made without a current cell, as when a page sends a message.
    """
    runtime = sys.modules.get("marimo._runtime.context")
    context = runtime.safe_get_context() if runtime else None
    if runtime is None or context is None or context.cell_id is None:
        return contextlib.nullcontext
    cell = context.cell_id
    return lambda: runtime.get_context().with_cell_id(cell)


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
        self._cell = _cell_of_marimo()
        self.on_msg(self._handle)

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

    def _handle(self, *message) -> None:
        with self._cell():
            self._receive(*message)

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
        return write_page(path, [self], self.title or type(self).__name__)


Open = Callable[[int], Widget]  # number of what was clicked -> the widget that is shown below


class OpeningWidget(Widget):
    """A widget that shows another one below itself, such as the page of a code that is clicked.

    A page of its own cannot ask Python; it has links instead, where `hrefs` names files.

    Attributes:
        opens: what is opened, written on the button, such as `page of the code`; "" for nothing.
        opened: the widget that is shown below, or None.
        refused: why the last one could not be opened, or "".
        hrefs: the file beside the saved page that each number links to; {} for none.
    """

    opens = t.Unicode("").tag(sync=True)
    opened: Widget | None = t.Instance(Widget, allow_none=True).tag(  # pyright: ignore[reportAssignmentType]
        sync=True, **widget_serialization
    )
    refused = t.Unicode("").tag(sync=True)
    hrefs = t.Dict().tag(sync=True)

    def __init__(self, open: Open | None = None, opens: str = "", **traits):
        self._open = open
        super().__init__(opens=opens if open else "", **traits)

    def open_page(self, number: int) -> Widget:
        """Show below the widget what belongs to a number, such as the page of a code; return it.

        Raises:
            InputError: this widget opens nothing, or there is no such number.
        """
        if self._open is None:
            raise InputError("this widget was made without pages to open")
        self.refused = ""
        self.opened = self._open(int(number))
        return self.opened

    def _receive_open(self, message: dict) -> bool:
        """Open what the page asks for; return whether it was such a message."""
        if message.get("do") != "open":
            return False
        try:
            self.open_page(message["number"])
        except InputError as error:
            self.refused = str(error)
        return True

    def _page_state(self) -> dict[str, Any]:
        return super()._page_state() | {"opens": "", "opened": None, "refused": ""}
