"""The committed site: made from its sources, whole, and without a network."""

import ast
import base64
import io
import json
import posixpath
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from scripts.make_site import Page, Site, pages
from scripts.site_parts import api, live
from scripts.site_parts.include import include, section_of
from scripts.site_parts.text import Text, relative
from tests.conftest import ROOT, tones
from vqwn_kit.widgets.arrays import to_pcm

DOCS = ROOT / "docs"
MOST = 6_500_000  # bytes of the whole site
FETCHED = {"src", "srcset", "poster", "data"}  # attributes that a browser fetches


class Content(HTMLParser):
    """Addresses, anchors, headings and pictures of a page, and tags that are not closed."""

    def __init__(self, page: str):
        super().__init__()
        self.links, self.fetched, self.anchors = [], [], []
        self.levels, self.pictures, self.open = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        """Keep what is checked."""
        given = dict(attrs)
        self.anchors += [given["id"]] if "id" in given else []
        self.levels += [int(tag[1])] if re.fullmatch("h[1-6]", tag) else []
        self.pictures += [given] if tag == "img" else []
        for name, value in attrs:
            if name in FETCHED or (name == "href" and tag == "link"):
                self.fetched.append(value)
            elif name == "href":
                self.links.append(value)
        if tag not in ("meta", "link", "img", "br", "hr", "col"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        """Check that the tag that was opened last is closed."""
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def contents() -> dict[str, Content]:
    """Every committed page by its path in the site."""
    files = sorted(DOCS.rglob("*.html"))
    return {p.relative_to(DOCS).as_posix(): Content(p.read_text("utf-8")) for p in files}


def test_the_committed_pages_are_those_of_their_sources(tmp_path):
    """All text, styles and scripts; after a change of them `make site` makes the pages again."""
    site = Site(tmp_path)
    (tmp_path / "notebooks").mkdir()
    files = DOCS / "notebooks/files"  # figures and sounds, which are made already
    before = set(files.iterdir())
    (tmp_path / "notebooks/files").symlink_to(files)
    made = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in site.write()}
    missing = set(files.iterdir()) - before
    for file in missing:
        file.unlink()
    old = {name: (DOCS / name).read_bytes() for name in made if (DOCS / name).is_file()}
    changed = [name for name, content in made.items() if old.get(name) != content]
    assert not missing, "run `make site` and commit docs/notebooks/files"
    assert not changed, f"run `make site` and commit docs: {changed}"
    texts = {"*.html", "static/*"}
    known = {p.relative_to(DOCS).as_posix() for kind in texts for p in DOCS.rglob(kind)}
    assert known <= made.keys(), f"pages without a source: {sorted(known - made.keys())}"


@pytest.mark.parametrize("name", live.RUNS)
def test_the_widgets_are_of_the_shipped_weights(name):
    run, kind = live.RUNS[name]
    made = live.read_live(DOCS / "live" / f"{name}.js")
    assert made["made_of"] == {"run": run, "weights": live.weights_hash(run)}, "make site LIVE=..."
    assert made["widget"] == kind
    assert made["places"]


def test_no_link_is_broken_and_no_anchor_missing(contents):
    for page, content in contents.items():
        assert len(set(content.anchors)) == len(content.anchors), page
        for address in content.links:
            if re.match(r"https://|data:", address):
                continue
            path, _, anchor = address.partition("#")
            target = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
            target = target if path else page
            assert target in contents, f"{page}: {address}"
            assert not anchor or anchor in contents[target].anchors, f"{page}: {address}"


def test_nothing_is_fetched_from_elsewhere(contents):
    for page, content in contents.items():
        for address in content.fetched:
            if address == "data:,":
                continue
            file = (DOCS / page).parent / address
            assert file.resolve().is_relative_to(DOCS), f"{page}: {address}"
            assert file.is_file(), f"{page}: {address}"
    for file in [*DOCS.rglob("*.css"), *DOCS.rglob("static/*.js")]:
        found = re.findall(r"@import|url\(|\bfetch\b|XMLHttpRequest|https?://\S+", file.read_text())
        assert not found, file.name


def test_no_path_of_a_machine(contents):
    for path in DOCS.rglob("*.html"):
        text = path.read_text("utf-8")
        found = re.findall(rf"file://|{re.escape(str(Path.home()))}/|{re.escape(str(ROOT))}", text)
        assert not found, path.name
        assert not [
            link for link in contents[path.relative_to(DOCS).as_posix()].links if link[0] == "/"
        ]


def test_pages_are_whole_and_accessible(contents):
    """Tags are closed, one main heading, no level is left out, pictures have words and sizes."""
    assert {page.path for page in pages()} == set(contents)
    for page, content in contents.items():
        assert not content.open, page
        assert content.levels.count(1) == 1, page
        steps = np.diff([0, *content.levels])
        assert steps.max() == 1, page
        for picture in content.pictures:
            assert picture["alt"], page


