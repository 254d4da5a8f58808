"""The command `prior`, and `generate --from-prior`."""

from pathlib import Path

import numpy as np

import vqwn_kit as vq
from vqwn_kit.cli.data import add_command
from vqwn_kit.errors import InputError
from vqwn_kit.files import replacing, unused
from vqwn_kit.presets.preset import parse_changes


def add_prior(commands) -> None:
    """Add the command `prior`."""
    add = add_command(
        commands, "prior", _prior, "train a prior over the codes of a run, and measure it"
    ).add_argument
    add("run", metavar="RUN", help="a run folder or a checkpoint, P-STEP")
    add("--data", metavar="FOLDER", help="the corpus (default: the one that it was trained on)")
    add("--steps", type=int, help="training steps in all")
    add("--minutes", type=float, help="most minutes of training")
    add("--no-speaker", action="store_true", help="a prior that isn't told who speaks")
    add("--restore", action="store_true", help="go on with the prior that is there")
    add("--score", action="store_true", help="measure the one that is there, and train nothing")
    add("--name", default="prior", help="its folder in the run's (default: prior)")
    add("--samples", type=int, default=100, help="drawn to look for stuck codes (default: 100)")
    add("--seed", type=int, help="of weights, order and crops")
    add(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="other settings, such as units=128, dropout=0.4, learning_rate=1e-3",
    )


def _prior(options) -> None:
    changes = parse_changes(options.set)
    given = {"steps": options.steps, "seed": options.seed}
    changes |= {key: value for key, value in given.items() if value is not None}
    changes |= {"speaker": False} if options.no_speaker else {}
    run = vq.Run(options.run)
    if options.score and (changes or options.restore):
        raise InputError("--score trains nothing: leave what belongs to training out")
    if options.samples < 0:
        raise InputError(f"--samples {options.samples}: expected 0 or more")
    if not options.score:
        vq.train_prior(
            run,
            options.data,
            name=options.name,
            restore=options.restore,
            score=False,
            minutes=options.minutes,
            **changes,
        )
    from vqwn_kit.prior.evaluate import score_prior

    card = score_prior(run, options.data, name=options.name, samples=options.samples)
    print(card)
    for path in card.save(run.folder / options.name):
        print(path)


def add_dreaming(add) -> None:
    """Add the options of `generate` that belong to a prior."""
    add("--from-prior", action="store_true", help="draw the codes from the run's prior instead")
    add("--prompt", metavar="FILE", help="with --from-prior: a recording to go on from")
    add("--prompt-seconds", type=float, help="of the prompt that are heard (default: 1)")
    add("--seconds", type=float, help="with --from-prior: how much is drawn (default: 3)")
    add("--like", metavar="NAME", help="with --from-prior: whose codes (default: nobody's)")
    add("--prior-temperature", type=float, help="of the codes; --temperature is of the sound")
    add("--prior", metavar="NAME", help="the prior's folder in the run's (default: prior)")


DREAMING = {"prompt": "--prompt", "prompt_seconds": "--prompt-seconds", "seconds": "--seconds",
            "like": "--like", "prior_temperature": "--prior-temperature",
            "prior": "--prior"}  # fmt: skip


def check_dreaming(options) -> None:
    """Raise InputError where options of `generate` don't go together."""
    given = [option for name, option in DREAMING.items() if getattr(options, name) is not None]
    if not options.from_prior:
        if given:
            raise InputError(f"{given[0]} needs --from-prior")
        if not options.audio:
            raise InputError("speak what? Give recordings (--audio), or --from-prior")
    elif options.audio:
        raise InputError("--audio is spoken as it is: give --prompt FILE to go on from a recording")
    elif options.prompt_seconds is not None and options.prompt is None:
        raise InputError("--prompt-seconds needs a prompt: give --prompt FILE")


def dream_with(options) -> None:
    """Speak codes that are drawn from the prior, as the options of `generate` say."""
    names = ("prompt_seconds", "seconds", "like", "prior_temperature")
    chosen = {name: getattr(options, name) for name in names}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    run = vq.Run(options.restore)
    dreamt = vq.sample_speech(
        run,
        options.speakers,
        prompt=vq.load_audio(options.prompt) if options.prompt else None,
        mode=options.mode,
        temperature=options.temperature,
        seed=options.seed,
        name=options.prior or "prior",
        progress=True,
        **chosen,
    )
    stem = f"_{Path(options.prompt).stem}" if options.prompt else ""
    for name, sound in zip(options.speakers, dreamt.sounds, strict=True):
        file = Path(options.save) / f"{run.newest}_prior{stem}_{name.replace('/', '_')}.wav"
        print(vq.save_audio(unused(file), sound))
    file = unused(Path(options.save) / f"{run.newest}_prior{stem}_codes.npy")
    with replacing(file) as scratch, scratch.open("wb") as output:
        np.save(output, dreamt.codes)
    print(file)
