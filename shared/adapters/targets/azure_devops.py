"""Target `azure_devops`: a run of a YAML pipeline of Azure DevOps.

Sources: learn.microsoft.com/rest/api/azure/devops, pipelines/runs/run-pipeline, pipelines/runs/get
and build/builds/list, all 7.1; its page on service principals and managed identities for the token.
The list of runs has no filter and no longer has parameters (MicrosoftDocs/vsts-rest-api-specs#579),
so runs are searched for in the list of builds, which has both. The id of a build is that of its
run.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from shared.adapters.client import Answer, Client, path_to, with_query
from shared.adapters.http import Http
from shared.adapters.identity import Tokens
from shared.adapters.refusals import TARGET
from shared.adapters.targets.values import as_text, clean_id, earliest_start, runs_in
from shared.base.errors import TargetDenied, TargetRefused, TargetUnreachable
from shared.base.incoming import Json, write_time
from shared.base.settings import PUBLIC_DEVOPS
from shared.retraining.targets import (
    REFERENCE,
    AzureDevOpsTarget,
    Submission,
    Submitted,
    TargetRun,
    TargetStatus,
)

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

#: The audience of tokens for Azure DevOps, in every tenant.
AUDIENCE = "499b84ac-1321-427f-aa17-267ca6975798"
_API_VERSION = "7.1"
#: A build takes some 4 kB.
_PAGE = 100
_PAGES_MAX = 5
#: Its answers to strangers: pages on which people sign in.
_SIGN_IN_PAGES = (203, 301, 302, 303, 307)

_RESULTS = {"succeeded": TargetStatus.SUCCEEDED, "failed": TargetStatus.FAILED}


class AzureDevOps:
    """Runs pipelines as the app's identity, which has to be a user of the organization.

    The caller can't give a run an id. A run is found again by its parameter REFERENCE, or by its
    name where that contains the reference.
    """

    def __init__(
        self,
        credential: "Callable[[], TokenCredential]",
        *,
        endpoint: str = PUBLIC_DEVOPS,
        http: Http | None = None,
    ) -> None:
        """Reach the organizations at this address."""
        self._client: Final = Client(
            TARGET,
            http=http,
            tokens=Tokens(credential, AUDIENCE),
            root=endpoint,
            query={"api-version": _API_VERSION},
        )

    def submit(self, params: AzureDevOpsTarget, submission: Submission) -> Submitted:
        """Start a run, or find the one that was started for this submission."""
        doing = _doing("starting", params)
        if not submission.is_first and (found := self._find(params, submission, doing)):
            return Submitted(run_id=found, link=self._link(params, found), found=True)
        branch = params.branch
        values = {**submission.inputs, REFERENCE: submission.reference}
        body = {
            "resources": {
                "repositories": {
                    "self": {
                        "refName": branch if branch.startswith("refs/") else f"refs/heads/{branch}"
                    }
                }
            },
            "templateParameters": {name: as_text(value) for name, value in values.items()},
        }
        pipeline = ("pipelines", params.pipeline, "runs")
        answer = self._call("POST", params, doing, *pipeline, body=body)
        run_id = clean_id(answer.body.get("id"))
        if not run_id:
            raise TargetUnreachable(f"{doing}: the answer names no run")
        return Submitted(run_id=run_id, link=self._link(params, run_id))

    def look(self, params: AzureDevOpsTarget, submission: Submission, run_id: str) -> TargetRun:
        """Return where the run stands; the API does not say why a run failed."""
        doing = _doing("looking at", params)
        run_id = run_id or self._find(params, submission, doing)
        if not run_id:
            return TargetRun(status=TargetStatus.UNKNOWN)
        run = ("pipelines", params.pipeline, "runs", run_id)
        answer = self._call("GET", params, doing, *run, expected=(404,))
        state, result = answer.body.get("state"), answer.body.get("result")
        if state in ("inProgress", "canceling"):
            return TargetRun(status=TargetStatus.RUNNING)
        if state == "completed" and result == "canceled":
            return TargetRun(status=TargetStatus.FAILED, reason="the run was canceled")
        if state != "completed" or result not in _RESULTS:
            return TargetRun(status=TargetStatus.UNKNOWN)
        status = _RESULTS[result]
        reason = "the run failed" if status is TargetStatus.FAILED else ""
        return TargetRun(status=status, reason=reason)

    def _find(self, params: AzureDevOpsTarget, submission: Submission, doing: str) -> str:
        """Return the id of the first run for this submission, "" where there is none."""
        since = write_time(earliest_start(submission))
        for build in self._builds(params, since, doing):
            given = build.get("templateParameters")
            is_given = isinstance(given, dict) and given.get(REFERENCE) == submission.reference
            if is_given or submission.reference in str(build.get("buildNumber", "")):
                return clean_id(build.get("id"))
        return ""

    def _builds(self, params: AzureDevOpsTarget, since: str, doing: str) -> Iterator[Json]:
        query: dict[str, str | int] = {
            "definitions": params.pipeline,
            "minTime": since,
            "queryOrder": "queueTimeAscending",
            "$top": _PAGE,
        }
        for _ in range(_PAGES_MAX):
            answer = self._call("GET", params, doing, "build", "builds", query=query)
            yield from runs_in(answer, "value", doing)
            token = answer.headers.get("x-ms-continuationtoken")
            if not token:
                return
            query["continuationToken"] = token
        raise TargetRefused(f"{doing}: too many runs to look through")

    def _call(
        self,
        method: str,
        params: AzureDevOpsTarget,
        doing: str,
        *segments: str | int,
        query: dict[str, str | int] | None = None,
        body: Json | None = None,
        expected: tuple[int, ...] = (),
    ) -> Answer:
        place = (params.organization, params.project, "_apis", *segments)
        answer = self._client.call(
            method,
            path_to(*place, error=TargetRefused),
            doing,
            query=query or {},
            body=body,
            expected=(*expected, *_SIGN_IN_PAGES),
        )
        if answer.status in _SIGN_IN_PAGES:
            raise TargetDenied(f"{doing}: it answers with a page to sign in at")
        return answer

    def _link(self, params: AzureDevOpsTarget, run_id: str) -> str:
        place = (params.organization, params.project, "_build", "results")
        page = f"{self._client.root}{path_to(*place, error=TargetRefused)}"
        return with_query(page, {"buildId": run_id})


def _doing(verb: str, params: AzureDevOpsTarget) -> str:
    place = f"{params.organization}/{params.project}"
    return f"{verb} pipeline {params.pipeline} of {place!r} in Azure DevOps"
