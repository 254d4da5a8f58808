"""Do the words come through? A rule for the phone error of a score card."""

from collections.abc import Mapping

from vqwn_kit.data.check import MINUTES
from vqwn_kit.evaluation.findings import (
    Finding,
    Remedy,
    in_first_stage,
    is_short,
    longer,
    short_training,
)
from vqwn_kit.files import counted
from vqwn_kit.presets.preset import Preset

LOST_WORDS = "lost words"
LOST = 0.4  # phone error above that of the recordings from which words are lost
PHONE_ERROR = "phone error, {}"  # of `original`, `reconstruction`, `conversion`
SENTENCES = "sentences of the reconstructions"  # beside the rows of a card: how many were judged


def understood(rows: Mapping[str, float]) -> str:
    """Return the phone error and its scale in one sentence; "" where it was not measured."""
    made, own = (rows.get(PHONE_ERROR.format(kind)) for kind in ("reconstruction", "original"))
    if made is None or own is None:
        return ""
    number = rows.get(SENTENCES)
    where = "" if number is None else f" in {counted(int(number), 'sentences')}"
    return (
        f"The phone error of its reconstructions is {made:.2f}{where}, that of the recordings "
        f"{own:.2f} (0: a recogniser gets all phones right; 1: none)."
    )


def lost_words(
    rows: Mapping[str, float], preset: Preset, step: int | None, minutes: float | None = None
) -> Finding | None:
    """Return that a recogniser does not understand the reconstructions, or None.

    Args:
        rows: values of a score card by name; without a phone error nothing is found.
        preset: that of the run.
        step: of its last update; None where that is not known.
        minutes: of speech in the training split; None where that is not known.
    """
    made, own = (rows.get(PHONE_ERROR.format(kind)) for kind in ("reconstruction", "original"))
    if made is None or own is None or made - own < LOST:
        return None
    finding = Finding(
        LOST_WORDS,
        f"The words do not come through: t{understood(rows).removeprefix('T')}",
        {"phone error, reconstructions": made, "phone error, recordings": own},
        *_cause_and_remedy(preset, step, minutes),
    )
    return in_first_stage(finding, preset)


def _cause_and_remedy(
    preset: Preset, step: int | None, minutes: float | None
) -> tuple[str, Remedy]:
    if step is not None and is_short(preset, step):
        return short_training(preset, step), longer(preset)
    if minutes is not None and minutes < MINUTES:
        return f"there are only {minutes:.1f} minutes of speech to train on", Remedy(
            f"add speech, to {MINUTES} minutes or more"
        )
    return (
        "the codes do not have the words, or the decoder does not make them of the codes",
        Remedy("see which of the two it is", command="vqwn evaluate RUN --links"),
    )
