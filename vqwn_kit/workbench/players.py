"""An utterance of a run -> a player: conversions to other voices, or one track per checkpoint.

TensorFlow takes 5 to 14 s to import, and the compiler of the sampler as long on first use. So the
functions that need a model import it, and `play(..., saved=True)` plays without.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from vqwn_kit.data.audio import load_audio
from vqwn_kit.data.corpus import Corpus
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError, one_of
from vqwn_kit.evaluation.metrics.intervals import NotMeasured
from vqwn_kit.evaluation.phones import phone_times
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.runs.corpus_of import store_of
from vqwn_kit.runs.run import Run, load_run
from vqwn_kit.widgets.player import Player
from vqwn_kit.workbench.code_palette import code_palette
from vqwn_kit.workbench.excerpts import find_utterance

Data = Store | Corpus | str | Path | None
MOST_STEPS = 6  # of a time-lapse


def play(
    run: Run | str | Path,
    utterance: str,
    speakers: Iterable[str] | None = None,
    *,
    data: Data = None,
    saved: bool = False,
    title: str | None = None,
    progress: bool = False,
    **settings,
) -> Player:
    """Return a player of an utterance, its reconstruction and its conversions to other voices.

    Below the tracks are the codes and, where they are known, the phones; the key O opens the page
    of the code at the playhead, see `code_page`.

    Args:
        run: a run, its path or its name.
        utterance: its key, such as `kumo_036`.
        speakers: voices to convert it to; two others by default, or all that are saved.
        data: the corpus; the run's own by default, where it is known.
        saved: play the sounds that were saved with the run's score card, instead of synthesising
            new ones: at once, without the codes, and with the phones only where `data` is given.
        title: of the player; the key and the text by default.
        progress: show progress bars.
        **settings: as in `generate`: mode, temperature, seed, pitch.

    Raises:
        InputError: no such run, utterance or speaker; with `saved` also no score card, or a
            setting of new sounds.

    Example:
        vq.play("results/mini", "kumo_036", saved=True)
        vq.play("results/mini", "kumo_036", ["joe"], temperature=0.9)
    """
    run = load_run(run)
    if saved:
        if settings:
            raise InputError(f"saved=True plays what exists; {', '.join(settings)} has no effect")
        return _play_saved(run, utterance, speakers, data, title)
    store = store_of(run, data, progress)
    number = find_utterance(store, utterance)
    member, wave = store.corpus.utterances[number], store.waveform(number)
    others = [name for name in run.speakers if name != member.speaker]
    targets = others[:2] if speakers is None else list(speakers)
    source = [member.speaker] if member.speaker in run.speakers else []
    sounds = converted(run.model, store, number, [*source, *targets], progress, settings)
    names = [f"reconstruction ({name})" for name in source] + [f"as {name}" for name in targets]
    tracks = {f"original ({member.speaker})": wave} | dict(zip(names, sounds, strict=True))
    title = _title(utterance, member.text) if title is None else title
    shown = {"title": title, "phones": phones_of(store, number), **opener_of(run, store)}
    return _player(run, run.model, tracks, wave, store.sample_rate, **shown)


def converted(
    model, store: Store, number: int, voices: Sequence[str | None], progress: bool, settings: dict
) -> list[np.ndarray]:
    """Return an utterance in each of some voices; settings as in `generate`, at its own pitch."""
    from vqwn_kit.sampling.generate import convert_voice
    from vqwn_kit.sampling.pitch import utterance_pitch

    pitch = utterance_pitch(model, store, number, progress=progress)
    settings = {"pitch": pitch, "progress": progress, **settings}
    return convert_voice(model, store.waveform(number), voices, **settings)


def opener_of(run: Run, store: Store) -> dict:
    """Return what opens the page of a code in a player, where the run has codes."""
    from vqwn_kit.workbench.code_page import page_opener
    from vqwn_kit.workbench.examine import examine_codes

    if not run.model.bottleneck.num_embeddings:
        return {}
    return page_opener(lambda: examine_codes(run, store, False, None))


def _play_saved(run: Run, utterance: str, speakers, data: Data, title: str | None) -> Player:
    """Return a player of the sounds of an utterance that were saved with the run's score card.

    Phones need a prepared corpus, which takes half a minute where it is new.
    """
    every = ScoreCard.load(run.folder).tracks
    saved = {track["label"]: track for track in every if track["utterance"] == utterance}
    if not saved:
        keys = dict.fromkeys(track["utterance"] for track in every)
        raise one_of("utterance with saved sounds", utterance, keys)
    if speakers is not None:
        voices = [label.removeprefix("as ") for label in saved if label.startswith("as ")]
        for name in (speakers := list(speakers)):
            if name not in voices:
                raise one_of(f"conversion of {utterance} that is saved, to", name, voices)
        left_out = {f"as {name}" for name in voices if name not in speakers}
        saved = {label: track for label, track in saved.items() if label not in left_out}
    tracks = {label: load_audio(run.folder / track["file"]) for label, track in saved.items()}
    phones, text = [], next(iter(saved.values()))["text"]
    if data is not None:
        store = store_of(run, data, False)
        phones = phones_of(store, find_utterance(store, utterance))
    title = _title(utterance, text) if title is None else title
    player = Player(tracks, title=title, phones=phones)
    player.answers = run.folder / "listening.csv"
    return player


def _title(utterance: str, text: str) -> str:
    return f"{utterance}: {text}" if text else utterance


def phones_of(store: Store, number: int) -> list:
    """Return the phones of an utterance with their times, or none where they are not known."""
    try:
        return phone_times(store, [number]).get(number, [])
    except NotMeasured:
        return []


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
        **settings: as in `generate`: mode, temperature, seed, pitch.

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
    wave, source = store.waveform(number), store.corpus.utterances[number].speaker
    if speaker is None and source in run.speakers:
        speaker = source
    tracks = {"original": wave}
    for step in steps:
        model = run.load_model(step)
        (sound,) = converted(model, store, number, [speaker], progress, settings)
        tracks[f"step {step:,}"] = sound
    title = f"{utterance} at {len(steps)} steps of training" if title is None else title
    return _player(run, model, tracks, wave, store.sample_rate, title=title)


def _player(run: Run, model, tracks: dict, wave: np.ndarray, rate: int, **settings) -> Player:
    """Return a player with the codes of a waveform (T,); its answers go to the run's folder."""
    codes = model.encode(wave) if model.bottleneck.num_embeddings else None
    palette = code_palette(run) if codes is not None else None
    settings |= {"hop_length": model.hop_length, "palette": palette}
    player = Player(tracks, rate, codes=codes, **settings)
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
