"""TextGrids: what public programs write is read, and what is written can be read by them."""

import pytest

from vqwn_kit import InputError
from vqwn_kit.data.textgrid import Tier, read_textgrid, write_textgrid

WORDS = [(0.12, 0.5, 'he said "hi"'), (0.5, 0.9012345, "世界 naïve")]
PHONES = [(0.12, 0.25, "HH"), (0.25, 0.3, "IY1"), (0.4, 0.9012345, "S 3 <exists> !")]
TIERS = [Tier("words", WORDS), Tier('phones "x"', PHONES), Tier("clicks", [(0.2, 0.2, "a")], True)]

# Written by praatio 6.2.2 from those tiers, in its short format, and by TextGrid 1.6.1, which
# rounds times to 10 microseconds, in the long one
SHORT = '''File type = "ooTextFile"
Object class = "TextGrid"

0
1.2345678
<exists>
2
"IntervalTier"
"words"
0
1.2345678
4
0
0.12
""
0.12
0.5
"he said ""hi"""
0.5
0.9012345
"世界 naïve"
0.9012345
1.2345678
""
"TextTier"
"clicks"
0
1.2345678
1
0.2
"a"
'''
LONG = '''File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0.0
xmax = 1.23457
tiers? <exists>
size = 2
item []:
	item [1]:
		class = "IntervalTier"
		name = "words"
		xmin = 0.0
		xmax = 1.23457
		intervals: size = 4
			intervals [1]:
				xmin = 0.0
				xmax = 0.12
				text = ""
			intervals [2]:
				xmin = 0.12
				xmax = 0.5
				text = "he said ""hi"""
			intervals [3]:
				xmin = 0.5
				xmax = 0.90123
				text = "世界 naïve"
			intervals [4]:
				xmin = 0.90123
				xmax = 1.23457
				text = ""
	item [2]:
		class = "TextTier"
		name = "clicks"
		xmin = 0.0
		xmax = 1.23457
		points: size = 1
			points [1]:
				number = 0.2
				mark = "a"
'''


def labelled(tier: Tier) -> list:
    return [span for span in tier.spans if span[2]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("text", [SHORT, LONG], ids=["praatio-short", "textgrid-long"])
def test_what_public_programs_write_is_read(tmp_path, text, encoding):
    (tmp_path / "a.TextGrid").write_text(text, encoding=encoding)
    words, clicks = read_textgrid(tmp_path / "a.TextGrid")
    assert (words.name, words.points, clicks.name, clicks.points) == (
        "words",
        False,
        "clicks",
        True,
    )
    assert [label for *_, label in words.spans] == ["", WORDS[0][2], WORDS[1][2], ""]
    for span, expected in zip(
        labelled(words) + clicks.spans, [*WORDS, (0.2, 0.2, "a")], strict=True
    ):
        assert span == pytest.approx(expected, abs=1e-3)


def test_a_comment_is_no_value(tmp_path):
    text = SHORT.replace('"clicks"\n', '"clicks" ! 7 "no" <exists>\n')
    (tmp_path / "a.TextGrid").write_text(text, encoding="utf-8")
    assert read_textgrid(tmp_path / "a.TextGrid")[1].spans == [(0.2, 0.2, "a")]


def test_written_tiers_are_read_again_and_follow_each_other(tmp_path):
    path = write_textgrid(tmp_path / "a.TextGrid", TIERS, 1.2345678)
    tiers = read_textgrid(path)
    assert [tier.name for tier in tiers] == [tier.name for tier in TIERS]
    assert [labelled(tier) for tier in tiers] == [tier.spans for tier in TIERS]
    for tier in tiers[:2]:
        assert [s[0] for s in tier.spans] == [0.0, *(s[1] for s in tier.spans[:-1])]
        assert tier.spans[-1][1] == 1.2345678


def test_random_tiers_keep_their_times_to_a_tenth_of_a_microsecond(tmp_path, rng):
    borders = sorted(rng.uniform(0, 3600, 201))
    spans = [
        (a, b, f'"{n}') for n, (a, b) in enumerate(zip(borders[:-1], borders[1:], strict=True))
    ]
    path = write_textgrid(tmp_path / "a.TextGrid", [Tier("codes", spans)], 3600.0)
    (tier,) = read_textgrid(path)
    for span, expected in zip(labelled(tier), spans, strict=True):
        assert span[:2] == pytest.approx(expected[:2], abs=1e-7)
        assert span[2] == expected[2]


def test_spans_are_cut_at_the_end_of_the_recording(tmp_path):
    tier = Tier("codes", [(0.0, 0.5, "1"), (0.5, 1.5, "2"), (1.5, 2.0, "3")])
    (read,) = read_textgrid(write_textgrid(tmp_path / "a.TextGrid", [tier], 1.0))
    assert read.spans == [(0.0, 0.5, "1"), (0.5, 1.0, "2")]


@pytest.mark.parametrize(
    "text", ["", "ooBinaryFile\x08TextGrid", SHORT[:150], SHORT.replace("TextTier", "Tier"), "1 2"]
)
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "a.TextGrid").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="is no TextGrid that can be read, or is cut off"):
        read_textgrid(tmp_path / "a.TextGrid")


def test_a_missing_file_is_named():
    with pytest.raises(InputError, match=r"no such TextGrid: nowhere.TextGrid"):
        read_textgrid("nowhere.TextGrid")
