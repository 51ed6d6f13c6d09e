"""Runs of model monitors: their steps, what these find, and the tags that they leave.

The open-source components show the decisions and outputs of a step (Azure/azureml-assets,
assets/model_monitoring). The layout of the runs is known from outside observation only.
"""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sandbox.workspace.arm import Json
from sandbox.workspace.breaches import BREACH_TAG, breach_text
from sandbox.workspace.cloud import Cloud
from sandbox.workspace.entities import Workspace
from sandbox.workspace.monitor_graphs import (
    EVALUATOR,
    KINDS,
    PREPROCESSOR,
    Node,
    component_of,
    kind_of,
    nodes_of,
)
from sandbox.workspace.runs import PIPELINE_RUN, STEP_RUN, Run, RunPlan, start

NO_DATA = "no data"
#: The tag on the root run of a window without data; its dots keep it out of event filters.
ERROR_TAG = "azureml.modelmonitor.error"
_EMAIL_TAG = "azureml.notification.email.address"
_BREACHED_SIGNAL_TAG = "azureml.modelmonitor.threshold.breached."

_FAILURE = {"code": "UserError", "message": "Spark job failed: the driver exited with code 1."}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One signal of a monitor, and what its next run finds."""

    name: str
    kind: str
    metrics: tuple[Json, ...] = ()
    has_data: bool = True
    #: Fails the step that computes the metrics: `{"code": "…", "message": "…"}`.
    error: Json | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One run of a monitor, over the data that came in from `start` until `end`."""

    monitor: str
    signals: tuple[Signal, ...]
    start: datetime
    end: datetime
    #: The experiment of all its runs.
    experiment: str
    #: When the monitor was due: what its steps call the current time.
    at: datetime
    emails: tuple[str, ...] = ()
    #: Emulated seconds that each step is Running.
    seconds: float = 60.0
    #: The evaluation fails on a breach, as the documentation says; by its source it does not.
    fails_on_breach: bool = False
    #: How often each event of an evaluation is raised again, under the same id.
    repeats: int = 0
    #: All steps of the components, rather than the three of each signal that matter.
    is_whole: bool = False
    #: Whether steps have the root run in their properties; not all have it.
    tells_root: bool = True


def parse_signal(name: str, told: Any, kind: str | None = None) -> Signal:
    """Read a signal from the control API; raises ValueError with the fault.

    It is a list of metrics, "no data", or an object with `metrics`, `kind` and `error`.
    """
    spec = dict(told) if isinstance(told, dict) else {"metrics": told}
    metrics, error = spec.pop("metrics", []), spec.pop("error", None)
    kind = spec.pop("kind", None) or kind or kind_of(name)
    if spec:
        raise ValueError(f"signal '{name}': {', '.join(spec)} is not known")
    if kind not in KINDS:
        raise ValueError(f"signal '{name}': kind must be one of {', '.join(KINDS)}, not {kind!r}")
    if metrics == NO_DATA:
        return Signal(name=name, kind=kind, has_data=False)
    if not isinstance(metrics, list) or not all(_is_metric(metric) for metric in metrics):
        raise ValueError(
            f"signal '{name}': expected a list of objects with metric_name, metric_value, "
            f"threshold_value and perhaps group, or '{NO_DATA}'"
        )
    if error is not None:
        error = _FAILURE | ({"message": error} if isinstance(error, str) else dict(error))
    return Signal(name=name, kind=kind, metrics=tuple(metrics), error=error)


def run_monitor(
    cloud: Cloud, workspace: Workspace, window: Window, on_end: Callable[[Run], None] | None = None
) -> Json:
    """Start the run of a monitor over one window.

    Returns `{"run": id, "preprocessors": [id, …], "signals": {name: {"pipeline": id,
    "evaluation": id}}}`; a signal without data has no runs.
    """
    planner = _Planner(cloud=cloud, workspace=workspace, window=window)
    plan = planner.plan()
    plan.on_end = on_end
    start(cloud, workspace, plan)
    return planner.told


