"""Training a model on speech: a corpus and a preset -> a run folder, in one stage or two."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from vqwn_kit.data.corpus import Corpus
from vqwn_kit.data.segments import Source
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError
from vqwn_kit.files import results, unused
from vqwn_kit.models.tensorflow import keras
from vqwn_kit.models.workers import current
from vqwn_kit.presets.build import build_model
from vqwn_kit.presets.preset import Preset, load_preset
from vqwn_kit.presets.training_config import PARTS, rates_of
from vqwn_kit.runs.corpus_of import corpus_facts, same_content, store_of
from vqwn_kit.runs.history import write_history
from vqwn_kit.runs.naming import run_name
from vqwn_kit.runs.run import Run, load_run
from vqwn_kit.runs.transfer import check_lpc_sources, load_parts, matching_parts
from vqwn_kit.training.loop import Callback, check_minutes
from vqwn_kit.training.optimizer import extended
from vqwn_kit.training.tensorboard import scalar_log
from vqwn_kit.training.trainer import Trainer
from vqwn_kit.training.workers import first_writer, wait_until

STAGES = ("stage 1 of 2, codes", "stage 2 of 2, WaveNet")
# What cannot change in a run that has begun, beside its parts.
FIXED = ("seed", "precision", "average_decay", "warm_start_batches", "freeze")


def train(
    data: Corpus | Store | Iterable | None = None,
    preset: str | Path | dict | Preset = "mini",
    *,
    speakers: Iterable[str] | None = None,
    save: str | Path | None = None,
    restore: str | Path | None = None,
    parts: dict[str, str | Path | Run] | None = None,
    minutes: float | None = None,
    log_dir: str | Path | None = None,
    callbacks: Iterable[Callback] = (),
    progress: bool = True,
    after_step: Callable[[Trainer], None] | None = None,
    **changes,
) -> Run:
    """Train a model and return its run.

    Args:
        data: a corpus or its store, or an iterable of (waveform, speaker), see `IterableSegments`;
            with `decoder.conditioner.pitch_levels` of (waveform, speaker, pitch). With `restore`
            the corpus of the run by default.
        preset: see `load_preset`.
        speakers: names of the speakers, where `data` is an iterable.
        save: folder and prefix of the checkpoints, such as `saved_model/weights`; by default
            `weights` in a new folder of `results/`, named by the parts and the date.
        restore: a run folder or checkpoint to resume exactly, with its own preset. On another
            corpus with the same speakers it is not exact, which is said and noted in its config.
        parts: runs from which parts are loaded, such as `{"encoder": "results/mini"}`; add
            `freeze=["encoder"]` to keep them as they are. See `load_part`.
        minutes: end after this time even if steps are left; the learning rate follows the time
            then, so that its schedule ends, too. Of two stages the first takes at most
            `first_stage_share` of it.
        log_dir: write scalars and histograms of codes for TensorBoard there.
        callbacks: called with each line of the history and the model; see `audio_log`.
        progress: show a progress bar with the time left.
        after_step: called with the trainer after each step, not counted as training; it may set
            `trainer.stop_requested` to end with a checkpoint.
        **changes: such as `encoder="2019"`, or `steps=2000`, those before a restore included and
            those of a first stage, `first_stage_steps`, not; see `Preset.change`. The schedule of a
            new run becomes as long as its `steps`; that of a resumed one is kept.

    Returns:
        The run; of the first of two stages if it is stopped there: the same call continues it.

    Raises:
        InputError: see `load_preset`, `build_model` and `prepare`; or another process trains in the
            folder; a refused call changes nothing. Also where the training diverges, see
            `TrainingLoop.fit`.
        KeyboardInterrupt: after Ctrl-C, once the checkpoint is written; `restore` continues.
    """
    check_minutes(minutes)
    logs = [scalar_log(log_dir)] if log_dir is not None and current().is_first else []
    fitting = ([*callbacks, *logs], progress, after_step)
    sources = (data, speakers, parts)
    if restore is None:
        save, trainers = _begun(*sources, load_preset(preset).change(**changes), save)
    else:
        save, trainers = _resumed(*sources, load_run(restore), save, changes)
    with first_writer(save.parent):
        return fit_stages(trainers, minutes, *fitting).run


def _begun(data, speakers, parts, preset: Preset, save) -> tuple[Path, Iterator[Trainer]]:
    """Return where a new run is saved, and its trainers, each made when it is asked for."""
    if data is None:
        raise InputError("nothing to train on: give a corpus, its store, or an iterable")
    save = save or default_save(as_source(data, preset, speakers), preset)
    save = Path(current().text_of_first(str(save)))
    refuse_checkpoints(save)

    def trainers() -> Iterator[Trainer]:
        refuse_checkpoints(save)  # of a training that has just ended here
        yield from stages(data, preset, save, parts, speakers)

    return save, trainers()


def _resumed(
    data, speakers, parts, run: Run, save, changes: dict
) -> tuple[Path, Iterator[Trainer]]:
    """Return where a run that is resumed is saved, and its trainer, made when it is asked for."""
    if parts:
        raise InputError(
            f"restore continues with all parts of {run.folder}: give either restore or parts"
        )
    data = store_of(run) if data is None else data
    save = Path(save or run.folder / run.prefix)
    return save, (resume_run(data, run, speakers, save, **changes) for _ in range(1))


def fit_stages(
    trainers: Iterable[Trainer],
    minutes: float | None,
    *fitting,
    finished: Callable[[Trainer], None] = lambda trainer: None,
) -> Trainer:
    """Train each of the stages; return the trainer of the last, or of the one that was stopped.

    Args:
        trainers: of the stages, see `stages`.
        minutes: of all, see `train`.
        *fitting: callbacks, progress and after_step, see `TrainingLoop.fit`.
        finished: called with the trainer of each stage at its end.
    """
    for trainer in trainers:
        before = trainer.seconds
        limit = None if minutes is None else minutes * trainer.time_share
        trainer.fit(limit, *fitting)
        if minutes:  # the next stage takes a step, however slow this one was
            minutes = max(1e-6, minutes - (trainer.seconds - before) / 60.0)
        if trainer.ended == "request":
            break
        finished(trainer)
    return trainer


def stages(
    data, preset: Preset, save: Path, parts: dict | None = None, speakers=None
) -> Iterator[Trainer]:
    """Yield the trainer of each stage, the next one when the one before has been trained.

    A preset with `first_stage_steps` has two: encoder and codebook with a light decoder of mel
    bands, then the decoder with both frozen. A decoder with `local_layers` starts from the
    conditioner of the first stage; one with an `lpc_order` keeps it, and makes its LPC filters of
    it. Errors of the second stage are raised before the first.

    Args:
        data: see `train`.
        preset: of the whole.
        save: folder and prefix of the checkpoints. A first stage in it that is not at its end is
            resumed; one that is, is not trained again.
        parts: see `train`; each is given to the stage that trains it.
        speakers: see `train`.

    Raises:
        InputError: see `train`.
    """
    preset.check_warm_ups()
    source, parts = as_source(data, preset, speakers), dict(parts or {})
    if not preset.training.first_stage_steps:
        yield start_run(source, preset, save, parts)
        return
    first_source = as_source(data, preset.first_stage(), speakers)
    loaded = _check_stages(preset, list(source.speakers), parts)
    names = ("encoder", "bottleneck", "conditioner")
    first_parts = {name: parts.pop(name) for name in names if name in parts}
    first = first_stage(first_source, preset, save, first_parts)
    first.name = STAGES[0]
    first.how_to_continue = f"repeat the call with save={str(save)!r}"
    first.time_share = preset.training.first_stage_share
    if not first.finished:
        yield first
    wait_until(lambda: first.run.steps)
    preset = preset.change(freeze=("encoder", "bottleneck"))
    second = start_run(source, preset, save, parts | dict.fromkeys(loaded, first.run))
    second.name = STAGES[1]
    yield second


def _check_stages(preset: Preset, speakers: list[str], parts: dict) -> list[str]:
    """Return the parts that the second of two stages takes from the first.

    Raises:
        InputError: something in either stage would fail.
    """
    if preset.training.freeze:
        raise InputError(
            f"freeze={list(preset.training.freeze)} with first_stage_steps: the second stage "
            "freezes encoder and bottleneck itself, and the first trains them"
        )
    first, second = (build_model(p, speakers) for p in (preset.first_stage(), preset))
    load_parts(second, parts)
    loaded, decoder = ["encoder", "bottleneck"], second.decoder
    if decoder.conditioner.local_layers or decoder.get_mel_decoder():
        matching_parts(second, "conditioner", first, "the first stage")
        loaded.append("conditioner")
    return loaded


def as_source(data, preset: Preset, speakers=None) -> Source:
    """Return the batches of a preset from a corpus, a store, an iterable or a `Source`."""
    if isinstance(data, Source):
        return data
    config = preset.training
    drawing = {name: getattr(config, name) for name in ("sampling", "gain_db", "shift")}
    sizes = (config.segment_length, config.batch_size, config.seed)
    drawing["workers"] = (current().index, current().count)
    return Source(data, *sizes, speakers, pitch_hop=preset.pitch_hop, **drawing)


def default_save(source: Source, preset: Preset) -> Path:
    """Return a prefix in a new folder of `results/`, named by the parts and the date."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M")
    return unused(results() / run_name(preset, source.name, stamp)) / "weights"


