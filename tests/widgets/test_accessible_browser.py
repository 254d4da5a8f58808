"""Widgets by keyboard and screen reader: axe-core, focus order, and reasons of grey buttons."""

import re

import numpy as np
import pytest

from tests.accessible import violations
from tests.browsing import chromium, new_page
from tests.conftest import tones
from tests.widgets.test_code_page import facts, find
from tests.widgets.test_lab import CodeVoice
from vqwn_kit.widgets.code_page import CodePage
from vqwn_kit.widgets.explorer import Explorer
from vqwn_kit.widgets.lab import VoiceLab
from vqwn_kit.widgets.monitor import TrainingMonitor
from vqwn_kit.widgets.page import write_page
from vqwn_kit.widgets.player import Player
from vqwn_kit.widgets.points import Colour, nearest

pytestmark = pytest.mark.browser
# Number what is reached by Tab in the order of the page; return how many there are.
NUMBERED = """() => {
  const reachable = "button:enabled, select:enabled, input:enabled, [tabindex='0']";
  const shown = [...document.querySelectorAll(reachable)].filter((node) => node.checkVisibility());
  shown.forEach((node, n) => { node.dataset.order = n + 1; });
  return shown.length; }"""
ENABLED = """() => document.querySelectorAll("button, select, input").forEach(
  (node) => { node.disabled = false; })"""
