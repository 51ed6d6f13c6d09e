"""The contract of Workspaces, against an emulator of the service's REST API."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from sandbox.workspace.control import Control
from sandbox.workspace.identity import issue_token
from sandbox.workspace.server import WorkspaceEmulator
from shared.adapters.aml.workspaces import ArmWorkspaces
from shared.base.errors import (
    QuotaExceeded,
    WorkspaceBusy,
    WorkspaceDenied,
    WorkspaceRefused,
    WorkspaceThrottled,
    WorkspaceUnreachable,
)
from shared.events.model import Workspace
from shared.workspaces.model import (
    DeploymentSpec,
    Endpoint,
    HealthProbe,
    ModelKind,
    ModelVersion,
    Operation,
    OperationStatus,
    Serving,
    State,
)

WORKSPACE = Workspace(subscription="sub-1", resource_group="rg-1", name="ws-a")
ROWS = json.dumps({"input_data": [[1, 2], [3, 4]]}).encode()
SECONDS = timedelta(seconds=10)
IDENTITY = (
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity"
    "/userAssignedIdentities/scorer"
)


class Stage:
    """A workspace that can be brought to a state before a test acts on it."""

    def __init__(
        self, workspaces: ArmWorkspaces, control: Control, emulator: WorkspaceEmulator
    ) -> None:
        self.workspaces = workspaces
        self.control = control
        self._emulator = emulator

    def put(self, path: str, body: dict[str, Any]) -> None:
        """Write as somebody else does."""
        token = issue_token(self._emulator.url, "tenant", "somebody")
        httpx.put(
            f"{self._emulator.url}{WORKSPACE.id}{path}",
            params={"api-version": "2025-12-01"},
            json=body,
            headers={"Authorization": f"Bearer {token}"},
            verify=_trust(str(self._emulator.ca_path)),
        ).raise_for_status()

    def put_model(self, name: str = "churn", version: str = "1", **properties: Any) -> None:
        usual = {"modelType": "mlflow_model", "modelUri": "azureml://models/churn"}
        flavors = {"python_function": {"data": {}}}
        body = {"properties": usual | {"flavors": flavors} | properties}
        self.put(f"/models/{name}/versions/{version}", body)

    def model(self, name: str = "churn", version: str = "1") -> ModelVersion:
        found = self.workspaces.get_model(WORKSPACE, name, version)
        assert found is not None
        return found

    def endpoint(self, name: str = "ep-1") -> Endpoint:
        found = self.workspaces.get_endpoint(WORKSPACE, name)
        assert found is not None
        return found

    def spec(self, **changes: Any) -> DeploymentSpec:
        usual: dict[str, Any] = {
            "model_id": self.model().id,
            "instance_type": "Standard_DS3_v2",
            "instance_count": 1,
            "tags": {"by": "signalbox"},
        }
        return DeploymentSpec(**(usual | changes))

    def have_endpoint(self, *, auth_mode: str = "key") -> None:
        self.put_model()
        self.workspaces.create_endpoint(
            WORKSPACE, "ep-1", auth_mode=auth_mode, tags={"by": "signalbox"}
        )
        self.pass_time()

    def have(self, *deployments: str, auth_mode: str = "key") -> None:
        self.have_endpoint(auth_mode=auth_mode)
        for deployment in deployments:
            self.workspaces.create_deployment(WORKSPACE, "ep-1", deployment, self.spec())
            self.pass_time()

    def pass_time(self) -> None:
        """Let everything end that is under way."""
        self.control.advance(3600)


def _trust(ca_path: str) -> Any:
    import ssl

    return ssl.create_default_context(cafile=ca_path)


@pytest.fixture
def stage(workspaces: ArmWorkspaces, control: Control, emulator: WorkspaceEmulator) -> Stage:
    return Stage(workspaces, control, emulator)


# Reading


def test_what_is_not_there_is_none_or_empty(workspaces: ArmWorkspaces) -> None:
    assert workspaces.get_model(WORKSPACE, "churn", "1") is None
    assert workspaces.get_endpoint(WORKSPACE, "ep-1") is None
    assert workspaces.list_deployments(WORKSPACE, "ep-1") == ()
    assert workspaces.get_logs(WORKSPACE, "ep-1", "blue", lines=10) == ""
    assert workspaces.delete_deployment(WORKSPACE, "ep-1", "blue").url == ""


def test_a_model_is_read_with_what_deploying_it_takes(stage: Stage) -> None:
    stage.put_model(tags={"stage": "prod"}, properties={"auc": "0.9"})
    model = stage.model()
    assert model.id == f"{WORKSPACE.id}/models/churn/versions/1"
    assert (model.name, model.version) == ("churn", "1")
    assert model.kind == ModelKind.MLFLOW
    assert (model.tags, model.properties) == ({"stage": "prod"}, {"auc": "0.9"})
    assert not model.archived
    assert model.created_at is not None


def test_an_archived_model_is_told_as_such(stage: Stage) -> None:
    stage.put_model(isArchived=True)
    assert stage.model().archived


def test_the_last_lines_of_a_log_are_read(stage: Stage) -> None:
    stage.have("blue")
    log = stage.workspaces.get_logs(WORKSPACE, "ep-1", "blue", lines=2)
    assert len(log.splitlines()) == 2


# Creating


def test_an_endpoint_is_created_while_nobody_waits(stage: Stage) -> None:
    started = stage.workspaces.create_endpoint(
        WORKSPACE, "ep-1", auth_mode="aad_token", tags={"a": "b"}
    )
    assert stage.endpoint().state is State.CREATING
    running = stage.workspaces.get_operation(started)
    assert running.status is OperationStatus.RUNNING
    assert running.retry_after is not None
    assert started.retry_after is not None
    stage.pass_time()
    assert stage.workspaces.get_operation(started).status is OperationStatus.SUCCEEDED
    endpoint = stage.endpoint()
    assert endpoint.state is State.SUCCEEDED
    assert (endpoint.auth_mode, endpoint.tags) == ("AADToken", {"a": "b"})
    assert (endpoint.traffic, endpoint.mirror) == ({}, {})


def test_a_deployment_is_created_and_gets_no_traffic(stage: Stage) -> None:
    stage.have_endpoint()
    started = stage.workspaces.create_deployment(
        WORKSPACE, "ep-1", "blue", stage.spec(instance_count=2)
    )
    (deployment,) = stage.workspaces.list_deployments(WORKSPACE, "ep-1")
    assert deployment.state is State.CREATING
    stage.pass_time()
    assert stage.workspaces.get_operation(started).status is OperationStatus.SUCCEEDED
    (deployment,) = stage.workspaces.list_deployments(WORKSPACE, "ep-1")
    assert deployment.state is State.SUCCEEDED
    assert deployment.name == "blue"
    assert deployment.model.lower() == stage.model().id.lower()
    assert (deployment.instance_type, deployment.instance_count) == ("Standard_DS3_v2", 2)
    assert deployment.tags == {"by": "signalbox"}
    assert stage.endpoint().traffic.get("blue", 0) == 0


def test_creating_costs_one_request_and_one_look_at_the_workspace(stage: Stage) -> None:
    stage.have_endpoint()
    spec = stage.spec()
    stage.control.clear_requests()
    stage.workspaces.create_deployment(WORKSPACE, "ep-1", "blue", spec)
    assert [request["method"] for request in stage.control.requests()] == ["PUT"]


def test_a_failed_deployment_tells_why(stage: Stage) -> None:
    stage.control.fail_deployment(code="ImageBuildFailure", message="pip could not find numpyy")
    stage.have_endpoint()
    started = stage.workspaces.create_deployment(WORKSPACE, "ep-1", "blue", stage.spec())
    stage.pass_time()
    result = stage.workspaces.get_operation(started)
    assert result.status is OperationStatus.FAILED
    assert (result.code, result.message) == ("ImageBuildFailure", "pip could not find numpyy")
    (deployment,) = stage.workspaces.list_deployments(WORKSPACE, "ep-1")
    assert deployment.state is State.FAILED


def test_a_deployment_beyond_the_quota_is_told_as_that(stage: Stage) -> None:
    stage.have_endpoint()
    stage.control.quota(4)
    with pytest.raises(QuotaExceeded, match="Not enough quota"):
        stage.workspaces.create_deployment(WORKSPACE, "ep-1", "blue", stage.spec(instance_count=10))


def test_a_deployment_that_the_service_does_not_take_is_refused_in_its_words(
    stage: Stage,
) -> None:
    stage.have_endpoint()
    with pytest.raises(WorkspaceRefused, match="instance type Standard_Nope is not supported"):
        stage.workspaces.create_deployment(
            WORKSPACE, "ep-1", "blue", stage.spec(instance_type="Standard_Nope")
        )


def test_a_resource_under_change_is_busy(stage: Stage) -> None:
    stage.have("blue")
    stage.workspaces.create_deployment(WORKSPACE, "ep-1", "green", stage.spec())
    with pytest.raises(WorkspaceBusy):
        stage.workspaces.create_deployment(WORKSPACE, "ep-1", "green", stage.spec())
    with pytest.raises(WorkspaceBusy):
        stage.workspaces.set_traffic(WORKSPACE, stage.endpoint(), {"blue": 100}, {})


def test_a_deployment_in_an_endpoint_that_is_not_up_yet_is_busy(stage: Stage) -> None:
    stage.put_model()
    stage.workspaces.create_endpoint(WORKSPACE, "ep-1", auth_mode="key", tags={})
    with pytest.raises(WorkspaceBusy):
        stage.workspaces.create_deployment(WORKSPACE, "ep-1", "blue", stage.spec())


# Traffic


def test_traffic_is_set_whole_and_tags_are_merged(stage: Stage) -> None:
    stage.have("blue", "green")
    stage.workspaces.set_traffic(WORKSPACE, stage.endpoint(), {"blue": 100}, {"step": "0"})
    stage.pass_time()
    started = stage.workspaces.set_traffic(
        WORKSPACE, stage.endpoint(), {"blue": 90, "green": 10}, {"step": "1"}
    )
    assert stage.endpoint().state is State.UPDATING
    stage.pass_time()
    assert stage.workspaces.get_operation(started).status is OperationStatus.SUCCEEDED
    endpoint = stage.endpoint()
    assert endpoint.traffic == {"blue": 90, "green": 10}
    assert endpoint.tags == {"by": "signalbox", "step": "1"}
    stage.workspaces.set_traffic(WORKSPACE, endpoint, {"green": 100}, {})
    stage.pass_time()
    assert {name: share for name, share in stage.endpoint().traffic.items() if share} == {
        "green": 100
    }


def test_setting_traffic_keeps_what_others_set(stage: Stage) -> None:
    stage.put_model()
    stage.put(
        "/onlineEndpoints/ep-1",
        {
            "location": "westeurope",
            "tags": {"team": "growth"},
            "identity": {
                "type": "UserAssigned",
                "userAssignedIdentities": {IDENTITY: {}},
            },
            "properties": {
                "authMode": "AADToken",
                "description": "who leaves",
                "publicNetworkAccess": "Disabled",
                "properties": {"owner": "me"},
            },
        },
    )
    stage.pass_time()
    stage.workspaces.create_deployment(WORKSPACE, "ep-1", "Blue", stage.spec())
    stage.pass_time()
    before = stage.endpoint()
    stage.workspaces.set_traffic(WORKSPACE, before, {"Blue": 100}, {"step": "1"})
    stage.pass_time()
    after = stage.endpoint()
    assert after.traffic == {"Blue": 100}
    assert after.tags == {"team": "growth", "step": "1"}
    kept = ("authMode", "description", "publicNetworkAccess", "mirrorTraffic")
    old, new = before.document["properties"], after.document["properties"]
    assert [new[name] for name in kept] == [old[name] for name in kept]
    assert new["properties"]["owner"] == "me"
    identity = after.document["identity"]
    assert identity["type"] == "UserAssigned"
    assert identity == before.document["identity"]
    assert set(identity["userAssignedIdentities"][IDENTITY]) == {"clientId", "principalId"}


def test_setting_traffic_is_one_request(stage: Stage) -> None:
    stage.have("blue")
    endpoint = stage.endpoint()
    stage.control.clear_requests()
    stage.workspaces.set_traffic(WORKSPACE, endpoint, {"blue": 100}, {})
    assert [request["method"] for request in stage.control.requests()] == ["PUT"]


# Deleting


def test_a_deployment_is_deleted_while_nobody_waits(stage: Stage) -> None:
    stage.have("blue")
    started = stage.workspaces.delete_deployment(WORKSPACE, "ep-1", "blue")
    (deployment,) = stage.workspaces.list_deployments(WORKSPACE, "ep-1")
    assert deployment.state is State.DELETING
    stage.pass_time()
    assert stage.workspaces.get_operation(started).status is OperationStatus.SUCCEEDED
    assert stage.workspaces.list_deployments(WORKSPACE, "ep-1") == ()
    stage.workspaces.delete_deployment(WORKSPACE, "ep-1", "blue")


def test_a_deployment_with_traffic_is_not_deleted(stage: Stage) -> None:
    stage.have("blue")
    stage.workspaces.set_traffic(WORKSPACE, stage.endpoint(), {"blue": 100}, {})
    stage.pass_time()
    with pytest.raises(WorkspaceRefused, match="gets traffic"):
        stage.workspaces.delete_deployment(WORKSPACE, "ep-1", "blue")


# Trouble


def test_an_operation_that_the_service_forgot_is_unknown(stage: Stage) -> None:
    stage.have_endpoint()
    started = stage.workspaces.create_deployment(WORKSPACE, "ep-1", "blue", stage.spec())
    forgotten = Operation(url=started.url.replace("odidp:", "odidp:0"))
    assert stage.workspaces.get_operation(forgotten).status is OperationStatus.UNKNOWN


@pytest.mark.parametrize(
    ("trouble", "expected", "wait"),
    [
        (lambda control: control.throttle(retry_after=30), WorkspaceThrottled, 30),
        (lambda control: control.outage(), WorkspaceUnreachable, None),
        (lambda control: control.outage(drop=True), WorkspaceUnreachable, None),
        (lambda control: control.outage(status=403), WorkspaceDenied, None),
    ],
)
def test_trouble_at_the_service_is_told_at_once(
    stage: Stage, trouble: Callable[[Control], str], expected: type[Exception], wait: int | None
) -> None:
    trouble(stage.control)
    with pytest.raises(expected) as caught:
        stage.workspaces.get_endpoint(WORKSPACE, "ep-1")
    found = getattr(caught.value, "retry_after", None)
    assert found == (None if wait is None else timedelta(seconds=wait))
    assert len(stage.control.requests()) == 1


def test_an_absent_workspace_is_none_to_readers_and_refused_to_writers(
    workspaces: ArmWorkspaces,
) -> None:
    nowhere = Workspace(subscription="sub-1", resource_group="rg-1", name="gone")
    assert workspaces.get_endpoint(nowhere, "ep-1") is None
    with pytest.raises(WorkspaceRefused, match="not found"):
        workspaces.create_endpoint(nowhere, "ep-1", auth_mode="key", tags={})


# Scoring


@pytest.mark.parametrize("auth_mode", ["key", "aad_token"])
def test_a_named_deployment_answers_though_it_has_no_traffic(stage: Stage, auth_mode: str) -> None:
    stage.have("blue", auth_mode=auth_mode)
    score = stage.workspaces.score(WORKSPACE, stage.endpoint(), "blue", ROWS, timeout=SECONDS)
    assert (score.status, score.model_status) == (200, 0)
    assert len(json.loads(score.body)) == 2
    assert 0 < score.seconds < 10


def test_an_endpoint_with_its_own_tokens_answers(stage: Stage) -> None:
    stage.have_endpoint()
    properties = {"authMode": "AMLToken"}
    stage.put("/onlineEndpoints/ep-1", {"location": "westeurope", "properties": properties})
    stage.pass_time()
    stage.workspaces.create_deployment(WORKSPACE, "ep-1", "blue", stage.spec())
    stage.pass_time()
    score = stage.workspaces.score(WORKSPACE, stage.endpoint(), "blue", ROWS, timeout=SECONDS)
    assert score.status == 200


def test_the_models_own_failure_is_told_apart_from_the_platforms(stage: Stage) -> None:
    stage.have("blue")
    endpoint = stage.endpoint()
    stage.control.scoring(error_rate=1, model_status=503)
    score = stage.workspaces.score(WORKSPACE, endpoint, "blue", ROWS, timeout=SECONDS)
    assert (score.status, score.model_status) == (424, 503)
    stage.control.scoring(error_rate=1, status=429)
    score = stage.workspaces.score(WORKSPACE, endpoint, "blue", ROWS, timeout=SECONDS)
    assert (score.status, score.model_status) == (429, 0)


def test_an_endpoints_key_is_read_once(stage: Stage) -> None:
    stage.have("blue")
    endpoint = stage.endpoint()
    stage.control.clear_requests()
    for _ in range(3):
        stage.workspaces.score(WORKSPACE, endpoint, "blue", ROWS, timeout=SECONDS)
    assert len(stage.control.requests()) == 1


def test_a_key_that_was_renewed_is_read_again(stage: Stage) -> None:
    stage.have("blue")
    endpoint = stage.endpoint()
    stage.workspaces.score(WORKSPACE, endpoint, "blue", ROWS, timeout=SECONDS)
    stage.control.reset()
    stage.have("blue")
    score = stage.workspaces.score(WORKSPACE, endpoint, "blue", ROWS, timeout=SECONDS)
    assert score.status == 200


def test_a_key_is_not_kept_for_long(stage: Stage, clock: Any) -> None:
    stage.have("blue")
    endpoint = stage.endpoint()
    stage.workspaces.score(WORKSPACE, endpoint, "blue", ROWS, timeout=SECONDS)
    stage.control.clear_requests()
    clock.pass_time(timedelta(minutes=5))
    stage.workspaces.score(WORKSPACE, endpoint, "blue", ROWS, timeout=SECONDS)
    assert len(stage.control.requests()) == 1


def test_a_deployment_that_takes_too_long_is_unreachable(stage: Stage) -> None:
    stage.have("blue")
    endpoint = stage.endpoint()
    stage.control.scoring(latency=1)
    with pytest.raises(WorkspaceUnreachable, match=r"scoring with deployment 'blue': no answer"):
        stage.workspaces.score(
            WORKSPACE, endpoint, "blue", ROWS, timeout=timedelta(milliseconds=100)
        )


def test_a_slow_answer_is_cut_off_unless_the_deployment_waits_for_it(stage: Stage) -> None:
    stage.have_endpoint()
    hasty, patient = (Serving(request_timeout=timedelta(seconds=each)) for each in (1, 30))
    health = HealthProbe(initial_delay=timedelta(minutes=1), failure_threshold=5)
    for name, serving in (("hasty", hasty), ("patient", replace(patient, liveness=health))):
        spec = stage.spec(serving=serving)
        stage.workspaces.create_deployment(WORKSPACE, "ep-1", name, spec)
        stage.pass_time()
    stage.control.scoring(latency=1.2)
    scores = {
        name: stage.workspaces.score(WORKSPACE, stage.endpoint(), name, ROWS, timeout=SECONDS)
        for name in ("hasty", "patient")
    }
    assert {name: score.status for name, score in scores.items()} == {"hasty": 408, "patient": 200}


# The files of a model


class Files(Stage):
    """A workspace whose runs leave files behind."""

    def put_file(self, path: str, content: bytes, run: str = "run-1") -> None:
        token = issue_token("https://ml.azure.com", "tenant", "somebody")
        httpx.post(
            f"{self._emulator.url}/artifact/v2.0{WORKSPACE.id}"
            f"/artifacts/ExperimentRun/dcid.{run}/content",
            params={"path": path},
            content=content,
            headers={"Authorization": f"Bearer {token}"},
            verify=_trust(str(self._emulator.ca_path)),
        ).raise_for_status()


@pytest.fixture
def files(workspaces: ArmWorkspaces, control: Control, emulator: WorkspaceEmulator) -> Files:
    return Files(workspaces, control, emulator)


LONG_ADDRESS = (
    "azureml://subscriptions/sub-1/resourceGroups/rg-1/workspaces/ws-a"
    "/datastores/workspaceartifactstore/paths/ExperimentRun/dcid.run-1/model"
)


@pytest.mark.parametrize(
    "uri",
    [
        "azureml://jobs/run-1/outputs/artifacts/paths/model/",
        "azureml://jobs/run-1/outputs/artifacts/paths/model",
        "azureml://datastores/workspaceartifactstore/paths/ExperimentRun/dcid.run-1/model/",
        LONG_ADDRESS,
    ],
)
def test_a_file_of_a_model_is_read_from_the_artifacts_of_its_run(files: Files, uri: str) -> None:
    files.put_model(modelUri=uri)
    files.put_file("model/MLmodel", b"flavors: {}")
    files.put_file("model/a folder/x&y=1.json", b"{}")

    def read(path: str, most: int = 100) -> bytes | None:
        return files.workspaces.read_model_file(WORKSPACE, files.model(), path, most=most)

    assert read("MLmodel") == b"flavors: {}"
    assert read("a folder/x&y=1.json") == b"{}"
    assert read("gone.json") is None
    assert read("MLmodel", most=11) == b"flavors: {}"
    with pytest.raises(WorkspaceRefused, match="more than 10 bytes"):
        read("MLmodel", most=10)


@pytest.mark.parametrize(
    "uri",
    [
        "azureml://datastores/workspaceblobstore/paths/LocalUpload/../../other/model",
        "azureml://jobs/../outputs/artifacts/paths/model",
        "azureml://jobs/run-1/outputs/other/paths/model",
        "azureml://registries/azureml/models/m/versions/1",
        "https://evil.example/azureml://jobs/run-1/outputs/artifacts/paths/model",
        "azureml://jobs/run-1/outputs/artifacts/paths/model\nx",
    ],
)
def test_a_model_whose_files_are_elsewhere_is_not_read(files: Files, uri: str) -> None:
    files.put_model(modelUri=uri)
    with pytest.raises(WorkspaceRefused, match="are not read"):
        files.workspaces.read_model_file(WORKSPACE, files.model(), "MLmodel", most=100)
