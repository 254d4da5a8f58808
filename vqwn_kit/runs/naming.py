"""The name of a run folder: its parts, how its settings differ from the preset, and the date."""

import hashlib
import json
from collections.abc import Sequence

from vqwn_kit.files import file_name, short_name
from vqwn_kit.presets.build import codebook_sizes
from vqwn_kit.presets.preset import Preset, load_preset, preset_names
from vqwn_kit.presets.signatures import signature

NONE = "-"  # instead of the value of a setting that a preset does not have


def run_name(preset: Preset, corpus_name: str, stamp: str) -> str:
    """Return a name: the parts, what differs from the shipped preset of that name, and the date.

    Such as `64-vq512-mini-20261122-1403`, or `64-vq512-mini-seed3-steps500-20261122-1403`.

    Args:
        preset: the preset.
        corpus_name: name of the corpus.
        stamp: the date, `%Y%m%d-%H%M`.
    """
    encoder = signature("encoder", str(preset.encoder["class_name"])).short_name
    bottleneck = signature("bottleneck", str(preset.bottleneck["class_name"])).short_name
    codebooks, size = codebook_sizes(preset)
    size = f"{codebooks}x{size}" if codebooks > 1 else size or ""
    parts = [f"{encoder}-{bottleneck}{size}", short_name(corpus_name, 60), *_differences(preset)]
    return "-".join([short_name("-".join(parts), 120), stamp])


def _differences(preset: Preset) -> list[str]:
    """Return how a preset differs from the shipped one of its name, the classes of parts aside.

    Up to three settings as `seed3`; of more a hash.
    """
    if preset.name not in preset_names():
        return [file_name(preset.name, 40)]
    said = ("class_name", "num_embeddings", "num_codebooks")  # by the rest of the name
    changed = {
        key.rpartition(".")[2]: value
        for key, (_, value) in differing_settings([load_preset(preset.name), preset]).items()
        if value != NONE and not key.endswith(said)
    }
    if len(changed) > 3:
        return [f"changed{hashlib.sha256(json.dumps(changed).encode()).hexdigest()[:6]}"]
    return [key + file_name(json.dumps(value), 20) for key, value in changed.items()]


def differing_settings(presets: Sequence[Preset]) -> dict[str, list]:
    """Return the settings in which presets differ, a value or "-" per preset, by dotted name.

    Of a part whose class differs, only the class.
    """
    every = [flat_settings(preset.to_dict()) for preset in presets]
    names = dict.fromkeys(name for settings in every for name in settings)
    rows = {name: [settings.get(name, NONE) for settings in every] for name in names}
    rows = {name: row for name, row in rows.items() if any(value != row[0] for value in row)}
    parts = [name.removesuffix("class_name") for name in rows if name.endswith(".class_name")]
    return {
        name: row
        for name, row in rows.items()
        if not any(name.startswith(part) and name != f"{part}class_name" for part in parts)
    }


def flat_settings(content: dict, prefix: str = "") -> dict:
    """Return the settings of a preset by their dotted names, those of parts of parts included."""
    settings = {}
    for key, value in content.items():
        if isinstance(value, dict) and ("class_name" in value or key in ("config", "training")):
            settings |= flat_settings(value, prefix if key == "config" else f"{prefix}{key}.")
        elif prefix or key != "name":
            settings[prefix + key] = value
    return settings
