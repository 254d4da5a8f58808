"""Recordings in and out, and mu-law."""

import os

import numpy as np
import pytest
import soundfile

from tests.conftest import tones
from vqwn_kit import InputError
from vqwn_kit.data import audio
from vqwn_kit.data.corpus import example_folder, find_folder
from vqwn_kit.data.decode import digest_of


def test_mu_law_is_the_identity_on_all_levels():
    levels = np.arange(256)
    assert np.array_equal(audio.mu_law_encode(audio.mu_law_decode(levels)), levels)


def test_mu_law_matches_the_formula_and_its_ends():
    assert audio.mu_law_encode(np.array([-1.0, 1.0, -2.0, 2.0])).tolist() == [0, 255, 0, 255]
    x = 0.1
    y = np.log(1 + 255 * x) / np.log(256)
    assert audio.mu_law_encode(np.array([x]))[0] == int((y + 1) / 2 * 255 + 0.5)


def test_mu_law_step_is_finer_near_zero():
    steps = np.diff(audio.mu_law_decode(np.arange(256)))
    assert (steps > 0).all()
    assert steps[127] < 1e-3 < 0.03 < steps[0]


def test_saving_and_loading_keeps_samples_to_a_16_bit_step(tmp_path, rng):
    wave = rng.uniform(-0.9, 0.9, 1000).astype(np.float32)
    back = audio.load_audio(audio.save_audio(tmp_path / "a.wav", wave))
    assert np.abs(back - wave).max() <= 1 / 32768


def test_stereo_at_48_khz_becomes_mono_at_16_khz(tmp_path):
    wave = tones(0.5, 440.0)
    loud = np.repeat(wave, 3)
    soundfile.write(tmp_path / "s.wav", np.stack([loud, -0.5 * loud], 1), 48_000, "PCM_24")
    loaded = audio.load_audio(tmp_path / "s.wav")
    assert loaded.dtype == np.float32
    assert loaded.shape == (8000,)
    spectrum = np.abs(np.fft.rfft(loaded))
    assert np.fft.rfftfreq(8000, 1 / 16_000)[spectrum.argmax()] == pytest.approx(440, abs=4)
    assert np.abs(loaded[100:-100]).max() == pytest.approx(0.25 * np.abs(wave).max(), rel=0.05)


def test_trimming_cuts_silence_and_says_how_much():
    wave = np.concatenate([np.zeros(8000), tones(0.5, 200.0), np.zeros(4000)]).astype(np.float32)
    trimmed, start = audio.trim_silence(wave)
    assert abs(start - 8000) <= 1024
    assert len(trimmed) <= 8000 + 2048
    assert np.array_equal(trimmed, wave[start : start + len(trimmed)])
    assert len(audio.trim_silence(np.zeros(100, np.float32))[0]) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such recording"), (b"", "no sound"), (b"this is text, not sound", "no sound")],
)
def test_what_is_no_sound_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / "bad.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        audio.load_audio(path)
    assert "bad.wav" in str(caught.value)


def test_no_samples_and_nan_are_refused(tmp_path):
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16_000)
    with pytest.raises(InputError, match="no samples"):
        audio.load_audio(tmp_path / "none.wav")
    soundfile.write(tmp_path / "nan.wav", np.array([0.1, np.nan]), 16_000, "FLOAT")
    with pytest.raises(InputError, match="NaN"):
        audio.load_audio(tmp_path / "nan.wav")


def test_saving_is_whole_or_not_at_all_and_only_as_wav_or_flac(tmp_path):
    with pytest.raises(InputError, match=r"\.wav or \.flac"):
        audio.save_audio(tmp_path / "a.mp3", np.zeros(10))
    path = audio.save_audio(tmp_path / "a.flac", tones(0.1, 200.0))
    before = path.read_bytes()
    with pytest.raises(OSError, match=r"cannot write .*a\.flac"):
        audio.save_audio(path, np.zeros(10), sample_rate=-1)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.flac"]


def test_float_recordings_are_clipped_to_the_range(tmp_path):
    soundfile.write(tmp_path / "loud.wav", np.array([2.0, -3.0, 0.5]), 16_000, "FLOAT")
    assert audio.load_audio(tmp_path / "loud.wav").tolist() == [1.0, -1.0, 0.5]


@pytest.mark.parametrize(
    ("ending", "form", "subtype"),
    [
        ("wav", "WAV", "PCM_U8"),
        ("wav", "WAV", "PCM_16"),
        ("wav", "WAV", "PCM_24"),
        ("wav", "WAV", "PCM_32"),
        ("wav", "WAV", "FLOAT"),
        ("wav", "WAV", "DOUBLE"),
        ("flac", "FLAC", "PCM_24"),
        ("ogg", "OGG", "VORBIS"),
        ("opus", "OGG", "OPUS"),
        ("mp3", "MP3", "MPEG_LAYER_III"),
        ("aiff", "AIFF", "PCM_16"),
        ("au", "AU", "PCM_16"),
        ("caf", "CAF", "PCM_16"),
    ],
)
def test_every_format_is_read_as_the_sound_it_holds(tmp_path, ending, form, subtype):
    wave = np.repeat(tones(0.5, 200.0), 3)
    path = tmp_path / f"a.{ending}"
    soundfile.write(path, np.stack([wave, wave], 1), 48_000, subtype, format=form)
    recording = audio.read(path)
    assert (recording.kind, recording.channels) == (f"{form} {subtype}", 2)
    assert recording.sample_rate == 48_000
    loaded = audio.load_audio(path)
    assert abs(len(loaded) - 8000) <= 800  # lossy formats may add a frame
    spectrum = np.abs(np.fft.rfft(loaded))
    assert np.fft.rfftfreq(len(loaded), 1 / 16_000)[spectrum.argmax()] == pytest.approx(200, abs=3)
    assert np.sqrt(np.mean(loaded**2)) == pytest.approx(np.sqrt(np.mean(wave**2)), rel=0.1)


