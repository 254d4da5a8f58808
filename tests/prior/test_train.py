"""Training a prior: an entropy rate, exact resume, its folder, its score card, sampled speech."""

import json
import os
import shutil
import signal
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from vqwn_kit import (
    InputError,
    Run,
    build_model,
    generate,
    load_preset,
    load_prior,
    load_run,
    sample_speech,
    train_prior,
)
from vqwn_kit.cli.main import main
from vqwn_kit.prior import sample
from vqwn_kit.prior.config import PriorConfig
from vqwn_kit.prior.evaluate import need_held_out, score_prior
from vqwn_kit.prior.train import PriorTrainer
from vqwn_kit.runs.codes import RunCodes
from vqwn_kit.runs.history import read_history

SMALL = {"units": 12, "channels": 8, "segment_length": 32, "batch_size": 4}


class FakeRun:
    """The parts of a run that a trainer of priors reads."""

    trained_speakers = {"ann": {}, "bob": {}}
    newest, pitch_levels = 0, 0

    def __init__(self, codebook: np.ndarray):
        self.model = self.bottleneck = self
        self.codebook = codebook

    def vectors(self):
        """Return the codebook."""
        return keras.ops.convert_to_tensor(self.codebook)


def chain(rng, table: np.ndarray, length: int) -> np.ndarray:
    codes = [0]
    for draw in rng.random(length - 1):
        codes.append(min(int(np.sum(np.cumsum(table[codes[-1]]) <= draw)), len(table) - 1))
    return np.array(codes, np.int32)


@pytest.mark.traced
def test_a_markov_chain_is_learned_to_its_entropy_rate(rng, store, tmp_path):
    table = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.5, 0.4, 0.1]])
    values, vectors = np.linalg.eig(table.T)
    stationary = np.real(vectors[:, np.argmax(np.real(values))])
    stationary /= stationary.sum()
    rate = -np.sum(stationary[:, None] * table * np.log2(table))
    codes = {number: chain(rng, table, 3000)[None] for number in range(len(store))}
    run_codes = RunCodes(codes, store.speaker_ids, store, 3, 64)
    rates = {"peak": 2e-2, "warm_up": 20, "end": 1e-4}
    sizes = {"units": 16, "channels": 8, "batch_size": 16, "segment_length": 64}
    config = PriorConfig(dropout=0.0, steps=250, learning_rate=rates, **sizes)
    run = FakeRun(rng.normal(size=(3, 4)).astype(np.float32))
    trainer = PriorTrainer(run, run_codes, config, tmp_path / "prior")
    trainer.fit(progress=False)
    test = chain(rng, table, 20_000)
    after = np.log2(table)[test[:-1], test[1:]]
    with trainer.average.applied():
        bits = trainer.model.surprise(test)[1:]
    assert bits.mean() == pytest.approx(-after.mean(), abs=0.02)  # of these codes
    assert bits.mean() == pytest.approx(rate, abs=0.03)  # of the chain


@pytest.fixture(scope="module")
def prior_run(run, tmp_path_factory):
    """A copy of the tiny run, whose folder stays as it was."""
    folder = tmp_path_factory.mktemp("prior") / "run"
    shutil.copytree(run.folder, folder)
    return load_run(folder)


@pytest.fixture(scope="module")
def prior(prior_run, store):
    """The prior of that run, with its score card."""
    return train_prior(prior_run, store, steps=6, validate_every=3, progress=False, **SMALL)


def test_a_voice_that_was_added_is_no_speaker_that_a_prior_is_measured_on():
    run = SimpleNamespace(trained_speakers={"ann": {}}, speakers={"ann": {}, "eve": {}})
    utterances = [SimpleNamespace(speaker=name, split="held_out") for name in ("eve", "ann")]

    class Utterances(list):
        folder = "speech"

    need_held_out(run, SimpleNamespace(corpus=Utterances(utterances)))
    with pytest.raises(InputError, match="speech holds out no utterance"):
        need_held_out(run, SimpleNamespace(corpus=Utterances(utterances[:1])))


