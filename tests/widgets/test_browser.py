"""The widgets in a real JupyterLab in headless Chromium, and their pages from disk.

Skipped where there is no Chromium, playwright or JupyterLab.
"""

import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.browsing import (
    LAST,
    chromium,
    jupyterlab,
    level,
    loudest,
    new_page,
    none_failed,
    open_notebook,
    reload,
    seconds,
)
from tests.conftest import tones
from vqwn_kit.data import audio
from vqwn_kit.widgets.page import write_page
from vqwn_kit.widgets.player import Player

pytestmark = pytest.mark.browser

CELLS = [
    "import numpy as np, ipywidgets as W, vqwn_kit as vq\n"
    "from IPython.display import display\n"
    "sine = np.sin(2 * np.pi * 110 * np.arange(64_000) / 16_000)\n"
    "player = vq.Player({'loud': 0.5 * sine, 'quiet': 0.2 * sine}, title='tones',\n"
    "                   codes=np.arange(1000) % 50, hop_length=64, phones=[(0, 2, 'AE')])\n"
    "mirror = W.HTML()\n"
    "def show(_):\n"
    "    mirror.value = f'active={player.active} playing={player.playing} '\\\n"
    "                   f'position={player.position:.3f} loop={player.loop}'\n"
    "player.observe(show)\n"
    "display(player, mirror)",
    "def hear(n):\n"
    "    if n == 3:\n"
    "        raise vq.InputError('no such sound')\n"
    "    return 0.3 * sine[:8000]\n"
    "positions = np.array([[0, 0], [1, 0], [0, 1], [1, 1.0]])\n"
    "explorer = vq.Explorer({'PCA': positions, 'UMAP': positions[::-1]},\n"
    "                       [f'code {n}' for n in range(4)], hear=hear, title='four codes',\n"
    "                       open=lambda n: vq.Player({'it': 0.25 * sine}, title=f'page {n}'),\n"
    "                       opens='page of code')\n"
    "explorer",
    "abx = vq.Player({'loud': 0.5 * sine, 'quiet': 0.2 * sine}, title='item')\n"
    "abx.blind('abx', 'answers/listening.csv', listener='ann', trials=2, seed=0)",
    "monitor = vq.monitor(vq.example_corpus(), 'tiny', steps=200_000, save='run/weights',\n"
    "                     log_every=2, reconstruct_every=4, seconds=0.3, progress=False)\n"
    "monitor",
    "import time\n"
    "speech = vq.voice_lab('voices', vq.example_corpus())\n"
    "stream = speech.voice.stream\n"
    "def slowly(*arguments, **settings):  # so that it takes longer than a reload\n"
    "    for part in stream(*arguments, **settings):\n"
    "        yield part\n"
    "        time.sleep(1.0)\n"
    "speech.voice.stream = slowly",
    "speech.choose('kumo_036').save_html('speech.html')\nspeech",
    "explorer.save_html('map.html'), player.save_html('player.html')",
]


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def lab(tmp_path_factory, run) -> tuple[str, Path]:
    """A JupyterLab server of its own; its address and folder, in which there is a run."""
    nbformat = pytest.importorskip("nbformat")
    folder = tmp_path_factory.mktemp("lab")
    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(book, folder / "widgets.ipynb")
    shutil.copytree(run.folder, folder / "voices")
    with jupyterlab(folder) as address:
        yield address, folder


@pytest.fixture(scope="module")
def notebook(lab, browser):
    """The notebook, opened and run."""
    page = open_notebook(browser, lab[0], "widgets.ipynb")
    page.evaluate("() => jupyterapp.commands.execute('notebook:run-all-cells')")
    page.locator(".jp-OutputArea-output").get_by_text("player.html").wait_for()
    page.locator(".vq-explorer").wait_for()
    none_failed(page)
    yield page
    page.close()


def tones_player(page):
    return page.locator(".vq-player").first


