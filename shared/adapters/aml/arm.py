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
  leak into the next; four requests each. Starting a job of a batch endpoint: the same headers, a
  new Repeatability-Request-ID each time, and five tries, so that one call may start two jobs.
- find_models: does not filter by tags.
- register_model: one request more, which looks for something else; no word of the run.
- get_run, get_metrics: has none; list_children: four requests, and no errors or times of the runs.
- starting a job of a registered component, or a copy of a job: reads the workspace each time; a
  job that was read can't be written as a new one.
- starting a job from YAML: only it knows what the YAML means, so that this is done with it.

Its bodies are right, though: a contract test compares ours with them.
"""

import json
import time
import uuid
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeIs
from urllib.parse import quote, urlencode

from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError

from shared.adapters.http import Http, NoAnswer, Reply
from shared.adapters.identity import NoToken, get_token
from shared.adapters.refusals import parse_retry_after, refusal
from shared.base.clock import Clock, SystemClock
from shared.base.errors import (
    SignalboxError,
    WorkspaceDenied,
    WorkspaceRefused,
    WorkspaceUnreachable,
)
from shared.base.outside import Json, read_object
from shared.base.redact import redact

#: A stable version that has all that is used here, and the one that azure-ai-ml's models are of:
#: the tests hold every request to them.
API_VERSION = "2025-12-01"
PUBLIC_ENDPOINT = "https://management.azure.com"

#: How much of an answer is read, in bytes: a page of a list is the longest.
BODY_MAX = 8 * 1024 * 1024
#: A token that ends within so many seconds is not used any more.
_TOKEN_LEFT = 300
#: No list that is read here is longer: more pages than this are a fault of the service.
PAGES_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmAnswer:
    """What ARM answered. Header names are in lower case; the body is {} where there is none."""

    status: int
    headers: Mapping[str, str]
    body: Json


class Tokens:
    """The app's tokens for one audience, each used until shortly before it ends."""

    def __init__(self, credential: Callable[[], TokenCredential], audience: str) -> None:
        """Make the credential on first use."""
        self._credential: Final = credential
        self._scope: Final = f"{audience}/.default"
        self._kept: AccessToken | None = None

    def get(self, doing: str) -> str:
        """Return a token; raises WorkspaceDenied or WorkspaceUnreachable where there is none."""
        kept = self._kept
        if kept is None or kept.expires_on - time.time() < _TOKEN_LEFT:
            try:
                kept = self._kept = get_token(self._credential, self._scope)
            except NoToken as error:
                kind = WorkspaceDenied if error.is_denied else WorkspaceUnreachable
                raise kind(f"{doing}: {error}") from error
        return kept.token

    def forget(self) -> None:
        """Ask for another one next time: the one that is kept was not taken."""
        self._kept = None


