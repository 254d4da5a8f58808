"""Compare postfilters and temperatures of a run: a table of phone errors and DNSMOS.

Usage: python scripts/choose_sampling.py RUN [--data FOLDER] [--sentences 14]
           [--postfilter 0 0.8 0.9 0.95 0.98] [--temperature 1]

Reconstructs training sentences, evenly spread; the held-out ones are for the score card. Needs the
extra `eval`.
"""

import argparse
import itertools

import numpy as np

import vqwn_kit as vq
from vqwn_kit.evaluation.context import select_utterances
from vqwn_kit.evaluation.external import dnsmos, recognise_phones, text_to_phones
from vqwn_kit.evaluation.metrics import edit_distance
from vqwn_kit.runs.corpus_of import store_of
from vqwn_kit.sampling.generate import convert_many


def main() -> None:
    """Print the table, one line for each pair as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run")
    parser.add_argument("--data")
    parser.add_argument("--sentences", type=int, default=14)
    parser.add_argument("--postfilter", type=float, nargs="+", default=[0.0, 0.8, 0.9, 0.95, 0.98])
    parser.add_argument("--temperature", type=float, nargs="+", default=[1.0])
    options = parser.parse_args()
    run = vq.load_run(options.run)
    store = store_of(run, options.data, True)
    numbers = select_utterances(run, store, "train", options.sentences)
    utterances = [store.corpus.utterances[number] for number in numbers]
    waves = [store.waveform(number) for number in numbers]
    expected = [text_to_phones(utterance.text) for utterance in utterances]
    codec = run.model.decoder.codec
    postfilters = options.postfilter if codec.lpc_order else [0.0]
    print("| postfilter, temperature | phone error | DNSMOS |\n| --- | ---: | ---: |")
    for postfilter, temperature in itertools.product(postfilters, options.temperature):
        codec.postfilter = postfilter
        voices = [[utterance.speaker] for utterance in utterances]
        sounds = [s[0] for s in convert_many(run.model, waves, voices, temperature=temperature)]
        pairs = zip(expected, map(recognise_phones, sounds), strict=True)
        error = sum(itertools.starmap(edit_distance, pairs)) / sum(map(len, expected))
        mos = np.mean([dnsmos(sound) for sound in sounds])
        print(f"| {postfilter:g}, {temperature:g} | {error:.2f} | {mos:.2f} |", flush=True)


if __name__ == "__main__":
    main()
