"""What each deployment answered and how fast, by the minute."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from sandbox.workspace.arm import Json


@dataclass(slots=True)
class Minute:
    """The requests that one deployment answered within one minute of emulated time."""

    #: How often the caller saw a status, with the model container's own beside it.
    statuses: Counter[tuple[int, int | None]] = field(default_factory=Counter)
    #: How many of them were copies of requests that another deployment answered.
    mirrored: int = 0
    #: Real milliseconds, one per request.
    latencies: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Key:
    """Whose minute it is."""

    workspace: str
    endpoint: str
    deployment: str
    minute: datetime


class Measurements:
    """Counts scoring requests; what a metrics API would read."""

    def __init__(self) -> None:
        self._minutes: dict[Key, Minute] = {}

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
        key = Key(workspace, endpoint, deployment, at.replace(second=0, microsecond=0))
        minute = self._minutes.setdefault(key, Minute())
        minute.statuses[status, model_status] += 1
        minute.mirrored += is_mirrored
        minute.latencies.append(latency_ms)

    def minutes(self) -> Iterator[tuple[Key, Minute]]:
        """Yield every minute in which a deployment was asked anything, oldest first."""
        yield from sorted(self._minutes.items(), key=lambda item: item[0].minute)

    def documents(self) -> Iterator[Json]:
        """Yield every minute as the control API shows it."""
        for key, minute in self.minutes():
            yield {
                "workspace": key.workspace,
                "endpoint": key.endpoint,
                "deployment": key.deployment,
                "minute": key.minute.isoformat(),
                "mirrored": minute.mirrored,
                "latencies": [round(latency, 3) for latency in minute.latencies],
                "statuses": [
                    {"status": status, "modelStatus": model_status, "count": count}
                    for (status, model_status), count in minute.statuses.items()
                ],
            }

    def clear(self) -> None:
        """Forget everything."""
        self._minutes.clear()
