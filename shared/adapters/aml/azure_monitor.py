"""The metrics of online endpoints, from Azure Monitor.

Azure Monitor has one value a minute, some minutes late, and no single requests. Which metrics there
are, and by what they can be split, is in its reference of supported metrics, under
Microsoft.MachineLearningServices/workspaces/onlineEndpoints and …/deployments.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import fmean
from types import MappingProxyType
from typing import Any, Final

from shared.adapters.aml.arm import path_of, segments
from shared.adapters.client import Client, with_query
from shared.base.errors import QuotaExceeded, WorkspaceBusy, WorkspaceUnreachable
from shared.base.incoming import Json, object_in, objects_in, read_time, write_time
from shared.base.redact import redact
from shared.events.model import Workspace
from shared.workspaces.metrics import Measure, Minute, Readings

#: Azure Monitor's own version, which differs from that of the workspaces' resources.
API_VERSION = "2024-02-01"
#: How many series an answer may have. An endpoint has 20 deployments at the most, each of which
#: answers with a handful of statuses; without this Azure Monitor leaves out all but ten.
SERIES_MAX = 200
#: No value that is measured here is larger: a larger one is no measurement.
_VALUE_MAX = 1e12

_MINUTE = timedelta(minutes=1)
_COUNTS = "RequestsPerMinute"
_LATENCIES: Final = MappingProxyType(
    {
        Measure.LATENCY: "RequestLatency",
        Measure.LATENCY_P50: "RequestLatency_P50",
        Measure.LATENCY_P90: "RequestLatency_P90",
        Measure.LATENCY_P95: "RequestLatency_P95",
        Measure.LATENCY_P99: "RequestLatency_P99",
    }
)
_LOADS: Final = MappingProxyType(
    {Measure.CPU: "CpuUtilizationPercentage", Measure.MEMORY: "CpuMemoryUtilizationPercentage"}
)
#: By names in lower case: Azure Monitor does not promise their casing.
_MEASURES = {name.lower(): measure for measure, name in (_LATENCIES | _LOADS).items()}
_ERRORS = frozenset({"408", "424", "429"})


@dataclass(slots=True)
class _Cell:
    """The readings of one deployment in one minute. Counts are rates per minute."""

    requests: float = 0.0
    errors: float = 0.0
    values: dict[Measure, list[float]] = field(default_factory=lambda: defaultdict(list))


@dataclass(frozen=True, slots=True)
class _Series:
    """One line of a chart. Names are in lower case, also those of dimensions."""

    metric: str
    labels: Mapping[str, str]
    points: tuple[tuple[datetime, float], ...]


class AzureMonitorMetrics:
    """The metrics of online endpoints, safe to share between threads.

    A read is one request for the counts, one more where a latency is wanted, and one for each
    deployment where CPU or memory is wanted.

    Errors are the answers that are not the caller's fault: 5xx, 408 (too late), 429 (no capacity
    left) and 424 (the model failed, also over input that it refuses: Azure does not tell these
    apart). Other 4xx are the caller's: a wrong key, a wrong path.
    """

    def __init__(self, arm: Client, *, grain: timedelta) -> None:
        self._arm: Final = arm
        self._grain: Final = grain

    @property
    def grain(self) -> timedelta:
        """The span of one reading."""
        return self._grain

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
        """Return the readings of deployments from `start` until before `end`, both whole minutes.

        Requests are always counted, even if no measure asks for them. Raises: WorkspaceUnreachable,
        WorkspaceThrottled, WorkspaceDenied, WorkspaceRefused.
        """
        path = path_of(workspace, "onlineEndpoints", endpoint)
        reading = _MetricsRead(self._arm, path, self._grain, start, end, tuple(deployments))
        if deployments and start < end:
            reading.ask(measures)
        return Readings(
            start=start,
            end=end,
            grain=self._grain,
            minutes={name: reading.minutes(name) for name in deployments},
            queries=tuple(reading.queries),
        )


@dataclass(slots=True)
class _MetricsRead:
    """One read of an endpoint: asks, and gathers the answers by deployment and minute."""

    arm: Client
    path: str
    grain: timedelta
    start: datetime
    end: datetime
    deployments: tuple[str, ...]
    queries: list[str] = field(default_factory=list)
    #: By the deployment's name in lower case.
    cells: dict[str, dict[datetime, _Cell]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(_Cell))
    )

    def ask(self, measures: Collection[Measure]) -> None:
        """Ask for the requests and the measures."""
        self._count_requests()
        if latencies := [name for measure, name in _LATENCIES.items() if measure in measures]:
            self._add_latencies(latencies)
        if loads := [name for measure, name in _LOADS.items() if measure in measures]:
            self._add_loads(loads)

    def minutes(self, deployment: str) -> tuple[Minute, ...]:
        """Return the minutes of a deployment that have a reading, in order."""
        cells = sorted(self.cells[deployment.lower()].items())
        made = (self._minute(at, cell) for at, cell in cells)
        return tuple(minute for minute in made if minute.requests or minute.values)

    def _count_requests(self) -> None:
        query = {"$filter": f"{self._whose()} and statusCode eq '*'"}
        for cells, series in self._of_deployments([_COUNTS], query):
            if series.metric != _COUNTS.lower():
                continue
            is_error = _is_error(series.labels.get("statuscode", ""))
            for at, value in series.points:
                cells[at].requests += value
                cells[at].errors += value if is_error else 0.0

    def _add_latencies(self, metrics: list[str]) -> None:
        query = {"$filter": self._whose()}
        for cells, series in self._of_deployments(metrics, query):
            # Zeros are left out: they fill gaps, and no answer takes no time.
            _add_values(cells, series, [(at, value) for at, value in series.points if value > 0])

    def _add_loads(self, metrics: list[str]) -> None:
        # Each is the mean of the instances.
        for name in self.deployments:
            path = f"{self.path}{segments('deployments', name)}"
            for series in self._series(path, metrics, {}):
                _add_values(self.cells[name.lower()], series, series.points)

    def _minute(self, at: datetime, cell: _Cell) -> Minute:
        share = self.grain / _MINUTE
        return Minute(
            at=at,
            requests=round(cell.requests * share),
            errors=round(cell.errors * share),
            values={measure: fmean(values) for measure, values in cell.values.items()},
        )

    def _whose(self) -> str:
        # In such a filter `or` binds more tightly than `and`, and there are no brackets.
        names = (name.replace("'", "''") for name in self.deployments)
        return " or ".join(f"deployment eq '{name}'" for name in names)

    def _of_deployments(
        self, metrics: list[str], query: Mapping[str, str]
    ) -> Iterator[tuple[dict[datetime, _Cell], _Series]]:
        # `top` is accepted only beside a filter.
        known = {name.lower() for name in self.deployments}
        for series in self._series(self.path, metrics, {**query, "top": str(SERIES_MAX)}):
            name = series.labels.get("deployment", "").lower()
            if name in known:
                yield self.cells[name], series

    def _series(self, path: str, metrics: list[str], query: Mapping[str, str]) -> Iterator[_Series]:
        doing = f"reading metrics {', '.join(metrics)}"
        path = f"{path}/providers/microsoft.insights/metrics"
        query = {
            "api-version": API_VERSION,
            "metricnames": ",".join(metrics),
            "aggregation": "Average",
            "interval": _interval(self.grain),
            "timespan": f"{write_time(self.start)}/{write_time(self.end)}",
            **query,
        }
        self.queries.append(with_query(path, query))
        try:
            answer = self.arm.call("GET", path, doing, query=query)
        except (WorkspaceBusy, QuotaExceeded) as error:  # a read can't mean these
            raise WorkspaceUnreachable(str(error), retry_after=error.retry_after) from error
        return self._parse(answer.body, doing)

    def _parse(self, body: Json, doing: str) -> Iterator[_Series]:
        for metric in objects_in(body, "value"):
            code = metric.get("errorCode") or "Success"
            if code != "Success":
                complaint = redact(f"{code}: {metric.get('errorMessage') or ''}", most=300)
                raise WorkspaceUnreachable(f"{doing}: {complaint}")
            for series in objects_in(metric, "timeseries"):
                labels = {
                    _name(label): str(label.get("value"))
                    for label in objects_in(series, "metadatavalues")
                }
                points = tuple(self._points(series))
                yield _Series(_name(metric), labels, points)

    def _points(self, series: Json) -> Iterator[tuple[datetime, float]]:
        for point in objects_in(series, "data"):
            at, value = read_time(point.get("timeStamp")), _parse_value(point.get("average"))
            if at is not None and self.start <= at < self.end and value is not None:
                yield at, value


def _add_values(
    cells: dict[datetime, _Cell], series: _Series, points: Collection[tuple[datetime, float]]
) -> None:
    if (measure := _MEASURES.get(series.metric)) is not None:
        for at, value in points:
            cells[at].values[measure].append(value)


def _is_error(status: str) -> bool:
    return status in _ERRORS or (len(status) == 3 and status.startswith("5"))


def _interval(grain: timedelta) -> str:
    return "PT1M" if grain == _MINUTE else f"PT{round(grain.total_seconds())}S"


def _name(document: Json) -> str:
    return str(object_in(document, "name").get("value") or "").lower()


def _parse_value(value: Any) -> float | None:
    """Read an average; None where it is absent or makes no sense."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= _VALUE_MAX else None  # NaN is within no bounds
