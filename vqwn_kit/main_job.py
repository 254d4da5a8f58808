"""The main job: a corpus -> a trained run, its voices, figures, projector files and report.

Each stage leaves its result in the run folder, so that a stopped job goes on where it was.
"""

import json
import re
import resource
import sys
import time
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from vqwn_kit import audio, views
from vqwn_kit.config import Preset, load_preset
from vqwn_kit.corpus import Corpus, example_corpus, results
from vqwn_kit.evaluation import code_counts
from vqwn_kit.generation import convert_many
from vqwn_kit.projector import export_projector
from vqwn_kit.report import write_report
from vqwn_kit.run import Run, replacing, run_name
from vqwn_kit.store import Store, prepare
from vqwn_kit.training import Trainer, validate

MOST_VOICES = 8  # that each utterance is spoken in
TEMPERATURE = 0.8


def main_job(
    corpus: Corpus | None = None,
    preset: str | Path | Preset = "mini",
    *,
    fresh: bool = False,
    minutes: float | None = 4.0,
    progress: bool = True,
    **changes,
) -> Run:
    """Train, speak, draw, export and report; return the run.

    Args:
        corpus: the bundled one by default.
        preset: see `load_preset`.
        fresh: train anew even where a run with the same choices is there.
        minutes: end the training after this time even if steps are left.
        progress: show progress bars with the time left.
        **changes: training settings to exchange.
    """
    corpus = corpus or example_corpus()
    chosen = load_preset(preset).change(**changes)
    folder = None if fresh else _same_choices(chosen, corpus)
    if folder is not None and (folder / "report.html").is_file():
        print(f"{folder.name} is finished; train anew with FRESH=1 (or --fresh).", flush=True)
        _say_the_end(folder)
        return Run(folder)
    seconds: dict[str, float] = {}
    with _timed(seconds, "prepare"):
        store = prepare(corpus, progress=progress)
        for key, reason in store.skipped.items():
            print(f"skipped {key}: {reason}")
    if folder is None:
        trainer = Trainer.fresh(store, chosen, progress=progress)
        print(f"training {trainer.run.folder.name}", flush=True)
        before = validate(trainer.model, store)
        _note(trainer.run.folder, {"before": before, "seconds": seconds})
    else:
        trainer = Trainer.restored(store, folder, progress=progress)
        print(f"going on with {folder.name} from step {trainer.step}", flush=True)
    run = trainer.run
    trainer.fit(minutes, run.folder / "logs", progress=progress)
    seconds["train"] = trainer.seconds
    with _timed(seconds, "evaluate"):
        after = validate(run.model, store)
    with _timed(seconds, "generate"):
        tracks = _speak(run, store, progress)
    with _timed(seconds, "draw"):
        print("drawing the figures", flush=True)
        counts = _held_out_counts(run, store)
        _draw(run, store, tracks, counts)
        export_projector(run, run.folder / "embeddings", counts)
    _note(run.folder, _summary(run, after, tracks, seconds))
    _write_report(run)
    _say_the_end(run.folder)
    return run


def _same_choices(preset: Preset, corpus: Corpus) -> Path | None:
    """Return the newest run folder of this preset and corpus that got as far as a checkpoint."""
    pattern = re.escape(run_name(preset, corpus, "")) + r"\d{8}-\d{4}(-\d+)?"
    for folder in sorted(results().glob("*"), reverse=True):
        if re.fullmatch(pattern, folder.name) and (folder / "summary.json").is_file():
            run = Run(folder)
            if run.steps and run.preset == preset:
                return folder
    return None


@contextmanager
def _timed(seconds: dict[str, float], stage: str):
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start


def _note(folder: Path, facts: dict) -> dict:
    """Add facts to `summary.json`, and return all of it."""
    file = folder / "summary.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    known |= facts
    with replacing(file) as scratch:
        scratch.write_text(json.dumps(known, indent=1), encoding="utf-8")
    return known


def _two_utterances(store: Store) -> list[int]:
    """Choose two held-out utterances: other speakers, of both sexes where known, other texts."""
    members = store.numbers("held_out")
    if not len(members):
        members = store.numbers("train")
    corpus = store.corpus
    first = members[0]

    def difference(number: int) -> tuple:
        one, other = corpus.utterances[first], corpus.utterances[number]
        sexes = {corpus.speakers[u.speaker].get("sex") for u in (one, other)}
        return (len(sexes), one.speaker != other.speaker, one.text != other.text)

    return [first, max(members, key=difference)]


