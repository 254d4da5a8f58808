"""Make the site in `docs`: pages that play the shipped runs without a kernel and without a network.

Usage: python -m scripts.make_site [--docs FOLDER] [--live [NAME ...]]

Pages are made from `site/`, docstrings and the notebooks, in seconds. The widgets
in `docs/live` are made with TensorFlow, in minutes: only those that are missing; `--live` makes the
named ones again, without names all. Needs the extras `lab` and `dev`.
"""

import argparse
import html
import json
import re
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from string import Template

from scripts.site_parts import live
from scripts.site_parts.include import include
from scripts.site_parts.notebooks import Notebook
from scripts.site_parts.text import Text, relative

ROOT = Path(__file__).parents[1]
PARTS = Path(__file__).parent / "site_parts"
WIDGETS = {"player": (), "explorer": (), "lab": ("player", "strip")}  # with the widgets within
TOP = {  # sections, and the page that each begins with
    "start": ("Start", "index.html"),
    "codebook": ("Codebook", "codebook.html"),
    "notebooks": ("Notebooks", "notebooks/index.html"),
    "guides": ("Guides", "guides/index.html"),
    "runs": ("Runs", "runs/index.html"),
    "api": ("API", "api.html"),
}
GUIDES = (  # in the order in which they are read
    "install commands your-data presets parts compare two-stages machines converting unit-files "
    "units evaluation prior widgets projector performance original architecture glossary"
).split()
DOCUMENTS = (  # of the project, as pages; a title, where it has none of its own
    ("results/README.md", "runs/index.html", ""),
    ("results/mini/README.md", "runs/mini.html", ""),
    ("results/mini/score_card.md", "runs/mini-score-card.html", "Score card of mini"),
    ("results/vctk-libri/README.md", "runs/vctk-libri.html", ""),
    (
        "results/vctk-libri/score_card.md",
        "runs/vctk-libri-score-card.html",
        "Score card of vctk-libri",
    ),
    ("results/first-run/runs.md", "runs/first-run.html", "First runs: mini and paper"),
    ("results/family/compare.md", "runs/family.html", "Comparison of quantizers"),
    ("results/family-wavenet/compare.md", "runs/family-wavenet.html", "Comparison of variants"),
    ("data/README.md", "runs/data.html", "The bundled corpus"),
    ("CONTRIBUTING.md", "guides/contributing.html", ""),
)
PICTURES = {"results/family/compare.png": "runs/family.png"}


