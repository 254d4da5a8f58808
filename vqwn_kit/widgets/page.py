"""Widgets and HTML -> one page that shows and plays them without Jupyter, Python or a network."""

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vqwn_kit.errors import InputError
from vqwn_kit.files import replacing

EXPORT = "export default { ...hooks, render };"  # the last line of each widget's .js


def write_page(path: str | Path, parts: Sequence, title: str, style: str = "") -> Path:
    """Write a page of widgets and HTML in this order; return its path.

    Everything is inside the one file, which can be moved and sent.

    Args:
        path: the file, such as `results/mini/player.html`; replaced where it exists.
        parts: widgets, and texts of HTML.
        title: of the page.
        style: more CSS.

    Raises:
        InputError: a name that does not end in .html.
    """
    path = page_path(path)
    body, modules, css = [], {}, {}
    for number, part in enumerate(parts):
        if isinstance(part, str):
            body.append(part)
            continue
        name = f"widget-{number}"
        state = json.dumps(packed(part._page_state()), allow_nan=False).replace("<", "\\u003c")
        body.append(
            f'<div id="{name}"></div>\n'
            f'<script type="application/json" id="{name}-state">{state}</script>'
        )
        modules.setdefault(str(part._esm), []).append(name)
        css[part._css] = None
    scripts = [_script(module, names) for module, names in modules.items()]
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{html.escape(title)}</title><style>{''.join(css)}{style}</style></head>"
        f"<body class='vq-page'>\n{chr(10).join([*body, *scripts])}\n</body></html>\n"
    )
    with replacing(path) as scratch:
        scratch.write_text(page, encoding="utf-8")
    return path


def page_path(path: str | Path) -> Path:
    """Return the path of a page; InputError for a name that does not end in .html."""
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{path}: cannot write a page: give a name that ends in .html")
    return path


def _script(module: str, names: list[str]) -> str:
    """Return the script that shows widgets of one ES module."""
    if EXPORT not in module or "</script" in module.lower():
        raise AssertionError("the module of a widget cannot be part of a page")
    shown = (
        f"render({{ model: pageModel(document.getElementById('{name}-state').textContent),"
        f" el: document.getElementById('{name}') }});"
        for name in names
    )
    return f'<script type="module">\n{module.replace(EXPORT, "")}\n{chr(10).join(shown)}\n</script>'


def packed(value: Any) -> Any:
    """Make traits ready for JSON: bytes become {"base64": ...}, which `pageModel` unpacks."""
    if isinstance(value, bytes | memoryview):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {str(key): packed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [packed(item) for item in value]
    return value
