"""Metrics of deployments by the minute, from which gates are judged, and the port to read them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from shared.events.model import Workspace


class Measure(StrEnum):
    """The measures of a deployment, under the names that gates have in reactions.yaml."""

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
    """The readings of one deployment in one minute, or in another span of the metrics.

    `values` are the latencies, CPU and memory, as far as the service has them.
    """

    at: datetime  #: When it began.
    requests: int = 0
    errors: int = 0  #: The requests that failed on the service's side: 5xx, 424, 408, 429.
    values: Mapping[Measure, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """The minutes of each requested deployment, in order, without those that have no data.

    `queries` are the requests that were sent, without their host, so that a person can repeat them.
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
        """Return the deployments' readings from `start` until before `end`, both whole minutes.

        Raises: WorkspaceUnreachable, WorkspaceThrottled, WorkspaceDenied, WorkspaceRefused.
        """
        ...
