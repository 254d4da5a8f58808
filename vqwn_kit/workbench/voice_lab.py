"""A run -> a voice lab."""

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
    interpolate_voices,
    stream,
    stream_conditioning,
)
from vqwn_kit.widgets.lab import SETTINGS, VoiceLab
from vqwn_kit.widgets.voices import Speaker

MOST_OFFERED = 200  # utterances in the lab's list


def voice_lab(
    run: Run | str | Path,
    data: Store | Corpus | str | Path | None = None,
    *,
    precision: str = "float32",
    progress: bool = False,
    **settings,
) -> VoiceLab:
    """Return a lab that converts what is recorded, dropped or chosen to the voices of a run.

    Args:
        run: a run, its path or its name.
        data: a corpus whose held-out utterances can be chosen; the run's own by default, and none
            where it is not available.
        precision: of the sampler's weights; see `Sampler`.
        progress: show a progress bar while the corpus is prepared.
        **settings: voices, blend, temperature, seed; see `VoiceLab`.

    Raises:
        InputError: no such run, setting or corpus, or a first stage, which has no sampler.

    Example:
        vq.voice_lab("results/mini", voices=["joe"], temperature=0.9)
    """
    for name in settings:
        if name not in SETTINGS:
            raise one_of("setting", name, SETTINGS)
    run = load_run(run)
    if not run.model.is_autoregressive:
        raise InputError(
            f"{run.folder} is a first stage, without a WaveNet, and cannot synthesise speech: give "
            "a run with a WaveNet"
        )
    store, note = None, ""
    try:
        store = store_of(run, data, progress)
    except InputError as error:
        if data is not None:
            raise
        note = f"No utterances to choose from: {error}"
    title = f"{run.folder.name}, step {run.newest:,}"
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
        waveform = audio.resample(waveform, sample_rate, self.sample_rate).clip(-1.0, 1.0)
        trimmed = waveform[:0]
        if np.abs(waveform).max(initial=0.0) >= SILENCE:
            trimmed, _ = audio.trim_silence(waveform)
        if len(trimmed) < SHORTEST * self.sample_rate:
            raise InputError(
                f"no speech in these {len(waveform) / self.sample_rate:.1f} s: check the "
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
        self, source: np.ndarray, voices: Sequence[Speaker], temperature: float, seed: int
    ) -> Iterator[np.ndarray]:
        """Yield codes (N,), or without a codebook a waveform (T,), in the voices as sound."""
        model, settings = self.model, {"temperature": temperature, "seed": seed}
        speakers = [interpolate_voices(model, *v) if isinstance(v, tuple) else v for v in voices]
        if self.num_embeddings:
            return stream(model, source, speakers, self.precision, **settings)
        frames = conditioning_for(model, np.array(model.vector_quantize(source).z_q), speakers)
        return stream_conditioning(model, frames, self.precision, **settings)
