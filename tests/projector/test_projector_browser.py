"""Exported files in the real Embedding Projector, in headless Chromium, cut off from the net.

Skipped where there is no Chromium or playwright.
"""

import re

import numpy as np
import pytest

from tests.browsing import chromium
from tests.conftest import make_folders
from vqwn_kit import export_projector, open_corpus, open_projector, prepare
from vqwn_kit.projector.tables import Table, write_tables

pytestmark = pytest.mark.browser

OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"
SOFTWARE_GL = "--enable-unsafe-swiftshader --use-gl=angle --use-angle=swiftshader".split()


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium that draws in software."""
    with chromium(*SOFTWARE_GL, OFFLINE, without="--disable-gpu") as started:
        yield started


@pytest.fixture
def page(browser):
    """A page that keeps what it asks for, and what it complains of."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(30_000)
    page.asked, page.errors = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda line: line.type == "error" and page.errors.append(line.text))
    yield page
    page.close()


def shown(page) -> tuple[int, int]:
    """Return the points and dimensions that the projector says it shows, once there are some."""
    texts = [page.get_by_text(re.compile(rf"{n}: [1-9]")).last for n in ("Points", "Dimension")]
    numbers = [re.search(r": ([\d,]+)", text.inner_text())[1].replace(",", "") for text in texts]
    return int(numbers[0]), int(numbers[1])


def choose_table(page, name: str) -> None:
    menu = page.locator("vz-projector-data-panel paper-dropdown-menu:not([id])").first
    menu.click()
    menu.locator("paper-item", has_text=name).click()


def chosen(page, menu: str) -> str:
    return page.locator(f"vz-projector-data-panel {menu} input").input_value()


def test_codebook_speakers_and_frames_load_without_the_net(page, run, tmp_path):
    corpus = open_corpus(make_folders(tmp_path / "speech", {"ann": 200.0, "bob": 110.0}))
    spans = ((0, 0.2, "AE"), (0.2, 9, "S"))
    lines = [f"{u.key}\t{start}\t{end}\t{phone}\n" for u in corpus for start, end, phone in spans]
    table = "utterance\tstart\tend\tphone\n" + "".join(lines)
    (corpus.folder / "phones.tsv").write_text(table)
    export_projector(run, tmp_path / "out", prepare(corpus, progress=False), frames=20)
    with open_projector(tmp_path / "out") as served:
        page.goto(served.url)
        assert shown(page) == (32, 8)
        page.get_by_text("front vowel").first.wait_for()
        assert chosen(page, "#colorby") == "phone kind"
        assert chosen(page, "#labelby") == "label"
        for name, size in {"speakers": (2, 4), "frames": (20, 8), "codebook": (32, 8)}.items():
            choose_table(page, name)
            page.get_by_text(f"Points: {size[0]}").first.wait_for()
            assert shown(page) == size
        assert page.errors == []
        assert all(url.startswith(served.url) for url in page.asked)
        assert len(page.asked) == 3 + 2 * 4  # the page, its script, the config; two files a table
        blocked = "fetch('https://example.org').then(() => 'reached', () => 'refused')"
        assert page.evaluate(blocked) == "refused"
        assert any("Content Security Policy" in error for error in page.errors)


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        (1, "Single column metadata should not have a header row"),
        (2, "Multi-column metadata should have a header row"),
    ],
)
def test_the_rules_about_headers_are_the_projectors_own(page, tmp_path, columns, complaint):
    rows = [[str(row)] * columns for row in range(3)]
    names = [f"column {number}" for number in range(columns)]
    write_tables(tmp_path, {"table": Table(np.eye(3), names, rows)})
    labels = tmp_path / "table_meta.tsv"
    whole = labels.read_text()
    with open_projector(tmp_path) as served:
        page.goto(served.url)
        assert shown(page) == (3, 3)
        page.wait_for_timeout(300)
        assert page.get_by_text(complaint).count() == 0
        labels.write_text(f"header\n{whole}" if columns == 1 else whole.partition("\n")[2])
        page.reload()
        page.get_by_text(complaint).first.wait_for()
