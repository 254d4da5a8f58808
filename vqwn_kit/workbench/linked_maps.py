"""Several runs and the same utterances -> maps of their codes, linked by the frames they share.

The codes of two runs have nothing in common, not even their number. What can be compared is where
they stand: a code of one run, and the codes that another run gives to the same moments.
"""

from itertools import permutations

import numpy as np

from vqwn_kit.evaluation.context import EvaluationContext
from vqwn_kit.widgets.explorer import Explorer
from vqwn_kit.widgets.points import Link
from vqwn_kit.workbench.codebook_map import map_of

MOST_LIT = 8  # codes of another run that belong to a code
LEAST = 0.03  # of the frames of a code, that another one must share to belong to it
WRITTEN = 3  # codes of another run that are named beside a code


def linked_maps(contexts: dict[str, EvaluationContext], **settings) -> dict[str, Explorer]:
    """Return the map of the codes of each run; what is selected in one is lit in the others.

    Args:
        contexts: runs and the same utterances, by name.
        **settings: `speaker` and `methods`, see `explore`.
    """
    links = {
        (first, second): shared_codes(contexts[first], contexts[second], second)
        for first, second in permutations(contexts, 2)
    }
    maps = {}
    for name, context in contexts.items():
        others = [other for other in contexts if other != name]
        facts = {f"in {o}": _written(links[name, o], contexts[o]) for o in others}
        maps[name] = map_of(context, name, more=facts, **settings)
    for name, explorer in maps.items():
        explorer.partners = [
            links[name, other].packed() | {"key": maps[other].key, "from": name}
            for other in maps
            if other != name
        ]
    return maps


def shared_codes(first: EvaluationContext, second: EvaluationContext, name: str) -> Link:
    """Return for each code of a run those of another at the same moments, the most frequent first.

    Args:
        first: the run.
        second: another run, of the same corpus.
        name: of the other run.

    Returns:
        A link with at most `MOST_LIT` codes of the other run and the share of the frames in %.
    """
    rows, columns = (_tokens(context) for context in (first, second))
    hops = first.model.hop_length, second.model.hop_length
    sizes = _num_tokens(first), _num_tokens(second)
    table = coincidences(rows, columns, hops, sizes)
    share = table / np.maximum(
        1, table.sum(axis=1, keepdims=True) / second.model.bottleneck.num_codebooks
    )
    to = np.argsort(-share, axis=1, kind="stable")[:, :MOST_LIT]
    weights = np.take_along_axis(share, to, axis=1)
    return Link(f"in {name}", np.where(weights >= LEAST, to, -1), 100.0 * weights, "%")


def coincidences(
    first: dict[int, np.ndarray],
    second: dict[int, np.ndarray],
    hops: tuple[int, int],
    sizes: tuple[int, int],
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


def _num_tokens(context: EvaluationContext) -> int:
    bottleneck = context.model.bottleneck
    return bottleneck.num_embeddings * bottleneck.num_codebooks


def _tokens(context: EvaluationContext) -> dict[int, np.ndarray]:
    """Return the tokens of all utterances, (N, Q) by number."""
    codebooks = context.model.bottleneck.num_codebooks
    return {number: row.reshape(-1, codebooks) for number, row in context.tokens.items()}


def _written(link: Link, context: EvaluationContext) -> list[str]:
    """Return the first codes of a link to a run as text: `17 41 %, 203 12 %`."""
    size, several = context.model.bottleneck.num_embeddings, context.model.bottleneck.num_codebooks
    weights = link.weights if link.weights is not None else np.zeros(link.to.shape)
    texts = []
    for tokens, shares in zip(link.to[:, :WRITTEN], weights, strict=True):
        names = [f"{t // size}:{t % size}" if several > 1 else str(t) for t in tokens]
        pairs = zip(tokens, names, shares, strict=False)
        texts.append(", ".join(f"{name} {share:.0f} %" for t, name, share in pairs if t >= 0))
    return texts
