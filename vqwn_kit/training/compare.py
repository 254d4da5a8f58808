"""Train several variants on the same crops -> a table and a figure of what each change does."""

import gc
import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vqwn_kit.data import audio
from vqwn_kit.data.corpus import Corpus
from vqwn_kit.data.store import Store, prepare
from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.metrics.intervals import Estimate, ratio
from vqwn_kit.evaluation.metrics.tables import markdown_table
from vqwn_kit.files import counted, only_writer, read_json, replacing, results, write_bytes
from vqwn_kit.models.scalar_quantizers import GridQuantizer
from vqwn_kit.plots.training import plot_comparison
from vqwn_kit.presets.build import build_model
from vqwn_kit.presets.preset import Preset, load_preset
from vqwn_kit.runs.run import Run
from vqwn_kit.runs.transfer import check_lpc_sources
from vqwn_kit.training.train import train
from vqwn_kit.training.validate import validate
from vqwn_kit.training.variants import presets_of

MAX_UTTERANCES = 30  # held-out ones that a variant is measured on; see `choose_utterances`
COLUMNS = {  # measure: heading, format
    "bits": ("bits per sample", ".3f"),
    "mse": ("mel error", ".4f"),
    "codes_used": ("codes used", ".0f"),
    "perplexity": ("perplexity", ".0f"),
    "nominal_rate": ("bits/s nominal", ".0f"),
    "entropy_rate": ("bits/s by entropy", ".0f"),
    "pitch_rate": ("bits/s of pitch, nominal", ".0f"),
    "z_e_rms": ("size of z_e", ".2f"),
    "code_rms": ("size of codes", ".2f"),
    "samples_per_second": ("samples/s", ",.0f"),
    "seconds": ("training (s)", ".0f"),
    "parameters": ("parameters", ",.0f"),
}
OF_MACHINE = ("samples_per_second", "seconds", "parameters")  # only the mean over seeds is shown
MEANINGS = {  # measure or score of `unit_scores`: what it is, its unit, and which is better
    "bits": "of the held-out samples, each given those before it; lower is better",
    "mse": "squared error of the mel bands, in units of 20 dB; lower is better",
    "PNMI": "share of the phone information in the codes, 0 to 1; higher is better, but it rises "
    "with the number of codes, too",
    "phone bits": "of phone information per frame, on held-out speech; higher is better",
    "ABX": "% of phone triples across speakers that are confused; lower is better, chance is 50",
    "noise": "% of the units that noise of 20 dB changes; lower is better",
    "codes_used": "different codes in the held-out frames, over all codebooks; neither is better",
    "perplexity": "number of codes that would be used as evenly; higher is a fuller codebook",
    "nominal_rate": "frames per second times log2 of the size of the codebooks; lower is smaller",
    "entropy_rate": "the same with the perplexity for the size; lower is smaller",
    "pitch_rate": "bits per second that the levels of the pitch take; lower is smaller",
    "z_e_rms": "root mean square of the vectors that codes replace; neither is better",
    "code_rms": "the same of the codes, where they lie among these vectors and not on a "
    "grid; near that of z_e is good",
    "samples_per_second": "samples trained on, after the first line of the history; of this "
    "machine with its other work; higher is faster",
    "seconds": "of all stages; lower is faster",
    "parameters": "numbers that are learned; lower is smaller",
}
LOSSES = {"bits": "bits per sample", "mse": "error of the mel bands"}  # of samples or of bands
PLOTTED = {  # measure: label, scale
    "bits": ("held out (bits per sample)", 1.0),
    "mse": ("mel error, held out", 1.0),
    "perplexity": ("perplexity (codes)", 1.0),
    "samples_per_second": ("training (1000 samples/s)", 1e-3),
}


