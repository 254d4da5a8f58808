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
from vqwn_kit.files import read_json
from vqwn_kit.presets.original import read_original
from vqwn_kit.presets.parts import change_part, check_part, hop_length, setting_names
from vqwn_kit.presets.signatures import signature
from vqwn_kit.presets.training_config import (
    PARTS,
    TrainingConfig,
    check_keys,
    check_warm_up,
    rate_over,
)

PRESETS = Path(__file__).parent


@dataclass(frozen=True)
class Preset:
    """The four parts of a preset; `encoder`, `bottleneck`, `decoder` as class name and keywords."""

    name: str
    encoder: dict
    bottleneck: dict
    decoder: dict
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self):
        """Check the names of classes and settings, and the sizes."""
        if not isinstance(self.name, str):
            raise InputError(f"the name of a preset is {self.name!r}; expected a text")
        for part in PARTS:
            check_part(part, getattr(self, part))

    def to_dict(self) -> dict:
        """Return the preset as it stands in a JSON file."""
        return asdict(self)

    @property
    def pitch_hop(self) -> int | None:
        """Samples per frame of the pitch that the model takes as an input; None for no pitch."""
        conditioner = self.decoder["config"].get("conditioner") or {}
        levels = conditioner.get("config", {}).get("pitch_levels", 0)
        return hop_length(self.encoder) if levels else None

    def same_as(self, other: "Preset") -> bool:
        """Say whether two presets have the same parts and training, whatever their names."""
        one, two = (json.loads(json.dumps(preset.to_dict())) for preset in (self, other))
        return {**one, "name": ""} == {**two, "name": ""}

    def change(self, **changes) -> "Preset":
        """Return a preset with parts or training settings exchanged.

        Other `steps` (or `first_stage_steps`) take the schedule of the learning rate along in
        proportion, where no `learning_rate` (or `first_stage`) is given; see `rate_over`.

        Args:
            **changes: training settings by name, such as `steps=2000`; and for `encoder`,
                `bottleneck` or `decoder` another class by its name or short name, such as
                `encoder="2019"` or `bottleneck="ema"`, or settings to change, such as
                `bottleneck={"joint": True}`, in which `class_name` may name another class too.
                A new class keeps the sizes that both have. Where a new encoder has another hop, the
                crop becomes the nearest multiple of it, if no `segment_length` is given. `K` and
                `D` are the codes of a codebook and the dimensions of a code.

        Raises:
            InputError: no such class or setting; the message names the nearest.
        """
        self._check_names(changes)
        sizes = {name: changes.pop(name) for name in ("K", "D") if name in changes}
        if sizes:
            return self.change(**changes)._resized(**sizes)
        parts = {
            part: change_part(part, getattr(self, part), changes[part])
            for part in PARTS
            if part in changes
        }
        for part, content in parts.items():  # before a hop is asked for, which takes TensorFlow
            check_part(part, content)
        training = {**asdict(self.training), **{k: v for k, v in changes.items() if k not in PARTS}}
        if "encoder" in parts and "segment_length" not in changes:
            hop, length = hop_length(parts["encoder"]), training["segment_length"]
            training["segment_length"] = max(1, round(length / hop)) * hop
        config = TrainingConfig(**training)
        rates: dict = {}
        if "learning_rate" not in changes:
            rates["learning_rate"] = self._rate_over(config)
        if "first_stage" not in changes:
            rates["first_stage"] = self._first_stage_over(config)
        return replace(self, **parts, training=replace(config, **rates))

    def _rate_over(self, config: TrainingConfig) -> float | dict:
        """Return the learning rate over the steps of a config."""
        return rate_over(config.steps, config.learning_rate, self.training.steps)

    def _first_stage_over(self, config: TrainingConfig) -> dict | None:
        """Return the settings of a first stage, its learning rate over the steps of a config."""
        own, before = config.first_stage, self.training.first_stage_steps
        if not own or "learning_rate" not in own or not before or not config.first_stage_steps:
            return own
        rate = rate_over(config.first_stage_steps, own["learning_rate"], before)
        return {**own, "learning_rate": rate}

    def _check_names(self, changes: dict) -> None:
        names = [*PARTS, *(entry.name for entry in fields(TrainingConfig)), "K", "D"]
        inner = setting_names({part: getattr(self, part) for part in PARTS})
        for key in changes:
            places = [name for name in inner if name.endswith(f".{key}")]
            if key not in names and places:
                given = " or ".join(f"{place}={changes[key]}" for place in places)
                raise InputError(f"{key} is a setting of a part: give {given}")
        check_keys(changes, [*names, *inner], "part or training setting")
        check_keys(changes, names, "part or training setting")

    def _resized(self, K: int | None = None, D: int | None = None) -> "Preset":  # noqa: N803
        """Return a preset with another K or D."""
        changes: dict[str, dict] = {"encoder": {}, "bottleneck": {}}
        if D is not None:
            changes = {part: {"embedding_dim": D} for part in changes}
        if K is not None:
            found = signature("bottleneck", str(self.bottleneck["class_name"]))
            size = {"num_embeddings": K}
            inner = self.bottleneck["config"].get("quantizer") if found.part_names else None
            kind, name = ("quantizer", inner["class_name"]) if inner else ("bottleneck", found.name)
            if "num_embeddings" not in signature(kind, str(name)).keywords:
                raise InputError(
                    f"K={K}: the codes of {found.name} follow from other settings; see "
                    f"{', '.join(found.keywords)}"
                )
            changes["bottleneck"] |= {"quantizer": size} if inner else size
        return self.change(**{part: change for part, change in changes.items() if change})

    def first_stage(self) -> "Preset":
        """Return the preset of the first of two stages: a `MelDecoder`, and settings of its own.

        Raises:
            InputError: the preset has one stage.
        """
        training = self.training
        if not training.first_stage_steps:
            raise InputError(
                f"preset {self.name!r} has no first stage: give one with first_stage_steps, such "
                "as mini or reference"
            )
        own = {"first_stage_steps": 0, "first_stage": None, **(training.first_stage or {})}
        return self.change(decoder="MelDecoder", steps=training.first_stage_steps, **own)

    def check_warm_ups(self) -> None:
        """Raise InputError where one of its stages ends before its warm-up is over."""
        for stage in (self, *([self.first_stage()] if self.training.first_stage_steps else [])):
            check_warm_up(stage.training.learning_rate, stage.training.steps)


