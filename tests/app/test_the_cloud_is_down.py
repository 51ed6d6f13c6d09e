"""While a workspace or a channel is away things wait; when it is back they are done."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.stack import SYSTEM_TOPIC
from shared.base.errors import ChannelDown, WorkspaceThrottled, WorkspaceUnreachable
from shared.journal.letters import LetterStatus
from shared.journal.outcomes import OutcomeStatus
from shared.rollouts.state.phases import Phase
from tests.app.arm import Json
from tests.app.stage import PACE, Stage


@pytest.mark.parametrize(
    ("name", "how"),
    [("answers-503", {"status": 503}), ("drops", {"drop": True})],
    ids=["answers-503", "drops-connections"],
)
def test_while_the_workspace_is_away_a_letter_waits_and_is_closed_when_it_is_back(
    stage: Stage, name: str, how: dict[str, Any]
) -> None:
    rule = stage.control.outage(path=f"*/models/{name}/*", method="GET", **how)
    with stage.during(rule):
        event = stage.register(name)
        letter = stage.wait_letter(event, WorkspaceUnreachable.code)
        assert letter.status is LetterStatus.WAITING
        assert letter.body
        assert stage.wait_recorded(event, OutcomeStatus.WAITING).deliveries == 1
        stage.wait_for("a replay that fails", lambda: stage.letters(event)[0].attempt >= 2)
    stage.wait_live(name)
    stage.wait_letters_closed(event)
    stage.wait_recorded(event, OutcomeStatus.DONE)
    reactions = [each.reaction for each in stage.letters(event)]
    assert len(set(reactions)) == len(reactions), "one letter of each reaction"
    assert len(stage.rollouts(name)) == 1


def test_a_workspace_that_asks_for_a_pause_gets_it(stage: Stage) -> None:
    pause = timedelta(seconds=3)
    path = "*/models/throttled/*"
    # The rules ask for its tags, and the action for the model.
    rule = stage.control.throttle(times=2, retry_after=pause.seconds, path=path, method="GET")
    with stage.during(rule):
        event = stage.register("throttled")
        letter = stage.wait_letter(event, WorkspaceThrottled.code)
        assert letter.status is LetterStatus.WAITING
        stage.wait_live("throttled")
    stage.wait_letters_closed(event)
    refused, _, *taken = (
        datetime.fromisoformat(request["at"])
        for request in stage.control.requests()
        if "/models/throttled/" in request["path"] and request["method"] == "GET"
    )
    assert (min(taken) - refused) / PACE.workspace >= pause


def test_a_rollout_waits_out_what_the_workspace_does_and_creates_nothing_twice(
    stage: Stage,
) -> None:
    control, name = stage.control, "flaky"
    rules = (
        control.outage(times=2, path=f"*/onlineEndpoints/{name}", method="GET"),
        control.outage(
            times=1, lose_answer=True, path=f"*/onlineEndpoints/{name}/deployments/*", method="PUT"
        ),
        control.throttle(times=1, path="*/mfeOperationsStatus/*"),
    )
    with stage.during(*rules):
        event = stage.register(name)
        rollout = stage.wait_live(name)
    assert stage.traffic(name) == {rollout.deployment: 100}
    assert stage.writes(name).count(("PUT", f"/deployments/{rollout.deployment}", 201)) <= 1
    assert list(stage.versions(name)) == [rollout.deployment]
    stage.wait_recorded(event, OutcomeStatus.DONE)
    assert stage.letters(event) == []


def test_a_channel_that_is_down_does_not_hold_a_deployment_up_and_is_told_when_it_is_back(
    stage: Stage,
) -> None:
    with stage.channel_down():
        event = stage.register("silent")
        stage.wait_recorded(event, OutcomeStatus.DONE)
        assert stage.serving("silent") == "1"
        (rollout,) = stage.rollouts("silent")
        assert rollout.phase is Phase.DONE
        assert rollout.notices
        assert stage.told("silent") == []
    stage.wait_live("silent")
    started, live = stage.told("silent")
    assert (started, live) == ("silent 1: rollout started on silent", "silent 1 is live on silent")


def test_a_failed_run_is_told_when_its_channel_is_back(stage: Stage) -> None:
    event = run_failed(stage, "run-untold")
    step = "tell-failed-runs/notify"
    with stage.channel_down():
        stage.stack.event_grid.publish(SYSTEM_TOPIC, [event])
        letter = stage.wait_letter(event, ChannelDown.code)
        assert letter.status is LetterStatus.WAITING
        stage.wait_recorded(event, OutcomeStatus.WAITING, step)
    stage.wait_recorded(event, OutcomeStatus.DONE, step)
    stage.wait_letters_closed(event)
    assert stage.told("run-untold") == ["Run run-untold failed"]


def run_failed(stage: Stage, run: str) -> Json:
    """Return the event of a run that failed."""
    return {
        "topic": stage.stack.workspace_id,
        "eventType": "Microsoft.MachineLearningServices.RunStatusChanged",
        "subject": f"experiments/e1/runs/{run}:Failed",
        "eventTime": datetime.now(UTC).isoformat(),
        "id": f"event of {run}",
        "data": {
            "runStatus": "Failed",
            "experimentId": "e1",
            "experimentName": "nightly",
            "runId": run,
            "runType": "azureml.pipeline",
            "runTags": {},
            "runProperties": {},
        },
        "dataVersion": "2",
    }
