"""Batches of random crops, (waveform, speaker); the order is a pure function of (seed, step)."""

import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from vqwn_kit.data.corpus import SPLITS, Corpus
from vqwn_kit.data.store import Store, prepare, to_float
from vqwn_kit.errors import InputError, one_of

Batch = tuple[np.ndarray, np.ndarray]  # waveform (B, T, 1) float32, speaker (B,) int32


SAMPLING = ("utterance", "duration", "speaker", "root")
TRIES = 10  # crops that are drawn anew where one holds nothing but silence


class Segments:
    """Random crops of a store's training utterances.

    An epoch is one crop from each utterance, in an order drawn from (seed, epoch); where each
    crop begins is drawn from (seed, step). So batch `step` is the same whether the steps before
    it were taken in this process or not, and a resumed run goes on exactly. With several workers,
    worker w takes the batches w, w + workers, w + 2 workers, … of that one sequence.

    A crop lies within one utterance. One without any sound is drawn anew.

    Args:
        store: the prepared corpus.
        length: T, samples a crop. A shorter utterance is padded with zeros at its end;
            `store.shorter_than(length)` names them.
        batch_size: B.
        seed: draws the order and the crops.
        split: `train` or `held_out`.
        sampling: `utterance` visits each utterance once an epoch; the others draw with
            replacement: `duration` makes each second of speech equally likely, `speaker` each
            speaker, and `root` lies between: a speaker by the square root of their duration. Of a
            speaker's utterances the long ones come oftener, in proportion.
        gain_db: loudness of each crop is changed by up to so many dB up or down, at random.
        shift: a crop may begin up to so many samples before its utterance, or end so many after
            it, with zeros there.
        silence_db: a crop whose loudest sample lies under this, in dBFS, is without any sound. The
            default takes digital silence; pauses of a recorded room lie above it, and are speech.
        worker, workers: which of how many processes this is.

    Example:
        waveform, speaker = Segments(store, length=5120, batch_size=4).batch(step=0)
    """

    def __init__(
        self,
        store: Store,
        length: int,
        batch_size: int,
        seed: int = 0,
        split: str = "train",
        *,
        sampling: str = "utterance",
        gain_db: float = 0.0,
        shift: int = 0,
        silence_db: float = -80.0,
        worker: int = 0,
        workers: int = 1,
    ):
        for what, number, least in (
            ("length", length, 1), ("batch_size", batch_size, 1), ("seed", seed, 0),
            ("workers", workers, 1),
        ):  # fmt: skip
            if number != int(number) or number < least:
                raise InputError(f"{what} is {number}; expected a whole number from {least} on")
        if split not in SPLITS:
            raise one_of("split", split, SPLITS)
        if sampling not in SAMPLING:
            raise one_of("way of sampling", sampling, SAMPLING)
        if not 0 <= gain_db <= 40:
            raise InputError(f"gain_db is {gain_db:g}; expected 0 to 40 dB")
        if not 0 <= shift < length:
            raise InputError(f"shift is {shift} samples; expected 0 to {length - 1}")
        if not 0 <= worker < workers:
            raise InputError(f"worker is {worker}; expected 0 to {workers - 1}, of {workers}")
        self.store = store
        self.length = length
        self.batch_size = batch_size
        self.seed = seed
        self.sampling = sampling
        self.gain_db = gain_db
        self.shift = shift
        self.silence = 10 ** (silence_db / 20)
        self.worker = worker
        self.workers = workers
        self.members = store.numbers(split)
        if not len(self.members):
            raise InputError(f"no utterance of {store.corpus.folder} is in the split {split!r}")
        self._samples = np.asarray(store.samples)  # a plain view: slicing a memmap object is slow
        self._order = (-1, self.members)
        self._bounds = np.cumsum(self._chances())

    def _chances(self) -> np.ndarray:
        """Return how likely each member is, where crops are drawn with replacement."""
        seconds = self.store.lengths[self.members] / self.store.sample_rate
        speakers = self.store.speaker_ids[self.members]
        spoken = np.bincount(speakers, seconds)[speakers]
        power = {"utterance": 0.0, "duration": 0.0, "speaker": 1.0, "root": 0.5}[self.sampling]
        chances = seconds / spoken**power
        return chances / chances.sum()

    def steps_per_epoch(self, epochs: float = 1) -> int:
        """Return the number of batches in which each utterance is visited `epochs` times.

        That is on average where crops are drawn with replacement; for all workers together it is
        `workers` times as many batches.
        """
        return int(np.ceil(epochs * len(self.members) / (self.batch_size * self.workers)))

    def batch(self, step: int) -> Batch:
        """Return batch number `step`: waveform (B, T, 1) float32, speaker (B,) int32."""
        step = step * self.workers + self.worker
        rng = np.random.default_rng([self.seed, 1, step])
        waveform = np.zeros((self.batch_size, self.length, 1), np.float32)
        numbers = self._utterances(step)
        for row, number in enumerate(numbers):
            self._crop(waveform[row, :, 0], number, rng)
            if np.abs(waveform[row]).max() < self.silence:
                self._crop_again(waveform[row, :, 0], number, step, row)
        if self.gain_db:
            decibels = np.random.default_rng([self.seed, 6, step]).uniform(
                -self.gain_db, self.gain_db, (self.batch_size, 1, 1)
            )
            waveform = np.clip(waveform * (10 ** (decibels / 20)).astype(np.float32), -1.0, 1.0)
        return waveform, self.store.speaker_ids[numbers]

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """Yield the batches from step `start` on, without end."""
        return map(self.batch, itertools.count(start))

    def dataset(self, start: int = 0):
        """Return the batches from step `start` on, without end, as a `tf.data.Dataset`.

        Example:
            steps = segments.steps_per_epoch()
            model.fit(segments.dataset(), steps_per_epoch=steps, shuffle=False)
        """
        import tensorflow as tf

        signature = (
            tf.TensorSpec((self.batch_size, self.length, 1), tf.float32, "waveform"),
            tf.TensorSpec((self.batch_size,), tf.int32, "speaker"),
        )
        batches = tf.data.Dataset.from_generator(
            lambda: self.batches(start), output_signature=signature
        )
        return batches.prefetch(2)

    def _utterances(self, step: int) -> np.ndarray:
        """Return which utterances (B,) batch number `step` of all workers takes."""
        if self.sampling == "utterance":
            first = step * self.batch_size
            return np.array([self._utterance(first + i) for i in range(self.batch_size)])
        draws = np.random.default_rng([self.seed, 4, step]).random(self.batch_size)
        places = np.searchsorted(self._bounds, draws, side="right")
        return self.members[np.minimum(places, len(self.members) - 1)]

    def _utterance(self, position: int) -> int:
        """Return which utterance stands at a position of the endless sequence of epochs."""
        epoch, place = divmod(position, len(self.members))
        if self._order[0] != epoch:
            rng = np.random.default_rng([self.seed, 0, epoch])
            self._order = (epoch, self.members[rng.permutation(len(self.members))])
        return self._order[1][place]

    def _crop(self, row: np.ndarray, number: int, rng: np.random.Generator) -> None:
        """Write a random crop of an utterance into `row` (T,)."""
        begin, length = self.store.starts[number], self.store.lengths[number]
        last = max(0, length - self.length)
        offset = rng.integers(-self.shift, last + self.shift + 1)
        first, end = max(0, offset), min(offset + self.length, length)
        row[:] = 0.0
        row[first - offset : end - offset] = to_float(self._samples[begin + first : begin + end])

    def _crop_again(self, row: np.ndarray, number: int, step: int, place: int) -> None:
        """Draw crops until one holds sound; at last take the one around the loudest sample."""
        rng = np.random.default_rng([self.seed, 5, step, place])
        for _ in range(TRIES):
            self._crop(row, number, rng)
            if np.abs(row).max() >= self.silence:
                return
        whole = self.store.waveform(number)
        first = max(0, min(np.abs(whole).argmax() - self.length // 2, len(whole) - self.length))
        row[:] = np.pad(whole[first : first + self.length], (0, self.length))[: self.length]


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

    `sampling`, `gain_db`, `shift`, `silence_db`, `worker` and `workers` are those of `Segments`;
    an iterable of the user's own is taken as it comes.

    Attributes:
        name: name of the corpus.
        speakers: facts by speaker, in the order of their numbers.
        store: the prepared corpus; None where the user's own iterable is trained on.
    """

    def __init__(self, data, length: int, batch_size: int, seed: int, speakers=None, **drawing):
        sizes = (length, batch_size, seed)
        if isinstance(data, Corpus):
            data = prepare(data)
        self.store = data if isinstance(data, Store) else None
        if self.store is not None:
            self.name, self.speakers = self.store.corpus.name, self.store.corpus.speakers
            self.segments = Segments(self.store, *sizes, **drawing)
        elif speakers is None:
            raise InputError("an iterable of (waveform, speaker) needs speakers=[their names]")
        else:
            self.name, self.speakers = "own", {str(name): {} for name in speakers}
            self.segments = IterableSegments(data, self.speakers, *sizes)

    def batches(self, start: int = 0):
        """Yield the batches from step `start` on."""
        return self.segments.batches(start)
