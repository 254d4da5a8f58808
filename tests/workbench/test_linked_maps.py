"""Maps of several runs: codes are linked by the moments at which they occur."""

import numpy as np
import pytest

from vqwn_kit import Run, build_model
from vqwn_kit.widgets.points import NARROW
from vqwn_kit.workbench.examine import examine_codes
from vqwn_kit.workbench.linked_maps import RULE, at_frames, coincidences, linked_maps, marked_codes


def test_codes_at_other_frames_are_those_at_their_middles():
    codes = np.arange(5)
    assert at_frames(codes, 100, 10, 50).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert at_frames(codes, 50, 3, 100).tolist() == [1, 3, 4]  # the last code stays
    assert at_frames(codes, 64, 5, 64).tolist() == codes.tolist()


def test_coincidences_count_each_pair_of_tokens_at_a_moment():
    first = {0: np.array([[0], [0], [1]]), 7: np.array([[1]])}
    second = {0: np.array([[0, 3], [1, 3], [1, 2]]), 8: np.array([[0, 2]])}
    table = coincidences(first, second, (64, 64), (2, 4))
    assert table.tolist() == [[1, 1, 0, 2], [0, 1, 1, 0]]
    half = coincidences(first, {0: np.array([[0], [1]])}, (64, 128), (2, 2))
    assert half.tolist() == [[2, 0], [0, 1]]


def test_a_map_names_and_marks_the_codes_of_the_other_run(run, residual_run, store):
    contexts = {
        name: examine_codes(each, store, False, None)
        for name, each in {"a": run, "b": residual_run}.items()
    }
    maps = linked_maps(contexts, methods=("pca",))
    (partner,) = maps["a"].partners
    assert (partner["key"], partner["from"]) == (maps["b"].key, "a")
    to = np.frombuffer(partner["to"], np.int32).reshape(len(maps["a"].names), -1)
    codes = np.concatenate([contexts["a"].codes[n] for n in contexts["a"].codes])
    others = np.concatenate([contexts["b"].codes[n] for n in contexts["a"].codes])
    code = int(np.bincount(codes).argmax())
    counts = np.stack([np.bincount(c, minlength=8) for c in others[codes == code].T]).ravel()
    shares = counts / (codes == code).sum()
    assert shares[to[code, 0]] == shares.max()  # of all frames, though each has three codes
    assert {n for n in to[code] if n >= 0} <= set(np.flatnonzero(shares >= 0.03))
    (text,) = [fact["values"][code] for fact in maps["a"].facts if fact["name"] == "in b"]
    first = to[code, 0]
    name, share = f"{first // 8}:{first % 8}", f"{100 * shares[first]:.0f}"
    assert text.startswith(NARROW.join([name, share, "%"]))
    assert maps["a"].title.startswith("a: ")
    unused = np.flatnonzero(np.bincount(codes, minlength=len(to)) == 0)
    assert (to[unused] == -1).all()
    every, covered = (np.frombuffer(partner[name], np.float32) for name in ("every", "covered"))
    assert every[code] == 3 * (codes == code).sum()
    assert covered[code] / every[code] == pytest.approx(shares[to[code][to[code] >= 0]].sum() / 3)
    assert partner["rule"] == RULE == "at most 8 per code, each at 3 % of its frames or more"


def test_at_most_eight_codes_are_marked_each_at_three_percent_of_the_frames():
    rows = np.array([[100, 2, 3] + [0] * 9, [10] * 9 + [0] * 3, [0] * 12])
    marked = marked_codes(rows, 1)
    to = np.frombuffer(marked["to"], np.int32).reshape(3, marked["count"])
    assert [set(row) - {-1} for row in to.tolist()] == [{0}, set(range(8)), set()]
    assert np.frombuffer(marked["covered"], np.float32).tolist() == [100, 80, 0]
    assert np.frombuffer(marked["every"], np.float32).tolist() == [105, 90, 0]
    three = marked_codes(rows, 3)  # of 35 frames with three codes each, 2 are 6 %
    assert set(np.frombuffer(three["to"], np.int32)[: three["count"]]) == {-1, 0, 1, 2}


def test_a_run_shares_each_code_with_itself_and_not_with_one_of_other_weights(run, store):
    """Codes of two codebooks have nothing in common but the frames, not even of one preset."""
    model = build_model(run.preset, list(run.trained_speakers))
    contexts = [examine_codes(run, store, False, None) for _ in range(2)]
    contexts[1].run = Run(run.folder)
    contexts[1].run.model = model
    maps = linked_maps(dict(zip("ab", contexts, strict=True)), methods=("pca",))
    own = linked_maps(dict.fromkeys("ab", contexts[0]), methods=("pca",))
    tokens = [np.concatenate([c.codes[n] for n in contexts[0].codes]) for c in contexts]
    code = int(np.bincount(tokens[0]).argmax())
    expected = np.bincount(tokens[1][tokens[0] == code]).argmax()
    for made, other in ((maps, expected), (own, code)):
        (partner,) = made["a"].partners
        to = np.frombuffer(partner["to"], np.int32).reshape(-1, partner["count"])
        assert to[code, 0] == other
    assert tokens[0].tolist() != tokens[1].tolist()
    assert (to[code, 1:] == -1).all()
