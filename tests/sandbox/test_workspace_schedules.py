"""Schedules of monitors and jobs: the real client's, and what they do when they are triggered."""

import json
import warnings

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from marshmallow.warnings import Marshmallow4Warning

with warnings.catch_warnings():
    # The client builds its schemas, in a way that its marshmallow deprecates, when imported.
    warnings.simplefilter("ignore", Marshmallow4Warning)
    from azure.ai.ml import Input
    from azure.ai.ml.entities import (
        AlertNotification,
        DataDriftMetricThreshold,
        DataDriftSignal,
        MonitorDefinition,
        MonitoringTarget,
        MonitorSchedule,
        NumericalDriftMetrics,
        ProductionData,
        RecurrencePattern,
        RecurrenceTrigger,
        ReferenceData,
        ServerlessSparkCompute,
    )

from sandbox.workspace.breaches import BREACH_TAG

pytestmark = pytest.mark.filterwarnings(
    "ignore::marshmallow.warnings.Marshmallow4Warning",
    r"ignore:datetime\.datetime\.utcnow:DeprecationWarning:azure\.ai\.ml.*",
)

SIGNAL = "churn_monitor_data_drift"
DRIFT = {"metric_name": "JensenShannonDistance", "metric_value": 0.3, "threshold_value": 0.01}
JOB = {
    "jobType": "Command",
    "command": "python train.py",
    "environmentId": "azureml://registries/azureml/environments/sklearn/versions/1",
    "experimentName": "nightly",
}
DAILY = {"triggerType": "Recurrence", "frequency": "day", "interval": 1}


def monitor():
    """Build a monitor like that of azureml-examples, cli/monitoring."""
    return MonitorSchedule(
        name="churn-monitor",
        tags={"model": "churn"},
        trigger=RecurrenceTrigger(
            frequency="day", interval=2, schedule=RecurrencePattern(hours=3, minutes=15)
        ),
        create_monitor=MonitorDefinition(
            compute=ServerlessSparkCompute(instance_type="standard_e4s_v3", runtime_version="3.4"),
            monitoring_target=MonitoringTarget(ml_task="classification"),
            monitoring_signals={SIGNAL: data_drift()},
            alert_notification=AlertNotification(emails=["a@example.com", "b@example.com"]),
        ),
    )


def data_drift():
    return DataDriftSignal(
        production_data=ProductionData(
            input_data=Input(type="uri_folder", path="azureml:churn-inputs:1"),
            data_context="model_inputs",
        ),
        reference_data=ReferenceData(
            input_data=Input(type="mltable", path="azureml:churn-training:1"),
            data_context="training",
        ),
        metric_thresholds=DataDriftMetricThreshold(
            numerical=NumericalDriftMetrics(jensen_shannon_distance=0.01)
        ),
    )


def put_job_schedule(arm, name="nightly-training", *, job=None, **properties):
    action = {"actionType": "CreateJob", "jobDefinition": JOB if job is None else job}
    usual = {"action": action, "trigger": DAILY}
    return arm.put(f"/schedules/{name}", {"properties": usual | properties})


@pytest.fixture(autouse=True)
def operations_end_at_once(control):
    control.provisioning(0)


def events_of(control, run_id):
    events = [entry["event"] for entry in control.events()]
    return [event for event in events if event["data"].get("runId") == run_id]


def test_the_client_keeps_a_monitor_disables_and_deletes_it(client, control):
    created = client.schedules.begin_create_or_update(monitor()).result()
    assert created.provisioning_state == "Succeeded"
    assert list(created.create_monitor.monitoring_signals) == [SIGNAL]
    read = client.schedules.get("churn-monitor")
    assert read.create_monitor.alert_notification.emails == ["a@example.com", "b@example.com"]
    assert [schedule.name for schedule in client.schedules.list()] == ["churn-monitor"]
    with pytest.raises(HttpResponseError, match="Disable it before you delete it"):
        client.schedules.begin_delete("churn-monitor")
    assert client.schedules.begin_disable("churn-monitor").result().is_enabled is False
    assert list(client.schedules.list()) == []
    client.schedules.begin_delete("churn-monitor").result()
    with pytest.raises(ResourceNotFoundError):
        client.schedules.get("churn-monitor")


