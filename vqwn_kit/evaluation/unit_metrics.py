"""Rows of the score card about codes as speech units.

Whether they mean anything (phones), how steady they are (perturbed speech), at what rate; beside
them k-means on MFCC, a random projection and random codes of the same K and frame rate.
"""

import numpy as np
from threadpoolctl import threadpool_limits

from vqwn_kit.evaluation import metrics
from vqwn_kit.evaluation.context import EvaluationContext
from vqwn_kit.evaluation.metrics import Estimate, jackknife, proportion, ratio
from vqwn_kit.evaluation.metrics.intervals import group_sums
from vqwn_kit.evaluation.perturbations import PERTURBATIONS, start_later
from vqwn_kit.evaluation.phones import PHONES
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.evaluation.unit_study import CODES, KINDS, KMEANS, RANDOM, UnitStudy

SHIFTS = "shifts by eighths of a hop"
REPRESENTATIONS = ("MFCC", "z_e", "z_q", *KINDS)  # that ABX is measured of
INFORMATION = {
    "PNMI": metrics.phone_normalised_information,
    "phone purity": metrics.phone_purity,
    "cluster purity": metrics.cluster_purity,
}
BOUNDARIES = {"precision": "%", "recall": "%", "F1": "%", "R-value": "of 1"}
COMPARED = {  # rows of the verdict: what it is called there, and whether more of it is better
    "PNMI": ("phone information, PNMI", True),
    "ABX in any context, across speakers": ("ABX error in any context, across speakers", False),
    "edit distance, noise 20 dB": ("unit edit distance in noise of 20 dB", False),
}


def unit_measures(context: EvaluationContext) -> dict[str, float]:
    """Return the measures of the units of a run by the name of their row; shares in %.

    Names are those of `score_units`, see `named`. What cannot be measured is left out.

    Example:
        measures = unit_measures(evaluation_context(vq.load_run("mini"), store))
        measures["PNMI, codes"], measures["PNMI, k-means MFCC"]
        measures["ABX, across speakers, z_e"], measures["edit distance, noise 20 dB, codes"]
    """
    card = ScoreCard({})
    score_units(card, context)
    return {row.name: row.value for row in card.rows}


def unit_robustness(measures: dict[str, float]) -> dict[str, dict[str, float]]:
    """Return the edit distances among `unit_measures` by units, then by perturbation, in %."""
    known = {
        kind: {
            perturbation: measures[name]
            for perturbation in (*PERTURBATIONS, SHIFTS)
            if (name := named(f"edit distance, {perturbation}", kind)) in measures
        }
        for kind in KINDS
    }
    return {kind: row for kind, row in known.items() if row}


def named(measure: str, kind: str) -> str:
    """Return the name of the row of a measure: `kind` is one of KINDS, or `MFCC`, `z_e`, `z_q`."""
    return f"{measure}, {kind}"


def score_units(card: ScoreCard, context: EvaluationContext) -> None:
    """Add rate, phones, ABX errors, boundaries, edit distances and speakers of the units."""
    study, rows = UnitStudy(context), len(card.rows)
    with threadpool_limits(1, "blas"):  # small products: threads would wait for one another
        for part in (_rates, _information, _abx, _boundaries, _edit_distances, _speakers):
            part(card, study)
    measures = [row.name.rpartition(", ")[0] for row in card.rows[rows:]]  # side by side
    order = {measure: place for place, measure in enumerate(dict.fromkeys(measures))}
    pairs = zip(measures, card.rows[rows:], strict=True)
    card.rows[rows:] = [row for _, row in sorted(pairs, key=lambda pair: order[pair[0]])]
    card.verdicts += unit_verdict({row.name: row.value for row in card.rows})


def unit_verdict(measures: dict[str, float]) -> list[str]:
    """Say in a sentence whether the codes are better units than k-means; none if it is unknown."""
    parts = []
    for measure, (words, more_is_better) in COMPARED.items():
        names = named(measure, CODES), named(measure, KMEANS)
        if all(name in measures for name in names):
            codes, others = (measures[name] for name in names)
            is_better = codes != others and (codes > others) == more_is_better
            sign = "better" if is_better else "not better"
            parts.append(f"{sign} in {words} ({codes:.1f} against {others:.1f} %)")
    if not parts:
        return []
    return [f"Beside k-means on MFCC of the same K and rate, the codes are {'; '.join(parts)}."]


