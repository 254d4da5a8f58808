"""Files of units -> sound, in the voices of a run, written while it is synthesised."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from vqwn_kit.data.audio import SAMPLE_RATE
from vqwn_kit.errors import InputError
from vqwn_kit.models.vqvae import VQVAE
from vqwn_kit.runs.run import Run, load_run
from vqwn_kit.runs.unit_encoder import encoder_digest
from vqwn_kit.runs.unit_files import read_units
from vqwn_kit.runs.units import Units

Sourced = tuple[str | Path, Units]  # a file of units, and those of one recording in it


def decode_files(
    run: Run | str | Path,
    units: str | Path | Sequence[str | Path],
    speakers: Sequence[str],
    save: str | Path = "decoded",
    report: Callable[[Path], object] = lambda path: None,
    progress: bool = False,
    **settings,
) -> list[Path]:
    """Decode files of units; return the sounds, named `<source>_as_<voice>.wav`.

    The voices of an utterance are sampled as one batch, and are written while they are synthesised,
    in memory that does not depend on its length.

    Args:
        run: a run with the encoder and codebook that the units are of.
        units: what `encode_files` wrote: files, or folders of files.
        speakers: names of voices.
        save: a folder; existing files in it are not overwritten.
        report: called with the path of each sound at its end, also where that is an interruption.
        progress: show a progress bar with the time left.
        **settings: codebooks, mode, temperature, top_k, seed, precision and threads of `generate`.

    Raises:
        InputError: before anything is written: no such run, voice or file; units of another
            encoder, or codes that do not fit.
        KeyboardInterrupt: its message says how far it went; the files hold the sound up to there.
    """
    from vqwn_kit.sampling.files import Target, name_files, reserved, synthesising, write_sound

    files = [units] if isinstance(units, str | Path) else list(units)
    run = load_run(run)
    voices, written = list(speakers), []
    checked = [(one.source, _length(run.model, one)) for _, one in _checked(run, files, voices)]
    if not checked:
        raise InputError(f"no units in {', '.join(map(str, files))}: expected what encode wrote")
    names = name_files(save, [source for source, _ in checked], voices)
    total = sum(length for _, length in checked)
    with synthesising(total, progress) as advance, ExitStack() as stack:
        for (file, one), paths in zip(_checked(run, files, voices), names, strict=True):
            sound = _sound(run.model, file, one, voices, settings)
            if paths is names[0]:  # the settings are checked
                stack.enter_context(reserved(sum(names, [])))
            length = _length(run.model, one)
            try:
                write_sound(sound, [Target(path, length) for path in paths], advance)
            finally:
                written += paths
                for path in paths:
                    report(path)
    return written


def _checked(run: Run, files: Sequence[str | Path], voices: Sequence[str]) -> Iterator[Sourced]:
    """Yield what the run can decode, read again at each call, so that it is not kept in memory.

    Raises:
        InputError: see `decode_files`.
    """
    from vqwn_kit.sampling.codes import checked_codes

    run.model.speaker_vectors(voices)
    digest = encoder_digest(run)
    for file in files:
        for one in read_units(file):
            if one.model not in ("", digest):
                raise InputError(
                    f"{one.source} in {file} has units of another encoder ({one.model}) than that "
                    f"of {run.folder} ({digest}): encode it with this run"
                )
            try:
                checked_codes(run.model, one.codes)
            except InputError as error:
                raise InputError(f"{one.source} in {file}: {error}") from error
            yield file, one


def _length(model: VQVAE, units: Units) -> int:
    """Return how many samples at 16 kHz units stand for: fewer than those of whole frames."""
    whole = len(units.codes) * model.hop_length
    return min(whole, round(units.seconds * SAMPLE_RATE)) if np.isfinite(units.seconds) else whole


def _sound(model: VQVAE, file, units: Units, voices, settings: dict) -> Iterator[np.ndarray]:
    """Return the sound of units in voices, part by part."""
    from vqwn_kit.sampling.generate import stream

    try:
        return stream(model, units.codes, voices, **settings)
    except InputError as error:
        raise InputError(f"{units.source} in {file}: {error}") from error
