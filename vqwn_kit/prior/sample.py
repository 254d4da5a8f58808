"""A run and its prior -> synthetic speech in several voices, from scratch or after a prompt."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vqwn_kit.data.audio import SAMPLE_RATE
from vqwn_kit.errors import InputError
from vqwn_kit.models.vqvae import VQVAE
from vqwn_kit.prior.load import load_prior
from vqwn_kit.runs.run import Run, load_run
from vqwn_kit.sampling.codes import checked_codebooks
from vqwn_kit.sampling.generate import Speaker, generate
from vqwn_kit.sampling.pitch import join_pitch, split_pitch, waveform_pitch
from vqwn_kit.waveforms import as_waveform


@dataclass(frozen=True)
class SampledSpeech:
    """Codes sampled from a prior, and their sound.

    Attributes:
        codes: int32 (N,), or (N, Q) of several codebooks, those of the prompt first.
        prompt: number of frames of the prompt.
        sounds: float32 (S', N * hop_length) in [-1, 1], one per speaker.
        frame_rate: frames per second.
        pitch: float32 (N,), where the prior has it; see `generate`.
    """

    codes: np.ndarray
    prompt: int
    sounds: np.ndarray
    frame_rate: float
    pitch: np.ndarray | None = None


def sample_speech(
    run: Run | str | Path,
    speakers: Iterable[Speaker],
    *,
    seconds: float = 3.0,
    prompt: np.ndarray | None = None,
    prompt_seconds: float = 1.0,
    like: str | int | None = None,
    prior_temperature: float = 1.0,
    codebooks: int | None = None,
    seed: int = 0,
    name: str = "prior",
    progress: bool = False,
    **settings,
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
        codebooks: that are decoded, see `generate`.
        seed: the same seed gives the same codes and the same sound.
        name: of the prior's folder in the folder of the run.
        progress: show a progress bar.
        **settings: mode, temperature, top_k, precision and threads of `generate`, of the decoder.

    Raises:
        InputError: no codebook, no prior yet, no such speaker, a prompt that is shorter than a
            frame or than `prompt_seconds`.

    Example:
        sample = vq.sample_speech("results/mini", ["alpha", "joe"], prompt=wave, seed=1)
        vq.Player({"alpha": sample.sounds[0], "joe": sample.sounds[1]})
    """
    run = load_run(run)
    prior, model = load_prior(run, name), run.model
    if not seconds > 0:
        raise InputError(f"seconds is {seconds}; expected more than 0")
    speakers = [speakers] if isinstance(speakers, str) else list(speakers)
    model.speaker_vectors(speakers)
    rate = SAMPLE_RATE / model.hop_length
    with_pitch = prior.num_codebooks > model.bottleneck.num_codebooks
    given = None if prompt is None else _frames(model, prompt, prompt_seconds, with_pitch)
    checked_codebooks(model, codebooks)
    length = max(1, round(seconds * rate))
    rows = prior.sample(length, [like], prompt=given, temperature=prior_temperature, seed=seed)
    codes, pitch = split_pitch(model, rows[0]) if with_pitch else (rows[0], None)
    settings |= {"seed": seed, "codebooks": codebooks, "progress": progress, "pitch": pitch}
    sounds = generate(model, codes, speakers, **settings)
    return SampledSpeech(codes, 0 if given is None else len(given), sounds, rate, pitch)


def _frames(model: VQVAE, prompt: np.ndarray, seconds: float, with_pitch: bool) -> np.ndarray:
    """Return the codes (P,) or (P, Q) of the first seconds of a prompt, or with its pitch."""
    waveform = beginning(prompt, seconds, model.hop_length)
    codes = model.encode(waveform)[0]
    if not with_pitch:
        return codes
    return join_pitch(model, codes, waveform_pitch(model, waveform))


def beginning(waveform: np.ndarray, seconds: float, hop_length: int) -> np.ndarray:
    """Return the first seconds of a waveform (T,) at 16 kHz, in whole frames.

    Raises:
        InputError: another shape, less than a frame, or a waveform that is shorter.
    """
    waveform = as_waveform(waveform, "the prompt")
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
