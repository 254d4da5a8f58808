"""A run and its prior -> speech that nobody said, in several voices; alone or after a prompt."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vqwn_kit.data.audio import SAMPLE_RATE
from vqwn_kit.errors import InputError
from vqwn_kit.models.vqvae import as_floats
from vqwn_kit.prior.load import load_prior
from vqwn_kit.runs.run import Run, load_run
from vqwn_kit.sampling.generate import Speaker, generate


@dataclass(frozen=True)
class Dream:
    """What was drawn, and how it sounds.

    Attributes:
        codes: int32 (N,), the prompt's first.
        prompt: how many of them are the prompt's.
        sounds: float32 (S', N * hop_length) in [-1, 1], one a speaker.
        frame_rate: codes a second.
    """

    codes: np.ndarray
    prompt: int
    sounds: np.ndarray
    frame_rate: float


def sample_speech(
    run: Run | str | Path,
    speakers: Iterable[Speaker],
    *,
    seconds: float = 3.0,
    prompt: np.ndarray | None = None,
    prompt_seconds: float = 1.0,
    like: str | int | None = None,
    prior_temperature: float = 1.0,
    mode: str = "sample",
    temperature: float = 1.0,
    seed: int = 0,
    threads: int | None = None,
    name: str = "prior",
    progress: bool = False,
) -> Dream:
    """Draw codes from the prior of a run, and speak them in the voices of speakers.

    Args:
        run: the run, its folder, or a checkpoint.
        speakers: whose voices; all speak the same codes.
        seconds: of what is drawn; a prompt comes before.
        prompt: a waveform (T,) in [-1, 1], 16 kHz, whose first codes are continued.
        prompt_seconds: how much of the prompt is heard, in whole frames.
        like: whose codes to draw, a name or number; None for nobody in particular.
        prior_temperature: of the codes; below 1 the likely becomes likelier.
        mode: of the decoder, as in `generate`, like the two that follow.
        temperature: of the decoder.
        seed: the same seed gives the same codes and the same sound.
        threads: of the decoder's sampler, as in `generate`.
        name: of the prior's folder in the run's.
        progress: show a progress bar.

    Raises:
        InputError: no codebook, no prior yet, no such speaker, a prompt that is shorter than a
            frame or than `prompt_seconds`.

    Example:
        dreamt = vq.sample_speech("results/mini", ["alpha", "joe"], prompt=wave, seed=1)
        vq.listen({"as alpha": dreamt.sounds[0], "as joe": dreamt.sounds[1]})
    """
    run = load_run(run)
    prior = load_prior(run, name)
    model = run.model
    if not seconds > 0:
        raise InputError(f"seconds is {seconds}; expected more than 0")
    speakers = [speakers] if isinstance(speakers, str) else list(speakers)
    model.speaker_ids(speakers)
    rate = SAMPLE_RATE / model.hop_length
    heard = None
    if prompt is not None:
        heard = model.encode(beginning(prompt, prompt_seconds, model.hop_length))[0]
    length = max(1, round(seconds * rate))
    codes = prior.sample(length, [like], prompt=heard, temperature=prior_temperature, seed=seed)[0]
    settings = {"mode": mode, "temperature": temperature, "seed": seed, "threads": threads}
    sounds = generate(model, codes, speakers, progress=progress, **settings)
    return Dream(codes, 0 if heard is None else len(heard), sounds, rate)


def beginning(waveform: np.ndarray, seconds: float, hop_length: int) -> np.ndarray:
    """Return the first seconds of a waveform (T,) at 16 kHz, cut to whole frames.

    Raises:
        InputError: another shape, less than a frame, or a waveform that is shorter.
    """
    waveform = as_floats(waveform)
    if waveform.ndim != 1:
        raise InputError(f"a prompt of shape {waveform.shape}; expected a waveform (T,)")
    frames = int(seconds * SAMPLE_RATE + 1e-6) // hop_length if seconds > 0 else 0
    if frames < 1 or len(waveform) < hop_length:
        given = min(seconds, len(waveform) / SAMPLE_RATE)
        raise InputError(
            f"a prompt of {given:g} s is shorter than a frame of {hop_length} samples "
            f"({1000 * hop_length / SAMPLE_RATE:g} ms), so there is no code to go on from"
        )
    if len(waveform) < frames * hop_length:
        raise InputError(
            f"the prompt lasts {len(waveform) / SAMPLE_RATE:.2f} s, less than the {seconds:g} s to "
            "be heard: give a longer one, or fewer seconds (prompt_seconds, --prompt-seconds)"
        )
    return waveform[: frames * hop_length]
