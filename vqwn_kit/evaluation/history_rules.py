"""What is wrong with a training, from its history and its preset alone: no model is needed.

Rules of the codebook are in `codebook_rules.py`.
"""

import numpy as np

from vqwn_kit.data.audio import SAMPLE_RATE
from vqwn_kit.evaluation.codebook_rules import CODEBOOK_RULES
from vqwn_kit.evaluation.findings import (
    FEW,
    Finding,
    Remedy,
    TrainingFacts,
    in_first_stage,
    is_short,
    longer,
    short_training,
    smooth,
)
from vqwn_kit.presets.preset import Preset

DIVERGED = 1.3  # of the least loss
WORSE = 1.25  # bits in units of those of equally likely levels, which no learning passes
SPIKE = 1.5  # of the median of the lines before
OVERFITTED = 0.02  # share by which the held-out loss rises above its least
GAP = 0.1  # share by which the held-out loss is above that of training
VISITS = 30  # of each second of speech


def findings_of(
    history: list[dict],
    preset: Preset,
    minutes_of_speech: float | None = None,
    running: bool = False,
    bits_before: float | None = None,
) -> list[Finding]:
    """Return what is wrong with a training, the cause before what follows from it.

    Args:
        history: records of a `Run.history`, which may still grow; times in seconds.
        preset: that of the run (of a first stage its own).
        minutes_of_speech: in the training split; None where it is not known.
        running: whether the training still runs, so that its schedule is not cut short.
        bits_before: per sample of held-out speech before training; None where it is not known.

    Returns:
        The findings; none where nothing is wrong, or where it is too early to say.

    Example:
        findings_of(run.history, run.preset)[0].remedy.copied   # '--set reset_dead_every=40'
    """
    if not history:
        return []
    facts = TrainingFacts(history, preset, minutes_of_speech, running)
    finding = _not_finite(facts) or _learning_rate_too_high(facts)
    if finding is not None:  # what else is wrong follows from it
        return [in_first_stage(finding, preset)]
    of_codebook = (rule(facts) for rule in CODEBOOK_RULES if facts.moves)
    found = [next(filter(None, of_codebook), None), *(rule(facts) for rule in RULES)]
    found.append(_nothing_learned(facts, bits_before))
    return [in_first_stage(finding, preset) for finding in found if finding is not None]


def _not_finite(facts: TrainingFacts) -> Finding | None:
    names = [name for name in ("loss", facts.loss) if name in facts.last]
    bad = [r for r in facts.history if not all(np.isfinite(r.get(name, 0.0)) for name in names)]
    if not bad or bad[-1] is not facts.last:  # a loss that was infinite once can recover
        return None
    step = bad[0]["step"]
    return Finding(
        "NaN",
        f"The loss is not a number from step {step:,} on: the weights are lost.",
        {"first step without a loss": step, "learning rate": bad[0].get("learning_rate", "")},
        "a step was so large that a value overflowed, as with a learning rate that is too high or "
        "gradients that are not clipped; or the speech has values that are not finite",
        Remedy(
            "train again with a lower learning rate and clipped gradients; `vqwn check` "
            "names recordings with values that are not finite",
            {"learning_rate": facts.slower, "clip_norm": 1.0},
        ),
        facts.loss,
        step,
    )


def _learning_rate_too_high(facts: TrainingFacts) -> Finding | None:
    steps, losses = facts.series(facts.loss)
    if len(losses) <= FEW:
        return None
    level = smooth(losses)
    best, now = FEW - 1 + int(np.argmin(level[FEW - 1 :])), level[-1]
    before = smooth(losses, 5)[:-1]
    spikes = steps[1:][losses[1:] > SPIKE * before]
    guessing = facts.loss == "bits" and losses.max() > WORSE * facts.uniform
    if now < DIVERGED * level[best] and len(spikes) < FEW and not guessing:
        return None
    rates = [record["learning_rate"] for record in facts.history if "learning_rate" in record]
    where = int(spikes[0] if len(spikes) else steps[best])
    verdict = f"The loss does not fall steadily: it jumps or rises from step {where:,} on."
    numbers = {facts.loss: now, "least loss": level[best], "spikes": len(spikes)}
    if guessing:
        where, numbers["all levels equally likely"] = int(steps[np.argmax(losses)]), facts.uniform
        verdict = f"The loss jumps at step {where:,}, to worse than guessing."
    changes = {"learning_rate": facts.slower}
    changes |= {} if facts.training.clip_norm else {"clip_norm": 1.0}
    return Finding(
        "learning rate too high",
        verdict,
        {**numbers, "highest learning rate": max(rates, default="")},
        "the steps are so large that they leave the region in which the gradient is right",
        Remedy("train again with a lower learning rate", changes),
        facts.loss,
        where,
    )


