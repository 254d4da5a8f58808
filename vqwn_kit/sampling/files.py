"""Sound files of any length -> sound files in other voices, written while they are synthesised."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vqwn_kit.data.audio import SAMPLE_RATE, stream_audio
from vqwn_kit.data.long_audio import AudioWriter, Survey
from vqwn_kit.data.sound_file import LOWEST_RATE
from vqwn_kit.errors import InputError
from vqwn_kit.files import short_name, unused
from vqwn_kit.models.vqvae import VQVAE
from vqwn_kit.sampling.parts import Speaker, condition_waveform, side_by_side, sound_of
from vqwn_kit.sampling.pitch import recording_pitch

MOST_ROWS = 16  # that are sampled together
HIGHEST_RATE = 192_000  # Hz
INPUT = "input"  # a rate or a level: that of the recording


def convert_files(
    model: VQVAE,
    recordings: Sequence[Survey],
    speakers: Sequence[Speaker],
    files: Sequence[Sequence[Path]],
    *,
    rate: float | str | None = None,
    level: str | None = None,
    transpose: float | None = None,
    codebooks: int | None = None,
    progress: bool = False,
    **settings,
) -> None:
    """Convert recordings of any length to the voices of speakers, in constant memory.

    Each sound is that of `convert_voice` alone, to the last bit before it is rounded to 16 bits,
    whatever else is converted beside it. Recordings of like lengths are sampled as one batch; not
    by a first stage, whose phases follow from the length.

    Args:
        model: a trained model.
        recordings: as `survey` found them.
        speakers: S' of them.
        files: of each recording S' new .wav files, created at the start, which grow while they
            are synthesised; those without sound are removed.
        rate: of the files in Hz; "input" for that of the recording; 16 kHz by default.
        level: "input" gives each file the RMS of its recording, or less where it would clip; by
            default the level stays as the model makes it.
        transpose: semitones by which the pitch is raised, of a model that is conditioned on it.
        codebooks: see `generate`.
        progress: show a progress bar with the time left.
        **settings: precision, mode, temperature, top_k, seed and threads of `generate`.

    Raises:
        InputError: another rate or level, a file that exists, or see `generate`.
        KeyboardInterrupt: its message says how far it went; the files hold the sound up to there.

    Example:
        recording = survey("talk.mp3")
        convert_files(model, [recording], ["joe"], [[Path("talk_as_joe.wav")]], rate="input")
    """
    check_output(rate, level)
    most = MOST_ROWS if model.is_autoregressive else 1
    groups = list(_groups(recordings, len(speakers), most))
    total = sum(recordings[group[0]].length for group in groups)
    with synthesising(total, progress) as advance, ExitStack() as stack:
        for group in groups:
            own = [recordings[n] for n in group]
            sound = _sound(model, own, speakers, transpose, codebooks, settings)
            if group is groups[0]:  # the settings are checked
                stack.enter_context(reserved(sum(map(list, files), [])))
            targets = [
                _target(one, path, rate, level)
                for one, n in zip(own, group, strict=True)
                for path in files[n]
            ]
            write_sound(sound, targets, advance)


def check_output(rate: float | str | None, level: str | None) -> None:
    """Raise an InputError unless a rate and a level are such as `convert_files` takes."""
    if rate is not None and rate != INPUT:
        whole = not isinstance(rate, str) and rate % 1 == 0
        if not whole or not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise InputError(
                f"rate is {rate!r}; expected whole Hz, {LOWEST_RATE} to {HIGHEST_RATE}, or "
                f"{INPUT!r} for that of the recording"
            )
    if level not in (None, INPUT):
        raise InputError(f"level is {level!r}; expected {INPUT!r}, that of the recording, or none")


def name_files(
    folder: str | Path, sources: Sequence[str | Path], speakers: Iterable[str], form: str = ""
) -> list[list[Path]]:
    """Return unused names of a .wav file for each recording and speaker.

    Args:
        folder: of the files.
        sources: of the recordings; two of one stem are distinguished by their folders.
        speakers: names.
        form: of the names, by default `{source}_as_{speaker}`.

    Example:
        name_files("generated", ["wav48/p225/p225_003.wav"], ["p226"])  # p225_003_as_p226.wav
    """
    paths, taken = [Path(source) for source in sources], set()
    stems, form = [path.stem for path in paths], form or "{source}_as_{speaker}"
    rows = []
    for path in paths:
        twice = stems.count(path.stem) > 1 and path.resolve().parent.name
        source = f"{path.resolve().parent.name}_{path.stem}" if twice else path.stem
        rows.append([])
        for speaker in speakers:
            name = short_name(form.format(source=source, speaker=speaker.replace("/", "_")))
            rows[-1].append(unused(Path(folder) / f"{name}.wav", taken))
            taken.add(rows[-1][-1])
    return rows


@contextmanager
def synthesising(total: int, progress: bool) -> Iterator[Callable[[int], None]]:
    """Show a progress bar over samples; yield what is called with the number of those appended.

    Raises:
        KeyboardInterrupt: one from within, with a message that says how far it went.
    """
    from tqdm import tqdm

    form = {"desc": "synthesise", "unit": "sample", "unit_scale": True}
    done = 0

    def advance(samples: int) -> None:
        nonlocal done
        if not done:  # the sampler was compiled, which says nothing of the time left
            bar.unpause()
            bar.set_postfix_str("", refresh=False)
        done = min(total, done + samples)
        bar.update(done - bar.n)

    try:
        with tqdm(total=total, disable=not progress, **form) as bar:
            bar.set_postfix_str("preparing")
            yield advance
    except KeyboardInterrupt:
        seconds = f"{done / SAMPLE_RATE:.1f} s of {total / SAMPLE_RATE:.1f} s"
        raise KeyboardInterrupt(f"stopped after {seconds}; the sound so far is kept") from None


@contextmanager
def reserved(files: Iterable[Path]) -> Iterator[None]:
    """Create files, so that no other program takes their names; remove those that stay empty."""
    made = []
    try:
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                file.open("xb").close()
            except FileExistsError:
                raise InputError(
                    f"{file} exists, and nothing is overwritten: give the name of a new file, or "
                    "run the command again, which finds one"
                ) from None
            made.append(file)
        yield
    finally:
        for file in made:
            if file.exists() and not file.stat().st_size:
                file.unlink()


def _groups(recordings: Sequence[Survey], rows: int, most: int = MOST_ROWS) -> Iterator[list[int]]:
    """Yield numbers of recordings that are sampled together, the longest first, of like lengths.

    Args:
        recordings: all of them.
        rows: voices of each.
        most: rows of a group; one recording is a group however many it has.
    """
    group: list[int] = []
    for number in sorted(range(len(recordings)), key=lambda n: -recordings[n].length):
        many = (len(group) + 1) * rows > most
        if group and (many or 2 * recordings[number].length < recordings[group[0]].length):
            yield group
            group = []
        group.append(number)
    if group:
        yield group


@dataclass(frozen=True)
class _Blocks:
    """The blocks of a file, which can be gone through more than once."""

    path: Path

    def __iter__(self) -> Iterator[np.ndarray]:
        return stream_audio(self.path)


def _sound(model, recordings, speakers, transpose, codebooks, settings) -> Iterator[np.ndarray]:
    """Return the sound of recordings in voices, part by part, sampled as one batch."""
    parts = [_parts(model, one, speakers, transpose, codebooks) for one in recordings]
    numbers = [*range(len(speakers))] * len(recordings)
    return sound_of(model, side_by_side(parts), numbers=numbers, **settings)


def _parts(model, recording: Survey, speakers, transpose, codebooks) -> Iterator[np.ndarray]:
    """Return the conditioning of a recording, part by part."""
    blocks, pitch = _Blocks(recording.path), None
    if model.pitch_levels or transpose is not None:
        pitch = recording_pitch(model, blocks) + (transpose or 0.0)
    return condition_waveform(model, blocks, speakers, pitch, codebooks)


class Target(NamedTuple):
    """A file that sound is written to: `length` samples at 16 kHz, at another rate and level."""

    path: Path
    length: int
    sample_rate: int = SAMPLE_RATE
    rms: float | None = None


def _target(recording: Survey, path: Path, rate, level) -> Target:
    hertz = recording.sample_rate if rate == INPUT else int(rate or SAMPLE_RATE)
    return Target(path, recording.length, hertz, recording.rms if level == INPUT else None)


def write_sound(
    sound: Iterable[np.ndarray], targets: Sequence[Target], advance: Callable[[int], None]
) -> None:
    """Write sound that comes in parts, (S', t), to S' files; they are whole at any moment.

    Args:
        sound: at 16 kHz.
        targets: a file for each row.
        advance: called with the samples of each part, once they are written.
    """
    done = 0
    with ExitStack() as stack:
        writers = [
            stack.enter_context(AudioWriter(one.path, one.sample_rate, one.rms)) for one in targets
        ]
        longest = max(target.length for target in targets)
        for part in sound:
            for target, writer, row in zip(targets, writers, part, strict=True):
                writer.write(row[: max(0, target.length - done)])
            advance(max(0, min(part.shape[1], longest - done)))
            done += part.shape[1]
