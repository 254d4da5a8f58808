"""A run and its prior -> synthetic speech in several voices, from scratch or after a prompt."""

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
class SampledSpeech:
    """Codes sampled from a prior, and their sound.

    Attributes:
        codes: int32 (N,), those of the prompt first.
        prompt: number of codes of the prompt.
        sounds: float32 (S', N * hop_length) in [-1, 1], one per speaker.
        frame_rate: codes per second.
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
) -> SampledSpeech:
    """Sample codes from the prior of a run, and decode them in the voices of speakers.

    Args:
        run: the run, its folder, or a checkpoint.
        speakers: the voices; all decode the same codes.
        seconds: duration of the sampled codes, without that of the prompt.
        prompt: a waveform (T,) in [-1, 1], 16 kHz, whose first codes are continued.
        prompt_seconds: duration of the prompt that is used, in whole frames.
        like: name or number of the speaker that conditions the prior; None for no speaker.
        prior_temperature: divides the logits of the prior.
        mode: of the decoder, see `generate`.
        temperature: of the decoder, see `generate`.
        seed: the same seed gives the same codes and the same sound.
        threads: of the decoder's sampler, see `generate`.
        name: of the prior's folder in the folder of the run.
        progress: show a progress bar.

    Raises:
        InputError: no codebook, no prior yet, no such speaker, a prompt that is shorter than a
            frame or than `prompt_seconds`.

    Example:
        sample = vq.sample_speech("results/mini", ["alpha", "joe"], prompt=wave, seed=1)
        vq.Player({"alpha": sample.sounds[0], "joe": sample.sounds[1]})
    """
    run = load_run(run)
    prior = load_prior(run, name)
    model = run.model
    if not seconds > 0:
        raise InputError(f"seconds is {seconds}; expected more than 0")
    speakers = [speakers] if isinstance(speakers, str) else list(speakers)
    model.speaker_ids(speakers)
    rate = SAMPLE_RATE / model.hop_length
    given = None
    if prompt is not None:
        given = model.encode(beginning(prompt, prompt_seconds, model.hop_length))[0]
    length = max(1, round(seconds * rate))
    codes = prior.sample(length, [like], prompt=given, temperature=prior_temperature, seed=seed)[0]
    settings = {"mode": mode, "temperature": temperature, "seed": seed, "threads": threads}
    sounds = generate(model, codes, speakers, progress=progress, **settings)
    return SampledSpeech(codes, 0 if given is None else len(given), sounds, rate)


def beginning(waveform: np.ndarray, seconds: float, hop_length: int) -> np.ndarray:
    """Return the first seconds of a waveform (T,) at 16 kHz, in whole frames.

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
            f"({1000 * hop_length / SAMPLE_RATE:g} ms), so there is no code to continue from"
        )
    if len(waveform) < frames * hop_length:
        raise InputError(
            f"the prompt lasts {len(waveform) / SAMPLE_RATE:.2f} s, less than {seconds:g} s: give "
            "a longer one, or fewer seconds (prompt_seconds, --prompt-seconds)"
        )
    return waveform[: frames * hop_length]
