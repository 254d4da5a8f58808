"""A run and a store -> the codes of all utterances, computed once and cached beside the store.

Each utterance is encoded several times, every time with a later start: other frame borders give
other codes of the same speech, which augments the training data of a prior.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vqwn_kit.data.audio import TRIM_DB
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError
from vqwn_kit.files import replacing
from vqwn_kit.runs.run import Run

if TYPE_CHECKING:
    from vqwn_kit.models.vqvae import VQVAE

MAX_ENCODINGS, MAX_CODES = 8, 4_000_000  # per utterance, and of all encodings together
WINDOW = 0.016  # s around the middle of a frame in which its level is measured


@dataclass(frozen=True)
class RunCodes:
    """Codes of the utterances of a store.

    Attributes:
        codes: int32 (V, N_u) by number of the utterance, of V encodings; the first has no shift.
            Utterances of speakers that the run does not know are left out.
        speakers: int32 (U,), numbers in the run; -1 where the run does not know the speaker.
        store: the store.
        num_embeddings: K.
        hop_length: samples per code.
    """

    codes: dict[int, np.ndarray]
    speakers: np.ndarray
    store: Store
    num_embeddings: int
    hop_length: int

    @property
    def frame_rate(self) -> float:
        """Codes per second."""
        return self.store.sample_rate / self.hop_length

    def numbers(self, split: str) -> list[int]:
        """Return the numbers of the utterances of a split whose speakers the run knows.

        Raises:
            InputError: there are none.
        """
        numbers = [int(n) for n in self.store.numbers(split) if int(n) in self.codes]
        if not numbers:
            raise InputError(
                f"{self.store.corpus.folder} has no utterance in the split {split!r} of a speaker "
                "that the run knows: give the corpus that it was trained on (--data)"
            )
        return numbers

    def silent(self, number: int) -> np.ndarray:
        """Return which frames of an utterance are silence, bool (N,); see `silent_frames`."""
        waveform = self.store.waveform(number)
        return silent_frames(waveform, self.hop_length, self.store.sample_rate)

    def silence_codes(self) -> np.ndarray:
        """Return which codes stand for silence, bool (K,).

        At least half of the training frames of such a code are silent; it has at least one.
        """
        counts = np.zeros((2, self.num_embeddings), int)
        for number in self.numbers("train"):
            np.add.at(counts, (self.silent(number).astype(int), self.codes[number][0]), 1)
        return (counts[1] >= counts[0]) & (counts[1] > 0)


def silent_frames(
    waveform: np.ndarray, hop_length: int, sample_rate: int, below: float = TRIM_DB
) -> np.ndarray:
    """Return which frames of a waveform (T,) are silence, bool (N,), N = T / hop_length, up.

    A frame is silent where the 16 ms around its middle lie `below` dB under the loudest frame.
    """
    frames = -(-len(waveform) // hop_length)
    window = max(hop_length, round(WINDOW * sample_rate))
    sums = np.concatenate([[0.0], np.cumsum(np.square(waveform, dtype=np.float64))])
    middles = np.arange(frames) * hop_length + hop_length // 2
    first = np.clip(middles - window // 2, 0, len(waveform))
    last = np.clip(middles + window // 2, 0, len(waveform))
    power = (sums[last] - sums[first]) / np.maximum(1, last - first)
    return power <= power.max(initial=0.0) * 10 ** (-below / 10)


def need_codebook(run: Run) -> int:
    """Return K of a run.

    Raises:
        InputError: its model has no codebook.
    """
    bottleneck = run.model.bottleneck
    if not bottleneck.num_embeddings:
        raise InputError(
            f"{run.folder} has no codebook: its bottleneck {type(bottleneck).__name__} passes "
            "vectors on, so there are no codes. Train a run with a codebook, such as bottleneck=vq"
        )
    return bottleneck.num_embeddings


def codes_of(
    run: Run, store: Store, encodings: int | None = None, progress: bool = True
) -> RunCodes:
    """Return the codes of all utterances of a store, from the cache in its folder if possible.

    Args:
        run: a run with a codebook.
        store: the prepared corpus.
        encodings: V; by default 8, or fewer where that would exceed four million codes.
        progress: show a progress bar while encoding.

    Raises:
        InputError: the run has no codebook, or `encodings` is out of range.
    """
    size, hop = need_codebook(run), run.model.hop_length
    lengths = -(-store.lengths // hop)
    if encodings is None:
        encodings = int(np.clip(MAX_CODES // max(1, lengths.sum()), 1, MAX_ENCODINGS))
    if isinstance(encodings, bool) or not isinstance(encodings, int) or not 1 <= encodings <= hop:
        raise InputError(f"encodings is {encodings!r}; expected a whole number from 1 to {hop}")
    ids = {name: number for number, name in enumerate(run.speakers)}
    speakers = np.array([ids.get(member.speaker, -1) for member in store.corpus], np.int32)
    known = np.flatnonzero(speakers >= 0)
    ends = np.cumsum(lengths[known])
    file = store.folder / f"codes-{_digest(run, store, encodings)}.npz"
    table = _read(file, (encodings, int(ends[-1]) if len(ends) else 0))
    if table is None:
        table = _encode(run.model, store, known, encodings, progress)
        with replacing(file) as scratch, scratch.open("wb") as output:
            np.savez(output, codes=table.astype(np.uint16 if size <= 65536 else np.int32))
    rows = np.split(table.astype(np.int32), ends[:-1], axis=1) if len(known) else []
    return RunCodes(dict(zip(known.tolist(), rows, strict=True)), speakers, store, size, hop)


def _encode(
    model: "VQVAE", store: Store, numbers: Iterable[int], encodings: int, progress: bool
) -> np.ndarray:
    """Return codes (V, sum of N_u) of utterances; row v starts v V-ths of a hop later."""
    import tensorflow as tf
    from tqdm import tqdm

    hop = model.hop_length
    encode = tf.function(
        lambda waveform: model.quantized(waveform, training=False).codes,
        input_signature=[tf.TensorSpec((None, None, 1))],
    )
    codes = [np.zeros((encodings, 0), np.int32)]
    for number in tqdm(numbers, desc="encode", unit="utterance", disable=not progress):
        waveform = store.waveform(number)
        length = -(-len(waveform) // hop) * hop
        rows = []
        for row in range(encodings):
            shifted = waveform[row * hop // encodings :]
            padded = np.pad(shifted, (0, length - len(shifted)))
            rows.append(encode(padded[None, :, None]).numpy()[0])
        codes.append(np.stack(rows))
    return np.concatenate(codes, axis=1)


def _digest(run: Run, store: Store, encodings: int) -> str:
    """Return a hash of everything that the codes depend on."""
    parts = json.dumps([run.preset.encoder, run.preset.bottleneck, store.identity, encodings])
    digest = hashlib.sha256(parts.encode())
    digest.update("\0".join(run.speakers).encode())
    digest.update(run.weights_file(run.newest).read_bytes())
    return digest.hexdigest()[:12]


def _read(file: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """Return the codes of a file, or None where it is missing or damaged."""
    try:
        with np.load(file, allow_pickle=False) as content:
            table = content["codes"]
    except (FileNotFoundError, zipfile.BadZipFile, ValueError, EOFError, KeyError):
        return None
    return table if table.shape == shape else None
