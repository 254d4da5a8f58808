"""Units of a recording: their times, and runs of equal ones."""

import numpy as np
import pytest

from vqwn_kit.runs.units import Units, run_lengths


@pytest.mark.parametrize("shape", [(400,), (400, 1), (400, 3)])
def test_runs_repeated_by_their_lengths_are_the_codes(rng, shape):
    codes = rng.integers(0, 2, shape, dtype=np.int32)
    values, lengths = Units("a", codes, 0.01, 4.0).runs
    np.testing.assert_array_equal(np.repeat(values, lengths, axis=0), codes)
    same = values[1:] == values[:-1]
    assert not same.reshape(len(same), -1).all(axis=1).any()  # no two runs are one


def test_a_single_frame_is_a_run():
    assert run_lengths(np.array([5])).tolist() == [1]
    assert run_lengths(np.array([[5, 1], [5, 1], [5, 2]])).tolist() == [2, 1]


def test_spans_follow_each_other_to_the_end_of_the_recording(rng):
    units = Units("a", rng.integers(0, 3, 100, dtype=np.int32), 0.02, 1.987)
    for collapse in (False, True):
        codes, starts, ends = units.spans(collapse)
        assert len(codes) == len(starts) == len(ends)
        assert starts[0] == 0.0
        np.testing.assert_allclose(starts[1:], ends[:-1])
        assert ends[-1] == 1.987
    np.testing.assert_allclose(units.starts, 0.02 * np.arange(100))
