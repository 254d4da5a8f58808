"""The voice lab without a browser: edits, takes, traits, threads; and time-lapses."""

import json
import re
import shutil
import threading

import numpy as np
import pytest

from tests.conftest import tones
from vqwn_kit import (
    InputError,
    convert_voice,
    generate,
    interpolate_voices,
    load_run,
    time_lapse,
    voice_lab,
)
from vqwn_kit.data import audio
from vqwn_kit.widgets.base import to_pcm
from vqwn_kit.widgets.lab import VoiceLab
from vqwn_kit.widgets.strip import CodeStrip
from vqwn_kit.widgets.voices import MOST_TAKES, Takes
from vqwn_kit.workbench.voice_lab import spread

PATIENCE = 120.0  # seconds, for a machine that has much else to do

# ---- the tape


def test_codes_are_cut_repeated_stretched_and_spliced():
    strip = CodeStrip(np.array([1, 2, 3, 4, 5]))
    assert strip.cut(1, 3) == (1, 1)
    assert (strip.codes, strip.held) == ((1, 4, 5), (2, 3))
    assert strip.splice(3) == (3, 5)
    assert strip.codes == (1, 4, 5, 2, 3)
    assert strip.splice(0, 2) == (0, 2)  # in place of a span
    assert strip.codes == (2, 3, 5, 2, 3)
    assert strip.repeat(1, 3, times=3) == (1, 7)
    assert strip.codes == (2, 3, 5, 3, 5, 3, 5, 2, 3)
    assert strip.copy(0, 1) == (0, 1)
    strip.load([7, 8])
    assert not strip.edited
    strip.splice(1)  # what is held outlives the codes that it came from
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
def test_stretched_codes_are_held_or_left_out_evenly(factor, stretched):
    strip = CodeStrip([9, 0, 1, 2, 3, 9])
    assert strip.stretch(1, 5, factor) == (1, 1 + len(stretched))
    assert strip.codes == (9, *stretched, 9)


def test_every_edit_is_undone_and_done_again():
    strip = CodeStrip([1, 2, 3])
    before = [strip.codes]
    edits = [lambda: strip.repeat(0, 1), lambda: strip.cut(1, 3), lambda: strip.stretch(0, 1, 4),
             lambda: strip.splice(2), strip.reset]  # fmt: skip
    for edit in edits:
        edit()
        before.append(strip.codes)
    assert strip.codes == strip.original
    for codes in reversed(before[:-1]):
        assert strip.undo()
        assert strip.codes == codes
    assert not strip.undo()
    assert [strip.redo() for _ in before] == [True] * 5 + [False]
    strip.undo()
    strip.cut(0, 1)
    assert not strip.redo()  # another future


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (lambda s: s.cut(2, 2), "codes 2 to 2 of 3"),
        (lambda s: s.cut(-1, 2), "0 <= start < end <= N"),
        (lambda s: s.copy(0, 4), "codes 0 to 4 of 3"),
        (lambda s: s.cut(0, 3), "leave 0 codes; expected 1 to 10000"),
        (lambda s: s.splice(0), "nothing is held"),
        (lambda s: s.repeat(0, 3, 1), "times=1; expected a whole number, 2 to 50"),
        (lambda s: s.repeat(0, 3, 2.5), "times=2.5"),
        (lambda s: s.stretch(0, 3, 0), "factor=0; expected 1/50 to 50"),
        (lambda s: s.stretch(0, 3, np.nan), "factor=nan"),
        (lambda s: [s.repeat(0, len(s), 50) for _ in range(3)], "375000 codes"),
    ],
)
def test_edits_that_cannot_be_leave_the_codes(edit, match):
    strip = CodeStrip([1, 2, 3])
    with pytest.raises(InputError, match=match):
        edit(strip)
    assert len(strip) in (3, 7500)
    assert not strip.held


def test_takes_are_named_by_what_sets_them_apart():
    takes = Takes([1, 2, 3], speaker="ann")
    codes, other = (1, 2, 3), (3, 2, 1)
    assert takes.name("ann", codes, 1.0, 0) == "reconstruction (ann)"
    assert takes.name("bob", codes, 0.7, 3) == "as bob, T 0.7, seed 3"
    assert takes.name(None, other, 1.0, 0) == "no voice, edit 1"
    assert takes.name(("ann", "bob", 0.25), (2,), 1.0, 0) == "75 % ann, 25 % bob, edit 2"
    assert takes.name("bob", other, 1.0, 0) == "as bob, edit 1"
    takes.add(["as bob", "as ann"], np.zeros((2, 5)), codes)
    takes.add(["as bob, edit 1"], np.ones((1, 5)), other)
    assert takes.alike(codes) == ["original", "as bob", "as ann"]
    assert takes.alike(other) == ["as bob, edit 1"]
    takes.add([f"take {n}" for n in range(MOST_TAKES - 1)], np.zeros((MOST_TAKES - 1, 5)), codes)
    assert len(takes.sounds) == MOST_TAKES
    assert next(iter(takes.sounds)) == "as bob, edit 1"  # the oldest made room


