"""Sound files as programs leave them: each is the sound it holds, and what was mended is said."""

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import soundfile

from tests.conftest import ROOT, tones
from vqwn_kit import InputError, check_corpus
from vqwn_kit.data import audio, sound_file
from vqwn_kit.data.decode import Settings, convert

WAVE = tones(1.0, 200.0)


def write(path, samples, rate=16_000, subtype="PCM_16", **kwargs):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype, **kwargs)
    return path


@pytest.mark.parametrize(
    ("ending", "form"),
    [
        ("sph", "NIST"),
        ("wav", "NIST"),  # as TIMIT has them
        ("w64", "W64"),
        ("aifc", "AIFF"),
        ("wave", "WAV"),
        ("snd", "AU"),
        ("voc", "VOC"),
        ("rf64", "RF64"),
    ],
)
def test_less_common_endings_are_read(tmp_path, ending, form):
    write(tmp_path / "ann" / f"a.{ending}", WAVE, format=form)
    report = check_corpus(tmp_path, progress=False)
    (facts,) = report.recordings
    assert facts.file.kind == f"{form} PCM_16"
    assert facts.utterance.load() == pytest.approx(WAVE, abs=1 / 32768)


@pytest.mark.parametrize("ending", ["wv1", "m4a", "raw", "spx", "shn"])
def test_endings_that_cannot_be_read_are_named(tmp_path, ending):
    write(tmp_path / "ann" / "a.wav", WAVE)
    (tmp_path / "bob").mkdir()
    (tmp_path / "bob" / f"b.{ending}").write_bytes(b"x")
    report = check_corpus(tmp_path, progress=False)
    assert report.named("left out") == [f"bob/b.{ending}"]


def test_samples_without_a_header_are_refused(tmp_path):
    write(tmp_path / "a.wav", WAVE).rename(tmp_path / "a.raw")
    with pytest.raises(InputError, match=r"a\.raw has no header"):
        audio.read(tmp_path / "a.raw")


def test_shorten_in_sphere_says_how_to_convert_it(tmp_path):
    header = b"NIST_1A\n   1024\nsample_coding -s26 pcm,embedded-shorten-v2.00\nend_head\n"
    (tmp_path / "a.sph").write_bytes(header.ljust(1024) + b"ajkg")
    with pytest.raises(InputError, match="sph2pipe"):
        audio.read(tmp_path / "a.sph")


@pytest.mark.parametrize("scale", [32768.0, 20_000.3])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_floats_that_hold_16_bit_samples_are_scaled_and_it_is_said(tmp_path, scale, subtype):
    write(tmp_path / "ann" / "a.wav", WAVE * scale, subtype=subtype)
    report = check_corpus(tmp_path, progress=False)
    assert report.named("16-bit samples as floats") == ["ann/a"]
    assert not report.named("clipped")
    assert report.recordings[0].utterance.load() == pytest.approx(
        WAVE * scale / 32768, abs=1 / 32768
    )


def test_a_recording_of_less_than_a_sample_at_the_new_rate_is_refused(tmp_path):
    path = write(tmp_path / "click.wav", np.full(1, 0.5), 48_000)
    for load in (audio.load_audio, lambda path: list(audio.stream_audio(path))):
        with pytest.raises(InputError, match="too short: 1 samples at 48000 Hz are none at 16000"):
            load(path)
    write(path, np.full(2, 0.5), 48_000)
    assert len(audio.load_audio(path)) == 1
    assert sum(map(len, audio.stream_audio(path))) == 1


def test_floats_of_no_known_scale_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"a\.wav: samples of up to 1e\+06"):
        audio.read(write(tmp_path / "a.wav", np.array([1e6, 0.0]), subtype="FLOAT"))


def test_stereo_in_opposite_phase_is_one_of_its_channels_and_it_is_said(tmp_path):
    write(tmp_path / "ann" / "a.wav", np.stack([WAVE, -WAVE], 1))
    report = check_corpus(tmp_path, progress=False)
    assert report.named("channels cancel") == ["ann/a"]
    assert report.recordings[0].utterance.load() == pytest.approx(WAVE, abs=2 / 32768)


