"""Target `github`: a workflow of GitHub Actions, by workflow_dispatch or repository_dispatch.

Sources: docs.github.com, rest/actions/workflows (create a workflow dispatch event), rest/repos
(create a repository dispatch event), rest/actions/workflow-runs, rate limits for the REST API,
workflow syntax (run-name); github.blog/changelog/2026-02-19 for `return_run_details`, which older
servers refuse as a key that they don't know. API version 2022-11-28 is what every supported
GitHub Enterprise Server takes; it is supported until March 2028 at least.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from shared.adapters.client import Answer, Client, encode, path_to
from shared.adapters.http import Http
from shared.adapters.refusals import TARGET, parse_retry_after
from shared.adapters.targets.values import (
    as_text,
    clean_id,
    clean_link,
    earliest_start,
    read_secret,
    runs_in,
)
from shared.base.clock import Clock
from shared.base.errors import TargetRefused, TargetThrottled
from shared.base.incoming import Json, write_time
from shared.base.settings import PUBLIC_GITHUB
from shared.retraining.targets import (
    REFERENCE,
    GitHubTarget,
    Submission,
    Submitted,
    TargetRun,
    TargetStatus,
)

TOKEN_SETTING = "SIGNALBOX_GITHUB_TOKEN"
_API_VERSION = "2022-11-28"
#: A run takes some 15 kB.
_PAGE = 30
_PAGES_MAX = 10
#: In bytes; GitHub accepts 64 kB. A longer payload goes without the facts of the drift.
_PAYLOAD_MAX = 60_000
#: The wait that GitHub asks for where it throttles without a time.
_THROTTLED = timedelta(minutes=1)

_SUCCEEDED = ("success", "neutral")
_DETAILS = "return_run_details"


class GitHub:
    """Starts workflows with the token of an app setting.

    The caller can't give a run an id: a run is found again by its name, where the workflow's
    `run-name` contains the reference.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        endpoint: str = PUBLIC_GITHUB,
        http: Http | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Reach GitHub's API at this address, with the token that these app settings have."""
        self._environ: Final = environ
        self._client: Final = Client(
            TARGET,
            http=http,
            clock=clock,
            root=endpoint,
            headers={
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": _API_VERSION,
            },
        )

    def submit(self, params: GitHubTarget, submission: Submission) -> Submitted:
        """Start a run, or find the one that was started for this submission.

        Where the run's name does not contain the reference, no run is found, and a dispatch whose
        answer was lost is made again.
        """
        doing = _doing("starting", params)
        if not submission.is_first and (run := self._find(params, submission, doing)):
            link = clean_link(run.get("html_url")) or self._link(params)
            return Submitted(run_id=clean_id(run.get("id")), link=link, found=True)
        body: Json
        if params.event:
            body = {"event_type": params.event, "client_payload": _payload(submission)}
            self._call("POST", params, doing, "dispatches", body=body)
            return Submitted(link=self._link(params))
        body = {"ref": params.ref, "inputs": _inputs(submission), _DETAILS: True}
        started = self._dispatch(params, doing, body).body
        link = clean_link(started.get("html_url")) or self._link(params)
        return Submitted(run_id=clean_id(started.get("workflow_run_id")), link=link)

    def look(self, params: GitHubTarget, submission: Submission, run_id: str) -> TargetRun:
        """Return where the run stands; without an id it is searched for by its name."""
        doing = _doing("looking at", params)
        run = self._get(params, run_id, doing) if run_id else self._find(params, submission, doing)
        if run is None or not isinstance(run.get("status"), str):
            return TargetRun(status=TargetStatus.UNKNOWN)
        if run["status"] != "completed":
            return TargetRun(status=TargetStatus.RUNNING)
        conclusion = clean_id(run.get("conclusion")) or "unknown"
        if conclusion in _SUCCEEDED:
            return TargetRun(status=TargetStatus.SUCCEEDED)
        reason = f"the run's conclusion is {conclusion}"
        return TargetRun(status=TargetStatus.FAILED, reason=reason)

    def _get(self, params: GitHubTarget, run_id: str, doing: str) -> Json | None:
        answer = self._call("GET", params, doing, "actions", "runs", run_id, expected=(404,))
        return answer.body if answer.is_good else None

    def _dispatch(self, params: GitHubTarget, doing: str, body: Json) -> Answer:
        call = ("actions", "workflows", params.workflow, "dispatches")
        answer = self._call("POST", params, doing, *call, body=body, expected=(400, 422))
        if not answer.is_good and _DETAILS in str(answer.body.get("message", "")):
            plain = {name: value for name, value in body.items() if name != _DETAILS}
            answer = self._call("POST", params, doing, *call, body=plain)
        if not answer.is_good:
            raise self._client.refusal(doing, answer)
        return answer

    def _find(self, params: GitHubTarget, submission: Submission, doing: str) -> Json | None:
        """Return the first run whose name contains the reference, or None."""
        found = None
        for run in self._runs(params, submission, doing):
            title = f"{run.get('display_title')} {run.get('name')}"
            if submission.reference in title:
                found = run  # the newest come first
        return found

    def _runs(self, params: GitHubTarget, submission: Submission, doing: str) -> Iterator[Json]:
        query: dict[str, str | int] = {
            "event": "repository_dispatch" if params.event else "workflow_dispatch",
            "created": f">={write_time(earliest_start(submission))}",
            "exclude_pull_requests": "true",
            "per_page": _PAGE,
        }
        of_workflow = ("workflows", params.workflow) if params.workflow else ()
        for page in range(1, _PAGES_MAX + 1):
            call = ("actions", *of_workflow, "runs")
            answer = self._call("GET", params, doing, *call, query={**query, "page": page})
            runs = runs_in(answer, "workflow_runs", doing)
            yield from runs
            if len(runs) < _PAGE:
                return
        raise TargetRefused(f"{doing}: too many runs to look through")

    def _call(
        self,
        method: str,
        params: GitHubTarget,
        doing: str,
        *segments: str,
        query: dict[str, str | int] | None = None,
        body: Json | None = None,
        expected: tuple[int, ...] = (),
    ) -> Answer:
        token = read_secret(self._environ, TOKEN_SETTING, doing)
        owner, _, name = params.repository.partition("/")
        answer = self._client.call(
            method,
            path_to("repos", owner, name, *segments, error=TargetRefused),
            doing,
            query=query or {},
            headers={"Authorization": f"Bearer {token}"},
            body=body,
            expected=(*expected, 403, 429),
        )
        if answer.status in (403, 429):
            raise self._throttle(doing, answer) or self._client.refusal(doing, answer)
        return answer

    def _throttle(self, doing: str, answer: Answer) -> TargetThrottled | None:
        """Return the error for a 403 or 429 that is about too many requests, or None."""
        refusal = self._client.refusal(doing, answer)
        wait = parse_retry_after(answer.headers, self._client.clock)
        if wait is None:
            is_spent = answer.headers.get("x-ratelimit-remaining") == "0"
            is_secondary = "rate limit" in refusal.message.lower()
            if answer.status != 429 and not is_spent and not is_secondary:
                return None
            reset = answer.headers.get("x-ratelimit-reset", "")
            wait = _THROTTLED
            if is_spent and re.fullmatch(r"\d{1,11}", reset):
                seconds = int(reset) - int(self._client.clock.now().timestamp())
                wait = max(timedelta(seconds=seconds), timedelta(0))
        return TargetThrottled(refusal.message, retry_after=wait)

    def _link(self, params: GitHubTarget) -> str:
        """Return where people see the runs: GitHub's site, beside its API."""
        parts = urlsplit(self._client.root)
        host = parts.netloc.removeprefix("api.")
        workflow = ("workflows", params.workflow) if params.workflow else ()
        owner, _, name = params.repository.partition("/")
        path = path_to(owner, name, "actions", *workflow, error=TargetRefused)
        return clean_link(f"https://{host}{path}")


def _inputs(submission: Submission) -> dict[str, str]:
    values = {**submission.inputs, REFERENCE: submission.reference}
    return {name: as_text(value) for name, value in values.items()}


def _payload(submission: Submission) -> dict[str, Any]:
    """Return the facts under few keys, because GitHub accepts ten."""
    payload: dict[str, Any] = {
        REFERENCE: submission.reference,
        "id": submission.id,
        "workspace": submission.workspace.id,
        "inputs": submission.inputs,
        "drift": submission.drift,
    }
    if len(encode(payload)) > _PAYLOAD_MAX:
        del payload["drift"]
    return payload


def _doing(verb: str, params: GitHubTarget) -> str:
    what = f"event {params.event!r}" if params.event else f"workflow {params.workflow!r}"
    return f"{verb} {what} of {params.repository!r} on GitHub"
