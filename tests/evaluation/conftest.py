"""Runs and corpora that the tests of this folder share."""

from dataclasses import replace

import pytest

import vqwn_kit as vq
from tests.conftest import make_folders
from vqwn_kit.evaluation.context import evaluation_context
from vqwn_kit.models.tensorflow import keras
from vqwn_kit.presets.build import build_model
from vqwn_kit.presets.preset import from_dict, load_preset
from vqwn_kit.runs.run import Run

SENTENCES = ["we see a tree", "they buy one", "our shoe fits", "go home now"]


def untrained(folder, store, **parts) -> Run:
    """Make a run of the preset `tiny` with its first weights, always the same ones.

    `parts` replaces some of the preset.
    """
    keras.utils.set_random_seed(0)
    preset = from_dict({**load_preset("tiny").to_dict(), **parts})
    run = Run.create(folder / "weights", preset, store.corpus.name, dict(store.corpus.speakers))
    run.save_weights(build_model(preset, list(store.corpus.speakers)), 0)
    return run


@pytest.fixture(scope="session")
def parallel(tmp_path_factory):
    """A store of four speakers who read the same four sentences, with texts, sexes and phones."""
    pitches = {"ann": 210.0, "bea": 250.0, "cyd": 100.0, "dan": 130.0}
    folder = make_folders(tmp_path_factory.mktemp("parallel"), pitches)
    rows, spans = ["path\tutterance\tspeaker\tsex\ttext\tsplit"], ["utterance\tstart\tend\tphone"]
    for speaker, pitch in pitches.items():
        for number, text in enumerate(SENTENCES):
            key, split = f"{speaker}_{number:03d}", "held_out" if number > 1 else "train"
            sex = "F" if pitch > 200 else "M"
            rows.append(f"{speaker}/{key}.wav\t{key}\t{speaker}\t{sex}\t{text}\t{split}")
            spans += [f"{key}\t0.0\t0.1\tSIL", f"{key}\t0.1\t0.2\tIY", f"{key}\t0.2\t0.4\tS"]
    (folder / "utterances.tsv").write_text("\n".join(rows) + "\n")
    (folder / "phones.tsv").write_text("\n".join(spans) + "\n")
    return vq.prepare(vq.open_corpus(folder), progress=False)


@pytest.fixture(scope="session")
def full(parallel, tmp_path_factory):
    """An untrained run on the parallel corpus, and its card."""
    run = untrained(tmp_path_factory.mktemp("full"), parallel)
    return run, vq.score_card(run, parallel, sampled=2, targets=1, progress=False)


@pytest.fixture(scope="session")
def voices(tmp_path_factory):
    """Three of the bundled speakers: six training sentences each and two that are held out."""
    whole, names = vq.example_corpus(), ("alpha", "joe", "kumo")
    keys = [f"{name}_{number:03d}" for name in names for number in (*range(1, 7), 36, 37)]
    utterances = tuple(whole[key] for key in sorted(keys))
    speakers = {name: whole.speakers[name] for name in names}
    corpus = replace(whole, name="three", utterances=utterances, speakers=speakers)
    store = vq.prepare(corpus, progress=False)
    run = untrained(tmp_path_factory.mktemp("three"), store)
    return evaluation_context(run, store, progress=False)
