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
from vqwn_kit.training.validate import validate
from vqwn_kit.workbench.report import write_report

MOST_VOICES = 8  # that each utterance is spoken in


def run_main_job(
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

    Raises:
        InputError: see `load_preset` and `prepare`.
        KeyboardInterrupt: after Ctrl-C; what was done is saved, and the same call goes on.
    """
    corpus = corpus or example_corpus()
    chosen = load_preset(preset).change(**changes)
    if chosen.training.first_stage_steps:
        raise InputError(
            "the main job trains in one stage, and this preset has first_stage_steps: train it "
            "with `vqwn train`"
        )
    print(f"{corpus.name}: {len(corpus)} utterances of {len(corpus.speakers)} speakers", flush=True)
    print(f"taken for the layout {corpus.layout!r}, since {corpus.reason}", flush=True)
    seconds: dict[str, float] = {}
    with _timed(seconds, "prepare"):
        store = prepare(corpus, progress=progress)
    for key, reason in store.skipped.items():
        print(f"skipped {key}: {reason}")
    folder = None if fresh else _same_choices(chosen, store)
    if folder is not None and _known(folder).get("reported_step") == Run(folder).newest:
        print(f"{folder.name} is finished; train anew with FRESH=1 (or --fresh).", flush=True)
        _say_the_end(folder)
        return Run(folder)
    if folder is None:
        source = as_source(store, chosen)
        trainer = start_run(source, chosen, default_save(source, chosen))
        folder = trainer.run.folder
        print(f"training {folder.name}", flush=True)
        before = validate(trainer.model, store, progress=progress)
        choices = {"preset": chosen.to_dict(), "store": store.identity}
        _note(folder, {**choices, "before": before, "seconds": seconds})
    else:
        trainer = resume_run(store, folder)
        seconds = _known(folder)["seconds"]
        print(f"going on with {folder.name} from step {trainer.step}", flush=True)
    left = None if minutes is None else max(0.0, minutes - trainer.seconds / 60.0)
    trainer.fit(left, [scalar_log(folder / "logs")], progress=progress)
    seconds["train"] = trainer.seconds
    run = Run(folder)
    with _timed(seconds, "evaluate"):
        after = validate(run.model, store, progress=progress)
    _note(folder, {"seconds": seconds, "after": after, "samples_trained": trainer.samples})
    with _timed(seconds, "generate"):
        tracks = _speak(run, store, progress)
    print("drawing the maps and figures, about half a minute", flush=True)
    with _timed(seconds, "draw"):
        counts = _code_use(run, store)
        _draw(run, tracks, counts)
        export_projector(run, folder / "embeddings", store, train=0, progress=progress)
    _note(folder, _summary(run, _known(folder) | {"tracks": tracks, "seconds": seconds}))
    reference = project_root() / "results" / run.config["corpus"]  # shipped
    write_report(folder, reference if (reference / "score_card.json").is_file() else None)
    _note(folder, {"reported_step": run.newest})
    _say_the_end(folder)
    return run


def _same_choices(preset: Preset, store: Store) -> Path | None:
    """Return the newest run folder of this preset and store that got as far as a checkpoint."""
    pattern = re.escape(run_name(preset, store.corpus.name, "")) + r"\d{8}-\d{4}(-\d+)?"
    choices = {"preset": preset.to_dict(), "store": store.identity}
    choices = json.loads(json.dumps(choices))
    for folder in sorted(results().glob("*"), reverse=True):
        known = _known(folder) if re.fullmatch(pattern, folder.name) else {}
        if choices.items() <= known.items() and Run(folder).steps:
            return folder
    return None


@contextmanager
def _timed(seconds: dict[str, float], stage: str):
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start


def _known(folder: Path) -> dict:
    """Return what `summary.json` says so far."""
    file = folder / "summary.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _note(folder: Path, facts: dict) -> None:
    """Add facts to `summary.json`."""
    content = json.dumps(_known(folder) | facts, indent=1)
    with replacing(folder / "summary.json") as scratch:
        scratch.write_text(content, encoding="utf-8")


def _judged(store: Store) -> np.ndarray:
    """Return the numbers of the held-out utterances; of all, where none is held out."""
    held_out = store.numbers("held_out")
    return held_out if len(held_out) else store.numbers("train")


def _two_utterances(store: Store) -> list[int]:
    """Choose two utterances: other speakers, of both sexes where known, other texts."""
    corpus, members = store.corpus, _judged(store)
    first = members[0]

    def difference(number: int) -> tuple:
        one, other = corpus.utterances[first], corpus.utterances[number]
        sexes = {corpus.speakers[u.speaker].get("sex") for u in (one, other)}
        return (len(sexes), one.speaker != other.speaker, one.text != other.text)

    return list(dict.fromkeys([first, max(members, key=difference)]))


def _speak(run: Run, store: Store, progress: bool) -> list[dict]:
    """Reconstruct two utterances and convert each to the other voices, as one batch."""
    numbers = _two_utterances(store)
    utterances = [store.corpus.utterances[number] for number in numbers]
    waves = [store.waveform(number) for number in numbers]
    others = [[name for name in run.speakers if name != u.speaker] for u in utterances]
    voices = [
        [u.speaker, *names[: MOST_VOICES - 1]] for u, names in zip(utterances, others, strict=True)
    ]
    start = time.perf_counter()
    convert_many(run.model, [waves[0][:1]], [[None]])  # compiles the sampler on its first use
    compiled = time.perf_counter()
    spoken = convert_many(run.model, waves, voices, progress=progress)
    took = {
        "compiling_seconds": compiled - start,
        "speaking_seconds": time.perf_counter() - compiled,
    }
    _note(run.folder, {**took, "samples_spoken": sum(part.size for part in spoken)})
    tracks = []
    for utterance, wave, names, sounds in zip(utterances, waves, voices, spoken, strict=True):
        labels = [f"original ({utterance.speaker})", f"reconstruction ({utterance.speaker})"]
        labels += [f"as {name}" for name in names[1:]]
        for label, sound in zip(labels, [wave, *sounds], strict=True):
            file = f"audio/{len(tracks) + 1:02d}_{file_name(f'{utterance.key} {label}')}.wav"
            audio.save_audio(run.folder / file, sound)
            about = {"utterance": utterance.key, "text": utterance.text, "split": utterance.split}
            tracks.append({**about, "label": label, "file": file})
    return tracks


def _code_use(run: Run, store: Store) -> np.ndarray | None:
    """Return how often each code is taken on held-out speech, int64 (K,); None without codes."""
    size = run.model.bottleneck.num_embeddings
    if not size:
        return None
    codes = [run.model.encode(store.waveform(number)).ravel() for number in _judged(store)]
    return code_counts(np.concatenate(codes), size)


def _draw(run: Run, tracks: Sequence[dict], counts: np.ndarray | None) -> None:
    from matplotlib.figure import Figure

    def axes():
        return Figure(figsize=(6.5, 4.0), layout="constrained").add_subplot()

    figures = {
        "loss": plots.plot_history(run.history, ax=axes()).figure,
        "speakers": plots.plot_speakers(
            run.model.decoder.speakers.numpy(), run.speakers, ax=axes()
        ).figure,
    }
    if counts is not None:
        codebook = ops.convert_to_numpy(run.model.bottleneck.vectors())
        history = plots.plot_code_history(run.history, len(codebook), ax=axes())
        figures["code_history"] = history.figure
        figures["code_use"] = plots.plot_code_usage(counts, ax=axes()).figure
        for method in ("pca", "umap"):
            ax = plots.plot_codebook(codebook, counts, method, ax=axes())
            figures[f"codebook_{method}"] = ax.figure
    for number, key in enumerate(dict.fromkeys(track["utterance"] for track in tracks), 1):
        three = [track for track in tracks if track["utterance"] == key][:3]
        sounds = {track["label"]: audio.load_audio(run.folder / track["file"]) for track in three}
        figures[f"spectrograms_{number}"] = plots.plot_spectrograms(sounds, figure=Figure())
    for name, figure in figures.items():
        with replacing(run.folder / "figures" / f"{name}.png") as scratch:
            figure.savefig(scratch, dpi=110)


def _summary(run: Run, known: dict) -> dict:
    """Return what the report shows; the measures in words, for people."""
    model, seconds = run.model, known["seconds"]
    before, after, samples = known["before"], known["after"], known["samples_trained"]
    rate = audio.SAMPLE_RATE / model.hop_length
    speed = known["samples_spoken"] / known["speaking_seconds"]
    measures = _install_time() | {
        f"time to {stage}": f"{seconds[stage]:.0f} s" for stage in seconds
    }
    measures |= {
        "peak memory": f"{_peak_gib():.2f} GiB",
        "training": f"{run.newest} steps, {samples / 1e6:.2f} million samples",
        "training speed": f"{samples / max(1e-9, seconds['train']):,.0f} samples/s, compilation, "
        "validation and checkpoints included",
        "generation speed": f"{speed:,.0f} samples/s in all, {speed / audio.SAMPLE_RATE:.1f} x real"
        f" time, after {known['compiling_seconds']:.0f} s to compile on first use",
        "parameters": f"{model.count_params():,}",
        "bits a sample, held out": _change(before, after, "bits", ".2f"),
    }
    size = model.bottleneck.num_embeddings
    if size:
        measures[f"codes in use of {size}, held out"] = _change(before, after, "codes_used", ".0f")
        measures["perplexity of the codes"] = _change(before, after, "perplexity", ".0f")
    return {
        "run": run.folder.name,
        "seconds": seconds,
        "tracks": known["tracks"],
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


def _say_the_end(folder: Path) -> None:
    summary = _known(folder)
    for name, value in summary["measures"].items():
        print(f"  {name:30} {value}")
    print(
        f"Made: {len(summary['tracks'])} sounds, figures and codes; open {folder / 'report.html'}"
    )
    print("Next: `make lab` opens the workbench in JupyterLab.", flush=True)
