"""The voice lab in a browser, on a page without a kernel; `make browser` runs it."""

import io
import json

import numpy as np
import pytest
import soundfile

from tests.browsing import chromium, new_page
from tests.widgets.test_lab import PitchVoice
from vqwn_kit.widgets.base import Widget
from vqwn_kit.widgets.lab import VoiceLab

pytestmark = pytest.mark.browser
MODEL = """
const handlers = {}, traits = TRAITS;
window.sent = [];
const model = window.model = {
  get: (name) => traits[name], on: (name, call) => (handlers[name] ??= []).push(call), off: () => {},
  set: (name, value) => { traits[name] = value; (handlers[`change:${name}`] ?? []).forEach((call) => call()); },
  save_changes: () => {}, send: (message) => window.sent.push(message),
  widget_manager: { get_model: async () => null },
};
const module = await import(URL.createObjectURL(new Blob([MODULE], { type: "text/javascript" })));
module.default.render({ model, el: document.querySelector("#lab") });
"""  # noqa: E501


def traits_of(lab: VoiceLab) -> dict:
    """Return the traits that the page reads, but for widgets and bytes."""
    names = [name for name in lab.keys if not name.startswith("_") and name != "layout"]
    values = {name: getattr(lab, name) for name in names}
    return {k: v for k, v in values.items() if not isinstance(v, Widget | bytes)}


def opened(lab: VoiceLab, browser, address: str = "about:blank", before: str = "", **headers: str):
    """Return a page that shows a voice lab; `before` runs first."""
    script = MODEL.replace("TRAITS", json.dumps(traits_of(lab), default=str))
    script = script.replace("MODULE", json.dumps(lab._esm))
    palette = f"new DataView(new Uint8Array({list(lab.palette)}).buffer)"
    script = script.replace("const model", f"traits.palette = {palette};\nconst model")
    page = new_page(browser)
    page.route("http://**", lambda route: route.fulfill(headers=headers, content_type="text/html"))
    page.add_init_script(before)
    page.goto(address)
    page.set_content(f"<style>{lab._css}</style><div id=lab class=vq></div>")
    page.add_script_tag(content=script, type="module")
    return page


def test_the_temperature_by_voicing_replaces_the_number():
    lab = VoiceLab(PitchVoice())
    lab.choose("ann_1")
    with chromium() as browser:
        page = opened(lab, browser)
        box, slider = page.get_by_label("by voicing"), page.locator(".vq-temperature")
        assert slider.is_enabled()
        box.check()
        assert slider.is_disabled()
        page.locator(".vq-generate").click()
        box.uncheck()
        page.locator(".vq-generate").click()
        sent = [m for m in page.evaluate("window.sent") if m["do"] == "generate"]
    assert [message["settings"]["temperature"] for message in sent] == ["voiced", 1]


def test_the_line_of_the_pitch_is_dragged_and_moved_by_keys():
    lab = VoiceLab(PitchVoice())
    lab.choose("ann_1")
    with chromium() as browser:
        page = opened(lab, browser)
        canvas = page.locator(".vq-strip canvas").last
        canvas.wait_for()
        box = canvas.bounding_box()
        cell, left, top = (
            12 + 8 * 2,
            box["x"] + 58,
            box["y"] + 15 + 24 + 4,
        )  # of the line, below the phones and codes

        def place(frame: float, level: int) -> tuple[float, float]:
            return left + (frame + 0.5) * cell, top + (1 - level / 50) * 52

        page.mouse.move(*place(2, 40))
        page.mouse.down()
        page.mouse.move(*place(5, 34))
        page.mouse.up()
        (message,) = page.evaluate("window.sent")
        assert {**message, "amount": 0} == {
            "do": "edit",
            "what": "draw_pitch",
            "start": 2,
            "end": 6,
            "amount": 0,
        }
        assert message["amount"] == pytest.approx([40, 38, 36, 34], abs=1)
        page.mouse.click(left + 3.1 * cell, box["y"] + 10)  # a code: the line is left alone
        assert len(page.evaluate("window.sent")) == 1
        page.evaluate("window.sent.length = 0")
        page.locator(".vq-lower").click()
        assert page.evaluate("window.sent")[0]["amount"] == -1
        assert not page.errors


