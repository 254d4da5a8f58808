"""Runs side by side in headless Chromium: on a page of their own, and in a JupyterLab.

Skipped where there is no Chromium, playwright or JupyterLab.
"""

import numpy as np
import pytest

from tests.accessible import violations
from tests.browsing import chromium, jupyterlab, loudest, new_page, none_failed, open_notebook
from vqwn_kit import compare_runs
from vqwn_kit.evaluation.metrics.listening_test import read_answers
from vqwn_kit.widgets.explorer import Explorer
from vqwn_kit.widgets.page import write_page

pytestmark = pytest.mark.browser

CELL = """\
import vqwn_kit as vq
runs = {{"one": {one!r}, "three": {three!r}}}
settings = dict(data={folder!r}, mode="greedy", progress=False)
compared = vq.compare_runs(runs, [{key!r}], **settings)
compared.blind("abx", {answers!r}, trials=1)
"""
SELECT = "compared.maps['one'].selected = {code}"


def find(explorer, code: int) -> None:
    """Search a map for a code, which selects it."""
    search = explorer.locator(".vq-search")
    search.fill(str(code))
    search.press("Enter")


def marked(explorer, words: str) -> str:
    """Wait until a map says these words about what is marked; return the line."""
    line = explorer.locator(".vq-status").filter(has_text=words)
    line.wait_for()
    return line.inner_text().splitlines()[-1]


def test_a_saved_page_plays_all_runs_and_marks_codes_of_the_same_frames(
    run, residual_run, store, tmp_path
):
    given = {"one": run, "three": residual_run}
    key = store.corpus.utterances[1].key
    compared = compare_runs(given, key, data=store, progress=False, mode="greedy")
    path = compared.save_html(tmp_path / "page.html")
    partner = compared.maps["one"].partners[0]
    to = np.frombuffer(partner["to"], np.int32).reshape(-1, partner["count"])
    code = int((to >= 0).sum(axis=1).argmax())
    every, covered = (np.frombuffer(partner[name], np.float32) for name in ("every", "covered"))
    chosen = np.flatnonzero(every)[:2].tolist()
    with chromium() as browser:
        page = new_page(browser)
        page.goto(path.as_uri())
        player, explorers = page.locator(".vq-player"), page.locator(".vq-explorer")
        player.focus()
        page.keyboard.press("2")
        page.keyboard.press("Space")
        assert player.locator(".vq-track[aria-pressed=true]").inner_text() == "2 one"
        assert loudest(page, 400) > 0.001
        first, second = (explorers.nth(n).bounding_box() for n in (0, 1))
        assert first["y"] == second["y"]
        assert first["x"] + first["width"] < second["x"]
        count, share = (to[code] >= 0).sum(), 100 * covered[code] / every[code]
        find(explorers.nth(1), 3)  # it stays selected when codes are marked beside it
        heads = explorers.locator(".vq-side h4")
        own = heads.nth(1).inner_text()
        find(explorers.nth(0), code)
        said = marked(explorers.nth(1), f"the frames of code {code} of one")
        assert said == (
            f"marked: {count} points, {share:.0f} % of the codes at the frames of code {code} of "
            "one (at most 8 per code, each at 3 % of its frames or more)"
        )
        assert heads.all_inner_texts() == [f"code {code}", own]
        assert "of three (at most 8" in marked(explorers.nth(0), "of three")
        explorers.nth(0).focus()
        page.keyboard.press("Escape")
        explorers.nth(1).get_by_text("marked:").wait_for(state="detached")
        assert heads.all_inner_texts() == ["Nothing selected", own]
        assert "of three (at most 8" in marked(explorers.nth(0), "of three")
        assert page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
        assert page.errors == []
        assert violations(page) == []
        compared.maps["one"].selected = -1
        compared.maps["one"].chosen = chosen  # in Python, before the page is shown
        page.goto(compared.save_html(path).as_uri())
        share = 100 * covered[chosen].sum() / every[chosen].sum()
        words = f"at least {share:.0f} % of the codes at the frames of 2 points of one"
        assert marked(explorers.nth(1), words)


@pytest.mark.parametrize("width", [700, 1280])
def test_maps_beside_each_other_have_room_for_their_points(rng, tmp_path, width):
    """In an HBox, as in a column: the map is never narrower than what is beside or below it."""
    names = [f"code {number}" for number in range(30)]
    first, second = (Explorer({"PCA": rng.normal(size=(30, 2))}, names) for _ in range(2))
    row = '<div style="display:flex;flex-direction:row;align-items:stretch">'
    path = write_page(tmp_path / "page.html", [first, row, first, second, "</div>"], "maps")
    with chromium() as browser:
        page = new_page(browser)
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(path.as_uri())
        page.locator(".vq-map canvas").nth(5).wait_for()
        maps, sides = page.locator(".vq-map"), page.locator(".vq-side")
        boxes = [(maps.nth(n).bounding_box(), sides.nth(n).bounding_box()) for n in range(3)]
        assert page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
    alone, *both = boxes
    assert alone[1]["x"] > alone[0]["x"] + alone[0]["width"]
    for points, side in both:
        assert min(points["width"], side["width"]) > (width - 200) / 2
        assert side["y"] > points["y"] + points["height"]


def test_a_notebook_shows_all_and_takes_a_blind_test(run, residual_run, store, tmp_path):
    nbformat = pytest.importorskip("nbformat")
    answers, key = tmp_path / "answers.csv", store.corpus.utterances[1].key
    folders = {"one": str(run.folder), "three": str(residual_run.folder)}
    source = CELL.format(**folders, folder=str(store.corpus.folder), key=key, answers=str(answers))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    code = int(np.bincount(run.model.encode(store.waveform(1))[0]).argmax())
    cells = [nbformat.v4.new_code_cell(text) for text in (source, SELECT.format(code=code))]
    metadata = {"kernelspec": kernel}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
    folder = tmp_path / "lab"
    folder.mkdir()
    nbformat.write(notebook, folder / "compare.ipynb")
    with jupyterlab(folder) as address, chromium() as browser:
        page = open_notebook(browser, address, "compare.ipynb")
        page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells'); }")
        sheet = page.locator(".vq-player .vq-blind")
        sheet.wait_for(timeout=300_000)
        none_failed(page)
        assert page.locator(".vq-track").all_inner_texts() == ["A", "B", "X"]
        explorers = page.locator(".vq-explorer")
        assert explorers.count() == 2
        assert f"the frames of code {code} of one" in marked(explorers.nth(1), f"code {code} of")
        sheet.locator(".vq-answer-A").click()
        sheet.get_by_text("Saved in").wait_for()
        assert page.errors == []
    (row,) = read_answers(answers)
    assert row["item"].startswith(f"{key} of comparison")
    assert row["answer"] == "A"
    assert {row["track"], row["other"]} == {"one", "three"}
