"""`vqwn run`: a corpus -> a trained run with its voices, figures, projector files and report.

Each stage leaves its result in the run folder, so that a stopped pipeline resumes there.
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
from keras import ops

from vqwn_kit import plots
from vqwn_kit.data import audio
from vqwn_kit.data.corpus import Corpus, example_corpus
from vqwn_kit.data.store import Store, prepare
from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.metrics.codes import code_counts
from vqwn_kit.files import file_name, project_root, replacing, results
from vqwn_kit.presets.preset import Preset, load_preset
from vqwn_kit.projector.export import export_projector
from vqwn_kit.runs.run import Run, run_name
from vqwn_kit.sampling.generate import convert_many
from vqwn_kit.training.tensorboard import scalar_log
from vqwn_kit.training.train import as_source, default_save, resume_run, start_run
from vqwn_kit.training.trainer import Trainer
from vqwn_kit.training.validate import validate
from vqwn_kit.workbench.report import write_report

MOST_VOICES = 8  # that each utterance is converted to


def run_pipeline(
    corpus: Corpus | None = None,
    preset: str | Path | Preset = "mini",
    *,
    fresh: bool = False,
    minutes: float | None = 4.0,
    progress: bool = True,
    **changes,
) -> Run:
    """Train, synthesise, draw, export and report; return the run.

    Args:
        corpus: the bundled one by default.
        preset: see `load_preset`.
        fresh: start a new run even where a run with the same choices exists.
        minutes: end the training after this time even if steps are left.
        progress: show progress bars with the time left.
        **changes: training settings to exchange.

    Raises:
        InputError: see `load_preset` and `prepare`.
        KeyboardInterrupt: after Ctrl-C; the same call resumes from what was saved.
    """
    corpus = corpus or example_corpus()
    chosen = load_preset(preset).change(**changes)
    if chosen.training.first_stage_steps:
        raise InputError(
            "this pipeline trains in one stage, and the preset has first_stage_steps: train it "
            "with `vqwn train`"
        )
    print(f"{corpus.name}: {len(corpus)} utterances of {len(corpus.speakers)} speakers", flush=True)
    print(f"layout {corpus.layout!r}: {corpus.reason}", flush=True)
    seconds: dict[str, float] = {}
    with _timed(seconds, "prepare"):
        store = prepare(corpus, progress=progress)
    for key, reason in store.skipped.items():
        print(f"skipped {key}: {reason}")
    folder = None if fresh else _same_choices(chosen, store)
    if folder is not None and _noted(folder).get("reported_step") == Run(folder).newest:
        print(f"{folder.name} is finished; start a new run with --fresh (FRESH=1).", flush=True)
        _print_results(folder)
        return Run(folder)
    trainer = _trainer(chosen, store, folder, seconds, progress)
    folder = trainer.run.folder
    left = None if minutes is None else max(0.0, minutes - trainer.seconds / 60.0)
    trainer.fit(left, [scalar_log(folder / "logs")], progress=progress)
    seconds = _noted(folder)["seconds"] | {"train": trainer.seconds}
    _note(folder, {"seconds": seconds, "samples_trained": trainer.samples})
    _report(Run(folder), store, seconds, progress)
    _print_results(folder)
    return Run(folder)


def _trainer(preset: Preset, store: Store, folder: Path | None, seconds: dict, progress) -> Trainer:
    """Return the trainer of a new run, or of the run in a folder from its last checkpoint."""
    if folder is not None:
        trainer = resume_run(store, folder)
        print(f"resuming {folder.name} from step {trainer.step}", flush=True)
        return trainer
    source = as_source(store, preset)
    trainer = start_run(source, preset, default_save(source, preset))
    print(f"training {trainer.run.folder.name}", flush=True)
    before = validate(trainer.model, store, progress=progress)
    choices = {"preset": preset.to_dict(), "store": store.identity}
    _note(trainer.run.folder, {**choices, "before": before, "seconds": seconds})
    return trainer


def _report(run: Run, store: Store, seconds: dict, progress: bool) -> None:
    """Evaluate, synthesise, draw, export, and write the report."""
    folder = run.folder
    with _timed(seconds, "evaluate"):
        _note(folder, {"after": validate(run.model, store, progress=progress)})
    with _timed(seconds, "generate"):
        tracks = _synthesise(run, store, progress)
    print("drawing maps and figures, about half a minute", flush=True)
    with _timed(seconds, "draw"):
        _draw(run, tracks, _code_use(run, store))
        export_projector(run, folder / "embeddings", store, train=0, progress=progress)
    _note(folder, _summary(run, _noted(folder) | {"tracks": tracks, "seconds": seconds}))
    reference = project_root() / "results" / run.config["corpus"]  # shipped
    write_report(folder, reference if (reference / "score_card.json").is_file() else None)
    _note(folder, {"reported_step": run.newest})


def _same_choices(preset: Preset, store: Store) -> Path | None:
    """Return the newest run folder of this preset and store that has a checkpoint."""
    pattern = re.escape(run_name(preset, store.corpus.name, "")) + r"\d{8}-\d{4}(-\d+)?"
    choices = json.loads(json.dumps({"preset": preset.to_dict(), "store": store.identity}))
    for folder in sorted(results().glob("*"), reverse=True):
        noted = _noted(folder) if re.fullmatch(pattern, folder.name) else {}
        if choices.items() <= noted.items() and Run(folder).steps:
            return folder
    return None


@contextmanager
def _timed(seconds: dict[str, float], stage: str):
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start


def _noted(folder: Path) -> dict:
    """Return the content of `summary.json` so far."""
    file = folder / "summary.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _note(folder: Path, facts: dict) -> None:
    """Add facts to `summary.json`."""
    content = json.dumps(_noted(folder) | facts, indent=1)
    with replacing(folder / "summary.json") as scratch:
        scratch.write_text(content, encoding="utf-8")


def _evaluated(store: Store) -> np.ndarray:
    """Return the numbers of the held-out utterances; of all, where none is held out."""
    held_out = store.numbers("held_out")
    return held_out if len(held_out) else store.numbers("train")


def _two_utterances(store: Store) -> list[int]:
    """Choose two utterances of different speakers, sexes (where known) and texts."""
    corpus, numbers = store.corpus, _evaluated(store)
    first = corpus.utterances[numbers[0]]

    def difference(number: int) -> tuple:
        other = corpus.utterances[number]
        sexes = {corpus.speakers[u.speaker].get("sex") for u in (first, other)}
        return (len(sexes), first.speaker != other.speaker, first.text != other.text)

    return list(dict.fromkeys([numbers[0], max(numbers, key=difference)]))


def _synthesise(run: Run, store: Store, progress: bool) -> list[dict]:
    """Reconstruct two utterances and convert each to the other voices, as one batch."""
    numbers = _two_utterances(store)
    utterances = [store.corpus.utterances[number] for number in numbers]
    waves = [store.waveform(number) for number in numbers]
    voices = []
    for utterance in utterances:
        others = [name for name in run.speakers if name != utterance.speaker]
        voices.append([utterance.speaker, *others[: MOST_VOICES - 1]])
    start = time.perf_counter()
    convert_many(run.model, [waves[0][:1]], [[None]])  # compiles the sampler on its first use
    compiled = time.perf_counter()
    converted = convert_many(run.model, waves, voices, progress=progress)
    took = {"compiling_seconds": compiled - start}
    took["sampling_seconds"] = time.perf_counter() - compiled
    _note(run.folder, {**took, "samples_generated": sum(part.size for part in converted)})
    tracks = []
    for utterance, wave, names, sounds in zip(utterances, waves, voices, converted, strict=True):
        labels = [f"original ({utterance.speaker})", f"reconstruction ({utterance.speaker})"]
        labels += [f"as {name}" for name in names[1:]]
        for label, sound in zip(labels, [wave, *sounds], strict=True):
            file = f"audio/{len(tracks) + 1:02d}_{file_name(f'{utterance.key} {label}')}.wav"
            audio.save_audio(run.folder / file, sound)
            about = {"utterance": utterance.key, "text": utterance.text, "split": utterance.split}
            tracks.append({**about, "label": label, "file": file})
    return tracks


def _code_use(run: Run, store: Store) -> np.ndarray | None:
    """Return how often each code occurs in held-out speech, int64 (K,); None without codes."""
    size = run.model.bottleneck.num_embeddings
    if not size:
        return None
    codes = [run.model.encode(store.waveform(number)).ravel() for number in _evaluated(store)]
    return code_counts(np.concatenate(codes), size)


def _draw(run: Run, tracks: Sequence[dict], counts: np.ndarray | None) -> None:
    from matplotlib.figure import Figure

    def axes():
        return Figure(figsize=(6.5, 4.0), layout="constrained").add_subplot()

    vectors = run.model.decoder.speakers.numpy()
    drawn = {
        "loss": plots.plot_history(run.history, ax=axes()),
        "speakers": plots.plot_speakers(vectors, run.speakers, ax=axes()),
    }
    if counts is not None:
        codebook = ops.convert_to_numpy(run.model.bottleneck.vectors())
        drawn["code_history"] = plots.plot_code_history(run.history, len(codebook), ax=axes())
        drawn["code_use"] = plots.plot_code_usage(counts, ax=axes())
        for method in ("pca", "umap"):
            drawn[f"codebook_{method}"] = plots.plot_codebook(codebook, counts, method, ax=axes())
    figures = {name: ax.figure for name, ax in drawn.items()}
    for number, key in enumerate(dict.fromkeys(track["utterance"] for track in tracks), 1):
        three = [track for track in tracks if track["utterance"] == key][:3]
        sounds = {track["label"]: audio.load_audio(run.folder / track["file"]) for track in three}
        figures[f"spectrograms_{number}"] = plots.plot_spectrograms(sounds, figure=Figure())
    for name, figure in figures.items():
        with replacing(run.folder / "figures" / f"{name}.png") as scratch:
            figure.savefig(scratch, dpi=110)


def _summary(run: Run, noted: dict) -> dict:
    """Return what the report shows, with the measures as text."""
    model, seconds = run.model, noted["seconds"]
    before, after, samples = noted["before"], noted["after"], noted["samples_trained"]
    rate = audio.SAMPLE_RATE / model.hop_length
    speed = noted["samples_generated"] / noted["sampling_seconds"]
    measures = _install_time()
    measures |= {f"time to {stage}": f"{seconds[stage]:.0f} s" for stage in seconds}
    measures |= {
        "peak memory": f"{_peak_gib():.2f} GiB",
        "training": f"{run.newest} steps, {samples / 1e6:.2f} million samples",
        "training speed": f"{samples / max(1e-9, seconds['train']):,.0f} samples/s, compilation, "
        "validation and checkpoints included",
        "generation speed": f"{speed:,.0f} samples/s in all, {speed / audio.SAMPLE_RATE:.1f} x real"
        f" time, after {noted['compiling_seconds']:.0f} s to compile on first use",
        "parameters": f"{model.count_params():,}",
        "bits per sample, held out": _change(before, after, "bits", ".2f"),
    }
    size = model.bottleneck.num_embeddings
    if size:
        measures[f"codes in use of {size}, held out"] = _change(before, after, "codes_used", ".0f")
        measures["perplexity of the codes"] = _change(before, after, "perplexity", ".0f")
    return {
        "run": run.folder.name,
        "seconds": seconds,
        "tracks": noted["tracks"],
        "train_minutes": seconds["train"] / 60.0,
        "codes_per_second": rate,
        "bits_per_second": rate * model.bits_per_code if size else None,
        "measures": measures,
    }


def _install_time() -> dict[str, str]:
    """Return how long `make` took to install, where it did."""
    mark = Path(sys.prefix) / "install-seconds"
    seconds = mark.read_text().strip() if mark.is_file() else ""
    return {"time to install": f"{float(seconds):.0f} s"} if seconds else {}


def _change(before: dict, after: dict, name: str, form: str) -> str:
    if name not in after:
        return "nothing is held out"
    return f"{before[name]:{form}} before training, {after[name]:{form}} after"


def _peak_gib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20


def _print_results(folder: Path) -> None:
    summary = _noted(folder)
    for name, value in summary["measures"].items():
        print(f"  {name:30} {value}")
    count = len(summary["tracks"])
    print(f"Made {count} sounds, figures and embeddings; open {folder / 'report.html'}")
    print("Next: `make lab` opens the workbench in JupyterLab.", flush=True)
