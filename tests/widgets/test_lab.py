"""The voice lab without a browser; its voice is a set of callbacks."""

import json
import re
import threading

import numpy as np
import pytest

from vqwn_kit import InputError
from vqwn_kit.widgets.arrays import to_pcm
from vqwn_kit.widgets.lab import VoiceLab
from vqwn_kit.widgets.voices import MOST_TAKES, Takes

PATIENCE = 120.0  # seconds, for a busy machine


class CodeVoice:
    """Generates two samples per code, of the code's number, the same in each voice."""

    sample_rate, hop_length, num_embeddings = 8000, 2, 16
    num_codebooks = fewest_codebooks = 1
    pitch_levels = 0
    adds_voices = True
    palette = np.arange(48, dtype=np.uint8).reshape(16, 3)
    utterances = {"ann_1": "one two", "bob_1": ""}

    def __init__(self):
        self.speakers = {"ann": "F", "bob": "M"}
        self.calls, self.gate = [], threading.Semaphore(10**6)

    def prepare(self, waveform, sample_rate):
        """Return every third sample; refuse silence."""
        if not waveform.any():
            raise InputError("no speech")
        return waveform[:: sample_rate // self.sample_rate]

    def fetch(self, key):
        """Return a constant."""
        return np.full(20, 0.5, np.float32), key[:3]

    def phones(self, key):
        """Return silence and two phones of two codes each, of the first utterance only."""
        spans = [(0, 1, "SIL"), (1, 3, "AE"), (3, 5, "T")]
        return [(a / 4000, b / 4000, p) for a, b, p in spans] if key == "ann_1" else []

    def remark(self, waveform):
        """Say how long it is, of recordings of at least 100 samples."""
        return f"{len(waveform)} samples" if len(waveform) >= 100 else ""

    def encode(self, waveform):
        """Return 0, 1, 2, ..., 15, 0, ..."""
        return np.arange(len(waveform) // 2) % 16

    def add(self, name, waveform, report, stop):
        """Add a voice in two steps; a name that is taken is refused."""
        if name in self.speakers:
            raise InputError(f"{name} is taken")
        report(0.5, "error 0.1")
        assert self.gate.acquire(timeout=PATIENCE)
        if not stop.is_set():
            self.speakers[name] = f"{len(waveform)} samples"

    def stream(self, source, voices, temperature, seed, codebooks):
        """Yield a part per code; code 15 fails."""
        self.calls.append((source.tolist(), voices, temperature, seed, codebooks))
        for code in source:
            assert self.gate.acquire(timeout=PATIENCE)
            if code == 15:
                raise RuntimeError("a sampler failed")
            yield np.full((len(voices), 2), code / 16, np.float32)


@pytest.fixture
def voice() -> CodeVoice:
    return CodeVoice()


@pytest.fixture
def lab(voice) -> VoiceLab:
    return VoiceLab(voice, title="codes")


def send(lab, buffers=(), **message) -> None:
    """Send a message as the page does, and wait for the job."""
    lab._receive(None, message, list(buffers))
    lab.wait(PATIENCE)


def test_takes_are_named_by_what_distinguishes_them():
    takes = Takes([1, 2, 3], speaker="ann")
    codes, edited = (1, 2, 3), (3, 2, 1)
    assert takes.name("ann", codes, 1.0, 0) == "reconstruction (ann)"
    assert takes.name("bob", codes, 0.7, 3) == "as bob, T 0.7, seed 3"
    assert takes.name(None, edited, 1.0, 0) == "no speaker, edit 1"
    assert takes.name(("ann", "bob", 0.25), (2,), 1.0, 0) == "75 % ann, 25 % bob, edit 2"
    assert takes.name("bob", edited, 1.0, 0) == "as bob, edit 1"
    takes.add(["as bob", "as ann"], np.zeros((2, 5)), codes)
    takes.add(["as bob, edit 1"], np.ones((1, 5)), edited)
    assert takes.with_codes(codes) == ["original", "as bob", "as ann"]
    assert takes.with_codes(edited) == ["as bob, edit 1"]
    takes.add([f"take {n}" for n in range(MOST_TAKES - 1)], np.zeros((MOST_TAKES - 1, 5)), codes)
    assert len(takes.sounds) == MOST_TAKES
    assert next(iter(takes.sounds)) == "as bob, edit 1"  # the oldest were removed


def test_a_recording_is_resampled_and_generated_in_the_chosen_voices(lab, voice):
    sound = np.linspace(-0.5, 0.5, 60, dtype=np.float32)
    send(lab, [memoryview(to_pcm(sound))], do="sound", name="recording", rate=24_000)
    assert lab.source["name"] == "recording"
    np.testing.assert_allclose(lab.waveform, sound[::3], atol=1e-4)
    assert lab.codes == list(range(10))
    assert lab.player.names == ["original"]
    blend = {"on": True, "share": 0.25}  # as on the page, where the kernel is still busy
    settings = {"blend": blend, "temperature": 0.8, "seed": 5, "voices": ["bob", "no speaker"]}
    settings["codebooks"] = 1
    send(lab, do="generate", settings=settings)
    assert (lab.blend["on"], lab.temperature, lab.seed) == (True, 0.8, 5)
    assert voice.calls == [(list(range(10)), ["bob", None, ("ann", "bob", 0.25)], 0.8, 5, None)]
    names = ("as bob", "no speaker", "75 % ann, 25 % bob")
    assert lab.player.names[1:] == [f"{name}, T 0.8, seed 5" for name in names]
    assert lab.player.active == 1
    np.testing.assert_array_equal(lab.takes["as bob, T 0.8, seed 5"], np.arange(10).repeat(2) / 16)
    assert (lab.progress["done"], lab.progress["total"]) == (20, 20)
    assert lab.player.codes == lab.codes
    send(lab, do="clear")
    assert lab.player.names == ["original"]
    settings |= {"blend": {"on": False}, "temperature": "voiced", "seed": 0, "voices": ["bob"]}
    send(lab, do="generate", settings=settings)
    assert voice.calls[-1][2:4] == ("voiced", 0)
    assert "as bob, by voicing" in lab.player.names


def test_edited_codes_are_generated(lab, voice):
    lab.choose("ann_1")
    assert (lab.source["speaker"], lab.source["notes"]) == ("ann", ["one two"])
    lab.generate().wait(PATIENCE)
    assert lab.matching_tracks == ["original", "reconstruction (ann)", "as bob"]
    send(lab, do="edit", what="repeat", start=2, end=4, amount=3)
    edited = [0, 1, *[2, 3] * 3, *range(4, 10)]
    assert (lab.codes, lab.selection) == (edited, [2, 8])
    assert lab.strip_state["undo"] == 1
    assert lab.matching_tracks == []
    lab.generate().wait(PATIENCE)
    assert voice.calls[-1][0] == edited
    assert lab.matching_tracks == ["reconstruction (ann), edit 1", "as bob, edit 1"]
    assert len(lab.player.tracks["as bob, edit 1"]) == 2 * len(edited)
    assert lab.player.codes == []  # one strip cannot belong to tracks of several codes
    send(lab, do="edit", what="undo", start=0, end=0)
    assert (lab.codes, lab.strip_state["redo"]) == (list(range(10)), 1)
    assert lab.matching_tracks == ["original", "reconstruction (ann)", "as bob"]
    before = lab.strip_state
    send(lab, do="edit", what="cut", start=0, end=10)
    assert "would leave 0 codes" in lab.problem
    assert lab.strip_state["answer"] > before["answer"]  # the page waits for one
    with pytest.raises(InputError, match="did you mean 'cut'"):
        lab.edit("cutt")


def test_sound_is_sent_in_parts_and_kept_after_a_stop(lab, voice):
    voice.gate = threading.Semaphore(0)
    sent = []
    lab.send = lambda message, buffers: sent.append((message["at"], [bytes(b) for b in buffers]))
    lab.choose("bob_1")
    lab.generate()
    with pytest.raises(InputError, match="still generating"):
        lab.generate()
    with pytest.raises(InputError, match="still generating"):
        lab.choose("ann_1")
    lab.edit("cut", 0, 5)  # the kernel is free, and the job keeps its codes
    voice.gate.release(3)
    while lab.progress["done"] < 6:
        assert lab.state == "generating"
    lab._receive(None, {"do": "stop"}, [])
    voice.gate.release()
    lab.wait(PATIENCE)
    assert lab.state == "ready"
    assert voice.calls[0][0] == list(range(10))
    assert [at for at, _ in sent] == [0, 2, 4, 6]
    assert sent[3][1] == [to_pcm(np.full(2, 3 / 16))] * 2
    assert [len(sound) for sound in lab.takes.values()] == [8, 8]
    send(lab, do="resend")  # from a page that was reloaded
    assert sent[-1] == (0, [to_pcm(np.arange(4).repeat(2) / 16)] * 2)


def test_errors_are_shown_and_raised(lab):
    with pytest.raises(InputError, match="no speech yet"):
        lab.generate()
    silence = [memoryview(to_pcm(np.zeros(100)))]
    with pytest.raises(InputError, match="no speech"):
        send(lab, silence, do="sound", name="quiet", rate=8000)
    assert (lab.problem, lab.state) == ("no speech", "ready")
    with pytest.raises(InputError, match="no utterance 'ann_2'"):
        lab.choose("ann_2")
    lab.take(np.full(40, 0.1))
    lab.edit("cut", 0, 10)
    lab.edit("stretch", 0, 1, 3)
    assert lab.problem == ""
    with pytest.raises(RuntimeError, match="a sampler failed"):
        lab.generate().wait(PATIENCE)
    assert lab.problem == "RuntimeError: a sampler failed"
    assert not lab.takes
    lab.voices = []
    with pytest.raises(InputError, match="no voice is chosen"):
        lab.generate()
    with pytest.raises(InputError, match="nothing to draw"):
        VoiceLab(CodeVoice()).figure()


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("voices", ["anne"], "did you mean 'ann'"),
        ("blend", {"first": "carl"}, "no voice 'carl'"),
        ("blend", {"share": 1.2}, "share=1.2"),
        ("temperature", 0.0, "temperature=0.0; expected above 0"),
        ("temperature", "voice", "temperature=voice; expected above 0.*or 'voiced'"),
        ("seed", -1, "seed=-1"),
        ("codebooks", 2, "codebooks=2; expected 1, all of this model"),
    ],
)
def test_invalid_settings_are_refused(lab, name, value, match):
    with pytest.raises(InputError, match=match):
        setattr(lab, name, value)


