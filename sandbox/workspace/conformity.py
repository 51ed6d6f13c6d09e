"""Checks every exchange with Resource Manager against the published contract.

A request that the contract does not allow is refused. An answer that it does not allow is a fault
of the emulator itself: it becomes a 500, and stopping the emulator reports it.
"""

import json
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.contract.check import Fault, Operation, load_contract
from sandbox.workspace.arm import PROVIDER, ArmError
from sandbox.workspace.cloud import Cloud

#: Published versions of the API that azure-ai-ml does not send, but others do.
_OTHER_VERSIONS = ("2024-04-01", "2024-10-01", "2025-06-01", "2025-09-01", "2026-03-01")
_JOB = ["model", "JobBase"]
#: Answers of the service that break its own contract: the job of a pipeline's step has no
#: properties, by which azure-ai-ml recognises it.
_STEP = Fault("properties", "is missing")
_OURS = f"/providers/{PROVIDER}/".lower()
#: Another provider's resources stand below those of this one.
_OTHERS = "/providers/microsoft.insights/"


class Conformity:
    """Wraps the application; requests that the contract does not describe pass unchecked."""

    def __init__(self, app: ASGIApp, cloud: Cloud) -> None:
        self._app = app
        self._cloud = cloud
        self._contract = load_contract()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        path = scope.get("path", "").lower()
        is_ours = path.startswith("/subscriptions/") and _OURS in path and _OTHERS not in path
        if not is_ours:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            body = await self._let_in(request)
        except ArmError as error:
            await error.response()(scope, receive, send)
            return
        answer = _Answer()
        try:
            await self._app(scope, _replay_body(body), answer.collect)
        except Exception:  # the emulator failed, and has said so in its answer
            await answer.send(send)
            raise
        faults = self._find_answer_faults(request, answer)
        if faults:
            faults_text = "; ".join(map(str, faults))
            what = f"{request.method} {path}: {answer.status}: {faults_text}"
            self._cloud.violations.append(what)
            message = f"The emulator's own answer breaks the contract: {what}"
            await ArmError(500, "InternalServerError", message).response()(scope, receive, send)
            return
        await answer.send(send)

    def _find_answer_faults(self, request: Request, answer: "_Answer") -> list[Fault]:
        operation = self._contract.find(request.method, request.url.path)
        if operation is None:
            return []
        body = answer.body()
        is_ours = request.query_params["api-version"] == self._contract.version
        faults = self._contract.find_answer_faults(
            operation, answer.status, body, knows_all=is_ours
        )
        return [fault for fault in faults if operation.answer != _JOB or fault != _STEP]

    async def _let_in(self, request: Request) -> bytes:
        """Return the body that the application gets; raises ARM's refusal."""
        version = request.query_params["api-version"]
        known = (*self._contract.versions, *_OTHER_VERSIONS)
        if version not in known:
            raise _unknown_version(version, known, self._cloud.settings.location)
        given = await request.body()
        operation = self._contract.find(request.method, request.url.path)
        if operation is None or operation.request is None:
            return given
        try:
            body = json.loads(given)
        except ValueError:
            return given
        if not isinstance(body, dict):
            return given
        is_ours = version == self._contract.version
        faults = self._contract.find_request_faults(operation, body, knows_all=is_ours)
        if faults:
            raise _refusal(operation, faults)
        return json.dumps(self._contract.with_enum_case(operation, body)).encode()


class _Answer:
    """The application's answer, collected until it is complete."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.status = 0

    async def collect(self, message: Message) -> None:
        """Keep a part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        self.messages.append(message)

    async def send(self, send: Send) -> None:
        """Send all of it."""
        for message in self.messages:
            await send(message)

    def body(self) -> Any:
        """Return the document that was answered, None without a body."""
        text = b"".join(each.get("body", b"") for each in self.messages)
        return json.loads(text) if text else None


def _replay_body(body: bytes) -> Receive:
    """Return a receiver that gives the application the body, which was read already."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _unknown_version(version: str, known: tuple[str, ...], location: str) -> ArmError:
    """Build ARM's refusal, as public reports of it quote it."""
    message = (
        f"No registered resource provider found for location '{location}' and API version "
        f"'{version}' for type 'workspaces'. The supported api-versions are "
        f"'{', '.join(sorted(known))}'. The supported locations are '{location}'."
    )
    return ArmError(400, "NoRegisteredProviderFound", message)


def _refusal(operation: Operation, faults: list[Fault]) -> ArmError:
    if Fault("location", "is missing") in faults:
        message = "The location property is required for this definition."
        return ArmError(400, "LocationRequired", message, target="location")
    # The service labels a wrong job otherwise.
    code = "UserError" if operation.request == _JOB else "BadArgument"
    first, *others = faults
    details = [{"code": code, "message": str(each), "target": each.path} for each in others]
    message = f"The request is invalid: {first}."
    return ArmError(400, code, message, target=first.path or None, details=details)
