"""A moment of a recording -> the nearest frames and codes of a run, to hear and as tables."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vqwn_kit.data.corpus import Corpus
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.frames import FrameIndex, Frames
from vqwn_kit.evaluation.metrics.tables import align_columns, write_csv
from vqwn_kit.runs.run import Run
from vqwn_kit.widgets.player import Player
from vqwn_kit.workbench.code_page import OPENS, CodePages
from vqwn_kit.workbench.examine import examine_codes
from vqwn_kit.workbench.excerpts import faded
from vqwn_kit.workbench.frame_excerpts import AROUND, excerpt_with_codes, recording_of, squeezed

MOST_TRACKS = 8  # beside the moment itself: a player has nine keys
MOST_CODES = 8


class FoundFrames(Player):
    """A player of a moment and of the frames that are nearest to it; see `find_frames`.

    Attributes:
        nearest: a column per fact of the frames, the nearest first; `pandas.DataFrame` takes it.
        nearest_codes: the same of the codes.
    """

    nearest: dict[str, list]
    nearest_codes: dict[str, list]

    def __repr__(self) -> str:
        """Return the frames as text: recording, seconds, code, phone and distance."""
        columns = ("utterance", "seconds", "code", "phone", "distance")
        rows = zip(*(self.nearest[name] for name in columns), strict=True)
        cells = [[key, f"{t:.2f}", code, phone, f"{far:.3f}"] for key, t, code, phone, far in rows]
        lines = align_columns([list(columns), *cells], "lrrlr")
        return "\n".join([self.title, *("  " + "  ".join(line) for line in lines)])

    def save_csv(self, path: str | Path) -> Path:
        """Write `nearest` as a CSV file; return its path."""
        return write_csv(path, self.nearest)


def find_frames(
    run: Run | str | Path,
    recording: np.ndarray | str | Path,
    seconds: float,
    data: Store | Corpus | str | Path | None = None,
    *,
    sample_rate: int | None = None,
    count: int = 20,
    utterances: int | None = None,
    progress: bool = True,
) -> FoundFrames:
    """Find the frames and codes that are nearest to a moment of a recording, in z_e.

    Args:
        run: a run, its path, or the name of a shipped one.
        recording: the key of an utterance, a sound file, or a waveform (T,); its first 30 s.
        seconds: the moment.
        data: the corpus that is searched; the run's own by default.
        sample_rate: of a waveform, in Hz; the model's by default.
        count: frames to find, each of another utterance; the first 8 are tracks of the player.
        utterances: held-out ones that are searched beside up to 240 of training; all by default.
        progress: show progress bars.

    Returns:
        A player of 0.6 s around the moment and around each frame, which are marked; its `nearest`
        and `nearest_codes` are tables. Of an utterance that is searched, its own frames are left
        out.

    Raises:
        InputError: no such run, corpus or recording; no codebook; or a moment outside of it.

    Example:
        found = vq.workbench.find_frames("mini", "kumo_036", 0.5)
        pandas.DataFrame(found.nearest)
    """
    if count < 1:
        raise InputError(f"count={count}: expected 1 or more")
    pages = CodePages(examine_codes(run, data, progress, utterances))
    moment = _moment_of(pages, recording, seconds, sample_rate)
    found, distances = _nearest(pages.index, moment, count)
    player = _player(pages, moment, found[:MOST_TRACKS])
    player.nearest = _frame_table(pages, found, distances)
    player.nearest_codes = _code_table(pages, moment)
    return player


@dataclass(frozen=True)
class Moment:
    """A frame of a recording.

    Attributes:
        name: of the recording.
        seconds: the time in it.
        number: of its utterance in the store; -1 where it is none.
        waveform: float32 (T,), the recording at the model's rate.
        frames: all of the recording.
        place: index of the frame.
    """

    name: str
    seconds: float
    number: int
    waveform: np.ndarray
    frames: Frames
    place: int

    @property
    def z_e(self) -> np.ndarray:
        """The encoder's output in the frame, (d,)."""
        return self.frames.z_e[self.place]

    @property
    def codes(self) -> np.ndarray:
        """The codes of the frame, (Q,)."""
        return self.frames.codes[self.place]


