"""Source files -> the HTML of signatures and docstrings, without importing them."""

import ast
import html
import re
from collections.abc import Iterator
from pathlib import Path

from scripts.site_parts.text import Text, code_block

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "vqwn_kit"
SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises|Example|Input shape):[ ]*(.*)$")
LISTED = ("Args", "Attributes", "Raises")
TITLES = {"Args": "Arguments", "Input shape": "Shapes"}
WIDEST = 88  # characters of a signature in one line
Node = ast.FunctionDef | ast.ClassDef


def public_names() -> Iterator[tuple[str, str]]:
    """Yield module, such as `data.audio`, and name of each public name that is no folder."""
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    for node in stub.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)


def lazy_names(folder: str) -> Iterator[tuple[str, str]]:
    """Yield module and name of what a folder lists in NAMES, such as `evaluation/metrics`."""
    tree = ast.parse((PACKAGE / folder / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "NAMES":
            for file, names in ast.literal_eval(node.value).items():
                yield from ((f"{folder.replace('/', '.')}.{file}", n) for n in names.split())


def module_docstring(path: str) -> str:
    """Return the docstring of a file of the project."""
    return ast.get_docstring(ast.parse((ROOT / path).read_text(encoding="utf-8"))) or ""


def definition(module: str, name: str) -> Node | None:
    """Return the function or class of a module; None for a constant."""
    tree = ast.parse((PACKAGE / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, Node) and node.name == name:
            return node
    return None


def signature(node: Node, name: str) -> str:
    """Return the signature of a function, or of a class as it is made, as Python."""
    if isinstance(node, ast.ClassDef):
        made = next((n for n in node.body if _is_function(n, "__init__")), None)
        fields = [n for n in node.body if isinstance(n, ast.AnnAssign)]
        bases = {ast.unparse(base) for base in node.bases}
        decorated = any("dataclass" in ast.unparse(d) for d in node.decorator_list)
        if made is None:
            shown = [ast.unparse(field) for field in fields] if decorated or bases else []
            return _call(name, [part for part in shown if decorated or "NamedTuple" in bases])
        return _call(name, _arguments(made)[1:])
    parts = _arguments(node)
    if parts and parts[0] in ("self", "cls"):
        parts = parts[1:]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return _call(name, parts, returns)


def _is_function(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == name


def _arguments(node: ast.FunctionDef) -> list[str]:
    """Return the arguments of a function, each as it is written."""
    given = node.args
    plain = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(plain) - len(given.defaults)) + list(given.defaults)
    parts = [_argument(*pair) for pair in zip(plain, defaults, strict=True)]
    if given.vararg:
        parts.append(f"*{ast.unparse(given.vararg)}")
    elif given.kwonlyargs:
        parts.append("*")
    keywords = zip(given.kwonlyargs, given.kw_defaults, strict=True)
    parts += [_argument(*pair) for pair in keywords]
    return parts + ([f"**{ast.unparse(given.kwarg)}"] if given.kwarg else [])


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    text = ast.unparse(argument)
    if default is None:
        return text
    return f"{text} = {ast.unparse(default)}" if ":" in text else f"{text}={ast.unparse(default)}"


def _call(name: str, parts: list[str], returns: str = "") -> str:
    line = f"{name}({', '.join(parts)}){returns}"
    if len(line) <= WIDEST:
        return line
    rows = "".join(f"    {part},\n" for part in parts)
    return f"{name}(\n{rows}){returns}"


def documented(text: Text, module: str, name: str, shown: str, level: int = 3) -> str:
    """Return the HTML of a public name: signature, docstring, and methods of a class.

    Args:
        text: the page.
        module: where it is defined, such as `data.audio`.
        name: there.
        shown: as users write it, such as `vq.load_audio`.
        level: of its heading.
    """
    node = definition(module, name)
    if node is None:
        return ""
    parts = [_entry(text, node, shown, level, f"vqwn_kit/{module.replace('.', '/')}.py")]
    methods = node.body if isinstance(node, ast.ClassDef) else []
    for method in methods:
        public = isinstance(method, ast.FunctionDef) and not method.name.startswith("_")
        setter = public and any(isinstance(d, ast.Attribute) for d in method.decorator_list)
        if public and not setter and ast.get_docstring(method):
            parts.append(_entry(text, method, f"{shown.split('.')[-1]}.{method.name}", level + 1))
    return "".join(parts)


def _entry(text: Text, node: Node, shown: str, level: int, path: str = "") -> str:
    anchor = text.anchor(shown.removeprefix("vq.").replace(".", "-"))
    if level < 4:
        text.heading(level, anchor, html.escape(shown))
    made = {ast.unparse(decorator) for decorator in getattr(node, "decorator_list", [])}
    if made & {"property", "cached_property"}:
        returns = getattr(node, "returns", None)
        line = shown + (f": {ast.unparse(returns)}" if returns else "")
    else:
        line = signature(node, shown)
    nothing = isinstance(node, ast.ClassDef) and line.endswith("()")  # such as an exception
    source = f' <small class="file">{path}</small>' if path else ""
    heading = f'<h{level} id="{anchor}"><code>{html.escape(shown)}</code>{source}</h{level}>\n'
    block = "" if nothing else code_block(line, "python")
    return f"{heading}{block}{docstring(text, ast.get_docstring(node) or '')}"


def docstring(text: Text, doc: str) -> str:
    """Return the HTML of a docstring in the form of Google: text, lists, an example."""
    words, sections = [], []
    lines = iter(doc.splitlines())
    for line in lines:
        found = SECTION.match(line)
        if found:
            sections.append((found[1], [found[2]] if found[2] else []))
        elif sections and (not line or line.startswith(" ")):
            sections[-1][1].append(line[4:])
        else:
            (sections[-1][1] if sections else words).append(line)
    parts = [text.html("\n".join(words))]
    for title, content in sections:
        if title == "Example":
            code = code_block("\n".join(content), "python")
            parts.append(f'<p class="part">Example</p>\n{code}')
            continue
        parts.append(f'<p class="part">{TITLES.get(title, title)}</p>\n')
        if title in LISTED:
            pairs = "".join(
                f"<dt><code>{html.escape(name)}</code></dt><dd>{text.inline(about)}</dd>\n"
                for name, about in items(content)
            )
            parts.append(f"<dl>\n{pairs}</dl>\n")
        else:
            parts.append(text.html("\n".join(content)))
    return "".join(parts)


def items(lines: list[str]) -> list[tuple[str, str]]:
    """Return name and description of each item of a section; deeper lines belong to the last."""
    pairs: list[list[str]] = []
    for line in lines:
        if line and not line.startswith(" "):
            name, _, about = line.partition(":")
            pairs.append([name.strip(), about.strip()])
        elif line.strip() and pairs:
            pairs[-1][1] += " " + line.strip()
    return [(name, about) for name, about in pairs]
