"""Recordings -> files of their units: resumable, in one process or several."""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vqwn_kit.data.headers import opened
from vqwn_kit.errors import InputError
from vqwn_kit.files import counted, only_writer, replacing
from vqwn_kit.runs.run import Run, load_run
from vqwn_kit.runs.unit_encoder import UnitEncoder, source_of
from vqwn_kit.runs.unit_files import (
    FILES,
    finished_lines,
    read_settings,
    read_units,
    settings_file,
)
from vqwn_kit.runs.unit_output import (
    SAVES,
    Output,
    Recording,
    Written,
    appended,
    find_recordings,
    write_recording,
)
from vqwn_kit.runs.units import Units

Results = Iterator[tuple[Recording, Written | str]]  # what was written, or why it was not


@dataclass
class Encoded:
    """What `encode_files` has done. Iterate over it for the `Units`, read from what was written.

    Attributes:
        save: the file or folder.
        recordings: how many were encoded.
        before: how many were finished before.
        skipped: reason by recording, for those that cannot be encoded.
        cut: bytes of a cut last line that was dropped.
        sound: seconds of sound that were encoded.
        seconds: that this took, without opening the model.
    """

    save: Path
    recordings: int = 0
    before: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    cut: int = 0
    sound: float = 0.0
    seconds: float = 0.0

    def add(self, results: Results, append: Callable[[str], None]) -> None:
        """Count what is encoded, recording by recording, and append its line to the output."""
        begin = time.perf_counter()
        for recording, result in results:
            if isinstance(result, str):
                self.skipped[str(recording.path)] = result
            else:
                append(result.line)
                self.recordings += 1
                self.sound += result.seconds
            self.seconds = time.perf_counter() - begin

    def __iter__(self) -> Iterator[Units]:
        """Read the units, also those of earlier calls."""
        return read_units(self.save)

    def __str__(self) -> str:
        """Describe it in a line."""
        text = f"{self.save}: {counted(self.recordings, 'recordings')} encoded"
        if self.recordings:
            rate = self.sound / max(self.seconds, 1e-9)
            text += f", {self.sound / 60:.1f} min in {self.seconds:.1f} s, {rate:.0f} x real time"
        text += f"; {self.before} were finished before" if self.before else ""
        return text + (f"; {len(self.skipped)} could not be" if self.skipped else "")


def encode_files(
    run: Run | str | Path,
    recordings: str | Path | Sequence[str | Path],
    save: str | Path | None = None,
    form: str = "jsonl",
    *,
    collapse: bool = False,
    times: bool = False,
    vectors: str | None = None,
    textgrid: str | Path | None = None,
    part: float | None = None,
    jobs: int = 1,
    progress: bool = True,
) -> Encoded:
    """Write the units of recordings to files; the same call continues after an interruption.

    Recordings of any length and rate are encoded in parts, in constant memory; the codes are those
    of the whole recording. A recording that cannot be read is skipped, with the reason.

    Args:
        run: a run with a codebook.
        recordings: sound files, or folders of them.
        save: a file for `jsonl` and `text`, a folder for `npz` and `parquet`; by default
            `units.jsonl`, `units.txt` or `units`.
        form: `jsonl`, `npz`, `parquet` or `text`, see runs/unit_files.py.
        collapse: write runs of equal codes with their durations.
        times: write start and end of each unit in seconds, beside the period of the frames.
        vectors: also write "z_e" or "z_q" of each frame, as `npz` or `parquet`.
        textgrid: a folder for a TextGrid of each recording: the runs of its codes, a tier for each
            codebook, and phones and words of a TextGrid beside it or of the corpus's `phones.tsv`.
        part: seconds of sound that are encoded at a time, see `UnitEncoder`.
        jobs: processes, each with a model of its own.
        progress: show a progress bar with the time left.

    Raises:
        InputError: no such run, recording or format, or `save` has units with other settings.
        KeyboardInterrupt: recordings that are finished stay.

    Example:
        for units in encode_files("mini", "speech", "units.jsonl"):
            print(units.source, units.codes, units.starts)     # (N,), (N,) in seconds
    """
    save = _named(Path(SAVES.get(form, "units") if save is None else save))
    folder = None if textgrid is None else Path(textgrid)
    output = Output(save, form, collapse, times, vectors, folder)
    _check_jobs(jobs)
    given = [recordings] if isinstance(recordings, str | Path) else list(recordings)
    run, encoded = load_run(run), Encoded(save)
    listed = find_recordings(given, encoded.skipped, phones=folder is not None)
    output.check_names(listed)
    encoder = UnitEncoder(run, vectors, part)
    with _only_encoder(save):
        waiting = _unfinished(listed, output, encoder, encoded)
        with appended(output) as append, _bar(waiting, progress) as bar:
            if jobs == 1 or len(waiting) < 2:
                results = _in_order(encoder, output, waiting, bar)
            else:
                results = _in_processes(run, output, waiting, part, jobs, bar)
            encoded.add(results, append)
    return encoded


