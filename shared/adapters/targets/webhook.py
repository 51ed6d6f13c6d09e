"""Target `webhook`: a signed message to an address of one's own.

Source: standardwebhooks.com, standard-webhooks/standard-webhooks spec/standard-webhooks.md 1.0.0.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from shared.adapters.client import Client, encode
from shared.adapters.http import Http
from shared.adapters.refusals import TARGET
from shared.adapters.targets.values import clean_id, clean_link, read_secret
from shared.base.clock import Clock
from shared.base.errors import SettingInvalid
from shared.base.outgoing import for_tag
from shared.retraining.targets import (
    REFERENCE,
    Submission,
    Submitted,
    TargetRun,
    TargetStatus,
    WebhookTarget,
)

#: In bytes, by the specification.
_KEY_MIN, _KEY_MAX = 24, 64
_PREFIX = "whsec_"
#: Has the reference, because a body of one's own may not.
_REFERENCE_HEADER = REFERENCE.replace("_", "-")
#: The least length of a secret among the values of an address's query, and in its path.
_VALUE_MIN, _SEGMENT_MIN = 8, 16


class Webhook:
    """Sends messages to the addresses that the app settings have.

    Every delivery for a submission has the same `webhook-id` and the same body, so that its
    receiver can recognise the second. The address is as secret as the key.
    """

    def __init__(
        self, environ: Mapping[str, str], *, http: Http | None = None, clock: Clock | None = None
    ) -> None:
        """Look addresses and keys up in these app settings, when they are used."""
        self._client: Final = Client(TARGET, http=http, clock=clock)
        self._environ: Final = environ

    def submit(self, params: WebhookTarget, submission: Submission) -> Submitted:
        """Deliver the message; the answer may name a `run` and a `link` to it.

        A 409 to a message that may have been delivered before says that it was.
        """
        doing = f"calling webhook {params.name!r}"
        url = read_secret(self._environ, webhook_setting(params.name, "URL"), doing)
        name = webhook_setting(params.name, "SECRET")
        secrets = check_secrets(read_secret(self._environ, name, doing), name)
        content = encode(_message(submission) if params.body is None else params.body)
        answer = self._client.call(
            "POST",
            url,
            doing,
            headers={
                **params.headers,
                _REFERENCE_HEADER: submission.reference,
                **self._sign(submission, content, secrets),
            },
            body=content,
            expected=() if submission.is_first else (409,),
            secrets=(url, *_secret_parts(url), *(key.removeprefix(_PREFIX) for key in secrets)),
            is_untraced=True,
        )
        return Submitted(
            run_id=clean_id(answer.body.get("run")),
            link=clean_link(answer.body.get("link")),
            found=answer.status == 409,
        )

    def look(self, params: WebhookTarget, submission: Submission, run_id: str) -> TargetRun:
        """Return UNKNOWN, because a webhook can't be asked."""
        return TargetRun(status=TargetStatus.UNKNOWN)

    def _sign(
        self, submission: Submission, content: bytes, secrets: tuple[str, ...]
    ) -> dict[str, str]:
        from standardwebhooks import Webhook as Signer

        now = self._client.clock.now()
        text = content.decode()
        signatures = (Signer(secret).sign(submission.id, now, text) for secret in secrets)
        return {
            "webhook-id": submission.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }


def webhook_setting(webhook: str, part: str) -> str:
    """Return the name of the app setting that holds the URL or the SECRET of a webhook."""
    return f"SIGNALBOX_WEBHOOK_{webhook.upper().replace('-', '_')}_{part}"


def _message(submission: Submission) -> dict[str, object]:
    workspace = submission.workspace
    return {
        "type": f"signalbox.{submission.kind}",
        "timestamp": submission.since,
        "data": {
            "id": submission.id,
            REFERENCE: submission.reference,
            "workspace": {
                "id": workspace.id,
                "subscription": workspace.subscription,
                "resource_group": workspace.resource_group,
                "name": workspace.name,
            },
            "inputs": submission.inputs,
            "tags": {name: for_tag(value) for name, value in submission.tags.items()},
            "drift": submission.drift,
        },
    }


def check_secrets(text: str, name: str) -> tuple[str, ...]:
    """Return the keys of a setting: one, or during a change the new one and the old one."""
    secrets = tuple(text.split())
    for secret in secrets:
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not secret.startswith(_PREFIX) or not _KEY_MIN <= len(key) <= _KEY_MAX:
            raise SettingInvalid(
                f"{name} is no webhook secret",
                hint=f"{name} takes {_PREFIX} and {_KEY_MIN} to {_KEY_MAX} random bytes in base64.",
            )
    return secrets


def _secret_parts(url: str) -> tuple[str, ...]:
    """Return the parts of an address that may be secret, in case an answer quotes one.

    Shorter parts may be ordinary words of a link.
    """
    parts = urlsplit(url)
    values = {value for _, value in parse_qsl(parts.query)} | {parts.query}
    values |= {piece.partition("=")[2] for piece in parts.query.split("&")}
    values |= {parts.username or "", parts.password or ""}
    segments = {segment for segment in parts.path.split("/") if len(segment) >= _SEGMENT_MIN}
    kept = {value for value in values if len(value) >= _VALUE_MIN} | segments
    return tuple(sorted(kept, key=len, reverse=True))
