"""The page of a code without a browser: facts, other codes, recordings, pages of their own."""

import numpy as np
import pytest

from tests.conftest import tones
from tests.widgets.test_player import page_state
from vqwn_kit import InputError
from vqwn_kit.widgets.arrays import from_pcm, to_pcm
from vqwn_kit.widgets.code_page import CodeFacts, CodePage, Moments, Panel, Row
from vqwn_kit.widgets.explorer import Explorer
from vqwn_kit.widgets.player import Player

CODES = np.arange(75)


def facts(token: int) -> CodeFacts:
    """Return facts of one of three codes, of which the last has no frame."""
    if not 0 <= token < 3:
        raise InputError(f"no code {token}; there are 0 to 2")
    rows = [Row("N", 0.7, ("70 %", "× 15", "9")), Row(f"{token + 1}", 0.3, ("30 %",), token + 1)]
    panels = [Panel("Phones", rows), Panel("Durations", bars=[0.5, 0.5], ticks=[(0.25, "10")])]
    tracks = {} if token == 2 else {"a 0.10 s": tones(0.3, 200.0 + token)}
    strips = {
        "codes": dict.fromkeys(tracks, CODES),
        "phones": dict.fromkeys(tracks, [(0.0, 0.2, "N")]),
        "marks": dict.fromkeys(tracks, [(0.1, 0.11)]),
    }
    return CodeFacts(token, str(token), [("frames", "9", "1 %")], panels, tracks, strips)


def find(recording, sample_rate: int | None, token: int) -> Moments:
    """Say that every recording takes the code in its first frame."""
    return Moments(np.asarray(recording, np.float32), np.zeros(9, int), [(0.0, 0.064)], [0.5])


@pytest.fixture
def page() -> CodePage:
    return CodePage(facts, 0, find=find, hop_length=64, title="mini")


def test_a_page_shows_the_facts_and_plays_the_tracks(page):
    assert page.tiles == [["frames", "9", "1 %"]]
    assert page.panels[0]["rows"][0] == ["N", 0.7, ["70 %", "× 15", "9"], -1]
    assert page.player.names == ["a 0.10 s"]
    (strip,) = page.player.own
    assert strip["codes"] == CODES.tolist()
    assert strip["marks"] == [[0.1, 0.11]]
    assert strip["phones"] == [[0.0, 0.2, "N"]]
    assert page.figure().axes[1].get_title() == "Phones"


def test_another_code_replaces_it_and_one_goes_back(page):
    page._receive(None, {"do": "open", "number": 1}, [])
    assert (page.token, page.name, page.history) == (1, "1", [[0, "0"]])
    assert np.abs(page.player.tracks["a 0.10 s"] - tones(0.3, 201.0)).max() < 1e-6
    page.show_code(2)
    assert page.player is None
    assert page.figure().axes
    page._receive(None, {"do": "open", "number": 9}, [])
    assert page.problem == "no code 9; there are 0 to 2"
    assert page.token == 2


def test_a_recording_is_marked_where_it_takes_the_code(page):
    wave = tones(0.2, 300.0)
    assert page.try_on(wave) == [(0.0, 0.064)]
    assert page.trial.marks == [[0.0, 0.064]]
    assert page.result["moments"] == [[0.0, 0.064, 0.5]]
    page._receive(None, {"do": "try", "name": "b.wav", "rate": 16_000}, [to_pcm(wave)])
    assert np.array_equal(page.trial.tracks["b.wav"], from_pcm(to_pcm(wave)))
    page.show_code(1)
    assert page.trial is None
    with pytest.raises(InputError, match="no model"):
        CodePage(facts, 0, hop_length=64).try_on(wave)


def test_a_saved_page_has_the_sounds_and_links_and_asks_for_nothing(page, tmp_path):
    page.hrefs = {1: "code_0001.html"}
    state = page_state(page.save_html(tmp_path / "code.html").read_text())
    assert state["player"]["pcm"]
    assert state["player"]["page"]
    assert state["hrefs"] == {"1": "code_0001.html"}
    assert state["about"]["tries"] is False
    assert state["trial"] is None


def test_strips_and_marks_may_differ_by_track():
    tracks = {"a": tones(0.2, 200.0), "b": tones(0.2, 210.0)}
    player = Player(tracks, codes={"a": [1, 2], "b": [3, 4]}, marks={"b": [(0.0, 0.1)]})
    assert [strip["codes"] for strip in player.own] == [[1, 2], [3, 4]]
    assert [strip["marks"] for strip in player.own] == [[], [[0.0, 0.1]]]
    assert player.hop_length == 1600.0
    assert player.codes == []
    shared = Player(tracks, codes=[1, 2], marks=[(0.0, 0.1)])
    assert shared.own == []
    assert shared.marks == [[0.0, 0.1]]


def test_a_click_opens_a_page_below(page):
    explorer = Explorer(
        {"PCA": np.eye(2)}, ["a", "b"], open=lambda n: page.show_code(n), opens="page"
    )
    assert explorer.opens == "page"
    explorer._receive(None, {"do": "open", "number": 1}, [])
    assert explorer.opened is page
    assert page.token == 1
    explorer._receive(None, {"do": "open", "number": 7}, [])
    assert explorer.refused == "no code 7; there are 0 to 2"
    assert explorer._page_state()["opened"] is None
    with pytest.raises(InputError, match="without pages"):
        Player({"a": tones(0.1, 200.0)}).open_page(1)


def test_the_table_of_points_has_plain_values():
    from vqwn_kit.widgets.points import NARROW, Colour

    colour = Colour("share", np.array([1.0, 2.0]), "%")
    facts = {"phones": [f"N{NARROW}70{NARROW}%", ""]}
    explorer = Explorer({"PCA": np.eye(2)}, ["a", "b"], colours=[colour], facts=facts)
    table = explorer.table()
    assert table["phones"] == ["N 70 %", ""]
    assert {type(value) for column in table.values() for value in column} <= {int, float, str}


def test_points_leave_as_a_table_and_a_file(tmp_path):
    explorer = Explorer(
        {"PCA": np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])},
        ["code 0", 'code "1"', "code 2"],
        sizes=[1, 2, 3],
        size_name="share of frames",
        facts={"phones": ["A", "B", "C"]},
    )
    assert explorer.table()["PCA 2"] == [1.0, 3.0, 5.0]
    explorer.chosen = [1, 2]
    table = explorer.table()
    assert table["point"] == [1, 2]
    assert table["phones"] == ["B", "C"]
    assert table["share of frames"] == [2.0, 3.0]
    lines = explorer.save_csv(tmp_path / "points.csv", [1]).read_text().splitlines()
    assert lines == [
        "point,name,PCA 1,PCA 2,share of frames,phones",
        '1,"code ""1""",2.0,3.0,2.0,B',
    ]
    with pytest.raises(InputError, match="no point 3; there are 0 to 2"):
        explorer.table([3])
    with pytest.raises(InputError, match="chosen point 3"):
        explorer.chosen = [3]
