"""The player without a browser: traits, gains, pictures, pages."""

import base64
import json
import re

import numpy as np
import pytest

from tests.conftest import tones
from vqwn_kit import InputError
from vqwn_kit.widgets.arrays import code_colours, matching_gains, mel_picture
from vqwn_kit.widgets.player import Player

CODES = np.arange(125) % 32
PHONES = [(0.0, 0.2, "AE"), (0.2, 0.5, "SIL")]


@pytest.fixture
def player() -> Player:
    loud = tones(0.5, 200.0)
    tracks = {"original": loud, "quiet": 0.25 * loud[:7000]}
    return Player(tracks, codes=CODES[None], hop_length=64, phones=PHONES, title="x")


def page_state(page: str) -> dict:
    match = re.search(
        r'<script type="application/json" id="widget-0-state">(.*?)</script>', page, re.S
    )
    return json.loads(match[1])


def test_traits_hold_the_tracks(player):
    loud = np.frombuffer(player.pcm[0], "<i2") / 32767
    assert np.abs(loud - player.tracks["original"]).max() < 1 / 32767
    assert len(player.pcm[0]) == len(player.pcm[1]) == 2 * 8000  # the shorter one is padded
    assert not np.frombuffer(player.pcm[1], "<i2")[7000:].any()
    assert player.codes[:3] == [0, 1, 2]
    assert player.duration == 0.5
    assert not player.matched  # only on request
    player.track = "quiet"
    assert player.active == 1


def test_samples_beyond_full_scale_clip_and_are_reported():
    player = Player({"a": np.array([0.0, 1.5, -2.0], np.float32)})
    assert np.frombuffer(player.pcm[0], "<i2").tolist() == [0, 32767, -32767]
    assert "clipped at full scale: a" in player.notes


@pytest.mark.parametrize(
    ("tracks", "settings", "match"),
    [
        ({}, {}, "no tracks"),
        ({"a": np.zeros(9, bool)}, {}, "a: an array of bool"),
        ({"a": np.zeros((2, 9))}, {}, r"shape \(2, 9\)"),
        ({"a": np.zeros(0)}, {}, "T > 0"),
        ({"a": np.array([0.0, np.nan])}, {}, "are not finite"),
        ({"a": np.zeros(9)}, {"codes": [0.5]}, "whole numbers"),
        ({"a": np.zeros(9)}, {"codes": [-1]}, "whole numbers"),
        ({"a": np.zeros(9)}, {"codes": np.zeros((2, 3, 4), int)}, r"\(N, Q\) of Q codebooks"),
        ({"a": np.zeros(9)}, {"sample_rate": 0}, "sample_rate=0"),
        ({"a": np.zeros(9)}, {"loop": [2.0, 1.0]}, "loop="),
        ({"a": np.zeros(9)}, {"lop": [1.0, 2.0]}, "setting of Player 'lop': did you mean 'loop'"),
    ],
)
def test_invalid_arguments_are_refused(tracks, settings, match):
    with pytest.raises(InputError, match=match):
        Player(tracks, **settings)


def test_invalid_tracks_are_not_selected(player):
    with pytest.raises(InputError, match="active=2; expected 0 to 1"):
        player.active = 2
    with pytest.raises(InputError, match="did you mean 'original'"):
        player.track = "orignal"


def test_load_replaces_the_tracks(player):
    player.active, player.position, player.loop = 1, 0.5, [0.1, 0.2]
    player.load({"one": tones(0.25, 300.0)}, codes=[1, 2])
    assert (player.names, player.active, player.position) == (["one"], 0, 0.25)
    assert (player.loop, player.codes, player.hop_length) == ([], [1, 2], 2000)
    with pytest.raises(InputError, match="no tracks"):
        player.load({})
    assert player.names == ["one"]
    player.load({"one": np.ones(9), "two": np.ones(9)})
    player.blind("abx", "unused.csv")
    with pytest.raises(InputError, match="a blind test is in progress"):
        player.load({"one": np.ones(9)})


def test_matched_tracks_have_one_level_and_do_not_clip(rng):
    waves = [0.9 * tones(0.3, 200.0), 0.05 * rng.standard_normal(4000), np.zeros(100)]
    waves[1][7] = 0.6  # a single high peak
    gains = matching_gains(waves)
    changed = [wave * 10 ** (gain / 20) for wave, gain in zip(waves, gains, strict=True)]
    levels = [np.sqrt(np.mean(wave**2)) for wave in changed[:2]]
    assert levels[0] == pytest.approx(levels[1], rel=1e-6)
    assert max(np.abs(wave).max() for wave in changed) <= 1 + 1e-9
    assert gains[2] == 0.0
    assert levels[0] <= max(np.sqrt(np.mean(wave**2)) for wave in waves) + 1e-9