@dataclass(frozen=True)
class Comparison:
    """The measures of `compare`.

    Attributes:
        corpus: name of the corpus.
        steps: that each variant was trained.
        utterances: number of held-out utterances that were measured.
        rows: for each variant, in order, a dict for each seed: `variant`, `seed`, `run` and the
            measures of `COLUMNS`; without a codebook those of codes are missing. `scores` are
            measures by name that a `score` of `compare` gave.
    """

    corpus: str
    steps: int
    utterances: int
    rows: list[dict]

    @property
    def variants(self) -> list[str]:
        """The names of the variants; the first is the reference of all differences."""
        return list(dict.fromkeys(row["variant"] for row in self.rows))

    @property
    def seeds(self) -> list[int]:
        """The seeds of each variant."""
        return list(dict.fromkeys(row["seed"] for row in self.rows))

    @property
    def loss(self) -> str:
        """What the variants are compared by: `bits` per sample, or `mse` of mel bands."""
        return next(name for name in LOSSES if any(name in row for row in self.rows))

    @property
    def scores(self) -> list[str]:
        """The names of the scores."""
        return list(dict.fromkeys(name for row in self.rows for name in row.get("scores", {})))

    def measured(self, variant: str, measure: str) -> dict[int, float]:
        """Return a measure or score of a variant by seed; empty where it has none."""
        rows = [row for row in self.rows if row["variant"] == variant]
        values = {row["seed"]: (row | row.get("scores", {})).get(measure) for row in rows}
        return {seed: float(value) for seed, value in values.items() if value is not None}

    def difference(self, variant: str, measure: str | None = None) -> Estimate:
        """Return the difference of a variant from the first, with its 95 % interval.

        The measure is `loss` by default.

        Student's t over the seeds that both have, in pairs, since all variants of a seed see the
        same crops. A single seed has no interval.
        """
        return ratio(self._differences(variant, measure or self.loss))

    def _differences(self, variant: str, measure: str) -> list[float]:
        first, values = (self.measured(name, measure) for name in (self.variants[0], variant))
        return [values[seed] - first[seed] for seed in values if seed in first]

    def verdict(self, variant: str) -> str:
        """Return the difference in `loss` from the first variant, if it is distinguishable."""
        if variant == self.variants[0]:
            return "-"
        difference = self.difference(variant)
        if difference.low is None:
            return f"{difference.value:+.3f} (one seed)"
        if difference.n == 2:  # their interval has a single degree of freedom
            low, high = sorted(self._differences(variant, self.loss))
            return f"{low:+.3f} to {high:+.3f} (two seeds)"
        if difference.low <= 0 <= difference.high:
            return "not distinguishable"
        return _with_interval(difference)

    def _against_first(self, variant: str) -> str:
        """Return the verdict, also with the difference where it is not distinguishable."""
        verdict = self.verdict(variant)
        if verdict != "not distinguishable":
            return verdict
        return f"{verdict} ({_with_interval(self.difference(variant))})"

    def table(self) -> str:
        """Return the table in Markdown: means over the seeds, ± half the 95 % interval.

        Of two seeds the lower and the higher value; of speeds and parameters the mean alone.
        """
        columns = self._columns()
        head = ["variant", *(head for head, _ in columns.values())]
        rows = [[name, *(self._cell(name, m) for m in columns)] for name in self.variants]
        verdicts = ["against the first", *map(self._against_first, self.variants)]
        for row, verdict in zip((head, *rows), verdicts, strict=True):
            row.insert(2, verdict)
        return markdown_table(head, rows, "l" + "r" * (len(head) - 1))

    def _columns(self) -> dict[str, tuple[str, str]]:
        """Return heading and format of each measure that a variant has, the loss first."""
        known = {name: COLUMNS[name] for name in COLUMNS if any(name in row for row in self.rows)}
        loss = {self.loss: known.pop(self.loss)}
        return loss | {name: (name, ".2f") for name in self.scores} | known

    def _cell(self, variant: str, measure: str) -> str:
        values = list(self.measured(variant, measure).values())
        style = self._columns()[measure][1]
        if not values:
            return "-"
        mean = ratio(values)
        if mean.low is None or measure in OF_MACHINE or min(values) == max(values):
            return f"{mean.value:{style}}"
        if len(values) == 2:
            return f"{min(values):{style}} to {max(values):{style}}"
        return f"{mean.value:{style}} ± {mean.high - mean.value:{style}}"

    def caption(self) -> str:
        """Return what the numbers are of, and a line on each column."""
        seeds = ("seed " if len(self.seeds) == 1 else "seeds ") + ", ".join(map(str, self.seeds))
        about = (
            f"{self.corpus}, {self.steps} steps each, {seeds}; {LOSSES[self.loss]} and codes on "
            f"{counted(self.utterances, 'held-out utterances')}, at most 10 s of each."
        )
        if len(self.seeds) > 2:
            about += " ± is half the 95 % interval, over the seeds."
        if any("first_stage_seconds" in row for row in self.rows):
            about += " Steps of a first stage are additional."
        return "\n\n".join([about, *self._twins(), "\n".join(self._legend())])

    def _twins(self) -> list[str]:
        """Say which variants are one training, since their settings are the same."""
        names: dict[str, list[str]] = {}
        for row in self.rows:
            names.setdefault(row["run"] or row["variant"], []).append(row["variant"])
        pairs = dict.fromkeys(
            (first, other) for first, *others in names.values() for other in others
        )
        return [
            f"{other} has the settings of {first}: one training, shown twice."
            for first, other in pairs
            if other != first
        ]

    def _legend(self) -> list[str]:
        """Return a line on each column: what it is, and which direction is better."""
        lines = []
        for measure, (heading, _) in self._columns().items():
            own = measure.removeprefix("k-means ")
            if measure != own and own in MEANINGS:
                lines.append(f"- {heading}: {own} of k-means on MFCC with as many codes")
            elif own in MEANINGS:
                lines.append(f"- {heading}: {MEANINGS[own]}")
        verdict = (
            f"- against the first: difference in {COLUMNS[self.loss][0]} alone, over seeds in "
        )
        verdict += 'pairs; of other columns `difference(variant, "perplexity")` returns it'
        return [lines[0], verdict, *lines[1:]]

    def __str__(self) -> str:
        """Return the table with its caption."""
        return f"{self.table()}\n\n{self.caption()}"

    _repr_markdown_ = __str__

    def plot(self, figure=None):
        """Draw loss, scores, perplexity and speed of all variants; return the figure.

        Scores that are the same for all, such as those of k-means, are left out.
        """
        known = {name: PLOTTED[name] for name in PLOTTED if name in self._columns()}
        scores = [name for name in self.scores if len(set(self._all_values(name))) > 1]
        known = {self.loss: known.pop(self.loss), **{name: (name, 1.0) for name in scores}, **known}
        values = {}
        for measure, (label, scale) in known.items():
            each = [self.measured(name, measure).values() for name in self.variants]
            values[label] = [scale * np.array(list(numbers)) for numbers in each]
        return plot_comparison(self.variants, values, figure)

    def _all_values(self, measure: str) -> list[float]:
        return [value for name in self.variants for value in self.measured(name, measure).values()]

    def save(self, folder: str | Path) -> Path:
        """Write `compare.json`, `compare.md` and `compare.png`; return the folder."""
        from matplotlib.figure import Figure

        folder = Path(folder)
        write_bytes(folder / "compare.json", json.dumps(asdict(self), indent=1).encode())
        write_bytes(folder / "compare.md", f"{self}\n".encode())
        with replacing(folder / "compare.png") as scratch:
            self.plot(Figure()).savefig(scratch, dpi=110, format="png")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> "Comparison":
        """Read what `save` wrote.

        Raises:
            InputError: there is none, or it is damaged.
        """
        file = Path(folder) / "compare.json"
        if not file.is_file():
            raise InputError(f"no comparison at {folder}: expected {file.name}, see vq.compare")
        content = read_json(file, "a comparison, as vq.compare writes it")
        kinds = {"corpus": str, "steps": int, "utterances": int, "rows": list}
        if content.keys() != kinds.keys() or not all(
            isinstance(content[key], kind) for key, kind in kinds.items()
        ):
            raise InputError(f"{file} is no comparison, or is damaged: compare again")
        for row in content["rows"]:
            whole = isinstance(row, dict) and {"variant", "seed", "run"} <= row.keys()
            if not whole or not isinstance(row.get("scores", {}), dict):
                raise InputError(f"{file} is damaged, in the row {row!r:.80}: compare again")
        return cls(**content)


