"""Runs, their experiments, and the plans of runs."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from sandbox.workspace.agenda import Entry
from sandbox.workspace.arm import Json

COMMAND_RUN = "azureml.commandjob"
PIPELINE_RUN = "azureml.PipelineRun"
STEP_RUN = "azureml.StepRun"

#: The statuses that a run never leaves.
ENDED = frozenset({"Completed", "Failed", "Canceled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """The name that runs share, and its id."""

    id: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One value that a run logged."""

    key: str
    value: float
    at: datetime
    step: int = 0


@dataclass(slots=True, kw_only=True)
class RunPlan:
    """The plan of a run; its steps run one after the other inside it."""

    id: str
    experiment: str
    display_name: str = ""
    run_type: str = COMMAND_RUN
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    #: Emulated seconds in Running, for a run without steps.
    seconds: float = 60.0
    #: Emulated seconds in Queued, while no machine is free.
    queued: float = 1.0
    #: Completed, Failed or Canceled.
    outcome: str = "Completed"
    #: `{"code": "UserError", "message": "…"}` of a failure.
    error: Json | None = None
    #: Logged while running.
    metrics: dict[str, float] = field(default_factory=dict)
    #: Tags that the run sets on itself while Running, shortly before that ends.
    late_tags: dict[str, str] = field(default_factory=dict)
    steps: tuple["RunPlan", ...] = ()
    #: Whether later steps run though an earlier one failed.
    keeps_going: bool = False
    #: Called once, when the run has ended and its events are raised.
    on_end: Callable[["Run"], None] | None = None
    created_by: str = "emulator"
    #: The properties of the ARM job, as far as a run does not keep them itself.
    settings: Json = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Run:
    """One run: a submitted job, or a step of it."""

    id: str
    root_id: str
    parent_id: str | None
    #: Its place among all runs of the workspace.
    number: int
    experiment: Experiment
    display_name: str
    run_type: str
    created_at: datetime
    created_by: str
    status: str = "NotStarted"
    started_at: datetime | None = None
    ended_at: datetime | None = None
    modified_at: datetime | None = None
    description: str | None = None
    is_archived: bool = False
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    metrics: list[Metric] = field(default_factory=list)
    error: Json | None = None
    children: list["Run"] = field(default_factory=list)
    settings: Json = field(default_factory=dict)
    #: Where the story of this run's root waits.
    entry: Entry | None = None

    @property
    def experiment_id(self) -> str:
        """The id of its experiment."""
        return self.experiment.id

    @property
    def is_over(self) -> bool:
        """Whether it has ended, well or not."""
        return self.status in ENDED

    @property
    def is_pipeline(self) -> bool:
        """Whether it consists of steps."""
        return self.run_type == PIPELINE_RUN

    def family(self) -> Iterator["Run"]:
        """Yield the run and all that is below it."""
        yield self
        for child in self.children:
            yield from child.family()


def new_experiment(workspace_guid: str, name: str, at: datetime) -> Experiment:
    """Build an experiment; its id is always the same for the same name."""
    guid = str(uuid.uuid5(uuid.UUID(workspace_guid), f"experiments/{name.lower()}"))
    return Experiment(id=guid, name=name, created_at=at)
