"""The data plane of batch endpoints: an invocation becomes a job.

The body is azure-ai-ml's (BatchJobSchema) or the documentation's, which begins its keys with
capitals: both are read. A job of a pipeline component is planned like any other pipeline job; one
of a model scores nothing, but runs.
"""

import json
import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.workspace.arm import (
    ArmError,
    Json,
    bad_argument,
    conflict,
    json_body,
    not_found,
    object_in,
    page,
    system_data,
    tags_in,
)
from sandbox.workspace.batch_entities import BatchDeployment, BatchEndpoint
from sandbox.workspace.cloud import Cloud, cloud_of
from sandbox.workspace.entities import Workspace
from sandbox.workspace.identity import MACHINE_LEARNING_AUDIENCE, check_token
from sandbox.workspace.job_plans import plan_job
from sandbox.workspace.rules import BatchInvocation
from sandbox.workspace.runs import PIPELINE_RUN, STEP_RUN, Run, RunPlan, start

_DEPLOYMENT_HEADER = "azureml-model-deployment"
#: The header's name as it is specified, and as azure-ai-ml 1.35.2 spells it.
_REPEATABILITY_HEADERS = ("repeatability-request-id", "repeatability_request-id")
#: The name of each type of input in Resource Manager.
_INPUT_TYPES = {
    "literal": "literal",
    "urifile": "uri_file",
    "urifolder": "uri_folder",
    "mltable": "mltable",
    "mlflowmodel": "mlflow_model",
    "tritonmodel": "triton_model",
    "custommodel": "custom_model",
}
_USUAL = BatchInvocation()


async def invoke(request: Request) -> Response:
    """Start a job of the deployment that a header names, or of the default one.

    A Repeatability-Request-ID that was seen before gets the job that was started then.
    """
    cloud = cloud_of(request)
    caller = _caller(request)
    workspace, endpoint = _endpoint_at(cloud, request.path_params["host"])
    deployment = _deployment(endpoint, request.headers.get(_DEPLOYMENT_HEADER))
    rule = cloud.rules.take(BatchInvocation, deployment.subject()) or _USUAL
    headers = request.headers
    repeatable = next((headers[name] for name in _REPEATABILITY_HEADERS if name in headers), "")
    earlier = endpoint.requests.get(repeatable) if rule.knows_repeats else None
    if earlier and earlier.lower() in workspace.runs:
        return JSONResponse(_document(workspace, endpoint, workspace.runs[earlier.lower()]))
    wanted = _folded(object_in(_folded(await json_body(request)), "properties"))
    plan = _plan(cloud, workspace, deployment, wanted, rule, caller)
    if plan.id.lower() in workspace.runs:
        raise conflict(f"A job with the name '{plan.id}' already exists.", "name")
    run = start(cloud, workspace, plan)
    endpoint.jobs.append(run.id)
    deployment.jobs.append(run.id)
    if repeatable:
        endpoint.requests[repeatable] = run.id
    return JSONResponse(_document(workspace, endpoint, run), 201)


async def get_job(request: Request) -> Response:
    """Return one job that the endpoint was invoked for."""
    _caller(request)
    workspace, endpoint = _endpoint_at(cloud_of(request), request.path_params["host"])
    name = request.path_params["job"]
    run = workspace.runs.get(name.lower())
    if run is None or run.id not in endpoint.jobs:
        raise not_found("Batch job", name)
    return JSONResponse(_document(workspace, endpoint, run))


async def list_jobs(request: Request) -> Response:
    """List the jobs of a batch endpoint, or of one deployment of it, newest first."""
    cloud = cloud_of(request)
    _caller(request)
    workspace = cloud.workspace(request)
    name = request.path_params["endpoint"]
    endpoint = workspace.batch_endpoints.get(name.lower())
    if endpoint is None:
        raise not_found("Batch endpoint", name)
    owner: BatchEndpoint | BatchDeployment = endpoint
    if "deployment" in request.path_params:
        owner = _deployment(endpoint, request.path_params["deployment"])
    runs = [workspace.runs[job.lower()] for job in owner.jobs if job.lower() in workspace.runs]
    items = [_document(workspace, endpoint, run) for run in reversed(runs)]
    return JSONResponse(page(request, cloud.url, items))


def _plan(
    cloud: Cloud,
    workspace: Workspace,
    deployment: BatchDeployment,
    wanted: Json,
    rule: BatchInvocation,
    who: str,
) -> RunPlan:
    properties = _folded(object_in(wanted, "properties"))
    experiment = properties.pop("experimentname", None) or wanted.get("experimentname")
    job_id = str(wanted.get("name") or "") if rule.keeps_name else ""
    job: Json = {
        "jobType": "Pipeline",
        "experimentName": experiment or deployment.endpoint,
        "inputs": _inputs(object_in(wanted, "inputdata")),
        "outputs": object_in(wanted, "outputdata"),
        "tags": tags_in(wanted) if rule.keeps_tags else {},
        "componentId": deployment.component,
        "settings": object_in(deployment.settings, "deploymentConfiguration").get("settings"),
    }
    job = {key: value for key, value in job.items() if value}
    job_id = job_id or f"batchjob-{uuid.uuid4()}"
    if deployment.component:
        return plan_job(cloud, workspace, job_id, job, who)
    return _scoring(job_id, job, deployment, who)


