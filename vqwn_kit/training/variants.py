"""Variants of a preset to compare: the family of all parts, and presets made from changes."""

import json
import math
import re
from collections.abc import Iterable
from pathlib import Path

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.presets.parts import hop_length
from vqwn_kit.presets.preset import Preset, load_preset, parse_changes, preset_names
from vqwn_kit.presets.training_config import PARTS

SHARED = {"seed", "segment_length", "batch_size", "sampling"}  # they determine the crops
# By name: `wavenet`, every encoder, bottleneck and way to train; `units`, every quantizer. Each is
# changes of its first variant, the base.
FAMILIES = json.loads(Path(__file__).with_name("families.json").read_text(encoding="utf-8"))


def presets_of(variants: Iterable | dict | str, base: Preset, changes: dict) -> dict[str, Preset]:
    """Return presets by name that take the same crops, of a length that every hop divides.

    Args:
        variants: see `compare`.
        base: the preset that variants change.
        changes: of all variants.

    Raises:
        InputError: no such family, variants of the same name, or one that changes a setting in
            `SHARED`.
    """
    if isinstance(variants, str) and variants in FAMILIES:
        variants = FAMILIES[variants]
    elif isinstance(variants, str):
        if variants not in preset_names() and not variants.endswith(".json"):
            raise one_of("family of variants or preset", variants, [*FAMILIES, *preset_names()])
        variants = [variants]
    if isinstance(variants, dict):
        pairs = [(str(name), variant) for name, variant in variants.items()]
    else:
        pairs = [(_name(variant), variant) for variant in variants]
    names = [name for name, _ in pairs]
    if not names:
        raise InputError("nothing to compare: give at least one variant")
    if len(set(names)) < len(names):
        raise InputError(f"variants of the same name: {', '.join(names)}; give a dict by name")
    presets = {name: _preset(variant, base).change(**changes) for name, variant in pairs}
    common = math.lcm(*(hop_length(preset.encoder) for preset in presets.values()))
    crops = {name: getattr(base.change(**changes).training, name) for name in SHARED}
    crops["segment_length"] = max(1, round(crops["segment_length"] / common)) * common
    return {name: preset.change(**crops) for name, preset in presets.items()}


def _preset(variant, base: Preset) -> Preset:
    """Return the preset of changes to the base, as a dict or as text, or of a preset."""
    if isinstance(variant, str) and "=" in variant:
        variant = parse_changes(re.split(r",(?=\s*[\w.]+\s*=)", variant))
    if not isinstance(variant, dict) or all(_is_part(variant.get(part)) for part in PARTS):
        return load_preset(variant)
    for name in SHARED & set(variant):
        raise InputError(
            f"a variant changes {name}, which is the same for all, or the crops would differ: give "
            f"{name}= for all of them" + (", or seeds=" if name == "seed" else "")
        )
    return base.change(**variant)


def _is_part(settings) -> bool:
    return isinstance(settings, dict) and "class_name" in settings


def _name(variant) -> str:
    """Return the name of a variant in a list: its changes, or the name of its preset."""
    if not isinstance(variant, dict):
        return variant.name if isinstance(variant, Preset) else str(variant)
    nested = {part: keys for part, keys in variant.items() if isinstance(keys, dict)}
    texts = [f"{key}={value}" for key, value in variant.items() if key not in nested]
    texts += [f"{part}.{k}={v}" for part, keys in nested.items() for k, v in keys.items()]
    return ", ".join(texts) or "base"
