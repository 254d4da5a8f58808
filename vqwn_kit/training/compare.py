"""Several models on the same speech -> one table and one figure: what each exchanged part does.

All variants see the same crops in the same order and take the same number of steps.
"""

import gc
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vqwn_kit.data import audio
from vqwn_kit.data.corpus import Corpus
from vqwn_kit.data.store import Store, prepare
from vqwn_kit.errors import InputError
from vqwn_kit.evaluation.metrics.intervals import Estimate, ratio
from vqwn_kit.files import replacing, results
from vqwn_kit.plots.training import plot_comparison
from vqwn_kit.presets.build import build_model
from vqwn_kit.presets.parts import hop_length
from vqwn_kit.presets.preset import Preset, load_preset, parse_changes
from vqwn_kit.presets.training_config import PARTS
from vqwn_kit.runs.run import Run
from vqwn_kit.runs.transfer import check_lpc_sources
from vqwn_kit.training.train import train
from vqwn_kit.training.validate import validate

COLUMNS = {  # measure: heading, format
    "bits": ("bits a sample", ".3f"),
    "codes_used": ("codes used", ".0f"),
    "perplexity": ("perplexity", ".0f"),
    "nominal_rate": ("bits/s nominal", ".0f"),
    "entropy_rate": ("bits/s by entropy", ".0f"),
    "z_e_rms": ("size of z_e", ".2f"),
    "code_rms": ("of codes", ".2f"),
    "samples_per_second": ("samples/s", ",.0f"),
    "seconds": ("training (s)", ".0f"),
    "parameters": ("parameters", ",.0f"),
}
ALIKE = {"seed", "segment_length", "batch_size", "sampling"}  # or the crops aren't the same
NORMALISED = {"batch_norm": True, "batch_norm_momentum": 0.95}  # for encoders that don't end so
FAMILY: dict[str, dict] = {  # every encoder, bottleneck and way to train; the base is the first
    "separate losses": {},
    "joint loss": {"bottleneck": {"joint": True}},
    "EMA": {"bottleneck": "ema"},
    "no VQ": {"bottleneck": "ae"},
    "softmax": {"bottleneck": "softmax"},
    "softmax, straight through": {
        "bottleneck": {"class_name": "softmax", "straight_through": True}
    },
    "VQ and KL": {"bottleneck": {"kl_mean": 0.1}},
    "random start": {"bottleneck": {"initializer": "random_normal"}},
    "uniform start": {"bottleneck": {"initializer": "uniform_unit_scaling"}},
    "orthogonal start": {"bottleneck": {"initializer": "orthogonal"}},
    "no revival": {"reset_dead_every": None},
    "no revival, codebook 10 x": {"reset_dead_every": None, "codebook_rate": 10.0},
    "unit sphere": {"bottleneck": {"unit_norm": True}},
    "batch norm": {"bottleneck": NORMALISED},
    "commitment warm-up": {"bottleneck": {"commitment_warm_up": 100}},
    "two stages": {"first_stage_steps": 200},
    "Magenta": {
        "encoder": {"class_name": "Magenta", "filters": 32, "num_cycles": 1, "hop_length": 64},
        "bottleneck": NORMALISED,
    },
    "Magenta-gated": {
        "encoder": {"class_name": "Magenta-gated", "filters": 64},
        "bottleneck": NORMALISED,
    },
    "2019": {"encoder": "2019", "bottleneck": NORMALISED},
    "2019 on mel bands": {
        "encoder": {"class_name": "2019", "features": "log_mel"},
        "bottleneck": NORMALISED,
    },
    "2019, jitter": {
        "encoder": "2019",
        "bottleneck": NORMALISED,
        "decoder": {"conditioner": {"jitter": 0.12, "local_channels": 128}},
    },
    "one-hot input": {"decoder": {"codec": {"one_hot": True}, "network": {"first_kernel_size": 2}}},
    "interpolated conditions": {"decoder": {"network": {"interpolate": True}}},
    "mixture of logistics": {"decoder": {"distribution": "logistic-mixture"}},
}


