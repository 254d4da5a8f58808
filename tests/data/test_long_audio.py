"""Recordings block by block, windows, and files that grow."""

import os

import numpy as np
import pytest
import soundfile

from tests.conftest import tones
from vqwn_kit import InputError
from vqwn_kit.data import audio, long_audio
from vqwn_kit.data.long_audio import AudioWriter, survey, windows


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_blocks_are_what_is_loaded_at_once(tmp_path, rng, rate, channels):
    path = tmp_path / "noise.wav"
    soundfile.write(path, rng.normal(0.0, 0.5, (3 * rate // 10 + 77, channels)), rate, "FLOAT")
    blocks = list(audio.stream_audio(path, seconds=0.02))
    assert len(blocks) > 3
    whole, found = audio.load_audio(path), survey(path)
    np.testing.assert_array_equal(np.concatenate(blocks), whole)
    assert (found.path, found.length, found.sample_rate) == (path, len(whole), rate)
    assert found.rms == pytest.approx(np.sqrt(np.mean(whole**2)), rel=1e-5)


def test_a_survey_refuses_what_cannot_be_converted(tmp_path):
    late = np.zeros(5000)
    late[4000] = np.nan
    for name, samples, message in (("nan", late, "NaN"), ("empty", late[:0], "holds no samples")):
        soundfile.write(tmp_path / f"{name}.wav", samples, 16_000, "FLOAT")
        with pytest.raises(InputError, match=message):
            survey(tmp_path / f"{name}.wav")
    with pytest.raises(InputError, match="no such recording"):
        survey(tmp_path / "none.wav")
    name = os.fsdecode(b"\xff.wav")  # no UTF-8
    audio.save_audio(tmp_path / "a.wav", tones(0.1, 200.0)).rename(tmp_path / name)
    assert survey(tmp_path / name).sample_rate == 16_000


@pytest.mark.parametrize("length", [1, 99, 100, 113, 1003])
@pytest.mark.parametrize("block", [1, 7, 100, 2000])
def test_windows_do_not_depend_on_blocks_and_have_all_their_surroundings(length, block):
    whole = np.arange(length)
    blocks = [whole[n : n + block] for n in range(0, length, block)]
    found = list(windows(blocks, 100, 13))
    for part, (window, begin, end) in enumerate(found):
        start, stop = 100 * part, min(100 * part + 100, length)
        assert window[begin:end].tolist() == [*range(start, stop)]
        assert window.tolist() == [*range(max(0, start - 13), min(length, stop + 13))]
    assert len(found) == -(-length // 100)


@pytest.mark.parametrize(("size", "margin"), [(12, 12), (5, 12), (12, 0), (200, 1)])
def test_windows_may_be_shorter_than_their_surroundings(rng, size, margin):
    whole, place = np.arange(101), 0
    borders = np.sort(rng.integers(0, 101, 9))
    for window, begin, end in windows(np.split(whole, borders), size, margin):
        stop = min(place + size, 101)
        assert window.tolist() == [*range(max(0, place - margin), min(101, stop + margin))]
        assert window[begin:end].tolist() == [*range(place, stop)]
        place = stop
    assert place == 101


def test_a_file_is_whole_after_every_part(tmp_path):
    wave, path = tones(0.5, 200.0), tmp_path / "new" / "growing.wav"
    with AudioWriter(path) as writer:
        for end in range(1000, len(wave) + 1, 1000):
            writer.write(wave[end - 1000 : end])
            assert soundfile.info(path).frames == end
    audio.save_audio(tmp_path / "whole.wav", wave)
    assert path.read_bytes() == (tmp_path / "whole.wav").read_bytes()


def test_a_level_is_set_block_by_block(tmp_path, monkeypatch):
    monkeypatch.setattr(long_audio, "BLOCK", 1000)
    with AudioWriter(tmp_path / "made.wav", rms=0.01) as writer:
        writer.write(tones(0.5, 200.0))
    made = audio.read(tmp_path / "made.wav")
    assert len(made.waveform) == 8000
    assert np.sqrt(np.mean(made.waveform**2)) == pytest.approx(0.01, rel=1e-2)


def test_a_file_has_the_rate_and_the_level_that_are_asked_for(tmp_path):
    wave, path = tones(0.5, 200.0), tmp_path / "made.wav"
    with AudioWriter(path, 44_100, rms=0.05) as writer:
        for part in np.array_split(wave, 9):
            writer.write(part)
    made, facts = audio.read(path), soundfile.info(path)
    assert (facts.samplerate, facts.subtype) == (44_100, "PCM_16")
    assert made.seconds == pytest.approx(0.5, abs=1e-4)
    assert np.sqrt(np.mean(made.waveform**2)) == pytest.approx(0.05, rel=1e-3)
    expected = audio.resample(wave, 16_000, 44_100)
    scale = 0.05 / np.sqrt(np.mean(expected**2))
    np.testing.assert_allclose(made.waveform, expected * scale, atol=1e-4)


@pytest.mark.parametrize("rms", [None, 0.05])
def test_a_file_that_is_too_long_for_wav_becomes_rf64_and_stays_whole(tmp_path, monkeypatch, rms):
    wave, paths = tones(0.5, 200.0), [tmp_path / "small.wav", tmp_path / "large.wav"]
    for path, most in zip(paths, (long_audio.MOST_BYTES, 9000), strict=True):
        monkeypatch.setattr(long_audio, "MOST_BYTES", most)
        with AudioWriter(path, rms=rms) as writer:
            for end in range(1000, len(wave) + 1, 1000):
                writer.write(wave[end - 1000 : end])
                facts = soundfile.info(path)
                large = end * (2 if rms is None else 4) > most
                assert (facts.frames, facts.format) == (end, "RF64" if large else "WAV")
    assert [soundfile.info(path).format for path in paths] == ["WAV", "RF64"]
    small, large = (soundfile.read(path, dtype="int16")[0] for path in paths)
    np.testing.assert_array_equal(small, large)


def test_the_sizes_of_wav_are_enough_below_the_limit():
    assert 2**31 < long_audio.MOST_BYTES < 2**32 - 2**20  # samples and chunks


def test_a_level_that_would_clip_is_not_reached(tmp_path):
    wave = np.zeros(1000, np.float32)
    wave[100] = 0.5
    with AudioWriter(tmp_path / "click.wav", rms=0.9) as writer:
        writer.write(wave)
    made = audio.read(tmp_path / "click.wav").waveform
    assert made.argmax() == 100
    assert made.max() == pytest.approx(1.0, abs=1e-4)
    assert np.count_nonzero(made) == 1


def test_what_was_written_before_an_error_stays_and_a_file_without_sound_does_not(tmp_path):
    def write(name, sound):
        with AudioWriter(tmp_path / name, 48_000, rms=0.1) as writer:
            writer.write(sound)
            raise KeyboardInterrupt

    for name, sound in (("some.wav", tones(0.3, 200.0)), ("none.wav", np.zeros(0, np.float32))):
        with pytest.raises(KeyboardInterrupt):
            write(name, sound)
    assert [path.name for path in tmp_path.iterdir()] == ["some.wav"]
    made = audio.read(tmp_path / "some.wav")
    assert made.seconds == pytest.approx(0.3, abs=1e-3)
    assert np.sqrt(np.mean(made.waveform**2)) == pytest.approx(0.1, rel=1e-3)


def test_a_file_that_cannot_be_written_is_an_error_of_the_system(tmp_path):
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(OSError, match=r"cannot write .*folder.wav"):
        AudioWriter(tmp_path / "folder.wav")
