"""Azure Monitor's metrics: the contract of the API, what is counted, and how late it is told."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from sandbox.workspace.measurements import MOST_LATENCIES, RETENTION_SECONDS, Measurements
from sandbox.workspace.metric_filters import Condition, parse_filter
from tests.timing import eventually

EP = "/onlineEndpoints/ep-1"
BLUE = f"{EP}/deployments/blue"
METRICS = "/providers/microsoft.insights/metrics"
VERSION = "2023-10-01"
NAMESPACE = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints"


def begin_minute(control):
    """Go on to the next minute, so that what follows is within one."""
    moment = control.now()
    control.advance(60.1 - moment.second - moment.microsecond / 1e6)


def query(arm, name="RequestsPerMinute", *, on=EP, ago=3600, **params):
    end = params.pop("end", None) or arm.control.now()
    span = f"{end - timedelta(seconds=ago):%Y-%m-%dT%H:%M:%SZ}/{end:%Y-%m-%dT%H:%M:%SZ}"
    usual = {
        "api-version": VERSION,
        "metricnames": name,
        "timespan": span,
        "aggregation": "Average",
    }
    return arm.get(f"{on}{METRICS}", **(usual | params))


def series(arm, name="RequestsPerMinute", **params):
    """Return the values of each series, by the values of its dimensions."""
    [metric] = query(arm, name, **params).raise_for_status().json()["value"]
    assert metric["errorCode"] == "Success"
    return {
        tuple(each["value"] for each in one["metadatavalues"]): [
            entry["average"] for entry in one["data"] if "average" in entry
        ]
        for one in metric["timeseries"]
    }


def error_of(response):
    body = response.json()
    return response.status_code, body["code"], body["message"]


@pytest.fixture
def scored(arm, control):
    """Ten requests to blue, of which three failed, and four to green; all in one minute."""
    arm.have("blue", "green", blue=100)
    begin_minute(control)
    key = arm.key()
    for _ in range(6):
        arm.score(token=key)
    arm.score({}, token=key)
    for _ in range(4):
        arm.score(deployment="green", token=key)
    control.scoring(deployment="blue", error_rate=1, model_status=500, times=2)
    arm.score(token=key)
    arm.score(token=key)
    control.scoring(deployment="blue", error_rate=1, status=429, times=1)
    arm.score(token=key)
    control.advance(60)
    return arm


# The contract


def test_a_metric_looks_as_in_the_contract(scored):
    answer = query(scored, ago=120, **{"$filter": "Deployment eq 'blue'"}).json()
    assert set(answer) == {"cost", "timespan", "interval", "value", "namespace", "resourceregion"}
    assert (answer["interval"], answer["resourceregion"]) == ("PT1M", "westeurope")
    assert answer["namespace"] == NAMESPACE
    [metric] = answer["value"]
    base = scored.get(EP).json()["id"]
    assert metric["id"] == f"{base}/providers/Microsoft.Insights/metrics/RequestsPerMinute"
    assert metric["type"] == "Microsoft.Insights/metrics"
    assert metric["name"] == {
        "value": "RequestsPerMinute",
        "localizedValue": "Requests Per Minute",
    }
    assert (metric["unit"], metric["errorCode"]) == ("Count", "Success")
    [one] = metric["timeseries"]
    name = {"value": "deployment", "localizedValue": "deployment"}
    assert one["metadatavalues"] == [{"name": name, "value": "blue"}]
    start = datetime.fromisoformat(answer["timespan"].split("/")[0])
    moments = [datetime.fromisoformat(entry["timeStamp"]) for entry in one["data"]]
    assert moments[0] == start.replace(second=0)
    assert {later - one for one, later in pairwise(moments)} == {timedelta(minutes=1)}
    assert [entry["average"] for entry in one["data"] if len(entry) > 1] == [10]
    assert "average" not in one["data"][0], "a minute without requests has no value"


@pytest.mark.parametrize(
    "version", ["2018-01-01", "2019-07-01", "2021-05-01", "2023-10-01", "2024-02-01"]
)
def test_every_known_version_is_served(arm, version):
    arm.have("blue")
    assert query(arm, **{"api-version": version}).status_code == 200


def test_an_unknown_version_is_refused(arm):
    arm.have()
    error = query(arm, **{"api-version": "2016-09-01"}).json()["error"]
    assert error["code"] == "NoRegisteredProviderFound"


def test_paths_match_in_any_case(scored):
    path = "/ONLINEENDPOINTS/EP-1/Deployments/BLUE/Providers/Microsoft.Insights/Metrics"
    answer = scored.get(path, **{"api-version": VERSION, "metricnames": "RequestsPerMinute"})
    assert answer.json()["value"][0]["errorCode"] == "Success"


def test_several_metrics_are_told_in_one_answer(scored):
    names = "RequestLatency,RequestLatency_P99,RequestsPerMinute"
    metrics = query(scored, names, **{"$filter": "deployment eq '*'"}).json()["value"]
    assert [metric["name"]["value"] for metric in metrics] == names.split(",")
    assert [len(metric["timeseries"]) for metric in metrics] == [2, 2, 2]


def test_without_anything_asked_for_it_is_the_last_hour_of_the_first_metric(scored):
    answer = scored.get(f"{EP}{METRICS}", **{"api-version": VERSION}).json()
    start, end = map(datetime.fromisoformat, answer["timespan"].split("/"))
    assert end - start == timedelta(hours=1)
    assert answer["value"][0]["name"]["value"] == "RequestLatency"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"metricnames": "Requests"},
            "Failed to find metric configuration for provider: Microsoft.MachineLearningServices, "
            "resource Type: workspaces/onlineEndpoints, metric: Requests, Valid metrics: "
            "RequestLatency,RequestLatency_P50,",
        ),
        ({"metricnames": "RequestsPerMinute,CpuUtilizationPercentage"}, "CpuUtilizationPercentage"),
        ({"metricnames": "requestsperminute"}, "Failed to find metric configuration"),
        (
            {"$filter": "colour eq 'red'"},
            "Metric: RequestsPerMinute does not support requested dimension combination: colour, "
            "supported ones are: deployment,statusCode,statusCodeClass,modelStatusCode",
        ),
        (
            {
                "metricnames": "RequestsPerMinute,RequestLatency",
                "$filter": "statusCode eq '200' and deployment eq 'a'",
            },
            "Metric: RequestLatency does not support requested dimension combination: "
            "statuscode,deployment, supported ones are: deployment",
        ),
        ({"$filter": "deployment"}, "only supports conditions of the form"),
        ({"timespan": "yesterday"}, "Detected invalid time interval input: yesterday"),
        ({"timespan": "2026-01-01T00:00:00 01:00/PT1H"}, "Detected invalid time interval input"),
        ({"timespan": "PT1H/PT1H"}, "Detected invalid time interval input"),
        ({"timespan": "2026-01-02T00:00:00Z/2026-01-02T00:00:00Z"}, "must be before its end"),
        ({"interval": "PT2M"}, "can not support requested time grain: 00:02:00"),
        ({"interval": "P2D"}, "can not support requested time grain: 2.00:00:00"),
        ({"interval": "minute"}, "Detected invalid time grain input: MINUTE"),
        ({"aggregation": "Median"}, "Invalid aggregation type: median"),
        ({"top": "none", "$filter": "deployment eq '*'"}, "Invalid top: none"),
        ({"metricnamespace": "Microsoft.Compute/virtualMachines"}, "Metric namespace"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused_as_the_service_words_it(arm, params, message):
    arm.have()
    status, code, told = error_of(query(arm, **params))
    assert (status, code) == (400, "BadRequest")
    assert message in told


@pytest.mark.parametrize(
    "timespan",
    ["2026-01-01T00:00:00Z/PT1H", "PT1H/2026-01-01T01:00:00Z", "2026-01-01/2026-01-01T01:00:00"],
)
def test_a_time_interval_has_several_forms(arm, timespan):
    arm.have()
    answer = query(arm, timespan=timespan).json()
    assert answer["timespan"] == "2026-01-01T00:00:00Z/2026-01-01T01:00:00Z"


def test_an_aggregation_that_a_metric_has_not_is_its_own_error(arm):
    arm.have("blue")
    names = "RequestsPerMinute,CpuUtilizationPercentage"
    requests, cpu = query(arm, names, on=BLUE, aggregation="Maximum").json()["value"]
    assert (requests["errorCode"], requests["timeseries"]) == ("InvalidSamplingType", [])
    assert cpu["errorCode"] == "Success"


def test_dimensions_that_a_metric_has_not_are_ignored_on_demand(scored):
    params = {"$filter": "deployment eq 'blue' and colour eq 'red'", "ValidateDimensions": "false"}
    assert series(scored, **params) == {("blue",): [10]}


# Filters


@pytest.mark.parametrize(
    ("text", "conditions"),
    [
        ("", ()),
        ("A eq 'b'", (("a", {"b"}, False),)),
        ("A ne 'b'", (("a", {"b"}, True),)),
        ("a eq '*'", (("a", {"*"}, False),)),
        ("a eq 'it''s'", (("a", {"it's"}, False),)),
        ("a eq 'b' and c ne 'd'", (("a", {"b"}, False), ("c", {"d"}, True))),
        ("a eq 'b' or a eq 'c'", (("a", {"b", "c"}, False),)),
        ("a eq 'b' or a eq 'c' and d eq 'e'", (("a", {"b", "c"}, False), ("d", {"e"}, False))),
        (
            "a eq 'a1' and b eq 'b1' or b eq 'b2' and c eq '*'",
            (("a", {"a1"}, False), ("b", {"b1", "b2"}, False), ("c", {"*"}, False)),
        ),
        ("a eq 'and' or a eq '(b)'", (("a", {"and", "(b)"}, False),)),
    ],
)
def test_a_filter_is_read(text, conditions):
    expected = tuple(Condition(name, frozenset(values), no) for name, values, no in conditions)
    assert parse_filter(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a eq b",
        "a gt 'b'",
        "'a' eq 'b'",
        "a eq 'b",
        "a eq 'b' and",
        "a eq 'b' c eq 'd'",
        "(a eq 'b'",
        "a eq 'b')",
        "a eq 'b' or c eq 'd'",
        "a eq 'b' or a ne 'c'",
        "a eq 'b' and c eq 'd' or a eq 'e'",
        "(a eq 'b' or a eq 'c') and d eq 'e'",
        "(a eq 'b')",
        "()",
    ],
)
def test_a_filter_that_the_service_does_not_know_is_refused(text):
    with pytest.raises(ValueError, match=r"only supports|Only 'eq'|The logical 'or'"):
        parse_filter(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {(): [14]}),
        ("deployment eq 'blue'", {("blue",): [10]}),
        ("deployment eq 'BLUE'", {("blue",): [10]}),
        ("deployment eq 'red'", {}),
        ("deployment ne 'blue'", {("green",): [4]}),
        ("deployment eq '*'", {("blue",): [10], ("green",): [4]}),
        ("deployment eq 'blue' or deployment eq 'green'", {("blue",): [10], ("green",): [4]}),
        (
            "deployment eq 'blue' and statusCode eq '*'",
            {("blue", "200"): [6], ("blue", "424"): [3], ("blue", "429"): [1]},
        ),
        ("statusCodeClass ne '2xx'", {("4xx",): [4]}),
        ("deployment eq 'green' and statusCodeClass ne '2xx'", {}),
        (
            "modelStatusCode eq '*' and deployment eq 'blue'",
            {("200", "blue"): [6], ("400", "blue"): [1], ("500", "blue"): [2], ("0", "blue"): [1]},
        ),
    ],
)
def test_requests_are_told_apart_by_what_the_filter_names(scored, text, expected):
    assert series(scored, **{"$filter": text}) == expected


def test_dimensions_can_be_rolled_up(scored):
    text = "deployment eq 'blue' or deployment eq 'green'"
    assert series(scored, rollupby="Deployment", **{"$filter": text}) == {(): [14]}


def test_the_series_of_the_greatest_values_come_first_unless_they_are_to_be_last(scored):
    text = {"$filter": "statusCode eq '*'"}
    assert list(series(scored, top=2, **text)) == [("200",), ("424",)]
    assert list(series(scored, top=1, orderby="average asc", **text)) == [("429",)]


# Counting


def test_requests_are_a_rate_per_minute_whatever_the_interval(scored):
    blue = {"$filter": "deployment eq 'blue'"}
    begin = scored.control.now().replace(second=0, microsecond=0)
    assert series(scored, interval="PT5M", ago=300, end=begin, **blue) == {("blue",): [2]}
    assert series(scored, interval="FULL", ago=600, end=begin, **blue) == {("blue",): [1]}
    [by_second] = series(scored, interval="PT1S", **blue).values()
    assert sum(by_second) == 10 * 60


def test_what_a_resource_never_did_has_times_but_no_values(arm):
    arm.have("blue")
    [metric] = query(arm, ago=300).json()["value"]
    [one] = metric["timeseries"]
    assert one["metadatavalues"] == []
    assert [set(entry) for entry in one["data"]] == [{"timeStamp"}] * len(one["data"])


def test_percentiles_are_those_of_the_requests_that_were_sent(arm, control):
    arm.have("blue", blue=100)
    begin_minute(control)
    key = arm.key()
    control.scoring(latency=0.15, times=2)
    for _ in range(20):
        arm.score(token=key)
    control.advance(60)
    names = ("RequestLatency_P50", "RequestLatency_P90", "RequestLatency_P95", "RequestLatency_P99")
    p50, p90, p95, p99 = (series(arm, name)[()][0] for name in names)
    assert p50 <= p90 < 150 <= p95 <= p99
    assert 15 <= series(arm, "RequestLatency")[()][0] < 150
    assert series(arm, "RequestLatency_P95", on=BLUE) == {(): [p95]}


def test_mirrored_requests_count_for_the_deployment_that_they_are_copied_to(arm, control):
    arm.have("blue", "green")
    arm.put_endpoint(traffic={"blue": 100}, mirrorTraffic={"green": 50})
    arm.pass_time()
    begin_minute(control)
    key = arm.key()
    for _ in range(40):
        arm.score(token=key)
    control.advance(60)
    counts = series(arm, **{"$filter": "deployment eq '*'"})
    assert counts["blue",] == [40]
    assert 10 <= counts["green",][0] <= 30


def test_a_deployment_tells_its_own_requests_and_they_outlive_it_on_the_endpoint(scored):
    assert series(scored, on=BLUE) == {(): [10]}
    codes = series(scored, on=BLUE, **{"$filter": "envoy_response_code eq '*'"})
    assert codes == {("200",): [6], ("424",): [3], ("429",): [1]}
    green = f"{EP}/deployments/green"
    scored.delete(green)
    scored.control.advance(600)
    assert query(scored, on=green).status_code == 404
    assert series(scored, **{"$filter": "deployment eq 'green'"}) == {("green",): [4]}


@pytest.mark.parametrize("instances", [1, 2])
def test_processors_are_used_by_requests_and_by_instance(arm, control, instances):
    arm.have()
    arm.put_deployment(capacity=instances)
    control.advance(600)
    arm.put_endpoint(traffic={"blue": 100})
    control.advance(120)
    idle = series(arm, "CpuUtilizationPercentage", on=BLUE)[()][-1]
    begin_minute(control)
    key = arm.key()
    for _ in range(60):
        arm.score(token=key)
    control.advance(60)
    busy = series(arm, "CpuUtilizationPercentage", on=BLUE)[()][-1]
    assert busy == pytest.approx(idle + 0.5 / instances)
    by_instance = {"$filter": "instanceId eq '*'"}
    each = series(arm, "CpuUtilizationPercentage", on=BLUE, **by_instance)
    assert set(each) == {(f"instance-{number}",) for number in range(instances)}


def test_utilization_can_be_programmed(arm, control):
    arm.have("blue", "green")
    control.advance(120)
    control.metrics(cpu=91, memory=70, deployment="blue")
    used = {}
    for name in ("CpuUtilizationPercentage", "CpuMemoryUtilizationPercentage"):
        for deployment in ("blue", "green"):
            on = f"{EP}/deployments/{deployment}"
            used[name, deployment] = series(arm, name, on=on)[()][-1]
    assert list(used.values()) == [91, 5, 70, 35]
    answer = query(arm, "CpuUtilizationPercentage", on=BLUE, aggregation="Average,Maximum")
    entries = answer.json()["value"][0]["timeseries"][0]["data"]
    assert {"timeStamp", "average", "maximum"} in [entry.keys() for entry in entries]


def test_capacity_is_the_number_of_instances_at_the_time(arm, control):
    arm.have("blue")
    control.advance(300)
    arm.patch(BLUE, {"sku": {"capacity": 3}})
    control.advance(310)
    control.advance(120)
    capacity = series(arm, "DeploymentCapacity", on=BLUE)[()]
    assert (capacity[0], capacity[-1]) == (1, 3)
    one = {"$filter": "instanceId eq 'instance-2'"}
    assert series(arm, "DeploymentCapacity", on=BLUE, **one)["instance-2",][-1] == 1
    assert query(arm, "DeploymentCapacity", on=BLUE, ago=7200, end=control.now()).json()["value"][
        0
    ]["timeseries"][0]["data"][0].keys() == {"timeStamp"}, "before it was created it had none"


# How late, and what goes wrong


def test_a_minute_is_told_when_it_has_ended(arm, control):
    arm.have("blue", blue=100)
    begin_minute(control)
    arm.score()
    assert series(arm) == {(): []}
    control.advance(60)
    assert series(arm) == {(): [1]}


def test_metrics_may_be_late(arm, control, start_emulator):
    arm.have("blue", blue=100)
    begin_minute(control)
    arm.score()
    control.metrics(lag=120, endpoint="ep-*")
    control.advance(120)
    assert series(arm) == {(): []}
    control.advance(60)
    assert series(arm) == {(): [1]}
    slow = start_emulator(metrics_lag=300)
    slow.have("blue", blue=100)
    slow.score()
    slow.control.advance(240)
    assert series(slow) == {(): []}
    slow.control.advance(120)
    assert sum(series(slow)[()]) == 1


def test_metrics_can_be_kept_in_real_time_while_the_rest_runs_fast(start_emulator):
    arm = start_emulator(speed=1000, real_time_metrics=True)
    arm.have("blue", blue=100)
    arm.score()
    eventually(lambda: series(arm, interval="PT1S", ago=60, end=datetime.now(UTC))[()])


def test_metrics_can_be_unavailable_while_the_rest_is_not(arm, control):
    arm.have("blue")
    [rule] = control.metrics(unavailable=True, endpoint="ep-1")
    assert error_of(query(arm))[:2] == (503, "ServiceUnavailable")
    assert arm.get(EP).status_code == 200
    control.remove(rule)
    control.metrics(status=529, times=1)
    assert [query(arm).status_code for _ in range(2)] == [529, 200]


def test_metrics_share_the_troubles_of_resource_manager(arm, control):
    arm.have("blue")
    control.throttle(path="*/microsoft.insights/*", times=1, retry_after=7)
    throttled = query(arm)
    assert (throttled.status_code, throttled.headers["retry-after"]) == (429, "7")
    control.outage(path="*/microsoft.insights/*", times=1)
    assert [query(arm).status_code for _ in range(2)] == [503, 200]
    assert (
        arm.http.get(arm.get(EP).json()["id"] + METRICS, headers={"Authorization": ""}).status_code
        == 401
    )
    assert query(arm, on="/onlineEndpoints/ep-2").json()["error"]["code"] == "ResourceNotFound"


# Retention


def record(measurements, at, **changes):
    usual = {"status": 200, "model_status": 200, "latency_ms": 1.0, "is_mirrored": False}
    measurements.record("ws", "ep", "blue", at=at, **(usual | changes))


def test_what_is_old_is_forgotten():
    measurements = Measurements()
    start = datetime(2026, 1, 1, tzinfo=UTC)
    record(measurements, start)
    record(measurements, start + timedelta(seconds=RETENTION_SECONDS))
    assert len(list(measurements.documents())) == 2
    record(measurements, start + timedelta(seconds=RETENTION_SECONDS + 1))
    assert len(list(measurements.documents())) == 1


def test_of_one_second_not_every_latency_is_kept():
    measurements = Measurements()
    for number in range(MOST_LATENCIES + 5):
        record(measurements, datetime(2026, 1, 1, tzinfo=UTC), latency_ms=float(number))
    [minute] = measurements.documents()
    assert len(minute["latencies"]) == MOST_LATENCIES
    assert max(minute["latencies"]) == MOST_LATENCIES + 4
    assert minute["statuses"][0]["count"] == MOST_LATENCIES + 5