@dataclass(frozen=True)
class Comparison:
    """What `compare` measured.

    Attributes:
        corpus: name of the corpus.
        steps: that each variant was trained.
        utterances: held-out utterances that were measured.
        rows: for each variant, in order, a dict for each seed: `variant`, `seed`, `run` and the
            measures of `COLUMNS`; those of codes are missing where there is no codebook.
    """

    corpus: str
    steps: int
    utterances: int
    rows: list[dict]

    @property
    def variants(self) -> list[str]:
        """The names of the variants; differences are told from the first."""
        return list(dict.fromkeys(row["variant"] for row in self.rows))

    @property
    def seeds(self) -> list[int]:
        """The seeds of each variant."""
        return list(dict.fromkeys(row["seed"] for row in self.rows))

    def measured(self, variant: str, measure: str) -> dict[int, float]:
        """Return a measure of a variant by seed; empty where it has none."""
        rows = [row for row in self.rows if row["variant"] == variant and measure in row]
        return {row["seed"]: float(row[measure]) for row in rows}

    def difference(self, variant: str, measure: str = "bits") -> Estimate:
        """Return how much a variant differs from the first, with its 95 % interval by Student's t.

        Seeds that both have are paired: one seed gives all variants the same crops. A single one
        has no interval.
        """
        first, own = self.measured(self.variants[0], measure), self.measured(variant, measure)
        return ratio([own[seed] - first[seed] for seed in own if seed in first])

    def verdict(self, variant: str) -> str:
        """Say how the likelihood of a variant differs from the first's, if it can be told."""
        if variant == self.variants[0]:
            return "-"
        more = self.difference(variant)
        if more.low is None:
            return f"{more.value:+.3f} (one seed)"
        if more.low <= 0 <= more.high:
            return "not distinguishable"
        return f"{more.value:+.3f} ± {more.high - more.value:.3f}"

    def table(self) -> str:
        """Return the table in Markdown: means over the seeds, ± half the 95 % interval."""
        heads = ["variant", *(head for head, _ in COLUMNS.values())]
        heads.insert(2, "against the first")
        lines = [heads]
        for variant in self.variants:
            cells = [variant, *(self._cell(variant, measure) for measure in COLUMNS)]
            cells.insert(2, self.verdict(variant))
            lines.append(cells)
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        lines.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
        padded = [
            [line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])] for line in lines
        ]
        return "\n".join(f"| {' | '.join(line)} |" for line in padded)

    def _cell(self, variant: str, measure: str) -> str:
        values, style = list(self.measured(variant, measure).values()), COLUMNS[measure][1]
        if not values:
            return "-"
        mean = ratio(values)
        spread = "" if mean.low is None or measure == "parameters" else mean.high - mean.value
        return f"{mean.value:{style}}" + (f" ± {spread:{style}}" if spread != "" else "")

    def caption(self) -> str:
        """Say what the numbers are of."""
        seeds = ("seed " if len(self.seeds) == 1 else "seeds ") + ", ".join(map(str, self.seeds))
        return (
            f"{self.corpus}, {self.steps} steps each, {seeds}; bits and codes on {self.utterances} "
            "held-out utterances, at most 10 s of each. A first stage's steps come on top."
        )

    def __str__(self) -> str:
        """Return the table with its caption."""
        return f"{self.table()}\n\n{self.caption()}"

    _repr_markdown_ = __str__

    def plot(self, figure=None):
        """Draw bits, perplexity and training time of all variants; return the figure."""
        measures = {
            "bits": "held out (bits a sample)",
            "perplexity": "perplexity (codes)",
            "samples_per_second": "training (1000 samples/s)",
        }
        scales = {"samples_per_second": 1e-3}
        values = {
            label: [
                scales.get(measure, 1.0) * np.array(list(self.measured(name, measure).values()))
                for name in self.variants
            ]
            for measure, label in measures.items()
        }
        return plot_comparison(self.variants, values, figure)

    def save(self, folder: str | Path) -> Path:
        """Write `compare.json`, `compare.md` and `compare.png`; return the folder."""
        from matplotlib.figure import Figure

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        content = {"corpus": self.corpus, "steps": self.steps, "utterances": self.utterances}
        with replacing(folder / "compare.json") as scratch:
            scratch.write_text(json.dumps({**content, "rows": self.rows}, indent=1), "utf-8")
        with replacing(folder / "compare.md") as scratch:
            scratch.write_text(f"{self}\n", encoding="utf-8")
        with replacing(folder / "compare.png") as scratch:
            self.plot(Figure()).savefig(scratch, dpi=110, format="png")
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> "Comparison":
        """Read back what `save` wrote."""
        file = Path(folder) / "compare.json"
        if not file.is_file():
            raise InputError(f"no comparison at {folder}: expected {file.name}, see vq.compare")
        return cls(**json.loads(file.read_text(encoding="utf-8")))


