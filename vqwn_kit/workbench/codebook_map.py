"""A run -> a map of its codes: what each is used for, what follows it, and how it sounds."""

from collections.abc import Sequence

import numpy as np

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.evaluation.code_usage import CodeStatistics, code_statistics, most_frequent
from vqwn_kit.evaluation.context import EvaluationContext, evaluation_context
from vqwn_kit.evaluation.metrics.intervals import NotMeasured
from vqwn_kit.evaluation.phones import KIND_OF, SOUNDS
from vqwn_kit.plots.projection import project_2d
from vqwn_kit.runs.corpus_of import store_of
from vqwn_kit.runs.run import load_run
from vqwn_kit.sampling.generate import generate
from vqwn_kit.widgets.explorer import Explorer
from vqwn_kit.widgets.points import Colour, followers, nearest, shares
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
    names = list(context.run.speakers)
    voice = names[0] if speaker is None else speaker
    if voice not in names:
        raise one_of("speaker", voice, names)
    facts = code_statistics(context)
    size, used = len(facts.counts), facts.counts > 0
    colours, texts = _colours_and_texts(facts, names)
    hear = {"speech with this code": lambda code: examples(context, code)}
    if context.model.is_autoregressive:
        hear[f"decoder ({voice})"] = lambda code: _held(context, code, voice)
    return Explorer(
        projections(facts.vectors, methods),
        [f"code {code}" for code in range(size)],
        sizes=facts.percent,
        colours=colours,
        facts=texts,
        links=[nearest(facts.vectors, among=used), followers(list(context.codes.values()), size)],
        hear=hear,
        crosses=~used,
        size_name="share of frames",
        sample_rate=context.store.sample_rate,
        title=f"{context.run.folder.name}: {used.sum()} of {size} codes in use",
    )


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
    return colours, texts | {"speakers": shares(facts.voices, names)}


def _held(context: EvaluationContext, code: int, speaker: str) -> np.ndarray:
    """Return what the decoder synthesises from one code, held for 0.4 s."""
    frames = max(1, round(HELD * context.frame_rate))
    return faded(generate(context.model, np.full(frames, code), [speaker])[0])


def examine_codes(run, data, progress: bool, utterances: int | None) -> EvaluationContext:
    """Return a run and the utterances that it is examined on; InputError without a codebook."""
    run = load_run(run)
    if not run.model.bottleneck.num_embeddings:
        raise InputError(f"{run.folder} has no codebook (an autoencoder): there are no codes")
    store = store_of(run, data, progress)
    return evaluation_context(run, store, utterances, progress=progress)


def projections(vectors: np.ndarray, methods: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the maps of vectors (M, D), float (M, 2), by the name of the method."""
    for method in methods:
        if method not in METHODS:
            raise one_of("method", method, METHODS)
    return {method.upper(): project_2d(vectors, method) for method in methods}
