"""The report of a run."""

import json

from vqwn_kit.workbench.report import write_report


def make_summary(folder, minutes, run="64-vq512-mini", split="held_out"):
    folder.mkdir(parents=True)
    (folder / "audio").mkdir()
    (folder / "audio" / "x.wav").write_bytes(b"sound of " + run.encode())
    track = {"utterance": "x_1", "text": "A <b> text", "label": "original"}
    summary = {
        "run": run,
        "codes_per_second": 250,
        "bits_per_second": 2250,
        "train_minutes": minutes,
        "tracks": [{**track, "file": "audio/x.wav", "split": split}],
        "measures": {"codes": "5 of 9"},
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def test_the_report_describes_the_run_and_needs_only_its_folder(tmp_path):
    page = write_report(make_summary(tmp_path / "run", 3.0)).read_text()
    assert "babble" in page
    assert 'src="audio/x.wav"' in page
    assert "A &lt;b&gt; text" in page
    assert "5 of 9" in page
    assert "http" not in page
    assert "No utterance below was in training" in page
    long_page = write_report(make_summary(tmp_path / "long", 300.0)).read_text()
    assert "babble" not in long_page
    known = write_report(make_summary(tmp_path / "known", 3.0, split="train")).read_text()
    assert "were in training" in known


def test_the_report_copies_sounds_of_the_reference_run(tmp_path):
    folder, reference = make_summary(tmp_path / "run", 3.0), tmp_path / "mini"
    files = [f"audio/{utterance}_{kind}.flac" for utterance in "abcd" for kind in ("own", "other")]
    card = {
        "rows": [{"name": "training time", "value": 7200}],
        "tracks": [
            {"utterance": file[6], "text": "", "label": "original", "file": file} for file in files
        ],
    }
    (reference / "audio").mkdir(parents=True)
    (reference / "score_card.json").write_text(json.dumps(card))
    for file in files:
        (reference / file).write_bytes(file.encode())
    page = write_report(folder, reference).read_text()
    assert "120 minutes" in page
    copied = [str(path.relative_to(folder / "reference")) for path in folder.rglob("*.flac")]
    assert sorted(copied) == sorted(file for file in files if file[6] in "ad")
    for file in copied:
        assert f'src="reference/{file}"' in page
        assert (folder / "reference" / file).read_bytes() == file.encode()
