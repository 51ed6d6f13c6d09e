"""A run's event carries a monitor's findings: reactions to both, each on its own record."""

import json
from datetime import timedelta
from typing import Any

import pytest

from shared.base.errors import BudgetSpent, WorkspaceUnreachable
from shared.events.envelopes import read_body
from shared.events.model import Workspace
from shared.events.monitors import BREACH_TAG
from shared.journal.letters import LetterStatus
from tests.stories.world import REACTIONS, WORKSPACE, World
from tests.unit.test_envelopes import body_of, event_of, raw_of

TEXT = (
    "The signal 'data_drift' has failed due to one or more features violating metric thresholds.\n"
    "The feature names and their corresponding computed metric values violating the threshold are "
    '\n[\'{"group": "age", "metric_value": 0.3, "metric_name": "psi", "threshold_value": 0.2}\']\n'
)
DRIFT = """\
  - name: tell-drift
    on: DriftDetected
    when: drift.state == 'breach'
    do:
      - notify:
          channel: team
          title: "${{ drift.monitor }} ${{ drift.signal }} ${{ join(', ', drift.features) }}"
"""
RUNS = """\
  - name: tell-runs
    on: RunStatusChanged
    do:
      - notify: {channel: team, title: "run ${{ run.id }} of ${{ run.root_id }}"}
"""
ASKING = RUNS.replace("    do:", "    breaches: true\n    do:")


def step_event(
    event_id: str = "e1", *, status: str = "Completed", run: str = "step-1", text: str = TEXT
) -> dict[str, Any]:
    """An event of the step with which a monitor's signal ends."""
    return {
        "id": event_id,
        "topic": WORKSPACE.id,
        "subject": f"experiments/x/runs/{run}",
        "eventType": "Microsoft.MachineLearningServices.RunStatusChanged",
        "eventTime": "2026-03-02T08:00:00Z",
        "data": {
            "runStatus": status,
            "experimentName": "churn-monitor",
            "runId": run,
            "runType": "azureml.StepRun",
            "runTags": {BREACH_TAG: text} if text else {},
            "runProperties": {
                "azureml.moduleName": "model_monitor_evaluate_metrics_threshold",
                "azureml.rootpipelinerunid": "root-1",
            },
        },
    }


def records_of(world: World) -> dict[str, dict[str, str]]:
    """The outcomes' statuses of each event on record, by its type and what it is about."""
    return {
        f"{row.values['type']} {row.values['about']}": {
            name: outcome["status"]
            for name, outcome in json.loads(str(row.values["outcomes"])).items()
        }
        for row in world.rows("SignalboxEvents")
    }


def test_a_breach_is_told_once_and_its_run_sets_off_nothing_else() -> None:
    world = World(REACTIONS + RUNS + DRIFT)
    for number, status in enumerate(["Running", "Finalizing", "Completed", "Completed"]):
        world.react.react(step_event(f"e{number}", status=status))
    assert world.told() == ["churn-monitor data_drift age"]
    assert records_of(world)["DriftDetected churn-monitor:root-1:data_drift"] == {
        "tell-drift/notify": "done"
    }
    skipped = {"tell-failed-runs/*": "skipped", "tell-runs/*": "skipped"}
    assert records_of(world)["RunStatusChanged step-1:Completed"] == skipped
    assert world.all_letters() == []


def test_a_reaction_that_asks_for_breaches_gets_the_run_too() -> None:
    world = World(REACTIONS + ASKING + DRIFT)
    world.react.react(step_event())
    assert world.told() == ["run step-1 of root-1", "churn-monitor data_drift age"]


def test_both_events_are_recorded_where_no_reaction_is_for_one() -> None:
    world = World()
    world.react.react(step_event())
    assert records_of(world) == {
        "RunStatusChanged step-1:Completed": {"tell-failed-runs/*": "skipped"},
        "DriftDetected churn-monitor:root-1:data_drift": {"*": "skipped"},
    }


