"""What the pipeline knows of its run: `summary.json`, the measures of the report, its figures."""

import json
import resource
import sys
from pathlib import Path

import numpy as np

from vqwn_kit import plots
from vqwn_kit.data import audio
from vqwn_kit.evaluation.metrics.codes import mean_perplexity
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.files import read_json, replacing, write_bytes
from vqwn_kit.runs.codes import code_vectors
from vqwn_kit.runs.run import Run

JUDGED = {  # rows of the score card that are printed: name here
    "phone error, original": "phone error, recordings",
    "phone error, reconstruction": "phone error, reconstructions",
    "phone error, conversion": "phone error, conversions",
    "DNSMOS P.808, original": "DNSMOS P.808, recordings",
    "DNSMOS P.808, reconstruction": "DNSMOS P.808, reconstructions",
    "speaker-probe accuracy, conversion": "conversions classified as the target",
    "conversion nearest the target, independent embedding": "conversions nearest the target",
}


SUMMARY = "the summary of a run, as `vqwn run` writes it: delete it, or start a new run (--fresh)"


def noted(folder: Path) -> dict:
    """Return the content of `summary.json` so far.

    Raises:
        InputError: the file is damaged.
    """
    file = folder / "summary.json"
    return read_json(file, SUMMARY) if file.is_file() else {}


def note(folder: Path, facts: dict) -> None:
    """Add facts to `summary.json`."""
    content = json.dumps(noted(folder) | facts, indent=1)
    write_bytes(folder / "summary.json", content.encode())


def facts_of(run: Run) -> dict:
    """Return the facts that the introduction of the report needs."""
    model = run.model
    rate = audio.SAMPLE_RATE / model.hop_length
    bits = rate * model.bits_per_frame if model.bottleneck.num_embeddings else None
    first = not model.is_autoregressive
    codes = rate * max(1, model.bottleneck.num_codebooks)
    pitch = rate * float(np.log2(model.pitch_levels)) if model.pitch_levels else None
    facts = {"codes_per_second": codes, "bits_per_second": bits, "first_stage_only": first}
    return {**facts, "pitch_bits_per_second": pitch}


def measures_of(run: Run, counts: np.ndarray | None) -> dict[str, str]:
    """Return the measures that the terminal and the report show, as text by name.

    Args:
        run: the run, with a `summary.json`.
        counts: how often each code occurs in the evaluated utterances, (Q, K); None without codes.
    """
    known = noted(run.folder)
    measures = _quality(run, known)
    if counts is not None:
        used, size = int((counts > 0).sum()), counts.size
        measures[f"codes in use of {size}"] = f"{used} ({used / size:.0%})"
        measures["perplexity of the codes"] = f"{mean_perplexity(counts):.0f}"
    measures |= _likelihood(run, known) | _cost(run, known)
    return measures


def _quality(run: Run, known: dict) -> dict[str, str]:
    """Return what the score card says of the sounds; the reason where it could not be made."""
    if not (run.folder / "score_card.json").is_file():
        return {"phone error": "not measured: nothing is held out"}
    card, measures = ScoreCard.load(run.folder), {}
    rows = {row.name: row for row in card.rows}
    if known.get("first_stage_phone_error") is not None:
        measures["phone error, codes only"] = f"{known['first_stage_phone_error']:.2f}"
    for name, shown in JUDGED.items():
        if name in rows:
            number, interval, count = rows[name].cells()[1:4]
            measures[shown] = f"{number} ({'; '.join(filter(None, (interval, count)))})"
        elif name in card.skipped:
            measures[shown] = f"not measured: {card.skipped[name]}"
    return measures


def _likelihood(run: Run, known: dict) -> dict[str, str]:
    """Return the bits per sample, and what they can be compared with."""
    if "bits" not in known.get("after", {}):
        return {"bits per sample": "nothing is held out"}
    before, after = (known[time]["bits"] for time in ("before", "after"))
    signal = run.model.decoder.codec.signal
    more = "" if after < before else ": nothing was learned"
    return {
        f"bits per sample of {signal}": f"{before:.2f} before training, {after:.2f} after{more}; "
        "of held-out speech, comparable between runs that model the same signal"
    }


def _cost(run: Run, known: dict) -> dict[str, str]:
    seconds, speed = known["seconds"], known["samples_generated"] / known["sampling_seconds"]
    stages = {f"time of {s['name']}": f"{s['seconds']:.0f} s, {s['end']}" for s in known["stages"]}
    return {
        **_install_time(),
        **stages,
        **{f"time for {stage}": f"{seconds[stage]:.0f} s" for stage in seconds},
        "peak memory": f"{known['peak_gib']:.2f} GiB",
        "generation speed": f"{speed:,.0f} samples/s in all, {speed / audio.SAMPLE_RATE:.1f} x real"
        f" time, after {known['compiling_seconds']:.0f} s to compile on first use",
        "parameters": f"{run.model.count_params():,}",
    }


def _install_time() -> dict[str, str]:
    """Return how long `make` took to install, where it did."""
    mark = Path(sys.prefix) / "install-seconds"
    seconds = mark.read_text().strip() if mark.is_file() else ""
    return {"time to install": f"{float(seconds):.0f} s"} if seconds else {}


def peak_gib() -> float:
    """Return the most memory that this process has had, in GiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20


def draw_figures(run: Run, counts: np.ndarray | None) -> None:
    """Draw the figures of the report into `figures/`; see `measures_of`."""
    from matplotlib.figure import Figure

    def axes():
        return Figure(figsize=(6.5, 4.0), layout="constrained").add_subplot()

    first = run.folder / "first_stage"
    codes_run = Run(first) if (first / "config.json").is_file() else run
    codec = run.model.decoder.codec
    of = {"signal": codec.signal, "lpc": bool(codec.lpc_order)}
    drawn = {
        "loss": plots.plot_history(run.history, ax=axes(), **of),
        "speakers": plots.plot_speakers(run.speaker_embedding(), run.speakers, ax=axes()),
    }
    if codes_run is not run:
        drawn["loss_codes"] = plots.plot_history(codes_run.history, ax=axes())
    if counts is not None:
        codebook, each = code_vectors(run.model.bottleneck), counts.ravel()
        size = len(codebook)
        drawn["code_history"] = plots.plot_code_history(codes_run.history, size, ax=axes())
        drawn["code_use"] = plots.plot_code_usage(counts, ax=axes())
        for method in ("pca", "umap"):
            drawn[f"codebook_{method}"] = plots.plot_codebook(codebook, each, method, ax=axes())
    for name, ax in drawn.items():
        with replacing(run.folder / "figures" / f"{name}.png") as scratch:
            ax.figure.savefig(scratch, dpi=110, format="png")
