"""AML jobs, for the targets that start one: found by name, started, looked at."""

import re
from collections.abc import Iterable
from typing import Final

from shared.adapters.aml.arm import path_of
from shared.adapters.aml.connection import Aml
from shared.adapters.aml.run_history import RunHistory
from shared.base.errors import JobInvalid, SignalboxError, TargetAbsent, WorkspaceRefused
from shared.base.incoming import Json, object_in
from shared.base.outgoing import for_tag
from shared.base.settings import PUBLIC_AML
from shared.events.model import Workspace
from shared.retraining.targets import (
    REFERENCE,
    Input,
    Submission,
    Submitted,
    TargetRun,
    TargetStatus,
)
from shared.workspaces.run_reports import run_link

#: Types of inputs that are an address, not a value.
DATA_TYPES = frozenset(
    {"uri_file", "uri_folder", "mltable", "mlflow_model", "custom_model", "triton_model"}
)

#: The service's words where a job names something absent: in a 400, in the sentence alone.
_ABSENT = re.compile(
    r"\b(?:compute|component|environment|data|datastore|dataset|model|experiment|code|asset"
    r"|endpoint|deployment|version)\b.{0,200}?\b(?:(?:was|were|is|be) not found|not found"
    r"|does ?n[o']t exist|do not exist|no such|can ?not be found|could not be found)"
    r"|\b(?:not found|no such) (?:\w+ )?(?:compute|component|environment|datastore|deployment)\b",
    re.IGNORECASE | re.DOTALL,
)
_ABSENT_CODE = re.compile(r"\b\w*NotFound\b")

_STATUSES = {
    "completed": TargetStatus.SUCCEEDED,
    "failed": TargetStatus.FAILED,
    "canceled": TargetStatus.FAILED,
}


class Jobs:
    """The jobs of workspaces, through Azure Resource Manager."""

    def __init__(self, aml: Aml, *, studio: str = PUBLIC_AML) -> None:
        """`studio` is the address of AML studio, for links."""
        self.aml: Final = aml
        self._studio: Final = studio
        self._history: Final = RunHistory(aml)

    def find(self, workspace: Workspace, name: str) -> Json | None:
        """Return the job's document, or None."""
        doing = f"reading job {name!r}"
        answer = self.aml.arm.call("GET", path(workspace, name), doing, expected=(404,))
        return None if answer.status == 404 else answer.body

    def find_started(self, submission: Submission) -> Submitted | None:
        """Return the job that was started for a submission before, or None."""
        if submission.is_first or self.find(submission.workspace, submission.name) is None:
            return None
        return self.submitted(submission, submission.name, found=True)

    def start(self, submission: Submission, properties: Json) -> Submitted:
        """Start a job under the submission's name.

        The request carries the app's token for AML's own services, which pipelines need. Raises:
        TargetAbsent where something that the job names is absent.
        """
        doing = f"starting job {submission.name!r}"
        token = self.aml.token(doing)
        try:
            self.aml.arm.call(
                "PUT",
                path(submission.workspace, submission.name),
                doing,
                headers={"x-azureml-token": token},
                body={"properties": properties},
            )
        except WorkspaceRefused as error:
            raise as_absent(error) from error
        return self.submitted(submission, submission.name)

    def submitted(self, submission: Submission, name: str, *, found: bool = False) -> Submitted:
        """Return the job of this name as started or found, with its page in AML studio."""
        link = run_link(name, submission.workspace, self._studio)
        return Submitted(run_id=name, link=link, found=found)

    def look(self, workspace: Workspace, name: str) -> TargetRun:
        """Return where a job stands; UNKNOWN where there is none."""
        return self.look_at(workspace, name, self.find(workspace, name))

    def look_at(self, workspace: Workspace, name: str, job: Json | None) -> TargetRun:
        """Return where the job of a document stands, and why it failed if it did."""
        if job is None:
            return TargetRun(status=TargetStatus.UNKNOWN)
        reported = str(object_in(job, "properties").get("status") or "")
        status = _STATUSES.get(reported.lower(), TargetStatus.RUNNING)
        if status is not TargetStatus.FAILED:
            return TargetRun(status=status)
        return TargetRun(status=status, reason=self._reason(workspace, name) or reported)

    def _reason(self, workspace: Workspace, name: str) -> str:
        """Return why a job failed, which only run history says."""
        run = self._history.get(workspace, name)
        if run is None:
            return ""
        return ": ".join(part for part in (run.error_code, run.error) if part)


def path(workspace: Workspace, name: str) -> str:
    """Return the path of a job's ARM resource."""
    return path_of(workspace, "jobs", name)


def tags_of(submission: Submission) -> dict[str, str]:
    """Return the tags of a new job: the submission's, and the one that ties it to its loop."""
    tags = {name: for_tag(value) for name, value in submission.tags.items()}
    return {**tags, REFERENCE: submission.reference}


def literal(value: Input) -> Json:
    """Write a literal input as the SDK does, because the service accepts texts only."""
    return {"jobInputType": "literal", "value": str(value)}


def check_inputs(of: str, known: Iterable[str], submission: Submission) -> None:
    """Raise JobInvalid for inputs of a submission that the job or component does not have."""
    if unknown := sorted(submission.inputs.keys() - set(known)):
        names = ", ".join(known) or "none"
        raise JobInvalid(
            f"{of} has no input {', '.join(unknown)}",
            hint=f"Its inputs: {names}. Fix `inputs:` in the reaction, then replay the letter.",
        )


def as_absent(error: WorkspaceRefused) -> SignalboxError:
    """Return TargetAbsent where a refusal says that something is absent, else the refusal."""
    if _ABSENT.search(error.message) or _ABSENT_CODE.search(error.message):
        return TargetAbsent(error.message)
    return error
