"""What a model says -> rows of the score card: words, voices, quality of sampled sounds."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vqwn_kit.evaluation.context import EvaluationContext
from vqwn_kit.evaluation.external import (
    p808,
    phones_expected,
    phones_heard,
    pitch,
    pitch_errors,
    stoi,
    words_of,
)
from vqwn_kit.evaluation.metrics.measures import (
    Estimate,
    NotMeasured,
    edit_distance,
    linear_probe,
    log_mel,
    mel_cepstral_distance,
    pool,
    proportion,
    ratio,
)
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.files import file_name
from vqwn_kit.models.vqvae import as_batch
from vqwn_kit.sampling.generate import convert_many, round_to_levels

WINDOW = 0.5  # seconds that the probe of voices hears at once
FLOOR = -30.0  # dB under the loudest cell; what lies below tells the noise, not the voice
KINDS = ("original", "reconstruction", "conversion")


@dataclass
class Sound:
    """A waveform to judge: what it was made from, and whose voice it should be."""

    number: int
    kind: str
    voice: str
    waveform: np.ndarray


def choose(subject: EvaluationContext, spoken: int) -> np.ndarray:
    """Return the numbers of held-out utterances to speak, evenly spread, those under 10 s first."""
    lengths = subject.store.lengths[subject.held_out]
    short = subject.held_out[lengths <= 10 * subject.store.sample_rate]
    members = short if len(short) else subject.held_out
    places = np.linspace(0, len(members) - 1, min(spoken, len(members))).round().astype(int)
    return members[places]


def speak(
    card: ScoreCard, subject: EvaluationContext, spoken: int, targets: int, temperature: float
) -> list[Sound]:
    """Sample reconstructions and conversions, add how fast that was, and return the sounds.

    Args:
        card: gets a row.
        subject: the run.
        spoken: utterances to speak.
        targets: voices that each is converted to, drawn from the seed.
        temperature: of sampling.
    """
    numbers = choose(subject, spoken)
    waves = [subject.store.waveform(number) for number in numbers]
    voices = []
    for number in numbers:
        own = subject.speaker(number)
        others = [name for name in subject.run.speakers if name != own]
        drawn = subject.rng(2, int(number)).permutation(len(others))[:targets]
        voices.append([own, *(others[i] for i in drawn)])
    settings = {"temperature": temperature, "seed": subject.seed, "progress": subject.progress}
    if subject.model.is_autoregressive:
        convert_many(subject.model, [waves[0][:1]], [voices[0][:1]])  # compiles on its first use
        start = time.perf_counter()
        made = convert_many(subject.model, waves, voices, **settings)
    else:
        start = time.perf_counter()
        pairs = subject.bar(list(zip(waves, voices, strict=True)), "speak")
        made = [speak_bands(subject.model, *pair, seed=subject.seed) for pair in pairs]
    seconds = time.perf_counter() - start
    samples = sum(part.size for part in made)
    speed = samples / seconds
    card.add(
        "cost", "generating", Estimate(speed, None, None, sum(map(len, voices))), "samples/s",
        "sounds at once" if subject.model.is_autoregressive else "sounds",
        f"in all: {speed / subject.store.sample_rate:.2f} x real time",
    )  # fmt: skip
    sounds = []
    for number, wave, names, parts in zip(numbers, waves, voices, made, strict=True):
        sounds.append(Sound(number, "original", names[0], wave))
        kinds = ["reconstruction"] + ["conversion"] * (len(names) - 1)
        sounds += [Sound(number, *rest) for rest in zip(kinds, names, parts, strict=True)]
    return sounds


def speak_bands(model, waveform: np.ndarray, voices: list[str], seed: int = 0) -> np.ndarray:
    """Speak the mel bands that a first stage tells from the codes of a waveform.

    [Griffin and Lim 1984](https://doi.org/10.1109/TASSP.1984.1164317) find phases that fit.

    Args:
        model: a first stage, a `VQVAE` with a `MelDecoder`.
        waveform: (T,).
        voices: V names of speakers.
        seed: of the phases that it begins with.

    Returns:
        Waveforms, float32 (V, T'), T' a multiple of the hop.
    """
    import librosa

    batch, speakers = as_batch(waveform, model.hop_length), model.speaker_ids(voices)
    z_q = np.repeat(np.array(model.vector_quantize(batch).z_q), len(voices), axis=0)
    predicted = model.decoder.bands(model.decoder.conditioner(z_q, speakers))
    form, spoken = model.decoder.spectrum, []
    for bands in np.array(predicted):
        whole = np.concatenate([bands, bands[-1:]])  # librosa has a frame at the very end, too
        amplitudes = librosa.feature.inverse.mel_to_stft(
            librosa.db_to_power(whole.T), sr=form.sample_rate, n_fft=form.n_fft, fmin=form.fmin,
            fmax=form.fmax,
        )  # fmt: skip
        spoken.append(librosa.griffinlim(
            amplitudes, hop_length=form.hop_length, win_length=form.window_length,
            n_fft=form.n_fft, random_state=seed,
        ))  # fmt: skip
    return np.stack(spoken).astype(np.float32)


def keep(card: ScoreCard, subject: EvaluationContext, sounds: list[Sound]) -> None:
    """Add the sounds to a card, so that what was judged can be heard."""
    for sound in sounds:
        utterance = subject.store.corpus.utterances[sound.number]
        label = f"{sound.kind} ({sound.voice})"
        if sound.kind == "conversion":
            label = f"as {sound.voice}"
        file = f"audio/{file_name(f'{utterance.key} {label}')}.flac"
        about = {"utterance": utterance.key, "text": utterance.text, "split": utterance.split}
        card.tracks.append({**about, "label": label, "file": file})
        card.sounds[file] = sound.waveform


def _names(measure: str, kinds=KINDS) -> list[str]:
    return [f"{measure}, {kind}" for kind in kinds]


def score_content(card: ScoreCard, subject: EvaluationContext, sounds: list[Sound]) -> None:
    """Add phone errors by hama: against the text, and against its reading of the original."""
    section = "content"
    text, itself = _names("phone error"), _names("phone error to original", KINDS[1:])
    utterances = subject.store.corpus.utterances
    has_text = {s.number for s in sounds if words_of(utterances[s.number].text)}
    with card.measuring(*text):
        if not has_text:
            raise NotMeasured("the utterances have no texts in Latin letters")
    with card.measuring(*text, *itself):
        heard = [phones_heard(s.waveform) for s in subject.bar(sounds, "hear phones")]
        expected = {n: phones_expected(utterances[n].text) for n in has_text}
        for kind, name in zip(KINDS, text if has_text else (), strict=False):
            note = "against the text" + (
                ": the recogniser's own errors" if kind == KINDS[0] else ""
            )
            _add_errors(card, section, name, note, [
                (expected[s.number], h) for s, h in zip(sounds, heard, strict=True)
                if s.kind == kind and s.number in has_text
            ])  # fmt: skip
        originals = {
            s.number: h for s, h in zip(sounds, heard, strict=True) if s.kind == "original"
        }
        for kind, name in zip(KINDS[1:], itself, strict=True):
            pairs = [
                (originals[s.number], h)
                for s, h in zip(sounds, heard, strict=True)
                if s.kind == kind
            ]
            _add_errors(card, section, name, "against what is heard in the original",
                        [(truth, h) for truth, h in pairs if truth])  # fmt: skip


def _add_errors(card, section: str, name: str, note: str, pairs: list[tuple[str, str]]) -> None:
    with card.measuring(name):
        errors = [edit_distance(truth, heard) for truth, heard in pairs]
        estimate = ratio(errors, [len(truth) for truth, _ in pairs])
        card.add(section, name, estimate, "", "sounds", note)


def mel_windows(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return the mean log-mel spectrum of each WINDOW of a waveform (T,), (W, 80).

    Cells are raised to FLOOR, so that noise 15 dB under the speech leaves the voice as it is.
    """
    return pool(np.maximum(log_mel(waveform, sample_rate), FLOOR).T, WINDOW * sample_rate / 256)


def score_voices(card: ScoreCard, subject: EvaluationContext, sounds: list[Sound]) -> None:
    """Add whom a probe that learnt the voices from real speech hears in each kind of sound."""
    names = [*_names("voice given to its speaker"), "conversion given to the source"]
    with card.measuring(*names):
        rate = subject.store.sample_rate
        windows = [mel_windows(subject.store.waveform(n), rate) for n in subject.train]
        labels = np.repeat(subject.speaker_ids(subject.train), [len(w) for w in windows])
        probe = linear_probe(np.concatenate(windows), labels)
        classes = probe.classes_

        def heard(sound: Sound) -> int:
            shares = probe.predict_proba(mel_windows(sound.waveform, rate))
            return int(classes[np.log(np.maximum(shares, 1e-9)).sum(axis=0).argmax()])

        guesses = [heard(sound) for sound in sounds]
        for kind, name in zip(KINDS, names, strict=False):
            with card.measuring(name):
                mine = [(s, g) for s, g in zip(sounds, guesses, strict=True) if s.kind == kind]
                hits = [subject.model.speaker_ids([s.voice])[0] == g for s, g in mine]
                card.add("speakers", name, proportion(hits), "%", "sounds",
                         "linear probe on the log-mel of real speech")  # fmt: skip
        with card.measuring(names[3]):
            mine = [(s, g) for s, g in zip(sounds, guesses, strict=True) if s.kind == "conversion"]
            hits = [subject.speaker_ids([s.number])[0] == g for s, g in mine]
            card.add("speakers", names[3], proportion(hits), "%", "sounds", "the same probe")


def score_sound(card: ScoreCard, subject: EvaluationContext, sounds: list[Sound]) -> None:
    """Add distances to the original and to the target's own reading, and guessed quality."""
    originals = {s.number: s.waveform for s in sounds if s.kind == "original"}
    of_kind = {kind: [s for s in sounds if s.kind == kind] for kind in KINDS}
    section, again = "sound", of_kind["reconstruction"]
    _mean_of(card, section, "mel-cepstral distance, reconstruction", "dB", again,
             lambda s: mel_cepstral_distance(originals[s.number], s.waveform),
             "to the original, frame by frame")  # fmt: skip
    names = ["pitch error, reconstruction", "voicing error, reconstruction"]
    with card.measuring(*names):
        errors = [pitch_errors(pitch(originals[s.number]), pitch(s.waveform)) for s in again]
        voiced = [error for error, _ in errors if not np.isnan(error)]
        with card.measuring(names[0]):
            card.add(section, names[0], ratio(voiced), "semitones", "sounds",
                     "where both are voiced")  # fmt: skip
        card.add(section, names[1], ratio([wrong for _, wrong in errors]), "%", "sounds",
                 "frames voiced in one only")  # fmt: skip
    _mean_of(
        card, section, "STOI, reconstruction", "", again,
        lambda s: stoi(originals[s.number], s.waveform), "to the original, 0 to 1",
    )  # fmt: skip
    for kind in KINDS:
        _mean_of(card, section, f"DNSMOS P.808, {kind}", "of 5", of_kind[kind],
                 lambda s: p808(s.waveform), "")  # fmt: skip
    if subject.model.is_autoregressive:
        _mean_of(card, section, "DNSMOS P.808, original in levels", "of 5", of_kind["original"],
                 lambda s: p808(round_to_levels(subject.model, s.waveform, s.voice)),
                 "rounded as the decoder's own sound is")  # fmt: skip
    names = ("mel-cepstral distance, conversion", "mel-cepstral distance, source to target")
    names += ("pitch error, conversion", "pitch error, source to target")
    with card.measuring(*names):
        readings = _readings(subject, of_kind["conversion"])
        pairs = [(s, readings[s.number, s.voice]) for s in of_kind["conversion"]
                 if (s.number, s.voice) in readings]  # fmt: skip
        spoken = [(s.waveform, reading) for s, reading in pairs]
        unspoken = [(originals[s.number], reading) for s, reading in pairs]
        notes = "to the target's own reading, time-warped", "the same of the original, unconverted"
        for name, couples, note in zip(names[:2], (spoken, unspoken), notes, strict=True):
            distances = [mel_cepstral_distance(a, b, align=True) for a, b in couples]
            card.add(section, name, ratio(distances), "dB", "sounds", note)
        notes = "of the median, to the target's own reading", notes[1]
        for name, couples, note in zip(names[2:], (spoken, unspoken), notes, strict=True):
            errors = [_median_error(*couple) for couple in couples]
            card.add(section, name, ratio([e for e in errors if not np.isnan(e)]), "semitones",
                     "sounds", note)  # fmt: skip


def _mean_of(
    card, section: str, name: str, unit: str, sounds: list[Sound],
    measure: Callable[[Sound], float], note: str,
) -> None:  # fmt: skip
    """Add the mean of a measure over sounds; those where it is NaN are left out."""
    with card.measuring(name):
        values = np.array([measure(s) for s in sounds])
        card.add(section, name, ratio(values[~np.isnan(values)]), unit, "sounds", note)


def _readings(
    subject: EvaluationContext, conversions: list[Sound]
) -> dict[tuple[int, str], np.ndarray]:
    """Return the target's own recording of the converted sentence, by (number, target)."""
    utterances = subject.store.corpus.utterances
    spoken = {
        (u.speaker, " ".join(words_of(u.text))): number
        for number, u in enumerate(utterances) if words_of(u.text)
    }  # fmt: skip
    found = {}
    for s in conversions:
        key = (s.voice, " ".join(words_of(utterances[s.number].text)))
        if key in spoken:
            found[s.number, s.voice] = subject.store.waveform(spoken[key])
    if not found:
        raise NotMeasured(
            "the corpus isn't parallel: no target reads the converted sentences"
            if conversions else "there is no conversion"
        )  # fmt: skip
    return found


def _median_error(one: np.ndarray, other: np.ndarray) -> float:
    """Return the distance of two sounds' median pitch in semitones; NaN if one is unvoiced."""
    tracks = [track[~np.isnan(track)] for track in (pitch(one), pitch(other))]
    if not all(map(len, tracks)):
        return float("nan")
    return float(12.0 * abs(np.log2(np.median(tracks[0]) / np.median(tracks[1]))))
