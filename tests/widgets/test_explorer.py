"""The explorer without a browser: traits, sounds, links, figures."""

import base64
import io
import threading

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.text import Text

from tests.conftest import tones
from tests.widgets.test_player import page_state
from vqwn_kit import InputError
from vqwn_kit.plots.style import SEXES
from vqwn_kit.widgets.arrays import to_pcm
from vqwn_kit.widgets.explorer import Explorer
from vqwn_kit.widgets.figures import INK
from vqwn_kit.widgets.player import Player
from vqwn_kit.widgets.points import Colour, areas, followers, nearest, shares

USE = Colour("use", [0.5, 0.1, np.nan, 0.2, 0.3], "%", log=True)
PHONE = Colour("phone", ["AE", "S", "", "S", "AE"], groups={"AE": "vowel", "S": "fricative"})


@pytest.fixture
def explorer(rng) -> Explorer:
    def hear(point: int) -> np.ndarray:
        if point == 2:
            raise InputError("no sound of this point")
        hear.calls += 1
        return tones(0.1, 100.0 + point)

    hear.calls = 0
    explorer = Explorer(
        {"PCA": rng.normal(size=(5, 2)), "UMAP": rng.normal(size=(5, 2))},
        [f"code {n}" for n in range(5)],
        sizes=[5, 1, 0, 2, 3],
        colours=[USE, PHONE],
        facts={"phones": ["AE"] * 5},
        links=[nearest(rng.normal(size=(5, 3)), 2)],
        hear=hear,
        crosses=np.arange(5) == 2,
    )
    explorer.calls = hear
    return explorer


def request(explorer, point: int) -> None:
    explorer._send_sound(point, 0)


def test_sounds_are_computed_once_and_sent(explorer):
    sent = []
    explorer.send = lambda message, buffers=None: sent.append((message, buffers))
    request(explorer, 1)
    request(explorer, 1)
    assert explorer.calls.calls == 1
    assert sent[1] == ({"do": "sound", "point": 1, "sound": 0}, [to_pcm(tones(0.1, 101.0))])
    request(explorer, 2)
    failed = {"do": "failed", "point": 2, "sound": 0, "why": "no sound of this point"}
    assert sent[2][0] == failed
    assert np.abs(explorer.hear(1) - tones(0.1, 101.0)).max() < 1e-4
    with pytest.raises(InputError, match="no sound 1"):
        explorer.hear(1, 1)


def test_a_sound_that_takes_long_does_not_hold_the_kernel(explorer):
    gate, sent = threading.Event(), threading.Event()
    explorer.send = lambda message, buffers=None: sent.set()
    explorer._hear = [lambda point: gate.wait(60) and tones(0.1, 100.0)]
    explorer._receive(None, {"do": "hear", "point": 1, "sound": 0}, [])
    assert not sent.is_set()  # it returned before the sound was there
    gate.set()
    assert sent.wait(60)


def test_errors_of_callbacks_are_shown_and_raised(explorer):
    sent = []
    explorer.send = lambda message, buffers=None: sent.append(message)
    explorer._hear = [lambda point: 1 / 0]
    with pytest.raises(ZeroDivisionError):
        request(explorer, 1)
    assert sent[0]["why"] == "division by zero"


def test_colours_are_packed_as_the_browser_reads_them(explorer):
    use, phone = explorer.colours
    assert np.isnan(np.frombuffer(use["values"], "<f4")[2])
    assert phone["groups"] == ["vowel", "fricative"]
    assert np.frombuffer(phone["values"], "<i4").tolist() == [0, 1, -1, 1, 0]
    assert phone["labels"] == ["AE", "S", "", "S", "AE"]
    many = Colour("speaker", [f"p{n}" for n in range(30)] + ["p3"]).packed()
    assert len(many["groups"]) == 16
    assert {"p3", "others"} <= set(many["groups"])


def test_a_page_contains_the_requested_sounds(explorer, tmp_path):
    page = explorer.save_html(tmp_path / "map.html", points=[0, 3]).read_text()
    played = page_state(page)["played"]
    assert set(played) == {"0 0", "3 0"}
    assert base64.b64decode(played["3 0"]["base64"]) == to_pcm(tones(0.1, 103.0))
    with pytest.raises(InputError, match="no sound of this point"):
        explorer.save_html(tmp_path / "map.html", points=[2])
    page = explorer.save_html(tmp_path / "map.html").read_text()
    assert set(page_state(page)["played"]) == {"0 0", "1 0", "3 0", "4 0"}  # of used codes


def test_maps_have_figures(explorer):
    for colour in (0, 1):
        explorer.colour = colour
        figure = explorer.figure()
        assert explorer.map_name in figure.axes[0].get_title()
    legend = figure.axes[0].get_legend().get_texts()
    assert {text.get_text() for text in legend} == {"vowel", "fricative"}
    Explorer({"PCA": np.eye(2)}, ["a", "b"]).figure()


