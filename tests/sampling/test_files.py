"""Sound files -> sound files, while they are synthesised."""

import time

import numpy as np
import pytest
import soundfile

from tests.conftest import tones
from vqwn_kit import InputError, build_model, convert_voice, load_audio, load_preset
from vqwn_kit.data.audio import save_audio
from vqwn_kit.data.long_audio import Survey, survey
from vqwn_kit.sampling import files, parts
from vqwn_kit.sampling.files import convert_files, name_files, synthesising


@pytest.fixture
def recordings(tmp_path):
    """Three recordings: one of 44.1 kHz in stereo, a short one, and one as long as the first."""
    waves = [tones(0.33, 200.0), tones(0.05, 110.0), tones(0.2, 150.0)]
    stereo = np.repeat(np.interp(np.arange(14_553) / 44_100, np.arange(5280) / 16_000, waves[0]), 2)
    soundfile.write(tmp_path / "stereo.wav", stereo.reshape(-1, 2) / 4, 44_100)
    for name, wave in (("short", waves[1]), ("same", waves[2])):
        save_audio(tmp_path / f"{name}.wav", wave)
    return [survey(tmp_path / f"{name}.wav") for name in ("stereo", "short", "same")]


def test_files_are_conversions_alone_whatever_is_beside_them(model, recordings, tmp_path):
    names = name_files(tmp_path / "made", [r.path for r in recordings], ["ann", "bob"])
    convert_files(model, recordings, ["ann", "bob"], names, seed=5)
    assert names[0][1].name == "stereo_as_bob.wav"
    for recording, paths in zip(recordings, names, strict=True):
        alone = convert_voice(model, load_audio(recording.path), ["ann", "bob"], seed=5)
        for path, expected in zip(paths, alone, strict=True):
            made = load_audio(path)
            assert soundfile.info(path).samplerate == 16_000
            np.testing.assert_allclose(made, expected, atol=1 / 32_000)
            assert len(made) == len(expected)


def test_the_output_has_the_rate_and_level_of_the_recording(model, recordings, tmp_path):
    paths = name_files(tmp_path / "made", [r.path for r in recordings], ["bob"])
    convert_files(model, recordings, ["bob"], paths, rate="input", level="input")
    for recording, (path,) in zip(recordings, paths, strict=True):
        made = survey(path)
        assert made.sample_rate == recording.sample_rate
        assert abs(made.length - recording.length) <= 2
        peak = np.abs(soundfile.read(path)[0]).max()
        assert made.rms == pytest.approx(recording.rms, rel=1e-2) or peak > 0.999


def test_a_first_stage_converts_each_recording_as_if_alone(recordings, tmp_path):
    model = build_model(load_preset("tiny").change(decoder={"class_name": "MelDecoder"}), ["ann"])
    names = name_files(tmp_path / "made", [r.path for r in recordings], ["ann"])
    convert_files(model, recordings, ["ann"], names)
    for recording, (path,) in zip(recordings, names, strict=True):
        alone = convert_voice(model, load_audio(recording.path), ["ann"])[0]
        np.testing.assert_allclose(load_audio(path), alone, atol=1 / 32_000)


def test_names_are_taken_at_the_start_and_no_file_is_overwritten(
    model, recordings, tmp_path, monkeypatch
):
    paths = name_files(tmp_path / "made", [r.path for r in recordings], ["bob"])
    paths[2][0].parent.mkdir()
    paths[2][0].write_bytes(b"of another program")
    with pytest.raises(InputError, match="same_as_bob.wav exists, and nothing is overwritten"):
        convert_files(model, recordings, ["bob"], paths)
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["same_as_bob.wav"]
    assert paths[2][0].read_bytes() == b"of another program"
    paths[2][0].unlink()
    writer, seen = files.write_sound, []

    def watched(*args):
        seen.append([path.exists() for (path,) in paths])
        return writer(*args)

    monkeypatch.setattr(files, "write_sound", watched)
    convert_files(model, recordings, ["bob"], paths)
    assert seen[0] == [True, True, True]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": "high"}, "rate is 'high'; expected whole Hz, 1000 to 192000"),
        ({"rate": 12.5}, "rate is 12.5"),
        ({"rate": float("nan")}, "rate is nan"),
        ({"level": "loud"}, "level"),
        ({"temperature": -1.0}, "above 0"),
        ({"transpose": 2.0}, "not conditioned on pitch"),
    ],
)
def test_what_cannot_be_made_is_refused_before_a_file_is_written(
    model, recordings, tmp_path, settings, message
):
    with pytest.raises(InputError, match=message):
        convert_files(model, recordings, ["bob"], [[tmp_path / "x.wav"]] * 3, **settings)
    assert not (tmp_path / "x.wav").exists()


def test_ctrl_c_keeps_what_is_synthesised(model, recordings, tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "PART_SECONDS", 0.05)
    original, calls = parts.Sampler.stream, []

    def interrupted(self, *args, **settings):
        for part in original(self, *args, **settings):
            yield part
            calls.append(part)
            if len(calls) == 3:
                raise KeyboardInterrupt

    monkeypatch.setattr(parts.Sampler, "stream", interrupted)
    paths = name_files(tmp_path / "made", [r.path for r in recordings], ["bob"])
    with pytest.raises(
        KeyboardInterrupt, match=r"stopped after 0\.\d s of 0\.4 s; the sound so far"
    ):
        convert_files(model, recordings, ["bob"], paths, seed=1)
    done = sum(part.shape[1] for part in calls)
    whole = convert_voice(model, load_audio(recordings[0].path), ["bob"], seed=1)[0]
    made = load_audio(paths[0][0])
    assert 0 < len(made) < len(whole)
    assert len(made) == done
    np.testing.assert_allclose(made, whole[:done], atol=1 / 32_000)
    assert not paths[1][0].exists()


def test_recordings_of_like_lengths_are_sampled_together():
    of = [Survey(None, length, 16_000, 0.1) for length in (36_000, 40, 30, 10, 50)]
    assert list(files._groups(of, 2)) == [[0], [4, 1, 2], [3]]
    assert list(files._groups(of, 8)) == [[0], [4, 1], [2], [3]]


def test_names_say_source_and_voice_and_no_two_are_one(tmp_path):
    (tmp_path / "x_as_a.wav").touch()
    sources = [tmp_path / "p/x.wav", tmp_path / "q/x.flac", tmp_path / "y.wav", tmp_path / "y.mp3"]
    rows = name_files(tmp_path, sources, ["a", "b/c"])
    here = tmp_path.name
    assert [[path.name for path in row] for row in rows] == [
        ["p_x_as_a.wav", "p_x_as_b_c.wav"],
        ["q_x_as_a.wav", "q_x_as_b_c.wav"],
        [f"{here}_y_as_a.wav", f"{here}_y_as_b_c.wav"],
        [f"{here}_y_as_a-2.wav", f"{here}_y_as_b_c-2.wav"],
    ]
    assert name_files(tmp_path, [tmp_path / "x.wav"], ["a"]) == [[tmp_path / "x_as_a-2.wav"]]
    originals = name_files(tmp_path, ["x.wav"], ["a"], "20_{speaker}")
    assert originals == [[tmp_path / "20_a.wav"]]


def test_the_time_until_the_first_sample_is_not_in_the_estimate(capsys):
    """It is that of the compiler: a bar would promise hours."""
    with synthesising(100, progress=True) as advance:
        time.sleep(1.1)
        advance(50)
        advance(50)
    shown = capsys.readouterr().err
    assert "preparing" in shown
    assert "100/100 [00:00<00:00" in shown
