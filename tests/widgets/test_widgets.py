"""Player, explorer and blind tests without a browser: traits, arithmetic, files."""

import base64
import json
import re

import numpy as np
import pytest

from tests.conftest import tones
from vqwn_kit import InputError
from vqwn_kit.evaluation.metrics.listening_test import (
    COLUMNS,
    append_answers,
    binomial_p,
    findings,
    read_answers,
)
from vqwn_kit.widgets.base import code_colours, to_pcm
from vqwn_kit.widgets.blind import BlindTest
from vqwn_kit.widgets.explorer import Explorer
from vqwn_kit.widgets.player import Player, matching_gains, mel_picture
from vqwn_kit.widgets.points import Colour, areas, followers, nearest, shares


@pytest.fixture
def player() -> Player:
    loud = tones(0.5, 200.0)
    codes = np.arange(125) % 32
    return Player(
        {"original": loud, "quiet": 0.25 * loud[:7000]},
        codes=codes[None], hop_length=64, phones=[(0.0, 0.2, "AE"), (0.2, 0.5, "SIL")], title="x",
    )  # fmt: skip


def test_player_sends_what_it_was_given(player):
    loud = np.frombuffer(player.pcm[0], "<i2") / 32767
    assert np.abs(loud - player.tracks["original"]).max() < 1 / 32767
    assert len(player.pcm[0]) == len(player.pcm[1]) == 2 * 8000  # the shorter ends in silence
    assert not np.frombuffer(player.pcm[1], "<i2")[7000:].any()
    assert player.codes[:3] == [0, 1, 2]
    assert player.duration == 0.5
    assert not player.matched  # never by itself
    player.track = "quiet"
    assert player.active == 1


def test_samples_beyond_full_scale_are_cut_and_named():
    player = Player({"a": np.array([0.0, 1.5, -2.0], np.float32)})
    assert np.frombuffer(player.pcm[0], "<i2").tolist() == [0, 32767, -32767]
    assert "cut at full scale: a" in player.notes


@pytest.mark.parametrize(
    ("tracks", "settings", "match"),
    [
        ({}, {}, "no tracks"),
        ({"a": np.zeros(9, np.int16)}, {}, "a: an array of int16"),
        ({"a": np.zeros((2, 9))}, {}, r"shape \(2, 9\)"),
        ({"a": np.zeros(0)}, {}, "T > 0"),
        ({"a": np.array([0.0, np.nan])}, {}, "aren't finite"),
        ({"a": np.zeros(9)}, {"codes": [0.5]}, "whole numbers"),
        ({"a": np.zeros(9)}, {"codes": [-1]}, "whole numbers"),
        ({"a": np.zeros(9)}, {"sample_rate": 0}, "sample_rate=0"),
        ({"a": np.zeros(9)}, {"loop": [2.0, 1.0]}, "loop="),
    ],
)
def test_player_refuses(tracks, settings, match):
    with pytest.raises(InputError, match=match):
        Player(tracks, **settings)


def test_active_and_track_are_checked(player):
    with pytest.raises(InputError, match="active=2; expected 0 to 1"):
        player.active = 2
    with pytest.raises(InputError, match="did you mean 'original'"):
        player.track = "orignal"


def test_other_sounds_can_be_loaded(player):
    player.active, player.position, player.loop = 1, 0.5, [0.1, 0.2]
    player.load({"one": tones(0.25, 300.0)}, codes=[1, 2])
    assert (player.names, player.active, player.position) == (["one"], 0, 0.25)
    assert (player.loop, player.codes, player.hop_length) == ([], [1, 2], 2000)
    with pytest.raises(InputError, match="no tracks"):
        player.load({})
    assert player.names == ["one"]
    player.load({"one": np.ones(9), "two": np.ones(9)})
    player.blind("abx", "unused.csv")
    with pytest.raises(InputError, match="a blind test goes on"):
        player.load({"one": np.ones(9)})


def test_matched_tracks_have_one_level_and_none_is_cut(rng):
    waves = [0.9 * tones(0.3, 200.0), 0.05 * rng.standard_normal(4000), np.zeros(100)]
    waves[1][7] = 0.6  # a peak that stands far out
    gains = matching_gains(waves)
    changed = [wave * 10 ** (gain / 20) for wave, gain in zip(waves, gains, strict=True)]
    levels = [np.sqrt(np.mean(wave**2)) for wave in changed[:2]]
    assert levels[0] == pytest.approx(levels[1], rel=1e-6)
    assert max(np.abs(wave).max() for wave in changed) <= 1 + 1e-9
    assert gains[2] == 0.0
    assert levels[0] <= max(np.sqrt(np.mean(wave**2)) for wave in waves) + 1e-9


