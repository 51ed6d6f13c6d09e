"""An action group of Azure Monitor calls the app, with a key; what it says sets reactions off."""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from shared.base.errors import EventMalformed, StorageUnavailable
from shared.events.envelopes import MAX_BODY
from shared.journal.letters import Letter, LetterStatus
from shared.journal.outcomes import OutcomeStatus
from tests.app.arm import Json
from tests.app.stage import REPOSITORY, Stage

STEP = "tell-alerts/notify"
SAMPLE = REPOSITORY / "tests/events/alert_fired.metric.json"


def alert(stage: Stage, rule: str, **changes: object) -> Json:
    """The sample of a metric alert, as if it were of an endpoint of the stage's workspace."""
    sample: Json = json.loads(SAMPLE.read_text())
    sample["data"]["essentials"] |= {
        "alertId": f"/subscriptions/s/providers/Microsoft.AlertsManagement/alerts/{uuid4()}",
        "alertRule": rule,
        "alertTargetIDs": [f"{stage.stack.workspace_id}/onlineEndpoints/churn".lower()],
        **changes,
    }
    return sample


def send(
    stage: Stage, body: Any, *, key: str | None = None, method: str = "POST"
) -> httpx.Response:
    """Call the function as an action group does: its key is in the address."""
    code = stage.stack.host.function_key if key is None else key
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    url = f"{stage.stack.host.url}/api/alerts"
    return stage.http.request(method, url, params={"code": code}, content=content)


def statuses(stage: Stage, sent: Json) -> dict[str, OutcomeStatus]:
    """Return the record of an alert, by the steps of the reactions that tell of alerts."""
    record = stage.record(sent)
    outcomes = {} if record is None else record.outcomes
    return {name: each.status for name, each in outcomes.items() if name.startswith("tell-")}


def letters(stage: Stage) -> dict[str, Letter]:
    """The letters of what was no event, by id."""
    return {each.id: each for each in stage.dead_letters.all() if each.code == EventMalformed.code}


def test_an_alert_is_told_once_however_often_it_arrives(stage: Stage) -> None:
    fired = alert(stage, "told-once")
    assert [send(stage, fired).status_code for _ in range(3)] == [202] * 3
    stage.enqueue(json.dumps(fired))

    def deliveries() -> int:
        record = stage.record(fired)
        return record.deliveries if record else 0

    stage.wait_for("the delivery through the queue", lambda: deliveries() == 4)
    assert statuses(stage, fired) == {STEP: OutcomeStatus.DONE}
    assert stage.told("told-once") == ["told-once of churn churn-v8-1c9e2f"]


@pytest.mark.parametrize(
    "changes",
    [
        {"severity": "Sev3"},
        {"monitorCondition": "Resolved", "resolvedDateTime": "2026-05-14T09:31:16.2246313Z"},
    ],
)
def test_an_alert_that_no_reaction_is_for_is_recorded(
    stage: Stage, changes: dict[str, object]
) -> None:
    other = alert(stage, "not-for-anybody", **changes)
    assert send(stage, other).status_code == 202
    assert set(statuses(stage, other).values()) == {OutcomeStatus.SKIPPED}
    assert stage.told("not-for-anybody") == []


@pytest.mark.parametrize("key", ["", "wrong"])
def test_without_the_key_nothing_is_read(stage: Stage, key: str) -> None:
    fired = alert(stage, "without-key")
    assert send(stage, fired, key=key).status_code == 401
    assert stage.record(fired) is None


def test_only_a_post_is_taken(stage: Stage) -> None:
    assert send(stage, b"", method="GET").status_code == 404


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is empty"),
        (b"<alert/>", "the body is neither JSON nor base64 of it"),
        (b'{"schemaId": "AzureMonitorMetricAlert"}', "the alert is not of the common alert schema"),
        (b'[{"id": "1", "eventType": "a"}]', "the body has no schemaId; it has id, eventType"),
    ],
)
def test_a_body_that_is_no_alert_is_refused_with_the_reason_and_not_kept(
    stage: Stage, body: bytes, message: str
) -> None:
    before = letters(stage)
    answer = send(stage, body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert (error["code"], error["message"]) == (EventMalformed.code, message)
    assert "docs/how-to/hosting.md" in error["hint"]
    assert letters(stage) == before


def test_a_body_of_more_than_a_megabyte_is_refused(stage: Stage) -> None:
    fired = alert(stage, "too-large", description="x" * MAX_BODY)
    answer = send(stage, fired)
    assert answer.status_code == 413
    assert answer.json()["error"]["message"] == "the body is larger than 1,048,576 bytes"
    assert stage.told("too-large") == []


def test_an_alert_about_nothing_in_a_workspace_is_parked(stage: Stage) -> None:
    before = letters(stage)
    machine = "/subscriptions/s/resourcegroups/g/providers/microsoft.compute/virtualmachines/vm"
    stray = alert(stage, "stray", alertTargetIDs=[machine])
    assert send(stage, stray).status_code == 202
    (letter,) = (each for key, each in letters(stage).items() if key not in before)
    assert letter.status is LetterStatus.PARKED
    assert letter.reason == "the alert is about nothing in a workspace"
    assert json.loads(letter.body) == stray


def test_a_channel_that_was_down_is_told_of_the_alert_when_it_is_up(stage: Stage) -> None:
    fired = alert(stage, "told-late")
    with stage.channel_down():
        assert send(stage, fired).status_code == 202
        assert statuses(stage, fired) == {STEP: OutcomeStatus.WAITING}
    stage.wait_for("it is told", lambda: statuses(stage, fired)[STEP] is OutcomeStatus.DONE)
    assert stage.told("told-late") == ["told-late of churn churn-v8-1c9e2f"]


def test_while_storage_is_down_the_action_group_is_asked_to_come_again(stage: Stage) -> None:
    fired = alert(stage, "no-storage")
    with stage.storage_down("table"):
        answer = send(stage, fired)
    assert answer.status_code == 503
    assert answer.json()["error"] == {
        "code": StorageUnavailable.code,
        "message": "the alert could not be recorded",
    }
    assert send(stage, fired).status_code == 202
    assert statuses(stage, fired) == {STEP: OutcomeStatus.DONE}
    assert stage.told("no-storage") == ["no-storage of churn churn-v8-1c9e2f"]
