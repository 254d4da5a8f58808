"""The training loop: batches -> a run folder. It stops cleanly and goes on exactly."""

import signal
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from vqwn_kit.config import Preset, TrainingConfig, build_model, load_preset
from vqwn_kit.corpus import Corpus, results
from vqwn_kit.errors import InputError
from vqwn_kit.run import Run, run_name
from vqwn_kit.segments import IterableSegments, Segments
from vqwn_kit.store import Store, prepare
from vqwn_kit.vqvae import VQVAE, as_batch

BITS_PER_NAT = 1.0 / np.log(2.0)
VALIDATION_UTTERANCES = 10
VALIDATION_SECONDS = 10


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
        restore: a run folder or checkpoint to go on from, exactly as if it hadn't stopped. It
            goes on in the same folder, and brings its own preset.
        minutes: end after this time even if steps are left.
        log_dir: write scalars for TensorBoard there.
        callbacks: called with each line of the history.
        progress: show a progress bar with the time left.
        **changes: training settings to exchange, such as `steps=2000`; see `TrainingConfig`.

    Returns:
        The run; `run.model` is ready to listen to.

    Raises:
        InputError: see `load_preset`, `build_model` and `prepare`.
        KeyboardInterrupt: after Ctrl-C or the notebook's stop button, when the step is done and
            its checkpoint written; `restore` goes on from there.
    """
    if restore is not None:
        trainer = Trainer.restored(data, restore, speakers, progress, **changes)
    else:
        chosen = load_preset(preset).change(**changes)
        trainer = Trainer.fresh(data, chosen, speakers, save, progress)
    trainer.fit(minutes, log_dir, callbacks, progress)
    return trainer.run


class Trainer:
    """One training run: the model, its optimizer, its weight average, its data, its folder."""

    def __init__(self, run: Run, config: TrainingConfig, model: VQVAE, data: "Source"):
        self.run = run
        self.config = config
        self.model = model
        self.data = data
        self.step = 0
        self.seconds = 0.0  # of training, over all sessions
        self.stop_requested = threading.Event()
        model.compile(make_optimizer(config), jit_compile=False)
        model.optimizer.build(model.trainable_variables)
        self.average = WeightAverage(model, config.average_decay)
        self._train_step = tf.function(self._update, jit_compile=config.jit_compile or None)

    @classmethod
    def fresh(
        cls, data, preset: Preset, speakers=None, save=None, progress: bool = True
    ) -> "Trainer":
        """Start a run from random weights."""
        source = Source(data, preset.training, speakers, progress)
        model = build_model(preset, list(source.speakers))
        if save is None:
            stamp = datetime.now().strftime("%Y%m%d-%H%M")
            save = unused(results() / run_name(preset, source, stamp)) / "weights"
        refuse_checkpoints(Path(save))
        run = Run.create(save, preset, source.name, source.speakers)
        return cls(run, preset.training, model, source)

    @classmethod
    def restored(cls, data, path, speakers=None, progress: bool = True, **changes) -> "Trainer":
        """Go on with a run from a checkpoint."""
        run = Run(path)
        preset = run.preset.change(**changes)
        source = Source(data, preset.training, speakers, progress)
        if list(source.speakers) != list(run.speakers):
            raise InputError(
                f"{path} was trained on the speakers {', '.join(run.speakers)}; this corpus has "
                f"{', '.join(source.speakers)}. Give the corpus that it was trained on"
            )
        step = run.newest
        run = Run.create(run.folder / run.prefix, preset, run.config["corpus"], run.speakers)
        model = build_model(preset, list(run.speakers))
        trainer = cls(run, preset.training, model, source)
        trainer._load_state(step)
        run.rewind_history(step)
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

        began = time.perf_counter() - self.seconds
        deadline = None if minutes is None else began + 60.0 * minutes
        writer = tf.summary.create_file_writer(str(log_dir)) if log_dir else None
        if self.step == 0:
            self._warm_start()
        bar = tqdm(
            total=self.config.steps, initial=self.step, desc="train", unit="step",
            disable=not progress, mininterval=1.0,
        )  # fmt: skip
        with interruptible(self.stop_requested) as interrupted, bar:
            for waveform, speaker in self.data.batches(self.step):
                if self.step >= self.config.steps or self.stop_requested.is_set():
                    break
                if deadline is not None and time.perf_counter() > deadline:
                    break
                self._train_step(tf.constant(waveform), tf.constant(speaker))
                self.step += 1
                self._revive(waveform)
                self.seconds = time.perf_counter() - began
                bar.update()
                if self.step % self.config.log_every == 0:
                    record = self._log(writer, callbacks)
                    bar.set_postfix_str(_short(record))
                if self.step % self.config.save_every == 0:
                    self.save()
            self.save()
        if interrupted.is_set():
            raise KeyboardInterrupt

    def _update(self, waveform, speaker):
        self.model.train_step((waveform, speaker))
        self.average.update(self.model.optimizer.iterations)

    def _warm_start(self) -> None:
        """Start a codebook that asks for it from the encoder's outputs for the first batches."""
        bottleneck = self.model.bottleneck
        if getattr(bottleneck, "initializer", None) != "data":
            return
        batches = zip(range(self.config.warm_start_batches), self.data.batches(), strict=False)
        frames = [
            np.array(self.model.encoder(waveform, training=True), np.float32)
            for _, (waveform, _) in batches
        ]
        bottleneck.start_from(
            np.concatenate(frames).reshape(-1, bottleneck.embedding_dim), self.config.seed
        )
        self.average.restart()

    def _revive(self, waveform: np.ndarray) -> None:
        """Every `revive_every` steps, give codes that no frame took another place."""
        recent, every = self.model.recent_codes, self.config.revive_every
        if recent is None or every is None or self.step % every:
            return
        unused = recent.counts.numpy() == 0
        recent.reset_state()
        z_e = np.array(self.model.encoder(waveform, training=False), np.float32)
        bottleneck = self.model.bottleneck
        rng = np.random.default_rng([self.config.seed, 3, self.step])
        bottleneck.revive(z_e.reshape(-1, bottleneck.embedding_dim), unused, rng)
        self.average.restart_rows(bottleneck.codebook, unused)

    def _log(self, writer, callbacks) -> dict:
        """Add a line to the history, and begin to count anew."""
        metrics = {name: float(value) for name, value in self.model.get_metrics_result().items()}
        self.model.reset_metrics()
        batch = self.config.batch_size * self.config.segment_length
        record = {
            "step": self.step,
            "seconds": round(self.seconds, 2),
            "samples": self.step * batch,
            "learning_rate": float(self.model.optimizer.learning_rate),
            "bits": metrics["wavenet/nll"] * BITS_PER_NAT,
            **metrics,
        }
        if self.step % self.config.validate_every == 0 and self.data.store is not None:
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

    def save(self) -> None:
        """Write a checkpoint of this step; the last good one stays until it is whole."""
        if self.step in self.run.steps:
            return
        self.run.save_state(self._state(), self.step)
        with self.average.applied():
            self.run.save_weights(self.model, self.step)
        self.run.prune(self.config.keep)

    def _variables(self) -> dict[str, list]:
        """All that changes in training: weights and seeds, optimizer, average, metrics."""
        return {
            "model": self.model.variables,
            "optimizer": self.model.optimizer.variables,
            "average": self.average.variables,
            "metrics": self.model.metrics_variables,
            "recent": self.model.recent_codes.variables if self.model.recent_codes else [],
        }

    def _state(self) -> dict[str, np.ndarray]:
        arrays = {"step": np.array(self.step), "seconds": np.array(self.seconds)}
        for group, variables in self._variables().items():
            arrays |= {f"{group}/{i}": value.numpy() for i, value in enumerate(variables)}
        return arrays

    def _load_state(self, step: int) -> None:
        arrays = self.run.load_state(step)
        for group, variables in self._variables().items():
            for number, variable in enumerate(variables):
                value = arrays.get(f"{group}/{number}")
                if value is None or value.shape != tuple(variable.shape):
                    raise InputError(
                        f"{self.run.state_file(step)} doesn't fit the model of its config.json: "
                        f"{getattr(variable, 'path', group)} has the shape {tuple(variable.shape)},"
                        f" the file {None if value is None else value.shape}"
                    )
                variable.assign(value)
        self.step, self.seconds = int(arrays["step"]), float(arrays["seconds"])


