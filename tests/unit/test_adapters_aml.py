"""The workspaces' own addresses, and what comes from them: nothing there is trusted."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ServiceRequestError
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.aml.connection import Aml
from shared.adapters.aml.jobs import as_absent
from shared.adapters.aml.mlclient import sdk
from shared.adapters.aml.mlflow import Mlflow, parse_metrics
from shared.adapters.aml.run_history import parse_run_record
from shared.adapters.aml.workspaces import ArmWorkspaces
from shared.adapters.http import Reply
from shared.adapters.targets.component import _declared, _inputs
from shared.adapters.targets.copy_of import copy_of
from shared.adapters.targets.job import error_of
from shared.base.clock import SystemClock
from shared.base.errors import (
    JobInvalid,
    TargetAbsent,
    WorkspaceDenied,
    WorkspaceRefused,
    WorkspaceThrottled,
    WorkspaceUnreachable,
)
from shared.events.model import Workspace
from shared.retraining.targets import ComponentTarget, Submission
from tests.unit.test_adapters_arm import Credential, Transport, answer

WORKSPACE = Workspace(subscription="s", resource_group="g", name="w")
SUBMISSION = Submission(
    id="a" * 32,
    reference="b-a",
    workspace=WORKSPACE,
    since=datetime(2026, 3, 1, tzinfo=UTC),
    is_first=True,
)
DISCOVERY = "https://westeurope.api.azureml.ms/discovery"
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
NAMED = st.sampled_from(
    [
        *("runId", "error", "properties", "tags", "parameters", "startTimeUtc", "status", "name"),
        *("azureml.parameters", "metrics", "key", "value", "step", "timestamp", "inputs"),
    ]
)
DOCUMENT = st.dictionaries(
    NAMED | st.text(), JSON | st.dictionaries(NAMED, JSON, max_size=4), max_size=6
)


def workspace(discovery: str = DISCOVERY, tracking: str = "azureml://x.y/mlflow/v1.0/w") -> Reply:
    properties = {"discoveryUrl": discovery, "mlFlowTrackingUri": tracking}
    return answer({"location": "westeurope", "properties": properties})


def make(*answers: Reply | Exception) -> tuple[ArmWorkspaces, Transport, Credential]:
    transport, credential = Transport(*answers), Credential()
    return (
        ArmWorkspaces(Aml(lambda: credential, http=transport)),  # type: ignore[arg-type]
        transport,
        credential,
    )


def test_run_history_is_where_the_discovery_document_says() -> None:
    found = answer({"api": "https://westeurope.api.azureml.ms/"})
    workspaces, transport, credential = make(workspace(), found, answer({"runId": "r"}))
    assert workspaces.get_run(WORKSPACE, "r") is not None
    assert [request.url.partition("?")[0] for request in transport.requests] == [
        f"https://management.azure.com{WORKSPACE.id}",
        DISCOVERY,
        f"https://westeurope.api.azureml.ms/history/v1.0{WORKSPACE.id}/runs/r",
    ]
    assert set(credential.scopes) == {
        "https://management.azure.com/.default",
        "https://ml.azure.com/.default",
    }


def test_an_older_discovery_document_names_run_history_itself() -> None:
    found = answer({"history": "https://westeurope.experiments.azureml.net"})
    workspaces, transport, _ = make(workspace(), found, answer({"runId": "r"}))
    workspaces.get_run(WORKSPACE, "r")
    assert transport.requests[-1].url.startswith("https://westeurope.experiments.azureml.net/hist")


@pytest.mark.parametrize(
    "address",
    ["http://x.y/discovery", "", "file:///etc/passwd", "https://", "https://me:pass@x.y/discovery"],
)
def test_a_token_is_sent_to_no_address_that_is_not_https(address: str) -> None:
    workspaces, transport, _ = make(workspace(discovery=address))
    with pytest.raises(WorkspaceRefused, match="not an https:// address"):
        workspaces.get_run(WORKSPACE, "r")
    assert len(transport.requests) == 1


def test_a_discovery_document_without_an_address_is_refused() -> None:
    workspaces, _, _ = make(workspace(), answer({"api": ""}))
    with pytest.raises(WorkspaceRefused, match="names none"):
        workspaces.get_run(WORKSPACE, "r")


def test_metrics_are_where_the_workspace_says() -> None:
    metrics = [{"key": "auc", "value": 0.9, "step": 0, "timestamp": 1}]
    found = answer({"run": {"data": {"metrics": metrics}}})
    workspaces, transport, _ = make(workspace(), found)
    assert workspaces.get_metrics(WORKSPACE, "a/b") == {"auc": 0.9}
    assert transport.requests[-1].url == (
        "https://x.y/mlflow/v1.0/w/api/2.0/mlflow/runs/get?run_id=a%2Fb"
    )


def test_a_redirect_is_not_followed() -> None:
    moved = answer({}, 302, location="https://evil.example/")
    workspaces, transport, _ = make(workspace(), moved)
    with pytest.raises(WorkspaceRefused):
        workspaces.get_metrics(WORKSPACE, "r")
    assert len(transport.requests) == 2


@pytest.mark.parametrize(
    "following",
    [
        {"nextLink": "https://a.b/history/v1.0/page2", "continuationToken": "2"},
        {"nextLink": "/history/v1.0/page2"},
        {"continuationToken": "2"},
    ],
)
def test_the_pages_of_a_list_are_followed(following: dict[str, str]) -> None:
    first = answer({"value": [{"runId": "1"}], **following})
    last = answer({"value": [{"runId": "2"}, "odd"]})
    workspaces, transport, _ = make(workspace(), answer({"api": "https://a.b"}), first, last)
    assert [run.id for run in workspaces.list_children(WORKSPACE, "r")] == ["1", "2"]
    assert transport.requests[-1].url.startswith("https://a.b/history/v1.0/")


@pytest.mark.parametrize("link", ["https://evil.example/x", "https://a.b.evil.example/x", "x"])
def test_a_list_that_goes_on_elsewhere_is_refused(link: str) -> None:
    first = answer({"value": [], "nextLink": link})
    workspaces, transport, _ = make(workspace(), answer({"api": "https://a.b"}), first)
    with pytest.raises(WorkspaceRefused, match=r"away from https://a\.b"):
        workspaces.list_children(WORKSPACE, "r")
    assert len(transport.requests) == 3


def test_a_list_without_an_end_is_refused() -> None:
    page = {"value": [], "continuationToken": "again"}
    pages = [answer(page) for _ in range(25)]
    workspaces, _, _ = make(workspace(), answer({"api": "https://a.b"}), *pages)
    with pytest.raises(WorkspaceRefused, match="does not end"):
        workspaces.list_children(WORKSPACE, "r")


def test_a_name_is_never_a_way_up() -> None:
    workspaces, _, _ = make(workspace(), answer({"api": "https://a.b"}))
    with pytest.raises(WorkspaceRefused):
        workspaces.get_run(WORKSPACE, "..")


# Documents


@given(DOCUMENT)
def test_any_document_is_read_as_some_run(document: dict[str, Any]) -> None:
    run = parse_run_record(document)
    for texts in (run.tags, run.properties, run.parameters):
        assert all(isinstance(text, str) for pair in texts.items() for text in pair)


def test_a_run_s_error_is_told_without_secrets() -> None:
    inner = {"code": "UserError", "message": "no access with sig=abc; password=hunter2 given"}
    run = parse_run_record({"runId": "r", "error": {"error": inner, "time": "x"}})
    assert run.error_code == "UserError"
    assert "hunter2" not in run.error


def test_a_step_s_component_and_a_pipeline_s_inputs_are_read_whatever_their_case() -> None:
    properties = {"azureml.ModuleName": "train", "azureml.parameters": '{"days": 30, "x": null}'}
    run = parse_run_record({"runId": "r", "properties": properties, "parameters": {"a": 1}})
    assert (run.step, run.parameters) == ("train", {"days": "30", "x": ""})
    properties["azureml.parameters"] = "{"
    run = parse_run_record({"runId": "r", "properties": properties, "parameters": {"a": 1}})
    assert run.parameters == {"a": "1"}


@given(DOCUMENT | st.fixed_dictionaries({"metrics": st.lists(DOCUMENT | JSON)}))
def test_of_any_document_only_finite_numbers_are_metrics(document: dict[str, Any]) -> None:
    assert all(math.isfinite(value) for value in parse_metrics(document).values())


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ([("auc", 0.1, 0, 5), ("auc", 0.3, 2, 1), ("auc", 0.2, 1, 9)], {"auc": 0.3}),
        ([("auc", 0.1, 0, 5), ("auc", 0.2, 0, 6)], {"auc": 0.2}),
        ([("auc", 0.1, 0, 5), ("auc", "NaN", 1, 6)], {}),
        ([("auc", "0.5", None, None)], {"auc": 0.5}),
        (
            [("auc", True, 0, 0), ("b", math.inf, 0, 0), ("c", "x", 0, 0), ("d", 1, 0, 0)],
            {"d": 1.0},
        ),
        ([("big", 10**400, 0, 0)], {}),
    ],
)
def test_the_last_value_of_a_metric_counts(metrics: Any, expected: dict[str, float]) -> None:
    named = [
        dict(zip(("key", "value", "step", "timestamp"), item, strict=True)) for item in metrics
    ]
    assert parse_metrics({"metrics": named}) == expected


def test_only_runs_that_completed_and_are_no_steps_are_found_over_all_pages() -> None:
    def run(run_id: str, status: str, parent: str = "") -> dict[str, Any]:
        tags = [{"key": "mlflow.parentRunId", "value": parent}] if parent else []
        return {"info": {"run_id": run_id, "status": status}, "data": {"tags": tags}}

    first = {"runs": [run("a", "FAILED"), run("b", "FINISHED", "a"), "odd"], "next_page_token": "2"}
    second = {"runs": [run("c", "Finished"), run("d", "FINISHED")]}
    workspaces, transport, _ = make(
        workspace(), answer({"experiment": {"experiment_id": "7"}}), answer(first), answer(second)
    )
    found = Mlflow(workspaces.aml).find_completed(WORKSPACE, "churn")
    assert found is not None
    assert list(found) == ["c", "d"]
    asked = [json.loads(request.content) for request in transport.requests[2:]]  # type: ignore[arg-type]
    assert [body.get("page_token") for body in asked] == [None, "2"]
    assert all(body["experiment_ids"] == ["7"] for body in asked)


# Jobs


@given(DOCUMENT)
def test_any_job_can_be_copied(properties: dict[str, Any]) -> None:
    copied = copy_of({"name": "old", "properties": properties}, SUBMISSION)
    assert "status" not in copied


def test_an_output_that_registers_a_model_registers_the_next_version() -> None:
    output = {"jobOutputType": "mlflow_model", "assetName": "churn", "assetVersion": "3"}
    copied = copy_of({"name": "old", "properties": {"outputs": {"model": output}}}, SUBMISSION)
    assert copied["outputs"]["model"] == {"jobOutputType": "mlflow_model", "assetName": "churn"}


def test_what_the_service_keeps_beside_a_job_s_outputs_is_not_copied() -> None:
    outputs = {"default": {"jobOutputType": "uri_folder", "uri": "azureml://x/y"}, "odd": None}
    assert copy_of({"name": "old", "properties": {"outputs": outputs}}, SUBMISSION)["outputs"] == {}


@pytest.mark.parametrize(
    "component", [{}, {"properties": {}}, {"properties": {"componentSpec": {}}}]
)
def test_inputs_are_literals_where_a_component_does_not_tell_what_it_takes(component: Any) -> None:
    assert _declared(component) is None
    given = replace(SUBMISSION, inputs={"days": 7, "on": True})
    written = _inputs(ComponentTarget(name="c"), component, given)
    assert written == {
        "days": {"jobInputType": "literal", "value": "7"},
        "on": {"jobInputType": "literal", "value": "True"},
    }


@pytest.mark.parametrize(
    ("message", "is_absent"),
    [
        ("starting job 'x': UserError: Compute with name cpu not found in workspace", True),
        ("UserError: The specified component does not exist.", True),
        ("NotFound: nothing", True),
        ("UserError: Environment version 3 could not be found", True),
        ("UserError: There is no such compute", True),
        ("UserError: The value is not valid", False),
        ("BadArgument: Required field is missing", False),
    ],
)
def test_what_names_something_that_is_not_there_is_told_apart(
    message: str, is_absent: bool
) -> None:
    assert isinstance(as_absent(WorkspaceRefused(message)), TargetAbsent) is is_absent


class _Answer:
    def __init__(self, status: int, body: str, **headers: str) -> None:
        self.status_code, self.reason, self.headers = status, "", headers
        self._body = body

    def text(self) -> str:
        return self._body


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (403, WorkspaceDenied),
        (429, WorkspaceThrottled),
        (503, WorkspaceUnreachable),
        (404, TargetAbsent),
        (400, WorkspaceRefused),
    ],
)
def test_what_the_service_said_to_the_sdk_is_told_however_deep_the_sdk_wrapped_it(
    status: int, expected: type[Exception]
) -> None:
    sdk()
    from azure.ai.ml.exceptions import AssetException, ErrorTarget

    inner = HttpResponseError(response=_Answer(status, '{"error": {"message": "because"}}'))
    try:
        try:
            raise inner
        except HttpResponseError as error:
            raise AssetException("wrapped", "x", target=ErrorTarget.ASSET, error=error) from error
    except AssetException as error:
        outer = error
    for error in (inner, outer):
        told = error_of("starting", error, SystemClock())
        assert type(told) is expected
        assert "because" in str(told)


def test_what_got_no_answer_is_unreachable_and_what_the_sdk_refuses_is_invalid() -> None:
    sdk()
    from azure.ai.ml.exceptions import ErrorTarget, MlException

    lost = error_of("starting", ServiceRequestError("no"), SystemClock())
    assert isinstance(lost, WorkspaceUnreachable)
    wrong = MlException("bad \x1b[1mname\x1b[0m", "x", target=ErrorTarget.JOB)
    refused = error_of("starting", wrong, SystemClock())
    assert isinstance(refused, JobInvalid)
    assert str(refused) == "starting: bad name"
