"""Events of a workspace, normalised: one frozen type per kind."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from shared.base.ids import digest, folded
from shared.events.causes import EventCause, cause_in


class EventType(StrEnum):
    """The kinds of event that reactions can be written for.

    The names are Event Grid's, except DriftDetected, which is made from three kinds that arrive,
    AlertFired, which Azure Monitor sends, and Schedule, which the app raises itself.
    """

    MODEL_REGISTERED = "ModelRegistered"
    MODEL_DEPLOYED = "ModelDeployed"
    RUN_COMPLETED = "RunCompleted"
    RUN_STATUS_CHANGED = "RunStatusChanged"
    DRIFT_DETECTED = "DriftDetected"
    ALERT_FIRED = "AlertFired"
    SCHEDULE = "Schedule"


#: The statuses of a run, in the casing of the events here; they arrive in any.
RUN_STATUSES = (
    "NotStarted",
    "Starting",
    "Provisioning",
    "Preparing",
    "Queued",
    "Running",
    "Finalizing",
    "CancelRequested",
    "Completed",
    "Failed",
    "Canceled",
    "NotResponding",
    "Paused",
)
# Only the words ignore case. If the ranges did, each cold start would take 8 ms longer.
_WORKSPACE_ID = re.compile(
    r"/?(?i:subscriptions)/(?P<subscription>[\w-]{1,64})"
    r"/(?i:resourceGroups)/(?P<resource_group>[\w.()\u0080-\uffff-]{1,90})"
    r"/(?i:providers/Microsoft\.MachineLearningServices)"
    r"/(?i:workspaces)/(?P<name>[\w-]{1,255})/?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """The workspace that something happened in, in the casing in which it was named."""

    subscription: str
    resource_group: str
    name: str

    @property
    def id(self) -> str:
        """The ARM id of the workspace."""
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}"
            f"/providers/Microsoft.MachineLearningServices/workspaces/{self.name}"
        )

    @property
    def key(self) -> str:
        """The ARM id in lower case: two spellings of one workspace have one key."""
        return folded(self.id)


def read_workspace(arm_id: str) -> Workspace | None:
    """Return the workspace of an ARM id in any casing; None if it is not the id of a workspace."""
    found = _WORKSPACE_ID.fullmatch(arm_id)
    return None if found is None else Workspace(**found.groupdict())


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A registered model version. The version is a string, as in the registry."""

    name: str
    version: str
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A deployed service, as ModelDeployed reports it."""

    name: str
    compute_type: str
    models: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """An AML run. `status` is "" if the event does not give it.

    `root_id` is the run that was submitted: its own id for a run that is no step of another. `step`
    is the component or module that a step runs, "" if the event does not give it.
    """

    id: str
    root_id: str
    is_root: bool = True
    step: str = ""
    type: str = ""
    status: str = ""
    experiment_id: str = ""
    experiment_name: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)


class DriftState(StrEnum):
    """The result of a monitor for one signal in one window."""

    BREACH = "breach"  #: A metric is on the wrong side of its threshold.
    RECOVERED = "recovered"  #: Everything was measured, and no metric is on the wrong side.
    BROKEN = "broken"  #: The monitor failed, or had no data: nothing was measured.


class DriftSource(StrEnum):
    """The source that reported a drift."""

    MODEL_MONITOR = "model_monitor"  #: AML's model monitoring (v2), through a run's tag.
    DATASET_MONITOR = "dataset_monitor"  #: A dataset monitor (SDK v1), or its event's shape.
    CUSTOM = "custom"  #: An event that people publish on a custom topic.


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One measure of a signal, compared with its threshold.

    `feature` is the feature or group that was measured, "" for the whole. `effect` is how far the
    value is beyond the threshold on the wrong side, as a share of the threshold: 0.5 is half as
    much again; None without a threshold, or for one of 0.
    """

    name: str
    value: float
    threshold: float | None = None
    feature: str = ""
    breached: bool = True
    effect: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """The result of a monitor in one window for one signal, with the metrics that it reported.

    All signals of a window share `window`: the monitor's run. `run_id` is the run that reported it,
    "" if none did. `detail` says why a monitor is broken, or what was odd.
    """

    monitor: str
    signal: str
    state: DriftState
    source: DriftSource
    window: str
    window_start: datetime | None = None
    window_end: datetime | None = None
    run_id: str = ""
    metrics: tuple[Metric, ...] = ()
    features: tuple[str, ...] = ()  #: Those that breach, each once.
    baseline: str = ""  #: The dataset to compare with, if the event names it.
    target: str = ""  #: The dataset that was measured, if the event names it.
    detail: str = ""


class AlertSeverity(StrEnum):
    """How bad an alert is, by its rule; Sev0 is the worst."""

    SEV0 = "Sev0"
    SEV1 = "Sev1"
    SEV2 = "Sev2"
    SEV3 = "Sev3"
    SEV4 = "Sev4"


