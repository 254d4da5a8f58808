"""Edits of a strip of codes."""

import numpy as np
import pytest

from vqwn_kit import InputError
from vqwn_kit.widgets.strip import CodeStrip


def test_codes_are_cut_repeated_and_spliced():
    strip = CodeStrip(np.array([1, 2, 3, 4, 5]))
    assert strip.cut(1, 3) == (1, 1)
    assert (strip.codes, strip.held) == ((1, 4, 5), (2, 3))
    assert strip.splice(3) == (3, 5)
    assert strip.codes == (1, 4, 5, 2, 3)
    assert strip.splice(0, 2) == (0, 2)  # instead of a span
    assert strip.codes == (2, 3, 5, 2, 3)
    assert strip.repeat(1, 3, times=3) == (1, 7)
    assert strip.codes == (2, 3, 5, 3, 5, 3, 5, 2, 3)
    assert strip.copy(0, 1) == (0, 1)
    strip.load([7, 8])
    assert not strip.edited
    strip.splice(1)  # held codes outlive the strip that they came from
    assert strip.codes == (7, 2, 8)


@pytest.mark.parametrize(
    ("factor", "stretched"),
    [
        (2.0, (0, 0, 1, 1, 2, 2, 3, 3)),
        (0.5, (1, 3)),
        (1.5, (0, 1, 1, 2, 3, 3)),
        (0.05, (2,)),
        (1.0, (0, 1, 2, 3)),
    ],
)
def test_stretched_codes_are_repeated_or_left_out_evenly(factor, stretched):
    strip = CodeStrip([9, 0, 1, 2, 3, 9])
    assert strip.stretch(1, 5, factor) == (1, 1 + len(stretched))
    assert strip.codes == (9, *stretched, 9)


def test_every_edit_can_be_undone_and_redone():
    strip = CodeStrip([1, 2, 3])
    before = [strip.codes]
    for edit, *arguments in (
        (strip.repeat, 0, 1),
        (strip.cut, 1, 3),
        (strip.stretch, 0, 1, 4),
        (strip.splice, 2),
        (strip.reset,),
    ):
        edit(*arguments)
        before.append(strip.codes)
    assert strip.codes == strip.original
    for codes in reversed(before[:-1]):
        assert strip.undo()
        assert strip.codes == codes
    assert not strip.undo()
    assert [strip.redo() for _ in before] == [True] * 5 + [False]
    strip.undo()
    strip.cut(0, 1)
    assert not strip.redo()  # the edit replaced what was undone


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (lambda s: s.cut(2, 2), "codes 2 to 2 of 3"),
        (lambda s: s.cut(-1, 2), "0 <= start < end <= N"),
        (lambda s: s.copy(0, 4), "codes 0 to 4 of 3"),
        (lambda s: s.cut(0, 3), "leave 0 codes; expected 1 to 10000"),
        (lambda s: s.splice(0), "nothing to insert"),
        (lambda s: s.repeat(0, 3, 1), "times=1; expected a whole number, 2 to 50"),
        (lambda s: s.repeat(0, 3, 2.5), "times=2.5"),
        (lambda s: s.stretch(0, 3, 0), "factor=0; expected 1/50 to 50"),
        (lambda s: s.stretch(0, 3, np.nan), "factor=nan"),
        (lambda s: [s.repeat(0, len(s), 50) for _ in range(3)], "375000 codes"),
    ],
)
def test_invalid_edits_are_refused(edit, match):
    strip = CodeStrip([1, 2, 3])
    with pytest.raises(InputError, match=match):
        edit(strip)
    assert len(strip) in (3, 7500)
    assert not strip.held


def test_frames_of_several_codebooks_are_moved_whole():
    frames = [[1, 8], [2, 9], [1, 7]]
    strip = CodeStrip(np.array(frames))
    assert strip.codes == ((1, 8), (2, 9), (1, 7))
    assert strip.repeat(1, 2, times=2) == (1, 3)
    assert strip.codes == ((1, 8), (2, 9), (2, 9), (1, 7))
    strip.cut(0, 1)
    assert strip.held == ((1, 8),)
    strip.splice(3)
    assert strip.codes == ((2, 9), (2, 9), (1, 7), (1, 8))
    assert strip.stretch(2, 4, 0.5) == (2, 3)
    assert strip.codes == ((2, 9), (2, 9), (1, 8))
    while strip.undo():
        pass
    assert strip.codes == strip.original == tuple(map(tuple, frames))


def test_the_pitch_of_frames_is_transposed_drawn_and_edited_with_their_codes():
    strip = CodeStrip([(7, 25), (7, 0), (3, 49), (9, 2)], pitch_levels=50)
    assert strip.transpose(0, 4, -1.5) == (0, 4)
    assert strip.codes == ((7, 22), (7, 0), (3, 46), (9, 1))  # as low as there are levels
    strip.transpose(2, 3, 99)
    assert strip.codes[2] == (3, 49)
    strip.draw_pitch(0, 3, [30, 31, 32])
    assert strip.codes == ((7, 30), (7, 0), (3, 32), (9, 1))  # unvoiced frames stay so
    strip.repeat(0, 2)
    assert strip.codes[:4] == ((7, 30), (7, 0)) * 2
    while strip.undo():
        pass
    assert strip.codes == ((7, 25), (7, 0), (3, 49), (9, 2))
    for levels, message in (([30], "expected 2 of 1 to 49"), ([30, 50], "of 1 to 49")):
        with pytest.raises(InputError, match=message):
            strip.draw_pitch(0, 2, levels)
    with pytest.raises(InputError, match="these codes have no pitch"):
        CodeStrip([1, 2]).transpose(0, 1)


def test_phones_move_with_their_codes_and_come_back():
    strip = CodeStrip()
    strip.load([1, 2, 3, 4], ["", "AE", "AE", "T"])
    strip.cut(1, 3)
    assert strip.phones == ["", "T"]
    strip.splice(2)
    assert (strip.codes, strip.phones) == ((1, 4, 2, 3), ["", "T", "AE", "AE"])
    strip.stretch(1, 2, 2.0)
    assert strip.phones == ["", "T", "T", "AE", "AE"]
    strip.load([7, 8], ["S", "IY"])
    strip.splice(1)
    assert strip.phones == ["S", "AE", "AE", "IY"]  # what was held keeps its own
    strip.undo()
    assert strip.phones == ["S", "IY"]
    pitched = CodeStrip(pitch_levels=50)
    pitched.load([(1, 20), (2, 0)], ["AE", "S"])
    pitched.transpose(0, 2, 1)
    assert (pitched.codes, pitched.phones) == (((1, 22), (2, 0)), ["AE", "S"])
