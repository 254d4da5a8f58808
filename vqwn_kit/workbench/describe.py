"""Facts about a run, a checkpoint, a preset or a corpus, as texts by name."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from vqwn_kit.data.audio import SAMPLE_RATE
from vqwn_kit.data.corpus import SPLITS, find_folder, open_corpus
from vqwn_kit.errors import InputError, one_of
from vqwn_kit.evaluation.familiarity import FILE, stored_calibration
from vqwn_kit.files import counted
from vqwn_kit.presets.build import build_model
from vqwn_kit.presets.preset import Preset, load_preset, preset_names
from vqwn_kit.presets.training_config import PARTS
from vqwn_kit.runs.run import Run, load_run
from vqwn_kit.workbench import cost
from vqwn_kit.workbench.facts import Facts, FactTable
from vqwn_kit.workbench.problems import find_problems

MOST_NAMES = 12  # of speakers that are listed


def describe(
    what: str | Path | dict | Preset, *, measure: bool = False, **changes
) -> Facts | FactTable:
    """Return facts by name about a run, a checkpoint, a preset or a folder of speech.

    Of a preset also what its training costs and which of its settings cannot work together, before
    anything is trained.

    Args:
        what: the name or path of a run, a checkpoint or a folder; or a preset, see `load_preset`.
        measure: time a few training steps of each stage on noise on this machine, and the memory
            that they take; seconds for a small model, a minute or more for a large one.
        **changes: of a preset, see `Preset.change`. A list for one of the parts, such as
            `encoder=["64", "Magenta", "2019"]`, describes them side by side, on crops of one
            length.

    Returns:
        `Facts`, a dict of texts with the list `problems`; or of a list a `FactTable`, a dict of
        `Facts`, which are its rows.

    Raises:
        InputError: it is none of them, or the preset cannot be built.

    Example:
        vq.describe("paper", bottleneck="fsq").problems
        vq.describe("paper", encoder=["64", "2019"], measure=True)
    """
    if _is_preset(what):
        lists = [part for part in PARTS if isinstance(changes.get(part), list | tuple)]
        if lists:
            return _side_by_side(load_preset(what), lists, measure, changes)
        return _describe_model(load_preset(what).change(**changes), [], measure)
    if changes:
        raise InputError(
            f"{what} with changes ({', '.join(changes)}); expected a preset: there are "
            f"{', '.join(preset_names())}"
        )
    path = find_folder(what)
    if path.is_dir() and not (path / "config.json").is_file():
        return _describe_corpus(path)
    try:
        run = load_run(path)
    except InputError:
        if path.name != str(what) or path.exists() or Path("config.json").is_file():
            raise
        raise one_of("run, checkpoint, folder or preset", path.name, preset_names()) from None
    return _describe_run(run, measure)


def _is_preset(what: str | Path | dict | Preset) -> bool:
    if isinstance(what, dict | Preset):
        return True
    name, first = str(what), str(what).removesuffix("/first_stage")
    of_first = first != name and first in preset_names() and not Path(name).exists()
    return of_first or name in preset_names() or name.endswith(".json")


def _describe_run(run: Run, measure: bool) -> Facts:
    facts = {
        "run": str(run.folder),
        "corpus": run.config["corpus"],
        "speakers": _listed(run.trained_speakers),
        **_trained_on(run),
        "checkpoints": ", ".join(map(str, run.steps)),
        **_trained_for(run),
    }
    if run.added_voices:
        facts["added voices"] = "; ".join(map(str, run.added_voices.values()))
    if measured := [record for record in run.history if "held_out/bits" in record]:
        text = f"{measured[-1]['held_out/bits']:.3f} at step {measured[-1]['step']}, of "
        facts["held-out bits per sample"] = text + run.model.decoder.codec.signal
    sources = run.config.get("parts") or {}
    described = _describe_model(run.preset, list(run.trained_speakers), measure, sources)
    return Facts(facts | described, described.problems)


def _trained_on(run: Run) -> dict[str, str]:
    """Return what a run was trained on, and which recordings are like it, where that is known."""
    calibration = stored_calibration(run)
    if calibration is None:
        stale = "not known for these weights: measure with `vqwn info RUN --calibrate`"
        return {"familiar recordings": stale} if (run.folder / FILE).is_file() else {}
    limit = (
        f"up to {calibration.threshold:g} times as far from the codes as held-out speech, see "
        "`vqwn generate`"
    )
    return {"trained on": str(calibration), "familiar recordings": limit}


def _trained_for(run: Run) -> dict[str, str]:
    """Return how many steps of its schedule each stage of a run has taken."""
    texts = []
    for name, folder in (("first stage ", run.folder / "first_stage"), ("", run.folder)):
        history = Run(folder).history if (folder / "config.json").is_file() else []
        if history:
            steps = Run(folder).preset.training.steps
            texts.append(f"{name}{history[-1]['step']:,} of {steps:,} steps")
    return {"trained for": ", then ".join(texts)} if texts else {}


def _describe_model(
    preset: Preset, speakers: list[str], measure: bool, sources: Collection[str] = ()
) -> Facts:
    model, stages = build_model(preset, speakers), cost.stages_of(preset)
    facts = {"preset": preset.name} | _parts(model) | _rates(model)
    for name, stage in stages.items():
        config = stage.training
        facts[name] = (
            f"{config.steps} steps of {config.batch_size} x {config.segment_length} samples, "
            f"{_duration(cost.minutes_of_speech(stage))} of speech, repetitions counted; learning "
            f"rate {_schedule(config.learning_rate)}"
        )
    facts["synthesis"] = f"{cost.multiply_adds(model):,} multiply-adds per sample"
    weights, activations = cost.estimated_memory(preset, model)
    facts["memory, estimated"] = (
        f"{_size(weights)} of weights, average, gradients and Adam; about {_size(activations)} of "
        "the decoder's activations"
    )
    problems = find_problems(preset, model, sources)
    if measure:
        del model  # its memory is not that of a step
        facts |= _measured({name: cost.measure_step(stage) for name, stage in stages.items()})
    return Facts(facts, problems)


def _schedule(rate: float | dict) -> str:
    """Return a learning rate, or how it changes over the steps."""
    if not isinstance(rate, dict):
        return f"{rate:g}"
    if "peak" in rate:
        up = (
            f"rises to {rate['peak']:g} in {rate['warm_up']} steps and "
            if rate.get("warm_up")
            else ""
        )
        return (
            f"{up}falls to {rate.get('end', 0):g}"
            if up
            else f"{rate['peak']:g}, falls to {rate.get('end', 0):g}"
        )
    return ", ".join(f"{value:g} from step {step}" for step, value in sorted(rate.items()))


def _parts(model) -> dict[str, str]:
    parts = [getattr(model, name) for name in PARTS]
    texts = [f"{type(part).__name__}, {part.count_params():,} parameters" for part in parts]
    return dict(zip(PARTS, texts, strict=True))


def _rates(model) -> dict[str, str]:
    bottleneck, rate = model.bottleneck, SAMPLE_RATE / model.hop_length
    seen = [(name, getattr(model, name).receptive_field) for name in ("encoder", "decoder")]
    fields = [f"{name} {count} samples ({_ms(count)})" for name, count in seen]
    facts = {
        "hop length": f"{model.hop_length} samples ({_ms(model.hop_length)}), "
        f"{rate:g} frames per second",
        "receptive field": ", ".join(fields),
    }
    if bottleneck.num_embeddings:
        count, size = bottleneck.num_codebooks, bottleneck.num_embeddings
        several = f"{count} codebooks per frame, each of " if count > 1 else ""
        facts["codebook"] = f"{several}{size} codes of {bottleneck.embedding_dim}"
        facts["bit rate"] = f"{rate * model.bits_per_frame:g} bits per second, nominal"
    if model.pitch_levels:
        facts["pitch"] = (
            f"{model.pitch_levels} levels: {rate * np.log2(model.pitch_levels):.4g} bits "
        )
        facts["pitch"] += "per second more, nominal"
    return facts


def _measured(stages: dict[str, cost.StepCost]) -> dict[str, str]:
    facts = {
        f"{name}, measured": f"{step.seconds:.3g} s per step, {1 / step.seconds:.3g} steps and "
        f"{step.rate:,.0f} samples per second: {_duration(step.minutes)} for {step.steps} steps"
        for name, step in stages.items()
    }
    total = _duration(sum(step.minutes for step in stages.values()))
    facts["whole training"] = f"{total} on this machine, without validation"
    sizes = [step.memory for step in stages.values() if step.memory is not None]
    if sizes:
        facts["memory, measured"] = f"{_size(max(sizes))} more than before the first step"
    return facts


def _side_by_side(preset: Preset, lists: list[str], measure: bool, changes: dict) -> FactTable:
    """Describe several classes of one part in a table; see `describe`."""
    from vqwn_kit.training.variants import presets_of

    if len(lists) > 1:
        raise InputError(f"lists for {' and '.join(lists)}; expected a list for one part")
    (part,) = lists
    variants = {_name(change): {part: change} for change in changes[part]}
    if len(variants) < len(changes[part]):
        raise InputError(f"{part} lists one twice: {', '.join(map(_name, changes[part]))}")
    rest = {name: value for name, value in changes.items() if name != part}
    rows, costs = {}, []
    for name, variant in presets_of(variants, preset, rest).items():
        model = build_model(variant, [])
        rows[name] = Facts(_row(part, model), find_problems(variant, model))
        if measure:
            stages = [cost.measure_step(stage) for stage in cost.stages_of(variant).values()]
            costs.append((cost.measure_encoding(model), stages))
            rows[name] |= _cost_columns(*costs[-1], *costs[0])
    config = variant.training
    caption = f"{preset.name} with another {part}; crops of {config.segment_length} samples"
    if measure:
        caption += f", {config.batch_size} at once; costs were measured on this machine"
    return FactTable(part, rows, caption)


def _name(change: str | dict) -> str:
    """Return the name of a row: the class, and its settings if any were given."""
    if not isinstance(change, dict):
        return str(change)
    settings = [f"{key}={value}" for key, value in change.items() if key != "class_name"]
    return ", ".join([str(change["class_name"])] * ("class_name" in change) + settings) or "base"


def _row(part: str, model) -> dict[str, str]:
    rate, layer = SAMPLE_RATE / model.hop_length, getattr(model, part)
    field = (model.decoder if part == "decoder" else model.encoder).receptive_field
    coded = model.bottleneck.num_embeddings
    return {
        "hop": f"{model.hop_length}",
        "codes per second": f"{rate * max(1, model.bottleneck.num_codebooks):g}" if coded else "-",
        "bits per second": f"{rate * model.bits_per_frame:g}" if coded else "-",
        "receptive field (ms)": f"{1000 * field / SAMPLE_RATE:.0f}",
        "parameters": f"{layer.count_params():,}",
    }


def _cost_columns(
    encoding: float, stages: list[cost.StepCost], encoding_0: float, stages_0: list[cost.StepCost]
) -> dict[str, str]:
    """Return the columns of what was measured; relative ones are to the first row (0)."""
    minutes, minutes_0 = (sum(step.minutes for step in part) for part in (stages, stages_0))
    return {
        "encoding (ms per s)": f"{1000 * encoding:,.1f}",
        "encoding, relative": f"{encoding / encoding_0:.2f}",
        "training (samples per s)": f"{stages[-1].rate:,.0f}",
        "all steps (min)": f"{minutes:,.1f}",
        "training, relative": f"{minutes / minutes_0:.2f}",
    }


def _ms(samples: int) -> str:
    return f"{1000 * samples / SAMPLE_RATE:.0f} ms"


def _size(count: int) -> str:
    """Return a number of bytes as text."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"


def _duration(minutes: float) -> str:
    """Return minutes as text, in the unit that fits."""
    if minutes >= 120:
        return f"{minutes / 60:,.1f} hours"
    return f"{minutes:.3g} minutes" if minutes >= 1 else f"{60 * minutes:.2g} seconds"


def _describe_corpus(folder: Path) -> Facts:
    corpus = open_corpus(folder)
    facts = {"corpus": str(folder), "layout": f"{corpus.layout} ({corpus.reason})"}
    facts |= {split: counted(len(corpus.split(split)), "utterances") for split in SPLITS}
    return Facts(facts | {"speakers": _listed(corpus.speakers)})


def _listed(names) -> str:
    return f"{len(names)}: {', '.join(list(names)[:MOST_NAMES])}"
