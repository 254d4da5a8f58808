"""Several workers: who they are, what they share, and real processes that equal one.

The slow tests start processes on the loopback, each with the command or the script of a user.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import ROOT
from vqwn_kit import InputError, Run, open_corpus, prepare, train, train_prior
from vqwn_kit.data.arrays import load_arrays
from vqwn_kit.models import workers as shared
from vqwn_kit.models.codebook import Codebook
from vqwn_kit.models.workers import BatchNormalization, Workers
from vqwn_kit.presets.build import build_model
from vqwn_kit.presets.preset import load_preset
from vqwn_kit.training.train import as_source
from vqwn_kit.training.trainer import Trainer
from vqwn_kit.training.workers import _on_this_machine, answers, find_workers, join, lost_worker

TWO = "node1:2345,node2:2345"


def config(kind: str = "worker", index: int = 1, **cluster) -> dict[str, str]:
    cluster = cluster or {"worker": ["a:1", "b:2"]}
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


def test_workers_are_those_of_the_options_or_of_the_environment():
    assert find_workers(TWO, 1, config()) == (["node1:2345", "node2:2345"], 1)
    assert find_workers(["[::1]:5", "b:6"], 0, {}) == (["[::1]:5", "b:6"], 0)
    assert find_workers(None, None, {}) == ([], 0)
    assert find_workers(None, None, {"TF_CONFIG": "{}"}) == ([], 0)
    assert find_workers(None, None, config()) == (["a:1", "b:2"], 1)
    cluster = {"worker": ["a:1", "b:2"], "chief": ["c:3"]}
    assert find_workers(None, None, config(**cluster)) == (["c:3", "a:1", "b:2"], 2)
    assert find_workers(None, None, config("chief", 0, **cluster))[1] == 0


@pytest.mark.parametrize(
    ("workers", "index", "environment", "message"),
    [
        (None, 1, {}, "--index 1 without --workers"),
        (TWO, None, {}, "--workers without --index"),
        (TWO, 2, {}, "--index 2 of 2 workers; expected 0 to 1"),
        (TWO, -1, {}, "--index -1 of 2 workers"),
        ("node1,node2:5", 0, {}, "'node1' is no host:port"),
        ("node1:0,node2:5", 0, {}, "'node1:0' is no host:port"),
        ("node1:5,node1:5", 0, {}, "an address twice"),
        (None, None, {"TF_CONFIG": "{"}, "TF_CONFIG is '{'; expected"),
        (None, None, {"TF_CONFIG": "[1]"}, r"TF_CONFIG is '\[1\]'"),
        (None, None, {"TF_CONFIG": '{"cluster": {"worker": ["a:1"]}}'}, "TF_CONFIG is"),
        (None, None, config(index=2), "makes this process task 2 of 'worker'"),
        (None, None, config("ps", 0), "task 0 of 'ps'; expected a number of one of worker"),
    ],
)
def test_what_describes_no_workers_is_refused(workers, index, environment, message):
    with pytest.raises(InputError, match=message):
        find_workers(workers, index, environment)


def test_one_worker_is_a_process_alone(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert join("localhost:2345", 0) == (["localhost:2345"], 0)
    assert shared.current().count == 1


def test_a_number_of_workers_starts_them_on_this_machine(monkeypatch):
    started = []

    def popen(command, env, stdout):
        assert stdout == subprocess.DEVNULL
        started.append((command, json.loads(env["TF_CONFIG"])))

    monkeypatch.setattr("subprocess.Popen", popen)
    monkeypatch.setattr(sys, "argv", ["vqwn", "train", "mini", "--workers", "3"])
    monkeypatch.delenv("TF_CONFIG", raising=False)
    addresses, index = _on_this_machine(3, None)
    assert index == 0
    assert len(set(addresses)) == 3
    assert [config["task"]["index"] for _, config in started] == [1, 2]
    for command, config in started:
        assert command[1:] == ["-m", "vqwn_kit", "train", "mini", "--workers", "3"]
        assert config["cluster"] == {"worker": addresses}
    monkeypatch.setenv("TF_CONFIG", json.dumps(started[1][1]))
    assert _on_this_machine(3, None) == (addresses, 2)
    with pytest.raises(InputError, match="--workers 2 with a TF_CONFIG of 3"):
        _on_this_machine(2, None)
    for count, number in ((0, None), (2, 1)):
        with pytest.raises(InputError, match="give 1 or more, and no --index"):
            _on_this_machine(count, number)


def test_several_workers_cannot_be_compiled(as_worker):
    preset = load_preset("tiny").change(jit_compile=True)
    as_worker(0, 2)
    with pytest.raises(InputError, match="give --set jit_compile=false"):
        Trainer(preset, build_model(preset, ["a"]))


def test_a_corpus_is_the_same_in_a_folder_of_another_name(folder, tmp_path):
    def identity(folder):
        source = as_source(prepare(open_corpus(folder), progress=False), preset)
        return Trainer(preset, build_model(preset, list(source.speakers)), source).data_identity

    preset, copy = load_preset("tiny"), shutil.copytree(folder, tmp_path / "copy")
    assert identity(copy) == identity(folder)
    shutil.rmtree(next(path for path in copy.iterdir() if path.is_dir()))
    assert identity(copy) != identity(folder)


def test_workers_cannot_be_joined_after_tensorflow_was_used(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "")
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(InputError, match="first of all"):
        join("localhost:2345,localhost:2346", 0)
    assert os.environ["TF_CONFIG"] == ""  # no process that is started from here is a worker
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


@pytest.mark.slow
def test_ctrl_c_ends_a_worker_that_waits_for_the_others(tmp_path):
    addresses = free_addresses(2)
    log = tmp_path / "log"
    process = start(["-m", "vqwn_kit", "train", "mini", "--workers", addresses, "--index", 0], log)
    begin = time.monotonic()
    while not answers(addresses.split(",")[0]):
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < begin + 300
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == -signal.SIGINT


def test_the_worker_that_is_gone_is_named(monkeypatch):
    with socket.create_server(("localhost", 0)) as alive, socket.create_server(("", 0)) as server:
        addresses = ["localhost:1", f"localhost:{alive.getsockname()[1]}"]
        addresses.append(f"localhost:{server.getsockname()[1]}")
        server.close()
        message = "remote target /job:worker/task:1: unhealthy: /job:worker/task:2 /task:0"
        assert lost_worker(addresses, 0, message) == (2, True)
        assert lost_worker(addresses, 0, "remote /job:worker/task:1") == (2, True)
        assert lost_worker(addresses, 2, "remote /job:worker/task:1") == (0, False)
        assert lost_worker(addresses[:2], 0, "remote /job:worker/task:1") == (1, True)
        assert lost_worker(addresses[:2], 0, "something else") == (None, True)


def test_of_workers_that_are_gone_together_the_first_one_left_saves(monkeypatch):
    addresses = ["a:1", "a:2", "b:1", "b:2"]
    monkeypatch.setattr("vqwn_kit.training.workers.answers", lambda address: address[0] == "b")
    message = "/job:worker/task:1 is unhealthy"
    assert [lost_worker(addresses, n, message) for n in (2, 3)] == [(1, True), (1, False)]


class Rows(Workers):
    """One of several workers in this process: `others` holds what the other ones add."""

    def __init__(self, index: int, count: int, others=0.0):
        super().__init__(["here"] * count, index)
        self.others = others

    def add(self, x):
        """Return the sum with the others'."""
        return x + self.others


