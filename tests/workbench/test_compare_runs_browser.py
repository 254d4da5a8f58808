"""Runs side by side in headless Chromium: on a page of their own, and in a JupyterLab.

Skipped where there is no Chromium, playwright or JupyterLab.
"""

import numpy as np
import pytest

from tests.accessible import violations
from tests.browsing import chromium, jupyterlab, loudest, new_page, none_failed, open_notebook
from vqwn_kit import compare_runs
from vqwn_kit.evaluation.metrics.listening_test import read_answers

pytestmark = pytest.mark.browser

CELL = """\
import vqwn_kit as vq
runs = {{"one": {one!r}, "three": {three!r}}}
settings = dict(data={folder!r}, mode="greedy", progress=False)
compared = vq.compare_runs(runs, [{key!r}], **settings)
compared.blind("abx", {answers!r}, trials=1)
"""


def lit_by_a_code(page, explorers, code: int) -> str:
    """Find a code in the first map; return what the second one says."""
    search = explorers.nth(0).locator(".vq-search")
    search.fill(str(code))
    search.press("Enter")
    status = explorers.nth(1).locator(".vq-status")
    page.wait_for_function(
        "(node) => node.innerText.startsWith('lit:')", arg=status.element_handle()
    )
    return status.inner_text()


def test_a_saved_page_plays_all_runs_and_lights_codes_of_the_same_frames(
    run, residual_run, store, tmp_path
):
    given = {"one": run, "three": residual_run}
    key = store.corpus.utterances[1].key
    compared = compare_runs(given, key, data=store, progress=False, mode="greedy")
    path = compared.save_html(tmp_path / "page.html")
    partner = compared.maps["one"].partners[0]
    to = np.frombuffer(partner["to"], np.int32).reshape(-1, partner["count"])
    code = int((to >= 0).sum(axis=1).argmax())
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
        count = (to[code] >= 0).sum()
        said = lit_by_a_code(page, explorers, code)
        assert said == f"lit: {count} points at the same frames as code {code} of one"
        explorers.nth(0).focus()
        page.keyboard.press("Escape")
        assert explorers.nth(1).locator(".vq-status").is_hidden()
        assert page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
        assert page.errors == []
        assert violations(page) == []


def test_a_notebook_shows_all_and_takes_a_blind_test(run, residual_run, store, tmp_path):
    nbformat = pytest.importorskip("nbformat")
    answers, key = tmp_path / "answers.csv", store.corpus.utterances[1].key
    folders = {"one": str(run.folder), "three": str(residual_run.folder)}
    source = CELL.format(**folders, folder=str(store.corpus.folder), key=key, answers=str(answers))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells, metadata = [nbformat.v4.new_code_cell(source)], {"kernelspec": kernel}
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
        code = int(np.bincount(run.model.encode(store.waveform(1))[0]).argmax())
        assert f"as code {code} of one" in lit_by_a_code(page, explorers, code)
        sheet.locator(".vq-answer-A").click()
        sheet.get_by_text("Saved in").wait_for()
        page.screenshot(path=tmp_path / "lab.png")
        assert page.errors == []
    (row,) = read_answers(answers)
    assert (row["item"], row["answer"]) == (key, "A")
    assert {row["track"], row["other"]} == {"one", "three"}
