"""Reports of runs for people: the end of a run, its duration, the step that failed, and why."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from shared.base.clock import Clock
from shared.base.errors import Disposition, failure_of
from shared.base.redact import redact
from shared.base.words import elapsed, flat, shortened
from shared.events.model import Run, Workspace
from shared.events.runs import has_ended
from shared.workspaces.model import RunRecord
from shared.workspaces.ports import Runs

#: So many levels of nested pipelines are searched, with a request each.
_DEPTH_MAX = 4
#: The longest time. A trigger has 20 seconds, and the message is still to be sent.
_TIME_MAX = timedelta(seconds=8)

_HEAD_LINES = 8
_TAIL_LINES = 2
_ERROR_MAX = 1000
#: So many characters of an error are read.
_READ_MAX = 8000
_NAME_MAX = 100
_ID_MAX = 300
_GAP_MAX = 300

#: A pipeline's own error that only says that a step failed.
_OF_A_STEP = re.compile(
    r"\b(?:child|children|steps?|nodes?|sub-?jobs?)\b.{0,60}\bfail"
    r"|\bfail\w*\b.{0,60}\b(?:child|children|steps?|nodes?|sub-?jobs?)\b"
    r"|see (?:the )?child run",
    re.IGNORECASE | re.DOTALL,
)
_SOURCE = "azureml.runsource"
_PIPELINE = "azureml.pipelinerun"
_FAILED = ("failed", "notresponding")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """The facts of a run. `run` is None if it can't be read; `gap` says what is missing.

    `path` leads from below the run to the deepest step that failed, the first of its level;
    `failed` counts the failed steps of that level.
    """

    run: RunRecord | None = None
    path: tuple[RunRecord, ...] = ()
    failed: int = 0
    gap: str = ""


class RunReports:
    """Makes reports of runs: one request for a run, and one for each level of its pipelines."""

    def __init__(self, *, workspaces: Runs, clock: Clock) -> None:
        self._workspaces = workspaces
        self._clock = clock

    def read(self, workspace: Workspace, run_id: str, *, may_wait: bool) -> RunReport:
        """Return the report of a run.

        Raises: WorkspaceError, only with `may_wait` and if waiting can help.
        """
        report = RunReport()
        try:
            run = self._workspaces.get_run(workspace, run_id)
            if run is None:
                return RunReport(gap="the workspace has no such run")
            report = RunReport(run=run)
            if run.status.lower() in _FAILED:
                report = self._descend(workspace, report)
        except Exception as error:
            failure = failure_of(error)
            if may_wait and failure.disposition is Disposition.RETRY:
                raise
            return replace(report, gap=f"{failure.code}: {failure.reason}")
        return report

    def _descend(self, workspace: Workspace, report: RunReport) -> RunReport:
        """Follow the failed steps down to the one whose error is the cause."""
        assert report.run is not None
        until = self._clock.now() + _TIME_MAX
        run = report.run
        for _ in range(_DEPTH_MAX):
            if not _may_be_in_step(run):
                return report
            if self._clock.now() > until:
                return replace(report, gap="there was no time to look at all of its steps")
            children = self._workspaces.list_children(workspace, run.id)
            failed = sorted(
                (child for child in children if child.status.lower() in _FAILED), key=_ended
            )
            if not failed:
                return report
            run = failed[0]
            report = replace(report, path=(*report.path, run), failed=len(failed))
        return report


def _may_be_in_step(run: RunRecord) -> bool:
    """Say whether the cause of a failed run may be in a run below it."""
    sources = [text.lower() for name, text in run.properties.items() if name.lower() == _SOURCE]
    return _PIPELINE in sources or _has_only_step_error(run)


def _has_only_step_error(run: RunRecord) -> bool:
    return not run.error.strip() or _OF_A_STEP.search(run.error[:_READ_MAX]) is not None


def _ended(run: RunRecord) -> tuple[datetime, str]:
    return run.ended_at or datetime.max.replace(tzinfo=UTC), run.id


def describe(report: RunReport, event: Run, workspace: Workspace, *, studio: str) -> str:
    """Write the report, and a link to the run's page in AML studio; at most some 2,500 characters.

    Facts of the event replace those that can't be read. The link has the form of azure-ai-ml
    (entities/_job/_studio_url_from_job_id.py).
    """
    run = report.run
    lines = [f"Status: {_name(_status(report, event))}"]
    if run is not None and run.display_name:
        lines.append(f"Name: {_name(run.display_name)}")
    # Run history does not always have the name; then the record has its id.
    experiment = event.experiment_name or (run.experiment if run is not None else "")
    if experiment:
        lines.append(f"Experiment: {_name(experiment)}")
    if run is not None:
        lines += _duration(run)
        lines += _reason(report, run)
    if report.gap:
        what = "The run" if run is None else "Part of the run"
        lines.append(f"{what} could not be read: {redact(report.gap, most=_GAP_MAX)}")
    root = (run.root_id if run is not None else "") or event.root_id or event.id
    lines.append(run_link(root, workspace, studio))
    return "\n".join(lines)


def is_good(report: RunReport, event: Run) -> bool | None:
    """Say whether it is good news, None if it is neither good nor bad."""
    status = _status(report, event).lower()
    if status == "completed":
        return True
    return False if status in _FAILED else None


def _status(report: RunReport, event: Run) -> str:
    """Return the run's status; run history may be behind the event, and the event may be old."""
    if report.run is not None and has_ended(report.run.status):
        return report.run.status
    return event.status or (report.run.status if report.run is not None else "") or "unknown"


