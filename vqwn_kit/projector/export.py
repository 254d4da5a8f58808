"""A run and its corpus -> tables of codebook, speakers and frames for the Embedding Projector."""

from collections import Counter
from pathlib import Path

import numpy as np

from vqwn_kit.data.arrays import load_array
from vqwn_kit.data.corpus import Corpus
from vqwn_kit.data.scan import FACTS
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.code_usage import (
    CodeStatistics,
    FrameSample,
    code_statistics,
    most_frequent,
    sample_frames,
)
from vqwn_kit.evaluation.context import MAX_TRAIN, EvaluationContext, select_utterances
from vqwn_kit.evaluation.metrics.intervals import NotMeasured
from vqwn_kit.evaluation.phones import KIND_OF, SOUNDS
from vqwn_kit.presets.build import codebook_sizes
from vqwn_kit.projector.tables import MOST_POINTS, Table, plain, write_tables
from vqwn_kit.runs.corpus_of import knows_corpus, store_of
from vqwn_kit.runs.run import Run, load_run

FRAMES = 2000


def export_projector(
    run: Run | str | Path,
    folder: str | Path,
    data: Store | Corpus | str | Path | None = None,
    *,
    frames: int = FRAMES,
    utterances: int | None = None,
    train: int = MAX_TRAIN,
    seed: int = 0,
    progress: bool = True,
) -> list[Path]:
    """Write codebook, speakers and frames of a run for the Embedding Projector.

    Args:
        run: a run, its folder, or a checkpoint such as `results/mini/weights-1000`.
        folder: for `codebook_*`, `speakers_*` and `frames_*`, `_vecs.tsv` and `_meta.tsv` each, and
            `projector_config.json`.
        data: the corpus; the run's own by default. Without it there are no frames.
        frames: most frames, evenly spread over the held-out utterances; 0 for none.
        utterances: number of held-out utterances; all by default. If nothing is held out, of
            training utterances.
        train: number of training utterances that codes are counted in as well.
        seed: of the choice of frames.
        progress: show progress bars.

    Returns:
        The paths that were written. A model without a codebook has no table of codes, and a
        single speaker none of speakers: the projector needs two points.

    Raises:
        InputError: no such run or corpus, or vectors that the projector cannot show. The folder is
            left as it was.

    Example:
        vq.export_projector("results/mini", "embeddings")
        vq.open_projector("embeddings")
    """
    if not 0 <= frames <= MOST_POINTS:
        raise InputError(f"frames={frames}: expected 0 to {MOST_POINTS:,}")
    numbers = {"utterances": (utterances, 1), "train": (train, 0), "seed": (seed, 0)}
    for name, (value, least) in numbers.items():
        if value is not None and value < least:
            raise InputError(f"{name}={value}: expected {least} or more")
    run = load_run(run)
    store = store_of(run, data, progress) if data is not None or knows_corpus(run) else None
    context = None
    if store is not None:
        context = _context(run, store, utterances, train, seed, progress)
    tables, codebook = {}, run.folder / f"embedding_{run.newest}.npy"
    if context is None and codebook.is_file():
        vectors, columns = load_array(codebook), _code_columns(*codebook_sizes(run.preset))
        tables["codebook"] = _table(vectors, columns)
    elif context is not None and run.model.bottleneck.num_embeddings:
        tables["codebook"] = code_table(code_statistics(context), list(run.speakers))
    if len(run.speakers) > 1:
        tables["speakers"] = speaker_table(run.speaker_embedding(), run.speakers, store)
    if context is not None and frames:
        tables["frames"] = frame_table(sample_frames(context, frames), run.speakers)
    return write_tables(folder, tables)


def _context(
    run: Run, store: Store, utterances: int | None, train: int, seed: int, progress: bool
) -> EvaluationContext:
    held_out = len(store.numbers("held_out")) > 0
    evaluated = select_utterances(run, store, "held_out" if held_out else "train", utterances)
    counted = select_utterances(run, store, "train", train) if held_out and train else evaluated[:0]
    return EvaluationContext(run, store, evaluated, counted, seed, progress)


