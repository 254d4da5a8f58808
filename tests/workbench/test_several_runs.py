"""Runs as users give them: names say what differs, and what cannot be compared is refused."""

import json
import shutil

import pytest

from vqwn_kit import InputError, Run, build_model, load_preset, open_corpus, prepare
from vqwn_kit.runs.corpus_of import corpus_facts
from vqwn_kit.workbench.several_runs import open_runs, shared_store


@pytest.fixture(scope="module")
def stepped(store, tmp_path_factory):
    """A run of random weights with the steps 5 and 1200."""
    preset, names = load_preset("tiny"), dict(store.corpus.speakers)
    folder = tmp_path_factory.mktemp("runs") / "first"
    created = Run.create(folder / "weights", preset, store.corpus.name, names)
    for step in (5, 1200):
        created.save_weights(build_model(preset, list(names)), step)
    return folder


def copied(folder, target, **changes):
    """Return a copy of a run folder with changes of its config."""
    shutil.copytree(folder, target)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | changes))
    return target


def test_a_step_is_a_checkpoint_of_a_folder_or_of_a_run_in_results(stepped, monkeypatch):
    given = [stepped / "weights-5", str(stepped / "weights-1200")]
    assert [run.newest for run in open_runs(given).values()] == [5, 1200]
    monkeypatch.setenv("VQWN_RESULTS", str(stepped.parent))
    runs = open_runs(["first/weights-5", "first"])
    assert [run.newest for run in runs.values()] == [5, 1200]
    with pytest.raises(InputError, match="first has weights-1200, weights-5"):
        open_runs(["first/weights-7", "first"])


@pytest.mark.parametrize("given", [("mini", 4000), [("mini", 4000), "mini"], [None, "mini"]])
def test_what_is_no_run_is_refused_with_the_form_of_a_step(given):
    with pytest.raises(InputError, match="is no run: .* a step is a checkpoint, such as mini/weig"):
        open_runs(given)


def test_names_are_the_folders_and_the_steps_of_one_folder(stepped, tmp_path):
    second = copied(stepped, tmp_path / "second")
    same_name = copied(stepped, tmp_path / "again" / "first")
    steps = [stepped / "weights-5", stepped / "weights-1200"]
    assert list(open_runs(steps)) == ["first, step 5", "first, step 1,200"]
    assert list(open_runs([stepped, second])) == ["first", "second"]
    assert list(open_runs([stepped, same_name])) == [f"{stepped.parent.name}/first", "again/first"]
    assert list(open_runs([*steps, second])) == ["first, step 5", "first, step 1,200", "second"]
    assert list(open_runs({"before": steps[0], "after": stepped})) == ["before", "after"]


def test_fewer_than_two_runs_and_equal_names_are_refused(stepped, tmp_path):
    with pytest.raises(InputError, match="1 runs; a comparison takes 2 to 8"):
        open_runs(stepped)
    with pytest.raises(InputError, match="0 runs"):
        open_runs([])
    with pytest.raises(InputError, match="be named 'first, step 1,200', as another run is: give"):
        open_runs([stepped, stepped / "weights-1200"])
    other = copied(stepped, tmp_path / "first")
    (other / "weights-5.weights.h5").rename(other / "others-5.weights.h5")
    shutil.copy(other / "others-5.weights.h5", other / "weights-5.weights.h5")
    with pytest.raises(InputError, match="cannot be named 'first, step 5'"):
        open_runs([other / "others-5", other / "weights-5"])
    with pytest.raises(InputError, match="cannot be named '1', as another run is"):
        open_runs({"1": stepped, 1: other})
    with pytest.raises(InputError, match="cannot be named 'recording', as that track is"):
        open_runs({"recording": stepped, "b": stepped / "weights-5"})


def test_one_corpus_that_was_prepared_differently_is_refused(stepped, store, folder, tmp_path):
    """The runs have the same corpus, by name, but were trained on other stores of it."""
    facts = corpus_facts(store)
    runs = [copied(stepped, tmp_path / "a", data=facts)]
    runs += [copied(stepped, tmp_path / "b", data=facts | {"level_db": -20.0})]
    runs = open_runs(runs)
    trimmed = prepare(open_corpus(folder), level_db=-20.0, progress=False)
    assert trimmed.identity != store.identity
    with pytest.raises(InputError, match="prepared differently") as refused:
        shared_store(runs, None, False)
    assert f"a on {store.identity}, b on {trimmed.identity}: give" in str(refused.value)
    runs = open_runs({"a": runs["a"], "c": copied(stepped, tmp_path / "c", data=facts)})
    assert shared_store(runs, None, False).identity == store.identity


def test_other_corpora_and_sample_rates_are_refused(stepped, store, tmp_path):
    other = copied(stepped, tmp_path / "other", corpus="another")
    runs = open_runs([stepped, other])
    with pytest.raises(InputError, match=f"first on {store.corpus.name}, other on another: give"):
        shared_store(runs, None, False)
    assert shared_store(runs, store, False) is store
    fast = copied(stepped, tmp_path / "fast", data={"sample_rate": 24_000})
    with pytest.raises(InputError, match="fast 24000 Hz, the corpus 16000 Hz: all"):
        shared_store(open_runs([stepped, fast]), store, False)
    slow = copied(stepped, tmp_path / "slow", data={"sample_rate": 16_000})
    with pytest.raises(InputError, match="slow 16000 Hz, fast 24000 Hz: all .* Compare runs of"):
        shared_store(open_runs([slow, fast]), None, False)
