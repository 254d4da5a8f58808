"""The figure of a corpus: how much speech of whom, how long, how loud."""

from collections.abc import Sequence

import numpy as np

from vqwn_kit.files import counted
from vqwn_kit.plots.style import BLUE, GREEN, GREY, ORANGE, sized_figure


def plot_corpus(
    minutes: dict[str, float],
    seconds: Sequence[float],
    levels: Sequence[float],
    rates: Sequence[int],
    figure=None,
):
    """Draw minutes by speaker, and the lengths, levels and sample rates of the recordings.

    Args:
        minutes: of sound, by speaker.
        seconds: length of each recording.
        levels: RMS of each recording, in dBFS.
        rates: sample rate of each recording, in Hz.
        figure: a matplotlib figure to draw on.

    Returns:
        The figure.
    """
    figure = sized_figure(figure, 9.0, 6.0)
    (by_speaker, by_length), (by_level, by_rate) = figure.subplots(2, 2)
    names = sorted(minutes, key=lambda name: -minutes[name])
    heights = [minutes[name] for name in names]
    by_speaker.bar(np.arange(len(names)), heights, color=BLUE)
    title = f"{counted(len(names), 'speakers')}, {sum(heights):.1f} minutes"
    by_speaker.set(ylabel="minutes", title=title, xlim=(-1, len(names)))
    if len(names) <= 20:
        style = {"rotation": 45, "ha": "right", "rotation_mode": "anchor", "parse_math": False}
        by_speaker.set_xticks(np.arange(len(names)), names, **style)
    else:
        by_speaker.set_xlabel("speakers, by minutes of speech")
    bins = min(40, max(5, int(np.sqrt(len(seconds)))))
    by_length.hist(seconds, bins, color=GREEN)
    by_length.set(xlabel="length without silence at both ends (s)", ylabel="recordings")
    by_level.hist(levels, bins, color=ORANGE)
    by_level.set(xlabel="level (RMS, dBFS)", ylabel="recordings")
    by_level.locator_params(axis="x", nbins=6)
    kinds, counts = np.unique(np.asarray(rates, int), return_counts=True)
    by_rate.bar([f"{rate / 1000:g}" for rate in kinds], counts, color=GREY)
    by_rate.set(xlabel="sample rate (kHz)", ylabel="recordings", xlim=(-1, len(kinds)))
    return figure
