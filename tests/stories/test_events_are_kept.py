"""Every event is kept as it arrived, with whatever came of it."""

import json
from datetime import timedelta
from typing import Any

import pytest

from shared.events.model import Workspace
from shared.journal.outcomes import OutcomeStatus
from shared.journal.records import EventRecord
from shared.twins.storage import MemoryBlobs, MemoryTables
from tests.stories.world import (
    World,
    model_registered,
    run_completed,
    run_status_changed,
)

DAY = timedelta(days=1)
FOREIGN = Workspace(subscription="5a2c-sub", resource_group="rg", name="foreign")


def kept(world: World) -> list[EventRecord]:
    """Return the records of the last day."""
    return list(world.records.find(since=world.clock.now() - DAY))


def unknown(world: World) -> dict[str, Any]:
    raw = run_status_changed("e1", world.clock.now())
    return raw | {"eventType": "Microsoft.MachineLearningServices.EndpointDeleted"}


def malformed(world: World) -> dict[str, Any]:
    return model_registered("e1", world.clock.now()) | {"data": {"modelName": "a/b"}}


@pytest.mark.parametrize(
    ("raw", "takes", "status", "code"),
    [
        (lambda w: w.register(), None, "waiting", ""),
        (lambda w: run_status_changed("e1", w.clock.now(), "Running"), None, "skipped", ""),
        (lambda w: run_completed("e1", w.clock.now()), None, "skipped", ""),
        (
            lambda w: model_registered("e1", w.clock.now(), workspace=FOREIGN),
            None,
            "skipped",
            "event.foreign_workspace",
        ),
        (unknown, None, "skipped", "event.unknown"),
        (malformed, None, "failed", "event.malformed"),
        (
            lambda w: run_completed("e1", w.clock.now()),
            frozenset({"ModelRegistered"}),
            "skipped",
            "event.misplaced",
        ),
    ],
    ids=["done", "unmatched", "of no reaction", "foreign", "unknown", "malformed", "refused"],
)
def test_an_event_is_kept_whatever_comes_of_it(
    raw: Any, takes: frozenset[str] | None, status: str, code: str
) -> None:
    world = World()
    event = raw(world)
    world.react.react(event, takes=takes)
    (record,) = kept(world)
    assert json.loads(world.records.body_of(record)) == event
    assert record.has_outcome("", status)
    assert record.has_outcome("", code)


def test_an_event_that_gives_nothing_to_key_a_record_by_is_kept_as_a_letter() -> None:
    world = World()
    world.react.react({"id": "e1", "data": {}})
    assert kept(world) == []
    (letter,) = world.all_letters()
    assert json.loads(letter.body) == {"id": "e1", "data": {}}


@pytest.mark.parametrize(("size", "asked"), [(10, ["insert"]), (40_000, ["put", "insert"])])
def test_an_unmatched_event_costs_one_write_and_one_more_if_it_is_long(
    monkeypatch: pytest.MonkeyPatch, size: int, asked: list[str]
) -> None:
    world, calls = World(), []
    for port, names in ((MemoryTables, ("insert", "get", "replace")), (MemoryBlobs, ("put",))):
        for name in names:
            method = getattr(port, name)

            def counted(*given: Any, _name: str = name, _method: Any = method, **rest: Any) -> Any:
                calls.append(_name)
                return _method(*given, **rest)

            monkeypatch.setattr(port, name, counted)
    raw = run_status_changed("e1", world.clock.now(), "Running")
    raw["data"]["runTags"] = {"note": "x" * size}
    world.react.react(raw)
    assert calls == asked


def test_an_event_whose_reaction_waits_in_a_letter_keeps_its_body_when_that_is_replayed() -> None:
    world = World()
    world.channels.make_down("team")
    raw = run_status_changed("e1", world.clock.now())
    world.react.react(raw)
    world.channels.make_well("team")
    world.settle()
    (record,) = kept(world)
    assert record.outcomes["tell-failed-runs/notify"].status is OutcomeStatus.DONE
    assert json.loads(world.records.body_of(record)) == raw


def test_retention_forgets_a_long_event_with_its_blob() -> None:
    world = World()
    raw = run_status_changed("e1", world.clock.now(), "Running")
    raw["data"]["runTags"] = {"note": "x" * 40_000}
    world.react.react(raw)
    assert len(world.blobs.names("events")) == 1
    world.clock.time = world.clock.now().replace(hour=3) + timedelta(days=31)
    world.sweep.run()
    assert kept(world) == []
    assert world.blobs.names("events") == ()