def test_spectrogram_shows_a_tone_at_its_height():
    picture = mel_picture(np.sin(2 * np.pi * 1000 * np.arange(8000) / 16_000), 16_000)
    assert picture.shape == (64, 63)
    assert picture.dtype == np.uint8
    assert picture.max() == 255
    height = (np.median(picture.argmax(axis=0)) + 0.5) / 64
    marks = dict(Player({"a": tones(0.1, 200.0)}).frequency_marks)
    assert height == pytest.approx(marks["1 kHz"], abs=0.03)  # the label stands at the tone


def test_silence_and_a_single_sample_have_pictures():
    player = Player({"silence": np.zeros(3000), "one": np.array([0.5])})
    assert player.gains_db[0] == 0.0
    assert not any(player.spectrograms[0])
    player.figure()


def test_same_code_same_colour_and_neighbours_differ():
    colours = code_colours(np.arange(512)).astype(int)
    assert np.array_equal(code_colours([[7, 300]]), code_colours(np.arange(512))[[[7, 300]]])
    assert np.abs(np.diff(colours, axis=0)).max(axis=1).min() > 40
    assert len(np.unique(colours, axis=0)) > 500


def state_of(page: str) -> dict:
    found = re.search(r'<script type="application/json" id="state">(.*?)</script>', page, re.S)
    return json.loads(found[1])


def test_page_holds_sound_and_needs_no_network(player, tmp_path):
    player.title = "</script><b>"
    page = player.save_html(tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    state = state_of(page)
    assert base64.b64decode(state["pcm"][0]["base64"]) == player.pcm[0]
    assert state["title"] == "</script><b>"
    assert not re.search(r"""(src|href)=|@import|url\(|https?://|import\(|\bfetch\b""", page)
    assert page.count("</script>") == 2
    assert "export default" not in page
    with pytest.raises(InputError, match=r"ends in \.html"):
        player.save_html(tmp_path / "page.txt")


def test_notebook_without_widgets_shows_the_figure(player):
    data, _ = player._repr_mimebundle_()
    assert base64.b64decode(data["image/png"])[:4] == b"\x89PNG"
    assert "application/vnd.jupyter.widget-view+json" in data
    player.blind("abx", "unused.csv")
    assert "image/png" not in player._repr_mimebundle_()[0]  # it would name the tracks


# ---- blind tests


def test_ratings_are_saved_under_the_true_names(player, tmp_path):
    file = tmp_path / "listening.csv"
    player.blind("rating", file, listener="ann", seed=3)
    test = player.blind_test
    assert sorted(test.order) == [0, 1]
    player._answer(None, {"do": "finish"}, [])
    assert "no rating for A, B" in player.blind_state["problem"]
    assert not file.exists()
    for label, value in ((0, 2), (1, 5), (0, 4)):  # a rating may be changed
        player._answer(None, {"do": "rate", "label": label, "value": value}, [])
    player._answer(None, {"do": "finish"}, [])
    rows = read_answers(file)
    assert {row["track"]: row["answer"] for row in rows} == {
        player.names[test.order[0]]: "4",
        player.names[test.order[1]]: "5",
    }
    assert {(row["listener"], row["item"], row["levels_matched"]) for row in rows} == {
        ("ann", "x", "0")
    }
    assert player.blind_state["done"]
    assert "of 1 unequal ratings" in player.blind_state["results"]
    player.reveal()
    assert player.blind_state == {}


def test_abx_tells_nothing_before_the_last_trial(tmp_path):
    test = BlindTest(["a", "b"], "abx", tmp_path / "l.csv", trials=8, seed=0)
    drawn = []
    for _ in range(8):
        drawn.append(test.order[2] == test.order[0])
        assert test.state["results"] == ""
        assert test.state["revealed"] == []
        test.answer("A" if drawn[-1] else "B")
    assert 0 < sum(drawn) < 8  # X is drawn anew
    assert test.right == 8
    assert "8 of 8 right" in test.results
    assert f"p = {0.5**8:.3g}" in test.results
    with pytest.raises(InputError, match="is over"):
        test.answer("A")


def test_x_is_a_fair_coin(tmp_path):
    firsts = []
    for seed in range(400):
        order = BlindTest(["a", "b"], "abx", tmp_path / "l.csv", seed=seed).order
        firsts.append((order[0], order[2] == order[0]))
    for share in np.mean(firsts, axis=0):
        assert abs(share - 0.5) < 0.1


@pytest.mark.parametrize(
    ("names", "mode", "settings", "match"),
    [
        (["a"], "rating", {}, "needs two or more"),
        (["a", "b"], "abc", {}, "did you mean 'abx'"),
        (["a", "b"], "abx", {"trials": 0}, "trials=0"),
        (["a", "b"], "abx", {"pair": ["a", "c"]}, "no track 'c'"),
        (["a", "b"], "abx", {"pair": ["a", "a"]}, "two tracks"),
    ],
)
def test_blind_test_refuses(names, mode, settings, match, tmp_path):
    with pytest.raises(InputError, match=match):
        BlindTest(names, mode, tmp_path / "l.csv", **settings)


def test_p_values_are_exact():
    assert binomial_p(9, 10) == pytest.approx((10 + 1) / 1024)
    assert binomial_p(9, 10, two_sided=True) == pytest.approx(2 * 11 / 1024)
    assert binomial_p(0, 0) == 1.0
    with pytest.raises(InputError, match="11 right of 10"):
        binomial_p(11, 10)


def test_answers_are_added_and_other_tables_refused(tmp_path):
    file = tmp_path / "deep" / "l.csv"
    row = {"mode": "abx", "track": '=a,"b"', "other": "c", "correct": 1, "answer": "A"}
    append_answers(file, [row])
    before = file.read_bytes()
    with file.open("ab") as broken:  # as an editor may leave it, without an end of line
        broken.write(before.splitlines()[1])
    append_answers(file, [row | {"correct": 0}])
    assert file.read_bytes().startswith(before)
    rows = read_answers(file)
    assert [found["correct"] for found in rows] == ["1", "1", "0"]
    assert rows[0]["track"] == row["track"]
    (finding,) = findings(rows)
    assert (finding.count, finding.trials) == (2, 3)
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="is not a table of answers"):
        append_answers(other, [row])
    assert other.read_text() == "a,b\n1,2\n"
    assert file.read_text().splitlines()[0] == ",".join(COLUMNS)


