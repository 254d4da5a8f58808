"""A prior over codes: n-grams by hand, entropy rates, causality, sampling, restore, dreams."""

import json
import os
import shutil
import signal

import keras
import numpy as np
import pytest

from vqwn_kit import (
    InputError,
    Run,
    build_model,
    load_preset,
    load_prior,
    load_run,
    sample_speech,
    train_prior,
)
from vqwn_kit.cli.main import main
from vqwn_kit.evaluation.metrics.codes import calibration, calibration_error, longest_run
from vqwn_kit.prior.config import PriorConfig
from vqwn_kit.prior.evaluate import score_prior
from vqwn_kit.prior.load import history_of
from vqwn_kit.prior.model import CodePrior
from vqwn_kit.prior.ngram import NGram
from vqwn_kit.prior.step import Recurrence, drawn, log_softmax
from vqwn_kit.prior.train import PriorTrainer
from vqwn_kit.runs.codes import RunCodes, codes_of, silent_frames

SMALL = {"units": 12, "channels": 8, "segment_length": 32, "batch_size": 4}


def small_prior(size: int = 7, names=("ann", "bob"), **changes) -> CodePrior:
    """Return a prior of random weights that are large enough to matter."""
    prior = CodePrior(size, 4, names, **{"units": 10, "channels": 6} | changes)
    prior.build()
    rng = np.random.default_rng(5)
    for weight in prior.weights:
        if weight.dtype == "float32":
            weight.assign(rng.normal(0, 0.7, weight.shape))
    return prior


# n-grams


def test_bigram_is_what_kneser_ney_gives_by_hand():
    # aab, ba: unigrams count in how many contexts a code came: a after <s>, a, b; b after <s>, a.
    bigram = NGram([np.array([0, 0, 1]), np.array([1, 0])], 2, 2, (0.5, 0.4))
    unigram = [(3 - 0.5 + 1.0 * 0.5) / 5, (2 - 0.5 + 1.0 * 0.5) / 5]
    after_a = [(1 - 0.4 + 0.8 * unigram[0]) / 2, (1 - 0.4 + 0.8 * unigram[1]) / 2]
    after_b = [(1 - 0.4 + 0.4 * unigram[0]) / 1, 0.4 * unigram[1]]
    np.testing.assert_allclose(bigram.probabilities([0]), after_a)
    np.testing.assert_allclose(bigram.probabilities([1]), after_b)
    np.testing.assert_allclose(bigram.bits([1, 1])[1], -np.log2(after_b[1]))


def test_absolute_discounting_counts_how_often():
    bigram = NGram([np.array([0, 0, 0, 1])], 3, 2, (0.6, 0.5), "absolute")
    unigram = [(3 - 0.6 + 1.2 / 3) / 4, (1 - 0.6 + 1.2 / 3) / 4, (1.2 / 3) / 4]
    expected = [(2 - 0.5 + 1.0 * unigram[0]) / 3, (0.5 + unigram[1]) / 3, unigram[2] / 3]
    np.testing.assert_allclose(bigram.probabilities([0]), expected)
    np.testing.assert_allclose(bigram.probabilities([2]), unigram)  # never met: the lower order


