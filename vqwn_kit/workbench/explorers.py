"""A run and its corpus -> the widgets: a player of an utterance, maps of codes, speakers, frames.

Nothing is drawn or played here: widgets take arrays and callbacks, and this makes them.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from vqwn_kit.data.corpus import Corpus
from vqwn_kit.data.scan import FACTS
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError, one_of
from vqwn_kit.evaluation.code_usage import (
    code_statistics,
    codebook_vectors,
    most_frequent,
    sample_frames,
)
from vqwn_kit.evaluation.context import EvaluationContext, evaluation_context
from vqwn_kit.evaluation.metrics.intervals import NotMeasured
from vqwn_kit.evaluation.phones import KIND_OF, SOUNDS, phone_times
from vqwn_kit.plots.projection import project_2d
from vqwn_kit.runs.corpus_of import store_of
from vqwn_kit.runs.run import Run, load_run
from vqwn_kit.sampling.generate import convert_voice, generate
from vqwn_kit.widgets.explorer import Explorer
from vqwn_kit.widgets.player import Player
from vqwn_kit.widgets.points import Colour, Link, followers, nearest, shares

Data = Store | Corpus | str | Path | None
AROUND = 0.18  # seconds of speech around a frame: one frame of 4 ms is a click
GAP = 0.12  # seconds of silence between examples
EXAMPLES = 5
HELD = 0.4  # seconds that the decoder holds a code


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
    """Speak an utterance again, in its own voice and in others, and return a player of all.

    Args:
        run: a run or its path.
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
    keys = {member.key: number for number, member in enumerate(store.corpus)}
    if utterance not in keys:
        raise one_of("utterance", utterance, keys)
    member, wave = store.corpus[utterance], store.waveform(keys[utterance])
    others = [name for name in run.speakers if name != member.speaker]
    speakers = others[:2] if speakers is None else list(speakers)
    own = [member.speaker] if member.speaker in run.speakers else []
    spoken = convert_voice(run.model, wave, [*own, *speakers], progress=progress, **settings)
    names = [f"reconstruction ({name})" for name in own] + [f"as {name}" for name in speakers]
    coded = run.model.bottleneck.num_embeddings
    player = Player(
        {f"original ({member.speaker})": wave} | dict(zip(names, spoken, strict=True)),
        store.sample_rate,
        codes=run.model.encode(wave) if coded else None,
        hop_length=run.model.hop_length,
        phones=_phones_of(store, keys[utterance]),
        title=f"{utterance}: {member.text}".removesuffix(": ") if title is None else title,
    )
    player.answers = run.folder / "listening.csv"
    return player


def _phones_of(store: Store, number: int) -> list:
    """Return the phones of an utterance, or none where they aren't known."""
    try:
        return phone_times(store, [number]).get(number, [])
    except NotMeasured:
        return []


def explore(
    run: Run | str | Path, what: str = "codebook", data: Data = None, **settings
) -> Explorer:
    """Return a map of a run to click on: of its codes, its speakers or frames of held-out speech.

    Args:
        run: a run, its path, or the name of a shipped one.
        what: `codebook`, `speakers` or `frames`.
        data: the corpus; the run's own by default, where it is known.
        **settings: those of `explore_codebook`, `explore_speakers` or `explore_frames`.

    Raises:
        InputError: no such run, corpus or map.

    Example:
        vq.explore("mini", "codebook")
    """
    if what not in MAPS:
        raise one_of("map", what, MAPS)
    return MAPS[what](run, data, **settings)


