"""A run and a store -> the codes of all utterances, computed once and cached beside the store.

Each utterance is encoded several times, every time with a later start: other frame borders give
other codes of the same speech, which augments the training data of a prior.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vqwn_kit.data.arrays import load_arrays, save_arrays
from vqwn_kit.data.audio import TRIM_DB
from vqwn_kit.data.pitch import tracks_of
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError
from vqwn_kit.runs.run import Run

if TYPE_CHECKING:
    from vqwn_kit.models.vqvae import VQVAE

MAX_ENCODINGS, MAX_CODES = 8, 4_000_000  # per utterance, and of all encodings together
WINDOW = 0.016  # s around the middle of a frame in which its level is measured


@dataclass(frozen=True)
class RunCodes:
    """Codes of the utterances of a store.

    Where the decoder is conditioned on pitch, its levels are one more codebook, the last one, and K
    is the size of the largest.

    Attributes:
        codes: int32 (V, N_u), or (V, N_u, Q) of several codebooks, by number of the utterance, of V
            encodings; the first has no shift. Utterances of speakers that the run does not know are
            left out.
        speakers: int32 (U,), numbers in the run; -1 where the run does not know the speaker.
        store: the store.
        num_embeddings: K.
        hop_length: samples per frame.
        num_codebooks: Q.
        sizes: of each codebook, where they differ.
    """

    codes: dict[int, np.ndarray]
    speakers: np.ndarray
    store: Store
    num_embeddings: int
    hop_length: int
    num_codebooks: int = 1
    sizes: tuple[int, ...] = ()

    @property
    def bits_per_frame(self) -> float:
        """Nominal information of a frame, the sum of log2 of the sizes of the codebooks."""
        return float(np.log2(self.sizes or (self.num_embeddings,) * self.num_codebooks).sum())

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.store.sample_rate / self.hop_length

    @property
    def unit(self) -> str:
        """What stands at a place of the sequence: a code, or a frame of Q codes."""
        return "code" if self.num_codebooks == 1 else "frame"

    def tokens(self, number: int) -> np.ndarray:
        """Return the tokens of an utterance, int32 (V, N_u Q); see `flatten_codes`."""
        return flatten_codes(self.codes[number], self.num_embeddings, self.num_codebooks)

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
        """Return which codes stand for silence, bool (Q K,), by their tokens.

        At least half of the training frames of such a code are silent; it has at least one.
        """
        counts = np.zeros((2, self.num_codebooks * self.num_embeddings), int)
        for number in self.numbers("train"):
            silent = self.silent(number).astype(int).repeat(self.num_codebooks)
            np.add.at(counts, (silent, self.tokens(number)[0]), 1)
        return (counts[1] >= counts[0]) & (counts[1] > 0)


def flatten_codes(codes: np.ndarray, num_embeddings: int, num_codebooks: int) -> np.ndarray:
    """Return codes of Q codebooks, (..., N, Q), as one sequence of tokens, (..., N Q).

    Frame by frame, codebook by codebook, as in AudioLM (Borsos 2022, arXiv 2209.03143). The token
    of code k of codebook q is q K + k, so that each code has a number of its own. Of one codebook
    the codes (..., N) are the tokens.
    """
    if num_codebooks == 1:
        return codes
    tokens = codes + num_embeddings * np.arange(num_codebooks, dtype=codes.dtype)
    return tokens.reshape(*codes.shape[:-2], -1)


def unflatten_codes(tokens: np.ndarray, num_embeddings: int, num_codebooks: int) -> np.ndarray:
    """Return the codes (..., N, Q) of tokens (..., N Q), the inverse of `flatten_codes`."""
    if num_codebooks == 1:
        return tokens
    return (tokens % num_embeddings).reshape(*tokens.shape[:-1], -1, num_codebooks)


def code_names(num_embeddings: int, num_codebooks: int) -> list[str]:
    """Return the names of all Q K codes in the order of their tokens: `q:code`, or `code`."""
    names = [str(code) for code in range(num_embeddings)]
    if num_codebooks == 1:
        return names
    return [f"{codebook}:{name}" for codebook in range(num_codebooks) for name in names]


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


def check_code(bottleneck, code: int, codebook: int = 0) -> None:
    """Raise InputError for a code or codebook that a bottleneck does not have."""
    pairs = (
        ("code", code, bottleneck.num_embeddings),
        ("codebook", codebook, bottleneck.num_codebooks),
    )
    for what, value, count in pairs:
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not whole or not 0 <= value < count:
            raise InputError(f"no {what} {value!r}; there are 0 to {count - 1}")


def code_vectors(bottleneck) -> np.ndarray:
    """Return what each code adds to z_q, float32 (Q K, D), in the order of their tokens."""
    from vqwn_kit.models.tensorflow import keras

    vectors = np.asarray(keras.ops.convert_to_numpy(bottleneck.vectors()), np.float32)
    return vectors.reshape(-1, vectors.shape[-1])


def token_sizes(model: "VQVAE") -> tuple[int, ...]:
    """Return the sizes of a frame's codebooks with the pitch: K of each, and last its levels."""
    bottleneck = model.bottleneck
    return (*[bottleneck.num_embeddings] * bottleneck.num_codebooks, model.pitch_levels)


