"""How a process becomes one of several workers that train together: `--workers` or `TF_CONFIG`.

It must happen before TensorFlow computes anything, so this file imports it inside functions. What
the workers then do together is in `vqwn_kit.models.workers`.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from vqwn_kit.errors import InputError
from vqwn_kit.files import only_writer

TASKS = ("chief", "master", "worker")  # of TF_CONFIG, in the order of the workers
EXAMPLE = "such as --workers node1:2345,node2:2345 --index 0"


def find_workers(
    workers: str | Sequence[str] | None = None,
    index: int | None = None,
    environment: Mapping[str, str] = os.environ,
) -> tuple[list[str], int]:
    """Return the addresses, host:port, of all workers, and the number of this one, from 0.

    Args:
        workers: the addresses; None for those of `TF_CONFIG`, if there is one.
        index: number of this one; needed with `workers`, and given only then.
        environment: holds `TF_CONFIG`.

    Returns:
        No addresses, and 0, for a process alone.

    Raises:
        InputError: the two do not describe workers; the message says why.
    """
    if workers is None:
        if index is not None:
            raise InputError(f"--index {index} without --workers: give both, {EXAMPLE}")
        text = environment.get("TF_CONFIG", "").strip()
        return _of_config(text) if text else ([], 0)
    addresses = workers.split(",") if isinstance(workers, str) else list(workers)
    addresses = [address.strip() for address in addresses]
    if index is None:
        raise InputError(f"--workers without --index: give each its own number, {EXAMPLE}")
    return _checked(addresses, index, "--workers")


def _of_config(text: str) -> tuple[list[str], int]:
    """Return the addresses and the number of this worker in the content of `TF_CONFIG`."""
    try:
        config = json.loads(text)
        cluster = {kind: list(config.get("cluster", {}).get(kind, [])) for kind in TASKS}
        addresses = [str(address) for kind in TASKS for address in cluster[kind]]
        if not addresses:
            return [], 0
        kind, number = config["task"]["type"], int(config["task"]["index"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"TF_CONFIG is {text[:200]!r}; expected "
            '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
        ) from error
    if kind not in TASKS or not 0 <= number < len(cluster[kind]):
        raise InputError(
            f"TF_CONFIG makes this process task {number} of {kind!r}; expected a number of one of "
            f"{', '.join(kind for kind in TASKS if cluster[kind])} in its cluster"
        )
    before = sum(len(cluster[kind_before]) for kind_before in TASKS[: TASKS.index(kind)])
    return _checked(addresses, before + number, "TF_CONFIG")


def _checked(addresses: list[str], index: int, source: str) -> tuple[list[str], int]:
    for address in addresses:
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise InputError(f"{source}: {address!r} is no host:port, {EXAMPLE}")
    if len(set(addresses)) < len(addresses):
        raise InputError(
            f"{source} has an address twice in {','.join(addresses)}: give each worker a port of "
            "its own"
        )
    if not 0 <= index < len(addresses):
        raise InputError(
            f"--index {index} of {len(addresses)} workers; expected 0 to {len(addresses) - 1}"
        )
    return addresses, index


def join(
    workers: str | Sequence[str] | None = None, index: int | None = None
) -> tuple[list[str], int]:
    """Make this process one of the workers; return when all of them are connected.

    Each worker of a machine takes a GPU of its own, as far as there are some. Of one worker, or
    none, nothing is changed. Of the command line, `workers` may be their number, too: this process
    then starts the others, on this machine. See `find_workers` for arguments and errors.

    Raises:
        InputError: also where TensorFlow has computed something already.
    """
    if isinstance(workers, str) and workers.isdecimal():
        addresses, index = _on_this_machine(int(workers), index)
    else:
        addresses, index = find_workers(workers, index)
    if len(addresses) < 2:
        return addresses, index
    print(f"worker {index} of {len(addresses)} waits for the others", file=sys.stderr, flush=True)
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    hosts = [address.rpartition(":")[0] for address in addresses]
    try:
        if gpus:
            own = hosts[:index].count(hosts[index]) % len(gpus)
            tf.config.set_visible_devices(gpus[own], "GPU")
        cluster = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec({"worker": addresses}), "", "worker", index, rpc_layer="grpc"
        )
        with _default_signals():
            strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster)
    except RuntimeError as error:
        raise InputError(
            "TensorFlow was used before the workers were connected: call "
            "vqwn_kit.training.workers.join first of all, in a new process"
        ) from error
    except tf.errors.OpError as error:
        raise InputError(
            f"worker {index} of {','.join(addresses)} is not connected: {str(error)[:200]}; is the "
            "port of each free, and open to the other machines?"
        ) from error
    from vqwn_kit.models.workers import Workers, become

    become(Workers(addresses, index, strategy))
    sys.excepthook = _end_with
    return addresses, index


@contextmanager
def _default_signals() -> Iterator[None]:
    """Let Ctrl-C end the process at once while TensorFlow waits in C++; take SIGTERM back from it.

    TensorFlow catches SIGTERM from then on, and does nothing.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _config_of(addresses: list[str], index: int) -> str:
    """Return the content of `TF_CONFIG` for a worker."""
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": addresses}, "task": task})


