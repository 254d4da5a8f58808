"""A run -> a voice lab, and one utterance as its model spoke it from step to step."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vqwn_kit.data import audio
from vqwn_kit.data.corpus import Corpus
from vqwn_kit.data.decode import SHORTEST, SILENCE
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError, one_of
from vqwn_kit.runs.corpus_of import store_of
from vqwn_kit.runs.run import Run, load_run
from vqwn_kit.sampling.generate import (
    conditioning_for,
    convert_voice,
    interpolate_voices,
    stream,
    stream_conditioning,
)
from vqwn_kit.widgets.lab import VoiceLab
from vqwn_kit.widgets.player import Player
from vqwn_kit.widgets.voices import Blend

Data = Store | Corpus | str | Path | None
MOST_OFFERED = 200  # utterances in the lab's list
SETTINGS = ("voices", "blend", "temperature", "seed")
LAPSE = 6  # steps of a time-lapse


def voice_lab(
    run: Run | str | Path,
    data: Data = None,
    *,
    precision: str = "float32",
    progress: bool = False,
    **settings,
) -> VoiceLab:
    """Return a lab in which the voices of a run speak what is recorded, dropped or chosen.

    Args:
        run: a run or its path.
        data: a corpus whose held-out utterances can be chosen; the run's own by default, and none
            where it isn't found.
        precision: of the sampler's weights; see `Sampler`.
        progress: show a progress bar while the corpus is prepared.
        **settings: voices, blend, temperature, seed; see `VoiceLab`.

    Raises:
        InputError: no such run, a first stage, which can't speak, or no such corpus.

    Example:
        vq.voice_lab("results/mini", voices=["joe"], temperature=0.9)
    """
    run = load_run(run)
    if not run.model.is_autoregressive:
        raise InputError(f"{run.folder} is a first stage, without a WaveNet, and can't speak")
    store, note = None, ""
    try:
        store = store_of(run, data, progress)
    except InputError as error:
        if data is not None:
            raise
        note = f"No utterances to choose from: {error}"
    title = f"{run.folder.name}, step {run.newest:,}"
    for name in settings:
        if name not in SETTINGS:
            raise one_of("setting", name, SETTINGS)
    return VoiceLab(_RunVoice(run, store, precision), title=title, note=note, **settings)


class _RunVoice:
    """The model of a run as a lab needs it; see `widgets.voices.Voice`."""

    sample_rate = audio.SAMPLE_RATE

    def __init__(self, run: Run, store: Store | None, precision: str):
        self.model, self.store, self.precision = run.model, store, precision
        self.hop_length = run.model.hop_length
        self.num_embeddings = run.model.bottleneck.num_embeddings
        self.speakers = {name: ", ".join(facts.values()) for name, facts in run.speakers.items()}
        self.numbers = {}
        if store is not None:
            members = store.corpus.utterances
            self.numbers = {members[n].key: int(n) for n in store.numbers("held_out")}
        keys = list(self.numbers)[:MOST_OFFERED]
        self.utterances = {key: store.corpus[key].text for key in keys}

    def prepare(self, waveform: np.ndarray, sample_rate: int) -> np.ndarray:
        """Return a recording at the model's rate, without silence at its ends."""
        waveform = audio.resample(waveform, sample_rate, self.sample_rate)
        waveform = np.clip(waveform, -1.0, 1.0)
        trimmed = waveform[:0]
        if np.abs(waveform).max(initial=0.0) >= SILENCE:
            trimmed, _ = audio.trim_silence(waveform)
        if len(trimmed) < SHORTEST * self.sample_rate:
            raise InputError(
                f"nothing is heard in these {len(waveform) / self.sample_rate:.1f} s: check the "
                "microphone, or speak louder"
            )
        return trimmed

    def fetch(self, key: str) -> tuple[np.ndarray, str]:
        """Return an utterance and the name of its speaker."""
        return self.store.waveform(self.numbers[key]), self.store.corpus[key].speaker

    def encode(self, waveform: np.ndarray) -> np.ndarray:
        """Return codes (N,)."""
        return self.model.encode(waveform)[0]

    def stream(
        self, told: np.ndarray, voices: Sequence[str | Blend | None], temperature: float, seed: int
    ) -> Iterator[np.ndarray]:
        """Yield what voices say of codes (N,), or without a codebook of a waveform (T,)."""
        model, settings = self.model, {"temperature": temperature, "seed": seed}
        between = lambda voice: interpolate_voices(model, *voice)  # noqa: E731
        voices = [between(voice) if isinstance(voice, tuple) else voice for voice in voices]
        if self.num_embeddings:
            return stream(model, told, voices, self.precision, **settings)
        frames = conditioning_for(model, np.array(model.vector_quantize(told).z_q), voices)
        return stream_conditioning(model, frames, self.precision, **settings)


