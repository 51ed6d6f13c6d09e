"""Target `batch_endpoint`: a job of a batch endpoint whose deployment is a pipeline component.

Sources: MicrosoftDocs/azure-ai-docs, how-to-access-data-batch-endpoints-jobs (address, token, body,
header of the deployment, `properties.experimentName`); azure-ai-ml 1.35.2, BatchJobSchema (`name`,
and the spelling of the fields). The service gives such a job a name of its own
(Azure/azure-sdk-for-python#32763), and no tags can be given to it (#42156), so they are written to
its run afterwards, as the studio does. No documentation says how it treats a
Repeatability-Request-ID for the second time. The SDK sends one, but spells the header in its own
way, so both spellings are sent.
"""

import logging
import uuid
from itertools import islice
from typing import Final

from shared.adapters.aml.arm import path_of
from shared.adapters.aml.jobs import Jobs, as_absent, tags_of
from shared.adapters.aml.run_history import RunHistory
from shared.base.errors import SignalboxError, TargetAbsent, WorkspaceRefused
from shared.base.incoming import Json, object_in
from shared.events.model import Workspace
from shared.retraining.targets import (
    REFERENCE,
    BatchEndpointTarget,
    Submission,
    Submitted,
    TargetRun,
)

log = logging.getLogger(__name__)

_REPEATABILITY = ("Repeatability-Request-ID", "repeatability_request-id")
#: How many of the newest retraining jobs are searched: an earlier start is among them.
_LOOKS_MAX = 100


class BatchEndpoint:
    """Invokes batch endpoints as the app's identity."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs: Final = jobs
        self._history: Final = RunHistory(jobs.aml)

    def submit(self, params: BatchEndpointTarget, submission: Submission) -> Submitted:
        """Start the job, or find the one that was started for this submission before.

        It is found by its name or its tag. Where an answer was lost before either was written, only
        the Repeatability-Request-ID keeps the service from starting a second job.

        Raises: WorkspaceError, and TargetAbsent.
        """
        if started := self._find_started(submission):
            return started
        url = self._scoring_address(params, submission.workspace)
        doing = f"invoking batch endpoint {params.endpoint!r}"
        headers = dict.fromkeys(_REPEATABILITY, str(uuid.UUID(submission.id)))
        if params.deployment:
            headers["azureml-model-deployment"] = params.deployment
        body = _body(params, submission)
        try:
            answer = self._jobs.aml.data.call("POST", url, doing, headers=headers, body=body)
        except WorkspaceRefused as error:
            raise as_absent(error) from error
        name = str(answer.body.get("name") or submission.name)
        self._tie(submission, name, answer.body)
        is_repeated = not submission.is_first and answer.status == 200
        return self._jobs.submitted(submission, name, found=is_repeated)

    def look(self, params: BatchEndpointTarget, submission: Submission, run_id: str) -> TargetRun:
        """Return where it stands; write the tags that tie it to its loop if they are missing."""
        name = run_id or submission.name
        job = self._jobs.find(submission.workspace, name)
        if job is not None:
            self._tie(submission, name, job)
        return self._jobs.look_at(submission.workspace, name, job)

    def _find_started(self, submission: Submission) -> Submitted | None:
        if submission.is_first:
            return None
        if started := self._jobs.find_started(submission):
            return started
        workspace = submission.workspace
        doing = f"looking for a job of retraining {submission.id}"
        jobs = self._jobs.aml.arm.pages(path_of(workspace, "jobs"), doing, query={"tag": REFERENCE})
        for job in islice(jobs, _LOOKS_MAX):
            if _tags_in(job).get(REFERENCE) == submission.reference:
                return self._jobs.submitted(submission, str(job.get("name")), found=True)
        return None

    def _tie(self, submission: Submission, name: str, job: Json) -> None:
        """Give the run the tags that its job lacks. The job also runs without them."""
        tags = tags_of(submission)
        if tags.items() <= _tags_in(job).items():
            return
        try:
            self._history.add_tags(submission.workspace, name, tags)
        except SignalboxError as error:
            log.warning("run %s of retraining %s got no tags: %s", name, submission.id, error)

    def _scoring_address(self, params: BatchEndpointTarget, workspace: Workspace) -> str:
        path = path_of(workspace, "batchEndpoints", params.endpoint)
        doing = f"reading batch endpoint {params.endpoint!r}"
        answer = self._jobs.aml.arm.call("GET", path, doing, expected=(404,))
        if answer.status == 404:
            raise TargetAbsent(f"there is no batch endpoint {params.endpoint!r}")
        found = object_in(answer.body, "properties").get("scoringUri")
        if not found:
            raise WorkspaceRefused(f"{doing}: it has no scoring address yet")
        return str(found)


def _body(params: BatchEndpointTarget, submission: Submission) -> Json:
    inputs = {
        name: {"jobInputType": "Literal", "value": value}
        for name, value in submission.inputs.items()
    }
    properties: dict[str, object] = {"name": submission.name, "tags": tags_of(submission)}
    if inputs:
        properties["inputData"] = inputs
    if params.experiment:
        properties["properties"] = {"experimentName": params.experiment}
    return {"properties": properties}


def _tags_in(job: Json) -> dict[str, str]:
    found = object_in(job, "properties", "tags")
    return {str(name): str(value) for name, value in found.items()}
