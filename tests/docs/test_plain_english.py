"""A sentence begins with its subject, and errors are named by class: people read this at night."""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.layers import ROOT

PLACES = (
    *("shared", "handlers", "commands", "sandbox", "demo", "bench", "docs", "tests"),
    *(":(glob)*.py", ":(glob)*.md"),
)

#: A sentence begins at the start of a text, after a full stop, or in a list, a table or a quote.
_BEGIN = re.compile(
    r"""(?:\A|[.!?:]["'`)*]*\s+|\n\s*\n\s*|^[ \t>]*(?:[-*]|\d+\.)\s+|\|\s*)""", re.M
)
_CLAUSE = re.compile(r"\**(?:What|Whatever|Whoever)\b[^.?!|]*(?P<end>[.?!|]|\Z)")
_WORDS = re.compile(r"\b(?:What|Whatever|Whoever)\b")
_RAISES = re.compile(r"\bRaises\b[^\n]*(?:\n *)?[^\n]*")
_NAMED = re.compile(r"Raises:\s+(?:any |the first )?(?:[a-z]+\.)?_?[A-Z]\w+")


def files(*kinds: str) -> Iterator[Path]:
    """Yield the repository's files of these kinds, as git lists them."""
    listed = subprocess.run(
        ("git", "ls-files", *PLACES),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in sorted(set(listed.stdout.splitlines())):
        if name.endswith(kinds) and (ROOT / name).is_file():
            yield ROOT / name


def docstrings(text: str) -> Iterator[str]:
    """Yield the docstrings of a module."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def comments(text: str) -> Iterator[str]:
    """Yield the comments of a module, those of adjacent lines as one text."""
    block: list[tuple[int, str]] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        if block and token.start[0] != block[-1][0] + 1:
            yield " ".join(text for _, text in block)
            block.clear()
        block.append((token.start[0], token.string.lstrip("#: ")))
    yield " ".join(text for _, text in block)


def prose(text: str) -> Iterator[str]:
    """Yield the prose of a page: all but code and headings."""
    text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.M | re.S)
    yield re.sub(r"^#.*$", "", text, flags=re.M)


def clauses(text: str) -> Iterator[str]:
    """Yield the sentences of a text that begin with a clause instead of a subject."""
    for begin in _BEGIN.finditer(text):
        clause = _CLAUSE.match(text, begin.end())
        if clause is not None and clause["end"] != "?":
            yield " ".join(clause[0].split())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("What it does.", ["What it does."]),
        ("A row.\n\n  Whoever reads it\n  knows.", ["Whoever reads it knows."]),
        ("| `a` | What it is |", ["What it is |"]),
        ("- **What counts.** Rows.", ["**What counts."]),
        ("What is it? A row: what it holds, and whoever wrote it.", []),
    ],
)
def test_a_clause_is_found_at_the_beginning_of_a_sentence(text: str, found: list[str]) -> None:
    assert list(clauses(text)) == found


def find_clauses(path: Path) -> Iterator[str]:
    """Yield the clauses in a file; most files have none of their words at all."""
    text = path.read_text(encoding="utf-8")
    if _WORDS.search(text):
        markdown = path.suffix == ".md"
        for part in prose(text) if markdown else (*docstrings(text), *comments(text)):
            yield from clauses(part)


def test_no_sentence_begins_with_a_clause() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {clause}"
        for path in files(".py", ".md")
        for clause in find_clauses(path)
    ]
    assert found == []


def test_raises_has_one_form_and_names_classes() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in files(".py")
        for text in docstrings(path.read_text(encoding="utf-8"))
        for match in _RAISES.finditer(text)
        if _NAMED.match(match[0]) is None
    ]
    assert found == []