def test_sign_test_leaves_equal_ratings_out():
    rows = []
    for test, (one, other) in enumerate([(5, 1), (4, 4), (5, 2), (3, 2), (4, 1), (5, 3), (2, 1)]):
        for track, answer in (("one", one), ("other", other)):
            rows.append({"mode": "rating", "test": str(test), "item": "", "track": track,
                         "answer": str(answer)})  # fmt: skip
    (finding,) = findings(rows)
    assert (finding.count, finding.trials) == (6, 6)
    assert finding.p == pytest.approx(2 / 64)
    assert finding.means == (4.0, 2.0)


# ---- the explorer


@pytest.fixture
def explorer(rng) -> Explorer:
    def hear(point: int) -> np.ndarray:
        if point == 2:
            raise InputError("nobody says this")
        hear.calls += 1
        return tones(0.1, 100.0 + point)

    hear.calls = 0
    made = Explorer(
        {"PCA": rng.normal(size=(5, 2)), "UMAP": rng.normal(size=(5, 2))},
        [f"code {n}" for n in range(5)],
        sizes=[5, 1, 0, 2, 3],
        colours=[Colour("use", [0.5, 0.1, np.nan, 0.2, 0.3], "%", log=True),
                 Colour("phone", ["AE", "S", "", "S", "AE"], groups={"AE": "vowel", "S": "fric"})],
        facts={"phones": ["AE"] * 5},
        links=[nearest(rng.normal(size=(5, 3)), 2)],
        hear=hear, crosses=np.arange(5) == 2,
    )  # fmt: skip
    made.calls = hear
    return made


def test_explorer_keeps_what_it_heard(explorer):
    sent = []
    explorer.send = lambda message, buffers=None: sent.append((message, buffers))
    for _ in range(2):
        explorer._answer(None, {"do": "hear", "point": 1, "sound": 0}, [])
    assert explorer.calls.calls == 1
    assert sent[1] == ({"do": "sound", "point": 1, "sound": 0}, [to_pcm(tones(0.1, 101.0))])
    explorer._answer(None, {"do": "hear", "point": 2, "sound": 0}, [])
    assert sent[2][0] == {"do": "failed", "point": 2, "sound": 0, "why": "nobody says this"}
    assert np.abs(explorer.hear(1) - tones(0.1, 101.0)).max() < 1e-4
    with pytest.raises(InputError, match="no sound 1"):
        explorer.hear(1, 1)


