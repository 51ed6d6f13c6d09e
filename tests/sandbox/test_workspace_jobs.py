"""Jobs: submitted, checked, followed, changed and cancelled, and the models that they leave."""

import warnings

import pytest
from azure.core.exceptions import HttpResponseError
from marshmallow.warnings import Marshmallow4Warning

with warnings.catch_warnings():
    warnings.simplefilter("ignore", Marshmallow4Warning)
    from azure.ai.ml import load_component, load_job
    from azure.ai.ml.entities import Environment

pytestmark = pytest.mark.filterwarnings(
    "ignore::marshmallow.warnings.Marshmallow4Warning",
    r"ignore:datetime\.datetime\.utcnow:DeprecationWarning:azure\.ai\.ml.*",
)

COMMAND = """
command: python train.py --rate ${{inputs.rate}} --data ${{inputs.data}} --out ${{outputs.model}}
environment: azureml:sklearn:1
compute: azureml:cpu-cluster
experiment_name: churn-training
inputs:
  rate: 0.1
  data: {type: uri_folder, path: azureml://datastores/workspaceblobstore/paths/churn/}
outputs:
  model: {type: mlflow_model, name: churn}
tags: {team: churn}
"""
TRAIN = """
$schema: https://azuremlschemas.azureedge.net/latest/commandComponent.schema.json
name: train
version: "1"
type: command
inputs:
  rate: {type: number, default: 0.1}
  data: {type: uri_folder}
outputs:
  model: {type: mlflow_model}
command: python train.py ${{inputs.rate}} ${{inputs.data}} ${{outputs.model}}
environment: azureml:sklearn:1
"""
PIPELINE = """
type: pipeline
experiment_name: churn-training
settings: {default_compute: azureml:cpu-cluster}
inputs:
  rate: 0.3
  data: {type: uri_folder, path: azureml://datastores/workspaceblobstore/paths/churn/}
outputs:
  best: {type: mlflow_model, name: churn}
jobs:
  tell:
    type: command
    command: echo ${{inputs.model}}
    environment: azureml:sklearn:1
    inputs: {model: "${{parent.jobs.train.outputs.model}}"}
  train:
    component: azureml:train@latest
    inputs: {rate: "${{parent.inputs.rate}}", data: "${{parent.inputs.data}}"}
    outputs: {model: "${{parent.outputs.best}}"}
"""
WHOLE = """
$schema: https://azuremlschemas.azureedge.net/latest/pipelineComponent.schema.json
name: churn_retraining
version: "1"
type: pipeline
inputs:
  rate: {type: number, default: 0.3}
  data: {type: uri_folder}
jobs:
  train:
    type: command
    component: azureml:train:1
    compute: azureml:cpu-cluster
    inputs: {rate: "${{parent.inputs.rate}}", data: "${{parent.inputs.data}}"}
"""
DATA = {"jobInputType": "uri_folder", "uri": "azureml://datastores/d/paths/p/"}


@pytest.fixture
def yaml(tmp_path):
    def write(text):
        file = tmp_path / f"{abs(hash(text))}.yml"
        file.write_text(text)
        return file

    return write


@pytest.fixture
def hurried(control):
    """Time that runs so fast that clients are asked to wait no longer than a second."""
    control.speed(20)
    yield control
    control.speed(1)


@pytest.fixture
def ready(arm):
    """A workspace with an environment and two components."""
    put_version(arm, "environments", "sklearn", {"image": "mcr.microsoft.com/sklearn"})
    inputs = {"rate": {"type": "number", "default": "0.1"}, "data": {"type": "uri_folder"}}
    train = {"type": "command", "command": "train", "inputs": inputs, "outputs": {"model": {}}}
    put_version(arm, "components", "train", {"componentSpec": train})
    node = {
        "componentId": "azureml:train:1",
        "inputs": {"data": {"job_input_type": "literal", "value": "${{parent.inputs.data}}"}},
    }
    whole = {
        "type": "pipeline",
        "inputs": {
            "data": {"type": "uri_folder"},
            "tries": {"type": "integer", "optional": "true"},
        },
        "outputs": {"best": {"type": "mlflow_model"}},
        "jobs": {"train": node},
    }
    put_version(arm, "components", "retraining", {"componentSpec": whole})
    return arm


