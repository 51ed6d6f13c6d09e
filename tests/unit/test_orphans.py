"""Orphans: which deployments they are, when people are told, and when they are deleted."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.base.errors import (
    SignalboxError,
    WorkspaceBusy,
    WorkspaceDenied,
    WorkspaceRefused,
    WorkspaceUnreachable,
)
from shared.base.ports import Row
from shared.events.model import Workspace
from shared.journal.outcomes import EventRef
from shared.messages.outbox import Outbox
from shared.orphans import watch
from shared.orphans.model import CostClass, Watch
from shared.orphans.rules import cost_of, kept_by
from shared.orphans.schema import Orphans
from shared.orphans.watch import OrphanWatch
from shared.rollouts.engine.store import RolloutStore
from shared.rollouts.state.phases import TERMINAL, Phase
from shared.rollouts.state.rollout import ModelRef, Plan, Rollout, Schedule, Traffic
from shared.rollouts.strategy.model import Probe, Strategy
from shared.twins.clock import ManualClock
from shared.twins.storage import MemoryChannels, MemoryTables
from shared.twins.workspaces import MemoryWorkspaces
from shared.workspaces.model import Capacity, Deployment, Endpoint, EndpointKind, State
from tests.unit.rollouts import change

WS = Workspace(subscription="s", resource_group="g", name="w")
OTHER = Workspace(subscription="s", resource_group="g", name="other")
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)
OURS = {"signalbox_rollout": "r0", "signalbox_model": "churn", "signalbox_version": "1"}
RULES = Orphans(notify=("team",))
DELETE = Orphans(notify=("team",), delete=True)


def make_rollout(phase: Phase, **changes: object) -> Rollout:
    """Return a rollout of churn 2 in this phase."""
    rollout = Rollout(
        id="r1",
        ref=EventRef(key="k", id="e", type="ModelRegistered", time=NOW, source="ws"),
        reaction_step="reaction/deploy",
        workspace=WS,
        endpoint="churn",
        deployment="new",
        model=ModelRef(id="/models/churn/versions/2", name="churn", version="2"),
        plan=Plan(strategy=Strategy(name="x", steps=()), probe=Probe(), timeout=DAY),
        phase=phase,
        since=NOW,
        created_at=NOW,
        schedule=Schedule(due_at=NOW),
        traffic=Traffic(goal={"new": 100}),
    )
    return change(rollout, **changes)


class Bench:
    """A watch over one workspace, or two, with verbs for what happens there."""

    def __init__(self, rules: Orphans = RULES, *watched: Workspace) -> None:
        self.clock = ManualClock(NOW)
        self.workspaces = MemoryWorkspaces(self.clock)
        self.channels = MemoryChannels()
        self.tables = MemoryTables()
        self.rollouts = RolloutStore(tables=self.tables)
        self.watch = OrphanWatch(
            tables=self.tables,
            workspaces=self.workspaces,
            rollouts=self.rollouts,
            outbox=Outbox(channels=self.channels),
            clock=self.clock,
            watched=watched or (WS,),
            rules=rules,
        )

    def put(self, *names: str, endpoint: str = "churn", workspace: Workspace = WS) -> None:
        """Put deployments that serve nobody beside the one that serves."""
        key = (workspace.key, endpoint)
        self.workspaces.endpoints[key] = Endpoint(
            name=endpoint, state=State.SUCCEEDED, traffic={"live": 100}
        )
        found = self.workspaces.deployments.setdefault(key, {})
        for name in ("live", *names):
            found[name] = Deployment(
                name=name,
                state=State.SUCCEEDED,
                instance_type="Standard_DS3_v2",
                instance_count=2,
                tags=OURS,
            )

    def change(self, name: str = "old", endpoint: str = "churn", **changes: object) -> None:
        """Change a deployment."""
        found = self.workspaces.deployments[WS.key, endpoint]
        found[name] = replace(found[name], **changes)  # type: ignore[arg-type]

    def change_endpoint(self, endpoint: str = "churn", **changes: object) -> None:
        """Change an endpoint."""
        key = (WS.key, endpoint)
        made = self.workspaces.endpoints[key]
        self.workspaces.endpoints[key] = replace(made, **changes)  # type: ignore[arg-type]

    def names(self, endpoint: str = "churn") -> set[str]:
        """Return the deployments of an endpoint."""
        return {found.name for found in self.workspaces.list_deployments(WS, endpoint)}

    def sweep(self, *, after: timedelta = timedelta(0)) -> list[SignalboxError]:
        """Do the chores once, some time later; return what they raised."""
        self.clock.time += after
        raised = []
        for chore in self.watch.chores():
            try:
                chore()
            except SignalboxError as error:
                raised.append(error)
        return raised

    def live(self, days: int, *, every: timedelta = timedelta(hours=1)) -> None:
        """Let days pass, with a sweep every hour."""
        for _ in range(days * DAY // every):
            self.sweep(after=every)

    def told(self) -> list[str]:
        """Return the titles of the messages that were sent."""
        return [message.title for message in self.channels.sent]

    def refuse(self, request: str, error: SignalboxError) -> None:
        """Let the service answer one kind of request with an error."""

        def before(name: str) -> None:
            if name == request:
                raise error

        self.workspaces.before = before

    def asked(self) -> Counter[str]:
        """Return what counts the requests from now on."""
        found: Counter[str] = Counter()
        self.workspaces.before = lambda name: found.update([name])
        return found


@pytest.fixture
def bench() -> Bench:
    """A watch that only tells, over an endpoint with one deployment that serves nobody."""
    bench = Bench()
    bench.put("old")
    return bench


@pytest.fixture
def deleting() -> Bench:
    """The same, but it deletes."""
    bench = Bench(DELETE)
    bench.put("old")
    return bench


def test_an_orphan_is_told_once_it_has_been_one_for_long_enough(bench: Bench) -> None:
    bench.sweep()
    bench.live(1)
    assert bench.told() == ["1 orphan deployment in w"]
    (message,) = bench.channels.sent
    assert message.text.splitlines()[-1] == (
        "- churn/old: churn 1, Standard_DS3_v2 x 2, since 2026-03-02 09:00 UTC, "
        "medium, 8 core-hours each hour"
    )
    assert "Workspace: w" in message.text


def test_the_same_orphans_are_told_again_after_a_week_and_not_before(bench: Bench) -> None:
    bench.sweep()
    bench.live(7)
    assert len(bench.told()) == 1
    bench.live(1)
    assert bench.told()[1:] == ["1 orphan deployment still in w"]


def test_other_orphans_are_told_the_next_day_and_that_none_is_left_as_well(bench: Bench) -> None:
    bench.sweep()
    bench.live(2)
    bench.put("older")
    bench.live(2)
    bench.workspaces.deployments[WS.key, "churn"].pop("older")
    bench.workspaces.deployments[WS.key, "churn"].pop("old")
    bench.live(1)
    assert bench.told() == [
        "1 orphan deployment in w",
        "2 orphan deployments in w",
        "No orphan deployments need a look in w",
    ]
    assert [message.good for message in bench.channels.sent] == [None, None, True]
    bench.live(10)
    assert len(bench.told()) == 3


@pytest.mark.parametrize(
    ("traffic", "mirror"),
    [({"live": 90, "old": 10}, {}), ({"live": 100}, {"old": 10}), ({"live": 90, "OLD": 10}, {})],
)
def test_a_deployment_with_live_or_mirrored_traffic_is_no_orphan(
    bench: Bench, traffic: dict[str, int], mirror: dict[str, int]
) -> None:
    bench.change_endpoint(traffic=traffic, mirror=mirror)
    bench.sweep()
    bench.live(3)
    assert bench.told() == []


def test_traffic_in_between_begins_the_time_anew() -> None:
    bench = Bench(RULES.model_copy(update={"after": 3 * DAY}))
    bench.put("old")
    bench.sweep()
    bench.live(2)
    bench.change_endpoint(traffic={"live": 90, "old": 10})
    bench.live(1)
    bench.change_endpoint(traffic={"live": 100})
    bench.live(3)
    assert bench.told() == []
    bench.live(1)
    assert bench.told() == ["1 orphan deployment in w"]


def test_a_time_in_which_nobody_looked_counts_for_nothing(deleting: Bench) -> None:
    deleting.sweep()
    deleting.sweep(after=timedelta(days=20))
    assert deleting.names() == {"live", "old"}
    deleting.live(1)
    assert deleting.names() == {"live"}


@pytest.mark.parametrize("role", ["deployment", "stable", "origin", "goal", "split", "mirror"])
def test_what_an_open_rollout_works_on_keeps_or_may_go_back_to_is_no_orphan(
    deleting: Bench, role: str
) -> None:
    name = "Old"  # in another casing
    value = name if role in ("deployment", "stable") else {name: 10}
    deleting.rollouts.add(make_rollout(Phase.LIVE, **{role: value}))
    deleting.sweep()
    deleting.live(3)
    assert deleting.told() == []
    assert deleting.names() == {"live", "old"}


def test_each_of_several_rollouts_keeps_its_own(bench: Bench) -> None:
    bench.put("older", "new")
    bench.rollouts.add(make_rollout(Phase.LIVE, id="a", stable="old"))
    bench.rollouts.add(make_rollout(Phase.KEEPING, id="b", deployment="older"))
    bench.sweep()
    bench.live(2)
    assert bench.told() == []


@pytest.mark.parametrize("phase", Phase)
def test_a_rollout_keeps_its_deployments_until_it_has_ended(phase: Phase) -> None:
    rollout = make_rollout(phase, deployment="New", stable="old")
    kept = kept_by(rollout)
    assert ({"new", "old"} <= kept) is (phase not in TERMINAL)
    assert bool(kept) is (phase not in TERMINAL)


def test_a_look_is_a_request_and_one_for_each_endpoint_once_a_day(bench: Bench) -> None:
    bench.put(endpoint="fraud")
    bench.put(endpoint="price")
    asked = bench.asked()
    bench.sweep()
    assert asked == {"list_endpoints": 1, "list_deployments": 3}
    for _ in range(20):
        bench.sweep(after=timedelta(minutes=5))
    assert asked == {"list_endpoints": 1, "list_deployments": 3}
    bench.sweep(after=DAY)
    assert asked == {"list_endpoints": 2, "list_deployments": 6, "find_capacity": 1}


def test_a_workspace_that_fails_keeps_no_other_out_and_is_tried_again_in_an_hour() -> None:
    bench = Bench(RULES, OTHER, WS)
    bench.put("old")
    listed = bench.workspaces.list_endpoints
    asked: list[str] = []

    def fail_other(workspace: Workspace) -> tuple[Endpoint, ...]:
        asked.append(workspace.name)
        if workspace == OTHER:
            raise WorkspaceDenied("no role")
        return listed(workspace)

    bench.workspaces.list_endpoints = fail_other  # type: ignore[method-assign]
    (error,) = bench.sweep()
    assert error.message == "no role"
    assert bench.sweep(after=timedelta(minutes=59)) == []
    assert len(bench.sweep(after=timedelta(minutes=1))) == 1
    assert asked == ["other", "w", "other"]
    bench.live(1)
    assert bench.told() == ["1 orphan deployment in w"]


def test_of_two_sweeps_at_once_one_looks(bench: Bench) -> None:
    asked = bench.asked()
    read = bench.tables.get
    others = iter([bench.sweep])

    def overtake(table: str, partition: str, key: str) -> Row | None:
        row = read(table, partition, key)
        for sweep in others:
            assert sweep() == []
        return row

    bench.tables.get = overtake  # type: ignore[method-assign]
    assert bench.sweep() == []
    assert asked["list_endpoints"] == 1


def test_a_channel_that_is_down_is_told_by_a_later_sweep_and_once(bench: Bench) -> None:
    bench.channels.make_down("team")
    bench.sweep()
    bench.sweep(after=DAY)
    bench.sweep(after=timedelta(minutes=5))
    assert bench.told() == []
    bench.channels.make_well("team")
    bench.sweep(after=timedelta(minutes=5))
    bench.sweep(after=timedelta(minutes=5))
    assert bench.told() == ["1 orphan deployment in w"]


def test_many_orphans_make_one_message_that_a_channel_takes(bench: Bench) -> None:
    bench.put(*(f"old-{number}" for number in range(30)))
    bench.sweep()
    bench.live(1)
    (message,) = bench.channels.sent
    assert message.title == "31 orphan deployments in w"
    assert message.text.endswith("and 11 more")
    assert len(message.text) <= 4000


def test_what_a_tag_says_is_told_without_secrets_on_one_line(bench: Bench) -> None:
    tags = OURS | {"signalbox_model": "churn\nWorkspace: x", "signalbox_version": "token=hunter2"}
    bench.change(tags=tags)
    bench.sweep()
    bench.live(1)
    (message,) = bench.channels.sent
    assert "hunter2" not in message.text
    assert "Workspace: x" not in message.text.splitlines()


@pytest.mark.parametrize(
    ("family", "cores", "instances", "expected"),
    [
        ("standardDSv2Family", 4, 1, (CostClass.SMALL, 4)),
        ("standardDSv2Family", 4, 2, (CostClass.MEDIUM, 8)),
        ("standardFSv2Family", 16, 1, (CostClass.MEDIUM, 16)),
        ("standardFSv2Family", 16, 4, (CostClass.LARGE, 64)),
        ("standardESv3Family", 5, 13, (CostClass.HUGE, 65)),
        ("standardNCASv3_T4Family", 4, 1, (CostClass.GPU, 4)),
        ("Standard NDv2 Family", 40, 2, (CostClass.GPU, 80)),
        ("standardDSv2Family", 4, 0, None),
    ],
)
def test_the_class_of_a_cost_goes_by_the_cores_of_all_instances(
    family: str, cores: int, instances: int, expected: tuple[CostClass, int] | None
) -> None:
    cost = cost_of(Capacity(family=family, cores=cores), instances)
    assert (cost and (cost.size, cost.cores)) == expected


def test_without_a_size_the_orphan_is_told_all_the_same(bench: Bench) -> None:
    bench.refuse("find_capacity", WorkspaceDenied("no role"))
    bench.sweep()
    bench.live(1)
    assert "cost unknown" in bench.channels.sent[0].text


def test_the_instances_of_a_kubernetes_endpoint_are_its_cluster_s(bench: Bench) -> None:
    bench.change_endpoint(kind=EndpointKind.KUBERNETES)
    asked = bench.asked()
    (orphan,) = bench.watch.find(WS)
    assert orphan.kind is EndpointKind.KUBERNETES
    assert orphan.cost is None
    assert asked["find_capacity"] == 0


def test_an_orphan_of_ours_is_deleted_and_told_when_it_is_gone(deleting: Bench) -> None:
    deleting.workspaces.behaviour.takes = timedelta(minutes=5)
    deleting.sweep()
    deleting.sweep(after=DAY)
    assert deleting.workspaces.deployments[WS.key, "churn"]["old"].state is State.DELETING
    assert deleting.told() == []
    deleting.sweep(after=timedelta(hours=1))
    assert deleting.names() == {"live"}
    assert deleting.told() == ["1 orphan deployment deleted in w"]
    assert "- churn/old: churn 1, Standard_DS3_v2 x 2" in deleting.channels.sent[0].text
    deleting.live(10)
    assert len(deleting.told()) == 1


def test_of_one_endpoint_one_at_a_time_is_deleted_and_each_is_told(deleting: Bench) -> None:
    deleting.put("older")
    deleting.put("old", endpoint="fraud")
    deleting.workspaces.behaviour.takes = timedelta(minutes=5)
    deleting.sweep()
    asked = deleting.asked()
    deleting.live(1)
    assert asked["delete_deployment"] == 2
    deleting.clock.time += timedelta(minutes=5)
    assert len(deleting.names()) == 2
    deleting.live(1)
    assert deleting.names() == deleting.names("fraud") == {"live"}
    assert deleting.told() == [
        "2 orphan deployments deleted in w",
        "1 orphan deployment deleted in w",
    ]


@pytest.mark.parametrize(
    ("rules", "changes", "told"),
    [
        (RULES, {}, True),
        (DELETE, {"tags": {}}, True),
        (DELETE, {"tags": {"signalbox_rollout": ""}}, True),
        (DELETE, {"state": State.CANCELED}, True),
        (DELETE, {"state": State.UPDATING}, True),
        (DELETE, {"state": State.DELETING}, False),
    ],
)
def test_what_is_not_to_be_deleted_is_only_told(
    rules: Orphans, changes: dict[str, object], told: bool
) -> None:
    bench = Bench(rules)
    bench.put("old")
    bench.change(**changes)
    asked = bench.asked()
    bench.sweep()
    bench.live(3)
    assert asked["get_endpoint"] == asked["delete_deployment"] == 0
    assert bench.told() == ["1 orphan deployment in w"] * told


def test_an_orphan_that_has_failed_is_deleted_as_well(deleting: Bench) -> None:
    deleting.change(state=State.FAILED)
    deleting.sweep()
    deleting.live(1)
    assert deleting.names() == {"live"}


@pytest.mark.parametrize(
    "last_moment",
    [
        lambda bench: bench.change_endpoint(traffic={"live": 90, "old": 10}),
        lambda bench: bench.change_endpoint(mirror={"old": 10}),
        lambda bench: bench.change_endpoint(state=State.UPDATING),
        lambda bench: bench.change(state=State.UPDATING),
        lambda bench: bench.change(tags={}),
        lambda bench: bench.rollouts.add(make_rollout(Phase.QUEUED)),
        lambda bench: bench.rollouts.add(make_rollout(Phase.LIVE, stable="old")),
    ],
)
def test_what_changed_since_the_look_is_noticed_before_it_is_deleted(
    deleting: Bench, last_moment: object
) -> None:
    deleting.sweep()

    def before(name: str) -> None:
        if name == "get_endpoint":
            last_moment(deleting)  # type: ignore[operator]
        assert name != "delete_deployment"

    deleting.workspaces.before = before
    assert deleting.sweep(after=DAY) == []
    assert deleting.names() == {"live", "old"}
    assert deleting.told() == []


def test_what_was_let_be_is_deleted_a_day_later(deleting: Bench) -> None:
    deleting.sweep()
    deleting.refuse("delete_deployment", WorkspaceBusy("another operation"))
    deleting.sweep(after=DAY)
    deleting.workspaces.before = lambda _: None
    deleting.sweep(after=timedelta(hours=23))
    assert deleting.names() == {"live", "old"}
    deleting.sweep(after=timedelta(hours=1))
    deleting.sweep(after=timedelta(hours=1))
    assert deleting.names() == {"live"}
    assert deleting.told() == ["1 orphan deployment deleted in w"]


def test_what_can_t_be_deleted_is_told_once_with_the_reason_and_tried_daily(
    deleting: Bench,
) -> None:
    tried = 0

    def before(name: str) -> None:
        nonlocal tried
        if name == "delete_deployment":
            tried += 1
            raise WorkspaceRefused("a lock: token=hunter2")

    deleting.workspaces.before = before
    deleting.sweep()
    deleting.live(5)
    assert tried in (4, 5)
    assert deleting.told() == ["1 orphan deployment in w"]
    text = deleting.channels.sent[0].text
    assert "not deleted: workspace.refused: a lock" in text
    assert "hunter2" not in text
    deleting.workspaces.before = lambda _: None
    deleting.live(2)
    assert deleting.names() == {"live"}
    assert deleting.told()[1:] == ["1 orphan deployment deleted in w"]


def test_a_deletion_that_the_service_never_answered_is_seen_at_the_next_look(
    deleting: Bench,
) -> None:
    deleting.sweep()
    deleting.refuse("delete_deployment", WorkspaceUnreachable("reset"))
    deleting.sweep(after=DAY)
    deleting.sweep(after=timedelta(hours=1))
    assert deleting.told() == []
    deleting.sweep(after=timedelta(hours=1))
    assert deleting.told() == ["1 orphan deployment in w"]
    assert "not deleted: it was to be deleted, and is still there" in deleting.channels.sent[0].text


def test_a_deletion_that_takes_long_is_told_within_the_hour_in_which_it_ends(
    deleting: Bench,
) -> None:
    deleting.sweep()
    deleting.refuse("delete_deployment", WorkspaceUnreachable("reset"))
    deleting.sweep(after=DAY)
    deleting.workspaces.before = lambda _: None
    deleting.workspaces.behaviour.takes = timedelta(hours=5)
    for _ in range(6):
        assert deleting.told() == []
        deleting.sweep(after=timedelta(hours=1))
    assert deleting.told() == ["1 orphan deployment deleted in w"]


def test_all_deployments_without_traffic_are_found_and_the_young_ones_are_marked(
    bench: Bench,
) -> None:
    (found,) = bench.watch.find(WS)
    assert (found.deployment, found.since, found.is_due) == ("old", None, False)
    bench.sweep()
    bench.clock.time += timedelta(hours=5)
    (found,) = bench.watch.find(WS)
    assert (found.since, found.is_due) == (NOW, False)
    bench.sweep(after=DAY)
    (found,) = bench.watch.find(WS)
    assert found.is_due
    assert found.cost is not None


def test_the_row_of_a_workspace_that_is_no_longer_watched_is_forgotten(bench: Bench) -> None:
    bench.sweep()
    assert len(list(bench.tables.query(watch.TABLE))) == 1
    bench.watch.forget(NOW + DAY)
    assert len(list(bench.tables.query(watch.TABLE))) == 1
    bench.watch.forget(NOW + 2 * DAY)
    assert list(bench.tables.query(watch.TABLE)) == []


def test_the_row_of_as_many_deployments_as_a_region_has_can_be_written(bench: Bench) -> None:
    for number in range(25):
        names = (f"deployment-of-the-longest-na-{each}" for each in range(20))
        bench.put(*names, endpoint=f"endpoint-of-the-longest-name-{number}")
    bench.sweep()
    bench.live(1)
    assert bench.told() == ["501 orphan deployments in w"]


def test_a_new_watch_is_due_and_knows_nothing() -> None:
    assert Watch(due_at=NOW).known(NOW) == {}