def test_long_and_clipped_recordings_are_reported(lab):
    lab.take(np.ones(8000 * 31, np.float32))
    assert lab.source["seconds"] == 30.0
    assert lab.source["notes"] == ["its first 30 s", "too loud: parts are clipped at full scale"]


def test_a_page_contains_the_sound(lab, tmp_path):
    assert "image/png" not in lab._repr_mimebundle_()[0]
    lab.choose("ann_1").generate().wait(PATIENCE)
    lab.seed = 3
    page = lab.save_html(tmp_path / "lab.html").read_text(encoding="utf-8")
    state = json.loads(re.search(r'id="widget-0-state">(.*?)</script>', page, re.DOTALL)[1])
    assert state["player"]["names"] == ["original", "reconstruction (ann)", "as bob"]
    assert (state["page"], state["codes"], state["seed"]) == (True, list(range(10)), 3)
    assert page.count("export default") == 0
    assert "image/png" in lab._repr_mimebundle_()[0]


def test_what_to_know_of_a_recording_is_said_and_nothing_of_utterances(voice):
    lab = VoiceLab(voice)
    lab.take(np.full(300, 0.5, np.float32))
    assert lab.source["remark"] == "300 samples"
    lab.take(np.full(50, 0.5, np.float32))
    assert lab.source["remark"] == ""
    voice.fetch = lambda key: (np.full(300, 0.5, np.float32), "ann")
    lab.choose("ann_1")
    assert lab.source["remark"] == ""