def _named(save: Path) -> Path:
    """Return the output with a name, which `.` and `..` have not, for what is kept beside it."""
    save = save if save.name not in ("", "..") else save.resolve()
    if not save.name:
        raise InputError(f"--save {save} has no name: give a file, or a folder in another one")
    return save


@contextmanager
def _only_encoder(save: Path) -> Iterator[None]:
    """Keep an output for this caller, by a folder beside it that is gone at the end.

    Raises:
        InputError: another process, or another caller in this one, writes to it.
    """
    busy = save.with_name(f"{save.name}.busy")
    try:
        with only_writer(busy, f"writing {save.name}"):
            yield
    finally:
        if busy.is_dir() and not any(busy.iterdir()):  # of a process that was killed
            busy.rmdir()


def _unfinished(
    listed: list[Recording], output: Output, encoder: UnitEncoder, encoded: Encoded
) -> list[Recording]:
    """Return the recordings that are not in the output yet; drop a cut last line of it.

    Raises:
        InputError: the output has other settings.
    """
    save, facts = output.save, output.facts | {"model": encoder.digest, "period": encoder.period}
    if save.exists() and not (save.is_dir() and not any(save.iterdir())):
        before = read_settings(save)
        for name, value in facts.items():
            if before.get(name) != value:
                raise InputError(
                    f"{save} has units with {name}={before.get(name)}, not {value}: give another "
                    "--save, or the same options and run"
                )
    if output.form in FILES:
        save.mkdir(parents=True, exist_ok=True)
        rest = [r for r in listed if not (save / f"{r.inside}.{output.form}").is_file()]
    else:
        finished, encoded.cut = finished_lines(save, output.form)
        if encoded.cut:
            os.truncate(save, save.stat().st_size - encoded.cut)
        rest = [r for r in listed if source_of(r.path) not in finished]
    with replacing(settings_file(save)) as scratch:
        scratch.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    encoded.before = len(listed) - len(rest)
    return rest


def _check_jobs(jobs: int) -> None:
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise InputError(f"jobs is {jobs!r}; expected 1 or more processes")


def _bar(waiting: list[Recording], progress: bool):
    """Return a progress bar over the seconds of recordings, shown on a terminal only."""
    from tqdm import tqdm

    form = "{l_bar}{bar}| {n:.0f}/{total:.0f} s of sound [{elapsed}<{remaining}]"
    bar = tqdm(total=0, desc="encode", disable=None if progress else True, bar_format=form)
    if not bar.disable:  # else no header is read for it
        bar.reset(sum(_seconds(recording.path) for recording in waiting))
    return bar


def _seconds(path: Path) -> float:
    """Return the length in a file's header; 0 where it cannot be read, of which more later."""
    try:
        with opened(path, {}) as file:
            return file.frames / file.samplerate
    except (InputError, OSError):
        return 0.0


def _in_order(encoder: UnitEncoder, output: Output, waiting: list[Recording], bar) -> Results:
    for recording in waiting:
        yield recording, write_recording(encoder, output, recording, bar.update)


def _in_processes(
    run: Run, output: Output, waiting: list[Recording], part: float | None, jobs: int, bar
) -> Results:
    """Yield recordings as processes finish them, each process with a model of its own."""
    import multiprocessing

    checkpoint = run.weights_file(run.newest)
    threads = max(1, (os.cpu_count() or 1) // jobs)
    pool = ProcessPoolExecutor(
        min(jobs, len(waiting)),
        multiprocessing.get_context("spawn"),  # TensorFlow does not survive a fork
        _open_in_process,
        (checkpoint, output, part, threads),
    )
    try:
        futures: dict[Future, Recording] = {pool.submit(_in_process, r): r for r in waiting}
        for future in as_completed(futures):
            recording, result = futures.pop(future), future.result()
            bar.update(0.0 if isinstance(result, str) else result.seconds)
            yield recording, result
    except BrokenProcessPool as error:
        raise OSError(
            "a process ended before its recording was encoded, perhaps for want of memory: give "
            "fewer --jobs; the same command continues"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_worker: tuple[UnitEncoder, Output]


def _open_in_process(checkpoint: Path, output: Output, part: float | None, threads: int) -> None:
    """Open the model in a process, before its first recording. Ctrl-C ends the process at once."""
    import signal

    global _worker
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(threads)
    _worker = UnitEncoder(Run(checkpoint), output.vectors, part), output


def _in_process(recording: Recording) -> Written | str:
    return write_recording(*_worker, recording, lambda seconds: None)
