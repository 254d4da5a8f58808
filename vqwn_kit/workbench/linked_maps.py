"""Several runs and the same utterances -> maps of their codes, linked by the frames they share.

The codes of two runs have nothing in common, not even their number. What can be compared is when
they occur: a code of one run, and the codes that another run gives to the same moments.
"""

from collections.abc import Sequence
from itertools import permutations

import numpy as np

from vqwn_kit.evaluation.context import EvaluationContext
from vqwn_kit.runs.codes import code_names
from vqwn_kit.widgets.explorer import Explorer
from vqwn_kit.widgets.points import shares
from vqwn_kit.workbench.codebook_map import map_of

MOST = 8  # codes of another run that are marked for a code
LEAST = 0.03  # of the frames of a code, at which another one is marked
RULE = f"at most {MOST} per code, each at {LEAST:.0%} of its frames or more".replace("%", " %")


def linked_maps(contexts: dict[str, EvaluationContext], **settings) -> dict[str, Explorer]:
    """Return the map of the codes of each run; what is selected in one is marked in the others.

    Args:
        contexts: runs and the same utterances, by name.
        **settings: `speaker` and `methods`, see `explore`.
    """
    facts, partners = ({name: {} for name in contexts} for _ in range(2))
    for name, other in permutations(contexts, 2):
        table, bottleneck = (
            _table(contexts[name], contexts[other]),
            contexts[other].model.bottleneck,
        )
        names = code_names(bottleneck.num_embeddings, bottleneck.num_codebooks)
        each = bottleneck.num_codebooks
        facts[name][f"in {other}"] = shares(table, names, least=LEAST, each=each)
        partners[name][other] = marked_codes(table, each) | {"from": name}
    maps = {
        name: map_of(context, name, more=facts[name], **settings)
        for name, context in contexts.items()
    }
    for name, explorer in maps.items():
        explorer.partners = [
            partner | {"key": maps[other].key} for other, partner in partners[name].items()
        ]
    return maps


def _table(first: EvaluationContext, second: EvaluationContext) -> np.ndarray:
    """Return `coincidences` of the tokens of two runs."""
    tokens, hops, sizes = [], [], []
    for context in (first, second):
        bottleneck = context.model.bottleneck
        books = bottleneck.num_codebooks
        tokens.append({number: row.reshape(-1, books) for number, row in context.tokens.items()})
        hops.append(context.model.hop_length)
        sizes.append(bottleneck.num_embeddings * books)
    return coincidences(*tokens, hops, sizes)


def marked_codes(table: np.ndarray, codebooks: int) -> dict:
    """Return what is marked in the map of another run for each code, see `Explorer.partners`.

    Args:
        table: `coincidences` of the run and the other one.
        codebooks: of the other run: it has so many codes at each frame.
    """
    to = np.argsort(-table, axis=1, kind="stable")[:, :MOST]
    counts, every = np.take_along_axis(table, to, axis=1), table.sum(axis=1)
    kept = counts >= np.maximum(1, LEAST * every / codebooks)[:, None]
    return {
        "count": to.shape[1],
        "to": np.where(kept, to, -1).astype(np.int32).tobytes(),
        "every": every.astype(np.float32).tobytes(),
        "covered": (counts * kept).sum(axis=1).astype(np.float32).tobytes(),
        "rule": RULE,
    }


def coincidences(
    first: dict[int, np.ndarray],
    second: dict[int, np.ndarray],
    hops: Sequence[int],
    sizes: Sequence[int],
) -> np.ndarray:
    """Return how often each two codes of two runs are at the same moment, int (sizes).

    Args:
        first: tokens (N, Q) of a run, by number of the utterance.
        second: tokens (N', Q') of another run; of other utterances there is nothing to compare.
        hops: samples per frame of both.
        sizes: number of tokens of both, Q K and Q' K'.
    """
    table = np.zeros(sizes, np.int64)
    for number in first.keys() & second.keys():
        rows = first[number]
        columns = at_frames(second[number], hops[1], len(rows), hops[0])
        pairs = rows[:, :, None] * sizes[1] + columns[:, None, :]
        table += np.bincount(pairs.ravel(), minlength=table.size).reshape(sizes)
    return table


def at_frames(codes: np.ndarray, hop: int, frames: int, other_hop: int) -> np.ndarray:
    """Return codes (N, ...) at the middles of other frames, (frames, ...); the last code stays.

    Args:
        codes: of frames of `hop` samples.
        hop: samples per frame of the codes.
        frames: number of the other frames.
        other_hop: their samples.
    """
    places = ((np.arange(frames) + 0.5) * other_hop / hop).astype(int)
    return codes[np.minimum(places, len(codes) - 1)]
