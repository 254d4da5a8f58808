"""Kill the commands at random and repeat them: in the end every file is that of an unkilled run.

    python scripts/kill_test.py --kills 100 --seed 1

The commands are prepare, train (in two stages), prior and generate, on tones that are made here.
They are killed (SIGKILL) in round after round, half of the times at a random moment, and half while
a random one of their next files is half written or about to be renamed, and then repeated as their
messages say: with --restore where a checkpoint is there. The sounds of generate grow in their place
as they are synthesised, so a moment comes first there; those that were cut short are not compared.
Prints the kills and the files compared; the exit status is 1 where a command fails or a file
differs.
"""

import argparse
import json
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from vqwn_kit.data.audio import save_audio

STEPS = 12
SETTINGS = (
    f"--steps {STEPS} --set first_stage_steps={STEPS} save_every=2 log_every=3 validate_every=4 "
    "decoder.conditioner.local_channels=6 decoder.conditioner.local_layers=2"
)
PRIOR = "--set units=12 channels=8 segment_length=32 batch_size=4 validate_every=2 encodings=2"
ATTEMPTS = {"prepare": 4, "train": 12, "prior": 6, "generate": 2}  # that are killed in a round
KILLED = -signal.SIGKILL


def make_corpus(folder: Path) -> None:
    """Write tones of two speakers, 70 recordings each, so that a store has several groups."""
    for name, pitch in {"ann": 200.0, "bob": 110.0}.items():
        for number in range(70):
            seconds = np.arange(int(16_000 * (0.2 + 0.01 * number))) / 16_000
            sound = 0.3 * np.sin(2 * np.pi * pitch * (1 + 0.01 * number) * seconds)
            save_audio(folder / name / f"{name}_{number:03d}.wav", sound.astype(np.float32))


def command_of(name: str) -> list[str]:
    """Return the arguments that begin or resume a command, as its messages say."""
    run = Path("run")
    if name == "prepare":
        return ["prepare", "../speech"]
    if name == "train":
        if list(run.glob("weights-*.weights.h5")):
            return ["train", "--restore", "run"]
        return [
            "train",
            "../speech",
            "--preset",
            "tiny",
            "--save",
            "run/weights",
            *SETTINGS.split(),
        ]
    if name == "prior":
        begun = ["--restore"] if (run / "prior" / "config.json").is_file() else PRIOR.split()
        return ["prior", "run", "--samples", "0", "--steps", str(STEPS), *begun]
    audio = ["../speech/ann/ann_003.wav", "../speech/bob/bob_004.wav"]
    return ["generate", "--run", "run", "--audio", *audio, "--speakers", "ann", "bob"]


def child(folder: Path, arguments: list[str], write: int | None) -> int:
    """Run a command in a fork of this process; it kills itself at its file number `write`.

    Returns:
        The number of the process.
    """
    number = os.fork()
    if number:
        return number
    os.setsid()
    os.chdir(folder)
    log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1), os.dup2(log, 2)
    print("\n$ vqwn", *arguments, flush=True)
    os.environ |= {"VQWN_STORES": str(folder / "stores"), "VQWN_RESULTS": str(folder)}
    if write is not None:
        _kill_at(write)
    from vqwn_kit.cli.main import main

    status = 1
    try:
        status = main(arguments)
    finally:
        sys.stdout.flush()
        os._exit(status)


