"""The field's words in plain English: what docstrings, messages and help texts must not say.

Run this file alone to see all places: `python -m tests.test_words [FOLDER or FILE ...]`.
"""

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "vqwn_kit"
BESIDE = [
    *(ROOT / name for name in ("benchmarks", "scripts", "data/README.md")),
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("results/**/README.md")),
    *sorted(ROOT.glob("site/**/*.md")),
    *sorted(ROOT.glob("notebooks/*.ipynb")),
    *sorted(path for path in ROOT.glob("tests/**/*.py") if path != Path(__file__)),
]
OF_PEOPLE = r"\b(hears|heard|speaks|spoken|spoke|deaf|listens?)\b"  # right in notebooks' prose
UNIT = "bits|codes|samples|frames|lines?|row|line|minutes|seconds|steps|numbers|crops|channels|dB"
PER = "sample|second|minute|code|frame|run|speaker|utterance|step|batch|speech|side|cycle|logging"
BANNED = {  # what it should be, by pattern
    r"\b(tells?|telling|told|foretell\w*|foretold)\b": "predicts, is conditioned on, says, known",
    r"\b(hears|heard)\b": "takes as input, reads, receives",
    r"\b(speaks|spoken|spoke)\b": "synthesises, samples, reconstructs",
    r"\banew\b": "again, restart, from scratch",
    r"\b(go|goes|going|gone) on\b": "continue, resume",
    r"\b(deaf|listens?)\b": "ignores, depends on",
    r"\btaken over\b": "loaded from another run",
    r"\b(revive[sd]?|revival)\b": "reset dead codes",
    r"\bthe predecessor": "the original VQ-VAE-WaveNet",
    r"\b\w+n't\b|\b(it|that|there|what|who|let)'s\b|\b\w+'(re|ll|ve)\b": "no contractions",
    rf"\b({UNIT}) an? ({PER})\b": "per",
    r"\b(color|colors|colored|behavior|center|centered|gray|normaliz\w+|initializ(e|ed|es|ing)|"
    r"synthesiz\w+|recogniz\w+|quantiz(e|ed|es|ing)|summariz\w+|visualiz\w+|optimiz(e|ed|es|ing)|"
    r"emphasiz\w+|minimiz\w+|maximiz\w+)\b": "British spelling: colour, -ise",
}


def parts(path: Path) -> Iterator[tuple[bool, int, str]]:
    """Yield whether it is Python, lines before it and text: of a file, or of a notebook's cells."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        yield path.suffix == ".py", 0, text
        return
    begin = 0
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            yield True, begin, re.sub(r"^[%!].*", "", source, flags=re.M)
        else:
            yield False, begin, re.sub(OF_PEOPLE, "", source, flags=re.IGNORECASE)
        begin += source.count("\n") + 1


def texts(code: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of each docstring and each string with a blank in it, `code` removed."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, re.sub(rf"``.*?``|`[^`]*`|\{{\w+\}}|{STYLES}", "", node.value)


STYLES = r"color-scheme|color: #|center left|lower center"  # names of CSS and matplotlib
NAMES = set("told tells foretold spoken speaks deaf mine theirs alike taken_over revive".split())


def names(code: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of each variable, argument, attribute, function and class."""
    for node in ast.walk(ast.parse(code)):
        for field in ("id", "arg", "attr", "name"):
            name = getattr(node, field, None)
            if isinstance(name, str) and hasattr(node, "lineno"):
                yield node.lineno, name


def prose(page: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of each line of Markdown, code and addresses removed."""
    text = re.sub(r"^```.*?^```", blank, page, flags=re.M | re.S)
    for line, words in enumerate(text.splitlines(), 1):
        yield line, re.sub(r"`[^`]*`|\]\([^)]*\)|https?://\S+", "", words)


def blank(match: re.Match) -> str:
    """Return as many line ends as a match has."""
    return "\n" * match[0].count("\n")


def findings(target: Path, root: Path = ROOT) -> list[str]:
    """Return every banned phrase and name in a file or the Python files of a folder.

    The line of a notebook is counted over the sources of its cells.
    """
    found = []
    for path in [target] if target.is_file() else sorted(target.rglob("*.py")):
        for python, begin, source in parts(path):
            for line, text in texts(source) if python else prose(source):
                for pattern, instead in BANNED.items():
                    for match in re.finditer(pattern, text, flags=re.IGNORECASE):
                        place = begin + line + text[: match.start()].count("\n")
                        found.append((path, place, f"{match[0]!r} (rather: {instead})"))
            for line, name in names(source) if python else ():
                if name.strip("_") in NAMES:
                    found.append((path, begin + line, f"the name {name!r} (rather: what it is)"))
    return [f"{path.relative_to(root)}:{line}: {words}" for path, line, words in found]


def test_the_scan_finds_what_it_should(tmp_path):
    """Of a docstring, a message and a help text; not of code in backquotes."""
    text = '"""It tells bits a sample; `told` may stay."""\n\nraise ValueError(f"can\'t {1} a")\n'
    (tmp_path / "bad.py").write_text(text)
    assert len(findings(tmp_path, tmp_path)) == 3
    page = "It `tells`\n```\ntells\n```\nand [tells](https://tells.org) that it can't.\n"
    (tmp_path / "bad.md").write_text(page)
    lines = [finding.split(":")[1] for finding in findings(tmp_path / "bad.md", tmp_path)]
    assert lines == ["5", "5"]
    cells = [
        {"cell_type": "markdown", "source": ["Listen:\n", "who speaks, it tells."]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "spoken = 1"]},
    ]
    (tmp_path / "bad.ipynb").write_text(json.dumps({"cells": cells}))
    lines = [finding.split(":")[1] for finding in findings(tmp_path / "bad.ipynb", tmp_path)]
    assert lines == ["2", "4"]


@pytest.mark.parametrize("folder", sorted(p.name for p in PACKAGE.glob("*/")))
def test_docstrings_and_messages_use_the_words_of_the_field(folder):
    assert not findings(PACKAGE / folder)


@pytest.mark.parametrize("target", BESIDE, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_stands_beside_the_package_uses_the_same_words(target):
    assert not findings(target)


if __name__ == "__main__":
    for given in sys.argv[1:] or [PACKAGE]:
        target = PACKAGE / given if (PACKAGE / given).exists() else ROOT / given
        print("\n".join(findings(target)))