def test_tracks_switch_at_the_same_sample_without_a_click(notebook):
    page, player = notebook, tones_player(notebook)
    player.focus()
    page.keyboard.press("Space")
    page.get_by_text("active=0 playing=True").wait_for()
    page.wait_for_timeout(400)
    assert level(page) == pytest.approx(0.5, abs=0.03)
    before = seconds(player)
    page.keyboard.press("2")
    after = seconds(player)
    assert before <= after < before + 1.0
    page.get_by_text("active=1 playing=True").wait_for()
    page.wait_for_timeout(250)
    assert level(page) == pytest.approx(0.2, abs=0.03)
    # a sine of 110 Hz changes by at most 0.022 per sample, a hard switch by up to 0.3
    jump = page.evaluate(
        f"() => {{ {LAST} const b = last(1.6); let most = 0, loud = 0;"
        "for (let i = 1; i < b.length; i++) { most = Math.max(most, Math.abs(b[i] - b[i - 1]));"
        "loud = Math.max(loud, Math.abs(b[i])); } return [most, loud]; }"
    )
    assert jump[1] > 0.4  # the switch is in this part
    assert jump[0] < 0.03
    page.keyboard.press("Space")
    page.get_by_text("playing=False").wait_for()
    page.wait_for_timeout(250)
    assert level(page) < 1e-3
    stopped = seconds(player)
    page.wait_for_timeout(200)
    assert seconds(player) == stopped > 0.4


def test_loops_by_mouse_and_keyboard_and_levels(notebook):
    page, player = notebook, tones_player(notebook)
    canvas = player.locator("canvas").last
    wide = canvas.bounding_box()["width"] - 58  # without the labels at the left
    quarter, half, most = ({"x": 58 + wide * share, "y": 60} for share in (0.25, 0.5, 0.75))
    canvas.drag_to(canvas, source_position=quarter, target_position=half, steps=4)
    page.get_by_text("position=1.0").wait_for()  # playing starts at the start of the loop
    page.keyboard.press("Space")
    page.wait_for_timeout(1300)
    assert 1.0 <= seconds(player) <= 2.02  # without the loop it would be beyond
    page.keyboard.press("Space")
    page.keyboard.press("Escape")
    page.get_by_text("loop=[]").wait_for()
    canvas.click(position=most)
    page.get_by_text("position=3.0").wait_for()
    page.keyboard.press("m")
    names = player.locator(".vq-track").all_inner_texts()
    assert all("dB" in name for name in names)
    page.keyboard.press("m")


def test_load_replaces_the_tracks_of_a_shown_player(notebook):
    page, player = notebook, tones_player(notebook)
    page.evaluate(
        """async () => { const { kernel } = jupyterapp.shell.currentWidget.sessionContext.session;
        const code = "player.load({'a': 0.1 * sine, 'b': 0.4 * sine, 'c': sine}, codes=[1, 2])";
        await kernel.requestExecute({ code }).done; }"""
    )
    player.get_by_text("3 c").wait_for()
    player.focus()
    page.keyboard.press("Home")
    page.keyboard.press("2")
    page.keyboard.press("Space")
    page.wait_for_timeout(350)
    assert level(page) == pytest.approx(0.4, abs=0.03)
    page.keyboard.press("Space")


def test_a_click_on_a_point_plays_its_sound(notebook):
    page, explorer = notebook, notebook.locator(".vq-explorer")
    canvas = explorer.locator("canvas[style]").nth(1)
    x, y = canvas.evaluate("(node) => [...node.positions.slice(2, 4)]")
    canvas.click(position={"x": x, "y": y})
    explorer.locator(".vq-side h4").get_by_text("code 1").wait_for()
    explorer.get_by_text("0.50 s").wait_for()
    page.wait_for_timeout(250)
    assert level(page) == pytest.approx(0.3, abs=0.03)
    page.keyboard.press("ArrowUp")
    explorer.locator(".vq-side h4").get_by_text("code 3").wait_for()
    page.keyboard.press("Enter")
    explorer.get_by_text("no sound. no such sound").wait_for()
    page.keyboard.press("/")
    page.keyboard.type("2")
    page.keyboard.press("Enter")
    explorer.locator(".vq-side h4").get_by_text("code 2").wait_for()
    page.keyboard.press("m")
    pressed = explorer.locator(".vq-map-name[aria-pressed=true]")
    assert pressed.inner_text() == "UMAP"


