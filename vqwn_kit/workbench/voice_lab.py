"""A run -> a voice lab."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from vqwn_kit.data import audio
from vqwn_kit.data.corpus import Corpus
from vqwn_kit.data.decode import SHORTEST, SILENCE
from vqwn_kit.data.store import Store
from vqwn_kit.errors import InputError, one_of
from vqwn_kit.evaluation.familiarity import warning
from vqwn_kit.evaluation.metrics import NotMeasured
from vqwn_kit.evaluation.phones import phone_times
from vqwn_kit.runs.corpus_of import store_of
from vqwn_kit.runs.run import Run, load_run
from vqwn_kit.sampling.codes import fewest_codebooks
from vqwn_kit.sampling.generate import interpolate_voices, stream, stream_waveform
from vqwn_kit.sampling.pitch import join_pitch, split_pitch, waveform_pitch
from vqwn_kit.training.add_voice import add_voice
from vqwn_kit.widgets.lab import SETTINGS, VoiceLab
from vqwn_kit.widgets.voices import Speaker
from vqwn_kit.workbench.code_page import page_opener
from vqwn_kit.workbench.code_palette import code_palette
from vqwn_kit.workbench.examine import examine_codes

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
        **settings: voices, blend, temperature, seed, codebooks; see `VoiceLab`.

    Raises:
        InputError: no such run, setting or corpus.

    Example:
        vq.voice_lab("results/mini", voices=["joe"], temperature=0.9)
    """
    for name in settings:
        if name not in SETTINGS:
            raise one_of("setting", name, SETTINGS)
    run = load_run(run)
    store, note = None, ""
    try:
        store = store_of(run, data, progress)
    except InputError as error:
        if data is not None:
            raise
        note = f"No utterances to choose from: {error}"
    voice = _RunVoice(run, store, precision)
    title = f"{run.folder.name}, step {run.model_step:,}"
    opener = {}
    if store is not None and voice.num_embeddings:
        opener = page_opener(lambda: examine_codes(run, store, False, None))
    return VoiceLab(voice, title=title, note=note, **opener, **settings)


class _RunVoice:
    """The model of a run as a lab needs it; see `widgets.voices.Voice`."""

    sample_rate = audio.SAMPLE_RATE

    def __init__(self, run: Run, store: Store | None, precision: str):
        self.run, self.model, self.store, self.precision = run, run.model, store, precision
        self.adds_voices = len(run.trained_speakers) > 1
        self.hop_length = run.model.hop_length
        self.num_embeddings = run.model.bottleneck.num_embeddings
        self.num_codebooks = run.model.bottleneck.num_codebooks
        self.fewest_codebooks = fewest_codebooks(run.model)
        self.pitch_levels = run.model.pitch_levels
        self.palette = code_palette(run)
        self.numbers = {}
        if store is not None:
            members = store.corpus.utterances
            self.numbers = {members[n].key: int(n) for n in store.numbers("held_out")}
        keys = list(self.numbers)[:MOST_OFFERED]
        self.utterances = {key: store.corpus[key].text for key in keys}

    @property
    def speakers(self) -> dict[str, str]:
        """The facts of each speaker and added voice, by name."""
        return {name: ", ".join(facts.values()) for name, facts in self.run.speakers.items()}

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

    def phones(self, key: str) -> list[tuple[float, float, str]]:
        """Return the phones of an utterance with their times in s; none where unknown."""
        try:
            return phone_times(self.store, [self.numbers[key]]).get(self.numbers[key], [])
        except NotMeasured:
            return []

    def remark(self, waveform: np.ndarray) -> str:
        """Return a warning of unfamiliar speech, or ""."""
        return warning(self.run, waveform)

    def encode(self, waveform: np.ndarray) -> np.ndarray:
        """Return codes (N,), or (N, Q) of several codebooks; the level of the pitch comes last."""
        codes = self.model.encode(waveform)[0]
        if not self.pitch_levels:
            return codes
        return join_pitch(self.model, codes, waveform_pitch(self.model, waveform))

    def add(
        self,
        name: str,
        waveform: np.ndarray,
        report: Callable[[float, str], None],
        stop: threading.Event,
    ) -> None:
        """Add the voice of a waveform (T,) to the run; see `vqwn_kit.add_voice`."""
        add_voice(self.run, waveform, name, progress=False, report=report, stop=stop)

    def stream(
        self,
        source: np.ndarray,
        voices: Sequence[Speaker],
        temperature: float | str,
        seed: int,
        codebooks: int | None = None,
    ) -> Iterator[np.ndarray]:
        """Yield codes, or without a codebook a waveform (T,), in the voices as sound."""
        model, settings = self.model, {"temperature": temperature, "seed": seed}
        speakers = [interpolate_voices(model, *v) if isinstance(v, tuple) else v for v in voices]
        if self.num_embeddings:
            codes, settings["pitch"] = split_pitch(model, source)
            return stream(model, codes, speakers, self.precision, codebooks, **settings)
        return stream_waveform(model, source, speakers, self.precision, **settings)