@pytest.mark.parametrize("order", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("smoothing", ["kneser_ney", "absolute"])
def test_probabilities_of_any_context_sum_to_one_and_are_what_bits_tell(rng, order, smoothing):
    sequences = [rng.integers(0, 4, 30) for _ in range(3)]  # code 4 never comes
    ngram = NGram(sequences, 5, order, (0.7,) * order, smoothing)
    for context in ([], [0], [1, 2], [4, 4], [0, 1, 2, 3]):
        share = ngram.probabilities(context)
        assert share.sum() == pytest.approx(1.0, abs=1e-12)
        assert share.min() > 0
        for code in range(5):
            last = ngram.bits([*context, code])[-1]
            assert last == pytest.approx(-np.log2(share[code]), abs=1e-9)


def test_fitted_trigram_finds_what_two_codes_tell(rng):
    sequences = []
    for _ in range(12):
        codes = list(rng.integers(0, 4, 2))
        for _ in range(200):  # half of the codes are the sum of the two before
            codes.append(sum(codes[-2:]) % 4 if rng.random() < 0.5 else rng.integers(0, 4))
        sequences.append(np.array(codes))
    models = [NGram.fitted(sequences[:10], 4, order) for order in (0, 1, 2, 3)]
    mean = [np.mean([model.bits(codes) for codes in sequences[10:]]) for model in models]
    share = np.array([0.625, 0.125, 0.125, 0.125])
    assert mean[0] == 2.0
    assert mean[1] == pytest.approx(2.0, abs=0.03)
    assert mean[2] == pytest.approx(2.0, abs=0.05)
    assert mean[3] == pytest.approx(-np.sum(share * np.log2(share)), abs=0.08)


def test_bad_input_of_ngrams_is_named():
    with pytest.raises(InputError, match="expected 0..3"):
        NGram([np.array([0, 4])], 4, 2, (0.5, 0.5))
    with pytest.raises(InputError, match="expected 2 numbers from 0 to 1"):
        NGram([np.array([0])], 4, 2, (0.5,))
    with pytest.raises(InputError, match="expected 0 to 6 with 512"):
        NGram([np.array([0])], 512, 7, (0.5,) * 7)
    with pytest.raises(InputError, match="did you mean 'kneser_ney'"):
        NGram([np.array([0])], 4, 1, (0.5,), "kneser")


# The network


def test_no_code_hears_of_itself_or_later_ones(rng):
    prior = small_prior()
    codes = rng.integers(0, 7, 20)
    told = prior.log_probabilities(codes, "bob")
    for place in (0, 7, 19):
        other = codes.copy()
        other[place] = (other[place] + 3) % 7
        changed = prior.log_probabilities(other, "bob")
        np.testing.assert_array_equal(changed[: place + 1], told[: place + 1])
        if place < 19:
            assert np.abs(changed[place + 1] - told[place + 1]).max() > 1e-3


@pytest.mark.parametrize("speaker", [None, "ann", "bob"])
def test_one_code_at_a_time_equals_the_full_pass(rng, speaker):
    prior = small_prior()
    codes = rng.integers(0, 7, 25)
    full = prior.log_probabilities(codes, speaker)
    recurrence, state = Recurrence(prior, prior.speaker_ids([speaker])), None
    for place, code in enumerate([prior.start, *codes[:-1]]):
        logits, state = recurrence.step(np.array([code]), state)
        np.testing.assert_allclose(log_softmax(logits[0]), full[place], atol=1e-5)
    piece = prior.log_probabilities(codes[:3], speaker, from_start=False)
    order, share = prior.successors(codes[:3], None, speaker)
    np.testing.assert_allclose(np.exp(piece[2])[order], share, atol=1e-5)


def test_the_speaker_matters_where_it_is_told(rng):
    codes = rng.integers(0, 7, 10)
    prior = small_prior()
    bits = [prior.surprise(codes, speaker) for speaker in ("ann", "bob", None)]
    assert all(np.abs(bits[i] - bits[j]).max() > 1e-3 for i, j in ((0, 1), (1, 2), (0, 2)))
    with pytest.raises(InputError, match="isn't told who speaks"):
        small_prior(names=()).surprise(codes, "ann")
    with pytest.raises(InputError, match="did you mean 'ann'"):
        prior.surprise(codes, "anna")


def test_draws_fall_as_the_probabilities_say():
    share = np.array([0.5, 0.25, 0.25])
    logits = np.log(share)[None]
    draws = (np.arange(1000) + 0.5) / 1000
    found = np.bincount([drawn(logits, np.array([draw]))[0] for draw in draws], minlength=3)
    np.testing.assert_array_equal(found, 1000 * share)
    assert drawn(logits, np.array([1.0 - 1e-16]))[0] == 2


def test_sampled_codes_are_as_frequent_as_the_prior_says():
    prior, rows = small_prior(size=5), 4000
    drawn_codes = prior.sample(2, ["ann"] * rows, seed=3)
    first = np.exp(prior.log_probabilities(np.array([0]), "ann")[0])
    found = np.bincount(drawn_codes[:, 0], minlength=5)
    deviation = np.sqrt(rows * first * (1 - first))
    assert np.all(np.abs(found - rows * first) < 4 * deviation + 1)
    common = int(np.argmax(found))
    after = drawn_codes[drawn_codes[:, 0] == common, 1]
    second = np.exp(prior.log_probabilities(np.array([common, 0]), "ann")[1])
    deviation = np.sqrt(len(after) * second * (1 - second))
    assert np.all(np.abs(np.bincount(after, minlength=5) - len(after) * second) < 4 * deviation + 1)


def test_a_prompt_is_continued_never_altered_and_seeds_repeat():
    prior, prompt = small_prior(), np.array([1, 2, 3, 3])
    one = prior.sample(30, ["ann", None], prompt=prompt, seed=4)
    assert one.shape == (2, 34)
    np.testing.assert_array_equal(one[:, :4], [prompt, prompt])
    np.testing.assert_array_equal(one, prior.sample(30, ["ann", None], prompt=prompt, seed=4))
    np.testing.assert_array_equal(one[:1], prior.sample(30, ["ann"], prompt=prompt, seed=4))
    assert np.any(one != prior.sample(30, ["ann", None], prompt=prompt, seed=5))
    cold = prior.sample(30, ["ann"], prompt=prompt, temperature=1e-6)[0]
    told = prior.log_probabilities(cold, "ann")
    np.testing.assert_array_equal(cold[4:], told.argmax(axis=1)[4:])


def test_bad_input_of_a_prior_is_named():
    prior = small_prior()
    for call, said in {
        lambda: prior.surprise(np.array([7])): "expected 0..6",
        lambda: prior.surprise(np.array([0.5])): "expected whole numbers",
        lambda: prior.surprise(np.zeros(0, int)): "no codes",
        lambda: prior.sample(0): "from 1 on",
        lambda: prior.sample(3, []): "no speakers",
        lambda: prior.sample(3, temperature=0.0): "more than 0",
        lambda: prior.surprise(np.array([0]), 2): "numbers are 0..1",
        lambda: CodePrior(7, 4, dropout=1.0): "below 1",
        lambda: CodePrior(7, 4, units=0): "from 1 on",
    }.items():
        with pytest.raises(InputError, match=said):
            call()


def test_config_round_trip_keeps_what_isnt_default():
    prior = small_prior(dropout=0.1, speaker_dropout=0.4)
    again = CodePrior.from_config(prior.get_config())
    assert again.get_config() == prior.get_config()
    assert json.loads(json.dumps(prior.get_config())) == prior.get_config()


# Training


class FakeRun:
    """As much of a run as a trainer of codes needs."""

    speakers = {"ann": {}, "bob": {}}
    newest = 0

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


def test_a_markov_chain_is_learnt_to_its_entropy_rate(rng, store, tmp_path):
    table = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.5, 0.4, 0.1]])
    values, vectors = np.linalg.eig(table.T)
    stationary = np.real(vectors[:, np.argmax(np.real(values))])
    stationary /= stationary.sum()
    rate = -np.sum(stationary[:, None] * table * np.log2(table))
    codes = [chain(rng, table, 3000)[None] for _ in range(len(store))]
    held = RunCodes(codes, store.speaker_ids, store, 3, 64)
    config = PriorConfig(
        units=16, channels=8, dropout=0.0, steps=250, batch_size=16, segment_length=64,
        learning_rate={"peak": 2e-2, "warm_up": 20, "end": 1e-4},
    )  # fmt: skip
    run = FakeRun(rng.normal(size=(3, 4)).astype(np.float32))
    trainer = PriorTrainer(run, held, config, tmp_path / "prior", False)
    trainer.fit(progress=False)
    fresh = chain(rng, table, 20_000)
    after = np.log2(table)[fresh[:-1], fresh[1:]]
    with trainer.average.applied():
        bits = trainer.prior.surprise(fresh)[1:]
    assert bits.mean() == pytest.approx(-after.mean(), abs=0.02)  # of these very codes
    assert bits.mean() == pytest.approx(rate, abs=0.03)  # of all that there could be