# ---- the widget alone: its voice is any callbacks


class Parrot:
    """Says code after code: two samples of the code's number, in one voice as in another."""

    sample_rate, hop_length, num_embeddings = 8000, 2, 16
    speakers = {"ann": "F", "bob": "M"}
    utterances = {"ann_1": "one two", "bob_1": ""}

    def __init__(self):
        self.calls, self.gate = [], threading.Semaphore(10**6)

    def prepare(self, waveform, sample_rate):  # noqa: D102
        if not waveform.any():
            raise InputError("nothing is heard")
        return waveform[:: sample_rate // self.sample_rate]

    def fetch(self, key):  # noqa: D102
        return np.full(20, 0.5, np.float32), key[:3]

    def encode(self, waveform):  # noqa: D102
        return np.arange(len(waveform) // 2)

    def stream(self, told, voices, temperature, seed):  # noqa: D102
        self.calls.append((told.tolist(), voices, temperature, seed))
        for code in told:
            assert self.gate.acquire(timeout=PATIENCE)
            if code == 15:
                raise RuntimeError("a sore throat")
            yield np.full((len(voices), 2), code / 16, np.float32)


@pytest.fixture
def parrot() -> Parrot:
    return Parrot()


@pytest.fixture
def lab(parrot) -> VoiceLab:
    return VoiceLab(parrot, title="parrot")


def press(lab, buffers=(), **message) -> None:
    lab._asked(None, message, list(buffers))
    lab.wait(PATIENCE)


def test_a_recording_is_taken_at_the_models_rate_and_spoken(lab, parrot):
    sound = np.linspace(-0.5, 0.5, 60, dtype=np.float32)
    press(lab, [memoryview(to_pcm(sound))], do="sound", name="recording", rate=24_000)
    assert lab.source["name"] == "recording"
    np.testing.assert_allclose(lab.waveform, sound[::3], atol=1e-4)
    assert lab.codes == list(range(10))
    assert lab.player.names == ["original"]
    blend = {"on": True, "share": 0.25}  # as on the page; the kernel may not have heard of it yet
    how = {"blend": blend, "temperature": 0.8, "seed": 5, "voices": ["bob", "no voice"]}
    press(lab, do="speak", how=how)
    assert (lab.blend["on"], lab.temperature, lab.seed) == (True, 0.8, 5)
    assert parrot.calls == [(list(range(10)), ["bob", None, ("ann", "bob", 0.25)], 0.8, 5)]
    assert lab.player.names[1:] == [
        f"{who}, T 0.8, seed 5" for who in ("as bob", "no voice", "75 % ann, 25 % bob")
    ]
    assert lab.player.active == 1
    np.testing.assert_array_equal(lab.takes["as bob, T 0.8, seed 5"], np.arange(10).repeat(2) / 16)
    assert (lab.progress["done"], lab.progress["total"]) == (20, 20)
    assert lab.player.codes == lab.codes
    press(lab, do="clear")
    assert lab.player.names == ["original"]


def test_what_is_edited_is_what_is_said(lab, parrot):
    lab.choose("ann_1")
    assert (lab.source["speaker"], lab.source["notes"]) == ("ann", ["one two"])
    lab.speak().wait(PATIENCE)
    assert lab.alike == ["original", "reconstruction (ann)", "as bob"]
    press(lab, do="edit", what="repeat", start=2, end=4, amount=3)
    said = [0, 1, *[2, 3] * 3, *range(4, 10)]
    assert (lab.codes, lab.selection) == (said, [2, 8])
    assert lab.tape["undo"] == 1
    assert lab.alike == []
    lab.speak().wait(PATIENCE)
    assert parrot.calls[-1][0] == said
    assert lab.alike == ["reconstruction (ann), edit 1", "as bob, edit 1"]
    assert len(lab.player.tracks["as bob, edit 1"]) == 2 * len(said)
    assert lab.player.codes == []  # one strip can't be below tracks of several codes
    press(lab, do="edit", what="undo", start=0, end=0)
    assert (lab.codes, lab.tape["redo"]) == (list(range(10)), 1)
    assert lab.alike == ["original", "reconstruction (ann)", "as bob"]
    before = lab.tape
    press(lab, do="edit", what="cut", start=0, end=10)
    assert "would leave 0 codes" in lab.problem
    assert lab.tape["answer"] > before["answer"]  # the browser waits for one
    with pytest.raises(InputError, match="did you mean 'cut'"):
        lab.edit("cutt")


def test_speech_comes_in_parts_and_is_kept_when_it_is_stopped(lab, parrot):
    parrot.gate = threading.Semaphore(0)
    sent = []
    lab.send = lambda message, buffers: sent.append((message["at"], [bytes(b) for b in buffers]))
    lab.choose("bob_1")
    lab.speak()
    with pytest.raises(InputError, match="still speaking"):
        lab.speak()
    with pytest.raises(InputError, match="still speaking"):
        lab.choose("ann_1")
    lab.edit("cut", 0, 5)  # the kernel is free, and what is being said stays
    parrot.gate.release(3)
    while lab.progress["done"] < 6:
        assert lab.state == "speaking"
    lab._asked(None, {"do": "stop"}, [])
    parrot.gate.release()
    lab.wait(PATIENCE)
    assert lab.state == "ready"
    assert parrot.calls[0][0] == list(range(10))
    assert [at for at, _ in sent] == [0, 2, 4, 6]
    assert sent[3][1] == [to_pcm(np.full(2, 3 / 16))] * 2
    assert [len(sound) for sound in lab.takes.values()] == [8, 8]
    press(lab, do="again")  # a page that was reloaded meanwhile
    assert sent[-1] == (0, [to_pcm(np.arange(4).repeat(2) / 16)] * 2)


def test_what_goes_wrong_is_told_and_raised(lab):
    with pytest.raises(InputError, match="nothing to say yet"):
        lab.speak()
    press_silence = [memoryview(to_pcm(np.zeros(100)))]
    with pytest.raises(InputError, match="nothing is heard"):
        press(lab, press_silence, do="sound", name="quiet", rate=8000)
    assert (lab.problem, lab.state) == ("nothing is heard", "ready")
    with pytest.raises(InputError, match="no utterance 'ann_2'"):
        lab.choose("ann_2")
    lab.take(np.full(40, 0.1))
    lab.edit("cut", 0, 10)
    lab.edit("stretch", 0, 1, 3)
    assert lab.problem == ""
    with pytest.raises(RuntimeError, match="a sore throat"):
        lab.speak().wait(PATIENCE)
    assert lab.problem == "RuntimeError: a sore throat"
    assert not lab.takes
    lab.voices = []
    with pytest.raises(InputError, match="nobody is chosen"):
        lab.speak()
    with pytest.raises(InputError, match="nothing to draw"):
        VoiceLab(Parrot()).figure()


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("voices", ["anne"], "did you mean 'ann'"),
        ("blend", {"first": "carl"}, "no voice 'carl'"),
        ("blend", {"share": 1.2}, "share=1.2"),
        ("temperature", 0.0, "temperature=0.0; expected above 0"),
        ("seed", -1, "seed=-1"),
    ],
)
def test_settings_that_cannot_be_are_refused(lab, name, value, match):
    with pytest.raises(InputError, match=match):
        setattr(lab, name, value)