def test_the_folder_holds_weights_state_history_card_and_figures(prior, prior_run):
    folder = prior_run.folder / "prior"
    names = "config.json weights.weights.h5 state.npz history.jsonl score_card.json score_card.md"
    assert set(names.split()) <= {path.name for path in folder.iterdir()}
    figures = {path.stem for path in (folder / "figures").iterdir()}
    assert {"calibration", "surprisal", "repeats"} <= figures
    steps = [record["step"] for record in read_history(folder)]
    assert steps == [3, 6]
    assert all("left_out/bits" in record for record in read_history(folder))
    card = json.loads((folder / "score_card.json").read_text())
    rows = {row["name"]: row for row in card["rows"]}
    assert rows["uniform, all codes"]["value"] == np.log2(prior.num_embeddings)
    assert {"prior, ann", "bigram, ann", "expected calibration error"} <= set(rows)


def test_the_score_card_is_the_same_when_it_is_measured_again(prior, prior_run, store):
    before = json.loads((prior_run.folder / "prior" / "score_card.json").read_text())
    card = score_prior(prior_run, store, progress=False)
    again = {row.name: row.value for row in card.rows}
    assert again == pytest.approx({row["name"]: row["value"] for row in before["rows"]}, rel=1e-4)
    number = store.numbers("held_out")[0]
    codes = prior_run.model.encode(store.waveform(number))
    bits = prior.surprise(codes, store.corpus.utterances[number].speaker)
    np.testing.assert_allclose(card.example[1], bits, rtol=1e-4)


def test_a_prior_of_several_codebooks_is_trained_measured_and_sampled(
    residual_run, store, tmp_path
):
    folder = tmp_path / "run"
    shutil.copytree(residual_run.folder, folder)
    settings = {**SMALL, "steps": 4, "validate_every": 2, "progress": False}
    prior = train_prior(folder, store, **settings)
    vectors = np.array(residual_run.model.bottleneck.vectors()).reshape(24, 8)
    np.testing.assert_allclose(prior.codebook.numpy(), vectors, atol=1e-6)
    card = score_prior(folder, store, samples=2, progress=False)
    rows = {row.name: row for row in card.rows}
    assert rows["uniform, all codes"].value == pytest.approx(3 * 3)  # of three codes of three bits
    assert rows["uniform, all codes"].unit == "bits per frame"
    assert rows["bit rate, uniform"].value == pytest.approx(250 * 9)
    number = store.numbers("held_out")[0]
    codes = residual_run.model.encode(store.waveform(number))
    bits = prior.surprise(codes, store.corpus.utterances[number].speaker)
    np.testing.assert_allclose(card.example[1], bits.sum(axis=1), rtol=1e-4)
    prompt = store.waveform(0)[:1280]
    sampled = sample_speech(
        folder, ["ann"], seconds=0.1, prompt=prompt, prompt_seconds=0.08, codebooks=2
    )
    assert sampled.codes.shape == (20 + 25, 3)
    np.testing.assert_array_equal(sampled.codes[:20], residual_run.model.encode(prompt)[0])
    expected = generate(load_run(folder).model, sampled.codes, ["ann"], codebooks=2)
    np.testing.assert_array_equal(sampled.sounds, expected)
    with pytest.raises(InputError, match="codebooks=4; expected a whole number from 1 to 3"):
        sample_speech(folder, ["ann"], codebooks=4)


def end_of(prior, folder) -> tuple[list, dict, list]:
    """Return weights, training state and history of a prior; times aside."""
    state = dict(np.load(folder / "state.npz"))
    history = [{**record, "seconds": 0} for record in read_history(folder)]
    return [w.numpy() for w in prior.weights], {**state, "seconds": 0}, history


