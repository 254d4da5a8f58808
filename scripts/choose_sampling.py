"""Compare settings of synthesis of a run: a table of phone errors and DNSMOS.

Usage: python scripts/choose_sampling.py RUN [--data FOLDER] [--sentences 14] [--temperature 1]
           [--postfilter 0 0.8 0.95] [--contrast 0 0.3] [--match-bands 0 1] [--pitch-postfilter 0 1]

Reconstructs training sentences, and converts each to the voice that comes next; the held-out ones
are for the score card. What is not given stays as it is in the run. Needs the extra `eval`.
"""

import argparse
import itertools

import numpy as np

import vqwn_kit as vq
from vqwn_kit.data.pitch import pitch_of
from vqwn_kit.evaluation.context import select_utterances
from vqwn_kit.evaluation.external import dnsmos, pitch_errors, recognise_phones, text_to_phones
from vqwn_kit.evaluation.metrics import edit_distance
from vqwn_kit.runs.corpus_of import store_of
from vqwn_kit.sampling.generate import convert_many
from vqwn_kit.sampling.sampler import VOICED

LABELS = ("postfilter", "contrast", "matched bands", "pitch postfilter", "temperature")
MEASURES = ("phone error", "DNSMOS", "voicing error (%)", "loudest (dB)")
HEAD = (*LABELS, *MEASURES, *(f"{name}, converted" for name in MEASURES))


def temperature_of(text: str) -> float | str:
    """Return a number, or the word "voiced"."""
    return text if text == VOICED else float(text)


def measures(sounds, waves, expected) -> list[str]:
    """Return the phone error of sounds, means of DNSMOS and voicing error, and the loudest's level.

    It is the level of the one that is loudest beside its recording.
    """
    pairs = zip(expected, map(recognise_phones, sounds), strict=True)
    error = sum(itertools.starmap(edit_distance, pairs)) / sum(map(len, expected))
    mos = np.mean([dnsmos(sound) for sound in sounds])
    levels = [[np.sqrt(np.mean(x**2)) for x in pair] for pair in zip(sounds, waves, strict=True)]
    loudest = 20 * np.log10(max(made / own for made, own in levels))
    pitch = [[pitch_of(x) for x in pair] for pair in zip(waves, sounds, strict=True)]
    voicing = 100 * np.mean([pitch_errors(*pair)[1] for pair in pitch])
    return [f"{error:.2f}", f"{mos:.2f}", f"{voicing:.1f}", f"{loudest:+.1f}"]


def refusal(run: vq.Run, options: argparse.Namespace) -> str:
    """Return why a run cannot be sampled with these settings, or ""."""
    if not run.model.is_autoregressive:
        return f"{options.run} predicts mel bands: expected a run whose decoder is a WaveNet"
    mel = run.model.decoder.get_mel_decoder()
    if mel is None and (options.contrast or options.match_bands or options.postfilter):
        return f"{options.run} has no linear prediction: give --temperature or --pitch-postfilter"
    if any(options.match_bands or []) and run.model.hop_length >= mel.spectrum.window_length:
        return f"{options.run} has frames as long as a window: its bands cannot be matched"
    limits = (
        ("--postfilter", options.postfilter, 0.99),
        ("--contrast", options.contrast, 2.0),
        ("--match-bands", options.match_bands, 1.0),
        ("--pitch-postfilter", options.pitch_postfilter, 1.0),
    )
    for name, values, most in limits:
        if any(not 0.0 <= value <= most for value in values or []):
            return f"{name} {values}: expected 0 to {most:g}"
    return ""


def main() -> None:
    """Print the table, one line for each choice as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run")
    parser.add_argument("--data")
    parser.add_argument("--sentences", type=int, default=14)
    for name in ("--postfilter", "--contrast", "--match-bands", "--pitch-postfilter"):
        parser.add_argument(name, type=float, nargs="+")
    parser.add_argument("--temperature", type=temperature_of, nargs="+", default=[1.0])
    options = parser.parse_args()
    try:
        run = vq.load_run(options.run)
        if why := refusal(run, options):
            parser.error(why)
    except vq.InputError as error:
        parser.error(str(error))
    store = store_of(run, options.data, True)
    numbers = select_utterances(run, store, "train", options.sentences)
    utterances = [store.corpus.utterances[number] for number in numbers]
    waves = [store.waveform(number) for number in numbers]
    expected = [text_to_phones(utterance.text) for utterance in utterances]
    names = list(run.speakers)
    following = dict(zip(names, names[1:] + names[:1], strict=True))
    voices = [[utterance.speaker, following[utterance.speaker]] for utterance in utterances]
    decoder = run.model.decoder
    codec, mel = decoder.codec, decoder.get_mel_decoder()
    choices = itertools.product(
        options.postfilter or [codec.postfilter],
        options.contrast or [mel.contrast if mel else 0.0],
        options.match_bands or [decoder.match_bands],
        options.pitch_postfilter or [decoder.pitch_postfilter],
        options.temperature,
    )
    print(f"| {' | '.join(HEAD)} |\n|{' ---: |' * len(HEAD)}")
    for codec.postfilter, contrast, decoder.match_bands, decoder.pitch_postfilter, heat in choices:
        if mel:
            mel.contrast = contrast
        made = convert_many(run.model, waves, voices, temperature=heat)
        values = (codec.postfilter, contrast, decoder.match_bands, decoder.pitch_postfilter)
        cells = [f"{x:g}" for x in values]
        cells.append(str(heat).removesuffix(".0"))
        for sounds in zip(*made, strict=True):
            cells += measures(sounds, waves, expected)
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