SCHEMES = ("light", "dark")


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium."""
    with chromium() as started:
        yield started


def player() -> Player:
    tracks = {"loud": tones(1.0, 220.0), "quiet": 0.2 * tones(1.0, 220.0)}
    phones = [(0, 0.4, "AE"), (0.4, 1, "S")]
    return Player(tracks, codes=np.arange(100) % 7, hop_length=160, phones=phones, title="tones")


def rating() -> Player:
    return player().blind("rating", "answers.csv")


def explorer() -> Explorer:
    points = np.random.default_rng(0).normal(size=(30, 2))
    return Explorer(
        {"PCA": points, "UMAP": -points},
        [f"code {n}" for n in range(30)],
        colours=[Colour("phone", ["AE", "S", ""] * 10), Colour("share", np.arange(30.0), "%")],
        facts={"phones": ["AE 41 %"] * 30},
        links=[nearest(points, 3)],
        hear={"speech": lambda n: tones(0.1, 200.0)},
        crosses=np.arange(30) == 4,
        selected=3,
        title="codes",
    )


def monitor() -> TrainingMonitor:
    records = [{"step": n, "seconds": n, "bits": 8 - n / 100} for n in range(1, 50)]
    shown = TrainingMonitor(lambda _: None, step=50, steps=100, records=records, player=player())
    shown.show_diagnosis([("The loss rises.", "learning_rate=1e-4")])
    return shown


def lab() -> VoiceLab:
    shown = VoiceLab(CodeVoice(), title="lab").choose("ann_1")
    shown.generate().wait()
    return shown


def code_page() -> CodePage:
    return CodePage(facts, 0, find=find, hop_length=64, title="mini").show_code(1)


WIDGETS = {make.__name__: make for make in (player, rating, explorer, monitor, lab, code_page)}


def opened(browser, widget, path, **settings):
    """Return a page that shows a widget with all its controls, as beside a kernel."""
    state = widget._page_state() | {"page": False}
    if isinstance(widget, Player):
        state["blind_state"] = widget.blind_state
    if isinstance(widget, CodePage):
        state |= {"about": widget.about, "history": widget.history}
    widget.__dict__["_page_state"] = lambda: state
    page = new_page(browser, **settings)
    page.set_default_timeout(20_000)
    write_page(path, [widget], "widget")
    noted = "send(message) { (window.sent ??= []).push(message); }"
    path.write_text(path.read_text("utf-8").replace("send() {}", noted), "utf-8")
    page.goto(path.as_uri())
    page.locator(".vq canvas").first.wait_for()
    page.wait_for_timeout(500)  # the theme is set by then
    return page


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", WIDGETS)
def test_no_violation_of_level_a_or_aa(browser, tmp_path, name, scheme):
    page = opened(browser, WIDGETS[name](), tmp_path / "widget.html", color_scheme=scheme)
    assert violations(page) == []
    page.evaluate(ENABLED)
    assert violations(page) == []  # colours of what is disabled now
    assert page.errors == []
    page.close()


@pytest.mark.parametrize("name", WIDGETS)
def test_all_controls_are_reached_by_tab_in_reading_order_with_a_visible_focus(
    browser, tmp_path, name
):
    page = opened(browser, WIDGETS[name](), tmp_path / "widget.html")
    expected = page.evaluate(NUMBERED)
    reached = []
    for _ in range(expected):
        page.keyboard.press("Tab")
        style = "(node) => [Number(node.dataset.order), getComputedStyle(node).outlineStyle]"
        reached.append(page.locator(":focus").evaluate(style))
    assert [order for order, _ in reached] == list(range(1, expected + 1))
    assert {outline for _, outline in reached} == {"solid"}
    page.close()


@pytest.mark.parametrize("name", WIDGETS)
def test_grey_controls_say_why(browser, tmp_path, name):
    page = opened(browser, WIDGETS[name](), tmp_path / "widget.html")
    grey = page.locator(".vq :is(button, select, input):disabled")
    reasons = grey.evaluate_all("(nodes) => nodes.map((node) => node.title)")
    assert all(reasons)
    if name in ("rating", "monitor", "lab"):
        assert reasons
    page.close()


def test_the_position_is_a_slider_and_the_point_is_announced(browser, tmp_path):
    page = opened(browser, player(), tmp_path / "player.html")
    slider = page.get_by_role("slider", name="position")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuenow") == "0.1"
    assert "code 3, phone AE" in slider.get_attribute("aria-valuetext").replace(" · ", ", ")
    page.close()
    page = opened(browser, explorer(), tmp_path / "map.html")
    page.get_by_role("application").focus()
    page.keyboard.press("ArrowRight")
    said = page.get_by_role("status").filter(has_text="phones AE 41 %")
    assert said.inner_text() == f"{page.locator('.vq-side h4').inner_text()}, phones AE 41 %"
    page.keyboard.press("Escape")
    play = page.locator(".vq-sound")
    assert play.is_disabled()
    assert play.get_attribute("title") == "select a point first"
    page.close()


def test_new_speech_in_the_lab_asks_before_it_removes_takes(browser, tmp_path):
    page = opened(browser, lab(), tmp_path / "lab.html")
    choose, question = page.locator(".vq-utterance"), page.locator(".vq-question")
    sent = "window.sent ?? []"
    choose.select_option("bob_1")
    assert question.inner_text().startswith("New speech removes the 2 takes of this one.")
    page.keyboard.press("Enter")  # Keep has the focus
    assert question.is_hidden()
    assert choose.input_value() == "ann_1"
    sound = {"name": "a.wav", "mimeType": "audio/wav", "buffer": b"RIFF"}
    page.locator("input[type=file]").set_input_files(sound)
    page.locator(".vq-keep").click()
    page.locator(".vq-record").click()
    page.locator(".vq-keep").click()
    assert page.locator(".vq-record[aria-pressed=true]").count() == 0
    assert page.evaluate(sent) == []
    choose.select_option("bob_1")
    page.locator(".vq-replace").click()
    assert page.evaluate(sent) == [{"do": "choose", "key": "bob_1"}]
    assert page.errors == []
    page.close()
    page = opened(browser, VoiceLab(CodeVoice()).choose("ann_1"), tmp_path / "none.html")
    page.locator(".vq-utterance").select_option("bob_1")  # there are no takes
    assert page.evaluate(sent) == [{"do": "choose", "key": "bob_1"}]
    page.close()


def test_matching_the_levels_keeps_the_height_of_the_row(browser, tmp_path):
    page = opened(browser, player(), tmp_path / "player.html")
    bar = page.locator(".vq-bar")
    for width in (1280, 700, 420, 380, 340):
        page.set_viewport_size({"width": width, "height": 800})
        before = [bar.bounding_box(), page.locator(".vq-stack").bounding_box()]
        page.locator(".vq-match").click()
        assert "dB" in page.locator(".vq-track").first.inner_text()
        assert [bar.bounding_box(), page.locator(".vq-stack").bounding_box()] == before
        page.locator(".vq-match").click()
        assert "dB" not in page.locator(".vq-track").first.inner_text()
    page.close()


def test_the_card_of_a_point_is_beside_it(browser, tmp_path):
    page = opened(browser, explorer(), tmp_path / "map.html")
    canvas, card = page.locator(".vq-map canvas").nth(1), page.locator(".vq-tip")
    box = canvas.bounding_box()
    places = canvas.evaluate("(node) => [...node.positions]")
    for x, y in list(zip(places[::2], places[1::2], strict=True))[:12]:
        page.mouse.move(box["x"] + x, box["y"] + y)
        shown = card.bounding_box()
        left, right = shown["x"] - box["x"], shown["x"] + shown["width"] - box["x"]
        assert 4 < (left - x if left > x else x - right) < 40
        assert shown["y"] - box["y"] - 20 <= y <= shown["y"] + shown["height"] - box["y"] + 20
    page.close()


def test_speed_is_said_in_real_time(browser, tmp_path):
    training = monitor()
    training.progress = training.progress | {"speed": 24_000}
    page = opened(browser, training, tmp_path / "monitor.html")
    assert page.locator(".vq-tile").filter(has_text="speed").inner_text().split() == [
        *"speed 1.5 × real time".split()
    ]
    page.close()
    page = opened(browser, lab(), tmp_path / "lab.html")
    assert re.search(r"Generated: .*, [\d.]+ × real time\.", page.locator(".vq-state").inner_text())
    page.close()
