"""A run and a store -> the codes of its utterances, made once and kept beside the store.

An utterance is encoded several times, each time from some samples later on: the same speech, cut
into frames elsewhere, has other codes, and a small corpus teaches that much more.
"""

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vqwn_kit.data.audio import TRIM_DB
from vqwn_kit.data.corpus import Corpus, find_folder, open_corpus
from vqwn_kit.data.store import Store, prepare
from vqwn_kit.errors import InputError
from vqwn_kit.files import replacing
from vqwn_kit.runs.run import Run

MOST_ENCODINGS, MOST_CODES = 8, 4_000_000  # of an utterance, and of all of them together
WINDOW = 0.016  # s around a frame, in which its level is measured


@dataclass(frozen=True)
class RunCodes:
    """Codes of the utterances of a store.

    Attributes:
        codes: int32 (V, N_u), one an utterance of the store, V encodings of it; the first is that
            of the utterance as it is. None where its speaker isn't in the run.
        speakers: int32 (U,), numbers in the run; -1 where the speaker isn't in it.
        store: the store.
        num_embeddings: K.
        hop_length: samples a code.
    """

    codes: list[np.ndarray | None]
    speakers: np.ndarray
    store: Store
    num_embeddings: int
    hop_length: int

    @property
    def frame_rate(self) -> float:
        """Codes a second."""
        return self.store.sample_rate / self.hop_length

    def numbers(self, split: str) -> list[int]:
        """Return the numbers of the utterances of a split whose speakers the run knows.

        Raises:
            InputError: there are none.
        """
        found = [int(n) for n in self.store.numbers(split) if self.codes[n] is not None]
        if not found:
            raise InputError(
                f"{self.store.corpus.folder} has no utterance in the split {split!r} of a speaker "
                "that the run knows: give the corpus that it was trained on (--data)"
            )
        return found

    def silent(self, number: int) -> np.ndarray:
        """Say which frames of an utterance are silence, bool (N,); see `silent_frames`."""
        waveform = self.store.waveform(number)
        return silent_frames(waveform, self.hop_length, self.store.sample_rate)

    def silence_codes(self) -> np.ndarray:
        """Say which codes stand for silence, bool (K,): half of their training frames are silent.

        A code that never came doesn't.
        """
        counts = np.zeros((2, self.num_embeddings), int)
        for number in self.numbers("train"):
            np.add.at(counts, (self.silent(number).astype(int), self.codes[number][0]), 1)
        return (counts[1] >= counts[0]) & (counts[1] > 0)


