"""A run in training: model, optimizer, average, data and folder, and one step of it."""

import itertools
from collections.abc import Iterator
from functools import partial

import numpy as np

from vqwn_kit.data.segments import Batch, Source
from vqwn_kit.errors import InputError
from vqwn_kit.models import workers
from vqwn_kit.models.tensorflow import tf
from vqwn_kit.models.vqvae import VQVAE
from vqwn_kit.presets.preset import Preset
from vqwn_kit.runs.run import Run
from vqwn_kit.training.loop import TrainingLoop
from vqwn_kit.training.optimizer import make_optimizer
from vqwn_kit.training.validate import BITS_PER_NAT, validate


class Trainer(TrainingLoop):
    """The training of a `VQVAE`; `start_run` and `resume_run` make one.

    Args:
        preset: the preset.
        model: its model.
        source: its batches, and the store for validation.

    Attributes:
        run: the run folder, once there is one.
        codebook_started: whether the codebook has its start: from data, another run or a
            checkpoint.
        time_share: of a time limit for all stages that are left, the share that this one takes.
    """

    time_share = 1.0

    def __init__(self, preset: Preset, model: VQVAE, source: Source | None = None):
        config = preset.training
        for part in config.freeze:
            getattr(model, part).trainable = False
        model.compile(make_optimizer(config), jit_compile=False)
        model.optimizer.build(model.trainable_variables)
        super().__init__(model, model.optimizer, config)
        self.preset, self.source = preset, source
        self.run: Run | None = None
        self.codebook_started = False
        self.sums_before = [tf.Variable(tf.zeros_like(v)) for v in model.metrics_variables]
        if self.workers.count > 1 and config.jit_compile:
            raise InputError(
                "jit_compile is true, and several workers cannot be compiled by XLA: leave it "
                "out, or give --set jit_compile=false"
            )
        self.compiled_step = tf.function(
            partial(self._update), jit_compile=config.jit_compile or None
        )  # a count of its own, see `graph_of`

    @property
    def folder(self):
        """The folder of the run."""
        return self.run.folder

    @property
    def data_identity(self) -> str:
        """The content of the store, whatever its folder's name, or the speakers of an iterable."""
        store = self.source.store
        if store is None:
            return ", ".join(self.source.speakers)
        return store.identity.removeprefix(f"{store.corpus.name}-")

    @property
    def samples(self) -> int:
        """Samples trained on, counted at each visit."""
        return self.step * self.config.batch_size * self.config.segment_length

    def batches(self) -> Iterator[Batch]:
        """Return the batches from this step on; before the first, start a codebook from data."""
        batches = self.source.batches(self.step)
        bottleneck = self.model.bottleneck
        if self.codebook_started or not bottleneck.starts_from_data:
            return batches
        count = self.config.warm_start_batches
        if self.source.store is None:  # an iterable may last for the steps alone
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
        """Return the frames (M, D) of a batch in training, of all workers."""
        encoder = self.model.encoder
        z_e = workers.share(
            lambda x: workers.gather(encoder(x, training=encoder.trainable)), waveform
        )
        z_e = np.array(z_e, np.float32)
        return z_e.reshape(-1, z_e.shape[-1])

    def train_step(self, batch: Batch) -> float:
        """Take a step on a batch, and return its loss; reset dead codes where that is due."""
        loss = float(self.compiled_step(*map(tf.constant, batch)))
        self._reset_dead_codes()
        return loss

    def _reset_dead_codes(self) -> None:
        step, every = self.step + 1, self.config.reset_dead_every
        recent, bottleneck = self.model.recent, self.model.bottleneck
        if recent is None or every is None or step % every or not bottleneck.trainable:
            return
        unused, frames = recent.counts.numpy() == 0, recent.seen()
        recent.reset_counts()
        rng = np.random.default_rng([self.config.seed, 3, step])
        for number, codebook in enumerate(bottleneck.get_codebooks()):
            moved = codebook.reset_dead_codes(frames[:, number], unused[number], rng)
            self.average.restart_codes(codebook.per_code_weights, moved)

    def _update(self, *batch):
        loss = workers.share(self.model.learn, batch)
        self.average.update(self.model.optimizer.iterations)
        return loss

    def last_good(self) -> str:
        """Name the newest checkpoint, from which training can be resumed."""
        if not self.run.steps:
            return "No checkpoint was written yet."
        checkpoint = self.folder / f"{self.run.prefix}-{self.run.newest}"
        return f"The last good step is {self.run.newest}: resume from {checkpoint} (--restore)."

    def metrics(self, longer: bool = False) -> dict[str, float]:
        """Return samples, learning rate, losses and code usage of the logging interval.

        Longer: and of the one before, whose sums are in `sums_before`.
        """
        sums = self.model.metrics_variables
        own = [variable.numpy() for variable in sums]
        if longer:
            for variable, before in zip(sums, self.sums_before, strict=True):
                variable.assign_add(before)
        metrics = {name: float(value) for name, value in self.model.get_metrics_result().items()}
        for variable, value in zip(sums, own, strict=True):
            variable.assign(value)
        rate = float(self.model.optimizer.learning_rate)
        bits = {}
        if self.model.is_autoregressive:
            bits = {"bits": metrics["wavenet/nll"] * BITS_PER_NAT}
        return {"samples": self.samples, "learning_rate": rate, **bits, **metrics}

    def reset_metrics(self) -> None:
        """Begin a logging interval."""
        for before, variable in zip(self.sums_before, self.model.metrics_variables, strict=True):
            before.assign(variable)
        self.model.reset_metrics()

    def validate(self) -> dict[str, float]:
        """Return the measures on held-out utterances; none where the data has no store."""
        if self.source.store is None:
            return {}
        held_out = validate(self.model, self.source.store)
        return {f"held_out/{name}": value for name, value in held_out.items()}

    def save(self) -> None:
        """Write a checkpoint of this step; the previous one stays until it is complete.

        Raises:
            OSError: the disk is full, or the folder cannot be written to.
        """
        if self.step in self.run.steps and self.run.state_file(self.step).is_file():
            return
        self.save_state(self.run.state_file(self.step))
        with self.average.applied():
            self.run.save_weights(self.model, self.step)
        self.run.prune(self.config.keep)

    def variables(self) -> dict[str, list]:
        """Return everything that training changes: also metrics and counts of recent codes."""
        recent = self.model.recent
        return {
            **super().variables(),
            "metrics": [*self.model.metrics_variables, *self.sums_before],
            "recent": recent.variables if recent else [],
        }
