"""How far a recording lies from the speech that a run was trained on.

The statistic is the squared distance of the encoder's outputs from their codes, over that of
held-out speech of the run's own corpus: `vqwn bench familiarity` compares it with others. What it
takes is measured once per run and kept in its folder, in `familiarity.json`: by `calibrate`, or
when a recording is first compared and the corpus is prepared; nothing is decoded for it then.
"""

import json
import os
from functools import cache
from pathlib import Path
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from vqwn_kit.data.audio import SAMPLE_RATE, trim_silence
from vqwn_kit.data.choice import choose_utterances
from vqwn_kit.data.corpus import SPLITS, Corpus
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError
from vqwn_kit.files import counted, project_root, read_text, replacing
from vqwn_kit.runs.corpus_of import prepared_store_of, store_of
from vqwn_kit.runs.run import Run, load_run
from vqwn_kit.runs.unit_encoder import encoder_digest

FILE = "familiarity.json"
MOST_SECONDS = 20.0  # of a recording that are measured
MOST_UTTERANCES = 48  # held-out ones that a run is calibrated on
QUANTILE = 0.95  # of the held-out utterances, which lie below the threshold
SHIPPED = {"vctk-libri": "recordings of people", "mini": "six synthetic voices"}


class Calibration(NamedTuple):
    """What a run was trained on, and how far held-out speech of the same speakers lies from it.

    Attributes:
        corpus: its name.
        speakers: how many.
        minutes: of speech in its training split.
        mean: of the statistic, over held-out utterances.
        threshold: over the mean, that 95 % of them lie below.
        encoder: digest of the encoder and codebook that it holds for, see `encoder_digest`.
    """

    corpus: str
    speakers: int
    minutes: float
    mean: float
    threshold: float
    encoder: str = ""

    def __str__(self) -> str:
        """Say what the run was trained on."""
        return f"{counted(self.speakers, 'speakers')}, {self.minutes:.0f} minutes of {self.corpus}"


# What was measured for a run in this process: its folder may be read-only, its corpus unknown
_measured: WeakKeyDictionary[Run, Calibration | None] = WeakKeyDictionary()


class Familiarity(NamedTuple):
    """How far a recording lies from what a run was trained on.

    Attributes:
        run: name of the run.
        ratio: the statistic over its mean for held-out speech of the run's corpus: about 1 for
            familiar speech, more for other speech.
        calibration: of the run.
    """

    run: str
    ratio: float
    calibration: Calibration

    @property
    def is_familiar(self) -> bool:
        """Whether the ratio is at most the threshold."""
        return self.ratio <= self.calibration.threshold


def calibrate(
    run: Run | str | Path,
    data: Store | Corpus | str | Path | None = None,
    progress: bool = True,
) -> Calibration:
    """Measure the statistic on held-out speech of a run's corpus, and write `familiarity.json`.

    The file is not written where the run's folder is read-only.

    Args:
        run: a run, its folder or its name.
        data: the corpus that it was trained on, its folder or store; by default as `store_of`
            finds it. Recordings of other speakers, and those that cannot be used, are left out.
        progress: show a progress bar while the corpus is prepared.

    Raises:
        InputError: no such run, or one without a codebook; its corpus cannot be found, or has no
            training or held-out speech of the run's speakers.
    """
    run = load_run(run)
    if not run.model.bottleneck.num_embeddings:
        raise InputError(f"{run.folder} has no codebook to measure a distance from")
    store = store_of(run, data, progress)
    train, held_out = _own(run, store)
    if not len(train) or not len(held_out):
        raise InputError(
            f"{store.corpus.folder} has {len(train)} training and {len(held_out)} held-out "
            f"recordings by the speakers of {run.folder}: give the corpus that it was trained on"
        )
    chosen = choose_utterances(store.corpus, held_out, MOST_UTTERANCES)
    values = np.array([statistic(run.model, store.waveform(number)) for number in chosen])
    calibration = Calibration(
        corpus=store.corpus.name,
        speakers=len(np.unique(store.speaker_ids[train])),
        minutes=round(float(store.lengths[train].sum()) / store.sample_rate / 60, 3),
        mean=float(values.mean()),
        threshold=round(float(np.quantile(values, QUANTILE) / values.mean()), 3),
        encoder=encoder_digest(run),
    )
    if os.access(run.folder, os.W_OK):
        with replacing(run.folder / FILE) as scratch:
            scratch.write_text(json.dumps(calibration._asdict(), indent=1), encoding="utf-8")
    return calibration