@pytest.fixture
def as_worker(monkeypatch):
    """A function that makes this process a worker, see `Rows`."""
    return lambda *args: monkeypatch.setattr(shared, "_current", Rows(*args))


def test_random_numbers_are_the_rows_of_those_of_the_whole_batch(as_worker):
    def drawn():
        seed = keras.random.SeedGenerator(3)
        return [shared.draw(keras.random.normal, (n, 5), 1.0, seed=seed) for n in sizes]

    sizes = [6, 12]
    whole = drawn()
    sizes = [2, 4]
    for index in range(3):
        as_worker(index, 3)
        for rows, all_rows in zip(shared.share(drawn), whole, strict=True):
            assert np.array_equal(rows, all_rows[index * len(rows) : (index + 1) * len(rows)])


def test_dropout_is_that_of_the_whole_batch(as_worker, rng):
    x = rng.normal(size=(6, 7, 3)).astype(np.float32)
    whole = keras.layers.Dropout(0.4, seed=5)(x, training=True)
    for index in range(2):
        as_worker(index, 2)
        layer, rows = keras.layers.Dropout(0.4, seed=5), slice(3 * index, 3 * index + 3)
        dropped = shared.share(shared.drop, layer, tf.constant(x[rows]), True)
        assert np.array_equal(dropped, whole[rows])


