"""How near voices that were added to a run come to their speakers, whom the run never knew."""

import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import vqwn_kit as vq
from vqwn_kit.data.choice import choose_utterances
from vqwn_kit.errors import one_of
from vqwn_kit.evaluation import external
from vqwn_kit.evaluation.audio_metrics import VOICE_SAMPLES, mel_windows
from vqwn_kit.evaluation.metrics import edit_distance, linear_probe
from vqwn_kit.evaluation.metrics.intervals import proportion, ratio
from vqwn_kit.evaluation.metrics.tables import markdown_table
from vqwn_kit.evaluation.voice_encoder import voice_embedding
from vqwn_kit.files import replacing
from vqwn_kit.runs.corpus_of import store_of
from vqwn_kit.runs.run import Run, load_run
from vqwn_kit.sampling.generate import convert_many

WAYS = {"embedding": {"conditioning": False}, "with biases": {"conditioning": True}}
LONGEST = 6.0  # seconds of a sentence that is converted
TRAINED = 4  # trained voices that the same sentences are converted to
HEAD = [
    *("voice", "nearest, independent (%)", "nearest, probe (%)", "cosine", "phone error"),
    "fitting (s)",
]


def bench_added_voice(
    run: str | Path,
    data: str | Path | None,
    voices: str | Path,
    seconds: Sequence[float] = (10, 30, 60),
    ways: Sequence[str] = tuple(WAYS),
    sentences: int = 8,
    temperature: float = 0.8,
    file: Path | None = None,
) -> list[dict]:
    """Add each speaker of a corpus to a copy of a run, and judge sentences converted to them.

    Args:
        run: a run that has none of these speakers.
        data: the corpus of the run, by default its own; held-out sentences of it are converted.
        voices: a corpus of speakers who are new to the run.
        seconds: of speech that a voice is added from.
        ways: of `WAYS`.
        sentences: how many are converted to each voice.
        temperature: of sampling.
        file: JSON, with the table in Markdown beside it.

    Returns:
        One dict per voice, length of speech and way, and one per trained voice.

    Raises:
        InputError: an unknown way, or the corpus of the run was not given and is not there.
    """
    for way in ways:
        if way not in WAYS:
            raise one_of("way", way, WAYS)
    run = load_run(run)
    store = store_of(run, data)
    with tempfile.TemporaryDirectory() as scratch:
        copied = _copy(run, Path(scratch) / "run")
        strangers = vq.prepare(vq.open_corpus(voices))
        rows = _add_all(copied, strangers, seconds, ways)
        known = list(copied.trained_speakers)
        places = np.linspace(0, len(known) - 1, min(TRAINED, len(known))).round().astype(int)
        chosen = [known[place] for place in places]
        rows += [{"voice": name, "speaker": name, "way": "trained"} for name in chosen]
        sources, sounds = _convert(copied, store, rows, sentences, temperature)
        judges = _Judges(store, strangers, known)
        for row, parts in zip(rows, sounds, strict=True):
            row |= judges.judge(row["speaker"], sources, parts)
    if file:
        with replacing(file) as new:
            new.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        with replacing(file.with_suffix(".md")) as new:
            new.write_text(f"{added_voice_table(rows)}\n", encoding="utf-8")
    return rows


def _copy(run: Run, folder: Path) -> Run:
    """Copy what generates speech, so that no voice is added to the run itself."""
    folder.mkdir()
    step = run.newest
    table = run.folder / f"speaker_embedding_{step}.npy"
    for path in (run.folder / "config.json", run.weights_file(step), table):
        shutil.copy(path, folder)
    return Run(folder)


def _add_all(run: Run, strangers, seconds: Sequence[float], ways: Sequence[str]) -> list[dict]:
    """Add each speaker from each length of speech in each way; return a row for each."""
    rows = []
    for speaker in strangers.corpus.speakers:
        numbers = [n for n, u in enumerate(strangers.corpus) if u.speaker == speaker]
        speech = np.concatenate([strangers.waveform(n) for n in numbers])
        for length in seconds:
            for way in ways:
                name = f"{speaker} {length:g} {way}"
                began = time.perf_counter()
                given = speech[: round(length * strangers.sample_rate)]
                voice = vq.add_voice(run, given, name, progress=False, **WAYS[way])
                took = time.perf_counter() - began
                row = {"voice": name, "speaker": speaker, "way": way, "seconds": length}
                rows.append(row | {"fitting": took, "errors": voice.about["errors"]})
                print(json.dumps(rows[-1]), flush=True)
    return rows


