"""How documents are kept in the properties of a row."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.adapters.storage.limits import plain_values
from shared.base.documents import ColumnForm, JsonForm
from shared.base.ports import Row

characters = st.sampled_from(["a", '"', "\n", "ä", "東", "🚂"])
lengths = st.sampled_from([0, 1, 15_998, 15_999, 16_000, 31_998, 100_000])
TEXT = JsonForm(str, lambda _: {"kind": "text"})


def row_of(values: dict[str, Any], key: str = "key") -> Row:
    """Return the row with these properties."""
    return Row(partition="part", key=key, values=plain_values(values), etag="1")


@given(characters, lengths)
def test_a_document_comes_back_whole_from_properties_that_tables_take(
    character: str, length: int
) -> None:
    text = character * length
    assert TEXT.read(row_of(TEXT.write(text))) == text


@given(characters)
@example("🚂")
def test_a_document_has_room_where_a_row_holds_it(character: str) -> None:
    assert TEXT.has_room(character * 60_000)
    assert not TEXT.has_room(character * 1_000_000)


def test_the_parts_that_follow_a_gap_are_not_read() -> None:
    assert TEXT.read(row_of({"document": '"a"', "document_2": '"b"'})) == "a"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crate:
    """A document in columns."""

    id: str
    label: str
    size: int = 1
    is_open: bool = False
    made_at: datetime | None = None


CRATE = ColumnForm(Crate, lambda crate: {"wide": crate.size > 1}, row_key="id", most=10)


def test_a_document_has_a_column_for_each_field_but_its_key() -> None:
    made_at = datetime(2026, 3, 2, tzinfo=UTC)
    crate = Crate(id="7", label="pears", size=2, made_at=made_at)
    values = CRATE.write(crate)
    assert values == {
        "label": "pears",
        "size": 2,
        "is_open": False,
        "made_at": made_at,
        "wide": True,
    }
    assert CRATE.read(row_of(values, key="7")) == crate


def test_a_field_that_is_none_has_no_column_and_one_without_a_column_its_default() -> None:
    assert "made_at" not in CRATE.write(Crate(id="7", label="pears"))
    assert CRATE.read(row_of({"label": "pears"})) == Crate(id="key", label="pears")


def test_a_string_is_cut_to_the_length_that_the_form_allows() -> None:
    assert CRATE.write(Crate(id="7", label="p" * 11))["label"] == "p" * 9 + "…"


@pytest.mark.parametrize("column", [{"label": 7}, {"label": "a", "size": "7"}])
def test_a_column_of_another_type_is_refused(column: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"column (label|size) of Crate"):
        CRATE.read(row_of(column))
