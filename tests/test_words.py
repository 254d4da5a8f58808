"""The field's words in plain English: what docstrings, messages and help texts must not say.

Run this file alone to see all places: `python -m tests.test_words [FOLDER]`.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "vqwn_kit"
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


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of each docstring and each string with a blank in it, `code` removed."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, re.sub(rf"``.*?``|`[^`]*`|\{{\w+\}}|{STYLES}", "", node.value)


STYLES = r"color-scheme|color: #|center left|lower center"  # names of CSS and matplotlib
NAMES = set("told tells foretold spoken speaks deaf mine theirs alike taken_over revive".split())


def names(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and name of each variable, argument, attribute, function and class."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for field in ("id", "arg", "attr", "name"):
            name = getattr(node, field, None)
            if isinstance(name, str) and hasattr(node, "lineno"):
                yield node.lineno, name


def findings(folder: Path) -> list[str]:
    """Return every banned phrase in the Python files of a folder."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        for line, text in texts(path):
            for pattern, instead in BANNED.items():
                for match in re.finditer(pattern, text, flags=re.IGNORECASE):
                    place = line + text[: match.start()].count("\n")
                    name = path.relative_to(ROOT)
                    found.append(f"{name}:{place}: {match[0]!r} (rather: {instead})")
        for line, name in names(path):
            if name.strip("_") in NAMES:
                found.append(
                    f"{path.relative_to(ROOT)}:{line}: the name {name!r} (rather: what it is)"
                )
    return found


def test_the_scan_finds_what_it_should(tmp_path):
    """Of a docstring, a message and a help text; not of code in backquotes."""
    text = '"""It tells bits a sample; `told` may stay."""\n\nraise ValueError(f"can\'t {1} a")\n'
    (tmp_path / "bad.py").write_text(text)
    global ROOT
    before, ROOT = ROOT, tmp_path
    try:
        assert len(findings(tmp_path)) == 3
    finally:
        ROOT = before


@pytest.mark.parametrize("folder", sorted(p.name for p in PACKAGE.glob("*/")))
def test_docstrings_and_messages_use_the_words_of_the_field(folder):
    assert not findings(PACKAGE / folder)


if __name__ == "__main__":
    print("\n".join(findings(PACKAGE / "".join(sys.argv[1:]))))