def refuse_checkpoints(save: Path) -> None:
    """Raise InputError where checkpoints of another run would be mixed with new ones."""
    files = sorted(save.parent.glob("*.weights.h5"))
    if files:
        raise InputError(
            f"{save.parent} already has checkpoints, such as {files[0].name}: continue from them "
            "with restore (--restore), or save into another folder (--save); nothing was "
            "overwritten"
        )


def start_run(source: Source, preset: Preset, save: Path, parts: dict | None = None) -> Trainer:
    """Return the trainer of a new run, with random weights or with `parts` of other runs."""
    keras.utils.set_random_seed(preset.training.seed)
    model = build_model(preset, list(source.speakers))
    runs = load_parts(model, parts or {})
    check_lpc_sources(model, preset.training.freeze, runs)
    trainer = Trainer(preset, model, source)
    trainer.codebook_started = "bottleneck" in runs
    checkpoints = {part: str(run.weights_file(run.newest)) for part, run in runs.items()}
    facts = {"data": corpus_facts(source.store)}
    described = (preset, source.name, source.speakers, checkpoints)
    return _create_run(trainer, save, [], *described, **facts)


def _create_run(trainer: Trainer, save: Path, history: list, *described, **facts) -> Trainer:
    """Give a trainer its run, which the first worker writes when all have read what was there."""
    first = trainer.workers.is_first
    trainer.workers.wait()
    trainer.run = Run.create(save, *described, write=first, **facts)
    if first:
        write_history(trainer.folder, history)
    return trainer


