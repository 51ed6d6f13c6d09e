"""Turns a submitted job into a plan of its runs, with the rules applied."""

import json
import uuid
from collections.abc import Callable
from dataclasses import replace

from sandbox.workspace.arm import ArmError, Json, not_emulated, user_error
from sandbox.workspace.cloud import Cloud
from sandbox.workspace.computes import SERVERLESS
from sandbox.workspace.entities import Workspace
from sandbox.workspace.job_graphs import Node, check_command, literals_in, resolve_pipeline
from sandbox.workspace.job_outputs import leave_outputs
from sandbox.workspace.rules import RefuseJob, Subject, Training
from sandbox.workspace.run_entities import COMMAND_RUN, PIPELINE_RUN, STEP_RUN, Run, RunPlan

_USUAL = Training()
#: Steps that Azure runs beside the job's own.
_OTHER_KINDS = {"automl", "finetuning", "labeling", "spark", "sweep"}


def plan_job(
    cloud: Cloud, workspace: Workspace, job_id: str, properties: Json, who: str
) -> RunPlan:
    """Check a job as the service does, and return its plan; raises UserError."""
    planner = _Planner(cloud, workspace, job_id, properties, who)
    kind = str(properties.get("jobType", ""))
    if kind.lower() == "command":
        return planner.command()
    if kind.lower() == "pipeline":
        return planner.pipeline()
    if kind.lower() in _OTHER_KINDS:
        raise not_emulated(f"Jobs of the type '{kind}' are", "jobType")
    raise user_error(f"'{kind}' is no type of a job.", "jobType")


