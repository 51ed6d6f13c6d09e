"""The tables of docs/reference have the names and values of the code."""

from pathlib import Path

import pytest

from tests.reference import BLOCK, PAGES, RowGone, fill, tables, without_words

NAMES = [path.name for path in PAGES]


def of_functions(*rows: str) -> str:
    """Return a page with a table of functions that has these rows."""
    table = "\n".join(["| function | meaning |", "|---|---|", *rows, ""])
    return f"Text.\n\n<!-- table: functions -->\n{table}<!-- end of table -->\n\nMore.\n"


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_the_tables_of_a_page_are_what_the_code_gives(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    assert fill(page) == page, "run: make reference"


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_every_row_has_words(path: Path) -> None:
    assert without_words(path.read_text(encoding="utf-8")) == []


def test_each_table_is_on_one_page() -> None:
    pages = (path.read_text(encoding="utf-8") for path in PAGES)
    found = [block["name"] for page in pages for block in BLOCK.finditer(page)]
    assert sorted(found) == sorted(tables())


def test_a_new_row_comes_last_without_words() -> None:
    page = of_functions("| `matches(text, glob)` | a || b |", "| `lower(text)` | lower |")
    filled = fill(page)
    assert filled == of_functions(
        "| `matches(text, glob)` | a || b |", "| `lower(text)` | lower |", "| `is_true(value)` | |"
    )
    assert without_words(page) == []
    assert without_words(filled) == ["`is_true(value)`"]
    assert fill(filled) == filled


def test_the_words_of_a_row_that_is_gone_are_not_thrown_away() -> None:
    with pytest.raises(RowGone, match=r"the code has no `upper\(text\)`"):
        fill(of_functions("| `upper(text)` | the text in upper case |"))