def explore_codebook(
    run: Run | str | Path,
    data: Data = None,
    *,
    speaker: str | None = None,
    methods: Sequence[str] = ("pca", "umap"),
    utterances: int | None = None,
    progress: bool = True,
) -> Explorer:
    """Map the codes of a run: what each is used for, what it leads to, and how it sounds.

    A click plays real speech around frames that have the code, or the decoder holding it.

    Args:
        run: a run or its path.
        data: the corpus; the run's own by default, where it is known.
        speaker: whose voice the decoder takes; the first by default.
        methods: `pca`, `umap` or both; UMAP takes half a minute at its first use.
        utterances: how many held-out ones are looked at beside up to 240 of training; all.
        progress: show progress bars.

    Raises:
        InputError: no such run or corpus, or a model without a codebook.
    """
    subject = _subject(run, data, utterances, progress)
    facts, codes = code_statistics(subject), subject.codes
    counts, share, vectors = facts.counts, facts.percent, facts.vectors
    size, used = len(counts), counts > 0
    names = list(subject.run.speakers)
    colours = [Colour("share of frames", np.where(used, share, np.nan), "%", log=True)]
    told = {"frames": [f"{n:,} ({part:.2g} %)" for n, part in zip(counts, share, strict=True)]}
    if isinstance(facts.phones, NotMeasured):
        told["phones"] = [f"not known: {facts.phones}"] * size
    else:
        phone, part = most_frequent(facts.phones, SOUNDS)
        colours.append(Colour("commonest phone", phone, groups=KIND_OF))
        colours.append(Colour("share of that phone", part, "%"))
        told["phones"] = shares(facts.phones, SOUNDS)
    speakers, part = most_frequent(facts.voices, names)
    colours.append(Colour("commonest speaker", speakers))
    colours.append(Colour("share of that speaker", part, "%"))
    voice = names[0] if speaker is None else speaker
    hear = {"speech that has it": lambda code: _examples(subject, code)}
    if subject.model.is_autoregressive:
        hear[f"decoder ({voice})"] = lambda code: _held(subject, code, voice)
    return Explorer(
        _maps(vectors, methods),
        [f"code {code}" for code in range(size)],
        sizes=share,
        colours=colours,
        facts=told | {"speakers": shares(facts.voices, names)},
        links=[nearest(vectors, among=used), followers(list(codes.values()), size)],
        hear=hear,
        crosses=~used,
        size_name="share of frames",
        sample_rate=subject.store.sample_rate,
        title=f"{subject.run.folder.name}: {used.sum()} of {size} codes in use",
    )


