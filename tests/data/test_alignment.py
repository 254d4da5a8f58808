"""Phones and words beside recordings."""

import pytest

from tests.data.test_textgrid import LONG
from vqwn_kit.data.alignment import aligned_spans, read_phones, spans_beside, textgrid_beside
from vqwn_kit.data.textgrid import Tier


@pytest.mark.parametrize("ending", ["TextGrid", "textgrid"])
def test_the_textgrid_beside_a_recording_is_found(tmp_path, ending):
    recording = tmp_path / "a.b.wav"
    assert textgrid_beside(recording) is None
    assert spans_beside(recording, "words") == []
    (tmp_path / f"a.b.{ending}").write_text(LONG, encoding="utf-16")
    assert textgrid_beside(recording) == tmp_path / f"a.b.{ending}"
    assert [label for *_, label in spans_beside(recording, "words")][1] == 'he said "hi"'
    assert spans_beside(recording, "phones") == []


def test_tiers_of_several_speakers_are_joined_in_the_order_of_time():
    ann, bob = [(0.0, 1.0, ""), (1.0, 2.0, "B")], [(0.0, 1.0, "A"), (1.0, 2.0, " ")]
    tiers = [Tier("ann - phones", ann), Tier("bob - Phones", bob)]
    assert aligned_spans([*tiers, Tier("bob - words", [])], "phones") == [
        (0.0, 1.0, "A"),
        (1.0, 2.0, "B"),
    ]
    assert aligned_spans(tiers[:1], "phones") == ann  # its silences stay


def test_a_table_of_phones_may_begin_with_a_byte_order_mark(tmp_path):
    table = "utterance\tstart\tend\tphone\nann_2\t0.05\t0.25\tIY\n"
    (tmp_path / "phones.tsv").write_text(table, encoding="utf-8-sig")
    assert read_phones(tmp_path / "phones.tsv") == {"ann_2": [(0.05, 0.25, "IY")]}
