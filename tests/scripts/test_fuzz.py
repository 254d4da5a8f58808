"""Changed files of the project's own: a result, or an error that says what is wrong."""

import numpy as np
import pytest

from scripts.fuzz import READERS, fuzz, mutations

EACH = 250  # of 15 readers; scripts/fuzz.py takes as many as it is given


@pytest.mark.parametrize("name", READERS)
def test_every_reader_returns_or_says_what_is_wrong(name, tmp_path):
    outcomes, faults = fuzz([name], EACH, 7, tmp_path)
    assert not faults, "\n".join(faults)
    assert outcomes[name].total() == EACH
    assert name == "history" or outcomes[name]["InputError"] > 0  # it drops what is damaged


def test_mutations_follow_from_the_seed_and_differ():
    one, two = (mutations(b'{"a": [1, 2]}', True, np.random.default_rng(5)) for _ in range(2))
    drawn = [next(one) for _ in range(50)]
    assert drawn == [next(two) for _ in range(50)]
    assert len(set(drawn)) > 25
