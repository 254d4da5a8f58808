"""Run folders: what they hold, and how missing, damaged or foreign files are named."""

import json
import re

import h5py
import numpy as np
import pytest

from vqwn_kit import InputError, Run, build_model, load_preset, load_run


def test_a_run_folder_holds_weights_embeddings_state_and_history(run, store):
    assert run.steps == [10, 20]
    tables = [
        f"{name}_{step}.npy" for name in ("embedding", "speaker_embedding") for step in (10, 20)
    ]
    weights = ["weights-10.weights.h5", "weights-20.weights.h5", "weights-20.state.npz"]
    names = {path.name for path in run.folder.iterdir()} - {"familiarity.json"}  # of other tests
    assert names == {"config.json", "history.jsonl", *tables, *weights}
    assert [record["step"] for record in run.history] == [5, 10, 15, 20]
    assert run.history[-1]["samples"] == 20 * 4 * 1024
    assert {"bits", "vq/codes_used", "vq/perplexity", "held_out/bits"} <= set(run.history[-1])
    assert list(run.speakers) == list(store.corpus.speakers)
    codebook = run.model.bottleneck.codebook.numpy()
    assert np.array_equal(np.load(run.folder / "embedding_20.npy"), codebook)
    assert np.load(run.folder / "speaker_embedding_20.npy").shape == (2, 4)


def test_the_exported_codebook_is_what_the_decoder_takes_as_input(tmp_path):
    preset = load_preset("tiny").change(bottleneck={"unit_norm": True})
    model = build_model(preset, ["ann"])
    Run.create(tmp_path / "weights", preset, "speech", {"ann": {}}).save_weights(model, 2)
    exported = np.load(tmp_path / "embedding_2.npy")
    assert np.allclose(np.linalg.norm(exported, axis=1), 1, atol=1e-5)
    assert np.allclose(model.bottleneck.embed(np.arange(32)[None])[0], exported, atol=1e-6)


def test_the_file_of_weights_holds_no_variables_of_the_optimizer(run):
    count = 0

    def add(name, item):
        nonlocal count
        count += item.size if isinstance(item, h5py.Dataset) else 0

    with h5py.File(run.weights_file(run.newest)) as file:
        file.visititems(add)
    assert 0 <= count - run.model.count_params() < 50  # and the seeds of random numbers


def test_a_checkpoint_of_another_shape_is_refused(run, tmp_path):
    config = json.loads((run.folder / "config.json").read_text())
    config["preset"]["decoder"]["config"]["network"]["config"]["skip_channels"] = 24
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "weights-20.weights.h5").write_bytes(run.weights_file(20).read_bytes())
    with pytest.raises(InputError, match="does not fit"):
        load_run(tmp_path).load_model()


def test_a_damaged_checkpoint_is_refused(run, tmp_path):
    (tmp_path / "config.json").write_text((run.folder / "config.json").read_text())
    (tmp_path / "weights-20.weights.h5").write_bytes(run.weights_file(20).read_bytes()[:5000])
    with pytest.raises(InputError, match="damaged"):
        load_run(tmp_path).load_model()


def test_a_tensorflow_1_checkpoint_is_refused(tmp_path):
    for ending in (".index", ".meta", ".data-00000-of-00001"):
        (tmp_path / f"weights-110640{ending}").write_bytes(b"x")
    with pytest.raises(InputError, match="TensorFlow 1 checkpoint"):
        load_run(tmp_path / "weights-110640")


@pytest.mark.parametrize(
    "change",
    [
        {"prefix": 5},
        {"speakers": "ann"},
        {"speakers": {"ann": 5}},
        {"corpus": None},
        {"preset": None},
        {"preset": {"encoder": None}},
        {"data": 5},
        {"earlier": {}},
    ],
)
def test_a_config_with_something_of_another_type_is_named(run, tmp_path, change):
    (tmp_path / "config.json").write_text(json.dumps(run.config | change))
    with pytest.raises(InputError, match=r"config\.json is damaged"):
        load_run(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"preset": {}}', '{"speakers": {}}'])
def test_a_damaged_or_foreign_config_is_named(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=r"config\.json|names no class"):
        load_run(tmp_path)


def test_a_run_in_results_and_its_checkpoints_have_names(run, tmp_path, monkeypatch):
    """A folder here of the same name comes first."""
    monkeypatch.setenv("VQWN_RESULTS", str(run.folder.parent))
    monkeypatch.chdir(tmp_path)
    name, step = run.folder.name, run.steps[0]
    assert load_run(name).newest == run.steps[-1]
    assert load_run(f"{name}/weights-{step}").newest == step
    with pytest.raises(InputError, match=f"{run.folder} has weights-"):
        load_run(f"{name}/weights-15")
    with pytest.raises(InputError, match="no run at nothing/weights-15"):
        load_run("nothing/weights-15")
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=f"no run at {name}/weights-{step}"):
        load_run(f"{name}/weights-{step}")


def test_a_path_in_results_is_found_from_any_folder(run, tmp_path, monkeypatch):
    monkeypatch.setenv("VQWN_RESULTS", str(run.folder.parent))
    monkeypatch.chdir(tmp_path)
    path, step = f"results/{run.folder.name}", run.steps[0]
    assert load_run(path).folder == run.folder
    assert load_run(f"{path}/weights-{step}").newest == step
    named = f"no run at results/none, and no run 'none': .*{run.folder.name}.* \\(in "
    with pytest.raises(InputError, match=named + re.escape(f"{run.folder.parent})")):
        load_run("results/none")
    (tmp_path / path).mkdir(parents=True)  # what is there comes first
    with pytest.raises(InputError, match=f"no run at {path}"):
        load_run(path)


def test_missing_runs_and_steps_are_named(run, tmp_path):
    with pytest.raises(InputError, match="no run at"):
        load_run(tmp_path / "nothing")
    with pytest.raises(InputError, match="weights-10, weights-20"):
        load_run(run.folder / "weights-15")
    with pytest.raises(InputError, match="no checkpoint of step '11'"):
        run.load_model(11)
