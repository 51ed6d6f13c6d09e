"""Target `copy_of`: a copy of the last job of an experiment that completed.

The job's ARM document is written again under a new name, without the fields that the service itself
wrote. Source: Azure/azure-rest-api-specs, machinelearningservices 2025-12-01, JobBaseProperties and
the types of job that are derived from it.
"""

from itertools import islice
from typing import Any, Final

from shared.adapters.aml.jobs import Jobs, check_inputs, literal, tags_of
from shared.adapters.aml.mlflow import Mlflow
from shared.base.errors import TargetAbsent
from shared.base.incoming import Json, is_object, object_in
from shared.events.model import Workspace
from shared.retraining.targets import CopyTarget, Submission, Submitted, TargetRun

#: Fields that the service does not accept, or that belong to the old job alone.
_NOT_COPIED = frozenset(
    {"status", "services", "parameters", "isArchived", "sourceJobId", "displayName"}
)
#: The beginnings of the tags and properties that programs write, not people.
_SYSTEM = ("azureml", "_azureml", "mlflow.")
#: The service's own output, for files that a job writes beside its declared outputs.
_DEFAULT_OUTPUT = "default"
#: Not every run that completed is a job: some were only tracked.
_LOOKS_MAX = 5
_LITERAL = "literal"


class CopyOf:
    """Runs jobs again as the app's identity."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs: Final = jobs
        self._mlflow: Final = Mlflow(jobs.aml)

    def submit(self, params: CopyTarget, submission: Submission) -> Submitted:
        """Start the job, or find the one that was started for this submission before.

        Raises: WorkspaceError, TargetAbsent where nothing of the experiment completed, and
        JobInvalid for inputs that the job does not have.
        """
        if started := self._jobs.find_started(submission):
            return started
        job = self._find(params.experiment, submission.workspace)
        copied = copy_of(job, submission)
        tags = {**copied.get("tags", {}), **tags_of(submission)}
        return self._jobs.start(
            submission, {**copied, "displayName": submission.name, "tags": tags}
        )

    def look(self, params: CopyTarget, submission: Submission, run_id: str) -> TargetRun:
        """Return where it stands."""
        return self._jobs.look(submission.workspace, run_id or submission.name)

    def _find(self, experiment: str, workspace: Workspace) -> Json:
        completed = self._mlflow.find_completed(workspace, experiment)
        if completed is None:
            raise TargetAbsent(f"there is no experiment {experiment!r}")
        for run_id in islice(completed, _LOOKS_MAX):
            if job := self._jobs.find(workspace, run_id):
                return job
        raise TargetAbsent(f"no job of experiment {experiment!r} has completed")


def copy_of(job: Json, submission: Submission) -> dict[str, Any]:
    """Return the properties of a copy of a job, with a submission's inputs.

    Raises: JobInvalid for inputs that the job does not have, or that are no addresses.
    """
    name, found = str(job.get("name")), object_in(job, "properties")
    known = object_in(found, "inputs")
    check_inputs(f"job {name!r}", known, submission)
    changed = {key: _input(known[key], submission, key) for key in submission.inputs}
    kept = {key: value for key, value in found.items() if key not in _NOT_COPIED}
    return {key: value for key, value in kept.items() if value is not None} | {
        "tags": _user_written(object_in(found, "tags")),
        "properties": _user_written(object_in(found, "properties")),
        "inputs": {**known, **changed},
        "outputs": _outputs(name, object_in(found, "outputs")),
    }


def _user_written(texts: Json) -> dict[str, Any]:
    """Return the tags or properties of a job that people wrote."""
    return {name: value for name, value in texts.items() if not name.lower().startswith(_SYSTEM)}


def _input(before: Any, submission: Submission, name: str) -> Json:
    value = submission.inputs[name]
    kind = before.get("jobInputType") if is_object(before) else _LITERAL
    if str(kind).lower() == _LITERAL or not isinstance(value, str):
        return literal(value)
    return {**before, "uri": submission.address(name)}


def _outputs(name: str, found: Json) -> dict[str, Any]:
    """Return the outputs without the addresses and versions of the old job.

    With them, two jobs would write to one place, and register one version.
    """
    outputs = {}
    for key, output in found.items():
        if key == _DEFAULT_OUTPUT or not is_object(output):
            continue
        kept = {field: value for field, value in output.items() if field != "assetVersion"}
        if name in str(kept.get("uri") or ""):
            del kept["uri"]
        outputs[key] = kept
    return outputs