def explore_speakers(
    run: Run | str | Path,
    data: Data = None,
    *,
    utterance: str | None = None,
    seconds: float = 2.5,
    progress: bool = True,
) -> Explorer:
    """Map the speakers of a run as its decoder tells them apart; a click plays the voice.

    Args:
        run: a run or its path.
        data: the corpus; the run's own by default, where it is known.
        utterance: key of what all voices say; the first held-out one by default.
        seconds: of each sound at most.
        progress: show progress bars.

    Raises:
        InputError: no such run, corpus or utterance.
    """
    run = load_run(run)
    store = store_of(run, data, progress)
    corpus, names = store.corpus, list(run.speakers)
    vectors = run.model.decoder.speakers.numpy()
    owners = np.array([member.speaker for member in corpus])
    minutes = np.array([store.lengths[owners == name].sum() for name in names]) / store.sample_rate
    keys = [member.key for member in corpus]
    if utterance is not None and utterance not in keys:
        raise one_of("utterance", utterance, keys)
    said = keys.index(utterance) if utterance else [*store.numbers("held_out"), 0][0]
    most = round(seconds * store.sample_rate)

    def real(speaker: int) -> np.ndarray:
        mine = np.flatnonzero(owners == names[speaker])
        if not len(mine):
            raise InputError(f"{corpus.folder} has no recording of {names[speaker]}")
        return _faded(store.waveform(mine[0])[:most])

    def spoken(speaker: int) -> np.ndarray:
        wave = store.waveform(said)[:most]
        return _faded(convert_voice(run.model, wave, [names[speaker]])[0])

    known = {fact: [facts.get(fact, "") for facts in run.speakers.values()] for fact in FACTS}
    known = {fact: values for fact, values in known.items() if any(values)}
    hear = {"recording": real}
    if run.model.is_autoregressive:
        hear[f"decoder saying {keys[said]}"] = spoken
    return Explorer(
        _maps(vectors, ("pca", "umap") if len(names) > 15 else ("pca",)),
        names,
        sizes=minutes,
        colours=[_numbers_or_names(fact, values) for fact, values in known.items()],
        facts=known | {"speech": [f"{part / 60:.1f} min" for part in minutes]},
        links=[nearest(vectors, count=min(5, len(names) // 2))] if len(names) > 1 else [],
        hear=hear,
        size_name="minutes of speech",
        sample_rate=store.sample_rate,
        title=f"{run.folder.name}: {len(names)} speakers",
    )


def explore_frames(
    run: Run | str | Path,
    data: Data = None,
    *,
    frames: int = 1200,
    methods: Sequence[str] = ("pca", "umap"),
    utterances: int | None = None,
    progress: bool = True,
) -> Explorer:
    """Map frames of held-out speech as the encoder sees them (z_e), among the codes (crosses).

    A click on a frame plays the speech around it, on a code speech that has it.

    Args:
        run: a run or its path.
        data: the corpus; the run's own by default, where it is known.
        frames: how many at most, evenly spread.
        methods: `pca`, `umap` or both.
        utterances: how many held-out ones are looked at; all by default.
        progress: show progress bars.

    Raises:
        InputError: no such run or corpus, or a model without a codebook.
    """
    subject = _subject(run, data, utterances, progress)
    chosen, codebook = sample_frames(subject, frames), codebook_vectors(subject)
    count, size, taken = len(chosen.z_e), len(codebook), chosen.codes
    used = np.unique(taken)
    row_of = {int(code): count + row for row, code in enumerate(used)}
    blank = [""] * len(used)
    colours = [Colour("speaker", [*chosen.speakers, *blank])]
    told = {"code": [*map(str, taken), *blank], "speaker": [*chosen.speakers, *blank]}
    if isinstance(chosen.phones, NotMeasured):
        told["phone"] = [f"not known: {chosen.phones}"] * count + blank
    else:
        told["phone"] = [*chosen.phones, *blank]
        colours.insert(0, Colour("phone", told["phone"], groups=KIND_OF))
    far = [*chosen.distance, *[np.nan] * len(used)]
    colours.append(Colour("distance to its code", far))
    to = np.full((count + len(used), 1), -1)
    to[:count, 0] = [row_of[int(code)] for code in taken]

    def around(point: int) -> np.ndarray:
        if point >= count:
            return _examples(subject, int(used[point - count]))
        return _excerpt(subject, chosen.utterances[point], chosen.places[point])

    names = [f"{key} {t:.2f} s" for key, t in zip(chosen.keys, chosen.seconds, strict=True)]
    return Explorer(
        _maps(np.concatenate([chosen.z_e, codebook[used]]), methods),
        names + [f"code {code}" for code in used],
        colours=colours,
        facts=told,
        links=[Link("its code", to)],
        hear={"speech around it": around},
        crosses=np.arange(len(to)) >= count,
        cross_name="codes",
        numbers=[-1] * count + used.tolist(),
        sample_rate=subject.store.sample_rate,
        title=f"{subject.run.folder.name}: {count} frames and {len(used)} of {size} codes",
    )


MAPS = {"codebook": explore_codebook, "speakers": explore_speakers, "frames": explore_frames}


def _subject(
    run: Run | str | Path, data: Data, utterances: int | None, progress: bool
) -> EvaluationContext:
    run = load_run(run)
    if not run.model.bottleneck.num_embeddings:
        raise InputError(f"{run.folder} has no codebook (an autoencoder): there are no codes")
    store = store_of(run, data, progress)
    return evaluation_context(run, store, utterances, progress=progress)


def _maps(vectors: np.ndarray, methods: Sequence[str]) -> dict[str, np.ndarray]:
    for method in methods:
        if method not in ("pca", "umap"):
            raise one_of("method", method, ("pca", "umap"))
    return {method.upper(): project_2d(vectors, method) for method in methods}


def _numbers_or_names(name: str, values: Sequence[str]) -> Colour:
    """Colour by numbers where all that is known is a number, as ages are."""
    try:
        return Colour(name, [float(value) if value else np.nan for value in values])
    except ValueError:
        return Colour(name, values)


def _faded(wave: np.ndarray, samples: int = 160) -> np.ndarray:
    """Return a waveform (T,) that begins and ends without a click."""
    samples = min(samples, len(wave) // 2)
    ramp = np.linspace(0.0, 1.0, samples, dtype=np.float32)
    faded = np.array(wave, np.float32)
    faded[:samples] *= ramp
    faded[len(faded) - samples :] *= ramp[::-1]
    return faded


def _excerpt(subject: EvaluationContext, number: int, frame: int) -> np.ndarray:
    """Return the speech around a frame of an utterance."""
    wave, rate = subject.store.waveform(number), subject.store.sample_rate
    middle, half = (frame + 0.5) * subject.model.hop_length, AROUND * rate / 2
    return _faded(wave[max(0, round(middle - half)) : round(middle + half)])


def _examples(subject: EvaluationContext, code: int) -> np.ndarray:
    """Return speech around some frames that have a code, from as many utterances as possible."""
    found = {n: np.flatnonzero(codes == code) for n, codes in subject.codes.items()}
    found = {n: frames for n, frames in found.items() if len(frames)}
    if not found:
        raise InputError(f"no frame of {len(subject.codes)} utterances has code {code}")
    most = sorted(found, key=lambda n: -len(found[n]))[:EXAMPLES]
    gap = np.zeros(round(GAP * subject.store.sample_rate), np.float32)
    parts = []
    for n in most:
        parts += [_excerpt(subject, n, found[n][len(found[n]) // 2]), gap]
    return np.concatenate(parts[:-1])


def _held(subject: EvaluationContext, code: int, speaker: str) -> np.ndarray:
    """Return what the decoder says when it is told one code all the time."""
    frames = max(1, round(HELD * subject.frame_rate))
    return _faded(generate(subject.model, np.full(frames, code), [speaker])[0])
