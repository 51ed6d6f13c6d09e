"""A receiver of Standard Webhooks, which checks each as the specification has it."""

import base64
import hashlib
import hmac
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.services.server import Handler, Json, Refused, Service, read_json

_TOLERANCE_SECONDS = 300


class Webhook(Service):
    """Takes a message once, at any path; a second one of its id is answered with `again`.

    `secrets` are the keys that it trusts, as `whsec_…`; `answer` is its answer, None for no answer
    at all.
    """

    def __init__(self, *secrets: str, **service: Any) -> None:
        self.secrets = list(secrets)
        self.messages: dict[str, Json] = {}
        self.answer: Json | None = None
        self.status = 202
        self.again = 200
        super().__init__(**service)

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Return the one operation."""
        return [("POST", "/{path:path}", self._receive)]

    async def _receive(self, request: Request) -> Response:
        body = await request.body()
        message_id = self._check(request, body)
        document = await read_json(request, lambda text: Refused(400, {"message": text}))
        if message_id in self.messages:
            if self.messages[message_id] != document:
                raise Refused(422, {"message": f"{message_id} was another message before."})
            return self._answered(self.again)
        self.messages[message_id] = document
        return self._answered(self.status)

    def _answered(self, status: int) -> Response:
        if self.answer is None:
            return Response(status_code=status)
        return JSONResponse(self.answer, status)

    def _check(self, request: Request, body: bytes) -> str:
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        message_id, stamp, signatures = (request.headers.get(name, "") for name in names)
        if not message_id or not stamp or not signatures or "." in message_id:
            raise Refused(400, {"message": "Missing required headers"})
        if not stamp.isdecimal() or abs(time.time() - int(stamp)) > _TOLERANCE_SECONDS:
            raise Refused(400, {"message": "Message timestamp too old or too new"})
        signed = f"{message_id}.{stamp}.".encode() + body
        expected = {_sign(secret, signed) for secret in self.secrets}
        given = [part.partition(",") for part in signatures.split(" ")]
        for version, _, signature in given:
            for right in expected:
                if version == "v1" and hmac.compare_digest(signature, right):
                    return message_id
        raise Refused(401, {"message": "No matching signature found"})


def _sign(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