def test_errors_of_callbacks_are_told_and_not_swallowed(explorer):
    sent = []
    explorer.send = lambda message, buffers=None: sent.append(message)
    explorer._hear = [lambda point: 1 / 0]
    with pytest.raises(ZeroDivisionError):
        explorer._answer(None, {"do": "hear", "point": 1, "sound": 0}, [])
    assert sent[0]["why"] == "division by zero"


def test_colours_are_packed_as_the_browser_reads_them(explorer):
    use, phone = explorer.colours
    assert np.isnan(np.frombuffer(use["values"], "<f4")[2])
    assert phone["groups"] == ["vowel", "fric"]
    assert np.frombuffer(phone["values"], "<i4").tolist() == [0, 1, -1, 1, 0]
    assert phone["labels"] == ["AE", "S", "", "S", "AE"]
    many = Colour("speaker", [f"p{n}" for n in range(30)] + ["p3"]).packed()
    assert len(many["groups"]) == 16
    assert {"p3", "others"} <= set(many["groups"])


def test_page_brings_the_sounds_that_were_asked_for(explorer, tmp_path):
    page = explorer.save_html(tmp_path / "map.html", points=[0, 3]).read_text()
    heard = state_of(page)["heard"]
    assert set(heard) == {"0 0", "3 0"}
    assert base64.b64decode(heard["3 0"]["base64"]) == to_pcm(tones(0.1, 103.0))
    page = explorer.save_html(tmp_path / "map.html").read_text()
    assert set(state_of(page)["heard"]) == {"0 0", "1 0", "3 0", "4 0"}  # what is used


def test_maps_have_figures(explorer):
    for colour in (0, 1):
        explorer.colour = colour
        figure = explorer.figure()
        assert explorer.map_name in figure.axes[0].get_title()
    assert {text.get_text() for text in figure.axes[0].get_legend().get_texts()} == {
        "vowel",
        "fric",
    }
    Explorer({"PCA": np.eye(2)}, ["a", "b"]).figure()


def test_stills_are_as_large_as_other_figures_and_can_be_read(player, explorer):
    from matplotlib.text import Text

    for widget in (player, explorer):
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
        ({"facts": {"age": ["1"]}}, "fact 'age' tells about 1 points; there are 2"),
        ({"colours": [Colour("x", [1.0])]}, "colour 'x'"),
        ({"selected": 2}, "selected=2"),
    ],
)
def test_explorer_refuses(settings, match):
    with pytest.raises(InputError, match=match):
        Explorer(**{"maps": {"PCA": np.eye(2)}, "names": ["a", "b"]} | settings)


def test_nearest_are_the_nearest():
    vectors = np.array([[0.0], [1.0], [3.0], [10.0]])
    link = nearest(vectors, 2, among=np.array([True, True, True, False]))
    assert link.to.tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]
    assert link.weights[0].tolist() == [1.0, 3.0]
    alone = nearest(vectors[:2], 5, among=np.array([True, False]))
    assert alone.to.tolist() == [[-1], [0]]


def test_followers_count_changes_only():
    link = followers([np.array([0, 0, 0, 1, 0, 2]), np.array([0, 1])], 4, count=2)
    assert link.to[0].tolist() == [1, 2]
    assert link.weights[0] == pytest.approx([200 / 3, 100 / 3])
    assert link.to[1].tolist() == [0, -1]
    assert link.to[3].tolist() == [-1, -1]


def test_shares_and_areas():
    assert shares([[3, 1, 0], [0, 0, 0]], "abc") == ["a\xa075\xa0%, b\xa025\xa0%", ""]
    sized = areas(np.array([0.0, *[1.0] * 98, 1000.0]))
    assert sized[1] == sized[-1] == 1.0
    assert sized[0] == 0.0
    assert areas(np.zeros(3)).tolist() == [0, 0, 0]


def test_what_the_page_sets_is_not_echoed_to_it(player, monkeypatch):
    # where the kernel is busy, an echo would start what has been stopped meanwhile
    told = []
    monkeypatch.setattr(player, "_send", lambda message, buffers=None: told.append(message))
    values = {"active": 1, "position": 0.25, "playing": True, "loop": [0.1, 0.2], "matched": True}
    player.set_state(values | {"view": [0.0, 0.3]})
    assert player.playing
    assert player.loop == [0.1, 0.2]
    assert [message for message in told if message["method"] == "echo_update"] == []
