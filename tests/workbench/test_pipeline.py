"""The pipeline of `vqwn run` on a small corpus, from its start to a report, and its second call."""

import json
import os
import re
import signal
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile

from tests.conftest import make_vctk, tones
from vqwn_kit import load_run, open_corpus, prepare, train
from vqwn_kit.data import audio
from vqwn_kit.evaluation.metrics.codes import code_counts
from vqwn_kit.training.trainer import Trainer
from vqwn_kit.workbench import pipeline
from vqwn_kit.workbench.pipeline import run_pipeline
from vqwn_kit.workbench.summary import draw_figures

SMALL = {"preset": "tiny", "steps": 6, "judged": 1, "progress": False}


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


@contextmanager
def light():
    """Leave out figures and tables, which the first run has."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("draw_figures", "export_projector"):
            patch.setattr(pipeline, name, lambda *_, **__: None)
        yield


def summary(run) -> dict:
    return json.loads((run.folder / "summary.json").read_text())


def players(run) -> list[dict]:
    """Return the state of each player of the report."""
    page = (run.folder / "report.html").read_text()
    states = re.findall(r'<script type="application/json" id="[^"]+">(.*?)</script>', page)
    return [json.loads(state) for state in states]


def test_the_report_plays_two_utterances_and_shows_figures_from_one_file(run):
    assert re.fullmatch(r"64-vq32-vctk-corpus-steps6-\d{8}-\d{4}", run.folder.name)
    page = (run.folder / "report.html").read_text()
    assert len(re.findall("data:image/png;base64", page)) == 7
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    for state, utterance in zip(players(run), summary(run)["utterances"], strict=True):
        assert state["names"] == [track["label"] for track in utterance["tracks"]]
        assert len(state["names"]) == 1 + 3
        assert len(state["codes"]) == len(utterance["codes"]) > 0
        files = [run.folder / track["file"] for track in utterance["tracks"]]
        assert {soundfile.info(file).samplerate for file in files} == {16_000}


def test_the_summary_has_the_time_and_the_loss_of_each_stage(run):
    known = summary(run)
    assert {"prepare", "evaluate", "generate", "draw"} == set(known["seconds"])
    assert known["before"]["bits"] > known["after"]["bits"] > 0
    (stage,) = known["stages"]
    assert (stage["step"], stage["end"]) == (6, "all 6 steps are taken")
    assert (run.folder / "embeddings/codebook_vecs.tsv").is_file()
    assert list((run.folder / "logs").glob("events*"))


def test_table_and_figure_count_the_same_codes(run, corpus, monkeypatch):
    counted = []
    monkeypatch.setattr(
        "vqwn_kit.workbench.summary.plots.plot_code_usage",
        lambda counts, ax: counted.append(counts) or ax,
    )
    store = prepare(corpus)
    codes = [run.model.encode(store.waveform(n)) for n in store.numbers("held_out")]
    used = len(set(np.concatenate([row.ravel() for row in codes])))
    draw_figures(run, code_counts(np.concatenate(codes, axis=1), 32)[None])
    assert (counted[0] > 0).sum() == used
    assert summary(run)["measures"]["codes in use of 32"].startswith(f"{used} (")


def test_a_finished_run_is_opened_again(run, corpus, capsys):
    written = run.weights_file(6).stat().st_mtime_ns
    assert run_pipeline(corpus, **SMALL).folder == run.folder
    assert run.weights_file(6).stat().st_mtime_ns == written
    lines = capsys.readouterr().out.splitlines()
    assert any("is finished" in line for line in lines)
    assert lines[-3].startswith("Made 8 sounds")
    assert lines[-2].startswith("Is it any good? ")
    assert summary(run)["verdicts"][0] in lines[-2]
    assert f"`vqwn doctor {run.folder.name}`" in lines[-1]
    assert "make lab" in lines[-1]


def test_a_run_that_was_trained_further_is_reported_again(run, corpus):
    longer = train(prepare(corpus), restore=run.folder, steps=8, progress=False)
    with light():
        assert run_pipeline(corpus, **SMALL).newest == longer.newest == 8
    assert json.loads((run.folder / "summary.json").read_text())["reported_step"] == 8


def test_fresh_starts_another_run_which_resumes_after_ctrl_c(run, corpus, monkeypatch, capsys):
    log = Trainer.log

    def press_ctrl_c(self, callbacks):
        monkeypatch.setattr(Trainer, "log", log)
        os.kill(os.getpid(), signal.SIGINT)
        return log(self, callbacks)

    known = set(run.folder.parent.iterdir())
    monkeypatch.setattr(Trainer, "log", press_ctrl_c)
    with light(), pytest.raises(KeyboardInterrupt):
        run_pipeline(corpus, **SMALL, fresh=True)
    (folder,) = set(run.folder.parent.iterdir()) - known
    assert load_run(folder).newest in (5, 6)
    assert not (folder / "report.html").exists()
    with light():
        resumed = run_pipeline(corpus, **SMALL)
    assert resumed.folder == folder
    assert "resuming" in capsys.readouterr().out
    assert resumed.newest == 6
    assert (folder / "report.html").is_file()


def test_one_recording_of_one_speaker_with_an_odd_name_suffices(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VQWN_RESULTS", str(tmp_path / "results"))
    audio.save_audio(tmp_path / "speech" / "a $b$ #1" / "take#1 50%.wav", tones(0.3, 200.0))
    with light():
        run = run_pipeline(open_corpus(tmp_path / "speech"), **SMALL | {"steps": 2})
    assert "were in training" in (run.folder / "report.html").read_text()
    ((utterance,), (state,)) = summary(run)["utterances"], players(run)
    assert len(state["names"]) == len(utterance["tracks"]) == 2
    assert all((run.folder / track["file"]).is_file() for track in utterance["tracks"])
    measures = summary(run)["measures"]
    assert measures["bits per sample"] == "nothing is held out"
    assert measures["phone error"] == "not measured: nothing is held out"
    printed = capsys.readouterr().out
    assert "held out, for the measures: 0, fewer than the 12" in printed
    assert "1 utterance of 1 speaker\n" in printed
    assert "Is it any good? Too early to say" in printed
    assert "<h2>Is it any good?</h2>" in (run.folder / "report.html").read_text()


# Two stages


STAGES = {**SMALL, "first_stage_steps": 3, "steps": 2}


@pytest.fixture(scope="module")
def staged(corpus):
    """The run of one call in two stages, and its report after the first."""
    early, write = [], pipeline.write_report

    def keep(folder, shipped):
        page = write(folder, shipped)
        early.append(page.read_text())
        return page

    with light(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "write_report", keep)
        run = run_pipeline(corpus, **STAGES, fresh=True)
    return run, early


def test_the_first_stage_is_reported_before_the_wavenet_is_trained(staged):
    run, (early, late) = staged
    assert "Codes only, no WaveNet yet" in early
    assert "Codes only" not in late
    assert "stage 1 of 2, codes: all 3 steps are taken" in early
    assert "stage 2 of 2" not in early
    assert "stage 2 of 2, WaveNet: all 2 steps are taken" in late
    names = players(run)[0]["names"]
    assert names[1].startswith("reconstruction")
    assert sum(name.startswith("codes only") for name in names) == 3
    assert [stage["step"] for stage in summary(run)["stages"]] == [3, 2]
    assert {"codes only", "reconstructions"} <= {
        name.partition("phone error, ")[2] for name in summary(run)["measures"]
    }


def test_stages_that_time_ends_are_reported_as_such_and_not_trained_again(corpus, capsys):
    settings = {**STAGES, "first_stage_steps": 10_000, "steps": 10_000, "seed": 5}
    with light():
        run = run_pipeline(corpus, **settings, minutes=0.05)
    assert 0 < run.newest < 10_000
    ends = [stage["end"] for stage in summary(run)["stages"]]
    assert all("min is spent, after" in end for end in ends)
    printed = capsys.readouterr().out
    assert all(end in printed for end in ends)
    assert run_pipeline(corpus, **settings, minutes=0.05).newest == run.newest


def test_a_run_stopped_between_the_stages_resumes_at_the_second(corpus, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pipeline._Pipeline, "_synthesise", stop)
        with pytest.raises(KeyboardInterrupt):
            run_pipeline(corpus, **STAGES, seed=7)
    capsys.readouterr()
    with light():
        run = run_pipeline(corpus, **STAGES, seed=7)
    printed = capsys.readouterr().out
    assert "resuming" in printed
    assert "stage 1 of 2" not in printed.partition("Made")[0].partition("stage 2 of 2")[0]
    assert run.newest == 2
