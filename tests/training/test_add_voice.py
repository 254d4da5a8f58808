"""A voice is fitted to seconds of speech, and kept in the run's folder."""

import contextlib
import shutil
import threading
import time

import numpy as np
import pytest

from tests.conftest import tones, zero_crossings
from vqwn_kit import InputError, Run, add_voice, build_model, load_preset
from vqwn_kit.files import only_writer
from vqwn_kit.runs.added_voices import (
    AddedVoice,
    read_voice,
    remove_voice,
    save_voice,
    voice_files,
)
from vqwn_kit.training import add_voice as module
from vqwn_kit.training.add_voice import Objective, VoiceFit, objective_of, prepare_speech

SPEECH = np.concatenate([tones(2.0, 150.0 + 20 * n, n) for n in range(4)])


@pytest.fixture
def copy(run, tmp_path) -> Run:
    return Run(shutil.copytree(run.folder, tmp_path / "run"))


@pytest.fixture
def short(monkeypatch) -> None:
    """A few steps."""
    monkeypatch.setattr(module, "CHECK", 2)

    def few(model):
        return objective_of(model)._replace(steps=4, crop=1024, batch=2)

    monkeypatch.setattr(module, "objective_of", few)


@pytest.fixture(scope="module")
def untrained():
    """A model of random weights whose conditioner has layers."""
    changes = {"conditioner": {"local_channels": 6, "local_layers": 1, "speaker_dim": 3}}
    return build_model(load_preset("tiny").change(decoder=changes), ["ann", "bob", "cid"])


@pytest.mark.parametrize("biases", [False, True])
def test_the_vector_is_found_that_speech_was_made_with(untrained, biases, monkeypatch, rng):
    """The loss is the distance to the conditioning of a hidden voice, so its optimum is known."""
    model, hop = untrained, untrained.hop_length
    conditioner = model.decoder.conditioner
    hidden = rng.normal(size=3 + biases * conditioner.offset_channels).astype(np.float32)
    speech = prepare_speech(model, [SPEECH])
    target = np.array(model.condition(speech.z_q, hidden[None]))[0]
    place = np.repeat(np.arange(len(target)), hop).astype(np.float32)[None, :, None]
    speech.waveform = place  # a crop of it says which frames it has

    def distance(waveform, conditioning, training):
        import tensorflow as tf

        frames = tf.cast(waveform[:, ::hop, 0], tf.int32)
        return tf.reduce_mean((conditioning - tf.gather(target, frames)) ** 2)

    objective = Objective("distance", 1.0, distance, 16 * hop, 8, 400, 0.1)
    monkeypatch.setattr(module, "objective_of", lambda model: objective)
    fit = VoiceFit(model, speech, conditioning=biases)
    found = fit.run(time.monotonic() + 600, lambda share, text: None)
    before, _, after = fit.errors["distance"]
    assert after < 0.03 * before
    np.testing.assert_allclose(
        model.condition(speech.z_q, found[None]), target[None], atol=0.5 * target.std()
    )


def test_the_choice_of_a_start_can_be_stopped_and_ends_at_the_time(untrained, monkeypatch):
    fit = VoiceFit(untrained, prepare_speech(untrained, [SPEECH]), conditioning=False)
    shown = []

    def measure(vector, *crops):
        return float(np.sum(np.square(vector)))

    def show(share, text):
        shown.append((share, text))
        if len(shown) == 3:
            raise KeyboardInterrupt

    rng, late = np.random.default_rng(0), time.monotonic() + 600
    assert fit._best_start(measure, rng, time.monotonic(), show)
    assert shown == [(0.0, "start 1 of 3")]
    with pytest.raises(KeyboardInterrupt):
        fit._best_start(measure, rng, late, show)
    assert shown[1:] == [(0.0, "start 1 of 3"), (0.0, "start 2 of 3")]


