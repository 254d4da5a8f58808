"""Training a model on speech: a corpus and a preset -> a run folder, in one stage or two."""

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

import keras

from vqwn_kit.data.corpus import Corpus
from vqwn_kit.data.segments import Source
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError
from vqwn_kit.files import results, unused
from vqwn_kit.presets.build import build_model
from vqwn_kit.presets.preset import Preset, load_preset
from vqwn_kit.presets.training_config import PARTS
from vqwn_kit.runs.history import write_history
from vqwn_kit.runs.run import Run, run_name
from vqwn_kit.runs.transfer import check_lpc_sources, load_parts, matching_parts
from vqwn_kit.training.loop import Callback
from vqwn_kit.training.tensorboard import scalar_log
from vqwn_kit.training.trainer import Trainer

# What cannot change in a run that has begun, beside its parts.
FIXED = ("seed", "precision", "average_decay", "warm_start_batches", "freeze")


def train(
    data: Corpus | Store | Iterable,
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
        data: a corpus or its store, or an iterable of (waveform, speaker), see `IterableSegments`.
        preset: see `load_preset`.
        speakers: names of the speakers, where `data` is an iterable.
        save: folder and prefix of the checkpoints, such as `saved_model/weights`; by default
            `weights` in a new folder of `results/`, named by the parts and the date.
        restore: a run folder or checkpoint to resume exactly, with its own preset.
        parts: runs from which parts are loaded, such as `{"encoder": "results/mini"}`; add
            `freeze=["encoder"]` to keep them as they are. See `load_part`.
        minutes: end after this time even if steps are left.
        log_dir: write scalars and histograms of codes for TensorBoard there.
        callbacks: called with each line of the history and the model; see `audio_log`.
        progress: show a progress bar with the time left.
        after_step: called with the trainer after each step, not counted as training; it may set
            `trainer.stop_requested` to end with a checkpoint.
        **changes: such as `encoder="2019"` or `steps=2000` (in all); see `Preset.change`.

    Returns:
        The run; of the first of two stages if the time ends there: the same call continues it.

    Raises:
        InputError: see `load_preset`, `build_model` and `prepare`; a refused call changes nothing.
        KeyboardInterrupt: after Ctrl-C, once the checkpoint is written; `restore` continues.
    """
    logs = [] if log_dir is None else [scalar_log(log_dir)]
    fitting = ([*callbacks, *logs], progress, after_step)
    if restore is not None:
        if parts:
            raise InputError(
                f"restore continues with all parts of {restore}: give either restore or parts"
            )
        trainer = resume_run(data, restore, speakers, save, **changes)
    else:
        preset = load_preset(preset).change(**changes)
        source = as_source(data, preset, speakers)
        save = Path(save or default_save(source, preset))
        refuse_checkpoints(save)
        if preset.training.first_stage_steps:
            sources = (as_source(data, first_preset(preset), speakers), source)
            return train_two_stages(sources, preset, save, dict(parts or {}), minutes, fitting)
        trainer = start_run(source, preset, save, parts)
    trainer.fit(minutes, *fitting)
    return trainer.run


def as_source(data, preset: Preset, speakers=None) -> Source:
    """Return the batches of a preset from a corpus, a store, an iterable or a `Source`."""
    if isinstance(data, Source):
        return data
    config = preset.training
    drawing = {name: getattr(config, name) for name in ("sampling", "gain_db", "shift")}
    sizes = (config.segment_length, config.batch_size, config.seed)
    return Source(data, *sizes, speakers, **drawing)


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
    trainer.run = Run.create(save, preset, source.name, source.speakers, checkpoints)
    write_history(trainer.folder, [])
    return trainer


def resume_run(data, path: str | Path, speakers=None, save=None, **changes) -> Trainer:
    """Return the trainer of a run as it was at a checkpoint; see `train`.

    Raises:
        InputError: something does not fit; the folder is unchanged then.
    """
    run = Run(path)
    preset = run.preset.change(**changes)
    for name in (*FIXED, *PARTS):
        before, after = (p if name in PARTS else p.training for p in (run.preset, preset))
        if getattr(before, name) != getattr(after, name):
            raise InputError(f"{name} cannot change in a run that has begun; train a new run")
    source = as_source(data, preset, speakers)
    if list(source.speakers) != list(run.speakers):
        raise InputError(
            f"{path} was trained on the speakers {', '.join(run.speakers)}; this corpus has "
            f"{', '.join(source.speakers)}. Give the corpus that it was trained on"
        )
    trainer = Trainer(preset, build_model(preset, list(run.speakers)), source)
    trainer.codebook_started = True
    trainer.load_state(run.state_file(run.newest))
    save = Path(save or run.folder / run.prefix)
    if save.resolve() != (run.folder / run.prefix).resolve():
        refuse_checkpoints(save)
    history = [record for record in run.history if record["step"] <= trainer.step]
    parts = run.config.get("parts")
    trainer.run = Run.create(save, preset, run.config["corpus"], run.speakers, parts)
    write_history(trainer.folder, history)
    return trainer


def train_two_stages(sources, preset: Preset, save: Path, parts: dict, minutes, fitting) -> Run:
    """Train encoder and codebook first, then the decoder on them frozen; return the last run.

    See `train`. Errors of the second stage are raised before the first. A decoder with
    `local_layers` starts from the conditioner of the first stage; one with an `lpc_order` keeps
    it, and makes its LPC filters of it.
    """
    begun, loaded = time.perf_counter(), ["encoder", "bottleneck"]
    if preset.training.freeze:
        raise InputError(
            f"freeze={list(preset.training.freeze)} with first_stage_steps: the second stage "
            "freezes encoder and bottleneck itself, and the first trains them"
        )
    models = [build_model(p, list(sources[0].speakers)) for p in (first_preset(preset), preset)]
    load_parts(models[1], parts)
    decoder = models[1].decoder
    if decoder.conditioner.local_layers or decoder.get_mel_decoder():
        matching_parts(models[1], "conditioner", models[0], "the first stage")
        loaded.append("conditioner")
    names = ("encoder", "bottleneck", "conditioner")
    first_parts = {name: parts.pop(name) for name in names if name in parts}
    first = first_stage(sources[0], preset, save, first_parts)
    try:
        first.fit(minutes, *fitting)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(
            f"stopped in the first of two stages, at step {first.step} of {first.config.steps}, "
            f"and saved; to continue, repeat the call with save={str(save)!r}"
        ) from stop
    if first.step < first.config.steps:
        return first.run
    if minutes is not None:
        minutes = max(0.0, minutes - (time.perf_counter() - begun) / 60)
    preset = preset.change(freeze=("encoder", "bottleneck"))
    second = start_run(sources[1], preset, save, parts | dict.fromkeys(loaded, first.run))
    second.fit(minutes, *fitting)
    return second.run


def first_preset(preset: Preset) -> Preset:
    """Return the preset of the first of two stages: a `MelDecoder`, and settings of its own."""
    own = {"first_stage_steps": 0, "first_stage": None, **(preset.training.first_stage or {})}
    return preset.change(decoder="MelDecoder", steps=preset.training.first_stage_steps, **own)


def first_stage(source: Source, preset: Preset, save: Path, parts: dict) -> Trainer:
    """Return the trainer of the first of two stages: encoder, codebook and a `MelDecoder`.

    Its run is the folder `first_stage` beside the checkpoints of the second; if that was stopped,
    it is resumed.

    Raises:
        InputError: the folder holds a first stage of other settings, or of another corpus.
    """
    preset, name = first_preset(preset), preset.name
    steps, folder = preset.training.steps, save.parent / "first_stage"
    if not (folder / "config.json").is_file() or not Run(folder).steps:
        return start_run(source, preset, folder / "weights", parts)
    run = Run(folder)
    same = run.preset.change(steps=steps).same_as(preset)
    if not same or run.config["corpus"] != source.name:
        raise InputError(
            f"{folder} holds a first stage of other settings than the preset {name!r} has, or of "
            f"another corpus ({run.config['corpus']}): save into another folder; nothing was "
            "overwritten"
        )
    return resume_run(source, folder, steps=steps)
