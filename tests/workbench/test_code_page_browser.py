"""A saved page of a code in headless Chromium: it opens from disk, plays, and leads to others.

Skipped where there is no Chromium or playwright.
"""

import numpy as np
import pytest

from tests.browsing import chromium, loudest, new_page
from vqwn_kit.workbench.code_page import CodePages
from vqwn_kit.workbench.examine import examine_codes

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def written(run, store, tmp_path_factory):
    """The pages of all codes of a run, and the token of one that has several tracks."""
    pages = CodePages(examine_codes(run, store, False, None), examples=3)
    paths = pages.save(tmp_path_factory.mktemp("codes"))
    return paths, int(pages.profiles.counts.argmax()), pages


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_opens_from_the_index_plays_and_leads_to_a_neighbour(written, scheme):
    paths, token, pages = written
    with chromium() as browser:
        page = new_page(browser, color_scheme=scheme)
        page.goto(paths[-1].as_uri())
        frames = page.locator("th button").nth(1)
        frames.click()
        first = page.locator("tbody tr a").first
        assert first.inner_text() == str(token)  # the most frequent one, after sorting
        first.click()
        root = page.locator(".vq-code")
        assert root.get_attribute("data-token") == str(token)
        player = root.locator(".vq-player")
        player.focus()
        page.keyboard.press("Space")
        assert loudest(page, 1200) > 0.01  # to the end of the excerpt
        page.keyboard.press("2")
        assert player.locator(".vq-track[aria-pressed=true]").inner_text().startswith("2 ")
        page.keyboard.press("Space")
        assert loudest(page, 600) > 0.01
        assert page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
        near = pages.profiles[token].neighbours[0].token
        root.locator(f".vq-panel:has-text('Neighbours') .vq-to >> text='{near}'").first.click()
        page.wait_for_url(f"**/{paths[near].name}")
        assert page.locator(".vq-code").get_attribute("data-token") == str(near)
        page.get_by_text("all codes").click()
        page.wait_for_url("**/index.html")
        assert page.errors == []


def test_the_marked_frames_are_drawn_at_their_place(written):
    paths, token, pages = written
    ((start, end),) = pages.page(token).player.own[0]["marks"]
    with chromium() as browser:
        page = new_page(browser)
        page.goto(paths[token].as_uri())
        page.wait_for_timeout(700)
        canvas = page.locator(".vq-player canvas").first
        row = canvas.evaluate(
            "(node) => { const g = node.getContext('2d'), at = 25 * (window.devicePixelRatio || 1);"
            "return [...g.getImageData(0, at, node.width, 1).data]; }"
        )
        colours = np.array(row).reshape(-1, 4)
        marked = np.flatnonzero((colours[:, 0] > 180) & (colours[:, 2] < 60) & (colours[:, 3] > 0))
        left = 58 + (len(colours) - 58) * start / pages.page(token).player.duration
        right = 58 + (len(colours) - 58) * end / pages.page(token).player.duration
        assert marked.min() == pytest.approx(left, abs=3)
        assert marked.max() == pytest.approx(right, abs=3)
