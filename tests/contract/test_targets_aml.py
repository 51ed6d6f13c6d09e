"""Targets that start AML jobs: each against the emulator, signing in as the app does.

In a module of its own, because importing azure-ai-ml takes two seconds.
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from shared.adapters.aml.connection import Aml
from shared.adapters.aml.jobs import Jobs
from shared.adapters.http import Http
from shared.adapters.targets.batch_endpoint import BatchEndpoint
from shared.adapters.targets.component import Component
from shared.adapters.targets.copy_of import CopyOf
from shared.adapters.targets.job import Job
from shared.base.errors import (
    JobInvalid,
    QuotaExceeded,
    TargetAbsent,
    WorkspaceDenied,
    WorkspaceRefused,
    WorkspaceThrottled,
    WorkspaceUnreachable,
)
from shared.events.model import Workspace
from shared.retraining.targets import (
    BatchEndpointTarget,
    ComponentTarget,
    CopyTarget,
    JobTarget,
    Submission,
    TargetStatus,
)
from shared.schema.values import Values

pytestmark = [
    pytest.mark.filterwarnings("ignore::marshmallow.warnings.Marshmallow4Warning"),
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),
]

WORKSPACE = Workspace(subscription="sub-1", resource_group="rg-1", name="ws-a")
ID = "0123456789abcdef0123456789abcdef"
REFERENCE = f"{'a' * 32}-{ID}"
NAME = f"signalbox-{ID}"
SUBMISSION = Submission(
    id=ID,
    reference=REFERENCE,
    workspace=WORKSPACE,
    since=datetime(2026, 3, 1, tzinfo=UTC),
    is_first=True,
    inputs={"days": 14},
    tags={"reaction": "retrain-churn"},
)
AGAIN = replace(SUBMISSION, is_first=False)

PIPELINE = """\
    type: pipeline
    experiment_name: churn
    settings:
      default_compute: azureml:cpu-cluster
    tags: {team: growth}
    inputs:
      days: 30
      data: {type: uri_folder, path: azureml:churn-data:1}
    jobs:
      train:
        type: command
        component: azureml:churn_train@latest
        inputs:
          days: ${{parent.inputs.days}}
          data: ${{parent.inputs.data}}
    """
COMMAND = """\
    type: command
    command: python train.py --days ${{inputs.days}}
    environment: azureml:churn-env:1
    compute: azureml:cpu-cluster
    inputs:
      days: 30
    """


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of an app with two jobs."""
    (tmp_path / "jobs").mkdir()
    for name, text in (("pipeline", PIPELINE), ("command", COMMAND)):
        (tmp_path / f"jobs/{name}.yaml").write_text(dedent(text), encoding="utf-8")
    return tmp_path