def compare(
    variants: Iterable | dict | None,
    data: Corpus | Store,
    *,
    base: str | Path | dict | Preset = "mini",
    seeds: Iterable[int] | int = (0,),
    save: str | Path | None = None,
    progress: bool = True,
    **changes,
) -> Comparison:
    """Train several variants on the same speech and measure them alike.

    Each is a run of its own in the folder, which can be listened to; one that is there already is
    not trained again, one that was stopped goes on.

    Args:
        variants: a list, or a dict by name, of changes to `base` as `Preset.change` takes them,
            such as `{"bottleneck": "ema"}`, also as text, "bottleneck=ema,steps=500"; or presets:
            their names, files or contents. The first is what the others are compared with. None
            stands for `FAMILY`: every encoder, bottleneck and way to train. All get the base's
            batches of crops, whose length is rounded to a multiple of every hop.
        data: a corpus or its store.
        base: the preset that changes are made to.
        seeds: of weights and crops, one run each; a number stands for so many. From two on there
            are intervals, and differences within them are called not distinguishable.
        save: a folder; by default `compare-CORPUS` in `results()`.
        progress: show progress bars.
        **changes: to all variants, such as `steps=300`; `seed=3` stands for `seeds=[3]`.

    Raises:
        InputError: variants that have the same name, take different numbers of steps, can't be
            built or can't speak, or that the folder holds with other settings; before any training.

    Example:
        compare({"VQ": {}, "EMA": {"bottleneck": "ema"}}, corpus, steps=300, seeds=3)
    """
    store = prepare(data, progress=progress) if isinstance(data, Corpus) else data
    if not isinstance(store, Store):
        raise InputError(f"compare needs a corpus or its store; given {type(data).__name__}")
    if "seed" in changes:  # one seed, by the name that it has in training
        seeds = [changes.pop("seed")]
    seeds = list(range(seeds)) if isinstance(seeds, int) else [int(seed) for seed in seeds]
    chosen = _presets(FAMILY if variants is None else variants, load_preset(base), changes)
    if not chosen or not seeds:
        raise InputError("nothing to compare: give at least one variant and one seed")
    folder = Path(save) if save else results() / f"compare-{store.corpus.name}"
    steps = {preset.training.steps for preset in chosen.values()}
    if len(steps) > 1:
        raise InputError(f"the variants take {sorted(steps)} steps: give steps= for all of them")
    members = len(store.numbers("held_out"))
    if not members:
        raise InputError(
            f"{store.corpus.name} holds out no utterance to compare on: it has only "
            f"{len(store.numbers('train'))}"
        )
    jobs = [
        (name, seed, preset.change(seed=seed)) for name, preset in chosen.items() for seed in seeds
    ]
    _refuse_what_will_fail(jobs, store, folder)
    rows = []
    for number, (name, seed, preset) in enumerate(jobs):
        print(f"{number + 1} of {len(jobs)}: {name}, seed {seed}", flush=True)
        run = _trained(store, preset, folder / _slug(name, seed), progress)
        rows.append({"variant": name, "seed": seed, "run": run.folder.name})
        rows[-1] |= _measure(run, store, members)
        del run
        gc.collect()
        Comparison(store.corpus.name, *steps, members, rows).save(folder)
    return Comparison.load(folder)


def _presets(variants: Iterable | dict, base: Preset, changes: dict) -> dict[str, Preset]:
    """Return the presets by name, all with a crop that every hop divides."""
    if isinstance(variants, dict):
        pairs = [(str(name), variant) for name, variant in variants.items()]
    else:
        pairs = [(_name_of(variant), variant) for variant in variants]
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise InputError(f"variants of the same name: {', '.join(names)}; give a dict by name")
    presets = {name: _preset(variant, base).change(**changes) for name, variant in pairs}
    common = math.lcm(*(hop_length(preset.encoder) for preset in presets.values()))
    crops = {name: getattr(base.change(**changes).training, name) for name in ALIKE}
    crops["segment_length"] = max(1, round(crops["segment_length"] / common)) * common
    return {name: preset.change(**crops) for name, preset in presets.items()}


