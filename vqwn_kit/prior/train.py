"""Training a prior: a run and its corpus -> a folder beside the run's checkpoints.

prior/config.json      the network's keywords, how it was trained, on which codes of which corpus
prior/weights.weights.h5   what is used: averaged, of the step that was best on left-out sentences
prior/state.npz        what training needs to go on exactly
prior/history.jsonl    a line a logging interval
prior/score_card.*, figures/   what was measured on held-out utterances; see `prior_scores`
"""

import json
import threading
import time
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
from vqwn_kit.prior.load import history_of, load_prior, read_config
from vqwn_kit.prior.model import CodePrior
from vqwn_kit.runs.codes import RunCodes, codes_of, need_codebook, store_of
from vqwn_kit.runs.run import Run, load_run
from vqwn_kit.training.optimizer import Adam, WeightAverage, learning_rate
from vqwn_kit.training.trainer import interruptible

BITS_PER_NAT = 1.0 / np.log(2.0)
MAY_CHANGE = ("steps", "learning_rate", "validate_every")  # when training goes on


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
    """Train a prior over the codes of a run, and return it as it was on its best step.

    Args:
        run: a run with a codebook, its folder, or a checkpoint.
        data: the corpus, its folder or its store; by default what the run was trained on.
        name: of the folder that it is written to, in the run's folder.
        restore: go on from there, exactly as if it hadn't stopped.
        score: then measure it on held-out utterances, and write the numbers there; see
            `score_prior`.
        minutes: end after this time even if steps are left.
        progress: show a progress bar with the time left.
        **changes: of `PriorConfig`, such as `steps=2000` (in all) or `speaker=False`.

    Raises:
        InputError: no codebook, unknown settings, a prior that is there already, or none to go on
            from; a refused call changes nothing.
        KeyboardInterrupt: after Ctrl-C, when the step is done and saved; `restore` goes on.
    """
    run = load_run(run)
    need_codebook(run)
    check_keys(changes, [entry.name for entry in fields(PriorConfig)], "setting of a prior")
    folder = run.folder / name
    if restore:
        before = read_config(run, name)
        config = PriorConfig(**{**before["training"], **changes})
        for key, value in before["training"].items():
            if key not in MAY_CHANGE and getattr(config, key) != value:
                raise InputError(f"{key} can't be changed in a prior that has begun; train anew")
        load_prior(run, name)  # refuses the codes of another codebook
    else:
        config = PriorConfig(**changes)
        if (folder / "config.json").exists():
            raise InputError(
                f"{folder} holds a prior already: go on with restore (--restore), or give another "
                "name (--name); nothing was overwritten"
            )
    codes = codes_of(run, store_of(run, data, progress), config.encodings, progress)
    if restore and before["store"] != codes.store.identity:
        raise InputError(
            f"{folder} was begun on {before['store']}, and this is {codes.store.identity}: give "
            "the corpus that it learnt from, or train anew under another name (--name)"
        )
    trainer = PriorTrainer(run, codes, config, folder, restore)
    trainer.fit(minutes, progress)
    prior = load_prior(run, name)
    if score:
        score_codes(prior, codes, about={"run": run.folder.name}).save(folder)
    return prior


