"""Presets: constructor keywords as JSON -> a model and how to train it.

A preset has four parts: `encoder`, `bottleneck` and `decoder`, each a `class_name` and a `config`
of constructor keywords, and `training`, the fields of `TrainingConfig`. The predecessor's
`model_parameters.json` and `wavenet_parameters.json` are read as presets too.
"""

import inspect
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.files import read_text
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
            part: _exchanged(part, getattr(self, part), changes[part])
            for part in PARTS
            if part in changes
        }
        training = {**asdict(self.training), **{k: v for k, v in changes.items() if k not in PARTS}}
        if "encoder" in parts and "segment_length" not in changes:
            hop, length = hop_length(parts["encoder"]), training["segment_length"]
            training["segment_length"] = max(1, round(length / hop)) * hop
        return replace(self, **parts, training=TrainingConfig(**training))


KEPT = {  # what a part of another class keeps, where it has it too
    "encoder": ("embedding_dim", "filters", "batch_norm_momentum"),
    "bottleneck": ("num_embeddings", "embedding_dim", "commitment_cost", "initializer"),
    "decoder": (
        "condition_dim",
        "speaker_dim",
        "levels",
        "local_channels",
        "local_layers",
        "jitter",
        "learned_no_speaker",
        "speaker_dropout",
    ),  # fmt: skip
}


def _exchanged(part: str, before: dict, change: str | dict) -> dict:
    """Return a part with another class or other settings."""
    if change is None or not isinstance(change, str | int | dict):
        raise InputError(
            f"{part} is {change!r}; expected the name of a class, or settings of it"
            + (": no codebook is 'ae'" if part == "bottleneck" else "")
        )
    change = dict(change) if isinstance(change, dict) else {"class_name": change}
    name = str(change.pop("class_name", before["class_name"]))
    settings = change.pop("config", {}) | change
    known = part_class(part, name)
    if known is part_class(part, str(before["class_name"])):
        return {"class_name": known.__name__, "config": {**before["config"], **settings}}
    keywords = inspect.signature(known).parameters
    kept = {
        key: value
        for key, value in before["config"].items()
        if key in KEPT[part] and key in keywords
    }
    return {"class_name": known.__name__, "config": {**kept, **settings}}


def part_class(part: str, name: str) -> type:
    """Return the class of an encoder, bottleneck or decoder by its name or short name.

    Raises:
        InputError: no such class.
    """
    from vqwn_kit.models import bottlenecks, encoders, wavenet
    from vqwn_kit.models import mel_decoder as frame_decoder

    modules = {
        "encoder": [encoders],
        "bottleneck": [bottlenecks],
        "decoder": [wavenet, frame_decoder],
    }
    classes = [
        member
        for module in modules[part]
        for _, member in inspect.getmembers(module, inspect.isclass)
        if hasattr(member, "short_name") and member.__module__ == module.__name__
    ]
    by_name = {one.__name__: one for one in classes} | {one.short_name: one for one in classes}
    if name not in by_name:
        raise one_of(f"{part} class", name, by_name)
    return by_name[name]


def hop_length(encoder: dict) -> int:
    """Return the samples a frame of an encoder, given as class name and keywords."""
    return _build_part("encoder", encoder, {}, {}).hop_length


def preset_names() -> list[str]:
    """Return the names of the shipped presets."""
    return sorted(path.stem for path in PRESETS.glob("*.json") if "_parameters" not in path.stem)


