"""A run and held-out utterances -> its score card."""

from pathlib import Path

from vqwn_kit.data.corpus import Corpus
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError
from vqwn_kit.evaluation import audio_metrics, code_metrics
from vqwn_kit.evaluation.context import EvaluationContext, evaluation_context
from vqwn_kit.evaluation.metrics import Estimate, NotMeasured
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.runs.corpus_of import store_of
from vqwn_kit.runs.run import Run, load_run


def score_card(
    run: Run | str | Path,
    data: Store | Corpus | str | Path | None = None,
    *,
    sampled: int = 6,
    targets: int = 2,
    utterances: int | None = None,
    temperature: float = 1.0,
    originals: bool = True,
    seed: int = 0,
    progress: bool = True,
) -> ScoreCard:
    """Measure a run on held-out utterances.

    A first stage, which has no WaveNet, is synthesised by the method of Griffin and Lim.

    Args:
        run: a run, its folder, or a checkpoint such as `results/mini/weights-1000`.
        data: the corpus, its folder or its store. By default the bundled corpus, VCTK or
            LibriSpeech in `data/`, if the run was trained on it.
        sampled: held-out utterances that are sampled, which is the slow part; 0 samples none.
        targets: other speakers that each of those is converted to.
        utterances: held-out utterances for all other measures, evenly spread; all by default.
        temperature: of sampling.
        originals: keep the recordings among the card's sounds; False where they may not be
            passed on with a run.
        seed: of all choices and of sampling: the same seed gives the same card, except the speed.
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
    _check_counts(sampled, targets, utterances, temperature)
    run = load_run(run)
    store = store_of(run, data, progress)
    context = evaluation_context(run, store, utterances, seed, progress)
    card = ScoreCard(_about(context, temperature))
    for score in (*code_metrics.SCORES, _score_cost):
        score(card, context)
    if sampled:
        sounds = audio_metrics.sample_sounds(card, context, sampled, targets, temperature)
        kept = [sound for sound in sounds if originals or sound.kind != "original"]
        audio_metrics.keep(card, context, kept)
        for score in audio_metrics.SCORES:
            score(card, context, sounds)
    else:
        card.skipped["everything that is sampled"] = "sampled = 0"
    order = list(dict.fromkeys(row.section for row in card.rows if row.section != "cost"))
    card.rows.sort(key=lambda row: [*order, "cost"].index(row.section))
    return card


def _check_counts(sampled: int, targets: int, utterances: int | None, temperature: float) -> None:
    counts = {"sampled": (sampled, 0), "targets": (targets, 0), "utterances": (utterances, 1)}
    for name, (value, least) in counts.items():
        if value is not None and value < least:
            raise InputError(f"{name}={value}: expected {least} or more")
    if not temperature > 0:
        raise InputError(f"temperature={temperature}: expected more than 0")


def _about(context: EvaluationContext, temperature: float) -> dict[str, str | int | float]:
    """Return the facts that stand at the head of the card."""
    about = {
        "run": context.run.folder.name,
        "step": context.run.newest,
        "corpus": context.store.corpus.name,
        "judged on": f"{len(context.held_out)} utterances of split held_out",
        "learnt on": f"{len(context.train)} of split train",
        "seed": context.seed,
    }
    if not context.model.is_autoregressive:
        return about | {"synthesised by": "Griffin and Lim's method, from predicted mel bands"}
    about["temperature"] = temperature
    if pre_emphasis := context.model.decoder.codec.pre_emphasis:
        about["bits are of the sound with pre-emphasis"] = pre_emphasis
    return about


def _score_cost(card: ScoreCard, context: EvaluationContext) -> None:
    names = ("training time", "samples seen", "parameters")
    with card.measuring(*names[:2]):
        records = [r for r in context.run.history if r["step"] <= context.run.newest]
        if not records:
            raise NotMeasured("the run has no history.jsonl")
        seconds, seen, steps = (records[-1][key] for key in ("seconds", "samples", "step"))
        time = Estimate(seconds, None, None, steps)
        card.add("cost", names[0], time, "s", "steps", f"{seconds / 60:.1f} min")
        hours = seen / context.store.sample_rate / 3600
        samples = time._replace(value=seen)
        card.add("cost", names[1], samples, "samples", "steps", f"{hours:.2f} h of speech")
    card.add("cost", names[2], context.model.count_params(), "parameters", "model")
