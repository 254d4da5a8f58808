"""Training a model on speech: a corpus and a preset -> a run folder, in one stage or two."""

import time
from collections.abc import Iterable
from pathlib import Path

from vqwn_kit.config import Preset, load_preset
from vqwn_kit.corpus import Corpus
from vqwn_kit.errors import InputError
from vqwn_kit.run import Run
from vqwn_kit.store import Store
from vqwn_kit.trainer import Callback, Trainer, default_save, refuse_checkpoints


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
            `freeze=["encoder"]` they stay as they are.
        minutes: end after this time even if steps are left.
        log_dir: write scalars and histograms of codes for TensorBoard there.
        callbacks: called with each line of the history and the model, which has its averaged
            weights where the line tells of held-out utterances; see `audio_log`.
        progress: show a progress bar with the time left.
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
    settings = (log_dir, callbacks, progress)
    if restore is not None:
        if parts:
            raise InputError(
                f"restore goes on with all of {restore}: give either restore or parts, not both"
            )
        trainer = Trainer.restored(data, restore, speakers, save, **changes)
        trainer.fit(minutes, *settings)
        return trainer.run
    preset = load_preset(preset).change(**changes)
    if preset.training.first_stage_steps:
        save = Path(save or default_save(data, preset, speakers))
        refuse_checkpoints(save)
        began = time.perf_counter()
        first = first_stage(data, preset, speakers, save)
        first.fit(minutes, *settings)
        if first.step < first.config.steps:
            return first.run
        minutes = minutes and max(0.0, minutes - (time.perf_counter() - began) / 60)
        preset = preset.change(freeze=("encoder", "bottleneck"))
        parts = {**(parts or {}), "encoder": first.run, "bottleneck": first.run}
    trainer = Trainer.fresh(data, preset, speakers, save, parts)
    trainer.fit(minutes, *settings)
    return trainer.run


def first_stage(data, preset: Preset, speakers, save: Path) -> "Trainer":
    """Return the trainer of the first of two stages: encoder, codebook and a `FrameDecoder`.

    Its run is the folder `first_stage` beside the checkpoints of the second. It goes on where it
    was stopped.

    Raises:
        InputError: the folder holds a first stage of another encoder or bottleneck.
    """
    steps = preset.training.first_stage_steps
    light = preset.change(decoder="FrameDecoder", steps=steps, first_stage_steps=0)
    folder = save.parent / "first_stage"
    if not (folder / "config.json").is_file() or not Run(folder).steps:
        return Trainer.fresh(data, light, speakers, folder / "weights")
    there = Run(folder).preset
    if (there.encoder, there.bottleneck) != (light.encoder, light.bottleneck):
        raise InputError(
            f"{folder} holds a first stage of another encoder or bottleneck than the preset "
            f"{preset.name!r}: save into another folder; nothing was overwritten"
        )
    return Trainer.restored(data, folder, speakers, steps=steps)
