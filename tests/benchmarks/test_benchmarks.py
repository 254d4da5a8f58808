"""The benchmarks run and count; the speed of this machine is no matter of a test."""

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile

from benchmarks import (
    added_voice,
    data as data_benchmark,
    encode as encode_benchmark,
    first_run,
    training as training_benchmark,
)
from benchmarks.__main__ import main
from benchmarks.data import _simulate_vctk, bench_data
from benchmarks.run import run_benchmarks, shares
from vqwn_kit import InputError, Run, load_preset, open_corpus
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.workbench.summary import note


def test_the_simulated_corpus_is_a_vctk(tmp_path):
    _simulate_vctk(tmp_path / "VCTK-Corpus", 300)
    corpus = open_corpus(tmp_path / "VCTK-Corpus")
    assert corpus.layout == "vctk"
    assert len(corpus) == 300
    assert len(corpus.speakers) == 109
    assert len(corpus["p225_000"].load()) == 1600


def test_data_is_measured_and_the_users_stores_are_left_alone(folder, monkeypatch):
    monkeypatch.setattr(data_benchmark, "SECONDS", 0.05)
    before = os.environ["VQWN_STORES"]
    figures = bench_data(folder, utterances=200)
    assert os.environ["VQWN_STORES"] == before
    assert figures["simulated_utterances"] == 200
    assert figures["crops_per_second"] > 0
    assert figures["prepare_minutes_per_second_1"] > 0
    assert 0 < figures["opening_seconds"] < figures["preparing_seconds"]


def test_encoding_is_measured_on_joined_recordings(folder, monkeypatch):
    """In processes of their own, which are not started here."""
    measured = []

    def started(command, **settings):
        sound = Path(command[-2])
        found = [sound] if sound.is_file() else sorted(sound.iterdir())
        measured.append([soundfile.info(path).frames for path in found])
        return SimpleNamespace(stdout="[120.0, 90.0]")

    monkeypatch.setattr(encode_benchmark, "MINUTES", (0.05, 0.1))
    monkeypatch.setattr(encode_benchmark.subprocess, "run", started)
    figures = encode_benchmark.bench_encode(folder=folder)
    assert measured[:2] == [[48_000], [96_000]]
    assert measured[2] == [soundfile.info(u.path).frames for u in open_corpus(folder)]
    assert figures["0.1_min_times_real_time"] == 120.0
    assert figures["short_recordings_mebibytes"] == 90.0


def test_what_cannot_be_measured_is_refused(capsys):
    with pytest.raises(InputError, match="did you mean 'data'"):
        run_benchmarks(["date"])
    assert main(["precision"]) == 2
    assert "give one with --run" in capsys.readouterr().err


def test_figures_are_printed_and_written(monkeypatch, capsys, tmp_path):
    figures = {"machine": {"float32_gflops": 200.0}, "training": {"mini_gflops": 50.0}}
    monkeypatch.setattr("benchmarks.__main__.run_benchmarks", lambda *given: figures)
    assert main(["--json", str(tmp_path / "figures.json")]) == 0
    assert "25% of the machine's limit" in capsys.readouterr().out
    assert json.loads((tmp_path / "figures.json").read_text()) == figures


def test_a_training_step_is_timed(monkeypatch):
    monkeypatch.setattr(training_benchmark, "SECONDS", 0.0)
    seconds, samples, weights = training_benchmark.time_step("tiny", jit_compile=False)
    assert seconds > 0
    assert samples == 4 * 1024
    assert weights > samples


def test_figures_are_fractions_of_the_machines_limits():
    figures = {
        "machine": {
            "float32_gflops": 200.0,
            "bfloat16_gflops": 400.0,
            "reading_gb_per_second": 30.0,
        },
        "training": {"original_gflops": 300.0, "mini_gflops": 50.0, "mini_milliseconds": 100.0},
        "sampling": {"original_1_gb_per_second": 15.0},
    }
    assert shares(figures) == {
        "training original_gflops": 0.75,
        "training mini_gflops": 0.25,
        "sampling original_1_gb_per_second": 0.5,
    }
    assert not shares({"training": {"original_gflops": 300.0}})