def token_vectors(model: "VQVAE", pitch: bool = False) -> np.ndarray:
    """Return `code_vectors`, and with `pitch` zeros for its levels, as of one more codebook."""
    vectors = code_vectors(model.bottleneck)
    if not pitch:
        return vectors
    sizes = token_sizes(model)
    table = np.zeros((len(sizes), max(sizes), vectors.shape[1]), np.float32)
    table[:-1, : sizes[0]] = vectors.reshape(len(sizes) - 1, sizes[0], -1)
    return table.reshape(-1, vectors.shape[1])


def codes_of(
    run: Run,
    store: Store,
    encodings: int | None = None,
    progress: bool = True,
    pitch: bool = False,
) -> RunCodes:
    """Return the codes of all utterances of a store, from the cache in its folder if possible.

    Args:
        run: a run with a codebook.
        store: the prepared corpus.
        encodings: V; by default 8, or fewer where that would exceed four million codes.
        progress: show a progress bar while encoding.
        pitch: have the levels of the pitch as one more codebook, the last one.

    Raises:
        InputError: the run has no codebook, or no pitch; or `encodings` is out of range.
    """
    model, size, hop = run.model, need_codebook(run), run.model.hop_length
    codebooks = model.bottleneck.num_codebooks
    lengths = -(-store.lengths // hop)
    if pitch and not model.pitch_levels:
        raise InputError(
            f"{run.folder} is not conditioned on pitch: leave pitch out, or train a run with "
            "decoder.conditioner.pitch_levels=50"
        )
    if encodings is None:
        encodings = int(np.clip(MAX_CODES // max(1, codebooks * lengths.sum()), 1, MAX_ENCODINGS))
    if isinstance(encodings, bool) or not isinstance(encodings, int) or not 1 <= encodings <= hop:
        raise InputError(f"encodings is {encodings!r}; expected a whole number from 1 to {hop}")
    ids = {name: number for number, name in enumerate(run.trained_speakers)}
    speakers = np.array([ids.get(member.speaker, -1) for member in store.corpus], np.int32)
    known = np.flatnonzero(speakers >= 0)
    ends = np.cumsum(lengths[known])
    file = store.folder / f"codes-{_digest(run, store, encodings)}.npz"
    shape = (encodings, int(ends[-1]) if len(ends) else 0)
    table = _read(file, shape if codebooks == 1 else (*shape, codebooks))
    if table is None:
        table = _encode(model, store, known, encodings, progress)
        save_arrays(file, {"codes": table.astype(np.uint16 if size <= 65536 else np.int32)})
    rows = np.split(table.astype(np.int32), ends[:-1], axis=1) if len(known) else []
    codes = dict(zip(known.tolist(), rows, strict=True))
    if pitch:
        codes, sizes = _with_pitch(model, store, codes, progress), token_sizes(model)
        return RunCodes(codes, speakers, store, max(sizes), hop, len(sizes), sizes)
    return RunCodes(codes, speakers, store, size, hop, codebooks)


def _with_pitch(model: "VQVAE", store: Store, codes: dict[int, np.ndarray], progress: bool) -> dict:
    """Return codes (V, N_u[, Q]) by utterance with the levels of its pitch, (V, N_u, Q + 1)."""
    from vqwn_kit.sampling.pitch import join_pitch

    tracks, hop, joined = tracks_of(store, progress), model.hop_length, {}
    for number, rows in codes.items():
        begins = [row * hop // len(rows) for row in range(len(rows))]
        pitch = [tracks.frames(number, hop, rows.shape[1], begin) for begin in begins]
        joined[number] = join_pitch(model, rows, np.stack(pitch))
    return joined


def _encode(
    model: "VQVAE", store: Store, numbers: Iterable[int], encodings: int, progress: bool
) -> np.ndarray:
    """Return codes (V, sum of N_u[, Q]) of utterances; row v starts v V-ths of a hop later."""
    from tqdm import tqdm

    from vqwn_kit.models.tensorflow import graph_of, tf

    hop = model.hop_length
    encode = graph_of(
        lambda waveform: model.quantized(waveform, training=False).codes,
        [tf.TensorSpec((None, None, 1))],
    )
    codes = []
    for number in tqdm(numbers, desc="encode", unit="utterance", disable=not progress):
        waveform = store.waveform(number)
        length = -(-len(waveform) // hop) * hop
        rows = []
        for row in range(encodings):
            shifted = waveform[row * hop // encodings :]
            padded = np.pad(shifted, (0, length - len(shifted)))
            rows.append(encode(padded[None, :, None]).numpy()[0])
        codes.append(np.stack(rows))
    return np.concatenate(codes, axis=1) if codes else np.zeros((encodings, 0), np.int32)


def _digest(run: Run, store: Store, encodings: int) -> str:
    """Return a hash of everything that the codes depend on."""
    parts = json.dumps([run.preset.encoder, run.preset.bottleneck, store.identity, encodings])
    digest = hashlib.sha256(parts.encode())
    digest.update("\0".join(run.trained_speakers).encode())
    digest.update(run.model_file.read_bytes())
    return digest.hexdigest()[:12]


def _read(file: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return the codes of a file, or None where it is missing or damaged."""
    try:
        table = load_arrays(file).get("codes")
    except InputError:
        return None
    return table if table is not None and table.shape == shape else None
