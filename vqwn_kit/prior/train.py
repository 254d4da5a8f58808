"""Training a prior: a run and its corpus -> a folder in that of the run; see load.py."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from vqwn_kit.data.corpus import Corpus, by_sentence
from vqwn_kit.data.segments import worker_rows
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError
from vqwn_kit.files import write_bytes
from vqwn_kit.models import workers
from vqwn_kit.models.tensorflow import keras, tf
from vqwn_kit.presets.training_config import check_keys
from vqwn_kit.prior.config import PriorConfig
from vqwn_kit.prior.evaluate import need_held_out, score_codes, surprise_of
from vqwn_kit.prior.load import STATE, WEIGHTS, load_prior, read_config
from vqwn_kit.prior.model import CodePrior
from vqwn_kit.runs.codes import RunCodes, codes_of, need_codebook, token_vectors
from vqwn_kit.runs.corpus_of import store_of
from vqwn_kit.runs.history import read_history, write_history
from vqwn_kit.runs.run import Run, load_run
from vqwn_kit.runs.weights import save_weights
from vqwn_kit.training.loop import TrainingLoop, check_minutes
from vqwn_kit.training.optimizer import Adam, extended
from vqwn_kit.training.validate import BITS_PER_NAT
from vqwn_kit.training.workers import first_writer

MAY_CHANGE = ("steps", "learning_rate", "validate_every")  # when training is resumed
NEVER = -30.0  # logit of a code that does not exist
NETWORK = ("units", "channels", "dropout", "speaker_dropout")  # settings of the network


def train_prior(
    run: Run | str | Path,
    data: Store | Corpus | str | Path | None = None,
    *,
    name: str = "prior",
    restore: bool = False,
    score: bool = True,
    minutes: float | None = None,
    progress: bool = True,
    **changes,
) -> CodePrior:
    """Train a prior on the codes of a run, and return it with the weights of its best step.

    Args:
        run: a run with a codebook, its folder, or a checkpoint.
        data: the corpus, its folder or its store; by default that of the run.
        name: of the prior's folder in the folder of the run.
        restore: resume the training of that prior exactly.
        score: then measure it on held-out utterances and save the card; see `score_prior`.
        minutes: end after this time even if steps are left.
        progress: show a progress bar with the time left.
        **changes: of `PriorConfig`, such as `steps=2000` (in all) or `speaker=False`.

    Raises:
        InputError: no codebook, unknown settings, a prior that exists already, or none to restore;
            a refused call changes nothing.
        KeyboardInterrupt: after Ctrl-C, once the step is done and saved; `restore` continues.
    """
    check_minutes(minutes)
    need_codebook(run := load_run(run))
    check_keys(changes, [entry.name for entry in fields(PriorConfig)], "setting of a prior")
    folder = run.folder / name
    begun = read_config(run, name) if restore else None
    if begun is not None:
        config = _resumed_config(begun["training"], changes)
        load_prior(run, name)  # refuses the codes of another codebook
    else:
        config = PriorConfig(**changes)
        if (folder / "config.json").exists():
            raise InputError(
                f"{folder} holds a prior already: continue with restore (--restore), or give "
                "another name (--name); nothing was overwritten"
            )
    store = store_of(run, data, progress)
    if score:
        need_held_out(run, store)
    codes = codes_of(run, store, config.encodings, progress, config.pitch)
    if begun is not None and begun["store"] != codes.store.identity:
        raise InputError(
            f"{folder} was begun on {begun['store']}, and this is {codes.store.identity}: give the "
            "corpus that it was trained on, or train another under a new name (--name)"
        )
    with first_writer(folder, "training a prior"):
        before = None if begun is None else PriorConfig(**begun["training"])
        trainer = PriorTrainer(run, codes, config, folder, before)
        trainer.fit(minutes, progress=progress)
    prior = load_prior(run, name)
    if score and workers.current().is_first:
        score_codes(prior, codes, about={"run": run.folder.name}).save(folder)
    return prior


def _resumed_config(begun: dict, changes: dict) -> PriorConfig:
    """Return the settings of a training that has begun, with changes that may be made.

    Raises:
        InputError: another change.
    """
    config = PriorConfig(**{**begun, **changes})
    for key, value in begun.items():
        if key not in MAY_CHANGE and getattr(config, key) != value:
            raise InputError(
                f"{key} cannot change in a prior whose training has begun; train another"
            )
    return config


class PriorTrainer(TrainingLoop):
    """The training of a prior on crops of codes; see `TrainingLoop`.

    Args:
        run: the run.
        codes: its codes.
        config: the settings.
        folder: for checkpoints and history.
        begun: the settings of the training in the folder that is resumed; None starts one.
    """

    name = "prior"
    counters = (*TrainingLoop.counters, "best", "nats", "batches_logged")
    counters += ("nats_before", "batches_before")

    def __init__(
        self,
        run: Run,
        codes: RunCodes,
        config: PriorConfig,
        folder: Path,
        begun: PriorConfig | None = None,
    ):
        self.codes, self.folder, self.best = codes, folder, float("inf")
        self.data_identity = codes.store.identity.removeprefix(f"{codes.store.corpus.name}-")
        keras.utils.set_random_seed(config.seed)
        codebook = token_vectors(run.model, config.pitch)
        names = list(run.trained_speakers) if config.speaker else []
        keywords = {key: getattr(config, key) for key in NETWORK}
        keywords["num_codebooks"] = codes.num_codebooks
        shape = (codes.num_embeddings, codebook.shape[1])
        prior = CodePrior(*shape, names, **keywords, name="prior")
        prior.build()
        prior.codebook.assign(codebook)
        if codes.sizes:  # what a smaller codebook lacks never occurs
            exists = np.arange(codes.num_embeddings) < np.array(codes.sizes)[:, None]
            prior.bias.assign(np.where(exists, 0.0, NEVER).ravel())
        optimizer = Adam(penalty=config.weight_decay, global_clipnorm=config.clip_norm)
        optimizer.build(prior.trainable_variables)
        super().__init__(prior, optimizer, config)
        self.rows = worker_rows(config.batch_size, self.workers.index, self.workers.count)
        self.compiled_step = tf.function(self._update)
        self.nats, self.batches_logged = 0.0, 0
        self.reset_metrics()
        members = codes.numbers("train")
        utterances = [codes.store.corpus.utterances[n] for n in members]
        is_left_out = by_sentence(utterances, config.left_out)
        self.left_out = [n for n, out in zip(members, is_left_out, strict=True) if out]
        self.members = [n for n, out in zip(members, is_left_out, strict=True) if not out]
        self.tokens = {n: codes.tokens(n) for n in self.members}
        if begun is not None:
            self.load_state(folder / STATE)
            self.config = extended(config, begun, self.position)
        history = read_history(folder) if begun is not None else []
        self.workers.wait()  # until all have read what is there
        if not self.workers.is_first:
            return
        if begun is None:
            self.save()
        self._write_config(run)  # last, since it marks a prior that can be opened
        write_history(folder, [record for record in history if record["step"] <= self.step])

    def _write_config(self, run: Run) -> None:
        keywords = self.model.get_config()
        content = {
            "prior": {k: v for k, v in keywords.items() if k not in ("name", "trainable", "dtype")},
            "training": asdict(self.config),
            "store": self.codes.store.identity,
            "step": run.newest,
            "frame_rate": self.codes.frame_rate,
        }
        write_bytes(self.folder / "config.json", json.dumps(content, indent=1).encode())

    def batches(self) -> Iterator[tuple[np.ndarray, ...]]:
        """Return the batches from this step on."""
        return map(self.batch, itertools.count(self.step))

    def batch(self, step: int) -> tuple[np.ndarray, ...]:
        """Return previous tokens, next codes, their weights (B, L) and speakers (B,) of a step.

        A pure function of seed and step. Utterances are drawn in proportion to their length, then
        an encoding and a start; a quarter of a crop before the beginning counts as the beginning.
        Of several workers each has its rows.
        """
        rng = np.random.default_rng([self.config.seed, step])
        sizes, start = (self.config.batch_size, self.config.segment_length), self.model.start
        lengths = np.array([self.tokens[n].shape[1] for n in self.members], float)
        chosen = rng.choice(len(self.members), sizes[0], p=lengths / lengths.sum())
        numbers = [self.members[place] for place in chosen]
        previous = np.full(sizes, start, np.int32)
        following, weights = np.zeros(sizes, np.int32), np.zeros(sizes, np.float32)
        for row, number in enumerate(numbers):
            encodings = self.tokens[number]
            tokens = encodings[rng.integers(len(encodings))]
            first = rng.integers(-sizes[1] // 4, max(1, len(tokens) - sizes[1] // 4))
            first = max(0, int(first))
            crop = tokens[first : first + sizes[1]]
            previous[row, 1 : len(crop)] = crop[:-1]
            previous[row, 0] = tokens[first - 1] if first else start
            following[row, : len(crop)] = crop % self.codes.num_embeddings
            weights[row, : len(crop)] = 1.0
        batch = (previous, following, weights, self.codes.speakers[numbers])
        return tuple(part[self.rows] for part in batch)

    def train_step(self, batch: tuple[np.ndarray, ...]) -> float:
        """Take a step on a batch, and return its loss."""
        nats = float(self.compiled_step(*batch))
        self.nats += nats
        self.batches_logged += 1
        return nats

    def last_good(self) -> str:
        """Name the newest checkpoint, from which training can be resumed."""
        return f"The prior in {self.folder} is that of its best step before (--restore)."

    def _update(self, *batch):
        loss = workers.share(self._learn, *batch)
        self.average.update(self.optimizer.iterations)
        return loss

    def _learn(self, previous, following, weights, speaker):
        prior = self.model
        with tf.GradientTape() as tape:
            logits = prior((previous, speaker), training=True)
            nats = keras.ops.sparse_categorical_crossentropy(following, logits, from_logits=True)
            loss = keras.ops.sum(nats * weights) / workers.mean(keras.ops.sum(weights))
        variables = prior.trainable_variables
        gradients = [tf.convert_to_tensor(g) for g in tape.gradient(loss, variables)]
        *gradients, loss = workers.means([*gradients, loss])
        self.optimizer.apply(gradients, variables)
        return loss

    def metrics(self, longer: bool = False) -> dict[str, float]:
        """Return the bits per frame of the logging interval; longer: and of the one before."""
        nats, batches = self.nats, self.batches_logged
        if longer:
            nats, batches = nats + self.nats_before, batches + self.batches_before
        return {"bits": nats / batches * self.codes.num_codebooks * BITS_PER_NAT}

    def reset_metrics(self) -> None:
        """Begin a logging interval."""
        self.nats_before, self.batches_before = self.nats, self.batches_logged
        self.nats, self.batches_logged = 0.0, 0

    def validate(self) -> dict[str, float]:
        """Return the bits per frame of left-out sentences; write the weights if they are best."""
        bits = [surprise_of(self.model, self.codes, number) for number in self.left_out]
        measured = {"left_out/bits": float(np.concatenate(bits).mean())} if bits else {}
        cost = measured.get("left_out/bits", -self.step)  # without any, the newest is the best
        if cost < self.best:
            self.best = cost
            self._write_weights()
        return measured

    def _write_weights(self) -> None:
        save_weights(self.model, self.folder / WEIGHTS)

    def save(self) -> None:
        """Write the training state, and before the first validation the weights."""
        if self.best == float("inf"):
            with self.average.applied():
                self._write_weights()
        self.save_state(self.folder / STATE)
