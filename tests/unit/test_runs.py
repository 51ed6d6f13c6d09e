"""The parts of a run in an event: its root, its step, its literal inputs."""

from typing import Any

import pytest

from shared.events.fields import Fields
from shared.events.model import Run
from shared.events.runs import find_literals, has_ended, parse_run

GUID = "ad912b2d-6467-4f32-a616-dbe4af6dd8fc"


def run_of(run_id: str = "step-1", **data: Any) -> Run:
    """The run of an event with this data."""
    return parse_run(Fields("the data", {"runId": run_id} | data), status=None)


@pytest.mark.parametrize(
    ("data", "root", "is_root"),
    [
        pytest.param({}, "step-1", True, id="nothing above it"),
        pytest.param(
            {"runProperties": {"azureml.rootpipelinerunid": "r", "azureml.pipelinerunid": "p"}},
            *("r", False),
            id="its root",
        ),
        pytest.param(
            {"runProperties": {"AzureML.PipelineRunId": "p"}}, "p", False, id="its pipeline"
        ),
        pytest.param({"runTags": {"azureml.pipelinerunid": "p"}}, "p", False, id="told in tags"),
        pytest.param(
            {
                "runTags": {"azureml.pipelinerunid": "forged"},
                "runProperties": {"azureml.pipelinerunid": "p"},
            },
            *("p", False),
            id="properties win over tags",
        ),
        pytest.param(
            {"runTags": {"mlflow.rootRunId": "r", "mlflow.parentRunId": "p"}},
            *("r", False),
            id="MLflow's root",
        ),
        pytest.param({"runTags": {"mlflow.parentRunId": "p"}}, "p", False, id="MLflow's parent"),
        pytest.param({"runTags": {"mlflow.rootRunId": "step-1"}}, "step-1", True, id="its own"),
        pytest.param(
            {"runProperties": {"azureml.runsource": "azureml.StepRun"}},
            *("step-1", False),
            id="a step of nobody knows what",
        ),
        pytest.param({"runType": "azureml.StepRun"}, "step-1", False, id="a step by its type"),
        pytest.param(
            {"runProperties": {"azureml.runsource": "azureml.PipelineRun"}},
            *("step-1", True),
            id="a pipeline",
        ),
        pytest.param({"runProperties": {"azureml.pipelinerunid": ""}}, "step-1", True, id="empty"),
        pytest.param(
            {"runProperties": {"azureml.pipelinerunid": "../a"}}, "step-1", True, id="a path"
        ),
        pytest.param(
            {"runProperties": {"azureml.pipelinerunid": "a\nb"}}, "step-1", True, id="two lines"
        ),
        pytest.param(
            {"runProperties": {"azureml.pipelinerunid": "x" * 256}}, "step-1", True, id="too long"
        ),
    ],
)
def test_a_run_is_part_of_the_run_that_the_event_shows(
    data: dict[str, Any], root: str, is_root: bool
) -> None:
    run = run_of(**data)
    assert (run.root_id, run.is_root) == (root, is_root)


@pytest.mark.parametrize(
    ("run_id", "properties", "root"),
    [
        (f"AutoML_{GUID}", {}, f"AutoML_{GUID}"),
        (f"AutoML_{GUID}_5", {}, f"AutoML_{GUID}"),
        (f"AutoML_{GUID}_setup", {}, f"AutoML_{GUID}"),
        (f"HD_{GUID}_11", {}, f"HD_{GUID}"),
        (f"HD_{GUID}", {"runTemplate": "HyperDrive"}, f"HD_{GUID}"),
        ("frosty_sun_abc_3", {"runTemplate": "automl_child"}, "frosty_sun_abc"),
        ("frosty_sun_abc_3", {"run_template": "automl_child"}, "frosty_sun_abc"),
        ("frosty_sun_abc", {}, "frosty_sun_abc"),
        ("frosty", {"runTemplate": "automl_child"}, "frosty"),
    ],
)
def test_a_trial_is_part_of_the_job_that_it_is_named_after(
    run_id: str, properties: dict[str, str], root: str
) -> None:
    run = run_of(run_id, runProperties=properties)
    assert (run.root_id, run.is_root) == (root, run_id == root)


@pytest.mark.parametrize(
    ("told", "step"),
    [("train", "train"), (" a\tb ", "a b"), ("a\u202eb", "ab"), ("x" * 300, "x" * 254 + "…")],
)
def test_a_step_is_told_by_its_component_on_one_line(told: str, step: str) -> None:
    assert run_of(runProperties={"azureml.modulename": told}).step == step


def test_without_a_component_the_step_is_empty() -> None:
    assert run_of().step == ""


@pytest.mark.parametrize(
    ("properties", "literals"),
    [
        ({"azureml.parameters": '{"Epochs": "3", "n": 5, "x": null}'}, {"epochs": "3"}),
        ({"parameters": '{"epochs": "3"}'}, {"epochs": "3"}),
        ({"azureml.parameters": '"text"'}, {}),
        ({"azureml.parameters": '{"a": "' + "x" * 70_000 + '"}'}, {}),
        ({}, {}),
    ],
)
def test_literal_inputs_are_read_where_they_are_shown(
    properties: dict[str, str], literals: dict[str, str]
) -> None:
    assert find_literals(run_of(runProperties=properties)) == literals


@pytest.mark.parametrize("status", ["Completed", "failed", "CANCELED"])
def test_nothing_more_happens_to_a_run_that_has_ended(status: str) -> None:
    assert has_ended(status)


@pytest.mark.parametrize("status", ["NotResponding", "Running", "CancelRequested", "Paused", ""])
def test_a_run_of_another_status_may_go_on(status: str) -> None:
    assert not has_ended(status)