def test_an_original_of_ten_seconds_is_added_as_a_voice(lab, voice):
    send(lab, do="add", name="eve")
    assert "10 s of speech or more; the original has 0.0 s" in lab.problem
    lab.choose("ann_1")
    with pytest.raises(InputError, match="the original has 0.0 s"):
        lab.add_voice("eve")
    lab.waveform = np.ones(80_000, np.float32)
    voice.gate = threading.Semaphore(0)
    shares = []
    lab.observe(lambda change: shares.append(change["new"]["done"]), "progress")
    lab._receive(None, {"do": "add", "name": " eve "}, [])
    assert lab.state == "adding"
    with pytest.raises(InputError, match="still adding"):
        lab.generate()
    voice.gate.release()
    lab.wait(PATIENCE)
    assert lab.speakers == [["ann", "F"], ["bob", "M"], ["eve", "80000 samples"]]
    assert lab.voices == ["ann", "bob", "eve"]
    assert 0.5 in shares
    assert (lab.state, lab.progress["total"]) == ("ready", 0)
    voice.gate = threading.Semaphore(10**6)
    lab.blend = {"second": "eve", "on": True}
    lab.generate().wait(PATIENCE)
    assert voice.calls[-1][1] == ["ann", "bob", "eve", ("ann", "eve", 0.5)]
    with pytest.raises(InputError, match="eve is taken"):
        send(lab, do="add", name="eve")
    assert lab.problem == "eve is taken"


