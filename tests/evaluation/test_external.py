"""Packages of the extra `eval`: recogniser, aligner, pitch, STOI."""

import sys
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

import vqwn_kit as vq
from tests.conftest import ROOT, tones
from vqwn_kit.data import audio
from vqwn_kit.data.alignment import read_phones
from vqwn_kit.data.textgrid import Tier, write_textgrid
from vqwn_kit.evaluation import external, phones
from vqwn_kit.evaluation.metrics import NotMeasured


def test_pitch_errors_in_semitones_and_in_voicing():
    track = np.array([100.0, 200.0, np.nan, 150.0])
    assert external.pitch_errors(track, track) == (0.0, 0.0)
    distance, wrong = external.pitch_errors(track, np.array([200.0, 100.0, 90.0, np.nan]))
    assert (distance, wrong) == (12.0, 0.5)
    assert np.isnan(external.pitch_errors(track, np.full(4, np.nan))[0])


@pytest.mark.eval
def test_pitch_of_a_tone():
    track = external.pitch(tones(1.0, 150.0))
    assert np.nanmedian(track) == pytest.approx(150.0, rel=0.02)
    assert np.isnan(external.pitch(np.zeros(16_000))).all()


@pytest.mark.eval
def test_stoi_of_a_clip_against_itself_and_noise(rng):
    clip = tones(1.5, 150.0) * rng.uniform(0.2, 1.0, 24_000)
    assert external.stoi(clip, clip) == pytest.approx(1.0)
    assert external.stoi(clip, rng.normal(0, 0.1, len(clip))) < 0.5
    assert np.isnan(external.stoi(clip[:2000], clip[:2000]))


def test_a_missing_package_is_named_with_what_to_do():
    with pytest.raises(NotMeasured, match=r"no_such_package is not installed.*\[eval\]"):
        external.import_optional("no_such_package")


def test_a_second_judge_of_quality_is_optional_and_gets_a_batch_of_one(monkeypatch):
    """Its package is replaced by one that returns the shape and the largest sample."""
    monkeypatch.setitem(sys.modules, "distillmos", None)
    external._distill_mos.cache_clear()
    with pytest.raises(NotMeasured, match=r"distillmos is not installed.*\.\[mos\]"):
        external.distill_mos(np.zeros(9))

    class Model:
        def eval(self):
            return self

        def __call__(self, batch):
            assert (batch.shape, batch.dtype) == ((1, 9), np.float32)
            return batch.max(axis=1)

    torch = SimpleNamespace(no_grad=nullcontext, from_numpy=np.asarray)
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "distillmos", SimpleNamespace(ConvTransformerSQAModel=Model))
    assert external.distill_mos(np.full(9, 3.5)) == 3.5
    external._distill_mos.cache_clear()


def test_punctuation_and_case_are_left_out_of_texts():
    assert external.words_of("“Don’t,” she said -- TWICE.") == ["don't", "she", "said", "twice"]
    assert external.words_of("你好") == []


def test_phones_of_frames_are_those_in_their_middles():
    spans = [(0.0, 0.012, "SIL"), (0.012, 0.024, "IY"), (0.024, 0.04, "S")]
    labels = phones.frame_phones(spans, 4, 100.0)  # middles at 5, 15, 25, 35 ms
    iy, s = phones.PHONES.index("IY"), phones.PHONES.index("S")
    assert labels.tolist() == [-1, iy, s, s]


def test_times_in_recordings_move_with_the_trimmed_front(tmp_path):
    wave = np.concatenate([np.zeros(16_000, np.float32), tones(0.5, 150.0)])
    for name in ("a_1", "a_2"):
        audio.save_audio(tmp_path / "a" / f"{name}.wav", wave)
    store = vq.prepare(vq.open_corpus(tmp_path), progress=False)
    key = store.corpus.utterances[0].key
    (tmp_path / "phones.tsv").write_text(
        f"utterance\tstart\tend\tphone\n{key}\t0.0\t1.0\tSIL\n{key}\t1.0\t1.5\tIY\n"
    )
    front = store.offsets[0] / 16_000
    assert front > 0.9
    times = phones.phone_times(store, range(len(store)))
    assert set(times) == {0}
    assert times[0][-1][2] == "IY"
    assert times[0][-1][0] == pytest.approx(1.0 - front)


def test_ipa_becomes_arpabet():
    assert phones.arpabet("t͡ʃɝt͡ʃ") == ["CH", "ER", "CH"]
    assert phones.arpabet("ʃmɔɹgəl") == ["SH", "M", "AO", "R", "G", "AH", "L"]
    assert all(p in phones.PHONES for v in phones.IPA_TO_ARPABET.values() for p in v.split())


