"""Target `job`: a job from a YAML file of the app, as `az ml job create --file` takes it.

azure-ai-ml makes the request; shared/adapters/aml/mlclient.py turns off its bad habits.
"""

from pathlib import Path
from typing import Any, Final

from azure.core.exceptions import AzureError, HttpResponseError

from shared.adapters.aml.job_files import faults_of, make_job
from shared.adapters.aml.jobs import Jobs, as_absent, tags_of
from shared.adapters.aml.mlclient import MlClients
from shared.adapters.identity import no_token
from shared.adapters.refusals import WORKSPACE, parse_retry_after, refusal
from shared.base.clock import Clock
from shared.base.errors import (
    JobInvalid,
    SignalboxError,
    TargetAbsent,
    WorkspaceDenied,
    WorkspaceRefused,
    WorkspaceUnreachable,
)
from shared.base.incoming import read_object
from shared.retraining.targets import JobTarget, Submission, Submitted, TargetRun

#: How deep the SDK wraps an error.
_DEPTH_MAX = 10


class Job:
    """Submits jobs from YAML as the app's identity."""

    def __init__(self, jobs: Jobs, *, root: Path) -> None:
        """`root` is the folder of the app, to which the files' paths are relative."""
        self._jobs: Final = jobs
        self._root: Final = root
        self._clients: Final = MlClients(jobs.aml)

    def submit(self, params: JobTarget, submission: Submission) -> Submitted:
        """Start the job, or find the one that was started for this submission before.

        Raises: WorkspaceError, JobInvalid, and TargetAbsent where something that the job names is
        absent.
        """
        if started := self._jobs.find_started(submission):
            return started
        job = make_job(self._root / params.file, submission, tags_of(submission))
        doing = f"starting job {submission.name!r}"
        client = self._clients.get(submission.workspace)
        try:
            client.jobs.create_or_update(job)
        except AzureError as error:  # the SDK's own errors are among them
            raise error_of(doing, error, self._jobs.aml.clock) from error
        except Exception as error:  # it crashes on answers of unknown shapes
            raise WorkspaceUnreachable(
                f"{doing}: azure-ai-ml can't use the answer ({type(error).__name__})"
            ) from error
        return self._jobs.submitted(submission, submission.name)

    def look(self, params: JobTarget, submission: Submission, run_id: str) -> TargetRun:
        """Return where it stands."""
        return self._jobs.look(submission.workspace, run_id or submission.name)


def error_of(doing: str, error: AzureError, clock: Clock) -> SignalboxError:
    """Return the error that one of the SDK's stands for."""
    from azure.ai.ml.exceptions import MlException

    cause = _answer_in(error)
    if cause is not None and cause.response is not None:
        return _refused(doing, cause, clock)
    if isinstance(error, MlException):
        return JobInvalid(f"{doing}: {'; '.join(faults_of(error))}")
    lost = no_token(error)
    kind = WorkspaceDenied if lost.is_denied else WorkspaceUnreachable
    return kind(f"{doing}: {lost}")


def _answer_in(error: BaseException | None) -> HttpResponseError | None:
    """Return the service's answer that the SDK's error is about, or None."""
    for _ in range(_DEPTH_MAX):
        if error is None or isinstance(error, HttpResponseError):
            return error
        inner = getattr(error, "inner_exception", None) or getattr(error, "exc_value", None)
        error = error.__cause__ or (inner if isinstance(inner, BaseException) else None)
    return None


def _refused(doing: str, error: HttpResponseError, clock: Clock) -> SignalboxError:
    response: Any = error.response
    try:
        body = read_object(response.text())
    except AzureError:
        body = {}
    headers = {name.lower(): value for name, value in response.headers.items()}
    wait = parse_retry_after(headers, clock)
    refused = refusal(WORKSPACE, doing, response.status_code, body, retry_after=wait)
    if not isinstance(refused, WorkspaceRefused):
        return refused
    return TargetAbsent(refused.message) if response.status_code == 404 else as_absent(refused)