@pytest.fixture
def jobs(emulator: Any, control: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    """Jobs in the emulator, signed in for with its managed identity."""
    from azure.identity import ManagedIdentityCredential

    monkeypatch.setenv("IDENTITY_ENDPOINT", emulator.identity_url)
    monkeypatch.setenv("IDENTITY_HEADER", emulator.settings.identity_header)
    monkeypatch.setenv("AZUREML_CURRENT_CLOUD", "")  # so that what the SDK writes there is undone
    monkeypatch.delenv("AZUREML_CURRENT_CLOUD")
    http = Http(ca_path=str(emulator.ca_path))
    aml = Aml(ManagedIdentityCredential, arm_endpoint=emulator.url, http=http)
    with closing(aml):
        yield Jobs(aml)


@dataclass(frozen=True)
class Case:
    """A target with what it is told, in a workspace that has what it needs."""

    target: Any
    params: Values
    control: Any
    somebody: Any
    others: frozenset[str]

    @property
    def names_itself(self) -> bool:
        """Whether the service gives the job a name of its own."""
        return isinstance(self.params, BatchEndpointTarget)

    def submit(self, submission: Submission = SUBMISSION) -> Any:
        return self.target.submit(self.params, submission)

    def job(self, name: str = NAME) -> dict[str, Any]:
        properties: dict[str, Any] = self.somebody.get(f"/jobs/{name}")["properties"]
        return properties

    def started(self) -> list[str]:
        """Return the names of the jobs that were started here."""
        return sorted(names_in(self.somebody) - self.others)


def names_in(somebody: Any) -> frozenset[str]:
    return frozenset(item["name"] for item in somebody.get("/jobs")["value"])


def have_components(somebody: Any) -> None:
    somebody.put("/environments/churn-env/versions/1", {"image": "mcr.microsoft.com/x:1"})
    inputs = {"days": {"type": "integer"}, "data": {"type": "uri_folder", "optional": True}}
    spec = {"name": "churn_train", "version": "1", "type": "command", "command": "python train.py"}
    spec |= {"environment": "azureml:churn-env:1", "inputs": inputs}
    somebody.put("/components/churn_train/versions/1", {"componentSpec": spec})
    step = {
        "type": "command",
        "componentId": f"{WORKSPACE.id}/components/churn_train/versions/1",
        "inputs": {"days": {"job_input_type": "literal", "value": "${{parent.inputs.days}}"}},
    }
    whole = {"name": "churn", "type": "pipeline", "inputs": inputs, "jobs": {"train": step}}
    for version in ("1", "2"):
        properties = {"componentSpec": whole | {"version": version}}
        somebody.put(f"/components/churn/versions/{version}", properties)


def have_completed(somebody: Any, control: Any, name: str = "weekly-1") -> None:
    """Let somebody's job run to its end in experiment `churn`."""
    somebody.put(
        f"/jobs/{name}",
        {
            "jobType": "Command",
            "command": "python train.py --days ${{inputs.days}}",
            "environmentId": f"{WORKSPACE.id}/environments/churn-env/versions/1",
            "computeId": f"{WORKSPACE.id}/computes/cpu-cluster",
            "experimentName": "churn",
            "displayName": "weekly",
            "tags": {"team": "growth"},
            "properties": {"owner": "me", "azureml.git": "x"},
            "inputs": {
                "days": {"jobInputType": "literal", "value": "30"},
                "data": {"jobInputType": "uri_folder", "uri": "azureml:churn-data:1"},
            },
            "outputs": {
                "default": {"jobOutputType": "uri_folder", "uri": f"azureml://x/dcid.{name}"},
                "model": {"jobOutputType": "mlflow_model", "assetName": "churn"},
            },
        },
    )
    control.advance(3600)


def have_batch_endpoint(somebody: Any) -> None:
    somebody.put("/batchEndpoints/retrain", {"authMode": "AADToken"}, location="westeurope")
    somebody.control.advance(3600)
    deployment = {
        "deploymentConfiguration": {
            "deploymentConfigurationType": "PipelineComponent",
            "componentId": {
                "referenceType": "Id",
                "assetId": f"{WORKSPACE.id}/components/churn/versions/2",
            },
            "settings": {"default_compute": "cpu-cluster"},
        },
    }
    path = "/batchEndpoints/retrain/deployments/blue"
    somebody.put(path, deployment, location="westeurope")
    somebody.control.advance(3600)
    properties = {"authMode": "AADToken", "defaults": {"deploymentName": "blue"}}
    somebody.put("/batchEndpoints/retrain", properties, location="westeurope")
    somebody.control.advance(3600)


KINDS = ("pipeline", "command", "component", "batch_endpoint", "copy_of")


@pytest.fixture
def make(
    request: pytest.FixtureRequest, jobs: Jobs, root: Path, control: Any, somebody: Any
) -> Callable[[str], Case]:
    somebody.control = control

    def build(kind: str) -> Case:
        have_components(somebody)
        if kind == "copy_of":
            have_completed(somebody, control)
        if kind == "batch_endpoint":
            have_batch_endpoint(somebody)
        pairs: dict[str, tuple[Any, Values]] = {
            "pipeline": (Job(jobs, root=root), JobTarget(file="jobs/pipeline.yaml")),
            "command": (Job(jobs, root=root), JobTarget(file="jobs/command.yaml")),
            "component": (Component(jobs), ComponentTarget(name="churn", compute="cpu-cluster")),
            "batch_endpoint": (BatchEndpoint(jobs), BatchEndpointTarget(endpoint="retrain")),
            "copy_of": (CopyOf(jobs), CopyTarget(experiment="churn")),
        }
        target, params = pairs[kind]
        others = names_in(somebody)
        control.clear_requests()
        return Case(target, params, control, somebody, others)

    return build


@pytest.fixture(params=KINDS)
def case(request: pytest.FixtureRequest, make: Callable[[str], Case]) -> Case:
    return make(request.param)


# All targets


def test_a_job_is_started_under_the_name_and_with_the_tags_that_tie_it_to_its_loop(
    case: Case,
) -> None:
    submitted = case.submit()
    assert not submitted.found
    assert (submitted.run_id == NAME) != case.names_itself
    assert submitted.link == (
        f"https://ml.azure.com/runs/{submitted.run_id}"
        "?wsid=/subscriptions/sub-1/resourcegroups/rg-1/workspaces/ws-a"
    )
    job = case.job(submitted.run_id)
    assert (
        job["tags"].items()
        >= {
            "reaction": "retrain-churn",
            "signalbox_retraining": REFERENCE,
        }.items()
    )
    assert job["inputs"]["days"]["value"] in (14, "14")
    assert "mlflow.source.git.commit" not in job["properties"]
    assert case.started() == [submitted.run_id]


def test_what_was_started_is_found_and_not_started_twice(case: Case) -> None:
    first = case.submit()
    before = case.job(first.run_id)
    case.control.clear_requests()
    submitted = case.submit(AGAIN)
    assert submitted == replace(first, found=True)
    asked = [request["method"] for request in case.control.requests()]
    assert asked == ["GET"] * (2 if case.names_itself else 1)
    assert case.job(first.run_id)["tags"] == before["tags"]
    assert case.started() == [first.run_id]


def test_a_first_try_does_not_look_for_what_can_not_be_there(case: Case) -> None:
    case.submit()
    asked = [(request["method"], request["path"]) for request in case.control.requests()]
    assert ("GET", f"{WORKSPACE.id}/jobs/{NAME}") not in asked
    assert ("GET", f"{WORKSPACE.id}/jobs") not in asked


def test_what_was_not_started_before_is_started_at_a_later_try(case: Case) -> None:
    submitted = case.submit(AGAIN)
    assert not submitted.found
    assert case.started() == [submitted.run_id]


def test_an_answer_that_is_lost_costs_no_second_job(case: Case) -> None:
    method = "POST" if case.names_itself else "PUT"
    case.control.outage(lose_answer=True, method=method, times=1, path="*jobs*")
    with pytest.raises(WorkspaceUnreachable):
        case.submit()
    submitted = case.submit(AGAIN)
    assert submitted.found
    assert case.started() == [submitted.run_id]


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (lambda control: control.throttle(retry_after=30), WorkspaceThrottled),
        (lambda control: control.outage(), WorkspaceUnreachable),
        (lambda control: control.outage(drop=True), WorkspaceUnreachable),
        (lambda control: control.outage(status=403), WorkspaceDenied),
    ],
    ids=["throttled", "down", "dropped", "denied"],
)
def test_trouble_at_the_service_is_told_at_once(
    case: Case, trouble: Callable[[Any], str], expected: type[Exception]
) -> None:
    trouble(case.control)
    with pytest.raises(expected) as caught:
        case.submit()
    wait = getattr(caught.value, "retry_after", None)
    assert wait == (timedelta(seconds=30) if expected is WorkspaceThrottled else None)
    # Nothing is asked for twice; the SDK looks whether a pipeline's parts are there on its own.
    paths = [request["path"] for request in case.control.requests()]
    assert len(paths) == len(set(paths)) <= (2 if "pipeline" in str(case.params) else 1)


