"""The emulator as a thread: two listeners on one event loop."""

import asyncio
import re
import socket
import ssl
import threading
from pathlib import Path
from typing import Self

import trustme
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from sandbox.running import HOST, Running, listen
from sandbox.serving import AbruptServer
from sandbox.workspace import (
    artifacts,
    batch_endpoints,
    batch_jobs,
    codes,
    components,
    computes,
    control_api,
    data_assets,
    datastores,
    environments,
    jobs,
    locations,
    metrics,
    mlflow,
    models,
    monitor_windows,
    online_deployments,
    online_endpoints,
    run_history,
    schedules,
    scoring,
    workspaces,
)
from sandbox.workspace.arm import PROVIDER, ArmError, ArmRoute, not_emulated
from sandbox.workspace.cloud import Cloud, cloud_of
from sandbox.workspace.conformity import Conformity
from sandbox.workspace.gate import Gate
from sandbox.workspace.identity import managed_identity_token
from sandbox.workspace.proxy import Proxy
from sandbox.workspace.settings import Settings
from sandbox.workspace.storage import by_host

_NAME = "localhost"
_ARM_HOST = "management.azure.com"
#: Clients look for registries here, and learn that there are none.
_REGISTRY_HOSTS = "*.api.azureml.ms"
_STOP_SECONDS = 10

_SUBSCRIPTION = "/subscriptions/{subscription}"
_WORKSPACES = f"{_SUBSCRIPTION}/resourceGroups/{{group}}/providers/{PROVIDER}/workspaces"
_WORKSPACE = f"{_WORKSPACES}/{{workspace}}"
_LOCATION = f"{_SUBSCRIPTION}/providers/{PROVIDER}/locations/{{location}}"

#: Every kind of resource that lives in a workspace has its module here.
_RESOURCES = (
    datastores,
    models,
    components,
    environments,
    codes,
    data_assets,
    computes,
    jobs,
    online_endpoints,
    online_deployments,
    metrics,
    batch_endpoints,
    schedules,
)


