"""Curves of runs that went well, with bands: `reference_curves.json`.

`scripts/make_reference_curves.py` makes the file. Runs are compared step by step, since machines
differ in speed.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from vqwn_kit.presets.preset import Preset
from vqwn_kit.presets.training_config import PARTS

FILE = Path(__file__).with_name("reference_curves.json")
MEASURES = {  # of the history: its name in a sentence
    "held_out/bits": "held-out bits per sample",
    "held_out/mse": "held-out mel error",
    "bits": "bits per sample in training",
    "mel/mse": "mel error in training",
    "vq/codes_used": "codes in use",
    "vq/perplexity": "perplexity of the codes",
}
LEAST_BAND = 0.05  # least width of a band below and above the curves, as a share
BAND = 2.0  # width of a band below and above the curves, in deviations of the noise
USUAL_NOISE = 0.03  # of log(loss) from line to line
SLACK = 1.25  # a run may be later or earlier by this factor of the steps


@dataclass(frozen=True)
class Curve:
    """A measure over the steps in runs that went well: float (n,) each."""

    steps: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def at(self, step: float) -> tuple[float, float]:
        """Return low and high at a step, between points along log(step); at the ends constant."""
        x, points = np.log(max(step, 1.0)), np.log(self.steps)
        return float(np.interp(x, points, self.low)), float(np.interp(x, points, self.high))


@dataclass(frozen=True)
class Reference:
    """Curves of runs of a preset that went well.

    Attributes:
        preset: its name.
        corpus: its name.
        parts: encoder, bottleneck and decoder of these runs, as `compared_parts` returns them.
        runs: how many there are.
        source: their folders.
        minutes: (step, minutes) of the first run.
        phone_error: (step, phone error of reconstructions) where it was measured.
        curves: `Curve` by measure.
    """

    preset: str
    corpus: str
    parts: dict
    runs: int
    source: str
    minutes: list
    phone_error: list
    curves: dict[str, Curve]


@cache
def reference_curves() -> tuple[Reference, ...]:
    """Return the reference curves that are shipped."""
    references = []
    for entry in json.loads(FILE.read_text(encoding="utf-8")):
        curves = {
            name: Curve(*(np.array(curve[key], float) for key in ("steps", "low", "high")))
            for name, curve in entry.pop("curves").items()
        }
        references.append(Reference(curves=curves, **entry))
    return tuple(references)


def reference_of(preset: Preset, corpus: str) -> Reference | None:
    """Return the reference of a run, or None: only settings of its training may differ."""
    given = (preset.name, corpus, compared_parts(preset))
    for reference in reference_curves():
        if given == (reference.preset, reference.corpus, reference.parts):
            return reference
    return None


def compared_parts(preset: Preset) -> dict:
    """Return the parts of a preset as in JSON, without what is applied after sampling."""
    parts = json.loads(json.dumps({name: getattr(preset, name) for name in PARTS}))
    decoder = parts["decoder"]["config"]
    for name in ("contrast", "match_bands", "pitch_postfilter"):
        decoder.pop(name, None)
    codec = decoder.get("codec", {}).get("config", {})
    for name in ("postfilter", "high_pass"):
        codec.pop(name, None)
    return parts


def is_source(history: list[dict], reference: Reference) -> bool:
    """Return whether a reference was made of this run alone."""
    minutes = {r["step"]: round(r.get("seconds", 0.0) / 60, 2) for r in history}
    known = [point for point in reference.minutes if point[0] <= history[-1]["step"]]
    return reference.runs == 1 and bool(known) and all(minutes.get(s) == m for s, m in known)


def band_of(runs: list[tuple[np.ndarray, np.ndarray]], noise: float | None = None) -> Curve:
    """Return the band of a measure over runs.

    Args:
        runs: (steps, values), float (n,) each, of each run; values above 0.
        noise: deviation of log(values); by default that from line to line, see `noise_of`.

    Returns:
        At the steps of the first run the least and the largest value of all runs within `SLACK`
        of the step, wider by `BAND` deviations of the noise and by at least `LEAST_BAND`.
    """
    steps = np.log(runs[0][0])
    logs = [(np.log(x), np.log(_centred(y))) for x, y in runs]
    if noise is None:
        noise = float(np.median([noise_of(y) for _, y in runs]))
    half = max(BAND * noise, np.log1p(LEAST_BAND))
    shifts = np.log(SLACK) * np.linspace(-1.0, 1.0, 9)
    near = [[np.interp(steps + shift, x, y) for x, y in logs] for shift in shifts]
    low, high = np.min(near, axis=(0, 1)) - half, np.max(near, axis=(0, 1)) + half
    return Curve(runs[0][0], np.exp(low), np.exp(high))


def _centred(values: np.ndarray, width: int = 5) -> np.ndarray:
    """Return the median of each value and its neighbours, as many on either side, float (n,)."""
    half = [min(width // 2, n, len(values) - 1 - n) for n in range(len(values))]
    return np.array([np.median(values[n - h : n + h + 1]) for n, h in enumerate(half)])


def noise_of(values: np.ndarray) -> float:
    """Return the robust deviation of log(values) from line to line, of their second differences.

    Of fewer than 10 values, in which the fall of the curve is as large, it is `USUAL_NOISE`.
    """
    if len(values) < 10:
        return USUAL_NOISE
    second = np.diff(np.log(values), 2) / np.sqrt(6.0)  # of unit variance for white noise
    return float(1.4826 * np.median(np.abs(second)))