class Source:
    """Batches for training and a store for validation, from whatever the user gave.

    Attributes:
        name: name of the corpus.
        speakers: facts by speaker, in the order of their numbers.
        store: the prepared corpus; None where the user's own iterable is trained on.
    """

    def __init__(self, data, config: TrainingConfig, speakers=None, progress: bool = True):
        sizes = (config.segment_length, config.batch_size, config.seed)
        if isinstance(data, Corpus):
            data = prepare(data, progress=progress)
        self.store = data if isinstance(data, Store) else None
        if self.store is not None:
            self.name, self.speakers = self.store.corpus.name, self.store.corpus.speakers
            self.segments = Segments(self.store, *sizes)
        elif speakers is None:
            raise InputError("an iterable of (waveform, speaker) needs speakers=[their names]")
        else:
            self.name, self.speakers = "own", {str(name): {} for name in speakers}
            self.segments = IterableSegments(data, self.speakers, *sizes)

    def batches(self, start: int = 0):
        """Yield the batches from step `start` on."""
        return self.segments.batches(start)


class WeightAverage:
    """A moving average of all weights, batch statistics and codebook included, with a warm-up.

    At step n it forgets with min(decay, (1 + n) / (10 + n)), so that the average of a short run
    isn't its random start.

    Args:
        model: whose weights are averaged.
        decay: 0 for none.
    """

    def __init__(self, model: VQVAE, decay: float):
        self.decay = decay
        self.weights = list(model.weights) if decay else []
        self.variables = [
            tf.Variable(weight.value, trainable=False, name=f"average_{number}")
            for number, weight in enumerate(self.weights)
        ]

    def update(self, step) -> None:
        """Move the average towards the weights; `step` counts from 1."""
        n = tf.cast(step, tf.float32)
        decay = tf.minimum(self.decay, (1.0 + n) / (10.0 + n))
        for average, weight in zip(self.variables, self.weights, strict=True):
            value = tf.cast(weight.value, average.dtype)
            average.assign_sub((1.0 - decay) * (average - value))

    def restart(self) -> None:
        """Set the average to the weights as they are."""
        for average, weight in zip(self.variables, self.weights, strict=True):
            average.assign(weight.value)

    def restart_rows(self, weight, rows: np.ndarray) -> None:
        """Set some rows of the average of one weight to the weight as it is."""
        for average, candidate in zip(self.variables, self.weights, strict=True):
            if candidate is weight:
                average.assign(np.where(rows[:, None], weight.numpy(), average.numpy()))

    @contextmanager
    def applied(self):
        """Give the model the averaged weights for a while; then its own, to the bit."""
        own = [weight.numpy() for weight in self.weights]
        try:
            for average, weight in zip(self.variables, self.weights, strict=True):
                weight.assign(average)
            yield
        finally:
            for value, weight in zip(own, self.weights, strict=True):
                weight.assign(value)