def _kill_at(write: int) -> None:
    """Make this process kill itself in its file number `write`: half written, or not renamed."""
    counts = {"write": 0, "replace": 0}
    write_bytes, replace = Path.write_bytes, os.replace

    def half(self, content):
        counts["write"] += 1
        if 2 * counts["write"] == write + 1:
            write_bytes(self, bytes(content)[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return write_bytes(self, content)

    def before(*paths):
        counts["replace"] += 1
        if 2 * counts["replace"] == write:
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(*paths)

    Path.write_bytes, os.replace = half, before


def finish(folder: Path, name: str, kills: Iterator[tuple[str, float]], say: Callable) -> int:
    """Run a command until it ends; return how often it was killed.

    Args:
        folder: to work in.
        name: of the command.
        kills: how each attempt is killed, ("time", seconds) or ("write", number), until none is
            left.
        say: prints.

    Raises:
        RuntimeError: it failed.
    """
    killed = 0
    while True:
        os.chdir(folder)
        how, when = next(kills, ("time", float("inf")))
        process = child(folder, command_of(name), int(when) if how == "write" else None)
        status = _wait(process, when if how == "time" else float("inf"))
        if status == KILLED:
            killed += 1
            say(f"{name}: killed, {how} {when:.3g}")
        elif status == 0:
            return killed
        else:
            log = (folder / "log.txt").read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"{name} ended with status {status} in {folder}:\n{log[-4000:]}")


def _wait(process: int, seconds: float) -> int:
    """Wait for a process, kill it after some seconds; return its status."""
    end = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= end:
            os.kill(process, signal.SIGKILL)
            return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        time.sleep(0.002)


def plan(name: str, count: int, seconds: float, rng: np.random.Generator) -> Iterator[tuple]:
    """Yield how attempts are killed: at a moment, or at one of its next files.

    Args:
        name: of the command; one that writes no file by way of another is killed in time first.
        count: attempts.
        seconds: that the command takes.
        rng: of the moments.
    """
    for number in range(count):
        if number % 2 == (name != "generate"):
            yield "time", rng.uniform(0.0, 0.8 * seconds)
        else:
            yield "write", int(rng.integers(1, 25))


def content_of(file: Path):
    """Return what must be the same: the bytes, without measured times."""
    if file.name == "history.jsonl":
        return [{**json.loads(line), "seconds": 0} for line in file.read_text().splitlines()]
    if file.name.endswith("state.npz"):
        arrays = dict(np.load(file, allow_pickle=False))
        return {name: a.tobytes() for name, a in arrays.items() if name != "seconds"}
    return file.read_bytes()


def finished(folder: Path) -> dict[Path, Path]:
    """Return the files of a folder by name; of sounds that were made again, -2, -3, …, the last.

    Those before it were cut short by a kill.
    """
    found = {}
    files = [p for part in ("run", "stores", "generated") for p in (folder / part).rglob("*")]
    for path in sorted(filter(Path.is_file, files), key=lambda p: (len(p.name), p.name)):
        name = path.relative_to(folder)
        if name.parts[0] == "generated":
            name = name.with_stem(re.sub(r"-\d+$", "", name.stem))
        found[name] = path
    return found


def differences(whole: Path, killed: Path) -> tuple[int, list[str]]:
    """Return how many files were compared, and which are missing, left over or different."""
    one, other = finished(whole), finished(killed)
    wrong = [f"{name}: missing or left over" for name in one.keys() ^ other.keys()]
    for name in sorted(one.keys() & other.keys()):
        if content_of(one[name]) != content_of(other[name]):
            wrong.append(f"{name}: differs")
    return len(one.keys() | other.keys()), wrong


def kill_test(folder: Path, count: int, seed: int, say: Callable = print) -> tuple[int, int, list]:
    """Return the kills, the files compared, and what is wrong with them.

    The commands are killed in round after round, each in a folder of its own, until there were so
    many kills.

    Args:
        folder: for the corpus and the runs.
        count: kills, over all commands.
        seed: of the moments.
        say: prints.
    """
    import keras  # noqa: F401 - once, and not in each fork, where its threads would be missing

    rng, took = np.random.default_rng(seed), {}
    killed, compared, wrong = 0, 0, []
    make_corpus(folder / "speech")
    whole = folder / "whole"
    whole.mkdir()
    for name in ATTEMPTS:
        start = time.monotonic()
        finish(whole, name, iter(()), say)
        took[name] = time.monotonic() - start
        say(f"{name}: {took[name]:.1f} s without kills")
    while killed < count:
        place = folder / f"killed-{seed}-{killed}"
        place.mkdir()
        for name, attempts in ATTEMPTS.items():
            kills = plan(name, min(attempts, max(1, count - killed)), took[name], rng)
            killed += finish(place, name, kills, say)
        files, differing = differences(whole, place)
        compared, wrong = compared + files, wrong + [f"{place.name}/{text}" for text in differing]
        say(f"{killed} kills so far, {files} files compared, {len(differing)} differ")
    return killed, compared, wrong


def main() -> int:
    """Parse the arguments, kill, compare; return 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    killed, compared, wrong = kill_test(folder, options.kills, options.seed)
    print(f"{killed} kills, {compared} files compared in {folder}")
    print(*wrong, f"{len(wrong)} differ", sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
