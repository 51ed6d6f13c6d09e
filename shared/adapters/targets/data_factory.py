"""Target `data_factory`: a run of a pipeline of Azure Data Factory.

Sources: learn.microsoft.com/rest/api/datafactory, pipelines/create-run, pipelines/get,
pipeline-runs/get and pipeline-runs/query-by-factory; Azure/azure-rest-api-specs, datafactory.json
2018-06-01. The address of a run in the studio is the one that its users copy; no source of
Microsoft's has it.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from shared.adapters.client import Answer, Client, path_to
from shared.adapters.http import Http
from shared.adapters.identity import Tokens
from shared.adapters.refusals import TARGET
from shared.adapters.targets.values import CLOCK_MARGIN, clean_id, earliest_start, runs_in
from shared.base.clock import Clock
from shared.base.errors import TargetRefused, TargetUnreachable
from shared.base.incoming import Json, write_time
from shared.base.redact import redact
from shared.base.settings import PUBLIC_ARM
from shared.retraining.targets import (
    REFERENCE,
    DataFactoryTarget,
    Submission,
    Submitted,
    TargetRun,
    TargetStatus,
)

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

_API_VERSION = "2018-06-01"
_STUDIO = "https://adf.azure.com/en/monitoring/pipelineruns"
#: Pages of runs since the first try: nobody starts more in that time.
_PAGES_MAX = 10

_STATUSES = {
    "Queued": TargetStatus.RUNNING,
    "InProgress": TargetStatus.RUNNING,
    "Canceling": TargetStatus.RUNNING,
    "Succeeded": TargetStatus.SUCCEEDED,
    "Failed": TargetStatus.FAILED,
    "Cancelled": TargetStatus.FAILED,
}


class DataFactory:
    """Runs pipelines as the app's identity.

    The caller can't give a run an id: a run is found again by its parameter REFERENCE. A pipeline
    that does not declare it is not started, because no documentation says what becomes of such a
    parameter.
    """

    def __init__(
        self,
        credential: "Callable[[], TokenCredential]",
        *,
        endpoint: str = PUBLIC_ARM,
        http: Http | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Reach the factories through this Azure Resource Manager."""
        self._client: Final = Client(
            TARGET,
            http=http,
            clock=clock,
            tokens=Tokens(credential, endpoint),
            root=endpoint,
            query={"api-version": _API_VERSION},
        )

    def submit(self, params: DataFactoryTarget, submission: Submission) -> Submitted:
        """Start a run, or find the one that was started for this submission."""
        doing = _doing("starting", params)
        if not submission.is_first and (found := self._find(params, submission, doing)):
            return Submitted(run_id=found, link=self._link(params, found), found=True)
        values = {**submission.inputs, REFERENCE: submission.reference}
        self._check_declared(params, values, doing)
        answer = self._call(
            "POST", params, doing, "pipelines", params.pipeline, "createRun", body=values
        )
        run_id = clean_id(answer.body.get("runId"))
        if not run_id:
            raise TargetUnreachable(f"{doing}: the answer names no run")
        return Submitted(run_id=run_id, link=self._link(params, run_id))

    def look(self, params: DataFactoryTarget, submission: Submission, run_id: str) -> TargetRun:
        """Return where the run stands; a run is forgotten after 45 days."""
        doing = _doing("looking at", params)
        run_id = run_id or self._find(params, submission, doing)
        if not run_id:
            return TargetRun(status=TargetStatus.UNKNOWN)
        answer = self._call("GET", params, doing, "pipelineruns", run_id, expected=(404,))
        word = str(answer.body.get("status", "")) if answer.is_good else ""
        status = _STATUSES.get(word, TargetStatus.UNKNOWN)
        if status is not TargetStatus.FAILED:
            return TargetRun(status=status)
        reason = redact(str(answer.body.get("message") or ""))
        return TargetRun(status=status, reason=reason or f"the run was {word.lower()}")

    def _find(self, params: DataFactoryTarget, submission: Submission, doing: str) -> str:
        """Return the id of the first run for this submission, "" where there is none."""
        query = {
            "lastUpdatedAfter": write_time(earliest_start(submission)),
            "lastUpdatedBefore": write_time(self._client.clock.now() + CLOCK_MARGIN),
            "filters": [
                {"operand": "PipelineName", "operator": "Equals", "values": [params.pipeline]}
            ],
            "orderBy": [{"orderBy": "RunStart", "order": "ASC"}],
        }
        for run in self._runs(params, query, doing):
            given = run.get("parameters")
            if isinstance(given, dict) and given.get(REFERENCE) == submission.reference:
                return clean_id(run.get("runId"))
        return ""

    def _runs(self, params: DataFactoryTarget, query: Json, doing: str) -> Iterator[Json]:
        token = None
        for _ in range(_PAGES_MAX):
            body = query if token is None else {**query, "continuationToken": token}
            answer = self._call("POST", params, doing, "queryPipelineRuns", body=body)
            yield from runs_in(answer, "value", doing)
            token = answer.body.get("continuationToken")
            if not token:
                return
        raise TargetRefused(f"{doing}: too many runs to look through")

    def _check_declared(self, params: DataFactoryTarget, values: Json, doing: str) -> None:
        answer = self._call("GET", params, doing, "pipelines", params.pipeline)
        properties = answer.body.get("properties")
        if not isinstance(properties, dict):
            raise TargetUnreachable(f"{doing}: the answer is no pipeline")
        found = properties.get("parameters")
        declared = found if isinstance(found, dict) else {}
        missing = sorted(name for name in values if name not in declared)
        if missing:
            raise TargetRefused(
                f"{doing}: the pipeline declares no parameter {', '.join(missing)}",
                hint="Declare it in the pipeline and publish that, then replay the letter.",
            )

    def _call(
        self,
        method: str,
        params: DataFactoryTarget,
        doing: str,
        *segments: str,
        body: Json | None = None,
        expected: tuple[int, ...] = (),
    ) -> Answer:
        factory = params.factory.strip("/").split("/")
        path = path_to(*factory, *segments, error=TargetRefused)
        return self._client.call(method, path, doing, body=body, expected=expected)

    def _link(self, params: DataFactoryTarget, run_id: str) -> str:
        if self._client.root != PUBLIC_ARM:  # another cloud has another studio
            return ""
        factory = quote(params.factory, safe="")
        return f"{_STUDIO}/{quote(run_id, safe='')}?factory={factory}"


def _doing(verb: str, params: DataFactoryTarget) -> str:
    factory = params.factory.rpartition("/")[2]
    return f"{verb} pipeline {params.pipeline!r} of data factory {factory!r}"
