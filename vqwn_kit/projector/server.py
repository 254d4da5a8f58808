"""A folder of exported tables -> the Embedding Projector in a browser, offline.

The projector is part of the package tensorboard. A server on this machine gives it and the tables
to browsers on this machine only; the page may not load anything from elsewhere.
"""

import html
import importlib.util
import json
from contextlib import AbstractContextManager
from functools import cached_property, partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from string import Template
from threading import Thread

from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.phones import KINDS
from vqwn_kit.files import read_json
from vqwn_kit.projector.tables import CONFIG

BUNDLE = "plugins/projector/tf_projector_plugin/projector_binary.js"
TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".tsv": "text/tab-separated-values",
}
POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:"  # nothing from elsewhere
SCALE = 0.8  # in a notebook: the panels need a width of 1100 pixels
# The projector starts without colours; the page selects the first of these columns that is there.
# It assigns colours in the order of the rows; kinds of phones have the same in all tables.
COLOURS = ["phone kind", "sex", "log10 uses", "percent", "speaker"]
PAGE = Path(__file__).with_name("page.html")


def open_projector(folder: str | Path, height: int = 760) -> "ProjectorPage":
    """Serve an export in the Embedding Projector, offline, to browsers on this machine.

    As the last line of a notebook's cell it shows the projector below the cell, if the browser
    runs on the same machine as the kernel.

    Args:
        folder: the output of `export_projector` or `visualise`.
        height: in the notebook, in pixels.

    Returns:
        The page: `url` for a browser, `close()` to end it. It ends with the process, too.

    Raises:
        InputError: no export there, a file of it is missing, or tensorboard is not installed.
    """
    folder = Path(folder).resolve()
    config = folder / CONFIG
    if not config.is_file():
        raise InputError(
            f"{folder} has no {CONFIG}: write the tables with export_projector (`vqwn visualise`), "
            "and give their folder"
        )
    names = _named(config)
    missing = [name for name in names if not _is_served(folder / name, folder)]
    if missing or not names:
        raise InputError(f"{config} names {missing or 'no table'}, which is missing: export again")
    return ProjectorPage(folder, _bundle(), height)


def _named(config: Path) -> list[str]:
    """Return the names of the tables in a config."""
    content = read_json(config, "a list of tables, as export_projector writes it")
    try:
        entries = content["embeddings"]
        names = [entry[key] for entry in entries for key in ("tensorPath", "metadataPath")]
    except (KeyError, TypeError) as error:
        raise InputError(f"{config} is damaged ({error!r}): export again") from error
    if not all(isinstance(name, str) for name in names):
        raise InputError(f"{config} is damaged: a name in it is no text; export again")
    return names


def _is_served(path: Path, folder: Path) -> bool:
    """Return whether a path is a table of the export: in the folder, not hidden, and no link."""
    named = path.parent == folder and path.suffix in (".json", ".tsv")
    return named and not path.name.startswith(".") and not path.is_symlink() and path.is_file()


def _bundle() -> Path:
    """Return the path of the projector in the installed tensorboard."""
    package = importlib.util.find_spec("tensorboard")
    if package is None or not package.submodule_search_locations:
        raise InputError("the projector comes with tensorboard: pip install tensorboard")
    path = Path(next(iter(package.submodule_search_locations))) / BUNDLE
    if not path.is_file():
        raise InputError(
            f"this tensorboard has no projector ({path} is missing): install version 2.20 or "
            "newer, or load the tables at projector.tensorflow.org"
        )
    return path


class ProjectorPage(AbstractContextManager):
    """The Embedding Projector on an export, served to this machine; see `open_projector`.

    Attributes:
        folder: the export; a page that is loaded again shows its present content.
        url: the address for a browser.
        hosts: names and port that requests may be addressed to.
    """

    def __init__(self, folder: Path, bundle: Path, height: int = 760):
        self.folder, self._bundle, self._height = folder, bundle, height
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self._server.daemon_threads = True
        self.hosts = [f"{host}:{self._server.server_port}" for host in ("127.0.0.1", "localhost")]
        self.url = f"http://{self.hosts[0]}/"
        self._thread = Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        """Name the address and the export."""
        return f"<ProjectorPage {self.url}: {self.folder.name}>"

    def _repr_html_(self) -> str:
        size = 100 / SCALE
        return (
            f'<div style="height: {self._height}px; overflow: hidden"><iframe src="{self.url}" '
            f'title="Embedding Projector" style="border: 0; width: {size:.4g}%; '
            f'height: {size:.4g}%; transform: scale({SCALE}); transform-origin: 0 0"></iframe>'
            f'</div><p>{html.escape(self.folder.name)} in the <a href="{self.url}" '
            'target="_blank">Embedding Projector</a>, served while this kernel runs.</p>'
        )

    def __exit__(self, *_) -> None:
        """Close it at the end of a `with`."""
        self.close()

    @cached_property
    def _page(self) -> bytes:
        title = html.escape(f"{self.folder.name}: Embedding Projector")
        lists = {"colours": json.dumps(COLOURS), "kinds": json.dumps([*KINDS, "-"])}
        page = Template(PAGE.read_text(encoding="utf-8"))
        return page.substitute(title=title, config=CONFIG, **lists).encode()

    def read(self, name: str) -> bytes | None:
        """Return the content of a name: the page, the projector, a table; None for all others."""
        if name in ("", "index.html"):
            return self._page
        if name == self._bundle.name:
            return self._bundle.read_bytes()
        path = self.folder / name
        return path.read_bytes() if _is_served(path, self.folder) else None

    def wait(self) -> None:
        """Wait until the page is closed."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def close(self) -> None:
        """End the server; a second call does nothing."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Answers GET with the content of a page."""

    def __init__(self, page: ProjectorPage, *request):
        self.page = page
        super().__init__(*request)  # answers the request

    def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
        if self.headers["Host"] not in self.page.hosts:
            self.send_error(HTTPStatus.FORBIDDEN)  # another site's name for this machine
            return
        name = self.path.partition("?")[0]
        body = self.page.read(name.lstrip("/"))
        if body is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        headers = {
            "Content-Type": f"{TYPES[Path(name).suffix or '.html']}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Content-Security-Policy": POLICY,
            "Cache-Control": "no-store",
        }
        self.send_response(HTTPStatus.OK)
        for header, value in headers.items():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args) -> None:
        """Print nothing."""