@pytest.mark.traced
def test_a_prior_that_was_stopped_ends_like_one_that_was_not(prior_run, store, monkeypatch):
    rates = {"learning_rate": {0: 3e-3, 4: 1e-3}}
    settings = {**SMALL, **rates, "steps": 6, "validate_every": 2, "score": False}
    whole = train_prior(prior_run, store, name="whole", progress=False, **settings)
    batch = PriorTrainer.batch

    def press(self, step):
        if step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return batch(self, step)

    with monkeypatch.context() as patched:
        patched.setattr(PriorTrainer, "batch", press)
        with pytest.raises(KeyboardInterrupt, match="stopped at step 3 of 6"):
            train_prior(prior_run, store, name="stopped", progress=False, **settings)
    assert load_prior(prior_run, "stopped").units == SMALL["units"]
    begun = train_prior(prior_run, store, name="begun", minutes=0, progress=False, **settings)
    assert read_history(prior_run.folder / "begun") == []
    assert begun.surprise(np.array([1, 2])).shape == (2,)
    expected = end_of(whole, prior_run.folder / "whole")
    for name in ("stopped", "begun"):
        restore = {"name": name, "restore": True, "progress": False, "score": False}
        weights, state, history = end_of(
            train_prior(prior_run, store, **restore), prior_run.folder / name
        )
        assert all(map(np.array_equal, weights, expected[0]))
        assert state.keys() == expected[1].keys()
        for key, value in state.items():
            np.testing.assert_array_equal(value, expected[1][key], key)
        assert history == expected[2]
    with pytest.raises(InputError, match="units cannot change"):
        train_prior(prior_run, store, units=13, **restore)


