"""Jobs of batch endpoints: how they are invoked, and that they are jobs like others."""

import warnings

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from marshmallow.warnings import Marshmallow4Warning

with warnings.catch_warnings():
    # The client builds its schemas, in a way that its marshmallow deprecates, when imported.
    warnings.simplefilter("ignore", Marshmallow4Warning)
    from azure.ai.ml import Input
    from azure.ai.ml.entities import BatchEndpoint, PipelineComponentBatchDeployment

from sandbox.workspace.identity import issue_token

pytestmark = pytest.mark.filterwarnings(
    "ignore::marshmallow.warnings.Marshmallow4Warning",
    r"ignore:datetime\.datetime\.utcnow:DeprecationWarning:azure\.ai\.ml.*",
)

BEP = "/batchEndpoints/bep-1"
TRAIN = {
    "type": "command",
    "name": "train",
    "version": "1",
    "command": "python train.py",
    "environment": "azureml://registries/azureml/environments/sklearn/versions/1",
    "inputs": {"since": {"type": "string"}},
}
RETRAINING = {
    "type": "pipeline",
    "name": "retraining",
    "version": "1",
    "inputs": {"since": {"type": "string", "default": "2020-01-01"}},
    "jobs": {
        "train": {
            "type": "command",
            "componentId": "azureml:train:1",
            "inputs": {"since": {"job_input_type": "literal", "value": "${{parent.inputs.since}}"}},
        }
    },
}


def put_component(arm, spec):
    path = f"/components/{spec['name']}/versions/{spec['version']}"
    arm.put(path, {"properties": {"componentSpec": spec}}).raise_for_status()


def put_deployment(arm, name="blue", component="azureml:retraining:1"):
    configuration = {
        "deploymentConfigurationType": "PipelineComponent",
        "componentId": {"referenceType": "Id", "assetId": component},
        "settings": {"default_compute": "serverless"},
    }
    properties = {"deploymentConfiguration": configuration}
    body = {"location": "westeurope", "properties": properties}
    return arm.put(f"{BEP}/deployments/{name}", body)


class Endpoint:
    """A batch endpoint as REST clients see it."""

    def __init__(self, arm):
        self.arm = arm
        self.uri = arm.properties(BEP)["scoringUri"]
        self.token = issue_token("https://ml.azure.com", "tenant", "client")

    def invoke(self, properties=None, *, deployment=None, repeat=None, token=None):
        headers = {"Authorization": f"Bearer {token or self.token}"}
        if deployment:
            headers["azureml-model-deployment"] = deployment
        if repeat:
            headers["Repeatability-Request-ID"] = repeat
        body = {"properties": properties or {}}
        return self.arm.http.post(self.uri, json=body, headers=headers)

    def get(self, job):
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.arm.http.get(f"{self.uri}/{job}", headers=headers)


@pytest.fixture
def components(arm):
    arm.control.provisioning(0)
    put_component(arm, TRAIN)
    put_component(arm, RETRAINING)


@pytest.fixture
def endpoint(arm, components):
    body = {"location": "westeurope", "properties": {"authMode": "AADToken"}}
    arm.put(BEP, body).raise_for_status()
    put_deployment(arm).raise_for_status()
    body["properties"]["defaults"] = {"deploymentName": "blue"}
    arm.put(BEP, body).raise_for_status()
    return Endpoint(arm)


def test_the_client_deploys_a_pipeline_and_invokes_it(client, arm, components):
    client.batch_endpoints.begin_create_or_update(BatchEndpoint(name="bep-1")).result()
    deployment = PipelineComponentBatchDeployment(
        name="blue",
        endpoint_name="bep-1",
        component="azureml:retraining:1",
        settings={"default_compute": "serverless"},
    )
    client.batch_deployments.begin_create_or_update(deployment).result()
    job = client.batch_endpoints.invoke(
        "bep-1",
        deployment_name="blue",
        inputs={"since": Input(type="string", default="2026-01-01")},
        experiment_name="retraining",
    )
    arm.pass_time()
    assert client.jobs.get(job.name).status == "Completed"
    assert arm.properties(f"/jobs/{job.name}")["experimentName"] == "retraining"
    assert [j.name for j in client.batch_endpoints.list_jobs("bep-1")] == [job.name]
    assert [j.name for j in client.batch_deployments.list_jobs("bep-1", name="blue")] == [job.name]
    with pytest.raises((HttpResponseError, ResourceNotFoundError), match="no default"):
        invoke_the_default(client)


def invoke_the_default(client):
    from azure.ai.ml.constants._endpoint import EndpointInvokeFields

    # The client keeps the headers of one invocation for the next.
    EndpointInvokeFields.DEFAULT_HEADER.pop("azureml-model-deployment", None)
    client.batch_endpoints.invoke("bep-1")


def test_a_job_is_a_pipeline_job_with_the_inputs_that_were_given(endpoint, arm, control):
    answer = endpoint.invoke(
        {
            "inputData": {"since": {"jobInputType": "Literal", "value": "2026-01-01"}},
            "tags": {"asked_by": "me"},
        }
    )
    assert answer.status_code == 201
    job = answer.json()["name"]
    assert endpoint.get(job).json()["properties"]["status"] != "Completed"
    arm.pass_time()
    assert endpoint.get(job).json()["properties"]["status"] == "Completed"
    properties = arm.properties(f"/jobs/{job}")
    assert properties["inputs"]["since"]["value"] == "2026-01-01"
    assert properties["experimentName"] == "bep-1"
    assert properties["tags"] == {"asked_by": "me"}
    steps = [
        entry["event"]["data"]["runProperties"]
        for entry in control.events()
        if entry["event"]["eventType"].endswith(".RunCompleted")
    ]
    assert [step.get("azureml.moduleName") for step in steps] == ["train", None]


