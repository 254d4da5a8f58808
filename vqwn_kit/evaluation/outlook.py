"""Wait or stop? A run beside the reference curves, and the trend of its own curve."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.stats import theilslopes

from vqwn_kit.evaluation.findings import FEW, Finding, rate_is_high, rates_of, series
from vqwn_kit.evaluation.reference_curves import MEASURES, SLACK, Reference, is_source, reference_of
from vqwn_kit.presets.preset import Preset

EARLY = 0.1  # share of a reference's steps before which nothing is said
LITTLE = 0.01  # fall of a loss, as a share of it, that is no improvement
CERTAIN = 0.02  # most uncertainty of a fall, as a share of the loss, to say that there is none
LEAST = {"held_out": (3, 0.2), "training": (12, 0.5)}  # points, and share of the steps, of a trend
MOST = 100  # points of a curve whose trend is computed, in a time that grows as their cube
# Least lines with a loss that is judged; the first that has them is.
LOSSES = {"held_out/bits": FEW, "held_out/mse": FEW, "bits": 1, "mel/mse": 1}
HOPELESS = (  # findings that more steps do not cure
    "NaN",
    "learning rate too high",
    "collapsed codebook",
    "z_e running away",
    "commitment too strong",
)
STATES = {"expected": "As expected", "better": "Better than expected", "behind": "Behind"}


@dataclass(frozen=True)
class Trend:
    """Whether a loss still falls: `improving`, `stopped` or `unknown`, since which step.

    `fall` is the fall from that step to the end, as a share of the loss at that step, by the line
    of Theil and Sen through log(loss) over log(step).
    """

    kind: str = "unknown"
    since: int | None = None
    fall: float = 0.0


@dataclass(frozen=True)
class Outlook:
    """Whether to wait or to stop.

    Attributes:
        sentence: the answer.
        state: `early`, `expected`, `better`, `behind` or `unknown`: beside the reference.
        trend: of the loss that was judged.
        measure: the name in the history of what was judged, or "".
        reference: what it was compared with, or None.
    """

    sentence: str
    state: str = "early"
    trend: Trend = Trend()
    measure: str = ""
    reference: Reference | None = None


def _thinned(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return at most `MOST` points of a curve: the medians of neighbours, and its last step."""
    if len(steps) <= MOST:
        return steps, values
    last = np.array([part[-1] for part in np.array_split(steps, MOST)])
    return last, np.array([np.median(part) for part in np.array_split(values, MOST)])


def trend_of(steps: np.ndarray, values: np.ndarray, what: str) -> Trend:
    """Return whether a loss still falls.

    It is improving if it falls over its last third by more than `LITTLE` and than half the 95 %
    interval of that fall. It has stopped at the first step from which it falls by less than
    `LITTLE`, if half that interval is below `CERTAIN`.

    Args:
        steps: (n,), rising.
        values: (n,), above 0.
        what: key of `LEAST`.
    """
    (fewest, tail), (steps, values) = LEAST[what], _thinned(steps, values)
    if len(steps) < fewest:
        return Trend()
    third = min(int(np.searchsorted(steps, steps[-1] * 2 / 3)), len(steps) - fewest)
    fall, error, _ = _fall(steps[third:], values[third:])
    if fall > max(LITTLE, error):
        return Trend("improving", int(steps[third]), fall)
    for first in range(len(steps) - fewest + 1):
        if steps[-1] - steps[first] < tail * steps[-1]:
            break
        fall, error, above = _fall(steps[first:], values[first:])
        if max(fall, above) <= LITTLE and error <= CERTAIN:
            return Trend("stopped", int(steps[first]), fall)
    return Trend()


def _fall(steps: np.ndarray, values: np.ndarray) -> tuple[float, float, float]:
    """Return the fall of a loss over a stretch, its 95 % limit, and how far it starts above.

    All are shares: the fall of the line of Theil and Sen, half the width of its interval, and the
    height of the first point above that line, less twice the deviation of the points: a steep part
    at the start hardly changes the line.
    """
    x, y = np.log(steps), np.log(values)
    slope, intercept, *limits = theilslopes(y, x)
    rest = y - intercept - slope * x
    fall, *ends = -np.expm1(np.array([slope, *limits]) * (x[-1] - x[0]))
    above = rest[0] - 2.0 * 1.4826 * np.median(np.abs(rest))
    return float(fall), float(abs(ends[0] - ends[1]) / 2), float(above)


