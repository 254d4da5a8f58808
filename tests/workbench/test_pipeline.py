"""The main job on a small corpus, from nothing to a report, and again."""

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
from vqwn_kit.workbench.pipeline import run_main_job


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """A project folder of its own around a small corpus."""
    (tmp_path / "data/mini").mkdir(parents=True)
    (tmp_path / "data/mini/utterances.tsv").write_text("path\tspeaker\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VQWN_RESULTS", raising=False)
    return open_corpus(make_vctk(tmp_path / "data/VCTK-Corpus"))


def test_main_job_makes_all_that_the_report_shows_and_opens_a_finished_run_again(corpus, capsys):
    run = run_main_job(corpus, "tiny", steps=6, progress=False)
    assert re.fullmatch(r"64-vq32-vctk-corpus-\d{8}-\d{4}", run.folder.name)
    page = (run.folder / "report.html").read_text()
    sources = re.findall(r'src="([^"]+)"', page)
    assert all((run.folder / source).is_file() for source in sources)
    assert sum(source.endswith(".wav") for source in sources) == 2 * (1 + 3)
    assert sum(source.endswith(".png") for source in sources) == 8
    for source in sources:
        if source.endswith(".wav"):
            assert soundfile.info(run.folder / source).samplerate == 16_000
    summary = json.loads((run.folder / "summary.json").read_text())
    assert {"prepare", "train", "evaluate", "generate", "draw"} == set(summary["seconds"])
    assert summary["before"]["bits"] > summary["after"]["bits"] > 0
    assert (run.folder / "embeddings/codebook_vecs.tsv").is_file()
    assert list((run.folder / "logs").glob("events*"))
    last = capsys.readouterr().out.splitlines()[-2:]
    assert last[0].startswith("Made: 8 sounds")
    assert "make lab" in last[1]

    written = (run.folder / "weights-6.weights.h5").stat().st_mtime_ns
    again = run_main_job(corpus, "tiny", steps=6, progress=False)
    assert again.folder == run.folder
    assert (run.folder / "weights-6.weights.h5").stat().st_mtime_ns == written
    assert "is finished" in capsys.readouterr().out
    longer = train(prepare(corpus), restore=run.folder, steps=8, progress=False)
    assert run_main_job(corpus, "tiny", steps=6, progress=False).newest == longer.newest == 8
    assert json.loads((run.folder / "summary.json").read_text())["reported_step"] == 8
    other = run_main_job(corpus, "tiny", steps=6, fresh=True, progress=False)
    assert other.folder != run.folder


def test_a_stopped_main_job_goes_on_where_it_was(corpus, monkeypatch, capsys):
    from vqwn_kit.training.trainer import Trainer

    log = Trainer._log

    def press_ctrl_c(self, writer, callbacks):
        monkeypatch.setattr(Trainer, "_log", log)
        os.kill(os.getpid(), signal.SIGINT)
        return log(self, writer, callbacks)

    monkeypatch.setattr(Trainer, "_log", press_ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        run_main_job(corpus, "tiny", steps=12, progress=False)
    (folder,) = (path for path in (corpus.folder.parents[1] / "results").iterdir())
    assert load_run(folder).newest in (5, 6)
    assert not (folder / "report.html").exists()
    run = run_main_job(corpus, "tiny", steps=12, progress=False)
    assert run.folder == folder
    assert "going on" in capsys.readouterr().out
    assert run.newest == 12
    assert (folder / "report.html").is_file()


def test_one_speaker_with_one_odd_recording_is_enough(tmp_path, monkeypatch):
    monkeypatch.setenv("VQWN_RESULTS", str(tmp_path / "results"))
    audio.save_audio(tmp_path / "speech" / "a $b$ #1" / "take#1 50%.wav", tones(0.3, 200.0))
    run = run_main_job(open_corpus(tmp_path / "speech"), "tiny", steps=2, progress=False)
    page = (run.folder / "report.html").read_text()
    assert "were in training" in page
    sounds = [source for source in re.findall(r'src="([^"]+)"', page) if source.endswith(".wav")]
    assert len(sounds) == 2
    assert all((run.folder / unquote(sound)).is_file() for sound in sounds)
    summary = json.loads((run.folder / "summary.json").read_text())
    assert "nothing is held out" in summary["measures"]["bits a sample, held out"]


def test_two_stages_are_not_of_the_main_job(corpus):
    with pytest.raises(InputError, match="first_stage_steps.*vqwn train"):
        run_main_job(corpus, "tiny", first_stage_steps=3, progress=False)
