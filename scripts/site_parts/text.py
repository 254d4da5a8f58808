"""Markdown -> HTML: headings with anchors, highlighted code, links between the pages."""

import html
import posixpath
import re
from collections.abc import Callable

from markdown_it import MarkdownIt
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

LANGUAGES = {"python": "python", "py": "python", "bash": "bash", "json": "json"}
FORMATTER = HtmlFormatter(nowrap=True)
COLOURED = "k|kn|kd|kc|ow|s1|s2|sd|sa|si|se|sb|mi|mf|mh|il|c1|ch|cm|nf|nc"  # by style.css
PLAIN = re.compile(rf'<span class="(?!(?:{COLOURED})")[^"]*">([^<]*)</span>')
EXTERNAL = re.compile(r"(https?:|mailto:|data:|#)")
Link = Callable[[str], str | None]


class Text:
    """The HTML of one page, and the headings that it has so far.

    Args:
        link: the address in the page of an address in the source; None where there is no such
            page: then the words of the link stay, as the name of a file of the project.
        html_allowed: whether the source may contain HTML.
    """

    def __init__(self, link: Link = lambda address: address, html_allowed: bool = True):
        self.link = link
        self.headings: list[tuple[int, str, str]] = []  # level, anchor, HTML of the words
        self._taken = {"page", "pages"}  # of the template
        settings = {"html": html_allowed, "highlight": highlighted}
        self._parser = MarkdownIt("commonmark", settings).enable(["table", "strikethrough"])
        rules = {"heading_open": self._heading, "fence": _fence, "code_block": _code_block}
        rules |= {"table_open": _table_open, "table_close": _table_close, "link_open": self._open}
        rules |= {"link_close": self._close, "image": self._image}
        self._parser.renderer.rules.update(rules)
        self._open_links: list[str] = []

    def html(self, markdown: str) -> str:
        """Return the HTML of a piece of Markdown."""
        return self._parser.render(markdown)

    def inline(self, markdown: str) -> str:
        """Return the HTML of Markdown without paragraphs."""
        return self._parser.renderInline(markdown)

    def anchor(self, words: str) -> str:
        """Return an anchor for a heading that no other heading of the page has."""
        plain = re.sub(r"[^\w\s-]", "", words.lower()).strip()
        base = anchor = re.sub(r"\s+", "-", plain) or "section"
        number = 2
        while anchor in self._taken:
            anchor, number = f"{base}-{number}", number + 1
        self._taken.add(anchor)
        return anchor

    def heading(self, level: int, anchor: str, words: str) -> None:
        """Add a heading, whose words are HTML, to those of the page."""
        self.headings.append((level, anchor, words))

    def _heading(self, tokens, index, options, env) -> str:
        inline = tokens[index + 1]
        words = "".join(child.content for child in inline.children)
        anchor, level = self.anchor(words), int(tokens[index].tag[1])
        self.heading(level, anchor, html.escape(words))
        return f'<h{level} id="{anchor}">'

    def _open(self, tokens, index, options, env) -> str:
        address = str(tokens[index].attrs["href"])
        target = address if EXTERNAL.match(address) else self.link(address)
        tag = "span" if target is None else "a"
        self._open_links.append(tag)
        if target is None:
            return '<span class="file">'
        return f'<a href="{html.escape(target)}">'

    def _close(self, tokens, index, options, env) -> str:
        return f"</{self._open_links.pop()}>"

    def _image(self, tokens, index, options, env) -> str:
        source = self.link(str(tokens[index].attrs["src"]))
        if source is None:
            raise ValueError(f"{tokens[index].attrs['src']}: the site has no such picture")
        return f'<img src="{html.escape(source)}" alt="{html.escape(tokens[index].content)}">'


def highlighted(code: str, language: str, _=None) -> str:
    """Return code as HTML with the classes of Pygments; unknown languages stay plain."""
    if language not in LANGUAGES:
        return html.escape(code)
    coloured = highlight(code, get_lexer_by_name(LANGUAGES[language]), FORMATTER)
    return PLAIN.sub(r"\1", coloured)


def code_block(code: str, language: str = "") -> str:
    """Return a block of code, which scrolls where it is wide."""
    content = highlighted(code.strip("\n") + "\n", language)
    return f'<pre class="code" tabindex="0"><code>{content}</code></pre>\n'


def _fence(tokens, index, options, env) -> str:
    language = tokens[index].info.split()[0] if tokens[index].info else ""
    if language == "mermaid":
        raise ValueError("a diagram of Mermaid needs a script of its own: draw it in HTML")
    return code_block(tokens[index].content, language)


def _code_block(tokens, index, options, env) -> str:
    return code_block(
        tokens[index].content, "python" if PYTHON.search(tokens[index].content) else ""
    )


PYTHON = re.compile(r"^(import |from |vq\.|\w+ = vq\.)", re.MULTILINE)


def _table_open(*_) -> str:
    return '<div class="wide" tabindex="0"><table>\n'


def _table_close(*_) -> str:
    return "</table></div>\n"


def relative(target: str, page: str) -> str:
    """Return the address of a file of the site in a page, both relative to `docs`."""
    path, mark, anchor = target.partition("#")
    return posixpath.relpath(path, posixpath.dirname(page) or ".") + mark + anchor
