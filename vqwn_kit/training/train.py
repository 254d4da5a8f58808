"""Training a model on speech: a corpus and a preset -> a run folder, in one stage or two."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from vqwn_kit.data.corpus import Corpus
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError
from vqwn_kit.presets.build import build_model
from vqwn_kit.presets.preset import Preset, load_preset
from vqwn_kit.runs.run import Run
from vqwn_kit.runs.transfer import load_parts, matching_parts
from vqwn_kit.training.trainer import Callback, Trainer, as_source, default_save, refuse_checkpoints


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
    """Train a model and return its run folder.

    Args:
        data: a corpus or its store, or an iterable of (waveform, speaker), see `IterableSegments`.
        preset: see `load_preset`.
        speakers: names of the speakers, where `data` is an iterable.
        save: folder and prefix of the checkpoints, such as `saved_model/weights`; by default
            `weights` in a new folder of `results/`, named by the run's choices and date.
        restore: a run folder or checkpoint to go on from, exactly as if it hadn't stopped; it
            brings its own preset. It goes on in the same folder, if `save` names no other.
        parts: runs that parts of the model start from, such as `{"encoder": "results/mini"}`; with
            `freeze=["encoder"]` they stay as they are, as the `conditioner` of a decoder with a
            `lpc_order` always do. See `load_part`.
        minutes: end after this time even if steps are left.
        log_dir: write scalars and histograms of codes for TensorBoard there.
        callbacks: called with each line of the history and the model, which has its averaged
            weights where the line tells of held-out utterances; see `audio_log`.
        progress: show a progress bar with the time left.
        after_step: called with the trainer after each step; it may set `trainer.stop_requested`,
            which ends the training with a checkpoint, and may wait as long as it likes.
        **changes: parts or settings to exchange, such as `encoder="2019"` or `steps=2000`, the
            number of steps in all; see `Preset.change` and `TrainingConfig`.

    Returns:
        The run; `run.model` is ready to listen to. If the time was over in the first of two stages,
        that stage's run: called again with the same `save`, it goes on.

    Raises:
        InputError: see `load_preset`, `build_model` and `prepare`; a refused call changes nothing.
        KeyboardInterrupt: after Ctrl-C or the notebook's stop button, when the step is done and
            its checkpoint written; `restore` goes on from there.
    """
    settings = (_made(log_dir), callbacks, progress, after_step)
    if restore is not None:
        if parts:
            raise InputError(
                f"restore goes on with all of {restore}: give either restore or parts, not both"
            )
        trainer = Trainer.restored(data, restore, speakers, save, **changes)
    else:
        preset = load_preset(preset).change(**changes)
        if preset.training.first_stage_steps:
            return in_two_stages(data, preset, speakers, save, dict(parts or {}), minutes, settings)
        trainer = Trainer.fresh(data, preset, speakers, save, parts)
    trainer.fit(minutes, *settings)
    return trainer.run


def _made(folder: str | Path | None) -> str | Path | None:
    """Return a folder for logs, which is there now."""
    if folder is not None:
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"can't make the folder {folder} for logs ({error.strerror}): give another (--log)"
            ) from error
    return folder


def in_two_stages(data, preset: Preset, speakers, save, parts: dict, minutes, settings) -> Run:
    """Train encoder and codebook first, then the decoder on them frozen; return the last run.

    See `train`. What is wrong with the second stage is refused before the first. A decoder with
    `local_layers` starts from the conditions that the first stage's has learnt; one with a
    `lpc_order` keeps them, and makes its filters of them.
    """
    if preset.training.freeze:
        raise InputError(
            f"freeze={list(preset.training.freeze)} with first_stage_steps: the second stage "
            "freezes encoder and bottleneck itself, and the first trains them"
        )
    source = as_source(data, preset, speakers)
    model, light = [
        build_model(one, list(source.speakers)) for one in (preset, first_preset(preset))
    ]
    load_parts(model, parts)
    begins = model.decoder.conditioner.local_layers or model.decoder.get_mel_decoder()
    if begins:
        matching_parts(model, "conditioner", light, "the first stage")
    save = Path(save or default_save(source, preset))
    refuse_checkpoints(save)
    began = time.perf_counter()
    own = {
        part: parts.pop(part) for part in ("encoder", "bottleneck", "conditioner") if part in parts
    }
    first = first_stage(data, preset, speakers, save, own)
    try:
        first.fit(minutes, *settings)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(
            f"stopped in the first of two stages, at step {first.step} of {first.config.steps}, "
            f"and saved; to go on, call the same again with save={str(save)!r}"
        ) from stop
    if first.step < first.config.steps:
        return first.run
    if minutes is not None:
        minutes = max(0.0, minutes - (time.perf_counter() - began) / 60)
    preset = preset.change(freeze=("encoder", "bottleneck"))
    parts |= {"encoder": first.run, "bottleneck": first.run}
    if begins:
        parts["conditioner"] = first.run
    second = Trainer.fresh(data, preset, speakers, save, parts)
    second.fit(minutes, *settings)
    return second.run


def first_preset(preset: Preset) -> Preset:
    """Return the preset of the first of two stages: with a `MelDecoder`, and its own settings."""
    own = {"first_stage_steps": 0, "first_stage": None, **(preset.training.first_stage or {})}
    return preset.change(decoder="MelDecoder", steps=preset.training.first_stage_steps, **own)


def first_stage(data, preset: Preset, speakers, save: Path, parts: dict) -> Trainer:
    """Return the trainer of the first of two stages: encoder, codebook and a `MelDecoder`.

    Its run is the folder `first_stage` beside the checkpoints of the second. It goes on where it
    was stopped.

    Raises:
        InputError: the folder holds a first stage of other settings, or of another corpus.
    """
    light = first_preset(preset)
    steps = light.training.steps
    folder = save.parent / "first_stage"
    if not (folder / "config.json").is_file() or not Run(folder).steps:
        return Trainer.fresh(data, light, speakers, folder / "weights", parts)
    there = Run(folder)
    same = there.preset.change(steps=steps).same_as(light)
    if not same or there.config["corpus"] != as_source(data, light, speakers).name:
        raise InputError(
            f"{folder} holds a first stage of other settings than the preset {preset.name!r} has, "
            f"or of another corpus ({there.config['corpus']}): save into another folder; nothing "
            "was overwritten"
        )
    return Trainer.restored(data, folder, speakers, steps=steps)
