"""Topics: the real azure-eventgrid client and the sandbox's Event Grid, and the twin."""

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from azure.core.exceptions import ClientAuthenticationError

from sandbox.event_grid import EventGrid, Schema
from shared.adapters import topics as adapter
from shared.adapters.http import Http
from shared.adapters.topics import EVENT_MAX, EventGridTopics, find_topic_fault
from shared.base.errors import (
    Disposition,
    SettingInvalid,
    SignalboxError,
    TopicDenied,
    TopicRefused,
    TopicThrottled,
    TopicUnknown,
    TopicUnreachable,
    failure_of,
)
from shared.base.ports import Publication, Topics
from shared.twins.topics import MemoryTopics
from tests.contract.conftest import FakeCredential

WORKSPACE_ID = (
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"
)
EVENT = Publication(
    id="a" * 64,
    type="Contoso.ModelLive",
    source=WORKSPACE_ID,
    subject="churn 8",
    time=datetime(2026, 3, 1, 12, tzinfo=UTC),
    data={"model": "churn", "version": 8, "tags": {"stage": None}, "list": [1, 2.5, True]},
)
KEY = "c3dvcmRmaXNoLW9mLXRoZS10b3BpYw=="


@dataclass
class Site:
    """Topic `news`, by the port, and what subscribers of it would get."""

    topics: Topics
    published: Callable[[], Sequence[Any]]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def grid(authority: trustme.CA) -> Iterator[EventGrid]:
    with EventGrid(authority=authority) as running:
        yield running


@pytest.fixture
def http(authority: trustme.CA, tmp_path: Path) -> Iterator[Http]:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    made = Http(ca_path=str(tmp_path / "ca.pem"))
    yield made
    made.close()


@pytest.fixture
def environ(grid: EventGrid) -> dict[str, str]:
    topic = grid.add_topic("news", schema=Schema.CLOUD_EVENTS, key=KEY)
    grid.published("news").clear()
    return {"SIGNALBOX_TOPIC_NEWS": topic.secure_endpoint}


@pytest.fixture
def topics(environ: dict[str, str], http: Http) -> EventGridTopics:
    return EventGridTopics(environ, FakeCredential, http=http)


@pytest.fixture(params=["memory", "azure-eventgrid"])
def site(request: pytest.FixtureRequest) -> Site:
    if request.param == "memory":
        twin = MemoryTopics("news")
        return Site(topics=twin, published=lambda: [each.event for each in twin.published])
    grid = request.getfixturevalue("grid")
    real = request.getfixturevalue("topics")
    before = len(grid.published("news"))
    return Site(
        topics=real,
        published=lambda: [each.fields for each in grid.published("news")[before:]],
    )


def test_an_event_arrives_as_it_was_published(site: Site) -> None:
    site.topics.publish("news", [EVENT])
    (event,) = site.published()
    assert datetime.fromisoformat(event["time"]) == EVENT.time
    assert event == {
        "time": event["time"],
        "specversion": "1.0",
        "id": EVENT.id,
        "type": "Contoso.ModelLive",
        "source": WORKSPACE_ID,
        "subject": "churn 8",
        "datacontenttype": "application/json",
        "data": EVENT.data,
    }


def test_a_secret_in_the_data_is_not_published(site: Site) -> None:
    site.topics.publish("news", [replace(EVENT, data={"url": "https://u:hunter2@h/", "n": 1})])
    assert "hunter2" not in str(site.published())
    assert site.published()[0]["data"]["n"] == 1


def test_events_that_are_too_many_for_one_request_go_in_several(site: Site) -> None:
    events = [replace(EVENT, id=str(n), data={"text": "x" * 300_000}) for n in range(7)]
    site.topics.publish("news", events)
    assert [each["id"] for each in site.published()] == [str(n) for n in range(7)]


def test_the_longest_event_arrives_and_a_longer_one_is_refused_with_its_length(site: Site) -> None:
    room = EVENT_MAX - 8 * 1024
    site.topics.publish("news", [replace(EVENT, data={"text": "x" * room})])
    with pytest.raises(TopicRefused, match=r"has 1,\d{3},\d{3} bytes.* takes 1,048,576") as raised:
        site.topics.publish("news", [EVENT, replace(EVENT, data={"text": "é" * 200_000})])
    assert len(site.published()) == 1
    assert "data" in raised.value.hint


def test_a_topic_without_a_setting_is_not_known(site: Site) -> None:
    with pytest.raises(TopicUnknown, match="SIGNALBOX_TOPIC_NEWS_FEED is not set"):
        site.topics.publish("news-feed", [EVENT])


