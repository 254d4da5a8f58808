"""Parts of a model by name: class name and keywords -> a layer, with the parts that it is made of.

TensorFlow is imported when the first class is asked for.
"""

import importlib
import inspect

from vqwn_kit.errors import InputError, one_of
from vqwn_kit.presets.training_config import check_keys

MODULES = {  # where the classes of each kind of part are
    "encoder": ("encoders",),
    "bottleneck": ("bottlenecks",),
    "decoder": ("wavenet_decoder", "mel_decoder"),
    "conditioner": ("conditioning",),
    "codec": ("codec",),
    "distribution": ("distributions",),
    "network": ("wavenet",),
}
DEFAULTS = {  # of parts of a decoder that a preset leaves out
    "conditioner": "Conditioner",
    "codec": "SampleCodec",
    "distribution": "Categorical",
    "network": "WaveNet",
}
KEPT = {  # what a part of another class keeps, where it has it too
    "encoder": ("embedding_dim", "filters", "batch_norm_momentum"),
    "bottleneck": ("num_embeddings", "embedding_dim", "commitment_cost", "initializer"),
    "decoder": ("conditioner",),
}


def part_class(kind: str, name: str) -> type:
    """Return the class of a part by its name or short name.

    Args:
        kind: a key of `MODULES`, such as `encoder`.
        name: such as `StridedConvEncoder` or `64`.

    Raises:
        InputError: no such class.
    """
    modules = [importlib.import_module(f"vqwn_kit.models.{name}") for name in MODULES[kind]]
    classes = [
        member
        for module in modules
        for _, member in inspect.getmembers(module, inspect.isclass)
        if member.__module__ == module.__name__ and getattr(member, "short_name", None)
    ]
    by_name = {cls.__name__: cls for cls in classes} | {cls.short_name: cls for cls in classes}
    if name not in by_name:
        raise one_of(f"{kind} class", name, by_name)
    return by_name[name]


def _keywords(cls: type) -> list[str]:
    return [name for name in inspect.signature(cls).parameters if name != "kwargs"]


def part_content(kind: str, content: dict | None) -> dict:
    """Return a part of a decoder as class name and keywords, defaults filled in."""
    return {"class_name": DEFAULTS.get(kind), "config": {}, **(content or {})}


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
    cls = part_class(kind, str(change.pop("class_name", before["class_name"])))
    settings = change.pop("config", {}) | change
    config = before["config"]
    if cls is not part_class(kind, str(before["class_name"])):
        kept = [key for key in KEPT.get(kind, ()) if key in _keywords(cls)]
        config = {key: value for key, value in config.items() if key in kept}
    config = {**config, **settings}
    for name in set(cls.part_names) & settings.keys():
        part = part_content(name, before["config"].get(name))
        config[name] = change_part(name, part, settings[name])
    return {"class_name": cls.__name__, "config": config}


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
        check_keys(content, ["class_name", "config"], f"key of the {kind}'s {name}")
        content["config"] = {**cls.part_defaults.get(name, {}), **content["config"]}
        parts[name] = build_part(name, content, given, policy)
        given |= parts[name].provides
    keywords = _keywords(cls)
    given = {key: value for key, value in given.items() if key in keywords}
    for key in config:
        for name, part in parts.items():
            if key not in keywords and key in _keywords(type(part)):
                raise InputError(
                    f"{key} is a setting of the {kind}'s {name}: give {kind}.{name}.{key}"
                )
    check_keys(config, [key for key in keywords if key not in given], f"setting of {cls.__name__}")
    try:
        return cls(**config, **parts, **given, **policy, name=kind)
    except (TypeError, ValueError) as error:
        raise InputError(f"the {kind} {cls.__name__} cannot be built: {error}") from error


def hop_length(encoder: dict) -> int:
    """Return the samples per frame of an encoder, given as class name and keywords."""
    return build_part("encoder", encoder, {}, {}).hop_length
