"""The data doctor: every kind of bad file is named, with what is done about it; nothing crashes."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import make_folders, tones
from vqwn_kit import check_corpus, open_corpus, prepare
from vqwn_kit.cli.main import main
from vqwn_kit.data import audio


def wav_bytes(folder: Path, **kwargs) -> bytes:
    path = folder / "whole.wav"
    soundfile.write(path, tones(2.0, 200.0), 16_000, **{"subtype": "PCM_16", **kwargs})
    content = path.read_bytes()
    path.unlink()
    return content


def write(path: Path, samples, rate=16_000, subtype="PCM_16", **kwargs) -> None:
    soundfile.write(path, samples, rate, subtype, **kwargs)


@pytest.fixture
def sick(tmp_path, monkeypatch) -> Path:
    """Two good recordings, and twelve kinds of bad ones, named after what is wrong."""
    folder = tmp_path / "sick"
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
    real, real_open = soundfile.SoundFile, Path.open

    def refuse(path):
        if Path(path).name == "locked.wav":  # simulated, since root may read everything
            raise PermissionError(13, "Permission denied", str(path))

    def sound_file(path, *args, **kwargs):
        refuse(path)
        return real(path, *args, **kwargs)

    def opened(self, *args, **kwargs):
        refuse(self)
        return real_open(self, *args, **kwargs)

    monkeypatch.setattr(soundfile, "SoundFile", sound_file)
    monkeypatch.setattr(Path, "open", opened)
    return folder


UNUSABLE = {
    "empty": "is empty",
    "cut_header": "no sound that can be read",
    "text": "no sound that can be read",
    "no_samples": "holds no samples",
    "zeros": "is silent",
    "nan": "NaN or infinite",
    "one_sample": "holds 1 samples of sound",
    "locked": "Permission denied",
}


def test_every_kind_of_bad_file_is_named_and_none_crashes(sick):
    found = check_corpus(sick, progress=False)
    named = {one.name.removeprefix("ann/"): one for one in found.findings if one.kind == "unusable"}
    assert set(named) == set(UNUSABLE)
    for name, reason in UNUSABLE.items():
        assert reason in named[name].detail
        assert f"{name}.wav" in named[name].detail
    assert found.named("cut off") == ["ann/cut_data"]
    assert found.named("low rate") == ["ann/telephone"]
    assert [key.removeprefix("ann/") for key in found.keys] == [
        "cut_data", "flac_inside", "good0", "good1", "stereo24", "telephone",
    ]  # fmt: skip
    rows = zip(found.kinds, found.channels, found.rates, strict=True)
    facts = dict(zip(found.keys, rows, strict=True))
    assert facts["ann/flac_inside"] == ("FLAC PCM_16", 1, 16_000)
    assert facts["ann/stereo24"] == ("WAV PCM_24", 2, 16_000)
    assert facts["ann/telephone"] == ("WAV PCM_16", 1, 8000)
    text = str(found)
    assert repr(found) == text  # what a notebook shows
    for finding in found.findings:
        assert finding.name in text
        assert finding.action in text


def test_preparing_skips_what_the_doctor_says(sick):
    found = check_corpus(sick, progress=False)
    store = prepare(open_corpus(sick), progress=False)
    assert {utterance.key for utterance in store.corpus} == set(found.keys)
    assert set(store.skipped) == set(found.named("unusable"))
    seconds = {u.key: n / 16_000 for u, n in zip(store.corpus, store.lengths, strict=True)}
    assert seconds == pytest.approx(dict(zip(found.keys, found.seconds, strict=True)))
    assert found.minutes == pytest.approx({"ann": sum(seconds.values()) / 60})


def test_links_that_loop_and_lead_nowhere(tmp_path):
    folder = make_folders(tmp_path / "own", {"\u0623\u0646\u0627": 200.0, "\u5b89": 100.0}, 2)
    (folder / "loop").symlink_to(folder)
    (folder / "\u5b89" / "self").symlink_to(folder / "\u5b89" / "self")
    (folder / "\u5b89" / "lost.wav").symlink_to(tmp_path / "nowhere.wav")
    found = check_corpus(folder, progress=False)
    assert len(found.keys) == 4
    assert found.named("unusable") == ["\u5b89/lost"]
    assert "no such recording" in str(found)


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
    found = check_corpus(tmp_path, progress=False)
    assert found.levels[0] == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.1)
    assert found.peaks[0] == pytest.approx(20 * np.log10(0.5), abs=0.1)
    assert found.named("clipped") == ["ann/b_clipped"]
    assert found.named("very quiet") == ["ann/c_quiet"]
    assert found.named("very short") == ["ann/e_short"]
    assert found.trimmed[3] == pytest.approx(1.5, abs=0.15)
    assert found.pauses[5] == pytest.approx(1 / 3, abs=0.05)
    assert max(found.pauses[:3]) == 0


def test_copies_are_found_in_other_formats_too_and_a_leak_is_said(tmp_path):
    sound = (32_000 * tones(2.0, 200.0)).astype(np.int16)
    write(tmp_path / "a.wav", sound)
    write(tmp_path / "b.flac", sound)
    audio.save_audio(tmp_path / "c.wav", tones(2.0, 210.0))
    rows = ["a.wav\tann\ttrain", "b.flac\tann\theld_out", "c.wav\tann\ttrain"]
    (tmp_path / "utterances.tsv").write_text("\n".join(["path\tspeaker\tsplit", *rows]))
    found = check_corpus(tmp_path, progress=False)
    (copy,) = [finding for finding in found.findings if finding.kind == "duplicate"]
    assert copy.name == "a"
    assert "same sound as b; one is held out" in copy.detail


def test_suspicious_speakers_are_named_and_what_is_out_of_reach_is_said(tmp_path):
    for name, count in (("ann", 20), ("Ann", 20), ("bob", 1)):
        for number in range(count):
            audio.save_audio(
                tmp_path / name / f"{number}.wav", tones(2.0, 100.0 + len(name), number)
            )
    found = check_corpus(tmp_path, progress=False)
    assert found.named("speaker with one file") == ["bob"]
    assert found.named("speaker with little") == ["bob"]
    assert found.named("speakers named alike") == ["Ann"]
    assert "two labels for one voice" in str(found)
    assert "bob             0.03 min      1 files" in str(found)
    assert "… and 2 more" in found.text(1)
    assert "… and" not in found.text(None)


def test_the_figure_shows_minutes_by_speaker(folder):
    from matplotlib.figure import Figure

    found = check_corpus(folder, progress=False)
    figure = found.plot(Figure())
    bars = figure.axes[0].patches
    minutes = sorted(found.minutes.values(), reverse=True)
    assert [bar.get_height() for bar in bars] == pytest.approx(minutes)
    assert sum(bar.get_height() for bar in figure.axes[1].patches) == len(found.keys)


def test_the_command_ends_with_1_only_where_nothing_usable_is_left(sick, tmp_path, capsys):
    figure = tmp_path / "figure.png"
    assert main(["check", str(sick), "--figure", str(figure)]) == 0
    out = capsys.readouterr().out
    assert "usable: 6 of 14 recordings" in out
    assert figure.stat().st_size > 10_000
    (tmp_path / "taken.png").mkdir()
    assert main(["check", str(sick), "--figure", str(tmp_path / "taken.png")]) == 2
    assert "taken.png" in capsys.readouterr().err
    for path in (sick / "ann").iterdir():
        if path.stem not in UNUSABLE:
            os.remove(path)
    assert main(["check", str(sick), "--all"]) == 1
    out = capsys.readouterr().out
    assert "Nothing usable is left" in out
    assert all(name in out for name in UNUSABLE)
    assert main(["check", str(tmp_path / "nowhere")]) == 2
    assert main(["check", str(sick), "--figure", "figure.gif"]) == 2
    assert "ends in .png" in capsys.readouterr().err
