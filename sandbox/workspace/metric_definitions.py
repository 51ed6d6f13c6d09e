"""The metrics of online endpoints and of their deployments: what each counts, and how."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from sandbox.workspace.arm import PROVIDER
from sandbox.workspace.entities import Deployment
from sandbox.workspace.measurements import Tally

ENDPOINTS = f"{PROVIDER}/workspaces/onlineEndpoints"
DEPLOYMENTS = f"{ENDPOINTS}/deployments"
AGGREGATIONS = ("average", "minimum", "maximum", "total", "count")

#: The use of a deployment without requests, and how long a request keeps one instance busy.
IDLE_CPU_PERCENT = 5.0
SECONDS_OF_A_REQUEST = 0.005
USUAL_MEMORY_PERCENT = 35.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The time of a query: `start` until before `end`, in Unix seconds, every `step` seconds."""

    tallies: Mapping[str, Mapping[int, Tally]]
    start: int
    end: int
    step: int
    #: Of a query about a deployment.
    deployment: Deployment | None = None
    #: The percentages in use that were programmed.
    utilization: Mapping[str, float] = field(default_factory=dict)

    def seconds(self) -> Iterator[tuple[str, int, Tally]]:
        """Yield what each deployment answered in each second."""
        for deployment, seconds in self.tallies.items():
            for second, tally in seconds.items():
                if self.start <= second < self.end:
                    yield deployment, second, tally

    def steps(self) -> Iterator[tuple[int, int]]:
        """Yield the steps in which the deployment served, and on how many instances."""
        for second in range(self.start, self.end, self.step):
            moment = datetime.fromtimestamp(second, UTC)
            count = self.deployment.instances_at(moment) if self.deployment else 0
            if count:
                yield second, count


@dataclass(frozen=True, slots=True)
class Sample:
    """Values of one Unix second, and the dimensions that a filter can name."""

    second: int
    labels: Mapping[str, str]
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Span:
    """The span that is reduced to one value: so many seconds, sampled every `step`."""

    seconds: int
    step: int


type Reading = Callable[[Scope], Iterator[Sample]]
#: Brings values down to one; there is at least one.
type Reduction = Callable[[Sequence[float], Span], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric, as the service describes it."""

    name: str
    title: str
    about: str
    unit: str
    dimensions: tuple[str, ...]
    read: Reading
    #: By the name of the aggregation.
    reductions: Mapping[str, Reduction]


def _requests(scope: Scope) -> Iterator[Sample]:
    for deployment, second, tally in scope.seconds():
        for (status, model_status), count in tally.statuses.items():
            labels = {
                "deployment": deployment,
                "statusCode": str(status),
                "statusCodeClass": f"{status // 100}xx",
                "modelStatusCode": str(model_status or 0),
                "envoy_response_code": str(status),
            }
            yield Sample(second, labels, (count,))


def _latencies(scope: Scope) -> Iterator[Sample]:
    for deployment, second, tally in scope.seconds():
        yield Sample(second, {"deployment": deployment}, tally.latencies)


def _per_instance(value: Callable[[float], float], scope: Scope) -> Iterator[Sample]:
    """Yield what each instance shows, of the share of its time in which it is busy."""
    counts: dict[int, int] = {}
    for _, second, tally in scope.seconds():
        begin = second - (second - scope.start) % scope.step
        counts[begin] = counts.get(begin, 0) + tally.count()
    for second, instances in scope.steps():
        share = counts.get(second, 0) * SECONDS_OF_A_REQUEST / (scope.step * instances)
        for number in range(instances):
            labels = {"instanceId": f"instance-{number}", "State": "Ready"}
            yield Sample(second, labels, (value(share),))


def _cpu(scope: Scope) -> Iterator[Sample]:
    said = scope.utilization.get("cpu")

    def used(share: float) -> float:
        return min(100.0, IDLE_CPU_PERCENT + 100 * share) if said is None else said

    return _per_instance(used, scope)


def _memory(scope: Scope) -> Iterator[Sample]:
    said = scope.utilization.get("memory", USUAL_MEMORY_PERCENT)
    return _per_instance(lambda _: said, scope)


def _capacity(scope: Scope) -> Iterator[Sample]:
    return _per_instance(lambda _: 1, scope)


def _rate(values: Sequence[float], span: Span) -> float:
    return sum(values) * 60 / span.seconds


def _concurrent(values: Sequence[float], span: Span) -> float:
    return sum(values) * span.step / span.seconds


def _mean(values: Sequence[float], span: Span) -> float:
    return sum(values) / len(values)


def _least(values: Sequence[float], span: Span) -> float:
    return min(values)


def _most(values: Sequence[float], span: Span) -> float:
    return max(values)


def _percentile(percent: int, values: Sequence[float], span: Span) -> float:
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


_GAUGE: Mapping[str, Reduction] = {"average": _mean, "minimum": _least, "maximum": _most}


def _latency_metrics(*dimensions: str) -> Iterator[Metric]:
    for percent in (50, 90, 95, 99):
        yield Metric(
            name=f"RequestLatency_P{percent}",
            title=f"Request Latency P{percent}",
            about=f"The average P{percent} request latency aggregated by all request latency "
            "values collected over the selected time period",
            unit="MilliSeconds",
            dimensions=dimensions,
            read=_latencies,
            reductions={"average": partial(_percentile, percent)},
        )


def _request_metric(*dimensions: str) -> Metric:
    return Metric(
        name="RequestsPerMinute",
        title="Requests Per Minute",
        about="The number of requests sent to online endpoint within a minute",
        unit="Count",
        dimensions=dimensions,
        read=_requests,
        reductions={"average": _rate},
    )


def _instance_metric(
    name: str, title: str, about: str, unit: str, *dimensions: str, read: Reading
) -> Metric:
    return Metric(
        name=name,
        title=title,
        about=about,
        unit=unit,
        dimensions=dimensions,
        read=read,
        reductions=_GAUGE,
    )


_LATENCY = Metric(
    name="RequestLatency",
    title="Request Latency",
    about="The average complete interval of time taken for a request to be responded in "
    "milliseconds",
    unit="MilliSeconds",
    dimensions=("deployment",),
    read=_latencies,
    reductions={"average": _mean},
)


def _by_name(*metrics: Metric) -> Mapping[str, Metric]:
    return {metric.name: metric for metric in metrics}


#: By the resource's type, then by name, in the service's order.
METRICS: Mapping[str, Mapping[str, Metric]] = {
    ENDPOINTS: _by_name(
        _LATENCY,
        *_latency_metrics("deployment"),
        _request_metric("deployment", "statusCode", "statusCodeClass", "modelStatusCode"),
    ),
    DEPLOYMENTS: _by_name(
        _instance_metric(
            "CpuMemoryUtilizationPercentage",
            "CPU Memory Utilization Percentage",
            "Percentage of memory utilization on an instance. Utilization is reported at one "
            "minute intervals.",
            "Percent",
            "instanceId",
            read=_memory,
        ),
        _instance_metric(
            "CpuUtilizationPercentage",
            "CPU Utilization Percentage",
            "Percentage of CPU utilization on an instance. Utilization is reported at one "
            "minute intervals.",
            "Percent",
            "instanceId",
            read=_cpu,
        ),
        Metric(
            name="DeploymentCapacity",
            title="Deployment Capacity",
            about="The number of instances in the deployment.",
            unit="Count",
            dimensions=("instanceId", "State"),
            read=_capacity,
            reductions=dict.fromkeys(_GAUGE, _concurrent),
        ),
        *_latency_metrics(),
        _request_metric("envoy_response_code"),
    ),
}
