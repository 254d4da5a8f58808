"""Comments such as `<!-- {{ live codebook }} -->` in Markdown -> the HTML that they stand for.

    {{ live NAME }}                a widget, see `live.py`
    {{ section FILE: HEADING }}    a section of a Markdown file of the project, without its heading
    {{ docstring PATH }}           the docstring of a Python file, as it is laid out
    {{ fields MODULE CLASS }}      the attributes of a dataclass, with their defaults
    {{ pages SECTION }}            links to the pages of a section, with their first paragraphs
    {{ public }}                   the public names of the package, with signatures and docstrings
    {{ names FOLDER }}             the same of the names that a folder lists in NAMES

What is written elsewhere is included, so that it is written once. A comment is hidden where the
Markdown is read without the site; so the line before it links to what is included.
"""

import ast
import html
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from scripts.site_parts import api
from scripts.site_parts.notebooks import live_html
from scripts.site_parts.text import Text, relative

ROOT = Path(__file__).parents[2]
DIRECTIVE = re.compile(r"^(?:<!-- )?\{\{ (\w+) ?(.*?) ?\}\}( -->)?$", re.MULTILINE)


def include(text: Text, markdown: str, page, site) -> str:
    """Return the HTML of a page's Markdown.

    Args:
        text: the page, which gets the headings.
        markdown: the source.
        page: `Page`, whose address links are relative to.
        site: `Site`, which knows the other pages.

    Raises:
        ValueError: a directive that does not exist, or that names what does not exist.
    """
    parts, end = [], 0
    for match in DIRECTIVE.finditer(markdown):
        parts.append(text.html(markdown[end : match.start()]))
        if match[1] not in DIRECTIVES or not match[3]:
            expected = " or ".join(f"<!-- {{{{ {name} ... }}}} -->" for name in DIRECTIVES)
            raise ValueError(f"{page.source}: {match[0]}; expected {expected}")
        parts.append(DIRECTIVES[match[1]](text, match[2], page, site))
        end = match.end()
    return "".join([*parts, text.html(markdown[end:])])


def section_of(path: Path, heading: str) -> str:
    """Return the Markdown of a section of second level, without its heading.

    Raises:
        ValueError: there is no such section.
    """
    parts = re.split(r"^## (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    if heading not in sections:
        raise ValueError(f"{path.name} has no section {heading!r}; it has {[*sections]}")
    return sections[heading].strip("\n") + "\n"


def _section(text: Text, argument: str, page, site) -> str:
    file, _, heading = argument.partition(": ")
    content = section_of(ROOT / file, heading)
    own, text.link = text.link, partial(site.link, type(page)(file, page.path, page.section))
    content = text.html(content)
    text.link = own
    return content


def _docstring(text: Text, argument: str, page, site) -> str:
    words = html.escape(api.module_docstring(argument))
    words = re.sub(r"`([^`\n]+)`", r"<b>\1</b>", words)
    return f'<pre class="docstring" tabindex="0">{words}</pre>\n'


def _fields(text: Text, argument: str, page, site) -> str:
    module, name = argument.split()
    node = api.definition(module, name)
    if node is None:
        raise ValueError(f"{page.source}: {module} has no class {name}")
    fields = [item for item in node.body if isinstance(item, ast.AnnAssign)]
    defaults = {ast.unparse(item.target): ast.unparse(item.value) for item in fields if item.value}
    words = (ast.get_docstring(node) or "").partition("Attributes:\n")[2]
    lines = [line[4:] for line in words.splitlines()]
    rows = "".join(
        f"<dt><code>{field} = {html.escape(defaults[field])}</code></dt>"
        f"<dd>{text.inline(about)}</dd>\n"
        for field, about in api.items(lines)
        if field in defaults
    )
    return f"<dl>\n{rows}</dl>\n"


def _pages(text: Text, argument: str, page, site) -> str:
    rows = []
    for other, title, summary in site.listed(argument):
        address = relative(other.path, page.path)
        rows.append(
            f'<dt><a href="{address}">{html.escape(title)}</a></dt><dd>{text.inline(summary)}</dd>'
        )
    return f'<dl class="pages">{"".join(rows)}</dl>\n'


def _public(text: Text, argument: str, page, site) -> str:
    entries = [api.documented(text, *pair, f"vq.{pair[1]}") for pair in api.public_names()]
    return "".join(entries)


def _names(text: Text, argument: str, page, site) -> str:
    return "".join(api.documented(text, *pair, pair[1]) for pair in api.lazy_names(argument))


def _live(text: Text, argument: str, page, site) -> str:
    return live_html(argument)


DIRECTIVES: dict[str, Callable[..., str]] = {
    "docstring": _docstring,
    "fields": _fields,
    "live": _live,
    "names": _names,
    "pages": _pages,
    "public": _public,
    "section": _section,
}