def put_version(arm, segment, name, properties):
    response = arm.put(f"/{segment}/{name}/versions/1", {"properties": properties})
    response.raise_for_status()


def command(**changes):
    usual = {
        "jobType": "Command",
        "command": "python train.py ${{inputs.rate}}",
        "environmentId": "azureml:sklearn:1",
        "computeId": "cpu-cluster",
        "experimentName": "churn",
        "inputs": {"rate": {"jobInputType": "literal", "value": "0.1"}},
        "tags": {"a": "1"},
    }
    return usual | changes


def pipeline(**changes):
    usual = {
        "jobType": "Pipeline",
        "componentId": "azureml:retraining:1",
        "experimentName": "churn",
        "inputs": {"data": DATA},
        "settings": {"default_compute": "cpu-cluster"},
    }
    return usual | changes


def put(arm, properties, name="job-1"):
    return arm.put(f"/jobs/{name}", {"properties": properties})


def status(arm, name="job-1"):
    return arm.properties(f"/jobs/{name}")["status"]


def events(control, kind):
    published = (entry["event"] for entry in control.events())
    return [event["data"] for event in published if event["eventType"].endswith(kind)]


def test_the_client_submits_a_command_job_and_gets_its_model(client, control, yaml):
    client.environments.create_or_update(Environment(name="sklearn", version="1", image="i"))
    submitted = client.jobs.create_or_update(load_job(yaml(COMMAND)))
    assert submitted.status == "NotStarted"
    control.advance(3600)
    job = client.jobs.get(submitted.name)
    assert job.status == "Completed"
    assert (job.experiment_name, job.tags["team"]) == ("churn-training", "churn")
    assert job.inputs["rate"]._data == "0.1"
    assert job.services["Studio"].endpoint.startswith(f"https://ml.azure.com/runs/{job.name}?")
    model = client.models.get("churn", label="latest")
    assert (model.version, model.job_name, model.type) == ("1", job.name, "mlflow_model")
    [registered] = events(control, "ModelRegistered")
    assert registered == {
        "modelName": "churn",
        "modelVersion": "1",
        "modelTags": {},
        "modelProperties": {},
    }


def test_the_client_submits_pipelines_and_sees_their_steps(client, control, yaml):
    client.environments.create_or_update(Environment(name="sklearn", version="1", image="i"))
    client.components.create_or_update(load_component(yaml(TRAIN)))
    control.training(component="train", metrics={"auc": 0.9})
    submitted = client.jobs.create_or_update(load_job(yaml(PIPELINE)))
    control.advance(3600)
    assert client.jobs.get(submitted.name).status == "Completed"
    tell, train = client.jobs.list(parent_job_name=submitted.name)
    assert (train.display_name, train.status) == ("train", "Completed")
    assert train.properties["azureml.moduleName"] == "train"
    assert train.properties["azureml.pipelinerunid"] == submitted.name
    assert tell.properties["azureml.moduleName"] == "azureml_anonymous"
    assert client.jobs.get(train.name).display_name == "train"
    assert client.models.get("churn", label="latest").job_name == submitted.name
    client.components.create_or_update(load_component(yaml(WHOLE)))
    whole = client.components.get("churn_retraining", "1")
    again = client.jobs.create_or_update(whole(data=load_job(yaml(PIPELINE)).inputs["data"]._data))
    control.advance(3600)
    assert client.jobs.get(again.name).status == "Completed"
    assert [job.name for job in client.jobs.list()] == [again.name, submitted.name]


def test_the_client_tags_archives_cancels_and_deletes_jobs(client, hurried, yaml):
    client.environments.create_or_update(Environment(name="sklearn", version="1", image="i"))
    name = client.jobs.create_or_update(load_job(yaml(COMMAND))).name
    job = client.jobs.get(name)
    job.tags["stage"] = "trial"
    assert client.jobs.create_or_update(job).tags == {"team": "churn", "stage": "trial"}
    client.jobs.begin_cancel(name).result()
    assert client.jobs.get(name).status == "Canceled"
    client.jobs.archive(name)
    assert list(client.jobs.list()) == []
    client.jobs.begin_delete(name).result()
    with pytest.raises(HttpResponseError, match="not found"):
        client.jobs.get(name)


