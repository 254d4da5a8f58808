"""A run -> a map of its codes: what each is used for, what follows it, and how it sounds."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vqwn_kit.errors import one_of
from vqwn_kit.evaluation.code_usage import CodeStatistics, code_statistics, most_frequent
from vqwn_kit.evaluation.context import EvaluationContext
from vqwn_kit.evaluation.metrics.intervals import NotMeasured
from vqwn_kit.evaluation.phones import KIND_OF, SOUNDS
from vqwn_kit.plots.projection import project_2d
from vqwn_kit.sampling.generate import generate
from vqwn_kit.widgets.explorer import Explorer
from vqwn_kit.widgets.points import Colour, Link, followers, nearest, shares
from vqwn_kit.workbench.code_page import page_opener
from vqwn_kit.workbench.code_palette import code_palette, saved_phones
from vqwn_kit.workbench.examine import examine_codes
from vqwn_kit.workbench.excerpts import examples, faded

METHODS = ("pca", "umap")
HELD = 0.4  # seconds for which the decoder holds a code


def codebook_map(
    run,
    data,
    progress: bool,
    *,
    speaker: str | None = None,
    methods: Sequence[str] = METHODS,
    utterances: int | None = None,
) -> Explorer:
    """Return the map of the codes; see `explore`."""
    context = examine_codes(run, data, progress, utterances)
    return map_of(context, context.run.folder.name, speaker=speaker, methods=methods)


def map_of(
    context: EvaluationContext,
    title: str,
    *,
    speaker: str | None = None,
    methods: Sequence[str] = METHODS,
    more: dict[str, list[str]] | None = None,
) -> Explorer:
    """Return the map of the codes of a run, with `more` facts about each; see `explore`."""
    names = list(context.run.speakers)
    voice = names[0] if speaker is None else speaker
    if voice not in names:
        raise one_of("speaker", voice, names)
    facts = code_statistics(context)
    size, used = facts.num_embeddings, facts.counts > 0
    colours, texts = _colours_and_texts(facts, names)
    if saved_phones(context.run) is None:  # else codes are coloured by phone in the strips, too
        colours.append(Colour("place on the map", code_palette(context.run)))
    codebook = (lambda token: None) if facts.num_codebooks == 1 else lambda token: token // size
    hear = {
        "speech with this code": lambda token: examples(context, token % size, codebook(token)),
        f"decoder ({voice})": lambda token: _held(context, token, voice),
    }
    return Explorer(
        projections(facts.vectors, methods),
        [f"code {name}" for name in facts.names],
        sizes=facts.percent,
        colours=colours,
        facts=texts | (more or {}),
        links=_links(facts, context),
        hear=hear,
        crosses=~used,
        numbers=np.arange(len(used)) % size,
        size_name="share of frames",
        sample_rate=context.store.sample_rate,
        **page_opener(lambda: context),
        title=f"{title}: {used.sum()} of {len(used)} codes in use",
    )


def _links(facts: CodeStatistics, context: EvaluationContext) -> list[Link]:
    """Return the nearest codes and the codes that come next, each within its own codebook."""
    size, links = facts.num_embeddings, []
    for first in range(0, len(facts.counts), size):
        own = slice(first, first + size)
        codes = [row.reshape(len(row), -1)[:, first // size] for row in context.codes.values()]
        pair = (
            nearest(facts.vectors[own], among=facts.counts[own] > 0),
            followers(codes, size),
        )
        links.append(
            [replace(link, to=np.where(link.to < 0, -1, link.to + first)) for link in pair]
        )
    return [
        replace(
            parts[0],
            to=np.concatenate([link.to for link in parts]),
            weights=np.concatenate([link.weights for link in parts]),
        )
        for parts in zip(*links, strict=True)
    ]


def _colours_and_texts(facts: CodeStatistics, names: list[str]) -> tuple[list[Colour], dict]:
    """Return what the codes can be coloured by, and what is written about each."""
    counts, percent = facts.counts, facts.percent
    colours = [Colour("share of frames", np.where(counts > 0, percent, np.nan), "%", log=True)]
    texts = {"frames": [f"{n:,} ({part:.2g} %)" for n, part in zip(counts, percent, strict=True)]}
    if isinstance(facts.phones, NotMeasured):
        texts["phones"] = [f"not known: {facts.phones}"] * len(counts)
    else:
        phones, share = most_frequent(facts.phones, SOUNDS)
        colours.append(Colour("most frequent phone", phones, groups=KIND_OF))
        colours.append(Colour("share of that phone", share, "%"))
        texts["phones"] = shares(facts.phones, SOUNDS)
    speakers, share = most_frequent(facts.voices, names)
    colours.append(Colour("most frequent speaker", speakers))
    colours.append(Colour("share of that speaker", share, "%"))
    if facts.num_codebooks > 1:
        colours.insert(0, Colour("codebook", [str(number) for number in facts.codebooks]))
    return colours, texts | {"speakers": shares(facts.voices, names)}


def _held(context: EvaluationContext, token: int, speaker: str) -> np.ndarray:
    """Return what the decoder synthesises from one code, held for 0.4 s.

    Of several codebooks, the others hold the code that is most frequent beside it: of all frames
    with the code, or of all frames where it is never used.
    """
    frames, size = max(1, round(HELD * context.frame_rate)), context.model.bottleneck.num_embeddings
    held = token
    if context.model.bottleneck.num_codebooks > 1:
        held = companions(np.concatenate(list(context.codes.values())), token // size, token % size)
    return faded(generate(context.model, np.array([held] * frames), [speaker])[0])


def companions(codes: np.ndarray, codebook: int, code: int) -> np.ndarray:
    """Return a code and the most frequent code of each other codebook beside it, int (Q,).

    Args:
        codes: int (M, Q), of frames.
        codebook: of the code.
        code: its number; where no frame has it, the others are the most frequent of all frames.
    """
    having = codes[codes[:, codebook] == code]
    columns = (having if len(having) else codes).T
    frequent = np.array([np.bincount(column).argmax() for column in columns])
    frequent[codebook] = code
    return frequent


def projections(vectors: np.ndarray, methods: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the maps of vectors (M, D), float (M, 2), by the name of the method."""
    for method in methods:
        if method not in METHODS:
            raise one_of("method", method, METHODS)
    return {method.upper(): project_2d(vectors, method) for method in methods}
