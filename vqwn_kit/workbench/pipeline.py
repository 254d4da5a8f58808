"""`vqwn run`: a corpus -> a trained run with its voices, figures, projector files and report.

Each stage leaves its result in the run folder, so that a stopped pipeline resumes there.
"""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from vqwn_kit.data import audio
from vqwn_kit.data.check import sufficiency
from vqwn_kit.data.corpus import Corpus, example_corpus
from vqwn_kit.data.store import Store, prepare
from vqwn_kit.evaluation.diagnosis import card_verdicts
from vqwn_kit.evaluation.evaluate import score_card
from vqwn_kit.evaluation.metrics.codes import code_counts
from vqwn_kit.evaluation.metrics.intervals import NotMeasured
from vqwn_kit.evaluation.phones import phone_times
from vqwn_kit.evaluation.score_card import ScoreCard
from vqwn_kit.files import counted, file_name, only_writer, results, shipped
from vqwn_kit.presets.preset import Preset, load_preset
from vqwn_kit.projector.export import export_projector
from vqwn_kit.runs.naming import run_name
from vqwn_kit.runs.run import Run
from vqwn_kit.sampling.generate import convert_many
from vqwn_kit.sampling.pitch import utterance_pitch
from vqwn_kit.training.loop import check_minutes
from vqwn_kit.training.tensorboard import scalar_log
from vqwn_kit.training.train import as_source, default_save, fit_stages, resume_run, stages
from vqwn_kit.training.trainer import Trainer
from vqwn_kit.training.validate import validate
from vqwn_kit.workbench.report import write_report
from vqwn_kit.workbench.summary import draw_figures, facts_of, measures_of, note, noted, peak_gib

MOST_VOICES = 8  # that each utterance is converted to
JUDGED = 8  # held-out utterances whose sounds are measured
TEMPERATURE = 0.8  # of the sounds
SOUND_SCORES = ("content", "voices", "naturalness")


def run_pipeline(
    corpus: Corpus | None = None,
    preset: str | Path | Preset = "mini",
    *,
    fresh: bool = False,
    minutes: float | None = 4.0,
    judged: int = JUDGED,
    progress: bool = True,
    **changes,
) -> Run:
    """Train, synthesise, draw, export and report; return the run.

    Args:
        corpus: the bundled one by default.
        preset: see `load_preset`. With `first_stage_steps` the report is written twice: the first
            time with the sounds of the first stage, which has no WaveNet.
        fresh: start a new run even where a run with the same choices exists.
        minutes: of training at most, in all stages; see `train`.
        judged: held-out utterances whose sounds are measured, by packages of the extra `eval`.
        progress: show progress bars with the time left.
        **changes: training settings to exchange.

    Raises:
        InputError: see `load_preset` and `prepare`.
        KeyboardInterrupt: after Ctrl-C; the same call resumes from what was saved.
    """
    check_minutes(minutes)
    corpus = corpus or example_corpus()
    chosen = load_preset(preset).change(**changes)
    speakers = counted(len(corpus.speakers), "speakers")
    print(f"{corpus.name}: {counted(len(corpus), 'utterances')} of {speakers}", flush=True)
    print(f"layout {corpus.layout!r}: {corpus.reason}", flush=True)
    start = time.perf_counter()
    store = prepare(corpus, progress=progress)
    took = {"prepare": time.perf_counter() - start}
    for key, reason in store.skipped.items():
        print(f"skipped {key}: {reason}")
    held_out, minutes_to_train = len(store.numbers("held_out")), store.seconds("train") / 60
    print(*sufficiency(held_out, minutes_to_train), sep="\n", flush=True)
    folder = None if fresh else _same_choices(chosen, store)
    if folder is not None and _is_reported(folder):
        print(f"{folder.name} is finished; start a new run with --fresh (FRESH=1).", flush=True)
        _print_results(folder)
        return Run(folder)
    pipeline = _Pipeline(chosen, store, folder, took, progress)
    with only_writer(pipeline.folder):
        pipeline.train(minutes)
        pipeline.report(judged)
    _print_results(pipeline.folder)
    return Run(pipeline.folder)


