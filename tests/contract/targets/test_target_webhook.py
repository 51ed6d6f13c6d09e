"""Target `webhook` against a server that takes its messages."""

from datetime import timedelta
from typing import Any

import pytest

from shared.base.errors import SettingInvalid, TargetAbsent, TargetRefused
from shared.retraining.targets import REFERENCE, Submitted, WebhookTarget
from tests.contract.targets.kit import (
    AGAIN,
    OLD_SECRET,
    PATH,
    SECRET,
    SUBMISSION,
    UNKNOWN,
    Bench,
    Clock,
)


def test_a_message_has_its_facts_and_a_signature_that_holds(webhook: Bench) -> None:
    from standardwebhooks import Webhook as Verifier

    webhook.submit()
    (seen,) = webhook.service.requests
    assert seen.path == PATH.partition("?")[0]
    document = Verifier(SECRET).verify(seen.body, dict(seen.headers))
    assert document["type"] == "signalbox.retraining"
    assert document["timestamp"] == SUBMISSION.since.isoformat()
    assert document["data"] == {
        "id": SUBMISSION.id,
        REFERENCE: SUBMISSION.reference,
        "workspace": {
            "id": SUBMISSION.workspace.id,
            "subscription": "sub-1",
            "resource_group": "rg-1",
            "name": "ws-a",
        },
        "inputs": dict(SUBMISSION.inputs),
        "tags": dict(SUBMISSION.tags),
        "drift": {"monitor": "churn", "features": ["age"], "worst": None},
    }


def test_a_body_of_one_s_own_is_sent_and_signed_like_the_other(webhook: Bench) -> None:
    from standardwebhooks import Webhook as Verifier

    body = {"text": "größer", "urgency": 1, "parts": [{"a": None}, 0.5, True]}
    webhook.params = WebhookTarget(
        name=webhook.params.name, body=body, headers={"X-Team": "risk", "Accept": "text/plain"}
    )
    webhook.submit()
    webhook.submit(AGAIN)
    first, second = webhook.service.requests
    assert Verifier(SECRET).verify(first.body, dict(first.headers)) == body
    assert first.body == second.body
    headers = {name.lower(): value for name, value in first.headers.items()}
    assert headers["x-team"] == "risk"
    assert headers["content-type"] == "application/json"
    assert headers["signalbox-retraining"] == SUBMISSION.reference


def test_a_message_told_twice_is_the_same_message(webhook: Bench, clock: Clock) -> None:
    webhook.submit()
    clock.off = timedelta(minutes=4)
    webhook.submit(AGAIN)
    first, second = webhook.service.requests
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == SUBMISSION.id
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    assert webhook.started() == 1


def test_the_answer_may_name_a_run(webhook: Bench) -> None:
    link = "https://jobs.example.org/runs/7"
    webhook.service.answer = {"run": 7, "link": link}  # type: ignore[attr-defined]
    assert webhook.submit() == Submitted(run_id="7", link=link)
    assert webhook.look("7") == UNKNOWN


@pytest.mark.parametrize(
    "link",
    [
        "http://jobs.example.org/7",
        "https://user:password@jobs.example.org/7",
        "https://jobs.example.org/7?sig=abcdefgh",
        "https://jobs.example.org/\u202e7",
        "https://jobs.example.org/" + "7" * 2000,
        "javascript:alert(1)",
        f"https://jobs.example.org{PATH}",
        7,
    ],
)
def test_a_link_that_can_t_be_told_is_none(webhook: Bench, link: Any) -> None:
    webhook.service.answer = {"run": {"id": 7}, "link": link}  # type: ignore[attr-defined]
    assert webhook.submit() == Submitted()


def test_a_webhook_may_answer_that_it_has_the_run_already(webhook: Bench) -> None:
    webhook.service.again = 409  # type: ignore[attr-defined]
    webhook.submit()
    assert webhook.submit(AGAIN).found
    with pytest.raises(TargetRefused, match="HTTP 409"):
        webhook.submit()


def test_a_webhook_that_is_gone_is_not_called_again(webhook: Bench) -> None:
    webhook.service.fail(status=410)
    with pytest.raises(TargetAbsent):
        webhook.submit()


def test_a_clock_that_is_wrong_is_told_of(webhook: Bench, clock: Clock) -> None:
    clock.off = -timedelta(minutes=10)
    with pytest.raises(TargetRefused, match="too old"):
        webhook.submit()


def test_a_key_is_changed_without_a_gap(webhook: Bench, environ: dict[str, str]) -> None:
    environ["SIGNALBOX_WEBHOOK_MY_TRAINER_SECRET"] = f"{OLD_SECRET} {SECRET}"
    webhook.submit()
    webhook.service.secrets[:] = [OLD_SECRET]  # type: ignore[attr-defined]
    webhook.submit(AGAIN)
    assert [seen.status for seen in webhook.service.requests] == [202, 200]


@pytest.mark.parametrize(
    "secret",
    ["whsec_", "whsec_c2hvcnQ=", "c" * 32, "whsec_!!!!", f"{SECRET} x", "whsk_" + "A" * 32],
)
def test_a_key_that_is_none_is_told_of(
    webhook: Bench, environ: dict[str, str], secret: str
) -> None:
    environ["SIGNALBOX_WEBHOOK_MY_TRAINER_SECRET"] = secret
    with pytest.raises(SettingInvalid, match="SIGNALBOX_WEBHOOK_MY_TRAINER_SECRET") as raised:
        webhook.submit()
    assert secret == "whsec_" or secret not in raised.value.message + raised.value.hint
    assert webhook.service.requests == []


@pytest.mark.parametrize("url", ["http://localhost:1/x", "ftp://x", "file:///etc/passwd", "x"])
def test_an_address_is_https_or_none(webhook: Bench, environ: dict[str, str], url: str) -> None:
    environ["SIGNALBOX_WEBHOOK_MY_TRAINER_URL"] = url
    with pytest.raises(TargetRefused, match="https") as raised:
        webhook.submit()
    assert url not in raised.value.message


def test_the_address_of_a_webhook_is_in_no_trace(webhook: Bench, github: Bench) -> None:
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    instrumentor = HTTPXClientInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        webhook.submit()
        github.submit()
    finally:
        instrumentor.uninstrument()
    told = " ".join(str(dict(span.attributes or {})) for span in spans.get_finished_spans())
    assert "/repos/contoso/churn" in told
    assert PATH.split("?")[0] not in told
