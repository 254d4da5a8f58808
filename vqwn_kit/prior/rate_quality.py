"""A run with residual codes -> quality of the sound and phones in the codes at each bit rate."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vqwn_kit.errors import InputError
from vqwn_kit.evaluation import external, metrics
from vqwn_kit.evaluation.context import EvaluationContext, evaluation_context
from vqwn_kit.evaluation.metrics import Estimate, NotMeasured, ratio
from vqwn_kit.evaluation.phones import PHONES
from vqwn_kit.prior.ngram import NGram
from vqwn_kit.runs.corpus_of import store_of
from vqwn_kit.runs.run import Run, load_run
from vqwn_kit.sampling.generate import convert_voice


@dataclass(frozen=True)
class RatePoint:
    """The first n codebooks of a residual model.

    Attributes:
        codebooks: n.
        nominal: bits per second, n log2 K per frame.
        coded: bits per second of held-out codes under a bigram model of each codebook, of its own
            code in the frame before: what a simple prior makes of the nominal rate.
        pnmi: phone-normalised mutual information of the tuples, 0 to 1; None without phone times.
        pnmi_chance: the same of the tuples in random order: what their number alone gives. Where it
            comes near `pnmi`, there are too few frames for the measure.
        phone_error: of the reconstructions against the text, with its interval; None without one.
        mos: DNSMOS P.808 of the reconstructions, 1 to 5, with its interval; None without the judge.
    """

    codebooks: int
    nominal: float
    coded: float
    pnmi: float | None
    pnmi_chance: float | None
    phone_error: Estimate | None
    mos: Estimate | None

    def to_dict(self) -> dict:
        """Return the point as plain numbers."""
        return asdict(self)


def rate_quality(
    run: Run | str | Path,
    data=None,
    *,
    utterances: int = 12,
    temperature: float = 0.8,
    seed: int = 0,
    progress: bool = True,
) -> list[RatePoint]:
    """Return what each number of codebooks of a residual model carries, from one to all.

    Args:
        run: a run whose bottleneck is `residual`; trained with `dropout`, it decodes any number.
        data: the corpus; the run's own by default.
        utterances: held-out utterances that are synthesised at each rate; see
            `choose_utterances`.
        temperature: of sampling.
        seed: of sampling.
        progress: show progress bars.

    Raises:
        InputError: another bottleneck, or fewer than 1 utterance.

    Example:
        points = vq.rate_quality("results/residual")
        vq.plots.plot_rate_quality([point.to_dict() for point in points])
    """
    run = load_run(run)
    bottleneck = run.model.bottleneck
    if bottleneck.short_name != "residual":
        raise InputError(
            f"{run.folder} has the bottleneck {type(bottleneck).__name__}, which has one rate; "
            "expected a run trained with bottleneck=residual"
        )
    if utterances < 1:
        raise InputError(f"utterances={utterances}: expected 1 or more")
    context = evaluation_context(run, store_of(run, data, progress), seed=seed, progress=progress)
    numbers = context.chosen(context.held_out, utterances)
    bits = np.cumsum(list(_bigram_bits(context)))
    settings = {"temperature": temperature, "seed": seed, "progress": False}
    points = []
    for count in context.bar(range(1, bottleneck.num_codebooks + 1), "rates"):
        sounds = {n: _reconstructed(context, n, count, settings) for n in numbers}
        points.append(
            RatePoint(
                count,
                context.frame_rate * count * float(np.log2(bottleneck.num_embeddings)),
                context.frame_rate * float(bits[count - 1]),
                *_pnmi(context, count),
                _phone_error(context, sounds),
                _mos(context, sounds),
            )
        )
    return points


def _bigram_bits(context: EvaluationContext) -> Iterator[float]:
    """Yield the bits per frame of each codebook's held-out codes under its bigram."""
    size = context.model.bottleneck.num_embeddings
    for number in range(context.model.bottleneck.num_codebooks):
        train, held_out = (
            [context.codes[n][:, number] for n in part]
            for part in (context.train, context.held_out)
        )
        bigram = NGram.fitted(train, size, order=2)
        yield float(np.concatenate([bigram.bits(codes) for codes in held_out]).mean())


def _reconstructed(context: EvaluationContext, number: int, count: int, settings) -> np.ndarray:
    waveform, speaker = context.store.waveform(number), context.speaker(number)
    settings = {"codebooks": count, "pitch": context.pitch(number), **settings}
    return convert_voice(context.model, waveform, [speaker], **settings)[0]


def _pnmi(context: EvaluationContext, count: int) -> tuple[float | None, float | None]:
    """Return the PNMI of the tuples of the first codebooks, and that in random order."""
    try:
        numbers = [n for n in (*context.train, *context.held_out) if n in context.phones]
    except NotMeasured:
        return None, None
    symbols, size = metrics.as_symbols([context.codes[n][:, :count] for n in numbers])
    symbols, phones = (
        np.concatenate(rows) for rows in (symbols, [context.phones[n] for n in numbers])
    )
    shuffled = context.rng(count).permutation(symbols[phones >= 0])
    pairs = ((symbols, phones), (shuffled, phones[phones >= 0]))
    tables = [metrics.code_phone_table(*pair, size, len(PHONES)) for pair in pairs]
    return tuple(float(metrics.phone_normalised_information(table)) for table in tables)


def _phone_error(context: EvaluationContext, sounds: dict[int, np.ndarray]) -> Estimate | None:
    texts = {n: context.store.corpus.utterances[n].text for n in sounds}
    known = [n for n in sounds if external.words_of(texts[n])]
    try:
        pairs = [
            (external.text_to_phones(texts[n]), external.recognise_phones(sounds[n])) for n in known
        ]
        errors = [metrics.edit_distance(*pair) for pair in pairs]
        return ratio(errors, [len(text) for text, _ in pairs], context.sentences(known))
    except NotMeasured:
        return None


def _mos(context: EvaluationContext, sounds: dict[int, np.ndarray]) -> Estimate | None:
    try:
        scores = [external.dnsmos(sound) for sound in sounds.values()]
    except NotMeasured:
        return None
    return ratio(scores, groups=context.sentences(sounds))