def _duration(run: RunRecord) -> list[str]:
    if run.started_at is None:
        return ["Duration: it never started"] if run.ended_at is not None else []
    if run.ended_at is None or run.ended_at < run.started_at:
        return []
    return [f"Duration: {elapsed(run.ended_at - run.started_at)}"]


def _reason(report: RunReport, run: RunRecord) -> list[str]:
    """Return the step and its error, after the run's own error if that says more."""
    path = report.path
    is_step = run.root_id not in ("", run.id)
    names = [_name(step.step or step.display_name or step.id) for step in path]
    if is_step:
        names.insert(0, _name(run.step or run.display_name or run.id))
    others = f" (the first of {report.failed} that failed)" if report.failed > 1 else ""
    step = [f"Step: {' / '.join(names)}{others}"] if names else []
    if not path:
        return [*step, *_error(run)]
    own = [] if _has_only_step_error(run) else _error(run)
    with_error = [below for below in path if below.error.strip() or below.error_code]
    return [*own, *step, *(_error(with_error[-1]) if with_error else [])]


def _error(run: RunRecord) -> list[str]:
    code = _name(run.error_code)
    text = first_lines(run.error)
    if not code and not text:
        return []
    return [f"Error: {': '.join(part for part in (code, text) if part)}"]


def first_lines(error: str) -> str:
    """Return an error's first and last lines without secrets; a traceback's last ones say most."""
    lines = [line.rstrip() for line in redact(error, most=_READ_MAX).splitlines()]
    lines = [line for line in lines if line.strip()]
    if len(lines) > _HEAD_LINES + _TAIL_LINES:
        # The end of a cut error is left out, because half of a secret may stand there.
        tail = lines[-_TAIL_LINES:] if len(error) <= _READ_MAX else []
        lines = [*lines[:_HEAD_LINES], "…", *tail]
    return shortened("\n".join(lines), _ERROR_MAX)


def _name(text: str) -> str:
    return redact(flat(text), most=_NAME_MAX)


def run_link(run_id: str, workspace: Workspace, studio: str) -> str:
    """Return the address of a run's page in AML studio."""
    wsid = (
        f"/subscriptions/{workspace.subscription}/resourcegroups/{workspace.resource_group}"
        f"/workspaces/{workspace.name}"
    )
    return f"{studio}/runs/{quote(run_id[:_ID_MAX], safe='')}?wsid={wsid}"
