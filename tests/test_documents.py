"""What users read: links lead somewhere, commands can be typed, numbers are those of the cards."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from benchmarks.__main__ import ALONE
from benchmarks.run import BENCHMARKS
from scripts.make_results_table import filled
from scripts.site_parts.text import Text
from tests.conftest import ROOT
from vqwn_kit.cli.main import _parser

GUIDES = sorted((ROOT / "site").rglob("*.md"))
READMES = [ROOT / "README.md", *sorted(ROOT.glob("results/**/README.md")), ROOT / "data/README.md"]
PAGES = [*READMES, ROOT / "CONTRIBUTING.md", *GUIDES]
MOST = 8000  # bytes of the README


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def addresses(page: Path) -> Iterator[str]:
    """Yield the addresses of links and pictures of a page in Markdown."""
    parser = MarkdownIt("commonmark").enable("table")
    for token in parser.parse(page.read_text(encoding="utf-8")):
        for child in token.children or ():
            address = child.attrGet("href") or child.attrGet("src")
            if address:
                yield str(address)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page: of headings, or of the definitions of a Python file."""
    content = page.read_text(encoding="utf-8")
    if page.suffix == ".py":
        return {name.lower() for name in re.findall(r"^(?:def|class) (\w+)", content, flags=re.M)}
    text = Text()
    text.html(content)
    return {anchor for _, anchor, _ in text.headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_of_a_document_leads_to_a_file_and_a_heading_of_it(page):
    for address in addresses(page):
        if re.match("https?:", address):
            continue
        path, _, anchor = address.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), address
        assert target.is_relative_to(ROOT), address
        assert not anchor or anchor in anchors(target), address


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the command lines of a page's blocks of code that are no Python, and `inline` ones."""
    for token in MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8")):
        blocks = [token.content] if token.type in ("code_block", "fence") else []
        if token.info in ("python", "py"):
            continue
        blocks += [child.content for child in token.children or () if child.type == "code_inline"]
        for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
            if re.match(r"(vqwn|make|python -m|python|pip|\.venv/bin/vqwn) ", line):
                words = shlex.split(line, comments=True)
                yield [words[0].rpartition("/")[2], *words[1:]]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_of_a_document_can_be_typed(page):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.M)
    for program, *words in commands(page):
        line = " ".join([program, *words])
        if program == "make":
            given = {word.partition("=")[0] for word in words if "=" in word}
            assert given <= {"FRESH", "JUDGED", "LIVE", "MINUTES", "PRESET", "PYTHON", "STEPS"}, (
                line
            )
            assert {word for word in words if "=" not in word} <= set(targets), line
        elif program == "python":
            module = words[1].replace(".", "/") if words[0] == "-m" else words[0]
            files = [ROOT / module, ROOT / f"{module}.py", ROOT / module / "__init__.py"]
            assert any(file.is_file() for file in files), line
        elif program == "vqwn":
            check_command(words, line)


def check_command(words: list[str], line: str) -> None:
    """Check a line of `vqwn`; one in a sentence may lack what has to be given."""
    known = next(iter(_parser()._subparsers._group_actions)).choices
    assert words[0] in {*known, "COMMAND"}, line
    if words[0] == "bench":
        names = [word for word in words[1:] if not word.startswith("-")]
        assert not names or names[0] in {*BENCHMARKS, *ALONE, "[NAME"}, line
    elif words[0] in known:
        options = {word for word in words[1:] if re.match("--?[a-z]", word)}
        options = {word.partition("=")[0] for word in options}
        assert options <= set(known[words[0]]._option_string_actions), line


@pytest.mark.parametrize("page", [ROOT / "README.md", *GUIDES], ids=name_of)
def test_every_command_of_a_block_is_whole(page):
    """Its arguments are parsed as they stand."""
    parser = MarkdownIt("commonmark").enable("table")
    for token in parser.parse(page.read_text(encoding="utf-8")):
        if token.type not in ("code_block", "fence") or token.info in ("python", "py"):
            continue
        for line in token.content.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0] == "vqwn":
                try:
                    _parser().parse_args(words[1:])
                except SystemExit:
                    pytest.fail(line)


def test_the_readme_is_short_and_has_the_numbers_of_the_score_cards():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.encode()) <= MOST
    assert text == filled(text), "run `python -m scripts.make_results_table`"


def test_every_guide_has_one_heading_and_says_in_a_sentence_what_it_is():
    for page in (ROOT / "site/guides").glob("*.md"):
        first, second, *_ = page.read_text(encoding="utf-8").split("\n\n")
        assert re.fullmatch("# .+", first), page.name
        assert second.endswith("."), page.name
        assert not second.startswith(("#", "|", "<")), page.name


def test_the_readme_links_to_every_guide():
    linked = set(addresses(ROOT / "README.md"))
    guides = {f"site/guides/{page.name}" for page in (ROOT / "site/guides").glob("*.md")}
    assert guides <= linked


def test_the_guide_to_evaluation_names_every_score():
    from vqwn_kit.evaluation.evaluate import SCORES

    text = (ROOT / "site/guides/evaluation.md").read_text(encoding="utf-8")
    assert [name for name in SCORES if f"`{name}`" not in text] == []