def resume_run(data, path: str | Path | Run, speakers=None, save=None, **changes) -> Trainer:
    """Return the trainer of a run as it was at a checkpoint; see `train`.

    Raises:
        InputError: something does not fit; the folder is unchanged then.
    """
    run = path if isinstance(path, Run) else Run(path)
    changes.setdefault("learning_rate", run.preset.training.learning_rate)  # see `extended`
    preset = run.preset.change(**changes)
    for name in (*FIXED, *PARTS):
        before, after = (p if name in PARTS else p.training for p in (run.preset, preset))
        if getattr(before, name) != getattr(after, name):
            raise InputError(f"{name} cannot change in a run that has begun; train a new run")
    source = as_source(data, preset, speakers)
    if list(source.speakers) != list(run.trained_speakers):
        raise InputError(
            f"{run.folder} was trained on the speakers {', '.join(run.trained_speakers)}; this "
            f"corpus has {', '.join(source.speakers)}. Give the corpus that it was trained on"
        )
    trainer = Trainer(preset, build_model(preset, list(run.trained_speakers)), source)
    trainer.codebook_started = True
    if (run.folder / "first_stage").is_dir():
        trainer.name = STAGES[1]
    trainer.load_state(run.state_file(run.newest))
    trainer.config = extended(preset.training, run.preset.training, trainer.position)
    trainer.preset = replace(preset, training=trainer.config)
    save = Path(save or run.folder / run.prefix)
    if save.resolve() != (run.folder / run.prefix).resolve():
        refuse_checkpoints(save)
    history = [record for record in run.history if record["step"] <= trainer.step]
    facts = _facts_of_corpus(run, source)
    described = (trainer.preset, source.name, run.trained_speakers, run.config.get("parts"))
    return _create_run(trainer, save, history, *described, **facts)


def _facts_of_corpus(run: Run, source: Source) -> dict:
    """Return what the config of a resumed run says of its corpus; warn where it is another one."""
    before, facts = run.config.get("data"), corpus_facts(source.store)
    earlier = run.config.get("earlier", [])
    if before and facts:
        same = same_content(before, facts)
    else:
        same = not before and run.config["corpus"] == source.name
    if not same:
        given = f" ({before['store']})" if before else ""
        warnings.warn(
            f"{run.folder} was trained on the corpus {run.config['corpus']}{given}, and is resumed "
            f"on {source.name} ({facts['store'] if facts else 'an iterable'}), which has other "
            "recordings, sentences held out or settings; its config.json names both",
            stacklevel=4,
        )
        noted = {"corpus": run.config["corpus"], "data": before, "until": run.newest}
        earlier = [*earlier, noted]
    return {"data": facts, **({"earlier": earlier} if earlier else {})}


def first_stage(source: Source, preset: Preset, save: Path, parts: dict) -> Trainer:
    """Return the trainer of the first of two stages: encoder, codebook and a `MelDecoder`.

    Its run is the folder `first_stage` beside the checkpoints of the second; if that was stopped,
    it is resumed.

    Raises:
        InputError: the folder holds a first stage of other settings, or of another corpus.
    """
    preset, name = preset.first_stage(), preset.name
    steps, folder = preset.training.steps, save.parent / "first_stage"
    if not (folder / "config.json").is_file() or not Run(folder).steps:
        return start_run(source, preset, folder / "weights", parts)
    run = Run(folder)
    rate, begun = preset.training.learning_rate, run.preset.training
    ended = isinstance(rate, dict) and begun.learning_rate == rate.get("end")  # see `extended`
    longer = begun.steps != steps and rates_of(begun.learning_rate) == rates_of(rate)
    kept = rate if ended or longer else begun.learning_rate
    same = run.preset.change(steps=steps, learning_rate=kept)
    if not same.same_as(preset) or run.config["corpus"] != source.name:
        raise InputError(
            f"{folder} holds a first stage of other settings than the preset {name!r} has, or of "
            f"another corpus ({run.config['corpus']}): save into another folder; nothing was "
            "overwritten"
        )
    return resume_run(source, folder, steps=steps)
