"""How a model is trained: settings as plain values, each checked."""

import math
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from vqwn_kit.data.segments import SAMPLING
from vqwn_kit.errors import InputError, one_of

PARTS = ("encoder", "bottleneck", "decoder")  # of a model
PRECISIONS = ("float32", "mixed_bfloat16", "auto")
MOST_SAMPLES = 2**28  # of a batch, over four hours of speech and a GiB, before any layer


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained.

    Attributes:
        steps: batches in all.
        batch_size: B, crops per batch.
        segment_length: T, samples per crop.
        sampling: what an epoch is made of: `utterance`, `duration`, `speaker` or `root`; see
            `Segments`.
        gain_db: loudness of a crop is changed by up to so many dB, at random.
        shift: samples that a crop may begin before, or end after, its utterance.
        learning_rate: of Adam; a number, or a schedule: {step from which it holds: rate}, or
            {"peak": rate, "warm_up": steps, "end": rate}, which rises in a line over the warm-up
            and falls along a cosine until the last step. Other `steps` shorten or lengthen it in
            proportion, see `rate_over`; with a time limit it follows the share of the time that is
            spent, where that is ahead of the share of the steps.
        codebook_rate: learning rate of the codebook, as a multiple of the others'.
        weight_decay: weight of half the sum of squares of all kernels, added to the loss; biases,
            normalisations, codebook and speakers are spared.
        average_decay: of the moving average of all weights that generation uses; 0 for none. It
            warms up: min(average_decay, (1 + n) / (10 + n)) at step n.
        clip_norm: largest norm of the gradient of all weights together; None for no limit.
        warm_start_batches: batches whose encoder outputs start a codebook with the initializer
            `data`.
        reset_dead_every: steps after which codes that no frame took meanwhile are moved onto frames
            of the batch; None leaves them where they are.
        first_stage_steps: steps of a first stage, a run of its own, which trains encoder and
            codebook with a light `MelDecoder`; then both are frozen and the decoder is trained. Its
            conditioner starts from that of the first stage where it has `local_layers`, and stays
            as it is where the codec has an `lpc_order`. 0 trains all together.
        first_stage_share: the most of a time limit that the first stage takes, as a share of it.
        first_stage: settings that differ in the first stage, such as {"batch_size": 16,
            "segment_length": 12800}: its steps are cheap.
        freeze: parts that are not trained: `encoder`, `bottleneck`, `decoder`.
        log_every: steps between two lines of the history.
        save_every: steps between two checkpoints.
        validate_every: steps between two looks at held-out utterances.
        keep: how many checkpoints' weights stay.
        seed: of the weights, of the order and of the crops; 0 or more.
        precision: `float32`, `mixed_bfloat16`, or `auto`, which becomes the second where the
            processor multiplies bfloat16 and the first elsewhere. Losses and codebook are float32
            in any case. bfloat16 pays most for wide decoders.
        jit_compile: compile the step with XLA, which seldom pays on a processor.
    """

    steps: int = 400_000
    batch_size: int = 4
    segment_length: int = 5120
    sampling: str = "utterance"
    gain_db: float = 0.0
    shift: int = 0
    learning_rate: float | dict = 1e-3
    codebook_rate: float = 1.0
    weight_decay: float = 0.0
    average_decay: float = 0.999
    clip_norm: float | None = None
    warm_start_batches: int = 32
    reset_dead_every: int | None = None
    first_stage_steps: int = 0
    first_stage_share: float = 0.3
    first_stage: dict | None = None
    freeze: tuple[str, ...] = ()
    log_every: int = 100
    save_every: int = 1000
    validate_every: int = 1000
    keep: int = 3
    seed: int = 0
    precision: str = "float32"
    jit_compile: bool = False

    @property
    def schedule(self) -> float | dict:
        """The learning rate over the steps, for `scheduled_rate`."""
        return self.learning_rate

    def __post_init__(self):
        """Check the values, and give a schedule that came from JSON integer keys."""
        object.__setattr__(self, "learning_rate", checked_rate(self.learning_rate))
        self._check_frozen()
        if not isinstance(self.sampling, str) or self.sampling not in SAMPLING:
            raise one_of("sampling", self.sampling, SAMPLING)
        for name in ("codebook_rate", "weight_decay", "gain_db"):
            check_number(f"training.{name}", getattr(self, name))
        for name in ("first_stage_steps", "shift"):
            check_whole(f"training.{name}", getattr(self, name), 0)
        check_whole("training.seed", self.seed, 0, 2**32 - 1)
        counts = ("steps", "batch_size", "segment_length", "log_every", "save_every", "keep")
        counts += ("reset_dead_every",) if self.reset_dead_every is not None else ()
        for name in (*counts, "validate_every", "warm_start_batches"):
            check_whole(f"training.{name}", getattr(self, name))
        if self.batch_size * self.segment_length > MOST_SAMPLES:
            raise InputError(
                f"training.batch_size is {self.batch_size} of {self.segment_length} samples; "
                f"expected at most {MOST_SAMPLES:,} samples in a batch"
            )
        self._check_first_stage()
        check_share("training.average_decay", self.average_decay)
        if self.clip_norm is not None and not (is_number(self.clip_norm) and self.clip_norm > 0):
            raise InputError(
                f"training.clip_norm is {self.clip_norm!r}; expected a number above 0, or none"
            )
        if not isinstance(self.jit_compile, bool):
            raise InputError(
                f"training.jit_compile is {self.jit_compile!r}; expected true or false"
            )
        if self.precision not in PRECISIONS:
            raise one_of("precision", self.precision, PRECISIONS)
        if self.precision == "auto":
            chosen = "mixed_bfloat16" if multiplies_bfloat16() else "float32"
            object.__setattr__(self, "precision", chosen)

    def _check_frozen(self) -> None:
        freeze = (self.freeze,) if isinstance(self.freeze, str) else self.freeze or ()
        if not isinstance(freeze, list | tuple):
            raise InputError(f"training.freeze is {freeze!r}; expected parts, of {list(PARTS)}")
        object.__setattr__(self, "freeze", tuple(freeze))
        for part in freeze:
            if part not in PARTS:
                raise one_of("part to freeze", part, PARTS)
        if len(set(freeze)) == len(PARTS):
            raise InputError(f"training.freeze is {list(freeze)}: nothing is left to train")

    def _check_first_stage(self) -> None:
        share = self.first_stage_share
        if not is_number(share) or not 0 < share < 1:
            raise InputError(
                f"training.first_stage_share is {share!r}; expected above 0 and below 1"
            )
        if self.first_stage is None:
            return
        if not isinstance(self.first_stage, dict):
            raise InputError(
                f"training.first_stage is {self.first_stage!r}; expected settings by name, such as "
                '{"batch_size": 16}'
            )
        fixed = {"steps", "first_stage_steps", "first_stage_share", "first_stage", "freeze"}
        own = [f.name for f in fields(self) if f.name not in fixed]
        check_keys(self.first_stage, own, "setting of a first stage")
        TrainingConfig(**self.first_stage)


def multiplies_bfloat16(cpuinfo: str | Path = "/proc/cpuinfo") -> bool:
    """Return whether the processor has products of bfloat16, as Linux reports; elsewhere False."""
    cpuinfo = Path(cpuinfo)
    if not cpuinfo.is_file():
        return False
    return bool({"avx512_bf16", "amx_bf16"} & set(cpuinfo.read_text().split()))


def checked_rate(rate: float | dict) -> float | dict:
    """Return a learning rate; steps that came from JSON as strings become whole numbers."""
    if isinstance(rate, dict) and "peak" in rate:
        check_keys(rate, ["peak", "warm_up", "end"], "key of a cosine schedule")
        whole = {"warm_up": 0, "end": 0.0} | rate
        valid = all(is_number(value) and value >= 0 for value in whole.values())
        if not valid or not whole["peak"] > 0:
            raise InputError(
                f"training.learning_rate is {rate}; expected a peak above 0, and warm_up (steps) "
                "and end (a rate) from 0 on"
            )
        return whole
    if isinstance(rate, dict):
        try:
            schedule = {int(step): float(value) for step, value in rate.items()}
        except (TypeError, ValueError, OverflowError):
            schedule = {-1: -1.0}
        if not all(step >= 0 and is_number(r) and r >= 0 for step, r in schedule.items()):
            raise InputError(
                f"training.learning_rate is {rate}; expected {{step: rate}} or "
                '{"peak": rate, "warm_up": steps, "end": rate}'
            )
        if 0 not in schedule:
            raise InputError(f"the learning-rate schedule {schedule} says nothing for step 0")
        return dict(sorted(schedule.items()))
    if not is_number(rate) or rate < 0:
        raise InputError(
            f"training.learning_rate is {rate!r}; expected a number from 0 on, or a schedule "
            "{step: number}"
        )
    return rate


def rate_over(steps: int, rate: float | dict, before: int) -> float | dict:
    """Return a learning rate over another number of steps: its warm-up or its steps in proportion.

    Args:
        steps: of the whole training.
        rate: see `TrainingConfig.learning_rate`.
        before: the steps that it was made for.
    """
    if not isinstance(rate, dict) or steps == before:
        return rate
    if "peak" in rate:
        return {**rate, "warm_up": math.floor(rate.get("warm_up", 0) * steps / before)}
    return {math.floor(int(step) * steps / before): value for step, value in rate.items()}


def rates_of(rate: float | dict) -> list[float]:
    """Return the rates of a learning rate without the steps at which they hold."""
    if not isinstance(rate, dict):
        return [rate]
    return [value for name, value in rate.items() if name != "warm_up"]


def check_warm_up(rate: float | dict, steps: int) -> None:
    """Raise InputError where a training ends before its learning rate has risen to the peak."""
    warm_up = rate.get("warm_up", 0) if isinstance(rate, dict) else 0
    if warm_up and warm_up >= steps:
        raise InputError(
            f"the warm-up of {warm_up:g} steps is not over at the end of a training of {steps}: "
            "give more steps, or a learning_rate with a shorter warm_up"
        )


def is_number(value) -> bool:
    """Return whether a value is a finite number, and no truth value."""
    is_one = isinstance(value, int | float) and not isinstance(value, bool)
    return is_one and abs(value) < math.inf  # of whole numbers that no float holds, too


def check_number(name: str, value) -> None:
    """Raise InputError where a setting is not a finite number from 0 on."""
    if not is_number(value) or value < 0:
        raise InputError(f"{name} is {value!r}; expected a number from 0 on")


def check_whole(name: str, value, least: int = 1, most: int = 10**12) -> None:
    """Raise InputError where a setting is not a whole number from `least` on."""
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_whole or value < least:
        raise InputError(f"{name} is {value!r:.80}; expected a whole number from {least} on")
    if value > most:
        raise InputError(f"{name} is too large; expected at most {most:,}")


def check_share(name: str, value) -> None:
    """Raise InputError where a setting is not a number from 0 to below 1."""
    if not is_number(value) or not 0 <= value < 1:
        raise InputError(f"{name} is {value!r}; expected a number from 0 to below 1")


def check_keys(given: dict, known: list[str], what: str) -> None:
    """Raise InputError for an unknown key; the message names the nearest."""
    for key in given:
        if key not in known:
            raise one_of(what, key, known)