class Sender:
    """Sends requests as the app, with tokens for one audience; safe to share between threads.

    Raises from every request: WorkspaceUnreachable, WorkspaceThrottled, WorkspaceBusy,
    WorkspaceDenied, WorkspaceRefused, QuotaExceeded.
    """

    def __init__(
        self,
        credential: Callable[[], TokenCredential],
        audience: str,
        *,
        http: Http,
        clock: Clock | None = None,
    ) -> None:
        """Make the requests with `http`."""
        self.tokens: Final = Tokens(credential, audience)
        self._http: Final = http
        self.clock: Final = clock or SystemClock()

    def send(
        self,
        method: str,
        url: str,
        doing: str,
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        body: Json | None = None,
        expected: Container[int] = (),
    ) -> ArmAnswer:
        """Send a request; an error status raises, except where it is `expected`."""
        sent = {
            "Accept": "application/json",
            "Authorization": f"Bearer {self.tokens.get(doing)}",
            "x-ms-client-request-id": str(uuid.uuid4()),
            **({} if body is None else {"Content-Type": "application/json"}),
            **headers,
        }
        content = None if body is None else json.dumps(body).encode()
        try:
            reply = self._http.send(method, url, headers=sent, content=content, most=BODY_MAX)
        except NoAnswer as error:
            raise WorkspaceUnreachable(f"{doing}: no answer ({error})") from None
        answer = _read(reply)
        if answer.status == 401:
            self.tokens.forget()
        is_good = 200 <= answer.status < 300
        if not is_good and answer.status not in expected:
            wait = parse_retry_after(answer.headers, self.clock)
            raise refusal(doing, answer.status, answer.body, retry_after=wait)
        return answer

    def read(
        self,
        method: str,
        url: str,
        doing: str,
        *,
        headers: Mapping[str, str],
        body: Json | None,
        expected: Container[int],
    ) -> ArmAnswer:
        """Send a request that is answered with a document, if it is one that gets something."""
        answer = self.send(method, url, doing, headers=headers, body=body, expected=expected)
        if method == "GET" and answer.status == 200 and not answer.body:
            raise WorkspaceUnreachable(f"{doing}: the answer is no document")
        return answer


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
        http: Http | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Make the requests with `http`."""
        self.endpoint: Final = endpoint.rstrip("/")
        self._sender: Final = Sender(credential, self.endpoint, http=http or Http(), clock=clock)

    def call(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        query: Mapping[str, str] = MappingProxyType({}),
        headers: Mapping[str, str] = MappingProxyType({}),
        body: Json | None = None,
        expected: Container[int] = (),
    ) -> ArmAnswer:
        """Send a request about the resource at `path`.

        An error status raises, except where it is `expected`. `doing` opens the error's message.
        An `api-version` in the query takes the place of the usual one.
        """
        url = f"{self.endpoint}{arm_path(path, query)}"
        return self._sender.read(method, url, doing, headers=headers, body=body, expected=expected)

    def pages(
        self, path: str, doing: str, *, query: Mapping[str, str] = MappingProxyType({})
    ) -> Iterator[Json]:
        """Yield the items of a list, page by page; none where there is no such list.

        Raises: WorkspaceRefused for a list that does not end.
        """
        answer = self.call("GET", path, doing, query=query, expected=(404,))
        for _ in range(PAGES_MAX):
            if answer.status == 404:
                return
            yield from items_of(answer)
            following = answer.body.get("nextLink")
            if not following:
                return
            answer = self.follow(str(following), doing)
        raise endless(doing)

    def follow(self, url: str, doing: str, *, expected: Container[int] = ()) -> ArmAnswer:
        """Get an address that ARM gave us, exactly as it is: some are signed.

        Raises: WorkspaceRefused where it leads elsewhere; our token goes nowhere but to ARM.
        """
        if not is_below(url, self.endpoint):
            raise WorkspaceRefused(f"{doing}: the address leads away from {self.endpoint}")
        return self._sender.send("GET", url, doing, expected=expected)


def arm_path(path: str, query: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the path and query of a request to ARM as they are sent."""
    told = urlencode({"api-version": API_VERSION, **query}, quote_via=quote, safe="$")
    return f"{path}?{told}"


def is_below(url: str, endpoint: str) -> bool:
    """Say whether an address belongs to an endpoint, given without a path."""
    # No parsing: parsers disagree about odd addresses, and the slash ends the host for all.
    roots = (f"{endpoint}/", f"{endpoint}:443/")
    return url.lower().startswith(tuple(root.lower() for root in roots))


def items_of(answer: ArmAnswer) -> Iterator[Json]:
    """Yield the items of one page."""
    items = answer.body.get("value")
    yield from (item for item in (items if isinstance(items, list) else ()) if is_object(item))


def is_object(value: object) -> TypeIs[Json]:
    """Say whether a value of a document is an object."""
    return isinstance(value, Mapping)


def endless(doing: str) -> WorkspaceRefused:
    """Return the error for a list with more pages than any list has."""
    return WorkspaceRefused(f"{doing}: the list does not end after {PAGES_MAX} pages")


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


def _read(reply: Reply) -> ArmAnswer:
    body = read_object(reply.body) if reply.is_whole else {}
    return ArmAnswer(status=reply.status, headers=reply.headers, body=body)
