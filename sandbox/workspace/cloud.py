"""Everything the emulator knows, in one place; all of it lives on one event loop."""

import asyncio
import random
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime

from starlette.requests import Request

from sandbox.workspace.agenda import Agenda
from sandbox.workspace.arm import PROVIDER, ArmError, Json, not_found
from sandbox.workspace.clock import Clock
from sandbox.workspace.entities import Deployment, Endpoint, Workspace
from sandbox.workspace.events import Publisher
from sandbox.workspace.identity import ARM_AUDIENCES
from sandbox.workspace.measurements import Measurements
from sandbox.workspace.operations import (
    POLL_INTERVAL,
    Finish,
    Lockable,
    Operation,
    Operations,
    Result,
)
from sandbox.workspace.quota import Quotas
from sandbox.workspace.rules import FailOperation, Provisioning, Rules
from sandbox.workspace.settings import Settings
from sandbox.workspace.storage import Storage

#: Emulated seconds that an operation takes when no rule says otherwise.
USUAL_SECONDS = {
    "endpoint_create": 90.0,
    "endpoint_update": 20.0,
    "endpoint_delete": 60.0,
    "deployment_create": 480.0,
    "deployment_update": 300.0,
    "deployment_delete": 120.0,
    "batch_endpoint_create": 30.0,
    "batch_endpoint_update": 10.0,
    "batch_endpoint_delete": 30.0,
    "batch_deployment_create": 30.0,
    "batch_deployment_update": 30.0,
    "batch_deployment_delete": 30.0,
    "schedule_create": 10.0,
    "schedule_update": 10.0,
    "schedule_delete": 10.0,
}