def test_a_voice_is_added_from_the_page_and_appears_in_its_lists():
    lab = VoiceLab(PitchVoice())
    lab.choose("ann_1")
    with chromium() as browser:
        page = opened(lab, browser)
        add, name = page.locator(".vq-add"), page.locator(".vq-name")
        name.fill("eve")
        assert add.is_disabled()  # the original is too short
        page.evaluate("model.set('source', { ...model.get('source'), seconds: 10 })")
        assert add.is_enabled()
        name.press("g")  # a letter of the name, which starts nothing
        add.click()
        page.evaluate("model.set('state', 'adding')")
        page.evaluate(
            "model.set('progress', { names: [], done: 0.25, total: 1, text: 'error 0.1' })"
        )
        assert page.locator(".vq-state").inner_text() == "Adding the voice, 25 %. error 0.1"
        page.locator(".vq-stop").click()
        page.evaluate("model.set('state', 'ready')")
        page.evaluate("model.set('speakers', [...model.get('speakers'), ['eveg', 'added']])")
        page.get_by_role("button", name="eveg", exact=True).click()
        assert page.evaluate("model.get('voices')") == ["ann", "bob", "eveg"]
        assert page.locator("select[aria-label='second voice'] option").count() == 3
        assert page.get_by_label("second voice").input_value() == "bob"
        sent = page.evaluate("window.sent")
    assert sent == [{"do": "add", "name": "eveg"}, {"do": "stop"}]


LOCAL = "http://localhost/"


@pytest.mark.parametrize(
    ("address", "before", "headers", "reason"),
    [
        (LOCAL, "delete Navigator.prototype.mediaDevices", {}, "no access to a microphone"),
        ("http://lab.example/", "", {}, "localhost or over https"),
        (LOCAL, "", {"Permissions-Policy": "microphone=()"}, "blocked for this page"),
    ],
    ids=["no devices", "plain http", "policy"],
)
def test_a_page_without_a_microphone_offers_a_file_and_says_why(address, before, headers, reason):
    with chromium() as browser:
        page = opened(VoiceLab(PitchVoice()), browser, address, before, **headers)
        page.locator(".vq-barred", has_text=reason).wait_for(timeout=9000)
        assert page.locator(".vq-record").is_disabled()
        assert reason in page.locator(".vq-record").get_attribute("title")
        assert page.locator(".vq-source").inner_text().startswith("Choose an audio file")
        with page.expect_file_chooser() as chooser:
            page.locator(".vq-choose.vq-primary").click()
        sound = io.BytesIO()
        soundfile.write(sound, np.full(800, 0.5), 8000, format="WAV")
        file = {"name": "a.wav", "mimeType": "audio/wav", "buffer": sound.getvalue()}
        chooser.value.set_files(file)
        page.wait_for_function("() => window.sent.length")
        assert page.evaluate("window.sent[0].name") == "a.wav"
        assert page.errors == []


def test_a_refused_microphone_leads_to_the_file_and_can_be_tried_again():
    refuse = (
        "navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', NAME))"
    )
    with chromium() as browser:
        for name, why in (("NotAllowedError", "NotAllowedError"), ("NotFoundError", "No micro")):
            before = refuse.replace("NAME", repr(name))
            page = opened(VoiceLab(PitchVoice()), browser, LOCAL, before)
            assert page.locator(".vq-barred").is_hidden()
            page.locator(".vq-record").click()
            page.locator(".vq-problem", has_text=why).wait_for(timeout=9000)
            page.wait_for_selector(".vq-choose:focus")
            assert page.locator(".vq-record").is_enabled()
