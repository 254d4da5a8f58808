"""The command that adds voices to a trained run: add-voice."""

import argparse
import shlex

import vqwn_kit as vq
from vqwn_kit.cli.data import given, seed
from vqwn_kit.errors import InputError
from vqwn_kit.runs.added_voices import read_voice, remove_voice, voice_file, voice_files


def _add_voice_options(add) -> None:
    add("run", "a run folder, a checkpoint RUN/weights-STEP, or the name of a run", metavar="RUN")
    sounds = "10 to 60 s of speech of one person: sound files, or a folder of them"
    add("sounds", sounds, nargs="*", metavar="FOLDER|FILE")
    add("--name", "of the new voice, such as ann")
    add("--minutes", "most minutes of fitting (default: 3)", type=float)
    more = "fit biases of the decoder's conditioning, too (default: yes)"
    add("--conditioning", more, action=argparse.BooleanOptionalAction)
    add("--seed", "of the crops (default: 0)", type=seed)
    add("--list", "list the voices that were added", action="store_true")
    add("--remove", "remove a voice that was added", metavar="NAME")


def _add_voice(options) -> None:
    """Add a voice to a trained run from seconds of speech, list added voices, or remove one."""
    run = vq.load_run(options.run)
    chosen = [bool(options.sounds or options.name), options.list, options.remove is not None]
    if sum(chosen) != 1:
        raise InputError("give one of: sounds and --name, --list, or --remove NAME")
    if options.list:
        _list(run)
        return
    if options.remove is not None:
        print(f"removed {remove_voice(run.folder, options.remove)}")
        return
    if not options.name or not options.sounds:
        missing = "sounds, a folder or files" if options.name else "a name: --name ann"
        raise InputError(f"a new voice needs {missing}")
    sounds = options.sounds[0] if len(options.sounds) == 1 else options.sounds
    settings = given(options, "minutes", "conditioning", "seed")
    voice = vq.add_voice(run, sounds, options.name, **settings)
    print(voice)
    print(voice_file(run.folder, voice.name))
    next_ = ["vqwn", "generate", "--run", options.run, "--audio", "FILE", "--speakers", voice.name]
    print(f"next: {shlex.join(next_)}")


def _list(run: vq.Run) -> None:
    """Print the voices that were added to a run, also those of other steps and damaged ones."""
    files = voice_files(run.folder)
    if not files:
        print(f"no voice was added to {run.folder}")
    for file in files:
        try:
            voice = read_voice(file)
        except InputError as error:
            print(error)
            continue
        other = f"; of step {voice.step}, while the run is at {run.newest}: add it again"
        other += ", under another name" if voice.step in run.steps else ""
        print(f"{voice}{'' if voice.step == run.newest else other}")


COMMANDS = {"add-voice": (_add_voice_options, _add_voice)}