def test_a_file_that_was_cut_off_says_how_much_is_left(tmp_path):
    for ending in ("wav", "aiff", "au"):
        path = tmp_path / f"a.{ending}"
        soundfile.write(path, tones(1.0, 200.0), 16_000, "PCM_16")
        assert audio.read(path).kept == 1
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 4])
        assert audio.read(path).kept == pytest.approx(0.25, abs=0.01)
        assert len(audio.load_audio(path)) == pytest.approx(4000, abs=60)


def test_a_level_is_reached_unless_it_would_clip():
    wave = tones(0.5, 200.0)
    quiet = audio.set_level(wave, -40.0)
    assert 20 * np.log10(np.sqrt(np.mean(quiet**2))) == pytest.approx(-40.0, abs=0.01)
    assert np.abs(audio.set_level(wave, 0.0)).max() == pytest.approx(1.0)
    assert quiet == pytest.approx(wave * (quiet[100] / wave[100]), abs=1e-6)


def test_telephone_sound_that_cannot_be_wound_back_is_read_whole(tmp_path):
    wave = np.repeat(tones(1.0, 200.0)[::2], 2)
    soundfile.write(tmp_path / "a.wav", wave, 8000, "GSM610")
    recording = audio.read(tmp_path / "a.wav")
    assert recording.kind == "WAV GSM610"
    assert recording.seconds == pytest.approx(len(wave) / 8000, abs=0.05)
    assert len(audio.load_audio(tmp_path / "a.wav")) == pytest.approx(2 * len(wave), rel=0.03)


def test_a_rate_that_no_speech_has_is_refused_before_it_asks_for_gigabytes(tmp_path):
    soundfile.write(tmp_path / "a.wav", tones(0.5, 200.0), 1)
    with pytest.raises(InputError, match=r"a\.wav has a sample rate of 1 Hz"):
        audio.load_audio(tmp_path / "a.wav")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(InputError, match="pipe or a device"):
        audio.load_audio(tmp_path / "pipe.wav")
    assert digest_of(tmp_path / "pipe.wav") == ""


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
@pytest.mark.parametrize("ending", ["wav", "mp3", "ogg"])
def test_blocks_of_a_recording_are_its_whole_to_the_last_bit(tmp_path, rate, ending):
    """Of compressed ones too, whose decoders a seek would restart."""
    wave = 1.5 * np.stack([tones(1.7, 150.0), tones(1.7, 210.0)], axis=1)
    soundfile.write(tmp_path / f"a.{ending}", wave, rate)
    blocks = list(audio.stream_audio(tmp_path / f"a.{ending}", seconds=0.3))
    assert len(blocks) > 3
    np.testing.assert_array_equal(
        np.concatenate(blocks), audio.load_audio(tmp_path / f"a.{ending}")
    )


def test_what_is_not_finite_is_refused_before_the_first_block(tmp_path):
    wave = np.zeros(16_000, np.float32)
    wave[12_000] = np.nan
    soundfile.write(tmp_path / "a.wav", wave, 16_000, "FLOAT")
    with pytest.raises(InputError, match=r"a.wav holds samples that are NaN or infinite"):
        next(audio.stream_audio(tmp_path / "a.wav", seconds=0.5))
    soundfile.write(tmp_path / "b.wav", wave[:0], 16_000)
    with pytest.raises(InputError, match="holds no samples"):
        next(audio.stream_audio(tmp_path / "b.wav"))


def test_paths_of_the_bundled_corpus_are_found_from_any_folder(tmp_path, monkeypatch):
    path = "data/mini/alpha/alpha_001.flac"
    expected = audio.load_audio(example_folder() / "alpha" / "alpha_001.flac")
    monkeypatch.chdir(tmp_path)
    assert np.array_equal(audio.load_audio(path), expected)
    assert np.array_equal(np.concatenate(list(audio.stream_audio(path))), expected)
    assert find_folder("data/mini") == example_folder()
    with pytest.raises(InputError, match="alpha_999.flac"):
        audio.load_audio("data/mini/alpha/alpha_999.flac")
    (tmp_path / path).parent.mkdir(parents=True)
    soundfile.write(tmp_path / path, np.full(1600, 0.5), 16_000)  # what is there comes first
    assert len(audio.load_audio(path)) == 1600