HEADING = re.compile(r"\A# .+$", re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """A page: its source in the project, its path in the site, the section that it is in.

    Its title is that of its first heading by default.
    """

    source: str
    path: str
    section: str
    title: str = ""


def pages() -> list[Page]:
    """Return all pages, in the order of the menus."""
    listed = [Page("site/index.md", "index.html", "start")]
    listed += [
        Page(f"site/{name}.md", f"{name}.html", "codebook")
        for name in ("codebook", "codebook-vctk-libri")
    ]
    listed.append(Page("site/notebooks.md", "notebooks/index.html", "notebooks"))
    listed += [
        Page(f"notebooks/{path.name}", f"notebooks/{path.stem}.html", "notebooks")
        for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
    ]
    listed.append(Page("site/guides.md", "guides/index.html", "guides"))
    listed += [Page(f"site/guides/{name}.md", f"guides/{name}.html", "guides") for name in GUIDES]
    for source, path, title in DOCUMENTS:
        listed.append(Page(source, path, path.partition("/")[0], title))
    return [*listed, Page("site/api.md", "api.html", "api")]


class Site:
    """The pages, and what they have in common.

    Links of a source are relative to it, so that they lead somewhere without the site, too; one to
    a name of the code is `FILE.py#name`, with the anchor of the name in the page of the API.

    Args:
        docs: the folder of the site.
    """

    def __init__(self, docs: Path):
        self.docs, self.pages = docs, pages()
        self.by_source = {page.source: page.path for page in self.pages} | PICTURES
        self.template = Template((PARTS / "page.html").read_text(encoding="utf-8"))
        self.titles = {p.path: p.title or title_of(ROOT / p.source) for p in self.pages}

    def link(self, page: Page, address: str) -> str | None:
        """Return the address, in a page, of what its source links to; None if there is none."""
        path, mark, anchor = address.partition("#")
        source = (ROOT / page.source).parent.joinpath(path).resolve()
        if not source.is_relative_to(ROOT):
            return None
        if source.is_relative_to(ROOT / "docs"):
            return relative(source.relative_to(ROOT / "docs").as_posix() + mark + anchor, page.path)
        if source.is_dir() and (source / "README.md").is_file():
            source /= "README.md"
        if source.suffix == ".py" and anchor:  # a public name, whose docstring is on that page
            return relative(f"api.html#{anchor}", page.path)
        target = self.by_source.get(source.relative_to(ROOT).as_posix())
        return None if target is None else relative(target + mark + anchor, page.path)

    def write(self) -> list[Path]:
        """Write all pages, scripts and styles; return their paths."""
        written = [self._write(page.path, self.html(page)) for page in self.pages]
        style = (PARTS / "style.css").read_text(encoding="utf-8")
        written.append(self._write("static/style.css", style))
        widget_style = (ROOT / "vqwn_kit/widgets/style.css").read_text(encoding="utf-8")
        written.append(self._write("static/widgets.css", widget_style))
        for kind, within in WIDGETS.items():
            written.append(self._write(f"static/{kind}.js", script(kind, within)))
        for source, path in PICTURES.items():
            (self.docs / path).parent.mkdir(parents=True, exist_ok=True)
            written.append(Path(shutil.copyfile(ROOT / source, self.docs / path)))
        return [*written, self._write(".nojekyll", "")]

    def _write(self, path: str, content: str) -> Path:
        file = self.docs / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8", newline="\n")
        return file

    def html(self, page: Page) -> str:
        """Return a page as HTML."""
        text = Text(partial(self.link, page))
        if page.source.endswith(".ipynb"):
            notebook = Notebook(ROOT / page.source, text, self.docs / "notebooks/files")
            content, widgets = notebook.html(), notebook.live
        else:
            source = (ROOT / page.source).read_text(encoding="utf-8")
            if page.title:
                source = f"# {page.title}\n\n{re.sub(HEADING, '', source, count=1)}"
            content, widgets = (
                include(text, source, page, self),
                re.findall(r"^<!-- \{\{ live (\S+) \}\} -->$", source, flags=re.M),
            )
        to = partial(relative, page=page.path)
        title = self.titles[page.path]
        return self.template.substitute(
            title=f"{title} · vqwn_kit" if page.path != "index.html" else title,
            kind=page.section,
            style=to("static/style.css"),
            widgets=f'<link rel="stylesheet" href="{to("static/widgets.css")}">' if widgets else "",
            home=to("index.html"),
            top=self._top(page),
            side=self._side(page, text),
            content=content,
            after=self._after(page),
            scripts=self._scripts(page, widgets),
        )

    def _top(self, page: Page) -> str:
        links = []
        for section, (name, path) in TOP.items():
            here = ' aria-current="true"' if section == page.section else ""
            links.append(f'<li><a href="{relative(path, page.path)}"{here}>{name}</a></li>')
        return "".join(links)

    def _side(self, page: Page, text: Text) -> str:
        """Return the menu of a section, with the headings of this page."""
        own = [
            f'<li class="level-{level}"><a href="#{anchor}">{words}</a></li>'
            for level, anchor, words in text.headings[1:]
            if level < 4
        ]
        within = f"<ul>{''.join(own)}</ul>" if own else ""
        items = []
        for other in self.pages:
            if other.section == page.section and page.section != "start":
                here = other == page
                link = f'<a href="{relative(other.path, page.path)}"'
                link += ' aria-current="page"' if here else ""
                title = html.escape(self.titles[other.path])
                items.append(f"<li>{link}>{title}</a>{within if here else ''}</li>")
        return f"<ul>{''.join(items)}</ul>" if items else within

    def _after(self, page: Page) -> str:
        """Return links to the pages before and after this one in its section."""
        section = [other for other in self.pages if other.section == page.section]
        place, links = section.index(page), []
        for step, word in ((-1, "previous"), (1, "next")):
            if 0 <= place + step < len(section):
                other = section[place + step]
                title = html.escape(self.titles[other.path])
                address = relative(other.path, page.path)
                links.append(f'<a rel="{word[:4]}" href="{address}">{word}: {title}</a>')
        return "".join(links)

    def _scripts(self, page: Page, widgets: list[str]) -> str:
        """Return the scripts of a page: the widgets' states first, then their code."""
        kinds = {live.kind_of(name) for name in widgets}
        files = [f"live/{name}.js" for name in dict.fromkeys(widgets)]
        files += [f"static/{kind}.js" for kind in WIDGETS if kind in kinds]
        return "".join(f'<script src="{relative(file, page.path)}"></script>\n' for file in files)

    def listed(self, section: str) -> list[tuple[Page, str, str]]:
        """Return the pages of a section but the first: page, title and first sentence."""
        members = [page for page in self.pages if page.section == section][1:]
        return [(p, self.titles[p.path], summary_of(ROOT / p.source)) for p in members]


def _markdown(path: Path) -> str:
    """Return the Markdown of a page, or of the first cell of a notebook."""
    text = path.read_text(encoding="utf-8")
    return "".join(json.loads(text)["cells"][0]["source"]) if path.suffix == ".ipynb" else text


def title_of(path: Path) -> str:
    """Return the words of the first heading of a page."""
    found = HEADING.search(_markdown(path))
    if found is None:
        raise ValueError(f"{path}: no heading; expected a line that begins with '# '")
    return found[0][2:].replace("`", "")


def summary_of(path: Path) -> str:
    """Return the first paragraph of a page, as Markdown."""
    return _markdown(path).split("\n\n")[1].replace("\n", " ").strip("*")


def script(kind: str, within: tuple[str, ...]) -> str:
    """Return the script of a widget for pages of the site.

    It is no module: browsers do not load modules from files.
    """
    from vqwn_kit.widgets.base import module_of
    from vqwn_kit.widgets.page import EXPORT

    module = module_of(kind, *within).replace(EXPORT, "")
    show = (PARTS / "live.js").read_text(encoding="utf-8")
    return f'(() => {{\nconst KIND = "{kind}";\n{module}\n{show}}})();\n'


def main() -> None:
    """Write the site, and print its size."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    parser.add_argument("--live", nargs="*", choices=live.RUNS, default=None)
    options = parser.parse_args()
    again = options.live or live.RUNS if options.live is not None else []
    for name in live.RUNS:
        path = options.docs / "live" / f"{name}.js"
        if name in again or not path.is_file():
            live.write_live(path.parent, name)
            print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB", flush=True)
    shutil.rmtree(options.docs / "notebooks", ignore_errors=True)  # sounds that none plays now
    written = Site(options.docs).write()
    size = sum(path.stat().st_size for path in options.docs.rglob("*") if path.is_file())
    print(f"{options.docs}: {len(written)} pages and scripts, {size / 1e6:.1f} MB in all")


if __name__ == "__main__":
    main()