@pytest.fixture(scope="module")
def prior_run(run, tmp_path_factory):
    """A copy of the tiny run, so that its folder stays as it was."""
    folder = tmp_path_factory.mktemp("prior") / "run"
    shutil.copytree(run.folder, folder)
    return load_run(folder)


@pytest.fixture(scope="module")
def prior(prior_run, store):
    """The prior of that run, and its numbers."""
    return train_prior(prior_run, store, steps=6, validate_every=3, progress=False, **SMALL)


def test_codes_are_made_once_and_are_those_of_the_model(prior_run, store, monkeypatch):
    made = codes_of(prior_run, store, 2, progress=False)
    for number in (0, len(store) - 1):
        expected = prior_run.model.encode(store.waveform(number))[0]
        np.testing.assert_array_equal(made.codes[number][0], expected)
    later = store.waveform(0)[prior_run.model.hop_length // 2 :]
    missing = made.codes[0].shape[1] * prior_run.model.hop_length - len(later)
    own = prior_run.model.encode(np.pad(later, (0, missing)))[0]
    np.testing.assert_array_equal(made.codes[0][1], own)
    monkeypatch.setattr("vqwn_kit.runs.codes._encode", None)  # would fail if it were called
    again = codes_of(prior_run, store, 2, progress=False)
    for one, other in zip(made.codes, again.codes, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_folder_holds_all_that_was_asked_for(prior, prior_run):
    folder = prior_run.folder / "prior"
    names = "config.json weights.weights.h5 state.npz history.jsonl score_card.json score_card.md"
    assert set(names.split()) <= {path.name for path in folder.iterdir()}
    figures = {path.stem for path in (folder / "figures").iterdir()}
    assert {"calibration", "surprise", "held_codes"} <= figures
    steps = [record["step"] for record in history_of(folder)]
    assert steps == [3, 6]
    assert all("left_out/bits" in record for record in history_of(folder))
    card = json.loads((folder / "score_card.json").read_text())
    rows = {row["name"]: row for row in card["rows"]}
    assert rows["uniform, all codes"]["value"] == np.log2(prior.num_embeddings)
    assert {"prior, ann", "bigram, ann", "expected calibration error"} <= set(rows)


def test_the_card_is_the_same_when_it_is_measured_again(prior, prior_run, store):
    before = json.loads((prior_run.folder / "prior" / "score_card.json").read_text())
    card = score_prior(prior_run, store, progress=False)
    again = {row.name: row.value for row in card.rows}
    assert again == pytest.approx({row["name"]: row["value"] for row in before["rows"]}, rel=1e-4)
    number = store.numbers("held_out")[0]
    codes = prior_run.model.encode(store.waveform(number))
    bits = prior.surprise(codes, store.corpus.utterances[number].speaker)
    np.testing.assert_allclose(card.example[1], bits, rtol=1e-4)


def test_restored_training_goes_on_exactly(prior_run, store):
    settings = {**SMALL, "validate_every": 2, "progress": False, "score": False}
    rates = {"learning_rate": {0: 3e-3, 4: 1e-3}}
    whole = train_prior(prior_run, store, name="whole", steps=6, **settings, **rates)
    train_prior(prior_run, store, name="parts", steps=3, **settings, **rates)
    begun = train_prior(prior_run, store, name="begun", steps=3, minutes=0, **settings)
    assert history_of(prior_run.folder / "begun") == []
    assert begun.surprise(np.array([1, 2])).shape == (2,)
    going_on = {"name": "parts", "restore": True, "progress": False, "score": False}
    parts = train_prior(prior_run, store, steps=6, **going_on)
    for one, other in zip(whole.weights, parts.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    states = [np.load(prior_run.folder / name / "state.npz") for name in ("whole", "parts")]
    for key in states[0].files:
        if key not in ("seconds", "best"):
            np.testing.assert_array_equal(states[0][key], states[1][key], key)
    with pytest.raises(InputError, match="units can't be changed"):
        train_prior(prior_run, store, units=13, **going_on)


def test_restoring_on_another_corpus_is_refused(prior, prior_run, store, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(prior_run.folder, folder)
    file = folder / "prior" / "config.json"
    file.write_text(file.read_text().replace(store.identity, "other-123"))
    with pytest.raises(InputError, match="begun on other-123"):
        train_prior(folder, store, restore=True, steps=8, progress=False)


def test_ctrl_c_ends_after_the_step_and_saves(prior_run, store, monkeypatch):
    drawn_batch = PriorTrainer.batch

    def press(self, step):
        if step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return drawn_batch(self, step)

    monkeypatch.setattr(PriorTrainer, "batch", press)
    with pytest.raises(KeyboardInterrupt, match="stopped at step 3 of 6"):
        train_prior(prior_run, store, name="stopped", steps=6, progress=False, **SMALL)
    assert int(np.load(prior_run.folder / "stopped" / "state.npz")["step"]) == 3
    assert load_prior(prior_run, "stopped").units == SMALL["units"]


def test_what_exists_is_never_overwritten_and_refusals_say_why(prior, prior_run, store):
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
    with pytest.raises(InputError, match="no prior's config"):
        load_prior(folder)


def test_a_run_without_a_codebook_is_refused_with_its_reason(store, tmp_path, capsys):
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


# Dreams


def test_a_dream_speaks_the_same_codes_in_all_voices(prior, prior_run, store):
    wave = store.waveform(0)
    settings = {"seconds": 0.05, "prompt": wave, "prompt_seconds": 0.1, "seed": 2}
    one = sample_speech(prior_run, ["ann", "bob"], **settings)
    hop = prior_run.model.hop_length
    heard = prior_run.model.encode(wave[: 25 * hop])[0]
    assert one.prompt == 25
    np.testing.assert_array_equal(one.codes[:25], heard)
    assert one.sounds.shape == (2, len(one.codes) * hop)
    assert np.any(one.sounds[0] != one.sounds[1])
    again = sample_speech(prior_run, ["ann", "bob"], **settings)
    np.testing.assert_array_equal(one.codes, again.codes)
    np.testing.assert_array_equal(one.sounds, again.sounds)
    with pytest.raises(InputError, match="shorter than a frame"):
        sample_speech(prior_run, ["ann"], prompt=wave[: hop - 1])
    with pytest.raises(InputError, match="fewer seconds"):
        sample_speech(prior_run, ["ann"], prompt=wave[: 10 * hop])
    with pytest.raises(InputError, match="seconds is 0"):
        sample_speech(prior_run, ["ann"], seconds=0)
    with pytest.raises(InputError, match="no speaker 'eve'"):
        sample_speech(prior_run, ["eve"])


def test_the_commands_score_and_dream(prior, prior_run, store, tmp_path, capsys):
    recording = store.corpus.utterances[0].path
    where, run = str(tmp_path / "dreamt"), str(prior_run.folder)
    asked = ["generate", "--run", run, "--from-prior", "--speakers", "ann", "bob", "--save", where]
    prompt = ["--prompt", str(recording), "--prompt-seconds", "0.05", "--like", "ann"]
    assert main([*asked, *prompt, "--seconds", "0.04"]) == 0
    written = sorted(path.suffix for path in (tmp_path / "dreamt").iterdir())
    assert written == [".npy", ".wav", ".wav"]
    data = ["--data", str(store.corpus.folder)]
    assert main(["prior", run, "--score", "--samples", "2", *data]) == 0
    assert "bigram, all codes" in capsys.readouterr().out
    for bad, said in (
        ([*asked, "--audio", str(recording)], "--prompt FILE to go on"),
        ([*asked, "--prompt-seconds", "1"], "needs a prompt"),
        (["generate", "--run", run, "--speakers", "ann"], "speak what?"),
        (["generate", "--run", run, "--speakers", "ann", "--seconds", "1"], "needs --from-prior"),
        ([*asked, "--prior", "none"], "no prior 'none' yet"),
        (["prior", run, *data], "holds a prior already"),
        (["prior", run, "--score", "--steps", "3"], "trains nothing"),
    ):
        assert main(bad) == 2
        assert said in capsys.readouterr().err


# Measures and figures


def test_calibration_bins_and_its_error():
    predicted = np.array([0.05, 0.05, 0.95, 0.95, 0.95, 0.95])
    happened = np.array([False, False, True, True, True, False])
    means, shares, counts = calibration(predicted, happened, 10)
    np.testing.assert_allclose(means, [0.05, 0.95])
    np.testing.assert_allclose(shares, [0.0, 0.75])
    np.testing.assert_array_equal(counts, [2, 4])
    assert calibration_error(predicted, happened, 10) == pytest.approx((2 * 0.05 + 4 * 0.2) / 6)
    assert calibration(np.array([1.0]), np.array([True]))[1] == 1.0


def test_the_longest_held_code_leaves_silence_out():
    codes = np.array([[0, 0, 0, 1, 1, 2], [1, 2, 2, 2, 2, 0], [0, 1, 0, 1, 0, 1]])
    np.testing.assert_array_equal(longest_run(codes, np.array([True, False, False])), [2, 4, 1])
    np.testing.assert_array_equal(longest_run(codes, np.array([False] * 3)), [3, 4, 1])


def test_silence_lies_under_the_loudest_frame():
    waveform = np.concatenate([np.zeros(6400), np.ones(6400), np.full(6400, 0.02)])
    silent = silent_frames(waveform, 64, 16_000, below=40.0)
    assert len(silent) == 300
    assert silent[:97].all()
    assert not silent[100:300].any()  # 0.02 is 34 dB below
    assert silent_frames(waveform, 64, 16_000, below=30.0)[203:].all()
