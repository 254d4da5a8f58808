"""What a newcomer's `vqwn run` gives: its measures for several presets and seeds."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.metrics.codes import perplexity
from vqwn_kit.evaluation.metrics.intervals import ratio
from vqwn_kit.evaluation.metrics.tables import markdown_table
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.files import replacing
from vqwn_kit.workbench.summary import noted

JUDGED = 30  # held-out utterances: of the bundled corpus all sentences, and five by each voice
ROWS = {  # measure: row of the score card, format
    "phone error, reconstructions": ("phone error, reconstruction", ".2f"),
    "phone error, conversions": ("phone error, conversion", ".2f"),
    "DNSMOS P.808, reconstructions": ("DNSMOS P.808, reconstruction", ".2f"),
    "classified as the target (%)": ("speaker-probe accuracy, conversion", ".0f"),
    "nearest the target, independent embedding (%)": (
        "conversion nearest the target, independent embedding",
        ".0f",
    ),
}
OTHERS = {  # measure: format
    "codes in use": ".0f",
    "perplexity": ".0f",
    "phone error, codes only": ".2f",
    "training (s)": ".0f",
    "steps, first stage": ".0f",
    "steps, decoder": ".0f",
    "whole run, with 30 sentences judged (s)": ".0f",
    "peak memory (GiB)": ".2f",
}


def bench_first_run(
    presets: Sequence[str] = ("mini",),
    seeds: int = 3,
    minutes: float = 4.0,
    data: str | None = None,
    file: Path | None = None,
) -> list[dict]:
    """Return the measures of `vqwn run`, one dict per preset and seed.

    Each run is a process of its own, in a scratch folder. Other work beside it takes steps from the
    training, which ends by its time.

    Args:
        presets: names of presets.
        seeds: how many, from 0 on.
        minutes: of training.
        data: a corpus; the bundled one by default.
        file: JSON, written after each run with a table in Markdown beside it; runs that it has
            already are not made again.
    """
    rows = json.loads(file.read_text(encoding="utf-8")) if file and file.is_file() else []
    known = {(row["preset"], row["seed"]) for row in rows}
    for seed in range(seeds):
        for preset in presets:
            if (preset, seed) in known:
                continue
            with tempfile.TemporaryDirectory() as scratch:
                row = _first_run(Path(scratch), preset, seed, minutes, data)
            rows.append({"preset": preset, "seed": seed, **row})
            print(json.dumps(rows[-1]), flush=True)
            if file:
                with replacing(file) as new:
                    new.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
                with replacing(file.with_suffix(".md")) as new:
                    new.write_text(f"{first_run_table(rows)}\n", encoding="utf-8")
    return rows


def _first_run(scratch: Path, preset: str, seed: int, minutes: float, data: str | None) -> dict:
    options = {"--preset": preset, "--seed": seed, "--minutes": minutes, "--judged": JUDGED}
    options |= {"--data": data} if data else {}
    words = [str(word) for pair in options.items() for word in pair]
    command = [sys.executable, "-m", "vqwn_kit", "run", "--fresh", *words]
    start = time.perf_counter()
    with (scratch / "log").open("w") as log:
        environment = os.environ | {"VQWN_RESULTS": str(scratch / "results")}
        done = subprocess.run(command, env=environment, stdout=log, stderr=log)
    took = time.perf_counter() - start
    if done.returncode:
        end = (scratch / "log").read_text(errors="replace")[-1000:]
        raise InputError(f"vqwn run --preset {preset} --seed {seed} ended with an error: ...{end}")
    (folder,) = (scratch / "results").iterdir()
    known, values = noted(folder), {row.name: row.value for row in ScoreCard.load(folder).rows}
    measures = {measure: values[name] for measure, (name, _) in ROWS.items() if name in values}
    stages, counts = known["stages"], np.array(known.get("code_counts", []))
    steps = {"steps, decoder": stages[-1]["step"]}
    if len(stages) > 1:
        steps["steps, first stage"] = stages[0]["step"]
        measures["phone error, codes only"] = known["first_stage_phone_error"]
    if counts.size:
        measures |= {"codes in use": int((counts > 0).sum()), "perplexity": perplexity(counts)}
    cost = {"training (s)": sum(stage["seconds"] for stage in stages)}
    cost["whole run, with 30 sentences judged (s)"] = took
    return measures | steps | cost | {"peak memory (GiB)": known["peak_gib"]}


def first_run_table(rows: Sequence[dict]) -> str:
    """Return a table in Markdown: for each preset the mean over the seeds, least and greatest."""
    presets = list(dict.fromkeys(row["preset"] for row in rows))
    lines = []
    for measure, style in {**{m: f for m, (_, f) in ROWS.items()}, **OTHERS}.items():
        cells = []
        for preset in presets:
            values = [row.get(measure) for row in rows if row["preset"] == preset]
            values = [value for value in values if value is not None]
            ends = f" ({min(values):{style}} to {max(values):{style}})" if values else ""
            cells.append(f"{ratio(values).value:{style}}{ends}" if values else "-")
        lines.append([measure, *cells])
    counts = [len([row for row in rows if row["preset"] == preset]) for preset in presets]
    heads = [f"`{name}`, {n} seed{'s' * (n > 1)}" for name, n in zip(presets, counts, strict=True)]
    return markdown_table(["measure", *heads], lines, "l" + "r" * len(presets))
