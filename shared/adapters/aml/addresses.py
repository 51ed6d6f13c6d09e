"""AML as the app reaches it: Resource Manager, and the addresses that a workspace has itself."""

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from azure.core.credentials import TokenCredential

from shared.adapters.aml.arm import (
    PAGES_MAX,
    PUBLIC_ENDPOINT,
    Arm,
    ArmAnswer,
    Sender,
    endless,
    is_below,
    items_of,
    segment,
)
from shared.adapters.http import Http, is_https
from shared.base.clock import Clock, SystemClock
from shared.base.errors import WorkspaceRefused
from shared.base.lazy import Lazy
from shared.base.outside import Json
from shared.events.model import Workspace

#: Whom a token is meant for that the workspaces' own addresses and their endpoints take.
AUDIENCE = "https://ml.azure.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceFacts:
    """What a workspace's document says of it that never changes; "" for what it does not say."""

    location: str
    discovery: str
    tracking: str


class DataPlane:
    """Sends requests to addresses that ARM told of, as the app; safe to share between threads.

    Raises from every call what Arm does, and WorkspaceRefused for an address that is not https://:
    every request carries a token.
    """

    def __init__(
        self,
        credential: Callable[[], TokenCredential],
        *,
        audience: str = AUDIENCE,
        http: Http | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Make the requests with `http`."""
        self._sender: Final = Sender(credential, audience, http=http or Http(), clock=clock)

    def call(
        self,
        method: str,
        url: str,
        doing: str,
        *,
        query: Mapping[str, str] = MappingProxyType({}),
        headers: Mapping[str, str] = MappingProxyType({}),
        body: Json | None = None,
        expected: Container[int] = (),
    ) -> ArmAnswer:
        """Send a request; an error status raises, except where it is `expected`."""
        if not is_https(url) or urlsplit(url).username is not None:
            raise WorkspaceRefused(f"{doing}: the address is not an https:// address")
        told = f"?{urlencode(query, quote_via=quote, safe='$')}" if query else ""
        return self._sender.read(
            method, url + told, doing, headers=headers, body=body, expected=expected
        )

    def pages(self, url: str, doing: str) -> Iterator[Json]:
        """Yield the items of a list, page by page; none where there is no such list.

        The next page is named by its address, or by a token. Raises: WorkspaceRefused for a list
        that does not end, or that goes on elsewhere.
        """
        answer = self.call("GET", url, doing, expected=(404,))
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        for _ in range(PAGES_MAX):
            if answer.status == 404:
                return
            yield from items_of(answer)
            following, token = answer.body.get("nextLink"), answer.body.get("continuationToken")
            if following:
                link = str(following)
                link = origin + link if link.startswith("/") else link
                if not is_below(link, origin):
                    raise WorkspaceRefused(f"{doing}: the list goes on away from {origin}")
                answer = self.call("GET", link, doing)
            elif token:
                answer = self.call("GET", url, doing, query={"$continuationtoken": str(token)})
            else:
                return
        raise endless(doing)

    def token(self, doing: str) -> str:
        """Return the token that such requests carry; `doing` opens the error's message."""
        return self._sender.tokens.get(doing)


class Aml:
    """Every workspace that the app's identity can reach, safe to share between threads.

    What a workspace says of itself is read once, and so is its discovery document.
    """

    def __init__(
        self,
        credential: Callable[[], TokenCredential],
        *,
        arm_endpoint: str = PUBLIC_ENDPOINT,
        audience: str = AUDIENCE,
        ca_path: str | None = None,
        http: Http | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Connect on first use; `credential` is called then, once.

        `audience` is whom tokens are meant for beside ARM. `ca_path` names a PEM file of
        authorities in place of the usual ones; `http` makes the requests, of the SDK's none.
        """
        self.credential: Final = Lazy(credential)
        self.audience: Final = audience
        self.ca_path: Final = ca_path
        self.clock: Final = clock or SystemClock()
        self.http: Final = http or Http(ca_path=ca_path)
        self.arm: Final = Arm(
            self.credential, endpoint=arm_endpoint, http=self.http, clock=self.clock
        )
        self.data: Final = DataPlane(
            self.credential, audience=audience, http=self.http, clock=self.clock
        )
        self._facts: dict[str, WorkspaceFacts] = {}
        self._services: dict[str, str] = {}

    def find_facts(self, workspace: Workspace) -> WorkspaceFacts | None:
        """Return what the workspace says of itself, or None where there is no such workspace."""
        return self._facts.get(workspace.key) or self._read_facts(workspace, expected=(404,))

    def location(self, workspace: Workspace) -> str:
        """Return the workspace's region; raises WorkspaceRefused where there is no workspace."""
        facts = self._facts.get(workspace.key) or self._read_facts(workspace)
        return facts.location if facts else ""

    def _read_facts(
        self, workspace: Workspace, *, expected: tuple[int, ...] = ()
    ) -> WorkspaceFacts | None:
        doing = f"reading workspace {workspace.name!r}"
        answer = self.arm.call("GET", path_of(workspace), doing, expected=expected)
        if answer.status == 404:
            return None
        return self._facts.setdefault(workspace.key, _parse_facts(answer.body))

    def find_history(self, workspace: Workspace) -> str | None:
        """Return the address of the workspace's run history, or None where there is no workspace.

        It is that of the service which the discovery document names, as the SDK reads it.
        """
        base = self._find_service(workspace)
        return None if base is None else f"{base}/history/v1.0{path_of(workspace)}"

    def find_artifacts(self, workspace: Workspace) -> str | None:
        """Return the address of the workspace's artifacts, or None where there is no workspace."""
        base = self._find_service(workspace)
        return None if base is None else f"{base}/artifact/v2.0{path_of(workspace)}/artifacts"

    def _find_service(self, workspace: Workspace) -> str | None:
        known = self._services.get(workspace.key)
        if known is None:
            facts = self.find_facts(workspace)
            if facts is None:
                return None
            doing = f"finding the services of workspace {workspace.name!r}"
            services = self.data.call("GET", facts.discovery, doing).body
            known = str(services.get("api") or services.get("history") or "").rstrip("/")
            if not known:
                raise WorkspaceRefused(f"{doing}: the discovery document names none")
            self._services[workspace.key] = known
        return known

    def find_tracking(self, workspace: Workspace) -> str | None:
        """Return the address of the workspace's MLflow API, or None where there is no workspace."""
        facts = self.find_facts(workspace)
        if facts is None:
            return None
        address = facts.tracking.replace("azureml://", "https://", 1).rstrip("/")
        return f"{address}/api/2.0/mlflow"

    def token(self, doing: str) -> str:
        """Return a token for AML's own services; `doing` opens the error's message."""
        return self.data.token(doing)

    def close(self) -> None:
        """Close the connections; only a process that goes on without them needs to."""
        self.http.close()


def path_of(workspace: Workspace) -> str:
    """Return the path of a workspace's ARM resource."""
    return (
        f"/subscriptions/{segment(workspace.subscription)}"
        f"/resourceGroups/{segment(workspace.resource_group)}"
        f"/providers/Microsoft.MachineLearningServices/workspaces/{segment(workspace.name)}"
    )


def _parse_facts(document: Json) -> WorkspaceFacts:
    found = document.get("properties")
    properties = found if isinstance(found, Mapping) else {}
    return WorkspaceFacts(
        location=str(document.get("location") or ""),
        discovery=str(properties.get("discoveryUrl") or ""),
        tracking=str(properties.get("mlFlowTrackingUri") or ""),
    )