def _moment_of(pages: CodePages, recording, seconds: float, sample_rate: int | None) -> Moment:
    """Return the frame of a recording at a time; InputError where it has none."""
    waveform, number, name = recording_of(pages.context.store, recording, sample_rate)
    frames, rate = pages.index.encoder(waveform), pages.context.frame_rate
    most = len(frames.codes) / rate
    if not 0 <= seconds < most:
        raise InputError(f"seconds={seconds} of {name}; expected 0 to {most:.2f}")
    place = int(seconds * rate + 1e-6)  # 0.29 * 100 is less than 29
    return Moment(name, seconds, number, waveform, frames, min(place, len(frames.codes) - 1))


def _nearest(index: FrameIndex, moment: Moment, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return frames of other utterances, the nearest first, and their distances, (n,)."""
    found, distances = index.nearest(moment.z_e, count + 1)
    others = index.numbers[found] != moment.number
    return found[others][:count], distances[others][:count]


def _player(pages: CodePages, moment: Moment, found: np.ndarray) -> FoundFrames:
    """Return a player of a moment and of frames, without the tables."""
    title = f"{moment.name} at {moment.seconds:.2f} s"
    excerpts = {title: _around(moment, pages)}
    for frame in found.tolist():
        excerpts[pages.index.name(frame)] = excerpt_with_codes(pages.index, frame)
    tracks, codes, phones, marks = (
        dict(zip(excerpts, parts, strict=True)) for parts in zip(*excerpts.values(), strict=True)
    )
    return FoundFrames(
        tracks,
        pages.context.store.sample_rate,
        codes=codes,
        phones=phones,
        marks=marks,
        hop_length=pages.context.model.hop_length,
        palette=pages.palette,
        title=f"{title}: code {_spaced(moment.codes)}, and the nearest frames",
        open=pages.page,
        opens=OPENS,
    )


def _around(moment: Moment, pages: CodePages) -> tuple[np.ndarray, np.ndarray, list, list]:
    """Return the sound around a moment, its codes, no phones, and the mark of its frame."""
    rate, hop = pages.context.frame_rate, pages.context.model.hop_length
    codes, place = moment.frames.codes, moment.place
    half = max(1, round(AROUND * rate / 2))
    first, last = max(0, place - half), min(len(codes), place + half + 1)
    start = (place - first) / rate
    sound = faded(moment.waveform[first * hop : last * hop])
    return sound, squeezed(codes[first:last]), [], [(start, start + 1 / rate)]


def _frame_table(pages: CodePages, found: np.ndarray, distances: np.ndarray) -> dict[str, list]:
    """Return a column per fact of frames."""
    index, context = pages.index, pages.context
    members = [context.store.corpus.utterances[number] for number in index.numbers[found]]
    return {
        "utterance": [member.key for member in members],
        "seconds": ((index.places[found] + 0.5) / context.frame_rate).round(4).tolist(),
        "speaker": [member.speaker for member in members],
        "phone": [index.phone_name(frame) for frame in found],
        "code": [_spaced(index.frames.codes[frame]) for frame in found],
        "distance": [round(distance, 4) for distance in distances.tolist()],
    }


def _code_table(pages: CodePages, moment: Moment) -> dict[str, list]:
    """Return a column per fact of the codes nearest to a frame; of several codebooks its own."""
    profiles = pages.profiles
    tokens = (moment.codes + profiles.size * np.arange(profiles.num_codebooks)).tolist()
    distances = moment.frames.distances[moment.place].tolist()
    if profiles.num_codebooks == 1:
        far = np.linalg.norm(pages.index.encoder.codewords[0] - moment.z_e, axis=1)
        tokens = np.argsort(far, kind="stable")[:MOST_CODES].tolist()
        distances = far[tokens].tolist()
    return {
        "code": [profiles.names[token] for token in tokens],
        "distance": [round(distance, 4) for distance in distances],
        "most frequent phone": [profiles.most_frequent_phone(token) for token in tokens],
        "frames": profiles.counts[tokens].tolist(),
    }


def _spaced(codes: np.ndarray) -> str:
    """Return the codes of a frame as text."""
    return " ".join(map(str, codes))
