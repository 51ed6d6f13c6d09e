"""An event has one key however often it is delivered, and is plain data for expressions."""

import dataclasses
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from itertools import combinations
from types import MappingProxyType
from typing import Any

import pytest

from shared.events.model import (
    EVENT_CLASSES,
    Alert,
    AlertCondition,
    AlertFired,
    AlertSeverity,
    Drift,
    DriftDetected,
    DriftSource,
    DriftState,
    Event,
    EventType,
    Metric,
    Model,
    ModelDeployed,
    ModelRegistered,
    PlannedTime,
    Run,
    RunCompleted,
    RunStatusChanged,
    ScheduleDue,
    Service,
    Workspace,
    as_data,
)

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
WORKSPACE = Workspace(subscription="S-1", resource_group="rg-ML", name="mlw")
RUN = Run(
    id="run-1",
    root_id="root",
    is_root=False,
    step="train",
    type="automl",
    status="Failed",
    experiment_name="train",
    tags={"a": "b"},
)
DRIFT = Drift(
    monitor="Fraud",
    signal="data_drift",
    state=DriftState.BREACH,
    source=DriftSource.MODEL_MONITOR,
    window="root-1",
    run_id="run-1",
    metrics=(Metric(name="psi", value=0.5, threshold=0.25, feature="age", effect=1.0),),
    features=("age",),
    window_start=NOON,
)
ALERT = Alert(
    id="/alerts/1",
    rule="churn-latency",
    severity=AlertSeverity.SEV1,
    condition=AlertCondition.FIRED,
    fired_at=NOON,
    targets=("/endpoints/churn",),
    value=0.5,
)
PLANNED = PlannedTime(
    reaction="weekly",
    cron="0 6 * * 1",
    time_zone="UTC",
    planned_at=NOON,
    local_time=NOON.isoformat(),
)

REGISTERED = ModelRegistered(
    id="e1", time=NOON, workspace=WORKSPACE, model=Model(name="fraud", version="3")
)
EVENTS: tuple[Event, ...] = (
    REGISTERED,
    ModelDeployed(
        id="e1",
        time=NOON,
        workspace=WORKSPACE,
        service=Service(name="svc", compute_type="ACI", models=("fraud:3",)),
    ),
    RunCompleted(id="e1", time=NOON, workspace=WORKSPACE, run=RUN),
    RunStatusChanged(id="e1", time=NOON, workspace=WORKSPACE, run=RUN),
    AlertFired(id="e1", time=NOON, workspace=WORKSPACE, alert=ALERT),
    ScheduleDue(id="e1", time=NOON, workspace=WORKSPACE, schedule=PLANNED),
    DriftDetected(id="e1", time=NOON, workspace=WORKSPACE, drift=DRIFT),
)


def same(**changes: Any) -> ModelRegistered:
    """The registration of fraud:3, told a little differently."""
    return dataclasses.replace(REGISTERED, **changes)


def test_every_event_type_has_a_class() -> None:
    assert set(EVENT_CLASSES) == set(EventType)
    assert {type(event) for event in EVENTS} == set(EVENT_CLASSES.values())
    assert all(cls.type is type_ for type_, cls in EVENT_CLASSES.items())


@pytest.mark.parametrize(
    ("event", "about"),
    list(
        zip(
            EVENTS,
            [
                "fraud:3",
                "svc",
                "run-1",
                "run-1:Failed",
                "/alerts/1:Fired",
                "weekly@2026-05-04T12:00Z",
                "Fraud:root-1:data_drift",
            ],
            strict=True,
        )
    ),
)
def test_an_event_says_what_it_is_about(event: Event, about: str) -> None:
    assert event.about == about