def preset_names() -> list[str]:
    """Return the names of the shipped presets."""
    return sorted(path.stem for path in PRESETS.glob("*.json") if "_parameters" not in path.stem)


def load_preset(preset: str | Path | dict | Preset) -> Preset:
    """Read a preset.

    Args:
        preset: a name of `preset_names()`, the path of a JSON file, of ours or the original's
            `model_parameters.json` (shipped under that name too), or the parts as a dict.
            `mini/first_stage` is the first stage alone of a preset that has two.

    Raises:
        InputError: no such preset, or an unknown key in it; the message names the nearest.
    """
    if isinstance(preset, Preset):
        return preset
    if isinstance(preset, dict):
        return _from_dict(preset, preset.get("name", "own"))
    path = Path(preset)
    if path.name == "first_stage" and path.parent.name:
        return load_preset(str(path.parent)).first_stage()
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
    return read_json(path, f"a preset, an object with the keys {', '.join(PARTS)}")


def from_dict(content: dict) -> Preset:
    """Read a preset back from what `Preset.to_dict` returned.

    Raises:
        InputError: something else.
    """
    return _from_dict(content, content.get("name", "own"))


def _from_dict(content: dict, name: str) -> Preset:
    check_keys(content, [*PARTS, "training", "name"], "part of a preset")
    training = content.get("training", {})
    if not isinstance(training, dict):
        raise InputError(f"the training of preset {name!r} is {training!r:.80}; expected settings")
    check_keys(training, [entry.name for entry in fields(TrainingConfig)], "training setting")
    parts = [content.get(part) for part in PARTS]
    parts = [
        {"class_name": None, "config": {}, **part} if isinstance(part, dict) else part
        for part in parts
    ]
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
    except (ValueError, RecursionError):  # a word, or no number that Python reads
        return text.strip()
