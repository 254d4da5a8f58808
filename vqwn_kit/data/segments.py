"""Batches of random crops, (waveform, speaker): a pure function of (seed, step)."""

import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from vqwn_kit.data.corpus import SPLITS, Corpus
from vqwn_kit.data.store import Store, prepare, to_float
from vqwn_kit.errors import InputError, one_of

Batch = tuple[np.ndarray, np.ndarray]  # waveform (B, T, 1) float32, speaker (B,) int32
# A speaker's share of the crops goes with the duration of their speech to the power of 1 - this
SAMPLING = {"utterance": 0.0, "duration": 0.0, "speaker": 1.0, "root": 0.5}
TRIES = 10  # crops that are drawn in place of a silent one


class Segments:
    """Random crops of a store's training utterances.

    An epoch is one crop from each utterance, in an order drawn from (seed, epoch); the first sample
    of each crop is drawn from (seed, step). So batch `step` does not depend on the steps before it,
    and a resumed run continues exactly. With several workers, worker w takes the batches w,
    w + workers, w + 2 workers, … of that one sequence.

    A crop lies within one utterance. A silent crop is replaced by another of the same utterance.

    Args:
        store: the prepared corpus.
        length: T, samples per crop. A shorter utterance is padded with zeros at its end;
            `store.shorter_than(length)` names them.
        batch_size: B.
        seed: of the order and the crops.
        split: `train` or `held_out`.
        sampling: `utterance` visits each utterance once per epoch; the others draw with
            replacement: `duration` makes each second of speech equally likely, `speaker` each
            speaker, and `root` draws a speaker by the square root of their duration. A speaker's
            utterances are drawn in proportion to their length.
        gain_db: the level of each crop changes at random, by up to this many dB up or down.
        shift: a crop may begin up to this many samples before its utterance, or end as many after
            it, with zeros there.
        silence_db: a crop is silent if its peak is below this, in dBFS. The default means digital
            silence; pauses of a recorded room are louder, and count as speech.
        worker: number of this process, from 0.
        workers: number of processes.

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
        whole = {"length": length, "batch_size": batch_size, "seed": seed, "workers": workers}
        for name, number in whole.items():
            least = 0 if name == "seed" else 1
            if number != int(number) or number < least:
                raise InputError(f"{name} is {number}; expected a whole number from {least} on")
        if split not in SPLITS:
            raise one_of("split", split, SPLITS)
        if sampling not in SAMPLING:
            raise one_of("kind of sampling", sampling, SAMPLING)
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
        """Return the probability of each member, for drawing with replacement."""
        seconds = self.store.lengths[self.members] / self.store.sample_rate
        speakers = self.store.speaker_ids[self.members]
        seconds_of_speaker = np.bincount(speakers, seconds)[speakers]
        chances = seconds / seconds_of_speaker ** SAMPLING[self.sampling]
        return chances / chances.sum()

    def steps_per_epoch(self, epochs: float = 1) -> int:
        """Return the number of batches per worker that visit each utterance `epochs` times.

        On average, if utterances are drawn with replacement.
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
        """Return the utterances (B,) of batch number `step` in the sequence of all workers."""
        if self.sampling == "utterance":
            first = step * self.batch_size
            return np.array([self._utterance(first + i) for i in range(self.batch_size)])
        draws = np.random.default_rng([self.seed, 4, step]).random(self.batch_size)
        positions = np.searchsorted(self._bounds, draws, side="right")
        return self.members[np.minimum(positions, len(self.members) - 1)]

    def _utterance(self, position: int) -> int:
        """Return the utterance at a position of the endless sequence of epochs."""
        epoch, rest = divmod(position, len(self.members))
        if self._order[0] != epoch:
            rng = np.random.default_rng([self.seed, 0, epoch])
            self._order = (epoch, self.members[rng.permutation(len(self.members))])
        return self._order[1][rest]

    def _crop(self, crop: np.ndarray, number: int, rng: np.random.Generator) -> None:
        """Write a random crop of an utterance into `crop` (T,)."""
        begin, length = self.store.starts[number], self.store.lengths[number]
        last = max(0, length - self.length)
        offset = rng.integers(-self.shift, last + self.shift + 1)
        first, end = max(0, offset), min(offset + self.length, length)
        crop[:] = 0.0
        crop[first - offset : end - offset] = to_float(self._samples[begin + first : begin + end])

    def _crop_again(self, crop: np.ndarray, number: int, step: int, row: int) -> None:
        """Draw crops until one is not silent; in the end take the one around the peak."""
        rng = np.random.default_rng([self.seed, 5, step, row])
        for _ in range(TRIES):
            self._crop(crop, number, rng)
            if np.abs(crop).max() >= self.silence:
                return
        whole = self.store.waveform(number)
        first = max(0, min(np.abs(whole).argmax() - self.length // 2, len(whole) - self.length))
        crop[:] = np.pad(whole[first : first + self.length], (0, self.length))[: self.length]


class IterableSegments:
    """Batches from any iterable of (waveform, speaker) of your own.

    Args:
        source: yields (T,) float waveforms in [-1, 1] at 16 kHz of any length, each with its
            speaker's name or number; or whole batches, (B, T) or (B, T, 1) with (B,) speakers. A
            sequence is repeated as often as needed; a generator must last for all steps.
        speakers: names of the speakers, in the order of their numbers.
        length: T, samples per crop, for single waveforms.
        batch_size: B, for single waveforms.
        seed: of the crops, for single waveforms.

    A resumed run draws the earlier batches again and drops them: the source must be repeatable.
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
                    "the iterable of (waveform, speaker) ended before the training: give a "
                    "sequence, or a generator that lasts for all steps"
                )

    def _whole(self, waveform: np.ndarray, speaker: np.ndarray) -> Batch:
        if waveform.ndim == 2:
            waveform = waveform[..., None]
        ids = np.array([self._speaker_id(name) for name in np.asarray(speaker)], np.int32)
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
    """Batches for training and a store for validation, from a store, corpus or iterable.

    Args:
        data: a store, a corpus, or an iterable as in `IterableSegments`.
        length: T, samples per crop.
        batch_size: B.
        seed: of the order and the crops.
        speakers: names of the speakers of an iterable.
        **drawing: `sampling` and the other keywords of `Segments`; ignored for an iterable.

    Attributes:
        name: name of the corpus.
        speakers: facts by speaker, in the order of their numbers.
        store: the prepared corpus; None for an iterable.
        segments: the batches.
    """

    def __init__(self, data, length: int, batch_size: int, seed: int, speakers=None, **drawing):
        sizes, self.store = (length, batch_size, seed), None
        if isinstance(data, Corpus):
            data = prepare(data)
        if isinstance(data, Store):
            self.store, self.name, self.speakers = data, data.corpus.name, data.corpus.speakers
            self.segments = Segments(data, *sizes, **drawing)
        elif speakers is None:
            raise InputError("an iterable of (waveform, speaker) needs speakers=[their names]")
        else:
            self.name, self.speakers = "own", {str(name): {} for name in speakers}
            self.segments = IterableSegments(data, self.speakers, *sizes)

    def batches(self, start: int = 0):
        """Yield the batches from step `start` on."""
        return self.segments.batches(start)
