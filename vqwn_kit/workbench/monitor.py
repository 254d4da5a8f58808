"""A corpus and a preset, or a run -> a training monitor whose buttons train it."""

import math
from collections.abc import Iterable
from pathlib import Path

from vqwn_kit.data.corpus import Corpus
from vqwn_kit.data.segments import Source
from vqwn_kit.data.store import Store, prepare
from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.history_rules import findings_of
from vqwn_kit.evaluation.outlook import outlook_of
from vqwn_kit.models.vqvae import VQVAE
from vqwn_kit.presets.build import codebook_sizes
from vqwn_kit.presets.preset import Preset, load_preset
from vqwn_kit.runs.corpus_of import store_of
from vqwn_kit.runs.run import Run, load_run
from vqwn_kit.sampling.generate import convert_voice
from vqwn_kit.training.loop import check_minutes
from vqwn_kit.training.train import STAGES, as_source, default_save, refuse_checkpoints, train
from vqwn_kit.training.trainer import Trainer
from vqwn_kit.widgets.monitor import TrainingMonitor
from vqwn_kit.widgets.player import Player
from vqwn_kit.workbench.excerpts import find_utterance

CODES_ONLY = "codes only"  # reconstructed without a WaveNet, by Griffin-Lim


def monitor(
    data: Corpus | Store | Iterable | None = None,
    preset: str | Path | dict | Preset = "mini",
    *,
    speakers: Iterable[str] | None = None,
    save: str | Path | None = None,
    restore: str | Path | Run | None = None,
    minutes: float | None = None,
    utterance: str | None = None,
    reconstruct_every: int | None = None,
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
        restore: a run, its path or its name, to continue.
        minutes: after which each start ends, of all stages together; see `train`.
        utterance: key of the utterance that is reconstructed; the first held-out one by default.
        reconstruct_every: steps between two; by default as often as is validated, 0 for none.
        seconds: of that utterance at most.
        progress: show a progress bar while the corpus is prepared.
        **changes: as in `train`.

    Returns:
        The monitor: `start`, `pause`, `resume`, `stop`, and `wait`, which returns the run when the
        training is over. In the first of two stages it reconstructs by Griffin-Lim.

    Raises:
        InputError: as `train`; what only the model shows is raised by `wait`.

    Example:
        monitor = vq.monitor(vq.open_corpus("data/mini"), steps=2000).start()
        run = monitor.wait()
    """
    check_minutes(minutes)
    run = None if restore is None else load_run(restore)
    if run is not None:
        preset = run.preset
        data = store_of(run, None, progress) if data is None else data
    elif data is None:
        raise InputError("no data to train on: give a corpus, or a run to continue (restore)")
    preset = load_preset(preset).change(**changes)
    data = prepare(data, progress=progress) if isinstance(data, Corpus) else data
    source = as_source(data, preset, speakers)
    if run is None:
        save = Path(save or default_save(source, preset))
        refuse_checkpoints(save)
    session = _Session(data, preset, run, speakers=speakers, save=save, minutes=minutes)
    session.changes = changes if run else {}  # a new run has them in its preset
    usual = preset.training.validate_every
    session.every = usual if reconstruct_every is None else reconstruct_every
    if session.every and source.store is not None:
        session.choose_utterance(source.store, utterance, seconds)
    return session.monitor_of(source)


class _Session:
    """Trains a run from its last step; a monitor calls it in its thread."""

    def __init__(self, data, preset: Preset, run: Run | None, **settings):
        self.data, self.preset, self.run, self.settings = data, preset, run, settings
        self.changes: dict = {}
        self.every, self.player, self.speaker = 0, None, None
        self.in_first = False  # of two stages
        self.corpus, self.minutes_of_speech = "", None
        self.records: list[dict] = []  # that the monitor does not have yet

    def monitor_of(self, source: Source) -> TrainingMonitor:
        """Return the monitor of this session, which trains on a source of batches."""
        run, preset, self.corpus = self.run, self.preset, source.name
        if source.store is not None:
            self.minutes_of_speech = source.store.seconds("train") / 60
        return TrainingMonitor(
            self,
            step=run.newest if run else 0,
            steps=preset.training.steps,
            records=run.history if run else (),
            player=self.player,
            num_embeddings=math.prod(codebook_sizes(preset)),
            title=f"training {preset.name} on {source.name}",
        )

    def choose_utterance(self, store: Store, key: str | None, seconds: float) -> None:
        """Make a player of the utterance that is reconstructed."""
        number = find_utterance(store, key)
        utterance = store.corpus.utterances[number]
        self.speaker = utterance.speaker
        self.wave = store.waveform(number)[: round(seconds * store.sample_rate)]
        title = f"{utterance.key}, reconstructed during training"
        self.player = Player({"original": self.wave}, store.sample_rate, title=title)

    def __call__(self, monitor: TrainingMonitor) -> Run:
        """Train until the end or until the monitor is stopped; return the run."""
        self.monitor, self.trainer = monitor, None
        start = {"preset": self.preset}
        if self.run is not None and self.run.steps and not self.in_first:
            step = "" if self.run.step is None else f"{self.run.prefix}-{self.run.step}"
            start = {"restore": self.run.folder / step, **self.changes}
        hooks = {"callbacks": [self._log], "progress": False, "after_step": self._after_step}
        run = train(self.data, **start, **self.settings, **hooks)
        self._report_records(running=False)
        if self.trainer is None:
            monitor.end("there was no step to take", finished=True)
        else:
            monitor.end(self.trainer.end_text(), self.trainer.ended != "request")
        return run

    def _log(self, record: dict, model: VQVAE) -> None:
        self.records.append(record)

    def _report_records(self, running: bool = True) -> None:
        for record in self.records:
            self.monitor.add_record(record)
        if (self.records or not running) and self.trainer is not None:
            self._diagnose(self.trainer.preset, running)
        self.records = []

    def _diagnose(self, preset: Preset, running: bool) -> None:
        """Show whether to wait or to stop, and what is wrong, from the history so far."""
        history = self.monitor.records
        findings = findings_of(history, preset, self.minutes_of_speech, running)
        outlook = outlook_of(history, preset, self.corpus, findings, running)
        lines = [(finding.verdict, finding.remedy.copied) for finding in findings]
        self.monitor.show_diagnosis([(outlook.sentence, ""), *lines])

    def _after_step(self, trainer: Trainer) -> None:
        monitor, config = self.monitor, trainer.config
        if trainer is not self.trainer:
            self._begin(trainer)
        self._report_records()
        done = (trainer.step, config.steps, trainer.seconds, trainer.samples)
        share = trainer.position / config.steps
        monitor.update(*done, most=self._seconds_left(trainer), share=share)
        # After one step a first stage predicts bands of hundreds of dB: no sound to play.
        first = trainer.step == 1 and trainer.model.is_autoregressive
        if self.player is not None and (first or trainer.is_due(self.every)):
            self._reconstruct(trainer)
        if not monitor.should_continue(trainer.save):
            trainer.stop_requested.set()

    def _seconds_left(self, trainer: Trainer) -> float:
        """Return the seconds that are left of the time limit of this stage, infinite if none is."""
        if not trainer.spent:
            return math.inf
        return max(0.0, (trainer.seconds - self.began) * (1.0 / trainer.spent - 1.0))

    def _begin(self, trainer: Trainer) -> None:
        """Show a run that has taken its first step in this session."""
        self.trainer, self.run, self.began = trainer, trainer.run, trainer.seconds
        two, second = self.preset.training.first_stage_steps > 0, trainer.model.is_autoregressive
        self.in_first = two and not second
        new = {record["step"] for record in self.records}
        records = [record for record in trainer.run.history if record["step"] not in new]
        about = {"where": str(trainer.run.folder), "stage": STAGES[second] if two else ""}
        about["lpc"] = second and bool(trainer.model.decoder.codec.lpc_order)
        self.monitor.begin(trainer.run, records, **about)

    def _reconstruct(self, trainer: Trainer) -> None:
        """Reconstruct the player's utterance with the averaged weights."""
        model, interrupt = trainer.model, self.monitor.interrupt
        with trainer.average.applied():
            codes = model.encode(self.wave) if model.bottleneck.num_embeddings else None
            sound = convert_voice(model, self.wave, [self.speaker], stop=interrupt)[0]
        if not interrupt.is_set():  # else the sound is incomplete
            stage = "" if model.is_autoregressive else CODES_ONLY
            self.monitor.add_reconstruction(trainer.step, sound, codes, stage)