def test_long_and_loud_recordings_are_named(lab):
    lab.take(np.ones(8000 * 31, np.float32))
    assert lab.source["seconds"] == 30.0
    assert lab.source["notes"] == ["its first 30 s", "too loud: parts are cut at full scale"]


def test_a_page_holds_the_sound_and_no_buttons_are_needed(lab, tmp_path):
    assert "image/png" not in lab._repr_mimebundle_()[0]
    lab.choose("ann_1").speak().wait(PATIENCE)
    lab.seed = 3
    page = lab.save_html(tmp_path / "lab.html").read_text(encoding="utf-8")
    state = json.loads(re.search(r'id="state">(.*?)</script>', page, re.DOTALL)[1])
    assert state["player"]["names"] == ["original", "reconstruction (ann)", "as bob"]
    assert (state["page"], state["codes"], state["seed"]) == (True, list(range(10)), 3)
    assert page.count("export default") == 0
    assert "image/png" in lab._repr_mimebundle_()[0]


# ---- a run


def test_a_lab_of_a_run_speaks_as_generate_does(run, store):
    lab = voice_lab(run, store, voices=["bob"], temperature=0.9, blend={"share": 0.5})
    assert [name for name, _ in lab.speakers] == ["ann", "bob"]
    assert [key for key, _ in lab.utterances] == [
        store.corpus.utterances[n].key for n in store.numbers("held_out")
    ]
    key, _ = lab.utterances[0]
    lab.choose(key)
    model, codes = run.model, np.array(lab.codes)
    assert np.array_equal(codes, model.encode(lab.waveform)[0])
    lab.edit("stretch", 0, 4, 2)
    lab.blend = {"on": True}
    lab.speak().wait(PATIENCE)
    between = interpolate_voices(model, "ann", "bob", 0.5)
    expected = generate(model, [*codes[:4].repeat(2), *codes[4:]], ["bob", between],
                        temperature=0.9)  # fmt: skip
    np.testing.assert_array_equal(list(lab.takes.values()), expected)