def _speak(run: Run, store: Store, progress: bool) -> list[dict]:
    """Reconstruct two utterances and convert each to the other voices, as one batch."""
    numbers = _two_utterances(store)
    utterances = [store.corpus.utterances[number] for number in numbers]
    waves = [store.waveform(number) for number in numbers]
    everyone = list(run.speakers)
    others = [[name for name in everyone if name != u.speaker] for u in utterances]
    voices = [
        [u.speaker, *names[: MOST_VOICES - 1]] for u, names in zip(utterances, others, strict=True)
    ]
    start = time.perf_counter()
    spoken = convert_many(run.model, waves, voices, temperature=TEMPERATURE, progress=progress)
    samples = sum(part.size for part in spoken)
    took = time.perf_counter() - start
    _note(run.folder, {"samples_spoken": samples, "speaking_seconds": took})
    tracks = []
    for utterance, wave, names, sounds in zip(utterances, waves, voices, spoken, strict=True):
        labels = [f"original ({utterance.speaker})", f"reconstruction ({utterance.speaker})"]
        labels += [f"as {name}" for name in names[1:]]
        for label, sound in zip(labels, [wave, *sounds], strict=True):
            file = f"audio/{utterance.key}_{label.replace(' ', '_').strip('()')}.wav"
            file = re.sub(r"[()]", "", file.replace("/", "_").replace("audio_", "audio/", 1))
            audio.save(run.folder / file, sound)
            tracks.append(
                {"utterance": utterance.key, "text": utterance.text, "label": label, "file": file}
            )
    return tracks


def _held_out_counts(run: Run, store: Store) -> np.ndarray | None:
    size = run.model.bottleneck.num_embeddings
    if not size:
        return None
    members = store.numbers("held_out")
    codes = [run.model.encode(store.waveform(number)).ravel() for number in members]
    return code_counts(np.concatenate(codes) if codes else np.zeros(0, int), size)


def _draw(run: Run, store: Store, tracks: Sequence[dict], counts: np.ndarray | None) -> None:
    from matplotlib import pyplot as plt

    folder = run.folder / "figures"
    folder.mkdir(exist_ok=True)
    vectors = run.model.decoder.speakers.numpy()
    figures = {
        "loss": views.plot_history(run.history).figure,
        "speakers": views.plot_speakers(vectors, run.speakers).figure,
    }
    if counts is not None:
        codebook = run.model.bottleneck.codebook.numpy()
        figures["code_history"] = views.plot_code_history(run.history, len(codebook)).figure
        figures["code_use"] = views.plot_code_use(counts).figure
        for method in ("pca", "umap"):
            ax = views.plot_codebook(codebook, counts, method)
            figures[f"codebook_{method}"] = ax.figure
    keys = dict.fromkeys(track["utterance"] for track in tracks)
    for number, key in enumerate(keys, 1):
        three = [track for track in tracks if track["utterance"] == key][:3]
        sounds = {track["label"]: audio.load(run.folder / track["file"]) for track in three}
        figures[f"spectrograms_{number}"] = views.plot_spectrograms(sounds)
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=110)
        plt.close(figure)


def _summary(run: Run, after: dict, tracks: list[dict], seconds: dict[str, float]) -> dict:
    """Return what the report shows; the measures in words, for people."""
    known = json.loads((run.folder / "summary.json").read_text(encoding="utf-8"))
    model, history = run.model, run.history
    rate = audio.SAMPLE_RATE / model.hop_length
    seconds = {**known["seconds"], **seconds}
    samples = history[-1]["samples"] if history else 0
    install = Path(sys.prefix) / "install-seconds"
    measures = {}
    if install.is_file():
        measures["installing"] = f"{float(install.read_text()):.0f} s"
    stages = ("prepare", "train", "evaluate", "generate", "draw")
    measures |= {f"time to {stage}": f"{seconds[stage]:.0f} s" for stage in stages}
    spoken = known["samples_spoken"] / known["speaking_seconds"]
    measures |= {
        "peak memory": f"{_peak_gib():.2f} GiB",
        "training speed": f"{samples / max(1e-9, seconds['train']):,.0f} samples/s",
        "training": f"{run.newest} steps, {samples / 1e6:.1f} million samples",
        "generation speed": f"{spoken:,.0f} samples/s in all, {spoken / 16_000:.1f} x real time",
        "parameters": f"{model.count_params():,}",
        "bits a sample, held out": _before_and_after(known["before"], after, "bits", ".2f"),
    }
    size = model.bottleneck.num_embeddings
    if size:
        measures |= {
            f"codes in use of {size}, held out": _before_and_after(
                known["before"], after, "codes_used", ".0f"
            ),
            "perplexity of the codes": _before_and_after(
                known["before"], after, "perplexity", ".0f"
            ),
        }
    return {
        "run": run.folder.name,
        "seconds": seconds,
        "after": after,
        "tracks": tracks,
        "train_minutes": seconds["train"] / 60.0,
        "codes_per_second": rate,
        "bits_per_second": rate * model.bits_per_code if size else 0.0,
        "measures": measures,
    }


def _before_and_after(before: dict, after: dict, name: str, form: str) -> str:
    if name not in after:
        return "nothing is held out"
    return f"{before[name]:{form}} before training, {after[name]:{form}} after"


def _peak_gib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20


def _write_report(run: Run) -> None:
    """Write the report; beside it, the committed reference run where there is one."""
    reference = results() / run.config["corpus"]
    write_report(run.folder, reference if (reference / "summary.json").is_file() else None)


def _say_the_end(folder: Path) -> None:
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    for name, value in summary["measures"].items():
        print(f"  {name:28} {value}")
    print(
        f"Made: {len(summary['tracks'])} sounds, figures and codes; open {folder / 'report.html'}"
    )
    print("Next: `make lab` opens the workbench in JupyterLab.", flush=True)