class _Pipeline:
    """A run folder that is filled stage by stage."""

    def __init__(self, preset: Preset, store: Store, folder: Path | None, took: dict, progress):
        self.preset, self.store, self.progress = preset, store, progress
        self.resumed = folder is not None
        if folder is None:
            folder = default_save(as_source(store, preset), preset).parent
            choices = {"preset": preset.to_dict(), "store": store.identity}
            note(folder, {**choices, "run": folder.name, "seconds": took, "stages": []})
        self.folder = folder

    def train(self, minutes: float | None) -> None:
        """Train all stages that are not finished; after a first one offer its sounds."""
        start = "resuming" if self.resumed else "training"
        print(f"{start} {self.folder.name}", flush=True)
        if minutes is not None:
            minutes = max(0.0, minutes - self._seconds_trained() / 60.0)
        logs = [scalar_log(self.folder / "logs")]
        fit_stages(self._trainers(), minutes, logs, self.progress, finished=self._finish_stage)

    def _seconds_trained(self) -> float:
        return sum(run.history[-1]["seconds"] for run in self._runs() if run.history)

    def _runs(self) -> list[Run]:
        """Return the runs of the stages that have begun."""
        folders = [self.folder / "first_stage", self.folder]
        return [Run(place) for place in folders if (place / "config.json").is_file()]

    def _trainers(self) -> Iterator[Trainer]:
        """Yield the trainer of each stage; see `stages`."""
        if (self.folder / "config.json").is_file() and Run(self.folder).steps:
            trainers = iter([resume_run(self.store, self.folder)])
        else:
            trainers = stages(self.store, self.preset, self.folder / "weights")
        for trainer in trainers:
            if trainer.model.is_autoregressive and "before" not in noted(self.folder):
                note(self.folder, {"before": validate(trainer.model, self.store)})
            print(f"{trainer.name}: {_task(trainer)}", flush=True)
            yield trainer

    def _finish_stage(self, trainer: Trainer) -> None:
        """Note a stage that is done; of a first one write a report of its sounds."""
        done = [stage for stage in noted(self.folder)["stages"] if stage["name"] != trainer.name]
        stage = {"name": trainer.name, "end": trainer.end_text(), "step": trainer.step}
        stage |= {"seconds": trainer.seconds, "samples": trainer.samples}
        note(self.folder, {"stages": [*done, stage]})
        print(f"{trainer.name}: {stage['end']}", flush=True)
        if not trainer.model.is_autoregressive:
            with self._timed("first sounds"):
                run = Run(trainer.folder)
                note(
                    self.folder,
                    {"utterances": self._synthesise(run, "codes only"), **facts_of(run)},
                )
                page = write_report(self.folder, self._shipped())
            print(f"Play the codes, without a WaveNet yet: open {page}", flush=True)

    def report(self, judged: int) -> None:
        """Synthesise, measure, draw, export, and write the report."""
        run = Run(self.folder)
        with self._timed("generate"):
            note(self.folder, {"utterances": self._synthesise(run, "reconstruction")})
        with self._timed("evaluate"):
            note(self.folder, {"after": validate(run.model, self.store, progress=self.progress)})
            self._measure(run, judged)
        print("drawing maps and figures, about half a minute", flush=True)
        with self._timed("draw"):
            counts = self._counts(run)
            draw_figures(run, counts)
            export_projector(run, run.folder / "embeddings", self.store, train=0)
        codes = {} if counts is None else {"code_counts": counts.tolist()}
        note(self.folder, {**facts_of(run), **codes, "peak_gib": peak_gib()})
        note(self.folder, {"measures": measures_of(run, counts)})
        write_report(self.folder, self._shipped())
        note(self.folder, {"reported_step": run.newest})

    def _measure(self, run: Run, judged: int) -> None:
        """Write the score card of the sounds of held-out utterances, and note that of the codes."""
        if not len(self.store.numbers("held_out")):
            note(self.folder, {"verdicts": card_verdicts(run, ScoreCard({}))})
            return
        settings = {"sampled": judged, "only": SOUND_SCORES, "progress": self.progress}
        card = score_card(run, self.store, temperature=TEMPERATURE, **settings)
        card.tracks, card.sounds = [], {}  # the run folder has sounds of its own
        card.save(self.folder)
        note(self.folder, {"verdicts": card.verdicts})
        first = self.folder / "first_stage"
        if (first / "config.json").is_file():
            settings |= {"targets": 0, "only": ("content",)}
            rows = score_card(Run(first), self.store, **settings).rows
            errors = [row.value for row in rows if row.name == "phone error, reconstruction"]
            note(self.folder, {"first_stage_phone_error": errors[0] if errors else None})

    def _counts(self, run: Run) -> np.ndarray | None:
        """Return how often each code occurs in the utterances, int64 (Q, K); None without codes."""
        size, codebooks = run.model.bottleneck.num_embeddings, run.model.bottleneck.num_codebooks
        if not size:
            return None
        codes = [run.model.encode(self.store.waveform(n))[0] for n in self._evaluated()]
        rows = np.concatenate(codes).reshape(-1, codebooks).T
        return np.array([code_counts(row, size) for row in rows])

    def _synthesise(self, run: Run, kind: str) -> list[dict]:
        """Reconstruct two utterances and convert each to the other voices, as one batch.

        Returns:
            For each utterance its key, text, split, codes, phones and tracks. The tracks of a
            first stage before it are kept, so that a WaveNet can be compared with it.
        """
        numbers = self._two_utterances()
        members = [self.store.corpus.utterances[number] for number in numbers]
        waves = [self.store.waveform(number) for number in numbers]
        voices = []
        for member in members:
            others = [name for name in run.speakers if name != member.speaker]
            voices.append([member.speaker, *others[: MOST_VOICES - 1]])
        start = time.perf_counter()
        convert_many(run.model, [waves[0][:1]], [[None]])  # compiles the sampler on its first use
        compiled = time.perf_counter()
        settings = {"temperature": TEMPERATURE, "progress": self.progress}
        settings["pitch"] = [utterance_pitch(run.model, self.store, n) for n in numbers]
        converted = convert_many(run.model, waves, voices, **settings)
        took = {"compiling_seconds": compiled - start}
        took["sampling_seconds"] = time.perf_counter() - compiled
        note(self.folder, {**took, "samples_generated": sum(part.size for part in converted)})
        before = {u["key"]: u["tracks"] for u in noted(self.folder).get("utterances", [])}
        phones = self._phones(numbers)
        utterances = []
        for number, member, names, sounds in zip(numbers, members, voices, converted, strict=True):
            wave = self.store.waveform(number)
            labels = [f"original ({member.speaker})", f"{kind} ({member.speaker})"]
            labels += [f"as {name}" for name in names[1:]]
            if not run.model.is_autoregressive:
                labels[2:] = [f"{kind}, {label}" for label in labels[2:]]
            tracks = self._save(member.key, dict(zip(labels, [wave, *sounds], strict=True)))
            tracks += [track for track in before.get(member.key, []) if track not in tracks]
            codes = run.model.bottleneck.num_embeddings and run.model.encode(wave)[0].tolist()
            about = {"key": member.key, "text": member.text, "split": member.split}
            about |= {"codes": codes or [], "hop_length": run.model.hop_length}
            utterances.append({**about, "phones": phones.get(number, []), "tracks": tracks})
        return utterances

    def _save(self, key: str, tracks: dict[str, np.ndarray]) -> list[dict]:
        """Write the sounds of an utterance; return label and file of each."""
        files = {label: f"audio/{file_name(f'{key} {label}')}.wav" for label in tracks}
        for label, sound in tracks.items():
            audio.save_audio(self.folder / files[label], sound)
        return [{"label": label, "file": file} for label, file in files.items()]

    def _phones(self, numbers: list[int]) -> dict[int, list]:
        try:
            return phone_times(self.store, numbers)
        except NotMeasured:
            return {}

    def _evaluated(self) -> np.ndarray:
        """Return the numbers of the held-out utterances; of all, where none is held out."""
        held_out = self.store.numbers("held_out")
        return held_out if len(held_out) else self.store.numbers("train")

    def _two_utterances(self) -> list[int]:
        """Choose two utterances of different speakers, sexes (where known) and texts."""
        corpus, numbers = self.store.corpus, self._evaluated()
        first = corpus.utterances[numbers[0]]

        def difference(number: int) -> tuple:
            other = corpus.utterances[number]
            sexes = {corpus.speakers[u.speaker].get("sex") for u in (first, other)}
            return (len(sexes), first.speaker != other.speaker, first.text != other.text)

        return list(map(int, dict.fromkeys([numbers[0], max(numbers, key=difference)])))

    def _shipped(self) -> Path | None:
        """Return the folder of the shipped run on this corpus, if there is one."""
        folder = shipped() / "results" / self.store.corpus.name
        return folder if (folder / "score_card.json").is_file() else None

    @contextmanager
    def _timed(self, stage: str):
        start = time.perf_counter()
        yield
        took = {stage: time.perf_counter() - start}
        note(self.folder, {"seconds": noted(self.folder)["seconds"] | took})


