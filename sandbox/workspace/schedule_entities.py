"""Schedules of jobs and of model monitors, and how one looks in a response."""

from dataclasses import dataclass, field
from datetime import datetime

from sandbox.workspace.arm import PROVIDER, Json, system_data
from sandbox.workspace.rules import Subject


@dataclass(slots=True, kw_only=True)
class Schedule:
    """One schedule; `settings` are its properties as they were sent, `state` apart."""

    workspace: str
    name: str
    settings: Json
    created_at: datetime
    modified_at: datetime
    created_by: str
    state: str = "Creating"
    operation_url: str = ""
    #: The runs that it started, oldest first.
    runs: list[str] = field(default_factory=list)

    @property
    def entity(self) -> str:
        """The name under which operations lock it."""
        return f"schedule/{self.name}".lower()

    @property
    def is_enabled(self) -> bool:
        """Whether it may fire; a new one may."""
        return self.settings.get("isEnabled") is not False

    @property
    def action(self) -> Json:
        """Its action: an object with an `actionType`."""
        action: Json = self.settings["action"]
        return action

    @property
    def is_monitor(self) -> bool:
        """Whether it runs a model monitor, rather than a job."""
        return str(self.action["actionType"]).lower() == "createmonitor"

    @property
    def monitor(self) -> Json:
        """The definition of the monitor; empty for a job's schedule."""
        definition: Json = self.action.get("monitorDefinition") or {}
        return definition

    @property
    def job(self) -> Json:
        """The job that it submits, as Resource Manager has it; empty for a monitor's schedule."""
        definition: Json = self.action.get("jobDefinition") or {}
        return definition

    def subject(self) -> Subject:
        """Return what rules match on."""
        return Subject(workspace=self.workspace)

    def document(self, workspace_id: str) -> Json:
        """Return the schedule as a resource."""
        return {
            "id": f"{workspace_id}/schedules/{self.name}",
            "name": self.name,
            "type": f"{PROVIDER}/workspaces/schedules",
            "systemData": system_data(self.created_at, self.modified_at, self.created_by),
            "properties": self.settings
            | {"isEnabled": self.is_enabled, "provisioningState": self.state},
        }
