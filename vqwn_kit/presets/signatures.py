"""The names of the settings of each class of a part, read from its source without TensorFlow.

So a wrong name is refused at once. `models.layers.Layer.keywords` says the same of a class that is
imported.
"""

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vqwn_kit.errors import one_of

MODELS = Path(__file__).parents[1] / "models"
MODULES = {  # where the classes of each kind of part are
    "encoder": ("encoders",),
    "bottleneck": (
        "vector_quantizers",
        "scalar_quantizers",
        "stacked_quantizers",
        "softmax",
        "bottleneck",
    ),
    "quantizer": ("vector_quantizers", "scalar_quantizers"),
    "decoder": ("wavenet_decoder", "mel_decoder"),
    "conditioner": ("conditioning",),
    "codec": ("codec",),
    "distribution": ("distributions",),
    "network": ("wavenet",),
}


@dataclass(frozen=True)
class Signature:
    """A class of a part: its name, short name, module, and the names of settings and parts."""

    name: str
    short_name: str
    module: str
    keywords: tuple[str, ...]
    part_names: tuple[str, ...]


def signature(kind: str, name: str) -> Signature:
    """Return the class of a part by its name or short name.

    Args:
        kind: a key of `MODULES`, such as `encoder`.
        name: such as `StridedConvEncoder` or `64`.

    Raises:
        InputError: no such class.
    """
    known = [s for s in signatures() if s.module in MODULES[kind]]
    by_name = {s.short_name: s for s in known} | {s.name: s for s in known}
    if name not in by_name:
        raise one_of(f"{kind} class", name, by_name)
    return by_name[name]


@cache
def signatures() -> tuple[Signature, ...]:
    """Return all classes of parts."""
    classes, modules = {}, {}
    for path in sorted(MODELS.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                classes[node.name], modules[node.name] = node, path.stem
    found = []
    for name, node in classes.items():
        own = _constants(node)
        if own.get("short_name"):
            line = _line_of(node, classes)
            fixed = {"self", *_first(line, "fixed")}
            names = dict.fromkeys(k for base in line for k in _keywords(base) if k not in fixed)
            parts = tuple(_first(line, "part_names"))
            found.append(Signature(name, own["short_name"], modules[name], tuple(names), parts))
    return tuple(found)


def _line_of(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> list[ast.ClassDef]:
    """Return a class and its base classes up to `Layer`, which has no settings of its own."""
    line = [node]
    while True:
        bases = [base.id for base in line[-1].bases if isinstance(base, ast.Name)]
        if not bases or bases[0] == "Layer":
            return line
        line.append(classes[bases[0]])


def _constants(node: ast.ClassDef) -> dict:
    """Return the constants that the body of a class assigns."""
    values = {}
    for item in node.body:
        target = item.targets[0] if isinstance(item, ast.Assign) else getattr(item, "target", None)
        if isinstance(target, ast.Name) and getattr(item, "value", None) is not None:
            try:
                values[target.id] = ast.literal_eval(item.value)
            except ValueError:  # no constant
                continue
    return values


def _first(line: list[ast.ClassDef], name: str) -> tuple[str, ...]:
    """Return a constant of the first class that has it."""
    return next((c[name] for c in map(_constants, line) if name in c), ())


def _keywords(node: ast.ClassDef) -> list[str]:
    inits = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
    return [a.arg for init in inits for a in (*init.args.args, *init.args.kwonlyargs)]
