"""Runs as users give them: names say what differs, and what cannot be compared is refused."""

import json
import shutil

import pytest

from vqwn_kit import InputError, Run, build_model, load_preset
from vqwn_kit.workbench.several_runs import differing_settings, open_runs, shared_store


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


def test_a_step_is_a_checkpoint_a_pair_or_behind_an_at_sign(stepped):
    given = [stepped / "weights-5", f"{stepped}@1200"]
    runs = open_runs(given)
    assert list(runs) == ["step 5", "step 1,200"]
    assert [run.newest for run in runs.values()] == [5, 1200]
    assert [run.newest for run in open_runs([(stepped, 1200), (stepped, 5)]).values()] == [1200, 5]
    with pytest.raises(InputError, match="no checkpoint of first of step '7'"):
        open_runs([f"{stepped}@7", stepped])


def test_names_say_what_differs(stepped, tmp_path):
    second = copied(stepped, tmp_path / "second")
    same_name = copied(stepped, tmp_path / "again" / "first")
    assert list(open_runs([stepped, second])) == ["first", "second"]
    assert list(open_runs([stepped, same_name])) == [f"{stepped.parent.name}/first", "again/first"]
    three = open_runs([(stepped, 5), (stepped, 1200), second])
    assert list(three) == ["first, step 5", "first, step 1,200", "second"]
    assert list(open_runs({"before": (stepped, 5), "after": stepped})) == ["before", "after"]


def test_fewer_than_two_runs_and_one_twice_are_refused(stepped):
    with pytest.raises(InputError, match="1 runs; a comparison takes 2 to 8"):
        open_runs(stepped)
    with pytest.raises(InputError, match="0 runs"):
        open_runs([])
    with pytest.raises(InputError, match="at step 1200 is given twice"):
        open_runs([stepped, (stepped, 1200)])
    with pytest.raises(InputError, match="a pair of a run and a step"):
        open_runs([stepped, (stepped, 5, 6)])
    with pytest.raises(InputError, match="cannot be named 'recording'"):
        open_runs({"recording": stepped, "b": (stepped, 5)})


def test_settings_that_differ_are_listed_without_those_of_another_class(stepped, tmp_path):
    changed = load_preset("tiny").change(bottleneck="ema", steps=77, save_every=11)
    second = copied(stepped, tmp_path / "second", preset=changed.to_dict())
    rows = differing_settings(list(open_runs([stepped, second]).values()))
    assert rows["training.steps"] == [str(load_preset("tiny").training.steps), "77"]
    assert {name for name in rows if name.startswith("bottleneck")} == {"bottleneck.class_name"}
    assert "training.save_every" not in rows


def test_other_corpora_and_sample_rates_are_refused(stepped, store, tmp_path):
    other = copied(stepped, tmp_path / "other", corpus="another")
    runs = open_runs([stepped, other])
    with pytest.raises(InputError, match=f"first on {store.corpus.name}, other on another: give"):
        shared_store(runs, None, False)
    assert shared_store(runs, store, False) is store
    fast = copied(stepped, tmp_path / "fast", data={"sample_rate": 24_000})
    with pytest.raises(InputError, match="fast 24000 Hz, the corpus 16000 Hz"):
        shared_store(open_runs([stepped, fast]), store, False)
