"""Notebooks as a reader runs them: in a real JupyterLab in headless Chromium, with keys and mouse.

Skipped where there is no Chromium, playwright or JupyterLab.
"""

import contextlib
import json
import shutil

import pytest

from tests.browsing import (
    chromium,
    jupyterlab,
    level,
    loudest,
    none_failed,
    open_notebook,
    reload,
    seconds,
)
from tests.conftest import ROOT

pytestmark = pytest.mark.browser

RUN_ALL = """() => {
  jupyterapp.commands.execute("notebook:run-all-cells").then(() => { window.ran = true; });
}"""
PATIENCE = 300_000  # ms that a notebook may take


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab with a copy of the notebooks and an endless training."""
    folder = tmp_path_factory.mktemp("notebooks")
    for path in (ROOT / "notebooks").glob("0[067]_*.ipynb"):
        shutil.copy(path, folder / f"{path.name[:2]}.ipynb")
    preset = json.loads((ROOT / "vqwn_kit/presets/tiny.json").read_text())
    preset["training"] |= {"steps": 200_000, "log_every": 5, "validate_every": 50}
    (folder / "endless.json").write_text(json.dumps(preset))
    environment = {
        "VQWN_PRESET": str(folder / "endless.json"),
        "VQWN_RESULTS": str(folder / "results"),
    }
    with jupyterlab(folder, **environment) as address:
        yield address


@contextlib.contextmanager
def running(browser, lab: str, name: str):
    """Open a notebook and start all its cells; at the end, its page must have no errors."""
    page = open_notebook(browser, lab, f"{name}.ipynb")
    page.set_default_timeout(PATIENCE)
    page.evaluate(RUN_ALL)
    yield page
    assert page.errors == []
    page.close()


def finish(page) -> None:
    """Wait until all cells are done, and none failed."""
    page.wait_for_function("() => window.ran", timeout=PATIENCE)
    none_failed(page)


SWITCH = """async (root) => {
  const at = () => Number(root.querySelector(".vq-time").dataset.seconds);
  const clock = window.taps[0].context, [before, then] = [at(), clock.currentTime];
  root.dispatchEvent(new KeyboardEvent("keydown", { key: "2", code: "Digit2", bubbles: true }));
  await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
  return [at() - before, clock.currentTime - then];
}"""


def plays_and_switches(page, player) -> None:
    """Play a player in a loop, and switch to its second track, by keys."""
    player.scroll_into_view_if_needed()
    player.focus()
    page.keyboard.press("End")
    total = seconds(player)
    for key in ("Home", "[", "1", "Space"):
        page.keyboard.press(key)
    assert loudest(page, 800) > 0.02
    moved, passed = player.evaluate(SWITCH)
    assert moved % total <= passed + 0.2
    assert player.locator(".vq-track").nth(1).get_attribute("aria-pressed") == "true"
    assert loudest(page, 800) > 0.02
    for key in ("Space", "Escape"):
        page.keyboard.press(key)
    page.wait_for_timeout(500)
    assert level(page) < 1e-3


def clicked(explorer) -> str:
    """Click on the first code of an explorer's map; return the name of the selected code.

    Outputs above the map may still grow and move it under the pointer, as they may for a reader,
    who clicks again.
    """
    canvas = explorer.locator("canvas[style]").nth(1)
    name = explorer.locator(".vq-side h4", has_text="code")
    for tried in range(400):
        if name.count():
            break
        if tried % 40 == 0:
            x, y = canvas.evaluate("(node) => [...node.positions.slice(0, 2)]")
            canvas.click(position={"x": x, "y": y})
        explorer.page.wait_for_timeout(50)
    return name.inner_text()


def test_start_here_plays_and_its_training_stops_and_survives_a_reload(browser, lab):
    with running(browser, lab, "00") as page:
        plays_and_switches(page, page.locator(".vq-player").first)
        monitor = page.locator(".vq-monitor").first  # a later cell shows it again
        monitor.locator(".vq-steps").get_by_text("200,000").wait_for()
        state = "[data-state={}].vq-monitor"
        page.locator(state.format("running")).first.wait_for()
        monitor.get_by_text("bits").first.wait_for()
        monitor.locator(".vq-pause").click()  # while the next cell waits for it
        page.locator(state.format("paused")).first.wait_for()
        page.wait_for_timeout(2000)
        after = page.locator(".jp-OutputArea-output", has_text="kept in results/")
        assert after.count() == 0  # a pause does not end wait()
        monitor.locator(".vq-start").click()
        page.locator(state.format("running")).first.wait_for()
        monitor.locator(".vq-stop").click()
        page.locator(state.format("stopped")).first.wait_for()
        monitor.get_by_text("Stopped: you stopped it at step").wait_for()
        steps = monitor.locator(".vq-steps").inner_text()
        finish(page)
        code = clicked(page.locator(".vq-explorer"))
        reload(page)
        page.locator(state.format("stopped")).first.wait_for()
        monitor.locator(".vq-steps").get_by_text(steps, exact=True).wait_for()
        page.locator(".vq-explorer .vq-side h4").get_by_text(code, exact=True).wait_for()


def test_generation_and_listening_runs_and_its_player_survives_a_reload(browser, lab):
    with running(browser, lab, "06") as page:
        finish(page)
        player = page.locator(".vq-player").first
        plays_and_switches(page, player)
        where = seconds(player)
        reload(page)
        player.wait_for()
        assert player.locator(".vq-track").nth(1).get_attribute("aria-pressed") == "true"
        assert seconds(player) == pytest.approx(where, abs=1e-2)


def test_a_click_on_a_code_of_the_shipped_run_plays_it(browser, lab):
    with running(browser, lab, "07") as page:
        finish(page)
        explorer = page.locator(".vq-explorer").first
        code = clicked(explorer)
        assert loudest(page, 5000) > 0.02
        reload(page)
        explorer.locator(".vq-side h4").get_by_text(code, exact=True).wait_for()
