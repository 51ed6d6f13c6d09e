"""Target `component`: a pipeline component that is registered in the workspace, run as a job.

Source: Azure/azure-rest-api-specs, machinelearningservices 2025-12-01: PipelineJob with
`componentId`, and ComponentVersion, whose `componentSpec` is the component's YAML.
"""

from collections.abc import Mapping
from typing import Final

from shared.adapters.aml.arm import path_of, segments
from shared.adapters.aml.jobs import DATA_TYPES, Jobs, check_inputs, literal, tags_of
from shared.base.errors import TargetAbsent
from shared.base.incoming import Json, object_in
from shared.events.model import Workspace
from shared.retraining.targets import ComponentTarget, Submission, Submitted, TargetRun

LATEST = "latest"
#: AML's own compute, for a job that names none.
SERVERLESS = "serverless"
#: The SDK's setting for a pipeline that is a registered component.
_SOURCE = "REMOTE.WORKSPACE.JOB"


class Component:
    """Runs registered pipeline components as the app's identity."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs: Final = jobs

    def submit(self, params: ComponentTarget, submission: Submission) -> Submitted:
        """Start the job, or find the one that was started for this submission before.

        Raises: WorkspaceError, TargetAbsent, and JobInvalid for inputs that the component does not
        declare.
        """
        if started := self._jobs.find_started(submission):
            return started
        component = self._find(params, submission.workspace)
        properties = new_job(
            str(component.get("id") or ""),
            name=submission.name,
            experiment=params.experiment or params.name,
            compute=_compute(params, submission.workspace),
            tags=tags_of(submission),
            inputs=_inputs(params, component, submission),
        )
        return self._jobs.start(submission, properties)

    def look(self, params: ComponentTarget, submission: Submission, run_id: str) -> TargetRun:
        """Return where it stands."""
        return self._jobs.look(submission.workspace, run_id or submission.name)

    def _find(self, params: ComponentTarget, workspace: Workspace) -> Json:
        arm = self._jobs.aml.arm
        doing = f"reading component {params.name}:{params.version}"
        versions = path_of(workspace, "components", params.name, "versions")
        if params.version == LATEST:
            query = {"$orderBy": "createdtime desc", "$top": "1"}
            newest = next(arm.pages(versions, doing, query=query), None)
            if newest is None:
                raise TargetAbsent(f"there is no component {params.name!r}")
            return newest
        path = f"{versions}{segments(params.version)}"
        answer = arm.call("GET", path, doing, expected=(404,))
        if answer.status == 404:
            raise TargetAbsent(f"there is no component {params.name!r} {params.version}")
        return answer.body


def new_job(
    component: str,
    *,
    name: str,
    experiment: str,
    compute: str,
    tags: Mapping[str, str],
    inputs: Mapping[str, Json],
) -> Json:
    """Write the properties of a new job that runs a registered pipeline component."""
    return {
        "jobType": "Pipeline",
        "componentId": component,
        "displayName": name,
        "experimentName": experiment,
        "tags": dict(tags),
        "inputs": dict(inputs),
        "settings": {"default_compute": compute, "_source": _SOURCE},
    }


def _compute(params: ComponentTarget, workspace: Workspace) -> str:
    if not params.compute or params.compute == SERVERLESS:
        return SERVERLESS
    return f"{workspace.id}{segments('computes', params.compute)}"


def _inputs(params: ComponentTarget, component: Json, submission: Submission) -> dict[str, Json]:
    """Write the inputs as the component declares them; as literals where that can't be read."""
    inputs = submission.inputs
    declared = _declared(component)
    if declared is None:
        return {name: literal(value) for name, value in inputs.items()}
    check_inputs(f"component {params.name!r}", declared, submission)
    return {name: _input(submission, name, declared[name]) for name in inputs}


def _declared(component: Json) -> dict[str, str] | None:
    """Return the types of a component's inputs by name, or None where it has no specification."""
    spec = object_in(component, "properties", "componentSpec")
    inputs = object_in(spec, "inputs")
    return (
        {name: str(object_in(inputs, name).get("type") or "") for name in inputs} if spec else None
    )


def _input(submission: Submission, name: str, kind: str) -> Json:
    value = submission.inputs[name]
    if kind in DATA_TYPES and isinstance(value, str):
        return {"jobInputType": kind, "uri": submission.address(name)}
    return literal(value)
