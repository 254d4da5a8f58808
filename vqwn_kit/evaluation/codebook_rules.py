"""What is wrong with a codebook, from the history of a training.

Sources of the rules:
- a codebook collapses from a cold start, in which all frames are nearest to the same few codes, and
  codes that no frame takes get no gradient: [Lancucki 2020](https://arxiv.org/abs/2005.08520), who
  starts the codes from data, resets them and normalises over the batch; resets of dead codes are
  those of Jukebox, [Dhariwal 2020](https://arxiv.org/abs/2005.00341);
- z_e grows without limit where the codes do not learn as fast as the encoder; the commitment
  prevents it and works equally for weights of 0.1 to 2.0; moving averages (EMA) let the codes
  follow: [van den Oord 2017](https://arxiv.org/abs/1711.00937), section 3.2 and appendix A.1.
"""

import numpy as np

from vqwn_kit.evaluation.findings import (
    FEW,
    Finding,
    Remedy,
    TrainingFacts,
    is_cut,
    is_short,
    longer,
    short_training,
    smooth,
)

COLLAPSED = 0.04  # share of the codes that the perplexity of a collapsed codebook is below
FRAMES = 200  # of held-out speech, two seconds, below which few codes are no sign of a collapse
COLD = 2.0  # RMS of z_e in units of that of the codes, above which a start is cold
FELL_TO = 0.6  # of the codes in use at their most, below which codes die
FAR = 2.0  # RMS of z_e in units of that of the codes, above which z_e runs away
LEAST_COMMITMENT, HIGHEST_COMMITMENT = 0.1, 2.0  # weights, van den Oord 2017
COMMITMENT_SHARE = 0.2  # of the loss
MANY = 8  # lines of the history that a rule of a trend needs
PLACES = {"vq": "over the last lines", "held_out": "on held-out speech"}  # of a perplexity


def _collapsed(facts: TrainingFacts) -> Finding | None:
    """Few codes are used, and no more than before."""
    steps, perplexities = facts.series("vq/perplexity")
    limit = max(2.0, COLLAPSED * facts.size)
    split = _few_in_use(facts, perplexities, limit)
    if split is None:
        return None
    now = float(perplexities[-1]) if split == "vq" else facts.last["held_out/perplexity"]
    first_ratio = facts.ratios[1][0]
    few = "so that all frames are nearest to the same few codes"
    remedy = _against_collapse(facts)
    is_early = "ended" in facts.last and is_cut(facts.preset, facts.last["step"])
    if is_early or (len(perplexities) <= FEW and is_short(facts.preset, facts.last["step"])):
        cause = (
            f"{short_training(facts.preset, facts.last['step'])}; with more a codebook can recover"
        )
        remedy = longer(facts.preset)
    elif np.max(smooth(perplexities)) > 4 * limit:
        cause = "the codes were in use before: the encoder's outputs changed faster than the codes"
    elif facts.settings.get("initializer") != "data":
        size = " much smaller than the encoder's outputs" if first_ratio > COLD else ""
        cause = (
            f"a cold start: the codes start from random values{size}, {few}, and codes that no "
            "frame takes do not move"
        )
    else:
        cause = f"the encoder's outputs changed quickly after the codes' start from data, {few}"
    return Finding(
        "collapsed codebook",
        f"The codebook has collapsed: its perplexity is {now:.1f} of {facts.size} codes.",
        {
            f"perplexity {PLACES[split]}": now,
            "codes in use": f"{facts.last[f'{split}/codes_used']:.0f} of {facts.num_codes}",
            "RMS of z_e / codes at the first line": first_ratio,
        },
        cause,
        remedy,
        "vq/perplexity",
        int(steps[-1]),
    )


def _few_in_use(facts: TrainingFacts, perplexities: np.ndarray, limit: float) -> str | None:
    """Return where few codes are in use and no more than before, a key of `PLACES`, or None.

    Held-out speech at the last line is measured with the codebook as it is; the lines of training
    are of the steps between them, in which a codebook that fills is still nearly empty.
    """
    if not len(perplexities):
        return None
    few_lines, ended = len(perplexities) <= FEW, "ended" in facts.last
    before = perplexities[-1 - FEW : -1]
    recovers = len(before) > 0 and perplexities[-1] > 1.5 * np.median(before)
    if facts.last.get("held_out/frames", 0) >= FRAMES:
        waits = recovers and not ended or few_lines and facts.running
        return None if waits or facts.last["held_out/perplexity"] >= limit else "held_out"
    if (few_lines and not ended) or recovers:
        return None
    return "vq" if np.median(perplexities[-FEW:]) < limit else None