def test_a_page_opens_below_the_map_and_plays_and_points_are_chosen(notebook):
    page, explorer = notebook, notebook.locator(".vq-explorer")
    explorer.focus()
    page.keyboard.press("o")
    opened = explorer.locator(".vq-player")
    opened.get_by_text("page 2").wait_for()
    opened.locator(".vq-play").click()
    page.wait_for_timeout(400)
    assert level(page) == pytest.approx(0.25, abs=0.03)
    opened.locator(".vq-play").click()
    canvas = explorer.locator("canvas[style]").nth(1)
    box = canvas.bounding_box()
    page.keyboard.down("Shift")
    corner = {"x": 5, "y": 5}
    canvas.drag_to(
        canvas, source_position=corner, target_position={"x": box["width"] / 2, "y": 465}, steps=4
    )
    page.keyboard.up("Shift")
    explorer.get_by_text("Save 2 points as CSV").wait_for()
    with page.expect_download() as download:
        explorer.locator(".vq-csv").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert lines[0] == "point,name,PCA 1,PCA 2,UMAP 1,UMAP 2"
    assert len(lines) == 3


def test_blind_answers_are_saved(notebook, lab):
    page, file = notebook, lab[1] / "answers" / "listening.csv"
    sheet = notebook.locator(".vq-player:not(.vq-within > *)").nth(1)
    sheet.scroll_into_view_if_needed()
    assert sheet.locator(".vq-track").all_inner_texts() == ["A", "B", "X"]
    sheet.get_by_text("Trial 1 of 2").wait_for()
    sheet.focus()
    page.keyboard.press("3")
    assert sheet.locator(".vq-track[aria-pressed=true]").inner_text() == "X"
    page.keyboard.press("a")
    sheet.get_by_text("Trial 2 of 2").wait_for()
    assert "p =" not in sheet.inner_text()
    sheet.locator(".vq-answer-B").click()
    sheet.get_by_text("exact binomial").wait_for()
    with file.open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["answer"] for row in rows] == ["A", "B"]
    assert {row["item"] for row in rows} == {"item"}
    right = sum(int(row["correct"]) for row in rows)
    assert f"{right} of 2 right" in sheet.inner_text()
    sheet.locator(".vq-close").click()
    sheet.get_by_text("1 loud").wait_for()


def test_a_reload_keeps_the_state(notebook):
    page, player = notebook, tones_player(notebook)
    player.focus()
    page.keyboard.press("2")
    page.keyboard.press("Home")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.get_by_text("position=0.300").wait_for()
    reload(page)
    player.wait_for()
    assert player.locator(".vq-track").nth(1).get_attribute("aria-pressed") == "true"
    assert seconds(player) == pytest.approx(0.3, abs=1e-3)
    explorer = page.locator(".vq-explorer")
    explorer.locator(".vq-side h4").get_by_text("code 2").wait_for()
    assert explorer.locator(".vq-map-name[aria-pressed=true]").inner_text() == "UMAP"


def test_a_training_is_started_paused_and_stopped_and_survives_a_reload(notebook, lab):
    page, monitor = notebook, notebook.locator(".vq-monitor")
    steps, state = monitor.locator(".vq-steps"), "[data-state={}].vq-monitor"
    monitor.scroll_into_view_if_needed()
    assert monitor.locator(".vq-stop").is_disabled()
    monitor.locator(".vq-start").click()
    page.locator(state.format("running")).wait_for()
    monitor.get_by_text("step 4").first.wait_for()  # a reconstruction is in the player
    kernel = "jupyterapp.shell.currentWidget.sessionContext.session.kernel"
    page.wait_for_function(f"() => {kernel}.status === 'idle'")  # free meanwhile
    page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    before = int(steps.get_attribute("data-step"))
    page.reload()
    page.wait_for_function("() => window.jupyterapp?.restored")
    page.locator(state.format("running")).wait_for()
    steps.locator(f"xpath=self::*[@data-step > {before + 2}]").wait_for()
    monitor.locator(".vq-pause").click()
    page.locator(state.format("paused")).wait_for()
    done = int(steps.get_attribute("data-step"))
    assert (lab[1] / "run" / f"weights-{done}.weights.h5").is_file()
    monitor.focus()
    page.keyboard.press("s")
    page.locator(state.format("running")).wait_for()
    monitor.locator(".vq-stop").click()
    page.locator(state.format("stopped")).wait_for()
    done = int(steps.get_attribute("data-step"))
    assert (lab[1] / "run" / f"weights-{done}.state.npz").is_file()
    assert monitor.locator(".vq-start").is_enabled()


