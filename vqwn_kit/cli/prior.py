"""The command `prior`, and `generate --from-prior`."""

from pathlib import Path

import vqwn_kit as vq
from vqwn_kit.cli.data import given, seed, worker_options
from vqwn_kit.cli.train import MANY
from vqwn_kit.cli.units import SAMPLING
from vqwn_kit.data.arrays import save_array
from vqwn_kit.errors import InputError
from vqwn_kit.files import short_name, unused
from vqwn_kit.presets.preset import parse_changes
from vqwn_kit.training.workers import join


def _prior_options(add) -> None:
    add("run", "a run folder or a checkpoint, RUN/weights-STEP", metavar="RUN")
    add("--data", "the corpus (default: that of the run)", metavar="FOLDER")
    add("--steps", "training steps in all", type=int)
    add("--minutes", "most minutes of training", type=float)
    add("--no-speaker", "do not condition the prior on the speaker", action="store_true")
    add("--pitch", "have the pitch as one more codebook", action="store_true")
    add("--restore", "continue the existing prior", action="store_true")
    add("--score", "measure the existing prior, and train nothing", action="store_true")
    add("--name", "its folder in the run's (default: prior)", default="prior")
    samples = "samples that are drawn to look for stuck codes (default: 100)"
    add("--samples", samples, type=int, default=100)
    add("--seed", "of weights, order and crops", type=seed)
    changes = "other settings, such as units=128, dropout=0.4, learning_rate=1e-3"
    add("--set", changes, metavar="NAME=VALUE", default=[], **MANY)
    worker_options(add)


def _prior(options) -> None:
    """Train a prior over the codes of a run, and measure it."""
    changes = parse_changes(options.set) | given(options, "steps", "seed")
    changes |= {"speaker": False} if options.no_speaker else {}
    changes |= {"pitch": True} if options.pitch else {}
    if options.score and (changes or options.restore):
        raise InputError("--score trains nothing: leave out the options of training")
    if options.samples < 0:
        raise InputError(f"--samples {options.samples}: expected 0 or more")
    index = 0 if options.score else join(options.workers, options.index)[1]
    run = vq.load_run(options.run)
    from vqwn_kit.prior.evaluate import need_held_out, score_prior
    from vqwn_kit.runs.corpus_of import store_of

    store = store_of(run, options.data)
    need_held_out(run, store)  # before it is trained in vain
    if not options.score:
        settings = given(options, "name", "restore", "minutes")
        vq.train_prior(run, store, score=False, **settings, **changes)
    if index:  # the first worker measures
        return
    card = score_prior(run, store, name=options.name, samples=options.samples)
    print(card)
    for path in card.save(run.folder / options.name):
        print(path)


PRIOR_OPTIONS = ("prompt", "prompt_seconds", "seconds", "like", "prior_temperature", "prior")


def add_prior_sampling(add) -> None:
    """Add the options of `generate` that belong to a prior."""
    add("--from-prior", "sample the codes from the run's prior instead", action="store_true")
    add("--prompt", "with --from-prior: a recording to continue", metavar="FILE")
    add("--prompt-seconds", "seconds of the prompt that are used (default: 1)", type=float)
    add("--seconds", "with --from-prior: seconds to sample (default: 3)", type=float)
    add("--like", "with --from-prior: speaker of the codes (default: none)", metavar="NAME")
    add("--prior-temperature", "of the codes; --temperature is of the waveform", type=float)
    add("--prior", "the prior's folder in the run's (default: prior)", metavar="NAME")


def check_prior_sampling(options) -> None:
    """Raise InputError where options of `generate` contradict each other."""
    if not options.from_prior:
        for name in given(options, *PRIOR_OPTIONS):
            raise InputError(f"--{name.replace('_', '-')} needs --from-prior")
        if not options.audio:
            raise InputError("no input: give recordings (--audio), or --from-prior")
        return
    for name in given(options, "rate", "level", "transpose"):
        raise InputError(f"--{name} is of recordings: leave it out, or give --audio")
    if options.audio:
        raise InputError("--audio has its own codes: give --prompt FILE to continue a recording")
    if options.prompt_seconds is not None and options.prompt is None:
        raise InputError("--prompt-seconds needs a prompt: give --prompt FILE")


def generate_from_prior(options) -> None:
    """Sample codes from the prior and their sound, as the options of `generate` say."""
    names = ("prompt_seconds", "seconds", "like", "prior_temperature")
    settings = given(options, *names, *SAMPLING)
    settings |= {"name": options.prior or "prior", "progress": True}
    prompt = vq.load_audio(options.prompt) if options.prompt else None
    run = vq.load_run(options.restore)
    sampled = vq.sample_speech(run, options.speakers, prompt=prompt, **settings)
    stem = f"{Path(options.prompt).stem}_continued" if options.prompt else "prior"
    for name, sound in zip(options.speakers, sampled.sounds, strict=True):
        named = short_name(f"{stem}_as_{name}".replace("/", "_"))
        file = Path(options.save) / f"{named}.wav"
        print(vq.save_audio(unused(file), sound))
    file = unused(Path(options.save) / f"{short_name(f'{stem}_codes')}.npy")
    save_array(file, sampled.codes)
    print(file)


COMMANDS = {"prior": (_prior_options, _prior)}
