"""Presets: constructor keywords as JSON, read, checked and changed.

A preset has four parts: `encoder`, `bottleneck` and `decoder`, each a `class_name` and a `config`
of constructor keywords, and `training`, the fields of `TrainingConfig`. The config of a decoder
holds parts of the same form: `conditioner`, and for a `WaveNetDecoder` `codec`, `distribution` and
`network`. The two JSON files of the original VQ-VAE-WaveNet are read as presets too.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.files import read_text
from vqwn_kit.presets.original import read_original
from vqwn_kit.presets.parts import change_part, hop_length
from vqwn_kit.presets.training_config import PARTS, TrainingConfig, check_keys

PRESETS = Path(__file__).parent


@dataclass(frozen=True)
class Preset:
    """The four parts of a preset; `encoder`, `bottleneck`, `decoder` as class name and keywords."""

    name: str
    encoder: dict
    bottleneck: dict
    decoder: dict
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def to_dict(self) -> dict:
        """Return the preset as it stands in a JSON file."""
        return asdict(self)

    def same_as(self, other: "Preset") -> bool:
        """Say whether two presets have the same parts and training, whatever their names."""
        one, two = (json.loads(json.dumps(preset.to_dict())) for preset in (self, other))
        return {**one, "name": ""} == {**two, "name": ""}

    def change(self, **changes) -> "Preset":
        """Return a preset with parts or training settings exchanged.

        Args:
            **changes: training settings by name, such as `steps=2000`; and for `encoder`,
                `bottleneck` or `decoder` another class by its name or short name, such as
                `encoder="2019"` or `bottleneck="ema"`, or settings to change, such as
                `bottleneck={"joint": True}`, in which `class_name` may name another class too.
                A new class keeps the sizes that both have. Where a new encoder has another hop, the
                crop becomes the nearest multiple of it, if no `segment_length` is given.

        Raises:
            InputError: no such class or setting; the message names the nearest.
        """
        settings = [entry.name for entry in fields(TrainingConfig)]
        check_keys(changes, [*PARTS, *settings], "part or training setting")
        parts = {
            part: change_part(part, getattr(self, part), changes[part])
            for part in PARTS
            if part in changes
        }
        training = {**asdict(self.training), **{k: v for k, v in changes.items() if k not in PARTS}}
        if "encoder" in parts and "segment_length" not in changes:
            hop, length = hop_length(parts["encoder"]), training["segment_length"]
            training["segment_length"] = max(1, round(length / hop)) * hop
        return replace(self, **parts, training=TrainingConfig(**training))


def preset_names() -> list[str]:
    """Return the names of the shipped presets."""
    return sorted(path.stem for path in PRESETS.glob("*.json") if "_parameters" not in path.stem)


def load_preset(preset: str | Path | dict | Preset) -> Preset:
    """Read a preset.

    Args:
        preset: a name of `preset_names()`, the path of a JSON file, of ours or the original's
            `model_parameters.json` (shipped under that name too), or the parts as a dict.

    Raises:
        InputError: no such preset, or an unknown key in it; the message names the nearest.
    """
    if isinstance(preset, Preset):
        return preset
    if isinstance(preset, dict):
        return _from_dict(preset, preset.get("name", "own"))
    path = Path(preset)
    if path.suffix != ".json":
        path = PRESETS / f"{preset}.json"
    elif not path.is_file() and path.name == str(preset):
        path = PRESETS / path.name
    if not path.is_file():
        raise one_of("preset", str(preset), [*preset_names(), "the path of a .json file"])
    content = _read_json(path)
    if "wavenet_parameters" in content:
        return Preset(path.stem, **read_original(content, path, _read_json))
    return _from_dict(content, path.stem)


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no preset: expected an object with keys, such as {PARTS}")
    return content


def from_dict(content: dict) -> Preset:
    """Read a preset back from what `Preset.to_dict` returned."""
    return _from_dict(content, content["name"])


def _from_dict(content: dict, name: str) -> Preset:
    check_keys(content, [*PARTS, "training", "name"], "part of a preset")
    for part in PARTS:
        if "class_name" not in content.get(part, {}):
            raise InputError(f"preset {name!r} names no class for its {part}: give 'class_name'")
        check_keys(content[part], ["class_name", "config"], f"key of the {part}")
    training = content.get("training", {})
    check_keys(training, [entry.name for entry in fields(TrainingConfig)], "training setting")
    parts = [{"config": {}, **content[part]} for part in PARTS]
    return Preset(name, *parts, TrainingConfig(**training))


def parse_changes(texts: Iterable[str]) -> dict:
    """Read changes as the command line gives them, for `Preset.change`.

    Args:
        texts: such as `steps=2000`, `encoder=2019`, `bottleneck.joint=true`,
            `decoder.codec.pre_emphasis=0.85`; values are JSON, or else words.

    Raises:
        InputError: a text without `=`, or settings of a part beside another change of it.
    """
    changes: dict = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise InputError(
                f"{text!r} changes nothing: expected NAME=VALUE, such as bottleneck=ema, "
                "bottleneck.joint=true or steps=2000"
            )
        *path, last = key.strip().split(".")
        place = changes
        for name in [*path, last] if not path and last in PARTS else path:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                raise InputError(f"{text!r} stands beside another change of {name}: give one")
        if not path and last in PARTS:
            place["class_name"] = value.strip()
        else:
            place[last] = value.strip() if last == "class_name" else _json_or_word(value)
    return changes


def _json_or_word(text: str):
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text.strip()
