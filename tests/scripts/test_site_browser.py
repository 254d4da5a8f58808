"""The site from disk in headless Chromium, without a network: its players and maps play."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from scripts.make_site import Site, pages
from scripts.site_parts import live
from tests.accessible import violations
from tests.browsing import chromium, loudest, new_page, seconds
from tests.conftest import ROOT

pytestmark = pytest.mark.browser
DOCS = ROOT / "docs"
SILENT = 0.01  # the greatest sample
MAPS = [page.path for page in pages() if page.section == "codebook"]
NOTEBOOKS_WITH_WIDGETS = (
    "00_start_here",
    "04_the_wavenet_decoder",
    "06_generation_and_listening",
    "07_codebook_and_speakers",
    "09_your_own_data_and_voice",
)
SIZES = ((1280, 900), (1920, 1080), (390, 844))  # laptop, desktop, phone


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium."""
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser):
    """A page without a network; at its end it must have no error, and have asked for files only."""
    page = new_page(browser, offline=True)
    requested = []
    page.on("request", lambda request: requested.append(request.url))
    yield page
    page.close()
    assert page.errors == []
    assert all(url.startswith(("file:", "data:")) for url in requested)


def visit(page, path: str) -> None:
    page.goto((DOCS / path).as_uri())


def test_the_start_page_plays_three_sounds(page):
    visit(page, "index.html")
    player = page.locator(".vq-player")
    for key in "123":
        player.focus()
        page.keyboard.press(key)
        page.keyboard.press("Home")
        page.locator(".vq-play").click()
        assert loudest(page, 1200) > SILENT
        page.locator(".vq-play").click()
    assert seconds(page) > 0.5


def loudest_point(path: str) -> int:
    """Return the point of a map that has the loudest sound of the first block of its sounds."""
    made = live.read_live(DOCS / "live" / f"{Path(path).stem}.js")
    samples = soundfile.read(io.BytesIO(base64.b64decode(made["mp3"][0])), dtype="float32")[0]
    peaks = {
        int(name.split()[0]): np.abs(samples[start : start + length]).max()
        for name, (block, start, length) in made["places"].items()
        if block == 0
    }
    return max(peaks, key=peaks.get)


@pytest.mark.parametrize("path", MAPS)
def test_a_click_on_a_code_plays_it(page, path):
    visit(page, path)
    point = loudest_point(path)
    canvas = page.locator(".vq-map canvas").nth(1)
    canvas.scroll_into_view_if_needed()
    places = "(node, n) => ({ x: node.positions[2 * n], y: node.positions[2 * n + 1] })"
    canvas.click(position=canvas.evaluate(places, point))
    assert loudest(page, 900) > SILENT
    assert page.locator(".vq-side h4").inner_text() == f"code {point}"


def test_every_code_of_a_map_has_each_of_its_sounds(page):
    """By number, from the first blocks and the last; a sound that is missing says why."""
    visit(page, "codebook.html")
    page.locator(".vq-explorer").wait_for()
    for code in ("0", "17", "511"):
        page.locator(".vq-search").fill(code)
        page.keyboard.press("Enter")
        for sound in ("1", "2"):
            page.keyboard.press(sound)
            assert (
                loudest(page, 700) > SILENT or "no sound" in page.locator(".vq-status").inner_text()
            )


@pytest.mark.parametrize(
    ("notebook", "widget"),
    [
        ("00_start_here", ".vq-player"),
        ("04_the_wavenet_decoder", ".vq-player"),
        ("06_generation_and_listening", ".vq-player"),
        ("09_your_own_data_and_voice", ".vq-lab .vq-player"),
    ],
)
def test_notebooks_play_the_widgets_of_shipped_runs(page, notebook, widget):
    visit(page, f"notebooks/{notebook}.html")
    page.locator(f"{widget} .vq-play").first.click()
    assert loudest(page, 1200) > SILENT


def test_the_sounds_of_a_notebook_play(page):
    visit(page, "notebooks/01_speech_mu_law_and_segments.html")
    played = page.evaluate(
        """async () => { const all = [...document.querySelectorAll('audio')];
        for (const audio of all) { audio.currentTime = 0; await audio.play(); audio.pause(); }
        return all.map((audio) => audio.duration); }"""
    )
    assert len(played) >= 3
    assert min(played) > 0.3


def test_no_page_is_wider_than_its_window(page):
    for path in [shown.path for shown in pages()]:
        visit(page, path)
        for width, height in SIZES:
            page.set_viewport_size({"width": width, "height": height})
            over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert over <= 0, (path, width)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_follow_the_theme_of_the_system(page, scheme):
    page.emulate_media(color_scheme=scheme)
    visit(page, "index.html")
    light = "rgb(255, 255, 255)"
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == light) == (scheme == "light")
    page.locator(".vq-player").wait_for()
    page.wait_for_timeout(500)
    dark = page.locator(".vq-player").evaluate("(node) => node.classList.contains('vq-dark')")
    assert dark == (scheme == "dark")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, made of its sources, with the sounds and pictures that are committed."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "notebooks").mkdir()
    (folder / "notebooks/files").symlink_to(DOCS / "notebooks/files")
    (folder / "live").symlink_to(DOCS / "live")
    Site(folder).write()
    return folder


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_with_widgets_have_no_violation_of_level_a_or_aa(page, site, scheme):
    page.emulate_media(color_scheme=scheme)
    shown = ["index.html", *MAPS, *(f"notebooks/{name}.html" for name in NOTEBOOKS_WITH_WIDGETS)]
    for path in shown:
        page.goto((site / path).as_uri())
        page.locator(".vq canvas").first.wait_for()
        page.wait_for_timeout(500)
        assert violations(page) == [], path