def _against_collapse(facts: TrainingFacts) -> Remedy:
    """Return the remedies of a collapse that the preset does not have yet."""
    changes: dict = {}
    if facts.settings.get("initializer") != "data":
        changes = facts.change_quantizer({"initializer": "data"})
    if facts.training.reset_dead_every is None:
        changes["reset_dead_every"] = 40
    if changes:
        return Remedy("start the codes from data, and reset dead codes", changes)
    return _following(facts)


def _following(facts: TrainingFacts) -> Remedy:
    """Return what lets the codes follow the encoder's outputs, that the preset does not have."""
    if facts.quantizer == "VectorQuantizer" and not facts.settings.get("joint"):
        return Remedy("let the codes follow by moving averages", facts.change_quantizer("ema"))
    if facts.quantizer.startswith("VectorQuantizer") and not facts.settings.get("batch_norm"):
        changes = facts.change_quantizer({"batch_norm": True})
        return Remedy("normalise z_e over the batch", changes)
    return Remedy("train with a lower learning rate", {"learning_rate": facts.slower})


def _dying(facts: TrainingFacts) -> Finding | None:
    """Fewer codes are used than before, and they do not come back."""
    steps, used = facts.series("vq/codes_used")
    if len(used) < MANY:
        return None
    level = smooth(used)
    most = int(np.argmax(level))
    if level[-1] > min(FELL_TO * level[most], 1.1 * level[-MANY // 2 :].min()):
        return None
    every = facts.training.reset_dead_every
    return Finding(
        "dead codes that grow",
        f"Codes die: {level[-1]:.0f} are in use, {level[most]:.0f} were at step "
        f"{steps[most]:,.0f}.",
        {"codes in use": f"{level[-1]:.0f} of {facts.num_codes}", "at their most": level[most]},
        "codes that no frame takes do not move, while the encoder's outputs do; "
        + (
            "nothing resets them" if every is None else f"a reset every {every} steps is too little"
        ),
        Remedy("reset dead codes", {"reset_dead_every": 40})
        if every is None or every > 40
        else _following(facts),
        "vq/codes_used",
        int(steps[most]),
    )


def _commitment_too_strong(facts: TrainingFacts) -> Finding | None:
    """The commitment outweighs the reconstruction."""
    cost, name = facts.settings.get("commitment_cost", 0.25), "vq/commitment"
    if name not in facts.last or len(facts.history) <= FEW or cost <= HIGHEST_COMMITMENT:
        return None
    commitment, loss = facts.recent(name), facts.recent("loss")
    share = commitment / max(loss, 1e-9)
    if share < COMMITMENT_SHARE:
        return None
    return Finding(
        "commitment too strong",
        f"The commitment is {100 * share:.0f} % of the loss: the encoder learns to stay near the "
        "codes instead of to describe the speech.",
        {"commitment_cost": cost, "commitment": commitment, "loss": loss},
        f"its weight of {cost:g} is above the range of 0.1 to 2, in which it makes no difference",
        Remedy("train with the usual weight", facts.change_quantizer({"commitment_cost": 0.25})),
        name,
        facts.last["step"],
    )


def _running_away(facts: TrainingFacts) -> Finding | None:
    """The encoder's outputs grow away from the codes."""
    steps, ratios = facts.ratios
    if len(ratios) < MANY:
        return None
    level, size = smooth(ratios), smooth(facts.series("vq/z_e_rms")[1])
    least = FEW - 1 + int(np.argmin(level[FEW - 1 :]))
    if level[-1] < max(FAR, 1.5 * level[least]) or size[-1] < 1.5 * size[least]:
        return None
    cost, remedy = facts.settings.get("commitment_cost", 0.25), _following(facts)
    if cost < LEAST_COMMITMENT and not facts.settings.get("joint"):
        changes = facts.change_quantizer({"commitment_cost": 0.25})
        remedy = Remedy("use the usual commitment", changes)
    elif facts.training.codebook_rate < 1:
        remedy = Remedy("let the codes learn as fast as the rest", {"codebook_rate": 1.0})
    return Finding(
        "z_e running away",
        f"The encoder's outputs run away from the codes: they are {level[-1]:.1f} times as large, "
        f"after {level[least]:.1f} times at step {steps[least]:,.0f}.",
        {
            "RMS of z_e": size[-1],
            "RMS of codes": size[-1] / level[-1],
            "ratio before": level[least],
        },
        "the codes do not learn as fast as the encoder, and nothing limits the size of z_e"
        + (f" (commitment_cost is {cost:g})" if cost < LEAST_COMMITMENT else ""),
        remedy,
        "vq/z_e_rms",
        int(steps[least]),
    )


# The first that applies is the cause of the others.
CODEBOOK_RULES = (_commitment_too_strong, _running_away, _collapsed, _dying)