def speech_lab(page):
    lab = page.locator(".vq-lab")
    lab.scroll_into_view_if_needed()
    lab.focus()
    return lab


def seconds_of_source(lab) -> float:
    return float(re.search(r"([\d.]+) s ", lab.locator(".vq-source").inner_text())[1])


def test_recordings_of_the_microphone_and_files_of_many_kinds_are_loaded(notebook, tmp_path):
    page, lab = notebook, speech_lab(notebook)
    page.keyboard.press("r")
    lab.locator(".vq-record[aria-pressed=true]").wait_for()
    page.wait_for_timeout(2300)
    page.keyboard.press("r")
    lab.get_by_text("recording").wait_for()
    assert 0.9 < seconds_of_source(lab) < 10  # Chromium's fake microphone beeps twice per second
    assert lab.locator(".vq-track").all_inner_texts() == ["1 original"]
    sound = np.stack([tones(0.8, 200.0)] * 2, axis=1)
    for name, rate in (("a.wav", 44_100), ("b.flac", 48_000), ("c.ogg", 16_000), ("d.mp3", 22_050)):
        soundfile.write(tmp_path / name, audio.resample(sound, 16_000, rate), rate)
        lab.locator("input[type=file]").set_input_files(tmp_path / name)
        lab.get_by_text(name).wait_for()
        assert seconds_of_source(lab) == pytest.approx(0.8, abs=0.12), name
    lab.focus()
    page.keyboard.press("Space")  # has no effect: the player is not focused
    lab.locator(".vq-play").click()
    page.wait_for_timeout(350)
    assert level(page) > 0.2
    lab.locator(".vq-play").click()
    (tmp_path / "e.wav").write_bytes(b"no sound at all")
    lab.locator("input[type=file]").set_input_files(tmp_path / "e.wav")
    lab.get_by_text("e.wav: this browser cannot decode it").wait_for()
    assert "d.mp3" in lab.locator(".vq-source").inner_text()


def test_codes_are_edited_by_mouse_and_keyboard(notebook):
    page, lab = notebook, speech_lab(notebook)
    place = lab.locator(".vq-place")
    lab.locator(".vq-utterance").select_option("kumo_036")
    lab.get_by_text("kumo_036  ·  kumo").wait_for()
    count = int(re.search(r"(\d+) codes", lab.locator(".vq-source").inner_text())[1])
    codes = lab.locator(".vq-strip canvas").last
    first, sixth = {"x": 60, "y": 12}, {"x": 200, "y": 12}
    codes.drag_to(codes, source_position=first, target_position=sixth, steps=4)
    place.get_by_text("selected: 5 codes, 0.00").wait_for()
    for key in ("d", "Control+c", "End", "Control+v", ".", "Control+z"):  # without waiting
        page.keyboard.press(key)
    place.get_by_text(f"edited: {count + 15} codes").wait_for()
    lab.locator(".vq-undo").click()
    place.get_by_text(f"edited: {count + 5} codes").wait_for()
    lab.locator(".vq-reset").click()
    lab.focus()
    page.keyboard.press("Control+a")
    for length in (2, 4, 8):  # long enough for a reload while it is generated
        page.keyboard.press(".")
        place.get_by_text(f"edited: {length * count} codes").wait_for()


