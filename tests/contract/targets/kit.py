"""Submissions to targets of other services, and the bench that each is tried on."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.services.github import GitHub as GitHubService
from sandbox.services.server import Service
from shared.adapters.http import Http
from shared.adapters.targets.github import GitHub
from shared.events.model import Workspace
from shared.retraining.targets import (
    REFERENCE,
    GitHubTarget,
    Submission,
    Submitted,
    Target,
    TargetRun,
    TargetStatus,
)

FACTORY = "/subscriptions/sub-1/resourceGroups/rg-1/providers/Microsoft.DataFactory/factories/adf-1"
TOKEN = "github_pat_11AAAAAAA0abcdefghijkl"
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
OLD_SECRET = "whsec_" + base64.b64encode(b"o" * 24).decode()
PATH = "/hooks/8f14e45fceea167a5a36dedd4bea2543?code=s3cr3t-c0de"
SUBMISSION = Submission(
    id="a" * 32,
    reference=f"{'b' * 32}-{'a' * 32}",
    workspace=Workspace(subscription="sub-1", resource_group="rg-1", name="ws-a"),
    since=datetime.now(UTC),
    is_first=True,
    inputs={"days": 30, "rate": 0.5, "full": True, "data": "azureml:churn:4"},
    tags={"signalbox_reaction": "retrain-churn"},
    drift={"monitor": "churn", "features": ["age"], "worst": float("inf")},
)
AGAIN = replace(SUBMISSION, is_first=False)
NAMES = (*SUBMISSION.inputs, REFERENCE)
RUNNING = TargetRun(status=TargetStatus.RUNNING)
UNKNOWN = TargetRun(status=TargetStatus.UNKNOWN)
SUCCEEDED = TargetRun(status=TargetStatus.SUCCEEDED)


class Clock:
    """The machine's clock, or one that is off by so much."""

    def __init__(self) -> None:
        self.off = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.off


@dataclass(kw_only=True)
class Bench:
    """A target, its service, and what the common tests need to know of both."""

    target: Target[Any]
    service: Service
    params: Any
    absent: Any  #: A target that is not there.
    started: Callable[[], int]
    deny: Callable[[], object]
    secrets: tuple[str, ...]
    finds: bool = True  #: Whether what was started is found again.

    def submit(self, submission: Submission = SUBMISSION) -> Submitted:
        return self.target.submit(self.params, submission)

    def look(self, run_id: str) -> TargetRun:
        return self.target.look(self.params, SUBMISSION, run_id)


def make_github(
    service: GitHubService, http: Http, environ: dict[str, str], clock: Clock, **way: str
) -> Bench:
    return Bench(
        target=GitHub(environ, endpoint=service.url, http=http, clock=clock),
        service=service,
        params=GitHubTarget(repository="contoso/churn", **way),
        absent=GitHubTarget(repository="contoso/other", **way),
        started=lambda: len(service.runs),
        deny=lambda: service.tokens[TOKEN].clear(),
        secrets=(TOKEN,),
    )
