"""Facts about a run, a checkpoint, a preset or a corpus, as texts by name."""

from pathlib import Path

from vqwn_kit.data import audio
from vqwn_kit.data.corpus import SHORT_NAMES, SPLITS, find_folder, open_corpus
from vqwn_kit.errors import InputError, one_of
from vqwn_kit.presets.build import build_model
from vqwn_kit.presets.preset import Preset, load_preset, preset_names
from vqwn_kit.runs.run import Run

MOST_NAMES = 12  # of speakers that are listed


def describe(what: str | Path) -> dict[str, str]:
    """Return facts by name about a run, a checkpoint, a preset or a folder of speech.

    Raises:
        InputError: it is none of them.
    """
    name, path = str(what), Path(what)
    if name in preset_names() or name.endswith(".json"):
        return _describe_model(load_preset(what), [])
    if name in SHORT_NAMES:
        path = find_folder(path)
    elif path.name == name and not path.exists() and not (path.parent / "config.json").is_file():
        raise one_of("run, checkpoint, folder or preset", name, preset_names())
    if (path / "config.json").is_file() or (not path.is_dir() and path.parent.is_dir()):
        return _describe_run(Run(path))
    if path.is_dir():
        return _describe_corpus(path)
    raise InputError(
        f"{what} is no run, checkpoint or folder, and no preset: there are "
        f"{', '.join(preset_names())}"
    )


def _describe_run(run: Run) -> dict[str, str]:
    facts = {
        "run": str(run.folder),
        "corpus": run.config["corpus"],
        "speakers": _listed(run.speakers),
        "checkpoints": ", ".join(map(str, run.steps)),
    }
    measured = [record for record in run.history if "held_out/bits" in record]
    if measured:
        text = f"{measured[-1]['held_out/bits']:.3f} at step {measured[-1]['step']}"
        if emphasis := run.model.decoder.codec.pre_emphasis:
            text += f", with pre-emphasis {emphasis}"
        facts["bits per sample, held out"] = text
    return facts | _describe_model(run.preset, list(run.speakers))


def _describe_model(preset: Preset, speakers: list[str]) -> dict[str, str]:
    model = build_model(preset, speakers)
    rate = audio.SAMPLE_RATE / model.hop_length
    encoder, bottleneck, decoder = parts = model.encoder, model.bottleneck, model.decoder
    facts = {"preset": preset.name}
    facts |= {type(part).__name__: f"{part.count_params():,} parameters" for part in parts}
    milliseconds = 1000 * decoder.receptive_field / audio.SAMPLE_RATE
    facts |= {
        "hop length": f"{model.hop_length} samples, {rate:g} frames per second",
        "receptive field": f"encoder {encoder.receptive_field}, decoder {decoder.receptive_field} "
        f"samples ({milliseconds:.0f} ms)",
    }
    if bottleneck.num_embeddings:
        facts["codebook"] = f"{bottleneck.num_embeddings} codes of {bottleneck.embedding_dim}"
        facts["bit rate"] = f"{rate * model.bits_per_code:g} bits per second, nominal"
    training = preset.training
    crops = f"{training.batch_size} x {training.segment_length} samples"
    return facts | {"training": f"{training.steps} steps of {crops}"}


def _describe_corpus(folder: Path) -> dict[str, str]:
    corpus = open_corpus(folder)
    facts = {"corpus": str(folder), "layout": f"{corpus.layout} ({corpus.reason})"}
    facts |= {split: f"{len(corpus.split(split))} utterances" for split in SPLITS}
    return facts | {"speakers": _listed(corpus.speakers)}


def _listed(names) -> str:
    return f"{len(names)}: {', '.join(list(names)[:MOST_NAMES])}"