def test_sound_plays_while_it_is_generated_and_a_reload_loses_nothing(notebook):
    page, lab = notebook, speech_lab(notebook)
    lab.locator(".vq-voice").get_by_text("no speaker").click()
    lab.locator(".vq-seed").fill("7")
    lab.locator(".vq-mixed").click()
    page.locator("[data-state=ready].vq-lab").wait_for()
    lab.focus()
    page.keyboard.press("g")
    lab.locator(".vq-listen").first.wait_for()
    names = lab.locator(".vq-listen").all_inner_texts()
    voices = ("as ann", "as bob", "no speaker", "50 % ann, 50 % bob")
    assert names == [f"▶ {voice}, seed 7, edit 1" for voice in voices]
    lab.locator(".vq-listen").nth(1).click()
    assert loudest(page, 3000) > 0.01
    assert lab.get_attribute("data-state") == "generating"
    kernel = "jupyterapp.shell.currentWidget.sessionContext.session.kernel"
    page.wait_for_function(f"() => {kernel}.status === 'idle'")  # free meanwhile
    reload(page)
    lab.locator(".vq-listen").nth(3).wait_for()  # the sound so far was sent again
    lab.focus()
    page.keyboard.press("x")
    lab.get_by_text("Stopped after").wait_for()
    tracks = lab.locator(".vq-track").all_inner_texts()
    assert tracks[:2] == ["1 original", "2 as ann, seed 7, edit 1"]
    assert len(tracks) == 5
    assert lab.locator(".vq-seed").input_value() == "7"
    assert lab.locator(".vq-voice[aria-pressed=true]").count() == 3
    lab.locator(".vq-player").focus()
    page.keyboard.press("2")
    page.keyboard.press("Space")
    assert loudest(page, 2000) > 0.01  # the take may be short, and begin late on a busy machine


def test_no_errors_and_no_key_reached_jupyterlab(notebook):
    assert notebook.errors == []
    kinds = "() => jupyterapp.shell.currentWidget.content.widgets.map((cell) => cell.model.type)"
    assert notebook.evaluate(kinds) == ["code"] * len(CELLS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_saved_pages_play_from_disk_without_a_network(notebook, lab, browser, scheme):
    page = new_page(browser, color_scheme=scheme)
    requested = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto((lab[1] / "player.html").as_uri())
    page.locator(".vq-play").click()
    page.wait_for_timeout(500)
    assert level(page) == pytest.approx(0.5, abs=0.03)
    assert seconds(page) > 0.2
    dark = "(node) => node.classList.contains('vq-dark')"
    page.wait_for_timeout(500)
    assert page.locator(".vq").evaluate(dark) == (scheme == "dark")
    page.goto((lab[1] / "map.html").as_uri())
    page.locator(".vq-search").fill("1")
    page.keyboard.press("Enter")
    page.wait_for_timeout(250)
    assert level(page) == pytest.approx(0.3, abs=0.03)
    page.locator(".vq-search").fill("3")
    page.keyboard.press("Enter")
    page.get_by_text("does not contain the sound of code 3").wait_for()
    page.goto((lab[1] / "speech.html").as_uri())
    page.locator(".vq-play").click()
    page.wait_for_timeout(1000)
    assert level(page) > 0.01
    assert page.locator(".vq-strip canvas").first.is_visible()
    assert page.locator(".vq-form, .vq-strip button").count() == 0  # without a model
    overflow = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0
    assert page.errors == []
    assert all(url.startswith("file:") for url in requested)
    page.close()


KEEP = """<script>
const models = [], keep = (make) => (text) => (models.push(make(text)), models[models.length - 1]);
</script>"""
COLOURS = """(node) => {
  const { data } = node.getContext("2d").getImageData(70, 120, 200, 100);
  return new Set(new Uint32Array(data.buffer)).size;
}"""


@pytest.mark.parametrize("order", [["pcm", "spectrograms"], ["spectrograms", "pcm"]])
def test_traits_that_come_one_by_one_are_shown_together(browser, tmp_path, order):
    """As marimo sets them, in any order: a track without its spectrogram cannot be drawn."""
    players = [Player(dict.fromkeys(names, tones(0.5, 150.0))) for names in (["a"], ["a", "b"])]
    file = write_page(tmp_path / "players.html", [KEEP, *players], "players")
    text = file.read_text("utf-8").replace("model: pageModel(", "model: keep(pageModel)(")
    file.write_text(text, "utf-8")
    page = new_page(browser)
    page.goto(file.as_uri())
    copy = "(names) => names.forEach((name) => models[0].set(name, models[1].get(name)))"
    page.evaluate(copy, [*order, "names", "gains_db", "own"])
    player = page.locator(".vq-player").first
    player.locator(".vq-track").nth(1).click()
    assert player.locator("canvas").first.evaluate(COLOURS) > 20
    assert page.errors == []
    page.close()