def test_a_letter_of_the_drift_replays_the_drift_and_one_of_the_run_the_run() -> None:
    world = World(REACTIONS + ASKING + DRIFT)
    down = [True]

    def send(*args: Any, **kwargs: Any) -> None:
        if down:
            raise WorkspaceUnreachable("down")
        kept(*args, **kwargs)

    kept = world.channels.send
    world.channels.send = send  # type: ignore[method-assign]
    world.react.react(step_event())
    letters = {letter.reaction: letter for letter in world.all_letters()}
    assert letters.keys() == {"tell-runs", "tell-drift"}
    down.clear()
    world.settle()
    assert sorted(world.told()) == ["churn-monitor data_drift age", "run step-1 of root-1"]
    assert {letter.status for letter in world.all_letters()} == {LetterStatus.CLOSED}
    assert records_of(world) == {
        "RunStatusChanged step-1:Completed": {
            "tell-failed-runs/*": "skipped",
            "tell-runs/notify": "done",
            "tell-runs/*": "done",
        },
        "DriftDetected churn-monitor:root-1:data_drift": {
            "tell-drift/notify": "done",
            "tell-drift/*": "done",
        },
    }


def test_a_letter_of_a_drift_whose_reaction_is_gone_stays_one_letter() -> None:
    world = World(REACTIONS + DRIFT)
    world.channels.send = _be_down  # type: ignore[method-assign]
    world.react.react(step_event())
    (letter,) = world.all_letters()
    assert letter.about == "DriftDetected churn-monitor:root-1:data_drift"
    world.reactions = REACTIONS
    world.start_app()
    world.settle()
    (parked,) = world.all_letters()
    assert (parked.id, parked.status, parked.code) == (
        *(letter.id, LetterStatus.PARKED, "reaction.gone"),
    )


def test_a_letter_is_parked_where_its_reaction_is_for_other_events_by_now() -> None:
    world = World(REACTIONS + DRIFT)
    world.channels.send = _be_down  # type: ignore[method-assign]
    world.react.react(step_event())
    world.reactions = REACTIONS + RUNS.replace("tell-runs", "tell-drift")
    world.start_app()
    world.settle()
    (parked,) = world.all_letters()
    assert (parked.status, parked.code) == (LetterStatus.PARKED, "reaction.gone")


def test_both_events_of_an_envelope_share_one_deadline() -> None:
    world = World(REACTIONS + ASKING + DRIFT)
    kept = world.channels.send

    def be_slow(*args: Any, **kwargs: Any) -> None:
        world.clock.pass_time(timedelta(minutes=5))
        kept(*args, **kwargs)

    world.channels.send = be_slow  # type: ignore[method-assign]
    world.react.react(step_event())
    assert world.told() == ["run step-1 of root-1"]
    (letter,) = world.all_letters()
    assert (letter.reaction, letter.code) == ("tell-drift", BudgetSpent.code)
    world.settle()
    assert "churn-monitor data_drift age" in world.told()


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("drift_detected.event_grid", "churn prediction_drift age"),
        ("drift_detected.cloud_event", "churn prediction_drift age"),
        ("dataset_drift_detected.event_grid", "copetersDriftMonitor3 data_drift "),
    ],
)
def test_other_sources_set_off_the_same_reaction(name: str, title: str) -> None:
    world = World(REACTIONS.replace(WORKSPACE.id, _workspace_of(name).id) + DRIFT)
    world.clock.pass_time(
        timedelta(days=365)
    )  # the samples are of later than the world's first day
    for raw in read_body(body_of(name)) * 2:
        world.react.react(raw)
    assert [told.strip() for told in world.told()] == [title.strip()]
    assert len(records_of(world)) == 1


def _workspace_of(name: str) -> Workspace:
    workspace: Workspace = event_of(raw_of(name)).workspace
    return workspace


def _be_down(*_: Any, **__: Any) -> None:
    raise WorkspaceUnreachable("down")