def test_a_body_may_be_written_as_the_documentation_does(endpoint, arm):
    answer = endpoint.invoke(
        {
            "InputData": {"since": {"JobInputType": "Literal", "Value": "2026-02-02"}},
            "properties": {"experimentName": "my-experiment"},
        }
    )
    properties = arm.properties(f"/jobs/{answer.json()['name']}")
    assert properties["inputs"]["since"]["value"] == "2026-02-02"
    assert properties["experimentName"] == "my-experiment"


def test_a_request_that_is_repeated_gets_the_same_job(endpoint, arm, control):
    first = endpoint.invoke(repeat="r-1").json()["name"]
    assert endpoint.invoke(repeat="r-1").json()["name"] == first
    assert endpoint.invoke(repeat="r-2").json()["name"] != first
    assert len(arm.get("/jobs").json()["value"]) == 2
    control.batch_invocations(know_repeats=False)
    assert endpoint.invoke(repeat="r-1").json()["name"] != first


def test_an_answer_may_be_lost_and_the_job_is_there(endpoint, arm, control):
    control.outage(path="/batch/*", method="POST", lose_answer=True, times=1)
    with pytest.raises(Exception, match=r"disconnected|EOF|reset"):
        endpoint.invoke(repeat="r-1")
    assert endpoint.invoke(repeat="r-1").status_code == 200
    assert len(arm.get("/jobs").json()["value"]) == 1


def test_a_wanted_name_counts_only_where_the_service_keeps_it(endpoint, arm, control):
    assert endpoint.invoke({"name": "job-1"}).json()["name"] != "job-1"
    control.batch_invocations(keep_name=True, keep_tags=False)
    job = endpoint.invoke({"name": "job-1", "tags": {"a": "b"}}).json()
    assert job["name"] == "job-1"
    assert job["properties"]["tags"] == {}
    assert endpoint.invoke({"name": "job-1"}).status_code == 409


def test_training_rules_hold_for_jobs_of_batch_endpoints(endpoint, arm, control):
    control.training(component="train", outcome="Failed", error={"code": "E", "message": "m"})
    job = endpoint.invoke().json()["name"]
    arm.pass_time()
    assert arm.properties(f"/jobs/{job}")["status"] == "Failed"


def test_only_a_token_for_machine_learning_opens_the_door(endpoint, arm):
    assert endpoint.invoke(token=issue_token(arm.emulator.url, "t", "c")).status_code == 401
    assert endpoint.invoke(token="nothing").status_code == 401


@pytest.mark.parametrize(
    ("properties", "deployment", "status"),
    [
        ({"inputData": {"until": {"jobInputType": "Literal", "value": "1"}}}, None, 400),
        ({"inputData": {"since": {"jobInputType": "Guess", "value": "1"}}}, None, 400),
        ({"inputData": {"since": "1"}}, None, 400),
        ({"inputData": {"since": {"jobInputType": "Literal"}}}, None, 400),
        ({"tags": {"a": 1}}, None, 400),
        ({}, "green", 404),
    ],
)
def test_an_invocation_that_makes_no_sense_is_refused(
    endpoint, arm, properties, deployment, status
):
    assert endpoint.invoke(properties, deployment=deployment).status_code == status
    assert arm.get("/jobs").json()["value"] == []


def test_a_deployment_that_is_not_there_yet_runs_nothing(endpoint, arm, control):
    control.provisioning(60)
    put_deployment(arm, "green").raise_for_status()
    assert endpoint.invoke(deployment="green").status_code == 409
    arm.pass_time()
    assert endpoint.invoke(deployment="green").status_code == 201


@pytest.mark.parametrize("component", ["azureml:nothing:1", "azureml:train:1", ""])
def test_a_deployment_needs_a_pipeline_component_of_the_workspace(endpoint, arm, component):
    assert put_deployment(arm, component=component).status_code in {400, 404}


def test_a_model_deployment_runs_one_step_over_one_data_input(endpoint, arm):
    arm.put_model()
    model = {"model": {"referenceType": "Id", "assetId": "azureml:churn:1"}}
    body = {"location": "westeurope", "properties": model}
    arm.put(f"{BEP}/deployments/scoring", body).raise_for_status()
    data = {"data": {"jobInputType": "UriFolder", "uri": "https://x.org/data"}}
    job = endpoint.invoke({"inputData": data}, deployment="scoring").json()["name"]
    arm.pass_time()
    assert arm.properties(f"/jobs/{job}")["status"] == "Completed"
    literal = {"since": {"jobInputType": "Literal", "value": "1"}}
    assert endpoint.invoke({"inputData": literal}, deployment="scoring").status_code == 400
    assert endpoint.invoke(deployment="scoring").status_code == 400


def test_a_batch_endpoint_that_is_not_there_has_no_jobs(endpoint, arm):
    endpoint.uri = endpoint.uri.replace("bep-1", "bep-2")
    assert endpoint.invoke().status_code == 404
    assert endpoint.get("job-1").status_code == 404
