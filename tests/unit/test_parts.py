"""Documents split over a row's properties."""

from hypothesis import example, given
from hypothesis import strategies as st

from shared.adapters.storage.limits import plain_values
from shared.base.long_documents import fits, join, split

characters = st.sampled_from(["a", '"', "\n", "ä", "東", "🚂"])
lengths = st.sampled_from([0, 1, 15_999, 16_000, 16_001, 32_000, 100_000])


@given(characters, lengths)
def test_a_document_comes_back_whole_from_properties_that_tables_take(
    character: str, length: int
) -> None:
    document = character * length
    values = plain_values(split(document))
    assert join({"kind": "x", **values}) == document


@given(characters)
@example("🚂")
def test_what_fits_is_what_a_row_holds(character: str) -> None:
    assert fits(character * 60_000)
    assert not fits(character * 1_000_000)


def test_the_parts_that_follow_a_gap_are_not_read() -> None:
    assert join({"document": "a", "document_2": "b"}) == "a"
    assert join({}) == ""
