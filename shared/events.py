"""Events of a workspace, normalised: one frozen type per kind, whatever casing arrived."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from shared.ids import digest


class EventType(StrEnum):
    """The kinds of event that reactions can be written for, as Event Grid names them."""

    MODEL_REGISTERED = "ModelRegistered"
    MODEL_DEPLOYED = "ModelDeployed"
    RUN_COMPLETED = "RunCompleted"
    RUN_STATUS_CHANGED = "RunStatusChanged"
    DATASET_DRIFT_DETECTED = "DatasetDriftDetected"


#: The statuses of a run, in the casing in which events tell them here, whichever arrived.
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
        return self.id.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A registered model version. The version is a string, as in the registry."""

    name: str
    version: str
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A deployed service, as ModelDeployed tells of it."""

    name: str
    compute_type: str
    models: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """An AML run. `status` is "" where the event does not tell it."""

    id: str
    type: str = ""
    status: str = ""
    experiment_id: str = ""
    experiment_name: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A drift that a dataset monitor (SDK v1) measured. The coefficient is from 0 to 1."""

    monitor_id: str
    monitor_name: str
    run_id: str
    base_dataset_id: str
    target_dataset_id: str
    coefficient: float
    window_start: datetime | None = None
    window_end: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in a workspace. `time` is the source's, aware, in UTC."""

    type: ClassVar[EventType]
    id: str
    time: datetime
    workspace: Workspace

    @property
    def about(self) -> str:
        """What the event tells of, derived from its data: two facts under one id differ here."""
        raise NotImplementedError

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDeployed(Event):
    """A model was deployed to a service."""

    type: ClassVar[EventType] = EventType.MODEL_DEPLOYED
    service: Service

    @property
    def about(self) -> str:
        """The service."""
        return self.service.name


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCompleted(Event):
    """A run completed."""

    type: ClassVar[EventType] = EventType.RUN_COMPLETED
    run: Run

    @property
    def about(self) -> str:
        """The run."""
        return self.run.id


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatusChanged(Event):
    """A run went from one status to another."""

    type: ClassVar[EventType] = EventType.RUN_STATUS_CHANGED
    run: Run

    @property
    def about(self) -> str:
        """The run and its new status."""
        return f"{self.run.id}:{self.run.status}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetDriftDetected(Event):
    """A dataset monitor (SDK v1) found drift."""

    type: ClassVar[EventType] = EventType.DATASET_DRIFT_DETECTED
    drift: Drift

    @property
    def about(self) -> str:
        """The monitor's run."""
        return self.drift.run_id


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
        DatasetDriftDetected,
    )
}


def as_data(event: Event) -> dict[str, Any]:
    """Return the event as plain data, in the shape that expressions are written over."""
    data: dict[str, Any] = _plain(event)
    data["type"] = str(event.type)
    data["workspace"]["id"] = event.workspace.id
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
    return value