def test_normalisation_is_that_of_the_whole_batch(as_worker, rng):
    x = (3.0 + rng.normal(size=(6, 7, 2))).astype(np.float32)
    layer = BatchNormalization(momentum=0.5)
    expected = layer(x, training=True)
    moments = [np.stack([part.mean((0, 1)), part.var((0, 1))]) for part in np.split(x, 2)]
    as_worker(1, 2, np.stack([moments[0], np.zeros_like(moments[0])]))
    again = BatchNormalization(momentum=0.5)
    again.build(x.shape)
    normalised = shared.share(lambda: again(x[3:], training=True))
    assert np.allclose(normalised, expected[3:], atol=1e-5)
    for one, other in zip(layer.weights, again.weights, strict=True):
        assert np.allclose(one, other, atol=1e-6)


def test_means_and_gradients_are_those_of_the_sum_of_the_losses(monkeypatch):
    """Of another worker with the same rows: its sums and its gradients are these."""

    class Same(Rows):
        def add(self, x):
            return 2.0 * x

    monkeypatch.setattr(shared, "_current", Same(0, 2))
    x = tf.Variable([1.0, 3.0])

    def loss():
        with tf.GradientTape() as tape:
            value = shared.mean(tf.reduce_mean(x)) ** 2 + shared.total(tf.reduce_sum(x))
        return value, tape.gradient(value, x)

    value, gradient = shared.share(loss)
    assert float(value) == pytest.approx(2.0**2 + 8.0)
    assert np.allclose(gradient, 2 * 2.0 * 0.5 + 2.0)  # of two losses, each with half of the sum
    values = shared.share(shared.means, [tf.constant([[1.0], [2.0]]), None, tf.constant(3.0)])
    assert values[1] is None
    assert np.array_equal(values[0], [[1.0], [2.0]])
    assert float(values[2]) == 3.0


def assert_nothing_is_shared(x):
    for function in (shared.mean, shared.total, shared.gather):
        assert function(x) is x
    assert shared.means([x, None])[0] is x


def test_sums_of_numbers_of_one_shape_have_one_key(monkeypatch):
    keys = []

    def add(input, instance_key, **kwargs):
        keys.append(instance_key)
        return input

    monkeypatch.setattr(tf.raw_ops, "CollectiveReduceV2", add)
    workers = Workers(["a:1", "b:2"])
    for numbers in ([1.0], [2.0], [1.0, 2.0], [3.0]):
        assert workers.collect(numbers)[0].tolist() == numbers
    assert keys == [1, 1, 2, 1]


def test_a_worker_is_lost_also_where_variables_are_set(monkeypatch):
    def add(**kwargs):
        raise tf.errors.UnavailableError(None, None, "no\nanswer")

    monkeypatch.setattr(tf.raw_ops, "CollectiveReduceV2", add)
    with pytest.raises(shared.WorkerLost, match="another worker is gone: no answer"):
        Workers(["a:1", "b:2"], 1).set_as_first([tf.Variable(1.0)])


def test_outside_a_step_and_in_a_process_alone_nothing_is_shared(as_worker):
    x = tf.constant([[1.0, 2.0]])
    shared.share(assert_nothing_is_shared, x)
    as_worker(1, 2)
    assert_nothing_is_shared(x)