def test_a_recording_at_any_rate_is_resampled_and_trimmed(run, store):
    lab = voice_lab(run, store)
    sound = tones(0.5, 200.0)
    quiet = np.zeros(8000, np.float32)
    lab.take(audio.resample(np.concatenate([quiet, sound, quiet]), 16_000, 44_100), 44_100)
    assert lab.source["seconds"] == pytest.approx(0.5, abs=0.1)
    assert "0.9 s of silence" in lab.source["notes"][0] or "1.0 s of" in lab.source["notes"][0]
    middle = lab.waveform[2000:6000]
    best = max(np.corrcoef(middle, sound[n : n + 4000])[0, 1] for n in range(1000, 4000))
    assert best > 0.999
    with pytest.raises(InputError, match="nothing is heard in these 1.0 s"):
        lab.take(np.full(16_000, 1e-4, np.float32))


def test_a_run_without_corpus_or_codebook_has_a_lab(run, tmp_path, store):
    copy = shutil.copytree(run.folder, tmp_path / "run")
    lab = voice_lab(copy)
    assert lab.utterances == []
    assert lab.about["note"].startswith("No utterances to choose from: ")
    with pytest.raises(InputError, match="did you mean 'voices'"):
        voice_lab(copy, voice=["ann"])
    from vqwn_kit import Run, build_model, load_preset

    preset = load_preset("tiny").change(bottleneck="ae")
    plain = Run.create(tmp_path / "plain" / "weights", preset, "speech", run.speakers)
    plain.save_weights(build_model(preset, list(run.speakers)), 7)
    lab = voice_lab(plain.folder, voices=["ann"])
    lab.take(tones(0.2, 200.0))
    assert (lab.codes, lab.about["codes"]) == ([], 0)
    lab.speak().wait(PATIENCE)
    expected = convert_voice(load_run(plain.folder).model, lab.waveform, ["ann"])
    np.testing.assert_array_equal(list(lab.takes.values()), expected)


def test_a_first_stage_has_no_lab(run, tmp_path):
    from vqwn_kit import Run, build_model, load_preset

    preset = load_preset("tiny").change(decoder="MelDecoder")
    first = Run.create(tmp_path / "weights", preset, "speech", run.speakers)
    first.save_weights(build_model(preset, list(run.speakers)), 1)
    with pytest.raises(InputError, match="first stage, without a WaveNet"):
        voice_lab(tmp_path)


def test_a_time_lapse_speaks_as_the_model_did_at_each_step(run, store):
    key = store.corpus.utterances[0].key
    player = time_lapse(run, key, data=store, seed=2)
    assert player.names == ["original", "step 10", "step 20"]
    wave = store.waveform(0)
    for step in (10, 20):
        said = convert_voice(run.load_model(step), wave, [store.corpus[key].speaker], seed=2)[0]
        np.testing.assert_array_equal(player.tracks[f"step {step}"], said)
    assert player.codes == run.load_model(20).encode(wave)[0].tolist()
    assert time_lapse(run, key, [20], data=store).names == ["original", "step 20"]
    with pytest.raises(InputError, match="no checkpoint of step '15'"):
        time_lapse(run, key, [15, 20], data=store)
    with pytest.raises(InputError, match="no utterance 'x'"):
        time_lapse(run, "x", data=store)


def test_steps_are_spread_over_their_logarithms():
    assert spread([20, 10]) == [10, 20]
    assert spread(range(0, 10_001, 100), 4) == [0, 100, 500, 10_000]
    assert spread([0, 1, 10, 100, 1000, 10_000], 3) == [0, 100, 10_000]
    assert spread([], 3) == []
