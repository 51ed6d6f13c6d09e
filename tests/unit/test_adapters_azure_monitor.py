"""Azure Monitor's metrics: what is asked, and what is made of every kind of answer."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.adapters.aml.azure_monitor import AzureMonitorMetrics
from shared.adapters.http import Reply
from shared.base.errors import (
    WorkspaceDenied,
    WorkspaceRefused,
    WorkspaceThrottled,
    WorkspaceUnreachable,
)
from shared.events.model import Workspace
from shared.workspaces.metrics import Measure, Minute, Readings
from tests.unit.test_adapters_arm import Transport, answer, make_arm

WORKSPACE = Workspace(subscription="s", resource_group="g", name="w")
ENDPOINT = (
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices"
    "/workspaces/w/onlineEndpoints/churn"
)
METRICS = "/providers/microsoft.insights/metrics"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
COUNTS = [Measure.ERROR_RATE]

type Json = dict[str, Any]


def points(*values: Any, start: datetime = NOON) -> list[Json]:
    """Return one entry a minute; None stands for a minute without a value."""
    stamps = [f"{start + number * MINUTE:%Y-%m-%dT%H:%M:%SZ}" for number in range(len(values))]
    return [
        {"timeStamp": stamp} | ({} if value is None else {"average": value})
        for stamp, value in zip(stamps, values, strict=True)
    ]


def series(data: list[Json], **labels: str) -> Json:
    told = [
        {"name": {"value": name, "localizedValue": name}, "value": value}
        for name, value in labels.items()
    ]
    return {"metadatavalues": told, "data": data}


def metric(name: str, *timeseries: Json, **rest: Any) -> Json:
    return {
        "id": f"{ENDPOINT}/providers/Microsoft.Insights/metrics/{name}",
        "type": "Microsoft.Insights/metrics",
        "name": {"value": name, "localizedValue": name},
        "unit": "Count",
        "timeseries": list(timeseries),
        "errorCode": "Success",
    } | rest


def told(*metrics: Json) -> Reply:
    return answer({"cost": 0, "timespan": "", "interval": "PT1M", "value": list(metrics)})


def counts(*timeseries: Json) -> Reply:
    return told(metric("RequestsPerMinute", *timeseries))


def read(
    *answers: Reply | Exception,
    deployments: Sequence[str] = ("blue",),
    measures: Sequence[Measure] = COUNTS,
    endpoint: str = "churn",
    grain: timedelta = MINUTE,
    start: datetime = NOON,
    end: datetime = NOON + 3 * MINUTE,
) -> tuple[Readings, Transport]:
    arm, transport = make_arm(*answers)
    metrics = AzureMonitorMetrics(arm, grain=grain)
    assert metrics.grain == grain
    return metrics.read(WORKSPACE, endpoint, deployments, measures, start=start, end=end), transport


def blue(*answers: Reply, measures: Sequence[Measure] = COUNTS) -> tuple[Minute, ...]:
    readings, _ = read(*answers, measures=measures)
    return readings.minutes["blue"]


def queries(transport: Transport) -> list[tuple[str, dict[str, str]]]:
    """Return the path and the query of each request."""
    urls = [urlsplit(request.url) for request in transport.requests]
    return [
        (url.path, {name: values[0] for name, values in parse_qs(url.query).items()})
        for url in urls
    ]


# Requests


def test_requests_are_counted_by_deployment_and_status_in_one_request() -> None:
    _, transport = read(counts(), deployments=["blue", "green"])
    assert queries(transport) == [
        (
            f"{ENDPOINT}{METRICS}",
            {
                "api-version": "2024-02-01",
                "metricnames": "RequestsPerMinute",
                "aggregation": "Average",
                "interval": "PT1M",
                "timespan": "2026-03-02T12:00:00Z/2026-03-02T12:03:00Z",
                "$filter": "deployment eq 'blue' or deployment eq 'green' and statusCode eq '*'",
                "top": "200",
            },
        )
    ]


def test_latencies_are_one_request_more_and_only_those_that_are_measured() -> None:
    measures = [Measure.LATENCY_P95, Measure.LATENCY, Measure.REQUESTS]
    _, transport = read(counts(), told(), measures=measures)
    _, (path, query) = queries(transport)
    assert path == f"{ENDPOINT}{METRICS}"
    assert query["metricnames"] == "RequestLatency,RequestLatency_P95"
    assert query["$filter"] == "deployment eq 'blue'"


def test_cpu_and_memory_are_one_request_for_each_deployment() -> None:
    measures = [Measure.CPU, Measure.MEMORY]
    _, transport = read(counts(), told(), told(), deployments=["blue", "green"], measures=measures)
    _, (first, query), (second, _) = queries(transport)
    assert first == f"{ENDPOINT}/deployments/blue{METRICS}"
    assert second == f"{ENDPOINT}/deployments/green{METRICS}"
    assert query["metricnames"] == "CpuUtilizationPercentage,CpuMemoryUtilizationPercentage"
    assert not query.keys() & {"$filter", "top"}


@pytest.mark.parametrize("measure", list(Measure))
def test_every_measure_has_its_metric(measure: Measure) -> None:
    names = {
        Measure.ERROR_RATE: "RequestsPerMinute",
        Measure.REQUESTS: "RequestsPerMinute",
        Measure.LATENCY: "RequestLatency",
        Measure.LATENCY_P50: "RequestLatency_P50",
        Measure.LATENCY_P90: "RequestLatency_P90",
        Measure.LATENCY_P95: "RequestLatency_P95",
        Measure.LATENCY_P99: "RequestLatency_P99",
        Measure.CPU: "CpuUtilizationPercentage",
        Measure.MEMORY: "CpuMemoryUtilizationPercentage",
    }
    requests = series(points(60), deployment="blue", statuscode="200")
    values = told(metric(names[measure], series(points(7.5), deployment="blue")))
    readings, transport = read(counts(requests), values, measures=[measure])
    assert queries(transport)[-1][1]["metricnames"] == names[measure]
    is_counted = names[measure] == "RequestsPerMinute"
    (minute,) = readings.minutes["blue"]
    assert minute == Minute(at=NOON, requests=60, values={} if is_counted else {measure: 7.5})


@pytest.mark.parametrize(("grain", "interval"), [(MINUTE, "PT1M"), (timedelta(seconds=1), "PT1S")])
def test_the_grain_is_the_interval(grain: timedelta, interval: str) -> None:
    readings, transport = read(counts(), grain=grain)
    assert queries(transport)[0][1]["interval"] == interval
    assert readings.grain == grain


def test_times_are_told_in_utc() -> None:
    there = NOON.astimezone(datetime.strptime("+0530", "%z").tzinfo)
    _, transport = read(counts(), start=there, end=there + MINUTE)
    assert queries(transport)[0][1]["timespan"] == "2026-03-02T12:00:00Z/2026-03-02T12:01:00Z"


def test_a_name_can_not_leave_its_place_in_the_filter() -> None:
    _, transport = read(counts(), deployments=["x' or deployment eq '*"])
    ((_, query),) = queries(transport)
    assert query["$filter"] == "deployment eq 'x'' or deployment eq ''*' and statusCode eq '*'"


def test_a_name_can_not_leave_its_place_in_the_path() -> None:
    _, transport = read(counts(), told(), deployments=["a/b"], measures=[Measure.CPU], endpoint="?")
    assert "/onlineEndpoints/%3F/providers" in transport.requests[0].url
    assert "/deployments/a%2Fb/providers" in transport.requests[1].url
    with pytest.raises(WorkspaceRefused, match="can be named"):
        read(endpoint="..")


def test_the_queries_are_kept_as_they_were_sent_without_host_and_token() -> None:
    readings, transport = read(counts(), told(), measures=[Measure.LATENCY_P50])
    sent = [
        request.url.removeprefix("https://management.azure.com") for request in transport.requests
    ]
    assert list(readings.queries) == sent
    assert all(query.startswith("/subscriptions/") for query in readings.queries)
    assert "token" not in json.dumps(readings.queries).lower()


@pytest.mark.parametrize("nothing", [{"deployments": []}, {"end": NOON}, {"end": NOON - MINUTE}])
def test_nothing_is_asked_where_no_deployment_or_measure_is_named(nothing: Any) -> None:
    readings, transport = read(**nothing)
    assert transport.requests == []
    assert not any(readings.minutes.values())


# Answers


def test_counts_are_averages_over_the_grain() -> None:
    second = timedelta(seconds=1)
    data = [
        {"timeStamp": "2026-03-02T12:00:00Z", "average": 600.0},
        {"timeStamp": "2026-03-02T12:00:01Z", "average": 120.0},
    ]
    good = series(data, deployment="blue", statuscode="200")
    bad = series(data[:1], deployment="blue", statuscode="500")
    for grain, told in ((second, [(20, 10), (2, 0)]), (MINUTE, [(1200, 600), (120, 0)])):
        readings, _ = read(counts(good, bad), grain=grain)
        assert [(minute.requests, minute.errors) for minute in readings.minutes["blue"]] == told


@pytest.mark.parametrize(
    ("status", "errors"),
    [
        ("200", 0),
        ("201", 0),
        ("400", 0),
        ("401", 0),
        ("404", 0),
        ("408", 5),
        ("424", 5),
        ("429", 5),
        ("499", 0),
        ("500", 5),
        ("503", 5),
        ("599", 5),
        ("5", 0),
        ("", 0),
        ("unknown", 0),
    ],
)
def test_an_error_is_what_the_caller_did_not_cause(status: str, errors: int) -> None:
    (minute,) = blue(
        counts(
            series(points(20), deployment="blue", statuscode="200"),
            series(points(5), deployment="blue", statuscode=status),
        )
    )
    assert (minute.requests, minute.errors) == (25, errors)


def test_deployments_come_back_under_the_names_that_were_asked_for() -> None:
    given = counts(
        series(points(3), DEPLOYMENT="GREEN", STATUSCODE="500"),
        series(points(4), Deployment="blue", statusCode="200"),
        series(points(5), deployment="purple", statuscode="200"),
        series(points(6), statuscode="200"),
    )
    readings, _ = read(given, deployments=["Blue", "green"])
    assert readings.minutes == {
        "Blue": (Minute(at=NOON, requests=4),),
        "green": (Minute(at=NOON, requests=3, errors=3),),
    }


def test_a_deployment_that_nobody_asked_anything_has_no_minutes() -> None:
    readings, _ = read(counts(), deployments=["blue", "green"])
    assert readings.minutes == {"blue": (), "green": ()}


def test_instances_are_averaged() -> None:
    values = told(
        metric(
            "CpuUtilizationPercentage",
            series(points(20.0, 0.0), instanceid="a"),
            series(points(60.0, None), instanceid="b"),
        )
    )
    minutes = blue(counts(), values, measures=[Measure.CPU])
    assert [minute.values for minute in minutes] == [{Measure.CPU: 40.0}, {Measure.CPU: 0.0}]


def test_minutes_are_in_order_and_those_without_data_are_left_out() -> None:
    minutes = blue(
        counts(
            series(points(None, 0, 7), deployment="blue", statuscode="200"),
            series(points(2, None, None), deployment="blue", statuscode="424"),
        )
    )
    assert minutes == (
        Minute(at=NOON, requests=2, errors=2),
        Minute(at=NOON + 2 * MINUTE, requests=7),
    )


def test_a_latency_of_zero_is_no_reading() -> None:
    minutes = blue(
        counts(series(points(5, 5), deployment="blue", statuscode="200")),
        told(metric("RequestLatency_P50", series(points(0.0, 12.5), deployment="blue"))),
        measures=[Measure.LATENCY_P50],
    )
    assert [minute.values for minute in minutes] == [{}, {Measure.LATENCY_P50: 12.5}]


@pytest.mark.parametrize(
    "value",
    ["NaN", "Infinity", "-Infinity", "-1", '"5"', "true", "null", "[5]", "{}", "1e300", "9" * 400],
)
def test_what_is_no_count_is_left_out(value: str) -> None:
    point = f'{{"timeStamp": "2026-03-02T12:00:00Z", "average": {value}}}'
    given = json.loads(counts(series([{}], deployment="blue", statuscode="200")).body)
    text = json.dumps(given).replace("[{}]", f"[{point}]")
    assert blue(answer(text.encode())) == ()


@pytest.mark.parametrize(
    "stamp",
    [
        "2026-03-02T11:59:59Z",
        "2026-03-02T12:03:00Z",
        "2026-03-02T12:00:00-05:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "noon",
        "",
        None,
        1772452800,
        {},
    ],
)
def test_what_is_outside_of_the_span_or_no_time_is_left_out(stamp: Any) -> None:
    data = [{"timeStamp": stamp, "average": 5}]
    assert blue(counts(series(data, deployment="blue", statuscode="200"))) == ()


@pytest.mark.parametrize(
    "value",
    [
        None,
        "x",
        5,
        {},
        [None, 5, "x", [], {}],
        [{"name": None, "timeseries": None}],
        [{"name": {"value": None}, "timeseries": "x"}],
        [{"name": {"value": "RequestsPerMinute"}, "timeseries": [None, {}, {"data": 5}]}],
        [metric("Other", series(points(5), deployment="blue"))],
        [metric("RequestsPerMinute", {"metadatavalues": None, "data": points(5)})],
        [metric("RequestsPerMinute", {"metadatavalues": [5, {"name": "x"}], "data": points(5)})],
    ],
)
def test_what_is_no_series_is_left_out(value: Any) -> None:
    for measures in ([Measure.ERROR_RATE], [Measure.CPU], [Measure.LATENCY]):
        given = [answer({"value": value}), answer({"value": value})]
        assert blue(*given[: 1 + (measures != COUNTS)], measures=measures) == ()


def test_a_metric_that_could_not_be_read_is_not_one_without_data() -> None:
    failed = metric("RequestsPerMinute", errorCode="InternalError", errorMessage="try again")
    with pytest.raises(WorkspaceUnreachable, match="RequestsPerMinute: InternalError: try again"):
        read(told(failed))


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (429, {}, WorkspaceThrottled),
        (503, {}, WorkspaceUnreachable),
        (403, {"error": {"code": "AuthorizationFailed", "message": "no"}}, WorkspaceDenied),
        (404, {"error": {"code": "ResourceNotFound", "message": "gone"}}, WorkspaceRefused),
        (400, {"code": "BadRequest", "message": "Failed to find metric"}, WorkspaceRefused),
        (409, {"error": {"code": "Conflict", "message": "busy"}}, WorkspaceUnreachable),
        (400, {"error": {"code": "QuotaExceeded", "message": "quota"}}, WorkspaceUnreachable),
        (200, b"<html>", WorkspaceUnreachable),
    ],
)
def test_a_failure_is_one_that_the_protocol_names(
    status: int, body: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match="reading metrics RequestsPerMinute: "):
        read(answer(body, status))