def test_every_file_is_used_and_the_site_is_small(contents):
    fetched = {
        posixpath.normpath(posixpath.join(posixpath.dirname(page), address))
        for page, content in contents.items()
        for address in content.fetched
    }
    files = {p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*") if p.is_file()}
    assert files - fetched - set(contents) == {".nojekyll"}
    assert sum((DOCS / name).stat().st_size for name in files) < MOST


def test_public_names_and_measures_have_an_anchor(contents):
    for _, name in [*api.public_names(), *api.lazy_names("evaluation/metrics")]:
        if not name.isupper():
            assert name.lower() in contents["api.html"].anchors, name


@pytest.mark.parametrize("run", ["mini", "vctk-libri"])
def test_the_guide_explains_every_row_of_a_score_card(run):
    guide = " ".join((ROOT / "site/guides/evaluation.md").read_text("utf-8").lower().split())
    guide = guide.replace("original, reconstruction or conversion nearest", "{} nearest")
    for row in json.loads((ROOT / "results" / run / "score_card.json").read_text())["rows"]:
        name = re.sub("^(original|reconstruction|conversion) nearest", "{} nearest", row["name"])
        assert name.partition(", ")[0].lower() in guide, row["name"]


def test_sounds_survive_their_blocks():
    """Each sound of a block of MP3 is found at its place again, and silence around it."""
    waves = [tones(seconds, 150.0 + 40 * n) for n, seconds in enumerate((0.4, 0.7, 0.3, 0.5))]
    sounds = {f"{n} 0": np.frombuffer(to_pcm(wave), "<i2") for n, wave in enumerate(waves)}
    blocks, places = live.mp3_blocks(sounds, size=3)
    assert [place[0] for place in places.values()] == [0, 0, 0, 1]
    decoded = [decode(block) for block in blocks]
    for (block, start, length), wave in zip(places.values(), waves, strict=True):
        part = decoded[block][start : start + length]
        assert len(part) == len(wave)
        error = np.mean((part - wave) ** 2) / np.mean(wave**2)
        assert 10 * np.log10(error) < -12  # dB
    assert sum(map(len, blocks)) < 0.2 * sum(2 * len(wave) for wave in waves) * 4 / 3


def decode(block: str) -> np.ndarray:
    """Return the samples of an MP3 in base64, float32 (T,)."""
    return soundfile.read(io.BytesIO(base64.b64decode(block)), dtype="float32")[0]


def test_docstrings_become_lists_and_examples():
    arguments = "Args:\n    a: the `first`,\n        and more.\n    **b: rest."
    doc = f"Say it.\n\n{arguments}\n\nExample:\n    say(1)"
    content = api.docstring(Text(), doc)
    assert "<p>Say it.</p>" in content
    assert "<dt><code>a</code></dt><dd>the <code>first</code>, and more.</dd>" in content
    assert "<dt><code>**b</code></dt>" in content
    assert content.index("Example") < content.index("say")


@pytest.mark.parametrize(
    "source",
    [
        "def f(a, b: int = 1, *, c=None, **d) -> str: ...",
        "def f(a, /, *rest: int, c: float | None = None) -> None: ...",
    ],
)
def test_signatures_are_those_of_the_source(source):
    node = ast.parse(source).body[0]
    again = ast.parse(f"def {api.signature(node, 'f')}: ...").body[0]
    expected = ast.unparse(node.args).replace("/, ", "")  # positional-only is left out
    assert ast.unparse(again.args) == expected


def test_headings_have_anchors_of_their_own():
    text = Text()
    content = text.html("# Two `x`\n\n## Same\n\n## Same")
    assert re.findall('id="([^"]+)"', content) == ["two-x", "same", "same-2"]


def test_a_link_to_a_file_without_a_page_is_its_name():
    text = Text(lambda address: None if address == "a.mp4" else address)
    assert text.inline("[film](a.mp4)") == '<span class="file">film</span>'
    assert text.inline("[page](b.html)") == '<a href="b.html">page</a>'


def test_a_link_to_a_name_of_the_code_leads_to_its_docstring(tmp_path):
    page = Page("site/guides/units.md", "guides/units.html", "guides")
    link = Site(tmp_path).link
    assert link(page, "../../vqwn_kit/training/train.py#train") == "../api.html#train"
    assert link(page, "../../vqwn_kit/training/train.py") is None
    assert link(page, "../../results/mini/README.md#audio") == "../runs/mini.html#audio"
    assert link(page, "prior.md") == "prior.html"


def test_addresses_are_relative_to_the_page():
    assert relative("index.html", "notebooks/a.html") == "../index.html"
    assert relative("guides/b.html#c", "guides/a.html") == "b.html#c"


def test_what_cannot_be_included_is_named(tmp_path):
    page = Page("site/x.md", "x.html", "start")
    for wrong in ("<!-- {{ nothing }} -->", "{{ live codebook }}"):  # unknown; not a comment
        expected = rf"site/x.md: {re.escape(wrong)}; expected .*<!-- \{{\{{ live \.\.\. \}}\}} -->"
        with pytest.raises(ValueError, match=expected):
            include(Text(), wrong, page, None)
    with pytest.raises(ValueError, match="no section 'Nowhere'"):
        section_of(ROOT / "README.md", "Nowhere")
    hidden = include(Text(), "<!-- {{ live codebook }} -->", page, None)
    assert 'data-live="codebook"' in hidden
    (tmp_path / "a.md").write_text("# A\n\n## B\n\nin B\n\n## C\n\nin C\n")
    assert section_of(tmp_path / "a.md", "B") == "in B\n"
