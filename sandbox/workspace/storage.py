"""The workspace's own storage account: Azurite behind the account's real name, over https.

Without Azurite the emulator keeps its own files in memory, and clients reach none. Keys and shared
access signatures are checked by Azurite. It takes no access tokens over plain http, so these are
checked here, and the request goes on with a signature of the account's.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote
from xml.etree import ElementTree

import httpx
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox.azurite import WORKSPACE_ACCOUNT, BlobAccount
from sandbox.workspace.arm import ArmError, not_emulated
from sandbox.workspace.identity import check_token

ENDPOINT: Final = "core.windows.net"
AUDIENCE: Final = "https://storage.azure.com"

_TIMEOUT = 60.0
#: The headers that belong to one connection.
_HOP_HEADERS = frozenset({"connection", "keep-alive", "transfer-encoding"})
_NOT_HERE = "Storage, of an emulator that was started without it, is"


class Storage:
    """One storage account; without Azurite it has only a name, and clients can't reach it."""

    def __init__(self, account: BlobAccount | None) -> None:
        self._account = account
        self._waiting: set[asyncio.Task[None]] = set()
        #: The blobs without Azurite, by container and path.
        self._memory: dict[tuple[str, str], bytes] = {}
        self._kept: Iterable[str] = ()
        # The emulator's own way to Azurite never leads through the proxy.
        self._http = httpx.AsyncClient(
            base_url=account.url if account else "", timeout=_TIMEOUT, trust_env=False
        )

    @property
    def name(self) -> str:
        """The account's name."""
        return self._account.name if self._account else WORKSPACE_ACCOUNT

    @property
    def host(self) -> str:
        """The host name of the account's blobs."""
        return f"{self.name}.blob.{ENDPOINT}"

    @property
    def key(self) -> str:
        """The account's key; raises ArmError where there is no storage."""
        return self._real().key

    async def open(self, containers: Iterable[str]) -> None:
        """Begin empty, with these containers."""
        self._kept = tuple(containers)
        await self.clear()

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def clear(self) -> None:
        """Delete everything, and create the containers again that there were at first."""
        self._memory.clear()
        if self._account is None:
            return
        await asyncio.gather(*self._waiting, return_exceptions=True)
        self._waiting.clear()
        listed = await self._send("GET", "/", "comp=list")
        for element in ElementTree.fromstring(listed.content).iter("Container"):
            name = element.findtext("Name") or ""
            await self._send("DELETE", f"/{quote(name)}", "restype=container")
        for name in self._kept:
            await self.create_container(name)

    async def create_container(self, name: str) -> None:
        """Create a container, unless it is there."""
        await self._send("PUT", f"/{quote(name)}", "restype=container", usual=(409,))

    async def read(self, container: str, path: str) -> bytes | None:
        """Return a blob's content, or None."""
        if self._account is None:
            await self._settle()
            return self._memory.get((container, path))
        await self._settle()
        answer = await self._send("GET", f"/{quote(container)}/{quote(path)}", usual=(404,))
        return answer.content if answer.status_code == 200 else None

    async def write(self, container: str, files: Mapping[str, bytes]) -> None:
        """Write blobs by their paths, over others of the same name."""
        if self._account is None:
            self._memory |= {(container, path): content for path, content in files.items()}
            return
        for path, content in files.items():
            await self._send(
                "PUT",
                f"/{quote(container)}/{quote(path)}",
                content=content,
                headers={"x-ms-blob-type": "BlockBlob"},
            )

    def write_soon(self, container: str, files: Mapping[str, bytes]) -> None:
        """Write blobs; later requests wait until they are there, and fail if they could not be."""
        self._waiting.add(asyncio.create_task(self.write(container, dict(files))))

    def sign_container(self, container: str, lifetime: timedelta) -> str:
        """Return a signature that lets its bearer read, list, write and delete in a container."""
        from azure.storage.blob import ContainerSasPermissions, generate_container_sas

        account = self._real()
        return generate_container_sas(
            account.name,
            container,
            account_key=account.key,
            permission=ContainerSasPermissions.from_string("racwdl"),
            expiry=datetime.now(UTC) + lifetime,
        )

    async def answer(self, request: Request) -> Response:
        """Pass a client's request on to Azurite, and its answer back; raises ArmError."""
        self._real()
        await self._settle()
        query = request.scope["query_string"].decode("latin-1")
        headers = _forwarded_headers(request.headers)
        if headers.get("authorization", "").lower().startswith("bearer "):
            check_token(headers.pop("authorization"), (AUDIENCE, f"https://{self.host}"))
            query = "&".join(filter(None, (query, self._signature())))
        path = request.scope["raw_path"].decode("latin-1")
        outgoing = self._http.build_request(
            request.method,
            f"{path}?{query}" if query else path,
            headers=headers,
            content=await request.body(),
        )
        try:
            incoming = await self._http.send(outgoing, stream=True)
        except httpx.TransportError as error:
            raise _gone(error) from error
        pieces = _pieces(incoming)
        return StreamingResponse(pieces, incoming.status_code, _forwarded_headers(incoming.headers))

    def _real(self) -> BlobAccount:
        if self._account is None:
            raise not_emulated(_NOT_HERE)
        return self._account

    def _signature(self) -> str:
        """Return a signature for everything, for a moment."""
        from azure.storage.blob import (
            AccountSasPermissions,
            ResourceTypes,
            generate_account_sas,
        )

        account = self._real()
        return generate_account_sas(
            account.name,
            account.key,
            ResourceTypes(service=True, container=True, object=True),
            AccountSasPermissions.from_string("rwdlacup"),
            datetime.now(UTC) + timedelta(minutes=15),
        )

    async def _send(
        self,
        method: str,
        path: str,
        query: str = "",
        *,
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        usual: tuple[int, ...] = (),
    ) -> httpx.Response:
        """Send a request of the emulator's own; raises ArmError if it was not done."""
        url = f"{path}?{'&'.join(filter(None, (query, self._signature())))}"
        named = {"host": self.host, "x-ms-version": "2023-11-03", **(headers or {})}
        try:
            answer = await self._http.request(method, url, content=content, headers=named)
        except httpx.TransportError as error:
            raise _gone(error) from error
        if not answer.is_success and answer.status_code not in usual:
            message = f"Storage answered {answer.status_code} to {method} {path}: {answer.text}"
            raise ArmError(500, "InternalServerError", message)
        return answer

    async def _settle(self) -> None:
        while self._waiting:
            waiting = tuple(self._waiting)
            await asyncio.gather(*waiting)
            self._waiting.difference_update(waiting)


def _gone(error: Exception) -> ArmError:
    return ArmError(503, "ServerBusy", f"Azurite does not answer: {error!r}")


def _forwarded_headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _HOP_HEADERS}


async def _pieces(answer: httpx.Response) -> AsyncIterator[bytes]:
    """Yield the bytes of an answer as they come, and let go of it."""
    try:
        async for piece in answer.aiter_raw():
            yield piece
    finally:
        await answer.aclose()


def by_host(storage: Storage, others: ASGIApp) -> ASGIApp:
    """Return an application that answers for the storage account under its name."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if not is_for(storage, scope):
            await others(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await storage.answer(request)
        except ArmError as error:
            response = error.response()
            response.headers["x-ms-error-code"] = error.body["error"]["code"]
        await response(scope, receive, send)

    return answer


def is_for(storage: Storage, scope: Scope) -> bool:
    """Say whether a request is meant for the storage account."""
    return scope["type"] == "http" and Request(scope).url.hostname == storage.host
