"""A run and a corpus -> few numbers that say how good its units are, to compare many runs."""

from contextlib import suppress

import numpy as np

from vqwn_kit.data.store import Store
from vqwn_kit.evaluation import metrics
from vqwn_kit.evaluation.context import EvaluationContext, evaluation_context
from vqwn_kit.evaluation.metrics import NotMeasured
from vqwn_kit.evaluation.perturbations import add_noise
from vqwn_kit.evaluation.phones import PHONES
from vqwn_kit.evaluation.unit_study import CODES, KMEANS, UnitStudy
from vqwn_kit.runs.run import Run

BASELINES: dict[tuple, dict[str, float]] = {}  # by corpus, hop, K and seed: k-means is fitted once


def unit_scores(run: Run, store: Store, seed: int = 0) -> dict[str, float]:
    """Return measures of the codes of a run; the same of k-means on MFCC with "k-means" before.

    `PNMI` over all utterances, 0 to 1, and `phone bits`, the held-out lower bound of the phone
    information in bits per frame; `ABX` error across speakers in any context in %; `noise`, the
    unit edit distance at 20 dB in %. Tuples of several codebooks are symbols of their own. Empty
    where the model has no codebook.

    Args:
        run: the run.
        store: the prepared corpus, with phone times for the first three.
        seed: of k-means and of the choice of tokens.
    """
    context = evaluation_context(run, store, seed=seed, progress=False)
    bottleneck = run.model.bottleneck
    if not bottleneck.num_embeddings:
        return {}
    study = UnitStudy(context)
    key = (store.identity, run.model.hop_length, bottleneck.num_embeddings, seed)
    if key not in BASELINES:
        BASELINES[key] = _scores(study, KMEANS)
    others = {f"k-means {name}": value for name, value in BASELINES[key].items()}
    return _scores(study, CODES) | others


def _scores(study: UnitStudy, kind: str) -> dict[str, float]:
    """Return the measures of one kind of units; without phone times those of phones are missing."""
    scores, context = {}, study.context
    with suppress(NotMeasured):
        symbols, count = study.all_symbols(kind)
        table = _phone_table(context, symbols, count, [*context.train, *context.held_out])
        scores["PNMI"] = metrics.phone_normalised_information(table)
        scores["phone bits"] = _phone_bits(context, symbols, count)
        tokens = study.tokens(triphones=False)
        distances = metrics.token_distances(tokens.of(study.symbols(kind)[0]), tokens.contexts)
        task = metrics.abx_task(tokens.phones, tokens.contexts, tokens.speakers, True)
        sentences = study.sentences[tokens.utterances]
        scores["ABX"] = 100 * metrics.abx_estimate(distances, task, sentences).value
    encode, rate = study.units(kind).encode, context.store.sample_rate
    pairs = zip(study.codes(kind), study.waveforms, strict=True)
    edits = [
        metrics.unit_edits(*metrics.as_symbols([clean, encode(add_noise(wave, rate))])[0])
        for clean, wave in pairs
    ]
    changed, units = np.sum(edits, axis=0)
    return scores | {"noise": 100 * changed / units}


def _phone_table(
    context: EvaluationContext, symbols: dict, count: int, numbers: list[int]
) -> np.ndarray:
    known = [number for number in numbers if number in context.phones]
    pairs = [np.concatenate([part[n] for n in known]) for part in (symbols, context.phones)]
    return metrics.code_phone_table(*pairs, count, len(PHONES))


def _phone_bits(context: EvaluationContext, symbols: dict, count: int) -> float:
    """Return log2 p(phone | code) / p(phone) on held-out frames, counted on training speech."""
    table = _phone_table(context, symbols, count, list(context.train))
    held_out = [n for n in context.held_out if n in context.phones]
    codes, phones = (
        np.concatenate([part[n] for n in held_out]) for part in (symbols, context.phones)
    )
    labelled = phones >= 0
    return float(metrics.phone_information(table, codes[labelled], phones[labelled]).mean())
