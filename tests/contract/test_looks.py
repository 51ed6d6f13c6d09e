"""The rows of looks at workspaces and the records of found models, in memory and on Azurite."""

import uuid
from datetime import timedelta

import pytest

from shared.actions import ACTIONS
from shared.base.ports import Tables
from shared.events.model import Workspace
from shared.flow.unreported import TABLE
from shared.reactions.load import load_reactions
from shared.services import Ports, Services
from shared.twins.clock import ManualClock
from shared.twins.storage import MemoryBlobs, MemoryChannels, MemoryQueues
from shared.twins.workspaces import MemoryWorkspaces

RULES = """
version: 1
workspaces: ["{workspace}"]
channels: [team]
find_models: true
reactions:
  - name: greet
    on: ModelRegistered
    do:
      - notify: {{channel: team, title: "${{{{ model.name }}}} is new"}}
"""


@pytest.mark.parametrize("looks", [1, 3])
def test_a_model_is_found_once_and_its_record_says_when(
    tables: Tables, clock: ManualClock, looks: int
) -> None:
    # Azurite's tables outlive a test.
    place = Workspace(subscription="s", resource_group="rg", name=f"w{uuid.uuid4().hex[:20]}")
    workspaces, channels = MemoryWorkspaces(clock), MemoryChannels()
    text = RULES.format(workspace=place.id)
    services = Services(
        {},
        Ports(
            clock=clock,
            tables=tables,
            queues=MemoryQueues(clock),
            blobs=MemoryBlobs(),
            channels=channels,
            workspaces=workspaces,
        ),
        reactions=load_reactions(text, actions=ACTIONS, settings={}),
    )
    workspaces.register(place, "old", "1", tags={})
    clock.pass_time(timedelta(days=1))
    for _ in range(3):
        list(chore() for chore in services.unreported.chores())
    workspaces.register(place, "churn", "1", tags={})
    since = clock.now()
    clock.pass_time(timedelta(minutes=20))
    for _ in range(looks):
        list(chore() for chore in services.unreported.chores())
    assert [message.title for message in channels.sent] == ["churn is new"]
    (record,) = services.records.find(since=since, workspace=place.name)
    assert record.found_at == clock.now()
    (row,) = (row for row in tables.query(TABLE) if row.values["workspace"] == place.name)
    assert row.values["after"] == ""