def test_a_voice_that_is_stopped_is_not_added(lab, voice):
    lab.choose("ann_1").waveform = np.ones(80_000, np.float32)
    voice.gate = threading.Semaphore(0)
    lab.add_voice("eve").stop()
    voice.gate.release()
    lab.wait(PATIENCE)
    assert [name for name, _ in lab.speakers] == lab.voices == ["ann", "bob"]
    voice.adds_voices = False
    with pytest.raises(InputError, match="one speaker only"):
        lab.add_voice("eve")
    assert VoiceLab(voice).about["adds"] == 0


class FrameVoice(CodeVoice):
    """Two codebooks, whose frames sound as their first code; the second can be left out."""

    num_codebooks = 2
    palette = np.arange(96, dtype=np.uint8).reshape(32, 3)

    def encode(self, waveform):
        """Return 0, 1, 2, ... and 15, 14, 13, ..."""
        codes = super().encode(waveform)
        return np.stack([codes, 15 - codes], axis=-1)

    def stream(self, source, voices, **settings):
        """Yield a part per frame."""
        self.frames = source
        return super().stream(source[:, 0], voices, **settings)


def test_frames_of_two_codebooks_are_edited_and_decoded_from_fewer():
    voice = FrameVoice()
    lab = VoiceLab(voice, voices=["bob"])
    assert (lab.codebooks, lab.about["codebooks"], lab.about["fewest"]) == (2, 2, 1)
    lab.choose("ann_1").generate().wait(PATIENCE)
    frames = [[code, 15 - code] for code in range(10)]
    assert lab.codes == lab.player.codes == frames
    assert lab.matching_tracks == ["original", "as bob"]
    send(lab, do="edit", what="cut", start=1, end=10)
    assert lab.codes == [[0, 15]]
    lab.codebooks = 1
    lab.generate().wait(PATIENCE)
    assert voice.frames.tolist() == [[0, 15]]
    assert [call[-1] for call in voice.calls] == [None, 1]
    assert list(lab.takes) == ["as bob", "as bob, 1 codebook, edit 1"]
    assert lab.matching_tracks == ["as bob, 1 codebook, edit 1"]
    with pytest.raises(InputError, match="codebooks=3; expected 1 to 2"):
        lab.codebooks = 3


class PitchVoice(CodeVoice):
    """Has a level of the pitch beside each code: 20 more than it."""

    pitch_levels = 50

    def encode(self, waveform):
        """Return (0, 20), (1, 21), ..."""
        codes = super().encode(waveform)
        return np.stack([codes, codes + 20], axis=1)

    def stream(self, source, voices, **settings):
        """Note the frames, and generate the codes."""
        self.frames = source.tolist()
        yield from super().stream(source[:, 0], voices, **settings)


def test_pitch_is_edited_with_the_codes_and_is_not_below_the_tracks():
    voice = PitchVoice()
    lab = VoiceLab(voice)
    assert lab.about["pitch"] == 50
    lab.choose("ann_1")
    assert lab.codes[3] == [3, 23]
    assert lab.player.codes == list(range(10))
    send(lab, do="edit", what="draw_pitch", start=2, end=4, amount=[40, 41])
    assert lab.selection == [2, 4]
    lab.edit("transpose", 0, 1, 2)
    lab.generate().wait(PATIENCE)
    assert voice.frames[:5] == [[0, 24], [1, 21], [2, 40], [3, 41], [4, 24]]
    assert lab.matching_tracks == ["reconstruction (ann), edit 1", "as bob, edit 1"]
    send(lab, do="edit", what="draw_pitch", start=2, end=4, amount=[0, 41])
    assert "expected 2 of 1 to 49" in lab.problem


def test_phones_are_written_on_the_strip_where_they_are_known(lab):
    lab.choose("ann_1")
    assert lab.phones == ["", "AE", "AE", "T", "T"] + [""] * 5
    assert [span[2] for span in lab.player.phones] == ["SIL", "AE", "T"]
    lab.edit("cut", 0, 2)
    assert lab.phones[:3] == ["AE", "T", "T"]
    lab.choose("bob_1")
    assert set(lab.phones) == {""}
    assert lab.player.phones == []


def test_the_strip_has_the_palette_of_the_voice(lab, voice):
    assert lab.palette == voice.palette.tobytes()
    lab.choose("ann_1")
    colours = np.frombuffer(lab.player.code_colours, np.uint8).reshape(-1, 3)
    np.testing.assert_array_equal(colours, voice.palette[:10])
