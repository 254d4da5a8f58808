"""Widgets whose kernel is restarted or dies, in a real JupyterLab in headless Chromium."""

import pytest

from tests.browsing import chromium, jupyterlab, level, open_notebook

pytestmark = pytest.mark.browser

CELLS = [
    "import time, numpy as np, vqwn_kit as vq\n"
    "from tests.widgets.test_lab import CodeVoice\n"
    "from vqwn_kit.widgets.lab import VoiceLab\n"
    "from vqwn_kit.widgets.monitor import TrainingMonitor\n"
    "sine = np.sin(2 * np.pi * 110 * np.arange(32_000) / 16_000)\n"
    "def player(title):\n"
    "    return vq.Player({'loud': 0.5 * sine, 'quiet': 0.2 * sine}, title=title)\n"
    "player('tones')",
    "player('item').blind('rating', 'answers.csv')",
    "explorer = vq.Explorer({'PCA': np.array([[0, 0], [1, 0.0]])}, ['one', 'two'],\n"
    "                       hear={'tone': lambda n: 0.3 * sine})\n"
    "explorer",
    "def train(monitor):\n"
    "    monitor.begin(None, [])\n"
    "    for step in range(10**6):\n"
    "        monitor.update(step, 10**6, step / 10, step)\n"
    "        if not monitor.should_continue(lambda: None):\n"
    "            return\n"
    "        time.sleep(0.05)\n"
    "monitor = TrainingMonitor(train).start()\n"
    "monitor",
    "voice = CodeVoice()\nlab = VoiceLab(voice).choose('ann_1')\nlab.generate().wait()\nlab",
    "print('all shown')",
]
CAUSES = {
    "restart": "() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()",
    "death": """() => { jupyterapp.shell.currentWidget.sessionContext.session.kernel
      .requestExecute({ code: "import os; os._exit(1)" }); }""",
}
CONTROLS = "button, select, input:not([type=file])"


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A function that opens a notebook of widgets in JupyterLab, which is not run yet."""
    nbformat = pytest.importorskip("nbformat")
    folder = tmp_path_factory.mktemp("lost")
    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    for name in CAUSES:
        nbformat.write(book, folder / f"{name}.ipynb")
    with chromium() as browser, jupyterlab(folder) as address:
        yield lambda name: open_notebook(browser, address, f"{name}.ipynb")


def enabled(root) -> list[str]:
    """Return the texts of the controls that are not disabled."""
    controls = root.locator(CONTROLS)
    return controls.evaluate_all(
        "(nodes) => nodes.filter((node) => !node.disabled && node.checkVisibility())"
        ".map((node) => node.textContent.trim())"
    )


@pytest.mark.parametrize("cause", CAUSES)
def test_widgets_say_that_their_kernel_is_gone_and_are_disabled(opened, cause):
    page = opened(cause)
    page.set_default_timeout(40_000)
    page.evaluate("() => jupyterapp.commands.execute('notebook:run-all-cells')")
    page.locator(".jp-OutputArea-output").get_by_text("all shown").wait_for()
    monitor, lab, explorer = (page.locator(f".vq-{n}") for n in ("monitor", "lab", "explorer"))
    page.locator("[data-state=running].vq-monitor").wait_for()
    lab.locator(".vq-track").nth(2).wait_for()
    assert page.get_by_text("kernel of this widget is gone").count() == 0
    explorer.locator(".vq-stack").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")  # its sound is in the page then
    explorer.get_by_text("2.00 s").wait_for()
    page.keyboard.press("Escape")

    page.evaluate(CAUSES[cause])
    if cause == "death":  # JupyterLab restarts it by itself, and says so
        page.locator(".jp-Dialog").get_by_role("button", name="Ok").click()
    outer = page.locator(".vq:not(.vq .vq)")
    for widget in outer.all():
        widget.locator(".vq-gone", has_text="run its cell again").wait_for(timeout=30_000)
    assert page.locator(".vq-gone").count() == outer.count() == 5

    assert enabled(monitor) == []
    assert monitor.get_by_text("The training ended with its kernel").is_visible()
    in_lab, of_player = enabled(lab), enabled(lab.locator(".vq-player"))
    assert in_lab == of_player != []
    disabled = lab.locator(".vq-form :is(button, select, input):disabled")
    reasons = disabled.evaluate_all("(nodes) => nodes.map((node) => node.title)")
    assert reasons
    assert all("kernel" in reason for reason in reasons)
    assert enabled(page.locator(".vq-blind:visible")) == []
    lab.focus()
    page.keyboard.press("g")
    page.keyboard.press("d")

    explorer.locator(".vq-stack").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    explorer.get_by_text("2.00 s").wait_for()
    page.wait_for_timeout(300)
    assert level(page) == pytest.approx(0.3, abs=0.03)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    tones = page.locator(".vq-player").first
    tones.focus()
    page.keyboard.press("2")
    page.keyboard.press("Space")
    page.wait_for_timeout(300)
    assert level(page) == pytest.approx(0.2, abs=0.03)
    page.keyboard.press("Space")
    assert page.errors == []
