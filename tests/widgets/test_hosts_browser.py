"""The widgets in Notebook 7 and in `marimo run`, in headless Chromium; Lab has its own tests."""

import textwrap

import pytest

from tests.browsing import (
    IDLE,
    chromium,
    jupyter_notebook,
    level,
    loudest,
    marimo_run,
    new_page,
    none_failed,
)

pytestmark = pytest.mark.browser

CELLS = [
    "import numpy as np, vqwn_kit as vq\n"
    "from tests.widgets.test_lab import CodeVoice\n"
    "from vqwn_kit.widgets.code_page import CodeFacts, CodePage, Panel, Row\n"
    "from vqwn_kit.widgets.lab import VoiceLab\n"
    "sine = np.sin(2 * np.pi * 110 * np.arange(64_000) / 16_000)",
    "vq.Player({'loud': 0.5 * sine, 'quiet': 0.2 * sine}, title='tones')",
    "def facts(code):\n"
    "    rows = [Row(str(1 - code), 1.0, ('100 %',), 1 - code)]\n"
    "    tracks = {'a': (0.4 - 0.3 * code) * sine}\n"
    "    strips = {'codes': {'a': [1]}, 'phones': {'a': []}, 'marks': {'a': []}}\n"
    "    panels = [Panel('Neighbours', rows)]\n"
    "    return CodeFacts(code, str(code), [('frames', '9', '')], panels, tracks, strips)\n"
    "vq.Explorer({'PCA': np.array([[0, 0], [1, 0.0]])}, ['code 0', 'code 1'],\n"
    "            hear={'tone': lambda n: 0.3 * sine}, opens='page of code',\n"
    "            open=lambda n: CodePage(facts, n, hop_length=64))",
    "class Voice(CodeVoice):  # a second of sound per code\n"
    "    sample_rate = hop_length = 16_000\n"
    "    def fetch(self, key):\n"
    "        return 0.4 * sine, 'ann'\n"
    "    def encode(self, waveform):\n"
    "        return np.arange(8, 8 + -(-len(waveform) // 16_000))\n"
    "    def stream(self, source, voices, **settings):\n"
    "        for code in source:\n"
    "            yield np.tile(code / 16 * sine[:16_000], (len(voices), 1)).astype('float32')\n"
    "VoiceLab(Voice())",
    "monitor = vq.monitor(vq.example_corpus(), 'tiny', steps=200_000, save='run/weights',\n"
    "                     log_every=2, reconstruct_every=4, seconds=0.3, progress=False)\n"
    "monitor",
]


def open_jupyter_notebook(browser, folder):
    """Yield a page of Notebook 7 in which all cells are run."""
    nbformat = pytest.importorskip("nbformat")
    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(book, folder / "widgets.ipynb")
    with jupyter_notebook(folder) as address:
        page = new_page(browser)
        page.goto(f"{address}/notebooks/widgets.ipynb")
        page.wait_for_function("() => window.jupyterapp?.restored")
        page.wait_for_function(IDLE)
        page.evaluate("() => jupyterapp.commands.execute('notebook:run-all-cells')")
        page.locator(".vq-lab").wait_for()
        none_failed(page)
        yield page


def open_marimo(browser, folder, cells=CELLS, **settings):
    """Yield a page of a marimo notebook that runs as an app."""
    cells = [f"@app.cell\ndef _():\n{textwrap.indent(cell, '    ')}\n\n\n" for cell in cells]
    file = folder / "widgets.py"
    file.write_text("".join(["import marimo\n\napp = marimo.App()\n\n\n", *cells]))
    with marimo_run(file) as address:
        page = new_page(browser, **settings)
        page.goto(address)
        yield page


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module", params=[open_jupyter_notebook, open_marimo])
def page(request, browser, tmp_path_factory):
    """A page of a host that shows a player, an explorer, a voice lab and a monitor."""
    for page in request.param(browser, tmp_path_factory.mktemp("host")):
        page.set_default_timeout(25_000)
        yield page