def test_the_client_is_told_why_a_job_is_refused(client, control, yaml):
    with pytest.raises(HttpResponseError, match=r"Environment .* was not found") as failure:
        client.jobs.create_or_update(load_job(yaml(COMMAND)))
    assert (failure.value.status_code, failure.value.error.code) == (400, "UserError")


def without(properties, *keys):
    return {key: value for key, value in properties.items() if key not in keys}


SWEEP = {
    "jobType": "Sweep",
    "objective": {"goal": "Maximize", "primaryMetric": "auc"},
    "samplingAlgorithm": {"samplingAlgorithmType": "Random"},
    "searchSpace": {"rate": ["uniform", [0.1, 0.9]]},
    "trial": {"command": "train", "environmentId": "azureml:sklearn:1"},
}
SPARK = {
    "jobType": "Spark",
    "codeId": "azureml:code:1",
    "entry": {"sparkJobEntryType": "SparkJobPythonEntry", "file": "train.py"},
}
AUTO_ML = {
    "jobType": "AutoML",
    "taskDetails": {
        "taskType": "Classification",
        "trainingData": {"jobInputType": "mltable", "uri": "azureml:churn:1"},
    },
}
NODE = {"train": {"componentId": "azureml:train:1", "inputs": {"data": DATA}}}


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        (command(jobType="Nonsense"), 'jobType: "Nonsense" is none of'),
        (without(command(), "command"), "properties.command: is missing"),
        (without(command(), "environmentId"), "properties.environmentId: is missing"),
        (command(environmentId="azureml:sklearn:2"), "'azureml:sklearn:2' was not found"),
        (command(computeId="gpu-cluster"), "Compute 'gpu-cluster' was not found"),
        (command(inputs={}), "inputs.rate"),
        (command(inputs={"rate": {"jobInputType": "literal"}}), "rate.value: is missing"),
        (command(inputs={"rate": {"jobInputType": "uri_file"}}), "rate.uri: is missing"),
        (command(command="x ${{outputs.model}}"), "outputs.model"),
        (command(outputs={"m": {"jobOutputType": "mlflow_model", "assetName": "a b"}}), "'m'"),
        (command(tags={"a": 1}), "tags"),
        (pipeline(componentId="azureml:stranger:1"), "'azureml:stranger:1' was not found"),
        (pipeline(componentId="azureml:train:1"), "is no pipeline"),
        (pipeline(inputs={}), "Required input 'data'"),
        (pipeline(inputs={"data": DATA, "more": DATA}), "Unknown inputs ['more']"),
        (pipeline(outputs={"more": {"jobOutputType": "uri_file"}}), "Unknown outputs ['more']"),
        (pipeline(settings={}), "has no compute"),
        (pipeline(settings={"default_compute": "gpu"}), "Compute 'gpu' was not found"),
        (without(pipeline(), "componentId"), "must have jobs"),
        (pipeline(jobs={"train": {"componentId": "azureml:train:1"}}), "Required input 'data'"),
        (pipeline(jobs={"train": {}}), "must have a componentId"),
        (pipeline(jobs={"train": {"type": "nonsense"}}), "is unknown"),
        (
            pipeline(
                jobs={
                    "train": {
                        "componentId": "azureml:train:1",
                        "inputs": {"data": DATA | {"uri": "${{parent.jobs.other.outputs.x}}"}},
                    }
                }
            ),
            "no steps ['other']",
        ),
        (
            pipeline(
                jobs={
                    "train": {
                        "componentId": "azureml:train:1",
                        "inputs": {"data": DATA | {"uri": "${{parent.jobs.train.outputs.x}}"}},
                    }
                }
            ),
            "wait for each other",
        ),
    ],
)
def test_a_job_that_cannot_run_is_refused_at_once(ready, properties, words):
    refused = put(ready, properties)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "UserError")
    assert words in refused.json()["error"]["message"]
    assert ready.get("/jobs").json()["value"] == []


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        (SWEEP, "Jobs of the type 'Sweep' are"),
        (SPARK, "Jobs of the type 'Spark' are"),
        (AUTO_ML, "Jobs of the type 'AutoML' are"),
        (pipeline(jobs={"tune": {"type": "sweep", "trial": "x"}}), "'tune', of the type 'sweep'"),
        (pipeline(jobs={"train": {"type": "if_else"}}), "'train', of the type 'if_else'"),
        (
            pipeline(componentId="azureml://registries/r/components/train/versions/1"),
            "Pipelines of a registry are",
        ),
    ],
)
def test_a_job_that_azure_would_run_is_refused_with_the_reason(ready, properties, words):
    refused = put(ready, properties)
    assert (refused.status_code, refused.json()["error"]["code"]) == (501, "NotEmulated")
    assert words in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    "environment",
    [
        "azureml:AzureML-sklearn-1.5@latest",
        "AzureML-sklearn-1.5:33",
        "azureml:AzureML-sklearn-1.5/labels/latest",
        "azureml://registries/azureml/environments/sklearn-1.5/labels/latest",
    ],
)
def test_microsofts_own_environments_are_taken_on_trust(ready, environment):
    assert put(ready, command(environmentId=environment)).status_code == 201


