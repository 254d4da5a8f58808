"""A run and held-out utterances -> its score card."""

from collections.abc import Iterable
from pathlib import Path

from vqwn_kit.data.corpus import Corpus
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError, one_of
from vqwn_kit.evaluation import audio_metrics, code_metrics, unit_metrics
from vqwn_kit.evaluation.context import MOST_SECONDS, EvaluationContext, evaluation_context
from vqwn_kit.evaluation.diagnosis import card_verdicts
from vqwn_kit.evaluation.judges import disagreements
from vqwn_kit.evaluation.metrics import Estimate, NotMeasured
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.files import counted
from vqwn_kit.runs.corpus_of import store_of
from vqwn_kit.runs.run import Run, load_run
from vqwn_kit.sampling.sampler import check_temperature


def score_card(
    run: Run | str | Path,
    data: Store | Corpus | str | Path | None = None,
    *,
    sampled: int = 6,
    targets: int = 2,
    utterances: int | None = None,
    temperature: float | str = 1.0,
    originals: bool = True,
    seed: int = 0,
    only: Iterable[str] | None = None,
    progress: bool = True,
) -> ScoreCard:
    """Measure a run on held-out utterances; a first stage is synthesised by Griffin-Lim.

    Args:
        run: a run, its folder, or a checkpoint such as `results/mini/weights-1000`.
        data: the corpus, its folder or its store; by default that of the run, see `store_of`.
        sampled: held-out utterances that are sampled, as `choose_utterances` chooses; 0 for none.
        targets: other speakers that each of those is converted to.
        utterances: held-out utterances for all other measures; all by default.
        temperature: of sampling; see `generate`.
        originals: keep the recordings among the card's sounds; False if they may not be shared.
        seed: of all choices and of sampling: the same seed gives the same card, except the speed.
        only: names of the scores to make, of `SCORES`; all by default.
        progress: show progress bars with the time left.

    Returns:
        The card. Measures that cannot be made are in its `skipped`, with the reason. The splits
        are those of the corpus: measured on `held_out`, probes and maps fitted on `train`.

    Raises:
        InputError: no such run or corpus, nothing held out, or none of its speakers in the run.

    Example:
        card = vq.score_card("results/mini", sampled=12, temperature=0.8)
        card.show()
        card.save("results/mini")
    """
    only = list(SCORES if only is None else only)
    _check(sampled, targets, utterances, temperature, only)
    run = load_run(run)
    store = store_of(run, data, progress)
    context = evaluation_context(run, store, utterances, seed, progress)
    card = ScoreCard(_about(context, temperature))
    for name, score in CODE_SCORES.items():
        if name in only:
            score(card, context)
    of_sounds = [score for name, score in AUDIO_SCORES.items() if name in only]
    if of_sounds and sampled:
        sounds = audio_metrics.sample_sounds(card, context, sampled, targets, temperature)
        kept = [sound for sound in sounds if originals or sound.kind != "original"]
        audio_metrics.keep(card, context, kept)
        for score in of_sounds:
            score(card, context, sounds)
    elif of_sounds:
        card.skipped["everything that is sampled"] = "sampled = 0"
    card.verdicts += [*disagreements(card), *card_verdicts(run, card)]
    _sort_by_section(card)
    return card


def _sort_by_section(card: ScoreCard) -> None:
    """Sort the rows by their sections, in the order in which these began, cost last."""
    order = list(dict.fromkeys(row.section for row in card.rows if row.section != "cost"))
    card.rows.sort(key=lambda row: [*order, "cost"].index(row.section))


def _check(sampled: int, targets: int, utterances: int | None, temperature, only) -> None:
    counts = {"sampled": (sampled, 0), "targets": (targets, 0), "utterances": (utterances, 1)}
    for name, (value, least) in counts.items():
        if value is not None and value < least:
            raise InputError(f"{name}={value}: expected {least} or more")
    check_temperature(temperature)
    for name in only:
        if name not in SCORES:
            raise one_of("score", name, SCORES)


def _about(context: EvaluationContext, temperature: float | str) -> dict[str, str | int | float]:
    """Return the facts that stand at the head of the card."""
    about = {
        "run": context.run.folder.name,
        "step": context.run.model_step,
        "corpus": context.store.corpus.name,
        "judged on": f"{counted(len(context.held_out), 'utterances')} of split held_out",
        "learnt on": f"{len(context.train)} of split train",
        "seed": context.seed,
    }
    if context.store.shortened:
        cut = f"the first {MOST_SECONDS:g} s of each are used"
        about["longer utterances"] = f"{context.store.shortened} of the corpus; {cut}"
    if not context.model.is_autoregressive:
        return about | {"synthesised by": "Griffin and Lim's method, from predicted mel bands"}
    return about | {"temperature": temperature, "bits are of": context.model.decoder.codec.signal}


def _score_cost(card: ScoreCard, context: EvaluationContext) -> None:
    names = ("training time", "samples seen", "parameters")
    with card.measuring(*names[:2]):
        records = [r for r in context.run.history if r["step"] <= context.run.model_step]
        if not records:
            raise NotMeasured("the run has no history.jsonl")
        seconds, seen, steps = (records[-1][key] for key in ("seconds", "samples", "step"))
        time = Estimate(seconds, None, None, steps)
        card.add("cost", names[0], time, "s", "steps", f"{seconds / 60:.1f} min")
        hours = seen / context.store.sample_rate / 3600
        samples = time._replace(value=seen)
        card.add("cost", names[1], samples, "samples", "steps", f"{hours:.2f} h of speech")
    card.add("cost", names[2], context.model.count_params(), "parameters", "model")


def _by_name(scores) -> dict:
    return {score.__name__.lstrip("_").removeprefix("score_"): score for score in scores}


CODE_SCORES = _by_name((*code_metrics.SCORES, unit_metrics.score_units, _score_cost))
AUDIO_SCORES = _by_name(audio_metrics.SCORES)  # these sample sounds first
SCORES = (*CODE_SCORES, *AUDIO_SCORES)