def compare(
    variants: Iterable | dict | str,
    data: Corpus | Store,
    *,
    base: str | Path | dict | Preset = "paper",
    seeds: Iterable[int] | int = (0,),
    save: str | Path | None = None,
    score: Callable[[Run, Store], dict[str, float]] | None = None,
    progress: bool = True,
    **changes,
) -> Comparison:
    """Train several variants on the same crops in the same order, and measure all of them.

    Each is a run in the folder. A finished run is neither trained nor measured again, a stopped one
    is resumed. Variants of the same settings are trained once.

    Args:
        variants: a list, or a dict by name, of changes to `base` as `Preset.change` takes them, or
            as text, "bottleneck=ema,steps=500"; or of presets. The first is the reference. A name
            is one of `FAMILIES`: `wavenet`, every encoder, bottleneck and way to train, or `units`,
            every quantizer. All take the batches of the base, whose length is rounded to a multiple
            of every hop.
        data: a corpus or its store.
        base: the preset that variants change.
        seeds: of weights and crops, one run each, or their number; two or more give intervals.
        save: a folder; by default `compare-CORPUS` in `results()`.
        score: measures by name of a run on the corpus, such as `unit_scores`, for columns more.
        progress: show progress bars.
        **changes: to all variants, such as `steps=300`, with a schedule as long, see
            `Preset.change`; by default those of the base. `seed=3` stands for `seeds=[3]`.

    Raises:
        InputError: variants that cannot be compared, or are in the folder with other settings;
            before any training.

    Example:
        compare({"VQ": {}, "EMA": {"bottleneck": "ema"}}, corpus, steps=300, seeds=3)
    """
    store = prepare(data, progress=progress) if isinstance(data, Corpus) else data
    if not isinstance(store, Store):
        raise InputError(f"compare needs a corpus or its store; given {type(data).__name__}")
    if "seed" in changes:  # one seed, by the name that it has in training
        seeds = [changes.pop("seed")]
    folder = Path(save) if save else results() / f"compare-{store.corpus.name}"
    jobs = _jobs(presets_of(variants, load_preset(base), changes), seeds, folder)
    steps = _check_jobs(jobs, store)
    utterances, rows = min(MAX_UTTERANCES, len(store.numbers("held_out"))), []
    known = _known_rows(folder, steps, ["scores"] if score is not None else [])
    with only_writer(folder, "comparing variants"):
        for number, (name, seed, preset, place) in enumerate(jobs):
            print(f"{number + 1} of {len(jobs)}: {name}, seed {seed}", flush=True)
            place = _place_of(name, preset, place, jobs)
            row = known.get(place.name)
            if row is None:
                row = _row(_trained(store, preset, place, progress), store, utterances, score)
                gc.collect()
            known[place.name] = row
            rows.append({**row, "variant": name, "seed": seed})
            Comparison(store.corpus.name, steps, utterances, rows).save(folder)
    return Comparison.load(folder)


