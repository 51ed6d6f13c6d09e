"""Requests to services beside AML: JSON over https, one call, one request, our errors.

Of what a service answers only its error's words are told, without what secrets they hold.
"""

import json
import math
import re
from collections.abc import Callable, Container, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

from shared.adapters.http import Http, NoAnswer, is_https
from shared.adapters.identity import NoToken, get_token
from shared.adapters.refusals import parse_complaint, parse_retry_after
from shared.adapters.untraced import untraced
from shared.base.clock import Clock, SystemClock
from shared.base.errors import (
    SignalboxError,
    TargetAbsent,
    TargetDenied,
    TargetRefused,
    TargetThrottled,
    TargetUnreachable,
)
from shared.base.outside import Json, read_json
from shared.base.redact import redact

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

#: What is kept of answers: nothing that is no id, or no address.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,199}")
_LINK = re.compile(
    r"https://[A-Za-z0-9.-]+(?::\d{1,5})?(?:/[A-Za-z0-9._~:/?#@!$&()*+,;=%-]{0,1900})?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestAnswer:
    """What a service answered.

    Header names are in lower case; the body is {} where it is no JSON object, or too long.
    """

    status: int
    headers: Mapping[str, str]
    body: Json

    @property
    def is_good(self) -> bool:
        """Whether the request was done."""
        return 200 <= self.status < 300


class Rest:
    """Sends requests to services, safe to share between threads.

    Raises from every call: TargetUnreachable, TargetThrottled, TargetDenied, TargetAbsent,
    TargetRefused. No address, header or secret of a request is in an error or a log.
    """

    def __init__(self, http: Http | None = None, *, clock: Clock | None = None) -> None:
        """Make the requests with `http`."""
        self._http: Final = http or Http()
        self.clock: Final = clock or SystemClock()

    def call(
        self,
        method: str,
        url: str,
        doing: str,
        *,
        headers: Mapping[str, str],
        content: bytes | None = None,
        expected: Container[int] = (),
        secrets: tuple[str, ...] = (),
        is_untraced: bool = False,
    ) -> RestAnswer:
        """Send a request.

        An error status raises, except where it is `expected`. `doing` opens the error's message.
        `secrets` are taken out of the answer; `is_untraced` keeps the address out of traces.
        """
        if not is_https(url):
            raise TargetRefused(f"{doing}: its address is not an https:// address")
        answer = self._send(method, url, doing, headers, content, secrets, is_untraced=is_untraced)
        if not answer.is_good and answer.status not in expected:
            raise self.refusal(doing, answer)
        return answer

    def refusal(self, doing: str, answer: RestAnswer) -> SignalboxError:
        """Return the error that an answer with an error status stands for."""
        status = answer.status
        complaint = str(parse_complaint(answer.body))
        told = f"{doing}: {complaint}" if complaint else f"{doing}: HTTP {status}"
        wait = parse_retry_after(answer.headers, self.clock)
        if status in (401, 403):
            return TargetDenied(told)
        if status in (404, 410):
            return TargetAbsent(told)
        if status == 429:
            return TargetThrottled(told, retry_after=wait)
        if status == 408 or status >= 500:
            return TargetUnreachable(told, retry_after=wait)
        if 300 <= status < 400:
            return TargetRefused(
                f"{doing}: it leads elsewhere (HTTP {status})",
                hint="No redirect is followed: name the new place, then replay the letter.",
            )
        return TargetRefused(told)

    def close(self) -> None:
        """Close the connections; only a process that goes on without them needs to."""
        self._http.close()

    def _send(
        self,
        method: str,
        url: str,
        doing: str,
        headers: Mapping[str, str],
        content: bytes | None,
        secrets: tuple[str, ...],
        *,
        is_untraced: bool,
    ) -> RestAnswer:
        sent = dict(headers)
        if content is not None:
            sent["Content-Type"] = "application/json"
        try:
            with untraced() if is_untraced else nullcontext():
                reply = self._http.send(method, url, headers=sent, content=content)
        except NoAnswer as error:
            raise TargetUnreachable(f"{doing}: no answer ({error})") from None
        return RestAnswer(
            status=reply.status,
            headers=reply.headers,
            body=_parse(reply.body, secrets) if reply.is_whole else {},
        )


def sign_in(credential: "Callable[[], TokenCredential]", scope: str, doing: str) -> str:
    """Return a token of the app's identity.

    Raises: TargetDenied where the identity may not have one, TargetUnreachable where nobody gave
    an answer.
    """
    try:
        return get_token(credential, scope).token
    except NoToken as error:
        kind = TargetDenied if error.is_denied else TargetUnreachable
        raise kind(f"{doing}: {error}") from error


def read_secret(environ: Mapping[str, str], name: str, doing: str) -> str:
    """Return an app setting that holds a secret; raise TargetAbsent where it holds none."""
    value = environ.get(name, "").strip()
    if not value:
        raise TargetAbsent(f"{doing}: the app setting {name} is not set")
    # What the platform leaves in the setting when it can't read the vault.
    if value.startswith("@Microsoft.KeyVault("):
        raise TargetAbsent(f"{doing}: the Key Vault reference of {name} does not resolve")
    if not value.isascii() or not value.isprintable():
        raise TargetAbsent(f"{doing}: the app setting {name} has characters that it can't have")
    return value


def url_of(root: str, *segments: str | int, **query: str | int) -> str:
    """Return the address of what the segments name below a root.

    Raises: TargetRefused for what names nothing: names may come from events, and `..` would be
    taken for the way up.
    """
    for segment in map(str, segments):
        if segment in ("", ".", ".."):
            raise TargetRefused(f"nothing can be named {segment!r}")
    path = "".join(f"/{quote(str(segment), safe='')}" for segment in segments)
    return f"{root}{path}" + (f"?{urlencode(query)}" if query else "")


def encode(body: Json) -> bytes:
    """Return a body as JSON; a number that JSON has no word for becomes null."""
    return json.dumps(_plain(body), separators=(",", ":")).encode()


def as_text(value: object) -> str:
    """Return a value as YAML writes it, for services whose inputs are all text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def clean_id(value: object) -> str:
    """Return what names a run, or "" for anything that can't."""
    text = str(value) if isinstance(value, str | int) else ""
    return text if _ID.fullmatch(text) else ""


def clean_link(value: object) -> str:
    """Return an https:// address that can be told to people, or "" for anything else."""
    if not isinstance(value, str) or _LINK.fullmatch(value) is None:
        return ""
    # One that has a secret in it is no use without.
    return value if redact(value, most=len(value)) == value else ""


def _parse(body: bytes, secrets: tuple[str, ...]) -> Json:
    try:
        document = read_json(body)
        # Written anew: however it was spelled, a secret is now spelled as we spell it.
        text = told = json.dumps(document, ensure_ascii=False)
        for secret in secrets:
            told = told.replace(json.dumps(secret, ensure_ascii=False)[1:-1], "[redacted]")
        if told != text:
            document = read_json(told)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    return value.isoformat() if isinstance(value, datetime) else str(value)
