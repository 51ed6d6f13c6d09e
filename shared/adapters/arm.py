"""A thin client of Azure Resource Manager: one call, one request, our errors.

Why not azure-ai-ml, operation by operation. All of it costs 2 s and 80 MB at import. Then:

- get_model, list_deployments: the same single request, at twice the time.
- get_endpoint: reads the deployments as well, and fails whole when one of them lacks a field.
- create_endpoint, set_traffic: reads the workspace before each write; lower-cases the names in the
  split and drops its zeros; leaves out what its model of an endpoint does not know.
- create_deployment: reads endpoint and workspace before each write; starts a thread that polls
  every 5 s until the end, which nothing stops.
- delete_deployment: the same thread. get_logs: the same request.
- get_operation: has none, while only the operation's document has the reason of a failure.
- score: its headers are shared by all calls of the process, so that one call's deployment and key
  leak into the next; four requests each.

Its bodies are right, though: a contract test compares ours with them.
"""

import json
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from azure.core import PipelineClient
from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.core.pipeline.policies import (
    BearerTokenCredentialPolicy,
    HeadersPolicy,
    RequestIdPolicy,
    RetryPolicy,
    UserAgentPolicy,
)
from azure.core.pipeline.transport import HttpTransport, RequestsTransport
from azure.core.rest import HttpRequest, HttpResponse

from shared.adapters.arm_errors import parse_retry_after, refusal
from shared.adapters.lazy import Lazy
from shared.clock import Clock, SystemClock
from shared.errors import SignalboxError, WorkspaceDenied, WorkspaceRefused, WorkspaceUnreachable
from shared.redact import redact

#: The newest stable version; it has all that is used here.
API_VERSION = "2025-12-01"
PUBLIC_ENDPOINT = "https://management.azure.com"

#: In seconds. A trigger has 20 in all.
CONNECT_TIMEOUT = 5
_READ_TIMEOUT = 10

type Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What ARM answered. Header names are in lower case; the body is {} where there is none."""

    status: int
    headers: Mapping[str, str]
    body: Json


class Arm:
    """Sends requests to ARM as the app, safe to share between threads.

    Raises from every call: WorkspaceUnreachable, WorkspaceThrottled, WorkspaceBusy,
    WorkspaceDenied, WorkspaceRefused, QuotaExceeded.
    """

    def __init__(
        self,
        credential: Callable[[], TokenCredential],
        *,
        endpoint: str = PUBLIC_ENDPOINT,
        ca_path: str | None = None,
        transport: Callable[[], HttpTransport[Any, Any]] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Connect on first use.

        `ca_path` names a PEM file of authorities in place of the usual ones; `transport` replaces
        what carries the requests, for tests.
        """
        self._endpoint: Final = endpoint.rstrip("/")
        self._verify: Final = True if ca_path is None else ca_path
        self._credential: Final = credential
        self._transport: Final = transport or self._make_transport
        self.clock: Final = clock or SystemClock()
        self._client: Final = Lazy(self._make_client)

    def call(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        body: Json | None = None,
        expected: Container[int] = (),
    ) -> Answer:
        """Send a request about the resource at `path`.

        An error status raises, except where it is `expected`. `doing` opens the error's message.
        """
        url = f"{self._endpoint}{path}?api-version={API_VERSION}"
        answer = self._send(HttpRequest(method, url, json=body), doing, expected)
        if method == "GET" and answer.status == 200 and not answer.body:
            raise WorkspaceUnreachable(f"{doing}: the answer is no document")
        return answer

    def follow(self, url: str, doing: str, *, expected: Container[int] = ()) -> Answer:
        """Get an address that ARM gave us, exactly as it is: some are signed.

        Raises: WorkspaceRefused where it leads elsewhere; our token goes nowhere but to ARM.
        """
        if not self._is_ours(url):
            raise WorkspaceRefused(f"{doing}: the address leads away from {self._endpoint}")
        return self._send(HttpRequest("GET", url), doing, expected)

    def close(self) -> None:
        """Close the connections; only a process that goes on without them needs to."""
        if client := self._client.made:
            client.close()

    def _is_ours(self, url: str) -> bool:
        # No parsing: parsers disagree about odd addresses, and the slash ends the host for all.
        roots = (f"{self._endpoint}/", f"{self._endpoint}:443/")
        return url.lower().startswith(tuple(root.lower() for root in roots))

    def _send(self, request: HttpRequest, doing: str, expected: Container[int]) -> Answer:
        try:
            response = self._client().send_request(request)
        except AzureError as error:
            raise failure(doing, error) from error
        answer = _read(response)
        is_good = 200 <= answer.status < 300
        if not is_good and answer.status not in expected:
            wait = parse_retry_after(answer.headers, self.clock)
            raise refusal(doing, answer.status, answer.body, retry_after=wait)
        return answer

    def _make_client(self) -> PipelineClient[HttpRequest, HttpResponse]:
        policies = [
            RequestIdPolicy(),
            HeadersPolicy({"Accept": "application/json"}),
            UserAgentPolicy(base_user_agent="signalbox"),
            # Only a connection that was never made is tried again at once. Letters and ticks do
            # the waiting: the SDK would sleep for as long as the service says, without end.
            RetryPolicy(
                retry_total=1, retry_connect=1, retry_read=0, retry_status=0, retry_backoff_factor=0
            ),
            BearerTokenCredentialPolicy(self._credential(), f"{self._endpoint}/.default"),
        ]
        return PipelineClient(self._endpoint, policies=policies, transport=self._transport())

    def _make_transport(self) -> HttpTransport[Any, Any]:
        transport: HttpTransport[Any, Any] = RequestsTransport(
            connection_timeout=CONNECT_TIMEOUT,
            read_timeout=_READ_TIMEOUT,
            connection_verify=self._verify,
        )
        return transport


def failure(doing: str, error: AzureError) -> SignalboxError:
    """Return the error for a request that got no answer, or for which there was no token."""
    is_denied = isinstance(error, ClientAuthenticationError) and (error.status_code or 0) < 500
    if is_denied:
        reason = redact(str(error).partition("\n")[0], most=300)
        return WorkspaceDenied(f"{doing}: the app could not sign in: {reason}")
    return WorkspaceUnreachable(f"{doing}: no answer ({type(error).__name__})")


def segment(name: str) -> str:
    """Return a name as one segment of a path.

    Raises: WorkspaceRefused for what is no name: names come from events, and `..` would be taken
    for the way up.
    """
    if name in ("", ".", ".."):
        raise WorkspaceRefused(f"nothing in a workspace can be named {name!r}")
    return quote(name, safe="")


def _read(response: HttpResponse) -> Answer:
    try:
        body = json.loads(response.content)
    except ValueError:
        body = {}
    return Answer(
        status=response.status_code,
        headers={name.lower(): value for name, value in response.headers.items()},
        body=body if isinstance(body, dict) else {},
    )