def test_crops_hold_nothing_of_the_held_out_fifth(untrained, rng):
    speech = prepare_speech(untrained, [SPEECH, SPEECH[:30_001]])
    hop, frames = untrained.hop_length, speech.z_q.shape[1]
    assert speech.waveform.shape[1] == frames * hop
    spans = sorted([*speech.train, *speech.held_out])
    assert [a for a, _ in spans] == [0, *(b for _, b in spans[:-1])]
    assert spans[-1][1] == frames
    held = sum(b - a for a, b in speech.held_out)
    assert held == pytest.approx(frames / 5, abs=2)
    fit = VoiceFit(untrained, speech, conditioning=False)
    crop = fit.objective.crop
    length = crop // hop
    for first in fit._drawn(rng, 200):
        assert any(a <= first and first + length <= b for a, b in speech.train)
    first = speech.train[0][1] - length
    waveform, z_q, pitch = fit._crops(np.array([first, 0]))
    begin = first * hop
    np.testing.assert_array_equal(waveform[0], speech.waveform[0, begin : begin + crop])
    np.testing.assert_array_equal(z_q[1], speech.z_q[0, :length])
    assert pitch is None


@pytest.mark.usefixtures("short")
def test_a_voice_is_kept_and_the_weights_stay_as_they_are(copy, run):
    weights = copy.weights_file(copy.newest).read_bytes()
    seen = []
    voice = add_voice(copy, SPEECH, "eve", progress=False, report=lambda *given: seen.append(given))
    before, start, after = voice.about["errors"]["bits per sample"]
    assert after <= before
    assert start
    assert voice.about["seconds"] == pytest.approx(8.0, abs=0.1)
    assert [share for share, _ in seen] == sorted(share for share, _ in seen)
    assert seen[-1][0] == 1.0
    assert copy.weights_file(copy.newest).read_bytes() == weights
    for weight, known in zip(copy.model.get_weights(), run.model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, known)
    again = Run(copy.folder)
    assert list(again.speakers) == list(copy.speakers) == ["ann", "bob", "eve"]
    assert copy.model.voice_names == ["ann", "bob", "eve"]
    np.testing.assert_array_equal(again.added_voices["eve"].vector, voice.vector)
    same = add_voice(copy, SPEECH, "zoe", progress=False)
    np.testing.assert_array_equal(same.vector, voice.vector)  # the seed decides the crops
    with pytest.raises(InputError, match="'eve' already, of step 20.*--remove 'eve'"):
        add_voice(copy, SPEECH, "EVE", progress=False)


@pytest.mark.parametrize("step", [10, 20])
def test_no_voice_of_the_run_is_overwritten(copy, step, monkeypatch):
    """Also those that another process adds, before this one has the lock, and of other steps."""
    monkeypatch.setattr(VoiceFit, "run", lambda fit, ends, show: np.zeros(4, np.float32))
    opened = Run(copy.folder / f"weights-{30 - step}")
    assert list(opened.speakers) == ["ann", "bob"]
    foreign = AddedVoice("Eve", np.ones(4, np.float32), step)
    save_voice(copy.folder, foreign)
    with pytest.raises(InputError, match=f"'Eve' already, of step {step}: .*--remove 'Eve'"):
        add_voice(opened, SPEECH, "eve", progress=False)
    remove_voice(copy.folder, "Eve")

    @contextlib.contextmanager
    def waited(folder, task):
        save_voice(folder, foreign)
        yield

    monkeypatch.setattr(module, "only_writer", waited)
    with pytest.raises(InputError, match="'Eve' already"):
        add_voice(opened, SPEECH, "eve", progress=False)
    np.testing.assert_array_equal(read_voice(*voice_files(copy.folder)).vector, 1)


def test_a_voice_of_weights_that_are_gone_is_replaced(copy, monkeypatch):
    monkeypatch.setattr(VoiceFit, "run", lambda fit, ends, show: np.ones(4, np.float32))
    save_voice(copy.folder, AddedVoice("eve", np.zeros(4, np.float32), 5))
    assert add_voice(copy, SPEECH, "eve", progress=False).step == 20