def test_the_client_triggers_a_monitor_which_finds_what_it_is_told_to(client, arm, control):
    client.schedules.begin_create_or_update(monitor()).result()
    control.monitor_finds("churn-*", signals={SIGNAL: [DRIFT]}, emails=["ops@example.com"], times=1)
    breached = client.schedules.trigger(
        "churn-monitor", schedule_time="2026-01-05T03:15:00+00:00"
    ).job_name
    calm = client.schedules.trigger("churn-monitor").job_name
    arm.pass_time()
    assert client.jobs.get(breached).status == "Completed"
    root = arm.properties(f"/jobs/{breached}")
    assert root["displayName"] == "churn-monitor-20260105T031500Z"
    assert root["tags"]["azureml.notification.email.address"] == "ops@example.com"
    assert f"azureml.modelmonitor.threshold.breached.{SIGNAL}" in root["tags"]
    assert arm.properties(f"/jobs/{calm}")["tags"] == {}
    tagged = [e["event"] for e in control.events() if BREACH_TAG in e["event"]["data"]["runTags"]]
    assert len({event["data"]["runId"] for event in tagged}) == 1


def test_a_monitors_window_is_as_long_as_its_schedule_says(client, arm, control):
    client.schedules.begin_create_or_update(monitor()).result()
    control.trigger("churn-monitor", at="2026-01-05T03:15:00Z")
    arm.pass_time()
    parameters = [
        json.loads(event["event"]["data"]["runProperties"].get("azureml.parameters", "{}"))
        for event in control.events()
    ]
    signals = [told for told in parameters if told]
    assert signals[0]["monitor_current_time"] == "2026-01-05T03:15:00Z"
    told = control.monitor_run("churn-monitor", window_end="2026-01-05T00:00:00")
    (preprocessor,) = told["preprocessors"]
    arm.pass_time()
    run = history_of(arm, preprocessor)
    assert run["parentRunId"] == run["rootRunId"] == told["run"]
    assert run["parameters"] == {
        "data_window_start": "2026-01-03T00:00:00Z",
        "data_window_end": "2026-01-05T00:00:00Z",
    }
    evaluation = history_of(arm, told["signals"][SIGNAL]["evaluation"])
    assert evaluation["parameters"] == {
        "signal_name": SIGNAL,
        "notification_emails": "a@example.com,b@example.com",
    }


def test_a_job_runs_when_its_schedule_is_triggered(arm, control):
    assert put_job_schedule(arm).status_code == 201
    assert control.events() == []
    job = control.trigger("nightly-training", at="2026-01-05T01:00:00Z")
    arm.pass_time()
    properties = arm.properties(f"/jobs/{job}")
    assert properties["displayName"] == "nightly-training-20260105T010000Z"
    assert properties["experimentName"] == "nightly"
    assert events_of(control, job)[-1]["eventType"].endswith(".RunCompleted")


def test_a_schedule_that_is_disabled_does_nothing(arm, control):
    put_job_schedule(arm, isEnabled=False).raise_for_status()
    with pytest.raises(ValueError, match="not enabled"):
        control.trigger("nightly-training")
    with pytest.raises(ValueError, match="not found"):
        control.trigger("weekly-training")
    listed = arm.get("/schedules", listViewType="DisabledOnly").json()["value"]
    assert [schedule["name"] for schedule in listed] == ["nightly-training"]


def test_operations_on_schedules_take_time_conflict_and_fail(arm, control):
    control.reset()
    created = put_job_schedule(arm)
    assert arm.properties("/schedules/nightly-training")["provisioningState"] == "Creating"
    assert put_job_schedule(arm).status_code == 409
    arm.pass_time()
    assert arm.operation(created)["status"] == "Succeeded"
    assert put_job_schedule(arm, isEnabled=False).status_code == 200
    arm.pass_time()
    assert arm.delete("/schedules/nightly-training").status_code == 202
    arm.pass_time()
    assert arm.delete("/schedules/nightly-training").status_code == 204


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": {"actionType": "Nonsense"}},
        {"action": {"actionType": "CreateMonitor"}},
        {"action": None},
        {"trigger": {"triggerType": "Cron"}},
        {"trigger": None},
        {"tags": {"a": 1}},
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(arm, wrong):
    refused = put_job_schedule(arm, **wrong)
    assert refused.status_code == 400
    assert put_job_schedule(arm, "no spaces").status_code == 400


def test_an_action_that_azure_would_do_is_refused_with_the_reason(arm):
    action = {"actionType": "InvokeBatchEndpoint", "endpointInvocationDefinition": {}}
    refused = put_job_schedule(arm, action=action)
    assert refused.status_code == 501
    assert "'InvokeBatchEndpoint' is not emulated" in refused.json()["error"]["message"]


def history_of(arm, run_id):
    """Return a run as run history has it."""
    workspace = arm.get("").json()["id"]
    return arm.http.get(f"/history/v1.0{workspace}/runs/{run_id}").raise_for_status().json()
