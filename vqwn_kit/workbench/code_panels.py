"""The facts about a code -> what its page says of them, in numbers for people."""

from collections.abc import Sequence

import numpy as np

from vqwn_kit.evaluation.code_profile import CodeProfile, CodeProfiles, Share
from vqwn_kit.evaluation.frames import FrameIndex
from vqwn_kit.evaluation.metrics import NotMeasured
from vqwn_kit.widgets.code_page import Panel, Row

LONGEST = 10  # frames; longer runs are one bar of the histogram
LIFT = "share, lift over all frames, frames"


def tiles_of(profile: CodeProfile, index: FrameIndex) -> list[tuple[str, str, str]]:
    """Return (name, value, remark) of what a page says first."""
    tiles = [("frames", f"{profile.count:,}", f"{profile.percent:.2g} % of all")]
    if not profile.count:
        return tiles
    for name, shares in (("phone", profile.phones), ("voice", profile.voices)):
        if shares:
            first = shares[0]
            remark = f"{100 * first.share:.0f} % of its frames, lift {lift_text(first.lift)}"
            tiles.append((f"most frequent {name}", first.name, remark))
    mean = 1000 * profile.lengths.mean() / index.context.frame_rate
    tiles.append(("duration", f"{mean:.0f} ms", f"mean of {len(profile.lengths):,} runs"))
    everywhere = np.median(index.frames.distances)
    remark = f"median; {everywhere:.2g} of all frames"
    return [*tiles, ("distance to the code", f"{np.median(profile.distances):.2g}", remark)]


def panels_of(profile: CodeProfile, profiles: CodeProfiles) -> list[Panel]:
    """Return the tables and histograms of a page."""
    near = [
        Row(
            other.name,
            other.distance,
            (f"{other.distance:#.3g}", other.phone),
            other.token,
            {"distance": other.distance, "phone": other.phone},
        )
        for other in profile.neighbours
    ]
    neighbours = Panel("Neighbours in the codebook", near, note="distance, most frequent phone")
    if not profile.count:
        return [neighbours]
    unknown = profiles.index.phones
    note = f"not known: {unknown}" if isinstance(unknown, NotMeasured) else LIFT
    changes = "share of changes, lift over all changes, changes, phone"
    panels = [
        Panel("Phones", _rows(profile.phones), note=note),
        Panel("Voices", _rows(profile.voices), note=LIFT),
        *(
            Panel(f"Place in the {kind}", _rows(shares), note=LIFT)
            for kind, shares in profile.places.items()
            if shares
        ),
        Panel("Codes before", _rows(profile.before, profiles), note=changes),
        Panel("Codes after", _rows(profile.after, profiles), note=changes),
        neighbours,
        _durations(profile.lengths, profiles.index.context.frame_rate),
        _distances(profile.distances, profiles),
    ]
    return [panel for panel in panels if panel.rows or panel.bars or panel.name == "Phones"]


def lift_text(lift: float) -> str:
    """Return a lift with two digits: `× 0.42`, `× 1.5`, `× 15`."""
    return f"× {lift:.{2 if lift < 0.995 else 1 if lift < 9.95 else 0}f}"


def _rows(shares: Sequence[Share], profiles: CodeProfiles | None = None) -> list[Row]:
    """Return rows of shares; of codes, with `profiles`, with their most frequent phones."""
    rows = []
    for part in shares:
        texts = (f"{100 * part.share:.0f} %", lift_text(part.lift), f"{part.count:,}")
        numbers = {"share": part.share, "lift": part.lift, "count": part.count}
        if profiles is not None:
            numbers["phone"] = profiles.most_frequent_phone(part.token)
            texts += (numbers["phone"],)
        rows.append(Row(part.name, part.share, texts, part.token, numbers))
    return rows


def _durations(lengths: np.ndarray, frame_rate: float) -> Panel:
    """Return the histogram of the lengths of runs in frames."""
    bars = np.bincount(np.minimum(lengths, LONGEST), minlength=LONGEST + 1)[1:] / len(lengths)
    ticks = [
        ((n - 0.5) / LONGEST, f"{1000 * n / frame_rate:.0f}" + ("+" if n == LONGEST else ""))
        for n in (1, 3, 5, 7, LONGEST)
    ]
    return Panel("Durations", bars=bars.tolist(), ticks=ticks, note="ms per run; share of runs")


def _distances(distances: np.ndarray, profiles: CodeProfiles) -> Panel:
    """Return the histogram of the distances of the code's frames, over that of all frames."""
    edges = profiles.edges
    own, everywhere = (
        np.histogram(np.minimum(values, edges[-1]), edges)[0] / values.size
        for values in (distances, profiles.index.frames.distances)
    )
    ticks = [(share, f"{share * edges[-1]:.2g}") for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    note = "from its frames to the code; grey: of all frames to their codes"
    bars = {"bars": own.tolist(), "behind": everywhere.tolist()}
    return Panel("Distances of frames", **bars, ticks=ticks, note=note)