def test_a_voice_belongs_to_the_weights_that_were_loaded(copy, monkeypatch):
    """Training in the folder has continued since, and may have removed them."""
    monkeypatch.setattr(VoiceFit, "run", lambda fit, ends, show: np.ones(4, np.float32))
    newest, aside = copy.weights_file(20), copy.folder / "aside"
    newest.rename(aside)
    _ = copy.model
    aside.rename(newest)
    assert add_voice(copy, SPEECH, "eve", progress=False).step == 10
    assert copy.model.voice_names == ["ann", "bob", "eve"]
    copy.weights_file(10).unlink()
    with pytest.raises(InputError, match="have been removed"):
        add_voice(copy, SPEECH, "zoe", progress=False)


def test_a_stop_and_ctrl_c_leave_nothing(copy, monkeypatch):
    monkeypatch.setattr(VoiceFit, "run", lambda fit, ends, show: show(0.5, "half of it"))
    stop = threading.Event()
    stop.set()
    assert add_voice(copy, SPEECH, "eve", progress=False, stop=stop) is None

    def press(share, text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        add_voice(copy, SPEECH, "eve", progress=False, report=press)
    assert not (copy.folder / "voices").exists()
    assert list(copy.speakers) == ["ann", "bob"]
    with only_writer(copy.folder):  # the lock is gone, too
        pass


@pytest.mark.usefixtures("short", "estimator")
def test_the_mean_pitch_of_a_voice_is_that_of_all_its_speech(pitch_run, tmp_path):
    copy = Run(shutil.copytree(pitch_run.folder, tmp_path / "run"))
    low, high = tones(4.0, 100.0), tones(4.0, 200.0)
    speech = prepare_speech(copy.model, [low, high])
    assert speech.hertz == pytest.approx(np.sqrt(100 * 200), rel=0.1)
    values = np.concatenate([zero_crossings(wave) for wave in (low, high)])
    assert speech.hertz == pytest.approx(2 ** np.nanmean(np.log2(values)))  # of the estimator
    half = speech.pitch.shape[1] // 2
    means = [np.nanmean(speech.pitch[0, part]) for part in (slice(half), slice(half, None))]
    np.testing.assert_allclose(means, [-6, 6], atol=1)
    voice = add_voice(copy, [low, high], "eve", progress=False)
    assert voice.about["hertz"] == pytest.approx(speech.hertz)


def test_what_no_voice_can_be_added_from_is_refused(copy, tmp_path):
    silence = np.zeros(160_000, np.float32)
    gap = np.concatenate([SPEECH[:32_000], silence, SPEECH[:32_000]])
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    cases = {
        "4.0 s of speech, pauses left out; expected 5 s or more": gap,
        "silent": silence,
        "no such recording": "nowhere.wav",
        "there is no sound file": tmp_path / "empty",
        r"broken\.wav": [tmp_path / "broken.wav"],
        "the speech: some samples are not finite": np.full(90_000, np.nan),
        "no sounds given": [],
    }
    for message, sounds in cases.items():
        with pytest.raises(InputError, match=message):
            add_voice(copy, sounds, "eve", progress=False)
    with pytest.raises(InputError, match="a voice 'ann' already: give another name$"):
        add_voice(copy, SPEECH, "Ann", progress=False)
    with pytest.raises(InputError, match="minutes is 0; expected more than 0"):
        add_voice(copy, SPEECH, "eve", minutes=0, progress=False)
    with only_writer(copy.folder), pytest.raises(InputError, match="is in use"):
        add_voice(copy, SPEECH, "eve", progress=False)
    assert not (copy.folder / "voices").exists()


def test_a_run_of_one_speaker_takes_no_voices(run, tmp_path):
    alone = Run.create(tmp_path / "weights", run.preset, "speech", {"ann": {}})
    alone.save_weights(build_model(run.preset, ["ann"]), 1)
    with pytest.raises(InputError, match="trained on 1 speaker"):
        add_voice(alone, SPEECH, "eve", progress=False)