@pytest.mark.eval
def test_forced_alignment_gives_the_times_and_caches_them(tmp_path, monkeypatch):
    """Of two bundled sentences in a plain folder; a third has a text without English words."""
    corpus = vq.example_corpus()
    for key in ("kumo_036", "kumo_037", "kumo_038"):
        audio.save_audio(tmp_path / "kumo" / f"{key}.wav", corpus[key].load())
        text = "你好" if key == "kumo_037" else corpus[key].text
        (tmp_path / "kumo" / f"{key}.txt").write_text(text)
    store = vq.prepare(vq.open_corpus(tmp_path), progress=False)
    numbers = {u.key.split("/")[-1]: n for n, u in enumerate(store.corpus)}
    times = phones.phone_times(store, range(3))
    assert set(times) == {numbers["kumo_036"], numbers["kumo_038"]}
    table = read_phones(ROOT / "data" / "mini" / "phones.tsv")
    for key in ("kumo_036", "kumo_038"):
        number = numbers[key]
        frames = int(store.lengths[number] / 160)
        aligned = phones.frame_phones(times[number], frames, 100.0)
        expected = phones.in_store(table[key], store, number)
        assert np.mean(aligned == phones.frame_phones(expected, frames, 100.0)) > 0.9
    monkeypatch.setattr(phones, "align", None)  # not called again
    again = phones.phone_times(store, range(3))
    names = [[[p for *_, p in spans] for spans in found.values()] for found in (times, again)]
    assert names[0] == names[1]


@pytest.mark.eval
def test_a_word_that_no_dictionary_has_is_converted_to_phones():
    utterance = vq.example_corpus()["kumo_036"]
    text = utterance.text.replace("river", "rivvuh")
    names = [phone for *_, phone in phones.align(utterance.load(), text) if phone != "SIL"]
    assert ["R", "IH", "V"] in (names[-5:-2], names[-4:-1])


def test_an_utterance_without_text_cannot_be_aligned(store):
    with pytest.raises(NotMeasured, match="no texts"):
        phones.phone_times(store, range(2))


def test_phones_of_a_textgrid_beside_a_recording_are_read(tmp_path):
    """As the Montreal Forced Aligner writes them: ARPABET with stress, or its IPA."""
    wave = np.concatenate([np.zeros(16_000, np.float32), tones(0.5, 150.0)])
    for name in ("a_1", "a_2", "a_3"):
        audio.save_audio(tmp_path / "a" / f"{name}.wav", wave)
    words = Tier("words", [(1.0, 1.5, "easy")])
    arpabet = [(0.0, 1.0, "sil"), (1.0, 1.2, "IY1"), (1.2, 1.5, "Z")]
    ipa = [(0.0, 1.0, ""), (1.0, 1.2, "iː"), (1.2, 1.5, "z")]
    for name, spans in {"a_1": arpabet, "a_2": ipa}.items():
        tiers = [words, Tier("phones", spans)]
        write_textgrid(tmp_path / "a" / f"{name}.TextGrid", tiers, 1.5)
    store = vq.prepare(vq.open_corpus(tmp_path), progress=False)
    times = phones.phone_times(store, range(3))
    assert set(times) == {0, 1}  # as a table that does not name the third
    front = store.offsets[0] / 16_000
    for spans in times.values():
        assert [phone for *_, phone in spans] == ["SIL", "IY", "Z"]
        assert spans[1][:2] == pytest.approx((1.0 - front, 1.2 - front))
    write_textgrid(tmp_path / "a" / "a_3.TextGrid", [Tier("codes", [(0, 1.5, "7")])], 1.5)
    assert phones.phone_times(store, range(3)) == times
    with pytest.raises(NotMeasured, match="no texts in Latin letters, and no phones.tsv"):
        phones.phone_times(store, [2])  # as without a TextGrid
    write_textgrid(tmp_path / "a" / "a_3.TextGrid", [Tier("phones", [(0, 1.5, "ɕ")])], 1.5)
    with pytest.raises(NotMeasured, match=r"a_3.wav has the phone 'ɕ'; expected ARPABET or IPA"):
        phones.phone_times(store, range(3))
    (tmp_path / "a" / "a_3.TextGrid").write_text("no")
    with pytest.raises(NotMeasured, match=r"a_3.TextGrid is no TextGrid that can be read"):
        phones.phone_times(store, range(3))


def test_labels_of_aligners_become_phones():
    labels = {"AH0": "AH", "er1": "ER", "sp": "SIL", "spn": "SIL", "aj": "AY", "tʰ": "T", "n̩": "N"}
    labels |= {"tʃ": "CH", "ɑː": "AA", "ɔj": "OY", "d̪": "D", "oʊ": "OW"}
    for label, phone in labels.items():
        assert phones.phones_of_label(label) == [phone], label
    assert phones.phones_of_label("xi") == []
    assert all(p in phones.PHONES for v in phones.LABELS.values() for p in v.split())