def test_nothing_is_shared_after_a_step_that_failed(as_worker):
    as_worker(1, 2)
    with pytest.raises(ZeroDivisionError):
        shared.share(lambda: 1 // 0)
    assert not shared.current().sharing


# --- real processes -------------------------------------------------------------------------------

ENCODER = {"class_name": "2019", "embedding_dim": 8, "filters": 12, "features": "log_mel"}
ENCODER |= {"warp": 0.1, "tilt": 3.0, "noise": 20.0}
# 50 steps of the preset tiny each, with what is drawn at random and what belongs to a whole batch.
# The rate is low, since rounding errors grow with it: a frame that is nearly as far from two codes
# takes the other one.
SETTINGS = {
    "steps": 50,
    "batch_size": 6,
    "segment_length": 1920,
    "encoder": ENCODER,
    "learning_rate": {"peak": 3e-5, "warm_up": 20, "end": 3e-5},
    "reset_dead_every": 10,
    "gain_db": 3.0,
    "log_every": 10,
    "save_every": 25,
    "validate_every": 25,
}
EMA = {"class_name": "ema", "embedding_dim": 8, "num_embeddings": 96, "batch_norm": True}
EMA |= {"initializer": "random_normal", "commitment_warm_up": 20}
QUANTIZER = {"class_name": "ema", "num_embeddings": 16, "initializer": "data"}
CASES = {
    "stages": SETTINGS
    | {
        "first_stage_steps": 50,
        "bottleneck": EMA,
        "decoder": {"conditioner": {"speaker_dropout": 0.2, "jitter": 0.2}},
    },
    "residual": SETTINGS
    | {
        "bottleneck": {"class_name": "residual", "num_codebooks": 2, "quantizer": QUANTIZER},
    },
}
SMALL = {"units": 12, "channels": 8, "segment_length": 32, "batch_size": 6, "validate_every": 25}
PRIOR = SMALL | {"steps": 50, "score": False, "progress": False}
SCRIPT = """
import json, sys
from vqwn_kit.training.workers import join, leave
addresses, index, corpus, folder, cases, prior = sys.argv[1:]
join(addresses, int(index))
import vqwn_kit as vq
store = vq.prepare(vq.open_corpus(corpus), progress=False)
for name, settings in json.loads(cases).items():
    given = {"save": f"{folder}/{name}/weights"} if "restore" not in settings else {}
    run = vq.train(store, "tiny", progress=False, **given, **settings)
if prior != "null":
    vq.train_prior(data=store, **json.loads(prior))
leave(0)
"""
EQUAL = 1e-5  # of all weights, counts and averages; moments of gradients of 1e-4


def free_addresses(count: int) -> str:
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in servers]
    for server in servers:
        server.close()
    return ",".join(f"127.0.0.1:{port}" for port in ports)


def start(command: list, log: Path) -> subprocess.Popen:
    threads = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, *map(str, command)]
    with log.open("w") as out:
        environment = os.environ | threads
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out)


def train_together(count: int, corpus: Path, folder: Path, cases: dict, prior=None) -> None:
    """Train cases in some processes, each given by its settings, and wait for the end of all."""
    given = [corpus, folder, json.dumps(cases), json.dumps(prior)]
    addresses, logs = free_addresses(count), [folder / f"{n}.log" for n in range(count)]
    folder.mkdir(exist_ok=True)
    processes = [start(["-c", SCRIPT, addresses, n, *given], logs[n]) for n in range(count)]
    for process, log in zip(processes, logs, strict=True):
        assert process.wait(900) == 0, log.read_text()[-3000:]


def assert_equal(file: Path, other: Path) -> None:
    """Compare two training states: all variables, relative to numbers above 1."""
    one, two = load_arrays(file), load_arrays(other)
    assert one.keys() == two.keys()
    assert one["step"] == two["step"]
    largest = {}
    for name in (name for name in one if "/" in name):
        a, b = one[name].astype(float), two[name].astype(float)
        assert np.array_equal(np.isnan(a), np.isnan(b)), name
        apart = float(np.nanmax(np.abs(a - b), initial=0.0) / np.nanmax(np.abs(a), initial=1.0))
        group = name.partition("/")[0]
        largest[group] = max(largest.get(group, 0.0), apart)
    print(f"{'/'.join(file.parts[-3:])}: {largest}")
    for group, apart in largest.items():
        assert apart < (1e-4 if group == "optimizer" else EQUAL), group


