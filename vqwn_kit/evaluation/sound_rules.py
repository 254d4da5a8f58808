"""Do the words come through? A rule for the phone error of a score card."""

from collections.abc import Mapping

from vqwn_kit.evaluation.findings import (
    Finding,
    Remedy,
    in_first_stage,
    is_short,
    longer,
    short_training,
)
from vqwn_kit.presets.preset import Preset

LOST = 0.4  # phone error above that of the recordings from which words are lost
PHONE_ERROR = "phone error, {}"  # of `original`, `reconstruction`, `conversion`


def lost_words(rows: Mapping[str, float], preset: Preset, step: int | None) -> Finding | None:
    """Return that a recogniser does not understand the reconstructions, or None.

    Args:
        rows: values of a score card by name; without a phone error nothing is found.
        preset: that of the run.
        step: of its last update; None where that is not known.
    """
    made, own = (rows.get(PHONE_ERROR.format(kind)) for kind in ("reconstruction", "original"))
    if made is None or own is None or made - own < LOST:
        return None
    finding = Finding(
        "lost words",
        f"The words do not come through: a recogniser gets {max(0.0, 1 - made):.0%} of the phones "
        f"of its reconstructions right, and {1 - own:.0%} of those of the recordings.",
        {"phone error, reconstructions": made, "phone error, recordings": own},
        *_cause_and_remedy(preset, step),
    )
    return in_first_stage(finding, preset)


def _cause_and_remedy(preset: Preset, step: int | None) -> tuple[str, Remedy]:
    if step is not None and is_short(preset, step):
        return short_training(preset, step), longer(preset)
    return (
        "the codes do not have the words, or the decoder does not make them of the codes",
        Remedy("see which of the two it is", command="vqwn evaluate RUN --links"),
    )
