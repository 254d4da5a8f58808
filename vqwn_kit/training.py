"""The training loop: batches -> a run folder. It stops cleanly and goes on exactly."""

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

from vqwn_kit.config import Preset, build_model, load_preset
from vqwn_kit.corpus import Corpus
from vqwn_kit.errors import InputError
from vqwn_kit.files import results, unused
from vqwn_kit.optimization import WeightAverage, make_optimizer
from vqwn_kit.run import Run, run_name
from vqwn_kit.segments import Source
from vqwn_kit.store import Store
from vqwn_kit.validation import BITS_PER_NAT, validate
from vqwn_kit.vqvae import VQVAE

FIXED = ("seed", "precision", "average_decay", "warm_start_batches")  # once a run has begun


def train(
    data: Corpus | Store | Iterable,
    preset: str | Path | dict | Preset = "mini",
    *,
    speakers: Iterable[str] | None = None,
    save: str | Path | None = None,
    restore: str | Path | None = None,
    minutes: float | None = None,
    log_dir: str | Path | None = None,
    callbacks: Iterable[Callable[[dict], None]] = (),
    progress: bool = True,
    **changes,
) -> Run:
    """Train a model and return its run folder.

    Args:
        data: a corpus or its store, or an iterable of (waveform, speaker), see `IterableSegments`.
        preset: see `load_preset`.
        speakers: names of the speakers, where `data` is an iterable.
        save: folder and prefix of the checkpoints, such as `saved_model/weights`; by default
            `weights` in a new folder of `results/`, named by the run's choices and date.
        restore: a run folder or checkpoint to go on from, exactly as if it hadn't stopped; it
            brings its own preset. It goes on in the same folder, if `save` names no other.
        minutes: end after this time even if steps are left.
        log_dir: write scalars for TensorBoard there.
        callbacks: called with each line of the history.
        progress: show a progress bar with the time left.
        **changes: training settings to exchange, such as `steps=2000`, the number of steps in
            all; see `TrainingConfig`.

    Returns:
        The run; `run.model` is ready to listen to.

    Raises:
        InputError: see `load_preset`, `build_model` and `prepare`; a refused call changes nothing.
        KeyboardInterrupt: after Ctrl-C or the notebook's stop button, when the step is done and
            its checkpoint written; `restore` goes on from there.
    """
    if restore is not None:
        trainer = Trainer.restored(data, restore, speakers, save, **changes)
    else:
        trainer = Trainer.fresh(data, load_preset(preset).change(**changes), speakers, save)
    trainer.fit(minutes, log_dir, callbacks, progress)
    return trainer.run


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
        self.stop_requested = threading.Event()
        model.compile(make_optimizer(self.config), jit_compile=False)
        model.optimizer.build(model.trainable_variables)
        self.average = WeightAverage(model, self.config.average_decay)
        self._train_step = tf.function(self._update, jit_compile=self.config.jit_compile or None)

    @classmethod
    def fresh(cls, data, preset: Preset, speakers=None, save=None) -> "Trainer":
        """Start a run from random weights."""
        source = _source(data, preset, speakers)
        keras.utils.set_random_seed(preset.training.seed)
        trainer = cls(preset, build_model(preset, list(source.speakers)), source)
        if save is None:
            stamp = datetime.now().strftime("%Y%m%d-%H%M")
            save = unused(results() / run_name(preset, source.name, stamp)) / "weights"
        refuse_checkpoints(Path(save))
        trainer.run = Run.create(save, preset, source.name, source.speakers)
        trainer.run.write_history([])
        return trainer

    @classmethod
    def restored(cls, data, path, speakers=None, save=None, **changes) -> "Trainer":
        """Go on with a run from a checkpoint; its folder is changed only when all fits."""
        run = Run(path)
        for name in FIXED:
            if name in changes and changes[name] != getattr(run.preset.training, name):
                raise InputError(f"{name} can't be changed in a run that has begun; train anew")
        preset = run.preset.change(**changes)
        source = _source(data, preset, speakers)
        if list(source.speakers) != list(run.speakers):
            raise InputError(
                f"{path} was trained on the speakers {', '.join(run.speakers)}; this corpus has "
                f"{', '.join(source.speakers)}. Give the corpus that it was trained on"
            )
        trainer = cls(preset, build_model(preset, list(run.speakers)), source)
        trainer._load_state(run)
        history = [record for record in run.history if record["step"] <= trainer.step]
        target = Path(save or run.folder / run.prefix)
        if target.resolve() != (run.folder / run.prefix).resolve():
            refuse_checkpoints(target)
        trainer.run = Run.create(target, preset, run.config["corpus"], run.speakers)
        trainer.run.write_history(history)
        return trainer

    def fit(
        self,
        minutes: float | None = None,
        log_dir: str | Path | None = None,
        callbacks: Iterable[Callable[[dict], None]] = (),
        progress: bool = True,
    ) -> None:
        """Train until all steps are taken, the time is over or a stop is requested."""
        from tqdm import tqdm

        if minutes is not None and minutes < 0:
            raise InputError(f"minutes is {minutes:g}; expected 0 or more, or none for no limit")
        began = time.perf_counter()
        before = self.seconds
        config, deadline = self.config, float("inf") if minutes is None else began + 60.0 * minutes
        writer = tf.summary.create_file_writer(str(log_dir)) if log_dir else None
        name = "train" if minutes is None else f"train (at most {minutes:.1f} min)"
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
                self._train_step(tf.constant(waveform), tf.constant(speaker))
                self.step += 1
                self._revive(waveform)
                self.seconds = before + time.perf_counter() - began
                bar.update()
                if self._due(config.log_every) or self._due(config.validate_every):
                    bar.set_postfix_str(_short(self._log(writer, callbacks)))
                if self._due(config.save_every):
                    self.save()
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
        if self.step or getattr(bottleneck, "initializer", None) != "data":
            return batches
        frames_a_batch = self.config.batch_size * (
            self.config.segment_length // self.model.hop_length
        )
        enough = -(-bottleneck.num_embeddings // frames_a_batch)
        count = max(enough, min(self.config.steps, self.config.warm_start_batches))
        first = list(itertools.islice(batches, count))
        frames = [
            np.array(self.model.encoder(waveform, training=True), np.float32)
            for waveform, _ in first
        ]
        flat = [frame.reshape(-1, bottleneck.embedding_dim) for frame in frames]
        bottleneck.start_from(np.concatenate(flat), self.config.seed)
        self.average.restart()
        return itertools.chain(first, batches)

    def _revive(self, waveform: np.ndarray) -> None:
        """Every `revive_every` steps, give codes that no frame took another place."""
        recent, every = self.model.recent_codes, self.config.revive_every
        if recent is None or every is None or self.step % every:
            return
        unused_codes = recent.counts.numpy() == 0
        recent.reset_state()
        z_e = np.array(self.model.encoder(waveform, training=False), np.float32)
        bottleneck = self.model.bottleneck
        rng = np.random.default_rng([self.config.seed, 3, self.step])
        bottleneck.revive(z_e.reshape(-1, bottleneck.embedding_dim), unused_codes, rng)
        self.average.restart_rows(bottleneck.codebook, unused_codes)

    def _log(self, writer, callbacks) -> dict:
        """Add a line to the history, and begin to count anew."""
        metrics = {name: float(value) for name, value in self.model.get_metrics_result().items()}
        self.model.reset_metrics()
        record = {
            "step": self.step,
            "seconds": round(self.seconds, 2),
            "samples": self.samples,
            "learning_rate": float(self.model.optimizer.learning_rate),
            "bits": metrics["wavenet/nll"] * BITS_PER_NAT,
            **metrics,
        }
        if self.data.store is not None and self._due(self.config.validate_every):
            with self.average.applied():
                held_out = validate(self.model, self.data.store)
            record |= {f"held_out/{name}": value for name, value in held_out.items()}
        self.run.log(record)
        for callback in callbacks:
            callback(record)
        if writer is not None:
            with writer.as_default(step=self.step):
                for name, value in record.items():
                    tf.summary.scalar(name, value)
            writer.flush()
        return record

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
        counts = model.recent_codes.variables if model.recent_codes else []
        return {
            "model": model.variables,
            "optimizer": [v for v in model.optimizer.variables if v.name != "learning_rate"],
            "average": self.average.variables,
            "metrics": model.metrics_variables,
            "recent": counts,
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


def _source(data, preset: Preset, speakers) -> Source:
    config = preset.training
    return Source(data, config.segment_length, config.batch_size, config.seed, speakers)


def refuse_checkpoints(save: Path) -> None:
    """Raise InputError where checkpoints of another run would be mixed with new ones."""
    found = sorted(save.parent.glob("*.weights.h5"))
    if found:
        raise InputError(
            f"{save.parent} already has checkpoints, such as {found[0].name}: go on from them with "
            "restore (--restore), or save into another folder (--save); nothing was overwritten"
        )


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
    parts = [f"{record['bits']:.2f} bits/sample"]
    if "vq/codes_used" in record:
        parts += [f"{record['vq/codes_used']:.0f} codes", f"ppl {record['vq/perplexity']:.0f}"]
    if "held_out/bits" in record:
        parts += [f"held out {record['held_out/bits']:.2f}"]
    return ", ".join(parts)
