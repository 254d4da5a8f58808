"""The report of a run."""

import base64
import json
import re

import numpy as np
import pytest

from tests.conftest import tones
from vqwn_kit.data import audio
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.widgets.arrays import to_pcm
from vqwn_kit.workbench.report import write_report

STAGE = {"name": "stage 1 of 2, codes", "end": "all 400 steps are taken"}


def make_run(folder, split="held_out", **changes):
    """Write a run folder with one utterance, and return it."""
    audio.save_audio(folder / "audio" / "x.wav", tones(0.2, 150.0))
    (folder / "figures").mkdir()
    (folder / "figures" / "loss.png").write_bytes(b"a picture")
    utterance = {"key": "x_1", "text": "A <b> text", "split": split, "phones": [[0.0, 0.1, "AH"]]}
    utterance |= {"codes": [3, 1, 2], "hop_length": 160}
    summary = {
        "run": "64-vq512-mini",
        "codes_per_second": 100,
        "bits_per_second": 900,
        "first_stage_only": False,
        "stages": [STAGE],
        "utterances": [{**utterance, "tracks": [{"label": "original", "file": "audio/x.wav"}]}],
        "measures": {"codes": "5 of <9>"},
    }
    (folder / "summary.json").write_text(json.dumps(summary | changes))
    return folder


def state_of(page: str) -> dict:
    """Return the state of the only player."""
    (state,) = re.findall(r'<script type="application/json" id="[^"]+">(.*?)</script>', page)
    return json.loads(state)


def test_the_report_is_one_file_with_sounds_codes_phones_figures_and_measures(tmp_path):
    folder = make_run(tmp_path / "run")
    page = write_report(folder).read_text()
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    state = state_of(page)
    assert (state["title"], state["names"]) == ("x_1: A <b> text", ["original"])
    assert (state["codes"], state["phones"]) == ([3, 1, 2], [[0.0, 0.1, "AH"]])
    sound = audio.load_audio(folder / "audio" / "x.wav")
    assert audio_of(state) == to_pcm(sound)
    assert "data:image/png;base64,YSBwaWN0dXJl" in page
    assert "5 of &lt;9&gt;" in page
    assert "stage 1 of 2, codes: all 400 steps are taken" in page
    assert "No utterance below was in training" in page


def audio_of(state: dict) -> bytes:
    return base64.b64decode(state["pcm"][0]["base64"])


def test_training_utterances_are_named_as_such(tmp_path):
    page = write_report(make_run(tmp_path / "run", split="train")).read_text()
    assert "were in training, since none is held out" in page


def test_a_report_after_the_first_stage_says_so(tmp_path):
    page = write_report(make_run(tmp_path / "run", first_stage_only=True, measures={})).read_text()
    assert "Codes only, no WaveNet yet" in page
    assert "Measures" not in page


def test_without_a_codebook_there_is_no_bit_rate(tmp_path):
    page = write_report(make_run(tmp_path / "run", bits_per_second=None)).read_text()
    assert "100 vectors per second, without a codebook" in page


@pytest.fixture
def shipped(tmp_path):
    """A run with a score card of the same utterance and of another."""
    folder = tmp_path / "shipped"
    tracks = [
        {"utterance": key, "text": "", "label": label, "file": f"audio/{key}{n}.flac"}
        for key in ("x_1", "y_1")
        for n, label in enumerate(("original (x)", "reconstruction (x)", "as z"))
    ]
    for track in tracks:
        audio.save_audio(folder / track["file"], np.zeros(1600, np.float32))
    card = ScoreCard({}, tracks=tracks)
    card.add("cost", "training time", 7200, "s", "steps")
    card.save(folder)
    return folder


def test_sounds_of_the_shipped_run_stand_beside_those_of_the_same_utterance(tmp_path, shipped):
    page = write_report(make_run(tmp_path / "run"), shipped).read_text()
    names = ["original", "shipped: reconstruction (x)", "shipped: as z"]
    assert state_of(page)["names"] == names
    assert "trained for 120 minutes" in page