def _rates(card: ScoreCard, study: UnitStudy) -> None:
    section = "units: rate"
    for kind in KINDS:
        name = named("changes per second", kind)
        with card.measuring(name):
            units, (symbols, count) = study.units(kind), study.symbols(kind)
            changes = [len(metrics.without_repeats(codes)) for codes in symbols]
            seconds = [len(codes) / units.rate for codes in symbols]
            note = f"of {units.rate:g} frames per second; {units.bit_rate:,.0f} bits/s nominal, "
            note += f"K = {units.size}" if units.codebooks == 1 else f"{count} distinct tuples"
            rate = ratio(changes, seconds, study.sentences)
            card.add(section, name, rate, "units/s", "utterances", note, len(symbols))


def _information(card: ScoreCard, study: UnitStudy) -> None:
    """Add what a code says about the phone of its frame, in all utterances of both splits.

    On the held-out ones alone even random codes would seem to say much. A tuple counts as one.
    """
    for kind in KINDS:
        with card.measuring(*(named(measure, kind) for measure in INFORMATION)):
            symbols, count = study.all_symbols(kind)
            note = f"{count} distinct symbols; silence left out"
            if kind == RANDOM:
                note += "; what chance gives on as many frames"
            _phone_rows(card, study, symbols, count, kind, tuple(INFORMATION), note)
            if study.units(kind).codebooks > 1:
                size = study.units(kind).size
                for number in range(study.units(kind).codebooks):
                    part = {n: codes[:, number] for n, codes in study.all_codes(kind).items()}
                    name, note = f"{kind}, codebook {number}", f"K = {size}"
                    _phone_rows(card, study, part, size, name, ("PNMI",), note)


def _phone_rows(card, study, symbols, count, kind, measures, note) -> None:
    phones = study.context.phones
    known = [number for number in symbols if number in phones]
    sentences = study.context.sentences(known)
    tables = group_sums(
        np.array(
            [
                metrics.code_phone_table(symbols[n], phones[n], count, len(PHONES)).ravel()
                for n in known
            ]
        ),
        sentences,
    )
    for measure in measures:
        estimate = jackknife(
            tables,
            lambda table, measure=measure: INFORMATION[measure](table.reshape(count, len(PHONES))),
        )
        section, name = "units: phones", named(measure, kind)
        card.add(section, name, estimate, "%", "utterances", note, len(known))


def _abx(card: ScoreCard, study: UnitStudy) -> None:
    """Add ABX errors of triphones (ZeroSpeech 2021) and of phones in any context (2210.15775)."""
    conditions = {False: "within speaker", True: "across speakers"}
    for triphones, title in ((True, "ABX"), (False, "ABX in any context")):
        names = {across: f"{title}, {words}" for across, words in conditions.items()}
        rows = [named(name, part) for name in names.values() for part in REPRESENTATIONS]
        with card.measuring(*rows):
            tokens = study.tokens(triphones)
            for part in REPRESENTATIONS:
                with card.measuring(*(named(name, part) for name in names.values())):
                    frames = tokens.of(study.representation(part))
                    distances = metrics.token_distances(frames, tokens.contexts)
                    for across, name in names.items():
                        with card.measuring(named(name, part)):
                            _abx_row(card, study, tokens, distances, across, named(name, part))


def _abx_row(card, study, tokens, distances, across, name) -> None:
    labels = tokens.phones, tokens.contexts, tokens.speakers
    task = metrics.abx_task(*labels, across)
    estimate = metrics.abx_estimate(distances, task, study.sentences[tokens.utterances])
    note = f"{len(task.cells):,} cells; chance is 50 %"
    if tokens.found > len(tokens.phones):
        note += f"; {len(tokens.phones):,} of {tokens.found:,} tokens, by a seeded choice"
    card.add("units: phone discrimination", name, estimate, "%", "tokens", note, len(tokens.phones))