def load_preset(preset: str | Path | dict | Preset) -> Preset:
    """Read a preset.

    Args:
        preset: a name of `preset_names()`, the path of a JSON file, of ours or the predecessor's
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
        return _from_predecessor(content, path)
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


_PREDECESSOR_KEYS = (
    "encoder use_vq speaker_embedding k latent_dim beta learning_rate_schedule wavenet_parameters "
    "verbose"
).split()
_PREDECESSOR_WAVENET_KEYS = (
    "quantization_channels num_cycles num_cycle_layers dilation_rates kernel_size "
    "dilation_filters skip_filters residual_filters preprocess verbose"
).split()


def _from_predecessor(model: dict, path: Path) -> Preset:
    """Read `model_parameters.json` and the `wavenet_parameters.json` that it names."""
    check_keys(model, _PREDECESSOR_KEYS, f"key of {path.name}")
    wavenet_path = path.parent / model["wavenet_parameters"]
    if not wavenet_path.is_file():
        raise InputError(f"{path} names {wavenet_path}, which isn't there")
    wavenet = _read_json(wavenet_path)
    check_keys(wavenet, _PREDECESSOR_WAVENET_KEYS, f"key of {wavenet_path.name}")
    for keys, content, file in (
        (_PREDECESSOR_KEYS, model, path),
        (_PREDECESSOR_WAVENET_KEYS, wavenet, wavenet_path),
    ):
        missing = [key for key in keys if key not in content and key != "verbose"]
        if missing:
            raise InputError(f"{file} lacks {', '.join(missing)}")
    dilations = wavenet["dilation_rates"]
    if len(dilations) != wavenet["num_cycles"] * wavenet["num_cycle_layers"]:
        raise InputError(
            f"{wavenet_path}: {len(dilations)} dilation_rates, but num_cycles * num_cycle_layers "
            f"is {wavenet['num_cycles']} * {wavenet['num_cycle_layers']}"
        )
    dim = model["latent_dim"]
    quantizer = {"num_embeddings": model["k"], "embedding_dim": dim}
    quantizer |= {"commitment_cost": model["beta"]}
    decoder = {
        "condition_dim": dim,
        "num_cycles": wavenet["num_cycles"],
        "num_cycle_layers": wavenet["num_cycle_layers"],
        "kernel_size": wavenet["kernel_size"],
        "residual_channels": wavenet["residual_filters"],
        "gate_channels": wavenet["dilation_filters"],
        "skip_channels": wavenet["skip_filters"],
        "first_kernel_size": wavenet["preprocess"]["kernel_size"],
        "speaker_dim": model["speaker_embedding"],
        "levels": wavenet["quantization_channels"],
    }
    doubling = [2**layer for layer in range(wavenet["num_cycle_layers"])] * wavenet["num_cycles"]
    if list(dilations) != doubling:
        decoder["dilations"] = dilations
    if wavenet["preprocess"]["filters"] != wavenet["residual_filters"]:
        raise InputError(f"{wavenet_path}: preprocess.filters differs from residual_filters")
    if model["use_vq"]:
        bottleneck = {"class_name": "VectorQuantizer", "config": quantizer}
    else:
        bottleneck = {"class_name": "Identity", "config": {"embedding_dim": dim}}
    return Preset(
        path.stem,
        _predecessors_encoder(model["encoder"], dim),
        bottleneck,
        {"class_name": "WaveNet", "config": decoder},
        TrainingConfig(learning_rate=model["learning_rate_schedule"], average_decay=0.999),
    )


def _predecessors_encoder(name: str, dim: int) -> dict:
    """Return the predecessor's encoder of that name; its `Magenta` is of the gated kind."""
    classes = {
        "64": "StridedConvEncoder",
        "Magenta": "GatedConvEncoder",
        "2019": "ResidualConvEncoder",
    }
    if name not in classes:
        raise one_of("encoder", name, classes)
    return {"class_name": classes[name], "config": {"embedding_dim": dim}}


def parse_changes(texts: Iterable[str]) -> dict:
    """Read changes as the command line gives them, for `Preset.change`.

    Args:
        texts: such as `steps=2000`, `encoder=2019`, `bottleneck.joint=true`; values are JSON, or
            else words.

    Raises:
        InputError: a text without `=`.
    """
    changes: dict = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise InputError(
                f"{text!r} changes nothing: expected NAME=VALUE, such as bottleneck=ema, "
                "bottleneck.joint=true or steps=2000"
            )
        part, _, setting = key.strip().partition(".")
        if part in PARTS:
            setting = setting or "class_name"
            value = value.strip() if setting == "class_name" else _json_or_word(value)
            changes.setdefault(part, {})[setting] = value
        else:
            changes[key.strip()] = _json_or_word(value)
    return changes


def _json_or_word(text: str):
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text.strip()


def build_model(preset: Preset, speaker_names: list[str]):
    """Return the built `VQVAE` of a preset, with random weights.

    `keras.utils.set_random_seed` before it makes them repeatable.

    Args:
        preset: see `load_preset`.
        speaker_names: names of the S speakers.

    Raises:
        InputError: an unknown class or keyword, or parts that don't fit together.
    """
    from vqwn_kit.models.vqvae import VQVAE

    policy = {"dtype": preset.training.precision}
    parts = {
        "encoder": _build_part("encoder", preset.encoder, {}, policy),
        "bottleneck": _build_part("bottleneck", preset.bottleneck, {}, policy),
    }
    given = {"num_speakers": max(1, len(speaker_names)), "hop_length": parts["encoder"].hop_length}
    parts["decoder"] = _build_part("decoder", preset.decoder, given, policy)
    dims = {
        "encoder": parts["encoder"].embedding_dim,
        "bottleneck": parts["bottleneck"].embedding_dim,
        "decoder": parts["decoder"].condition_dim,
    }
    if len(set(dims.values())) > 1:
        raise InputError(f"the parts of preset {preset.name!r} differ in D: {dims}")
    length, hop = preset.training.segment_length, parts["encoder"].hop_length
    if length % hop:
        raise InputError(
            f"training.segment_length is {length}; expected a multiple of the encoder's hop of "
            f"{hop} samples, such as {max(1, round(length / hop)) * hop}"
        )
    model = VQVAE(**parts, speaker_names=speaker_names, name="vqvae")
    try:
        model.build()
    except (TypeError, ValueError) as error:
        raise InputError(f"preset {preset.name!r} can't be built: {error}") from error
    return model


def _build_part(part: str, content: dict, given: dict, policy: dict):
    """Make a part from its class name and keywords, and those `given` that its class has."""
    known = part_class(part, str(content["class_name"]))
    keywords = [key for key in inspect.signature(known).parameters if key != "kwargs"]
    given = {key: value for key, value in given.items() if key in keywords}
    settings = [key for key in keywords if key not in given]
    check_keys(content["config"], settings, f"setting of {known.__name__}")
    try:
        return known(**content["config"], **given, **policy, name=part)
    except (TypeError, ValueError) as error:
        raise InputError(f"the {part} {known.__name__} can't be made: {error}") from error