def _scoring(job_id: str, job: Json, deployment: BatchDeployment, who: str) -> RunPlan:
    """Plan the job of a model deployment: one step, which pretends to score."""
    inputs = job.get("inputs", {})
    if len(inputs) != 1 or any(i["jobInputType"] == "literal" for i in inputs.values()):
        raise bad_argument("A model deployment takes exactly one input, and that is data.")
    step_properties = {
        "azureml.moduleName": "batchscoring",
        "azureml.pipelinerunid": job_id,
        "azureml.rootpipelinerunid": job_id,
        "azureml.runsource": STEP_RUN,
    }
    step = RunPlan(
        id=str(uuid.uuid4()),
        experiment=job["experimentName"],
        display_name="batchscoring",
        run_type=STEP_RUN,
        properties=step_properties,
        created_by=who,
    )
    return RunPlan(
        id=job_id,
        experiment=job["experimentName"],
        display_name=deployment.name,
        run_type=PIPELINE_RUN,
        tags=job.get("tags", {}),
        properties={"azureml.runsource": PIPELINE_RUN, "azureml.DevPlatv2": "true"},
        steps=(step,),
        created_by=who,
        settings=job,
    )


def _inputs(members: Json) -> Json:
    """Turn inputs into what Resource Manager's jobs have; raises its refusal."""
    inputs: Json = {}
    for name, value in members.items():
        entry = _folded(value) if isinstance(value, dict) else {}
        kind = _INPUT_TYPES.get(str(entry.get("jobinputtype")).lower())
        if kind is None:
            raise bad_argument(f"The jobInputType of input '{name}' is unknown.", "inputData")
        content = {key: entry[key] for key in ("value", "uri", "mode") if key in entry}
        if not isinstance(content.get("value", ""), str):
            # Clients send numbers and booleans; a job has only text.
            content["value"] = json.dumps(content["value"])
        inputs[name] = {"jobInputType": kind} | content
    return inputs


def _folded(members: Json) -> dict[str, Any]:
    """Return an object with its keys in lower case: clients write them in either."""
    return {key.lower(): value for key, value in members.items()}


def _deployment(endpoint: BatchEndpoint, named: str | None) -> BatchDeployment:
    name = named or endpoint.default
    deployment = endpoint.deployments.get(name.lower()) if name else None
    if deployment is None:
        raise not_found("Batch deployment", name or "(no default)")
    if deployment.state != "Succeeded":
        raise conflict(f"Deployment '{deployment.name}' is {deployment.state}.", deployment.name)
    return deployment


def _endpoint_at(cloud: Cloud, host: str) -> tuple[Workspace, BatchEndpoint]:
    for workspace in cloud.workspaces():
        for endpoint in workspace.batch_endpoints.values():
            if endpoint.host == host.lower() and endpoint.state != "Creating":
                return workspace, endpoint
    raise ArmError(404, "ResourceNotFound", f"There is no batch endpoint at '{host}'.")


def _caller(request: Request) -> str:
    cloud_of(request).settle()
    claims = check_token(request.headers.get("authorization"), (MACHINE_LEARNING_AUDIENCE,))
    return str(claims.get("appid") or claims.get("oid") or "unknown")


def _document(workspace: Workspace, endpoint: BatchEndpoint, run: Run) -> Json:
    """Return a job as the data plane shows it."""
    modified = run.modified_at or run.created_at
    return {
        "id": f"{workspace.arm_id}/batchEndpoints/{endpoint.name}/jobs/{run.id}",
        "name": run.id,
        "type": "Microsoft.MachineLearningServices/workspaces/batchEndpoints/jobs",
        "systemData": system_data(run.created_at, modified, run.created_by),
        "properties": {
            "name": run.id,
            "status": run.status,
            "tags": dict(run.tags),
            "properties": dict(run.properties),
            "inputData": run.settings.get("inputs", {}),
            "outputData": run.settings.get("outputs", {}),
        },
    }


_JOBS = (
    "/mferp/managementfrontend/subscriptions/{subscription}/resourceGroups/{group}/providers"
    "/Microsoft.MachineLearningServices/workspaces/{workspace}/batchEndpoints/{endpoint}"
)

#: Whole paths: nothing of this is below a workspace.
routes = [
    Route("/batch/{host}/jobs", invoke, methods=["POST"]),
    Route("/batch/{host}/jobs/{job}", get_job, methods=["GET"]),
    Route(f"{_JOBS}/jobs", list_jobs, methods=["GET"]),
    Route(f"{_JOBS}/deployments/{{deployment}}/jobs", list_jobs, methods=["GET"]),
]
