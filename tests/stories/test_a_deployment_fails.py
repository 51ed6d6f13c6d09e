"""A new version that fails, wherever it fails, leaves the old one serving everything."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.base.errors import QuotaExceeded, WorkspaceBusy, WorkspaceDenied, WorkspaceRefused
from shared.journal.outcomes import OutcomeStatus
from shared.rollouts.state.rollout import Phase
from shared.twins.workspaces import ServiceBehaviour
from shared.workspaces.model import Endpoint, Score, State
from tests.stories.world import REACTIONS, WORKSPACE, World


@pytest.fixture
def serving(world: World) -> World:
    """A world in which version 1 serves."""
    world.react.react(world.register("churn", "1"))
    world.settle()
    world.workspaces.behaviour.takes = timedelta(minutes=7)
    return world


def _break_container(behaviour: ServiceBehaviour) -> None:
    class Always(dict[str, tuple[str, str]]):
        def get(self, key: str, default: object = None) -> tuple[str, str]:  # type: ignore[override]
            return ("ResourceNotReady", "User container has crashed")

    behaviour.broken = Always()
    behaviour.logs = "Traceback\nModuleNotFoundError: No module named 'xgboost'"


def _break_probe(behaviour: ServiceBehaviour) -> None:
    behaviour.score = Score(status=424, model_status=500, body=b"boom")


def _break_shift(behaviour: ServiceBehaviour) -> None:
    behaviour.stuck_traffic = ("InternalServerError", "traffic was not updated")


@pytest.mark.parametrize(
    ("break_", "reason"),
    [
        (_break_container, "ResourceNotReady: User container has crashed"),
        (_break_probe, "expected 200, got 424 (the container answered 500)"),
        (_break_shift, "InternalServerError: traffic was not updated"),
    ],
    ids=["container", "probe", "shift"],
)
def test_the_old_version_keeps_all_traffic_and_the_reason_is_told(
    serving: World, break_: object, reason: str
) -> None:
    assert callable(break_)
    break_(serving.workspaces.behaviour)
    serving.react.react(serving.register("churn", "2"))
    serving.settle()
    assert serving.serving() == "1"
    assert list(serving.deployments().values()) == ["1"], "the new deployment is gone"
    assert "churn 2 failed on churn" in serving.told()
    assert serving.told()[-1] == "churn 2 was rolled back on churn"
    assert reason in serving.channels.sent[-1].text
    outcome = [r for r in serving.all_rollouts() if r.model.version == "2"]
    assert outcome[0].phase is Phase.ROLLED_BACK
    (endpoint,) = serving.workspaces.endpoints.values()
    assert endpoint.tags["signalbox_version"] == "1"


def test_an_endpoint_that_a_failed_shift_left_failed_takes_the_next_version(
    serving: World,
) -> None:
    _break_shift(serving.workspaces.behaviour)
    serving.react.react(serving.register("churn", "2"))
    writes: list[str] = []

    def heal_at_the_second_write(request: str) -> None:
        writes.extend([request] if request == "set_traffic" else [])
        if len(writes) == 2:
            serving.workspaces.behaviour.stuck_traffic = None

    serving.workspaces.before = heal_at_the_second_write
    serving.settle()
    assert serving.serving() == "1"
    serving.react.react(serving.register("churn", "3"))
    serving.settle()
    assert serving.serving() == "3"


def test_the_last_lines_of_the_container_s_log_are_told_without_secrets(serving: World) -> None:
    _break_container(serving.workspaces.behaviour)
    serving.workspaces.behaviour.logs += "\nconnecting with AccountKey=abc123secret=="
    serving.react.react(serving.register("churn", "2"))
    serving.settle()
    text = serving.channels.sent[-1].text
    assert "No module named 'xgboost'" in text
    assert "abc123secret" not in text


def test_a_first_version_that_fails_leaves_an_endpoint_that_the_next_one_can_use(
    world: World,
) -> None:
    _break_container(world.workspaces.behaviour)
    world.react.react(world.register("churn", "1"))
    world.settle()
    assert world.serving() == ""
    world.workspaces.behaviour = ServiceBehaviour()
    world.react.react(world.register("churn", "2"))
    world.settle()
    assert world.serving() == "2"


@pytest.mark.parametrize("error", [QuotaExceeded, WorkspaceDenied, WorkspaceRefused])
def test_a_deployment_that_the_service_refuses_ends_the_rollout_with_the_reason(
    serving: World, error: type[QuotaExceeded]
) -> None:
    def refuse(request: str) -> None:
        if request == "create_deployment":
            raise error("not enough cores, or rights")

    serving.workspaces.before = refuse
    serving.react.react(serving.register("churn", "2"))
    serving.settle()
    assert serving.serving() == "1"
    assert "not enough cores, or rights" in serving.channels.sent[-1].text


def _hide_operations(world: World) -> None:
    def refuse(request: str) -> None:
        if request == "get_operation":
            raise WorkspaceDenied("reading an operation: 403 AuthorizationFailed")

    world.workspaces.before = refuse


def test_operations_that_may_not_be_read_end_no_rollout_for_the_resources_tell(
    world: World,
) -> None:
    _hide_operations(world)
    for version in ("1", "2"):
        world.react.react(world.register("churn", version))
        world.settle()
        assert world.serving() == version


def test_a_failure_whose_operation_may_not_be_read_is_told_with_what_keeps_the_reason(
    serving: World,
) -> None:
    _hide_operations(serving)
    _break_container(serving.workspaces.behaviour)
    serving.react.react(serving.register("churn", "2"))
    serving.settle()
    assert serving.serving() == "1"
    told = serving.channels.sent[-1].text
    assert "the deployment is Failed (why is not known: reading an operation: 403" in told


def test_a_deployment_that_takes_too_long_is_given_up(serving: World) -> None:
    serving.workspaces.behaviour.takes = timedelta(hours=3)
    serving.react.react(serving.register("churn", "2"))
    serving.settle()
    assert serving.serving() == "1"
    assert "took longer than 60 minutes" in serving.channels.sent[-1].text


@pytest.mark.parametrize("request_", ["create_deployment", "set_traffic"])
def test_what_stood_in_the_way_all_the_time_is_told(serving: World, request_: str) -> None:
    failures = 0

    def be_busy(request: str) -> None:
        nonlocal failures
        if request == request_ and failures < 100:
            failures += 1
            raise WorkspaceBusy("creating x: Conflict: the storage is being migrated")

    serving.workspaces.before = be_busy
    serving.react.react(serving.register("churn", "2"))
    serving.settle(until=lambda: serving.all_rollouts()[-1].phase is Phase.ROLLING_BACK)
    assert "the storage is being migrated" in serving.all_rollouts()[-1].reason
    failures = 100
    serving.settle()
    assert serving.serving() == "1"


def test_a_channel_that_is_down_never_fails_the_deployment(serving: World) -> None:
    serving.channels.make_down("team")
    serving.react.react(serving.register("churn", "2"))
    serving.settle()
    assert serving.serving() == "2"
    rollout = serving.all_rollouts()[-1]
    assert rollout.phase is Phase.DONE
    assert "team was not told" in rollout.given_up
    assert serving.told() == ["churn 1: rollout started on churn", "churn 1 is live on churn"]
    assert rollout.notices == ()


def test_an_endpoint_that_somebody_else_made_is_not_touched(world: World) -> None:
    theirs = Endpoint(name="churn", state=State.SUCCEEDED, traffic={"blue": 100})
    world.workspaces.endpoints[WORKSPACE.key, "churn"] = theirs
    world.react.react(world.register("churn", "1"))
    world.settle()
    assert world.workspaces.endpoints[WORKSPACE.key, "churn"] == theirs
    assert world.outcome().status is OutcomeStatus.FAILED
    assert "adopt: true" in world.outcome().detail


@pytest.mark.parametrize("error", [WorkspaceBusy, WorkspaceDenied])
def test_an_old_deployment_that_cannot_be_deleted_keeps_no_version_out(
    serving: World, error: type[WorkspaceBusy]
) -> None:
    def refuse(request: str) -> None:
        if request == "delete_deployment":
            raise error("a lock of the resource group forbids it")

    serving.workspaces.before = refuse
    serving.react.react(serving.register("churn", "2"))
    serving.settle(until=lambda: Phase.RETIRING in {r.phase for r in serving.all_rollouts()})
    serving.react.react(serving.register("churn", "3"))
    serving.settle(most=3000)
    assert serving.serving() == "3"
    assert {r.phase for r in serving.all_rollouts()} == {Phase.DONE}
    left = [m for m in serving.channels.sent if m.title == "churn 2 on churn needs a look"]
    assert "could not be deleted: workspace." in left[-1].text


def test_a_failed_deployment_that_cannot_be_deleted_keeps_no_version_out(serving: World) -> None:
    _break_probe(serving.workspaces.behaviour)

    def refuse(request: str) -> None:
        if request == "delete_deployment":
            raise WorkspaceDenied("no right to delete")

    serving.workspaces.before = refuse
    serving.react.react(serving.register("churn", "2"))
    serving.settle(most=3000)
    text = serving.channels.sent[-1].text
    assert serving.told()[-2:] == [
        "churn 2 was rolled back on churn",
        "churn 2 on churn needs a look",
    ]
    assert "could not be deleted: workspace.denied: no right to delete" in text
    assert "expected 200, got 424" in text
    serving.workspaces.behaviour = ServiceBehaviour()
    serving.react.react(serving.register("churn", "3"))
    serving.settle(until=lambda: serving.told()[-1] == "churn 3 is live on churn")
    assert serving.serving() == "3"


def test_an_endpoint_that_never_settles_is_given_up(serving: World) -> None:
    key = (WORKSPACE.key, "churn")
    before = serving.workspaces.endpoints[key]
    serving.workspaces.endpoints[key] = replace(before, state=State.UPDATING)
    serving.react.react(serving.register("churn", "2"))
    serving.settle()
    assert serving.all_rollouts()[-1].phase is Phase.REFUSED
    assert "endpoint churn is Updating" in serving.channels.sent[-1].text


def test_a_rollout_with_much_to_tell_to_many_is_kept_whole() -> None:
    channels = [f"team-{number}" for number in range(300)]
    named = ", ".join(channels)
    world = World(
        REACTIONS.replace("channels: [team]", f"channels: [team, {named}]").replace(
            "notify: [team]", f"notify: [{named}]"
        )
    )
    for channel in channels:
        world.channels.make_down(channel)
    _break_container(world.workspaces.behaviour)
    world.workspaces.behaviour.score = Score(status=500, body=b"x")
    world.workspaces.before = _refuse_at_length
    world.react.react(world.register("churn", "1"))
    world.settle(until=lambda: Phase.ROLLED_BACK in {r.phase for r in world.all_rollouts()})
    (rollout,) = world.all_rollouts()
    assert [len(notice.attempts) for notice in rollout.notices] == 3 * [len(channels)]
    (row,) = [row for row in world.rows("SignalboxRollouts") if row.key == rollout.id]
    assert "document_1" in row.values
    assert all(len(str(value)) <= 32_000 for value in row.values.values())
    world.settle(most=3000)
    assert world.all_rollouts()[0].notices == ()


def _refuse_at_length(request: str) -> None:
    if request == "create_deployment":
        raise WorkspaceRefused("é" * 3000)
