"""Alerts of Azure Monitor become events of one shape, whatever they are of."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.actions import ACTIONS
from shared.base.errors import EventMalformed
from shared.events.alerts import DESCRIPTION_MAX, ID_MAX, TARGETS_MAX
from shared.events.envelopes import MAX_BODY, parse_envelope, parse_events, read_alerts
from shared.events.model import (
    Alert,
    AlertCondition,
    AlertFired,
    AlertSeverity,
    UnknownEvent,
    Workspace,
    as_data,
)
from shared.journal.outcomes import ref_of
from shared.reactions.load import load_reactions
from shared.schema.findings import ReactionsFaulty
from tests.searching import examples
from tests.unit.test_envelopes import EVENTS, body_of, is_sound, raw_of, unless_malformed

PAYLOADS = sorted(path.stem for path in EVENTS.glob("alert_fired.*.json"))

METRIC = "alert_fired.metric"

SUBSCRIPTION = "7f1c2d3e-4b5a-4c6d-8e9f-0a1b2c3d4e5f"
#: As alerts name it: in lower case, but for what its owner chose.
WORKSPACE = (
    f"/subscriptions/{SUBSCRIPTION}/resourcegroups/rg-ml-platform"
    "/providers/microsoft.machinelearningservices/workspaces/mlw-platform"
)
CHURN = f"{WORKSPACE}/onlineendpoints/churn"
LOGS = (
    f"/subscriptions/{SUBSCRIPTION}/resourcegroups/rg-ml-platform"
    "/providers/microsoft.operationalinsights/workspaces/log-platform"
)
ALERTS = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.AlertsManagement/alerts"

FIRED = Alert(
    id=f"{ALERTS}/0b6a7c1e-52d3-4f0e-9a37-6f2d18c4b5a9",
    rule="churn-latency",
    severity=AlertSeverity.SEV1,
    condition=AlertCondition.FIRED,
    fired_at=datetime(2026, 5, 14, 9, 12, 24, 371321, tzinfo=UTC),
    description="p95 of churn above 800 ms. Runbook: https://wiki.contoso.com/churn",
    signal_type="Metric",
    monitoring_service="Platform",
    targets=(CHURN,),
    endpoint="churn",
    deployment="churn-v8-1c9e2f",
    metric="RequestLatency_P95",
    value=1231.1105,
)
RESOLVED_AT = datetime(2026, 5, 14, 9, 31, 16, 224631, tzinfo=UTC)
EXPECTED = {
    METRIC: FIRED,
    "alert_fired.metric_resolved": replace(
        FIRED, condition=AlertCondition.RESOLVED, resolved_at=RESOLVED_AT, value=204.5
    ),
    "alert_fired.dynamic_threshold": Alert(
        id=f"{ALERTS}/5d9f0a42-8e1b-4c77-b0d6-31c2e4f5a687",
        rule="churn-cpu",
        severity=AlertSeverity.SEV3,
        condition=AlertCondition.FIRED,
        fired_at=datetime(2026, 5, 14, 10, 2, 41, 118000, tzinfo=UTC),
        signal_type="Metric",
        monitoring_service="Platform",
        targets=(f"{CHURN}/deployments/churn-v7-a41b09",),
        endpoint="churn",
        deployment="churn-v7-a41b09",
        metric="CpuUtilizationPercentage",
        value=93.0,
    ),
    "alert_fired.log": Alert(
        id=f"{ALERTS}/c81e728d-9d4c-4f63-8f06-7f89cc14862c",
        rule="endpoint-tracebacks",
        severity=AlertSeverity.SEV2,
        condition=AlertCondition.FIRED,
        fired_at=datetime(2026, 5, 14, 8, 0, 12, 553017, tzinfo=UTC),
        description="Tracebacks in the console of an endpoint",
        signal_type="Log",
        monitoring_service="Log Alerts V2",
        targets=(LOGS, CHURN),
        endpoint="churn",
        metric="AggregatedValue",
        value=17.0,
    ),
}


def event_of(raw: dict[str, Any]) -> AlertFired:
    (event,) = parse_events(parse_envelope(raw))
    assert isinstance(event, AlertFired)
    return event


def alert_of(**essentials: object) -> Alert:
    """The metric alert with some of its essentials changed; ... removes one."""
    return event_of(with_essentials(**essentials)).alert


def with_essentials(**changes: object) -> dict[str, Any]:
    raw = raw_of(METRIC)
    told = raw["data"]["essentials"] | changes
    raw["data"]["essentials"] = {key: v for key, v in told.items() if v is not ...}
    return raw


def with_measure(**changes: object) -> dict[str, Any]:
    """The metric alert with its first condition changed; ... removes a member."""
    raw = raw_of(METRIC)
    conditions = raw["data"]["alertContext"]["condition"]["allOf"]
    conditions[0] = {key: v for key, v in (conditions[0] | changes).items() if v is not ...}
    return raw


def recased(value: Any, change: Callable[[str], str]) -> Any:
    """The value with the keys of every object in another casing."""
    if isinstance(value, dict):
        return {change(key): recased(inner, change) for key, inner in value.items()}
    return [recased(inner, change) for inner in value] if isinstance(value, list) else value


# Payloads


def test_every_payload_is_expected() -> None:
    assert sorted(EXPECTED) == PAYLOADS


@pytest.mark.parametrize("name", EXPECTED)
def test_a_payload_becomes_its_alert(name: str) -> None:
    event = event_of(raw_of(name))
    assert event.alert == EXPECTED[name]
    assert event.workspace == Workspace(
        subscription=SUBSCRIPTION, resource_group="rg-ml-platform", name="mlw-platform"
    )
    assert event.id == event.alert.id


@pytest.mark.parametrize("change", [str.lower, str.upper, str.title])
@pytest.mark.parametrize("name", EXPECTED)
def test_keys_are_found_in_any_casing(name: str, change: Callable[[str], str]) -> None:
    event = event_of(recased(raw_of(name), change))
    assert event.alert == EXPECTED[name]
    assert event.key == event_of(raw_of(name)).key


@pytest.mark.parametrize("name", EXPECTED)
def test_the_data_of_an_alert_is_what_json_holds(name: str) -> None:
    data = as_data(event_of(raw_of(name)))
    assert json.loads(json.dumps(data, allow_nan=False)) == data


def test_the_time_of_an_alert_is_when_it_fired_or_was_resolved() -> None:
    assert event_of(raw_of(METRIC)).time == FIRED.fired_at
    assert event_of(raw_of("alert_fired.metric_resolved")).time == RESOLVED_AT
    assert event_of(with_essentials(monitorCondition="Resolved")).time == FIRED.fired_at


def test_a_repeat_is_the_same_event_and_the_resolution_another_of_the_same_alert() -> None:
    fired, again = event_of(raw_of(METRIC)), event_of(raw_of(METRIC))
    resolved = event_of(raw_of("alert_fired.metric_resolved"))
    assert ref_of(fired) == ref_of(again)
    assert fired.id == resolved.id
    assert fired.key != resolved.key


def test_an_event_of_event_grid_can_not_pass_for_an_alert() -> None:
    raw = {
        "id": "1",
        "eventType": "AlertFired",
        "topic": WORKSPACE,
        "eventTime": "2026-05-14T09:12:24Z",
        "data": raw_of(METRIC)["data"],
    }
    (event,) = parse_events(parse_envelope(raw))
    assert isinstance(event, UnknownEvent)


# Place


@pytest.mark.parametrize(
    ("targets", "endpoint", "deployment"),
    [
        pytest.param([WORKSPACE], "", "", id="the workspace"),
        pytest.param([f"{WORKSPACE}/"], "", "", id="a slash at the end"),
        pytest.param([f"{WORKSPACE}/computes/cpu"], "", "", id="something else in it"),
        pytest.param([f"{WORKSPACE}/batchEndpoints/b/deployments/d-1"], "", "", id="batch"),
        pytest.param([LOGS, WORKSPACE, CHURN], "churn", "churn-v8-1c9e2f", id="the last"),
        pytest.param([f"{CHURN}/deployments/blue"], "churn", "blue", id="a deployment"),
        pytest.param([CHURN, f"{CHURN}/deployments/blue"], "churn", "churn-v8-1c9e2f",
                     id="the first of two"),
        pytest.param([f"{WORKSPACE}/onlineEndpoints/Churn/deployments/Blue"], "Churn", "Blue",
                     id="any casing"),
        pytest.param([WORKSPACE, f"{WORKSPACE.upper()}/ONLINEENDPOINTS/CHURN"], "CHURN",
                     "churn-v8-1c9e2f", id="a workspace in two casings"),
        pytest.param([WORKSPACE, f"{WORKSPACE}-2/onlineEndpoints/churn"], "", "",
                     id="an endpoint of another workspace"),
        pytest.param([f"{WORKSPACE}/onlineEndpoints/a b"], "", "", id="no legal name"),
        pytest.param([f"{WORKSPACE}/onlineEndpoints"], "", "", id="no name"),
        pytest.param([f"{CHURN}/deployments/../../x"], "churn", "churn-v8-1c9e2f", id="dots"),
        pytest.param([5, None, {}, ["/"], "churn", WORKSPACE], "", "", id="junk before it"),
    ],
)  # fmt: skip
def test_endpoint_and_deployment_are_of_the_first_target_that_has_them(
    targets: list[object], endpoint: str, deployment: str
) -> None:
    event = event_of(with_essentials(alertTargetIDs=targets, configurationItems=[]))
    assert (event.alert.endpoint, event.alert.deployment) == (endpoint, deployment)
    assert event.workspace.key == WORKSPACE


@pytest.mark.parametrize(
    "targets",
    [
        None, ..., [], [None], "text", {"a": WORKSPACE}, [LOGS], ["mlw-platform"],
        [WORKSPACE.rpartition("/")[0]], [f"{WORKSPACE}\n/x"], [f"{WORKSPACE}\u202e"],
        [f"{WORKSPACE}/{'x' * ID_MAX}"], [f"/x{WORKSPACE}"], [WORKSPACE[1:]],
        [WORKSPACE.replace("rg-ml-platform", "rg?ml")],
        [WORKSPACE.replace("/subscriptions", "/tenants")],
    ],
)  # fmt: skip
def test_an_alert_about_nothing_in_a_workspace_is_malformed(targets: object) -> None:
    with pytest.raises(EventMalformed):
        event_of(with_essentials(alertTargetIDs=targets, configurationItems=["churn"]))


def test_a_target_is_told_once_in_its_first_casing() -> None:
    ids = [CHURN, CHURN.upper(), LOGS]
    assert alert_of(alertTargetIDs=ids, configurationItems=[LOGS]).targets == (CHURN, LOGS)


def test_of_many_targets_the_first_are_kept() -> None:
    ids = [f"{CHURN}/deployments/d-{number}" for number in range(5_000)]
    assert alert_of(alertTargetIDs=ids).targets == tuple(ids[:TARGETS_MAX])


@pytest.mark.parametrize(
    ("dimensions", "deployment"),
    [
        ([{"name": "statusCodeClass", "value": "5xx"}], ""),
        ([{"name": "a", "value": 1}, {"name": "deployment", "value": "blue"}], "blue"),
        ([{"Name": "deployment", "Value": "blue"}], "blue"),
        ([{"name": "deployment", "value": "*"}], ""),
        ([{"name": "deployment", "value": ["blue"]}], ""),
        ([{"name": "deployment"}, {"name": "deployment", "value": "blue"}], ""),
        ([None, 5, "deployment", [], {"name": {}}], ""),
        ({"deployment": "blue"}, ""),
        (None, ""),
        (..., ""),
    ],
)
def test_a_metric_that_is_split_tells_the_deployment(dimensions: object, deployment: str) -> None:
    assert event_of(with_measure(dimensions=dimensions)).alert.deployment == deployment


# Measure


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (0, 0.0), ("12.5", 12.5), (None, None), (..., None), (True, None), ("much", None),
        ([1], None), ({}, None), (10**300, 1e300), ("nan", None), ("-inf", None),
    ],
)  # fmt: skip
def test_a_value_is_a_number_or_absent(told: object, expected: float | None) -> None:
    assert event_of(with_measure(metricValue=told)).alert.value == expected


@pytest.mark.parametrize(
    "context",
    [
        None, ..., 5, "text", [], {}, {"condition": 5}, {"condition": {"allOf": {}}},
        {"condition": {"allOf": []}}, {"condition": {"allOf": [5]}},
        {"labels": {"cluster": "c"}, "expression": "up > 0"}, {"claims": "{}", "channels": 1},
    ],
)  # fmt: skip
def test_an_alert_of_another_kind_has_no_measure(context: object) -> None:
    raw = raw_of(METRIC)
    raw["data"]["alertContext"] = context
    if context is ...:
        del raw["data"]["alertContext"]
    alert = event_of(raw).alert
    assert (alert.metric, alert.value, alert.deployment) == ("", None, "")
    assert alert.endpoint == "churn"


# Hostile input


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"alertId": ...}, "the essentials has no alertId; it has alertRule"),
        ({"alertId": ""}, "alertId is empty"),
        ({"alertId": 5}, "alertId is not a string"),
        ({"alertId": "/a\n"}, "alertId holds a character"),
        ({"alertId": "/" * (ID_MAX + 1)}, "alertId has 1,001 characters"),
        ({"severity": None}, "has no severity"),
        ({"severity": "Sev5"}, "severity is none of Sev0, Sev1, Sev2, Sev3, Sev4"),
        ({"severity": 1}, "severity is not a string"),
        ({"monitorCondition": ...}, "has no monitorCondition"),
        ({"monitorCondition": "Open"}, "monitorCondition is none of Fired, Resolved"),
        ({"monitorCondition": ["Fired"]}, "monitorCondition is not a string"),
        ({"firedDateTime": None}, "has no firedDateTime"),
        ({"firedDateTime": "3/22/2019 1:36:31 PM"}, "firedDateTime is not a time"),
        ({"firedDateTime": "0001-01-01T00:00:00"}, "firedDateTime is before 1601"),
        ({"resolvedDateTime": "soon"}, "resolvedDateTime is not a time"),
    ],
)
def test_essentials_that_can_not_be_used_are_refused_with_the_reason(
    changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(EventMalformed, match=reason):
        event_of(with_essentials(**changes))


@pytest.mark.parametrize("data", [None, 5, "text", [], {}, {"essentials": []}, {"a": 1}])
def test_an_alert_without_essentials_is_malformed(data: object) -> None:
    with pytest.raises(EventMalformed, match="the essentials has no alertId"):
        event_of(raw_of(METRIC) | {"data": data})


@pytest.mark.parametrize("told", ["SEV1", "sev1"])
def test_severity_and_condition_are_told_in_one_casing(told: str) -> None:
    assert alert_of(severity=told, monitorCondition="FIRED") == FIRED


@pytest.mark.parametrize("told", [None, ..., "", "0001-01-01T00:00:00Z"])
def test_a_time_that_was_never_set_is_none(told: object) -> None:
    assert alert_of(resolvedDateTime=told).resolved_at is None


@pytest.mark.parametrize("told", [None, ..., "", 5, [], {"a": 1}])
def test_a_text_that_is_none_is_empty(told: object) -> None:
    alert = alert_of(alertRule=told, description=told, signalType=told, monitoringService=told)
    texts = (alert.rule, alert.description, alert.signal_type, alert.monitoring_service)
    assert texts == ("", "", "", "")


def test_texts_are_one_printable_line_without_secrets_and_cut_short() -> None:
    alert = alert_of(
        alertRule="a\x1b[2J\nb\u202ec", description=f"AccountKey=hunter2hunter2; {'x' * 9_999}"
    )
    assert alert.rule == "a bc"
    assert len(alert.description) == DESCRIPTION_MAX
    assert "hunter2" not in alert.description


@pytest.mark.parametrize("key", ["alertId", "severity", "monitorCondition", "firedDateTime"])
def test_no_reason_repeats_a_value(key: str) -> None:
    with pytest.raises(EventMalformed) as caught:
        event_of(with_essentials(**{key: "hunter2\n" * 500}))
    assert "hunter2" not in caught.value.message


@settings(max_examples=examples(200), deadline=None)
@given(st.data())
def test_a_spoilt_alert_is_an_event_or_malformed(data: st.DataObject) -> None:
    raw = copy.deepcopy(raw_of(data.draw(st.sampled_from(PAYLOADS))))
    junk = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
        max_leaves=6,
    )
    place: Any = raw["data"]
    while data.draw(st.booleans()):
        inner = [v for v in _values(place) if isinstance(v, dict | list) and v]
        if not inner:
            break
        place = data.draw(st.sampled_from(inner))
    key = data.draw(st.sampled_from(range(len(place)) if isinstance(place, list) else [*place]))
    place[key] = data.draw(junk)
    event = unless_malformed(lambda: event_of(raw))
    assert event is None or (is_sound(event) and event.workspace.key == WORKSPACE)


def _values(place: Any) -> list[Any]:
    return list(place.values()) if isinstance(place, dict) else place


# Bodies


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_body_of_alerts_is_read(name: str) -> None:
    body = body_of(name)
    assert read_alerts(body) == (json.loads(body),)
    assert read_alerts(b"[" + body + b"," + body + b"]") == (json.loads(body),) * 2


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the body is empty"),
        (b"junk!", "neither JSON nor base64"),
        (b"[]", "an empty array"),
        (b"{}", "has no schemaId"),
        (b'[{"schemaId": "azureMonitorCommonAlertSchema"}, {}]', "has no schemaId"),
        (b'{"schemaId": 5}', "schemaId is not a string"),
        (b'{"schemaId": {"a": ["azureMonitorCommonAlertSchema"]}}', "is not a string"),
        (b'{"schemaId": "AzureMonitorMetricAlert"}', "not of the common alert schema"),
        (b'{"schemaId": "azureMonitorCommonAlertSchema", "data": NaN}', "a number"),
        (b"[" * 100_000, "deeper than 64"),
        (b"{" + b" " * MAX_BODY + b"}", "larger than 1,048,576 bytes"),
        ((EVENTS / "model_registered.event_grid.json").read_bytes(), "has no schemaId"),
    ],
)  # fmt: skip
def test_a_body_that_holds_anything_else_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(EventMalformed, match=reason):
        read_alerts(body)


def test_an_alert_of_another_schema_is_no_envelope_either_and_the_hint_says_what_to_do() -> None:
    with pytest.raises(EventMalformed, match="not of the common alert schema") as caught:
        parse_envelope({"schemaId": "AzureMonitorMetricAlert", "data": {"version": "2.0"}})
    assert "Enable the common alert schema" in caught.value.hint


def findings_of(when: str, title: str = "it") -> list[str]:
    text = (
        f"version: 1\nworkspaces: ['{WORKSPACE}']\nchannels: [team]\nreactions:\n"
        f"  - name: tell\n    on: AlertFired\n    when: {when}\n    do:\n"
        f'      - notify: {{channel: team, title: "{title}"}}\n'
    )
    try:
        load_reactions(text, actions=ACTIONS, settings={})
    except ReactionsFaulty as error:
        return [item.message for item in error.findings]
    return []


@pytest.mark.parametrize(
    ("when", "findings"),
    [
        ("alert.condition == 'Fired' && alert.severity == 'Sev1'", []),
        ("matches(alert.rule, 'churn-*') && alert.value > `800`", []),
        ("alert.endpoint == 'churn' && contains(alert.targets, alert.id)", []),
        ("alert.resolved_at != `null`", []),
        ("alert.condition == 'Open'", ["`alert.condition` is never 'Open'"]),
        ("alert.severity == 'Sev5'", ["`alert.severity` is never 'Sev5'"]),
        ("alert.sev == 'Sev1'", ["`alert` has no `sev`"]),
        ("alert.value == '800'", ["`alert.value` (a number) is compared with text"]),
    ],
)
def test_what_a_condition_may_ask_of_an_alert(when: str, findings: list[str]) -> None:
    assert findings_of(when) == findings


def test_a_message_can_tell_of_an_alert() -> None:
    title = "${{ alert.rule }} on ${{ alert.endpoint }}: ${{ alert.value }}"
    assert findings_of("alert.condition == 'Fired'", title) == []