def time_lapse(
    run: Run | str | Path,
    utterance: str,
    steps: Sequence[int] | None = None,
    *,
    data: Data = None,
    speaker: str | None = None,
    title: str | None = None,
    progress: bool = False,
    **settings,
) -> Player:
    """Let the model say an utterance as it was at several steps of its training.

    A run keeps as many checkpoints as `keep` says: train with `keep=100` for a long time-lapse.

    Args:
        run: a run or its path.
        utterance: its key, such as `kumo_036`.
        steps: of checkpoints that the run has; by default up to six, the first and the last among
            them, evenly spread over the logarithm of the step.
        data: the corpus; the run's own by default, where it is known.
        speaker: whose voice; by default that of the utterance, or nobody's if the run has no such.
        title: of the player.
        progress: show progress bars.
        **settings: as in `generate`: mode, temperature, seed.

    Returns:
        A player of the original and of one track a step; the codes are those of the last.

    Raises:
        InputError: no such run, utterance, step or speaker.

    Example:
        run = vq.train(corpus, steps=10_000, save_every=100, keep=100)
        vq.time_lapse(run, "kumo_036", steps=[100, 1000, 10_000])
    """
    run = load_run(run)
    store = store_of(run, data, progress)
    keys = {member.key: number for number, member in enumerate(store.corpus)}
    if utterance not in keys:
        raise one_of("utterance", utterance, keys)
    steps = spread(run.steps) if steps is None else sorted(dict.fromkeys(map(int, steps)))
    for step in steps:
        if step not in run.steps:
            raise one_of("checkpoint of step", str(step), run.steps)
    if not steps:
        raise InputError(f"{run.folder} has no checkpoint yet; train it first")
    member, wave = store.corpus[utterance], store.waveform(keys[utterance])
    if speaker is None and member.speaker in run.speakers:
        speaker = member.speaker
    tracks, codes = {"original": wave}, None
    for step in steps:
        model = run.load_model(step)
        spoken = convert_voice(model, wave, [speaker], progress=progress, **settings)
        tracks[f"step {step:,}"] = spoken[0]
    if model.bottleneck.num_embeddings:
        codes = model.encode(wave)
    said = f"{utterance}, spoken at {len(steps)} steps of training" if title is None else title
    player = Player(tracks, store.sample_rate, codes=codes, hop_length=model.hop_length, title=said)
    player.answers = run.folder / "listening.csv"
    return player


def spread(steps: Sequence[int], most: int = LAPSE) -> list[int]:
    """Return at most `most` of some steps, evenly spread over their logarithms, ends included."""
    steps = sorted(steps)
    if len(steps) <= most:
        return steps
    left, chosen = np.log1p(steps), []
    for target in np.linspace(left[0], left[-1], most):
        free = [n for n in range(len(steps)) if n not in chosen]
        chosen.append(min(free, key=lambda n: abs(left[n] - target)))
    return sorted(steps[n] for n in chosen)