def _boundaries(card: ScoreCard, study: UnitStudy) -> None:
    """Add how well changes of the code find the phone boundaries."""
    for kind in KINDS:
        names = [named(f"boundary {score}", kind) for score in BOUNDARIES]
        with card.measuring(*names):
            symbols, rate = study.symbols(kind)[0], study.context.frame_rate
            counts = np.array(
                [
                    metrics.boundary_counts(
                        metrics.change_times(symbols[place], rate),
                        np.array([start for start, _, _ in spans[1:]]),
                    )
                    for place, spans in study.spans.items()
                ]
            )
            sentences = study.sentences[list(study.spans)]
            excess = metrics.boundary_scores(counts.sum(axis=0))["over-segmentation"]
            note = f"within {1000 * metrics.TOLERANCE:g} ms; {100 * excess:+.0f} % boundaries"
            for (score, unit), name in zip(BOUNDARIES.items(), names, strict=True):
                estimate = jackknife(
                    counts, lambda c, score=score: metrics.boundary_scores(c)[score], sentences
                )
                of = "utterances"
                card.add("units: boundaries", name, estimate, unit, of, note, len(counts))


def _edit_distances(card: ScoreCard, study: UnitStudy) -> None:
    """Add how far the units of perturbed speech are from those of the clean recording."""
    context = study.context
    eighths = range(1, 8)
    hop = context.model.hop_length
    waves = [study.waveforms[place] for place in study.perturbed]
    sentences = study.sentences[study.perturbed]
    versions = {
        name: [[perturb(wave, context.store.sample_rate)] for wave in waves]
        for name, perturb in PERTURBATIONS.items()
    }
    versions[SHIFTS] = [[start_later(wave, hop, i) for i in eighths] for wave in waves]
    for kind in KINDS:
        names = [named(f"edit distance, {version}", kind) for version in versions]
        with card.measuring(*names):
            clean = [study.codes(kind)[place] for place in study.perturbed]
            encode = study.units(kind).encode
            for name, waveforms in zip(names, versions.values(), strict=True):
                places = context.bar(range(len(clean)), name)
                edits = [_edits(encode, clean[i], waveforms[i]) for i in places]
                distance = ratio(*np.array(edits).T, sentences)
                note = "edits per unit of the clean recording, without repeats"
                of = "utterances"
                card.add("units: robustness", name, distance, "%", of, note, len(edits))


def _edits(encode, clean: np.ndarray, waveforms: list[np.ndarray]) -> np.ndarray:
    """Return edits and units, int (2,), summed over some perturbed waveforms."""
    pairs = [metrics.as_symbols([clean, encode(waveform)])[0] for waveform in waveforms]
    return np.sum([metrics.unit_edits(*pair) for pair in pairs], axis=0)


def _speakers(card: ScoreCard, study: UnitStudy) -> None:
    """Add what whole utterances of units say about their speaker: little, if units are phones."""
    context = study.context
    labels = context.speaker_ids(context.train)
    truth = context.speaker_ids(study.numbers)
    chance = 100 * np.bincount(truth).max() / len(truth)
    note = f"linear probe on {{}}; the most frequent speaker has {chance:.0f} %"

    def add(name: str, train: np.ndarray, held_out: np.ndarray, words: str) -> None:
        hits = metrics.linear_probe(train, labels).predict(held_out) == truth
        estimate: Estimate = proportion(hits, study.sentences)
        section, of = "units: speakers", "utterances"
        card.add(section, name, estimate, "%", of, note.format(words), len(hits))

    name = named("speaker of the utterance", "z_e")
    with card.measuring(name):
        parts = (context.train, study.numbers)
        means = [np.array([context.encoded[n].z_e.mean(axis=0) for n in part]) for part in parts]
        add(name, *means, "the mean of z_e")
    for kind in KINDS:
        name = named("speaker of the utterance", kind)
        with card.measuring(name):
            units = study.units(kind)
            parts = ([study.all_codes(kind)[n] for n in context.train], study.codes(kind))
            shares = [np.array([_shares(c, units.size) for c in part]) for part in parts]
            add(name, *shares, "the shares of the codes")


def _shares(codes: np.ndarray, size: int) -> np.ndarray:
    """Return the share of each code in codes (N,) or (N, Q), float (Q K,)."""
    columns = codes.reshape(len(codes), -1).T
    return np.concatenate([metrics.code_counts(part, size) for part in columns]) / len(codes)