def _on_this_machine(count: int, index: int | None) -> tuple[list[str], int]:
    """Return addresses of this machine; the first worker starts the others by its own command."""
    if index is not None or count < 1:
        raise InputError(
            f"--workers {count} starts that many on this machine: give 1 or more, and no --index"
        )
    addresses, own = find_workers()
    if addresses:
        if len(addresses) != count:
            raise InputError(
                f"--workers {count} with a TF_CONFIG of {len(addresses)}: leave it out"
            )
        return addresses, own
    servers = [socket.create_server(("localhost", 0)) for _ in range(count)]
    addresses = [f"localhost:{server.getsockname()[1]}" for server in servers]
    for server in servers:
        server.close()
    for other in range(1, count):
        environment = os.environ | {"TF_CONFIG": _config_of(addresses, other)}
        command = [sys.executable, "-m", "vqwn_kit", *sys.argv[1:]]
        subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)  # else all is twice
    return addresses, 0


def _end_with(*error) -> None:
    """Show an error, and end; see `leave`."""
    sys.__excepthook__(*error)
    leave(1)


def leave(status: int) -> None:
    """End this process at once with a status if it is one of several workers.

    Else TensorFlow would wait for the others, which wait for this one.
    """
    shared = sys.modules.get("vqwn_kit.models.workers")
    if shared is not None and shared.current().count > 1:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)


def first_writer(folder: Path, task: str = "training") -> AbstractContextManager:
    """Keep a folder for the first worker, see `only_writer`; the others write nothing."""
    from vqwn_kit.models.workers import current

    return only_writer(folder, task) if current().is_first else nullcontext()


def wait_until(condition: Callable[[], object], seconds: float = 90.0) -> None:
    """Wait until what another machine wrote is seen here, which a shared disk may delay."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.5)


def lost_worker(addresses: Sequence[str], index: int, message: str) -> tuple[int | None, bool]:
    """Return the number of a worker that is gone, and whether this is the first one left.

    Args:
        addresses: of all workers.
        index: of this one.
        message: of the error of TensorFlow. It may name a worker, too, that only passes on what it
            has met; the system of one that hangs still answers.
    """
    others = [n for n in range(len(addresses)) if n != index]
    gone = [n for n in others if not answers(addresses[n])]
    named = [n for n in map(int, re.findall(r"/task:(\d+)", message)) if n in others]
    lost = next((n for n in (*[n for n in named if n in gone], *gone, *named)), None)
    return lost, all(n == lost or n in gone for n in range(index))


def answers(address: str) -> bool:
    """Return whether something at host:port accepts a connection."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=3.0).close()
    except OSError:
        return False
    return True