def test_figures_are_as_large_as_others_and_legible(explorer):
    for widget in (Player({"a": tones(0.5, 200.0)}, phones=[(0.0, 0.2, "AE")]), explorer):
        figure = widget.figure()
        data, _ = widget._repr_mimebundle_()
        width = int.from_bytes(base64.b64decode(data["image/png"])[16:20])
        assert width == pytest.approx(figure.get_figwidth() * figure.dpi, abs=1)
        assert 600 < width < 840  # the column of a notebook in a window of 1280
        texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
        assert len(texts) > 5
        assert min(text.get_fontsize() for text in texts) * figure.dpi / 72 > 9  # pixels


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"maps": {"PCA": np.zeros((3, 2))}}, r"expected finite \(2, 2\)"),
        ({"maps": {"PCA": np.full((2, 2), np.nan)}}, "finite"),
        ({"maps": {}}, "nothing to show"),
        ({"sizes": [1, -1]}, "0 or more"),
        ({"facts": {"age": ["1"]}}, "fact 'age' has 1 entries; expected 2"),
        ({"colours": [Colour("x", [1.0])]}, "colour 'x'"),
        ({"selected": 2}, "selected=2"),
        ({"colors": []}, "did you mean 'colours'"),
    ],
)
def test_invalid_arguments_are_refused(settings, match):
    with pytest.raises(InputError, match=match):
        Explorer(**{"maps": {"PCA": np.eye(2)}, "names": ["a", "b"]} | settings)


def test_nearest_are_the_nearest():
    vectors = np.array([[0.0], [1.0], [3.0], [10.0]])
    link = nearest(vectors, 2, among=np.array([True, True, True, False]))
    assert link.to.tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]
    assert link.weights[0].tolist() == [1.0, 3.0]
    alone = nearest(vectors[:2], 5, among=np.array([True, False]))
    assert alone.to.tolist() == [[-1], [0]]


def test_followers_skip_repetitions():
    link = followers([np.array([0, 0, 0, 1, 0, 2]), np.array([0, 1])], 4, count=2)
    assert link.to[0].tolist() == [1, 2]
    assert link.weights[0] == pytest.approx([200 / 3, 100 / 3])
    assert link.to[1].tolist() == [0, -1]
    assert link.to[3].tolist() == [-1, -1]


def test_shares_are_texts_and_areas_are_limited():
    assert shares([[3, 1, 0], [0, 0, 0]], "abc") == ["a\xa075\xa0%, b\xa025\xa0%", ""]
    limited = areas(np.array([0.0, *[1.0] * 98, 1000.0]))
    assert limited[1] == limited[-1] == 1.0
    assert limited[0] == 0.0
    assert areas(np.zeros(3)).tolist() == [0, 0, 0]


def test_groups_of_a_fixed_order_keep_their_colours_whichever_occur():
    for values in (["M"], ["F", "M", ""], ["M", "X"]):
        packed = Colour("sex", values, order=SEXES).packed()
        numbers = np.frombuffer(packed["values"], np.int32)
        assert [packed["groups"][n] for n in numbers if n >= 0] == [v for v in values if v]
        assert packed["groups"][:2] == ["F", "M"]
    phone = Colour("phone", ["S"], groups={"AE": "vowel", "S": "fricative"}).packed()
    assert np.frombuffer(phone["values"], np.int32).tolist() == [1]


def test_a_still_has_the_colours_of_the_map_and_no_background(explorer):
    colours = np.arange(15, dtype=np.uint8).reshape(5, 3) * 10
    shown = Explorer({"PCA": np.eye(5)[:, :2]}, list("abcde"), colours=[Colour("place", colours)])
    assert (shown.colours[0]["kind"], shown.colours[0]["values"]) == ("rgb", colours.tobytes())
    (dots,) = shown.figure().axes[0].collections[:1]
    np.testing.assert_allclose(dots.get_facecolors()[:, :3] * 255, colours, atol=0.01)
    picture = plt.imread(io.BytesIO(explorer.figure()._repr_png_()))
    assert picture.shape[2] == 4
    assert picture[0, 0, 3] == 0
    for text in explorer.figure().findobj(Text):
        assert to_hex(text.get_color()) == INK
    for background, least in (("#ffffff", 4.5), ("#111111", 4.0)):
        lights = sorted(luminance(colour) for colour in (background, INK))
        assert (lights[1] + 0.05) / (lights[0] + 0.05) > least


def luminance(colour: str) -> float:
    """Return the relative luminance of WCAG 2."""
    parts = np.array(to_rgb(colour))
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