class AlertCondition(StrEnum):
    """Whether the condition of an alert holds."""

    FIRED = "Fired"
    RESOLVED = "Resolved"  #: It holds no more. Not every kind of alert reports this.


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert of Azure Monitor. `id` is an ARM id; an alert and its resolution share it.

    `targets` are the ARM ids of its resources, often in lower case; `endpoint` and `deployment` are
    the names of the first online ones among them in the workspace, "" if there is none. `metric`
    and `value` are of the rule's first condition, "" and None if that is not about a number.
    """

    id: str
    rule: str
    severity: AlertSeverity
    condition: AlertCondition
    fired_at: datetime
    resolved_at: datetime | None = None
    description: str = ""
    signal_type: str = ""  #: "Metric", "Log" or "Activity Log".
    monitoring_service: str = ""
    targets: tuple[str, ...] = ()
    endpoint: str = ""
    deployment: str = ""
    metric: str = ""
    value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in a workspace. `time` is the source's, aware, in UTC."""

    type: ClassVar[EventType]
    id: str
    time: datetime
    workspace: Workspace

    @property
    def about(self) -> str:
        """The subject of the event, from its data: two facts under one id differ here."""
        raise NotImplementedError

    @property
    def cause(self) -> EventCause:
        """The reaction that made what the event is about, as far as the event shows it."""
        return EventCause()

    @property
    def key(self) -> str:
        """64 hex digits that every delivery of this event shares and no other event has."""
        return digest(self.workspace.key, self.type, self.about, self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRegistered(Event):
    """A new model version was registered."""

    type: ClassVar[EventType] = EventType.MODEL_REGISTERED
    model: Model

    @property
    def about(self) -> str:
        """The model version."""
        return f"{self.model.name}:{self.model.version}"

    @property
    def cause(self) -> EventCause:
        """The reaction that registered the model."""
        return cause_in(self.model.tags)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDeployed(Event):
    """A model was deployed to a service."""

    type: ClassVar[EventType] = EventType.MODEL_DEPLOYED
    service: Service

    @property
    def about(self) -> str:
        """The service."""
        return self.service.name

    @property
    def cause(self) -> EventCause:
        """The reaction that deployed the service."""
        return cause_in(self.service.tags)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCompleted(Event):
    """A run completed."""

    type: ClassVar[EventType] = EventType.RUN_COMPLETED
    run: Run

    @property
    def about(self) -> str:
        """The run."""
        return self.run.id

    @property
    def cause(self) -> EventCause:
        """The reaction that started the run."""
        return cause_in(self.run.tags)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatusChanged(Event):
    """A run went from one status to another."""

    type: ClassVar[EventType] = EventType.RUN_STATUS_CHANGED
    run: Run

    @property
    def about(self) -> str:
        """The run and its new status."""
        return f"{self.run.id}:{self.run.status}"

    @property
    def cause(self) -> EventCause:
        """The reaction that started the run."""
        return cause_in(self.run.tags)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftDetected(Event):
    """A monitor measured a signal: it found drift, found no drift, or could not measure.

    All reports of one signal in one window of a model monitor are one event: its `id` is that of
    the run, which several events of the run share.
    """

    type: ClassVar[EventType] = EventType.DRIFT_DETECTED
    drift: Drift

    @property
    def about(self) -> str:
        """The monitor, its window and the signal."""
        return f"{self.drift.monitor}:{self.drift.window}:{self.drift.signal}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertFired(Event):
    """An alert about something in the workspace fired or was resolved; `id` is the alert's."""

    type: ClassVar[EventType] = EventType.ALERT_FIRED
    alert: Alert

    @property
    def about(self) -> str:
        """The alert and its condition."""
        return f"{self.alert.id}:{self.alert.condition}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTime:
    """A time that the schedule of a reaction planned. `local_time` is ISO 8601 in its time zone."""

    reaction: str
    cron: str
    time_zone: str
    planned_at: datetime
    local_time: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleDue(Event):
    """A planned time of one reaction's schedule has come; `time` is that time."""

    type: ClassVar[EventType] = EventType.SCHEDULE
    schedule: PlannedTime

    @property
    def about(self) -> str:
        """The reaction and the planned time."""
        return f"{self.schedule.reaction}@{self.schedule.planned_at:%Y-%m-%dT%H:%MZ}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownEvent:
    """A well-formed event of a type that no reaction can be written for."""

    id: str
    type: str
    time: datetime
    source: str


#: The class of each event type.
EVENT_CLASSES: Mapping[EventType, type[Event]] = {
    cls.type: cls
    for cls in (
        ModelRegistered,
        ModelDeployed,
        RunCompleted,
        RunStatusChanged,
        DriftDetected,
        AlertFired,
        ScheduleDue,
    )
}


def as_data(event: Event) -> dict[str, Any]:
    """Return the event as plain data, in the shape that expressions are written over."""
    data: dict[str, Any] = _plain(event)
    data["type"] = str(event.type)
    data["workspace"]["id"] = event.workspace.id
    data["cause"] = _plain(event.cause)
    return data


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, StrEnum) else value