def _known_rows(folder: Path, steps: int, needed: Iterable[str]) -> dict[str, dict]:
    """Return the rows of an earlier call by run, of runs that are finished, with what is needed."""
    if not (folder / "compare.json").is_file():
        return {}
    rows = {row["run"]: row for row in Comparison.load(folder).rows if {*needed} <= {*row}}
    runs = {name: Run(folder / name) for name in rows if (folder / name / "config.json").is_file()}
    return {name: rows[name] for name, run in runs.items() if run.steps and run.newest == steps}


def _jobs(presets: dict[str, Preset], seeds: Iterable[int] | int, folder: Path) -> list[tuple]:
    """Return name, seed, preset and folder of each run; all variants of a seed stand together."""
    seeds = range(seeds) if isinstance(seeds, int) else [int(seed) for seed in seeds]
    jobs = []
    for seed in seeds:  # so that a stopped comparison is complete in its first seeds
        for name, preset in presets.items():
            slug = re.sub(r"\W+", "-", name).strip("-").lower()
            jobs.append((name, seed, preset.change(seed=seed), folder / f"{slug}-seed{seed}"))
    return jobs


def _place_of(name: str, preset: Preset, place: Path, jobs: list[tuple]) -> Path:
    """Return the folder of the first job of the same settings; say so where it is another one."""
    first, _, _, own = next(job for job in jobs if preset.same_as(job[2]))
    if own != place:
        print(f"{name} has the settings of {first}: it is not trained again", flush=True)
    return own


