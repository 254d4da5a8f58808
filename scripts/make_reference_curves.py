"""Make the curves that the doctor compares runs with: vqwn_kit/evaluation/reference_curves.json.

    python scripts/make_reference_curves.py RUN [RUN ...]

Each RUN is a run folder with a history.jsonl; its `first_stage` is read too. Runs of the same
preset, parts and corpus make one band. Where a run has a score_card.json, its phone error is kept.
Entries of others that are in the file stay. The shipped file is made of `results/mini`,
`results/vctk-libri`, and runs of

    vqwn train mini --preset mini --minutes 4 --seed 0 --save runs/mini-0/weights   # and 1, 2
    vqwn train mini --preset paper --minutes 4 --save runs/paper/weights

The phone errors of `results/first-run/runs.json`, trainings of presets on `mini`, are added.
"""

import argparse
import json
from itertools import groupby
from pathlib import Path

import numpy as np

from vqwn_kit.evaluation.findings import series
from vqwn_kit.evaluation.reference_curves import (
    FILE,
    MEASURES,
    band_of,
    compared_parts,
    noise_of,
)
from vqwn_kit.files import project_root, replacing
from vqwn_kit.runs.run import Run

SEEDS = "results/first-run/runs.json"


def main() -> None:
    """Read the runs and write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="RUN")
    folders = [Path(name) for name in parser.parse_args().runs]
    paths = [path for folder in folders for path in (folder, folder / "first_stage")]
    runs = [Run(path) for path in paths if (path / "history.jsonl").is_file()]
    made = [entry_of(list(group)) for _, group in groupby(sorted(runs, key=key_of), key=key_of)]
    old = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else []
    same = ("preset", "corpus", "parts")
    new = [[entry[name] for name in same] for entry in made]
    entries = [entry for entry in old if [entry[name] for name in same] not in new] + made
    entries.sort(key=lambda e: (e["preset"], e["corpus"], e["source"]))
    with replacing(FILE) as scratch:
        text = ",\n".join(json.dumps(entry) for entry in entries)
        scratch.write_text(f"[\n{text}\n]\n", encoding="utf-8")
    for entry in entries:
        curves = ", ".join(f"{name} ({len(c['steps'])})" for name, c in entry["curves"].items())
        print(f"{entry['preset']:10} {entry['corpus']:10} {entry['source']:30} {curves}")


def key_of(run: Run) -> tuple[str, str, str]:
    """Return what runs of one band have in common."""
    parts = json.dumps(compared_parts(run.preset), sort_keys=True)
    return run.preset.name, run.config["corpus"], parts


def entry_of(runs: list[Run]) -> dict:
    """Return the reference of runs of one band, as it stands in the file."""
    (preset, corpus, _), first = key_of(runs[0]), runs[0].history
    loss = "mel/mse" if any("mel/mse" in record for record in first) else "bits"
    noise = float(np.median([noise_of(series(run.history, loss)[1]) for run in runs]))
    curves = {}
    for name in MEASURES:
        pairs = [pair for run in runs if len((pair := series(run.history, name))[1])]
        if pairs:
            band = band_of(pairs, noise if name.startswith("held_out") else None)
            size = first[-1]["vq/codes_used"] + first[-1]["vq/codes_dead"]
            high = np.minimum(band.high, size) if name.startswith("vq/") else band.high
            low, high = ([float(f"{x:.4g}") for x in limit] for limit in (band.low, high))
            curves[name] = {"steps": band.steps.astype(int).tolist(), "low": low, "high": high}
    own = "first_stage"  # of a run, whose name is that of the folder above it
    names = [Path(*r.folder.parts[-3 if r.folder.name == own else -2 :]).as_posix() for r in runs]
    few = first[:: len(first) // 8 or 1]
    errors = [point for run in runs for point in phone_error_of(run)]
    seeds = project_root() / SEEDS
    if loss == "bits" and corpus == "mini" and seeds.is_file():
        errors += [
            [row["steps, decoder"], round(row["phone error, reconstructions"], 3)]
            for row in json.loads(seeds.read_text("utf-8"))
            if row["preset"] == preset
        ]
    return {
        "preset": preset,
        "corpus": corpus,
        "parts": compared_parts(runs[0].preset),
        "runs": len(runs),
        "source": ", ".join(names),
        "minutes": [[r["step"], round(r["seconds"] / 60, 2)] for r in few],
        "phone_error": errors,
        "curves": curves,
    }


def phone_error_of(run: Run) -> list:
    """Return step and phone error of the reconstructions of a run, where it has a score card."""
    file = run.folder / "score_card.json"
    if not file.is_file():
        return []
    card = json.loads(file.read_text(encoding="utf-8"))
    errors = [r["value"] for r in card["rows"] if r["name"] == "phone error, reconstruction"]
    return [[card["about"]["step"], round(error, 3)] for error in errors]


if __name__ == "__main__":
    main()