@pytest.mark.parametrize("kind", ["pipeline", "command", "component", "copy_of"])
@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        ({"message": "The cluster is in trouble."}, WorkspaceRefused),
        ({"message": "Compute with name cpu-cluster not found in workspace."}, TargetAbsent),
        ({"message": "Not enough quota available for Standard_DS3_v2."}, QuotaExceeded),
    ],
    ids=["refused", "absent", "quota"],
)
def test_a_job_that_is_refused_is_told_in_the_service_s_words(
    make: Callable[[str], Case], kind: str, refusal: dict[str, str], expected: type[Exception]
) -> None:
    case = make(kind)
    case.control.refuse_jobs(**refusal)
    with pytest.raises(expected, match=refusal["message"].rstrip(".")):
        case.submit()
    assert case.started() == []


def test_an_input_that_the_job_does_not_have_is_no_input(
    make: Callable[[str], Case],
) -> None:
    wrong = replace(SUBMISSION, inputs={"dayz": 14})
    for kind in ("pipeline", "command", "component", "copy_of"):
        case = make(kind)
        with pytest.raises(JobInvalid, match="dayz"):
            case.submit(wrong)
        assert case.started() == []


def test_where_it_stands_is_told_with_why_it_failed(case: Case) -> None:
    assert case.target.look(case.params, SUBMISSION, NAME).status is TargetStatus.UNKNOWN
    error = {"code": "UserError", "message": "the disk is full"}
    case.control.training(outcome="Failed", error=error)
    name = case.submit().run_id
    assert case.target.look(case.params, SUBMISSION, name).status is TargetStatus.RUNNING
    case.control.advance(3600)
    run = case.target.look(case.params, SUBMISSION, name)
    assert run.status is TargetStatus.FAILED
    assert "disk is full" in run.reason or "some failed steps" in run.reason


