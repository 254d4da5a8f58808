"""The benchmarks run and count; the speed of this machine is no matter of a test."""

import json
import os

import pytest

from benchmarks import data as data_benchmark, training as training_benchmark
from benchmarks.__main__ import main
from benchmarks.data import _simulate_vctk, bench_data
from benchmarks.run import run_benchmarks, shares
from vqwn_kit import InputError, open_corpus


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