class _Planner:
    def __init__(
        self, cloud: Cloud, workspace: Workspace, job_id: str, properties: Json, who: str
    ) -> None:
        self._cloud = cloud
        self._workspace = workspace
        self._id = job_id
        self._properties = properties
        self._who = who
        self._experiment = str(properties.get("experimentName") or "Default")
        self._subject = Subject(workspace=workspace.name)

    def command(self) -> RunPlan:
        """Plan a command job."""
        compute = check_command(self._cloud, self._workspace, self._properties)
        self._apply_refusal()
        rule = self._rule("") or _USUAL
        inputs = literals_in(self._properties.get("inputs") or {})
        properties = {
            "_azureml.ComputeTargetType": "amlctrain",
            "_azureml.ClusterName": "" if compute == SERVERLESS else compute,
            "ContentSnapshotId": self._guid("snapshot"),
            "ProcessInfoFile": "azureml-logs/process_info.json",
            "ProcessStatusFile": "azureml-logs/process_status.json",
        }
        plan = self._root(COMMAND_RUN, properties, _literals(inputs), rule)
        return _apply(plan, rule)

    def pipeline(self) -> RunPlan:
        """Plan a pipeline job with its steps."""
        inputs, nodes = resolve_pipeline(self._cloud, self._workspace, self._properties)
        self._apply_refusal()
        rule = self._rule("")
        literals = _literals(inputs)
        settings = self._properties.get("settings") or {}
        compute = settings.get("default_compute") or settings.get("defaultCompute") or ""
        properties = {
            "azureml.DevPlatv2": "true",
            "azureml.DatasetAccessMode": "Asset",
            "azureml.runsource": PIPELINE_RUN,
            "runSource": "MFE",
            "runType": "HTTP",
            "azureml.parameters": json.dumps(literals),
            "azureml.continue_on_step_failure": "False",
            "azureml.continue_on_failed_optional_input": "True",
            "azureml.enforceRerun": "False",
            "azureml.defaultComputeName": str(compute).rsplit("/", 1)[-1],
            "azureml.defaultDataStoreName": "workspaceblobstore",
            "azureml.pipelineComponent": "pipelinerun",
        }
        if component := self._properties.get("componentId"):
            properties["azureml.SourceComponentId"] = str(component)
        whole = rule or _USUAL
        plan = self._root(PIPELINE_RUN, properties, literals, whole)
        steps = tuple(self._step(node, self._id, rule, node is nodes[-1]) for node in nodes)
        # Steps log to the pipeline as well, which is what models of its outputs are traced to.
        return replace(
            plan,
            steps=steps,
            outcome="Canceled" if whole.outcome == "Canceled" else "Completed",
            metrics=_numbers(whole),
            late_tags=dict(whole.tags),
        )

    def _step(self, node: Node, parent_id: str, whole: Training | None, is_last: bool) -> RunPlan:
        """Plan a step; a rule for the whole job applies to its last step."""
        step_id = self._guid(f"{parent_id}/{node.name}")
        kind = PIPELINE_RUN if node.steps else STEP_RUN
        properties = {
            "ContentSnapshotId": self._guid(node.component_id),
            "StepType": "PythonScriptStep",
            "azureml.moduleid": self._guid(f"{node.component_id}/module"),
            "azureml.moduleName": node.module,
            "azureml.nodeid": self._guid(f"{step_id}/node")[:8],
            "azureml.pipelinerunid": parent_id,
            "azureml.rootpipelinerunid": self._id,
            "azureml.runsource": kind,
            "_azureml.ComputeTargetType": "amlctrain",
            "_azureml.ClusterName": "" if node.compute == SERVERLESS else node.compute,
        }
        if node.steps:
            properties["azureml.parameters"] = json.dumps(node.inputs)
        plan = RunPlan(
            id=step_id,
            experiment=self._experiment,
            display_name=node.name,
            run_type=kind,
            properties=properties,
            parameters=node.inputs,
            steps=tuple(
                self._step(inner, step_id, whole, is_last and inner is node.steps[-1])
                for inner in node.steps
            ),
            created_by=self._who,
        )
        own = self._rule(node.module)
        usual = whole or _USUAL
        is_told = own is not None or (is_last and not node.steps)
        rule = own or usual
        plan = replace(plan, on_end=self._leave(node.outputs, rule if is_told else _USUAL))
        return _apply(plan, rule) if is_told else replace(plan, seconds=usual.seconds)

    def _root(
        self, kind: str, properties: dict[str, str], parameters: dict[str, str], rule: Training
    ) -> RunPlan:
        submitted = self._properties
        return RunPlan(
            id=self._id,
            experiment=self._experiment,
            display_name=str(submitted.get("displayName") or ""),
            run_type=kind,
            tags=_texts(submitted, "tags"),
            properties=properties | _texts(submitted, "properties"),
            parameters=parameters,
            on_end=self._leave(submitted.get("outputs") or {}, rule),
            created_by=self._who,
            settings=submitted,
        )

    def _leave(self, outputs: Json, rule: Training) -> Callable[[Run], None]:
        """Return the function that writes a run's outputs."""
        return lambda run: leave_outputs(self._cloud, self._workspace, run, outputs, rule.files)

    def _rule(self, component: str) -> Training | None:
        return self._cloud.rules.take(
            Training, self._subject, experiment=self._experiment, component=component
        )

    def _apply_refusal(self) -> None:
        rule = self._cloud.rules.take(RefuseJob, self._subject, experiment=self._experiment)
        if rule is not None:
            raise ArmError(rule.status, rule.code, rule.message)

    def _guid(self, name: str) -> str:
        return str(uuid.uuid5(uuid.UUID(self._workspace.guid), f"{self._id}/{name}"))


def _apply(plan: RunPlan, rule: Training) -> RunPlan:
    return replace(
        plan,
        seconds=rule.seconds,
        queued=rule.queued,
        outcome=rule.outcome,
        error=rule.error,
        metrics=_numbers(rule),
        late_tags=dict(rule.tags),
    )


def _numbers(rule: Training) -> dict[str, float]:
    return {name: float(value) for name, value in rule.metrics.items()}


def _literals(inputs: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in inputs.items() if value is not None}


def _texts(body: Json, key: str) -> dict[str, str]:
    value = body.get(key) or {}
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise user_error(f"'{key}' must map names to strings.", key)
    return dict(value)
