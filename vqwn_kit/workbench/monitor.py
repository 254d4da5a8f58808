"""A corpus and a preset, or a run -> a training monitor whose buttons train it."""

import math
from collections.abc import Iterable
from pathlib import Path

from vqwn_kit.data.corpus import Corpus
from vqwn_kit.data.store import Store, prepare
from vqwn_kit.errors import InputError, one_of
from vqwn_kit.models.vqvae import VQVAE
from vqwn_kit.presets.preset import Preset, load_preset
from vqwn_kit.runs.corpus_of import store_of
from vqwn_kit.runs.run import Run, load_run
from vqwn_kit.sampling.generate import convert_voice
from vqwn_kit.training.train import as_source, default_save, refuse_checkpoints, train
from vqwn_kit.training.trainer import Trainer
from vqwn_kit.widgets.monitor import TrainingMonitor
from vqwn_kit.widgets.player import Player


def monitor(
    data: Corpus | Store | Iterable | None = None,
    preset: str | Path | dict | Preset = "mini",
    *,
    speakers: Iterable[str] | None = None,
    save: str | Path | None = None,
    restore: str | Path | Run | None = None,
    minutes: float | None = None,
    hear: str | None = None,
    hear_every: int | None = None,
    seconds: float = 2.5,
    progress: bool = True,
    **changes,
) -> TrainingMonitor:
    """Return a monitor whose Start button trains a model, as `train` does, in a thread.

    Args:
        data: as in `train`; where a run is restored, its own corpus by default.
        preset: see `load_preset`.
        speakers: as in `train`.
        save: as in `train`; a new folder of `results/` by default.
        restore: a run, or its path, to go on with.
        minutes: after which each start ends.
        hear: key of the utterance that is spoken again and again; the first held-out one.
        hear_every: steps between two reconstructions; as often as held-out utterances are looked
            at by default, 0 for none.
        seconds: of that utterance at most.
        progress: show a progress bar while the corpus is prepared.
        **changes: as in `train`.

    Returns:
        The monitor: `start`, `pause`, `resume`, `stop`, and `wait`, which returns the run.

    Raises:
        InputError: as `train`; what only the model shows is raised by `wait`.

    Example:
        monitor = vq.monitor(vq.open_corpus("data/mini"), steps=2000)
        monitor.start()                              # the kernel stays free
        run = monitor.wait()                         # in scripts
    """
    run = None
    if restore is not None:
        run = load_run(restore)
        preset = run.preset
        data = store_of(run, None, progress) if data is None else data
    elif data is None:
        raise InputError("no data to train on: give a corpus, or a run to go on with (restore)")
    preset = load_preset(preset).change(**changes)
    data = prepare(data, progress=progress) if isinstance(data, Corpus) else data
    source = as_source(data, preset, speakers)
    if run is None:
        save = Path(save or default_save(source, preset))
        refuse_checkpoints(save)
    session = _Session(data, preset, run, speakers=speakers, save=save, minutes=minutes)
    session.changes = changes if run else {}  # a new run has them in its preset
    session.every = preset.training.validate_every if hear_every is None else hear_every
    if session.every and source.store is not None:
        session.listen_to(source.store, hear, seconds)
    return TrainingMonitor(
        session,
        step=run.newest if run else 0,
        steps=preset.training.steps,
        records=run.history if run else (),
        player=session.player,
        num_embeddings=preset.bottleneck["config"].get("num_embeddings", 0),
        title=f"training {preset.name} on {source.name}",
    )


class _Session:
    """Trains a run, from wherever it is; a monitor calls it in its thread."""

    def __init__(self, data, preset: Preset, run: Run | None, **settings):
        self.data, self.preset, self.run, self.settings = data, preset, run, settings
        self.changes: dict = {}
        self.every, self.player, self.speaker = 0, None, None
        self.stage = ""
        self.records: list[dict] = []  # that the monitor wasn't told of

    def listen_to(self, store: Store, key: str | None, seconds: float) -> None:
        """Make a player of the utterance that is spoken again and again."""
        keys = [member.key for member in store.corpus]
        if key is not None and key not in keys:
            raise one_of("utterance", key, keys)
        number = keys.index(key) if key else int([*store.numbers("held_out"), 0][0])
        self.speaker = store.corpus.utterances[number].speaker
        self.wave = store.waveform(number)[: round(seconds * store.sample_rate)]
        title = f"{keys[number]}, spoken again by the model as it is in training"
        self.player = Player({"original": self.wave}, store.sample_rate, title=title)

    def __call__(self, monitor: TrainingMonitor) -> Run:
        """Train until the end or until the monitor says stop; return the run."""
        self.monitor, self.trainer = monitor, None
        hooks = {"callbacks": [self._log], "progress": False, "after_step": self._after_step}
        if self.run is None or not self.run.steps or self.stage == "first":
            run = train(self.data, self.preset, **self.settings, **hooks)
        else:
            restore = {"restore": _place(self.run), **self.changes}
            run = train(self.data, **restore, **self.settings, **hooks)
        self._tell_records()
        return run

    def _log(self, record: dict, model: VQVAE) -> None:
        self.records.append(record)

    def _tell_records(self) -> None:
        for record in self.records:
            self.monitor.add(record)
        self.records = []

    def _after_step(self, trainer: Trainer) -> None:
        monitor, config = self.monitor, trainer.config
        if trainer is not self.trainer:
            self._begin(trainer)
        self._tell_records()
        minutes = self.settings["minutes"]
        most = math.inf if minutes is None else 60.0 * minutes - (trainer.seconds - self.began)
        monitor.tell(trainer.step, config.steps, trainer.seconds, trainer.samples, max(0.0, most))
        due = trainer.step % max(1, self.every) == 0 or trainer.step in (1, config.steps)
        if self.player is not None and due and trainer.model.is_autoregressive:
            self._speak(trainer)
        if not monitor.goes_on(trainer.save):
            trainer.stop_requested.set()

    def _begin(self, trainer: Trainer) -> None:
        """Show a run that has taken its first step in this session."""
        self.trainer, self.run, self.began = trainer, trainer.run, trainer.seconds
        if self.preset.training.first_stage_steps:
            self.stage = "second" if trainer.model.is_autoregressive else "first"
        new = {record["step"] for record in self.records}
        records = [record for record in trainer.run.history if record["step"] not in new]
        stage = f"the {self.stage} of two stages" if self.stage else ""
        self.monitor.begin(trainer.run, records, where=str(trainer.run.folder), stage=stage)

    def _speak(self, trainer: Trainer) -> None:
        """Let the model, with its averaged weights, say the player's utterance."""
        model, asked = trainer.model, self.monitor.asked
        with trainer.average.applied():
            codes = model.encode(self.wave) if model.bottleneck.num_embeddings else None
            spoken = convert_voice(model, self.wave, [self.speaker], stop=asked)[0]
        if not asked.is_set():  # what was cut short tells nothing
            self.monitor.hear(trainer.step, spoken, codes)


def _place(run: Run) -> Path:
    """Return the path of a run, or of the step that it was opened at."""
    return run.folder if run.step is None else run.folder / f"{run.prefix}-{run.step}"