def _overfitting(facts: TrainingFacts) -> Finding | None:
    """The held-out loss rises while that of training falls."""
    steps, losses = facts.series(facts.held_out)
    if len(losses) <= FEW:
        return None
    best = int(np.argmin(losses))
    train_steps, train = facts.series(facts.loss)
    around = np.argsort(np.abs(train_steps - steps[best]))[:FEW]
    then, now = train[around].mean(), train[-FEW:].mean()
    if losses[-FEW:].min() < (1 + OVERFITTED) * losses[best] or now >= then:
        return None
    return Finding(
        "overfitting",
        f"The model overfits: since step {steps[best]:,.0f} the held-out loss rises, while the "
        "loss of training falls.",
        {
            "least held-out loss": losses[best],
            "held-out loss now": losses[-1],
            "loss of training then": then,
            "loss of training now": now,
        },
        "the model memorises the training speech: there is too little of it for so many steps",
        Remedy("end where the held-out loss was least, or add speech", {"steps": int(steps[best])}),
        facts.held_out,
        int(steps[best]),
    )


def _nothing_learned(facts: TrainingFacts, before: float | None) -> Finding | None:
    """Held-out speech is predicted no better than before training."""
    after = facts.last.get("held_out/bits")
    if before is None or after is None or after < before:
        return None
    step, slower = facts.last["step"], {"learning_rate": facts.slower}
    cause, remedy = (
        "the steps are too large, or there is too little speech",
        Remedy("first follow the other findings; else train with a lower learning rate", slower),
    )
    if is_short(facts.preset, step):
        cause, remedy = short_training(facts.preset, step), longer(facts.preset)
    return Finding(
        "nothing learned",
        f"Nothing was learned: held-out speech has {after:.2f} bits per sample, and had "
        f"{before:.2f} before training.",
        {"held-out bits": after, "before training": before},
        cause,
        remedy,
        "held_out/bits",
        step,
    )


def _cut_short(facts: TrainingFacts) -> Finding | None:
    """The training was stopped while its learning rate was still high."""
    last = facts.last
    stopped = not facts.running and "ended" not in last and last["step"] < facts.training.steps
    if not stopped or not facts.rate_is_high:
        return None
    return Finding(
        "schedule cut short",
        f"The history ends at step {last['step']:,} of {facts.training.steps:,}, before the "
        "learning rate has fallen.",
        {"learning rate": last["learning_rate"], "at the end of its schedule": facts.rates[1]},
        "with a high learning rate the weights move around the minimum; the last part of the "
        "schedule, where the rate falls, brings a large share of the improvement",
        Remedy(
            "wait, if it still runs; if it was stopped, resume it",
            command="vqwn train DATASET --restore RUN",
        ),
        facts.loss,
        last["step"],
    )


def _too_little_speech(facts: TrainingFacts) -> Finding | None:
    """The same speech was visited often, and held-out speech is predicted much worse."""
    minutes, held_out = facts.minutes_of_speech, facts.series(facts.held_out)[1]
    # With LPC filters predicted on held-out speech only, the two losses cannot be compared.
    if not minutes or not len(held_out) or (facts.lpc and facts.loss == "bits"):
        return None
    visits = facts.last["samples"] / (SAMPLE_RATE * 60 * minutes)
    loss = facts.recent(facts.loss)
    gap = held_out[-1] / loss - 1
    if visits < VISITS or gap < GAP:
        return None
    return Finding(
        "too little speech",
        f"There is too little speech: its {minutes:.1f} minutes were visited {visits:.0f} times, "
        f"and the held-out loss is {100 * gap:.0f} % above that of training.",
        {
            "minutes of speech": minutes,
            "visits": visits,
            "loss of training": loss,
            "held-out loss": held_out[-1],
        },
        "the model learns its few sentences instead of speech in general",
        Remedy(
            "add speech (20 minutes or more); meanwhile vary the crops in loudness and position",
            {"gain_db": 3.0, "shift": 160},
        ),
        facts.held_out,
        facts.last["step"],
    )


RULES = (_overfitting, _too_little_speech, _cut_short)