def test_a_workspace_is_told_by_its_arm_id() -> None:
    arm_id = (
        "/subscriptions/S-1/resourceGroups/rg-ML"
        "/providers/Microsoft.MachineLearningServices/workspaces/mlw"
    )
    assert WORKSPACE.id == arm_id
    assert WORKSPACE.key == arm_id.lower()


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(same(), id="delivered twice"),
        pytest.param(same(time=NOON + timedelta(minutes=5)), id="with another time"),
        pytest.param(
            same(workspace=Workspace(subscription="s-1", resource_group="RG-ml", name="MLW")),
            id="with its workspace in another casing",
        ),
        pytest.param(
            same(model=Model(name="fraud", version="3", tags={"stage": "prod"})),
            id="with other tags",
        ),
    ],
)
def test_one_event_has_one_key(again: Event) -> None:
    assert again.key == REGISTERED.key


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(same(id="e2"), id="another id"),
        pytest.param(same(model=Model(name="fraud", version="4")), id="another version"),
        pytest.param(same(model=Model(name="Fraud", version="3")), id="another casing of its name"),
        pytest.param(
            same(workspace=dataclasses.replace(WORKSPACE, name="mlw2")), id="another workspace"
        ),
        pytest.param(
            same(workspace=dataclasses.replace(WORKSPACE, resource_group="rg")), id="another group"
        ),
        pytest.param(
            same(id="3e1", model=Model(name="fraud", version="")), id="a border in another place"
        ),
    ],
)
def test_two_events_have_two_keys(other: Event) -> None:
    assert other.key != REGISTERED.key


def test_one_id_with_several_types_makes_several_keys() -> None:
    assert all(one.key != other.key for one, other in combinations(EVENTS, 2))


def test_a_run_has_one_key_for_each_status() -> None:
    keys = {
        RunStatusChanged(
            id="e1", time=NOON, workspace=WORKSPACE, run=dataclasses.replace(RUN, status=status)
        ).key
        for status in ("Running", "Completed", "Failed")
    }
    assert len(keys) == 3


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: str(event.type))
def test_an_event_never_changes(event: Event) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.id = "other"  # type: ignore[misc]
    assert not hasattr(event, "__dict__")


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: str(event.type))
def test_an_event_as_data_can_be_written_as_json(event: Event) -> None:
    data = as_data(event)
    assert json.loads(json.dumps(data)) == data
    assert data["type"] == str(event.type)
    assert data["workspace"]["id"] == WORKSPACE.id


def test_the_data_of_a_registration_has_the_shape_that_expressions_use() -> None:
    tags: Mapping[str, str] = MappingProxyType({"stage": "prod"})
    event = same(model=Model(name="fraud", version="3", tags=tags))
    assert as_data(event) == {
        "type": "ModelRegistered",
        "id": "e1",
        "time": "2026-05-04T12:00:00+00:00",
        "workspace": {
            "subscription": "S-1",
            "resource_group": "rg-ML",
            "name": "mlw",
            "id": WORKSPACE.id,
        },
        "model": {"name": "fraud", "version": "3", "tags": {"stage": "prod"}, "properties": {}},
        "cause": {"reaction": "", "depth": 0},
    }


def test_the_data_of_a_drift_tells_times_metrics_and_what_is_absent() -> None:
    data = as_data(EVENTS[-1])["drift"]
    assert data["window_start"] == "2026-05-04T12:00:00+00:00"
    assert data["window_end"] is None
    assert data["features"] == ["age"]
    assert data["metrics"] == [
        {
            "name": "psi",
            "value": 0.5,
            "threshold": 0.25,
            "feature": "age",
            "breached": True,
            "effect": 1.0,
        }
    ]


def test_choices_are_plain_text_for_expressions() -> None:
    data = as_data(EVENTS[-1])["drift"]
    assert (type(data["state"]), data["state"]) == (str, "breach")
    assert (type(data["source"]), data["source"]) == (str, "model_monitor")


def test_the_signals_of_one_window_are_events_of_their_own() -> None:
    one, other = (
        DriftDetected(
            id="e1", time=NOON, workspace=WORKSPACE, drift=dataclasses.replace(DRIFT, signal=signal)
        )
        for signal in ("data_drift", "data_quality")
    )
    assert one.key != other.key


def test_changing_the_data_leaves_the_event_alone() -> None:
    event = same(model=Model(name="fraud", version="3", tags={"stage": "prod"}))
    as_data(event)["model"]["tags"]["stage"] = "dev"
    assert event.model.tags == {"stage": "prod"}


def test_times_of_any_offset_are_told_with_it() -> None:
    noon_elsewhere = NOON.astimezone(timezone(timedelta(hours=2)))
    assert as_data(same(time=noon_elsewhere))["time"] == "2026-05-04T14:00:00+02:00"
