"""One client of every service: tokens, JSON both ways, and refusals as our errors.

One call is one exchange, whose bounds are http.py's: a deadline, so many bytes, no redirect, no
second try. Of an answer only its error's words get into an error, without the request's secrets.
"""

import json
import math
import uuid
from collections.abc import Container, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from shared.adapters.http import BODY_MAX, TIMEOUT, Http, NoAnswer, Reply, is_https
from shared.adapters.identity import NoToken, Tokens
from shared.adapters.refusals import Refusals, parse_retry_after, refusal
from shared.adapters.untraced import untraced
from shared.base.clock import Clock, SystemClock
from shared.base.errors import SignalboxError
from shared.base.incoming import Json, objects_in, read_json

#: No list that is read here is longer: more pages than this are a fault of the service.
PAGES_MAX = 20
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer of a service.

    Header names are in lower case; the body is {} where it is no JSON object, or too long.
    """

    status: int
    headers: Mapping[str, str]
    body: Json

    @property
    def is_good(self) -> bool:
        """Whether the request was done."""
        return 200 <= self.status < 300


class Client:
    """Sends requests to one kind of service, safe to share between threads.

    Every method raises the errors of the service's table. No address, header or secret of a
    request is in an error or a log.
    """

    def __init__(
        self,
        table: Refusals,
        *,
        http: Http | None = None,
        clock: Clock | None = None,
        tokens: Tokens | None = None,
        root: str = "",
        query: Mapping[str, str] = _NOTHING,
        headers: Mapping[str, str] = _NOTHING,
        most: int = BODY_MAX,
    ) -> None:
        """Make the requests with `http`, and read at most `most` bytes of an answer.

        With `tokens`, requests carry one. An address that begins with a slash is below `root`, and
        gets `query`; `headers` are sent with every request.
        """
        self._table: Final = table
        self._http: Final = http or Http()
        self.clock: Final = clock or SystemClock()
        self._tokens: Final = tokens
        self.root: Final = root.rstrip("/")
        self._query: Final = query
        self._headers: Final = headers
        self._most: Final = most

    def call(
        self,
        method: str,
        address: str,
        doing: str,
        *,
        query: Mapping[str, str | int] = _NOTHING,
        headers: Mapping[str, str] = _NOTHING,
        body: Json | bytes | None = None,
        expected: Container[int] = (),
        secrets: tuple[str, ...] = (),
        is_untraced: bool = False,
        may_be_empty: bool = False,
    ) -> Answer:
        """Send a request; an error status raises, except where it is `expected`.

        `doing` opens the error's message. A body of bytes is JSON already. `secrets` are taken out
        of the answer, as a bearer token always is; `is_untraced` keeps the address out of traces.
        A GET has to be answered with a document, unless the answer `may_be_empty`.
        """
        if address.startswith("/"):
            address, query = f"{self.root}{address}", {**self._query, **query}
        url = with_query(address, query)
        self._check_https(url, doing)
        sent = {"Accept": "application/json", **self.signed(doing), **headers}
        bearer = sent.get("Authorization", "").removeprefix("Bearer ")
        content = body if body is None or isinstance(body, bytes) else encode(body)
        if content is not None:
            sent["Content-Type"] = "application/json"
        with untraced() if is_untraced else nullcontext():
            reply = self.exchange(
                method, url, doing, headers=sent, content=content, most=self._most
            )
        found = _parse(reply.body, (*secrets, bearer)) if reply.is_whole else {}
        answer = Answer(status=reply.status, headers=reply.headers, body=found)
        if not answer.is_good and answer.status not in expected:
            raise self.refusal(doing, answer)
        if method == "GET" and answer.status == 200 and not (answer.body or may_be_empty):
            raise self._table.unreachable(f"{doing}: the answer is no document")
        return answer

    def follow(self, url: str, doing: str, *, expected: Container[int] = ()) -> Answer:
        """Get an address that the service gave us, exactly as it is: some are signed.

        The answer may be empty. Raises: SignalboxError, the table's `refused`, if it leads away
        from the root.
        """
        self._check_below(url, self.root, doing)
        return self.call("GET", url, doing, expected=expected, may_be_empty=True)

    def pages(
        self, address: str, doing: str, *, query: Mapping[str, str] = _NOTHING
    ) -> Iterator[Json]:
        """Yield the items of a list, page by page; none where there is no such list.

        The next page is named by its address, or by a token. Raises: SignalboxError, the table's
        `refused`, for a list that does not end, or that goes on at another host.
        """
        answer = self.call("GET", address, doing, query=query, expected=(404,))
        parts = urlsplit(address)
        origin = f"{parts.scheme}://{parts.netloc}" if parts.netloc else self.root
        for _ in range(PAGES_MAX):
            if answer.status == 404:
                return
            yield from objects_in(answer.body, "value")
            link, token = answer.body.get("nextLink"), answer.body.get("continuationToken")
            if link:
                url = f"{origin}{link}" if str(link).startswith("/") else str(link)
                self._check_below(url, origin, doing)
                answer = self.call("GET", url, doing)
            elif token:
                more = {**query, "$continuationtoken": str(token)}
                answer = self.call("GET", address, doing, query=more)
            else:
                return
        raise self._table.refused(f"{doing}: the list does not end after {PAGES_MAX} pages")

    def exchange(
        self,
        method: str,
        url: str,
        doing: str,
        *,
        headers: Mapping[str, str],
        content: bytes | None = None,
        seconds: float = TIMEOUT,
        most: int = BODY_MAX,
    ) -> Reply:
        """Send a request as it is, and return any answer as it is.

        Raises: SignalboxError, the table's `unreachable` if none came in time, or `refused` if the
        address is not safe to send a secret to.
        """
        self._check_https(url, doing)
        try:
            reply = self._http.send(
                method, url, headers=headers, content=content, seconds=seconds, most=most
            )
        except NoAnswer as error:
            raise self._table.unreachable(f"{doing}: no answer ({error})") from None
        if self._tokens and reply.status == 401:
            self._tokens.forget()
        return reply

    def token(self, doing: str) -> str:
        """Return the token that requests carry, "" where they carry none."""
        try:
            return self._tokens.get() if self._tokens else ""
        except NoToken as error:
            kind = self._table.denied if error.is_denied else self._table.unreachable
            raise kind(f"{doing}: {error}") from error

    def signed(self, doing: str) -> dict[str, str]:
        """Return the headers that every request has, the token among them."""
        headers = {**self._headers}
        if token := self.token(doing):
            headers["Authorization"] = f"Bearer {token}"
            headers["x-ms-client-request-id"] = str(uuid.uuid4())
        return headers

    def refusal(self, doing: str, answer: Answer) -> SignalboxError:
        """Return the error that an answer with an error status stands for."""
        wait = parse_retry_after(answer.headers, self.clock)
        return refusal(self._table, doing, answer.status, answer.body, retry_after=wait)

    def _check_https(self, url: str, doing: str) -> None:
        # Parsers disagree about an address with an @, so no token is sent there.
        if not is_https(url) or (self._tokens and urlsplit(url).username is not None):
            raise self._table.refused(f"{doing}: its address is not an https:// address")

    def _check_below(self, url: str, origin: str, doing: str) -> None:
        if not is_below(url, origin):
            raise self._table.refused(f"{doing}: the address leads away from {origin}")


def with_query(address: str, query: Mapping[str, str | int]) -> str:
    """Return an address with a query, as it is sent."""
    return f"{address}?{urlencode(query, quote_via=quote, safe='$')}" if query else address


def path_to(*names: str | int, error: type[SignalboxError]) -> str:
    """Return the path to what the names name, one in the other, each as one segment.

    Raises: SignalboxError, as `error`, for an empty name or dots: names come from events, and `..`
    would lead up.
    """
    for name in map(str, names):
        if name in ("", ".", ".."):
            raise error(f"nothing can be named {name!r}")
    return "".join(f"/{quote(str(name), safe='')}" for name in names)


def is_below(url: str, origin: str) -> bool:
    """Say whether an address belongs to an origin, which has no path."""
    # No parsing: parsers disagree about odd addresses, and the slash ends the host for all.
    roots = (f"{origin}/", f"{origin}:443/")
    return url.lower().startswith(tuple(root.lower() for root in roots))


def encode(body: Json) -> bytes:
    """Return a body as JSON; a number that JSON has no word for becomes null."""
    return json.dumps(_plain(body), separators=(",", ":")).encode()


def _parse(body: bytes, secrets: tuple[str, ...]) -> Json:
    try:
        document = read_json(body)
        # Written again, so that a secret is spelled in one way only.
        text = cleaned = json.dumps(document, ensure_ascii=False)
        for secret in filter(None, secrets):
            cleaned = cleaned.replace(json.dumps(secret, ensure_ascii=False)[1:-1], "[redacted]")
        if cleaned != text:
            document = read_json(cleaned)
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
