"""A run -> a map of its speakers' embeddings, each of which plays a voice."""

from collections.abc import Sequence

import numpy as np

from vqwn_kit.data.scan import FACTS
from vqwn_kit.errors import InputError
from vqwn_kit.plots.style import SEXES
from vqwn_kit.runs.corpus_of import store_of
from vqwn_kit.runs.run import load_run
from vqwn_kit.sampling.generate import convert_voice
from vqwn_kit.widgets.explorer import Explorer
from vqwn_kit.widgets.points import Colour, nearest
from vqwn_kit.workbench.codebook_map import METHODS, projections
from vqwn_kit.workbench.excerpts import faded, find_utterance


def speaker_map(
    run, data, progress: bool, *, utterance: str | None = None, seconds: float = 2.5
) -> Explorer:
    """Return the map of the speakers; see `explore`."""
    run = load_run(run)
    store = store_of(run, data, progress)
    corpus, names = store.corpus, list(run.speakers)
    number, longest = find_utterance(store, utterance), round(seconds * store.sample_rate)
    vectors = run.speaker_embedding()
    speaker_of = np.array([member.speaker for member in corpus])
    samples = [store.lengths[speaker_of == name].sum() for name in names]
    minutes = np.array(samples) / store.sample_rate / 60

    def recording(speaker: int) -> np.ndarray:
        numbers = np.flatnonzero(speaker_of == names[speaker])
        if not len(numbers):
            raise InputError(f"{corpus.folder} has no recording of {names[speaker]}")
        return faded(store.waveform(numbers[0])[:longest])

    def converted(speaker: int) -> np.ndarray:
        wave = store.waveform(number)[:longest]
        return faded(convert_voice(run.model, wave, [names[speaker]])[0])

    known = {fact: [facts.get(fact, "") for facts in run.speakers.values()] for fact in FACTS}
    known = {fact: values for fact, values in known.items() if any(values)}
    hear = {"recording": recording, f"decoder, {corpus.utterances[number].key}": converted}
    return Explorer(
        projections(vectors, METHODS if len(names) > 15 else METHODS[:1]),
        names,
        sizes=minutes,
        colours=[_numbers_or_names(fact, values) for fact, values in known.items()],
        facts=known | {"speech": [f"{part:.1f} min" for part in minutes]},
        links=[nearest(vectors, count=min(5, len(names) // 2))] if len(names) > 1 else [],
        hear=hear,
        size_name="minutes of speech",
        sample_rate=store.sample_rate,
        title=f"{run.folder.name}: {len(names)} speakers",
    )


def _numbers_or_names(name: str, values: Sequence[str]) -> Colour:
    """Colour by numbers where every known value is a number, such as an age."""
    try:
        return Colour(name, [float(value) if value else np.nan for value in values])
    except ValueError:
        return Colour(name, values, order=SEXES if name == "sex" else ())
