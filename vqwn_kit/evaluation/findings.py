"""What the doctor finds: a verdict, its evidence, its cause, and a remedy that can be copied."""

import json
import math
import shlex
from dataclasses import dataclass, field, replace

import numpy as np

from vqwn_kit.presets.preset import Preset, load_preset, preset_names
from vqwn_kit.presets.training_config import PARTS, TrainingConfig

HIGHEST_RATE = 1e-3  # learning rate of Adam that is safe for these models
MOVING = (  # quantizers whose codes move
    "VectorQuantizer",
    "VectorQuantizerEMA",
    "SimVQ",
    "ClusteringQuantizer",
    "SoftmaxBottleneck",
)
FEW = 3  # lines of the history that a level is taken from
SHORT = 0.5  # share of the steps of a schedule below which a training was short
FEW_STEPS = 300  # below which any training was short: that of `mini` fills its codebook in so many
CUT_SHORT = 2.0  # learning rate in units of that at the end of its schedule, which is high


@dataclass(frozen=True)
class Remedy:
    """What to change in the next run, or what to do with this one.

    Attributes:
        text: what to do, in one sentence.
        changes: keywords of `Preset.change`; empty where nothing of the preset is to be changed.
        command: what continues or repairs this run, where it is not a change of the preset.
    """

    text: str
    changes: dict = field(default_factory=dict)
    command: str = ""

    @property
    def copied(self) -> str:
        """The remedy for the command line, such as `--set reset_dead_every=40`, or the command."""
        if not self.changes:
            return self.command
        return f"--set {' '.join(shlex.quote(text) for text in as_texts(self.changes))}"


def as_texts(changes: dict) -> list[str]:
    """Return changes of a preset as `parse_changes` reads them, such as `bottleneck.joint=true`."""
    texts = []
    for name, value in changes.items():
        if isinstance(value, dict) and name.partition(".")[0] in PARTS:
            texts += as_texts({f"{name}.{key}": setting for key, setting in value.items()})
        else:
            texts.append(f"{name}={value if isinstance(value, str) else json.dumps(value)}")
    return texts


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a run.

    Attributes:
        kind: short name, such as `collapsed codebook`.
        verdict: what is wrong, in one sentence.
        evidence: the numbers that show it, by name.
        cause: why it happens.
        remedy: what to do.
        measure: the name in the history of the curve that shows it, or "".
        step: where on that curve, or None.
    """

    kind: str
    verdict: str
    evidence: dict[str, float | int | str]
    cause: str
    remedy: Remedy
    measure: str = ""
    step: int | None = None

    def lines(self) -> list[str]:
        """Return verdict, evidence, cause and remedy as lines of text."""
        numbers = "; ".join(f"{name} {shown(value)}" for name, value in self.evidence.items())
        lines = [self.verdict, f"  evidence: {numbers}", f"  cause: {self.cause}"]
        lines.append(f"  remedy: {self.remedy.text}")
        return lines + ([f"          {self.remedy.copied}"] if self.remedy.copied else [])


def is_cut(preset: Preset, step: int) -> bool:
    """Return whether a training has less than half of its schedule behind it."""
    return step < SHORT * preset.training.steps


def is_short(preset: Preset, step: int) -> bool:
    """Return whether a training has taken few steps, or less than half of its schedule."""
    return step < FEW_STEPS or is_cut(preset, step)


def longer(preset: Preset) -> Remedy:
    """Return the advice to train for longer."""
    return Remedy(
        "train for longer, half an hour or more, before anything else is changed",
        command=f"vqwn train DATASET --preset {preset.name} --minutes 30",
    )


def short_training(preset: Preset, step: int) -> str:
    """Return the cause that a training was short, with its steps."""
    steps = preset.training.steps
    return f"the training was short: {step:,} {f'of {steps:,} ' if step < steps else ''}steps"


def in_first_stage(finding: Finding, preset: Preset) -> Finding:
    """Return a finding of a first stage with a remedy that changes the preset of the whole model.

    Of another run, and of a preset that is not shipped, the finding stays as it is.
    """
    if preset.decoder["class_name"] != "MelDecoder" or preset.name not in preset_names():
        return finding
    whole = load_preset(preset.name).training
    if not whole.first_stage_steps:
        return finding
    changes = dict(finding.remedy.changes)
    if "steps" in changes:
        changes["first_stage_steps"] = changes.pop("steps")
    of_both = (*PARTS, "first_stage_steps")
    if own := {name: changes.pop(name) for name in [*changes] if name not in of_both}:
        changes["first_stage"] = {**(whole.first_stage or {}), **own}
    return replace(finding, remedy=replace(finding.remedy, changes=changes))


def shown(value: float | int | str) -> str:
    """Return a number with three significant digits, whole and large ones with commas."""
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) > 999 else f"{value:.3g}"


def series(history: list[dict], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps and the finite values of a measure, float (n,) each."""
    pairs = [(record["step"], record[name]) for record in history if name in record]
    steps, values = np.array(pairs, float).reshape(-1, 2).T
    known = np.isfinite(values)
    return steps[known], values[known]


