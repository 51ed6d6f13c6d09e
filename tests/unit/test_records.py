"""The record of events: one row each, written with as few requests as can be."""

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.base.ports import Row
from shared.journal.outcomes import EventRef, Outcome, OutcomeStatus
from shared.journal.records import Records
from shared.twins.storage import MemoryBlobs, MemoryTables

REF = EventRef(
    key="a" * 64,
    id="1",
    type="RunCompleted",
    time=datetime(2026, 3, 2, 9, tzinfo=UTC),
    source="w",
    about="run r",
)
DONE = Outcome(status=OutcomeStatus.DONE, detail="told team")


class Tables(MemoryTables):
    """Tables that remember what they were asked for, and may lose a row meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.loses_next = False

    def insert(self, *given: Any) -> str:
        """Add a row."""
        self.asked.append("insert")
        return super().insert(*given)

    def get(self, table: str, partition: str, key: str) -> Row | None:
        """Return the row, which retention may take then."""
        self.asked.append("get")
        row = super().get(table, partition, key)
        if self.loses_next:
            self.loses_next = False
            self.delete(table, partition, key)
        return row

    def replace(self, *given: Any, etag: str) -> str:
        """Replace the row."""
        self.asked.append("replace")
        return super().replace(*given, etag=etag)


@pytest.mark.parametrize(
    ("before", "delivery", "asked", "deliveries"),
    [
        (False, True, ["insert"], 1),
        (True, True, ["insert", "get", "replace"], 2),
        (True, False, ["get", "replace"], 1),
        (False, False, ["get", "insert"], 0),
    ],
    ids=["first", "delivered again", "news later", "news before the delivery"],
)
def test_what_came_of_an_event_is_recorded_with_as_few_requests_as_can_be(
    before: bool, delivery: bool, asked: list[str], deliveries: int
) -> None:
    tables = Tables()
    records = Records(tables=tables, blobs=MemoryBlobs())
    if before:
        records.add(REF, {"tell/notify": DONE}, delivery=True)
    tables.asked.clear()
    records.add(REF, {"tell/notify-2": DONE}, delivery=delivery)
    assert tables.asked == asked
    record = records.get(REF)
    assert record is not None
    assert record.deliveries == deliveries
    assert record.outcomes.keys() == {"tell/notify-2"} | ({"tell/notify"} if before else set())


@pytest.mark.parametrize("delivery", [True, False])
def test_news_of_an_event_whose_row_is_taken_meanwhile_is_kept(delivery: bool) -> None:
    tables = Tables()
    records = Records(tables=tables, blobs=MemoryBlobs())
    records.add(REF, {"tell/notify": DONE}, delivery=True)
    tables.loses_next = True
    records.add(REF, {"tell/notify-2": DONE}, delivery=delivery)
    record = records.get(REF)
    assert record is not None
    assert record.outcomes == {"tell/notify-2": DONE}
