"""The benchmark runs and counts; how fast it is here is no matter of a test."""

import os

import pytest

from benchmarks import run as bench, training as training_bench
from benchmarks.run import _simulate_vctk, bench_data, run_benches
from vqwn_kit import InputError, open_corpus


def test_the_simulated_corpus_is_a_vctk(tmp_path):
    _simulate_vctk(tmp_path / "VCTK-Corpus", 300)
    corpus = open_corpus(tmp_path / "VCTK-Corpus")
    assert corpus.layout == "vctk"
    assert len(corpus) == 300
    assert len(corpus.speakers) == 109
    assert len(corpus["p225_000"].load()) == 1600


def test_data_is_measured_and_the_users_stores_are_left_alone(folder, monkeypatch):
    monkeypatch.setattr(bench, "SECONDS", 0.05)
    before = os.environ["VQWN_STORES"]
    found = bench_data(folder, utterances=200)
    assert os.environ["VQWN_STORES"] == before
    assert found["simulated_utterances"] == 200
    assert found["crops_a_second"] > 0
    assert found["prepare_minutes_a_second_1"] > 0
    assert 0 < found["opening_seconds"] < found["preparing_seconds"]


def test_an_unknown_benchmark_is_refused():
    with pytest.raises(InputError, match="did you mean 'data'"):
        run_benches(["date"])


def test_a_training_step_is_timed(monkeypatch):
    monkeypatch.setattr(training_bench, "SECONDS", 0.0)
    seconds, samples, weights = training_bench.time_step("tiny", jit_compile=False)
    assert samples == 4 * 1024
    assert 0 < seconds < 60
    assert weights > samples


def test_figures_are_shares_of_the_machines_limits():
    found = {
        "machine": {"float32_gflops": 200.0, "bfloat16_gflops": 400.0, "reading_gb_a_second": 30.0},
        "training": {"seed_gflops": 300.0, "mini_gflops": 50.0, "mini_milliseconds": 100.0},
        "sampling": {"seed_1_gb_a_second": 15.0},
    }
    assert bench.shares(found) == {
        "training seed_gflops": 0.75,
        "training mini_gflops": 0.25,
        "sampling seed_1_gb_a_second": 0.5,
    }
    assert not bench.shares({"training": {"seed_gflops": 300.0}})