def test_an_offset_is_removed_named_and_silence_is_trimmed_as_without_it(tmp_path):
    silence = np.zeros(16_000)
    framed = np.concatenate([silence, WAVE, silence])
    plain = convert(write(tmp_path / "plain.wav", framed), Settings())
    write(tmp_path / "ann" / "a.wav", framed + 0.05)
    shifted = convert(tmp_path / "ann" / "a.wav", Settings())
    assert (len(shifted.samples), shifted.offset) == (len(plain.samples), plain.offset)
    assert np.abs(shifted.samples - plain.samples.astype(int)).max() <= 3
    report = check_corpus(tmp_path / "ann" / "..", progress=False, layout="folders")
    assert report.named("offset") == ["ann/a"]
    pulse = np.concatenate([0.1 + WAVE[:3000], np.zeros(16_000)])  # digital silence stays so
    assert not audio.load_audio(write(tmp_path / "pulse.wav", pulse))[3000:].any()
    alone = convert(write(tmp_path / "offset.wav", np.full(16_000, 0.05)), Settings())
    assert "silent" in alone.problem
    assert "offset of 0.050" in alone.problem


def test_flac_of_unknown_length_is_read_whole(tmp_path):
    content = bytearray(write(tmp_path / "a.flac", WAVE).read_bytes())
    content[21] &= 0xF0  # the length is in 36 bits
    content[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(content)
    recording = audio.read(tmp_path / "a.flac")
    assert recording.waveform == pytest.approx(WAVE, abs=1 / 32768)
    assert recording.kept == 1


def test_wav_with_a_length_of_0_is_read_to_its_end_and_it_is_said(tmp_path):
    path = write(tmp_path / "ann" / "a.wav", WAVE)
    content = bytearray(path.read_bytes())
    place = content.find(b"data") + 4
    content[place : place + 4] = content[4:8] = bytes(4)
    path.write_bytes(content)
    report = check_corpus(tmp_path, progress=False)
    assert report.named("length of 0") == ["ann/a"]
    assert report.recordings[0].utterance.load() == pytest.approx(WAVE, abs=1 / 32768)
    path.write_bytes(content[: place + 4])
    with pytest.raises(InputError, match="holds no samples"):
        audio.read(path)


@pytest.mark.parametrize(
    ("ending", "form", "subtype"),
    [
        ("mp3", "MP3", "MPEG_LAYER_III"),
        ("ogg", "OGG", "VORBIS"),
        ("opus", "OGG", "OPUS"),
        ("sph", "NIST", "PCM_16"),
    ],
)
def test_compressed_files_that_were_cut_in_half_are_named(tmp_path, ending, form, subtype):
    wave = np.tile(WAVE, 10) + np.random.default_rng(1).uniform(-0.1, 0.1, 160_000)
    path = write(tmp_path / "ann" / f"a.{ending}", wave, subtype=subtype, format=form)
    assert audio.read(path).kept == 1
    assert check_corpus(tmp_path, progress=False).named("cut off") == []
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    report = check_corpus(tmp_path, progress=False)
    assert report.named("cut off") == ["ann/a"]
    assert report.recordings[0].seconds < 7
    assert "cut off: 1" in str(report)


@pytest.mark.parametrize(("rate", "channels"), [(48_000, 2), (16_000, 1), (44_100, 1)])
def test_blocks_give_the_same_sound_as_the_whole(tmp_path, monkeypatch, rate, channels):
    wave = np.random.default_rng(1).uniform(-0.5, 0.5, (rate, channels)).astype(np.float32)
    wave += 0.01  # an offset, which is known at the end only
    path = write(tmp_path / "a.wav", wave, rate, "FLOAT")
    whole = audio.read(path, 16_000)
    monkeypatch.setattr(sound_file, "BLOCK", 5000)
    parts = audio.read(path, 16_000)
    assert parts.waveform == pytest.approx(whole.waveform, abs=1e-5)
    assert (parts.seconds, parts.clipped, parts.kept) == (whole.seconds, whole.clipped, whole.kept)


@pytest.mark.parametrize("kind", ["plain", "offset", "opposite", "16-bit floats"])
@pytest.mark.parametrize(("rate", "target"), [(48_000, 16_000), (16_000, 16_000), (8000, 16_000)])
def test_the_blocks_of_a_stream_are_what_is_loaded_at_once(tmp_path, kind, rate, target):
    wave = np.random.default_rng(1).uniform(-0.3, 0.3, 2 * rate + 7)
    wave = {"offset": wave + 0.05, "16-bit floats": wave * 32768}.get(kind, wave)
    wave = np.stack([0.9 * wave, -wave], 1) if kind == "opposite" else wave
    path = write(tmp_path / "a.wav", wave, rate, "FLOAT")
    blocks = list(audio.stream_audio(path, target, seconds=0.3))
    assert len(blocks) > 5
    assert np.array_equal(np.concatenate(blocks), audio.load_audio(path, target))
    with pytest.raises(InputError, match="no such recording"):
        next(audio.stream_audio(tmp_path / "nowhere.wav"))


def test_an_hour_takes_the_memory_of_its_result(tmp_path, monkeypatch):
    """Two minutes of 48 kHz stereo stand for it: 46 MB as floats, 7.7 MB as they leave."""
    monkeypatch.setattr(sound_file, "BLOCK", 1 << 18)
    path = write(tmp_path / "a.wav", np.tile(np.repeat(WAVE, 3)[:, None], (120, 2)), 48_000)
    tracemalloc.start()
    converted = convert(path, Settings())
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(converted.samples) == pytest.approx(120 * 16_000, rel=0.01)
    assert most < 4 * (4 * 16_000 * 120 + 8 * sound_file.BLOCK)


def test_a_span_is_the_part_from_begin_to_end(tmp_path):
    ramp = np.arange(16_000) / 32768
    path = write(tmp_path / "a.wav", ramp)
    part = audio.read(path, span=(0.25, 0.5))
    assert (len(part.waveform), part.seconds) == (4000, 0.25)
    expected = ramp[4000:8000] - ramp[4000:8000].mean()  # a ramp has an offset
    assert part.waveform == pytest.approx(expected, abs=1e-6)
    with pytest.raises(InputError, match="no samples from 2 to 3 s"):
        audio.read(path, span=(2.0, 3.0))


POSIX = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.skipif(sys.platform != "linux", reason="locales of Linux")
def test_names_in_utf_8_are_read_in_a_locale_without_it(tmp_path):
    name = "J\u00fcrgen"
    write(tmp_path / "own" / name / "\u00e9t\u00e9.wav", WAVE)
    (tmp_path / "own" / name / "\u00e9t\u00e9.txt").write_text("d\u00e9j\u00e0", encoding="utf-8")
    code = (
        "import sys, vqwn_kit as vq\n"
        "corpus = vq.open_corpus(sys.argv[1])\n"
        "store = vq.prepare(corpus, progress=False)\n"
        "assert len(store) == 1 and not corpus.left_out\n"
        f"assert list(corpus.speakers) == [{name!a}], corpus.speakers\n"
        "assert corpus.utterances[0].text == 'd\\xe9j\\xe0'\n"
        "print(vq.check_corpus(corpus, progress=False).usable)\n"
    )
    stores = {"VQWN_STORES": str(tmp_path / "stores")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "own")],
        cwd=ROOT,
        env=os.environ | POSIX | stores,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True\n"
    done = subprocess.run(
        [sys.executable, "-m", "vqwn_kit", "check", str(tmp_path / "own")],
        cwd=ROOT,
        env=os.environ | POSIX | stores,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