def outlook_of(
    history: list[dict],
    preset: Preset,
    corpus: str = "",
    findings: Iterable[Finding] = (),
    running: bool = False,
) -> Outlook:
    """Return whether to wait or to stop, from a history that may still grow.

    Args:
        history: records of a `Run.history`.
        preset: that of the run.
        corpus: its name; curves of another corpus cannot be compared.
        findings: of the same history, see `findings_of`.
        running: whether the training still runs.
    """
    name, steps, values = _judged(history)
    if any(finding.kind in HOPELESS and finding.remedy.changes for finding in findings):
        return Outlook("Stop: the findings say what to change; more steps do not help.", "behind")
    if len(values) < FEW:
        return Outlook(f"Too early to say: the history has fewer than {FEW} lines with a loss.")
    reference = reference_of(preset, corpus)
    state, standing = _standing(history, reference)
    trend = trend_of(steps, values, "held_out" if name.startswith("held_out") else "training")
    ended = "ended" in history[-1] or steps[-1] >= preset.training.steps
    if ended and not running:
        advice = _at_the_end(history, preset, trend)
    else:
        advice = _on_the_way(history, preset, trend, running)
    texts = (standing, _trend_text(MEASURES[name], steps, trend), advice)
    return Outlook(" ".join(filter(None, texts)), state, trend, name, reference)


def _judged(history: list[dict]) -> tuple[str, np.ndarray, np.ndarray]:
    """Return name, steps and values of the loss that is judged: held-out, where it is measured."""
    for name, fewest in LOSSES.items():
        steps, values = series(history, name)
        steps, values = steps[values > 0], values[values > 0]
        if len(values) >= fewest:
            return name, steps, values
    return "", np.array([]), np.array([])


def _standing(history: list[dict], reference: Reference | None) -> tuple[str, str]:
    """Return how the run stands beside its reference, and the sentence."""
    last = history[-1]
    if reference is None:
        return "unknown", "There is no reference for these settings on this corpus."
    if is_source(history, reference):
        return "expected", f"It is the reference run of `{reference.preset}`."
    for name in LOSSES:
        steps, values = series(history, name)
        curve = reference.curves.get(name)
        if curve is None or not len(values) or steps[-1] < EARLY * curve.steps[-1]:
            continue
        held_out = name.startswith("held_out")
        if held_out and steps[-1] < last["step"] / SLACK:
            continue  # measured too long ago
        recent = 1 if held_out else FEW
        step, value = np.median(steps[-recent:]), np.median(values[-recent:])
        low, high = curve.at(step)
        state = "behind" if value > high else "better" if value < low else "expected"
        where = f"at step {last['step']:,} (minute {last.get('seconds', 0.0) / 60:.1f} of this run)"
        runs = "one run" if reference.runs == 1 else f"{reference.runs} runs"
        band = f"{low:.3g} to {high:.3g} in {runs} of `{reference.preset}`"
        end = f", which ended at step {curve.steps[-1]:,.0f}" if step > curve.steps[-1] else ""
        text = f"{STATES[state]} {where}: {MEASURES[name]} {value:.3g}, {band}{end}."
        if state == "behind":
            text += " The findings, or changed training settings of the preset, may say why."
        return state, text
    return "early", ""


def _trend_text(measure: str, steps: np.ndarray, trend: Trend) -> str:
    if trend.since is None:
        return ""
    ago, little = f"{steps[-1] - trend.since:,.0f} steps", f"{100 * LITTLE:.0f} %"
    if trend.kind == "stopped":
        return f"Stopped improving {ago} ago: {measure} fell by less than {little} since."
    return f"Still improving: {measure} fell by {100 * trend.fall:.1f} % in the last {ago}."


def _at_the_end(history: list[dict], preset: Preset, trend: Trend) -> str:
    """Return what to do after the end of the schedule."""
    steps, spent = preset.training.steps, history[-1]["step"]
    cut = f", after {spent:,} of {steps:,} steps, as its time was spent" if spent < steps else ""
    text = f"Its schedule is at its end{cut}: "
    if trend.kind == "stopped":
        return f"{text}more steps bring little."
    longer = f"{text}a longer training, from the start, is likely to be better."
    return longer if trend.kind == "improving" or cut else f"{text[:-2]}."


def _on_the_way(history: list[dict], preset: Preset, trend: Trend, running: bool) -> str:
    """Return what to do before the end of the schedule."""
    wait = "Wait" if running else "Wait, or resume it if it was stopped"
    if trend.kind != "stopped":
        return f"{wait}."
    if rate_is_high(history[-1], preset.training):
        share = history[-1]["learning_rate"] / rates_of(preset.training)[0]
        now = f"still {100 * share:.0f} % of its highest"
        return f"{wait}: the learning rate is {now}, and the loss may fall again with it."
    if isinstance(preset.training.learning_rate, dict):
        return "Stop: the learning rate has fallen."
    return "Stop, or train again with a learning rate that falls."