def test_a_topic_of_the_other_schema_gets_that(
    grid: EventGrid, environ: dict[str, str], topics: EventGridTopics
) -> None:
    topic = grid.add_topic("native", schema=Schema.EVENT_GRID)
    environ["SIGNALBOX_TOPIC_NATIVE"] = topic.secure_endpoint
    with pytest.raises(TopicRefused) as raised:
        topics.publish("native", [EVENT])
    assert "SIGNALBOX_TOPIC_<NAME>_SCHEMA" in raised.value.hint
    environ["SIGNALBOX_TOPIC_NATIVE_SCHEMA"] = "EventGridSchema"
    topics.publish("native", [EVENT])
    (event,) = grid.published("native")
    assert (event.id, event.type, event.subject) == (EVENT.id, EVENT.type, EVENT.subject)
    assert event.fields["eventTime"] == "2026-03-01T12:00:00+00:00"


def test_an_endpoint_may_lack_its_path(environ: dict[str, str]) -> None:
    environ["SIGNALBOX_TOPIC_NEWS"] = "https://news.westeurope-1.eventgrid.azure.net/"
    place = adapter.find_place(environ, "news")
    assert place.endpoint == "https://news.westeurope-1.eventgrid.azure.net/api/events"


def test_a_key_is_used_where_there_is_one_and_a_wrong_one_is_in_no_error(
    grid: EventGrid, environ: dict[str, str], topics: EventGridTopics
) -> None:
    environ["SIGNALBOX_TOPIC_NEWS_KEY"] = KEY
    before = len(grid.published("news"))
    topics.publish("news", [EVENT])
    assert len(grid.published("news")) == before + 1
    environ["SIGNALBOX_TOPIC_NEWS_KEY"] = "hunter2-hunter2"
    with pytest.raises(TopicDenied) as raised:
        topics.publish("news", [EVENT])
    assert "hunter2" not in "".join(traceback.format_exception(raised.value))
    assert "EventGrid Data Sender" in raised.value.hint


@pytest.mark.parametrize(
    ("status", "error", "disposition"),
    [
        (400, TopicRefused, Disposition.PARK),
        (403, TopicDenied, Disposition.PARK),
        (404, TopicUnknown, Disposition.PARK),
        (408, TopicUnreachable, Disposition.RETRY),
        (413, TopicRefused, Disposition.PARK),
        (429, TopicThrottled, Disposition.RETRY),
        (503, TopicUnreachable, Disposition.RETRY),
    ],
)
def test_each_refusal_has_its_error_and_is_tried_once(
    grid: EventGrid,
    topics: EventGridTopics,
    status: int,
    error: type[SignalboxError],
    disposition: Disposition,
) -> None:
    grid.refuse("news", status, after=7)
    with pytest.raises(error, match="publish on topic 'news'") as raised:
        topics.publish("news", [EVENT])
    assert failure_of(raised.value).disposition is disposition
    assert raised.value.retry_after == timedelta(seconds=7)
    topics.publish("news", [EVENT])  # the refusal was for one request


def test_nobody_at_the_address_is_no_answer(
    environ: dict[str, str], topics: EventGridTopics
) -> None:
    environ["SIGNALBOX_TOPIC_NEWS"] = "https://localhost:9/api/events"
    with pytest.raises(TopicUnreachable, match="no answer"):
        topics.publish("news", [EVENT])


def test_an_identity_that_cannot_sign_in_is_denied(environ: dict[str, str], http: Http) -> None:
    class Nobody:
        def get_token(self, *_: str, **__: Any) -> Any:
            raise ClientAuthenticationError("no identity here")

    with pytest.raises(TopicDenied, match="could not sign in"):
        EventGridTopics(environ, Nobody, http=http).publish("news", [EVENT])


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({}, "the app setting `SIGNALBOX_TOPIC_NEWS` is not set"),
        ({"": "http://news.example/api/events"}, "`SIGNALBOX_TOPIC_NEWS` is no https:// address"),
        ({"": "hunter2"}, "`SIGNALBOX_TOPIC_NEWS` is no https:// address"),
        ({"": "https://u:hunter2@h/"}, "`SIGNALBOX_TOPIC_NEWS` has more in it"),
        ({"": "https://h/api/events?hunter2"}, "`SIGNALBOX_TOPIC_NEWS` has more in it"),
        ({"": "https://h", "_SCHEMA": "hunter2"}, "`SIGNALBOX_TOPIC_NEWS_SCHEMA` names no schema"),
        ({"": "https://h", "_SCHEMA": "EventGridSchema", "_KEY": "hunter2"}, None),
        ({"": "@Microsoft.KeyVault(SecretUri=https://v/secrets/s)"}, None),
    ],
)
def test_each_fault_of_the_settings_is_named_without_their_values(
    settings: dict[str, str], fault: str | None
) -> None:
    environ = {f"SIGNALBOX_TOPIC_NEWS{name}": value for name, value in settings.items()}
    found = find_topic_fault(environ, "news")
    assert (found is None) == (fault is None)
    if found is not None and fault is not None:
        assert fault in found[0]
        assert "hunter2" not in str(found)
        if settings:
            with pytest.raises(SettingInvalid) as raised:
                EventGridTopics(environ, FakeCredential).publish("news", [EVENT])
            assert "hunter2" not in str(raised.value)
