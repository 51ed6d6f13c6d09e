"""What deployments did, by the minute: the figures that gates are judged from, and their source."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from shared.events.model import Workspace


class Measure(StrEnum):
    """What can be measured of a deployment, under the names that gates have in reactions.yaml."""

    ERROR_RATE = "error_rate"  #: Share of requests that failed, 0 to 1.
    LATENCY = "latency"  #: Mean time to answer, in milliseconds.
    LATENCY_P50 = "latency_p50"  #: Percentiles of the time to answer, in milliseconds.
    LATENCY_P90 = "latency_p90"
    LATENCY_P95 = "latency_p95"
    LATENCY_P99 = "latency_p99"
    REQUESTS = "requests"  #: Requests in the whole window.
    CPU = "cpu"  #: Use of the processors, in percent.
    MEMORY = "memory"  #: Use of memory, in percent.

    @property
    def is_latency(self) -> bool:
        """Whether it is a time to answer."""
        return self.name.startswith("LATENCY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """What one deployment did in one minute, or whatever span the readings are of.

    `values` are the latencies, CPU and memory, as far as the service tells them.
    """

    at: datetime  #: When it began.
    requests: int = 0
    errors: int = (
        0  #: Of the requests, those that failed on the service's side: 5xx, 424, 408, 429.
    )
    values: Mapping[Measure, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """The minutes of each deployment that was asked for, in order, without those of no data.

    `queries` are the requests that were sent, without their host, for whoever wants to ask again.
    """

    start: datetime
    end: datetime
    grain: timedelta
    minutes: Mapping[str, tuple[Minute, ...]]
    queries: tuple[str, ...] = ()


class Metrics(Protocol):
    """The metrics of online endpoints."""

    @property
    def grain(self) -> timedelta:
        """The span of one reading: a minute."""
        ...

    def read(
        self,
        workspace: Workspace,
        endpoint: str,
        deployments: Collection[str],
        measures: Collection[Measure],
        *,
        start: datetime,
        end: datetime,
    ) -> Readings:
        """Return what the deployments did from `start` until before `end`, both whole minutes.

        Raises: WorkspaceUnreachable, WorkspaceThrottled, WorkspaceDenied, WorkspaceRefused.
        """
        ...