def smooth(values: np.ndarray, width: int = FEW) -> np.ndarray:
    """Return the median of each value and the `width - 1` before it, float (n,)."""
    padded = np.concatenate([np.full(width - 1, np.nan), values])
    return np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1)


def rates_of(training: TrainingConfig) -> tuple[float, float]:
    """Return the highest learning rate of a schedule, and that at its last step."""
    rate = training.learning_rate
    if not isinstance(rate, dict):
        return rate, rate
    if "peak" in rate:
        return rate["peak"], rate["end"]
    return max(rate.values()), rate[max(step for step in rate if step <= training.steps)]


def rate_is_high(record: dict, training: TrainingConfig) -> bool:
    """Return whether the learning rate of a line of the history has still to fall."""
    return record.get("learning_rate", 0.0) > CUT_SHORT * rates_of(training)[1]


def quantizer_of(preset: Preset) -> dict:
    """Return class and keywords of the quantizer, of each codebook where there are several."""
    return preset.bottleneck["config"].get("quantizer", preset.bottleneck)


def change_quantizer(preset: Preset, change: str | dict) -> dict:
    """Return the change of a preset that changes its quantizer."""
    stacked = "quantizer" in preset.bottleneck["config"]
    return {"bottleneck": {"quantizer": change} if stacked else change}


class TrainingFacts:
    """A history and a preset as the rules use them.

    Attributes:
        quantizer, settings: class and keywords of `quantizer_of`.
        codec, lpc: keywords of the codec, and whether it has LPC filters.
        moves: whether there are codes that move in this training.
        loss, held_out: names of the loss of the reconstruction in the history.
        minutes_of_speech: of the training split, or None where it is not known.
        rates: see `rates_of`.
        rate_is_high: at the last line.
        running: whether the training still runs.
    """

    def __init__(self, history, preset: Preset, minutes_of_speech: float | None, running: bool):
        self.history, self.preset, self.running = history, preset, running
        self.minutes_of_speech = minutes_of_speech
        self.training = preset.training
        part = quantizer_of(preset)
        self.quantizer, self.settings = part["class_name"], part.get("config", {})
        self.codec = preset.decoder["config"].get("codec", {}).get("config", {})
        self.lpc = bool(self.codec.get("lpc_order"))
        mel = any("mel/mse" in record for record in history)
        self.loss, self.held_out = ("mel/mse", "held_out/mse") if mel else ("bits", "held_out/bits")
        self.last, self.rates = history[-1], rates_of(self.training)
        self.rate_is_high = rate_is_high(self.last, self.training)
        self.moves = (
            self.quantizer in MOVING
            and "bottleneck" not in self.training.freeze
            and "vq/perplexity" in self.last
        )

    def series(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the steps and the finite values of a measure, float (n,) each."""
        return series(self.history, name)

    def recent(self, name: str) -> float:
        """Return the median of a measure over the last lines."""
        return float(np.median(self.series(name)[1][-FEW:]))

    def change_quantizer(self, change: str | dict) -> dict:
        """Return the change of the preset that changes its quantizer."""
        return change_quantizer(self.preset, change)

    @property
    def num_codes(self) -> int:
        """Q K, the codes of all codebooks, as the history counts them."""
        return round(self.last["vq/codes_used"] + self.last["vq/codes_dead"])

    @property
    def size(self) -> int:
        """K, the codes of a codebook."""
        return min(self.settings.get("num_embeddings", self.num_codes), self.num_codes)

    @property
    def uniform(self) -> float:
        """Bits of a sample if all levels are equally likely; infinite where there are no levels."""
        distribution = self.preset.decoder["config"].get("distribution", {})
        if self.lpc or distribution.get("class_name", "Categorical") != "Categorical":
            return math.inf
        return math.log2(self.codec.get("num_levels", 256))

    @property
    def ratios(self) -> tuple[np.ndarray, np.ndarray]:
        """Steps, and the RMS of z_e in units of that of the codes."""
        steps, z_e = self.series("vq/z_e_rms")
        return steps, z_e / np.maximum(self.series("vq/code_rms")[1], 1e-9)

    @property
    def slower(self) -> float | dict:
        """A quarter of the learning rate, or of all rates of its schedule; 0.001 at most."""
        rate = self.training.learning_rate
        factor = max(4.0, self.rates[0] / HIGHEST_RATE)
        if not isinstance(rate, dict):
            return rate / factor
        return {k: v if k == "warm_up" else v / factor for k, v in rate.items()}
