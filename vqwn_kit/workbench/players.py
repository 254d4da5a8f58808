"""An utterance of a run -> a player: conversions to other voices, or one track per checkpoint."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from vqwn_kit.data.corpus import Corpus
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError, one_of
from vqwn_kit.evaluation.metrics.intervals import NotMeasured
from vqwn_kit.evaluation.phones import phone_times
from vqwn_kit.runs.corpus_of import store_of
from vqwn_kit.runs.run import Run, load_run
from vqwn_kit.sampling.generate import convert_voice
from vqwn_kit.widgets.player import Player
from vqwn_kit.workbench.excerpts import find_utterance

Data = Store | Corpus | str | Path | None
MOST_STEPS = 6  # of a time-lapse


def play(
    run: Run | str | Path,
    utterance: str,
    speakers: Iterable[str] | None = None,
    *,
    data: Data = None,
    title: str | None = None,
    progress: bool = False,
    **settings,
) -> Player:
    """Return a player of an utterance, its reconstruction and its conversions to other voices.

    Args:
        run: a run, its path or its name.
        utterance: its key, such as `kumo_036`.
        speakers: voices to convert it to; two others by default.
        data: the corpus; the run's own by default, where it is known.
        title: of the player; the key and the text by default.
        progress: show progress bars.
        **settings: as in `generate`: mode, temperature, seed.

    Raises:
        InputError: no such run, utterance or speaker.

    Example:
        vq.play("results/mini", "kumo_036", ["joe"], temperature=0.9)
    """
    run = load_run(run)
    store = store_of(run, data, progress)
    number = find_utterance(store, utterance)
    member, wave = store.corpus.utterances[number], store.waveform(number)
    others = [name for name in run.speakers if name != member.speaker]
    targets = others[:2] if speakers is None else list(speakers)
    source = [member.speaker] if member.speaker in run.speakers else []
    sounds = convert_voice(run.model, wave, [*source, *targets], progress=progress, **settings)
    names = [f"reconstruction ({name})" for name in source] + [f"as {name}" for name in targets]
    try:
        phones = phone_times(store, [number]).get(number, [])
    except NotMeasured:
        phones = []
    tracks = {f"original ({member.speaker})": wave} | dict(zip(names, sounds, strict=True))
    if title is None:
        title = f"{utterance}: {member.text}".removesuffix(": ")
    return _player(run, run.model, tracks, wave, store.sample_rate, title=title, phones=phones)


def time_lapse(
    run: Run | str | Path,
    utterance: str,
    steps: Sequence[int] | None = None,
    *,
    data: Data = None,
    speaker: str | None = None,
    title: str | None = None,
    progress: bool = False,
    **settings,
) -> Player:
    """Return a player of an utterance as the model reconstructs it at several checkpoints.

    A run keeps as many checkpoints as `keep` says: train with `keep=100` for a long time-lapse.

    Args:
        run: a run, its path or its name.
        utterance: its key, such as `kumo_036`.
        steps: of checkpoints that the run has; by default up to six, the first and the last among
            them, evenly spread over the logarithm of the step.
        data: the corpus; the run's own by default, where it is known.
        speaker: whose voice; by default the utterance's speaker, or none where the run does not
            know that speaker.
        title: of the player.
        progress: show progress bars.
        **settings: as in `generate`: mode, temperature, seed.

    Returns:
        A player of the original and of one track per step; the codes are those of the last step.

    Raises:
        InputError: no such run, utterance, step or speaker.

    Example:
        run = vq.train(corpus, steps=10_000, save_every=100, keep=100)
        vq.time_lapse(run, "kumo_036", steps=[100, 1000, 10_000])
    """
    run = load_run(run)
    store = store_of(run, data, progress)
    number = find_utterance(store, utterance)
    steps = spread(run.steps) if steps is None else sorted(dict.fromkeys(map(int, steps)))
    for step in steps:
        if step not in run.steps:
            raise one_of("checkpoint of step", str(step), run.steps)
    if not steps:
        raise InputError(f"{run.folder} has no checkpoint yet: train the run first")
    wave = store.waveform(number)
    source = store.corpus.utterances[number].speaker
    if speaker is None and source in run.speakers:
        speaker = source
    tracks = {"original": wave}
    for step in steps:
        model = run.load_model(step)
        sounds = convert_voice(model, wave, [speaker], progress=progress, **settings)
        tracks[f"step {step:,}"] = sounds[0]
    title = f"{utterance} at {len(steps)} steps of training" if title is None else title
    return _player(run, model, tracks, wave, store.sample_rate, title=title)


def _player(run: Run, model, tracks: dict, wave: np.ndarray, rate: int, **settings) -> Player:
    """Return a player with the codes of a waveform (T,); its answers go to the run's folder."""
    codes = model.encode(wave) if model.bottleneck.num_embeddings else None
    player = Player(tracks, rate, codes=codes, hop_length=model.hop_length, **settings)
    player.answers = run.folder / "listening.csv"
    return player


def spread(steps: Sequence[int], most: int = MOST_STEPS) -> list[int]:
    """Return at most `most` of some steps, evenly spread over their logarithms, ends included."""
    steps = sorted(steps)
    if len(steps) <= most:
        return steps
    logarithms, chosen = np.log1p(steps), []
    for target in np.linspace(logarithms[0], logarithms[-1], most):
        free = [n for n in range(len(steps)) if n not in chosen]
        chosen.append(min(free, key=lambda n: abs(logarithms[n] - target)))
    return sorted(steps[n] for n in chosen)
