"""A stream of scoring requests at a stated rate, which does not slow down for slow answers.

`python -m sandbox.load https://localhost:…/inference/…/score --token KEY --rate 50`
"""

import asyncio
import json
import logging
import signal
import ssl
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import httpx

from sandbox.command_line import Parser
from sandbox.running import Running

log = logging.getLogger(__name__)

_BODY = {"input_data": [[1, 2], [3, 4]]}
#: The header of a request that chooses a deployment, and of the answer that names it.
_DEPLOYMENT = "azureml-model-deployment"
_GOOD = 200
#: The status of a request that got no answer.
NO_ANSWER = 0
_MOST_OPEN = 256
_TIMEOUT_SECONDS = 30
_STOP_SECONDS = 10
#: A connection that was idle for longer is not used again: servers close theirs after 5 seconds and
#: more, and a request that meets that gets no answer.
_IDLE_SECONDS = 2.0
#: A late start is caught up within this time; older requests are not sent.
_MOST_LATE_SECONDS = 1.0


@dataclass(slots=True)
class Second:
    """The results of the requests that were due within one second."""

    at: datetime
    #: How often each status was the answer.
    statuses: Counter[int] = field(default_factory=Counter)
    #: How often each deployment gave a good answer.
    deployments: Counter[str] = field(default_factory=Counter)
    #: Milliseconds, one per request that was sent and has ended.
    latencies: list[float] = field(default_factory=list)
    #: Those for which too many were open, or which were due too long ago.
    unsent: int = 0


class Load(Running):
    """Sends requests to a scoring address from a thread of its own; a context manager.

    `token` is a key or a token. `rate` is in requests per second, positive, and may be set while
    it runs. With `deployment` all go to that one; while `most_open` are open no more are sent.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        rate: float = 50.0,
        body: Any = None,
        ca_path: Path | None = None,
        deployment: str = "",
        most_open: int = _MOST_OPEN,
    ) -> None:
        self.rate = rate
        self._url = url
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
        } | ({_DEPLOYMENT: deployment} if deployment else {})
        self._content = json.dumps(_BODY if body is None else body).encode()
        self._tls = ssl.create_default_context(cafile=str(ca_path) if ca_path else None)
        self._most_open = most_open
        self._seconds: dict[int, Second] = {}
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def start(self) -> Self:
        """Begin to send; returns at once."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Send no more, and wait a while for the answers that are still to come."""
        self._ending.set()
        self._thread.join(_STOP_SECONDS)

    def seconds(self) -> list[Second]:
        """Return what has happened so far, oldest first; of the last seconds some may be open."""
        with self._lock:
            return [
                Second(
                    each.at,
                    each.statuses.copy(),
                    each.deployments.copy(),
                    each.latencies.copy(),
                    each.unsent,
                )
                for each in self._seconds.values()
            ]

    def statuses(self) -> Counter[int]:
        """Return how often each status was the answer so far; `NO_ANSWER` counts the rest."""
        return sum((each.statuses for each in self.seconds()), Counter())

    def answered_by(self) -> Counter[str]:
        """Return how often each deployment gave a good answer so far."""
        return sum((each.deployments for each in self.seconds()), Counter())

    def latency(self, percent: float) -> float:
        """Return a percentile of all latencies so far, in milliseconds; 0 if there are none."""
        latencies = sorted(ms for each in self.seconds() for ms in each.latencies)
        return latencies[int((len(latencies) - 1) * percent / 100)] if latencies else 0.0

    def _run(self) -> None:
        asyncio.run(self._send_all())

    async def _send_all(self) -> None:
        limits = httpx.Limits(
            max_connections=self._most_open,
            max_keepalive_connections=None,
            keepalive_expiry=_IDLE_SECONDS,
        )
        open_requests: set[asyncio.Task[None]] = set()
        async with httpx.AsyncClient(
            verify=self._tls, limits=limits, headers=self._headers, timeout=_TIMEOUT_SECONDS
        ) as client:
            due = time.monotonic()
            # The second that a request is due in does not depend on when the machine sends it.
            ahead = time.time() - due
            while not self._ending.is_set():
                late = time.monotonic() - due
                if late < 0:
                    await asyncio.sleep(min(-late, 0.1))
                    continue
                second = self._second(due + ahead)
                if late > _MOST_LATE_SECONDS or len(open_requests) >= self._most_open:
                    second.unsent += 1
                else:
                    task = asyncio.create_task(self._send(client, second))
                    open_requests.add(task)
                    task.add_done_callback(open_requests.discard)
                    await asyncio.sleep(0)
                due += 1 / self.rate
            if open_requests:
                await asyncio.wait(open_requests, timeout=_STOP_SECONDS / 2)

    async def _send(self, client: httpx.AsyncClient, second: Second) -> None:
        started = time.perf_counter()
        try:
            response = await client.post(self._url, content=self._content)
        except (httpx.HTTPError, asyncio.CancelledError) as error:
            # The stop ends the wait for an answer.
            log.warning("a request got no answer: %s", type(error).__name__)
            status, deployment = NO_ANSWER, ""
        else:
            status = response.status_code
            deployment = response.headers.get(_DEPLOYMENT, "")
        with self._lock:
            second.statuses[status] += 1
            second.deployments[deployment] += int(status == _GOOD)
            second.latencies.append((time.perf_counter() - started) * 1000)

    def _second(self, due: float) -> Second:
        key = int(due)
        with self._lock:
            return self._seconds.setdefault(key, Second(datetime.fromtimestamp(key, UTC)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, send until a signal stops it, and print every second."""
    options = _parser().parse_args(arguments)
    ending = threading.Event()
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, lambda *_: ending.set())
    body = json.loads(options.body.read_text()) if options.body else None
    with Load(
        options.url,
        options.token,
        rate=options.rate,
        body=body,
        ca_path=options.ca,
        deployment=options.deployment,
    ) as load:
        end = time.monotonic() + options.seconds
        printed = 0
        while time.monotonic() < end and not ending.wait(min(1.0, options.seconds)):
            # The last second is not over yet.
            for second in (seconds := load.seconds())[printed:-1]:
                _print_second(second)
            printed = max(printed, len(seconds) - 1)
    for second in load.seconds()[printed:]:
        _print_second(second)
    total = {status: count for status, count in sorted(load.statuses().items())}
    print(json.dumps({"statuses": total, "p50": load.latency(50), "p95": load.latency(95)}))


def _print_second(second: Second) -> None:
    mean = sum(second.latencies) / (len(second.latencies) or 1)
    counts = ", ".join(f"{status}: {count}" for status, count in sorted(second.statuses.items()))
    print(f"{second.at:%H:%M:%S}  {counts}; mean {mean:.1f} ms, unsent {second.unsent}", flush=True)


def _parser() -> Parser:
    parser = Parser(prog="python -m sandbox.load", description=__doc__)
    add = parser.add_argument
    add("url", help="the endpoint's scoring address")
    add("--token", required=True, help="a key or a token")
    add("--rate", type=float, default=50.0, help="requests per second")
    add("--seconds", type=float, default=float("inf"), help="how long; else until it is stopped")
    add("--body", type=Path, help="a file with the JSON to send")
    add("--ca", type=Path, help="the PEM of the authority to trust")
    add("--deployment", default="", help="the deployment to send all to, whatever the split")
    return parser


if __name__ == "__main__":
    main()
