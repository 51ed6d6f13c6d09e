"""A customer of an endpoint: one scoring request after the other, for as long as it runs."""

import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Self

import httpx

#: The header in which a managed online endpoint says which deployment answered.
_ANSWERED_BY = "azureml-model-deployment"
_PAUSE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """From here on another deployment answers; `before` is how many answers there were by then."""

    at: datetime
    deployment: str
    before: int


class Customer:
    """Sends real requests to an endpoint's scoring address and counts who answered."""

    def __init__(self, *, ca_path: Path) -> None:
        #: Where it asks; "" until it begins.
        self.url = ""
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self.switches: list[Switch] = []
        tls = ssl.create_default_context(cafile=str(ca_path))
        self._http = httpx.Client(verify=tls, timeout=10, trust_env=False)
        self._stopping = Event()
        self._asking = Event()
        self._thread: Thread | None = None

    @property
    def answered(self) -> int:
        """How many requests were answered well."""
        return self.answers.total()

    @property
    def serving(self) -> str:
        """Which deployment answered last, "" before the first answer."""
        return self.switches[-1].deployment if self.switches else ""

    def start(self, url: str, token: str, body: bytes) -> None:
        """Begin to ask, every tenth of a second, until the end."""
        self.url = url
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = self._http.build_request("POST", url, content=body, headers=headers)
        self._thread = Thread(target=self._ask, args=(request,), name="customer", daemon=True)
        self._asking.set()
        self._thread.start()

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Ask nothing inside the block."""
        self._asking.clear()
        try:
            yield
        finally:
            self._asking.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._http.close()

    def _ask(self, request: httpx.Request) -> None:
        while not self._stopping.wait(_PAUSE):
            if not self._asking.is_set():
                continue
            try:
                answer = self._http.send(request)
            except httpx.HTTPError as error:
                self.failures.append(f"no answer: {type(error).__name__}")
                continue
            deployment = answer.headers.get(_ANSWERED_BY, "")
            if answer.status_code != 200:
                self.failures.append(f"HTTP {answer.status_code} of {deployment or 'the endpoint'}")
                continue
            if deployment != self.serving:
                now = datetime.now(UTC)
                self.switches.append(Switch(at=now, deployment=deployment, before=self.answered))
            self.answers[deployment] += 1