def test_only_environments_are_curated(ready):
    refused = put(ready, pipeline(componentId="azureml:AzureML-train:1"))
    assert "was not found" in refused.json()["error"]["message"]


@pytest.mark.parametrize("given", ["${{parent.inputs.where}}", "${{ parent.inputs.where }}"])
def test_a_step_runs_where_an_input_says(ready, given):
    where = {"jobInputType": "literal", "value": "cpu-cluster"}
    job = without(pipeline(), "componentId", "settings") | {
        "inputs": {"data": DATA, "where": where},
        "jobs": {"train": NODE["train"] | {"computeId": given}},
    }
    assert put(ready, job).status_code == 201
    where["value"] = "gpu-cluster"
    refused = put(ready, job, name="job-2")
    assert "Compute 'gpu-cluster' was not found" in refused.json()["error"]["message"]


def test_a_name_that_no_run_can_have_is_refused(ready):
    assert put(ready, command(), name="-job").status_code == 400


@pytest.mark.parametrize(
    "environment",
    [
        "azureml:sklearn@latest",
        "{workspace}/environments/sklearn/versions/1",
        "azureml:{workspace}/environments/sklearn/labels/latest",
        "azureml://registries/azureml/environments/sklearn-1.5/labels/latest",
    ],
)
def test_assets_are_named_in_many_ways(ready, environment):
    workspace = ready.get("").json()["id"]
    environment = environment.format(workspace=workspace)
    assert put(ready, command(environmentId=environment)).status_code == 201


def test_a_job_says_what_it_is_and_how_far(ready, control):
    created = put(ready, command(displayName="Churn", description="d", computeId=None)).json()
    assert created["id"].endswith("/workspaces/ws-a/jobs/job-1")
    assert created["properties"]["status"] == "NotStarted"
    control.advance(20)
    properties = ready.properties("/jobs/job-1")
    assert properties["status"] == "Running"
    assert properties["displayName"] == "Churn"
    assert properties["experimentName"] == "churn"
    assert properties["inputs"]["rate"] == {"jobInputType": "literal", "value": "0.1"}
    assert properties["services"]["Tracking"]["endpoint"].startswith("azureml://localhost:")


def test_a_step_is_no_job_of_its_own(ready, control):
    put(ready, pipeline())
    control.advance(3600)
    [step] = [run for run in control.runs() if run["parentId"]]
    answer = ready.get(f"/jobs/{step['id']}")
    assert (answer.status_code, answer.json()["properties"]) == (200, None)
    assert [job["name"] for job in ready.get("/jobs").json()["value"]] == ["job-1"]