def test_the_spectrogram_shows_a_tone_at_its_label():
    picture = mel_picture(np.sin(2 * np.pi * 1000 * np.arange(8000) / 16_000), 16_000)
    assert picture.shape == (64, 63)
    assert picture.dtype == np.uint8
    assert picture.max() == 255
    height = (np.median(picture.argmax(axis=0)) + 0.5) / 64
    marks = dict(Player({"a": tones(0.1, 200.0)}).frequency_marks)
    assert height == pytest.approx(marks["1 kHz"], abs=0.03)


def test_silence_and_a_single_sample_have_pictures():
    player = Player({"silence": np.zeros(3000), "one": np.array([0.5])})
    assert player.gains_db[0] == 0.0
    assert not any(player.spectrograms[0])
    player.figure()


def test_a_code_has_one_colour_and_its_neighbours_differ():
    colours = code_colours(np.arange(512)).astype(int)
    assert np.array_equal(code_colours([[7, 300]]), colours[[[7, 300]]])
    assert np.abs(np.diff(colours, axis=0)).max(axis=1).min() > 40
    assert len(np.unique(colours, axis=0)) > 500


def test_a_page_contains_the_sound_and_no_address(player, tmp_path):
    player.title = "</script><b>"
    page = player.save_html(tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    state = page_state(page)
    assert base64.b64decode(state["pcm"][0]["base64"]) == player.pcm[0]
    assert state["title"] == "</script><b>"
    assert not re.search(r"""(src|href)=|@import|url\(|https?://|import\(|\bfetch\b""", page)
    assert page.count("</script>") == 2
    assert "export default" not in page
    with pytest.raises(InputError, match=r"ends in \.html"):
        player.save_html(tmp_path / "page.txt")


def test_a_notebook_without_widgets_shows_the_figure(player):
    data, _ = player._repr_mimebundle_()
    assert base64.b64decode(data["image/png"])[:4] == b"\x89PNG"
    assert "application/vnd.jupyter.widget-view+json" in data
    player.blind("abx", "unused.csv")
    assert "image/png" not in player._repr_mimebundle_()[0]  # it names the tracks


def test_traits_that_the_page_sets_are_not_echoed(player, monkeypatch):
    # where the kernel is busy, an echo would undo later changes
    sent = []
    monkeypatch.setattr(player, "_send", lambda message, buffers=None: sent.append(message))
    values = {"active": 1, "position": 0.25, "playing": True, "loop": [0.1, 0.2], "matched": True}
    player.set_state(values | {"view": [0.0, 0.3]})
    assert player.playing
    assert player.loop == [0.1, 0.2]
    assert [message for message in sent if message["method"] == "echo_update"] == []


def test_several_codebooks_are_rows_of_one_strip():
    codes = np.stack([CODES, CODES[::-1], CODES // 2], axis=-1)
    player = Player({"original": tones(0.5, 200.0)}, codes=codes[None])
    assert player.codes == codes.tolist()
    assert player.hop_length == 8000 / 125  # of a frame
    colours = np.frombuffer(player.code_colours, np.uint8).reshape(125, 3, 3)
    np.testing.assert_array_equal(colours, code_colours(codes))
    (image,) = player.figure().axes[-1].images
    assert image.get_array().shape == (3, 125, 3)
    np.testing.assert_array_equal(image.get_array()[1], code_colours(codes[:, 1]))
    assert Player({"a": np.zeros(9)}, codes=[[[4, 5]]]).codes == [[4, 5]]  # one frame


def test_a_palette_colours_the_codes_of_each_codebook():
    palette = np.arange(24, dtype=np.uint8).reshape(8, 3)  # 2 codebooks of 4 codes
    tracks = {"tone": tones(0.1, 220.0)}
    player = Player(tracks, codes=[[0, 3], [2, 1]], palette=palette)
    colours = np.frombuffer(player.code_colours, np.uint8).reshape(2, 2, 3)
    np.testing.assert_array_equal(colours, palette[[[0, 7], [2, 5]]])
    player.load(tracks, codes=[[1, 1], [0, 2]])
    colours = np.frombuffer(player.code_colours, np.uint8).reshape(2, 2, 3)
    np.testing.assert_array_equal(colours, palette[[[1, 5], [0, 6]]])
    with pytest.raises(
        InputError, match="palette of 8 colours and 1 codebooks; expected more than 9"
    ):
        Player(tracks, codes=[9], palette=palette)
