"""Maps of several runs: codes are linked by the moments at which they stand."""

import numpy as np

from vqwn_kit.workbench.examine import examine_codes
from vqwn_kit.workbench.linked_maps import at_frames, coincidences, linked_maps, shared_codes


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


def test_a_map_names_and_lights_the_codes_of_the_other_run(run, residual_run, store):
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
    assert text.startswith(f"{first // 8}:{first % 8} {100 * shares[first]:.0f} %")
    assert maps["a"].title.startswith("a: ")
    unused = np.flatnonzero(np.bincount(codes, minlength=len(to)) == 0)
    assert (to[unused] == -1).all()


def test_a_run_shares_each_code_with_itself(run, store):
    context = examine_codes(run, store, False, None)
    link = shared_codes(context, context, "itself")
    used = np.unique(np.concatenate(list(context.codes.values())))
    assert link.to[used, 0].tolist() == used.tolist()
    assert (link.weights[used, 0] == 100.0).all()
    assert (link.to[:, 1:] == -1).all()