def _convert(run: Run, store, rows: list[dict], sentences: int, temperature: float):
    """Return the sentences, and of each row its conversions of them."""
    numbers = store.numbers("held_out")
    short = numbers[store.lengths[numbers] <= LONGEST * store.sample_rate]
    chosen = choose_utterances(store.corpus, short, sentences)
    sources = [store.corpus.utterances[n] for n in chosen]
    waves = [store.waveform(n) for n in chosen]
    voices = [row["voice"] for row in rows]
    settings = {"temperature": temperature, "progress": True}
    converted = convert_many(run.model, waves, [voices] * len(waves), **settings)
    return sources, list(zip(*converted, strict=True))


class _Judges:
    """Two judges of voices, and one of words.

    Args:
        store: the corpus of the run.
        strangers: that of the speakers who are new to it.
        known: names of the run's speakers.
    """

    def __init__(self, store, strangers, known: list[str]):
        self.known, self.centres, features, labels = known, {}, [], []
        for corpus in (store, strangers):
            for speaker in corpus.corpus.speakers:
                every = [n for n, u in enumerate(corpus.corpus) if u.speaker == speaker]
                train = set(corpus.numbers("train").tolist())
                waves = [corpus.waveform(n) for n in every if corpus is strangers or n in train]
                mean = np.mean([voice_embedding(w) for w in waves[-VOICE_SAMPLES:]], axis=0)
                self.centres[speaker] = mean / np.linalg.norm(mean)
                windows = [mel_windows(wave, corpus.sample_rate) for wave in waves[:16]]
                features += windows
                labels += [speaker] * sum(map(len, windows))
        names = {name: number for number, name in enumerate(self.centres)}
        self.names = list(names)
        self.probe = linear_probe(np.concatenate(features), np.array([names[x] for x in labels]))

    def judge(self, speaker: str, sources, sounds) -> dict:
        """Return the judgements of the conversions of sentences to a speaker, without their own."""
        pairs = [(u, x) for u, x in zip(sources, sounds, strict=True) if u.speaker != speaker]
        choice = list(dict.fromkeys([*self.known, speaker]))
        columns = [self.names.index(name) for name in choice]
        judged: dict[str, list] = {"independent": [], "probe": [], "cosines": []}
        judged |= {"errors_of_phones": [], "phones": [], "sentences": []}
        for utterance, sound in pairs:
            vector = voice_embedding(sound)
            likeness = [float(self.centres[name] @ vector) for name in choice]
            judged["independent"].append(choice[int(np.argmax(likeness))] == speaker)
            judged["cosines"].append(likeness[choice.index(speaker)])
            shares = self.probe.predict_proba(mel_windows(sound, external.RATE))[:, columns]
            best = np.log(np.maximum(shares, 1e-9)).sum(axis=0).argmax()
            judged["probe"].append(choice[int(best)] == speaker)
            phones = external.text_to_phones(utterance.text)
            found = external.recognise_phones(sound)
            judged["errors_of_phones"].append(edit_distance(phones, found))
            judged["phones"].append(len(phones))
            judged["sentences"].append(utterance.key)
        return judged


def added_voice_table(rows: Sequence[dict]) -> str:
    """Return a table in Markdown: a row per way and length of speech, and the trained voices."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault((row["way"], row.get("seconds", 0)), []).append(row)
    lines = []
    for (way, length), members in groups.items():
        joined = {
            key: [x for row in members for x in row[key]]
            for key in ("independent", "probe", "cosines", "errors_of_phones", "phones")
        }
        sentences = [x for row in members for x in row["sentences"]]
        shares = [proportion(joined[key], sentences) for key in ("independent", "probe")]
        error = ratio(joined["errors_of_phones"], joined["phones"], sentences)
        times = [row["fitting"] for row in members if "fitting" in row]
        lines.append(
            [
                f"{len(members)} trained" if way == "trained" else f"{way}, {length:g} s",
                *(f"{100 * s.value:.0f} ({100 * s.low:.0f} to {100 * s.high:.0f})" for s in shares),
                f"{np.mean(joined['cosines']):.2f}",
                f"{error.value:.3f} ({error.low:.3f} to {error.high:.3f})",
                f"{np.mean(times):.0f}" if times else "-",
            ]
        )
    return markdown_table(HEAD, lines, "lrrrrr")
