"""The main job on a small corpus, from nothing to a report, and again."""

import json
import os
import re
import signal

import pytest
import soundfile

from tests.conftest import make_vctk
from vqwn_kit import load_run, open_corpus
from vqwn_kit.main_job import main_job


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """A project folder of its own around a small corpus."""
    (tmp_path / "data/mini").mkdir(parents=True)
    (tmp_path / "data/mini/utterances.tsv").write_text("path\tspeaker\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VQWN_RESULTS", raising=False)
    return open_corpus(make_vctk(tmp_path / "data/VCTK-Corpus"))


def test_main_job_makes_all_that_the_report_shows_and_opens_a_finished_run_again(corpus, capsys):
    run = main_job(corpus, "tiny", steps=6, progress=False)
    assert re.fullmatch(r"64-vq32-vctk-corpus-\d{8}-\d{4}", run.folder.name)
    page = (run.folder / "report.html").read_text()
    sources = re.findall(r'src="([^"]+)"', page)
    assert all((run.folder / source).is_file() for source in sources)
    assert sum(source.endswith(".wav") for source in sources) == 2 * (1 + 3)
    assert sum(source.endswith(".png") for source in sources) == 7
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
    again = main_job(corpus, "tiny", steps=6, progress=False)
    assert again.folder == run.folder
    assert (run.folder / "weights-6.weights.h5").stat().st_mtime_ns == written
    assert "is finished" in capsys.readouterr().out
    other = main_job(corpus, "tiny", steps=6, fresh=True, progress=False)
    assert other.folder != run.folder


def test_a_stopped_main_job_goes_on_where_it_was(corpus, monkeypatch, capsys):
    from vqwn_kit.training import Trainer

    log = Trainer._log

    def press_ctrl_c(self, writer, callbacks):
        monkeypatch.setattr(Trainer, "_log", log)
        os.kill(os.getpid(), signal.SIGINT)
        return log(self, writer, callbacks)

    monkeypatch.setattr(Trainer, "_log", press_ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        main_job(corpus, "tiny", steps=12, progress=False)
    (folder,) = (path for path in (corpus.folder.parents[1] / "results").iterdir())
    assert load_run(folder).newest in (5, 6)
    assert not (folder / "report.html").exists()
    run = main_job(corpus, "tiny", steps=12, progress=False)
    assert run.folder == folder
    assert "going on" in capsys.readouterr().out
    assert run.newest == 12
    assert (folder / "report.html").is_file()