def make_optimizer(config: TrainingConfig) -> keras.optimizers.Optimizer:
    """Return Adam with the config's learning rate or schedule and its limit on the gradient."""
    rate = config.learning_rate
    if isinstance(rate, dict):
        boundaries = [step - 1 for step in rate if step > 0]
        rate = keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, list(rate.values()))
    return keras.optimizers.Adam(rate, global_clipnorm=config.clip_norm)


def validate(
    model: VQVAE,
    store: Store,
    split: str = "held_out",
    utterances: int = VALIDATION_UTTERANCES,
) -> dict[str, float]:
    """Measure a model on whole utterances (at most 10 s of each) of a split.

    Args:
        model: the model.
        store: the prepared corpus.
        split: `held_out` or `train`.
        utterances: how many, evenly spread over the split.

    Returns:
        `bits` a sample, and where there is a codebook `codes_used` and `perplexity` over all
        frames, with their number as `frames`. Empty where the split is empty.
    """
    members = store.numbers(split)
    if not len(members):
        return {}
    places = np.linspace(0, len(members) - 1, min(utterances, len(members))).round().astype(int)
    model.reset_metrics()
    nats, samples = 0.0, 0
    for number in members[places]:
        waveform = store.waveform(number)[: VALIDATION_SECONDS * store.sample_rate]
        waveform = waveform[: max(1, len(waveform) // model.hop_length) * model.hop_length]
        batch = as_batch(waveform, model.hop_length)
        model.trackers["wavenet/nll"].reset_state()
        measured = model.measure(batch, store.speaker_ids[[number]])
        nats += float(measured["wavenet/nll"]) * batch.shape[1]
        samples += batch.shape[1]
    usage = model.code_usage.result() if model.code_usage else {}
    model.reset_metrics()
    result = {"bits": nats / samples * BITS_PER_NAT}
    result |= {name.removeprefix("vq/"): float(value) for name, value in usage.items()}
    return result | {"frames": samples // model.hop_length}


@contextmanager
def interruptible(stop: threading.Event):
    """Turn Ctrl-C into a request to stop after the current step; yield whether it came.

    In a thread other than the main one, signals aren't ours and nothing is changed.
    """
    came = threading.Event()

    def handle(signum, frame):
        came.set()
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = signal.signal(signal.SIGINT, handle)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, before)


def refuse_checkpoints(save: Path) -> None:
    """Raise InputError where checkpoints of another run would be mixed with new ones."""
    found = sorted(save.parent.glob(f"{save.name}-*.weights.h5"))
    if found:
        raise InputError(
            f"{save.parent} already has checkpoints, such as {found[0].name}: go on from them with "
            "restore (--restore), or save somewhere else (--save); nothing was overwritten"
        )


def unused(folder: Path) -> Path:
    """Return the folder, or with -2, -3, … behind its name where it exists."""
    number, candidate = 1, folder
    while candidate.exists():
        number += 1
        candidate = folder.with_name(f"{folder.name}-{number}")
    return candidate


def _short(record: dict) -> str:
    parts = [f"{record['bits']:.2f} bits/sample"]
    if "vq/codes_used" in record:
        parts += [f"{record['vq/codes_used']:.0f} codes", f"ppl {record['vq/perplexity']:.0f}"]
    if "held_out/bits" in record:
        parts += [f"held out {record['held_out/bits']:.2f}"]
    return ", ".join(parts)
