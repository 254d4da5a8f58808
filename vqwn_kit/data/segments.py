"""Batches of random crops, (waveform, speaker[, pitch]): a pure function of (seed, step)."""

import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from vqwn_kit.data.corpus import SPLITS, Corpus
from vqwn_kit.data.pitch import tracks_of
from vqwn_kit.data.store import Store, prepare, to_float
from vqwn_kit.errors import InputError, one_of
from vqwn_kit.waveforms import as_waveform, as_waveforms

# waveform (B, T, 1) float32, speaker (B,) int32, and where it is asked for pitch (B, N) float32
Batch = tuple[np.ndarray, ...]
# A speaker's share of the crops goes with the duration of their speech to the power of 1 - this
SAMPLING = {"utterance": 0.0, "duration": 0.0, "speaker": 1.0, "root": 0.5}
TRIES = 10  # crops that are drawn in place of a silent one


def worker_rows(batch_size: int, worker: int, workers: int) -> slice:
    """Return the rows of a batch that one of several workers takes.

    Raises:
        InputError: no such worker, or the batch cannot be shared equally.
    """
    if not 0 <= worker < workers:
        raise InputError(f"worker is {worker}; expected 0 to {workers - 1}, of {workers}")
    if batch_size % workers:
        raise InputError(
            f"batch_size is {batch_size} with {workers} workers, which share each batch equally: "
            f"give a multiple of {workers} (--set batch_size=), or start another number of workers"
        )
    share = batch_size // workers
    return slice(worker * share, (worker + 1) * share)


