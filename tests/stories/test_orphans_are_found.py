"""Deployments that serve nobody are found and told of and, where that is wanted, deleted."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

from shared.base.errors import WorkspaceRefused
from shared.orphans.watch import TABLE
from shared.rollouts.state.phases import Phase
from shared.workspaces.model import DeploymentSpec
from tests.stories.kill import Kill, Killed, Ports, kill_at_every_call
from tests.stories.world import REACTIONS, WORKSPACE, World

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
TOLD = "1 orphan deployment in ws"
DELETED = "1 orphan deployment deleted in ws"


class WatchedWorld(World):
    """The app, with `orphans:` in its reactions file."""

    def __init__(self, *, delete: bool = False, keep_old: str = "30m") -> None:
        rules = f"orphans: {{notify: [team], delete: {str(delete).lower()}}}\n"
        super().__init__(rules + REACTIONS.replace("keep_old: 30m", f"keep_old: {keep_old}"))

    def sweep_for(self, span: timedelta) -> None:
        """Let time pass, with a sweep every hour."""
        for _ in range(span // HOUR):
            self.clock.pass_time(HOUR)
            self.sweep.run()

    def roll_out(self, version: str) -> None:
        """Register a version of churn, and wait until it is live."""
        self.react.react(self.register(version=version))
        self.settle(until=lambda: self.all_rollouts()[-1].phase is Phase.LIVE)
        assert self.serving() == version

    def deploy_by_hand(self, name: str, **tags: str) -> None:
        """Add a deployment as somebody with the CLI would, who then forgets it."""
        spec = DeploymentSpec(
            model_id="/models/churn/versions/7",
            instance_type="Standard_DS3_v2",
            instance_count=1,
            tags=tags,
        )
        self.workspaces.create_deployment(WORKSPACE, "churn", name, spec)

    def orphans_told(self) -> list[str]:
        """Return the titles of the messages that tell of orphans."""
        return [title for title in self.told() if "orphan" in title]


def test_a_forgotten_deployment_is_told_once_and_then_weekly_until_somebody_deletes_it() -> None:
    world = WatchedWorld(delete=True)
    world.roll_out("1")
    world.settle()
    world.deploy_by_hand("try-out")
    world.sweep_for(3 * DAY)
    assert world.orphans_told() == [TOLD]
    text = world.channels.sent[-1].text
    assert "churn/try-out: churn 7, Standard_DS3_v2 x 1" in text
    world.sweep_for(7 * DAY)
    assert world.orphans_told()[1:] == ["1 orphan deployment still in ws"]
    world.workspaces.remove_deployment(WORKSPACE, "churn", "try-out")
    world.sweep_for(DAY)
    assert world.orphans_told()[2:] == ["No orphan deployments need a look in ws"]


def test_what_a_rollout_keeps_is_left_to_it_however_long_that_is() -> None:
    world = WatchedWorld(delete=True, keep_old="5d")
    world.roll_out("1")
    world.settle()
    world.roll_out("2")
    world.sweep_for(4 * DAY)
    assert sorted(world.deployments().values()) == ["1", "2"]
    world.settle()
    assert list(world.deployments().values()) == ["2"]
    world.sweep_for(3 * DAY)
    assert world.orphans_told() == []


def test_an_old_deployment_that_a_rollout_could_not_delete_is_deleted_when_it_can_be() -> None:
    world = WatchedWorld(delete=True)
    world.roll_out("1")
    world.settle()

    def locked(request: str) -> None:
        if request == "delete_deployment":
            raise WorkspaceRefused("there is a lock")

    world.workspaces.before = locked
    world.roll_out("2")
    world.settle()
    assert sorted(world.deployments().values()) == ["1", "2"]
    world.sweep_for(2 * DAY)
    assert world.orphans_told() == [TOLD]
    assert "not deleted: workspace.refused: there is a lock" in world.channels.sent[-1].text
    world.workspaces.before = lambda _: None
    world.sweep_for(2 * DAY)
    assert list(world.deployments().values()) == ["2"]
    assert world.serving() == "2"
    assert world.orphans_told()[1:] == [DELETED]


def test_a_workspace_that_nobody_watches_any_longer_is_forgotten_with_the_retention() -> None:
    world = WatchedWorld()
    world.sweep_for(HOUR)
    assert len(world.rows(TABLE)) == 1
    assert world.sweep.orphans is not None
    world.sweep = replace(world.sweep, orphans=replace(world.sweep.orphans, watched=()))
    world.sweep_for(30 * DAY)
    assert len(world.rows(TABLE)) == 1
    world.sweep_for(2 * DAY)
    assert world.rows(TABLE) == []


def _live_through(kill_at: Kill) -> tuple[WatchedWorld, Ports]:
    """Let one orphan be told and another be deleted; restart the app when it is killed."""
    world = WatchedWorld(delete=True)
    world.workspaces.create_endpoint(WORKSPACE, "churn", auth_mode="key", tags={})
    world.deploy_by_hand("theirs")
    world.deploy_by_hand("ours", signalbox_rollout="r1")
    ports = Ports(world)
    ports.kill_at = kill_at
    for _ in range(3 * DAY // HOUR):
        world.clock.pass_time(HOUR)
        try:
            world.sweep.run()
        except Killed:
            world.start_app()
    return world, ports


def test_killed_at_any_call_no_deletion_is_forgotten_and_no_message_lost() -> None:
    kill_at_every_call(_live_through, _expect_deleted_and_told, at_least=10)


def _expect_deleted_and_told(world: WatchedWorld, ports: Ports) -> None:
    assert list(world.deployments()) == ["theirs"]
    told = Counter(world.orphans_told())
    assert told.keys() == {TOLD, DELETED}
    assert sum(told.values()) <= 3, "one message may be repeated: the one that was under way"
    assert ports.calls.count("MemoryWorkspaces.delete_deployment") <= 2
