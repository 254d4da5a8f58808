"""Judges of one claim that disagree: a score card, or two -> sentences that say so.

One judge can be flattered: sharper spectral peaks raise a predicted opinion score and help nobody
to understand the words. A change counts where independent judges of a claim move the same way.
"""

from typing import NamedTuple

from vqwn_kit.evaluation.metrics import Estimate, NotMeasured, paired_difference
from vqwn_kit.evaluation.score_card import ScoreCard


class Judge(NamedTuple):
    """A measure of the score card: the names of its rows, by kind of sound, and its direction."""

    name: str
    rows: str
    higher_is_better: bool


JUDGES = {  # by claim
    "quality": (
        Judge("DNSMOS P.808", "DNSMOS P.808, {}", True),
        Judge("Distill-MOS", "Distill-MOS, {}", True),
        Judge("spectral contrast error", "spectral contrast error, {}", False),
        Judge("mel-cepstral distance", "mel-cepstral distance, {}", False),
        Judge("phone error", "phone error, {}", False),
    ),
    "speaker": (
        Judge("the speaker probe", "speaker-probe accuracy, {}", True),
        Judge("an independent embedding", "{} nearest the target, independent embedding", True),
    ),
}
KINDS = ("reconstruction", "conversion")
BASELINES = ("original in levels", "original")  # what a card's own sounds are compared with


def disagreements(
    first: ScoreCard, second: ScoreCard | None = None, name: str = "the first card"
) -> list[str]:
    """Return a sentence for each claim whose judges do not say the same.

    The sounds of the second card are compared with those of the first; those of a single card with
    the recordings, rounded to the decoder's levels where it has levels. Differences are paired by
    sentence: a judge says better or worse where the 95 % interval of its mean difference excludes
    0. The judges of a claim disagree if one says better and another worse, or if some say either
    and others see no change.

    Args:
        first: a score card.
        second: another one, of the same sentences and voices; such as after a change.
        name: of the first card where there is a second.

    Returns:
        Sentences, none if all judges of each claim agree or fewer than two can be compared.

    Example:
        disagreements(vq.ScoreCard.load("results/mini"), vq.score_card("results/mini", sampled=30))
    """
    reference, sentences = "the recordings" if second is None else name, []
    for claim, judges in JUDGES.items():
        for kind in KINDS:
            pairs = [(judge, _difference(judge, kind, first, second)) for judge in judges]
            known = [(judge, change) for judge, change in pairs if change is not None]
            sentences += _disagreement(f"{claim} of {kind}s against {reference}", known)
    return sentences


def _difference(
    judge: Judge, kind: str, first: ScoreCard, second: ScoreCard | None
) -> Estimate | None:
    """Return the paired difference that a judge sees, or None where it cannot be measured."""
    before, after = ({row.name: row for row in card.rows} for card in (first, second or first))
    bases = [judge.rows.format(base) for base in ((kind,) if second else BASELINES)]
    base = next((before[name] for name in bases if name in before and before[name].sentences), None)
    row = after.get(judge.rows.format(kind))
    if base is None or row is None or (second and base.observed != row.observed):
        return None
    try:
        return paired_difference(base.sentences, row.sentences)
    except NotMeasured:
        return None


def _disagreement(what: str, differences: list[tuple[Judge, Estimate]]) -> list[str]:
    """Return a sentence if the judges disagree, in a list."""
    groups: dict[str, list[str]] = {"better": [], "worse": [], "no change": []}
    for judge, (value, low, high, _) in differences:
        says = "no change"
        if low > 0 or high < 0:
            says = "better" if (value > 0) == judge.higher_is_better else "worse"
        groups[says].append(f"{judge.name} ({value:+.2g}, {low:+.2g} to {high:+.2g})")
    opinions = [f"{says} by {', '.join(names)}" for says, names in groups.items() if names]
    return [f"The judges disagree on the {what}: {'; '.join(opinions)}."] if opinions[1:] else []