def test_first_runs_are_resumed_and_tabulated(monkeypatch, tmp_path, capsys):
    made = []

    def run(scratch, preset, seed, minutes, data):
        made.append((preset, seed))
        return {"phone error, reconstructions": 0.4 * seed, "steps, decoder": 100}

    monkeypatch.setattr(first_run, "_first_run", run)
    file = tmp_path / "runs.json"
    assert main(["first-run", "--seeds", "1", "--json", str(file)]) == 0
    assert (
        main(["first-run", "--seeds", "2", "--presets", "mini", "paper", "--json", str(file)]) == 0
    )
    assert made == [("mini", 0), ("paper", 0), ("mini", 1), ("paper", 1)]
    table = file.with_suffix(".md").read_text()
    assert re.search(r"phone error, reconstructions(\s+\| 0.20 \(0.00 to 0.40\)){2} \|\n", table)
    assert table.strip() in capsys.readouterr().out
    assert len(json.loads(file.read_text())) == 4


def test_a_first_run_is_a_process_of_its_own_whose_measures_are_read(monkeypatch, tmp_path):
    card = ScoreCard({})
    card.add("content", "phone error, reconstruction", 0.31, "", "sounds")
    card.skipped["DNSMOS P.808, reconstruction"] = "speechmos is not installed"

    def pretend(command, env, **settings):
        folder = Path(env["VQWN_RESULTS"]) / "run"
        card.save(folder)
        stages = [{"step": 400, "seconds": 90.0}, {"step": 300, "seconds": 120.0}]
        facts = {"stages": stages, "first_stage_phone_error": 0.28, "peak_gib": 1.5}
        note(folder, facts | {"code_counts": [2, 0, 2]})
        assert command[-8:] == "--preset mini --seed 3 --minutes 4.0 --judged 30".split()
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(first_run.subprocess, "run", pretend)
    row = first_run._first_run(tmp_path, "mini", 3, 4.0, None)
    assert row["phone error, reconstructions"] == 0.31
    assert row["phone error, codes only"] == 0.28
    assert (row["steps, first stage"], row["steps, decoder"]) == (400, 300)
    assert row["training (s)"] == 210
    assert (row["codes in use"], row["perplexity"]) == (2, pytest.approx(2.0))
    assert "DNSMOS P.808, reconstructions" not in row


def test_a_first_run_that_fails_shows_the_end_of_its_log(monkeypatch, tmp_path, capsys):
    def fail(command, env, stdout, stderr):
        stdout.write("the disk is full")
        return SimpleNamespace(returncode=1)

    monkeypatch.setattr(first_run.subprocess, "run", fail)
    assert main(["first-run", "--seeds", "1"]) == 2
    message = "--preset mini --seed 0 ended with an error: ...the disk is full"
    assert message in capsys.readouterr().err


def judged(way: str, hits: list[bool], errors: list[int], **more) -> dict:
    """Return a row of the benchmark of added voices, of sentences of ten phones."""
    count = len(hits)
    row = {"independent": hits, "probe": hits[::-1], "cosines": [0.5] * count}
    row |= {"errors_of_phones": errors, "phones": [10] * count}
    return row | {"way": way, "sentences": [f"s{n}" for n in range(count)], **more}


def test_added_voices_of_one_way_and_length_are_one_line():
    rows = [
        judged("embedding", [True, False], [1, 3], seconds=30, fitting=20.0),
        judged("embedding", [True, True], [2, 2], seconds=30, fitting=40.0),
        judged("embedding", [False, False], [9, 9], seconds=10, fitting=10.0),
        judged("trained", [True, True], [0, 1]),
    ]
    lines = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in added_voice.added_voice_table(rows).splitlines()
    ]
    assert [line[0] for line in lines[2:]] == ["embedding, 30 s", "embedding, 10 s", "1 trained"]
    assert [line[1].split()[0] for line in lines[2:]] == ["75", "0", "100"]
    assert [line[4].split()[0] for line in lines[2:]] == ["0.200", "0.900", "0.050"]
    assert [line[5] for line in lines[2:]] == ["30", "10", "-"]


def test_added_voices_need_a_run_voices_and_a_known_way(capsys, tmp_path):
    assert main(["added-voice", "--run", "mini"]) == 2
    assert "needs --run RUN and --voices FOLDER" in capsys.readouterr().err
    line = ["added-voice", "--run", "mini", "--voices", str(tmp_path), "--ways", "biases"]
    assert main(line) == 2
    assert "did you mean 'with biases'" in capsys.readouterr().err
    Run.create(tmp_path / "run" / "weights", load_preset("tiny"), "elsewhere", {"ann": {}})
    assert main(["added-voice", "--run", str(tmp_path / "run"), "--voices", str(tmp_path)]) == 2
    assert "trained on the corpus 'elsewhere'" in capsys.readouterr().err