def silent_frames(
    waveform: np.ndarray, hop_length: int, sample_rate: int, below: float = TRIM_DB
) -> np.ndarray:
    """Say which frames of a waveform (T,) are silence, bool (N,), N = T / hop_length, rounded up.

    A frame is silent where the 16 ms around it lie `below` dB under the loudest frame.
    """
    frames = -(-len(waveform) // hop_length)
    window = max(hop_length, round(WINDOW * sample_rate))
    sums = np.concatenate([[0.0], np.cumsum(np.square(waveform, dtype=np.float64))])
    middles = np.arange(frames) * hop_length + hop_length // 2
    first = np.clip(middles - window // 2, 0, len(waveform))
    last = np.clip(middles + window // 2, 0, len(waveform))
    power = (sums[last] - sums[first]) / np.maximum(1, last - first)
    return power <= power.max(initial=0.0) * 10 ** (-below / 10)


KNOWN = {"mini": "mini", "vctk-corpus": "VCTK", "librispeech": "LibriSpeech"}


def knows_corpus(run: Run) -> bool:
    """Say whether the corpus that a run was trained on is where `store_of` looks for it."""
    try:
        return find_folder(KNOWN[run.config["corpus"]]).is_dir()
    except (KeyError, InputError):
        return False


def store_of(
    run: Run, data: Store | Corpus | str | Path | None = None, progress: bool = True
) -> Store:
    """Return the store of a corpus, by default of that which a run was trained on.

    Raises:
        InputError: where that corpus is isn't known.
    """
    if isinstance(data, Store):
        return data
    if data is None:
        name = run.config["corpus"]
        if name not in KNOWN:
            raise InputError(
                f"{run.folder} was trained on {name!r}, and where that is isn't known: give the "
                "folder of the corpus (data=, or --data)"
            )
        data = KNOWN[name]
    corpus = data if isinstance(data, Corpus) else open_corpus(data)
    return prepare(corpus, progress=progress)


def need_codebook(run: Run) -> int:
    """Return K of a run.

    Raises:
        InputError: its model has no codebook.
    """
    size = run.model.bottleneck.num_embeddings
    if not size:
        kind = type(run.model.bottleneck).__name__
        raise InputError(
            f"{run.folder} has no codebook: its bottleneck {kind} passes vectors on, so there are "
            "no codes to learn or to draw. Train a run with a codebook, such as bottleneck=vq"
        )
    return size


def codes_of(
    run: Run, store: Store, encodings: int | None = None, progress: bool = True
) -> RunCodes:
    """Return the codes of all utterances of a store, from its folder if they are there.

    Args:
        run: a run with a codebook.
        store: the prepared corpus.
        encodings: V; by default 8, or fewer where that would be more than four million codes.
        progress: show a progress bar while encoding.

    Raises:
        InputError: the run has no codebook, or `encodings` isn't 1 or more.
    """
    size, model = need_codebook(run), run.model
    hop = model.hop_length
    counts = -(-store.lengths // hop)
    if encodings is None:
        encodings = int(np.clip(MOST_CODES // max(1, counts.sum()), 1, MOST_ENCODINGS))
    if isinstance(encodings, bool) or not isinstance(encodings, int) or not 1 <= encodings <= hop:
        raise InputError(f"encodings is {encodings!r}; expected a whole number from 1 to {hop}")
    names = list(run.speakers)
    spoken = [utterance.speaker for utterance in store.corpus]
    speakers = np.array([names.index(s) if s in names else -1 for s in spoken], np.int32)
    file = store.folder / f"codes-{_digest(run, store, encodings)}.npz"
    known = np.flatnonzero(speakers >= 0)
    ends = np.cumsum(counts[known])
    table = _read(file, (encodings, int(ends[-1]) if len(ends) else 0))
    if table is None:
        rows = _encode(model, store, known, encodings, progress)
        table = np.concatenate(rows, axis=1) if rows else np.zeros((encodings, 0), np.int32)
        with replacing(file) as scratch, scratch.open("wb") as output:
            np.savez(output, codes=table.astype(np.uint16 if size <= 65536 else np.int32))
    codes: list[np.ndarray | None] = [None] * len(store)
    for number, end in zip(known, ends, strict=True):
        codes[number] = table[:, end - counts[number] : end].astype(np.int32)
    return RunCodes(codes, speakers, store, size, hop)


def _encode(model, store: Store, numbers, encodings: int, progress: bool) -> list[np.ndarray]:
    """Return codes (V, N_u) of utterances; row v begins v V-ths of a hop later."""
    import tensorflow as tf
    from tqdm import tqdm

    hop = model.hop_length
    encode = tf.function(
        lambda waveform: model.quantized(waveform, training=False).codes,
        input_signature=[tf.TensorSpec((None, None, 1))],
    )
    found = []
    for number in tqdm(numbers, desc="encode", unit="utterance", disable=not progress):
        waveform = store.waveform(number)
        length = -(-len(waveform) // hop) * hop
        rows = []
        for row in range(encodings):
            later = waveform[row * hop // encodings :]
            padded = np.pad(later, (0, length - len(later)))
            rows.append(encode(padded[None, :, None]).numpy()[0])
        found.append(np.stack(rows))
    return found


def _digest(run: Run, store: Store, encodings: int) -> str:
    """Return a hash of all that codes depend on."""
    parts = json.dumps([run.preset.encoder, run.preset.bottleneck, store.identity, encodings])
    hashed = hashlib.sha256(parts.encode())
    hashed.update("\0".join(run.speakers).encode())
    hashed.update(run.weights_file(run.newest).read_bytes())
    return hashed.hexdigest()[:12]


def _read(file: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """Return the codes of a file, or None where it isn't there, or is damaged."""
    try:
        with np.load(file, allow_pickle=False) as content:
            table = content["codes"]
    except (FileNotFoundError, zipfile.BadZipFile, ValueError, EOFError, KeyError):
        return None
    return table if table.shape == shape else None
