"""Commands that are killed and repeated, in a process of their own."""

import subprocess
import sys

import numpy as np
import pytest

from scripts.kill_test import ATTEMPTS, differences, plan
from tests.conftest import ROOT


def test_every_command_is_killed_at_least_once_and_the_sounds_of_generate_at_a_moment():
    first = {name: next(plan(name, 1, 2.0, np.random.default_rng(0)))[0] for name in ATTEMPTS}
    assert first == {name: "write" for name in ATTEMPTS} | {"generate": "time"}


def test_of_sounds_that_were_made_again_the_last_is_compared(tmp_path):
    whole, killed = tmp_path / "whole" / "generated", tmp_path / "killed" / "generated"
    for folder, sounds in (
        (whole, {"a.wav": b"abc", "b.wav": b"bcd"}),
        (killed, {"a.wav": b"a", "a-2.wav": b"ab", "a-10.wav": b"abc", "b.wav": b"bcd"}),
    ):
        folder.mkdir(parents=True)
        for name, content in sounds.items():
            (folder / name).write_bytes(content)
    assert differences(whole.parent, killed.parent) == (2, [])
    (killed / "a-10.wav").write_bytes(b"abd")
    (killed / "b.wav").unlink()
    (killed / ".1-0.tmp.wav").touch()
    files, wrong = differences(whole.parent, killed.parent)
    assert files == 3
    assert sorted(wrong) == [
        "generated/.1-0.tmp.wav: missing or left over",
        "generated/a.wav: differs",
        "generated/b.wav: missing or left over",
    ]


@pytest.mark.slow
def test_commands_that_were_killed_end_with_the_files_of_unkilled_ones():
    """Six kills; `scripts/kill_test.py` makes a hundred."""
    command = [sys.executable, ROOT / "scripts" / "kill_test.py", "--kills", "6", "--seed", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 differ" in done.stdout
