"""Excerpts of VCTK and LibriSpeech -> one corpus, a table of their files: data/vctk-libri.

Usage: python scripts/make_vctk_libri.py FOLDER ... [--speakers p239 --save data/p239]

Each folder is an excerpt of VCTK 0.80, VCTK 0.92 or LibriSpeech. No sound is copied: the table
has the paths of the files. `results/vctk-libri` was trained on it. Held out are the last two
utterances of each speaker; of p239, who has many, the numbers 241 to 260.
"""

import argparse
import csv
import os
from collections import defaultdict
from pathlib import Path

import vqwn_kit as vq
from vqwn_kit.data.scan import FACTS, Utterance
from vqwn_kit.files import replacing

DATA = Path(__file__).parents[1] / "data"
MANY = {"p239": range(241, 261)}


def held_out(utterances: list[Utterance]) -> set[str]:
    """Return the keys of the held-out utterances of one speaker."""
    numbers = MANY.get(utterances[0].speaker)
    if numbers is None:
        return {utterance.key for utterance in utterances[-2:]}
    return {u.key for u in utterances if int(u.key.split("_")[1]) in numbers}


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", metavar="FOLDER")
    parser.add_argument("--save", default=DATA / "vctk-libri", type=Path, metavar="FOLDER")
    parser.add_argument("--speakers", nargs="+", metavar="NAME", help="these alone")
    options = parser.parse_args()
    by_speaker, facts = defaultdict(list), {}
    for folder in options.folders:
        corpus = vq.open_corpus(folder)
        facts |= corpus.speakers
        for utterance in corpus:
            by_speaker[utterance.speaker].append(utterance)
    rows = []
    for speaker, utterances in sorted(by_speaker.items()):
        if options.speakers and speaker not in options.speakers:
            continue
        utterances.sort(key=lambda utterance: utterance.key)
        keys = held_out(utterances)
        for utterance in utterances:
            row = {"path": os.path.relpath(utterance.path, options.save)}
            row |= {"utterance": utterance.key, "speaker": speaker, "text": utterance.text}
            row["split"] = "held_out" if utterance.key in keys else "train"
            rows.append(row | {fact: facts[speaker].get(fact, "") for fact in FACTS})
    with replacing(options.save / "utterances.tsv") as scratch:
        with scratch.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]), delimiter="\t", lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
    count = sum(row["split"] == "held_out" for row in rows)
    speakers = {row["speaker"] for row in rows}
    print(f"{options.save}: {len(rows)} utterances of {len(speakers)} speakers, {count} held out")


if __name__ == "__main__":
    main()
