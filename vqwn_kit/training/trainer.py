"""The training loop: batches -> checkpoints and history. It stops cleanly, goes on exactly."""

import itertools
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from vqwn_kit.data.segments import Source
from vqwn_kit.errors import InputError
from vqwn_kit.files import results, unused
from vqwn_kit.models.vqvae import VQVAE
from vqwn_kit.presets.build import build_model
from vqwn_kit.presets.preset import Preset
from vqwn_kit.presets.training_config import PARTS
from vqwn_kit.runs.run import Run, run_name
from vqwn_kit.runs.transfer import check_lpc_sources, load_parts
from vqwn_kit.training.optimizer import WeightAverage, make_optimizer
from vqwn_kit.training.validate import BITS_PER_NAT, validate

Callback = Callable[[dict, VQVAE], None]

FIXED = (  # once a run has begun
    "seed", "precision", "average_decay", "warm_start_batches", "freeze", *PARTS
)  # fmt: skip


class Trainer:
    """One training run: the model, its optimizer, its weight average, its data, its folder."""

    def __init__(self, preset: Preset, model: VQVAE, data: Source):
        self.preset = preset
        self.config = preset.training
        self.model = model
        self.data = data
        self.run: Run | None = None
        self.step = 0
        self.seconds = 0.0  # of training, over all sessions
        self.codebook_started = False  # from data, from another run, or before a checkpoint
        self.stop_requested = threading.Event()
        for part in self.config.freeze:
            getattr(model, part).trainable = False
        model.compile(make_optimizer(self.config), jit_compile=False)
        model.optimizer.build(model.trainable_variables)
        self.average = WeightAverage(model, self.config.average_decay)
        self.step_on = tf.function(self._update, jit_compile=self.config.jit_compile or None)

    @classmethod
    def fresh(cls, data, preset: Preset, speakers=None, save=None, parts=None) -> "Trainer":
        """Start a run from random weights, or from other runs' `parts`; see `train`."""
        source = as_source(data, preset, speakers)
        keras.utils.set_random_seed(preset.training.seed)
        model = build_model(preset, list(source.speakers))
        runs = load_parts(model, parts or {})
        check_lpc_sources(model, preset.training.freeze, runs)
        trainer = cls(preset, model, source)
        trainer.codebook_started = "bottleneck" in runs
        save = Path(save or default_save(source, preset))
        refuse_checkpoints(save)
        taken = {part: str(run.weights_file(run.newest)) for part, run in runs.items()}
        trainer.run = Run.create(save, preset, source.name, source.speakers, taken)
        trainer.run.write_history([])
        return trainer

    @classmethod
    def restored(cls, data, path, speakers=None, save=None, **changes) -> "Trainer":
        """Go on with a run from a checkpoint; its folder is changed only when all fits."""
        run = Run(path)
        preset = run.preset.change(**changes)
        for name in FIXED:
            before, after = (p if name in PARTS else p.training for p in (run.preset, preset))
            if getattr(before, name) != getattr(after, name):
                raise InputError(f"{name} can't be changed in a run that has begun; train anew")
        source = as_source(data, preset, speakers)
        if list(source.speakers) != list(run.speakers):
            raise InputError(
                f"{path} was trained on the speakers {', '.join(run.speakers)}; this corpus has "
                f"{', '.join(source.speakers)}. Give the corpus that it was trained on"
            )
        trainer = cls(preset, build_model(preset, list(run.speakers)), source)
        trainer.codebook_started = True
        trainer._load_state(run)
        history = [record for record in run.history if record["step"] <= trainer.step]
        target = Path(save or run.folder / run.prefix)
        if target.resolve() != (run.folder / run.prefix).resolve():
            refuse_checkpoints(target)
        taken = run.config.get("parts")
        trainer.run = Run.create(target, preset, run.config["corpus"], run.speakers, taken)
        trainer.run.write_history(history)
        return trainer

    def fit(
        self,
        minutes: float | None = None,
        log_dir: str | Path | None = None,
        callbacks: Iterable[Callback] = (),
        progress: bool = True,
        after_step: Callable[["Trainer"], None] | None = None,
    ) -> None:
        """Train until all steps are taken, the time is over or a stop is requested.

        The arguments are those of `train`. What `after_step` takes isn't counted as training.
        """
        from tqdm import tqdm

        if minutes is not None and minutes < 0:
            raise InputError(f"minutes is {minutes:g}; expected 0 or more, or none for no limit")
        began = time.perf_counter()
        before = self.seconds
        config, deadline = self.config, float("inf") if minutes is None else began + 60.0 * minutes
        writer = tf.summary.create_file_writer(str(log_dir)) if log_dir else None
        name = "train" if minutes is None else f"train ({minutes:g} min)"
        bar = tqdm(
            total=config.steps, initial=self.step, desc=name, unit="step",
            disable=not progress, mininterval=1.0,
        )  # fmt: skip
        with interruptible(self.stop_requested) as interrupted, bar:
            batches = self._batches()
            while self.step < config.steps and not self.stop_requested.is_set():
                if time.perf_counter() > deadline:
                    break
                try:
                    waveform, speaker = next(batches)
                except InputError:
                    self.save()
                    raise
                self.step_on(tf.constant(waveform), tf.constant(speaker))
                self.step += 1
                self._revive()
                self.seconds = before + time.perf_counter() - began
                bar.update()
                if self._due(config.log_every) or self._due(config.validate_every):
                    bar.set_postfix_str(_short(self._log(writer, callbacks)))
                if self._due(config.save_every):
                    self.save()
                if after_step is not None:
                    asked = time.perf_counter()
                    after_step(self)
                    idle = time.perf_counter() - asked
                    began, deadline = began + idle, deadline + idle
            self.save()
        if interrupted.is_set():
            raise KeyboardInterrupt(
                f"stopped at step {self.step} of {config.steps} and saved; to go on, restore "
                f"{self.run.folder}"
            )

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.config.steps

    def _update(self, waveform, speaker):
        self.model.train_step((waveform, speaker))
        self.average.update(self.model.optimizer.iterations)

    def _batches(self):
        """Return the batches from this step on; before the first, start a codebook from data."""
        batches = self.data.batches(self.step)
        bottleneck = self.model.bottleneck
        if self.codebook_started or getattr(bottleneck, "initializer", None) != "data":
            return batches
        count = self.config.warm_start_batches
        if self.data.store is None:  # an iterable may last for the steps alone
            count = min(self.config.steps, count)
        first, frames = [], []
        while len(first) < count or sum(map(len, frames)) < bottleneck.num_embeddings:
            first.append(next(batches))
            frames.append(self._frames(first[-1][0]))
        bottleneck.init_from_data(np.concatenate(frames), self.config.seed)
        self.codebook_started = True
        self.average.restart()
        return itertools.chain(first, batches)

    def _frames(self, waveform: np.ndarray) -> np.ndarray:
        """Return the frames (M, D) of a batch as the codebook sees them in training."""
        model = self.model
        z_e = model.encoder(waveform, training=model.encoder.trainable)
        z_e = model.bottleneck.normalise(z_e, training=model.bottleneck.trainable)
        return np.array(z_e, np.float32).reshape(-1, model.bottleneck.embedding_dim)

    def _revive(self) -> None:
        """Every `reset_dead_every` steps, give codes that no frame took another place."""
        recent, every = self.model.recent, self.config.reset_dead_every
        bottleneck = self.model.bottleneck
        if recent is None or every is None or self.step % every or not bottleneck.trainable:
            return
        unused = recent.counts.numpy() == 0
        recent.reset_counts()
        rng = np.random.default_rng([self.config.seed, 3, self.step])
        moved = bottleneck.reset_dead_codes(recent.seen(), unused, rng)
        self.average.restart_codes(bottleneck.per_code_weights, moved)

    def _log(self, writer, callbacks) -> dict:
        """Add a line to the history, and begin to count anew."""
        model = self.model
        metrics = {name: float(value) for name, value in model.get_metrics_result().items()}
        counts = model.code_usage.counts.numpy().astype(int) if model.code_usage else None
        model.reset_metrics()
        record = {
            "step": self.step,
            "seconds": round(self.seconds, 2),
            "samples": self.samples,
            "learning_rate": float(model.optimizer.learning_rate),
        }
        if model.is_autoregressive:
            record["bits"] = metrics["wavenet/nll"] * BITS_PER_NAT
        record |= metrics
        if self.data.store is not None and self._due(self.config.validate_every):
            with self.average.applied():
                held_out = validate(model, self.data.store)
                record |= {f"held_out/{name}": value for name, value in held_out.items()}
                self._tell(record, callbacks)
        else:
            self._tell(record, callbacks)
        if writer is not None:
            _summarise(writer, record, counts)
        return record

    def _tell(self, record: dict, callbacks: Iterable[Callback]) -> None:
        self.run.log(record)
        for callback in callbacks:
            callback(record, self.model)

    @property
    def samples(self) -> int:
        """Samples that were trained on, counted as often as they were seen."""
        return self.step * self.config.batch_size * self.config.segment_length

    def save(self) -> None:
        """Write a checkpoint of this step; the last good one stays until it is whole.

        Raises:
            OSError: the disk is full, or the folder can't be written to.
        """
        if self.step in self.run.steps and self.run.state_file(self.step).is_file():
            return
        self.run.save_state(self._state(), self.step)
        with self.average.applied():
            self.run.save_weights(self.model, self.step)
        self.run.prune(self.config.keep)

    def _variables(self) -> dict[str, list]:
        """All that changes in training: weights and seeds, optimizer, average, counts."""
        model = self.model
        return {
            "model": model.variables,
            "optimizer": [v for v in model.optimizer.variables if v.name != "learning_rate"],
            "average": self.average.variables,
            "metrics": model.metrics_variables,
            "recent": model.recent.variables if model.recent else [],
        }

    def _state(self) -> dict[str, np.ndarray]:
        arrays = {"step": np.array(self.step), "seconds": np.array(self.seconds)}
        for group, variables in self._variables().items():
            arrays |= {f"{group}/{i}": value.numpy() for i, value in enumerate(variables)}
        return arrays

    def _load_state(self, run: Run) -> None:
        arrays = run.load_state(run.newest)
        for group, variables in self._variables().items():
            for number, variable in enumerate(variables):
                value = arrays.get(f"{group}/{number}")
                if value is None or value.shape != tuple(variable.shape):
                    raise InputError(
                        f"{run.state_file(run.newest)} doesn't fit the model of its config.json: "
                        f"{getattr(variable, 'path', group)} has the shape {tuple(variable.shape)},"
                        f" the file {None if value is None else value.shape}"
                    )
                variable.assign(value)
        self.step, self.seconds = int(arrays["step"]), float(arrays["seconds"])