def test_tracks_play_and_switch(page):
    player = page.locator(".vq-player", has_text="tones")
    player.locator(".vq-play").click()
    page.wait_for_timeout(400)
    assert level(page) == pytest.approx(0.5, abs=0.03)
    page.keyboard.press("2")
    page.wait_for_timeout(300)
    assert level(page) == pytest.approx(0.2, abs=0.03)
    page.keyboard.press("Space")
    page.wait_for_timeout(300)
    assert level(page) < 1e-3


def test_a_click_on_a_code_plays_it_and_python_opens_its_page(page):
    explorer = page.locator(".vq-explorer")
    canvas = explorer.locator("canvas[style]").nth(1)
    x, y = canvas.evaluate("(node) => [...node.positions.slice(2, 4)]")
    canvas.click(position={"x": x, "y": y})
    explorer.get_by_text("4.00 s").wait_for()  # Python made the sound
    page.wait_for_timeout(300)
    assert level(page) == pytest.approx(0.3, abs=0.03)
    page.keyboard.press("o")
    opened = explorer.locator(".vq-code")
    for code, loud in ((1, 0.1), (0, 0.4)):
        opened.locator(".vq-title", has_text=f"code {code}").wait_for()
        opened.locator(".vq-play").click()
        page.wait_for_timeout(400)
        assert level(page) == pytest.approx(loud, abs=0.03)
        opened.locator(".vq-to").click()
    opened.locator(".vq-title", has_text="code 1").wait_for()


def test_the_lab_edits_generates_and_records(page):
    lab = page.locator(".vq-lab")
    lab.locator(".vq-utterance").select_option("bob_1")
    lab.get_by_text("4 codes").wait_for()
    lab.locator(".vq-voice").get_by_text("bob").click()
    lab.focus()
    page.keyboard.press("d")  # repeats the first code, in Python
    lab.get_by_text("edited: 5 codes").wait_for()
    page.keyboard.press("g")
    lab.locator(".vq-state", has_text="Generated").wait_for()
    assert lab.locator(".vq-track").all_inner_texts() == [
        "1 original",
        "2 reconstruction (ann), edit 1",
    ]
    lab.locator(".vq-play").click()
    assert loudest(page, 600) == pytest.approx(0.5, abs=0.03)
    lab.locator(".vq-play").click()
    lab.locator(".vq-record").click()
    lab.locator(".vq-replace").click()
    lab.locator(".vq-record[aria-pressed=true]").wait_for()
    page.wait_for_timeout(1500)
    lab.locator(".vq-record").click()
    lab.get_by_text("recording  ·").wait_for()
    assert lab.locator(".vq-track").all_inner_texts() == ["1 original"]
    assert [error for error in page.errors if "/static/notebook/" not in error] == []


def test_a_training_is_started_and_stopped(page):
    monitor, state = page.locator(".vq-monitor"), "[data-state={}].vq-monitor"
    monitor.locator(".vq-start").click()
    page.locator(state.format("running")).wait_for(timeout=120_000)  # TensorFlow is imported
    monitor.get_by_text("step 4").first.wait_for(timeout=120_000)
    monitor.locator(".vq-player .vq-play").click()
    assert loudest(page, 800) > 0.01  # a reconstruction
    monitor.locator(".vq-stop").click()
    page.locator(state.format("stopped")).wait_for(timeout=120_000)
    assert int(monitor.locator(".vq-steps").get_attribute("data-step")) >= 4
    assert [error for error in page.errors if "/static/notebook/" not in error] == []


@pytest.mark.parametrize(("theme", "system"), [("light", "dark"), ("dark", "light")])
def test_marimos_theme_counts_more_than_the_systems(theme, system, browser, tmp_path):
    (tmp_path / "pyproject.toml").write_text(f'[tool.marimo.display]\ntheme = "{theme}"\n')
    for page in open_marimo(browser, tmp_path, CELLS[:2], color_scheme=system):
        player = page.locator(".vq-player")
        player.wait_for()
        dark = player.evaluate("(node) => node.classList.contains('vq-dark')")
        assert dark == (theme == "dark")