class Segments:
    """Random crops of a store's training utterances.

    An epoch is one crop from each utterance, in an order drawn from (seed, epoch); the first sample
    of each crop is drawn from (seed, step). So batch `step` does not depend on the steps before it,
    and a resumed run continues exactly. Of several workers each takes its rows of that batch, the
    first B / workers, the next ones, and so on, and reads no others.

    A crop lies within one utterance. A silent crop is replaced by another of the same utterance.

    Args:
        store: the prepared corpus.
        length: T, samples per crop. A shorter utterance is padded with zeros at its end;
            `store.shorter_than(length)` names them.
        batch_size: B, of all workers together.
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
        workers: number of processes, a divisor of B.
        pitch_hop: samples per frame of the pitch (B, N), N = T / pitch_hop, that is the third part
            of each batch, see `PitchTracks`; None for batches without pitch.

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
        pitch_hop: int | None = None,
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
        self.store = store
        self.length = length
        self.batch_size = batch_size
        self.seed = seed
        self.sampling = sampling
        self.gain_db = gain_db
        self.shift = shift
        self.silence = 10 ** (silence_db / 20)
        self.rows = worker_rows(batch_size, worker, workers)
        self.pitch_hop = pitch_hop
        self.members = store.numbers(split)
        if not len(self.members):
            raise InputError(f"no utterance of {store.corpus.folder} is in the split {split!r}")
        self._samples = np.asarray(store.samples)  # a plain view: slicing a memmap object is slow
        self._order = (-1, self.members)
        self._bounds = np.cumsum(self._chances())
        if pitch_hop is not None:
            tracks_of(store)  # estimated before the training begins

    def _chances(self) -> np.ndarray:
        """Return the probability of each member, for drawing with replacement."""
        seconds = self.store.lengths[self.members] / self.store.sample_rate
        speakers = self.store.speaker_ids[self.members]
        seconds_of_speaker = np.bincount(speakers, seconds)[speakers]
        chances = seconds / seconds_of_speaker ** SAMPLING[self.sampling]
        return chances / chances.sum()

    def steps_per_epoch(self, epochs: float = 1) -> int:
        """Return the number of batches that visit each utterance `epochs` times.

        On average, if utterances are drawn with replacement.
        """
        return int(np.ceil(epochs * len(self.members) / self.batch_size))

    def batch(self, step: int) -> Batch:
        """Return batch number `step`: waveform (B, T, 1) float32, speaker (B,) int32, pitch.

        The pitch (B, N), float32, is left out without `pitch_hop`. Of several workers these are
        the rows of this one.
        """
        rng = np.random.default_rng([self.seed, 1, step])
        numbers = self._utterances(step)
        offsets = [self._offset(number, rng) for number in numbers][self.rows]
        numbers = numbers[self.rows]
        waveform = np.zeros((len(numbers), self.length, 1), np.float32)
        for row, (number, offset) in enumerate(zip(numbers, offsets, strict=True)):
            self._copy(waveform[row, :, 0], number, offset)
            if np.abs(waveform[row]).max() < self.silence:
                place = self.rows.start + row
                offsets[row] = self._crop_again(waveform[row, :, 0], number, step, place)
        if self.gain_db:
            decibels = np.random.default_rng([self.seed, 6, step]).uniform(
                -self.gain_db, self.gain_db, (self.batch_size, 1, 1)
            )[self.rows]
            waveform = np.clip(waveform * (10 ** (decibels / 20)).astype(np.float32), -1.0, 1.0)
        batch = (waveform, self.store.speaker_ids[numbers])
        if self.pitch_hop is None:
            return batch
        tracks, sizes = tracks_of(self.store), (self.pitch_hop, self.length // self.pitch_hop)
        rows = zip(numbers, offsets, strict=True)
        return (*batch, np.stack([tracks.frames(n, *sizes, offset) for n, offset in rows]))

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

        size = self.rows.stop - self.rows.start
        signature = (
            tf.TensorSpec((size, self.length, 1), tf.float32, "waveform"),
            tf.TensorSpec((size,), tf.int32, "speaker"),
        )
        if self.pitch_hop is not None:
            shape = (size, self.length // self.pitch_hop)
            signature = (*signature, tf.TensorSpec(shape, tf.float32, "pitch"))
        batches = tf.data.Dataset.from_generator(
            lambda: self.batches(start), output_signature=signature
        )
        return batches.prefetch(2)

    def _utterances(self, step: int) -> np.ndarray:
        """Return the utterances (B,) of batch number `step`, of all workers."""
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

    def _offset(self, number: int, rng: np.random.Generator) -> int:
        """Return the first sample of a random crop of an utterance."""
        last = max(0, self.store.lengths[number] - self.length)
        return int(rng.integers(-self.shift, last + self.shift + 1))

    def _copy(self, crop: np.ndarray, number: int, offset: int) -> None:
        """Write the crop of an utterance from a sample on into `crop` (T,)."""
        begin, length = self.store.starts[number], self.store.lengths[number]
        first, end = max(0, offset), min(offset + self.length, length)
        crop[:] = 0.0
        crop[first - offset : end - offset] = to_float(self._samples[begin + first : begin + end])

    def _crop_again(self, crop: np.ndarray, number: int, step: int, row: int) -> int:
        """Draw crops until one is not silent; in the end take the one around the peak."""
        rng = np.random.default_rng([self.seed, 5, step, row])
        for _ in range(TRIES):
            offset = self._offset(number, rng)
            self._copy(crop, number, offset)
            if np.abs(crop).max() >= self.silence:
                return offset
        whole = self.store.waveform(number)
        first = max(0, min(np.abs(whole).argmax() - self.length // 2, len(whole) - self.length))
        crop[:] = np.pad(whole[first : first + self.length], (0, self.length))[: self.length]
        return int(first)


class IterableSegments:
    """Batches from any iterable of (waveform, speaker), or with pitch, of your own.

    Args:
        source: yields waveforms at 16 kHz of any length, each with its speaker's name or number:
            (T,) floats in [-1, 1], or another form of `as_waveform`, such as 16-bit samples; or
            whole batches, (B, T) or (B, T, 1) with (B,) speakers. A sequence is repeated as often
            as needed; a generator must last for all steps.
        speakers: names of the speakers, in the order of their numbers.
        length: T, samples per crop, for single waveforms.
        batch_size: B, for single waveforms.
        seed: of the crops, for single waveforms.
        pitch_hop: samples per frame where the source yields (waveform, speaker, pitch): pitch in
            semitones relative to the speaker's mean, NaN where unvoiced, (N,) for a waveform or
            (B, N) for a batch, one value per frame. None where it yields no pitch.

    A resumed run draws the earlier batches again and drops them: the source must be repeatable.
    """

    def __init__(
        self,
        source: Iterable,
        speakers: Iterable[str],
        length: int,
        batch_size: int,
        seed: int = 0,
        pitch_hop: int | None = None,
    ):
        self.source = source
        self.pitch_hop = pitch_hop
        self.speakers = [str(name) for name in speakers]
        self.length = length
        self.batch_size = batch_size
        self.seed = seed

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """Yield the batches from step `start` on."""
        return itertools.islice(self._batches(), start, None)

    def _batches(self) -> Iterator[Batch]:
        items = (
            (number, self._checked(number, item)) for number, item in enumerate(self._repeated())
        )
        for number, item in items:
            if item[0].ndim > 1:
                yield self._whole(*item)
                continue
            group = itertools.chain([(number, item)], itertools.islice(items, self.batch_size - 1))
            crops = [self._crop(number, *part) for number, part in group]
            waveform, speaker, *pitch = map(np.stack, zip(*crops, strict=True))
            yield waveform[..., None], speaker.astype(np.int32), *pitch

    def _checked(self, number: int, item: Iterable) -> tuple:
        """Return waveform, speaker, and pitch where it is asked for."""
        waveform, speaker, *pitch = item
        name = f"waveform {number} of the iterable"
        if np.ndim(speaker):
            waveform = np.clip(as_waveforms(waveform, name), -1.0, 1.0)
        else:
            waveform = as_waveform(waveform, name)
        if len(pitch) != (self.pitch_hop is not None):
            expected = "speaker)" if self.pitch_hop is None else "speaker, pitch)"
            raise InputError(
                f"the iterable yields {2 + len(pitch)} things at once; expected (waveform, "
                f"{expected}, by decoder.conditioner.pitch_levels of the preset"
            )
        if self.pitch_hop is None:
            return waveform, speaker
        track = np.asarray(pitch[0], np.float32)
        rows, samples = waveform.shape[:1] * (waveform.ndim > 1), waveform.shape[waveform.ndim > 1]
        if track.shape != (*rows, -(-samples // self.pitch_hop)):
            raise InputError(
                f"a pitch of shape {track.shape} for a waveform of shape {waveform.shape}; "
                f"expected one value per {self.pitch_hop} samples, and one for a rest"
            )
        return waveform, speaker, track

    def _crop(self, number: int, waveform: np.ndarray, speaker: str | int, *pitch) -> tuple:
        """Return a crop (T,), its speaker's number, and its pitch (N,) if there is one."""
        rng = np.random.default_rng([self.seed, 2, number])
        offset = int(rng.integers(0, max(1, len(waveform) - self.length + 1)))
        crop = waveform[offset : offset + self.length]
        row = (np.pad(crop, (0, self.length - len(crop))), self._speaker_id(speaker))
        if self.pitch_hop is None:
            return row
        first = (offset + self.pitch_hop // 2) // self.pitch_hop
        frames = first + np.arange(self.length // self.pitch_hop)
        known = np.append(pitch[0], np.float32("nan"))
        return (*row, known[np.minimum(frames, len(pitch[0]))])

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

    def _whole(self, waveform: np.ndarray, speaker: np.ndarray, *pitch: np.ndarray) -> Batch:
        ids = np.array([self._speaker_id(name) for name in np.asarray(speaker)], np.int32)
        if len(ids) != len(waveform):
            raise InputError(
                f"a batch has waveform {waveform.shape} and speaker {ids.shape}; "
                "expected (B, T, 1) and (B,)"
            )
        return (waveform[..., None], ids, *pitch)

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


class Source:
    """Batches for training and a store for validation, from a store, corpus or iterable.

    Args:
        data: a store, a corpus, or an iterable as in `IterableSegments`.
        length: T, samples per crop.
        batch_size: B.
        seed: of the order and the crops.
        speakers: names of the speakers of an iterable.
        pitch_hop: samples per frame of the pitch in each batch, see `Segments`; None for none.
        workers: number of this worker, and how many there are; see `Segments`.
        **drawing: `sampling` and the other keywords of `Segments`; ignored for an iterable.

    Attributes:
        name: name of the corpus.
        speakers: facts by speaker, in the order of their numbers.
        store: the prepared corpus; None for an iterable.
        segments: the batches.
    """

    def __init__(
        self,
        data,
        length: int,
        batch_size: int,
        seed: int,
        speakers=None,
        *,
        pitch_hop: int | None = None,
        workers: tuple[int, int] = (0, 1),
        **drawing,
    ):
        sizes, self.store, self._workers = (length, batch_size, seed), None, workers
        if isinstance(data, Corpus):
            data = prepare(data)
        if isinstance(data, Store):
            self.store, self.name, self.speakers = data, data.corpus.name, data.corpus.speakers
            drawing |= dict(zip(("worker", "workers"), workers, strict=True))
            self.segments = Segments(data, *sizes, pitch_hop=pitch_hop, **drawing)
        elif speakers is None:
            raise InputError("an iterable of (waveform, speaker) needs speakers=[their names]")
        else:
            self.name, self.speakers = "own", {str(name): {} for name in speakers}
            self.segments = IterableSegments(data, self.speakers, *sizes, pitch_hop)
            worker_rows(batch_size, *workers)

    def batches(self, start: int = 0):
        """Yield the batches from step `start` on."""
        batches = self.segments.batches(start)
        return batches if self.store is not None else map(self._own_rows, batches)

    def _own_rows(self, batch: Batch) -> Batch:
        rows = worker_rows(len(batch[0]), *self._workers)
        return tuple(part[rows] for part in batch)