def as_source(data, preset: Preset, speakers=None) -> Source:
    """Return the batches of a preset from whatever the user gave."""
    if isinstance(data, Source):
        return data
    config = preset.training
    drawing = {name: getattr(config, name) for name in ("sampling", "gain_db", "shift")}
    sizes = (config.segment_length, config.batch_size, config.seed)
    return Source(data, *sizes, speakers, **drawing)


def default_save(source: Source, preset: Preset) -> Path:
    """Return a prefix in a new folder of `results/`, named by the run's choices and date."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M")
    return unused(results() / run_name(preset, source.name, stamp)) / "weights"


def refuse_checkpoints(save: Path) -> None:
    """Raise InputError where checkpoints of another run would be mixed with new ones."""
    found = sorted(save.parent.glob("*.weights.h5"))
    if found:
        raise InputError(
            f"{save.parent} already has checkpoints, such as {found[0].name}: go on from them with "
            "restore (--restore), or save into another folder (--save); nothing was overwritten"
        )


def _summarise(writer, record: dict, counts: np.ndarray | None) -> None:
    """Write a line of the history, and how often each code was used, for TensorBoard."""
    with writer.as_default(step=record["step"]):
        for name, value in record.items():
            tf.summary.scalar(name, value)
        if counts is not None:
            codes = np.repeat(np.arange(len(counts)), counts)
            tf.summary.histogram("vq/codes", codes, buckets=min(64, len(counts)))
    writer.flush()


@contextmanager
def interruptible(stop: threading.Event):
    """Turn Ctrl-C into a request to stop after the current step; yield whether it came.

    A second Ctrl-C interrupts at once. In a thread other than the main one, signals aren't ours
    and nothing is changed.
    """
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = signal.getsignal(signal.SIGINT)

    def handle(signum, frame):
        came.set()
        stop.set()
        signal.signal(signal.SIGINT, before)
        print("\nstopping after this step; once more stops at once", file=sys.stderr, flush=True)

    signal.signal(signal.SIGINT, handle)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, before)


def _short(record: dict) -> str:
    parts = [f"{record['bits']:.2f} bits/sample" if "bits" in record else ""]
    if "mel/mse" in record:
        parts = [f"error {record['mel/mse']:.3f}"]
    if "vq/codes_used" in record:
        parts += [f"{record['vq/codes_used']:.0f} codes", f"ppl {record['vq/perplexity']:.0f}"]
    if "held_out/bits" in record:
        parts += [f"held out {record['held_out/bits']:.2f}"]
    return ", ".join(parts)
