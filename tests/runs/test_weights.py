"""Files of weights: a checksum, damage in every part of them, and numbers that are not finite."""

import os

import h5py
import keras
import numpy as np
import pytest

from vqwn_kit import InputError
from vqwn_kit.runs.weights import MARK, load_weights, read_weights, save_weights


def make_model(value: float = 1.0) -> keras.Model:
    model = keras.Sequential([keras.layers.Dense(3, name="dense")], name="small")
    model.build((None, 2))
    model.set_weights([np.full(weight.shape, value, "float32") for weight in model.weights])
    return model


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The weights of a small model."""
    file = tmp_path_factory.mktemp("saved") / "w.weights.h5"
    save_weights(make_model(2.5), file)
    return file


def test_weights_are_read_as_they_were_written_and_keras_reads_them_too(saved):
    for load in (load_weights, lambda model, file: model.load_weights(file)):
        model = make_model()
        load(model, saved)
        assert all((weight.numpy() == 2.5).all() for weight in model.weights)


def test_small_files_round_all_but_codebooks_and_biases(run, tmp_path):
    model, files = run.model, [tmp_path / f"{size}.weights.h5" for size in ("whole", "small")]
    codebooks = {weight.path for weight in model.bottleneck.weights}
    before = [weight.numpy() for weight in model.weights]
    for file in files:
        save_weights(model, file, small=file is files[1])
    try:
        load_weights(model, files[1])
        for weight, value in zip(model.weights, before, strict=True):
            kept = value.ndim < 2 or weight.path in codebooks
            expected = value if kept else value.astype(np.float16).astype(value.dtype)
            np.testing.assert_array_equal(weight.numpy(), expected, weight.path)
    finally:
        load_weights(model, files[0])
    assert files[1].stat().st_size < 0.85 * files[0].stat().st_size


def test_numbers_too_large_for_small_files_are_named(tmp_path):
    with pytest.raises(ValueError, match="layers/dense/vars/0 has numbers that are too large"):
        save_weights(make_model(1e6), tmp_path / "w.weights.h5", small=True)
    assert not (tmp_path / "w.weights.h5").exists()


def test_the_same_weights_are_the_same_bytes(saved, tmp_path):
    save_weights(make_model(2.5), tmp_path / "w.weights.h5")
    assert (tmp_path / "w.weights.h5").read_bytes() == saved.read_bytes()


def test_every_changed_byte_is_found(saved, tmp_path):
    content, file = saved.read_bytes(), tmp_path / "w.weights.h5"
    body = len(content) - len(MARK) - 32
    for place in [*range(0, body, 41), *range(len(content) - 32, len(content))]:
        damaged = bytearray(content)
        damaged[place] ^= 0x40
        file.write_bytes(damaged)
        with pytest.raises(InputError, match="differs from its checksum"):
            read_weights(file)


@pytest.mark.parametrize("size", [0, 1, 40, 100, 2000, -1, -44])
def test_cut_files_are_named(saved, tmp_path, size):
    file = tmp_path / "w.weights.h5"
    file.write_bytes(saved.read_bytes()[:size] if size != -44 else b"words")
    with pytest.raises(InputError, match="is damaged"):
        load_weights(make_model(), file)


def test_a_missing_file_and_a_pipe_are_named(tmp_path):
    os.mkfifo(tmp_path / "w.weights.h5")
    for name in ("w.weights.h5", "none.weights.h5"):
        with pytest.raises(InputError, match="is missing, or no file"):
            load_weights(make_model(), tmp_path / name)


@pytest.mark.parametrize("kind", ["shape", "group", "text", "huge", "external", "nothing"])
def test_weights_of_another_content_are_named(tmp_path, kind):
    file = tmp_path / "w.weights.h5"
    with h5py.File(file, "w") as opened:
        group = opened.create_group("layers/dense/vars")
        if kind == "shape":
            group["0"], group["1"] = np.zeros((2, 4), "f4"), np.zeros(4, "f4")
        elif kind == "group":
            group.create_group("0")
        elif kind == "text":
            group["0"], group["1"] = "words", "words"
        elif kind == "huge":  # claims 4 TB, none of which is written
            group.create_dataset("0", (10**6, 10**6), "f4", chunks=(1000, 1000))
        elif kind == "external":
            group.create_dataset("0", (2, 3), "f4", external=[("/etc/passwd", 0, 24)])
    with pytest.raises(InputError, match="does not fit the model .* or is damaged"):
        load_weights(make_model(), file)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    file = tmp_path / "w.weights.h5"
    save_weights(make_model(value), file)
    with pytest.raises(InputError, match="not finite .* diverged. Give an earlier checkpoint"):
        load_weights(make_model(), file)
