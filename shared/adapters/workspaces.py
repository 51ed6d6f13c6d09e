"""The AML workspaces, through Azure Resource Manager and the endpoints' own addresses."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError
from azure.core.pipeline.transport import HttpTransport

from shared.adapters import documents
from shared.adapters.arm import PUBLIC_ENDPOINT, Answer, Arm, failure, segment
from shared.adapters.arm_errors import parse_complaint, parse_retry_after
from shared.adapters.lazy import Lazy
from shared.adapters.scoring import ScoringClient
from shared.clock import Clock, SystemClock
from shared.errors import WorkspaceRefused
from shared.events import Workspace
from shared.workspaces import (
    Deployment,
    DeploymentSpec,
    Endpoint,
    ModelVersion,
    Operation,
    OperationResult,
    OperationStatus,
    Score,
)

#: Whom a token is meant for that an endpoint with Microsoft Entra authentication takes.
SCORING_AUDIENCE = "https://ml.azure.com"

#: How long an endpoint's key is kept; a rotated one is noticed before, by a 401.
_SECRET_LIFETIME = timedelta(minutes=5)
#: An endpoint has at most 20 deployments: more pages than this are a fault of the service.
_PAGES_MAX = 20

_ENDED = {
    "succeeded": OperationStatus.SUCCEEDED,
    "failed": OperationStatus.FAILED,
    "canceled": OperationStatus.FAILED,
}


@dataclass(frozen=True, slots=True)
class _Secret:
    text: str = field(repr=False)
    good_until: datetime


class ArmWorkspaces:
    """Every workspace that the app's identity can reach, safe to share between threads.

    Each call is one request, but for what is remembered: a workspace's location, which is read
    before its first write, and an endpoint's key, which is read before its first score.
    """

    def __init__(
        self,
        credential: Callable[[], TokenCredential],
        *,
        arm_endpoint: str = PUBLIC_ENDPOINT,
        scoring_audience: str = SCORING_AUDIENCE,
        ca_path: str | None = None,
        transport: Callable[[], HttpTransport[Any, Any]] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Connect on first use; `credential` is called then, once.

        `ca_path` names a PEM file of authorities in place of the usual ones; `transport` replaces
        what carries the requests to ARM, for tests.
        """
        self._clock: Final = clock or SystemClock()
        self._credential: Final = Lazy(credential)
        self._arm: Final = Arm(
            self._credential,
            endpoint=arm_endpoint,
            ca_path=ca_path,
            transport=transport,
            clock=self._clock,
        )
        self._scoring: Final = ScoringClient(ca_path=ca_path)
        self._scoring_audience: Final = scoring_audience
        self._locations: dict[str, str] = {}
        self._secrets: dict[str, _Secret] = {}

    def get_model(self, workspace: Workspace, name: str, version: str) -> ModelVersion | None:
        """Return the model version, or None."""
        path = f"{_path(workspace)}/models/{segment(name)}/versions/{segment(version)}"
        answer = self._arm.call("GET", path, f"reading model {name}:{version}", expected=(404,))
        if answer.status == 404:
            return None
        return documents.parse_model(name, version, answer.body)

    def get_endpoint(self, workspace: Workspace, endpoint: str) -> Endpoint | None:
        """Return the online endpoint, or None."""
        path = _endpoint_path(workspace, endpoint)
        answer = self._arm.call("GET", path, f"reading endpoint {endpoint!r}", expected=(404,))
        return None if answer.status == 404 else documents.parse_endpoint(answer.body)

    def list_deployments(self, workspace: Workspace, endpoint: str) -> tuple[Deployment, ...]:
        """Return the endpoint's deployments; () where there is no endpoint."""
        pages = self._pages(
            f"{_endpoint_path(workspace, endpoint)}/deployments",
            f"listing the deployments of endpoint {endpoint!r}",
        )
        return tuple(
            documents.parse_deployment(item)
            for page in pages
            for item in page.body.get("value") or ()
        )

    def create_endpoint(
        self, workspace: Workspace, endpoint: str, *, auth_mode: str, tags: Mapping[str, str]
    ) -> Operation:
        """Start creating a managed online endpoint; `auth_mode` is "key" or "aad_token"."""
        body = documents.new_endpoint(self._location(workspace), auth_mode, tags)
        path = _endpoint_path(workspace, endpoint)
        return self._start("PUT", path, f"creating endpoint {endpoint!r}", body)

    def create_deployment(
        self, workspace: Workspace, endpoint: str, deployment: str, spec: DeploymentSpec
    ) -> Operation:
        """Start creating a managed online deployment; it gets no traffic."""
        body = documents.new_deployment(self._location(workspace), spec)
        path = _deployment_path(workspace, endpoint, deployment)
        return self._start("PUT", path, f"creating deployment {deployment!r}", body)

    def set_traffic(
        self,
        workspace: Workspace,
        endpoint: Endpoint,
        traffic: Mapping[str, int],
        tags: Mapping[str, str],
    ) -> Operation:
        """Start setting the whole split and merging `tags`; keep all else of the endpoint.

        The service knows no conditional writes here: what changed since the endpoint was read is
        overwritten.
        """
        body = documents.with_traffic(endpoint.document, traffic, tags)
        path = _endpoint_path(workspace, endpoint.name)
        return self._start("PUT", path, f"setting the traffic of {endpoint.name!r}", body)

    def delete_deployment(self, workspace: Workspace, endpoint: str, deployment: str) -> Operation:
        """Start deleting the deployment, absent or not."""
        path = _deployment_path(workspace, endpoint, deployment)
        return self._start("DELETE", path, f"deleting deployment {deployment!r}", expected=(404,))

    def get_operation(self, operation: Operation) -> OperationResult:
        """Return where the operation stands; UNKNOWN where the service named or keeps none.

        A failure for want of quota has the code OutOfQuota, whatever the service calls it.
        """
        if not operation.url:
            return OperationResult(status=OperationStatus.UNKNOWN)
        answer = self._arm.follow(operation.url, "reading an operation", expected=(404, 410))
        status = _parse_status(answer)
        failed = status is OperationStatus.FAILED
        complaint = parse_complaint(answer.body if failed else {})
        return OperationResult(
            status=status,
            code=complaint.code or (str(answer.body.get("status", "")) if failed else ""),
            message=complaint.message,
            retry_after=parse_retry_after(answer.headers, self._clock),
        )

    def get_logs(self, workspace: Workspace, endpoint: str, deployment: str, *, lines: int) -> str:
        """Return the last lines of the container's log; "" where there is none."""
        answer = self._arm.call(
            "POST",
            f"{_deployment_path(workspace, endpoint, deployment)}/getLogs",
            f"reading the log of deployment {deployment!r}",
            body={"containerType": "InferenceServer", "tail": lines},
            expected=(404,),
        )
        return "" if answer.status == 404 else str(answer.body.get("content") or "")

    def score(
        self,
        workspace: Workspace,
        endpoint: Endpoint,
        deployment: str,
        body: bytes,
        *,
        timeout: timedelta,
    ) -> Score:
        """Send one scoring request straight to the deployment and return the answer."""
        path = _endpoint_path(workspace, endpoint.name)
        is_known = path in self._secrets
        secret = self._secret(path, endpoint)
        url = endpoint.scoring_uri
        answer = self._scoring.send(url, deployment, secret, body, timeout=timeout)
        if answer.status != 401 or not is_known:
            return answer
        # The key that was kept may have been renewed.
        self._secrets.pop(path, None)
        secret = self._secret(path, endpoint)
        return self._scoring.send(url, deployment, secret, body, timeout=timeout)

    def close(self) -> None:
        """Close the connections; only a process that goes on without them needs to."""
        self._arm.close()
        self._scoring.close()

    def _start(
        self,
        method: str,
        path: str,
        doing: str,
        body: documents.Json | None = None,
        *,
        expected: tuple[int, ...] = (),
    ) -> Operation:
        answer = self._arm.call(method, path, doing, body=body, expected=expected)
        headers = answer.headers
        return Operation(
            url=headers.get("azure-asyncoperation") or headers.get("location") or "",
            retry_after=parse_retry_after(headers, self._clock),
        )

    def _pages(self, path: str, doing: str) -> Iterator[Answer]:
        answer = self._arm.call("GET", path, doing, expected=(404,))
        for _ in range(_PAGES_MAX):
            if answer.status == 404:
                return
            yield answer
            following = answer.body.get("nextLink")
            if not following:
                return
            answer = self._arm.follow(str(following), doing)
        raise WorkspaceRefused(f"{doing}: the list does not end after {_PAGES_MAX} pages")

    def _location(self, workspace: Workspace) -> str:
        # A workspace never moves.
        known = self._locations.get(workspace.key)
        if known is None:
            answer = self._arm.call(
                "GET", _path(workspace), f"reading workspace {workspace.name!r}"
            )
            known = self._locations[workspace.key] = str(answer.body.get("location") or "")
        return known

    def _secret(self, path: str, endpoint: Endpoint) -> str:
        if endpoint.auth_mode.lower() == "aadtoken":
            return self._token()
        kept = self._secrets.get(path)
        if kept is None or kept.good_until <= self._clock.now():
            text = self._read_secret(path, endpoint)
            kept = _Secret(text, self._clock.now() + _SECRET_LIFETIME)
            self._secrets[path] = kept
        return kept.text

    def _read_secret(self, path: str, endpoint: Endpoint) -> str:
        doing = f"reading the key of endpoint {endpoint.name!r}"
        if endpoint.auth_mode.lower() == "key":
            answer, name = self._arm.call("POST", f"{path}/listKeys", doing), "primaryKey"
        else:
            answer, name = self._arm.call("POST", f"{path}/token", doing), "accessToken"
        secret = answer.body.get(name)
        if not isinstance(secret, str) or not secret:
            raise WorkspaceRefused(f"{doing}: the answer has none")
        return secret

    def _token(self) -> str:
        try:
            return self._credential().get_token(f"{self._scoring_audience}/.default").token
        except AzureError as error:
            raise failure("signing in to call an endpoint", error) from error


def _parse_status(answer: Answer) -> OperationStatus:
    if answer.status in (404, 410):
        return OperationStatus.UNKNOWN
    properties = answer.body.get("properties")
    state = properties.get("provisioningState") if isinstance(properties, Mapping) else None
    status = answer.body.get("status") or state
    if status:
        return _ENDED.get(str(status).lower(), OperationStatus.RUNNING)
    # An address from a Location header tells it by the HTTP status alone.
    return OperationStatus.RUNNING if answer.status == 202 else OperationStatus.SUCCEEDED


def _path(workspace: Workspace) -> str:
    return (
        f"/subscriptions/{segment(workspace.subscription)}"
        f"/resourceGroups/{segment(workspace.resource_group)}"
        f"/providers/Microsoft.MachineLearningServices/workspaces/{segment(workspace.name)}"
    )


def _endpoint_path(workspace: Workspace, endpoint: str) -> str:
    return f"{_path(workspace)}/onlineEndpoints/{segment(endpoint)}"


def _deployment_path(workspace: Workspace, endpoint: str, deployment: str) -> str:
    return f"{_endpoint_path(workspace, endpoint)}/deployments/{segment(deployment)}"
