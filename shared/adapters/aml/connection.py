"""AML as the app reaches it: Resource Manager, and the addresses that a workspace has itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from azure.core.credentials import TokenCredential

from shared.adapters.aml.arm import BODY_MAX, arm_client, path_of
from shared.adapters.client import Client
from shared.adapters.http import Http
from shared.adapters.identity import Tokens
from shared.adapters.refusals import WORKSPACE
from shared.base.clock import Clock, SystemClock
from shared.base.errors import WorkspaceRefused
from shared.base.incoming import Json, object_in
from shared.base.lazy import Lazy
from shared.base.settings import PUBLIC_AML, PUBLIC_ARM
from shared.events.model import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceFacts:
    """The facts of a workspace's document that never change; "" where it lacks one."""

    location: str
    discovery: str
    tracking: str


class Aml:
    """Every workspace that the app's identity can reach, safe to share between threads.

    A workspace's document and its discovery document are read once.
    """

    def __init__(
        self,
        credential: Callable[[], TokenCredential],
        *,
        arm_endpoint: str = PUBLIC_ARM,
        audience: str = PUBLIC_AML,
        http: Http | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Connect on first use; `credential` is called then, once.

        `audience` is that of tokens for the workspaces' own addresses and for endpoints. `http`
        makes the requests, also those of azure-ai-ml.
        """
        self.credential: Final = Lazy(credential)
        self.audience: Final = audience
        self.clock: Final = clock or SystemClock()
        self.http: Final = http or Http()
        self.arm: Final = arm_client(
            self.credential, endpoint=arm_endpoint, http=self.http, clock=self.clock
        )
        #: For AML's own addresses, which come from ARM and accept the app's token.
        self.data: Final = Client(
            WORKSPACE,
            http=self.http,
            clock=self.clock,
            tokens=Tokens(self.credential, audience),
            most=BODY_MAX,
        )
        self._facts: dict[str, WorkspaceFacts] = {}
        self._services: dict[str, str] = {}

    def find_facts(self, workspace: Workspace) -> WorkspaceFacts | None:
        """Return the facts of a workspace, or None where there is no such workspace."""
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

        The discovery document names its service, and is read as azure-ai-ml reads it.
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


def _parse_facts(document: Json) -> WorkspaceFacts:
    properties = object_in(document, "properties")
    return WorkspaceFacts(
        location=str(document.get("location") or ""),
        discovery=str(properties.get("discoveryUrl") or ""),
        tracking=str(properties.get("mlFlowTrackingUri") or ""),
    )
