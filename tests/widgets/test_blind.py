"""Blind tests: shuffling, answers, files and their statistics."""

import numpy as np
import pytest

from vqwn_kit import InputError
from vqwn_kit.evaluation.metrics.listening_test import (
    COLUMNS,
    append_answers,
    binomial_p,
    findings,
    read_answers,
)
from vqwn_kit.widgets.blind import BlindTest
from vqwn_kit.widgets.player import Player


def test_ratings_are_saved_under_the_true_names(tmp_path):
    file = tmp_path / "listening.csv"
    player = Player({"original": np.ones(9), "quiet": np.ones(9)}, title="x")
    player.blind("rating", file, listener="ann", seed=3)
    test = player.blind_test
    assert sorted(test.order) == [0, 1]
    player._receive(None, {"do": "finish"}, [])
    assert "no rating for A, B" in player.blind_state["problem"]
    assert not file.exists()
    for label, value in ((0, 2), (1, 5), (0, 4)):  # a rating may be changed
        player._receive(None, {"do": "rate", "label": label, "value": value}, [])
    player._receive(None, {"do": "finish"}, [])
    rows = read_answers(file)
    names = [player.names[number] for number in test.order]
    assert {row["track"]: row["answer"] for row in rows} == {names[0]: "4", names[1]: "5"}
    facts = {(row["listener"], row["item"], row["levels_matched"]) for row in rows}
    assert facts == {("ann", "x", "0")}
    assert player.blind_state["done"]
    assert "of 1 unequal ratings" in player.blind_state["results"]
    player._receive(None, {"do": "reveal"}, [])
    assert player.blind_state == {}


def test_abx_reveals_nothing_before_the_last_trial(tmp_path):
    test = BlindTest(["a", "b"], "abx", tmp_path / "l.csv", trials=8, seed=0)
    drawn = []
    for _ in range(8):
        drawn.append(test.order[2] == test.order[0])
        assert test.state["results"] == ""
        assert test.state["revealed"] == []
        test.answer("A" if drawn[-1] else "B")
    assert 0 < sum(drawn) < 8  # X is drawn again for each trial
    assert test.right == 8
    assert "8 of 8 right" in test.results
    assert f"p = {0.5**8:.3g}" in test.results
    with pytest.raises(InputError, match="is over"):
        test.answer("A")


def test_x_is_a_and_b_with_equal_probability(tmp_path):
    firsts = []
    for seed in range(400):
        order = BlindTest(["a", "b"], "abx", tmp_path / "l.csv", seed=seed).order
        firsts.append((order[0], order[2] == order[0]))
    for share in np.mean(firsts, axis=0):
        assert abs(share - 0.5) < 0.1


@pytest.mark.parametrize(
    ("names", "mode", "settings", "match"),
    [
        (["a"], "rating", {}, "needs two or more"),
        (["a", "b"], "abc", {}, "did you mean 'abx'"),
        (["a", "b"], "abx", {"trials": 0}, "trials=0"),
        (["a", "b"], "abx", {"pair": ["a", "c"]}, "no track 'c'"),
        (["a", "b"], "abx", {"pair": ["a", "a"]}, "two tracks"),
    ],
)
def test_invalid_settings_are_refused(names, mode, settings, match, tmp_path):
    with pytest.raises(InputError, match=match):
        BlindTest(names, mode, tmp_path / "l.csv", **settings)


def test_p_values_are_exact():
    assert binomial_p(9, 10) == pytest.approx((10 + 1) / 1024)
    assert binomial_p(9, 10, two_sided=True) == pytest.approx(2 * 11 / 1024)
    assert binomial_p(0, 0) == 1.0
    with pytest.raises(InputError, match="11 right of 10"):
        binomial_p(11, 10)


def test_answers_are_added_and_other_tables_refused(tmp_path):
    file = tmp_path / "deep" / "l.csv"
    row = {"mode": "abx", "track": '=a,"b"', "other": "c", "correct": 1, "answer": "A"}
    append_answers(file, [row])
    before = file.read_bytes()
    with file.open("ab") as broken:  # an editor may leave out the last end of line
        broken.write(before.splitlines()[1])
    append_answers(file, [row | {"correct": 0}])
    assert file.read_bytes().startswith(before)
    rows = read_answers(file)
    assert [saved["correct"] for saved in rows] == ["1", "1", "0"]
    assert rows[0]["track"] == row["track"]
    (finding,) = findings(rows)
    assert (finding.count, finding.trials) == (2, 3)
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="is not a table of answers"):
        append_answers(other, [row])
    assert other.read_text() == "a,b\n1,2\n"
    assert file.read_text().splitlines()[0] == ",".join(COLUMNS)


def test_the_sign_test_leaves_equal_ratings_out():
    rows = []
    for test, pair in enumerate([(5, 1), (4, 4), (5, 2), (3, 2), (4, 1), (5, 3), (2, 1)]):
        for track, answer in zip(("one", "other"), pair, strict=True):
            row = {"mode": "rating", "test": str(test), "item": "", "track": track}
            rows.append(row | {"answer": str(answer)})
    (finding,) = findings(rows)
    assert (finding.count, finding.trials) == (6, 6)
    assert finding.p == pytest.approx(2 / 64)
    assert finding.means == (4.0, 2.0)