def test_a_job_that_completed_has_succeeded(case: Case) -> None:
    name = case.submit().run_id
    case.control.advance(3600)
    run = case.target.look(case.params, SUBMISSION, name)
    assert (run.status, run.reason) == (TargetStatus.SUCCEEDED, "")


# job


def test_a_pipeline_keeps_what_its_file_says_beside_what_it_is_given(
    make: Callable[[str], Case],
) -> None:
    case = make("pipeline")
    case.submit(replace(SUBMISSION, inputs={"days": 14, "data": "azureml:churn-data:9"}))
    job = case.job()
    assert job["experimentName"] == "churn"
    assert job["tags"]["team"] == "growth"
    assert job["inputs"]["data"]["uri"].endswith("/data/churn-data/versions/9")
    assert job["settings"]["default_compute"] == f"{WORKSPACE.id}/computes/cpu-cluster"


def test_a_job_without_an_experiment_is_put_into_one_of_its_file_s_name(
    make: Callable[[str], Case],
) -> None:
    case = make("command")
    case.submit()
    assert case.job()["experimentName"] == "command"


def test_nothing_is_written_to_the_terminal(
    make: Callable[[str], Case], capfd: pytest.CaptureFixture[str]
) -> None:
    make("pipeline").submit()
    logging.getLogger("azure.ai.ml.operations").error("what it says goes where our own log goes")
    assert capfd.readouterr() == ("", "")


def test_what_a_file_names_must_be_there(make: Callable[[str], Case], root: Path) -> None:
    case = make("pipeline")
    file = root / "jobs/pipeline.yaml"
    text = file.read_text(encoding="utf-8")
    for before, after in (
        ("churn_train@latest", "gone@latest"),
        ("churn_train@latest", "gone:1"),
        ("azureml:cpu-cluster", "azureml:gone"),
    ):
        file.write_text(text.replace(before, after), encoding="utf-8")
        with pytest.raises(TargetAbsent, match="gone"):
            case.submit()
    file.unlink()
    with pytest.raises(JobInvalid, match=r"pipeline\.yaml can't be read"):
        case.submit()
    assert case.started() == []


def test_the_submissions_of_one_file_share_nothing(make: Callable[[str], Case]) -> None:
    case = make("pipeline")
    other = replace(SUBMISSION, id="f" * 32, inputs={"days": 7}, tags={})
    case.submit()
    case.submit(other)
    assert case.job()["inputs"]["days"]["value"] == "14"
    assert case.job(other.name)["inputs"]["days"]["value"] == "7"
    assert "reaction" not in case.job(other.name)["tags"]


def test_an_sdk_that_was_used_leaves_no_trace_in_other_clouds(jobs: Jobs) -> None:
    assert "AZUREML_CURRENT_CLOUD" not in os.environ


# component


def test_the_latest_version_of_a_component_is_run_unless_another_is_named(
    make: Callable[[str], Case],
) -> None:
    case = make("component")
    case.submit()
    assert case.job()["componentId"].endswith("/components/churn/versions/2")
    assert case.job()["experimentName"] == "churn"
    first = ComponentTarget(name="churn", version="1", experiment="nightly")
    other = replace(SUBMISSION, id="f" * 32)
    case.target.submit(first, other)
    job = case.job(other.name)
    assert job["componentId"].endswith("/components/churn/versions/1")
    assert job["experimentName"] == "nightly"
    assert job["settings"]["default_compute"] == "serverless"


def test_the_inputs_of_a_component_are_of_the_types_that_it_declares(
    make: Callable[[str], Case],
) -> None:
    case = make("component")
    case.submit(replace(SUBMISSION, inputs={"days": 14, "data": "azureml:churn-data:9"}))
    inputs = case.job()["inputs"]
    assert inputs["days"] == {"jobInputType": "literal", "value": "14"}
    assert inputs["data"]["jobInputType"] == "uri_folder"
    assert inputs["data"]["uri"] == "azureml:churn-data:9"


@pytest.mark.parametrize(
    "params",
    [
        ComponentTarget(name="gone"),
        ComponentTarget(name="gone", version="1"),
        ComponentTarget(name="churn", version="9"),
        ComponentTarget(name="churn", compute="gone"),
    ],
    ids=["name", "name and version", "version", "compute"],
)
def test_a_component_that_is_not_there_is_absent(
    make: Callable[[str], Case], params: ComponentTarget
) -> None:
    case = make("component")
    with pytest.raises(TargetAbsent):
        case.target.submit(params, SUBMISSION)
    assert case.started() == []


# batch_endpoint


