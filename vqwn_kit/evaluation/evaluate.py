"""A run, and speech that it never heard -> its score card."""

from pathlib import Path

import numpy as np

from vqwn_kit.data.corpus import Corpus
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.audio_metrics import keep, score_content, score_sound, score_voices, speak
from vqwn_kit.evaluation.code_metrics import (
    MOST_TRAIN,
    score_codebook,
    score_likelihood,
    score_phones,
    score_speakers,
)
from vqwn_kit.evaluation.context import EvaluationContext
from vqwn_kit.evaluation.metrics.measures import Estimate, NotMeasured
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.runs.codes import store_of
from vqwn_kit.runs.run import Run, load_run


def score_card(
    run: Run | str | Path,
    data: Store | Corpus | str | Path | None = None,
    *,
    spoken: int = 6,
    targets: int = 2,
    utterances: int | None = None,
    temperature: float = 1.0,
    originals: bool = True,
    seed: int = 0,
    progress: bool = True,
) -> ScoreCard:
    """Measure a run on held-out utterances.

    A first stage, which has no WaveNet, is spoken by Griffin and Lim's method: what is heard then
    is what its codes carry.

    Args:
        run: a run, its folder, or a checkpoint such as `results/mini/weights-1000`.
        data: the corpus, its folder or its store. By default the bundled corpus, VCTK or
            LibriSpeech in `data/`, if the run was trained on it.
        spoken: held-out utterances that are sampled, which is the slow part; 0 samples none.
        targets: other voices that each of those is converted to.
        utterances: held-out utterances for all else, evenly spread; all by default.
        temperature: of sampling.
        originals: keep the recordings among the card's sounds, beside what was made of them; not
            where they mustn't be passed on with a run.
        seed: of all choices and of sampling: the same seed gives the same card, but for the speed.
        progress: show progress bars with the time left.

    Returns:
        The card. Measures that can't be made are in its `skipped`, with the reason. The splits
        are the corpus's own: judged on `held_out`, probes and maps learnt on `train`.

    Raises:
        InputError: no such run or corpus, nothing held out, or none of its speakers in the run.

    Example:
        card = vq.score_card("results/mini", spoken=12, temperature=0.8)
        card.show()
        card.save("results/mini")
    """
    for name, value in {"spoken": spoken, "targets": targets}.items():
        if value < 0:
            raise InputError(f"{name}={value}: expected 0 or more")
    if utterances is not None and utterances < 1:
        raise InputError(f"utterances={utterances}: expected 1 or more, or None for all")
    if not temperature > 0:
        raise InputError(f"temperature={temperature}: expected more than 0")
    run = load_run(run)
    store = store_of(run, data, progress)
    subject = examine(run, store, utterances, seed, progress)
    card = ScoreCard({
        "run": run.folder.name,
        "step": run.newest,
        "corpus": store.corpus.name,
        "judged on": f"{len(subject.held_out)} utterances of split held_out",
        "learnt on": f"{len(subject.train)} of split train",
        "seed": seed,
    })  # fmt: skip
    if run.model.is_autoregressive:
        card.about["temperature"] = temperature
        if emphasis := run.model.decoder.codec.pre_emphasis:
            card.about["bits are of the sound emphasised by"] = emphasis
        score_likelihood(card, subject)
    else:
        card.skipped["likelihood"] = "a first stage tells mel bands, not samples"
        card.about["spoken by"] = "Griffin and Lim's method, from the bands of a first stage"
    score_codebook(card, subject)
    score_phones(card, subject)
    score_speakers(card, subject)
    _score_cost(card, subject)
    if spoken:
        sounds = speak(card, subject, spoken, targets, temperature)
        keep(card, subject, [s for s in sounds if originals or s.kind != "original"])
        score_content(card, subject, sounds)
        score_voices(card, subject, sounds)
        score_sound(card, subject, sounds)
    else:
        card.skipped["everything that is sampled"] = "spoken = 0"
    order = list(dict.fromkeys(row.section for row in card.rows if row.section != "cost"))
    card.rows.sort(key=lambda row: [*order, "cost"].index(row.section))
    return card


def examine(
    run: Run, store: Store, utterances: int | None = None, seed: int = 0, progress: bool = True
) -> EvaluationContext:
    """Return a run with the utterances that it is judged on; see `score_card`."""
    held_out = members(run, store, "held_out", utterances)
    return EvaluationContext(
        run, store, held_out, members(run, store, "train", MOST_TRAIN), seed, progress
    )


def members(run: Run, store: Store, split: str, most: int | None = None) -> np.ndarray:
    """Return numbers of utterances of a split whose speakers a run knows, evenly spread.

    Raises:
        InputError: there are none.
    """
    numbers = store.numbers(split)
    if not len(numbers):
        raise InputError(
            f"{store.corpus.folder} has no utterance in the split {split!r}; a score card "
            "needs both: name the split of each in an utterances.tsv"
        )
    known = [n for n in numbers if store.corpus.utterances[n].speaker in run.speakers]
    if not known:
        raise InputError(
            f"none of the speakers of {store.corpus.folder} is in {run.folder}, which knows "
            f"{', '.join(list(run.speakers)[:8])}: give the corpus that it was trained on"
        )
    places = np.linspace(0, len(known) - 1, min(most or len(known), len(known)))
    return np.array(known)[places.round().astype(int)]


def _score_cost(card: ScoreCard, subject: EvaluationContext) -> None:
    names = ("training time", "samples seen", "parameters")
    with card.measuring(*names[:2]):
        records = [r for r in subject.run.history if r["step"] <= subject.run.newest]
        if not records:
            raise NotMeasured("the run has no history.jsonl")
        once = Estimate(records[-1]["seconds"], None, None, records[-1]["step"])
        card.add("cost", names[0], once, "s", "steps", f"{once.value / 60:.1f} min")
        seen = once._replace(value=records[-1]["samples"])
        hours = seen.value / subject.store.sample_rate / 3600
        card.add("cost", names[1], seen, "samples", "steps", f"{hours:.2f} h of speech")
    card.add("cost", names[2], subject.model.count_params(), "parameters", "model")