@dataclass(slots=True, kw_only=True)
class _Planner:
    """Builds the plan of one window's run."""

    cloud: Cloud
    workspace: Workspace
    window: Window
    root: str = field(default_factory=lambda: str(uuid.uuid4()))
    told: Json = field(default_factory=dict)

    def plan(self) -> RunPlan:
        """Return the plan of the root run, and keep the ids that there will be."""
        window = self.window
        measured = [signal for signal in window.signals if signal.has_data]
        preprocessors = [self._preprocessor(has_data=True)] if measured else []
        if len(measured) < len(window.signals):
            preprocessors.append(self._preprocessor(has_data=False))
        pipelines = [self._signal(signal) for signal in measured]
        self.told = {
            "run": self.root,
            "preprocessors": [plan.id for plan in preprocessors],
            "signals": {
                signal.name: {"pipeline": plan.id, "evaluation": plan.steps[-1].id}
                for signal, plan in zip(measured, pipelines, strict=True)
            },
        }
        return RunPlan(
            id=self.root,
            experiment=window.experiment,
            display_name=f"{window.monitor}-{window.at:%Y%m%dT%H%M%SZ}",
            run_type=PIPELINE_RUN,
            properties=_pipeline_properties({}),
            steps=(*preprocessors, *pipelines),
            keeps_going=True,
        )

    def _preprocessor(self, *, has_data: bool) -> RunPlan:
        window = self.window
        literals = {
            "data_window_start": _moment(window.start),
            "data_window_end": _moment(window.end),
        }
        what = "inputs" if has_data else "outputs"
        node = Node(f"model_{what}_preprocessor", PREPROCESSOR)
        plan = self._step(node, literals, self.root)
        if not has_data:
            plan.outcome = "Failed"
            plan.error = {
                "code": "UserError",
                "message": f"DataNotFoundError: No data found for the given time window: "
                f"{window.start} to {window.end}.",
            }
            tags = {ERROR_TAG: "No data found for the given time window."}
            plan.on_end = partial(self._tag_root, tags)
        return plan

    def _signal(self, signal: Signal) -> RunPlan:
        window, run_id, component = self.window, str(uuid.uuid4()), component_of(signal.kind)
        literals = {
            "monitor_name": window.monitor,
            "signal_name": signal.name,
            "monitor_current_time": _moment(window.at),
            "notification_emails": ",".join(window.emails),
        }
        nodes = nodes_of(signal.kind, is_whole=window.is_whole)
        steps = [self._signal_step(node, signal, literals, run_id) for node in nodes]
        if signal.error:
            # Behind it stand the steps that write the metrics and hold them to the thresholds.
            steps[-3].outcome, steps[-3].error = "Failed", dict(signal.error)
        return RunPlan(
            id=run_id,
            experiment=window.experiment,
            display_name=signal.name,
            run_type=PIPELINE_RUN,
            properties=_pipeline_properties(literals) | self._place(component, self.root),
            steps=tuple(steps),
        )

    def _signal_step(self, node: Node, signal: Signal, literals: Json, parent: str) -> RunPlan:
        if node.component == EVALUATOR:
            return self._evaluation(node, signal, literals, parent)
        names = ("signal_name", "monitor_name") if node.name == "output_signal_metrics" else ()
        return self._step(node, {name: literals[name] for name in names}, parent)

    def _evaluation(self, node: Node, signal: Signal, literals: Json, parent: str) -> RunPlan:
        window = self.window
        given = {name: literals[name] for name in ("signal_name", "notification_emails")}
        plan = self._step(node, {name: value for name, value in given.items() if value}, parent)
        text = breach_text(signal.name, signal.metrics)
        root_tags = {}
        if text is not None:
            plan.late_tags = {BREACH_TAG: text}
            if window.fails_on_breach:
                plan.outcome = "Failed"
            if window.emails:
                root_tags = {
                    _EMAIL_TAG: ",".join(window.emails),
                    f"{_BREACHED_SIGNAL_TAG}{signal.name}": text,
                }
        plan.on_end = partial(self._end_evaluation, root_tags)
        return plan

    def _step(self, node: Node, literals: dict[str, str], parent: str) -> RunPlan:
        return RunPlan(
            id=str(uuid.uuid4()),
            experiment=self.window.experiment,
            display_name=node.name,
            run_type=STEP_RUN,
            properties={
                "azureml.runsource": STEP_RUN,
                "ContentSnapshotId": _guid(node.component, "snapshot"),
                "StepType": "SparkStep",
                "ComputeTargetType": "MLCSpark",
                **self._place(node.component, parent, node.name),
            },
            parameters=literals,
            seconds=self.window.seconds,
        )

    def _place(self, component: str, parent: str, node: str = "") -> dict[str, str]:
        """Say where in the pipeline a run stands, as its properties do."""
        place = {
            "azureml.moduleName": component,
            "azureml.moduleid": _guid(component, "module"),
            "azureml.nodeid": _guid(component, node or parent)[:8],
            "azureml.pipelinerunid": parent,
            "azureml.pipeline": parent,
        }
        return place | ({"azureml.rootpipelinerunid": self.root} if self.window.tells_root else {})

    def _end_evaluation(self, root_tags: dict[str, str], run: Run) -> None:
        self._tag_root(root_tags, run)
        told = [p.event for p in self.cloud.events.log if p.event["data"].get("runId") == run.id]
        for event in told * self.window.repeats:
            self.cloud.events.publish(event)

    def _tag_root(self, tags: dict[str, str], run: Run) -> None:
        self.workspace.runs[run.root_id.lower()].tags |= tags


def _pipeline_properties(literals: Json) -> dict[str, str]:
    return {
        "azureml.runsource": PIPELINE_RUN,
        "runSource": "MFE",
        "runType": "HTTP",
        "azureml.parameters": json.dumps(literals),
        "azureml.continue_on_step_failure": "False",
        "azureml.pipelineComponent": "pipelinerun",
        "azureml.DevPlatv2": "true",
    }


def _is_metric(told: Any) -> bool:
    return isinstance(told, dict) and isinstance(told.get("metric_name"), str)


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _guid(*parts: str) -> str:
    """Return an id that is the same for the same component in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(parts)))