def test_a_batch_endpoint_that_is_not_there_is_absent(make: Callable[[str], Case]) -> None:
    case = make("batch_endpoint")
    with pytest.raises(TargetAbsent, match="no batch endpoint 'gone'"):
        case.target.submit(BatchEndpointTarget(endpoint="gone"), SUBMISSION)


def test_a_batch_endpoint_runs_the_deployment_and_experiment_that_are_named(
    make: Callable[[str], Case],
) -> None:
    case = make("batch_endpoint")
    params = BatchEndpointTarget(endpoint="retrain", deployment="blue", experiment="nightly")
    name = case.target.submit(params, SUBMISSION).run_id
    assert case.job(name)["experimentName"] == "nightly"
    missing = BatchEndpointTarget(endpoint="retrain", deployment="gone")
    with pytest.raises(TargetAbsent, match="gone"):
        case.target.submit(missing, replace(SUBMISSION, id="f" * 32))


def test_a_batch_job_gets_its_tags_afterwards_where_the_service_did_not_keep_them(
    make: Callable[[str], Case],
) -> None:
    case = make("batch_endpoint")
    case.control.rule("batch_invocation", {}, times=None, keeps_tags=False)
    case.control.outage(path="*/history/*", method="PATCH", times=1)
    name = case.submit().run_id
    assert "signalbox_retraining" not in case.job(name)["tags"]
    assert case.target.look(case.params, SUBMISSION, name).status is TargetStatus.RUNNING
    assert case.job(name)["tags"]["signalbox_retraining"] == REFERENCE
    other = replace(SUBMISSION, id="f" * 32, reference=f"{'a' * 32}-{'f' * 32}")
    second = case.submit(other).run_id
    assert case.job(second)["tags"]["signalbox_retraining"] == other.reference
    assert case.submit(replace(other, is_first=False)).run_id == second


def test_a_batch_job_whose_answer_was_lost_before_it_had_a_tag_is_asked_for_as_the_same_request(
    make: Callable[[str], Case],
) -> None:
    case = make("batch_endpoint")
    case.control.rule("batch_invocation", {}, times=None, keeps_tags=False)
    case.control.outage(lose_answer=True, method="POST", times=1, path="*jobs*")
    with pytest.raises(WorkspaceUnreachable):
        case.submit()
    submitted = case.submit(AGAIN)
    assert submitted.found
    assert case.started() == [submitted.run_id]
    assert case.job(submitted.run_id)["tags"]["signalbox_retraining"] == REFERENCE


# copy_of


def test_a_copy_is_the_last_job_that_completed_without_what_was_its_own(
    make: Callable[[str], Case],
) -> None:
    case = make("copy_of")
    case.submit()
    job = case.job()
    assert job["command"] == "python train.py --days ${{inputs.days}}"
    assert job["experimentName"] == "churn"
    assert job["tags"]["team"] == "growth"
    assert job["properties"]["owner"] == "me"
    assert "azureml.git" not in job["properties"]
    assert "dcid.weekly-1" not in str(job["outputs"])
    assert job["outputs"]["model"]["assetName"] == "churn"
    assert job["inputs"]["data"]["uri"] == "azureml:churn-data:1"
    case.control.advance(3600)
    versions = case.somebody.get("/models/churn/versions")["value"]
    assert {item["properties"]["jobName"] for item in versions} == {"weekly-1", NAME}


def test_a_job_that_failed_is_not_copied(make: Callable[[str], Case]) -> None:
    case = make("copy_of")
    case.control.training(outcome="Failed")
    have_completed(case.somebody, case.control, "weekly-2")
    case.submit(replace(SUBMISSION, inputs={}))
    assert case.job()["inputs"]["days"]["value"] == "30"
    assert NAME in case.started()


def test_steps_are_not_copied(make: Callable[[str], Case]) -> None:
    make("component").submit(replace(SUBMISSION, id="e" * 32))
    case = make("copy_of")
    case.control.advance(3600)
    case.submit()
    assert case.job()["jobType"] in ("Pipeline", "Command")
    assert case.job().get("componentId") or case.job().get("command")


def test_an_experiment_without_a_job_that_completed_has_nothing_to_copy(
    make: Callable[[str], Case],
) -> None:
    case = make("component")
    target = CopyOf(case.target._jobs)
    with pytest.raises(TargetAbsent, match="no experiment 'churn'"):
        target.submit(CopyTarget(experiment="churn"), SUBMISSION)
    case.submit()
    with pytest.raises(TargetAbsent, match="no job of experiment 'churn' has completed"):
        target.submit(CopyTarget(experiment="churn"), replace(SUBMISSION, id="f" * 32))