def test_a_prior_is_not_resumed_on_another_corpus(prior, prior_run, store, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(prior_run.folder, folder)
    file = folder / "prior" / "config.json"
    file.write_text(file.read_text().replace(store.identity, "other-123"))
    with pytest.raises(InputError, match="begun on other-123"):
        train_prior(folder, store, restore=True, steps=8, progress=False)


def test_a_prior_is_never_overwritten_and_wrong_settings_are_named(prior, prior_run, store):
    with pytest.raises(InputError, match="holds a prior already"):
        train_prior(prior_run, store, steps=2, progress=False)
    with pytest.raises(InputError, match="no prior 'other' yet"):
        load_prior(prior_run, "other")
    with pytest.raises(InputError, match="no prior 'other' yet"):
        train_prior(prior_run, store, name="other", restore=True)
    with pytest.raises(InputError, match="did you mean 'units'"):
        train_prior(prior_run, store, name="other", unit=3)
    with pytest.raises(InputError, match="steps is 0"):
        train_prior(prior_run, store, name="other", steps=0)
    with pytest.raises(InputError, match="encodings is 65"):
        train_prior(prior_run, store, name="other", encodings=65)
    assert not (prior_run.folder / "other").exists()


def test_a_prior_of_another_codebook_is_refused(prior, prior_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(prior_run.folder, folder)
    other = load_run(folder)
    other.model.bottleneck.codebook.assign(other.model.bottleneck.codebook + 1.0)
    with pytest.raises(InputError, match="another codebook"):
        load_prior(other)


def test_a_damaged_prior_is_named(prior, prior_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(prior_run.folder, folder)
    (folder / "prior" / "weights.weights.h5").write_bytes(b"no")
    with pytest.raises(InputError, match="is damaged"):
        load_prior(folder)
    (folder / "prior" / "config.json").write_text("[]")
    with pytest.raises(InputError, match="not the config of a prior"):
        load_prior(folder)


def test_a_run_without_a_codebook_has_no_prior(store, tmp_path, capsys):
    preset = load_preset("tiny").change(bottleneck="ae")
    plain = Run.create(tmp_path / "ae" / "weights", preset, "speech", {"ann": {}})
    plain.save_weights(build_model(preset, ["ann"]), 1)
    for call in (
        load_prior,
        lambda run: train_prior(run, store),
        lambda run: sample_speech(run, ["ann"]),
    ):
        with pytest.raises(InputError, match="no codebook: its bottleneck Identity"):
            call(plain)
    assert main(["prior", str(plain.folder), "--data", str(store.corpus.folder)]) == 2
    assert "no codebook" in capsys.readouterr().err


def test_sampled_speech_has_the_same_codes_in_all_voices(prior, prior_run, store):
    wave = store.waveform(0)
    settings = {"seconds": 0.05, "prompt": wave, "prompt_seconds": 0.1, "seed": 2}
    sample = sample_speech(prior_run, ["ann", "bob"], **settings)
    hop = prior_run.model.hop_length
    expected = prior_run.model.encode(wave[: 25 * hop])[0]
    assert sample.prompt == 25
    np.testing.assert_array_equal(sample.codes[:25], expected)
    assert sample.sounds.shape == (2, len(sample.codes) * hop)
    assert np.any(sample.sounds[0] != sample.sounds[1])
    again = sample_speech(prior_run, ["ann", "bob"], **settings)
    np.testing.assert_array_equal(sample.codes, again.codes)
    np.testing.assert_array_equal(sample.sounds, again.sounds)
    with pytest.raises(InputError, match="shorter than a frame"):
        sample_speech(prior_run, ["ann"], prompt=wave[: hop - 1])
    with pytest.raises(InputError, match="fewer seconds"):
        sample_speech(prior_run, ["ann"], prompt=wave[: 10 * hop])
    with pytest.raises(InputError, match="seconds is 0"):
        sample_speech(prior_run, ["ann"], seconds=0)
    with pytest.raises(InputError, match="no speaker 'eve'"):
        sample_speech(prior_run, ["eve"])


def test_the_commands_score_and_sample(prior, prior_run, store, tmp_path, capsys, monkeypatch):
    recording = store.corpus.utterances[0].path
    where, run = str(tmp_path / "sampled"), str(prior_run.folder)
    asked = ["generate", "--run", run, "--from-prior", "--speakers", "ann", "bob", "--save", where]
    prompt = ["--prompt", str(recording), "--prompt-seconds", "0.05", "--like", "ann"]
    decoded, generate = [], sample.generate

    def noted(*args, **settings):
        decoded.append(settings)
        return generate(*args, **settings)

    monkeypatch.setattr(sample, "generate", noted)
    sampling = ["--top-k", "5", "--precision", "bfloat16"]
    assert main([*asked, *prompt, *sampling, "--seconds", "0.04"]) == 0
    assert {"top_k": 5, "precision": "bfloat16"}.items() <= decoded[0].items()
    written = sorted(path.suffix for path in (tmp_path / "sampled").iterdir())
    assert written == [".npy", ".wav", ".wav"]
    data = ["--data", str(store.corpus.folder)]
    assert main(["prior", run, "--score", "--samples", "2", *data]) == 0
    assert "bigram, all codes" in capsys.readouterr().out
    for wrong, message in (
        ([*asked, "--audio", str(recording)], "--prompt FILE to continue"),
        ([*asked, "--prompt-seconds", "1"], "needs a prompt"),
        (["generate", "--run", run, "--speakers", "ann"], "no input"),
        (["generate", "--run", run, "--speakers", "ann", "--seconds", "1"], "needs --from-prior"),
        ([*asked, "--prior", "none"], "no prior 'none' yet"),
        (["prior", run, *data], "holds a prior already"),
        (["prior", run, "--score", "--steps", "3"], "trains nothing"),
    ):
        assert main(wrong) == 2
        assert message in capsys.readouterr().err


def test_a_corpus_that_holds_nothing_out_is_refused_before_training(prior_run, store, monkeypatch):
    everything = replace(store.corpus, utterances=store.corpus.split("train").utterances)
    monkeypatch.setattr(store, "corpus", everything)
    with pytest.raises(InputError, match="holds out no utterance of a speaker that the run knows"):
        train_prior(prior_run, store, name="vain", steps=2, progress=False)
    assert not (prior_run.folder / "vain").exists()