def test_jobs_are_listed_newest_first_and_sifted(ready):
    put(ready, command(tags={"team": "a"}), "job-1")
    put(ready, command(tags={"team": "b"}, isArchived=False), "job-2")
    put(ready, pipeline(), "job-3")
    put(ready, command(isArchived=True), "job-2")

    def listed(**query):
        return [job["name"] for job in ready.get("/jobs", **query).json()["value"]]

    assert listed(listViewType="All") == ["job-3", "job-2", "job-1"]
    assert listed(jobType="Command", listViewType="All") == ["job-2", "job-1"]
    assert listed(tag="team=a") == ["job-1"]


def test_a_long_list_of_jobs_comes_in_pages(ready):
    for number in range(101):
        put(ready, command(), f"job-{number}")
    first = ready.get("/jobs").json()
    ready.http.params = {}
    rest = ready.http.get(first["nextLink"]).json()
    names = [job["name"] for job in first["value"] + rest["value"]]
    assert names == [f"job-{number}" for number in reversed(range(101))]
    assert "nextLink" not in rest


def test_a_job_submitted_twice_runs_once(ready, control):
    control.outage(times=1, lose_answer=True, method="PUT")
    with pytest.raises(Exception, match="disconnected"):
        put(ready, command())
    assert put(ready, command()).status_code == 200
    assert len(control.runs()) == 1


def test_only_what_people_call_a_job_can_be_changed_later(ready, control):
    put(ready, command())
    changed = put(ready, command(tags={"b": "2"}, displayName="New", properties={"p": "1"}))
    assert changed.status_code == 200
    properties = ready.properties("/jobs/job-1")
    assert properties["tags"] == {"a": "1", "b": "2"}
    assert (properties["displayName"], properties["properties"]["p"]) == ("New", "1")
    refused = put(ready, command(command="python other.py", inputs={}, properties={"p": "2"}))
    assert refused.status_code == 400
    message = refused.json()["error"]["message"]
    assert "A job with this name already exists" in message
    assert "existing job's Command, Inputs, Properties cannot be changed" in message


def test_a_job_is_cancelled_and_the_end_of_it_can_be_awaited(ready, control):
    put(ready, command())
    accepted = ready.post("/jobs/job-1/cancel")
    assert (accepted.status_code, status(ready)) == (202, "CancelRequested")
    assert ready.http.get(accepted.headers["location"]).status_code == 202
    control.advance(10)
    assert ready.http.get(accepted.headers["location"]).status_code == 204
    assert status(ready) == "Canceled"
    assert ready.post("/jobs/job-1/cancel").status_code == 200
    assert ready.post("/jobs/job-2/cancel").status_code == 404


def test_a_job_under_way_cannot_be_deleted(ready, control):
    put(ready, pipeline())
    assert ready.delete("/jobs/job-1").status_code == 400
    control.advance(3600)
    assert ready.delete("/jobs/job-1").status_code == 200
    assert ready.delete("/jobs/job-1").status_code == 204
    assert control.runs() == []


def test_a_run_does_what_the_experiment_was_told(ready, control):
    error = {"code": "UserError", "message": "No such column: age"}
    control.training(experiment="churn*", seconds=5, outcome="Failed", error=error, times=1)
    put(ready, command(), "job-1")
    put(ready, command(), "job-2")
    control.advance(15)
    assert (status(ready, "job-1"), status(ready, "job-2")) == ("Failed", "Running")
    assert control.runs()[0]["error"] == error


def test_what_is_told_of_a_pipeline_befalls_its_last_step(ready, control):
    control.training(outcome="Failed", error={"code": "UserError", "message": "m"})
    put(ready, pipeline())
    control.advance(3600)
    whole, step = control.runs()
    assert (whole["status"], step["status"]) == ("Failed", "Failed")
    assert step["error"]["message"] == "m"
    assert whole["error"]["message"].startswith("Pipeline has some failed steps.")


def test_what_is_told_of_a_pipeline_is_logged_by_its_run_as_well(ready, control):
    control.training(metrics={"auc": 0.9}, tags={"auc": "0.9"})
    put(ready, pipeline(tags={"team": "churn"}))
    control.advance(3600)
    whole, step = control.runs()
    assert (whole["metrics"], step["metrics"]) == ({"auc": "0.9"}, {"auc": "0.9"})
    assert (whole["tags"], step["tags"]) == ({"team": "churn", "auc": "0.9"}, {"auc": "0.9"})


