"""Seconds of speech of a new speaker -> a voice of a trained run, whose weights stay as they are.

Only the vector of the voice is fitted, by Adam on random crops: to the mel bands, where the
decoder has a `MelDecoder`, else to the samples. Its error on a fifth of the speech, which is held
out, decides when to stop and which vector is kept.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from vqwn_kit.data.audio import SAMPLE_RATE
from vqwn_kit.data.pitch import speaker_pitch
from vqwn_kit.data.speech import Sounds, active_seconds, read_speech
from vqwn_kit.errors import InputError
from vqwn_kit.files import only_writer
from vqwn_kit.models.tensorflow import keras, tf
from vqwn_kit.models.vqvae import VQVAE, as_batch
from vqwn_kit.runs.added_voices import (
    AddedVoice,
    read_voice,
    save_voice,
    voice_file,
    voice_files,
)
from vqwn_kit.runs.run import Run, load_run
from vqwn_kit.training.validate import BITS_PER_NAT

LEAST = 5.0  # seconds of speech
MOST = 60.0  # seconds; more is not used
GROUP = 8.0  # seconds, of which the last fifth is held out
CHECK = 20  # steps between two measurements of the held-out fifth
PATIENCE = 5  # such measurements without a lower error, after which it ends
PENALTY = 3e-4  # of the squared biases: a WaveNet knows no conditioning far from that of training
MOST_STARTS = 40  # trained speakers that are tried as starts
MOST_CROPS = 16  # of the held-out speech, in a measurement
MEAN = "the mean of all speakers"
BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"

Report = Callable[[float, str], None]  # share that is done, 0 to 1; what is measured


class _Stopped(Exception):
    """The user stopped the fit."""


class Objective(NamedTuple):
    """What a vector is fitted to.

    Attributes:
        name: of the measure.
        unit: what a loss is multiplied by for the measure.
        loss: waveform (B, T, 1), conditioning (B, N, C), training -> a scalar.
        crop: samples of a crop.
        batch: crops of a step.
        steps: the most.
        rate: of Adam, at the first step.
    """

    name: str
    unit: float
    loss: Callable[..., Any]
    crop: int
    batch: int
    steps: int
    rate: float


@dataclass
class Speech:
    """What a voice is fitted on.

    Attributes:
        waveform: (1, T, 1), all recordings one after another, each in whole frames.
        z_q: (1, N, D).
        pitch: (1, N), in semitones relative to the speaker's mean, or None.
        train: pairs of frames, from and to, that crops are drawn from.
        held_out: such pairs of the rest.
        seconds: of speech, pauses left out.
        hertz: the mean pitch, or None.
    """

    waveform: np.ndarray
    z_q: np.ndarray
    pitch: np.ndarray | None
    train: list[tuple[int, int]]
    held_out: list[tuple[int, int]]
    seconds: float
    hertz: float | None


def add_voice(
    run: Run | str | Path,
    sounds: Sounds,
    name: str,
    *,
    minutes: float = 3.0,
    conditioning: bool = True,
    seed: int = 0,
    progress: bool = True,
    report: Report | None = None,
    stop: threading.Event | None = None,
) -> AddedVoice | None:
    """Fit a new voice on 10 to 60 s of speech, and keep it in the run's folder.

    It can then be used wherever a speaker of the run can. It belongs to the weights that it was
    fitted to, and is not there at other steps of the run.

    Args:
        run: a trained run, with two speakers or more.
        sounds: of one speaker: a folder, files, or waveforms (T,) at 16 kHz; 60 s are used.
        name: of the voice.
        minutes: the most.
        conditioning: fit also biases of the conditioner's layers, see `Conditioner`: nearer to the
            speaker than a vector alone.
        seed: of the crops.
        progress: show a progress bar.
        report: called with what is done, after each measurement.
        stop: set it to end early; nothing is kept then.

    Returns:
        The voice, or None if it was stopped.

    Raises:
        InputError: a name that is taken, less than 5 s of speech, silence, a run without speakers
            or in training; nothing was changed.
        KeyboardInterrupt: after Ctrl-C; nothing was changed.

    Example:
        vq.add_voice("results/mini", "recordings/ann", "ann")
        vq.convert_voice(vq.load_run("mini").model, waveform, ["ann"])
    """
    waves = _checked(run := load_run(run), sounds, name, minutes)
    bar = tqdm(total=1.0, desc=f"add {name}", bar_format=BAR, disable=not progress)

    def show(share: float, text: str) -> None:
        bar.update(share - bar.n)
        bar.set_postfix_str(text)
        if report is not None:
            report(share, text)
        if stop is not None and stop.is_set():
            raise _Stopped

    with only_writer(run.folder, "adding a voice"), bar:
        try:
            voice = _fitted(run, waves, name, conditioning, seed, 60.0 * minutes, show)
        except _Stopped:
            return None
        save_voice(run.folder, voice)
    run.reload_voices()
    return voice


def _fitted(
    run: Run,
    waves: list[np.ndarray],
    name: str,
    conditioning: bool,
    seed: int,
    seconds: float,
    show: Report,
) -> AddedVoice:
    _need_free_name(run, name)
    until = time.monotonic() + seconds
    speech = prepare_speech(run.model, waves)
    fit = VoiceFit(run.model, speech, conditioning, seed)
    vector = fit.run(until, show)
    about = {"seconds": speech.seconds, "errors": fit.errors}
    about |= {} if speech.hertz is None else {"hertz": speech.hertz}
    return AddedVoice(name, vector, run.model_step, about)


def _checked(run: Run, sounds: Sounds, name: str, minutes: float) -> list[np.ndarray]:
    """Return the speech; raise InputError where no voice of this name can be added to a run."""
    voice_file(run.folder, name)
    _ = run.model_file
    if not minutes > 0:
        raise InputError(f"minutes is {minutes:g}; expected more than 0, such as 3")
    if len(run.trained_speakers) < 2:
        raise InputError(
            f"{run.folder} was trained on {len(run.trained_speakers)} speaker, so its decoder does "
            "not depend on a speaker's vector: add voices to a run of two or more speakers"
        )
    _need_free_name(run, name)
    waves = read_speech(sounds, MOST)
    seconds = active_seconds(waves)
    if seconds < LEAST:
        raise InputError(
            f"{seconds:.1f} s of speech, pauses left out; expected {LEAST:g} s or more, better "
            "30 s, of one speaker"
        )
    return waves


def _need_free_name(run: Run, name: str) -> None:
    """Raise InputError where a speaker, or an added voice of any step of a run, has a name.

    The files are read, since another process may have added a voice after the run was opened.
    """
    for speaker in run.trained_speakers:
        if speaker.lower() == name.lower():
            raise InputError(f"{run.folder} has a voice {speaker!r} already: give another name")
    for file in voice_files(run.folder):
        if file.stem.lower() == name.lower() and (step := read_voice(file).step) in run.steps:
            raise InputError(
                f"{run.folder} has a voice {file.stem!r} already, of step {step}: give another "
                f"name, or remove it first (vqwn add-voice {run.folder} --remove {file.stem!r})"
            )


def prepare_speech(model: VQVAE, waves: list[np.ndarray]) -> Speech:
    """Return waveforms (T_u,) of one speaker as one, encoded, its fifths held out."""
    hop = model.hop_length
    parts = [as_batch(wave, hop) for wave in waves]
    waveform = np.concatenate(parts, axis=1)
    frames = waveform.shape[1] // hop
    groups = max(1, round(waveform.shape[1] / SAMPLE_RATE / GROUP))
    edges = np.linspace(0, frames, groups + 1).round().astype(int).tolist()
    pairs = list(zip(edges[:-1], edges[1:], strict=True))
    cuts = [end - round((end - start) / 5) for start, end in pairs]
    z_q = np.concatenate([np.array(model.vector_quantize(part).z_q) for part in parts], axis=1)
    pitch, hertz = _pitch(model, waves)
    return Speech(
        waveform,
        z_q,
        pitch,
        [(start, cut) for (start, _), cut in zip(pairs, cuts, strict=True)],
        [(cut, end) for (_, end), cut in zip(pairs, cuts, strict=True)],
        active_seconds(waves),
        hertz,
    )


def _pitch(model: VQVAE, waves: list[np.ndarray]) -> tuple[np.ndarray | None, float | None]:
    """Return the pitch of all frames, relative to the speaker's mean, and that mean in Hz."""
    if not model.pitch_levels:
        return None, None
    pitch, hertz = speaker_pitch(waves, model.hop_length)
    if hertz is None:
        raise InputError("no voiced speech was found, and this run is conditioned on pitch")
    return pitch[None], hertz


