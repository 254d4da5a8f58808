"""Batches of random crops, (waveform, speaker); the order is a pure function of (seed, step)."""

import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from vqwn_kit.corpus import Corpus
from vqwn_kit.errors import InputError, one_of
from vqwn_kit.store import Store, prepare, to_float

Batch = tuple[np.ndarray, np.ndarray]  # waveform (B, T, 1) float32, speaker (B,) int32


class Segments:
    """Random crops of a store's training utterances.

    An epoch is one crop from each utterance, in an order drawn from (seed, epoch); where each
    crop begins is drawn from (seed, step). So batch `step` is the same whether the steps before
    it were taken in this process or not, and a resumed run goes on exactly.

    Args:
        store: the prepared corpus.
        length: T, samples a crop. A shorter utterance is padded with zeros at its end.
        batch_size: B.
        seed: draws the order and the crops.
        split: `train` or `held_out`.

    Example:
        waveform, speaker = Segments(store, length=5120, batch_size=4).batch(step=0)
    """

    def __init__(
        self, store: Store, length: int, batch_size: int, seed: int = 0, split: str = "train"
    ):
        self.store = store
        self.length = length
        self.batch_size = batch_size
        self.seed = seed
        self.members = store.numbers(split)
        if not len(self.members):
            raise InputError(f"no utterance of {store.corpus.folder} is in the split {split!r}")

    def steps_per_epoch(self, epochs: float = 1) -> int:
        """Return the number of batches in which each utterance is visited `epochs` times."""
        return int(np.ceil(epochs * len(self.members) / self.batch_size))

    def batch(self, step: int) -> Batch:
        """Return batch number `step`: waveform (B, T, 1) float32, speaker (B,) int32."""
        rng = np.random.default_rng([self.seed, 1, step])
        waveform = np.zeros((self.batch_size, self.length, 1), np.float32)
        numbers = [self._utterance(step * self.batch_size + i) for i in range(self.batch_size)]
        for row, number in enumerate(numbers):
            crop = self._crop(number, rng)
            waveform[row, : len(crop), 0] = crop
        return waveform, self.store.speaker_ids[numbers]

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """Yield the batches from step `start` on, without end."""
        return map(self.batch, itertools.count(start))

    def _utterance(self, position: int) -> int:
        """Return which utterance stands at a position of the endless sequence of epochs."""
        epoch, place = divmod(position, len(self.members))
        order = np.random.default_rng([self.seed, 0, epoch]).permutation(len(self.members))
        return self.members[order[place]]

    def _crop(self, number: int, rng: np.random.Generator) -> np.ndarray:
        start, length = self.store.starts[number], self.store.lengths[number]
        offset = rng.integers(0, max(1, length - self.length + 1))
        end = min(offset + self.length, length)
        return to_float(self.store.samples[start + offset : start + end])


class IterableSegments:
    """Batches from any iterable of (waveform, speaker) of your own.

    Args:
        source: yields (T,) float waveforms in [-1, 1] at 16 kHz of any length, each with its
            speaker's name or number; or whole batches, (B, T) or (B, T, 1) with (B,) speakers. A
            sequence is repeated as often as needed; a generator must last for the training.
        speakers: names of the speakers, in the order of their numbers.
        length, batch_size, seed: as in `Segments`, for waveforms that come one by one.

    A resumed run draws and drops the batches it had seen, so the source should be repeatable.
    """

    def __init__(
        self,
        source: Iterable,
        speakers: Iterable[str],
        length: int,
        batch_size: int,
        seed: int = 0,
    ):
        self.source = source
        self.speakers = [str(name) for name in speakers]
        self.length = length
        self.batch_size = batch_size
        self.seed = seed

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """Yield the batches from step `start` on."""
        return itertools.islice(self._batches(), start, None)

    def _batches(self) -> Iterator[Batch]:
        items = enumerate(self._repeated())
        for number, (waveform, speaker) in items:
            waveform = np.asarray(waveform, np.float32)
            if waveform.ndim > 1:
                yield self._whole(waveform, speaker)
                continue
            rows = [self._crop(waveform, number)]
            ids = [self._speaker_id(speaker)]
            for number, (waveform, speaker) in itertools.islice(items, self.batch_size - 1):
                rows.append(self._crop(np.asarray(waveform, np.float32), number))
                ids.append(self._speaker_id(speaker))
            yield np.stack(rows)[..., None], np.array(ids, np.int32)

    def _repeated(self) -> Iterator:
        while True:
            empty = True
            for item in self.source:
                empty = False
                yield item
            if empty:
                raise InputError(
                    "the iterable of (waveform, speaker) ended before the training did: give a "
                    "sequence, or a generator that lasts for all steps"
                )

    def _whole(self, waveform: np.ndarray, speaker: np.ndarray) -> Batch:
        if waveform.ndim == 2:
            waveform = waveform[..., None]
        ids = np.array([self._speaker_id(one) for one in np.asarray(speaker)], np.int32)
        if waveform.shape[2:] != (1,) or len(ids) != len(waveform):
            raise InputError(
                f"a batch has waveform {waveform.shape} and speaker {ids.shape}; "
                "expected (B, T, 1) and (B,)"
            )
        return waveform, ids

    def _speaker_id(self, speaker: str | int) -> int:
        if isinstance(speaker, str):
            if speaker not in self.speakers:
                raise one_of("speaker", speaker, self.speakers)
            return self.speakers.index(speaker)
        if not -1 <= int(speaker) < len(self.speakers):
            raise InputError(
                f"speaker {speaker} is out of range: give a name, 0..{len(self.speakers) - 1}, "
                "or -1 for no speaker"
            )
        return int(speaker)

    def _crop(self, waveform: np.ndarray, number: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, 2, number])
        offset = rng.integers(0, max(1, len(waveform) - self.length + 1))
        crop = waveform[offset : offset + self.length]
        return np.pad(crop, (0, self.length - len(crop)))


class Source:
    """Batches for training and a store for validation, from whatever the user gave.

    Attributes:
        name: name of the corpus.
        speakers: facts by speaker, in the order of their numbers.
        store: the prepared corpus; None where the user's own iterable is trained on.
    """

    def __init__(self, data, length: int, batch_size: int, seed: int, speakers=None):
        sizes = (length, batch_size, seed)
        if isinstance(data, Corpus):
            data = prepare(data)
        self.store = data if isinstance(data, Store) else None
        if self.store is not None:
            self.name, self.speakers = self.store.corpus.name, self.store.corpus.speakers
            self.segments = Segments(self.store, *sizes)
        elif speakers is None:
            raise InputError("an iterable of (waveform, speaker) needs speakers=[their names]")
        else:
            self.name, self.speakers = "own", {str(name): {} for name in speakers}
            self.segments = IterableSegments(data, self.speakers, *sizes)

    def batches(self, start: int = 0):
        """Yield the batches from step `start` on."""
        return self.segments.batches(start)