class PriorTrainer:
    """A prior, its optimizer, its average, and the crops of codes that it learns from."""

    def __init__(self, run: Run, codes: RunCodes, config: PriorConfig, folder: Path, restore: bool):
        self.codes, self.config, self.folder = codes, config, folder
        self.step, self.seconds, self.best = 0, 0.0, float("inf")
        keras.utils.set_random_seed(config.seed)
        codebook = keras.ops.convert_to_numpy(run.model.bottleneck.vectors())
        names = list(run.speakers) if config.speaker else []
        keywords = ("units", "channels", "dropout", "speaker_dropout")
        chosen = {name: getattr(config, name) for name in keywords}
        self.prior = CodePrior(*codebook.shape, names, **chosen, name="prior")
        self.prior.build()
        self.prior.codebook.assign(codebook)
        self.optimizer = Adam(
            learning_rate(config.rate()),
            penalty=config.weight_decay,
            global_clipnorm=config.clip_norm,
        )
        self.optimizer.build(self.prior.trainable_variables)
        self.average = WeightAverage(self.prior, config.average_decay)
        members = codes.numbers("train")
        utterances = [codes.store.corpus.utterances[n] for n in members]
        chosen = by_sentence(utterances, config.left_out)
        self.left_out = [n for n, out in zip(members, chosen, strict=True) if out]
        self.members = [n for n, out in zip(members, chosen, strict=True) if not out]
        self._update = tf.function(self._updated)
        folder.mkdir(parents=True, exist_ok=True)
        if restore:
            self._load()
        else:
            self._keep()
            self._save()
        self._write_config(run)  # last, as the mark that there is a prior to go on with
        records = [r for r in history_of(folder) if r["step"] <= self.step] if restore else []
        with replacing(folder / "history.jsonl") as scratch:
            scratch.write_text("".join(json.dumps(r) + "\n" for r in records), encoding="utf-8")

    def _write_config(self, run: Run) -> None:
        keywords = self.prior.get_config()
        content = {
            "prior": {k: v for k, v in keywords.items() if k not in ("name", "trainable", "dtype")},
            "training": asdict(self.config),
            "store": self.codes.store.identity,
            "step": run.newest,
            "frame_rate": self.codes.frame_rate,
        }
        with replacing(self.folder / "config.json") as scratch:
            scratch.write_text(json.dumps(content, indent=1), encoding="utf-8")

    def fit(self, minutes: float | None = None, progress: bool = True) -> None:
        """Train until all steps are taken, the time is over, or Ctrl-C asks for a stop."""
        from tqdm import tqdm

        if minutes is not None and not minutes >= 0:
            raise InputError(f"minutes is {minutes}; expected 0 or more, or none for no limit")
        began, before, stop = time.perf_counter(), self.seconds, threading.Event()
        bar = tqdm(
            total=self.config.steps, initial=self.step, desc="prior", unit="step",
            disable=not progress, mininterval=1.0,
        )  # fmt: skip
        sums, since = 0.0, 0
        with interruptible(stop) as interrupted, bar:
            while self.step < self.config.steps and not stop.is_set():
                self.seconds = before + time.perf_counter() - began
                if minutes is not None and self.seconds - before > 60 * minutes:
                    break
                sums, since = sums + float(self._update(*self.batch(self.step))), since + 1
                self.step += 1
                bar.update()
                self.seconds = before + time.perf_counter() - began
                last = self.step == self.config.steps
                if self.step % self.config.validate_every == 0 or last:
                    bar.set_postfix_str(self._look(sums / since * BITS_PER_NAT))
                    sums, since = 0.0, 0
            if self.best == float("inf"):  # stopped before the first look
                self._keep()
            self._save()
        if interrupted.is_set():
            raise KeyboardInterrupt(
                f"stopped at step {self.step} of {self.config.steps} and saved in {self.folder}; "
                "--restore (restore=True) goes on from there"
            )

    def batch(self, step: int) -> tuple[np.ndarray, ...]:
        """Return codes before, codes to tell, their weights (B, L) and speakers (B,) of a step.

        A pure function of seed and step. Utterances come by their length; a crop begins anywhere,
        or as often as a crop is long at the beginning.
        """
        rng = np.random.default_rng([self.config.seed, step])
        sizes, start = (self.config.batch_size, self.config.segment_length), self.prior.start
        lengths = np.array([self.codes.codes[n].shape[1] for n in self.members], float)
        chosen = rng.choice(len(self.members), sizes[0], p=lengths / lengths.sum())
        before = np.full(sizes, start, np.int32)
        after, weights = np.zeros(sizes, np.int32), np.zeros(sizes, np.float32)
        for row, place in enumerate(chosen):
            rows = self.codes.codes[self.members[place]]
            codes = rows[rng.integers(len(rows))]
            first = rng.integers(-sizes[1] // 4, max(1, len(codes) - sizes[1] // 4))
            first = max(0, int(first))
            told = codes[first : first + sizes[1]]
            before[row, 1 : len(told)] = told[:-1]
            before[row, 0] = codes[first - 1] if first else start
            after[row, : len(told)], weights[row, : len(told)] = told, 1.0
        speakers = self.codes.speakers[[self.members[place] for place in chosen]]
        return before, after, weights, speakers

    def _updated(self, before, after, weights, speaker):
        prior = self.prior
        with tf.GradientTape() as tape:
            logits = prior((before, speaker), training=True)
            nats = keras.ops.sparse_categorical_crossentropy(after, logits, from_logits=True)
            loss = keras.ops.sum(nats * weights) / keras.ops.sum(weights)
        variables = prior.trainable_variables
        gradients = [tf.convert_to_tensor(g) for g in tape.gradient(loss, variables)]
        self.optimizer.apply(gradients, variables)
        self.average.update(self.optimizer.iterations)
        return loss

    def _look(self, bits: float) -> str:
        """Add a line to the history; keep the weights where they are the best, and save."""
        record = {"step": self.step, "seconds": round(self.seconds, 2), "bits": bits}
        with self.average.applied():
            if self.left_out:
                told = [surprise_of(self.prior, self.codes, n) for n in self.left_out]
                record["left_out/bits"] = float(np.concatenate(told).mean())
            cost = record.get("left_out/bits", -self.step)  # without any, the newest is the best
            if cost < self.best:
                self.best = cost
                self._write_weights()
        self._save()
        with (self.folder / "history.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        return ", ".join(f"{name} {record[name]:.3f}" for name in record if "bits" in name)

    def _keep(self) -> None:
        with self.average.applied():
            self._write_weights()

    def _write_weights(self) -> None:
        with replacing(self.folder / "weights.weights.h5") as scratch:
            self.prior.save_weights(scratch)

    def _variables(self) -> dict[str, list]:
        own = [v for v in self.optimizer.variables if v.name != "learning_rate"]
        return {"prior": self.prior.variables, "optimizer": own, "average": self.average.variables}

    def _save(self) -> None:
        arrays = {name: np.array(getattr(self, name)) for name in ("step", "seconds", "best")}
        for group, variables in self._variables().items():
            arrays |= {f"{group}/{i}": variable.numpy() for i, variable in enumerate(variables)}
        with replacing(self.folder / "state.npz") as scratch, scratch.open("wb") as file:
            np.savez(file, **arrays)

    def _load(self) -> None:
        file = self.folder / "state.npz"
        if not file.is_file():
            raise InputError(f"{file} isn't there, so this prior can be used, but not trained on")
        with np.load(file, allow_pickle=False) as arrays:
            for group, variables in self._variables().items():
                for number, variable in enumerate(variables):
                    variable.assign(arrays[f"{group}/{number}"])
            self.step, self.seconds = int(arrays["step"]), float(arrays["seconds"])
            self.best = float(arrays["best"])
