"""`check_corpus`: every kind of bad file is named, with what is done about it; nothing crashes."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import make_folders, tones
from vqwn_kit import check_corpus, example_corpus, open_corpus, prepare
from vqwn_kit.cli.main import main
from vqwn_kit.data import audio, headers


def wav_bytes(folder: Path, **kwargs) -> bytes:
    path = folder / "whole.wav"
    soundfile.write(path, tones(2.0, 200.0), 16_000, **{"subtype": "PCM_16", **kwargs})
    content = path.read_bytes()
    path.unlink()
    return content


def write(path: Path, samples, rate=16_000, subtype="PCM_16", **kwargs) -> None:
    soundfile.write(path, samples, rate, subtype, **kwargs)


@pytest.fixture
def faulty(tmp_path, monkeypatch) -> Path:
    """Two good recordings, and twelve kinds of bad ones, named after what is wrong."""
    folder = tmp_path / "faulty"
    ann = folder / "ann"
    for number in range(2):
        audio.save_audio(ann / f"good{number}.wav", tones(2.0, 200.0 + 50 * number, number))
    whole = wav_bytes(tmp_path)
    (ann / "empty.wav").write_bytes(b"")
    (ann / "cut_header.wav").write_bytes(whole[:20])
    (ann / "cut_data.wav").write_bytes(whole[: len(whole) // 2])
    write(ann / "flac_inside.wav", tones(2.0, 210.0), format="FLAC")
    (ann / "text.wav").write_text("Dear diary, this is no sound.")
    write(ann / "no_samples.wav", np.zeros(0))
    write(ann / "zeros.wav", np.zeros(32_000))
    write(ann / "nan.wav", np.array([0.1, np.nan] * 8000), subtype="FLOAT")
    write(ann / "one_sample.wav", np.array([0.5]))
    write(ann / "telephone.wav", tones(2.0, 220.0)[::2], 8000)
    write(ann / "stereo24.wav", np.stack([tones(2.0, 230.0)] * 2, 1), subtype="PCM_24")
    audio.save_audio(ann / "locked.wav", tones(2.0, 240.0))
    real, real_open = headers.Sequential, Path.open

    def refuse(path):
        if (
            Path(os.fsdecode(path)).name == "locked.wav"
        ):  # simulated, since root may read everything
            raise PermissionError(13, "Permission denied", str(path))

    def opened_sound(path, *args, **kwargs):
        refuse(path)
        return real(path, *args, **kwargs)

    def opened(self, *args, **kwargs):
        refuse(self)
        return real_open(self, *args, **kwargs)

    monkeypatch.setattr(headers, "Sequential", opened_sound)
    monkeypatch.setattr(Path, "open", opened)
    return folder


UNUSABLE = {
    "empty": "is empty",
    "cut_header": "no sound file that can be read",
    "text": "no sound file that can be read",
    "no_samples": "holds no samples",
    "zeros": "is silent",
    "nan": "NaN or infinite",
    "one_sample": "holds 1 samples of sound",
    "locked": "Permission denied",
}


def test_every_kind_of_bad_file_is_named_and_none_crashes(faulty):
    report = check_corpus(faulty, progress=False)
    named = {f.name.removeprefix("ann/"): f for f in report.findings if f.kind == "unusable"}
    assert set(named) == set(UNUSABLE)
    for name, reason in UNUSABLE.items():
        assert reason in named[name].detail
        assert f"{name}.wav" in named[name].detail
    assert report.named("cut off") == ["ann/cut_data"]
    assert report.named("low rate") == ["ann/telephone"]
    files = {facts.utterance.path.stem: facts.file for facts in report.recordings}
    assert list(files) == ["cut_data", "flac_inside", "good0", "good1", "stereo24", "telephone"]
    facts = {name: (file.kind, file.channels, file.sample_rate) for name, file in files.items()}
    assert facts["flac_inside"] == ("FLAC PCM_16", 1, 16_000)
    assert facts["stereo24"] == ("WAV PCM_24", 2, 16_000)
    assert facts["telephone"] == ("WAV PCM_16", 1, 8000)
    text = str(report)
    assert repr(report) == text  # what a notebook shows
    for finding in report.findings:
        assert finding.name in text
        assert finding.action in text


def test_preparing_skips_what_the_report_calls_unusable(faulty):
    report = check_corpus(faulty, progress=False)
    store = prepare(open_corpus(faulty), progress=False)
    assert list(store.corpus) == report.column("utterance")
    assert set(store.skipped) == set(report.named("unusable"))
    assert store.lengths / 16_000 == pytest.approx(report.column("seconds"))
    assert report.minutes == pytest.approx({"ann": store.lengths.sum() / 16_000 / 60})


def test_links_that_loop_and_lead_nowhere(tmp_path):
    folder = make_folders(tmp_path / "own", {"\u0623\u0646\u0627": 200.0, "\u5b89": 100.0}, 2)
    (folder / "loop").symlink_to(folder)
    (folder / "\u5b89" / "self").symlink_to(folder / "\u5b89" / "self")
    (folder / "\u5b89" / "lost.wav").symlink_to(tmp_path / "nowhere.wav")
    report = check_corpus(folder, progress=False)
    assert len(report.recordings) == 4
    assert report.named("unusable") == ["\u5b89/lost"]
    assert "no such recording" in str(report)


def test_levels_clipping_silence_and_lengths_are_measured(tmp_path):
    ann = tmp_path / "ann"
    time = np.arange(32_000) / 16_000
    sine = np.sin(2 * np.pi * 200 * time)
    audio.save_audio(ann / "a_sine.wav", 0.5 * sine)
    audio.save_audio(ann / "b_clipped.wav", 3 * sine)
    audio.save_audio(ann / "c_quiet.wav", 0.003 * sine)
    audio.save_audio(
        ann / "d_framed.wav", np.concatenate([np.zeros(16_000), 0.5 * sine, np.zeros(8000)])
    )
    audio.save_audio(ann / "e_short.wav", 0.5 * sine[:8000])
    gap = np.concatenate([0.5 * sine[:16_000], np.zeros(16_000), 0.5 * sine[:16_000]])
    audio.save_audio(ann / "f_pause.wav", gap)
    report = check_corpus(tmp_path, progress=False)
    framed, pause = report.recordings[3], report.recordings[5]
    assert report.recordings[0].level == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.1)
    assert report.recordings[0].peak == pytest.approx(20 * np.log10(0.5), abs=0.1)
    assert report.named("clipped") == ["ann/b_clipped"]
    assert report.named("very quiet") == ["ann/c_quiet"]
    assert report.named("very short") == ["ann/e_short"]
    assert framed.trimmed == pytest.approx(1.5, abs=0.15)
    assert pause.pauses == pytest.approx(1 / 3, abs=0.05)
    assert max(report.column("pauses")[:3]) == 0


def test_copies_are_found_in_other_formats_too_and_a_leak_is_said(tmp_path):
    sound = (32_000 * tones(2.0, 200.0)).astype(np.int16)
    write(tmp_path / "a.wav", sound)
    write(tmp_path / "b.flac", sound)
    audio.save_audio(tmp_path / "c.wav", tones(2.0, 210.0))
    rows = ["a.wav\tann\ttrain", "b.flac\tann\theld_out", "c.wav\tann\ttrain"]
    (tmp_path / "utterances.tsv").write_text("\n".join(["path\tspeaker\tsplit", *rows]))
    report = check_corpus(tmp_path, progress=False)
    (copy,) = [finding for finding in report.findings if finding.kind == "duplicate"]
    assert copy.name == "a"
    assert "same sound as b; one is held out" in copy.detail


def test_suspicious_speakers_are_named_and_what_is_out_of_reach_is_said(tmp_path):
    for name, count in (("ann", 20), ("Ann", 20), ("bob", 1)):
        for number in range(count):
            audio.save_audio(
                tmp_path / name / f"{number}.wav", tones(2.0, 100.0 + len(name), number)
            )
    report = check_corpus(tmp_path, progress=False)
    assert report.named("speaker with one file") == ["bob"]
    assert report.named("speaker with little") == ["bob"]
    assert report.named("similar speaker names") == ["Ann"]
    assert "two names for one speaker" in str(report)
    assert "bob             0.03 min      1 files" in str(report)
    assert "… and 2 more" in report.text(1)
    assert "… and" not in report.text(None)


def test_a_speaker_without_any_sound_is_named(tmp_path):
    make_folders(tmp_path, {"ann": 200.0}, 2)
    (tmp_path / "bob").mkdir()
    write(tmp_path / "bob" / "1.wav", np.zeros(32_000))
    report = check_corpus(tmp_path, progress=False)
    assert report.named("speaker without sound") == ["bob"]
    assert report.named("speaker with one file") == []


def test_the_figure_shows_minutes_by_speaker(folder):
    from matplotlib.figure import Figure

    report = check_corpus(folder, progress=False)
    figure = report.plot(Figure())
    bars = figure.axes[0].patches
    minutes = sorted(report.minutes.values(), reverse=True)
    assert [bar.get_height() for bar in bars] == pytest.approx(minutes)
    assert sum(bar.get_height() for bar in figure.axes[1].patches) == len(report.recordings)


def test_the_command_ends_with_1_only_where_nothing_usable_is_left(faulty, tmp_path, capsys):
    figure = tmp_path / "figure.png"
    assert main(["check", str(faulty), "--figure", str(figure)]) == 0
    out = capsys.readouterr().out
    assert "usable: 6 of 14 recordings" in out
    assert figure.stat().st_size > 10_000
    (tmp_path / "taken.png").mkdir()
    assert main(["check", str(faulty), "--figure", str(tmp_path / "taken.png")]) == 2
    assert "taken.png" in capsys.readouterr().err
    for path in (faulty / "ann").iterdir():
        if path.stem not in UNUSABLE:
            os.remove(path)
    assert main(["check", str(faulty), "--all"]) == 1
    out = capsys.readouterr().out
    assert "Nothing usable is left" in out
    assert all(name in out for name in UNUSABLE)
    assert main(["check", str(tmp_path / "nowhere")]) == 2
    assert main(["check", str(faulty), "--figure", "figure.gif"]) == 2
    assert "ends in .png" in capsys.readouterr().err


def test_how_many_are_held_out_and_whether_they_suffice(folder):
    text = check_corpus(folder, progress=False).text()
    assert re.search(r"held out, for the measures: \d+, fewer than the 12 that", text)
    assert re.search(r"to train on: \d\.\d minutes, less than the 8 that", text)
    enough = check_corpus(example_corpus(), progress=False).text()
    assert re.search(r"held out, for the measures: \d{3}\nto train on: \d\.\d minutes\n", enough)