class WorkspaceEmulator(Running):
    """Machine Learning workspaces behind https, their identity and control behind http.

    Use it as a context manager, or call `start` and `stop`.
    """

    def __init__(self, settings: Settings, *, authority: trustme.CA | None = None) -> None:
        """Certificates are the `authority`'s, by default one of its own."""
        self.settings = settings
        self._sockets = (listen(settings.port), listen(settings.control_port))
        self._proxy_socket = listen(settings.proxy_port)
        self._authority = authority or trustme.CA()
        self._servers: tuple[uvicorn.Server, ...] = ()
        self._is_stopping = False
        self._violations: list[str] = []
        self._thread = threading.Thread(target=self._run, name="workspace-emulator", daemon=True)

    @property
    def url(self) -> str:
        """Where ARM and the data plane listen."""
        return f"https://{_NAME}:{_port(self._sockets[0])}"

    @property
    def control_url(self) -> str:
        """Where the control surface listens."""
        return f"http://{HOST}:{_port(self._sockets[1])}"

    @property
    def identity_url(self) -> str:
        """The IDENTITY_ENDPOINT of a managed identity client."""
        return f"{self.control_url}/msi/token"

    @property
    def proxy_url(self) -> str:
        """The HTTPS_PROXY through which Resource Manager and storage have their real names."""
        return f"http://{HOST}:{_port(self._proxy_socket)}"

    @property
    def ca_path(self) -> Path:
        """The certificate authority's PEM, which clients have to trust."""
        return self.settings.ca_folder / "workspace-ca.pem"

    def environment(self) -> dict[str, str]:
        """Return the variables of a machine with a managed identity, with the address of this one.

        Proxies are in both spellings: of two, clients take the one in small letters.
        """
        proxies = {"HTTPS_PROXY": self.proxy_url, "NO_PROXY": f"{_NAME},{HOST}"}
        return {
            "IDENTITY_ENDPOINT": self.identity_url,
            "IDENTITY_HEADER": self.settings.identity_header,
            **proxies,
            **{name.lower(): value for name, value in proxies.items()},
            "REQUESTS_CA_BUNDLE": str(self.ca_path),
            "SSL_CERT_FILE": str(self.ca_path),
        }

    def start(self) -> Self:
        """Write the authority's certificate and begin to serve; returns at once."""
        self.settings.ca_folder.mkdir(parents=True, exist_ok=True)
        self._authority.cert_pem.write_to_path(self.ca_path)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop serving and wait for the end of it.

        Raises: AssertionError where an answer broke the contract: nothing that was seen counts.
        """
        self._is_stopping = True
        self._end_servers()
        self._thread.join(_STOP_SECONDS)
        if self._violations:
            raise AssertionError("\n".join(dict.fromkeys(self._violations)))

    def _run(self) -> None:
        asyncio.run(self._serve())

    def _end_servers(self) -> None:
        for server in self._servers:
            server.should_exit = server.force_exit = True

    async def _serve(self) -> None:
        cloud = Cloud(self.settings, self.url)
        self._violations = cloud.violations
        await cloud.storage.open(datastores.containers(cloud))
        self._servers = (
            _server(_service_app(cloud), self._ssl_context(cloud)),
            _server(_control_app(cloud), None),
        )
        if self._is_stopping:  # stopped before there were any servers to end
            self._end_servers()
        async with asyncio.TaskGroup() as group:
            background = [
                group.create_task(cloud.operations.settle_forever()),
                group.create_task(cloud.agenda.settle_forever()),
                group.create_task(cloud.events.publish_forever()),
                group.create_task(self._proxy(cloud).serve()),
            ]
            pairs = zip(self._servers, self._sockets, strict=True)
            await asyncio.gather(*(server.serve([listener]) for server, listener in pairs))
            for task in background:
                task.cancel()
        await cloud.storage.close()

    def _proxy(self, cloud: Cloud) -> Proxy:
        hosts = (_ARM_HOST, _REGISTRY_HOSTS, cloud.storage.host)
        return Proxy(self._proxy_socket, hosts, _port(self._sockets[0]))

    def _ssl_context(self, cloud: Cloud) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        names = (_NAME, HOST, _ARM_HOST, _REGISTRY_HOSTS, cloud.storage.host)
        self._authority.issue_cert(*names).configure_cert(context)
        return context


def _service_app(cloud: Cloud) -> ASGIApp:
    arm_routes: list[ArmRoute] = [
        ("GET", f"{_SUBSCRIPTION}/providers/{PROVIDER}/workspaces", workspaces.list_workspaces),
        ("GET", _WORKSPACES, workspaces.list_workspaces),
        ("GET", _WORKSPACE, workspaces.get_workspace),
        *((method, f"{_LOCATION}{path}", handler) for method, path, handler in locations.routes),
        *(
            (method, f"{_WORKSPACE}{path}", handler)
            for module in _RESOURCES
            for method, path, handler in module.routes
        ),
    ]
    routes: list[BaseRoute] = [
        *map(_arm_route, arm_routes),
        *scoring.routes,
        *batch_jobs.routes,
        *map(_any_case, (*run_history.routes, *mlflow.routes, *artifacts.routes)),
        Route("/discovery", _discovery, methods=["GET"]),
    ]
    return Gate(by_host(cloud.storage, Conformity(_app(cloud, routes), cloud)), cloud)


def _control_app(cloud: Cloud) -> ASGIApp:
    routes: list[BaseRoute] = [
        Route("/msi/token", managed_identity_token, methods=["GET"]),
        *control_api.routes,
        *monitor_windows.control_routes,
        *schedules.control_routes,
    ]
    return _app(cloud, routes)


def _app(cloud: Cloud, routes: list[BaseRoute]) -> Starlette:
    handlers = {ArmError: _refuse, HTTPException: _refuse_path, Exception: _answer_failure}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.state.cloud = cloud
    return app


def _arm_route(route: ArmRoute) -> Route:
    method, path, handler = route
    return _any_case(Route(path, handler, methods=[method]))


def _any_case(route: Route) -> Route:
    """Let a path match in any case, as Resource Manager's do and ids of workspaces anywhere."""
    route.path_regex = re.compile(route.path_regex.pattern, re.IGNORECASE)
    return route


async def _discovery(request: Request) -> Response:
    url = cloud_of(request).url
    return JSONResponse({"api": url, "history": url, "experimentation": url})


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, ArmError)
    return error.response()


async def _refuse_path(request: Request, error: Exception) -> Response:
    """Answer for an unknown path or method, which Azure may have."""
    assert isinstance(error, HTTPException)
    what = f"{request.method} {request.url.path}"
    if error.status_code in {404, 405}:
        return not_emulated(f"{what} is").response()
    return ArmError(error.status_code, "BadRequest", f"{what}: {error}").response()


async def _answer_failure(request: Request, error: Exception) -> Response:
    message = f"The emulator failed: {error!r}"
    return ArmError(500, "InternalServerError", message).response()


def _port(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


def _server(app: ASGIApp, context: ssl.SSLContext | None) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        interface="asgi3",
        lifespan="off",
        ws="none",
        http="h11",
        proxy_headers=False,
        access_log=False,
        log_level="warning",
        ssl_context_factory=(lambda *_: context) if context else None,
    )
    return AbruptServer(config)