def test_the_steps_of_a_component_do_what_they_were_told(ready, control):
    control.training(component="train", metrics={"auc": "NaN"}, tags={"t": "1"})
    put(ready, pipeline())
    control.advance(3600)
    whole, step = control.runs()
    assert (whole["metrics"], step["metrics"]) == ({}, {"auc": "nan"})
    assert (whole["tags"], step["tags"]) == ({}, {"t": "1"})


def test_a_step_gets_the_pipelines_inputs(ready, control):
    node = {
        "componentId": "azureml:train:1",
        "inputs": {
            "data": DATA,
            "rate": {"job_input_type": "literal", "value": "${{parent.inputs.rate}}"},
        },
    }
    inputs = {"rate": {"jobInputType": "literal", "value": "0.7"}}
    put(ready, without(pipeline(jobs={"a": node}, inputs=inputs), "componentId"))
    control.advance(3600)
    whole, step = control.runs()
    assert whole["properties"]["azureml.parameters"] == '{"rate": "0.7"}'
    assert (whole["parameters"], step["parameters"]) == ({"rate": "0.7"}, {"rate": "0.7"})


def test_a_pipeline_within_a_pipeline_has_steps_of_its_own(ready, control):
    node = {"type": "pipeline", "componentId": "azureml:retraining:1", "inputs": {"data": DATA}}
    put(ready, without(pipeline(jobs={"inner": node}), "componentId", "inputs"))
    control.advance(3600)
    whole, inner, step = control.runs()
    assert inner["runType"] == "azureml.PipelineRun"
    assert (step["parentId"], step["rootId"]) == (inner["id"], whole["id"])
    assert step["properties"]["azureml.rootpipelinerunid"] == "job-1"


def test_a_job_that_finds_no_machine_stays_queued(ready, control):
    control.training(queued=86400)
    put(ready, command())
    control.advance(3600)
    assert status(ready) == "Queued"


def test_jobs_are_refused_when_there_is_no_quota(ready, control):
    control.refuse_jobs(experiment="churn", times=1)
    refused = put(ready, command())
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "UserError")
    assert put(ready, command()).status_code == 201


@pytest.mark.parametrize("outcome", ["Failed", "Canceled"])
def test_a_job_that_does_not_complete_leaves_no_model(ready, control, outcome):
    control.training(outcome=outcome)
    outputs = {"model": {"jobOutputType": "mlflow_model", "assetName": "churn"}}
    put(ready, command(outputs=outputs))
    put(ready, pipeline(outputs={"best": outputs["model"]}), "job-2")
    control.advance(3600)
    assert (status(ready), status(ready, "job-2")) == (outcome, outcome)
    assert ready.get("/models").json()["value"] == []


def test_the_output_of_a_step_is_registered_when_the_step_completes(ready, control):
    output = {"job_output_type": "custom_model", "asset_name": "churn", "asset_version": "7"}
    node = {
        "componentId": "azureml:train:1",
        "inputs": {"data": DATA},
        "outputs": {"model": output},
    }
    put(ready, without(pipeline(jobs={"train": node}), "componentId"))
    control.advance(3600)
    model = ready.properties("/models/churn/versions/7")
    _, step = control.runs()
    assert (model["jobName"], model["modelType"]) == (step["id"], "custom_model")
    assert f"/paths/azureml/{step['id']}/model/" in model["modelUri"]


def test_every_change_of_a_job_is_told_once_and_in_order(ready, control):
    put(ready, command())
    control.advance(3600)
    changes = events(control, "RunStatusChanged")
    assert [change["runStatus"] for change in changes] == [
        "Starting",
        "Preparing",
        "Queued",
        "Running",
        "Finalizing",
        "Completed",
    ]
    [completed] = events(control, "RunCompleted")
    assert (completed["runId"], completed["runTags"]) == ("job-1", {"a": "1"})