def code_table(facts: CodeStatistics, speakers: list[str]) -> Table:
    """Return the table of the codes: usage, most frequent phone and speaker, and their shares.

    The rows are the Q K codes, codebook by codebook. The share of the phone or speaker is 0 for an
    unused code.
    """
    columns = {
        "label": [f"code {name}" for name in facts.names],
        **_code_columns(facts.num_codebooks, facts.num_embeddings),
        "uses": [str(count) for count in facts.counts],
        "percent": [f"{percent:.3f}" for percent in facts.percent],
        "log10 uses": [f"{value:.3f}" for value in np.log10(1 + facts.counts)],
    }
    if not isinstance(facts.phones, NotMeasured):
        phones, share = most_frequent(facts.phones, SOUNDS)
        pairs = zip(facts.names, phones, strict=True)
        columns["label"] = [f"{name} {phone}".strip() for name, phone in pairs]
        columns |= {"phone": _known(phones), "phone kind": _kinds(phones)}
        columns["phone percent"] = [f"{value:.1f}" for value in np.nan_to_num(share)]
    names, share = most_frequent(facts.voices, speakers)
    columns["speaker"] = _known(names)
    columns["speaker percent"] = [f"{value:.1f}" for value in np.nan_to_num(share)]
    return _table(facts.vectors, columns)


def _code_columns(num_codebooks: int, num_embeddings: int) -> dict[str, list[str]]:
    """Return the number of each code, and of several codebooks that of its codebook before it."""
    numbers = np.arange(num_codebooks * num_embeddings)
    codes = {"code": [str(number % num_embeddings) for number in numbers]}
    if num_codebooks == 1:
        return codes
    return {"codebook": [str(number // num_embeddings) for number in numbers]} | codes


def speaker_table(
    vectors: np.ndarray, speakers: dict[str, dict[str, str]], store: Store | None = None
) -> Table:
    """Return the table of the speakers: facts, minutes of speech, number of utterances.

    Where there are voices that were added to the run, a column says which.
    """
    columns = {"speaker": _known(speakers)} | _facts(speakers, list(speakers))
    if any("added" in facts for facts in speakers.values()):
        columns["voice"] = [facts.get("added", "trained") for facts in speakers.values()]
    if store is not None:
        owners = [utterance.speaker for utterance in store.corpus]
        minutes, utterances = Counter(), Counter(owners)
        for owner, length in zip(owners, store.lengths, strict=True):
            minutes[owner] += length / store.sample_rate / 60.0
        columns["minutes"] = [f"{minutes[name]:.2f}" for name in speakers]
        columns["utterances"] = [str(utterances[name]) for name in speakers]
    return _table(vectors, columns)


def frame_table(facts: FrameSample, speakers: dict[str, dict[str, str]]) -> Table:
    """Return the table of the frames: phone, code, speaker, utterance and time in seconds."""
    names = [f"{key} {t:.2f} s" for key, t in zip(facts.keys, facts.seconds, strict=True)]
    columns = {"label": _known(names)}
    if not isinstance(facts.phones, NotMeasured):
        pairs = zip(facts.phones, names, strict=True)
        columns["label"] = _known(f"{phone} {name}" for phone, name in pairs)
        columns |= {"phone": _known(facts.phones), "phone kind": _kinds(facts.phones)}
    if facts.codes is not None and facts.distance is not None:
        codes = facts.codes.reshape(len(facts.codes), -1).T
        names = ["code"] if len(codes) == 1 else [f"code {number}" for number in range(len(codes))]
        columns |= {name: list(map(str, row)) for name, row in zip(names, codes, strict=True)}
        columns["distance"] = [f"{value:.4g}" for value in facts.distance]
    columns["speaker"] = _known(facts.speakers)
    columns |= _facts(speakers, facts.speakers)
    columns["utterance"] = _known(facts.keys)
    columns["seconds"] = [f"{value:.3f}" for value in facts.seconds]
    return _table(facts.z_e, columns)


def _facts(speakers: dict[str, dict[str, str]], owners: list[str]) -> dict[str, list[str]]:
    """Return a column for each fact that is known of at least one speaker."""
    known = [fact for fact in FACTS if any(facts.get(fact) for facts in speakers.values())]
    return {fact: _known(speakers[name].get(fact, "") for name in owners) for fact in known}


def _known(texts) -> list[str]:
    return [plain(text) for text in texts]


def _kinds(phones: list[str]) -> list[str]:
    return [KIND_OF.get(phone, "-") for phone in phones]


def _table(vectors: np.ndarray, columns: dict[str, list[str]]) -> Table:
    return Table(vectors, list(columns), list(zip(*columns.values(), strict=True)))