def _own(run: Run, store: Store) -> list[np.ndarray]:
    """Return the numbers of a store's training and held-out utterances by speakers of a run."""
    known = np.array([u.speaker in run.trained_speakers for u in store.corpus], bool)
    return [numbers[known[numbers]] for numbers in map(store.numbers, SPLITS)]


def stored_calibration(run: Run) -> Calibration | None:
    """Return the calibration in a run's folder; None without one, or where it is of other weights.

    Raises:
        InputError: a damaged file.
    """
    file = run.folder / FILE
    if not file.is_file():
        return None
    try:
        calibration = Calibration(**json.loads(read_text(file)))
    except (json.JSONDecodeError, TypeError) as error:
        raise InputError(f"{file} is damaged ({error}): remove it, and it is made again") from error
    return calibration if calibration.encoder == encoder_digest(run) else None


def calibration_of(run: Run) -> Calibration | None:
    """Return the calibration of a run, measured now where its corpus is prepared; else None.

    What would have to be decoded first is not: `calibrate` does that, and says what is missing.

    Raises:
        InputError: a damaged file.
    """
    if not run.model.bottleneck.num_embeddings:
        return None
    if (stored := stored_calibration(run)) is not None:
        return stored
    if run not in _measured:
        store = prepared_store_of(run)
        found = store is not None and all(map(len, _own(run, store)))
        _measured[run] = calibrate(run, store) if found else None
    return _measured[run]


def statistic(model, waveform: np.ndarray) -> float:
    """Return the squared distance of the encoder's outputs for (T,) from their codes.

    The mean over frames, over the variance of the outputs: 0 where codes are exact, 1 where they
    are no nearer than the mean.
    """
    waveform = trim_silence(waveform)[0][: round(MOST_SECONDS * SAMPLE_RATE)]
    quantized = model.vector_quantize(waveform)
    z_e, z_q = np.array(quantized.z_e)[0], np.array(quantized.z_q)[0]
    spread = np.sum((z_e - z_e.mean(axis=0)) ** 2)
    return float(np.sum((z_e - z_q) ** 2) / max(spread, 1e-9))


def familiarity(run: Run, waveform: np.ndarray) -> Familiarity | None:
    """Return how far a recording (T,) at 16 kHz lies from what a run was trained on.

    Only the first 20 s are measured. None where that cannot be known, see `calibration_of`: the run
    has no codebook, or no calibration, and its corpus is not prepared; or the recording is silent.
    """
    calibration = calibration_of(run)
    if calibration is None or not np.any(waveform):
        return None
    ratio = statistic(run.model, waveform) / calibration.mean
    return Familiarity(run.folder.name, ratio, calibration)


def warning(run: Run, waveform: np.ndarray) -> str:
    """Return a sentence about a recording that a run does not know the like of; "" of others.

    It names the shipped run to which the recording is nearer, if there is one.
    """
    found = familiarity(run, waveform)
    if found is None or found.is_familiar:
        return ""
    text = (
        f"unfamiliar speech: {found.ratio:.1f} times as far from the codes of {found.run} "
        f"({found.calibration}) as its own held-out speech, familiar up to "
        f"{found.calibration.threshold:.1f}; expect more wrong phones"
    )
    own = run.folder.resolve()
    others = [familiarity(one, waveform) for one in _shipped() if one.folder.resolve() != own]
    better = min(filter(None, others), key=lambda other: other.ratio, default=found)
    if better.ratio < found.ratio:
        text += f"; {better.run}, trained on {SHIPPED[better.run]}, is nearer ({better.ratio:.1f})"
    return text


@cache
def _shipped() -> list[Run]:
    """Return the runs that come with the project, where they are there."""
    folders = [project_root() / "results" / name for name in SHIPPED]
    return [Run(folder) for folder in folders if (folder / FILE).is_file()]