def _preset(variant, base: Preset) -> Preset:
    if isinstance(variant, str) and "=" in variant:
        variant = parse_changes(re.split(r",(?=\s*[\w.]+\s*=)", variant))
    if isinstance(variant, dict) and not all(
        isinstance(variant.get(part), dict) and "class_name" in variant[part] for part in PARTS
    ):
        for name in ALIKE & set(variant):
            raise InputError(
                f"a variant changes {name}, which is the same for all: the crops would differ. "
                f"Give {name}= for all of them" + (", or seeds=" if name == "seed" else "")
            )
        return base.change(**variant)
    return load_preset(variant)


def _name_of(variant) -> str:
    if isinstance(variant, dict):
        parts = [f"{k}={v}" for k, v in variant.items() if not isinstance(v, dict)]
        parts += [
            f"{part}.{k}={v}"
            for part, settings in variant.items()
            if isinstance(settings, dict)
            for k, v in settings.items()
        ]
        return ", ".join(parts) or "base"
    return variant.name if isinstance(variant, Preset) else str(variant)


def _slug(name: str, seed: int) -> str:
    return re.sub(r"\W+", "-", name).strip("-").lower() + f"-seed{seed}"


def _refuse_what_will_fail(jobs: list[tuple], store: Store, folder: Path) -> None:
    """Raise InputError for variants that can't be built, can't speak, or whose place is taken."""
    slugs = [_slug(name, seed) for name, seed, _ in jobs]
    if len(set(slugs)) < len(slugs):
        raise InputError(f"variants whose folders would have the same name: {', '.join(slugs)}")
    levels = {}
    for (name, _, preset), slug in zip(jobs, slugs, strict=True):
        model = build_model(preset, list(store.corpus.speakers))
        if not model.is_autoregressive:
            raise InputError(f"{name} has no WaveNet, so its bits can't be compared")
        if not preset.training.first_stage_steps:
            check_lpc_sources(model, preset.training.freeze, {})
        codec = model.decoder.codec
        levels[codec.num_levels, codec.pre_emphasis] = name
        if len(levels) > 1:
            told = [f"{n}: {k} levels, pre-emphasis {a}" for (k, a), n in levels.items()]
            raise InputError(
                f"bits a sample of other levels can't be compared ({'; '.join(told)}): give all "
                "variants the same decoder.codec.num_levels and decoder.codec.pre_emphasis"
            )
        if (folder / slug / "config.json").is_file():
            run = Run(folder / slug)
            there = run.preset
            if preset.training.first_stage_steps:
                there = there.change(freeze=())
            if not there.same_as(preset) or run.config["corpus"] != store.corpus.name:
                raise InputError(
                    f"{folder / slug} holds a run of other settings: compare into another folder "
                    "(save=), or remove it; nothing was overwritten"
                )


def _trained(store: Store, preset: Preset, folder: Path, progress: bool) -> Run:
    """Return the finished run of a preset in a folder; train what is missing of it."""
    if (folder / "config.json").is_file() and Run(folder).steps:
        if Run(folder).newest == preset.training.steps:
            return Run(folder)
        return train(store, restore=folder, progress=progress)
    return train(store, preset, save=folder / "weights", progress=progress)


def _speed(history: list[dict]) -> float:
    """Return samples a second of training after the first logging interval, which compiles."""
    first, last = history[0] if len(history) > 1 else {"samples": 0, "seconds": 0.0}, history[-1]
    seconds = max(last["seconds"] - first["seconds"], 0.01)  # which is how they are rounded
    return (last["samples"] - first["samples"]) / seconds


def _measure(run: Run, store: Store, utterances: int) -> dict[str, float]:
    """Return the measures of a run that it has."""
    model, last = run.model, run.history[-1]
    measured = validate(model, store, utterances=utterances)
    kept = ("bits", "codes_used", "codes_dead", "perplexity", "z_e_rms", "code_rms")
    row = {name: measured[name] for name in kept if name in measured}
    rate = audio.SAMPLE_RATE / model.hop_length
    soft = getattr(model.bottleneck, "straight_through", True) is False
    if "perplexity" in row and not soft:  # a mean of rows carries more than its likeliest code
        row["nominal_rate"] = rate * model.bits_per_code
        row["entropy_rate"] = rate * math.log2(row["perplexity"])
    seconds = last["seconds"]
    stage = run.folder / "first_stage"
    if stage.is_dir():
        row["first_stage_seconds"] = Run(stage).history[-1]["seconds"]
    return row | {
        "seconds": seconds + row.get("first_stage_seconds", 0.0),
        "samples_per_second": _speed(run.history),
        "parameters": model.count_learned(),
    }