def _check_jobs(jobs: list[tuple], store: Store) -> int:
    """Return the number of steps; raise InputError for jobs that would fail or not compare."""
    presets = {name: preset for name, _, preset, _ in jobs}
    steps = {preset.training.steps for preset in presets.values()}
    if not jobs:
        raise InputError("nothing to compare: give at least one seed")
    if len(steps) > 1:
        raise InputError(f"the variants take {sorted(steps)} steps: give steps= for all of them")
    if not len(store.numbers("held_out")):
        raise InputError(f"{store.corpus.name} has no held-out utterance to compare on")
    folders = [folder for *_, folder in jobs]
    if len(set(folders)) < len(folders):
        names = ", ".join(folder.name for folder in folders)
        raise InputError(f"variants whose folders would have the same name: {names}")
    _check_models(presets, list(store.corpus.speakers))
    for _, _, preset, folder in jobs:
        if not (folder / "config.json").is_file():
            continue
        run, freeze = Run(folder), preset.training.freeze
        trained = (
            run.preset.change(freeze=freeze) if preset.training.first_stage_steps else run.preset
        )
        if not trained.same_as(preset) or run.config["corpus"] != store.corpus.name:
            raise InputError(
                f"{folder} holds a run of other settings: compare into another folder (save=), or "
                "remove it; nothing was overwritten"
            )
    return steps.pop()


def _check_models(presets: dict[str, Preset], speakers: list[str]) -> None:
    """Raise InputError for models that cannot be built, or whose bits cannot be compared."""
    signals = {}
    for name, preset in presets.items():
        preset.check_warm_ups()
        model = build_model(preset, speakers)
        if not model.is_autoregressive:
            signals["mel bands, not samples"] = name
            continue
        if not preset.training.first_stage_steps:
            check_lpc_sources(model, preset.training.freeze, {})
        signals[model.decoder.codec.signal] = name
    if len(signals) > 1:
        given = [f"{name}: {signal}" for signal, name in signals.items()]
        raise InputError(
            f"bits per sample of different signals cannot be compared ({'; '.join(given)}): give "
            "all variants the same decoder.codec.num_levels and decoder.codec.pre_emphasis"
        )


def _trained(store: Store, preset: Preset, folder: Path, progress: bool) -> Run:
    """Return the finished run of a preset in a folder; take the steps that are missing."""
    if not (folder / "config.json").is_file() or not Run(folder).steps:
        return train(store, preset, save=folder / "weights", progress=progress)
    if Run(folder).newest < preset.training.steps:
        return train(store, restore=folder, progress=progress)
    return Run(folder)


def _with_interval(difference: Estimate) -> str:
    return f"{difference.value:+.3f} ± {difference.high - difference.value:.3f}"


def _row(run: Run, store: Store, utterances: int, score: Callable | None) -> dict:
    """Return the measures of a run, and those of `score` as `scores`."""
    row = {"run": run.folder.name, **_measure(run, store, utterances)}
    return row if score is None else row | {"scores": score(run, store)}


def _measure(run: Run, store: Store, utterances: int) -> dict[str, float]:
    """Return the measures of a run."""
    model, history = run.model, run.history
    measured = validate(model, store, utterances=utterances)
    names = (*LOSSES, "codes_used", "codes_dead", "perplexity", "z_e_rms", "code_rms")
    row = {name: measured[name] for name in names if name in measured}
    if isinstance(model.bottleneck, GridQuantizer):  # its codes are not where its channels are
        del row["code_rms"]
    rate = audio.SAMPLE_RATE / model.hop_length
    codebooks = model.bottleneck.num_codebooks
    soft = getattr(model.bottleneck, "straight_through", True) is False
    if "perplexity" in row and not soft:  # a weighted mean of codes carries more than one code
        row["nominal_rate"] = rate * model.bits_per_frame
        row["entropy_rate"] = rate * codebooks * math.log2(row["perplexity"])
    if model.pitch_levels:
        row["pitch_rate"] = rate * math.log2(model.pitch_levels)
    first, last = history[0] if len(history) > 1 else {"samples": 0, "seconds": 0.0}, history[-1]
    elapsed = max(last["seconds"] - first["seconds"], 0.01)  # after the compilation
    seconds = last["seconds"]
    if (run.folder / "first_stage").is_dir():
        row["first_stage_seconds"] = Run(run.folder / "first_stage").history[-1]["seconds"]
        seconds += row["first_stage_seconds"]
    row |= {
        "seconds": seconds,
        "samples_per_second": (last["samples"] - first["samples"]) / elapsed,
    }
    return row | {"parameters": model.count_learned()}
