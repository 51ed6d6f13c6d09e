"""People, and newer versions, tell a running rollout what to do; the app does it at once."""

import json

from shared.journal.outcomes import OutcomeStatus
from shared.rollouts.state.phases import Phase
from shared.rollouts.state.rollout import Rollout
from tests.app.arm import Json
from tests.app.stage import Stage
from tests.app.test_alerts import alert, send

STEP = "deploy-tagged-models/deploy"


def at_a_tenth(stage: Stage, name: str, strategy: str, phase: Phase) -> tuple[Json, Rollout]:
    """Put version 1 live, and have version 2 wait with a tenth of the traffic.

    Return the event of version 2 and its rollout.
    """
    stage.register(name, "1")
    old = stage.wait_live(name, "1").deployment
    event = stage.register(name, "2", deploy="true", signalbox_rollout=strategy)
    rollout = stage.wait_phase(name, "2", phase)
    assert stage.traffic(name) == {old: 90, rollout.deployment: 10}
    return event, rollout


def order(stage: Stage, rollout: Rollout, kind: str, why: str, *options: str) -> None:
    """Give an order as an operator does, on the command line."""
    stage.manage("rollouts", kind, rollout.id[:8], "--why", why, "--by", "ada", *options)


def test_aborted_while_it_holds_it_gives_its_traffic_back(stage: Stage) -> None:
    event, rollout = at_a_tenth(stage, "steer-abort", "hold-long", Phase.HOLDING)
    shown = json.loads(stage.manage("rollouts", "show", rollout.id[:8], "--json"))
    assert (shown["id"], shown["phase"]) == (rollout.id, "holding")
    order(stage, rollout, "abort", "customers complain")
    ended = stage.wait_ended("steer-abort", "2")
    assert (ended.phase, ended.reason) == (
        Phase.ROLLED_BACK,
        "abort by ada: customers complain",
    )
    assert stage.traffic("steer-abort") == {rollout.stable: 100}
    assert stage.versions("steer-abort") == {rollout.stable: "1"}
    assert stage.told("steer-abort 2")[1:] == [
        "steer-abort 2 was aborted on steer-abort",
        "steer-abort 2 was rolled back on steer-abort",
    ]
    record = stage.wait_recorded(event, OutcomeStatus.FAILED)
    assert record.outcomes[STEP].code == "rollout.aborted"


def test_approved_it_goes_on_and_not_before(stage: Stage) -> None:
    event, rollout = at_a_tenth(stage, "steer-approve", "ask-first", Phase.APPROVING)
    stage.wait_for("the question", lambda: stage.told("steer-approve 2 waits for approval"))
    asked = next(each for each in stage.channel.told if "waits for approval" in each.title)
    assert f"signalbox rollouts approve {rollout.id[:8]}" in asked.text
    order(stage, rollout, "approve", "the figures are good")
    ended = stage.wait_live("steer-approve", "2")
    assert stage.traffic("steer-approve") == {rollout.deployment: 100}
    texts = [moment.text for moment in ended.history]
    assert "approve by ada: the figures are good" in texts
    stage.wait_recorded(event, OutcomeStatus.DONE)


def test_paused_it_stays_and_promoted_it_goes_to_the_end(stage: Stage) -> None:
    _, rollout = at_a_tenth(stage, "steer-pause", "hold-long", Phase.HOLDING)
    order(stage, rollout, "pause", "lunch")
    held = stage.wait_phase("steer-pause", "2", Phase.HELD)
    assert held.reason == "pause by ada: lunch"
    assert stage.traffic("steer-pause") == {rollout.stable: 90, rollout.deployment: 10}
    order(stage, rollout, "promote", "all is well", "--to-end")
    stage.wait_live("steer-pause", "2")
    assert stage.traffic("steer-pause") == {rollout.deployment: 100}


def test_an_alert_aborts_what_rolls_out_on_its_endpoint(stage: Stage) -> None:
    event, rollout = at_a_tenth(stage, "steer-alert", "hold-long", Phase.HOLDING)
    target = f"{stage.stack.workspace_id}/onlineEndpoints/steer-alert".lower()
    fired = alert(stage, "stop-steer", alertTargetIDs=[target])
    assert send(stage, fired).status_code == 202
    ended = stage.wait_ended("steer-alert", "2")
    assert (ended.phase, ended.reason) == (
        Phase.ROLLED_BACK,
        "abort by reaction stop-on-alert: stop-steer fired",
    )
    assert stage.traffic("steer-alert") == {rollout.stable: 100}
    assert stage.wait_recorded(event, OutcomeStatus.FAILED).outcomes[STEP].code == "rollout.aborted"
    given = stage.record(fired)
    assert given is not None
    assert given.outcomes["stop-on-alert/rollout"].status is OutcomeStatus.DONE


def test_a_newer_version_takes_the_place_of_one_that_holds(stage: Stage) -> None:
    event, rollout = at_a_tenth(stage, "steer-newer", "hold-long", Phase.HOLDING)
    stage.register("steer-newer", "3", deploy="true", signalbox_rollout="hold-long")
    newer = stage.wait_phase("steer-newer", "3", Phase.HOLDING)
    older = stage.wait_ended("steer-newer", "2")
    assert older.phase is Phase.ROLLED_BACK
    assert "steer-newer 3 takes its place" in older.reason
    assert newer.stable == rollout.stable
    assert stage.traffic("steer-newer") == {rollout.stable: 90, newer.deployment: 10}
    assert stage.versions("steer-newer") == {rollout.stable: "1", newer.deployment: "3"}
    record = stage.wait_recorded(event, OutcomeStatus.SKIPPED)
    assert record.outcomes[STEP].code == "superseded"
    order(stage, newer, "abort", "the test is over")
    assert stage.wait_ended("steer-newer", "3").phase is Phase.ROLLED_BACK