def objective_of(model: VQVAE) -> Objective:
    """Return what a vector is fitted to: the mel bands, if the decoder has them, or the samples.

    From the bands follow the LPC filters of a WaveNet, whose conditioner is that of a first stage:
    the vectors of its trained speakers were fitted to bands, too.
    """
    mel, hop = model.decoder.get_mel_decoder(), model.hop_length

    def whole(samples: int) -> int:
        return max(1, round(samples / hop)) * hop

    if mel is not None:
        return Objective("error of mel bands", 1.0, mel.loss, whole(12_800), 12, 400, 0.05)
    loss = model.decoder.loss
    return Objective("bits per sample", BITS_PER_NAT, loss, whole(4800), 4, 200, 0.02)


class VoiceFit:
    """The vector of a voice, fitted to speech.

    Args:
        model: the model; its weights are only read.
        speech: of the voice.
        conditioning: fit the biases of `Conditioner.offset_channels`, too.
        seed: of the crops.

    Attributes:
        vector: (speaker_dim,), or (speaker_dim + offset_channels,), a variable.
        errors: of the held-out fifth, by measure: the error at the start, what the start was, and
            the error of the vector that was kept.
    """

    def __init__(self, model: VQVAE, speech: Speech, conditioning: bool, seed: int = 0):
        conditioner = model.decoder.conditioner
        more = conditioner.offset_channels if conditioning else 0
        self.model, self.speech, self.seed = model, speech, seed
        self.objective = objective_of(model)
        self.vector = keras.Variable(np.zeros(conditioner.speaker_dim + more, np.float32))
        self.errors: dict[str, tuple[float, str, float]] = {}

    def run(self, until: float, show: Report) -> np.ndarray:
        """Fit the vector until a time, of `time.monotonic`, at the latest; return the best one."""
        objective = self.objective
        optimizer = keras.optimizers.Adam(objective.rate)
        optimizer.build([self.vector])
        step, measure = self._graphs(optimizer)
        began, rng = time.monotonic(), np.random.default_rng(self.seed)
        start = self._best_start(measure, rng, until, show)
        before = best = self._held_out(measure)
        kept, since = self.vector.numpy(), 0
        for number in range(1, objective.steps + 1):
            optimizer.learning_rate = objective.rate * (1.0 - 0.9 * number / objective.steps)
            step(*self._crops(self._drawn(rng, objective.batch)))
            now = time.monotonic()
            if number % CHECK and number < objective.steps and now < until:
                continue
            error, since = self._held_out(measure), since + 1
            if error < best:
                best, kept, since = error, self.vector.numpy(), 0
            spent = max(number / objective.steps, (now - began) / (until - began))
            show(min(1.0, spent), f"{objective.name} {best:.3f}")
            if since >= PATIENCE or now >= until:
                break
        self.errors = {objective.name: (before, start, best)}
        show(1.0, f"{objective.name} {best:.3f}, from {before:.3f} with {start}")
        return kept

    def _graphs(self, optimizer):
        """Return a training step, and the loss of crops for a vector, as graphs."""

        def loss_of(training: bool, vector, waveform, z_q, pitch):
            vectors = tf.repeat(vector[None], tf.shape(waveform)[0], axis=0)
            conditioning = self.model.condition(z_q, vectors, pitch, training=False)
            return self.objective.loss(waveform, conditioning, training)

        @tf.function
        def step(*crops):
            with tf.GradientTape() as tape:
                biases = self.vector.value[self.model.decoder.conditioner.speaker_dim :]
                loss = loss_of(True, self.vector.value, *crops)
                loss = loss + PENALTY * tf.reduce_sum(biases**2)
            optimizer.apply([tape.gradient(loss, self.vector.value)], [self.vector])

        @tf.function
        def measure(vector, *crops):
            return self.objective.unit * loss_of(False, vector, *crops)

        return step, measure

    def _crops(self, starts: np.ndarray) -> tuple:
        """Return waveform, z_q, and pitch or None of crops that begin at frames (B,)."""
        hop, length = self.model.hop_length, self.objective.crop // self.model.hop_length
        frames = starts[:, None] + np.arange(length)
        samples = starts[:, None] * hop + np.arange(self.objective.crop)
        pitch = self.speech.pitch
        track = None if pitch is None else pitch[0][frames]
        return self.speech.waveform[0][samples], self.speech.z_q[0][frames], track

    def _drawn(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Return the first frames of crops, drawn from the speech that is not held out."""
        length = self.objective.crop // self.model.hop_length
        firsts = [np.arange(start, end - length + 1) for start, end in self.speech.train]
        return rng.choice(np.concatenate(firsts), count)

    def _held_out(self, measure) -> float:
        """Return the mean error of crops of the held-out speech, side by side, some of many."""
        length = self.objective.crop // self.model.hop_length
        firsts = [np.arange(start, end - length + 1, length) for start, end in self.speech.held_out]
        firsts = np.concatenate(firsts)
        if len(firsts) > MOST_CROPS:
            firsts = firsts[np.linspace(0, len(firsts) - 1, MOST_CROPS).round().astype(int)]
        parts = np.array_split(firsts, -(-len(firsts) // self.objective.batch))
        errors = [float(measure(self.vector, *self._crops(part))) for part in parts]
        return float(np.average(errors, weights=[len(part) for part in parts]))

    def _best_start(self, measure, rng: np.random.Generator, until: float, show: Report) -> str:
        """Set the vector to the best of some starts; return its name.

        These are the trained speakers, as many as can be tried until a time, their mean, and the
        mean of the three that are best.
        """
        table, names = self.model.decoder.speakers.numpy(), self.model.speaker_names
        tried = np.linspace(0, len(table) - 1, min(len(table), MOST_STARTS)).round().astype(int)
        crops = self._crops(self._drawn(rng, self.objective.batch))

        def error_of(row: np.ndarray) -> float:
            return float(measure(self._widened(row), *crops))

        errors = {}
        for number in tried.tolist():
            errors[number] = error_of(table[number])
            show(0.0, f"start {len(errors)} of {len(tried)}")
            if time.monotonic() >= until:
                break
        best = sorted(errors, key=lambda number: errors[number])[:3]
        starts = {names[best[0]]: table[best[0]], MEAN: table.mean(axis=0)}
        starts["the mean of " + ", ".join(names[n] for n in best)] = table[best].mean(axis=0)
        name = min(starts, key=lambda name: error_of(starts[name]))
        self.vector.assign(self._widened(starts[name]))
        return name

    def _widened(self, row: np.ndarray) -> np.ndarray:
        """Return a speaker's vector with zeros for the biases, if they are fitted."""
        return np.pad(row, (0, self.vector.shape[0] - len(row)))
