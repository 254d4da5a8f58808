"""Parts of a model by name: class name and keywords -> a layer, with the parts that it is made of.

Changes and names are checked without TensorFlow, which is imported when the first part is built.
"""

import importlib

from vqwn_kit.errors import InputError
from vqwn_kit.presets.signatures import MODULES, signature
from vqwn_kit.presets.training_config import check_keys, check_whole

DEFAULTS = {  # of parts of a part that a preset leaves out
    "quantizer": "VectorQuantizerEMA",
    "conditioner": "Conditioner",
    "codec": "SampleCodec",
    "distribution": "Categorical",
    "network": "WaveNet",
}
SIZES = ("num_embeddings", "embedding_dim")  # K and D
KEPT = {  # what a part of another class keeps, where it has it too
    "encoder": ("embedding_dim", "filters", "batch_norm_momentum"),
    "bottleneck": ("num_embeddings", "embedding_dim", "commitment_cost", "initializer"),
    "decoder": ("conditioner", "contrast"),
}


def part_class(kind: str, name: str) -> type:
    """Return the class of a part by its name or short name, see `signature`; import it."""
    found = signature(kind, name)
    return getattr(importlib.import_module(f"vqwn_kit.models.{found.module}"), found.name)


def part_content(kind: str, content: dict | None) -> dict:
    """Return a part of a decoder as class name and keywords, defaults filled in."""
    return {"class_name": DEFAULTS.get(kind), "config": {}, **(content or {})}


def check_part(kind: str, content, where: str | None = None) -> None:
    """Check class, names of settings and sizes of a part and of its parts, without TensorFlow.

    Args:
        kind: a key of `MODULES`, such as `encoder`.
        content: class name and keywords.
        where: its place, for the message, such as `decoder.network`.

    Raises:
        InputError: an unknown class or name, or something of another type.
    """
    where = where or kind
    if not isinstance(content, dict) or not isinstance(content.get("config", {}), dict):
        raise InputError(
            f"the {where} is {content!r:.80}; expected {{'class_name': ..., 'config': {{...}}}}"
        )
    if not content.get("class_name"):
        raise InputError(f"the {where} names no class: give 'class_name'")
    check_keys(content, ["class_name", "config"], f"key of the {where}")
    found, config = signature(kind, str(content["class_name"])), content.get("config", {})
    inner = {name: part_content(name, None) for name in found.part_names}
    for name in inner.keys() & config.keys():
        if config[name] is not None:
            check_part(name, {**inner[name], **_object(config[name], f"{where}.{name}")})
            inner[name] = {**inner[name], **config[name]}
    for key in config.keys() - set(found.keywords):
        for name, part in inner.items():
            if key in signature(name, str(part["class_name"])).keywords:
                raise InputError(
                    f"{key} is a setting of the {where}'s {name}: give {where}.{name}.{key}"
                )
    check_keys(config, list(found.keywords), f"setting of {found.name}")
    for key in SIZES:
        if key in config:
            check_whole(f"{where}.{key}", config[key], most=2**24)


def _object(value, where: str) -> dict:
    if not isinstance(value, dict):
        raise InputError(f"{where} is {value!r:.80}; expected settings by name, {{...}}")
    return value


def setting_names(parts: dict[str, dict]) -> list[str]:
    """Return the names of all settings of parts by place, such as `decoder.network.dilations`."""
    names = []
    for place, content in parts.items():
        found = signature(place.rpartition(".")[2], str(content["class_name"]))
        config = content.get("config", {})
        inner = {f"{place}.{n}": part_content(n, config.get(n)) for n in found.part_names}
        own = (key for key in found.keywords if key not in found.part_names)
        names += [*(f"{place}.{key}" for key in own), *setting_names(inner)]
    return names


def change_part(kind: str, before: dict, change: str | int | dict) -> dict:
    """Return a part, given as class name and keywords, with another class or other settings.

    Args:
        kind: a key of `MODULES`.
        before: the part as it is.
        change: the name of a class; or settings by name, among them `class_name` if it is another
            class, and for a decoder changes of its own parts, such as {"codec": {"one_hot": True}}.

    Raises:
        InputError: a change of another type, or no such class.
    """
    if isinstance(change, bool) or not isinstance(change, str | int | dict):
        raise InputError(
            f"{kind} is {change!r}; expected the name of a class, or settings of it"
            + (": no codebook is 'ae'" if kind == "bottleneck" else "")
        )
    change = dict(change) if isinstance(change, dict) else {"class_name": change}
    cls = signature(kind, str(change.pop("class_name", before["class_name"])))
    settings = _object(change.pop("config", {}), f"{kind}.config") | change
    config = before["config"]
    if cls != signature(kind, str(before["class_name"])):
        kept = [key for key in KEPT.get(kind, ()) if key in cls.keywords]
        config = {key: value for key, value in config.items() if key in kept}
        if "quantizer" in cls.part_names:
            config["quantizer"] = _quantizer_of(before)
    parts = {name: config.get(name) for name in cls.part_names}
    config = {**config, **settings}
    for name in parts.keys() & settings.keys():
        config[name] = change_part(name, part_content(name, parts[name]), settings[name])
    return {"class_name": cls.name, "config": config}


def _quantizer_of(before: dict) -> dict:
    """Return the quantizer that several codebooks take over from a bottleneck, if it can be one."""
    cls = signature("bottleneck", str(before["class_name"]))
    if "quantizer" in cls.part_names:
        return before["config"]["quantizer"]
    return before if cls.module in MODULES["quantizer"] else part_content("quantizer", None)


def build_part(kind: str, content: dict, given: dict, policy: dict):
    """Make a part from its class name and keywords, and the parts that it is made of.

    Args:
        kind: a key of `MODULES`.
        content: class name and keywords.
        given: keywords that follow from other parts, by name; those that the class has are used.
        policy: `dtype`, for all.

    Raises:
        InputError: an unknown class or keyword, or values that the class refuses.
    """
    cls, config, given = (
        part_class(kind, str(content["class_name"])),
        dict(content["config"]),
        {**given},
    )
    parts = {}
    for name in cls.part_names:
        content = part_content(name, config.pop(name, None))
        content["config"] = {**cls.part_defaults.get(name, {}), **content["config"]}
        parts[name] = build_part(name, content, given, policy)
        given |= parts[name].provides
    keywords = cls.keywords()
    given = {key: value for key, value in given.items() if key in keywords}
    check_keys(config, [key for key in keywords if key not in given], f"setting of {cls.__name__}")
    try:
        return cls(**config, **parts, **given, **policy, name=kind)
    except (TypeError, ValueError) as error:
        raise InputError(f"the {kind} {cls.__name__} cannot be built: {error}") from error


def hop_length(encoder: dict) -> int:
    """Return the samples per frame of an encoder, given as class name and keywords."""
    return build_part("encoder", encoder, {}, {}).hop_length
