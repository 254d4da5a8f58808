"""Rows of the score card from sampled audio: content, speakers, quality."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from vqwn_kit.evaluation import external, metrics
from vqwn_kit.evaluation.context import EvaluationContext
from vqwn_kit.evaluation.external import pitch, words_of
from vqwn_kit.evaluation.metrics import Estimate, NotMeasured, mel_cepstral_distance
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.evaluation.voice_encoder import voice_embedding
from vqwn_kit.files import file_name
from vqwn_kit.sampling.generate import convert_many, round_to_levels

WINDOW = 0.5  # seconds of speech per input of the speaker probe
FLOOR = -30.0  # dB below the maximum; what lies below depends on the noise, not on the speaker
VOICE_SAMPLES = 6  # recordings that a speaker's mean embedding is of
KINDS = ("original", "reconstruction", "conversion")
MEAN_OPINIONS = {"DNSMOS P.808": external.dnsmos, "Distill-MOS": external.distill_mos}


@dataclass
class Sound:
    """A waveform (T,) to measure: number of its utterance, kind, as KINDS, and target speaker."""

    number: int
    kind: str
    voice: str
    waveform: np.ndarray


def short_utterances(context: EvaluationContext) -> np.ndarray:
    """Return the numbers of the held-out utterances of at most 10 s; of all, if none is shorter."""
    lengths = context.store.lengths[context.held_out]
    short = context.held_out[lengths <= 10 * context.store.sample_rate]
    return short if len(short) else context.held_out


def sample_sounds(
    card: ScoreCard, context: EvaluationContext, sampled: int, targets: int, temperature
) -> list[Sound]:
    """Return originals, reconstructions and conversions of held-out utterances.

    The card gets the speed, and says how many utterances and voices there are.
    `sampled` utterances are chosen among those of at most 10 s, if there are any; each is converted
    to `targets` speakers, drawn by the seed. See `score_card`.
    """
    model = context.model
    numbers = context.chosen(short_utterances(context), sampled)
    waves = [context.store.waveform(number) for number in numbers]
    voices = []
    for number in numbers:
        others = context.other_speakers(number)
        drawn = context.rng(2, int(number)).permutation(len(others))[:targets]
        voices.append([context.speaker(number), *(others[i] for i in drawn)])
    targets = max(map(len, voices)) - 1
    card.about |= {"sampled utterances": len(numbers), "targets per utterance": targets}
    settings = {"temperature": temperature, "seed": context.seed, "progress": context.progress}
    settings["pitch"] = [context.pitch(number) for number in numbers]
    convert_many(model, [waves[0][:1]], [voices[0][:1]])  # compiles on its first use
    start = time.perf_counter()
    made = convert_many(model, waves, voices, **settings)
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


def _names(measure: str, kinds: Sequence[str] = KINDS) -> list[str]:
    return [f"{measure}, {kind}" for kind in kinds]


def score_content(
    card: ScoreCard, context: EvaluationContext, sounds: list[Sound], kinds: Sequence[str] = KINDS
) -> None:
    """Add phone error rates by the recogniser hama: against the text, and against the original.

    The first of the kinds are the originals.
    """
    by_text = _names("phone error", kinds)
    by_original = _names("phone error to original", kinds[1:])
    utterances = context.store.corpus.utterances
    with_text = {s.number for s in sounds if words_of(utterances[s.number].text)}
    if not with_text:
        card.skipped |= dict.fromkeys(by_text, "the utterances have no texts in Latin letters")
    with card.measuring(*by_text, *by_original):
        bar = context.bar(sounds, "recognise phones")
        phones = [(s.kind, s.number, external.recognise_phones(s.waveform)) for s in bar]
        texts = {n: external.text_to_phones(utterances[n].text) for n in with_text}
        originals = {n: result for kind, n, result in phones if kind == kinds[0] and result}

        def add(name: str, kind: str, references: dict[int, str], note: str) -> None:
            known = [(n, p) for k, n, p in phones if k == kind and n in references]
            errors = [metrics.edit_distance(references[n], p) for n, p in known]
            lengths = [len(references[n]) for n, _ in known]
            sentences = context.sentences(n for n, _ in known)
            with card.measuring(name):
                card.add_ratio("content", name, "", sentences, errors, lengths, note)

        for kind, name in zip(kinds, by_text, strict=True):
            more = ": the recogniser's own errors" if kind == kinds[0] else ""
            add(name, kind, texts, f"against the text{more}")
        for kind, name in zip(kinds[1:], by_original, strict=True):
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
            return context.model.voice_names[probe.classes_[best]]

        classified = [(sound, classify(sound)) for sound in sounds]
        note = "linear probe on the log-mel of real speech"
        for kind, name in zip((*KINDS, "conversion"), names, strict=True):
            known = [(s, speaker) for s, speaker in classified if s.kind == kind]
            hits = [s.voice == speaker for s, speaker in known]
            if name == names[-1]:
                note = "the same probe"
                hits = [context.speaker(s.number) == speaker for s, speaker in known]
            sentences = context.sentences(s.number for s, _ in known)
            with card.measuring(name):
                card.add_ratio("speakers", name, "%", sentences, hits, None, note, share=True)
    _add_nearest_voices(card, context, sounds)


def _add_nearest_voices(card: ScoreCard, context: EvaluationContext, sounds: list[Sound]) -> None:
    """Add how many sounds are nearest to their speaker by an independent speaker embedding."""
    names = {kind: f"{kind} nearest the target, independent embedding" for kind in KINDS}
    with card.measuring(*names.values()):
        voices = dict.fromkeys(map(context.speaker, context.train))
        if len(voices) < 2:
            raise NotMeasured("there is only one speaker, to whom all sounds are nearest")
        for speaker in context.bar(voices, "embed voices"):
            known = [n for n in context.train if context.speaker(n) == speaker][:VOICE_SAMPLES]
            waves = [context.store.waveform(n) for n in known]
            voices[speaker] = np.mean([voice_embedding(wave) for wave in waves], axis=0)
        directions = np.stack([voice / np.linalg.norm(voice) for voice in voices.values()])
        note = f"by Resemblyzer's weights, among the means of {len(voices)} speakers"
        for kind, name in names.items():
            known = [s for s in sounds if s.kind == kind]
            nearest = [(directions @ voice_embedding(s.waveform)).argmax() for s in known]
            hits = [list(voices)[i] == s.voice for i, s in zip(nearest, known, strict=True)]
            sentences = context.sentences(s.number for s in known)
            with card.measuring(name):
                card.add_ratio("speakers", name, "%", sentences, hits, None, note, share=True)


def beside_originals(
    sounds: list[Sound], kinds: Sequence[str] = KINDS[:2]
) -> tuple[list[Sound], list[tuple[np.ndarray, np.ndarray]]]:
    """Return the sounds of the second kind, and for each the waveforms of its original and of it.

    The originals are those of the first kind.
    """
    originals = {s.number: s.waveform for s in sounds if s.kind == kinds[0]}
    again = [s for s in sounds if s.kind == kinds[1]]
    return again, [(originals[s.number], s.waveform) for s in again]


def score_quality(
    card: ScoreCard,
    context: EvaluationContext,
    sounds: list[Sound],
    kinds: Sequence[str] = KINDS[:2],
) -> None:
    """Add distances of the sounds of the second kind to their originals, of the first."""
    (again, pairs), kind = beside_originals(sounds, kinds), kinds[1]
    add = partial(add_mean, card, context, again)
    name, note = f"mel-cepstral distance, {kind}", "to the original, frame by frame"
    add(name, "dB", (mel_cepstral_distance(*pair) for pair in pairs), note)
    name = f"spectral contrast error, {kind}"
    more = [np.subtract(*map(metrics.spectral_contrast, pair[::-1])) for pair in pairs]
    sharper = f"; {np.mean(more):+.2f} dB with its sign: above 0 sharper" if more else ""
    add(name, "dB", np.abs(more), f"of peaks over valleys, to the original{sharper}")
    names = (f"pitch error, {kind}", f"voicing error, {kind}")
    with card.measuring(*names):
        errors = [external.pitch_errors(*map(pitch, pair)) for pair in pairs]
        add(names[0], "semitones", (e for e, _ in errors), "where both are voiced")
        add(names[1], "%", (wrong for _, wrong in errors), "frames voiced in one only")
    note = "to the original, 0 to 1"
    add(f"STOI, {kind}", "", (external.stoi(*pair) for pair in pairs), note)


def score_naturalness(
    card: ScoreCard, context: EvaluationContext, sounds: list[Sound], kinds: Sequence[str] = KINDS
) -> None:
    """Add predicted quality of all sounds, and of recordings rounded to the decoder's levels."""
    parts = {kind: [s for s in sounds if s.kind == kind] for kind in kinds}
    waves = {kind: [s.waveform for s in part] for kind, part in parts.items()}
    rounded = "original in levels"
    if context.model.is_autoregressive and "original" in kinds:
        parts[rounded] = parts["original"]
        waves[rounded] = [
            round_to_levels(context.model, s.waveform, s.voice, context.pitch(s.number))
            for s in parts[rounded]
        ]
    for measure, judge in MEAN_OPINIONS.items():
        with card.measuring(measure):
            for kind, part in parts.items():
                note = "rounded as the decoder's own sound is" if kind == rounded else ""
                values = [judge(wave) for wave in context.bar(waves[kind], f"{measure}, {kind}")]
                add_mean(card, context, part, f"{measure}, {kind}", "of 5", values, note)


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
                values = map(distance, waves, targets)
                add_mean(card, context, conversions, f"{name}, {end}", unit, values, note)


def add_mean(
    card: ScoreCard,
    context: EvaluationContext,
    sounds: list[Sound],
    name: str,
    unit: str,
    values: Iterable[float],
    note: str = "",
) -> None:
    """Add the mean of one value per sound, without NaN; computing them may be `NotMeasured`."""
    with card.measuring(name):
        pairs = zip(sounds, values, strict=True)
        known = [(s.number, value) for s, value in pairs if not np.isnan(value)]
        numbers, values = zip(*known, strict=True) if known else ((), ())
        card.add_ratio("sound", name, unit, context.sentences(numbers), values, note=note)


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


# In the order of the card.
SCORES = (score_content, score_voices, score_quality, score_naturalness, score_targets)