def _task(trainer: Trainer) -> str:
    """Return what a stage trains, and for how long at most."""
    task = "trains encoder and codebook with a light decoder of mel bands"
    if trainer.model.is_autoregressive:
        frozen = "the WaveNet on frozen codes" if trainer.config.freeze else "all parts together"
        task = f"trains {frozen}"
    return f"{task}, for {trainer.config.steps:,} steps or until its time is spent"


def _same_choices(preset: Preset, store: Store) -> Path | None:
    """Return the newest run folder of this preset and store in which training has begun."""
    pattern = re.escape(run_name(preset, store.corpus.name, "")) + r"\d{8}-\d{4}(-\d+)?"
    choices = json.loads(json.dumps({"preset": preset.to_dict(), "store": store.identity}))
    for folder in sorted(results().glob("*"), reverse=True):
        known = noted(folder) if re.fullmatch(pattern, folder.name) else {}
        if choices.items() <= known.items():
            return folder
    return None


def _is_reported(folder: Path) -> bool:
    reported = noted(folder).get("reported_step")
    return reported is not None and reported == Run(folder).newest


def _print_results(folder: Path) -> None:
    summary = noted(folder)
    for name, value in summary["measures"].items():
        print(f"  {name:34} {value}")
    count = sum(len(utterance["tracks"]) for utterance in summary["utterances"])
    print(f"Made {count} sounds, figures and embeddings; open {folder / 'report.html'}")
    print(f"Is it any good? {' '.join(summary.get('verdicts', []))}")
    print(
        f"Next: `vqwn doctor {folder.name}` says what to change; `make lab` opens the workbench in "
        "JupyterLab.",
        flush=True,
    )