class Cloud:
    """One subscription in one region."""

    def __init__(self, settings: Settings, url: str) -> None:
        self.settings = settings
        #: Where ARM and the data plane listen.
        self.url = url
        self.clock = Clock(settings.speed)
        self.rules = Rules(self.clock.now)
        self.operations = Operations(self.clock)
        self.agenda = Agenda(self.clock)
        self.quotas = Quotas(settings.quotas, self.rules)
        self.events = Publisher(settings.topic_url, settings.topic_key)
        self.measurements = Measurements()
        self.storage = Storage(settings.storage)
        self.requests: list[Json] = []
        #: The answers of the emulator that the contract does not allow.
        self.violations: list[str] = []
        self._tasks: set[asyncio.Task[object]] = set()
        self.reset()

    def reset(self) -> None:
        """Start again with empty workspaces, no rules and the clock as it is."""
        self.random = random.Random(self.settings.seed)
        self.rules.clear()
        self.operations.clear()
        self.agenda.clear()
        self.events.clear()
        self.measurements.clear()
        self.requests.clear()
        self._workspaces = {name.lower(): self._new(name) for name in self.settings.workspaces}

    def metrics_now(self) -> datetime:
        """Return the time that metrics go by."""
        is_real = self.settings.real_time_metrics
        return datetime.now(UTC) if is_real else self.clock.now()

    def settle(self) -> None:
        """Let everything happen whose time has come."""
        self.operations.settle()
        self.agenda.settle()

    def wake(self) -> None:
        """Look at the clock again: it was changed."""
        self.operations.wake()
        self.agenda.wake()

    @property
    def location_path(self) -> str:
        """The ARM path of the region."""
        settings = self.settings
        return (
            f"/subscriptions/{settings.subscription}/providers/{PROVIDER}"
            f"/locations/{settings.location}"
        )

    @property
    def arm_audiences(self) -> tuple[str, ...]:
        """The audiences of tokens that ARM accepts."""
        return (self.url, *ARM_AUDIENCES)

    def workspaces(self) -> Iterator[Workspace]:
        """Yield all workspaces."""
        yield from self._workspaces.values()

    def workspace(self, request: Request) -> Workspace:
        """Return the workspace that a request's path names; raises ARM's 404s."""
        params = request.path_params
        self.check_subscription(request)
        group = params["group"]
        if group.lower() != self.settings.resource_group.lower():
            message = f"Resource group '{group}' could not be found."
            raise ArmError(404, "ResourceGroupNotFound", message)
        workspace = self._workspaces.get(params["workspace"].lower())
        if workspace is None:
            raise ArmError(
                404,
                "ResourceNotFound",
                f"The Resource '{PROVIDER}/workspaces/{params['workspace']}' under resource "
                f"group '{group}' was not found. For more details please go to "
                "https://aka.ms/ARMResourceNotFoundFix",
            )
        return workspace

    def check_subscription(self, request: Request) -> None:
        """Raise ARM's 404 unless the request is about this subscription."""
        subscription = request.path_params["subscription"]
        if subscription.lower() != self.settings.subscription.lower():
            message = f"The subscription '{subscription}' could not be found."
            raise ArmError(404, "SubscriptionNotFound", message)

    def endpoint(self, request: Request) -> Endpoint:
        """Return the online endpoint that a request's path names, or raise 404."""
        name = request.path_params["endpoint"]
        endpoint = self.workspace(request).endpoints.get(name.lower())
        if endpoint is None:
            raise not_found("Online endpoint", name)
        return endpoint

    def deployment(self, request: Request) -> Deployment:
        """Return the online deployment that a request's path names, or raise 404."""
        name = request.path_params["deployment"]
        deployment = self.endpoint(request).deployments.get(name.lower())
        if deployment is None:
            raise not_found("Online deployment", name)
        return deployment

    def endpoint_at(self, host: str) -> Endpoint | None:
        """Return the endpoint with that host in its scoring address; unique in the region."""
        endpoints = (e for w in self.workspaces() for e in w.endpoints.values())
        return next((e for e in endpoints if e.host == host.lower()), None)

    def deployments(self) -> Iterator[Deployment]:
        """Yield all online deployments of the region."""
        for workspace in self.workspaces():
            for endpoint in workspace.endpoints.values():
                yield from endpoint.deployments.values()

    def workspace_of(self, entity: Endpoint | Deployment) -> Workspace:
        """Return the workspace that something is in."""
        return self._workspaces[entity.workspace.lower()]

    def endpoint_id(self, endpoint: Endpoint | Deployment) -> str:
        """Return the ARM id of an endpoint, or of a deployment's endpoint."""
        name = endpoint.endpoint if isinstance(endpoint, Deployment) else endpoint.name
        workspace = self.workspace_of(endpoint)
        return f"{workspace.arm_id}/onlineEndpoints/{name}"

    def document(self, entity: Endpoint | Deployment) -> Json:
        """Return an endpoint or deployment as a resource."""
        if isinstance(entity, Deployment):
            return entity.document(self.endpoint_id(entity))
        return entity.document(self.endpoint_id(entity), self.url)

    def begin(
        self,
        request: Request,
        kind: str,
        entity: Lockable,
        finish: Finish,
        result: Result,
        *,
        more_seconds: float = 0,
    ) -> dict[str, str]:
        """Start an operation as the rules have it; returns the headers to follow it with.

        `result` is the document of the entity afterwards, None if it is gone. It takes
        `more_seconds` than usual, unless a rule says how long.
        """
        subject = entity.subject()
        rule = self.rules.take(Provisioning, subject, operation=kind)
        failure = self.rules.take(FailOperation, subject, operation=kind)
        operation = self.operations.begin(
            kind,
            entity.workspace,
            entity.entity,
            seconds=USUAL_SECONDS[kind] + more_seconds if rule is None else rule.seconds,
            finish=finish,
            result=result,
            outcome=failure.status if failure else "Succeeded",
            error={"code": failure.code, "message": failure.message} if failure else None,
            logs=tuple(failure.logs) if failure else (),
        )
        headers = self.headers_of(request, operation)
        entity.operation_url = headers["Azure-AsyncOperation"]
        return headers

    def spawn(self, work: Coroutine[object, object, object]) -> None:
        """Do something beside the request at hand."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def headers_of(self, request: Request, operation: Operation) -> dict[str, str]:
        """Return the headers to follow an operation with."""
        place = f"{self.url}{self.location_path}"
        which = f"{operation.id}?api-version={request.query_params['api-version']}"
        return {
            "Azure-AsyncOperation": f"{place}/mfeOperationsStatus/{which}",
            "Location": f"{place}/mfeOperationResults/{which}",
            "Retry-After": self.clock.retry_after(POLL_INTERVAL),
            "x-ms-async-operation-timeout": "PT1H",
        }

    def _new(self, name: str) -> Workspace:
        settings = self.settings
        return Workspace(
            name=name,
            arm_id=f"/subscriptions/{settings.subscription}/resourceGroups/"
            f"{settings.resource_group}/providers/{PROVIDER}/workspaces/{name}",
            location=settings.location,
            created_at=self.clock.now(),
        )


def cloud_of(request: Request) -> Cloud:
    """Return the cloud that a request reached."""
    cloud: Cloud = request.app.state.cloud
    return cloud
