"""The commands `generate` and `demo`."""

import argparse
import sys
from pathlib import Path

import vqwn_kit as vq
from vqwn_kit.cli import data, prior, units
from vqwn_kit.data.audio import stream_audio
from vqwn_kit.data.long_audio import survey


class _Restore(argparse.Action):
    """Stores a run, and whether it was given with one dash, as the original's options are."""

    def __call__(self, parser, namespace, values, option_string=None):
        """Store them."""
        namespace.restore, namespace.original = values, not str(option_string).startswith("--")


def _generate_options(add) -> None:
    restore = {"metavar": "P-STEP", "required": True, "action": _Restore}
    add("--restore --run -restore", "a run or checkpoint", **restore)
    add("--audio -audio", "recordings of any length to convert", nargs="+", metavar="FILE")
    prior.add_prior_sampling(add)
    voices = {"nargs": "+", "required": True, "metavar": "NAME"}
    add("--speakers -speakers", "target voices", **voices)
    transpose = "raise the pitch by so many semitones, where the run is conditioned on pitch"
    add("--transpose", transpose, type=float, metavar="SEMITONES")
    units.sampling_options(add)
    rate = "of the files in Hz, or 'input': that of each recording (default: 16000)"
    add("--rate", rate, type=data.number_or_word, metavar="HZ")
    add("--level", "'input': each file has the RMS of its recording", metavar="LEVEL")
    save = "(default: generated); existing files are never overwritten"
    add("--save -save", save, default="generated", metavar="FOLDER")


def _generate(options) -> None:
    """Convert recordings to the voices of speakers, or sample speech from a prior."""
    prior.check_prior_sampling(options)
    if options.from_prior:
        prior.generate_from_prior(options)
        return
    recordings = [survey(path) for path in options.audio]
    from vqwn_kit.sampling.files import check_output, convert_files, name_files

    check_output(options.rate, options.level)
    run = vq.load_run(options.restore)
    run.model.speaker_vectors(options.speakers)
    _warn(run, options.audio)
    form = _original_form(options, run) if options.original else ""
    files = name_files(options.save, options.audio, options.speakers, form)
    settings = data.given(options, *units.SAMPLING, "rate", "level", "transpose")
    try:
        convert_files(run.model, recordings, options.speakers, files, progress=True, **settings)
    finally:
        for file in filter(Path.exists, sum(files, [])):
            print(file)


def _warn(run, paths: list[str]) -> None:
    """Say of recordings that the run was trained on no speech like them."""
    from vqwn_kit.evaluation.familiarity import MOST_SECONDS, warning

    for path in paths:
        blocks = stream_audio(path, seconds=2 * MOST_SECONDS)
        if text := warning(run, next(blocks)):
            print(f"vqwn: {path}: {text}", file=sys.stderr)
        blocks.close()


def _original_form(options, run) -> str:
    """Return the form of the file names of the original VQ-VAE-WaveNet."""
    return f"{run.newest}_{'{source}_' if len(options.audio) > 1 else ''}{{speaker}}"


def _demo_options(add) -> None:
    add("--run", "a run or checkpoint (default: mini, which is shipped)", default="mini")
    add("--seed", "the same seed gives the same sound (default: 0)", type=data.seed, default=0)
    add("--save", "(default: demo)", default="demo", metavar="FOLDER")


def _demo(options) -> None:
    """Reconstruct and convert a bundled sentence in seconds, and say what to hear."""
    from vqwn_kit.workbench.demo import make_demo

    for file, about in make_demo(options.run, options.save, options.seed).items():
        print(f"{file}\n    {about}")


COMMANDS = {"generate": (_generate_options, _generate), "demo": (_demo_options, _demo)}
