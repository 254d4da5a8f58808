"""The pipeline of `vqwn run` on a small corpus, from its start to a report, and its second call."""

import json
import os
import re
import signal
from urllib.parse import unquote

import pytest
import soundfile

from tests.conftest import make_vctk, tones
from vqwn_kit import InputError, load_run, open_corpus, prepare, train
from vqwn_kit.data import audio
from vqwn_kit.training.trainer import Trainer
from vqwn_kit.workbench.pipeline import run_pipeline

SMALL = {"preset": "tiny", "steps": 6, "progress": False}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A small corpus in a project folder of its own."""
    project = tmp_path_factory.mktemp("project")
    (project / "data/mini").mkdir(parents=True)
    (project / "data/mini/utterances.tsv").write_text("path\tspeaker\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        patch.delenv("VQWN_RESULTS", raising=False)
        yield open_corpus(make_vctk(project / "data/VCTK-Corpus"))


@pytest.fixture(scope="module")
def run(corpus):
    """The run of one call."""
    return run_pipeline(corpus, **SMALL)


def sources(run) -> list[str]:
    return re.findall(r'src="([^"]+)"', (run.folder / "report.html").read_text())


def test_the_report_shows_sounds_and_figures_of_the_run(run):
    assert re.fullmatch(r"64-vq32-vctk-corpus-\d{8}-\d{4}", run.folder.name)
    files = sources(run)
    assert all((run.folder / file).is_file() for file in files)
    sounds = [run.folder / file for file in files if file.endswith(".wav")]
    assert len(sounds) == 2 * (1 + 3)
    assert {soundfile.info(sound).samplerate for sound in sounds} == {16_000}
    assert sum(file.endswith(".png") for file in files) == 8


def test_the_summary_has_the_time_and_the_loss_of_each_stage(run):
    summary = json.loads((run.folder / "summary.json").read_text())
    assert {"prepare", "train", "evaluate", "generate", "draw"} == set(summary["seconds"])
    assert summary["before"]["bits"] > summary["after"]["bits"] > 0
    assert (run.folder / "embeddings/codebook_vecs.tsv").is_file()
    assert list((run.folder / "logs").glob("events*"))


def test_a_finished_run_is_opened_again(run, corpus, capsys):
    written = run.weights_file(6).stat().st_mtime_ns
    assert run_pipeline(corpus, **SMALL).folder == run.folder
    assert run.weights_file(6).stat().st_mtime_ns == written
    lines = capsys.readouterr().out.splitlines()
    assert any("is finished" in line for line in lines)
    assert lines[-2].startswith("Made 8 sounds")
    assert "make lab" in lines[-1]


def test_a_run_that_was_trained_further_is_reported_again(run, corpus):
    longer = train(prepare(corpus), restore=run.folder, steps=8, progress=False)
    assert run_pipeline(corpus, **SMALL).newest == longer.newest == 8
    assert json.loads((run.folder / "summary.json").read_text())["reported_step"] == 8


def test_fresh_starts_another_run_which_resumes_after_ctrl_c(run, corpus, monkeypatch, capsys):
    log = Trainer.log

    def press_ctrl_c(self, callbacks):
        monkeypatch.setattr(Trainer, "log", log)
        os.kill(os.getpid(), signal.SIGINT)
        return log(self, callbacks)

    monkeypatch.setattr(Trainer, "log", press_ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        run_pipeline(corpus, **SMALL, fresh=True)
    (folder,) = set(run.folder.parent.iterdir()) - {run.folder}
    assert load_run(folder).newest in (5, 6)
    assert not (folder / "report.html").exists()
    resumed = run_pipeline(corpus, **SMALL)
    assert resumed.folder == folder
    assert "resuming" in capsys.readouterr().out
    assert resumed.newest == 6
    assert (folder / "report.html").is_file()


def test_one_recording_of_one_speaker_with_an_odd_name_suffices(tmp_path, monkeypatch):
    monkeypatch.setenv("VQWN_RESULTS", str(tmp_path / "results"))
    audio.save_audio(tmp_path / "speech" / "a $b$ #1" / "take#1 50%.wav", tones(0.3, 200.0))
    run = run_pipeline(open_corpus(tmp_path / "speech"), **SMALL | {"steps": 2})
    assert "were in training" in (run.folder / "report.html").read_text()
    sounds = [file for file in sources(run) if file.endswith(".wav")]
    assert len(sounds) == 2
    assert all((run.folder / unquote(sound)).is_file() for sound in sounds)
    summary = json.loads((run.folder / "summary.json").read_text())
    assert "nothing is held out" in summary["measures"]["bits per sample, held out"]


def test_two_stages_are_refused(corpus):
    with pytest.raises(InputError, match=r"first_stage_steps.*vqwn train"):
        run_pipeline(corpus, **SMALL, first_stage_steps=3)
