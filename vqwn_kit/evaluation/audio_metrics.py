"""Rows of the score card from sampled audio: content, speakers, quality."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np

from vqwn_kit.evaluation import external, metrics
from vqwn_kit.evaluation.context import EvaluationContext, evenly_spread
from vqwn_kit.evaluation.external import pitch, words_of
from vqwn_kit.evaluation.metrics import Estimate, NotMeasured, mel_cepstral_distance, ratio
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.files import file_name
from vqwn_kit.models.vqvae import as_batch
from vqwn_kit.sampling.generate import convert_many, round_to_levels

WINDOW = 0.5  # seconds of speech per input of the speaker probe
FLOOR = -30.0  # dB below the maximum; what lies below depends on the noise, not on the speaker
KINDS = ("original", "reconstruction", "conversion")


@dataclass
class Sound:
    """A waveform (T,) to measure: number of its utterance, kind (KINDS) and target speaker."""

    number: int
    kind: str
    voice: str
    waveform: np.ndarray


def sample_sounds(
    card: ScoreCard, context: EvaluationContext, sampled: int, targets: int, temperature: float
) -> list[Sound]:
    """Return originals, reconstructions and conversions of held-out utterances; add the speed.

    `sampled` utterances are evenly spread over those of at most 10 s, if there are any; each is
    converted to `targets` speakers, drawn by the seed. See `score_card`.
    """
    model, lengths = context.model, context.store.lengths[context.held_out]
    short = context.held_out[lengths <= 10 * context.store.sample_rate]
    numbers = evenly_spread(short if len(short) else context.held_out, sampled)
    waves = [context.store.waveform(number) for number in numbers]
    voices = []
    for number in numbers:
        others = context.other_speakers(number)
        drawn = context.rng(2, int(number)).permutation(len(others))[:targets]
        voices.append([context.speaker(number), *(others[i] for i in drawn)])
    if model.is_autoregressive:
        settings = {"temperature": temperature, "seed": context.seed, "progress": context.progress}
        convert_many(model, [waves[0][:1]], [voices[0][:1]])  # compiles on its first use
        start = time.perf_counter()
        made = convert_many(model, waves, voices, **settings)
    else:
        start = time.perf_counter()
        pairs = context.bar(list(zip(waves, voices, strict=True)), "synthesise")
        made = [griffin_lim(model, *pair, seed=context.seed) for pair in pairs]
    speed = sum(part.size for part in made) / (time.perf_counter() - start)
    of = "sounds at once" if model.is_autoregressive else "sounds"
    note = f"in all: {speed / context.store.sample_rate:.2f} x real time"
    estimate = Estimate(speed, None, None, sum(map(len, voices)))
    card.add("cost", "generating", estimate, "samples/s", of, note)
    sounds = []
    for number, wave, names, parts in zip(numbers, waves, voices, made, strict=True):
        sounds.append(Sound(number, "original", names[0], wave))
        kinds = ["reconstruction"] + ["conversion"] * (len(names) - 1)
        sounds += [Sound(number, *rest) for rest in zip(kinds, names, parts, strict=True)]
    return sounds


def griffin_lim(model, waveform: np.ndarray, voices: list[str], seed: int = 0) -> np.ndarray:
    """Synthesise the mel bands that a first stage predicts from the codes of a waveform.

    Phases by the method of [Griffin and Lim 1984](https://doi.org/10.1109/TASSP.1984.1164317).

    Args:
        model: a first stage, a `VQVAE` with a `MelDecoder`.
        waveform: (T,).
        voices: V names of speakers.
        seed: of the first phases.

    Returns:
        Waveforms, float32 (V, T'), T' a multiple of the hop.
    """
    import librosa

    batch, speakers = as_batch(waveform, model.hop_length), model.speaker_ids(voices)
    z_q = np.repeat(np.array(model.vector_quantize(batch).z_q), len(voices), axis=0)
    predicted = model.decoder.bands(model.decoder.conditioner(z_q, speakers))
    mel, waveforms = model.decoder.spectrum, []
    bands_of = {"sr": mel.sample_rate, "fmin": mel.fmin, "fmax": mel.fmax}
    windows = {"hop_length": mel.hop_length, "win_length": mel.window_length, "random_state": seed}
    for bands in np.array(predicted):
        padded = np.concatenate([bands, bands[-1:]])  # librosa has one frame more, at the very end
        power = librosa.db_to_power(padded.T)
        amplitudes = librosa.feature.inverse.mel_to_stft(power, n_fft=mel.n_fft, **bands_of)
        waveforms.append(librosa.griffinlim(amplitudes, n_fft=mel.n_fft, **windows))
    return np.stack(waveforms).astype(np.float32)


def keep(card: ScoreCard, context: EvaluationContext, sounds: list[Sound]) -> None:
    """Add the sounds to a card, so that one can play what was measured."""
    for sound in sounds:
        utterance = context.store.corpus.utterances[sound.number]
        converted = sound.kind == "conversion"
        label = f"as {sound.voice}" if converted else f"{sound.kind} ({sound.voice})"
        file = f"audio/{file_name(f'{utterance.key} {label}')}.flac"
        about = {"utterance": utterance.key, "text": utterance.text, "split": utterance.split}
        card.tracks.append({**about, "label": label, "file": file})
        card.sounds[file] = sound.waveform


def _names(measure: str, kinds=KINDS) -> list[str]:
    return [f"{measure}, {kind}" for kind in kinds]


def score_content(card: ScoreCard, context: EvaluationContext, sounds: list[Sound]) -> None:
    """Add phone error rates by the recogniser hama: against the text, and against the original."""
    by_text, by_original = _names("phone error"), _names("phone error to original", KINDS[1:])
    utterances = context.store.corpus.utterances
    with_text = {s.number for s in sounds if words_of(utterances[s.number].text)}
    if not with_text:
        card.skipped |= dict.fromkeys(by_text, "the utterances have no texts in Latin letters")
    with card.measuring(*by_text, *by_original):
        bar = context.bar(sounds, "recognise phones")
        phones = [(s.kind, s.number, external.recognise_phones(s.waveform)) for s in bar]
        texts = {n: external.text_to_phones(utterances[n].text) for n in with_text}
        originals = {n: result for kind, n, result in phones if kind == "original" and result}

        def add(name: str, kind: str, references: dict[int, str], note: str) -> None:
            pairs = [(references[n], p) for k, n, p in phones if k == kind and n in references]
            errors = [metrics.edit_distance(*pair) for pair in pairs]
            with card.measuring(name):
                error_rate = ratio(errors, [len(reference) for reference, _ in pairs])
                card.add("content", name, error_rate, "", "sounds", note)

        for kind, name in zip(KINDS, by_text, strict=True):
            more = ": the recogniser's own errors" if kind == "original" else ""
            add(name, kind, texts, f"against the text{more}")
        for kind, name in zip(KINDS[1:], by_original, strict=True):
            add(name, kind, originals, "against the recognised phones of the original")


def mel_windows(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return the mean log-mel spectrum of each WINDOW of a waveform (T,), (W, 80).

    Cells are raised to FLOOR, so that noise 15 dB below the speech does not matter.
    """
    mel = np.maximum(metrics.log_mel(waveform, sample_rate), FLOOR)
    return metrics.pool(mel.T, WINDOW * sample_rate / 256)


def score_voices(card: ScoreCard, context: EvaluationContext, sounds: list[Sound]) -> None:
    """Add the accuracy of a speaker probe, fitted on real speech, on each kind of sound."""
    names = [*_names("speaker-probe accuracy"), "conversion classified as source speaker"]
    with card.measuring(*names):
        rate = context.store.sample_rate
        windows = [mel_windows(context.store.waveform(n), rate) for n in context.train]
        labels = np.repeat(context.speaker_ids(context.train), [len(w) for w in windows])
        probe = metrics.linear_probe(np.concatenate(windows), labels)

        def classify(sound: Sound) -> str:
            shares = probe.predict_proba(mel_windows(sound.waveform, rate))
            best = np.log(np.maximum(shares, 1e-9)).sum(axis=0).argmax()
            return context.model.speaker_names[probe.classes_[best]]

        classified = [(sound, classify(sound)) for sound in sounds]
        note = "linear probe on the log-mel of real speech"
        for kind, name in zip((*KINDS, "conversion"), names, strict=True):
            hits = [s.voice == speaker for s, speaker in classified if s.kind == kind]
            if name == names[-1]:
                note = "the same probe"
                hits = [context.speaker(s.number) == x for s, x in classified if s.kind == kind]
            with card.measuring(name):
                card.add("speakers", name, metrics.proportion(hits), "%", "sounds", note)


def score_quality(card: ScoreCard, context: EvaluationContext, sounds: list[Sound]) -> None:
    """Add distances of reconstructions to their originals, and predicted quality of all sounds."""
    waves = {kind: [s.waveform for s in sounds if s.kind == kind] for kind in KINDS}
    originals = {s.number: s for s in sounds if s.kind == "original"}
    again = [s for s in sounds if s.kind == "reconstruction"]
    pairs = [(originals[s.number].waveform, s.waveform) for s in again]
    name, note = "mel-cepstral distance, reconstruction", "to the original, frame by frame"
    _add_mean(card, name, "dB", (mel_cepstral_distance(*pair) for pair in pairs), note)
    names = ("pitch error, reconstruction", "voicing error, reconstruction")
    with card.measuring(*names):
        errors = [external.pitch_errors(*map(pitch, pair)) for pair in pairs]
        _add_mean(card, names[0], "semitones", (e for e, _ in errors), "where both are voiced")
        _add_mean(card, names[1], "%", (wrong for _, wrong in errors), "frames voiced in one only")
    note = "to the original, 0 to 1"
    _add_mean(card, "STOI, reconstruction", "", (external.stoi(*pair) for pair in pairs), note)
    for kind, name in zip(KINDS, _names("DNSMOS P.808"), strict=True):
        _add_mean(card, name, "of 5", map(external.dnsmos, waves[kind]))
    if context.model.is_autoregressive:
        rounded = (round_to_levels(context.model, s.waveform, s.voice) for s in originals.values())
        name, note = "DNSMOS P.808, original in levels", "rounded as the decoder's own sound is"
        _add_mean(card, name, "of 5", map(external.dnsmos, rounded), note)


def score_targets(card: ScoreCard, context: EvaluationContext, sounds: list[Sound]) -> None:
    """Add distances of conversions to the target's own reading of the same sentence."""
    measures = (
        ("mel-cepstral distance", partial(mel_cepstral_distance, align=True), "dB", "time-warped"),
        ("pitch error", _median_error, "semitones", "of the median"),
    )
    ends = ("conversion", "source to target")
    with card.measuring(*(f"{name}, {end}" for name, *_ in measures for end in ends)):
        originals = {s.number: s.waveform for s in sounds if s.kind == "original"}
        conversions = [s for s in sounds if s.kind == "conversion"]
        readings = _readings(context, conversions)
        conversions = [s for s in conversions if (s.number, s.voice) in readings]
        targets = [readings[s.number, s.voice] for s in conversions]
        sources = [s.waveform for s in conversions], [originals[s.number] for s in conversions]
        for name, distance, unit, how in measures:
            notes = f"to the target's own reading, {how}", "the same of the original, unconverted"
            for end, waves, note in zip(ends, sources, notes, strict=True):
                _add_mean(card, f"{name}, {end}", unit, map(distance, waves, targets), note)


def _add_mean(
    card: ScoreCard, name: str, unit: str, values: Iterable[float], note: str = ""
) -> None:
    """Add the mean of one value per sound, without NaN; computing them may be `NotMeasured`."""
    with card.measuring(name):
        known = [value for value in values if not np.isnan(value)]
        card.add("sound", name, ratio(known), unit, "sounds", note)


def _readings(
    context: EvaluationContext, conversions: list[Sound]
) -> dict[tuple[int, str], np.ndarray]:
    """Return the target's own recording of the converted sentence, by (number, target)."""
    utterances = context.store.corpus.utterances
    words = [" ".join(words_of(utterance.text)) for utterance in utterances]
    numbers = {(utterances[n].speaker, text): n for n, text in enumerate(words) if text}
    wanted = {(s.number, s.voice): (s.voice, words[s.number]) for s in conversions}
    readings = {
        key: context.store.waveform(numbers[reading])
        for key, reading in wanted.items()
        if reading in numbers
    }
    if not readings:
        reason = "the corpus is not parallel: no target reads the converted sentences"
        raise NotMeasured(reason if conversions else "there is no conversion")
    return readings


def _median_error(first: np.ndarray, second: np.ndarray) -> float:
    """Return the distance of two sounds' median pitch in semitones; NaN if one is unvoiced."""
    tracks = [track[~np.isnan(track)] for track in (pitch(first), pitch(second))]
    if not all(map(len, tracks)):
        return float("nan")
    return float(12.0 * abs(np.log2(np.median(tracks[0]) / np.median(tracks[1]))))


SCORES = (score_content, score_voices, score_quality, score_targets)  # in the order of the card
