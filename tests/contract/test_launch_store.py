"""The contract of the launches' store, on the twin's tables and on Azure's."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.base.ports import RowChanged, Tables
from shared.events.model import Workspace
from shared.journal.outcomes import EventRef
from shared.launches.model import Launch, LaunchStatus
from shared.launches.store import LaunchStore

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
WORKSPACE = Workspace(subscription="S-1", resource_group="rg", name="WS")


@pytest.fixture
def store(tables: Tables) -> LaunchStore:
    return LaunchStore(tables=tables)


@pytest.fixture
def launch() -> Launch:
    """A launch that no other test uses: Azurite's table outlives a test."""
    return Launch(
        id=uuid.uuid4().hex,
        reaction=f"evaluate-{uuid.uuid4().hex[:8]}",
        step="evaluate/start",
        ref=EventRef(key="k", id="e", type="ModelRegistered", time=NOW, source=WORKSPACE.id),
        workspace=WORKSPACE,
        kind="component",
        target='{"component": {"name": "evaluate"}}',
        begun_at=NOW,
        changed_at=NOW,
        timeout=timedelta(hours=6),
        channels=("team",),
    )


def test_a_launch_is_read_as_it_was_written_until_it_is_removed(
    store: LaunchStore, launch: Launch
) -> None:
    kept = store.save(launch, "")
    found = store.get(launch.partition, launch.id)
    assert found is not None
    assert found.value == launch
    ended = launch.ended(LaunchStatus.FAILED, NOW + timedelta(minutes=1), "no data")
    kept = store.save(ended, kept.etag)
    again = store.get(launch.partition, launch.id)
    assert again is not None
    assert again.value == ended
    store.remove(kept)
    assert store.get(launch.partition, launch.id) is None


def test_of_two_workers_that_begin_a_launch_one_does(store: LaunchStore, launch: Launch) -> None:
    kept = store.save(launch, "")
    with pytest.raises(RowChanged):
        store.save(launch, "")
    store.save(launch.at(LaunchStatus.RUNNING, NOW), kept.etag)
    with pytest.raises(RowChanged):
        store.save(launch.at(LaunchStatus.REFUSED, NOW), kept.etag)


@pytest.mark.parametrize(
    ("status", "is_open"),
    [
        (LaunchStatus.STARTING, False),
        (LaunchStatus.REFUSED, False),
        (LaunchStatus.RUNNING, True),
        (LaunchStatus.DELIVERED, False),
        (LaunchStatus.COMPLETED, False),
    ],
)
def test_the_sweep_finds_what_runs_and_retention_what_does_not(
    store: LaunchStore, launch: Launch, status: LaunchStatus, is_open: bool
) -> None:
    store.save(launch.at(status, NOW), "")
    assert (launch.id in {kept.value.id for kept in store.open()}) == is_open
    later, earlier = NOW + timedelta(seconds=1), NOW - timedelta(seconds=1)
    assert (launch.id in {kept.value.id for kept in store.old(later)}) != is_open
    assert launch.id not in {kept.value.id for kept in store.old(earlier)}


def test_an_end_that_is_not_recorded_yet_is_found_by_the_sweep(
    store: LaunchStore, launch: Launch
) -> None:
    ended = replace(launch, channels=()).ended(LaunchStatus.COMPLETED, NOW)
    store.save(ended, "")
    assert launch.id in {kept.value.id for kept in store.open()}
