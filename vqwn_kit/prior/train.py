"""Training a prior: a run and its corpus -> a folder in that of the run; see load.py."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from vqwn_kit.data.corpus import Corpus, by_sentence
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError
from vqwn_kit.files import replacing
from vqwn_kit.presets.training_config import check_keys
from vqwn_kit.prior.config import PriorConfig
from vqwn_kit.prior.evaluate import score_codes, surprise_of
from vqwn_kit.prior.load import STATE, WEIGHTS, load_prior, read_config
from vqwn_kit.prior.model import CodePrior
from vqwn_kit.runs.codes import RunCodes, codes_of, need_codebook
from vqwn_kit.runs.corpus_of import store_of
from vqwn_kit.runs.history import read_history, write_history
from vqwn_kit.runs.run import Run, load_run
from vqwn_kit.training.loop import TrainingLoop
from vqwn_kit.training.optimizer import Adam, learning_rate
from vqwn_kit.training.validate import BITS_PER_NAT

MAY_CHANGE = ("steps", "learning_rate", "validate_every")  # when training is resumed
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
    run = load_run(run)
    need_codebook(run)
    check_keys(changes, [entry.name for entry in fields(PriorConfig)], "setting of a prior")
    folder = run.folder / name
    if restore:
        begun = read_config(run, name)
        config = PriorConfig(**{**begun["training"], **changes})
        for key, value in begun["training"].items():
            if key not in MAY_CHANGE and getattr(config, key) != value:
                raise InputError(
                    f"{key} cannot change in a prior whose training has begun; train another"
                )
        load_prior(run, name)  # refuses the codes of another codebook
    else:
        config = PriorConfig(**changes)
        if (folder / "config.json").exists():
            raise InputError(
                f"{folder} holds a prior already: continue with restore (--restore), or give "
                "another name (--name); nothing was overwritten"
            )
    codes = codes_of(run, store_of(run, data, progress), config.encodings, progress)
    if restore and begun["store"] != codes.store.identity:
        raise InputError(
            f"{folder} was begun on {begun['store']}, and this is {codes.store.identity}: give the "
            "corpus that it was trained on, or train another under a new name (--name)"
        )
    trainer = PriorTrainer(run, codes, config, folder, restore)
    trainer.fit(minutes, progress=progress)
    prior = load_prior(run, name)
    if score:
        score_codes(prior, codes, about={"run": run.folder.name}).save(folder)
    return prior


class PriorTrainer(TrainingLoop):
    """The training of a prior on crops of codes; see `TrainingLoop`.

    Args:
        run: the run.
        codes: its codes.
        config: the settings.
        folder: for checkpoints and history.
        restore: resume the training in the folder, instead of starting one.
    """

    name = "prior"
    counters = (*TrainingLoop.counters, "best", "nats", "batches_logged")

    def __init__(self, run: Run, codes: RunCodes, config: PriorConfig, folder: Path, restore: bool):
        self.codes, self.folder, self.best = codes, folder, float("inf")
        keras.utils.set_random_seed(config.seed)
        codebook = keras.ops.convert_to_numpy(run.model.bottleneck.vectors())
        names = list(run.speakers) if config.speaker else []
        keywords = {key: getattr(config, key) for key in NETWORK}
        prior = CodePrior(*codebook.shape, names, **keywords, name="prior")
        prior.build()
        prior.codebook.assign(codebook)
        rate, decay = learning_rate(config.rate()), config.weight_decay
        optimizer = Adam(rate, penalty=decay, global_clipnorm=config.clip_norm)
        optimizer.build(prior.trainable_variables)
        super().__init__(prior, optimizer, config)
        self.compiled_step = tf.function(self._update)
        self.reset_metrics()
        members = codes.numbers("train")
        utterances = [codes.store.corpus.utterances[n] for n in members]
        is_left_out = by_sentence(utterances, config.left_out)
        self.left_out = [n for n, out in zip(members, is_left_out, strict=True) if out]
        self.members = [n for n, out in zip(members, is_left_out, strict=True) if not out]
        self.load_state(folder / STATE) if restore else self.save()
        self._write_config(run)  # last, since it marks a prior that can be opened
        write_history(
            folder, [r for r in read_history(folder) if restore and r["step"] <= self.step]
        )

    def _write_config(self, run: Run) -> None:
        keywords = self.model.get_config()
        content = {
            "prior": {k: v for k, v in keywords.items() if k not in ("name", "trainable", "dtype")},
            "training": asdict(self.config),
            "store": self.codes.store.identity,
            "step": run.newest,
            "frame_rate": self.codes.frame_rate,
        }
        with replacing(self.folder / "config.json") as scratch:
            scratch.write_text(json.dumps(content, indent=1), encoding="utf-8")

    def batches(self) -> Iterator[tuple[np.ndarray, ...]]:
        """Return the batches from this step on."""
        return map(self.batch, itertools.count(self.step))

    def batch(self, step: int) -> tuple[np.ndarray, ...]:
        """Return previous codes, next codes, their weights (B, L) and speakers (B,) of a step.

        A pure function of seed and step. Utterances are drawn in proportion to their length, then
        an encoding and a start; a quarter of a crop before the beginning counts as the beginning.
        """
        rng = np.random.default_rng([self.config.seed, step])
        sizes, start = (self.config.batch_size, self.config.segment_length), self.model.start
        lengths = np.array([self.codes.codes[n].shape[1] for n in self.members], float)
        chosen = rng.choice(len(self.members), sizes[0], p=lengths / lengths.sum())
        numbers = [self.members[place] for place in chosen]
        previous = np.full(sizes, start, np.int32)
        following, weights = np.zeros(sizes, np.int32), np.zeros(sizes, np.float32)
        for row, number in enumerate(numbers):
            encodings = self.codes.codes[number]
            codes = encodings[rng.integers(len(encodings))]
            first = rng.integers(-sizes[1] // 4, max(1, len(codes) - sizes[1] // 4))
            first = max(0, int(first))
            crop = codes[first : first + sizes[1]]
            previous[row, 1 : len(crop)] = crop[:-1]
            previous[row, 0] = codes[first - 1] if first else start
            following[row, : len(crop)], weights[row, : len(crop)] = crop, 1.0
        return previous, following, weights, self.codes.speakers[numbers]

    def train_step(self, batch: tuple[np.ndarray, ...]) -> None:
        """Take a step on a batch."""
        self.nats += float(self.compiled_step(*batch))
        self.batches_logged += 1

    def _update(self, previous, following, weights, speaker):
        prior = self.model
        with tf.GradientTape() as tape:
            logits = prior((previous, speaker), training=True)
            nats = keras.ops.sparse_categorical_crossentropy(following, logits, from_logits=True)
            loss = keras.ops.sum(nats * weights) / keras.ops.sum(weights)
        variables = prior.trainable_variables
        gradients = [tf.convert_to_tensor(g) for g in tape.gradient(loss, variables)]
        self.optimizer.apply(gradients, variables)
        self.average.update(self.optimizer.iterations)
        return loss

    def metrics(self) -> dict[str, float]:
        """Return the bits per code of the batches since the last line of the history."""
        return {"bits": self.nats / self.batches_logged * BITS_PER_NAT}

    def reset_metrics(self) -> None:
        """Begin a logging interval."""
        self.nats, self.batches_logged = 0.0, 0

    def validate(self) -> dict[str, float]:
        """Return the bits per code of left-out sentences; write the weights if they are best."""
        bits = [surprise_of(self.model, self.codes, number) for number in self.left_out]
        measured = {"left_out/bits": float(np.concatenate(bits).mean())} if bits else {}
        cost = measured.get("left_out/bits", -self.step)  # without any, the newest is the best
        if cost < self.best:
            self.best = cost
            self._write_weights()
        return measured

    def _write_weights(self) -> None:
        with replacing(self.folder / WEIGHTS) as scratch:
            self.model.save_weights(scratch)

    def save(self) -> None:
        """Write the training state, and before the first validation the weights."""
        if self.best == float("inf"):
            with self.average.applied():
                self._write_weights()
        self.save_state(self.folder / STATE)
