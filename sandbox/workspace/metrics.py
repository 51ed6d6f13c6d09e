"""Azure Monitor's metrics API, as far as it goes for online endpoints and their deployments."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.workspace.arm import ArmError, ArmRoute, Json
from sandbox.workspace.cloud import Cloud, cloud_of
from sandbox.workspace.entities import Deployment, Endpoint
from sandbox.workspace.metric_definitions import (
    DEPLOYMENTS,
    ENDPOINTS,
    METRICS,
    Metric,
    Reduction,
    Scope,
    Span,
)
from sandbox.workspace.metric_queries import MINUTE, MetricsError, Query, parse_query
from sandbox.workspace.rules import MetricsLag, MetricsOutage, Utilization

VERSIONS = ("2018-01-01", "2019-07-01", "2021-05-01", "2023-10-01", "2024-02-01")

#: The key of a series: the values of its dimensions.
type Labels = tuple[tuple[str, str], ...]
#: Values by the Unix second at which their time begins.
type Values = dict[int, list[float]]


async def of_endpoint(request: Request) -> Response:
    """Return metrics of an endpoint."""
    endpoint = cloud_of(request).endpoint(request)
    return _answer(request, endpoint, None)


async def of_deployment(request: Request) -> Response:
    """Return metrics of one deployment."""
    cloud = cloud_of(request)
    return _answer(request, cloud.endpoint(request), cloud.deployment(request))


def _answer(request: Request, endpoint: Endpoint, deployment: Deployment | None) -> Response:
    cloud = cloud_of(request)
    _check_version(request.query_params["api-version"])
    subject = (deployment or endpoint).subject()
    outage = cloud.rules.take(MetricsOutage, subject)
    if outage:
        message = "The metrics cannot be read at the moment"
        raise MetricsError(outage.status, "ServiceUnavailable", message)
    lag = cloud.rules.take(MetricsLag, subject)
    kind = DEPLOYMENTS if deployment else ENDPOINTS
    now = cloud.metrics_now()
    query = parse_query(request.query_params, kind, METRICS[kind], now)
    late = cloud.settings.metrics_lag if lag is None else lag.seconds
    scope = _scope(cloud, endpoint, deployment, query, reported_until=int(now.timestamp() - late))
    base = cloud.endpoint_id(endpoint) + (f"/deployments/{deployment.name}" if deployment else "")
    minutes = max(1, (query.end - query.start) // MINUTE)
    return JSONResponse(
        {
            "cost": (minutes - 1) * len(query.metrics),
            "timespan": "/".join(map(_timestamp, query.span)),
            "interval": query.interval,
            "value": [_document(metric, query, scope, base) for metric in query.metrics],
            "namespace": query.namespace,
            "resourceregion": endpoint.location,
        }
    )


def _scope(
    cloud: Cloud,
    endpoint: Endpoint,
    deployment: Deployment | None,
    query: Query,
    reported_until: int,
) -> Scope:
    """Return the measurements of a query, in whole steps up to the lag of metrics."""
    tallies = cloud.measurements.of_endpoint(endpoint.workspace, endpoint.name)
    utilization = {}
    if deployment:
        tallies = {name: each for name, each in tallies.items() if name == deployment.name}
        for resource in ("cpu", "memory"):
            rule = cloud.rules.take(Utilization, deployment.subject(), resource=resource)
            if rule:
                utilization[resource] = rule.percent
    last = query.end + (query.start - query.end) % query.step
    return Scope(
        tallies=tallies,
        start=query.start,
        end=min(last, reported_until - reported_until % query.step),
        step=query.step,
        deployment=deployment,
        utilization=utilization,
    )


def _document(metric: Metric, query: Query, scope: Scope, base: str) -> Json:
    document = {
        "id": f"{base}/providers/Microsoft.Insights/metrics/{metric.name}",
        "type": "Microsoft.Insights/metrics",
        "name": {"value": metric.name, "localizedValue": metric.title},
        "displayDescription": metric.about,
        "unit": metric.unit,
    }
    unknown = [name for name in query.aggregations if name not in metric.reductions]
    if unknown:
        return document | {
            "timeseries": [],
            "errorCode": "InvalidSamplingType",
            "errorMessage": f"Sampling type is not found. Metric:{metric.name}, "
            f"SamplingType:{unknown[0].capitalize()}.",
        }
    series = _series(metric, query, scope)
    return document | {
        "timeseries": [
            _series_document(metric, query, labels, values) for labels, values in series
        ],
        "errorCode": "Success",
    }


def _series(metric: Metric, query: Query, scope: Scope) -> Sequence[tuple[Labels, Values]]:
    """Return the series asked for, those of the greatest values first; without a filter, one."""
    conditions = query.conditions_of(metric)
    asked = dict.fromkeys(condition.dimension for condition in conditions)
    names = {name.lower(): name for name in metric.dimensions}
    apart = [name for name in asked if name not in query.rolled_up]
    found: dict[Labels, Values] = {} if conditions else {(): {}}
    for sample in metric.read(scope):
        if all(each.covers(sample.labels[names[each.dimension]]) for each in conditions):
            labels = tuple((name, sample.labels[names[name]]) for name in apart)
            begin = sample.second - (sample.second - query.start) % query.grain
            found.setdefault(labels, {}).setdefault(begin, []).extend(sample.values)
    reduce = metric.reductions[query.aggregations[0]]
    series = sorted(
        found.items(),
        key=lambda item: _size(query, reduce, item[1]),
        reverse=not query.is_ascending,
    )
    return series[: query.top]


def _size(query: Query, reduce: Reduction, values: Values) -> float:
    span = Span(query.grain, query.step)
    return sum(reduce(each, span) for each in values.values()) / (len(values) or 1)


def _series_document(metric: Metric, query: Query, labels: Labels, values: Values) -> Json:
    return {
        "metadatavalues": [
            {"name": {"value": name, "localizedValue": name}, "value": value}
            for name, value in labels
        ],
        "data": list(_data(metric.reductions, query, values)),
    }


def _data(
    reductions: Mapping[str, Reduction], query: Query, values: Values
) -> Iterator[dict[str, str | float]]:
    """Yield an entry for each grain, with only its time if it has no value."""
    span = Span(query.grain, query.step)
    for second in range(query.start, query.end, query.grain):
        entry: dict[str, str | float] = {
            "timeStamp": _timestamp(datetime.fromtimestamp(second, UTC))
        }
        if second in values:
            for name in query.aggregations:
                entry[name] = reductions[name](values[second], span)
        yield entry


def _check_version(version: str) -> None:
    if version not in VERSIONS:
        raise ArmError(
            400,
            "NoRegisteredProviderFound",
            f"No registered resource provider found for API version '{version}' for type "
            f"'metrics'. The supported api-versions are '{', '.join(VERSIONS)}'.",
        )


def _timestamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


_ENDPOINT = "/onlineEndpoints/{endpoint}"
_METRICS = "providers/microsoft.insights/metrics"

#: Paths below a workspace.
routes: list[ArmRoute] = [
    ("GET", f"{_ENDPOINT}/{_METRICS}", of_endpoint),
    ("GET", f"{_ENDPOINT}/deployments/{{deployment}}/{_METRICS}", of_deployment),
]