@pytest.fixture(scope="module")
def alone(store, tmp_path_factory) -> dict[str, Run]:
    """The runs of `CASES`, of this process, with a prior of the first one."""
    folder, moved, runs = tmp_path_factory.mktemp("alone"), [], {}
    reset = Codebook.reset_dead_codes
    tf.config.run_functions_eagerly(False)
    with pytest.MonkeyPatch.context() as patch:
        kept = lambda *args: moved.append(reset(*args)) or moved[-1]  # noqa: E731
        patch.setattr(Codebook, "reset_dead_codes", kept)
        for name, settings in CASES.items():
            save = folder / name / "weights"
            runs[name] = train(store, "tiny", save=save, progress=False, **settings)
    assert np.any(moved[:5])  # of the first stage
    train_prior(runs["stages"], store, **PRIOR)
    return runs


def without_times(record: dict) -> dict:
    return {name: value for name, value in record.items() if name not in ("seconds", "ended")}


@pytest.mark.slow
def test_two_processes_train_what_one_trains(alone, folder, tmp_path):
    """First stage, second stage and prior; EMA codebook, resets of dead codes, weight averages."""
    prior = PRIOR | {"run": str(alone["stages"].folder), "name": "together"}
    train_together(2, folder, tmp_path / "two", CASES, prior)
    for name in ("stages/first_stage", "stages", "residual"):
        one = Run(alone["stages"].folder.parent / name)
        two = Run(tmp_path / "two" / name)
        assert two.steps == one.steps
        assert len(two.history) == len(one.history)
        assert_equal(one.state_file(50), two.state_file(50))
        for record, other in zip(one.history, two.history, strict=True):
            expected = pytest.approx(without_times(record), rel=1e-4, abs=1e-5)
            assert without_times(other) == expected
    priors = [alone["stages"].folder / name / "state.npz" for name in ("prior", "together")]
    assert_equal(*priors)


@pytest.mark.slow
def test_three_processes_resume_what_one_began(alone, folder, store, tmp_path):
    settings = CASES["residual"] | {"steps": 25, "progress": False}
    begun = train(store, "tiny", save=tmp_path / "residual" / "weights", **settings)
    cases = {"residual": {"restore": str(begun.folder), "steps": 50}}
    train_together(3, folder, tmp_path, cases)
    assert_equal(alone["residual"].state_file(50), begun.state_file(50))


@pytest.mark.slow
@pytest.mark.parametrize(("killed", "by"), [([1], signal.SIGTERM), ([0, 1], signal.SIGKILL)])
def test_where_workers_are_killed_the_last_one_saves_and_ends(folder, tmp_path, killed, by):
    count = len(killed) + 1
    left = next(n for n in range(count) if n not in killed)
    addresses, logs = free_addresses(count), [tmp_path / f"{n}.log" for n in range(count)]
    settings = ["steps=100000", "save_every=100000", "validate_every=100000", "batch_size=6"]
    command = ["-m", "vqwn_kit", "train", folder, "--preset", "tiny", "--run", tmp_path / "run"]
    command += ["--set", *settings, "--workers", addresses, "--index"]
    processes = [start([*command, n], logs[n]) for n in range(count)]
    history, begin = tmp_path / "run" / "history.jsonl", time.monotonic()
    while not (history.is_file() and len(history.read_text().splitlines()) > 2):
        assert all(process.poll() is None for process in processes), logs[0].read_text()[-3000:]
        assert time.monotonic() < begin + 600
        time.sleep(0.2)
    for n in killed:
        processes[n].send_signal(by)
    assert [processes[n].wait(30) for n in killed] == [-by] * len(killed)
    assert processes[left].wait(60) == 1
    text = logs[left].read_text()
    named = re.search(r"worker (\d) \((\S+)\) does not answer any more", text)
    assert named, text[-3000:]
    assert int(named[1]) in killed
    assert named[2] == addresses.split(",")[int(named[1])]
    step = int(re.search(r"ended after step (\d+) of 100000", text)[1])
    assert Run(tmp_path / "run").steps == [step]
    resumed = ["-m", "vqwn_kit", "train", "--restore", tmp_path / "run", "--steps", "2"]
    assert start(resumed, tmp_path / "resumed.log").wait(300) == 0
    assert Run(tmp_path / "run").newest == step + 2
