"""The answers and the latencies of each deployment, by the second."""

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sandbox.workspace.arm import Json

RETENTION_SECONDS = 48 * 3600
#: Of one second; the newest are kept.
MOST_LATENCIES = 1000


@dataclass(slots=True)
class Tally:
    """The requests that one deployment answered within some time."""

    #: How often the caller saw a status, with the model container's own beside it.
    statuses: Counter[tuple[int, int | None]] = field(default_factory=Counter)
    #: How many of them were copies of requests that another deployment answered.
    mirrored: int = 0
    #: Real milliseconds, one per request.
    latencies: array[float] = field(default_factory=lambda: array("d"))

    def count(self) -> int:
        """Return how many requests there were."""
        return self.statuses.total()

    def add(self, status: int, model_status: int | None, latency_ms: float) -> None:
        """Count one request."""
        if len(self.latencies) < MOST_LATENCIES:
            self.latencies.append(latency_ms)
        else:
            self.latencies[self.count() % MOST_LATENCIES] = latency_ms
        self.statuses[status, model_status] += 1

    def include(self, other: "Tally") -> None:
        """Count what another tally has counted, too."""
        self.statuses.update(other.statuses)
        self.mirrored += other.mirrored
        self.latencies.extend(other.latencies)


@dataclass(frozen=True, slots=True)
class Source:
    """Who answered."""

    workspace: str
    endpoint: str
    deployment: str


class Measurements:
    """Counts scoring requests, for the metrics and for the control surface."""

    def __init__(self) -> None:
        #: By Unix second, oldest first.
        self._seconds: dict[Source, dict[int, Tally]] = {}

    def record(
        self,
        workspace: str,
        endpoint: str,
        deployment: str,
        *,
        at: datetime,
        status: int,
        model_status: int | None,
        latency_ms: float,
        is_mirrored: bool,
    ) -> None:
        """Count one request."""
        second = int(at.timestamp())
        seconds = self._seconds.setdefault(Source(workspace, endpoint, deployment), {})
        if second not in seconds:
            seconds[second] = Tally()
            self._forget_before(second - RETENTION_SECONDS)
        tally = seconds[second]
        tally.add(status, model_status, latency_ms)
        tally.mirrored += is_mirrored

    def of_endpoint(self, workspace: str, endpoint: str) -> dict[str, Mapping[int, Tally]]:
        """Return what each deployment answered, by name and Unix second, the deleted ones too."""
        return {
            source.deployment: seconds
            for source, seconds in self._seconds.items()
            if (source.workspace, source.endpoint) == (workspace, endpoint)
        }

    def documents(self, span: int = 60) -> Iterator[Json]:
        """Yield every span, of so many seconds, in which a deployment was asked, oldest first."""
        spans: dict[tuple[int, Source], Tally] = {}
        for source, seconds in self._seconds.items():
            for second, tally in seconds.items():
                spans.setdefault((second - second % span, source), Tally()).include(tally)
        for (start, source), tally in sorted(spans.items(), key=lambda item: item[0][0]):
            yield {
                "workspace": source.workspace,
                "endpoint": source.endpoint,
                "deployment": source.deployment,
                "start": datetime.fromtimestamp(start, UTC).isoformat(),
                "mirrored": tally.mirrored,
                "latencies": [round(latency, 3) for latency in tally.latencies],
                "statuses": [
                    {"status": status, "modelStatus": model_status, "count": count}
                    for (status, model_status), count in tally.statuses.items()
                ],
            }

    def clear(self) -> None:
        """Forget everything."""
        self._seconds.clear()

    def _forget_before(self, second: int) -> None:
        for seconds in self._seconds.values():
            while seconds and (oldest := next(iter(seconds))) < second:
                del seconds[oldest]
