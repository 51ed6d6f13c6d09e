"""The contract of the record of events, on the twin's tables and blobs and on Azure's."""

import json
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.base.ports import Blobs, Row, Tables
from shared.events.envelopes import parse_envelope, parse_events
from shared.events.model import DriftDetected, RunCompleted, UnknownEvent, Workspace
from shared.journal.outcomes import WHOLE, EventRef, Outcome, OutcomeStatus, ref_of
from shared.journal.records import CONTAINER, TABLE, EventRecord, Records
from shared.twins.clock import ManualClock
from tests.stories.world import drift_detected, model_registered, run_completed

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
DONE = Outcome(status=OutcomeStatus.DONE)
SKIPPED = Outcome(status=OutcomeStatus.SKIPPED, code="event.foreign_workspace")


class Asked:
    """Tables that remember which partitions were asked for; all else is theirs."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.partitions: list[str | None] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tables, name)

    def query(self, table: str, *, partition: str | None = None, **given: Any) -> Iterator[Row]:
        """Ask for rows."""
        self.partitions.append(partition)
        return self._tables.query(table, partition=partition, **given)


@pytest.fixture
def asked(tables: Tables) -> Asked:
    return Asked(tables)


@pytest.fixture
def records(asked: Asked, blobs: Blobs) -> Records:
    return Records(tables=asked, blobs=blobs, clock=ManualClock(NOON))  # type: ignore[arg-type]


@pytest.fixture
def workspace() -> Workspace:
    """A workspace that no other test has events of."""
    return Workspace(subscription="sub", resource_group="rg", name=f"ws-{uuid.uuid4().hex[:12]}")


def arrive(
    records: Records, raw: Mapping[str, Any], outcomes: Mapping[str, Outcome] | None = None
) -> EventRef:
    """Record the arrival of an envelope; return the address of its first event."""
    envelope = parse_envelope(raw)
    refs = [ref_of(event) for event in parse_events(envelope)]
    for ref in refs:
        records.add(ref, outcomes or {WHOLE: SKIPPED}, delivery=True, body=envelope.body)
    return refs[0]


def only(found: Iterator[EventRecord]) -> EventRecord:
    (record,) = found
    return record


@pytest.mark.parametrize("size", [10, 60_000], ids=["short", "long"])
def test_an_event_comes_back_as_it_arrived_and_as_it_was_read(
    records: Records, workspace: Workspace, size: int, blobs: Blobs
) -> None:
    raw = model_registered("e1", NOON, tags={"note": "ö" * size}, workspace=workspace)
    ref = arrive(records, raw)
    record = only(records.find(since=NOON - DAY, workspace=workspace.name.upper()))
    assert (record.event, record.body, record.in_blob) == (ref.key, "", size > 10)
    assert record.workspace == workspace.name
    assert json.loads(records.body_of(record)) == raw
    assert records.event_of(record) == parse_events(parse_envelope(raw))[0]
    whole = only(records.find(since=NOON - DAY, workspace=workspace.name, bodies=True))
    assert json.loads(records.body_of(whole)) == raw
    assert bool(whole.body) == (size == 10), "a list never reads a blob"


def test_no_secret_of_an_event_is_kept_however_much_that_lengthens_it(
    records: Records, workspace: Workspace
) -> None:
    many = "&".join(["pwd=s3cr3t"] * 1_500)  # it grows beyond what a row holds
    ref = arrive(records, model_registered("e1", NOON, tags={"x": many}, workspace=workspace))
    record = records.get(ref)
    assert record is not None
    assert "s3cr3t" not in records.body_of(record)
    assert json.loads(records.body_of(record))["id"] == "e1"


@pytest.mark.parametrize("size", [10, 60_000], ids=["short", "long"])
def test_what_comes_later_leaves_the_body(
    records: Records, workspace: Workspace, size: int
) -> None:
    raw = model_registered("e1", NOON, tags={"note": "x" * size}, workspace=workspace)
    ref = arrive(records, raw)
    records.add(ref, {"tell/notify": DONE}, delivery=False)
    arrive(records, raw)
    records.give_up(ref, "deploy", DONE)
    record = records.get(ref)
    assert record is not None
    assert record.deliveries == 2
    assert {"tell/notify", "deploy/*"} <= record.outcomes.keys()
    assert json.loads(records.body_of(record)) == raw


def test_an_old_row_is_read_without_a_body(
    records: Records, tables: Tables, workspace: Workspace
) -> None:
    ref = arrive(records, model_registered("e1", NOON, workspace=workspace))
    (row,) = [row for row in tables.query(TABLE) if row.values["event"] == ref.key]
    bare = {name: value for name, value in row.values.items() if name not in ("body", "in_blob")}
    tables.replace(TABLE, row.partition, row.key, bare, etag=row.etag)
    record = only(records.find(since=NOON - DAY, workspace=workspace.name))
    assert (records.body_of(record), records.event_of(record)) == ("", None)
    assert only(records.find(since=NOON - DAY, workspace=workspace.name, bodies=True)) == record
    again = model_registered("e1", NOON, workspace=workspace)
    arrive(records, again)
    assert json.loads(records.body_of(record)) == again, "the next delivery brings it"


def test_both_events_of_one_envelope_have_it(records: Records, workspace: Workspace) -> None:
    tags = {"azureml_modelmonitor_threshold_breached": "data_drift has violated thresholds"}
    raw = run_completed("e1", NOON, "monitor-run-1", tags) | {"topic": workspace.id}
    arrive(records, raw)
    found = list(records.find(since=NOON - DAY, workspace=workspace.name))
    events = [records.event_of(record) for record in found]
    assert {type(event) for event in events} == {RunCompleted, DriftDetected}
    assert all(json.loads(records.body_of(record)) == raw for record in found)


def test_an_event_that_was_refused_is_read_by_its_own_type(
    records: Records, workspace: Workspace
) -> None:
    raw = model_registered("e1", NOON, workspace=workspace)
    envelope = parse_envelope(raw)
    unread = UnknownEvent(id="e1", type=envelope.type, time=NOON, source=workspace.id)
    records.add(ref_of(unread), {WHOLE: SKIPPED}, delivery=True, body=envelope.body)
    record = only(records.find(since=NOON - DAY, workspace=workspace.name))
    assert record.type == "Microsoft.MachineLearningServices.ModelRegistered"
    assert records.event_of(record) == parse_events(envelope)[0]


def test_records_are_listed_newest_first_and_by_days_only(
    records: Records, asked: Asked, workspace: Workspace
) -> None:
    hours = [0, 1, 13, 25, 49, 73]
    for number, ago in enumerate(hours):
        time = NOON - timedelta(hours=ago)
        arrive(records, model_registered(f"e{number}", time, workspace=workspace))
    ahead = NOON + timedelta(hours=30)
    arrive(records, model_registered("ahead", ahead, workspace=workspace))

    def listed(since: datetime, until: datetime | None = None) -> list[str]:
        found = records.find(since=since, until=until, workspace=workspace.name)
        return [record.id for record in found]

    asked.partitions.clear()
    assert listed(NOON - 2 * DAY) == ["ahead", "e0", "e1", "e2", "e3"]
    days = ["2026-03-04", "2026-03-03", "2026-03-02", "2026-03-01", "2026-02-28"]
    assert asked.partitions == days
    assert listed(NOON - timedelta(hours=13), NOON - timedelta(hours=1)) == ["e1", "e2"]
    assert listed(NOON, NOON) == ["e0"]
    assert listed(NOON, NOON - DAY) == []
    east = (NOON - timedelta(hours=25)).astimezone(tz=None)
    assert listed(east, east) == ["e3"]


def test_a_list_that_is_not_read_to_its_end_asks_for_no_more(
    records: Records, asked: Asked, workspace: Workspace
) -> None:
    arrive(records, model_registered("e1", NOON, workspace=workspace))
    asked.partitions.clear()
    assert next(records.find(since=NOON - 30 * DAY, workspace=workspace.name)).id == "e1"
    assert asked.partitions == ["2026-03-04", "2026-03-03", "2026-03-02"]


def test_records_are_found_by_what_they_are_about_and_what_came_of_them(
    records: Records, workspace: Workspace
) -> None:
    failed = Outcome(status=OutcomeStatus.FAILED, code="deploy.failed")
    raws = [
        (model_registered("1", NOON, "churn", "8", workspace=workspace), {"deploy/deploy": DONE}),
        (model_registered("2", NOON, "churn", "80", workspace=workspace), {"tell/notify": failed}),
        (model_registered("3", NOON, "churner", "8", workspace=workspace), {WHOLE: SKIPPED}),
        (
            drift_detected("4", NOON) | {"topic": workspace.id},
            {"deploy/deploy": failed, "tell/notify": DONE},
        ),
    ]
    for raw, outcomes in raws:
        arrive(records, raw, outcomes)

    def found(**wanted: str) -> set[str]:
        listed = records.find(since=NOON - DAY, workspace=workspace.name, **wanted)
        return {record.id for record in listed}

    assert found(about="churn:8") == {"1"}
    assert found(about="churn") == {"1", "2"}
    assert found(type="DriftDetected") == {"4"}
    assert found(type="ModelRegistered", about="churn-monitor") == set()
    assert found(outcome="done") == {"1", "4"}
    assert found(outcome="failed") == {"2", "4"}
    assert found(outcome="deploy.failed") == {"2", "4"}
    assert found(outcome="event.foreign_workspace") == {"3"}
    assert found(reaction="deploy") == {"1", "4"}
    assert found(reaction="deploy", outcome="done") == {"1"}
    assert found(reaction="dep") == set()


def test_an_event_is_found_by_its_id_or_the_beginning_of_that_or_of_its_key(
    records: Records, asked: Asked, workspace: Workspace
) -> None:
    mark = uuid.uuid4().hex[:8]
    today = arrive(records, model_registered(f"{mark}-1", NOON, workspace=workspace))
    earlier = NOON - 3 * DAY
    before = arrive(records, model_registered(f"{mark}-12", earlier, workspace=workspace))

    def found(prefix: str) -> list[str]:
        asked.partitions.clear()
        return [record.event for record in records.by_id(prefix, since=NOON - 5 * DAY)]

    assert found(mark) == [today.key, before.key]
    assert "2026-02-25" in asked.partitions
    assert None not in asked.partitions
    assert found(f"{mark}-1") == [today.key], "it is exactly this one"
    assert asked.partitions[-1] == "2026-03-02"
    assert found(f"{mark}-12") == [before.key]
    assert found(before.key[:20]) == [before.key]
    assert found(before.key) == [before.key]
    assert found("0" * 40) == []


@pytest.mark.parametrize("size", [10, 60_000], ids=["short", "long"])
def test_retention_takes_a_record_with_its_body(
    records: Records, tables: Tables, blobs: Blobs, workspace: Workspace, size: int
) -> None:
    before = set(blobs.names(CONTAINER, most=1_000))
    times = {"old": NOON - DAY, "far": NOON + 90 * DAY, "new": NOON}
    for event_id, time in times.items():
        raw = model_registered(event_id, time, tags={"x": "x" * size}, workspace=workspace)
        arrive(records, raw)

    def kept() -> set[object]:
        rows = tables.query(TABLE)
        return {row.values["id"] for row in rows if row.values["source"] == workspace.id}

    for chore in records.old(NOON):  # all were recorded then, and not before it
        chore()
    assert kept() == times.keys()
    names = set(blobs.names(CONTAINER, most=1_000)) - before
    assert len(names) == (len(times) if size > 10 else 0)
    for chore in records.old(NOON + timedelta(seconds=1)):
        chore()
    assert kept() == set()
    assert not set(blobs.names(CONTAINER, most=1_000)) & names
